#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    path::Outcome,
    probe::{Probe, What},
};
use tuplenet_model::mac::Mac;

fn name(s: &str) -> Name {
    s.parse().unwrap()
}

fn object(path: &str, json: &str) -> Object {
    Object { path: path.into(), value: json.to_owned().into(), create_revision: 1 }
}

fn port(ls: &str, lsp: &str, id: u16, ip: &str, ip6: &str, mac: &str) -> Object {
    let json = format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{ip}","{ip6}"]}}"#);
    object(&format!("ls/{ls}/lsp/{lsp}"), &json)
}

fn link(lr: &str, ls: &str, id: u16, net: u8) -> [Object; 2] {
    let mac = format!("f2:01:0a:{net:02x}:00:fe");
    let lrp = format!(
        r#"{{"port_id":{id},"mac":"{mac}","nets":["10.{net}.0.254/24","fd00:{net:x}::fe/64"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#
    );
    let lsp = format!(
        r#"{{"port_id":100,"mac":"{mac}","ips":["10.{net}.0.254","fd00:{net:x}::fe"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#
    );
    [object(&format!("lr/{lr}/lrp/{lr}_to_{ls}"), &lrp), object(&format!("ls/{ls}/lsp/{ls}_to_{lr}"), &lsp)]
}

fn chassis(name: &str, kind: &str, ip: &str) -> Object {
    object(&format!("chassis/{name}"), &format!(r#"{{"encaps":[{{"type":"{kind}","ip":"{ip}"}}],"roles":[]}}"#))
}

fn binding(ls: &str, lsp: &str, chassis: &str) -> Object {
    object(&format!("binding/{ls}/{lsp}"), &format!(r#"{{"chassis":"{chassis}","generation":1}}"#))
}

/// Two switches, a router between them; a and b on hv1, c and d on hv2; e is nowhere.
fn objects(kind: &str) -> Vec<Object> {
    let mut all = vec![
        object("ls/LS-A", r#"{"id":1}"#),
        object("ls/LS-B", r#"{"id":2,"flood":true}"#),
        object("lr/LR", r#"{"id":3,"chassis":null}"#),
        port("LS-A", "a", 1, "10.1.0.1", "fd00:1::1", "f2:01:0a:01:00:01"),
        port("LS-B", "b", 1, "10.2.0.1", "fd00:2::1", "f2:01:0a:02:00:01"),
        port("LS-A", "c", 2, "10.1.0.2", "fd00:1::2", "f2:01:0a:01:00:02"),
        port("LS-B", "d", 2, "10.2.0.2", "fd00:2::2", "f2:01:0a:02:00:02"),
        port("LS-B", "e", 3, "10.2.0.3", "fd00:2::3", "f2:01:0a:02:00:03"),
        chassis("hv1", kind, "192.0.2.1"),
        chassis("hv2", kind, "192.0.2.2"),
        binding("LS-A", "a", "hv1"),
        binding("LS-B", "b", "hv1"),
        binding("LS-A", "c", "hv2"),
        binding("LS-B", "d", "hv2"),
    ];
    all.extend(link("LR", "LS-A", 1, 1));
    all.extend(link("LR", "LS-B", 2, 2));
    all
}

const GATEWAY: Mac = Mac([0xf2, 0x01, 0x0a, 1, 0, 0xfe]);

fn probe(to: &str, eth_dst: Mac, what: What) -> Packet {
    let dst: IpAddr = to.parse().unwrap();
    let src = if dst.is_ipv4() { "10.1.0.1" } else { "fd00:1::1" };
    let probe =
        Probe { eth_src: Mac([0xf2, 0x01, 0x0a, 1, 0, 1]), eth_dst, src: src.parse().unwrap(), dst, ttl: 64, what };
    Packet::parse(&probe.to_bytes().unwrap()).unwrap()
}

fn walk(network: &mut Network, packet: Packet) -> Path {
    network.walk(&name("LS-A"), &name("a"), packet).unwrap()
}

/// Outcomes in short.
fn outcomes(path: &Path) -> Vec<String> {
    let short = |outcome: &Outcome| match outcome {
        Outcome::Delivered { lsp, chassis, .. } => format!("{lsp} on {chassis}"),
        Outcome::Answered { by, what, lsp, chassis, .. } => format!("{what} of {by} to {lsp} on {chassis}"),
        Outcome::Dropped { stage, chassis, reason, .. } => format!("{stage} on {chassis}: {reason}"),
        Outcome::Lost { towards, reason, .. } => format!("lost towards {towards}: {reason}"),
    };
    path.outcomes.iter().map(short).collect()
}

fn ping(network: &mut Network, to: &str, eth_dst: Mac) -> Vec<String> {
    outcomes(&walk(network, probe(to, eth_dst, What::Icmp)))
}

#[test]
fn a_ping_across_a_router_and_the_underlay() {
    for kind in ["geneve", "vxlan", "gre"] {
        let mut network = Network::new(objects(kind));
        for to in ["10.2.0.2", "fd00:2::2"] {
            let path = walk(&mut network, probe(to, GATEWAY, What::Icmp));
            assert_eq!(outcomes(&path), ["d on hv2"], "{kind}");
            let hops: Vec<String> = path.hops.iter().map(ToString::to_string).collect();
            let last = "type:LS,pipeline:LS-B,from:LS-B_to_LR,to:d,stage:TABLE_LSP_TRACE_EGRESS_IN,chassis:hv2";
            let first = "type:LS,pipeline:LS-A,from:a,to:<UNKNOWN>,stage:TABLE_LSP_TRACE_INGRESS_IN,chassis:hv1";
            assert_eq!(hops.first().map(String::as_str), Some(first));
            let from = if kind == "geneve" { "LS-B_to_LR" } else { "<UNKNOWN>" };
            assert_eq!(hops.last(), Some(&last.replace("LS-B_to_LR", from)), "{kind}");
        }
    }
}

#[test]
fn a_router_and_a_switch_answer() {
    let mut network = Network::new(objects("geneve"));
    assert_eq!(ping(&mut network, "10.2.0.254", GATEWAY), ["echo reply of LR to a on hv1"]);
    let arp = probe("10.1.0.2", Mac([0xff; 6]), What::Arp);
    assert_eq!(outcomes(&walk(&mut network, arp)), ["ARP reply of LS-A to a on hv1"]);
    let nd = probe("fd00:1::2", Mac([0x33, 0x33, 0xff, 0, 0, 2]), What::Nd);
    assert_eq!(outcomes(&walk(&mut network, nd)), ["neighbour advertisement of LS-A to a on hv1"]);
}

#[test]
fn what_does_not_arrive_has_its_reason() {
    let mut network = Network::new(objects("geneve"));
    let cases = [
        ("10.9.9.9", "LRP_INGRESS_IP_ROUTE on hv1: no route to 10.9.9.9"),
        ("fd09::9", "LRP_INGRESS_IP_ROUTE on hv1: no route to fd09::9"),
        ("10.2.0.9", "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.9 is nobody's address on LS-B"),
        (
            "10.2.0.3",
            "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.3: e is not bound to any chassis: no host has an interface with iface-id e",
        ),
        ("224.0.0.5", "LRP_INGRESS_DROP_UNEXPECT on hv1: 224.0.0.5 is a multicast address, which LR does not route"),
        ("fe80::1", "LRP_INGRESS_DROP_UNEXPECT on hv1: fe80::1 is a link-local address, which LR does not route"),
    ];
    for (to, expected) in cases {
        assert_eq!(ping(&mut network, to, GATEWAY), [expected]);
    }
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let nobody = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: no port of LS-A has the MAC address 02:00:00:00:00:09";
    assert_eq!(ping(&mut network, "10.1.0.9", mac), [nobody]);
    let arp = probe("10.1.0.9", Mac([0xff; 6]), What::Arp);
    let nobody = "LSP_INGRESS_LOOKUP_DST_PORT on hv1: 10.1.0.9 is nobody's address on LS-A";
    assert_eq!(outcomes(&walk(&mut network, arp)), [nobody]);
    let tcp = probe("10.2.0.254", GATEWAY, What::Tcp(22));
    let own = "LRP_INGRESS_DROP_UNEXPECT on hv1: 10.2.0.254 is an address of LR itself, which answers nothing but echo requests (ping)";
    assert_eq!(outcomes(&walk(&mut network, tcp)), [own]);
    let mut spent = probe("10.2.0.2", GATEWAY, What::Icmp);
    spent.set(tuplenet_openflow::field::NW_TTL, 1_u8);
    assert_eq!(outcomes(&walk(&mut network, spent)), ["LRP_INGRESS_DROP_UNEXPECT on hv1: its TTL is spent"]);
}

#[test]
fn a_change_is_followed_by_hosts_that_are_there_already() {
    let mut network = Network::new(objects("geneve"));
    assert_eq!(ping(&mut network, "10.2.0.2", GATEWAY), ["d on hv2"]);
    network.place(&name("LS-B"), &name("d"), &name("hv1"));
    assert_eq!(ping(&mut network, "10.2.0.2", GATEWAY), ["d on hv1"]);
    network.place(&name("LS-B"), &name("e"), &name("imagined"));
    assert_eq!(ping(&mut network, "10.2.0.3", GATEWAY), ["e on imagined"]);
    network.apply([("ls/LS-B/lsp/d".to_owned(), None, 0)]);
    let gone = "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.2 is nobody's address on LS-B";
    assert_eq!(ping(&mut network, "10.2.0.2", GATEWAY), [gone]);
}

#[test]
fn ports_that_cannot_send_are_told() {
    let mut network = Network::new(objects("geneve"));
    let packet = probe("10.2.0.2", GATEWAY, What::Icmp);
    let mut error = |ls: &str, lsp: &str| network.walk(&name(ls), &name(lsp), packet.clone()).unwrap_err();
    assert_eq!(error("LS-X", "a"), WalkError::NoSwitch(name("LS-X")));
    assert_eq!(error("LS-A", "x"), WalkError::NoPort { ls: name("LS-A"), lsp: name("x") });
    assert_eq!(error("LS-B", "e"), WalkError::NotBound { ls: name("LS-B"), lsp: name("e") });
    assert!(matches!(error("LS-A", "LS-A_to_LR"), WalkError::Link { .. }));
}
