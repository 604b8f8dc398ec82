//! The logical network as a picture: switches, routers, links, static routes.

use super::{
    order::natural,
    picture::{Edge, Fault, Line, Node, Picture, Route, What},
    source::Source,
};
use crate::{
    commands::{
        bfd::Sessions,
        ways::{self, NextHop},
    },
    print::count,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{RouterPortRef, SwitchPortRef},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};

/// Draws it. Linear in the number of objects, but for sorting.
pub fn picture(source: &Source) -> Picture {
    let mut faults: BTreeMap<&str, Vec<Fault>> = BTreeMap::new();
    for fault in &source.rejected {
        faults.entry(&fault.key).or_default().push(fault.clone());
    }
    let nodes = nodes(source, &mut faults);
    let place: BTreeMap<String, usize> = nodes.iter().enumerate().map(|(i, node)| (node.id.clone(), i)).collect();
    let sessions = source.sessions.as_ref();
    let mut work = Work { network: &source.network, sessions, place, faults, edges: Vec::new() };
    work.links();
    work.routes();
    let Work { place, faults, mut edges, .. } = work;
    edges.sort_by_key(|edge| (edge.from, edge.to));
    let mut picture = Picture { title: title(source), nodes, edges, ..Picture::default() };
    for fault in faults.into_values().flatten() {
        let owner = Key::parse(&fault.key).ok().flatten().and_then(|key| match key {
            Key::Lsp(ls, _) | Key::Binding(ls, _) => Some(Key::Ls(ls)),
            Key::Lrp(lr, _) | Key::Lsr(lr, _) | Key::Lnat(lr, _) => Some(Key::Lr(lr)),
            _ => None,
        });
        let node = owner.and_then(|key| picture.nodes.get_mut(*place.get(&key.to_string())?));
        match node {
            Some(node) => node.faults.push(fault),
            None => picture.loose.push(fault),
        }
    }
    picture
}

/// `5 switches with 77 ports, 2 routers, 1 static route`
fn title(source: &Source) -> String {
    let (mut switches, mut ports, mut routers, mut routes) = (0, 0, 0, 0);
    for (key, object) in source.network.iter() {
        match (key, object) {
            (Key::Ls(_), _) => switches += 1,
            (Key::Lr(_), _) => routers += 1,
            (Key::Lsr(..), _) => routes += 1,
            (_, Object::Lsp(port)) if port.peer.is_none() => ports += 1,
            _ => {}
        }
    }
    let mut text = format!(
        "{} with {}, {}",
        count(switches, "switch", "switches"),
        count(ports, "port", "ports"),
        count(routers, "router", "routers")
    );
    if routes > 0 {
        text.push_str(&format!(", {}", count(routes, "static route", "static routes")));
    }
    if !source.rejected.is_empty() {
        text.push_str(&format!(", {} set aside", count(source.rejected.len(), "object", "objects")));
    }
    text
}

