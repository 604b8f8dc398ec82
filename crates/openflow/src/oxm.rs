//! One OXM TLV: a field with its value and, perhaps, a mask (OpenFlow 1.5.1, 7.2.3.2).

use smallvec::SmallVec;

use crate::error::{DecodeError, ValueError};
use crate::field::{Class, Code, Field, Mask};
use crate::value::Value;
use crate::wire::Reader;

/// A TLV in some buffer, its length checked.
#[derive(Clone, Copy)]
pub(crate) struct OxmRef<'a> {
    /// Header, experimenter and body.
    pub(crate) bytes: &'a [u8],
    pub(crate) class: Class,
    pub(crate) number: u8,
    pub(crate) has_mask: bool,
    /// 0 unless the class is the experimenters'.
    pub(crate) experimenter: u32,
    /// The value, and the mask if there is one.
    pub(crate) body: &'a [u8],
}

impl<'a> OxmRef<'a> {
    /// Reads the TLV that `r` stands at.
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<OxmRef<'a>, DecodeError> {
        let mut head = *r;
        let class = Class(head.u16()?);
        let number = head.u8()?;
        let length = usize::from(head.u8()?);
        let bytes = r.take(4 + length)?;
        let mut body = Reader::new("OXM field", bytes);
        body.skip(4)?;
        let experimenter = if class == Class::EXPERIMENTER { body.u32()? } else { 0 };
        let body = body.rest();
        Ok(OxmRef { bytes, class, number: number >> 1, has_mask: number & 1 != 0, experimenter, body })
    }

    pub(crate) fn field(&self) -> Option<&'static Field> {
        Field::by_code(self.class, self.experimenter, self.number)
    }

    /// Value and mask, if the body has the length that `field` asks for.
    pub(crate) fn value_and_mask(&self, field: &'static Field) -> Option<(Value, Option<Value>)> {
        let len = if self.has_mask { self.body.len() / 2 } else { self.body.len() };
        let right = if field.is_variable() { len <= 124 } else { len == usize::from(field.bytes) };
        if !right || (self.has_mask && self.body.len() != 2 * len) {
            return None;
        }
        let (value, mask) = self.body.split_at_checked(len)?;
        Some((Value::from_bytes(value), self.has_mask.then(|| Value::from_bytes(mask))))
    }
}

/// Appends the TLV of a field; `value` and `mask` must be of one width that is right for the field.
pub(crate) fn put<A: smallvec::Array<Item = u8>>(
    out: &mut SmallVec<A>,
    field: &'static Field,
    value: &Value,
    mask: Option<&Value>,
) {
    let len = value.as_bytes().len() * if mask.is_some() { 2 } else { 1 };
    out.extend_from_slice(&header(field.code(), mask.is_some(), len));
    if field.code().class == Class::EXPERIMENTER {
        out.extend_from_slice(&field.code().experimenter.to_be_bytes());
    }
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(mask.map_or(&[], Value::as_bytes));
}

/// The first four bytes of a TLV whose body (without the experimenter) has `len` bytes.
pub(crate) fn header(code: &Code, has_mask: bool, len: usize) -> [u8; 4] {
    let [high, low] = code.class.0.to_be_bytes();
    // At most 4 + 2 * 124.
    let length = (code.header_len() - 4 + len) as u8;
    [high, low, code.number << 1 | u8::from(has_mask), length]
}

/// Checks a value and a mask against the field and brings them to the one form that stands for what they mean: full
/// masks vanish, bits outside of the mask are zero.
///
/// Of `tun_metadata*`, whose width only the switch knows, leading zeros (of the mask, if there is one) vanish instead, as Open
/// vSwitch has it in actions: zero has no bytes at all. A mask stays there, since it says which bytes of a longer option
/// are meant.
pub(crate) fn normalise(
    field: &'static Field,
    value: &Value,
    mask: Option<&Value>,
) -> Result<(Value, Option<Value>), ValueError> {
    let value = value.fit(field)?;
    let Some(mask) = mask else { return Ok((value, None)) };
    let mask = mask.fit(field)?;
    let len = value.as_bytes().len().max(mask.as_bytes().len());
    let (value, mask) = (value.resize(len), mask.resize(len));
    if field.is_variable() {
        let (value, mask) = (value.and(&mask), mask.trimmed());
        return Ok((value.resize(mask.as_bytes().len()), Some(mask)));
    }
    if mask == Value::ones(field, len) {
        return Ok((value, None));
    }
    if field.mask == Mask::Exact {
        return Err(ValueError::NotMaskable { field: field.name });
    }
    Ok((value.and(&mask), Some(mask)))
}

/// The same for an action, which may set any part of any field.
pub(crate) fn normalise_set(
    field: &'static Field,
    value: &Value,
    mask: Option<&Value>,
) -> Result<(Value, Option<Value>), ValueError> {
    match normalise(field, value, mask) {
        Err(ValueError::NotMaskable { .. }) => {}
        done => return done,
    }
    let mask = mask.unwrap_or(value).fit(field)?;
    Ok((value.fit(field)?.and(&mask), Some(mask)))
}
