//! Who hosts a port: iface-ids that change, and two hosts that name one port.

use super::{
    host::{Host, running},
    network::Store,
};
use tuplenet_fixture::{wait_for, wait_some};

#[test]
fn an_iface_id_changes_and_changes_back() {
    let (store, host, agent) = running(2);
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_for("the mark", || host.claim_mark("eth1").as_deref() == Some("LS-A/vm1:1"));
    host.set_iface_id("eth1", "vm2");
    store.wait_binding("LS-A/vm2", "hv1", 1);
    wait_for("vm1 to be released", || store.get("binding/LS-A/vm1").is_none());
    wait_for("the new mark", || host.claim_mark("eth1").as_deref() == Some("LS-A/vm2:1"));
    host.set_iface_id("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_for("vm2 to be released", || store.get("binding/LS-A/vm2").is_none());
    // An iface-id that names nothing erases the mark.
    host.set_iface_id("eth1", "nobody");
    wait_for("the mark to go", || host.claim_mark("eth1").is_none());
    host.vsctl(&["del-port", "br-int", "eth1"]);
    wait_for("all released", || store.get("binding/LS-A/vm1").is_none());
    agent.settle();
}

#[test]
fn two_hosts_with_one_iface_id_settle_on_the_newer() {
    let store = Store::start();
    let (one, two) = (Host::start("hv1", 1), Host::start("hv2", 2));
    store.switch_with_ports(1);
    let (first, second) = (one.agent(&store.url, &[]), two.agent(&store.url, &[]));
    first.settle();
    second.settle();
    one.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_some("the mark", || one.claim_mark("eth1"));
    two.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv2", 2);
    first.says("claimed later by chassis hv2");
    first.settle();
    second.settle();
    let writes = (first.metric("tuplenet_store_writes_total"), second.metric("tuplenet_store_writes_total"));
    // Restarted, the loser knows that it lost.
    drop(first);
    let first = one.agent(&store.url, &[]);
    first.says("claimed later by chassis hv2");
    first.settle();
    assert_eq!(first.metric("tuplenet_store_writes_total"), Some(0));
    assert_eq!(second.metric("tuplenet_store_writes_total"), writes.1, "nobody fights");
    store.wait_binding("LS-A/vm1", "hv2", 2);
    // Named again, it is the newer.
    one.set_iface_id("eth1", "nobody");
    wait_for("the mark to go", || one.claim_mark("eth1").is_none());
    one.set_iface_id("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 3);
    second.says("claimed later by chassis hv1");
}

#[test]
fn a_binding_deleted_by_hand_comes_back() {
    let (store, host, _agent) = running(1);
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_some("the mark", || host.claim_mark("eth1"));
    store.delete("binding/LS-A/vm1");
    store.wait_binding("LS-A/vm1", "hv1", 2);
    store.delete("chassis/hv1");
    wait_some("the chassis to be registered again", || store.get("chassis/hv1"));
}
