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
use crate::paged::Paged;
use crate::stream::{Shared, Sink, Stream};
use crate::table::{Follower, Rows, View};

const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    left: u32,
    right: u32,
}

/// The tree operations, over whatever compares two rows by id.
struct Treap<'a, F> {
    links: &'a mut Paged<Link>,
    less: F,
}

impl<F: Fn(u32, u32) -> bool> Treap<'_, F> {
    /// Whether `a` stands above `b` in the heap order.
    fn above(a: u32, b: u32) -> bool {
        (mix(u64::from(a) + 1), a) > (mix(u64::from(b) + 1), b)
    }

    fn insert(&mut self, root: u32, id: u32) -> u32 {
        if root == NIL || Self::above(id, root) {
            let (left, right) = self.split(root, id);
            self.links[id] = Link { left, right };
            return id;
        }
        if (self.less)(id, root) {
            self.links[root].left = self.insert(self.links[root].left, id);
        } else {
            self.links[root].right = self.insert(self.links[root].right, id);
        }
        root
    }

    /// The subtrees of what is less than `id`, and of the rest.
    fn split(&mut self, root: u32, id: u32) -> (u32, u32) {
        if root == NIL {
            return (NIL, NIL);
        }
        if (self.less)(root, id) {
            let (middle, right) = self.split(self.links[root].right, id);
            self.links[root].right = middle;
            (root, right)
        } else {
            let (left, middle) = self.split(self.links[root].left, id);
            self.links[root].left = middle;
            (left, root)
        }
    }

    fn remove(&mut self, root: u32, id: u32) -> u32 {
        if root == NIL {
            return NIL;
        }
        if root == id {
            let Link { left, right } = self.links[id];
            return self.merge(left, right);
        }
        if (self.less)(id, root) {
            self.links[root].left = self.remove(self.links[root].left, id);
        } else {
            self.links[root].right = self.remove(self.links[root].right, id);
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
            self.links[left].right = self.merge(self.links[left].right, right);
            left
        } else {
            self.links[right].left = self.merge(left, self.links[right].left);
            right
        }
    }
}

struct Groups {
    /// The root of each group's tree; its key stands for the group.
    roots: IdTable,
    links: Paged<Link>,
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
            groups: RefCell::new(Groups { roots: IdTable::new(), links: Paged::new() }),
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

    fn first(links: &Paged<Link>, mut root: u32) -> u32 {
        while root != NIL && links[root].left != NIL {
            root = links[root].left;
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
        while groups.links.len() <= id as usize {
            groups.links.push(Link { left: NIL, right: NIL });
        }
        let key = (self.key)(rows.row(id));
        let hash = hash_of(&key);
        let root = groups.roots.find(hash, |other| (self.key)(rows.row(other)) == key).unwrap_or(NIL);
        let before = Self::first(&groups.links, root);
        let mut treap = Treap { links: &mut groups.links, less: |a, b| self.less(rows, a, b) };
        let new_root = if old == 0 { treap.insert(root, id) } else { treap.remove(root, id) };
        self.winners.set((before, Self::first(&groups.links, new_root)));
        if root == NIL {
            groups.roots.insert(hash, new_root, |other| hash_of(&(self.key)(rows.row(other))));
        } else if new_root == NIL {
            groups.roots.remove(hash, |other| other == root);
        } else if new_root != root
            && let Some(entry) = groups.roots.find_mut(hash, |other| other == root)
        {
            *entry = new_root;
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
