//! A store that is restored from a backup has another past than the one that the mirror followed, and may be ahead of it again by the time
//! the mirror reaches it: other hosts write as well.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Embedded, Etcd, free_address};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tuplenet_fixture::Dir;
use tuplenet_store::{
    Client, Config, Range,
    embedded::Options,
    mirror::{self, MirrorConfig, MirrorEvent},
};

const SOON: Duration = Duration::from_secs(20);
const ROOT: &str = "/p/v1/";

type Network = BTreeMap<String, String>;

/// A mirror of ours with what it told so far.
struct Follower {
    network: Network,
    events: mpsc::Receiver<MirrorEvent>,
    _handle: mirror::MirrorHandle,
}

impl Follower {
    fn start(client: Client) -> Follower {
        let (handle, events) =
            mirror::start(client, MirrorConfig { audit_grace: Duration::from_millis(500), ..MirrorConfig::new("/p") });
        Follower { network: Network::new(), events, _handle: handle }
    }

    /// Waits until it knows exactly what the store has, which must be soon.
    async fn until_equal(&mut self, client: &Client, what: &str) {
        let listing = client.list(&format!("{ROOT}ls/")).await.unwrap();
        let store: Network = listing
            .kvs
            .into_iter()
            .map(|kv| (kv.key[ROOT.len()..].to_owned(), String::from_utf8(kv.value.to_vec()).unwrap()))
            .collect();
        let learned = timeout(SOON, async {
            while self.network != store {
                if let MirrorEvent::Changes { changes, .. } = self.events.recv().await.unwrap() {
                    for change in changes {
                        match change.value {
                            Some(value) => self.network.insert(change.path, String::from_utf8(value.to_vec()).unwrap()),
                            None => self.network.remove(&change.path),
                        };
                    }
                }
            }
        });
        let waited = learned.await.is_ok();
        assert!(waited, "{what}: the mirror has {:?}, the store {store:?}", self.network);
    }
}

fn client(endpoints: &str) -> Client {
    Client::new(Config { timeout: Duration::from_secs(15), ..Config::new(endpoints).unwrap() }).unwrap()
}

async fn put(client: &Client, name: &str, value: &str) {
    client.put(&format!("{ROOT}ls/{name}"), value.to_owned()).await.unwrap();
}

/// What happens before the backup, and between backup and loss.
async fn first_past(client: &Client) {
    for name in ["kept", "changed", "deleted"] {
        put(client, name, "1").await;
    }
}

async fn lost_past(client: &Client) {
    put(client, "changed", "lost").await;
    client.delete(Range::key(&format!("{ROOT}ls/deleted"))).await.unwrap();
    put(client, "lost", "1").await;
    client.put("/p/v1/status/hv1", "alive").await.unwrap();
}

/// What happens after the restoration, before the mirror is back: more than what was lost, so that the revision tells nothing.
async fn other_past(client: &Client) {
    // By the same revision as what was lost of that key.
    put(client, "changed", "other").await;
    put(client, "other", "1").await;
    for n in 0..20 {
        client.put(&format!("/p/v1/status/hv{n}"), "alive").await.unwrap();
    }
}

/// Three members, all killed, restored and started; by the token of before, which leaves the cluster its id, or by one of its own.
async fn etcd_is_restored(token: &str, ahead: bool) {
    if common::skip_etcd() {
        return;
    }
    let mut etcd = Etcd::start(3).await;
    let client = client(&etcd.endpoints());
    first_past(&client).await;
    let mut follower = Follower::start(client.clone());
    follower.until_equal(&client, "the first listing").await;
    let snapshot = etcd.snapshot();
    lost_past(&client).await;
    follower.until_equal(&client, "before the loss").await;

    etcd.restore(&snapshot, token);
    if ahead {
        let aside = self::client(&etcd.start_aside().await);
        other_past(&aside).await;
    }
    (0..3).for_each(|member| etcd.restart(member));
    etcd.ready().await;
    follower.until_equal(&client, "after the restoration").await;
    put(&client, "new", "1").await;
    follower.until_equal(&client, "what is new").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_members_are_followed() {
    etcd_is_restored("another", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_members_that_are_ahead_are_followed() {
    etcd_is_restored("another", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_members_of_the_same_name_that_are_ahead_are_followed() {
    etcd_is_restored("etcd-cluster", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_file_that_is_ahead_is_followed() {
    let dir = Dir::new("store");
    let (data, listen) = (dir.file("store.db"), free_address().to_string());
    let open = async |listen: &str| Embedded::open(Options::new(&data, listen.parse().unwrap())).await;
    let mut store = open(&listen).await;
    let client = client(&listen);
    first_past(&client).await;
    store.stop().await;
    std::fs::copy(&data, dir.file("backup.db")).unwrap();
    let mut store = open(&listen).await;
    let mut follower = Follower::start(client.clone());
    follower.until_equal(&client, "the first listing").await;
    lost_past(&client).await;
    follower.until_equal(&client, "before the loss").await;
    store.stop().await;
    std::fs::copy(dir.file("backup.db"), &data).unwrap();
    let mut aside = open("127.0.0.1:0").await;
    other_past(&self::client(&aside.endpoint)).await;
    aside.stop().await;
    let _store = open(&listen).await;
    follower.until_equal(&client, "after the restoration").await;
    put(&client, "new", "1").await;
    follower.until_equal(&client, "what is new").await;
}
