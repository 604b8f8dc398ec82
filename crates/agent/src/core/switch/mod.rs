//! The OpenFlow side: brings the switch to what the rules want, by the difference and in atomic bundles, and checks that it stays so.
//!
//! Life of a connection: `Up` -> make the meter -> read the TLV map (and mend it) -> read the groups -> read the flows table by table, comparing with the
//! [`shadow`] -> one bundle with the difference -> from here on bundles of what changes. Every audit interval the flows and groups are
//! read again, in the same way, while changes go on.
//!
//! Nothing is sent before [`Switch::open`] says that the rules know the whole network: until then the switch forwards by what it holds.

mod aside;
mod bundle;
mod connect;
mod forget;
pub mod groups;
mod normal;
mod shadow;
mod sweep;
mod talk;
#[cfg(test)]
mod tests;

use super::{Effect, Level, stats::Stats, withdraw::Fill};
use aside::Aside;
use bundle::{Flight, Item};
use forget::Stale;
use groups::{Groups, Reported};
use rustc_hash::{FxHashMap, FxHashSet};
use shadow::{FlowKey, KeyHash, Shadow, hash_of};
use std::time::{Duration, Instant};
use sweep::{Purpose, Sweep};
use tuplenet_openflow::Flow;
use tuplenet_rules::{FlowChange, Group, GroupChange};

pub use bundle::{Mod, Outcome, Refusal};
pub use talk::{Command, Event, Metering, TLV, TlvMapping};

/// The table that belongs to other software (`rules`, stage `HOOK`): there, flows with a cookie of others are left alone.
pub const HOOK_TABLE: u8 = tuplenet_rules::stage::HOOK.table;
/// Tables that an OpenFlow client may use on Open vSwitch: 0 to 253; 254 is its own, 255 means all.
pub const LAST_TABLE: u8 = 253;

/// How many events' latency is measured at once: of more that wait for one bundle the first tell enough.
const MAX_WAITING: usize = 1024;

/// What the rules want now, made afresh.
pub trait Desired {
    /// All flows.
    fn flows(&self) -> Box<dyn Iterator<Item = Flow> + '_>;
    /// All groups.
    fn groups(&self) -> Box<dyn Iterator<Item = Group> + '_>;
}

#[derive(Debug)]
enum Phase {
    /// No connection.
    Down,
    /// A connection, but the network is not known in full yet.
    Waiting,
    /// The TLV map and the groups are being read.
    Preparing,
    /// The flows are being read for the first time in this session.
    Reading,
    /// In step, as far as known.
    Ready,
    /// Something failed on a connection that stands: begin again then.
    Pause(Instant),
}

/// A change that waits for the next bundle. The flow itself, if it is known already.
#[derive(Debug)]
enum Queued {
    Set(Flow),
    Delete(FlowKey),
}

/// The OpenFlow side. See the module.
#[derive(Debug)]
pub struct Switch {
    audit_interval: Option<Duration>,
    open: bool,
    /// Counts connections: answers of an earlier one mean nothing.
    session: u64,
    /// Commands of this session that have no answer yet.
    unanswered: usize,
    /// Pauses since something succeeded, and what the last one was for: said once.
    failures: u32,
    complaint: String,
    phase: Phase,
    /// Whether it forwards anything.
    fill: Fill,
    shadow: Shadow,
    groups: Groups,
    queue: FxHashMap<KeyHash, Queued>,
    /// Flows for a switch that has none yet, which go piece by piece: see [`Switch::refill`].
    backlog: FxHashSet<KeyHash>,
    /// When the events came whose changes wait in the queue.
    since: Vec<Instant>,
    flight: Option<Flight>,
    /// The most flow changes that a bundle takes, while the culprit of a refusal is looked for.
    limit: usize,
    refused_in_row: u32,
    aside: Aside,
    sweep: Option<Sweep>,
    /// An audit is due, and begins with the groups.
    auditing: bool,
    /// What the switch holds of our groups is in doubt since it refused a bundle.
    groups_unknown: bool,
    /// The groups were asked for; no bundle goes before the answer.
    reading_groups: bool,
    next_audit: Option<Instant>,
    /// Connections that nobody is to translate as before, once the flows are gone that did. See [`forget`].
    stale: Stale,
}

/// What handling an event has at hand.
pub struct Context<'a> {
    /// The rules' results.
    pub desired: &'a dyn Desired,
    /// The time.
    pub now: Instant,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
    /// Where work is counted.
    pub stats: &'a mut Stats,
}

impl Context<'_> {
    fn say(&mut self, level: Level, text: impl Into<String>) {
        self.effects.push(Effect::Say(level, text.into()));
    }
}

