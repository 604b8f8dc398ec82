//! Parsing parts of fields.

use super::number::integer;
use super::tokens::Token;
use crate::ParseError;
use crate::action::Subfield;
use crate::field::Field;

/// `VALUE->FIELD[..]`.
pub(super) fn arrow<'a>(t: &Token<'a>, text: &'a str) -> Result<(&'a str, Subfield), ParseError> {
    let (value, dst) = text.split_once("->").ok_or_else(|| t.error("SOURCE->FIELD[FIRST..LAST]"))?;
    Ok((value.trim(), subfield(dst.trim())?))
}

/// `FIELD`, `FIELD[]`, `FIELD[BIT]` or `FIELD[FIRST..LAST]`.
pub(super) fn subfield(text: &str) -> Result<Subfield, ParseError> {
    let bad = |why: &str| ParseError::new(text, why);
    let (name, bits) = match text.split_once('[') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(|| bad("the bracket is never closed"))?)),
        None => (text, None),
    };
    let field = Field::by_name(name).ok_or_else(|| bad("no such field: see ovs-fields(7)"))?;
    let (first, last) = match bits {
        None | Some("") => return Ok(Subfield::all(field)),
        Some(bits) => match bits.split_once("..") {
            Some((first, last)) => (first, last),
            None => (bits, bits),
        },
    };
    let (first, last): (u16, u16) = (integer(first, "a bit")?, integer(last, "a bit")?);
    if first > last || last >= field.bits {
        return Err(bad(&format!("bits go from low to high, below {}", field.bits)));
    }
    Ok(Subfield::new(field, first, last - first + 1))
}
