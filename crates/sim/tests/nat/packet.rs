//! Packets of connections, as bytes with correct checksums, and read again.

use super::bytes::{self, checksum, seal};
use std::{fmt, net::IpAddr};
use tuplenet_model::mac::Mac;

/// What a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proto {
    /// A first segment, without flags beside SYN.
    Syn,
    /// Its answer.
    SynAck,
    Udp,
    Sctp,
    /// Echo request; both ports are its id.
    Ping,
    /// Echo reply.
    Pong,
}

impl Proto {
    /// What the answer is of.
    pub fn answer(self) -> Proto {
        match self {
            Proto::Syn => Proto::SynAck,
            Proto::SynAck => Proto::Syn,
            Proto::Ping => Proto::Pong,
            Proto::Pong => Proto::Ping,
            other => other,
        }
    }

    /// Whether conntrack takes it for the begin of a connection.
    pub fn begins(self) -> bool {
        !matches!(self, Proto::SynAck | Proto::Pong)
    }

    pub fn has_ports(self) -> bool {
        !matches!(self, Proto::Ping | Proto::Pong)
    }

    fn number(self, v4: bool) -> u8 {
        match self {
            Proto::Syn | Proto::SynAck => 6,
            Proto::Udp => 17,
            Proto::Sctp => 132,
            Proto::Ping | Proto::Pong if v4 => 1,
            Proto::Ping | Proto::Pong => 58,
        }
    }
}

/// A packet of a connection, or an error about one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub says: Says,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Says {
    Data {
        proto: Proto,
        sport: u16,
        dport: u16,
    },
    /// Destination unreachable (port), about that packet.
    Error(Box<Packet>),
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Data { proto, sport, dport } => {
                write!(f, "{proto:?} {} {sport} > {} {dport}", self.src, self.dst)
            }
            Says::Error(about) => write!(f, "error {} > {} about [{about}]", self.src, self.dst),
        }
    }
}

impl Packet {
    /// From whoever got this one, to whom it came from.
    pub fn answer(&self) -> Packet {
        let Says::Data { proto, sport, dport } = &self.says else { panic!("nobody answers an error") };
        let says = Says::Data { proto: proto.answer(), sport: *dport, dport: *sport };
        Packet { src: self.dst, dst: self.src, says }
    }

    /// That this one was for nobody, told by `by`.
    pub fn error(&self, by: IpAddr) -> Packet {
        Packet { src: by, dst: self.src, says: Says::Error(Box::new(self.clone())) }
    }

    pub fn is_error(&self) -> bool {
        matches!(self.says, Says::Error(_))
    }

    /// The frame that a host sends.
    pub fn frame(&self, from: Mac, to: Mac) -> Vec<u8> {
        let ethertype: [u8; 2] = if self.src.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
        [&to.0[..], &from.0, &ethertype, &self.ip()].concat()
    }

    fn ip(&self) -> Vec<u8> {
        let (proto, body) = self.body();
        bytes::ip((self.src, self.dst), [0, 7, 0, 0], 64, proto, &body)
    }

    /// Protocol and what follows the IP header.
    fn body(&self) -> (u8, Vec<u8>) {
        let v4 = self.src.is_ipv4();
        let (proto, mut body, at) = match &self.says {
            Says::Error(about) => {
                let kind = if v4 { [3, 3] } else { [1, 4] };
                let quoted = about.ip();
                (if v4 { 1 } else { 58 }, [&kind[..], &[0; 6], &quoted].concat(), 2)
            }
            Says::Data { proto, sport, dport } => {
                let ports = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
                let number = proto.number(v4);
                match proto {
                    Proto::Syn | Proto::SynAck => {
                        let flags = if *proto == Proto::Syn { 0x02 } else { 0x12 };
                        (number, [&ports[..], &[0, 0, 0, 9, 0, 0, 0, 0, 0x50, flags, 16, 0, 0, 0, 0, 0]].concat(), 16)
                    }
                    Proto::Udp => (number, [&ports[..], &[0, 12, 0, 0], b"data"].concat(), 6),
                    // An INIT chunk, as far as a tracker looks at it.
                    Proto::Sctp => {
                        let chunk = [1, 0, 0, 20, 0, 0, 0, 5, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 1];
                        (number, [&ports[..], &[0; 8], &chunk].concat(), 8)
                    }
                    Proto::Ping | Proto::Pong => {
                        let kind = match (proto, v4) {
                            (Proto::Ping, true) => 8,
                            (Proto::Ping, false) => 128,
                            (_, true) => 0,
                            (_, false) => 129,
                        };
                        (number, [&[kind, 0, 0, 0], &sport.to_be_bytes()[..], &[0, 1], b"data"].concat(), 2)
                    }
                }
            }
        };
        seal((self.src, self.dst), proto, &mut body, at);
        (proto, body)
    }

