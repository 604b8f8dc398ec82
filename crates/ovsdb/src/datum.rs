//! Values of columns (RFC 7047 section 5.1): atoms, and sets and maps of them.

use crate::uuid::Uuid;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// One value: RFC 7047 section 5.1, `<atom>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A signed 64-bit number.
    Integer(i64),
    /// A floating-point number.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(Arc<str>),
    /// The name of a row.
    Uuid(Uuid),
}

/// A floating-point number with the total order of `f64::total_cmp`, so that it can be in a set.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f64);

/// The value of a column. A column of one value is a set of one, as in the protocol itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Datum {
    /// Zero or more atoms, each once.
    Set(BTreeSet<Atom>),
    /// Zero or more pairs, each key once.
    Map(BTreeMap<Atom, Atom>),
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Real {}
impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Atom {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
    /// The number, if it is an integer.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }
    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(truth) = self { Some(*truth) } else { None }
    }
    /// The row's name, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }
}

impl Datum {
    /// A set of no atoms.
    pub const EMPTY_SET: Self = Self::Set(BTreeSet::new());
    /// A map of no pairs.
    pub const EMPTY_MAP: Self = Self::Map(BTreeMap::new());

    /// A set of one.
    pub fn scalar(atom: Atom) -> Self {
        Self::Set(BTreeSet::from([atom]))
    }

    /// The only atom of a set of one; `None` for other sets and for maps.
    pub fn one(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) if set.len() == 1 => set.first(),
            _ => None,
        }
    }

    /// Makes `self` the other end of a difference, as ovsdb-server(7) 4.1.14 defines it: of a set, the elements that
    /// are in one of both only; of a map, the pairs whose key is in one of both only, and the new pairs where the
    /// values differ.
    pub(crate) fn apply_difference(&mut self, difference: Datum) {
        match (self, difference) {
            (Self::Set(old), Self::Set(difference)) => {
                for atom in difference {
                    if !old.remove(&atom) {
                        old.insert(atom);
                    }
                }
            }
            (Self::Map(old), Self::Map(difference)) => {
                for (key, value) in difference {
                    if old.get(&key) == Some(&value) {
                        old.remove(&key);
                    } else {
                        old.insert(key, value);
                    }
                }
            }
            // The schema check has made both of one kind; a new kind can only replace.
            (old, new) => *old = new,
        }
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}
impl From<i64> for Atom {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<bool> for Atom {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}
impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => number.0.fmt(f),
            Self::Boolean(truth) => truth.fmt(f),
            Self::String(text) => text.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(set) if set.len() == 1 => f.debug_set().entries(set).finish(),
            Self::Set(set) => f.debug_set().entries(set).finish(),
            Self::Map(map) => f.debug_map().entries(map).finish(),
        }
    }
}

/// What may stand first in the arrays by which OVSDB extends JSON.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Set,
    Map,
    Uuid,
}

struct AtomVisitor;

