//! `set_field`, kept as its TLV for the same reason as a match is: small, and equal means equal bytes.

use smallvec::SmallVec;

use super::Subfield;
use crate::error::ValueError;
use crate::field::Field;
use crate::oxm::{self, OxmRef};
use crate::value::Value;
use crate::wire::Reader;

/// What `set_field` sets: a field, a value, and perhaps a mask (OpenFlow 1.5.1, 7.2.6.7).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SetField {
    /// One TLV, canonical: no full mask, no bits outside of the mask.
    oxm: SmallVec<[u8; 16]>,
}

impl SetField {
    /// Sets `field`, or those bits of it that `mask` has.
    pub fn new(field: &'static Field, value: Value, mask: Option<Value>) -> Result<SetField, ValueError> {
        // Any writable field can be set in part, whether or not it can be matched in part.
        let (value, mask) = oxm::normalise_set(field, &value, mask.as_ref())?;
        let mut oxm = SmallVec::new();
        oxm::put(&mut oxm, field, &value, mask.as_ref());
        Ok(SetField { oxm })
    }

    /// Sets a part of a field to a number.
    pub fn load(dst: Subfield, value: Value) -> Result<SetField, ValueError> {
        let too_wide =
            || ValueError::TooWide { field: dst.field().name, value: format!("{value:?}"), bits: dst.n_bits };
        let ones = |bits: u32| 1u128.checked_shl(bits).map_or(u128::MAX, |n| n - 1);
        let number = value.to_u128().ok_or_else(too_wide)?;
        if number & !ones(dst.n_bits.into()) != 0 {
            return Err(too_wide());
        }
        if dst.ofs == 0 && dst.n_bits >= dst.field().bits {
            return SetField::new(dst.field(), value, None);
        }
        let at = |n: u128| {
            // Only `tun_metadata*` are wider than 128 bits.
            let (bytes, bits) = (usize::from(dst.ofs) / 8, u32::from(dst.ofs) % 8);
            let mut out = SmallVec::<[u8; 32]>::from_slice(&[(n >> 120 >> (8 - bits)) as u8]);
            out.extend_from_slice(&(n << bits).to_be_bytes());
            out.resize(out.len() + bytes, 0);
            Value::from_bytes(&out)
        };
        SetField::new(dst.field(), at(number), Some(at(ones(dst.n_bits.into()))))
    }

    /// Takes a TLV as it came, if it is in the canonical form and of a field that we know.
    pub(super) fn from_oxm(tlv: &[u8]) -> Option<SetField> {
        let tlv = OxmRef::read(&mut Reader::new("set_field", tlv)).ok()?;
        let field = tlv.field()?;
        let (value, mask) = tlv.value_and_mask(field)?;
        SetField::new(field, value, mask).ok()
    }

    fn tlv(&self) -> Option<(&'static Field, Value, Option<Value>)> {
        let tlv = OxmRef::read(&mut Reader::new("set_field", &self.oxm)).ok()?;
        let field = tlv.field()?;
        let (value, mask) = tlv.value_and_mask(field)?;
        Some((field, value, mask))
    }

    /// The field.
    pub fn field(&self) -> &'static Field {
        // `new` let in nothing else.
        self.tlv().map_or(crate::field::METADATA, |(field, ..)| field)
    }

    /// The value, of the field's width.
    pub fn value(&self) -> Value {
        self.tlv().map_or(Value::from(0u8), |(_, value, _)| value)
    }

    /// The bits that are set; `None` = all.
    pub fn mask(&self) -> Option<Value> {
        self.tlv().and_then(|(.., mask)| mask)
    }

    /// The TLV.
    pub fn oxm_bytes(&self) -> &[u8] {
        &self.oxm
    }
}

impl std::fmt::Debug for SetField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.value())?;
        self.mask().map_or(Ok(()), |m| write!(f, "/{m:?}"))?;
        write!(f, "->{}", self.field().name)
    }
}
