//! What the interpreter has still to do: a stack of its own, since a packet may go from table to table some thousand times, which is deeper than a thread's
//! stack may be.

use super::table::Entry;
use crate::packet::Packet;
use std::rc::Rc;
use tuplenet_openflow::{Action, Instruction, message::group::Bucket};

/// A list of actions, shared with who owns it.
#[derive(Clone)]
pub(super) enum List {
    /// Those that a flow does at once: its instruction at this place.
    Flow(Rc<Entry>, usize),
    /// Made for the occasion.
    Own(Rc<[Action]>),
}

impl List {
    pub fn actions(&self) -> &[Action] {
        match self {
            List::Own(actions) => actions,
            List::Flow(entry, at) => match entry.flow.instructions.get(*at) {
                Some(Instruction::ApplyActions(actions)) => actions,
                _ => &[],
            },
        }
    }
}

/// Where the interpreter is: what decides how an action is done.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// The table whose flow is being done.
    pub table: u8,
    /// The step that led here.
    pub step: Option<usize>,
    /// Its flow.
    pub entry: Option<Rc<Entry>>,
    /// How often it went back to a table.
    pub depth: u32,
    /// How many lookups flows asked for.
    pub resubmits: u32,
    /// How often it came from the connection tracker.
    pub recirculations: u32,
}

/// Something that is left to do.
pub(super) enum Frame {
    /// The actions of a list, from this one on.
    Actions(List, usize),
    /// What a flow does after its actions: the action set, metadata, the next table.
    Instructions(Rc<Entry>),
    /// Back from a flow to where it was called from.
    Return(Place),
    /// The end of what happened to a copy: everything is as before.
    Restore(Box<Restore>),
    /// The buckets of a group, from this one on.
    Buckets(Rc<[Bucket]>, usize),
    /// The action set, at the end of the pipeline.
    ActionSet,
}

/// What a copy must leave as it was.
pub(super) struct Restore {
    pub packet: Packet,
    pub action_set: Vec<Action>,
    pub stack: Vec<u128>,
    pub place: Place,
    /// The copy is one of a clone: `exit` there ends what is outside as well.
    pub clone: bool,
    /// The copy went through the connection tracker, and the switch deals with it by itself: if it gives that up, only effects from this one on are void.
    pub recirculated: Option<usize>,
}
