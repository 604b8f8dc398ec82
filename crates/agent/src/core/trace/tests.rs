//! Traces without a switch and without a store.

#![allow(clippy::unwrap_used)]

use super::*;
use std::net::IpAddr;
use tuplenet_openflow::{Match, field};
use tuplenet_rules::userdata::Userdata;
use tuplenet_rules::{register, stage, trace as colour};

const FOUND: Found = Found { lease: 77, created: 5 };

struct Bench {
    traces: Traces,
    stats: Stats,
    now: Instant,
    did: Vec<Command>,
    said: Vec<String>,
}

fn id(n: u16) -> Id {
    Id::new(n).unwrap()
}

/// A report of that event, of a packet of that colour in that table.
fn seen(colour: u16, event: colour::Event, table: u8) -> Event {
    let metadata = Match::new()
        .with(register::DATAPATH, 7_u64)
        .with(register::SRC_PORT, 3_u32)
        .with(register::DST_PORT, 4_u32)
        .with(register::FLAGS, register::TRACED)
        .with(register::COMMAND, u32::from(colour));
    let mut packet = vec![2; 12];
    packet.extend([0x08, 0x00]);
    packet.resize(300, 0xab);
    let userdata = Userdata::Trace(event).encode().into();
    Event::Seen(
        event,
        9,
        Box::new(PacketIn2 { packet: packet.into(), table: Some(table), metadata, userdata, ..PacketIn2::default() }),
    )
}

impl Bench {
    fn new() -> Self {
        let traces = Traces::new("hv1".parse().unwrap());
        Self { traces, stats: Stats::default(), now: Instant::now(), did: Vec::new(), said: Vec::new() }
    }

