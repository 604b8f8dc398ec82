//! What an inner address that one edge translates sends to a prefix with several routes: which edge it takes, and what each change costs.

mod common;

use common::*;
use std::net::IpAddr;
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, Engine, Group, GroupForm, Output, UNWATCHED,
    cookie::{Cookie, Rule},
    is_ecmp_group, is_steer_group,
};

/// R here, and edges E1, E2, E3 on hosts of their own, each on a switch of its own with R: the first way to all there is.
fn network() -> Engine {
    let mut changes = two_hosts();
    for n in 1..=3_u8 {
        changes.push(chassis(&format!("e{n}"), &format!("192.0.2.{}", 100 + n)));
        changes.push(ls(&format!("M{n}"), 20 + u32::from(n)));
        changes.push(pinned_lr(&format!("E{n}"), 100 + u32::from(n), &format!("e{n}")));
        changes.extend(link_at("R", n, 1));
        changes.extend(link_at(&format!("E{n}"), n, 2));
        changes.push(route(n, "0.0.0.0/0", &format!("10.{}.0.2", 30 + n)));
        changes.push(route(n, "::/0", &format!("fd00:{:x}::2", 30 + n)));
        changes.push(bfd(n, Some(20 + u32::from(n))));
    }
    let mut engine = engine();
    engine.apply(changes);
    engine
}

fn link_at(lr: &str, net: u8, host: u8) -> [Change; 2] {
    let (third, mac) = (30 + net, format!("f2:01:0a:{:02x}:00:{host:02x}", 30 + net));
    let (lrp, lsp, ls) = (format!("{lr}_to_M{net}"), format!("M{net}_to_{lr}"), format!("M{net}"));
    let lrp_json = format!(
        r#"{{"port_id":{},"mac":"{mac}","nets":["10.{third}.0.{host}/24","fd00:{third:x}::{host:x}/64"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#,
        40 + net
    );
    let lsp_json = format!(
        r#"{{"port_id":{host},"mac":"{mac}","ips":["10.{third}.0.{host}","fd00:{third:x}::{host:x}"],"peer":{{"lr":"{lr}","lrp":"{lrp}"}}}}"#
    );
    [object(format!("lr/{lr}/lrp/{lrp}"), lrp_json), object(format!("ls/{ls}/lsp/{lsp}"), lsp_json)]
}

