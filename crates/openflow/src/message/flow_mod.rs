//! Adding, changing and deleting flows (`OFPT_FLOW_MOD`, OpenFlow 1.5, 7.3.4.2), and being told of their end (7.4.2).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::oxs::{self, FlowCounters};
use super::wire::Reader;
use crate::error::{DecodeError, EncodeError};
use crate::{Flow, Match, instruction, port};

/// "No buffer": the packet is in the message, or there is none.
pub const NO_BUFFER: u32 = 0xffff_ffff;

/// "Any group" in what restricts a deletion or a request.
pub const ANY_GROUP: u32 = 0xffff_ffff;

/// "All tables" in a deletion or a request.
pub const ALL_TABLES: u8 = 0xff;

/// `OFPFC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowModCommand {
    /// Adds a flow; replaces one of equal table, priority and match, and sets its counters to zero.
    Add,
    /// Changes the instructions of all flows that the match covers. Adds none.
    Modify,
    /// Changes the instructions of the flow of equal match and priority, keeping its counters. Adds none.
    ModifyStrict,
    /// Deletes all flows that the match covers.
    Delete,
    /// Deletes the flow of equal match and priority.
    DeleteStrict,
    /// One we do not know.
    Other(u8),
}

impl FlowModCommand {
    fn number(self) -> u8 {
        match self {
            FlowModCommand::Add => 0,
            FlowModCommand::Modify => 1,
            FlowModCommand::ModifyStrict => 2,
            FlowModCommand::Delete => 3,
            FlowModCommand::DeleteStrict => 4,
            FlowModCommand::Other(n) => n,
        }
    }

    fn from_number(n: u8) -> Self {
        match n {
            0 => FlowModCommand::Add,
            1 => FlowModCommand::Modify,
            2 => FlowModCommand::ModifyStrict,
            3 => FlowModCommand::Delete,
            4 => FlowModCommand::DeleteStrict,
            n => FlowModCommand::Other(n),
        }
    }
}

/// The words of `ovs-ofctl ofp-print`.
impl fmt::Display for FlowModCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlowModCommand::Add => "ADD",
            FlowModCommand::Modify => "MOD",
            FlowModCommand::ModifyStrict => "MOD_STRICT",
            FlowModCommand::Delete => "DEL",
            FlowModCommand::DeleteStrict => "DEL_STRICT",
            FlowModCommand::Other(n) => return write!(f, "command {n}"),
        })
    }
}

/// `OFPT_FLOW_MOD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowModCommand,
    /// With which flow. Table [`ALL_TABLES`] is for deletions only.
    pub flow: Flow,
    /// For changes and deletions: only flows whose cookie equals the flow's in these bits.
    pub cookie_mask: u64,
    /// A buffered packet to send through the flow, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// For deletions: only flows that output to this port; [`port::ANY`] for all.
    pub out_port: u32,
    /// For deletions: only flows that output to this group; [`ANY_GROUP`] for all.
    pub out_group: u32,
}

impl FlowMod {
    /// `command` with `flow`, restricted by nothing else.
    pub fn new(command: FlowModCommand, flow: Flow) -> Self {
        FlowMod { command, flow, cookie_mask: 0, buffer_id: NO_BUFFER, out_port: port::ANY, out_group: ANY_GROUP }
    }

    /// Adds or replaces `flow`.
    pub fn add(flow: Flow) -> Self {
        Self::new(FlowModCommand::Add, flow)
    }

    /// Changes the instructions and the cookie of just this flow; its counters go on. Does nothing if it is not there.
    pub fn modify_strict(flow: Flow) -> Self {
        Self::new(FlowModCommand::ModifyStrict, flow)
    }

    /// Deletes just this flow. Its instructions are not sent.
    pub fn delete_strict(mut flow: Flow) -> Self {
        flow.instructions = Vec::new();
        Self::new(FlowModCommand::DeleteStrict, flow)
    }

    /// Deletes all flows whose cookie equals `cookie` in the bits of `mask` (0 for all), of one table or of
    /// [`ALL_TABLES`].
    pub fn delete_all(table: u8, cookie: u64, mask: u64) -> Self {
        let flow = Flow { table, cookie, ..Flow::default() };
        FlowMod { cookie_mask: mask, ..Self::new(FlowModCommand::Delete, flow) }
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("flow mod", body);
        let cookie = r.u64()?;
        let cookie_mask = r.u64()?;
        let table = r.u8()?;
        let command = FlowModCommand::from_number(r.u8()?);
        let idle_timeout = r.u16()?;
        let hard_timeout = r.u16()?;
        let priority = r.u16()?;
        let buffer_id = r.u32()?;
        let out_port = r.u32()?;
        let out_group = r.u32()?;
        let flags = r.u16()?;
        let importance = r.u16()?;
        let matching = Match::decode(r.rest_mut())?;
        let instructions = instruction::decode_list(r.rest())?;
        Ok(FlowMod {
            command,
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
            cookie_mask,
            buffer_id,
            out_port,
            out_group,
        })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let flow = &self.flow;
        out.put_u64(flow.cookie);
        out.put_u64(self.cookie_mask);
        out.put_u8(flow.table);
        out.put_u8(self.command.number());
        out.put_u16(flow.idle_timeout);
        out.put_u16(flow.hard_timeout);
        out.put_u16(flow.priority);
        out.put_u32(self.buffer_id);
        out.put_u32(self.out_port);
        out.put_u32(self.out_group);
        out.put_u16(flow.flags);
        out.put_u16(flow.importance);
        flow.matching.encode(out);
        instruction::encode_list(&flow.instructions, out)
    }
}

/// "ADD table=3,priority=5,ip actions=drop".
impl fmt::Display for FlowMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.command, self.flow)?;
        if self.cookie_mask != 0 {
            write!(f, " cookie_mask={:#x}", self.cookie_mask)?;
        }
        if self.out_port != port::ANY {
            write!(f, " out_port={}", self.out_port)?;
        }
        if self.out_group != ANY_GROUP {
            write!(f, " out_group={}", self.out_group)?;
        }
        Ok(())
    }
}

/// `OFPT_FLOW_REMOVED`: a flow with the flag `SEND_FLOW_REM` is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// Where it was.
    pub table: u8,
    /// `OFPRR_*`: 0 idle timeout, 1 hard timeout, 2 delete, 3 its group was deleted, 4 its meter, 5 eviction.
    pub reason: u8,
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its match.
    pub matching: Match,
    /// Its counters at the end.
    pub counters: FlowCounters,
}

impl FlowRemoved {
    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("flow removed", body);
        let table = r.u8()?;
        let reason = r.u8()?;
        let priority = r.u16()?;
        let idle_timeout = r.u16()?;
        let hard_timeout = r.u16()?;
        let cookie = r.u64()?;
        let matching = Match::decode(r.rest_mut())?;
        let counters = oxs::decode(&mut r)?;
        Ok(FlowRemoved { table, reason, priority, idle_timeout, hard_timeout, cookie, matching, counters })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(self.table);
        out.put_u8(self.reason);
        out.put_u16(self.priority);
        out.put_u16(self.idle_timeout);
        out.put_u16(self.hard_timeout);
        out.put_u64(self.cookie);
        self.matching.encode(out);
        oxs::encode(&self.counters, out)
    }
}
