//! Connections, zones and translation, one packet after another.

#![allow(clippy::unwrap_used)]
use crate::{
    packet::{
        Packet,
        checksum::{finish, sum, update},
    },
    probe::{Probe, What},
    switch::{Effect, Switch},
};
use std::net::{IpAddr, Ipv4Addr};
use tuplenet_model::mac::Mac;
use tuplenet_openflow::{Value, field};

fn switch(flows: &[&str]) -> Switch {
    Switch::new(flows.iter().map(|flow| flow.parse().unwrap()), [])
}

fn packet(src: &str, dst: &str, what: What) -> Packet {
    let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    Packet::parse(&Probe { eth_src: mac, eth_dst: mac, src, dst, ttl: 64, what, size: None }.to_bytes().unwrap())
        .unwrap()
}

/// The packet the other way round.
fn back(packet: &Packet) -> Packet {
    let mut back = packet.clone();
    let swaps = [
        (field::IPV4_SRC, field::IPV4_DST),
        (field::IPV6_SRC, field::IPV6_DST),
        (field::TCP_SRC, field::TCP_DST),
        (field::UDP_SRC, field::UDP_DST),
    ];
    for (a, b) in swaps {
        if let (Some(x), Some(y)) = (packet.get(a), packet.get(b)) {
            back.set(a, y);
            back.set(b, x);
        }
    }
    for (field, reply) in [(field::ICMPV4_TYPE, 0_u8), (field::ICMPV6_TYPE, 129)] {
        back.set(field, reply);
    }
    // A SYN becomes a SYN+ACK.
    let mut bytes = back.to_bytes();
    if packet.has(field::TCP_FLAGS) {
        let network = if packet.has(field::IPV6_SRC) { 40 } else { 20 };
        let tcp = 14 + network;
        let before = sum(&bytes[tcp..]);
        bytes[tcp + 13] |= 0x10;
        let checksum = u16::from_be_bytes([bytes[tcp + 16], bytes[tcp + 17]]);
        let checksum = update(checksum, before, sum(&bytes[tcp..]));
        bytes[tcp + 16..tcp + 18].copy_from_slice(&checksum.to_be_bytes());
    }
    Packet::parse(&bytes).unwrap()
}

/// What left the switch.
fn left(switch: &mut Switch, packet: Packet) -> Vec<(u32, Packet)> {
    let run = switch.run(packet, 0).unwrap();
    let effects = run.effects.into_iter().filter_map(|effect| match effect {
        Effect::Output { port, packet, .. } => Some((port, packet)),
        _ => None,
    });
    effects.collect()
}

const FIREWALL: [&str; 6] = [
    "table=0,ip,actions=ct(table=1,zone=5)",
    "table=0,ipv6,actions=ct(table=1,zone=5)",
    "table=1,priority=2,ct_state=+trk+inv,actions=output:9",
    "table=1,priority=2,ct_state=+trk+est-rpl,actions=output:3",
    "table=1,priority=2,ct_state=+trk+est+rpl,actions=output:4",
    "table=1,priority=1,ct_state=+trk+new,actions=ct(commit,zone=5,exec(set_field:0x7->ct_mark)),output:2",
];

#[test]
fn a_connection_is_new_until_it_is_answered() {
    for (src, dst) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        for what in [What::Icmp, What::Tcp(80), What::Udp(53)] {
            let mut switch = switch(&FIREWALL);
            let there = packet(src, dst, what);
            let mut ports =
                |packet: Packet| left(&mut switch, packet).iter().map(|(port, _)| *port).collect::<Vec<_>>();
            // What nobody asked for: a reply that begins nothing is invalid, a datagram is new.
            let unasked = if matches!(what, What::Udp(_)) { 2 } else { 9 };
            assert_eq!(ports(back(&packet(dst, src, what))), [unasked], "{what:?}");
            if unasked == 2 {
                continue;
            }
            assert_eq!(ports(there.clone()), [2], "{what:?}");
            assert_eq!(ports(there.clone()), [2], "{what:?}");
            assert_eq!(ports(back(&there)), [4], "{what:?}");
            assert_eq!(ports(there), [3], "{what:?}");
        }
    }
}

