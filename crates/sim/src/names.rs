//! Names for the numbers that packets carry: datapath ids, port numbers, tunnel end points. Built from the store's objects, kept up to date by changes.

use crate::path::{Hop, Kind};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tuplenet_model::{
    entity::{Binding, Chassis, EncapKind, LogicalRouter, LogicalSwitch, RouterPort, SwitchPort},
    key::Key,
    name::Name,
    object::Object,
};
use tuplenet_rules::{register, stage};

/// What a hop calls the destination "all ports of the switch".
pub const ALL_PORTS: &str = "<ALL>";

/// The valid objects of a network, by name and by number. Of two that claim one number the older has it, as in the rules.
#[derive(Clone, Debug, Default)]
pub struct Names {
    objects: BTreeMap<Key, (Object, i64)>,
    datapaths: BTreeMap<u32, BTreeSet<(i64, Key)>>,
    /// By the key of the datapath and the port's number.
    ports: BTreeMap<(Key, u32), BTreeSet<(i64, Key)>>,
    endpoints: BTreeMap<IpAddr, BTreeSet<Name>>,
}

impl Names {
    /// Takes a change of the store; a value that cannot be read counts as none.
    pub fn apply(&mut self, path: &str, value: Option<&[u8]>, create_revision: i64) {
        let Ok(Some(key)) = Key::parse(path) else { return };
        if let Some((old, created)) = self.objects.remove(&key) {
            self.index(&key, &old, created, false);
        }
        if let Some(Ok(object)) = value.map(|value| Object::parse(&key, value)) {
            self.index(&key, &object, create_revision, true);
            self.objects.insert(key, (object, create_revision));
        }
    }

