//! Neighbours of routers in the physical networks that switches meet here: asked for, learned, refreshed, forgotten.
//!
//! ```text
//! packet without next hop -> held --ask--> answered -> known: a fact for the rules, the packet is sent on
//!                                      `-> silent: dropped                |
//!                       +---- refreshed by asking it, forgotten if silent +
//!                       +---- somebody says another MAC: the known one is asked, and if it is silent, all
//! ```
//! Only an answer to a question of ours makes or changes an entry. An announcement (gratuitous ARP, unsolicited advertisement) of a known address makes us ask
//! at once; as long as who had the address answers, it keeps it. What comes from a VM's port is not looked at, which is the rules' work.
//!
//! Everything is bounded, and where it is full, who has most of it loses: by the address that the packets come from, so that one who scans a network takes from
//! himself.

mod announce;
mod missing;
pub mod packet;
mod table;
#[cfg(test)]
mod tests;

use super::{
    Effect,
    ledger::{self, Ledger},
    records::Outcome,
    stats::Stats,
    wire::Eth,
};
use announce::Announcements;
use missing::number;
use packet::Asker;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};
use table::{Entry, Held, Table};
use tuplenet_model::{id::DatapathId, mac::Mac, name::Name};
use tuplenet_openflow::message::PacketIn2;
use tuplenet_rules::{
    Change,
    outside::{self, Event, Outside, Own},
    register::{DATAPATH, SRC_PORT},
};

/// Pauses after the questions for an address that is not known: the fifth one unanswered, it is given up, 2.75 s after the first.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(500),
    Duration::from_millis(500),
];
/// A neighbour that answered is asked again after this.
const REFRESH: Duration = Duration::from_secs(45);
/// And so often, first itself, then all; then it is forgotten, 60 s after it answered.
const REFRESHES: u8 = 5;
/// Of those, how many it gets alone.
const ALONE: u8 = 2;
/// Between two of them.
const REFRESH_PAUSE: Duration = Duration::from_secs(3);
/// How long the known one has to object when somebody else says that it has the address.
const OBJECTION: Duration = Duration::from_millis(300);
/// Between two such disputes over one address.
const DISPUTE_PAUSE: Duration = Duration::from_secs(1);
/// Neighbours that are known of one switch, and of all.
const MAX_KNOWN: usize = 1_024;
const MAX_ALL: usize = 4_096;
/// Addresses that are being asked for.
const MAX_ASKED: usize = 512;
/// Pause before something is tried for which the switch was not ready.
const NOT_READY: Duration = Duration::from_millis(500);

/// A neighbour that answers goes on doing so: how much older than the truth the store's `seen` may be, in seconds.
const STALE: u64 = 300;

/// What the store shows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its link-layer address.
    pub mac: Mac,
    /// When it last answered, in seconds since 1970.
    pub seen: u64,
}

impl ledger::Shown for Shown {
    fn will_do(&self, known: &Self) -> bool {
        self.mac == known.mac && known.seen < self.seen.saturating_add(STALE)
    }
}

/// A switch and an address in its physical network.
type Key = (Name, IpAddr);

/// Where the store shows it: `<ls>/<ip>`.
fn place_of((ls, ip): &Key) -> String {
    format!("{ls}/{ip}")
}

/// A router's port: the router, and the port's number in registers.
type Port = (DatapathId, u32);

/// What handling an event has at hand.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// Where effects go.
    pub effects: &'a mut Vec<Effect>,
    /// Where work is counted.
    pub stats: &'a mut Stats,
}

/// All neighbours. See the module.
#[derive(Debug)]
pub struct Neighbours {
    /// An instant, and what the clock on the wall showed then, in seconds since 1970.
    clock: (Instant, u64),
    ports: BTreeMap<Port, Outside>,
    table: Table,
    own: Announcements,
    ledger: Ledger<Shown>,
    /// For the rules.
    changes: Vec<Change>,
    open: bool,
}

impl Neighbours {
    /// None known. `clock` is an instant and what the clock on the wall showed then, in seconds since 1970.
    pub fn new(me: &Name, clock: (Instant, u64)) -> Self {
        Self {
            clock,
            ports: BTreeMap::new(),
            table: Table::default(),
            own: Announcements::default(),
            ledger: Ledger::new(format!("status/{me}/neighbour/"), clock.0),
            changes: Vec::new(),
            open: false,
        }
    }

