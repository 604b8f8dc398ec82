//! Being told of changes to the flows, whoever makes them (`OFPMP_FLOW_MONITOR`, OpenFlow 1.5, 7.3.5.18).
//!
//! The answer to the request holds the flows that are there, if asked for; then updates come unasked, as multipart
//! replies with xid 0. Open vSwitch pauses a monitor whose updates are not read fast enough, and says so: between
//! [`FlowUpdate::Paused`] and [`FlowUpdate::Resumed`] changes may have been summed up, so that what was added and
//! deleted meanwhile does not appear.

use bytes::{BufMut, Bytes, BytesMut};

use super::flow_mod::{ALL_TABLES, ANY_GROUP};
use super::wire::{Reader, padding, patch_len};
use crate::error::{DecodeError, EncodeError};
use crate::{Flow, Match, instruction, port};

/// `OFPFMF_*`: what to be told.
#[allow(missing_docs)] // As in the standard.
pub mod monitor_flags {
    /// The flows that are there, in the answer.
    pub const INITIAL: u16 = 1;
    pub const ADD: u16 = 2;
    pub const REMOVED: u16 = 4;
    pub const MODIFY: u16 = 8;
    /// With instructions.
    pub const INSTRUCTIONS: u16 = 16;
    /// Own changes in full; otherwise only their xid.
    pub const NO_ABBREV: u16 = 32;
    /// Own changes only.
    pub const ONLY_OWN: u16 = 64;
}

/// `OFPFMC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorCommand {
    /// A new monitor.
    Add,
    /// Change one.
    Modify,
    /// End one.
    Delete,
    /// One we do not know.
    Other(u8),
}

/// `ofp_flow_monitor_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMonitor {
    /// Ours to choose; of this connection.
    pub monitor_id: u32,
    /// What to do.
    pub command: MonitorCommand,
    /// [`monitor_flags`].
    pub flags: u16,
    /// One table, or all.
    pub table: u8,
    /// Only flows that output to this port; [`port::ANY`] for all.
    pub out_port: u32,
    /// Only flows that output to this group; all ones for all.
    pub out_group: u32,
    /// Only flows that this match covers.
    pub matching: Match,
}

impl FlowMonitor {
    /// A monitor of all flows of all tables.
    pub fn all(monitor_id: u32, flags: u16) -> Self {
        FlowMonitor {
            monitor_id,
            command: MonitorCommand::Add,
            flags,
            table: ALL_TABLES,
            out_port: port::ANY,
            out_group: ANY_GROUP,
            matching: Match::new(),
        }
    }

    pub(super) fn decode(mut r: Reader) -> Result<Self, DecodeError> {
        let monitor_id = r.u32()?;
        let out_port = r.u32()?;
        let out_group = r.u32()?;
        let flags = r.u16()?;
        let table = r.u8()?;
        let command = match r.u8()? {
            0 => MonitorCommand::Add,
            1 => MonitorCommand::Modify,
            2 => MonitorCommand::Delete,
            n => MonitorCommand::Other(n),
        };
        let matching = Match::decode(r.rest_mut())?;
        Ok(FlowMonitor { monitor_id, command, flags, table, out_port, out_group, matching })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.monitor_id);
        out.put_u32(self.out_port);
        out.put_u32(self.out_group);
        out.put_u16(self.flags);
        out.put_u8(self.table);
        out.put_u8(match self.command {
            MonitorCommand::Add => 0,
            MonitorCommand::Modify => 1,
            MonitorCommand::Delete => 2,
            MonitorCommand::Other(n) => n,
        });
        self.matching.encode(out);
    }
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// Nothing: it was there when the monitor began.
    Initial,
    /// It was added.
    Added,
    /// It is gone.
    Removed,
    /// Its instructions or cookie changed.
    Modified,
}

/// One update of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    /// Of a flow.
    Flow {
        /// What happened.
        event: FlowEvent,
        /// Why it is gone, `OFPRR_*`.
        reason: u8,
        /// The flow as it is now, or was last. Flags and importance are not told.
        flow: Box<Flow>,
    },
    /// Our own message of this xid has changed flows.
    Own {
        /// Of the message.
        xid: u32,
    },
    /// Updates are summed up from here on.
    Paused,
    /// No longer.
    Resumed,
    /// One we do not know: event and what follows it.
    Other(u16, Bytes),
}

const INITIAL: u16 = 0;
const ADDED: u16 = 1;
const REMOVED: u16 = 2;
const MODIFIED: u16 = 3;
const ABBREV: u16 = 4;
const PAUSED: u16 = 5;
const RESUMED: u16 = 6;

impl FlowUpdate {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 4 {
            return Err(DecodeError::BadLength { what: "flow update", length: len });
        }
        let mut r = r.sub("flow update", len - 2)?;
        let number = r.u16()?;
        let event = match number {
            INITIAL => FlowEvent::Initial,
            ADDED => FlowEvent::Added,
            REMOVED => FlowEvent::Removed,
            MODIFIED => FlowEvent::Modified,
            ABBREV => return Ok(FlowUpdate::Own { xid: r.u32()? }),
            PAUSED => return Ok(FlowUpdate::Paused),
            RESUMED => return Ok(FlowUpdate::Resumed),
            n => return Ok(FlowUpdate::Other(n, r.rest())),
        };
        let table = r.u8()?;
        let reason = r.u8()?;
        let idle_timeout = r.u16()?;
        let hard_timeout = r.u16()?;
        let priority = r.u16()?;
        r.skip(4)?;
        let cookie = r.u64()?;
        let matching = Match::decode(r.rest_mut())?;
        let instructions = instruction::decode_list(r.rest())?;
        let flow =
            Flow { table, priority, cookie, idle_timeout, hard_timeout, matching, instructions, ..Flow::default() };
        Ok(FlowUpdate::Flow { event, reason, flow: Box::new(flow) })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u16(0);
        match self {
            FlowUpdate::Flow { event, reason, flow } => {
                out.put_u16(match event {
                    FlowEvent::Initial => INITIAL,
                    FlowEvent::Added => ADDED,
                    FlowEvent::Removed => REMOVED,
                    FlowEvent::Modified => MODIFIED,
                });
                out.put_u8(flow.table);
                out.put_u8(*reason);
                out.put_u16(flow.idle_timeout);
                out.put_u16(flow.hard_timeout);
                out.put_u16(flow.priority);
                out.put_u32(0);
                out.put_u64(flow.cookie);
                flow.matching.encode(out);
                instruction::encode_list(&flow.instructions, out)?;
                out.put_bytes(0, padding(out.len() - start));
            }
            FlowUpdate::Own { xid } => {
                out.put_u16(ABBREV);
                out.put_u32(*xid);
            }
            FlowUpdate::Paused | FlowUpdate::Resumed => {
                out.put_u16(if *self == FlowUpdate::Paused { PAUSED } else { RESUMED });
                out.put_u32(0);
            }
            FlowUpdate::Other(n, rest) => {
                out.put_u16(*n);
                out.put_slice(rest);
            }
        }
        patch_len(out, "flow update", start, start)
    }
}
