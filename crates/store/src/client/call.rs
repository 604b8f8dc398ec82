//! Calls with fail-over: which member, how often, and what may be sent twice.
//!
//! A read may be sent again whatever happened. A change may be sent again if it was not sent at all, or if sending it twice is harmless
//! (a transaction whose own writes make its conditions fail, the renewal of a lease). Any other change whose answer was lost ends in
//! [`StoreError::OutcomeUnknown`]: better an honest error than a write that overwrites somebody else's.

use super::{
    config::Config,
    member::{Failure, Member},
};
use crate::{StoreError, wire};
use http::uri::PathAndQuery;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{sync::RwLock, time::Instant};
use tonic::{Request, Status, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

/// Largest answer that we read. etcd sends a range in one message; the listing asks for less when a page is larger than this.
pub(super) const MAX_ANSWER: usize = 64 << 20;
/// First pause after all members failed; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A read is given up at one member and asked at the next after this share of the whole time, but not sooner than [`ATTEMPT_MIN`].
const ATTEMPT_SHARE: u32 = 3;
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// Whether a request may be sent again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It changes nothing.
    Read,
    /// It changes something, and twice is as good as once.
    Harmless,
    /// Only if it was not sent.
    Never,
}

/// The members, which of them is in use, and the token.
#[derive(Debug)]
pub(super) struct Inner {
    pub members: Vec<Member>,
    pub config: Config,
    current: AtomicUsize,
    token: RwLock<Option<String>>,
}

/// What to look at when no connection came about, by what the libraries below say of it. Their words are no contract: what is not known
/// gets the general advice.
fn hint(reason: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["refused"]) {
        "is it running? start it, or name another with --endpoints"
    } else if says(&["ertificate", "fatal alert", "UnknownIssuer"]) {
        "look at --cacert, --cert and --key"
    } else if says(&["corrupt message", "handshake eof"]) {
        "does it speak TLS? if not, write http://"
    } else if says(&["reset", "broken pipe", "connection closed", "frame with invalid size"]) {
        "is it running? if it speaks TLS, write https://, and give --cacert"
    } else if says(&["lookup"]) {
        "is the name right?"
    } else {
        "is it running, and can it be reached from here?"
    }
}

impl Inner {
    pub fn new(config: Config) -> Result<Inner, StoreError> {
        if config.endpoints.is_empty() {
            return Err(StoreError::Config("no endpoint of the store is given".to_owned()));
        }
        let members =
            config.endpoints.iter().map(|endpoint| Member::new(endpoint.clone(), &config)).collect::<Result<_, _>>()?;
        Ok(Inner { members, config, current: AtomicUsize::new(0), token: RwLock::new(None) })
    }

    /// The member in use and its number. All calls go to the same one until it fails.
    pub fn member(&self) -> (usize, &Member) {
        let index = self.current.load(Ordering::Relaxed) % self.members.len();
        #[allow(clippy::indexing_slicing)]
        (index, &self.members[index])
    }

    /// Uses the next member, if nobody else has moved on from this one already.
    pub fn rotate(&self, from: usize) {
        let next = (from + 1) % self.members.len();
        let _ = self.current.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn unreachable(&self, reason: &str) -> StoreError {
        let endpoints = self.members.iter().map(|member| member.endpoint.to_string()).collect::<Vec<_>>().join(",");
        let hint = hint(reason);
        StoreError::Unreachable { endpoints, reason: format!("{reason}; {hint}") }
    }

    /// One request to one member, with the token.
    async fn send<Q, R>(&self, member: &Member, path: &'static str, request: Q, limit: Duration) -> Result<R, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(request);
        self.authorize(&mut request).await?;
        let mut grpc = Grpc::new(member.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        let attempt = async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, R>::default()).await
        };
        match tokio::time::timeout(limit, attempt).await {
            Ok(answer) => Ok(answer?.into_inner()),
            // Told when all of the time is over, however little of it was left for this attempt.
            Err(_) => {
                Err(Status::deadline_exceeded(format!("no answer within {} s", self.config.timeout.as_secs_f32())))
            }
        }
    }

    /// Puts the token into the metadata, where there is one.
    pub async fn authorize<T>(&self, request: &mut Request<T>) -> Result<(), Status> {
        if let Some(token) = self.token.read().await.as_deref() {
            let token = MetadataValue::try_from(token)
                .map_err(|_| Status::unauthenticated("the token that the store gave is no ASCII"))?;
            request.metadata_mut().insert("token", token);
        }
        Ok(())
    }

