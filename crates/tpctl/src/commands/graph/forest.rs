//! The tree in a picture: each node below the one that it is best reached from. Text and SVG are drawn along it; links that close a circle are
//! left over, and drawn otherwise.

use super::picture::Picture;
use std::{
    cmp::Reverse,
    collections::{BTreeSet, VecDeque},
};

/// Trees that together have every node once.
pub struct Forest {
    /// The nodes on top, the best connected first.
    pub roots: Vec<usize>,
    /// Below each node: edge and node. Those that have nothing below themselves come first, then by order.
    pub children: Vec<Vec<(usize, usize)>>,
    /// Above each node: edge and node.
    pub parent: Vec<Option<(usize, usize)>>,
    /// All nodes, each after the one above it.
    pub order: Vec<usize>,
    /// Links that are no part of a tree.
    pub rest: BTreeSet<usize>,
}

impl Forest {
    /// Breadth first from the centre, or from the node with the most links.
    pub fn of(picture: &Picture) -> Self {
        let size = picture.nodes.len();
        let mut links: Vec<Vec<(usize, usize)>> = vec![Vec::new(); size];
        for (number, edge) in picture.edges.iter().enumerate().filter(|(_, edge)| edge.is_frame()) {
            for end in [edge.from, edge.to] {
                if let Some(links) = links.get_mut(end) {
                    links.push((number, edge.other(end)));
                }
            }
        }
        links.iter_mut().for_each(|links| links.sort_by_key(|(number, node)| (*node, *number)));
        let degree = |node: usize| links.get(node).map(Vec::len).unwrap_or(0);
        let mut starts: Vec<usize> = (0..size).collect();
        starts.sort_by_key(|node| (picture.centre != Some(*node), Reverse(degree(*node)), *node));
        let mut forest = Forest {
            roots: Vec::new(),
            children: vec![Vec::new(); size],
            parent: vec![None; size],
            order: Vec::with_capacity(size),
            rest: BTreeSet::new(),
        };
        let (mut seen, mut used) = (vec![false; size], vec![false; picture.edges.len()]);
        for start in starts {
            if !mark(&mut seen, start) {
                continue;
            }
            forest.roots.push(start);
            let mut queue = VecDeque::from([start]);
            while let Some(node) = queue.pop_front() {
                forest.order.push(node);
                for (edge, to) in links.get(node).into_iter().flatten().copied() {
                    if mark(&mut seen, to) {
                        mark(&mut used, edge);
                        forest.parent.splice(to..=to, [Some((edge, node))]);
                        forest.below(node).push((edge, to));
                        queue.push_back(to);
                    }
                }
            }
        }
        let leaf: Vec<bool> = forest.children.iter().map(Vec::is_empty).collect();
        for children in &mut forest.children {
            children.sort_by_key(|(_, node)| (!leaf.get(*node).copied().unwrap_or(true), *node));
        }
        let is_rest = |(number, _): &(usize, _)| !used.get(*number).copied().unwrap_or(true);
        let frame = picture.edges.iter().enumerate().filter(|(_, edge)| edge.is_frame());
        forest.rest = frame.filter(is_rest).map(|(number, _)| number).collect();
        forest
    }

    fn below(&mut self, node: usize) -> &mut Vec<(usize, usize)> {
        self.children.get_mut(node).expect("every node has a list of those below it")
    }

    /// What is below a node.
    pub fn children(&self, node: usize) -> &[(usize, usize)] {
        self.children.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many levels are below each node: 0 for a leaf.
    pub fn heights(&self) -> Vec<usize> {
        let mut heights = vec![0; self.parent.len()];
        for node in self.order.iter().rev() {
            let height = heights.get(*node).copied().unwrap_or(0);
            let up = self.parent.get(*node).copied().flatten();
            if let Some(slot) = up.and_then(|(_, above)| heights.get_mut(above)) {
                *slot = (*slot).max(height + 1);
            }
        }
        heights
    }
}

/// Sets a mark; false if it was set.
fn mark(marks: &mut [bool], at: usize) -> bool {
    marks.get_mut(at).is_some_and(|mark| !std::mem::replace(mark, true))
}
