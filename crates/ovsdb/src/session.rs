//! One connection from the first request to the end: schema, monitor, then news and transactions until something
//! breaks.

use crate::config::{Config, MonitorMethod};
use crate::error::TransactError;
use crate::link::{Link, LinkError};
use crate::operation::OpResult;
use crate::outbox::Outbox;
use crate::replica::{Replica, ReplicaError};
use crate::request::{Inbox, Request};
use crate::schema::Schema;
use crate::update::{Event, Update};
use crate::uuid::Uuid;
use crate::wire::{Envelope, OpReply, OvsdbError, RowUpdate1, RowUpdate2, SinceReply, TableUpdates, Updates};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::HashMap;
use tokio::time::Instant;

/// Transactions under way at once; more wait in the channel.
const MAX_OUTSTANDING: usize = 256;
/// The name of our monitor on a connection (RFC 7047 section 4.1.5); there is only one.
const MONITOR_ID: &str = "tuplenet";

/// Why a session ended, if not because nobody needs it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("it sent what is no message of OVSDB: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error("it gave no sign of life for {0:?}")]
    Silent(std::time::Duration),
    #[error("it cannot serve database {database}: {error}")]
    Database { database: String, error: OvsdbError },
    #[error("it refused to let tables be watched: {0}")]
    Monitor(OvsdbError),
    #[error("it is too old (before OVS 2.6) to watch rows by condition: upgrade it")]
    TooOld,
    #[error("it ended our monitor: the database was removed or converted")]
    Canceled,
    #[error("it sent {0}, which makes no sense now")]
    Unexpected(String),
}

enum Phase {
    /// Asked for the schema.
    Schema,
    /// Asked to watch, in this way.
    Monitor(MonitorMethod),
    /// All is set up.
    Ready,
}

