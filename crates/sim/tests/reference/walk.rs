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
//! A switch with patch ports also
//! - gives what is for all, and what is for a MAC that no port has, to the physical network: by the patch port of the host where it is, or else of the designated
//!   one. Nothing that came from there goes back there, and nothing that has a tag goes there;
//! - takes from a patch port what has the VLAN of that, or no tag if it has none; nothing that has a MAC of a port as its source; and of what is for a port, or
//!   asks for one, only what is for those that its host speaks for: its own, and on the designated host those of hosts without a patch port;
//! - answers for the external addresses of routers that are linked to it: for those of a pinned router with the MAC of its port, for distributed ones with one of their own.
//!
//! A router
//! - takes no tagged frames, nothing but IP, and nothing from nobody's address (RFC 1812 section 5.3.7, RFC 4291 section 2.5): 0.0.0.0/8, 127.0.0.0/8,
//!   224.0.0.0/3, ::/16, fe80::/10, ff00::/8;
//! - answers an echo request to any of its addresses, whatever its TTL, with TTL 255, and routes the answer like any packet;
//! - forwards nothing else that is for itself or for nobody's address, nor with a TTL below 2, nor of protocol 0 (which also stands for packets that
//!   end within their headers);
//! - sends a packet by the route with the longest prefix; of equal ones by a static route before a connected network, of static ones by any, but all of one connection by the same; what comes from an address that
//!   edges among the next hops translate (`dnat`, `floating`) by one of those; and by none whose next hop is a VM of this host that is
//!   down, or nobody (in a switch without patch ports), unless all are. A route counts only while its port has a whole link. A static route counts only if its next hop is in a network of its port
//!   and not an address of that port;
//! - asks that the next hop (the destination itself, if it is connected) is the address of a port of the switch behind the route's port, in a network of
//!   the route's port, and can be reached from here; else the packet ends;
//! - lowers the TTL by one, and writes its port's MAC and the next hop's;
//! - knows as next hops also external addresses of other routers on that switch and, where its host has a patch port, neighbours that the host has learned of; asks there
//!   for others (the packet waits, and so ends here). If the router is everywhere, and its host has no patch port, the router of the designated host does so: it gets the packet as if it came from the switch;
//! - translates what comes and goes by its uplinks, its ports on switches with patch ports: see `translate`. What is for an external address of its own turns back
//!   there, once, as if it came from outside.
//!
//! A distributed router is on every host: the packet stays where it is. To a pinned one, and to a VM on another host, it crosses the underlay.
//! Who has never a bound port can send nothing.

use crate::{
    fate::{Delivery, End, Fate, Why},
    generate::{Arp, Body, Frame, Ip, Says},
    places::At,
    translate::{Becomes, Connections},
    world::{Gate, Place, Port, Router, World},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};
use tuplenet_model::{
    entity::{EncapKind, NatRule},
    mac::Mac,
    name::Name,
};

/// How a frame entered its switch.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Vm,
    Router,
    Patch,
}

/// What is not the same for each packet: what earlier ones began, and which of several equal ways is taken.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Of a router on a host.
    connections: BTreeMap<(Name, Name), Connections>,
    /// By what was to be chosen, how many ways there were and which was taken.
    choices: Vec<(String, usize, usize)>,
    /// Which was taken before: all of one connection go the same way.
    settled: BTreeMap<String, usize>,
}

impl State {
    /// For the packets after this one. `sure`: nothing else than these choices explains what was seen.
    pub fn later(self, sure: bool) -> State {
        let State { connections, choices, mut settled } = self;
        if sure {
            settled.extend(choices.into_iter().map(|(question, _, taken)| (question, taken)));
        }
        State { connections, choices: Vec::new(), settled }
    }
}

/// How many outcomes of one packet are looked at.
const OUTCOMES: usize = 64;
/// How many routers one packet passes: beyond, it goes in circles.
const CIRCLES: u32 = 260;

/// One packet on its way through a network.
struct Walk<'a> {
    world: &'a World,
    state: State,
    fate: Fate,
    routers: u32,
}

impl World {
    /// What becomes of that frame when that port sends it. `None`: the port is not in use.
    pub fn send(&self, ls: &str, lsp: &str, frame: &Frame) -> Option<Fate> {
        self.outcomes(&State::default(), ls, lsp, frame).map(|mut all| all.remove(0).0)
    }

