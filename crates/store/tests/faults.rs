//! Members that die, stores that go away and come back: no change is lost, none is made twice, and the mirror misses nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Embedded, Etcd, Store, embedded_process, eventually, free_address};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::timeout};
use tuplenet_fixture::Dir;
use tuplenet_store::{
    Client, Compare, Config, Op, Range, StoreError, Txn,
    embedded::Options,
    mirror::{self, MirrorConfig, MirrorEvent},
};

/// No test: the store's process that the others start and kill.
#[test]
#[ignore = "run by the other tests"]
fn server_process() {
    common::server_main();
}

const SOON: Duration = Duration::from_secs(20);

/// What a receiver of the mirror has learned, and what it was told along the way.
#[derive(Default)]
struct Learned {
    keys: BTreeMap<String, (String, i64)>,
    synced: bool,
    /// Every value that each path had, in order; `None` for a deletion.
    history: BTreeMap<String, Vec<Option<String>>>,
    ups: usize,
    downs: Vec<String>,
    deletions: usize,
    changes: usize,
}

impl Learned {
    fn take(&mut self, event: MirrorEvent) {
        match event {
            MirrorEvent::Up => self.ups += 1,
            MirrorEvent::Down(reason) => self.downs.push(reason),
            MirrorEvent::Repaired { keys } => panic!("{keys} keys were repaired"),
            MirrorEvent::Changes { synced, changes, .. } => {
                assert!(synced || !self.synced, "synced must stay");
                self.synced = synced;
                for change in changes {
                    self.changes += 1;
                    let value = change.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
                    self.history.entry(change.path.clone()).or_default().push(value.clone());
                    match value {
                        Some(value) => {
                            let old = self.keys.insert(change.path, (value, change.mod_revision));
                            assert!(
                                old.is_none_or(|(_, revision)| revision < change.mod_revision),
                                "a key went back in time"
                            );
                        }
                        None => {
                            self.deletions += 1;
                            assert!(self.keys.remove(&change.path).is_some(), "{} was deleted twice", change.path);
                        }
                    }
                }
            }
        }
    }
}

/// Follows a mirror until the test drops it.
struct Follower {
    learned: Arc<Mutex<Learned>>,
    handle: mirror::MirrorHandle,
}

impl Follower {
    fn start(client: Client, config: MirrorConfig) -> Follower {
        let (handle, mut events) = mirror::start(client, config);
        let learned: Arc<Mutex<Learned>> = Arc::default();
        let task = learned.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                task.lock().unwrap().take(event);
            }
        });
        Follower { learned, handle }
    }

    async fn until(&self, what: &str, condition: impl Fn(&Learned) -> bool) {
        eventually(what, async || condition(&self.learned.lock().unwrap())).await;
    }

    /// Waits until it knows exactly what the store has.
    async fn until_equal(&self, client: &Client, root: &str) {
        let listing = client.list(root).await.unwrap();
        let store: BTreeMap<String, (String, i64)> = listing
            .kvs
            .into_iter()
            .map(|kv| {
                (kv.key[root.len()..].to_owned(), (String::from_utf8(kv.value.to_vec()).unwrap(), kv.mod_revision))
            })
            .filter(|(path, _)| !path.starts_with("status/") && !path.starts_with("claim/"))
            .collect();
        self.until("the mirror equals the store", |learned| learned.keys == store).await;
    }
}

