#![allow(clippy::unwrap_used)]
use super::*;
use crate::packet::Packet;
use tuplenet_openflow::field;

fn probe(what: What, v6: bool) -> Probe {
    let (src, dst): (IpAddr, IpAddr) = if v6 {
        ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
    } else {
        ("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap())
    };
    Probe { eth_src: Mac([2, 0, 0, 0, 0, 1]), eth_dst: Mac([2, 0, 0, 0, 0, 2]), src, dst, ttl: 64, what }
}

#[test]
fn families_must_agree() {
    let mixed = Probe { dst: "fd00::2".parse().unwrap(), ..probe(What::Icmp, false) };
    assert!(matches!(mixed.to_bytes(), Err(Mismatch::Families { .. })));
    assert!(matches!(probe(What::Arp, true).to_bytes(), Err(Mismatch::Arp(_))));
    assert!(matches!(probe(What::Nd, false).to_bytes(), Err(Mismatch::Nd(_))));
}

#[test]
fn a_packet_reads_what_was_asked_for() {
    let read = |what, v6| Packet::parse(&probe(what, v6).to_bytes().unwrap()).unwrap();
    assert_eq!(read(What::Tcp(80), false).get(field::TCP_DST), Some(80_u16.into()));
    assert_eq!(read(What::Tcp(80), true).get(field::TCP_FLAGS), Some(2_u16.into()));
    assert_eq!(read(What::Udp(53), true).get(field::UDP_DST), Some(53_u16.into()));
    assert_eq!(read(What::Icmp, false).get(field::ICMPV4_TYPE), Some(8_u8.into()));
    assert_eq!(read(What::Icmp, true).get(field::ICMPV6_TYPE), Some(128_u8.into()));
    assert_eq!(
        read(What::Arp, false).get(field::ARP_TPA),
        Some([10, 1, 0, 2].map(u8::from).as_slice()).map(tuplenet_openflow::Value::from_bytes)
    );
    assert_eq!(read(What::Nd, true).get(field::ND_SLL), Some([2, 0, 0, 0, 0, 1].into()));
}
