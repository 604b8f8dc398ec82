//! What people change while a network runs: followed by the data plane without a restart, each change touching only the flows that
//! mention what changed. Flows are counted on the real switches of both hosts.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::collections::BTreeMap;
use tuplenet_lab::{Agent, Host, Lab, wait_until};

const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', b2: '10.2.0.2, fd00:2::2'}}
routers:
  R: {links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64'}}
";

/// The flows of all hosts before a change, to be compared with those after.
struct Before<'a> {
    hosts: &'a [Host],
    agents: &'a [Agent],
    flows: Vec<BTreeMap<String, String>>,
    mods: Vec<f64>,
}

impl<'a> Before<'a> {
    fn look(hosts: &'a [Host], agents: &'a [Agent]) -> Result<Self> {
        let mut before = Self { hosts, agents, flows: Vec::new(), mods: Vec::new() };
        for (host, agent) in hosts.iter().zip(agents) {
            let (flows, mods) = at_rest(host, agent)?;
            before.flows.push(flows);
            before.mods.push(mods);
        }
        Ok(before)
    }

    /// Waits until every host has followed the change in some way: each change here is one for all of them, and they hear of it one after the other.
    fn heard(&self, lab: &Lab) -> Result<()> {
        lab.wait_until("all hosts to hear of the change", PATIENCE, || {
            for (before, host) in self.flows.iter().zip(self.hosts) {
                ensure!(!flow_changes(before, &flow_set(host)?).is_empty(), "{} has not heard of it", host.name());
            }
            Ok(())
        })
    }

    /// Each flow that the change touched, on any host, is about this object; and no flow was sent that did not change.
    fn only_touched(&self, lab: &Lab, what: &str, about: &str) -> Result<()> {
        self.heard(lab)?;
        for (i, (host, agent)) in self.hosts.iter().zip(self.agents).enumerate() {
            let (flows, mods) = at_rest(host, agent)?;
            let changes = flow_changes(&self.flows[i], &flows);
            for change in &changes {
                ensure!(
                    change
                        .split_once("cookie=")
                        .is_some_and(|(_, c)| c.split(' ').next().is_some_and(|c| c.ends_with(about))),
                    "{what}: {} changed a flow that is not about it: {change}",
                    host.name()
                );
            }
            let sent = mods - self.mods[i];
            ensure!(
                sent <= changes.len() as f64,
                "{what}: {} sent {sent} flow changes for {} that differ: {changes:#?}",
                host.name(),
                changes.len()
            );
            println!("{what}: {} flows on {}", changes.len(), host.name());
        }
        Ok(())
    }
}

/// The flows of a host, and how many changes its agent had sent when they were these.
fn at_rest(host: &Host, agent: &Agent) -> Result<(BTreeMap<String, String>, f64)> {
    wait_until("a switch to come to rest", PATIENCE, || {
        agent.wait_settled(PATIENCE)?;
        let mods = agent.metric("flow_mods_total")?;
        let flows = flow_set(host)?;
        ensure!(agent.metric("flow_mods_total")? == mods, "{} still changes", host.name());
        Ok((flows, mods))
    })
}

