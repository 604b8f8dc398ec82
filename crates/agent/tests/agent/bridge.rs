//! The bridge is made, kept as it should be, and ports are bound.

use super::{
    host::{Host, running},
    network::Store,
};
use serde_json::json;
use tuplenet_fixture::{wait_for, wait_some};

#[test]
fn a_bridge_is_made_and_a_port_is_bound() {
    let (store, host, agent) = running(2);
    assert_eq!(host.get("Bridge", "br-int", "fail_mode"), "secure");
    assert_eq!(host.get("Bridge", "br-int", "protocols"), "[OpenFlow10, OpenFlow13, OpenFlow15]");
    assert_eq!(host.get("Interface", "tn-geneve", "type"), "geneve");
    assert_eq!(host.get("Interface", "tn-geneve", "options"), "{key=flow, remote_ip=flow}");
    assert!(host.ofctl(&["dump-tlv-map"]).contains("0xffee"), "{}", host.ofctl(&["dump-tlv-map"]));
    wait_some("the chassis to be registered", || store.get("chassis/hv1"));
    assert_eq!(store.get("chassis/hv1"), Some(json!({"encaps": [{"type": "geneve", "ip": "192.0.2.1"}], "roles": []})));
    wait_some("the sign of life", || store.get("status/hv1/alive"));

    let before = host.flows().len();
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_for("the mark", || host.claim_mark("eth1").as_deref() == Some("LS-A/vm1:1"));
    let ofport = host.get("Interface", "eth1", "ofport");
    wait_for("flows of the port", || {
        host.flows().iter().any(|f| f.contains(&format!("in_port={ofport}")) || f.contains("in_port=eth1"))
    });
    wait_for("all flows", || {
        let counts = ["tuplenet_flows_desired", "tuplenet_flows_installed"].map(|name| agent.metric(name));
        let flows = host.flows().len();
        flows > before && counts == [Some(flows as u64); 2]
    });
    agent.settle();
    assert_eq!(agent.metric("tuplenet_flows_set_aside"), Some(0), "{}", agent.process.log());
}

#[test]
fn what_people_break_is_repaired() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let agent = host.agent(&store.url, &["--encap-type", "geneve,vxlan"]);
    agent.settle();
    host.vsctl(&[
        "--no-wait",
        "del-port",
        "br-int",
        "tn-geneve",
        "--",
        "set",
        "Interface",
        "tn-vxlan",
        "options:remote_ip=192.0.2.99",
    ]);
    host.vsctl(&[
        "--no-wait",
        "del-fail-mode",
        "br-int",
        "--",
        "remove",
        "Bridge",
        "br-int",
        "protocols",
        "OpenFlow15",
        "--",
        "remove",
        "Bridge",
        "br-int",
        "other_config",
        "controller-queue-size",
    ]);
    let queue = || host.get("Bridge", "br-int", "other_config:controller-queue-size");
    wait_for("the queue of reports", || queue() == "512");
    // What people want otherwise stays.
    host.vsctl(&["--no-wait", "set", "Bridge", "br-int", "other_config:controller-queue-size=300"]);
    wait_for("the tunnel port", || host.get("Interface", "tn-geneve", "options") == "{key=flow, remote_ip=flow}");
    wait_for("the other tunnel port", || host.get("Interface", "tn-vxlan", "options") == "{key=flow, remote_ip=flow}");
    wait_for("the fail mode", || host.get("Bridge", "br-int", "fail_mode") == "secure");
    wait_for("the protocols", || host.get("Bridge", "br-int", "protocols").contains("OpenFlow15"));
    wait_for("flows of the new tunnel port", || {
        let flows = host.flows();
        flows.iter().any(|f| f.contains("tn-geneve")) || tunnel_flow(&host, &flows)
    });
    assert_eq!(queue(), "300");
    host.vsctl(&["--no-wait", "del-br", "br-int"]);
    wait_for("the bridge", || host.vsctl(&["list-br"]).contains("br-int"));
    wait_some("its flows", || {
        let output = std::panic::catch_unwind(|| host.flows().len()).unwrap_or(0);
        (output as u64 == agent.metric("tuplenet_flows_desired")? && output > 0).then_some(())
    });
}

fn tunnel_flow(host: &Host, flows: &[String]) -> bool {
    let ofport = host.get("Interface", "tn-geneve", "ofport");
    flows.iter().any(|f| f.contains(&format!("in_port={ofport},")) || f.contains(&format!("in_port={ofport} ")))
}

#[test]
fn a_sign_of_life_that_somebody_deleted_comes_back() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let agent = host.agent(&store.url, &[]);
    agent.settle();
    wait_some("the sign of life", || store.get("status/hv1/alive"));
    store.delete("status/hv1/alive");
    let back = wait_some("it to come back", || store.get("status/hv1/alive"));
    // It says which bridges patch ports may lead to.
    assert_eq!(back["bridges"], json!([]));
    host.vsctl(&["add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=dummy"]);
    wait_some("the bridge to be told", || {
        store.get("status/hv1/alive").filter(|alive| alive["bridges"] == json!(["br-ex"]))
    });
}
