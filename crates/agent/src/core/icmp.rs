//! Errors of routers: who sent a packet that a router ended is told why, as RFC 1812 section 4.3 and RFC 4443 want it.
//!
//! The rules hand such packets over ([`tuplenet_rules::icmp`]); what becomes of one is [`error`], a function of its bytes. Each sender gets so many errors and
//! no more, so that one who sends a flood of packets with a spent TTL does not use up what others get; what all may cost is limited in the switch.
//!
//! A packet that is too long for where it is to go is the one kind that may go on: an IPv4 packet that may be cut is [`cut`], and its pieces take the way that it
//! was on.

mod cut;

use super::{
    Effect,
    stats::Stats,
    wire::{ICMP, ICMPV6, IPV4, IPV6, checksum, icmpv6_checksum, ipv4, ipv6, put, take},
};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::{
    Field,
    field::{REG0, REG1, REG2, REG3},
    message::PacketIn2,
};
use tuplenet_rules::{
    icmp::{Event, Place, send, send_on},
    register::{DATAPATH, DST_PORT, FLAGS, MTU, SRC_PORT, TOO_BIG},
};

/// Errors that one sender may have at once, by one port of a router: traceroute sends 90 probes for a path of 30 routers.
const AT_ONCE: u32 = 60;
/// And then one in so long.
const PAUSE: Duration = Duration::from_millis(50);
/// Senders that are remembered by one port of a router, and in all.
const MAX_EACH: usize = 256;
const MAX_SENDERS: usize = 4_096;
/// How often those are looked for that may be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A port of a router.
type Port = (DatapathId, u32);

/// Gives each sender its share.
#[derive(Debug, Default)]
pub struct Errors {
    /// When a sender has its full share again: the time that its errors so far have cost ends then.
    senders: FxHashMap<Port, FxHashMap<IpAddr, Instant>>,
    count: usize,
    swept: Option<Instant>,
}

impl Errors {
    /// The switch tells of a packet. `nets`: the addresses of a port of a router, each with its network.
    pub fn packet_in<'a>(
        &mut self,
        event: Event,
        packet: &PacketIn2,
        nets: impl Fn(DatapathId, u32) -> Option<&'a [IpNet]>,
        now: Instant,
        effects: &mut Vec<Effect>,
        stats: &mut Stats,
    ) {
        let Some((router, number)) = port(packet) else { return };
        let mtu = if event == Event::TooBig { mtu(packet) } else { 0 };
        let pieces = if event == Event::TooBig { cut::cut(&packet.packet, mtu as usize) } else { None };
        if let Some((pieces, place)) = pieces.zip(place(packet)) {
            stats.packets_cut += 1;
            let actions = send_on(place);
            let out = |frame: Vec<u8>| Effect::PacketOut { actions: actions.clone(), frame: frame.into() };
            return effects.extend(pieces.into_iter().map(out));
        }
        let told = nets(router, number).and_then(|nets| error(event, mtu, &packet.packet, nets));
        match told {
            Some((to, frame)) if self.may(router, number, to, now) => {
                stats.icmp_errors += 1;
                effects.push(Effect::PacketOut { actions: send(router, number), frame: frame.into() });
            }
            _ => stats.icmp_errors_withheld += 1,
        }
    }

    /// Whether a sender may have one more error, and counts it.
    fn may(&mut self, router: DatapathId, number: u32, to: IpAddr, now: Instant) -> bool {
        let full = self.count >= MAX_SENDERS;
        let known = self.senders.entry((router, number)).or_default();
        if !known.contains_key(&to) && (full || known.len() >= MAX_EACH) {
            if self.swept.is_some_and(|at| now < at + SWEEP_EVERY) {
                return false;
            }
            self.sweep(now);
        }
        let known = self.senders.entry((router, number)).or_default();
        if !known.contains_key(&to) {
            if self.count >= MAX_SENDERS || known.len() >= MAX_EACH {
                return false;
            }
            self.count += 1;
        }
        let until = known.entry(to).or_insert(now);
        let next = (*until).max(now) + PAUSE;
        if next > now + AT_ONCE * PAUSE {
            return false;
        }
        *until = next;
        true
    }

    /// Forgets who has its full share.
    fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.senders.retain(|_, known| {
            known.retain(|_, until| *until > now);
            !known.is_empty()
        });
        self.count = self.senders.values().map(FxHashMap::len).sum();
    }
}

