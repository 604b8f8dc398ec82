//! Detours to chassis that cannot be reached: what there is of flows and buckets, and what they cost.

mod common;

use common::*;
use std::net::IpAddr;
use tuplenet_model::entity::EncapKind;
use tuplenet_rules::{
    Bucket, Change, Engine, GroupChange, GroupForm,
    cookie::{Cookie, Rule},
    is_redirect_group, stage,
};

/// R here joins A, with a VM, and J, where edges pinned to hosts of their own are: edge n at 192.0.2.{100 + n}.
fn network(edges: u8) -> Engine {
    let mut changes = two_hosts();
    changes.push(ls("J", 20));
    changes.extend(link("R", "J", 3, 3, 200));
    for n in 1..=edges {
        let mac = format!("f2:01:0a:03:00:{n:02x}");
        changes.push(chassis(&format!("e{n}"), &format!("192.0.2.{}", 100 + n)));
        changes.push(pinned_lr(&format!("E{n}"), 100 + u32::from(n), &format!("e{n}")));
        changes.push(object(
            format!("lr/E{n}/lrp/E{n}_to_J"),
            format!(r#"{{"port_id":1,"mac":"{mac}","nets":["10.3.0.{n}/16"],"peer":{{"ls":"J","lsp":"J_to_E{n}"}}}}"#),
        ));
        changes.push(object(
            format!("ls/J/lsp/J_to_E{n}"),
            format!(r#"{{"port_id":{n},"mac":"{mac}","ips":["10.3.0.{n}"],"peer":{{"lr":"E{n}","lrp":"E{n}_to_J"}}}}"#),
        ));
    }
    let mut engine = engine();
    engine.apply(changes);
    engine
}

fn bfd(n: u8, ofport: Option<u32>) -> Change {
    Change::Tunnel { kind: EncapKind::Geneve, remote: Some(IpAddr::from([192, 0, 2, 100 + n])), ofport }
}

/// Whether its death would tell of a dead tunnel.
fn session(n: u8, proven: bool) -> Change {
    Change::Session { kind: EncapKind::Geneve, remote: IpAddr::from([192, 0, 2, 100 + n]), proven }
}

fn redirects(engine: &Engine) -> usize {
    let is = |flow: &tuplenet_openflow::Flow| Cookie::decode(flow.cookie).is_some_and(|c| c.rule == Rule::Redirect);
    let flows: Vec<_> = engine.flows().filter(is).collect();
    assert!(flows.iter().all(|flow| flow.table == stage::LSP_INGRESS_OUTPUT_DST_PORT.table));
    assert_eq!(flows.len(), engine.groups().filter(|group| is_redirect_group(group.id)).count());
    flows.len()
}

#[test]
fn a_watched_chassis_has_a_way_by_each_other_edge() {
    let mut engine = network(3);
    assert_eq!(redirects(&engine), 0, "nobody is watched");
    engine.apply([bfd(1, Some(31)), bfd(2, Some(32))]);
    assert_eq!(redirects(&engine), 0, "no session was up");
    engine.apply([bfd(2, None)]);
    engine.apply((1..=3).map(|n| session(n, true)));
    assert_eq!(redirects(&engine), 0, "no other edge");
    let before = Switch::of(&engine);
    engine.apply([bfd(2, Some(32))]);
    assert_eq!(redirects(&engine), 2);
    engine.apply([bfd(3, Some(33))]);
    assert_eq!(redirects(&engine), 3);
    for mut group in engine.groups().filter(|group| is_redirect_group(group.id)) {
        assert_eq!(group.form, GroupForm::FastFailover);
        group.buckets.sort_by_key(|bucket| bucket.id);
        let watched: Vec<_> = group.buckets.iter().filter_map(|bucket| bucket.watch_port).collect();
        let [direct, one, other, last] = watched[..] else { panic!("{group:?}") };
        let mut edges = [direct, one, other];
        edges.sort_unstable();
        assert_eq!((edges, last), ([31, 32, 33], 1), "the tunnel port itself lives always");
        let marks = |bucket: &Bucket| bucket.actions.iter().any(|action| action.to_string().contains("->reg6"));
        assert_eq!(group.buckets.iter().map(marks).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(group.buckets[0].actions, group.buckets[3].actions);
    }
    engine.apply([session(1, false)]);
    assert_eq!(redirects(&engine), 2, "it withdrew: the direct way is right");
    engine.apply([session(1, true)]);
    engine.apply([bfd(2, None), bfd(3, None)]);
    assert_eq!(Switch::of(&engine), before);
}

/// The switches whose packets take no detour, by their ids.
fn direct(engine: &Engine) -> Vec<u32> {
    let of = |flow: tuplenet_openflow::Flow| {
        Cookie::decode(flow.cookie).filter(|c| c.rule == Rule::NoDetour).map(|c| c.datapath)
    };
    let mut found: Vec<u32> = engine.flows().filter_map(of).collect();
    found.sort_unstable();
    found
}

/// An edge without the switch could not send its packets on.
#[test]
fn a_switch_that_an_edge_does_not_have_takes_no_detour() {
    let mut engine = network(2);
    engine.apply((1..=2).map(|n| session(n, true)));
    engine.apply([ls("Z", 30), lsp("Z", 30, 1), interface(9, "Z-1", 9)]);
    let before = Switch::of(&engine);
    assert!(direct(&engine).is_empty(), "there are no detours");
    engine.apply((1..=2).map(|n| bfd(n, Some(30 + u32::from(n)))));
    assert_eq!((redirects(&engine), direct(&engine)), (2, vec![30]), "A and J are joined to both edges, Z is alone");

    // Joined to the router, the edges have it; and no more when it is alone again.
    engine.apply(link("R", "Z", 30, 30, 250));
    assert!(direct(&engine).is_empty());
    engine.apply(unlink("R", "Z"));
    assert_eq!(direct(&engine), [30]);

    // One more edge that only has Z, as nobody joins its router to anything else: now each switch lacks one.
    let only = r#"{"port_id":1,"mac":"f2:01:0a:1e:00:03","nets":["10.30.0.3/16"],"peer":{"ls":"Z","lsp":"Z_to_E3"}}"#;
    let its = r#"{"port_id":3,"mac":"f2:01:0a:1e:00:03","ips":["10.30.0.3"],"peer":{"lr":"E3","lrp":"E3_to_Z"}}"#;
    engine.apply([chassis("e3", "192.0.2.103"), pinned_lr("E3", 103, "e3"), bfd(3, Some(33)), session(3, true)]);
    engine.apply([object("lr/E3/lrp/E3_to_Z", only), object("ls/Z/lsp/Z_to_E3", its)]);
    assert_eq!(redirects(&engine), 3);
    assert_eq!(direct(&engine), [1, 2, 20, 30]);
    engine.apply(["ls/Z/lsp/Z_to_E3", "lr/E3/lrp/E3_to_Z", "lr/E3", "chassis/e3"].map(delete));
    engine.apply([bfd(3, None), session(3, false), bfd(1, None), bfd(2, None)]);
    assert_eq!(Switch::of(&engine), before);
}

#[test]
fn an_edge_more_is_a_bucket_for_each_chassis_and_a_port_is_nothing() {
    let mut engine = network(9);
    engine.apply((1..=8).map(|n| bfd(n, Some(30 + u32::from(n)))));
    engine.apply((1..=9).map(|n| session(n, true)));
    let output = engine.apply([bfd(9, Some(39))]);
    let buckets = output.groups.iter().filter(|change| matches!(change, GroupChange::InsertBucket(..))).count();
    assert_eq!((buckets, output.groups.len()), (8 + 10, 8 + 11), "{:?}", output.groups);
    let output = engine.apply([lsp("A", 1, 77), binding("A", "A-77", "e1", 1)]);
    assert_eq!(output.groups, []);
}
