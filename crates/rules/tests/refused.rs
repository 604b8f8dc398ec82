//! What goes no further, whoever sends it: the flows that see to it are there before any fact.

mod common;

use common::*;
use std::collections::BTreeMap;
use tuplenet_rules::{Change, stage, stage::Stage};

/// The flows of a stage, as priority, match -> actions.
fn flows(stage: Stage, facts: Vec<Change>) -> BTreeMap<String, String> {
    let mut engine = engine();
    engine.apply(facts);
    let here = engine.flows().filter(|flow| flow.table == stage.table);
    here.map(|flow| (format!("{} {}", flow.priority, flow.matching), text(&flow))).collect()
}

fn dropped(stage: Stage, matching: &str) {
    ends(stage, matching, "drop");
}

/// A flow that needs no fact does nothing else.
fn ends(stage: Stage, matching: &str, actions: &str) {
    let flows = flows(stage, Vec::new());
    let found = flows.iter().find(|(key, _)| key.split_once(' ').is_some_and(|(_, m)| m == matching));
    let (_, flow) = found.unwrap_or_else(|| panic!("no flow for {matching} among {flows:#?}"));
    assert!(flow.ends_with(&format!("actions={actions}")), "{flow}");
}

#[test]
fn a_router_takes_nothing_from_nobodys_address_not_even_an_echo_request() {
    for nobody in ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"] {
        dropped(stage::LRP_INGRESS_PKT_RESPONSE, &format!("ip,nw_src={nobody}"));
    }
    for nobody in ["::/16", "fe80::/10", "ff00::/8"] {
        dropped(stage::LRP_INGRESS_PKT_RESPONSE, &format!("ipv6,ipv6_src={nobody}"));
    }
}

#[test]
fn the_sources_that_are_dropped_are_dropped_before_an_echo_is_answered() {
    let flows = flows(stage::LRP_INGRESS_PKT_RESPONSE, two_hosts());
    let priority = |key: &String| key.split(' ').next().and_then(|p| p.parse::<u16>().ok());
    let drops = flows.iter().filter(|(_, flow)| flow.ends_with("actions=drop")).filter_map(|(key, _)| priority(key));
    let answers = flows.iter().filter(|(key, _)| key.contains("icmp")).filter_map(|(key, _)| priority(key));
    assert!(drops.min() > answers.max(), "{flows:#?}");
}

#[test]
fn a_router_sends_nothing_to_nobodys_address() {
    for nobody in ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"] {
        dropped(stage::LRP_INGRESS_DROP_UNEXPECT, &format!("ip,nw_dst={nobody}"));
    }
    for nobody in ["::/16", "fe80::/10", "ff00::/8"] {
        dropped(stage::LRP_INGRESS_DROP_UNEXPECT, &format!("ipv6,ipv6_dst={nobody}"));
    }
}

#[test]
fn what_its_sender_is_told_of_ends_at_the_agent_and_is_metered() {
    let told = |why: u8| format!("controller(max_len=1294,userdata=03.{why:02x},meter_id=3)");
    for ip in ["ip", "ipv6"] {
        for ttl in [0, 1] {
            ends(stage::LRP_INGRESS_DROP_UNEXPECT, &format!("{ip},nw_ttl={ttl}"), &told(1));
        }
        ends(stage::LRP_INGRESS_IP_ROUTE, ip, &told(2));
        ends(stage::LRP_EGRESS_UPDATE_ETH_DST, ip, &told(3));
    }
    let own = flows(stage::LRP_INGRESS_DROP_UNEXPECT, two_hosts());
    let own: Vec<_> = own.values().filter(|flow| flow.ends_with(&told(4))).collect();
    assert!(!own.is_empty() && own.iter().all(|flow| flow.contains("_dst=")), "{own:?}");
}

