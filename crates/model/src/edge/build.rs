//! An edge to be: judged, and put into a network.

use super::{CENTRAL, INNER, LABEL};
use crate::{
    entity::{
        LogicalRouter, LogicalSwitch, Meta, NatKind, NatRule, Patch, RouterPort, StaticRoute, SwitchPort, SwitchPortRef,
    },
    id::{DatapathId, PortId},
    key::Key,
    mac::Mac,
    name::Name,
    network::{Network, link_names},
    object::{Invalid, Object},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::IpAddr,
};

/// What a central router is called if there is none yet.
const CENTRAL_NAME: &str = "LR-central";
/// Where inner networks are cut from if nothing is said.
const INNER_NETS: [&str; 2] = ["100.64.88.0/24", "fd00:64:88::/64"];
/// How many edges a network may have: as many as inner networks are tried.
const MOST: u128 = 1 << 14;

/// An edge to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEdge {
    /// The router behind the edges. `None`: the one that has edges, or `LR-central`, or the only one; made if there is none at all.
    pub central: Option<Name>,
    /// Where it is, and by which bridge it meets the physical network.
    pub patch: Patch,
    /// The edge's own address in the physical network, with its prefix length; one a family.
    pub vips: Vec<IpNet>,
    /// The virtual networks that are reached through it.
    pub virts: Vec<IpNet>,
    /// The next hop in the physical network, one a family.
    pub gateways: Vec<IpAddr>,
    /// The networks that the inner network is cut from, one a family; 100.64.88.0/24 and fd00:64:88::/64 if left out.
    pub inners: Vec<IpNet>,
    /// What virtual addresses leave as, one a family; as themselves if left out.
    pub snats: Vec<IpAddr>,
}

/// Numbers that nobody may be given although no object of the network has them.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Ids of switches and routers.
    pub datapaths: BTreeSet<u32>,
    /// Ids of ports, by router.
    pub router_ports: BTreeMap<Name, BTreeSet<u16>>,
}

/// Why an edge cannot be: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EdgeError(String);

