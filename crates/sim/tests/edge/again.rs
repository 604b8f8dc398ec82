//! What is taken away and comes again, with the same ids, leaves no trace: flows, groups, watched end points and patch ports are then as they were, and as an engine
//! has them that was told the final state at once. On every host, of random networks with edges.

use crate::generate::{self, Case, Object};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    hash::Hash,
};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_rules::{
    Change, ClaimMark, Config, Engine, FlowChange, LocalInterface, LocalPatch, Output, PatchPair, Scope,
};

/// Objects that go together, and come again together or one by one.
#[derive(Clone, Copy, Debug)]
enum What {
    Route,
    Rule,
    Patch,
    Link,
    Router,
    Chassis,
    Binding,
    Switch,
}

/// One thing that happens: these objects go, then come again, perhaps while others are away.
#[derive(Clone, Debug)]
struct Removal {
    what: What,
    which: usize,
    /// One by one, and in which order they come.
    apart: bool,
    backwards: bool,
    /// Until so many further ones went.
    later: usize,
}

fn removals() -> impl Strategy<Value = Vec<Removal>> {
    use What::*;
    let what =
        proptest::sample::select(vec![Route, Route, Rule, Rule, Patch, Patch, Link, Router, Chassis, Binding, Switch]);
    let removal = (what, 0..40_usize, any::<bool>(), any::<bool>(), 0..3_usize)
        .prop_map(|(what, which, apart, backwards, later)| Removal { what, which, apart, backwards, later });
    proptest::collection::vec(removal, 1..=8)
}

/// The objects of one removal, by their place in the list.
fn chosen(objects: &[Object], removal: &Removal) -> Vec<usize> {
    let fits = |path: &str| match removal.what {
        What::Route => path.contains("/lsr/"),
        What::Rule => path.contains("/lnat/"),
        What::Patch => path.contains("/lsp/phys"),
        What::Link => path.contains("/lrp/"),
        What::Router => path.starts_with("lr/") && path.matches('/').count() == 1,
        What::Switch => path.starts_with("ls/") && path.matches('/').count() == 1,
        What::Chassis => path.starts_with("chassis/"),
        What::Binding => path.starts_with("binding/"),
    };
    let all: Vec<usize> = (0..objects.len()).filter(|i| fits(&objects[*i].path)).collect();
    let Some(at) = removal.which.checked_rem(all.len()).map(|n| all[n]) else { return Vec::new() };
    let path = &objects[at].path;
    let below = |prefix: String| move |object: &Object| object.path.starts_with(&prefix);
    let rest: Vec<usize> = match removal.what {
        // Its other end, and the routes by it.
        What::Link => {
            let json: serde_json::Value = serde_json::from_str(&objects[at].json).unwrap_or_default();
            let text = |pointer: &str| json.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
            let other = format!("ls/{}/lsp/{}", text("/peer/ls"), text("/peer/lsp"));
            (0..objects.len()).filter(|i| objects[*i].path == other).collect()
        }
        // An edge: the router, its ports, routes and rules.
        What::Router => {
            let within = below(format!("{path}/"));
            (0..objects.len()).filter(|i| within(&objects[*i])).collect()
        }
        _ => Vec::new(),
    };
    [vec![at], rest].concat()
}

/// What a host's switch should hold, and what its agent should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holds {
    flows: BTreeSet<String>,
    groups: BTreeSet<String>,
    watches: BTreeSet<String>,
    pairs: BTreeSet<String>,
    outside: BTreeSet<String>,
    own: BTreeSet<String>,
    rejects: BTreeSet<String>,
}

impl Holds {
    /// What is different, in words.
    fn differs(&self, other: &Holds) -> Option<String> {
        let parts = [
            ("flows", &self.flows, &other.flows),
            ("groups", &self.groups, &other.groups),
            ("watches", &self.watches, &other.watches),
            ("pairs", &self.pairs, &other.pairs),
            ("outside", &self.outside, &other.outside),
            ("own", &self.own, &other.own),
            ("rejects", &self.rejects, &other.rejects),
        ];
        let (what, mine, theirs) = parts.into_iter().find(|(_, mine, theirs)| mine != theirs)?;
        let missing: Vec<_> = mine.difference(theirs).take(4).collect();
        let more: Vec<_> = theirs.difference(mine).take(4).collect();
        Some(format!("{what}: missing {missing:#?}, one too many {more:#?}"))
    }
}

/// Follows told changes of a set.
#[derive(Clone, Debug)]
struct Told<T>(BTreeMap<String, (T, i64)>);

