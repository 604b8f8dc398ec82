//! Several static routes to one prefix: a group, its members, and what each change of them costs.

mod common;

use common::*;
use std::net::IpAddr;
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, Engine, FlowChange, Group, GroupChange, GroupForm, HashField, NO_PORT, Output, Selection, UNWATCHED,
    cookie::{Cookie, Rule},
    is_ecmp_group, stage,
};

/// A router's link with addresses that depend on `host`, so that several routers fit into one switch.
fn link_at(lr: &str, ls: &str, net: u8, host: u8, lsp_id: u16) -> [Change; 2] {
    let mac = format!("f2:01:0a:{net:02x}:00:{host:02x}");
    let (lrp, lsp) = (format!("{lr}_to_{ls}"), format!("{ls}_to_{lr}"));
    let lrp_json = format!(
        r#"{{"port_id":1,"mac":"{mac}","nets":["10.{net}.0.{host}/16","fd00:{net:x}::{host:x}/64"],"peer":{{"ls":"{ls}","lsp":"{lsp}"}}}}"#
    );
    let lsp_json = format!(
        r#"{{"port_id":{lsp_id},"mac":"{mac}","ips":["10.{net}.0.{host}","fd00:{net:x}::{host:x}"],"peer":{{"lr":"{lr}","lrp":"{lrp}"}}}}"#
    );
    [object(format!("lr/{lr}/lrp/{lrp}"), lrp_json), object(format!("ls/{ls}/lsp/{lsp}"), lsp_json)]
}

