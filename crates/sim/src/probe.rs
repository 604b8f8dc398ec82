//! A frame from what a user says: a ping, the first packet of a connection, a datagram, a question for an address.

use crate::packet::checksum::{finish, sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::mac::Mac;

/// What a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An ICMP or ICMPv6 echo request.
    Icmp,
    /// The first segment of a TCP connection to this port.
    Tcp(u16),
    /// A UDP datagram to this port.
    Udp(u16),
    /// An ARP request.
    Arp,
    /// A neighbour solicitation.
    Nd,
}

/// A packet to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Source MAC address.
    pub eth_src: Mac,
    /// Destination MAC address.
    pub eth_dst: Mac,
    /// Source; of ARP and neighbour discovery who asks.
    pub src: IpAddr,
    /// Destination; of ARP and neighbour discovery the address that is asked for.
    pub dst: IpAddr,
    /// TTL or hop limit. Neighbour discovery always has 255 (RFC 4861, section 4.3).
    pub ttl: u8,
    /// What it is.
    pub what: What,
    /// Bytes of the whole IP packet, of pings, TCP and UDP; `None`: as many as it takes. At least its headers, which are no longer than 60.
    pub size: Option<u16>,
}

/// A packet that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// One IPv4 address, one IPv6 address.
    #[error("{src} and {dst} are of different families: give two IPv4 or two IPv6 addresses")]
    Families {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
    },
    /// ARP knows IPv4 only.
    #[error("ARP asks for IPv4 addresses, and {0} is none: ask with a neighbour solicitation (--nd)")]
    Arp(IpAddr),
    /// Headers have a length.
    #[error("a packet of {size} bytes has no room for its headers: give {least} at least")]
    Short {
        /// What was asked for.
        size: u16,
        /// What it takes.
        least: u16,
    },
    /// Neighbour discovery knows IPv6 only.
    #[error("neighbour discovery asks for IPv6 addresses, and {0} is none: ask with ARP (--arp)")]
    Nd(IpAddr),
}

/// Source port of TCP and UDP probes: the first of those that are nobody's (RFC 6335, section 6).
const SOURCE_PORT: u16 = 49_152;
/// What an echo request carries, and a datagram.
const PAYLOAD: &[u8] = b"TupleNet probe: hello, who is there?";
/// The destination of a solicitation (RFC 4291, section 2.7.1): the last three bytes are those of the target.
const SOLICITED_NODE: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;

