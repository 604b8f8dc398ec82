//! `--cleanup` takes back what the agent made, and nothing else.

use super::{
    host::{Host, tuplenet},
    network::Store,
    process::wait_for,
};

#[test]
fn cleanup_leaves_nothing_of_ours() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    store.switch_with_ports(1);
    let mut agent = host.agent(&store.url, &[]);
    agent.settle();
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_for("the mark", || host.claim_mark("eth1"));
    wait_for("the chassis", || store.get("chassis/hv1"));
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait(), Some(0));
    assert!(store.get("status/hv1/alive").is_none(), "the sign of life goes with the agent");
    let clean = || {
        tuplenet(&["agent", "--cleanup", "--store", &store.url, "--ovsdb", &host.target(), "--encap-ip", "192.0.2.1"])
    };
    let (code, said) = clean();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("left the bridge br-int: it still has the ports eth1"), "{said}");
    assert!(host.flows().is_empty());
    assert!(host.claim_mark("eth1").is_none());
    assert_eq!(host.get("Interface", "tn-geneve", "type"), "");
    assert!(store.get("binding/LS-A/vm1").is_none() && store.get("chassis/hv1").is_none());
    assert!(store.get("ls/LS-A").is_some());
    host.vsctl(&["del-port", "br-int", "eth1"]);
    let (code, said) = clean();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(host.vsctl(&["list-br"]).trim(), "");
    assert_eq!(clean().0, Some(0), "once more does no harm");
}