impl From<Invalid> for EdgeError {
    fn from(invalid: Invalid) -> Self {
        Self(invalid.to_string())
    }
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, EdgeError> {
    Err(EdgeError(problem.into()))
}

/// The one network (or address) of a family.
fn of<T: Copy>(all: &[T], v4: bool, family: impl Fn(&T) -> bool) -> Option<T> {
    all.iter().copied().find(|one| family(one) == v4)
}

fn net_of(all: &[IpNet], v4: bool) -> Option<IpNet> {
    of(all, v4, |net| net.addr().is_ipv4())
}

fn ip_of(all: &[IpAddr], v4: bool) -> Option<IpAddr> {
    of(all, v4, IpAddr::is_ipv4)
}

fn list<T: Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// One family's numbers of an edge.
struct Family {
    v4: bool,
    vip: IpNet,
    gateway: IpAddr,
    virts: Vec<IpNet>,
    snat: Option<IpAddr>,
    inner: IpNet,
}

impl NewEdge {
    /// Each family's part, judged by itself.
    fn families(&self) -> Result<Vec<Family>, EdgeError> {
        let what = |v4| if v4 { "IPv4" } else { "IPv6" };
        let once = |option: &str, families: Vec<bool>| {
            for v4 in [true, false] {
                if families.iter().filter(|family| **family == v4).count() > 1 {
                    return refuse(format!("{option} names two {} addresses: give one a family", what(v4)));
                }
            }
            Ok(())
        };
        once("--vip", self.vips.iter().map(|net| net.addr().is_ipv4()).collect())?;
        once("--ext-gw", self.gateways.iter().map(IpAddr::is_ipv4).collect())?;
        once("--snat", self.snats.iter().map(IpAddr::is_ipv4).collect())?;
        once("--inner", self.inners.iter().map(|net| net.addr().is_ipv4()).collect())?;
        let mut all = Vec::new();
        for v4 in [true, false] {
            let virts: Vec<IpNet> = self.virts.iter().copied().filter(|net| net.addr().is_ipv4() == v4).collect();
            let (snat, inner) = (ip_of(&self.snats, v4), net_of(&self.inners, v4));
            let Some(vip) = net_of(&self.vips, v4) else {
                let stray = match (virts.first(), ip_of(&self.gateways, v4), snat, inner) {
                    (Some(net), ..) => Some(format!("--virt {net}")),
                    (_, Some(ip), ..) => Some(format!("--ext-gw {ip}")),
                    (_, _, Some(ip), _) => Some(format!("--snat {ip}")),
                    (.., Some(net)) => Some(format!("--inner {net}")),
                    _ => None,
                };
                if let Some(stray) = stray {
                    return refuse(format!("{stray}: the edge has no {} address: add one to --vip", what(v4)));
                }
                continue;
            };
            let Some(gateway) = ip_of(&self.gateways, v4) else {
                return refuse(format!("--vip {vip}: there is no next hop for {}: add one to --ext-gw", what(v4)));
            };
            if virts.is_empty() {
                return refuse(format!("--vip {vip}: there is no virtual network of {}: add one to --virt", what(v4)));
            }
            if vip.max_prefix_len() == vip.prefix_len() {
                return refuse(format!(
                    "--vip {vip}: nobody else is in that network: give the prefix length of the physical network, as in {}/{}",
                    vip.addr(),
                    if v4 { 24 } else { 64 }
                ));
            }
            if gateway == vip.addr() {
                return refuse(format!(
                    "--ext-gw {gateway} is the edge's own address: give that of the physical router"
                ));
            }
            if !vip.contains(&gateway) {
                return refuse(format!(
                    "--ext-gw {gateway} is not in the network of --vip {vip}: give the physical router's address in {}",
                    vip.trunc()
                ));
            }
            for virt in &virts {
                if *virt != virt.trunc() {
                    return refuse(format!("--virt {virt} has bits set after its prefix: write {}", virt.trunc()));
                }
                if virt.prefix_len() == 0 || overlap(virt, &vip.trunc()) {
                    return refuse(format!(
                        "--virt {virt} and the physical network {} overlap: name the virtual network only",
                        vip.trunc()
                    ));
                }
            }
            if snat == Some(gateway) {
                return refuse(format!(
                    "--snat {gateway} is the physical router's: use the edge's own, {}",
                    vip.addr()
                ));
            }
            let default = INNER_NETS.iter().filter_map(|net| net.parse::<IpNet>().ok()).collect::<Vec<_>>();
            let Some(inner) = inner.or_else(|| net_of(&default, v4)) else { continue };
            all.push(Family { v4, vip, gateway, virts, snat, inner: inner.trunc() });
        }
        if all.is_empty() {
            return refuse("an edge needs an address in the physical network: give --vip");
        }
        Ok(all)
    }

    /// Nobody else answers for the edge's addresses in the physical network.
    fn free(&self, network: &Network, families: &[Family]) -> Result<(), EdgeError> {
        for family in families {
            let ours = [("--vip", Some(family.vip.addr())), ("--snat", family.snat)];
            for (option, ip) in ours.into_iter().filter_map(|(option, ip)| Some((option, ip?))) {
                let asked = network.holder_beyond(&self.patch, ip).map(|holder| holder.key);
                // In no network of the edge nobody asks for it; others route it, to one router.
                let routed = || {
                    let all = network.iter().filter(|_| !family.vip.contains(&ip));
                    let same = |object: &Object| matches!(object, Object::Lnat(rule) if rule.external() == ip);
                    all.filter(|(_, object)| same(object)).map(|(key, _)| key.clone()).next()
                };
                if let Some(key) = asked.or_else(routed) {
                    return refuse(format!("{option} {ip} is in use by {key}: choose another address"));
                }
            }
        }
        Ok(())
    }

