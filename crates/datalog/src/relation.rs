//! Building a program: relations, and the operators that derive one from another.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::Row;
use crate::handle::{Input, Output, Stored};
use crate::index::KeyIndex;
use crate::node::Node;
use crate::order::Least;
use crate::port::{InputPort, OutputPort};
use crate::program::Program;
use crate::reach::Reach;
use crate::reduce::{Count, Reduce};
use crate::stream::{Filter, FlatMap, Label, Map, Negate, Shared, Stream};
use crate::table::{Table, View};

/// All that has been built so far.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Rc<dyn Node>>,
    pub(crate) ports: Vec<Rc<dyn Any>>,
    pub(crate) labels: Vec<Rc<Label>>,
    pub(crate) shared: Rc<Shared>,
    built: bool,
}

impl Graph {
    pub(crate) fn shared(&self) -> Rc<Shared> {
        self.shared.clone()
    }

    /// Adds an operator with state. Its number is its place in the topological order.
    fn add<N: Node + 'static>(&mut self, make: impl FnOnce(u32, Rc<Shared>) -> N) -> Rc<N> {
        assert!(!self.built, "the program is built: no relation can be derived any more");
        let node = Rc::new(make(self.nodes.len() as u32, self.shared.clone()));
        self.nodes.push(node.clone());
        node
    }

    fn port(&mut self, port: Rc<dyn Any>) -> u32 {
        assert!(!self.built, "the program is built: no output can be added any more");
        self.ports.push(port);
        self.ports.len() as u32 - 1
    }
}

/// Collects inputs, rules and outputs, and makes a [`Program`] of them.
pub struct Builder {
    graph: Rc<RefCell<Graph>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder of an empty program.
    pub fn new() -> Self {
        let (nodes, ports, labels) = (Vec::new(), Vec::new(), Vec::new());
        Builder { graph: Rc::new(RefCell::new(Graph { nodes, ports, labels, shared: Shared::new(), built: false })) }
    }

    /// A relation that is fed from outside, and the handle to feed it with. It is a bag: a row inserted twice has
    /// weight 2 and must be removed twice.
    pub fn input<T: Row>(&self, name: &'static str) -> (Input<T>, Relation<T>) {
        let stream = Rc::new(Stream::new(self.graph.borrow().shared()));
        let node = self.graph.borrow_mut().add(|node, shared| InputPort::new(node, stream.clone(), shared));
        let port = self.graph.borrow_mut().port(node);
        (Input::new(port), Relation::from_stream(&self.graph, stream).named(name))
    }

    /// The program, ready to run. Relations cannot be derived any more (that panics).
    pub fn build(self) -> Program {
        let mut graph = self.graph.borrow_mut();
        graph.built = true;
        Program::new(std::mem::take(&mut graph.nodes), std::mem::take(&mut graph.ports), {
            let labels = std::mem::take(&mut graph.labels);
            (labels, graph.shared())
        })
    }
}

/// A relation of the program that is being built: a handle to derive others from it.
///
/// `map`, `filter`, `flat_map` and `concat` store nothing. `index`, `distinct`, `count_by`, `min_by`, `reduce` and
/// `stored` store the relation's rows, once for all of them.
///
/// Relations of different builders cannot be combined, and nothing can be derived after [`Builder::build`]: both are
/// mistakes of the program's author and panic.
pub struct Relation<T> {
    graph: Rc<RefCell<Graph>>,
    stream: Rc<Stream<T>>,
    view: View,
    table: Rc<RefCell<Option<Rc<Table<T>>>>>,
}

impl<T> Clone for Relation<T> {
    fn clone(&self) -> Self {
        let (graph, stream, table) = (self.graph.clone(), self.stream.clone(), self.table.clone());
        Relation { graph, stream, view: self.view, table }
    }
}

/// A relation's rows by key. Made by [`Relation::index`], shared by all who join on it.
pub struct Index<K, T> {
    pub(crate) graph: Rc<RefCell<Graph>>,
    pub(crate) table: Rc<Table<T>>,
    pub(crate) index: Rc<KeyIndex<K, T>>,
}

