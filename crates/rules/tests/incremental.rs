//! However facts come, the result is that of the facts: each step's changes add up to it, and an engine that is told the final facts in
//! one go agrees with one that lived through everything.

mod common;

use common::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_rules::{Change, Engine};

fn rejects(engine: &Engine) -> Vec<String> {
    engine.rejected().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_what_its_facts_give(
        batches in proptest::collection::vec(proptest::collection::vec(change(), 1..6), 1..16)
    ) {
        let mut lived = engine();
        let mut switch = Switch::default();
        let (mut outside, mut own) = (BTreeSet::new(), BTreeSet::new());
        let mut facts: BTreeMap<String, Change> = BTreeMap::new();
        for batch in batches {
            let batch: Vec<Change> = batch.into_iter().flatten().collect();
            for change in &batch {
                facts.insert(subject(change), change.clone());
            }
            let output = lived.apply(batch);
            switch.apply(&output);
            // What goes and what comes of one router's port is told in no order.
            for (at, _) in output.outside.iter().filter(|(_, there)| !there) {
                prop_assert!(outside.remove(at), "{at:?} goes and was not there");
            }
            for (at, _) in output.outside.iter().filter(|(_, there)| *there) {
                prop_assert!(outside.insert(at.clone()), "{at:?} comes twice");
            }
            prop_assert_eq!(&switch, &Switch::of(&lived));

            let mut told = engine();
            told.preload(facts.values().cloned());
            for (address, there) in output.own {
                let changed = if there { own.insert(address) } else { own.remove(&address) };
                prop_assert!(changed, "told twice");
            }
            let told_all = told.open();
            let all: BTreeSet<_> = told_all.outside.into_iter().map(|(at, _)| at).collect();
            prop_assert_eq!(&all, &outside);
            prop_assert_eq!(&told_all.own.into_iter().map(|(own, _)| own).collect::<BTreeSet<_>>(), &own);
            prop_assert_eq!(Switch::of(&told), Switch::of(&lived));
            prop_assert_eq!(rejects(&told), rejects(&lived));
        }
    }
}

#[test]
fn telling_facts_again_changes_nothing() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let before = engine.counters().rows_touched;
    let output = engine.apply(two_hosts());
    assert!(output.flows.is_empty() && output.groups.is_empty() && output.claims.is_empty(), "{output:?}");
    assert_eq!(engine.counters().rows_touched, before);
}

#[test]
fn a_large_state_loaded_in_pieces_is_the_state() {
    // More facts than go in at a time, told in an order in which bindings come before ports and routers before switches.
    let ports = 300..2_800_u16;
    let mut facts = two_hosts();
    facts.extend(ports.flat_map(|p| [binding("A", &format!("A-{p}"), "hv2", 1), lsp("A", 1, p)]));
    facts.reverse();
    let (mut loaded, mut applied) = (engine(), engine());
    let late = facts.split_off(4_500);
    loaded.preload(facts.clone());
    loaded.preload(late.clone());
    facts.extend(late);
    let (first, second) = (loaded.open(), applied.apply(facts));
    assert_eq!(Switch::of(&loaded), Switch::of(&applied));
    assert!(first.flows.is_empty() && second.flows.len() > 10_000);
    assert_eq!((first.claims, first.rejects, first.notices), (second.claims, second.rejects, second.notices));
}
