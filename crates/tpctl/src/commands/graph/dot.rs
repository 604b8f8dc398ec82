//! The picture in the language of Graphviz. Everything is quoted, so that no name can be anything but a name.

use super::{
    forest::Forest,
    picture::{Edge, Life, Line, Node, Picture, What},
    words::{NAMED, Tone, cut},
};
use crate::print::printable;
use std::fmt::Write;

/// The longest line of a label, in characters.
const LINE: usize = 60;
/// How many faults of one node are written on it.
const FAULTS: usize = 4;

/// Writes it.
pub fn dot(picture: &Picture) -> String {
    let hosts = picture.edges.iter().any(|edge| matches!(edge.what, Line::Tunnel { .. }));
    let mut foot = vec![picture.title.clone()];
    foot.extend(picture.notes.iter().cloned());
    foot.extend(picture.loose.iter().take(FAULTS).map(|fault| format!("✗ {}", fault.words(""))));
    if let more @ 1.. = picture.loose.len().saturating_sub(FAULTS) {
        foot.push(format!("and {more} more objects set aside: see \"tpctl doctor\""));
    }
    let mut out = String::from("digraph \"tuplenet\" {\n");
    // A wide network is easier to scroll than to squeeze: leaves below each other. Hosts that all see each other have no direction.
    let layout =
        if hosts { "layout=\"neato\", overlap=\"false\", sep=\"+36\", splines=\"true\"" } else { "rankdir=\"LR\"" };
    let font = "fontname=\"Helvetica\", fontsize=\"11\"";
    let _ = writeln!(out, "  graph [{layout}, {font}, labelloc=\"b\", labeljust=\"l\", label={}];", text(&foot, "\\l"));
    let _ = writeln!(out, "  node [{font}, shape=\"box\", style=\"filled\", margin=\"0.12,0.06\"];");
    let _ = writeln!(out, "  edge [{font}, fontcolor=\"#3a424c\", dir=\"none\"];");
    for node in &picture.nodes {
        let _ = writeln!(out, "  {} [{}];", quoted(&node.id), node_attributes(node));
    }
    // A link has no direction, but Graphviz puts what an arrow comes from before what it goes to: so, along the tree.
    let forest = Forest::of(picture);
    for (number, edge) in picture.edges.iter().enumerate() {
        let upward = forest.parent.get(edge.from).copied().flatten().is_some_and(|(up, _)| up == number);
        let (from, to) = if upward { (edge.to, edge.from) } else { (edge.from, edge.to) };
        let (Some(from), Some(to)) = (picture.nodes.get(from), picture.nodes.get(to)) else { continue };
        let _ = writeln!(out, "  {} -> {} [{}];", quoted(&from.id), quoted(&to.id), edge_attributes(picture, edge));
    }
    out.push_str("}\n");
    out
}

fn node_attributes(node: &Node) -> String {
    let mut lines = vec![node.name.clone()];
    lines.extend(node.lines().into_iter().map(|(_, text)| text));
    lines.extend(node.details(NAMED));
    lines.extend(node.routes_beyond().into_iter().take(FAULTS));
    let wrong = node.wrong();
    lines.extend(wrong.iter().take(FAULTS).map(|text| format!("✗ {text}")));
    if let more @ 1.. = wrong.len().saturating_sub(FAULTS) {
        lines.push(format!("✗ and {more} more"));
    }
    let (shape, style, fill, border) = match &node.what {
        What::Switch { .. } => ("box", "filled", "#e3eefb", "#2f6db0"),
        What::Router { .. } => ("box", "filled,rounded", "#fdf1da", "#a86f12"),
        What::Chassis(host) if host.life == Life::Silent => ("box", "filled,dashed", "#f6efd9", "#8f6c00"),
        What::Chassis(_) => ("box", "filled", "#e2f4e6", "#2b8a3e"),
        What::Mesh { .. } => ("ellipse", "filled", "#eceff2", "#5b6470"),
        What::Many => ("box3d", "filled", "#eceff2", "#5b6470"),
    };
    let (fill, border) = match node.tone() {
        Tone::Bad => ("#fde3e3", "#c92a2a"),
        _ if !wrong.is_empty() => (fill, "#c92a2a"),
        Tone::Warn => (fill, "#8f6c00"),
        _ => (fill, border),
    };
    let font = if node.tone() == Tone::Bad { "#a51111" } else { "#1b1f24" };
    format!(
        "label={}, tooltip={}, shape=\"{shape}\", style=\"{style}\", fillcolor=\"{fill}\", color=\"{border}\", fontcolor=\"{font}\"",
        label(&lines),
        quoted(&tooltip(node.full_name(), &wrong)),
    )
}

fn edge_attributes(picture: &Picture, edge: &Edge) -> String {
    let mut lines = edge.lines(picture);
    let wrong = edge.wrong();
    if let Line::Tunnel { kinds, bfd: None, .. } = &edge.what {
        // One word on every line would say nothing.
        let other = |edge: &Edge| matches!(&edge.what, Line::Tunnel { kinds: others, .. } if others != kinds);
        if !picture.edges.iter().any(other) {
            lines.clear();
        }
    }
    lines.extend(wrong.iter().take(1).map(|text| format!("✗ {text}")));
    // A route does not pull its ends together: links do that.
    let (colour, style) = match &edge.what {
        Line::Routes(_) => ("#7b3fb5", ", dir=\"forward\", style=\"dashed\", weight=\"0\""),
        Line::Tunnel { .. } if picture.ends_down(edge) => ("#a67c00", ", len=\"4\", style=\"dashed\""),
        Line::Tunnel { .. } => ("#2b8a3e", ", len=\"4\""),
        Line::Link { .. } | Line::Member => ("#5b6470", ""),
    };
    let mut text = format!("label={}", label(&lines));
    let _ = match wrong.is_empty() {
        true => write!(text, ", color=\"{colour}\"{style}"),
        false => write!(
            text,
            ", color=\"#c92a2a\", fontcolor=\"#c92a2a\"{style}, tooltip={}",
            quoted(&tooltip(String::new(), &wrong))
        ),
    };
    text
}

fn tooltip(name: String, wrong: &[String]) -> String {
    let mut lines = vec![name];
    lines.extend(wrong.iter().take(FAULTS).map(|text| cut(text, 4 * LINE)));
    lines.join("\n").trim().to_owned()
}

/// Lines as a label, each cut to a bounded width.
fn label(lines: &[String]) -> String {
    text(lines, "")
}

/// The same, with every line ended by this: `\l` puts it on the left.
fn text(lines: &[String], end: &str) -> String {
    let cut: Vec<String> =
        lines.iter().map(|line| escaped(&cut(line, if end.is_empty() { LINE } else { 3 * LINE }))).collect();
    match end {
        "" => format!("\"{}\"", cut.join("\\n")),
        end => format!("\"{}{end}\"", cut.join(end)),
    }
}

/// A quoted string, with newlines as `\n`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.split('\n').map(escaped).collect::<Vec<_>>().join("\\n"))
}

/// `"`, `\` and (since labels may have entities) `&` escaped; no control characters.
fn escaped(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}
