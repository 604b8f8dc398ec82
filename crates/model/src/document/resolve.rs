//! From a document to the network that it describes: what it leaves out is kept from what exists, allocated or derived.

use super::{Document, Link, Nat, PlainPort, Port, Route, Router, Switch};
use crate::{
    entity::{
        LogicalRouter, LogicalSwitch, Meta, NatRule, RouterPort, RouterPortRef, StaticRoute, SwitchPort, SwitchPortRef,
    },
    id::{DatapathId, PortId},
    key::Key,
    mac::Mac,
    name::Name,
    network::{Network, link_names},
    object::{Invalid, Object},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

impl Document {
    /// The network that the document describes, where `present` is the network that exists. All that is wrong with it otherwise.
    pub fn resolve(&self, present: &Network) -> Result<Network, Vec<Invalid>> {
        let mut work = Resolution { present, network: Network::default(), ids: self.ids(present), faults: Vec::new() };
        for (name, switch) in &self.switches {
            work.switch(name, switch.as_ref().unwrap_or(&Switch::default()));
        }
        for (name, router) in &self.routers {
            work.router(name, router.as_ref().unwrap_or(&Router::default()));
        }
        for (name, router) in &self.routers {
            for (route, of) in router.iter().flat_map(|router| &router.routes) {
                work.route(name, route, of);
            }
            for (rule, of) in router.iter().flat_map(|router| &router.nat) {
                work.nat(name, rule, of);
            }
        }
        let Resolution { network, mut faults, .. } = work;
        faults.extend(network.check());
        faults.sort();
        faults.dedup();
        if faults.is_empty() { Ok(network) } else { Err(faults) }
    }

    /// All ids that are spoken for: those in the document, and those of all that exists (what goes included, so that
    /// nothing new is mistaken for it by anyone).
    fn ids(&self, present: &Network) -> Ids {
        let mut ids = Ids::default();
        let switches = self.switches.values().flatten().filter_map(|switch| switch.id);
        let routers = self.routers.values().flatten().filter_map(|router| router.id);
        ids.datapaths.extend(switches.chain(routers).map(DatapathId::get));
        for (ls, switch) in self.switches.iter().filter_map(|(ls, switch)| Some((ls, switch.as_ref()?))) {
            let ports = switch.ports.values().filter_map(|port| port.0.port_id);
            ids.switch_ports.entry(ls.clone()).or_default().extend(ports.map(PortId::get));
        }
        for (lr, router) in self.routers.iter().filter_map(|(lr, router)| Some((lr, router.as_ref()?))) {
            let of_router = ids.router_ports.entry(lr.clone()).or_default();
            of_router.extend(router.ports.values().filter_map(|port| port.0.port_id).map(PortId::get));
            of_router.extend(router.links.values().filter_map(|link| link.0.router_port_id).map(PortId::get));
            for (ls, link) in &router.links {
                let of_switch = ids.switch_ports.entry(ls.clone()).or_default();
                of_switch.extend(link.0.switch_port_id.map(PortId::get));
            }
        }
        for (key, object) in present.iter() {
            match (key, object) {
                (_, Object::Ls(ls)) => drop(ids.datapaths.insert(ls.id.get())),
                (_, Object::Lr(lr)) => drop(ids.datapaths.insert(lr.id.get())),
                (Key::Lsp(ls, _), Object::Lsp(port)) => {
                    ids.switch_ports.entry(ls.clone()).or_default().insert(port.port_id.get());
                }
                (Key::Lrp(lr, _), Object::Lrp(port)) => {
                    ids.router_ports.entry(lr.clone()).or_default().extend(port.port_id.map(PortId::get));
                }
                _ => {}
            }
        }
        ids
    }
}

/// Numbers that are taken.
#[derive(Default)]
struct Ids {
    datapaths: BTreeSet<u32>,
    switch_ports: BTreeMap<Name, BTreeSet<u16>>,
    router_ports: BTreeMap<Name, BTreeSet<u16>>,
}

struct Resolution<'a> {
    present: &'a Network,
    network: Network,
    ids: Ids,
    faults: Vec<Invalid>,
}