fn route_to(prefix: &str, name: &str, hop: &str) -> Change {
    object(format!("lr/R/lsr/{name}"), format!(r#"{{"prefix":"{prefix}","next_hop":"{hop}","outport":"R_to_J"}}"#))
}

fn route(name: &str, host: u8) -> Change {
    route_to("0.0.0.0/0", name, &format!("10.3.0.{host}"))
}

/// A VM here, its router R, and a switch J that joins R to so many routers that are pinned to hosts of their own: edge n has the address 10.3.0.n, on host e{n} at 192.0.2.{100 + n}.
fn network(edges: u8) -> Engine {
    let mut changes = two_hosts();
    changes.push(ls("J", 20));
    changes.extend(link("R", "J", 3, 3, 200));
    for n in 1..=edges {
        changes.push(chassis(&format!("e{n}"), &format!("192.0.2.{}", 100 + n)));
        changes.push(pinned_lr(&format!("E{n}"), 100 + u32::from(n), &format!("e{n}")));
        changes.extend(link_at(&format!("E{n}"), "J", 3, n, n.into()));
    }
    let mut engine = engine();
    engine.apply(changes);
    engine
}

/// The port with BFD to edge n.
fn bfd(n: u8, ofport: Option<u32>) -> Change {
    Change::Tunnel { kind: EncapKind::Geneve, remote: Some(IpAddr::from([192, 0, 2, 100 + n])), ofport }
}

fn flows_of(engine: &Engine, rule: Rule) -> Vec<String> {
    let of = |flow: &Flow| Cookie::decode(flow.cookie).is_some_and(|cookie| cookie.rule == rule);
    let mut flows: Vec<String> = engine
        .flows()
        .filter(of)
        .filter(|flow| flow.table != stage::LRP_INGRESS_ECMP_HASH.table)
        .map(|flow| flow.to_string().split_once(", ").map_or_else(String::new, |(_cookie, rest)| rest.to_owned()))
        .collect();
    flows.sort();
    flows
}

fn the_group(engine: &Engine) -> Group {
    let mut groups: Vec<Group> = engine.groups().filter(|group| is_ecmp_group(group.id)).collect();
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups.remove(0)
}

/// (id, weight, watched port, the last byte of the IPv4 next hop), by next hop.
fn members(group: &Group) -> Vec<(u32, u16, Option<u32>, String)> {
    let mut members: Vec<_> = group
        .buckets
        .iter()
        .map(|b| {
            let actions: Vec<String> = b.actions.iter().map(ToString::to_string).collect();
            let hop = actions.join(",").replace("->reg0,", " ");
            (b.id.expect("an id"), b.weight.expect("a share"), b.watch_port, hop)
        })
        .collect();
    members.sort_by(|a, b| (a.1, &a.3).cmp(&(b.1, &b.3)));
    members
}

/// How many flows and buckets a transaction touched, but for those of detours.
fn touched(output: &Output) -> (usize, usize) {
    let bucket = |change: &&GroupChange| match change {
        GroupChange::InsertBucket(id, _) | GroupChange::RemoveBucket(id, _) => is_ecmp_group(*id),
        _ => false,
    };
    let flow = |change: &&FlowChange| match change {
        FlowChange::Set(flow) => Cookie::decode(flow.cookie).is_none_or(|cookie| cookie.rule != Rule::Redirect),
        FlowChange::Delete { priority, .. } => *priority != 101,
    };
    (output.flows.iter().filter(flow).count(), output.groups.iter().filter(bucket).count())
}

#[test]
fn one_route_is_a_flow_and_two_are_a_group() {
    let mut engine = network(3);
    engine.apply([route("a", 1)]);
    assert_eq!(flows_of(&engine, Rule::Static).len(), 1);
    assert!(flows_of(&engine, Rule::Ecmp).is_empty() && !engine.groups().any(|group| is_ecmp_group(group.id)));

    let output = engine.apply([route("b", 2)]);
    assert!(flows_of(&engine, Rule::Static).is_empty());
    let group = the_group(&engine);
    assert_eq!(group.form, GroupForm::Select(Selection::five_tuple()));
    assert_eq!(
        flows_of(&engine, Rule::Ecmp),
        [format!("table=57, priority=4,ip,metadata=0x3 actions=dec_ttl,resubmit(,60),group:{}", group.id)]
    );
    let members = members(&group);
    assert_eq!((members.len(), members[0].0, members[0].1, members[0].2), (3, 0, 1, None), "the last resort");
    let unheard = |(id, weight, watched, _): &(u32, u16, Option<u32>, String)| {
        *id != 0 && *weight == u16::MAX && *watched == Some(UNWATCHED)
    };
    assert!(members[1..].iter().all(unheard), "nothing watches them yet: {members:?}");
    assert_eq!(
        flows_of(&engine, Rule::EcmpMember),
        [1, 2].map(|host| format!(
            "table=58, priority=100,ip,reg0=0xa0300{host:02x},reg5=0x3,metadata=0x3 actions=set_field:f2:01:0a:03:00:fe->eth_src,resubmit(,59)"
        ))
    );
    // The plain flow and the choice change places, two members come, and the group of last resort.
    assert_eq!(touched(&output), (4, 3), "{output:?}");
    let added = output.groups.iter().filter(|change| matches!(change, GroupChange::Add(..))).count();
    assert_eq!(added, 2);

    let output = engine.apply([delete("lr/R/lsr/a")]);
    assert_eq!(output.flows.len(), 4);
    assert_eq!(flows_of(&engine, Rule::Static).len(), 1);
    assert_eq!(output.groups.len(), 2);
    assert!(output.groups.contains(&GroupChange::Delete(group.id)), "{:?}", output.groups);
}

#[test]
fn a_member_more_or_less_is_one_bucket_and_one_flow() {
    let cost = |edges: u8| {
        let mut engine = network(edges + 1);
        engine.apply((1..=edges).map(|n| route(&format!("r{n}"), n)));
        engine.apply((1..=edges).map(|n| bfd(n, Some(1000 + u32::from(n)))));
        let mut all = Vec::new();
        for changes in [
            vec![route("new", edges + 1)],
            vec![bfd(edges + 1, Some(2000))],
            vec![bfd(edges + 1, Some(2001))],
            vec![bfd(edges + 1, None)],
            vec![delete("lr/R/lsr/new")],
        ] {
            let before = engine.counters().rows_touched;
            let output = engine.apply(changes);
            all.push((touched(&output), engine.counters().rows_touched - before));
        }
        all
    };
    let (few, many) = (cost(3), cost(90));
    let counts: Vec<_> = few.iter().map(|(touched, _)| *touched).collect();
    assert_eq!(counts, [(1, 1), (1, 2), (2, 2), (1, 2), (1, 1)], "of flows one is the way in by the port with BFD");
    for (step, ((few, rows_few), (many, rows_many))) in few.into_iter().zip(many).enumerate() {
        assert_eq!(few, many);
        // A watched chassis more is a detour more for each.
        let a_route = [0, 4].contains(&step);
        assert!(!a_route || rows_many <= rows_few + 8, "{rows_few} rows among 3 members, {rows_many} among 90");
    }
}

#[test]
fn a_member_is_watched_by_the_tunnel_to_its_router_or_by_its_own_port() {
    let mut engine = network(2);
    engine.apply([lsp("J", 3, 0x0203), interface(5, "J-515", 55)]);
    engine.apply([route("a", 1), route("b", 2), route_to("0.0.0.0/0", "vm", "10.3.2.3")]);
    engine.apply([bfd(1, Some(31))]);
    let first = members(&the_group(&engine));
    let watched: Vec<_> = first.iter().map(|(_, weight, watched, _)| (*weight, *watched)).collect();
    assert_eq!(watched, [(1, None), (u16::MAX, Some(31)), (u16::MAX, Some(UNWATCHED)), (u16::MAX, Some(55))]);
    assert_eq!(first[0].0, 0);
    let last: u32 = first[0].3.strip_prefix("group:").expect("another group").parse().expect("its id");
    let all = engine.groups().find(|group| group.id == last).expect("that of last resort");
    let ways = |members: &[(u32, u16, Option<u32>, String)]| {
        members.iter().map(|(id, weight, _, to)| (*id, *weight, to.clone())).collect::<Vec<_>>()
    };
    assert_eq!(all.form, the_group(&engine).form);
    assert_eq!(ways(&members(&all)), ways(&first[1..]), "the same ways under the same ids");
    assert!(members(&all).iter().all(|(_, _, watched, _)| watched.is_none()));

    engine.apply([bfd(1, Some(32)), bfd(2, Some(33))]);
    let second = members(&the_group(&engine));
    let ids = |members: &[(u32, u16, Option<u32>, String)]| members.iter().map(|m| m.0).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second), "who is watched otherwise keeps its id, and with it its packets");
    let watched: Vec<_> = second.iter().map(|(_, _, watched, _)| *watched).collect();
    assert_eq!(watched, [None, Some(32), Some(33), Some(55)]);
}

