//! The OVSDB side: updates in, plans, marks and facts out.

#![allow(clippy::unwrap_used)]

mod bfd;
mod export;
mod own_stack;

use super::{tables::CLAIM, *};
use std::collections::BTreeMap;
use tuplenet_model::entity::EncapKind;
use tuplenet_ovsdb::{Atom, Datum, Row, RowUpdate};
use tuplenet_rules::ClaimMark;

fn text(value: &str) -> Datum {
    Datum::scalar(Atom::from(value))
}

fn map(pairs: &[(&str, &str)]) -> Datum {
    Datum::Map(pairs.iter().map(|(k, v)| (Atom::from(*k), Atom::from(*v))).collect())
}

fn uuids(all: &[u128]) -> Datum {
    Datum::Set(all.iter().map(|u| Atom::Uuid(Uuid(*u))).collect())
}

fn row(table: &str, uuid: u128, columns: &[(&str, Datum)]) -> RowUpdate {
    let columns: BTreeMap<_, _> = columns.iter().map(|(c, d)| ((*c).into(), d.clone())).collect();
    RowUpdate { table: table.into(), uuid: Uuid(uuid), change: tuplenet_ovsdb::Change::Insert(Row(columns)) }
}

struct Bench {
    ovs: Ovs,
    now: Instant,
    effects: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        let wanted = Wanted {
            bridge: "br-int".into(),
            datapath_type: DatapathType::Auto,
            kernel_datapath: true,
            encaps: vec![EncapKind::Geneve],
            exports: Vec::new(),
            bfd_interval: 100,
            untunnel: None,
        };
        Self { ovs: Ovs::new(wanted), now: Instant::now(), effects: Vec::new() }
    }
    fn up(&mut self) {
        self.ovs.handle(Event::Up, self.now, &mut self.effects);
    }
    fn update(&mut self, initial: bool, rows: Vec<RowUpdate>) -> Vec<Change> {
        self.ovs.handle(Event::Update(Update { initial, rows }), self.now, &mut self.effects)
    }
    fn transactions(&mut self) -> Vec<(Purpose, String)> {
        let effects = std::mem::take(&mut self.effects);
        let transactions = effects.into_iter().filter_map(|e| match e {
            Effect::Ovs(purpose, operations) => Some((purpose, serde_json::to_string(&operations).unwrap())),
            _ => None,
        });
        transactions.collect()
    }
    fn said(&self) -> Vec<&str> {
        self.effects
            .iter()
            .filter_map(|e| if let Effect::Say(_, text) = e { Some(text.as_str()) } else { None })
            .collect()
    }
}

fn root(bridges: &[u128]) -> RowUpdate {
    let types = Datum::Set(["netdev", "system"].map(Atom::from).into());
    row(
        "Open_vSwitch",
        1,
        &[("bridges", uuids(bridges)), ("external_ids", map(&[("system-id", "hv1")])), ("datapath_types", types)],
    )
}

fn bridge(ports: &[u128]) -> RowUpdate {
    let protocols = Datum::Set(["OpenFlow10", "OpenFlow13", "OpenFlow15"].map(Atom::from).into());
    row(
        "Bridge",
        2,
        &[
            ("name", text("br-int")),
            ("ports", uuids(ports)),
            ("fail_mode", text("secure")),
            ("protocols", protocols),
            ("other_config", map(&[("controller-queue-size", "512")])),
        ],
    )
}

fn port(uuid: u128, name: &str, interface: u128) -> RowUpdate {
    row("Port", uuid, &[("name", text(name)), ("interfaces", uuids(&[interface])), ("external_ids", map(&[]))])
}

fn tunnel() -> Vec<RowUpdate> {
    let columns = [
        ("name", text("tn-geneve")),
        ("type", text("geneve")),
        ("options", map(&[("remote_ip", "flow"), ("key", "flow")])),
        ("external_ids", map(&[])),
        ("ofport", Datum::scalar(Atom::from(10))),
    ];
    vec![port(20, "tn-geneve", 21), row("Interface", 21, &columns)]
}

