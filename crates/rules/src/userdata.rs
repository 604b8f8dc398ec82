//! What a packet-in is for: the bytes that the flow's `controller` action gives it (`userdata=` in ovs-actions(7)).
//!
//! The first byte is the handler, the rest is the handler's own. This is the only place that gives a handler its number.

use crate::{icmp, outside, probe, trace};

/// What a packet-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Userdata {
    /// Handler 1, one more byte: a coloured packet is reported.
    Trace(trace::Event),
    /// Handler 2, one more byte: a neighbour outside is asked for, or somebody says who has an address.
    Neighbour(outside::Event),
    /// Handler 3, one more byte: a router ended a packet, and its sender is to know.
    IcmpError(icmp::Event),
    /// Handler 4, one more byte: an address outside that is probed answers.
    Probe(probe::Event),
}

/// Handler: a coloured packet is reported.
const TRACE: u8 = 1;
/// Handler: neighbours outside.
const NEIGHBOUR: u8 = 2;
/// Handler: errors of routers.
const ICMP_ERROR: u8 = 3;
/// Handler: probes of addresses outside.
const PROBE: u8 = 4;

impl Userdata {
    /// The bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Userdata::Trace(event) => vec![TRACE, event as u8],
            Userdata::Neighbour(event) => vec![NEIGHBOUR, event as u8],
            Userdata::IcmpError(event) => vec![ICMP_ERROR, event as u8],
            Userdata::Probe(event) => vec![PROBE, event as u8],
        }
    }

    /// `None` for bytes that no flow of this version gives.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [TRACE, event] => trace::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Trace),
            [NEIGHBOUR, event] => outside::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Neighbour),
            [ICMP_ERROR, event] => icmp::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::IcmpError),
            [PROBE, event] => probe::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Probe),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn userdata_comes_back_and_a_foreign_one_does_not() {
        let all = trace::Event::ALL.map(Userdata::Trace).into_iter();
        let all = all.chain(outside::Event::ALL.map(Userdata::Neighbour));
        let all = all.chain(probe::Event::ALL.map(Userdata::Probe));
        for userdata in all.chain(icmp::Event::ALL.map(Userdata::IcmpError)) {
            assert_eq!(Userdata::decode(&userdata.encode()), Some(userdata));
        }
        for foreign in [&[][..], &[TRACE], &[TRACE, 0xff], &[0, 1], &[TRACE, 1, 0], &[NEIGHBOUR, 0], &[ICMP_ERROR, 0]] {
            assert_eq!(Userdata::decode(foreign), None);
        }
    }
}
