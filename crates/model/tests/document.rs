//! The YAML document: what people write, what is exported, and that neither loses anything.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use tuplenet_model::{
    document::Document,
    ecmp::EcmpField,
    entity::{LogicalRouter, LogicalSwitch, Meta, RouterPort, StaticRoute, SwitchPort},
    id::{DatapathId, PortId},
    key::Key,
    mac::Mac,
    name::Name,
    network::{Network, link_names},
    object::Object,
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(path: &str) -> Key {
    Key::parse(path).unwrap().unwrap()
}

fn json(network: &Network, path: &str) -> String {
    let object = network.get(&key(path)).unwrap_or_else(|| panic!("there is no {path}"));
    serde_json::Value::Object(object.to_json()).to_string()
}

const TUTORIAL: &str = "
switches:
  LS-A:
    ports:
      vm1: 10.20.1.2, fd00:20:1::2
      vm2: [10.20.1.3]
      vm3: {ips: [10.20.1.4], mac: '02:00:00:00:00:03', description: third, labels: {team: red}}
  LS-B:
    flood: true
  LS-empty:
routers:
  LR-central:
    links:
      LS-A: 10.20.1.1/24, fd00:20:1::1/64
      LS-B: {nets: [10.20.2.1/24], mac: '02:00:00:00:00:01'}
    routes:
      default: {prefix: 0.0.0.0/0, next_hop: 10.20.1.2}
  LR-pinned: {chassis: hv1}
";

