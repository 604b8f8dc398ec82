//! What the core asks of the switch, and what it is told.

use super::{
    bundle::{Mod, Outcome},
    groups::Reported,
};
use tuplenet_openflow::Flow;

/// One entry of the switch's map of Geneve options to `tun_metadata` fields (`NXT_TLV_TABLE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvMapping {
    /// Option class.
    pub class: u16,
    /// Option type.
    pub kind: u8,
    /// Length of the value in bytes.
    pub length: u8,
    /// Which `tun_metadata` field.
    pub index: u16,
}

/// The entry that our flows rely on.
pub const TLV: TlvMapping = TlvMapping {
    class: tuplenet_rules::register::option::CLASS,
    kind: tuplenet_rules::register::option::TYPE,
    length: tuplenet_rules::register::option::LEN,
    index: 0,
};

/// What to ask of the switch. Each has one [`Event`] as its answer, which carries the same session.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Make the meter of the trace reports, if it is not there as it should be.
    Meter,
    /// Read the TLV map.
    ReadTlv,
    /// Delete those entries, then add [`TLV`].
    WriteTlv(Vec<TlvMapping>),
    /// Read all groups.
    ReadGroups,
    /// Read which tables hold flows.
    ReadTables,
    /// Read the flows of one table.
    ReadFlows(u8),
    /// Do all of this or nothing.
    Bundle(Vec<Mod>),
    /// Forget the tracked connections of these zones.
    Forget(Vec<u16>),
}

/// Whether the switch limits trace reports.
#[derive(Debug, PartialEq, Eq)]
pub enum Metering {
    /// The meter is there.
    On,
    /// The switch has no meters (kernels of old), and why. It takes the flows that name the meter nevertheless, and reports without limit.
    Off(String),
}

/// What the switch says.
#[derive(Debug)]
pub enum Event {
    /// The connection stands. A new session begins.
    Up,
    /// The connection is gone; why, for people.
    Down(String),
    /// The meter.
    Meter(Result<Metering, String>),
    /// The TLV map.
    Tlv(Result<Vec<TlvMapping>, String>),
    /// The TLV map is written.
    TlvWritten(Result<(), String>),
    /// All groups.
    Groups(Result<Vec<Reported>, String>),
    /// The tables that hold flows.
    Tables(Result<Vec<u8>, String>),
    /// The flows of a table.
    Flows(u8, Result<Vec<Flow>, String>),
    /// How a bundle ended.
    Bundle(Outcome),
    /// Connections are forgotten.
    Forgotten(Result<(), String>),
}
