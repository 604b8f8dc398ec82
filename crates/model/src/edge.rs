//! Edges: what the way between a virtual network and the physical one is made of, and how it is put into a network and taken out again.
//!
//! ```text
//!                   central router (distributed)
//!                     |  default route ->        one for each edge: of equal prefix, so that all edges are used
//!                   switch m1                    an inner network of two
//!                     |  <- routes to the virtual network
//!                   router edge1, pinned to a chassis; optional snat
//!                     |  default route ->
//!                   switch outside1
//!                     |  patch port              to a bridge of that chassis
//!                   physical network
//! ```
//! All that [`NewEdge::build`] makes is labelled with [`LABEL`], so that [`without`] takes away just that.

mod build;

pub use build::{EdgeError, NewEdge, Taken};

use crate::{
    entity::{Meta, NatKind, Patch, RouterPort, RouterPortRef, StaticRoute, SwitchPort},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The label of all that was made for an edge; its value is the name of the edge's router.
pub const LABEL: &str = "tpctl.edge";
/// The label, of an edge's router, of the network that inner networks are cut from.
pub const INNER: &str = "tpctl.inner";
/// The value of [`LABEL`] for a central router that was made because there was none.
const CENTRAL: &str = "central";
/// An edge as it is: a pinned router with a port on a switch that has a patch port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The router.
    pub router: Name,
    /// The chassis that it is pinned to.
    pub chassis: Name,
    /// The switch that meets the physical network.
    pub outside: Name,
    /// The patch port of that chassis there.
    pub patch: Option<Patch>,
    /// The router's own addresses in the physical network.
    pub vips: Vec<IpNet>,
    /// Next hops of its default routes.
    pub gateways: Vec<IpAddr>,
    /// What it routes inwards.
    pub virts: Vec<IpNet>,
    /// What its snat rules translate to.
    pub snats: Vec<IpAddr>,
    /// The routers behind it.
    pub central: Vec<Name>,
    /// The networks that its inner network was cut from; empty if it was not made by [`NewEdge::build`].
    pub inners: Vec<IpNet>,
    /// Whether it was made by [`NewEdge::build`].
    pub made: bool,
}

/// All edges of a network, those too that were made by hand; ordered by router.
pub fn edges(network: &Network) -> Vec<Edge> {
    let mut patches: BTreeMap<&Name, Vec<&Patch>> = BTreeMap::new();
    for (key, object) in network.iter() {
        if let (Key::Lsp(ls, _), Object::Lsp(SwitchPort { patch: Some(patch), .. })) = (key, object) {
            patches.entry(ls).or_default().push(patch);
        }
    }
    let mut all = Vec::new();
    for (router, lr) in network.routers() {
        let Some(chassis) = &lr.chassis else { continue };
        let outside = network.router_ports(router).find_map(|(lrp, port)| {
            let ls = &port.peer.as_ref()?.ls;
            Some((lrp, port, ls, patches.get(ls)?))
        });
        let Some((lrp, port, outside, patches)) = outside else { continue };
        let (out, inner): (Vec<_>, Vec<_>) =
            network.routes(router).map(|(_, route)| route).partition(|route| route.outport == *lrp);
        let snats = network.nat_rules(router).filter(|(_, rule)| rule.kind == NatKind::Snat);
        let mut central: Vec<Name> = inner.iter().filter_map(|route| router_at(network, router, route)).collect();
        central.sort();
        central.dedup();
        let mut snats: Vec<IpAddr> = snats.map(|(_, rule)| rule.xlate_ip).collect();
        snats.dedup();
        let inners = lr.meta.labels.get(INNER).map(String::as_str).unwrap_or_default();
        all.push(Edge {
            router: router.clone(),
            chassis: chassis.clone(),
            outside: outside.clone(),
            patch: patches.iter().find(|patch| patch.chassis == *chassis).map(|patch| Patch::clone(patch)),
            vips: port.nets.clone(),
            gateways: out.iter().filter(|route| route.prefix.prefix_len() == 0).map(|route| route.next_hop).collect(),
            virts: inner.iter().map(|route| route.prefix).collect(),
            snats,
            central,
            inners: inners.split(',').filter_map(|net| net.trim().parse().ok()).collect(),
            made: lr.meta.labels.get(LABEL).is_some_and(|label| label == router.as_str()),
        });
    }
    all
}

/// The router that a route of another leads to.
fn router_at(network: &Network, from: &Name, route: &StaticRoute) -> Option<Name> {
    let port = network.router_port(&RouterPortRef { lr: from.clone(), lrp: route.outport.clone() })?;
    let ls = &port.peer.as_ref()?.ls;
    let owner = network.switch_ports(ls).find(|(_, port)| port.ips.contains(&route.next_hop))?;
    Some(owner.1.peer.as_ref()?.lr.clone())
}

/// The network without an edge, and all that went: its router and switches with everything in them, and what led there. A central router that
/// was made for edges goes with the last of them, unless it has got something else meanwhile.
pub fn without(network: &Network, edge: &Edge) -> Network {
    let labelled = |meta: Option<&Meta>| {
        meta.and_then(|meta| meta.labels.get(LABEL)).is_some_and(|label| label == edge.router.as_str())
    };
    let datapaths: BTreeSet<&Key> = network
        .iter()
        .filter(|(key, object)| matches!(key, Key::Ls(_) | Key::Lr(_)) && labelled(object.meta()))
        .map(|(key, _)| key)
        .collect();
    let within = |key: &Key| parent(key).is_some_and(|parent| datapaths.contains(&parent));
    let mut gone: BTreeSet<Key> = BTreeSet::new();
    for (key, object) in network.iter() {
        if datapaths.contains(key) || within(key) || labelled(object.meta()) {
            gone.insert(key.clone());
        }
        // The other end of a link.
        let peer = match (key, object) {
            (Key::Lsp(..), Object::Lsp(SwitchPort { peer: Some(peer), .. })) => {
                Key::Lrp(peer.lr.clone(), peer.lrp.clone())
            }
            (Key::Lrp(..), Object::Lrp(RouterPort { peer: Some(peer), .. })) => {
                Key::Lsp(peer.ls.clone(), peer.lsp.clone())
            }
            _ => continue,
        };
        if within(key) && network.get(&peer).is_some() {
            gone.insert(peer);
        }
    }
    let through = |key: &Key, object: &Object| match (key, object) {
        (Key::Lsr(lr, _), Object::Lsr(route)) => gone.contains(&Key::Lrp(lr.clone(), route.outport.clone())),
        _ => false,
    };
    let routes: Vec<Key> = network.iter().filter(|(key, o)| through(key, o)).map(|(key, _)| key.clone()).collect();
    let mut rest = network.clone();
    for key in gone.iter().chain(&routes) {
        rest.remove(key);
    }
    let idle = |lr: &Name| rest.iter().all(|(key, _)| parent(key) != Some(Key::Lr(lr.clone())));
    let central: Vec<Key> = rest
        .routers()
        .filter(|(lr, router)| router.meta.labels.get(LABEL).is_some_and(|label| label == CENTRAL) && idle(lr))
        .map(|(lr, _)| Key::Lr(lr.clone()))
        .collect();
    for key in central {
        rest.remove(&key);
    }
    rest
}

fn parent(key: &Key) -> Option<Key> {
    match key {
        Key::Lsp(ls, _) => Some(Key::Ls(ls.clone())),
        Key::Lrp(lr, _) | Key::Lsr(lr, _) | Key::Lnat(lr, _) => Some(Key::Lr(lr.clone())),
        _ => None,
    }
}
