//! Watches: a stream of changes, at first hand ([`WatchStream`], one connection long) and with resumption ([`Watch`]).

use super::{Client, Kv, Range, call::MAX_ANSWER, member::Failure, ops::revision};
use crate::{StoreError, wire};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::{collections::HashMap, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

/// Pause before a broken watch is begun again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether a key was written or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Created or changed.
    Put,
    /// Deleted, or its lease ended.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// The key afterwards; of a deletion only key and `mod_revision` mean something.
    pub kv: Kv,
}

/// Changes that arrived together; never a part of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// The revision of the last change.
    pub revision: i64,
    /// In the order in which they happened.
    pub events: Vec<WatchEvent>,
}

/// What to watch, on a stream of many.
#[derive(Clone, Debug)]
pub(crate) struct WatchSpec {
    /// Chosen by us; above 0 and unique on the stream.
    pub id: i64,
    pub key: Bytes,
    pub end: Bytes,
    /// First revision of interest.
    pub start: i64,
}

/// What comes out of a stream.
#[derive(Clone, Debug)]
pub(crate) enum WatchItem {
    /// One of the watches stands.
    Created,
    /// All changes up to and including `last`, a whole number of revisions.
    Events { id: i64, last: i64, events: Vec<WatchEvent> },
    /// It cannot begin where it should: list afresh, go on from `oldest` or later.
    Compacted { oldest: i64 },
    /// Nothing happened up to the store's revision.
    Progress,
}

/// One stream of watches on one connection. It ends with the connection; whoever holds it resumes.
pub(crate) struct WatchStream {
    answers: Streaming<wire::WatchResponse>,
    /// Held open: the store ends the watches when we have nothing more to say.
    _requests: mpsc::Sender<wire::WatchRequest>,
    /// Pieces of a revision that is not complete, by watch.
    pieces: HashMap<i64, Vec<wire::Event>>,
    member: usize,
    client: Client,
}

impl Client {
    /// Begins watches on one stream at the member in use. `Unreachable` if that fails; the next call goes to the next member.
    pub(crate) async fn open_watch(&self, specs: &[WatchSpec]) -> Result<WatchStream, StoreError> {
        let (index, member) = self.inner.member();
        let fail = |failure: Failure| {
            self.inner.rotate(index);
            match failure {
                Failure::NotSent(reason) | Failure::Unanswered(reason) => self.inner.unreachable(&reason),
                Failure::Token(reason) => StoreError::Denied(reason),
                Failure::Answer(error) => error,
            }
        };
        let mut stale = false;
        loop {
            self.inner.authenticate(member, stale).await.map_err(fail)?;
            let (requests, outgoing) = mpsc::channel(specs.len() + 8);
            for spec in specs {
                let create = wire::WatchCreateRequest {
                    key: spec.key.clone(),
                    range_end: spec.end.clone(),
                    start_revision: spec.start,
                    progress_notify: true,
                    filters: Vec::new(),
                    prev_kv: false,
                    watch_id: spec.id,
                    fragment: true,
                };
                let request = wire::WatchRequest { kind: Some(wire::WatchRequestKind::Create(create)) };
                requests
                    .try_send(request)
                    .map_err(|_| StoreError::Config("too many watches on one stream".to_owned()))?;
            }
            let mut request = Request::new(ReceiverStream::new(outgoing));
            self.inner.authorize(&mut request).await.map_err(|status| fail(Failure::of(&status)))?;
            // The member ends the stream when it loses its leader, instead of keeping us waiting on the wrong side of a partition.
            request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
            let mut grpc = Grpc::new(member.channel.clone()).max_decoding_message_size(MAX_ANSWER);
            let attempt = async {
                grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
                grpc.streaming(request, PathAndQuery::from_static(wire::path::WATCH), ProstCodec::default()).await
            };
            let opened = match tokio::time::timeout(self.inner.config.timeout, attempt).await {
                Ok(opened) => opened,
                Err(_) => return Err(fail(Failure::Unanswered("no answer to the watch".to_owned()))),
            };
            match opened {
                Ok(answers) => {
                    return Ok(WatchStream {
                        answers: answers.into_inner(),
                        _requests: requests,
                        pieces: HashMap::new(),
                        member: index,
                        client: self.clone(),
                    });
                }
                Err(status) => match Failure::of(&status) {
                    Failure::Token(_) if self.inner.config.user.is_some() && !stale => stale = true,
                    failure => return Err(fail(failure)),
                },
            }
        }
    }

