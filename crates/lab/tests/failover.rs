//! One of three edges is lost, in four ways, and comes back, under a hundred packets a second in each family and fifty TCP transfers. The figures are printed:
//! `cargo test -p tuplenet-lab --test failover -- --nocapture`.

mod edge_bed;
mod network;

use anyhow::{Context, Result, ensure};
use edge_bed::*;
use network::*;
use std::time::Duration;
use tuplenet_lab::{Agent, BUSY, Host, Lost, Probe, ProbeReport, Vm, trials};

/// Flows of each probe, so that every edge has some.
const FLOWS: usize = 16;
/// A hundred a second.
const INTERVAL: Duration = Duration::from_millis(10);
const TRANSFERS: usize = 50;
/// Of a guest whose address the edges translate, so that those of the lost edge end: only counted.
const MASKED: usize = 20;
/// What is promised: the last lost packet is less than this after the failure, at 3 x 100 ms BFD.
const PROMISED: Duration = Duration::from_millis(500);
/// What is asserted beyond it where the machine was late ([`BUSY`]): it runs seven virtual switches and other tests on few cores.
const SLACK: Duration = Duration::from_millis(500);

/// The edge that is lost; the outside answers by another one.
const LOST: usize = 1;
const BACK: usize = 2;

struct Fault {
    name: &'static str,
    fail: fn(&Bed, &Host, &Agent) -> Result<()>,
    mend: fn(&Bed, &Host, &Agent) -> Result<()>,
    /// Nothing may be lost.
    harmless: bool,
    /// Guests on the edge's own host go on.
    beside: bool,
}

const FAULTS: [Fault; 4] = [
    Fault {
        name: "agent alone",
        fail: |_, _, agent| agent.kill9().map(drop),
        mend: |_, _, agent| agent.start(),
        harmless: true,
        beside: true,
    },
    Fault {
        name: "OVS alone",
        fail: |_, host, _| host.vswitchd()?.kill9().map(drop),
        mend: |_, host, _| host.start_vswitchd(),
        harmless: false,
        beside: false,
    },
    Fault {
        name: "uplink alone",
        fail: |bed, host, _| bed.physical.carrier(host, false),
        mend: |bed, host, _| bed.physical.carrier(host, true),
        harmless: false,
        beside: true,
    },
    Fault {
        name: "power",
        fail: |bed, host, agent| {
            host.underlay_carrier(false)?;
            bed.physical.carrier(host, false)?;
            host.vswitchd()?.kill9()?;
            host.ovsdb()?.kill9()?;
            agent.kill9().map(drop)
        },
        mend: |bed, host, agent| {
            host.start_ovsdb()?;
            // As ovs-ctl(8) does at boot, between the two daemons.
            let transient =
                ["--bare", "--no-headings", "--columns=name", "find", "Port", "other_config:transient=true"];
            for port in host.vsctl(&transient)?.split_whitespace() {
                host.vsctl(&["--no-wait", "del-port", port])?;
            }
            host.start_vswitchd()?;
            host.underlay_carrier(true)?;
            bed.physical.carrier(host, true)?;
            agent.start()
        },
        harmless: false,
        beside: false,
    },
];

/// Frames that an edge has sent to the physical network.
fn sent_outside(host: &Host) -> Result<u64> {
    let text = host.ofctl(&["dump-ports", "br-ex", "eth-ext"])?;
    let sent = text.lines().find_map(|line| line.trim().strip_prefix("tx pkts="));
    let sent = sent.and_then(|rest| rest.split(',').next()?.parse().ok());
    sent.with_context(|| format!("no counter in {text}"))
}

/// Probes in both families from hv1, and from a guest on the host of the edge that is lost, if that host goes on.
fn probes(bed: &Bed, beside: bool) -> Result<Vec<Probe>> {
    let guests = [&bed.web[0], &bed.beside];
    let from = |guest: &Vm| SERVER.map(|server| guest.probe_flows(&bed.server, server, INTERVAL, FLOWS));
    guests.into_iter().take(1 + usize::from(beside)).flat_map(from).collect()
}

fn stop(probes: Vec<Probe>) -> Result<Vec<ProbeReport>> {
    probes.into_iter().map(Probe::stop).collect()
}

/// Waits until the edge that was lost carries what leaves, while that is under way.
fn wait_drawn(bed: &Bed, name: &str) -> Result<()> {
    let (host, _) = bed.edge(LOST)?;
    bed.lab.wait_until(&format!("{name}: the edge to be used again"), PATIENCE, || {
        let before = sent_outside(host)?;
        std::thread::sleep(Duration::from_millis(300));
        let through = sent_outside(host)? - before;
        ensure!(through >= 10, "it sent {through} frames");
        Ok(())
    })
}

