//! Reading all flows of the switch, table by table, to compare them with what it should hold: once after connecting, and at every audit.
//!
//! Changes go on meanwhile. A flow that changed since the sweep began is left out of the comparison: the answer may be from before or after.

use super::{
    Command, Context, KeyHash, LAST_TABLE, Level, Phase, Queued, Switch, is_foreign, shadow::FlowKey,
    shadow::content_hash, shadow::hash_of,
};
use rustc_hash::FxHashSet;
use std::collections::{BTreeSet, VecDeque};
use tuplenet_openflow::Flow;

/// Why the flows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find out what the switch holds.
    Sync,
    /// To see whether it still holds what we gave it.
    Audit,
}

/// A sweep under way.
#[derive(Debug)]
pub struct Sweep {
    purpose: Purpose,
    /// Tables that are still to be read, the one being read first.
    tables: VecDeque<u8>,
    /// Keys that changed since the beginning, or that were about to.
    changed: FxHashSet<KeyHash>,
    /// Keys whose flow must be sent (again).
    need: FxHashSet<KeyHash>,
    /// Flows of ours that the switch has, right or not.
    ours: u64,
    missing: u64,
    different: u64,
    extra: u64,
    example: Option<String>,
}

impl Sweep {
    /// The flow of that key changes now.
    pub fn touched(&mut self, key: KeyHash) {
        self.changed.insert(key);
        self.need.remove(&key);
    }
    fn note(&mut self, what: &str, flow: impl std::fmt::Display) {
        if self.example.is_none() {
            self.example = Some(format!("{what}: {flow}"));
        }
    }
}

impl Switch {
    pub(super) fn start_sweep(&mut self, purpose: Purpose, cx: &mut Context<'_>) {
        let mut changed: FxHashSet<KeyHash> = self.queue.keys().copied().collect();
        if let Some(flight) = &self.flight {
            changed.extend(flight.keys());
        }
        self.sweep = Some(Sweep {
            purpose,
            tables: VecDeque::new(),
            changed,
            need: FxHashSet::default(),
            ours: 0,
            missing: 0,
            different: 0,
            extra: 0,
            example: None,
        });
        self.ask(Command::ReadTables, cx);
    }

    /// These tables hold flows; those that should are read, too, since what is missing shows there.
    pub(super) fn on_tables(&mut self, tables: &[u8], cx: &mut Context<'_>) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let all: BTreeSet<u8> =
            tables.iter().copied().filter(|t| *t <= LAST_TABLE).chain(self.shadow.tables()).collect();
        sweep.tables = all.into_iter().collect();
        self.read_next(sweep, cx);
    }

    fn read_next(&mut self, sweep: Sweep, cx: &mut Context<'_>) {
        match sweep.tables.front() {
            Some(table) => {
                self.ask(Command::ReadFlows(*table), cx);
                self.sweep = Some(sweep);
            }
            None => self.finish_sweep(sweep, cx),
        }
    }

    pub(super) fn on_flows(&mut self, table: u8, flows: &[Flow], cx: &mut Context<'_>) {
        let Some(mut sweep) = self.sweep.take() else { return };
        if sweep.tables.front() != Some(&table) {
            self.sweep = Some(sweep);
            return;
        }
        let mut seen: FxHashSet<KeyHash> = FxHashSet::with_capacity_and_hasher(flows.len(), Default::default());
        let mut extra = Vec::new();
        for flow in flows {
            let key = hash_of(flow);
            seen.insert(key);
            if sweep.changed.contains(&key) {
                continue;
            }
            let wanted = self.shadow.get(table, key);
            sweep.ours += u64::from(wanted.is_some());
            match wanted {
                Some(content) if content == content_hash(flow) => {}
                // The switch refused the form that it should have: that is no drift, and is tried again in its time.
                Some(_) if self.aside.waits(key) => {}
                Some(_) => {
                    sweep.different += 1;
                    sweep.note("not as it should be", flow);
                    sweep.need.insert(key);
                }
                None if is_foreign(flow) => {}
                None => {
                    sweep.extra += 1;
                    sweep.note("should not be there", flow);
                    extra.push(FlowKey::of(flow));
                }
            }
        }
        for key in self.shadow.keys(table) {
            if !seen.contains(&key) && !sweep.changed.contains(&key) && !self.aside.waits(key) {
                sweep.missing += 1;
                sweep.need.insert(key);
            }
        }
        for key in extra {
            self.queue.insert(key.hash(), Queued::Delete(key));
        }
        sweep.tables.pop_front();
        self.read_next(sweep, cx);
    }

    fn finish_sweep(&mut self, mut sweep: Sweep, cx: &mut Context<'_>) {
        let need = std::mem::take(&mut sweep.need);
        // Flows of another version of the agent forward until ours replace them, all at once.
        let empty = sweep.ours == 0 && sweep.extra == 0;
        if sweep.purpose == Purpose::Sync && empty && need.len() > super::bundle::PIECE {
            // What was deleted or changed meanwhile waits in the queue already.
            self.backlog = need.iter().copied().filter(|key| !self.queue.contains_key(key)).collect();
        } else {
            self.requeue(&need, cx);
        }
        let wrong = sweep.missing + sweep.different + sweep.extra;
        let numbers = format!(
            "{} missing, {} different, {} that should not be there",
            sweep.missing, sweep.different, sweep.extra
        );
        match sweep.purpose {
            Purpose::Sync => {
                cx.stats.syncs += 1;
                cx.say(Level::Info, format!("compared {} desired flows with the switch: {numbers}", self.shadow.len()));
                self.phase = Phase::Ready;
                self.next_audit = self.audit_interval.map(|i| cx.now + i);
                self.flush(cx);
            }
            Purpose::Audit => {
                cx.stats.audits += 1;
                cx.stats.drift_missing += sweep.missing;
                cx.stats.drift_different += sweep.different;
                cx.stats.drift_extra += sweep.extra;
                if wrong > 0 {
                    let example = sweep.example.take().or_else(|| self.missing_example(&need));
                    let example = example.map_or(String::new(), |e| format!(" ({e})"));
                    cx.say(Level::Warn, format!("audit: the switch has drifted, {numbers}{example}: repairing it"));
                }
                self.next_audit = self.audit_interval.map(|i| cx.now + i);
                self.flush(cx);
            }
        }
    }

    fn missing_example(&self, need: &FxHashSet<KeyHash>) -> Option<String> {
        need.iter().find_map(|key| match self.queue.get(key) {
            Some(Queued::Set(flow)) => Some(format!("missing: {flow}")),
            _ => None,
        })
    }
}
