//! Headers and checksums of the packets that tests send, written once and on their own: the simulator's, which they are to judge, are not used.
#![allow(dead_code)] // each test file uses its part

use std::net::IpAddr;

/// An address in the order of the wire.
pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An IP packet. `second`: the second line of an IPv4 header, which is the identification, flags and the fragment's offset.
pub fn ip((src, dst): (IpAddr, IpAddr), second: [u8; 4], ttl: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u16;
    let ends = [octets(src), octets(dst)].concat();
    if src.is_ipv6() {
        return [&[0x60, 0, 0, 0], &length.to_be_bytes()[..], &[protocol, ttl], &ends, body].concat();
    }
    let mut header = [&[0x45, 0], &(20 + length).to_be_bytes()[..], &second, &[ttl, protocol, 0, 0], &ends].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, body].concat()
}

/// Puts the checksum of what IP carries where it stands: that of SCTP, of ICMP, or one that covers a pseudo-header (RFC 768, RFC 8200 section 8.1).
pub fn seal((src, dst): (IpAddr, IpAddr), protocol: u8, body: &mut [u8], at: usize) {
    if protocol == 132 {
        let sum = crc32c(body);
        body[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        return;
    }
    let length = (body.len() as u16).to_be_bytes();
    let pseudo = match protocol {
        1 => Vec::new(),
        _ => [&octets(src)[..], &octets(dst), &[0, protocol], &length].concat(),
    };
    let sum = match checksum(&[&pseudo[..], body].concat()) {
        0 if protocol == 17 => 0xffff, // RFC 768: zero means none
        sum => sum,
    };
    body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let once = (sum >> 16) + (sum & 0xffff);
    !((once + (once >> 16)) as u16)
}

/// RFC 9260, appendix A, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