    fn with(&mut self, act: impl FnOnce(&mut Traces, Instant, &mut Vec<Effect>, &mut Stats)) {
        let mut effects = Vec::new();
        act(&mut self.traces, self.now, &mut effects, &mut self.stats);
        for effect in effects {
            match effect {
                Effect::Trace(command) => self.did.push(command),
                Effect::Say(_, text) => self.said.push(text),
                other => panic!("a trace has no business with {other:?}"),
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.with(|traces, now, effects, stats| traces.handle(event, now, effects, stats));
    }

    fn hops(&mut self, colour: u16, n: usize) {
        for _ in 0..n {
            self.event(seen(colour, colour::Event::Hop, 10));
        }
    }

    fn inject_connected(&mut self, path: &str, value: &str, connected: bool) {
        let port = |ls: &Name, lsp: &Name| (**ls == *"A" && **lsp == *"a1").then_some(11);
        let place = Place { port: &port, connected };
        self.with(|traces, now, effects, stats| {
            let asked = Asked { path, value: value.as_bytes(), revision: 6 };
            traces.inject(asked, &place, now, effects, stats);
        });
    }

    fn inject(&mut self, n: u16, packet: &str) {
        self.inject_connected(
            &format!("inject/hv1/{n}"),
            &format!(r#"{{"ls":"A","lsp":"a1","packet":"{packet}"}}"#),
            true,
        );
    }

    /// What was done since the last time.
    fn took(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.did)
    }

    /// The one write since the last time: number of its first record, and how many there are.
    #[track_caller]
    fn wrote(&mut self) -> (u32, Vec<TraceRecord>) {
        match self.took().pop() {
            Some(Command::Write { first, records, .. }) => (first, records),
            other => panic!("not a write: {other:?}"),
        }
    }
}

#[test]
fn the_store_is_asked_once_a_trace_and_records_go_in_batches() {
    let mut bench = Bench::new();
    bench.hops(7, 3);
    assert_eq!(bench.took(), [Command::Read(id(7))]);
    bench.event(Event::Found(id(7), Ok(Some(FOUND))));
    let (first, records) = bench.wrote();
    assert_eq!((first, records.len()), (0, 3));
    bench.hops(7, 100);
    assert_eq!(bench.took(), [], "one write at a time");
    bench.event(Event::Written(id(7), Written::Done));
    let (first, records) = bench.wrote();
    assert_eq!((first, records.len()), (3, BATCH));
    bench.event(Event::Written(id(7), Written::Done));
    let (first, records) = bench.wrote();
    assert_eq!((first, records.len()), (67, 36));
    bench.event(Event::Written(id(7), Written::Done));
    assert_eq!(bench.took(), []);
    assert_eq!((bench.stats.trace_records, bench.stats.trace_records_dropped, bench.traces.queued), (103, 0, 0));
    bench.event(seen(7, colour::Event::End, 0));
    let (first, records) = bench.wrote();
    assert_eq!((first, records[0].event), (103, TraceEvent::End));
}

#[test]
fn what_nobody_asked_for_is_dropped_and_not_asked_for_all_the_time() {
    let mut bench = Bench::new();
    bench.hops(8, 2);
    bench.event(Event::Found(id(8), Ok(None)));
    bench.hops(8, 50);
    assert_eq!(bench.took(), [Command::Read(id(8))]);
    assert_eq!((bench.stats.trace_records_dropped, bench.traces.queued), (52, 0));
    bench.now += UNKNOWN_FOR;
    bench.hops(8, 1);
    assert_eq!(bench.took(), [Command::Read(id(8))]);
    // A store that does not answer is no better, and is said once.
    bench.event(Event::Found(id(8), Err("away".into())));
    bench.now += UNKNOWN_FOR;
    bench.hops(8, 1);
    bench.event(Event::Found(id(8), Err("away".into())));
    assert_eq!(bench.said.len(), 1, "{:?}", bench.said);
    // A packet without a colour is no trace's.
    bench.took();
    bench.event(seen(0, colour::Event::Hop, 10));
    bench.event(Event::Seen(colour::Event::Hop, 1, Box::default()));
    assert_eq!(bench.took(), []);
}

#[test]
fn a_later_trace_of_the_same_id_gets_its_own() {
    let mut bench = Bench::new();
    bench.hops(7, 1);
    bench.event(Event::Found(id(7), Ok(Some(FOUND))));
    let (_, records) = bench.wrote();
    bench.hops(7, 1);
    bench.event(Event::Written(id(7), Written::Gone(records)));
    assert_eq!(bench.took(), [Command::Read(id(7))]);
    let later = Found { lease: 78, created: 9 };
    bench.event(Event::Found(id(7), Ok(Some(later))));
    match bench.took().pop() {
        Some(Command::Write { found, first: 0, records, .. }) => assert_eq!((found, records.len()), (later, 2)),
        other => panic!("{other:?}"),
    }
    // If it is not gone, the numbers are taken: by that write, whose answer was lost, or by who was here before us. Later records have later ones.
    bench.hops(7, 1);
    bench.event(Event::Written(id(7), Written::Gone(vec![record::empty(TraceEvent::Hop, 1); 2])));
    assert_eq!(bench.took(), [Command::Read(id(7))]);
    bench.event(Event::Found(id(7), Ok(Some(later))));
    let (first, records) = bench.wrote();
    assert_eq!((first, records.len(), records[0].at), (2, 1, 9));
    bench.event(Event::Written(id(7), Written::Done));
    assert_eq!((bench.stats.trace_records, bench.stats.trace_records_dropped, bench.traces.queued), (1, 2, 0));
    assert_eq!(bench.took(), []);
}

#[test]
fn what_is_on_its_way_is_not_forgotten() {
    let mut bench = Bench::new();
    bench.hops(7, 1);
    bench.event(Event::Found(id(7), Ok(Some(FOUND))));
    bench.now += FORGET_AFTER;
    assert!(bench.traces.traces[&id(7)].is_worth_keeping(bench.now));
    bench.event(Event::Written(id(7), Written::Done));
    assert!(!bench.traces.traces[&id(7)].is_worth_keeping(bench.now));
    assert_eq!(bench.traces.queued, 0);
}

#[test]
fn records_are_counted_from_0_in_each_trace_of_an_id() {
    let mut bench = Bench::new();
    for created in 5..8 {
        bench.inject(7, &"02".repeat(14));
        bench.took();
        let found = Found { lease: 70 + created, created };
        bench.event(Event::Found(id(7), Ok(Some(found))));
        for first in [0, 2] {
            bench.hops(7, 2);
            // The second hop comes while the first is written.
            let (n, records) = bench.wrote();
            assert_eq!((n, records.len()), (first, 1));
            bench.event(Event::Written(id(7), Written::Done));
            assert_eq!(bench.wrote().0, first + 1);
            bench.event(Event::Written(id(7), Written::Done));
        }
        // Asked for again while it is under way: the same trace, and its numbers are taken.
        bench.inject(7, &"02".repeat(14));
        bench.took();
        bench.event(Event::Found(id(7), Ok(Some(found))));
        bench.hops(7, 1);
        assert_eq!(bench.wrote().0, 4);
        bench.event(Event::Written(id(7), Written::Done));
    }
}

#[test]
fn everything_has_a_bound() {
    let mut bench = Bench::new();
    // One trace without end.
    bench.hops(1, MAX_RECORDS as usize + 10);
    assert_eq!(bench.traces.queued, MAX_RECORDS as usize);
    assert_eq!(bench.stats.trace_records_dropped, 10);
    bench.event(Event::Found(id(1), Ok(None)));
    // Many traces, and a store that does not answer.
    bench.now += Duration::from_secs(1);
    bench.took();
    for n in 1..=5_000 {
        bench.hops(n, 1);
    }
    assert_eq!(bench.took().len(), MAX_READS as usize);
    for _ in 0..3 {
        bench.now += Duration::from_secs(1);
        for n in 1..=5_000 {
            bench.hops(n, 1);
        }
    }
    assert_eq!(bench.traces.traces.len(), MAX_TRACES);
    assert!(bench.traces.queued <= MAX_QUEUED, "{}", bench.traces.queued);
    // What the store does not have is forgotten for others at once, what is silent after a while.
    for n in 1..=u16::MAX {
        bench.event(Event::Found(id(n), Ok(None)));
    }
    assert_eq!(bench.traces.queued, 0);
    bench.now += SWEEP_EVERY;
    bench.took();
    bench.hops(60_000, 1);
    assert_eq!((bench.took().len(), bench.traces.traces.len()), (1, 1));
    bench.event(Event::Found(id(60_000), Ok(Some(FOUND))));
    bench.event(Event::Written(id(60_000), Written::Done));
    let forgets_at = |bench: &Bench, at| !bench.traces.traces[&id(60_000)].is_worth_keeping(at);
    assert!(!forgets_at(&bench, bench.now + UNKNOWN_FOR) && forgets_at(&bench, bench.now + FORGET_AFTER));
}

#[test]
fn what_is_on_its_way_to_a_slow_store_counts_as_well() {
    let mut bench = Bench::new();
    for n in 1..=900 {
        bench.hops(n, BATCH);
        bench.event(Event::Found(id(n), Ok(Some(FOUND))));
        bench.hops(n, 1);
    }
    let sent = |bench: &mut Bench| -> usize {
        let count = |c: &Command| if let Command::Write { records, .. } = c { records.len() } else { 0 };
        bench.took().iter().map(count).sum()
    };
    let on_its_way = sent(&mut bench);
    let waits: usize = bench.traces.traces.values().map(|t| t.records.len()).sum();
    assert!(on_its_way > 0 && on_its_way + waits <= MAX_QUEUED, "{on_its_way} on their way, {waits} wait");
    assert_eq!(bench.stats.trace_records_dropped as usize, 900 * (BATCH + 1) - on_its_way - waits);
    // One way or the other all of it ends.
    for n in 1..=900 {
        bench.event(Event::Written(id(n), if n % 2 == 0 { Written::Done } else { Written::Failed("away".into()) }));
    }
    while !bench.did.is_empty() {
        for command in bench.took() {
            let Command::Write { id, .. } = command else { continue };
            bench.event(Event::Written(id, Written::Done));
        }
    }
    assert_eq!(bench.traces.queued, 0);
    assert_eq!(bench.stats.trace_records + bench.stats.trace_records_dropped, 900 * (BATCH as u64 + 1));
}

#[test]
fn a_packet_is_sent_where_it_is_asked_for() {
    let mut bench = Bench::new();
    let frame = "02".repeat(14);
    bench.inject(5, &frame);
    let expected = [Command::Read(id(5)), Command::Inject { id: id(5), asked: 6, port: 11, frame: vec![2; 14] }];
    assert_eq!(bench.took(), expected, "and the answer of the store is there before the reports");
    bench.event(Event::Injected(id(5), Ok(())));
    bench.event(Event::Found(id(5), Ok(Some(FOUND))));
    assert_eq!((bench.took(), bench.traces.injecting), (vec![], 0));
    // The same id again is another trace.
    bench.inject(5, &frame);
    assert_eq!(bench.took(), expected);
    assert_eq!((bench.stats.trace_packets, bench.stats.traces_refused), (2, 0));
}

#[test]
fn what_cannot_be_sent_is_refused_in_words() {
    let at = |ls: &str, lsp: &str, packet: &str| format!(r#"{{"ls":"{ls}","lsp":"{lsp}","packet":"{packet}"}}"#);
    let frame = "02".repeat(14);
    let long = "02".repeat(MAX_FRAME + 1);
    let cases = [
        (at("A", "a2", &frame), true, "the port A/a2 is not on hv1"),
        (at("A", "a1", "0x"), true, "`x` at place 2 is no hexadecimal digit"),
        (at("A", "a1", "020"), true, "not whole bytes"),
        (at("A", "a1", "0202"), true, "2 bytes is too short"),
        (at("A", "a1", &long), true, "9019 bytes is too long"),
        (at("A", "a1", &frame), false, "no connection to its switch"),
        (at("A/", "a1", &frame), true, "not as it should be"),
        ("nonsense".into(), true, "not as it should be"),
    ];
    for (value, connected, why) in cases {
        let mut bench = Bench::new();
        bench.inject_connected("inject/hv1/5", &value, connected);
        assert_eq!(bench.took(), [Command::Read(id(5))], "{why}");
        bench.event(Event::Found(id(5), Ok(Some(FOUND))));
        let (_, records) = bench.wrote();
        let text = records[0].text.clone().unwrap();
        assert!(records[0].event == TraceEvent::Refused && text.contains(why), "{text} does not say {why}");
        assert_eq!(bench.stats.traces_refused, 1);
    }
    // So is what the switch does not take, and what is too much at once.
    let mut bench = Bench::new();
    for n in 1..=u16::try_from(MAX_INJECTING).unwrap() + 1 {
        bench.inject(n, &frame);
    }
    let sent = bench.took().iter().filter(|c| matches!(c, Command::Inject { .. })).count();
    assert_eq!((sent, bench.stats.traces_refused), (MAX_INJECTING, 1));
    bench.event(Event::Injected(id(1), Err("bad port".into())));
    bench.event(Event::Found(id(1), Ok(Some(FOUND))));
    let (_, records) = bench.wrote();
    assert!(records[0].text.as_ref().is_some_and(|t| t.contains("bad port")), "{records:?}");
    // A key that names no trace has nobody to be answered.
    for path in ["inject/hv1/0", "inject/hv1/65536", "inject/hv1/x", "inject/hv1/5/6", "inject/hv1/+5", "inject/hv1/05"]
    {
        let mut bench = Bench::new();
        bench.inject_connected(path, "{}", true);
        assert_eq!((bench.took(), bench.said.len()), (vec![], 1));
    }
    assert!(
        bench.traces.owns("inject/hv1/5") && !bench.traces.owns("inject/hv11/5") && !bench.traces.owns("ls/inject")
    );
}

#[test]
fn a_record_tells_what_registers_mean_and_no_more() {
    let of = |event, table, more: fn(Match) -> Match, ethertype: [u8; 2]| {
        let Event::Seen(_, at, report) = seen(7, event, table) else { unreachable!("a report") };
        let mut packet = report.packet.to_vec();
        packet[12..14].copy_from_slice(&ethertype);
        let report = PacketIn2 { metadata: more(report.metadata.clone()), packet: packet.into(), ..*report };
        record::of(event, at, &report).unwrap()
    };
    let plain = |m: Match| m;
    let (id, hop) = of(colour::Event::Hop, 10, plain, [8, 0]);
    assert_eq!((id.get(), hop.at, hop.table, hop.datapath, hop.from, hop.to), (7, 9, 10, 7, 3, 4));
    assert_eq!((hop.flags, hop.remote, hop.next_hop, hop.packet.len()), (8, None, None, 512));

    let v4 = |m: Match| m.with(register::REMOTE6, 0xc000_0202_u128 << 96).with(field::REG0, 0x0a02_0002_u32);
    let v6 = |m: Match| {
        m.with(register::REMOTE6, 0x2001_0db8_u128 << 96 | 2).with(register::NEXT_HOP6, 0xfd_u128 << 120 | 9)
    };
    let ip = |text: &str| -> Option<IpAddr> { Some(text.parse().unwrap()) };
    let (_, hop) = of(colour::Event::Hop, stage::LSP_TRACE_INGRESS_OUT.table, v4, [8, 0]);
    assert_eq!((hop.remote, hop.next_hop), (ip("192.0.2.2"), None), "in a switch no next hop means anything");
    let (_, hop) = of(colour::Event::Hop, stage::LRP_TRACE_INGRESS_OUT.table, v4, [8, 0]);
    assert_eq!(hop.next_hop, ip("10.2.0.2"));
    let (_, hop) = of(colour::Event::Hop, stage::LRP_TRACE_EGRESS_OUT.table, v6, [0x86, 0xdd]);
    assert_eq!((hop.remote, hop.next_hop), (ip("2001:db8::2"), ip("fd00::9")));
    let (_, end) = of(colour::Event::End, 0, v6, [0x86, 0xdd]);
    assert_eq!((end.event, end.remote, end.next_hop), (TraceEvent::End, None, None));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 60, ..Default::default() })]

