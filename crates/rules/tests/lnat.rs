//! Patch ports and NAT rules that contradict each other: the older one stays, the other is set aside until that is mended.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use tuplenet_rules::{Change, Config, Engine, Scope};

struct Host(Engine, i64);

impl Host {
    fn new() -> Self {
        Self(Engine::new(Config { chassis: "hv1".parse().unwrap(), scope: Scope::All }), 0)
    }
    fn put(&mut self, path: &str, value: &str) {
        self.1 += 1;
        let change = Change::Object {
            path: path.into(),
            value: Some(value.as_bytes().to_vec().into()),
            create_revision: self.1,
        };
        self.0.apply([change]);
    }
    fn delete(&mut self, path: &str) {
        self.0.apply([Change::Object { path: path.into(), value: None, create_revision: 0 }]);
    }
    fn aside(&self) -> BTreeSet<&str> {
        self.0.rejected().map(|reject| reject.key.as_str()).collect()
    }
    fn reason(&self, key: &str) -> &str {
        &self.0.rejected().find(|reject| reject.key == key).unwrap().reason
    }
}

/// Two pinned routers, each with a switch outside of its own.
fn edges_apart(patches: [&str; 2]) -> Host {
    let mut host = Host::new();
    for (i, patch) in [1, 2].into_iter().zip(patches) {
        host.put(&format!("ls/o{i}"), &format!(r#"{{"id":{i}}}"#));
        host.put(&format!("ls/o{i}/lsp/up"), &format!(r#"{{"port_id":9,"patch":{patch}}}"#));
        host.put(&format!("lr/e{i}"), &format!(r#"{{"id":{},"chassis":"hv{i}"}}"#, 10 + i));
        link(&mut host, &format!("e{i}"), &format!("o{i}"), i);
    }
    assert_eq!(host.aside(), BTreeSet::new());
    host
}

fn link(host: &mut Host, lr: &str, ls: &str, number: u8) {
    let (mac, ip) = (format!("f2:01:cb:00:71:0{number}"), format!("203.0.113.{number}"));
    let peer = format!(r#""peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}"#);
    host.put(
        &format!("ls/{ls}/lsp/{ls}_to_{lr}"),
        &format!(r#"{{"port_id":{number},"mac":"{mac}","ips":["{ip}"],{peer}}}"#),
    );
    let peer = format!(r#""peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}"#);
    host.put(
        &format!("lr/{lr}/lrp/{lr}_to_{ls}"),
        &format!(r#"{{"port_id":1,"mac":"{mac}","nets":["{ip}/24"],{peer}}}"#),
    );
}

/// Two pinned routers on one switch outside.
fn edges() -> Host {
    let mut host = Host::new();
    host.put("ls/out", r#"{"id":1}"#);
    host.put("ls/out/lsp/up", r#"{"port_id":9,"patch":{"chassis":"hv1","bridge":"br-ex"}}"#);
    for (i, edge) in [(1, "e1"), (2, "e2")] {
        host.put(&format!("lr/{edge}"), &format!(r#"{{"id":{},"chassis":"hv{i}"}}"#, 10 + i));
        link(&mut host, edge, "out", i);
    }
    assert_eq!(host.aside(), BTreeSet::new());
    host
}

#[test]
fn the_older_of_two_rules_stays() {
    let mut host = edges();
    host.put("lr/e1/lnat/a", r#"{"type":"dnat","prefix":"203.0.113.5/32","xlate_ip":"10.0.0.2"}"#);
    host.put("lr/e1/lnat/b", r#"{"type":"floating","prefix":"10.0.0.3/32","xlate_ip":"203.0.113.5"}"#);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/b"]));
    assert!(host.reason("lr/e1/lnat/b").contains("203.0.113.5 is taken by lr/e1/lnat/a"));
    host.delete("lr/e1/lnat/a");
    assert_eq!(host.aside(), BTreeSet::new());
    // What may share an address.
    host.put("lr/e2/lnat/s", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.2"}"#);
    host.put("lr/e2/lnat/t", r#"{"type":"snat","prefix":"172.16.0.0/12","xlate_ip":"203.0.113.2"}"#);
    host.put("lr/e2/lnat/d", r#"{"type":"dnat","prefix":"203.0.113.2/32","xlate_ip":"10.0.0.2"}"#);
    assert_eq!(host.aside(), BTreeSet::new());
    host.put("lr/e2/lnat/u", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.7"}"#);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e2/lnat/u"]));
    assert!(host.reason("lr/e2/lnat/u").contains("10.0.0.0/8 is translated already by lr/e2/lnat/s"));
}

#[test]
fn two_routers_on_a_switch_do_not_answer_for_one_address() {
    let mut host = edges();
    let rule = r#"{"type":"floating","prefix":"10.0.0.3/32","xlate_ip":"203.0.113.5"}"#;
    host.put("lr/e1/lnat/a", rule);
    host.put("lr/e2/lnat/a", rule);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e2/lnat/a"]));
    // Where only one of them is, nobody else answers.
    host.delete("lr/e1/lrp/e1_to_out");
    assert_eq!(host.aside(), BTreeSet::from(["ls/out/lsp/out_to_e1"]));
    // An address in none of their networks is routed to one of them by others.
    let far = r#"{"type":"floating","prefix":"10.0.0.4/32","xlate_ip":"198.51.100.5"}"#;
    host.put("lr/e1/lnat/far", far);
    host.put("lr/e2/lnat/far", far);
    assert_eq!(host.aside(), BTreeSet::from(["ls/out/lsp/out_to_e1"]));
}

#[test]
fn nor_do_two_switches_on_one_bridge() {
    let bridge = |chassis: &str, rest: &str| format!(r#"{{"chassis":"{chassis}","bridge":{rest}}}"#);
    let (ex1, ex2) = (bridge("hv1", r#""br-ex""#), bridge("hv2", r#""br-ex""#));
    let rule = r#"{"type":"floating","prefix":"10.0.0.3/32","xlate_ip":"203.0.113.5"}"#;
    let mut host = edges_apart([&ex1, &ex2]);
    host.put("lr/e2/lnat/a", rule);
    host.put("lr/e1/lnat/a", rule);
    host.put("lr/e1/lnat/d", r#"{"type":"dnat","prefix":"203.0.113.6/32","xlate_ip":"10.0.0.4"}"#);
    host.put("lr/e1/lnat/s", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.6"}"#);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/a"]));
    let reason =
        "the external address 203.0.113.5 is taken by lr/e2/lnat/a on bridge br-ex: change or delete one of the two";
    assert_eq!(host.reason("lr/e1/lnat/a"), reason);
    // What is set aside for another reason comes to life when that is gone.
    host.delete("ls/o2/lsp/up");
    assert_eq!(host.aside(), BTreeSet::new());
    host.put("ls/o2/lsp/up", &format!(r#"{{"port_id":9,"patch":{ex2}}}"#));
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/a"]));
    host.delete("lr/e2/lnat/a");
    assert_eq!(host.aside(), BTreeSet::new());
    // Others are networks of their own: another VLAN, another bridge.
    for other in [bridge("hv2", r#""br-ex","vlan":7"#), bridge("hv2", r#""br-ex2""#)] {
        let mut host = edges_apart([&ex1, &other]);
        host.put("lr/e1/lnat/a", rule);
        host.put("lr/e2/lnat/a", rule);
        assert_eq!(host.aside(), BTreeSet::new(), "{other}");
    }
}

#[test]
fn a_rule_that_no_host_keeps_keeps_nobody_from_anything() {
    let mut host = edges();
    let rule = r#"{"type":"floating","prefix":"10.0.0.3/32","xlate_ip":"203.0.113.5"}"#;
    host.put("lr/e1", r#"{"id":11}"#);
    host.put("lr/e1/lnat/a", rule);
    host.put("lr/e2/lnat/a", rule);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/a"]));
    assert!(host.reason("lr/e1/lnat/a").contains("give the router a chassis"));
    // At the port's host it is kept, and is the younger one here.
    host.put("lr/e1/lnat/a", &rule.replace('}', r#","distributed":true}"#));
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/a"]));
    assert!(host.reason("lr/e1/lnat/a").contains("taken by lr/e2/lnat/a in switch out"));
    host.delete("lr/e2/lnat/a");
    assert_eq!(host.aside(), BTreeSet::new());
}

#[test]
fn a_distributed_address_is_not_its_routers_own() {
    let mut host = edges();
    let rule = r#"{"type":"floating","prefix":"10.0.0.3/32","xlate_ip":"203.0.113.1","distributed":true}"#;
    host.put("lr/e1/lnat/a", rule);
    assert_eq!(host.aside(), BTreeSet::new(), "where the router is pinned there is one place, and one MAC address");
    host.put("lr/e1", r#"{"id":11}"#);
    assert_eq!(host.aside(), BTreeSet::from(["lr/e1/lnat/a"]));
    assert!(host.reason("lr/e1/lnat/a").contains("203.0.113.1 is taken by lr/e1/lrp/e1_to_out"));
    host.put("lr/e1/lnat/a", &rule.replace("113.1", "113.7"));
    assert_eq!(host.aside(), BTreeSet::new());
}

#[test]
fn a_rule_needs_its_router_and_can_be_mended() {
    let mut host = edges();
    host.put("lr/e9/lnat/a", r#"{"type":"snat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.9"}"#);
    assert!(host.reason("lr/e9/lnat/a").contains("lr/e9 does not exist"));
    host.put("lr/e9", r#"{"id":99,"chassis":"hv9"}"#);
    assert_eq!(host.aside(), BTreeSet::new());
    host.put("lr/e9/lnat/a", r#"{"type":"dnat","prefix":"10.0.0.0/8","xlate_ip":"203.0.113.9"}"#);
    assert!(host.reason("lr/e9/lnat/a").contains("prefix: 10.0.0.0/8 is a network"));
}

#[test]
fn the_older_of_two_patch_ports_on_a_chassis_stays() {
    let mut host = edges();
    host.put("ls/out/lsp/up2", r#"{"port_id":8,"patch":{"chassis":"hv2","bridge":"br-ex"}}"#);
    assert_eq!(host.aside(), BTreeSet::new());
    host.put("ls/out/lsp/up3", r#"{"port_id":7,"patch":{"chassis":"hv1","bridge":"br-ex","vlan":5}}"#);
    assert_eq!(host.aside(), BTreeSet::from(["ls/out/lsp/up3"]));
    host.delete("ls/out/lsp/up");
    assert_eq!(host.aside(), BTreeSet::new());
    host.put("ls/out/lsp/up4", r#"{"port_id":6,"patch":{"chassis":"hv3","bridge":"br-int"}}"#);
    assert!(host.reason("ls/out/lsp/up4").contains("patch.bridge"));
}
