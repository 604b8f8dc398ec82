//! Neighbours outside: where they are asked for, in whose name, and which flows a known one makes.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::collections::BTreeSet;
use tuplenet_model::mac::Mac;
use tuplenet_rules::{
    Change, Engine, FlowChange,
    cookie::{Cookie, Rule},
    outside::Outside,
};

fn neighbour(ip: &str, mac: Option<u8>) -> Change {
    Change::Neighbour { ls: name("A"), ip: ip.parse().unwrap(), mac: mac.map(|last| Mac([2, 0, 0, 0, 0, last])) }
}

/// The flows of a rule, without cookie.
fn of(engine: &Engine, rule: Rule) -> BTreeSet<String> {
    let ours = engine.flows().filter(|flow| Cookie::decode(flow.cookie).is_some_and(|cookie| cookie.rule == rule));
    ours.map(|flow| flow.to_string()).collect()
}

/// A meets a physical network on this host, or on others.
fn told(pinned: bool, patched: &[&str]) -> (Engine, Vec<Outside>) {
    let mut facts = two_hosts();
    facts.extend([chassis("hv0", "192.0.2.9"), pair(1, 200, "br-ex", 33)]);
    if pinned {
        facts.push(pinned_lr("R", 3, ME));
    }
    facts.extend((200..).zip(patched).map(|(port, chassis)| patch_port("A", port, chassis, "br-ex", 0)));
    let mut engine = engine();
    let outside = engine.apply(facts).outside;
    assert!(outside.iter().all(|(_, there)| *there));
    (engine, outside.into_iter().map(|(at, _)| at).collect())
}

#[test]
fn a_router_asks_where_its_switch_meets_a_physical_network_here() {
    let (engine, outside) = told(true, &[ME]);
    let [at] = &outside[..] else { panic!("{outside:?}") };
    assert_eq!((&*at.ls, at.works, at.substitute, at.mac), ("A", true, None, [0xf2, 1, 10, 1, 0, 0xfe]));
    let ask = of(&engine, Rule::NeighbourAsk);
    assert_eq!(ask.len(), 2, "one for each network: {ask:#?}");
    for hop in ["reg0=0xa010000/0xffff0000", "reg0=0xfd000001"] {
        let text = ask.iter().find(|flow| flow.contains(hop)).unwrap_or_else(|| panic!("{hop}: {ask:#?}"));
        assert!(text.contains("userdata=02.01") && text.contains("meter_id=2"), "{text}");
    }
    assert_eq!(of(&engine, Rule::NeighbourLearn).len(), 2);

    let (engine, outside) = told(true, &[]);
    assert!(outside.is_empty() && of(&engine, Rule::NeighbourAsk).is_empty());
    // On another host only: there the router is not.
    let (engine, outside) = told(true, &["hv2"]);
    assert!(outside.is_empty() && of(&engine, Rule::NeighbourAsk).is_empty());
}

#[test]
fn a_chassis_that_does_not_speak_for_a_router_asks_in_its_own_name() {
    let (_, outside) = told(false, &[ME, "hv2"]);
    assert_eq!(outside.iter().map(|at| at.substitute).collect::<Vec<_>>(), [None]);
    // hv0 comes first.
    let (engine, outside) = told(false, &[ME, "hv0"]);
    let [Some([0xf2, 3, ..])] = outside.iter().map(|at| at.substitute).collect::<Vec<_>>()[..] else {
        panic!("{outside:?}")
    };
    let asker = Mac(outside[0].asker()).to_string();
    assert!(of(&engine, Rule::NeighbourLearn).iter().all(|flow| flow.contains(&asker)));
}

#[test]
fn a_neighbour_is_one_flow_a_router_below_what_the_network_knows_itself() {
    let (mut engine, _) = told(true, &[ME]);
    let before = engine.flow_count();
    let output = engine.apply([neighbour("10.1.0.77", Some(7))]);
    assert_eq!((output.flows.len(), engine.flow_count() - before), (3, 3));
    let flows = of(&engine, Rule::Neighbour);
    let flow = flows.first().unwrap();
    assert!(flow.contains("priority=60") && flow.contains("reg0=0xa01004d"), "{flow}");
    assert!(flow.contains("02:00:00:00:00:07"), "{flow}");
    // Another MAC: in its place, never missing.
    let output = engine.apply([neighbour("10.1.0.77", Some(8))]);
    let deleted = output.flows.iter().filter(|change| matches!(change, FlowChange::Delete { table: 75, .. })).count();
    assert_eq!((of(&engine, Rule::Neighbour).len(), deleted), (1, 0));
    // What no network of the router holds is nobody's neighbour; and a port's own address stays the port's.
    engine.apply([neighbour("10.99.0.1", Some(9)), neighbour("10.1.0.2", Some(9))]);
    let flows = of(&engine, Rule::Neighbour);
    assert_eq!(flows.len(), 2, "{flows:#?}");
    let hop = |flow: &&String| flow.contains("reg0=0xa010002,");
    let port = of(&engine, Rule::NextHop).into_iter().find(|flow| hop(&flow)).unwrap();
    assert!(port.contains("priority=100"), "{port}");
    engine.apply([neighbour("10.1.0.77", None), neighbour("10.99.0.1", None), neighbour("10.1.0.2", None)]);
    assert_eq!(engine.flow_count(), before);
}

#[test]
fn our_own_addresses_are_told_where_they_are_reached() {
    let (mut engine, _) = told(true, &[ME]);
    let snat = r#"{"type":"snat","prefix":"10.2.0.0/16","xlate_ip":"10.1.0.99"}"#;
    let output = engine.apply([object("lr/R/lnat/out", snat)]);
    let [(own, true)] = &output.own[..] else { panic!("{:?}", output.own) };
    assert_eq!((own.ip.to_string(), own.mac), ("10.1.0.99".into(), [0xf2, 1, 10, 1, 0, 0xfe]));
    // Without its bridge none of them is reached: the router's own two, and that.
    let output = engine.apply([pair(1, 200, "br-ex", 0)]);
    assert_eq!(output.own.iter().map(|(_, there)| there).collect::<Vec<_>>(), [&false; 3]);
    let output = engine.apply([pair(1, 200, "br-ex", 34)]);
    assert_eq!(output.own.iter().map(|(_, there)| there).collect::<Vec<_>>(), [&true; 3]);
    // Another chassis speaks for it.
    let output = engine.apply([pinned_lr("R", 3, "hv2")]);
    assert_eq!(output.own.iter().map(|(_, there)| there).collect::<Vec<_>>(), [&false; 3]);
}

#[test]
fn a_bridge_that_comes_and_goes_changes_no_neighbour() {
    let (mut engine, _) = told(true, &[ME]);
    engine.apply([neighbour("fd00:1::77", Some(7))]);
    let neighbours = of(&engine, Rule::Neighbour);
    let output = engine.apply([pair(1, 200, "br-ex", 0)]);
    let outside: BTreeSet<_> = output.outside.iter().map(|(at, there)| (at.works, *there)).collect();
    assert_eq!(outside, BTreeSet::from([(true, false), (false, true)]));
    assert_eq!(of(&engine, Rule::Neighbour), neighbours);
    let output = engine.apply([delete("ls/A/lsp/A-p200")]);
    assert_eq!(output.outside.len(), 1);
    assert!(of(&engine, Rule::Neighbour).is_empty() && of(&engine, Rule::NeighbourAsk).is_empty());
}
