//! What a router with NAT rules does to packets, told by connections: no tables, no flows, no states of a tracker.
//!
//! A connection is what the inside sees and what the outside sees, both in the direction to the outside. A packet of a known one is translated by
//! it; else one that may begin a connection begins one if a rule says so. A floating address is one to one, so that it does not need a connection. Which port a source gets is the switch's choice: it is learned from what arrives,
//! and must be free.

use crate::packet::{Packet, Proto, Says};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::entity::{NatKind, NatRule};

/// Addresses, ports and protocol of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    proto: Proto,
    src: IpAddr,
    sport: u16,
    dst: IpAddr,
    dport: u16,
}

impl Flow {
    fn of(packet: &Packet) -> Option<Flow> {
        let Says::Data { proto, sport, dport } = packet.says else { return None };
        let proto = if proto == Proto::SynAck { Proto::Syn } else { proto };
        Some(Flow { proto, src: packet.src, sport, dst: packet.dst, dport })
    }

    fn reverse(self) -> Flow {
        let proto = if self.proto.has_ports() { self.proto } else { self.proto.answer() };
        Flow { proto, src: self.dst, sport: self.dport, dst: self.src, dport: self.sport }
    }

    /// The packet with these addresses and ports.
    fn onto(self, packet: &Packet) -> Packet {
        let Says::Data { proto, .. } = packet.says else { panic!("{packet} has no ports") };
        Packet { src: self.src, dst: self.dst, says: Says::Data { proto, sport: self.sport, dport: self.dport } }
    }
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    inside: Flow,
    outside: Flow,
}

/// A router.
pub struct Truth {
    pub rules: Vec<NatRule>,
    /// Its own addresses at the uplink.
    pub own: Vec<IpAddr>,
    /// Where inner hosts are.
    pub inner: Vec<IpNet>,
    connections: Vec<Connection>,
}

impl Truth {
    pub fn new(rules: Vec<NatRule>, own: Vec<IpAddr>, inner: Vec<IpNet>) -> Truth {
        Truth { rules, own, inner, connections: Vec::new() }
    }

    fn is_inner(&self, ip: IpAddr) -> bool {
        self.inner.iter().any(|net| net.contains(&ip))
    }

    fn is_external(&self, ip: IpAddr) -> bool {
        self.rules.iter().any(|rule| rule.external() == ip)
    }

    /// Whether a source must not be seen outside.
    pub fn covers(&self, ip: IpAddr) -> bool {
        self.covering(ip).is_some()
    }

    /// The rule by which new connections of an address go outside.
    fn covering(&self, ip: IpAddr) -> Option<&NatRule> {
        let rules = self.rules.iter().filter(|rule| rule.kind != NatKind::Dnat && rule.prefix.contains(&ip));
        rules.max_by_key(|rule| (rule.prefix.prefix_len(), rule.kind == NatKind::Floating))
    }

    /// What a packet is when it arrives, if it does. `seen`: the source port of what arrived.
    pub fn send(&mut self, packet: &Packet, seen: Option<u16>) -> Result<Option<Packet>, String> {
        if self.own.contains(&packet.dst) && matches!(packet.says, Says::Data { proto: Proto::Ping, .. }) {
            // From inside the answer stays inside, from outside it leaves by the router's own address.
            return Ok(Some(packet.answer()));
        }
        match (self.is_inner(packet.src), self.is_inner(packet.dst)) {
            (true, true) => Ok(Some(packet.clone())),
            (true, false) => match self.out(packet, seen)? {
                Some(packet) if self.is_external(packet.dst) => self.enter(&packet),
                other => Ok(other),
            },
            (false, _) => self.enter(packet),
        }
    }

    /// By the uplink to the outside.
    fn out(&mut self, packet: &Packet, seen: Option<u16>) -> Result<Option<Packet>, String> {
        if !self.rules.iter().any(|rule| rule.inner().contains(&packet.src)) {
            return Ok(Some(packet.clone()));
        }
        let rule = self.covering(packet.src).cloned();
        let Some(flow) = Flow::of(packet) else {
            let Says::Error(about) = &packet.says else { return Err("neither data nor error".into()) };
            let quoted = Flow::of(about).ok_or("an error about an error")?;
            return Ok(match self.connections.iter().find(|c| c.inside == quoted.reverse()) {
                Some(c) => {
                    let about = c.outside.reverse().onto(about);
                    Some(Packet { src: c.outside.src, dst: packet.dst, says: Says::Error(Box::new(about)) })
                }
                None => rule.is_none().then(|| packet.clone()),
            });
        };
        if let Some(known) = self.connections.iter().find(|c| c.inside == flow) {
            return Ok(Some(known.outside.onto(packet)));
        }
        let Some(rule) = rule else { return Ok(Some(packet.clone())) };
        let outside = Flow { src: rule.external(), ..flow };
        if !begins(packet) {
            return Ok((rule.kind == NatKind::Floating).then(|| outside.onto(packet)));
        }
        let taken = self.taken();
        let free = |port: u16| !taken.contains(&Flow { sport: port, ..outside }.reverse());
        let port = match (flow.proto.has_ports(), free(flow.sport)) {
            (_, true) => flow.sport,
            (false, false) => return Ok((rule.kind == NatKind::Floating).then(|| outside.onto(packet))),
            (true, false) => match seen {
                Some(port) if !free(port) => return Err(format!("{packet}: port {port} is another's")),
                Some(port) => port,
                None => (600..1024).find(|port| free(*port)).ok_or("no port left")?,
            },
        };
        let outside = Flow { sport: port, ..outside };
        self.connections.push(Connection { inside: flow, outside });
        Ok(Some(outside.onto(packet)))
    }

    /// By the uplink from outside.
    fn enter(&mut self, packet: &Packet) -> Result<Option<Packet>, String> {
        if !self.is_external(packet.dst) {
            return Ok(Some(packet.clone()));
        }
        let Some(flow) = Flow::of(packet) else {
            let Says::Error(about) = &packet.says else { return Err("neither data nor error".into()) };
            let quoted = Flow::of(about).ok_or("an error about an error")?;
            return Ok(self.connections.iter().find(|c| c.outside == quoted).map(|c| Packet {
                src: packet.src,
                dst: c.inside.src,
                says: Says::Error(Box::new(c.inside.onto(about))),
            }));
        };
        if let Some(known) = self.connections.iter().find(|c| c.outside == flow.reverse()) {
            return Ok(Some(known.inside.reverse().onto(packet)));
        }
        let open = |rule: &&NatRule| rule.kind != NatKind::Snat && rule.external() == packet.dst;
        let Some(rule) = self.rules.iter().find(open) else { return Ok(None) };
        let inner = Flow { dst: rule.inner().addr(), ..flow };
        if !begins(packet) {
            return Ok((rule.kind == NatKind::Floating).then(|| inner.onto(packet)));
        }
        if self.taken().contains(&inner.reverse()) {
            return Ok((rule.kind == NatKind::Floating).then(|| inner.onto(packet)));
        }
        self.connections.push(Connection { inside: inner.reverse(), outside: flow.reverse() });
        Ok(Some(inner.onto(packet)))
    }

    /// What no new connection may look like, on either side.
    fn taken(&self) -> BTreeSet<Flow> {
        self.connections.iter().flat_map(|c| [c.inside, c.outside.reverse()]).collect()
    }
}

fn begins(packet: &Packet) -> bool {
    matches!(packet.says, Says::Data { proto, .. } if proto.begins())
}
