//! What a packet-in is for: the bytes that the flow's `controller` action gives it (`userdata=` in ovs-actions(7)).
//!
//! The first byte is the handler, the rest is the handler's own.

use crate::{handler::Handler, icmp, outside, probe, trace};

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

impl Userdata {
    /// The bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Userdata::Trace(event) => Handler::Trace.userdata(event as u8),
            Userdata::Neighbour(event) => Handler::Neighbour.userdata(event as u8),
            Userdata::IcmpError(event) => Handler::IcmpError.userdata(event as u8),
            Userdata::Probe(event) => Handler::Probe.userdata(event as u8),
        }
    }

    /// `None` for bytes that no flow of this version gives.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [handler, event] = *bytes else { return None };
        let is = |known: Handler| known as u8 == handler;
        if is(Handler::Trace) {
            trace::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Trace)
        } else if is(Handler::Neighbour) {
            outside::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Neighbour)
        } else if is(Handler::IcmpError) {
            icmp::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::IcmpError)
        } else if is(Handler::Probe) {
            probe::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Probe)
        } else {
            None
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
        for foreign in [&[][..], &[1], &[1, 0xff], &[0, 1], &[1, 1, 0], &[2, 0], &[3, 0], &[5, 1]] {
            assert_eq!(Userdata::decode(foreign), None);
        }
    }
}
