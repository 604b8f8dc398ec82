//! Questions whose answers may come in many parts (`OFPT_MULTIPART_*`, OpenFlow 1.5, 7.3.5).
//!
//! A reply's parts are whole by themselves: each is decoded alone, and the connection puts their entries together.

use bytes::{BufMut, Bytes, BytesMut};

use super::features::SwitchDesc;
use super::flow_mod::{ALL_TABLES, ANY_GROUP};
use super::group::{GroupDesc, GroupStats};
use super::group_mod::GroupMod;
use super::meter::{MeterConfig, MeterMod, MeterStats};
use super::monitor::{FlowMonitor, FlowUpdate};
use super::oxs::{self, FlowCounters};
use super::port_desc::{Port, PortStats};
use super::wire::{Reader, padding, patch_len};
use crate::error::{DecodeError, EncodeError};
use crate::{Flow, Match, instruction, port};

/// `OFPMP_*`.
mod kind {
    pub const DESC: u16 = 0;
    pub const FLOW_DESC: u16 = 1;
    pub const AGGREGATE: u16 = 2;
    pub const TABLE: u16 = 3;
    pub const PORT_STATS: u16 = 4;
    pub const GROUP_STATS: u16 = 6;
    pub const GROUP_DESC: u16 = 7;
    pub const METER_STATS: u16 = 9;
    pub const METER_CONFIG: u16 = 10;
    pub const PORT_DESC: u16 = 13;
    pub const FLOW_MONITOR: u16 = 16;
}

/// `OFPMPF_REQ_MORE` and `OFPMPF_REPLY_MORE`: another part follows.
pub const MORE: u16 = 1;

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFilter {
    /// One table, or [`ALL_TABLES`].
    pub table: u8,
    /// Only those that output to this port; [`port::ANY`] for all.
    pub out_port: u32,
    /// Only those that output to this group; [`ANY_GROUP`] for all.
    pub out_group: u32,
    /// Only those whose cookie equals this in the bits of the mask.
    pub cookie: u64,
    /// See `cookie`; 0 for all.
    pub cookie_mask: u64,
    /// Only those that this match covers.
    pub matching: Match,
}

impl Default for FlowFilter {
    /// All flows of all tables.
    fn default() -> Self {
        FlowFilter {
            table: ALL_TABLES,
            out_port: port::ANY,
            out_group: ANY_GROUP,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::new(),
        }
    }
}

impl FlowFilter {
    fn decode(mut r: Reader) -> Result<Self, DecodeError> {
        let table = r.u8()?;
        r.skip(3)?;
        let out_port = r.u32()?;
        let out_group = r.u32()?;
        r.skip(4)?;
        let cookie = r.u64()?;
        let cookie_mask = r.u64()?;
        Ok(FlowFilter { table, out_port, out_group, cookie, cookie_mask, matching: Match::decode(r.rest_mut())? })
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.table);
        out.put_bytes(0, 3);
        out.put_u32(self.out_port);
        out.put_u32(self.out_group);
        out.put_u32(0);
        out.put_u64(self.cookie);
        out.put_u64(self.cookie_mask);
        self.matching.encode(out);
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartRequest {
    /// Who made the switch.
    Desc,
    /// Flows with their instructions and counters (`OFPMP_FLOW_DESC`).
    Flows(FlowFilter),
    /// The counters of flows, added up.
    Aggregate(FlowFilter),
    /// Number of flows and look-ups of each table.
    Tables,
    /// Counters of one port, or of all ([`port::ANY`]).
    PortStats(u32),
    /// Description of one port, or of all ([`port::ANY`]).
    Ports(u32),
    /// Counters of one group, or of all ([`GroupMod::ALL`]).
    GroupStats(u32),
    /// One group with its buckets, or all ([`GroupMod::ALL`]).
    Groups(u32),
    /// Counters of one meter, or of all ([`MeterMod::ALL`]).
    MeterStats(u32),
    /// One meter with its bands, or all ([`MeterMod::ALL`]).
    Meters(u32),
    /// Begins or ends to monitor flows.
    FlowMonitor(FlowMonitor),
    /// One that this crate does not decode: type and body.
    Other(u16, Bytes),
}

impl MultipartRequest {
    /// All groups.
    pub const ALL_GROUPS: MultipartRequest = MultipartRequest::Groups(GroupMod::ALL);
    /// All ports.
    pub const ALL_PORTS: MultipartRequest = MultipartRequest::Ports(port::ANY);
    /// All meters.
    pub const ALL_METERS: MultipartRequest = MultipartRequest::Meters(MeterMod::ALL);

