//! The picture as a tree of text.

use super::{
    forest::Forest,
    paper::{Ink, Paper, Row},
    picture::{Edge, Line, Picture, Route, What},
    words::{NAMED, Tone, cut, kinds_words, some},
};
use crate::print::{count, printable};
use std::collections::BTreeMap;

/// How many routes, links elsewhere and faults of one node are listed.
const LISTED: usize = 4;
/// How many faults of nothing that is drawn are listed.
const LOOSE: usize = 10;
/// How many tunnels of one chassis are named.
const TUNNELS: usize = 8;
/// How wide the columns of names and addresses grow to stay in line.
const COLUMN: usize = 34;

/// Writes it. `full`: nothing is left out of lists.
pub fn text(picture: &Picture, paper: Paper, full: bool) -> String {
    let forest = Forest::of(picture);
    let mut drawing =
        Drawing { picture, forest, paper, full, out: String::new(), across: vec![Vec::new(); picture.nodes.len()] };
    for number in drawing.forest.rest.clone() {
        let Some(edge) = picture.edges.get(number) else { continue };
        let at = if matches!(edge.what, Line::Member) { edge.to } else { edge.from };
        drawing.note_across(at, number);
    }
    for (number, edge) in picture.edges.iter().enumerate() {
        match edge.what {
            Line::Routes(_) => drawing.note_across(edge.from, number),
            Line::Tunnel { .. } => [edge.from, edge.to].into_iter().for_each(|end| drawing.note_across(end, number)),
            _ => {}
        }
    }
    drawing.plain(Tone::Plain, &picture.title);
    drawing.trees();
    drawing.footer();
    drawing.out
}

struct Drawing<'a> {
    picture: &'a Picture,
    forest: Forest,
    paper: Paper,
    full: bool,
    out: String,
    /// Edges that are listed at a node, since they are no branches.
    across: Vec<Vec<usize>>,
}

/// Something below a node.
enum Item {
    Row(Row, &'static str),
    Child { edge: usize, node: usize, columns: (usize, usize) },
}

impl Drawing<'_> {
    fn note_across(&mut self, node: usize, edge: usize) {
        if let Some(across) = self.across.get_mut(node) {
            across.push(edge);
        }
    }

    fn plain(&mut self, tone: Tone, text: &str) {
        let row = Row::default().with(Ink::Tone(tone), printable(text));
        self.out.push_str(&self.paper.line(&row));
    }

    /// All trees, without recursion: a network may be a long chain.
    fn trees(&mut self) {
        for root in self.forest.roots.clone() {
            self.head("", "", None, root, (0, 0));
            let mut todo: Vec<(String, Vec<Item>)> = vec![(String::new(), self.below(root, true))];
            while let Some((indent, items)) = todo.last_mut() {
                if items.is_empty() {
                    todo.pop();
                    continue;
                }
                let item = items.remove(0);
                let last = items.is_empty();
                let indent = indent.clone();
                let (branch, further) = if last { ("└", "   ") } else { ("├", "│  ") };
                match item {
                    Item::Row(row, stroke) => {
                        let line = Row::default().with(Ink::Faint, self.indent(&indent) + branch + stroke + " ");
                        self.out.push_str(&self.paper.line(&join(line, row)));
                    }
                    Item::Child { edge, node, columns } => {
                        self.head(&indent, branch, Some(edge), node, columns);
                        todo.push((indent + further, self.below(node, false)));
                    }
                }
            }
        }
    }

    /// Indentation never takes more than half of the width.
    fn indent(&self, indent: &str) -> String {
        let (length, room) = (indent.chars().count(), self.paper.width / 2);
        if length <= room {
            return indent.to_owned();
        }
        let depth = format!("({}) ", length / 3);
        let rest = room.saturating_sub(depth.len());
        depth + &indent.chars().skip(length - rest).collect::<String>()
    }

