//! Who watches whom by BFD: what a route needs, and both ends of it.

mod common;

use common::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::entity::EncapKind;
use tuplenet_rules::{Change, Config, Engine, Output, Scope, Watch, stage};

/// What a chassis watches, kept up as an agent would.
struct Host {
    name: String,
    engine: Engine,
    watches: BTreeSet<Watch>,
}

impl Host {
    fn new(name: &str, kinds: &[EncapKind]) -> Self {
        let engine = Engine::new(Config { chassis: common::name(name), scope: Scope::Reachable });
        let mut host = Host { name: name.into(), engine, watches: BTreeSet::new() };
        host.apply(kinds.iter().zip(1..).map(|(kind, n)| Change::Tunnel {
            kind: *kind,
            remote: None,
            ofport: Some(n),
        }));
        host
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Output {
        let output = self.engine.apply(changes);
        for (watch, there) in &output.watches {
            let changed = if *there { self.watches.insert(watch.clone()) } else { self.watches.remove(watch) };
            assert!(changed, "told once: {watch:?}");
        }
        output
    }

    fn watched(&self) -> Vec<String> {
        self.watches.iter().map(|w| format!("{} {:?} {}", w.chassis, w.kind, w.ip)).collect()
    }
}

fn encaps(name: &str, list: &[(&str, &str)]) -> Change {
    let list: Vec<String> = list.iter().map(|(kind, ip)| format!(r#"{{"type":"{kind}","ip":"{ip}"}}"#)).collect();
    object(format!("chassis/{name}"), format!(r#"{{"encaps":[{}]}}"#, list.join(",")))
}

/// One end of a link of a router at an address of a switch; the other end.
fn join(lr: &str, ls: &str, net: u8, host: u8, port: u16) -> [Change; 2] {
    let ip = format!("10.{net}.0.{host}");
    let mac = format!("f2:01:0a:{net:02x}:00:{host:02x}");
    [
        object(
            format!("lr/{lr}/lrp/{lr}_to_{ls}"),
            format!(r#"{{"mac":"{mac}","nets":["{ip}/16"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#),
        ),
        object(
            format!("ls/{ls}/lsp/{ls}_to_{lr}"),
            format!(r#"{{"port_id":{port},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#),
        ),
    ]
}

fn route(lr: &str, name: &str, prefix: &str, hop: &str, outport: &str) -> Change {
    object(
        format!("lr/{lr}/lsr/{name}"),
        format!(r#"{{"prefix":"{prefix}","next_hop":"{hop}","outport":"{outport}"}}"#),
    )
}

/// VMs on hv1 behind a distributed router with a default route to a router on e1.
fn edge_road() -> Vec<Change> {
    let mut changes = vec![
        chassis("hv1", "192.0.2.1"),
        chassis("e1", "192.0.2.11"),
        chassis("e2", "192.0.2.12"),
        chassis("hv9", "192.0.2.9"),
        ls("A", 1),
        ls("m1", 2),
        ls("m2", 3),
        lr("R", 4),
        pinned_lr("P1", 5, "e1"),
        pinned_lr("P2", 6, "e2"),
        lsp("A", 1, 1),
        binding("A", "A-1", "hv1", 1),
        route("R", "default1", "0.0.0.0/0", "10.2.0.11", "R_to_m1"),
    ];
    changes.extend(join("R", "A", 1, 254, 254));
    changes.extend(join("R", "m1", 2, 254, 254));
    changes.extend(join("R", "m2", 3, 254, 254));
    changes.extend(join("P1", "m1", 2, 11, 11));
    changes.extend(join("P2", "m2", 3, 12, 12));
    changes
}

fn hosts<const N: usize>(names: [&str; N]) -> [Host; N] {
    names.map(|name| {
        let mut host = Host::new(name, &[EncapKind::Geneve]);
        host.apply(edge_road());
        if name == "hv1" {
            host.apply([marked_interface(1, "A/A-1", 9, Some(("A/A-1", 1)))]);
        }
        host
    })
}

#[test]
fn a_route_to_an_edge_is_watched_from_both_ends_and_nothing_else_is() {
    let [mut hv1, mut e1, mut e2, mut hv9] = hosts(["hv1", "e1", "e2", "hv9"]);
    assert_eq!(hv1.watched(), ["e1 Geneve 192.0.2.11"]);
    assert_eq!(
        e1.watched(),
        ["e2 Geneve 192.0.2.12", "hv1 Geneve 192.0.2.1"],
        "e2 has R as well, and follows its route"
    );
    assert_eq!(e2.watched(), ["e1 Geneve 192.0.2.11"]);
    assert!(hv9.watched().is_empty());
    assert_eq!([&hv1, &e1, &e2, &hv9].map(|host| host.engine.is_drawing()), [false, true, false, false]);

    let second = || [route("R", "default2", "0.0.0.0/0", "10.3.0.12", "R_to_m2")];
    for host in [&mut hv1, &mut e1, &mut e2, &mut hv9] {
        host.apply(second());
    }
    assert_eq!(hv1.watched(), ["e1 Geneve 192.0.2.11", "e2 Geneve 192.0.2.12"]);
    assert_eq!(e2.watched(), ["e1 Geneve 192.0.2.11", "hv1 Geneve 192.0.2.1"]);

    for host in [&mut hv1, &mut e1, &mut e2, &mut hv9] {
        host.apply([delete("lr/R/lsr/default1"), delete("lr/R/lsr/default2")]);
        assert!(host.watched().is_empty() && !host.engine.is_drawing(), "{}: {:?}", host.name, host.watched());
    }
}

#[test]
fn a_host_without_a_port_behind_the_route_is_not_watched() {
    let [_, mut e1] = hosts(["hv1", "e1"]);
    // Another switch, joined to nothing.
    e1.apply([ls("B", 9), lsp("B", 9, 1), binding("B", "B-1", "hv9", 1)]);
    assert!(!e1.watched().iter().any(|w| w.starts_with("hv9")), "{:?}", e1.watched());
    e1.apply([lsp("A", 1, 2), binding("A", "A-2", "hv9", 1)]);
    assert!(e1.watched().contains(&"hv9 Geneve 192.0.2.9".to_owned()), "{:?}", e1.watched());
    e1.apply([delete("binding/A/A-2")]);
    assert!(!e1.watched().iter().any(|w| w.starts_with("hv9")), "{:?}", e1.watched());
}

/// Where a guest with an address of its own is one of several ways, its chassis is watched, and is no edge for that.
#[test]
fn a_guest_is_watched_where_it_is_one_of_several_ways_and_draws_nothing() {
    let mut all = hosts(["hv1", "e1", "e2", "hv9"]);
    let tell =
        |hosts: &mut [Host; 4], changes: &[Change]| hosts.iter_mut().for_each(|h| drop(h.apply(changes.to_vec())));
    let watches = |hosts: &[Host; 4]| hosts.each_ref().map(|host| host.watched().join(", "));
    let guest = route("R", "guest", "10.9.0.0/16", "10.1.0.2", "R_to_A");
    tell(&mut all, &[lsp("A", 1, 2), binding("A", "A-2", "hv9", 1)]);
    all[3].apply([marked_interface(1, "A/A-2", 9, Some(("A/A-2", 1)))]);
    let before = watches(&all);
    // hv9 has R now, and so follows its route to e1.
    assert_eq!(before[3], "e1 Geneve 192.0.2.11");

    tell(&mut all, std::slice::from_ref(&guest));
    assert_eq!(watches(&all), before, "the only way to its prefix");
    tell(&mut all, &[route("R", "same", "10.9.0.0/16", "10.1.0.2", "R_to_A")]);
    assert_eq!(watches(&all), before, "the same way again");
    tell(&mut all, &[route("R", "other", "10.9.0.0/16", "10.1.0.3", "R_to_A")]);
    let hv9 = "hv9 Geneve 192.0.2.9";
    let mesh = [
        format!("e1 Geneve 192.0.2.11, {hv9}"),
        format!("e2 Geneve 192.0.2.12, hv1 Geneve 192.0.2.1, {hv9}"),
        format!("e1 Geneve 192.0.2.11, {hv9}"),
        "e1 Geneve 192.0.2.11, e2 Geneve 192.0.2.12, hv1 Geneve 192.0.2.1".to_owned(),
    ];
    assert_eq!(watches(&all), mesh);
    assert_eq!(all.each_ref().map(|host| host.engine.is_drawing()), [false, true, false, false]);
    assert_eq!(all.each_ref().map(|host| host.engine.is_way()), [false, false, false, true]);

    // Its Interface without a port in the switch is another matter than the tunnel to its host.
    all[3].apply([marked_interface(1, "A/A-2", 0, Some(("A/A-2", 1)))]);
    assert_eq!(watches(&all), mesh);
    // The guest moves.
    all[3].apply([Change::Interface { id: 1, interface: None }]);
    tell(&mut all, &[binding("A", "A-2", "e2", 2)]);
    let e2 = &mut all[2];
    e2.apply([marked_interface(1, "A/A-2", 9, Some(("A/A-2", 2)))]);
    assert_eq!(
        watches(&all),
        [
            "e1 Geneve 192.0.2.11, e2 Geneve 192.0.2.12",
            "e2 Geneve 192.0.2.12, hv1 Geneve 192.0.2.1",
            "e1 Geneve 192.0.2.11, hv1 Geneve 192.0.2.1",
            ""
        ]
    );
    assert!(!all[2].engine.is_drawing());
    tell(&mut all, &[delete("lr/R/lsr/other")]);
    assert!(!all[0].watched().contains(&"e2 Geneve 192.0.2.12".to_owned()), "{:?}", all[0].watched());
}

/// The edge's order counts at both ends.
#[test]
fn both_ends_take_the_same_protocol_and_family() {
    let (geneve, vxlan) = (EncapKind::Geneve, EncapKind::Vxlan);
    let edge = [("vxlan", "2001:db8::11"), ("geneve", "192.0.2.11")];
    let host = [("geneve", "192.0.2.1"), ("vxlan", "192.0.2.1"), ("vxlan", "2001:db8::1")];
    let mut ends = [Host::new("hv1", &[geneve, vxlan]), Host::new("e1", &[vxlan, geneve])];
    for end in &mut ends {
        end.apply(edge_road());
        end.apply([encaps("e1", &edge), encaps("hv1", &host)]);
    }
    let [mut hv1, e1] = ends;
    hv1.apply([marked_interface(1, "A/A-1", 9, Some(("A/A-1", 1)))]);
    assert_eq!(hv1.watched(), ["e1 Vxlan 2001:db8::11"]);
    assert!(e1.watched().contains(&"hv1 Vxlan 2001:db8::1".to_owned()), "{:?}", e1.watched());
}

#[test]
fn a_port_that_watches_takes_in_what_comes_and_changes_no_other_flow() {
    let [mut hv1] = hosts(["hv1"]);
    let before: BTreeSet<String> = hv1.engine.flows().map(|flow| text(&flow)).collect();
    let ip = "192.0.2.11".parse().ok();
    let output = hv1.apply([Change::Tunnel { kind: EncapKind::Geneve, remote: ip, ofport: Some(77) }]);
    assert_eq!(output.flows.len(), 1, "{:?}", output.flows);
    let after: BTreeSet<String> = hv1.engine.flows().map(|flow| text(&flow)).collect();
    let new: Vec<&String> = after.difference(&before).collect();
    let by_flow =
        before.iter().find(|flow| flow.contains("in_port=1,") || flow.contains("in_port=1 ")).expect("a flow");
    assert!(new.len() == 1 && *new[0] == by_flow.replacen("in_port=1", "in_port=77", 1), "{new:?}, {by_flow}");
    assert_eq!(
        hv1.engine.flows().filter(|f| text(f).contains("in_port=77")).map(|f| f.table).collect::<Vec<_>>(),
        [stage::PHYSICAL_IN.table]
    );
    hv1.apply([Change::Tunnel { kind: EncapKind::Geneve, remote: ip, ofport: None }]);
    assert_eq!(hv1.engine.flows().map(|flow| text(&flow)).collect::<BTreeSet<_>>(), before);
}

/// A port elsewhere costs a host without an edge nothing here, and an edge two rows once for its chassis.
#[test]
fn a_port_costs_nothing_where_nobody_is_watched_for_it() {
    let work = |routes: bool| {
        let [mut hv1] = hosts(["hv1"]);
        if !routes {
            hv1.apply([delete("lr/R/lsr/default1")]);
        }
        hv1.apply([lsp("A", 1, 2), binding("A", "A-2", "hv9", 1)]);
        let before = hv1.engine.counters().rows_touched;
        hv1.apply([lsp("A", 1, 3), binding("A", "A-3", "hv9", 1)]);
        hv1.engine.counters().rows_touched - before
    };
    assert_eq!(work(true), work(false));
}

const NAMES: [&str; 4] = ["c0", "c1", "c2", "c3"];

#[derive(Clone, Debug)]
struct Random {
    /// For each chassis: whether geneve comes first, and whether it has vxlan.
    encaps: Vec<(bool, bool)>,
    /// Where VMs are: (switch, chassis).
    vms: BTreeSet<(usize, usize)>,
    /// Links of routers to switches.
    links: BTreeSet<(usize, usize)>,
    /// Where routers are pinned; 4 and more: nowhere.
    pins: Vec<usize>,
    /// (router, switch, who is the next hop: a router, or, [`ROUTERS`] and more, the VM of a chassis in that switch).
    routes: BTreeSet<(usize, usize, usize)>,
}

const SWITCHES: usize = 4;
const ROUTERS: usize = 5;

fn random() -> impl Strategy<Value = Random> {
    (
        proptest::collection::vec(any::<(bool, bool)>(), 4),
        proptest::collection::btree_set((0..SWITCHES, 0..4_usize), 0..6),
        proptest::collection::btree_set((0..ROUTERS, 0..SWITCHES), 2..10),
        proptest::collection::vec(0..7_usize, ROUTERS),
        proptest::collection::btree_set((0..ROUTERS, 0..SWITCHES, 0..ROUTERS + 4), 0..8),
    )
        .prop_map(|(encaps, vms, links, pins, routes)| Random { encaps, vms, links, pins, routes })
}

impl Random {
    fn kinds(&self, at: usize) -> Vec<(EncapKind, &'static str)> {
        let all = [(EncapKind::Geneve, "geneve"), (EncapKind::Vxlan, "vxlan")];
        let (first, both) = self.encaps[at];
        match (first, both) {
            (true, true) => all.to_vec(),
            (false, true) => vec![all[1], all[0]],
            (true, false) => vec![all[0]],
            (false, false) => vec![all[1]],
        }
    }

    fn objects(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (i, name) in NAMES.iter().enumerate() {
            let ip = format!("192.0.2.{i}");
            let list: Vec<_> = self.kinds(i).iter().map(|(_, kind)| (*kind, ip.as_str())).collect();
            changes.push(encaps(name, &list));
        }
        for s in 0..SWITCHES {
            changes.push(ls(&format!("s{s}"), 1 + s as u32));
        }
        for (r, pin) in self.pins.iter().enumerate() {
            let (name, id) = (format!("r{r}"), 10 + r as u32);
            changes.push(NAMES.get(*pin).map_or_else(|| lr(&name, id), |chassis| pinned_lr(&name, id, chassis)));
        }
        for (r, s) in &self.links {
            changes.extend(join(&format!("r{r}"), &format!("s{s}"), *s as u8, 100 + *r as u8, 100 + *r as u16));
        }
        for (r, s, to) in &self.routes {
            let (lr, name) = (format!("r{r}"), format!("via{s}to{to}"));
            let host = to.checked_sub(ROUTERS).map_or(100 + to, |chassis| 1 + chassis);
            changes.push(route(&lr, &name, "0.0.0.0/0", &format!("10.{s}.0.{host}"), &format!("r{r}_to_s{s}")));
        }
        for (s, c) in &self.vms {
            changes.extend([lsp(&format!("s{s}"), *s as u8, 1 + *c as u16)]);
            changes.push(binding(&format!("s{s}"), &format!("s{s}-{}", 1 + c), NAMES[*c], 1));
        }
        changes
    }

    fn host(&self, at: usize) -> Host {
        let kinds: Vec<EncapKind> = self.kinds(at).into_iter().map(|(kind, _)| kind).collect();
        let mut host = Host::new(NAMES[at], &kinds);
        host.apply(self.objects());
        host.apply(self.vms.iter().filter(|(_, c)| *c == at).map(|(s, c)| {
            let port = format!("s{s}/s{s}-{}", 1 + c);
            marked_interface(*s as u128, &port, 50 + *s as u32, Some((&port, 1)))
        }));
        host
    }

    /// Which routers a chassis has, by walking from what it hosts.
    fn has(&self, at: usize) -> BTreeSet<usize> {
        let mut routers: BTreeSet<usize> = (0..ROUTERS).filter(|r| self.pins[*r] == at).collect();
        let mut switches: BTreeSet<usize> = self.vms.iter().filter(|(_, c)| *c == at).map(|(s, _)| *s).collect();
        for _ in 0..SWITCHES + ROUTERS {
            for (r, s) in &self.links {
                if switches.contains(s) && (self.pins[*r] == at || self.pins[*r] >= NAMES.len()) {
                    routers.insert(*r);
                }
                if routers.contains(r) {
                    switches.insert(*s);
                }
            }
        }
        routers
    }

    /// Whom a chassis follows routes to, and whether to a router there.
    fn follows(&self, at: usize) -> BTreeSet<(usize, bool)> {
        let has = self.has(at);
        let mut to = BTreeSet::new();
        for (r, s, hop) in self.routes.iter().filter(|(r, s, _)| has.contains(r) && self.links.contains(&(*r, *s))) {
            match hop.checked_sub(ROUTERS) {
                None if self.links.contains(&(*hop, *s)) => drop(to.insert((self.pins[*hop], true))),
                Some(chassis) if self.vms.contains(&(*s, chassis)) && self.has_several(*r) => {
                    to.insert((chassis, false));
                }
                _ => {}
            }
        }
        to.retain(|(to, _)| *to < NAMES.len() && *to != at);
        to
    }

    fn has_several(&self, router: usize) -> bool {
        self.routes.iter().filter(|(r, ..)| *r == router).count() > 1
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Of any network: each end of a session derives it, by itself, and by one protocol.
    #[test]
    fn sessions_have_two_ends(network in random()) {
        let hosts: Vec<Host> = (0..4).map(|at| network.host(at)).collect();
        let mut sessions: BTreeMap<(usize, usize), Vec<EncapKind>> = BTreeMap::new();
        for (from, host) in hosts.iter().enumerate() {
            prop_assert_eq!(host.engine.rejected().filter(|r| !r.key.contains("/lsr/")).count(), 0);
            for watch in &host.watches {
                let to = NAMES.iter().position(|n| *n == &*watch.chassis).expect("a chassis");
                sessions.entry((from, to)).or_default().push(watch.kind);
            }
        }
        for (a, from) in NAMES.iter().enumerate() {
            let draws = (0..NAMES.len()).any(|b| network.follows(b).contains(&(a, true)));
            prop_assert_eq!(hosts[a].engine.is_drawing(), draws, "{} draws", from);
            let way = (0..NAMES.len()).any(|b| network.follows(b).contains(&(a, false)));
            prop_assert_eq!(hosts[a].engine.is_way(), way, "{} is a way", from);
            let edges: BTreeSet<&str> = network.follows(a).iter().filter(|(_, edge)| *edge).map(|(to, _)| NAMES[*to]).collect();
            prop_assert_eq!(hosts[a].engine.edges().iter().map(|edge| &**edge).collect::<BTreeSet<_>>(), edges, "edges of {}", from);
            for (b, to) in NAMES.iter().enumerate() {
                let shared = network.kinds(b).into_iter().map(|(k, _)| k).find(|k| network.kinds(a).iter().any(|(o, _)| o == k));
                let expect = |a: usize, b: usize| network.follows(a).iter().any(|(to, _)| *to == b);
                let there = sessions.get(&(a, b)).cloned().unwrap_or_default();
                let back = sessions.get(&(b, a)).cloned().unwrap_or_default();
                prop_assert_eq!(&there, &back, "{} and {}", from, to);
                prop_assert_eq!(!there.is_empty(), shared.is_some() && (expect(a, b) || expect(b, a)), "{} -> {}", from, to);
                if let Some(kind) = shared.filter(|_| expect(a, b)) {
                    prop_assert!(there.contains(&kind), "as {} sends to {}", from, to);
                }
            }
        }
    }
}