#[test]
fn the_data_plane_follows_each_change_and_touches_nothing_else() -> Result<()> {
    let lab = Lab::new("changes")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let (a1, b1) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[0].vm(&spec("b1", 2, 1))?);
    let (a2, b2) = (hosts[1].vm(&spec("a2", 1, 2))?, hosts[1].vm(&spec("b2", 2, 2))?);
    for to in [&a2, &b1, &b2] {
        reaches(&a1, to, if to.name() == "a2" { 64 } else { 63 })?;
    }
    // A port is added, and a guest for it.
    let before = Before::look(&hosts, &agents)?;
    lab.tpctl(&["lsp", "add", "A", "a9", "10.1.0.9,fd00:1::9"])?;
    let first = hosts[0].vm(&spec("a9", 1, 9))?;
    reaches(&a2, &first, 64)?;
    reaches(&b2, &first, 63)?;
    // A flow's cookie ends with the switch's id and the port's: what a flow is about.
    let about = format!(
        "{:06x}{:06x}",
        id_of(&lab, &["ls", "show", "A"], "id")?,
        id_of(&lab, &["lsp", "show", "A", "a9"], "port_id")?
    );
    before.only_touched(&lab, "a port added", &about)?;

    // It moves: the same port comes up on the other host while the old one is still there, then the old one goes.
    let before = Before::look(&hosts, &agents)?;
    let second = hosts[1].vm(&spec("a9-moved", 1, 9).iface_id("a9"))?;
    // The first one answers until then.
    before.heard(&lab)?;
    reaches(&a1, &second, 64)?;
    reaches(&b1, &second, 63)?;
    first.unplug()?;
    lab.wait_until("hv1 to miss the first one", PATIENCE, || {
        let left = agents[0].metric("interfaces")?;
        ensure!(left == 2.0, "{left} interfaces");
        Ok(())
    })?;
    before.only_touched(&lab, "a port moved", &about)?;
    reaches(&a1, &second, 64)?;

    // It gets other addresses.
    let before = Before::look(&hosts, &agents)?;
    lab.tpctl(&["lsp", "set", "A", "a9", "--ip", "10.1.0.19,fd00:1::19"])?;
    second.readdress("10.1.0.9/24", "10.1.0.19/24")?;
    second.readdress("fd00:1::9/64", "fd00:1::19/64")?;
    second.run(&["ip", "link", "set", "eth0", "address", "f2:01:0a:01:00:13"])?;
    second.run(&["ip", "-6", "route", "replace", "default", "via", "fd00:1::fe"])?;
    second.run(&["ip", "route", "replace", "default", "via", "10.1.0.254"])?;
    for from in [&a1, &b1] {
        from.wait_ping("10.1.0.19", PATIENCE)?;
        from.wait_ping("fd00:1::19", PATIENCE)?;
    }
    before.only_touched(&lab, "a port re-addressed", &about)?;

    // Its iface-id changes, and changes back.
    let before = Before::look(&hosts, &agents)?;
    second.set_iface_id("nobody")?;
    a1.wait_no_ping("10.1.0.19", PATIENCE)?;
    before.only_touched(&lab, "an iface-id changed", &about)?;
    let before = Before::look(&hosts, &agents)?;
    second.set_iface_id("a9")?;
    a1.wait_ping("10.1.0.19", PATIENCE)?;
    before.only_touched(&lab, "an iface-id changed back", &about)?;

    // It is deleted.
    let before = Before::look(&hosts, &agents)?;
    second.unplug()?;
    lab.tpctl(&["-y", "lsp", "del", "A", "a9"])?;
    lab.wait_until("a9 to be gone", PATIENCE, || {
        let left = flow_set(&hosts[0])?
            .into_keys()
            .filter(|k| k.contains("10.1.0.19") || k.contains("f2:01:0a:01:00:13"))
            .count();
        ensure!(left == 0, "{left} flows left");
        Ok(())
    })?;
    before.only_touched(&lab, "a port deleted", &about)?;

    // The switch is taken off the router, and put back.
    let start = Before::look(&hosts, &agents)?;
    let probe = a1.probe(&a2.ipv4()?, std::time::Duration::from_millis(10))?;
    lab.tpctl(&["-y", "lr", "unlink", "R", "B"])?;
    a1.wait_no_ping(&b2.ipv4()?, PATIENCE)?;
    a1.wait_no_ping(&b2.ipv6()?, PATIENCE)?;
    b1.must_ping(&b2.ipv4()?)?;
    a1.must_not_ping("10.2.0.254")?;
    lab.tpctl(&["lr", "link", "R", "B", "10.2.0.254/24,fd00:2::fe/64"])?;
    reaches(&a1, &b2, 63)?;
    reaches(&b1, &a2, 63)?;
    let report = probe.stop()?;
    ensure!(report.lost.is_empty(), "traffic within A suffered from a change of B's link: {report}");
    // Port ids may differ after the link was made anew; all else is as it was.
    for (start, (host, agent)) in start.flows.iter().zip(hosts.iter().zip(&agents)) {
        let (now, _) = at_rest(host, agent)?;
        ensure!(start.len() == now.len(), "{} had {} flows, has {}", host.name(), start.len(), now.len());
    }
    ensure!(agents.iter().all(|agent| agent.process().ended().is_none()));
    Ok(())
}

