//! Two hosts cannot reach each other, and both reach a third one, an edge: packets between them go by it, once, and nobody else notices.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::{Duration, Instant};
use tuplenet_lab::{Host, Lab, VmSpec};

const NETWORK: &str = "
switches:
  web: {flood: true, ports: {w1: '10.1.0.1, fd00:1::1', w2: '10.1.0.2, fd00:1::2', w3: '10.1.0.3, fd00:1::3'}}
  db: {ports: {d2: '10.2.0.2, fd00:2::2'}}
routers:
  LR-central:
    links: {web: '10.1.0.254/24, fd00:1::fe/64', db: '10.2.0.254/24, fd00:2::fe/64'}
";
/// Longest time from the cut to the last lost packet: 3 x 100 ms of BFD, and slack for a machine that runs three virtual switches and other tests.
const GRACE: Duration = Duration::from_millis(1_000);

/// After this a switch has told its counters: its revalidators run twice a second at least.
const COUNTED: Duration = Duration::from_millis(1_500);

/// Packets that this host sent on for others, once the switch has counted all: it counts what its cache did now and then.
fn relayed(host: &Host) -> Result<u64> {
    let mut seen = (count(host)?, Instant::now());
    while seen.1.elapsed() < COUNTED {
        std::thread::sleep(COUNTED / 10);
        let now = count(host)?;
        if now != seen.0 {
            seen = (now, Instant::now());
        }
    }
    Ok(seen.0)
}

fn count(host: &Host) -> Result<u64> {
    let text = host.ofctl(&["-O", "OpenFlow15", "dump-flows", "br-int", "table=34,cookie=0x5432000000000000/-1"])?;
    let count = text.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()).context("no such flow")?;
    Ok(count.parse()?)
}

/// Whether a host's BFD finds a chassis alive.
fn session(host: &Host, chassis: &str, alive: bool) -> Result<()> {
    let of = format!("external_ids:tuplenet-watch={chassis}");
    let status = host.vsctl(&["--bare", "--columns=bfd_status", "find", "Interface", &of])?;
    ensure!(status.contains(&format!("forwarding={alive}")), "{} of {chassis}: {status}", host.name());
    Ok(())
}

#[test]
fn packets_between_hosts_that_cannot_reach_each_other_go_by_an_edge_once() -> Result<()> {
    let lab = Lab::new("redirect")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 3)?;
    let [hv1, hv2, hv3] = &hosts[..] else { unreachable!("three hosts were asked for") };
    let physical = lab.physical("phys")?;
    physical.cable(hv2, "br-ex")?;
    physical.cable(hv3, "br-ex")?;
    apply(&lab, NETWORK)?;
    let _outside = physical.machine(&VmSpec::new("r1").address("203.0.113.1/24"), None)?;
    for (verb, chassis, vip) in [("init", "hv2", "203.0.113.4/24"), ("add", "hv3", "203.0.113.5/24")] {
        let mut words = vec!["-y", "edge", verb, "--chassis", chassis, "--bridge", "br-ex", "--router", "LR-central"];
        words.extend(["--vip", vip]);
        if verb == "init" {
            words.extend(["--virt", "10.1.0.0/16", "--ext-gw", "203.0.113.1"]);
        }
        lab.wait_until("the edge", PATIENCE, || lab.tpctl(&words).map(drop))?;
    }
    let (w1, w2, w3) = (hv1.vm(&spec("w1", 1, 1))?, hv2.vm(&spec("w2", 1, 2))?, hv3.vm(&spec("w3", 1, 3))?);
    let d2 = hv2.vm(&spec("d2", 2, 2))?;
    let sessions = |alive: bool| {
        lab.wait_until("the sessions", PATIENCE, || {
            for (host, chassis, alive) in [
                (hv1, "hv2", alive),
                (hv2, "hv1", alive),
                (hv1, "hv3", true),
                (hv3, "hv1", true),
                (hv2, "hv3", true),
                (hv3, "hv2", true),
            ] {
                session(host, chassis, alive)?;
            }
            Ok(())
        })
    };
    sessions(true)?;
    reaches(&w1, &w2, 64)?;
    reaches(&w1, &w3, 64)?;
    reaches(&w1, &d2, 63)?;
    ensure!(count(hv3)? == 0, "a detour without need");

    let probe = w1.probe(&w2.ipv4()?, Duration::from_millis(10))?;
    let probe6 = w1.probe(&d2.ipv6()?, Duration::from_millis(10))?;
    std::thread::sleep(Duration::from_millis(500));
    let cut = probe.elapsed();
    let (a, b) = (hv1.encap_ip(), hv2.encap_ip());
    let rules = format!(
        "table bridge cut {{ chain forward {{ type filter hook forward priority 0; \
         ip saddr {a} ip daddr {b} drop; ip saddr {b} ip daddr {a} drop; }}; }}"
    );
    lab.underlay().run(&["nft", &rules])?;
    sessions(false)?;
    reaches(&w1, &w2, 64)?;
    reaches(&w1, &d2, 63)?;
    reaches(&w1, &w3, 64)?;
    for (what, probe) in [("switched", probe), ("routed", probe6)] {
        let report = probe.stop()?;
        let last = report.lost.last().map(|lost| lost.at.saturating_sub(cut));
        println!("{what}: {} of {} lost, the last one {last:?} after the cut", report.lost.len(), report.sent);
        ensure!(last.is_none_or(|last| last < GRACE + report.late), "{report:?}");
        ensure!(report.duplicates == 0, "{report:?}");
    }
    // Both ways by the edge that both reach, and not by it again.
    let before = relayed(hv3)?;
    let report = w1.must_ping(&w2.ipv4()?)?;
    let after = (relayed(hv3)?, count(hv1)?, count(hv2)?);
    ensure!(after == (before + 2 * u64::from(report.sent), 0, 0), "sent on {before:?} -> {after:?}: {report:?}");

    // What a trace tells of it.
    let shown = lab.tpctl(&["trace", "w1", "--to", &w2.ipv4()?])?;
    let order: Vec<Option<usize>> = ["hv1", "hv3", "hv2"].map(|host| shown.find(&format!("chassis:{host}"))).into();
    ensure!(order.iter().all(Option::is_some) && order.is_sorted(), "{shown}");
    println!("{shown}");

    lab.underlay().run(&["nft", "delete table bridge cut"])?;
    sessions(true)?;
    let before = relayed(hv3)?;
    reaches(&w1, &w2, 64)?;
    ensure!(relayed(hv3)? == before, "a detour without need");
    Ok(())
}
