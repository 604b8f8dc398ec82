//! Why a packet ended in a router, or in its NAT.

use super::{
    absent::absent,
    case::{Case, address},
};
use crate::{
    packet::{Slot, TAGGED},
    path::Kind,
};
use std::net::IpAddr;
use tuplenet_model::{key::Key, mtu, object::Object};
use tuplenet_openflow::field;
use tuplenet_rules::{cookie::Rule, register, stage};

impl Case<'_> {
    pub(super) fn no_route(&self) -> String {
        let Some(to) = self.destination() else {
            let kind = self.packet.slot(Slot::EthType);
            return format!("{} routes IP packets only, this is one of Ethertype {kind:#06x}", self.here());
        };
        let Some((Kind::Lr, lr)) = self.datapath else { return format!("no route to {to}") };
        // One that would serve, were it in force.
        let idle = self.names.objects().find_map(|(key, object)| match (key, object) {
            (Key::Lsr(of, name), Object::Lsr(route)) if of == lr && route.prefix.contains(&to) => {
                Some((key, name, route))
            }
            _ => None,
        });
        let Some((key, name, route)) = idle else { return format!("no route to {to}") };
        let key = key.to_string();
        let why = self.host.and_then(|host| host.engine().rejected().find(|reject| reject.key == key));
        match why {
            Some(reject) => format!("no route to {to}: route {name} is set aside: {}", reject.reason),
            None => format!(
                "no route to {to}: route {name} is not in force, its port {} is linked to no switch here",
                route.outport
            ),
        }
    }

    pub(super) fn no_next_hop(&self) -> String {
        let next = self.next_hop();
        let what = if self.destination() == Some(next) { next.to_string() } else { format!("the next hop {next}") };
        let port = self.port(register::DST_PORT);
        let peer = self.datapath.and_then(|(_, lr)| self.names.router_port(lr, &port.parse().ok()?)?.peer.clone());
        let Some(peer) = peer else { return format!("{what} is behind {port}, which is linked to no switch") };
        match self.find(&peer.ls, |port| port.ips.contains(&next)) {
            Some(lsp) => {
                format!("{what}: {}", absent(self.names, self.host, self.chassis, &peer.ls, lsp))
            }
            None => format!("{what} is nobody's address on {}", peer.ls),
        }
    }

    /// The agent keeps it until it knows who has the next hop.
    pub(super) fn asked(&self) -> String {
        format!(
            "{} is not known as a neighbour outside: the agent of {} keeps the packet, asks by ARP or neighbour discovery, and sends it on when somebody answers",
            self.next_hop(),
            self.chassis
        )
    }

    /// A NAT rule is for it, and nothing translated it.
    pub(super) fn untranslated(&self, rule: Rule) -> String {
        let (here, from) = (self.here(), address(self.packet, field::IPV4_SRC, field::IPV6_SRC));
        let who = if rule == Rule::Snat { from } else { self.destination() };
        let who = who.map_or_else(String::new, |ip| ip.to_string());
        let error = self.is_error();
        match rule {
            Rule::Unsnat => format!(
                "it comes for {who}, by which inner addresses of {here} go outside, but is the answer to none of their connections"
            ),
            _ if error => format!(
                "it is an ICMP error about a connection of {who} that conntrack does not know on {}",
                self.chassis
            ),
            _ => format!(
                "conntrack on {} could not translate {who}: it belongs to no connection and begins none, or there is no room or port left",
                self.chassis
            ),
        }
    }

    pub(super) fn spent(&self) -> String {
        match self.destination() {
            Some(IpAddr::V6(_)) => "its hop limit is spent".to_owned(),
            _ => "its TTL is spent".to_owned(),
        }
    }

    /// `own`: by a flow about an address of the router, not by one that holds for all.
    pub(super) fn router_drop(&self, own: bool) -> String {
        let here = self.here();
        let source = address(self.packet, field::IPV4_SRC, field::IPV6_SRC);
        if self.table == stage::LRP_INGRESS_PKT_RESPONSE.table {
            return match source {
                _ if self.packet.slot(Slot::Vlan) & TAGGED != 0 => {
                    "it has a VLAN tag, and no router takes tagged frames".to_owned()
                }
                Some(ip) => format!("its source {ip} is nobody's address: {here} forwards nothing from there"),
                None => format!("{here} takes nothing of the kind"),
            };
        }
        let Some(to) = self.destination() else { return format!("{here} takes nothing of the kind") };
        if own {
            return format!("{to} is an address of {here} itself, which answers nothing but echo requests (ping)");
        }
        let kind = match to {
            ip if ip.is_multicast() => Some("a multicast address"),
            ip if ip.is_loopback() => Some("a loopback address"),
            IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("nobody's address"),
            IpAddr::V4(ip) if ip.octets()[0] >= 240 => Some("a broadcast or reserved address"),
            IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => Some("a link-local address"),
            IpAddr::V6(ip) if ip.segments()[0] == 0 => Some("nobody's address"),
            _ => None,
        };
        match kind {
            Some(kind) => format!("{to} is {kind}, which {here} does not route"),
            None if self.packet.number(field::IP_PROTO) == Some(0) => {
                "its protocol is 0: Open vSwitch would not count down its TTL".to_owned()
            }
            None => self.spent(),
        }
    }

    /// A router ends it, and the agent tells its sender, unless it is an error itself.
    pub(super) fn told(&self, itself: bool) -> String {
        let why = match self.table {
            t if t == stage::LRP_INGRESS_IP_ROUTE.table => self.no_route(),
            t if t == stage::LRP_EGRESS_UPDATE_ETH_DST.table => self.no_next_hop(),
            _ => self.router_drop(itself),
        };
        // Nor is the router itself.
        let own = address(self.packet, field::IPV4_SRC, field::IPV6_SRC).is_some_and(|ip| self.owns(ip));
        if self.is_error() || own { why } else { format!("{why}; {} tells the sender", self.here()) }
    }

    /// It is longer than packets may be where its router sends it.
    pub(super) fn too_big(&self) -> String {
        let most = self.packet.number(register::MTU).unwrap_or(0) as u32 & !register::TOO_BIG;
        let length = self.packet.length().saturating_sub(mtu::ETHERNET as usize);
        let out = self.port(register::DST_PORT);
        let why = format!("packet too big: {length} > {most} bytes, which is what {out} may send");
        let own = address(self.packet, field::IPV4_SRC, field::IPV6_SRC).is_some_and(|ip| self.owns(ip));
        if own {
            format!("{why}; it is of {} itself, whose agent sends it on as it is", self.here())
        } else if self.packet.may_be_cut() {
            format!("{why}; it may be cut, and the agent on {} sends on its pieces", self.chassis)
        } else if self.is_error() {
            why
        } else {
            format!("{why}; {} tells the sender", self.here())
        }
    }

    /// Whether the router that the packet is in has an address.
    pub(super) fn owns(&self, ip: IpAddr) -> bool {
        let Some((Kind::Lr, lr)) = self.datapath else { return false };
        self.names.objects().any(|(key, object)| match (key, object) {
            (Key::Lrp(of, _), Object::Lrp(port)) => of == lr && port.nets.iter().any(|net| net.addr() == ip),
            _ => false,
        })
    }
}
