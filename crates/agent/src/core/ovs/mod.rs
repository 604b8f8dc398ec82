//! The OVSDB side: keeps the bridge and its tunnel ports as they should be, tells the rules which interfaces ask for which switch port, and marks
//! those interfaces with what they claimed.

mod bfd;
mod export;
pub mod own_stack;
mod patch;
mod plan;
mod tables;
#[cfg(test)]
mod tests;
mod uplink;

use super::{Effect, Level};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_ovsdb::{Event, Mutator, Operation, Update, Uuid, Value};
use tuplenet_rules::{Change, ClaimMark, LocalInterface, LocalPatch, PatchPair, Watch};

pub use bfd::{End, Session};
pub use export::{Export, Protocol};
use own_stack::{Answer, Families, OwnStack};
pub use plan::{Plan, Wanted, cleanup, tunnel_name};
pub use tables::{CLAIM, IFACE_ID, MANAGED, Tables, monitor};

/// Pause after a transaction that the database refused.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How long the database may take to show what a transaction of ours did.
const SETTLE: Duration = Duration::from_millis(100);

/// What a transaction of ours was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To put the bridge right.
    Repair,
    /// To mark interfaces, or to take marks away.
    Mark,
    /// To tell those that watch this host whether they may send here.
    Withdraw,
    /// To write down what a setting of the kernel was, or to strike that out.
    Sysctl,
}

