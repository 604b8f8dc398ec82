//! What becomes of a packet: the semantics of switches and routers, as functions that call each other.
//!
//! A switch
//! - answers ARP requests and neighbour solicitations for an address that a port of it has, if that port can be reached from here; untagged
//!   ones only, since addresses are those of the untagged network, and solicitations only with hop limit 255 (RFC 4861 section 7.1.1: others are
//!   forged, and end). A port that asks for its own address looks for a duplicate: nobody answers. The answer leaves by the port that asked;
//! - passes no frame for the addresses reserved to a wire (IEEE 802.1Q table 8-1);
//! - gives a unicast frame to the port that has its MAC, if it can be reached from here, and to nobody if none has;
//! - gives any other frame to all VMs' ports that can be reached from here, if it floods, else to nobody;
//! - never gives a frame back to the port that it came from.
//!
//! A router
//! - takes no tagged frames, nothing but IP, and nothing from nobody's address (RFC 1812 section 5.3.7, RFC 4291 section 2.5): 0.0.0.0/8, 127.0.0.0/8,
//!   224.0.0.0/3, ::/16, fe80::/10, ff00::/8;
//! - answers an echo request to any of its addresses, whatever its TTL, with TTL 255, and routes the answer like any packet;
//! - forwards nothing else that is for itself or for nobody's address, nor with a TTL below 2, nor of protocol 0 (which also stands for packets that
//!   end within their headers);
//! - sends a packet by the route with the longest prefix; of equal ones by a static route before a connected network, of static ones by the oldest.
//!   A route counts only while its port has a whole link. A static route counts only if its next hop is in a network of its port
//!   and not an address of that port;
//! - asks that the next hop (the destination itself, if it is connected) is the address of a port of the switch behind the route's port, in a network of
//!   the route's port, and can be reached from here; else the packet ends;
//! - lowers the TTL by one, and writes its port's MAC and the next hop's.
//!
//! A distributed router is on every host: the packet stays where it is. To a pinned one, and to a VM on another host, it crosses the underlay.
//! Who has never a bound port can send nothing.

use crate::generate::{Arp, Body, Frame, Ip, Says};
use crate::world::{Gate, Place, Port, Router, World};
use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv6Addr},
};
use tuplenet_model::{mac::Mac, name::Name};

/// A frame that a port gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    pub ls: String,
    pub lsp: String,
    pub chassis: String,
    pub frame: Frame,
    /// How often it crossed the underlay.
    pub crossings: u32,
}

/// A frame that goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub chassis: String,
    /// The switch or router that it was in.
    pub datapath: String,
    pub why: Why,
}

/// Why a frame goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// In a switch: for a bridge, not for a port.
    Reserved,
    /// For all, in a switch that does not flood.
    NoFlood,
    /// So is a question that is not answered.
    Unanswered(IpAddr),
    /// For all, and there is nobody else.
    NobodyElse,
    /// No port has the MAC.
    NoMac,
    /// The port that has it cannot be reached from here.
    Unreachable(String),
    /// It is for who sent it.
    Sender,
    /// A solicitation that came from afar.
    FromAfar,
    /// In a router: the frame has a tag.
    Tagged,
    NotIp,
    SourceIsNobody,
    ForRouter,
    DestinationIsNobody,
    NoHopLeft,
    ProtocolZero,
    NoRoute(IpAddr),
    NoNextHop(IpAddr),
}

/// What becomes of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub delivered: Vec<Delivery>,
    pub ended: Vec<End>,
}

impl Fate {
    fn end(&mut self, at: &At, datapath: &Name, why: Why) {
        self.ended.push(End { chassis: at.host.to_string(), datapath: datapath.to_string(), why });
    }
}

/// Where a packet is: on a host, and how often it crossed the underlay until there.
#[derive(Clone)]
struct At {
    host: Name,
    crossings: u32,
}

impl World {
    /// What becomes of that frame when that port sends it. `None`: the port is not in use.
    pub fn send(&self, ls: &str, lsp: &str, frame: &Frame) -> Option<Fate> {
        let Place::Vm(host) = &self.switches.get(ls)?.ports.get(lsp)?.place else { return None };
        let mut fate = Fate::default();
        self.switch(&At { host: host.clone(), crossings: 0 }, &name(ls), &name(lsp), frame, &mut fate);
        Some(fate)
    }