    /// All that may become of it, each with what is known then; the last one is of no use if there are too many.
    pub fn outcomes(&self, before: &State, ls: &str, lsp: &str, frame: &Frame) -> Option<Vec<(Fate, State)>> {
        let (ls, lsp) = (name(ls), name(lsp));
        let (host, from) = match &self.switches.get(&ls)?.ports.get(&lsp)?.place {
            Place::Vm(host) => (host, From::Vm),
            Place::Patch(host) if self.exists(host) => (host, From::Patch),
            Place::Patch(_) | Place::Link { .. } | Place::Nowhere => return None,
        };
        let mut all = Vec::new();
        let mut choices: Vec<(String, usize, usize)> = Vec::new();
        loop {
            let state = State { choices, ..before.clone() };
            let mut walk = Walk { world: self, state, fate: Fate::default(), routers: 0 };
            walk.begin(&At { host: host.clone(), crossings: 0 }, &ls, &lsp, frame, from);
            walk.fate.unknown |= all.len() >= OUTCOMES || self.is_ambiguous();
            choices = walk.state.choices.clone();
            all.push((walk.fate, walk.state));
            // The last choice that had another way.
            while choices.last().is_some_and(|(_, ways, taken)| taken + 1 == *ways) {
                choices.pop();
            }
            match choices.last_mut() {
                Some((.., taken)) if all.len() <= OUTCOMES => *taken += 1,
                _ => return Some(all),
            }
        }
    }
}

impl<'a> Walk<'a> {
    fn end(&mut self, at: &At, datapath: &Name, why: Why) {
        self.fate.ended.push(End { chassis: at.host.to_string(), datapath: datapath.to_string(), why });
    }

    /// One of several ways; the same one for the same question.
    fn choose(&mut self, question: String, ways: usize) -> usize {
        if ways < 2 {
            return 0;
        }
        if let Some((_, _, taken)) = self.state.choices.iter().find(|(asked, ..)| *asked == question) {
            return *taken;
        }
        if let Some(taken) = self.state.settled.get(&question) {
            return *taken;
        }
        self.state.choices.push((question, ways, 0));
        0
    }

    fn begin(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From) {
        let mut frame = frame.clone();
        if how == From::Patch {
            let vlan = self.world.switches[ls].ports[from].is.patch.as_ref().and_then(|patch| patch.vlan);
            if frame.vlan != vlan {
                self.fate.ended.push(End {
                    chassis: at.host.to_string(),
                    datapath: String::new(),
                    why: Why::OtherVlan,
                });
                return;
            }
            frame.vlan = None;
            let located = |port: &Port| self.world.reach(at, port).is_some();
            let own = |port: &Port| port.is.mac == Some(frame.src) && located(port);
            let floats = self.world.floats(at, ls).iter().any(|(_, mac, ..)| *mac == frame.src);
            if floats || self.world.switches[ls].ports.values().any(own) {
                return self.end(at, ls, Why::Own);
            }
        }
        self.switch(at, ls, from, &frame, how);
    }

    fn switch(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From) {
        match self.answer(at, ls, from, frame, how) {
            Reply::Answer(answer) => return self.deliver(at, ls, from, &answer),
            Reply::FromAfar => return self.end(at, ls, Why::FromAfar),
            Reply::Elsewhere => return self.end(at, ls, Why::Elsewhere),
            Reply::NotAsked => {}
        }
        if is_reserved(frame.dst) {
            return self.end(at, ls, Why::Reserved);
        }
        let world = self.world;
        let port = world.switches[ls].ports.iter().find(|(_, port)| port.is.mac == Some(frame.dst));
        match port {
            // From its own router: to that of the host which can ask outside.
            Some((to, _)) if to == from && how == From::Router => match self.relay(at, ls, to) {
                Some(there) => self.deliver(&there, ls, to, frame),
                None => self.end(at, ls, Why::Sender),
            },
            Some((_, port))
                if how == From::Patch && world.reach(at, port).is_some() && !world.speaks(&at.host, ls, port) =>
            {
                self.end(at, ls, Why::Elsewhere)
            }
            Some((to, _)) if to == from => self.end(at, ls, Why::Sender),
            Some((to, port)) if world.reach(at, port).is_some() => self.deliver(at, ls, to, frame),
            _ => {
                let floats = world.floats(at, ls);
                if let Some((_, _, there, lr, lrp)) = floats.into_iter().find(|(_, mac, ..)| *mac == frame.dst) {
                    if how == From::Patch && !world.speaks_for(&at.host, ls, &there.host) {
                        return self.end(at, ls, Why::Elsewhere);
                    }
                    return self.router(&there, lr, lrp, frame);
                }
                let nobody = match port {
                    Some((to, _)) => Why::Unreachable(to.to_string()),
                    None => Why::NoMac,
                };
                self.unknown(at, ls, from, frame, how, nobody);
            }
        }
    }

