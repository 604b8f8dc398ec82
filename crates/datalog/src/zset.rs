//! Z-sets in transit: rows with weights, not yet or no longer in a store.
//!
//! A Z-set maps rows to integers: +1 for a row that comes, -1 for one that goes, and any other number for a row that is
//! derived several times. Between two operators it is a list in which a row may occur more than once; [`consolidate`]
//! adds these up and drops what cancels.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashTable;

use crate::Row;
use crate::hash::hash_of;
use crate::stream::{Shared, Sink};

/// Up to this many rows, comparing all pairs is faster than hashing.
const FEW: usize = 8;

/// Capacity that a buffer may keep between steps: enough for the change of an object or two. Every operator has buffers, and what a bulk load made
/// of them would stay: half a megabyte where this was 1,024.
pub(crate) const KEEP: usize = 64;

/// Adds up the weights of equal rows and drops rows of weight zero. The first occurrence decides a row's place.
pub(crate) fn consolidate<T: Row>(rows: &mut Vec<(T, i64)>) {
    if rows.len() <= FEW {
        let mut kept = 0;
        for next in 0..rows.len() {
            match (0..kept).find(|&earlier| rows[earlier].0 == rows[next].0) {
                Some(earlier) => rows[earlier].1 = rows[earlier].1.wrapping_add(rows[next].1),
                None => {
                    rows.swap(kept, next);
                    kept += 1;
                }
            }
        }
        rows.truncate(kept);
    } else {
        let mut places: HashTable<u32> = HashTable::with_capacity(rows.len());
        let mut kept = 0;
        for next in 0..rows.len() {
            let hash = hash_of(&rows[next].0);
            match places.find(hash, |&place| rows[place as usize].0 == rows[next].0) {
                Some(&place) => rows[place as usize].1 = rows[place as usize].1.wrapping_add(rows[next].1),
                None => {
                    rows.swap(kept, next);
                    places.insert_unique(hash, kept as u32, |&place| hash_of(&rows[place as usize].0));
                    kept += 1;
                }
            }
        }
        rows.truncate(kept);
    }
    rows.retain(|(_, weight)| *weight != 0);
}

/// The changes that wait for an operator with state. The first one puts the operator on the list of those to run.
pub(crate) struct Buffer<T> {
    rows: RefCell<Vec<(T, i64)>>,
    node: u32,
    shared: Rc<Shared>,
}

impl<T: Row> Buffer<T> {
    pub(crate) fn new(node: u32, shared: Rc<Shared>) -> Self {
        Buffer { rows: RefCell::new(Vec::new()), node, shared }
    }

    /// All that waits, not consolidated. Give the vector back with [`Buffer::recycle`].
    pub(crate) fn take(&self) -> Vec<(T, i64)> {
        self.rows.take()
    }

    /// Keeps the vector's memory for the next step, unless a bulk load made it large.
    pub(crate) fn recycle(&self, mut rows: Vec<(T, i64)>) {
        if rows.capacity() <= KEEP {
            rows.clear();
            self.rows.replace(rows);
        }
    }
}

impl<T: Row> Sink<T> for Buffer<T> {
    fn push(&self, row: T, weight: i64) {
        let mut rows = self.rows.borrow_mut();
        if rows.is_empty() {
            self.shared.mark(self.node);
        }
        rows.push((row, weight));
    }

    fn push_ref(&self, row: &T, weight: i64) {
        self.push(row.clone(), weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consolidation_adds_weights_and_drops_zeros() {
        for repeat in [1, 40] {
            let mut rows = Vec::new();
            for _ in 0..repeat {
                rows.extend([("a", 1), ("b", 2), ("a", -1), ("c", 0), ("b", -1)]);
            }
            consolidate(&mut rows);
            assert_eq!(rows, [("b", repeat)]);
        }
    }
}
