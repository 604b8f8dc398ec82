//! What a cookie names: its objects in the store.

use super::{rules, world::World};
use tuplenet_model::key::Key;
use tuplenet_rules::{
    cookie::{Cookie, Rule},
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
    let Cookie { rule, datapath, object } = cookie;
    let Some(subject) = rules::of(rule).map(|explained| explained.subject) else { return Named::Nothing };
    if subject != Subject::Table && datapath == 0 && object == 0 {
        return Named::Nothing;
    }
    // A flow of the trace is a stage's, or a port's: then it has a datapath.
    let subject = if rule == Rule::Trace && datapath != 0 { Subject::SwitchPort } else { subject };
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
        Subject::Chassis => world.chassis_named(object),
    };
    if !keys.is_empty() {
        return Named::Objects(keys);
    }
    let kind = subject.kind();
    Named::Gone(match subject {
        Subject::Datapath => format!("a {kind} with id {datapath}"),
        Subject::Chassis => format!("a {kind} whose name has the hash {object:#08x}"),
        Subject::Route => {
            format!("a {kind} of {} whose name has the hash {object:#08x}", world.datapath_words(datapath))
        }
        _ => format!("a {kind} with id {object} in {}", world.datapath_words(datapath)),
    })
}

fn of_kind(mut keys: Vec<Key>, kind: fn(&Key) -> bool) -> Vec<Key> {
    keys.retain(kind);
    keys
}
