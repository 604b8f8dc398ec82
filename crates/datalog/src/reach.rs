//! `reach`: recursion, the one form of it that the network's rules need.
//!
//! ```text
//! reach(N) <- root(N).
//! reach(M) <- reach(N), edge(N, M).
//! ```
//!
//! DBSP evaluates recursion by nesting a circuit that iterates to the fixed point. With deletions in cycles that needs
//! the history of the iterations; here a spanning forest does: every reached node that is not a root remembers one
//! *parent*, a reached node with an edge to it, such that the parents lead to a root without a cycle. An edge that is
//! nobody's parent edge goes at constant cost. When a parent edge goes, the subtree below it is taken out, then every
//! node in it that has another edge from outside is put back with what hangs on it. The cost is that of the subtree and
//! its edges: a cycle that lost its root cannot hold itself up, since its parents led through the lost edge.

use std::cell::RefCell;
use std::rc::Rc;

use crate::Row;
use crate::hash::hash_of;
use crate::index::KeyIndex;
use crate::keymap::KeyMap;
use crate::node::{Node, Statistics};
use crate::stream::{Shared, Sink, Stream};
use crate::table::{Rows, Table};
use crate::zset::{Buffer, consolidate};

/// The operator behind [`crate::reach()`].
pub(crate) struct Reach<N> {
    pub(crate) roots: Rc<Table<N>>,
    pub(crate) edges: Rc<Table<(N, N)>>,
    pub(crate) from: Rc<KeyIndex<N, (N, N)>>,
    pub(crate) to: Rc<KeyIndex<N, (N, N)>>,
    pub(crate) root_changes: Rc<Buffer<N>>,
    pub(crate) edge_changes: Rc<Buffer<(N, N)>>,
    /// The reached nodes, each with its parent; roots may have none.
    reached: RefCell<KeyMap<N, Option<N>>>,
    out: Rc<Stream<N>>,
    shared: Rc<Shared>,
}

impl<N: Row> Reach<N> {
    pub(crate) fn new(
        node: u32,
        roots: Rc<Table<N>>,
        edges: Rc<Table<(N, N)>>,
        ends: [Rc<KeyIndex<N, (N, N)>>; 2],
        out: Rc<Stream<N>>,
        shared: Rc<Shared>,
    ) -> Self {
        let root_changes = Rc::new(Buffer::new(node, shared.clone()));
        let edge_changes = Rc::new(Buffer::new(node, shared.clone()));
        roots.distinct.subscribe(root_changes.clone());
        edges.distinct.subscribe(edge_changes.clone());
        let [from, to] = ends;
        Reach { roots, edges, from, to, root_changes, edge_changes, reached: RefCell::new(KeyMap::new()), out, shared }
    }

    /// Takes out the nodes of `lost` and all whose parents lead to them. Returns all that were taken out.
    fn cut(&self, edges: &Rows<(N, N)>, reached: &mut KeyMap<N, Option<N>>, starts: Vec<N>) -> Vec<N> {
        let mut lost: Vec<N> = starts.into_iter().filter(|node| reached.remove(node).is_some()).collect();
        let mut next = 0;
        while let Some(node) = lost.get(next).cloned() {
            next += 1;
            let seen = self.from.each(edges, &node, hash_of(&node), |(_, end), _| {
                if reached.get(end).is_some_and(|parent| parent.as_ref() == Some(&node)) {
                    reached.remove(end);
                    lost.push(end.clone());
                }
            });
            self.shared.touch(seen);
        }
        lost
    }

    /// What holds a node that is not reached at present: itself as a root, or a reached node with an edge to it.
    fn support(&self, rows: (&Rows<N>, &Rows<(N, N)>), reached: &KeyMap<N, Option<N>>, node: &N) -> Option<Option<N>> {
        let (roots, edges) = rows;
        if roots.weight_of(node) > 0 {
            return Some(None);
        }
        let mut parent = None;
        let seen = self.to.each(edges, node, hash_of(node), |(start, _), _| {
            if parent.is_none() && reached.get(start).is_some() {
                parent = Some(start.clone());
            }
        });
        self.shared.touch(seen);
        parent.map(Some)
    }
}

impl<N: Row> Node for Reach<N> {
    fn run(&self) {
        let mut root_changes = self.root_changes.take();
        let mut edge_changes = self.edge_changes.take();
        consolidate(&mut root_changes);
        consolidate(&mut edge_changes);
        let roots = self.roots.rows();
        let edges = self.edges.rows();
        let mut reached = self.reached.borrow_mut();
        let reached = &mut *reached;

        let lost_roots = root_changes
            .iter()
            .filter(|(node, weight)| *weight < 0 && reached.get(node).is_some_and(Option::is_none))
            .map(|(node, _)| node.clone());
        let lost_ends = edge_changes
            .iter()
            .filter(|((start, end), weight)| {
                *weight < 0 && reached.get(end).is_some_and(|parent| parent.as_ref() == Some(start))
            })
            .map(|((_, end), _)| end.clone());
        let starts: Vec<N> = lost_roots.chain(lost_ends).collect();
        let lost = self.cut(&edges, reached, starts);

        // What may be reached now: what was lost, new roots, ends of new edges.
        let candidates = lost
            .iter()
            .chain(root_changes.iter().filter(|(_, weight)| *weight > 0).map(|(node, _)| node))
            .chain(edge_changes.iter().filter(|(_, weight)| *weight > 0).map(|((_, end), _)| end));
        let mut found: Vec<N> = Vec::new();
        for node in candidates {
            if reached.get(node).is_none()
                && let Some(parent) = self.support((&roots, &edges), reached, node)
            {
                reached.insert(node.clone(), parent);
                found.push(node.clone());
            }
        }
        let mut next = 0;
        while let Some(node) = found.get(next).cloned() {
            next += 1;
            let seen = self.from.each(&edges, &node, hash_of(&node), |(_, end), _| {
                if reached.get(end).is_none() {
                    reached.insert(end.clone(), Some(node.clone()));
                    found.push(end.clone());
                }
            });
            self.shared.touch(seen);
        }

        let mut changes: Vec<(N, i64)> = lost.into_iter().map(|node| (node, -1)).collect();
        changes.extend(found.into_iter().map(|node| (node, 1)));
        consolidate(&mut changes);
        for (node, weight) in changes {
            self.out.push(node, weight);
        }
        self.root_changes.recycle(root_changes);
        self.edge_changes.recycle(edge_changes);
    }

    fn kind(&self) -> &'static str {
        "reach"
    }

    fn name(&self) -> Option<&'static str> {
        self.out.label.name.get()
    }

    fn statistics(&self) -> Option<Statistics> {
        let reached = self.reached.borrow();
        Some(Statistics { name: self.name(), rows: reached.len(), groups: Vec::new(), bytes: reached.bytes() })
    }

    fn disconnect(&self) {
        self.out.disconnect();
    }
}
