//! A neighbour's life in both families: asked for, learned, refreshed, disputed, forgotten; and that nothing grows without bound, at random too.

#![allow(clippy::unwrap_used)]

use super::{table::MAX_HELD, *};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use tuplenet_model::id::PortId;
use tuplenet_openflow::{Action, Match, field};
use tuplenet_rules::register::DST_PORT;

const OWN: Eth = [0xf2, 1, 10, 0, 0, 1];
const A: Eth = [2, 0, 0, 0, 0, 0xa];
const B: Eth = [2, 0, 0, 0, 0, 0xb];
const WALL: u64 = 1_700_000_000;

struct Bench {
    all: Neighbours,
    stats: Stats,
    now: Instant,
    /// Frames that were sent, with how many actions.
    sent: Vec<(Vec<Action>, bytes::Bytes)>,
    writes: Vec<super::super::records::Write>,
    changes: Vec<(String, Option<Eth>)>,
}

fn at() -> Outside {
    Outside {
        ls: "outside".parse().unwrap(),
        switch: DatapathId::new(5).unwrap(),
        port: PortId::new(1).unwrap(),
        patch: PortId::new(9).unwrap(),
        works: true,
        router: DatapathId::new(7).unwrap(),
        number: 3,
        nets: ["10.0.0.1/16".parse().unwrap(), "fd00::1/64".parse().unwrap()].into(),
        mac: OWN,
        substitute: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet from there, by our router, to a next hop.
fn packet(from: Ipv4Addr, next: IpAddr, mark: u8) -> PacketIn2 {
    let mut frame = vec![0; 12];
    let metadata = Match::new().with(DATAPATH, 7_u64).with(DST_PORT, 3_u32);
    let metadata = match next {
        IpAddr::V4(next) => {
            frame.extend([8, 0, 0x45]);
            frame.resize(26, mark);
            frame.extend(from.octets());
            metadata.with(field::REG0, u32::from(next))
        }
        IpAddr::V6(next) => {
            frame.extend([0x86, 0xdd, 0x60]);
            frame.resize(60, mark);
            let parts = u128::from(next);
            let part = |shift: u32| u32::try_from(parts >> shift & 0xffff_ffff).unwrap();
            metadata
                .with(field::REG0, part(96))
                .with(field::REG1, part(64))
                .with(field::REG2, part(32))
                .with(field::REG3, part(0))
        }
    };
    frame.resize(80, mark);
    PacketIn2 { packet: frame.into(), metadata, ..PacketIn2::default() }
}

/// What somebody says, as it comes in by the patch port.
fn heard(frame: Vec<u8>) -> PacketIn2 {
    let metadata = Match::new().with(DATAPATH, 5_u64).with(SRC_PORT, 9_u32);
    PacketIn2 { packet: frame.into(), metadata, ..PacketIn2::default() }
}

/// An answer: a question turned round.
fn answer(ip: IpAddr, mac: Eth) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => {
            let mut frame = packet::ask(&Asker { mac, ip: Some(ip.into()) }, "10.0.0.1".parse().unwrap(), Some(OWN));
            frame[21] = 2;
            frame
        }
        IpAddr::V6(ip) => {
            // With the "solicited" flag, to us; the checksum follows.
            let mut frame = packet::announce(mac, ip.into());
            frame[..6].copy_from_slice(&OWN);
            let old = u16::from_be_bytes([frame[56], frame[57]]);
            frame[58] |= 0x40;
            let mut sum = u32::from(!old) + 0x4000;
            sum = (sum & 0xffff) + (sum >> 16);
            frame[56..58].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
            frame
        }
    }
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let mut bench = Self::closed(now);
        bench.with(|all, cx| {
            all.outside(vec![(at(), true)], cx);
            all.open(cx);
        });
        bench.seconds(5.0);
        bench
    }

    fn closed(now: Instant) -> Self {
        let stats = Stats { switch_connected: true, switch_settled: true, ..Stats::default() };
        let all = Neighbours::new(&"hv1".parse().unwrap(), (now, WALL));
        Self { all, stats, now, sent: Vec::new(), writes: Vec::new(), changes: Vec::new() }
    }

    fn with(&mut self, act: impl FnOnce(&mut Neighbours, &mut Context<'_>)) {
        let mut effects = Vec::new();
        act(&mut self.all, &mut Context { now: self.now, effects: &mut effects, stats: &mut self.stats });
        while !effects.is_empty() {
            let mut answers = Vec::new();
            for effect in effects.drain(..) {
                match effect {
                    Effect::PacketOut { actions, frame } => self.sent.push((actions, frame)),
                    Effect::Store(write) => {
                        answers.push(write.path.clone());
                        self.writes.push(write);
                    }
                    other => panic!("{other:?}"),
                }
            }
            for path in answers {
                let mut cx = Context { now: self.now, effects: &mut effects, stats: &mut self.stats };
                self.all.written(&path, &Outcome::Done(7), &mut cx);
            }
        }
        for change in self.all.take_changes() {
            let Change::Neighbour { ls, ip, mac } = change else { panic!("{change:?}") };
            self.changes.push((format!("{ls}/{ip}"), mac.map(|mac| mac.0)));
        }
    }

    fn seconds(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.all.wakeup().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.with(|all, cx| all.tick(cx));
        }
        self.now = end;
    }

    fn wants(&mut self, next: &str) {
        let packet = packet(Ipv4Addr::new(10, 9, 0, 1), ip(next), 1);
        self.with(|all, cx| all.packet_in(Event::Ask, &packet, cx));
    }

    fn hears(&mut self, frame: Vec<u8>) {
        self.with(|all, cx| all.packet_in(Event::Learn, &heard(frame), cx));
    }

    fn knows(&self, of: &str) -> Option<Eth> {
        self.all.table.entries.get(&("outside".parse().unwrap(), ip(of)))?.mac
    }

    fn took(&mut self) -> usize {
        std::mem::take(&mut self.sent).len()
    }
}

