//! Restarting changes nothing: not one flow mod.

use super::{
    host::Host,
    network::{Store, port},
};
use serde_json::json;
use tuplenet_fixture::{free_address, wait_for, wait_some};

fn with_three_ports(store: &Store, host: &Host) -> super::host::Agent {
    store.switch_with_ports(4);
    let agent = host.agent(&store.url, &[]);
    agent.settle();
    for n in 1..=3 {
        host.plug(&format!("eth{n}"), &format!("vm{n}"));
        store.wait_binding(&format!("LS-A/vm{n}"), "hv1", 1);
    }
    wait_for("the marks", || (1..=3).all(|n| host.claim_mark(&format!("eth{n}")).is_some()));
    agent.settle();
    agent
}

/// Seconds that the oldest flow has lived.
fn age(host: &Host) -> f64 {
    let dump = host.ofctl(&["dump-flows"]);
    let ages = dump.lines().filter_map(|l| l.split("duration=").nth(1)?.split('s').next()?.parse::<f64>().ok());
    ages.fold(0.0, f64::max)
}

#[test]
fn an_agent_killed_and_started_again_sends_no_flow_mod() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let mut agent = with_three_ports(&store, &host);
    let (flows, groups) = (host.flows(), host.ofctl(&["dump-groups"]));
    assert!(flows.len() > 10, "{flows:?}");
    for signal in ["TERM", "KILL"] {
        agent.process.signal(signal);
        agent.process.wait();
        assert_eq!(host.flows(), flows, "SIG{signal} must leave the switch as it is");
        let before = age(&host);
        agent = host.agent(&store.url, &[]);
        agent.settle();
        assert_eq!(agent.metric("tuplenet_flow_mods_total"), Some(0), "{}", agent.process.log());
        assert_eq!(agent.metric("tuplenet_group_mods_total"), Some(0), "{}", agent.process.log());
        assert_eq!(agent.metric("tuplenet_store_writes_total"), Some(0));
        assert_eq!(host.flows(), flows);
        assert_eq!(host.ofctl(&["dump-groups"]), groups);
        assert!(age(&host) > before, "flows are the same ones");
    }
}

#[test]
fn while_the_store_is_away_nothing_is_touched_and_then_all_arrives() {
    let mut store = Store::start();
    let host = Host::start("hv1", 1);
    let mut agent = with_three_ports(&store, &host);
    let flows = host.flows();
    store.stop();
    agent.process.signal("TERM");
    agent.process.wait();
    let agent = host.agent(&store.url, &[]);
    agent.says("the store is away");
    agent.wait_metric("tuplenet_switch_connected", |v| v == 1);
    assert_eq!(agent.metric("tuplenet_synced"), Some(0));
    assert_eq!(host.flows(), flows);
    store.restart();
    agent.settle();
    assert_eq!(agent.metric("tuplenet_flow_mods_total"), Some(0));
    store.stop();
    store.restart();
    store.delete("ls/LS-A/lsp/vm3");
    wait_for("the deletion to reach the switch", || !host.flows().iter().any(|f| f.contains("10.1.0.3")));
    let away = agent.process.log().matches("the store is away").count();
    assert!((1..=2).contains(&away), "said once an outage, not {away} times");
}

/// The store is restored from a backup, and others have written more to it than was lost before the agent is back.
#[test]
fn a_restored_store_is_followed() {
    let mut store = Store::start();
    let host = Host::start("hv1", 1);
    let agent = with_three_ports(&store, &host);
    store.delete("ls/LS-A/lsp/vm4");
    store.backup();
    assert!(store.get("ls/LS-A").is_some(), "the store is back");
    for n in 5..=6 {
        host.plug(&format!("eth{n}"), &format!("vm{n}"));
    }
    store.port("LS-A", "vm5", 5);
    store.wait_binding("LS-A/vm5", "hv1", 1);
    let mut others = vec![("ls/LS-A/lsp/vm6".to_owned(), port(6))];
    others.extend((0..30).map(|n| (format!("status/other{n}/alive"), json!({}))));
    store.restore(&others);
    store.wait_binding("LS-A/vm6", "hv1", 1);
    wait_for("vm5 to go", || {
        let flows = host.flows();
        let has = |ip: &str| flows.iter().any(|f| f.contains(ip));
        has("10.1.0.6") && !has("10.1.0.5")
    });
    agent.says("the store may have been restored or replaced");
    store.port("LS-A", "vm5", 5);
    wait_some("vm5 to come back", || store.get("binding/LS-A/vm5"));
    agent.settle();
}

#[test]
fn store_and_agent_in_one_process_end_together() {
    let host = Host::start("hv1", 1);
    let file = host.dir().file("store.db").display().to_string();
    let listen = free_address().to_string();
    for _ in 0..2 {
        let mut agent = host.agent("", &["--with-store", &file, "--store-listen", &listen]);
        agent.settle();
        agent.process.signal("TERM");
        assert_eq!(agent.process.wait(), Some(0));
        agent.says("the embedded store is closed");
    }
}