    /// Gets a token from `member` if users are in use and there is none, or a new one if `stale`.
    pub async fn authenticate(&self, member: &Member, stale: bool) -> Result<(), Failure> {
        let Some((name, password)) = &self.config.user else {
            return Ok(());
        };
        let before = self.token.read().await.clone();
        if before.is_some() && !stale {
            return Ok(());
        }
        let mut token = self.token.write().await;
        if *token != before {
            return Ok(()); // somebody else was quicker
        }
        // A token that has ended must not go along: etcd would refuse the request for it.
        *token = None;
        let request = Request::new(wire::AuthenticateRequest { name: name.clone(), password: password.clone() });
        let mut grpc = Grpc::new(member.channel.clone());
        let attempt = async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            grpc.unary(
                request,
                PathAndQuery::from_static(wire::path::AUTHENTICATE),
                ProstCodec::<_, wire::AuthenticateResponse>::default(),
            )
            .await
        };
        let answer = tokio::time::timeout(self.config.timeout, attempt).await;
        let answer = answer.map_err(|_| Failure::NotSent("no answer to the password".to_owned()))?;
        match answer {
            Ok(answer) => *token = Some(answer.into_inner().token),
            // With users switched off in the store, a password is superfluous, not wrong.
            Err(status) if status.message().contains("authentication is not enabled") => {}
            Err(status) => {
                return Err(match Failure::of(&status) {
                    Failure::Unanswered(reason) => Failure::NotSent(reason), // a token is no change
                    Failure::Token(reason) => Failure::Answer(StoreError::Denied(reason)),
                    other => other,
                });
            }
        }
        Ok(())
    }

    /// Sends a request until it is answered, within the time of the configuration. The second value tells whether an earlier attempt was left
    /// unanswered, so that the answer may be that of the repetition.
    pub async fn call<Q, R>(&self, path: &'static str, request: &Q, again: Again) -> Result<(R, bool), StoreError>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let deadline = Instant::now() + self.config.timeout;
        let mut pause = PAUSE_MIN;
        let mut failed = 0_usize;
        let mut tokens = 0_u32;
        let mut repeated = false;
        loop {
            let (index, member) = self.member();
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = match again {
                Again::Read | Again::Harmless => left.min(ATTEMPT_MIN.max(self.config.timeout / ATTEMPT_SHARE)),
                Again::Never => left,
            };
            let outcome = match self.authenticate(member, tokens > 0).await {
                Ok(()) => self.send(member, path, request.clone(), limit).await.map_err(|status| Failure::of(&status)),
                Err(failure) => Err(failure),
            };
            let reason = match outcome {
                Ok(answer) => return Ok((answer, repeated)),
                Err(Failure::Answer(error)) => return Err(error),
                Err(Failure::Token(reason)) => {
                    tokens += 1;
                    if self.config.user.is_none() || tokens > 2 {
                        return Err(StoreError::Denied(reason));
                    }
                    continue;
                }
                Err(Failure::NotSent(reason)) => reason,
                Err(Failure::Unanswered(reason)) => {
                    if again == Again::Never {
                        self.rotate(index);
                        return Err(StoreError::OutcomeUnknown { endpoint: member.endpoint.to_string(), reason });
                    }
                    repeated = true;
                    reason
                }
            };
            tracing::debug!(endpoint = %member.endpoint, reason, "a member of the store failed");
            self.rotate(index);
            failed += 1;
            let round = failed.is_multiple_of(self.members.len());
            if Instant::now() + if round { pause } else { Duration::ZERO } >= deadline {
                return Err(match repeated && again != Again::Read {
                    true => StoreError::OutcomeUnknown { endpoint: member.endpoint.to_string(), reason },
                    false => self.unreachable(&reason),
                });
            }
            if round {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Asks the member in use for one key, without repetition; moves on to the next if it fails. Needs no permission beyond a valid login.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let (index, member) = self.member();
        let request = wire::RangeRequest { key: bytes::Bytes::from_static(b"health"), ..Default::default() };
        let mut stale = false;
        loop {
            let outcome = match self.authenticate(member, stale).await {
                Ok(()) => {
                    let answer = self
                        .send::<_, wire::RangeResponse>(member, wire::path::RANGE, request.clone(), self.config.timeout)
                        .await;
                    answer.map(|_| ()).map_err(|status| Failure::of(&status))
                }
                Err(failure) => Err(failure),
            };
            return match outcome {
                // A user without permission for this key has come in all the same.
                Ok(()) => Ok(()),
                Err(Failure::Answer(StoreError::Denied(reason))) if reason.contains("permission denied") => Ok(()),
                Err(Failure::Answer(error)) => Err(error),
                Err(Failure::Token(_)) if self.config.user.is_some() && !stale => {
                    stale = true;
                    continue;
                }
                Err(Failure::Token(reason)) => Err(StoreError::Denied(reason)),
                Err(Failure::NotSent(reason) | Failure::Unanswered(reason)) => {
                    self.rotate(index);
                    Err(self.unreachable(&reason))
                }
            };
        }
    }
}