    /// What a frame says that one of ours became. All of it must be right: lengths, checksums, also those of the packet that an error quotes.
    pub fn read(frame: &[u8]) -> Result<Packet, String> {
        let packet = read_ip(frame.get(14..).ok_or("no IP header")?)?;
        let mut again = packet.frame(Mac(frame[6..12].try_into().expect("6")), Mac(frame[..6].try_into().expect("6")));
        // The hops that it made.
        let (ttl, sum) = if packet.src.is_ipv4() { (22, 24..26) } else { (21, 21..21) };
        again[ttl] = frame[ttl];
        if packet.src.is_ipv4() {
            again[sum.clone()].fill(0);
            let fresh = checksum(&again[14..34]);
            again[sum].copy_from_slice(&fresh.to_be_bytes());
        }
        if packet.is_error() {
            // What it quotes made hops of its own: its TTL and what covers that are its sender's.
            let quoted = if packet.src.is_ipv4() { 14 + 20 + 8 } else { 14 + 40 + 8 };
            let same = again.len() == frame.len() && again[..14] == frame[..14];
            let own = packet.src.is_ipv4() && frame[36..38] != icmp_sum(&frame[34..]);
            return match same && !own && quoted < frame.len() {
                true => Ok(packet),
                false => Err(format!("{packet}: not as it should be: {frame:02x?}")),
            };
        }
        if again == frame { Ok(packet) } else { Err(format!("{packet}: {frame:02x?} is not {again:02x?}")) }
    }
}

fn icmp_sum(icmp: &[u8]) -> [u8; 2] {
    let mut icmp = icmp.to_vec();
    icmp[2..4].fill(0);
    checksum(&icmp).to_be_bytes()
}

fn read_ip(bytes: &[u8]) -> Result<Packet, String> {
    let v4 = bytes.first().is_some_and(|b| b >> 4 == 4);
    let least = if v4 { 28 } else { 48 };
    if bytes.len() < least {
        return Err(format!("{} bytes are no packet of ours", bytes.len()));
    }
    let four = |at: usize| -> IpAddr { <[u8; 4]>::try_from(&bytes[at..at + 4]).expect("4").into() };
    let sixteen = |at: usize| -> IpAddr { <[u8; 16]>::try_from(&bytes[at..at + 16]).expect("16").into() };
    let (src, dst, proto, body) = match v4 {
        true => (four(12), four(16), bytes[9], &bytes[20..]),
        false => (sixteen(8), sixteen(24), bytes[6], &bytes[40..]),
    };
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let data = |proto| Says::Data { proto, sport: number(0), dport: number(2) };
    let echo = |proto| Says::Data { proto, sport: number(4), dport: number(4) };
    let says = match (proto, body[0]) {
        (6, _) => data(if body.get(13) == Some(&0x12) { Proto::SynAck } else { Proto::Syn }),
        (17, _) => data(Proto::Udp),
        (132, _) => data(Proto::Sctp),
        (1, 8) | (58, 128) => echo(Proto::Ping),
        (1, 0) | (58, 129) => echo(Proto::Pong),
        (1, 3) | (58, 1) => Says::Error(Box::new(read_ip(&body[8..])?)),
        _ => return Err(format!("protocol {proto} is none of ours")),
    };
    Ok(Packet { src, dst, says })
}
