//! What the switch should hold, as hashes: enough to say of a flow that the switch reports whether it is right, in 16 bytes a flow. The flows
//! themselves are with the rules, who make them again when one is missing.
//!
//! Two flows whose keys share a 64-bit hash would hide each other from the audit; at a million flows that is one chance in 30 million.

use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};
use tuplenet_openflow::{Flow, Match};

/// What tells two flows of a switch apart (OpenFlow 1.5.1, section 6.4): the same key means the same flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The table.
    pub table: u8,
    /// The priority.
    pub priority: u16,
    /// The match.
    pub matching: Match,
}

/// Hash of a key.
pub type KeyHash = u64;

impl FlowKey {
    /// The key of a flow.
    pub fn of(flow: &Flow) -> Self {
        Self { table: flow.table, priority: flow.priority, matching: flow.matching.clone() }
    }
    /// Its hash.
    pub fn hash(&self) -> KeyHash {
        key_hash(self.table, self.priority, &self.matching)
    }
}

/// Hash of a flow's key.
pub fn hash_of(flow: &Flow) -> KeyHash {
    key_hash(flow.table, flow.priority, &flow.matching)
}

// SipHash, not the faster FxHash: here equal hashes are taken for equal keys, so they must be as good as random.
fn key_hash(table: u8, priority: u16, matching: &Match) -> KeyHash {
    let mut hasher = std::hash::DefaultHasher::new();
    (table, priority, matching).hash(&mut hasher);
    hasher.finish()
}

/// Hash of all that an equal key leaves open: what the flow does, and how it is kept.
pub fn content_hash(flow: &Flow) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    (flow.cookie, flow.idle_timeout, flow.hard_timeout, flow.importance, flow.flags).hash(&mut hasher);
    super::normal::instructions(&flow.instructions).hash(&mut hasher);
    hasher.finish()
}

/// The desired flows, by table. See the module.
#[derive(Debug, Default)]
pub struct Shadow {
    tables: BTreeMap<u8, FxHashMap<KeyHash, u64>>,
}

impl Shadow {
    /// Forgets all, then holds these.
    pub fn fill(&mut self, flows: impl Iterator<Item = Flow>) {
        self.tables.clear();
        for flow in flows {
            self.set(&flow);
        }
    }
    /// Adds a flow, or replaces the one of its key.
    pub fn set(&mut self, flow: &Flow) {
        self.tables.entry(flow.table).or_default().insert(hash_of(flow), content_hash(flow));
    }
    /// Removes the flow of a key.
    pub fn remove(&mut self, key: &FlowKey) {
        if let Some(table) = self.tables.get_mut(&key.table) {
            table.remove(&key.hash());
        }
    }
    /// Content of the flow with that key.
    pub fn get(&self, table: u8, key: KeyHash) -> Option<u64> {
        self.tables.get(&table)?.get(&key).copied()
    }
    /// Keys of a table.
    pub fn keys(&self, table: u8) -> impl Iterator<Item = KeyHash> + '_ {
        self.tables.get(&table).into_iter().flat_map(|t| t.keys().copied())
    }
    /// Tables that hold flows.
    pub fn tables(&self) -> impl Iterator<Item = u8> + '_ {
        self.tables.iter().filter(|(_, flows)| !flows.is_empty()).map(|(table, _)| *table)
    }
    /// How many flows in all.
    pub fn len(&self) -> usize {
        self.tables.values().map(FxHashMap::len).sum()
    }
}
