//! Packets for random programs: ordinary ones, odd ones, and damaged ones.

use super::{
    generate::{Arp, Body, Frame, Ip, Says},
    protocol::{MACS, v4, v6},
    real::{Arrival, Question},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// A packet, and what only the switch knows about it.
#[derive(Clone, Debug)]
pub struct Stimulus {
    in_port: u32,
    /// VNI of the tunnel that it came by, and the option if there is one.
    tunnel: Option<(u32, Option<u64>)>,
    frame: Frame,
    /// One of [`ODD`] instead.
    odd: Option<usize>,
    /// Bytes that were changed.
    pokes: Vec<(usize, u8)>,
    /// Bytes that are left.
    cut: Option<usize>,
    /// The other way round: addresses and ports are swapped, which changes no checksum.
    answer: bool,
}

/// Frames with headers that the builder of frames does not know, without their two addresses.
const ODD: &[(&str, &str)] = &[
    ("first fragment, UDP", "0800 4500 0020 0001 2000 4011 0000 0a000001 0a000002 c0010035 000c0000 01020304"),
    ("later fragment, UDP", "0800 4500 0020 0001 0004 4011 0000 0a000001 0a000002 c0010035 000c0000 01020304"),
    ("IPv4 with options", "0800 4600 0024 0001 4000 4011 0000 0a000001 0a000002 01010101 c0010035 000c0000 01020304"),
    (
        "IPv4 in a longer frame",
        "0800 4500 001c 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000 0000000000000000",
    ),
    ("IPv4 with a length that is too long", "0800 4500 0040 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000"),
    ("IPv4 of version 5", "0800 5500 001c 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000"),
    ("SCTP", "0800 4500 0020 0001 4000 4084 0000 0a000001 0a000002 c0010035 00000001 00000000"),
    ("IGMP", "0800 4500 001c 0001 4000 4002 0000 0a000001 e0000001 1600f9ff e0000001"),
    ("TOS and ECN", "0800 45bb 001c 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000"),
    (
        "IPv6 hop by hop, UDP",
        "86dd 60000000 0010 0040 fd000000000000000000000000000001 fd000000000000000000000000000002 1100010400000000 c001003500080000",
    ),
    (
        "IPv6 first fragment",
        "86dd 60012345 0010 2c40 fd000000000000000000000000000001 fd000000000000000000000000000002 1100000100000001 c001003500080000",
    ),
    (
        "IPv6 later fragment",
        "86dd 6ff12345 0010 2c40 fd000000000000000000000000000001 fd000000000000000000000000000002 1100001100000001 c001003500080000",
    ),
    (
        "IPv6 routing header",
        "86dd 60000000 0020 2b40 fd000000000000000000000000000001 fd000000000000000000000000000002 1102000100000000 fd000000000000000000000000000003 c001003500080000",
    ),
    (
        "IPv6 no next header",
        "86dd 60000000 0000 3b40 fd000000000000000000000000000001 fd000000000000000000000000000002",
    ),
    (
        "IPv6 in a longer frame",
        "86dd 60000000 0008 1140 fd000000000000000000000000000001 fd000000000000000000000000000002 c001003500080000 0000000000",
    ),
    (
        "ND with two options",
        "86dd 60000000 0028 3aff fd000000000000000000000000000001 fd000000000000000000000000000002 87000000 00000000 fd000000000000000000000000000002 0e01000000000000 0101020000000003",
    ),
    (
        "ND with an option of length 0",
        "86dd 60000000 0020 3aff fd000000000000000000000000000001 fd000000000000000000000000000002 88000000 60000000 fd000000000000000000000000000002 0200020000000003",
    ),
    (
        "ND advertisement with both addresses",
        "86dd 60000000 0028 3aff fd000000000000000000000000000001 fd000000000000000000000000000002 88000000 60000000 fd000000000000000000000000000002 0101020000000001 0201020000000003",
    ),
    (
        "ICMPv6 echo",
        "86dd 60000000 0008 3aff fd000000000000000000000000000001 fd000000000000000000000000000002 80000000 00000000",
    ),
    ("802.3 with SNAP", "0024 aaaa03 000000 0800 4500 001c 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000"),
    ("802.3 with LLC", "0010 424203 000102030405060708090a0b0c"),
    ("two tags", "8100 0002 8100 0003 0800 4500 001c 0001 4000 4011 0000 0a000001 0a000002 c0010035 00080000"),
    ("802.1ad", "88a8 6002 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"),
    ("a tag with CFI", "8100 1002 88b5 0000"),
    ("a tag and nothing", "8100 0002"),
    ("MPLS", "8847 000641ff 4500 001c 0001 4000 4011 0000"),
    ("RARP", "8035 0001 0800 06 04 0003 020000000001 0a000001 020000000002 0a000002"),
    ("ARP of other hardware", "0806 0006 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"),
    ("ARP with a large operation", "0806 0001 0800 06 04 0101 020000000001 0a000001 000000000000 0a000002"),
];

/// The addresses of a frame, and what follows them in hex.
fn with_addresses(frame: &Frame, hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let rest = digits.chunks(2).map(|pair| byte(pair).expect("hex"));
    [frame.dst.0, frame.src.0].concat().into_iter().chain(rest).collect()
}

/// Swaps source and destination of an IP packet and of its TCP or UDP header.
fn turn(frame: &mut [u8]) {
    let tag = if frame.get(12..14) == Some(&[0x81, 0]) { 4 } else { 0 };
    let at = 14 + tag;
    let (addresses, length, ports) = match frame.get(12 + tag..at) {
        Some([0x08, 0x00]) => (at + 12, 4, at + 20),
        Some([0x86, 0xdd]) => (at + 8, 16, at + 40),
        _ => return,
    };
    let protocol = if length == 4 { frame[at + 9] } else { frame[at + 6] };
    for byte in addresses..addresses + length {
        frame.swap(byte, byte + length);
    }
    if matches!(protocol, 6 | 17) {
        frame.swap(ports, ports + 2);
        frame.swap(ports + 1, ports + 3);
    }
    if protocol == 6 && frame.len() > ports + 18 {
        // To SYN with sequence number 1: SYN and ACK, of 2; the checksum follows by what was added.
        frame[ports + 11] = 2;
        frame[ports + 13] = 0x12;
        let sum = u32::from(!u16::from_be_bytes([frame[ports + 16], frame[ports + 17]])) + 0x12;
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        frame[ports + 16..ports + 18].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// One frame of each kind, by name.
pub fn samples() -> Vec<(String, Vec<u8>)> {
    let frame = |body| Frame { dst: MACS[0], src: MACS[1], vlan: None, body };
    let other = frame(Body::Other(0x88b5));
    let odd = ODD.iter().map(|(name, hex)| ((*name).to_owned(), with_addresses(&other, hex)));
    let ip = |v6_: bool, says| {
        let (src, dst): (IpAddr, IpAddr) =
            if v6_ { (v6(1).into(), v6(2).into()) } else { (v4(1).into(), v4(2).into()) };
        frame(Body::Ip(Ip { src, dst, ttl: 64, says }))
    };
    let arp = Arp { op: 1, sha: MACS[1], spa: v4(1), tha: MACS[2], tpa: v4(2) };
    let mut plain = vec![frame(Body::Arp(arp)), other.clone(), Frame { vlan: Some(5), ..ip(false, Says::udp(53)) }];
    for family in [false, true] {
        plain.extend([Says::udp(53), Says::tcp(80), Says::Ping(7), Says::Other(89)].map(|says| ip(family, says)));
    }
    plain.push(ip(true, Says::Solicit { target: v6(2), source: Some(MACS[1]) }));
    plain.push(ip(true, Says::Advertise { target: v6(2), flags: 0x6000_0000, mac: Some(MACS[1]) }));
    odd.chain(plain.into_iter().map(|frame| (frame.to_string(), frame.to_bytes()))).collect()
}

impl Stimulus {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = match self.odd.and_then(|odd| ODD.get(odd)) {
            Some((_, hex)) => with_addresses(&self.frame, hex),
            None => self.frame.to_bytes(),
        };
        if self.answer && self.odd.is_none() {
            turn(&mut bytes);
        }
        for (at, value) in &self.pokes {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte = *value;
            }
        }
        // Shorter than this is no frame.
        bytes.truncate(self.cut.unwrap_or(usize::MAX).max(14));
        bytes
    }

    /// As it is asked.
    pub fn question(&self) -> Question {
        let endpoint = |n| Ipv4Addr::new(192, 0, 2, n).into();
        let tunnel = self.tunnel.map(|(vni, option)| Arrival { vni, src: endpoint(7), dst: endpoint(254), option });
        Question { tunnel, ..Question::new(self.in_port, self.bytes()) }
    }
}

impl Stimulus {
    /// As it is sent: by a plain port, and whole. Of a damaged one some checksums are corrected and some made anew, and who does not know what
    /// they should be cannot tell which.
    pub fn on_the_wire(&self) -> Question {
        let known = |odd: &usize| {
            ODD.get(*odd).is_some_and(|(name, _)| {
                let left_out = ["ND", "ARP", "tag", "802.1ad"];
                !left_out.iter().any(|word| name.contains(word))
            })
        };
        let mut whole = Stimulus { pokes: Vec::new(), cut: None, odd: self.odd.filter(known), ..self.clone() };
        // With two tags Open vSwitch 3.1 writes into the wrong place of an IPv6 header.
        whole.frame.vlan = None;
        // Of an ARP without an operation Open vSwitch writes now this, now that.
        if let Body::Arp(Arp { op: op @ 0, .. }) = &mut whole.frame.body {
            *op = 1;
        }
        Question::new(if self.in_port > 4 { 1 } else { self.in_port }, whole.bytes())
    }
}

impl fmt::Display for Stimulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stimulus { in_port, tunnel, frame, odd, answer, pokes, cut } = self;
        write!(f, "at port {in_port}, tunnel {tunnel:x?}: {frame}")?;
        if *answer {
            write!(f, ", the other way round")?;
        }
        if let Some((name, _)) = odd.and_then(|odd| ODD.get(odd)) {
            write!(f, ", but {name}")?;
        }
        if !pokes.is_empty() {
            write!(f, ", bytes changed: {pokes:x?}")?;
        }
        cut.map_or(Ok(()), |cut| write!(f, ", cut after {cut}"))
    }
}

