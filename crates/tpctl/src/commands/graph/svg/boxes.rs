//! What is written in each box, and how large that makes it.

use super::super::{
    forest::Forest,
    picture::{Edge, Line, Picture},
    words::{NAMED, Tone, cut},
};
use crate::print::printable;

/// Width of a character, in pixels: the advance of common monospaced fonts at 12 pixels, rounded up. Text in one font of known width needs no
/// measuring, and never leaves its box.
pub const CHARACTER: i64 = 8;
/// Height of a line.
pub const LINE: i64 = 16;
/// Between text and border.
pub const PADDING: i64 = 9;
/// The longest line, in characters.
const LONGEST: usize = 46;
/// How many lines a reason takes at most.
const REASON: usize = 3;
/// How many links and routes that are no branches of the tree leave one box: more curves could not be followed.
const ACROSS: usize = 16;
/// The narrowest box.
const NARROWEST: i64 = 88;

/// A box with its text.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub width: i64,
    pub height: i64,
    /// Its text, line by line; the first is the name.
    pub lines: Vec<(Tone, String)>,
    /// Edges that leave at a line: which edge, which line.
    pub sockets: Vec<(usize, usize)>,
}

/// All boxes.
pub fn blocks(picture: &Picture, forest: &Forest) -> Vec<Block> {
    let mut across: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    let mut note = |node: usize, edge: usize| across.get_mut(node).into_iter().for_each(|all| all.push(edge));
    for (number, edge) in picture.edges.iter().enumerate() {
        match edge.what {
            Line::Routes(_) => note(edge.from, number),
            Line::Link { .. } if forest.rest.contains(&number) => note(edge.from, number),
            Line::Member if forest.rest.contains(&number) => note(edge.to, number),
            _ => {}
        }
    }
    let block =
        |number: usize| block(picture, forest, number, across.get(number).map(Vec::as_slice).unwrap_or_default());
    (0..picture.nodes.len()).map(block).collect()
}

fn block(picture: &Picture, forest: &Forest, number: usize, across: &[usize]) -> Block {
    let Some(node) = picture.nodes.get(number) else { return Block::default() };
    let mut lines: Vec<(Tone, String)> = vec![(node.tone(), cut(&node.name, LONGEST))];
    let mut add = |tone: Tone, text: &str| lines.push((tone, cut(&printable(text), LONGEST)));
    node.lines().iter().for_each(|(tone, text)| add(*tone, text));
    node.details(NAMED).iter().chain(node.routes_beyond().iter().take(NAMED)).for_each(|text| add(Tone::Plain, text));
    let up = forest.parent.get(number).copied().flatten().and_then(|(edge, _)| picture.edges.get(edge));
    let wrong: Vec<String> = node.wrong().into_iter().chain(up.into_iter().flat_map(Edge::wrong)).collect();
    for text in wrong.iter().take(NAMED) {
        wrap(&format!("✗ {text}"), REASON).iter().for_each(|line| add(Tone::Bad, line));
    }
    if let more @ 1.. = wrong.len().saturating_sub(NAMED) {
        add(Tone::Bad, &format!("✗ and {more} more: see \"tpctl doctor\""));
    }
    let mut sockets = Vec::new();
    let shown = if across.len() == ACROSS + 1 { across.len() } else { ACROSS };
    for edge_number in across.iter().take(shown) {
        let Some(edge) = picture.edges.get(*edge_number) else { continue };
        sockets.push((*edge_number, lines.len()));
        let tone = if edge.faults.is_empty() { Tone::Plain } else { Tone::Bad };
        let other = picture.nodes.get(edge.other(number)).map(|node| node.full_name()).unwrap_or_default();
        match edge.what {
            Line::Routes(_) => lines.extend(edge.lines(picture).iter().map(|text| (tone, cut(text, LONGEST)))),
            _ => lines.push((tone, cut(&format!("{other} {}", edge.lines(picture).join(" ")), LONGEST))),
        }
        for text in edge.wrong().iter().take(1) {
            lines.extend(wrap(&format!("✗ {text}"), REASON).into_iter().map(|line| (Tone::Bad, line)));
        }
    }
    if let more @ 1.. = across.len().saturating_sub(shown) {
        lines.push((Tone::Plain, format!("and {more} more links and routes")));
    }
    let label = up.map(|edge| width(&label(picture, edge)) + 20).unwrap_or(0);
    let widest = lines.iter().map(|(_, text)| text.chars().count() as i64 * CHARACTER + 2 * PADDING).max();
    let height = lines.len() as i64 * LINE + 2 * PADDING - 4;
    Block { width: widest.unwrap_or(0).max(label).max(NARROWEST), height, lines, sockets }
}

/// What is written beside a link.
pub fn label(picture: &Picture, edge: &Edge) -> Vec<String> {
    let all = edge.lines(picture);
    let mut lines: Vec<String> = all.iter().take(NAMED).map(|text| cut(text, LONGEST)).collect();
    if let more @ 1.. = all.len().saturating_sub(NAMED) {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// How wide lines are.
pub fn width(lines: &[String]) -> i64 {
    lines.iter().map(|text| text.chars().count() as i64 * CHARACTER).max().unwrap_or(0)
}

/// Breaks text into lines, at spaces where there are some; at most so many.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= LONGEST => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, LONGEST)),
        }
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), LONGEST);
        }
    }
    lines
}
