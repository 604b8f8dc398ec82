//! The neighbourhood of one switch or router, and what somebody who misspelt its name may have meant.

use super::{
    order::{distance, natural},
    picture::Picture,
};
use crate::print::count;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, VecDeque};
use tuplenet_model::key::Key;

/// How many names are suggested.
const SUGGESTED: usize = 3;

/// Finds a switch or router by its name, or by `ls/NAME` or `lr/NAME` where both have it.
pub fn find(names: &[Key], said: &str) -> Result<Key> {
    let name = |key: &Key| if let Key::Ls(name) | Key::Lr(name) = key { name.to_string() } else { String::new() };
    let found: Vec<&Key> = names.iter().filter(|key| name(key) == said || key.to_string() == said).collect();
    match found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let said_name = said.trim_start_matches("ls/").trim_start_matches("lr/");
            let near = suggest(names.iter().map(name), said_name);
            let hint = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
            bail!("there is no switch or router \"{said}\": {hint}see \"tpctl ls show\" and \"tpctl lr show\"")
        }
        _ => bail!("{said} is a switch and a router: write ls/{said} or lr/{said}"),
    }
}

/// The nearest names: with a few letters changed, or that contain what was said.
fn suggest(names: impl Iterator<Item = String>, said: &str) -> Vec<String> {
    let most = (said.chars().count() / 3).clamp(1, 3);
    let lower = said.to_lowercase();
    let score = |name: String| match distance(&name, said) {
        far if far <= most => Some((far, name)),
        _ if !lower.is_empty() && name.to_lowercase().contains(&lower) => Some((most + 1, name)),
        _ => None,
    };
    let mut near: Vec<(usize, String)> = names.filter_map(score).collect();
    near.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| natural(&a.1, &b.1)));
    near.dedup();
    near.into_iter().take(SUGGESTED).map(|(_, name)| name).collect()
}

/// What is at most `depth` links away from a node.
pub fn neighbourhood(mut picture: Picture, centre: &str, depth: usize) -> Picture {
    let Some(start) = picture.nodes.iter().position(|node| node.id == centre) else { return picture };
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for edge in picture.edges.iter().filter(|edge| edge.is_frame()) {
        for (at, to) in [(edge.from, edge.to), (edge.to, edge.from)] {
            if let Some(next) = next.get_mut(at) {
                next.push(to);
            }
        }
    }
    let mut keep = vec![false; picture.nodes.len()];
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((node, far)) = queue.pop_front() {
        match keep.get_mut(node) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        if far < depth {
            queue.extend(next.get(node).into_iter().flatten().map(|to| (*to, far + 1)));
        }
    }
    let name = picture.nodes.get(start).map(|node| node.full_name()).unwrap_or_default();
    picture.title = format!("{name} and what is at most {} away, of {}", count(depth, "link", "links"), picture.title);
    picture.centre = Some(start);
    picture.loose.clear();
    picture.keep(&keep, &BTreeMap::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_misspelt_name_is_understood() {
        let names: Vec<Key> = ["LS-A", "LS-B", "web", "web-front", "db"].map(|n| Key::Ls(n.parse().unwrap())).to_vec();
        for (said, wanted) in [
            ("wbe", "did you mean web? "),
            ("ls-a", "did you mean LS-A or LS-B? "),
            ("front", "did you mean web-front? "),
            ("ls/dbb", "did you mean db? "),
            ("zzzzzz", "\"zzzzzz\": see"),
            ("", "\"\": see"),
        ] {
            let error = find(&names, said).unwrap_err().to_string();
            assert!(error.contains(wanted), "{said}: {error}");
        }
        assert_eq!(find(&names, "ls/web").unwrap(), find(&names, "web").unwrap());
        let both = [Key::Ls("x".parse().unwrap()), Key::Lr("x".parse().unwrap())];
        assert!(find(&both, "x").unwrap_err().to_string().contains("ls/x or lr/x"));
        assert_eq!(find(&both, "lr/x").unwrap(), both[1]);
    }
}
