//! Packets through the tables of several hosts, by hand.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::{probe::What, testing::*};
use tuplenet_model::mac::Mac;

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
        ("10.9.9.9", "LRP_INGRESS_IP_ROUTE on hv1: no route to 10.9.9.9; LR tells the sender"),
        ("fd09::9", "LRP_INGRESS_IP_ROUTE on hv1: no route to fd09::9; LR tells the sender"),
        ("10.2.0.9", "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.9 is nobody's address on LS-B; LR tells the sender"),
        (
            "10.2.0.3",
            "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.3: e is not bound to any chassis: no host has an interface with iface-id e; LR tells the sender",
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
    let own = "LRP_INGRESS_DROP_UNEXPECT on hv1: 10.2.0.254 is an address of LR itself, which answers nothing but echo requests (ping); LR tells the sender";
    assert_eq!(outcomes(&walk(&mut network, tcp)), [own]);
    let mut spent = probe("10.2.0.2", GATEWAY, What::Icmp);
    spent.set(tuplenet_openflow::field::NW_TTL, 1_u8);
    assert_eq!(
        outcomes(&walk(&mut network, spent)),
        ["LRP_INGRESS_DROP_UNEXPECT on hv1: its TTL is spent; LR tells the sender"]
    );
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
    let gone = "LRP_EGRESS_UPDATE_ETH_DST on hv1: 10.2.0.2 is nobody's address on LS-B; LR tells the sender";
    assert_eq!(ping(&mut network, "10.2.0.2", GATEWAY), [gone]);
}