pub(crate) struct Session<'a> {
    pub(crate) link: Link,
    pub(crate) config: &'a Config,
    pub(crate) replica: &'a mut Replica,
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) outbox: &'a mut Outbox,
    phase: Phase,
    /// Of the request of the set-up that awaits its reply.
    setup_id: u64,
    next_id: u64,
    outstanding: HashMap<u64, Request>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        link: Link,
        config: &'a Config,
        replica: &'a mut Replica,
        inbox: &'a mut Inbox,
        outbox: &'a mut Outbox,
    ) -> Self {
        let outstanding = HashMap::new();
        Self { link, config, replica, inbox, outbox, phase: Phase::Schema, setup_id: 0, next_id: 0, outstanding }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Runs until the connection breaks (an error) or no client is left (`Ok`).
    pub(crate) async fn run(&mut self) -> Result<(), SessionError> {
        let result = self.run_inner().await;
        if let Err(error) = &result {
            if matches!(error, SessionError::Replica(_)) {
                self.replica.clear();
            }
            for (_, request) in self.outstanding.drain() {
                let target = self.config.target.to_string();
                request.answer(Err(TransactError::OutcomeUnknown { target, why: error.to_string() }));
            }
        }
        result
    }

    async fn run_inner(&mut self) -> Result<(), SessionError> {
        self.setup_id = self.request("get_schema", json!([self.config.database]))?;
        let (mut received, mut probing) = (0, false);
        let mut deadline = Instant::now() + self.config.echo_interval;
        loop {
            while self.is_ready() && self.link.has_room() && self.outstanding.len() < MAX_OUTSTANDING {
                let Some(request) = self.inbox.take() else { break };
                self.transact(request)?;
            }
            tokio::select! {
                message = self.link.next() => {
                    let message = message?;
                    self.take_message(&message)?;
                }
                more = self.inbox.fill() => if !more {
                    return Ok(());
                },
                () = self.outbox.deliver(self.replica) => {}
                () = tokio::time::sleep_until(deadline) => {
                    if probing && self.link.received == received {
                        // If this program itself was stopped for a while, the answer may be there and not read yet.
                        tokio::select! {
                            biased;
                            message = self.link.next() => self.take_message(&message?)?,
                            () = tokio::task::yield_now() => {}
                        }
                    }
                    if self.link.received != received {
                        (received, probing) = (self.link.received, false);
                    } else if probing {
                        return Err(SessionError::Silent(2 * self.config.echo_interval));
                    } else {
                        probing = true;
                        self.link.send(&json!({"method": "echo", "params": [], "id": "echo"}))?;
                    }
                    deadline = Instant::now() + self.config.echo_interval;
                }
            }
        }
    }

    fn request(&mut self, method: &str, params: serde_json::Value) -> Result<u64, SessionError> {
        self.next_id += 1;
        self.link.send(&json!({"method": method, "params": params, "id": self.next_id}))?;
        Ok(self.next_id)
    }

    fn transact(&mut self, request: Request) -> Result<(), SessionError> {
        if request.is_abandoned() {
            return Ok(());
        }
        let mut params = vec![json!(self.config.database)];
        for operation in &request.operations {
            match serde_json::to_value(operation) {
                Ok(operation) => params.push(operation),
                Err(error) => {
                    let why = format!("{} cannot be written as JSON: {error}", operation.describe());
                    request.answer(Err(TransactError::Reply { why }));
                    return Ok(());
                }
            }
        }
        let id = self.request("transact", params.into())?;
        self.outstanding.insert(id, request);
        Ok(())
    }

    fn take_message(&mut self, message: &[u8]) -> Result<(), SessionError> {
        let envelope: Envelope<'_> = serde_json::from_slice(message)?;
        match (envelope.method.as_deref(), envelope.id) {
            (Some("echo"), Some(id)) => {
                let params = envelope.params.unwrap_or(RawValue::NULL);
                Ok(self.link.send(&json!({"id": id, "result": params, "error": null}))?)
            }
            (Some("update"), None) => {
                let (_, updates) = parse::<(IgnoredAny, TableUpdates<RowUpdate1>)>(envelope.params)?;
                self.follow(Updates::One(updates))
            }
            (Some("update2"), None) => {
                let (_, updates) = parse::<(IgnoredAny, TableUpdates<RowUpdate2>)>(envelope.params)?;
                self.follow(Updates::Two(updates))
            }
            (Some("update3"), None) => {
                let (_, last_txn, updates) = parse::<(IgnoredAny, Uuid, TableUpdates<RowUpdate2>)>(envelope.params)?;
                self.follow(Updates::Two(updates))?;
                self.replica.last_txn = last_txn;
                Ok(())
            }
            (Some("monitor_canceled"), None) => Err(SessionError::Canceled),
            (Some(method), Some(id)) => {
                tracing::debug!(method, "the OVSDB server asks for an unknown method");
                Ok(self.link.send(&json!({"id": id, "result": null, "error": "unknown method"}))?)
            }
            // Notices about locks and whatever later versions invent are none of ours.
            (Some(_), None) => Ok(()),
            (None, Some(id)) => self.take_reply(id.get(), envelope.result, envelope.error),
            (None, None) => {
                let error = envelope.error.map(OvsdbError::from_reply).unwrap_or_default();
                Err(SessionError::Unexpected(format!("a message of neither method nor id ({error})")))
            }
        }
    }

    fn follow(&mut self, updates: Updates) -> Result<(), SessionError> {
        if !self.is_ready() {
            return Err(SessionError::Unexpected("news of rows".into()));
        }
        let update = self.replica.follow(updates)?;
        if !update.rows.is_empty() {
            self.outbox.push(Event::Update(update), self.replica);
        }
        Ok(())
    }

    fn take_reply(
        &mut self,
        id: &str,
        result: Option<&RawValue>,
        error: Option<&RawValue>,
    ) -> Result<(), SessionError> {
        // The reply to our echo: that it came is all.
        let Ok(id) = id.parse::<u64>() else { return Ok(()) };
        let error = error.map(OvsdbError::from_reply);
        if let Some(request) = self.outstanding.remove(&id) {
            let reply = transact_reply(&request, &self.config.database, result, error);
            // ovsdb-server(7) 4.1.5: the news of a transaction came before its reply. Keep it so.
            self.outbox.deliver_now(self.replica);
            request.answer(reply);
            return Ok(());
        }
        if id != self.setup_id {
            return Err(SessionError::Unexpected(format!("a reply to request {id}")));
        }
        match (&self.phase, error) {
            (Phase::Ready, _) => Err(SessionError::Unexpected(format!("a second reply to request {id}"))),
            (Phase::Schema, Some(error)) => {
                Err(SessionError::Database { database: self.config.database.clone(), error })
            }
            (Phase::Schema, None) => {
                let schema = parse::<Schema>(result)?;
                self.replica.prepare(&self.config.monitor, &schema)?;
                if self.config.monitor.is_empty() { self.ready(None) } else { self.monitor(self.config.newest_monitor) }
            }
            (Phase::Monitor(method), Some(error)) if error.error == "unknown method" => match method {
                MonitorMethod::CondSince => self.monitor(MonitorMethod::Cond),
                MonitorMethod::Cond => self.monitor(MonitorMethod::Plain),
                MonitorMethod::Plain => Err(SessionError::Monitor(error)),
            },
            (Phase::Monitor(_), Some(error)) => Err(SessionError::Monitor(error)),
            (Phase::Monitor(method), None) => {
                let update = match method {
                    MonitorMethod::Plain => self.replica.replace(Updates::One(parse(result)?))?,
                    MonitorMethod::Cond => self.replica.replace(Updates::Two(parse(result)?))?,
                    MonitorMethod::CondSince => {
                        let (found, last_txn, updates) = parse::<SinceReply>(result)?;
                        let updates = Updates::Two(updates);
                        let update =
                            if found { self.replica.follow(updates)? } else { self.replica.replace(updates)? };
                        self.replica.last_txn = last_txn;
                        tracing::debug!(
                            resumed = found,
                            initial = update.initial,
                            rows = update.rows.len(),
                            "watching OVSDB"
                        );
                        update
                    }
                };
                self.ready(Some(update))
            }
        }
    }

    fn monitor(&mut self, method: MonitorMethod) -> Result<(), SessionError> {
        let conditions: HashMap<_, _> =
            self.config.monitor.iter().map(|monitor| (monitor.table.as_str(), &monitor.condition)).collect();
        let mut tables = serde_json::Map::new();
        for (table, columns) in self.replica.watched() {
            let mut request = json!({"columns": columns});
            if let Some(condition) = conditions.get(table).filter(|condition| !condition.is_empty()) {
                if method == MonitorMethod::Plain {
                    return Err(SessionError::TooOld);
                }
                if let Some(request) = request.as_object_mut() {
                    request.insert("where".into(), json!(condition));
                }
            }
            tables.insert(table.into(), json!([request]));
        }
        let (name, params) = match method {
            MonitorMethod::Plain => ("monitor", json!([self.config.database, MONITOR_ID, tables])),
            MonitorMethod::Cond => ("monitor_cond", json!([self.config.database, MONITOR_ID, tables])),
            MonitorMethod::CondSince => {
                let last_txn = self.replica.last_txn.to_string();
                ("monitor_cond_since", json!([self.config.database, MONITOR_ID, tables, last_txn]))
            }
        };
        self.setup_id = self.request(name, params)?;
        self.phase = Phase::Monitor(method);
        Ok(())
    }

    fn ready(&mut self, update: Option<Update>) -> Result<(), SessionError> {
        self.phase = Phase::Ready;
        self.outbox.push(Event::Up, self.replica);
        if let Some(update) = update {
            self.outbox.push(Event::Update(update), self.replica);
        }
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.map_or("null", RawValue::get))
}

