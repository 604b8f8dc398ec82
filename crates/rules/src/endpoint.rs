//! How to reach each chassis: by the first tunnel end point of it whose protocol this host has a port for.

use crate::fact::{Chassis, TunnelFact};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{entity::EncapKind, name::Name};

/// How to reach a chassis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub chassis: Name,
    pub kind: EncapKind,
    pub ip: IpAddr,
}

/// ```text
/// endpoint(Chassis, Kind, Ip) <- chassis(Chassis, encap: (Kind, Ip)), tunnel(Kind); the first in the chassis' order.
/// ```
pub fn derive(chassis: &Relation<Chassis>, tunnel: &Relation<TunnelFact>) -> Relation<Endpoint> {
    let encaps = chassis.flat_map(|c| {
        let name = c.name.clone();
        let encaps: Vec<_> = c.encaps.iter().copied().enumerate().collect();
        encaps.into_iter().map(move |(rank, encap)| (name.clone(), rank, encap))
    });
    encaps
        .index(|(_, _, encap)| encap.kind)
        .semijoin(&tunnel.index(|t| t.kind))
        .min_by(|(chassis, _, _)| chassis.clone(), |(_, rank, _)| *rank)
        .map(|(chassis, _, encap)| Endpoint { chassis: chassis.clone(), kind: encap.kind, ip: encap.ip })
        .named("endpoint")
}
