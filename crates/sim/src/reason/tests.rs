//! Every end of a packet has its words, and the right ones.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::packet::Packet;
use crate::{network::Network, probe::What, testing::*};
use std::net::IpAddr;
use tuplenet_model::mac::Mac;

fn packet() -> Packet {
    Packet::parse(&[0; 60]).unwrap()
}

/// A stage that ends what it does not know must say why; one that lets pass has no need to.
#[test]
fn every_stage_that_ends_packets_has_its_words() {
    let (names, packet, chassis) = (Names::default(), packet(), "hv1".parse().unwrap());
    for stage in stage::ALL {
        let case =
            Case { names: &names, host: None, chassis: &chassis, packet: &packet, table: stage.table, datapath: None };
        // It goes on to the egress here, whatever it knows.
        assert_eq!(case.missed().is_some(), stage.next.is_none() && !stage.returns(), "{}", stage.name);
    }
}

#[test]
fn every_rule_has_its_words() {
    let (names, packet, chassis) = (Names::default(), packet(), "hv1".parse().unwrap());
    for rule in Rule::ALL {
        let case = Case { names: &names, host: None, chassis: &chassis, packet: &packet, table: 17, datapath: None };
        assert!(!case.by_rule(Cookie::of(*rule)).is_empty(), "{}", rule.name());
    }
}

/// What became of packets of port a, in short.
fn told(network: &mut Network, packet: Packet) -> Vec<String> {
    outcomes(&walk(network, packet))
}

/// A change of the network: a path and its JSON; empty: deleted.
fn changed(changes: &[(&str, &str)]) -> Network {
    let mut network = Network::new(objects("geneve"));
    let value = |json: &str| (!json.is_empty()).then(|| json.to_owned().into());
    network.apply(changes.iter().map(|(path, json)| (path.to_string(), value(json), 9)));
    network
}

fn from_source(source: &str) -> Packet {
    let mut packet = probe(if source.contains(':') { "fd00:2::2" } else { "10.2.0.2" }, GATEWAY, What::Icmp);
    match source.parse().unwrap() {
        IpAddr::V4(ip) => packet.set(field::IPV4_SRC, ip),
        IpAddr::V6(ip) => packet.set(field::IPV6_SRC, ip),
    }
    Packet::parse(&packet.to_bytes()).unwrap()
}

#[test]
fn what_a_router_does_not_take() {
    let mut network = Network::new(objects("geneve"));
    for source in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1", "::1", "ff02::1"] {
        let expected = format!(
            "LRP_INGRESS_PKT_RESPONSE on hv1: its source {source} is nobody's address: LR forwards nothing from there"
        );
        assert_eq!(told(&mut network, from_source(source)), [expected]);
    }
    for (to, kind) in [
        ("127.0.0.1", "a loopback address"),
        ("0.0.0.1", "nobody's address"),
        ("239.1.1.1", "a multicast address"),
        ("250.1.1.1", "a broadcast or reserved address"),
        ("255.255.255.255", "a broadcast or reserved address"),
        ("ff05::1", "a multicast address"),
        ("::1", "a loopback address"),
        ("::7", "nobody's address"),
    ] {
        let expected = format!("LRP_INGRESS_DROP_UNEXPECT on hv1: {to} is {kind}, which LR does not route");
        assert_eq!(told(&mut network, probe(to, GATEWAY, What::Icmp)), [expected]);
    }
    let mut tagged = probe("10.2.0.2", GATEWAY, What::Icmp);
    tagged.set(field::VLAN_TCI, 0x1005_u16);
    let tag = "LRP_INGRESS_PKT_RESPONSE on hv1: it has a VLAN tag, and no router takes tagged frames";
    assert_eq!(told(&mut network, tagged), [tag]);
    let frame = [&GATEWAY.0[..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5], &[0; 46]].concat();
    let other = "LRP_INGRESS_IP_ROUTE on hv1: LR routes IP packets only, this is one of Ethertype 0x88b5";
    assert_eq!(told(&mut network, Packet::parse(&frame).unwrap()), [other]);
    let mut spent = probe("fd00:2::2", GATEWAY, What::Icmp);
    spent.set(field::NW_TTL, 0_u8);
    assert_eq!(
        told(&mut network, spent),
        ["LRP_INGRESS_DROP_UNEXPECT on hv1: its hop limit is spent; LR tells the sender"]
    );
}

