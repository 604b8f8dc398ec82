//! Actions in words: what a flow does with a packet.

use super::{
    matching::{self, address, host, mac_of, noted, owner},
    stages,
    world::World,
};
use std::net::IpAddr;
use tuplenet_openflow::{
    Action, Field, Flow, Instruction, Value,
    action::{Ct, Nat, SetField, Subfield, Zone},
    field, port,
};
use tuplenet_rules::{
    cookie::{Cookie, Rule},
    icmp, is_ecmp_group, is_redirect_group, is_steer_group, outside, probe, register, trace,
    userdata::Userdata,
};

/// What a flow does.
pub struct Deeds {
    /// Each action in words. Empty: the packet ends.
    pub said: Vec<String>,
    /// The tables where it goes on.
    pub on: Vec<u8>,
}

/// What the actions of a flow do, in order.
pub fn describe(world: &World, flow: &Flow) -> Deeds {
    let mut teller = Teller {
        world,
        datapath: matching::datapath(&flow.matching),
        cookie: Cookie::decode(flow.cookie),
        on: Vec::new(),
    };
    let mut said = Vec::new();
    for instruction in &flow.instructions {
        match instruction {
            Instruction::ApplyActions(actions) => said.extend(actions.iter().map(|action| teller.action(action))),
            Instruction::GotoTable(table) => said.push(teller.goes_on(*table)),
            other => said.push(format!("{other}")),
        }
    }
    Deeds { said, on: teller.on }
}

struct Teller<'a> {
    world: &'a World,
    /// Where the packet is, as far as is known.
    datapath: Option<u32>,
    cookie: Option<Cookie>,
    on: Vec<u8>,
}

