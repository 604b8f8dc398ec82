//! Reading: the state now and at earlier revisions, from a snapshot or from within a transaction.

use super::{
    fault::{self, Outcome, corrupt},
    file::{Meta, ReadTables, Record, WriteTables, decode_kv},
    span::Span,
};
use crate::wire::{self, KeyValue, SortOrder, SortTarget};
use bytes::Bytes;
use redb::ReadableTable;
use std::{cmp::Ordering, ops::Bound};

/// A state of the store to read from.
pub(super) struct View<'a, K, P, L> {
    pub meta: Meta,
    keys: &'a K,
    past: &'a P,
    log: &'a L,
}

impl ReadTables {
    pub fn view(&self) -> View<'_, impl Keys + use<>, impl Past + use<>, impl Log + use<>> {
        View { meta: self.meta, keys: &self.keys, past: &self.past, log: &self.log }
    }

    /// The keys that die with a lease.
    pub fn attached(&self, lease: i64) -> Outcome<Vec<Bytes>> {
        let mut keys = Vec::new();
        for entry in self.attached.range::<(i64, &[u8])>((lease, &[][..])..)? {
            let (entry, _) = entry?;
            let (id, key) = entry.value();
            if id != lease {
                break;
            }
            keys.push(Bytes::copy_from_slice(key));
        }
        Ok(keys)
    }
}

impl<'txn> WriteTables<'txn> {
    /// As of what this transaction has written; `meta` must tell its revision.
    pub fn view(&self, meta: Meta) -> View<'_, impl Keys + use<'txn>, impl Past + use<'txn>, impl Log + use<'txn>> {
        View { meta, keys: &self.keys, past: &self.past, log: &self.log }
    }
}

