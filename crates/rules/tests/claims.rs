//! Who claims a port, and what becomes of it when two hosts do.

mod common;

use common::*;
use tuplenet_rules::{Change, ClaimChange, Engine, Output};

fn want(generation: u64, interface: u128) -> ClaimChange {
    ClaimChange::Want { ls: name("A"), lsp: name("A-1"), generation, interface }
}

fn release(generation: u64) -> ClaimChange {
    ClaimChange::Release { ls: name("A"), lsp: name("A-1"), generation }
}

/// A host with a switch and a port, nothing bound.
fn host() -> Engine {
    let mut engine = engine();
    engine.apply([tunnel(1), chassis("hv1", "192.0.2.1"), chassis("hv2", "192.0.2.2"), ls("A", 1), lsp("A", 1, 1)]);
    engine
}

fn flows_say(engine: &Engine, needle: &str) -> bool {
    engine.flows().any(|flow| flow.to_string().contains(needle))
}

#[test]
fn a_fresh_interface_claims_the_generation_after_the_present_one() {
    let mut engine = host();
    assert_eq!(engine.apply([interface(7, "A-1", 11)]).claims, [want(1, 7)]);
    assert!(flows_say(&engine, "in_port=11"), "a local port works before the store knows");

    let mut engine = host();
    engine.apply([binding("A", "A-1", "hv2", 4)]);
    assert_eq!(engine.apply([interface(7, "A-1", 11)]).claims, [want(5, 7)]);
}

#[test]
fn once_written_and_marked_nothing_is_wanted() {
    let mut engine = host();
    engine.apply([interface(7, "A-1", 11)]);
    // The store tells before the Interface is marked: the same generation is still wanted, for the mark.
    assert_eq!(engine.apply([binding("A", "A-1", "hv1", 1)]).claims, []);
    let output = engine.apply([marked_interface(7, "A-1", 11, Some(("A/A-1", 1)))]);
    assert_eq!(output.claims, []);
    assert!(output.flows.is_empty(), "a mark changes no flow: {:?}", output.flows);
}

#[test]
fn a_later_claim_elsewhere_wins_and_is_not_fought() {
    let mut engine = host();
    engine.apply([binding("A", "A-1", "hv1", 1), marked_interface(7, "A-1", 11, Some(("A/A-1", 1)))]);
    let output = engine.apply([binding("A", "A-1", "hv2", 2)]);
    assert_eq!(output.claims, []);
    assert_eq!(output.notices.len(), 1, "{:?}", output.notices);
    assert!(output.notices[0].contains("hv2") && output.notices[0].contains("A/A-1"), "{:?}", output.notices);
    assert!(!flows_say(&engine, "in_port=11"), "the port is hv2's now");

    // Neither a restart (the facts told again) nor a new number of the Interface takes it back ...
    assert_eq!(engine.apply([marked_interface(7, "A-1", 12, Some(("A/A-1", 1)))]).claims, []);
    // ... but an Interface that is made again does.
    engine.apply([Change::Interface { id: 7, interface: None }]);
    assert_eq!(engine.apply([interface(8, "A-1", 12)]).claims, [want(3, 8)]);
}

#[test]
fn a_binding_lost_by_hand_is_wanted_again() {
    let mut engine = host();
    engine.apply([binding("A", "A-1", "hv1", 3), marked_interface(7, "A-1", 11, Some(("A/A-1", 3)))]);
    assert_eq!(engine.apply([delete("binding/A/A-1")]).claims, [want(4, 7)]);
}

#[test]
fn a_binding_of_ours_with_nothing_behind_it_is_released() {
    let mut engine = host();
    engine.apply([binding("A", "A-1", "hv1", 3), marked_interface(7, "A-1", 11, Some(("A/A-1", 3)))]);
    assert_eq!(engine.apply([Change::Interface { id: 7, interface: None }]).claims, [release(3)]);
    // One of another chassis is none of our business.
    let mut engine = host();
    assert_eq!(engine.apply([binding("A", "A-1", "hv2", 3)]).claims, []);
}

