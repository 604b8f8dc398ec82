//! Address translation: which flows a rule makes, where, and what they cost.

mod common;

use common::*;
use std::collections::BTreeSet;
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, Engine, Output,
    cookie::{Cookie, Rule},
    stage,
};

/// A router between an inner switch and one that leads outside.
fn edge(chassis: Option<&str>, patch_at: &str) -> Vec<Change> {
    let mut changes = two_hosts();
    let chassis = chassis.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""));
    changes.extend([
        object("lr/R", format!(r#"{{"id":3,"chassis":{chassis}}}"#)),
        ls("out", 7),
        object("ls/out/lsp/phys", format!(r#"{{"port_id":50,"patch":{{"chassis":"{patch_at}","bridge":"br-ex"}}}}"#)),
    ]);
    changes.extend(link("R", "out", 9, 9, 100));
    changes
}

fn nat(name: &str, kind: &str, prefix: &str, xlate_ip: &str) -> Change {
    object(format!("lr/R/lnat/{name}"), format!(r#"{{"type":"{kind}","prefix":"{prefix}","xlate_ip":"{xlate_ip}"}}"#))
}

fn spread(name: &str, prefix: &str, xlate_ip: &str) -> Change {
    let json = format!(r#"{{"type":"floating","prefix":"{prefix}","xlate_ip":"{xlate_ip}","distributed":true}}"#);
    object(format!("lr/R/lnat/{name}"), json)
}

fn is_nat(rule: Rule) -> bool {
    use Rule::{Dnat, FloatingIn, FloatingOut, Snat, Undnat, Unsnat};
    matches!(rule, Unsnat | Dnat | Undnat | Snat | FloatingIn | FloatingOut)
}

fn nat_flows(engine: &Engine) -> Vec<Flow> {
    let of_nat = |flow: &Flow| Cookie::decode(flow.cookie).is_some_and(|cookie| is_nat(cookie.rule));
    engine.flows().filter(of_nat).collect()
}

fn texts<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> BTreeSet<String> {
    flows.into_iter().map(ToString::to_string).collect()
}

fn in_stage(engine: &Engine, stage: stage::Stage, part: &str) -> Vec<String> {
    let flows: Vec<Flow> = engine.flows().filter(|flow| flow.table == stage.table).collect();
    texts(&flows).into_iter().filter(|text| text.contains(part)).collect()
}

fn rejected(engine: &Engine, key: &str) -> Option<String> {
    engine.rejected().find(|reject| reject.key == key).map(|reject| reject.reason.clone())
}

/// One rule of each kind and family.
fn all_kinds() -> Vec<Change> {
    vec![
        nat("snat4", "snat", "10.1.0.0/16", "10.9.0.254"),
        nat("snat6", "snat", "fd00:1::/64", "fd00:9::5"),
        nat("dnat4", "dnat", "10.9.0.7/32", "10.2.0.7"),
        nat("dnat6", "dnat", "fd00:9::7/128", "fd00:2::7"),
        nat("float4", "floating", "10.1.0.1/32", "10.9.0.8"),
        nat("float6", "floating", "fd00:1::1/128", "fd00:9::8"),
    ]
}

#[test]
fn without_a_rule_there_is_no_flow_of_nat_and_no_conntrack() {
    let mut engine = engine();
    engine.apply(edge(Some(ME), ME));
    assert_eq!(texts(&nat_flows(&engine)), BTreeSet::new());
    assert!(engine.flows().all(|flow| !flow.to_string().contains("ct(")));
}

#[test]
fn conntrack_sees_only_what_rules_concern() {
    let mut engine = engine();
    engine.apply(edge(Some(ME), ME));
    engine.apply(all_kinds());
    let tracked: Vec<String> = texts(&nat_flows(&engine)).into_iter().filter(|text| text.contains("ct(")).collect();
    assert!(!tracked.is_empty());
    for text in tracked {
        assert!(text.contains("metadata=0x3"), "of this router alone: {text}");
        assert!(text.contains("zone=3"), "in its zone: {text}");
        let side = text.contains("reg4=0x9") && (text.contains("_dst="))
            || text.contains("reg5=0x9") && (text.contains("_src=") || text.contains("icmp_type="));
        assert!(side, "at the uplink and by an address of a rule, or an error: {text}");
    }
}

#[test]
fn rules_work_where_the_router_is_and_at_uplinks_only() {
    for (chassis, patch_at, works) in
        [(Some("hv1"), "hv1", true), (Some("hv1"), "hv2", true), (Some("hv2"), "hv1", false), (None, "hv1", false)]
    {
        let mut engine = engine();
        engine.apply(edge(chassis, patch_at));
        engine.apply(all_kinds());
        assert_eq!(!nat_flows(&engine).is_empty(), works, "{chassis:?} {patch_at}");
        let told = rejected(&engine, "lr/R/lnat/snat4");
        assert_eq!(told.is_some(), chassis.is_none(), "{told:?}");
    }
    let mut engine = engine();
    engine.apply(edge(Some(ME), ME));
    engine.apply(all_kinds());
    engine.apply([delete("ls/out/lsp/phys")]);
    assert_eq!(texts(&nat_flows(&engine)), BTreeSet::new(), "a switch without a patch port is no outside");
}

#[test]
fn external_addresses_are_answered_with_the_routers_mac() {
    // Here, and where the router is elsewhere.
    for chassis in ["hv1", "hv2"] {
        let mut engine = engine();
        engine.apply(edge(Some(chassis), chassis));
        engine.apply([lsp("out", 9, 3), interface(3, "out-3", 13)]);
        engine.apply(all_kinds());
        for ip in ["arp_tpa=10.9.0.7", "arp_tpa=10.9.0.8", "nd_target=fd00:9::7", "nd_target=fd00:9::5"] {
            let found = in_stage(&engine, stage::LSP_INGRESS_ARP_RESPONSE, ip);
            assert_eq!(found.len(), 1, "{chassis}, {ip}: {found:?}");
            assert!(found[0].contains("set_field:f2:01:0a:09:00:fe->eth_src"), "{found:?}");
        }
        // The router's own is answered by the port, once.
        let own = in_stage(&engine, stage::LSP_INGRESS_ARP_RESPONSE, "arp_tpa=10.9.0.254");
        assert!(own.iter().all(|text| text.contains("priority=100")), "{own:?}");
    }
}

#[test]
fn a_rule_added_and_taken_away_touches_a_few_flows_and_leaves_no_trace() {
    for changes in all_kinds() {
        let mut engine = engine();
        engine.apply(edge(Some(ME), ME));
        engine.apply(
            (2..200_u8).map(|n| nat(&format!("f{n}"), "floating", &format!("10.1.2.{n}/32"), &format!("10.9.2.{n}"))),
        );
        let (flows, rows) = (texts(&engine.flows().collect::<Vec<_>>()), engine.counters().rows_touched);
        let mut switch = Switch::of(&engine);
        let path = subject(&changes);
        let output = engine.apply([changes.clone()]);
        let touched = engine.counters().rows_touched - rows;
        assert!(output.flows.len() <= 10, "{path}: {} flows", output.flows.len());
        assert!(touched < 400, "{path}: {touched} rows");
        switch.apply(&output);
        let with = switch.flows.clone();
        switch.apply(&engine.apply([delete(path.clone())]));
        assert_eq!(texts(&engine.flows().collect::<Vec<_>>()), flows, "{path}");
        switch.apply(&engine.apply([changes]));
        assert_eq!(switch.flows, with, "{path} again");
    }
}

#[test]
fn the_order_of_what_comes_does_not_matter() {
    let mut all = edge(Some(ME), ME);
    all.extend(all_kinds());
    // The router is told twice, first as one that is on all hosts.
    all.remove(all.iter().position(|change| subject(change) == "lr/R").expect("there is a router"));
    let mut forwards = engine();
    forwards.apply(all.clone());
    let mut backwards = engine();
    for change in all.into_iter().rev() {
        backwards.apply([change]);
    }
    assert!(Switch::of(&forwards) == Switch::of(&backwards));
}

#[test]
fn rules_that_share_an_address_share_its_flows() {
    let mut engine = engine();
    engine.apply(edge(Some(ME), ME));
    engine.apply([nat("a", "snat", "10.1.0.0/16", "10.9.0.5"), nat("b", "snat", "10.2.0.0/16", "10.9.0.5")]);
    let unsnat = in_stage(&engine, stage::LRP_INGRESS_UNSNAT_STAGE1, "10.9.0.5");
    assert_eq!(unsnat.len(), 1, "{unsnat:?}");
    engine.apply([delete("lr/R/lnat/a")]);
    assert_eq!(in_stage(&engine, stage::LRP_INGRESS_UNSNAT_STAGE1, "10.9.0.5").len(), 1);
    engine.apply([delete("lr/R/lnat/b")]);
    assert_eq!(texts(&nat_flows(&engine)), BTreeSet::new());
}

#[test]
fn a_distributed_floating_address_is_where_its_vm_is() {
    // The router is on all hosts; A-1 is here, A-2 on hv2.
    let mut engine = engine();
    engine.apply(edge(None, ME));
    engine.apply([spread("one", "10.1.0.1/32", "10.9.0.11"), spread("two", "10.1.0.2/32", "10.9.0.12")]);
    let ct = |ip: &str| in_stage(&engine, stage::LRP_INGRESS_UNSNAT_STAGE1, ip).len();
    assert_eq!((ct("10.9.0.11"), ct("10.9.0.12")), (1, 0), "translated at the VM's host");
    for (ip, mac) in [("10.9.0.11", "f2:01:0a:09:00:0b"), ("10.9.0.12", "f2:01:0a:09:00:0c")] {
        let answer = in_stage(&engine, stage::LSP_INGRESS_ARP_RESPONSE, &format!("arp_tpa={ip}"));
        assert!(answer.iter().any(|text| text.contains(&format!("set_field:{mac}->eth_src"))), "{ip}: {answer:?}");
        assert_eq!(in_stage(&engine, stage::LSP_INGRESS_LOOKUP_DST_PORT, &format!("dl_dst={mac}")).len(), 1, "{mac}");
    }
    let away = in_stage(&engine, stage::LSP_INGRESS_LOOKUP_DST_PORT, "dl_dst=f2:01:0a:09:00:0c");
    assert!(away[0].contains("0xc0000202"), "by tunnel to hv2: {away:?}");
    let far = in_stage(&engine, stage::LRP_EGRESS_UPDATE_ETH_DST, "nw_dst=10.9.0.12");
    assert!(far.len() == 1 && far[0].contains("f2:01:0a:09:00:0c"), "{far:?}");
    let hairpin = in_stage(&engine, stage::LRP_EGRESS_UPDATE_ETH_DST, "nw_dst=10.9.0.11");
    assert!(hairpin.len() == 1 && hairpin[0].contains("resubmit(,50)"), "{hairpin:?}");
    // It moves here, and back.
    let before = Switch::of(&engine);
    let marked = marked_interface(5, "A-2", 15, Some(("A/A-2", 2)));
    engine.apply([binding("A", "A-2", "hv1", 2), marked]);
    assert_eq!(in_stage(&engine, stage::LRP_INGRESS_UNSNAT_STAGE1, "10.9.0.12").len(), 1);
    assert_eq!(in_stage(&engine, stage::LRP_EGRESS_FORWARD_PACKET, "nw_src=10.9.0.12").len(), 1, "from its own MAC");
    engine.apply([binding("A", "A-2", "hv2", 3), Change::Interface { id: 5, interface: None }]);
    assert!(Switch::of(&engine) == before);
}

#[test]
fn a_distributed_rule_of_a_pinned_router_works_there() {
    let mut engine = engine();
    engine.apply(edge(Some(ME), ME));
    engine.apply([spread("two", "10.1.0.2/32", "10.9.0.12")]);
    assert_eq!(in_stage(&engine, stage::LRP_INGRESS_UNSNAT_STAGE1, "10.9.0.12").len(), 1);
    let answer = in_stage(&engine, stage::LSP_INGRESS_ARP_RESPONSE, "arp_tpa=10.9.0.12");
    assert!(answer.iter().all(|text| text.contains("f2:01:0a:09:00:fe")), "the router's MAC: {answer:?}");
}

#[test]
fn one_host_speaks_for_an_external_address_on_the_physical_network() {
    let outside = |engine: &Engine, stage, part: &str| -> Vec<String> {
        let found = in_stage(engine, stage, part);
        found.into_iter().filter(|text| text.contains("reg6=0x20/0x20") && text.contains("drop")).collect()
    };
    let patch = |n: u16, chassis: &str| {
        object(
            format!("ls/out/lsp/phys{n}"),
            format!(r#"{{"port_id":{n},"patch":{{"chassis":"{chassis}","bridge":"br-ex"}}}}"#),
        )
    };
    // A router that is pinned elsewhere, where there is a patch port as well.
    for (pinned, silent) in [("hv1", 0), ("hv2", 1)] {
        let mut engine = engine();
        engine.apply(edge(Some(pinned), ME));
        engine.apply([patch(51, "hv2")]);
        engine.apply(all_kinds());
        for ip in ["arp_tpa=10.9.0.7", "nd_target=fd00:9::8"] {
            assert_eq!(outside(&engine, stage::LSP_INGRESS_ARP_RESPONSE, ip).len(), silent, "{pinned} {ip}");
        }
    }
    // Distributed: the VM's host, or for one without a patch port the designated host.
    for (at, silent) in [("hv2", 1), ("hv3", 0)] {
        let mut engine = engine();
        engine.apply(edge(None, ME));
        engine.apply([patch(51, "hv2"), chassis("hv3", "192.0.2.3"), binding("A", "A-2", at, 2)]);
        engine.apply([spread("one", "10.1.0.1/32", "10.9.0.11"), spread("two", "10.1.0.2/32", "10.9.0.12")]);
        assert_eq!(outside(&engine, stage::LSP_INGRESS_ARP_RESPONSE, "arp_tpa=10.9.0.11").len(), 0, "{at}");
        assert_eq!(outside(&engine, stage::LSP_INGRESS_ARP_RESPONSE, "arp_tpa=10.9.0.12").len(), silent, "{at}");
        let there = outside(&engine, stage::LSP_INGRESS_LOOKUP_DST_PORT, "dl_dst=f2:01:0a:09:00:0c");
        assert_eq!(there.len(), silent, "{at}: {there:?}");
        // Our own MACs do not come in from there.
        for mac in ["f2:01:0a:09:00:0b", "f2:01:0a:09:00:0c"] {
            let own = outside(&engine, stage::LSP_INGRESS_PORT_SECURITY, &format!("dl_src={mac}"));
            assert_eq!(own.len(), 1, "{at} {mac}");
        }
    }
}

/// Conntrack knows them by that, and must forget them then.
#[test]
fn it_is_told_which_addresses_are_translated_no_more() {
    let mut engine = engine();
    let told = |output: Output| -> Vec<(u16, String, bool)> {
        output.translated.into_iter().map(|(at, there)| (at.zone, at.ip.to_string(), there)).collect()
    };
    let mut changes = edge(Some("hv1"), "hv1");
    changes.push(nat("s", "snat", "10.1.0.0/24", "203.0.113.5"));
    assert_eq!(told(engine.apply(changes)), [(3, "203.0.113.5".to_owned(), true)]);
    // As long as one rule has it nobody forgets.
    assert_eq!(told(engine.apply(vec![nat("t", "snat", "10.3.0.0/24", "203.0.113.5")])), []);
    assert_eq!(told(engine.apply(vec![delete("lr/R/lnat/s")])), []);
    let mut other = told(engine.apply(vec![nat("t", "snat", "10.3.0.0/24", "203.0.113.6")]));
    other.sort();
    assert_eq!(other, [(3, "203.0.113.5".to_owned(), false), (3, "203.0.113.6".to_owned(), true)]);
    assert_eq!(told(engine.apply(vec![delete("lr/R")])), [(3, "203.0.113.6".to_owned(), false)]);
}