    /// Whatever happens in whatever order: what waits and what is on its way is counted, each trace has one exchange with the store at a time,
    /// and no number is written twice.
    #[test]
    fn the_books_balance(deeds in proptest::collection::vec((0..9_u8, 1..4_u16), 1..200)) {
        let mut bench = Bench::new();
        let (mut under_way, mut created) = (Vec::new(), 5);
        let mut taken = std::collections::BTreeSet::new();
        for (deed, n) in deeds {
            match deed {
                0..=2 => bench.hops(n, usize::from(deed) * 40 + 1),
                3 => bench.inject(n, &"02".repeat(14)),
                // Another trace of all ids.
                4 => created += 1,
                5 => bench.now += UNKNOWN_FOR,
                _ if under_way.is_empty() => {}
                _ => {
                    let at = usize::from(n) % under_way.len();
                    let now = Found { lease: 1, created };
                    match (under_way.remove(at), deed) {
                        (Command::Read(id), 6) => bench.event(Event::Found(id, Err("away".into()))),
                        (Command::Read(id), 7) => bench.event(Event::Found(id, Ok(None))),
                        (Command::Read(id), _) => bench.event(Event::Found(id, Ok(Some(now)))),
                        (Command::Write { id, .. }, 6) => bench.event(Event::Written(id, Written::Failed("away".into()))),
                        (Command::Write { id, found, first, records }, _) => {
                            let numbers: Vec<_> = (first..).zip(&records).map(|(n, _)| (id, found.created, n)).collect();
                            let free = numbers.first().is_none_or(|n| !taken.contains(n));
                            if found == now && free {
                                proptest::prop_assert!(numbers.iter().all(|n| taken.insert(*n)), "written over: {:?}", numbers);
                            }
                            // At times the answer is lost and the write is sent again.
                            let told = if found == now && free && deed == 7 { Written::Done } else { Written::Gone(records) };
                            bench.event(Event::Written(id, told));
                        }
                        (Command::Inject { id, .. }, _) => bench.event(Event::Injected(id, Ok(()))),
                    }
                }
            }
            under_way.extend(bench.took());
            let traces = &bench.traces;
            let waiting: usize = traces.traces.values().map(|t| t.records.len()).sum();
            let sent = |t: &Trace| if let State::Writing(_, sent) = t.state { sent } else { 0 };
            proptest::prop_assert_eq!(traces.queued, waiting + traces.traces.values().map(sent).sum::<usize>());
            for n in 1..4 {
                let of = |c: &&Command| matches!(c, Command::Read(i) | Command::Write { id: i, .. } if *i == id(n));
                proptest::prop_assert!(under_way.iter().filter(of).count() <= 1);
            }
            let injecting = under_way.iter().filter(|c| matches!(c, Command::Inject { .. })).count();
            proptest::prop_assert_eq!(traces.injecting, injecting);
        }
    }
}
