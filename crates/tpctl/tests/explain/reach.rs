//! `tpctl explain reach`: whether two ports reach each other, and the first fact that is missing.

use super::{
    bench::{Bench, Embedded},
    network::{bind, network},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// A question that is answered with no, for this reason.
fn lacks(b: &Bench, line: &str, words: &[&str]) {
    let (out, err) = b.exits(1, &format!("explain reach {line}"));
    assert_eq!(err, "", "{line}");
    let first = out.lines().next().unwrap();
    for word in words {
        assert!(first.contains(word), "reach {line}: must say \"{word}\": {first}");
    }
    assert!(out.lines().nth(1).unwrap().starts_with("what to do: "), "{out}");
    let (json, _) = b.exits(1, &format!("explain reach {line} -o json"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["reaches"], false);
    assert!(json["missing"]["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
}

/// A question that is answered with "by the store yes, but".
fn doubts(b: &Bench, line: &str, reason: &str) {
    let (out, err) = b.exits(1, &format!("explain reach {line}"));
    let first = out.lines().next().unwrap();
    // The switch of a host goes on without its agent: "does not reach" would be false.
    assert!(
        first.contains(&format!(" by ping, but that is not certain: {reason}")) && !first.contains("not reach"),
        "{out}"
    );
    assert!(
        out.contains("\nwhat to do: look at ") && out.contains(": arrives at port ") && err.is_empty(),
        "{out}{err}"
    );
    let json: Value = serde_json::from_str(&b.exits(1, &format!("explain reach {line} -o json")).0).unwrap();
    assert_eq!((&json["reaches"], &json["missing"]["what"]), (&Value::Null, &reason.into()));
}

#[test]
fn ports_that_reach_each_other_do_so_in_both_directions_and_families() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let short = b.ok("explain reach vm1 vm2");
    assert!(short.contains("\n  on hv1: LS-A > LR-central > LS-B\n  on hv2: LS-B\n"), "{short}");
    let said = b.ok("explain reach vm1 vm2 --hops");
    assert!(
        said.starts_with("port vm1 of switch LS-A reaches port vm2 of switch LS-B by ping: IPv4 and IPv6\n"),
        "{said}"
    );
    for way in
        ["IPv4, there: 10.20.1.2 to 10.20.2.2", "IPv4, back: 10.20.2.2 to 10.20.1.2", "IPv6, there", "IPv6, back"]
    {
        assert!(said.contains(way), "{said}");
    }
    assert!(
        said.contains(
            "  type:LS,pipeline:LS-B,from:LS-B_to_LR-central,to:vm2,stage:TABLE_LSP_TRACE_EGRESS_IN,chassis:hv2\n"
        ),
        "{said}"
    );
    let json = b.json("explain reach LS-A/vm1 LS-A/vm4 --tcp 22");
    assert_eq!((&json["reaches"], json["ways"].as_array().unwrap().len()), (&true.into(), 4));
    // By two routers, of which one is on a host of its own.
    let json = b.json("explain reach vm1 out --udp 53");
    let hosts: BTreeSet<&str> =
        json["ways"][0]["hops"].as_array().unwrap().iter().map(|hop| hop["chassis"].as_str().unwrap()).collect();
    assert_eq!(hosts, BTreeSet::from(["hv1", "hv3"]));
    // Addresses: of a port, of a router, of somebody behind a port.
    assert!(b.ok("explain reach vm1 10.20.2.2").contains("reaches 10.20.2.2, port vm2 of switch LS-B"));
    assert!(b.ok("explain reach vm1 10.20.2.1").contains("LR-central answers, with an echo reply"));
    let said = b.ok("explain reach vm1 10.99.0.1");
    assert!(
        said.contains(
            "arrives at port vm2 of switch LS-B on hv2, which is the next hop; what is behind it is not known here"
        ),
        "{said}"
    );
}

#[test]
fn the_first_missing_fact_is_named() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    b.refused_with("explain reach vm1 vm99", &["there is no vm99"]);
    b.refused_with("explain reach vm1 LR-central", &["router LR-central is no port of a switch: name one"]);
    b.refused_with("explain reach vm1 vm1", &["both ends"]);
    assert_eq!(b.run(&["explain", "reach", "vm1", "vm2", "--tcp", "1", "--icmp"]).status.code(), Some(2));

    lacks(b, "vm1 vm3", &["port vm3 of switch LS-A is bound to no chassis"]);
    lacks(b, "vm3 vm1", &["port vm3 of switch LS-A is bound to no chassis"]);
    lacks(b, "vm1 LS-B_to_LR-central", &["is the end of a link with router LR-central"]);
    b.put("ls/LS-A/lsp/bad", r#"{"port_id": 77, "mac": "nonsense", "ips": ["10.20.1.77"]}"#);
    lacks(b, "vm1 bad", &["port bad of switch LS-A is set aside: mac: \"nonsense\""]);
    b.delete("ls/LS-A/lsp/bad");

    // Chassis.
    bind(b, "LS-A/vm3", "hv9");
    lacks(b, "vm1 vm3", &["chassis hv9, which has port vm3 of switch LS-A, is not in the store"]);
    b.put("chassis/hv9", r#"{"encaps": [{"type": "vxlan", "ip": "192.0.2.9"}]}"#);
    lacks(b, "vm1 vm3", &["no tunnel protocol in common: hv1 speaks geneve, hv9 vxlan"]);
    b.put("chassis/hv9", r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.9"}]}"#);
    doubts(b, "vm1 vm3", "the agent of chassis hv9, which has port vm3 of switch LS-A, is silent");
    b.put("status/hv9/alive", "{}");
    b.ok("explain reach vm1 vm3");
    b.delete("status/hv3/alive");
    lacks(b, "vm1 10.30.1.99", &["10.30.1.99 is nobody's address on LS-C (LR-edge on hv3)"]);
    b.ok("lsp add LS-C far 10.30.1.3");
    bind(b, "LS-C/far", "hv4");
    doubts(b, "vm1 far", "the agent of chassis hv3, through which the packet goes, is silent");
    b.put("status/hv3/alive", "{}");

    // Families.
    b.ok("lsp add LS-B six fd00:20:2::6 02:00:00:00:00:06");
    bind(b, "LS-B/six", "hv2");
    lacks(b, "vm3 six", &["no address family in common", "has IPv4 only", "IPv6 only"]);

    // Routers and routes.
    b.ok("ls add LS-D");
    b.ok("lsp add LS-D lone 10.40.0.2");
    bind(b, "LS-D/lone", "hv1");
    lacks(b, "lone vm1", &["IPv4, there: switch LS-D has no router"]);
    lacks(b, "vm1 lone", &["IPv4, there: it arrives at port vm2 of switch LS-B on hv2 instead"]);
    b.ok("-y lsr del LR-central default");
    lacks(b, "vm1 lone", &["IPv4, there: no route to 10.40.0.2 (LR-central on hv1)"]);
    b.ok("lr link LR-central LS-D 10.50.0.1/24");
    lacks(b, "lone vm1", &["10.40.0.2 has no gateway"]);
    b.ok("-y lr unlink LR-central LS-D");
    b.ok("lr link LR-central LS-D 10.40.0.1/24");
    b.ok("explain reach lone vm1");
    lacks(b, "out lone", &["IPv4, there: no route to 10.40.0.2 (LR-edge on hv3)"]);
    b.ok("-y lsr del LR-edge back");
    lacks(b, "vm1 out", &["IPv4, back: no route to 10.20.1.2 (LR-edge on hv3)"]);

    // Neighbours.
    b.ok("lsp add LS-D near 10.20.1.50");
    bind(b, "LS-D/near", "hv1");
    lacks(b, "vm1 near", &["10.20.1.2 takes 10.20.1.50 for a neighbour", "in switch LS-D"]);
    lacks(b, "vm1 10.20.1.99", &["10.20.1.99 is in the network 10.20.1.0/24 of switch LS-A, and no port there has it"]);
    lacks(b, "vm1 10.20.2.99", &["10.20.2.99 is nobody's address on LS-B (LR-central on hv1)"]);
    lacks(b, "vm1 10.20.2.1 --tcp 80", &["10.20.2.1 is an address of LR-central itself"]);
    let (out, _) = b.exits(1, "explain reach vm1 10.20.2.1 --tcp 80");
    assert!(out.contains("what to do: Something tries to connect to the gateway's address."), "{out}");
    let (out, _) = b.exits(1, "explain reach vm1 240.0.0.1");
    assert!(out.contains("what to do: \"tpctl explain drop LRP_INGRESS_DROP_UNEXPECT\""), "{out}");
    for (address, kind) in [
        ("127.0.0.1", "a loopback address"),
        ("224.0.0.5", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("255.255.255.255", "the broadcast address"),
        ("::", "the unspecified address"),
        ("fe80::1", "a link-local address"),
    ] {
        b.refused_with(&format!("explain reach vm1 {address}"), &[address, kind, "name a port"]);
    }
    b.refused_with("explain reach 10.20.1.2 vm2", &["10.20.1.2 is an address", "name the one that has it"]);

    // A circle of routes: within a host, then over two.
    b.ok("lsr add LR-central away 10.77.0.0/16 10.20.2.9 LR-central_to_LS-B");
    b.ok("lsr add LR-edge back 10.77.0.0/16 10.20.2.1 LR-edge_to_LS-B");
    lacks(b, "vm1 10.77.0.1", &["routers send it round in a circle, until the switch gave it up"]);
    b.ok("lr set LR-central --chassis hv2");
    lacks(b, "vm1 10.77.0.1", &["routers LR-central and LR-edge send it round in a circle, until its TTL is spent"]);
    b.ok("lr set LR-central --distributed");

    // A link of which one end is set aside is none.
    b.put("lr/LR-central/lrp/LR-central_to_LS-D", r#"{"mac": 5, "nets": [], "peer": null}"#);
    lacks(b, "lone vm1", &["switch LS-D has no router"]);
}