    fn number(&self) -> u16 {
        match self {
            MultipartRequest::Desc => kind::DESC,
            MultipartRequest::Flows(_) => kind::FLOW_DESC,
            MultipartRequest::Aggregate(_) => kind::AGGREGATE,
            MultipartRequest::Tables => kind::TABLE,
            MultipartRequest::PortStats(_) => kind::PORT_STATS,
            MultipartRequest::Ports(_) => kind::PORT_DESC,
            MultipartRequest::GroupStats(_) => kind::GROUP_STATS,
            MultipartRequest::Groups(_) => kind::GROUP_DESC,
            MultipartRequest::MeterStats(_) => kind::METER_STATS,
            MultipartRequest::Meters(_) => kind::METER_CONFIG,
            MultipartRequest::FlowMonitor(_) => kind::FLOW_MONITOR,
            MultipartRequest::Other(n, _) => *n,
        }
    }

    /// What stands in front of every multipart body: type, flags, padding.
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("multipart request", body);
        let number = r.u16()?;
        r.skip(6)?;
        let mut one = r.clone();
        Ok(match number {
            kind::DESC => MultipartRequest::Desc,
            kind::FLOW_DESC => MultipartRequest::Flows(FlowFilter::decode(r)?),
            kind::AGGREGATE => MultipartRequest::Aggregate(FlowFilter::decode(r)?),
            kind::TABLE => MultipartRequest::Tables,
            kind::PORT_STATS => MultipartRequest::PortStats(one.u32()?),
            kind::PORT_DESC => MultipartRequest::Ports(one.u32()?),
            kind::GROUP_STATS => MultipartRequest::GroupStats(one.u32()?),
            kind::GROUP_DESC => MultipartRequest::Groups(one.u32()?),
            kind::METER_STATS => MultipartRequest::MeterStats(one.u32()?),
            kind::METER_CONFIG => MultipartRequest::Meters(one.u32()?),
            kind::FLOW_MONITOR => MultipartRequest::FlowMonitor(FlowMonitor::decode(r)?),
            n => MultipartRequest::Other(n, r.rest()),
        })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u16(self.number());
        out.put_bytes(0, 6);
        match self {
            MultipartRequest::Desc | MultipartRequest::Tables => {}
            MultipartRequest::Flows(filter) | MultipartRequest::Aggregate(filter) => filter.encode(out),
            MultipartRequest::PortStats(id)
            | MultipartRequest::Ports(id)
            | MultipartRequest::GroupStats(id)
            | MultipartRequest::Groups(id)
            | MultipartRequest::MeterStats(id)
            | MultipartRequest::Meters(id) => {
                out.put_u32(*id);
                out.put_u32(0);
            }
            MultipartRequest::FlowMonitor(monitor) => monitor.encode(out),
            MultipartRequest::Other(_, body) => out.put_slice(body),
        }
    }
}

/// One flow as the switch has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// The flow.
    pub flow: Flow,
    /// What it has done.
    pub counters: FlowCounters,
}

impl FlowStats {
    /// Packets it has matched; 0 if the switch does not say.
    pub fn packets(&self) -> u64 {
        self.counters.packets.unwrap_or(0)
    }

    /// Their bytes; 0 if the switch does not say.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.unwrap_or(0)
    }

    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 32 {
            return Err(DecodeError::BadLength { what: "flow", length: len });
        }
        let mut r = r.sub("flow", len - 2)?;
        r.skip(2)?;
        let table = r.u8()?;
        r.skip(1)?;
        let priority = r.u16()?;
        let idle_timeout = r.u16()?;
        let hard_timeout = r.u16()?;
        let flags = r.u16()?;
        let importance = r.u16()?;
        let cookie = r.u64()?;
        let matching = Match::decode(r.rest_mut())?;
        let counters = oxs::decode(&mut r)?;
        let instructions = instruction::decode_list(r.rest())?;
        Ok(FlowStats {
            flow: Flow {
                table,
                priority,
                cookie,
                idle_timeout,
                hard_timeout,
                importance,
                flags,
                matching,
                instructions,
            },
            counters,
        })
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        let flow = &self.flow;
        out.put_u32(0);
        out.put_u8(flow.table);
        out.put_u8(0);
        out.put_u16(flow.priority);
        out.put_u16(flow.idle_timeout);
        out.put_u16(flow.hard_timeout);
        out.put_u16(flow.flags);
        out.put_u16(flow.importance);
        out.put_u64(flow.cookie);
        flow.matching.encode(out);
        oxs::encode(&self.counters, out)?;
        instruction::encode_list(&flow.instructions, out)?;
        out.put_bytes(0, padding(out.len() - start));
        patch_len(out, "flow", start, start)
    }
}

/// What one table holds and has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Which.
    pub table: u8,
    /// Flows in it.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched a flow.
    pub matched: u64,
}

