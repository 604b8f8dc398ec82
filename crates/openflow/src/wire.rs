//! Reading numbers from bytes that may be short, and padding to 8.

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, EncodeError};

/// A cursor over bytes; every read says what it was for when there are too few.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let short = DecodeError::Truncated { what: self.what, need: n, have: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Skips padding. What it holds does not matter here: an action is compared whole with its encoding afterwards.
    pub(crate) fn skip(&mut self, n: usize) -> Result<(), DecodeError> {
        self.take(n).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| DecodeError::Truncated { what: self.what, need: N, have: bytes.len() })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn octets<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.array()
    }
}

/// Zeros up to a multiple of 8 bytes from `start`.
pub(crate) fn pad8(out: &mut BytesMut, start: usize) {
    let len = out.len().saturating_sub(start);
    out.put_bytes(0, len.next_multiple_of(8) - len);
}

/// Writes the length of what began at `start` into the 16 bits at `start + offset`.
pub(crate) fn set_len(out: &mut BytesMut, start: usize, offset: usize, what: &'static str) -> Result<(), EncodeError> {
    let length = out.len().saturating_sub(start);
    let max = usize::from(u16::MAX);
    let short = u16::try_from(length).map_err(|_| EncodeError::TooLong { what, length, max })?;
    if let Some(place) = out.get_mut(start + offset..start + offset + 2) {
        place.copy_from_slice(&short.to_be_bytes());
    }
    Ok(())
}
