//! Watches. One task a stream; it holds no queue of events but pulls them, from memory or from the log, as fast as its client takes them. So a
//! slow client costs nothing but its place in history, and if that is compacted away, it is told so.

use super::{
    Shared,
    edit::{Change, Revision},
    fault::Outcome,
    span::Span,
};
use crate::wire::{self, WatchRequestKind};
use bytes::Bytes;
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};
use tonic::{Status, Streaming};

/// Answers that may wait for a client.
pub(super) const QUEUE: usize = 16;
/// How often a watch that asked for it hears that nothing happened, as in etcd.
const PROGRESS_EVERY: Duration = Duration::from_secs(600);
/// Revisions that are fetched at a time, and bytes of the log.
const FETCH: usize = 256;
const FETCH_BYTES: usize = 1 << 20;
/// A larger answer is sent in pieces to those who allow it, as in etcd.
const FRAGMENT: usize = 2 << 20;
/// Watches on one stream.
const MAX_WATCHES: usize = 10_000;

type Answers = mpsc::Sender<Result<wire::WatchResponse, Status>>;

/// The client is gone, or the file failed, which the client has been told.
struct Over;

struct Watcher {
    span: Span,
    /// The next revision that it has not seen.
    next: i64,
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
    fragment: bool,
    progress: bool,
    /// Something was sent since the last progress.
    active: bool,
}

struct Stream {
    shared: Arc<Shared>,
    answers: Answers,
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
}

/// Serves one stream until the client ends it or goes away.
pub(super) async fn serve(shared: Arc<Shared>, mut requests: Streaming<wire::WatchRequest>, answers: Answers) {
    let mut revision = shared.revision.subscribe();
    let mut progress = interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY);
    let mut stream = Stream { shared, answers, watchers: BTreeMap::new(), next_id: 0 };
    loop {
        let now = *revision.borrow_and_update();
        if stream.catch_up(now).await.is_err() {
            return;
        }
        let done = tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => stream.request(request).await,
                Ok(None) | Err(_) => return,
            },
            changed = revision.changed() => changed.map_err(|_| Over),
            _ = progress.tick() => stream.progress().await,
            () = stream.answers.closed() => return,
        };
        if done.is_err() {
            return;
        }
    }
}

impl Stream {
    async fn send(&self, answer: wire::WatchResponse) -> Result<(), Over> {
        self.answers.send(Ok(answer)).await.map_err(|_| Over)
    }

    fn header(&self, revision: i64) -> Option<wire::ResponseHeader> {
        Some(self.shared.header(revision))
    }

