//! ICMP errors of routers: what the agent is told, and how it sends.
//!
//! A packet that a router ends, and whose sender is to know, goes to the agent as it is there, and no further. The agent writes the error, which takes the way
//! of any packet of that router ([`send`]). The flows are in `flows/router.rs`.

use crate::{
    flow::{resubmit, set},
    register, stage,
    trace::Meter,
    userdata::Userdata,
};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::{Action, action::Controller};

/// Why a router ended a packet. The number is part of the packet-in's userdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// Its TTL or hop limit is used up.
    Spent = 1,
    /// The router has no route to its destination.
    NoRoute = 2,
    /// Its next hop is nobody's address.
    NoHost = 3,
    /// It is for the router itself, on which nothing listens.
    Itself = 4,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 4] = [Event::Spent, Event::NoRoute, Event::NoHost, Event::Itself];
}

/// Limits the packets that errors are to be written about, on a host in all. The agent takes some 20 us for one: 2 % of a core.
pub const METER: Meter = Meter { id: 3, rate: 1_000, burst: 1_000 };

/// As much of a packet as an error may quote: it stays within 1,280 bytes (RFC 4443 section 2.4 (c)), and the Ethernet header.
const PACKET_BYTES: u16 = 1_294;

/// Ends the packet: the agent tells its sender.
pub(crate) fn report(event: Event) -> Action {
    let userdata = Userdata::IcmpError(event).encode();
    Action::Controller(Box::new(Controller {
        max_len: PACKET_BYTES,
        userdata,
        meter_id: METER.id,
        ..Controller::default()
    }))
}

/// The actions of a packet-out that sends a packet of a router's own, as an answer to what came in by that port: as its answers to echo requests go.
pub fn send(router: DatapathId, number: u32) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(router.get())),
        set(register::SRC_PORT, number),
        resubmit(stage::LRP_INGRESS_IP_ROUTE),
    ]
}
