//! Where changes enter and leave a program.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::Row;
use crate::node::Node;
use crate::stream::{Shared, Sink, Stream};
use crate::zset::{Buffer, consolidate};

/// An input: collects changes until the step, so that what cancels within a transaction touches nothing.
pub(crate) struct InputPort<T> {
    pub(crate) buffer: Buffer<T>,
    stream: Rc<Stream<T>>,
}

impl<T: Row> InputPort<T> {
    pub(crate) fn new(node: u32, stream: Rc<Stream<T>>, shared: Rc<Shared>) -> Self {
        InputPort { buffer: Buffer::new(node, shared), stream }
    }
}

impl<T: Row> Node for InputPort<T> {
    fn run(&self) {
        let mut rows = self.buffer.take();
        consolidate(&mut rows);
        for (row, weight) in rows.drain(..) {
            self.stream.push(row, weight);
        }
        self.buffer.recycle(rows);
    }

    fn kind(&self) -> &'static str {
        "input"
    }

    fn name(&self) -> Option<&'static str> {
        self.stream.label.name.get()
    }

    fn disconnect(&self) {
        self.stream.disconnect();
    }
}

/// Changes that nobody drained are consolidated when they are more than this and twice what was left the last time, so
/// that they stay within twice the size of the net change.
const UNCONSOLIDATED: usize = 1 << 16;

/// Up to this many rows the buffer for the next change is made as large as this change was.
const ALIKE: usize = 16;

/// An output: collects changes until they are drained.
pub(crate) struct OutputPort<T> {
    rows: RefCell<Vec<(T, i64)>>,
    limit: Cell<usize>,
    /// The relation is a set: in one step no row changes twice.
    set: bool,
    /// The step of the first change since the last drain, if all changes are of that step.
    step: Cell<Option<u64>>,
    shared: Rc<Shared>,
}

impl<T: Row> OutputPort<T> {
    pub(crate) fn new(set: bool, shared: Rc<Shared>) -> Self {
        let (rows, limit, step) = (RefCell::new(Vec::new()), Cell::new(UNCONSOLIDATED), Cell::new(None));
        OutputPort { rows, limit, set, step, shared }
    }

    pub(crate) fn drain(&self) -> Vec<(T, i64)> {
        let mut rows = self.take();
        if !self.set || self.step.get().is_none() {
            consolidate(&mut rows);
        }
        rows
    }

    pub(crate) fn take(&self) -> Vec<(T, i64)> {
        let rows = self.rows.take();
        // The next change may be like this one, and a small buffer at once is cheaper than one that grows.
        self.rows.replace(Vec::with_capacity(rows.len().min(ALIKE)));
        self.limit.set(UNCONSOLIDATED);
        rows
    }
}

impl<T: Row> Sink<T> for OutputPort<T> {
    fn push(&self, row: T, weight: i64) {
        let mut rows = self.rows.borrow_mut();
        let now = self.shared.step();
        if rows.is_empty() {
            self.step.set(Some(now));
        } else if self.step.get() != Some(now) {
            self.step.set(None);
        }
        if rows.len() >= self.limit.get() && (!self.set || self.step.get().is_none()) {
            consolidate(&mut rows);
            self.limit.set((2 * rows.len()).max(UNCONSOLIDATED));
        }
        rows.push((row, weight));
    }

    fn push_ref(&self, row: &T, weight: i64) {
        self.push(row.clone(), weight);
    }
}
