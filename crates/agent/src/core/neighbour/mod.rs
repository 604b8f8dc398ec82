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

pub mod packet;
#[cfg(test)]
mod tests;

use super::{
    Effect,
    ledger::{self, Ledger},
    records::Outcome,
    stats::Stats,
    wire::Eth,
};
use packet::Asker;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};
use tuplenet_model::{id::DatapathId, mac::Mac, name::Name};
use tuplenet_openflow::{Field, field, message::PacketIn2};
use tuplenet_rules::{
    Change,
    outside::{self, Event, Outside, Own},
    register::{DATAPATH, DST_PORT, SRC_PORT},
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
/// Packets that wait for one neighbour, and in all.
const MAX_HELD_EACH: usize = 16;
const MAX_HELD: usize = 1_024;
const MAX_HELD_BYTES: usize = 2 << 20;
/// When our own addresses are announced, after an edge came up.
const ANNOUNCE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];
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

#[derive(Debug)]
struct Held {
    port: Port,
    frame: bytes::Bytes,
}

#[derive(Debug)]
struct Entry {
    /// Whose packet wanted it first: what is full is taken from who has most.
    source: Option<IpAddr>,
    /// Counts entries, to tell the older ones.
    born: u64,
    /// By which port of a router it is asked for, if that is known.
    port: Option<Port>,
    /// `None`: nobody has answered yet.
    mac: Option<Eth>,
    /// When it last answered, by the clock on the wall.
    seen: u64,
    /// Questions since the last answer.
    asked: u8,
    /// Since the last answer all were asked, not only the known one.
    asked_all: bool,
    /// Somebody else says that it has the address.
    disputed: bool,
    /// The next dispute is not before this.
    calm: Option<Instant>,
    due: Instant,
    held: VecDeque<Held>,
}

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
    entries: BTreeMap<Key, Entry>,
    due: BTreeSet<(Instant, Key)>,
    /// Addresses of ours at patch ports that work.
    own: BTreeSet<Own>,
    /// Which of them are to be announced when, and which time it is.
    announcements: BTreeMap<Own, (Instant, usize)>,
    born: u64,
    asked: usize,
    held: usize,
    held_bytes: usize,
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
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            own: BTreeSet::new(),
            announcements: BTreeMap::new(),
            born: 0,
            asked: 0,
            held: 0,
            held_bytes: 0,
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
        if self.open || !good || self.entries.len() >= MAX_ALL || self.entries.contains_key(&key) {
            return;
        }
        // Not all in one moment.
        let turn = u64::try_from(self.entries.len()).unwrap_or_default();
        let due = now + Duration::from_millis(200 + 5 * turn);
        let mut entry = self.entry(None, None, due);
        (entry.mac, entry.seen) = (Some(shown.mac.0), shown.seen);
        self.ledger.want(&place_of(&key), Some(shown));
        self.changes.push(Change::Neighbour { ls: key.0.clone(), ip, mac: Some(shown.mac) });
        self.due.insert((due, key.clone()));
        self.entries.insert(key, entry);
    }

    fn entry(&mut self, source: Option<IpAddr>, port: Option<Port>, due: Instant) -> Entry {
        self.born += 1;
        Entry {
            source,
            born: self.born,
            port,
            mac: None,
            seen: 0,
            asked: 0,
            asked_all: false,
            disputed: false,
            calm: None,
            due,
            held: VecDeque::new(),
        }
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
        for (own, there) in changes {
            if there {
                self.own.insert(own.clone());
                self.announcements.insert(own, (now, 0));
            } else {
                self.own.remove(&own);
                self.announcements.remove(&own);
            }
        }
    }

    /// Forgets what no router here can have as a neighbour any more.
    fn forget_strays(&mut self, cx: &mut Context<'_>) {
        let strays: Vec<Key> = self.entries.keys().filter(|key| self.port_for(key, None).is_none()).cloned().collect();
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
        let Some((port, ip)) = missing(packet) else { return };
        let Some(at) = self.ports.get(&port) else { return };
        let key = (at.ls.clone(), ip);
        // One of its own, or the network itself: nobody to ask for.
        let ours = self.ports.values().any(|other| other.ls == at.ls && other.nets.iter().any(|net| net.addr() == ip));
        let ours = ours || self.own.iter().any(|own| own.switch == at.switch && own.ip == ip);
        if ours || !is_neighbour(at, ip) || !packet::fits(&packet.packet, ip) {
            return;
        }
        let held = Held { port, frame: packet.packet.clone() };
        match self.entries.get(&key).map(|entry| entry.mac) {
            // The flow is on its way.
            Some(Some(mac)) => return send_on(held, mac, cx),
            Some(None) => {}
            None => {
                if self.asked >= MAX_ASKED {
                    self.make_room(|entry| entry.mac.is_none(), cx);
                }
                let entry = self.entry(source(packet), Some(port), cx.now);
                self.entries.insert(key.clone(), entry);
                self.asked += 1;
                self.hold(&key, held, cx);
                return self.ask(&key, None, PAUSES[0], cx);
            }
        }
        self.hold(&key, held, cx);
    }

    fn hold(&mut self, key: &Key, held: Held, cx: &mut Context<'_>) {
        let size = held.frame.len();
        let over = |all: &Self| all.held >= MAX_HELD || all.held_bytes + size > MAX_HELD_BYTES;
        while self.held > 0 && over(self) {
            self.drop_held(None, cx);
        }
        if over(self) {
            cx.stats.neighbour_packets_dropped += 1;
            return;
        }
        if self.entries.get(key).is_some_and(|entry| entry.held.len() >= MAX_HELD_EACH) {
            self.drop_held(Some(key.clone()), cx);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.held.push_back(held);
            self.held += 1;
            self.held_bytes += size;
            cx.stats.neighbour_packets_held += 1;
        }
    }

    /// Drops the oldest packet of a neighbour, or of who has most of them.
    fn drop_held(&mut self, key: Option<Key>, cx: &mut Context<'_>) {
        let key = key.or_else(|| {
            let holding = || self.entries.iter().filter(|(_, entry)| !entry.held.is_empty());
            let mut each: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
            for (_, entry) in holding() {
                *each.entry(entry.source).or_default() += entry.held.len();
            }
            let most = each.into_iter().max_by_key(|(_, count)| *count)?.0;
            holding()
                .filter(|(_, entry)| entry.source == most)
                .min_by_key(|(_, entry)| entry.born)
                .map(|(key, _)| key.clone())
        });
        let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) else {
            // Counted wrong: begin anew rather than look for ever.
            (self.held, self.held_bytes) = (0, 0);
            return;
        };
        if let Some(held) = entry.held.pop_front() {
            self.held = self.held.saturating_sub(1);
            self.held_bytes = self.held_bytes.saturating_sub(held.frame.len());
            cx.stats.neighbour_packets_dropped += 1;
        }
    }

    /// Forgets the oldest entry of who has most of this kind.
    fn make_room(&mut self, kind: impl Fn(&Entry) -> bool, cx: &mut Context<'_>) {
        self.make_room_where(|_, entry| kind(entry), cx);
    }

    fn make_room_where(&mut self, kind: impl Fn(&Key, &Entry) -> bool, cx: &mut Context<'_>) {
        let of_kind = || self.entries.iter().filter(|(key, entry)| kind(key, entry));
        let mut each: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for (_, entry) in of_kind() {
            *each.entry(entry.source).or_default() += 1;
        }
        let Some((most, _)) = each.into_iter().max_by_key(|(_, count)| *count) else { return };
        let oldest = of_kind().filter(|(_, entry)| entry.source == most).min_by_key(|(_, entry)| entry.born);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            cx.stats.neighbours_evicted += 1;
            self.forget(&key, cx);
        }
    }

    /// Sends a question, to all or to one, and notes when to come back.
    fn ask(&mut self, key: &Key, to: Option<Eth>, pause: Duration, cx: &mut Context<'_>) {
        let preferred = self.entries.get(key).and_then(|entry| entry.port);
        let sent = self.port_for(key, preferred).filter(|_| cx.stats.switch_connected).map(|at| {
            let own = at.nets.iter().find(|net| net.contains(&key.1)).map(ipnet::IpNet::addr);
            let asker = Asker { mac: at.asker(), ip: own.filter(|_| at.substitute.is_none()) };
            Effect::PacketOut { actions: outside::ask(at), frame: packet::ask(&asker, key.1, to).into() }
        });
        if let Some(effect) = sent {
            cx.effects.push(effect);
            cx.stats.neighbour_questions += 1;
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.asked = entry.asked.saturating_add(1);
            entry.asked_all |= to.is_none();
        }
        self.schedule(key, cx.now + pause);
    }

    fn schedule(&mut self, key: &Key, at: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.due.remove(&(entry.due, key.clone()));
            entry.due = at;
            self.due.insert((at, key.clone()));
        }
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
        if here().any(ours) || self.own.iter().any(own) {
            cx.stats.neighbour_claims_refused += 1;
            return;
        }
        let Some(ls) = here().next().map(|at| at.ls.clone()) else { return };
        let answer = said.answer && here().any(|at| at.asker() == said.to);
        let key = (ls, said.ip);
        let Some(entry) = self.entries.get_mut(&key) else {
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
        let fresh = self.entries.get(key).is_some_and(|entry| entry.mac.is_none());
        if fresh {
            let known = |all: &Self, ls: Option<&Name>| {
                all.entries.iter().filter(|((of, _), e)| e.mac.is_some() && ls.is_none_or(|ls| ls == of)).count()
            };
            if known(self, Some(&key.0)) >= MAX_KNOWN {
                self.make_room_where(|(ls, _), entry| *ls == key.0 && entry.mac.is_some(), cx);
            } else if known(self, None) >= MAX_ALL {
                self.make_room(|entry| entry.mac.is_some(), cx);
            }
            self.asked = self.asked.saturating_sub(1);
            cx.stats.neighbours_learned += 1;
        }
        let Some(entry) = self.entries.get_mut(key) else { return };
        (entry.mac, entry.disputed) = (Some(mac), false);
        entry.calm = Some(cx.now + DISPUTE_PAUSE);
        let held = std::mem::take(&mut entry.held);
        self.held = self.held.saturating_sub(held.len());
        self.changes.push(Change::Neighbour { ls: key.0.clone(), ip: key.1, mac: Some(Mac(mac)) });
        for packet in held {
            self.held_bytes = self.held_bytes.saturating_sub(packet.frame.len());
            send_on(packet, mac, cx);
        }
        self.confirm(key, mac, cx);
    }

    fn confirm(&mut self, key: &Key, mac: Eth, cx: &mut Context<'_>) {
        let (began, wall) = self.clock;
        let seen = wall + cx.now.saturating_duration_since(began).as_secs();
        if let Some(entry) = self.entries.get_mut(key) {
            (entry.asked, entry.asked_all, entry.seen) = (0, false, seen);
        }
        self.ledger.want(&place_of(key), Some(Shown { mac: Mac(mac), seen }));
        self.schedule(key, cx.now + REFRESH);
    }

    fn forget(&mut self, key: &Key, cx: &mut Context<'_>) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.due.remove(&(entry.due, key.clone()));
        self.held = self.held.saturating_sub(entry.held.len());
        let bytes: usize = entry.held.iter().map(|held| held.frame.len()).sum();
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        cx.stats.neighbour_packets_dropped += entry.held.len() as u64;
        if entry.mac.is_some() {
            self.changes.push(Change::Neighbour { ls: key.0.clone(), ip: key.1, mac: None });
            self.ledger.want(&place_of(key), None);
        } else {
            self.asked = self.asked.saturating_sub(1);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        if !self.open {
            return;
        }
        while let Some((at, key)) = self.due.first().cloned() {
            if at > cx.now {
                break;
            }
            self.step(&key, cx);
        }
        let due: Vec<Own> =
            self.announcements.iter().filter(|(_, (at, _))| *at <= cx.now).map(|(own, _)| own.clone()).collect();
        for own in due {
            self.announce(&own, cx);
        }
        self.ledger.act(cx.now, cx.effects, cx.stats);
    }

    /// An entry waited long enough for what it waited for.
    fn step(&mut self, key: &Key, cx: &mut Context<'_>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.mac {
            None => match PAUSES.get(usize::from(entry.asked)) {
                Some(pause) => self.ask(key, None, *pause, cx),
                None => {
                    cx.stats.neighbours_silent += 1;
                    self.forget(key, cx);
                }
            },
            // Nobody can be asked: what is known stays.
            Some(_) if !cx.stats.switch_connected => self.schedule(key, cx.now + NOT_READY),
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

    fn announce(&mut self, own: &Own, cx: &mut Context<'_>) {
        let Some((due, time)) = self.announcements.get_mut(own) else { return };
        if !cx.stats.switch_connected || !cx.stats.switch_settled {
            *due = cx.now + NOT_READY;
            return;
        }
        let frame = packet::announce(own.mac, own.ip).into();
        cx.effects.push(Effect::PacketOut { actions: outside::announce(own), frame });
        *time += 1;
        match ANNOUNCE.get(*time) {
            Some(pause) => *due = cx.now + *pause,
            None => drop(self.announcements.remove(own)),
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
        let due = self.due.first().map(|(at, _)| *at);
        let announce = self.announcements.values().map(|(at, _)| *at).min();
        [due, announce, self.ledger.wakeup()].into_iter().flatten().min()
    }

    /// How things stand: known neighbours, and addresses that are being asked for.
    pub fn count(&self) -> (usize, usize) {
        (self.entries.len().saturating_sub(self.asked), self.asked)
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

fn number(packet: &PacketIn2, field: &'static Field) -> u64 {
    packet.metadata.get(field).and_then(|m| m.value.to_u64()).unwrap_or_default()
}

/// Where a packet was to go, and by which port of which router.
fn missing(packet: &PacketIn2) -> Option<(Port, IpAddr)> {
    let register = |field| u32::try_from(number(packet, field)).unwrap_or_default();
    let router = DatapathId::new(u32::try_from(number(packet, DATAPATH)).ok()?)?;
    let next = match packet.packet.get(12..14)? {
        [0x08, 0x00] => IpAddr::V4(Ipv4Addr::from(register(field::REG0))),
        [0x86, 0xdd] => {
            let parts = [field::REG0, field::REG1, field::REG2, field::REG3];
            IpAddr::V6(Ipv6Addr::from(parts.iter().fold(0, |all, part| all << 32 | u128::from(register(part)))))
        }
        _ => return None,
    };
    Some(((router, register(DST_PORT)), next))
}

/// Who sent a packet: before its source was translated, if it was.
fn source(packet: &PacketIn2) -> Option<IpAddr> {
    let before = |field| packet.metadata.get(field).map(|m| m.value);
    let v4 = before(field::CT_NW_SRC).and_then(|v| v.to_u64()).and_then(|v| u32::try_from(v).ok()).filter(|v| *v != 0);
    let v6 = before(field::CT_IPV6_SRC).and_then(|v| <[u8; 16]>::try_from(v.as_bytes()).ok()).filter(|v| *v != [0; 16]);
    let v4 = v4.map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    v4.or(v6.map(|ip| IpAddr::V6(Ipv6Addr::from(ip)))).or_else(|| packet::source(&packet.packet))
}
