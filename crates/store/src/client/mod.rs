//! The one path to the store: an etcd v3 client for etcd 3.4 and later and for the embedded store, with fail-over between members.
//!
//! gRPC channels come from `tonic`, one a member; which member is asked, when another is tried, and what may be sent twice is ours
//! (module `call`), since no client for Rust does it.

mod call;
mod config;
mod listing;
mod member;
mod ops;
mod watch;

pub use config::{Config, DEFAULT_ENDPOINT, DEFAULT_TIMEOUT, Endpoint, Tls};
pub use listing::Listing;
pub(crate) use listing::Pager;
pub use ops::{Cmp, Compare, Kv, Op, Range, RangeReply, Reply, SortOrder, SortTarget, Txn, TxnReply, prefix_end};
pub use watch::{EventKind, Watch, WatchBatch, WatchEvent};
pub(crate) use watch::{WatchItem, WatchSpec, WatchStream};

use crate::{StoreError, wire};
use bytes::Bytes;
use call::{Again, Inner};
use ops::revision;
use std::{sync::Arc, time::Duration};

/// A connection to the store, shared by its clones.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What one member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// The store's revision.
    pub revision: i64,
    /// Bytes of its file.
    pub db_size: i64,
    /// Whether the cluster has a leader as far as this member knows.
    pub has_leader: bool,
}

impl Client {
    /// Prepares a client without contacting the store, for a daemon that must start while the store is away. Fails on settings that cannot
    /// work. Must be called within a tokio runtime.
    pub fn new(config: Config) -> Result<Client, StoreError> {
        Ok(Client { inner: Arc::new(Inner::new(config)?) })
    }

    /// Prepares a client and asks every member in turn until one answers. Fails at once if none can be reached.
    pub async fn connect(config: Config) -> Result<Client, StoreError> {
        let client = Client::new(config)?;
        let mut last = None;
        for _ in &client.inner.members {
            match client.hello().await {
                Ok(()) => return Ok(client),
                Err(error) if error.is_unreachable() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| client.inner.unreachable("no member")))
    }

    /// All endpoints, as given.
    pub fn endpoints(&self) -> String {
        self.inner.members.iter().map(|member| member.endpoint.to_string()).collect::<Vec<_>>().join(",")
    }

    /// One key, and the store's revision at that moment.
    pub async fn get(&self, key: &str) -> Result<(Option<Kv>, i64), StoreError> {
        let reply = self.range(Range::key(key)).await?;
        Ok((reply.kvs.into_iter().next(), reply.revision))
    }

    /// A range, in one answer: see [`Client::list`] for ranges of any size.
    pub async fn range(&self, range: Range) -> Result<RangeReply, StoreError> {
        let (reply, _) = self.inner.call::<_, wire::RangeResponse>(wire::path::RANGE, &range.0, Again::Read).await?;
        Ok(RangeReply::from_wire(reply))
    }

    /// The id of the cluster that answers, and its revision. Asks by counting `range`, which needs no permission beyond that to read it.
    pub(crate) async fn identity(&self, range: Range) -> Result<(u64, i64), StoreError> {
        let range = range.count_only();
        let (reply, _) = self.inner.call::<_, wire::RangeResponse>(wire::path::RANGE, &range.0, Again::Read).await?;
        Ok((reply.header.as_ref().map_or(0, |header| header.cluster_id), revision(&reply.header)))
    }

