//! Bundles: one at a time, with all that waits; and what to do when the switch refuses one.
//!
//! A refused bundle changes nothing in the switch, so one bad flow would block all others. The one to blame is taken out and set aside, and the rest
//! goes again. When the switch does not say which one it was, bundles are halved until one flow is left.

use super::{
    Command, Context, KeyHash, Level, Phase, Queued, Switch, groups::Step, items, shadow::FlowKey, shadow::hash_of,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Instant;
use tuplenet_openflow::Flow;

/// After so many refusals in a row bundles become smaller: what is refused time and again should at least be short.
const PATIENCE: u32 = 4;
/// How many flows an empty switch gets at a time.
pub(super) const PIECE: usize = if cfg!(test) { 64 } else { 16_384 };
/// A bundle that needs no shortening.
const SMALL: usize = 64;

/// One message of a bundle.
#[derive(Debug, PartialEq)]
pub enum Mod {
    /// About a group.
    Group(Step),
    /// Add this flow, or replace the one of its key.
    Set(Flow),
    /// Delete the flow of this key.
    Delete(FlowKey),
}

/// How a bundle ended.
#[derive(Debug)]
pub enum Outcome {
    /// All of it is in the switch.
    Done,
    /// Nothing of it is.
    Refused(Vec<Refusal>),
    /// Nobody knows: the connection broke, or no answer came in time.
    Lost(String),
}

/// What the switch refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which message of the bundle; `None`: the switch did not say.
    pub index: Option<usize>,
    /// Why, in words.
    pub why: String,
}

/// A message that was sent, as far as it must be remembered.
#[derive(Debug)]
pub(super) enum Item {
    Group(u32),
    Set(KeyHash),
    Delete(FlowKey),
}

/// The bundle that is on its way.
#[derive(Debug)]
pub(super) struct Flight {
    items: Vec<Item>,
    since: Vec<Instant>,
}

impl Flight {
    /// Keys of the flows in it.
    pub fn keys(&self) -> impl Iterator<Item = KeyHash> + '_ {
        self.items.iter().filter_map(|i| match i {
            Item::Group(_) => None,
            Item::Set(key) => Some(*key),
            Item::Delete(key) => Some(key.hash()),
        })
    }
    /// How many flows are in it.
    pub fn flows(&self) -> usize {
        self.items.iter().filter(|i| !matches!(i, Item::Group(_))).count()
    }
}