/// What the pipeline keeps of the packet there; what is 0 is left out.
fn number(packet: &PacketIn2, field: &'static Field) -> u32 {
    packet.metadata.get(field).and_then(|m| u32::try_from(m.value.to_u64()?).ok()).unwrap_or(0)
}

/// The parts of the next hop, [`tuplenet_rules::register::NEXT_HOP6`]: registers are 32-bit fields in what a switch tells.
const NEXT_HOP: [&Field; 4] = [REG0, REG1, REG2, REG3];

/// By which port the packet came into which router.
fn port(packet: &PacketIn2) -> Option<Port> {
    let router = DatapathId::new(number(packet, DATAPATH))?;
    Some((router, Some(number(packet, SRC_PORT)).filter(|number| *number != 0)?))
}

/// How long packets may be where it was to go.
fn mtu(packet: &PacketIn2) -> u32 {
    number(packet, MTU) & !TOO_BIG
}

/// Where it was when it was found too long.
fn place(packet: &PacketIn2) -> Option<Place> {
    let (router, from) = port(packet)?;
    let (to, flags) = (number(packet, DST_PORT), number(packet, FLAGS));
    let next_hop = NEXT_HOP.into_iter().fold(0, |hop, part| hop << 32 | u128::from(number(packet, part)));
    Some(Place { router, from, to, next_hop, flags })
}

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const NOTHING: u8 = 59;
const UDP_LITE: u8 = 136;
/// An error is no longer than this, so that it gets through: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1_280;
/// Headers of IPv4 and ICMP, of IPv6 and ICMPv6.
const HEAD_V4: usize = 20 + 8;
const HEAD_V6: usize = 40 + 8;

/// The error about a packet that a port of a router with these addresses took in, and whom it is for. `None`: nobody is to be told. `mtu` is how long packets may be, of
/// one that is too long.
///
/// Never about an error, a redirect, a later fragment, what was sent to many, or from no single host (RFC 1122 section 3.2.2, RFC 1812 section
/// 4.3.2.7, RFC 4443 section 2.4 (e)); nor about what cannot be read.
pub fn error(event: Event, mtu: u32, frame: &[u8], nets: &[IpNet]) -> Option<(IpAddr, Vec<u8>)> {
    let to_many = frame.first()? & 1 != 0;
    let packet = frame.get(ETHERNET..)?;
    let (to, error, kind) = match take::<2>(frame, 12)? {
        _ if to_many => return None,
        IPV4 => {
            let (to, error) = error_v4(event, mtu, packet, nets)?;
            (IpAddr::V4(to), error, IPV4)
        }
        IPV6 => {
            let (to, error) = error_v6(event, mtu, packet, nets)?;
            (IpAddr::V6(to), error, IPV6)
        }
        _ => return None,
    };
    // The router writes the addresses of the link.
    let mut told = Vec::with_capacity(ETHERNET + error.len());
    told.extend([0; 12]);
    told.extend(kind);
    told.extend(error);
    Some((to, told))
}

fn error_v4(event: Event, mtu: u32, packet: &[u8], nets: &[IpNet]) -> Option<(Ipv4Addr, Vec<u8>)> {
    let first = *packet.first()?;
    let (header, length) = (usize::from(first & 0xf) * 4, usize::from(u16::from_be_bytes(take(packet, 2)?)));
    let offset = u16::from_be_bytes(take(packet, 6)?) & 0x1fff;
    if first >> 4 != 4 || header < 20 || length < header || offset != 0 {
        return None;
    }
    // What stands behind is Ethernet's.
    let packet = packet.get(..length).unwrap_or(packet);
    let [_, protocol] = take::<2>(packet, 8)?;
    let (from, to) = (Ipv4Addr::from(take::<4>(packet, 12)?), Ipv4Addr::from(take::<4>(packet, 16)?));
    let nets = || nets.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None });
    let to_all = |ip: Ipv4Addr| nets().any(|net| net.prefix_len() < 31 && ip == net.broadcast());
    let host = |ip: Ipv4Addr| {
        let [first, ..] = ip.octets();
        first != 0 && first != 127 && first < 224 && !to_all(ip)
    };
    if !host(from) || !host(to) || nets().any(|net| net.addr() == from) {
        return None;
    }
    if protocol == ICMP {
        // Questions only: an answer of which nobody is waiting for is not told of, and what is unknown may be an error.
        let question = matches!(packet.get(header)?, 8 | 13 | 15 | 17);
        let answer = matches!(packet.get(header)?, 0 | 14 | 16 | 18);
        if event == Event::Itself || !(question || answer) {
            return None;
        }
    }
    let (kind, code) = match event {
        Event::Spent => (11, 0),
        Event::TooBig => (3, 4),
        Event::NoRoute => (3, 0),
        Event::NoHost => (3, 1),
        Event::Itself if matches!(protocol, TCP | UDP | DCCP | UDP_LITE) => (3, 3),
        Event::Itself => (3, 2),
    };
    let own = nets().map(|net| (net.contains(&from), net.addr())).max_by_key(|(near, _)| *near).map(|(_, ip)| ip);
    let source = if event == Event::Itself { to } else { own? };
    let quote = packet.get(..LONGEST_V4 - HEAD_V4).unwrap_or(packet);
    // RFC 1191 section 4: two bytes that are unused, and the MTU; 0 in other errors.
    let [high, low] = u16::try_from(mtu).unwrap_or(u16::MAX).to_be_bytes();
    let mut icmp = vec![kind, code, 0, 0, 0, 0, high, low];
    icmp.extend(quote);
    let sum = checksum(&icmp);
    put(&mut icmp, 2, sum);
    // Precedence 6 (RFC 1812 section 4.3.2.5).
    let mut error = ipv4(0xc0, 255, source, from, &icmp)?;
    error.extend(icmp);
    Some((from, error))
}

