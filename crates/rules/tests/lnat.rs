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

/// Two pinned routers on one switch outside.
fn edges() -> Host {
    let mut host = Host::new();
    host.put("ls/out", r#"{"id":1}"#);
    host.put("ls/out/lsp/up", r#"{"port_id":9,"patch":{"chassis":"hv1","bridge":"br-ex"}}"#);
    for (i, edge) in [(1, "e1"), (2, "e2")] {
        host.put(&format!("lr/{edge}"), &format!(r#"{{"id":{},"chassis":"hv{i}"}}"#, 10 + i));
        let (mac, ip) = (format!("f2:01:cb:00:71:0{i}"), format!("203.0.113.{i}"));
        host.put(
            &format!("ls/out/lsp/out_to_{edge}"),
            &format!(
                r#"{{"port_id":{i},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"{edge}","lrp":"{edge}_to_out"}}}}"#
            ),
        );
        host.put(
            &format!("lr/{edge}/lrp/{edge}_to_out"),
            &format!(r#"{{"port_id":1,"mac":"{mac}","nets":["{ip}/24"],"peer":{{"ls":"out","lsp":"out_to_{edge}"}}}}"#),
        );
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
