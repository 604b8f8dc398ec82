//! The mirror's life: list, watch, resume, list again after compaction, audit from time to time.

use super::{
    MirrorChange, MirrorConfig, MirrorEvent,
    keys::{Change, Keys},
    state::{Relisting, Subtree},
};
use crate::{
    Client, Range, StoreError,
    client::{Pager, WatchItem, WatchSpec, WatchStream},
};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

/// First pause before the store is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// No more changes than this are put into one event for the agent.
const BATCH: usize = 4096;
/// A stream that has not confirmed its watches within this time is given up.
const CREATED_WITHIN: Duration = Duration::from_secs(5);

/// After a reconnection the mirror is audited within this time, and one second more for every so many keys.
const AUDIT_SPREAD: Duration = Duration::from_secs(1);
const AUDIT_KEYS_PER_SECOND: u64 = 250;

/// What no [`MirrorEvent`] tells is logged under this target, which agents do not silence.
const RESTORED: &str = "tuplenet_store::restored";

type Audits = mpsc::Receiver<oneshot::Sender<usize>>;

/// Why the mirror leaves what it does.
enum Stop {
    /// The receiver is gone.
    Over,
    /// The store is.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error)
    }
}

/// Keys that an audit found different, to be looked at again when events under way had time to arrive.
struct Suspects {
    at: Instant,
    keys: Vec<Suspect>,
    answer: Option<oneshot::Sender<usize>>,
}

struct Suspect {
    tree: usize,
    path: Box<str>,
    /// What was known when it was found different. An event that has arrived since clears it.
    known: Option<i64>,
}

struct Mirror {
    client: Client,
    config: MirrorConfig,
    root: String,
    trees: Vec<Subtree>,
    /// The first listing of all subtrees is delivered.
    synced: bool,
    /// What was last told about the store: reached or not.
    up: Option<bool>,
    events: mpsc::Sender<MirrorEvent>,
    next_audit: Instant,
    suspects: Option<Suspects>,
    /// The id of the cluster that is followed, once it is known.
    cluster: Option<u64>,
    /// The connection was lost since the last audit: nothing shows yet that the store has the past that we know.
    doubt: bool,
}

