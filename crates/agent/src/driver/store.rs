//! The store: its mirror, our writes, and the sign of life.

use crate::{
    config::Settings,
    core::{
        self,
        records::{Outcome, Write},
        trace,
    },
};
use anyhow::{Result, anyhow};
use serde_json::json;
use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tuplenet_model::{
    name::Name,
    trace::{TraceRecord, path},
};
use tuplenet_store::{
    Client, Cmp, Compare, Config, Op, StoreError, Tls, Txn,
    mirror::{self, MirrorConfig, MirrorEvent, MirrorHandle},
};

/// How many writes may be on their way at once; a host with a thousand ports claims them in turns.
const WRITES_AT_ONCE: usize = 32;
/// How many reads and writes of traces may be on their way at once, beside those.
const TRACES_AT_ONCE: usize = 16;
/// How long the sign of life outlasts us.
const ALIVE: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// Pause before a new lease is asked for, and how long we wait to end one.
const RETRY: Duration = Duration::from_secs(1);

/// A client for these settings. Contacts nobody yet.
pub fn client(settings: &Settings) -> Result<Client> {
    let mut config = Config::new(&settings.store.join(",")).map_err(|e| anyhow!("--store: {e}"))?;
    config.user = settings.user.clone().map(|u| (u.name, u.password));
    let tls = &settings.tls;
    if tls.cacert.is_some() || tls.identity.is_some() {
        let (cert, key) = tls.identity.clone().unzip();
        config.tls = Some(Tls { ca: tls.cacert.clone(), cert, key, domain: None });
    }
    Client::new(config).map_err(|e| anyhow!("the store: {e}"))
}

/// Our end of the store.
pub struct Store {
    client: Client,
    root: String,
    me: Name,
    room: Arc<Semaphore>,
    trace_room: Arc<Semaphore>,
    /// Ends the mirror when dropped.
    _mirror: MirrorHandle,
}

impl Store {
    /// Follows the store from now on.
    pub fn follow(client: Client, prefix: &str, me: &Name) -> (Self, mpsc::Receiver<MirrorEvent>) {
        let mut config = MirrorConfig::new(prefix);
        config.subtrees.push(path::injections(me));
        // What we wrote ourselves: read once, at the start.
        config.subtrees.push(format!("status/{me}/neighbour/"));
        config.subtrees.push(format!("status/{me}/bfd/"));
        let root = config.root();
        let (handle, events) = mirror::start(client.clone(), config);
        let store = Self {
            client,
            root,
            me: me.clone(),
            room: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            trace_room: Arc::new(Semaphore::new(TRACES_AT_ONCE)),
            _mirror: handle,
        };
        (store, events)
    }

    /// Reads or writes for a trace; the answer comes back as an event.
    pub fn trace(&self, command: trace::Command, done: &mpsc::UnboundedSender<core::Event>) {
        let (client, done, room) = (self.client.clone(), done.clone(), Arc::clone(&self.trace_room));
        let (root, me) = (self.root.clone(), self.me.clone());
        tokio::task::spawn_local(async move {
            let _permit = room.acquire().await;
            let event = match command {
                trace::Command::Read(id) => trace::Event::Found(id, find(&client, &root, id).await),
                trace::Command::Write { id, found, first, records } => {
                    trace::Event::Written(id, report(&client, &root, &me, id, found, first, records).await)
                }
                trace::Command::Inject { .. } => return,
            };
            let _ = done.send(core::Event::Trace(event));
        });
    }

    /// Whether a packet that was asked for by that revision is still to be sent: after a time without the store we hear of requests whose
    /// trace has long ended.
    pub fn wants(&self, id: trace::Id, asked: i64) -> impl Future<Output = Result<(), String>> + use<> {
        let (client, root, room) = (self.client.clone(), self.root.clone(), Arc::clone(&self.trace_room));
        async move {
            let _permit = room.acquire().await;
            match find(&client, &root, id).await? {
                Some(found) if found.created <= asked => Ok(()),
                _ => Err("the trace had ended, or has no lease".to_owned()),
            }
        }
    }

    /// Sends a write; its end comes back as an event.
    pub fn write(&self, write: Write, done: &mpsc::UnboundedSender<core::Event>) {
        let (client, done, room) = (self.client.clone(), done.clone(), Arc::clone(&self.room));
        let key = format!("{}{}", self.root, write.path);
        tokio::task::spawn_local(async move {
            let _permit = room.acquire().await;
            let op = match write.value {
                Some(value) => Op::put(&key, value),
                None => Op::delete(&key),
            };
            let outcome = match client.txn(Txn::new().when(Compare::unchanged(&key, write.expected)).then(op)).await {
                Ok(reply) if reply.succeeded => Outcome::Done(reply.revision),
                Ok(_) => Outcome::Conflict,
                Err(error) => Outcome::Failed(error.to_string()),
            };
            // The loop may have ended meanwhile.
            let _ = done.send(core::Event::Written(write.path, outcome));
        });
    }
}

