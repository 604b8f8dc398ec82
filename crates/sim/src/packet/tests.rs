#![allow(clippy::unwrap_used)]
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_ping_is_read() {
    let ping = hex("f2010a010002 f2010a010001 0800 4500001c000100004001 0000 0a010001 0a010002 0800f7fd00010001");
    let packet = Packet::parse(&ping).unwrap();
    assert_eq!(packet.get(field::IPV4_DST), Some(std::net::Ipv4Addr::new(10, 1, 0, 2).into()));
    assert_eq!(packet.get(field::ICMPV4_TYPE), Some(8_u8.into()));
    assert_eq!(packet.get(field::TCP_DST), None);
    assert_eq!(packet.to_bytes(), ping);
}

#[test]
fn nothing_is_no_frame() {
    assert_eq!(Packet::parse(&[0; 13]), Err(Malformed::TooShort(13)));
}