impl Switch {
    /// Not connected, and not allowed to change anything before [`Switch::open`].
    pub fn new(audit_interval: Option<Duration>) -> Self {
        Self {
            audit_interval,
            open: false,
            session: 0,
            unanswered: 0,
            failures: 0,
            complaint: String::new(),
            phase: Phase::Down,
            fill: Fill::Unknown,
            shadow: Shadow::default(),
            groups: Groups::default(),
            queue: FxHashMap::default(),
            backlog: FxHashSet::default(),
            since: Vec::new(),
            flight: None,
            limit: usize::MAX,
            refused_in_row: 0,
            aside: Aside::default(),
            sweep: None,
            auditing: false,
            groups_unknown: false,
            reading_groups: false,
            next_audit: None,
            stale: Stale::default(),
        }
    }

    /// The rules know the whole network: what they want may reach the switch.
    pub fn open(&mut self, cx: &mut Context<'_>) {
        if self.open {
            return;
        }
        self.open = true;
        self.shadow.fill(cx.desired.flows());
        self.groups.fill(cx.desired.groups());
        if matches!(self.phase, Phase::Waiting) {
            self.begin(cx);
        }
        self.report(cx);
    }

    /// What a transaction of the rules changed. `since`: when the store's event came that caused it.
    pub fn change(
        &mut self,
        flows: Vec<FlowChange>,
        groups: Vec<GroupChange>,
        since: Option<Instant>,
        cx: &mut Context<'_>,
    ) {
        if !self.open || (flows.is_empty() && groups.is_empty()) {
            return;
        }
        // Before the first comparison is over there is no knowing what the switch lacks; but what was compared must not be missed.
        let queueing = matches!(self.phase, Phase::Reading | Phase::Ready);
        for change in flows {
            let (hash, queued) = match change {
                FlowChange::Set(flow) => {
                    self.shadow.set(&flow);
                    (hash_of(&flow), Queued::Set(flow))
                }
                FlowChange::Delete { table, priority, matching } => {
                    let key = FlowKey { table, priority, matching };
                    self.shadow.remove(&key);
                    (key.hash(), Queued::Delete(key))
                }
            };
            self.aside.forget(hash);
            if queueing {
                self.enqueue(hash, queued);
            }
        }
        groups.into_iter().for_each(|change| self.groups.change(change));
        if queueing && self.since.len() < MAX_WAITING {
            self.since.extend(since);
        }
        self.flush(cx);
        self.report(cx);
    }

    /// Something from the switch. Answers of an earlier session are dropped.
    pub fn handle(&mut self, session: u64, event: Event, cx: &mut Context<'_>) {
        if let Event::Tables(Ok(tables)) = &event
            && session == self.session
            && !matches!(self.phase, Phase::Down)
            && self.fill != Fill::Full
        {
            // What an agent puts there ends with this table.
            let holds = tables.contains(&tuplenet_rules::stage::PHYSICAL_IN.table);
            self.fill = if holds { Fill::Full } else { Fill::Empty };
        }
        match event {
            Event::Up => self.up(session, cx),
            _ if session != self.session => return,
            Event::Down(why) => self.down(why, cx),
            // With the connection all that was asked fails: that is no news.
            _ if matches!(self.phase, Phase::Down) => return,
            event => {
                self.unanswered = self.unanswered.saturating_sub(1);
                match self.phase {
                    // About what was under way before the pause, and void.
                    Phase::Pause(until) => self.begin_when_quiet(until, cx),
                    // Only whether it holds anything was asked.
                    Phase::Waiting => {}
                    _ => self.answered(event, cx),
                }
            }
        }
        if self.settled() {
            self.fill = Fill::Full;
        }
        self.report(cx);
    }

    /// Whether the switch forwards anything, by us or an agent before.
    pub fn fill(&self) -> Fill {
        self.fill
    }

