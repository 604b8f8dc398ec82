//! `reduce` and `count_by`: one result, or some, a group.
//!
//! A general function of a group must see the whole group, so `reduce` costs the size of each group that changed, once a
//! step, however many of its rows did. It remembers what it gave for each group and sends only the difference. Where the
//! result can be kept up instead of computed anew, use `count_by` (constant time a row) or `min_by` (logarithmic).

use std::cell::RefCell;
use std::rc::Rc;

use crate::Row;
use crate::index::KeyIndex;
use crate::keymap::KeyMap;
use crate::node::{Node, Statistics};
use crate::stream::{Shared, Sink, Stream};
use crate::table::{Follower, Rows, Table, View};
use crate::zset::{Buffer, consolidate};

/// The operator behind `reduce`.
pub(crate) struct Reduce<K, T, U, F> {
    pub(crate) table: Rc<Table<T>>,
    pub(crate) index: Rc<KeyIndex<K, T>>,
    pub(crate) f: F,
    /// Keys of the groups that changed.
    pub(crate) keys: Rc<Buffer<K>>,
    /// What was given for each group; groups that gave nothing are absent.
    given: RefCell<KeyMap<K, Vec<U>>>,
    out: Rc<Stream<U>>,
    shared: Rc<Shared>,
}

impl<K: Row, T: Row, U: Row, I: IntoIterator<Item = U>, F: Fn(&K, &[(&T, i64)]) -> I> Reduce<K, T, U, F> {
    pub(crate) fn new(
        node: u32,
        table: Rc<Table<T>>,
        index: Rc<KeyIndex<K, T>>,
        f: F,
        out: Rc<Stream<U>>,
        shared: Rc<Shared>,
    ) -> Self {
        let keys = Rc::new(Buffer::new(node, shared.clone()));
        let touched = keys.clone();
        index.on_after(move |key, _, _, _| touched.push_ref(key, 1));
        Reduce { table, index, f, keys, given: RefCell::new(KeyMap::new()), out, shared }
    }
}

impl<K: Row, T: Row, U: Row, I: IntoIterator<Item = U>, F: Fn(&K, &[(&T, i64)]) -> I> Node for Reduce<K, T, U, F> {
    fn run(&self) {
        let mut keys = self.keys.take();
        consolidate(&mut keys);
        let rows = self.table.rows();
        let mut given = self.given.borrow_mut();
        let mut group: Vec<(&T, i64)> = Vec::new();
        for (key, _) in keys.drain(..) {
            let hash = crate::hash::hash_of(&key);
            group.clear();
            self.index.each(&rows, &key, hash, |row, weight| group.push((row, weight)));
            self.shared.touch(group.len());
            let new: Vec<U> = if group.is_empty() { Vec::new() } else { (self.f)(&key, &group).into_iter().collect() };
            let old = given.remove(&key).unwrap_or_default();
            if old != new {
                let mut changes: Vec<(U, i64)> = old.into_iter().map(|row| (row, -1)).collect();
                changes.extend(new.iter().map(|row| (row.clone(), 1)));
                consolidate(&mut changes);
                for (row, weight) in changes {
                    self.out.push(row, weight);
                }
            }
            if !new.is_empty() {
                given.insert(key, new);
            }
        }
        self.keys.recycle(keys);
    }

    fn kind(&self) -> &'static str {
        "reduce"
    }

    fn name(&self) -> Option<&'static str> {
        self.out.label.name.get()
    }

    fn statistics(&self) -> Option<Statistics> {
        let given = self.given.borrow();
        Some(Statistics { name: self.name(), rows: given.len(), groups: Vec::new(), bytes: given.bytes() })
    }

    fn disconnect(&self) {
        self.out.disconnect();
    }
}

/// The watcher behind `count_by`, on the table of the keys: the weight of a key *is* the count.
pub(crate) struct Count<K> {
    pub(crate) out: Rc<Stream<(K, i64)>>,
}

impl<K: Row> Follower<K> for Count<K> {
    fn view(&self) -> View {
        View::Bag
    }

    fn change(&self, rows: &Rows<K>, id: u32, old: i64, new: i64) {
        let key = rows.row(id);
        if old != 0 {
            self.out.push((key.clone(), old), -1);
        }
        if new != 0 {
            self.out.push((key.clone(), new), 1);
        }
    }

    fn disconnect(&self) {
        self.out.disconnect();
    }
}
