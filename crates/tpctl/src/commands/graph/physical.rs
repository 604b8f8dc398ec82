//! The hosts as a picture: chassis, what they host, and the tunnels between those that share a datapath.

use super::{
    order::natural,
    picture::{Edge, Fault, Host, Life, Line, Node, Picture, What},
    presence::Presence,
    source::Source,
    words::some,
};
use crate::print::count;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{entity::EncapKind, key::Key, name::Name, object::Object};
use tuplenet_store::network::words;

/// Up to so many tunnels each is a line of its own; beyond, chassis that all see each other are drawn as one mesh. 36 are those of 9 chassis, the
/// most that can be followed with the eye.
pub const READABLE: usize = 36;
/// Up to so many where everything is asked for: those of 45 chassis. More lines are a surface.
pub const DRAWABLE: usize = 990;
/// How many ports without a host are named.
const NAMED: usize = 5;

/// Draws it. `around` is a switch or a router that the chassis have; Up to `most` tunnels are lines of their own.
pub fn picture(source: &Source, around: Option<&Key>, most: usize) -> Picture {
    let presence = Presence::of(source);
    let hosts = hosts(source);
    let wanted = |name: &&Name| around.is_none_or(|datapath| presence.has(name, datapath));
    let mut names: Vec<&Name> = hosts.keys().filter(wanted).collect();
    names.sort_by(|a, b| natural(a, b));
    let mut picture = Picture::default();
    for name in &names {
        let Some(host) = hosts.get(*name) else { continue };
        let key = Key::Chassis((*name).clone()).to_string();
        let mut node = Node::new(&key, name.as_str(), What::Chassis(host.clone()));
        node.faults = source.rejected.iter().filter(|fault| fault.key == key).cloned().collect();
        if node.faults.is_empty() && host.life == Life::Unregistered {
            let reason = format!("{name} has not registered: start its agent, or see \"tpctl ch show\"");
            node.faults.push(Fault { key, reason });
        }
        node.rejected = !node.faults.is_empty();
        picture.nodes.push(node);
    }
    // Members of each group of datapaths that reach each other, as indexes.
    let members = presence.members(&names);
    let all: usize = members.values().map(|all| all.len() * all.len().saturating_sub(1) / 2).sum();
    let tunnels = if all <= most {
        pairs(&mut picture, &names, &presence, source)
    } else {
        picture.collapsed = most < DRAWABLE;
        meshes(&mut picture, members, &presence)
    };
    notes(source, &hosts, around, &mut picture);
    let (alive, ports) = (names.iter().filter_map(|name| hosts.get(*name)), picture.nodes.iter());
    let alive = alive.filter(|host| host.life == Life::Alive).count();
    let ports: usize = ports.map(|node| if let What::Chassis(host) = &node.what { host.count() } else { 0 }).sum();
    let of = around.map(|datapath| format!("hosts of {}: ", words(datapath))).unwrap_or_default();
    picture.title = format!(
        "{of}{} chassis, {alive} alive, with {}, {}",
        names.len(),
        count(ports, "port", "ports"),
        count(tunnels, "tunnel", "tunnels")
    );
    picture
}

impl Host {
    /// How many ports it hosts.
    pub fn count(&self) -> usize {
        self.ports.values().map(Vec::len).sum()
    }
    /// The kinds of its encaps, best first, each once.
    pub fn kinds(&self) -> Vec<EncapKind> {
        let mut kinds: Vec<EncapKind> = Vec::new();
        for encap in &self.encaps {
            if !kinds.contains(&encap.kind) {
                kinds.push(encap.kind);
            }
        }
        kinds
    }
}

