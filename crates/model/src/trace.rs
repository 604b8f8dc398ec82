//! Records of a trace in the store: what a tool asks for, and what hosts that see the coloured packet report.
//!
//! | key below `<prefix>/v1/` | value | written by |
//! |---|---|---|
//! | `trace/<id>` | [`TraceStart`] | the tool, under its lease |
//! | `inject/<chassis>/<id>` | [`InjectRequest`] | the tool, under the same lease; watched by that chassis alone |
//! | `trace/<id>/<chassis>/<n>` | [`TraceRecord`] | each chassis that sees the packet, under the same lease |
//!
//! `<id>` is the command id that colours the packet, in decimal, 1 to 65535; `<n>` counts a chassis' records, six digits.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `trace/<id>`: somebody traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStart {
    /// The switch of the port where the packet starts.
    pub ls: Name,
    /// That port.
    pub lsp: Name,
}

/// `inject/<chassis>/<id>`: send this packet as if it came from that port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectRequest {
    /// The switch.
    pub ls: Name,
    /// The port.
    pub lsp: Name,
    /// The frame, in hex.
    pub packet: String,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceEvent {
    /// The packet passed a trace stage.
    Hop,
    /// The packet leaves by the port `to`.
    Delivered,
    /// The host has done all that it does with the packet.
    End,
    /// The host did not send it: see `text`.
    Refused,
}

/// `trace/<id>/<chassis>/<n>`: what a host saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// What happened.
    pub event: TraceEvent,
    /// When, in nanoseconds since 1970, by the host's clock.
    pub at: u64,
    /// The OpenFlow table: which stage.
    #[serde(default)]
    pub table: u8,
    /// Id of the datapath; 0: none.
    #[serde(default)]
    pub datapath: u32,
    /// Source port, as registers have it; 0: none.
    #[serde(default)]
    pub from: u32,
    /// Destination port, as registers have it; 0: not known yet.
    #[serde(default)]
    pub to: u32,
    /// Flags, as registers have them.
    #[serde(default)]
    pub flags: u32,
    /// Tunnel end point of the chassis that the packet is to go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// Next hop, once routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<IpAddr>,
    /// The frame as it was then, in hex, cut after 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub packet: String,
    /// For people: why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