    fn index(&mut self, key: &Key, object: &Object, created: i64, present: bool) {
        fn put<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: K, value: V, present: bool) {
            let set = map.entry(key);
            if present {
                set.or_default().insert(value);
            } else if let std::collections::btree_map::Entry::Occupied(mut set) = set {
                set.get_mut().remove(&value);
                if set.get().is_empty() {
                    set.remove();
                }
            }
        }
        match (key, object) {
            (_, Object::Ls(LogicalSwitch { id, .. }) | Object::Lr(LogicalRouter { id, .. })) => {
                put(&mut self.datapaths, id.get(), (created, key.clone()), present);
            }
            (Key::Lsp(ls, _), Object::Lsp(port)) => {
                let place = (Key::Ls(ls.clone()), port.port_id.get().into());
                put(&mut self.ports, place, (created, key.clone()), present);
            }
            (Key::Lrp(lr, lrp), Object::Lrp(port)) => {
                let place = (Key::Lr(lr.clone()), register::router_port(lrp, port.port_id));
                put(&mut self.ports, place, (created, key.clone()), present);
            }
            (Key::Chassis(name), Object::Chassis(chassis)) => {
                for encap in &chassis.encaps {
                    put(&mut self.endpoints, encap.ip, name.clone(), present);
                }
            }
            _ => {}
        }
    }

    /// All valid objects.
    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Object)> {
        self.objects.iter().map(|(key, (object, _))| (key, object))
    }

    /// A valid object.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key).map(|(object, _)| object)
    }

    /// The datapath with an id.
    pub fn datapath(&self, id: u32) -> Option<(Kind, &Name)> {
        match self.datapath_key(id)? {
            Key::Ls(name) => Some((Kind::Ls, name)),
            Key::Lr(name) => Some((Kind::Lr, name)),
            _ => None,
        }
    }

    fn datapath_key(&self, id: u32) -> Option<&Key> {
        self.datapaths.get(&id)?.first().map(|(_, key)| key)
    }

    /// The port of a datapath with a number, as registers and cookies have it.
    pub fn port(&self, datapath: u32, number: u32) -> Option<&Name> {
        let ports = self.ports.get(&(self.datapath_key(datapath)?.clone(), number))?;
        match ports.first()? {
            (_, Key::Lsp(_, name) | Key::Lrp(_, name)) => Some(name),
            _ => None,
        }
    }

    /// The chassis with a tunnel end point; of several the first by name.
    pub fn chassis_at(&self, ip: IpAddr) -> Option<&Name> {
        self.endpoints.get(&ip)?.first()
    }

    /// The chassis that has this end point for this protocol.
    pub(crate) fn chassis_with(&self, kind: EncapKind, ip: IpAddr) -> Option<&Name> {
        let speaks =
            |name: &&Name| self.chassis(name).is_some_and(|c| c.encaps.iter().any(|e| e.kind == kind && e.ip == ip));
        self.endpoints.get(&ip)?.iter().find(speaks)
    }

    /// What passed a stage, from what registers say there. A port without name is told by its number: "id 7". `None`: no such datapath, or no such
    /// stage.
    pub fn hop(&self, chassis: &str, table: u8, datapath: u32, from: u32, to: u32) -> Option<Hop> {
        let stage = stage::ALL.iter().find(|stage| stage.table == table)?;
        let (kind, pipeline) = self.datapath(datapath)?;
        let name = |number: u32| match number {
            0 => None,
            register::FLOOD if kind == Kind::Ls => Some(ALL_PORTS.to_owned()),
            number => Some(self.port(datapath, number).map_or_else(|| format!("id {number}"), ToString::to_string)),
        };
        // What is in the register there is what the datapath before decided.
        let entered = [stage::LSP_TRACE_INGRESS_IN, stage::LRP_TRACE_INGRESS_IN].contains(stage);
        Some(Hop {
            kind,
            pipeline: pipeline.to_string(),
            from: name(from),
            to: name(if entered { 0 } else { to }),
            stage: stage.name,
            chassis: chassis.to_owned(),
            at: None,
        })
    }

    /// A switch.
    pub fn switch(&self, ls: &Name) -> Option<&LogicalSwitch> {
        match self.object(&Key::Ls(ls.clone()))? {
            Object::Ls(switch) => Some(switch),
            _ => None,
        }
    }

    /// A router.
    pub fn router(&self, lr: &Name) -> Option<&LogicalRouter> {
        match self.object(&Key::Lr(lr.clone()))? {
            Object::Lr(router) => Some(router),
            _ => None,
        }
    }

    /// A port of a switch.
    pub fn switch_port(&self, ls: &Name, lsp: &Name) -> Option<&SwitchPort> {
        match self.object(&Key::Lsp(ls.clone(), lsp.clone()))? {
            Object::Lsp(port) => Some(port),
            _ => None,
        }
    }

    /// A port of a router.
    pub fn router_port(&self, lr: &Name, lrp: &Name) -> Option<&RouterPort> {
        match self.object(&Key::Lrp(lr.clone(), lrp.clone()))? {
            Object::Lrp(port) => Some(port),
            _ => None,
        }
    }

    /// Where a port is.
    pub fn binding(&self, ls: &Name, lsp: &Name) -> Option<&Binding> {
        match self.object(&Key::Binding(ls.clone(), lsp.clone()))? {
            Object::Binding(binding) => Some(binding),
            _ => None,
        }
    }

    /// A host.
    pub fn chassis(&self, name: &Name) -> Option<&Chassis> {
        match self.object(&Key::Chassis(name.clone()))? {
            Object::Chassis(chassis) => Some(chassis),
            _ => None,
        }
    }

    /// All ports of a switch, by name.
    pub fn switch_ports<'a>(&'a self, ls: &'a Name) -> impl Iterator<Item = (&'a Name, &'a SwitchPort)> {
        let first = Key::Lsp(ls.clone(), first_name());
        self.objects.range(first..).map_while(move |(key, (object, _))| match (key, object) {
            (Key::Lsp(parent, name), Object::Lsp(port)) if parent == ls => Some((name, port)),
            _ => None,
        })
    }
}

/// The first of all names, for ranges: every name begins with a letter, a digit or `_`.
fn first_name() -> Name {
    "0".parse().expect("a digit is a name")
}

#[cfg(test)]
mod tests;
