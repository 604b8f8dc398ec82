//! `min_by`: the least row of each group, kept by a search tree a group.
//!
//! The tree is a treap (Seidel and Aragon, 1996) whose priorities are hashes of the row ids, so it needs only two links a
//! row: a group of one row costs no more than in an index, one of 10,000 rows takes about 2 log2(10,000) comparisons a
//! change. Equal orders are decided by the rows' hashes: the winner depends on what is in the group, not on the
//! sequence in which it came (two rows of one order and one 64-bit hash would be told apart by their ids).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::Row;
use crate::hash::{hash_of, mix};
use crate::ids::IdTable;
use crate::paged::Sparse;
use crate::stream::{Shared, Sink, Stream};
use crate::table::{Follower, Rows, View};

const NIL: u32 = u32::MAX;

/// The links of a row without children.
const LEAF: Link = Link { left: NIL, right: NIL };

#[derive(Clone, Copy, PartialEq)]
struct Link {
    left: u32,
    right: u32,
}

/// The tree operations, over whatever compares two rows by id.
struct Treap<'a, F> {
    links: &'a mut Sparse<Link>,
    less: F,
}

impl<F: Fn(u32, u32) -> bool> Treap<'_, F> {
    /// Whether `a` stands above `b` in the heap order.
    fn above(a: u32, b: u32) -> bool {
        (mix(u64::from(a) + 1), a) > (mix(u64::from(b) + 1), b)
    }

    fn left(&self, id: u32) -> u32 {
        self.links.get(id).left
    }

    fn right(&self, id: u32) -> u32 {
        self.links.get(id).right
    }

    fn set_left(&mut self, id: u32, left: u32) {
        let right = self.right(id);
        self.links.set(id, Link { left, right });
    }

    fn set_right(&mut self, id: u32, right: u32) {
        let left = self.left(id);
        self.links.set(id, Link { left, right });
    }

    fn insert(&mut self, root: u32, id: u32) -> u32 {
        if root == NIL || Self::above(id, root) {
            let (left, right) = self.split(root, id);
            self.links.set(id, Link { left, right });
            return id;
        }
        if (self.less)(id, root) {
            let left = self.insert(self.left(root), id);
            self.set_left(root, left);
        } else {
            let right = self.insert(self.right(root), id);
            self.set_right(root, right);
        }
        root
    }

    /// The subtrees of what is less than `id`, and of the rest.
    fn split(&mut self, root: u32, id: u32) -> (u32, u32) {
        if root == NIL {
            return (NIL, NIL);
        }
        if (self.less)(root, id) {
            let (middle, right) = self.split(self.right(root), id);
            self.set_right(root, middle);
            (root, right)
        } else {
            let (left, middle) = self.split(self.left(root), id);
            self.set_left(root, middle);
            (left, root)
        }
    }

    fn remove(&mut self, root: u32, id: u32) -> u32 {
        if root == NIL {
            return NIL;
        }
        if root == id {
            return self.merge(self.left(id), self.right(id));
        }
        if (self.less)(id, root) {
            let left = self.remove(self.left(root), id);
            self.set_left(root, left);
        } else {
            let right = self.remove(self.right(root), id);
            self.set_right(root, right);
        }
        root
    }

    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL {
            return right;
        }
        if right == NIL {
            return left;
        }
        if Self::above(left, right) {
            let merged = self.merge(self.right(left), right);
            self.set_right(left, merged);
            left
        } else {
            let merged = self.merge(left, self.left(right));
            self.set_left(right, merged);
            right
        }
    }
}

struct Groups {
    /// The root of each group's tree; its key stands for the group.
    roots: IdTable,
    links: Sparse<Link>,
}

/// The rows of each group in order; feeds the least of each to `out`.
pub(crate) struct Least<K, O, T> {
    key: Box<dyn Fn(&T) -> K>,
    order: Box<dyn Fn(&T) -> O>,
    groups: RefCell<Groups>,
    out: Rc<Stream<T>>,
    /// The group's winner before and after the row in hand.
    winners: Cell<(u32, u32)>,
    compared: Cell<usize>,
    shared: Rc<Shared>,
}

impl<K: Row, O: Ord, T: Row> Least<K, O, T> {
    pub(crate) fn new(
        key: impl Fn(&T) -> K + 'static,
        order: impl Fn(&T) -> O + 'static,
        out: Rc<Stream<T>>,
        shared: Rc<Shared>,
    ) -> Self {
        Least {
            key: Box::new(key),
            order: Box::new(order),
            groups: RefCell::new(Groups { roots: IdTable::new(), links: Sparse::new(LEAF) }),
            out,
            winners: Cell::new((NIL, NIL)),
            compared: Cell::new(0),
            shared,
        }
    }

    fn less(&self, rows: &Rows<T>, a: u32, b: u32) -> bool {
        self.compared.set(self.compared.get() + 1);
        let (a_row, b_row) = (rows.row(a), rows.row(b));
        (self.order)(a_row)
            .cmp(&(self.order)(b_row))
            .then_with(|| hash_of(a_row).cmp(&hash_of(b_row)))
            .then(a.cmp(&b))
            .is_lt()
    }

    fn first(links: &Sparse<Link>, mut root: u32) -> u32 {
        if root != NIL {
            while links.get(root).left != NIL {
                root = links.get(root).left;
            }
        }
        root
    }
}

impl<K: Row, O: Ord, T: Row> Follower<T> for Least<K, O, T> {
    fn view(&self) -> View {
        View::Set
    }

    fn change(&self, rows: &Rows<T>, id: u32, old: i64, _new: i64) {
        let groups = &mut *self.groups.borrow_mut();
        let key = (self.key)(rows.row(id));
        let hash = hash_of(&key);
        let root = groups.roots.find(hash, |other| (self.key)(rows.row(other)) == key).unwrap_or(NIL);
        let before = Self::first(&groups.links, root);
        let mut treap = Treap { links: &mut groups.links, less: |a, b| self.less(rows, a, b) };
        let new_root = if old == 0 { treap.insert(root, id) } else { treap.remove(root, id) };
        self.winners.set((before, Self::first(&groups.links, new_root)));
        if root == NIL {
            groups.roots.insert(hash, new_root);
        } else if new_root == NIL {
            groups.roots.remove(hash, |other| other == root);
        } else if new_root != root {
            groups.roots.replace(hash, root, new_root);
        }
        self.shared.touch(self.compared.replace(0));
    }

    fn after(&self, rows: &Rows<T>, _id: u32, _delta: i64) {
        let (before, after) = self.winners.replace((NIL, NIL));
        if before == after {
            return;
        }
        if before != NIL {
            self.out.push_ref(rows.row(before), -1);
        }
        if after != NIL {
            self.out.push_ref(rows.row(after), 1);
        }
    }

    fn statistics(&self) -> Option<(usize, usize)> {
        let groups = self.groups.borrow();
        Some((groups.roots.len(), groups.roots.bytes() + groups.links.bytes()))
    }

    fn disconnect(&self) {
        self.out.disconnect();
    }
}