    fn answered(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Up | Event::Down(_) => {}
            Event::Meter(Ok(metering)) => self.on_meter(metering, cx),
            Event::Meter(Err(why)) => self.pause(&format!("it did not tell its meters: {why}"), cx),
            Event::Tlv(result) => self.on_tlv(result, cx),
            Event::TlvWritten(Ok(())) => self.ask(Command::ReadGroups, cx),
            Event::TlvWritten(Err(why)) => self.pause(
                &format!(
                    "it did not take our Geneve option into its TLV map: {why}. What has tun_metadata{} or class {:#x} type {:#x} there \
                     (ovs-ofctl dump-tlv-map), and flows that use it (ovs-ofctl dump-flows), must go",
                    TLV.index, TLV.class, TLV.kind
                ),
                cx,
            ),
            Event::Groups(Ok(groups)) => self.on_groups(&groups, cx),
            Event::Groups(Err(why)) => self.pause(&format!("it did not tell its groups: {why}"), cx),
            Event::Tables(Ok(tables)) => self.on_tables(&tables, cx),
            Event::Flows(table, Ok(flows)) => self.on_flows(table, &flows, cx),
            Event::Tables(Err(why)) | Event::Flows(_, Err(why)) => {
                self.pause(&format!("it did not tell its flows: {why}"), cx)
            }
            Event::Bundle(outcome) => self.on_bundle(outcome, cx),
            Event::Forgotten(result) => self.on_forgotten(result, cx),
        }
    }

    /// Time passed.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Pause(until) => self.begin_when_quiet(until, cx),
            Phase::Ready => {
                for flow in self.aside.due(cx.now) {
                    self.enqueue(hash_of(&flow), Queued::Set(flow));
                }
                if self.sweep.is_none()
                    && !self.auditing
                    && self.backlog.is_empty()
                    && self.next_audit.is_some_and(|at| at <= cx.now)
                {
                    self.auditing = true;
                    // First, since Open vSwitch looks for a flow's meter when the flow comes.
                    self.ask(Command::Meter, cx);
                }
                self.flush(cx);
            }
            _ => {}
        }
        self.report(cx);
    }

    /// When [`Switch::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pause(until) if self.unanswered == 0 => Some(until),
            Phase::Ready => {
                let audit = if self.sweep.is_none() && !self.auditing && self.backlog.is_empty() {
                    self.next_audit
                } else {
                    None
                };
                let quiet = self.flight.is_none() && !self.reading_groups;
                let stale = self.stale.wakeup().filter(|_| quiet);
                [audit, self.aside.next(), stale].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// Whether the switch is in step with the rules, as far as known.
    pub fn settled(&self) -> bool {
        matches!(self.phase, Phase::Ready)
            && self.queue.is_empty()
            && self.backlog.is_empty()
            && self.flight.is_none()
            && !self.groups.is_dirty()
    }

    fn ask(&mut self, command: Command, cx: &mut Context<'_>) {
        self.unanswered += 1;
        cx.effects.push(Effect::Switch(self.session, command));
    }

    fn report(&self, cx: &mut Context<'_>) {
        let waiting = self.queue.len() + self.backlog.len() + self.flight.as_ref().map_or(0, Flight::flows);
        cx.stats.flows_desired = self.shadow.len() as u64;
        cx.stats.flows_set_aside = (self.aside.len() + self.groups.refused()) as u64;
        cx.stats.flows_queued = waiting as u64;
        cx.stats.flows_installed = match self.phase {
            Phase::Ready => self.shadow.len().saturating_sub(self.aside.len() + waiting) as u64,
            _ => 0,
        };
        cx.stats.groups_desired = self.groups.len() as u64;
        cx.stats.switch_connected = !matches!(self.phase, Phase::Down);
        cx.stats.switch_settled = self.settled();
    }

    fn on_groups(&mut self, reported: &[Reported], cx: &mut Context<'_>) {
        let wrong = self.groups.adopt(reported);
        if matches!(self.phase, Phase::Preparing) {
            self.phase = Phase::Reading;
            return self.start_sweep(Purpose::Sync, cx);
        }
        self.reading_groups = false;
        let refused_before = std::mem::take(&mut self.groups_unknown);
        if std::mem::take(&mut self.auditing) {
            if wrong > 0 && !refused_before && self.groups.refused() == 0 {
                cx.stats.drift_groups += wrong as u64;
                cx.say(
                    Level::Warn,
                    format!("audit: {wrong} groups of the switch were not as they should be: repairing them"),
                );
            }
            self.groups.retry();
            self.start_sweep(Purpose::Audit, cx);
        }
        self.flush(cx);
    }

    /// Groups are read while no bundle is on its way, so that the answer is beyond doubt.
    fn read_groups_when_quiet(&mut self, cx: &mut Context<'_>) {
        if (self.auditing || self.groups_unknown) && self.flight.is_none() && !self.reading_groups {
            self.reading_groups = true;
            self.ask(Command::ReadGroups, cx);
        }
    }

    fn enqueue(&mut self, hash: KeyHash, queued: Queued) {
        if let Some(sweep) = &mut self.sweep {
            sweep.touched(hash);
        }
        self.backlog.remove(&hash);
        self.queue.insert(hash, queued);
    }

    /// The rules' flows of these keys go into the queue, unless a newer change of theirs waits there.
    fn requeue(&mut self, need: &FxHashSet<KeyHash>, cx: &Context<'_>) {
        if need.is_empty() {
            return;
        }
        for flow in cx.desired.flows() {
            let hash = hash_of(&flow);
            if need.contains(&hash) && !self.queue.contains_key(&hash) {
                self.enqueue(hash, Queued::Set(flow));
            }
        }
    }
}

/// Whether a flow that the rules do not want is nevertheless not ours to delete.
fn is_foreign(flow: &Flow) -> bool {
    flow.table == HOOK_TABLE && flow.cookie & tuplenet_rules::cookie::OURS_MASK != tuplenet_rules::cookie::OURS
}

/// Items of a bundle in the order in which they are sent: groups that appear, flows, groups that go.
fn items(before: &[groups::Step], flows: Vec<Item>, after: &[groups::Step]) -> Vec<Item> {
    let group = |s: &groups::Step| Item::Group(s.group());
    before.iter().map(group).chain(flows).chain(after.iter().map(group)).collect()
}
