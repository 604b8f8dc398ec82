//! Probes of addresses outside: an edge asks by ICMP echo (RFC 792, RFC 4443 section 4) whether its uplink leads anywhere.
//!
//! The agent sends them in the name of a router's port at an uplink ([`send`]); they take the way of any packet of that router. Their answers, and those only that no
//! inner host waits for, come back to the agent by the flows of `flows/probe.rs`.

use crate::{
    flow::{resubmit, set},
    handler::Handler,
    register, stage,
    trace::Meter,
};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::Action;

/// What is reported. The number is part of the packet-in's userdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// An address that is probed answers.
    Answer = 1,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 1] = [Event::Answer];
}

/// Limits the answers: ten a second of each of a dozen addresses, with room.
pub const METER: Meter = Meter { id: 5, rate: 500, burst: 500 };

/// Of an answer: all headers, and what the agent put behind them.
const PACKET_BYTES: u16 = 128;

pub(crate) fn report() -> Action {
    Handler::Probe.report(Event::Answer as u8, PACKET_BYTES, METER.id)
}

/// The actions of a packet-out that sends an echo request of a router's own, from that port's address.
pub fn send(router: DatapathId, number: u32) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(router.get())),
        set(register::SRC_PORT, number),
        resubmit(stage::LRP_INGRESS_IP_ROUTE),
    ]
}