    /// The line of a node.
    fn head(&mut self, indent: &str, branch: &str, edge: Option<usize>, node: usize, columns: (usize, usize)) {
        let Some(node) = self.picture.nodes.get(node) else { return };
        let mut row = Row::default();
        if !branch.is_empty() {
            row = row.with(Ink::Faint, format!("{}{branch}─ ", self.indent(indent)));
        }
        let ink = match node.tone() {
            Tone::Plain => Ink::Strong,
            tone => Ink::Tone(tone),
        };
        let name = cut(&node.full_name(), self.paper.width / 2);
        row = row.with(ink, format!("{name:width$}  ", width = columns.0));
        if let Some(edge) = edge.and_then(|edge| self.picture.edges.get(edge)) {
            let text = self.link_text(edge);
            if columns.1 > 0 || !text.is_empty() {
                row = row.with(Ink::Tone(Tone::Plain), format!("{text:width$}  ", width = columns.1));
            }
        }
        let row = row.list(&node.lines().into_iter().map(|(tone, text)| (tone, printable(&text))).collect::<Vec<_>>());
        self.out.push_str(&self.paper.line(&row));
    }

    /// What stands below a node: what is wrong with it, what it hosts, its tunnels, routes and links across, its branches.
    fn below(&self, number: usize, root: bool) -> Vec<Item> {
        let Some(node) = self.picture.nodes.get(number) else { return Vec::new() };
        let mut items = Vec::new();
        let mut wrong = node.wrong();
        let up = self.forest.parent.get(number).copied().flatten().and_then(|(edge, _)| self.picture.edges.get(edge));
        wrong.extend(up.into_iter().flat_map(Edge::wrong));
        self.list(&mut items, wrong, "objects are set aside: see \"tpctl doctor\"", |text| {
            (Row::default().with(Ink::Tone(Tone::Bad), format!("✗ {text}")), "─")
        });
        if root || self.full {
            for detail in node.details(if self.full { usize::MAX } else { NAMED }) {
                items.push(Item::Row(Row::default().with(Ink::Tone(Tone::Plain), detail), "─"));
            }
        }
        let across = self.across.get(number).into_iter().flatten().filter_map(|edge| self.picture.edges.get(*edge));
        let across: Vec<&Edge> = across.collect();
        items.extend(self.tunnels(number, &across));
        let routes = |edge: &&Edge| if let Line::Routes(all) = &edge.what { all.clone() } else { Vec::new() };
        let arrows: Vec<(Route, &Edge)> =
            across.iter().flat_map(|edge| routes(edge).into_iter().map(move |route| (route, *edge))).collect();
        self.list(&mut items, arrows, "routes", |(route, edge)| (self.route(&route, edge), "╌"));
        let beyond = |text| (Row::default().with(Ink::Tone(Tone::Plain), text), "╌");
        self.list(&mut items, node.routes_beyond(), "routes", beyond);
        let links: Vec<&Edge> = across.iter().copied().filter(|edge| edge.is_frame()).collect();
        self.list(&mut items, links, "links", |edge| (self.link(number, edge), "─"));
        let children = self.forest.children(number);
        let leaves = || children.iter().filter(|(_, node)| self.forest.children(*node).is_empty());
        let name = |node: usize| self.picture.nodes.get(node).map_or(0, |node| node.full_name().chars().count());
        let nets = |edge: usize| self.picture.edges.get(edge).map_or(0, |edge| self.link_text(edge).chars().count());
        let names = leaves().map(|(_, node)| name(*node)).max().unwrap_or(0).min(COLUMN);
        let nets = leaves().map(|(edge, _)| nets(*edge)).max().unwrap_or(0).min(COLUMN);
        items.extend(children.iter().map(|(edge, node)| {
            let leaf = self.forest.children(*node).is_empty();
            Item::Child { edge: *edge, node: *node, columns: if leaf { (names, nets) } else { (0, 0) } }
        }));
        items
    }