/// RFC 7047 section 4.1.3: a result or an error for each operation up to the first that failed, null for those after
/// it, and one error more if all went well but the commit.
fn transact_reply(
    request: &Request,
    database: &str,
    result: Option<&RawValue>,
    error: Option<OvsdbError>,
) -> Result<Vec<OpResult>, TransactError> {
    if let Some(OvsdbError { error, details }) = error {
        return Err(TransactError::Refused { database: database.into(), error, details });
    }
    let replies: Vec<Option<OpReply>> =
        parse(result).map_err(|error| TransactError::Reply { why: error.to_string() })?;
    let operations = &request.operations;
    let mut results = Vec::with_capacity(operations.len());
    for (i, reply) in replies.into_iter().enumerate() {
        let reply = reply.ok_or_else(|| TransactError::Reply { why: format!("operation {} has no result", i + 1) })?;
        let details = reply.details.unwrap_or_default();
        match (reply.error, operations.get(i)) {
            (Some(error), Some(operation)) => {
                let (count, operation) = (operations.len(), operation.describe());
                return Err(TransactError::Operation { index: i + 1, count, operation, error, details });
            }
            (Some(error), None) => {
                return Err(TransactError::Commit { operations: request.describe(), error, details });
            }
            (None, Some(_)) => results.push(OpResult {
                uuid: reply.uuid.and_then(|atom| atom.as_uuid()),
                count: reply.count,
                rows: reply.rows.unwrap_or_default(),
            }),
            (None, None) => return Err(TransactError::Reply { why: "more results than operations".into() }),
        }
    }
    if results.len() < operations.len() {
        return Err(TransactError::Reply { why: "fewer results than operations".into() });
    }
    Ok(results)
}
