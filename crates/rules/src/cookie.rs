//! Cookies: every flow names the rule that made it and the object that it is about.
//!
//! ```text
//!  63    56 55    48 47              24 23               0
//! +--------+--------+------------------+------------------+
//! |  0x54  |  rule  |   datapath id    |      object      |
//! +--------+--------+------------------+------------------+
//! ```
//! `object` is the port's id where the object is a port, the table where the flow is a stage's own, and otherwise a hash of a name.

use crate::stage::Stage;
use std::fmt;
use tuplenet_model::{
    hash::fnv32,
    id::{DatapathId, PortId},
};

/// The first byte of all our cookies (`T`): a flow without it is other software's.
pub const OURS: u64 = 0x54 << 56;
/// The bits of [`OURS`].
pub const OURS_MASK: u64 = 0xff << 56;

macro_rules! rules {
    ($($(#[doc = $about:literal])+ $name:ident = $number:literal $text:literal,)+) => {
        /// The rules that make flows. The number is part of the cookie, so it never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rule { $($(#[doc = $about])+ $name = $number,)+ }

        impl Rule {
            /// All rules.
            pub const ALL: &[Rule] = &[$(Rule::$name),+];
            /// The rule's short name, as `tpctl explain` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$name => $text,)+ }
            }
            /// What the rule does, for people.
            pub const fn about(self) -> &'static str {
                match self { $(Rule::$name => concat!($($about),+),)+ }
            }
        }
    };
}

rules! {
    /// A stage that lets pass what it has nothing to say about.
    Pipeline = 1 "pipeline",
    /// Packets from a local port enter their switch.
    LocalPort = 2 "local-port",
    /// Packets from a tunnel enter their switch.
    TunnelIn = 3 "tunnel-in",
    /// ARP: the address is known, answer for it.
    Arp = 4 "arp",
    /// Neighbour discovery: the address is known, answer for it.
    Nd = 5 "nd",
    /// A port asks for its own address (duplicate address detection): nobody answers.
    OwnAddress = 6 "own-address",
    /// The request becomes the reply.
    NeighbourReply = 7 "neighbour-reply",
    /// Destination MAC to port.
    L2 = 8 "l2",
    /// Broadcast and multicast to all ports of a switch.
    Flood = 9 "flood",
    /// To a remote chassis by tunnel.
    TunnelOut = 10 "tunnel-out",
    /// A packet does not return to where it came from.
    Loopback = 11 "loopback",
    /// Out of a local port.
    Pushout = 12 "pushout",
    /// From a switch into a router.
    ToRouter = 13 "to-router",
    /// From a router into a switch.
    ToSwitch = 14 "to-switch",
    /// Echo requests to a router's address are answered.
    Echo = 15 "echo",
    /// What a router does not forward.
    RouterDrop = 16 "router-drop",
    /// A network that a router is connected to.
    Connected = 17 "connected-route",
    /// A static route.
    Static = 18 "static-route",
    /// The MAC address of a next hop.
    NextHop = 19 "next-hop",
    /// A coloured packet is reported.
    Trace = 20 "trace",
    /// What a stage does not know ends there, and is counted.
    Drop = 21 "drop",
    /// Frames from a physical network enter a switch by a patch port.
    PatchIn = 22 "patch-in",
    /// Out of a patch port, into a physical network.
    PatchOut = 23 "patch-out",
    /// To a MAC that no port has: out by a patch port, here or on another chassis.
    PatchUnknown = 24 "patch-unknown",
    /// A frame of a port's own that came back from a physical network ends.
    PatchOwn = 25 "patch-own",
    /// What another chassis takes in from a physical network, or takes out into it, ends here.
    PatchElsewhere = 26 "patch-elsewhere",
    /// NAT: an answer to what was translated on the way out gets back its inner address.
    Unsnat = 28 "unsnat",
    /// NAT: what comes for an external address goes to an inner one.
    Dnat = 29 "dnat",
    /// NAT: an answer from a translated destination gets back its external address.
    Undnat = 30 "undnat",
    /// NAT: what inner addresses send outside leaves by an external one.
    Snat = 31 "snat",
    /// NAT: what comes for a floating address goes to the inner one.
    FloatingIn = 32 "floating-in",
    /// NAT: what the inner address of a floating one sends outside leaves by that one.
    FloatingOut = 33 "floating-out",
    /// Several static routes to one prefix: each packet takes one, by its hash.
    Ecmp = 34 "ecmp",
    /// One of the next hops of equal static routes.
    EcmpMember = 35 "ecmp-member",
    /// What an inner address that only some edges translate sends to a prefix with several routes: by one of these edges.
    EcmpHome = 36 "ecmp-home",
    /// A neighbour of a router in a physical network, as the agent learned it.
    Neighbour = 38 "neighbour",
    /// Somebody in a physical network says who has an address: a copy goes to the agent.
    NeighbourLearn = 39 "neighbour-learn",
    /// The next hop is a neighbour in a physical network that is not known: the agent keeps the packet and asks.
    NeighbourAsk = 40 "neighbour-ask",
    /// A router ends a packet, and the agent tells its sender by an ICMP error.
    IcmpError = 43 "icmp-error",
    /// A packet is too long for the switch that a router sends it into: the agent tells its sender, or cuts it.
    TooBig = 44 "too-big",
    /// How long packets may be that leave by a router's port.
    Mtu = 45 "mtu",
    /// An address outside that is probed answers: the agent is told.
    ProbeAnswer = 48 "probe-answer",
    /// To a chassis that BFD watches: by way of another one while it cannot be reached.
    Redirect = 49 "redirect",
    /// A packet on such a detour is sent on to where it is for.
    RedirectIn = 50 "redirect-in",
    /// What an edge would only send on outside leaves by this host's own IP stack.
    Untunnel = 51 "untunnel",
    /// What this host's own IP stack sends into the switch ends.
    UntunnelIn = 52 "untunnel-in",
    /// What is in a switch that an edge does not have takes no detour by one.
    NoDetour = 53 "no-detour",
}

