//! A message in words, from as much of it as an error quotes.
//!
//! Open vSwitch quotes 64 bytes, which is the whole of a small message and the fixed part of a large one.

use bytes::{Buf, Bytes};

use super::Message;
use super::header::{HEADER_LEN, Header, kind, kind_name};

/// Describes the beginning of a message, or all of it.
pub(super) fn describe(data: &Bytes) -> String {
    describe_at(data, true)
}

/// Errors that quote errors and bundles that hold bundles are not followed: bytes from outside could nest them without
/// end.
fn describe_at(data: &Bytes, outermost: bool) -> String {
    let Some(header) = Header::peek(data) else { return format!("{} bytes of a message", data.len()) };
    if usize::from(header.length) == data.len()
        && header.kind != kind::ERROR
        && let Ok((xid, message)) = Message::decode(data.clone())
    {
        return format!("{message} (xid {xid:#x})");
    }
    let mut body = data.clone();
    body.advance(HEADER_LEN);
    let part = match header.kind {
        kind::FLOW_MOD => flow_mod(&body),
        kind::GROUP_MOD => group_mod(&body),
        kind::BUNDLE_ADD_MESSAGE if body.len() >= 16 && outermost => {
            // bundle_id, padding, flags, then the message.
            body.advance(8);
            return format!("in a bundle: {}", describe_at(&body, false));
        }
        _ => String::new(),
    };
    format!("{}{part} (xid {:#x}, first {} bytes of {})", kind_name(header.kind), header.xid, data.len(), header.length)
}

/// The fixed part of a flow mod: cookie 8, mask 8, table, command, timeouts 4, priority 2.
fn flow_mod(body: &[u8]) -> String {
    let (Some(cookie), Some(&table), Some(priority)) = (
        body.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)),
        body.get(16),
        body.get(22..).and_then(|b| b.first_chunk::<2>()).map(|b| u16::from_be_bytes(*b)),
    ) else {
        return String::new();
    };
    format!(" table={table},cookie={cookie:#x},priority={priority},...")
}

/// The fixed part of a group mod: command 2, type, padding, group id 4.
fn group_mod(body: &[u8]) -> String {
    match body.get(4..).and_then(|b| b.first_chunk::<4>()) {
        Some(id) => format!(" group_id={},...", u32::from_be_bytes(*id)),
        None => String::new(),
    }
}