/// Any frame; `apart`: from no address to itself.
fn frame(apart: bool) -> impl Strategy<Value = Frame> {
    let mac = || select(MACS.to_vec());
    let says = (0..9_usize, 0..3_usize, any::<bool>());
    (mac(), mac(), option::weighted(0.2, 1..4_u16), any::<bool>(), says, (0..4_usize, 0..4_usize), 0..6_usize).prop_map(
        move |(dst, src, vlan, is_v6, (what, which, option), (from, to), ttl)| {
            let to = if apart && from == to { (to + 1) % 4 } else { to };
            let (from4, to4): (IpAddr, IpAddr) = (v4(from).into(), v4(to).into());
            let (from6, to6): (IpAddr, IpAddr) = (v6(from).into(), v6(to).into());
            let (a, b) = if is_v6 { (from6, to6) } else { (from4, to4) };
            let ip = |src, dst, says| Body::Ip(Ip { src, dst, ttl: [64, 1, 2, 255, 0, 3][ttl], says });
            let body = match what {
                0 => ip(a, b, Says::udp(53 + which as u16)),
                1 => ip(a, b, Says::tcp(80 + which as u16)),
                2 => ip(a, b, Says::Ping(7)),
                3 => ip(a, b, Says::Pong(7)),
                4 => Body::Arp(Arp { op: which as u16, sha: src, spa: v4(from), tha: MACS[to % 3], tpa: v4(to) }),
                5 => ip(from6, to6, Says::Solicit { target: v6(which), source: option.then_some(src) }),
                6 => ip(from6, to6, Says::Advertise { target: v6(which), flags: 0, mac: option.then_some(src) }),
                7 => ip(a, b, Says::Other(89)),
                _ => Body::Other(0x88b5),
            };
            Frame { dst, src, vlan, body }
        },
    )
}

/// Any packet.
pub fn stimulus(number: impl Strategy<Value = u128>, tracked: bool) -> impl Strategy<Value = Stimulus> {
    let tunnel = option::weighted(0.2, (0..5_u32, option::of(number.prop_map(|n| n as u64))));
    let odd = option::weighted(0.2, 0..ODD.len());
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0xff), (0..8_u32).prop_map(|bit| 1 << bit)];
    let pokes = prop_oneof![6 => Just(Vec::new()), 1 => vec((12..90_usize, byte), 1..4)];
    let cut = option::weighted(0.05, 14..100_usize);
    let answer = proptest::bool::weighted(0.3);
    (1..5_u32, tunnel, frame(tracked), odd, answer, pokes, cut).prop_map(
        move |(in_port, tunnel, frame, odd, answer, pokes, cut)| Stimulus {
            in_port: if tunnel.is_some() { 100 } else { in_port },
            tunnel,
            frame,
            // The connection tracker looks at what no flow sees (checksums, versions, lengths), and puts fragments together.
            odd: odd.filter(|_| !tracked),
            answer,
            pokes: if tracked { Vec::new() } else { pokes },
            cut: cut.filter(|_| !tracked),
        },
    )
}
