//! The handle to a switch: what can be asked of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Config;
use super::error::{Refused, RequestError};
use super::events::Counts;
use super::registry::{Outcome, Registry};
use super::task::Chunk;
use crate::message::{
    FlowCounters, FlowFilter, FlowMonitor, FlowStats, FlowUpdate, GroupDesc, GroupMod, GroupStats, Message,
    MeterConfig, MultipartReply, MultipartRequest, Port, PortStats, ReplyBody, TableStats, TlvMap, TlvTable,
    TlvTableCommand, TlvTableMod, readable_flows,
};
use crate::port;

/// A handle to the switch, cheap to clone. The connection ends when the last one is dropped.
///
/// Requests of different clones, and of one clone at the same time, are under way together; the switch does them in the
/// order in which they were sent. Dropping a request's future ends the waiting, not what was sent.
#[derive(Clone)]
pub struct Switch {
    pub(super) config: Arc<Config>,
    pub(super) registry: Arc<Registry>,
    chunks: mpsc::Sender<Chunk>,
    counts: Arc<Counts>,
}

/// Counts since [`super::connect`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packet-ins dropped because the listener was slow.
    pub packet_ins_dropped: u64,
    /// Messages and flows left out because they could not be read.
    pub unreadable: u64,
    /// Connections made.
    pub connections: u64,
}

