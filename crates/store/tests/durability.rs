//! What was answered is there after `kill -9`, whatever was going on; and what the file says when it cannot be used.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Embedded, embedded_process, embedded_process_limited, embedded_process_starting};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tuplenet_fixture::Dir;
use tuplenet_store::{
    Client, Config, Op, Range, StoreError, Txn,
    embedded::{EmbeddedError, Options, Server},
};

/// No test: the store's process that the others start and kill.
#[test]
#[ignore = "run by the other tests"]
fn server_process() {
    common::server_main();
}

async fn connect(endpoint: &str) -> Client {
    Client::connect(Config::new(endpoint).unwrap()).await.unwrap()
}

/// 16 writers, each with keys of its own and ever higher values; the process is killed in the middle, five times. Afterwards each key has the last
/// value that was acknowledged to its writer, or the one that was under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_writes_loses_nothing_acknowledged() {
    const WRITERS: usize = 16;
    let dir = Dir::new("store");
    let data = dir.file("store.db");
    // Writer -> last acknowledged value and its revision.
    let acknowledged: Arc<Mutex<BTreeMap<usize, (u64, i64)>>> = Arc::default();
    let mut last_revision = 0;
    for round in 0..5 {
        let (mut process, address) = embedded_process(&data, "127.0.0.1:0");
        let client = connect(&address.to_string()).await;
        let listing = client.list("/w/").await.unwrap();
        let expected = acknowledged.lock().unwrap().clone();
        assert!(
            listing.revision >= last_revision,
            "round {round}: the revision went back from {last_revision} to {}",
            listing.revision
        );
        assert!(listing.kvs.len() >= expected.len(), "round {round}: keys are lost");
        for kv in &listing.kvs {
            let writer: usize = kv.key["/w/".len()..].parse().unwrap();
            let value: u64 = std::str::from_utf8(&kv.value).unwrap().parse().unwrap();
            let (sure, revision) = expected.get(&writer).copied().unwrap_or((0, 0));
            assert!(
                value == sure || value == sure + 1,
                "round {round}: writer {writer} was told {sure}, the store has {value}"
            );
            assert!(value != sure || kv.mod_revision == revision, "round {round}: writer {writer}: revision");
            // The history came along as well.
            let both = client.range(Range::key(&format!("/twin/{writer}"))).await.unwrap();
            assert_eq!(both.kvs[0].mod_revision, kv.mod_revision, "round {round}: half of a transaction");
            acknowledged.lock().unwrap().insert(writer, (value, kv.mod_revision));
        }
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (client, acknowledged, stop, count) =
                    (client.clone(), acknowledged.clone(), stop.clone(), count.clone());
                tokio::spawn(async move {
                    let mut value = acknowledged.lock().unwrap().get(&writer).map_or(0, |(value, _)| *value);
                    while !stop.load(Ordering::Relaxed) {
                        value += 1;
                        let text = value.to_string();
                        let txn = Txn::new()
                            .then(Op::put(&format!("/w/{writer}"), text.clone()))
                            .then(Op::put(&format!("/twin/{writer}"), text));
                        match client.txn(txn).await {
                            Ok(reply) => {
                                acknowledged.lock().unwrap().insert(writer, (value, reply.revision));
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert!(error.is_unreachable(), "{error}");
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        common::eventually("enough is written", async || count.load(Ordering::Relaxed) >= 200).await;
        process.kill();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        last_revision = acknowledged.lock().unwrap().values().map(|(_, revision)| *revision).max().unwrap();
    }
}

/// Killed while it makes its file, at any moment of that: the next start finds it new or whole, never broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_during_the_first_start_leaves_nothing_broken() {
    let dir = Dir::new("store");
    for delay in 0..25 {
        let data = dir.file(format!("{delay}.db"));
        let mut process = embedded_process_starting(&data);
        // From before the file is there to after it is complete; that the moments differ is all that matters.
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        let begun = || {
            std::fs::read_dir(dir.path())
                .unwrap()
                .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(&format!("{delay}.db")))
        };
        while !begun() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(delay * 300));
        process.kill();
        let store = Embedded::open(Options::new(&data, "127.0.0.1:0".parse().unwrap())).await;
        assert_eq!(connect(&store.endpoint).await.put("/a", "1").await.unwrap(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_revisions_history_and_leases() {
    let dir = Dir::new("store");
    let options = Options::new(dir.file("store.db"), "127.0.0.1:0".parse().unwrap());
    let mut store = Embedded::open(options.clone()).await;
    let client = connect(&store.endpoint).await;
    let (lease, _) = client.lease_grant(Duration::from_secs(100)).await.unwrap();
    client.put("/a", "1").await.unwrap();
    client.put("/a", "2").await.unwrap();
    client.put_with_lease("/leased", "x", lease).await.unwrap();
    // Last, since its time runs.
    let (short, _) = client.lease_grant(Duration::from_secs(2)).await.unwrap();
    client.put_with_lease("/short", "x", short).await.unwrap();
    store.stop().await;
    let store = Embedded::open(options).await;
    let client = connect(&store.endpoint).await;
    assert_eq!(client.get("/a").await.unwrap().1, 5);
    assert_eq!(client.range(Range::key("/a").at(2)).await.unwrap().kvs[0].value, "1");
    let mut watch = client.watch(Range::key("/a"), 2);
    assert_eq!(watch.next().await.unwrap().events.len(), 2, "from the log");
    common::eventually("the short lease ends", async || client.get("/short").await.unwrap().0.is_none()).await;
    assert!(client.keep_alive(lease).await.is_ok());
    client.lease_revoke(lease).await.unwrap();
    assert!(client.get("/leased").await.unwrap().0.is_none());
}

/// 6,000 writes of 500 bytes to 10 keys, with room for 100 revisions: the file is smaller than what was written. (It grows by doubling, so that how
/// large it is half-way tells nothing: it may have been one page short of the next step.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_compacted_by_itself_and_the_file_does_not_grow() {
    let dir = Dir::new("store");
    let options = Options { keep_revisions: 100, ..Options::new(dir.file("store.db"), "127.0.0.1:0".parse().unwrap()) };
    let store = Embedded::open(options).await;
    let client = connect(&store.endpoint).await;
    let write = async |from: usize, to: usize| {
        let tasks: Vec<_> = (0..20)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    for n in (from..to).filter(|n| n % 20 == task) {
                        client.put(&format!("/{}", n % 10), vec![b'x'; 500]).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    };
    write(0, 6000).await;
    let size = std::fs::metadata(&store.data).unwrap().len();
    assert!(size < 6000 * 500, "{size} bytes");
    let revision = client.get("/0").await.unwrap().1;
    assert_eq!(revision, 6001);
    assert!(matches!(client.range(Range::key("/0").at(1000)).await, Err(StoreError::Compacted { .. })));
    assert_eq!(client.range(Range::prefix("/").at(revision - 100)).await.unwrap().kvs.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_explained() {
    let dir = Dir::new("store");
    let loopback = "127.0.0.1:0".parse().unwrap();
    let open = async |data: &std::path::Path, listen| Server::open(Options::new(data, listen)).await.err().unwrap();
    let store = Embedded::open(Options::new(dir.file("a.db"), loopback)).await;

    let error = open(&dir.file("a.db"), loopback).await;
    assert!(
        matches!(error, EmbeddedError::InUse(_)) && error.to_string().contains("in use by another process"),
        "{error}"
    );
    let error = open(&dir.file("b.db"), store.endpoint.parse().unwrap()).await;
    assert!(error.to_string().contains("the port is in use"), "{error}");
    std::fs::write(dir.file("text"), "this is no store\n".repeat(100)).unwrap();
    let error = open(&dir.file("text"), loopback).await;
    assert!(error.to_string().contains("it is no store file"), "{error}");
    let whole = std::fs::read(dir.file("a.db")).unwrap();
    std::fs::write(dir.file("cut"), &whole[..100_000]).unwrap();
    let error = open(&dir.file("cut"), loopback).await;
    assert!(error.to_string().contains("it is damaged") && error.to_string().contains("backup"), "{error}");
    let error = open(&dir.file("no/such/dir.db"), loopback).await;
    assert!(error.to_string().contains("No such file or directory"), "{error}");
    // A file of the time to come.
    let newer = dir.file("newer.db");
    let db = redb::Database::create(&newer).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<&str, i64>::new("meta")).unwrap().insert("format", 99).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = open(&newer, loopback).await;
    assert!(error.to_string().contains("has format 99, this version knows 1"), "{error}");
}

/// The disk is full: writes are refused with the reason, reads go on, nothing acknowledged is lost, and with room again writes go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_survived() {
    let dir = Dir::new("store");
    let data = dir.file("store.db");
    let (mut process, address) = embedded_process_limited(&data, 4096);
    let client = connect(&address.to_string()).await;
    let mut written = 0;
    let error = loop {
        match client.put(&format!("/{written:05}"), vec![b'x'; 20_000]).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit does nothing");
    };
    assert!(error.to_string().contains("look at the disk of the store"), "{error}");
    assert!(written > 10, "{written}");
    assert_eq!(client.list("/").await.unwrap().kvs.len(), written, "reads go on");
    process.kill();
    let store = Embedded::open(Options::new(&data, "127.0.0.1:0".parse().unwrap())).await;
    let client = connect(&store.endpoint).await;
    let found = client.list("/").await.unwrap().kvs.len();
    assert!(found >= written, "{found} of {written}");
    client.put("/more", "room").await.unwrap();
}
