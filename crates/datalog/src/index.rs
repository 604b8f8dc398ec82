//! The index of a relation by a key: groups of row ids, and the joins that hang on it.
//!
//! A group is a ring through the rows (two ids a row: previous and next); the head table holds one id a group. Nothing
//! of the key is stored: it is computed from the head's row when groups are compared. So a row costs 8 bytes an index
//! (none where keys are unique: a row alone has no links) and a group about 8 more, and a row leaves its group in
//! constant time, however large the group is.
//! Key functions are therefore called often and should be cheap: copy an id, clone an `Rc`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::Row;
use crate::hash::hash_of;
use crate::ids::IdTable;
use crate::paged::Sparse;
use crate::table::{Follower, Rows, View};

/// What a join does with one changed row of its side: key, hash of the key, row, change of weight.
pub(crate) type Half<K, T> = Box<dyn Fn(&K, u64, &T, i64)>;
/// What a semijoin or antijoin does when a key appears (+1) or vanishes (-1).
pub(crate) type Flip<K> = Box<dyn Fn(&K, u64, i64)>;

/// The links of a row that is alone in its group.
const ALONE: Link = Link { previous: u32::MAX, next: u32::MAX };

#[derive(Clone, Copy, PartialEq)]
struct Link {
    previous: u32,
    next: u32,
}

struct Groups {
    /// The head of each group; its key stands for the group.
    heads: IdTable,
    links: Sparse<Link>,
}

/// An index of the rows of a table by a key.
pub(crate) struct KeyIndex<K, T> {
    key: Box<dyn Fn(&T) -> K>,
    view: View,
    groups: RefCell<Groups>,
    before: RefCell<Vec<Half<K, T>>>,
    after: RefCell<Vec<Half<K, T>>>,
    flips: RefCell<Vec<Flip<K>>>,
    /// The key of the row in hand appeared (+1) or vanished (-1) with it.
    flip: Cell<i64>,
    /// The key of the row in hand and its hash, between `change` and `after`.
    in_hand: Cell<Option<(K, u64)>>,
}

impl<K: Row, T: Row> KeyIndex<K, T> {
    pub(crate) fn new(view: View, key: impl Fn(&T) -> K + 'static) -> Rc<Self> {
        Rc::new(KeyIndex {
            key: Box::new(key),
            view,
            groups: RefCell::new(Groups { heads: IdTable::new(), links: Sparse::new(ALONE) }),
            before: RefCell::new(Vec::new()),
            after: RefCell::new(Vec::new()),
            flips: RefCell::new(Vec::new()),
            flip: Cell::new(0),
            in_hand: Cell::new(None),
        })
    }

    pub(crate) fn on_before(&self, half: impl Fn(&K, u64, &T, i64) + 'static) {
        self.before.borrow_mut().push(Box::new(half));
    }

    pub(crate) fn on_after(&self, half: impl Fn(&K, u64, &T, i64) + 'static) {
        self.after.borrow_mut().push(Box::new(half));
    }

    pub(crate) fn on_flip(&self, flip: impl Fn(&K, u64, i64) + 'static) {
        self.flips.borrow_mut().push(Box::new(flip));
    }

    /// Calls `f` with each row of the group and its weight; returns how many there were.
    pub(crate) fn each<'r>(&self, rows: &'r Rows<T>, key: &K, hash: u64, mut f: impl FnMut(&'r T, i64)) -> usize {
        let groups = self.groups.borrow();
        let Some(head) = groups.heads.find(hash, |id| (self.key)(rows.row(id)) == *key) else { return 0 };
        let mut id = head;
        let mut seen = 0;
        loop {
            f(rows.row(id), self.view.weight(rows.raw(id)));
            seen += 1;
            id = groups.links.get(id).next;
            if id == head || id == ALONE.next {
                return seen;
            }
        }
    }

