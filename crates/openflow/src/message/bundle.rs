//! Many changes as one (`OFPT_BUNDLE_CONTROL`, `OFPT_BUNDLE_ADD_MESSAGE`, OpenFlow 1.5, 7.3.9).
//!
//! Open vSwitch commits a bundle so that every packet sees either all of it or nothing. It checks messages when they
//! are added *and* when the bundle is committed, and an add that was refused is merely left out: a client must look at
//! the answers to all adds before it commits. [`crate::connection::Switch::bundle`] does.

use bytes::{BufMut, Bytes, BytesMut};

use super::Message;
use super::header::{HEADER_LEN, Header, kind};
use super::wire::{Reader, put_property};
use crate::error::{DecodeError, EncodeError};

/// `OFPBCT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleAction {
    /// Open it.
    OpenRequest,
    /// It is open.
    OpenReply,
    /// Take no more messages.
    CloseRequest,
    /// It is closed.
    CloseReply,
    /// Do all of it.
    CommitRequest,
    /// It is done.
    CommitReply,
    /// Forget it.
    DiscardRequest,
    /// It is forgotten.
    DiscardReply,
    /// One we do not know.
    Other(u16),
}

impl BundleAction {
    fn number(self) -> u16 {
        match self {
            BundleAction::OpenRequest => 0,
            BundleAction::OpenReply => 1,
            BundleAction::CloseRequest => 2,
            BundleAction::CloseReply => 3,
            BundleAction::CommitRequest => 4,
            BundleAction::CommitReply => 5,
            BundleAction::DiscardRequest => 6,
            BundleAction::DiscardReply => 7,
            BundleAction::Other(n) => n,
        }
    }

    fn from_number(n: u16) -> Self {
        match n {
            0 => BundleAction::OpenRequest,
            1 => BundleAction::OpenReply,
            2 => BundleAction::CloseRequest,
            3 => BundleAction::CloseReply,
            4 => BundleAction::CommitRequest,
            5 => BundleAction::CommitReply,
            6 => BundleAction::DiscardRequest,
            7 => BundleAction::DiscardReply,
            n => BundleAction::Other(n),
        }
    }
}

/// `OFPBF_ATOMIC`: all or nothing, for packets too.
pub const ATOMIC: u16 = 1;
/// `OFPBF_ORDERED`: in the order of the adds.
pub const ORDERED: u16 = 2;

/// `OFPT_BUNDLE_CONTROL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// Which bundle of this connection.
    pub bundle_id: u32,
    /// What to do, or what was done.
    pub action: BundleAction,
    /// [`ATOMIC`], [`ORDERED`]; the same in all messages of a bundle.
    pub flags: u16,
    /// Properties: type and value.
    pub properties: Vec<(u16, Bytes)>,
}

impl BundleControl {
    /// A request for an atomic and ordered bundle.
    pub fn new(bundle_id: u32, action: BundleAction) -> Self {
        BundleControl { bundle_id, action, flags: ATOMIC | ORDERED, properties: Vec::new() }
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("bundle control", body);
        Ok(BundleControl {
            bundle_id: r.u32()?,
            action: BundleAction::from_number(r.u16()?),
            flags: r.u16()?,
            properties: r.properties()?,
        })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u32(self.bundle_id);
        out.put_u16(self.action.number());
        out.put_u16(self.flags);
        self.properties.iter().try_for_each(|(kind, value)| put_property(out, *kind, value))
    }
}

/// `OFPT_BUNDLE_ADD_MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// Which bundle of this connection.
    pub bundle_id: u32,
    /// As in [`BundleControl::flags`].
    pub flags: u16,
    /// The message: flow mod, group mod, packet-out or port mod. Its xid is that of the message around it.
    pub message: Box<Message>,
    /// Properties: type and value.
    pub properties: Vec<(u16, Bytes)>,
}

impl BundleAdd {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("bundle add", body);
        let bundle_id = r.u32()?;
        r.skip(2)?;
        let flags = r.u16()?;
        let mut inner = r.rest();
        let Some(header) = Header::peek(&inner) else {
            return Err(DecodeError::Truncated { what: "message in a bundle", need: HEADER_LEN, have: inner.len() });
        };
        let len = usize::from(header.length);
        if len < HEADER_LEN || len > inner.len() {
            return Err(DecodeError::BadLength { what: "message in a bundle", length: len });
        }
        let frame = inner.split_to(len);
        // A bundle in a bundle is not allowed, so it is not followed: nesting cannot exhaust the stack.
        let message = match header.kind {
            kind::BUNDLE_ADD_MESSAGE => Message::raw(frame)?,
            _ => Message::decode(frame)?.1,
        };
        // Padding to 8 bytes comes only before properties.
        let mut tail = Reader::new("properties of a bundle add", inner);
        if !tail.is_empty() {
            tail.skip(super::wire::padding(len).min(tail.remaining()))?;
        }
        Ok(BundleAdd { bundle_id, flags, message: Box::new(message), properties: tail.properties()? })
    }

    pub(super) fn encode_body(&self, xid: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_add_head(self.bundle_id, self.flags, out);
        let start = out.len();
        self.message.encode(xid, out)?;
        if !self.properties.is_empty() {
            out.put_bytes(0, super::wire::padding(out.len() - start));
        }
        self.properties.iter().try_for_each(|(kind, value)| put_property(out, *kind, value))
    }
}

/// What stands in front of the message in an add.
pub(crate) fn put_add_head(bundle_id: u32, flags: u16, out: &mut BytesMut) {
    out.put_u32(bundle_id);
    out.put_u16(0);
    out.put_u16(flags);
}