#[test]
fn zones_know_nothing_of_one_another() {
    let mut switch = switch(&[
        "table=0,ip,in_port=1,actions=ct(commit,zone=1),ct(table=1,zone=1)",
        "table=0,ip,in_port=3,actions=ct(table=1,zone=NXM_NX_REG0[0..15])",
        "table=1,ct_state=+est,actions=output:1",
        "table=1,priority=1,ct_state=+new,ct_zone=2,actions=output:2",
    ]);
    let (mut there, mut reply) =
        (packet("10.0.0.1", "10.0.0.2", What::Udp(53)), back(&packet("10.0.0.1", "10.0.0.2", What::Udp(53))));
    there.set(field::IN_PORT, 1_u32);
    reply.set(field::IN_PORT, 3_u32);
    assert_eq!(left(&mut switch, there), []);
    reply.set(field::REG0, 2_u32);
    assert_eq!(left(&mut switch, reply.clone())[0].0, 2);
    reply.set(field::REG0, 1_u32);
    assert_eq!(left(&mut switch, reply)[0].0, 1);
}

#[test]
fn a_source_is_translated_and_its_answers_back() {
    let flows = [
        "table=0,priority=2,ip,in_port=1,actions=ct(commit,table=1,zone=3,nat(src=192.0.2.9))",
        "table=0,priority=2,ip,in_port=2,actions=ct(table=1,zone=3,nat)",
        "table=1,in_port=1,ct_state=+snat-dnat,actions=output:2",
        "table=1,in_port=2,ct_state=+rpl+dnat-snat,ct_nw_src=10.0.0.1,ct_nw_proto=17,ip,actions=output:1",
    ];
    let mut switch = switch(&flows);
    let mut there = packet("10.0.0.1", "10.0.0.2", What::Udp(53));
    there.set(field::IN_PORT, 1_u32);
    let out = left(&mut switch, there.clone());
    let public: Value = Ipv4Addr::new(192, 0, 2, 9).into();
    assert_eq!((out[0].0, out[0].1.get(field::IPV4_SRC)), (2, Some(public)));
    let mut reply = back(&out[0].1);
    reply.set(field::IN_PORT, 2_u32);
    let home = left(&mut switch, reply);
    assert_eq!((home[0].0, home[0].1.get(field::IPV4_DST)), (1, Some(Ipv4Addr::new(10, 0, 0, 1).into())));
    // Another host with the same port gets another.
    let mut other = packet("10.0.0.7", "10.0.0.2", What::Udp(53));
    other.set(field::IN_PORT, 1_u32);
    let second = left(&mut switch, other);
    assert_ne!(second[0].1.get(field::UDP_SRC), out[0].1.get(field::UDP_SRC));
    assert_eq!(second[0].1.get(field::IPV4_SRC), out[0].1.get(field::IPV4_SRC));
}