impl<T: Clone + Debug + Hash> Told<T> {
    fn follow<'a>(&mut self, changes: impl IntoIterator<Item = &'a (T, bool)>)
    where
        T: 'a,
    {
        for (row, there) in changes {
            let key = format!("{row:?}");
            let entry = self.0.entry(key.clone()).or_insert_with(|| (row.clone(), 0));
            entry.1 += if *there { 1 } else { -1 };
            if entry.1 == 0 {
                self.0.remove(&key);
            }
        }
    }

    fn texts(&self) -> BTreeSet<String> {
        for (key, (_, times)) in &self.0 {
            assert_eq!(*times, 1, "{key} is told {times} times");
        }
        self.0.keys().cloned().collect()
    }
}

/// One host: its engine, and what a switch would hold that was told every change.
struct Host {
    engine: Engine,
    switch: BTreeMap<String, String>,
    watches: Told<tuplenet_rules::Watch>,
    pairs: Told<PatchPair>,
    outside: Told<tuplenet_rules::outside::Outside>,
    own: Told<tuplenet_rules::outside::Own>,
}

impl Host {
    fn new(chassis: &Name) -> Host {
        let engine = Engine::new(Config { chassis: chassis.clone(), scope: Scope::Reachable });
        let switch = engine.flows().map(|flow| (place(&flow), text(&flow))).collect();
        let (watches, pairs) = (Told(BTreeMap::new()), Told(BTreeMap::new()));
        let (outside, own) = (Told(BTreeMap::new()), Told(BTreeMap::new()));
        Host { engine, switch, watches, pairs, outside, own }
    }