/// Every chassis that has registered, or that a binding or a router names.
fn hosts(source: &Source) -> BTreeMap<Name, Host> {
    let empty = |name: &Name| Host {
        life: source.life(name),
        encaps: Vec::new(),
        roles: Vec::new(),
        ports: BTreeMap::new(),
        routers: Vec::new(),
    };
    let mut hosts: BTreeMap<Name, Host> = BTreeMap::new();
    for (key, object) in source.network.iter() {
        match (key, object) {
            (Key::Chassis(name), Object::Chassis(chassis)) => {
                let host = hosts.entry(name.clone()).or_insert_with(|| empty(name));
                (host.encaps, host.roles) = (chassis.encaps.clone(), chassis.roles.clone());
            }
            (Key::Binding(ls, lsp), Object::Binding(binding)) if exists(source, ls, lsp) => {
                let host = hosts.entry(binding.chassis.clone()).or_insert_with(|| empty(&binding.chassis));
                host.ports.entry(ls.clone()).or_default().push(lsp.clone());
            }
            (Key::Lr(lr), Object::Lr(router)) => {
                let Some(name) = &router.chassis else { continue };
                hosts.entry(name.clone()).or_insert_with(|| empty(name)).routers.push(lr.clone());
            }
            _ => {}
        }
    }
    for fault in &source.rejected {
        if let Ok(Some(Key::Chassis(name))) = Key::parse(&fault.key) {
            hosts.entry(name.clone()).or_insert_with(|| empty(&name));
        }
    }
    for host in hosts.values_mut() {
        host.ports.values_mut().for_each(|ports| ports.sort_by(|a, b| natural(a, b)));
        host.routers.sort_by(|a, b| natural(a, b));
    }
    hosts
}

fn exists(source: &Source, ls: &Name, lsp: &Name) -> bool {
    source.network.get(&Key::Lsp(ls.clone(), lsp.clone())).is_some()
}

/// `web/web1, web/web2 and 3 more`
fn named(mut ports: Vec<String>) -> String {
    ports.sort_by(|a, b| natural(a, b));
    some(&ports, NAMED)
}

