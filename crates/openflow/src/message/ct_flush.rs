//! Which tracked connections to forget (`NXT_CT_FLUSH`, Open vSwitch 3.1 and later, nicira-ext.h): those of a zone that have an address.
//!
//! Only written: no switch sends it, and what is read of it stays [`super::Message::Raw`].

use std::{fmt, net::IpAddr};

use bytes::{BufMut, BytesMut};

use super::wire::padding;

/// Properties of the message, and of a tuple in it.
mod property {
    pub const ORIGINAL: u16 = 0;
    pub const REPLY: u16 = 1;
    pub const ZONE: u16 = 2;
    pub const DESTINATION: u16 = 1;
}
/// Head of a property: its type and length, 16 bits each.
const HEAD: u16 = 4;
/// An address, IPv4 as IPv4-mapped (RFC 4291 section 2.5.5.2).
const ADDRESS: u16 = 16;

/// `NXT_CT_FLUSH`, as far as we use it: all protocols and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtFlush {
    /// The zone.
    pub zone: u16,
    /// Whom their packets must be for to be forgotten.
    pub to: CtDestination,
}

/// The destination of a tracked connection's packets, as they come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtDestination {
    /// Of those in the direction of the first one.
    Original(IpAddr),
    /// Of the answers.
    Reply(IpAddr),
}

impl CtFlush {
    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        // Any protocol, and padding.
        out.put_bytes(0, 8);
        let (kind, ip) = match self.to {
            CtDestination::Original(ip) => (property::ORIGINAL, ip),
            CtDestination::Reply(ip) => (property::REPLY, ip),
        };
        let mapped = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        // A tuple: what is in it begins at a multiple of eight bytes, and counts with its padding.
        let pad = padding(usize::from(HEAD + ADDRESS));
        out.put_u16(kind);
        out.put_u16(2 * HEAD + HEAD + ADDRESS + pad as u16);
        out.put_bytes(0, usize::from(HEAD));
        out.put_u16(property::DESTINATION);
        out.put_u16(HEAD + ADDRESS);
        out.put_slice(&mapped.octets());
        out.put_bytes(0, pad);
        out.put_u16(property::ZONE);
        out.put_u16(HEAD + 4);
        out.put_u16(self.zone);
        out.put_u16(0);
    }
}

/// As `ovs-ofctl ct-flush` takes it.
impl fmt::Display for CtFlush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tuple = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => format!("ct_nw_dst={ip}"),
            IpAddr::V6(ip) => format!("ct_ipv6_dst={ip}"),
        };
        match &self.to {
            CtDestination::Original(ip) => write!(f, "zone={} '{}'", self.zone, tuple(ip)),
            CtDestination::Reply(ip) => write!(f, "zone={} '' '{}'", self.zone, tuple(ip)),
        }
    }
}