#[test]
fn an_object_broken_by_hand_harms_only_itself() -> Result<()> {
    let lab = Lab::new("broken")?;
    let etcd = lab.etcd(1)?;
    let (hosts, _agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let (a1, a2, b2) =
        (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("a2", 1, 2))?, hosts[1].vm(&spec("b2", 2, 2))?);
    reaches(&a1, &a2, 64)?;
    reaches(&a1, &b2, 63)?;
    let probe = a1.probe(&a2.ipv4()?, std::time::Duration::from_millis(10))?;
    let good = etcd.etcdctl(&["get", "--print-value-only", "/tuplenet/v1/ls/B/lsp/b2"])?;
    for bad in [
        "no JSON",
        "[]",
        r#"{"port_id":"two","mac":"f2:01:0a:02:00:02","ips":["10.2.0.2"]}"#,
        r#"{"port_id":3,"mac":"f2:01:0a:02:00","ips":["10.2.0.2"]}"#,
        r#"{"port_id":3,"mac":"ff:ff:ff:ff:ff:ff","ips":["10.2.0.2"]}"#,
        r#"{"port_id":3,"mac":"f2:01:0a:02:00:02","ips":["10.2.0.254"]}"#, // the router's address
        r#"{"port_id":3,"mac":"f2:01:0a:02:00:02","ips":["10.2.0.2"],"peer":{"lr":"R","lrp":"none"}}"#,
    ] {
        etcd.etcdctl(&["put", "/tuplenet/v1/ls/B/lsp/b2", bad])?;
        a1.wait_no_ping(&b2.ipv4()?, PATIENCE).with_context(|| format!("b2 with {bad}"))?;
        let doctor = lab.tpctl_output(&["doctor"])?;
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        ensure!(said.contains("ls/B/lsp/b2"), "doctor said of {bad}: {said}");
        // Mended, it comes to life.
        etcd.etcdctl(&["put", "/tuplenet/v1/ls/B/lsp/b2", good.trim()])?;
        a1.wait_ping(&b2.ipv4()?, PATIENCE)?;
    }
    // Keys that are no objects, and objects without parents.
    for (key, value) in [
        ("/tuplenet/v1/ls/A/lsp/a1/extra", "{}"),
        ("/tuplenet/v1/ls/-bad-/lsp/x", "{}"),
        ("/tuplenet/v1/ls/nowhere/lsp/x", r#"{"port_id":1,"mac":"f2:01:00:00:00:01","ips":["10.0.0.1"]}"#),
        ("/tuplenet/v1/ls/twin", r#"{"id":1}"#),
        ("/tuplenet/v1/lr/R/lsr/x", r#"{"prefix":"10.77.0.0/16","next_hop":"10.99.0.1","outport":"R_to_A"}"#),
        ("/tuplenet/v1/chassis/hv9", r#"{"encaps":"none"}"#),
    ] {
        etcd.etcdctl(&["put", key, value])?;
        let doctor = lab.tpctl_output(&["doctor"])?;
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        ensure!(said.contains(key.trim_start_matches("/tuplenet/v1/")), "doctor does not list {key}: {said}");
    }
    reaches(&a1, &a2, 64)?;
    reaches(&a1, &b2, 63)?;
    let report = probe.stop()?;
    ensure!(report.lost.is_empty(), "others' traffic suffered: {report}");
    Ok(())
}

#[test]
fn two_hosts_with_one_iface_id_settle_and_do_not_fight() -> Result<()> {
    let lab = Lab::new("twins")?;
    let etcd = lab.etcd(1)?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let a2 = hosts[1].vm(&spec("a2", 1, 2))?;
    let old = hosts[0].vm(&spec("a1", 1, 1))?;
    reaches(&a2, &old, 64)?;
    let new = hosts[1].vm(&spec("a1-twin", 1, 1).iface_id("a1"))?;
    let binding = || etcd.etcdctl(&["get", "--print-value-only", "/tuplenet/v1/binding/A/a1"]);
    lab.wait_until("hv2 to have a1", PATIENCE, || {
        let binding = binding()?;
        ensure!(binding.contains("hv2"), "{binding}");
        Ok(())
    })?;
    lab.wait_until("hv1 to say so", PATIENCE, || {
        let log = agents[0].log_text();
        ensure!(log.contains("A/a1") && log.contains("hv2"), "hv1's log does not tell");
        Ok(())
    })?;
    reaches(&a2, &new, 64)?;
    let settled = binding()?;
    // A restart of the loser, with its interface still there, does not start a fight.
    agents[0].term()?;
    agents[0].start()?;
    agents[0].wait_settled(PATIENCE)?;
    reaches(&a2, &new, 64)?;
    ensure!(binding()? == settled, "the binding changed from {settled} to {}", binding()?);
    // Set again on hv1, the claim is newer there.
    old.unplug()?;
    old.plug("a1")?;
    lab.wait_until("hv1 to have a1 again", PATIENCE, || {
        let binding = binding()?;
        ensure!(binding.contains("hv1"), "{binding}");
        Ok(())
    })?;
    a2.wait_ping(&old.ipv4()?, PATIENCE)?;
    Ok(())
}

/// A number in what `tpctl` shows as JSON: an id that the store gave.
fn id_of(lab: &Lab, show: &[&str], field: &str) -> Result<u32> {
    let json = lab.tpctl(&[&["-o", "json"], show].concat())?;
    let digits = json.split(&format!("\"{field}\":")).nth(1).unwrap_or_default().trim_start();
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("no {field} in {json}"))
}
