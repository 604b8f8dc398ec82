//! The network that is traced in: as the store has it at one revision, or as a document says.

use super::args::{Place, PortName};
use crate::{
    commands::{
        Context,
        chassis::{said, untunnels},
        doctor,
        neighbours::{self, Neighbour},
    },
    print::printable,
};
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr},
    path::Path,
};
use tuplenet_model::{
    document::Document,
    entity::{Chassis, Encap, EncapKind, Meta, SwitchPort, SwitchPortRef},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use tuplenet_rules::Change;
use tuplenet_sim::network as sim;
use tuplenet_store::{Listing, Range, network::NetworkError};

/// Who has all ports of a document that nobody was given.
const IMAGINARY: &str = "host";
/// How many candidates an error names.
const NAMED: usize = 8;

/// A network, with what is needed to compute its hosts' tables.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// All readable objects.
    pub network: Network,
    /// Chassis whose agents are alive.
    pub alive: BTreeSet<String>,
    /// Chassis whose own IP stack takes what is for the outside: IPv4, IPv6.
    untunnels: BTreeMap<Name, (bool, bool)>,
    /// Whom hosts know in physical networks.
    neighbours: Vec<Neighbour>,
    /// Every object as the store has it, by path.
    stored: BTreeMap<String, sim::Object>,
    revision: i64,
    /// Tunnel end points, once somebody asked: a broadcast has many.
    ends: OnceCell<BTreeMap<IpAddr, Name>>,
}

impl World {
    /// The network in the store, without the claims, which are most of it.
    pub async fn read(context: &Context) -> Result<Self> {
        let (client, root) = (context.store.client(), context.store.root());
        let below = |path: &str| Range::prefix(&format!("{root}{path}"));
        let Listing { revision, kvs: mut found } = client.list_range(below("ls/")).await?;
        let then = |path: &str| client.list_range(below(path).at(revision));
        let (lr, chassis, binding) = tokio::try_join!(then("lr/"), then("chassis/"), then("binding/"))?;
        found.extend([lr.kvs, chassis.kvs, binding.kvs].into_iter().flatten());
        let network = context.store.snapshot_of(&found, revision).network();
        let (status, _) = context.store.list("status/").await?;
        let alive = said(context, &status);
        let neighbours = neighbours::read(context, &status);
        let untunnels = untunnels(&alive);
        let alive = alive.into_keys().collect();
        let stored = found.into_iter().map(|kv| {
            let path = context.store.path(&kv.key).to_owned();
            (path.clone(), sim::Object { path, value: kv.value, create_revision: kv.create_revision })
        });
        let (stored, ends) = (stored.collect(), OnceCell::new());
        Ok(Self { network, revision, alive, untunnels, neighbours, stored, ends })
    }

    /// The network of a document alone. An imaginary chassis has what `places` leave over.
    pub fn of_document(file: &Path, places: &[Place]) -> Result<Self> {
        let mut world = Self::default().with(file)?;
        let pinned = world.network.routers().filter_map(|(_, router)| router.chassis.clone());
        let mut chassis: BTreeSet<Name> = pinned.chain(places.iter().map(|place| place.chassis.clone())).collect();
        let imaginary: Name = IMAGINARY.parse().map_err(anyhow::Error::msg)?;
        chassis.insert(imaginary);
        for name in chassis {
            world.add_chassis(name);
        }
        Ok(world)
    }

    /// The imaginary chassis of a network that is in no store.
    pub fn imaginary() -> Result<Name> {
        IMAGINARY.parse().map_err(anyhow::Error::msg)
    }

