//! Meters: rate limits that flows and controller actions refer to (OpenFlow 1.5, 7.3.4.5 and 7.3.5.14).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, patch_len};
use crate::error::{DecodeError, EncodeError};

/// `OFPMC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterCommand {
    /// A new one.
    Add,
    /// Replaces one that exists.
    Modify,
    /// Removes one, or all with [`MeterMod::ALL`].
    Delete,
    /// One we do not know.
    Other(u16),
}

/// One band of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterBand {
    /// `OFPMBT_*`: 1 drops, 2 remarks the DSCP.
    pub kind: u16,
    /// Kilobits or packets a second, by the meter's flags.
    pub rate: u32,
    /// Kilobits or packets.
    pub burst_size: u32,
    /// What the band's kind adds: four bytes of padding for a drop band.
    pub rest: Bytes,
}

impl MeterBand {
    /// `OFPMBT_DROP`.
    pub const DROP: u16 = 1;

    /// Drops what comes faster than `rate`.
    pub fn drop(rate: u32, burst_size: u32) -> Self {
        MeterBand { kind: Self::DROP, rate, burst_size, rest: Bytes::from_static(&[0; 4]) }
    }

    fn decode_all(mut r: Reader) -> Result<Vec<Self>, DecodeError> {
        let mut out = Vec::new();
        while !r.is_empty() {
            let kind = r.u16()?;
            let len = usize::from(r.u16()?);
            if len < 12 {
                return Err(DecodeError::BadLength { what: "meter band", length: len });
            }
            let mut r = r.sub("meter band", len - 4)?;
            out.push(MeterBand { kind, rate: r.u32()?, burst_size: r.u32()?, rest: r.rest() });
        }
        Ok(out)
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u16(self.kind);
        out.put_u16(0);
        out.put_u32(self.rate);
        out.put_u32(self.burst_size);
        out.put_slice(&self.rest);
        patch_len(out, "meter band", start + 2, start)
    }
}

/// `OFPMF_*`: what a meter counts.
#[allow(missing_docs)] // As in the standard.
pub mod meter_flags {
    pub const KBPS: u16 = 1;
    pub const PKTPS: u16 = 2;
    pub const BURST: u16 = 4;
    pub const STATS: u16 = 8;
}

/// `OFPT_METER_MOD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// [`meter_flags`].
    pub flags: u16,
    /// Which: 1 to 0xffff0000, or one of the special ones.
    pub meter_id: u32,
    /// At least one, except to delete.
    pub bands: Vec<MeterBand>,
}

impl MeterMod {
    /// All meters, to delete or to ask for.
    pub const ALL: u32 = 0xffff_ffff;
    /// Open vSwitch's meter for all packets to the controller (`OFPM_CONTROLLER`).
    pub const CONTROLLER: u32 = 0xffff_fffe;

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("meter mod", body);
        let command = match r.u16()? {
            0 => MeterCommand::Add,
            1 => MeterCommand::Modify,
            2 => MeterCommand::Delete,
            n => MeterCommand::Other(n),
        };
        let flags = r.u16()?;
        let meter_id = r.u32()?;
        Ok(MeterMod { command, flags, meter_id, bands: MeterBand::decode_all(r)? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u16(match self.command {
            MeterCommand::Add => 0,
            MeterCommand::Modify => 1,
            MeterCommand::Delete => 2,
            MeterCommand::Other(n) => n,
        });
        out.put_u16(self.flags);
        out.put_u32(self.meter_id);
        self.bands.iter().try_for_each(|b| b.encode(out))
    }
}

impl fmt::Display for MeterMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command {
            MeterCommand::Add => f.write_str("ADD")?,
            MeterCommand::Modify => f.write_str("MOD")?,
            MeterCommand::Delete => f.write_str("DEL")?,
            MeterCommand::Other(n) => write!(f, "command {n}")?,
        }
        write!(f, " meter={} flags={:#x}", self.meter_id, self.flags)?;
        for b in &self.bands {
            write!(f, " band(type={} rate={} burst_size={})", b.kind, b.rate, b.burst_size)?;
        }
        Ok(())
    }
}

/// One meter as the switch has it (`OFPMP_METER_DESC`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// [`meter_flags`].
    pub flags: u16,
    /// Which.
    pub meter_id: u32,
    /// Its bands.
    pub bands: Vec<MeterBand>,
}

impl MeterConfig {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 8 {
            return Err(DecodeError::BadLength { what: "meter", length: len });
        }
        let mut r = r.sub("meter", len - 2)?;
        Ok(MeterConfig { flags: r.u16()?, meter_id: r.u32()?, bands: MeterBand::decode_all(r)? })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u16(0);
        out.put_u16(self.flags);
        out.put_u32(self.meter_id);
        self.bands.iter().try_for_each(|b| b.encode(out))?;
        patch_len(out, "meter", start, start)
    }
}

/// What one meter has done (`OFPMP_METER_STATS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterStats {
    /// Which.
    pub meter_id: u32,
    /// Flows that use it.
    pub flow_count: u32,
    /// Packets it has seen.
    pub packets: u64,
    /// Bytes it has seen.
    pub bytes: u64,
    /// Seconds for which it has existed, and nanoseconds beyond them.
    pub duration: (u32, u32),
    /// Packets and bytes that each band has acted upon.
    pub bands: Vec<(u64, u64)>,
}

impl MeterStats {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let meter_id = r.u32()?;
        let len = usize::from(r.u16()?);
        if len < 40 {
            return Err(DecodeError::BadLength { what: "meter counters", length: len });
        }
        let mut r = r.sub("meter counters", len - 6)?;
        r.skip(6)?;
        let flow_count = r.u32()?;
        let packets = r.u64()?;
        let bytes = r.u64()?;
        let duration = (r.u32()?, r.u32()?);
        let mut bands = Vec::new();
        while !r.is_empty() {
            bands.push((r.u64()?, r.u64()?));
        }
        Ok(MeterStats { meter_id, flow_count, packets, bytes, duration, bands })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(self.meter_id);
        out.put_u64(0);
        out.put_u32(self.flow_count);
        out.put_u64(self.packets);
        out.put_u64(self.bytes);
        out.put_u32(self.duration.0);
        out.put_u32(self.duration.1);
        for (packets, bytes) in &self.bands {
            out.put_u64(*packets);
            out.put_u64(*bytes);
        }
        patch_len(out, "meter counters", start + 4, start)
    }
}