fn error_v6(event: Event, mtu: u32, packet: &[u8], nets: &[IpNet]) -> Option<(Ipv6Addr, Vec<u8>)> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let length = 40 + usize::from(u16::from_be_bytes(take(packet, 4)?));
    let packet = packet.get(..length).unwrap_or(packet);
    let (from, to) = (Ipv6Addr::from(take::<16>(packet, 8)?), Ipv6Addr::from(take::<16>(packet, 24)?));
    let host = |ip: Ipv6Addr| {
        let link_local = ip.segments()[0] & 0xffc0 == 0xfe80;
        !ip.is_multicast() && !ip.is_unspecified() && !ip.is_loopback() && !link_local
    };
    if !host(from) || !host(to) || nets.iter().any(|net| net.addr() == from) {
        return None;
    }
    let Last { protocol, named_at, at } = last(packet)?;
    if protocol == ICMPV6 {
        let kind = *packet.get(at)?;
        if event == Event::Itself || kind < 128 || kind == 137 {
            return None;
        }
    }
    let (kind, code, detail) = match event {
        Event::Spent => (3, 0, 0),
        Event::TooBig => (2, 0, mtu),
        Event::NoRoute => (1, 0, 0),
        Event::NoHost => (1, 3, 0),
        Event::Itself if matches!(protocol, TCP | UDP | DCCP | UDP_LITE) => (1, 4, 0),
        Event::Itself if protocol == NOTHING => return None,
        // An unknown next header, and where it is named.
        Event::Itself => (4, 1, u32::try_from(named_at).ok()?),
    };
    let own = nets.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
    let own = own.filter(|net| host(net.addr())).map(|net| (net.contains(&from), net.addr()));
    let own = own.max_by_key(|(near, _)| *near).map(|(_, ip)| ip);
    // An answer to what came to one of our addresses comes from there (RFC 4443 section 2.2 (a)).
    let source = if event == Event::Itself { to } else { own? };
    let quote = packet.get(..LONGEST_V6 - HEAD_V6).unwrap_or(packet);
    let mut icmp = vec![kind, code, 0, 0];
    icmp.extend(detail.to_be_bytes());
    icmp.extend(quote);
    let sum = icmpv6_checksum(source, from, &icmp);
    put(&mut icmp, 2, sum);
    let mut error = ipv6(255, source, from, &icmp)?;
    error.extend(icmp);
    Some((from, error))
}

/// The header behind the extension headers.
struct Last {
    protocol: u8,
    /// Where its number stands, and where it begins.
    named_at: usize,
    at: usize,
}

/// Walks the extension headers. `None`: a later fragment, or not to be read to its end.
fn last(packet: &[u8]) -> Option<Last> {
    let (mut named_at, mut at) = (6, 40);
    loop {
        let protocol = *packet.get(named_at)?;
        let next = match protocol {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => at + 8 + 8 * usize::from(*packet.get(at + 1)?),
            44 => {
                let [_, _, high, low] = take::<4>(packet, at)?;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    return None;
                }
                at + 8
            }
            51 => at + 8 + 4 * usize::from(*packet.get(at + 1)?),
            _ => return Some(Last { protocol, named_at, at }),
        };
        named_at = at;
        at = next;
    }
}

#[cfg(test)]
mod tests;
