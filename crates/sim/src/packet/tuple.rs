//! Which connection a packet belongs to: addresses, protocol, ports.

use super::{
    Packet, Slot,
    checksum::{crc32c, finish, sum, update},
    ethertype, extract, protocol,
};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub ipv6: bool,
    pub proto: u8,
    pub src: u128,
    pub dst: u128,
    /// Ports; of an ICMP query both are its identifier; 0 where there are none.
    pub sport: u16,
    pub dport: u16,
    /// Of an ICMP query: the type of this direction's messages, and of the other's; 0 for others. So two hosts that ping each
    /// other with one identifier have two connections.
    pub types: (u8, u8),
}

impl Tuple {
    /// The other direction.
    pub fn reverse(self) -> Self {
        Tuple {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            types: (self.types.1, self.types.0),
            ..self
        }
    }
}

/// What the connection tracker sees in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracked {
    /// A packet of a connection, and whether it may begin one.
    Direct(Tuple, bool),
    /// An ICMP error about a packet of a connection: that packet's tuple.
    Error(Tuple),
    /// A fragment: held until all are there.
    Fragment,
    /// Nothing that can be tracked: no IP, damaged, or a kind of message that belongs to no connection.
    Invalid,
}

/// TCP flags.
const FIN: u128 = 1;
const SYN: u128 = 2;
const RST: u128 = 4;
const ACK: u128 = 16;

/// ICMP queries: request and answer (RFC 792, RFC 4443).
const QUERIES: [(u8, u8); 3] = [(8, 0), (13, 14), (15, 16)];
const QUERIES6: [(u8, u8); 1] = [(128, 129)];

/// The types of a query's messages, this one's first, and whether it asks.
fn query(ipv6: bool, kind: u8) -> Option<((u8, u8), bool)> {
    let known: &[(u8, u8)] = if ipv6 { &QUERIES6 } else { &QUERIES };
    known.iter().find_map(|(ask, answer)| match kind {
        kind if kind == *ask => Some(((*ask, *answer), true)),
        kind if kind == *answer => Some(((*answer, *ask), false)),
        _ => None,
    })
}

impl Packet {
    /// As the connection tracker sees it, with what was set (`conn_key_extract` of Open vSwitch's `lib/conntrack.c`).
    pub(crate) fn tracked(&self) -> Tracked {
        let bytes = self.to_bytes();
        let mut slots = [0; super::SLOTS];
        let layout = extract::extract(&bytes, &mut slots);
        let slot = |slot: Slot| slots[slot as usize];
        let ipv6 = slot(Slot::EthType) == ethertype::IPV6;
        let (Some(l3), true) = (layout.l3, ipv6 || slot(Slot::EthType) == ethertype::IPV4) else {
            return Tracked::Invalid;
        };
        if slot(Slot::Frag) != 0 {
            return Tracked::Fragment;
        }
        let proto = slot(Slot::IpProto);
        let (src, dst) = if ipv6 { (Slot::Ip6Src, Slot::Ip6Dst) } else { (Slot::Ip4Src, Slot::Ip4Dst) };
        let tuple = Tuple {
            ipv6,
            proto: proto as u8,
            src: slot(src),
            dst: slot(dst),
            sport: slot(Slot::TpSrc) as u16,
            dport: slot(Slot::TpDst) as u16,
            types: (0, 0),
        };
        let header = bytes.get(l3..l3 + 4 * usize::from(bytes.get(l3).map_or(0, |b| b & 0xf))).unwrap_or_default();
        if !ipv6 && finish(sum(header)) != 0 {
            return Tracked::Invalid;
        }
        let known = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];
        let Some(l4) = layout.l4 else {
            // Other protocols have no ports, but connections nevertheless.
            let plain = Tuple { sport: 0, dport: 0, ..tuple };
            return if known.contains(&proto) { Tracked::Invalid } else { Tracked::Direct(plain, true) };
        };
        let carried = bytes.get(l4..layout.end).unwrap_or_default();
        if !sound(carried, proto, &tuple) {
            return Tracked::Invalid;
        }
        let number = |at: usize| carried.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        match proto {
            protocol::ICMP | protocol::ICMPV6 => {
                let kind = carried.first().copied().unwrap_or(0);
                match (query(ipv6, kind), ipv6, kind) {
                    (Some((types, asks)), ..) if tuple.dport == 0 => {
                        let id = number(4);
                        Tracked::Direct(Tuple { sport: id, dport: id, types, ..tuple }, asks)
                    }
                    // Unreachable, source quench, redirect, time exceeded, parameter problem; too big.
                    (None, false, 3..=5 | 11 | 12) | (None, true, 1..=4) => {
                        inner(carried.get(8..).unwrap_or_default(), ipv6)
                            .filter(|quoted| quoted.src == tuple.dst)
                            .map_or(Tracked::Invalid, Tracked::Error)
                    }
                    _ => Tracked::Invalid,
                }
            }
            _ if tuple.sport == 0 || tuple.dport == 0 => Tracked::Invalid,
            protocol::TCP => {
                let flags = slot(Slot::TcpFlags);
                let nonsense = flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (FIN | RST | SYN | ACK) == 0;
                Tracked::Direct(tuple, !nonsense && flags & (SYN | ACK) != SYN | ACK)
            }
            _ => Tracked::Direct(tuple, true),
        }
    }

    /// Puts another tuple into the packet that an ICMP error quotes, as a translation of addresses does; checksums follow, the quoted ones as well.
    pub(crate) fn quote(&mut self, tuple: Tuple) {
        let mut bytes = self.frame.to_vec();
        let mut slots = [0; super::SLOTS];
        let layout = extract::extract(&bytes, &mut slots);
        let Some(l4) = layout.l4 else { return };
        let Some(message) = bytes.get_mut(l4..layout.end) else { return };
        let before = sum(message);
        if requote(message.get_mut(8..).unwrap_or_default(), tuple).is_none() {
            return;
        }
        let after = sum(message);
        if let Some(checksum) = message.get_mut(2..4) {
            let was = u16::from_be_bytes([checksum[0], checksum[1]]);
            checksum.copy_from_slice(&update(was, before, after).to_be_bytes());
        }
        self.frame = bytes.into();
    }
}

