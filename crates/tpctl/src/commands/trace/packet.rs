//! The packet: what was said, and the rest from the port's own addresses and its gateway.

use super::args::{self, Args};
use anyhow::{Context, Result, bail};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};
use tuplenet_model::{
    entity::{RouterPortRef, SwitchPort, SwitchPortRef},
    mac::Mac,
    name::Name,
    network::Network,
};
use tuplenet_sim::probe::{Probe, What};

/// TTL and hop limit of what people's machines send.
const TTL: u8 = 64;

/// The frame that the port is to send.
pub fn frame(network: &Network, from: &SwitchPortRef, args: &Args) -> Result<Vec<u8>> {
    match (&args.hex, args.to) {
        (Some(hex), _) => args::frame(hex).map_err(|problem| anyhow::anyhow!("--hex: {problem}")),
        (None, Some(to)) => Ok(probe(network, from, to, args)?.to_bytes()?),
        (None, None) => bail!("say where the packet is to go: --to IP"),
    }
}

/// The packet to an address, by the only way that a machine at the port could mean.
fn probe(network: &Network, from: &SwitchPortRef, to: IpAddr, args: &Args) -> Result<Probe> {
    let src = source(network, from, to, args)?;
    let ways = match (args.dst_mac, args.what()) {
        (Some(mac), _) => vec![Way { mac, by: None }],
        (None, What::Arp | What::Nd) => vec![Way { mac: asked_of(to), by: None }],
        (None, _) => ways(network, from, src, to)?,
    };
    match &ways[..] {
        [way] => probe_by(network, from, to, way, args),
        [] => bail!(
            "{to} is no address in switch {}, and no router there has a network with {src}: give the MAC to send to with --dst-mac",
            from.ls
        ),
        several => {
            let named: Vec<String> = several.iter().map(Way::to_string).collect();
            bail!(
                "switch {} has several routers that may lead to {to}: say which one with --dst-mac, {}",
                from.ls,
                named.join(" or ")
            )
        }
    }
}

/// The packet to an address, by one way.
pub fn probe_by(network: &Network, from: &SwitchPortRef, to: IpAddr, way: &Way, args: &Args) -> Result<Probe> {
    let src = source(network, from, to, args)?;
    let eth_src = match args.src_mac {
        Some(mac) => mac,
        None => port(network, from)?.mac_or_zero(),
    };
    let (ttl, what, size) = (args.ttl.unwrap_or(TTL), args.what(), args.size);
    Ok(Probe { eth_src, eth_dst: way.mac, src, dst: to, ttl, what, size })
}

fn port<'a>(network: &'a Network, at: &SwitchPortRef) -> Result<&'a SwitchPort> {
    network.switch_port(at).with_context(|| format!("port {} of switch {} does not exist", at.lsp, at.ls))
}

/// What the packet says where it comes from.
pub fn source(network: &Network, from: &SwitchPortRef, to: IpAddr, args: &Args) -> Result<IpAddr> {
    let own = port(network, from)?.ips.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4());
    args.src.or(own).with_context(|| {
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        format!(
            "port {} of switch {} has no {family} address to reach {to} from: give one with --src",
            from.lsp, from.ls
        )
    })
}

const BROADCAST: Mac = Mac([0xff; 6]);

/// A way out of a switch: the MAC to send to, and the router that has it, if it is one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The MAC.
    pub mac: Mac,
    /// The router.
    pub by: Option<Name>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(router) => write!(f, "{} ({router})", self.mac),
            None => self.mac.fmt(f),
        }
    }
}

/// The ways that a machine at the port might take to an address: to it, if it is in the same switch; else to a router with a network that has the
/// source, of several those with a route.
pub fn ways(network: &Network, from: &SwitchPortRef, src: IpAddr, to: IpAddr) -> Result<Vec<Way>> {
    if to.is_multicast() || to == IpAddr::from([255; 4]) {
        return Ok(vec![Way { mac: multicast(to), by: None }]);
    }
    if let Some((_, port)) = network.switch_ports(&from.ls).find(|(_, port)| port.ips.contains(&to)) {
        return Ok(vec![Way { mac: port.mac_or_zero(), by: None }]);
    }
    let links: Vec<(&RouterPortRef, Mac)> =
        network.switch_ports(&from.ls).filter_map(|(_, port)| Some((port.peer.as_ref()?, port.mac?))).collect();
    let near = |peer: &RouterPortRef, ip: IpAddr| {
        network.router_port(peer).is_some_and(|port| port.nets.iter().any(|net| net.contains(&ip)))
    };
    let gateways = |ip: IpAddr| -> Vec<Way> {
        let near = links.iter().filter(|(peer, _)| near(peer, ip));
        near.map(|(peer, mac)| Way { mac: *mac, by: Some(peer.lr.clone()) }).collect()
    };
    // Who says a source that is not its own still has the gateway of its own address.
    let own = port(network, from)?.ips.iter().copied().filter(|ip| ip.is_ipv4() == to.is_ipv4());
    let of_first = [src].into_iter().chain(own).map(gateways).find(|ways| !ways.is_empty());
    let all = of_first.unwrap_or_default();
    let leads = |way: &&Way| way.by.as_ref().is_some_and(|router| reaches(network, router, to));
    let leading: Vec<Way> = all.iter().filter(leads).cloned().collect();
    Ok(if leading.is_empty() { all } else { leading })
}

