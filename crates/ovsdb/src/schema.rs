//! The part of a database schema (RFC 7047 section 3.2) that reading needs: which column is one value, a set or a map.
//!
//! The wire alone cannot tell: a set of one is written like its only element, and a difference of sets is no new value.

use crate::datum::{Atom, Datum, Real};
use crate::uuid::Uuid;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Tables and their columns.
#[derive(Debug, Deserialize)]
pub(crate) struct Schema {
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) tables: BTreeMap<String, Table>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) columns: BTreeMap<String, Column>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Column {
    #[serde(rename = "type")]
    pub(crate) kind: ColumnType,
}

/// `<type>`: of what, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WireType")]
pub(crate) struct ColumnType {
    key: AtomType,
    value: Option<AtomType>,
    min: u64,
    /// `u64::MAX` for "unlimited".
    max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AtomType {
    Integer,
    Real,
    Boolean,
    String,
    Uuid,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireType {
    Atomic(AtomType),
    Full { key: BaseType, value: Option<BaseType>, min: Option<u64>, max: Option<Max> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BaseType {
    Atomic(AtomType),
    Full {
        #[serde(rename = "type")]
        kind: AtomType,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Max {
    Number(u64),
    Unlimited(Unlimited),
}

#[derive(Deserialize)]
enum Unlimited {
    #[serde(rename = "unlimited")]
    Unlimited,
}

impl From<BaseType> for AtomType {
    fn from(base: BaseType) -> Self {
        match base {
            BaseType::Atomic(kind) | BaseType::Full { kind } => kind,
        }
    }
}

impl From<WireType> for ColumnType {
    fn from(wire: WireType) -> Self {
        match wire {
            WireType::Atomic(key) => Self { key, value: None, min: 1, max: 1 },
            WireType::Full { key, value, min, max } => Self {
                key: key.into(),
                value: value.map(Into::into),
                min: min.unwrap_or(1),
                max: match max {
                    None => 1,
                    Some(Max::Number(number)) => number,
                    Some(Max::Unlimited(Unlimited::Unlimited)) => u64::MAX,
                },
            },
        }
    }
}

impl AtomType {
    fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(Real(0.0)),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::from(""),
            Self::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }

    /// The atom as one of this type; the JSON of a whole real has no point.
    fn fit(self, atom: Atom) -> Option<Atom> {
        match (self, atom) {
            (Self::Real, Atom::Integer(number)) => Some(Atom::Real(Real(number as f64))),
            (Self::Integer, atom @ Atom::Integer(_))
            | (Self::Real, atom @ Atom::Real(_))
            | (Self::Boolean, atom @ Atom::Boolean(_))
            | (Self::String, atom @ Atom::String(_))
            | (Self::Uuid, atom @ Atom::Uuid(_)) => Some(atom),
            _ => None,
        }
    }
}

impl ColumnType {
    /// What a row has that says nothing of the column (RFC 7047 section 5.2.1).
    pub(crate) fn default_datum(self) -> Datum {
        match self.value {
            None if self.min == 0 => Datum::EMPTY_SET,
            None => Datum::scalar(self.key.default_atom()),
            Some(_) if self.min == 0 => Datum::EMPTY_MAP,
            Some(value) => Datum::Map([(self.key.default_atom(), value.default_atom())].into()),
        }
    }

    /// Whether `update2` and `update3` tell a new value of this column as a difference. Not for a column of at most one
    /// element.
    pub(crate) fn changes_by_difference(self) -> bool {
        self.max > 1
    }

    /// The datum as one of this type; `None` if it is of another one. Sizes are not checked: a difference has others.
    pub(crate) fn fit(self, datum: Datum) -> Option<Datum> {
        match (self.value, datum) {
            (None, Datum::Set(set)) => {
                // Nearly always all fit as they are: then nothing is built anew.
                if set.iter().all(|atom| self.key.is_type_of(atom)) {
                    return Some(Datum::Set(set));
                }
                set.into_iter().map(|atom| self.key.fit(atom)).collect::<Option<_>>().map(Datum::Set)
            }
            (Some(value), Datum::Map(map)) => {
                if map.iter().all(|(k, v)| self.key.is_type_of(k) && value.is_type_of(v)) {
                    return Some(Datum::Map(map));
                }
                let fit = |(k, v)| Some((self.key.fit(k)?, value.fit(v)?));
                map.into_iter().map(fit).collect::<Option<_>>().map(Datum::Map)
            }
            _ => None,
        }
    }
}

impl AtomType {
    fn is_type_of(self, atom: &Atom) -> bool {
        matches!(
            (self, atom),
            (Self::Integer, Atom::Integer(_))
                | (Self::Real, Atom::Real(_))
                | (Self::Boolean, Atom::Boolean(_))
                | (Self::String, Atom::String(_))
                | (Self::Uuid, Atom::Uuid(_))
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(json: &str) -> ColumnType {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn types_and_defaults() {
        assert_eq!(kind("\"integer\"").default_datum(), Datum::scalar(0.into()));
        let optional = kind(r#"{"key": {"type": "string", "enum": ["set", ["a"]]}, "min": 0, "max": 1}"#);
        assert_eq!((optional.default_datum(), optional.changes_by_difference()), (Datum::EMPTY_SET, false));
        let map =
            kind(r#"{"key": "string", "value": {"type": "uuid", "refTable": "x"}, "min": 0, "max": "unlimited"}"#);
        assert_eq!((map.default_datum(), map.changes_by_difference()), (Datum::EMPTY_MAP, true));
        assert!(serde_json::from_str::<ColumnType>(r#"{"key": "string", "max": "many"}"#).is_err());
        assert!(serde_json::from_str::<ColumnType>("\"text\"").is_err());
    }

    #[test]
    fn whole_reals_and_wrong_types() {
        let real = kind("\"real\"");
        assert_eq!(real.fit(Datum::scalar(3.into())), Some(Datum::scalar(Atom::Real(Real(3.0)))));
        assert_eq!(real.fit(Datum::scalar("x".into())), None);
        assert_eq!(real.fit(Datum::EMPTY_MAP), None);
    }
}
