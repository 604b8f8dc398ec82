//! Ports: their description, their changes, their counters (OpenFlow 1.5, 7.2.1, 7.4.3 and 7.3.5.6).

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, padding, patch_len, put_property, put_text};
use crate::error::{DecodeError, EncodeError};

/// `ofp_port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// OpenFlow port number; see [`crate::port`] for the special ones.
    pub port_no: u32,
    /// Hardware address.
    pub hw_addr: [u8; 6],
    /// Name of the interface, at most 15 bytes.
    pub name: String,
    /// `OFPPC_*`, what was configured.
    pub config: u32,
    /// `OFPPS_*`, what is.
    pub state: u32,
    /// Properties: type and value. Type 0 is that of Ethernet (features and speeds).
    pub properties: Vec<(u16, Bytes)>,
}

#[allow(missing_docs)] // As in the standard.
impl Port {
    pub const CONFIG_DOWN: u32 = 1;
    pub const STATE_LINK_DOWN: u32 = 1;
    pub const STATE_BLOCKED: u32 = 2;
    pub const STATE_LIVE: u32 = 4;

    /// Neither switched off nor without a link.
    pub fn is_up(&self) -> bool {
        self.config & Self::CONFIG_DOWN == 0 && self.state & Self::STATE_LINK_DOWN == 0
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let port_no = r.u32()?;
        let len = usize::from(r.u16()?);
        if len < 40 {
            return Err(DecodeError::BadLength { what: "port", length: len });
        }
        let mut r = r.sub("port", len - 6)?;
        r.skip(2)?;
        let hw_addr = r.array()?;
        r.skip(2)?;
        let name = r.text(16)?;
        let config = r.u32()?;
        let state = r.u32()?;
        Ok(Port { port_no, hw_addr, name, config, state, properties: r.properties()? })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(self.port_no);
        out.put_u32(0);
        out.put_slice(&self.hw_addr);
        out.put_u16(0);
        put_text(out, &self.name, 16);
        out.put_u32(self.config);
        out.put_u32(self.state);
        for (kind, value) in &self.properties {
            put_property(out, *kind, value)?;
        }
        patch_len(out, "port", start + 4, start)
    }
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReason {
    /// It was added.
    Add,
    /// It was removed.
    Delete,
    /// Its configuration or state changed.
    Modify,
    /// One we do not know.
    Other(u8),
}

/// `OFPT_PORT_STATUS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port as it is now, or was last.
    pub port: Port,
}

impl PortStatus {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("port status", body);
        let reason = match r.u8()? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            n => PortReason::Other(n),
        };
        r.skip(7)?;
        Ok(PortStatus { reason, port: Port::decode(&mut r)? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(match self.reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
            PortReason::Other(n) => n,
        });
        out.put_bytes(0, 7);
        self.port.encode(out)
    }
}

/// `ofp_port_stats`: the counters of one port. A counter that the switch does not keep is all ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStats {
    /// OpenFlow port number.
    pub port_no: u32,
    /// Seconds for which the port has existed, and nanoseconds beyond them.
    pub duration: (u32, u32),
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Packets dropped instead of sent.
    pub tx_dropped: u64,
    /// Errors on receipt.
    pub rx_errors: u64,
    /// Errors on sending.
    pub tx_errors: u64,
    /// Properties: type and value.
    pub properties: Vec<(u16, Bytes)>,
}

impl PortStats {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 80 {
            return Err(DecodeError::BadLength { what: "port counters", length: len });
        }
        let mut r = r.sub("port counters", len - 2)?;
        r.skip(2)?;
        Ok(PortStats {
            port_no: r.u32()?,
            duration: (r.u32()?, r.u32()?),
            rx_packets: r.u64()?,
            tx_packets: r.u64()?,
            rx_bytes: r.u64()?,
            tx_bytes: r.u64()?,
            rx_dropped: r.u64()?,
            tx_dropped: r.u64()?,
            rx_errors: r.u64()?,
            tx_errors: r.u64()?,
            properties: r.properties()?,
        })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(self.port_no);
        out.put_u32(self.duration.0);
        out.put_u32(self.duration.1);
        for n in [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            self.rx_errors,
            self.tx_errors,
        ] {
            out.put_u64(n);
        }
        for (kind, value) in &self.properties {
            put_property(out, *kind, value)?;
        }
        out.put_bytes(0, padding(out.len() - start));
        patch_len(out, "port counters", start, start)
    }
}
