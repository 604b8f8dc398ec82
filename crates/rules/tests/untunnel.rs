//! Direct return: what leaves by the host's own IP stack, what takes the tunnel all the same, and what that costs.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};
use tuplenet_model::mac::Mac;
use tuplenet_openflow::{Flow, field};
use tuplenet_rules::{
    Change, Engine, UntunnelPort,
    cookie::{Cookie, Rule},
    stage,
};

const OFPORT: u32 = 77;

fn port(ipv4: bool, ipv6: bool) -> Change {
    let port = UntunnelPort { ofport: OFPORT, mac: Mac([0xf2, 4, 0, 0, 0, 1]), ipv4, ipv6 };
    Change::Untunnel { port: (ipv4 || ipv6).then_some(port) }
}

fn lsr(lr: &str, name: &str, prefix: &str, hop: &str, outport: &str) -> Change {
    let json = format!(r#"{{"prefix":"{prefix}","next_hop":"{hop}","outport":"{outport}"}}"#);
    object(format!("lr/{lr}/lsr/{name}"), json)
}

fn lnat(lr: &str, name: &str, kind: &str, prefix: &str, xlate_ip: &str) -> Change {
    let json = format!(r#"{{"type":"{kind}","prefix":"{prefix}","xlate_ip":"{xlate_ip}"}}"#);
    object(format!("lr/{lr}/lnat/{name}"), json)
}

/// A router's port and the switch's, with the last byte of its addresses in that net.
fn joint(lr: &str, ls: &str, net: u8, last: u8, port_id: u16) -> [Change; 2] {
    let mac = format!("f2:01:0a:{net:02x}:00:{last:02x}");
    [
        object(
            format!("lr/{lr}/lrp/{lr}_to_{ls}"),
            format!(
                r#"{{"port_id":{port_id},"mac":"{mac}","nets":["10.{net}.0.{last}/16","fd00:{net:x}::{last:x}/64"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#
            ),
        ),
        object(
            format!("ls/{ls}/lsp/{ls}_to_{lr}"),
            format!(
                r#"{{"port_id":{port_id},"mac":"{mac}","ips":["10.{net}.0.{last}","fd00:{net:x}::{last:x}"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#
            ),
        ),
    ]
}

/// VMs on A and B, R between them; the edge E on hv2, joined to R by m (net 50), to the outside by out (net 9), and to another inner switch (net 60).
fn network() -> Vec<Change> {
    let mut changes = two_hosts();
    changes.extend([ls("m", 20), ls("out", 21), ls("deep", 22), pinned_lr("E", 23, "hv2")]);
    changes.extend(joint("R", "m", 50, 254, 30));
    changes.extend(joint("E", "m", 50, 1, 31));
    changes.extend(joint("E", "out", 9, 1, 32));
    changes.extend(joint("E", "deep", 60, 1, 33));
    changes.extend([
        object("ls/out/lsp/phys", r#"{"port_id":50,"patch":{"chassis":"hv2","bridge":"br-ex"}}"#),
        lsr("R", "out4", "0.0.0.0/0", "10.50.0.1", "R_to_m"),
        lsr("R", "out6", "::/0", "fd00:32::1", "R_to_m"),
        lsr("E", "out4", "0.0.0.0/0", "10.9.0.99", "E_to_out"),
        lsr("E", "out6", "::/0", "fd00:9::63", "E_to_out"),
        lsr("E", "back4", "10.0.0.0/12", "10.50.0.254", "E_to_m"),
    ]);
    changes
}

fn of_rule(engine: &Engine) -> Vec<Flow> {
    let of = |flow: &Flow| {
        Cookie::decode(flow.cookie).is_some_and(|cookie| matches!(cookie.rule, Rule::Untunnel | Rule::UntunnelIn))
    };
    engine.flows().filter(of).collect()
}

/// Whether a packet that R sends to the edge leaves by the host's own stack: the flows there, looked at one by one.
fn leaves(engine: &Engine, src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    let fits = |flow: &&Flow| {
        let prefix = |of, ip: Ipv4Addr| {
            flow.matching.get(of).is_none_or(|m| {
                let mask = m.mask.as_ref().map_or(u64::from(u32::MAX), |mask| mask.to_u64().unwrap());
                u64::from(u32::from(ip)) & mask == m.value.to_u64().unwrap() & mask
            })
        };
        flow.table == stage::LRP_EGRESS_UPDATE_ETH_DST.table
            && flow.to_string().contains(",ip,")
            && prefix(field::IPV4_DST, dst)
            && prefix(field::IPV4_SRC, src)
    };
    let flows: Vec<Flow> = of_rule(engine);
    let best = flows.iter().filter(fits).max_by_key(|flow| flow.priority);
    best.is_some_and(|flow| flow.to_string().contains("reg6"))
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn what_the_edge_would_send_on_leaves_here_and_the_rest_takes_the_tunnel() {
    let mut engine = engine();
    engine.apply(network());
    assert!(of_rule(&engine).is_empty(), "{:?}", of_rule(&engine));
    let before = Switch::of(&engine);
    let output = engine.apply([port(true, true)]);
    let mut switch = before;
    switch.apply(&output);
    assert_eq!(switch, Switch::of(&engine));
    let vm = v4("10.1.0.1");
    for (dst, out) in [
        ("198.51.100.7", true),
        ("10.9.0.99", true),  // a machine in the network outside
        ("10.9.0.1", false),  // the edge's own address there
        ("10.50.0.1", false), // and on this side
        ("10.60.0.5", false), // another inner network behind the edge
        ("10.12.0.1", false), // what it would send back
    ] {
        assert_eq!(leaves(&engine, vm, v4(dst)), out, "{dst}");
    }
    // What is sent there leaves by the port, for the MAC of the host's end; what comes in ends.
    let flows: Vec<String> = of_rule(&engine).iter().map(ToString::to_string).collect();
    let has = |parts: &[&str]| flows.iter().any(|flow| parts.iter().all(|part| flow.contains(part)));
    assert!(has(&["table=78", "set_field:f2:04:00:00:00:01->eth_dst", &format!("output:{OFPORT}")]), "{flows:#?}");
    assert!(has(&[&format!("in_port={OFPORT}"), "drop"]), "{flows:#?}");
    // Gone with the port, one family alone with that family.
    engine.apply([port(true, false)]);
    assert!(leaves(&engine, vm, v4("198.51.100.7")));
    assert!(of_rule(&engine).iter().all(|flow| !flow.to_string().contains("ipv6")));
    engine.apply([port(false, false)]);
    assert!(of_rule(&engine).is_empty());
}

#[test]
fn nothing_that_a_nat_rule_of_the_edge_covers_leaves_by_another_way() {
    let mut engine = engine();
    engine.apply(network());
    engine.apply([port(true, true)]);
    let before = Switch::of(&engine);
    let far = v4("198.51.100.7");
    for (kind, prefix, xlate, covered, free) in [
        ("snat", "10.1.0.0/24", "10.9.0.1", "10.1.0.1", "10.2.0.1"),
        ("floating", "10.2.0.1/32", "10.9.0.8", "10.2.0.1", "10.2.0.2"),
        ("dnat", "10.9.0.7/32", "10.2.0.2", "10.2.0.2", "10.2.0.1"),
        // One that contradicts nothing, but is nobody's to apply: it counts all the same.
        ("snat", "10.2.0.0/16", "203.0.113.1", "10.2.9.9", "10.1.0.1"),
    ] {
        engine.apply([lnat("E", "rule", kind, prefix, xlate)]);
        assert!(!leaves(&engine, v4(covered), far), "{kind} {prefix}: {covered} leaves untranslated");
        assert!(leaves(&engine, v4(free), far), "{kind} {prefix}: {free} takes the tunnel");
        assert!(!leaves(&engine, v4(free), v4(xlate)) || kind == "dnat", "{kind}: {xlate} is the edge's to translate");
        engine.apply([delete("lr/E/lnat/rule")]);
        assert_eq!(before, Switch::of(&engine), "{kind}: as before");
    }
    // The rules of another router are nobody's business here.
    engine.apply([lnat("R", "rule", "snat", "10.0.0.0/8", "10.9.0.1")]);
    assert!(leaves(&engine, v4("10.1.0.1"), far));
}

#[test]
fn only_edges_of_other_chassis_that_lead_outside_by_themselves() {
    let far = v4("198.51.100.7");
    let vm = v4("10.1.0.1");
    let leaves_after = |changes: Vec<Change>| {
        let mut engine = engine();
        engine.apply(network());
        engine.apply([port(true, true)]);
        assert!(leaves(&engine, vm, far));
        engine.apply(changes);
        leaves(&engine, vm, far)
    };
    // Pinned here, or on all hosts.
    assert!(!leaves_after(vec![pinned_lr("E", 23, ME)]));
    assert!(!leaves_after(vec![lr("E", 23)]));
    // Without a physical network, without a route that leads there.
    assert!(!leaves_after(vec![delete("ls/out/lsp/phys")]));
    assert!(!leaves_after(vec![delete("lr/E/lsr/out4")]));
    // The next one outside is a router of ours, which may translate.
    let mut behind = vec![pinned_lr("F", 40, "hv3")];
    behind.extend(joint("F", "out", 9, 99, 41));
    assert!(!leaves_after(behind));
    // The way to the edge is a physical network itself: no tunnel to spare.
    let patch = object("ls/m/lsp/phys", r#"{"port_id":50,"patch":{"chassis":"hv1","bridge":"br-ex"}}"#);
    assert!(!leaves_after(vec![patch]));
    // A route of the same prefix that stays inside is as good to the edge: it must decide itself.
    assert!(!leaves_after(vec![lsr("E", "other", "0.0.0.0/0", "10.60.0.9", "E_to_deep")]));
}

#[test]
fn a_vm_costs_nothing_and_a_route_of_the_edge_one_flow_for_each_way_there() {
    let mut engine = engine();
    engine.apply(network());
    engine.apply([port(true, true)]);
    let count = |engine: &Engine| of_rule(engine).len();
    let base = count(&engine);
    engine.apply((3..40).map(|n| lsp("A", 1, n)).chain((3..40).map(|n| binding("A", &format!("A-{n}"), "hv2", 1))));
    assert_eq!(count(&engine), base, "ports make none");
    engine.apply([lsr("E", "more", "192.0.2.0/24", "10.9.0.98", "E_to_out")]);
    assert_eq!(count(&engine), base + 1);
    // A second route here to the same next hop shares them.
    engine.apply([lsr("R", "more", "192.0.2.0/24", "10.50.0.1", "R_to_m")]);
    assert_eq!(count(&engine), base + 1);
    let steps = engine.counters().rows_touched;
    engine.apply([lsp("A", 1, 50)]);
    let with = engine.counters().rows_touched - steps;
    let mut without = common::engine();
    without.apply(network());
    without.apply((3..40).map(|n| lsp("A", 1, n)));
    let steps = without.counters().rows_touched;
    without.apply([lsp("A", 1, 50)]);
    assert_eq!(with, without.counters().rows_touched - steps, "a port costs what it costs without");
}

/// A text in a JSON object.
fn word<'a>(json: &'a str, key: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{key}\":\"")).unwrap();
    rest.split('"').next().unwrap()
}

/// Changes of the edge in any order and number.
fn change() -> impl Strategy<Value = Change> {
    let nets = prop::sample::select(vec!["0.0.0.0/0", "10.0.0.0/8", "198.51.100.0/24", "10.1.0.0/16", "10.2.0.1/32"]);
    let hops =
        prop::sample::select(vec![("10.9.0.99", "E_to_out"), ("10.60.0.9", "E_to_deep"), ("10.50.0.254", "E_to_m")]);
    let name = prop::sample::select(vec!["one", "two", "three"]);
    let kinds = prop::sample::select(vec!["snat", "floating", "dnat"]);
    prop_oneof![
        (name.clone(), nets.clone(), hops).prop_map(|(name, net, (hop, port))| lsr("E", name, net, hop, port)),
        name.clone().prop_map(|name| delete(format!("lr/E/lsr/{name}"))),
        (name.clone(), nets, kinds).prop_map(|(name, net, kind)| match kind {
            "snat" => lnat("E", name, "snat", net, "10.9.0.1"),
            "floating" => lnat("E", name, "floating", "10.1.0.1/32", "10.9.0.8"),
            _ => lnat("E", name, "dnat", "10.9.0.7/32", "10.2.0.1"),
        }),
        name.prop_map(|name| delete(format!("lr/E/lnat/{name}"))),
        any::<bool>().prop_map(|on| port(on, on)),
        any::<bool>().prop_map(|here| pinned_lr("E", 23, if here { ME } else { "hv2" })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // What is told step by step is what one step gives; and nothing that is covered leaves.
    #[test]
    fn any_history_gives_what_its_facts_give(history in prop::collection::vec(change(), 1..24)) {
        let mut engine = engine();
        let mut switch = Switch::default();
        switch.apply(&engine.apply(network()));
        for change in &history {
            switch.apply(&engine.apply([change.clone()]));
        }
        let mut fresh = common::engine();
        fresh.apply(network().into_iter().chain(history.iter().cloned()));
        prop_assert_eq!(&switch, &Switch::of(&fresh));
        let mut rules: BTreeSet<(String, String)> = BTreeSet::new();
        for change in &history {
            if let Change::Object { path, value, .. } = change
                && let Some(name) = path.strip_prefix("lr/E/lnat/")
            {
                rules.retain(|(known, _)| known != name);
                if let Some(value) = value {
                    let json = std::str::from_utf8(value).unwrap();
                    let inner = if json.contains("dnat") { "xlate_ip" } else { "prefix" };
                    rules.insert((name.to_owned(), word(json, inner).to_owned()));
                }
            }
        }
        for src in ["10.1.0.1", "10.1.0.2", "10.2.0.1", "172.16.0.1"].map(v4) {
            let covered = rules.iter().any(|(_, inner)| match inner.parse::<ipnet::IpNet>() {
                Ok(net) => net.contains(&IpAddr::V4(src)),
                Err(_) => inner.parse() == Ok(src),
            });
            for dst in ["198.51.100.7", "10.7.0.1", "10.9.0.99"].map(v4) {
                prop_assert!(!(covered && leaves(&fresh, src, dst)), "{} leaves for {} untranslated", src, dst);
            }
        }
    }
}
