//! The OpenFlow side against a toy switch that is too simple to be wrong: any history ends with the toy holding what the rules want.

mod connect;

use super::{super::stats::Stats, connect::RETRY_PAUSE, groups::Step, *};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use tuplenet_openflow::{Action, Instruction, Match, field};
use tuplenet_rules::{Bucket, GroupForm};

const OURS: u64 = tuplenet_rules::cookie::OURS;
const AUDIT: Duration = Duration::from_secs(60);

fn flow(table: u8, priority: u16, out: u32) -> Flow {
    Flow {
        table,
        priority,
        cookie: OURS,
        matching: Match::new().with(field::METADATA, 7u64),
        instructions: vec![Instruction::ApplyActions(vec![Action::Output { port: out, max_len: 0 }])],
        ..Flow::default()
    }
}

/// The rules: a table of flows and groups that tests edit.
#[derive(Default)]
struct Wanted {
    flows: BTreeMap<(u8, u16), Flow>,
    groups: BTreeMap<u32, Vec<Bucket>>,
}

impl Desired for Wanted {
    fn flows(&self) -> Box<dyn Iterator<Item = Flow> + '_> {
        Box::new(self.flows.values().cloned())
    }
    fn groups(&self) -> Box<dyn Iterator<Item = Group> + '_> {
        Box::new(self.groups.iter().map(|(id, buckets)| Group {
            id: *id,
            form: GroupForm::All,
            buckets: buckets.clone(),
        }))
    }
}

/// A switch and the line to it.
#[derive(Default)]
struct Toy {
    flows: HashMap<FlowKey, Flow>,
    groups: BTreeMap<u32, BTreeMap<u32, Bucket>>,
    tlv: Vec<TlvMapping>,
    /// Whether flows of others use its TLV map.
    tlv_in_use: bool,
    /// Priorities that it refuses.
    refuses: Vec<u16>,
    /// Whether it says which message it refuses.
    mute: bool,
    bundles: usize,
    mods: usize,
    /// Tables of the flows in the order in which they came.
    order: Vec<u8>,
    /// Whether the meter was made, and how often that was asked for.
    metered: usize,
}

impl Toy {
    fn bundle(&mut self, mods: Vec<Mod>) -> Outcome {
        self.bundles += 1;
        assert!(!mods.is_empty(), "an empty bundle is a waste");
        for (i, change) in mods.iter().enumerate() {
            if matches!(change, Mod::Set(flow) if self.refuses.contains(&flow.priority)) {
                let index = if self.mute { None } else { Some(i) };
                return Outcome::Refused(vec![Refusal { index, why: "bad flow".into() }]);
            }
        }
        assert_eq!(self.tlv, [TLV], "flows before the TLV map");
        assert!(self.metered > 0, "flows before the meter that they use");
        self.mods += mods.len();
        for change in mods {
            match change {
                Mod::Set(flow) => {
                    self.order.push(flow.table);
                    drop(self.flows.insert(FlowKey::of(&flow), flow));
                }
                Mod::Delete(key) => drop(self.flows.remove(&key)),
                Mod::Group(Step::Add(id, _, buckets) | Step::Replace(id, _, buckets)) => {
                    drop(self.groups.insert(id, buckets.into_iter().collect()));
                }
                Mod::Group(Step::Insert(id, _, buckets)) => self.groups.entry(id).or_default().extend(buckets),
                Mod::Group(Step::Remove(id, bucket)) => drop(self.groups.entry(id).or_default().remove(&bucket)),
                Mod::Group(Step::Delete(id)) => drop(self.groups.remove(&id)),
            }
        }
        Outcome::Done
    }

    fn answer(&mut self, command: Command) -> Event {
        match command {
            Command::Meter => {
                self.metered += 1;
                Event::Meter(Ok(Metering::On))
            }
            Command::ReadTlv => Event::Tlv(Ok(self.tlv.clone())),
            Command::WriteTlv(_) if self.tlv_in_use => Event::TlvWritten(Err("in use".into())),
            Command::WriteTlv(wrong) => {
                self.tlv.retain(|m| !wrong.contains(m));
                self.tlv.push(TLV);
                Event::TlvWritten(Ok(()))
            }
            Command::ReadGroups => {
                let buckets = |g: &BTreeMap<u32, Bucket>| g.iter().map(|(id, a)| (*id, a.clone())).collect();
                Event::Groups(Ok(self
                    .groups
                    .iter()
                    .map(|(id, g)| Reported { id: *id, form: Some(GroupForm::All), buckets: buckets(g) })
                    .collect()))
            }
            Command::ReadTables => Event::Tables(Ok(self
                .flows
                .values()
                .map(|f| f.table)
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect())),
            Command::ReadFlows(table) => {
                Event::Flows(table, Ok(self.flows.values().filter(|f| f.table == table).cloned().collect()))
            }
            Command::Bundle(mods) => Event::Bundle(self.bundle(mods)),
            Command::Forget(_) => Event::Forgotten(Ok(())),
        }
    }
}