impl Probe {
    /// The frame, checksums included.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Mismatch> {
        match (self.what, self.src, self.dst) {
            (What::Arp, IpAddr::V4(src), IpAddr::V4(dst)) => Ok(self.arp(src, dst)),
            (What::Arp, src, dst) => Err(Mismatch::Arp(if src.is_ipv6() { src } else { dst })),
            (What::Nd, IpAddr::V6(src), IpAddr::V6(dst)) => Ok(self.solicitation(src, dst)),
            (What::Nd, src, dst) => Err(Mismatch::Nd(if src.is_ipv4() { src } else { dst })),
            (what, IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (proto, carried) = transport(what, false, self.size)?;
                Ok(self.ipv4(src, dst, proto, carried))
            }
            (what, IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (proto, carried) = transport(what, true, self.size)?;
                Ok(self.ipv6(src, dst, proto, self.ttl, carried))
            }
            (_, src, dst) => Err(Mismatch::Families { src, dst }),
        }
    }

    fn ethernet(&self, ethertype: u16, carried: &[u8]) -> Vec<u8> {
        [&self.eth_dst.0[..], &self.eth_src.0, &ethertype.to_be_bytes(), carried].concat()
    }

    /// RFC 826.
    fn arp(&self, src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
        // Ethernet (1), IPv4, 6 and 4 bytes long; a request (1).
        let head = [0, 1, 8, 0, 6, 4, 0, 1];
        self.ethernet(0x0806, &[&head[..], &self.eth_src.0, &src.octets(), &[0; 6], &dst.octets()].concat())
    }

    /// RFC 4861, section 4.3.
    fn solicitation(&self, src: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        // Who asks from no address says no address of its own.
        if !src.is_unspecified() {
            message.extend([1, 1]);
            message.extend(self.eth_src.0);
        }
        let node = Ipv6Addr::from(SOLICITED_NODE | u128::from(target) & 0xff_ffff);
        self.ipv6(src, node, ICMPV6, 255, (message, Some(2)))
    }

    /// RFC 791.
    fn ipv4(&self, src: Ipv4Addr, dst: Ipv4Addr, proto: u8, carried: Carried) -> Vec<u8> {
        let pseudo = sum(&src.octets()) + sum(&dst.octets());
        let carried = seal(carried, if proto == ICMP { None } else { Some(pseudo) }, proto);
        // No longer than was asked for, which 16 bits can say.
        let total = (20 + carried.len()) as u16;
        let mut header = vec![0x45, 0];
        header.extend(total.to_be_bytes());
        // Not to be fragmented.
        header.extend([0, 0, 0x40, 0, self.ttl, proto, 0, 0]);
        header.extend(src.octets());
        header.extend(dst.octets());
        let checksum = finish(sum(&header));
        header.splice(10..12, checksum.to_be_bytes());
        self.ethernet(0x0800, &[header, carried].concat())
    }

    /// RFC 8200.
    fn ipv6(&self, src: Ipv6Addr, dst: Ipv6Addr, proto: u8, ttl: u8, carried: Carried) -> Vec<u8> {
        let carried = seal(carried, Some(sum(&src.octets()) + sum(&dst.octets())), proto);
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((carried.len() as u16).to_be_bytes());
        header.extend([proto, ttl]);
        header.extend(src.octets());
        header.extend(dst.octets());
        self.ethernet(0x86dd, &[header, carried].concat())
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What IP carries, and where its checksum goes.
type Carried = (Vec<u8>, Option<usize>);

/// Puts the checksum in; `pseudo` is the sum of the addresses, where they count.
fn seal((mut bytes, at): Carried, pseudo: Option<u64>, proto: u8) -> Vec<u8> {
    let length = bytes.len() as u64;
    let pseudo = pseudo.map_or(0, |sum| sum + u64::from(proto) + length);
    let checksum = match finish(pseudo + sum(&bytes)) {
        // 0 is "none" (RFC 768).
        0 if proto == UDP => 0xffff,
        checksum => checksum,
    };
    if let Some(at) = at {
        bytes.splice(at..at + 2, checksum.to_be_bytes());
    }
    bytes
}

/// What IP carries: a header, and what fills the packet up to its size.
fn transport(what: What, ipv6: bool, size: Option<u16>) -> Result<(u8, Carried), Mismatch> {
    let (header, payload) = if let What::Tcp(_) = what { (20, 0) } else { (8, PAYLOAD.len()) };
    let least = header + if ipv6 { 40 } else { 20 };
    let payload = match size {
        Some(size) => usize::from(size.checked_sub(least).ok_or(Mismatch::Short { size, least })?),
        None => payload,
    };
    let payload = PAYLOAD.iter().copied().cycle().take(payload);
    let ports = |dst: u16| [SOURCE_PORT.to_be_bytes(), dst.to_be_bytes()].concat();
    Ok(match what {
        What::Tcp(port) => {
            let mut segment = ports(port);
            // Sequence number, acknowledgement, 5 words of header, SYN, window, checksum, urgent pointer (RFC 9293).
            segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
            segment.extend(payload);
            (TCP, (segment, Some(16)))
        }
        What::Udp(port) => {
            let mut datagram = ports(port);
            datagram.extend(((8 + payload.clone().count()) as u16).to_be_bytes());
            datagram.extend([0, 0]);
            datagram.extend(payload);
            (UDP, (datagram, Some(6)))
        }
        _ => {
            // Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443).
            let mut message = vec![if ipv6 { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 1];
            message.extend(payload);
            (if ipv6 { ICMPV6 } else { ICMP }, (message, Some(2)))
        }
    })
}

#[cfg(test)]
mod tests;