    /// Whether a path of the store is ours alone, and no fact.
    pub fn owns(&self, path: &str) -> bool {
        self.ledger.owns(path)
    }

    /// What the store says of such a path. Before the network is known, these are neighbours that an agent before us learned: they are used at once, so that a
    /// restart changes no flow, and asked at once, so that none is trusted for its age.
    pub fn see(&mut self, path: &str, value: Option<&[u8]>, revision: i64, now: Instant) {
        let Some((place, shown)) = self.ledger.see(path, value, revision) else { return };
        let Some((Ok(ls), Ok(ip))) = place.split_once('/').map(|(ls, ip)| (ls.parse::<Name>(), ip.parse())) else {
            return;
        };
        let good = !shown.mac.is_multicast() && !shown.mac.is_zero();
        let key = (ls, ip);
        if self.open || !good || self.table.len() >= MAX_ALL || self.table.get(&key).is_some() {
            return;
        }
        // Not all in one moment.
        let turn = u64::try_from(self.table.len()).unwrap_or_default();
        let due = now + Duration::from_millis(200 + 5 * turn);
        self.ledger.want(&place_of(&key), Some(shown));
        self.changes.push(Change::Neighbour { ls: key.0.clone(), ip, mac: Some(shown.mac) });
        let mut entry = Entry::new(None, None, due);
        (entry.mac, entry.seen) = (Some(shown.mac.0), shown.seen);
        self.table.add(key, entry);
    }

    /// What is to be told to the rules.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The network is known in full, and [`Neighbours::outside`] has told all.
    pub fn open(&mut self, cx: &mut Context<'_>) {
        self.open = true;
        self.forget_strays(cx);
    }

    /// Routers' ports that meet a physical network here from now on, and no more.
    pub fn outside(&mut self, changes: Vec<(Outside, bool)>, cx: &mut Context<'_>) {
        if changes.is_empty() {
            return;
        }
        for (at, _) in changes.iter().filter(|(_, there)| !there) {
            self.ports.remove(&(at.router, at.number));
        }
        for (at, _) in changes.into_iter().filter(|(_, there)| *there) {
            self.ports.insert((at.router, at.number), at);
        }
        if self.open {
            self.forget_strays(cx);
        }
    }

    /// Addresses of ours that are reached by a patch port here from now on, and no more.
    pub fn own(&mut self, changes: Vec<(Own, bool)>, now: Instant) {
        self.own.change(changes, now);
    }

    /// Forgets what no router here can have as a neighbour any more.
    fn forget_strays(&mut self, cx: &mut Context<'_>) {
        let strays: Vec<Key> = self.table.keys().filter(|key| self.port_for(key, None).is_none()).cloned().collect();
        for key in strays {
            self.forget(&key, cx);
        }
    }

    /// By which port of a router an address is asked for: rather by that one.
    fn port_for(&self, (ls, ip): &Key, rather: Option<Port>) -> Option<&Outside> {
        let fits = |at: &&Outside| at.ls == *ls && is_neighbour(at, *ip);
        let rather = rather.and_then(|port| self.ports.get(&port)).filter(fits);
        rather.or_else(|| self.ports.values().find(fits))
    }

    /// The switch tells of a packet.
    pub fn packet_in(&mut self, event: Event, packet: &PacketIn2, cx: &mut Context<'_>) {
        match event {
            Event::Ask => self.wanted(packet, cx),
            Event::Learn => self.said(packet, cx),
        }
    }

    /// A packet has a next hop that is not known.
    fn wanted(&mut self, packet: &PacketIn2, cx: &mut Context<'_>) {
        let Some((port, ip)) = missing::hop(packet) else { return };
        let Some(at) = self.ports.get(&port) else { return };
        let key = (at.ls.clone(), ip);
        // One of its own, or the network itself: nobody to ask for.
        let ours = self.ports.values().any(|other| other.ls == at.ls && other.nets.iter().any(|net| net.addr() == ip));
        let ours = ours || self.own.all().any(|own| own.switch == at.switch && own.ip == ip);
        if ours || !is_neighbour(at, ip) || !packet::fits(&packet.packet, ip) {
            return;
        }
        let held = Held { port, frame: packet.packet.clone() };
        match self.table.get(&key).map(|entry| entry.mac) {
            // The flow is on its way.
            Some(Some(mac)) => return send_on(held, mac, cx),
            Some(None) => {}
            None => {
                if self.table.asked() >= MAX_ASKED {
                    self.make_room(|_, entry| entry.mac.is_none(), cx);
                }
                self.table.add(key.clone(), Entry::new(missing::source(packet), Some(port), cx.now));
                self.table.hold(&key, held, cx.stats);
                return self.ask(&key, None, PAUSES[0], cx);
            }
        }
        self.table.hold(&key, held, cx.stats);
    }

