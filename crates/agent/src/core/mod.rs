//! The core of the agent, without I/O: `(state, event, now) -> effects`. What a packet experiences the rules decide; here stands who is told what,
//! when, and what is done again when it fails.
//!
//! ```text
//! store ----> changes --+                 +--> flows, groups --> switch --> bundles
//!                       +--> the rules ---+--> claims ---------> records -> writes to the store
//! OVSDB -> ovs -> changes                 +--> rejects, notices -> log          |
//!   ^                                                                           |
//!   +--- bridge, tunnel ports, marks <------------------------------------------+
//! ```
//! Beside all that, [`trace`] sends packets for tools and reports their paths, [`neighbour`] learns who is in the physical networks, and
//! [`icmp`] tells senders why a router ended their packets.
//!
//! **Nothing in the switch is touched before the network is known in full**: changes are kept until the store was listed once and the interfaces
//! were told, and then go into the rules as one transaction.

mod change;
mod event;
pub mod icmp;
pub mod ledger;
mod linger;
mod mind;
pub mod neighbour;
mod newcomer;
pub mod ovs;
pub mod probe;
pub mod records;
pub mod seldom;
pub mod session;
pub mod stats;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod trace;
mod wire;
pub mod withdraw;

pub use event::{Effect, Event, Level};

use linger::Linger;
use neighbour::Neighbours;
use newcomer::Newcomers;
use ovs::Ovs;
use probe::Probes;
use records::Records;
use session::Sessions;
use stats::Stats;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use switch::{Context, Desired, Switch};
use trace::{Asked, Place, Traces};
use tuplenet_model::{entity::Encap, name::Name};
use tuplenet_openflow::{Flow, message::PacketIn2};
use tuplenet_rules::{Change, Config, Engine, Group, Scope, outside::Outside, userdata::Userdata};
use tuplenet_store::mirror::{MirrorChange, MirrorEvent};
use withdraw::{Fill, Withdraw};

/// What the core must know of its host.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chassis.
    pub chassis: Name,
    /// How others reach it.
    pub encaps: Vec<Encap>,
    /// The bridge as it should be.
    pub bridge: ovs::Wanted,
    /// What to probe.
    pub probe: probe::Wanted,
    /// Between two audits; `None` for none.
    pub audit_interval: Option<Duration>,
    /// An instant, and what the clock on the wall showed then, in seconds since 1970.
    pub clock: (Instant, u64),
}

struct Rules(Engine);

impl Desired for Rules {
    fn flows(&self) -> Box<dyn Iterator<Item = Flow> + '_> {
        Box::new(self.0.flows())
    }
    fn groups(&self) -> Box<dyn Iterator<Item = Group> + '_> {
        Box::new(self.0.groups())
    }
}

/// The core. See the module.
pub struct Core {
    rules: Rules,
    ovs: Ovs,
    switch: Switch,
    records: Records,
    traces: Traces,
    neighbours: Neighbours,
    errors: icmp::Errors,
    sessions: Sessions,
    probes: Probes,
    withdraw: Withdraw,
    linger: Linger,
    /// A removal that lingered is being done.
    removing: bool,
    newcomers: Newcomers,
    /// What the rules were told: whether this host is withdrawn, and which sessions tell of dead tunnels.
    withdrawn: bool,
    proven: BTreeSet<ovs::End>,
    /// Where routers meet physical networks here.
    outside: BTreeSet<Outside>,
    /// Something changed that decides whether this host draws traffic.
    unminded: bool,
    stats: Stats,
    /// How many facts the rules were told while the network is not known in full; `None` from then on.
    waiting: Option<usize>,
    synced: bool,
}

