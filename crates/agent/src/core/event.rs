//! What the core hears of, and what it wants done: its only ways in and out.

use super::{
    ovs,
    records::{self, Write},
    switch, trace,
};
use bytes::Bytes;
use std::time::Duration;
use tuplenet_openflow::{Action, message::PacketIn2};
use tuplenet_ovsdb::Operation;
use tuplenet_rules::userdata::Userdata;
use tuplenet_store::mirror::MirrorEvent;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Info,
    /// Somebody may want to look.
    Warn,
    /// Somebody should.
    Error,
}

/// What happened outside.
#[derive(Debug)]
pub enum Event {
    /// News from the store.
    Store(MirrorEvent),
    /// A write to the store ended.
    Written(String, records::Outcome),
    /// News from the database of Open vSwitch.
    Ovs(tuplenet_ovsdb::Event),
    /// The kernel did what was asked of it for `--untunnel`, or not.
    OwnStack(ovs::Answer),
    /// A transaction there ended.
    OvsDone(ovs::Purpose, Result<(), String>),
    /// News from the switch, of that session.
    Switch(u64, switch::Event),
    /// The switch reports a packet, which came at that time, in nanoseconds since 1970.
    Packet(u64, Box<PacketIn2>),
    /// The switch reported so many packets too many, which were dropped before they came here. Of this kind, if that is known.
    Lost(Option<Userdata>, u64),
    /// Something of a trace.
    Trace(trace::Event),
    /// The MTU of the underlay is that now, in bytes; `None`: it is not known.
    Underlay(Option<u32>),
    /// Time passed.
    Tick,
}

/// What is to be done outside.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// For the log.
    Say(Level, String),
    /// For the switch, in that session. Answered by [`Event::Switch`].
    Switch(u64, switch::Command),
    /// For the database of Open vSwitch. Answered by [`Event::OvsDone`].
    Ovs(ovs::Purpose, Vec<Operation>),
    /// For the host's own IP stack. Answered by [`Event::OwnStack`].
    OwnStack(ovs::Command),
    /// For the store. Answered by [`Event::Written`].
    Store(Write),
    /// A packet for the switch, and what it is to do with it. Not answered: what gets lost is sent anew by who misses it.
    PacketOut {
        /// What to do.
        actions: Vec<Action>,
        /// The packet, from its Ethernet header on.
        frame: Bytes,
    },
    /// For a trace. Answered by [`Event::Trace`].
    Trace(trace::Command),
    /// Changes are in the switch, so long after the store's event that caused them.
    Installed(Duration),
}