    /// The central router's name, and whether it exists.
    fn central(&self, network: &Network) -> Result<(Name, bool), EdgeError> {
        if let Some(central) = &self.central {
            if network.get(&Key::Lr(central.clone())).is_none() {
                return refuse(format!("router {central} does not exist: see \"tpctl lr show\""));
            }
            return Ok((central.clone(), true));
        }
        let named: Name = CENTRAL_NAME.parse().map_err(EdgeError)?;
        let candidates: Vec<&Name> =
            network.routers().filter(|(_, lr)| lr.chassis.is_none()).map(|(name, _)| name).collect();
        match candidates[..] {
            _ if network.get(&Key::Lr(named.clone())).is_some() => Ok((named, true)),
            [] => Ok((named, false)),
            [only] => Ok((only.clone(), true)),
            [first, second, ..] => refuse(format!(
                "there are several routers ({first}, {second}{}): say which is behind the edge with --router",
                if candidates.len() > 2 { ", ..." } else { "" }
            )),
        }
    }

    /// The network with this edge in it, and the name of its router. Judged as a whole; what was wrong with the network before stays its own affair.
    pub fn build(&self, network: &Network, taken: &Taken) -> Result<(Name, Network), EdgeError> {
        let families = self.families()?;
        self.free(network, &families)?;
        let (central, exists) = self.central(network)?;
        let mut work = Build::new(network, taken, &central)?;
        let edge = work.edge.clone();
        if !exists {
            let meta = labels([(LABEL, CENTRAL.to_owned())]);
            work.router(&central, None, meta)?;
        }
        work.switch(&work.outside.clone())?;
        work.switch(&work.middle.clone())?;
        let inners: Vec<IpNet> = families.iter().map(|family| family.inner).collect();
        let meta = labels([(LABEL, edge.to_string()), (INNER, list(&inners))]);
        work.router(&edge, Some(&self.patch.chassis), meta)?;
        work.patch(&self.patch)?;
        // Of each inner network the central router has the first address and the edge the second.
        let mut ends = Vec::new();
        for family in &families {
            ends.push(inner_pair(network, &central, &edge, family.inner)?);
        }
        let (ours, theirs): (Vec<IpNet>, Vec<IpNet>) = ends.iter().copied().unzip();
        let (outside, middle) = (work.outside.clone(), work.middle.clone());
        let out = work.link(&edge, &outside, families.iter().map(|family| family.vip).collect())?;
        let inward = work.link(&edge, &middle, theirs)?;
        let down = work.link(&central, &middle, ours)?;
        for (family, (ours, theirs)) in families.iter().zip(&ends) {
            let six = if family.v4 { "" } else { "6" };
            let all = if family.v4 { "0.0.0.0/0" } else { "::/0" };
            let all: IpNet = all.parse().map_err(|_| EdgeError(format!("{all} is no prefix")))?;
            work.route(&central, format!("{edge}_default{six}"), all, theirs.addr(), &down)?;
            work.route(&edge, format!("default{six}"), all, family.gateway, &out)?;
            for (i, virt) in family.virts.iter().enumerate() {
                let more = if i == 0 { String::new() } else { format!("_{}", i + 1) };
                work.route(&edge, format!("virt{six}{more}"), *virt, ours.addr(), &inward)?;
                if let Some(snat) = family.snat {
                    work.snat(format!("snat{six}{more}"), *virt, snat)?;
                }
            }
        }
        let before: BTreeSet<Invalid> = network.check().into_iter().collect();
        match work.network.check().into_iter().find(|invalid| !before.contains(invalid)) {
            Some(invalid) => Err(invalid.into()),
            None => Ok((edge, work.network)),
        }
    }
}

/// The two ends of an inner network that is still free: the first in `inner` that overlaps with no network of either router.
fn inner_pair(network: &Network, central: &Name, edge: &Name, inner: IpNet) -> Result<(IpNet, IpNet), EdgeError> {
    let used: Vec<IpNet> = [central, edge]
        .into_iter()
        .flat_map(|lr| network.router_ports(lr).flat_map(|(_, port)| port.nets.iter().map(IpNet::trunc)))
        .collect();
    let room = inner.max_prefix_len() - inner.prefix_len();
    if room == 0 {
        return refuse(format!(
            "--inner {inner} has one address, and two are needed: give a network, like 100.64.88.0/24"
        ));
    }
    // Four addresses each, as everybody expects; of a network of two (RFC 3021, RFC 6164) both.
    let size = room.min(2);
    let length = inner.max_prefix_len() - size;
    let (first, step) = (u128::from(size == 2), 1u128 << size);
    let count = (1u128 << (room - size).min(127)).min(MOST);
    for i in 0..count {
        let base = i * step + first;
        let ends = [base, base + 1].map(|offset| at(inner, offset, length));
        let [Some(ours), Some(theirs)] = ends else { break };
        if used.iter().all(|net| !overlap(net, &ours.trunc())) {
            return Ok((ours, theirs));
        }
    }
    refuse(format!(
        "no inner network is left in {inner}: all overlap with networks of {central}; give another one with --inner"
    ))
}

/// The address at an offset in a network, with a prefix length.
fn at(net: IpNet, offset: u128, length: u8) -> Option<IpNet> {
    match net {
        IpNet::V4(net) => {
            let ip = u32::from(net.network()).checked_add(u32::try_from(offset).ok()?)?;
            Ipv4Net::new(ip.into(), length).ok().map(IpNet::V4)
        }
        IpNet::V6(net) => {
            Ipv6Net::new(u128::from(net.network()).checked_add(offset)?.into(), length).ok().map(IpNet::V6)
        }
    }
}

fn labels<const N: usize>(all: [(&str, String); N]) -> Meta {
    Meta { description: None, labels: all.into_iter().map(|(label, value)| (label.to_owned(), value)).collect() }
}

/// A network that grows by an edge. Numbers are the smallest that are free, so that an edge that was taken away and is made again is the same.
struct Build<'a> {
    network: Network,
    taken: &'a Taken,
    edge: Name,
    outside: Name,
    middle: Name,
}

