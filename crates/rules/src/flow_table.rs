//! The flow table as it should be: derived flows counted by their causes, and one flow per table, priority and match.
//!
//! A host may see 150,000 flows, so an entry is one block of bytes: the flow as OpenFlow encodes it.

use crate::{flow::FlowRow, output::FlowChange};
use bytes::{BufMut, Bytes, BytesMut};
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use tuplenet_openflow::{Action, Flow, Instruction, Match, action};

/// What a switch compares to tell flows apart (table, priority, match), then what it does (cookie, actions).
struct Entry {
    bytes: Box<[u8]>,
    /// Where the key ends and the body begins.
    key_len: u16,
    /// Of the key: the table grows without looking at the bytes of all.
    hash: u32,
    /// How many derivations there are.
    count: u32,
    /// Whether this is the one that the switch should have, of those with its key.
    chosen: bool,
}

impl Entry {
    fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key_len)).unwrap_or_default()
    }
}

/// Where changes are told, if somebody asks.
type Told<'a> = Option<&'a mut Vec<FlowChange>>;

/// The desired flows.
#[derive(Default)]
pub struct FlowTable {
    entries: HashTable<Entry>,
    chosen: usize,
    scratch: BytesMut,
}

impl FlowTable {
    /// How many flows the switch should have.
    pub fn len(&self) -> usize {
        self.chosen
    }

    /// All flows that the switch should have.
    pub fn iter(&self) -> impl Iterator<Item = Flow> + '_ {
        self.entries.iter().filter(|e| e.chosen).filter_map(|e| decode(&e.bytes))
    }

    /// Counts derivations up and down, and tells what the switch has to change.
    ///
    /// Flows that come are taken before flows that go, so that a flow with new actions is replaced and never missing.
    pub fn apply(&mut self, delta: Vec<(FlowRow, i64)>) -> Vec<FlowChange> {
        let mut changes = Vec::with_capacity(delta.len());
        self.take(delta, &mut Some(&mut changes));
        changes
    }

    /// The same, where nobody asks what changes: while the network is loaded.
    pub fn load(&mut self, delta: Vec<(FlowRow, i64)>) {
        self.take(delta, &mut None);
    }

    fn take(&mut self, delta: Vec<(FlowRow, i64)>, changes: &mut Told<'_>) {
        let mut contested: Vec<Box<[u8]>> = Vec::new();
        let mut go = Vec::new();
        for (row, weight) in delta {
            if weight > 0 {
                self.come(row, weight, changes, &mut contested);
            } else {
                go.push((row, weight));
            }
        }
        for (row, weight) in go {
            self.go(row, weight, changes, &mut contested);
        }
        contested.sort_unstable();
        contested.dedup();
        for key in contested {
            let change = self.settle(&key);
            if let Some(told) = changes {
                told.extend(change);
            }
        }
    }

    fn come(&mut self, row: FlowRow, weight: i64, changes: &mut Told<'_>, contested: &mut Vec<Box<[u8]>>) {
        let key_len = encode(&row, &mut self.scratch);
        let bytes: &[u8] = &self.scratch;
        let key = bytes.get(..usize::from(key_len)).unwrap_or_default();
        let short = short_hash(key);
        let hash = spread(short);
        if let Some(entry) = self.entries.find_mut(hash, |e| *e.bytes == *bytes) {
            entry.count = entry.count.saturating_add(clamp(weight));
            return;
        }
        let rival = self.entries.find(hash, |e| e.key() == key).is_some();
        let entry = Entry { bytes: bytes.into(), key_len, hash: short, count: clamp(weight), chosen: !rival };
        self.entries.insert_unique(hash, entry, |e| spread(e.hash));
        if rival {
            contested.push(key.into());
        } else {
            self.chosen += 1;
            if let Some(changes) = changes {
                changes.push(FlowChange::Set(to_flow(row)));
            }
        }
    }

    fn go(&mut self, row: FlowRow, weight: i64, changes: &mut Told<'_>, contested: &mut Vec<Box<[u8]>>) {
        let key_len = encode(&row, &mut self.scratch);
        let bytes: &[u8] = &self.scratch;
        let key = bytes.get(..usize::from(key_len)).unwrap_or_default();
        let hash = hash(key);
        let Ok(mut entry) = self.entries.find_entry(hash, |e| *e.bytes == *bytes) else {
            debug_assert!(false, "a flow goes that never came: {row:?}");
            return;
        };
        let left = entry.get().count.saturating_sub(clamp(weight));
        if left > 0 {
            entry.get_mut().count = left;
            return;
        }
        let (gone, _) = entry.remove();
        if gone.chosen {
            self.chosen -= 1;
        }
        if self.entries.find(hash, |e| e.key() == key).is_some() {
            contested.push(key.into());
        } else {
            // The last of its key; had it not been chosen, the one that was went just before, and left it to this one.
            if let Some(changes) = changes {
                changes.push(FlowChange::Delete { table: row.table, priority: row.priority, matching: row.matching });
            }
        }
    }

    /// Of several flows with one key the switch gets the least by its bytes: which one does not matter, that it is always the
    /// same one does.
    fn settle(&mut self, key: &[u8]) -> Option<FlowChange> {
        let hash = hash(key);
        let winner = self.entries.iter_hash(hash).filter(|e| e.key() == key).map(|e| &e.bytes).min()?.clone();
        let mut change = None;
        for entry in self.entries.iter_hash_mut(hash).filter(|e| e.key() == key) {
            let chosen = entry.bytes == winner;
            if chosen && !entry.chosen {
                self.chosen += 1;
                change = decode(&entry.bytes).map(FlowChange::Set);
            } else if !chosen && entry.chosen {
                self.chosen -= 1;
            }
            entry.chosen = chosen;
        }
        change
    }
}

