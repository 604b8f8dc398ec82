//! Reading and writing the pieces every message is made of: big-endian integers, padding, properties.
//!
//! All reads check lengths and say which structure was too short; nothing here can panic on foreign bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};

/// A cursor over the body of one structure, which is named in its errors.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    what: &'static str,
    rest: Bytes,
}

impl Reader {
    pub(crate) fn new(what: &'static str, rest: Bytes) -> Self {
        Reader { what, rest }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn need(&self, n: usize) -> Result<(), DecodeError> {
        if self.rest.len() < n {
            Err(DecodeError::Truncated { what: self.what, need: n, have: self.rest.len() })
        } else {
            Ok(())
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.need(2)?;
        Ok(self.rest.get_u16())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.need(4)?;
        Ok(self.rest.get_u32())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.need(8)?;
        Ok(self.rest.get_u64())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.need(N)?;
        let mut out = [0; N];
        self.rest.copy_to_slice(&mut out);
        Ok(out)
    }

    pub(crate) fn skip(&mut self, n: usize) -> Result<(), DecodeError> {
        self.need(n)?;
        self.rest.advance(n);
        Ok(())
    }

    /// The next `n` bytes, shared with the message, not copied.
    pub(crate) fn take(&mut self, n: usize) -> Result<Bytes, DecodeError> {
        self.need(n)?;
        Ok(self.rest.split_to(n))
    }

    /// The next `n` bytes as a reader of its own, for a structure inside this one.
    pub(crate) fn sub(&mut self, what: &'static str, n: usize) -> Result<Reader, DecodeError> {
        Ok(Reader::new(what, self.take(n)?))
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    /// What is left, for a decoder that advances it.
    pub(crate) fn rest_mut(&mut self) -> &mut Bytes {
        &mut self.rest
    }

    /// A fixed field that holds text padded with zeros.
    pub(crate) fn text(&mut self, n: usize) -> Result<String, DecodeError> {
        let raw = self.take(n)?;
        let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
        Ok(String::from_utf8_lossy(raw.get(..end).unwrap_or_default()).into_owned())
    }

    /// One property (OpenFlow 1.4+, "type, length, value, padding to 8"): its type and its value.
    ///
    /// The length counts the four bytes of the header and not the padding; missing padding at the very end is forgiven.
    pub(crate) fn property(&mut self) -> Result<(u16, Bytes), DecodeError> {
        let kind = self.u16()?;
        let len = usize::from(self.u16()?);
        if len < 4 {
            return Err(DecodeError::BadLength { what: self.what, length: len });
        }
        let value = self.take(len - 4)?;
        self.rest.advance(padding(len).min(self.rest.len()));
        Ok((kind, value))
    }

    /// All remaining properties.
    pub(crate) fn properties(&mut self) -> Result<Vec<(u16, Bytes)>, DecodeError> {
        let mut out = Vec::new();
        while !self.is_empty() {
            out.push(self.property()?);
        }
        Ok(out)
    }
}

/// Bytes that bring `len` to a multiple of 8.
pub(crate) fn padding(len: usize) -> usize {
    len.wrapping_neg() & 7
}

/// Writes one property and its padding. The value follows the header directly.
pub(crate) fn put_property(out: &mut BytesMut, kind: u16, value: &[u8]) -> Result<(), EncodeError> {
    let len = value.len() + 4;
    out.put_u16(kind);
    out.put_u16(length16("property", len)?);
    out.put_slice(value);
    out.put_bytes(0, padding(len));
    Ok(())
}

/// Writes `text` into a field of `n` bytes, cut to leave a zero at its end.
pub(crate) fn put_text(out: &mut BytesMut, text: &str, n: usize) {
    let mut end = text.len().min(n.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_slice(text.get(..end).unwrap_or_default().as_bytes());
    out.put_bytes(0, n - end);
}

/// A length as the 16 bits that OpenFlow has for it.
pub(crate) fn length16(what: &'static str, len: usize) -> Result<u16, EncodeError> {
    u16::try_from(len).map_err(|_| EncodeError::TooLong { what, length: len, max: usize::from(u16::MAX) })
}

/// Overwrites the 16 bits at `at`, which were written before as a place holder, with the length since `start`.
pub(crate) fn patch_len(out: &mut BytesMut, what: &'static str, at: usize, start: usize) -> Result<(), EncodeError> {
    let len = length16(what, out.len() - start)?;
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}