struct Bench {
    switch: Switch,
    wanted: Wanted,
    toy: Toy,
    stats: Stats,
    now: Instant,
    /// Commands under way, with their session.
    line: std::collections::VecDeque<(u64, Command)>,
    said: Vec<String>,
    session: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            switch: Switch::new(Some(AUDIT)),
            wanted: Wanted::default(),
            toy: Toy::default(),
            stats: Stats::default(),
            now: Instant::now(),
            line: Default::default(),
            said: Vec::new(),
            session: 0,
        }
    }
    fn with(&mut self, act: impl FnOnce(&mut Switch, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let mut cx = Context { desired: &self.wanted, now: self.now, effects: &mut effects, stats: &mut self.stats };
        act(&mut self.switch, &mut cx);
        for effect in effects {
            match effect {
                Effect::Switch(session, command) => self.line.push_back((session, command)),
                Effect::Say(_, text) => self.said.push(text),
                Effect::Installed(_) => {}
                other => panic!("the switch side has no business with {other:?}"),
            }
        }
    }
    fn open(&mut self) {
        self.with(|s, cx| s.open(cx));
    }
    fn up(&mut self) {
        self.session += 1;
        let session = self.session;
        self.line.clear();
        self.with(|s, cx| s.handle(session, Event::Up, cx));
    }
    fn down(&mut self) {
        let session = self.session;
        self.line.clear();
        self.with(|s, cx| s.handle(session, Event::Down("gone".into()), cx));
    }
    /// One answer of the switch.
    fn step(&mut self) -> bool {
        let Some((session, command)) = self.line.pop_front() else { return false };
        let event = self.toy.answer(command);
        self.with(|s, cx| s.handle(session, event, cx));
        true
    }
    fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 100_000, "no end: {:?}", self.said);
        }
    }
    fn set(&mut self, flow: Flow) {
        self.wanted.flows.insert((flow.table, flow.priority), flow.clone());
        self.change(vec![FlowChange::Set(flow)], Vec::new());
    }
    fn delete(&mut self, table: u8, priority: u16) {
        if let Some(Flow { matching, .. }) = self.wanted.flows.remove(&(table, priority)) {
            self.change(vec![FlowChange::Delete { table, priority, matching }], Vec::new());
        }
    }
    fn change(&mut self, flows: Vec<FlowChange>, groups: Vec<GroupChange>) {
        self.with(|s, cx| s.change(flows, groups, None, cx));
    }
    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.with(|s, cx| s.tick(cx));
    }
    fn started(flows: usize) -> Self {
        let mut bench = Self::new();
        for n in 0..flows {
            let flow = flow((n % 3) as u8, n as u16, 1);
            bench.wanted.flows.insert((flow.table, flow.priority), flow);
        }
        bench.open();
        bench.up();
        bench.run();
        bench.check();
        bench
    }
    #[track_caller]
    fn check(&self) {
        let refused = |f: &&Flow| !self.toy.refuses.contains(&f.priority);
        let mut want: Vec<&Flow> = self.wanted.flows.values().filter(refused).collect();
        let mut have: Vec<&Flow> = self.toy.flows.values().filter(|f| !is_foreign(f)).collect();
        want.sort_by_key(|f| (f.table, f.priority));
        have.sort_by_key(|f| (f.table, f.priority));
        assert_eq!(want, have);
        assert!(self.switch.settled());
    }
}

#[test]
fn nothing_is_touched_before_the_network_is_known() {
    let mut bench = Bench::new();
    bench.toy.flows.insert(FlowKey::of(&flow(0, 1, 9)), flow(0, 1, 9));
    bench.up();
    assert_eq!(bench.line.len(), 1);
    assert!(format!("{:?}", bench.line).contains("ReadTables"), "only asked whether it holds anything");
    bench.run();
    assert_eq!(bench.switch.fill(), Fill::Full);
    bench.wait(AUDIT);
    assert!(bench.line.is_empty());
    bench.open();
    bench.run();
    bench.check();
}

#[test]
fn a_switch_is_full_once_what_packets_begin_with_is_there() {
    let mut bench = Bench::new();
    assert_eq!(bench.switch.fill(), Fill::Unknown);
    bench.toy.flows.insert(FlowKey::of(&flow(1, 1, 9)), flow(1, 1, 9));
    bench.up();
    bench.run();
    assert_eq!(bench.switch.fill(), Fill::Empty, "an agent before got so far");
    bench.open();
    bench.run();
    assert_eq!(bench.switch.fill(), Fill::Full);
    bench.down();
    assert_eq!(bench.switch.fill(), Fill::Unknown, "it may live");
    bench.down();
    assert_eq!(bench.switch.fill(), Fill::Away);
}

