//! Cost follows the change: what one change touches does not depend on how large the network is.

mod common;

use common::*;
use tuplenet_rules::{Change, Engine, FlowChange};

/// Two switches and a router, with so many remote ports on each.
fn network(ports: u16) -> Engine {
    let mut engine = engine();
    engine.apply(two_hosts());
    let remote = (300..300 + ports).flat_map(|p| {
        let bind = |ls: &str| binding(ls, &format!("{ls}-{p}"), "hv2", 1);
        [lsp("A", 1, p), bind("A"), lsp("B", 2, p), bind("B")]
    });
    engine.apply(remote);
    engine
}

/// (rows touched, flow changes as text) of one transaction.
fn cost(engine: &mut Engine, changes: Vec<Change>) -> (u64, Vec<String>) {
    let before = engine.counters().rows_touched;
    let output = engine.apply(changes);
    let flows = output.flows.iter().map(|change| match change {
        FlowChange::Set(flow) => text(flow),
        FlowChange::Delete { table, priority, matching } => format!("delete {table} {priority} {matching}"),
    });
    let mut flows: Vec<String> = flows.collect();
    flows.sort(); // the order within one bundle means nothing
    (engine.counters().rows_touched - before, flows)
}

/// What is done to the network, and a part of the text that each flow which it touches contains.
fn changes() -> Vec<(&'static str, Vec<Change>, Vec<&'static str>)> {
    let new = vec![lsp("A", 1, 9), binding("A", "A-9", "hv2", 1)];
    let gone = vec![delete("ls/A/lsp/A-9"), delete("binding/A/A-9")];
    let route = |hop: &str| {
        object("lr/R/lsr/out", format!(r#"{{"prefix":"198.51.100.0/24","next_hop":"{hop}","outport":"R_to_A"}}"#))
    };
    let ninth = vec!["10.1.0.9", "fd00:1::9", "f2:01:0a:01:00:09", "0xa010009", "=0x9,", "0x9"];
    vec![
        ("a port is added", new, ninth.clone()),
        (
            "it moves here",
            vec![interface(9, "A-9", 19)],
            vec!["f2:01:0a:01:00:09", "reg5=0x9", "in_port=19", "10.1.0.9", "fd00:1::9"],
        ),
        (
            "it leaves",
            vec![Change::Interface { id: 9, interface: None }],
            vec!["f2:01:0a:01:00:09", "reg5=0x9", "in_port=19", "10.1.0.9", "fd00:1::9"],
        ),
        ("it goes", gone, ninth),
        ("a route is added", vec![route("10.1.0.2")], vec!["198.51.100.0/24"]),
        ("it is changed", vec![route("10.1.1.44")], vec!["198.51.100.0/24"]),
        ("another switch comes", vec![ls("C", 9), lsp("C", 3, 1), binding("C", "C-1", "hv2", 1)], vec![]),
        ("a description changes", vec![object("ls/A", r#"{"id":1,"description":"new words"}"#)], vec![]),
    ]
}

#[test]
fn a_change_costs_the_same_in_a_large_network() {
    let (mut small, mut large) = (network(20), network(2_000));
    for (what, change, mentions) in changes() {
        let (rows_small, flows_small) = cost(&mut small, change.clone());
        let (rows_large, flows_large) = cost(&mut large, change);
        assert_eq!(flows_small, flows_large, "{what}");
        assert!(
            rows_large <= rows_small + 8,
            "{what}: {rows_small} rows touched among 20 ports, {rows_large} among 2,000"
        );
        assert!(flows_large.len() <= 16, "{what}: {} flows", flows_large.len());
        for flow in &flows_large {
            assert!(
                mentions.iter().any(|m| flow.contains(m)),
                "{what}: touches a flow that does not mention it: {flow}"
            );
        }
    }
}

#[test]
fn a_member_of_a_flood_group_is_one_bucket() {
    let mut engine = network(200);
    engine.apply([flooding_ls("A", 1)]);
    let output = engine.apply([lsp("A", 1, 9), interface(9, "A-9", 19)]);
    assert_eq!(output.groups.len(), 1, "{:?}", output.groups);
    let output = engine.apply([lsp("A", 1, 8), binding("A", "A-8", "hv2", 1)]);
    assert_eq!(output.groups, [], "hv2 has ports of A already: its one copy serves this one too");
}

#[test]
fn an_interface_that_names_the_switch_costs_nothing_for_equal_names_elsewhere() {
    let port = |n: u32| {
        let json = r#"{"port_id":1,"mac":"f2:01:0a:00:00:01","ips":["10.0.0.1"]}"#;
        [ls(&format!("S{n}"), n), object(format!("ls/S{n}/lsp/eth0"), json)]
    };
    let mut costs = Vec::new();
    for switches in [3, 300] {
        let mut engine = engine();
        engine.apply((1..=switches).flat_map(port));
        let (bound, _) = cost(&mut engine, vec![interface(7, "S2/eth0", 11)]);
        let (elsewhere, flows) = cost(&mut engine, port(1_000).into());
        assert_eq!(flows, Vec::<String>::new());
        let (gone, _) = cost(&mut engine, vec![Change::Interface { id: 7, interface: None }]);
        costs.push((bound, elsewhere, gone));
    }
    assert_eq!(costs[0], costs[1], "rows touched among 3 and among 300 switches");
}
