//! Where things are when most see each other: on a ring, so that no line lies on another and none runs through a third box's middle.

use super::{
    boxes::Block,
    tree::{Layout, Place},
};
use std::f64::consts::TAU;

/// Between two boxes.
const GAP: i64 = 28;
/// How much wider than high the ring is.
const RATIO: f64 = 1.6;

/// Finds the smallest ring on which the boxes do not touch.
pub fn layout(blocks: &[Block]) -> Layout {
    let count = blocks.len().max(1) as f64;
    let mut radius = if blocks.len() < 2 { 0.0 } else { 90.0 };
    let places = loop {
        let at = |(number, block): (usize, &Block)| {
            // Two are side by side, and of more the first is on top.
            let turn = if blocks.len() == 2 { 0.5 } else { 0.75 };
            let angle = TAU * (number as f64 / count + turn);
            let (x, y) = (angle.cos() * radius * RATIO, angle.sin() * radius);
            let (width, height) = (block.width, block.height);
            Place { x: x as i64 - width / 2, y: y as i64 - height / 2, width, height }
        };
        let places: Vec<Place> = blocks.iter().enumerate().map(at).collect();
        if apart(&places) {
            break places;
        }
        radius *= 1.12;
    };
    let left = places.iter().map(|p| p.x).min().unwrap_or(0);
    let top = places.iter().map(|p| p.y).min().unwrap_or(0);
    let right = places.iter().map(|p| p.x + p.width).max().unwrap_or(0);
    let bottom = places.iter().map(|p| p.y + p.height).max().unwrap_or(0);
    let moved = places.into_iter().map(|p| Place { x: p.x - left, y: p.y - top, ..p }).collect();
    Layout { places: moved, width: right - left, height: bottom - top, ..Layout::default() }
}

/// Whether no two boxes touch. Neighbours by their left side are compared only.
fn apart(places: &[Place]) -> bool {
    let mut sorted: Vec<&Place> = places.iter().collect();
    sorted.sort_by_key(|place| place.x);
    sorted.iter().enumerate().all(|(i, a)| {
        let close = sorted.iter().skip(i + 1).take_while(|b| b.x < a.x + a.width + GAP);
        close.into_iter().all(|b| (a.y - b.y).abs() >= if a.y < b.y { a.height + GAP } else { b.height + GAP })
    })
}
