//! IPFIX and sFlow: in the database as the options say, mended, never over what others set up, and gone with the options.

use super::{
    host::{Host, tuplenet},
    network::Store,
};
use tuplenet_fixture::{wait_for, wait_some};

const IPFIX: &str =
    "198.51.100.1,198.51.100.2:2055,sampling=64,obs_domain_id=7,cache_active_timeout=60,enable-tunnel-sampling=false";

/// A column of the row that the bridge exports by.
fn column(host: &Host, protocol: &str, column: &str) -> Option<String> {
    let row = host.get("Bridge", "br-int", protocol);
    (row != "[]" && !row.is_empty()).then(|| host.get(protocol, &row, column))
}

#[test]
fn exports_are_as_the_options_say() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let mut agent = host.agent(&store.url, &["--ipfix", IPFIX, "--sflow", "[2001:db8::1]:6000,header=64"]);
    agent.settle();
    let whole = || {
        wait_some("both exports", || {
            let ipfix =
                ["targets", "sampling", "obs_domain_id", "cache_active_timeout", "cache_max_flows", "other_config"];
            let ipfix: Option<Vec<String>> = ipfix.iter().map(|name| column(&host, "ipfix", name)).collect();
            let sflow: Option<Vec<String>> =
                ["targets", "header", "polling", "agent"].iter().map(|name| column(&host, "sflow", name)).collect();
            let wanted = [
                "[\"198.51.100.1:4739\", \"198.51.100.2:2055\"]",
                "64",
                "7",
                "60",
                "[]",
                "{enable-tunnel-sampling=\"false\"}",
            ];
            (ipfix? == wanted && sflow? == ["[\"[2001:db8::1]:6000\"]", "64", "[]", "192.0.2.1"]).then_some(())
        });
    };
    whole();
    host.vsctl(&["--no-wait", "clear", "Bridge", "br-int", "ipfix", "--", "clear", "Bridge", "br-int", "sflow"]);
    whole();
    let row = host.get("Bridge", "br-int", "ipfix");
    host.vsctl(&["--no-wait", "set", "IPFIX", &row, "sampling=3", "other_config:enable-input-sampling=false"]);
    whole();
    host.vsctl(&["--no-wait", "del-br", "br-int"]);
    whole();

    // Somebody else's stays, and ours comes back when theirs is gone.
    host.vsctl(&[
        "--no-wait",
        "--id=@theirs",
        "create",
        "IPFIX",
        "targets=\"203.0.113.9:99\"",
        "--",
        "set",
        "Bridge",
        "br-int",
        "ipfix=@theirs",
    ]);
    agent.says("--ipfix waits: br-int exports by IPFIX to 203.0.113.9:99 as somebody else has set it up");
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait(), Some(0));
    // Without the options: theirs stays, ours goes.
    let mut agent = host.agent(&store.url, &[]);
    agent.settle();
    wait_for("our export to go", || column(&host, "sflow", "targets").is_none());
    assert_eq!(column(&host, "ipfix", "targets").as_deref(), Some("[\"203.0.113.9:99\"]"));
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait(), Some(0));
    host.vsctl(&["--no-wait", "clear", "Bridge", "br-int", "ipfix"]);

    // A bridge that cleaning up leaves exports nothing of ours any more.
    let mut agent = host.agent(&store.url, &["--ipfix", IPFIX]);
    agent.settle();
    wait_some("the export", || column(&host, "ipfix", "targets"));
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait(), Some(0));
    host.plug("eth1", "vm1");
    let (code, said) =
        tuplenet(&["agent", "--cleanup", "--store", &store.url, "--ovsdb", &host.target(), "--encap-ip", "192.0.2.1"]);
    assert!(code == Some(0) && said.contains("removed the export by IPFIX"), "{said}");
    assert_eq!(column(&host, "ipfix", "targets"), None);
}