fn interface(uuid: u128, name: &str, ids: &[(&str, &str)], ofport: Option<i64>) -> RowUpdate {
    let ofport = ofport.map_or(Datum::EMPTY_SET, |n| Datum::scalar(Atom::from(n)));
    row("Interface", uuid, &[("name", text(name)), ("type", text("")), ("external_ids", map(ids)), ("ofport", ofport)])
}

/// Bridge and tunnel port as they should be, and `eth1` for vm1.
fn complete(ids: &[(&str, &str)]) -> Vec<RowUpdate> {
    let mut rows = vec![root(&[2]), bridge(&[20, 30]), port(30, "eth1", 31), interface(31, "eth1", ids, Some(5))];
    rows.extend(tunnel());
    rows
}

#[test]
fn a_missing_bridge_is_made_once() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, vec![root(&[])]);
    let sent = bench.transactions();
    assert_eq!(sent.len(), 1);
    for part in ["br-int", "secure", "OpenFlow15", "tn-geneve", "\"remote_ip\",\"flow\"", "\"system\""] {
        assert!(sent[0].1.contains(part), "{part} is not in {}", sent[0].1);
    }
    bench.update(false, vec![root(&[])]);
    assert!(bench.transactions().is_empty(), "one at a time");
    let changes = bench.update(false, complete(&[("iface-id", "vm1")]));
    bench.ovs.done(&Purpose::Repair, Ok(()), bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    assert!(
        changes.iter().any(|c| matches!(c, Change::Tunnel { kind: EncapKind::Geneve, ofport: Some(10), .. })),
        "{changes:?}"
    );
    assert!(
        changes.iter().any(
            |c| matches!(c, Change::Interface { id: 31, interface: Some(i) } if i.ofport == 5 && i.claim.is_none())
        )
    );
}

#[test]
fn a_refused_repair_is_tried_again_later() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, vec![root(&[])]);
    bench.transactions();
    bench.ovs.done(&Purpose::Repair, Err("no".into()), bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    bench.now += RETRY_PAUSE;
    bench.ovs.tick(bench.now, &mut bench.effects);
    assert_eq!(bench.transactions().len(), 1);
}

#[test]
fn a_tunnel_port_that_was_altered_is_put_right() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, complete(&[]));
    assert!(bench.transactions().is_empty());
    let columns: BTreeMap<_, _> = [("options".into(), map(&[("remote_ip", "192.0.2.9")]))].into();
    let change = tuplenet_ovsdb::Change::Modify(Row(columns));
    let changes = bench.update(false, vec![RowUpdate { table: "Interface".into(), uuid: Uuid(21), change }]);
    assert!(matches!(changes[..], [Change::Tunnel { ofport: None, .. }]), "{changes:?}");
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("\"key\",\"flow\""), "{sent:?}");
}

#[test]
fn a_tunnel_port_of_another_bridge_is_said_once_and_left_alone() {
    let mut bench = Bench::new();
    bench.up();
    let other = |ports: &[u128]| row("Bridge", 3, &[("name", text("br-other")), ("ports", uuids(ports))]);
    let mut rows = vec![root(&[2, 3]), bridge(&[]), other(&[20])];
    rows.extend(tunnel());
    // Not as ours would be.
    rows.push(row("Interface", 21, &[("name", text("tn-geneve")), ("type", text("vxlan"))]));
    bench.update(true, rows);
    let errors =
        bench.said().into_iter().filter(|s| s.contains("br-int gets no tunnel port tn-geneve: the bridge br-other"));
    assert_eq!(errors.count(), 1, "{:?}", bench.said());
    let said = bench.said().len();
    bench.update(false, vec![other(&[20])]);
    assert_eq!(bench.said().len(), said, "said once");
    assert!(bench.transactions().is_empty());
    let gone =
        |table: &str, uuid| RowUpdate { table: table.into(), uuid: Uuid(uuid), change: tuplenet_ovsdb::Change::Delete };
    bench.update(false, vec![other(&[]), gone("Port", 20), gone("Interface", 21)]);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("tn-geneve"), "{sent:?}");
}

