//! The core as a whole, with the real rules: what reaches the switch and the store, and when.

#![allow(clippy::unwrap_used)]

use super::ovs::DatapathType;
use super::{records::Write, *};
use bytes::Bytes;
use std::collections::BTreeMap;
use switch::{Command, Mod, Outcome, TLV};
use tuplenet_model::entity::EncapKind;
use tuplenet_ovsdb::{Atom, Datum, Row, RowUpdate, Update, Uuid};

struct Bench {
    core: Core,
    now: Instant,
    revision: i64,
    /// The toy switch's flows: text of the match -> text of the flow.
    flows: BTreeMap<String, String>,
    writes: Vec<Write>,
    said: Vec<String>,
    marks: Vec<String>,
    traces: Vec<trace::Command>,
    packets: Vec<Bytes>,
    mods: usize,
    latencies: usize,
}

impl Bench {
    fn new() -> Self {
        let ip = "192.0.2.1".parse().unwrap();
        let identity = Identity {
            chassis: "hv1".parse().unwrap(),
            encaps: vec![Encap { kind: EncapKind::Geneve, ip }],
            bridge: ovs::Wanted {
                bridge: "br-int".into(),
                datapath_type: DatapathType::Auto,
                kernel_datapath: true,
                encaps: vec![EncapKind::Geneve],
                exports: Vec::new(),
                bfd_interval: 100,
                untunnel: None,
            },
            probe: probe::Wanted { targets: Default::default(), interval: Duration::from_secs(1) },
            audit_interval: None,
            clock: (Instant::now(), 1_000_000),
        };
        Self {
            core: Core::new(identity),
            now: Instant::now(),
            revision: 1,
            flows: BTreeMap::new(),
            writes: Vec::new(),
            said: Vec::new(),
            marks: Vec::new(),
            traces: Vec::new(),
            packets: Vec::new(),
            mods: 0,
            latencies: 0,
        }
    }

    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.core.handle(event, self.now) {
                match effect {
                    Effect::Say(_, text) => self.said.push(text),
                    Effect::OwnStack(command) => panic!("nobody asked for {command:?}"),
                    Effect::Store(write) => self.writes.push(write),
                    Effect::Installed(_) => self.latencies += 1,
                    Effect::Trace(command) => self.traces.push(command),
                    Effect::PacketOut { frame, .. } => self.packets.push(frame),
                    Effect::Ovs(purpose, operations) => {
                        self.marks.push(serde_json::to_string(&operations).unwrap());
                        events.push(Event::OvsDone(purpose, Ok(())));
                    }
                    Effect::Switch(session, command) => events.push(Event::Switch(session, self.answer(command))),
                }
            }
        }
    }

    fn answer(&mut self, command: Command) -> switch::Event {
        match command {
            Command::Meter => switch::Event::Meter(Ok(switch::Metering::On)),
            Command::ReadTlv => switch::Event::Tlv(Ok(vec![TLV])),
            Command::WriteTlv(_) => switch::Event::TlvWritten(Ok(())),
            Command::ReadGroups => switch::Event::Groups(Ok(Vec::new())),
            Command::ReadTables => switch::Event::Tables(Ok(Vec::new())),
            Command::ReadFlows(table) => switch::Event::Flows(table, Ok(Vec::new())),
            Command::Forget(_) => switch::Event::Forgotten(Ok(())),
            Command::Bundle(mods) => {
                self.mods += mods.len();
                for change in mods {
                    match change {
                        Mod::Set(f) => {
                            drop(self.flows.insert(format!("{} {} {}", f.table, f.priority, f.matching), f.to_string()))
                        }
                        Mod::Delete(k) => {
                            drop(self.flows.remove(&format!("{} {} {}", k.table, k.priority, k.matching)))
                        }
                        Mod::Group(_) => {}
                    }
                }
                switch::Event::Bundle(Outcome::Done)
            }
        }
    }

    fn store(&mut self, synced: bool, objects: &[(&str, Option<&str>)]) {
        self.revision += 1;
        let changes = objects.iter().map(|(path, value)| MirrorChange {
            path: (*path).into(),
            value: value.map(|v| v.to_owned().into()),
            create_revision: self.revision,
            mod_revision: self.revision,
        });
        let changes = changes.collect();
        let at = tokio::time::Instant::from_std(self.now);
        self.event(Event::Store(MirrorEvent::Changes { revision: self.revision, at, synced, changes }));
    }

    /// The bridge with a tunnel port, and eth1 with these external ids.
    fn ovsdb(&mut self, ids: &[(&str, &str)]) {
        let text = |t: &str| Datum::scalar(Atom::from(t));
        let map =
            |pairs: &[(&str, &str)]| Datum::Map(pairs.iter().map(|(k, v)| (Atom::from(*k), Atom::from(*v))).collect());
        let uuids = |all: &[u128]| Datum::Set(all.iter().map(|u| Atom::Uuid(Uuid(*u))).collect());
        let row = |table: &str, uuid: u128, columns: Vec<(&str, Datum)>| RowUpdate {
            table: table.into(),
            uuid: Uuid(uuid),
            change: tuplenet_ovsdb::Change::Insert(Row(columns.into_iter().map(|(c, d)| (c.into(), d)).collect())),
        };
        let protocols = Datum::Set(["OpenFlow10", "OpenFlow13", "OpenFlow15"].map(Atom::from).into());
        let number = |n: i64| Datum::scalar(Atom::from(n));
        let tunnel = map(&[("remote_ip", "flow"), ("key", "flow")]);
        let rows = vec![
            row("Open_vSwitch", 1, vec![("bridges", uuids(&[2]))]),
            row(
                "Bridge",
                2,
                vec![
                    ("name", text("br-int")),
                    ("ports", uuids(&[3, 4])),
                    ("fail_mode", text("secure")),
                    ("protocols", protocols),
                    ("other_config", map(&[("controller-queue-size", "512")])),
                ],
            ),
            row("Port", 3, vec![("name", text("tn-geneve")), ("interfaces", uuids(&[5]))]),
            row("Port", 4, vec![("name", text("eth1")), ("interfaces", uuids(&[6]))]),
            row(
                "Interface",
                5,
                vec![("name", text("tn-geneve")), ("type", text("geneve")), ("options", tunnel), ("ofport", number(9))],
            ),
            row("Interface", 6, vec![("name", text("eth1")), ("external_ids", map(ids)), ("ofport", number(5))]),
        ];
        self.event(Event::Ovs(tuplenet_ovsdb::Event::Up));
        self.event(Event::Ovs(tuplenet_ovsdb::Event::Update(Update { initial: true, rows })));
    }

    /// What the store does with a write, and that it shows it.
    fn commit(&mut self, path: &str) {
        let at = self
            .writes
            .iter()
            .position(|w| w.path == path)
            .unwrap_or_else(|| panic!("no write of {path}: {:?}", self.writes));
        let write = self.writes.remove(at);
        let value = write.value.map(|v| String::from_utf8(v).unwrap());
        self.store(true, &[(path, value.as_deref())]);
        self.event(Event::Written(path.into(), records::Outcome::Done(self.revision)));
    }

    fn has_flow(&self, part: &str) -> bool {
        self.flows.values().any(|f| f.contains(part))
    }
}

