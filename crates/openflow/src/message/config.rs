//! How a connection behaves: switch configuration, role, asynchronous messages, packet-in format, controller id.
//!
//! All of it is per connection in Open vSwitch and must be said again after a reconnection. A connection to a bridge's
//! management socket gets no asynchronous messages at all until it sets a `miss_send_len`.

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, put_property};
use crate::error::{DecodeError, EncodeError};

/// `ofp_switch_config` (OpenFlow 1.5, 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Handling of IP fragments, `OFPC_FRAG_*`: 0 is normal, 1 drop, 2 reassemble, 3 is Open vSwitch's nx-match.
    pub flags: u16,
    /// Bytes of each packet to send to the controller; 0xffff for whole packets.
    pub miss_send_len: u16,
}

impl SwitchConfig {
    /// Fragments as usual, whole packets to the controller.
    pub const WHOLE_PACKETS: SwitchConfig = SwitchConfig { flags: 0, miss_send_len: 0xffff };

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("switch configuration", body);
        Ok(SwitchConfig { flags: r.u16()?, miss_send_len: r.u16()? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u16(self.flags);
        out.put_u16(self.miss_send_len);
    }
}

/// A role request or reply (OpenFlow 1.5, 7.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// `OFPCR_ROLE_*`.
    pub role: u32,
    /// Id of the controller for select groups and meters; 0xffffffff for none.
    pub short_id: u32,
    /// Election number that orders changes of mastership.
    pub generation_id: u64,
}

#[allow(missing_docs)] // As in the standard.
impl Role {
    pub const NO_CHANGE: u32 = 0;
    pub const EQUAL: u32 = 1;
    pub const PRIMARY: u32 = 2;
    pub const SECONDARY: u32 = 3;

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("role", body);
        Ok(Role { role: r.u32()?, short_id: r.u32()?, generation_id: r.u64()? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u32(self.role);
        out.put_u32(self.short_id);
        out.put_u64(self.generation_id);
    }
}

/// Which asynchronous messages the connection gets (OpenFlow 1.5, 7.3.10): properties of `OFPACPT_*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// Property type and value. For the standard ones the value is a bitmap of reasons, four bytes: see
    /// [`AsyncConfig::with`].
    pub properties: Vec<(u16, Bytes)>,
}

#[allow(missing_docs)] // As in the standard. The odd ones are for the roles primary and equal.
impl AsyncConfig {
    pub const PACKET_IN_SECONDARY: u16 = 0;
    pub const PACKET_IN_PRIMARY: u16 = 1;
    pub const PORT_STATUS_SECONDARY: u16 = 2;
    pub const PORT_STATUS_PRIMARY: u16 = 3;
    pub const FLOW_REMOVED_SECONDARY: u16 = 4;
    pub const FLOW_REMOVED_PRIMARY: u16 = 5;

    /// With the reasons in the bitmap `mask` asked for, bit n for reason n.
    #[must_use]
    pub fn with(mut self, property: u16, mask: u32) -> Self {
        self.properties.retain(|(kind, _)| *kind != property);
        self.properties.push((property, Bytes::copy_from_slice(&mask.to_be_bytes())));
        self
    }

    /// The bitmap of reasons of one property.
    pub fn mask(&self, property: u16) -> Option<u32> {
        let (_, value) = self.properties.iter().find(|(kind, _)| *kind == property)?;
        value.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        Ok(AsyncConfig { properties: Reader::new("asynchronous configuration", body).properties()? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.properties.iter().try_for_each(|(kind, value)| put_property(out, *kind, value))
    }
}

/// In what form the switch sends packets to the controller (`NXT_SET_PACKET_IN_FORMAT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketInFormat {
    /// `OFPT_PACKET_IN`: no userdata, no continuation.
    Standard,
    /// `NXT_PACKET_IN`: the older extension; kept raw by this crate.
    Nxt,
    /// `NXT_PACKET_IN2`: with userdata and continuation.
    Nxt2,
    /// One we do not know.
    Other(u32),
}

impl PacketInFormat {
    pub(super) fn number(self) -> u32 {
        match self {
            PacketInFormat::Standard => 0,
            PacketInFormat::Nxt => 1,
            PacketInFormat::Nxt2 => 2,
            PacketInFormat::Other(n) => n,
        }
    }

    pub(super) fn from_number(n: u32) -> Self {
        match n {
            0 => PacketInFormat::Standard,
            1 => PacketInFormat::Nxt,
            2 => PacketInFormat::Nxt2,
            n => PacketInFormat::Other(n),
        }
    }
}
