//! Answers to probes: recognised where a router meets a physical network here, and nowhere else.

mod common;

use common::*;
use tuplenet_rules::{Change, Engine, cookie::Cookie, cookie::Rule, stage};

fn probe(target: &str, wanted: bool) -> Change {
    Change::Probe { target: target.parse().expect("an address"), wanted }
}

/// A pinned router here with an uplink, and an inner switch.
fn edge() -> Engine {
    let mut engine = engine();
    engine.apply([chassis(ME, "192.0.2.1"), ls("A", 1), ls("B", 2), pinned_lr("P", 3, ME)]);
    engine.apply(link("P", "A", 1, 1, 254));
    engine.apply(link("P", "B", 2, 2, 254));
    engine.apply([patch_port("A", 9, ME, "br-ex", 0)]);
    engine
}

fn answers(engine: &Engine) -> Vec<(u8, String)> {
    let ours = engine.flows().filter(|f| Cookie::decode(f.cookie).is_some_and(|c| c.rule == Rule::ProbeAnswer));
    ours.map(|flow| (flow.table, text(&flow))).collect()
}

#[test]
fn two_flows_an_address_at_uplinks_only() {
    let mut engine = edge();
    assert!(answers(&engine).is_empty(), "nobody probes");
    let output = engine.apply([probe("10.1.0.1", true)]);
    assert_eq!(output.flows.len(), 2);
    let flows = answers(&engine);
    let tables: Vec<u8> = flows.iter().map(|(table, _)| *table).collect();
    assert!(
        tables.contains(&stage::LRP_INGRESS_DROP_UNEXPECT.table)
            && tables.contains(&stage::LRP_INGRESS_DNAT_STAGE1.table)
    );
    for (_, flow) in &flows {
        for part in ["nw_src=10.1.0.1", "nw_dst=10.1.0.254", "icmp_type=0", "controller("] {
            assert!(flow.contains(part), "{part} is not in {flow}");
        }
    }
    engine.apply([probe("2001:db8::1", true), probe("10.1.0.1", false)]);
    let flows = answers(&engine);
    assert!(flows.len() == 2 && flows.iter().all(|(_, flow)| flow.contains("icmp_type=129")), "{flows:?}");
    engine.apply([delete("ls/A/lsp/A-p9")]);
    assert!(answers(&engine).is_empty(), "no uplink");
}
