//! What becomes of a packet: the semantics of switches and routers, as functions that call each other.
//!
//! What switches do is in `switch`, what routers do in `router`.
//!
//! A distributed router is on every host: the packet stays where it is. To a pinned one, and to a VM on another host, it crosses the underlay.
//! Who has never a bound port can send nothing.

mod router;
mod switch;

use crate::{
    fate::{End, Fate, Why},
    generate::Frame,
    places::At,
    translate::Connections,
    world::{Place, World},
};
use std::collections::BTreeMap;
use tuplenet_model::name::Name;

/// How a frame entered its switch.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Vm,
    Router,
    Patch,
}

/// What is not the same for each packet: what earlier ones began, and which of several equal ways is taken.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Of a router on a host.
    connections: BTreeMap<(Name, Name), Connections>,
    /// By what was to be chosen, how many ways there were and which was taken.
    choices: Vec<(String, usize, usize)>,
    /// Which was taken before: all of one connection go the same way.
    settled: BTreeMap<String, usize>,
}

impl State {
    /// For the packets after this one. `sure`: nothing else than these choices explains what was seen.
    pub fn later(self, sure: bool) -> State {
        let State { connections, choices, mut settled } = self;
        if sure {
            settled.extend(choices.into_iter().map(|(question, _, taken)| (question, taken)));
        }
        State { connections, choices: Vec::new(), settled }
    }
}

/// How many outcomes of one packet are looked at.
const OUTCOMES: usize = 64;
/// How many routers one packet passes: beyond, it goes in circles.
const CIRCLES: u32 = 260;

/// One packet on its way through a network.
struct Walk<'a> {
    world: &'a World,
    state: State,
    fate: Fate,
    routers: u32,
}

impl World {
    /// What becomes of that frame when that port sends it. `None`: the port is not in use.
    pub fn send(&self, ls: &str, lsp: &str, frame: &Frame) -> Option<Fate> {
        self.outcomes(&State::default(), ls, lsp, frame).map(|mut all| all.remove(0).0)
    }

    /// All that may become of it, each with what is known then; the last one is of no use if there are too many.
    pub fn outcomes(&self, before: &State, ls: &str, lsp: &str, frame: &Frame) -> Option<Vec<(Fate, State)>> {
        let (ls, lsp) = (name(ls), name(lsp));
        let (host, from) = match &self.switches.get(&ls)?.ports.get(&lsp)?.place {
            Place::Vm(host) => (host, From::Vm),
            Place::Patch(host) if self.exists(host) => (host, From::Patch),
            Place::Patch(_) | Place::Link { .. } | Place::Nowhere => return None,
        };
        let mut all = Vec::new();
        let mut choices: Vec<(String, usize, usize)> = Vec::new();
        loop {
            let state = State { choices, ..before.clone() };
            let mut walk = Walk { world: self, state, fate: Fate::default(), routers: 0 };
            walk.begin(&At { host: host.clone(), crossings: 0 }, &ls, &lsp, frame, from);
            walk.fate.unknown |= all.len() >= OUTCOMES || self.is_ambiguous();
            choices = walk.state.choices.clone();
            all.push((walk.fate, walk.state));
            // The last choice that had another way.
            while choices.last().is_some_and(|(_, ways, taken)| taken + 1 == *ways) {
                choices.pop();
            }
            match choices.last_mut() {
                Some((.., taken)) if all.len() <= OUTCOMES => *taken += 1,
                _ => return Some(all),
            }
        }
    }
}

impl Walk<'_> {
    fn end(&mut self, at: &At, datapath: &Name, why: Why) {
        self.fate.ended.push(End { chassis: at.host.to_string(), datapath: datapath.to_string(), why });
    }

    /// One of several ways; the same one for the same question.
    fn choose(&mut self, question: String, ways: usize) -> usize {
        if ways < 2 {
            return 0;
        }
        if let Some((_, _, taken)) = self.state.choices.iter().find(|(asked, ..)| *asked == question) {
            return *taken;
        }
        if let Some(taken) = self.state.settled.get(&question) {
            return *taken;
        }
        self.state.choices.push((question, ways, 0));
        0
    }
}

fn name(s: &str) -> Name {
    s.parse().expect("the generator's names are names")
}
