//! The map from tunnel options to the fields `tun_metadata0` to `tun_metadata63` (`NXT_TLV_TABLE_*`, ovs-fields(7)).
//!
//! A flow that uses `tun_metadataN` is refused until N is mapped, and a mapping in use by a flow cannot be removed. The
//! map is the bridge's, not the connection's, and is lost when ovs-vswitchd restarts.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::Reader;
use crate::error::DecodeError;

/// One tunnel option and the field it appears as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// Geneve option class.
    pub class: u16,
    /// Geneve option type; 0x80 is the critical bit.
    pub kind: u8,
    /// Bytes of its value: 4 to 124, a multiple of 4.
    pub len: u8,
    /// N of `tun_metadataN`, 0 to 63.
    pub index: u16,
}

impl TlvMap {
    fn decode_all(mut r: Reader) -> Result<Vec<Self>, DecodeError> {
        let mut out = Vec::with_capacity(r.remaining() / 8);
        while !r.is_empty() {
            out.push(TlvMap { class: r.u16()?, kind: r.u8()?, len: r.u8()?, index: r.u16()? });
            r.skip(2)?;
        }
        Ok(out)
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u16(self.class);
        out.put_u8(self.kind);
        out.put_u8(self.len);
        out.put_u16(self.index);
        out.put_u16(0);
    }
}

/// As `ovs-ofctl add-tlv-map` takes it.
impl fmt::Display for TlvMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{class={:#x},type={:#x},len={}}}->tun_metadata{}", self.class, self.kind, self.len, self.index)
    }
}

/// What to do to the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvTableCommand {
    /// Map these; all or none.
    Add,
    /// Unmap these.
    Delete,
    /// Unmap all; no maps are given.
    Clear,
    /// One we do not know.
    Other(u16),
}

/// `NXT_TLV_TABLE_MOD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvTableCommand,
    /// With which.
    pub maps: Vec<TlvMap>,
}

impl TlvTableMod {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("TLV table mod", body);
        let command = match r.u16()? {
            0 => TlvTableCommand::Add,
            1 => TlvTableCommand::Delete,
            2 => TlvTableCommand::Clear,
            n => TlvTableCommand::Other(n),
        };
        r.skip(6)?;
        Ok(TlvTableMod { command, maps: TlvMap::decode_all(r)? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u16(match self.command {
            TlvTableCommand::Add => 0,
            TlvTableCommand::Delete => 1,
            TlvTableCommand::Clear => 2,
            TlvTableCommand::Other(n) => n,
        });
        out.put_bytes(0, 6);
        self.maps.iter().for_each(|m| m.encode(out));
    }
}

impl fmt::Display for TlvTableMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command {
            TlvTableCommand::Add => f.write_str("ADD")?,
            TlvTableCommand::Delete => f.write_str("DEL")?,
            TlvTableCommand::Clear => f.write_str("CLEAR")?,
            TlvTableCommand::Other(n) => write!(f, "command {n}")?,
        }
        for (i, map) in self.maps.iter().enumerate() {
            write!(f, "{}{map}", if i == 0 { " " } else { "," })?;
        }
        Ok(())
    }
}

/// `NXT_TLV_TABLE_REPLY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTable {
    /// Bytes of all options together that the switch can hold.
    pub max_option_space: u32,
    /// Number of `tun_metadata` fields.
    pub max_fields: u16,
    /// What is mapped.
    pub maps: Vec<TlvMap>,
}

impl TlvTable {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("TLV table", body);
        let max_option_space = r.u32()?;
        let max_fields = r.u16()?;
        r.skip(10)?;
        Ok(TlvTable { max_option_space, max_fields, maps: TlvMap::decode_all(r)? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u32(self.max_option_space);
        out.put_u16(self.max_fields);
        out.put_bytes(0, 10);
        self.maps.iter().for_each(|m| m.encode(out));
    }
}