/// Waits until the edge that was lost carries a share of what leaves, as it did before.
fn wait_share(bed: &Bed, what: &str) -> Result<()> {
    let (host, _) = bed.edge(LOST)?;
    bed.lab.wait_until(what, PATIENCE, || {
        let before = sent_outside(host)?;
        let probes = probes(bed, true)?;
        std::thread::sleep(Duration::from_millis(300));
        let reports = stop(probes)?;
        let through = sent_outside(host)? - before;
        ensure!(reports.iter().all(|report| report.lost.is_empty()), "{reports:?}");
        ensure!(
            through >= 10,
            "{through} of {} packets left by edge{LOST}",
            reports.iter().map(|r| r.sent).sum::<u64>()
        );
        Ok(())
    })
}

/// What went wrong, if anything, when the edge was lost in this way and came back; and by how much the machine was late meanwhile.
fn trial(bed: &Bed, fault: &Fault) -> Result<(Vec<String>, Duration)> {
    let (host, agent) = bed.edge(LOST)?;
    wait_share(bed, "all edges to be in use")?;
    let transfers = bed.web[1].streams(&bed.server, SERVER[0], TRANSFERS)?;
    let masked = bed.web[2].streams(&bed.server, SERVER[0], MASKED)?;
    let running = probes(bed, fault.beside)?;
    std::thread::sleep(Duration::from_secs(1));
    let at = running.first().context("no probes")?.elapsed();
    (fault.fail)(bed, host, agent).with_context(|| format!("{}: cannot be made", fault.name))?;
    std::thread::sleep(Duration::from_secs(2));
    let reports = stop(running)?;
    let lost: Vec<Lost> = reports.iter().flat_map(|report| report.lost.clone()).collect();
    let last = lost.iter().map(|lost| lost.at).max();
    let window = last.map(|last| last.saturating_sub(at));
    let late = reports.iter().map(|report| report.late).max().unwrap_or_default();

    let running = probes(bed, fault.beside)?;
    std::thread::sleep(Duration::from_millis(300));
    (fault.mend)(bed, host, agent).with_context(|| format!("{}: cannot be mended", fault.name))?;
    agent.wait_settled(PATIENCE)?;
    wait_drawn(bed, fault.name)?;
    std::thread::sleep(Duration::from_secs(1));
    let returned = stop(running)?;
    let lost_at_return: usize = returned.iter().map(|report| report.lost.len()).sum();
    let (transfers, masked) = (transfers.finish(), masked.finish());

    let sent = |reports: &[ProbeReport]| reports.iter().map(|report| report.sent).sum::<u64>();
    println!(
        "{:<13} {:>11} {:>10} {:>10} {:>10} {:>10} {:>9}   {late:.0?}",
        fault.name,
        format!("{}/{}", lost.len(), sent(&reports)),
        window.map_or("-".to_owned(), |window| format!("{window:.0?}")),
        format!("{lost_at_return}/{}", sent(&returned)),
        format!("{}/{TRANSFERS}", transfers.whole),
        format!("{:.0?}", transfers.stalls.last().copied().unwrap_or_default()),
        format!("{}/{MASKED}", masked.whole),
    );
    let late = returned.iter().map(|report| report.late).fold(late, Duration::max);
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            wrong.push(format!("{}: {what}", fault.name));
        }
    };
    check(!fault.harmless || lost.is_empty(), format!("lost: {lost:?}"));
    let limit = if late < BUSY { PROMISED } else { PROMISED + SLACK };
    check(
        window.is_none_or(|window| window < limit),
        format!("it failed at {at:?}, and lost until {window:?} after it: {lost:?}"),
    );
    check(lost_at_return == 0, format!("lost at the return: {returned:?}"));
    check(transfers.whole == TRANSFERS, format!("transfers: {transfers:?}"));
    check(!fault.harmless || masked.whole == MASKED, format!("transfers by SNAT: {masked:?}"));
    Ok((wrong, late))
}

#[test]
fn an_edge_is_lost_and_comes_back() -> Result<()> {
    let bed = Bed::new("failover", false, "100")?;
    bed.way_back(BACK)?;
    for guest in bed.web.iter().chain([&bed.beside]) {
        for address in SERVER {
            guest.wait_ping(address, PATIENCE)?;
        }
    }
    for edge in 1..=3 {
        let [vip, _] = vips(edge);
        bed.lab.tpctl(&["lnat", "add", &format!("edge{edge}"), "masked", "10.1.0.3/32", "snat", &vip])?;
    }
    println!("what is lost        packets   the last  at return  TCP whole     stalls   by SNAT   the machine");
    println!("                       lost      after       lost              up to     whole   was late by");
    let mut failures = Vec::new();
    for fault in &FAULTS {
        failures.extend(trials(|| trial(&bed, fault))?);
    }
    wait_share(&bed, "all edges to be in use at the end")?;
    if !failures.is_empty() {
        bed.lab.fail();
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