#[test]
fn a_document_says_little_and_means_much() {
    let network = Document::parse(TUTORIAL).unwrap().resolve(&Network::default()).unwrap();
    assert_eq!(json(&network, "ls/LS-A"), r#"{"id":1}"#);
    assert_eq!(json(&network, "ls/LS-B"), r#"{"flood":true,"id":2}"#);
    assert_eq!(json(&network, "lr/LR-central"), r#"{"chassis":null,"id":4}"#);
    assert_eq!(json(&network, "lr/LR-pinned"), r#"{"chassis":"hv1","id":5}"#);
    assert_eq!(
        json(&network, "ls/LS-A/lsp/vm1"),
        r#"{"ips":["10.20.1.2","fd00:20:1::2"],"mac":"f2:01:0a:14:01:02","port_id":1}"#
    );
    assert_eq!(
        json(&network, "ls/LS-A/lsp/vm3"),
        r#"{"description":"third","ips":["10.20.1.4"],"labels":{"team":"red"},"mac":"02:00:00:00:00:03","port_id":3}"#
    );
    assert_eq!(
        json(&network, "lr/LR-central/lrp/LR-central_to_LS-A"),
        r#"{"mac":"f2:01:0a:14:01:01","nets":["10.20.1.1/24","fd00:20:1::1/64"],"peer":{"ls":"LS-A","lsp":"LS-A_to_LR-central"},"port_id":1}"#
    );
    assert_eq!(
        json(&network, "ls/LS-B/lsp/LS-B_to_LR-central"),
        r#"{"ips":["10.20.2.1"],"mac":"02:00:00:00:00:01","peer":{"lr":"LR-central","lrp":"LR-central_to_LS-B"},"port_id":1}"#
    );
    assert_eq!(
        json(&network, "lr/LR-central/lsr/default"),
        r#"{"next_hop":"10.20.1.2","outport":"LR-central_to_LS-A","prefix":"0.0.0.0/0"}"#
    );
}

#[test]
fn what_is_left_out_stays_as_it_is() {
    let document = Document::parse(TUTORIAL).unwrap();
    let network = document.resolve(&Network::default()).unwrap();
    assert_eq!(document.resolve(&network).unwrap(), network);
    // A new port gets a new id though it sorts first, and others keep theirs.
    let more =
        Document::parse(&TUTORIAL.replace("vm1:", "vm0: 10.20.1.9\n      vm1:")).unwrap().resolve(&network).unwrap();
    assert_eq!(json(&more, "ls/LS-A/lsp/vm1"), json(&network, "ls/LS-A/lsp/vm1"));
    assert!(json(&more, "ls/LS-A/lsp/vm0").contains(r#""port_id":5"#));
    // A derived MAC follows the address, a chosen one does not.
    let moved = TUTORIAL
        .replace("10.20.1.2, fd00", "10.20.1.7, fd00")
        .replace("ips: [10.20.1.4], mac: '02:00:00:00:00:03'", "ips: [10.20.1.8]");
    let moved = Document::parse(&moved.replace("next_hop: 10.20.1.2", "next_hop: 10.20.1.7"))
        .unwrap()
        .resolve(&network)
        .unwrap();
    assert!(json(&moved, "ls/LS-A/lsp/vm1").contains("f2:01:0a:14:01:07"));
    assert!(json(&moved, "ls/LS-A/lsp/vm3").contains("02:00:00:00:00:03"));
}

#[test]
fn a_bad_document_is_refused_in_one_line_with_the_place() {
    for (text, line, words) in [
        ("switches:\n  A: {idd: 1}", 2, &["idd"][..]),
        ("switches:\n  A:\n    ports:\n      p: 10.0.0\n", 4, &["10.0.0"]),
        ("switches:\n  A:\n    ports:\n      p: {ips: [10.0.0.1], mac: zz}\n", 4, &["zz", "MAC"]),
        ("switches:\n  A:\n    id: 0\n", 3, &["1 to 16777215"]),
        ("switches:\n  A:\n  A:\n", 3, &["duplicate", "A"]),
        ("switches: [1]", 1, &["names with a colon"]),
        ("a: b: c", 1, &[]),
        ("switches:\n  a/b: {}", 2, &["not a name"]),
        ("--- {}\n--- {}", 0, &["a second document"]),
        ("switches: {A: {labels: &a {a: b, c: d}}, B: {labels: &b {x: *a, y: *a, z: *a}}}", 0, &[]),
    ] {
        let error = Document::parse(text).unwrap_err();
        assert!(line == 0 || error.line == line, "{text}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{text}: must say \"{word}\": {error}");
        }
    }
}

#[test]
fn a_contradictory_document_names_all_that_is_wrong() {
    for (text, object, words) in [
        ("switches: {A: {id: 1}, B: {id: 1}}", "ls/B", &["id 1 is taken by ls/A"][..]),
        ("switches: {A: {ports: {p: 10.0.0.1, q: 10.0.0.1}}}", "ls/A/lsp/q", &["10.0.0.1 is taken by ls/A/lsp/p"]),
        ("switches: {A: {ports: {p: 224.0.0.1}}}", "ls/A/lsp/p", &["multicast"]),
        ("switches: {A: {ports: {p: {ips: []}}}}", "ls/A/lsp/p", &["at least one"]),
        ("routers: {R: {links: {X: 10.0.0.1/24}}}", "ls/X/lsp/X_to_R", &["there is no switch X"]),
        ("routers: {R: {routes: {d: {prefix: 0.0.0.0/0, next_hop: 10.0.0.1}}}}", "lr/R/lsr/d", &["no port of R"]),
        (
            "switches: {A: }\nrouters: {R: {links: {A: 10.0.0.1/24}, routes: {d: {prefix: 0.0.0.0/0, next_hop: 10.0.0.1}}}}",
            "lr/R/lsr/d",
            &["itself"],
        ),
        (
            "switches: {A: }\nrouters: {R: {links: {A: 10.0.0.1/24}, routes: {d: {prefix: 0.0.0.0/0, next_hop: 10.9.0.1, outport: R_to_A}}}}",
            "lr/R/lsr/d",
            &["in no network of R_to_A"],
        ),
        (
            "switches: {A: {ports: {p: {ips: [10.0.0.1], peer: {lr: R, lrp: x}}}}}",
            "ls/A/lsp/p",
            &["there is no lr/R/lrp/x"],
        ),
        (
            "switches: {A: {ports: {A_to_R: 10.0.0.2}}}\nrouters: {R: {links: {A: 10.0.0.1/24}}}",
            "ls/A/lsp/A_to_R",
            &["describes it twice"],
        ),
    ] {
        let faults = Document::parse(text).unwrap().resolve(&Network::default()).unwrap_err();
        let said = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(faults.iter().any(|fault| fault.object == object), "{text}: must name {object}: {said}");
        for word in words {
            assert!(said.contains(word), "{text}: must say \"{word}\": {said}");
        }
    }
}

/// Names that YAML likes to take for something else.
const NAMES: [&str; 12] = ["A", "true", "null", "1", "1e3", "0x10", "no", "2001-01-01", "_", "LS-A", "a.b", "1_000"];

/// Any valid network: switches, routers, ports with and without IPv6, links (plain, and with names or texts of their own), routes.
fn networks() -> impl Strategy<Value = Network> {
    let text =
        || proptest::option::of(prop_oneof!["[ -~]{1,12}", Just("a: b\n- c #".to_owned()), Just("ü\u{7}".to_owned())]);
    let labels = || proptest::collection::btree_map("[a-z:#\\- ]{1,4}", "[ -~]{0,6}", 0..3);
    let meta = move || (text(), labels()).prop_map(|(description, labels)| Meta { description, labels });
    let mtu = proptest::option::of(1280..=u16::MAX);
    let switch = (0..NAMES.len(), any::<bool>(), mtu, meta());
    let port = (0..6usize, 0..NAMES.len(), 1..200u8, any::<bool>(), any::<bool>(), meta());
    let router = (0..NAMES.len(), any::<bool>(), meta());
    let link = (0..4usize, 0..6usize, any::<bool>(), any::<bool>(), meta(), any::<bool>());
    (
        proptest::collection::vec(switch, 0..6),
        proptest::collection::vec(port, 0..12),
        proptest::collection::vec(router, 0..4),
        proptest::collection::vec(link, 0..8),
        meta(),
    )
        .prop_map(|(switches, ports, routers, links, route_meta)| {
            let mut n = Network::default();
            let (mut ls, mut lr) = (Vec::new(), Vec::new());
            for (i, (at, flood, mtu, meta)) in switches.into_iter().enumerate() {
                let id = DatapathId::new(1 + 7 * i as u32).unwrap();
                if !ls.contains(&name(NAMES[at])) {
                    ls.push(name(NAMES[at]));
                    n.insert(Key::Ls(name(NAMES[at])), Object::Ls(LogicalSwitch { id, flood, mtu, meta }));
                }
            }
            for (i, (at, pinned, meta)) in routers.into_iter().enumerate() {
                let id = DatapathId::new(100 + i as u32).unwrap();
                if !lr.contains(&name(NAMES[at])) {
                    lr.push(name(NAMES[at]));
                    let chassis = pinned.then(|| name("null"));
                    let ecmp_hash = EcmpField::ALL[..i % 4].to_vec();
                    n.insert(Key::Lr(name(NAMES[at])), Object::Lr(LogicalRouter { id, chassis, ecmp_hash, meta }));
                }
            }
            let mut next = BTreeMap::new();
            let mut port_id = |of: String| {
                let next = next.entry(of).or_insert(0u16);
                *next += 1;
                PortId::new(*next).unwrap()
            };
            for (s, at, host, v6, odd_mac, meta) in ports {
                let Some(ls) = ls.get(s) else { continue };
                if n.switch_ports(ls)
                    .any(|(lsp, p)| **lsp == *NAMES[at] || p.ips[0] == std::net::IpAddr::from([10, 0, s as u8, host]))
                {
                    continue;
                }
                let mut ips = vec![std::net::IpAddr::from([10, 0, s as u8, host])];
                if v6 {
                    ips.push(format!("fd00:{s:x}::{host:x}").parse().unwrap());
                }
                let mac = if odd_mac { Mac([2, 0, 0, 0, s as u8, host]) } else { Mac::derived_from(&ips).unwrap() };
                let port = SwitchPort {
                    port_id: port_id(format!("ls/{ls}")),
                    mac: Some(mac),
                    ips,
                    peer: None,
                    patch: None,
                    meta,
                };
                n.insert(Key::Lsp(ls.clone(), name(NAMES[at])), Object::Lsp(port));
            }
            for (i, (r, s, v6, odd_name, meta, odd_meta)) in links.into_iter().enumerate() {
                let (Some(lr), Some(ls)) = (lr.get(r), ls.get(s)) else { continue };
                let (mut lrp, lsp) = link_names(lr, ls).unwrap();
                if n.switch_port(&lsp).is_some() {
                    continue;
                }
                if odd_name {
                    lrp.lrp = name(&format!("up{i}"));
                }
                let mut nets = vec![format!("10.0.{s}.{}/24", 201 + i).parse::<ipnet::IpNet>().unwrap()];
                if v6 {
                    nets.push(format!("fd00:{s:x}::ff{i:x}/64").parse().unwrap());
                }
                let ips: Vec<_> = nets.iter().map(|net| net.addr()).collect();
                let mac = Mac::derived_from(&ips).unwrap();
                let switch_port = SwitchPort {
                    port_id: port_id(format!("ls/{ls}")),
                    mac: Some(mac),
                    ips,
                    peer: Some(lrp.clone()),
                    patch: None,
                    meta: if odd_meta { Meta::default() } else { meta.clone() },
                };
                let route = StaticRoute {
                    prefix: format!("172.16.{i}.0/24").parse().unwrap(),
                    next_hop: format!("10.0.{s}.250").parse().unwrap(),
                    outport: lrp.lrp.clone(),
                    meta: route_meta.clone(),
                };
                let router_port =
                    RouterPort { port_id: Some(port_id(format!("lr/{lr}"))), mac, nets, peer: Some(lsp.clone()), meta };
                n.insert(Key::Lsr(lr.clone(), name(NAMES[i])), Object::Lsr(route));
                n.insert(Key::Lsp(lsp.ls, lsp.lsp), Object::Lsp(switch_port));
                n.insert(Key::Lrp(lrp.lr, lrp.lrp), Object::Lrp(router_port));
            }
            n
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_holds_everything(network in networks(), other in networks()) {
        prop_assert_eq!(network.check(), Vec::new(), "the test's own networks are valid");
        let yaml = Document::of(&network).to_yaml().unwrap();
        let read = Document::parse(&yaml).map_err(|e| TestCaseError::fail(format!("{e}:\n{yaml}")))?;
        for present in [&network, &Network::default(), &other] {
            let resolved = read.resolve(present).map_err(|faults| TestCaseError::fail(format!("{faults:?}:\n{yaml}")))?;
            prop_assert_eq!(&resolved, &network, "{}", yaml);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![any::<String>(), "(switches|routers|ports|ips|: |\n|  |- |\\{|\\}|\\[|,|[a&*!]|10.0.0.1|/24){0,30}"]) {
        match Document::parse(&text) {
            Ok(document) => drop(document.resolve(&Network::default())),
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
