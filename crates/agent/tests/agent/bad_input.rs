//! Malformed objects harm only themselves, and come to life when mended.

use super::{host::Host, network::Store};
use serde_json::json;
use tuplenet_fixture::wait_for;

#[test]
fn malformed_objects_harm_only_themselves() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    store.switch_with_ports(1);
    store.put_text("ls/LS-A/lsp/bad1", "{not json");
    store.put("ls/LS-A/lsp/bad2", json!({"port_id": "three", "mac": "f2:01:00:00:00:01", "ips": ["10.1.0.77"]}));
    store.put("ls/LS-A/lsp/bad3", json!({"port_id": 9, "mac": "no mac", "ips": ["10.1.0.78"]}));
    store.put("lr/LR/lsr/r", json!({"prefix": "0.0.0.0/0", "next_hop": "10.0.0.1", "outport": "none"}));
    store.put_text("binding/LS-A/vm1", "[]");
    let agent = host.agent(&store.url, &[]);
    agent.settle();
    agent.says("set aside ls/LS-A/lsp/bad1");
    assert!(agent.metric("tuplenet_objects_rejected").unwrap() >= 3);
    host.plug("eth1", "vm1");
    wait_for("flows of the good port", || host.flows().iter().any(|f| f.contains("10.1.0.1")));
    store.port("LS-A", "bad1", 5);
    host.plug("eth2", "bad1");
    store.wait_binding("LS-A/bad1", "hv1", 1);
    wait_for("the mended port's flows", || host.flows().iter().any(|f| f.contains("10.1.0.5")));
    agent.says("no longer set aside: ls/LS-A/lsp/bad1");
}
