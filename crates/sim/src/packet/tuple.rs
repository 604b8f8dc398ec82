//! Which connection a packet belongs to: addresses, protocol, ports.

use super::{
    Packet, Slot,
    checksum::{sum, update},
    ethertype, extract, protocol,
};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub ipv6: bool,
    pub proto: u8,
    pub src: u128,
    pub dst: u128,
    /// Ports; of an echo both are its identifier; 0 where there are none.
    pub sport: u16,
    pub dport: u16,
}

impl Tuple {
    /// The other direction.
    pub fn reverse(self) -> Self {
        Tuple { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, ..self }
    }
}

/// What the connection tracker sees in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracked {
    /// A packet of a connection, and whether it may begin one.
    Direct(Tuple, bool),
    /// An ICMP error about a packet of a connection: that packet's tuple.
    Error(Tuple),
    /// Nothing that can be tracked.
    Invalid,
}

/// TCP flags.
const FIN: u128 = 1;
const SYN: u128 = 2;
const RST: u128 = 4;
const ACK: u128 = 16;

impl Packet {
    /// As the connection tracker sees it, with what was set.
    pub(crate) fn tracked(&self) -> Tracked {
        let ipv6 = match self.slot(Slot::EthType) {
            ethertype::IPV4 => false,
            ethertype::IPV6 => true,
            _ => return Tracked::Invalid,
        };
        let bytes = self.to_bytes();
        let mut slots = [0; super::SLOTS];
        let layout = extract::extract(&bytes, &mut slots);
        let Some(l4) = layout.l4.filter(|_| layout.l3.is_some()) else {
            // Other protocols have no ports, but connections nevertheless.
            let proto = self.slot(Slot::IpProto);
            let known = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];
            let whole = layout.l3.is_some() && self.slot(Slot::Frag) == 0;
            return if whole && !known.contains(&proto) {
                Tracked::Direct(self.tuple(ipv6, 0, 0), true)
            } else {
                Tracked::Invalid
            };
        };
        let number = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let (source, destination) = (self.slot(Slot::TpSrc), self.slot(Slot::TpDst));
        match self.slot(Slot::IpProto) {
            protocol::ICMP | protocol::ICMPV6 => {
                let id = number(l4 + 4);
                let echo = self.tuple(ipv6, id, id);
                match (ipv6, source) {
                    (false, 8) | (true, 128) => Tracked::Direct(echo, true),
                    (false, 0) | (true, 129) => Tracked::Direct(echo, false),
                    // Unreachable, source quench, redirect, time exceeded, parameter problem; too big.
                    (false, 3..=5 | 11 | 12) | (true, 1..=4) => {
                        inner(bytes.get(l4 + 8..layout.end).unwrap_or_default(), ipv6)
                            .map_or(Tracked::Invalid, Tracked::Error)
                    }
                    _ => Tracked::Invalid,
                }
            }
            protocol::TCP => {
                let flags = self.slot(Slot::TcpFlags);
                let nonsense = flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (FIN | RST | SYN | ACK) == 0;
                let begins = !nonsense && flags & (SYN | ACK) != SYN | ACK;
                Tracked::Direct(self.tuple(ipv6, source as u16, destination as u16), begins)
            }
            _ => Tracked::Direct(self.tuple(ipv6, source as u16, destination as u16), true),
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

    fn tuple(&self, ipv6: bool, sport: u16, dport: u16) -> Tuple {
        let (src, dst) = if ipv6 { (Slot::Ip6Src, Slot::Ip6Dst) } else { (Slot::Ip4Src, Slot::Ip4Dst) };
        let proto = self.slot(Slot::IpProto) as u8;
        Tuple { ipv6, proto, src: self.slot(src), dst: self.slot(dst), sport, dport }
    }
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
    let (sport, dport) = match proto {
        protocol::ICMP | protocol::ICMPV6 => (port(4)?, port(4)?),
        protocol::TCP | protocol::UDP | protocol::SCTP => (port(0)?, port(2)?),
        _ => (0, 0),
    };
    Some(Tuple { ipv6, proto: proto as u8, src, dst, sport, dport })
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