    /// Forgets the oldest entry of who has most of this kind.
    fn make_room(&mut self, kind: impl Fn(&Key, &Entry) -> bool, cx: &mut Context<'_>) {
        if let Some(key) = self.table.crowding(kind) {
            cx.stats.neighbours_evicted += 1;
            self.forget(&key, cx);
        }
    }

    /// Sends a question, to all or to one, and notes when to come back.
    fn ask(&mut self, key: &Key, to: Option<Eth>, pause: Duration, cx: &mut Context<'_>) {
        let preferred = self.table.get(key).and_then(|entry| entry.port);
        let sent = self.port_for(key, preferred).filter(|_| cx.stats.switch_connected).map(|at| {
            let own = at.nets.iter().find(|net| net.contains(&key.1)).map(ipnet::IpNet::addr);
            let asker = Asker { mac: at.asker(), ip: own.filter(|_| at.substitute.is_none()) };
            Effect::PacketOut { actions: outside::ask(at), frame: packet::ask(&asker, key.1, to).into() }
        });
        if let Some(effect) = sent {
            cx.effects.push(effect);
            cx.stats.neighbour_questions += 1;
        }
        if let Some(entry) = self.table.get_mut(key) {
            entry.asked = entry.asked.saturating_add(1);
            entry.asked_all |= to.is_none();
        }
        self.table.schedule(key, cx.now + pause);
    }

    /// Somebody outside says who has an address.
    fn said(&mut self, packet: &PacketIn2, cx: &mut Context<'_>) {
        let Some(said) = packet::read(&packet.packet) else { return };
        let (switch, from) = (number(packet, DATAPATH), number(packet, SRC_PORT));
        let here = || {
            self.ports.values().filter(|at| u64::from(at.switch.get()) == switch && u64::from(at.patch.get()) == from)
        };
        // Never of what is ours, nor in our name.
        let ours = |at: &Outside| {
            at.mac == said.mac || at.asker() == said.mac || at.nets.iter().any(|net| net.addr() == said.ip)
        };
        let own = |own: &Own| u64::from(own.switch.get()) == switch && (own.ip == said.ip || own.mac == said.mac);
        if here().any(ours) || self.own.all().any(own) {
            cx.stats.neighbour_claims_refused += 1;
            return;
        }
        let Some(ls) = here().next().map(|at| at.ls.clone()) else { return };
        let answer = said.answer && here().any(|at| at.asker() == said.to);
        let key = (ls, said.ip);
        let Some(entry) = self.table.get_mut(&key) else {
            cx.stats.neighbour_claims_refused += 1;
            return;
        };
        match entry.mac {
            None if answer => self.learn(&key, said.mac, cx),
            // Nobody has answered yet: whoever has it will.
            None => cx.stats.neighbour_claims_refused += 1,
            Some(mac) if mac == said.mac => {
                if answer {
                    if std::mem::take(&mut entry.disputed) {
                        cx.stats.neighbour_claims_refused += 1;
                        entry.calm = Some(cx.now + DISPUTE_PAUSE);
                    }
                    self.confirm(&key, mac, cx);
                }
            }
            Some(_) if answer && entry.asked_all => {
                cx.stats.neighbours_moved += 1;
                self.learn(&key, said.mac, cx);
            }
            Some(_) if entry.disputed || entry.calm.is_some_and(|at| cx.now < at) => {
                cx.stats.neighbour_claims_refused += 1;
            }
            Some(mac) => {
                entry.disputed = true;
                entry.asked_all = false;
                self.ask(&key, Some(mac), OBJECTION, cx);
            }
        }
    }

