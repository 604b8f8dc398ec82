//! Which tunnel end points are watched by BFD (RFC 5880): those that a route needs, seen from both ends.
//!
//! A static route may lead to a port of a router that is pinned to another chassis, an edge, or be one of several equal ones and lead to a guest there. The host that follows
//! the route watches that chassis, so that its switch knows by itself when it is dead. A session needs both ends: the other one derives from the same objects
//! who follows such a route to it, and watches that host. What one end derives for the other is the same at both, else a session would never come up:
//!
//! - *To whom* routes lead: [`crate::hop`].
//! - *Who*: a host follows a route if its router is pinned there, or if the router is distributed and the host has a port in a switch that distributed
//!   routers join to it.
//! - *How*: by the first encap of the chassis that the route leads to which the host has as well, which is the one that the host sends by.
//!
//! Who has guests that are next hops is no edge for that: it draws no traffic to its uplinks.

use crate::{
    endpoint::Endpoint,
    fact::{Chassis, Lr, TunnelFact},
    hop::Hop,
    output::Watch,
    port::Link,
    valid_port::SwitchPort,
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
    /// To whom their static routes lead.
    pub hop: &'a Relation<Hop>,
    pub link: &'a Relation<Link>,
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

/// What comes of them.
pub struct Watches {
    pub watches: Relation<Watch>,
    /// Others follow routes to this chassis: as to an edge, or to guests here.
    pub drawing: Relation<bool>,
    /// To these chassis this one follows routes as to edges.
    pub edges: Relation<Name>,
}

/// What one chassis can be reached by: rank, protocol, address.
type Ranked = (Name, usize, Encap);

/// ```text
/// watched(C)           <- hop(LR, C), LR is distributed or pinned to us, C != us.
/// watching(H)          <- hop(LR, us), LR is pinned to H, H != us.
/// watching(H)          <- hop(LR, us), LR is distributed, joined(LR, LS), port or patch port of H in LS.
/// joined(LR, Datapath) <- reach by links of distributed routers.
/// drawing(as an edge)  <- watching(_), for a hop that is an edge; for one that is a guest likewise.
/// edge(C)              <- watched(C), for a hop that is an edge.
/// watch(C, Encap)      <- watched(C), endpoint(C, Encap).
/// watch(H, Encap)      <- watching(H), Encap of H of the kind and family of the first of ours that H has the kind of.
/// ```
/// Cost of a port: none, but for a port of another chassis in a switch that a watching host is found by: two rows.
pub fn watches(s: &Sources<'_>) -> Watches {
    let placed = s.hop.index(|hop| hop.lr.clone()).join(&s.routers.index(|lr| lr.name.clone()), |_, hop, lr| {
        (hop.clone(), lr.value.id, lr.value.chassis.clone())
    });

    let us = s.me.clone();
    let follows = placed.flat_map(move |(hop, _, at)| {
        (hop.to != us && at.as_ref().is_none_or(|at| *at == us)).then(|| (hop.edge, hop.to.clone()))
    });
    let edges = follows.flat_map(|(edge, to)| edge.then(|| to.clone())).distinct();
    let watched = follows.map(|(_, to)| to.clone()).distinct();
    let there = watched.index(Name::clone).join(s.endpoint_of, |_, _, e| Watch {
        chassis: e.chassis.clone(),
        kind: e.kind,
        ip: e.ip,
    });

    let us = s.me.clone();
    let by_pin = placed.flat_map(move |(hop, _, at)| {
        let from = (hop.to == us).then_some(at.as_ref()?).filter(|at| **at != us)?;
        Some((hop.edge, from.clone()))
    });
    // Both kinds of hops in one walk, so that each port is looked at once.
    let us = s.me.clone();
    let targets =
        placed.flat_map(move |(hop, lr, at)| (hop.to == us && at.is_none()).then_some((hop.edge, *lr))).distinct();
    let joins = s.link.filter(|link| link.router.distributed).flat_map(|link| {
        let (ls, lr) = (link.port.ls, link.router.lr);
        [true, false].into_iter().flat_map(move |edge| [((edge, ls), (edge, lr)), ((edge, lr), (edge, ls))])
    });
    let joined = reach(&targets, &joins).index(|(_, datapath)| *datapath);
    let by_port = s.at_in.join(&joined, |_, (_, chassis), (edge, _)| (*edge, chassis.clone()));
    let by_patch =
        s.patched_by.index(|(ls, _)| *ls).join(&joined, |_, (_, chassis), (edge, _)| (*edge, chassis.clone()));
    let watching = by_pin.concat_all([&by_port, &by_patch]).distinct().named("watching");
    let drawing = watching.map(|(edge, _)| *edge).distinct();
    let back = back(s, &watching.map(|(_, from)| from.clone()).distinct());

    Watches { watches: there.concat(&back).distinct().named("watch"), drawing, edges }
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
