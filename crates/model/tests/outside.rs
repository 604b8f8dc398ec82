//! What meets the physical network: contradictions between patch ports and between NAT rules, and edges put in and taken out.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use std::net::IpAddr;
use tuplenet_model::{
    document::Document,
    edge::{self, NewEdge, Taken},
    entity::{NatKind, NatRule, Patch},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn network(objects: &[(&str, &str)]) -> Network {
    let mut network = Network::default();
    for (path, value) in objects {
        let key = Key::parse(path).unwrap().unwrap();
        let object = Object::parse(&key, value.as_bytes()).unwrap();
        network.insert(key, object);
    }
    network
}

fn faults(objects: &[(&str, &str)]) -> Vec<String> {
    network(objects).check().iter().map(ToString::to_string).collect()
}

#[test]
fn a_switch_has_one_patch_port_on_a_chassis() {
    let s = [("ls/A", r#"{"id":1}"#), ("ls/B", r#"{"id":2}"#)];
    let port = |at: &'static str, value: &'static str| (at, value);
    let first = port("ls/A/lsp/p1", r#"{"port_id":1,"patch":{"chassis":"hv1","bridge":"br-ex"}}"#);
    let good = [
        port("ls/A/lsp/p2", r#"{"port_id":2,"patch":{"chassis":"hv2","bridge":"br-ex"}}"#),
        port("ls/B/lsp/p1", r#"{"port_id":1,"patch":{"chassis":"hv1","bridge":"br-ex"}}"#),
    ];
    assert_eq!(faults(&[s[0], s[1], first, good[0], good[1]]), Vec::<String>::new());
    let second = port("ls/A/lsp/p3", r#"{"port_id":3,"patch":{"chassis":"hv1","bridge":"br-ex2","vlan":5}}"#);
    let found = faults(&[s[0], s[1], first, second]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("ls/A/lsp/p3: patch.chassis: the patch to hv1 is taken by ls/A/lsp/p1"), "{found:?}");
}

fn rule(kind: &str, prefix: &str, xlate_ip: &str) -> NatRule {
    let (kind, prefix, xlate_ip) = (kind.parse().unwrap(), prefix.parse().unwrap(), xlate_ip.parse().unwrap());
    NatRule { kind, prefix, xlate_ip, distributed: false, meta: Default::default() }
}

#[test]
fn rules_of_one_router_contradict_each_other() {
    let rules = [
        rule("snat", "10.0.0.0/8", "203.0.113.5"),
        rule("dnat", "203.0.113.5/32", "10.0.0.2"),
        rule("floating", "10.0.0.2/32", "203.0.113.6"),
    ];
    for a in &rules {
        for b in rules.iter().filter(|b| *b != a) {
            assert_eq!(a.contradicts(b), None, "{a:?} {b:?}");
        }
    }
    for (against, which) in [
        (rule("snat", "10.0.0.0/8", "203.0.113.9"), 0),  // two addresses to go by
        (rule("dnat", "203.0.113.5/32", "10.0.0.3"), 1), // two ways to go
        (rule("dnat", "203.0.113.6/32", "10.0.0.3"), 2), // the floating one takes all
        (rule("snat", "10.1.0.0/16", "203.0.113.6"), 2), // and all answers
        (rule("floating", "10.0.0.3/32", "203.0.113.6"), 2), // two ways
        (rule("floating", "10.0.0.2/32", "203.0.113.7"), 2), // two addresses
    ] {
        let bad: Vec<usize> = (0..rules.len()).filter(|i| rules[*i].contradicts(&against).is_some()).collect();
        assert_eq!(bad, [which], "{against:?}");
        assert_eq!(rules[which].contradicts(&against), against.contradicts(&rules[which]));
    }
}

#[test]
fn the_network_is_checked_for_rules_too() {
    let base = [
        ("lr/R", r#"{"id":1,"chassis":"hv1"}"#),
        ("lr/Q", r#"{"id":2,"chassis":"hv2"}"#),
        ("lr/D", r#"{"id":3}"#),
        ("lr/R/lnat/a", r#"{"type":"dnat","prefix":"203.0.113.5/32","xlate_ip":"10.0.0.2"}"#),
        ("lr/Q/lnat/a", r#"{"type":"dnat","prefix":"203.0.113.5/32","xlate_ip":"10.0.0.2"}"#),
        ("lr/D/lnat/f", r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"203.0.113.9","distributed":true}"#),
    ];
    assert_eq!(faults(&base), Vec::<String>::new());
    for (path, value, words) in [
        (
            "lr/R/lnat/b",
            r#"{"type":"floating","prefix":"10.0.0.9/32","xlate_ip":"203.0.113.5"}"#,
            "xlate_ip: the external address 203.0.113.5 is taken by the rule a",
        ),
        ("lr/X/lnat/b", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5"}"#, "there is no router X"),
        ("lr/D/lnat/b", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5"}"#, "pin the router"),
    ] {
        let mut all = base.to_vec();
        all.push((path, value));
        let found = faults(&all);
        assert!(found.len() == 1 && found[0].starts_with(path) && found[0].contains(words), "{found:?}");
    }
}

/// Routers R and Q, each on a switch of its own, and what makes them meet.
fn meeting(patch: &str, more: &[(&'static str, &'static str)]) -> Vec<String> {
    let text = format!(
        "
switches:
  a: {{ports: {{up: {{patch: {{chassis: hv1, bridge: br-ex, vlan: 7}}}}}}}}
  b: {{ports: {{up: {{patch: {patch}}}, vm: 203.0.113.8}}}}
routers:
  R: {{chassis: hv1, links: {{a: 203.0.113.1/24}}}}
  Q: {{chassis: hv2, links: {{b: 203.0.113.2/24}}}}
  D: {{links: {{b: 203.0.113.3/24}}}}
"
    );
    let mut network = Document::parse(&text).unwrap().resolve(&Network::default()).unwrap();
    for (path, value) in more {
        let key = Key::parse(path).unwrap().unwrap();
        network.insert(key.clone(), Object::parse(&key, value.as_bytes()).unwrap());
    }
    network.check().iter().map(ToString::to_string).collect()
}

#[test]
fn of_two_routers_that_meet_one_answers_for_an_address() {
    const SAME: &str = "{chassis: hv2, bridge: br-ex, vlan: 7}";
    let floating = |path: &'static str, distributed: bool| {
        let plain = r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"203.0.113.5"}"#;
        let spread = r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"203.0.113.5","distributed":true}"#;
        (path, if distributed { spread } else { plain })
    };
    let snat = ("lr/R/lnat/s", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.5"}"#);
    let dnat = ("lr/R/lnat/d", r#"{"type":"dnat","prefix":"203.0.113.5/32","xlate_ip":"10.0.0.2"}"#);
    let q = floating("lr/Q/lnat/f", false);
    // Alone, and with each other, and by another bridge or in another VLAN.
    assert_eq!(meeting(SAME, &[snat, dnat]), Vec::<String>::new());
    assert_eq!(meeting("{chassis: hv2, bridge: br-ex}", &[q, snat, dnat]), Vec::<String>::new());
    assert_eq!(meeting("{chassis: hv1, bridge: br-ex2, vlan: 7}", &[q, dnat]), Vec::<String>::new());
    assert_eq!(
        meeting(SAME, &[q, dnat]),
        ["lr/R/lnat/d: prefix: the external address 203.0.113.5 is taken by lr/Q/lnat/f in VLAN 7 of bridge br-ex: \
          choose another, or delete or change the other one"]
    );
    // On one switch whatever it leads to; at the port's host, too.
    let found = meeting("{chassis: hv2, bridge: br-ex}", &[q, floating("lr/D/lnat/f", true)]);
    assert!(found.len() == 1 && found[0].starts_with("lr/Q/lnat/f") && found[0].contains("in switch b"), "{found:?}");
    // Nobody keeps this one, which is all that is wrong.
    let found = meeting(SAME, &[q, floating("lr/D/lnat/f", false)]);
    assert!(found.len() == 1 && found[0].contains("pin the router"), "{found:?}");
    // In no network of theirs: routed to one of them.
    let far = |path| (path, r#"{"type":"dnat","prefix":"198.51.100.5/32","xlate_ip":"10.0.0.2"}"#);
    assert_eq!(meeting(SAME, &[far("lr/R/lnat/x"), far("lr/Q/lnat/x")]), Vec::<String>::new());
    // Somebody's own address, over there as well; the router's own is the router's to give.
    for (ip, whose) in [(8, "ls/b/lsp/vm"), (2, "ls/b/lsp/b_to_Q"), (1, "")] {
        let rule = format!(r#"{{"type":"dnat","prefix":"203.0.113.{ip}/32","xlate_ip":"10.0.0.2"}}"#);
        let found = meeting(SAME, &[("lr/R/lnat/d", rule.leak())]);
        assert!(
            if whose.is_empty() { found.is_empty() } else { found.len() == 1 && found[0].contains(whose) },
            "{found:?}"
        );
    }
    // But not where it has another MAC address.
    let own =
        ("lr/D/lnat/f", r#"{"type":"floating","prefix":"10.0.0.2/32","xlate_ip":"203.0.113.3","distributed":true}"#);
    let found = meeting(SAME, &[own]);
    assert!(found.len() == 1 && found[0].contains("203.0.113.3 is taken by ls/b/lsp/b_to_D"), "{found:?}");
}

#[test]
fn a_document_holds_all_of_it() {
    let text = "
switches:
  out: {ports: {up: {patch: {chassis: hv1, bridge: br-ex, vlan: 7}}}}
routers:
  edge:
    chassis: hv1
    nat:
      s: {type: snat, prefix: 10.0.0.0/8, xlate_ip: 203.0.113.5}
      f: {type: floating, prefix: 10.0.0.2/32, xlate_ip: 203.0.113.6, distributed: true, labels: {a: b}}
";
    let network = Document::parse(text).unwrap().resolve(&Network::default()).unwrap();
    assert_eq!(network.nat_rules(&name("edge")).count(), 2);
    let yaml = Document::of(&network).to_yaml().unwrap();
    assert_eq!(Document::parse(&yaml).unwrap().resolve(&Network::default()).unwrap(), network, "{yaml}");
    let wrong = text.replace("vlan: 7}", "vlan: 7}, mac: f2:01:00:00:00:01");
    let faults = Document::parse(&wrong).unwrap().resolve(&Network::default()).unwrap_err();
    assert!(faults[0].to_string().contains("a patch port has no MAC"), "{faults:?}");
}

/// The tutorial's network.
fn tutorial() -> Network {
    let text = "
switches: {LS-A: {ports: {vm1: 10.20.1.2}}, LS-B: {ports: {vm2: 10.20.2.2}}}
routers: {LR-central: {links: {LS-A: 10.20.1.1/24, LS-B: 10.20.2.1/24}}}
";
    Document::parse(text).unwrap().resolve(&Network::default()).unwrap()
}

fn new_edge(number: u8, v6: bool) -> NewEdge {
    let mut new = NewEdge {
        central: None,
        patch: Patch { chassis: name(&format!("hv{number}")), bridge: name("br-ex"), vlan: None },
        vips: vec![format!("203.0.113.{number}/24").parse().unwrap()],
        virts: vec!["10.20.0.0/16".parse().unwrap()],
        gateways: vec!["203.0.113.254".parse().unwrap()],
        inners: Vec::new(),
        snats: vec![IpAddr::from([203, 0, 113, number])],
    };
    if v6 {
        new.vips.push(format!("2001:db8::{number}/64").parse().unwrap());
        new.virts.push("fd00:20::/32".parse().unwrap());
        new.gateways.push("2001:db8::fe".parse().unwrap());
    }
    new
}

fn build(network: &Network, new: &NewEdge) -> Result<Network, String> {
    new.build(network, &Taken::default()).map(|(_, network)| network).map_err(|error| error.to_string())
}

#[test]
fn an_edge_is_a_whole_road() {
    let with = build(&tutorial(), &new_edge(1, true)).unwrap();
    assert_eq!(with.check(), []);
    let edges = edge::edges(&with);
    let [edge] = &edges[..] else { panic!("{edges:?}") };
    assert_eq!((edge.router.as_str(), edge.chassis.as_str(), edge.made), ("edge1", "hv1", true));
    assert_eq!(edge.patch, Some(new_edge(1, true).patch));
    assert_eq!((edge.vips.len(), edge.gateways.len(), edge.virts.len(), edge.snats.len()), (2, 2, 2, 1));
    assert_eq!(edge.central, [name("LR-central")]);
    // Both ways: each default route leads to a neighbour, and so does each way back.
    let out: Vec<String> =
        with.routes(&name("LR-central")).map(|(_, r)| format!("{} by {}", r.prefix, r.next_hop)).collect();
    assert_eq!(out, ["0.0.0.0/0 by 100.64.88.2", "::/0 by fd00:64:88::2"]);
    let nat: Vec<NatKind> = with.nat_rules(&name("edge1")).map(|(_, rule)| rule.kind).collect();
    assert_eq!(nat, [NatKind::Snat]);
}

#[test]
fn what_cannot_work_is_refused_with_the_option_at_fault() {
    type Edit = fn(&mut NewEdge);
    let cases: &[(Edit, &[&str])] = &[
        (|e| e.gateways = vec!["203.0.114.1".parse().unwrap()], &["--ext-gw 203.0.114.1", "203.0.113.0/24"]),
        (|e| e.gateways = vec!["203.0.113.3".parse().unwrap()], &["--ext-gw", "own address"]),
        (|e| e.gateways.clear(), &["--vip", "no next hop"]),
        (|e| e.virts.clear(), &["--vip", "no virtual network"]),
        (|e| e.virts = vec!["0.0.0.0/0".parse().unwrap()], &["--virt 0.0.0.0/0", "overlap"]),
        (|e| e.virts = vec!["203.0.113.128/25".parse().unwrap()], &["--virt", "overlap"]),
        (|e| e.virts = vec!["10.20.1.0/16".parse().unwrap()], &["write 10.20.0.0/16"]),
        (|e| e.vips = vec!["203.0.113.3/32".parse().unwrap()], &["--vip", "203.0.113.3/24"]),
        (|e| e.vips = vec!["203.0.113.255/24".parse().unwrap()], &["broadcast"]),
        (|e| e.vips = vec!["203.0.113.1/24".parse().unwrap()], &["--vip 203.0.113.1", "in use by ls/outside1/lsp/"]),
        (|e| e.vips.push("203.0.113.4/24".parse().unwrap()), &["--vip", "one a family"]),
        (|e| e.snats = vec!["203.0.113.1".parse().unwrap()], &["--snat 203.0.113.1", "in use"]),
        (|e| e.snats = vec!["203.0.113.254".parse().unwrap()], &["--snat 203.0.113.254", "physical router"]),
        (|e| e.snats = vec!["2001:db8::1".parse().unwrap()], &["--snat 2001:db8::1", "no IPv6 address"]),
        (|e| e.inners = vec!["10.20.1.0/24".parse().unwrap()], &["--inner", "overlap"]),
        (|e| e.inners = vec!["100.64.0.1/32".parse().unwrap()], &["--inner", "two are needed"]),
        (|e| e.central = Some(name("nobody")), &["router nobody does not exist"]),
        (|e| e.patch.bridge = name("br-int"), &["patch.bridge", "br-int"]),
    ];
    let with = build(&tutorial(), &new_edge(1, false)).unwrap();
    for (edit, words) in cases {
        let mut new = new_edge(3, false);
        edit(&mut new);
        let said = build(&with, &new).unwrap_err();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
    // The same addresses in another network are nobody else's, unless they are routed to one of the two.
    let mut apart = new_edge(1, false);
    apart.patch.vlan = Some(7);
    assert!(build(&with, &apart).is_ok());
    let far = |new: &mut NewEdge| new.snats = vec!["198.51.100.9".parse().unwrap()];
    far(&mut apart);
    let with = build(&with, &apart).unwrap();
    let mut other = new_edge(4, false);
    far(&mut other);
    assert!(build(&with, &other).unwrap_err().contains("--snat 198.51.100.9 is in use by lr/"));
    let several = Document::parse("routers: {a: , b: }").unwrap().resolve(&Network::default()).unwrap();
    assert!(build(&several, &new_edge(1, false)).unwrap_err().contains("--router"));
}

#[test]
fn the_router_behind_is_made_and_goes_with_the_last_edge() {
    let empty = Network::default();
    let one = build(&empty, &new_edge(1, false)).unwrap();
    let two = build(&one, &new_edge(2, false)).unwrap();
    assert!(one.get(&Key::Lr(name("LR-central"))).is_some());
    let edges = edge::edges(&two);
    let left = edge::without(&two, &edges[0]);
    assert!(left.get(&Key::Lr(name("LR-central"))).is_some());
    assert_eq!(edge::without(&left, &edges[1]), empty);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Edges made and taken away in any order: what is left is the network without them, and an edge that comes again is the same.
    #[test]
    fn an_edge_taken_away_leaves_nothing_and_comes_again_the_same(
        made in prop::collection::vec((1u8..9, any::<bool>()), 1..5),
        again in any::<prop::sample::Index>(),
    ) {
        let start = tutorial();
        let mut with = start.clone();
        let mut names: Vec<(u8, bool, Name)> = Vec::new();
        for (number, v6) in made {
            if names.iter().all(|(other, ..)| *other != number) {
                let (edge, next) = new_edge(number, v6).build(&with, &Taken::default()).unwrap();
                names.push((number, v6, edge));
                with = next;
            }
        }
        prop_assert_eq!(with.check(), vec![]);
        let yaml = Document::of(&with).to_yaml().unwrap();
        prop_assert_eq!(Document::parse(&yaml).unwrap().resolve(&Network::default()).unwrap(), with.clone());
        let find = |network: &Network, router: &Name| {
            edge::edges(network).into_iter().find(|edge| edge.router == *router).unwrap()
        };
        let (number, v6, router) = again.get(&names);
        let less = edge::without(&with, &find(&with, router));
        prop_assert_eq!(less.check(), vec![]);
        prop_assert!(less.iter().all(|(key, _)| !key.to_string().contains(router.as_str())));
        prop_assert_eq!(build(&less, &new_edge(*number, *v6)).unwrap(), with.clone());
        let mut rest = with;
        for (_, _, router) in names {
            rest = edge::without(&rest, &find(&rest, &router));
        }
        prop_assert_eq!(rest, start);
    }
}
