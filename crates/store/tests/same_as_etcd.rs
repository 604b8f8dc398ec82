//! The embedded store answers as etcd does: random requests go to both, and every answer, revisions and errors included, must be equal.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{Embedded, Etcd, Raw};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::fmt::Debug;
use tuplenet_store::wire::{
    self, Compare, CompareOperand, DeleteRangeRequest, PutRequest, RangeRequest, Request, RequestOp, Response,
    ResponseHeader, TxnRequest, path,
};

/// Leases that the operations use; granted once, ended by revocation.
const LEASES: [i64; 3] = [101, 102, 103];

#[derive(Clone, Debug)]
enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    /// So far below the current revision.
    Compact(i64),
    Grant(i64),
    Revoke(i64),
    Keys(i64),
    Leases,
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        20 => (0..6_u8).prop_map(|n| Bytes::from(format!("k{n}"))),
        2 => Just(Bytes::from_static(b"k1\0")),
        2 => Just(Bytes::from_static(b"\xff\xff")),
        1 => Just(Bytes::new()),
    ]
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => Just(Bytes::new()),
        2 => Just(Bytes::from_static(b"\0")),
        3 => (0..7_u8).prop_map(|n| Bytes::from(format!("k{n}"))),
        1 => Just(Bytes::from_static(b"l")),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    (0..4_u8).prop_map(|n| Bytes::from(vec![b'v'; n.into()]))
}

fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0), 3 => proptest::sample::select(&LEASES[..]), 1 => Just(999)]
}

/// Revisions are relative: 0 is "now", -n is n before now, and positive ones are to come. [`fix`] makes them absolute.
fn range() -> impl Strategy<Value = RangeRequest> {
    let revision = prop_oneof![6 => Just(0_i64), 4 => -12..0_i64, 1 => 1..3_i64];
    let bound = || prop_oneof![8 => Just(0_i64), 1 => -12..0_i64];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..4_u8);
    (key(), end(), 0..4_i64, revision, 0..3_i32, 0..5_i32, flags, (bound(), bound(), bound(), bound())).prop_map(
        |(
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            (serializable, keys_only, sorted, count),
            bounds,
        )| RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order: if sorted { sort_order } else { 0 },
            sort_target: if sorted { sort_target } else { 0 },
            serializable,
            keys_only,
            count_only: count == 0,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        },
    )
}

fn put() -> impl Strategy<Value = PutRequest> {
    (key(), value(), lease(), any::<bool>(), 0..12_u8).prop_map(|(key, value, lease, prev_kv, odd)| {
        let (ignore_value, ignore_lease) = (odd == 0 || odd == 2, odd == 1 || odd == 2);
        let value = if ignore_value && odd == 0 { Bytes::new() } else { value };
        PutRequest { key, value, lease: if ignore_lease { 0 } else { lease }, prev_kv, ignore_value, ignore_lease }
    })
}

