//! The rules of one host, as its agent would have them: its ports, by their bindings, and its tunnels, by its chassis.

use super::world::World;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{entity::EncapKind, key::Key, mac::Mac, name::Name, object::Object};
use tuplenet_openflow::Flow;
use tuplenet_rules::{Change, ClaimMark, Config, Engine, LocalInterface, Output, Scope, UntunnelPort};

/// A host's rules, with facts.
pub struct Host {
    engine: Engine,
    /// What stands behind the numbers of the bridge's ports, which only the real switch knows.
    ports: BTreeMap<u32, String>,
    interfaces: BTreeMap<(Name, Name), (u128, LocalInterface)>,
}

impl Host {
    /// The rules of a chassis over the whole network.
    pub fn new(world: &World, chassis: &Name) -> Self {
        let mut engine = Engine::new(Config { chassis: chassis.clone(), scope: Scope::Reachable });
        let mut host_ports = BTreeMap::new();
        let mut interfaces = BTreeMap::new();
        let mut next = 0_u32;
        let mut number = |name: String| {
            next += 1;
            host_ports.insert(next, name);
            next
        };
        let mut facts: Vec<Change> = Vec::new();
        for (kind, name) in tunnels(world, chassis) {
            facts.push(Change::Tunnel { kind, remote: None, ofport: Some(number(name.to_owned())) });
        }
        if let Some((ipv4, ipv6)) = world.untunnels.get(chassis).copied() {
            let (ofport, mac) = (number("tnout".to_owned()), Mac([0xf2, 0x04, 0, 0, 0, 1]));
            facts.push(Change::Untunnel { port: Some(UntunnelPort { ofport, mac, ipv4, ipv6 }) });
        }
        for known in world.neighbours.iter().filter(|known| known.chassis == *chassis) {
            facts.push(Change::Neighbour { ls: known.ls.clone(), ip: known.ip, mac: Some(known.mac) });
        }
        for (ls, lsp, generation) in bound(world, chassis) {
            let id = interfaces.len() as u128 + 1;
            let full = format!("{ls}/{lsp}");
            let interface = LocalInterface {
                name: lsp.to_string(),
                iface_id: full.clone(),
                ofport: number(lsp.to_string()),
                claim: Some(ClaimMark { lsp: full, generation }),
            };
            interfaces.insert((ls, lsp), (id, interface.clone()));
            facts.push(Change::Interface { id, interface: Some(interface) });
        }
        engine.preload(facts.into_iter().chain(world.all().map(|(path, kv)| Change::Object {
            path: path.to_owned(),
            value: Some(kv.value.clone()),
            create_revision: kv.create_revision,
        })));
        engine.open();
        Self { engine, ports: host_ports, interfaces }
    }

    /// Takes an object out, or puts it back as it was. With a binding goes the interface that it tells of.
    pub fn apply(&mut self, world: &World, key: &Key, there: bool) -> Output {
        let kv = world.value(key);
        let object = Change::Object {
            path: key.to_string(),
            value: kv.filter(|_| there).map(|kv| kv.value.clone()),
            create_revision: kv.map_or(0, |kv| kv.create_revision),
        };
        let interface = match key {
            Key::Binding(ls, lsp) => self.interfaces.get(&(ls.clone(), lsp.clone())),
            _ => None,
        };
        let interface =
            interface.map(|(id, interface)| Change::Interface { id: *id, interface: there.then(|| interface.clone()) });
        self.engine.apply([object].into_iter().chain(interface))
    }

    /// All flows that the host should have.
    pub fn flows(&self) -> impl Iterator<Item = Flow> + '_ {
        self.engine.flows()
    }

    /// A flow as ovs-ofctl has it, with the names of ports for their numbers.
    pub fn text(&self, flow: &Flow) -> String {
        let mut text = flow.to_string();
        for word in ["in_port=", "output:"] {
            text = name_ports(&text, word, &self.ports);
        }
        text
    }
}

/// Puts a name for each number that stands after a word.
fn name_ports(text: &str, word: &str, names: &BTreeMap<u32, String>) -> String {
    let mut pieces = text.split(word);
    let mut named = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        let name = number.parse().ok().and_then(|number: u32| names.get(&number));
        named.push_str(word);
        named.push_str(name.map_or(number, String::as_str));
        named.push_str(rest);
    }
    named
}