impl<K, T> Clone for Index<K, T> {
    fn clone(&self) -> Self {
        Index { graph: self.graph.clone(), table: self.table.clone(), index: self.index.clone() }
    }
}

impl<T: Row> Relation<T> {
    pub(crate) fn from_stream(graph: &Rc<RefCell<Graph>>, stream: Rc<Stream<T>>) -> Self {
        graph.borrow_mut().labels.push(stream.label.clone());
        Relation { graph: graph.clone(), stream, view: View::Bag, table: Rc::new(RefCell::new(None)) }
    }

    fn derive<U: Row>(&self) -> (Rc<Stream<U>>, Relation<U>) {
        let stream = Rc::new(Stream::new(self.graph.borrow().shared()));
        (stream.clone(), Relation::from_stream(&self.graph, stream))
    }

    /// The relation's store, made when it is first needed.
    fn table(&self) -> Rc<Table<T>> {
        if let Some(table) = &*self.table.borrow() {
            return table.clone();
        }
        let table = self.graph.borrow_mut().add(|node, shared| Table::new(node, self.stream.clone(), shared));
        self.graph.borrow_mut().labels.push(table.distinct.label.clone());
        self.table.replace(Some(table.clone()));
        table
    }

    /// Gives the relation a name, by which counters and statistics list it.
    pub fn named(self, name: &'static str) -> Self {
        self.stream.label.name.set(Some(name));
        self
    }

    /// One row for each row. Rows that become equal add their weights.
    pub fn map<U: Row>(&self, f: impl Fn(&T) -> U + 'static) -> Relation<U> {
        let (out, relation) = self.derive();
        self.stream.subscribe(Rc::new(Map { f, out }));
        relation
    }

    /// The rows for which `f` holds.
    pub fn filter(&self, f: impl Fn(&T) -> bool + 'static) -> Relation<T> {
        let (out, relation) = self.derive();
        self.stream.subscribe(Rc::new(Filter { f, out }));
        relation
    }

    /// Any number of rows for each row.
    pub fn flat_map<U: Row, I: IntoIterator<Item = U>>(&self, f: impl Fn(&T) -> I + 'static) -> Relation<U> {
        let (out, relation) = self.derive();
        self.stream.subscribe(Rc::new(FlatMap { f, out }));
        relation
    }

    /// The rows of both; weights add.
    pub fn concat(&self, other: &Relation<T>) -> Relation<T> {
        self.concat_all([other])
    }

