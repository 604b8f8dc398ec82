//! How a change travels between operators with state, and what all of them share.
//!
//! Operators without state (`map`, `filter`, `flat_map`, `concat`) store nothing and are never scheduled: a change that
//! leaves a store is pushed, row by row, through the closures up to the next [`Buffer`](crate::zset::Buffer). So a chain
//! of them costs one virtual call an operator and no memory.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

/// What the operators of one program share: who is to run, and how much work was done.
pub(crate) struct Shared {
    /// Operators whose input changed, the earliest first. The order in which operators were built is a topological
    /// order, since a relation must exist before another one can be derived from it. A heap of those that wait (instead of
    /// a walk over all) keeps the cost of a step independent of the number of rules.
    dirty: RefCell<BinaryHeap<Reverse<u32>>>,
    rows: Cell<u64>,
    steps: Cell<u64>,
}

impl Shared {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Shared { dirty: RefCell::new(BinaryHeap::new()), rows: Cell::new(0), steps: Cell::new(0) })
    }

    /// Puts an operator on the list; the caller does so once, when its buffer ceases to be empty.
    #[inline]
    pub(crate) fn mark(&self, node: u32) {
        self.dirty.borrow_mut().push(Reverse(node));
    }

    pub(crate) fn next(&self) -> Option<u32> {
        self.dirty.borrow_mut().pop().map(|Reverse(node)| node)
    }

    /// Counts rows that were read, compared or written.
    #[inline]
    pub(crate) fn touch(&self, rows: usize) {
        self.rows.set(self.rows.get() + rows as u64);
    }

    pub(crate) fn begin_step(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    /// The number of the step in hand.
    #[inline]
    pub(crate) fn step(&self) -> u64 {
        self.steps.get()
    }

    pub(crate) fn rows_touched(&self) -> u64 {
        self.rows.get()
    }
}

/// Whatever takes rows with weights.
pub(crate) trait Sink<T> {
    fn push(&self, row: T, weight: i64);
    /// For a row that stays where it is: a sink that only looks need not clone it.
    fn push_ref(&self, row: &T, weight: i64);
}

/// The changes of one relation, on their way to all who asked for them.
pub(crate) struct Stream<T> {
    sinks: RefCell<Vec<Rc<dyn Sink<T>>>>,
    pub(crate) label: Rc<Label>,
    shared: Rc<Shared>,
}

/// The name of a relation and the count of rows that went through it.
pub(crate) struct Label {
    pub(crate) name: Cell<Option<&'static str>>,
    pub(crate) rows: Cell<u64>,
}

impl<T: Clone> Stream<T> {
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        let label = Rc::new(Label { name: Cell::new(None), rows: Cell::new(0) });
        Stream { sinks: RefCell::new(Vec::new()), label, shared }
    }

    pub(crate) fn subscribe(&self, sink: Rc<dyn Sink<T>>) {
        self.sinks.borrow_mut().push(sink);
    }

    /// Forgets its sinks, which breaks the cycles of references when the program ends.
    pub(crate) fn disconnect(&self) {
        self.sinks.take();
    }

    fn count(&self) {
        self.label.rows.set(self.label.rows.get() + 1);
        self.shared.touch(1);
    }
}

impl<T: Clone> Sink<T> for Stream<T> {
    fn push(&self, row: T, weight: i64) {
        self.count();
        if let Some((last, others)) = self.sinks.borrow().split_last() {
            for sink in others {
                sink.push_ref(&row, weight);
            }
            last.push(row, weight);
        }
    }

    fn push_ref(&self, row: &T, weight: i64) {
        self.count();
        for sink in self.sinks.borrow().iter() {
            sink.push_ref(row, weight);
        }
    }
}

/// `map`: the relation of the results, each with the weight of its source.
pub(crate) struct Map<F, U> {
    pub(crate) f: F,
    pub(crate) out: Rc<Stream<U>>,
}

impl<T, U: Clone, F: Fn(&T) -> U> Sink<T> for Map<F, U> {
    fn push(&self, row: T, weight: i64) {
        self.out.push((self.f)(&row), weight);
    }

    fn push_ref(&self, row: &T, weight: i64) {
        self.out.push((self.f)(row), weight);
    }
}

/// `filter`: the rows that hold, unchanged.
pub(crate) struct Filter<F, T> {
    pub(crate) f: F,
    pub(crate) out: Rc<Stream<T>>,
}

impl<T: Clone, F: Fn(&T) -> bool> Sink<T> for Filter<F, T> {
    fn push(&self, row: T, weight: i64) {
        if (self.f)(&row) {
            self.out.push(row, weight);
        }
    }

    fn push_ref(&self, row: &T, weight: i64) {
        if (self.f)(row) {
            self.out.push_ref(row, weight);
        }
    }
}

/// `flat_map`: any number of results a row.
pub(crate) struct FlatMap<F, U> {
    pub(crate) f: F,
    pub(crate) out: Rc<Stream<U>>,
}

impl<T, U: Clone, I: IntoIterator<Item = U>, F: Fn(&T) -> I> Sink<T> for FlatMap<F, U> {
    fn push(&self, row: T, weight: i64) {
        self.push_ref(&row, weight);
    }

    fn push_ref(&self, row: &T, weight: i64) {
        for result in (self.f)(row) {
            self.out.push(result, weight);
        }
    }
}

/// The rows of the second relation of `minus`.
pub(crate) struct Negate<T> {
    pub(crate) out: Rc<Stream<T>>,
}

impl<T: Clone> Sink<T> for Negate<T> {
    fn push(&self, row: T, weight: i64) {
        self.out.push(row, weight.wrapping_neg());
    }

    fn push_ref(&self, row: &T, weight: i64) {
        self.out.push_ref(row, weight.wrapping_neg());
    }
}