/// Which protocols two chassis use for each other: each the best of the other's that it has, too. Best first, at most two.
fn common(a: &Host, b: &Host) -> Vec<EncapKind> {
    let (ours, theirs) = (a.kinds(), b.kinds());
    let there = theirs.iter().find(|kind| ours.contains(kind));
    let back = ours.iter().find(|kind| theirs.contains(kind));
    let mut kinds: Vec<EncapKind> = there.into_iter().chain(back).copied().collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn host(picture: &Picture, node: usize) -> Option<&Host> {
    match picture.nodes.get(node).map(|node| &node.what) {
        Some(What::Chassis(host)) if !host.encaps.is_empty() => Some(host),
        _ => None,
    }
}

/// A line for each two chassis. Gives their number.
fn pairs(picture: &mut Picture, names: &[&Name], presence: &Presence, source: &Source) -> usize {
    let mut edges = Vec::new();
    for (from, a) in names.iter().enumerate() {
        for (to, b) in names.iter().enumerate().skip(from + 1) {
            let shared = presence.shared(a, b);
            let (Some(one), Some(other), 1..) = (host(picture, from), host(picture, to), shared) else { continue };
            let kinds = common(one, other);
            let mut faults = Vec::new();
            if kinds.is_empty() {
                let reason =
                    format!("{a} and {b} have no tunnel type in common: give one of them another --encap-type");
                faults.push(Fault { key: Key::Chassis((*a).clone()).to_string(), reason });
            }
            let bfd = source.sessions.as_ref().and_then(|sessions| sessions.between(a, b)).map(str::to_owned);
            let what = Line::Tunnel { kinds, shared, bfd };
            edges.push(Edge { faults, ..Edge::new(from, to, what) });
        }
    }
    picture.edges = edges;
    picture.edges.len()
}

/// A node for all chassis that share the same. Gives the number of tunnels that they stand for.
fn meshes(picture: &mut Picture, members: BTreeMap<usize, Vec<usize>>, presence: &Presence) -> usize {
    let mut by_members: BTreeMap<Vec<usize>, Vec<Name>> = BTreeMap::new();
    for (group, mut all) in members {
        all.retain(|node| host(picture, *node).is_some());
        if all.len() > 1 {
            by_members.entry(all).or_default().extend(presence.datapaths(group));
        }
    }
    let mut together: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (number, (all, datapaths)) in by_members.into_iter().enumerate() {
        let kinds: BTreeSet<Vec<EncapKind>> = all.iter().filter_map(|n| Some(host(picture, *n)?.kinds())).collect();
        let mut used: Vec<EncapKind> = kinds.iter().flatten().copied().collect();
        used.sort();
        used.dedup();
        let what = What::Mesh { chassis: all.len(), kinds: used, datapaths };
        let mut node = Node::new(format!("mesh/{}", number + 1), format!("mesh {}", number + 1), what);
        let apart = |a: &Vec<EncapKind>| kinds.iter().any(|b| !a.iter().any(|kind| b.contains(kind)));
        if kinds.iter().any(apart) {
            let reason = "some of its chassis have no tunnel type in common: see \"tpctl ch show\"".to_owned();
            node.faults.push(Fault { key: "chassis".to_owned(), reason });
        }
        let mesh = picture.nodes.len();
        picture.nodes.push(node);
        for (i, chassis) in all.iter().enumerate() {
            picture.edges.push(Edge::new(mesh, *chassis, Line::Member));
            together.extend(all.iter().skip(i + 1).map(|other| (*chassis, *other)));
        }
    }
    together.len()
}

/// What belongs to no chassis.
fn notes(source: &Source, hosts: &BTreeMap<Name, Host>, around: Option<&Key>, picture: &mut Picture) {
    let bound: BTreeSet<(&Name, &Name)> =
        hosts.values().flat_map(|h| h.ports.iter().flat_map(|(ls, all)| all.iter().map(move |p| (ls, p)))).collect();
    let here = |ls: &Name| around.is_none_or(|datapath| *datapath == Key::Ls(ls.clone()));
    let (mut lost, mut stale): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (key, object) in source.network.iter() {
        match (key, object) {
            (Key::Lsp(ls, lsp), Object::Lsp(port))
                if port.peer.is_none() && here(ls) && !bound.contains(&(ls, lsp)) =>
            {
                lost.push(format!("{ls}/{lsp}"));
            }
            (Key::Binding(ls, lsp), _) if here(ls) && !exists(source, ls, lsp) => stale.push(format!("{ls}/{lsp}")),
            _ => {}
        }
    }
    if !lost.is_empty() {
        picture.notes.push(format!("{} on no host: {}", count(lost.len(), "port is", "ports are"), named(lost)));
    }
    if !stale.is_empty() {
        let bindings = count(stale.len(), "binding is", "bindings are");
        picture.notes.push(format!("{bindings} of ports that do not exist: {}", named(stale)));
    }
    let mut elsewhere = 0;
    for fault in &source.rejected {
        match Key::parse(&fault.key) {
            Ok(Some(Key::Chassis(_))) => {}
            Ok(Some(Key::Binding(ls, lsp))) => {
                let binding = source.network.get(&Key::Binding(ls.clone(), lsp.clone()));
                let chassis = if let Some(Object::Binding(binding)) = binding { Some(&binding.chassis) } else { None };
                let node = chassis.and_then(|name| picture.nodes.iter_mut().find(|node| node.name == name.as_str()));
                match node {
                    Some(node) => node.faults.push(fault.clone()),
                    None if around.is_none() => picture.loose.push(fault.clone()),
                    None => {}
                }
            }
            // A binding's port is judged with the port.
            Ok(Some(Key::Lsp(ls, lsp))) if bound.contains(&(&ls, &lsp)) => {
                let hosts_it = |node: &&mut Node| match &node.what {
                    What::Chassis(host) => host.ports.get(&ls).is_some_and(|all| all.contains(&lsp)),
                    _ => false,
                };
                if let Some(node) = picture.nodes.iter_mut().find(hosts_it) {
                    node.faults.push(fault.clone());
                }
            }
            _ => elsewhere += 1,
        }
    }
    if elsewhere > 0 && around.is_none() {
        let objects = count(elsewhere, "other object is", "other objects are");
        picture.notes.push(format!("{objects} set aside: see \"tpctl graph\" without --physical, or \"tpctl doctor\""));
    }
}
