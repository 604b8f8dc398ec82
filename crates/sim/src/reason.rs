//! Why a packet ended, in words: from the stage, the rule of the flow that it met last, and the packet as it was.
//!
//! Every rule and every stage that can end a packet has its words here: rules by a `match` without a default, stages by a test.

mod absent;

use crate::{
    names::Names,
    network::Host,
    packet::{Packet, Slot, TAGGED},
    path::{Kind, Outcome},
    switch::{Abort, Run, Step},
};
use absent::absent;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::{entity::SwitchPort, key::Key, mac::Mac, mtu, name::Name, object::Object};
use tuplenet_openflow::field;
use tuplenet_rules::{
    cookie::{Cookie, Rule},
    register,
    stage::{self, Stage},
};

/// How a copy of a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// In a table, whose flow did nothing with it, or which had none.
    Leaf { step: usize },
    /// It would have left by the port that it came from.
    Refused { step: Option<usize>, port: u32 },
    /// It went to the agent, for this `OFPR_*`.
    Controller { step: Option<usize>, reason: u8 },
    /// The switch gave it up.
    Abort { step: Option<usize>, abort: Abort },
}

/// `OFPR_INVALID_TTL`.
const INVALID_TTL: u8 = 2;

impl Ended {
    fn step(self) -> Option<usize> {
        match self {
            Ended::Leaf { step } => Some(step),
            Ended::Refused { step, .. } | Ended::Controller { step, .. } | Ended::Abort { step, .. } => step,
        }
    }

    /// A copy of a flood that is one too many by design: back to its sender, or on to a host that has its own.
    pub fn own_copy(self, run: &Run) -> bool {
        let Ended::Leaf { step } = self else { return false };
        let Some(end) = run.steps.get(step) else { return false };
        match rule(end) {
            Some(Rule::Flood) => end.table == stage::LSP_TRACE_INGRESS_OUT.table,
            Some(Rule::PatchElsewhere) => {
                [stage::LSP_TRACE_INGRESS_OUT.table, stage::LSP_EGRESS_JUDGE_LOOPBACK.table].contains(&end.table)
            }
            Some(Rule::Loopback) => {
                let mut at = end.parent;
                while let Some(step) = at.and_then(|at| run.steps.get(at)) {
                    if rule(step) == Some(Rule::Flood) {
                        return true;
                    }
                    at = step.parent;
                }
                false
            }
            _ => false,
        }
    }
}

fn rule(step: &Step) -> Option<Rule> {
    step.flow.and_then(|(_, cookie)| Cookie::decode(cookie)).map(|cookie| cookie.rule)
}

/// Whether its flow is about an object, not one of those that hold for all.
fn about_object(step: &Step) -> bool {
    step.flow.and_then(|(_, cookie)| Cookie::decode(cookie)).is_some_and(|cookie| cookie.datapath != 0)
}

/// All that words are made of.
struct Case<'a> {
    names: &'a Names,
    host: Option<&'a Host>,
    chassis: &'a Name,
    packet: &'a Packet,
    table: u8,
    datapath: Option<(Kind, &'a Name)>,
}

/// What became of a copy that ended. `None`: it did not end, but did all that it was for.
pub(crate) fn dropped(names: &Names, host: Option<&Host>, chassis: &Name, run: &Run, ended: &Ended) -> Option<Outcome> {
    let outcome = |datapath: Option<(Kind, &Name)>, stage: &'static str, reason: String| Outcome::Dropped {
        chassis: chassis.to_string(),
        datapath: datapath.map(|(_, name)| name.to_string()),
        stage,
        reason,
    };
    let Some(step) = ended.step().and_then(|step| run.steps.get(step)) else {
        return Some(outcome(None, stage::PHYSICAL_IN.name, "it met no flow at all".to_owned()));
    };
    let datapath = names.datapath(step.packet.number(register::DATAPATH).unwrap_or(0) as u32);
    let name = stage_of(step.table).map_or("UNKNOWN", |stage| stage.name);
    let case = Case { names, host, chassis, packet: &step.packet, table: step.table, datapath };
    let reason = match *ended {
        Ended::Abort { abort, .. } => format!("the switch gave it up: {abort}"),
        Ended::Refused { port, .. } => {
            format!("it would leave by the port that it came from ({port}), which a switch does not do")
        }
        Ended::Controller { reason: INVALID_TTL, .. } => case.spent(),
        Ended::Controller { .. } if rule(step) == Some(Rule::NeighbourAsk) => case.asked(),
        Ended::Controller { .. } if rule(step) == Some(Rule::IcmpError) => case.told(about_object(step)),
        Ended::Controller { .. } if rule(step) == Some(Rule::TooBig) => case.too_big(),
        Ended::Controller { .. } if rule(step) == Some(Rule::ProbeAnswer) => {
            "it answers a probe of the agent (its option --probe)".to_owned()
        }
        Ended::Controller { .. } => "it was handed to the agent".to_owned(),
        Ended::Leaf { .. } => match step.flow {
            None => case.missed().unwrap_or_else(|| format!("no flow of table {} takes it", step.table)),
            Some((_, cookie)) => match Cookie::decode(cookie) {
                Some(cookie) => case.by_rule(cookie),
                None => format!("a flow of other software ended it (table {}, cookie {cookie:#x})", step.table),
            },
        },
    };
    Some(outcome(datapath, name, reason))
}

