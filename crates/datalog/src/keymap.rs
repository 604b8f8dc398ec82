//! A map on the same parts as the row store, so that it too grows without a pause.

use crate::Row;
use crate::hash::hash_of;
use crate::ids::IdTable;
use crate::paged::Paged;

/// Values by key.
pub(crate) struct KeyMap<K, V> {
    entries: Paged<Option<(K, V)>>,
    ids: IdTable,
    free: Vec<u32>,
}

impl<K: Row, V> KeyMap<K, V> {
    pub(crate) fn new() -> Self {
        KeyMap { entries: Paged::new(), ids: IdTable::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    fn is(&self, id: u32, key: &K) -> bool {
        self.entries[id].as_ref().is_some_and(|(other, _)| other == key)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let id = self.ids.find(hash_of(key), |id| self.is(id, key))?;
        self.entries[id].as_ref().map(|(_, value)| value)
    }

    /// Sets the key's value; returns the one it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = hash_of(&key);
        if let Some(id) = self.ids.find(hash, |id| self.is(id, &key)) {
            return self.entries[id].replace((key, value)).map(|(_, old)| old);
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id] = Some((key, value));
                id
            }
            None => {
                self.entries.push(Some((key, value)));
                self.entries.len() as u32 - 1
            }
        };
        self.ids.insert(hash, id);
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        if self.ids.len() == 0 {
            return None; // as where nothing is contested: no key needs a hash
        }
        let entries = &self.entries;
        let id = self.ids.remove(hash_of(key), |id| entries[id].as_ref().is_some_and(|(other, _)| other == key))?;
        self.free.push(id);
        self.entries[id].take().map(|(_, value)| value)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.ids.bytes() + self.free.capacity() * 4
    }
}