pub(super) async fn run(client: Client, config: MirrorConfig, events: mpsc::Sender<MirrorEvent>, mut audits: Audits) {
    let mut mirror = Mirror {
        root: config.root(),
        trees: config.subtrees.iter().map(|name| Subtree::new(name)).collect(),
        synced: false,
        up: None,
        events,
        next_audit: Instant::now() + config.audit_interval,
        suspects: None,
        cluster: None,
        doubt: false,
        client,
        config,
    };
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        let error = match mirror.follow(&mut audits).await {
            Err(Stop::Over) => return,
            Ok(()) => continue,
            Err(Stop::Store(error)) => error,
        };
        // What is asked meanwhile cannot be answered.
        mirror.suspects = None;
        while audits.try_recv().is_ok() {}
        if begun.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        // A connection that breaks while the store is well (a member restarted, the leader changed) is mended by the first new try and is not
        // worth a word; what fails again is.
        tracing::debug!(%error, "the mirror lost the store");
        if (pause > PAUSE_MIN || mirror.up.is_none()) && mirror.tell_down(&error).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = mirror.events.closed() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

impl Mirror {
    /// Lists what was never listed, then watches until something breaks. `Ok` to begin again at once: a subtree must be listed afresh.
    async fn follow(&mut self, audits: &mut Audits) -> Result<(), Stop> {
        for index in 0..self.trees.len() {
            if self.tree(index).next == 0 {
                self.list(index).await?;
            }
        }
        let specs: Vec<WatchSpec> = self.trees.iter().zip(1..).map(|(tree, id)| self.spec(tree, id)).collect();
        let mut stream = self.client.open_watch(&specs).await?;
        let mut pending: VecDeque<WatchItem> = VecDeque::new();
        let mut created = 0;
        while created < specs.len() {
            match timeout(CREATED_WITHIN, stream.next()).await {
                Err(_) => {
                    return Err(StoreError::Unreachable {
                        endpoints: self.client.endpoints(),
                        reason: "the watch is not confirmed".into(),
                    }
                    .into());
                }
                Ok(Ok(WatchItem::Created)) => created += 1,
                Ok(Ok(item)) => pending.push_back(item),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        // After the watches stand: a store that is replaced later than this breaks the stream.
        if self.went_back().await? {
            return Ok(());
        }
        if self.up.is_some() {
            self.doubt = true;
            self.next_audit = self.next_audit.min(Instant::now() + self.audit_soon());
        }
        self.tell_up().await?;
        loop {
            let item = match pending.pop_front() {
                Some(item) => item,
                None => self.wait(&mut stream, audits).await?,
            };
            if let WatchItem::Compacted { oldest } = item {
                return self.compacted(oldest).await;
            }
            self.take(item, &mut stream, &mut pending).await?;
        }
    }

    /// Waits for the stream, and does the audits that fall due meanwhile.
    async fn wait(&mut self, stream: &mut WatchStream, audits: &mut Audits) -> Result<WatchItem, Stop> {
        loop {
            let suspects_at = self.suspects.as_ref().map(|suspects| suspects.at);
            let due = suspects_at.unwrap_or(self.next_audit);
            let answer = tokio::select! {
                biased;
                () = self.events.closed() => return Err(Stop::Over),
                // Before the stream, which a busy store never leaves empty.
                () = sleep_until(due) => None,
                item = stream.next() => return Ok(item?),
                Some(answer) = audits.recv(), if suspects_at.is_none() => Some(answer),
            };
            match suspects_at {
                Some(_) => self.repair().await?,
                None => self.audit(answer).await?,
            }
        }
    }

    /// Applies one item and all that have arrived already, and gives the changes on as one event.
    async fn take(
        &mut self,
        item: WatchItem,
        stream: &mut WatchStream,
        pending: &mut VecDeque<WatchItem>,
    ) -> Result<(), Stop> {
        let at = Instant::now();
        let mut changes = Vec::new();
        let mut revision = 0;
        let mut next = Some(item);
        while let Some(WatchItem::Events { id, last, events }) = next {
            let index = usize::try_from(id - 1).unwrap_or(usize::MAX);
            if let Some(tree) = self.trees.get_mut(index) {
                changes.extend(events.into_iter().filter_map(|event| tree.event(&self.root, event)));
                tree.followed(last);
                revision = revision.max(last);
            }
            if changes.len() >= BATCH {
                next = None;
                break;
            }
            // What is there without waiting belongs to the same batch.
            next = match pending.pop_front() {
                Some(item) => Some(item),
                None => match timeout(Duration::ZERO, stream.next()).await {
                    Err(_) => None,
                    Ok(Ok(item)) => Some(item),
                    // Deliver first; the stream tells its end again.
                    Ok(Err(_)) => None,
                },
            };
        }
        if let Some(item @ WatchItem::Compacted { .. }) = next {
            pending.push_front(item);
        }
        self.deliver(revision, at, changes).await
    }

    async fn deliver(&self, revision: i64, at: Instant, changes: Vec<MirrorChange>) -> Result<(), Stop> {
        if changes.is_empty() {
            return Ok(());
        }
        self.tell(MirrorEvent::Changes { revision, at, synced: self.synced, changes }).await
    }

    /// Reads one subtree in pages and gives on what is news; deletions last, when all pages have been seen.
    async fn list(&mut self, index: usize) -> Result<(), Stop> {
        let mut pager = Pager::new(self.range(self.tree(index)));
        let mut listing = Relisting::default();
        loop {
            let page = match pager.next(&self.client).await {
                // Compaction overtook the listing. What was delivered is true; begin anew.
                Err(StoreError::Compacted { .. }) => {
                    pager = Pager::new(self.range(self.tree(index)));
                    listing = Relisting::default();
                    continue;
                }
                other => other?,
            };
            let at = Instant::now();
            let root = self.root.clone();
            let tree = self.tree_mut(index);
            let (changes, done) = match page {
                Some(kvs) => (tree.page(&mut listing, &root, kvs), false),
                None => (tree.listed(std::mem::take(&mut listing), pager.revision), true),
            };
            if done && !self.synced && self.trees.iter().all(|tree| tree.next > 0) {
                self.synced = true;
                return self.tell(MirrorEvent::Changes { revision: pager.revision, at, synced: true, changes }).await;
            }
            self.deliver(pager.revision, at, changes).await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Whether the store has plainly another past than the one that we know: it is another cluster (a restored one is), or its revision is lower
    /// than what we have seen. Revisions say nothing then: all is listed again, and what is not there is gone. A cluster that was restored under
    /// its old name, or a file put back, and that was written to since, looks like the old one: the audit after the reconnection finds it.
    async fn went_back(&mut self) -> Result<bool, Stop> {
        let seen = self.trees.iter().map(|tree| tree.next - 1).max().unwrap_or(0);
        let Some(first) = self.trees.first() else { return Ok(false) };
        let (cluster, now) = self.client.identity(self.range(first)).await?;
        let known = self.cluster.replace(cluster);
        if now >= seen && known.is_none_or(|known| known == cluster) {
            return Ok(false);
        }
        tracing::warn!(target: RESTORED, now, seen,
            "the store is another one or went back in time (restored or replaced): listing all of it afresh"
        );
        self.trees.iter_mut().for_each(Subtree::distrust);
        Ok(true)
    }

    /// When to audit after a reconnection: at once in a small network, but all hosts reconnect together, and must not all list a large one together.
    fn audit_soon(&self) -> Duration {
        let keys: usize = self.trees.iter().map(Subtree::len).sum();
        let spread = AUDIT_SPREAD + Duration::from_millis(keys as u64 * 1000 / AUDIT_KEYS_PER_SECOND);
        let random = RandomState::new().hash_one(0) % 1024;
        spread.min(self.config.audit_interval / 2) * random as u32 / 1024
    }

    /// The store has forgotten the revision that some subtree would go on from. Lists those that cannot go on; the others resume.
    async fn compacted(&mut self, oldest: i64) -> Result<(), Stop> {
        tracing::info!(oldest, "the store was compacted past where the mirror was: listing afresh");
        let mut behind: Vec<usize> = (0..self.trees.len()).filter(|&index| self.tree(index).next < oldest).collect();
        if behind.is_empty() {
            behind = (0..self.trees.len()).collect();
        }
        for index in behind {
            self.list(index).await?;
        }
        Ok(())
    }

    /// Compares all subtrees with the store, without values. Differences become suspects.
    async fn audit(&mut self, answer: Option<oneshot::Sender<usize>>) -> Result<(), Stop> {
        self.next_audit = Instant::now() + self.config.audit_interval;
        let mut keys = Vec::new();
        for index in 0..self.trees.len() {
            let mut pager = Pager::new(self.range(self.tree(index)).keys_only());
            let mut listing = Keys::default();
            while let Some(page) = match pager.next(&self.client).await {
                // The next audit will find a quieter moment.
                Err(StoreError::Compacted { .. }) => return Ok(()),
                other => other?,
            } {
                let page = page.iter().filter_map(|kv| Some((kv.key.strip_prefix(&self.root)?, Some(kv.mod_revision))));
                listing.apply(&page.collect::<Vec<Change<'_>>>());
            }
            let tree = self.tree(index);
            keys.extend(tree.differences(&listing).into_iter().map(|path| Suspect {
                tree: index,
                known: tree.known(&path),
                path,
            }));
        }
        if keys.is_empty() {
            self.doubt = false;
            if let Some(answer) = answer {
                let _ = answer.send(0);
            }
            return Ok(());
        }
        self.suspects = Some(Suspects { at: Instant::now() + self.config.audit_grace, keys, answer });
        Ok(())
    }

    /// Reads every suspect again; what is still wrong is put right, delivered and counted.
    async fn repair(&mut self) -> Result<(), Stop> {
        let Some(suspects) = self.suspects.take() else { return Ok(()) };
        let mut changes = Vec::new();
        let mut revision = 0;
        let at = Instant::now();
        for Suspect { tree, path, known } in suspects.keys {
            if self.tree(tree).known(&path) != known {
                continue;
            }
            let (found, at) = self.client.get(&format!("{}{path}", self.root)).await?;
            revision = revision.max(at);
            let root = self.root.clone();
            changes.extend(self.tree_mut(tree).repair(&root, &path, found, at));
        }
        let keys = changes.len();
        if keys > 0 {
            let sample: Vec<&str> = changes.iter().take(5).map(|change| change.path.as_str()).collect();
            tracing::warn!(keys, ?sample, "the audit found that the mirror differed from the store and repaired it");
            self.deliver(revision, at, changes).await?;
            self.tell(MirrorEvent::Repaired { keys }).await?;
        }
        if std::mem::take(&mut self.doubt) && keys > 0 {
            tracing::warn!(target: RESTORED, "the store may have been restored or replaced: listing all of it afresh");
            self.trees.iter_mut().for_each(Subtree::distrust);
            for index in 0..self.trees.len() {
                self.list(index).await?;
            }
        }
        if let Some(answer) = suspects.answer {
            let _ = answer.send(keys);
        }
        Ok(())
    }

    async fn tell(&self, event: MirrorEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Over)
    }

    async fn tell_up(&mut self) -> Result<(), Stop> {
        if self.up != Some(true) {
            self.up = Some(true);
            tracing::info!(endpoints = self.client.endpoints(), "following the store");
            self.tell(MirrorEvent::Up).await?;
        }
        Ok(())
    }

    async fn tell_down(&mut self, error: &StoreError) -> Result<(), Stop> {
        if self.up != Some(false) {
            self.up = Some(false);
            tracing::warn!("{error}; what was learned stays in force, trying again");
            self.tell(MirrorEvent::Down(error.to_string())).await?;
        }
        Ok(())
    }

    fn range(&self, tree: &Subtree) -> Range {
        Range::prefix(&format!("{}{}", self.root, tree.name))
    }

    fn spec(&self, tree: &Subtree, id: i64) -> WatchSpec {
        let range = self.range(tree).0;
        WatchSpec { id, key: range.key, end: range.range_end, start: tree.next }
    }

    #[allow(clippy::indexing_slicing)]
    fn tree(&self, index: usize) -> &Subtree {
        &self.trees[index]
    }

    #[allow(clippy::indexing_slicing)]
    fn tree_mut(&mut self, index: usize) -> &mut Subtree {
        &mut self.trees[index]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Config, embedded};

    /// An event is lost on the way, as has happened with released versions of etcd. The audit finds it, repairs it and says so.
    #[tokio::test]
    async fn an_audit_repairs_what_a_watch_lost() {
        let path = std::env::temp_dir().join(format!("tuplenet-mirror-{}.db", std::process::id()));
        let server =
            embedded::Server::open(embedded::Options::new(&path, "127.0.0.1:0".parse().unwrap())).await.unwrap();
        let client = Client::new(Config::new(&server.address().to_string()).unwrap()).unwrap();
        tokio::spawn(server.run(std::future::pending()));
        for name in ["a", "b", "c"] {
            client.put(&format!("/p/v1/ls/{name}"), "1").await.unwrap();
        }
        let (events, mut received) = mpsc::channel(16);
        let config =
            MirrorConfig { audit_grace: Duration::ZERO, subtrees: vec!["ls/".into()], ..MirrorConfig::new("/p") };
        let mut mirror = Mirror {
            root: config.root(),
            trees: vec![Subtree::new("ls/")],
            synced: false,
            up: None,
            events,
            next_audit: Instant::now(),
            suspects: None,
            cluster: None,
            doubt: false,
            client: client.clone(),
            config,
        };
        assert!(mirror.list(0).await.is_ok());
        mirror.tree_mut(0).forget("ls/b");
        client.put("/p/v1/ls/c", "2").await.unwrap();
        client.delete(Range::key("/p/v1/ls/a")).await.unwrap();
        assert!(mirror.audit(None).await.is_ok());
        assert_eq!(mirror.suspects.as_ref().unwrap().keys.len(), 3);
        assert!(mirror.repair().await.is_ok());
        assert!(mirror.audit(None).await.is_ok() && mirror.suspects.is_none(), "all is well now");
        drop(mirror);
        let mut told = Vec::new();
        while let Some(event) = received.recv().await {
            told.push(match event {
                MirrorEvent::Changes { changes, .. } => format!("{} changes", changes.len()),
                MirrorEvent::Repaired { keys } => format!("{keys} repaired"),
                other => format!("{other:?}"),
            });
        }
        let _ = std::fs::remove_file(path);
        // The listing gives its page, and then that it is complete.
        assert_eq!(told, ["3 changes", "0 changes", "3 changes", "3 repaired"]);
    }
}
