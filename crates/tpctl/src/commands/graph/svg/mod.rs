//! The picture as SVG: one file, valid XML, that needs nothing else and can be read on white and on dark ground.
//!
//! The layout is ours. What general layouts of graphs do with a network of some routers, many leaves and long addresses was looked at first:
//! all leaves side by side in one row of any width, addresses beside their lines on top of each other.

mod boxes;
mod ring;
mod style;
mod tree;

use super::{
    forest::Forest,
    picture::{Edge, Line, Picture, What},
    words::{Tone, cut},
};
use crate::print::printable;
use boxes::{Block, CHARACTER, LINE, PADDING};
use std::fmt::Write;
use tree::{Layout, Place};

/// Around everything.
const MARGIN: i64 = 22;
/// How far a curve goes out of its way at most, so as not to run behind boxes.
const SWING: i64 = 360;
/// How many curves run side by side.
const LANES: i64 = 6;
/// How many objects that belong to nothing are named.
const LOOSE: usize = 5;

/// Writes it.
pub fn svg(picture: &Picture) -> String {
    let forest = Forest::of(picture);
    let blocks = boxes::blocks(picture, &forest);
    let tunnels = picture.edges.iter().any(|edge| matches!(edge.what, Line::Tunnel { .. }));
    let layout = if tunnels { ring::layout(&blocks) } else { tree::layout(picture, &forest, &blocks) };
    Drawing { picture, blocks, layout, out: String::new(), right: 0 }.draw()
}

struct Drawing<'a> {
    picture: &'a Picture,
    blocks: Vec<Block>,
    layout: Layout,
    out: String,
    /// How far to the right curves reach.
    right: i64,
}

