//! `tpctl explain object`: which flows exist because of an object, and where.

use super::{
    bench::{Bench, Embedded},
    network::{flows, network, simulated},
};
use std::collections::BTreeSet;

/// What the object changes on a host, the slow and plain way: the flows with it that are not there without it.
fn changed(b: &Bench, key: &str, chassis: &str) -> usize {
    let mut with = flows(&mut simulated(b, None), chassis);
    let without: BTreeSet<String> = match simulated(b, Some(key)).host(&chassis.parse().unwrap()) {
        Some(host) => host.engine().flows().map(|flow| flow.to_string()).collect(),
        None => BTreeSet::new(),
    };
    with.retain(|flow| !without.contains(&flow.to_string()));
    with.len()
}

#[test]
fn an_object_has_exactly_the_flows_that_go_with_it() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    for key in [
        "ls/LS-A",
        "ls/LS-C",
        "ls/LS-A/lsp/vm1",
        "ls/LS-A/lsp/vm3",
        "ls/LS-B/lsp/vm2",
        "ls/LS-B/lsp/LS-B_to_LR-edge",
        "lr/LR-central",
        "lr/LR-edge",
        "lr/LR-central/lrp/LR-central_to_LS-A",
        "lr/LR-central/lsr/lab",
        "chassis/hv2",
    ] {
        let said = b.json(&format!("explain object {key}"));
        let mut all = 0;
        for host in said["hosts"].as_array().unwrap() {
            let chassis = host["chassis"].as_str().unwrap();
            if key == format!("chassis/{chassis}") {
                continue; // the simulator takes a host's tunnels from it; an agent has them of its configuration
            }
            let expected = changed(b, key, chassis);
            assert_eq!(host["count"], expected, "{key} on {chassis}");
            assert!(expected == 0 || host["absent"].is_null(), "{key} on {chassis}");
            all += expected;
        }
        assert_eq!(said["count"], all, "{key}");
        assert_eq!(said["hosts"].as_array().unwrap().len(), 4);
    }
    // A binding is what makes the port local, and remote elsewhere.
    let said = b.json("explain object binding LS-B vm2");
    assert_eq!(said["on"], serde_json::json!(["hv1", "hv2", "hv3"]));
}

#[test]
fn an_object_is_explained_to_people() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let said = b.ok("explain object lr/LR-central/lsr/lab");
    let mut lines = said.lines();
    assert_eq!(
        lines.next().unwrap(),
        "route lab of router LR-central (lr/LR-central/lsr/lab): 10.30.0.0/16 by 10.20.2.9 through LR-central_to_LS-B"
    );
    assert!(lines.next().unwrap().contains("on 3 hosts"), "{said}");
    assert!(
        said.contains("\nhv1: 1 flow\n  LRP_INGRESS_IP_ROUTE (table 57)\n    static-route: cookie=0x5412"),
        "{said}"
    );
    assert!(said.contains("\nhv4: none: no port of hv4 can reach router LR-central\n"), "{said}");
    // The same object by other words.
    for words in
        ["route LR-central lab", "lsr LR-central lab", "LR-central/lab", "lab", "/tuplenet/v1/lr/LR-central/lsr/lab"]
    {
        assert_eq!(b.ok(&format!("explain object {words}")), said, "{words}");
    }
    // Ports by name where only the switch knows the number.
    let port = b.ok("explain object vm1 --chassis hv1");
    assert!(port.contains("in_port=vm1 ") && port.contains("output:vm1\n") && !port.contains("hv2:"), "{port}");
    assert!(!b.ok("explain object vm1 --summary").contains("cookie="));
    let flood = b.ok("explain object ls LS-A --chassis hv1");
    assert!(flood.contains("a copy in the flood group of switch LS-A (group 16777217): "), "{flood}");

    assert!(b.ok("explain object vm3").contains("no flow exists because of it: the port is bound to no chassis"));
    b.ok("lsr add LR-central second 0.0.0.0/0 10.20.2.5 LR-central_to_LS-B");
    b.ok("lsr add LR-central third 0.0.0.0/0 10.20.2.5 LR-central_to_LS-B");
    let third = b.ok("explain object third");
    assert!(third.contains("route second of router LR-central leads the same way and is older"), "{third}");
    let default = b.ok("explain object LR-central/default");
    assert!(default.contains("ecmp: cookie=0x5422") && default.contains("parts of groups"), "two ways: {default}");
    b.put("ls/LS-A/lsp/bad", r#"{"port_id": 77, "mac": "nonsense", "ips": ["10.20.1.77"]}"#);
    assert!(
        b.ok("explain object bad")
            .contains("set aside, so that no flow exists because of it: mac: \"nonsense\" is not a MAC address")
    );

    b.ok("ls add LS-far");
    assert!(b.ok("explain object LS-far").contains("no host has a port that can reach it"));
    b.put("binding/LS-A/ghost", r#"{"chassis": "hv1", "generation": 1}"#);
    assert!(b.ok("explain object binding LS-A ghost").contains("port ghost of switch LS-A does not exist"));
    b.put("ls/LS-C/lsp/LS-C_to_LR-edge", r#"{"port_id": 1, "mac": "nonsense", "ips": []}"#);
    let said = b.ok("explain object lr/LR-edge/lrp/LR-edge_to_LS-C");
    assert!(said.contains("set aside, so that no flow exists because of it: peer: "), "{said}");

    b.refused_with("explain object vm9", &["there is no vm9"]);
    b.refused_with("explain object ls/LS-A/lsp/vm9", &["port vm9 of switch LS-A does not exist"]);
    b.refused_with("explain object ls/LS-A/x/y/z", &["is not the key of any object"]);
    b.refused_with("explain object claim/id/1", &["the path of no object"]);
    b.refused_with("explain object route LR-central", &["write: route LR ROUTE"]);
    b.refused_with("explain object frob a b", &["\"frob\" is no kind of object"]);
    b.refused_with("explain object vm1 --chassis hv9", &["chassis hv9 is unknown"]);
    b.ok("lsp add LS-C vm1 10.30.1.7");
    b.refused_with("explain object vm1", &["may be one of ls/LS-A/lsp/vm1, ls/LS-C/lsp/vm1"]);
}