#[test]
fn an_interface_without_a_number_keeps_its_claim() {
    let mut engine = host();
    engine.apply([binding("A", "A-1", "hv1", 3), marked_interface(7, "A-1", 11, Some(("A/A-1", 3)))]);
    let output = engine.apply([marked_interface(7, "A-1", 0, Some(("A/A-1", 3)))]);
    assert_eq!(output.claims, []);
    assert!(!flows_say(&engine, "in_port=11"));
}

#[test]
fn equal_names_in_two_switches_need_the_switch() {
    let mut engine = host();
    let also =
        |ls: &str| object(format!("ls/{ls}/lsp/A-1"), r#"{"port_id":9,"mac":"02:00:00:00:00:09","ips":["10.9.0.9"]}"#);
    engine.apply([ls("B", 2), also("B")]);
    let output = engine.apply([interface(7, "A-1", 11)]);
    assert_eq!(output.claims, []);
    assert!(output.notices[0].contains("A/A-1, B/A-1"), "{:?}", output.notices);
    assert_eq!(engine.apply([interface(7, "A/A-1", 11)]).claims, [want(1, 7)]);
}

#[test]
fn of_two_interfaces_for_one_port_the_first_has_it() {
    let mut engine = host();
    engine.apply([interface(7, "A-1", 11)]);
    let output = engine.apply([interface(8, "A-1", 12)]);
    assert_eq!(output.claims, []);
    assert!(output.notices[0].contains("vif8") && output.notices[0].contains("vif7"), "{:?}", output.notices);
    assert!(flows_say(&engine, "in_port=11") && !flows_say(&engine, "in_port=12"));
    engine.apply([Change::Interface { id: 7, interface: None }]);
    assert!(flows_say(&engine, "in_port=12"));
}

#[test]
fn two_hosts_with_one_iface_id_settle_on_the_newer_claim() {
    // Both engines see one store; each writes what it wants, and marks its Interface, as an agent does.
    let mut hosts = [host(), Engine::new(tuplenet_rules::Config { chassis: name("hv2"), scope: Default::default() })];
    hosts[1].apply([tunnel(1), chassis("hv1", "192.0.2.1"), chassis("hv2", "192.0.2.2"), ls("A", 1), lsp("A", 1, 1)]);
    let mut pending: Vec<(usize, Output)> = Vec::new();
    for host in [0, 1] {
        let output = hosts[host].apply([interface(host as u128, "A-1", 11)]);
        pending.push((host, output));
    }
    let mut binding_now: Option<(usize, u64)> = None;
    let mut writes = 0;
    while let Some((host, output)) = pending.pop() {
        for claim in output.claims {
            let ClaimChange::Want { generation, interface: id, .. } = claim else {
                panic!("nothing to release: {claim:?}")
            };
            // Compare and set: a write that did not see the present binding fails, and the host waits for the event.
            if generation != binding_now.map_or(0, |(_, g)| g) + 1 {
                continue;
            }
            writes += 1;
            assert!(writes < 5, "they fight");
            binding_now = Some((host, generation));
            pending.push((host, hosts[host].apply([marked_interface(id, "A-1", 11, Some(("A/A-1", generation)))])));
            for (other, engine) in hosts.iter_mut().enumerate() {
                pending.push((other, engine.apply([binding("A", "A-1", ["hv1", "hv2"][host], generation)])));
            }
        }
    }
    let (winner, _) = binding_now.expect("somebody claimed it");
    for (host, engine) in hosts.iter().enumerate() {
        assert_eq!(flows_say(engine, "in_port=11"), host == winner, "host {host}, winner {winner}");
    }
}

#[test]
fn an_iface_id_that_names_no_port_is_told() {
    let mut engine = host();
    for (id, wrong) in [(7, "A-11"), (8, "B/A-1"), (9, "A/"), (10, "a/b/c")] {
        let output = engine.apply([interface(id, wrong, 11)]);
        assert_eq!(output.claims, []);
        assert_eq!(output.notices.len(), 1, "{wrong}: {:?}", output.notices);
        assert!(
            output.notices[0].contains(wrong) && output.notices[0].contains("tpctl lsp add"),
            "{:?}",
            output.notices
        );
    }
    // It is bound as soon as the port exists, without another word.
    let output = engine.apply([lsp("A", 1, 11)]);
    assert_eq!((output.claims.len(), output.notices.len()), (1, 0), "{output:?}");
}
