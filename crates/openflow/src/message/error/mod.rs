//! `OFPT_ERROR`: what the switch refused, why, and the beginning of the message that it refused (OpenFlow 1.5, 7.5.4).

mod codes;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{NX_VENDOR, ONF_VENDOR};
use super::wire::Reader;
use crate::error::DecodeError;

/// `OFPET_EXPERIMENTER`.
const EXPERIMENTER: u16 = 0xffff;

/// An error from the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMsg {
    /// `OFPET_*`; 0xffff for an experimenter's.
    pub kind: u16,
    /// The code within the type, or the experimenter's own number.
    pub code: u16,
    /// Whose error it is, if not a standard one. Open vSwitch's own have 0x2320.
    pub experimenter: Option<u32>,
    /// The refused message, header included. Open vSwitch quotes its first 64 bytes.
    pub data: Bytes,
}

impl ErrorMsg {
    /// `OFPHFC_INCOMPATIBLE`: no version in common; the data is then text.
    pub const HELLO_FAILED: u16 = 0;

    /// The name as Open vSwitch prints it, or the numbers of an error that we do not know.
    pub fn name(&self) -> String {
        match self.lookup() {
            Some((name, _)) => name.to_owned(),
            None => match self.experimenter {
                None => format!("error type {} code {}", self.kind, self.code),
                Some(id) => format!("error {} of experimenter {id:#010x}", self.code),
            },
        }
    }

    /// What it means, in words.
    pub fn meaning(&self) -> String {
        match (self.lookup(), codes::TYPES.get(usize::from(self.kind)), self.experimenter) {
            (Some((_, meaning)), _, _) => meaning.to_owned(),
            (None, Some(class), None) => format!("{class}, for a reason this program does not know"),
            _ => "an error this program does not know".to_owned(),
        }
    }

    fn lookup(&self) -> Option<(&'static str, &'static str)> {
        match self.experimenter {
            None => codes::STANDARD
                .binary_search_by_key(&(self.kind, self.code), |e| (e.0, e.1))
                .ok()
                .and_then(|i| codes::STANDARD.get(i))
                .map(|e| (e.2, e.3)),
            Some(NX_VENDOR) => codes::NICIRA
                .binary_search_by_key(&self.code, |e| e.0)
                .ok()
                .and_then(|i| codes::NICIRA.get(i))
                .map(|e| (e.1, e.2)),
            Some(_) => None,
        }
    }

    /// The refused message in words, as far as the quoted bytes reach.
    pub fn quoted(&self) -> String {
        if self.kind == Self::HELLO_FAILED && self.experimenter.is_none() {
            return String::from_utf8_lossy(&self.data).trim_end_matches('\0').to_owned();
        }
        super::quote::describe(&self.data)
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("error", body);
        let kind = r.u16()?;
        let code = r.u16()?;
        let experimenter = if kind == EXPERIMENTER { Some(r.u32()?) } else { None };
        Ok(ErrorMsg { kind, code, experimenter, data: r.rest() })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u16(self.kind);
        out.put_u16(self.code);
        if let Some(id) = self.experimenter {
            out.put_u32(id);
        }
        out.put_slice(&self.data);
    }
}

/// "OFPBMC_BAD_PREREQ: a field of the match needs ...: refused FLOW_MOD ...".
impl fmt::Display for ErrorMsg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.meaning())?;
        if self.experimenter == Some(ONF_VENDOR) {
            f.write_str(" (ONF extension)")?;
        }
        if !self.data.is_empty() {
            write!(f, ": {}", self.quoted())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_so_that_search_finds_every_entry() {
        assert!(codes::STANDARD.windows(2).all(|w| (w[0].0, w[0].1) < (w[1].0, w[1].1)));
        assert!(codes::NICIRA.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn an_error_says_name_meaning_and_refused_message() {
        let e = ErrorMsg { kind: 4, code: 9, experimenter: None, data: Bytes::from_static(&[6, 20, 0, 8, 0, 0, 0, 7]) };
        assert_eq!(
            e.to_string(),
            "OFPBMC_BAD_PREREQ: a field of the match needs another one that is missing or comes after it: \
             BARRIER_REQUEST (xid 0x7)"
        );
        let e = ErrorMsg { kind: 0xffff, code: 37, experimenter: Some(NX_VENDOR), data: Bytes::new() };
        assert!(e.to_string().starts_with("NXFMFC_INVALID_TLV_FIELD: "));
        let e = ErrorMsg { kind: 4, code: 99, experimenter: None, data: Bytes::new() };
        assert_eq!(e.to_string(), "error type 4 code 99: bad match, for a reason this program does not know");
    }

    #[test]
    fn both_kinds_of_error_keep_their_bytes() {
        for bytes in [&[0, 4, 0, 9, 1, 2, 3][..], &[0xff, 0xff, 0, 37, 0, 0, 0x23, 0x20, 9][..]] {
            let e = ErrorMsg::decode_body(Bytes::copy_from_slice(bytes)).unwrap();
            let mut out = BytesMut::new();
            e.encode_body(&mut out);
            assert_eq!(&out[..], bytes);
        }
        assert!(ErrorMsg::decode_body(Bytes::from_static(&[0xff, 0xff, 0, 1, 0, 0])).is_err());
    }
}