/// A cookie taken apart. See the module for the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie {
    /// Which rule made the flow.
    pub rule: Rule,
    /// The datapath that it belongs to; 0: none.
    pub datapath: u32,
    /// Port id or hash of a name; 0: none.
    pub object: u32,
}

impl Cookie {
    /// For a flow that belongs to no object.
    pub fn of(rule: Rule) -> Self {
        Self { rule, datapath: 0, object: 0 }
    }
    /// For a flow of a whole datapath.
    pub fn datapath(rule: Rule, datapath: DatapathId) -> Self {
        Self { rule, datapath: datapath.get(), object: 0 }
    }
    /// For a flow about a port.
    pub fn port(rule: Rule, datapath: DatapathId, port: PortId) -> Self {
        Self { rule, datapath: datapath.get(), object: port.get().into() }
    }
    /// For a flow about a router's port, by its number in registers.
    pub fn router_port(rule: Rule, datapath: DatapathId, number: u32) -> Self {
        Self { rule, datapath: datapath.get(), object: number & 0xff_ffff }
    }
    /// For a flow about a named object (a route of a datapath, or with no datapath a chassis).
    pub fn named(rule: Rule, datapath: Option<DatapathId>, name: &str) -> Self {
        Self { rule, datapath: datapath.map_or(0, DatapathId::get), object: name_hash(name) }
    }
    /// For a flow of a stage, by its table.
    pub fn stage(rule: Rule, stage: Stage) -> Self {
        Self { rule, datapath: 0, object: stage.table.into() }
    }
    /// The number that the switch keeps.
    pub fn encode(self) -> u64 {
        OURS | (self.rule as u64) << 48 | u64::from(self.datapath) << 24 | u64::from(self.object)
    }
    /// `None` for a cookie that is not ours or names no rule of this version.
    pub fn decode(cookie: u64) -> Option<Self> {
        let rule = (cookie >> 48) as u8;
        let rule = *Rule::ALL.iter().find(|r| **r as u8 == rule)?;
        let part = |shift: u32| (cookie >> shift) as u32 & 0xff_ffff;
        (cookie & OURS_MASK == OURS).then_some(Self { rule, datapath: part(24), object: part(0) })
    }
}

/// The 24 bits of a name that fit a cookie: FNV-1a folded. Two names may share them; whoever explains a cookie lists all that fit.
pub fn name_hash(name: &str) -> u32 {
    let hash = fnv32(name.bytes());
    (hash >> 24) ^ (hash & 0xff_ffff)
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} datapath={} object={}", self.rule.name(), self.datapath, self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_back_and_a_foreign_one_does_not() {
        for rule in Rule::ALL {
            let cookie = Cookie { rule: *rule, datapath: 0xabcdef, object: 0x123456 };
            assert_eq!(Cookie::decode(cookie.encode()), Some(cookie));
        }
        assert_eq!(Cookie::decode(0), None);
        assert_eq!(Cookie::decode(OURS), None);
    }

    /// Switches have them.
    #[test]
    fn names_keep_their_numbers() {
        let numbers = ["", "vm1", "default", "LS-A_to_LR-central"].map(name_hash);
        assert_eq!(numbers, [0x1c_9d44, 0x1c_93f6, 0x3b_5b4d, 0xa4_199b]);
    }
}
