//! What the switch is: `OFPT_FEATURES_REPLY` and the description multipart (OpenFlow 1.5, 7.3.1 and 7.3.5.1).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, put_text};
use crate::error::DecodeError;

/// The answer to a features request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The bridge's id; `ovs-vsctl get bridge BR datapath_id`.
    pub datapath_id: u64,
    /// Packets the switch can buffer; 0 in Open vSwitch.
    pub n_buffers: u32,
    /// Flow tables that a controller may use: 254 in Open vSwitch.
    pub n_tables: u8,
    /// 0 on the main connection.
    pub auxiliary_id: u8,
    /// `OFPC_*` bits.
    pub capabilities: u32,
}

impl Features {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("features reply", body);
        let datapath_id = r.u64()?;
        let n_buffers = r.u32()?;
        let n_tables = r.u8()?;
        let auxiliary_id = r.u8()?;
        r.skip(2)?;
        let capabilities = r.u32()?;
        r.skip(4)?;
        Ok(Features { datapath_id, n_buffers, n_tables, auxiliary_id, capabilities })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u64(self.datapath_id);
        out.put_u32(self.n_buffers);
        out.put_u8(self.n_tables);
        out.put_u8(self.auxiliary_id);
        out.put_u16(0);
        out.put_u32(self.capabilities);
        out.put_u32(0);
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datapath {:016x}, {} tables", self.datapath_id, self.n_tables)
    }
}

/// Who made the switch, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchDesc {
    /// "Nicira, Inc."
    pub manufacturer: String,
    /// "Open vSwitch"
    pub hardware: String,
    /// Its version, "3.1.0".
    pub software: String,
    /// "None" unless set in the bridge's `other_config:dp-sn`.
    pub serial_number: String,
    /// The bridge's description.
    pub datapath: String,
}

impl SwitchDesc {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("switch description", body);
        Ok(SwitchDesc {
            manufacturer: r.text(256)?,
            hardware: r.text(256)?,
            software: r.text(256)?,
            serial_number: r.text(32)?,
            datapath: r.text(256)?,
        })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        put_text(out, &self.manufacturer, 256);
        put_text(out, &self.hardware, 256);
        put_text(out, &self.software, 256);
        put_text(out, &self.serial_number, 32);
        put_text(out, &self.datapath, 256);
    }
}
