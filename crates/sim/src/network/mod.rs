//! All hosts of a network: what the store says, the switch that the rules make of it for each host, and packets walked from host to host.

mod error;
mod walk;

pub use error::WalkError;
pub use walk::Delivery;

use crate::{
    host::{Host, Place},
    names::Names,
    packet::Packet,
    path::{Hop, Path},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{entity::EncapKind, key::Key, mac::Mac, name::Name};
use tuplenet_rules::{Change, ClaimMark};

/// An object as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its path below `<prefix>/v1/`.
    pub path: String,
    /// Its JSON, perhaps one that cannot be read: then it is set aside, as an agent does.
    pub value: Bytes,
    /// The revision that made it.
    pub create_revision: i64,
}

/// See the module.
#[derive(Default)]
pub struct Network {
    objects: BTreeMap<String, (Bytes, i64)>,
    names: Names,
    /// The ports of each chassis, by their bindings.
    bound: BTreeMap<Name, BTreeSet<Place>>,
    hosts: BTreeMap<Name, Host>,
    /// Chassis whose own IP stack takes what is for the outside: IPv4, IPv6.
    untunnels: BTreeMap<Name, (bool, bool)>,
    /// Neighbours outside that each chassis knows, by switch and address.
    neighbours: BTreeMap<Name, BTreeMap<(Name, IpAddr), Mac>>,
}

impl Network {
    /// The network that these objects describe, bindings and chassis included.
    pub fn new(objects: impl IntoIterator<Item = Object>) -> Network {
        let mut network = Network::default();
        network.apply(objects.into_iter().map(|o| (o.path, Some(o.value), o.create_revision)));
        network
    }

