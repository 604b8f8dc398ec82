//! What NAT does at an uplink, told by connections: no tables, no flows, no states of a tracker.
//!
//! A connection is what the inside sees and what the outside sees, both in the direction to the outside. A packet of a known one is translated by it, and so is what an
//! ICMP error quotes. Else one that may begin a connection begins one, if a rule says so; of what may not, a floating address is translated
//! nevertheless (it is one to one), and what else a rule covers ends. A source keeps its port if that is free, else it gets the next free one of its kind.

use crate::generate::{Ip, Ports, SYN_ACK, Says};
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::entity::{NatKind, NatRule};

/// Addresses, ports and protocol of a direction; for echoes both ports are their id, and the protocol says which of the two directions it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    proto: Proto,
    src: IpAddr,
    sport: u16,
    dst: IpAddr,
    dport: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Proto {
    Tcp,
    Udp,
    Sctp,
    Asks,
    Answers,
    Other(u8),
}

impl Flow {
    /// `None`: it is no packet of a connection.
    fn of(ip: &Ip) -> Option<Flow> {
        let (proto, Ports { src: sport, dst: dport }) = match &ip.says {
            Says::Tcp(ports, _) => (Proto::Tcp, *ports),
            Says::Udp(ports) => (Proto::Udp, *ports),
            Says::Sctp(ports) => (Proto::Sctp, *ports),
            Says::Ping(id) => (Proto::Asks, Ports { src: *id, dst: *id }),
            Says::Pong(id) => (Proto::Answers, Ports { src: *id, dst: *id }),
            Says::Other(number) => (Proto::Other(*number), Ports { src: 0, dst: 0 }),
            Says::Error(_) | Says::Solicit { .. } | Says::Advertise { .. } | Says::Fragment(_) => return None,
        };
        Some(Flow { proto, src: ip.src, sport, dst: ip.dst, dport })
    }

    fn reverse(self) -> Flow {
        let proto = match self.proto {
            Proto::Asks => Proto::Answers,
            Proto::Answers => Proto::Asks,
            other => other,
        };
        Flow { proto, src: self.dst, sport: self.dport, dst: self.src, dport: self.sport }
    }

    fn has_ports(self) -> bool {
        matches!(self.proto, Proto::Tcp | Proto::Udp | Proto::Sctp)
    }

    /// The packet with these addresses and ports.
    fn onto(self, ip: &Ip) -> Ip {
        let ports = Ports { src: self.sport, dst: self.dport };
        let says = match &ip.says {
            Says::Tcp(_, flags) => Says::Tcp(ports, *flags),
            Says::Udp(_) => Says::Udp(ports),
            Says::Sctp(_) => Says::Sctp(ports),
            other => other.clone(),
        };
        Ip { src: self.src, dst: self.dst, ttl: ip.ttl, says }
    }
}

fn begins(ip: &Ip) -> bool {
    !matches!(ip.says, Says::Pong(_) | Says::Tcp(_, SYN_ACK))
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    inside: Flow,
    outside: Flow,
}

/// The connections of a router on a host.
#[derive(Clone, Debug, Default)]
pub struct Connections(Vec<Connection>);

/// What becomes of a packet at an uplink.
#[derive(Clone, Debug)]
pub enum Becomes {
    /// It goes on as this one.
    Goes(Ip),
    /// It is for an inner address after all, and goes back in as this one.
    Returns(Ip),
    /// Nothing.
    Ends,
    /// Nobody can tell from one packet: a fragment waits for the others.
    Unknown,
}

