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

use super::{From, Walk};
use crate::{
    fate::{Delivery, End, Why},
    generate::{Arp, Body, Frame, Ip, Says},
    places::At,
    world::{Place, Port},
};
use std::net::{IpAddr, Ipv6Addr};
use tuplenet_model::{entity::EncapKind, mac::Mac, name::Name};

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

impl Walk<'_> {
    pub(super) fn begin(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From) {
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

    pub(super) fn switch(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From) {
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
    pub(super) fn unknown(&mut self, at: &At, ls: &Name, from: &Name, frame: &Frame, how: From, nobody: Why) {
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

fn is_reserved(mac: Mac) -> bool {
    matches!(mac.0, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f])
}
