//! The network as the store has it, with what the rules set aside, to turn numbers into names.

use super::subject;
use crate::commands::{
    Context,
    bfd::Sessions,
    chassis::{said, untunnels},
    doctor,
    neighbours::{self, Neighbour},
};
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{Chassis, NatKind, NatRule, StaticRoute, SwitchPort},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use tuplenet_rules::cookie::name_hash;
use tuplenet_store::{Kv, network::words};

/// Everything that explanations are made from, at one revision of the store.
#[derive(Default)]
pub struct World {
    /// All readable objects, those that are set aside included.
    pub network: Network,
    /// What is set aside, by path, with the reasons.
    pub aside: BTreeMap<String, Vec<String>>,
    /// Chassis whose agents are alive.
    pub alive: BTreeSet<String>,
    /// Chassis whose own IP stack takes what is for the outside: IPv4, IPv6.
    pub untunnels: BTreeMap<Name, (bool, bool)>,
    /// Whom hosts know in physical networks.
    pub neighbours: Vec<Neighbour>,
    /// What hosts say of their BFD sessions.
    pub sessions: Sessions,
    /// All that the store has, by path.
    found: BTreeMap<String, Kv>,
    root: String,
    index: Index,
}

/// Objects by the numbers and addresses that flows have for them. Several may claim one: those that lost are set aside.
#[derive(Default)]
struct Index {
    datapaths: HashMap<u32, Vec<Key>>,
    /// By datapath and number.
    ports: HashMap<(u32, u32), Vec<Key>>,
    /// By datapath.
    macs: HashMap<(u32, [u8; 6]), Key>,
    /// By switch.
    addresses: HashMap<(u32, IpAddr), Key>,
    /// Chassis by tunnel end point.
    ends: HashMap<IpAddr, Name>,
}

impl Index {
    fn of(network: &Network) -> Self {
        let mut index = Self::default();
        for (ls, switch) in network.switches() {
            let id = switch.id.get();
            index.datapaths.entry(id).or_default().push(Key::Ls(ls.clone()));
            for (lsp, port) in network.switch_ports(ls) {
                let key = Key::Lsp(ls.clone(), lsp.clone());
                index.ports.entry((id, port.port_id.get().into())).or_default().push(key.clone());
                if let Some(mac) = port.mac {
                    index.macs.entry((id, mac.0)).or_insert_with(|| key.clone());
                }
                for ip in &port.ips {
                    index.addresses.entry((id, *ip)).or_insert_with(|| key.clone());
                }
            }
        }
        for (lr, router) in network.routers() {
            let id = router.id.get();
            index.datapaths.entry(id).or_default().push(Key::Lr(lr.clone()));
            for (lrp, port) in network.router_ports(lr) {
                let key = Key::Lrp(lr.clone(), lrp.clone());
                index.ports.entry((id, subject::router_port_number(lrp, port))).or_default().push(key.clone());
                index.macs.entry((id, port.mac.0)).or_insert(key);
            }
        }
        for (name, chassis) in chassis(network) {
            for encap in &chassis.encaps {
                index.ends.entry(encap.ip).or_insert_with(|| name.clone());
            }
        }
        index
    }
}

