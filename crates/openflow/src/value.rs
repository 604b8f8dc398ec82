//! The value of a field: big-endian bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::ValueError;
use crate::field::Field;

/// A number or address, as big-endian bytes. Up to 16 bytes are kept without allocation; only `tun_metadata*` can be
/// longer. Its own width does not matter: it is widened or narrowed to that of the field it is used with, and is
/// never truncated.
#[derive(Clone)]
pub struct Value(Repr);

/// A host makes hundreds of thousands of these: copying an inline one is copying 24 bytes.
#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Spilled(Box<[u8]>),
}

const INLINE: usize = 16;

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Value {
    /// A value of these big-endian bytes.
    pub fn from_bytes(bytes: &[u8]) -> Value {
        Value::zeros_then(0, bytes)
    }

    /// So many zeros, and these bytes after them.
    fn zeros_then(zeros: usize, bytes: &[u8]) -> Value {
        let total = zeros + bytes.len();
        let mut inline = [0; INLINE];
        match inline.get_mut(zeros..total) {
            Some(place) => {
                place.copy_from_slice(bytes);
                // At most 16.
                Value(Repr::Inline { len: total as u8, bytes: inline })
            }
            None => {
                let mut all = vec![0; total];
                if let Some(place) = all.get_mut(zeros..) {
                    place.copy_from_slice(bytes);
                }
                Value(Repr::Spilled(all.into()))
            }
        }
    }

    /// The bytes, big endian.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Repr::Spilled(bytes) => bytes,
        }
    }

    fn as_mut_bytes(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Repr::Inline { len, bytes } => {
                let len = usize::from(*len).min(INLINE);
                &mut bytes[..len]
            }
            Repr::Spilled(bytes) => bytes,
        }
    }

    /// As a number, if it fits.
    pub fn to_u128(&self) -> Option<u128> {
        let significant = strip(self.as_bytes());
        if significant.len() > 16 {
            return None;
        }
        Some(significant.iter().fold(0, |n, &b| n << 8 | u128::from(b)))
    }

    /// As a number of 64 bits, if it fits.
    pub fn to_u64(&self) -> Option<u64> {
        self.to_u128().and_then(|n| u64::try_from(n).ok())
    }

    /// True if all bits are zero.
    pub fn is_zero(&self) -> bool {
        self.as_bytes().iter().all(|&b| b == 0)
    }

    /// The bytes at the width of `field`; of `tun_metadata*` those without leading zeros.
    pub(crate) fn fit(&self, field: &'static Field) -> Result<Value, ValueError> {
        let len = self.as_bytes().len();
        if len == usize::from(field.bytes) && 8 * len == usize::from(field.match_bits()) && len <= INLINE {
            return Ok(self.clone());
        }
        let significant = strip(self.as_bytes());
        let bits = significant.len() * 8 - significant.first().map_or(0, |b| b.leading_zeros() as usize);
        if bits > usize::from(field.match_bits()) {
            return Err(ValueError::TooWide { field: field.name, value: format!("{self:?}"), bits: field.bits });
        }
        Ok(if field.is_variable() { self.trimmed() } else { self.resize(field.bytes.into()) })
    }

    /// The same number in `len` bytes; `len` must leave room for its significant bytes.
    pub(crate) fn resize(&self, len: usize) -> Value {
        let significant = strip(self.as_bytes());
        Value::zeros_then(len.saturating_sub(significant.len()), significant)
    }

    /// All the bits that a match on the whole of `field` covers, in `len` bytes.
    pub(crate) fn ones(field: &'static Field, len: usize) -> Value {
        let bits = usize::from(field.match_bits());
        let mut value = Value::zeros_then(len, &[]);
        for (i, byte) in value.as_mut_bytes().iter_mut().rev().enumerate() {
            *byte = match bits.saturating_sub(8 * i) {
                n if n >= 8 => 0xff,
                n => (1u8 << n) - 1,
            };
        }
        value
    }

    /// Keeps the bits that `mask` has; both must be of one width.
    pub(crate) fn and(mut self, mask: &Value) -> Value {
        self.as_mut_bytes().iter_mut().zip(mask.as_bytes()).for_each(|(a, b)| *a &= b);
        self
    }
}

fn strip(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&b| b == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("0x")?;
        self.as_bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value::from_bytes(&n.to_be_bytes())
            }
        }
    )*};
}

from_number!(u8, u16, u32, u64, u128);

impl From<Ipv4Addr> for Value {
    fn from(a: Ipv4Addr) -> Value {
        Value::from_bytes(&a.octets())
    }
}

impl From<Ipv6Addr> for Value {
    fn from(a: Ipv6Addr) -> Value {
        Value::from_bytes(&a.octets())
    }
}

impl From<IpAddr> for Value {
    fn from(a: IpAddr) -> Value {
        match a {
            IpAddr::V4(a) => a.into(),
            IpAddr::V6(a) => a.into(),
        }
    }
}

impl From<[u8; 6]> for Value {
    fn from(a: [u8; 6]) -> Value {
        Value::from_bytes(&a)
    }
}

impl Value {
    /// The first `len` bytes: the mask of a prefix, made at full width.
    pub(crate) fn resize_prefix(&self, len: usize) -> Value {
        Value::from_bytes(self.as_bytes().get(..len).unwrap_or(self.as_bytes()))
    }

    /// Without leading zeros; zero has no bytes.
    pub(crate) fn trimmed(&self) -> Value {
        self.resize(0)
    }
}