impl Teller<'_> {
    fn action(&mut self, action: &Action) -> String {
        match action {
            Action::SetField(set) => self.set(set),
            Action::Move { src, dst } => self.moved(*src, *dst).unwrap_or_else(|| action.to_string()),
            Action::Resubmit { in_port: None, table: Some(table), ct: false } => self.goes_on(*table),
            Action::DecTtl => "takes one off its TTL or hop limit".to_owned(),
            Action::Output { port: port::CONTROLLER, .. } => "reports it to the agent".to_owned(),
            Action::Output { port, .. } => self.output(*port, action),
            Action::Group(id) => match flood_group(self.world, *id) {
                Some(group) => format!("copies it by {group}"),
                None if is_ecmp_group(*id) => {
                    format!("gives it to one of the living next hops of its equal routes, by a hash (group {id})")
                }
                None if is_steer_group(*id) => {
                    format!("gives it to the next hop that translates its source, or to any while that is dead (group {id})")
                }
                None if is_redirect_group(*id) => {
                    format!("sends it there, or by way of an edge while BFD says that the tunnel is dead (group {id})")
                }
                None => format!("gives it to group {id}"),
            },
            Action::Controller(to) => match Userdata::decode(&to.userdata) {
                Some(Userdata::Trace(trace::Event::Hop)) => "reports it to the agent: a trace passed here".to_owned(),
                Some(Userdata::Trace(trace::Event::Delivered)) => "reports it to the agent: a trace arrived".to_owned(),
                Some(Userdata::Trace(trace::Event::End)) => {
                    "reports to the agent that this host has done all with the traced packet".to_owned()
                }
                Some(Userdata::Neighbour(outside::Event::Ask)) => {
                    "gives it to the agent, which asks outside who has the next hop, and sends it on then".to_owned()
                }
                Some(Userdata::Neighbour(outside::Event::Learn)) => {
                    "gives a copy to the agent, which learns from it who has an address outside".to_owned()
                }
                Some(Userdata::IcmpError(icmp::Event::TooBig)) => {
                    "ends it at the agent: its sender is told by ICMP (packet too big), or it is an IPv4 packet that may be cut, and its pieces are \
                     sent on"
                        .to_owned()
                }
                Some(Userdata::IcmpError(why)) => {
                    let error = match why {
                        icmp::Event::Spent => "time exceeded",
                        icmp::Event::NoRoute => "network unreachable",
                        icmp::Event::NoHost => "host unreachable",
                        icmp::Event::TooBig => "packet too big",
                        icmp::Event::Itself => "port or protocol unreachable",
                    };
                    format!("ends it at the agent: its sender is told by ICMP ({error})")
                }
                Some(Userdata::Probe(probe::Event::Answer)) => {
                    "gives it to the agent, which probes whether its uplinks lead anywhere".to_owned()
                }
                None => "reports it to the agent".to_owned(),
            },
            Action::Ct(ct) => self.tracked(ct, action),
            Action::PushVlan(_) => "gets a VLAN tag".to_owned(),
            Action::PopVlan => "loses its VLAN tag".to_owned(),
            Action::CheckPktLarger { pkt_len, dst } if dst.field() == register::MTU => {
                format!("is measured: whether its frame has more than {pkt_len} bytes")
            }
            Action::CtClear => "forgets what conntrack said".to_owned(),
            other => format!("{other}"),
        }
    }

    /// Through conntrack, as NAT does.
    fn tracked(&mut self, ct: &Ct, action: &Action) -> String {
        let (Zone::Fixed(zone), Some(table), [Action::Nat(nat)]) = (ct.zone, ct.table, &ct.actions[..]) else {
            return action.to_string();
        };
        let what = match (nat.flags, nat.addr_min) {
            (0, None) => {
                "gets the addresses that its connection has on the other side, if conntrack knows it".to_owned()
            }
            (Nat::SRC, Some(ip)) => format!("begins a connection whose source becomes {ip}"),
            (Nat::DST, Some(ip)) => format!("begins a connection whose destination becomes {ip}"),
            _ => return action.to_string(),
        };
        format!("{what} (conntrack zone {zone}); {}", self.goes_on(table))
    }

    fn goes_on(&mut self, table: u8) -> String {
        self.on.push(table);
        format!("goes on at {}", stage_words(table))
    }

    fn output(&self, port: u32, action: &Action) -> String {
        let local = |cookie: Cookie| self.world.port_words(Some(cookie.datapath), cookie.object);
        match self.cookie {
            _ if port > port::MAX => action.to_string(),
            Some(cookie) if cookie.rule == Rule::TunnelOut => {
                format!("leaves by the tunnel port, port {port} of the bridge")
            }
            Some(cookie) if matches!(cookie.rule, Rule::Pushout | Rule::Trace) => {
                format!("leaves by port {port} of the bridge: the interface of {}", local(cookie))
            }
            _ => format!("leaves by port {port} of the bridge"),
        }
    }

    fn set(&mut self, set: &SetField) -> String {
        let (f, value, mask) = (set.field(), set.value(), set.mask());
        let small = value.to_u64().and_then(|n| u32::try_from(n).ok());
        match (f, small) {
            (f, Some(id)) if f == register::DATAPATH && mask.is_none() => {
                self.datapath = Some(id);
                format!("enters {}", self.world.datapath_words(id))
            }
            (f, Some(0)) if f == register::L4_PORTS => "notes that it has no ports to choose by".to_owned(),
            (f, Some(port)) if f == register::SRC_PORT => {
                format!("its source is {}", self.world.port_words(self.datapath, port))
            }
            (f, Some(register::FLOOD)) if f == register::DST_PORT => {
                "its destination is all ports of the switch".to_owned()
            }
            (f, Some(port)) if f == register::DST_PORT => {
                format!("its destination is {}", self.world.port_words(self.datapath, port))
            }
            (f, Some(flags)) if f == register::FLAGS => flags_set(flags, mask.as_ref()),
            (f, Some(mtu)) if f == register::MTU => format!("may have {mtu} bytes, from its IP header on"),
            (f, Some(0)) if f == field::IN_PORT_NXM => "may leave by the port that it came from".to_owned(),
            (f, Some(tci)) if f == field::VLAN_VID && mask.is_none() => format!("its VLAN becomes {}", tci & 0xfff),
            (f, Some(id)) if f == register::COMMAND => format!("has the colour of the trace with id {id}"),
            (f, Some(ttl)) if f == field::NW_TTL => format!("gets a TTL or hop limit of {ttl}"),
            (f, Some(0)) if f == field::ICMPV4_TYPE => "becomes an echo reply".to_owned(),
            (f, Some(129)) if f == field::ICMPV6_TYPE => "becomes an echo reply".to_owned(),
            (f, Some(136)) if f == field::ICMPV6_TYPE => "becomes a neighbour advertisement".to_owned(),
            (f, Some(flags)) if f == field::ND_RESERVED => {
                format!("says of who answers: {}", matching::advertised(flags))
            }
            (f, Some(2)) if f == field::ND_OPTIONS_TYPE => {
                "its option becomes the answer's link-layer address".to_owned()
            }
            (f, Some(2)) if f == field::ARP_OP => "becomes an answer".to_owned(),
            (f, Some(0)) if [field::TUN_DST, field::TUN_IPV6_DST].contains(&f) => {
                "clears a tunnel address of the other family that it may still have".to_owned()
            }
            _ => self.address(f, &value).filter(|_| mask.is_none()).unwrap_or_else(|| set.to_string()),
        }
    }

    /// A copy of bits, where both ends have a meaning.
    fn moved(&self, src: Subfield, dst: Subfield) -> Option<String> {
        // Nothing is routed there: two addresses change places by way of a register.
        if src.field() == register::FLAGS && dst.field() == register::FLAGS {
            return Some("if it is traced, its trace goes on behind conntrack".to_owned());
        }
        if dst.field() == register::L4_PORTS {
            let which = if [field::TCP_SRC, field::UDP_SRC, field::SCTP_SRC].contains(&src.field()) {
                "source"
            } else {
                "destination"
            };
            return Some(format!("notes its {which} port for the choice"));
        }
        let swaps = self.cookie.is_some_and(|cookie| cookie.rule == Rule::NeighbourReply);
        let part = |bits: Subfield| match bits.field() {
            f if swaps && f == register::NEXT_HOP4 => Some("a spare register"),
            _ => part(bits),
        };
        Some(format!("sets {} to {}", part(dst)?, part(src)?))
    }

    /// Addresses, with whose they are.
    fn address(&self, f: &'static Field, value: &Value) -> Option<String> {
        if f == field::ETH_DST || f == field::ETH_SRC {
            let mac = mac_of(self.world, self.datapath, value.as_bytes().try_into().ok()?);
            let way = if f == field::ETH_DST { "destination" } else { "source" };
            return Some(format!("gets the {way} {mac}"));
        }
        let of = |v4| address(value, v4);
        let owned = |ip: IpAddr| format!("{ip}{}", owner(self.world, self.datapath, ip));
        if f == register::NEXT_HOP4 || f == register::NEXT_HOP6 {
            return Some(format!("its next hop is {}", owned(of(f == register::NEXT_HOP4)?)));
        }
        if [register::REMOTE4, register::REMOTE6].contains(&f) {
            return Some(format!("its destination is on {}", host(self.world, of(f == register::REMOTE4)?)));
        }
        if f == field::TUN_DST || f == field::TUN_IPV6_DST {
            return Some(format!("goes by tunnel to {}", host(self.world, of(f == field::TUN_DST)?)));
        }
        if [field::IPV4_DST, field::IPV6_DST].contains(&f) {
            return Some(format!("gets the destination address {}", owned(of(f == field::IPV4_DST)?)));
        }
        if [field::IPV4_SRC, field::IPV6_SRC].contains(&f) {
            return Some(format!("gets the source address {}", owned(of(f == field::IPV4_SRC)?)));
        }
        None
    }
}