    /// Whether the weights of the key's rows add up to more than 0. Constant time, unless the table holds rows of
    /// negative weight: then the group is added up.
    pub(crate) fn present(&self, rows: &Rows<T>, key: &K, hash: u64) -> bool {
        if self.view == View::Bag && rows.has_negative() {
            let mut sum = 0i64;
            self.each(rows, key, hash, |_, weight| sum = sum.wrapping_add(weight));
            return sum > 0;
        }
        self.groups.borrow().heads.find(hash, |id| (self.key)(rows.row(id)) == *key).is_some()
    }

    fn link(&self, rows: &Rows<T>, id: u32, key: &K, hash: u64) {
        let groups = &mut *self.groups.borrow_mut();
        match groups.heads.find(hash, |other| (self.key)(rows.row(other)) == *key) {
            Some(head) => {
                // Last in the ring: between the head's previous row and the head.
                let Link { previous: last, next: second } = groups.links.get(head);
                if last == ALONE.previous {
                    groups.links.set(id, Link { previous: head, next: head });
                    groups.links.set(head, Link { previous: id, next: id });
                } else {
                    groups.links.set(id, Link { previous: last, next: head });
                    // In a ring of two the head's other row is the last one and the second one.
                    groups.links.set(head, Link { previous: id, next: second });
                    let before_last = groups.links.get(last).previous;
                    groups.links.set(last, Link { previous: before_last, next: id });
                }
            }
            None => groups.heads.insert(hash, id),
        }
    }

    fn unlink(&self, id: u32, hash: u64) {
        let groups = &mut *self.groups.borrow_mut();
        let Link { previous, next } = groups.links.get(id);
        groups.links.set(id, ALONE);
        if next == ALONE.next {
            groups.heads.remove(hash, |other| other == id);
            return;
        }
        if previous == next {
            groups.links.set(next, ALONE);
        } else {
            let before = groups.links.get(previous).previous;
            groups.links.set(previous, Link { previous: before, next });
            let after = groups.links.get(next).next;
            groups.links.set(next, Link { previous, next: after });
        }
        groups.heads.replace(hash, id, next);
    }
}

impl<K: Row, T: Row> Follower<T> for KeyIndex<K, T> {
    fn view(&self) -> View {
        self.view
    }

    fn wants_before(&self) -> bool {
        !self.before.borrow().is_empty() || (self.view == View::Bag && !self.flips.borrow().is_empty())
    }

    fn before(&self, rows: &Rows<T>, id: u32, delta: i64) {
        let row = rows.row(id);
        let key = (self.key)(row);
        let hash = hash_of(&key);
        if self.view == View::Bag && !self.flips.borrow().is_empty() {
            self.flip.set(-i64::from(self.present(rows, &key, hash)));
        }
        for half in self.before.borrow().iter() {
            half(&key, hash, row, delta);
        }
    }

    fn change(&self, rows: &Rows<T>, id: u32, old: i64, new: i64) {
        let key = (self.key)(rows.row(id));
        let hash = hash_of(&key);
        let watched = !self.flips.borrow().is_empty();
        if watched && self.view == View::Set {
            self.flip.set(-i64::from(self.present(rows, &key, hash)));
        }
        if old == 0 {
            self.link(rows, id, &key, hash);
        } else if new == 0 {
            self.unlink(id, hash);
        }
        if watched {
            self.flip.set(self.flip.get() + i64::from(self.present(rows, &key, hash)));
        }
        if self.flip.get() != 0 || !self.after.borrow().is_empty() {
            self.in_hand.set(Some((key, hash)));
        }
    }

    fn after(&self, rows: &Rows<T>, id: u32, delta: i64) {
        let Some((key, hash)) = self.in_hand.take() else { return };
        let row = rows.row(id);
        let halves = self.after.borrow();
        let flip = self.flip.replace(0);
        for half in halves.iter() {
            half(&key, hash, row, delta);
        }
        if flip != 0 {
            for on_flip in self.flips.borrow().iter() {
                on_flip(&key, hash, flip);
            }
        }
    }

    fn statistics(&self) -> Option<(usize, usize)> {
        let groups = self.groups.borrow();
        Some((groups.heads.len(), groups.heads.bytes() + groups.links.bytes()))
    }

    fn disconnect(&self) {
        self.before.take();
        self.after.take();
        self.flips.take();
    }
}
