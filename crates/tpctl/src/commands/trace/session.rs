//! Real traces: a command id under a lease, a packet sent by the host that has the port, and what hosts report of it.
//!
//! Everything that a session writes is under one lease, which it revokes at its end; if it is killed, the lease ends by itself.

use super::{
    join::{self, Joined, Report},
    world::World,
};
use crate::{commands::Context, print};
use anyhow::{Context as _, Result, bail};
use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    num::NonZeroU16,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout_at};
use tuplenet_model::{
    entity::SwitchPortRef,
    name::Name,
    trace::{InjectRequest, TraceEvent, TraceRecord, TraceStart, path, to_hex},
};
use tuplenet_store::{
    Compare, Op, Range, StoreError, Txn,
    client::{EventKind, WatchEvent},
};

/// How long what a killed session wrote stays.
const LEASE: Duration = Duration::from_secs(30);
/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(8);
/// How often another id is tried if somebody else has one.
const TRIES: u32 = 64;
/// The most reports of one packet that are kept: far above any network, so that a loop ends nobody's memory.
const REPORTS: usize = 100_000;

/// Traces that run together.
pub struct Session<'a> {
    context: &'a Context,
    lease: i64,
    /// The next command id to try. They begin anywhere and are used once: packets of a trace that ended a moment ago, ours or another's, may still
    /// be on their way in its colour.
    next_id: Cell<NonZeroU16>,
}

/// What is sent.
pub struct Shot<'a> {
    /// From where.
    pub from: &'a SwitchPortRef,
    /// The host that has that port.
    pub chassis: &'a Name,
    /// The frame.
    pub frame: &'a [u8],
}

impl<'a> Session<'a> {
    /// Begins.
    pub async fn begin(context: &'a Context) -> Result<Self> {
        let (lease, _) = context.store.client().lease_grant(LEASE).await?;
        let random = u16::try_from(RandomState::new().hash_one(lease) >> 48)?;
        Ok(Self { context, lease, next_id: Cell::new(NonZeroU16::new(random).unwrap_or(NonZeroU16::MIN)) })
    }

    /// Renews the lease for as long as it is polled; returns only with an error.
    pub async fn keep(&self) -> StoreError {
        loop {
            sleep(RENEW).await;
            match self.context.store.client().keep_alive(self.lease).await {
                Err(error) if !error.is_unreachable() => return error,
                _ => {}
            }
        }
    }

    /// Takes away all that was written.
    pub async fn end(self) {
        if let Err(error) = self.context.store.client().lease_revoke(self.lease).await {
            let seconds = LEASE.as_secs();
            print::tell(&format!("note: what the trace wrote stays in the store for {seconds} s: {error}"));
        }
    }

    /// Sends a packet and collects what hosts report, until its path is known or time is over.
    pub async fn shoot(&self, world: &World, shot: &Shot<'_>, patience: Duration) -> Result<Joined> {
        let sent = Instant::now();
        let (id, revision) = self.claim(shot).await?;
        let below = self.at(&path::start(id)) + "/";
        let mut watch = self.context.store.client().watch(Range::prefix(&below), revision + 1);
        let deadline = tokio::time::Instant::now() + patience;
        let owner = |ip| world.chassis_at(ip);
        let mut reports: Vec<Report> = Vec::new();
        let joined = loop {
            let joined = join::join(shot.chassis, &reports, owner);
            if joined.missing.is_empty() && !reports.is_empty() {
                break joined;
            }
            let Ok(batch) = timeout_at(deadline, watch.next()).await else { break joined };
            for event in batch.context("cannot follow the trace")?.events {
                reports.extend(self.read(event, &below, sent.elapsed())?);
            }
            if reports.len() > REPORTS {
                bail!(
                    "more than {REPORTS} reports of one packet: it goes round and round, or another tool uses the id {id}"
                );
            }
        };
        self.forget(id, shot.chassis).await;
        Ok(joined)
    }

    /// Takes a free command id and asks the host for the packet, in one transaction. What is reported comes after its revision.
    async fn claim(&self, shot: &Shot<'_>) -> Result<(NonZeroU16, i64)> {
        let SwitchPortRef { ls, lsp } = shot.from.clone();
        let start = serde_json::to_vec(&TraceStart { ls: ls.clone(), lsp: lsp.clone() })?;
        let packet = to_hex(shot.frame);
        let inject = serde_json::to_vec(&InjectRequest { ls, lsp, packet })?;
        for _ in 0..TRIES {
            let id = self.next_id.get();
            self.next_id.set(id.checked_add(1).unwrap_or(NonZeroU16::MIN));
            let key = self.at(&path::start(id));
            let txn = Txn::new()
                .when(Compare::absent(&key))
                .then(Op::put_with_lease(&key, start.clone(), self.lease))
                .then(Op::put_with_lease(&self.at(&path::inject(shot.chassis, id)), inject.clone(), self.lease));
            let reply = self.context.store.client().txn(txn).await?;
            if reply.succeeded {
                return Ok((id, reply.revision));
            }
        }
        bail!("{TRIES} ids in a row are in use by other traces: try again")
    }

    /// What an event of the watch says.
    fn read(&self, event: WatchEvent, below: &str, known: Duration) -> Result<Option<Report>> {
        if event.kind == EventKind::Delete {
            bail!("the trace was taken out of the store while it ran: try again");
        }
        let rest = event.kv.key.strip_prefix(below).unwrap_or_default();
        let place =
            rest.split_once('/').and_then(|(chassis, n)| Some((chassis.parse::<Name>().ok()?, n.parse().ok()?)));
        let (Some((chassis, number)), Ok(record)) = (place, serde_json::from_slice::<TraceRecord>(&event.kv.value))
        else {
            print::tell(&format!("warning: not understood: {}", self.context.store.path(&event.kv.key)));
            return Ok(None);
        };
        if record.event == TraceEvent::Refused {
            bail!("{chassis} did not send the packet: {}", record.text.as_deref().unwrap_or("it does not say why"));
        }
        Ok(Some(Report { chassis, number, record, known }))
    }

    /// Takes away what one trace wrote, so that many after each other leave nothing that grows. The end of the session does it as well.
    async fn forget(&self, id: NonZeroU16, chassis: &Name) {
        let start = self.at(&path::start(id));
        let txn = Txn::new()
            .then(Op::delete(&start))
            .then(Op::delete_prefix(&format!("{start}/")))
            .then(Op::delete(&self.at(&path::inject(chassis, id))));
        let _ = self.context.store.client().txn(txn).await;
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.context.store.root())
    }
}
