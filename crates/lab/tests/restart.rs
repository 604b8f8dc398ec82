//! Traffic outlives control: agents stopped, killed and started with 5,000 ports in the store, Open vSwitch restarted, the store away.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{fmt::Write, time::Duration};
use tuplenet_lab::{Agent, Host, Lab, Vm};
use tuplenet_store::{Client, Config, Op, Txn};

const SWITCHES: u32 = 50;
const PORTS: u32 = 100;
/// 100 packets a second.
const PACE: Duration = Duration::from_millis(10);

/// 5,000 ports on 50 switches that one router joins, all but the guests' bound to chassis that exist in the store only.
fn five_thousand_ports(lab: &Lab) -> Result<()> {
    let mut document = String::from("switches:\n");
    for s in 0..SWITCHES {
        let _ = writeln!(document, "  S{s}:\n    ports:");
        for p in 1..=PORTS {
            let _ = writeln!(document, "      s{s}p{p}: '10.{s}.0.{p}, fd00:{s:x}::{p:x}'");
        }
    }
    document.push_str("routers:\n  R:\n    links:\n");
    for s in 0..SWITCHES {
        let _ = writeln!(document, "      S{s}: '10.{s}.0.254/24, fd00:{s:x}::fe/64'");
    }
    apply(lab, &document)?;

    let mut ops = Vec::new();
    for c in 0..20 {
        let chassis = format!(r#"{{"encaps":[{{"type":"geneve","ip":"198.51.100.{}"}}],"roles":[]}}"#, 100 + c);
        ops.push(Op::put(&format!("/tuplenet/v1/chassis/far{c}"), chassis));
    }
    for (s, p) in (0..SWITCHES).flat_map(|s| (3..=PORTS).map(move |p| (s, p))) {
        let binding = format!(r#"{{"chassis":"far{}","generation":1}}"#, (s + p) % 20);
        ops.push(Op::put(&format!("/tuplenet/v1/binding/S{s}/s{s}p{p}"), binding));
    }
    write(lab, &ops)
}

/// Writes as a client of the store in the namespace where the hosts reach it.
fn write(lab: &Lab, ops: &[Op]) -> Result<()> {
    let endpoints = lab.endpoints()?;
    lab.management().inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Client::connect(Config::new(&endpoints)?).await?;
            for chunk in ops.chunks(100) {
                let txn = chunk.iter().fold(Txn::new(), |txn, op| txn.then(op.clone()));
                client.txn(txn).await?;
            }
            Ok(())
        })
    })
}

fn guests(hosts: &[Host]) -> Result<[Vm; 4]> {
    let guest = |host: usize, s: u8, p: u8| hosts[host].vm(&spec(&format!("s{s}p{p}"), s, p));
    Ok([guest(0, 0, 1)?, guest(1, 0, 2)?, guest(0, 1, 1)?, guest(1, 1, 2)?])
}

/// Packets that each flow of br-int has counted, by cookie, table and match.
fn packets(host: &Host) -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for line in host.ofctl(&["dump-flows", "br-int"])?.lines().filter(|line| line.contains("actions=")) {
        let (head, _) = line.split_once(" actions=").with_context(|| format!("no actions in `{line}`"))?;
        let count = head.split([' ', ',']).find_map(|part| part.strip_prefix("n_packets="));
        let count = count.context("no counter")?.parse()?;
        let key: Vec<&str> = head
            .split([' ', ','])
            .filter(|p| {
                !p.contains("n_packets=") && !p.contains("n_bytes=") && !p.contains("duration=") && !p.contains("_age=")
            })
            .collect();
        all.push((key.join(","), count));
    }
    all.sort();
    Ok(all)
}

fn nothing_was_sent(agent: &Agent) -> Result<()> {
    let sent = agent.metric("flow_mods_total")? + agent.metric("group_mods_total")?;
    ensure!(sent == 0.0, "{} sent {sent} changes to a switch that had all it wants", agent.host().name());
    Ok(())
}

