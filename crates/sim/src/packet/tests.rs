//! Headers read, changed and written, against packets of another builder and against any bytes.

#![allow(clippy::unwrap_used)]
use super::*;
use etherparse::{PacketBuilder, PacketBuilderStep};
use proptest::{collection::vec, prelude::*};
use std::net::{Ipv4Addr, Ipv6Addr};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_ping_is_read() {
    let ping = hex("f2010a010002 f2010a010001 0800 4500001c000100004001 0000 0a010001 0a010002 0800f7fd00010001");
    let packet = Packet::parse(&ping).unwrap();
    assert_eq!(packet.get(field::IPV4_DST), Some(Ipv4Addr::new(10, 1, 0, 2).into()));
    assert_eq!(packet.get(field::ICMPV4_TYPE), Some(8_u8.into()));
    assert_eq!(packet.get(field::TCP_DST), None);
    assert_eq!(packet.to_bytes(), ping);
}

#[test]
fn nothing_is_no_frame() {
    assert_eq!(Packet::parse(&[0; 13]), Err(Malformed::TooShort(13)));
    assert_eq!(Packet::parse(&vec![0; MAX_FRAME + 1]), Err(Malformed::TooLong(MAX_FRAME + 1)));
}

/// What a packet is made of that actions may change.
#[derive(Clone, Copy, Debug)]
struct Parts {
    eth_src: [u8; 6],
    eth_dst: [u8; 6],
    vlan: Option<u16>,
    src: u128,
    dst: u128,
    ttl: u8,
    sport: u16,
    dport: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Carries {
    Tcp,
    Udp,
    Echo,
}

/// As another implementation builds it.
fn build(parts: &Parts, ipv6: bool, carries: Carries, payload: &[u8]) -> Vec<u8> {
    use etherparse::{IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FlowLabel, Ipv6Header, ip_number};
    let ip = if ipv6 {
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: 0,
            next_header: ip_number::UDP,
            hop_limit: parts.ttl,
            source: parts.src.to_be_bytes(),
            destination: parts.dst.to_be_bytes(),
        };
        IpHeaders::Ipv6(header, Ipv6Extensions::default())
    } else {
        let (src, dst) = ((parts.src as u32).to_be_bytes(), (parts.dst as u32).to_be_bytes());
        IpHeaders::Ipv4(Ipv4Header::new(0, parts.ttl, ip_number::UDP, src, dst).unwrap(), Ipv4Extensions::default())
    };
    let ethernet = PacketBuilder::ethernet2(parts.eth_src, parts.eth_dst);
    let network: PacketBuilderStep<IpHeaders> = match parts.vlan {
        Some(vid) => ethernet.single_vlan(vid.try_into().unwrap()).ip(ip),
        None => ethernet.ip(ip),
    };
    let mut out = Vec::new();
    match carries {
        Carries::Tcp => network.tcp(parts.sport, parts.dport, 7, 1000).syn().write(&mut out, payload),
        Carries::Udp => network.udp(parts.sport, parts.dport).write(&mut out, payload),
        Carries::Echo if ipv6 => network.icmpv6_echo_request(1, 2).write(&mut out, payload),
        Carries::Echo => network.icmpv4_echo_request(1, 2).write(&mut out, payload),
    }
    .unwrap();
    out
}