impl<'de> Visitor<'de> for AtomVisitor {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB atom: a string, number, boolean or [\"uuid\", ...]")
    }
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Atom, E> {
        Ok(Atom::Boolean(truth))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Atom, E> {
        Ok(Atom::Integer(number))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Atom, E> {
        i64::try_from(number).map(Atom::Integer).map_err(|_| E::custom(format!("{number} is more than 64 signed bits")))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Atom, E> {
        Ok(Atom::Real(Real(number)))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Atom, E> {
        Ok(Atom::String(text.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Atom, A::Error> {
        match seq.next_element::<Tag>()? {
            Some(Tag::Uuid) => uuid_and_end(seq).map(Atom::Uuid),
            _ => Err(de::Error::custom("expected [\"uuid\", ...]")),
        }
    }
}

fn uuid_and_end<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Uuid, A::Error> {
    let text =
        seq.next_element::<std::borrow::Cow<'de, str>>()?.ok_or_else(|| de::Error::custom("a UUID is missing"))?;
    let uuid = text.parse().map_err(de::Error::custom)?;
    end(seq)?;
    Ok(uuid)
}

fn end<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    match seq.next_element::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(de::Error::custom("more than two elements in an OVSDB value")),
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtomVisitor)
    }
}

struct DatumVisitor;

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB value: an atom, [\"set\", [...]] or [\"map\", [...]]")
    }
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Datum, E> {
        AtomVisitor.visit_bool(truth).map(Datum::scalar)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Datum, E> {
        AtomVisitor.visit_i64(number).map(Datum::scalar)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Datum, E> {
        AtomVisitor.visit_u64(number).map(Datum::scalar)
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Datum, E> {
        AtomVisitor.visit_f64(number).map(Datum::scalar)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Datum, E> {
        AtomVisitor.visit_str(text).map(Datum::scalar)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        let missing = || de::Error::custom("an OVSDB value has a tag and nothing after it");
        let datum = match seq.next_element::<Tag>()? {
            Some(Tag::Uuid) => return uuid_and_end(seq).map(|uuid| Datum::scalar(Atom::Uuid(uuid))),
            Some(Tag::Set) => Datum::Set(seq.next_element()?.ok_or_else(missing)?),
            Some(Tag::Map) => {
                let pairs: Vec<(Atom, Atom)> = seq.next_element()?.ok_or_else(missing)?;
                Datum::Map(pairs.into_iter().collect())
            }
            None => return Err(missing()),
        };
        end(seq)?;
        Ok(datum)
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Datum, A::Error> {
        Err(de::Error::custom("a JSON object is no OVSDB value"))
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DatumVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datum(json: &str) -> Result<Datum, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(datum("\"a\"").unwrap(), Datum::scalar("a".into()));
        assert_eq!(datum("[\"set\",[]]").unwrap(), Datum::EMPTY_SET);
        assert_eq!(datum("[\"map\",[]]").unwrap(), Datum::EMPTY_MAP);
        assert_eq!(datum("[\"set\",[\"a\",\"a\\n\"]]").unwrap(), Datum::Set(["a".into(), "a\n".into()].into()));
        assert_eq!(datum("[\"map\",[[1,true]]]").unwrap(), Datum::Map([(1.into(), true.into())].into()));
        let uuid = "a2a498b1-e376-40a2-91a5-2d9a98cb442b";
        assert_eq!(datum(&format!("[\"uuid\",\"{uuid}\"]")).unwrap().one(), Some(&Atom::Uuid(uuid.parse().unwrap())));
    }

    #[test]
    fn refuses_every_other_form() {
        for bad in [
            "null",
            "{}",
            "[]",
            "[1]",
            "[\"set\"]",
            "[\"set\",1]",
            "[\"set\",[],1]",
            "[\"set\",[[\"set\",[]]]]",
            "[\"map\",[[1]]]",
            "[\"map\",[[1,2,3]]]",
            "[\"uuid\",\"x\"]",
            "[\"named-uuid\",\"x\"]",
            "18446744073709551615",
            "[\"what\",1]",
        ] {
            assert!(datum(bad).is_err(), "{bad}");
        }
    }

    fn small_set() -> impl Strategy<Value = BTreeSet<Atom>> {
        prop::collection::btree_set((0i64..6).prop_map(Atom::Integer), 0..6)
    }
    fn small_map() -> impl Strategy<Value = BTreeMap<Atom, Atom>> {
        prop::collection::btree_map((0i64..4).prop_map(Atom::Integer), (0i64..3).prop_map(Atom::Integer), 0..4)
    }

    proptest! {
        // The differences are computed here from their definition in ovsdb-server(7), element by element.
        #[test]
        fn set_difference(old in small_set(), new in small_set()) {
            let difference = old.iter().filter(|a| !new.contains(a)).chain(new.iter().filter(|a| !old.contains(a))).cloned().collect();
            let mut datum = Datum::Set(old);
            datum.apply_difference(Datum::Set(difference));
            prop_assert_eq!(datum, Datum::Set(new));
        }

        #[test]
        fn map_difference(old in small_map(), new in small_map()) {
            let mut difference = BTreeMap::new();
            for key in old.keys().chain(new.keys()) {
                match (old.get(key), new.get(key)) {
                    (Some(value), None) | (None, Some(value)) => { difference.insert(key.clone(), value.clone()); }
                    (Some(before), Some(after)) if before != after => { difference.insert(key.clone(), after.clone()); }
                    _ => {}
                }
            }
            let mut datum = Datum::Map(old);
            datum.apply_difference(Datum::Map(difference));
            prop_assert_eq!(datum, Datum::Map(new));
        }
    }
}