#[test]
fn an_agent_that_restarts_loses_no_packet_and_no_counter() -> Result<()> {
    let lab = Lab::new("restart")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    five_thousand_ports(&lab)?;
    let [a, b, c, d] = guests(&hosts)?;
    reaches(&a, &b, 64)?;
    reaches(&a, &d, 63)?;
    reaches(&c, &b, 63)?;
    for agent in &agents {
        agent.wait_settled(PATIENCE)?;
    }
    let flows = hosts[0].flows()?.len();
    ensure!(flows > 20_000, "only {flows} flows for 5,000 ports");

    let probes = [
        a.probe(&b.ipv4()?, PACE)?,
        a.probe(&b.ipv6()?, PACE)?,
        a.probe(&d.ipv4()?, PACE)?,
        d.probe(&c.ipv6()?, PACE)?,
        b.probe_udp(&a, &a.ipv4()?, PACE)?,
    ];
    let before = packets(&hosts[0])?;
    for agent in &agents {
        ensure!(agent.term()?.success(), "{}", agent.log_text());
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
        nothing_was_sent(agent)?;
        agent.kill9()?;
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
        nothing_was_sent(agent)?;
    }
    let after = packets(&hosts[0])?;
    ensure!(before.len() == after.len(), "{} flows became {}", before.len(), after.len());
    for ((key, count), (same, later)) in before.iter().zip(&after) {
        ensure!(key == same && later >= count, "{key} had counted {count} packets, now {same} {later}");
    }
    // A change made while an agent is down is there after its start; nothing else is touched.
    agents[0].kill9()?;
    lab.tpctl(&["lsp", "set", "S7", "s7p9", "--ip", "10.7.0.199,fd00:7::c7"])?;
    agents[0].start()?;
    agents[0].wait_settled(PATIENCE)?;
    let sent = agents[0].metric("flow_mods_total")?;
    ensure!((1.0..=14.0).contains(&sent), "{sent} flow changes for one port's new addresses");
    for probe in probes {
        let report = probe.stop()?;
        println!("{report}");
        ensure!(report.lost.is_empty() && report.sent > 100, "{report}");
    }
    Ok(())
}

#[test]
fn a_store_away_for_half_a_minute_costs_no_packet_and_no_change() -> Result<()> {
    let lab = Lab::new("away")?;
    let etcd = lab.etcd(1)?;
    let (hosts, agents) = hosts(&lab, 2)?;
    let network = "switches: {S0: {ports: {s0p1: '10.0.0.1, fd00:0::1', s0p2: '10.0.0.2, fd00:0::2', s0p3: '10.0.0.3, fd00:0::3'}}, S1: {ports: {s1p1: '10.1.0.1, fd00:1::1', s1p2: '10.1.0.2, fd00:1::2'}}}
routers: {R: {links: {S0: '10.0.0.254/24, fd00:0::fe/64', S1: '10.1.0.254/24, fd00:1::fe/64'}}}";
    apply(&lab, network)?;
    let [a, b, _c, d] = guests(&hosts)?;
    reaches(&a, &b, 64)?;
    reaches(&a, &d, 63)?;
    let probes = [a.probe(&b.ipv4()?, PACE)?, a.probe(&d.ipv6()?, PACE)?];

    // Cut off from both agents, but not from people: what they change meanwhile is what must arrive later.
    let cut = |verb: &str| -> Result<()> {
        for host in &hosts {
            lab.management().ip(&format!("rule {verb} to {} priority 1 blackhole\n", host.management_ip()))?;
        }
        Ok(())
    };
    cut("add")?;
    let since = std::time::Instant::now();
    lab.tpctl(&["lsp", "add", "S0", "late", "10.0.0.9,fd00:0::9"])?;
    lab.tpctl(&["-y", "lr", "unlink", "R", "S1"])?;
    lab.tpctl(&["ls", "add", "S2"])?;
    // A guest that comes up meanwhile works on its host: its port was known.
    let local = hosts[0].vm(&spec("s0p3", 0, 3))?;
    local.wait_ping(&a.ipv4()?, PATIENCE)?;
    std::thread::sleep(Duration::from_secs(30).saturating_sub(since.elapsed())); // the time itself is the test
    for probe in probes {
        let report = probe.stop()?;
        println!("away: {report}");
        ensure!(report.lost.is_empty() && report.sent > 2_000, "{report}");
    }
    cut("del")?;
    let late = hosts[1].vm(&spec("late", 0, 9))?;
    a.wait_ping(&late.ipv4()?, PATIENCE)?;
    b.wait_ping(&local.ipv4()?, PATIENCE)?;
    a.wait_no_ping(&d.ipv4()?, PATIENCE)?;
    ensure!(agents.iter().all(|agent| agent.process().ended().is_none()));
    ensure!(etcd.etcdctl(&["get", "/tuplenet/v1/binding/S0/s0p3"])?.contains("hv1"));
    Ok(())
}

