//! Neighbours of routers in a physical network: what the agent is told of them, and how it sends.
//!
//! A packet whose next hop is no port that is known goes to the agent ([`Event::Ask`]), which keeps it, asks by the patch port who has the address
//! ([`ask`]), and sends the packet on when somebody answered ([`deliver`]). Answers reach it as copies ([`Event::Learn`]). What it learned comes back as
//! [`crate::Change::Neighbour`]. The flows are in `flows/outside.rs`.

use crate::{
    flow::{resubmit, set},
    handler::Handler,
    register, stage,
    trace::Meter,
};
use std::net::IpAddr;
use tuplenet_model::{
    hash::fnv32,
    id::{DatapathId, PortId},
    name::Name,
};
use tuplenet_openflow::{Action, field};

/// What a packet is reported for. The number is part of the packet-in's userdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// Its next hop is not known: the whole packet, which goes no further.
    Ask = 1,
    /// From outside: somebody says who has an address. A copy.
    Learn = 2,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 2] = [Event::Ask, Event::Learn];

    /// The meter that limits its reports: one each, so that who scans a network from inside does not drown the answers.
    pub const fn meter(self) -> Meter {
        match self {
            Event::Ask => ASK_METER,
            Event::Learn => LEARN_METER,
        }
    }
}

/// Limits the packets whose next hop is to be asked for. The agent takes some 20 us for one: under 5 % of a core.
pub const ASK_METER: Meter = Meter { id: 2, rate: 2_000, burst: 2_000 };

/// Limits the answers and announcements. Entries are refreshed every 45 s: 1,024 of them make 25 answers a second.
pub const LEARN_METER: Meter = Meter { id: 4, rate: 2_000, burst: 2_000 };

/// A router's port on a switch with a patch port of this chassis: where neighbours outside are asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outside {
    /// The switch.
    pub ls: Name,
    /// Its id.
    pub switch: DatapathId,
    /// Its port that leads to the router.
    pub port: PortId,
    /// Its patch port.
    pub patch: PortId,
    /// Whether that works: there is a bridge at its other end.
    pub works: bool,
    /// The router.
    pub router: DatapathId,
    /// Number of the router's port in registers.
    pub number: u32,
    /// The router port's addresses, each with its network.
    pub nets: Box<[ipnet::IpNet]>,
    /// MAC address of the router's port.
    pub mac: [u8; 6],
    /// In whose name this chassis asks, if another one speaks for the router: a MAC address of this chassis' own, without an IP address. Answers to the
    /// router's would come in over there.
    pub substitute: Option<[u8; 6]>,
}

impl Outside {
    /// Asks and is answered by this MAC address.
    pub fn asker(&self) -> [u8; 6] {
        self.substitute.unwrap_or(self.mac)
    }
}

/// An address of ours that is reached by a patch port of this chassis: to be announced there when it appears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Own {
    /// The switch.
    pub switch: DatapathId,
    /// Its port that leads to the router which has the address.
    pub port: PortId,
    /// Its patch port.
    pub patch: PortId,
    /// A router port's own address, or an external one of its NAT rules.
    pub ip: IpAddr,
    /// Its MAC address.
    pub mac: [u8; 6],
}

/// The MAC address in whose name a chassis asks: `f2:03`, and four bytes made from its name.
pub(crate) fn substitute(chassis: &Name) -> [u8; 6] {
    let [a, b, c, d] = fnv32(chassis.bytes()).to_be_bytes();
    [0xf2, 0x03, a, b, c, d]
}

/// Tells the agent. Of an answer its first bytes, of a packet that is to be sent later all.
pub(crate) fn report(event: Event) -> Action {
    let max_len = match event {
        Event::Ask => u16::MAX,
        Event::Learn => 128,
    };
    Handler::Neighbour.report(event as u8, max_len, event.meter().id)
}

/// The actions of a packet-out that sends a question by the patch port, and nowhere else.
pub fn ask(at: &Outside) -> Vec<Action> {
    by_patch(at.switch, at.port, at.patch)
}

/// The same for an announcement.
pub fn announce(own: &Own) -> Vec<Action> {
    by_patch(own.switch, own.port, own.patch)
}

fn by_patch(switch: DatapathId, port: PortId, patch: PortId) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(switch.get())),
        set(register::SRC_PORT, u32::from(port.get())),
        set(register::DST_PORT, u32::from(patch.get())),
        resubmit(stage::LSP_EGRESS_PUSHOUT),
    ]
}

/// The actions of a packet-out that sends a packet on from where its next hop was missing, to this one. It does not wait for the flow that sends the next one there.
pub fn deliver(router: DatapathId, number: u32, mac: [u8; 6]) -> Vec<Action> {
    vec![
        set(register::DATAPATH, u64::from(router.get())),
        set(register::DST_PORT, number),
        set(field::ETH_DST, mac),
        resubmit(stage::LRP_EGRESS_FORWARD_PACKET),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours have it.
    #[test]
    fn a_chassis_keeps_its_substitute() {
        assert_eq!("e1".parse().as_ref().map(substitute), Ok([0xf2, 3, 0x84, 0x1a, 0xcf, 3]));
    }
}