/// The switch of a host that followed changes holds what its rules want, no more.
#[test]
fn a_switch_holds_what_its_rules_want() {
    let mut network = Network::new(objects("geneve"));
    let hosts = ["hv1", "hv2"].map(name);
    let same = |network: &mut Network| {
        for chassis in &hosts {
            let host = network.host(chassis).unwrap();
            let text = |flow: &tuplenet_openflow::Flow| format!("{flow}");
            let mut wanted: Vec<String> = host.engine().flows().map(|flow| text(&flow)).collect();
            let mut held: Vec<String> = host.switch().flows().map(text).collect();
            wanted.sort();
            held.sort();
            assert_eq!(wanted, held);
            for group in host.engine().groups() {
                let held = host.switch().group(group.id).unwrap();
                assert_eq!((held.kind, &held.selection), (group.form.kind(), &group.form.properties().selection));
                let text = |weight: Option<u16>, watch: Option<u32>, actions: &Vec<_>| {
                    format!("{weight:?} {watch:?} {actions:?}")
                };
                let mut held: Vec<_> = held.buckets.iter().map(|b| text(b.weight, b.watch_port, &b.actions)).collect();
                let mut wanted: Vec<_> =
                    group.buckets.iter().map(|b| text(b.weight, b.watch_port, &b.actions)).collect();
                held.sort();
                wanted.sort();
                assert_eq!(wanted, held);
            }
        }
    };
    same(&mut network);
    network.place(&name("LS-B"), &name("e"), &name("hv2"));
    same(&mut network);
    network.place(&name("LS-B"), &name("e"), &name("hv1"));
    same(&mut network);
    let flood = |json: Option<&'static str>| ("ls/LS-B".to_owned(), json.map(Into::into), 1);
    network.apply([flood(Some(r#"{"id":2}"#))]);
    same(&mut network);
    network.apply([flood(Some(r#"{"id":2,"flood":true}"#)), ("binding/LS-B/e".to_owned(), None, 0)]);
    same(&mut network);
    network.apply([("chassis/hv2".to_owned(), None, 0)]);
    same(&mut network);
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

/// A router's port with that address in a network, and the switch's port that leads to it.
fn joint(lr: &str, ls: &str, id: u16, net: u8, last: u8) -> [Object; 2] {
    let mac = format!("f2:01:0a:{net:02x}:00:{last:02x}");
    let (v4, v6) = (format!("10.{net}.0.{last}"), format!("fd00:{net:x}::{last:x}"));
    let lrp = format!(
        r#"{{"port_id":{id},"mac":"{mac}","nets":["{v4}/24","{v6}/64"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#
    );
    let lsp = format!(
        r#"{{"port_id":{id},"mac":"{mac}","ips":["{v4}","{v6}"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#
    );
    [object(&format!("lr/{lr}/lrp/{lr}_to_{ls}"), &lrp), object(&format!("ls/{ls}/lsp/{ls}_to_{lr}"), &lsp)]
}

/// Two edges, by which all that is outside can be reached.
#[test]
fn a_host_that_untunnels_sends_outside_by_itself_what_no_edge_translates() {
    let mut all = objects("geneve");
    all.extend([object("ls/out", r#"{"id":9}"#), chassis("hv3", "geneve", "192.0.2.3")]);
    for (number, net, at) in [(1, 51, "hv2"), (2, 52, "hv3")] {
        let (edge, m) = (format!("E{number}"), format!("m{number}"));
        all.extend([
            object(&format!("ls/{m}"), &format!(r#"{{"id":{}}}"#, 10 + number)),
            object(&format!("lr/{edge}"), &format!(r#"{{"id":{},"chassis":"{at}"}}"#, 20 + number)),
            object(
                &format!("ls/out/lsp/phys{number}"),
                &format!(r#"{{"port_id":{},"patch":{{"chassis":"{at}","bridge":"br-ex"}}}}"#, 50 + number),
            ),
        ]);
        all.extend(joint("LR", &m, 30 + number, net, 254));
        all.extend(joint(&edge, &m, 40 + number, net, 1));
        all.extend(joint(&edge, "out", 60 + number, 90, number as u8));
        for (family, prefix, to, out) in [
            ("4", "0.0.0.0/0", format!("10.{net}.0.1"), "10.90.0.99"),
            ("6", "::/0", format!("fd00:{net:x}::1"), "fd00:5a::63"),
        ] {
            let route =
                |hop: &str, port: &str| format!(r#"{{"prefix":"{prefix}","next_hop":"{hop}","outport":"{port}"}}"#);
            all.push(object(&format!("lr/LR/lsr/by{number}-{family}"), &route(&to, &format!("LR_to_{m}"))));
            all.push(object(&format!("lr/{edge}/lsr/out{family}"), &route(out, &format!("{edge}_to_out"))));
            let (inner, back) = if family == "4" {
                ("10.1.0.0/16", format!("10.{net}.0.254"))
            } else {
                ("fd00:1::/64", format!("fd00:{net:x}::fe"))
            };
            let json = format!(r#"{{"prefix":"{inner}","next_hop":"{back}","outport":"{edge}_to_{m}"}}"#);
            all.push(object(&format!("lr/{edge}/lsr/back{family}"), &json));
        }
    }
    let mut network = Network::new(all);
    let far = ["198.51.100.7", "198.51.100.8", "198.51.100.9", "2001:db8:99::7", "2001:db8:99::8"];
    let itself = "by hv1 itself from LR";
    let by_itself = |network: &mut Network| far.map(|to| ping(network, to, GATEWAY) == [itself]);
    assert_eq!(by_itself(&mut network), [false; 5], "nobody asked for it");
    network.untunnel(&name("hv1"), true, true);
    assert_eq!(by_itself(&mut network), [true; 5], "whichever edge it would be");
    assert_eq!(ping(&mut network, "10.2.0.2", GATEWAY), ["d on hv2"], "inside is inside");
    assert_eq!(ping(&mut network, "10.90.0.1", GATEWAY), ["echo reply of E1 to a on hv1"]);
    network.untunnel(&name("hv1"), true, false);
    assert_eq!(by_itself(&mut network), [true, true, true, false, false]);
    network.untunnel(&name("hv1"), true, true);
    // One edge translates IPv4: what goes by it does so translated, or not at all.
    let rule = r#"{"type":"snat","prefix":"10.1.0.0/16","xlate_ip":"10.90.0.5"}"#;
    let path = |edge: u8| format!("lr/E{edge}/lnat/all");
    network.apply([(path(1), Some(rule.into()), 9)]);
    for to in far {
        let packet = probe(to, GATEWAY, What::Icmp);
        let told = walk(&mut network, packet);
        let by_first = told.hops.iter().any(|hop| hop.to.as_deref() == Some("LR_to_m1"));
        let expected = to.contains(':') || !by_first;
        assert_eq!(outcomes(&told) == [itself], expected, "{to}: {:?}", outcomes(&told));
    }
    // Both do: no packet of IPv4 leaves otherwise. And back.
    network.apply([(path(2), Some(rule.replace("90.0.5", "90.0.6").into()), 9)]);
    assert_eq!(by_itself(&mut network), [false, false, false, true, true]);
    network.apply([(path(1), None, 0), (path(2), None, 0)]);
    assert_eq!(by_itself(&mut network), [true; 5]);
    network.untunnel(&name("hv1"), false, false);
    assert_eq!(by_itself(&mut network), [false; 5]);
}