    /// One transaction; the pairs of Interfaces for patch ports come and go as they are wanted.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let output = self.engine.apply(changes);
        self.follow(&output)?;
        let mut pairs: Vec<_> = output.patches.clone();
        pairs.sort_by_key(|(_, wanted)| *wanted);
        let changes: Vec<Change> = pairs
            .into_iter()
            .map(|(pair, wanted)| {
                let number = pair.name.bytes().fold(100, |n: u32, byte| (n * 31 + u32::from(byte)) % 60_000);
                let patch = wanted.then(|| LocalPatch { bridge: pair.bridge.clone(), ofport: number });
                Change::Patch { name: pair.name, patch }
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let output = self.engine.apply(changes);
        if !output.patches.is_empty() {
            return Err("a patch port that works changes which are wanted".into());
        }
        self.follow(&output)
    }

    fn follow(&mut self, output: &Output) -> Result<(), String> {
        for change in &output.flows {
            match change {
                FlowChange::Set(flow) => {
                    if self.switch.insert(place(flow), text(flow)).is_some_and(|old| old == text(flow)) {
                        return Err(format!("set to what it was: {flow}"));
                    }
                }
                FlowChange::Delete { table, priority, matching } => {
                    let place = format!("{table} {priority} {matching}");
                    self.switch.remove(&place).ok_or_else(|| format!("deleted what was not there: {place}"))?;
                }
            }
        }
        self.watches.follow(&output.watches);
        self.pairs.follow(&output.patches);
        self.outside.follow(&output.outside);
        self.own.follow(&output.own);
        Ok(())
    }

    fn holds(&self) -> Result<Holds, String> {
        let holds = Holds {
            flows: self.engine.flows().map(|flow| text(&flow)).collect(),
            groups: self.engine.groups().map(|group| canonical(&group)).collect(),
            watches: self.watches.texts(),
            pairs: self.pairs.texts(),
            outside: self.outside.texts(),
            own: self.own.texts(),
            rejects: self.engine.rejected().map(|reject| format!("{reject:?}")).collect(),
        };
        let told: BTreeSet<String> = self.switch.values().cloned().collect();
        if told != holds.flows {
            let (missing, more) = (holds.flows.difference(&told), told.difference(&holds.flows));
            let (missing, more): (Vec<_>, Vec<_>) = (missing.take(4).collect(), more.take(4).collect());
            return Err(format!("a switch that was told every change lacks {missing:#?} and has {more:#?}"));
        }
        Ok(holds)
    }
}

fn place(flow: &tuplenet_openflow::Flow) -> String {
    format!("{} {} {}", flow.table, flow.priority, flow.matching)
}

fn text(flow: &tuplenet_openflow::Flow) -> String {
    format!("cookie={:#x} {flow}", flow.cookie)
}

/// A group whose buckets are in no order.
fn canonical(group: &tuplenet_rules::Group) -> String {
    let mut buckets: Vec<String> = group.buckets.iter().map(|bucket| format!("{bucket:?}")).collect();
    buckets.sort();
    format!("group {}: {buckets:?}", group.id)
}

fn come(object: &Object) -> Change {
    let value = Some(object.json.clone().into_bytes().into());
    Change::Object { path: object.path.clone(), value, create_revision: object.created }
}

fn go(object: &Object) -> Change {
    Change::Object { path: object.path.clone(), value: None, create_revision: 0 }
}

/// What a host's own switch tells: its tunnels, its interfaces, its neighbours.
fn own_facts(case: &Case, chassis: &str) -> Vec<Change> {
    let mut facts = Vec::new();
    for (kind, ofport) in [(EncapKind::Geneve, 1), (EncapKind::Vxlan, 2), (EncapKind::Gre, 3)] {
        facts.push(Change::Tunnel { kind, remote: None, ofport: Some(ofport) });
    }
    let here = case.network.ports.iter().filter(|p| !p.outside && !p.gateway && p.chassis.as_deref() == Some(chassis));
    for (port, ofport) in here.zip(16..) {
        let lsp = format!("{}/{}", port.ls, port.lsp);
        let claim = Some(ClaimMark { lsp: lsp.clone(), generation: 1 });
        let interface = LocalInterface { name: format!("port{ofport}"), iface_id: lsp, ofport, claim };
        facts.push(Change::Interface { id: ofport.into(), interface: Some(interface) });
    }
    for known in case.network.neighbours.iter().filter(|known| known.chassis == chassis) {
        let ls = known.ls.parse().expect("the generator's names are names");
        facts.push(Change::Neighbour { ls, ip: known.ip, mac: Some(known.mac) });
    }
    facts
}

fn check(case: &Case, removals: &[Removal]) -> Result<(), String> {
    let objects = &case.network.objects;
    let chassis = objects.iter().filter_map(|object| object.path.strip_prefix("chassis/"));
    for chassis in chassis {
        let name: Name = chassis.parse().expect("the generator's names are names");
        let told = |gone: &BTreeSet<usize>| -> Result<Holds, String> {
            let mut fresh = Host::new(&name);
            let there = (0..objects.len()).filter(|i| !gone.contains(i)).map(|i| come(&objects[i]));
            fresh.apply(there.chain(own_facts(case, chassis)).collect())?;
            fresh.holds()
        };
        let mut host = Host::new(&name);
        host.apply(objects.iter().map(come).chain(own_facts(case, chassis)).collect())?;
        let before = host.holds()?;
        let mut away: Vec<(usize, Vec<usize>, &Removal)> = Vec::new();
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        for (step, removal) in removals.iter().enumerate() {
            let mut these = chosen(objects, removal);
            these.retain(|i| !gone.contains(i));
            gone.extend(&these);
            let going: Vec<Change> = these.iter().map(|i| go(&objects[*i])).collect();
            match removal.apart {
                true => going.into_iter().try_for_each(|change| host.apply(vec![change]))?,
                false => host.apply(going)?,
            }
            if let Some(how) = told(&gone)?.differs(&host.holds()?) {
                return Err(format!("on {chassis}, without {removal:?} ({step}): {how}"));
            }
            away.push((step + removal.later, these, removal));
            let back: Vec<_> = away.iter().filter(|(until, ..)| *until <= step).cloned().collect();
            away.retain(|(until, ..)| *until > step);
            back.iter().try_for_each(|(_, these, removal)| returns(&mut host, objects, these, removal, &mut gone))?;
        }
        let rest = std::mem::take(&mut away);
        rest.iter().try_for_each(|(_, these, removal)| returns(&mut host, objects, these, removal, &mut gone))?;
        if let Some(how) = before.differs(&host.holds()?) {
            return Err(format!("on {chassis}, when all is back: {how}"));
        }
    }
    Ok(())
}

fn returns(
    host: &mut Host,
    objects: &[Object],
    these: &[usize],
    removal: &Removal,
    gone: &mut BTreeSet<usize>,
) -> Result<(), String> {
    gone.retain(|i| !these.contains(i));
    let mut coming: Vec<Change> = these.iter().map(|i| come(&objects[*i])).collect();
    if removal.backwards {
        coming.reverse();
    }
    match removal.apart {
        true => coming.into_iter().try_for_each(|change| host.apply(vec![change])),
        false => host.apply(coming),
    }
}

#[test]
fn what_goes_and_comes_again_leaves_no_trace() {
    let cases = (generate::edge_cases(3, 1), removals());
    generate::try_events(&cases, 10, |case, removals| check(case, removals));
}