    fn switch(&self, at: &At, ls: &Name, from: &Name, frame: &Frame, fate: &mut Fate) {
        match self.answer(at, ls, from, frame) {
            Reply::Answer(answer) => self.deliver(at, ls, from, &answer, fate),
            Reply::FromAfar => fate.end(at, ls, Why::FromAfar),
            Reply::NotAsked if is_reserved(frame.dst) => fate.end(at, ls, Why::Reserved),
            Reply::NotAsked if frame.dst.is_multicast() => self.flood(at, ls, from, frame, fate),
            Reply::NotAsked => match self.switches[ls].ports.iter().find(|(_, port)| port.is.mac == Some(frame.dst)) {
                None => fate.end(at, ls, Why::NoMac),
                Some((to, _)) if to == from => fate.end(at, ls, Why::Sender),
                Some((to, _)) => self.deliver(at, ls, to, frame, fate),
            },
        }
    }

    /// What a switch answers itself.
    fn answer(&self, at: &At, ls: &Name, from: &Name, frame: &Frame) -> Reply {
        let Some(asked) = question(frame) else { return Reply::NotAsked };
        let ports = &self.switches[ls].ports;
        let Some(port) = ports.values().find(|port| port.is.ips.contains(&asked)) else { return Reply::NotAsked };
        let own = ports[from].is.ips.contains(&asked) && matches!(ports[from].place, Place::Vm(_));
        if own || self.reach(at, port).is_none() {
            return Reply::NotAsked;
        }
        let mac = port.is.mac_or_zero();
        match &frame.body {
            Body::Arp(arp) => {
                let arp = Arp { op: 2, sha: mac, spa: arp.tpa, tha: arp.sha, tpa: arp.spa };
                Reply::Answer(Frame { dst: frame.src, src: mac, vlan: None, body: Body::Arp(arp) })
            }
            Body::Ip(Ip { src, ttl: 255, says: Says::Solicit { target, source }, .. }) => {
                let (router, solicited, over) = (0x8000_0000, 0x4000_0000, 0x2000_0000);
                let from_nobody = src.is_unspecified();
                let flags =
                    over | if from_nobody { 0 } else { solicited } | if port.is.peer.is_some() { router } else { 0 };
                let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                // A question without an option leaves no room for one in the answer.
                let says = Says::Advertise { target: *target, flags, mac: source.map(|_| mac) };
                let ip = Ip {
                    src: IpAddr::V6(*target),
                    dst: if from_nobody { all_nodes.into() } else { *src },
                    ttl: 255,
                    says,
                };
                let dst = if from_nobody { Mac([0x33, 0x33, 0, 0, 0, 1]) } else { frame.src };
                Reply::Answer(Frame { dst, src: mac, vlan: None, body: Body::Ip(ip) })
            }
            _ => Reply::FromAfar,
        }
    }

    /// To all VMs of a switch, save who sent it.
    fn flood(&self, at: &At, ls: &Name, from: &Name, frame: &Frame, fate: &mut Fate) {
        let switch = &self.switches[ls];
        let others = switch.ports.iter().filter(|(name, port)| *name != from && matches!(port.place, Place::Vm(_)));
        let others: Vec<_> = others.filter(|(_, port)| self.reach(at, port).is_some()).collect();
        match question(frame) {
            _ if switch.flood && others.is_empty() => fate.end(at, ls, Why::NobodyElse),
            _ if switch.flood => others.iter().for_each(|(to, _)| self.deliver(at, ls, to, frame, fate)),
            Some(asked) => fate.end(at, ls, Why::Unanswered(asked)),
            None => fate.end(at, ls, Why::NoFlood),
        }
    }

    /// The host where a port is, seen from a host; `None` if it cannot be reached.
    fn reach(&self, at: &At, port: &Port) -> Option<At> {
        let there = match &port.place {
            Place::Vm(chassis) => Some(chassis),
            Place::Link { lr, .. } => self.routers[lr].pinned.as_ref(),
            Place::Nowhere => return None,
        };
        match there {
            Some(there) if *there != at.host => {
                self.tunnel(&at.host, there).then(|| At { host: there.clone(), crossings: at.crossings + 1 })
            }
            _ => Some(at.clone()),
        }
    }

    /// Whether a host can send to another.
    fn tunnel(&self, from: &Name, to: &Name) -> bool {
        let (Some(from), Some(to)) = (self.chassis.get(from), self.chassis.get(to)) else { return false };
        from.encaps.iter().any(|a| to.encaps.iter().any(|b| a.kind == b.kind))
    }

