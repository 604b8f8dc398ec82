//! The agent's mirror of the store: which keys there are, each with the revision that changed it last, kept current by a watch.
//!
//! It holds no values: those go to the agent, with every change. What it guarantees: every change of the store reaches the receiver, once, in the
//! order of revisions per key; what a lost connection, a fail-over or a compaction made it miss comes as the difference of a fresh listing; a
//! deletion is only ever reported because the store said so. A watch that lost an event (released versions of etcd did) is found out by an audit.
//!
//! - `state`: the mirror itself, without I/O; `keys`: the table of keys in it.
//! - `task`: listing, watching, resuming, auditing.

mod keys;
mod state;
mod task;

use crate::Client;
use bytes::Bytes;
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

/// What to mirror and how.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The store's prefix, `/tuplenet` if the user says nothing.
    pub prefix: String,
    /// What the keys below `<prefix>/v1/` begin with that are mirrored, `chassis/` for example. None may begin with another one.
    pub subtrees: Vec<String>,
    /// How often the mirror is compared with the store.
    pub audit_interval: Duration,
    /// How long an event may be on its way before the audit takes it for lost.
    pub audit_grace: Duration,
    /// How many events may wait for the receiver; more make the mirror, and through it the store, wait.
    pub queue: usize,
}

impl MirrorConfig {
    /// The subtrees that hold the network and its bindings, audited every five minutes.
    pub fn new(prefix: &str) -> MirrorConfig {
        MirrorConfig {
            prefix: prefix.to_owned(),
            // `l` is all of `ls/` and `lr/`: a transaction on both, such as an edge, then comes by one watch, which never splits it.
            subtrees: ["l", "chassis/", "binding/"].map(str::to_owned).to_vec(),
            audit_interval: Duration::from_secs(300),
            audit_grace: Duration::from_secs(5),
            // Each may be a page of a listing: what waits is memory, and in holes among what is kept it stays.
            queue: 2,
        }
    }

    /// What all keys of the layout begin with: `<prefix>/v1/`.
    pub fn root(&self) -> String {
        format!("{}/v1/", self.prefix.trim_end_matches('/'))
    }
}

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorChange {
    /// The key without `<prefix>/v1/`.
    pub path: String,
    /// The value now; `None` if the key is gone.
    pub value: Option<Bytes>,
    /// The revision that created the key; 0 if it is gone.
    pub create_revision: i64,
    /// The revision that changed or deleted it. A deletion that was found by comparing listings has that of the listing.
    pub mod_revision: i64,
}

/// What the mirror tells.
#[derive(Clone, Debug)]
pub enum MirrorEvent {
    /// Keys changed. Changes of one revision may come in several of these when they touch several subtrees.
    Changes {
        /// The last revision in `changes`, or that of the listing.
        revision: i64,
        /// When it was received.
        at: Instant,
        /// Whether the first listing is complete with this; stays true from then on. An empty store gives one empty, synced `Changes`.
        synced: bool,
        /// In order.
        changes: Vec<MirrorChange>,
    },
    /// The store is reached (again) and followed.
    Up,
    /// The store is not reached, and why. Told once; the mirror goes on trying.
    Down(String),
    /// The audit found so many keys wrong. The `Changes` that put them right came before this.
    Repaired {
        /// How many.
        keys: usize,
    },
}

/// Ends the mirror when dropped.
#[derive(Debug)]
pub struct MirrorHandle {
    task: JoinHandle<()>,
    audits: mpsc::Sender<oneshot::Sender<usize>>,
}

impl MirrorHandle {
    /// Audits now, grace included; how many keys had to be repaired. `None` if the store is not reached or the mirror has ended.
    pub async fn audit(&self) -> Option<usize> {
        let (answer, result) = oneshot::channel();
        self.audits.send(answer).await.ok()?;
        result.await.ok()
    }
}

impl Drop for MirrorHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the mirror as a task of the current tokio runtime. It ends when the handle or the receiver is dropped.
pub fn start(client: Client, config: MirrorConfig) -> (MirrorHandle, mpsc::Receiver<MirrorEvent>) {
    let (events, receiver) = mpsc::channel(config.queue.max(1));
    let (audits, audit_requests) = mpsc::channel(1);
    let task = tokio::spawn(task::run(client, config, events, audit_requests));
    (MirrorHandle { task, audits }, receiver)
}
