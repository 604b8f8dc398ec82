//! Frames of the lab's guests, as bytes.

use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_lab::Vm;

pub fn mac(text: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(part, 16).expect("a MAC of the lab");
    }
    bytes
}

/// The MAC of the router's port in A and B: tpctl derives it from the address.
pub fn gateway(net: u8) -> String {
    format!("f2:01:0a:{net:02x}:00:fe")
}

/// A UDP datagram to port 9 with so many bytes, whose first two are the mark.
pub fn udp(from: &Vm, to_mac: &str, to: IpAddr, ttl: u8, mark: u16, length: usize) -> Result<Vec<u8>> {
    let mut payload = vec![0x5a; length];
    payload[..2].copy_from_slice(&mark.to_be_bytes());
    let mut datagram = vec![0x27, 0x0f, 0, 9];
    datagram.extend(u16::try_from(8 + length)?.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    frame(from, to_mac, to, ttl, 17, datagram)
}

/// An echo request.
pub fn echo(from: &Vm, to_mac: &str, to: IpAddr) -> Result<Vec<u8>> {
    let v6 = to.is_ipv6();
    let mut icmp = vec![if v6 { 128 } else { 8 }, 0, 0, 0, 0x12, 0x34, 0, 1];
    icmp.extend([0x5a; 24]);
    frame(from, to_mac, to, 64, if v6 { 58 } else { 1 }, icmp)
}

/// An IP packet with the checksums that its headers have.
fn frame(from: &Vm, to_mac: &str, to: IpAddr, ttl: u8, protocol: u8, mut body: Vec<u8>) -> Result<Vec<u8>> {
    let mut frame = Vec::from(mac(to_mac));
    frame.extend(mac(from.mac()));
    let length = u16::try_from(body.len())?;
    let at = match protocol {
        17 => 6,
        _ => 2,
    };
    match to {
        IpAddr::V4(to) => {
            let from: Ipv4Addr = from.ipv4()?.parse()?;
            let mut header = vec![0x45, 0];
            header.extend((20 + length).to_be_bytes());
            header.extend([0, 1, 0, 0, ttl, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            let mut pseudo = Vec::new();
            if protocol == 17 {
                pseudo.extend(from.octets());
                pseudo.extend(to.octets());
                pseudo.extend([0, protocol]);
                pseudo.extend(length.to_be_bytes());
            }
            pseudo.extend(&body);
            let sum = checksum(&pseudo);
            body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            frame.extend([0x08, 0x00]);
            frame.extend(header);
        }
        IpAddr::V6(to) => {
            let from: Ipv6Addr = from.ipv6()?.parse()?;
            let mut pseudo = Vec::from(from.octets());
            pseudo.extend(to.octets());
            pseudo.extend(u32::from(length).to_be_bytes());
            pseudo.extend([0, 0, 0, protocol]);
            pseudo.extend(&body);
            let sum = checksum(&pseudo);
            body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, ttl]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
    }
    frame.extend(body);
    Ok(frame)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([pair.first().copied().unwrap_or_default(), low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Who has that address? From `from`, broadcast.
pub fn arp(from: &Vm, target: Ipv4Addr) -> Result<Vec<u8>> {
    let ip: Ipv4Addr = from.ipv4()?.parse()?;
    let mut frame = vec![0xff; 6];
    frame.extend(mac(from.mac()));
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac(from.mac()));
    frame.extend(ip.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    Ok(frame)
}

/// The same by IPv6 (RFC 4861 section 4.3).
pub fn solicitation(from: &Vm, target: Ipv6Addr) -> Result<Vec<u8>> {
    let octets = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, octets[13], octets[14], octets[15]]);
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(octets);
    body.extend([1, 1]);
    body.extend(mac(from.mac()));
    let to_mac = format!("33:33:ff:{:02x}:{:02x}:{:02x}", octets[13], octets[14], octets[15]);
    frame(from, &to_mac, group.into(), 255, 58, body)
}