fn tunnels(world: &World, chassis: &Name) -> Vec<(EncapKind, &'static str)> {
    let Some(Object::Chassis(own)) = world.network.get(&Key::Chassis(chassis.clone())) else { return Vec::new() };
    let kinds: BTreeSet<EncapKind> = own.encaps.iter().map(|encap| encap.kind).collect();
    let named = kinds.into_iter().map(|kind| match kind {
        EncapKind::Geneve => (kind, "tn-geneve"),
        EncapKind::Vxlan => (kind, "tn-vxlan"),
        EncapKind::Gre => (kind, "tn-gre"),
    });
    named.collect()
}

/// The ports that a chassis has, with the generation of the claim.
fn bound<'a>(world: &'a World, chassis: &'a Name) -> impl Iterator<Item = (Name, Name, u64)> + 'a {
    world.network.iter().filter_map(move |pair| match pair {
        (Key::Binding(ls, lsp), Object::Binding(binding)) if binding.chassis == *chassis => {
            let port = world.switch_port(ls, lsp)?;
            port.peer.is_none().then(|| (ls.clone(), lsp.clone(), binding.generation))
        }
        _ => None,
    })
}

/// All hosts of which the store knows anything.
pub fn all(world: &World) -> BTreeSet<Name> {
    let mut hosts = BTreeSet::new();
    for pair in world.network.iter() {
        match pair {
            (Key::Chassis(name), _) => hosts.insert(name.clone()),
            (_, Object::Binding(binding)) => hosts.insert(binding.chassis.clone()),
            (_, Object::Lr(router)) => router.chassis.clone().is_some_and(|chassis| hosts.insert(chassis)),
            _ => continue,
        };
    }
    hosts
}

/// That the store knows of a host.
pub fn known(world: &World, chassis: &Name) -> Result<()> {
    ensure!(
        all(world).contains(chassis),
        "chassis {chassis} is unknown: nothing in the store names it; see \"tpctl ch show\""
    );
    Ok(())
}

/// Whether a host can have flows because of an object: its switch or router, or one that contends with that for an id, is there; or a switch that
/// a router elsewhere is linked to. If not, the rules need not be asked.
pub fn matters(world: &World, chassis: &Name, datapath: &Key) -> bool {
    let present = present(world, chassis);
    let rivals = world.id(datapath).map(|id| world.rivals(id)).unwrap_or_default();
    let around = match datapath {
        Key::Lr(lr) => {
            let peers = world.network.router_ports(lr).filter_map(|(_, port)| Some(port.peer.as_ref()?.ls.clone()));
            peers.map(Key::Ls).collect()
        }
        _ => Vec::new(),
    };
    [datapath].into_iter().chain(rivals).chain(&around).any(|key| present.contains(key))
}

/// The switches and routers that a host's ports can reach.
fn present(world: &World, chassis: &Name) -> BTreeSet<Key> {
    let pinned = |lr: &Name| match world.network.get(&Key::Lr(lr.clone())) {
        Some(Object::Lr(router)) => router.chassis.clone(),
        _ => None,
    };
    let roots = bound(world, chassis).map(|(ls, ..)| Key::Ls(ls));
    let routers = world.network.routers().filter(|(_, o)| o.chassis.as_ref() == Some(chassis));
    let mut todo: Vec<Key> = roots.chain(routers.map(|(lr, _)| Key::Lr(lr.clone()))).collect();
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    while let Some(key) = todo.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        match &key {
            Key::Ls(ls) => {
                let routers =
                    world.network.switch_ports(ls).filter_map(|(_, port)| Some(port.peer.as_ref()?.lr.clone()));
                let here = routers.filter(|lr| pinned(lr).is_none_or(|at| at == *chassis));
                todo.extend(here.map(Key::Lr));
            }
            Key::Lr(lr) => {
                let switches =
                    world.network.router_ports(lr).filter_map(|(_, port)| Some(port.peer.as_ref()?.ls.clone()));
                todo.extend(switches.map(Key::Ls));
            }
            _ => {}
        }
    }
    seen
}
