//! What goes wrong under the agent: flows lost, vswitchd and ovsdb-server restarted, other software's flows.

use super::{host::Host, network::Store};
use tuplenet_fixture::{wait_for, wait_some};

#[test]
fn drift_is_repaired_and_counted_and_foreign_flows_stay_in_their_table() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    store.switch_with_ports(2);
    let agent = host.agent(&store.url, &["--audit-interval", "1"]);
    host_ready(&host, &store, &agent);
    let foreign = "table=201,priority=7,ip,actions=resubmit(,11)";
    host.ofctl(&["add-flow", foreign]);
    let flows = host.flows();
    let groups = host.ofctl(&["dump-groups"]);
    assert!(flows.iter().any(|f| f.contains("table=201") && f.contains("priority=7")), "{flows:?}");

    host.ofctl(&["del-flows", "table=0"]);
    wait_for("lost flows to come back", || host.flows() == flows);
    agent.wait_metric("tuplenet_drift_repaired_total{kind=\"flow-missing\"}", |v| v > 0);
    host.ofctl(&["add-flow", "table=10,priority=9,ip,actions=drop"]);
    wait_for("an extra flow to go", || host.flows() == flows);
    agent.wait_metric("tuplenet_drift_repaired_total{kind=\"flow-extra\"}", |v| v == 1);
    host.ofctl(&["mod-flows", "table=0,actions=drop"]);
    wait_for("changed flows to be put right", || host.flows() == flows);
    agent.wait_metric("tuplenet_drift_repaired_total{kind=\"flow-different\"}", |v| v > 0);
    host.ofctl(&["del-groups"]);
    wait_for("groups to come back", || host.ofctl(&["dump-groups"]) == groups && host.flows() == flows);
    agent.wait_metric("tuplenet_drift_repaired_total{kind=\"group\"}", |v| v > 0);

    // What is right is left alone: audits go on and send nothing.
    agent.settle();
    let sent = agent.metric("tuplenet_flow_mods_total");
    let audits = agent.metric("tuplenet_audits_total").unwrap();
    agent.wait_metric("tuplenet_audits_total", |v| v > audits + 1);
    assert_eq!(agent.metric("tuplenet_flow_mods_total"), sent, "{}", agent.process.log());
}

fn host_ready(host: &Host, store: &Store, agent: &super::host::Agent) {
    agent.settle();
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_some("the mark", || host.claim_mark("eth1"));
    wait_for("the port's flows", || host.flows().iter().any(|f| f.contains("10.1.0.1")));
    agent.settle();
}

#[test]
fn after_a_restart_of_vswitchd_everything_is_back() {
    let store = Store::start();
    let mut host = Host::start("hv1", 1);
    store.switch_with_ports(2);
    let agent = host.agent(&store.url, &[]);
    host_ready(&host, &store, &agent);
    let flows = host.flows().len();
    let groups = host.ofctl(&["dump-groups"]).lines().count();
    host.restart_vswitchd();
    agent.wait_metric("tuplenet_syncs_total", |v| v >= 2);
    agent.settle();
    wait_for("all flows", || host.flows().len() == flows);
    assert_eq!(host.ofctl(&["dump-groups"]).lines().count(), groups);
    assert!(host.ofctl(&["dump-tlv-map"]).contains("0xffee"));
    assert_eq!(agent.metric("tuplenet_flows_set_aside"), Some(0), "{}", agent.process.log());
    store.wait_binding("LS-A/vm1", "hv1", 1);
}

#[test]
fn after_a_restart_of_ovsdb_server_changes_arrive_again() {
    let store = Store::start();
    let mut host = Host::start("hv1", 1);
    store.switch_with_ports(3);
    let agent = host.agent(&store.url, &[]);
    host_ready(&host, &store, &agent);
    let sent = agent.metric("tuplenet_flow_mods_total");
    host.restart_ovsdb();
    agent.wait_metric("tuplenet_connects_total{kind=\"ovsdb\"}", |v| v >= 2);
    wait_for("vswitchd to come back", || !host.get("Interface", "eth1", "ofport").is_empty());
    assert_eq!(agent.metric("tuplenet_flow_mods_total"), sent);
    host.plug("eth2", "vm2");
    store.wait_binding("LS-A/vm2", "hv1", 1);
    store.wait_binding("LS-A/vm1", "hv1", 1);
}
