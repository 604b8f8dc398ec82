//! A flow: the unit of what a switch holds.

use crate::action::Action;
use crate::instruction::Instruction;
use crate::matching::Match;

/// A flow of the switch. Two flows are in each other's place if `table`, `priority` and `matching` are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Table, 0..=254.
    pub table: u8,
    /// The highest that matches wins.
    pub priority: u16,
    /// Ours to choose; says where the flow comes from.
    pub cookie: u64,
    /// Seconds without a packet after which it goes, 0 = never.
    pub idle_timeout: u16,
    /// Seconds after which it goes, 0 = never.
    pub hard_timeout: u16,
    /// The lower, the sooner it is evicted from a full table.
    pub importance: u16,
    /// `OFPFF_*`, see [`flags`].
    pub flags: u16,
    /// The packets that it is for.
    pub matching: Match,
    /// What it does with them; none = drop.
    pub instructions: Vec<Instruction>,
}

/// Flags of a flow, `OFPFF_*` (OpenFlow 1.5.1, 7.3.4.2).
pub mod flags {
    /// Tell the controller when the flow goes.
    pub const SEND_FLOW_REM: u16 = 1;
    /// Refuse the flow if it overlaps with another of the same priority.
    pub const CHECK_OVERLAP: u16 = 2;
    /// Restart the counters (modify only).
    pub const RESET_COUNTS: u16 = 4;
    /// Count no packets.
    pub const NO_PKT_COUNTS: u16 = 8;
    /// Count no bytes.
    pub const NO_BYT_COUNTS: u16 = 16;
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            table: 0,
            priority: Flow::DEFAULT_PRIORITY,
            cookie: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            flags: 0,
            matching: Match::new(),
            instructions: Vec::new(),
        }
    }
}

impl Flow {
    /// The priority of a flow that names none.
    pub const DEFAULT_PRIORITY: u16 = 0x8000;

    /// A flow that does these actions.
    pub fn new(table: u8, priority: u16, matching: Match, actions: Vec<Action>) -> Flow {
        let instructions = if actions.is_empty() { Vec::new() } else { vec![Instruction::ApplyActions(actions)] };
        Flow { table, priority, matching, instructions, ..Flow::default() }
    }

    /// The actions that it does at once.
    pub fn actions(&self) -> &[Action] {
        let applied = self.instructions.iter().find_map(|i| match i {
            Instruction::ApplyActions(actions) => Some(actions.as_slice()),
            _ => None,
        });
        applied.unwrap_or_default()
    }
}
