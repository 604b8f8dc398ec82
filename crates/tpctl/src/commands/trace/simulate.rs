//! A simulated trace: the same packet through the tables that the rules compute for every host, before and after a change.

use super::{args::Place, show::Shown, world::World};
use crate::{
    cli::Format,
    print::{self, printable},
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tuplenet_model::{entity::SwitchPortRef, key::Key, name::Name};
use tuplenet_sim::network::Network;
use tuplenet_sim::{
    packet::Packet,
    path::{Hop, Path},
};
use tuplenet_store::network::NetworkError;

/// The hosts of a network, in memory.
pub struct Simulation {
    network: Network,
    /// Ports that were given a host here, beside those that have one in the store.
    placed: BTreeMap<SwitchPortRef, Name>,
}

impl Simulation {
    /// With the ports that were given to chassis by `places`. `everywhere`: this chassis has all ports that are left.
    pub fn new(world: &World, places: &[Place], everywhere: Option<&Name>) -> Result<Self> {
        let mut simulation = Self { network: world.simulated(), placed: BTreeMap::new() };
        for Place { port, chassis } in places {
            let at = world.resolve(port)?;
            if world.chassis(chassis).is_none() {
                let key = Key::Chassis(chassis.clone());
                return Err(NetworkError::missing(&key).into());
            }
            if let Some(other) = simulation.placed.get(&at).filter(|other| *other != chassis) {
                bail!("--at: port {} of switch {} cannot be on both {other} and {chassis}", at.lsp, at.ls);
            }
            simulation.place(at, chassis);
        }
        if let Some(chassis) = everywhere {
            let ports = world.network.switches().flat_map(|(ls, _)| {
                let guests = world.network.switch_ports(ls).filter(|(_, port)| port.peer.is_none());
                guests.map(|(lsp, _)| SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() })
            });
            let left: Vec<SwitchPortRef> = ports.filter(|at| !simulation.has(world, at)).collect();
            for at in left {
                simulation.place(at, chassis);
            }
        }
        Ok(simulation)
    }

    fn place(&mut self, at: SwitchPortRef, chassis: &Name) {
        self.network.place(&at.ls, &at.lsp, chassis);
        self.placed.insert(at, chassis.clone());
    }

    /// Whether a port has a host.
    pub fn has(&self, world: &World, at: &SwitchPortRef) -> bool {
        self.placed.contains_key(at) || world.host(at).is_some()
    }

    /// The path of a frame from a port.
    pub fn walk(&mut self, world: &World, from: &SwitchPortRef, frame: &[u8]) -> Result<Path> {
        let SwitchPortRef { ls, lsp } = from;
        if !self.has(world, from) {
            bail!(
                "port {lsp} of switch {ls} is not bound to any chassis: simulate as if one had it, with --at {lsp}=CHASSIS"
            );
        }
        Ok(self.network.walk(ls, lsp, Packet::parse(frame)?)?)
    }
}

/// A line of what a change changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    Before,
    After,
}

/// Prints two paths as one: what stays, goes and comes. `None`: there is no such port.
pub fn print_change(before: Option<&Shown<'_>>, after: Option<&Shown<'_>>, format: Format) -> Result<()> {
    let path = |shown: Option<&Shown<'_>>| shown.map(|shown| (shown.path.hops.clone(), shown.path.outcomes.clone()));
    let same = path(before) == path(after);
    let [hops_before, hops_after] = [before, after].map(|shown| path(shown).unwrap_or_default().0);
    let changes = difference(&hops_before, &hops_after);
    let verdict = |shown: Option<&Shown<'_>>| shown.map_or("the port does not exist".to_owned(), Shown::verdict);
    let verdicts = format!("before: {}\nafter:  {}\n", printable(&verdict(before)), printable(&verdict(after)));
    match format {
        Format::Json | Format::Yaml => {
            let hop = |side: Side, hop: &Hop| json!({"change": mark(side).trim(), "hop": hop.to_string()});
            let hops: Vec<Value> = changes.iter().map(|(side, of)| hop(*side, of)).collect();
            print::data(
                &json!({"changed": !same, "before": before.map(Shown::data), "after": after.map(Shown::data), "hops": hops}),
                format,
            )
        }
        Format::Table | Format::Text => {
            let lines = changes.iter().map(|(side, hop)| format!("{} {}\n", mark(*side), printable(&hop.to_string())));
            let lines: String = lines.collect();
            let what = if same { "the path stays as it is\n" } else { "" };
            if format == Format::Text {
                print::out(&lines)?;
                print::aside(&format!("{verdicts}{what}"));
                Ok(())
            } else {
                print::out(&format!("{verdicts}{what}{lines}"))
            }
        }
    }
}

fn mark(side: Side) -> &'static str {
    match side {
        Side::Both => " ",
        Side::Before => "-",
        Side::After => "+",
    }
}

/// The longest common subsequence of two paths, and what each has beside it.
fn difference<'a>(before: &'a [Hop], after: &'a [Hop]) -> Vec<(Side, &'a Hop)> {
    // common[i][j]: the length of that of before[i..] and after[j..].
    let mut common = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    let get =
        |common: &Vec<Vec<usize>>, i: usize, j: usize| common.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    for (i, b) in before.iter().enumerate().rev() {
        for (j, a) in after.iter().enumerate().rev() {
            let length = if a == b {
                get(&common, i + 1, j + 1) + 1
            } else {
                get(&common, i + 1, j).max(get(&common, i, j + 1))
            };
            if let Some(slot) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *slot = length;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (before.get(i), after.get(j)) {
            (Some(b), Some(a)) if a == b => {
                lines.push((Side::Both, b));
                (i, j) = (i + 1, j + 1);
            }
            (Some(b), a) if a.is_none() || get(&common, i + 1, j) >= get(&common, i, j + 1) => {
                lines.push((Side::Before, b));
                i += 1;
            }
            (_, Some(a)) => {
                lines.push((Side::After, a));
                j += 1;
            }
            (_, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuplenet_sim::path::Kind;

    #[test]
    fn a_difference_has_both_paths_in_it() {
        let hop = |name: char| Hop {
            kind: Kind::Ls,
            pipeline: name.to_string(),
            from: None,
            to: None,
            stage: "LSP_TRACE_INGRESS_IN",
            chassis: "hv1".to_owned(),
            at: None,
        };
        let path = |text: &str| text.chars().map(hop).collect::<Vec<Hop>>();
        for (before, after, expected) in [
            ("abc", "abc", " a b c"),
            ("abc", "ac", " a-b c"),
            ("", "ab", "+a+b"),
            ("ab", "", "-a-b"),
            ("abxd", "aybd", " a+y b-x d"),
        ] {
            let (b, a) = (path(before), path(after));
            let lines: String =
                difference(&b, &a).iter().map(|(side, hop)| format!("{}{}", mark(*side), hop.pipeline)).collect();
            assert_eq!(lines, expected, "{before} {after}");
        }
    }
}