#[test]
fn a_cold_switch_gets_all_with_table_0_last_and_a_warm_one_nothing() {
    let mut bench = Bench::started(300);
    // 200 flows of other tables, then 100 of table 0, in pieces of 64.
    assert_eq!((bench.toy.bundles, bench.toy.mods), (4 + 2, 300));
    let first_entry = bench.toy.order.iter().position(|table| *table == 0).expect("flows of table 0");
    assert!(bench.toy.order[first_entry..].iter().all(|table| *table == 0));
    bench.down();
    bench.up();
    bench.run();
    bench.check();
    assert_eq!((bench.toy.bundles, bench.stats.flow_mods, bench.stats.syncs), (6, 300, 2));
}

#[test]
fn a_warm_switch_gets_the_difference_in_one_bundle() {
    let mut bench = Bench::started(300);
    bench.down();
    bench.toy.flows.retain(|key, _| key.priority < 100);
    let bundles = bench.toy.bundles;
    bench.up();
    bench.run();
    bench.check();
    assert_eq!(bench.toy.bundles, bundles + 1);
}

#[test]
fn a_cold_switch_gets_what_changes_meanwhile_too() {
    let mut bench = Bench::new();
    for n in 0..300 {
        bench.wanted.flows.insert((n as u8 % 3, n), flow(n as u8 % 3, n, 1));
    }
    bench.open();
    bench.up();
    for n in 0..300 {
        bench.step();
        bench.set(flow(2, n, 9));
        bench.delete(n as u8 % 3, (n * 7) % 300);
    }
    bench.run();
    bench.check();
}

#[test]
fn what_waits_is_coalesced_and_one_bundle_is_under_way() {
    let mut bench = Bench::started(3);
    bench.set(flow(1, 50, 1));
    for out in 2..10 {
        bench.set(flow(1, 51, out));
    }
    bench.set(flow(1, 52, 1));
    bench.delete(1, 52);
    assert_eq!(bench.line.len(), 1);
    bench.run();
    bench.check();
    assert_eq!(bench.toy.bundles, 3, "the first, the change, all that waited");
}

#[test]
fn a_refused_flow_is_set_aside_and_blocks_no_other() {
    for mute in [false, true] {
        let mut bench = Bench::new();
        bench.toy.mute = mute;
        bench.toy.refuses = vec![5, 17, 33];
        for n in 0..100 {
            bench.wanted.flows.insert((1, n), flow(1, n, 1));
        }
        bench.open();
        bench.up();
        bench.run();
        bench.check();
        assert_eq!((bench.stats.flows_refused, bench.stats.flows_set_aside), (3, 3), "{:?}", bench.said);
        assert_eq!(bench.stats.flows_installed, 97);
        // Others go on, and it is tried again later, and later again.
        bench.set(flow(2, 7, 1));
        bench.run();
        bench.check();
        let before = bench.toy.bundles;
        bench.wait(Duration::from_secs(11));
        bench.run();
        bench.check();
        assert!(bench.toy.bundles > before);
        assert_eq!(bench.stats.flows_refused, 3, "said once");
        // The rules change it: it is tried at once.
        bench.toy.refuses = vec![17, 33];
        bench.set(flow(1, 5, 2));
        bench.run();
        bench.check();
        // The switch changes its mind.
        bench.toy.refuses.clear();
        bench.wait(Duration::from_secs(3600));
        bench.run();
        bench.check();
        assert_eq!(bench.stats.flows_set_aside, 0);
    }
}

#[test]
fn many_refusals_do_not_cost_a_whole_bundle_each() {
    let mut bench = Bench::new();
    bench.toy.refuses = (0..200).map(|n| n * 10).collect();
    for n in 0..2000 {
        bench.wanted.flows.insert((1, n), flow(1, n, 1));
    }
    bench.open();
    bench.up();
    bench.run();
    bench.check();
    assert!(bench.stats.flow_mods < 40_000, "{} sent for 2000", bench.stats.flow_mods);
}