pub(super) trait Keys: ReadableTable<&'static [u8], &'static [u8]> {}
impl<T: ReadableTable<&'static [u8], &'static [u8]>> Keys for T {}
pub(super) trait Past: ReadableTable<(&'static [u8], i64), i64> {}
impl<T: ReadableTable<(&'static [u8], i64), i64>> Past for T {}
pub(super) trait Log: ReadableTable<(i64, i64), &'static [u8]> {}
impl<T: ReadableTable<(i64, i64), &'static [u8]>> Log for T {}

/// What a range holds.
pub(super) struct Found {
    pub kvs: Vec<KeyValue>,
    /// All, whatever the limit.
    pub count: i64,
}

impl<K: Keys, P: Past, L: Log> View<'_, K, P, L> {
    /// A key as it is now.
    pub fn get(&self, key: &[u8]) -> Outcome<Option<KeyValue>> {
        self.keys.get(key)?.map(|value| decode_kv(value.value())).transpose()
    }

    /// The keys of a span as they are now, at most `limit` of them (0 for all).
    pub fn now(&self, span: &Span, limit: usize) -> Outcome<Found> {
        let mut found = Found { kvs: Vec::new(), count: 0 };
        if span.is_empty() {
            return Ok(found);
        }
        for entry in self.keys.range::<&[u8]>(span.bounds())? {
            let (_, value) = entry?;
            found.count += 1;
            if limit == 0 || found.kvs.len() < limit {
                found.kvs.push(decode_kv(value.value())?);
            }
        }
        Ok(found)
    }

    /// The keys of a span as they were at `revision`.
    fn at(&self, span: &Span, revision: i64, limit: usize) -> Outcome<Found> {
        let mut found = Found { kvs: Vec::new(), count: 0 };
        if span.is_empty() {
            return Ok(found);
        }
        let from = Bound::Included((span.first(), i64::MIN));
        // The last version not after `revision`, of the key that is being passed.
        let mut passing: Option<(Vec<u8>, i64, i64)> = None;
        let mut settle = |passed: Option<(Vec<u8>, i64, i64)>| -> Outcome<()> {
            if let Some((_, revision, place)) = passed {
                let (record, kv) = self.record(revision, place)?.ok_or_else(|| corrupt("the history of a key"))?;
                if !record.delete {
                    found.count += 1;
                    if limit == 0 || found.kvs.len() < limit {
                        found.kvs.push(kv);
                    }
                }
            }
            Ok(())
        };
        for entry in self.past.range::<(&[u8], i64)>((from, Bound::Unbounded))? {
            let (id, place) = entry?;
            let (key, version) = id.value();
            if !span.contains(key) {
                break;
            }
            if passing.as_ref().is_some_and(|(passed, ..)| passed != key) {
                settle(passing.take())?;
            }
            if version <= revision {
                passing = Some((key.to_vec(), version, place.value()));
            }
        }
        settle(passing)?;
        Ok(found)
    }

    /// One record of the log, if it is not compacted.
    pub fn record(&self, revision: i64, place: i64) -> Outcome<Option<(Record, KeyValue)>> {
        self.log.get((revision, place))?.map(|bytes| Record::decode_stored(bytes.value())).transpose()
    }

    /// The records from `from` to `to`, both inclusive, in order; ends after the revision in which `budget` bytes are exceeded. Each with the key
    /// as it was before, if that is kept.
    pub fn records(&self, from: i64, to: i64, budget: usize) -> Outcome<Vec<(Record, KeyValue, Option<KeyValue>)>> {
        let mut records: Vec<(Record, KeyValue, Option<KeyValue>)> = Vec::new();
        let mut bytes = 0;
        for entry in self.log.range((from, 0)..=(to, i64::MAX))? {
            let (id, value) = entry?;
            let (revision, _) = id.value();
            if bytes > budget && records.last().is_some_and(|(_, kv, _)| kv.mod_revision != revision) {
                break;
            }
            bytes += value.value().len();
            let (record, kv) = Record::decode_stored(value.value())?;
            let prev = match record.prev_revision {
                0 => None,
                revision => self.record(revision, record.prev_place)?.map(|(_, kv)| kv),
            };
            records.push((record, kv, prev));
        }
        Ok(records)
    }

    /// Answers a range request, in all its ways. The header is left empty.
    pub fn range(&self, request: &wire::RangeRequest) -> Outcome<wire::RangeResponse> {
        if request.key.is_empty() {
            return Err(fault::empty_key().into());
        }
        self.check_revision(request)?;
        let filtered = [
            request.max_mod_revision,
            request.min_mod_revision,
            request.max_create_revision,
            request.min_create_revision,
        ];
        let order = SortOrder::try_from(request.sort_order).unwrap_or(SortOrder::None);
        let target = SortTarget::try_from(request.sort_target).unwrap_or(SortTarget::Key);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        // As in etcd, a limit is applied while reading unless sorting or filtering may yet change which are first.
        let read_limit = match order {
            SortOrder::None if filtered == [0; 4] && limit > 0 => limit.saturating_add(1),
            _ => 0,
        };
        let span = Span::new(request.key.clone(), request.range_end.clone());
        let mut found = match request.revision {
            ..=0 => self.now(&span, if request.count_only { 1 } else { read_limit })?,
            revision if revision == self.meta.revision => {
                self.now(&span, if request.count_only { 1 } else { read_limit })?
            }
            revision => self.at(&span, revision, read_limit)?,
        };
        if request.count_only {
            found.kvs.clear();
        }
        let [max_mod, min_mod, max_create, min_create] = filtered;
        found.kvs.retain(|kv| {
            (max_mod == 0 || kv.mod_revision <= max_mod)
                && (min_mod == 0 || kv.mod_revision >= min_mod)
                && (max_create == 0 || kv.create_revision <= max_create)
                && (min_create == 0 || kv.create_revision >= min_create)
        });
        sort(&mut found.kvs, order, target);
        let more = limit > 0 && found.kvs.len() > limit;
        if more {
            found.kvs.truncate(limit);
        }
        if request.keys_only {
            found.kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(wire::RangeResponse { header: None, kvs: found.kvs, more, count: found.count })
    }

    /// Answers a transaction that only reads. The header is left empty.
    pub fn read_txn(&self, txn: &wire::TxnRequest) -> Outcome<wire::TxnResponse> {
        let mut succeeded = true;
        for compare in &txn.compare {
            succeeded = succeeded && self.holds(compare)?;
        }
        let mut responses = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            let response = match &op.request {
                Some(wire::Request::Range(range)) => {
                    let mut found = self.range(range)?;
                    found.header = Some(wire::ResponseHeader { revision: self.meta.revision, ..Default::default() });
                    wire::Response::Range(found)
                }
                Some(wire::Request::Txn(inner)) => {
                    let mut reply = self.read_txn(inner)?;
                    reply.header = Some(wire::ResponseHeader::default());
                    wire::Response::Txn(reply)
                }
                _ => continue,
            };
            responses.push(wire::ResponseOp { response: Some(response) });
        }
        Ok(wire::TxnResponse { header: None, succeeded, responses })
    }

    /// Refuses revisions that are to come or forgotten.
    pub fn check_revision(&self, request: &wire::RangeRequest) -> Outcome<()> {
        if request.revision > self.meta.revision {
            return Err(fault::future_revision().into());
        }
        if request.revision > 0 && request.revision < self.meta.compacted {
            return Err(fault::compacted().into());
        }
        Ok(())
    }

    /// Whether a condition holds.
    pub fn holds(&self, compare: &wire::Compare) -> Outcome<bool> {
        let span = Span::new(compare.key.clone(), compare.range_end.clone());
        let found = self.now(&span, 0)?;
        if found.kvs.is_empty() {
            // A value that is not there cannot be told from an empty one: such a comparison never holds.
            return Ok(compare.target != wire::CompareTarget::Value as i32 && compares(compare, &KeyValue::default()));
        }
        Ok(found.kvs.iter().all(|kv| compares(compare, kv)))
    }
}

fn compares(compare: &wire::Compare, kv: &KeyValue) -> bool {
    use wire::CompareOperand as Operand;
    let number = match compare.operand {
        Some(Operand::Version(n) | Operand::CreateRevision(n) | Operand::ModRevision(n) | Operand::Lease(n)) => n,
        _ => 0,
    };
    let ordering = match wire::CompareTarget::try_from(compare.target) {
        Ok(wire::CompareTarget::Value) => match &compare.operand {
            Some(Operand::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_ref().cmp(&[]),
        },
        Ok(wire::CompareTarget::Version) => kv.version.cmp(&number),
        Ok(wire::CompareTarget::Create) => kv.create_revision.cmp(&number),
        Ok(wire::CompareTarget::Mod) => kv.mod_revision.cmp(&number),
        Ok(wire::CompareTarget::Lease) => kv.lease.cmp(&number),
        Err(_) => return false,
    };
    match wire::CompareResult::try_from(compare.result) {
        Ok(wire::CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(wire::CompareResult::NotEqual) => ordering != Ordering::Equal,
        Ok(wire::CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(wire::CompareResult::Less) => ordering == Ordering::Less,
        Err(_) => false,
    }
}

fn sort(kvs: &mut [KeyValue], order: SortOrder, target: SortTarget) {
    // By key they are in order already; by anything else, no order means ascending.
    let descending = match (order, target) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => return,
        (order, _) => order == SortOrder::Descend,
    };
    kvs.sort_by(|a, b| {
        let ordering = match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if descending { ordering.reverse() } else { ordering }
    });
}
