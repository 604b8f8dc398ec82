//! A large network, drawn as less: leaves of one node become one, and, if that is not enough, routers with what hangs on them.
//!
//! What is set aside, pinned to a chassis that is silent, or part of a circle stays by itself as long as there is room: it is what people look
//! for.

use super::{
    forest::Forest,
    picture::{Life, Line, Node, Picture, Sum, What},
};
use std::collections::BTreeMap;

/// Up to so many nodes everything is drawn: they fit on one screen as text.
const ALL: usize = 40;
/// Up to so many nodes leaves alone are collapsed: they fit on one wall.
const SOME: usize = 120;
/// Fewer than so many are never drawn as one: it would save nothing.
const FEW: usize = 3;

/// What may go into a node that stands for many, from the most careful.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// What is well, and ends there.
    Whole,
    /// Also what has links or routes elsewhere.
    Crossing,
    /// Anything.
    None,
}

/// One way to draw less.
#[derive(Clone, Copy)]
enum Pass {
    /// Neighbours with trees of at most this height become one.
    Join(usize, Care),
    /// A node for many goes into what it hangs on.
    Absorb,
}

/// Tried in this order until the picture is small enough.
const PASSES: [Pass; 12] = [
    Pass::Join(0, Care::Whole),
    Pass::Absorb,
    Pass::Join(0, Care::Whole),
    Pass::Join(2, Care::Whole),
    Pass::Join(usize::MAX, Care::Whole),
    Pass::Join(0, Care::Crossing),
    Pass::Absorb,
    Pass::Join(2, Care::Crossing),
    Pass::Join(usize::MAX, Care::Crossing),
    Pass::Join(0, Care::None),
    Pass::Join(2, Care::None),
    Pass::Join(usize::MAX, Care::None),
];

/// Draws less of the logical network, if there is too much of it.
pub fn fold(mut picture: Picture) -> Picture {
    let mut made = 0;
    for (number, pass) in PASSES.into_iter().enumerate() {
        if picture.nodes.len() <= if number == 0 { ALL } else { SOME } {
            break;
        }
        picture = match pass {
            Pass::Join(height, care) => join(picture, height, care, &mut made),
            Pass::Absorb => absorb(picture),
        };
    }
    picture
}

/// What to know of each node's tree, itself included.
#[derive(Clone, Copy, Default)]
struct Tree {
    height: usize,
    /// Something is wrong in it.
    ill: bool,
    /// A link or route leads out of it.
    tied: bool,
    /// The centre is in it.
    central: bool,
}

fn trees(picture: &Picture, forest: &Forest) -> Vec<Tree> {
    let mut trees: Vec<Tree> = vec![Tree::default(); picture.nodes.len()];
    for ((tree, node), height) in trees.iter_mut().zip(&picture.nodes).zip(forest.heights()) {
        let down = matches!(node.what, What::Router { pinned: Some((_, Life::Silent | Life::Unregistered)) });
        *tree = Tree { height, ill: down || !node.faults.is_empty(), ..Tree::default() };
    }
    for (number, edge) in picture.edges.iter().enumerate() {
        let tied = forest.rest.contains(&number) || matches!(edge.what, Line::Routes(_));
        for end in [edge.from, edge.to] {
            if let Some(tree) = trees.get_mut(end).filter(|_| tied) {
                tree.tied = true;
            }
        }
    }
    for node in forest.order.iter().rev() {
        let Some(tree) = trees.get_mut(*node) else { continue };
        tree.central |= picture.centre == Some(*node);
        let up = forest.parent.get(*node).copied().flatten();
        let bad_link = up.and_then(|(edge, _)| picture.edges.get(edge)).is_some_and(|edge| !edge.faults.is_empty());
        tree.ill |= bad_link;
        let below = *tree;
        if let Some(above) = up.and_then(|(_, above)| trees.get_mut(above)) {
            above.ill |= below.ill;
            above.tied |= below.tied;
            above.central |= below.central;
        }
    }
    trees
}

