//! The table of neighbours: who is known or asked for, when each is due, and the packets that wait, counted and bounded.

use super::{Eth, Key, Port};
use crate::core::stats::Stats;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Instant,
};
use tuplenet_model::name::Name;

/// Packets that wait for one neighbour, and in all.
pub const MAX_HELD_EACH: usize = 16;
pub const MAX_HELD: usize = 1_024;
pub const MAX_HELD_BYTES: usize = 2 << 20;

/// A packet that waits.
#[derive(Debug)]
pub struct Held {
    pub port: Port,
    pub frame: bytes::Bytes,
}

/// A neighbour, or who may be one.
#[derive(Debug)]
pub struct Entry {
    /// Whose packet wanted it first: what is full is taken from who has most.
    pub source: Option<IpAddr>,
    /// Counts entries, to tell the older ones.
    born: u64,
    /// By which port of a router it is asked for, if that is known.
    pub port: Option<Port>,
    /// `None`: nobody has answered yet. Becomes known by [`Table::answer`] only.
    pub mac: Option<Eth>,
    /// When it last answered, by the clock on the wall.
    pub seen: u64,
    /// Questions since the last answer.
    pub asked: u8,
    /// Since the last answer all were asked, not only the known one.
    pub asked_all: bool,
    /// Somebody else says that it has the address.
    pub disputed: bool,
    /// The next dispute is not before this.
    pub calm: Option<Instant>,
    due: Instant,
    pub held: VecDeque<Held>,
}

impl Entry {
    /// One that nothing is known of.
    pub fn new(source: Option<IpAddr>, port: Option<Port>, due: Instant) -> Self {
        Self {
            source,
            born: 0,
            port,
            mac: None,
            seen: 0,
            asked: 0,
            asked_all: false,
            disputed: false,
            calm: None,
            due,
            held: VecDeque::new(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) due: BTreeSet<(Instant, Key)>,
    born: u64,
    /// Entries without an answer.
    pub(super) asked: usize,
    pub(super) held: usize,
    pub(super) held_bytes: usize,
}

impl Table {
    /// All, known or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those without an answer.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Those that are known, of a switch or of all.
    pub fn known(&self, ls: Option<&Name>) -> usize {
        self.entries.iter().filter(|((of, _), e)| e.mac.is_some() && ls.is_none_or(|ls| ls == of)).count()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }

    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// A new one.
    pub fn add(&mut self, key: Key, entry: Entry) {
        self.born += 1;
        self.asked += usize::from(entry.mac.is_none());
        self.due.insert((entry.due, key.clone()));
        self.entries.insert(key, Entry { born: self.born, ..entry });
    }

    /// Takes one out, and what waits for it.
    pub fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.due.remove(&(entry.due, key.clone()));
        if entry.mac.is_none() {
            self.asked = self.asked.saturating_sub(1);
        }
        self.let_go(&entry.held);
        Some(entry)
    }

    /// One answered; gives what waited for it.
    pub fn answer(&mut self, key: &Key, mac: Eth) -> Option<VecDeque<Held>> {
        let entry = self.entries.get_mut(key)?;
        if entry.mac.replace(mac).is_none() {
            self.asked = self.asked.saturating_sub(1);
        }
        let held = std::mem::take(&mut entry.held);
        self.let_go(&held);
        Some(held)
    }

    fn let_go(&mut self, held: &VecDeque<Held>) {
        self.held = self.held.saturating_sub(held.len());
        let bytes: usize = held.iter().map(|held| held.frame.len()).sum();
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// Which is due next, and when.
    pub fn due(&self) -> Option<(Instant, Key)> {
        self.due.first().cloned()
    }

    pub fn schedule(&mut self, key: &Key, at: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.due.remove(&(entry.due, key.clone()));
            entry.due = at;
            self.due.insert((at, key.clone()));
        }
    }

    /// Lets a packet wait, for which older ones may have to go.
    pub fn hold(&mut self, key: &Key, held: Held, stats: &mut Stats) {
        let size = held.frame.len();
        let over = |all: &Self| all.held >= MAX_HELD || all.held_bytes + size > MAX_HELD_BYTES;
        while self.held > 0 && over(self) {
            self.drop_held(None, stats);
        }
        if over(self) {
            stats.neighbour_packets_dropped += 1;
            return;
        }
        if self.entries.get(key).is_some_and(|entry| entry.held.len() >= MAX_HELD_EACH) {
            self.drop_held(Some(key.clone()), stats);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.held.push_back(held);
            self.held += 1;
            self.held_bytes += size;
            stats.neighbour_packets_held += 1;
        }
    }

    /// Drops the oldest packet of a neighbour, or of who has most of them.
    fn drop_held(&mut self, key: Option<Key>, stats: &mut Stats) {
        let key = key.or_else(|| self.oldest_of_most(|_, entry| entry.held.len()));
        let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) else {
            // Counted wrong: begin anew rather than look for ever.
            (self.held, self.held_bytes) = (0, 0);
            return;
        };
        if let Some(held) = entry.held.pop_front() {
            self.held = self.held.saturating_sub(1);
            self.held_bytes = self.held_bytes.saturating_sub(held.frame.len());
            stats.neighbour_packets_dropped += 1;
        }
    }

    /// The oldest entry of who has most of a kind.
    pub fn crowding(&self, kind: impl Fn(&Key, &Entry) -> bool) -> Option<Key> {
        self.oldest_of_most(|key, entry| kind(key, entry).into())
    }

    /// Where each entry weighs something or nothing: the oldest that weighs something, of the source whose entries weigh most.
    fn oldest_of_most(&self, weight: impl Fn(&Key, &Entry) -> usize) -> Option<Key> {
        let mut each: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        let weighty =
            || self.entries.iter().map(|(key, e)| (key, e, weight(key, e))).filter(|(.., weight)| *weight > 0);
        for (_, entry, weight) in weighty() {
            *each.entry(entry.source).or_default() += weight;
        }
        let (most, _) = each.into_iter().max_by_key(|(_, weight)| *weight)?;
        let oldest = weighty().filter(|(_, entry, _)| entry.source == most).min_by_key(|(_, entry, _)| entry.born);
        oldest.map(|(key, ..)| key.clone())
    }
}
