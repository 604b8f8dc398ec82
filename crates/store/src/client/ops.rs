//! What can be asked of the store, and what it answers: ranges, operations, conditions, transactions.

use crate::wire;
use bytes::Bytes;

pub use crate::wire::{CompareResult as Cmp, SortOrder, SortTarget};

/// A key with its value and history. Keys that are not UTF-8 are not ours: they are left out of answers, with a notice in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    /// The whole key.
    pub key: String,
    /// The value; empty where only keys were asked for, and for deletions.
    pub value: Bytes,
    /// The revision that created it; 0 for deletions.
    pub create_revision: i64,
    /// The revision that changed it last.
    pub mod_revision: i64,
    /// How many times it was written since its creation; 0 for deletions.
    pub version: i64,
    /// The lease that it dies with, 0 for none.
    pub lease: i64,
}

impl Kv {
    /// A key that is not UTF-8, which no command of ours makes, is given as it can be written, like `ls/\xff`: it is no object's name then.
    pub(crate) fn from_wire(kv: wire::KeyValue) -> Kv {
        let key = match std::str::from_utf8(&kv.key) {
            Ok(key) => key.to_owned(),
            Err(_) => kv.key.escape_ascii().to_string(),
        };
        Kv {
            key,
            value: kv.value,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

/// The end of the range of all keys that begin with `prefix`, as etcd wants it: the prefix with its last byte below 0xff one higher.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

/// Which keys, and how to give them.
#[derive(Clone, Debug, PartialEq)]
pub struct Range(pub(crate) wire::RangeRequest);

impl Range {
    fn new(key: impl Into<Bytes>, range_end: Bytes) -> Range {
        let key = key.into();
        // The protocol has no empty key; the range of all begins at its least key.
        let key = if key.is_empty() { Bytes::from_static(&[0]) } else { key };
        Range(wire::RangeRequest { key, range_end, ..Default::default() })
    }

    /// One key.
    pub fn key(key: &str) -> Range {
        Range::new(key.as_bytes().to_vec(), Bytes::new())
    }

    /// All keys that begin with `prefix`; all there are if it is empty.
    pub fn prefix(prefix: &str) -> Range {
        Range::new(prefix.as_bytes().to_vec(), prefix_end(prefix.as_bytes()))
    }

    /// From `from` inclusive to `to` exclusive.
    pub fn between(from: &str, to: &str) -> Range {
        Range::new(from.as_bytes().to_vec(), to.as_bytes().to_vec().into())
    }

    /// No values.
    pub fn keys_only(mut self) -> Range {
        self.0.keys_only = true;
        self
    }

    /// No keys either.
    pub fn count_only(mut self) -> Range {
        self.0.count_only = true;
        self
    }

    /// At most `limit` keys; 0 for all.
    pub fn limit(mut self, limit: i64) -> Range {
        self.0.limit = limit;
        self
    }

    /// As of `revision`; 0 for now.
    pub fn at(mut self, revision: i64) -> Range {
        self.0.revision = revision;
        self
    }

    /// In another order than by key.
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Range {
        self.0.sort_target = target.into();
        self.0.sort_order = order.into();
        self
    }
}

/// Answer to a [`Range`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The store's revision when it answered (not the one asked for).
    pub revision: i64,
    /// What was found.
    pub kvs: Vec<Kv>,
    /// There was more than the limit.
    pub more: bool,
    /// How many there are in the range, whatever the limit.
    pub count: i64,
}

impl RangeReply {
    pub(crate) fn from_wire(reply: wire::RangeResponse) -> RangeReply {
        RangeReply {
            revision: revision(&reply.header),
            kvs: reply.kvs.into_iter().map(Kv::from_wire).collect(),
            more: reply.more,
            count: reply.count,
        }
    }
}

pub(crate) fn revision(header: &Option<wire::ResponseHeader>) -> i64 {
    header.as_ref().map_or(0, |header| header.revision)
}

/// One condition of a transaction. A key that does not exist has version, revisions and lease 0, and no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare(pub(crate) wire::Compare);

impl Compare {
    fn new(key: &str, cmp: Cmp, target: wire::CompareTarget, operand: wire::CompareOperand) -> Compare {
        Compare(wire::Compare {
            result: cmp.into(),
            target: target.into(),
            key: key.as_bytes().to_vec().into(),
            operand: Some(operand),
            range_end: Bytes::new(),
        })
    }

    /// The revision that changed the key last.
    pub fn mod_revision(key: &str, cmp: Cmp, revision: i64) -> Compare {
        Compare::new(key, cmp, wire::CompareTarget::Mod, wire::CompareOperand::ModRevision(revision))
    }

    /// The revision that created the key.
    pub fn create_revision(key: &str, cmp: Cmp, revision: i64) -> Compare {
        Compare::new(key, cmp, wire::CompareTarget::Create, wire::CompareOperand::CreateRevision(revision))
    }

    /// How many times the key was written.
    pub fn version(key: &str, cmp: Cmp, version: i64) -> Compare {
        Compare::new(key, cmp, wire::CompareTarget::Version, wire::CompareOperand::Version(version))
    }

    /// The value; false if the key does not exist, whatever `cmp`.
    pub fn value(key: &str, cmp: Cmp, value: impl Into<Bytes>) -> Compare {
        Compare::new(key, cmp, wire::CompareTarget::Value, wire::CompareOperand::Value(value.into()))
    }

    /// The lease of the key.
    pub fn lease(key: &str, cmp: Cmp, lease: i64) -> Compare {
        Compare::new(key, cmp, wire::CompareTarget::Lease, wire::CompareOperand::Lease(lease))
    }

    /// The key does not exist.
    pub fn absent(key: &str) -> Compare {
        Compare::create_revision(key, Cmp::Equal, 0)
    }

    /// The key exists.
    pub fn exists(key: &str) -> Compare {
        Compare::create_revision(key, Cmp::Greater, 0)
    }

    /// The key is as it was read: `mod_revision` is the one read, 0 for absent.
    pub fn unchanged(key: &str, mod_revision: i64) -> Compare {
        Compare::mod_revision(key, Cmp::Equal, mod_revision)
    }

    /// Makes the condition one on all keys that begin with this one's key.
    pub fn for_prefix(mut self) -> Compare {
        self.0.range_end = prefix_end(&self.0.key);
        self
    }

    /// Whether the condition cannot hold again once `key` was written or deleted by the transaction that it guards.
    fn falls_with(&self, op: &wire::Request) -> bool {
        use wire::CompareOperand::{CreateRevision, ModRevision, Version};
        if self.0.result != Cmp::Equal as i32 || !self.0.range_end.is_empty() {
            return false;
        }
        match (op, &self.0.operand) {
            (wire::Request::Put(put), Some(ModRevision(_) | Version(_) | CreateRevision(0))) => put.key == self.0.key,
            (wire::Request::DeleteRange(delete), Some(ModRevision(n) | CreateRevision(n) | Version(n))) => {
                *n > 0 && delete.key == self.0.key
            }
            _ => false,
        }
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Op(pub(crate) wire::Request);

impl Op {
    /// Writes a key.
    pub fn put(key: &str, value: impl Into<Bytes>) -> Op {
        Op::put_with_lease(key, value, 0)
    }

    /// Writes a key that dies with `lease`.
    pub fn put_with_lease(key: &str, value: impl Into<Bytes>, lease: i64) -> Op {
        Op(wire::Request::Put(wire::PutRequest {
            key: key.as_bytes().to_vec().into(),
            value: value.into(),
            lease,
            ..Default::default()
        }))
    }

    /// Deletes a key; no error if it does not exist.
    pub fn delete(key: &str) -> Op {
        Op(wire::Request::DeleteRange(wire::DeleteRangeRequest {
            key: key.as_bytes().to_vec().into(),
            ..Default::default()
        }))
    }

    /// Deletes all keys that begin with `prefix`.
    pub fn delete_prefix(prefix: &str) -> Op {
        let Range(range) = Range::prefix(prefix);
        Op(wire::Request::DeleteRange(wire::DeleteRangeRequest {
            key: range.key,
            range_end: range.range_end,
            prev_kv: false,
        }))
    }

    /// Reads a key.
    pub fn get(key: &str) -> Op {
        Op::range(Range::key(key))
    }

    /// Reads a range.
    pub fn range(range: Range) -> Op {
        Op(wire::Request::Range(range.0))
    }

    /// A transaction within the transaction.
    pub fn txn(txn: Txn) -> Op {
        Op(wire::Request::Txn(txn.0))
    }
}

/// If all conditions hold, does one list of operations, else the other; atomically. At most 128 conditions and 128 operations each, and each key
/// changed at most once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Txn(pub(crate) wire::TxnRequest);

impl Txn {
    /// Without conditions: always does what [`Txn::then`] adds.
    pub fn new() -> Txn {
        Txn::default()
    }

    /// Adds a condition.
    pub fn when(mut self, compare: Compare) -> Txn {
        self.0.compare.push(compare.0);
        self
    }

    /// Adds conditions.
    pub fn when_all(mut self, compares: impl IntoIterator<Item = Compare>) -> Txn {
        self.0.compare.extend(compares.into_iter().map(|compare| compare.0));
        self
    }

    /// Adds an operation for the case that all conditions hold.
    pub fn then(mut self, op: Op) -> Txn {
        self.0.success.push(wire::RequestOp { request: Some(op.0) });
        self
    }

    /// Adds operations for the case that all conditions hold.
    pub fn then_all(mut self, ops: impl IntoIterator<Item = Op>) -> Txn {
        self.0.success.extend(ops.into_iter().map(|op| wire::RequestOp { request: Some(op.0) }));
        self
    }

    /// Adds an operation for the case that they do not.
    pub fn or_else(mut self, op: Op) -> Txn {
        self.0.failure.push(wire::RequestOp { request: Some(op.0) });
        self
    }

    /// How many conditions and operations there are: the larger of the three counts, which etcd limits to 128.
    pub fn weight(&self) -> usize {
        self.0.compare.len().max(self.0.success.len()).max(self.0.failure.len())
    }

    /// Whether nothing is written whatever the conditions say.
    pub(crate) fn is_read(&self) -> bool {
        !self.0.success.iter().chain(&self.0.failure).any(writes)
    }

    /// Whether doing it once makes it impossible to do it twice: one of its conditions falls with one of its own writes, and nothing is
    /// written when the conditions fail. Such a transaction may be sent again when the answer was lost.
    pub(crate) fn is_guarded(&self) -> bool {
        let falls = |op: &wire::RequestOp| {
            op.request.as_ref().is_some_and(|request| {
                self.0.compare.iter().any(|compare| Compare(compare.clone()).falls_with(request))
            })
        };
        self.0.success.iter().any(falls) && !self.0.failure.iter().any(writes)
    }
}

fn writes(op: &wire::RequestOp) -> bool {
    match &op.request {
        Some(wire::Request::Put(_) | wire::Request::DeleteRange(_)) => true,
        Some(wire::Request::Txn(txn)) => txn.success.iter().chain(&txn.failure).any(writes),
        Some(wire::Request::Range(_)) | None => false,
    }
}

/// Answer to one [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Written.
    Put,
    /// So many keys were deleted.
    Deleted(i64),
    /// What was read.
    Range(RangeReply),
    /// What the inner transaction did.
    Txn(TxnReply),
}

/// Answer to a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnReply {
    /// Whether the conditions held.
    pub succeeded: bool,
    /// The store's revision: that of the change, if there was one.
    pub revision: i64,
    /// One for each operation done, in order.
    pub replies: Vec<Reply>,
}

impl TxnReply {
    pub(crate) fn from_wire(reply: wire::TxnResponse) -> TxnReply {
        let one = |op: wire::ResponseOp| {
            Some(match op.response? {
                wire::Response::Put(_) => Reply::Put,
                wire::Response::DeleteRange(reply) => Reply::Deleted(reply.deleted),
                wire::Response::Range(reply) => Reply::Range(RangeReply::from_wire(reply)),
                wire::Response::Txn(reply) => Reply::Txn(TxnReply::from_wire(reply)),
            })
        };
        TxnReply {
            succeeded: reply.succeeded,
            revision: revision(&reply.header),
            replies: reply.responses.into_iter().filter_map(one).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_no_text_is_told_of() {
        let named = |key: &'static [u8]| Kv::from_wire(wire::KeyValue { key: key.into(), ..Default::default() }).key;
        assert_eq!(named(b"/t/v1/ls/\xff\xfe"), "/t/v1/ls/\\xff\\xfe");
        assert_eq!(named("/t/v1/ls/ü".as_bytes()), "/t/v1/ls/ü");
    }
}
