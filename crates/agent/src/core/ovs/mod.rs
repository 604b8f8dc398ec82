//! The OVSDB side: keeps the bridge and its tunnel ports as they should be, tells the rules which interfaces ask for which switch port, and marks
//! those interfaces with what they claimed.

mod bfd;
mod bridge;
mod export;
mod mark;
pub mod own_stack;
mod patch;
mod plan;
mod say;
mod tables;
mod talk;
#[cfg(test)]
mod tests;
mod told;
mod tunnel;
mod uplink;
mod wanted;
mod withdrawal;

use super::{Effect, Level};
use mark::Marks;
use say::Said;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use told::Told;
use tuplenet_model::name::Name;
use tuplenet_ovsdb::{Event, Update, Uuid};
use tuplenet_rules::{Change, PatchPair, Watch};
use withdrawal::Withdrawal;

pub use bfd::Session;
pub use bridge::cleanup;
pub use mark::fits;
use own_stack::OwnStack;
pub use plan::Plan;
pub use tables::{MANAGED, Tables, monitor};
pub use talk::{Answer, Command, Purpose};
pub use wanted::{
    DatapathType, End, Families, Parts, Wanted,
    export::{Export, Protocol},
};

/// Pause after a transaction that the database refused.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How long the database may take to show what a transaction of ours did.
const SETTLE: Duration = Duration::from_millis(100);

/// The OVSDB side. See the module.
#[derive(Debug)]
pub struct Ovs {
    wanted: Wanted,
    tables: Tables,
    /// Whether the whole state was told once.
    known: bool,
    up: bool,
    told: Told,
    /// The pairs of patch Interfaces that are wanted, by name; `None` while nobody knows.
    pairs: Option<BTreeMap<String, PatchPair>>,
    /// The end points that are to be watched; `None` while nobody knows.
    watches: Option<BTreeMap<End, Name>>,
    withdrawal: Withdrawal,
    /// Patch ports are to go, once the switch is steady.
    parting: bool,
    /// Whether the switch holds what the rules want.
    steady: bool,
    /// The next plan may make or remove ports that watch, once the switch is steady.
    unmade: bool,
    /// Something came that [`Ovs::sessions`] or [`Ovs::uplinks`] may tell.
    news: bool,
    /// Bridges that were seen with a network card.
    carded: BTreeSet<String>,
    said: Said,
    own_stack: OwnStack,
    repairing: bool,
    marks: Marks,
    retry_at: Option<Instant>,
    /// Something changed that the plan depends on.
    unchecked: bool,
    /// What was last said of a plan, and of a transaction that failed: what is tried again is not said again.
    words: Vec<String>,
    failure: Option<String>,
}

