//! `trace --all-pairs --simulate --with FILE`: what a change would do to all pairs. Prints whom it cuts off, whom it joins, and who is still apart.

use super::{NO_PAIR, Pair, is_data, note, pairs, ports, problem, walk};
use crate::{
    commands::{
        Context,
        trace::{
            args::{Args, Place},
            format,
            simulate::Simulation,
            simulation,
            world::World,
        },
    },
    print::{self, count},
};
use anyhow::{Result, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, process::ExitCode};
use tuplenet_model::{entity::SwitchPortRef, key::Key};

/// From whom to whom, by which address.
type Ends<'a> = (&'a SwitchPortRef, &'a SwitchPortRef, IpAddr);

/// Checks them all, before and after.
pub fn check(context: &Context, before: &World, after: &World, args: &Args) -> Result<ExitCode> {
    for ls in &args.all_pairs {
        let key = Key::Ls(ls.clone());
        let known = [before, after].iter().any(|world| world.network.get(&key).is_some());
        if !known {
            return Err(before.missing(&key).into());
        }
    }
    args.check_places(before, after)?;
    let mut old = Checked::new(before, args, &before.places(&args.at))?;
    let mut new = Checked::new(after, args, &after.places(&args.at))?;
    let gone = |at: &&SwitchPortRef| after.network.switch_port(at).is_none();
    let gone: Vec<SwitchPortRef> = old.ports.iter().filter(gone).cloned().collect();
    note("left out, since the change deletes them", &gone);
    note("left out, since no chassis has them", &new.unbound);
    if old.pairs.is_empty() && new.pairs.is_empty() {
        bail!("{NO_PAIR}");
    }
    let bar = print::progress(old.pairs.len() + new.pairs.len());
    let was = old.problems(args, &bar);
    let is = new.problems(args, &bar);
    bar.finish_and_clear();

    // By each of several routers: a pair is whole if its packets arrive by all of them.
    let mut whole: BTreeMap<Ends<'_>, bool> = BTreeMap::new();
    for (pair, problem) in old.pairs.iter().zip(&was) {
        *whole.entry(ends(pair)).or_insert(true) &= problem.is_none();
    }
    let changes = new.pairs.iter().zip(&is).filter_map(|(pair, problem)| {
        let was = whole.get(&ends(pair)).copied();
        let mark = match (was, problem) {
            (Some(true), Some(_)) => '-',
            (Some(false), None) => '+',
            (_, Some(_)) => ' ',
            (_, None) => return None,
        };
        Some((mark, pair, problem.as_deref().unwrap_or("simulated: arrives")))
    });
    let sums = [Sum::of(&was), Sum::of(&is)];
    let format = format(context);
    if is_data(format) {
        let change = |(mark, pair, verdict): (char, &Pair, &str)| {
            let mut data = pair.data(verdict);
            if let Value::Object(map) = &mut data {
                map.insert("change".to_owned(), mark.to_string().trim().into());
            }
            data
        };
        let [before, after] = sums.each_ref().map(Sum::data);
        print::data(
            &json!({"before": before, "after": after, "pairs": changes.map(change).collect::<Vec<_>>()}),
            format,
        )?;
    } else {
        let lines: String = changes.map(|(mark, pair, verdict)| format!("{mark} {}\n", pair.line(verdict))).collect();
        let [before, after] = sums.each_ref().map(Sum::words);
        print::out(&format!("{lines}before: {before}\nafter:  {after}\n"))?;
    }
    let [_, Sum { all, arrived }] = sums;
    if all == arrived {
        return Ok(ExitCode::SUCCESS);
    }
    print::tell(&format!("{} would not arrive", count(all - arrived, "packet", "packets")));
    Ok(ExitCode::FAILURE)
}

fn ends(pair: &Pair) -> Ends<'_> {
    (&pair.from, &pair.to, pair.ip)
}

/// The pairs of a network.
struct Checked<'a> {
    world: &'a World,
    simulation: Simulation,
    ports: Vec<SwitchPortRef>,
    pairs: Vec<Pair>,
    unbound: Vec<SwitchPortRef>,
}

impl<'a> Checked<'a> {
    fn new(world: &'a World, args: &Args, places: &[Place]) -> Result<Self> {
        let simulation = simulation(world, args, places)?;
        let (ports, unbound) = ports(world, args, |at| simulation.has(world, at));
        Ok(Self { world, pairs: pairs(world, &ports)?, simulation, ports, unbound })
    }

    /// Why each pair's packet does not arrive; `None`: it does.
    fn problems(&mut self, args: &Args, bar: &ProgressBar) -> Vec<Option<String>> {
        let Self { world, simulation, pairs, .. } = self;
        let one = |pair| {
            bar.inc(1);
            problem(walk(simulation, world, args, pair))
        };
        pairs.iter().map(one).collect()
    }
}

/// How many of how many arrive.
struct Sum {
    all: usize,
    arrived: usize,
}

impl Sum {
    fn of(problems: &[Option<String>]) -> Self {
        Self { all: problems.len(), arrived: problems.iter().filter(|problem| problem.is_none()).count() }
    }

    fn words(&self) -> String {
        format!("{} of {} packets arrive", self.arrived, self.all)
    }

    fn data(&self) -> Value {
        json!({"pairs": self.all, "arrived": self.arrived})
    }
}