/// The OVSDB side. See the module.
#[derive(Debug)]
pub struct Ovs {
    wanted: Wanted,
    tables: Tables,
    /// Whether the whole state was told once.
    known: bool,
    up: bool,
    /// What the rules were told.
    told: HashMap<Uuid, LocalInterface>,
    tunnels: BTreeMap<EncapKind, u32>,
    /// The pairs of patch Interfaces that are wanted, by name; `None` while nobody knows.
    pairs: Option<BTreeMap<String, PatchPair>>,
    /// Those that are whole, as the rules were told.
    patches: BTreeMap<String, LocalPatch>,
    /// How long packets may be that leave by other bridges, as the rules were told.
    mtus: BTreeMap<String, u32>,
    /// The end points that are to be watched; `None` while nobody knows.
    watches: Option<BTreeMap<End, Name>>,
    /// The ports for that, as the rules were told.
    watching: BTreeMap<End, u32>,
    /// Whether the other ends are told not to send here; `None` while nobody knows.
    withdrawn: Option<bool>,
    /// Whether the switch holds what the rules want.
    steady: bool,
    /// The next plan may make or remove ports that watch, once the switch is steady.
    unmade: bool,
    withdrawing: bool,
    withdraw_at: Option<Instant>,
    /// Something came that [`Ovs::sessions`] or [`Ovs::uplinks`] may tell.
    news: bool,
    /// Bridges that were seen with a network card.
    carded: BTreeSet<String>,
    /// What was last said of each wanted pair.
    said_of_pairs: BTreeMap<String, String>,
    /// Complaints that were logged, by interface.
    complaints: HashMap<Uuid, String>,
    /// Tunnel ports that were found on other bridges, and said to be.
    elsewhere: Vec<(EncapKind, String)>,
    /// What keeps exports from being made, as it was said.
    hindered: Vec<String>,
    own_stack: OwnStack,
    repairing: bool,
    marking: bool,
    /// Marks to write (`Some`) or to take away if they still read so (`None` and the text).
    marks: BTreeMap<Uuid, Mark>,
    /// Those that are on their way.
    sent: BTreeMap<Uuid, Mark>,
    retry_at: Option<Instant>,
    /// Something changed that the plan depends on.
    unchecked: bool,
    /// What was last said of a plan, and of a transaction that failed: what is tried again is not said again.
    words: Vec<String>,
    failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Write(String),
    Erase(String),
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
            told: HashMap::new(),
            tunnels: BTreeMap::new(),
            pairs: None,
            patches: BTreeMap::new(),
            mtus: BTreeMap::new(),
            watches: None,
            watching: BTreeMap::new(),
            withdrawn: None,
            steady: false,
            unmade: false,
            withdrawing: false,
            withdraw_at: None,
            news: false,
            carded: BTreeSet::new(),
            said_of_pairs: BTreeMap::new(),
            complaints: HashMap::new(),
            elsewhere: Vec::new(),
            hindered: Vec::new(),
            repairing: false,
            marking: false,
            marks: BTreeMap::new(),
            sent: BTreeMap::new(),
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
        self.told.len()
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
                self.withdrawing = false;
                self.repairing = false;
                self.marking = false;
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
            self.complain(*uuid, effects);
            let interface = self.local(*uuid);
            let before = self.told.get(uuid);
            if before != interface.as_ref() {
                match &interface {
                    Some(new) => drop(self.told.insert(*uuid, new.clone())),
                    None => drop(self.told.remove(uuid)),
                }
                changes.push(Change::Interface { id: uuid.0, interface });
            }
            self.erase_stale_mark(*uuid);
        }
        // Cards of physical bridges.
        let elsewhere = touched.interfaces.iter().any(|uuid| self.tables.member(*uuid).is_none());
        self.news |= tunnels_touched || elsewhere || touched.sessions;
        if touched.structure || elsewhere {
            changes.extend(self.mtu_changes());
        }
        if tunnels_touched {
            self.unchecked = true;
            self.complain_of_tunnels(effects);
            self.complain_of_exports(effects);
            changes.extend(self.tunnel_changes());
            changes.extend(self.watch_changes());
            changes.extend(self.patch_changes());
            self.say_patches(effects);
            changes.extend(self.own_stack.look(&self.tables, &self.wanted.bridge, now, effects));
        }
        self.tell_withdrawn(now, effects);
        self.act(now, effects);
        changes
    }

    /// What the rules should know of an interface.
    fn local(&self, uuid: Uuid) -> Option<LocalInterface> {
        let row = self.tables.member(uuid)?;
        let iface_id = Tables::pair(row, "external_ids", IFACE_ID).filter(|id| !id.is_empty())?;
        let ofport = match row.integer("ofport") {
            Some(n) => u32::try_from(n).ok().filter(|n| (1..tuplenet_openflow::port::MAX).contains(n))?,
            // An interface claims its port when the switch has it. One that was there keeps its claim while the switch comes back.
            None if self.told.contains_key(&uuid) => 0,
            None => return None,
        };
        Some(LocalInterface {
            name: row.string("name").unwrap_or_default().to_owned(),
            iface_id: iface_id.to_owned(),
            ofport,
            claim: Tables::pair(row, "external_ids", CLAIM).and_then(parse_mark),
        })
    }

    /// Says once that an interface has no port in the switch, and once that it has one again.
    fn complain(&mut self, uuid: Uuid, effects: &mut Vec<Effect>) {
        let complaint = self.tables.member(uuid).and_then(|row| {
            let name = row.string("name").unwrap_or_default();
            if patch::concerns(name) {
                return None; // an end waits for the other: what keeps that away is said of the patch port
            }
            let reason = match (row.string("error"), row.integer("ofport")) {
                (Some(error), _) if !error.is_empty() => error.to_owned(),
                (_, Some(-1)) => "Open vSwitch could not open it".to_owned(),
                _ => return None,
            };
            let role = match Tables::pair(row, "external_ids", IFACE_ID) {
                Some(id) => format!(" (iface-id {id})"),
                None => String::new(),
            };
            Some(format!("the interface {name}{role} has no port in the switch: {reason}"))
        });
        match complaint {
            Some(text) => {
                if self.complaints.get(&uuid) != Some(&text) {
                    effects.push(Effect::Say(Level::Error, text.clone()));
                    self.complaints.insert(uuid, text);
                }
            }
            None => {
                if self.complaints.remove(&uuid).is_some()
                    && let Some(name) = self.tables.member(uuid).and_then(|row| row.string("name"))
                {
                    effects.push(Effect::Say(Level::Info, format!("the interface {name} is well again")));
                }
            }
        }
    }

    /// Says, once for each change, which tunnel ports another bridge has: without them nothing reaches other hosts.
    fn complain_of_tunnels(&mut self, effects: &mut Vec<Effect>) {
        let elsewhere = plan::tunnels_elsewhere(&self.tables, &self.wanted);
        if elsewhere == self.elsewhere {
            return;
        }
        let ours = &self.wanted.bridge;
        for (kind, other) in elsewhere.iter().filter(|tunnel| !self.elsewhere.contains(tunnel)) {
            let text = format!(
                "{ours} gets no tunnel port {}: the bridge {other} has it. One agent a host and Open vSwitch is supported: end the one of {other} \
                 and take away what it made (tuplenet agent --cleanup --bridge {other}), or end this one",
                tunnel_name(*kind)
            );
            effects.push(Effect::Say(Level::Error, text));
        }
        self.elsewhere = elsewhere;
    }

    /// Says, once for each change, which export cannot be made.
    fn complain_of_exports(&mut self, effects: &mut Vec<Effect>) {
        let hindered = export::hindrances(&self.tables, &self.wanted);
        let new = hindered.iter().filter(|text| !self.hindered.contains(text));
        effects.extend(new.map(|text| Effect::Say(Level::Warn, text.clone())));
        self.hindered = hindered;
    }

    fn tunnel_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for kind in &self.wanted.encaps {
            let port = self.tables.members().find(|(_, row)| {
                row.string("name") == Some(tunnel_name(*kind).as_str()) && plan::is_flow_tunnel(row, *kind)
            });
            let ofport =
                port.and_then(|(_, row)| row.integer("ofport")).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            let before = match ofport {
                Some(ofport) => self.tunnels.insert(*kind, ofport),
                None => self.tunnels.remove(kind),
            };
            if before != ofport {
                changes.push(Change::Tunnel { kind: *kind, remote: None, ofport });
            }
        }
        changes
    }

    fn watch_changes(&mut self) -> Vec<Change> {
        let now = bfd::numbers(&self.tables, &self.wanted, self.watches.as_ref());
        let tunnel = |(kind, ip): End, ofport| Change::Tunnel { kind, remote: Some(ip), ofport };
        let gone = self.watching.keys().filter(|end| !now.contains_key(*end));
        let mut changes: Vec<Change> = gone.map(|end| tunnel(*end, None)).collect();
        let new = now.iter().filter(|(end, number)| self.watching.get(*end) != Some(*number));
        changes.extend(new.map(|(end, number)| tunnel(*end, Some(*number))));
        self.watching = now;
        let made = |watches| bfd::all_made(&self.tables, &self.wanted.bridge, watches);
        self.unmade = self.watches.as_ref().is_some_and(|watches| !made(watches));
        changes
    }

    /// End points that are to be watched from now on, and no more: the first time all of them. Gives what it means to the rules.
    pub fn watches(&mut self, changes: Vec<(Watch, bool)>) -> Vec<Change> {
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
        let changes = self.watch_changes();
        // First the flows, then the ports; and what is not needed any more goes, too: see [`Ovs::steady`].
        (self.steady, self.unmade) = (false, true);
        changes
    }

    /// Whether the switch holds what the rules want. Only then ports that watch are made, whose first packets need their flows.
    pub fn steady(&mut self, steady: bool, now: Instant, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.steady, steady);
        if steady && !before && self.unmade {
            self.unchecked = true;
            self.act(now, effects);
        }
    }

    /// Tells the other ends of all sessions whether packets may be sent here.
    pub fn withdraw(&mut self, withdrawn: bool, now: Instant, effects: &mut Vec<Effect>) {
        if self.withdrawn != Some(withdrawn) {
            self.withdrawn = Some(withdrawn);
            self.tell_withdrawn(now, effects);
        }
    }

    /// Apart from all repairs: it must neither wait for them nor fail with them.
    fn tell_withdrawn(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let able = self.known && self.up && !self.withdrawing && self.withdraw_at.is_none_or(|at| at <= now);
        let Some(withdrawn) = self.withdrawn.filter(|_| able) else { return };
        let operations = bfd::withdrawal(&self.tables, &self.wanted.bridge, withdrawn);
        if !operations.is_empty() {
            self.withdrawing = true;
            effects.push(Effect::Ovs(Purpose::Withdraw, operations));
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
            let whole = self.patches.get(&pair.name).is_some_and(|patch| patch.bridge == pair.bridge);
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

    /// Whether the ports in the database say that this host is withdrawn.
    pub fn told_withdrawn(&self) -> bool {
        bfd::told(&self.tables, &self.wanted.bridge)
    }

    /// What the BFD sessions say, by end point.
    pub fn sessions(&self) -> BTreeMap<End, Session> {
        bfd::sessions(&self.tables, &self.wanted.bridge)
    }

    fn mtu_changes(&mut self) -> Vec<Change> {
        let mtus = uplink::mtus(&self.tables, &self.wanted.bridge);
        let gone = self.mtus.keys().filter(|name| !mtus.contains_key(*name));
        let mut changes: Vec<Change> = gone.map(|name| Change::Bridge { name: name.clone(), mtu: None }).collect();
        let new = mtus.iter().filter(|(name, mtu)| self.mtus.get(*name) != Some(*mtu));
        changes.extend(new.map(|(name, mtu)| Change::Bridge { name: name.clone(), mtu: Some(*mtu) }));
        self.mtus = mtus;
        changes
    }

    fn patch_changes(&mut self) -> Vec<Change> {
        let whole = patch::whole(&self.tables, &self.wanted.bridge);
        let gone = self.patches.keys().filter(|name| !whole.contains_key(*name));
        let mut changes: Vec<Change> = gone.map(|name| Change::Patch { name: name.clone(), patch: None }).collect();
        let new = whole.iter().filter(|(name, patch)| self.patches.get(*name) != Some(*patch));
        changes.extend(new.map(|(name, patch)| Change::Patch { name: name.clone(), patch: Some(patch.clone()) }));
        self.patches = whole;
        changes
    }

    /// Pairs that are wanted from now on, and no more: the first time all of them.
    pub fn pairs(&mut self, changes: Vec<(PatchPair, bool)>, now: Instant, effects: &mut Vec<Effect>) {
        let first = self.pairs.is_none();
        if changes.is_empty() && !first {
            return;
        }
        let pairs = self.pairs.get_or_insert_default();
        let (come, go): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, wanted)| *wanted);
        for (pair, _) in go {
            pairs.remove(&pair.name);
        }
        pairs.extend(come.into_iter().map(|(pair, _)| (pair.name.clone(), pair)));
        self.unchecked = true;
        self.say_patches(effects);
        self.act(now, effects);
    }

    /// Says, once for each change, which patch ports work, and what keeps the others from it.
    fn say_patches(&mut self, effects: &mut Vec<Effect>) {
        let Some(pairs) = &self.pairs else { return };
        self.said_of_pairs.retain(|name, _| pairs.contains_key(name));
        for (name, pair) in pairs {
            let works = self.patches.get(name).is_some_and(|patch| patch.bridge == pair.bridge);
            let (level, text) = if works {
                let vlan = pair.vlan.map_or_else(|| "untagged".into(), |vlan| format!("VLAN {vlan}"));
                (Level::Info, format!("patch port {}/{}: joined to {} ({vlan})", pair.ls, pair.lsp, pair.bridge))
            } else {
                // A pair that is being made is not worth a word before it is there.
                let Some(text) = patch::hindrance(&self.tables, &self.wanted, pair) else { continue };
                (Level::Warn, text)
            };
            if self.said_of_pairs.get(name) != Some(&text) {
                effects.push(Effect::Say(level, text.clone()));
                self.said_of_pairs.insert(name.clone(), text);
            }
        }
    }

    /// A mark outlives its interface's `iface-id`, but it must not: an `iface-id` that comes back is a fresh claim.
    fn erase_stale_mark(&mut self, uuid: Uuid) {
        let Some(row) = self.tables.member(uuid) else {
            self.marks.remove(&uuid);
            return;
        };
        let Some(text) = Tables::pair(row, "external_ids", CLAIM) else { return };
        let iface_id = Tables::pair(row, "external_ids", IFACE_ID).unwrap_or_default();
        // A mark that is to be written in its place is as good; if it fits, that is: one on its way may be too late, too.
        let replaced =
            matches!(self.marks.get(&uuid), Some(Mark::Write(new)) if new != text && text_fits(new, iface_id));
        if !text_fits(text, iface_id) && !replaced {
            self.marks.insert(uuid, Mark::Erase(text.to_owned()));
        }
    }

    /// The interface claimed that port with that generation.
    pub fn mark(&mut self, interface: u128, lsp: &str, generation: u64, now: Instant, effects: &mut Vec<Effect>) {
        let uuid = Uuid(interface);
        let text = format!("{lsp}:{generation}");
        let Some(row) = self.tables.member(uuid) else { return };
        if Tables::pair(row, "external_ids", CLAIM) == Some(&text) {
            self.marks.remove(&uuid);
            return;
        }
        self.marks.insert(uuid, Mark::Write(text));
        self.act(now, effects);
    }

    /// How a transaction ended.
    pub fn done(&mut self, purpose: &Purpose, result: Result<(), String>, now: Instant, effects: &mut Vec<Effect>) {
        match purpose {
            Purpose::Repair => self.repairing = false,
            Purpose::Mark => self.marking = false,
            Purpose::Withdraw => {
                self.withdrawing = false;
                self.withdraw_at = None;
                if let Err(why) = result {
                    let text =
                        format!("those that watch this host cannot be told whether to send here: {why}; trying again");
                    effects.push(Effect::Say(Level::Error, text));
                    self.withdraw_at = Some(now + RETRY_PAUSE);
                }
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
            (Ok(()), Purpose::Repair | Purpose::Sysctl | Purpose::Withdraw) => {}
            (Ok(()), Purpose::Mark) => {
                let sent = std::mem::take(&mut self.sent);
                self.marks.retain(|uuid, mark| sent.get(uuid) != Some(mark));
            }
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
        if self.withdraw_at.take_if(|at| *at <= now).is_some() {
            self.tell_withdrawn(now, effects);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.act(now, effects);
        }
    }

    /// When [`Ovs::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.withdraw_at).chain(self.own_stack.wakeup()).min()
    }

    /// Starts what is to be done and is not under way.
    fn act(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.known || !self.up || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        if !self.repairing && self.unchecked {
            let parts = plan::Parts {
                patches: self.pairs.as_ref(),
                watches: self.watches.as_ref(),
                steady: self.steady,
                withdrawn: self.withdrawn,
            };
            match plan::plan(&self.tables, &self.wanted, parts) {
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
        if !self.marking {
            // What reads as it should needs no write; a row that is gone takes none, nor one that asks for another port now.
            let tables = &self.tables;
            self.marks.retain(|uuid, mark| {
                tables.member(*uuid).is_some_and(|row| match (mark, Tables::pair(row, "external_ids", CLAIM)) {
                    (Mark::Write(text), have) => {
                        have != Some(text)
                            && text_fits(text, Tables::pair(row, "external_ids", IFACE_ID).unwrap_or_default())
                    }
                    (Mark::Erase(text), have) => have == Some(text),
                })
            });
            if self.marks.is_empty() {
                return;
            }
            self.marking = true;
            self.sent = self.marks.clone();
            effects.push(Effect::Ovs(
                Purpose::Mark,
                self.marks.iter().map(|(uuid, mark)| operation(*uuid, mark)).collect(),
            ));
        }
    }
}

fn operation(uuid: Uuid, mark: &Mark) -> Operation {
    let operation = Operation::mutate("Interface").row(uuid);
    match mark {
        Mark::Write(text) => operation.mutation("external_ids", Mutator::Delete, Value::set([CLAIM])).mutation(
            "external_ids",
            Mutator::Insert,
            Value::map([(CLAIM, text)]),
        ),
        Mark::Erase(text) => operation.mutation("external_ids", Mutator::Delete, Value::map([(CLAIM, text)])),
    }
}

/// `switch/port:generation`.
fn parse_mark(text: &str) -> Option<ClaimMark> {
    let (lsp, generation) = text.rsplit_once(':')?;
    lsp.contains('/').then_some(())?;
    Some(ClaimMark { lsp: lsp.to_owned(), generation: generation.parse().ok()? })
}

/// Whether a mark is for the port that an `iface-id` asks for.
fn text_fits(mark: &str, iface_id: &str) -> bool {
    parse_mark(mark).is_some_and(|mark| fits(&mark.lsp, iface_id))
}

/// Whether an `iface-id` asks for the port `switch/port`: by its name, or by both.
pub fn fits(port: &str, iface_id: &str) -> bool {
    port == iface_id || port.split_once('/').is_some_and(|(_, lsp)| lsp == iface_id)
}
