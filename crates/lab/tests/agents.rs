//! What the lab gives to tests with agents: stores, agents' lives, a data plane that is watched meanwhile.
//!
//! These need `tuplenet` and `tpctl` beside this test: `make test` builds them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use anyhow::Result;
use tuplenet_lab::{Agent, AgentSpec, Lab, Vm, VmSpec};

const PATIENCE: Duration = Duration::from_secs(20);

/// An agent on each of two hosts, and a switch with a guest on each, on the store that the lab has already.
fn network(lab: &Lab) -> Result<(Vec<Agent>, Vm, Vm)> {
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    let agents = hosts.iter().map(|host| host.agent(&AgentSpec::new())).collect::<Result<Vec<_>>>()?;
    lab.tpctl(&["ls", "add", "LS-A"])?;
    let mut vms = Vec::new();
    for (host, (name, number)) in hosts.iter().zip([("a", 1), ("b", 2)]) {
        let (v4, v6) = (format!("10.1.0.{number}"), format!("fd00:1::{number}"));
        lab.tpctl(&["lsp", "add", "LS-A", name, &format!("{v4},{v6}")])?;
        vms.push(host.vm(&VmSpec::new(name).address(&format!("{v4}/24")).address(&format!("{v6}/64")))?);
    }
    let [a, b] = &vms[..] else { anyhow::bail!("{} guests instead of two", vms.len()) };
    a.wait_ping(&b.ipv4()?, PATIENCE)?;
    a.wait_ping(&b.ipv6()?, PATIENCE)?;
    Ok((agents, a.clone(), b.clone()))
}

#[test]
fn agents_come_and_go_under_traffic() -> Result<()> {
    let lab = Lab::new("agents")?;
    let store = lab.store()?;
    let (agents, a, b) = network(&lab)?;
    let probe = a.probe(&b.ipv4()?, Duration::from_millis(10))?;
    for agent in &agents {
        agent.kill9()?;
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
        agent.pause()?;
        agent.resume()?;
        assert!(agent.term()?.success(), "{}", agent.log_text());
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
    }
    store.process().kill9()?;
    store.start()?;
    // All of them work again when a change arrives.
    lab.tpctl(&["lsp", "add", "LS-A", "c", "10.1.0.3,fd00:1::3"])?;
    let c = a.host().vm(&VmSpec::new("c").address("10.1.0.3/24").address("fd00:1::3/64"))?;
    b.wait_ping(&c.ipv4()?, PATIENCE)?;
    b.wait_ping(&c.ipv6()?, PATIENCE)?;
    let report = probe.stop()?;
    assert!(report.sent > 20 && report.lost.is_empty(), "{report}");
    assert!(agents[0].process().memory()? > 1_000_000);
    Ok(())
}

#[test]
fn etcd_is_a_store_as_well() -> Result<()> {
    let lab = Lab::new("agents")?;
    let etcd = lab.etcd(1)?;
    let (agents, a, b) = network(&lab)?;
    a.send_tcp(&b, &b.ipv6()?, 1_000_000)?;
    let keys = etcd.etcdctl(&["get", "--prefix", "--keys-only", "/tuplenet/v1/binding/"])?;
    assert!(keys.contains("/tuplenet/v1/binding/LS-A/a") && keys.contains("/tuplenet/v1/binding/LS-A/b"), "{keys}");
    lab.tpctl(&["-y", "lsp", "del", "LS-A", "b"])?;
    a.wait_no_ping(&b.ipv4()?, PATIENCE)?;
    assert!(agents.iter().all(|agent| agent.process().ended().is_none()));
    Ok(())
}
