//! ICMP errors of routers: what the agent is told, and how it sends.
//!
//! A packet that a router ends, and whose sender is to know, goes to the agent as it is there, and no further. The agent writes the error, which takes the way
//! of any packet of that router ([`send`]). The flows are in `flows/router.rs`.

use crate::{
    flow::{resubmit, set, set_flags},
    handler::Handler,
    register, stage,
    trace::Meter,
};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::Action;

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
    /// It is longer than packets may be where it is to go, as [`register::MTU`] says. The agent tells the sender (RFC 1191 section 4, RFC 4443 section 3.2);
    /// an IPv4 packet that may be cut it cuts (RFC 791 section 3.2), and sends on what comes of it ([`send_on`]). The whole packet comes along.
    TooBig = 5,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 5] = [Event::Spent, Event::NoRoute, Event::NoHost, Event::Itself, Event::TooBig];

    /// The meter that limits its reports: one of its own for packets that are too long, so that who sends many of them keeps others from no error.
    pub const fn meter(self) -> Meter {
        match self {
            Event::TooBig => TOO_BIG_METER,
            Event::Spent | Event::NoRoute | Event::NoHost | Event::Itself => METER,
        }
    }
}

/// Limits the packets that errors are to be written about, on a host in all. The agent takes some 20 us for one: 2 % of a core.
pub const METER: Meter = Meter { id: 3, rate: 1_000, burst: 1_000 };

/// Limits the packets that are too long. The agent takes some 30 us for one that it cuts: 3 % of a core.
pub const TOO_BIG_METER: Meter = Meter { id: 6, rate: 1_000, burst: 1_000 };

/// As much of a packet as an error may quote: it stays within 1,280 bytes (RFC 4443 section 2.4 (c)), and the Ethernet header.
const PACKET_BYTES: u16 = 1_294;

/// Ends the packet: the agent tells its sender.
pub(crate) fn report(event: Event) -> Action {
    let max_len = if event == Event::TooBig { u16::MAX } else { PACKET_BYTES };
    Handler::IcmpError.report(event as u8, max_len, event.meter().id)
}

/// The actions of a packet-out that sends a packet of a router's own, as an answer to what came in by that port: as its answers to echo requests go.
pub fn send(router: DatapathId, number: u32) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(router.get())),
        set(register::SRC_PORT, number),
        set_flags(register::ERROR),
        resubmit(stage::LRP_INGRESS_IP_ROUTE),
    ]
}

/// Where a packet was in a router when it was found too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The router.
    pub router: DatapathId,
    /// The port that it came in by.
    pub from: u32,
    /// The port that it is to leave by.
    pub to: u32,
    /// Its next hop: [`register::NEXT_HOP6`], of which an IPv4 address is the first four bytes.
    pub next_hop: u128,
    /// What the pipeline noted of it: [`register::FLAGS`].
    pub flags: u32,
}

/// The actions of a packet-out that sends a packet on from where it was found too long. It is not reported any more: of a coloured packet the report has ended.
pub fn send_on(at: Place) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(at.router.get())),
        set(register::SRC_PORT, at.from),
        set(register::DST_PORT, at.to),
        set(register::NEXT_HOP6, at.next_hop),
        set(register::FLAGS, at.flags & !(register::TRACED | register::ENTERED | register::PENDING)),
        resubmit(stage::LRP_TRACE_EGRESS_IN),
    ]
}
