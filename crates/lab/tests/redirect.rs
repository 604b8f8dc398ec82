//! Two hosts cannot reach each other, and both reach a third one, an edge: packets between them go by it, once, and nobody else notices.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::{Duration, Instant};
use tuplenet_lab::{Host, Lab, PingSpec, Vm, VmSpec, trials};

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

/// Between two packets of a probe.
const INTERVAL: Duration = Duration::from_millis(10);

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

/// A guest on each host, and one more on the second, behind a router. The second and the third host are edges.
struct Bed {
    lab: Lab,
    hosts: Vec<Host>,
    w1: Vm,
    w2: Vm,
    w3: Vm,
    d2: Vm,
}

impl Bed {
    /// All watch each other, and would notice in time.
    fn all_alive(&self) -> Result<()> {
        self.lab.wait_until("all to watch each other", PATIENCE, || {
            self.hosts.iter().try_for_each(|host| host.watches(self.hosts.len() - 1))
        })
    }

    /// The first two hosts find each other dead, and the third alive.
    fn two_dead(&self) -> Result<()> {
        self.lab.wait_until("two hosts to find each other dead", PATIENCE, || {
            let [hv1, hv2, hv3] = &self.hosts[..] else { unreachable!("three hosts were asked for") };
            session(hv1, "hv2", false)?;
            session(hv2, "hv1", false)?;
            for (host, chassis) in [(hv1, "hv3"), (hv3, "hv1"), (hv2, "hv3"), (hv3, "hv2")] {
                session(host, chassis, true)?;
            }
            Ok(())
        })
    }
}

/// What went wrong, if anything, when two hosts could not reach each other for a while; and by how much the machine was late meanwhile: on a busy one BFD takes
/// the living for dead, and then there are detours without need, or none.
fn trial(bed: &Bed) -> Result<(Vec<String>, Duration)> {
    let Bed { lab, hosts, w1, w2, w3, d2 } = bed;
    let [hv1, hv2, hv3] = &hosts[..] else { unreachable!("three hosts were asked for") };
    bed.all_alive()?;
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            wrong.push(what);
        }
    };
    // Who is not reached is so by detours, or by none: found here as well, not the end of the trial.
    let reached = |to: &Vm, ttl: u8| reaches(w1, to, ttl).err().map(|error| format!("{error:#}")).unwrap_or_default();
    // All the time, between two who reach each other.
    let beside = w1.probe(&w3.ipv4()?, INTERVAL)?;
    let before = relayed(hv3)?;
    for (to, ttl) in [(w2, 64), (w3, 64), (d2, 63)] {
        let missed = reached(to, ttl);
        check(missed.is_empty(), missed);
    }
    check(relayed(hv3)? == before, "a detour without need".to_owned());

    let probe = w1.probe(&w2.ipv4()?, INTERVAL)?;
    let probe6 = w1.probe(&d2.ipv6()?, INTERVAL)?;
    std::thread::sleep(Duration::from_millis(500));
    let cut = probe.elapsed();
    let (a, b) = (hv1.encap_ip(), hv2.encap_ip());
    let rules = format!(
        "table bridge cut {{ chain forward {{ type filter hook forward priority 0; \
         ip saddr {a} ip daddr {b} drop; ip saddr {b} ip daddr {a} drop; }}; }}"
    );
    lab.underlay().run(&["nft", &rules])?;
    bed.two_dead()?;
    for (to, ttl) in [(w2, 64), (d2, 63), (w3, 64)] {
        let missed = reached(to, ttl);
        check(missed.is_empty(), missed);
    }
    for (what, probe) in [("switched", probe), ("routed", probe6)] {
        let report = probe.stop()?;
        let last = report.lost.last().map(|lost| lost.at.saturating_sub(cut));
        println!("{what}: {} of {} lost, the last one {last:?} after the cut", report.lost.len(), report.sent);
        check(last.is_none_or(|last| last < GRACE + report.late), format!("{what}: {report}"));
        check(report.duplicates == 0, format!("{what}: {report}"));
    }
    // Both ways by the edge that both reach, and not by it again.
    let (before, others) = (relayed(hv3)?, (count(hv1)?, count(hv2)?));
    let report = w1.ping(&w2.ipv4()?, &PingSpec::default())?;
    let after = (relayed(hv3)?, (count(hv1)?, count(hv2)?));
    let wanted = (before + 2 * u64::from(report.transmitted), others);
    check(report.all() && after == wanted, format!("sent on: {after:?}, not {wanted:?}: {report:?}"));

    // What a trace tells of it.
    let shown = lab.tpctl_output(&["trace", "w1", "--to", &w2.ipv4()?])?;
    let shown = String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()).into_owned();
    let order: Vec<Option<usize>> = ["hv1", "hv3", "hv2"].map(|host| shown.find(&format!("chassis:{host}"))).into();
    check(order.iter().all(Option::is_some) && order.is_sorted(), format!("a trace: {shown}"));
    println!("{shown}");

    lab.underlay().run(&["nft", "delete table bridge cut"])?;
    bed.all_alive()?;
    let before = relayed(hv3)?;
    let missed = reached(w2, 64);
    check(missed.is_empty(), missed);
    check(relayed(hv3)? == before, "a detour without need, after it".to_owned());
    let report = beside.stop()?;
    check(report.lost.is_empty() && report.duplicates == 0, format!("others notice: {report}"));
    Ok((wrong, report.late))
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
    for (to, ttl) in [(&w2, 64), (&w3, 64), (&d2, 63)] {
        reaches(&w1, to, ttl)?;
    }
    let bed = Bed { lab, hosts: hosts.clone(), w1, w2, w3, d2 };
    let wrong = trials(|| trial(&bed))?;
    if !wrong.is_empty() {
        bed.lab.fail();
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