/// All chassis.
fn chassis(network: &Network) -> impl Iterator<Item = (&Name, &Chassis)> {
    network.iter().filter_map(|pair| match pair {
        (Key::Chassis(name), Object::Chassis(chassis)) => Some((name, chassis)),
        _ => None,
    })
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
        let alive = said(context, &found);
        let neighbours = neighbours::read(context, &found);
        let untunnels = untunnels(&alive);
        let alive = alive.into_keys().collect();
        let sessions = Sessions::read(context, &found);
        let path = |kv: &Kv| context.store.path(&kv.key).to_owned();
        let found = found.into_iter().map(|kv| (path(&kv), kv)).collect();
        let root = context.store.root().to_owned();
        Ok(Self { network, aside, alive, untunnels, neighbours, sessions, found, root, index: Index::default() }
            .indexed())
    }

    /// The same, so that objects are found by their numbers and addresses.
    pub fn indexed(self) -> Self {
        Self { index: Index::of(&self.network), ..self }
    }

    /// The path of a store key.
    pub fn path<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.root.as_str()).unwrap_or(key)
    }

    /// What the store has under an object's key, readable or not.
    pub fn value(&self, key: &Key) -> Option<&Kv> {
        self.found.get(&key.to_string())
    }

    /// The keys of all objects, readable or not.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.found.keys().filter_map(|path| Key::parse(path).ok().flatten())
    }

    /// All that the store has, by path.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Kv)> {
        self.found.iter().map(|(path, kv)| (path.as_str(), kv))
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
        self.prefer(self.index.datapaths.get(&id).cloned().unwrap_or_default())
    }

    /// All switches and routers that claim an id.
    pub fn rivals(&self, id: u32) -> &[Key] {
        self.index.datapaths.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// The ports of a datapath that have a number, as registers and cookies have it.
    pub fn ports(&self, datapath: u32, number: u32) -> Vec<Key> {
        let number = subject::in_cookie(number);
        self.prefer(self.index.ports.get(&(datapath, number)).cloned().unwrap_or_default())
    }

    /// The static routes of a router whose names have this hash.
    pub fn routes(&self, datapath: u32, hash: u32) -> Vec<Key> {
        self.routes_that(datapath, |name, _| name_hash(name) == hash)
    }

    /// The static routes of a router whose prefix, as text, has this hash.
    pub fn routes_to(&self, datapath: u32, hash: u32) -> Vec<Key> {
        self.routes_that(datapath, |_, route| name_hash(&route.prefix.to_string()) == hash)
    }

    fn routes_that(&self, datapath: u32, fits: impl Fn(&Name, &StaticRoute) -> bool) -> Vec<Key> {
        let mut found = Vec::new();
        for key in self.datapaths(datapath) {
            let Key::Lr(lr) = key else { continue };
            let fitting = self.network.routes(&lr).filter(|(name, route)| fits(name, route));
            found.extend(fitting.map(|(name, _)| Key::Lsr(lr.clone(), name.clone())));
        }
        found
    }

    /// The NAT rules of a router whose names have a hash.
    pub fn nat_rules(&self, datapath: u32, hash: u32) -> Vec<Key> {
        let routers = self.datapaths(datapath);
        let of = |lr: &Name| routers.iter().any(|key| matches!(key, Key::Lr(name) if name == lr));
        let fits = |key: &Key| matches!(key, Key::Lnat(lr, name) if of(lr) && name_hash(name) == hash);
        self.network.iter().map(|(key, _)| key).filter(|key| fits(key)).cloned().collect()
    }

    /// The NAT rules whose inner address, as text, has this hash.
    pub fn nat_rules_for(&self, hash: u32) -> Vec<Key> {
        let inner = |rule: &NatRule| rule.inner().addr().to_string();
        let fits = |object: &Object| matches!(object, Object::Lnat(rule) if rule.kind != NatKind::Snat && name_hash(&inner(rule)) == hash);
        self.network.iter().filter(|(_, object)| fits(object)).map(|(key, _)| key.clone()).collect()
    }

    /// The chassis whose names have this hash.
    pub fn chassis_named(&self, hash: u32) -> Vec<Key> {
        chassis(&self.network)
            .filter(|(name, _)| name_hash(name) == hash)
            .map(|(name, _)| Key::Chassis(name.clone()))
            .collect()
    }

    /// The chassis that has a tunnel end point.
    pub fn chassis_at(&self, ip: IpAddr) -> Option<&Name> {
        self.index.ends.get(&ip)
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
    pub fn with_mac(&self, datapath: u32, mac: [u8; 6]) -> Option<&Key> {
        self.index.macs.get(&(datapath, mac))
    }

    /// The port of a switch, or of one of the switches around a router, that has an address.
    pub fn with_address(&self, datapath: u32, ip: IpAddr) -> Option<&Key> {
        if let Some(key) = self.index.addresses.get(&(datapath, ip)) {
            return Some(key);
        }
        let routers = self.index.datapaths.get(&datapath)?.iter().filter_map(|key| match key {
            Key::Lr(lr) => Some(lr),
            _ => None,
        });
        let peers = routers.flat_map(|lr| self.network.router_ports(lr)).filter_map(|(_, port)| port.peer.as_ref());
        let switches = peers.filter_map(|peer| self.id(&Key::Ls(peer.ls.clone())));
        switches.filter_map(|id| self.index.addresses.get(&(id, ip))).next()
    }

    /// The id of a switch or router.
    pub fn id(&self, key: &Key) -> Option<u32> {
        match self.network.get(key)? {
            Object::Ls(switch) => Some(switch.id.get()),
            Object::Lr(router) => Some(router.id.get()),
            _ => None,
        }
    }

    /// A datapath in words: "switch LS-A".
    pub fn datapath_words(&self, id: u32) -> String {
        let named = self.datapaths(id).iter().map(words).collect::<Vec<_>>().join(" or ");
        if named.is_empty() { format!("the datapath with id {id}, which is not in the store") } else { named }
    }

    /// A port in words, its datapath left out: "port vm1".
    pub fn port_words(&self, datapath: Option<u32>, number: u32) -> String {
        if number == 0 {
            return "not known yet".to_owned();
        }
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
        Key::Lsp(_, name) | Key::Lrp(_, name) | Key::Lsr(_, name) | Key::Lnat(_, name) | Key::Binding(_, name) => {
            Some(name)
        }
        Key::Ls(_) | Key::Lr(_) | Key::Chassis(_) => None,
    }
}