    /// The network after this document was applied.
    pub fn with(&self, file: &Path) -> Result<Self> {
        let wanted = read_document(file, &self.network)?;
        let mut after = Self { revision: self.revision + 1, ..self.clone() };
        for path in self.stored.keys() {
            let key = Key::parse(path).ok().flatten();
            let stays = match &key {
                Some(Key::Chassis(_)) => true,
                Some(Key::Binding(ls, lsp)) => wanted.get(&Key::Lsp(ls.clone(), lsp.clone())).is_some(),
                Some(key) => wanted.get(key).is_some(),
                None => true,
            };
            if !stays {
                after.stored.remove(path);
                key.and_then(|key| after.network.remove(&key));
            }
        }
        for (key, object) in wanted.iter().filter(|(key, object)| self.network.get(key) != Some(object)) {
            let old = self.stored.get(&key.to_string());
            let value = object.merged_into(old.map(|old| old.value.as_ref()).unwrap_or_default());
            let created = old.map_or(after.revision, |old| old.create_revision);
            after.put(key.clone(), object.clone(), value, created);
        }
        Ok(after)
    }

    /// A chassis that is nowhere, with a tunnel end point from the range for tests (RFC 2544), unless there is one of the name.
    pub fn add_chassis(&mut self, name: Name) {
        let key = Key::Chassis(name);
        if self.network.get(&key).is_some() {
            return;
        }
        let number = u32::try_from(self.stored.len()).unwrap_or_default();
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)).wrapping_add(number % 0x1_ffff)).into();
        let encaps = vec![Encap { kind: EncapKind::Geneve, ip }];
        let object = Object::Chassis(Chassis { encaps, roles: Vec::new(), mtu: None, meta: Meta::default() });
        let value = object.to_json();
        self.put(key, object, value, self.revision);
    }

    fn put(&mut self, key: Key, object: Object, value: Map<String, Value>, create_revision: i64) {
        let (path, value) = (key.to_string(), Value::Object(value).to_string().into());
        self.stored.insert(path.clone(), sim::Object { path, value, create_revision });
        self.network.insert(key, object);
        self.ends.take();
    }

    /// Its hosts, simulated.
    pub fn simulated(&self) -> sim::Network {
        let mut network = sim::Network::new(self.objects());
        for (chassis, (ipv4, ipv6)) in &self.untunnels {
            network.untunnel(chassis, *ipv4, *ipv6);
        }
        neighbours::teach(&mut network, &self.neighbours);
        network
    }

    /// All objects, for the simulator.
    pub fn objects(&self) -> impl Iterator<Item = sim::Object> {
        self.stored.values().cloned()
    }

    /// The port that is meant.
    pub fn resolve(&self, name: &PortName) -> Result<SwitchPortRef> {
        let lsp = &name.lsp;
        if let Some(ls) = &name.ls {
            for key in [Key::Ls(ls.clone()), Key::Lsp(ls.clone(), lsp.clone())] {
                self.network.get(&key).ok_or_else(|| self.missing(&key))?;
            }
            return Ok(SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() });
        }
        let has = |ls: &&Name| self.network.get(&Key::Lsp((*ls).clone(), lsp.clone())).is_some();
        let found: Vec<&Name> = self.network.switches().map(|(ls, _)| ls).filter(has).collect();
        match found[..] {
            [] => match self.unreadable(lsp) {
                Some(key) => Err(self.missing(&key).into()),
                None => bail!("no switch has a port {lsp}: see \"tpctl ls show\" and \"tpctl lsp show LS\""),
            },
            [ls] => Ok(SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() }),
            _ => {
                let mut names: Vec<String> = found.iter().take(NAMED).map(|ls| format!("{ls}/{lsp}")).collect();
                if let more @ 1.. = found.len().saturating_sub(NAMED) {
                    names.push(format!("{more} more"));
                }
                bail!("{} switches have a port {lsp}: say which one, {}", found.len(), names.join(" or "))
            }
        }
    }

    /// Of what was said to be somewhere, what exists here: before a change, a port that it makes is nowhere.
    pub fn places(&self, said: &[Place]) -> Vec<Place> {
        said.iter().filter(|place| self.resolve(&place.port).is_ok()).cloned().collect()
    }

    /// A port of that name that cannot be read.
    fn unreadable(&self, lsp: &Name) -> Option<Key> {
        let keys = self.stored.keys().filter_map(|path| Key::parse(path).ok().flatten());
        keys.into_iter().find(|key| matches!(key, Key::Lsp(_, name) if name == lsp))
    }

    /// Why there is no such object: nobody made it, or what was made cannot be read.
    pub fn missing(&self, key: &Key) -> NetworkError {
        let stored = self.stored.get(&key.to_string()).and_then(|stored| Object::parse(key, &stored.value).err());
        stored.map_or_else(|| NetworkError::missing(key), NetworkError::from)
    }

    /// Why agents set a port aside, or its switch; `None`: they do not.
    pub fn why_aside(&self, at: &SwitchPortRef) -> Option<String> {
        let keys = [Key::Lsp(at.ls.clone(), at.lsp.clone()), Key::Ls(at.ls.clone())].map(|key| key.to_string());
        let objects = self.objects().map(|object| Change::Object {
            path: object.path,
            value: Some(object.value),
            create_revision: object.create_revision,
        });
        let aside = doctor::set_aside(objects).ok()?;
        aside.into_iter().find_map(|(key, why)| keys.contains(&key).then_some(why))
    }

    /// A port that exists, and is neither an end of a link nor a patch port.
    pub fn guest(&self, at: &SwitchPortRef) -> Result<&SwitchPort> {
        let port = self.network.switch_port(at);
        let port = port.ok_or_else(|| self.missing(&Key::Lsp(at.ls.clone(), at.lsp.clone())))?;
        if port.patch.is_some() {
            bail!("port {} of switch {} is a patch port, which no VM sends from: name a port of a VM", at.lsp, at.ls);
        }
        match &port.peer {
            Some(peer) => bail!(
                "port {} of switch {} is the end of a link with router {}, which sends nothing by itself: name a port of a VM",
                at.lsp,
                at.ls,
                peer.lr
            ),
            None => Ok(port),
        }
    }

    /// Who has a port.
    pub fn host(&self, at: &SwitchPortRef) -> Option<&Name> {
        match self.network.get(&Key::Binding(at.ls.clone(), at.lsp.clone())) {
            Some(Object::Binding(binding)) => Some(&binding.chassis),
            _ => None,
        }
    }

    /// Who has a tunnel end point. Of two that claim it, the first by name.
    pub fn chassis_at(&self, ip: IpAddr) -> Option<Name> {
        let all = || {
            let mut ends = BTreeMap::new();
            for (key, object) in self.network.iter() {
                if let (Key::Chassis(name), Object::Chassis(chassis)) = (key, object) {
                    for encap in &chassis.encaps {
                        ends.entry(encap.ip).or_insert_with(|| name.clone());
                    }
                }
            }
            ends
        };
        self.ends.get_or_init(all).get(&ip).cloned()
    }

    /// A chassis by name.
    pub fn chassis(&self, name: &str) -> Option<&Chassis> {
        match self.network.get(&Key::Chassis(name.parse().ok()?)) {
            Some(Object::Chassis(chassis)) => Some(chassis),
            _ => None,
        }
    }
}

/// The network that a document describes where another one is.
fn read_document(file: &Path, present: &Network) -> Result<Network> {
    let stdin = file == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let limit = Document::MAX as u64 + 1;
    let read = match stdin {
        true => io::stdin().lock().take(limit).read_to_string(&mut text),
        false => File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {name}"))?;
    let document = Document::parse(&text).with_context(|| name.clone())?;
    document.resolve(present).map_err(|faults| {
        let first = faults.first().map(|fault| printable(&fault.to_string())).unwrap_or_default();
        let others = match faults.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more: \"tpctl diff -f\" lists them)", n - 1),
        };
        anyhow!("{name} describes no valid network: {first}{others}")
    })
}
