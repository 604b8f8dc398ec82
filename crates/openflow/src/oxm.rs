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
    let (value, mask) = (value.as_bytes(), mask.map(Value::as_bytes));
    let rest = mask.unwrap_or_default();
    let header = header(field.code(), mask.is_some(), value.len() + rest.len());
    // In one piece, as this is done most.
    let mut short = [0; 4 + 2 * 16];
    let len = 4 + value.len() + rest.len();
    if field.code().class != Class::EXPERIMENTER
        && let Some((head, body)) = short.get_mut(..len).and_then(|short| short.split_at_mut_checked(4))
        && let Some((first, second)) = body.split_at_mut_checked(value.len())
    {
        head.copy_from_slice(&header);
        first.copy_from_slice(value);
        second.copy_from_slice(rest);
        out.extend_from_slice(short.get(..len).unwrap_or_default());
        return;
    }
    out.extend_from_slice(&header);
    if field.code().class == Class::EXPERIMENTER {
        out.extend_from_slice(&field.code().experimenter.to_be_bytes());
    }
    out.extend_from_slice(value);
    out.extend_from_slice(rest);
}

/// The first four bytes of a TLV whose body (without the experimenter) has `len` bytes.
pub(crate) fn header(code: &Code, has_mask: bool, len: usize) -> [u8; 4] {
    let [high, low] = code.class.0.to_be_bytes();
    // At most 4 + 2 * 124.
    let length = (code.header_len() - 4 + len) as u8;
    [high, low, code.number << 1 | u8::from(has_mask), length]
}

/// Whether these are in the one form already, so that [`normalise`] would only copy them, and match something: most are, and a host makes
/// hundreds of thousands. May say no for some that are.
pub(crate) fn is_normal(field: &'static Field, value: &Value, mask: Option<&Value>) -> bool {
    // What the first byte has at most; the others may be full.
    let top = match field.match_bits() % 8 {
        0 => 0xff,
        bits => (1u8 << bits) - 1,
    };
    let fits = |bytes: &[u8]| {
        bytes.len() == usize::from(field.bytes)
            && bytes.len() == usize::from(field.match_bits().div_ceil(8))
            && bytes.first().is_some_and(|first| first & !top == 0)
    };
    let masks = |mask: &[u8]| {
        let full = mask.iter().skip(1).all(|byte| *byte == 0xff) && mask.first() == Some(&top);
        let covers = mask.iter().zip(value.as_bytes()).all(|(mask, value)| value & !mask == 0);
        field.mask == Mask::Any && fits(mask) && !full && covers && mask.iter().any(|byte| *byte != 0)
    };
    !field.is_variable() && fits(value.as_bytes()) && mask.is_none_or(|mask| masks(mask.as_bytes()))
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
    if is_normal(field, value, mask) {
        return Ok((value.clone(), mask.cloned()));
    }
    match normalise(field, value, mask) {
        Err(ValueError::NotMaskable { .. }) => {}
        done => return done,
    }
    let mask = mask.unwrap_or(value).fit(field)?;
    Ok((value.fit(field)?.and(&mask), Some(mask)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_called_normal_is_what_normalising_gives(
            index in 0..crate::field::REGISTRY.len(), value: [u8; 16], mask: Option<[u8; 16]>, zeros in 0..12_usize, ones in 0..12_usize,
        ) {
            let Some(field) = crate::field::REGISTRY.get(index) else { return Ok(()) };
            let len = usize::from(field.bytes).min(16);
            let mask = mask.map(|mut mask| {
                mask.iter_mut().take(ones).for_each(|byte| *byte = 0xff);
                mask
            });
            let covered: Vec<u8> = value.iter().enumerate().map(|(i, byte)| match mask {
                _ if i < zeros => 0,
                Some(mask) => byte & mask.get(i).copied().unwrap_or(0),
                None => *byte,
            }).collect();
            let value = Value::from_bytes(covered.get(..len).unwrap_or_default());
            let mask = mask.map(|mask| Value::from_bytes(mask.get(..len).unwrap_or_default()));
            if is_normal(field, &value, mask.as_ref()) {
                prop_assert_eq!(normalise(field, &value, mask.as_ref()).ok(), Some((value, mask)));
            }
        }
    }
}