    fn learn(&mut self, key: &Key, mac: Eth, cx: &mut Context<'_>) {
        if self.table.get(key).is_some_and(|entry| entry.mac.is_none()) {
            if self.table.known(Some(&key.0)) >= MAX_KNOWN {
                self.make_room(|(ls, _), entry| *ls == key.0 && entry.mac.is_some(), cx);
            } else if self.table.known(None) >= MAX_ALL {
                self.make_room(|_, entry| entry.mac.is_some(), cx);
            }
            cx.stats.neighbours_learned += 1;
        }
        let Some(held) = self.table.answer(key, mac) else { return };
        if let Some(entry) = self.table.get_mut(key) {
            (entry.disputed, entry.calm) = (false, Some(cx.now + DISPUTE_PAUSE));
        }
        self.changes.push(Change::Neighbour { ls: key.0.clone(), ip: key.1, mac: Some(Mac(mac)) });
        for packet in held {
            send_on(packet, mac, cx);
        }
        self.confirm(key, mac, cx);
    }

    fn confirm(&mut self, key: &Key, mac: Eth, cx: &mut Context<'_>) {
        let (began, wall) = self.clock;
        let seen = wall + cx.now.saturating_duration_since(began).as_secs();
        if let Some(entry) = self.table.get_mut(key) {
            (entry.asked, entry.asked_all, entry.seen) = (0, false, seen);
        }
        self.ledger.want(&place_of(key), Some(Shown { mac: Mac(mac), seen }));
        self.table.schedule(key, cx.now + REFRESH);
    }

    fn forget(&mut self, key: &Key, cx: &mut Context<'_>) {
        let Some(entry) = self.table.remove(key) else { return };
        cx.stats.neighbour_packets_dropped += entry.held.len() as u64;
        if entry.mac.is_some() {
            self.changes.push(Change::Neighbour { ls: key.0.clone(), ip: key.1, mac: None });
            self.ledger.want(&place_of(key), None);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        if !self.open {
            return;
        }
        while let Some((at, key)) = self.table.due() {
            if at > cx.now {
                break;
            }
            self.step(&key, cx);
        }
        self.own.tick(cx);
        self.ledger.act(cx.now, cx.effects, cx.stats);
    }

    /// An entry waited long enough for what it waited for.
    fn step(&mut self, key: &Key, cx: &mut Context<'_>) {
        let Some(entry) = self.table.get_mut(key) else { return };
        match entry.mac {
            None => match PAUSES.get(usize::from(entry.asked)) {
                Some(pause) => self.ask(key, None, *pause, cx),
                None => {
                    cx.stats.neighbours_silent += 1;
                    self.forget(key, cx);
                }
            },
            // Nobody can be asked: what is known stays.
            Some(_) if !cx.stats.switch_connected => self.table.schedule(key, cx.now + NOT_READY),
            Some(_) if entry.disputed && !entry.asked_all => self.ask(key, None, DISPUTE_PAUSE, cx),
            Some(mac) => {
                entry.disputed = false;
                match entry.asked {
                    asked if asked < ALONE => self.ask(key, Some(mac), REFRESH_PAUSE, cx),
                    asked if asked < REFRESHES => self.ask(key, None, REFRESH_PAUSE, cx),
                    _ => {
                        cx.stats.neighbours_silent += 1;
                        self.forget(key, cx);
                    }
                }
            }
        }
    }

    /// How a write to the store ended.
    pub fn written(&mut self, path: &str, outcome: &Outcome, cx: &mut Context<'_>) {
        self.ledger.done(path, outcome, cx.now);
        if self.open {
            self.ledger.act(cx.now, cx.effects, cx.stats);
        }
    }

    /// When [`Neighbours::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        if !self.open {
            return None;
        }
        let due = self.table.due().map(|(at, _)| at);
        [due, self.own.wakeup(), self.ledger.wakeup()].into_iter().flatten().min()
    }

    /// How things stand: known neighbours, and addresses that are being asked for.
    pub fn count(&self) -> (usize, usize) {
        (self.table.len().saturating_sub(self.table.asked()), self.table.asked())
    }
}

fn send_on(held: Held, mac: Eth, cx: &mut Context<'_>) {
    let (router, number) = held.port;
    cx.effects.push(Effect::PacketOut { actions: outside::deliver(router, number, mac), frame: held.frame });
}

/// Whether an address may be a host's in a network of a router's port.
fn is_neighbour(at: &Outside, ip: IpAddr) -> bool {
    at.nets.iter().any(|net| {
        let whole = net.max_prefix_len() - net.prefix_len() < 2;
        net.contains(&ip) && (whole || ip != net.network() && (ip != net.broadcast() || ip.is_ipv6()))
    })
}