fn config(endpoints: &str) -> Config {
    Config::new(endpoints).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mirror_follows_either_store() {
    for store in Store::both().await {
        let client = store.client().await;
        // More than one page, and things that are not the mirror's.
        for start in (0..2100).step_by(100) {
            client
                .txn(Txn::new().then_all((start..start + 100).map(|n| Op::put(&format!("/p/v1/ls/{n}"), "old"))))
                .await
                .unwrap();
        }
        client.put("/p/v1/status/hv1", "not watched").await.unwrap();
        client.put("/other", "not ours").await.unwrap();
        let follower = Follower::start(client.clone(), MirrorConfig::new("/p"));
        follower.until("the first listing", |learned| learned.synced && learned.ups == 1).await;
        assert_eq!(follower.learned.lock().unwrap().keys.len(), 2100, "{}", store.name());
        client.put("/p/v1/lr/r1", "{}").await.unwrap();
        client.put("/p/v1/status/hv1", "again").await.unwrap();
        client.put("/p/v1/ls/7", "new").await.unwrap();
        client.delete(Range::key("/p/v1/ls/8")).await.unwrap();
        let both = Txn::new()
            .then(Op::put("/p/v1/ls/x", "1"))
            .then(Op::put("/p/v1/binding/x/y", "1"))
            .then(Op::delete("/p/v1/ls/9"));
        client.txn(both).await.unwrap();
        follower.until_equal(&client, "/p/v1/").await;
        assert_eq!(follower.handle.audit().await, Some(0));
        let learned = follower.learned.lock().unwrap();
        assert_eq!((learned.changes, learned.deletions), (2100 + 6, 2), "each change once, and no other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_is_synced_at_once() {
    let store = Embedded::start().await;
    let (_handle, mut events) = mirror::start(Client::new(config(&store.endpoint)).unwrap(), MirrorConfig::new("/p"));
    let first = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(matches!(&first, MirrorEvent::Changes { synced: true, changes, .. } if changes.is_empty()), "{first:?}");
    assert!(matches!(timeout(SOON, events.recv()).await.unwrap().unwrap(), MirrorEvent::Up));
}

/// Starts while there is no store; the store comes, is killed, is compacted while the mirror is away, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mirror_survives_a_store_that_goes_away() {
    let dir = Dir::new("store");
    let (data, listen) = (dir.file("store.db"), free_address().to_string());
    let client = Client::new(config(&listen)).unwrap();
    let follower = Follower::start(client.clone(), MirrorConfig::new("/p"));
    follower.until("it says that there is no store", |learned| learned.downs.len() == 1).await;
    let reason = follower.learned.lock().unwrap().downs[0].clone();
    assert!(
        reason.starts_with(&format!("cannot reach the store at {listen}: connection refused; is it running?")),
        "{reason}"
    );

    let (mut process, _) = embedded_process(&data, &listen);
    follower.until("up", |learned| learned.ups == 1 && learned.synced).await;
    for n in 0..50 {
        client.put(&format!("/p/v1/ls/{n}"), "1").await.unwrap();
    }
    follower.until_equal(&client, "/p/v1/").await;
    process.kill();
    follower.until("down", |learned| learned.downs.len() == 2).await;
    assert_eq!(follower.learned.lock().unwrap().deletions, 0, "a store that is away has deleted nothing");

    // Meanwhile, out of its sight: changes, deletions, and a compaction that forgets them.
    let mut elsewhere = Embedded::open(Options::new(&data, "127.0.0.1:0".parse().unwrap())).await;
    let other = Client::connect(config(&elsewhere.endpoint)).await.unwrap();
    other.delete(Range::key("/p/v1/ls/3")).await.unwrap();
    other.put("/p/v1/ls/4", "2").await.unwrap();
    let revision = other.put("/p/v1/chassis/c", "{}").await.unwrap();
    other.compact(revision).await.unwrap();
    elsewhere.stop().await;
    let before = follower.learned.lock().unwrap().changes;
    let (_process, _) = embedded_process(&data, &listen);
    follower.until("up again", |learned| learned.ups == 2).await;
    follower.until_equal(&client, "/p/v1/").await;
    assert_eq!(follower.learned.lock().unwrap().changes - before, 3, "only the difference");
}

/// A slow receiver costs nothing but its own time, and misses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_receiver_misses_nothing() {
    let store = Embedded::start().await;
    let client = Client::connect(config(&store.endpoint)).await.unwrap();
    let (_handle, mut events) = mirror::start(client.clone(), MirrorConfig { queue: 1, ..MirrorConfig::new("/p") });
    let value = "x".repeat(20_000);
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let (client, value) = (client.clone(), value.clone());
            tokio::spawn(async move {
                for n in 0..100 {
                    client.put(&format!("/p/v1/ls/{task}-{n}"), value.clone()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Nothing was received until now, 20 MB are waiting.
    let mut learned = Learned::default();
    while learned.keys.len() < 1000 {
        learned.take(timeout(SOON, events.recv()).await.unwrap().unwrap());
    }
    assert_eq!(learned.changes, 1000);
}

/// The store of a mirror is replaced by an older copy of itself: revisions go back, and the mirror follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_followed() {
    let dir = Dir::new("store");
    let listen = free_address().to_string();
    let open = async |name: &str| Embedded::open(Options::new(dir.file(name), listen.parse().unwrap())).await;
    let mut store = open("a.db").await;
    let client = Client::connect(config(&listen)).await.unwrap();
    for n in 0..30 {
        client.put(&format!("/p/v1/ls/{n}"), "1").await.unwrap();
    }
    let (_handle, mut events) = mirror::start(client.clone(), MirrorConfig::new("/p"));
    let mut keys = BTreeMap::new();
    let mut take = |event| {
        if let MirrorEvent::Changes { changes, .. } = event {
            for change in changes {
                match change.value {
                    Some(value) => keys.insert(change.path, value),
                    None => keys.remove(&change.path),
                };
            }
        }
        keys.clone()
    };
    while take(timeout(SOON, events.recv()).await.unwrap().unwrap()).len() < 30 {}
    store.stop().await;
    let _store = open("b.db").await;
    // A read is repeated if it meets the connection of before in its last moment; a write without a guard would be no more than honest.
    assert_eq!(client.get("/p/v1/ls/5").await.unwrap().0, None);
    client.put("/p/v1/ls/5", "other").await.unwrap();
    while take(timeout(SOON, events.recv()).await.unwrap().unwrap())
        != BTreeMap::from([("ls/5".to_owned(), "other".into())])
    {}
}

/// Three members. Writers change keys through our client while the leader is killed, again and again, and at last hangs. What was acknowledged is there, was made
/// once, and the mirror has seen every value of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_killed_during_changes() {
    if common::skip_etcd() {
        return;
    }
    const WRITERS: usize = 6;
    let mut etcd = Etcd::start(3).await;
    let client =
        Client::connect(Config { timeout: Duration::from_secs(15), ..config(&etcd.endpoints()) }).await.unwrap();
    let follower = Follower::start(Client::new(config(&etcd.endpoints())).unwrap(), MirrorConfig::new("/p"));
    follower.until("synced", |learned| learned.synced).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, stop, count) = (client.clone(), stop.clone(), count.clone());
            tokio::spawn(async move {
                let key = format!("/p/v1/ls/{writer}");
                let (mut value, mut revision) = (0_u64, 0);
                let mut slowest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let txn = Txn::new()
                        .when(Compare::unchanged(&key, revision))
                        .then(Op::put(&key, (value + 1).to_string()));
                    let reply =
                        client.txn(txn).await.unwrap_or_else(|error| panic!("writer {writer} at {value}: {error}"));
                    assert!(
                        reply.succeeded,
                        "writer {writer}: nobody else writes {key}, yet it is not as it was left at {revision}"
                    );
                    (value, revision) = (value + 1, reply.revision);
                    slowest = slowest.max(begun.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (value, revision, slowest)
            })
        })
        .collect();
    for _ in 0..2 {
        let before = count.load(Ordering::Relaxed);
        eventually("changes go on", async || count.load(Ordering::Relaxed) >= before + 150).await;
        let leader = etcd.leader().await;
        etcd.members[leader].process.kill();
        let before = count.load(Ordering::Relaxed);
        eventually("changes go on without the leader", async || count.load(Ordering::Relaxed) >= before + 150).await;
        etcd.restart(leader);
        etcd.member_ready(leader).await;
    }
    // One that hangs is worse than one that is dead: nobody says so.
    let leader = etcd.leader().await;
    common::signal(&etcd.members[leader].process, "STOP");
    let before = count.load(Ordering::Relaxed);
    eventually("changes go on while the leader hangs", async || count.load(Ordering::Relaxed) >= before + 150).await;
    stop.store(true, Ordering::Relaxed);
    let mut last = Vec::new();
    for writer in writers {
        last.push(writer.await.unwrap());
    }
    follower.until_equal(&client, "/p/v1/").await;
    let learned = follower.learned.lock().unwrap();
    for (writer, (value, revision, slowest)) in last.into_iter().enumerate() {
        let path = format!("ls/{writer}");
        assert_eq!(learned.keys[&path], (value.to_string(), revision), "writer {writer}");
        let all: Vec<_> = (1..=value).map(|value| Some(value.to_string())).collect();
        assert!(learned.history[&path] == all, "writer {writer}: the mirror missed a change, or saw one twice");
        assert!(slowest < Duration::from_secs(12), "writer {writer} waited {slowest:?}");
    }
    assert_eq!(learned.deletions, 0);
}

/// A change without a guard whose answer is lost must not be made again: the caller hears that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unguarded_change_without_answer_is_not_repeated() {
    // A member that takes every request and answers none.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, mut connections) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = accepted.send(stream).await;
        }
    });
    let store = Embedded::start().await;
    let both = Config { timeout: Duration::from_secs(2), ..config(&format!("{address},{}", store.endpoint)) };
    let client = Client::new(both.clone()).unwrap();
    let error = client.put("/a", "1").await.unwrap_err();
    assert!(
        matches!(error, StoreError::OutcomeUnknown { .. }) && error.to_string().contains("look before you try again"),
        "{error}"
    );
    assert!(connections.recv().await.is_some());
    // The next call goes to the other member; a guarded one and a read go there by themselves.
    assert_eq!(client.put("/a", "1").await.unwrap(), 2);
    let client = Client::new(both.clone()).unwrap();
    assert!(client.txn(Txn::new().when(Compare::unchanged("/a", 2)).then(Op::put("/a", "2"))).await.unwrap().succeeded);
    let client = Client::new(both).unwrap();
    assert_eq!(client.get("/a").await.unwrap().0.unwrap().value, "2");
}

