//! Joins: what two indexes with keys of one type give together.
//!
//! Every join hangs its two halves on the indexes and keeps nothing. A half runs when a row of its side changes, and
//! reads the other side's index. The rows' weights multiply. See [`crate::table`] for why this adds up, also when both
//! sides are fed by one relation, are one index, or change in the same step.
//!
//! `semijoin` and `antijoin` are a ⋈ distinct(keys) and a − a ⋈ distinct(keys) (DBSP, section 4), where the index of the
//! keys itself tells when a key appears or vanishes, so neither the keys nor the result are stored.

use std::rc::Rc;

use crate::Row;
use crate::relation::{Index, Relation, same_program};
use crate::stream::{Sink, Stream};

impl<K: Row, A: Row> Index<K, A> {
    /// One result for each pair of rows with equal keys; its weight is the product of theirs.
    ///
    /// A changed row costs its key's group on the other side.
    pub fn join<B: Row, U: Row>(&self, other: &Index<K, B>, f: impl Fn(&K, &A, &B) -> U + 'static) -> Relation<U> {
        self.join_flat(other, move |key, a, b| Some(f(key, a, b)))
    }

    /// Any number of results for each pair of rows with equal keys.
    pub fn join_flat<B: Row, U: Row, I: IntoIterator<Item = U>>(
        &self,
        other: &Index<K, B>,
        f: impl Fn(&K, &A, &B) -> I + 'static,
    ) -> Relation<U> {
        same_program(&self.graph, &other.graph);
        let shared = self.graph.borrow().shared();
        let out = Rc::new(Stream::new(shared.clone()));
        let f = Rc::new(f);
        let left = {
            let (other, f, out, shared) = (other.clone(), f.clone(), out.clone(), shared.clone());
            move |key: &K, hash: u64, a: &A, weight: i64| {
                let seen = other.index.each(&other.table.rows(), key, hash, |b, other_weight| {
                    for row in f(key, a, b) {
                        out.push(row, weight.wrapping_mul(other_weight));
                    }
                });
                shared.touch(seen);
            }
        };
        let right = {
            let (this, out) = (self.clone(), out.clone());
            move |key: &K, hash: u64, b: &B, weight: i64| {
                let seen = this.index.each(&this.table.rows(), key, hash, |a, other_weight| {
                    for row in f(key, a, b) {
                        out.push(row, weight.wrapping_mul(other_weight));
                    }
                });
                shared.touch(seen);
            }
        };
        // Within one table a change reaches both sides at once: the left half must see the right side before it.
        if self.shares_table(other) {
            self.index.on_before(left);
        } else {
            self.index.on_after(left);
        }
        other.index.on_after(right);
        Relation::from_stream(&self.graph, out)
    }

    /// The rows whose key occurs in `keys` (the weights of its rows add up to more than 0), with their own weights.
    ///
    /// A changed row costs constant time; a key that appears or vanishes costs its group here.
    pub fn semijoin<B: Row>(&self, keys: &Index<K, B>) -> Relation<A> {
        self.select(keys, true)
    }

    /// The rows whose key does not occur in `keys`, with their own weights. Costs as [`Index::semijoin`].
    pub fn antijoin<B: Row>(&self, keys: &Index<K, B>) -> Relation<A> {
        self.select(keys, false)
    }

    fn select<B: Row>(&self, keys: &Index<K, B>, wanted: bool) -> Relation<A> {
        same_program(&self.graph, &keys.graph);
        let shared = self.graph.borrow().shared();
        let out = Rc::new(Stream::new(shared.clone()));
        let rows = {
            let (keys, out, shared) = (keys.clone(), out.clone(), shared.clone());
            move |key: &K, hash: u64, row: &A, weight: i64| {
                shared.touch(1);
                if keys.index.present(&keys.table.rows(), key, hash) == wanted {
                    out.push_ref(row, weight);
                }
            }
        };
        let flips = {
            let (this, out) = (self.clone(), out.clone());
            move |key: &K, hash: u64, sign: i64| {
                let sign = if wanted { sign } else { -sign };
                let seen = this.index.each(&this.table.rows(), key, hash, |row, weight| {
                    out.push_ref(row, weight.wrapping_mul(sign));
                });
                shared.touch(seen);
            }
        };
        if self.shares_table(keys) {
            self.index.on_before(rows);
        } else {
            self.index.on_after(rows);
        }
        keys.index.on_flip(flips);
        Relation::from_stream(&self.graph, out)
    }

    fn shares_table<B: Row>(&self, other: &Index<K, B>) -> bool {
        std::ptr::addr_eq(Rc::as_ptr(&self.table), Rc::as_ptr(&other.table))
    }
}
