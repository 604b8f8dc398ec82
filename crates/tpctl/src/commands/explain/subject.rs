//! What a cookie names: its objects in the store.

use super::{rules, world::World};
use tuplenet_model::{entity::RouterPort, key::Key, name::Name, object::Object};
use tuplenet_rules::{
    cookie::{Cookie, name_hash},
    stage::{self, Stage},
};

/// What the cookies of a rule name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing: the flows are there whatever the network.
    Nothing,
    /// A switch or a router.
    Datapath,
    /// A port of a switch.
    SwitchPort,
    /// A port of a router.
    RouterPort,
    /// A static route of a router.
    Route,
    /// Several static routes of a router, to one prefix.
    Prefix,
    /// A NAT rule of a router.
    NatRule,
    /// An inner address of NAT rules, whichever routers have them.
    Inner,
    /// A host.
    Chassis,
    /// A stage.
    Table,
}

impl Subject {
    /// What it is called.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Datapath => "switch or router",
            Self::SwitchPort => "switch port",
            Self::RouterPort => "router port",
            Self::Route => "static route",
            Self::Prefix => "prefix with several static routes",
            Self::NatRule => "NAT rule",
            Self::Inner => "NAT rule for an inner address",
            Self::Chassis => "chassis",
            Self::Table => "stage",
        }
    }
}

/// What a cookie names.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// No object: the flow is there whatever the network.
    Nothing,
    /// A stage.
    Stage(Stage),
    /// These objects; of several one is meant.
    Objects(Vec<Key>),
    /// An object that the store does not have, in words.
    Gone(String),
}

/// What a cookie names.
pub fn named(world: &World, cookie: Cookie) -> Named {
    let Cookie { datapath, object, .. } = cookie;
    let Some(subject) = kind(cookie) else { return Named::Nothing };
    if subject != Subject::Table && datapath == 0 && object == 0 {
        return Named::Nothing;
    }
    let keys = match subject {
        Subject::Nothing => return Named::Nothing,
        Subject::Table => {
            return match stage::ALL.iter().find(|stage| u32::from(stage.table) == object) {
                Some(stage) => Named::Stage(*stage),
                None => Named::Gone(format!("table {object}, which is no stage of this version")),
            };
        }
        Subject::Datapath => world.datapaths(datapath),
        Subject::SwitchPort => of_kind(world.ports(datapath, object), |key| matches!(key, Key::Lsp(..))),
        Subject::RouterPort => of_kind(world.ports(datapath, object), |key| matches!(key, Key::Lrp(..))),
        Subject::Route => world.routes(datapath, object),
        Subject::Prefix => world.routes_to(datapath, object),
        Subject::NatRule => world.nat_rules(datapath, object),
        Subject::Inner => world.nat_rules_for(object),
        Subject::Chassis => world.chassis_named(object),
    };
    if !keys.is_empty() {
        return Named::Objects(keys);
    }
    let kind = subject.kind();
    Named::Gone(match subject {
        Subject::Datapath => format!("a {kind} with id {datapath}"),
        Subject::Chassis => format!("a {kind} whose name has the hash {object:#08x}"),
        Subject::Inner => format!("a {kind} that has the hash {object:#08x}"),
        Subject::Prefix => format!("a {kind} in {} that has the hash {object:#08x}", world.datapath_words(datapath)),
        Subject::Route | Subject::NatRule => {
            format!("a {kind} of {} whose name has the hash {object:#08x}", world.datapath_words(datapath))
        }
        _ => format!("a {kind} with id {object} in {}", world.datapath_words(datapath)),
    })
}

/// What the cookies of an object's own flows say of it: the kind, the datapath, the object.
pub fn identity(world: &World, key: &Key) -> Option<(Subject, u32, u32)> {
    let id = |key: Key| world.id(&key);
    Some(match (key, world.network.get(key)?) {
        (Key::Ls(_) | Key::Lr(_), _) => (Subject::Datapath, world.id(key)?, 0),
        (Key::Lsp(ls, _), Object::Lsp(port)) => {
            (Subject::SwitchPort, id(Key::Ls(ls.clone()))?, port.port_id.get().into())
        }
        (Key::Lrp(lr, name), Object::Lrp(port)) => {
            (Subject::RouterPort, id(Key::Lr(lr.clone()))?, router_port_number(name, port))
        }
        (Key::Lsr(lr, name), _) => (Subject::Route, id(Key::Lr(lr.clone()))?, name_hash(name)),
        (Key::Lnat(lr, name), _) => (Subject::NatRule, id(Key::Lr(lr.clone()))?, name_hash(name)),
        (Key::Chassis(name), _) => (Subject::Chassis, 0, name_hash(name)),
        (Key::Binding(ls, lsp), _) => return identity(world, &Key::Lsp(ls.clone(), lsp.clone())),
        _ => return None,
    })
}

/// What kind of object a cookie names.
pub fn kind(cookie: Cookie) -> Option<Subject> {
    match rules::of(cookie.rule)?.subject {
        // A flow of the trace is a stage's, or a port's: then it has a datapath.
        Subject::Table if cookie.datapath != 0 => Some(Subject::SwitchPort),
        // What all rules of a router share is the router's.
        Subject::NatRule if cookie.object == 0 => Some(Subject::Datapath),
        subject => Some(subject),
    }
}

/// The number of a router's port in a cookie: its id, or for a port without one what its name gives.
pub fn router_port_number(name: &Name, port: &RouterPort) -> u32 {
    port.port_id.map_or_else(|| name_hash(name), |id| id.get().into())
}

/// A port's number in a register as a cookie has it: in 24 bits.
pub fn in_cookie(number: u32) -> u32 {
    number & 0xff_ffff
}

fn of_kind(mut keys: Vec<Key>, kind: fn(&Key) -> bool) -> Vec<Key> {
    keys.retain(kind);
    keys
}
