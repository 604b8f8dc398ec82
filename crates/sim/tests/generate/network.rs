//! Networks, as lists of objects.

use serde_json::{Value, json};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;

/// An object as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its path below `<prefix>/v1/`; unique in a network.
    pub path: String,
    /// Its value, perhaps no valid JSON.
    pub json: String,
    /// The revision that made it; several may have one.
    pub created: i64,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @{} {}", self.path, self.created, self.json)
    }
}

/// A switch port that was planned, whatever became of it: something to send packets from and to.
#[derive(Clone, Debug)]
pub struct Port {
    pub ls: String,
    pub lsp: String,
    pub mac: Mac,
    pub ips: Vec<IpAddr>,
    /// The end of a link.
    pub gateway: bool,
    /// What its binding says, if it has one; where the patch port is.
    pub chassis: Option<String>,
    /// No port, but a station behind the patch port of that name.
    pub outside: bool,
    /// The VLAN that its frames have there.
    pub vlan: Option<u16>,
}

/// A station that a host has learned of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub chassis: String,
    pub ls: String,
    pub ip: IpAddr,
    pub mac: Mac,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} knows {} on {} as {}", self.chassis, self.ip, self.ls, self.mac)
    }
}

/// A network.
#[derive(Clone, Default)]
pub struct Network {
    pub objects: Vec<Object>,
    pub ports: Vec<Port>,
    pub neighbours: Vec<Neighbour>,
    /// Addresses that NAT rules give.
    pub externals: Vec<IpAddr>,
}

pub fn v4(net: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, net, 0, host)
}

pub fn v6(net: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into())
}

/// The number in the addresses of the first router's port that leads nowhere.
pub const LOOPBACKS: u8 = 8;

/// A network that is being made.
#[derive(Default)]
pub struct Draft {
    /// Path, value, and the revision if that matters.
    pub objects: Vec<(String, Value, Option<i64>)>,
    /// Paths whose value is to be this text.
    pub broken: Vec<(String, &'static str)>,
    pub ports: Vec<Port>,
    pub neighbours: Vec<Neighbour>,
    pub externals: Vec<IpAddr>,
}

impl Draft {
    /// Puts an object in place of the one that is there.
    pub fn put(&mut self, path: String, value: Value) {
        self.put_aged(path, value, None);
    }

    /// The same, with a create revision.
    pub fn put_aged(&mut self, path: String, value: Value, created: Option<i64>) {
        match self.objects.iter_mut().find(|(known, ..)| *known == path) {
            Some(known) => *known = (path, value, created),
            None => self.objects.push((path, value, created)),
        }
    }

    /// A switch port and, if it has a chassis, its binding.
    pub fn put_port(&mut self, port: Port, port_id: usize) {
        let Port { ls, lsp, mac, ips, chassis, .. } = &port;
        self.put(format!("ls/{ls}/lsp/{lsp}"), json!({"port_id": port_id, "mac": mac, "ips": ips}));
        if let Some(chassis) = chassis {
            self.put(format!("binding/{ls}/{lsp}"), json!({"chassis": chassis, "generation": 1}));
        }
        self.ports.push(port);
    }

    /// Changes an object, if it is there.
    pub fn edit(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        if let Some((_, value, _)) = self.objects.iter_mut().find(|(known, ..)| known == path) {
            change(value);
        }
    }

    pub fn finish(self, ages: &[i64]) -> Network {
        let objects = self.objects.iter().enumerate().map(|(i, (path, value, created))| {
            let broken = self.broken.iter().find(|(known, _)| known == path);
            let json = broken.map_or_else(|| value.to_string(), |(_, text)| (*text).to_owned());
            Object { path: path.clone(), json, created: created.unwrap_or_else(|| ages[i % ages.len()]) }
        });
        let objects = objects.collect();
        let Draft { ports, neighbours, externals, .. } = self;
        Network { objects, ports, neighbours, externals }
    }
}
