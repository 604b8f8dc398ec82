//! A row: columns by name, with getters that say what kind of value is looked for.

use crate::datum::{Atom, Datum};
use crate::uuid::Uuid;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Columns and their values: all that are monitored, or those that changed, or those that were selected.
///
/// The getters give the empty value for a column that is not there or is of another kind: a server of another version
/// may lack it, and to its user that is the same as not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Row(pub BTreeMap<Arc<str>, Datum>);

impl Row {
    /// The value, if the column is there.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.0.get(column)
    }

    /// Columns by name, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.0.iter().map(|(column, datum)| (&**column, datum))
    }

    fn one(&self, column: &str) -> Option<&Atom> {
        self.get(column).and_then(Datum::one)
    }

    /// The text of a column that holds exactly one.
    pub fn string(&self, column: &str) -> Option<&str> {
        self.one(column).and_then(Atom::as_str)
    }

    /// The number of a column that holds exactly one.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.one(column).and_then(Atom::as_integer)
    }

    /// The truth value of a column that holds exactly one.
    pub fn boolean(&self, column: &str) -> Option<bool> {
        self.one(column).and_then(Atom::as_bool)
    }

    /// The reference of a column that holds exactly one; a selected row has its own name in the column `_uuid`.
    pub fn uuid(&self, column: &str) -> Option<Uuid> {
        self.one(column).and_then(Atom::as_uuid)
    }

    /// All texts of a set.
    pub fn strings(&self, column: &str) -> BTreeSet<Arc<str>> {
        self.get(column).map(Datum::strings).unwrap_or_default()
    }

    /// All references of a set.
    pub fn uuids(&self, column: &str) -> BTreeSet<Uuid> {
        self.get(column).map(Datum::uuids).unwrap_or_default()
    }

    /// A map from text to text.
    pub fn string_map(&self, column: &str) -> BTreeMap<Arc<str>, Arc<str>> {
        self.get(column).map(Datum::string_map).unwrap_or_default()
    }
}

impl Datum {
    /// All texts of a set; empty for what is no set.
    pub fn strings(&self) -> BTreeSet<Arc<str>> {
        match self {
            Self::Set(set) => set
                .iter()
                .filter_map(|atom| if let Atom::String(text) = atom { Some(text.clone()) } else { None })
                .collect(),
            Self::Map(_) => BTreeSet::new(),
        }
    }

    /// All references of a set; empty for what is no set.
    pub fn uuids(&self) -> BTreeSet<Uuid> {
        match self {
            Self::Set(set) => set.iter().filter_map(Atom::as_uuid).collect(),
            Self::Map(_) => BTreeSet::new(),
        }
    }

    /// A map from text to text; pairs of another kind are left out.
    pub fn string_map(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        match self {
            Self::Map(map) => map
                .iter()
                .filter_map(|pair| match pair {
                    (Atom::String(key), Atom::String(value)) => Some((key.clone(), value.clone())),
                    _ => None,
                })
                .collect(),
            Self::Set(_) => BTreeMap::new(),
        }
    }
}