#[test]
fn only_interfaces_of_our_bridge_with_a_port_count() {
    let mut bench = Bench::new();
    bench.up();
    let mut rows = vec![root(&[2]), bridge(&[20, 30, 40])];
    rows.extend(tunnel());
    rows.extend([port(30, "eth1", 31), port(40, "eth2", 41), port(50, "eth3", 51)]);
    let id = [("iface-id", "vm1")];
    rows.extend([
        interface(31, "eth1", &id, None),
        interface(41, "eth2", &id, Some(-1)),
        interface(51, "eth3", &id, Some(7)),
    ]);
    let changes = bench.update(true, rows);
    assert!(matches!(changes[..], [Change::Tunnel { .. }]), "{changes:?}");
    assert!(bench.said().iter().any(|s| s.contains("eth2 (iface-id vm1) has no port")), "{:?}", bench.said());
    let said = bench.said().len();
    bench.update(false, vec![interface(41, "eth2", &id, Some(-1))]);
    assert_eq!(bench.said().len(), said, "said once");
    let changes = bench.update(false, vec![interface(31, "eth1", &id, Some(6)), bridge(&[20, 30, 40, 50])]);
    assert_eq!(changes.len(), 2, "{changes:?}");
    // vswitchd restarts: the number is gone for a while, the claim is not.
    let changes = bench.update(false, vec![interface(31, "eth1", &id, None)]);
    assert!(matches!(&changes[..], [Change::Interface { interface: Some(i), .. }] if i.ofport == 0), "{changes:?}");
    // A new database without the interface.
    let changes = bench.update(true, vec![root(&[2]), bridge(&[])]);
    assert_eq!(
        changes.iter().filter(|c| matches!(c, Change::Interface { interface: None, .. })).count(),
        2,
        "{changes:?}"
    );
}

#[test]
fn marks_are_written_and_stale_ones_erased() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, complete(&[("iface-id", "vm1")]));
    bench.ovs.mark(31, "LS/vm1", 4, bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("LS/vm1:4"), "{sent:?}");
    let changes =
        bench.update(false, vec![interface(31, "eth1", &[("iface-id", "vm1"), (CLAIM, "LS/vm1:4")], Some(5))]);
    let mark = ClaimMark { lsp: "LS/vm1".into(), generation: 4 };
    assert!(
        matches!(&changes[..], [Change::Interface { interface: Some(i), .. }] if i.claim.as_ref() == Some(&mark)),
        "{changes:?}"
    );
    bench.ovs.done(&Purpose::Mark, Ok(()), bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    bench.update(false, vec![interface(31, "eth1", &[("iface-id", "vm2"), (CLAIM, "LS/vm1:4")], Some(5))]);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("delete") && !sent[0].1.contains("insert"), "{sent:?}");
}

/// The iface-id goes while the mark is on its way: the mark arrives all the same, and must not outlive the claim.
#[test]
fn a_mark_that_comes_too_late_is_erased() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, complete(&[("iface-id", "vm1")]));
    bench.ovs.mark(31, "LS/vm1", 4, bench.now, &mut bench.effects);
    assert_eq!(bench.transactions().len(), 1);
    bench.update(false, vec![interface(31, "eth1", &[], Some(5))]);
    bench.update(false, vec![interface(31, "eth1", &[(CLAIM, "LS/vm1:4")], Some(5))]);
    bench.ovs.done(&Purpose::Mark, Ok(()), bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.contains("delete") && !sent[0].1.contains("insert"), "{sent:?}");
}