fn clamp(weight: i64) -> u32 {
    u32::try_from(weight.unsigned_abs()).unwrap_or(u32::MAX)
}

fn hash(key: &[u8]) -> u64 {
    spread(short_hash(key))
}

fn short_hash(key: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

/// A hash table takes bits of both ends.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn to_flow(row: FlowRow) -> Flow {
    Flow {
        table: row.table,
        priority: row.priority,
        cookie: row.cookie,
        matching: row.matching,
        instructions: instructions(row.actions),
        ..Flow::default()
    }
}

fn instructions(actions: Vec<Action>) -> Vec<Instruction> {
    if actions.is_empty() { Vec::new() } else { vec![Instruction::ApplyActions(actions)] }
}

/// Returns where the body begins.
fn encode(row: &FlowRow, out: &mut BytesMut) -> u16 {
    out.clear();
    out.put_u8(row.table);
    out.put_u16(row.priority);
    row.matching.encode(out);
    let key_len = out.len();
    out.put_u64(row.cookie);
    let encoded = action::encode_list(&row.actions, out);
    debug_assert!(encoded.is_ok(), "a rule made an action that cannot be encoded: {encoded:?}");
    u16::try_from(key_len).unwrap_or(u16::MAX)
}

/// The inverse of [`encode`]; `None` only for bytes that it did not make.
fn decode(bytes: &[u8]) -> Option<Flow> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let table = bytes.split_to(1).first().copied()?;
    let priority = u16::from_be_bytes(bytes.split_to(2).as_ref().try_into().ok()?);
    let matching = Match::decode(&mut bytes).ok()?;
    let cookie = u64::from_be_bytes(bytes.split_to(8).as_ref().try_into().ok()?);
    let actions = action::decode_list(bytes).ok()?;
    Some(Flow { table, priority, cookie, matching, instructions: instructions(actions), ..Flow::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuplenet_openflow::field;

    fn row(cookie: u64) -> FlowRow {
        let matching = Match::new().with(field::IN_PORT, 7_u32);
        FlowRow { table: 3, priority: 9, cookie, matching, actions: Vec::new() }
    }

    /// One flow, derived for several objects.
    #[test]
    fn rivals_that_go_together_leave_nothing() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3], [2, 3, 1]] {
            let mut table = FlowTable::default();
            assert_eq!(table.apply(vec![(row(2), 1)]).len(), 1);
            let set = table.apply(vec![(row(3), 1), (row(1), 1)]);
            assert!(matches!(&set[..], [FlowChange::Set(flow)] if flow.cookie == 1), "{set:?}");
            let gone = table.apply(order.map(|cookie| (row(cookie), -1)).into());
            assert!(matches!(&gone[..], [FlowChange::Delete { table: 3, priority: 9, .. }]), "{order:?}: {gone:?}");
            assert_eq!((table.len(), table.iter().count()), (0, 0));
        }
    }
}
