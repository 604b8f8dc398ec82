//! A coloured packet: how it is sent, and what of it is reported.
//!
//! Its colour is a command id in `reg7` and the flag [`register::TRACED`]; both travel in the Geneve option, so that it keeps its colour on
//! every host. The flows that report it are in `flows/trace.rs`.

use crate::{
    flow::{resubmit, set, set_flags},
    handler::Handler,
    register, stage,
};
use std::num::NonZeroU16;
use tuplenet_openflow::Action;

/// What is reported of a coloured packet. The number is part of the packet-in's userdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// It passes a traced stage.
    Hop = 1,
    /// It leaves by the destination port.
    Delivered = 2,
    /// This host has done all that it does with it.
    End = 3,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 3] = [Event::Hop, Event::Delivered, Event::End];
}

/// A meter of the switch: what is over its rate is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// OpenFlow meter id.
    pub id: u32,
    /// Packets a second.
    pub rate: u32,
    /// Packets that may come at once.
    pub burst: u32,
}

/// Limits the reports, so that nobody who sends coloured packets, by mistake or from the underlay, drowns an agent.
///
/// A path through two switches and a router makes some 15 reports: 100 traces begun at once fit six times into the burst. A switch that has no such meter takes the flows nevertheless, and reports without limit.
pub const METER: Meter = Meter { id: 1, rate: 10_000, burst: 10_000 };

/// Reports the packet as it is now. Of the packet only as much as [`PACKET_BYTES`].
pub(crate) fn report(event: Event, meter_id: u32) -> Action {
    Handler::Trace.report(event as u8, PACKET_BYTES, meter_id)
}

/// How much of a packet a report carries, in bytes: all headers that rules look at.
pub const PACKET_BYTES: u16 = 256;

/// The actions of a packet-out that sends a packet in that colour as if it came in by the packet-out's `in_port`.
///
/// The last one reports the end: everything before is done by then, so what was not reported as delivered, or sent to another host, was dropped.
/// It has no meter: whoever sends the packet limits how many.
pub fn inject(command: NonZeroU16) -> Vec<Action> {
    vec![
        set(register::COMMAND, u32::from(command.get())),
        set_flags(register::TRACED),
        resubmit(stage::PHYSICAL_IN),
        report(Event::End, 0),
    ]
}