impl Connections {
    /// Out by an uplink with these addresses. Rules: those in force there.
    pub fn out(&mut self, rules: &[NatRule], own: &[IpAddr], ip: &Ip) -> Becomes {
        let error = matches!(ip.says, Says::Error(_));
        let concerned = rules.iter().any(|rule| rule.inner().contains(&ip.src));
        if rules.is_empty() || !error && (own.contains(&ip.src) || !concerned) {
            return Becomes::Goes(ip.clone());
        }
        if matches!(ip.says, Says::Fragment(_)) {
            return Becomes::Unknown;
        }
        let covering = rules.iter().filter(|rule| rule.kind != NatKind::Dnat && rule.prefix.contains(&ip.src));
        let rule = covering.max_by_key(|rule| (rule.prefix.prefix_len(), rule.kind == NatKind::Floating));
        let plain = |rule: &NatRule| match rule.kind {
            NatKind::Floating => Becomes::Goes(Ip { src: rule.external(), ..ip.clone() }),
            _ => Becomes::Ends,
        };
        if let Says::Error(about) = &ip.says {
            let quoted = Flow::of(about).filter(|quoted| quoted.src == ip.dst);
            for Connection { inside, outside } in &self.0 {
                if quoted == Some(inside.reverse()) {
                    let about = outside.reverse().onto(about);
                    return Becomes::Goes(Ip { src: outside.src, says: Says::Error(about.into()), ..ip.clone() });
                }
                if quoted == Some(*outside) {
                    let about = inside.onto(about);
                    return Becomes::Returns(Ip { dst: inside.src, says: Says::Error(about.into()), ..ip.clone() });
                }
            }
            return if rule.is_some() { Becomes::Ends } else { Becomes::Goes(ip.clone()) };
        }
        let Some(flow) = Flow::of(ip) else {
            return rule.map_or_else(|| Becomes::Goes(ip.clone()), plain);
        };
        if let Some(known) = self.0.iter().find(|c| c.inside == flow) {
            return Becomes::Goes(known.outside.onto(ip));
        }
        if let Some(known) = self.0.iter().find(|c| c.outside.reverse() == flow) {
            return Becomes::Returns(known.inside.reverse().onto(ip));
        }
        let Some(rule) = rule else { return Becomes::Goes(ip.clone()) };
        let taken = self.taken();
        let free = |port: &u16| !taken.contains(&Flow { src: rule.external(), sport: *port, ..flow }.reverse());
        let ports = if flow.has_ports() { like(flow.sport) } else { vec![flow.sport] };
        match ports.into_iter().find(free).filter(|_| begins(ip)) {
            Some(sport) => {
                let outside = Flow { src: rule.external(), sport, ..flow };
                self.0.push(Connection { inside: flow, outside });
                Becomes::Goes(outside.onto(ip))
            }
            None => plain(rule),
        }
    }

    /// In by an uplink.
    pub fn enter(&mut self, rules: &[NatRule], ip: &Ip) -> Becomes {
        if !rules.iter().any(|rule| rule.external() == ip.dst) {
            return Becomes::Goes(ip.clone());
        }
        if matches!(ip.says, Says::Fragment(_)) {
            return Becomes::Unknown;
        }
        let open = rules.iter().find(|rule| rule.kind != NatKind::Snat && rule.external() == ip.dst);
        if let Says::Error(about) = &ip.says {
            let quoted = Flow::of(about).filter(|quoted| quoted.src == ip.dst);
            let known = self.0.iter().find(|c| quoted == Some(c.outside));
            return known.map_or(Becomes::Ends, |Connection { inside, .. }| {
                let about = inside.onto(about);
                Becomes::Goes(Ip { dst: inside.src, says: Says::Error(about.into()), ..ip.clone() })
            });
        }
        let plain = || match open {
            Some(rule) if rule.kind == NatKind::Floating => {
                Becomes::Goes(Ip { dst: rule.inner().addr(), ..ip.clone() })
            }
            _ => Becomes::Ends,
        };
        let Some(flow) = Flow::of(ip) else { return plain() };
        if let Some(known) = self.0.iter().find(|c| c.outside.reverse() == flow) {
            return Becomes::Goes(known.inside.reverse().onto(ip));
        }
        // From outside with the source of an inner host that has such a connection: a forgery whose fate depends on how a tracker stores things.
        if self.0.iter().any(|c| c.inside == flow) {
            return Becomes::Unknown;
        }
        let Some(rule) = open.filter(|_| begins(ip)) else { return plain() };
        let inner = Flow { dst: rule.inner().addr(), ..flow };
        if self.taken().contains(&inner.reverse()) {
            return Becomes::Unknown;
        }
        self.0.push(Connection { inside: inner.reverse(), outside: flow.reverse() });
        Becomes::Goes(inner.onto(ip))
    }

    /// What no new connection may look like, on either side.
    fn taken(&self) -> BTreeSet<Flow> {
        self.0.iter().flat_map(|c| [c.inside, c.outside.reverse()]).collect()
    }
}

/// Ports of one kind, its own first, then round.
fn like(own: u16) -> Vec<u16> {
    let (first, last) = match own {
        ..=511 => (1, 511),
        512..=1023 => (600, 1023),
        _ => (1024, u16::MAX),
    };
    let start = own.clamp(first, last);
    (start..=last).chain(first..start).collect()
}
