//! Edges are watched: sessions come up at both ends, the dead and those that withdraw are known to be so in time, an agent is not needed for it, and
//! what nobody needs is taken away.

mod network;
mod two_edges;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::Duration;
use tuplenet_lab::Host;
use two_edges::*;

/// An edge that lost something withdraws, without being dead: soon, the probe's silence included.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn sessions_come_up_and_an_edge_without_a_way_outside_withdraws() -> Result<()> {
    let bed = Bed::new("bfd")?;
    bed.all_up()?;
    bed.guest.wait_ping(ROUTER, PATIENCE)?;
    bed.wait_log(0, "BFD to hv2 (geneve")?;
    bed.lab.wait_until("tpctl edge show", PATIENCE, || {
        let shown = bed.lab.tpctl(&["edge", "show"])?;
        ensure!(shown.contains("up") && !shown.contains("withdrawn"), "{shown}");
        Ok(())
    })?;

    // The cable.
    bed.physical.carrier(&bed.hosts[1], false)?;
    let took = bed.wait_up(0, "hv2", false, SOON)?;
    println!("cable out: withdrawn after {} ms", took.as_millis());
    bed.lab.wait_until("what hv2 says of itself", PATIENCE, || {
        let status = status(&bed.hosts[0], "hv2")?;
        ensure!(status.contains("Concatenated Path Down"), "{status}");
        Ok(())
    })?;
    bed.wait_up(0, "hv3", true, PATIENCE)?;
    bed.wait_log(1, "no uplink is left: br-ex: no link")?;
    bed.wait_log(0, "withdrawn (Concatenated Path Down)")?;
    bed.lab.wait_until("tpctl edge show", PATIENCE, || {
        let shown = bed.lab.tpctl(&["edge", "show"])?;
        ensure!(shown.contains("withdrawn") && shown.contains("no uplink is left"), "{shown}");
        Ok(())
    })?;
    bed.physical.carrier(&bed.hosts[1], true)?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;

    // The router outside stops answering, and answers again: both edges go, and both come back.
    let silence = "address delete 203.0.113.1/24 dev eth0\n";
    bed.router.netns().ip(silence)?;
    let took = bed.wait_up(0, "hv2", false, SOON)?;
    println!("router silent: withdrawn after {} ms (probes every 200 ms)", took.as_millis());
    bed.wait_up(0, "hv3", false, SOON)?;
    bed.wait_log(1, "203.0.113.1 does not answer probes any more")?;
    bed.router.netns().ip("address add 203.0.113.1/24 dev eth0\n")?;
    bed.all_up()?;
    bed.guest.wait_ping(ROUTER, PATIENCE)?;
    Ok(())
}

#[test]
fn an_agent_is_not_needed_and_what_nobody_needs_goes() -> Result<()> {
    let bed = Bed::new("bfd-agent")?;
    bed.all_up()?;
    let flaps = |host: &Host, chassis: &str| -> Result<String> {
        let name = port(host, chassis)?.context("no port")?;
        host.vsctl(&["get", "Interface", &name, "bfd_status:flap_count"])
    };
    let flows = flow_set(&bed.hosts[1])?;
    // Agents die and come back: no session sees it. One that flaps for want of a processor says nothing of that: then it is tried again.
    for attempt in 1.. {
        let before = flaps(&bed.hosts[0], "hv2")?;
        for agent in &bed.agents {
            agent.kill9()?;
        }
        std::thread::sleep(Duration::from_secs(1));
        for (from, chassis) in [(0, "hv2"), (1, "hv1"), (2, "hv2")] {
            bed.wait_up(from, chassis, true, PATIENCE)?;
        }
        for agent in &bed.agents {
            agent.start()?;
            agent.wait_settled(PATIENCE)?;
        }
        std::thread::sleep(Duration::from_secs(1));
        let after = flaps(&bed.hosts[0], "hv2")?;
        if before == after {
            break;
        }
        ensure!(attempt < 5, "{before} -> {after}: {}", bed.agents[1].log_text());
        bed.all_up()?;
    }
    let changes = flow_changes(&flows, &flow_set(&bed.hosts[1])?);
    ensure!(changes.is_empty(), "{changes:#?}");

    // By hand.
    let name = port(&bed.hosts[0], "hv2")?.context("no port")?;
    bed.hosts[0].vsctl(&["del-port", "br-int", &name])?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;

    // A switch that was emptied draws nothing until it is filled: who watches it sees it alive no sooner than its flows are there.
    bed.hosts[1].restart_vswitchd()?;
    bed.wait_up(0, "hv2", false, SOON)?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;
    ensure!(flow_set(&bed.hosts[1])?.len() >= flows.len() - 3, "alive before it is filled");
    bed.wait_log(1, "withdrawn: those that watch this host are told not to send here: its switch is")?;

    // A road less, and then none.
    bed.lab.tpctl(&["-y", "edge", "remove", "--vip", "203.0.113.5/24"])?;
    bed.lab.wait_until("hv3 to be watched by nobody", PATIENCE, || {
        for host in &bed.hosts[..2] {
            ensure!(port(host, "hv3")?.is_none(), "{} still watches it", host.name());
        }
        Ok(())
    })?;
    bed.wait_up(0, "hv2", true, PATIENCE)?;
    for host in &bed.hosts {
        let agent = bed.agents.iter().find(|agent| agent.host().name() == host.name()).context("no agent")?;
        agent.term()?;
    }
    Ok(())
}
