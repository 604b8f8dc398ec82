//! What is drawn, before it is known how: nodes and edges, of the logical network or of the hosts.

use std::collections::BTreeMap;
use tuplenet_model::{
    entity::{Encap, EncapKind},
    name::Name,
};

/// Something to draw.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What it is, in one line.
    pub title: String,
    /// In the order in which they are drawn.
    pub nodes: Vec<Node>,
    /// Ordered by their ends.
    pub edges: Vec<Edge>,
    /// The node that the drawing is around, if it was asked for.
    pub centre: Option<usize>,
    /// What should be known, and belongs to no node.
    pub notes: Vec<String>,
    /// Objects that are set aside and belong to nothing that is drawn.
    pub loose: Vec<Fault>,
    /// Whether something is drawn as less than it is.
    pub collapsed: bool,
}

/// An object that is set aside, or something else that does not work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The object's path in the store.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// A box.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique: the path in the store, or, of what has none, another word.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub what: What,
    /// Whether it is set aside as a whole, by the reasons in `faults`.
    pub rejected: bool,
    /// Objects that are set aside: itself, or parts of it.
    pub faults: Vec<Fault>,
    /// What is collapsed into it.
    pub inside: Option<Sum>,
    /// Links that lead out of the drawing.
    pub beyond: usize,
    /// Routes that lead out of the drawing, and to where.
    pub routes_beyond: Vec<(Route, String)>,
}

/// What a box stands for.
#[derive(Clone, Debug)]
pub enum What {
    /// A logical switch, with the number of its ports that are no ends of links.
    Switch {
        ports: usize,
        /// How many of them are on which host; `None`: hosts are not known.
        hosts: Option<BTreeMap<Name, usize>>,
    },
    /// A logical router; with the chassis if it is pinned.
    Router { pinned: Option<(Name, Life)> },
    /// A host.
    Chassis(Host),
    /// Chassis that all have tunnels to each other, since they share the datapaths.
    Mesh { chassis: usize, kinds: Vec<EncapKind>, datapaths: Vec<Name> },
    /// Several, as one.
    Many,
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    pub life: Life,
    pub encaps: Vec<Encap>,
    pub roles: Vec<String>,
    /// The ports that it hosts, by switch.
    pub ports: BTreeMap<Name, Vec<Name>>,
    /// The routers that are pinned to it.
    pub routers: Vec<Name>,
}

/// What is known of a chassis' agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// Its heartbeat is there.
    Alive,
    /// It has registered, and is not heard of now. Its traffic goes on.
    Silent,
    /// It has never registered, or its object is not valid: no host can reach it.
    Unregistered,
    /// There is no store to ask.
    Unknown,
}

/// What was collapsed into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub switches: usize,
    pub routers: usize,
    pub chassis: usize,
    pub ports: usize,
    pub faults: usize,
    /// How many hung there, each by a link: the number of links need not be said.
    pub joined: usize,
    /// The first and the last by name.
    pub names: Option<(String, String)>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub what: Line,
    /// Why it does not work.
    pub faults: Vec<Fault>,
    /// How many are drawn as this one.
    pub count: usize,
}

/// What a line stands for.
#[derive(Clone, Debug)]
pub enum Line {
    /// A link, from a router to a switch, with the router's addresses. Empty if several are drawn as one.
    Link { nets: Vec<String>, router_port: String, switch_port: String },
    /// Static routes from a router to what has their next hops: a router, or the switch of an ordinary port.
    Routes(Vec<Route>),
    /// Traffic between two chassis; no types: they have none in common.
    Tunnel {
        kinds: Vec<EncapKind>,
        /// How many datapaths both have.
        shared: usize,
        /// The worst that the two say of a BFD session with each other; `None`: there is none.
        bfd: Option<String>,
    },
    /// A chassis is one of a mesh.
    Member,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub name: Name,
    pub prefix: String,
    pub next_hop: String,
    /// The port that has the next hop; `None`: none has it, perhaps a neighbour that is no part of the network.
    pub owner: Option<String>,
    /// How many next hops the router has for that prefix.
    pub of: usize,
    /// What hosts say of this one, if it is one of several and they do.
    pub state: Option<String>,
}

impl Node {
    pub fn new(id: impl Into<String>, name: impl Into<String>, what: What) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            what,
            rejected: false,
            faults: Vec::new(),
            inside: None,
            beyond: 0,
            routes_beyond: Vec::new(),
        }
    }
    pub fn is_router(&self) -> bool {
        matches!(self.what, What::Router { .. })
    }
}