impl Resolution<'_> {
    /// Adds an object. Two parts of a document may describe one: a link, and a port of the same name.
    fn put(&mut self, key: Key, object: Object) {
        if self.network.get(&key).is_some() {
            let problem = "the document describes it twice: by a link, and by a port of the same name";
            self.faults.push(Invalid::new(&key, "", problem, "describe it once"));
        } else {
            self.network.insert(key, object);
        }
    }

    /// An object's own id if the document says none, else a free one.
    fn datapath(&mut self, key: &Key, asked: Option<DatapathId>) -> Option<DatapathId> {
        let own = match self.present.get(key) {
            Some(Object::Ls(ls)) => Some(ls.id),
            Some(Object::Lr(lr)) => Some(lr.id),
            _ => None,
        };
        let id = asked.or(own).or_else(|| {
            let next = free(&self.ids.datapaths, DatapathId::MAX)?;
            self.ids.datapaths.insert(next);
            DatapathId::new(next)
        });
        if id.is_none() {
            let problem = format!("all {} ids are in use", DatapathId::MAX);
            self.faults.push(Invalid::new(key, "id", problem, "delete switches or routers first"));
        }
        id
    }

    fn port_id(&mut self, key: &Key, asked: Option<PortId>) -> Option<PortId> {
        let own = match self.present.get(key) {
            Some(Object::Lsp(port)) => Some(port.port_id),
            Some(Object::Lrp(port)) => port.port_id,
            _ => None,
        };
        let id = asked.or(own).or_else(|| {
            let taken = match key {
                Key::Lsp(ls, _) => self.ids.switch_ports.entry(ls.clone()).or_default(),
                Key::Lrp(lr, _) => self.ids.router_ports.entry(lr.clone()).or_default(),
                _ => return None,
            };
            let next = free(taken, PortId::MAX)?;
            taken.insert(next);
            PortId::new(next)
        });
        if id.is_none() {
            let problem = format!("all {} port ids are in use", PortId::MAX);
            self.faults.push(Invalid::new(key, "port_id", problem, "delete ports first"));
        }
        id
    }

    /// As asked; else the present one, unless it was derived from addresses that change; else derived.
    fn mac(&mut self, key: &Key, asked: Option<Mac>, ips: &[IpAddr]) -> Option<Mac> {
        let own = match self.present.get(key) {
            Some(Object::Lsp(port)) => port.mac.map(|mac| (mac, port.ips.clone())),
            Some(Object::Lrp(port)) => Some((port.mac, port.nets.iter().map(|net| net.addr()).collect())),
            _ => None,
        };
        let kept = own.filter(|(mac, old)| old == ips || Mac::derived_from(old) != Some(*mac)).map(|(mac, _)| mac);
        let mac = asked.or(kept).or_else(|| Mac::derived_from(ips));
        if mac.is_none() {
            self.faults.push(Invalid::new(key, "ips", "there is none", "give at least one"));
        }
        mac
    }

    fn switch(&mut self, name: &Name, of: &Switch) {
        let key = Key::Ls(name.clone());
        if let Some(id) = self.datapath(&key, of.id) {
            let meta = meta(&of.description, &of.labels);
            self.put(key, Object::Ls(LogicalSwitch { id, flood: of.flood, mtu: of.mtu, meta }));
        }
        for (lsp, port) in &of.ports {
            self.switch_port(SwitchPortRef { ls: name.clone(), lsp: lsp.clone() }, &port.0);
        }
    }

    fn switch_port(&mut self, at: SwitchPortRef, of: &Port) {
        let key = Key::Lsp(at.ls, at.lsp);
        let Some(port_id) = self.port_id(&key, of.port_id) else { return };
        let mac = match of.patch {
            Some(_) => of.mac, // none, or one that is refused
            None => match self.mac(&key, of.mac, &of.ips) {
                None => return,
                mac => mac,
            },
        };
        let (ips, peer, meta) = (of.ips.clone(), of.peer.clone(), meta(&of.description, &of.labels));
        self.put(key, Object::Lsp(SwitchPort { port_id, mac, ips, peer, patch: of.patch.clone(), meta }));
    }

    fn router(&mut self, name: &Name, of: &Router) {
        let key = Key::Lr(name.clone());
        if let Some(id) = self.datapath(&key, of.id) {
            let meta = meta(&of.description, &of.labels);
            let (chassis, ecmp_hash) = (of.chassis.clone(), of.ecmp_hash.clone());
            self.put(key, Object::Lr(LogicalRouter { id, chassis, ecmp_hash, meta }));
        }
        for (lrp, port) in &of.ports {
            self.router_port(RouterPortRef { lr: name.clone(), lrp: lrp.clone() }, &port.0);
        }
        for (ls, link) in &of.links {
            self.link(name, ls, &link.0);
        }
    }

    fn router_port(&mut self, at: RouterPortRef, of: &PlainPort) {
        let key = Key::Lrp(at.lr, at.lrp);
        let ips: Vec<IpAddr> = of.nets.iter().map(|net| net.addr()).collect();
        let (Some(port_id), Some(mac)) = (self.port_id(&key, of.port_id), self.mac(&key, of.mac, &ips)) else {
            return;
        };
        let (nets, peer, meta) = (of.nets.clone(), of.peer.clone(), meta(&of.description, &of.labels));
        self.put(key, Object::Lrp(RouterPort { port_id: Some(port_id), mac, nets, peer, meta }));
    }

    fn link(&mut self, lr: &Name, ls: &Name, of: &Link) {
        let (lrp, lsp) = match link_names(lr, ls) {
            Ok(names) => names,
            Err(invalid) => return self.faults.push(invalid),
        };
        let ips: Vec<IpAddr> = of.nets.iter().map(|net| net.addr()).collect();
        let mac = of.mac.or_else(|| self.mac(&Key::Lrp(lrp.lr.clone(), lrp.lrp.clone()), None, &ips));
        let router_port = PlainPort {
            port_id: of.router_port_id,
            mac,
            nets: of.nets.clone(),
            peer: Some(lsp.clone()),
            description: of.description.clone(),
            labels: of.labels.clone(),
        };
        let switch_port = Port {
            port_id: of.switch_port_id,
            mac,
            ips,
            peer: Some(lrp.clone()),
            patch: None,
            description: of.description.clone(),
            labels: of.labels.clone(),
        };
        self.router_port(lrp, &router_port);
        self.switch_port(lsp, &switch_port);
    }

    fn route(&mut self, lr: &Name, name: &Name, of: &Route) {
        let key = Key::Lsr(lr.clone(), name.clone());
        let outport = match &of.outport {
            Some(outport) => outport.clone(),
            None => {
                let leads = self
                    .network
                    .router_ports(lr)
                    .filter(|(_, port)| port.nets.iter().any(|net| net.contains(&of.next_hop)));
                let leads: Vec<&Name> = leads.map(|(lrp, _)| lrp).collect();
                if let [only] = leads[..] {
                    only.clone()
                } else {
                    let problem = match leads.len() {
                        0 => format!("no port of {lr} has {} in a network", of.next_hop),
                        n => format!("{n} ports of {lr} have {} in a network", of.next_hop),
                    };
                    return self.faults.push(Invalid::new(key, "outport", problem, "name the port that leads there"));
                }
            }
        };
        let meta = meta(&of.description, &of.labels);
        let route = StaticRoute { prefix: of.prefix, next_hop: of.next_hop, outport, meta };
        self.put(key, Object::Lsr(route));
    }

    fn nat(&mut self, lr: &Name, name: &Name, of: &Nat) {
        let rule = NatRule {
            kind: of.kind,
            prefix: of.prefix,
            xlate_ip: of.xlate_ip,
            distributed: of.distributed,
            meta: meta(&of.description, &of.labels),
        };
        self.put(Key::Lnat(lr.clone(), name.clone()), Object::Lnat(rule));
    }
}

/// The number after the highest taken, or, if that is the last, the first gap.
fn free<T: Copy + Ord + From<u8> + TryInto<u32> + TryFrom<u32>>(taken: &BTreeSet<T>, max: T) -> Option<T> {
    let up = |n: T| n.try_into().ok().and_then(|n: u32| T::try_from(n + 1).ok());
    match taken.last() {
        None => Some(T::from(1)),
        Some(last) if *last < max => up(*last),
        Some(_) => {
            let mut candidate = T::from(1);
            for number in taken {
                if *number > candidate {
                    return Some(candidate);
                }
                candidate = up(*number)?;
            }
            (candidate <= max).then_some(candidate)
        }
    }
}

fn meta(description: &Option<String>, labels: &BTreeMap<String, String>) -> Meta {
    Meta { description: description.clone().filter(|text| !text.is_empty()), labels: labels.clone() }
}
