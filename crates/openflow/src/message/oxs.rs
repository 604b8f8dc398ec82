//! Counters of flows as OpenFlow 1.5 writes them: OXS, a list of type, length, value (OpenFlow 1.5, 7.2.4).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Reader, padding, patch_len};
use crate::error::{DecodeError, EncodeError};

/// `OFPXSC_OPENFLOW_BASIC`.
const BASIC: u16 = 0x8002;

const DURATION: u8 = 0;
const IDLE_TIME: u8 = 1;
const FLOW_COUNT: u8 = 3;
const PACKET_COUNT: u8 = 4;
const BYTE_COUNT: u8 = 5;

/// What the switch counted. What it did not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// How long the flow has existed.
    pub duration: Option<Duration>,
    /// How long no packet has matched it.
    pub idle: Option<Duration>,
    /// Flows that were added up, in an aggregate.
    pub flows: Option<u32>,
    /// Packets matched.
    pub packets: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Entries that we do not know, header (class, field, length) and value.
    pub raw: Vec<Bytes>,
}

/// Reads `ofp_stats` and its padding.
pub(super) fn decode(r: &mut Reader) -> Result<FlowCounters, DecodeError> {
    r.skip(2)?;
    let len = usize::from(r.u16()?);
    if len < 4 {
        return Err(DecodeError::BadLength { what: "flow counters", length: len });
    }
    let mut list = r.sub("flow counters", len - 4)?;
    r.skip(padding(len).min(r.remaining()))?;

    let mut out = FlowCounters::default();
    while !list.is_empty() {
        let class = list.u16()?;
        let field = list.u8()?;
        let len = list.u8()?;
        let value = list.take(usize::from(len))?;
        let mut v = Reader::new("flow counter", value.clone());
        // The lowest bit of the field's byte is reserved.
        match (class, field >> 1, len) {
            (BASIC, DURATION, 8) => out.duration = Some(seconds(&mut v)?),
            (BASIC, IDLE_TIME, 8) => out.idle = Some(seconds(&mut v)?),
            (BASIC, FLOW_COUNT, 4) => out.flows = Some(v.u32()?),
            (BASIC, PACKET_COUNT, 8) => out.packets = Some(v.u64()?),
            (BASIC, BYTE_COUNT, 8) => out.bytes = Some(v.u64()?),
            _ => {
                let mut raw = BytesMut::with_capacity(4 + value.len());
                raw.put_u16(class);
                raw.put_u8(field);
                raw.put_u8(len);
                raw.put_slice(&value);
                out.raw.push(raw.freeze());
            }
        }
    }
    Ok(out)
}

/// Nanoseconds of a second and more are the switch's error; they must not be ours.
fn seconds(v: &mut Reader) -> Result<Duration, DecodeError> {
    let s = v.u32()?;
    let ns = v.u32()?;
    Ok(Duration::from_secs(u64::from(s)) + Duration::from_nanos(u64::from(ns)))
}

/// Writes `ofp_stats` and its padding.
pub(super) fn encode(c: &FlowCounters, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u32(0);
    for (field, time) in [(DURATION, c.duration), (IDLE_TIME, c.idle)] {
        if let Some(time) = time {
            put_header(out, field, 8);
            out.put_u32(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
            out.put_u32(time.subsec_nanos());
        }
    }
    for (field, count) in [(PACKET_COUNT, c.packets), (BYTE_COUNT, c.bytes)] {
        if let Some(count) = count {
            put_header(out, field, 8);
            out.put_u64(count);
        }
    }
    if let Some(flows) = c.flows {
        put_header(out, FLOW_COUNT, 4);
        out.put_u32(flows);
    }
    c.raw.iter().for_each(|raw| out.put_slice(raw));
    let unpadded = out.len() - start;
    patch_len(out, "flow counters", start + 2, start)?;
    out.put_bytes(0, padding(unpadded));
    Ok(())
}

fn put_header(out: &mut BytesMut, field: u8, len: u8) {
    out.put_u16(BASIC);
    out.put_u8(field << 1);
    out.put_u8(len);
}