impl TableStats {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let table = r.u8()?;
        r.skip(3)?;
        Ok(TableStats { table, active: r.u32()?, lookups: r.u64()?, matched: r.u64()? })
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.table);
        out.put_bytes(0, 3);
        out.put_u32(self.active);
        out.put_u64(self.lookups);
        out.put_u64(self.matched);
    }
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartReply {
    /// Another part follows.
    pub more: bool,
    /// What it says.
    pub body: ReplyBody,
}

/// What one part of an answer says; see [`MultipartRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ReplyBody {
    Desc(SwitchDesc),
    Flows(Vec<FlowStats>),
    Aggregate(FlowCounters),
    Tables(Vec<TableStats>),
    PortStats(Vec<PortStats>),
    Ports(Vec<Port>),
    GroupStats(Vec<GroupStats>),
    Groups(Vec<GroupDesc>),
    MeterStats(Vec<MeterStats>),
    Meters(Vec<MeterConfig>),
    FlowUpdates(Vec<FlowUpdate>),
    Other(u16, Bytes),
}

/// The flows of a part that can be read, and what is wrong with the others: a flow of other software that we do not
/// understand must not hide ours.
pub(crate) fn readable_flows(frame: Bytes) -> (Vec<FlowStats>, Vec<DecodeError>) {
    let mut flows = Vec::new();
    let mut errors = Vec::new();
    let mut r = Reader::new("flows", frame);
    // Header, type, flags, padding.
    let mut more = r.skip(16);
    while more.is_ok() && !r.is_empty() {
        let mut length = r.clone();
        more = length.u16().and_then(|len| r.sub("flow", usize::from(len).max(2))).map(
            |mut one| match FlowStats::decode(&mut one) {
                Ok(flow) => flows.push(flow),
                Err(e) => errors.push(e),
            },
        );
    }
    errors.extend(more.err());
    (flows, errors)
}

fn all<T>(mut r: Reader, one: impl Fn(&mut Reader) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
    let mut out = Vec::new();
    while !r.is_empty() {
        out.push(one(&mut r)?);
    }
    Ok(out)
}

impl MultipartReply {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("multipart reply", body);
        let number = r.u16()?;
        let more = r.u16()? & MORE != 0;
        r.skip(4)?;
        let body = match number {
            kind::DESC => ReplyBody::Desc(SwitchDesc::decode_body(r.rest())?),
            kind::FLOW_DESC => ReplyBody::Flows(all(r, FlowStats::decode)?),
            kind::AGGREGATE => ReplyBody::Aggregate(oxs::decode(&mut r)?),
            kind::TABLE => ReplyBody::Tables(all(r, TableStats::decode)?),
            kind::PORT_STATS => ReplyBody::PortStats(all(r, PortStats::decode)?),
            kind::PORT_DESC => ReplyBody::Ports(all(r, Port::decode)?),
            kind::GROUP_STATS => ReplyBody::GroupStats(all(r, GroupStats::decode)?),
            kind::GROUP_DESC => ReplyBody::Groups(all(r, GroupDesc::decode)?),
            kind::METER_STATS => ReplyBody::MeterStats(all(r, MeterStats::decode)?),
            kind::METER_CONFIG => ReplyBody::Meters(all(r, MeterConfig::decode)?),
            kind::FLOW_MONITOR => ReplyBody::FlowUpdates(all(r, FlowUpdate::decode)?),
            n => ReplyBody::Other(n, r.rest()),
        };
        Ok(MultipartReply { more, body })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let number = match &self.body {
            ReplyBody::Desc(_) => kind::DESC,
            ReplyBody::Flows(_) => kind::FLOW_DESC,
            ReplyBody::Aggregate(_) => kind::AGGREGATE,
            ReplyBody::Tables(_) => kind::TABLE,
            ReplyBody::PortStats(_) => kind::PORT_STATS,
            ReplyBody::Ports(_) => kind::PORT_DESC,
            ReplyBody::GroupStats(_) => kind::GROUP_STATS,
            ReplyBody::Groups(_) => kind::GROUP_DESC,
            ReplyBody::MeterStats(_) => kind::METER_STATS,
            ReplyBody::Meters(_) => kind::METER_CONFIG,
            ReplyBody::FlowUpdates(_) => kind::FLOW_MONITOR,
            ReplyBody::Other(n, _) => *n,
        };
        out.put_u16(number);
        out.put_u16(if self.more { MORE } else { 0 });
        out.put_u32(0);
        match &self.body {
            ReplyBody::Desc(desc) => desc.encode_body(out),
            ReplyBody::Flows(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::Aggregate(counters) => oxs::encode(counters, out)?,
            ReplyBody::Tables(all) => all.iter().for_each(|x| x.encode(out)),
            ReplyBody::PortStats(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::Ports(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::GroupStats(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::Groups(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::MeterStats(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::Meters(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::FlowUpdates(all) => all.iter().try_for_each(|x| x.encode(out))?,
            ReplyBody::Other(_, body) => out.put_slice(body),
        }
        Ok(())
    }
}
