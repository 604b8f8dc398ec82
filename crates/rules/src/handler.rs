//! How a flow hands a packet to the agent: for which of its handlers, how much of it, and how often at most.

use tuplenet_openflow::{Action, action::Controller};

/// Who in the agent takes a packet-in: the first byte of its userdata. This is the only place that gives a handler its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Handler {
    /// A coloured packet is reported.
    Trace = 1,
    /// Neighbours outside.
    Neighbour = 2,
    /// Errors of routers.
    IcmpError = 3,
    /// Probes of addresses outside.
    Probe = 4,
}

impl Handler {
    /// The userdata of an event, whose number is the handler's own.
    pub fn userdata(self, event: u8) -> Vec<u8> {
        vec![self as u8, event]
    }

    /// Hands over the packet as it is now: of its bytes so many at most, and no more packets than the meter lets pass.
    pub fn report(self, event: u8, max_len: u16, meter_id: u32) -> Action {
        let userdata = self.userdata(event);
        Action::Controller(Box::new(Controller { max_len, userdata, meter_id, ..Controller::default() }))
    }
}