/// Makes one node of those that hang on one node, are of one kind and small enough.
fn join(mut picture: Picture, height: usize, care: Care, made: &mut usize) -> Picture {
    let forest = Forest::of(&picture);
    let trees = trees(&picture, &forest);
    let may = |node: &usize| {
        let tree = trees.get(*node).copied().unwrap_or_default();
        let plain =
            matches!(picture.nodes.get(*node).map(|node| &node.what), Some(What::Switch { .. } | What::Router { .. }));
        let allowed = match care {
            Care::Whole => !tree.ill && !tree.tied,
            Care::Crossing => !tree.ill,
            Care::None => true,
        };
        plain && allowed && !tree.central && tree.height <= height
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut split = |all: Vec<usize>| {
        let (routers, switches): (Vec<usize>, Vec<usize>) =
            all.into_iter().partition(|node| picture.nodes.get(*node).is_some_and(Node::is_router));
        groups.extend([switches, routers].into_iter().filter(|group| group.len() >= FEW));
    };
    split(forest.roots.iter().copied().filter(may).collect());
    for node in &forest.order {
        split(forest.children(*node).iter().map(|(_, child)| *child).filter(may).collect());
    }
    // A tree within a tree that goes is not made one before.
    let mut swallowed: BTreeMap<usize, usize> = BTreeMap::new();
    let mut keep = vec![true; picture.nodes.len()];
    for group in groups {
        if group.iter().any(|node| swallowed.contains_key(node)) {
            continue;
        }
        let (mut sum, new) = (Sum::default(), picture.nodes.len());
        let name = |node: Option<&usize>| node.and_then(|n| picture.nodes.get(*n)).map(|n| n.name.clone());
        let (mut first, mut last) = (name(group.first()), name(group.last()));
        sum.names = first.take().zip(last.take());
        sum.joined = group.len();
        let mut todo = group;
        while let Some(node) = todo.pop() {
            if let Some(node) = picture.nodes.get(node) {
                sum.take(node);
            }
            swallowed.insert(node, new);
            keep.splice(node..=node, [false]);
            todo.extend(forest.children(node).iter().map(|(_, child)| *child));
        }
        *made += 1;
        let mut many = Node::new(format!("many/{made}"), sum.heading(), What::Many);
        many.inside = Some(sum);
        picture.nodes.push(many);
        keep.push(true);
    }
    picture.collapsed |= !swallowed.is_empty();
    picture.keep(&keep, &swallowed)
}

/// Puts each node for many into what it hangs on, if it hangs on nothing else.
fn absorb(mut picture: Picture) -> Picture {
    let mut ends: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for edge in &picture.edges {
        for end in [edge.from, edge.to] {
            if let Some(ends) = ends.get_mut(end) {
                ends.push(edge.other(end));
            }
        }
    }
    let mut swallowed: BTreeMap<usize, usize> = BTreeMap::new();
    let mut keep = vec![true; picture.nodes.len()];
    for (node, ends) in ends.iter().enumerate() {
        let (Some(many), [host]) = (picture.nodes.get(node), &ends[..]) else { continue };
        let (What::Many, Some(sum)) = (&many.what, many.inside.clone()) else { continue };
        let names = sum.names.clone();
        let many = many.clone();
        if let Some(host) = picture.nodes.get_mut(*host) {
            let inside = host.inside.get_or_insert_default();
            inside.take(&many);
            inside.names = if inside.names.is_none() { names } else { None };
            swallowed.insert(node, *ends.first().unwrap_or(&node));
            keep.splice(node..=node, [false]);
        }
    }
    picture.keep(&keep, &swallowed)
}

/// Draws less of the hosts: those that are well, have no special part, and share the same are one.
pub fn fold_hosts(mut picture: Picture) -> Picture {
    let is_host = |node: &&Node| matches!(node.what, What::Chassis(_));
    if picture.nodes.iter().filter(is_host).count() <= ALL {
        return picture;
    }
    let mut meshes: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    let mut busy = vec![false; picture.nodes.len()];
    for edge in &picture.edges {
        match edge.what {
            Line::Member => meshes.get_mut(edge.to).into_iter().for_each(|all| all.push(edge.from)),
            _ => [edge.from, edge.to].into_iter().for_each(|end| drop(busy.splice(end..=end, [true]))),
        }
    }
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, (node, meshes)) in picture.nodes.iter().zip(meshes).enumerate() {
        let What::Chassis(host) = &node.what else { continue };
        let plain = host.life == Life::Alive && host.roles.is_empty() && host.routers.is_empty();
        if plain && node.faults.is_empty() && !busy.get(number).copied().unwrap_or(true) {
            groups.entry((host.kinds(), meshes)).or_default().push(number);
        }
    }
    let (mut keep, mut swallowed) = (vec![true; picture.nodes.len()], BTreeMap::new());
    for (number, group) in groups.into_values().filter(|group| group.len() >= FEW).enumerate() {
        let members: Vec<&Node> = group.iter().filter_map(|node| picture.nodes.get(*node)).collect();
        let mut sum = Sum::default();
        members.iter().for_each(|node| sum.take(node));
        sum.joined = members.len();
        sum.names = members.first().zip(members.last()).map(|(a, b)| (a.name.clone(), b.name.clone()));
        let mut many = Node::new(format!("many/{}", number + 1), sum.heading(), What::Many);
        many.inside = Some(sum);
        let new = picture.nodes.len();
        for node in group {
            swallowed.insert(node, new);
            keep.splice(node..=node, [false]);
        }
        picture.nodes.push(many);
        keep.push(true);
    }
    picture.collapsed |= !swallowed.is_empty();
    picture.keep(&keep, &swallowed)
}
