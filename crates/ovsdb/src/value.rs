//! Values, conditions and mutators as operations and monitors write them (RFC 7047 section 5.1).

use crate::datum::{Atom, Datum};
use crate::uuid::Uuid;
use serde::Serialize;
use serde_json::json;

/// A value to write or compare with: what [`Datum`] is to reading, plus references to rows that the same transaction
/// inserts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Value(pub(crate) serde_json::Value);

impl Value {
    /// The row that this transaction inserts under this name ([`crate::Operation::named`]).
    pub fn named(name: &str) -> Self {
        Self(json!(["named-uuid", name]))
    }

    /// A set; a set of one may as well be given as the value itself.
    pub fn set<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self(json!(["set", values.into_iter().map(|value| value.into().0).collect::<Vec<_>>()]))
    }

    /// The empty set: "not set", for an optional column.
    pub fn empty() -> Self {
        Self(json!(["set", []]))
    }

    /// A map.
    pub fn map<K: Into<Value>, V: Into<Value>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(json!(["map", pairs.into_iter().map(|(key, value)| (key.into().0, value.into().0)).collect::<Vec<_>>()]))
    }
}

macro_rules! value_from {
    ($($plain:ty),*) => {$(
        impl From<$plain> for Value {
            fn from(plain: $plain) -> Self {
                Self(plain.into())
            }
        }
    )*};
}
value_from!(&str, String, bool, i64, i32, u32, u16, f64);

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Uuid> for Value {
    fn from(uuid: Uuid) -> Self {
        Self(json!(["uuid", uuid.to_string()]))
    }
}

impl From<&Atom> for Value {
    fn from(atom: &Atom) -> Self {
        match atom {
            Atom::Integer(number) => (*number).into(),
            Atom::Real(number) => number.0.into(),
            Atom::Boolean(truth) => (*truth).into(),
            Atom::String(text) => (**text).into(),
            Atom::Uuid(uuid) => (*uuid).into(),
        }
    }
}

impl From<&Datum> for Value {
    fn from(datum: &Datum) -> Self {
        match datum {
            Datum::Set(set) => datum.one().map_or_else(|| Self::set(set), Into::into),
            Datum::Map(map) => Self::map(map),
        }
    }
}

/// How a condition compares (RFC 7047 section 5.1, `<function>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Function {
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// Every element of the value is in the column.
    #[serde(rename = "includes")]
    Includes,
    /// No element of the value is in the column.
    #[serde(rename = "excludes")]
    Excludes,
    /// Less; for numbers.
    #[serde(rename = "<")]
    Less,
    /// Less or equal; for numbers.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// More; for numbers.
    #[serde(rename = ">")]
    More,
    /// More or equal; for numbers.
    #[serde(rename = ">=")]
    MoreOrEqual,
}

/// Chooses rows (RFC 7047 section 5.1, `<condition>`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition(String, Function, Value);

impl Condition {
    /// Rows whose `column` compares so to `value`. The column `_uuid` names the row itself.
    pub fn new(column: &str, function: Function, value: impl Into<Value>) -> Self {
        Self(column.into(), function, value.into())
    }
}

/// How a mutation changes a column (RFC 7047 section 5.1, `<mutator>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mutator {
    /// Adds a number.
    #[serde(rename = "+=")]
    Add,
    /// Subtracts a number.
    #[serde(rename = "-=")]
    Subtract,
    /// Multiplies by a number.
    #[serde(rename = "*=")]
    Multiply,
    /// Divides by a number.
    #[serde(rename = "/=")]
    Divide,
    /// The remainder of the division by an integer.
    #[serde(rename = "%=")]
    Remainder,
    /// Adds elements to a set, or pairs to a map. A key that the map has already keeps its value: delete it first.
    #[serde(rename = "insert")]
    Insert,
    /// Takes elements from a set, or from a map keys (given as a set) or exact pairs (given as a map).
    #[serde(rename = "delete")]
    Delete,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_datum_read_can_be_written() {
        for json in [json!("x"), json!(["set", []]), json!(["set", [1, 2]]), json!(["map", [["a", true]]]), json!(1.5)]
        {
            let datum: Datum = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(Value::from(&datum)).unwrap(), json);
        }
    }
}