#[test]
fn a_mark_that_waits_is_dropped_when_its_iface_id_goes() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, complete(&[("iface-id", "vm1")]));
    bench.ovs.handle(Event::Down("gone".into()), bench.now, &mut bench.effects);
    bench.ovs.mark(31, "LS/vm1", 4, bench.now, &mut bench.effects);
    bench.up();
    bench.update(false, vec![interface(31, "eth1", &[("iface-id", "vm2")], Some(5))]);
    assert!(bench.transactions().is_empty());
}

#[test]
fn what_the_database_refuses_again_and_again_is_said_once() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, vec![root(&[])]);
    for _ in 0..5 {
        bench.ovs.done(&Purpose::Repair, Err("no permission".into()), bench.now, &mut bench.effects);
        bench.now += RETRY_PAUSE;
        bench.ovs.tick(bench.now, &mut bench.effects);
    }
    for part in ["making the bridge", "no permission"] {
        assert_eq!(bench.said().iter().filter(|s| s.contains(part)).count(), 1, "{:?}", bench.said());
    }
}

#[test]
fn marks_read_as_they_are_written() {
    assert_eq!(mark::parse("LS-A/vm1:12"), Some(ClaimMark { lsp: "LS-A/vm1".into(), generation: 12 }));
    for bad in ["", "LS-A/vm1", "vm1:3", "LS-A/vm1:-1", "LS-A/vm1:x"] {
        assert_eq!(mark::parse(bad), None, "{bad}");
    }
}

fn wanted_pair(bridge: &str) -> PatchPair {
    let name = |s: &str| s.parse().unwrap();
    PatchPair {
        name: "tp-1-7".into(),
        peer: "tpx-1-7".into(),
        bridge: bridge.into(),
        ls: name("LS"),
        lsp: name("out"),
        vlan: Some(100),
    }
}

fn physical(name: &str, uuid: u128, ports: &[u128], datapath: &str) -> RowUpdate {
    row("Bridge", uuid, &[("name", text(name)), ("ports", uuids(ports)), ("datapath_type", text(datapath))])
}

/// An end of a pair, as we make it.
fn patch_end(port_uuid: u128, name: &str, peer: &str, ofport: i64) -> Vec<RowUpdate> {
    let ids = || map(&[(MANAGED, "true")]);
    let interface = port_uuid + 1;
    let columns = [
        ("name", text(name)),
        ("type", text("patch")),
        ("options", map(&[("peer", peer)])),
        ("external_ids", ids()),
        ("ofport", Datum::scalar(Atom::from(ofport))),
    ];
    vec![
        row("Port", port_uuid, &[("name", text(name)), ("interfaces", uuids(&[interface])), ("external_ids", ids())]),
        row("Interface", interface, &columns),
    ]
}

/// Our bridge with the tunnel port and these ports, and `br-ex` with these.
fn joined(ours: &[u128], theirs: &[u128]) -> Vec<RowUpdate> {
    let mut rows = vec![
        root(&[2, 3]),
        bridge(&[&[20, 30], ours].concat()),
        port(30, "eth1", 31),
        interface(31, "eth1", &[], Some(5)),
        physical("br-ex", 3, theirs, ""),
    ];
    rows.extend(tunnel());
    rows
}