#[test]
fn a_leader_killed_during_changes_loses_none() -> Result<()> {
    let lab = Lab::new("leader")?;
    let etcd = lab.etcd(3)?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, "switches: {S0: {ports: {s0p1: '10.0.0.1, fd00:0::1', s0p2: '10.0.0.2, fd00:0::2'}}}")?;
    let (a, b) = (hosts[0].vm(&spec("s0p1", 0, 1))?, hosts[1].vm(&spec("s0p2", 0, 2))?);
    reaches(&a, &b, 64)?;
    let probe = a.probe(&b.ipv4()?, PACE)?;
    // Ports bound to a chassis that exists in the store only: the agents must learn of them, nobody has to answer for them.
    etcd.etcdctl(&["put", "/tuplenet/v1/chassis/far", r#"{"encaps":[{"type":"geneve","ip":"198.51.100.99"}]}"#])?;
    let mut acknowledged = Vec::new();
    for round in 0..3_u8 {
        for n in 0..12_u8 {
            let number = 10 + round * 12 + n;
            let name = format!("p{number}");
            if n == 4 {
                let leader = etcd.leader()?;
                etcd.member(leader)?.kill9()?;
            }
            let (v4, v6) = ips(0, number);
            // A change that is refused is no change; one that is acknowledged must be there for good.
            if lab.tpctl(&["lsp", "add", "S0", &name, &format!("{v4},{v6}")]).is_ok() {
                lab.wait_until("a write to be taken", PATIENCE, || {
                    etcd.etcdctl(&[
                        "put",
                        &format!("/tuplenet/v1/binding/S0/{name}"),
                        r#"{"chassis":"far","generation":1}"#,
                    ])
                })?;
                acknowledged.push(v4);
            }
        }
        for (n, _) in etcd.data_directories().iter().enumerate() {
            if etcd.member(n)?.ended().is_some() {
                etcd.start(n)?;
            }
        }
        etcd.wait_healthy()?;
    }
    ensure!(acknowledged.len() >= 30, "only {} of 36 changes were taken", acknowledged.len());
    lab.wait_until("every acknowledged change to be in the switch", PATIENCE, || {
        let flows = hosts[0].flows()?;
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|ip| {
                !flows.iter().any(|f| f.contains(&format!("arp_tpa={ip},")) || f.contains(&format!("arp_tpa={ip} ")))
            })
            .collect();
        ensure!(missing.is_empty(), "missing: {missing:?}");
        Ok(())
    })?;
    let report = probe.stop()?;
    ensure!(report.lost.is_empty(), "{report}");
    ensure!(agents.iter().all(|agent| agent.process().ended().is_none()), "an agent ended");
    println!("{} changes acknowledged with three leaders killed; {report}", acknowledged.len());
    Ok(())
}