fn route(edge: u8, prefix: &str, hop: &str) -> Change {
    let name = format!("{}{edge}", if prefix.contains(':') { "six" } else { "four" });
    object(
        format!("lr/R/lsr/{name}"),
        format!(r#"{{"prefix":"{prefix}","next_hop":"{hop}","outport":"R_to_M{edge}"}}"#),
    )
}

fn bfd(n: u8, ofport: Option<u32>) -> Change {
    Change::Tunnel { kind: EncapKind::Geneve, remote: Some(IpAddr::from([192, 0, 2, 100 + n])), ofport }
}

fn rule(edge: u8, name: &str, kind: &str, prefix: &str, ip: &str) -> Change {
    object(format!("lr/E{edge}/lnat/{name}"), format!(r#"{{"type":"{kind}","prefix":"{prefix}","xlate_ip":"{ip}"}}"#))
}

fn flows(engine: &Engine) -> Vec<String> {
    let ours = |flow: &Flow| Cookie::decode(flow.cookie).is_some_and(|cookie| cookie.rule == Rule::EcmpHome);
    let text = |flow: Flow| flow.to_string().split_once(", ").map_or_else(String::new, |(_, rest)| rest.to_owned());
    let mut flows: Vec<String> = engine.flows().filter(ours).map(text).collect();
    flows.sort();
    flows
}

fn groups(engine: &Engine) -> Vec<Group> {
    engine.groups().filter(|group| is_steer_group(group.id)).collect()
}

/// The buckets of a group in the order in which they are tried, each by what it watches and does.
fn tried(group: &Group) -> Vec<String> {
    let mut buckets: Vec<_> = group.buckets.iter().collect();
    buckets.sort_by_key(|bucket| bucket.id);
    let text = |bucket: &&tuplenet_rules::Bucket| {
        let actions: Vec<String> = bucket.actions.iter().map(ToString::to_string).collect();
        format!("{:?} {:?} {}", bucket.watch_port, bucket.watch_group.is_some(), actions.join(","))
    };
    buckets.iter().map(text).collect()
}

fn touched(output: &Output) -> (usize, usize) {
    (output.flows.len(), output.groups.len())
}

#[test]
fn what_one_edge_translates_leaves_by_that_edge() {
    for kind in ["dnat", "floating"] {
        let mut engine = network();
        assert!(flows(&engine).is_empty() && groups(&engine).is_empty());
        let (prefix, ip) = if kind == "dnat" { ("203.0.113.7", "10.1.0.9") } else { ("10.1.0.9", "203.0.113.7") };
        let output = engine.apply([rule(2, "web", kind, &format!("{prefix}/32"), ip)]);
        // The flow and a group of two; nothing else here knows of another host's rule.
        assert_eq!(touched(&output), (1, 3), "{output:?}");
        let found = groups(&engine);
        let [group] = &found[..] else { panic!("{found:?}") };
        assert_eq!(group.form, GroupForm::FastFailover);
        let all = engine.groups().filter(|group| is_ecmp_group(group.id));
        let all: Vec<u32> =
            all.filter(|all| tried(group)[1].contains(&format!("group:{}", all.id))).map(|g| g.id).collect();
        assert_eq!(all.len(), 1, "one of the two families' groups");
        assert_eq!(
            flows(&engine),
            [format!(
                "table=57, priority=5,ip,metadata=0x3,nw_src=10.1.0.9 actions=dec_ttl,resubmit(,60),group:{}",
                group.id
            )]
        );
        assert_eq!(
            tried(group),
            [
                "Some(22) false set_field:0xa200002->reg0,set_field:0x2a->reg5,resubmit(,58)".to_owned(),
                format!("None true group:{}", all[0]),
            ]
        );
        let output = engine.apply([delete("lr/E2/lnat/web")]);
        assert!(flows(&engine).is_empty() && groups(&engine).is_empty(), "{output:?}");
    }
}

#[test]
fn source_translation_binds_nobody() {
    let mut engine = network();
    let before = engine.flows().count();
    engine.apply([
        rule(1, "out", "snat", "10.1.0.0/16", "203.0.113.1"),
        rule(2, "out", "snat", "10.1.0.0/16", "203.0.113.2"),
    ]);
    assert_eq!((flows(&engine).len(), engine.flows().count()), (0, before));
}

#[test]
fn a_route_alone_needs_nothing() {
    let mut engine = network();
    engine.apply([rule(2, "web", "dnat", "203.0.113.7/32", "10.1.0.9")]);
    assert_eq!(flows(&engine).len(), 1);
    engine.apply([delete("lr/R/lsr/four1"), delete("lr/R/lsr/four3")]);
    assert!(flows(&engine).is_empty() && groups(&engine).is_empty());
}

#[test]
fn both_families_and_several_edges() {
    let mut engine = network();
    engine.apply([
        rule(1, "web", "floating", "10.1.0.9/32", "203.0.113.7"),
        rule(3, "web", "floating", "10.1.0.9/32", "203.0.113.8"),
        rule(3, "six", "floating", "fd00:1::9/128", "2001:db8::8"),
    ]);
    let found = groups(&engine);
    let mut sizes: Vec<usize> = found.iter().map(|group| group.buckets.len()).collect();
    sizes.sort();
    assert_eq!((flows(&engine).len(), sizes), (2, vec![2, 3]));
    // An edge's watched port moves: one bucket goes, one comes.
    let output = engine.apply([bfd(1, Some(99))]);
    let steered = |change: &tuplenet_rules::GroupChange| match change {
        tuplenet_rules::GroupChange::InsertBucket(id, _) | tuplenet_rules::GroupChange::RemoveBucket(id, _) => {
            is_steer_group(*id)
        }
        _ => false,
    };
    assert_eq!(output.groups.iter().filter(|change| steered(change)).count(), 2, "{output:?}");
    // Nobody says that it is there: the others are tried.
    engine.apply([bfd(3, None)]);
    let six = groups(&engine).into_iter().find(|group| group.buckets.len() == 2).expect("the group of IPv6");
    assert!(tried(&six)[0].starts_with(&format!("Some({UNWATCHED}) false set_field")), "{:?}", tried(&six));
}

#[test]
fn removed_and_added_again_all_is_as_it_was() {
    let changes = || {
        [
            rule(1, "web", "dnat", "203.0.113.7/32", "10.1.0.9"),
            rule(2, "six", "floating", "fd00:1::9/128", "2001:db8::8"),
            route(1, "0.0.0.0/0", "10.31.0.2"),
        ]
    };
    let mut engine = network();
    engine.apply(changes());
    let state = |engine: &Engine| {
        let mut groups: Vec<String> =
            engine.groups().map(|group| format!("{} {:?}", group.id, tried(&group))).collect();
        groups.sort();
        (flows(engine), groups)
    };
    let before = state(&engine);
    for paths in [["lr/E1/lnat/web", "lr/E2/lnat/six"], ["lr/R/lsr/four1", "lr/E1/lnat/web"]] {
        engine.apply(paths.map(delete));
        assert_ne!(state(&engine), before);
        engine.apply(changes());
        assert_eq!(state(&engine), before);
    }
}