/// etcd mistakes a deletion "from here on" for an empty one when it looks for double changes within a transaction, so transactions have none.
fn delete(within_txn: bool) -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), end(), any::<bool>()).prop_map(move |(key, end, prev_kv)| {
        let backwards = !end.is_empty() && end <= key;
        let range_end = if within_txn && backwards { Bytes::new() } else { end };
        DeleteRangeRequest { key, range_end, prev_kv }
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let operand = prop_oneof![
        (0..3_i64).prop_map(CompareOperand::Version),
        (-4..1_i64).prop_map(CompareOperand::CreateRevision),
        (-4..1_i64).prop_map(CompareOperand::ModRevision),
        value().prop_map(CompareOperand::Value),
        lease().prop_map(CompareOperand::Lease),
    ];
    (key(), end(), 0..4_i32, operand).prop_map(|(key, range_end, result, operand)| {
        let target = match operand {
            CompareOperand::Version(_) => wire::CompareTarget::Version,
            CompareOperand::CreateRevision(_) => wire::CompareTarget::Create,
            CompareOperand::ModRevision(_) => wire::CompareTarget::Mod,
            CompareOperand::Value(_) => wire::CompareTarget::Value,
            CompareOperand::Lease(_) => wire::CompareTarget::Lease,
        };
        Compare { result, target: target.into(), key, operand: Some(operand), range_end }
    })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let op = prop_oneof![
        range().prop_map(Request::Range),
        put().prop_map(Request::Put),
        put().prop_map(Request::Put),
        delete(true).prop_map(Request::DeleteRange),
    ]
    .prop_recursive(2, 8, 3, |inner| {
        let ops = || proptest::collection::vec(inner.clone(), 0..3);
        (proptest::collection::vec(compare(), 0..2), ops(), ops())
            .prop_map(|(compare, then, other)| Request::Txn(assemble(compare, then, other)))
    });
    (
        proptest::collection::vec(compare(), 0..3),
        proptest::collection::vec(op.clone(), 0..4),
        proptest::collection::vec(op, 0..3),
    )
        .prop_map(|(compare, then, other)| assemble(compare, then, other))
}

fn assemble(compare: Vec<Compare>, then: Vec<Request>, other: Vec<Request>) -> TxnRequest {
    let wrap = |ops: Vec<Request>| ops.into_iter().map(|request| RequestOp { request: Some(request) }).collect();
    TxnRequest { compare, success: wrap(then), failure: wrap(other) }
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => range().prop_map(Call::Range),
        6 => put().prop_map(Call::Put),
        2 => delete(false).prop_map(Call::Delete),
        8 => txn().prop_map(Call::Txn),
        1 => (-2..14_i64).prop_map(Call::Compact),
        1 => proptest::sample::select(&LEASES[..]).prop_map(Call::Grant),
        1 => proptest::sample::select(&LEASES[..]).prop_map(Call::Revoke),
        1 => proptest::sample::select(&LEASES[..]).prop_map(Call::Keys),
        1 => Just(Call::Leases),
    ]
}

/// Makes relative revisions absolute.
fn fix(call: &mut Call, now: i64) {
    let range = |range: &mut RangeRequest| {
        if range.revision != 0 {
            range.revision = (range.revision + now).max(1);
        }
        for bound in [
            &mut range.min_mod_revision,
            &mut range.max_mod_revision,
            &mut range.min_create_revision,
            &mut range.max_create_revision,
        ] {
            if *bound != 0 {
                *bound = (*bound + now).max(1);
            }
        }
    };
    fn fix_txn(txn: &mut TxnRequest, now: i64, range: &dyn Fn(&mut RangeRequest)) {
        for compare in &mut txn.compare {
            if let Some(CompareOperand::CreateRevision(n) | CompareOperand::ModRevision(n)) = &mut compare.operand
                && *n < 0
            {
                *n += now;
            }
        }
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut op.request {
                Some(Request::Range(one)) => range(one),
                Some(Request::Txn(inner)) => fix_txn(inner, now, range),
                _ => {}
            }
        }
    }
    match call {
        Call::Range(one) => range(one),
        Call::Txn(one) => fix_txn(one, now, &range),
        Call::Compact(below) => *below = now - *below,
        _ => {}
    }
}

/// Leaves of a header only the revision, which must be equal.
fn plain(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader { revision: header.revision, ..Default::default() };
    }
}

fn plain_txn(txn: &mut wire::TxnResponse) {
    plain(&mut txn.header);
    for op in &mut txn.responses {
        match &mut op.response {
            Some(Response::Range(one)) => plain(&mut one.header),
            Some(Response::Put(one)) => plain(&mut one.header),
            Some(Response::DeleteRange(one)) => plain(&mut one.header),
            Some(Response::Txn(one)) => plain_txn(one),
            None => {}
        }
    }
}

