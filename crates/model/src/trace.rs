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
use std::{fmt::Write, net::IpAddr, num::NonZeroU16};

/// The shortest frame that can be injected, in bytes: an Ethernet header.
pub const MIN_FRAME: usize = 14;
/// The longest frame that can be injected, in bytes: a jumbo frame with its header and a tag.
pub const MAX_FRAME: usize = 9_018;

/// Keys below `<prefix>/v1/`.
pub mod path {
    use super::*;

    /// `trace/<id>`; with a `/` behind it, what all records begin with.
    pub fn start(id: NonZeroU16) -> String {
        format!("trace/{id}")
    }
    /// `trace/<id>/<chassis>/<n>`
    pub fn record(id: NonZeroU16, chassis: &Name, n: u32) -> String {
        format!("trace/{id}/{chassis}/{n:06}")
    }
    /// `inject/<chassis>/<id>`
    pub fn inject(chassis: &Name, id: NonZeroU16) -> String {
        format!("inject/{chassis}/{id}")
    }
    /// What all keys of [`inject`] for a chassis begin with.
    pub fn injections(chassis: &Name) -> String {
        format!("inject/{chassis}/")
    }
}

/// Bytes as two hexadecimal digits each.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The inverse of [`to_hex`], in either case; the error is for people.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |(at, c): (usize, char)| {
        let value = c.to_digit(16).ok_or_else(|| format!("`{c}` at place {} is no hexadecimal digit", at + 1))?;
        Ok(u8::try_from(value).unwrap_or_default())
    };
    let digits = text.chars().enumerate().map(digit).collect::<Result<Vec<u8>, String>>()?;
    match digits.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => Err(format!("{} hexadecimal digits are not whole bytes", digits.len())),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back_and_what_is_none_is_told() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Ok(all.clone()));
        assert_eq!(from_hex(&to_hex(&all).to_uppercase()), Ok(all));
        assert_eq!(from_hex("0fg0"), Err("`g` at place 3 is no hexadecimal digit".into()));
        assert_eq!(from_hex("0f0"), Err("3 hexadecimal digits are not whole bytes".into()));
        assert!(from_hex("é0").is_err());
    }

    #[test]
    fn a_record_of_few_words_is_read() {
        let record: TraceRecord =
            serde_json::from_str(r#"{"event":"end","at":7,"later":"version"}"#).expect("a record");
        assert_eq!((record.event, record.at, record.table, record.remote), (TraceEvent::End, 7, 0, None));
    }
}