impl Drawing<'_> {
    fn draw(mut self) -> String {
        self.lines();
        self.boxes();
        let drawn = std::mem::take(&mut self.out);
        let (left, top) = (MARGIN, MARGIN + 2 * LINE);
        let title = printable(&self.picture.title);
        let foot = self.foot();
        let texts = foot.iter().map(|(_, text)| text).chain([&title]);
        let legend = self.legend();
        let widest = texts.map(|text| text.chars().count() as i64 * CHARACTER).max().unwrap_or(0);
        let legend_width: i64 = legend.iter().map(|(_, text)| style::sample_width(text)).max().unwrap_or(0);
        let width = self.layout.width.max(self.right).max(widest).max(legend_width) + 2 * MARGIN;
        let foot_top = top + self.layout.height + 2 * LINE;
        let legend_top = foot_top + foot.len() as i64 * LINE + if foot.is_empty() { 0 } else { LINE / 2 };
        let (samples, legend_height) = style::flow(&legend, width - 2 * MARGIN);
        let height = legend_top + legend_height + MARGIN;
        let _ = write!(
            self.out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{}</title>\n{}\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n",
            escape(&title),
            style::STYLE
        );
        self.text(MARGIN, MARGIN + 12, "name", &title);
        let _ = writeln!(self.out, "<g transform=\"translate({left} {top})\">\n{drawn}</g>");
        for (number, (class, text)) in foot.iter().enumerate() {
            self.text(MARGIN, foot_top + number as i64 * LINE, class, text);
        }
        for ((x, y), (sample, text)) in samples.into_iter().zip(&legend) {
            let _ = write!(self.out, "<g transform=\"translate({} {})\">{sample}", MARGIN + x, legend_top + y);
            let _ = writeln!(self.out, "<text x=\"40\" y=\"12\">{}</text></g>", escape(text));
        }
        self.out.push_str("</svg>\n");
        self.out
    }

    fn text(&mut self, x: i64, y: i64, class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let _ = writeln!(self.out, "<text x=\"{x}\" y=\"{y}\"{class}>{}</text>", escape(text));
    }

    fn place(&self, node: usize) -> Place {
        self.layout.places.get(node).copied().unwrap_or_default()
    }

    /// Lines are drawn before boxes, so that no box is crossed by one.
    fn lines(&mut self) {
        for stroke in std::mem::take(&mut self.layout.strokes) {
            let ((x, y), (to_x, to_y)) = (stroke.from, stroke.to);
            let class = if stroke.wrong { "link bad" } else { "link" };
            let _ = writeln!(self.out, "<path class=\"{class}\" d=\"M{x} {y}L{to_x} {to_y}\"/>");
        }
        let picture = self.picture;
        for edge in picture.edges.iter().filter(|edge| matches!(edge.what, Line::Tunnel { .. })) {
            self.tunnel(edge);
        }
        let sockets = |(node, block): (usize, &Block)| -> Vec<(usize, usize, usize)> {
            block.sockets.iter().map(|(edge, line)| (node, *edge, *line)).collect()
        };
        let curves: Vec<(usize, usize, usize)> = self.blocks.iter().enumerate().flat_map(sockets).collect();
        // Those that end at one box end side by side.
        let mut ends = vec![(0, 0); self.blocks.len()];
        let other = |node: usize, edge: usize| picture.edges.get(edge).map(|edge| edge.other(node)).unwrap_or_default();
        curves
            .iter()
            .for_each(|(node, edge, _)| ends.iter_mut().skip(other(*node, *edge)).take(1).for_each(|end| end.1 += 1));
        for (lane, (node, edge, line)) in curves.into_iter().enumerate() {
            let (Some(edge), Some(end)) = (picture.edges.get(edge), ends.get_mut(other(node, edge))) else { continue };
            end.0 += 1;
            let end = *end;
            self.curve(edge, (node, line), end, lane as i64 % LANES);
        }
        for (x, y, text) in std::mem::take(&mut self.layout.labels) {
            self.text(x, y, "label", &text);
        }
    }

    fn tunnel(&mut self, edge: &Edge) {
        let (from, to) = (self.place(edge.from), self.place(edge.to));
        let middle = |place: Place| (place.x + place.width / 2, place.y + place.height / 2);
        let ((x, y), (to_x, to_y)) = (middle(from), middle(to));
        let class = match (edge.faults.is_empty(), self.picture.ends_down(edge)) {
            (false, _) => "tunnel bad",
            (true, true) => "tunnel silent",
            (true, false) => "tunnel",
        };
        let _ = write!(self.out, "<path class=\"{class}\" d=\"M{x} {y}L{to_x} {to_y}\">");
        let tip: Vec<String> = edge.lines(self.picture).into_iter().chain(edge.wrong()).collect();
        let _ = writeln!(self.out, "<title>{}</title></path>", escape(&printable(&tip.join(", "))));
        if let Line::Tunnel { bfd: Some(state), .. } = &edge.what {
            let state = format!("BFD {state}");
            self.text((x + to_x) / 2, (y + to_y) / 2, "label", &state);
        }
    }

    /// From a line of text in a box to another box, where it is the first, second, ... of so many: a route, or a link that closes a circle.
    fn curve(&mut self, edge: &Edge, (node, line): (usize, usize), (nth, of): (i64, i64), lane: i64) {
        let (from, to) = (self.place(node), self.place(edge.other(node)));
        let (x, y) = (from.x + from.width, from.y + PADDING + LINE / 2 + line as i64 * LINE);
        let to_y = to.y + to.height * nth / (of + 1);
        let right = to.x >= x + 16;
        let to_x = if right { to.x } else { to.x + to.width };
        // Down at the right of what stands between, if that is not too far. The middle of such a curve is three quarters out.
        let (upper, lower) = (y.min(to_y), y.max(to_y));
        let beside = |p: &Place, of: Place| p.y < of.y + of.height && p.y + p.height > of.y;
        let between = |p: &&Place| {
            let inside = p.y < lower && p.y + p.height > upper && p.x + p.width > x.min(to_x);
            inside && !beside(p, from) && !beside(p, to)
        };
        let beyond =
            self.layout.places.iter().filter(between).map(|p| p.x + p.width).max().unwrap_or(0).max(x).max(to_x);
        let (bend, back) = if right {
            let bend = ((to_x - x) / 2).clamp(36, 260);
            (bend, to_x - bend)
        } else {
            let out = Some(beyond + 14 + lane * 10)
                .filter(|out| *out < x.max(to_x) + SWING)
                .unwrap_or(x.max(to_x) + 36 + lane * 10);
            let control = x.max(to_x) + (out - x.max(to_x)) * 4 / 3;
            self.right = self.right.max(out + 8);
            (control - x, control)
        };
        let kind = if matches!(edge.what, Line::Routes(_)) { "route" } else { "link" };
        let class = if edge.faults.is_empty() { kind.to_owned() } else { format!("{kind} bad") };
        let end = match (kind, edge.faults.is_empty()) {
            ("route", true) => " marker-end=\"url(#arrow)\"",
            ("route", false) => " marker-end=\"url(#arrow-bad)\"",
            _ => "",
        };
        let _ = writeln!(
            self.out,
            "<path class=\"{class}\" d=\"M{x} {y}C{} {y} {back} {to_y} {to_x} {to_y}\"{end}/>",
            x + bend
        );
    }

    fn boxes(&mut self) {
        let picture = self.picture;
        for (number, node) in picture.nodes.iter().enumerate() {
            let Place { x, y, width, height } = self.place(number);
            let Some(block) = self.blocks.get_mut(number) else { continue };
            let lines = std::mem::take(&mut block.lines);
            let kind = style::class(node);
            let _ = write!(self.out, "<g id=\"{}\" class=\"node {kind}\">", escape(&printable(&node.id)));
            let _ = write!(self.out, "<title>{}</title>", escape(&tip(node.full_name(), node.wrong())));
            let round = if node.is_router() { 14 } else { 3 };
            if matches!(node.what, What::Many) || node.inside.is_some() {
                for shift in [6, 3] {
                    let (x, y) = (x + shift, y + shift);
                    let _ = write!(
                        self.out,
                        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
                    );
                }
            }
            let _ =
                writeln!(self.out, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>");
            for (line, (tone, text)) in lines.iter().enumerate() {
                let class = match (line, tone) {
                    (0, Tone::Bad) => "name bad",
                    (0, _) => "name",
                    (_, tone) => style::tone(*tone),
                };
                self.text(x + PADDING, y + PADDING + 12 + line as i64 * LINE, class, text);
            }
            self.out.push_str("</g>\n");
        }
    }

    /// What belongs to no box.
    fn foot(&self) -> Vec<(&'static str, String)> {
        let picture = self.picture;
        let mut foot: Vec<(&str, String)> = picture.notes.iter().map(|note| ("", printable(note))).collect();
        let loose = picture.loose.iter().take(LOOSE);
        foot.extend(loose.map(|fault| ("bad", cut(&format!("✗ {}", fault.words("")), 140))));
        if let more @ 1.. = picture.loose.len().saturating_sub(LOOSE) {
            foot.push(("bad", format!("✗ and {more} more set aside: see \"tpctl doctor\"")));
        }
        foot
    }

    /// Samples of what is in this drawing, with what they stand for.
    fn legend(&self) -> Vec<(String, &'static str)> {
        style::legend(self.picture)
    }
}

/// The whole of what a box may show only in part.
fn tip(name: String, wrong: Vec<String>) -> String {
    printable(&[vec![name], wrong].concat().join("; "))
}

/// Text for XML: its five special characters, and what XML cannot have at all.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
