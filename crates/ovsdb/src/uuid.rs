//! The name of a row (RFC 7047 section 3.1, `<uuid>`).

use std::fmt;
use std::str::FromStr;

/// Identifies a row for ever; made by the server at insertion. Text form: 8-4-4-4-12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

/// The text is not 8-4-4-4-12 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID: write it as 8-4-4-4-12 hexadecimal digits")]
pub struct UuidError(pub String);

impl Uuid {
    /// No row has it; the server writes it where there is nothing to name (for example as `last-txn-id` without
    /// history).
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let error = || UuidError(text.chars().take(80).collect());
        if text.len() != 36 {
            return Err(error());
        }
        let mut number = 0u128;
        for (i, byte) in text.bytes().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(error());
                }
            } else {
                let digit = char::from(byte).to_digit(16).ok_or_else(error)?;
                number = number << 4 | u128::from(digit);
            }
        }
        Ok(Self(number))
    }
}

impl<'de> serde::Deserialize<'de> for Uuid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Uuid;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID as text")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_back(n: u128) {
            prop_assert_eq!(Uuid(n).to_string().parse::<Uuid>().unwrap(), Uuid(n));
        }
    }

    #[test]
    fn refuses_what_is_no_uuid() {
        for bad in [
            "",
            "zz",
            "a2a498b1-e376-40a2-91a5-2d9a98cb442",
            "a2a498b1+e376-40a2-91a5-2d9a98cb442b",
            "é2a498b1-e376-40a2-91a5-2d9a98cb44",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
        assert_eq!("a2a498b1-e376-40a2-91a5-2d9a98cb442b".parse(), Ok(Uuid(0xa2a498b1_e376_40a2_91a5_2d9a98cb442b)));
    }
}