#[test]
fn a_guest_elsewhere_is_watched_by_the_tunnel_to_its_host() {
    let mut engine = network(1);
    engine.apply([lsp("J", 3, 0x0203), binding("J", "J-515", "hv2", 1), chassis("hv2", "192.0.2.2")]);
    let bfd = |ofport| Change::Tunnel { kind: EncapKind::Geneve, remote: "192.0.2.2".parse().ok(), ofport };
    engine.apply([route("a", 1), route_to("0.0.0.0/0", "vm", "10.3.2.3")]);
    let watched = |engine: &Engine| members(&the_group(engine)).into_iter().map(|m| m.2).collect::<Vec<_>>();
    assert_eq!(watched(&engine), [None, Some(UNWATCHED), Some(UNWATCHED)], "nothing to watch by yet: none is a way");
    let before = Switch::of(&engine);
    let output = engine.apply([bfd(Some(41))]);
    assert_eq!(watched(&engine), [None, Some(UNWATCHED), Some(41)]);
    assert_eq!(touched(&output), (1, 2), "the way in by the port, the bucket out and in: {output:?}");
    engine.apply([bfd(None)]);
    assert_eq!(Switch::of(&engine), before);

    engine.apply([bfd(Some(41))]);
    engine.apply([delete("binding/J/J-515")]);
    assert_eq!(watched(&engine), [None, Some(UNWATCHED), Some(NO_PORT)], "bound nowhere");
    engine.apply([binding("J", "J-515", "hv3", 2), chassis("hv3", "192.0.2.3")]);
    assert_eq!(watched(&engine), [None, Some(UNWATCHED), Some(UNWATCHED)], "where nothing watches yet");
    let ids = |engine: &Engine| members(&the_group(engine)).into_iter().map(|m| m.0).collect::<Vec<_>>();
    let moved = ids(&engine);
    engine.apply([binding("J", "J-515", "hv2", 3)]);
    assert_eq!(ids(&engine), moved, "a guest that moves keeps its id, and with it its packets");
}

