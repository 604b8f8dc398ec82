//! Which tunnel end points are watched by BFD (RFC 5880): those that a route needs, seen from both ends.
//!
//! A static route may lead to a port of a router that is pinned to another chassis, an edge. The host that follows the route watches the edge,
//! so that its switch knows by itself when the edge is dead. A session needs both ends: the edge derives from the same objects
//! who follows such a route to it, and watches that host. What one end derives for the other is the same at both, else a session would never come up:
//!
//! - *Who*: a host follows a route if its router is pinned there, or if the router is distributed and the host has a port in a switch that distributed
//!   routers join to it.
//! - *How*: by the edge's first encap that the host has as well, which is the one that the host sends by.

use crate::{
    fact::{Chassis, Lr, Lsr, TunnelFact},
    output::Watch,
    port::{Endpoint, Link, SwitchPort},
};
use tuplenet_datalog::{Index, Relation, reach};
use tuplenet_model::{
    entity::{Encap, EncapKind},
    id::DatapathId,
    name::Name,
};

/// What the rules here read.
pub struct Sources<'a> {
    pub me: &'a Name,
    /// Routers that matter here or are next to something that does.
    pub routers: &'a Relation<Lr>,
    /// Their static routes.
    pub routes: &'a Relation<Lsr>,
    pub link: &'a Relation<Link>,
    /// Switches' ports that lead to routers pinned to other chassis, which these are.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    /// Ports that other chassis have, by switch, and which these are.
    pub at_in: &'a Index<DatapathId, (SwitchPort, Name)>,
    /// Other chassis with a patch port of a switch.
    pub patched_by: &'a Relation<(DatapathId, Name)>,
    pub chassis: &'a Relation<Chassis>,
    /// All chassis' end points as this one would send to them.
    pub endpoint_of: &'a Index<Name, Endpoint>,
    /// Our flow-based tunnel ports.
    pub tunnel: &'a Relation<TunnelFact>,
}

/// A static route to a pinned router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Hop {
    /// The router that has the route.
    lr: Name,
    /// The chassis of the router that it leads to.
    to: Name,
}

/// What one chassis can be reached by: rank, protocol, address.
type Ranked = (Name, usize, Encap);

