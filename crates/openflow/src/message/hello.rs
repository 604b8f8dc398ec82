//! The hello, by which both sides say which versions they speak (OpenFlow 1.5, 7.5.1).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::VERSION_1_5;
use super::wire::{Reader, patch_len};
use crate::error::{DecodeError, EncodeError};

/// `OFPHET_VERSIONBITMAP`.
const VERSION_BITMAP: u16 = 1;

/// What a peer speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Wire version in the header: the highest that the sender speaks.
    pub version: u8,
    /// Wire versions 0 to 31 as bits, from the version bitmap; `None` from a peer that sends none (1.3.0 and before).
    pub versions: Option<u32>,
}

impl Hello {
    /// Ours: OpenFlow 1.5 and nothing else.
    pub fn ours() -> Self {
        Hello { version: VERSION_1_5, versions: Some(1 << VERSION_1_5) }
    }

    /// Whether the sender of this hello would speak `version` with us.
    ///
    /// Without a bitmap the standard says that the lower of both header versions is used, so a sender is taken to speak
    /// every version up to its own.
    pub fn speaks(&self, version: u8) -> bool {
        match self.versions {
            Some(bits) => version < 32 && bits & (1 << version) != 0,
            None => version <= self.version,
        }
    }

    pub(super) fn decode_body(version: u8, body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("hello", body);
        let mut versions = None;
        // Elements we do not know are to be ignored; so is a tail too short for one.
        while r.remaining() >= 4 {
            let (kind, value) = r.property()?;
            if kind == VERSION_BITMAP && versions.is_none() {
                versions = value.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
            }
        }
        Ok(Hello { version, versions })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if let Some(bits) = self.versions {
            let start = out.len();
            out.put_u16(VERSION_BITMAP);
            out.put_u16(0);
            out.put_u32(bits);
            patch_len(out, "hello", start + 2, start)?;
        }
        Ok(())
    }
}

/// "OpenFlow 1.0, 1.3, 1.5": what a person needs to see when versions do not meet.
impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for version in (0..32).filter(|&v| self.versions.map_or(v == self.version, |bits| bits & (1 << v) != 0)) {
            f.write_str(if first { "OpenFlow " } else { ", " })?;
            first = false;
            f.write_str(&version_name(version))?;
        }
        if first { f.write_str("no version of OpenFlow") } else { Ok(()) }
    }
}

/// "1.5" for 6.
pub fn version_name(version: u8) -> String {
    match version {
        1..=6 => format!("1.{}", version - 1),
        other => format!("wire version {other}"),
    }
}
