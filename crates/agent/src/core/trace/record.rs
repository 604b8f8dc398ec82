//! What a report of the switch says, as a record.

use super::Id;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::trace::{TraceEvent, TraceRecord, to_hex};
use tuplenet_openflow::{Field, field, message::PacketIn2};
use tuplenet_rules::{
    register::{COMMAND, DATAPATH, DST_PORT, FLAGS, SRC_PORT},
    stage,
    trace::{Event, PACKET_BYTES},
};

/// Registers are 32-bit fields in what a switch tells: the parts of [`tuplenet_rules::register::REMOTE6`], first the highest.
const REMOTE: [&Field; 4] = [field::REG8, field::REG9, field::REG10, field::REG11];
/// The parts of [`tuplenet_rules::register::NEXT_HOP6`].
const NEXT_HOP: [&Field; 4] = [field::REG0, field::REG1, field::REG2, field::REG3];

/// A record that says nothing but what happened, and when.
pub fn empty(event: TraceEvent, at: u64) -> TraceRecord {
    TraceRecord {
        event,
        at,
        table: 0,
        datapath: 0,
        from: 0,
        to: 0,
        flags: 0,
        remote: None,
        next_hop: None,
        packet: String::new(),
        text: None,
    }
}

/// The colour of a reported packet, and what is to be told of it. `None`: it has none.
pub fn of(event: Event, at: u64, report: &PacketIn2) -> Option<(Id, TraceRecord)> {
    let number = |field: &'static Field| -> u64 {
        report.metadata.get(field).and_then(|m| m.value.to_u64()).unwrap_or_default()
    };
    let register = |field: &'static Field| -> u32 { u32::try_from(number(field)).unwrap_or_default() };
    let wide = |parts: [&'static Field; 4]| {
        Ipv6Addr::from_bits(parts.iter().fold(0, |all, part| all << 32 | u128::from(register(part))))
    };
    let id = u16::try_from(register(COMMAND)).ok().and_then(Id::new)?;
    let table = report.table.unwrap_or_default();
    let event = match event {
        Event::Hop => TraceEvent::Hop,
        Event::Delivered => TraceEvent::Delivered,
        Event::End => TraceEvent::End,
    };
    let mut record = TraceRecord {
        table,
        datapath: u32::try_from(number(DATAPATH)).unwrap_or_default(),
        from: register(SRC_PORT),
        to: register(DST_PORT),
        flags: register(FLAGS),
        packet: to_hex(report.packet.get(..usize::from(PACKET_BYTES)).unwrap_or(&report.packet)),
        ..empty(event, at)
    };
    if event == TraceEvent::End {
        // What registers hold at the end is what some copy or answer left there.
        return Some((id, record));
    }
    let remote = wide(REMOTE);
    record.remote = match remote.to_bits() {
        0 => None,
        // An IPv4 end point has the first part alone, and no IPv6 one ends in 96 zero bits.
        bits if bits << 32 == 0 => Some(Ipv4Addr::from_bits(register(field::REG8)).into()),
        _ => Some(remote.into()),
    };
    // Before a router has decided, these registers hold what an earlier one left.
    if (stage::LRP_INGRESS_ECMP.table..=stage::LRP_EGRESS_TO_SWITCH.table).contains(&table) {
        record.next_hop = match report.packet.get(12..14) {
            Some([0x08, 0x00]) => Some(IpAddr::V4(Ipv4Addr::from_bits(register(field::REG0)))),
            Some([0x86, 0xdd]) => Some(IpAddr::V6(wide(NEXT_HOP))),
            _ => None,
        };
    }
    Some((id, record))
}
