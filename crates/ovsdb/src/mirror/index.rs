//! Rows by something that should be unique and, half-way through an update or in a strange database, is not.

use crate::uuid::Uuid;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// From a key to the rows that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index<K: Ord>(BTreeMap<K, BTreeSet<Uuid>>);

impl<K: Ord> Default for Index<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Index<K> {
    /// Of the rows with this key, the one of lowest name.
    pub(super) fn first<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Uuid>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).and_then(BTreeSet::first).copied()
    }

    pub(super) fn insert(&mut self, key: K, row: Uuid) {
        self.0.entry(key).or_default().insert(row);
    }

    pub(super) fn remove(&mut self, key: &K, row: Uuid) {
        if let Some(rows) = self.0.get_mut(key) {
            rows.remove(&row);
            if rows.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Follows a key that a row had or has.
    pub(super) fn rename(&mut self, old: Option<&K>, new: Option<&K>, row: Uuid)
    where
        K: Clone,
    {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.remove(old, row);
        }
        if let Some(new) = new {
            self.insert(new.clone(), row);
        }
    }
}
