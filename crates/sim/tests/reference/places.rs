//! Where things are, seen from a host: ports, other hosts, patch ports, external addresses.

use crate::world::{Gate, Place, Port, World};
use std::net::IpAddr;
use tuplenet_model::{
    entity::{EncapKind, NatRule},
    mac::Mac,
    name::Name,
};

/// Where a packet is: on a host, and how often it crossed the underlay until there.
#[derive(Clone)]
pub struct At {
    pub host: Name,
    pub crossings: u32,
}

impl World {
    /// Whether there is such a host.
    pub fn exists(&self, host: &Name) -> bool {
        let bound = |port: &Port| port.place == Place::Vm(host.clone());
        self.chassis.contains_key(host)
            || self.switches.values().any(|switch| switch.ports.values().any(bound))
            || self.routers.values().any(|router| router.pinned.as_ref() == Some(host))
    }

    /// The host where a port is, seen from a host; `None` if it cannot be reached.
    pub fn reach(&self, at: &At, port: &Port) -> Option<At> {
        let there = match &port.place {
            Place::Vm(chassis) | Place::Patch(chassis) => Some(chassis),
            Place::Link { lr, .. } => self.routers[lr].pinned.as_ref(),
            Place::Nowhere => return None,
        };
        there.map_or_else(|| Some(at.clone()), |there| self.go(at, there))
    }

    pub fn go(&self, at: &At, there: &Name) -> Option<At> {
        if *there == at.host {
            return Some(at.clone());
        }
        self.tunnel(&at.host, there).map(|_| At { host: there.clone(), crossings: at.crossings + 1 })
    }

    /// How a host can send to another.
    pub fn tunnel(&self, from: &Name, to: &Name) -> Option<EncapKind> {
        let (from, to) = (self.chassis.get(from)?, self.chassis.get(to)?);
        to.encaps.iter().map(|encap| encap.kind).find(|kind| from.encaps.iter().any(|ours| ours.kind == *kind))
    }

    /// By which patch port the frames of a host leave, and where that is.
    pub fn way_out(&self, at: &At, ls: &Name) -> Option<(At, Name)> {
        let switch = &self.switches[ls];
        let there = if switch.patch(&at.host).is_some() { &at.host } else { self.designated(ls)? };
        Some((self.go(at, there)?, switch.patch(there)?.0.clone()))
    }

    /// Whether what comes from outside for a port is let in by the patch port of that host.
    pub fn speaks(&self, host: &Name, ls: &Name, port: &Port) -> bool {
        let designated = self.designated(ls) == Some(host);
        let there = match &port.place {
            Place::Vm(there) => there,
            Place::Link { lr, .. } => match &self.routers[lr].pinned {
                Some(there) => there,
                None => return designated,
            },
            Place::Patch(_) | Place::Nowhere => return false,
        };
        self.speaks_for(host, ls, there)
    }

    pub fn speaks_for(&self, host: &Name, ls: &Name, there: &Name) -> bool {
        there == host || self.designated(ls) == Some(host) && self.switches[ls].patch(there).is_none()
    }

    /// Whether a router's port is an uplink.
    pub fn is_uplink(&self, gate: &Gate) -> bool {
        let patched = |ls: &Name| self.switches[ls].ports.values().any(|port| matches!(port.place, Place::Patch(_)));
        gate.link.as_ref().is_some_and(|(ls, _)| patched(ls))
    }

    /// Whether a distributed rule is for VMs of two switches of its router: nobody could tell whose packets are whose.
    pub fn is_ambiguous(&self) -> bool {
        let mut unpinned = self.routers.iter().filter(|(_, router)| router.pinned.is_none());
        unpinned.any(|(lr, router)| router.rules.iter().any(|rule| self.homes(lr, rule).len() > 1))
    }

    /// The host with the VM that a distributed rule is for.
    pub fn home(&self, lr: &Name, rule: &NatRule) -> Option<&Name> {
        self.homes(lr, rule).into_iter().next()
    }

    pub fn homes(&self, lr: &Name, rule: &NatRule) -> Vec<&Name> {
        let linked = self.routers[lr].ports.values().filter_map(|gate| Some(&gate.link.as_ref()?.0));
        let ports = linked.flat_map(|ls| self.switches[ls].ports.values());
        let has = ports.filter(|port| port.is.ips.contains(&rule.inner().addr()));
        let hosts = has.filter_map(|port| if let Place::Vm(host) = &port.place { Some(host) } else { None });
        hosts.collect()
    }

    /// The rules that a router has in force on a host.
    pub fn rules(&self, host: &Name, lr: &Name) -> Vec<NatRule> {
        let router = &self.routers[lr];
        let here = |rule: &&NatRule| router.pinned.is_some() || self.home(lr, rule) == Some(host);
        router.rules.iter().filter(here).cloned().collect()
    }

    /// Distributed external addresses on a switch that a host knows of: the address, its MAC, the host that has it, the router and its port.
    pub fn floats(&self, at: &At, ls: &Name) -> Vec<(IpAddr, Mac, At, &Name, &Name)> {
        let mut all = Vec::new();
        for (lr, router) in self.routers.iter().filter(|(_, router)| router.pinned.is_none()) {
            for (lrp, gate) in router.ports.iter().filter(|(_, gate)| self.is_uplink(gate)) {
                if gate.link.as_ref().is_none_or(|(on, _)| on != ls) {
                    continue;
                }
                for rule in &router.rules {
                    let there = self.home(lr, rule).and_then(|home| self.go(at, home));
                    all.extend(there.map(|there| (rule.external(), float(rule.external()), there, lr, lrp)));
                }
            }
        }
        all
    }

    /// External addresses on a switch of pinned routers that can be reached: the address, and the router's port there.
    pub fn externals(&self, at: &At, ls: &Name) -> Vec<(IpAddr, &Name, &Port)> {
        let switch = &self.switches[ls];
        if !switch.ports.values().any(|port| matches!(port.place, Place::Patch(_))) {
            return Vec::new();
        }
        let gates = switch.ports.values().filter_map(|port| match &port.place {
            Place::Link { lr, .. } if self.routers[lr].pinned.is_some() => Some((lr, port)),
            _ => None,
        });
        let gates = gates.filter(|(_, port)| self.reach(at, port).is_some());
        let known =
            gates.flat_map(|(lr, port)| self.routers[lr].rules.iter().map(move |rule| (rule.external(), lr, port)));
        known.filter(|(ip, _, port)| !port.is.ips.contains(ip)).collect()
    }
}

/// `f2:01` and the address, or `f2:02` and its last four bytes.
fn float(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => Mac::derived(ip),
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            Mac([0xf2, 2, a, b, c, d])
        }
    }
}