    async fn request(&mut self, request: wire::WatchRequest) -> Result<(), Over> {
        let now = *self.shared.revision.borrow();
        match request.kind {
            Some(WatchRequestKind::Create(create)) => self.create(create, now).await,
            Some(WatchRequestKind::Cancel(cancel)) => {
                if self.watchers.remove(&cancel.watch_id).is_none() {
                    return Ok(());
                }
                let answer = wire::WatchResponse {
                    header: self.header(now),
                    watch_id: cancel.watch_id,
                    canceled: true,
                    ..Default::default()
                };
                self.send(answer).await
            }
            // All that happened before is sent before: the stream is caught up between requests, and again here.
            Some(WatchRequestKind::Progress(_)) => {
                self.catch_up(now).await?;
                self.send(wire::WatchResponse { header: self.header(now), watch_id: -1, ..Default::default() }).await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, create: wire::WatchCreateRequest, now: i64) -> Result<(), Over> {
        let key = if create.key.is_empty() { Bytes::from_static(&[0]) } else { create.key };
        let span = Span::new(key, create.range_end);
        let mut answer =
            wire::WatchResponse { header: self.header(now), watch_id: -1, created: true, ..Default::default() };
        let refusal = match create.watch_id {
            _ if span.is_empty() => Some("mvcc: watcher range is empty"),
            id if id != 0 && self.watchers.contains_key(&id) => {
                Some("mvcc: duplicate watch ID provided on the WatchStream")
            }
            _ if self.watchers.len() >= MAX_WATCHES => Some("too many watches on one stream"),
            _ => None,
        };
        if let Some(reason) = refusal {
            answer.canceled = true;
            answer.cancel_reason = reason.to_owned();
            return self.send(answer).await;
        }
        let id = match create.watch_id {
            0 => {
                while self.watchers.contains_key(&self.next_id) {
                    self.next_id += 1;
                }
                self.next_id += 1;
                self.next_id - 1
            }
            id => id,
        };
        let has = |filter: wire::WatchFilter| create.filters.contains(&(filter as i32));
        let watcher = Watcher {
            span,
            next: if create.start_revision > 0 { create.start_revision } else { now + 1 },
            no_put: has(wire::WatchFilter::NoPut),
            no_delete: has(wire::WatchFilter::NoDelete),
            prev_kv: create.prev_kv,
            fragment: create.fragment,
            progress: create.progress_notify,
            active: false,
        };
        self.watchers.insert(id, watcher);
        answer.watch_id = id;
        self.send(answer).await
    }

    async fn progress(&mut self) -> Result<(), Over> {
        let now = *self.shared.revision.borrow();
        self.catch_up(now).await?;
        let quiet: Vec<i64> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| watcher.progress && !watcher.active)
            .map(|(id, _)| *id)
            .collect();
        self.watchers.values_mut().for_each(|watcher| watcher.active = false);
        for watch_id in quiet {
            self.send(wire::WatchResponse { header: self.header(now), watch_id, ..Default::default() }).await?;
        }
        Ok(())
    }

    /// Sends all that the watches have not seen, up to and including `now`.
    async fn catch_up(&mut self, now: i64) -> Result<(), Over> {
        while let Some(from) = self.watchers.values().map(|watcher| watcher.next).filter(|next| *next <= now).min() {
            let fetched = match self.shared.recent.since(from, FETCH) {
                Some(revisions) => Ok((None, revisions)),
                None => {
                    let shared = self.shared.clone();
                    let read = tokio::task::spawn_blocking(move || fetch(&shared, from, now));
                    read.await.unwrap_or_else(|_| Err(Status::internal("reading the log failed").into()))
                }
            };
            let (compacted, revisions) = match fetched {
                Ok(fetched) => fetched,
                Err(fault) => {
                    let _ = self.answers.send(Err(fault.into())).await;
                    return Err(Over);
                }
            };
            if let Some(compacted) = compacted {
                self.drop_compacted(compacted, now).await?;
            }
            // The log has no records for revisions whose changes are superseded and compacted; nothing is to be seen there.
            let seen = revisions.last().map_or(now, |last| last.revision);
            self.give(&revisions, seen, now).await?;
        }
        Ok(())
    }

    async fn drop_compacted(&mut self, compacted: i64, now: i64) -> Result<(), Over> {
        let dead: Vec<i64> =
            self.watchers.iter().filter(|(_, watcher)| watcher.next < compacted).map(|(id, _)| *id).collect();
        for watch_id in dead {
            self.watchers.remove(&watch_id);
            let header = self.header(now);
            let answer = wire::WatchResponse {
                header,
                watch_id,
                canceled: true,
                compact_revision: compacted,
                ..Default::default()
            };
            self.send(answer).await?;
        }
        Ok(())
    }

    async fn give(&mut self, revisions: &[Arc<Revision>], seen: i64, now: i64) -> Result<(), Over> {
        let header = self.header(now);
        let mut out = Vec::new();
        for (&id, watcher) in &mut self.watchers {
            let mut events = Vec::new();
            for revision in revisions.iter().filter(|revision| revision.revision >= watcher.next) {
                events.extend(revision.changes.iter().filter_map(|change| watcher.event(change)));
            }
            watcher.next = watcher.next.max(seen + 1);
            if !events.is_empty() {
                watcher.active = true;
                pieces(id, header, events, watcher.fragment, &mut out);
            }
        }
        for answer in out {
            self.send(answer).await?;
        }
        Ok(())
    }
}

impl Watcher {
    fn event(&self, change: &Change) -> Option<wire::Event> {
        if !self.span.contains(&change.kv.key) || (change.delete && self.no_delete) || (!change.delete && self.no_put) {
            return None;
        }
        let kind = if change.delete { wire::EventType::Delete } else { wire::EventType::Put };
        Some(wire::Event {
            r#type: kind.into(),
            kv: Some(change.kv.clone()),
            prev_kv: change.prev.clone().filter(|_| self.prev_kv),
        })
    }
}

/// Reads from the log: the compaction mark if `from` is below it, and the revisions from `from` (or from the mark) on.
fn fetch(shared: &Shared, from: i64, to: i64) -> Outcome<(Option<i64>, Vec<Arc<Revision>>)> {
    let tables = shared.file.read()?;
    let compacted = Some(tables.meta.compacted).filter(|compacted| from < *compacted);
    let mut revisions: Vec<Revision> = Vec::new();
    for (record, kv, prev) in tables.view().records(compacted.unwrap_or(from), to, FETCH_BYTES)? {
        let revision = kv.mod_revision;
        let change = Change { delete: record.delete, kv, prev };
        match revisions.last_mut().filter(|last| last.revision == revision) {
            Some(last) => last.changes.push(change),
            None => revisions.push(Revision { revision, changes: vec![change] }),
        }
    }
    Ok((compacted, revisions.into_iter().map(Arc::new).collect()))
}

/// One answer, or several if it is large and may be split.
fn pieces(
    watch_id: i64,
    header: Option<wire::ResponseHeader>,
    events: Vec<wire::Event>,
    fragment: bool,
    out: &mut Vec<wire::WatchResponse>,
) {
    let answer = |events, fragment| wire::WatchResponse { header, watch_id, events, fragment, ..Default::default() };
    let mut piece = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        if fragment && bytes + size > FRAGMENT && !piece.is_empty() {
            out.push(answer(std::mem::take(&mut piece), true));
            bytes = 0;
        }
        bytes += size;
        piece.push(event);
    }
    out.push(answer(piece, false));
}
