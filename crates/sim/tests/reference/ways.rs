//! The routes of a router: which ways a packet may take.

use crate::{
    places::At,
    world::{Gate, Place, Router, World},
};
use std::net::IpAddr;
use tuplenet_model::{entity::NatKind, name::Name};

/// A way of a router: its port, and the next hop; `None`: it is the destination itself.
pub type Way<'a> = (&'a Name, &'a Gate, Option<IpAddr>);

impl World {
    /// The ways that a packet may take on a host.
    pub fn ways<'a>(&self, host: &Name, router: &'a Router, src: IpAddr, dst: IpAddr) -> Vec<Way<'a>> {
        let by_static = router.routes.iter().filter_map(|route| {
            let (lrp, gate) = router.ports.get_key_value(&route.outport)?;
            let near = gate.is.nets.iter().any(|net| net.contains(&route.next_hop));
            let own = gate.is.nets.iter().any(|net| net.addr() == route.next_hop);
            (near && !own).then_some((route.prefix, 1, (lrp, gate, Some(route.next_hop))))
        });
        let connected = router
            .ports
            .iter()
            .flat_map(|(lrp, gate)| gate.is.nets.iter().map(move |net| (*net, 0, (lrp, gate, None))));
        let all = by_static.chain(connected);
        let all = all.filter(|(net, _, (_, gate, _))| gate.link.is_some() && net.contains(&dst));
        let all: Vec<_> = all.collect();
        let Some(best) = all.iter().map(|(net, rank, _)| (net.prefix_len(), *rank)).max() else { return Vec::new() };
        let mut ways: Vec<Way> = Vec::new();
        for (net, rank, way) in all {
            if (net.prefix_len(), rank) == best && !ways.iter().any(|(lrp, _, hop)| (*lrp, *hop) == (way.0, way.2)) {
                ways.push(way);
            }
        }
        // A connected network of several ports cannot be.
        if best.1 == 0 || ways.len() < 2 {
            ways.truncate(1);
            return ways;
        }
        // A next hop that is known to be dead only if all are.
        if ways.iter().any(|way| !self.is_dead(host, way)) {
            ways.retain(|way| !self.is_dead(host, way));
        }
        let homes: Vec<Way> = ways.iter().copied().filter(|(_, gate, hop)| self.translates(gate, *hop, src)).collect();
        if homes.is_empty() { ways } else { homes }
    }

    /// A VM of this host that is down, or nobody at all, in a switch where all are known.
    fn is_dead(&self, host: &Name, (_, gate, hop): &Way) -> bool {
        let (Some(hop), Some((ls, _))) = (hop, &gate.link) else { return false };
        let at = At { host: host.clone(), crossings: 0 };
        let ports = &self.switches[ls].ports;
        let outside = ports.values().any(|port| matches!(port.place, Place::Patch(_)));
        match ports.iter().find(|(_, port)| port.is.ips.contains(hop) && self.reach(&at, port).is_some()) {
            Some((lsp, port)) => {
                port.place == Place::Vm(host.clone()) && self.dead.contains(&(ls.clone(), lsp.clone()))
            }
            None => !outside,
        }
    }

    /// Whether a next hop is an edge that has that inner address behind an external one of its own.
    fn translates(&self, gate: &Gate, hop: Option<IpAddr>, src: IpAddr) -> bool {
        let (Some(hop), Some((ls, _))) = (hop, &gate.link) else { return false };
        self.switches[ls].ports.values().filter(|port| port.is.ips.contains(&hop)).any(|port| match &port.place {
            Place::Link { lr, .. } if self.routers[lr].pinned.is_some() => {
                let mut rules = self.routers[lr].rules.iter();
                rules.any(|r| r.kind != NatKind::Snat && !r.distributed && r.inner().addr() == src)
            }
            _ => false,
        })
    }
}
