//! The store of one relation: every row once, with its weight, and all indexes over it.
//!
//! A row has a small id; the set of rows, the indexes and the orders of `min_by` are structures over ids. One store
//! serves a relation and its `distinct` alike: the raw weight is kept, and each index says by its [`View`] whether it
//! sees that weight or, as a set, 1 where it is positive.
//!
//! A batch of changes is first consolidated against the stored rows themselves, then applied row by row, each row as a
//! transaction of its own:
//!
//! 1. `before`: joins of the store with itself, left side: Δleft ⋈ right_old;
//! 2. the row is linked into, or unlinked from, every index;
//! 3. `after`: all other joins: Δleft ⋈ right and left_new ⋈ Δright.
//!
//! DBSP (Budiu et al., VLDB 2023, section 4) gives the join of two changing relations as
//! Δ(a ⋈ b) = Δa ⋈ Δb + a ⋈ Δb + Δa ⋈ b. As each store applies its changes at its own place in the order, the other side
//! is seen either before or after its own change, and the term Δa ⋈ Δb is contained in one of the two others. So a join
//! keeps no state.
//!
//! Rows that come are applied before rows that go. A row that replaces another under the same key then never leaves the
//! key empty in between, and `semijoin`, `antijoin` and `min_by` need not withdraw and repeat all that hangs on it.

use std::cell::{OnceCell, Ref, RefCell};
use std::rc::Rc;

use crate::Row;
use crate::hash::hash_of;
use crate::ids::IdTable;
use crate::node::{Node, Statistics};
use crate::paged::Paged;
use crate::stream::{Shared, Sink, Stream};
use crate::weights::Weights;
use crate::zset::{Buffer, KEEP};

/// How an index reads weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum View {
    /// As they are.
    Bag,
    /// 1 where positive, else 0: the relation after `distinct`.
    Set,
}

impl View {
    pub(crate) fn weight(self, raw: i64) -> i64 {
        match self {
            View::Bag => raw,
            View::Set => i64::from(raw > 0),
        }
    }
}

/// The rows of a relation by id. A slot whose weight is 0 is free; its row is dropped when the slot is used again.
pub(crate) struct Rows<T> {
    rows: Paged<T>,
    weights: Weights,
    ids: IdTable,
    free: Vec<u32>,
    /// Rows of negative weight: removed more often than inserted, up to now.
    negative: usize,
}

/// A row that a batch changes.
struct Change {
    id: u32,
    hash: u64,
    /// While the batch is staged the weight before it, afterwards the difference.
    weight: i64,
}

impl<T: Row> Rows<T> {
    fn new() -> Self {
        Rows { rows: Paged::new(), weights: Weights::new(), ids: IdTable::new(), free: Vec::new(), negative: 0 }
    }

    pub(crate) fn row(&self, id: u32) -> &T {
        &self.rows[id]
    }

    /// The weight as inserted and removed, before any view.
    pub(crate) fn raw(&self, id: u32) -> i64 {
        self.weights.get(id)
    }

    /// The weight of a row, 0 if it is not stored.
    pub(crate) fn weight_of(&self, row: &T) -> i64 {
        self.ids.find(hash_of(row), |id| self.rows[id] == *row).map_or(0, |id| self.raw(id))
    }

    pub(crate) fn has_negative(&self) -> bool {
        self.negative > 0
    }

    fn stage(&mut self, row: T, weight: i64, changes: &mut Vec<Change>) {
        let hash = hash_of(&row);
        let rows = &self.rows;
        let id = match self.ids.find(hash, |id| rows[id] == row) {
            Some(id) => id,
            None => self.add(row, hash),
        };
        let before = self.weights.get(id);
        if !self.weights.mark(id, true) {
            changes.push(Change { id, hash, weight: before });
        }
        self.weights.set(id, before.wrapping_add(weight));
    }

    /// Stores a row that is known to be absent, with weight 0.
    fn add(&mut self, row: T, hash: u64) -> u32 {
        let id = match self.free.pop() {
            Some(id) => {
                self.rows[id] = row;
                id
            }
            None => {
                let id = self.rows.len() as u32;
                assert!(id < u32::MAX, "a relation holds more than 4,294,967,294 rows");
                self.rows.push(row);
                self.weights.push();
                id
            }
        };
        self.ids.insert(hash, id);
        id
    }

    /// Puts the weights back to what they were, turns the changes into differences, drops those that cancelled.
    fn settle(&mut self, changes: &mut Vec<Change>) {
        changes.retain_mut(|change| {
            let before = change.weight;
            change.weight = self.raw(change.id).wrapping_sub(before);
            self.weights.set(change.id, before);
            self.weights.mark(change.id, false);
            if change.weight == 0 && before == 0 {
                self.release(change);
            }
            change.weight != 0
        });
    }

    fn set_raw(&mut self, id: u32, weight: i64) {
        self.negative -= usize::from(self.raw(id) < 0);
        self.negative += usize::from(weight < 0);
        self.weights.set(id, weight);
    }

    fn release(&mut self, change: &Change) {
        self.ids.remove(change.hash, |id| id == change.id);
        self.free.push(change.id);
    }

    fn bytes(&self) -> usize {
        self.rows.bytes() + self.weights.bytes() + self.ids.bytes() + self.free.capacity() * 4
    }
}

