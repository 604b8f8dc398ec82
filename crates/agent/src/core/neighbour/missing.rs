//! What the switch tells of a packet whose next hop is not known.

use super::{Port, packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::{Field, field, message::PacketIn2};
use tuplenet_rules::register::{DATAPATH, DST_PORT};

/// What a packet-in tells of one of its fields and registers, 0 for nothing.
pub fn number(packet: &PacketIn2, field: &'static Field) -> u64 {
    packet.metadata.get(field).and_then(|m| m.value.to_u64()).unwrap_or_default()
}

/// Where a packet was to go, and by which port of which router.
pub fn hop(packet: &PacketIn2) -> Option<(Port, IpAddr)> {
    let register = |field| u32::try_from(number(packet, field)).unwrap_or_default();
    let router = DatapathId::new(u32::try_from(number(packet, DATAPATH)).ok()?)?;
    let next = match packet.packet.get(12..14)? {
        [0x08, 0x00] => IpAddr::V4(Ipv4Addr::from(register(field::REG0))),
        [0x86, 0xdd] => {
            let parts = [field::REG0, field::REG1, field::REG2, field::REG3];
            IpAddr::V6(Ipv6Addr::from(parts.iter().fold(0, |all, part| all << 32 | u128::from(register(part)))))
        }
        _ => return None,
    };
    Some(((router, register(DST_PORT)), next))
}

/// Who sent a packet: before its source was translated, if it was.
pub fn source(packet: &PacketIn2) -> Option<IpAddr> {
    let before = |field| packet.metadata.get(field).map(|m| m.value);
    let v4 = before(field::CT_NW_SRC).and_then(|v| v.to_u64()).and_then(|v| u32::try_from(v).ok()).filter(|v| *v != 0);
    let v6 = before(field::CT_IPV6_SRC).and_then(|v| <[u8; 16]>::try_from(v.as_bytes()).ok()).filter(|v| *v != [0; 16]);
    let v4 = v4.map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    v4.or(v6.map(|ip| IpAddr::V6(Ipv6Addr::from(ip)))).or_else(|| packet::source(&packet.packet))
}
