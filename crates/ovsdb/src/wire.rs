//! The JSON-RPC 1.0 messages of OVSDB (RFC 7047 section 4, ovsdb-server(7)), read in one pass without a tree in
//! between.

use crate::datum::Atom;
use crate::row::Row;
use crate::uuid::Uuid;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

/// Any message: a request has a method, a notification also a null id, a reply neither method nor a null id.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(default, borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) method: Option<String>,
    #[serde(default, borrow)]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// A JSON object as its pairs in order; unlike a map it does not need to sort or hash.
#[derive(Debug)]
pub(crate) struct Pairs<K, V>(pub(crate) Vec<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Pairs<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<K, V> {
            type Value = Pairs<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

/// Rows by table: `<table-updates>` or `<table-updates2>`.
pub(crate) type TableUpdates<R> = Pairs<String, Pairs<Uuid, R>>;

/// `<row-update>` of RFC 7047 section 4.1.6.
#[derive(Debug, Deserialize)]
pub(crate) struct RowUpdate1 {
    pub(crate) new: Option<Row>,
}

/// `<row-update2>` of ovsdb-server(7) 4.1.14.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowUpdate2 {
    Initial(Row),
    Insert(Row),
    /// New values of columns of at most one element, differences of the others.
    Modify(Row),
    Delete(IgnoredAny),
}

/// Rows as any of the methods tells them.
#[derive(Debug)]
pub(crate) enum Updates {
    One(TableUpdates<RowUpdate1>),
    Two(TableUpdates<RowUpdate2>),
}

/// The reply to `monitor_cond_since`: `[<found>, <last-txn-id>, <table-updates2>]`.
pub(crate) type SinceReply = (bool, Uuid, TableUpdates<RowUpdate2>);

/// `<error>` of RFC 7047 section 3.1, or whatever stands in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OvsdbError {
    pub(crate) error: String,
    pub(crate) details: String,
}

impl OvsdbError {
    /// From the `error` of a reply: an object, or (for an unknown method) a plain string.
    pub(crate) fn from_reply(raw: &RawValue) -> Self {
        match serde_json::from_str::<OpReply>(raw.get()) {
            Ok(OpReply { error: Some(error), details, .. }) => Self { error, details: details.unwrap_or_default() },
            _ => match serde_json::from_str::<String>(raw.get()) {
                Ok(error) => Self { error, details: String::new() },
                Err(_) => Self { error: raw.get().chars().take(200).collect(), details: String::new() },
            },
        }
    }
}

impl fmt::Display for OvsdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

/// One element of the reply to `transact`: a result or an error.
#[derive(Debug, Deserialize)]
pub(crate) struct OpReply {
    pub(crate) error: Option<String>,
    pub(crate) details: Option<String>,
    #[serde(default)]
    pub(crate) uuid: Option<Atom>,
    #[serde(default)]
    pub(crate) count: Option<u64>,
    #[serde(default)]
    pub(crate) rows: Option<Vec<Row>>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_shapes() {
        let check = |json: &str| OvsdbError::from_reply(&RawValue::from_string(json.into()).unwrap()).to_string();
        assert_eq!(check(r#""unknown method""#), "unknown method");
        assert_eq!(check(r#"{"error":"syntax error","details":"x","syntax":"[]"}"#), "syntax error: x");
        assert_eq!(check("[1]"), "[1]");
    }

    #[test]
    fn updates_of_all_shapes() {
        let uuid = "a2a498b1-e376-40a2-91a5-2d9a98cb442b";
        let json = format!(
            r#"{{"T":{{"{uuid}":{{"delete":null}},"{uuid}":{{"modify":{{"a":["set",[]]}}}},"{uuid}":{{"initial":{{}}}}}}}}"#
        );
        let updates: TableUpdates<RowUpdate2> = serde_json::from_str(&json).unwrap();
        assert!(matches!(
            &updates.0[0].1.0[..],
            [(_, RowUpdate2::Delete(_)), (_, RowUpdate2::Modify(_)), (_, RowUpdate2::Initial(_))]
        ));
        assert!(serde_json::from_str::<TableUpdates<RowUpdate2>>(r#"{"T":{"x":{"delete":null}}}"#).is_err());
    }
}