/// The trace of that id; `None`: there is none, or it has no lease.
async fn find(client: &Client, root: &str, id: trace::Id) -> Result<Option<trace::Found>, String> {
    let (kv, _) = client.get(&format!("{root}{}", path::start(id))).await.map_err(|e| e.to_string())?;
    let leased = kv.filter(|kv| kv.lease != 0);
    Ok(leased.map(|kv| trace::Found { lease: kv.lease, created: kv.create_revision }))
}

/// Writes records of a trace that still is the one that was found.
async fn report(
    client: &Client,
    root: &str,
    me: &Name,
    id: trace::Id,
    found: trace::Found,
    first: u32,
    mut records: Vec<TraceRecord>,
) -> trace::Written {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let start = format!("{root}{}", path::start(id));
    let key = |n: u32| format!("{root}{}", path::record(id, me, n));
    let mut txn = Txn::new()
        .when(Compare::create_revision(&start, Cmp::Equal, found.created))
        // So that it may be sent again when an answer was lost.
        .when(Compare::absent(&key(first)));
    for (n, record) in (first..).zip(&mut records) {
        if record.at == 0 {
            record.at = now;
        }
        match serde_json::to_vec(record) {
            Ok(value) => txn = txn.then(Op::put_with_lease(&key(n), value, found.lease)),
            Err(error) => return trace::Written::Failed(error.to_string()),
        }
    }
    match client.txn(txn).await {
        Ok(reply) if reply.succeeded => trace::Written::Done,
        Ok(_) | Err(StoreError::NoLease(_)) => trace::Written::Gone(records),
        Err(error) => trace::Written::Failed(error.to_string()),
    }
}

/// The sign of life: `status/<chassis>/alive`, which dies with its lease. Who asks can tell a host that is gone from one that is silent; nobody
/// watches the key.
pub struct Alive {
    client: Client,
    key: String,
    /// The bridges of this host, but for ours: patch ports may lead there.
    bridges: RefCell<Vec<String>>,
    /// Of which families the host's own IP stack takes what is for the outside.
    untunnels: RefCell<Vec<&'static str>>,
    lease: Cell<i64>,
}

impl Alive {
    /// Not in the store yet.
    pub fn new(client: Client, prefix: &str, chassis: &str) -> Self {
        let key = format!("{prefix}/v1/status/{chassis}/alive");
        Self { client, key, bridges: RefCell::default(), untunnels: RefCell::default(), lease: Cell::new(0) }
    }

    /// Which bridges there are now, and what goes out by the host's own IP stack: told with the next renewal.
    pub fn has(&self, bridges: Vec<String>, untunnels: Vec<&'static str>) {
        *self.bridges.borrow_mut() = bridges;
        *self.untunnels.borrow_mut() = untunnels;
    }

    fn value(&self) -> String {
        let bridges = &*self.bridges.borrow();
        let mut value = json!({ "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "bridges": bridges });
        let untunnels = &*self.untunnels.borrow();
        if !untunnels.is_empty() {
            value["untunnel"] = json!(untunnels);
        }
        value.to_string()
    }

    /// Keeps it in the store until dropped.
    pub async fn keep(&self) {
        loop {
            // What goes wrong here is told by the mirror, which loses the store too.
            if let Err(error) = self.renew().await {
                tracing::debug!(%error, "the sign of life is not renewed");
                if matches!(error, StoreError::NoLease(_)) {
                    self.lease.set(0);
                    sleep(RETRY).await;
                    continue;
                }
            }
            sleep(RENEW).await;
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let lease = match self.lease.get() {
            0 => self.client.lease_grant(ALIVE).await?.0,
            lease => {
                self.client.keep_alive(lease).await?;
                lease
            }
        };
        // Where it is there already this writes nothing. The lease outlives a key that somebody deletes by hand.
        let value = self.value();
        let ours = [Compare::lease(&self.key, Cmp::Equal, lease), Compare::value(&self.key, Cmp::Equal, value.clone())];
        let put = Op::put_with_lease(&self.key, value, lease);
        self.client.txn(Txn::new().when_all(ours).or_else(put)).await?;
        self.lease.set(lease);
        Ok(())
    }

    /// Takes it away at once, if the store answers soon; else it ends by itself.
    pub async fn end(&self) {
        if self.lease.get() != 0 {
            let _ = timeout(RETRY, self.client.lease_revoke(self.lease.get())).await;
        }
    }
}