/// An index, an order or a watcher over the rows of a table.
pub(crate) trait Follower<T> {
    /// Reads weights how.
    fn view(&self) -> View;
    /// Before the change of any index: the row's weight is about to change by `delta`.
    fn before(&self, _rows: &Rows<T>, _id: u32, _delta: i64) {}
    /// The row's weight has changed from `old` to `new` (as seen by the view): link or unlink it.
    fn change(&self, rows: &Rows<T>, id: u32, old: i64, new: i64);
    /// After the change of all indexes.
    fn after(&self, _rows: &Rows<T>, _id: u32, _delta: i64) {}
    /// Whether `before` does anything.
    fn wants_before(&self) -> bool {
        false
    }
    /// Groups and bytes, for statistics; `None` for what stores nothing.
    fn statistics(&self) -> Option<(usize, usize)> {
        None
    }
    /// Drops all references to other operators.
    fn disconnect(&self) {}
}

/// A follower and its view, which is asked for at every row.
type Viewed<T> = (View, Rc<dyn Follower<T>>);

/// A relation's store as an operator: takes the changes of the relation, keeps rows and indexes, feeds the joins.
pub(crate) struct Table<T> {
    pub(crate) buffer: Rc<Buffer<T>>,
    rows: RefCell<Rows<T>>,
    followers: RefCell<Vec<Viewed<T>>>,
    /// Those of them that want to see a row before the change; known when the program is complete.
    earlier: OnceCell<Vec<Viewed<T>>>,
    /// The relation this stores (for its name).
    source: Rc<Stream<T>>,
    /// Changes as a set: +1 when a row's weight becomes positive, -1 when it ceases to be.
    pub(crate) distinct: Rc<Stream<T>>,
    changes: RefCell<Vec<Change>>,
    shared: Rc<Shared>,
}

impl<T: Row> Table<T> {
    pub(crate) fn new(node: u32, source: Rc<Stream<T>>, shared: Rc<Shared>) -> Self {
        let buffer = Rc::new(Buffer::new(node, shared.clone()));
        source.subscribe(buffer.clone());
        Table {
            buffer,
            rows: RefCell::new(Rows::new()),
            followers: RefCell::new(Vec::new()),
            earlier: OnceCell::new(),
            source,
            distinct: Rc::new(Stream::new(shared.clone())),
            changes: RefCell::new(Vec::new()),
            shared,
        }
    }

    pub(crate) fn rows(&self) -> Ref<'_, Rows<T>> {
        self.rows.borrow()
    }

    pub(crate) fn follow(&self, follower: Rc<dyn Follower<T>>) {
        self.followers.borrow_mut().push((follower.view(), follower));
    }

    /// Calls `f` for each row whose weight in this view is not 0, in the order of their ids.
    pub(crate) fn scan(&self, view: View, mut f: impl FnMut(&T, i64)) {
        let rows = self.rows.borrow();
        for id in 0..rows.rows.len() as u32 {
            let weight = view.weight(rows.raw(id));
            if weight != 0 {
                f(rows.row(id), weight);
            }
        }
    }

    fn apply(&self, change: &Change, followers: &[Viewed<T>]) {
        let id = change.id;
        let old = self.rows.borrow().raw(id);
        let new = old.wrapping_add(change.weight);
        let seen = |view: View| (view.weight(old), view.weight(new));
        for (view, follower) in self.earlier.get().into_iter().flatten() {
            let (old, new) = seen(*view);
            if old != new {
                follower.before(&self.rows.borrow(), id, new.wrapping_sub(old));
            }
        }
        self.rows.borrow_mut().set_raw(id, new);
        {
            let rows = self.rows.borrow();
            for (view, follower) in followers {
                let (old, new) = seen(*view);
                if old != new {
                    follower.change(&rows, id, old, new);
                }
            }
            for (view, follower) in followers {
                let (old, new) = seen(*view);
                if old != new {
                    follower.after(&rows, id, new.wrapping_sub(old));
                }
            }
            let (old, new) = seen(View::Set);
            if old != new {
                self.distinct.push_ref(rows.row(id), new - old);
            }
        }
        if new == 0 {
            self.rows.borrow_mut().release(change);
        }
    }
}

impl<T: Row> Node for Table<T> {
    fn run(&self) {
        let mut batch = self.buffer.take();
        let mut changes = self.changes.take();
        {
            let rows = &mut *self.rows.borrow_mut();
            self.shared.touch(batch.len());
            for (row, weight) in batch.drain(..) {
                rows.stage(row, weight, &mut changes);
            }
            rows.settle(&mut changes);
        }
        self.buffer.recycle(batch);
        let followers = self.followers.borrow();
        self.earlier.get_or_init(|| followers.iter().filter(|(_, f)| f.wants_before()).cloned().collect());
        for comes in [true, false] {
            for change in changes.iter().filter(|change| (change.weight > 0) == comes) {
                self.apply(change, &followers);
            }
        }
        changes.clear();
        if changes.capacity() <= KEEP {
            self.changes.replace(changes);
        }
    }

    fn kind(&self) -> &'static str {
        "table"
    }

    fn name(&self) -> Option<&'static str> {
        self.distinct.label.name.get().or(self.source.label.name.get())
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = self.rows.borrow();
        let followers = self.followers.borrow();
        let indexes: Vec<(usize, usize)> = followers.iter().filter_map(|(_, follower)| follower.statistics()).collect();
        Some(Statistics {
            name: self.name(),
            rows: rows.ids.len(),
            groups: indexes.iter().map(|(groups, _)| *groups).collect(),
            bytes: rows.bytes() + indexes.iter().map(|(_, bytes)| bytes).sum::<usize>(),
        })
    }

    fn disconnect(&self) {
        for (_, follower) in self.followers.take() {
            follower.disconnect();
        }
        self.source.disconnect();
        self.distinct.disconnect();
    }
}