/// Whether a router has a route to an address, connected or static.
fn reaches(network: &Network, lr: &Name, to: IpAddr) -> bool {
    let connected = network.router_ports(lr).any(|(_, port)| port.nets.iter().any(|net| net.contains(&to)));
    connected || network.routes(lr).any(|(_, route)| route.prefix.contains(&to))
}

/// Who is asked for an address.
fn asked_of(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(_) => BROADCAST,
        IpAddr::V6(_) => multicast(solicited_node(ip)),
    }
}

/// The MAC that stands for a group address (RFC 1112 section 6.4, RFC 2464 section 7); of anything else in IPv4, broadcast.
fn multicast(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Mac([0x01, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V4(_) => BROADCAST,
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            Mac([0x33, 0x33, a, b, c, d])
        }
    }
}

/// The group that is asked for an address (RFC 4291 section 2.7.1).
fn solicited_node(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [.., b, c, d] = ip.octets();
            let low = u16::from_be_bytes([c, d]);
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(b), low).into()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tuplenet_model::document::Document;

    const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: 10.1.0.2, stray: 192.168.0.1}}
  B: {ports: {b1: 10.2.0.1}}
  C: {ports: {c1: 10.3.0.1}}
routers:
  R1: {links: {A: '10.1.0.254/24, fd00:1::fe/64', B: 10.2.0.254/24}}
  R2: {links: {A: 10.1.0.253/24, C: 10.3.0.254/24}, routes: {far: {prefix: 10.9.0.0/16, next_hop: 10.3.0.1}}}
";

    fn mac(from: &str, src: &str, to: &str) -> String {
        let network = Document::parse(NETWORK).unwrap().resolve(&Network::default()).unwrap();
        let from = SwitchPortRef { ls: "A".parse().unwrap(), lsp: from.parse().unwrap() };
        let ways = ways(&network, &from, src.parse().unwrap(), to.parse().unwrap()).unwrap();
        ways.iter().map(|way| way.mac.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_destination_mac_is_that_of_the_neighbour_or_of_the_gateway_that_leads_there() {
        for (src, to, expected) in [
            ("10.1.0.1", "10.1.0.2", "f2:01:0a:01:00:02"),
            ("10.1.0.1", "10.1.0.253", "f2:01:0a:01:00:fd"),
            ("10.1.0.1", "10.2.0.1", "f2:01:0a:01:00:fe"),
            ("10.1.0.1", "10.3.0.1", "f2:01:0a:01:00:fd"),
            ("10.1.0.1", "10.9.1.1", "f2:01:0a:01:00:fd"),
            ("fd00:1::1", "2001:db8::1", "f2:01:0a:01:00:fe"), // the only router of that family
            ("192.168.7.7", "10.2.0.1", "f2:01:0a:01:00:fe"), // nobody's network: the gateway of the port's own address
            ("10.1.0.1", "224.1.2.3", "01:00:5e:01:02:03"),
            ("10.1.0.1", "255.255.255.255", "ff:ff:ff:ff:ff:ff"),
            ("fd00:1::1", "ff02::1:ff00:7", "33:33:ff:00:00:07"),
        ] {
            assert_eq!(mac("a1", src, to), expected, "{src} -> {to}");
        }
        let both = "f2:01:0a:01:00:fe f2:01:0a:01:00:fd";
        assert_eq!(mac("a1", "10.1.0.1", "8.8.8.8"), both, "neither has a route");
        assert_eq!(mac("a1", "10.1.0.1", "10.1.0.77"), both, "both are connected");
        assert_eq!(mac("stray", "192.168.0.1", "8.8.8.8"), "");
    }

    #[test]
    fn an_address_is_asked_for_in_its_group() {
        assert_eq!(multicast(solicited_node("fd00::1:2:3".parse().unwrap())), Mac([0x33, 0x33, 0xff, 2, 0, 3]));
    }
}