    /// The rows of this and all the others; weights add. A change passes one operator, however many are joined here.
    pub fn concat_all<'a>(&self, others: impl IntoIterator<Item = &'a Relation<T>>) -> Relation<T> {
        let (out, relation) = self.derive();
        self.stream.subscribe(out.clone());
        for other in others {
            same_program(&self.graph, &other.graph);
            other.stream.subscribe(out.clone());
        }
        relation
    }

    /// The rows of this less those of the other: weights subtract. Where every row of the other is one of this, this is what is left
    /// without them, and unlike [`antijoin`](crate::Index::antijoin) it keeps nothing.
    pub fn minus(&self, other: &Relation<T>) -> Relation<T> {
        same_program(&self.graph, &other.graph);
        let (out, relation) = self.derive();
        self.stream.subscribe(out.clone());
        other.stream.subscribe(Rc::new(Negate { out }));
        relation
    }

    /// The relation as a set: weight 1 for each row of positive weight, none for the others.
    pub fn distinct(&self) -> Relation<T> {
        if self.view == View::Set {
            return self.clone();
        }
        let table = self.table();
        Relation {
            graph: self.graph.clone(),
            stream: table.distinct.clone(),
            view: View::Set,
            table: self.table.clone(),
        }
    }

    /// The rows by a key, to join on. Build it once and share it. The key is computed whenever it is needed instead of
    /// being stored, so `key` should be cheap (copy an id, clone an `Rc`) and must depend on nothing but the row.
    pub fn index<K: Row>(&self, key: impl Fn(&T) -> K + 'static) -> Index<K, T> {
        let table = self.table();
        let index = KeyIndex::new(self.view, key);
        table.follow(index.clone());
        Index { graph: self.graph.clone(), table, index }
    }

    /// Any function of each group of rows with one key: `f` gets the key and the group's rows with their weights (never
    /// 0, in no particular order) and gives the group's results. An empty group gives nothing, without a call.
    ///
    /// A step costs the size of each group that changed. Where that is too much: [`Relation::count_by`],
    /// [`Relation::min_by`].
    pub fn reduce<K: Row, U: Row, I: IntoIterator<Item = U> + 'static>(
        &self,
        key: impl Fn(&T) -> K + 'static,
        f: impl Fn(&K, &[(&T, i64)]) -> I + 'static,
    ) -> Relation<U> {
        let Index { table, index, .. } = self.index(key);
        let (out, relation) = self.derive();
        self.graph.borrow_mut().add(|node, shared| Reduce::new(node, table, index, f, out, shared));
        relation
    }

    /// The least row of each group by `order`, with weight 1. Rows of positive weight take part. Among equals the same
    /// one wins whatever the order of insertion. A change costs O(log group).
    pub fn min_by<K: Row, O: Ord + 'static>(
        &self,
        key: impl Fn(&T) -> K + 'static,
        order: impl Fn(&T) -> O + 'static,
    ) -> Relation<T> {
        let table = self.table();
        let (out, relation) = self.derive();
        let shared = self.graph.borrow().shared();
        table.follow(Rc::new(Least::new(key, order, out, shared)));
        relation
    }

    /// The number of rows by key (the sum of their weights); a key whose sum is 0 is not listed. A change costs O(1).
    pub fn count_by<K: Row>(&self, key: impl Fn(&T) -> K + 'static) -> Relation<(K, i64)> {
        let keys = self.map(key);
        let (out, relation) = self.derive();
        keys.table().follow(Rc::new(Count { out }));
        relation
    }

    /// Makes the relation's changes available to [`Program::drain`]. They have the relation's weights: for a set, say
    /// `distinct().output()`.
    pub fn output(&self) -> Output<T> {
        let shared = self.graph.borrow().shared();
        let port = Rc::new(OutputPort::new(self.view == View::Set, shared));
        self.stream.subscribe(port.clone());
        Output::new(self.graph.borrow_mut().port(port))
    }

    /// Makes the relation's rows available to [`Program::scan`]; they share the store of its indexes and `distinct`.
    pub fn stored(&self) -> Stored<T> {
        let entry: Rc<dyn Any> = Rc::new((self.table(), self.view));
        Stored::new(self.graph.borrow_mut().port(entry))
    }
}

/// Operators of different builders would wait for each other for ever.
pub(crate) fn same_program(one: &Rc<RefCell<Graph>>, other: &Rc<RefCell<Graph>>) {
    assert!(Rc::ptr_eq(one, other), "relations of different builders cannot be combined");
}

/// The nodes that can be reached from `roots` along `edges`, the roots included: a set. Only rows of positive weight
/// count. Cycles are allowed, and what only a cycle holds up is dropped.
///
/// An edge that comes costs what it makes reachable; one that goes costs what was reached through it and those nodes'
/// edges, and constant time if nothing was.
pub fn reach<N: Row>(roots: &Relation<N>, edges: &Relation<(N, N)>) -> Relation<N> {
    same_program(&roots.graph, &edges.graph);
    let edges = edges.distinct();
    let from = edges.index(|(start, _)| start.clone()).index;
    let to = edges.index(|(_, end)| end.clone()).index;
    let (roots, edges) = (roots.distinct(), edges);
    let (root_table, edge_table) = (roots.table(), edges.table());
    let (out, relation) = roots.derive();
    let graph = &roots.graph;
    graph.borrow_mut().add(|node, shared| Reach::new(node, root_table, edge_table, [from, to], out, shared));
    relation
}