    /// Changes the network: an object's path, its value (`None`: it is deleted), and the revision that made it. Every host that was looked at so far follows.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = (String, Option<Bytes>, i64)>) {
        let mut told: Vec<Change> = Vec::new();
        let mut touched: BTreeSet<Place> = BTreeSet::new();
        for (path, value, create_revision) in changes {
            if let Ok(Some(Key::Binding(ls, lsp))) = Key::parse(&path) {
                if let Some(before) = self.names.binding(&ls, &lsp)
                    && let Some(ports) = self.bound.get_mut(&before.chassis)
                {
                    ports.remove(&(ls.clone(), lsp.clone()));
                }
                touched.insert((ls, lsp));
            }
            self.names.apply(&path, value.as_deref(), create_revision);
            if let Ok(Some(Key::Binding(ls, lsp))) = Key::parse(&path)
                && let Some(now) = self.names.binding(&ls, &lsp)
            {
                self.bound.entry(now.chassis.clone()).or_default().insert((ls, lsp));
            }
            match &value {
                Some(value) => self.objects.insert(path.clone(), (value.clone(), create_revision)),
                None => self.objects.remove(&path),
            };
            if !self.hosts.is_empty() {
                told.push(Change::Object { path, value, create_revision });
            }
        }
        for (name, host) in &mut self.hosts {
            let mine = |place: &Place| {
                let binding = self.names.binding(&place.0, &place.1).filter(|b| b.chassis == *name);
                (place.clone(), binding.map(|b| mark(place, b.generation)))
            };
            host.apply(told.clone(), touched.iter().map(mine), tunnels(&self.names, name));
        }
    }

    /// Puts a port on a chassis, as if its interface were there. A chassis that does not exist is imagined, with an end point for Geneve.
    pub fn place(&mut self, ls: &Name, lsp: &Name, chassis: &Name) {
        let generation = self.names.binding(ls, lsp).map_or(0, |binding| binding.generation).saturating_add(1);
        let mut changes = Vec::new();
        if self.names.chassis(chassis).is_none() {
            // 2001:2::/48 is for benchmarks (RFC 5180): no underlay has it.
            let free = (1_u128..).map(|n| IpAddr::from((0x2001_0002_u128 << 96 | n).to_be_bytes()));
            let ip = free.into_iter().find(|ip| self.names.chassis_at(*ip).is_none());
            let encap = ip.map(|ip| format!(r#"{{"type":"geneve","ip":"{ip}"}}"#)).unwrap_or_default();
            let json = format!(r#"{{"encaps":[{encap}],"roles":[]}}"#);
            changes.push((Key::Chassis(chassis.clone()).to_string(), Some(json.into()), i64::MAX));
        }
        let json = format!(r#"{{"chassis":"{chassis}","generation":{generation}}}"#);
        changes.push((Key::Binding(ls.clone(), lsp.clone()).to_string(), Some(json.into()), i64::MAX));
        self.apply(changes);
    }

    /// A host: the rules at work for it, and its switch. Made on first use. `None`: no object of the network speaks of such a chassis.
    pub fn host(&mut self, chassis: &Name) -> Option<&mut Host> {
        let known =
            self.names.chassis(chassis).is_some() || self.bound.get(chassis).is_some_and(|ports| !ports.is_empty());
        if !known && !self.pinned(chassis) {
            return None;
        }
        if !self.hosts.contains_key(chassis) {
            let objects = self.objects.iter().map(|(path, (value, created))| Change::Object {
                path: path.clone(),
                value: Some(value.clone()),
                create_revision: *created,
            });
            let places = self.bound.get(chassis).into_iter().flatten().filter_map(|place| {
                let binding = self.names.binding(&place.0, &place.1)?;
                Some((place.clone(), mark(place, binding.generation)))
            });
            let mut host = Host::new(chassis, objects, places, tunnels(&self.names, chassis));
            if let Some((ipv4, ipv6)) = self.untunnels.get(chassis) {
                host.untunnel(*ipv4, *ipv6);
            }
            if let Some(known) = self.neighbours.get(chassis) {
                let fact = |((ls, ip), mac): (&(Name, IpAddr), &Mac)| Change::Neighbour {
                    ls: ls.clone(),
                    ip: *ip,
                    mac: Some(*mac),
                };
                host.learn(known.iter().map(fact));
            }
            self.hosts.insert(chassis.clone(), host);
        }
        self.hosts.get_mut(chassis)
    }

    /// A host's agent learns of a neighbour outside, or forgets it. Nobody else learns in a simulated network: packets for a neighbour that is not known end.
    pub fn learn(&mut self, chassis: &Name, ls: &Name, ip: IpAddr, mac: Option<Mac>) {
        let known = self.neighbours.entry(chassis.clone()).or_default();
        match mac {
            Some(mac) => known.insert((ls.clone(), ip), mac),
            None => known.remove(&(ls.clone(), ip)),
        };
        if let Some(host) = self.hosts.get_mut(chassis) {
            host.learn([Change::Neighbour { ls: ls.clone(), ip, mac }]);
        }
    }

    /// What this chassis' VMs send outside leaves by its own IP stack, of these families, if an edge would do nothing else with it; of none: by tunnel.
    pub fn untunnel(&mut self, chassis: &Name, ipv4: bool, ipv6: bool) {
        self.untunnels.insert(chassis.clone(), (ipv4, ipv6));
        if let Some(host) = self.hosts.get_mut(chassis) {
            host.untunnel(ipv4, ipv6);
        }
    }

    fn pinned(&self, chassis: &Name) -> bool {
        self.names.objects().any(|(_, object)| match object {
            tuplenet_model::object::Object::Lr(router) => router.chassis.as_ref() == Some(chassis),
            _ => false,
        })
    }

    /// All objects that can be read, by name and by number.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What passed a stage, from what registers say there: see [`Names::hop`].
    pub fn hop(&self, chassis: &Name, table: u8, datapath: u32, from: u32, to: u32) -> Option<Hop> {
        self.names.hop(chassis, table, datapath, from, to)
    }

    /// The chassis with a tunnel end point.
    pub fn chassis_at(&self, ip: IpAddr) -> Option<Name> {
        self.names.chassis_at(ip).cloned()
    }

    /// The chassis that a port is on: of a patch port the one that it names, of any other that of its binding.
    pub fn chassis_of(&self, ls: &Name, lsp: &Name) -> Option<Name> {
        let patch = self.names.switch_port(ls, lsp).and_then(|port| port.patch.as_ref());
        patch.map(|patch| patch.chassis.clone()).or_else(|| Some(self.names.binding(ls, lsp)?.chassis.clone()))
    }

    /// The path of a packet that a port sends: every hop of every copy, and what became of each. A host's hops come in its order; those of another host
    /// come after all hops of the host that sent the packet there, one copy after another in the order of sending, and so on in depth.
    pub fn walk(&mut self, ls: &Name, lsp: &Name, packet: Packet) -> Result<Path, WalkError> {
        walk::start(self, ls, lsp, packet).map(|walked| walked.path)
    }

    /// What is delivered of a packet that a port sends, each copy as it leaves.
    pub fn deliveries(&mut self, ls: &Name, lsp: &Name, packet: Packet) -> Result<Vec<Delivery>, WalkError> {
        walk::start(self, ls, lsp, packet).map(|walked| walked.deliveries)
    }

    /// The path of a packet from the middle of a host's pipeline: what registers it has there must be set. The hop of that table is part of the path.
    pub fn resume(&mut self, chassis: &Name, table: u8, packet: Packet) -> Result<Path, WalkError> {
        walk::resume(self, chassis, table, packet).map(|walked| walked.path)
    }
}

fn mark(place: &Place, generation: u64) -> ClaimMark {
    ClaimMark { lsp: format!("{}/{}", place.0, place.1), generation }
}

/// The tunnel protocols that a host speaks: an agent makes ports for its own end points.
fn tunnels(names: &Names, chassis: &Name) -> BTreeSet<EncapKind> {
    names.chassis(chassis).into_iter().flat_map(|chassis| chassis.encaps.iter().map(|encap| encap.kind)).collect()
}

#[cfg(test)]
mod tests;
