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

use super::{CIRCLES, From, Walk};
use crate::{
    fate::Why,
    generate::{Body, Frame, Ip, Says},
    places::At,
    translate::{Becomes, Connections},
    world::{Gate, Place, Router},
};
use std::net::IpAddr;
use tuplenet_model::{entity::NatRule, name::Name};

impl Walk<'_> {
    pub(super) fn router(&mut self, at: &At, lr: &Name, lrp: &Name, frame: &Frame) {
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

    pub(super) fn connections(&mut self, at: &At, lr: &Name) -> &mut Connections {
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
    pub(super) fn relay(&self, at: &At, ls: &Name, lsp: &Name) -> Option<At> {
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

fn is_nobody(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(ip) => matches!(ip.segments()[0], 0 | 0xfe80..=0xfebf | 0xff00..),
    }
}