/// A guarded change that was made, though its first answer was lost, is reported as made when it is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_change_whose_answer_was_lost_counts_once() {
    let store = Embedded::start().await;
    let target: std::net::SocketAddr = store.endpoint.parse().unwrap();
    // A way to the store that lets requests through and swallows all that comes back once told to.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap();
    let swallow = Arc::new(AtomicBool::new(false));
    let deaf = swallow.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let deaf = deaf.clone();
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(target).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = tokio::io::copy(&mut from_client, &mut to_server);
                let down = async {
                    let mut buffer = vec![0; 65536];
                    loop {
                        let read = tokio::io::AsyncReadExt::read(&mut from_server, &mut buffer).await.unwrap_or(0);
                        if read == 0 {
                            return;
                        }
                        if !deaf.load(Ordering::SeqCst) {
                            tokio::io::AsyncWriteExt::write_all(&mut to_client, &buffer[..read]).await.unwrap();
                        }
                    }
                };
                tokio::join!(up, down).0.ok();
            });
        }
    });
    let client =
        Client::connect(Config { timeout: Duration::from_secs(4), ..config(&format!("{front},{}", store.endpoint)) })
            .await
            .unwrap();
    client.put("/gone", "x").await.unwrap();
    swallow.store(true, Ordering::SeqCst);
    let txn = Txn::new()
        .when(Compare::absent("/new"))
        .then(Op::put("/new", "1"))
        .then(Op::put("/claim", "1"))
        .then(Op::delete("/gone"));
    let reply = client.txn(txn).await.unwrap();
    assert_eq!((reply.succeeded, reply.revision, reply.replies.len()), (true, 3, 3));
    // And one that somebody else was quicker with is not.
    let reply = client.txn(Txn::new().when(Compare::absent("/new")).then(Op::put("/new", "2"))).await.unwrap();
    assert!(!reply.succeeded);
    assert_eq!(client.get("/new").await.unwrap().0.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_store_is_one_clear_error() {
    let endpoint = free_address().to_string();
    let error = Client::connect(config(&endpoint)).await.unwrap_err();
    let expected = format!(
        "cannot reach the store at {endpoint}: connection refused; is it running? start it, or name another with --endpoints"
    );
    assert_eq!(error.to_string(), expected);
}
