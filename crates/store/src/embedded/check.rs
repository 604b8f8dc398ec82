//! What can be told to be wrong of a request without looking at the store. The rules are etcd's.

use super::{fault, span::Span};
use crate::wire::{self, Request};
use bytes::Bytes;
use prost::Message;
use std::collections::HashSet;
use tonic::Status;

/// Largest request in bytes, as in etcd.
pub(super) const MAX_REQUEST: usize = 1536 * 1024;
/// Most conditions, and most operations of a branch, in a transaction, as in etcd.
const MAX_OPS: usize = 128;

pub(super) fn size(request: &impl Message) -> Result<(), Status> {
    if request.encoded_len() > MAX_REQUEST { Err(fault::too_large()) } else { Ok(()) }
}

pub(super) fn put(put: &wire::PutRequest) -> Result<(), Status> {
    match put {
        put if put.key.is_empty() => Err(fault::empty_key()),
        put if put.ignore_value && !put.value.is_empty() => Err(fault::value_provided()),
        put if put.ignore_lease && put.lease != 0 => Err(fault::lease_provided()),
        _ => Ok(()),
    }
}

pub(super) fn delete(delete: &wire::DeleteRangeRequest) -> Result<(), Status> {
    if delete.key.is_empty() { Err(fault::empty_key()) } else { Ok(()) }
}

pub(super) fn txn(txn: &wire::TxnRequest) -> Result<(), Status> {
    shape(txn, MAX_OPS)?;
    changes(&txn.success)?;
    changes(&txn.failure)?;
    Ok(())
}

/// Whether a transaction changes nothing, whichever branch it takes.
pub(super) fn is_read(txn: &wire::TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
        Some(Request::Range(_)) => true,
        Some(Request::Txn(inner)) => is_read(inner),
        _ => false,
    })
}

fn shape(txn: &wire::TxnRequest, allowed: usize) -> Result<(), Status> {
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    // Every level counts against the depth, so recursion is bounded as well.
    let left = allowed.checked_sub(ops).ok_or_else(fault::too_many_ops)?;
    if txn.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(fault::empty_key());
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Request::Range(range)) if range.key.is_empty() => return Err(fault::empty_key()),
            Some(Request::Range(_)) => {}
            Some(Request::Put(one)) => put(one)?,
            Some(Request::DeleteRange(one)) => delete(one)?,
            Some(Request::Txn(inner)) => shape(inner, left)?,
            None => return Err(fault::key_not_found()),
        }
    }
    Ok(())
}

type Changes = (HashSet<Bytes>, Vec<Span>);

/// Refuses a branch that would write a key twice, or write and delete it. The puts and deletions of the branch.
fn changes(ops: &[wire::RequestOp]) -> Result<Changes, Status> {
    let mut puts: HashSet<Bytes> = HashSet::new();
    let mut deletes: Vec<Span> = Vec::new();
    for op in ops {
        if let Some(Request::DeleteRange(delete)) = &op.request {
            deletes.push(Span::new(delete.key.clone(), delete.range_end.clone()));
        }
    }
    let deleted = |deletes: &[Span], key: &[u8]| deletes.iter().any(|span| span.contains(key));
    for op in ops {
        if let Some(Request::Txn(inner)) = &op.request {
            let (then, then_deletes) = changes(&inner.success)?;
            let (other, other_deletes) = changes(&inner.failure)?;
            // One branch of the inner transaction is done, not both: they may write the same key.
            for key in then.union(&other) {
                if deleted(&deletes, key) || !puts.insert(key.clone()) {
                    return Err(fault::duplicate_key());
                }
            }
            deletes.extend(then_deletes);
            deletes.extend(other_deletes);
        }
    }
    for op in ops {
        if let Some(Request::Put(put)) = &op.request
            && (deleted(&deletes, &put.key) || !puts.insert(put.key.clone()))
        {
            return Err(fault::duplicate_key());
        }
    }
    Ok((puts, deletes))
}