    /// Adds rows, and how many are left out.
    fn list<T>(&self, items: &mut Vec<Item>, all: Vec<T>, what: &str, row: impl Fn(T) -> (Row, &'static str)) {
        let most = if self.full || all.len() == LISTED + 1 { all.len() } else { LISTED };
        let more = all.len().saturating_sub(most);
        for one in all.into_iter().take(most) {
            let (row, stroke) = row(one);
            items.push(Item::Row(row, stroke));
        }
        if more > 0 {
            let text = format!("and {more} more {what}");
            items.push(Item::Row(Row::default().with(Ink::Tone(Tone::Plain), text), "─"));
        }
    }

    /// `0.0.0.0/0 via 100.64.0.2 ╌▶ router edge1`
    fn route(&self, route: &Route, edge: &Edge) -> Row {
        let target = self.picture.nodes.get(edge.to);
        let name = target.map(|node| node.full_name()).unwrap_or_default();
        let owner = match (&route.owner, target.map(|node| &node.what)) {
            (Some(port), Some(What::Switch { .. })) => format!(", port {port}"),
            (None, _) => ", where no port has it".to_owned(),
            _ => String::new(),
        };
        let bad = edge.faults.iter().find(|fault| fault.key.ends_with(&format!("/lsr/{}", route.name)));
        let row = Row::default();
        match bad {
            Some(fault) => {
                row.with(Ink::Tone(Tone::Bad), format!("✗ {} ╌▶ {name}: {}", route.words(), printable(&fault.reason)))
            }
            None => row.with(Ink::Tone(Tone::Plain), format!("{} ╌▶ {name}{owner}", route.words())),
        }
    }

    /// A link to a node that is drawn elsewhere.
    fn link(&self, from: usize, edge: &Edge) -> Row {
        let node = self.picture.nodes.get(edge.other(from));
        let name = node.map(|node| node.full_name()).unwrap_or_default();
        let row =
            Row::default().with(Ink::Tone(Tone::Plain), format!("{name}  {}  (drawn elsewhere)", self.link_text(edge)));
        match edge.wrong().first() {
            Some(wrong) => row.with(Ink::Tone(Tone::Bad), format!("  ✗ {wrong}")),
            None => row,
        }
    }

    fn link_text(&self, edge: &Edge) -> String {
        edge.lines(self.picture).join(", ")
    }

    /// The tunnels of a chassis, by protocol.
    fn tunnels(&self, from: usize, across: &[&Edge]) -> Vec<Item> {
        let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
        for edge in across {
            let Line::Tunnel { kinds, bfd, .. } = &edge.what else { continue };
            let Some(node) = self.picture.nodes.get(edge.other(from)) else { continue };
            let mut name = node.name.clone();
            if node.tone() == Tone::Warn {
                name.push_str(" (silent)");
            }
            if let Some(state) = bfd {
                name.push_str(&format!(" (BFD {state})"));
            }
            groups.entry(kinds_words(kinds)).or_default().push(name);
        }
        let row = |(kinds, names): (Vec<String>, Vec<String>)| {
            let names = some(&names, if self.full { names.len() } else { TUNNELS });
            let row = match kinds.is_empty() {
                true => Row::default().with(Ink::Tone(Tone::Bad), format!("✗ no tunnel type in common with {names}")),
                false => {
                    Row::default().with(Ink::Tone(Tone::Plain), format!("tunnels ({}): {names}", kinds.join(", ")))
                }
            };
            Item::Row(row, "─")
        };
        groups.into_iter().map(row).collect()
    }

    /// What belongs to no node, and what to say next.
    fn footer(&mut self) {
        let picture = self.picture;
        for note in &picture.notes {
            self.plain(Tone::Plain, note);
        }
        let most = if self.full { picture.loose.len() } else { LOOSE };
        for fault in picture.loose.iter().take(most) {
            self.plain(Tone::Bad, &format!("✗ {}", fault.words("")));
        }
        if let more @ 1.. = picture.loose.len().saturating_sub(most) {
            self.plain(
                Tone::Bad,
                &format!("✗ {} set aside: see \"tpctl doctor\"", count(more, "more object", "more objects")),
            );
        }
        if picture.collapsed {
            self.plain(
                Tone::Plain,
                "not all is drawn by itself: --full draws everything, --around NAME a neighbourhood",
            );
        }
    }
}

fn join(mut first: Row, second: Row) -> Row {
    first.append(second);
    first
}