impl Edge {
    pub fn new(from: usize, to: usize, what: Line) -> Self {
        Self { from, to, what, faults: Vec::new(), count: 1 }
    }
    /// Whether it holds the drawing together.
    pub fn is_frame(&self) -> bool {
        matches!(self.what, Line::Link { .. } | Line::Member)
    }
    /// The other end.
    pub fn other(&self, node: usize) -> usize {
        if self.from == node { self.to } else { self.from }
    }
}

impl Sum {
    /// Takes a node, and what is collapsed into it, in.
    pub fn take(&mut self, node: &Node) {
        let mut inner = node.inside.clone().unwrap_or_default();
        match &node.what {
            What::Switch { ports, .. } => {
                inner.switches += 1;
                inner.ports += ports;
            }
            What::Router { .. } => inner.routers += 1,
            What::Chassis(host) => {
                inner.chassis += 1;
                inner.ports += host.ports.values().map(Vec::len).sum::<usize>();
            }
            What::Mesh { .. } | What::Many => {}
        }
        inner.faults += node.faults.len();
        self.switches += inner.switches;
        self.routers += inner.routers;
        self.chassis += inner.chassis;
        self.ports += inner.ports;
        self.faults += inner.faults;
    }
}

impl Picture {
    /// Whether a chassis at either end is not alive.
    pub fn ends_down(&self, edge: &Edge) -> bool {
        let down = |node: &Node| matches!(&node.what, What::Chassis(host) if host.life != Life::Alive);
        [edge.from, edge.to].iter().any(|end| self.nodes.get(*end).is_some_and(down))
    }

    /// The same with those nodes only, and the edges between them. What leads out of it is counted, but for edges within `swallowed`, which
    /// says into which node one that goes is collapsed.
    pub fn keep(self, keep: &[bool], swallowed: &BTreeMap<usize, usize>) -> Picture {
        let mut place: Vec<Option<usize>> = Vec::with_capacity(self.nodes.len());
        let names: Vec<String> = self.nodes.iter().map(Node::full_name).collect();
        let mut nodes = Vec::new();
        for (node, keep) in self.nodes.into_iter().zip(keep) {
            place.push(keep.then_some(nodes.len()));
            nodes.extend(keep.then_some(node));
        }
        let target = |node: usize| place.get(*swallowed.get(&node).unwrap_or(&node)).copied().flatten();
        let mut edges: Vec<Edge> = Vec::new();
        let mut merged: BTreeMap<(usize, usize, u8), usize> = BTreeMap::new();
        for mut edge in self.edges {
            let moved = swallowed.contains_key(&edge.from) || swallowed.contains_key(&edge.to);
            match (target(edge.from), target(edge.to)) {
                (Some(from), Some(to)) if moved => {
                    if from == to {
                        continue;
                    }
                    let slot = *merged.entry((from, to, edge.what.rank())).or_insert(edges.len());
                    match edges.get_mut(slot) {
                        Some(first) => first.absorb(edge),
                        None => {
                            (edge.from, edge.to) = (from, to);
                            edges.push(edge);
                        }
                    }
                }
                (Some(from), Some(to)) => {
                    (edge.from, edge.to) = (from, to);
                    edges.push(edge);
                }
                (Some(inner), None) | (None, Some(inner)) => {
                    let Some(node) = nodes.get_mut(inner) else { continue };
                    match edge.what {
                        Line::Routes(routes) if place.get(edge.from).copied().flatten().is_some() => {
                            let to = names.get(edge.to).cloned().unwrap_or_default();
                            node.routes_beyond.extend(routes.into_iter().map(|route| (route, to.clone())));
                        }
                        Line::Routes(_) => {}
                        _ => node.beyond += edge.count,
                    }
                }
                (None, None) => {}
            }
        }
        let centre = self.centre.and_then(target);
        Picture { nodes, edges, centre, ..self }
    }
}

impl Line {
    /// Lines of one kind.
    fn rank(&self) -> u8 {
        match self {
            Line::Link { .. } => 0,
            Line::Routes(_) => 1,
            Line::Tunnel { .. } => 2,
            Line::Member => 3,
        }
    }
}

impl Edge {
    /// Becomes this one and another of the same kind and ends.
    fn absorb(&mut self, other: Edge) {
        self.count += other.count;
        self.faults.extend(other.faults);
        match (&mut self.what, other.what) {
            (Line::Link { nets, .. }, _) => nets.clear(),
            (Line::Routes(all), Line::Routes(more)) => all.extend(more),
            (Line::Tunnel { kinds, shared, .. }, Line::Tunnel { kinds: more, shared: also, .. }) => {
                kinds.extend(more);
                kinds.sort();
                kinds.dedup();
                *shared = (*shared).max(also);
            }
            _ => {}
        }
    }
}
