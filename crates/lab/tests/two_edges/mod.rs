//! A host with a guest, two edges that probe the router outside, and that router, which is plain Linux.
//!
//! ```text
//!   hv1 w1      hv2 edge 203.0.113.4      hv3 edge 203.0.113.5
//!     |            |          |              |          |
//!     +--underlay--+----------+--------------+    physical switch ---- r1 203.0.113.1
//! ```
#![allow(dead_code)] // each test file uses its part

use crate::network::*;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Physical, Vm, VmSpec};

const NETWORK: &str = "
switches:
  web: {ports: {w1: '10.1.0.1, fd00:1::1', w2: '10.1.0.2, fd00:1::2', w3: '10.1.0.3, fd00:1::3'}}
routers:
  LR-central: {links: {web: '10.1.0.254/24, fd00:1::fe/64'}}
";
/// The router outside.
pub const ROUTER: &str = "203.0.113.1";
/// The edges' own addresses outside, by which what is behind them leaves.
pub const VIPS: [&str; 2] = ["203.0.113.4", "203.0.113.5"];

/// What an agent says when its host is withdrawn, and when it returns.
pub const WITHDRAWN: &str = "withdrawn: those that watch this host";
pub const RETURNED: &str = "no longer withdrawn";

/// See the module.
pub struct Bed {
    pub lab: Lab,
    pub physical: Physical,
    /// hv1 to hv3.
    pub hosts: Vec<Host>,
    pub agents: Vec<Agent>,
    pub guest: Vm,
    pub router: Vm,
}

impl Bed {
    /// Edges are there when this returns, their sessions come up later ([`Bed::all_up`]).
    pub fn new(name: &str) -> Result<Bed> {
        Bed::watching(name, "100")
    }

    /// With so many milliseconds between two packets of BFD: where it does not matter how soon the dead are noticed, longer ones keep a busy machine from finding
    /// the living dead.
    pub fn watching(name: &str, interval: &str) -> Result<Bed> {
        let lab = Lab::new(name)?;
        lab.store()?;
        let hosts = lab.hosts(&["hv1", "hv2", "hv3"])?;
        let probing =
            || AgentSpec::new().arguments(&["--probe", ROUTER, "--probe-interval", "200", "--bfd-interval", interval]);
        let agents = hosts.iter().map(|host| host.agent(&probing())).collect::<Result<Vec<_>>>()?;
        for agent in &agents {
            agent.wait_settled(PATIENCE)?;
        }
        let physical = lab.physical("phys")?;
        physical.cable(&hosts[1], "br-ex")?;
        physical.cable(&hosts[2], "br-ex")?;
        apply(&lab, NETWORK)?;
        let router = physical.machine(&VmSpec::new("r1").address(&format!("{ROUTER}/24")), None)?;
        let guest = hosts[0].vm(&spec("w1", 1, 1))?;
        let bed = Bed { lab, physical, hosts, agents, guest, router };
        bed.make_edge("init", "hv2", VIPS[0])?;
        bed.make_edge("add", "hv3", VIPS[1])?;
        Ok(bed)
    }

    /// Makes an edge road: `init` for the first, `add` for others.
    pub fn make_edge(&self, verb: &str, chassis: &str, vip: &str) -> Result<()> {
        let mut words = vec!["-y", "edge", verb, "--chassis", chassis, "--bridge", "br-ex", "--router", "LR-central"];
        let cidr = format!("{vip}/24");
        words.extend(["--vip", &cidr, "--snat", vip]);
        if verb == "init" {
            words.extend(["--virt", "10.1.0.0/16", "--ext-gw", ROUTER]);
        }
        // What bridges a host has it tells every now and then.
        self.lab.wait_until("the edge", PATIENCE, || self.lab.tpctl(&words).map(drop))
    }

    /// Waits until one host, by its index, sees a chassis so; gives how long that took.
    pub fn wait_up(&self, from: usize, chassis: &str, wanted: bool, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let what = format!("hv{} to see {chassis} {}", from + 1, if wanted { "alive" } else { "dead" });
        self.lab.wait_until(&what, patience, || up(&self.hosts[from], chassis, wanted))?;
        Ok(begun.elapsed())
    }

    /// Waits until all see each other alive.
    pub fn all_up(&self) -> Result<()> {
        for (from, chassis) in [(0, "hv2"), (0, "hv3"), (1, "hv1"), (2, "hv1"), (1, "hv3"), (2, "hv2")] {
            self.wait_up(from, chassis, true, PATIENCE)?;
        }
        Ok(())
    }

    /// How often the agent with this index has said that, over all its lives.
    pub fn said(&self, agent: usize, text: &str) -> usize {
        self.agents[agent].log_text().matches(text).count()
    }

    /// Waits until the agent with this index has said that.
    pub fn wait_log(&self, agent: usize, text: &str) -> Result<()> {
        self.lab.wait_until(text, PATIENCE, || {
            ensure!(self.agents[agent].log_text().contains(text), "hv{} did not say it", agent + 1);
            Ok(())
        })
    }
}

/// The Interface by which a host watches a chassis.
pub fn port(host: &Host, chassis: &str) -> Result<Option<String>> {
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

/// What a host's session with a chassis says.
pub fn status(host: &Host, chassis: &str) -> Result<String> {
    let name = port(host, chassis)?.with_context(|| format!("{} does not watch {chassis}", host.name()))?;
    host.vsctl(&["get", "Interface", &name, "bfd_status"])
}

/// Whether a host may send to a chassis.
pub fn up(host: &Host, chassis: &str, wanted: bool) -> Result<()> {
    let status = status(host, chassis)?;
    let forwarding = format!("forwarding=\"{wanted}\"");
    ensure!(status.contains(&forwarding), "{} -> {chassis}: {status}", host.name());
    Ok(())
}
