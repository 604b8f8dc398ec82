//! The connection tracker: a model of that of Open vSwitch's userspace datapath (`lib/conntrack.c`), as far as one packet after another can tell.
//!
//! A connection is new until its other side answers. There are no timeouts, no sequence numbers, no end of a TCP connection, no helpers, and no more
//! than [`MAX_CONNECTIONS`]. Where an address or port is chosen, it is the first that is free, so that results are always the same.

use crate::packet::Tuple;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use tuplenet_openflow::action::Nat;

/// Connections that are remembered: simulated packets are few.
const MAX_CONNECTIONS: usize = 65_536;
/// How many addresses and ports are tried for a translation.
const MAX_TRIES: u32 = 200_000;

/// Bits of `ct_state`, ovs-fields(7).
pub(super) mod state {
    pub const NEW: u128 = 0x01;
    pub const EST: u128 = 0x02;
    pub const REL: u128 = 0x04;
    pub const RPL: u128 = 0x08;
    pub const INV: u128 = 0x10;
    pub const TRK: u128 = 0x20;
    pub const SNAT: u128 = 0x40;
    pub const DNAT: u128 = 0x80;
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// As its first packet had it.
    pub original: Tuple,
    /// As answers have it: the other way round, with what is translated.
    pub reply: Tuple,
    /// Its source is translated, its destination is: perhaps to what they were.
    pub nat: (bool, bool),
    /// The other side answered.
    pub answered: bool,
    pub mark: u128,
    pub label: u128,
}

/// Connections by zone and tuple, under both directions.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker {
    connections: FxHashMap<u64, Connection>,
    /// To the connection, and whether the tuple is that of answers.
    tuples: FxHashMap<(u16, Tuple), (u64, bool)>,
    next: u64,
}

impl Tracker {
    /// The connection of a tuple, and whether that is an answer's.
    pub fn find(&self, zone: u16, tuple: Tuple) -> Option<(u64, bool)> {
        self.tuples.get(&(zone, tuple)).copied()
    }

    pub fn get(&self, id: u64) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub fn forget(&mut self, id: u64) {
        if self.connections.remove(&id).is_some() {
            self.tuples.retain(|_, (of, _)| *of != id);
        }
    }

    /// A new connection. `None`: there is no room, or nothing left to translate it to.
    pub fn commit(&mut self, zone: u16, original: Tuple, nat: Option<&Nat>) -> Option<u64> {
        if self.connections.len() >= MAX_CONNECTIONS {
            return None;
        }
        let reply = match nat {
            Some(nat) => self.translate(zone, original, nat)?,
            None => original.reverse(),
        };
        self.next += 1;
        let id = self.next;
        // Open vSwitch translates one of the two.
        let flag = |flag| nat.is_some_and(|nat| nat.flags & flag != 0);
        let nat = (flag(Nat::SRC), flag(Nat::DST) && !flag(Nat::SRC));
        self.connections.insert(id, Connection { original, reply, nat, answered: false, mark: 0, label: 0 });
        // Who talks to itself talks in the original direction.
        self.tuples.insert((zone, reply), (id, true));
        self.tuples.insert((zone, original), (id, false));
        Some(id)
    }

    /// The tuple of answers: the first translation in the range that nobody uses.
    fn translate(&self, zone: u16, original: Tuple, nat: &Nat) -> Option<Tuple> {
        let reply = original.reverse();
        let source = nat.flags & Nat::SRC != 0;
        if !source && nat.flags & Nat::DST == 0 {
            // Open vSwitch 3.1 waits for answers from no address then: real ones do not belong to the connection.
            let nobody = Tuple { src: 0, ..reply };
            return (!self.tuples.contains_key(&(zone, nobody))).then_some(nobody);
        }
        let same = if source { original.src } else { original.dst };
        let first = nat.addr_min.map_or(same, number);
        let last = nat.addr_max.or(nat.addr_min).map_or(same, number).max(first);
        // A destination has the port that the rule says, or its own; if that is taken, the source gives way, whatever is translated.
        let said = port_range(nat, if source { original.sport } else { original.dport });
        let sources = said.clone().filter(|_| source).unwrap_or_else(|| like(original.sport));
        let destinations = said.filter(|_| !source).unwrap_or_else(|| vec![original.dport]);
        let has_ports = matches!(original.proto, 6 | 17 | 132);
        let mut tries = 0;
        let mut address = first;
        while address <= last {
            for (dport, sport) in destinations.iter().flat_map(|dport| sources.iter().map(move |sport| (dport, sport)))
            {
                let mut candidate = reply;
                // Answers go to what the source became, and come from what the destination became.
                *(if source { &mut candidate.dst } else { &mut candidate.src }) = address;
                if has_ports {
                    (candidate.sport, candidate.dport) = (*dport, *sport);
                }
                if !self.tuples.contains_key(&(zone, candidate)) {
                    return Some(candidate);
                }
                tries += 1;
                if !has_ports {
                    break;
                }
                if tries >= MAX_TRIES {
                    return None;
                }
            }
            address = address.checked_add(1)?;
        }
        None
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The ports that a rule names.
fn port_range(nat: &Nat, own: u16) -> Option<Vec<u16>> {
    let first = nat.port_min.filter(|first| *first != 0)?;
    Some(round(first, nat.port_max.filter(|last| *last >= first).unwrap_or(first), own))
}

/// Source ports of the same kind: privileged ones stay so.
fn like(own: u16) -> Vec<u16> {
    match own {
        ..=511 => round(1, 511, own),
        512..=1023 => round(600, 1023, own),
        _ => round(1024, u16::MAX, own),
    }
}

/// From its own on and round, where it is one of them.
fn round(first: u16, last: u16, own: u16) -> Vec<u16> {
    let start = if (first..=last).contains(&own) { own } else { first };
    (start..=last).chain(first..start).collect()
}