#[test]
fn what_a_switch_does_not_pass_on() {
    let mut network = Network::new(objects("geneve"));
    let itself = Mac([0xf2, 0x01, 0x0a, 1, 0, 1]);
    let back = "LSP_EGRESS_JUDGE_LOOPBACK on hv1: a is where it came from, and a switch returns nothing to its sender";
    assert_eq!(told(&mut network, probe("10.1.0.1", itself, What::Icmp)), [back]);
    let bridge = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: 01:80:c2:00:00:00 is reserved for the protocols of bridges: no switch passes it on (IEEE 802.1Q)";
    assert_eq!(told(&mut network, probe("10.1.0.9", Mac([1, 0x80, 0xc2, 0, 0, 0]), What::Icmp)), [bridge]);
    let all = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: LS-A does not flood: what is sent to all (ff:ff:ff:ff:ff:ff) reaches nobody";
    assert_eq!(told(&mut network, probe("10.1.0.255", Mac([0xff; 6]), What::Udp(67))), [all]);
    let own = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: 10.1.0.1 is the sender's own address: nobody else on LS-A has it";
    assert_eq!(told(&mut network, probe("10.1.0.1", Mac([0xff; 6]), What::Arp)), [own]);
    let mut forwarded = probe("fd00:1::2", Mac([0x33, 0x33, 0xff, 0, 0, 2]), What::Nd);
    forwarded.set(field::NW_TTL, 63_u8);
    let forwarded = told(&mut network, forwarded);
    assert!(forwarded[0].contains("hop limit 63: a router forwarded it"), "{forwarded:?}");
    // On a switch that floods, alone: nobody to flood to.
    let mut lonely = changed(&[("ls/LS-A", r#"{"id":1,"flood":true}"#), ("binding/LS-A/c", "")]);
    let own = ["LSP_EGRESS_JUDGE_LOOPBACK on hv1: a is where it came from, and a switch returns nothing to its sender"];
    assert_eq!(told(&mut lonely, probe("10.1.0.255", Mac([0xff; 6]), What::Udp(67))), own);
    // With others, who get it, its own copy is no news.
    let mut flooding = changed(&[("ls/LS-A", r#"{"id":1,"flood":true}"#)]);
    assert_eq!(told(&mut flooding, probe("10.1.0.255", Mac([0xff; 6]), What::Udp(67))), ["c on hv2"]);
}

#[test]
fn a_port_that_is_not_there_tells_why() {
    let to_d = || probe("10.2.0.2", GATEWAY, What::Icmp);
    let reason = |network: &mut Network| {
        let told = told(network, to_d());
        assert_eq!(told.len(), 1);
        let told = told[0].strip_suffix("; LR tells the sender").expect("an error of the router");
        told.strip_prefix("LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.2").unwrap_or(told).to_owned()
    };
    let mut cases = [
        (
            changed(&[("binding/LS-B/d", "")]),
            ": d is not bound to any chassis: no host has an interface with iface-id d",
        ),
        (changed(&[("ls/LS-B/lsp/d", "")]), " is nobody's address on LS-B"),
        (
            changed(&[("chassis/hv2", "")]),
            ": d is on hv2, whose agent has told no tunnel end point: it never ran, or its chassis was deleted",
        ),
        (
            changed(&[("chassis/hv2", r#"{"encaps":[{"type":"gre","ip":"192.0.2.2"}],"roles":[]}"#)]),
            ": d is on hv2, with which hv1 has no tunnel protocol in common",
        ),
        (
            changed(&[("ls/LS-B/lsp/d", r#"{"port_id":1,"mac":"f2:01:0a:02:00:02","ips":["10.2.0.2"]}"#)]),
            ": ls/LS-B/lsp/d is set aside: port_id: 1 belongs to port LS-B/b already: change or delete one of the two",
        ),
    ];
    for (network, expected) in &mut cases {
        assert_eq!(reason(network), *expected);
    }
}

#[test]
fn a_route_that_is_not_in_force_tells_why() {
    let to = || probe("10.9.9.9", GATEWAY, What::Icmp);
    let route =
        |outport: &str, hop: &str| format!(r#"{{"prefix":"10.9.0.0/16","next_hop":"{hop}","outport":"{outport}"}}"#);
    let mut stray = changed(&[("lr/LR/lsr/r9", &route("LR_to_LS-B", "10.77.0.1"))]);
    let reason = told(&mut stray, to());
    let start =
        "LRP_INGRESS_IP_ROUTE on hv1: no route to 10.9.9.9: route r9 is set aside: next_hop: 10.77.0.1 is no neighbour";
    assert!(reason[0].starts_with(start), "{reason:?}");
    let mut unlinked = changed(&[
        ("lr/LR/lrp/up", r#"{"mac":"02:00:00:00:00:77","nets":["10.77.0.2/24"]}"#),
        ("lr/LR/lsr/r9", &route("up", "10.77.0.1")),
    ]);
    let idle = "LRP_INGRESS_IP_ROUTE on hv1: no route to 10.9.9.9: route r9 is not in force, its port up is linked to no switch here; LR tells the sender";
    assert_eq!(told(&mut unlinked, to()), [idle]);
    let mut hop = changed(&[("lr/LR/lsr/r9", &route("LR_to_LS-B", "10.2.0.77"))]);
    let nobody =
        "LRP_EGRESS_UPDATE_ETH_DST on hv1: the next hop 10.2.0.77 is nobody's address on LS-B; LR tells the sender";
    assert_eq!(told(&mut hop, to()), [nobody]);
}

/// A router pinned to a host that cannot be reached.
#[test]
fn a_pinned_router_tells_where_it_is() {
    let pinned = ("lr/LR", r#"{"id":3,"chassis":"hv3"}"#);
    let mut network = changed(&[pinned]);
    let lost = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: LS-A_to_LR leads to router LR, which is on hv3, whose agent has told no tunnel end point: it never ran, or its chassis was deleted";
    assert_eq!(told(&mut network, probe("10.2.0.2", GATEWAY, What::Icmp)), [lost]);
    let mut network =
        changed(&[pinned, ("chassis/hv3", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.3"}],"roles":[]}"#)]);
    assert_eq!(told(&mut network, probe("10.2.0.2", GATEWAY, What::Icmp)), ["d on hv2"]);
    assert_eq!(told(&mut network, probe("10.2.0.254", GATEWAY, What::Icmp)), ["echo reply of LR to a on hv1"]);
}

#[test]
fn what_other_software_ends_is_told() {
    let mut network = Network::new(objects("geneve"));
    let host = network.host(&"hv1".parse().unwrap()).unwrap();
    host.switch_mut().insert("table=201,cookie=0x99,priority=7,actions=drop".parse().unwrap());
    let other = "HOOK on hv1: a flow of other software ended it (table 201, cookie 0x99)";
    assert_eq!(told(&mut network, probe("10.2.0.2", GATEWAY, What::Icmp)), [other]);
}