    /// Writes a key, whatever it was; the revision of the write.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<i64, StoreError> {
        self.put_with_lease(key, value, 0).await
    }

    /// Writes a key that dies with `lease`; the revision of the write.
    pub async fn put_with_lease(&self, key: &str, value: impl Into<Bytes>, lease: i64) -> Result<i64, StoreError> {
        let request =
            wire::PutRequest { key: key.as_bytes().to_vec().into(), value: value.into(), lease, ..Default::default() };
        let call = self.inner.call::<_, wire::PutResponse>(wire::path::PUT, &request, Again::Never);
        let (reply, _) = call.await.map_err(|error| name_lease(error, lease))?;
        Ok(revision(&reply.header))
    }

    /// Deletes what `range` covers (its other settings do not matter); how many keys there were, and the store's revision.
    pub async fn delete(&self, range: Range) -> Result<(i64, i64), StoreError> {
        let request = wire::DeleteRangeRequest { key: range.0.key, range_end: range.0.range_end, prev_kv: false };
        let (reply, _) =
            self.inner.call::<_, wire::DeleteRangeResponse>(wire::path::DELETE_RANGE, &request, Again::Never).await?;
        Ok((reply.deleted, revision(&reply.header)))
    }

    /// Forgets what was superseded at or before `revision`. No error if that is done already.
    pub async fn compact(&self, revision: i64) -> Result<(), StoreError> {
        let request = wire::CompactionRequest { revision, physical: false };
        match self.inner.call::<_, wire::CompactionResponse>(wire::path::COMPACT, &request, Again::Harmless).await {
            Ok(_) | Err(StoreError::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A new lease that lasts `ttl` unless renewed: its id and what was granted, which may be longer (etcd grants 2 s at least).
    pub async fn lease_grant(&self, ttl: Duration) -> Result<(i64, Duration), StoreError> {
        let seconds = i64::try_from(ttl.as_secs_f64().ceil() as u64).unwrap_or(i64::MAX).max(1);
        let request = wire::LeaseGrantRequest { ttl: seconds, id: 0 };
        // Twice leaves a lease that ends by itself.
        let (reply, _) =
            self.inner.call::<_, wire::LeaseGrantResponse>(wire::path::LEASE_GRANT, &request, Again::Harmless).await?;
        Ok((reply.id, Duration::from_secs(u64::try_from(reply.ttl).unwrap_or(0))))
    }

    /// Ends a lease and deletes its keys. No error if it has ended already.
    pub async fn lease_revoke(&self, lease: i64) -> Result<(), StoreError> {
        let request = wire::LeaseRevokeRequest { id: lease };
        match self.inner.call::<_, wire::LeaseRevokeResponse>(wire::path::LEASE_REVOKE, &request, Again::Harmless).await
        {
            Ok(_) | Err(StoreError::NoLease(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Renews a lease once; how long it lasts now. [`StoreError::NoLease`] if it has ended.
    pub async fn keep_alive(&self, lease: i64) -> Result<Duration, StoreError> {
        // A stream with a single request is, on the wire, a call with a single request.
        let request = wire::LeaseKeepAliveRequest { id: lease };
        let (reply, _) = self
            .inner
            .call::<_, wire::LeaseKeepAliveResponse>(wire::path::LEASE_KEEP_ALIVE, &request, Again::Harmless)
            .await?;
        match u64::try_from(reply.ttl) {
            Ok(ttl) if ttl > 0 => Ok(Duration::from_secs(ttl)),
            _ => Err(StoreError::NoLease(lease)),
        }
    }

    /// How long a lease still lasts, or `None` if it has ended.
    pub async fn lease_time_left(&self, lease: i64) -> Result<Option<Duration>, StoreError> {
        let request = wire::LeaseTimeToLiveRequest { id: lease, keys: false };
        let (reply, _) = self
            .inner
            .call::<_, wire::LeaseTimeToLiveResponse>(wire::path::LEASE_TIME_TO_LIVE, &request, Again::Read)
            .await?;
        Ok(u64::try_from(reply.ttl).ok().map(Duration::from_secs))
    }

    /// What the member in use says of itself.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let request = wire::StatusRequest {};
        let (reply, _) = self.inner.call::<_, wire::StatusResponse>(wire::path::STATUS, &request, Again::Read).await?;
        Ok(Status {
            revision: revision(&reply.header),
            version: reply.version,
            db_size: reply.db_size,
            has_leader: reply.leader != 0,
        })
    }

    /// Does a transaction. If the answer was lost, it is sent again only if it is *guarded*: its own writes make its conditions fail, and its
    /// `or_else` writes nothing. Should then the conditions not hold, the keys tell whether it was the first sending that did it.
    pub async fn txn(&self, txn: Txn) -> Result<TxnReply, StoreError> {
        let again = match &txn {
            txn if txn.is_read() => Again::Read,
            txn if txn.is_guarded() => Again::Harmless,
            _ => Again::Never,
        };
        let (reply, repeated) = self.inner.call::<_, wire::TxnResponse>(wire::path::TXN, &txn.0, again).await?;
        let reply = TxnReply::from_wire(reply);
        if repeated && !reply.succeeded && txn.is_guarded() {
            return self.settle(&txn, reply).await;
        }
        Ok(reply)
    }

    /// After a repeated transaction found its conditions not met: did an earlier sending do it? Then all that it wrote is there, of one
    /// revision. If not, somebody else was first (or changed it since), and the failed comparison is the right answer.
    async fn settle(&self, txn: &Txn, refused: TxnReply) -> Result<TxnReply, StoreError> {
        let mut look = Txn::new();
        for op in &txn.0.success {
            look = match &op.request {
                Some(wire::Request::Put(put)) => look
                    .then(Op(wire::Request::Range(wire::RangeRequest { key: put.key.clone(), ..Default::default() }))),
                Some(wire::Request::DeleteRange(delete)) => look.then(Op(wire::Request::Range(wire::RangeRequest {
                    key: delete.key.clone(),
                    range_end: delete.range_end.clone(),
                    count_only: true,
                    ..Default::default()
                }))),
                _ => {
                    let (_, member) = self.inner.member();
                    let reason = "the answer to a transaction with reads was lost".to_owned();
                    return Err(StoreError::OutcomeUnknown { endpoint: member.endpoint.to_string(), reason });
                }
            };
        }
        let (seen, _) = self.inner.call::<_, wire::TxnResponse>(wire::path::TXN, &look.0, Again::Read).await?;
        let seen = TxnReply::from_wire(seen);
        let mut at = None;
        let mut replies = Vec::new();
        for (op, found) in txn.0.success.iter().zip(&seen.replies) {
            let Reply::Range(found) = found else { return Ok(refused) };
            match (&op.request, found.kvs.first()) {
                (Some(wire::Request::Put(put)), Some(kv))
                    if kv.value == put.value && kv.lease == put.lease && at.is_none_or(|at| at == kv.mod_revision) =>
                {
                    at = Some(kv.mod_revision);
                    replies.push(Reply::Put);
                }
                (Some(wire::Request::DeleteRange(_)), _) if found.count == 0 => replies.push(Reply::Deleted(1)),
                _ => return Ok(refused),
            }
        }
        Ok(TxnReply { succeeded: true, revision: at.unwrap_or(seen.revision), replies })
    }

    /// One question to the member in use, once.
    async fn hello(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }
}

fn name_lease(error: StoreError, lease: i64) -> StoreError {
    match error {
        StoreError::NoLease(_) => StoreError::NoLease(lease),
        error => error,
    }
}