fn flags_set(flags: u32, mask: Option<&Value>) -> String {
    match (flags, mask) {
        (0, Some(mask)) if mask.to_u64() == Some(u64::from(!register::TRACED)) => {
            "forgets what was noted of it, but for its colour".to_owned()
        }
        (0, _) => "forgets what was noted of it".to_owned(),
        (flags, _) if noted(flags).is_empty() => format!("notes flags {flags:#x}"),
        (flags, _) => format!("is noted as: {}", noted(flags)),
    }
}

/// What a part of a field is to people.
fn part(bits: Subfield) -> Option<&'static str> {
    use register::option;
    let f = bits.field();
    if f == field::TUN_METADATA0 && bits.n_bits == option::WIDTH {
        return Some(match bits.ofs {
            option::SRC_PORT => "the source port in the tunnel's option",
            option::DST_PORT => "the destination port in the tunnel's option",
            option::FLAGS => "the flags in the tunnel's option",
            option::COMMAND => "the colour in the tunnel's option",
            _ => return None,
        });
    }
    PARTS.iter().find(|(field, _)| *field == f).map(|(_, text)| *text)
}

/// What fields are to people.
const PARTS: &[(&Field, &str)] = &[
    (register::DATAPATH, "its switch or router"),
    (register::SRC_PORT, "its source port"),
    (register::DST_PORT, "its destination port"),
    (register::FLAGS, "what is noted of it"),
    (register::COMMAND, "its colour"),
    (register::NEXT_HOP4, "its next hop"),
    (register::NEXT_HOP6, "its next hop"),
    (field::TUN_ID, "the tunnel's VNI"),
    (field::ETH_SRC, "its source MAC"),
    (field::ETH_DST, "its destination MAC"),
    (field::IPV4_SRC, "its source address"),
    (field::IPV4_DST, "its destination address"),
    (field::IPV6_SRC, "its source address"),
    (field::IPV6_DST, "its destination address"),
    (field::ARP_SPA, "the address that asks"),
    (field::ARP_TPA, "the address that is asked for"),
    (field::ARP_SHA, "the MAC that asks"),
    (field::ARP_THA, "the MAC that is asked for"),
    (field::ND_TARGET, "the address that is solicited"),
    (field::ND_TLL, "the advertised MAC"),
];

/// The group that copies what is sent to all ports of a switch, in words.
pub fn flood_group(world: &World, id: u32) -> Option<String> {
    (id >> 24 == 1).then(|| format!("the flood group of {} (group {id})", world.datapath_words(id & 0xff_ffff)))
}

/// A table in words: "LSP_EGRESS_PUSHOUT (table 34)".
pub fn stage_words(table: u8) -> String {
    match stages::of(table) {
        Some(explained) => format!("{} (table {table})", explained.stage.name),
        None => format!("table {table}"),
    }
}