impl<'a> Build<'a> {
    /// With the first names that nobody has.
    fn new(network: &Network, taken: &'a Taken, central: &Name) -> Result<Self, EdgeError> {
        for number in 1..=MOST {
            let name = |what: &str| format!("{what}{number}").parse::<Name>().map_err(EdgeError);
            let (edge, outside, middle) = (name("edge")?, name("outside")?, name("m")?);
            let datapaths = [Key::Lr(edge.clone()), Key::Ls(outside.clone()), Key::Ls(middle.clone())];
            let routes = network.routes(central).any(|(route, _)| route.starts_with(&format!("{edge}_default")));
            if datapaths.iter().all(|key| network.get(key).is_none()) && !routes {
                return Ok(Self { network: network.clone(), taken, edge, outside, middle });
            }
        }
        refuse(format!("there are {MOST} edges already: take one away first"))
    }

    fn ours(&self) -> Meta {
        labels([(LABEL, self.edge.to_string())])
    }

    fn put(&mut self, key: Key, object: Object) -> Result<(), EdgeError> {
        if self.network.get(&key).is_some() {
            return refuse(format!("{key} exists already: rename or delete it"));
        }
        object.validate(&key)?;
        self.network.insert(key, object);
        Ok(())
    }

    fn id(&self) -> Result<DatapathId, EdgeError> {
        let mut taken = self.taken.datapaths.clone();
        taken.extend(self.network.switches().map(|(_, ls)| ls.id.get()));
        taken.extend(self.network.routers().map(|(_, lr)| lr.id.get()));
        let free = (1..=DatapathId::MAX).find(|id| !taken.contains(id)).and_then(DatapathId::new);
        free.ok_or_else(|| EdgeError(format!("all {} ids are in use: delete switches or routers", DatapathId::MAX)))
    }