    fn deliver(&self, at: &At, ls: &Name, to: &Name, frame: &Frame, fate: &mut Fate) {
        let port = &self.switches[ls].ports[to];
        let Some(at) = self.reach(at, port) else { return fate.end(at, ls, Why::Unreachable(to.to_string())) };
        match &port.place {
            Place::Link { lr, .. } => self.router(&at, lr, frame, fate),
            _ => fate.delivered.push(Delivery {
                ls: ls.to_string(),
                lsp: to.to_string(),
                chassis: at.host.to_string(),
                frame: frame.clone(),
                crossings: at.crossings,
            }),
        }
    }

    fn router(&self, at: &At, lr: &Name, frame: &Frame, fate: &mut Fate) {
        if frame.vlan.is_some() {
            return fate.end(at, lr, Why::Tagged);
        }
        let Body::Ip(ip) = &frame.body else { return fate.end(at, lr, Why::NotIp) };
        let gates = self.routers[lr].ports.values();
        let for_us = gates.flat_map(|gate| &gate.is.nets).any(|net| net.addr() == ip.dst);
        match &ip.says {
            _ if is_nobody(ip.src) => fate.end(at, lr, Why::SourceIsNobody),
            Says::Ping(id) if for_us => {
                let reply = Ip { src: ip.dst, dst: ip.src, ttl: 255, says: Says::Pong(*id) };
                self.route(at, lr, frame, reply, fate);
            }
            _ if for_us => fate.end(at, lr, Why::ForRouter),
            _ if is_nobody(ip.dst) => fate.end(at, lr, Why::DestinationIsNobody),
            Says::Other(0) => fate.end(at, lr, Why::ProtocolZero),
            _ if ip.ttl < 2 => fate.end(at, lr, Why::NoHopLeft),
            _ => self.route(at, lr, frame, ip.clone(), fate),
        }
    }

    fn route(&self, at: &At, lr: &Name, frame: &Frame, mut ip: Ip, fate: &mut Fate) {
        let Some((gate, hop)) = best_route(&self.routers[lr], ip.dst) else {
            return fate.end(at, lr, Why::NoRoute(ip.dst));
        };
        let Some((ls, lsp)) = &gate.link else { return };
        let near = gate.is.nets.iter().any(|net| net.contains(&hop));
        let mut ports = self.switches[ls].ports.values();
        match ports.find(|port| near && port.is.ips.contains(&hop) && self.reach(at, port).is_some()) {
            None => fate.end(at, lr, Why::NoNextHop(hop)),
            Some(next) => {
                ip.ttl -= 1;
                let frame =
                    Frame { dst: next.is.mac_or_zero(), src: gate.is.mac, vlan: frame.vlan, body: Body::Ip(ip) };
                self.switch(at, ls, lsp, &frame, fate);
            }
        }
    }
}

/// The address that an ARP request or a neighbour solicitation asks for.
fn question(frame: &Frame) -> Option<IpAddr> {
    match &frame.body {
        _ if frame.vlan.is_some() => None,
        Body::Arp(Arp { op: 1, tpa, .. }) => Some(IpAddr::V4(*tpa)),
        Body::Ip(Ip { says: Says::Solicit { target, .. }, .. }) => Some(IpAddr::V6(*target)),
        _ => None,
    }
}

/// The port and the next hop.
pub fn best_route(router: &Router, dst: IpAddr) -> Option<(&Gate, IpAddr)> {
    let by_static = router.routes.iter().filter_map(|route| {
        let gate = router.ports.get(&route.outport)?;
        let near = gate.is.nets.iter().any(|net| net.contains(&route.next_hop));
        let own = gate.is.nets.iter().any(|net| net.addr() == route.next_hop);
        (near && !own).then_some((route.prefix, gate, route.next_hop))
    });
    let connected = router.ports.values().flat_map(|gate| gate.is.nets.iter().map(move |net| (*net, gate, dst)));
    let all = by_static.chain(connected).filter(|(net, gate, _)| gate.link.is_some() && net.contains(&dst));
    // The first of those with the longest prefix.
    all.min_by_key(|(net, ..)| Reverse(net.prefix_len())).map(|(_, gate, hop)| (gate, hop))
}

/// What a switch says to a frame.
enum Reply {
    /// It is no question that it can answer.
    NotAsked,
    /// It is one that comes from another network.
    FromAfar,
    Answer(Frame),
}

fn is_reserved(mac: Mac) -> bool {
    matches!(mac.0, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f])
}

fn is_nobody(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(ip) => matches!(ip.segments()[0], 0 | 0xfe80..=0xfebf | 0xff00..),
    }
}

fn name(s: &str) -> Name {
    s.parse().expect("the generator's names are names")
}