#[test]
fn a_destination_is_translated_and_its_answers_back() {
    let mut switch = switch(&[
        "table=0,ipv6,ipv6_dst=2001:db8::1,actions=ct(commit,table=1,nat(dst=[fd00::5]:8080))",
        "table=0,ipv6,ipv6_src=fd00::5,actions=ct(table=1,nat)",
        "table=1,actions=output:1",
    ]);
    let out = left(&mut switch, packet("fd00::1", "2001:db8::1", What::Tcp(80)));
    assert_eq!(out[0].1.get(field::IPV6_DST), Some("fd00::5".parse::<std::net::Ipv6Addr>().unwrap().into()));
    assert_eq!(out[0].1.get(field::TCP_DST), Some(8080_u16.into()));
    let home = left(&mut switch, back(&out[0].1));
    assert_eq!(home[0].1.get(field::IPV6_SRC), Some("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into()));
    assert_eq!(home[0].1.get(field::TCP_SRC), Some(80_u16.into()));
}

/// An ICMP error of this type, from somebody on the way.
fn error(dst: [u8; 4], kind: u8, quoted: &[u8]) -> Packet {
    let header = [0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 9, 9, 9];
    let mut frame = [&[2; 12][..], &[8, 0], &header, &dst, &[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat();
    for (covered, at) in [(14..34, 24), (34..70, 36)] {
        let checksum = finish(sum(&frame[covered])).to_be_bytes();
        frame[at..at + 2].copy_from_slice(&checksum);
    }
    Packet::parse(&frame).unwrap()
}

#[test]
fn an_icmp_error_is_related() {
    let mut switch = switch(&[
        "table=0,priority=1,ip,actions=ct(commit,table=1)",
        "table=0,priority=2,icmp,icmp_type=3,actions=ct(table=1)",
        "table=1,ct_state=+rel+rpl,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ip,actions=output:7",
        "table=1,priority=1,ct_state=+inv,actions=output:9",
    ]);
    let there = packet("10.0.0.1", "10.0.0.2", What::Udp(53));
    let quoted = there.to_bytes()[14..42].to_vec();
    let error = |quoted: &[u8]| error([10, 0, 0, 1], 3, quoted);
    assert_eq!(left(&mut switch, error(&quoted))[0].0, 9);
    left(&mut switch, there);
    assert_eq!(left(&mut switch, error(&quoted))[0].0, 7);
    switch.forget_connections();
    assert_eq!(left(&mut switch, error(&quoted))[0].0, 9);
}

#[test]
fn marks_and_labels_stay_with_the_connection() {
    let mut switch = switch(&[
        "table=0,udp,actions=ct(commit,zone=1,exec(set_field:0x1/0x1->ct_label,move:NXM_NX_REG3[]->NXM_NX_CT_MARK[])),ct(table=1,zone=1)",
        "table=1,ct_mark=0x55,ct_label=0x1/0x1,actions=output:1",
    ]);
    let mut there = packet("10.0.0.1", "10.0.0.2", What::Udp(53));
    there.set(field::REG3, 0x55_u32);
    assert_eq!(left(&mut switch, there).len(), 1);
}

#[test]
fn a_switch_gives_up_after_six_times_in_a_row() {
    let mut switch = switch(&["table=0,ip,actions=output:1,ct(table=0)"]);
    let run = switch.run(packet("10.0.0.1", "10.0.0.2", What::Icmp), 0).unwrap();
    assert!(matches!(run.abort, Some((crate::Abort::TooManyRecirculations(6), _))), "{:?}", run.abort);
    // What was done until then is done.
    assert_eq!(run.effects.len(), 7);
}

/// A router on the way reports about a packet whose source was translated: the sender sees its own packet quoted.
#[test]
fn an_error_is_translated_with_what_it_quotes() {
    let mut switch = switch(&[
        "table=0,priority=1,in_port=1,ip,actions=ct(commit,table=1,nat(src=192.0.2.9:5000-5001))",
        "table=0,priority=1,in_port=2,ip,actions=ct(table=1,nat)",
        "table=1,in_port=1,actions=output:2",
        "table=1,in_port=2,ct_state=+rel+rpl+dnat,actions=output:1",
    ]);
    let mut there = packet("10.0.0.1", "10.0.0.2", What::Udp(53));
    there.set(field::IN_PORT, 1_u32);
    let out = left(&mut switch, there.clone());
    let quoted = &out[0].1.to_bytes()[14..42];
    let mut error = error([192, 0, 2, 9], 11, quoted);
    error.set(field::IN_PORT, 2_u32);
    let home = left(&mut switch, error);
    let bytes = home[0].1.to_bytes();
    assert_eq!(bytes[30..34], [10, 0, 0, 1]);
    assert_eq!(bytes[42..70], there.to_bytes()[14..42]);
    assert_eq!(finish(sum(&bytes[34..])), 0);
}

#[test]
fn two_hosts_may_ping_each_other_with_one_identifier() {
    let mut switch = switch(&FIREWALL);
    for (src, dst) in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")] {
        assert_eq!(left(&mut switch, packet(src, dst, What::Icmp))[0].0, 2);
    }
}

#[test]
fn what_is_damaged_is_invalid() {
    for what in [What::Icmp, What::Tcp(80), What::Udp(53)] {
        let mut bytes = packet("10.0.0.1", "10.0.0.2", what).to_bytes();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(left(&mut switch(&FIREWALL), Packet::parse(&bytes).unwrap())[0].0, 9, "{what:?}");
    }
}
