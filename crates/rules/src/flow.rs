//! A flow as the rules derive it, and short names for the actions that rules use most.

use crate::{
    cookie::Cookie,
    register::{self, option},
    stage::Stage,
};
use std::net::IpAddr;
use tuplenet_model::{hash::fnv32, id::DatapathId};
use tuplenet_openflow::{
    Action, Match, Value,
    action::Subfield,
    field::{self, Field},
};

/// A derived flow. Two facts may derive the same one: it exists as long as one of them does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowRow {
    pub table: u8,
    pub priority: u16,
    pub cookie: u64,
    pub matching: Match,
    /// Empty: drop.
    pub actions: Vec<Action>,
}

/// Priorities within a stage. Routes have their own scale: see [`crate::flows::route`].
pub mod priority {
    /// What happens to everything else.
    pub const MISS: u16 = 0;
    /// What holds for a kind of packets, whatever its object.
    pub const GENERAL: u16 = 50;
    /// What holds for an object.
    pub const OBJECT: u16 = 100;
    /// What overrules an object's.
    pub const EXCEPTION: u16 = 200;
}

/// A flow of a stage.
pub fn flow(stage: Stage, priority: u16, cookie: Cookie, matching: Match, actions: Vec<Action>) -> FlowRow {
    FlowRow { table: stage.table, priority, cookie: cookie.encode(), matching, actions }
}

/// On to a stage.
pub fn resubmit(stage: Stage) -> Action {
    resubmit_table(stage.table)
}

/// On to a table.
pub fn resubmit_table(table: u8) -> Action {
    Action::Resubmit { in_port: None, table: Some(table), ct: false }
}

/// Sets a field.
pub fn set(field: &'static Field, value: impl Into<Value>) -> Action {
    Action::set_field(field, value)
}

/// Sets some bits of the flags.
pub fn set_flags(flags: u32) -> Action {
    Action::set_field_masked(register::FLAGS, flags, flags)
}

/// Copies a whole field into another of the same width.
pub fn copy(from: &'static Field, to: &'static Field, bits: u16) -> Action {
    Action::Move { src: Subfield::new(from, 0, bits), dst: Subfield::new(to, 0, bits) }
}

/// Copies a whole field into a part of another, from this bit on.
pub fn copy_part(from: &'static Field, to: &'static Field, at: u16, bits: u16) -> Action {
    Action::Move { src: Subfield::new(from, 0, bits), dst: Subfield::new(to, at, bits) }
}

/// Copies the low 16 bits of a register into a part of the tunnel's option.
pub fn to_option(from: &'static Field, part: u16) -> Action {
    let dst = Subfield::new(field::TUN_METADATA0, part, option::WIDTH);
    Action::Move { src: Subfield::new(from, 0, option::WIDTH), dst }
}

/// Copies a part of the tunnel's option into the low 16 bits of a register.
pub fn from_option(part: u16, to: &'static Field) -> Action {
    let src = Subfield::new(field::TUN_METADATA0, part, option::WIDTH);
    Action::Move { src, dst: Subfield::new(to, 0, option::WIDTH) }
}

/// Lets a packet leave by the port that it came from, which a switch otherwise refuses.
pub fn forget_in_port() -> Action {
    set(field::IN_PORT_NXM, 0_u16)
}

/// Sends a packet out of a port.
pub fn output(port: u32) -> Action {
    Action::output(port)
}

/// Remembers the chassis that a packet is to be sent to, by its tunnel end point.
pub fn set_remote(endpoint: IpAddr) -> Action {
    match endpoint {
        IpAddr::V4(ip) => set(register::REMOTE4, ip),
        IpAddr::V6(ip) => set(register::REMOTE6, ip),
    }
}

/// Packets in a datapath.
pub fn within(datapath: DatapathId) -> Match {
    these_within(Match::new(), datapath)
}

/// These packets, in a datapath. A match keeps its fields in the registry's order, headers before registers: given in that order they cost
/// least, which counts where each port has such a flow.
pub fn these_within(packets: Match, datapath: DatapathId) -> Match {
    packets.with(register::DATAPATH, u64::from(datapath.get()))
}

/// A number made from bytes, always the same: FNV-1a, and the last step of MurmurHash3, which spreads what differs in a few bits.
pub fn hash(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let hash = fnv32(bytes.copied());
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// Ethertypes and protocol numbers that rules match.
pub mod proto {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Switches have groups by them.
    #[test]
    fn bytes_keep_their_numbers() {
        assert_eq!([hash(&[]), hash(&[&[192, 0], &[2, 1]]), hash(&[b"vm1"])], [0xab3e_7c0b, 0x4cfd_712c, 0xd60f_51b1]);
    }
}