/// Ports in other switches, and of plain routes, cost nothing for it.
#[test]
fn a_port_costs_rows_only_in_a_switch_with_next_hops_of_equal_routes() {
    let work = |routes: &[Change]| {
        let mut engine = network(9);
        engine.apply(routes.to_vec());
        let bound = |n: u16| [lsp("J", 3, 0x0200 + n), binding("J", &format!("J-{}", 0x0200 + n), "hv2", 1)];
        engine.apply(bound(1));
        let before = engine.counters().rows_touched;
        engine.apply(bound(2));
        engine.counters().rows_touched - before
    };
    let none = work(&[]);
    assert_eq!(work(&[route("a", 1)]), none);
    let equal = work(&[route("a", 1), route("b", 2)]);
    assert!(equal <= none + 20, "{equal} rows, {none} without");
    let nine: Vec<Change> = (1..=9).map(|n| route(&format!("r{n}"), n)).collect();
    assert_eq!(work(&nine), equal, "however many ways");
}

#[test]
fn equal_ways_are_one_and_other_prefixes_have_groups_of_their_own() {
    let mut engine = network(3);
    engine.apply([route("a", 1), route("b", 1)]);
    assert_eq!(flows_of(&engine, Rule::Static).len(), 1, "two names of one way");
    engine.apply([route("c", 2), route_to("10.77.0.0/16", "d", "10.3.0.1"), route_to("10.77.0.0/16", "e", "10.3.0.2")]);
    engine.apply([route_to("::/0", "f", "fd00:3::1"), route_to("::/0", "g", "fd00:3::2")]);
    let mut groups: Vec<Group> = engine.groups().filter(|group| is_ecmp_group(group.id)).collect();
    assert_eq!(groups.len(), 3);
    assert!(groups.iter().all(|group| group.buckets.len() == 3), "{groups:?}");
    assert_eq!(flows_of(&engine, Rule::EcmpMember).len(), 4, "two of each family, whatever the prefix");
    groups.sort_by_key(|group| group.id);
    let before = Switch::of(&engine);
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let path = format!("lr/R/lsr/{name}");
        let Some(Change::Object { value: Some(value), .. }) = ([
            route("a", 1),
            route("b", 1),
            route("c", 2),
            route_to("10.77.0.0/16", "d", "10.3.0.1"),
            route_to("10.77.0.0/16", "e", "10.3.0.2"),
            route_to("::/0", "f", "fd00:3::1"),
            route_to("::/0", "g", "fd00:3::2"),
        ])
        .into_iter()
        .find(|change| subject(change) == path) else {
            panic!("no route {name}")
        };
        let mut switch = Switch::of(&engine);
        switch.apply(&engine.apply([delete(path.clone())]));
        assert_eq!(switch, Switch::of(&engine));
        switch.apply(&engine.apply([Change::Object { path, value: Some(value), create_revision: 1 }]));
        assert_eq!(switch, before, "{name} went and came back");
        assert_eq!(Switch::of(&engine), before);
    }
}

#[test]
fn a_route_whose_edge_or_link_goes_leaves_its_group() {
    let mut engine = network(3);
    engine.apply([route("a", 1), route("b", 2), route("c", 3)]);
    engine.apply((1..=3).map(|n| bfd(n, Some(30 + u32::from(n)))));
    let before = Switch::of(&engine);
    // The router of an edge deleted, a chassis gone: the next hop is nobody's, and nobody takes it.
    engine.apply([delete("lr/E3")]);
    let watched: Vec<_> = members(&the_group(&engine)).into_iter().map(|m| m.2).collect();
    assert_eq!(watched, [None, Some(31), Some(32), Some(NO_PORT)]);
    engine.apply([pinned_lr("E3", 103, "e3")]);
    assert_eq!(Switch::of(&engine), before);
    engine.apply([delete("chassis/e3")]);
    let watched: Vec<_> = members(&the_group(&engine)).into_iter().map(|m| m.2).collect();
    assert_eq!(watched, [None, Some(31), Some(32), Some(NO_PORT)]);
    engine.apply([chassis("e3", "192.0.2.103")]);
    assert_eq!(Switch::of(&engine), before);
    // What is behind a patch port nobody here knows before it is asked for.
    engine.apply([delete("lr/E3"), patch_port("J", 250, "e1", "br-ex", 0)]);
    let watched: Vec<_> = members(&the_group(&engine)).into_iter().map(|m| m.2).collect();
    assert_eq!(watched, [None, Some(31), Some(32), None]);
    engine.apply([pinned_lr("E3", 103, "e3"), delete("ls/J/lsp/J-p250")]);
    assert_eq!(Switch::of(&engine), before);
    engine.apply(unlink("R", "J"));
    assert!(!engine.groups().any(|group| is_ecmp_group(group.id)));
    let output = engine.apply(link("R", "J", 3, 3, 200));
    assert_eq!(Switch::of(&engine), before);
    assert!(output.flows.iter().any(|change| matches!(change, FlowChange::Set(flow) if flow.table == 58)));
}