#[test]
fn a_packet_waits_for_the_answer_and_goes_on() {
    for next in ["10.0.3.9", "fd00::9"] {
        let mut bench = Bench::new();
        bench.wants(next);
        bench.wants(next);
        assert_eq!(bench.took(), 1, "one question");
        bench.hears(answer(ip(next), A));
        assert_eq!(bench.changes, [(format!("outside/{next}"), Some(A))]);
        let deliver = outside::deliver(at().router, at().number, A);
        assert_eq!(bench.sent.iter().filter(|(actions, _)| *actions == deliver).count(), 2);
        bench.took();
        // The flow is on its way: nobody waits for it.
        bench.wants(next);
        assert_eq!(bench.sent[0].0, deliver);
        bench.seconds(1.0);
        let write = &bench.writes[0];
        assert_eq!(write.path, format!("status/hv1/neighbour/outside/{next}"));
        let text = format!(r#"{{"mac":"02:00:00:00:00:0a","seen":{}}}"#, WALL + 5);
        assert_eq!(String::from_utf8_lossy(write.value.as_ref().unwrap()), text);
    }
}

#[test]
fn who_is_silent_is_asked_five_times_and_given_up() {
    let mut bench = Bench::new();
    bench.wants("10.0.3.9");
    bench.seconds(2.7);
    assert_eq!((bench.took(), bench.stats.neighbours_silent), (5, 0));
    bench.seconds(0.1);
    assert_eq!((bench.stats.neighbours_silent, bench.stats.neighbour_packets_dropped), (1, 1));
    bench.seconds(100.0);
    assert_eq!((bench.took(), bench.all.table.entries.len(), bench.writes.len()), (0, 0, 0));
    assert_eq!((bench.all.table.held, bench.all.table.held_bytes, bench.all.table.asked), (0, 0, 0));
}

#[test]
fn nobody_is_asked_for_what_no_host_has() {
    let mut bench = Bench::new();
    for next in ["10.0.0.0", "10.0.255.255", "10.0.0.1", "10.1.0.1", "fd00::1", "fd00::", "fd01::2"] {
        bench.wants(next);
        assert_eq!((next, bench.took()), (next, 0));
    }
}

#[test]
fn a_neighbour_is_refreshed_while_it_answers_and_forgotten_when_not() {
    let mut bench = Bench::new();
    bench.wants("10.0.3.9");
    bench.hears(answer(ip("10.0.3.9"), A));
    bench.took();
    bench.seconds(44.0);
    assert_eq!(bench.took(), 0);
    bench.seconds(2.0);
    let (_, frame) = bench.sent.pop().unwrap();
    assert_eq!(frame[..6], A, "it is asked itself");
    bench.hears(answer(ip("10.0.3.9"), A));
    bench.seconds(59.0);
    assert_eq!(bench.knows("10.0.3.9"), Some(A));
    assert_eq!(bench.took(), 5);
    bench.seconds(2.0);
    assert_eq!(bench.knows("10.0.3.9"), None);
    assert_eq!(bench.changes.last().unwrap(), &("outside/10.0.3.9".into(), None));
    bench.seconds(1.0);
    assert_eq!(bench.writes.last().unwrap().value, None);
}

#[test]
fn an_announcement_makes_us_ask_and_who_answers_keeps_the_address() {
    for next in ["10.0.3.9", "fd00::9"] {
        let mut bench = Bench::new();
        bench.wants(next);
        bench.hears(answer(ip(next), A));
        bench.seconds(2.0);
        bench.took();
        for _ in 0..5 {
            bench.hears(packet::announce(B, ip(next)));
            bench.hears(answer(ip(next), B));
        }
        let frames: Vec<_> = bench.sent.drain(..).map(|(_, frame)| frame).collect();
        assert_eq!((frames.len(), &frames[0][..6]), (1, &A[..]), "the known one is asked, once");
        bench.hears(answer(ip(next), A));
        bench.seconds(10.0);
        assert_eq!(bench.knows(next), Some(A));
        assert!(bench.stats.neighbour_claims_refused > 0);
        assert_eq!(bench.took(), 0);
    }
}

#[test]
fn an_address_moves_when_the_old_one_is_silent() {
    let mut bench = Bench::new();
    bench.wants("10.0.3.9");
    bench.hears(answer(ip("10.0.3.9"), A));
    bench.seconds(2.0);
    bench.hears(packet::announce(B, ip("10.0.3.9")));
    bench.seconds(0.4);
    assert_eq!(bench.knows("10.0.3.9"), Some(A));
    bench.hears(answer(ip("10.0.3.9"), B));
    assert_eq!((bench.knows("10.0.3.9"), bench.stats.neighbours_moved), (Some(B), 1));
    assert_eq!(bench.changes.last().unwrap(), &("outside/10.0.3.9".into(), Some(B)));
}

#[test]
fn nobody_becomes_a_neighbour_unasked_or_in_our_name() {
    let mut bench = Bench::new();
    bench.hears(answer(ip("10.0.3.9"), A));
    bench.hears(packet::announce(A, ip("10.0.3.9")));
    bench.wants("10.0.3.9");
    bench.hears(packet::announce(A, ip("10.0.3.9")));
    bench.hears(answer(ip("10.0.0.1"), A));
    bench.hears(answer(ip("10.0.3.9"), OWN));
    // By a port that is no patch port of ours.
    let mut elsewhere = heard(answer(ip("10.0.3.9"), A));
    elsewhere.metadata = Match::new().with(DATAPATH, 5_u64).with(SRC_PORT, 8_u32);
    bench.with(|all, cx| all.packet_in(Event::Learn, &elsewhere, cx));
    assert_eq!((bench.knows("10.0.3.9"), bench.changes.len()), (None, 0));
    bench.hears(answer(ip("10.0.3.9"), A));
    assert_eq!(bench.knows("10.0.3.9"), Some(A));
}

#[test]
fn what_was_known_before_a_restart_is_used_and_asked_at_once() {
    let mut bench = Bench::closed(Instant::now());
    let value = br#"{"mac":"02:00:00:00:00:0a","seen":1699990000}"#;
    for (path, value) in [
        ("status/hv1/neighbour/outside/10.0.3.9", &value[..]),
        ("status/hv1/neighbour/outside/10.0.3.8", &value[..]),
        ("status/hv1/neighbour/gone/10.0.3.9", &value[..]),
        ("status/hv1/neighbour/outside/10.0.3.7", b"nonsense"),
    ] {
        let now = bench.now;
        assert!(bench.all.owns(path));
        bench.with(|all, _| all.see(path, Some(value), 3, now));
    }
    assert_eq!((bench.changes.len(), bench.took()), (3, 0));
    bench.with(|all, cx| {
        all.outside(vec![(at(), true)], cx);
        all.open(cx);
    });
    assert_eq!(bench.changes.last().unwrap(), &("gone/10.0.3.9".into(), None));
    bench.seconds(0.3);
    let questions = bench.sent.iter().filter(|(_, frame)| frame[..6] == A).count();
    assert_eq!(questions, 2);
    bench.hears(answer(ip("10.0.3.9"), A));
    bench.seconds(20.0);
    assert_eq!((bench.knows("10.0.3.9"), bench.knows("10.0.3.8")), (Some(A), None));
    let gone: Vec<_> = bench.writes.iter().filter(|w| w.value.is_none()).map(|w| w.path.as_str()).collect();
    assert_eq!(gone.len(), 3, "{gone:?}");
    assert!(bench.writes.iter().all(|w| w.expected == 3), "{:?}", bench.writes);
}

#[test]
fn our_own_addresses_are_announced_when_they_appear_and_nobody_else_has_them() {
    let mut bench = Bench::new();
    let external = Own { switch: at().switch, port: at().port, patch: at().patch, ip: ip("10.0.4.4"), mac: B };
    bench.stats.switch_settled = false;
    let now = bench.now;
    bench.with(|all, _| all.own(vec![(external.clone(), true)], now));
    bench.seconds(1.0);
    assert_eq!(bench.took(), 0, "the switch is not ready");
    bench.stats.switch_settled = true;
    bench.seconds(10.0);
    let said = packet::read(&bench.sent[0].1).unwrap();
    assert_eq!((said.ip, said.mac, said.answer), (ip("10.0.4.4"), B, false));
    assert_eq!((bench.sent[0].0.clone(), bench.took()), (outside::ask(&at()), 3));
    // Nobody is asked for it, and nobody has its MAC.
    bench.wants("10.0.4.4");
    assert_eq!(bench.took(), 0);
    bench.wants("10.0.4.5");
    bench.hears(answer(ip("10.0.4.5"), B));
    assert_eq!(bench.knows("10.0.4.5"), None);
    let now = bench.now;
    bench.with(|all, _| all.own(vec![(external.clone(), true), (external, false)], now));
    bench.took();
    bench.seconds(10.0);
    assert_eq!(bench.sent.iter().filter(|(_, frame)| frame[6..12] == B).count(), 0);
}

#[test]
fn who_scans_takes_from_himself() {
    let mut bench = Bench::new();
    let scanner = Ipv4Addr::new(10, 9, 0, 66);
    let honest = Ipv4Addr::new(10, 9, 0, 1);
    let ask = |bench: &mut Bench, from, next: u32| {
        let next = IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + next));
        bench.with(|all, cx| all.packet_in(Event::Ask, &packet(from, next, 1), cx));
    };
    ask(&mut bench, honest, 0);
    for n in 1..60_000 {
        ask(&mut bench, scanner, n);
    }
    let first = IpAddr::V4(Ipv4Addr::from(0x0a00_0100));
    bench.hears(answer(first, A));
    assert_eq!(bench.knows("10.0.1.0"), Some(A));
    assert!(bench.all.table.asked <= MAX_ASKED && bench.all.table.held <= MAX_HELD);
    // Who answers a scan fills the table, up to its bound; the entry of another stays.
    for n in 1..5_000 {
        ask(&mut bench, scanner, n);
        bench.hears(answer(IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + n)), B));
    }
    let (known, _) = bench.all.count();
    assert_eq!((known, bench.knows("10.0.1.0")), (MAX_KNOWN, Some(A)));
    // And the store gets no more than its share.
    let before = bench.writes.len();
    bench.seconds(1.0);
    assert!(bench.writes.len() - before <= 42, "{}", bench.writes.len() - before);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u8),
    Say(u8, bool, bool),
    Wait(u16),
    Link(bool),
    Connected(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 2..9_u8).prop_map(|(from, to)| Step::Ask(from, to)),
        6 => (2..9_u8, any::<bool>(), any::<bool>()).prop_map(|(of, b, answer)| Step::Say(of, b, answer)),
        4 => (0..20_000_u16).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Link),
        1 => any::<bool>().prop_map(Step::Connected),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_counts_are_true_and_the_rules_and_the_store_know_the_same(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut bench = Bench::new();
        let mut linked = true;
        for step in steps {
            match step {
                Step::Ask(from, to) => {
                    let packet = packet(Ipv4Addr::new(10, 9, 0, from), IpAddr::V4(Ipv4Addr::new(10, 0, 0, to)), from);
                    bench.with(|all, cx| all.packet_in(Event::Ask, &packet, cx));
                }
                Step::Say(of, b, true) => {
                    bench.hears(answer(IpAddr::V4(Ipv4Addr::new(10, 0, 0, of)), if b { B } else { A }));
                }
                Step::Say(of, b, false) => {
                    bench.hears(packet::announce(if b { B } else { A }, IpAddr::V4(Ipv4Addr::new(10, 0, 0, of))));
                }
                Step::Wait(millis) => bench.seconds(f64::from(millis) / 1000.0),
                Step::Link(to) => {
                    if to != linked {
                        bench.with(|all, cx| all.outside(vec![(at(), to)], cx));
                        linked = to;
                    }
                }
                Step::Connected(to) => bench.stats.switch_connected = to,
            }
            let all = &bench.all;
            prop_assert_eq!(all.table.entries.values().filter(|e| e.mac.is_none()).count(), all.table.asked);
            prop_assert_eq!(all.table.entries.values().map(|e| e.held.len()).sum::<usize>(), all.table.held);
            let bytes: usize = all.table.entries.values().flat_map(|e| &e.held).map(|h| h.frame.len()).sum();
            prop_assert_eq!(bytes, all.table.held_bytes);
            prop_assert!(all.table.entries.values().all(|e| e.held.is_empty() || e.mac.is_none()));
            prop_assert_eq!(all.table.due.len(), all.table.entries.len());
            prop_assert!(linked || all.table.entries.is_empty());
        }
        bench.seconds(3.0);
        let mut told: BTreeMap<String, Eth> = BTreeMap::new();
        for (what, mac) in &bench.changes {
            match mac {
                Some(mac) => drop(told.insert(what.clone(), *mac)),
                None => drop(told.remove(what)),
            }
        }
        let known: BTreeMap<String, Eth> =
            bench.all.table.entries.iter().filter_map(|((ls, ip), e)| Some((format!("{ls}/{ip}"), e.mac?))).collect();
        prop_assert_eq!(&told, &known);
        let mut shown: BTreeMap<String, Eth> = BTreeMap::new();
        for write in &bench.writes {
            let what = write.path.strip_prefix("status/hv1/neighbour/").unwrap().to_owned();
            match &write.value {
                Some(value) => drop(shown.insert(what, serde_json::from_slice::<Shown>(value).unwrap().mac.0)),
                None => drop(shown.remove(&what)),
            }
        }
        prop_assert_eq!(&shown, &known);
    }
}