impl Core {
    /// A core that knows nothing but who it is.
    pub fn new(identity: Identity) -> Self {
        let Identity { chassis, encaps, bridge, probe, audit_interval, clock } = identity;
        let mut rules = Engine::new(Config { chassis: chassis.clone(), scope: Scope::Reachable });
        let probes = Probes::new(&chassis, probe, clock.0);
        rules.preload(probes.changes());
        Self {
            rules: Rules(rules),
            ovs: Ovs::new(bridge),
            switch: Switch::new(audit_interval),
            traces: Traces::new(chassis.clone()),
            neighbours: Neighbours::new(&chassis, clock),
            errors: icmp::Errors::default(),
            sessions: Sessions::new(&chassis, clock),
            probes,
            withdraw: Withdraw::default(),
            linger: Linger::new(chassis.clone(), clock.0),
            removing: false,
            newcomers: Newcomers::default(),
            withdrawn: false,
            proven: BTreeSet::new(),
            outside: BTreeSet::new(),
            unminded: false,
            records: Records::new(chassis, encaps),
            stats: Stats::default(),
            waiting: Some(0),
            synced: false,
        }
    }

    /// One event in, what is to be done out.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let held = self.linger.len();
        match event {
            Event::Store(event) => self.on_store(event, now, &mut effects),
            Event::Written(path, outcome) if self.neighbours.owns(&path) => {
                let mut cx = neighbour::Context { now, effects: &mut effects, stats: &mut self.stats };
                self.neighbours.written(&path, &outcome, &mut cx);
            }
            Event::Written(path, outcome) if self.sessions.owns(&path) => {
                self.sessions.written(&path, &outcome, now);
                self.unminded = true;
            }
            Event::Written(path, outcome) => {
                self.records.done(&path, outcome, now, &mut effects, &mut self.stats);
                self.act(now, &mut effects);
            }
            Event::Ovs(event) => self.on_ovs(event, now, &mut effects),
            Event::OwnStack(answer) => {
                let change = self.ovs.own_stack(answer, now, &mut effects);
                self.change(change.into_iter().collect(), None, now, &mut effects);
                self.act(now, &mut effects);
            }
            Event::OvsDone(purpose, result) => self.ovs.done(&purpose, result, now, &mut effects),
            Event::Switch(session, event) => {
                let (switch, mut cx) = split(&mut self.switch, &self.rules, now, &mut effects, &mut self.stats);
                let before = switch.fill();
                switch.handle(session, event, &mut cx);
                self.unminded |= before != self.switch.fill();
            }
            Event::Underlay(mtu) => {
                self.records.underlay(mtu);
                self.act(now, &mut effects);
            }
            Event::Trace(event) => self.traces.handle(event, now, &mut effects, &mut self.stats),
            Event::Packet(at, packet) => self.on_packet(at, packet, now, &mut effects),
            Event::Lost(of, n) => self.lose(of, n, now, &mut effects),
            Event::Tick => {
                self.unminded = true;
                // Without flows no question would leave.
                let able = self.switch.fill() == Fill::Full && self.waiting.is_none();
                let works = self.outside.iter().filter(|at| able && at.works);
                self.probes.tick(works, now, &mut effects, &mut self.stats);
                let gone = self.linger.take(now);
                let mut late = self.newcomers.pass(gone, true, now);
                late.extend(self.newcomers.take(now));
                late.extend(self.ovs.take_gone(now));
                self.change(late, None, now, &mut effects);
                self.ovs.tick(now, &mut effects);
                self.act(now, &mut effects);
                let (switch, mut cx) = split(&mut self.switch, &self.rules, now, &mut effects, &mut self.stats);
                switch.tick(&mut cx);
                let mut cx = neighbour::Context { now, effects: &mut effects, stats: &mut self.stats };
                self.neighbours.tick(&mut cx);
                self.tell_neighbours(now, &mut effects);
            }
        }
        self.stats.changes_held = (self.linger.len() + self.newcomers.len() + self.ovs.going()) as u64;
        self.ovs.leave(self.linger.is_last(), now, &mut effects);
        self.ovs.steady(self.switch.settled(), now, &mut effects);
        self.removing = (self.removing || self.linger.len() < held) && !(self.switch.settled() && self.ovs.is_right());
        if std::mem::take(&mut self.unminded) {
            self.mind(now, &mut effects);
        }
        effects
    }

    /// So many packet-ins of a kind were dropped before they came here.
    fn lose(&mut self, of: Option<Userdata>, n: u64, now: Instant, effects: &mut Vec<Effect>) {
        match of {
            Some(Userdata::Neighbour(_)) => {
                self.stats.packet_ins += n;
                self.stats.neighbour_packets_dropped += n;
            }
            Some(Userdata::IcmpError(_)) => {
                self.stats.packet_ins += n;
                self.stats.icmp_errors_withheld += n;
            }
            Some(Userdata::Probe(_)) => self.stats.packet_ins += n,
            Some(Userdata::Trace(_)) | None => {
                self.traces.handle(trace::Event::Lost(n), now, effects, &mut self.stats);
            }
        }
    }

    /// When there is something to do even if nothing happens: then send [`Event::Tick`].
    pub fn wakeup(&self) -> Option<Instant> {
        let parts = [
            self.ovs.wakeup(),
            self.records.wakeup(),
            self.switch.wakeup(),
            self.neighbours.wakeup(),
            self.sessions.wakeup(self.waiting.is_none()),
            // To return is news to those who watch.
            self.withdraw.wakeup().filter(|_| self.stats.bfd_sessions > 0),
            self.probes.wakeup(),
            self.linger.wakeup(),
            self.newcomers.wakeup(),
        ];
        parts.into_iter().flatten().min()
    }

    /// Whether the agent is in the middle of something that it has to finish before it ends: the removal of an edge.
    pub fn lingers(&self) -> bool {
        self.linger.wakeup().is_some()
    }

    /// Whether what lingered is on its way out of the switch and its database.
    pub fn is_removing(&self) -> bool {
        self.removing
    }

    /// How things stand.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The bridges of this host but ours, in order: those that patch ports may lead to.
    pub fn other_bridges(&self) -> Vec<String> {
        self.ovs.other_bridges()
    }

    /// Of which families this host's own IP stack takes what is for the outside now, in words.
    pub fn untunnels(&self) -> Vec<&'static str> {
        self.ovs.untunnels().map(ovs::Families::names).unwrap_or_default()
    }

    /// Whether the bridge is there, so that its OpenFlow socket is worth a try.
    pub fn has_bridge(&self) -> bool {
        self.ovs.has_bridge()
    }

    fn on_store(&mut self, event: MirrorEvent, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            MirrorEvent::Up => {
                self.stats.store_connected = true;
                self.stats.store_connects += 1;
                effects.push(Effect::Say(Level::Info, "following the store".into()));
            }
            MirrorEvent::Down(why) => {
                self.stats.store_connected = false;
                let text = format!(
                    "the store is away: {why}; traffic goes on as it is, changes arrive when the store is back"
                );
                effects.push(Effect::Say(Level::Warn, text));
            }
            MirrorEvent::Repaired { keys } => {
                self.stats.mirror_repaired += keys as u64;
                effects.push(Effect::Say(
                    Level::Warn,
                    format!("audit: objects that were not as the store has them: {keys}, repaired"),
                ));
            }
            MirrorEvent::Changes { revision, at, synced, changes } => {
                self.stats.store_revision = revision;
                self.stats.store_changes += changes.len() as u64;
                // What the first listing shows was asked of an agent that is gone.
                let live = self.synced;
                self.synced |= synced;
                let mut facts = Vec::with_capacity(changes.len());
                for MirrorChange { path, value, create_revision, mod_revision } in changes {
                    if self.traces.owns(&path) {
                        if let Some(value) = value.filter(|_| live) {
                            self.inject(Asked { path: &path, value: &value, revision: mod_revision }, now, effects);
                        }
                        continue;
                    }
                    if self.sessions.owns(&path) {
                        self.sessions.see(&path, value.as_deref(), mod_revision);
                        self.unminded = true;
                        continue;
                    }
                    if self.neighbours.owns(&path) {
                        self.neighbours.see(&path, value.as_deref(), mod_revision, now);
                        continue;
                    }
                    self.records.see(&path, value.as_deref(), mod_revision);
                    facts.push(Change::Object { path, value, create_revision });
                }
                let drawing = self.waiting.is_none() && self.rules.0.is_drawing();
                let lingered = self.linger.wakeup().is_some();
                let facts = self.linger.pass(facts, drawing, now);
                if self.linger.is_last() {
                    self.ovs.leave(true, now, effects);
                }
                let mut facts = self.newcomers.pass(facts, self.waiting.is_none(), now);
                if !lingered && self.linger.wakeup().is_some() {
                    let text = "a router that is pinned here and that others send to is deleted: it serves for two seconds longer what is on its way";
                    effects.push(Effect::Say(Level::Info, text.into()));
                }
                facts.extend(self.neighbours.take_changes());
                self.change(facts, Some(at.into_std()), now, effects);
                self.act(now, effects);
            }
        }
    }

    fn inject(&mut self, asked: Asked<'_>, now: Instant, effects: &mut Vec<Effect>) {
        let rules = &self.rules.0;
        let place = Place { port: &|ls, lsp| rules.local_port(ls, lsp), connected: self.stats.switch_connected };
        self.traces.inject(asked, &place, now, effects, &mut self.stats);
    }

    fn on_ovs(&mut self, event: tuplenet_ovsdb::Event, now: Instant, effects: &mut Vec<Effect>) {
        match &event {
            tuplenet_ovsdb::Event::Up => self.stats.ovsdb_connects += 1,
            tuplenet_ovsdb::Event::Update(_) => self.stats.ovsdb_updates += 1,
            tuplenet_ovsdb::Event::Down(_) => {}
        }
        let changes = self.ovs.handle(event, now, effects);
        for change in &changes {
            if let Change::Interface { id, interface } = change {
                self.records.asks(*id, interface.as_ref().map(|i| i.iface_id.as_str()));
            }
        }
        self.stats.ovsdb_connected = self.ovs.is_up();
        self.stats.interfaces = self.ovs.interfaces() as u64;
        self.unminded |= self.ovs.take_news();
        self.change(changes, None, now, effects);
        self.act(now, effects);
    }

    fn on_packet(&mut self, at: u64, packet: Box<PacketIn2>, now: Instant, effects: &mut Vec<Effect>) {
        self.stats.packet_ins += 1;
        match Userdata::decode(&packet.userdata) {
            Some(Userdata::Trace(event)) => {
                self.traces.handle(trace::Event::Seen(event, at, packet), now, effects, &mut self.stats);
            }
            Some(Userdata::Neighbour(event)) => {
                let mut cx = neighbour::Context { now, effects, stats: &mut self.stats };
                self.neighbours.packet_in(event, &packet, &mut cx);
                self.tell_neighbours(now, effects);
            }
            Some(Userdata::IcmpError(event)) => {
                let nets = |router, number| self.rules.0.router_port(router, number);
                self.errors.packet_in(event, &packet, nets, now, effects, &mut self.stats);
            }
            Some(Userdata::Probe(event)) => {
                self.unminded |= self.probes.packet_in(event, &packet, now, effects, &mut self.stats);
            }
            // Of flows of other software.
            _ => {}
        }
    }

    /// Brings the counts of the rules' work up to date: not done at each event, since it costs more than a small event.
    pub fn count_rules(&mut self) {
        let counters = self.rules.0.counters();
        self.stats.rule_rows = counters.rows_touched;
        self.stats.rule_operators = counters.operators_run;
        self.stats.rule_steps = counters.steps;
        let (known, asked) = self.neighbours.count();
        (self.stats.neighbours, self.stats.neighbours_asked) = (known as u64, asked as u64);
    }

    /// Sends what is to be sent to the store, and marks what is claimed.
    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for marked in self.records.act(now, effects, &mut self.stats) {
            self.ovs.mark(marked.interface, &marked.lsp, marked.generation, now, effects);
        }
    }
}

fn split<'a>(
    switch: &'a mut Switch,
    rules: &'a Rules,
    now: Instant,
    effects: &'a mut Vec<Effect>,
    stats: &'a mut Stats,
) -> (&'a mut Switch, Context<'a>) {
    (switch, Context { desired: rules, now, effects, stats })
}
