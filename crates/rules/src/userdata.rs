//! What a packet-in is for: the bytes that the flow's `controller` action gives it (`userdata=` in ovs-actions(7)).
//!
//! The first byte is the handler, the rest is the handler's own. This is the only place that gives a handler its number.

use crate::trace;

/// What a packet-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Userdata {
    /// Handler 1, one more byte: a coloured packet is reported.
    Trace(trace::Event),
}

/// Handler: a coloured packet is reported.
const TRACE: u8 = 1;

impl Userdata {
    /// The bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Userdata::Trace(event) => vec![TRACE, event as u8],
        }
    }

    /// `None` for bytes that no flow of this version gives.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [TRACE, event] => trace::Event::ALL.into_iter().find(|e| *e as u8 == event).map(Userdata::Trace),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn userdata_comes_back_and_a_foreign_one_does_not() {
        for event in trace::Event::ALL {
            let userdata = Userdata::Trace(event);
            assert_eq!(Userdata::decode(&userdata.encode()), Some(userdata));
        }
        for foreign in [&[][..], &[TRACE], &[TRACE, 0xff], &[0, 1], &[TRACE, 1, 0]] {
            assert_eq!(Userdata::decode(foreign), None);
        }
    }
}