/// All switches and routers, those too that cannot be read.
fn nodes(source: &Source, faults: &mut BTreeMap<&str, Vec<Fault>>) -> Vec<Node> {
    let network = &source.network;
    let hosts_known = network.iter().any(|(key, _)| matches!(key, Key::Chassis(_) | Key::Binding(..)));
    let (mut ports, mut hosts) = (BTreeMap::<&Name, usize>::new(), BTreeMap::<&Name, BTreeMap<Name, usize>>::new());
    for (key, object) in network.iter() {
        match (key, object) {
            (Key::Lsp(ls, _), Object::Lsp(port)) if port.peer.is_none() => {
                *ports.entry(ls).or_default() += 1;
                // Nobody binds a patch port: it is where it says.
                if let Some(patch) = &port.patch {
                    *hosts.entry(ls).or_default().entry(patch.chassis.clone()).or_default() += 1;
                }
            }
            (Key::Binding(ls, lsp), Object::Binding(binding)) => {
                let port = network.switch_port(&SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() });
                if port.is_some_and(|port| port.peer.is_none()) {
                    *hosts.entry(ls).or_default().entry(binding.chassis.clone()).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    let aside = source.rejected.iter().filter_map(|fault| Key::parse(&fault.key).ok().flatten());
    let keys: BTreeSet<Key> = network.iter().map(|(key, _)| key.clone()).chain(aside).collect();
    let node = |key: Key| {
        let what = match &key {
            Key::Ls(ls) => What::Switch {
                ports: ports.get(ls).copied().unwrap_or(0),
                hosts: hosts_known.then(|| hosts.get(ls).cloned().unwrap_or_default()),
            },
            Key::Lr(_) => {
                let chassis = match network.get(&key) {
                    Some(Object::Lr(router)) => router.chassis.clone(),
                    _ => None,
                };
                What::Router { pinned: chassis.map(|chassis| (chassis.clone(), source.life(&chassis))) }
            }
            _ => return None,
        };
        let (Key::Ls(name) | Key::Lr(name)) = &key else { return None };
        let mut node = Node::new(key.to_string(), name.as_str(), what);
        node.faults = faults.remove(node.id.as_str()).unwrap_or_default();
        node.rejected = !node.faults.is_empty();
        Some(node)
    };
    let mut nodes: Vec<Node> = keys.into_iter().filter_map(node).collect();
    nodes.sort_by(|a, b| b.is_router().cmp(&a.is_router()).then_with(|| natural(&a.name, &b.name)));
    nodes
}

/// The edges, as they come together.
struct Work<'a> {
    network: &'a Network,
    sessions: Option<&'a Sessions>,
    place: BTreeMap<String, usize>,
    faults: BTreeMap<&'a str, Vec<Fault>>,
    edges: Vec<Edge>,
}

impl Work<'_> {
    fn node(&self, key: Key) -> Option<usize> {
        self.place.get(&key.to_string()).copied()
    }

    /// What is wrong with an object, if anything.
    fn take(&mut self, key: &Key) -> Vec<Fault> {
        self.faults.remove(key.to_string().as_str()).unwrap_or_default()
    }

    /// Two ports that name each other; or one that names another in vain, which is a fault.
    fn links(&mut self) {
        let network = self.network;
        let mut done: BTreeSet<(RouterPortRef, SwitchPortRef)> = BTreeSet::new();
        for (key, object) in network.iter() {
            let (lrp, lsp) = match (key, object) {
                (Key::Lrp(lr, lrp), Object::Lrp(port)) => {
                    let Some(peer) = port.peer.clone() else { continue };
                    (RouterPortRef { lr: lr.clone(), lrp: lrp.clone() }, peer)
                }
                (Key::Lsp(ls, lsp), Object::Lsp(port)) => {
                    let Some(peer) = port.peer.clone() else { continue };
                    (peer, SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() })
                }
                _ => continue,
            };
            let (Some(from), Some(to)) = (self.node(Key::Lr(lrp.lr.clone())), self.node(Key::Ls(lsp.ls.clone())))
            else {
                continue;
            };
            if !done.insert((lrp.clone(), lsp.clone())) {
                continue;
            }
            let nets = match (network.router_port(&lrp), network.switch_port(&lsp)) {
                (Some(port), _) => port.nets.iter().map(ToString::to_string).collect(),
                (None, Some(port)) => port.ips.iter().map(ToString::to_string).collect(),
                (None, None) => Vec::new(),
            };
            let (router_port, switch_port) = (lrp.lrp.to_string(), lsp.lsp.to_string());
            let mut edge = Edge::new(from, to, Line::Link { nets, router_port, switch_port });
            edge.faults = self.take(&Key::Lrp(lrp.lr, lrp.lrp));
            edge.faults.extend(self.take(&Key::Lsp(lsp.ls, lsp.lsp)));
            self.edges.push(edge);
        }
    }

    /// Routes of one router to one place are one arrow.
    fn routes(&mut self) {
        let network = self.network;
        let owners = owners(network);
        let mut several: BTreeMap<&Name, BTreeMap<IpNet, Vec<NextHop>>> = BTreeMap::new();
        // By from, to, and whether they work.
        let mut arrows: BTreeMap<(usize, usize, bool), Edge> = BTreeMap::new();
        for (key, object) in network.iter() {
            let (Key::Lsr(lr, name), Object::Lsr(route)) = (key, object) else { continue };
            let out = network.router_port(&RouterPortRef { lr: lr.clone(), lrp: route.outport.clone() });
            let Some((from, ls)) = self.node(Key::Lr(lr.clone())).zip(out.and_then(|port| port.peer.as_ref())) else {
                continue; // its router or port is missing, which is a fault of its own
            };
            let owner = owners.get(&(&ls.ls, route.next_hop));
            let via_router = owner.and_then(|(_, peer)| self.node(Key::Lr(peer.clone()?)));
            let Some(to) = via_router.or_else(|| self.node(Key::Ls(ls.ls.clone()))) else { continue };
            let equal = several.entry(lr).or_insert_with(|| ways::several(network, lr, self.sessions));
            let equal = equal.get(&route.prefix).map(Vec::as_slice).unwrap_or_default();
            let same = |hop: &&NextHop| hop.ip == route.next_hop && hop.outport == route.outport;
            let (of, state) = (equal.len().max(1), equal.iter().find(same).and_then(|hop| hop.state.clone()));
            let faults = self.take(key);
            let arrow = arrows.entry((from, to, faults.is_empty()));
            let arrow = arrow.or_insert_with(|| Edge::new(from, to, Line::Routes(Vec::new())));
            arrow.faults.extend(faults);
            if let Line::Routes(routes) = &mut arrow.what {
                routes.push(Route {
                    name: name.clone(),
                    prefix: route.prefix.to_string(),
                    next_hop: route.next_hop.to_string(),
                    owner: owner.map(|(port, _)| port.to_string()),
                    of,
                    state,
                });
            }
        }
        self.edges.extend(arrows.into_values());
    }
}

/// Which port of which switch has an address that is some route's next hop, and of which router it is.
fn owners(network: &Network) -> BTreeMap<(&Name, IpAddr), (&Name, Option<Name>)> {
    let route = |object: &Object| if let Object::Lsr(route) = object { Some(route.next_hop) } else { None };
    let hops: BTreeSet<IpAddr> = network.iter().filter_map(|(_, object)| route(object)).collect();
    let mut owners = BTreeMap::new();
    for (key, object) in network.iter() {
        let (Key::Lsp(ls, lsp), Object::Lsp(port)) = (key, object) else { continue };
        for ip in port.ips.iter().filter(|ip| hops.contains(ip)) {
            owners.entry((ls, *ip)).or_insert((lsp, port.peer.as_ref().map(|peer| peer.lr.clone())));
        }
    }
    owners
}
