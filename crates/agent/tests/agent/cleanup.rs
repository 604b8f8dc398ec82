//! `--cleanup` takes back what the agent made, and nothing else.

use super::{
    host::{Host, running, tuplenet},
    network::Store,
};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use tuplenet_fixture::{Process, wait_some};

#[test]
fn cleanup_leaves_nothing_of_ours() {
    let (store, host, mut agent) = running(1);
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_some("the mark", || host.claim_mark("eth1"));
    wait_some("the chassis", || store.get("chassis/hv1"));
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

/// A store that takes connections and says nothing: whoever waits for it can end it.
#[test]
fn cleanup_ends_by_a_signal() {
    let host = Host::start("hv1", 1);
    let (tuplenet, target, log) = (env!("CARGO_BIN_EXE_tuplenet"), host.target(), host.dir().file("cleanup.log"));
    for signal in ["TERM", "INT"] {
        // One each, lest a second connection of the first be taken for one of the second.
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        let store = deaf.local_addr().unwrap().to_string();
        let argv = [tuplenet, "agent", "--cleanup", "--store", &store, "--ovsdb", &target, "--encap-ip", "192.0.2.1"];
        let mut cleanup = Process::start(&argv, &[], &log);
        let _asked = deaf.accept().unwrap();
        let begun = Instant::now();
        cleanup.signal(signal);
        assert_eq!(cleanup.wait(), Some(1));
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
        assert!(cleanup.log().contains(&format!("ended by SIG{signal} before all was removed")), "{}", cleanup.log());
    }
}

#[test]
fn cleanup_does_not_wait_for_a_switch_that_is_not_there() {
    let store = Store::start();
    let mut host = Host::start("hv1", 1);
    host.agent(&store.url, &[]).settle();
    host.kill_vswitchd();
    let begun = Instant::now();
    let (code, said) =
        tuplenet(&["agent", "--cleanup", "--store", &store.url, "--ovsdb", &host.target(), "--encap-ip", "192.0.2.1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}: {said}", begun.elapsed());
    assert!(
        said.contains("without ovs-vswitchd there are none") && said.contains("removed the bridge br-int"),
        "{said}"
    );
    assert!(store.get("chassis/hv1").is_none());
}
