//! Which tracked connections to forget (`NXT_CT_FLUSH`, Open vSwitch 3.1 and later, nicira-ext.h): those of a zone that have an address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, padding};
use crate::error::DecodeError;

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
        // The outer one is padded to eight bytes, beyond its length, after its own head: four bytes and what is in it.
        out.put_u16(kind);
        out.put_u16(2 * HEAD + HEAD + ADDRESS + HEAD);
        out.put_u32(0);
        out.put_u16(property::DESTINATION);
        out.put_u16(HEAD + ADDRESS);
        out.put_slice(&mapped.octets());
        out.put_bytes(0, padding(usize::from(HEAD + ADDRESS)));
        out.put_u16(property::ZONE);
        out.put_u16(HEAD + 2);
        out.put_u16(self.zone);
        out.put_u16(0);
    }
}