impl Ovs {
    /// Knows nothing yet.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            own_stack: OwnStack::new(wanted.untunnel),
            wanted,
            tables: Tables::default(),
            known: false,
            up: false,
            told: Told::default(),
            pairs: None,
            watches: None,
            withdrawal: Withdrawal::default(),
            parting: false,
            steady: false,
            unmade: false,
            news: false,
            carded: BTreeSet::new(),
            said: Said::default(),
            repairing: false,
            marks: Marks::default(),
            retry_at: None,
            unchecked: false,
            words: Vec::new(),
            failure: None,
        }
    }

    /// Whether the whole state was told once.
    pub fn known(&self) -> bool {
        self.known && self.own_stack.known()
    }

    /// Of which families this host's own IP stack takes what is for the outside now.
    pub fn untunnels(&self) -> Option<Families> {
        self.own_stack.works()
    }

    /// The kernel did what was asked of it, or not; gives what it means to the rules.
    pub fn own_stack(&mut self, answer: Answer, now: Instant, effects: &mut Vec<Effect>) -> Option<Change> {
        self.own_stack.answer(answer, &self.tables, now, effects)
    }

    /// The names of all bridges but ours, in order.
    pub fn other_bridges(&self) -> Vec<String> {
        let names = self.tables.bridges().map(|(name, ..)| name).filter(|name| *name != self.wanted.bridge);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Whether the bridge is there.
    pub fn has_bridge(&self) -> bool {
        self.tables.bridge(&self.wanted.bridge).is_some()
    }

    /// How many interfaces ask for a switch port.
    pub fn interfaces(&self) -> usize {
        self.told.interfaces()
    }

    /// Whether the database is connected.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// News from the database; gives what it means to the rules.
    pub fn handle(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) -> Vec<Change> {
        match event {
            Event::Up => {
                self.up = true;
                effects.push(Effect::Say(Level::Info, "connected to the database of Open vSwitch".into()));
                Vec::new()
            }
            Event::Down(why) => {
                self.up = false;
                // What was sent may be lost; what is still wrong shows in the next update.
                self.withdrawal.lost();
                self.repairing = false;
                self.marks.lost();
                effects.push(Effect::Say(Level::Warn, format!("no connection to the database of Open vSwitch: {why}")));
                Vec::new()
            }
            Event::Update(update) => self.update(update, now, effects),
        }
    }

    fn update(&mut self, update: Update, now: Instant, effects: &mut Vec<Effect>) -> Vec<Change> {
        let touched = self.tables.apply(update, &self.wanted.bridge);
        self.known = true;
        let mut changes = Vec::new();
        let mut tunnels_touched = touched.structure;
        for uuid in &touched.interfaces {
            tunnels_touched |= self.tables.interface(*uuid).is_none_or(|row| {
                row.string("name")
                    .is_some_and(|name| name.starts_with("tn-") || patch::concerns(name) || name == own_stack::DEVICE)
            });
            self.said.of_interface(&self.tables, *uuid, effects);
            changes.extend(self.told.interface(&self.tables, *uuid));
            self.marks.look(&self.tables, *uuid);
        }
        // Cards of physical bridges.
        let elsewhere = touched.interfaces.iter().any(|uuid| self.tables.member(*uuid).is_none());
        self.news |= tunnels_touched || elsewhere || touched.sessions;
        if touched.structure || elsewhere {
            changes.extend(self.told.mtus(&self.tables, &self.wanted.bridge));
        }
        if tunnels_touched {
            self.unchecked = true;
            self.said.of_tunnels(&self.tables, &self.wanted, effects);
            self.said.of_exports(&self.tables, &self.wanted, effects);
            changes.extend(self.told.tunnels(&self.tables, &self.wanted));
            changes.extend(self.watch_changes(now));
            changes.extend(self.told.patch_ports(&self.tables, &self.wanted.bridge));
            self.say_patches(effects);
            changes.extend(self.own_stack.look(&self.tables, &self.wanted.bridge, now, effects));
        }
        self.tell_withdrawn(now, effects);
        self.act(now, effects);
        changes
    }

    fn watch_changes(&mut self, now: Instant) -> Vec<Change> {
        let changes = self.told.watches(&self.tables, &self.wanted, self.watches.as_ref(), now);
        let made = |watches| bfd::all_made(&self.tables, &self.wanted.bridge, watches);
        self.unmade = self.watches.as_ref().is_some_and(|watches| !made(watches));
        changes
    }

    /// What the rules are to hear of ports that went a while ago.
    pub fn take_gone(&mut self, now: Instant) -> Vec<Change> {
        if self.told.go_at().any(|until| until <= now) { self.watch_changes(now) } else { Vec::new() }
    }

    /// How many ports went that the rules still know.
    pub fn going(&self) -> usize {
        self.told.going()
    }

    /// End points that are to be watched from now on, and no more: the first time all of them. Gives what it means to the rules.
    pub fn watches(&mut self, changes: Vec<(Watch, bool)>, now: Instant) -> Vec<Change> {
        let first = self.watches.is_none();
        if changes.is_empty() && !first {
            return Vec::new();
        }
        let watches = self.watches.get_or_insert_default();
        let (come, go): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, wanted)| *wanted);
        for (watch, _) in go {
            watches.remove(&(watch.kind, watch.ip));
        }
        watches.extend(come.into_iter().map(|(watch, _)| ((watch.kind, watch.ip), watch.chassis)));
        let changes = self.watch_changes(now);
        // First the flows, then the ports; and what is not needed any more goes, too: see [`Ovs::steady`].
        (self.steady, self.unmade) = (false, true);
        changes
    }

    /// Whether the switch holds what the rules want. Only then ports that watch are made, whose first packets need their flows.
    pub fn steady(&mut self, steady: bool, now: Instant, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.steady, steady);
        let parted = steady && std::mem::take(&mut self.parting);
        if parted || steady && !before && self.unmade {
            self.unchecked = true;
            self.act(now, effects);
        }
    }

    /// Whether this host is an edge for the last moments: its sessions stay so long, and tell their other ends not to send here. Those whose agents are late or dead hear of it from
    /// their switches.
    pub fn leave(&mut self, leaving: bool, now: Instant, effects: &mut Vec<Effect>) {
        if self.withdrawal.leave(leaving) {
            self.unchecked = true;
            self.tell_withdrawn(now, effects);
            self.act(now, effects);
        }
    }

    /// Whether there is nothing to be done to the bridge, as far as known.
    pub fn is_right(&self) -> bool {
        !self.unchecked && !self.repairing && !self.parting
    }

    /// Tells the other ends of all sessions whether packets may be sent here.
    pub fn withdraw(&mut self, withdrawn: bool, now: Instant, effects: &mut Vec<Effect>) {
        if self.withdrawal.withdraw(withdrawn) {
            self.tell_withdrawn(now, effects);
        }
    }

    fn tell_withdrawn(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.known && self.up {
            self.withdrawal.act(&self.tables, &self.wanted.bridge, self.watches.as_ref(), now, effects);
        }
    }

    /// Whether since the last time something came that [`Ovs::sessions`] or [`Ovs::uplinks`] may tell.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The bridges that these switches meet the physical network by, and what is wrong with each; `None`: nobody knows yet which.
    pub fn uplinks(&mut self, concerns: impl Fn(&Name) -> bool) -> Option<BTreeMap<String, Result<(), String>>> {
        let pairs = self.pairs.as_ref()?;
        let mut uplinks: BTreeMap<String, Result<(), String>> = BTreeMap::new();
        for pair in pairs.values().filter(|pair| concerns(&pair.ls)) {
            let whole = self.told.patches().get(&pair.name).is_some_and(|patch| patch.bridge == pair.bridge);
            let state = uplink::state(&self.tables, &pair.bridge, &mut self.carded);
            let state = state.and_then(|()| match whole {
                true => Ok(()),
                false => Err(format!("{}: the patch port {}/{} is not joined to it", pair.bridge, pair.ls, pair.lsp)),
            });
            // Of several patch ports on one bridge one is enough.
            if uplinks.get(&pair.bridge).is_none_or(Result::is_err) {
                uplinks.insert(pair.bridge.clone(), state);
            }
        }
        Some(uplinks)
    }

    /// Whether the ports in the database say that this host is withdrawn, for another reason than that it leaves.
    pub fn told_withdrawn(&self) -> bool {
        !self.withdrawal.is_leaving() && bfd::told(&self.tables, &self.wanted.bridge)
    }

    /// What the BFD sessions say, by end point: those that are needed. Of others the other end may be gone already.
    pub fn sessions(&self) -> BTreeMap<End, Session> {
        let mut sessions = bfd::sessions(&self.tables, &self.wanted.bridge);
        sessions.retain(|end, _| self.watches.as_ref().is_none_or(|watches| watches.contains_key(end)));
        sessions
    }

    fn say_patches(&mut self, effects: &mut Vec<Effect>) {
        if let Some(pairs) = &self.pairs {
            self.said.of_pairs(&self.tables, &self.wanted, (pairs, self.told.patches()), effects);
        }
    }

    /// Pairs that are wanted from now on, and no more: the first time all of them.
    pub fn pairs(&mut self, changes: Vec<(PatchPair, bool)>, now: Instant, effects: &mut Vec<Effect>) {
        let first = self.pairs.is_none();
        if changes.is_empty() && !first {
            return;
        }
        let pairs = self.pairs.get_or_insert_default();
        let (come, go): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, wanted)| *wanted);
        // First the flows, then the ports.
        self.parting |= !first && !go.is_empty();
        for (pair, _) in go {
            pairs.remove(&pair.name);
        }
        pairs.extend(come.into_iter().map(|(pair, _)| (pair.name.clone(), pair)));
        self.unchecked = true;
        self.say_patches(effects);
        self.act(now, effects);
    }

    /// The interface claimed that port with that generation.
    pub fn mark(&mut self, interface: u128, lsp: &str, generation: u64, now: Instant, effects: &mut Vec<Effect>) {
        if self.marks.write(&self.tables, Uuid(interface), format!("{lsp}:{generation}")) {
            self.act(now, effects);
        }
    }

    /// How a transaction ended.
    pub fn done(&mut self, purpose: &Purpose, result: Result<(), String>, now: Instant, effects: &mut Vec<Effect>) {
        match purpose {
            Purpose::Repair => self.repairing = false,
            Purpose::Mark => self.marks.done(result.is_ok()),
            Purpose::Withdraw => {
                self.withdrawal.done(result, now, effects);
                self.tell_withdrawn(now, effects);
                return;
            }
            Purpose::Sysctl => {
                // It is asked for again when the kernel is.
                if let Err(why) = result {
                    effects.push(Effect::Say(
                        Level::Error,
                        format!("what this host's IP stack was set to cannot be noted: {why}"),
                    ));
                }
                return;
            }
        }
        if result.is_ok() {
            self.failure = None;
        }
        match (result, purpose) {
            // The update that shows what we did comes before this; should it not, then soon.
            (Ok(()), Purpose::Repair) if self.unchecked => self.retry_at = Some(now + SETTLE),
            (Ok(()), _) => {}
            (Err(why), _) => {
                let what = match purpose {
                    Purpose::Repair => "the bridge cannot be put right",
                    Purpose::Mark | Purpose::Sysctl | Purpose::Withdraw => {
                        "interfaces cannot be marked with what they claimed"
                    }
                };
                let text = format!("{what}: {why}; trying again");
                if self.failure.as_ref() != Some(&text) {
                    effects.push(Effect::Say(Level::Error, text.clone()));
                    self.failure = Some(text);
                }
                self.retry_at = Some(now + RETRY_PAUSE);
            }
        }
        self.act(now, effects);
    }

    /// Time passed.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.own_stack.tick(&self.tables, now, effects);
        if self.withdrawal.is_due(now) {
            self.tell_withdrawn(now, effects);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.act(now, effects);
        }
    }

    /// When [`Ovs::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        let parts = [self.retry_at, self.withdrawal.wakeup(), self.own_stack.wakeup()];
        parts.into_iter().flatten().chain(self.told.go_at()).min()
    }

    /// Starts what is to be done and is not under way.
    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.known || !self.up || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        if !self.repairing && self.unchecked {
            let parts = Parts {
                patches: self.pairs.as_ref(),
                watches: self.watches.as_ref(),
                steady: self.steady,
                withdrawn: self.withdrawal.tells(),
                leaving: self.withdrawal.is_leaving(),
                parting: self.parting,
            };
            match bridge::plan(&self.tables, &self.wanted, parts) {
                Some(Plan { operations, words }) => {
                    self.repairing = true;
                    if self.words != words {
                        effects.extend(words.iter().map(|w| Effect::Say(Level::Info, w.clone())));
                        self.words = words;
                    }
                    effects.push(Effect::Ovs(Purpose::Repair, operations));
                }
                None => {
                    self.unchecked = false;
                    self.words.clear();
                }
            }
        }
        if let Some(operations) = self.marks.send(&self.tables) {
            effects.push(Effect::Ovs(Purpose::Mark, operations));
        }
    }
}
