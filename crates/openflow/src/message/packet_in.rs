//! Packets that the switch sends to us, and back: `NXT_PACKET_IN2` and `NXT_RESUME` (Open vSwitch), `OFPT_PACKET_IN`
//! (OpenFlow 1.5, 7.4.1).
//!
//! A packet-in of the second form carries the flow's userdata, which says what the packet is wanted for, and, if the
//! flow's action had `pause`, a continuation: sent back by a resume, the packet (changed or not) goes on through the
//! flow tables where it was stopped.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, put_property};
use crate::Match;
use crate::error::{DecodeError, EncodeError};

/// Why the packet was sent (`OFPR_*`).
#[allow(missing_docs)] // As in the standard.
pub mod reason {
    pub const TABLE_MISS: u8 = 0;
    pub const APPLY_ACTION: u8 = 1;
    pub const INVALID_TTL: u8 = 2;
    pub const ACTION_SET: u8 = 3;
    pub const GROUP: u8 = 4;
    pub const PACKET_OUT: u8 = 5;
}

const PACKET: u16 = 0;
const FULL_LEN: u16 = 1;
const BUFFER_ID: u16 = 2;
const TABLE_ID: u16 = 3;
const COOKIE: u16 = 4;
const REASON: u16 = 5;
const METADATA: u16 = 6;
const USERDATA: u16 = 7;
const CONTINUATION: u16 = 8;

/// A packet for the controller, and the body of a resume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketIn2 {
    /// The packet, from its Ethernet header on, perhaps cut to the action's `max_len`.
    pub packet: Bytes,
    /// Its length if it was cut.
    pub full_len: Option<u32>,
    /// Where the switch keeps it; Open vSwitch buffers none.
    pub buffer_id: Option<u32>,
    /// The table of the flow that sent it.
    pub table: Option<u8>,
    /// The cookie of that flow. Of a paused packet Open vSwitch 3.1 tells the cookie of the first flow that it met,
    /// not of the one that paused it, and none of a packet that we sent: tell paused packets apart by their userdata.
    pub cookie: Option<u64>,
    /// [`reason`].
    pub reason: Option<u8>,
    /// Fields that are not in the packet: in_port, metadata, registers, tunnel, ...
    pub metadata: Match,
    /// The userdata of the flow's controller action; empty if it has none.
    pub userdata: Bytes,
    /// To be sent back as it is; present if the action had `pause`. Only the switch understands it.
    pub continuation: Option<Bytes>,
    /// Properties that we do not know: type and value.
    pub other: Vec<(u16, Bytes)>,
}

impl PacketIn2 {
    /// The body of the resume that lets this packet go on as `packet`.
    ///
    /// Fields in `metadata` may be changed too. Returns `None` if the packet was not paused.
    pub fn resume(&self, packet: Bytes) -> Option<PacketIn2> {
        self.continuation.as_ref()?;
        Some(PacketIn2 { packet, full_len: None, buffer_id: None, ..self.clone() })
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("packet-in", body);
        let mut out = PacketIn2::default();
        while !r.is_empty() {
            let (kind, value) = r.property()?;
            let mut v = Reader::new("property of a packet-in", value.clone());
            match kind {
                PACKET => out.packet = value,
                FULL_LEN => out.full_len = Some(v.u32()?),
                BUFFER_ID => out.buffer_id = Some(v.u32()?),
                TABLE_ID => out.table = Some(v.u8()?),
                COOKIE => {
                    v.skip(4)?;
                    out.cookie = Some(v.u64()?);
                }
                REASON => out.reason = Some(v.u8()?),
                METADATA => out.metadata = Match::from_oxm(&value)?,
                USERDATA => out.userdata = value,
                CONTINUATION => out.continuation = Some(value),
                _ => out.other.push((kind, value)),
            }
        }
        Ok(out)
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_property(out, PACKET, &self.packet)?;
        if let Some(n) = self.full_len {
            put_property(out, FULL_LEN, &n.to_be_bytes())?;
        }
        if let Some(n) = self.buffer_id {
            put_property(out, BUFFER_ID, &n.to_be_bytes())?;
        }
        if let Some(n) = self.table {
            put_property(out, TABLE_ID, &[n, 0, 0, 0])?;
        }
        if let Some(n) = self.cookie {
            let mut value = [0; 12];
            let (_, low) = value.split_at_mut(4);
            low.copy_from_slice(&n.to_be_bytes());
            put_property(out, COOKIE, &value)?;
        }
        if let Some(n) = self.reason {
            put_property(out, REASON, &[n, 0, 0, 0])?;
        }
        if !self.metadata.oxm_bytes().is_empty() {
            put_property(out, METADATA, self.metadata.oxm_bytes())?;
        }
        // In the order of Open vSwitch, so that what it sent comes out the same.
        if let Some(value) = &self.continuation {
            put_property(out, CONTINUATION, value)?;
        }
        if !self.userdata.is_empty() {
            put_property(out, USERDATA, &self.userdata)?;
        }
        self.other.iter().try_for_each(|(kind, value)| put_property(out, *kind, value))
    }
}

impl fmt::Display for PacketIn2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = self.table {
            write!(f, "table={table} ")?;
        }
        if let Some(cookie) = self.cookie {
            write!(f, "cookie={cookie:#x} ")?;
        }
        write!(f, "{} len={}", self.metadata, self.packet.len())?;
        if self.continuation.is_some() {
            f.write_str(" paused")?;
        }
        Ok(())
    }
}

/// `OFPT_PACKET_IN`, the standard form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// Where the switch keeps it, or all ones.
    pub buffer_id: u32,
    /// Length of the whole packet.
    pub total_len: u16,
    /// [`reason`].
    pub reason: u8,
    /// The table of the flow that sent it.
    pub table: u8,
    /// The cookie of that flow.
    pub cookie: u64,
    /// Fields that are not in the packet.
    pub metadata: Match,
    /// The packet.
    pub packet: Bytes,
}

impl PacketIn {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("packet-in", body);
        let buffer_id = r.u32()?;
        let total_len = r.u16()?;
        let reason = r.u8()?;
        let table = r.u8()?;
        let cookie = r.u64()?;
        let metadata = Match::decode(r.rest_mut())?;
        r.skip(2)?;
        Ok(PacketIn { buffer_id, total_len, reason, table, cookie, metadata, packet: r.rest() })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u32(self.buffer_id);
        out.put_u16(self.total_len);
        out.put_u8(self.reason);
        out.put_u8(self.table);
        out.put_u64(self.cookie);
        self.metadata.encode(out);
        out.put_u16(0);
        out.put_slice(&self.packet);
    }
}