impl Switch {
    /// Sends what waits, if nothing is on its way.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Ready) || self.flight.is_some() || self.reading_groups {
            return;
        }
        self.refill(cx);
        let groups = self.groups.is_dirty();
        if self.queue.is_empty() && !groups {
            // What changed cancelled out, or is set aside: nobody waits for it any more.
            self.succeeded();
            self.since.clear();
            self.limit = usize::MAX;
            self.refused_in_row = 0;
            return self.send_stale(cx);
        }
        let (before, after) = if groups { self.groups.flush() } else { Default::default() };
        // While a culprit is looked for, groups go alone, so that they are not blamed for a flow.
        let limit = if groups && self.limit != usize::MAX { 0 } else { self.limit };
        let (mut mods, mut flows) = (Vec::new(), Vec::new());
        for (hash, queued) in take(&mut self.queue, limit) {
            let (item, change) = match queued {
                Queued::Set(flow) => (Item::Set(hash), Mod::Set(flow)),
                Queued::Delete(key) => (Item::Delete(key.clone()), Mod::Delete(key)),
            };
            flows.push(item);
            mods.push(change);
        }
        cx.stats.flow_mods += flows.len() as u64;
        cx.stats.group_mods += (before.len() + after.len()) as u64;
        cx.stats.bundles += 1;
        let items = items(&before, flows, &after);
        let mods = before.into_iter().map(Mod::Group).chain(mods).chain(after.into_iter().map(Mod::Group)).collect();
        self.flight = Some(Flight { items, since: std::mem::take(&mut self.since) });
        self.ask(Command::Bundle(mods), cx);
        self.send_stale(cx);
    }

    /// A switch that has no flow of ours gets them in pieces, so that not all of them are in memory twice; those of table 0 come last, so that no
    /// packet enters before all is there.
    fn refill(&mut self, cx: &Context<'_>) {
        if self.backlog.is_empty() || !self.queue.is_empty() {
            return;
        }
        let missing = |flow: &Flow| Some(hash_of(flow)).filter(|hash| self.backlog.contains(hash));
        let piece = |entry: bool| -> Vec<(KeyHash, Flow)> {
            let flows = cx.desired.flows().filter(|flow| (flow.table == 0) == entry);
            flows.filter_map(|flow| Some((missing(&flow)?, flow))).take(PIECE).collect()
        };
        let mut flows = piece(false);
        if flows.is_empty() {
            flows = piece(true);
        }
        if flows.is_empty() {
            self.backlog = FxHashSet::default();
        }
        for (hash, flow) in flows {
            self.enqueue(hash, Queued::Set(flow));
        }
    }

    pub(super) fn on_bundle(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        let Some(flight) = self.flight.take() else { return };
        match outcome {
            Outcome::Done => {
                self.succeeded();
                for item in &flight.items {
                    if let Item::Set(key) = item
                        && let Some(key) = self.aside.accepted(*key)
                    {
                        cx.say(
                            Level::Info,
                            format!(
                                "the switch takes it now: table={},priority={},{}",
                                key.table, key.priority, key.matching
                            ),
                        );
                    }
                }
                cx.effects.extend(
                    flight.since.iter().map(|since| super::Effect::Installed(cx.now.saturating_duration_since(*since))),
                );
            }
            Outcome::Lost(why) => return self.pause(&format!("a bundle has no answer: {why}"), cx),
            Outcome::Refused(refusals) => {
                cx.stats.bundles_refused += 1;
                self.on_refused(flight, &refusals, cx);
            }
        }
        self.read_groups_when_quiet(cx);
        self.flush(cx);
    }

    fn on_refused(&mut self, flight: Flight, refusals: &[Refusal], cx: &mut Context<'_>) {
        let sent = flight.items.len();
        let mut blamed: FxHashMap<usize, &str> = refusals
            .iter()
            .filter_map(|r| Some((r.index.filter(|i| *i < flight.items.len())?, r.why.as_str())))
            .collect();
        let why = refusals.first().map_or("no reason given", |r| r.why.as_str());
        if blamed.is_empty() {
            let all_groups = flight.flows() == 0;
            if flight.items.len() <= 1 || all_groups {
                blamed = (0..flight.items.len()).map(|i| (i, why)).collect();
            } else {
                self.limit = (flight.flows() / 2).max(1);
                cx.say(
                    Level::Warn,
                    format!(
                        "the switch refused a bundle of {} changes and did not say which of them: {why}",
                        flight.items.len()
                    ),
                );
            }
        }
        let (mut again, mut refused) = (FxHashSet::default(), FxHashMap::default());
        for (index, item) in flight.items.into_iter().enumerate() {
            let blame = blamed.get(&index);
            match item {
                Item::Group(id) => {
                    // What of the groups is in the switch is to be asked, not guessed.
                    self.groups_unknown = true;
                    if let Some(why) = blame
                        && self.groups.set_aside(id)
                    {
                        cx.say(
                            Level::Error,
                            format!("the switch refused the group {id}: {why}; it is set aside, the rest goes on"),
                        );
                    }
                }
                Item::Set(key) => match blame {
                    Some(why) => drop(refused.insert(key, *why)),
                    None => drop(again.insert(key)),
                },
                Item::Delete(key) => match blame {
                    Some(why) => cx.say(
                        Level::Error,
                        format!("the switch refused to delete a flow of table {}: {why}", key.table),
                    ),
                    None => {
                        let hash = key.hash();
                        if self.shadow.get(key.table, hash).is_none() && !self.queue.contains_key(&hash) {
                            self.enqueue(hash, Queued::Delete(key));
                        }
                    }
                },
            }
        }
        self.refused_in_row += 1;
        if self.refused_in_row > PATIENCE && self.limit > SMALL {
            self.limit = (sent / 2).max(SMALL);
        }
        self.since.extend(flight.since);
        let bad: Vec<Flow> = match refused.is_empty() {
            true => Vec::new(),
            false => cx.desired.flows().filter(|f| refused.contains_key(&hash_of(f))).collect(),
        };
        for flow in bad {
            let hash = hash_of(&flow);
            if let Some(why) = refused.get(&hash)
                && !self.queue.contains_key(&hash)
            {
                let text = flow.to_string();
                if self.aside.add(flow, cx.now) {
                    cx.stats.flows_refused += 1;
                    cx.say(
                        Level::Error,
                        format!("the switch refused a flow: {why}; it is set aside, the rest goes on: {text}"),
                    );
                }
            }
        }
        self.requeue(&again, cx);
    }
}

/// Takes up to `limit` entries out.
fn take(queue: &mut FxHashMap<KeyHash, Queued>, limit: usize) -> Vec<(KeyHash, Queued)> {
    if limit >= queue.len() {
        // Not `drain`: that keeps the room for the most that ever waited, and walks all of it for each small change.
        return std::mem::take(queue).into_iter().collect();
    }
    let keys: Vec<KeyHash> = queue.keys().copied().take(limit).collect();
    keys.into_iter().filter_map(|k| queue.remove_entry(&k)).collect()
}
