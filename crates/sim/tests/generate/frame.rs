//! Ethernet frames by their fields, and as bytes with correct lengths and checksums.

use super::bytes::{ip, seal};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;

/// An Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    pub dst: Mac,
    pub src: Mac,
    /// VLAN id of an 802.1Q tag.
    pub vlan: Option<u16>,
    pub body: Body,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    Arp(Arp),
    Ip(Ip),
    /// Something of that ethertype, and if that is ARP's or IP's, what is nothing of the kind.
    Other(u16),
}

/// RFC 826, for IPv4 over Ethernet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arp {
    /// 1: request, 2: reply.
    pub op: u16,
    pub sha: Mac,
    pub spa: Ipv4Addr,
    pub tha: Mac,
    pub tpa: Ipv4Addr,
}

/// IPv4 or IPv6: both addresses are of one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// Hop limit, for IPv6.
    pub ttl: u8,
    pub says: Says,
}

/// What an IP packet carries. Each has some bytes of data behind it, see [`Frame::to_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// ICMP or ICMPv6 echo request with that id.
    Ping(u16),
    /// Its reply.
    Pong(u16),
    /// A segment with those flags.
    Tcp(Ports, u8),
    Udp(Ports),
    /// An INIT.
    Sctp(Ports),
    /// Destination unreachable (port), about that packet.
    Error(Box<Ip>),
    /// Neighbour solicitation, perhaps with the option that names the asking MAC.
    Solicit {
        target: Ipv6Addr,
        source: Option<Mac>,
    },
    /// Neighbour advertisement with its flags, perhaps with the option that names the target's MAC.
    Advertise {
        target: Ipv6Addr,
        flags: u32,
        mac: Option<Mac>,
    },
    /// A fragment of a packet of that protocol, not the first one: nobody can tell what it says.
    Fragment(u8),
    /// Another protocol, of that number. 0 is no protocol in IPv4, and in IPv6 an extension header, which here is cut off.
    Other(u8),
}

/// Source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    pub src: u16,
    pub dst: u16,
}

/// TCP's flag SYN.
pub const SYN: u8 = 0x02;
/// SYN and ACK.
pub const SYN_ACK: u8 = 0x12;

impl Says {
    /// The first segment to a port.
    pub fn tcp(port: u16) -> Says {
        Says::Tcp(Ports { src: 0xc001, dst: port }, SYN)
    }

    /// A datagram to a port.
    pub fn udp(port: u16) -> Says {
        Says::Udp(Ports { src: 0xc001, dst: port })
    }
}

impl Ports {
    pub fn reverse(self) -> Ports {
        Ports { src: self.dst, dst: self.src }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.src.to_be_bytes(), self.dst.to_be_bytes()].concat()
    }
}

/// What packets carry.
pub const DATA: &[u8] = b"a payload of odd length that must arrive as it was sent";

/// The second word of an IPv4 header's second line: flags, and the offset in units of 8 bytes.
const DO_NOT_FRAGMENT: [u8; 2] = [0x40, 0];
const FRAGMENT: [u8; 2] = [0, 185];

impl Frame {
    /// The frame as it is on the wire, without FCS.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.dst.0, self.src.0].concat();
        if let Some(id) = self.vlan {
            bytes.extend([[0x81, 0x00], id.to_be_bytes()].concat());
        }
        let (ethertype, body) = match &self.body {
            Body::Arp(arp) => (0x0806, arp.to_bytes()),
            Body::Ip(ip) if ip.src.is_ipv4() => (0x0800, ip.to_bytes()),
            Body::Ip(ip) => (0x86dd, ip.to_bytes()),
            Body::Other(ethertype) => (*ethertype, DATA.to_vec()),
        };
        bytes.extend(u16::to_be_bytes(ethertype));
        bytes.extend(body);
        bytes
    }
}

impl Arp {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(self.op.to_be_bytes());
        bytes.extend(self.sha.0);
        bytes.extend(self.spa.octets());
        bytes.extend(self.tha.0);
        bytes.extend(self.tpa.octets());
        bytes
    }
}

