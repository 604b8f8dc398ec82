//! The network as the store has it, with what the rules set aside, to turn numbers into names.

use crate::commands::{Context, chassis::alive, doctor};
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{Chassis, RouterPort, SwitchPort},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use tuplenet_rules::cookie::name_hash;
use tuplenet_store::{Kv, network::words};

/// Everything that explanations are made from, at one revision of the store.
pub struct World {
    /// All readable objects, those that are set aside included.
    pub network: Network,
    /// What is set aside, by path, with the reasons.
    pub aside: BTreeMap<String, Vec<String>>,
    /// Chassis whose agents are alive.
    pub alive: BTreeSet<String>,
    /// As it was listed.
    pub found: Vec<Kv>,
    root: String,
}

impl World {
    /// Reads it.
    pub async fn read(context: &Context) -> Result<Self> {
        let (found, revision) = context.store.list("").await?;
        let network = context.store.snapshot_of(&found, revision).network();
        let mut aside: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, reason) in doctor::rejected(context, &found)? {
            aside.entry(key).or_default().push(reason);
        }
        let alive = alive(context).await?.into_keys().collect();
        Ok(Self { network, aside, alive, found, root: context.store.root().to_owned() })
    }

    /// The path of a store key.
    pub fn path<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.root.as_str()).unwrap_or(key)
    }

    /// Why an object is set aside; `None`: it is not.
    pub fn why_aside(&self, key: &Key) -> Option<String> {
        self.aside.get(&key.to_string()).map(|reasons| reasons.join("; "))
    }

    /// Of several that fit, those that are in force; all, if none is.
    fn prefer(&self, keys: Vec<Key>) -> Vec<Key> {
        let in_force: Vec<Key> = keys.iter().filter(|key| self.why_aside(key).is_none()).cloned().collect();
        if in_force.is_empty() { keys } else { in_force }
    }

    /// The switches and routers that have an id: one, unless all that have it are set aside.
    pub fn datapaths(&self, id: u32) -> Vec<Key> {
        let switches = self.network.switches().filter(|(_, o)| o.id.get() == id).map(|(name, _)| Key::Ls(name.clone()));
        let routers = self.network.routers().filter(|(_, o)| o.id.get() == id).map(|(name, _)| Key::Lr(name.clone()));
        self.prefer(switches.chain(routers).collect())
    }

    /// The ports of a datapath that have a number, as registers and cookies have it.
    pub fn ports(&self, datapath: u32, number: u32) -> Vec<Key> {
        let in_one = |key: &Key| -> Vec<Key> {
            match key {
                Key::Ls(ls) => {
                    let fits =
                        self.network.switch_ports(ls).filter(|(_, port)| u32::from(port.port_id.get()) == number);
                    fits.map(|(name, _)| Key::Lsp(ls.clone(), name.clone())).collect()
                }
                Key::Lr(lr) => {
                    let fits = self.network.router_ports(lr).filter(|(name, port)| is_number_of(name, port, number));
                    fits.map(|(name, _)| Key::Lrp(lr.clone(), name.clone())).collect()
                }
                _ => Vec::new(),
            }
        };
        self.prefer(self.datapaths(datapath).iter().flat_map(in_one).collect())
    }

    /// The static routes of a router whose names have this hash.
    pub fn routes(&self, datapath: u32, hash: u32) -> Vec<Key> {
        let mut found = Vec::new();
        for key in self.datapaths(datapath) {
            let Key::Lr(lr) = key else { continue };
            let fits = self.network.routes(&lr).filter(|(name, _)| name_hash(name) == hash);
            found.extend(fits.map(|(name, _)| Key::Lsr(lr.clone(), name.clone())));
        }
        found
    }

    /// All chassis.
    pub fn chassis(&self) -> impl Iterator<Item = (&Name, &Chassis)> {
        self.network.iter().filter_map(|pair| match pair {
            (Key::Chassis(name), Object::Chassis(chassis)) => Some((name, chassis)),
            _ => None,
        })
    }

    /// The chassis whose names have this hash.
    pub fn chassis_named(&self, hash: u32) -> Vec<Key> {
        self.chassis().filter(|(name, _)| name_hash(name) == hash).map(|(name, _)| Key::Chassis(name.clone())).collect()
    }

    /// The chassis that has a tunnel end point.
    pub fn chassis_at(&self, ip: IpAddr) -> Option<&Name> {
        self.chassis().find(|(_, chassis)| chassis.encaps.iter().any(|encap| encap.ip == ip)).map(|(name, _)| name)
    }

    /// Which chassis hosts a port, by its binding.
    pub fn host(&self, ls: &Name, lsp: &Name) -> Option<&Name> {
        match self.network.get(&Key::Binding(ls.clone(), lsp.clone())) {
            Some(Object::Binding(binding)) => Some(&binding.chassis),
            _ => None,
        }
    }

    /// A switch port.
    pub fn switch_port(&self, ls: &Name, lsp: &Name) -> Option<&SwitchPort> {
        match self.network.get(&Key::Lsp(ls.clone(), lsp.clone())) {
            Some(Object::Lsp(port)) => Some(port),
            _ => None,
        }
    }

    /// The port of a datapath with a MAC address.
    pub fn with_mac(&self, datapath: u32, mac: [u8; 6]) -> Option<Key> {
        let one = |key: Key| match key {
            Key::Ls(ls) => {
                let fits = self.network.switch_ports(&ls).find(|(_, port)| port.mac.0 == mac);
                fits.map(|(name, _)| Key::Lsp(ls.clone(), name.clone()))
            }
            Key::Lr(lr) => {
                let fits = self.network.router_ports(&lr).find(|(_, port)| port.mac.0 == mac);
                fits.map(|(name, _)| Key::Lrp(lr.clone(), name.clone()))
            }
            _ => None,
        };
        self.datapaths(datapath).into_iter().find_map(one)
    }

    /// The port of a switch, or of one of the switches around a router, that has an address.
    pub fn with_address(&self, datapath: u32, ip: IpAddr) -> Option<Key> {
        let of_switch = |ls: &Name| {
            let fits = self.network.switch_ports(ls).find(|(_, port)| port.ips.contains(&ip));
            fits.map(|(name, _)| Key::Lsp(ls.clone(), name.clone()))
        };
        self.datapaths(datapath).into_iter().find_map(|key| match key {
            Key::Ls(ls) => of_switch(&ls),
            Key::Lr(lr) => {
                let peers = self.network.router_ports(&lr).filter_map(|(_, port)| port.peer.as_ref());
                peers.map(|peer| &peer.ls).find_map(of_switch)
            }
            _ => None,
        })
    }

    /// A datapath in words: "switch LS-A".
    pub fn datapath_words(&self, id: u32) -> String {
        let named = self.datapaths(id).iter().map(words).collect::<Vec<_>>().join(" or ");
        if named.is_empty() { format!("the datapath with id {id}, which is not in the store") } else { named }
    }

    /// A port in words, its datapath left out: "port vm1".
    pub fn port_words(&self, datapath: Option<u32>, number: u32) -> String {
        let keys = datapath.map(|datapath| self.ports(datapath, number)).unwrap_or_default();
        let named = keys.iter().filter_map(child).map(Name::as_str).collect::<Vec<_>>().join(" or ");
        match (named.is_empty(), datapath) {
            (false, _) => format!("port {named}"),
            (true, Some(_)) => format!("the port with id {number}, which is not in the store"),
            (true, None) => format!("the port with id {number}"),
        }
    }
}

/// The last name of a key that has a parent.
pub fn child(key: &Key) -> Option<&Name> {
    match key {
        Key::Lsp(_, name) | Key::Lrp(_, name) | Key::Lsr(_, name) | Key::Binding(_, name) => Some(name),
        Key::Ls(_) | Key::Lr(_) | Key::Chassis(_) => None,
    }
}

/// Whether a router's port has this number: its id, or for a port without one what its name gives (24 bits of it in a cookie).
fn is_number_of(name: &Name, port: &RouterPort, number: u32) -> bool {
    match port.port_id {
        Some(id) => u32::from(id.get()) == number,
        None => name_hash(name) == number & 0xff_ffff,
    }
}
