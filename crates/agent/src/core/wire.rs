//! What the core's readers and writers of packets share: numbers, bytes at a place, IP headers, the Internet checksum.
//!
//! By hand and small: what comes in is read at a few places only, and nothing that is cut off may be taken for whole.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of an Ethernet address.
pub type Eth = [u8; 6];

/// Ethertypes.
pub const IPV4: [u8; 2] = [0x08, 0x00];
pub const IPV6: [u8; 2] = [0x86, 0xdd];
/// Protocols.
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

/// As many bytes as the caller takes, from there on, if they are there.
pub fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Puts a number there, if there is room.
pub fn put(bytes: &mut [u8], at: usize, number: u16) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071): 0 over what has its own in place.
pub fn checksum(bytes: &[u8]) -> u16 {
    fold(words(bytes))
}

/// That of an ICMPv6 message, which covers a pseudo-header as well (RFC 4443 section 2.3).
pub fn icmpv6_checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default();
    fold(words(&from.octets()) + words(&to.octets()) + length + u32::from(ICMPV6) + words(message))
}

/// No packet is so long that this runs over.
fn words(bytes: &[u8]) -> u32 {
    let byte = |pair: &[u8], at: usize| u32::from(pair.get(at).copied().unwrap_or(0));
    bytes.chunks(2).map(|pair| byte(pair, 0) << 8 | byte(pair, 1)).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// The IPv4 header (RFC 791) of an ICMP message, in one piece and so without an identification (RFC 6864). `None`: the message is too long.
pub fn ipv4(service: u8, ttl: u8, from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(20 + message.len()).ok()?.to_be_bytes();
    let mut header = vec![0x45, service, high, low, 0, 0, 0x40, 0, ttl, ICMP, 0, 0];
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    put(&mut header, 10, sum);
    Some(header)
}

/// The IPv6 header (RFC 8200) of an ICMPv6 message. `None`: the message is too long.
pub fn ipv6(hops: u8, from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(message.len()).ok()?.to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, high, low, ICMPV6, hops];
    header.extend(from.octets());
    header.extend(to.octets());
    Some(header)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0x12]), !0x1200, "an odd last byte is the higher one");
    }

    #[test]
    fn what_has_its_checksum_in_place_sums_up_to_nothing() {
        let header = ipv4(0xc0, 64, [192, 0, 2, 1].into(), [192, 0, 2, 2].into(), &[7; 9]).unwrap();
        assert_eq!((header.len(), header[3], checksum(&header)), (20, 29, 0));
        let (from, to) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let mut message = vec![128, 0, 0, 0, 1, 2, 3];
        let sum = icmpv6_checksum(from, to, &message);
        put(&mut message, 2, sum);
        assert_eq!(icmpv6_checksum(from, to, &message), 0);
        assert_eq!(ipv6(255, from, to, &message).unwrap()[4..8], [0, 7, ICMPV6, 255]);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut bytes = [1, 2, 3];
        assert_eq!((take::<2>(&bytes, 1), take::<2>(&bytes, 2), take::<1>(&bytes, 9)), (Some([2, 3]), None, None));
        put(&mut bytes, 2, 0xffff);
        put(&mut bytes, usize::MAX, 0xffff);
        assert_eq!(bytes, [1, 2, 3]);
        assert_eq!(ipv4(0, 1, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, &[0; 65_516]), None);
        assert_eq!(ipv6(1, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &[0; 65_536]), None);
    }
}