    /// For all, or for a MAC that nobody has who can be reached.
    fn unknown(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From, nobody: Why) {
        let world = self.world;
        let switch = &world.switches[ls];
        // The router is on all hosts, its MAC is at one port of the physical network.
        let everywhere = match &switch.ports[from].place {
            Place::Link { lr, .. } => {
                world.routers[lr].pinned.is_none() && switch.ports[from].is.mac == Some(frame.src)
            }
            _ => false,
        };
        let there = world.designated(ls).and_then(|there| Some((world.go(at, there)?, switch.patch(there)?.0.clone())));
        let out = match how {
            From::Patch => None,
            From::Router if everywhere => there.or_else(|| world.way_out(at, ls)),
            From::Router | From::Vm => world.way_out(at, ls),
        };
        let for_all = frame.dst.is_multicast();
        if for_all && switch.flood {
            return self.flood(at, ls, from, frame, how, out);
        }
        match out {
            Some((there, lsp)) => self.leave(&there, ls, &lsp, frame),
            None if !for_all => self.end(at, ls, nobody),
            None => match question(frame) {
                Some(asked) => self.end(at, ls, Why::Unanswered(asked)),
                None => self.end(at, ls, Why::NoFlood),
            },
        }
    }

    /// To all VMs of a switch, save who sent it, and outside.
    fn flood(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From, out: Option<(At, Name)>) {
        let world = self.world;
        let switch = &world.switches[ls];
        let others = switch.ports.iter().filter(|(name, port)| *name != from && matches!(port.place, Place::Vm(_)));
        let others = others.filter(|(_, port)| world.reach(at, port).is_some());
        let others: Vec<&Name> = others
            .filter(|(_, port)| how != From::Patch || world.speaks(&at.host, ls, port))
            .map(|(name, _)| name)
            .collect();
        // Of a MAC that nobody told of, copies by such a tunnel do not say who took them out.
        let known = switch.ports.values().any(|port| port.is.mac == Some(frame.src));
        if !known && world.designated(ls).is_some_and(|there| world.tunnel(&at.host, there) != Some(EncapKind::Geneve))
        {
            self.fate.unknown = true;
        }
        if others.is_empty() && out.is_none() {
            return self.end(at, ls, Why::NobodyElse);
        }
        for to in others {
            self.deliver(at, ls, to, frame);
        }
        if let Some((there, lsp)) = out {
            self.leave(&there, ls, &lsp, frame);
        }
    }

    /// Out of a patch port of the host where it is.
    fn leave(&mut self, at: &At, ls: &Name, lsp: &Name, frame: &Frame) {
        if frame.vlan.is_some() {
            return self.end(at, ls, Why::TaggedOut);
        }
        self.deliver(at, ls, lsp, frame);
    }

