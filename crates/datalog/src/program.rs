//! A program that runs: transactions in, changes out, and an account of the work.

use std::any::Any;
use std::rc::Rc;

use crate::Row;
use crate::handle::{Input, Output, Stored};
use crate::node::{Node, Statistics};
use crate::port::{InputPort, OutputPort};
use crate::stream::{Label, Shared, Sink};
use crate::table::{Table, View};

/// Work done since the program was built. Counted, not timed, so that tests can assert that cost follows the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions.
    pub steps: u64,
    /// Runs of operators that have state (inputs, stores, `reduce`, `reach`). Others run as part of these.
    pub operators_run: u64,
    /// Rows read, compared or written by any operator.
    pub rows_touched: u64,
    /// Each named relation with the changes that went through it, in the order in which they were built.
    pub relations: Vec<RelationCounter>,
}

/// The work of one named relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationCounter {
    /// As given to `named` or `input`.
    pub name: &'static str,
    /// Changes of rows that the relation was sent, before they were consolidated.
    pub rows: u64,
}

/// A built program. It has no clock and does no I/O; equal transactions in equal order do equal work and give equal
/// results, in equal order. It belongs to one thread.
pub struct Program {
    nodes: Vec<Rc<dyn Node>>,
    ports: Vec<Rc<dyn Any>>,
    labels: Vec<Rc<Label>>,
    shared: Rc<Shared>,
    operators_run: u64,
}

impl Program {
    pub(crate) fn new(
        nodes: Vec<Rc<dyn Node>>,
        ports: Vec<Rc<dyn Any>>,
        (labels, shared): (Vec<Rc<Label>>, Rc<Shared>),
    ) -> Self {
        Program { nodes, ports, labels, shared, operators_run: 0 }
    }

    fn port<P: 'static>(&self, port: u32) -> &P {
        let port = self.ports.get(port as usize).and_then(|port| port.downcast_ref());
        port.expect("the handle belongs to this program")
    }

    /// Adds a row to the next transaction.
    ///
    /// # Panics
    /// If the handle is of another program; so do the other methods that take a handle.
    pub fn insert<T: Row>(&mut self, input: Input<T>, row: T) {
        self.add_weight(input, row, 1);
    }

    /// Removes a row in the next transaction. A row that is not there gets a negative weight, which a later insertion
    /// makes up for; until then joins count it with that weight, and sets do not contain it.
    pub fn remove<T: Row>(&mut self, input: Input<T>, row: T) {
        self.add_weight(input, row, -1);
    }

    /// Changes the weight of a row in the next transaction. Weights are counted modulo 2^64.
    pub fn add_weight<T: Row>(&mut self, input: Input<T>, row: T, weight: i64) {
        if weight != 0 {
            self.port::<InputPort<T>>(input.port).buffer.push(row, weight);
        }
    }

    /// Applies what was collected as one transaction: runs the operators whose input changed, each once.
    pub fn step(&mut self) {
        self.shared.begin_step();
        while let Some(node) = self.shared.next() {
            self.operators_run += 1;
            if let Some(node) = self.nodes.get(node as usize) {
                node.run();
            }
        }
    }

    /// How that output has changed since it was last drained: each row once, with the sum of its weights, never 0.
    pub fn drain<T: Row>(&mut self, output: Output<T>) -> Vec<(T, i64)> {
        self.port::<OutputPort<T>>(output.port).drain()
    }

    /// The same as it came: a row may be there several times, with weights that add up, and with a sum of 0. For who adds them up anyway.
    pub fn drain_as_it_came<T: Row>(&mut self, output: Output<T>) -> Vec<(T, i64)> {
        self.port::<OutputPort<T>>(output.port).take()
    }

    /// Calls `f` with each row that the relation holds now, and its weight.
    pub fn scan<T: Row>(&self, stored: Stored<T>, f: impl FnMut(&T, i64)) {
        let (table, view) = self.port::<(Rc<Table<T>>, View)>(stored.port);
        table.scan(*view, f);
    }

    /// Work done since the program was built.
    pub fn counters(&self) -> Counters {
        let relations = self
            .labels
            .iter()
            .filter_map(|label| Some(RelationCounter { name: label.name.get()?, rows: label.rows.get() }))
            .collect();
        Counters {
            steps: self.shared.step(),
            operators_run: self.operators_run,
            rows_touched: self.shared.rows_touched(),
            relations,
        }
    }

    /// What the stores hold, in the order in which they were built.
    pub fn statistics(&self) -> Vec<Statistics> {
        self.nodes.iter().filter_map(|node| node.statistics()).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.disconnect();
        }
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operators = self.nodes.iter().map(|node| (node.kind(), node.name().unwrap_or_default()));
        f.debug_struct("Program").field("operators", &operators.collect::<Vec<_>>()).finish()
    }
}