    /// Watches `range` from revision `from` on, across lost connections and fail-over.
    pub fn watch(&self, range: Range, from: i64) -> Watch {
        let spec = WatchSpec { id: 1, key: range.0.key, end: range.0.range_end, start: from.max(1) };
        Watch { client: self.clone(), spec, stream: None, pause: PAUSE_MIN }
    }
}

impl WatchStream {
    /// Waits for the next item. Any error ends the stream. May be dropped while waiting without losing anything.
    pub async fn next(&mut self) -> Result<WatchItem, StoreError> {
        loop {
            let answer = match self.answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(self.broken("the store ended the watch")),
                Err(status) => {
                    return Err(match Failure::of(&status) {
                        Failure::NotSent(reason) | Failure::Unanswered(reason) | Failure::Token(reason) => {
                            self.broken(&reason)
                        }
                        Failure::Answer(error) => {
                            self.client.inner.rotate(self.member);
                            error
                        }
                    });
                }
            };
            if let Some(item) = self.digest(answer)? {
                return Ok(item);
            }
        }
    }

    fn digest(&mut self, answer: wire::WatchResponse) -> Result<Option<WatchItem>, StoreError> {
        let id = answer.watch_id;
        if answer.compact_revision > 0 {
            return Ok(Some(WatchItem::Compacted { oldest: answer.compact_revision }));
        }
        if answer.canceled {
            return Err(match answer.cancel_reason.as_str() {
                reason if reason.contains("permission denied") => StoreError::Denied(reason.to_owned()),
                reason => self.broken(&format!("the store cancelled the watch ({reason})")),
            });
        }
        if answer.created {
            return Ok(Some(WatchItem::Created));
        }
        if answer.events.is_empty() {
            return Ok(Some(WatchItem::Progress));
        }
        if answer.fragment {
            self.pieces.entry(id).or_default().extend(answer.events);
            return Ok(None);
        }
        let mut events = self.pieces.remove(&id).unwrap_or_default();
        events.extend(answer.events);
        let last = events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
        let last = last.unwrap_or_else(|| revision(&answer.header));
        let events = events.into_iter().filter_map(|event| {
            let kind = if event.r#type == wire::EventType::Delete as i32 { EventKind::Delete } else { EventKind::Put };
            Some(WatchEvent { kind, kv: Kv::from_wire(event.kv?) })
        });
        Ok(Some(WatchItem::Events { id, last, events: events.collect() }))
    }

    fn broken(&self, reason: &str) -> StoreError {
        self.client.inner.rotate(self.member);
        self.client.inner.unreachable(reason)
    }
}

/// A watch that resumes where it was when its connection is lost.
pub struct Watch {
    client: Client,
    spec: WatchSpec,
    stream: Option<WatchStream>,
    pause: Duration,
}

impl Watch {
    /// Waits for the next changes, as long as it takes; an unreachable store is waited for. [`StoreError::Compacted`] if the revision to go on
    /// from is gone: list afresh and begin a new watch. May be dropped while waiting without losing anything.
    pub async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            let error = match &mut self.stream {
                None => match self.client.open_watch(std::slice::from_ref(&self.spec)).await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(error) => error,
                },
                Some(stream) => match stream.next().await {
                    Ok(WatchItem::Events { last, events, .. }) => {
                        self.pause = PAUSE_MIN;
                        let first = self.spec.start;
                        self.spec.start = self.spec.start.max(last + 1);
                        // A store that repeats itself after a resumption must not be heard twice.
                        let events: Vec<WatchEvent> =
                            events.into_iter().filter(|event| event.kv.mod_revision >= first).collect();
                        if events.is_empty() {
                            continue;
                        }
                        return Ok(WatchBatch { revision: last, events });
                    }
                    Ok(WatchItem::Compacted { oldest }) => return Err(StoreError::Compacted { oldest }),
                    Ok(WatchItem::Created | WatchItem::Progress) => {
                        self.pause = PAUSE_MIN;
                        continue;
                    }
                    Err(error) => error,
                },
            };
            self.stream = None;
            if !error.is_unreachable() {
                return Err(error);
            }
            tracing::debug!(%error, "a watch is begun again");
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }
}