/// Of a packet to a multicast address nobody is told, whatever its TTL; to a router's own address it arrives whatever its TTL; and every route goes before the
/// error that there is none.
#[test]
fn errors_give_way_to_what_else_is_known() {
    let priority = |flows: &BTreeMap<String, String>, words: &str| {
        let found: Vec<u16> = flows
            .keys()
            .filter(|key| key.contains(words))
            .filter_map(|key| key.split(' ').next()?.parse().ok())
            .collect();
        (found.iter().min().copied(), found.iter().max().copied())
    };
    let unexpected = flows(stage::LRP_INGRESS_DROP_UNEXPECT, two_hosts());
    let (_, spent) = priority(&unexpected, "nw_ttl");
    assert!(spent.is_some() && spent < priority(&unexpected, "nw_dst").0, "{unexpected:#?}");
    assert!(spent < priority(&unexpected, "ipv6_dst").0, "{unexpected:#?}");
    let routes = flows(stage::LRP_INGRESS_IP_ROUTE, two_hosts());
    assert!(priority(&routes, "nw_dst").0 > Some(1) && routes.contains_key("1 ip"), "{routes:#?}");
}

#[test]
fn a_tag_does_not_travel_through_a_router() {
    dropped(stage::LRP_INGRESS_PKT_RESPONSE, "vlan_tci=0x1000/0x1000");
}

#[test]
fn bridges_protocols_are_not_flooded() {
    dropped(stage::LSP_INGRESS_LOOKUP_DST_PORT, "dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0");
}

#[test]
fn a_solicitation_that_was_forwarded_is_not_answered() {
    let flows = flows(stage::LSP_INGRESS_NEIGHBOUR_REPLY, two_hosts());
    let solicitations: Vec<_> = flows.keys().filter(|key| key.contains("icmp6")).collect();
    assert_eq!(solicitations.len(), 3, "{flows:#?}");
    assert!(solicitations.iter().all(|key| key.contains("nw_ttl=255")), "{solicitations:#?}");
}

#[test]
fn a_route_by_an_address_of_the_router_itself_is_set_aside() {
    let mut engine = engine();
    engine.apply(two_hosts());
    // A second address in the network of the first.
    engine.apply([
        object(
            "lr/R/lrp/R_to_A",
            r#"{"port_id":1,"mac":"f2:01:0a:01:00:fe","nets":["10.1.0.254/16","10.1.0.253/16","fd00:1::fffe/64"],"peer":{"ls":"A","lsp":"A_to_R"}}"#,
        ),
        object("lr/R/lsr/own", r#"{"prefix":"198.51.100.0/24","next_hop":"10.1.0.253","outport":"R_to_A"}"#),
    ]);
    let rejected: Vec<_> = engine.rejected().filter(|r| r.key == "lr/R/lsr/own").collect();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert!(!engine.flows().any(|flow| text(&flow).contains("198.51.100.0/24")));
}

#[test]
fn a_link_whose_ends_differ_is_set_aside_until_they_agree() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let routed =
        |engine: &tuplenet_rules::Engine| engine.flows().any(|flow| text(&flow).contains("nw_dst=10.2.0.0/16"));
    let [_, end] = link("R", "B", 2, 2, 100);
    for (field, wrong) in [("mac", end.clone()), ("ips", end.clone())].map(|(field, end)| {
        let Change::Object { path, value: Some(value), create_revision } = end else { panic!("an object") };
        let value = String::from_utf8(value.to_vec()).expect("JSON");
        let (from, to) = if field == "mac" { ("00:fe", "00:fd") } else { (".0.254", ".0.253") };
        let value = Some(value.replace(from, to).into_bytes().into());
        (field, Change::Object { path, value, create_revision })
    }) {
        engine.apply([wrong]);
        let rejected: Vec<_> = engine.rejected().collect();
        assert_eq!(rejected.len(), 1, "{rejected:?}");
        assert!(rejected[0].key == "ls/B/lsp/B_to_R" && rejected[0].reason.starts_with(field), "{rejected:?}");
        assert!(!routed(&engine), "{field}");
        engine.apply([end.clone()]);
        assert_eq!(engine.rejected().count(), 0);
        assert!(routed(&engine));
    }
}
