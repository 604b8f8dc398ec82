//! Uplinks that come and go, alone and all at once; agents that are away when it happens. Traffic goes where it gets through, nothing is lost when an edge
//! returns, and the log stays short.

mod network;
mod two_edges;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::{Duration, Instant};
use tuplenet_lab::{Host, Lost, Physical, Probe, ProbeReport, trials};
use two_edges::*;

/// A hundred packets a second, from so many ports that both edges have some.
const INTERVAL: Duration = Duration::from_millis(10);
const FLOWS: usize = 16;
/// From an edge's loss to the last lost packet: some 0.1 s; up to a second more if other links have just changed, which Linux tells of once a second at most, those of other
/// tests as well; and slack for a machine that runs four virtual switches.
const GRACE: Duration = Duration::from_millis(2_000);
/// An edge that lost something withdraws: soon, the probes' silence included.
const SOON: Duration = Duration::from_secs(10);
/// How long all must be well at least before an edge returns.
const HOLD: Duration = Duration::from_secs(2);
/// Milliseconds between two packets of BFD.
const SLOW: &str = "500";

impl Bed {
    /// Waits until both edges carry some of what leaves, and would be found dead in time.
    fn in_use(&self) -> Result<()> {
        self.all_up()?;
        for host in &self.hosts {
            self.lab.wait_until("quick sessions", PATIENCE, || host.watches(2))?;
        }
        self.lab.wait_until("both edges to be in use", PATIENCE, || {
            let before = [sent(&self.hosts[1])?, sent(&self.hosts[2])?];
            let traffic = self.traffic()?;
            std::thread::sleep(Duration::from_millis(300));
            let report = traffic.stop()?;
            let now = [sent(&self.hosts[1])?, sent(&self.hosts[2])?];
            ensure!(report.lost.is_empty(), "{report}");
            ensure!(now[0] >= before[0] + 5 && now[1] >= before[1] + 5, "frames {before:?} -> {now:?}: {report}");
            Ok(())
        })
    }

    fn traffic(&self) -> Result<Probe> {
        self.guest.probe_flows(&self.router, ROUTER, INTERVAL, FLOWS)
    }

    /// Lets the link of a host come and go; gives when it came for the last time.
    fn flap(&self, host: usize, times: usize, down: Duration, up: Duration) -> Result<Instant> {
        let mut came = Instant::now();
        for _ in 0..times {
            self.physical.carrier(&self.hosts[host], false)?;
            std::thread::sleep(down);
            came = Instant::now();
            self.physical.carrier(&self.hosts[host], true)?;
            std::thread::sleep(up);
        }
        Ok(came)
    }
}

/// Frames that an edge has sent to the physical network.
fn sent(host: &Host) -> Result<u64> {
    let text = host.ofctl(&["dump-ports", "br-ex", "eth-ext"])?;
    let sent = text.lines().find_map(|line| line.trim().strip_prefix("tx pkts="));
    let sent = sent.and_then(|rest| rest.split(',').next()?.parse().ok());
    sent.with_context(|| format!("no counter in {text}"))
}

/// What is wrong if these were lost: nothing if there are none.
fn unless_none(lost: &[Lost], what: &str, report: &ProbeReport) -> Vec<String> {
    if lost.is_empty() { Vec::new() } else { vec![format!("{what}: {} of {report}", lost.len())] }
}

/// Those that were sent at such a time.
fn lost(report: &ProbeReport, when: impl Fn(Duration) -> bool) -> Vec<Lost> {
    report.lost.iter().filter(|lost| when(lost.at)).copied().collect()
}

