//! Frames as bytes: what an outsider reads in them, and what the one who got them sends back.

use super::generate::bytes::{self, seal};
use std::net::IpAddr;
use tuplenet_openflow::{Field, Value, field};
use tuplenet_sim::Packet;

/// The addresses that a frame shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub eth_src: [u8; 6],
    pub src: IpAddr,
    pub dst: IpAddr,
    /// Source and destination of the packet that an ICMP error is about.
    pub quoted: Option<(IpAddr, IpAddr)>,
}

/// What stands in an IP packet.
struct Ip<'a> {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    fragment: bool,
    body: &'a [u8],
}

fn ip(bytes: &[u8]) -> Option<Ip<'_>> {
    let four = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    let sixteen = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
    match bytes.first()? >> 4 {
        4 => Some(Ip {
            src: four(12)?,
            dst: four(16)?,
            proto: bytes[9],
            fragment: bytes[6] & 0x3f != 0 || bytes[7] != 0,
            body: bytes.get(20..)?,
        }),
        6 => Some(Ip {
            src: sixteen(8)?,
            dst: sixteen(24)?,
            proto: bytes[6],
            fragment: bytes[6] == 44,
            body: bytes.get(40..)?,
        }),
        _ => None,
    }
}

/// Where a frame's packet begins, if it is IP.
fn network(frame: &[u8]) -> Option<&[u8]> {
    let ethertype = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (ethertype, at) = if ethertype(12)? == 0x8100 { (ethertype(16)?, 18) } else { (ethertype(12)?, 14) };
    matches!(ethertype, 0x0800 | 0x86dd).then(|| frame.get(at..)).flatten()
}

pub fn shown(frame: &[u8]) -> Option<Shown> {
    let packet = ip(network(frame)?)?;
    let error = match (packet.proto, packet.body.first()) {
        (1, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (58, Some(kind)) => *kind < 128,
        _ => false,
    };
    let quoted = packet.body.get(8..).filter(|_| error && !packet.fragment).and_then(ip);
    let quoted = quoted.map(|quoted| (quoted.src, quoted.dst));
    let eth_src = frame.get(6..12)?.try_into().ok()?;
    Some(Shown { eth_src, src: packet.src, dst: packet.dst, quoted })
}

fn swap(packet: &mut Packet, a: &'static Field, b: &'static Field) {
    let (Some(first), Some(second)) = (packet.get(a), packet.get(b)) else { return };
    packet.set(a, second);
    packet.set(b, first);
}

/// What who got this frame answers, if that is easy to say.
pub fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Packet::parse(frame).ok()?;
    let number = |packet: &Packet, field: &'static Field| packet.get(field)?.to_u64();
    let asks = matches!(number(&packet, field::ICMPV4_TYPE), None | Some(8))
        && matches!(number(&packet, field::ICMPV6_TYPE), None | Some(128));
    if !asks || network(frame).and_then(ip)?.fragment {
        return None;
    }
    for (a, b) in [
        (field::ETH_SRC, field::ETH_DST),
        (field::IPV4_SRC, field::IPV4_DST),
        (field::IPV6_SRC, field::IPV6_DST),
        (field::TCP_SRC, field::TCP_DST),
        (field::UDP_SRC, field::UDP_DST),
        (field::SCTP_SRC, field::SCTP_DST),
    ] {
        swap(&mut packet, a, b);
    }
    if packet.get(field::ICMPV4_TYPE).is_some() {
        packet.set(field::ICMPV4_TYPE, 0_u8);
    }
    if packet.get(field::ICMPV6_TYPE).is_some() {
        packet.set(field::ICMPV6_TYPE, 129_u8);
    }
    packet.set(field::NW_TTL, Value::from(64_u8));
    Some(packet.to_bytes())
}

/// What an error says.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    Port,
    Spent,
    /// Fragmentation needed, or packet too big.
    TooLong,
}

/// That there was trouble with this frame, told by `by` or by who got it, to whom it came from. `short`: it quotes no more than it must.
pub fn error(frame: &[u8], trouble: Trouble, by: Option<IpAddr>, short: bool) -> Option<Vec<u8>> {
    let bytes = network(frame)?;
    let packet = ip(bytes)?;
    if shown(frame)?.quoted.is_some() {
        return None;
    }
    let header = bytes.len() - packet.body.len();
    let quoted = if short { bytes.get(..header + 8)? } else { bytes };
    let (src, dst) = (by.unwrap_or(packet.dst), packet.src);
    let v4 = src.is_ipv4();
    let (kind, rest) = match (trouble, v4) {
        (Trouble::Port, true) => ([3, 3], [0; 4]),
        (Trouble::Spent, true) => ([11, 0], [0; 4]),
        (Trouble::TooLong, true) => ([3, 4], [0, 0, 5, 0]),
        (Trouble::Port, false) => ([1, 4], [0; 4]),
        (Trouble::Spent, false) => ([3, 0], [0; 4]),
        (Trouble::TooLong, false) => ([2, 0], [0, 0, 5, 0]),
    };
    let mut icmp = [&kind[..], &[0, 0], &rest, quoted].concat();
    let proto = if v4 { 1_u8 } else { 58 };
    seal((src, dst), proto, &mut icmp, 2);
    let packet = bytes::ip((src, dst), [0, 9, 0, 0], 64, proto, &icmp);
    // Back by the same way, with its tag.
    let head = &frame[12..frame.len() - bytes.len()];
    Some([&frame[6..12], &frame[..6], head, &packet].concat())
}
