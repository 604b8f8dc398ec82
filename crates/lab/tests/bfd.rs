//! Edges are watched: sessions come up at both ends, the dead and those that withdraw are known to be so in time, an agent is not needed for it, and
//! what nobody needs is taken away.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::time::{Duration, Instant};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Physical, Vm, VmSpec};

const NETWORK: &str = "
switches:
  web: {ports: {w1: '10.1.0.1, fd00:1::1'}}
routers:
  LR-central: {links: {web: '10.1.0.254/24, fd00:1::fe/64'}}
";
const ROUTER: &str = "203.0.113.1";

/// hv1 with a guest, edges on hv2 and hv3 that probe a router outside.
struct Bed {
    lab: Lab,
    physical: Physical,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    guest: Vm,
    router: Vm,
}

fn bed(name: &str) -> Result<Bed> {
    let lab = Lab::new(name)?;
    lab.store()?;
    let hosts = lab.hosts(&["hv1", "hv2", "hv3"])?;
    let probing = || AgentSpec::new().arguments(&["--probe", ROUTER, "--probe-interval", "200"]);
    let agents = hosts.iter().map(|host| host.agent(&probing())).collect::<Result<Vec<_>>>()?;
    for agent in &agents {
        agent.wait_settled(PATIENCE)?;
    }
    let physical = lab.physical("phys")?;
    physical.cable(&hosts[1], "br-ex")?;
    physical.cable(&hosts[2], "br-ex")?;
    apply(&lab, NETWORK)?;
    let router = physical.machine(&VmSpec::new("r1").address(&format!("{ROUTER}/24")), None)?;
    let road = |verb: &str, chassis: &str, vip: &str| {
        let mut words = vec!["-y", "edge", verb, "--chassis", chassis, "--bridge", "br-ex", "--router", "LR-central"];
        let cidr = format!("{vip}/24");
        words.extend(["--vip", &cidr, "--snat", vip]);
        if verb == "init" {
            words.extend(["--virt", "10.1.0.0/16", "--ext-gw", ROUTER]);
        }
        // What bridges a host has it tells every now and then.
        lab.wait_until("the edge", PATIENCE, || lab.tpctl(&words).map(drop))
    };
    road("init", "hv2", "203.0.113.4")?;
    road("add", "hv3", "203.0.113.5")?;
    let guest = hosts[0].vm(&spec("w1", 1, 1))?;
    Ok(Bed { lab, physical, hosts, agents, guest, router })
}

/// The Interface by which a host watches a chassis.
fn port(host: &Host, chassis: &str) -> Result<Option<String>> {
    let found = host.vsctl(&[
        "--bare",
        "--columns=name",
        "find",
        "Interface",
        &format!("external_ids:tuplenet-watch={chassis}"),
    ])?;
    let names: Vec<&str> = found.split_whitespace().collect();
    ensure!(names.len() < 2, "{} watches {chassis} by {names:?}", host.name());
    Ok(names.first().map(|name| (*name).to_owned()))
}

fn status(host: &Host, chassis: &str) -> Result<String> {
    let name = port(host, chassis)?.with_context(|| format!("{} does not watch {chassis}", host.name()))?;
    host.vsctl(&["get", "Interface", &name, "bfd_status"])
}

/// Whether a host may send to a chassis.
fn up(host: &Host, chassis: &str, wanted: bool) -> Result<()> {
    let status = status(host, chassis)?;
    let forwarding = format!("forwarding=\"{wanted}\"");
    ensure!(status.contains(&forwarding), "{} -> {chassis}: {status}", host.name());
    Ok(())
}

impl Bed {
    fn wait_up(&self, from: usize, chassis: &str, wanted: bool, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let what = format!("hv{} to see {chassis} {}", from + 1, if wanted { "alive" } else { "dead" });
        self.lab.wait_until(&what, patience, || up(&self.hosts[from], chassis, wanted))?;
        Ok(begun.elapsed())
    }

    fn all_up(&self) -> Result<()> {
        for (from, chassis) in [(0, "hv2"), (0, "hv3"), (1, "hv1"), (2, "hv1"), (1, "hv3"), (2, "hv2")] {
            self.wait_up(from, chassis, true, PATIENCE)?;
        }
        Ok(())
    }

    fn wait_log(&self, agent: usize, text: &str) -> Result<()> {
        self.lab.wait_until(text, PATIENCE, || {
            ensure!(self.agents[agent].log_text().contains(text), "hv{} did not say it", agent + 1);
            Ok(())
        })
    }
}

/// An edge that lost something withdraws, without being dead: soon, the probe's silence included.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn sessions_come_up_and_an_edge_without_a_way_outside_withdraws() -> Result<()> {
    let bed = bed("bfd")?;
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
    ensure!(status(&bed.hosts[0], "hv2")?.contains("Concatenated Path Down"), "{}", status(&bed.hosts[0], "hv2")?);
    up(&bed.hosts[0], "hv3", true)?;
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
    let bed = bed("bfd-agent")?;
    bed.all_up()?;
    let flaps = |host: &Host, chassis: &str| -> Result<String> {
        let name = port(host, chassis)?.context("no port")?;
        host.vsctl(&["get", "Interface", &name, "bfd_status:flap_count"])
    };
    let before = flaps(&bed.hosts[0], "hv2")?;
    let flows = flow_set(&bed.hosts[1])?;
    // Agents die and come back: no session sees it.
    for agent in &bed.agents {
        agent.kill9()?;
    }
    std::thread::sleep(Duration::from_secs(1));
    for (from, chassis) in [(0, "hv2"), (1, "hv1"), (2, "hv2")] {
        up(&bed.hosts[from], chassis, true)?;
    }
    for agent in &bed.agents {
        agent.start()?;
        agent.wait_settled(PATIENCE)?;
    }
    std::thread::sleep(Duration::from_secs(1));
    ensure!(flaps(&bed.hosts[0], "hv2")? == before, "{before}");
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
    up(&bed.hosts[0], "hv2", true)?;
    for host in &bed.hosts {
        let agent = bed.agents.iter().find(|agent| agent.host().name() == host.name()).context("no agent")?;
        agent.term()?;
    }
    Ok(())
}
