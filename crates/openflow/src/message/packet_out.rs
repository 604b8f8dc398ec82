//! Sending a packet into the switch (`OFPT_PACKET_OUT`, OpenFlow 1.5, 7.3.6).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::flow_mod::NO_BUFFER;
use super::wire::{Reader, patch_len};
use crate::error::{DecodeError, EncodeError};
use crate::{Action, Field, Match, Value, action, field};

/// A packet and what to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// A packet that the switch buffered, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// The packet's fields that are not in it: in_port (which must be there), metadata, registers, tunnel, ...
    pub fields: Match,
    /// What to do; output to [`crate::port::TABLE`] sends it through the flow tables.
    pub actions: Vec<Action>,
    /// The packet, from its Ethernet header on.
    pub packet: Bytes,
}

impl PacketOut {
    /// `packet` as if it had come in by `in_port` ([`crate::port::CONTROLLER`] if by none).
    pub fn new(in_port: u32, packet: impl Into<Bytes>, actions: Vec<Action>) -> Self {
        PacketOut {
            buffer_id: NO_BUFFER,
            fields: Match::new().with(field::IN_PORT, in_port),
            actions,
            packet: packet.into(),
        }
    }

    /// With one more field set.
    #[must_use]
    pub fn with(mut self, f: &'static Field, value: impl Into<Value>) -> Self {
        self.fields = self.fields.with(f, value);
        self
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("packet-out", body);
        let buffer_id = r.u32()?;
        let actions_len = usize::from(r.u16()?);
        r.skip(2)?;
        let fields = Match::decode(r.rest_mut())?;
        let actions = action::decode_list(r.take(actions_len)?)?;
        Ok(PacketOut { buffer_id, fields, actions, packet: r.rest() })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(self.buffer_id);
        out.put_u32(0);
        self.fields.encode(out);
        let actions = out.len();
        action::encode_list(&self.actions, out)?;
        patch_len(out, "actions of a packet-out", start + 4, actions)?;
        out.put_slice(&self.packet);
        Ok(())
    }
}

impl fmt::Display for PacketOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} actions=", self.fields)?;
        if self.actions.is_empty() {
            f.write_str("drop")?;
        }
        for (i, action) in self.actions.iter().enumerate() {
            write!(f, "{}{action}", if i == 0 { "" } else { "," })?;
        }
        write!(f, " len={}", self.packet.len())
    }
}
