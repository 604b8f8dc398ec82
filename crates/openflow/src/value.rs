//! The value of a field: big-endian bytes.

use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::ValueError;
use crate::field::Field;

/// A number or address, as big-endian bytes. Up to 16 bytes are kept without allocation; only `tun_metadata*` can be
/// longer. Its own width does not matter: it is widened or narrowed to that of the field it is used with, and is
/// never truncated.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(SmallVec<[u8; 16]>);

impl Value {
    /// A value of these big-endian bytes.
    pub fn from_bytes(bytes: &[u8]) -> Value {
        Value(SmallVec::from_slice(bytes))
    }

    /// The bytes, big endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a number, if it fits.
    pub fn to_u128(&self) -> Option<u128> {
        let significant = strip(&self.0);
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
        self.0.iter().all(|&b| b == 0)
    }

    /// The bytes at the width of `field`; of `tun_metadata*` those without leading zeros.
    pub(crate) fn fit(&self, field: &'static Field) -> Result<Value, ValueError> {
        let significant = strip(&self.0);
        let bits = significant.len() * 8 - significant.first().map_or(0, |b| b.leading_zeros() as usize);
        if bits > usize::from(field.match_bits()) {
            return Err(ValueError::TooWide { field: field.name, value: format!("{self:?}"), bits: field.bits });
        }
        Ok(if field.is_variable() { self.trimmed() } else { self.resize(field.bytes.into()) })
    }

    /// The same number in `len` bytes; `len` must leave room for its significant bytes.
    pub(crate) fn resize(&self, len: usize) -> Value {
        let significant = strip(&self.0);
        let mut bytes = SmallVec::with_capacity(len);
        bytes.resize(len.saturating_sub(significant.len()), 0);
        bytes.extend_from_slice(significant);
        Value(bytes)
    }

    /// All the bits that a match on the whole of `field` covers, in `len` bytes.
    pub(crate) fn ones(field: &'static Field, len: usize) -> Value {
        let bits = usize::from(field.match_bits());
        let mut bytes: SmallVec<[u8; 16]> = SmallVec::with_capacity(len);
        for i in 0..len {
            let below = (len - 1 - i) * 8;
            bytes.push(match bits.saturating_sub(below) {
                n if n >= 8 => 0xff,
                n => (1u8 << n) - 1,
            });
        }
        Value(bytes)
    }

    /// Keeps the bits that `mask` has; both must be of one width.
    pub(crate) fn and(&self, mask: &Value) -> Value {
        Value(self.0.iter().zip(mask.0.iter()).map(|(a, b)| a & b).collect())
    }
}

fn strip(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&b| b == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value(SmallVec::from_slice(&n.to_be_bytes()))
            }
        }
    )*};
}

from_number!(u8, u16, u32, u64, u128);

impl From<Ipv4Addr> for Value {
    fn from(a: Ipv4Addr) -> Value {
        Value(SmallVec::from_slice(&a.octets()))
    }
}

impl From<Ipv6Addr> for Value {
    fn from(a: Ipv6Addr) -> Value {
        Value(SmallVec::from_slice(&a.octets()))
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
        Value(SmallVec::from_slice(&a))
    }
}

impl Value {
    /// The first `len` bytes: the mask of a prefix, made at full width.
    pub(crate) fn resize_prefix(&self, len: usize) -> Value {
        Value::from_bytes(self.0.get(..len).unwrap_or(&self.0))
    }

    /// Without leading zeros; zero has no bytes.
    pub(crate) fn trimmed(&self) -> Value {
        self.resize(0)
    }
}