/// A route that works is not harmed by a second one to nowhere, while nothing watches the first one yet.
#[test]
fn a_next_hop_that_nobody_has_is_not_the_last_resort_either() {
    let mut engine = network(1);
    engine.apply([route("a", 1), route_to("0.0.0.0/0", "vm", "10.3.2.3")]);
    let all = the_group(&engine);
    let watched: Vec<_> = members(&all).into_iter().map(|m| m.2).collect();
    assert_eq!(watched, [None, Some(UNWATCHED), Some(NO_PORT)]);
    let last = |engine: &Engine| {
        let resort = members(&the_group(engine)).remove(0).3;
        let id: u32 = resort.strip_prefix("group:").expect("another group").parse().expect("its id");
        let group = engine.groups().find(|group| group.id == id).expect("that of last resort");
        members(&group).into_iter().map(|m| m.0).collect::<Vec<_>>()
    };
    let ids: Vec<u32> = members(&all)[1..].iter().map(|m| m.0).collect();
    assert_eq!(last(&engine), ids[..1]);
    // Its guest comes up elsewhere.
    engine.apply([lsp("J", 3, 0x0203), binding("J", "J-515", "hv2", 1), chassis("hv2", "192.0.2.2")]);
    assert_eq!(last(&engine), ids);
    engine.apply([delete("binding/J/J-515")]);
    assert_eq!(last(&engine), ids[..1]);
}

#[test]
fn a_router_says_by_what_it_chooses() {
    let mut engine = network(2);
    engine.apply([route("a", 1), route("b", 2)]);
    let before = Switch::of(&engine);
    let mut switch = Switch::of(&engine);
    let output = engine.apply([object("lr/R", r#"{"id":3,"chassis":null,"ecmp_hash":["nw_src","nw_dst"]}"#)]);
    switch.apply(&output);
    assert_eq!(switch, Switch::of(&engine));
    let group = the_group(&engine);
    let GroupForm::Select(selection) = &group.form else { panic!("{group:?}") };
    assert_eq!(selection.0, [HashField::Source, HashField::Destination]);
    assert_eq!(Selection::read(&selection.method()).as_ref(), Some(selection));
    let flows = flows_of(&engine, Rule::Ecmp);
    assert!(flows.iter().all(|flow| flow.ends_with(&format!("actions=dec_ttl,group:{}", group.id))), "{flows:?}");
    assert_eq!(touched(&output), (1, 0), "the flow that notes ports, and the forms of both groups: {output:?}");
    assert_eq!(output.groups.len(), 2);

    let ports = object("lr/R", r#"{"id":3,"chassis":null,"ecmp_hash":["l4_dst"]}"#);
    engine.apply([ports]);
    let form = GroupForm::Select(Selection(vec![HashField::L4Ports(0xffff)]));
    assert_eq!(the_group(&engine).form, form);
    engine.apply([lr("R", 3)]);
    assert_eq!(Switch::of(&engine), before);
}

#[test]
fn a_withdrawn_edge_is_not_used_by_its_own_host_either() {
    let mut engine = network(2);
    engine.apply([pinned_lr("E1", 101, "hv1"), route("a", 1), route("b", 2), bfd(2, Some(32))]);
    let watched = |engine: &Engine| members(&the_group(engine)).into_iter().map(|m| m.2).collect::<Vec<_>>();
    assert_eq!(watched(&engine), [None, None, Some(32)]);
    let before = Switch::of(&engine);
    engine.apply([Change::Withdrawn(true)]);
    assert_eq!(watched(&engine), [None, Some(NO_PORT), Some(32)]);
    engine.apply([Change::Withdrawn(false)]);
    assert_eq!(Switch::of(&engine), before);
}