impl Ip {
    /// The packet without its frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (protocol, mut payload, checksum_at) = self.payload();
        if let Some(at) = checksum_at {
            seal((self.src, self.dst), protocol, &mut payload, at);
        }
        let flags = if matches!(self.says, Says::Fragment(_)) { FRAGMENT } else { DO_NOT_FRAGMENT };
        ip((self.src, self.dst), [0x12, 0x34, flags[0], flags[1]], self.ttl, protocol, &payload)
    }

    /// Protocol, what follows the IP header, and where in it the checksum stands.
    fn payload(&self) -> (u8, Vec<u8>, Option<usize>) {
        let v4 = self.src.is_ipv4();
        let echo = |kind: u8, id: u16| {
            let mut bytes = vec![kind, 0, 0, 0];
            bytes.extend(id.to_be_bytes());
            bytes.extend([0, 7]);
            bytes.extend(DATA);
            (if v4 { 1 } else { 58 }, bytes, Some(2))
        };
        let option = |kind: u8, mac: &Option<Mac>| mac.map(|mac| [&[kind, 1], &mac.0[..]].concat()).unwrap_or_default();
        match &self.says {
            Says::Ping(id) => echo(if v4 { 8 } else { 128 }, *id),
            Says::Pong(id) => echo(if v4 { 0 } else { 129 }, *id),
            Says::Tcp(ports, flags) => {
                let mut bytes = ports.to_bytes();
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, *flags, 0x10, 0, 0, 0, 0, 0]);
                bytes.extend(DATA);
                (6, bytes, Some(16))
            }
            Says::Udp(ports) => {
                let mut bytes = ports.to_bytes();
                bytes.extend((8 + DATA.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(DATA);
                (17, bytes, Some(6))
            }
            Says::Sctp(ports) => {
                let chunk = [1, 0, 0, 20, 0, 0, 0, 5, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 1];
                (132, [&ports.to_bytes()[..], &[0; 8], &chunk].concat(), Some(8))
            }
            Says::Error(about) => {
                let kind = if v4 { [3, 3] } else { [1, 4] };
                (if v4 { 1 } else { 58 }, [&kind[..], &[0; 6], &about.to_bytes()].concat(), Some(2))
            }
            Says::Solicit { target, source } => {
                let mut bytes = vec![135, 0, 0, 0, 0, 0, 0, 0];
                bytes.extend(target.octets());
                bytes.extend(option(1, source));
                (58, bytes, Some(2))
            }
            Says::Advertise { target, flags, mac } => {
                let mut bytes = vec![136, 0, 0, 0];
                bytes.extend(flags.to_be_bytes());
                bytes.extend(target.octets());
                bytes.extend(option(2, mac));
                (58, bytes, Some(2))
            }
            Says::Other(protocol) => (*protocol, DATA.to_vec(), None),
            Says::Fragment(protocol) if v4 => (*protocol, DATA.to_vec(), None),
            Says::Fragment(protocol) => (44, [&[*protocol, 0, 0x05, 0xc8, 0, 0, 0x12, 0x34], DATA].concat(), None),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.src, self.dst)?;
        if let Some(id) = self.vlan {
            write!(f, ", vlan {id}")?;
        }
        match &self.body {
            Body::Arp(Arp { op: 1, sha, spa, tpa, .. }) => write!(f, ", ARP: {spa} ({sha}) asks for {tpa}"),
            Body::Arp(Arp { op: 2, sha, spa, tha, tpa }) => {
                write!(f, ", ARP: {spa} is at {sha}, to {tpa} ({tha})")
            }
            Body::Arp(arp) => write!(f, ", {arp:?}"),
            Body::Other(ethertype) => write!(f, ", ethertype {ethertype:#06x}"),
            Body::Ip(ip) => write!(f, ", {ip}"),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ip { src, dst, ttl, says } = self;
        write!(f, "{src} > {dst}, ttl {ttl}, ")?;
        match says {
            Says::Ping(id) => write!(f, "echo request {id}"),
            Says::Pong(id) => write!(f, "echo reply {id}"),
            Says::Tcp(Ports { src, dst }, flags) => write!(f, "TCP {src} > {dst}, flags {flags:#x}"),
            Says::Udp(Ports { src, dst }) => write!(f, "UDP {src} > {dst}"),
            Says::Sctp(Ports { src, dst }) => write!(f, "SCTP {src} > {dst}"),
            Says::Error(about) => write!(f, "error about [{about}]"),
            Says::Solicit { target, source: Some(mac) } => write!(f, "ND: {mac} asks for {target}"),
            Says::Solicit { target, source: None } => write!(f, "ND: asks for {target}, without option"),
            Says::Advertise { target, flags, mac } => {
                write!(f, "ND: {target} is at ")?;
                match mac {
                    Some(mac) => write!(f, "{mac}")?,
                    None => write!(f, "(no option)")?,
                }
                write!(f, ", flags {flags:#x}")
            }
            Says::Other(protocol) => write!(f, "protocol {protocol}"),
            Says::Fragment(protocol) => write!(f, "fragment of protocol {protocol}"),
        }
    }
}
