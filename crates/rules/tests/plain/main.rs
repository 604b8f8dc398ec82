//! The rules against an evaluator that is too simple to be wrong: nested loops over all facts, every time, in the words of
//! the rules' Datalog forms. Both are asked which statements hold; the engine's are read off its flows.

#[path = "../common/mod.rs"]
mod common;
mod facts;
mod flows;
mod outside;
mod statements;

use common::*;
use facts::Plain;
use flows::engine_statements;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tuplenet_model::entity::EncapKind;
use tuplenet_rules::Change;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_say_what_plain_loops_say(
        first in prop_oneof![Just(Vec::new()), Just(three_ways())],
        batches in proptest::collection::vec(proptest::collection::vec(change(), 1..12), 1..10)
    ) {
        let mut engine = engine();
        let mut facts: BTreeMap<String, Change> = BTreeMap::new();
        let batches = batches.into_iter().map(|batch| batch.into_iter().flatten().collect::<Vec<Change>>());
        for batch in std::iter::once(first).chain(batches) {
            for change in &batch {
                facts.insert(subject(change), change.clone());
            }
            engine.apply(batch);
            prop_assert_eq!(engine_statements(&engine), Plain::read(facts.values()).statements());
        }
    }
}

#[test]
fn two_hosts_state_what_one_expects() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let said = engine_statements(&engine);
    for expected in [
        "in 11: 1 1",
        "out 1 1: 11",
        "l2 1 f2:01:0a:01:00:02: 2 at 192.0.2.2",
        "neighbour 2 10.2.0.2: f2:01:0a:02:00:02",
        "neighbour 1 fd00:1::fffe: f2:01:0a:01:00:fe",
        "hop 3 2 fd00:2::2: f2:01:0a:02:00:02",
        "echo 3 10.1.0.254",
        "route 3 10.2.0.0/16: 2 connected",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    assert_eq!(said, Plain::read(two_hosts().iter()).statements());
}

#[test]
fn a_provider_network_states_what_one_expects() {
    let mut engine = engine();
    let mut facts = two_hosts();
    facts.extend([patch_port("A", 5, "hv1", "br-ex", 7), patch_port("A", 6, "hv2", "br-ex", 7)]);
    facts.extend([pair(1, 5, "br-ex", 30), patch_port("B", 5, "hv2", "br-ex", 0)]);
    engine.apply(facts.clone());
    let said = engine_statements(&engine);
    for expected in [
        "patch in 30 7: 1 5",
        "patch out 1 5: 30 7",
        "unknown 1: 5",
        "unknown 2: 5 at 192.0.2.2",
        "own 1 f2:01:0a:01:00:01",
        "own 1 f2:01:0a:01:00:fe",
        "elsewhere 1 f2:01:0a:01:00:02",
        "silent 1 10.1.0.2",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    for wrong in ["elsewhere 1 f2:01:0a:01:00:01", "own 2 f2:01:0a:02:00:01", "elsewhere 1 f2:01:0a:01:00:fe"] {
        assert!(!said.contains(wrong), "{wrong} is said");
    }
    assert_eq!(said, Plain::read(facts.iter()).statements());
    let output = engine.apply([patch_port("A", 5, "hv1", "br-two", 7)]);
    let mut patches = output.patches.clone();
    patches.sort_by_key(|(_, wanted)| !wanted);
    let [(new, true), (old, false)] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!((&*new.bridge, &*old.bridge, &*new.name, &*new.peer), ("br-two", "br-ex", "tp-1-5", "tpx-1-5"));
    assert!(!engine_statements(&engine).contains("patch in 30 7: 1 5"), "the pair is on the other bridge");
}

/// R has three ways: an edge on hv2, a guest here, a guest on hv2, whose tunnel is watched.
fn three_ways() -> Vec<Change> {
    let mut facts = two_hosts();
    facts.extend([pinned_lr("S", 4, "hv2"), chassis("hv2", "192.0.2.2")]);
    // No number that `change` gives to another one.
    facts.retain(|fact| subject(fact) != "interface 2");
    facts.push(marked_interface(2, "B-1", 21, Some(("B/B-1", 1))));
    let mut change = |path: &str, json: &str| facts.push(object(path, json));
    // The other end of S in A, in A's network.
    let mac = "f2:01:0a:01:00:09";
    change(
        "lr/S/lrp/S_to_A",
        &format!(r#"{{"port_id":1,"mac":"{mac}","nets":["10.1.0.9/16"],"peer":{{"ls":"A","lsp":"A_to_S"}}}}"#),
    );
    change(
        "ls/A/lsp/A_to_S",
        &format!(r#"{{"port_id":101,"mac":"{mac}","ips":["10.1.0.9"],"peer":{{"lr":"S","lrp":"S_to_A"}}}}"#),
    );
    for (n, hop) in [(1, "10.1.0.9"), (2, "10.1.0.1"), (3, "10.1.0.2")] {
        change(
            &format!("lr/R/lsr/way{n}"),
            &format!(r#"{{"prefix":"0.0.0.0/0","next_hop":"{hop}","outport":"R_to_A"}}"#),
        );
    }
    facts.push(Change::Tunnel { kind: EncapKind::Geneve, remote: Some([192, 0, 2, 2].into()), ofport: Some(81) });
    facts
}

#[test]
fn equal_routes_state_what_one_expects() {
    let mut engine = engine();
    let facts = three_ways();
    engine.apply(facts.clone());
    let said = engine_statements(&engine);
    for expected in [
        "routes 3 0.0.0.0/0",
        "choice 1 via 10.1.0.9 if Some(81)",
        "choice 1 via 10.1.0.1 if Some(11)",
        "choice 1 via 10.1.0.2 if Some(81)",
        "last resort",
        "last choice 1 via 10.1.0.2",
        "member 3 1 10.1.0.9",
    ] {
        assert!(said.contains(expected), "{expected} is not among {said:#?}");
    }
    assert_eq!(said, Plain::read(facts.iter()).statements());
}