/// Whether lengths and checksum of what IP carries are right.
fn sound(carried: &[u8], proto: u128, tuple: &Tuple) -> bool {
    let width = if tuple.ipv6 { 16 } else { 4 };
    let address = |ip: u128| sum(ip.to_be_bytes().get(16 - width..).unwrap_or_default());
    let pseudo = address(tuple.src) + address(tuple.dst) + u64::from(tuple.proto) + carried.len() as u64;
    let number = |at: usize| carried.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    match proto {
        protocol::UDP => {
            let length = usize::from(number(4));
            let none = number(6) == 0 && !tuple.ipv6;
            (8..=carried.len()).contains(&length) && (none || finish(pseudo + sum(carried)) == 0)
        }
        protocol::ICMP => finish(sum(carried)) == 0,
        protocol::SCTP => {
            let Some(said) = carried.get(8..12) else { return false };
            let mut zeroed = carried.to_vec();
            zeroed.get_mut(8..12).unwrap_or_default().fill(0);
            crc32c(&zeroed).to_le_bytes() == said && chunks_fit(carried)
        }
        _ => finish(pseudo + sum(carried)) == 0,
    }
}

/// Whether the chunks of an SCTP packet end where it ends (RFC 9260, section 3.2).
fn chunks_fit(packet: &[u8]) -> bool {
    let mut at = 12;
    while let Some(chunk) = packet.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([chunk[2], chunk[3]]));
        if length < 4 {
            return false;
        }
        at += length.next_multiple_of(4);
    }
    at == packet.len()
}

/// The tuple of the packet that an error quotes: its network header and eight bytes at least.
fn inner(quoted: &[u8], ipv6: bool) -> Option<Tuple> {
    let number = |at: usize, len: usize| {
        let bytes = quoted.get(at..at + len)?;
        Some(bytes.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b)))
    };
    let (proto, src, dst, l4) = if ipv6 {
        (number(6, 1)?, number(8, 16)?, number(24, 16)?, 40)
    } else {
        (number(9, 1)?, number(12, 4)?, number(16, 4)?, 4 * (number(0, 1)? & 0xf) as usize)
    };
    let port = |at: usize| number(l4 + at, 2).map(|port| port as u16);
    let (sport, dport, types) = match proto {
        protocol::ICMP | protocol::ICMPV6 => (port(4)?, port(4)?, query(ipv6, number(l4, 1)? as u8)?.0),
        protocol::TCP | protocol::UDP | protocol::SCTP => (port(0)?, port(2)?, (0, 0)),
        _ => (0, 0, (0, 0)),
    };
    Some(Tuple { ipv6, proto: proto as u8, src, dst, sport, dport, types })
}

/// Writes a tuple into a quoted packet, of which eight bytes of the transport header are there at least.
fn requote(quoted: &mut [u8], tuple: Tuple) -> Option<()> {
    let (addresses, width, l4) = if tuple.ipv6 { (8, 16, 40) } else { (12, 4, 4 * usize::from(quoted.first()? & 0xf)) };
    let ports = [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&u128::from(tuple.proto));
    let changed = |quoted: &[u8]| {
        let addresses = sum(quoted.get(addresses..addresses + 2 * width)?);
        Some((addresses, sum(quoted.get(l4..l4 + 4)?)))
    };
    let before = changed(quoted)?;
    let mut put = |at: usize, number: u128, width: usize| {
        let bytes = number.to_be_bytes();
        quoted.get_mut(at..at + width)?.copy_from_slice(bytes.get(16 - width..)?);
        Some(())
    };
    put(addresses, tuple.src, width)?;
    put(addresses + width, tuple.dst, width)?;
    if ports {
        put(l4, tuple.sport.into(), 2)?;
        put(l4 + 2, tuple.dport.into(), 2)?;
    }
    let after = changed(quoted)?;
    let mut mend = |at: usize, before: u64, after: u64, optional: bool| {
        // A quotation is often cut before the checksum.
        if let Some(place) = quoted.get_mut(at..at + 2) {
            let was = u16::from_be_bytes([place[0], place[1]]);
            if !optional || was != 0 {
                place.copy_from_slice(&update(was, before, after).to_be_bytes());
            }
        }
    };
    if !tuple.ipv6 {
        mend(10, before.0, after.0, false);
    }
    let (old, new) = (before.0 + before.1, after.0 + after.1);
    match u128::from(tuple.proto) {
        protocol::TCP => mend(l4 + 16, old, new, false),
        protocol::UDP => mend(l4 + 6, old, new, true),
        _ => {}
    }
    Some(())
}