/// Tries it again while the machine is too busy to tell.
fn must(bed: &Bed, trial: impl Fn(&Bed) -> Result<(Vec<String>, Duration)>) -> Result<()> {
    bed.in_use()?;
    let wrong = trials(|| {
        let found = trial(bed)?;
        bed.in_use()?;
        Ok(found)
    })?;
    if !wrong.is_empty() {
        bed.lab.fail();
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The physical switch hears nothing from a host any more, whose link stays up; or it does again.
fn deaf(physical: &Physical, host: &Host, deaf: bool) -> Result<()> {
    let from = format!("in_port={}", Physical::port(host));
    match deaf {
        true => physical.switch().add_flows("br-int", &format!("priority=40000,{from},actions=drop")),
        false => {
            physical.switch().ofctl(&["--strict", "del-flows", "br-int", &format!("priority=40000,{from}")]).map(drop)
        }
    }
}

/// How long the link is away, and there: shorter than an edge waits. Linux tells of links once a second at most, so that what is shorter may not be seen.
const AWAY: Duration = Duration::from_millis(1_500);
const THERE: Duration = Duration::from_millis(300);

#[test]
fn an_uplink_that_flaps_draws_nothing_before_it_is_steady() -> Result<()> {
    let bed = Bed::watching("flap", SLOW)?;
    must(&bed, |bed| {
        let (withdrawn, returned) = (bed.said(1, WITHDRAWN), bed.said(1, RETURNED));
        let traffic = bed.traffic()?;
        std::thread::sleep(Duration::from_millis(500));
        let began = traffic.elapsed();
        let came = bed.flap(1, 3, AWAY, THERE)?;
        up(&bed.hosts[0], "hv2", false)
            .with_context(|| format!("in the midst of flapping\n{}", bed.agents[1].log_text()))?;
        bed.wait_up(0, "hv2", true, PATIENCE)?;
        let took = came.elapsed();
        std::thread::sleep(Duration::from_secs(1));
        let report = traffic.stop()?;
        let (late, early) = (lost(&report, |at| at > began + GRACE), lost(&report, |at| at < began));
        let last = report.lost.last().map(|lost| lost.at.saturating_sub(began));
        println!("flapping: {} of {} lost, the last one {last:.0?} after it began", report.lost.len(), report.sent);
        println!("returned {took:.1?} after the last time that the link came");
        ensure!(took >= HOLD, "{took:?}");
        // While its link is down its probes fall silent as well, so that there are two reasons.
        let said = (bed.said(1, WITHDRAWN) - withdrawn, bed.said(1, RETURNED) - returned);
        ensure!(said.0 <= 4 && said.1 <= 1, "{}", bed.agents[1].log_text());
        Ok((unless_none(&[early, late].concat(), "flapping", &report), report.late))
    })
}

#[test]
fn a_link_that_flaps_while_its_upstream_is_dead_draws_nothing() -> Result<()> {
    let bed = Bed::watching("flap-deaf", SLOW)?;
    must(&bed, |bed| {
        let traffic = bed.traffic()?;
        std::thread::sleep(Duration::from_millis(500));
        deaf(&bed.physical, &bed.hosts[1], true)?;
        bed.wait_up(0, "hv2", false, SOON)?;
        let (found, said) = (traffic.elapsed(), bed.said(1, WITHDRAWN));
        bed.flap(1, 3, AWAY, THERE)?;
        let said = bed.said(1, WITHDRAWN) - said;
        ensure!(said <= 5, "it said {said} times more why:\n{}", bed.agents[1].log_text());
        up(&bed.hosts[0], "hv2", false).context("its link is there, its upstream is not")?;
        deaf(&bed.physical, &bed.hosts[1], false)?;
        bed.wait_up(0, "hv2", true, PATIENCE)?;
        std::thread::sleep(Duration::from_secs(1));
        let report = traffic.stop()?;
        let late = lost(&report, |at| at > found + Duration::from_millis(300));
        println!("dead upstream: {} of {} lost, {} after it was found", report.lost.len(), report.sent, late.len());
        Ok((unless_none(&late, &format!("dead upstream, found at {found:?}"), &report), report.late))
    })
}

#[test]
fn of_edges_that_are_all_lost_the_first_that_returns_carries_all() -> Result<()> {
    let bed = Bed::watching("all-lost", SLOW)?;
    must(&bed, |bed| {
        for host in &bed.hosts[1..] {
            bed.physical.carrier(host, false)?;
        }
        for chassis in ["hv2", "hv3"] {
            bed.wait_up(0, chassis, false, SOON)?;
        }
        let traffic = bed.traffic()?;
        std::thread::sleep(Duration::from_secs(1));
        // At once, although it has just come and is lost again soon: what would wait for it has nowhere else to go.
        for _ in 0..2 {
            bed.physical.carrier(&bed.hosts[2], true)?;
            let took = bed.wait_up(0, "hv3", true, PATIENCE)?;
            println!("all were lost: one is seen alive {took:.1?} after it was mended");
            ensure!(took < 2 * HOLD, "{took:?}: {}", bed.agents[2].log_text());
            std::thread::sleep(Duration::from_secs(1));
            bed.physical.carrier(&bed.hosts[2], false)?;
            bed.wait_up(0, "hv3", false, SOON)?;
        }
        bed.physical.carrier(&bed.hosts[2], true)?;
        bed.wait_up(0, "hv3", true, PATIENCE)?;
        let returned = traffic.elapsed();
        std::thread::sleep(Duration::from_secs(1));
        // The other comes later, while the first carries all: nobody notices.
        bed.physical.carrier(&bed.hosts[1], true)?;
        bed.wait_up(0, "hv2", true, PATIENCE)?;
        std::thread::sleep(Duration::from_secs(1));
        let report = traffic.stop()?;
        let late = lost(&report, |at| at > returned + Duration::from_millis(100));
        println!("all lost: {} of {} lost, {} after one was back", report.lost.len(), report.sent, late.len());
        Ok((unless_none(&late, &format!("all lost, one was back at {returned:?}"), &report), report.late))
    })
}

#[test]
fn an_agent_that_was_away_finds_its_uplink_lost_or_mended() -> Result<()> {
    let bed = Bed::watching("flap-agent", SLOW)?;
    must(&bed, |bed| {
        // Lost while nobody looks: what went by it is lost until the agent is back.
        bed.agents[1].kill9()?;
        bed.physical.carrier(&bed.hosts[1], false)?;
        std::thread::sleep(Duration::from_secs(1));
        bed.wait_up(0, "hv2", true, SOON).context("nobody withdraws an edge without agent")?;
        let traffic = bed.traffic()?;
        bed.agents[1].start()?;
        let took = bed.wait_up(0, "hv2", false, PATIENCE)?;
        let found = traffic.elapsed();
        println!("the agent that starts withdraws the edge after {took:.1?}");

        // The agent ends while it is withdrawn, and the link comes back: it stays withdrawn until somebody knows that all is well.
        bed.agents[1].term()?;
        bed.physical.carrier(&bed.hosts[1], true)?;
        std::thread::sleep(HOLD + Duration::from_millis(500));
        up(&bed.hosts[0], "hv2", false).context("nobody returned it")?;
        let began = Instant::now();
        bed.agents[1].start()?;
        bed.wait_up(0, "hv2", true, PATIENCE)?;
        let took = began.elapsed();
        println!("the next one returns it after {took:.1?}");
        ensure!(took >= HOLD, "{took:?}");
        std::thread::sleep(Duration::from_secs(1));
        let report = traffic.stop()?;
        let late = lost(&report, |at| at > found + Duration::from_millis(100));
        Ok((unless_none(&late, &format!("an agent away, withdrawn at {found:?}"), &report), report.late))
    })
}