fn change(packet: &mut Packet, parts: &Parts, ipv6: bool) {
    packet.set(field::ETH_SRC, parts.eth_src);
    packet.set(field::ETH_DST, parts.eth_dst);
    packet.set(field::VLAN_TCI, parts.vlan.map_or(0, |vid| 0x1000 | vid));
    packet.set(field::NW_TTL, parts.ttl);
    let (v4, v6) = (|ip: u128| Ipv4Addr::from(ip as u32), Ipv6Addr::from);
    if ipv6 {
        packet.set(field::IPV6_SRC, v6(parts.src));
        packet.set(field::IPV6_DST, v6(parts.dst));
    } else {
        packet.set(field::IPV4_SRC, v4(parts.src));
        packet.set(field::IPV4_DST, v4(parts.dst));
    }
    for field in [field::TCP_SRC, field::UDP_SRC] {
        packet.set(field, parts.sport);
    }
    for field in [field::TCP_DST, field::UDP_DST] {
        packet.set(field, parts.dport);
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let tag = prop::option::of(0..4096_u16);
    let odd = || prop_oneof![Just(0_u128), Just(u128::MAX), any::<u128>()];
    (any::<[u8; 6]>(), any::<[u8; 6]>(), tag, odd(), odd(), any::<u8>(), any::<u16>(), any::<u16>()).prop_map(
        |(eth_src, eth_dst, vlan, src, dst, ttl, sport, dport)| Parts {
            eth_src,
            eth_dst,
            vlan,
            src,
            dst,
            ttl,
            sport,
            dport,
        },
    )
}

fn carries() -> impl Strategy<Value = Carries> {
    prop_oneof![Just(Carries::Tcp), Just(Carries::Udp), Just(Carries::Echo)]
}

/// Everything that a switch can see of the headers.
fn headers(packet: &Packet) -> Vec<(&'static str, Value)> {
    let fields = REGISTRY.iter().filter(|f| f.prerequisite != Prerequisite::None);
    fields.filter_map(|f| Some((f.name, packet.get(f)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Changing a packet's fields gives the packet that another implementation builds with these values, checksums and all.
    #[test]
    fn a_changed_packet_is_as_if_built_so(
        before in parts(), after in parts(), ipv6: bool, carries in carries(), payload in vec(any::<u8>(), 0..40),
    ) {
        let mut packet = Packet::parse(&build(&before, ipv6, carries, &payload)).unwrap();
        change(&mut packet, &after, ipv6);
        prop_assert_eq!(packet.to_bytes(), build(&after, ipv6, carries, &payload));
        prop_assert_eq!(headers(&packet.fresh()), headers(&packet));
    }

    /// A packet that nobody changed is the frame that it came from, whatever that is.
    #[test]
    fn any_bytes_come_back(bytes in vec(any::<u8>(), 0..120)) {
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert_eq!(packet.to_bytes(), bytes.clone());
            prop_assert_eq!(Packet::parse(&packet.to_bytes()).unwrap(), packet);
        }
    }

    /// Frames that are almost right, with any field set to anything: nothing to panic about, and what the next switch reads is what this one wrote.
    #[test]
    fn damaged_packets_are_safe(
        of in parts(), ipv6: bool, carries in carries(), cut in 0..80_usize,
        damage in vec((0..80_usize, any::<u8>()), 0..4), field in 0..REGISTRY.len(), value: u128,
    ) {
        let mut bytes = build(&of, ipv6, carries, b"payload");
        bytes.truncate(bytes.len().saturating_sub(cut).max(14));
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let mut packet = Packet::parse(&bytes).unwrap();
        prop_assert_eq!(packet.to_bytes(), bytes);
        let _ = packet.tracked();
        packet.set(&REGISTRY[field], value);
        let _ = (packet.fresh(), packet.tracked(), format!("{packet:?}"));
    }
}

/// What the rules do with a solicitation: the advertisement's checksum is right, and its option is the other one.
#[test]
fn a_solicitation_becomes_an_advertisement() {
    let probe = crate::Probe {
        eth_src: tuplenet_model::mac::Mac([2, 0, 0, 0, 0, 1]),
        eth_dst: tuplenet_model::mac::Mac([0x33, 0x33, 0xff, 0, 0, 2]),
        src: "fd00::1".parse().unwrap(),
        dst: "fd00::2".parse().unwrap(),
        ttl: 1,
        what: crate::What::Nd,
        size: None,
    };
    let mut packet = Packet::parse(&probe.to_bytes().unwrap()).unwrap();
    assert_eq!(packet.get(field::NW_TTL), Some(255_u8.into()));
    packet.set(field::ND_RESERVED, 0x6000_0000_u32);
    packet.set(field::IPV6_SRC, "fd00::2".parse::<Ipv6Addr>().unwrap());
    packet.set(field::IPV6_DST, "fd00::1".parse::<Ipv6Addr>().unwrap());
    packet.set(field::ICMPV6_TYPE, 136_u8);
    packet.set(field::ND_OPTIONS_TYPE, 2_u8);
    packet.set(field::ND_TLL, [2, 0, 0, 0, 0, 2]);
    let bytes = packet.to_bytes();
    assert_eq!(
        bytes[54..],
        hex("8800 ____ 60000000 fd000000000000000000000000000002 0201 020000000002"
            .replace("____", &format!("{:02x}{:02x}", bytes[56], bytes[57]))
            .as_str())
    );
    let pseudo = checksum::sum(&bytes[22..54]) + 58 + 32;
    assert_eq!(checksum::finish(pseudo + checksum::sum(&bytes[54..])), 0);
    assert_eq!(packet.fresh().get(field::ND_TLL), Some([2, 0, 0, 0, 0, 2].into()));
    assert_eq!(packet.fresh().get(field::ND_SLL), None);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let ping = hex("f2010a010002 f2010a010001 0800 4500001c000100004001 dead 0a010001 0a010002 0800 beef 00010001");
    let mut packet = Packet::parse(&ping).unwrap();
    packet.set(field::NW_TTL, 63_u8);
    packet.set(field::ICMPV4_TYPE, 0_u8);
    let bytes = packet.to_bytes();
    assert_ne!(checksum::finish(checksum::sum(&bytes[14..34])), 0);
    assert_ne!(checksum::finish(checksum::sum(&bytes[34..])), 0);
}

#[test]
fn sctp_has_a_checksum_of_its_own() {
    let mut frame = hex(
        "020000000002 020000000001 0800 45000024000000004084 0000 0a000001 0a000002 00070009 00000001 00000000 00000000",
    );
    let sum = checksum::crc32c(&frame[34..]).to_le_bytes();
    frame.splice(42..46, sum);
    let mut packet = Packet::parse(&frame).unwrap();
    packet.set(field::SCTP_DST, 80_u16);
    let mut bytes = packet.to_bytes();
    let sum = bytes[42..46].to_vec();
    bytes[42..46].fill(0);
    assert_eq!(sum, checksum::crc32c(&bytes[34..]).to_le_bytes());
}

#[test]
fn a_tag_that_nobody_changes_stays_as_it_came() {
    let frame = hex("020000000002 020000000001 8100 1002 88b5 0000");
    let mut packet = Packet::parse(&frame).unwrap();
    packet.set(field::ETH_SRC, [2, 0, 0, 0, 0, 3]);
    assert_eq!(packet.to_bytes()[12..16], frame[12..16]);
    *packet.slot_mut(Slot::InnerVlan) = packet.slot(Slot::Vlan);
    *packet.slot_mut(Slot::Vlan) = 0x8100_1000;
    assert_eq!(packet.to_bytes()[12..], hex("8100 0000 8100 1002 88b5 0000"));
}
