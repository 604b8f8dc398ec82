//! How long packets may be that leave a router: what was set for the switch, or the least of what the hosts and bridges carry.

mod common;

use common::*;
use std::collections::BTreeSet;
use tuplenet_openflow::Action;
use tuplenet_rules::{
    Change, Engine, FlowChange,
    cookie::{Cookie, Rule},
};

fn told(name: &str, kind: &str, ip: &str, mtu: u32) -> Change {
    let encap = format!(r#"{{"type":"{kind}","ip":"{ip}"}}"#);
    object(format!("chassis/{name}"), format!(r#"{{"encaps":[{encap}],"roles":[],"mtu":{mtu}}}"#))
}

fn sized_ls(ls: &str, id: u32, mtu: u32) -> Change {
    object(format!("ls/{ls}"), format!(r#"{{"id":{id},"mtu":{mtu}}}"#))
}

fn bridge(mtu: Option<u32>) -> Change {
    Change::Bridge { name: "br-ex".into(), mtu }
}

/// Router port and MTU; the frame's limit is 14 bytes more, and routers' answers to pings are let pass.
fn mtus(engine: &Engine) -> BTreeSet<(u32, u32)> {
    let of_rule = |cookie| Cookie::decode(cookie).filter(|cookie| cookie.rule == Rule::Mtu);
    let flows = engine.flows().filter_map(|flow| Some((of_rule(flow.cookie)?, flow)));
    flows
        .map(|(cookie, flow)| {
            let text = flow.to_string();
            let frame = text.split_once("check_pkt_larger(").expect(&text).1.split_once(')').expect(&text).0;
            let mtu = frame.parse::<u32>().expect("a length") - 14;
            assert!(text.contains(&format!("reg5={:#x},", cookie.object)) || text.contains("reg5="), "{text}");
            assert!(text.contains(&format!("set_field:{mtu:#x}->reg13")), "{text}");
            assert!(text.contains("reg6=0/0x400") && text.contains("->NXM_NX_REG13[31],resubmit(,65)"), "{text}");
            (cookie.object, mtu)
        })
        .collect()
}

fn both(mtu: u32) -> BTreeSet<(u32, u32)> {
    [(1, mtu), (2, mtu)].into()
}

#[test]
fn nothing_is_compared_where_nobody_says_what_it_carries() {
    let mut engine = engine();
    engine.apply(two_hosts());
    assert_eq!(mtus(&engine), BTreeSet::new());
    assert!(engine.flows().all(|flow| !flow.to_string().contains("check_pkt_larger")));
}

#[test]
fn the_least_of_both_hosts_counts_less_what_the_tunnel_adds() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([told("hv1", "geneve", "192.0.2.1", 1500)]);
    assert_eq!(mtus(&engine), both(1438));
    engine.apply([told("hv2", "geneve", "192.0.2.2", 9000)]);
    assert_eq!(mtus(&engine), both(1438), "ours is less");
    engine.apply([told("hv1", "geneve", "192.0.2.1", 9000), told("hv2", "geneve", "192.0.2.2", 1480)]);
    assert_eq!(mtus(&engine), both(1418), "theirs is less");
    engine.apply([told("hv2", "geneve", "2001:db8::2", 1480)]);
    assert_eq!(mtus(&engine), both(1398), "an underlay of IPv6");
    // A host that nothing is sent to.
    engine.apply([told("hv3", "geneve", "192.0.2.3", 1300)]);
    assert_eq!(mtus(&engine), both(1398));
    engine.apply([binding("B", "B-2", "hv3", 2)]);
    assert_eq!(mtus(&engine), both(1238), "now it is");
    engine.apply([delete("binding/A/A-2"), delete("binding/B/B-2")]);
    assert_eq!(mtus(&engine), BTreeSet::new(), "no other host");
    let vast = [binding("A", "A-2", "hv2", 3), told("hv1", "geneve", "192.0.2.1", 65_536)];
    engine.apply(vast);
    engine.apply([told("hv2", "geneve", "192.0.2.2", 65_536)]);
    assert_eq!(mtus(&engine), both(65_474));
}

#[test]
fn other_tunnels_add_less() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([Change::Tunnel { kind: tuplenet_model::entity::EncapKind::Vxlan, remote: None, ofport: Some(2) }]);
    engine.apply([told("hv1", "geneve", "192.0.2.1", 1500), told("hv2", "vxlan", "192.0.2.2", 1500)]);
    assert_eq!(mtus(&engine), both(1450));
}

#[test]
fn what_was_set_for_a_switch_counts_alone() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([told("hv1", "geneve", "192.0.2.1", 1500)]);
    let before = Switch::of(&engine);
    let output = engine.apply([sized_ls("B", 2, 1300)]);
    assert_eq!(mtus(&engine), [(1, 1438), (2, 1300)].into());
    assert_eq!(output.flows.len(), 1, "{:?}", output.flows);
    assert!(matches!(&output.flows[..], [FlowChange::Set(_)]));
    engine.apply([sized_ls("B", 2, 9000)]);
    assert_eq!(mtus(&engine), [(1, 1438), (2, 9000)].into(), "whatever the hosts carry");
    engine.apply([sized_ls("B", 2, 65_535)]);
    let all: Vec<String> = engine.flows().map(|flow| flow.to_string()).collect();
    assert!(all.iter().any(|flow| flow.contains("check_pkt_larger(65535)")), "no frame is longer");
    engine.apply([sized_ls("B", 2, 1279)]);
    assert!(engine.rejected().any(|r| r.key == "ls/B" && r.reason.contains("1279 is less than IPv6 needs")));
    engine.apply([ls("B", 2)]);
    assert_eq!(Switch::of(&engine), before);
}

#[test]
fn what_leaves_by_a_bridge_is_no_longer_than_its_cards_take() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([told("hv1", "geneve", "192.0.2.1", 9000)]);
    engine.apply([patch_port("B", 50, ME, "br-ex", 0), pair(2, 50, "br-ex", 60)]);
    assert_eq!(mtus(&engine), both(8938), "the bridge says nothing");
    engine.apply([bridge(Some(1500))]);
    assert_eq!(mtus(&engine), [(1, 8938), (2, 1500)].into());
    // Large enough for the outside, and B has a port behind a tunnel.
    engine.apply([told("hv1", "geneve", "192.0.2.1", 1500)]);
    assert_eq!(mtus(&engine), [(1, 1438), (2, 1438)].into());
    // Without such a port its packets go by the bridge alone.
    engine.apply([delete("binding/B/B-2")]);
    assert_eq!(mtus(&engine), [(1, 1438), (2, 1500)].into());
    engine.apply([bridge(None)]);
    assert_eq!(mtus(&engine), [(1, 1438)].into());
    // The patch port is another host's: to there it goes by tunnel.
    engine.apply([patch_port("B", 50, "hv2", "br-ex", 0), bridge(Some(1300))]);
    assert_eq!(mtus(&engine), both(1438));
}

#[test]
fn what_is_too_long_goes_to_the_agent_whole_by_a_meter_of_its_own() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let ends = engine.flows().filter(|flow| flow.table == 65 && flow.priority > 0).collect::<Vec<_>>();
    let [end] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!(end.matching.to_string(), "reg13=0x80000000/0x80000000");
    let controller = end.instructions.iter().find_map(|instruction| match instruction {
        tuplenet_openflow::Instruction::ApplyActions(actions) => match &actions[..] {
            [Action::Controller(controller)] => Some(controller.clone()),
            _ => None,
        },
        _ => None,
    });
    let controller = controller.expect("a packet-in and nothing else");
    assert_eq!((controller.max_len, controller.meter_id, &controller.userdata[..]), (u16::MAX, 6, &[3, 5][..]));
}

/// One MTU more or less costs as many flows as there are links here.
#[test]
fn an_mtu_that_changes_touches_what_it_changes() {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([told("hv1", "geneve", "192.0.2.1", 9000), told("hv2", "geneve", "192.0.2.2", 9000)]);
    let count = |output: &tuplenet_rules::Output| output.flows.len();
    assert_eq!(count(&engine.apply([told("hv2", "geneve", "192.0.2.2", 1500)])), 2);
    assert_eq!(count(&engine.apply([told("hv1", "geneve", "192.0.2.1", 8000)])), 0, "not the least");
    let rows = engine.counters().rows_touched;
    engine.apply([lsp("B", 2, 77)]);
    let touched = engine.counters().rows_touched - rows;
    engine.apply([delete("ls/B/lsp/B-77"), delete("chassis/hv1"), delete("chassis/hv2")]);
    engine.apply([chassis("hv1", "192.0.2.1"), chassis("hv2", "192.0.2.2")]);
    let rows = engine.counters().rows_touched;
    engine.apply([lsp("B", 2, 77)]);
    assert_eq!(engine.counters().rows_touched - rows, touched, "a port costs the same with and without MTUs");
}
