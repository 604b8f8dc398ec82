//! Probes read by another parser: fields, sizes, checksums.

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
    Probe { eth_src: Mac([2, 0, 0, 0, 0, 1]), eth_dst: Mac([2, 0, 0, 0, 0, 2]), src, dst, ttl: 64, what, size: None }
}

#[test]
fn families_must_agree() {
    let mixed = Probe { dst: "fd00::2".parse().unwrap(), ..probe(What::Icmp, false) };
    assert!(matches!(mixed.to_bytes(), Err(Mismatch::Families { .. })));
    assert!(matches!(probe(What::Arp, true).to_bytes(), Err(Mismatch::Arp(_))));
    assert!(matches!(probe(What::Nd, false).to_bytes(), Err(Mismatch::Nd(_))));
}

#[test]
fn a_packet_has_the_size_that_was_asked_for() {
    for (what, v6, least) in
        [(What::Icmp, false, 28), (What::Tcp(80), false, 40), (What::Udp(53), true, 48), (What::Icmp, true, 48)]
    {
        let sized = |size| Probe { size: Some(size), ..probe(what, v6) }.to_bytes();
        for size in [least, 1501, 9000] {
            let bytes = sized(size).unwrap();
            assert_eq!(bytes.len(), 14 + usize::from(size));
            let length = Packet::parse(&bytes).unwrap().to_bytes();
            assert_eq!(length, bytes, "read whole, with the checksums right");
        }
        assert_eq!(sized(least - 1), Err(Mismatch::Short { size: least - 1, least }));
    }
}

#[test]
fn a_packet_reads_what_was_asked_for() {
    let read = |what, v6| Packet::parse(&probe(what, v6).to_bytes().unwrap()).unwrap();
    assert_eq!(read(What::Tcp(80), false).get(field::TCP_DST), Some(80_u16.into()));
    assert_eq!(read(What::Tcp(80), true).get(field::TCP_FLAGS), Some(2_u16.into()));
    assert_eq!(read(What::Udp(53), true).get(field::UDP_DST), Some(53_u16.into()));
    assert_eq!(read(What::Icmp, false).get(field::ICMPV4_TYPE), Some(8_u8.into()));
    assert_eq!(read(What::Icmp, true).get(field::ICMPV6_TYPE), Some(128_u8.into()));
    assert_eq!(read(What::Arp, false).get(field::ARP_TPA), Some(std::net::Ipv4Addr::new(10, 1, 0, 2).into()));
    assert_eq!(read(What::Nd, true).get(field::ND_SLL), Some([2, 0, 0, 0, 0, 1].into()));
}

/// Another implementation reads it, and finds the checksums right.
#[test]
fn checksums_are_right() {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    for (what, v6) in [What::Tcp(80), What::Udp(53), What::Icmp].into_iter().flat_map(|w| [(w, false), (w, true)]) {
        let bytes = probe(what, v6).to_bytes().unwrap();
        let sliced = SlicedPacket::from_ethernet(&bytes).unwrap();
        match (sliced.net.unwrap(), sliced.transport.unwrap()) {
            (NetSlice::Ipv4(ip), transport) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                match transport {
                    TransportSlice::Tcp(tcp) => {
                        let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap();
                        assert_eq!(tcp.checksum(), sum);
                    }
                    TransportSlice::Udp(udp) => {
                        let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
                        assert_eq!(udp.checksum(), sum);
                    }
                    TransportSlice::Icmpv4(icmp) => {
                        assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
                    }
                    other => panic!("{other:?}"),
                }
            }
            (NetSlice::Ipv6(ip), transport) => {
                let header = ip.header().to_header();
                match transport {
                    TransportSlice::Tcp(tcp) => {
                        let sum = tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()).unwrap();
                        assert_eq!(tcp.checksum(), sum);
                    }
                    TransportSlice::Udp(udp) => {
                        let sum = udp.to_header().calc_checksum_ipv6(&header, udp.payload()).unwrap();
                        assert_eq!(udp.checksum(), sum);
                    }
                    TransportSlice::Icmpv6(icmp) => {
                        let (src, dst) = (header.source, header.destination);
                        assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(src, dst, icmp.payload()).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