#[test]
fn audits_repair_drift_and_leave_the_hook_to_others() {
    let mut bench = Bench::started(30);
    let foreign = Flow { table: HOOK_TABLE, cookie: 0x1234, ..flow(HOOK_TABLE, 9, 4) };
    bench.toy.flows.insert(FlowKey::of(&foreign), foreign.clone());
    bench.toy.flows.remove(&FlowKey::of(&flow(0, 0, 1)));
    bench.toy.flows.insert(FlowKey::of(&flow(1, 1, 1)), flow(1, 1, 66));
    let extra = Flow { cookie: 0, ..flow(7, 3, 1) };
    bench.toy.flows.insert(FlowKey::of(&extra), extra);
    bench.wait(AUDIT);
    // Changes go on meanwhile, and are no drift.
    for n in 0..40 {
        bench.step();
        bench.set(flow((n % 4) as u8, 500 + n, 1));
        bench.delete((n % 3) as u8, n);
    }
    bench.run();
    bench.check();
    let drift = (bench.stats.drift_missing, bench.stats.drift_different, bench.stats.drift_extra);
    assert!(drift.0 <= 1 && drift.1 <= 1 && drift.2 == 1, "{drift:?} {:?}", bench.said);
    assert!(bench.toy.flows.contains_key(&FlowKey::of(&foreign)));
    let sent = bench.stats.flow_mods;
    bench.wait(AUDIT);
    bench.run();
    assert_eq!((bench.stats.audits, bench.stats.flow_mods), (2, sent));
}

#[test]
fn an_older_form_of_a_refused_flow_is_no_drift() {
    let mut bench = Bench::started(5);
    bench.toy.refuses = vec![3];
    bench.set(flow(0, 3, 7));
    bench.run();
    assert_eq!(bench.stats.flows_set_aside, 1);
    // Its own tries are at 10, 31 and 71 s.
    for seconds in [11, 20] {
        bench.wait(Duration::from_secs(seconds));
        bench.run();
    }
    let (bundles, said) = (bench.toy.bundles, bench.said.len());
    bench.wait(Duration::from_secs(29));
    bench.run();
    assert_eq!((bench.stats.audits, bench.stats.drift_different), (1, 0), "{:?}", bench.said);
    assert_eq!((bench.toy.bundles, bench.said.len()), (bundles, said), "{:?}", bench.said);
}

/// An agent of another version left flows of which none is ours any more: they must carry traffic until ours are there.
#[test]
fn flows_that_none_of_ours_replaces_go_in_the_bundle_that_brings_ours() {
    let mut bench = Bench::new();
    for n in 0..300 {
        bench.wanted.flows.insert((1, n), flow(1, n, 1));
        let old = flow(2, n, 1);
        bench.toy.flows.insert(FlowKey::of(&old), old);
    }
    bench.open();
    bench.up();
    bench.run();
    bench.check();
    assert_eq!((bench.toy.bundles, bench.toy.mods), (1, 600));
}

#[test]
fn groups_come_before_the_flows_that_use_them_and_go_after() {
    let mut bench = Bench::started(1);
    let to = |port| Bucket::of(vec![Action::Output { port, max_len: 0 }]);
    bench.wanted.groups.insert(9, vec![to(1)]);
    bench.wanted.flows.insert((1, 90), flow(1, 90, 1));
    bench.change(
        vec![FlowChange::Set(flow(1, 90, 1))],
        vec![GroupChange::Add(9, GroupForm::All), GroupChange::InsertBucket(9, to(1))],
    );
    let (_, Command::Bundle(mods)) = &bench.line[0] else { panic!("no bundle") };
    assert!(matches!(mods[..], [Mod::Group(Step::Add(9, ..)), Mod::Set(_)]), "{mods:?}");
    bench.run();
    bench.wanted.groups.clear();
    bench.wanted.flows.remove(&(1, 90));
    let key = FlowKey::of(&flow(1, 90, 1));
    bench.change(
        vec![FlowChange::Delete { table: 1, priority: 90, matching: key.matching }],
        vec![GroupChange::Delete(9)],
    );
    let (_, Command::Bundle(mods)) = &bench.line[0] else { panic!("no bundle") };
    assert!(matches!(mods[..], [Mod::Delete(_), Mod::Group(Step::Delete(9))]), "{mods:?}");
    bench.run();
    bench.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_history_ends_with_what_the_rules_want(ops in proptest::collection::vec((0u8..10, 0u8..4, 0u16..6, 1u32..4), 0..80)) {
        let mut bench = Bench::started(4);
        for (op, table, priority, out) in ops {
            match op {
                0..=2 => bench.set(flow(table, priority, out)),
                3 => bench.delete(table, priority),
                4 => { bench.step(); },
                5 => (0..60).for_each(|_| { bench.step(); }),
                6 => drop(bench.toy.flows.remove(&FlowKey::of(&flow(table, priority, 0)))),
                7 => drop(bench.toy.flows.insert(FlowKey::of(&flow(table, priority, 0)), flow(table, priority, 9))),
                8 => bench.wait(AUDIT),
                _ => { bench.down(); bench.toy.flows.clear(); bench.toy.tlv.clear(); bench.up(); },
            }
        }
        bench.run();
        bench.wait(AUDIT + RETRY_PAUSE);
        bench.run();
        bench.wait(AUDIT);
        bench.run();
        bench.check();
        prop_assert_eq!(bench.stats.bundles_refused, 0);
    }
}
