//! Numbers of the pipeline in the words of the network.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{name, objects};

fn names() -> Names {
    let mut names = Names::default();
    for object in objects("geneve") {
        names.apply(&object.path, Some(&object.value), object.create_revision);
    }
    names
}

#[test]
fn numbers_have_names() {
    let names = names();
    assert_eq!(names.datapath(2), Some((Kind::Ls, &name("LS-B"))));
    assert_eq!(names.datapath(3), Some((Kind::Lr, &name("LR"))));
    assert_eq!(names.datapath(4), None);
    assert_eq!(names.port(1, 2), Some(&name("c")));
    assert_eq!(names.port(3, 2), Some(&name("LR_to_LS-B")));
    assert_eq!(names.chassis_at("192.0.2.2".parse().unwrap()), Some(&name("hv2")));
    let ls = name("LS-B");
    let ports: Vec<&str> = names.switch_ports(&ls).map(|(port, _)| port.as_str()).collect();
    assert_eq!(ports, ["LS-B_to_LR", "b", "d", "e"]);
}

#[test]
fn the_older_of_two_has_a_number() {
    let mut names = names();
    names.apply("ls/AAA", Some(br#"{"id":2}"#), 5);
    assert_eq!(names.datapath(2), Some((Kind::Ls, &name("LS-B"))));
    names.apply("ls/LS-B", None, 0);
    assert_eq!(names.datapath(2), Some((Kind::Ls, &name("AAA"))));
    names.apply("ls/AAA", Some(b"no JSON"), 5);
    assert_eq!(names.datapath(2), None);
}

/// What the rules make of a router port without id is what packets carry.
#[test]
fn a_router_port_without_id_has_the_number_that_the_rules_give_it() {
    let mut network = crate::Network::new(objects("geneve"));
    let json = r#"{"mac":"f2:01:0a:02:00:fe","nets":["10.2.0.254/24","fd00:2::fe/64"],"peer":{"ls":"LS-B","lsp":"LS-B_to_LR"}}"#;
    network.apply([("lr/LR/lrp/LR_to_LS-B".to_owned(), Some(json.into()), 1)]);
    let gateway = crate::testing::GATEWAY;
    let path = crate::testing::walk(&mut network, crate::testing::probe("10.2.0.2", gateway, crate::What::Icmp));
    let out = path.hops.iter().find(|hop| hop.stage == "LRP_TRACE_EGRESS_OUT").unwrap();
    assert_eq!(out.to.as_deref(), Some("LR_to_LS-B"));
}

#[test]
fn a_hop_names_what_it_can() {
    let names = names();
    let text = |table, datapath, from, to| names.hop("hv1", table, datapath, from, to).unwrap().to_string();
    let entry = "type:LS,pipeline:LS-A,from:a,to:<UNKNOWN>,stage:TABLE_LSP_TRACE_INGRESS_IN,chassis:hv1";
    // Whatever the register still says there.
    assert_eq!(text(10, 1, 1, 2), entry);
    let all = "type:LS,pipeline:LS-B,from:<UNKNOWN>,to:<ALL>,stage:TABLE_LSP_TRACE_EGRESS_IN,chassis:hv1";
    assert_eq!(text(30, 2, 0, 0xffff), all);
    let id = "type:LR,pipeline:LR,from:LR_to_LS-A,to:id 9,stage:TABLE_LRP_TRACE_EGRESS_IN,chassis:hv1";
    assert_eq!(text(70, 3, 1, 9), id);
    assert_eq!(names.hop("hv1", 10, 99, 1, 1), None);
    assert_eq!(names.hop("hv1", 9, 1, 1, 1), None);
}
