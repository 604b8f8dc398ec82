//! What we use of etcd v3, through our client and as it travels, on the embedded store and on a real etcd alike.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{Raw, Store, eventually};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::timeout};
use tuplenet_store::{
    Cmp, Compare, Op, Range, Reply, StoreError, Txn,
    client::{EventKind, SortOrder, SortTarget},
    mirror::{self, MirrorConfig, MirrorEvent},
    wire::{self, WatchRequestKind as Kind, WatchResponse},
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_written_read_and_deleted() {
    for store in Store::both().await {
        let client = store.client().await;
        assert_eq!(client.get("/a").await.unwrap(), (None, 1), "{}", store.name());
        assert_eq!(client.put("/a", "1").await.unwrap(), 2);
        assert_eq!(client.put("/a", "2").await.unwrap(), 3);
        let (kv, revision) = client.get("/a").await.unwrap();
        let kv = kv.unwrap();
        assert_eq!(
            (kv.value.as_ref(), kv.create_revision, kv.mod_revision, kv.version, revision),
            (&b"2"[..], 2, 3, 2, 3)
        );
        client.put("/b", "x").await.unwrap();
        client.put("/ba", "").await.unwrap();
        client.put("/c", "y").await.unwrap();
        let keys = |reply: tuplenet_store::RangeReply| reply.kvs.into_iter().map(|kv| kv.key).collect::<Vec<_>>();
        assert_eq!(keys(client.range(Range::prefix("/b")).await.unwrap()), ["/b", "/ba"]);
        assert_eq!(keys(client.range(Range::between("/a", "/c")).await.unwrap()), ["/a", "/b", "/ba"]);
        assert_eq!(
            keys(client.range(Range::prefix("/").sort(SortTarget::Mod, SortOrder::Descend).limit(2)).await.unwrap()),
            ["/c", "/ba"]
        );
        let old = client.range(Range::prefix("").at(2)).await.unwrap();
        assert_eq!((old.kvs.len(), old.kvs[0].value.as_ref()), (1, &b"1"[..]));
        assert_eq!(client.delete(Range::prefix("/b")).await.unwrap(), (2, 7));
        assert_eq!(client.delete(Range::key("/b")).await.unwrap(), (0, 7));
        assert_eq!(client.range(Range::prefix("/").count_only()).await.unwrap().count, 2);
        let status = client.status().await.unwrap();
        assert!(status.has_leader && status.version.starts_with("3.4") && status.revision == 7, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_atomic() {
    for store in Store::both().await {
        let client = store.client().await;
        let create = || {
            Txn::new()
                .when(Compare::absent("/one"))
                .then(Op::put("/one", "1"))
                .then(Op::put("/two", "2"))
                .or_else(Op::get("/one"))
        };
        let reply = client.txn(create()).await.unwrap();
        assert_eq!((reply.succeeded, reply.revision, reply.replies.len()), (true, 2, 2));
        let reply = client.txn(create()).await.unwrap();
        assert!(!reply.succeeded);
        let Reply::Range(found) = &reply.replies[0] else { panic!("{reply:?}") };
        assert_eq!((found.kvs[0].mod_revision, reply.revision), (2, 2));
        let reply =
            client.txn(Txn::new().when(Compare::unchanged("/one", 2)).then(Op::delete_prefix("/"))).await.unwrap();
        assert_eq!((reply.succeeded, &reply.replies[0]), (true, &Reply::Deleted(2)));
        // The bounds of etcd.
        let many = |n: usize| Txn::new().then_all((0..n).map(|n| Op::put(&format!("/{n}"), "")));
        assert!(client.txn(many(128)).await.unwrap().succeeded);
        assert!(matches!(client.txn(many(129)).await, Err(StoreError::Refused(_))));
        let twice = Txn::new().then(Op::put("/x", "1")).then(Op::put("/x", "2"));
        assert!(matches!(client.txn(twice).await, Err(StoreError::Refused(_))));
        assert!(matches!(client.put("/big", vec![0; 2 << 20]).await, Err(StoreError::TooLarge(_))), "{}", store.name());
    }
}

/// Lost updates would show: 8 writers count to 25 each, by comparing and swapping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_lose_no_update() {
    for store in Store::both().await {
        let client = store.client().await;
        let writers = (0..8).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 25 {
                    let (kv, _) = client.get("/n").await.unwrap();
                    let count: u32 =
                        kv.as_ref().map_or(0, |kv| std::str::from_utf8(&kv.value).unwrap().parse().unwrap());
                    let was = kv.map_or(0, |kv| kv.mod_revision);
                    let txn =
                        Txn::new().when(Compare::unchanged("/n", was)).then(Op::put("/n", (count + 1).to_string()));
                    done += u32::from(client.txn(txn).await.unwrap().succeeded);
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(client.get("/n").await.unwrap().0.unwrap().value, "200", "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_many_pages_shows_one_revision() {
    for store in Store::both().await {
        let client = store.client().await;
        for start in (0..2500).step_by(125) {
            client
                .txn(Txn::new().then_all((start..start + 125).map(|n| Op::put(&format!("/l/{n:05}"), "1"))))
                .await
                .unwrap();
        }
        client.put("/m", "not in it").await.unwrap();
        let writer = {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    // Each transaction moves a key from one end to the other: a listing of mixed revisions would have one too many or too few.
                    let txn = Txn::new()
                        .then(Op::delete(&format!("/l/{n:05}")))
                        .then(Op::put(&format!("/l/{:05}", 9000 + n), "2"));
                    client.txn(txn).await.unwrap();
                }
            })
        };
        while !writer.is_finished() {
            let listing = client.list("/l/").await.unwrap();
            assert_eq!(listing.kvs.len(), 2500, "{} at {}", store.name(), listing.revision);
            assert!(listing.kvs.windows(2).all(|pair| pair[0].key < pair[1].key));
        }
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_forgets_history_and_says_so() {
    for store in Store::both().await {
        let client = store.client().await;
        for n in 0..10 {
            client.put("/k", n.to_string()).await.unwrap();
        }
        client.delete(Range::key("/k")).await.unwrap();
        client.put("/live", "x").await.unwrap();
        client.compact(12).await.unwrap();
        client.compact(12).await.unwrap();
        assert!(
            matches!(client.range(Range::key("/k").at(5)).await, Err(StoreError::Compacted { .. })),
            "{}",
            store.name()
        );
        assert!(matches!(client.compact(99).await, Err(StoreError::Refused(_))));
        assert_eq!(client.range(Range::prefix("/").at(12)).await.unwrap().kvs.len(), 0);
        assert_eq!(client.get("/live").await.unwrap().1, 13);
        let mut watch = client.watch(Range::prefix("/"), 5);
        assert!(matches!(timeout(SOON, watch.next()).await.unwrap(), Err(StoreError::Compacted { oldest: 12 })));
        let mut watch = client.watch(Range::prefix("/"), 13);
        assert_eq!(timeout(SOON, watch.next()).await.unwrap().unwrap().events[0].kv.key, "/live");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_take_their_keys_with_them() {
    // They take their time, so both at once.
    let stores = Store::both().await;
    let tasks: Vec<_> = stores.into_iter().map(|store| tokio::spawn(leases(store))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn leases(store: Store) {
    let client = store.client().await;
    let (long, _) = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    client.put_with_lease("/long/1", "x", long).await.unwrap();
    client.put_with_lease("/long/2", "x", long).await.unwrap();
    client.put_with_lease("/freed", "x", long).await.unwrap();
    client.put("/freed", "y").await.unwrap();
    assert!(client.lease_time_left(long).await.unwrap().unwrap() > Duration::from_secs(590));
    // Last, since its time runs.
    let (short, granted) = client.lease_grant(Duration::from_secs(1)).await.unwrap();
    assert_eq!(granted, Duration::from_secs(2), "etcd grants two seconds at least");
    let revision = client.put_with_lease("/short", "x", short).await.unwrap();
    let mut watch = client.watch(Range::prefix("/"), revision + 1);
    // Renewed, it outlives its time.
    let begun = Instant::now();
    while begun.elapsed() < granted * 3 / 2 {
        assert_eq!(client.keep_alive(short).await.unwrap(), granted);
        assert!(client.get("/short").await.unwrap().0.is_some(), "{}", store.name());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let ended = timeout(SOON, watch.next()).await.unwrap().unwrap();
    assert_eq!((ended.events[0].kind, ended.events[0].kv.key.as_str()), (EventKind::Delete, "/short"));
    eventually("the lease is gone", async || matches!(client.keep_alive(short).await, Err(StoreError::NoLease(_))))
        .await;
    client.lease_revoke(long).await.unwrap();
    client.lease_revoke(long).await.unwrap();
    let both = timeout(SOON, watch.next()).await.unwrap().unwrap();
    assert_eq!(both.events.iter().map(|event| event.kv.key.as_str()).collect::<Vec<_>>(), ["/long/1", "/long/2"]);
    assert!(client.get("/freed").await.unwrap().0.is_some());
    assert!(matches!(client.put_with_lease("/x", "", long).await, Err(StoreError::NoLease(id)) if id == long));
    assert_eq!(client.lease_time_left(long).await.unwrap(), None);
}

/// A stream of watches, as it travels.
struct Watching {
    requests: mpsc::Sender<wire::WatchRequest>,
    answers: tonic::Streaming<WatchResponse>,
}

impl Watching {
    async fn open(raw: &Raw) -> Watching {
        let (requests, outgoing) = mpsc::channel(16);
        // etcd answers the opening of a stream with its first message, ours at once.
        requests.send(wire::WatchRequest { kind: Some(Kind::Progress(wire::WatchProgressRequest {})) }).await.unwrap();
        let mut watching = Watching { requests, answers: raw.watch(outgoing).await };
        assert_eq!(watching.next().await.watch_id, -1);
        watching
    }

    async fn ask(&self, kind: Kind) {
        self.requests.send(wire::WatchRequest { kind: Some(kind) }).await.unwrap();
    }

    async fn next(&mut self) -> WatchResponse {
        timeout(SOON, self.answers.message()).await.expect("an answer in time").unwrap().unwrap()
    }

    /// Creates a watch; its first answer.
    async fn create(&mut self, create: wire::WatchCreateRequest) -> WatchResponse {
        self.ask(Kind::Create(create)).await;
        self.next().await
    }
}

fn on(key: &'static str, end: &'static str) -> wire::WatchCreateRequest {
    wire::WatchCreateRequest {
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(end.as_bytes()),
        ..Default::default()
    }
}

fn told(answer: &WatchResponse) -> Vec<(bool, String, i64)> {
    let one = |event: &wire::Event| {
        let kv = event.kv.as_ref().unwrap();
        (event.r#type == wire::EventType::Delete as i32, String::from_utf8(kv.key.to_vec()).unwrap(), kv.mod_revision)
    };
    answer.events.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_on_one_stream_are_made_filtered_and_ended() {
    for store in Store::both().await {
        let (client, raw) = (store.client().await, Raw::new(&store.endpoints()));
        client.put("/a", "1").await.unwrap();
        let mut stream = Watching::open(&raw).await;
        let first = stream.create(on("/a", "")).await;
        assert!((first.created, first.canceled, first.watch_id) == (true, false, 0), "{}: {first:?}", store.name());
        let chosen = stream
            .create(wire::WatchCreateRequest { watch_id: 7, start_revision: 2, prev_kv: true, ..on("/", "0") })
            .await;
        assert!(chosen.created && chosen.watch_id == 7);
        assert_eq!(told(&stream.next().await), [(false, "/a".into(), 2)], "what happened before, as asked for");
        let twice = stream.create(wire::WatchCreateRequest { watch_id: 7, ..on("/", "0") }).await;
        assert!(twice.canceled && twice.cancel_reason.contains("duplicate watch ID"), "{twice:?}");
        let empty = stream.create(on("/b", "/a")).await;
        assert!(empty.canceled && empty.watch_id == -1, "{empty:?}");
        let filters = vec![wire::WatchFilter::NoPut as i32];
        assert_eq!(stream.create(wire::WatchCreateRequest { watch_id: 8, filters, ..on("/", "0") }).await.watch_id, 8);

        client.put("/b", "1").await.unwrap();
        let answer = stream.next().await;
        assert_eq!((answer.watch_id, told(&answer)), (7, vec![(false, "/b".into(), 3)]));
        client.put("/a", "2").await.unwrap();
        let mut both = [stream.next().await, stream.next().await];
        both.sort_by_key(|answer| answer.watch_id);
        assert_eq!((both[0].watch_id, both[1].watch_id), (0, 7));
        assert_eq!(both[0].events[0].prev_kv, None);
        assert_eq!(both[1].events[0].prev_kv.as_ref().unwrap().value, "1");

        stream.ask(Kind::Cancel(wire::WatchCancelRequest { watch_id: 0 })).await;
        let answer = stream.next().await;
        assert!(answer.canceled && answer.watch_id == 0);
        client.txn(Txn::new().then(Op::delete("/a")).then(Op::put("/c", "")).then(Op::delete("/b"))).await.unwrap();
        let mut both = [stream.next().await, stream.next().await];
        both.sort_by_key(|answer| answer.watch_id);
        assert_eq!(told(&both[0]), [(true, "/a".into(), 5), (false, "/c".into(), 5), (true, "/b".into(), 5)]);
        assert_eq!(told(&both[1]), [(true, "/a".into(), 5), (true, "/b".into(), 5)]);
        stream.ask(Kind::Progress(wire::WatchProgressRequest {})).await;
        let answer = stream.next().await;
        assert_eq!((answer.watch_id, answer.header.unwrap().revision), (-1, 5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_from_the_past_and_the_future() {
    for store in Store::both().await {
        let (client, raw) = (store.client().await, Raw::new(&store.endpoints()));
        for n in 2..=40 {
            client.put(&format!("/{n}"), "x").await.unwrap();
        }
        client.compact(20).await.unwrap();
        let mut stream = Watching::open(&raw).await;
        assert!(stream.create(wire::WatchCreateRequest { start_revision: 10, ..on("/", "0") }).await.created);
        let answer = stream.next().await;
        assert!((answer.canceled, answer.compact_revision) == (true, 20), "{}: {answer:?}", store.name());
        assert!(stream.create(wire::WatchCreateRequest { start_revision: 21, ..on("/", "0") }).await.created);
        let mut seen = Vec::new();
        while seen.len() < 20 {
            seen.extend(told(&stream.next().await).into_iter().map(|(_, _, revision)| revision));
        }
        assert_eq!(seen, (21..=40).collect::<Vec<_>>());
        let mut stream = Watching::open(&raw).await;
        assert!(stream.create(wire::WatchCreateRequest { start_revision: 43, ..on("/", "0") }).await.created);
        for n in 41..=43 {
            client.put(&format!("/{n}"), "x").await.unwrap();
        }
        assert_eq!(told(&stream.next().await), [(false, "/43".into(), 43)]);
    }
}

/// A revision of 2.8 MB (old and new values) comes in pieces to who allows it, and our client puts them together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_revisions_come_in_pieces() {
    for store in Store::both().await {
        let (client, raw) = (store.client().await, Raw::new(&store.endpoints()));
        let write = |byte: u8| Txn::new().then_all((0..7).map(move |n| Op::put(&format!("/{n}"), vec![byte; 200_000])));
        client.txn(write(1)).await.unwrap();
        client.txn(write(2)).await.unwrap();
        let mut stream = Watching::open(&raw).await;
        let create = wire::WatchCreateRequest { start_revision: 3, prev_kv: true, fragment: true, ..on("/", "0") };
        assert!(stream.create(create).await.created);
        let mut pieces = vec![stream.next().await];
        while pieces.last().unwrap().fragment {
            pieces.push(stream.next().await);
        }
        assert!(pieces.len() > 1, "{}", store.name());
        assert_eq!(pieces.iter().map(|piece| piece.events.len()).sum::<usize>(), 7);
        let mut watch = client.watch(Range::prefix("/"), 2);
        let mut events = 0;
        while events < 14 {
            let batch = timeout(SOON, watch.next()).await.unwrap().unwrap();
            assert_eq!(batch.events.len() % 7, 0, "never a part of a revision");
            events += batch.events.len();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_compare_all_that_can_be_compared() {
    for store in Store::both().await {
        let client = store.client().await;
        let (lease, _) = client.lease_grant(Duration::from_secs(60)).await.unwrap();
        client.put("/k", "b").await.unwrap();
        client.put_with_lease("/k", "b", lease).await.unwrap();
        let holds =
            async |compare: Compare| client.txn(Txn::new().when(compare).then(Op::get("/k"))).await.unwrap().succeeded;
        for (compare, expected) in [
            (Compare::exists("/k"), true),
            (Compare::absent("/k"), false),
            (Compare::absent("/none"), true),
            (Compare::version("/k", Cmp::Equal, 2), true),
            (Compare::create_revision("/k", Cmp::Less, 3), true),
            (Compare::mod_revision("/k", Cmp::Greater, 3), false),
            (Compare::value("/k", Cmp::Greater, "a"), true),
            (Compare::value("/k", Cmp::NotEqual, "b"), false),
            (Compare::value("/none", Cmp::NotEqual, "b"), false),
            (Compare::lease("/k", Cmp::Equal, lease), true),
            (Compare::version("/", Cmp::Greater, 1).for_prefix(), true),
        ] {
            assert_eq!(holds(compare.clone()).await, expected, "{}: {compare:?}", store.name());
        }
    }
}

/// Somebody else's keys need not be text; they are listed as they can be written, over pages and all, so that somebody can be told of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_no_text_are_written_so() {
    for store in Store::both().await {
        let (client, raw) = (store.client().await, Raw::new(&store.endpoints()));
        for n in 0..1200_u32 {
            let key = match n {
                n if n % 3 == 0 => format!("/k/{n:04}").into_bytes(),
                n => [format!("/k/{n:04}").as_bytes(), &[0xff]].concat(),
            };
            let request = wire::PutRequest { key: key.into(), ..Default::default() };
            raw.unary::<_, wire::PutResponse>(wire::path::PUT, request).await.unwrap();
        }
        let listed = client.list("/k/").await.unwrap().kvs;
        let text = |n: usize| if n.is_multiple_of(3) { format!("/k/{n:04}") } else { format!("/k/{n:04}\\xff") };
        assert!(listed.iter().map(|kv| &kv.key).eq(&(0..1200).map(text).collect::<Vec<_>>()), "{}", store.name());
    }
}

/// 70 MB in 140 keys: more than one answer may hold, so the listing asks for less at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_large_values_comes_in_smaller_pages() {
    for store in Store::both().await {
        let client = store.client().await;
        for n in 0..70 {
            let txn = (0..2).map(|half| Op::put(&format!("/large/{n}-{half}"), vec![7; 500_000]));
            client.txn(Txn::new().then_all(txn)).await.unwrap();
        }
        assert!(
            matches!(client.range(Range::prefix("/large/")).await, Err(StoreError::TooLarge(_))),
            "{}",
            store.name()
        );
        let listing = client.list("/large/").await.unwrap();
        assert_eq!(listing.kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 70_000_000);
    }
}

/// An edge is made and taken away by one transaction, on switches and on routers: who acts on it is to see all of it, or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_on_switches_and_routers_reaches_the_mirror_in_one_piece() {
    for store in Store::both().await {
        let client = store.client().await;
        let (_handle, mut events) = mirror::start(store.client().await, MirrorConfig::new("/p"));
        let mut changes = async || loop {
            if let MirrorEvent::Changes { changes, .. } = timeout(SOON, events.recv()).await.unwrap().unwrap() {
                break changes.into_iter().map(|change| change.path).collect::<Vec<_>>();
            }
        };
        assert!(changes().await.is_empty(), "{}", store.name());
        for round in 0..100 {
            let keys = ["ls/outside", "lr/edge", "ls/join"].map(|key| format!("/p/v1/{key}{round}"));
            let txn = keys.iter().fold(Txn::new(), |txn, key| txn.then(Op::put(key, "{}")));
            assert!(client.txn(txn).await.unwrap().succeeded);
            let mut paths = changes().await;
            paths.sort();
            let wanted = ["lr/edge", "ls/join", "ls/outside"].map(|path| format!("{path}{round}"));
            assert_eq!(paths, wanted, "{}", store.name());
        }
    }
}