const SWITCH: (&str, Option<&str>) = ("ls/LS-A", Some(r#"{"id": 7}"#));
const PORT: (&str, Option<&str>) =
    ("ls/LS-A/lsp/vm1", Some(r#"{"port_id": 3, "mac": "f2:01:0a:01:00:05", "ips": ["10.1.0.5"]}"#));

#[test]
fn the_switch_and_the_store_wait_until_all_is_known() {
    let mut bench = Bench::new();
    bench.event(Event::Switch(1, switch::Event::Up));
    bench.store(false, &[SWITCH]);
    bench.ovsdb(&[("iface-id", "vm1")]);
    assert!(bench.flows.is_empty() && bench.writes.is_empty() && bench.core.wakeup().is_none());
    // The rest of the listing: only now a binding that is not there is known not to be there.
    bench.store(true, &[PORT, ("binding/LS-A/vm1", Some(r#"{"chassis": "hv2", "generation": 8}"#))]);
    assert!(bench.has_flow("in_port=5"), "{:?}", bench.flows);
    let write = bench.writes.iter().find(|w| w.path == "binding/LS-A/vm1").unwrap();
    assert_eq!((write.expected, write.value.as_deref()), (3, Some(&br#"{"chassis":"hv1","generation":9}"#[..])));
    assert!(bench.writes.iter().any(|w| w.path == "chassis/hv1" && w.expected == 0));
}

#[test]
fn a_claim_is_written_then_marked_and_released_when_the_interface_goes() {
    let mut bench = Bench::new();
    bench.store(true, &[SWITCH, PORT]);
    bench.ovsdb(&[("iface-id", "vm1")]);
    bench.event(Event::Switch(1, switch::Event::Up));
    assert!(!bench.marks.iter().any(|m| m.contains("LS-A/vm1:1")), "the store first");
    bench.commit("binding/LS-A/vm1");
    assert!(bench.marks.iter().any(|m| m.contains("LS-A/vm1:1")));
    bench.commit("chassis/hv1");
    bench.ovsdb(&[("iface-id", "vm1"), ("tuplenet-claim", "LS-A/vm1:1")]);
    assert!(bench.writes.is_empty(), "{:?}", bench.writes);
    bench.ovsdb(&[]);
    assert_eq!(bench.writes.len(), 1, "{:?}", bench.writes);
    assert!(bench.writes[0].value.is_none() && bench.writes[0].expected > 0);
    assert!(!bench.has_flow("in_port=5"));
    bench.commit("binding/LS-A/vm1");
    assert!(bench.core.wakeup().is_none());
}

#[test]
fn a_write_that_fails_is_tried_again_and_one_that_lost_is_thought_over() {
    let mut bench = Bench::new();
    bench.store(true, &[SWITCH, PORT]);
    bench.ovsdb(&[("iface-id", "vm1")]);
    let failed = || Event::Written("binding/LS-A/vm1".into(), records::Outcome::Failed("away".into()));
    bench.writes.clear();
    bench.event(failed());
    bench.event(Event::Tick);
    assert!(bench.writes.is_empty(), "not at once");
    bench.now += Duration::from_secs(1);
    bench.event(Event::Tick);
    assert_eq!(bench.writes.len(), 1);
    assert_eq!(bench.said.iter().filter(|s| s.contains("cannot write")).count(), 1);
    // Somebody was first: the rules want a newer generation, compared with what is there now.
    bench.writes.clear();
    bench.event(Event::Written("binding/LS-A/vm1".into(), records::Outcome::Conflict));
    bench.store(true, &[("binding/LS-A/vm1", Some(r#"{"chassis": "hv2", "generation": 1}"#))]);
    let text = String::from_utf8(bench.writes[0].value.clone().unwrap()).unwrap();
    assert!(text.contains(r#""generation":2"#) && bench.writes[0].expected == bench.revision, "{:?}", bench.writes);
}

/// What an interface asked for while the store was away is not claimed when it does not ask for it any more.
#[test]
fn a_claim_that_was_not_written_yet_goes_with_its_wish() {
    for in_flight in [false, true] {
        for ids in [&[][..], &[("iface-id", "vm2")][..]] {
            let mut bench = Bench::new();
            bench.store(true, &[SWITCH, PORT]);
            bench.ovsdb(&[("iface-id", "vm1")]);
            let failed = || Event::Written("binding/LS-A/vm1".into(), records::Outcome::Failed("away".into()));
            bench.writes.clear();
            if in_flight {
                bench.ovsdb(ids);
                bench.event(failed());
            } else {
                bench.event(failed());
                bench.ovsdb(ids);
            }
            bench.now += Duration::from_secs(2);
            bench.event(Event::Tick);
            assert!(bench.writes.is_empty(), "{in_flight} {ids:?} {:?}", bench.writes);
            // Asked for again, it is claimed.
            bench.ovsdb(&[("iface-id", "vm1")]);
            assert_eq!(bench.writes.len(), 1);
        }
    }
}

/// Two agents of one name would take each other's bindings for leftovers of their own, and delete and write them for ever.
#[test]
fn another_host_of_our_name_is_left_its_bindings() {
    let mut bench = Bench::new();
    bench.store(true, &[SWITCH, PORT]);
    bench.ovsdb(&[]);
    bench.commit("chassis/hv1");
    let other = r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.77"}], "roles": []}"#;
    bench.store(true, &[("chassis/hv1", Some(other))]);
    bench.store(true, &[("binding/LS-A/vm1", Some(r#"{"chassis": "hv1", "generation": 1}"#))]);
    bench.now += Duration::from_secs(30);
    bench.event(Event::Tick);
    assert!(bench.writes.is_empty(), "{:?}", bench.writes);
    assert!(bench.core.wakeup().is_none_or(|at| at > bench.now), "nothing to do now");
    // When the chassis is ours again, what stands in our name is.
    bench.now += Duration::from_secs(30);
    bench.event(Event::Tick);
    bench.commit("chassis/hv1");
    assert!(bench.writes.len() == 1 && bench.writes[0].path == "binding/LS-A/vm1", "{:?}", bench.writes);
}

#[test]
fn our_chassis_keeps_what_others_wrote_into_it() {
    let mut bench = Bench::new();
    let described = r#"{"encaps": [], "roles": [], "description": "rack 4"}"#;
    bench.store(true, &[("chassis/hv1", Some(described))]);
    bench.ovsdb(&[]);
    let value: serde_json::Value = serde_json::from_slice(bench.writes[0].value.as_deref().unwrap()).unwrap();
    assert_eq!(value["description"], "rack 4");
    assert_eq!(value["encaps"][0]["ip"], "192.0.2.1");
    bench.commit("chassis/hv1");
    assert!(bench.writes.is_empty());
}

#[test]
fn our_chassis_tells_the_underlay_s_mtu() {
    let mut bench = Bench::new();
    bench.event(Event::Underlay(Some(1500)));
    assert!(bench.writes.is_empty(), "before the network is known");
    bench.store(true, &[]);
    bench.ovsdb(&[]);
    let value = |write: &Write| serde_json::from_slice::<serde_json::Value>(write.value.as_deref().unwrap()).unwrap();
    assert_eq!(value(&bench.writes[0])["mtu"], 1500);
    bench.commit("chassis/hv1");
    bench.event(Event::Underlay(Some(1500)));
    assert!(bench.writes.is_empty(), "nothing new");
    // It changes, and is not known any more; the host still is the one that it was.
    bench.event(Event::Underlay(Some(9000)));
    assert_eq!(value(&bench.writes[0])["mtu"], 9000);
    bench.commit("chassis/hv1");
    bench.event(Event::Underlay(None));
    assert_eq!(value(&bench.writes[0]).get("mtu"), None);
    assert!(!bench.said.iter().any(|text| text.contains("somebody else")), "{:?}", bench.said);
}

#[test]
fn a_change_of_the_store_touches_only_its_flows_and_is_timed() {
    let mut bench = Bench::new();
    bench.store(true, &[SWITCH, PORT]);
    bench.ovsdb(&[("iface-id", "vm1")]);
    bench.event(Event::Switch(1, switch::Event::Up));
    let (flows, mods) = (bench.flows.clone(), bench.mods);
    let second = r#"{"port_id": 4, "mac": "f2:01:0a:01:00:06", "ips": ["10.1.0.6"]}"#;
    bench.store(
        true,
        &[
            ("ls/LS-A/lsp/vm2", Some(second)),
            ("chassis/hv2", Some(r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.2"}]}"#)),
            ("binding/LS-A/vm2", Some(r#"{"chassis": "hv2", "generation": 1}"#)),
        ],
    );
    assert!(bench.has_flow("192.0.2.2"));
    assert!(bench.mods - mods < 8, "{} mods", bench.mods - mods);
    assert_eq!(bench.latencies, 1);
    bench.store(true, &[("ls/LS-A/lsp/vm2", None), ("chassis/hv2", None), ("binding/LS-A/vm2", None)]);
    assert_eq!(bench.flows, flows);
    bench.store(true, &[("ls/LS-A/lsp/bad", Some("{"))]);
    assert!(bench.said.iter().any(|s| s.starts_with("set aside ls/LS-A/lsp/bad")), "{:?}", bench.said);
    assert_eq!((bench.flows == flows, bench.core.stats().rejected), (true, 1));
}

#[test]
fn another_host_of_our_name_is_not_fought() {
    let mut bench = Bench::new();
    bench.store(true, &[]);
    bench.ovsdb(&[]);
    bench.commit("chassis/hv1");
    let other = r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.77"}], "roles": []}"#;
    bench.store(true, &[("chassis/hv1", Some(other))]);
    assert!(bench.writes.is_empty());
    assert!(
        bench.said.iter().any(|s| s.contains("192.0.2.77") && s.contains("give one of them another")),
        "{:?}",
        bench.said
    );
    bench.now += Duration::from_secs(60);
    bench.event(Event::Tick);
    assert_eq!(bench.writes.len(), 1, "but not given up either");
    // Deleted, it is written at once.
    bench.writes.clear();
    bench.event(Event::Written("chassis/hv1".into(), records::Outcome::Conflict));
    bench.store(true, &[("chassis/hv1", None)]);
    assert_eq!(bench.writes.len(), 1);
}

/// A router's link to a switch: both ends.
fn link(lr: &str, ls: &str, id: u32, net: u8, host: u8) -> [(String, String); 2] {
    let (mac, ip) = (format!("f2:01:0a:00:{net:02x}:{host:02x}"), format!("10.{net}.0.{host}"));
    let (lrp, lsp) = (format!("{lr}_to_{ls}"), format!("{ls}_to_{lr}"));
    [
        (
            format!("lr/{lr}/lrp/{lrp}"),
            format!(r#"{{"port_id":{id},"mac":"{mac}","nets":["{ip}/16"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#),
        ),
        (
            format!("ls/{ls}/lsp/{lsp}"),
            format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"{lr}","lrp":"{lrp}"}}}}"#),
        ),
    ]
}

/// Hosts hear of a removal at once, but do not act at the same instant.
#[test]
fn an_edge_that_is_deleted_serves_a_moment_longer_what_is_on_its_way() {
    let mut bench = Bench::new();
    let shared: Vec<(String, String)> = [
        ("ls/web", r#"{"id": 7}"#),
        ("ls/join", r#"{"id": 8}"#),
        ("lr/central", r#"{"id": 9, "chassis": null}"#),
        ("ls/web/lsp/w2", r#"{"port_id": 3, "mac": "f2:01:0a:01:00:05", "ips": ["10.1.0.5"]}"#),
        ("chassis/hv2", r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.2"}]}"#),
        ("binding/web/w2", r#"{"chassis": "hv2", "generation": 1}"#),
    ]
    .map(|(path, value)| (path.to_owned(), value.to_owned()))
    .into_iter()
    .chain(link("central", "web", 1, 1, 254))
    .chain(link("central", "join", 4, 2, 1))
    .collect();
    let edge: Vec<(String, String)> = [
        ("lr/edge1", r#"{"id": 10, "chassis": "hv1"}"#),
        ("lr/central/lsr/out", r#"{"prefix": "0.0.0.0/0", "next_hop": "10.2.0.2", "outport": "central_to_join"}"#),
    ]
    .map(|(path, value)| (path.to_owned(), value.to_owned()))
    .into_iter()
    .chain(link("edge1", "join", 2, 2, 2))
    .collect();
    let put = |of: &[(String, String)]| -> Vec<(String, Option<String>)> {
        of.iter().map(|(path, value)| (path.clone(), Some(value.clone()))).collect()
    };
    let delete: Vec<(String, Option<String>)> = edge.iter().map(|(path, _)| (path.clone(), None)).collect();
    let send = |bench: &mut Bench, objects: Vec<(String, Option<String>)>| {
        let objects: Vec<_> = objects.iter().map(|(path, value)| (path.as_str(), value.as_deref())).collect();
        bench.store(true, &objects);
    };
    send(&mut bench, put(&shared));
    bench.ovsdb(&[]);
    bench.event(Event::Switch(1, switch::Event::Up));
    let without = bench.flows.clone();
    send(&mut bench, put(&edge));
    let with = bench.flows.clone();
    assert!(bench.core.rules.0.is_drawing() && with.len() > without.len());

    send(&mut bench, delete.clone());
    let of_edge = |flows: &BTreeMap<String, String>| -> Vec<String> {
        flows.iter().filter(|(_, flow)| flow.contains("metadata=0xa")).map(|(_, flow)| flow.clone()).collect()
    };
    assert!(bench.core.lingers() && !of_edge(&with).is_empty());
    assert_eq!(of_edge(&bench.flows), of_edge(&with), "as before");
    assert!(bench.flows.len() < with.len(), "but this host's own guests send there no more");
    let due = bench.core.wakeup().unwrap();
    assert!(due <= bench.now + Duration::from_secs(2), "and the loop is told");
    bench.now += Duration::from_secs(2);
    bench.event(Event::Tick);
    assert!(!bench.core.lingers() && bench.flows == without, "and then nothing is left");

    // Made again while it lingers, it is as it was.
    send(&mut bench, put(&edge));
    send(&mut bench, delete);
    send(&mut bench, put(&edge));
    assert!(!bench.core.lingers() && bench.flows == with);
}
