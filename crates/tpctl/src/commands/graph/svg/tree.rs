//! Where things are: trees with the root on top and, below each node, what hangs on it in rows of bounded width.
//!
//! ```text
//! ┌─────────┐
//! │ central │
//! └┬────────┘
//!  ├─┬──────────┬──────────┐         a bus above each row
//!  │ │10.1.0.1  │10.2.0.1  │         a drop for each link, with the router's address
//!  │┌┴────┐    ┌┴────┐    ┌┴────┐
//!  ││ app │    │ db  │    │ web │    leaves first
//!  │└─────┘    └─────┘    └─────┘
//!  ├─┬────────────┬──────
//!  │┌┴────────┐  ┌┴────────┐
//!  ││ m1      │  │ m2      │         then what has something below itself
//! ```
//! Nothing overlaps, by construction; the cost is linear; and the place of a node depends on what is below it only, so that two drawings of
//! one network at different times look alike.

use super::{
    super::{forest::Forest, picture::Picture},
    boxes::{self, Block, LINE},
};

/// From a node's left to what is below it.
const INDENT: i64 = 26;
/// From a node's left to the line that goes down from it.
const TRUNK: i64 = 12;
/// Between two boxes of a row.
const GAP: i64 = 18;
/// Above a row's bus.
const ABOVE: i64 = 14;
/// How much wider than high a group should be: as screens and pages are.
const RATIO: f64 = 1.7;

/// A point and the size that belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub x: i64,
    pub y: i64,
    pub width: i64,
    pub height: i64,
}

/// A straight line, and whether what it leads to is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Stroke {
    pub from: (i64, i64),
    pub to: (i64, i64),
    pub wrong: bool,
}

/// Where everything is.
#[derive(Debug, Default)]
pub struct Layout {
    /// Of each node.
    pub places: Vec<Place>,
    pub strokes: Vec<Stroke>,
    /// Text beside strokes.
    pub labels: Vec<(i64, i64, String)>,
    pub width: i64,
    pub height: i64,
}

/// What hangs on a node: rows of (edge, node), with the height of the labels above and of the boxes.
#[derive(Clone, Default)]
struct Shelves {
    rows: Vec<Row>,
    width: i64,
    height: i64,
}

#[derive(Clone, Default)]
struct Row {
    items: Vec<(Option<usize>, usize)>,
    labels: i64,
    height: i64,
}

/// Finds the place of everything.
pub fn layout(picture: &Picture, forest: &Forest, blocks: &[Block]) -> Layout {
    let size = |node: usize| blocks.get(node).map(|block| (block.width, block.height)).unwrap_or_default();
    let mut groups: Vec<(i64, i64)> = (0..blocks.len()).map(size).collect();
    let mut shelves: Vec<Shelves> = vec![Shelves::default(); blocks.len()];
    // From the leaves up: how large each tree is.
    for node in forest.order.iter().copied().rev() {
        let below: Vec<(Option<usize>, usize)> =
            forest.children(node).iter().map(|(edge, n)| (Some(*edge), *n)).collect();
        if below.is_empty() {
            continue;
        }
        let shelf = arrange(picture, forest, &groups, below);
        let (width, height) = size(node);
        groups.splice(node..=node, [(width.max(INDENT + shelf.width), height + shelf.height)]);
        shelves.splice(node..=node, [shelf]);
    }
    let top = arrange(picture, forest, &groups, forest.roots.iter().map(|root| (None, *root)).collect());
    let mut layout = Layout {
        places: vec![Place::default(); blocks.len()],
        width: top.width,
        height: (top.height - ABOVE).max(0),
        ..Layout::default()
    };
    // From the roots down: where each is.
    place(picture, &groups, &top, (0, -ABOVE), &mut layout);
    for node in &forest.order {
        let (width, height) = size(*node);
        let Some(at) = layout.places.get_mut(*node) else { continue };
        (at.width, at.height) = (width, height);
        let (x, y) = (at.x, at.y + height);
        let Some(shelf) = shelves.get(*node).filter(|shelf| !shelf.rows.is_empty()) else { continue };
        let lowest = place(picture, &groups, shelf, (x + INDENT, y), &mut layout);
        let trunk = x + TRUNK;
        layout.strokes.push(Stroke { from: (trunk, y), to: (trunk, lowest), wrong: false });
    }
    layout
}

/// Puts trees into rows: leaves first, then the others from a row of their own.
fn arrange(picture: &Picture, forest: &Forest, groups: &[(i64, i64)], items: Vec<(Option<usize>, usize)>) -> Shelves {
    let size = |node: usize| groups.get(node).copied().unwrap_or_default();
    let area: i64 = items.iter().map(|(_, node)| (size(*node).0 + GAP) * (size(*node).1 + 2 * ABOVE + LINE)).sum();
    let widest = items.iter().map(|(_, node)| size(*node).0).max().unwrap_or(0);
    let most = widest.max((area as f64 * RATIO).sqrt() as i64);
    let mut shelves = Shelves::default();
    let (mut used, mut leaves) = (0, true);
    for (edge, node) in items {
        let (width, height) = size(node);
        let leaf = forest.children(node).is_empty();
        let labels =
            edge.and_then(|edge| picture.edges.get(edge)).map(|edge| boxes::label(picture, edge).len()).unwrap_or(0);
        let fits = used + width <= most && leaf == leaves;
        if !fits || shelves.rows.is_empty() {
            shelves.rows.push(Row::default());
            used = 0;
        }
        leaves = leaf;
        used += width + GAP;
        shelves.width = shelves.width.max(used - GAP);
        if let Some(row) = shelves.rows.last_mut() {
            row.items.push((edge, node));
            row.labels = row.labels.max(if edge.is_some() { labels as i64 * LINE + 8 } else { 0 });
            row.height = row.height.max(height);
        }
    }
    shelves.height = shelves.rows.iter().map(|row| ABOVE + row.labels + row.height).sum();
    shelves
}

/// Gives everything of rows its place, the corner being given, and draws bus and drops. Gives where the last bus is.
fn place(picture: &Picture, groups: &[(i64, i64)], shelf: &Shelves, corner: (i64, i64), layout: &mut Layout) -> i64 {
    let (left, mut y) = corner;
    let mut bus = y;
    for row in &shelf.rows {
        y += ABOVE;
        bus = y;
        let (mut x, mut last) = (left, left);
        for (edge, node) in &row.items {
            let top = y + row.labels;
            if let Some(at) = layout.places.get_mut(*node) {
                (at.x, at.y) = (x, top);
            }
            if let Some(edge) = edge.and_then(|edge| picture.edges.get(edge)) {
                let drop = x + TRUNK;
                last = drop;
                layout.strokes.push(Stroke { from: (drop, bus), to: (drop, top), wrong: !edge.faults.is_empty() });
                let lines = boxes::label(picture, edge);
                let first = top - 6 - (lines.len() as i64 - 1) * LINE;
                let text = |(i, line)| (drop + 6, first + i as i64 * LINE, line);
                layout.labels.extend(lines.into_iter().enumerate().map(text));
            }
            x += groups.get(*node).map(|(width, _)| *width).unwrap_or(0) + GAP;
        }
        if row.items.iter().any(|(edge, _)| edge.is_some()) {
            layout.strokes.push(Stroke { from: (left - INDENT + TRUNK, bus), to: (last, bus), wrong: false });
        }
        y += row.labels + row.height;
    }
    bus
}
