//! What a switch did with a packet.

use crate::packet::Packet;
use tuplenet_openflow::Flow;

/// All that a switch did with a packet.
#[derive(Clone, Debug)]
pub struct Run {
    /// The tables that it was looked up in, in order.
    pub steps: Vec<Step>,
    /// What came of it, in order.
    pub effects: Vec<Effect>,
    /// The packet when all was done.
    pub last: Packet,
    /// The switch gave up, at that step, and whatever it had done until then has no effect: `effects` is empty. Unless that befell a copy that came
    /// from the connection tracker: then only what that copy did is void.
    pub abort: Option<(Abort, Option<usize>)>,
}

/// A packet in a table.
#[derive(Clone, Debug)]
pub struct Step {
    /// The table.
    pub table: u8,
    /// The flow that it matched, by priority and cookie; `None`: a miss.
    pub flow: Option<(u16, u64)>,
    /// The packet as it entered.
    pub packet: Packet,
    /// The step whose flow sent it here; `None`: the first, or sent by a packet-out.
    pub parent: Option<usize>,
}

/// What a switch does to the world outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The packet leaves by a port.
    Output {
        /// OpenFlow port.
        port: u32,
        /// As it leaves.
        packet: Packet,
        /// The step whose flow did it; `None`: the packet-out.
        step: Option<usize>,
    },
    /// The packet would have left by the port that it came from, which a switch refuses.
    Refused {
        /// OpenFlow port.
        port: u32,
        /// As it would have left.
        packet: Packet,
        /// The step whose flow did it.
        step: Option<usize>,
    },
    /// A packet-in.
    Controller {
        /// What it is for.
        userdata: Vec<u8>,
        /// `OFPR_*`: 1 by an action, 2 because TTL is spent.
        reason: u8,
        /// Whose connection gets it.
        controller_id: u16,
        /// The meter that limits it; 0: none.
        meter_id: u32,
        /// The packet waits until the controller resumes it; nothing further is done with it here.
        pause: bool,
        /// The packet as it is then.
        packet: Packet,
        /// The step whose flow did it; `None`: the packet-out.
        step: Option<usize>,
    },
}

impl Effect {
    /// The step whose flow did it.
    pub fn step(&self) -> Option<usize> {
        match self {
            Effect::Output { step, .. } | Effect::Refused { step, .. } | Effect::Controller { step, .. } => *step,
        }
    }
}

/// Why a switch gives a packet up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Abort {
    /// `OFPR_*` knows no such thing: Open vSwitch's limit on going back to a table.
    #[error("it went back to a table {0} times, which is more than a switch does")]
    TooDeep(u32),
    /// Too many tables.
    #[error("it was looked up {0} times, which is more than a switch does")]
    TooManyResubmits(u32),
    /// Too many times through the connection tracker.
    #[error("it went through the connection tracker {0} times in a row, which is more than a switch does")]
    TooManyRecirculations(u32),
    /// A field that was pushed and never popped, without end.
    #[error("it pushed {0} fields on the stack, which is more than a switch does")]
    StackTooDeep(usize),
}

/// The interpreter does not know what a switch would do here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, flow \"{flow}\": {what}: the simulator cannot tell what a switch does")]
pub struct Unsupported {
    /// The table.
    pub table: u8,
    /// The flow, as ovs-ofctl prints it; empty: a packet-out.
    pub flow: String,
    /// What it asks for.
    pub what: String,
}

impl Unsupported {
    pub(super) fn new(table: u8, flow: Option<&Flow>, what: impl Into<String>) -> Self {
        let flow = flow.map_or_else(|| "packet-out".to_owned(), ToString::to_string);
        Self { table, flow, what: what.into() }
    }
}