fn stage_of(table: u8) -> Option<&'static Stage> {
    stage::ALL.iter().find(|stage| stage.table == table)
}

impl Case<'_> {
    /// By the rule of the flow that ended it. No default: a new rule must come with its words.
    fn by_rule(&self, cookie: Cookie) -> String {
        match cookie.rule {
            Rule::Drop => self.missed().unwrap_or_else(|| "nothing here knows what to do with it".to_owned()),
            Rule::Loopback => {
                let port = self.port(register::SRC_PORT);
                format!("{port} is where it came from, and a switch returns nothing to its sender")
            }
            Rule::RouterDrop => self.router_drop(cookie.datapath != 0),
            Rule::Flood => self.flood(),
            Rule::RedirectIn => format!(
                "a host that could not reach its chassis sent it to {} instead, where nobody knows whom it is for",
                self.chassis
            ),
            Rule::PatchOwn => {
                let source = mac(self.packet.slot(Slot::EthSrc));
                format!(
                    "its source {source} is a port of {} itself: the frame went out by a patch port and came back",
                    self.here()
                )
            }
            Rule::PatchElsewhere => self.patch_elsewhere(),
            Rule::Unsnat | Rule::Dnat | Rule::Snat => self.untranslated(cookie.rule),
            Rule::FloatingOut => format!(
                "its source has a floating address of {} that is translated on the host of its VM only: it came here by another router, and nobody knows its connections on {}",
                self.here(),
                self.chassis
            ),
            Rule::UntunnelIn => format!(
                "it comes from the IP stack of {} itself, which takes packets and has none to give",
                self.chassis
            ),
            // These say where a packet goes on, and end none.
            Rule::Pipeline
            | Rule::LocalPort
            | Rule::TunnelIn
            | Rule::Arp
            | Rule::Nd
            | Rule::OwnAddress
            | Rule::NeighbourReply
            | Rule::L2
            | Rule::TunnelOut
            | Rule::Pushout
            | Rule::ToRouter
            | Rule::ToSwitch
            | Rule::Echo
            | Rule::Connected
            | Rule::Static
            | Rule::Ecmp
            | Rule::Redirect
            | Rule::EcmpMember
            | Rule::EcmpHome
            | Rule::NextHop
            | Rule::PatchIn
            | Rule::PatchOut
            | Rule::PatchUnknown
            | Rule::Undnat
            | Rule::FloatingIn
            | Rule::Neighbour
            | Rule::NeighbourLearn
            | Rule::NeighbourAsk
            | Rule::IcmpError
            | Rule::TooBig
            | Rule::Mtu
            | Rule::ProbeAnswer
            | Rule::Untunnel
            | Rule::Trace => {
                format!("a flow of rule \"{}\" ended it, which such flows never should", cookie.rule.name())
            }
        }
    }

    /// Another chassis does at a patch port what this one leaves.
    fn patch_elsewhere(&self) -> String {
        let t = self.table;
        if t == stage::LSP_EGRESS_JUDGE_LOOPBACK.table {
            format!(
                "it went out by the patch port of the host that sent it, so it does not by {}",
                self.port(register::DST_PORT)
            )
        } else if t == stage::LSP_TRACE_INGRESS_OUT.table {
            "it came in by a patch port, and the other hosts have it by theirs".to_owned()
        } else {
            format!(
                "it came in by a patch port, and another host takes it in: {} does not speak for that address there",
                self.chassis
            )
        }
    }

    /// A NAT rule is for it, and nothing translated it.
    fn untranslated(&self, rule: Rule) -> String {
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

    /// A router ends it, and the agent tells its sender, unless it is an error itself.
    fn told(&self, itself: bool) -> String {
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
    fn too_big(&self) -> String {
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

    fn is_error(&self) -> bool {
        match (self.packet.number(field::ICMPV4_TYPE), self.packet.number(field::ICMPV6_TYPE)) {
            (Some(kind), _) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (None, kind) => kind.is_some_and(|kind| kind < 128),
        }
    }

    /// A stage had nothing for it. `None`: such a stage lets pass what it does not know.
    fn missed(&self) -> Option<String> {
        let t = self.table;
        let is = |stage: Stage| stage.table == t;
        if is(stage::PHYSICAL_IN) {
            Some(self.entry())
        } else if is(stage::LSP_INGRESS_NEIGHBOUR_REPLY) {
            let ttl = self.packet.number(field::NW_TTL).unwrap_or(0);
            Some(format!(
                "the neighbour solicitation has hop limit {ttl}: a router forwarded it, so nobody answers (RFC 4861 section 7.1.1 wants 255)"
            ))
        } else if is(stage::LSP_INGRESS_ND_OPTION) {
            Some("the neighbour advertisement has no place for a link-layer address".to_owned())
        } else if is(stage::LSP_INGRESS_LOOKUP_DST_PORT) {
            Some(self.no_such_mac())
        } else if is(stage::LSP_EGRESS_PUSHOUT) {
            Some(self.not_here())
        } else if is(stage::LRP_INGRESS_IP_ROUTE) {
            Some(self.no_route())
        } else if is(stage::LRP_EGRESS_UPDATE_ETH_DST) {
            Some(self.no_next_hop())
        } else if is(stage::LRP_EGRESS_TO_SWITCH) {
            Some(format!("{} is linked to no switch", self.port(register::DST_PORT)))
        } else {
            None
        }
    }

    /// The datapath's name.
    fn here(&self) -> String {
        self.datapath.map_or_else(|| "no datapath".to_owned(), |(_, name)| name.to_string())
    }

    fn switch(&self) -> Option<&Name> {
        self.datapath.and_then(|(kind, name)| (kind == Kind::Ls).then_some(name))
    }

    /// The port that a register names.
    fn port(&self, register: &'static tuplenet_openflow::Field) -> String {
        let number = self.packet.number(register).unwrap_or(0) as u32;
        let datapath = self.packet.number(register::DATAPATH).unwrap_or(0) as u32;
        self.names
            .port(datapath, number)
            .map_or_else(|| format!("port {number} of {}", self.here()), ToString::to_string)
    }

    fn destination(&self) -> Option<IpAddr> {
        address(self.packet, field::IPV4_DST, field::IPV6_DST)
    }

    fn mac(&self) -> Mac {
        mac(self.packet.slot(Slot::EthDst))
    }

    fn spent(&self) -> String {
        match self.destination() {
            Some(IpAddr::V6(_)) => "its hop limit is spent".to_owned(),
            _ => "its TTL is spent".to_owned(),
        }
    }

    fn entry(&self) -> String {
        let number = self.packet.slot(Slot::InPort) as u32;
        let Some((ls, lsp)) = self.host.and_then(|host| host.port_at(number)) else {
            return match self.host.and_then(|host| host.tunnel_at(number)) {
                Some(kind) => format!("it came by a tunnel ({kind:?}) that {} does not use", self.chassis),
                None => format!("no port of {} has the number {number}", self.chassis),
            };
        };
        absent(self.names, self.host, self.chassis, ls, lsp)
    }

    /// A port of a switch, one that is not set aside before one that is.
    fn find<'n>(&'n self, ls: &'n Name, wanted: impl Fn(&SwitchPort) -> bool) -> Option<&'n Name> {
        let rejected = |lsp: &Name| {
            let key = Key::Lsp(ls.clone(), lsp.clone()).to_string();
            self.host.is_some_and(|host| host.engine().rejected().any(|reject| reject.key == key))
        };
        let found = self.names.switch_ports(ls).filter(|(_, port)| wanted(port)).map(|(lsp, _)| lsp);
        found.min_by_key(|lsp| rejected(lsp))
    }

    /// Who is it for, that nobody has?
    fn no_such_mac(&self) -> String {
        let here = self.here();
        let Some(ls) = self.switch() else { return format!("no port of {here} has the MAC address {}", self.mac()) };
        let tagged = self.packet.slot(Slot::Vlan) & TAGGED != 0;
        // Nobody answers a question with a tag: it goes on as any frame.
        let asked = match self.packet.number(field::ARP_OP).filter(|_| !tagged) {
            Some(1) => self.packet.number(field::ARP_TPA).map(|ip| IpAddr::from(Ipv4Addr::from(ip as u32))),
            _ if self.packet.has(field::ND_SLL) && !tagged => {
                self.packet.number(field::ND_TARGET).map(|ip| Ipv6Addr::from(ip).into())
            }
            _ => None,
        };
        if self.packet.slot(Slot::EthDst) >> 40 & 1 == 1 {
            let Some(ip) = asked else {
                return format!("{here} does not flood: what is sent to all ({}) reaches nobody", self.mac());
            };
            return match self.find(ls, |port| port.ips.contains(&ip)) {
                Some(lsp) if lsp.as_str() == self.port(register::SRC_PORT) => {
                    format!("{ip} is the sender's own address: nobody else on {here} has it")
                }
                Some(lsp) => absent(self.names, self.host, self.chassis, ls, lsp),
                None => format!("{ip} is nobody's address on {here}"),
            };
        }
        match self.find(ls, |port| port.mac == Some(self.mac())) {
            Some(lsp) => absent(self.names, self.host, self.chassis, ls, lsp),
            None => format!("no port of {here} has the MAC address {}", self.mac()),
        }
    }

    /// The destination port is known, and is no port of this host.
    fn not_here(&self) -> String {
        let number = self.packet.number(register::DST_PORT).unwrap_or(0) as u32;
        let datapath = self.packet.number(register::DATAPATH).unwrap_or(0) as u32;
        if number == register::FLOOD {
            return format!("{} does not flood: what is sent to all reaches nobody", self.here());
        }
        let by_tunnel = self.packet.number(register::FLAGS).unwrap_or(0) & u128::from(register::FROM_TUNNEL) != 0;
        let (Some(ls), Some(lsp)) = (self.switch(), self.names.port(datapath, number)) else {
            return format!("{} has no port with the id {number}", self.here());
        };
        let why = absent(self.names, self.host, self.chassis, ls, lsp);
        if by_tunnel {
            format!("another host sent it here for {lsp}, which {} does not have: {why}", self.chassis)
        } else {
            why
        }
    }

    fn no_route(&self) -> String {
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

    /// The agent keeps it until it knows who has the next hop.
    fn asked(&self) -> String {
        format!(
            "{} is not known as a neighbour outside: the agent of {} keeps the packet, asks by ARP or neighbour discovery, and sends it on when somebody answers",
            self.next_hop(),
            self.chassis
        )
    }

    fn next_hop(&self) -> IpAddr {
        let next = match self.destination() {
            Some(IpAddr::V6(_)) => self.packet.number(register::NEXT_HOP6).map(|ip| IpAddr::from(Ipv6Addr::from(ip))),
            _ => self.packet.number(register::NEXT_HOP4).map(|ip| IpAddr::from(Ipv4Addr::from(ip as u32))),
        };
        next.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    fn no_next_hop(&self) -> String {
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

    /// `own`: by a flow about an address of the router, not by one that holds for all.
    fn router_drop(&self, own: bool) -> String {
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

    /// Whether the router that the packet is in has an address.
    fn owns(&self, ip: IpAddr) -> bool {
        let Some((Kind::Lr, lr)) = self.datapath else { return false };
        self.names.objects().any(|(key, object)| match (key, object) {
            (Key::Lrp(of, _), Object::Lrp(port)) => of == lr && port.nets.iter().any(|net| net.addr() == ip),
            _ => false,
        })
    }

    fn flood(&self) -> String {
        if self.table == stage::LSP_INGRESS_LOOKUP_DST_PORT.table {
            format!("{} is reserved for the protocols of bridges: no switch passes it on (IEEE 802.1Q)", self.mac())
        } else if self.table == stage::LSP_TRACE_INGRESS_OUT.table {
            "it came as another host's copy for all ports; that host sends the other hosts theirs".to_owned()
        } else {
            format!("{} has no port here to flood it to", self.here())
        }
    }
}

fn address(
    packet: &Packet,
    v4: &'static tuplenet_openflow::Field,
    v6: &'static tuplenet_openflow::Field,
) -> Option<IpAddr> {
    match packet.number(v4) {
        Some(ip) => Some(Ipv4Addr::from(ip as u32).into()),
        None => packet.number(v6).map(|ip| Ipv6Addr::from(ip).into()),
    }
}

fn mac(number: u128) -> Mac {
    let [.., a, b, c, d, e, f] = number.to_be_bytes();
    Mac([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests;