/// ```text
/// hop(LR, To)          <- lsr(LR, Hop, OutPort), attached(LR, OutPort, LS), end(LS, Hop, To).
/// attached(LR, LRP, LS) <- link(LS, LR, LRP) or pinned(LS, LR, LRP, _).
/// end(LS, Ip, To)      <- pinned(LS, _, _, To, Ip), or link(LS, LR, _, Ip), LR is pinned to us, To = us.
/// watched(C)           <- hop(LR, C), LR is distributed or pinned to us, C != us.
/// watching(H)          <- hop(LR, us), LR is pinned to H, H != us.
/// watching(H)          <- hop(LR, us), LR is distributed, joined(LR, LS), port or patch port of H in LS.
/// joined(LR, Datapath) <- reach by links of distributed routers.
/// drawing()            <- watching(_).
/// watch(C, Encap)      <- watched(C), endpoint(C, Encap).
/// watch(H, Encap)      <- watching(H), Encap of H of the kind and family of the first of ours that H has the kind of.
/// ```
/// Cost of a port: none, but for a port of another chassis in a switch that a watching host is found by: two rows.
pub fn watches(s: &Sources<'_>) -> (Relation<Watch>, Relation<()>) {
    let us = s.me.clone();
    let own_ends = s.link.filter(|link| !link.router.distributed).map(move |link| (link.port.clone(), us.clone()));
    let end = own_ends.concat(s.pinned).flat_map(|(port, to)| {
        let (ls, to) = (port.ls, to.clone());
        let ips = port.lsp.value.ips.to_vec();
        ips.into_iter().map(move |ip| (ls, ip, to.clone()))
    });
    let attached = s
        .link
        .map(|link| (link.router.lrp.name.clone(), link.port.ls))
        .concat(&s.pinned.flat_map(|(port, _)| Some(((**port.lsp.value.peer.as_ref()?).clone(), port.ls))));
    let hop = s
        .routes
        .index(|lsr| (lsr.name.0.clone(), lsr.value.outport.clone()))
        .join(&attached.index(|(lrp, _)| lrp.clone()), |(lr, _), lsr, (_, ls)| (lr.clone(), *ls, lsr.value.next_hop))
        .index(|(_, ls, hop)| (*ls, *hop))
        .join(&end.index(|(ls, ip, _)| (*ls, *ip)), |_, (lr, ..), (.., to)| Hop { lr: lr.clone(), to: to.clone() })
        .distinct()
        .named("hop");
    let placed = hop.index(|hop| hop.lr.clone()).join(&s.routers.index(|lr| lr.name.clone()), |_, hop, lr| {
        (hop.to.clone(), lr.value.id, lr.value.chassis.clone())
    });

    let us = s.me.clone();
    let watched = placed
        .flat_map(move |(to, _, at)| (*to != us && at.as_ref().is_none_or(|at| *at == us)).then(|| to.clone()))
        .distinct();
    let there = watched.index(Name::clone).join(s.endpoint_of, |_, _, e| Watch {
        chassis: e.chassis.clone(),
        kind: e.kind,
        ip: e.ip,
    });

    let us = s.me.clone();
    let by_edge =
        placed.flat_map(move |(to, _, at)| (*to == us).then_some(at.as_ref()?).filter(|at| **at != us).cloned());
    let us = s.me.clone();
    let targets = placed.flat_map(move |(to, lr, at)| (*to == us && at.is_none()).then_some(*lr)).distinct();
    let joins = s.link.filter(|link| link.router.distributed).flat_map(|link| {
        let (ls, lr) = (link.port.ls, link.router.lr);
        [(ls, lr), (lr, ls)]
    });
    let joined = reach(&targets, &joins).index(|datapath| *datapath);
    let by_port = s.at_in.semijoin(&joined).map(|(_, chassis)| chassis.clone());
    let by_patch = s.patched_by.index(|(ls, _)| *ls).semijoin(&joined).map(|(_, chassis)| chassis.clone());
    let watching = by_edge.concat_all([&by_port, &by_patch]).distinct().named("watching");

    (there.concat(&back(s, &watching)).distinct().named("watch"), watching.map(|_| ()).distinct())
}

/// How those that watch us send here, seen from this end.
fn back(s: &Sources<'_>, watching: &Relation<Name>) -> Relation<Watch> {
    let us = s.me.clone();
    let ours = s
        .chassis
        .filter(move |chassis| chassis.name == us)
        .flat_map(ranked)
        .index(|(.., encap)| encap.kind)
        .semijoin(&s.tunnel.index(|tunnel| tunnel.kind));
    let theirs = watching
        .index(Name::clone)
        .join_flat(&s.chassis.index(|chassis| chassis.name.clone()), |_, _, chassis| ranked(chassis));
    // By which of ours they send: the first that they have the kind of.
    let kinds = theirs.map(|(name, _, encap)| (name.clone(), encap.kind)).distinct();
    let chosen = kinds
        .index(|(_, kind)| *kind)
        .join(&ours.index(|(.., encap)| encap.kind), |_, (name, _), (_, rank, encap)| (name.clone(), *rank, *encap))
        .min_by(|(name, ..)| name.clone(), |(_, rank, _)| *rank);
    chosen
        .index(|(name, _, encap)| (name.clone(), way(encap)))
        .join(&theirs.index(|(name, _, encap)| (name.clone(), way(encap))), |_, _, theirs| theirs.clone())
        .min_by(|(name, ..)| name.clone(), |(_, rank, _)| *rank)
        .map(|(chassis, _, encap)| Watch { chassis: chassis.clone(), kind: encap.kind, ip: encap.ip })
}

fn ranked(chassis: &Chassis) -> Vec<Ranked> {
    chassis.encaps.iter().enumerate().map(|(rank, encap)| (chassis.name.clone(), rank, *encap)).collect()
}

/// What two end points must have in common to meet.
fn way(encap: &Encap) -> (EncapKind, bool) {
    (encap.kind, encap.ip.is_ipv4())
}
