//! What the store shows of a kind of things that this host knows, below a part of `status/<chassis>/`: brought to what is known at a bounded rate.

use crate::core::{
    Effect,
    records::{Outcome, Write},
    stats::Stats,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::{Duration, Instant},
};

/// Writes in a second, and at once.
const RATE: u32 = 20;
/// Pause before a write that failed, or that the store did not take, is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Keys that are minded: what others put there beyond stays.
const MAX_ROWS: usize = 16_384;

/// A value.
pub trait Shown: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// Whether the store may go on showing this where that is known: for what changes all the time and means little.
    fn will_do(&self, known: &Self) -> bool {
        self == known
    }
}

#[derive(Debug)]
struct Row<T> {
    /// That changed the key last; 0: there is no such key.
    revision: i64,
    stored: Option<T>,
    wanted: Option<T>,
    /// What is being written.
    sent: Option<Option<T>>,
    retry_at: Option<Instant>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self { revision: 0, stored: None, wanted: None, sent: None, retry_at: None }
    }
}

impl<T: Shown> Row<T> {
    fn is_right(&self) -> bool {
        match (&self.stored, &self.wanted) {
            (None, None) => self.revision == 0,
            (Some(stored), Some(wanted)) => stored.will_do(wanted),
            _ => false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ledger<T> {
    /// A time that is past.
    start: Instant,
    subtree: String,
    rows: BTreeMap<String, Row<T>>,
    /// Rows that are not right and wait for nothing but their turn.
    dirty: BTreeSet<String>,
    /// When the current second of writes began, and how many there were.
    spent: Option<(Instant, u32)>,
}

impl<T: Shown> Ledger<T> {
    /// Of that subtree, such as `status/hv1/neighbour/`. Knows nothing of the store.
    pub fn new(subtree: String, start: Instant) -> Self {
        Self { start, subtree, rows: BTreeMap::new(), dirty: BTreeSet::new(), spent: None }
    }

    /// Whether a path is of ours.
    pub fn owns(&self, path: &str) -> bool {
        path.starts_with(&self.subtree)
    }

    /// What the store says of a path: what is below the subtree, and its value.
    pub fn see<'a>(&mut self, path: &'a str, value: Option<&[u8]>, revision: i64) -> Option<(&'a str, T)> {
        let known = self.rows.contains_key(path);
        if !known && (value.is_none() || self.rows.len() >= MAX_ROWS) {
            return None;
        }
        let shown = value.and_then(|v| serde_json::from_slice::<T>(v).ok());
        let row = self.rows.entry(path.to_owned()).or_default();
        row.revision = if value.is_some() { revision } else { 0 };
        row.stored.clone_from(&shown);
        self.judge(path);
        Some((path.strip_prefix(&self.subtree)?, shown?))
    }

    /// What is to be shown from now on at a place below the subtree.
    pub fn want(&mut self, place: &str, shown: Option<T>) {
        let path = format!("{}{place}", self.subtree);
        if shown.is_none() && !self.rows.contains_key(&path) {
            return;
        }
        self.rows.entry(path.clone()).or_default().wanted = shown;
        self.judge(&path);
    }

    fn judge(&mut self, path: &str) {
        let Some(row) = self.rows.get(path) else { return };
        if row.is_right() {
            self.dirty.remove(path);
            if row.stored.is_none() && row.sent.is_none() {
                self.rows.remove(path);
            }
        } else if row.sent.is_none() {
            self.dirty.insert(path.to_owned());
        }
    }

    /// Sends what may be sent now.
    pub fn act(&mut self, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        let second = Duration::from_secs(1);
        let (begun, mut writes) = self.spent.filter(|(begun, _)| now < *begun + second).unwrap_or((now, 0));
        let turn: Vec<String> =
            self.dirty.iter().take(RATE.saturating_sub(writes) as usize + MAX_WAITING).cloned().collect();
        for path in turn {
            let Some(row) = self.rows.get_mut(&path) else { continue };
            if writes >= RATE {
                break;
            }
            if row.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let value = row.wanted.as_ref().and_then(|shown| serde_json::to_vec(shown).ok());
            row.sent = Some(row.wanted.clone());
            row.retry_at = None;
            self.dirty.remove(&path);
            writes += 1;
            stats.store_writes += 1;
            effects.push(Effect::Store(Write { path, expected: row.revision, value }));
        }
        self.spent = Some((begun, writes));
    }

    /// How a write ended.
    pub fn done(&mut self, path: &str, outcome: &Outcome, now: Instant) {
        let Some(row) = self.rows.get_mut(path) else { return };
        let Some(sent) = row.sent.take() else { return };
        match outcome {
            Outcome::Done(revision) => {
                row.revision = if sent.is_some() { *revision } else { 0 };
                row.stored = sent;
            }
            // What the key holds now, the mirror shows.
            Outcome::Conflict | Outcome::Failed(_) => row.retry_at = Some(now + RETRY),
        }
        self.judge(path);
    }

    /// When [`Ledger::act`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        let next = self
            .dirty
            .iter()
            .filter_map(|path| self.rows.get(path))
            .map(|row| row.retry_at.unwrap_or(self.start))
            .min()?;
        let full = self.spent.filter(|(_, writes)| *writes >= RATE).map(|(begun, _)| begun + Duration::from_secs(1));
        Some(full.map_or(next, |full| full.max(next)))
    }
}

/// Rows that wait to be tried again and are passed over in one turn.
const MAX_WAITING: usize = 64;