    fn port_id(&self, taken: BTreeSet<u16>) -> Result<PortId, EdgeError> {
        let free = (1..=PortId::MAX).find(|id| !taken.contains(id)).and_then(PortId::new);
        free.ok_or_else(|| EdgeError(format!("all {} port ids are in use: delete ports", PortId::MAX)))
    }

    fn switch(&mut self, ls: &Name) -> Result<(), EdgeError> {
        let switch = LogicalSwitch { id: self.id()?, flood: false, mtu: None, meta: self.ours() };
        self.put(Key::Ls(ls.clone()), Object::Ls(switch))
    }

    fn router(&mut self, lr: &Name, chassis: Option<&Name>, meta: Meta) -> Result<(), EdgeError> {
        let router = LogicalRouter { id: self.id()?, chassis: chassis.cloned(), ecmp_hash: Vec::new(), meta };
        self.put(Key::Lr(lr.clone()), Object::Lr(router))
    }

    fn switch_port_id(&self, ls: &Name) -> Result<PortId, EdgeError> {
        self.port_id(self.network.switch_ports(ls).map(|(_, port)| port.port_id.get()).collect())
    }

    fn patch(&mut self, patch: &Patch) -> Result<(), EdgeError> {
        let lsp = format!("{}_patch", self.outside).parse::<Name>().map_err(EdgeError)?;
        let port_id = self.switch_port_id(&self.outside)?;
        let patch = Some(patch.clone());
        let port = SwitchPort { port_id, mac: None, ips: Vec::new(), peer: None, patch, meta: self.ours() };
        self.put(Key::Lsp(self.outside.clone(), lsp), Object::Lsp(port))
    }

    /// Both ends; the name of the router's.
    fn link(&mut self, lr: &Name, ls: &Name, nets: Vec<IpNet>) -> Result<Name, EdgeError> {
        let (lrp, lsp) = link_names(lr, ls)?;
        let ips: Vec<IpAddr> = nets.iter().map(IpNet::addr).collect();
        let Some(mac) = Mac::derived_from(&ips) else { return refuse(format!("{lr} has no address in {ls}")) };
        let mut taken: BTreeSet<u16> =
            self.network.router_ports(lr).filter_map(|(_, port)| Some(port.port_id?.get())).collect();
        taken.extend(self.taken.router_ports.get(lr).into_iter().flatten());
        let port_id = Some(self.port_id(taken)?);
        let peer = SwitchPortRef { ls: ls.clone(), lsp: lsp.lsp.clone() };
        let router_port = RouterPort { port_id, mac, nets, peer: Some(peer), meta: self.ours() };
        let port_id = self.switch_port_id(ls)?;
        let peer = Some(lrp.clone());
        let switch_port = SwitchPort { port_id, mac: Some(mac), ips, peer, patch: None, meta: self.ours() };
        self.put(Key::Lrp(lr.clone(), lrp.lrp.clone()), Object::Lrp(router_port))?;
        self.put(Key::Lsp(lsp.ls, lsp.lsp), Object::Lsp(switch_port))?;
        Ok(lrp.lrp)
    }

    fn route(&mut self, lr: &Name, name: String, prefix: IpNet, hop: IpAddr, outport: &Name) -> Result<(), EdgeError> {
        let key = Key::Lsr(lr.clone(), name.parse().map_err(EdgeError)?);
        let route = StaticRoute { prefix, next_hop: hop, outport: outport.clone(), meta: self.ours() };
        self.put(key, Object::Lsr(route))
    }

    fn snat(&mut self, name: String, prefix: IpNet, xlate_ip: IpAddr) -> Result<(), EdgeError> {
        let key = Key::Lnat(self.edge.clone(), name.parse().map_err(EdgeError)?);
        let rule = NatRule { kind: NatKind::Snat, prefix, xlate_ip, distributed: false, meta: self.ours() };
        self.put(key, Object::Lnat(rule))
    }
}
