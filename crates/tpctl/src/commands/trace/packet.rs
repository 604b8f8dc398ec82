//! The packet: what was said, and the rest from the port's own addresses and its gateway.

use super::args::{self, Args};
use anyhow::{Result, bail};
use std::net::{IpAddr, Ipv6Addr};
use tuplenet_model::{
    entity::{RouterPortRef, SwitchPortRef},
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

/// The packet to an address.
pub fn probe(network: &Network, from: &SwitchPortRef, to: IpAddr, args: &Args) -> Result<Probe> {
    let Some(port) = network.switch_port(from) else { bail!("port {} of switch {} does not exist", from.lsp, from.ls) };
    let what = args.what();
    let src = match args.src.or_else(|| port.ips.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4())) {
        Some(src) => src,
        None => {
            let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
            bail!(
                "port {} of switch {} has no {family} address to reach {to} from: give one with --src",
                from.lsp,
                from.ls
            )
        }
    };
    let eth_dst = match (args.dst_mac, what) {
        (Some(mac), _) => mac,
        (None, What::Arp) => BROADCAST,
        (None, What::Nd) => multicast(solicited_node(to)),
        (None, _) => destination_mac(network, from, src, to)?,
    };
    let eth_src = args.src_mac.unwrap_or(port.mac);
    Ok(Probe { eth_src, eth_dst, src, dst: to, ttl: args.ttl.unwrap_or(TTL), what })
}

const BROADCAST: Mac = Mac([0xff; 6]);

/// The MAC that a machine at the port would use to reach an address.
fn destination_mac(network: &Network, from: &SwitchPortRef, src: IpAddr, to: IpAddr) -> Result<Mac> {
    if to.is_multicast() || to == IpAddr::from([255; 4]) {
        return Ok(multicast(to));
    }
    if let Some((_, port)) = network.switch_ports(&from.ls).find(|(_, port)| port.ips.contains(&to)) {
        return Ok(port.mac);
    }
    gateway(network, from, src, to)
}

/// The MAC of the router port that leads from a switch to an address.
fn gateway(network: &Network, from: &SwitchPortRef, src: IpAddr, to: IpAddr) -> Result<Mac> {
    let links: Vec<(&RouterPortRef, Mac)> =
        network.switch_ports(&from.ls).filter_map(|(_, port)| Some((port.peer.as_ref()?, port.mac))).collect();
    let near = |peer: &RouterPortRef, ip: IpAddr| {
        network.router_port(peer).is_some_and(|port| port.nets.iter().any(|net| net.contains(&ip)))
    };
    // Who says a source that is not its own still has the gateway of its own address.
    let own = network.switch_port(from).map(|port| port.ips.as_slice()).unwrap_or_default();
    let mut sources = [src].into_iter().chain(own.iter().copied().filter(|ip| ip.is_ipv4() == to.is_ipv4()));
    let of = |ip: IpAddr| links.iter().filter(|(peer, _)| near(peer, ip)).collect::<Vec<_>>();
    let gateways: Vec<&(&RouterPortRef, Mac)> =
        sources.find_map(|ip| Some(of(ip)).filter(|of| !of.is_empty())).unwrap_or_default();
    let ls = &from.ls;
    let leads: Vec<&&(&RouterPortRef, Mac)> =
        gateways.iter().filter(|(peer, _)| gateways.len() == 1 || reaches(network, &peer.lr, to)).collect();
    match (&leads[..], &gateways[..]) {
        ([(_, mac)], _) => Ok(*mac),
        (_, []) => bail!(
            "{to} is no address in switch {ls}, and no router there has a network with {src}: give the MAC to send to with --dst-mac"
        ),
        (several, all) => {
            let of = if several.is_empty() {
                all.iter().map(|(p, m)| (&p.lr, m)).collect::<Vec<_>>()
            } else {
                several.iter().map(|(p, m)| (&p.lr, m)).collect()
            };
            let named: Vec<String> = of.iter().map(|(lr, mac)| format!("{mac} ({lr})")).collect();
            let which =
                if several.is_empty() { "none of the routers of switch" } else { "more than one router of switch" };
            bail!("{which} {ls} has a route to {to}: say which one with --dst-mac, {}", named.join(" or "))
        }
    }
}

/// Whether a router has a route to an address, connected or static.
fn reaches(network: &Network, lr: &Name, to: IpAddr) -> bool {
    let connected = network.router_ports(lr).any(|(_, port)| port.nets.iter().any(|net| net.contains(&to)));
    connected || network.routes(lr).any(|(_, route)| route.prefix.contains(&to))
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

    fn mac(from: &str, src: &str, to: &str) -> Result<String> {
        let network = Document::parse(NETWORK).unwrap().resolve(&Network::default()).unwrap();
        let from = SwitchPortRef { ls: "A".parse().unwrap(), lsp: from.parse().unwrap() };
        destination_mac(&network, &from, src.parse().unwrap(), to.parse().unwrap()).map(|mac| mac.to_string())
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
            assert_eq!(mac("a1", src, to).unwrap(), expected, "{src} -> {to}");
        }
        let said = mac("a1", "10.1.0.1", "8.8.8.8").unwrap_err().to_string();
        assert!(
            said.contains("none of the routers of switch A has a route to 8.8.8.8") && said.contains("--dst-mac"),
            "{said}"
        );
        let said = mac("a1", "10.1.0.1", "10.1.0.77").unwrap_err().to_string();
        assert!(said.contains("more than one router") && said.contains("f2:01:0a:01:00:fd (R2)"), "{said}");
        let said = mac("stray", "192.168.0.1", "8.8.8.8").unwrap_err().to_string();
        assert!(said.contains("no router there has a network with 192.168.0.1"), "{said}");
    }

    #[test]
    fn an_address_is_asked_for_in_its_group() {
        assert_eq!(multicast(solicited_node("fd00::1:2:3".parse().unwrap())), Mac([0x33, 0x33, 0xff, 2, 0, 3]));
    }
}