#[test]
fn a_patch_port_waits_for_its_bridge_and_both_ends_are_made() {
    let mut bench = Bench::new();
    bench.up();
    bench.update(true, complete(&[]));
    bench.ovs.pairs(vec![(wanted_pair("br-ex"), true)], bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty(), "there is no bridge yet");
    bench.ovs.pairs(vec![(wanted_pair("br-ex"), true)], bench.now, &mut bench.effects);
    bench.update(false, joined(&[], &[]));
    let sent = bench.transactions();
    assert_eq!(sent.len(), 1, "{sent:?}");
    for part in ["tp-1-7", "tpx-1-7", "\"peer\",\"tpx-1-7\"", "\"peer\",\"tp-1-7\"", MANAGED, "LS/out"] {
        assert!(sent[0].1.contains(part), "{part} is not in {}", sent[0].1);
    }
    // One end alone is no pair.
    let mut rows = joined(&[40], &[]);
    rows.extend(patch_end(40, "tp-1-7", "tpx-1-7", 9));
    let changes = bench.update(false, rows);
    assert!(!changes.iter().any(|c| matches!(c, Change::Patch { .. })), "{changes:?}");
    let mut rows = joined(&[40], &[50]);
    rows.extend(patch_end(50, "tpx-1-7", "tp-1-7", 2));
    let changes = bench.update(false, rows);
    let [Change::Patch { name, patch: Some(patch) }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((name.as_str(), patch.bridge.as_str(), patch.ofport), ("tp-1-7", "br-ex", 9));
    bench.ovs.done(&Purpose::Repair, Ok(()), bench.now, &mut bench.effects);
    bench.now += SETTLE;
    bench.ovs.tick(bench.now, &mut bench.effects);
    assert!(bench.said().iter().any(|s| s.contains("LS/out: joined to br-ex (VLAN 100)")), "{:?}", bench.said());
    assert!(bench.transactions().is_empty(), "all is well");
    // The bridge goes, and with it the other end.
    let changes = bench.update(
        false,
        vec![
            root(&[2]),
            RowUpdate { table: "Bridge".into(), uuid: Uuid(3), change: tuplenet_ovsdb::Change::Delete },
            RowUpdate { table: "Port".into(), uuid: Uuid(50), change: tuplenet_ovsdb::Change::Delete },
            RowUpdate { table: "Interface".into(), uuid: Uuid(51), change: tuplenet_ovsdb::Change::Delete },
        ],
    );
    assert!(matches!(&changes[..], [Change::Patch { patch: None, .. }]), "{changes:?}");
    let missed = bench.said().into_iter().filter(|s| s.contains("no bridge br-ex")).count();
    assert_eq!(missed, 1, "{:?}", bench.said());
    bench.update(false, joined(&[40], &[]));
    let sent = bench.transactions();
    assert!(sent.len() == 1 && !sent[0].1.contains("\"name\":\"tp-1-7\""), "the end that is left stays: {sent:?}");
}

/// The cards' MTU counts, not that of the bridge's own device, of a patch port, or of a guest.
#[test]
fn the_rules_hear_how_long_packets_may_be_that_leave_by_another_bridge() {
    let device = |uuid: u128, name: &str, kind: &str, mtu: Option<i64>| {
        let mtu = mtu.map_or(Datum::EMPTY_SET, |n| Datum::scalar(Atom::from(n)));
        let ids = if name == "tap1" { map(&[("attached-mac", "02:00:00:00:00:01")]) } else { map(&[]) };
        let status = map(&[("driver_name", if name == "vnet7" { "tun" } else { "e1000e" })]);
        let columns =
            [("name", text(name)), ("type", text(kind)), ("mtu", mtu), ("external_ids", ids), ("status", status)];
        let interface = row("Interface", uuid + 1, &columns);
        vec![port(uuid, name, uuid + 1), interface]
    };
    let heard = |changes: &[Change]| -> Vec<(String, Option<u32>)> {
        let bridge = |change: &Change| match change {
            Change::Bridge { name, mtu } => Some((name.clone(), *mtu)),
            _ => None,
        };
        changes.iter().filter_map(bridge).collect()
    };
    let mut bench = Bench::new();
    bench.up();
    let mut rows = joined(&[], &[60, 62, 64, 66, 68, 70]);
    for (uuid, name, kind, mtu) in [
        (60, "br-ex", "internal", Some(1200)),
        (62, "eth0", "", Some(9000)),
        (64, "eth2", "", Some(1500)),
        (66, "tpx-1-7", "patch", None),
        (68, "tap1", "", Some(1300)),
        (70, "vnet7", "", Some(1280)),
    ] {
        rows.extend(device(uuid, name, kind, mtu));
    }
    assert_eq!(heard(&bench.update(true, rows)), [("br-ex".to_owned(), Some(1500))]);
    let mtu = |n: i64| vec![row("Interface", 65, &[("name", text("eth2")), ("mtu", Datum::scalar(Atom::from(n)))])];
    let modified = |mut rows: Vec<RowUpdate>| {
        for row in &mut rows {
            if let tuplenet_ovsdb::Change::Insert(columns) = &row.change {
                row.change = tuplenet_ovsdb::Change::Modify(columns.clone());
            }
        }
        rows
    };
    assert_eq!(heard(&bench.update(false, modified(mtu(1400)))), [("br-ex".to_owned(), Some(1400))]);
    assert_eq!(heard(&bench.update(false, modified(mtu(1400)))), []);
    assert_eq!(heard(&bench.update(false, vec![physical("br-ex", 3, &[60], "")])), [("br-ex".to_owned(), None)]);
}

#[test]
fn pairs_that_nobody_wants_go_once_the_network_is_known() {
    let mut bench = Bench::new();
    bench.up();
    let mut rows = joined(&[40], &[50]);
    rows.extend(patch_end(40, "tp-1-7", "tpx-1-7", 9));
    rows.extend(patch_end(50, "tpx-1-7", "tp-1-7", 2));
    let changes = bench.update(true, rows);
    assert!(changes.iter().any(|c| matches!(c, Change::Patch { patch: Some(_), .. })), "{changes:?}");
    assert!(bench.transactions().is_empty(), "who starts takes nothing away");
    bench.ovs.pairs(Vec::new(), bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.matches("\"delete\"").count() == 2, "{sent:?}");
}

#[test]
fn a_pair_that_is_no_longer_wanted_goes_when_its_flows_are_gone() {
    let mut bench = Bench::new();
    bench.up();
    let mut rows = joined(&[40], &[50]);
    rows.extend(patch_end(40, "tp-1-7", "tpx-1-7", 9));
    rows.extend(patch_end(50, "tpx-1-7", "tp-1-7", 2));
    bench.update(true, rows);
    bench.ovs.pairs(vec![(wanted_pair("br-ex"), true)], bench.now, &mut bench.effects);
    bench.ovs.steady(true, bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty());
    bench.ovs.pairs(vec![(wanted_pair("br-ex"), false)], bench.now, &mut bench.effects);
    bench.ovs.steady(false, bench.now, &mut bench.effects);
    assert!(bench.transactions().is_empty() && !bench.ovs.is_right(), "flows still lead there");
    bench.ovs.steady(true, bench.now, &mut bench.effects);
    let sent = bench.transactions();
    assert!(sent.len() == 1 && sent[0].1.matches("\"delete\"").count() == 2, "{sent:?}");
}

#[test]
fn what_keeps_a_patch_port_from_being_is_said() {
    let said = |bridge: &str, datapath: &str, foreign: bool| {
        let mut bench = Bench::new();
        bench.up();
        let mut rows = joined(&[], if foreign { &[60] } else { &[] });
        rows.push(physical("br-ex", 3, if foreign { &[60] } else { &[] }, datapath));
        if foreign {
            rows.extend([port(60, "tpx-1-7", 61), interface(61, "tpx-1-7", &[], Some(4))]);
        }
        bench.update(true, rows);
        bench.ovs.pairs(vec![(wanted_pair(bridge), true)], bench.now, &mut bench.effects);
        let said: Vec<String> = bench.said().into_iter().map(str::to_owned).collect();
        assert!(bench.transactions().is_empty());
        said.join("\n")
    };
    for (found, expected) in [
        (said("br-int", "", false), "br-int is the integration bridge itself"),
        (said("br-ex", "netdev", false), "br-ex is of datapath type netdev and br-int of system"),
        (said("br-ex", "", true), "an interface tpx-1-7 is on br-ex and not ours"),
        (said("br-none", "", false), "this host has no bridge br-none"),
    ] {
        assert!(found.contains(expected), "{expected} is not in {found}");
    }
}
