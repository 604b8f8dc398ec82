//! Numbers as `ovs-ofctl` reads them.

use crate::ParseError;

/// A number in decimal, in hexadecimal with 0x, or in octal with 0, as C's `strtoull` reads it.
pub(super) fn number(text: &str) -> Option<u128> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u128::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+'));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let radix = if text.len() > 1 && text.starts_with('0') { 8 } else { 10 };
    u128::from_str_radix(text, radix).ok()
}

/// A number of some type, or an error that says what was expected.
pub(super) fn integer<T: TryFrom<u128>>(text: &str, what: &str) -> Result<T, ParseError> {
    let bits = 8 * size_of::<T>();
    let fits = number(text).and_then(|n| T::try_from(n).ok());
    fits.ok_or_else(|| ParseError::new(text, format!("{what} must be a number of at most {bits} bits")))
}