    /// What a switch answers itself.
    fn answer(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From) -> Reply {
        let world = self.world;
        let Some(asked) = question(frame) else { return Reply::NotAsked };
        let ports = &world.switches[ls].ports;
        if ports[from].is.ips.contains(&asked) && how == From::Vm {
            return Reply::NotAsked;
        }
        let port = ports.values().find(|port| port.is.ips.contains(&asked) && world.reach(at, port).is_some());
        let (mac, router, speaks) = match port {
            Some(port) => (port.is.mac_or_zero(), port.is.peer.is_some(), world.speaks(&at.host, ls, port)),
            None => {
                let central = world.externals(at, ls).into_iter().find(|(ip, ..)| *ip == asked);
                let central =
                    central.map(|(_, _, port)| (port.is.mac_or_zero(), true, world.speaks(&at.host, ls, port)));
                let floats = world.floats(at, ls).into_iter().find(|(ip, ..)| *ip == asked);
                let floats = floats.map(|(_, mac, there, ..)| (mac, true, world.speaks_for(&at.host, ls, &there.host)));
                match central.or(floats) {
                    Some(known) => known,
                    None => return Reply::NotAsked,
                }
            }
        };
        if how == From::Patch && !speaks {
            return Reply::Elsewhere;
        }
        match &frame.body {
            Body::Arp(arp) => {
                let arp = Arp { op: 2, sha: mac, spa: arp.tpa, tha: arp.sha, tpa: arp.spa };
                Reply::Answer(Frame { dst: frame.src, src: mac, vlan: None, body: Body::Arp(arp) })
            }
            Body::Ip(Ip { src, ttl: 255, says: Says::Solicit { target, source }, .. }) => {
                let (from_router, solicited, over) = (0x8000_0000, 0x4000_0000, 0x2000_0000);
                let from_nobody = src.is_unspecified();
                let flags = over | if from_nobody { 0 } else { solicited } | if router { from_router } else { 0 };
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

    fn deliver(&mut self, at: &At, ls: &Name, to: &Name, frame: &Frame) {
        let world = self.world;
        let port = &world.switches[ls].ports[to];
        let Some(at) = world.reach(at, port) else { return self.end(at, ls, Why::Unreachable(to.to_string())) };
        if let Place::Link { lr, lrp } = &port.place {
            return self.router(&at, lr, lrp, frame);
        }
        // By a patch port it gets the tag of that.
        let vlan = port.is.patch.as_ref().map_or(frame.vlan, |patch| patch.vlan);
        self.fate.delivered.push(Delivery {
            ls: ls.to_string(),
            lsp: to.to_string(),
            chassis: at.host.to_string(),
            frame: Frame { vlan, ..frame.clone() },
            crossings: at.crossings,
        });
    }

    fn router(&mut self, at: &At, lr: &Name, lrp: &Name, frame: &Frame) {
        if frame.vlan.is_some() {
            return self.end(at, lr, Why::Tagged);
        }
        match &frame.body {
            Body::Ip(ip) => self.routed(at, lr, lrp, ip.clone(), false),
            _ => self.end(at, lr, Why::NotIp),
        }
    }

    /// A packet that entered a router by a port. `turned`: at that port, which it had been about to leave by.
    fn routed(&mut self, at: &At, lr: &Name, lrp: &Name, ip: Ip, turned: bool) {
        self.routers += 1;
        if self.routers > CIRCLES {
            self.fate.unknown = true;
            return;
        }
        let router = &self.world.routers[lr];
        let for_us = router.ports.values().flat_map(|gate| &gate.is.nets).any(|net| net.addr() == ip.dst);
        let rules = self.world.rules(&at.host, lr);
        let external = self.uplink_external(&rules, router, ip.dst);
        match &ip.says {
            _ if is_nobody(ip.src) => return self.end(at, lr, Why::SourceIsNobody),
            Says::Ping(id) if for_us => {
                let reply = Ip { src: ip.dst, dst: ip.src, ttl: 255, says: Says::Pong(*id) };
                return self.route(at, lr, reply, turned);
            }
            _ if for_us && external => {}
            _ if for_us => return self.end(at, lr, Why::ForRouter),
            _ if is_nobody(ip.dst) => return self.end(at, lr, Why::DestinationIsNobody),
            Says::Other(0) => return self.end(at, lr, Why::ProtocolZero),
            _ if ip.ttl < 2 => return self.end(at, lr, Why::NoHopLeft),
            _ => {}
        }
        if !self.world.is_uplink(&router.ports[lrp]) {
            return self.route(at, lr, ip, turned);
        }
        match self.connections(at, lr).enter(&rules, &ip) {
            Becomes::Goes(ip) | Becomes::Returns(ip) => self.route(at, lr, ip, turned),
            Becomes::Ends => self.end(at, lr, Why::Untranslated),
            Becomes::Unknown => self.fate.unknown = true,
        }
    }

    /// Whether an address is both the router's own, at an uplink, and one that its rules give.
    fn uplink_external(&self, rules: &[NatRule], router: &Router, ip: IpAddr) -> bool {
        let own = |gate: &Gate| self.world.is_uplink(gate) && gate.is.nets.iter().any(|net| net.addr() == ip);
        rules.iter().any(|rule| rule.external() == ip) && router.ports.values().any(own)
    }

    fn connections(&mut self, at: &At, lr: &Name) -> &mut Connections {
        self.state.connections.entry((at.host.clone(), lr.clone())).or_default()
    }

    fn route(&mut self, at: &At, lr: &Name, mut ip: Ip, turned: bool) {
        let world = self.world;
        let router = &world.routers[lr];
        let ways = world.ways(&at.host, router, ip.src, ip.dst);
        let question = format!("{lr}: {} > {}, {:?}", ip.src, ip.dst, kind(&ip));
        let taken = self.choose(question, ways.len());
        let Some((lrp, gate, hop)) = ways.get(taken).copied() else {
            return self.end(at, lr, Why::NoRoute(ip.dst));
        };
        if ip.ttl < 2 {
            return self.end(at, lr, Why::NoHopLeft);
        }
        ip.ttl -= 1;
        let hop = hop.unwrap_or(ip.dst);
        let rules = world.rules(&at.host, lr);
        if world.is_uplink(gate) {
            let own: Vec<IpAddr> = gate.is.nets.iter().map(|net| net.addr()).collect();
            // Its connections are known where the VM is.
            let away = |rule: &&NatRule| {
                world.home(lr, rule).is_some_and(|home| *home != at.host && world.go(at, home).is_some())
            };
            if router.pinned.is_none() && router.rules.iter().filter(away).any(|rule| rule.inner().addr() == ip.src) {
                return self.end(at, lr, Why::Untranslated);
            }
            let before = (ip.src, ip.dst);
            match self.connections(at, lr).out(&rules, &own, &ip) {
                Becomes::Goes(now) => ip = now,
                Becomes::Returns(ip) => return self.route(at, lr, ip, true),
                Becomes::Ends => return self.end(at, lr, Why::Untranslated),
                Becomes::Unknown => {
                    self.fate.unknown = true;
                    return;
                }
            }
            self.fate.translated += u32::from(before != (ip.src, ip.dst));
            if !turned && rules.iter().any(|rule| rule.external() == ip.dst) {
                return self.routed(at, lr, lrp, ip, true);
            }
        }
        self.send_on(at, lr, gate, hop, ip);
    }

    /// Into the switch, to the next hop.
    fn send_on(&mut self, at: &At, lr: &Name, gate: &Gate, hop: IpAddr, ip: Ip) {
        let world = self.world;
        let Some((ls, lsp)) = &gate.link else { return };
        let router = &world.routers[lr];
        let near = |ip: &IpAddr| gate.is.nets.iter().any(|net| net.contains(ip));
        let switch = &world.switches[ls];
        let mut ports = switch.ports.values();
        let rules = world.rules(&at.host, lr);
        let floats = world.floats(at, ls);
        let float_of = |ip: IpAddr| floats.iter().find(|(external, ..)| *external == ip);
        let src = match float_of(ip.src).filter(|(.., there, of, _)| *of == lr && there.host == at.host) {
            Some((_, mac, ..)) if rules.iter().any(|rule| rule.external() == ip.src) => *mac,
            _ => gate.is.mac,
        };
        let far =
            float_of(ip.dst).filter(|(.., there, of, _)| *of == lr && there.host != at.host).map(|(_, mac, ..)| *mac);
        let port = ports.find(|port| near(&hop) && port.is.ips.contains(&hop) && world.reach(at, port).is_some());
        let of_others = || {
            let central = world.externals(at, ls).into_iter().map(|(ip, of, port)| (ip, of, port.is.mac_or_zero()));
            let spread = floats.iter().map(|(ip, mac, _, of, _)| (*ip, *of, *mac));
            let mut all =
                central.chain(spread).filter(|(external, of, _)| *external == hop && *of != lr && near(external));
            all.next().map(|(.., mac)| mac)
        };
        let learned = || {
            switch.patch(&at.host)?;
            world.neighbours.get(&(at.host.clone(), ls.clone(), hop)).copied()
        };
        let dst = far.or_else(|| port.map(|port| port.is.mac_or_zero())).or_else(of_others).or_else(learned);
        let dst = match dst {
            Some(mac) => mac,
            None if switch.patch(&at.host).is_some() => return self.end(at, lr, Why::Asked(hop)),
            None if router.pinned.is_none() && self.relay(at, ls, lsp).is_some() => gate.is.mac,
            None => return self.end(at, lr, Why::NoNextHop(hop)),
        };
        self.switch(at, ls, lsp, &Frame { dst, src, vlan: None, body: Body::Ip(ip) }, From::Router);
    }

    /// The host whose part of a router, that is everywhere and on this switch, can ask outside for those of a host that cannot.
    fn relay(&self, at: &At, ls: &Name, lsp: &Name) -> Option<At> {
        let Place::Link { lr, .. } = &self.world.switches[ls].ports[lsp].place else { return None };
        if self.world.routers[lr].pinned.is_some() || self.world.switches[ls].patch(&at.host).is_some() {
            return None;
        }
        self.world.go(at, self.world.designated(ls)?).filter(|there| there.host != at.host)
    }
}

/// What tells one connection from another, for the choice among equal ways: ports, of what is whole.
fn kind(ip: &Ip) -> (u8, Option<crate::generate::Ports>) {
    match &ip.says {
        Says::Tcp(ports, _) => (6, Some(*ports)),
        Says::Udp(ports) => (17, Some(*ports)),
        Says::Sctp(ports) => (132, Some(*ports)),
        Says::Other(number) | Says::Fragment(number) => (*number, None),
        _ => (1, None),
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

/// What a switch says to a frame.
enum Reply {
    /// It is no question that it can answer.
    NotAsked,
    /// It is one that comes from another network.
    FromAfar,
    /// It comes from a physical network, and another host answers it.
    Elsewhere,
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