impl Switch {
    pub(super) fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        chunks: mpsc::Sender<Chunk>,
        counts: Arc<Counts>,
    ) -> Self {
        Switch { config, registry, chunks, counts }
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.registry.is_up()
    }

    /// Counts for metrics.
    pub fn stats(&self) -> Stats {
        Stats {
            packet_ins_dropped: self.counts.packet_ins_dropped.load(Ordering::Relaxed),
            unreadable: self.counts.unreadable.load(Ordering::Relaxed),
            connections: self.counts.connections.load(Ordering::Relaxed),
        }
    }

    /// Hands bytes to the writer; waits while its queue is full.
    pub(super) async fn push(&self, epoch: u64, bytes: Bytes) -> Result<(), RequestError> {
        self.chunks.send(Chunk { epoch, bytes }).await.map_err(|_| self.registry.disconnected())
    }

    /// Sends `message` and waits for the switch's answer: all parts of it, in order.
    ///
    /// A message that has no answer of its own (flow mod, group mod, packet-out, ...) is followed by a barrier: success
    /// means that the switch has done it, and the answer is empty.
    ///
    /// # Errors
    /// See [`RequestError`]; a refusal by the switch is [`RequestError::Refused`].
    pub async fn request(&self, message: Message) -> Result<Vec<Message>, RequestError> {
        let parts = self.ask(&message).await?;
        parts.into_iter().map(|part| read(part, &message)).collect()
    }

    /// Sends a message, and a barrier if it has no answer of its own; returns the undecoded parts of its own answer.
    pub(super) async fn ask(&self, message: &Message) -> Result<Vec<Bytes>, RequestError> {
        let after = self.config.request_timeout;
        let Ok(done) = timeout(after, self.ask_for_ever(message)).await else {
            return Err(RequestError::Timeout { request: message.to_string(), after });
        };
        done
    }

    async fn ask_for_ever(&self, message: &Message) -> Result<Vec<Bytes>, RequestError> {
        let own_reply = message.has_reply();
        let n = if own_reply { 1 } else { 2 };
        let mut waiter = self.registry.register(n, n - 1)?;
        let mut out = BytesMut::new();
        let mut encode = |message: &Message, xid| {
            let named = |source| RequestError::Encode { request: message.to_string(), source };
            message.encode(xid, &mut out).map_err(named)
        };
        encode(message, waiter.base)?;
        if !own_reply {
            encode(&Message::BarrierRequest, waiter.base + 1)?;
        }
        self.push(waiter.epoch, out.freeze()).await?;
        let parts = self.outcome(waiter.done().await, message, |_| (message.to_string(), None))?;
        Ok(if own_reply { parts } else { Vec::new() })
    }

    /// The parts of an answer, or the error; `refused` tells which message an xid belongs to, and its place in a
    /// bundle.
    pub(super) fn outcome(
        &self,
        outcome: Outcome,
        request: &dyn fmt::Display,
        refused: impl FnOnce(u32) -> (String, Option<usize>),
    ) -> Result<Vec<Bytes>, RequestError> {
        match outcome {
            Outcome::Answer(parts) => Ok(parts),
            Outcome::Refused(xid, error) => {
                let (request, index) = refused(xid);
                Err(RequestError::Refused(Box::new(Refused { error, request, index })))
            }
            Outcome::Disconnected(why) => Err(RequestError::Disconnected(why)),
            Outcome::TooLarge => {
                Err(RequestError::TooLarge { request: request.to_string(), limit: self.config.max_reply_bytes })
            }
        }
    }

    /// Sends `message` without waiting for anything but room in the queue. If the switch refuses it, the error comes as
    /// [`super::Event::Message`].
    ///
    /// # Errors
    /// If there is no connection, or the message is too long.
    pub async fn send(&self, message: Message) -> Result<(), RequestError> {
        let (epoch, xid) = self.registry.xid()?;
        let mut out = BytesMut::new();
        if let Err(source) = message.encode(xid, &mut out) {
            return Err(RequestError::Encode { request: message.to_string(), source });
        }
        self.push(epoch, out.freeze()).await
    }

    /// Waits until the switch has done all that was sent before.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn barrier(&self) -> Result<(), RequestError> {
        self.request(Message::BarrierRequest).await.map(drop)
    }

    /// Asks a multipart question and puts the entries of all parts together.
    async fn collect<T>(
        &self,
        request: MultipartRequest,
        entries: impl Fn(ReplyBody) -> Result<Vec<T>, ReplyBody>,
    ) -> Result<Vec<T>, RequestError> {
        let message = Message::MultipartRequest(request);
        let mut out = Vec::new();
        for part in self.ask(&message).await? {
            match read(part, &message)? {
                Message::MultipartReply(reply) => match entries(reply.body) {
                    Ok(mut more) => out.append(&mut more),
                    Err(_) => return Err(wrong(&message.to_string(), "an answer to another question")),
                },
                other => return Err(wrong(&message.to_string(), &other.to_string())),
            }
            // A part holds hundreds of flows, and an answer hundreds of parts: let others run in between.
            tokio::task::yield_now().await;
        }
        Ok(out)
    }

    /// The flows of one table or of all, restricted to those whose cookie equals the first of `cookie` in the bits of
    /// the second.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn flows(&self, table: Option<u8>, cookie: Option<(u64, u64)>) -> Result<Vec<FlowStats>, RequestError> {
        let mut filter = FlowFilter::default();
        if let Some(table) = table {
            filter.table = table;
        }
        (filter.cookie, filter.cookie_mask) = cookie.unwrap_or((0, 0));
        self.flows_where(filter).await
    }

    /// The flows that `filter` lets through. One that cannot be read is left out, logged, and counted in
    /// [`Stats::unreadable`].
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn flows_where(&self, filter: FlowFilter) -> Result<Vec<FlowStats>, RequestError> {
        let message = Message::MultipartRequest(MultipartRequest::Flows(filter));
        let mut out = Vec::new();
        for part in self.ask(&message).await? {
            match Message::decode(part.clone()) {
                Ok((_, Message::MultipartReply(MultipartReply { body: ReplyBody::Flows(mut flows), .. }))) => {
                    out.append(&mut flows);
                }
                Ok((_, other)) => return Err(wrong(&message.to_string(), &other.to_string())),
                Err(_) => {
                    let (mut flows, errors) = readable_flows(part);
                    out.append(&mut flows);
                    for error in errors {
                        self.counts.unreadable.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%error, "a flow of the switch cannot be read and is left out");
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(out)
    }

    /// All groups with their buckets.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn groups(&self) -> Result<Vec<GroupDesc>, RequestError> {
        self.collect(MultipartRequest::ALL_GROUPS, |body| match body {
            ReplyBody::Groups(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// All ports, the bridge's own among them.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ports(&self) -> Result<Vec<Port>, RequestError> {
        self.collect(MultipartRequest::ALL_PORTS, |body| match body {
            ReplyBody::Ports(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// All meters with their bands.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn meters(&self) -> Result<Vec<MeterConfig>, RequestError> {
        self.collect(MultipartRequest::ALL_METERS, |body| match body {
            ReplyBody::Meters(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// Number of flows and look-ups of each table that the switch has.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn table_stats(&self) -> Result<Vec<TableStats>, RequestError> {
        self.collect(MultipartRequest::Tables, |body| match body {
            ReplyBody::Tables(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// Counters of all ports.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn port_stats(&self) -> Result<Vec<PortStats>, RequestError> {
        self.collect(MultipartRequest::PortStats(port::ANY), |body| match body {
            ReplyBody::PortStats(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// Counters of all groups.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_stats(&self) -> Result<Vec<GroupStats>, RequestError> {
        self.collect(MultipartRequest::GroupStats(GroupMod::ALL), |body| match body {
            ReplyBody::GroupStats(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// Number of flows that `filter` lets through, and their counters added up.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn aggregate(&self, filter: FlowFilter) -> Result<FlowCounters, RequestError> {
        let parts = self.collect(MultipartRequest::Aggregate(filter), |body| match body {
            ReplyBody::Aggregate(counters) => Ok(vec![counters]),
            other => Err(other),
        });
        parts.await?.pop().ok_or_else(|| wrong("the request for an aggregate", "nothing"))
    }

    /// Begins to monitor flows, or ends it. Returns the flows that are there, if asked for; later updates come as
    /// [`super::Event::Message`] with [`ReplyBody::FlowUpdates`]. To be asked for again after a reconnection.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn monitor(&self, monitor: FlowMonitor) -> Result<Vec<FlowUpdate>, RequestError> {
        self.collect(MultipartRequest::FlowMonitor(monitor), |body| match body {
            ReplyBody::FlowUpdates(all) => Ok(all),
            other => Err(other),
        })
        .await
    }

    /// The map of tunnel options.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn tlv_table(&self) -> Result<TlvTable, RequestError> {
        match self.request(Message::TlvTableRequest).await?.pop() {
            Some(Message::TlvTableReply(table)) => Ok(table),
            other => Err(wrong("NXT_TLV_TABLE_REQUEST", &other.map_or("nothing".to_owned(), |m| m.to_string()))),
        }
    }

    /// Adds to, deletes from or clears the map of tunnel options: all of `maps` or nothing.
    ///
    /// # Errors
    /// See [`RequestError`]. Adding an option that is mapped already is refused, even if it is the same.
    pub async fn tlv_table_mod(&self, command: TlvTableCommand, maps: Vec<TlvMap>) -> Result<(), RequestError> {
        self.request(Message::TlvTableMod(TlvTableMod { command, maps })).await.map(drop)
    }

    /// Forgets all tracked connections of a zone.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn forget_connections(&self, zone: u16) -> Result<(), RequestError> {
        self.request(Message::CtFlushZone(zone)).await.map(drop)
    }

    /// How long to wait for an answer to work of `n` messages: a slow machine does thousands a second.
    pub(super) fn timeout_for(&self, n: usize) -> Duration {
        self.config.request_timeout + Duration::from_micros(500).saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))
    }
}

fn read(part: Bytes, request: &Message) -> Result<Message, RequestError> {
    match Message::decode(part) {
        Ok((_, answer)) => Ok(answer),
        Err(source) => Err(RequestError::Decode { request: request.to_string(), source }),
    }
}

fn wrong(request: &str, answer: &str) -> RequestError {
    RequestError::WrongAnswer { request: request.to_owned(), answer: answer.to_owned() }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Switch({}, connected: {})", self.config.target, self.is_connected())
    }
}
