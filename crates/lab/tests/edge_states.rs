//! What becomes of connections when an edge's agent or its Open vSwitch starts again, and when an edge and its chassis are taken away: of translated ones, from inside and
//! from outside, and of those that have nothing to do with it.

mod network;
mod two_edges;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::Duration;
use tuplenet_lab::{Streams, StreamsReport, Vm, trials};
use two_edges::*;

const INTERVAL: Duration = Duration::from_millis(10);
const FLOWS: usize = 16;
/// Transfers of each kind.
const EACH: usize = 12;
/// External addresses on the first edge, and whose they are.
const RULES: [(&str, &str); 2] = [("in", "203.0.113.10 dnat 10.1.0.2"), ("both", "10.1.0.3 floating 203.0.113.13")];

/// Transfers by all kinds of translation.
struct Transfers(Vec<(&'static str, Streams)>);

impl Transfers {
    fn begin(bed: &Bed, w2: &Vm, w3: &Vm) -> Result<Transfers> {
        let r1 = &bed.router;
        let all = [
            ("snat, out", bed.guest.streams(r1, ROUTER, EACH)?),
            ("dnat, in", r1.streams_by(w2, &w2.ipv4()?, "203.0.113.10", EACH)?),
            ("floating, in", r1.streams_by(w3, &w3.ipv4()?, "203.0.113.13", EACH)?),
            ("floating, out", w3.streams(r1, ROUTER, EACH)?),
        ];
        Ok(Transfers(all.into()))
    }

    fn finish(self, what: &str) -> Vec<(&'static str, StreamsReport)> {
        let all = self.0.into_iter().map(|(kind, streams)| (kind, streams.finish()));
        let told = |(kind, report): &(&str, StreamsReport)| {
            let longest = report.stalls.last().copied().unwrap_or_default();
            println!("{what}: {kind}: {}/{EACH} whole, stalls up to {longest:.0?}", report.whole);
        };
        all.inspect(told).collect()
    }
}

/// Open vSwitch of the first edge starts again, and the edge is in use again when this returns: before, connections would move once more.
fn restart(bed: &Bed) -> Result<()> {
    let before = bed.said(1, RETURNED);
    bed.hosts[1].restart_vswitchd()?;
    bed.lab.wait_until("the edge to return", PATIENCE, || {
        ensure!(bed.said(1, RETURNED) > before, "{}", bed.agents[1].log_text());
        Ok(())
    })?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

/// Waits until these hosts, by their index, have no need of a chassis any more: until then connections may still take it.
fn unwatched(bed: &Bed, chassis: &str, by: [usize; 2]) -> Result<()> {
    bed.lab.wait_until(&format!("{chassis} to be watched by nobody"), PATIENCE, || {
        for host in by.map(|index| &bed.hosts[index]) {
            ensure!(port(host, chassis)?.is_none(), "{} still watches it", host.name());
        }
        Ok(())
    })
}

/// Whether a frame has an inner address as its source.
fn is_inner(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(26) == Some(&10)
}

#[test]
fn what_an_edge_translates_outlives_its_agent_and_begins_anew_with_its_switch() -> Result<()> {
    let bed = Bed::watching("edge-states", "500")?;
    for (name, words) in RULES {
        let words: Vec<&str> = ["lnat", "add", "edge1", name].into_iter().chain(words.split(' ')).collect();
        bed.lab.tpctl(&words)?;
    }
    let (w2, w3) = (bed.hosts[0].vm(&spec("w2", 1, 2))?, bed.hosts[0].vm(&spec("w3", 1, 3))?);
    bed.all_up()?;
    let reached = || -> Result<()> {
        for guest in [&bed.guest, &w2, &w3] {
            guest.wait_ping(ROUTER, PATIENCE)?;
        }
        for address in ["203.0.113.10", "203.0.113.13"] {
            bed.router.wait_ping(address, PATIENCE)?;
        }
        Ok(())
    };
    reached()?;

    // Its agent ends, in both ways, and comes back.
    let transfers = Transfers::begin(&bed, &w2, &w3)?;
    let agent = &bed.agents[1];
    for kill in [true, false] {
        if kill {
            agent.kill9()?
        } else {
            agent.term()?
        };
        std::thread::sleep(Duration::from_millis(500));
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
    }
    std::thread::sleep(Duration::from_millis(500));
    for (kind, report) in transfers.finish("agent") {
        ensure!(report.whole == EACH, "{kind}: {report:?}");
    }

    // Its switch starts again and has forgotten all connections. What leaves meanwhile is translated, or does not leave.
    let outside = bed.router.capture()?;
    let transfers = Transfers::begin(&bed, &w2, &w3)?;
    restart(&bed)?;
    transfers.finish("switch");
    reached()?;
    let transfers = Transfers::begin(&bed, &w2, &w3)?;
    std::thread::sleep(Duration::from_millis(500));
    for (kind, report) in transfers.finish("after it") {
        ensure!(report.whole == EACH, "{kind}: {report:?}");
    }
    // As the only edge it finds all of them again: nobody else answered in its place meanwhile. Of what goes to guests by `dnat` their own packets may be
    // the first, which have no connection then.
    bed.lab.tpctl(&["-y", "edge", "remove", "--vip", &format!("{}/24", VIPS[1])])?;
    unwatched(&bed, "hv3", [0, 1])?;
    reached()?;
    let transfers = Transfers::begin(&bed, &w2, &w3)?;
    restart(&bed)?;
    reached()?;
    std::thread::sleep(Duration::from_secs(1));
    for (kind, report) in transfers.finish("switch of the only edge") {
        ensure!(report.whole == EACH || kind.starts_with("dnat"), "{kind}: {report:?}");
    }
    let told: Vec<_> = outside.frames().into_iter().filter(|frame| is_inner(frame)).collect();
    ensure!(told.is_empty(), "{} frames left untranslated, among them {:x?}", told.len(), told.first());
    Ok(())
}

#[test]
fn an_edge_and_its_chassis_are_taken_away_and_nobody_notices() -> Result<()> {
    let bed = Bed::watching("edge-gone", "500")?;
    bed.all_up()?;
    bed.guest.wait_ping(ROUTER, PATIENCE)?;
    let wrong = trials(|| {
        let traffic = bed.guest.probe_flows(&bed.router, ROUTER, INTERVAL, FLOWS)?;
        std::thread::sleep(Duration::from_millis(500));
        let removed = traffic.elapsed();
        bed.lab.tpctl(&["-y", "edge", "remove", "--vip", &format!("{}/24", VIPS[0])])?;
        bed.agents[1].term()?;
        let deleted = traffic.elapsed();
        bed.lab.tpctl(&["-y", "ch", "del", "hv2"])?;
        unwatched(&bed, "hv2", [0, 2])?;
        std::thread::sleep(Duration::from_secs(1));
        // It is an edge again, and nobody notices that either.
        let again = traffic.elapsed();
        bed.agents[1].start()?;
        bed.agents[1].wait_settled(PATIENCE)?;
        bed.make_edge("add", "hv2", VIPS[0]).context("the edge again")?;
        bed.all_up()?;
        std::thread::sleep(Duration::from_secs(2));
        let report = traffic.stop()?;
        println!("removed at {removed:.2?}, its chassis at {deleted:.2?}, again at {again:.2?}: {report}");
        let wrong = if report.lost.is_empty() { Vec::new() } else { vec![report.to_string()] };
        Ok((wrong, report.late))
    })?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Its agent is not needed for that: who has not heard that an edge goes hears of it from its own switch, and the edge waits for that.
#[test]
fn an_edge_is_taken_away_while_the_agent_of_those_that_use_it_hears_nothing() -> Result<()> {
    let bed = Bed::watching("edge-deaf", "500")?;
    let agent = &bed.agents[0];
    let wrong = trials(|| {
        bed.all_up()?;
        for host in &bed.hosts {
            bed.lab.wait_until("quick sessions", PATIENCE, || host.watches(2))?;
        }
        bed.guest.wait_ping(ROUTER, PATIENCE)?;
        let traffic = bed.guest.probe_flows(&bed.router, ROUTER, INTERVAL, FLOWS)?;
        agent.pause()?;
        let gone = || -> Result<Duration> {
            std::thread::sleep(Duration::from_millis(500));
            let removed = traffic.elapsed();
            bed.lab.tpctl(&["-y", "edge", "remove", "--vip", &format!("{}/24", VIPS[0])])?;
            bed.lab.wait_until("the edge to be gone", PATIENCE, || {
                ensure!(port(&bed.hosts[1], "hv1")?.is_none(), "hv2 still watches hv1");
                Ok(())
            })?;
            std::thread::sleep(Duration::from_secs(1));
            up(&bed.hosts[0], "hv2", false)?;
            Ok(removed)
        };
        let removed = gone();
        agent.resume()?;
        let removed = removed?;
        bed.agents[0].wait_settled(PATIENCE)?;
        let report = traffic.stop()?;
        println!("removed at {removed:.2?}, heard by the switch alone: {report}");
        bed.make_edge("add", "hv2", VIPS[0])?;
        Ok((if report.lost.is_empty() { Vec::new() } else { vec![report.to_string()] }, report.late))
    })?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
