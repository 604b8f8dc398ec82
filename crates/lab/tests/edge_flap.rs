//! Uplinks that come and go, alone and all at once; agents that are away when it happens. Traffic goes where it gets through, nothing is lost when an edge
//! returns, and the log stays short.

mod network;
mod two_edges;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::{Duration, Instant};
use tuplenet_lab::{Host, Physical, Probe, ProbeReport};
use two_edges::*;

/// A hundred packets a second, from so many ports that both edges have some.
const INTERVAL: Duration = Duration::from_millis(10);
const FLOWS: usize = 16;
/// From an edge's loss to the last lost packet: some 0.1 s; up to a second more if other links have just changed, which Linux tells of once a second at most, those of other
/// tests as well; and slack for a machine that runs four virtual switches.
const GRACE: Duration = Duration::from_millis(2_000);
/// An edge that lost something withdraws: soon, the probes' silence included.
const SOON: Duration = Duration::from_secs(5);
/// How long all must be well at least before an edge returns.
const HOLD: Duration = Duration::from_secs(2);
const WITHDRAWN: &str = "withdrawn: those that watch this host";
const RETURNED: &str = "no longer withdrawn";

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

    /// How often an agent has said that, over all its lives.
    fn said(&self, agent: usize, text: &str) -> usize {
        self.agents[agent].log_text().matches(text).count()
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

/// Nothing was lost but for a while after this.
fn lost_only_after(report: &ProbeReport, at: Duration, what: &str) -> Result<()> {
    let during: Vec<_> =
        report.lost.iter().filter(|lost| lost.at >= at && lost.at < at + GRACE + report.late).collect();
    let last = during.last().map(|lost| lost.at.saturating_sub(at));
    println!("{what}: {} of {} lost, the last one {last:?} after it began", report.lost.len(), report.sent);
    ensure!(during.len() == report.lost.len(), "{what} at {at:?}: {report}");
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

#[test]
fn an_uplink_that_flaps_draws_nothing_before_it_is_steady() -> Result<()> {
    let bed = Bed::new("flap")?;
    bed.in_use()?;
    // Linux tells of links once a second at most, so that what is shorter may not be seen.
    let (down, up_for) = (Duration::from_millis(1_300), Duration::from_millis(500));

    let traffic = bed.traffic()?;
    std::thread::sleep(Duration::from_millis(500));
    let began = traffic.elapsed();
    let came = bed.flap(1, 3, down, up_for)?;
    up(&bed.hosts[0], "hv2", false)
        .with_context(|| format!("in the midst of flapping\n{}", bed.agents[1].log_text()))?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;
    let returned = came.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    lost_only_after(&traffic.stop()?, began, "flapping")?;
    println!("returned {returned:.1?} after the last time that the link came");
    ensure!(returned >= HOLD, "{returned:?}");
    // While its link is down its probes fall silent as well, so that there are two reasons.
    ensure!(bed.said(1, WITHDRAWN) <= 4 && bed.said(1, RETURNED) == 1, "{}", bed.agents[1].log_text());
    bed.in_use()?;

    // The upstream dies, which probes find, and the link flaps while it is dead.
    let traffic = bed.traffic()?;
    std::thread::sleep(Duration::from_millis(500));
    deaf(&bed.physical, &bed.hosts[1], true)?;
    bed.wait_up(0, "hv2", false, SOON)?;
    let (found, said) = (traffic.elapsed(), bed.said(1, WITHDRAWN));
    bed.flap(1, 3, down, up_for)?;
    let said = bed.said(1, WITHDRAWN) - said;
    ensure!(said <= 5, "it said {said} times more why:\n{}", bed.agents[1].log_text());
    up(&bed.hosts[0], "hv2", false).context("its link is there, its upstream is not")?;
    deaf(&bed.physical, &bed.hosts[1], false)?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;
    std::thread::sleep(Duration::from_secs(1));
    let report = traffic.stop()?;
    let late: Vec<_> = report.lost.iter().filter(|lost| lost.at > found + Duration::from_millis(300)).collect();
    println!("dead upstream: {} of {} lost, {} after it was found", report.lost.len(), report.sent, late.len());
    ensure!(late.is_empty(), "found at {found:?}: {report}");
    bed.in_use()
}

#[test]
fn of_edges_that_are_all_lost_the_first_that_returns_carries_all() -> Result<()> {
    let bed = Bed::new("all-lost")?;
    bed.in_use()?;
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
    let last = report.lost.last().map(|lost| lost.at).unwrap_or_default();
    println!(
        "all lost: {} of {} lost, the last one {:.2?} before one was seen alive",
        report.lost.len(),
        report.sent,
        returned.saturating_sub(last)
    );
    ensure!(last < returned + Duration::from_millis(100) + report.late, "it was back at {returned:?}: {report}");
    bed.in_use()
}

#[test]
fn an_agent_that_was_away_finds_its_uplink_lost_or_mended() -> Result<()> {
    let bed = Bed::new("flap-agent")?;
    bed.in_use()?;
    // Lost while nobody looks: what went by it is lost until the agent is back.
    bed.agents[1].kill9()?;
    bed.physical.carrier(&bed.hosts[1], false)?;
    std::thread::sleep(Duration::from_secs(1));
    up(&bed.hosts[0], "hv2", true).context("nobody withdraws an edge without agent")?;
    let traffic = bed.traffic()?;
    bed.agents[1].start()?;
    let took = bed.wait_up(0, "hv2", false, SOON)?;
    let found = traffic.elapsed();
    println!("the agent that starts withdraws the edge after {took:.1?}");

    // The agent ends while it is withdrawn, and the link comes back: it stays withdrawn until somebody knows that all is well.
    bed.agents[1].term()?;
    bed.physical.carrier(&bed.hosts[1], true)?;
    std::thread::sleep(HOLD + Duration::from_millis(500));
    up(&bed.hosts[0], "hv2", false).context("nobody returned it")?;
    bed.agents[1].start()?;
    let took = bed.wait_up(0, "hv2", true, PATIENCE)?;
    println!("the next one returns it after {took:.1?}");
    ensure!(took + Duration::from_millis(200) >= HOLD, "{took:?}");
    std::thread::sleep(Duration::from_secs(1));
    let report = traffic.stop()?;
    let late: Vec<_> = report.lost.iter().filter(|lost| lost.at > found + Duration::from_millis(100)).collect();
    ensure!(late.is_empty(), "withdrawn at {found:?}: {report}");
    bed.in_use()
}