fn show<T: Debug, E: Debug>(answer: Result<T, E>, plain: impl FnOnce(&mut T)) -> String {
    match answer {
        Ok(mut answer) => {
            plain(&mut answer);
            format!("{answer:?}")
        }
        Err(error) => format!("{error:?}"),
    }
}

async fn ask(raw: &Raw, call: Call) -> String {
    match call {
        Call::Range(one) => show(raw.unary::<_, wire::RangeResponse>(path::RANGE, one).await, |r| plain(&mut r.header)),
        Call::Put(one) => show(raw.unary::<_, wire::PutResponse>(path::PUT, one).await, |r| plain(&mut r.header)),
        Call::Delete(one) => {
            show(raw.unary::<_, wire::DeleteRangeResponse>(path::DELETE_RANGE, one).await, |r| plain(&mut r.header))
        }
        Call::Txn(one) => show(raw.unary::<_, wire::TxnResponse>(path::TXN, one).await, plain_txn),
        Call::Compact(revision) => {
            let request = wire::CompactionRequest { revision, physical: true };
            show(raw.unary::<_, wire::CompactionResponse>(path::COMPACT, request).await, |r| plain(&mut r.header))
        }
        Call::Grant(id) => {
            let request = wire::LeaseGrantRequest { ttl: 36_000, id };
            show(raw.unary::<_, wire::LeaseGrantResponse>(path::LEASE_GRANT, request).await, |r| plain(&mut r.header))
        }
        Call::Revoke(id) => {
            let request = wire::LeaseRevokeRequest { id };
            show(raw.unary::<_, wire::LeaseRevokeResponse>(path::LEASE_REVOKE, request).await, |r| plain(&mut r.header))
        }
        Call::Keys(id) => {
            let request = wire::LeaseTimeToLiveRequest { id, keys: true };
            show(raw.unary::<_, wire::LeaseTimeToLiveResponse>(path::LEASE_TIME_TO_LIVE, request).await, |r| {
                plain(&mut r.header);
                r.keys.sort();
                // A second may pass between the two.
                r.ttl = r.ttl.signum();
            })
        }
        Call::Leases => show(
            raw.unary::<_, wire::LeaseLeasesResponse>(path::LEASE_LEASES, wire::LeaseLeasesRequest {}).await,
            |r| {
                plain(&mut r.header);
                r.leases.sort_by_key(|lease| lease.id);
            },
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_requests_are_answered_alike() {
    if common::skip_etcd() {
        return;
    }
    let (etcd, embedded) = (Etcd::start(1).await, Embedded::start().await);
    let (real, ours) = (Raw::new(&etcd.members[0].endpoint), Raw::new(&embedded.endpoint));
    // A number in the environment gives another run; the seed of a failure is shown with it.
    let seed: u64 = std::env::var("TUPLENET_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let calls: usize = std::env::var("TUPLENET_TEST_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1500);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = call();
    let mut now = 1;
    let mut history = Vec::new();
    let mut refused = 0;
    for number in 0..calls {
        let mut call = strategy.new_tree(&mut runner).unwrap().current();
        fix(&mut call, now);
        history.push(format!("{call:?}"));
        let (theirs, mine) = tokio::join!(ask(&real, call.clone()), ask(&ours, call));
        let tail = history.len().saturating_sub(6);
        assert_eq!(
            mine,
            theirs,
            "call {number} of seed {seed} (left: embedded, right: etcd) after\n{}",
            history[tail..].join("\n")
        );
        refused += usize::from(mine.starts_with('('));
        if let Ok(reply) = ours.unary::<_, wire::RangeResponse>(path::RANGE, common::get(b"k0")).await {
            now = reply.header.unwrap().revision;
        }
    }
    // A run of errors would prove nothing.
    assert!(
        now > i64::try_from(calls / 10).unwrap() && refused < calls * 2 / 3,
        "too little happened: revision {now}, {refused} of {calls} refused"
    );
}
