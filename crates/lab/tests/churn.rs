//! While packets flow, everything is done to the network that does not concern them, one thing after the other: none is lost.
//!
//! ```text
//!   hv1 w1, d1    hv2 w2, edge 203.0.113.4   hv3 b1, edge 203.0.113.5
//!     |     |        |          |               |          |
//!     +-----|-underlay----------|---------------+          |
//!           +---- physical switch -------------------------+---- r1 203.0.113.1, r2 203.0.114.1 (VLAN 14)
//! ```
//! On one switch across hosts, across a router, to the outside by both edges, also from an edge's own host, and from outside to a distributed floating address; in both families.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    cell::{Cell, RefCell},
    thread,
    time::Duration,
};
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Physical, Probe, ProbeReport, Store, Vm, VmSpec, trials};

const NETWORK: &str = "
switches:
  web: {ports: {w1: '10.1.0.1, fd00:1::1', w2: '10.1.0.2, fd00:1::2', w7: '10.1.0.7, fd00:1::7'}}
  app: {ports: {b1: '10.2.0.1, fd00:2::1', b8: '10.2.0.8, fd00:2::8'}}
  dmz: {ports: {d1: '10.3.0.1, fd00:3::1'}}
  pub: {}
routers:
  LR-central: {links: {web: '10.1.0.254/24, fd00:1::fe/64', app: '10.2.0.254/24, fd00:2::fe/64'}}
  LR-pub: {links: {dmz: '10.3.0.254/24, fd00:3::fe/64', pub: '203.0.114.254/24, 2001:db8:1::fe/64'}}
";
/// What is told to the network before packets flow.
const FLOATING: [&str; 4] = [
    "patchport add pub pub-hv1 hv1 br-ex --vlan 14",
    "patchport add pub pub-hv3 hv3 br-ex --vlan 14",
    "lnat add LR-pub f4 10.3.0.1 floating 203.0.114.30 --distributed",
    "lnat add LR-pub f6 fd00:3::1 floating 2001:db8:1::30 --distributed",
];
const INTERVAL: Duration = Duration::from_millis(10);
const FLOWS: usize = 16;
/// Milliseconds between two packets of BFD: a busy machine is not to find the living dead.
const SLOW: [&str; 2] = ["--bfd-interval", "500"];

/// See the module.
struct Bed {
    lab: Lab,
    store: Store,
    hosts: Vec<Host>,
    agents: RefCell<Vec<Agent>>,
    /// Guests and hosts that were made while packets flow, as each trial makes its own.
    made: Cell<u32>,
    w1: Vm,
    w2: Vm,
    b1: Vm,
    r1: Vm,
    r2: Vm,
    _physical: Physical,
    _d1: Vm,
}

impl Bed {
    fn new() -> Result<Bed> {
        let lab = Lab::new("churn")?;
        let store = lab.store()?;
        let hosts = lab.hosts(&["hv1", "hv2", "hv3"])?;
        let agents =
            hosts.iter().map(|host| host.agent(&AgentSpec::new().arguments(&SLOW))).collect::<Result<Vec<_>>>()?;
        for agent in &agents {
            agent.wait_settled(PATIENCE)?;
        }
        let physical = lab.physical("phys")?;
        for host in &hosts {
            physical.cable(host, "br-ex")?;
        }
        apply(&lab, NETWORK)?;
        let machine =
            |name: &str, v4: &str, v6: &str, vlan| physical.machine(&VmSpec::new(name).address(v4).address(v6), vlan);
        let r1 = machine("r1", "203.0.113.1/24", "2001:db8::1/64", None)?;
        let r2 = machine("r2", "203.0.114.1/24", "2001:db8:1::1/64", Some(14))?;
        let w1 = hosts[0].vm(&spec("w1", 1, 1))?;
        let d1 = hosts[0].vm(&spec("d1", 3, 1))?;
        let w2 = hosts[1].vm(&spec("w2", 1, 2))?;
        let b1 = hosts[2].vm(&spec("b1", 2, 1))?;
        let agents = RefCell::new(agents);
        let made = Cell::new(0);
        let bed = Bed { lab, store, hosts, agents, made, w1, w2, b1, r1, r2, _physical: physical, _d1: d1 };
        for words in FLOATING {
            // What bridges a host has it tells every now and then.
            bed.lab.wait_until(words, PATIENCE, || bed.tp(words))?;
        }
        bed.edge("init", "hv2", 4)?;
        bed.edge("add", "hv3", 5)?;
        bed.watched()?;
        for (from, to) in [
            (&bed.w1, ["203.0.113.1", "2001:db8::1"]),
            (&bed.w1, ["10.2.0.1", "fd00:2::1"]),
            (&bed.b1, ["203.0.113.1", "2001:db8::1"]),
            (&bed.r2, ["203.0.114.30", "2001:db8:1::30"]),
        ] {
            for address in to {
                from.wait_ping(address, PATIENCE)?;
            }
        }
        Ok(bed)
    }

    fn tp(&self, words: &str) -> Result<()> {
        self.lab.tpctl(&words.split(' ').collect::<Vec<_>>()).map(drop)
    }

    /// One command after the other, with time for the hosts between them.
    fn all(&self, commands: &[&str]) -> Result<()> {
        for words in commands {
            self.tp(words)?;
            pause(100);
        }
        Ok(())
    }

    /// A name that nothing of this lab has, which begins like that.
    fn name(&self, begin: &str) -> String {
        self.made.set(self.made.get() + 1);
        format!("{begin}{}", self.made.get())
    }

    fn edge(&self, verb: &str, chassis: &str, number: u8) -> Result<()> {
        let vip = format!("203.0.113.{number}/24,2001:db8::{number}/64");
        let snat = format!("203.0.113.{number},2001:db8::{number}");
        let mut words = vec!["-y", "edge", verb, "--chassis", chassis, "--bridge", "br-ex", "--router", "LR-central"];
        words.extend(["--vip", &vip, "--snat", &snat]);
        if verb == "init" {
            words.extend(["--virt", "10.0.0.0/14,fd00::/30", "--ext-gw", "203.0.113.1,2001:db8::1"]);
        }
        self.lab.wait_until("the edge", PATIENCE, || self.lab.tpctl(&words).map(drop))
    }

    /// Waits until all edges are watched and would be found dead in time.
    fn watched(&self) -> Result<()> {
        self.settled()?;
        self.hosts.iter().try_for_each(|host| self.lab.wait_until("quick sessions", PATIENCE, || host.watches(2)))
    }

    fn settled(&self) -> Result<()> {
        self.agents.borrow().iter().try_for_each(|agent| agent.wait_settled(PATIENCE))
    }

    /// Ends an agent and starts it with more options.
    fn restart(&self, index: usize, more: &[&str]) -> Result<()> {
        let mut agents = self.agents.borrow_mut();
        agents[index].term()?;
        let agent = self.hosts[index].agent(&AgentSpec::new().arguments(&[&SLOW[..], more].concat()))?;
        agent.wait_settled(PATIENCE)?;
        agents[index] = agent;
        Ok(())
    }

    fn traffic(&self) -> Result<Vec<(&'static str, Probe)>> {
        let udp = |from: &Vm, to: &Vm, address: &str| from.probe_flows(to, address, INTERVAL, FLOWS);
        let Bed { w1, w2, b1, r1, r2, .. } = self;
        Ok(vec![
            ("on one switch", udp(w1, w2, "10.1.0.2")?),
            ("on one switch, IPv6", udp(w2, w1, "fd00:1::1")?),
            ("across a router", udp(w1, b1, "10.2.0.1")?),
            ("across a router, IPv6", udp(w2, b1, "fd00:2::1")?),
            ("by the edges", udp(w1, r1, "203.0.113.1")?),
            ("by the edges, IPv6", udp(w1, r1, "2001:db8::1")?),
            ("from an edge's host", udp(b1, r1, "203.0.113.1")?),
            ("to a floating address", r2.probe("203.0.114.30", INTERVAL)?),
            ("to a floating address, IPv6", r2.probe("2001:db8:1::30", INTERVAL)?),
        ])
    }

    /// Does all of it, one after the other, while packets flow: what was lost, and during what; and by how much the machine was late.
    fn during(&self, operations: &[Operation], counts: fn(&str) -> bool) -> Result<(Vec<String>, Duration)> {
        let traffic = self.traffic()?;
        let clock = &traffic.first().context("no traffic")?.1;
        let mut begun: Vec<(&str, Duration)> = Vec::new();
        for (name, operation) in operations {
            pause(200);
            begun.push((name, clock.elapsed()));
            operation(self).with_context(|| (*name).to_owned())?;
        }
        pause(500);
        let reports = thread::scope(|scope| {
            let stop = |(what, probe): (&'static str, Probe)| (what, scope.spawn(|| probe.stop()));
            let threads: Vec<_> = traffic.into_iter().map(stop).collect();
            let report = |(what, thread): (_, thread::ScopedJoinHandle<'_, Result<ProbeReport>>)| {
                Ok((what, thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??))
            };
            threads.into_iter().map(report).collect::<Result<Vec<_>>>()
        })?;
        let mut wrong = Vec::new();
        for (what, report) in &reports {
            let of = |at: Duration| begun.iter().rfind(|(_, begun)| *begun <= at).map_or("nothing", |(name, _)| name);
            let names: Vec<&str> = report.lost.iter().map(|lost| of(lost.at)).collect();
            let bad = !names.is_empty() || report.duplicates > 0;
            if bad && !counts(what) {
                println!("{what}: during {names:?}: {report}");
            } else if bad {
                wrong.push(format!("{what}: during {names:?}: {report}"));
            }
        }
        let late = reports.iter().map(|(_, report)| report.late).max().unwrap_or_default();
        let sent: u64 = reports.iter().map(|(_, report)| report.sent).sum();
        println!(
            "{} operations, {sent} packets, lost: {wrong:?}, the machine was late by {late:.0?}",
            operations.len()
        );
        Ok((wrong, late))
    }
}

/// What is done, and undone.
type Operation = (&'static str, fn(&Bed) -> Result<()>);

fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

const NETWORKS: &[Operation] = &[
    ("ports", |bed| {
        bed.all(&[
            "lsp add web x1 10.1.0.101,fd00:1::101",
            "lsp set web x1 --ip 10.1.0.102,fd00:1::102",
            "-y lsp del web x1",
        ])
    }),
    ("a switch with a guest, and a link", |bed| {
        bed.all(&["ls add new", "lsp add new n1 10.9.0.1", "lr link LR-central new 10.9.0.254/24"])?;
        let guest = bed.hosts[0].vm(&VmSpec::new(&bed.name("n")).iface_id("n1").address("10.9.0.1/24"))?;
        pause(200);
        guest.unplug()?;
        bed.all(&["-y lr unlink LR-central new", "-y lsp del new n1", "-y ls del new"])
    }),
    ("a router beside, a route to it", |bed| {
        for router in ["lr add LR-x", "lr add LR-x hv1", "lr add LR-x hv3"] {
            bed.all(&[
                router,
                "lr link LR-x app 10.2.0.253/24,fd00:2::fd/64",
                "lsr add LR-central beside 10.8.0.0/24 10.2.0.253 LR-central_to_app",
                "-y lsr del LR-central beside",
                "-y lr unlink LR-x app",
                "-y lr del LR-x",
            ])?;
        }
        Ok(())
    }),
    ("several ways", |bed| {
        bed.all(&[
            "lsr add LR-central g1 198.51.100.0/24 10.1.0.7 LR-central_to_web",
            "lsr add LR-central g2 198.51.100.0/24 10.2.0.1 LR-central_to_app",
            "lr set LR-central --ecmp-hash nw_dst,nw_src,l4_src,l4_dst",
            "lr set LR-central --ecmp-hash default",
            "-y lsr del LR-central g1",
            "-y lsr del LR-central g2",
        ])
    }),
    ("translation", |bed| {
        bed.all(&[
            "lnat add edge1 n1 10.1.0.7 floating 203.0.113.77",
            "lnat add edge2 n2 203.0.113.78 dnat 10.1.0.8",
            "lnat add LR-pub n3 10.3.0.9 floating 203.0.114.79 --distributed",
            "-y lnat del edge1 n1",
            "-y lnat del edge2 n2",
            "-y lnat del LR-pub n3",
        ])
    }),
    ("patch ports", |bed| {
        bed.all(&[
            "ls add pn",
            "patchport add pn pn-1 hv1 br-ex --vlan 20",
            "patchport add pn pn-2 hv2 br-ex --vlan 20",
            "-y patchport del pn pn-1",
            "-y patchport del pn pn-2",
            "-y ls del pn",
            "patchport add pub pub-hv2 hv2 br-ex --vlan 14",
            "-y patchport del pub pub-hv2",
        ])
    }),
    ("what switches are", |bed| {
        for switch in ["web", "app", "pub"] {
            for words in ["--flood", "--mtu 1400", "--flood=false", "--mtu auto"] {
                bed.tp(&format!("ls set {switch} {words}"))?;
                pause(50);
            }
        }
        Ok(())
    }),
    ("a document", |bed| {
        let before = bed.lab.tpctl(&["export"])?;
        apply(&bed.lab, &before.replace("routers:", "  extra:\n    ports:\n      e1: 10.7.0.1\nrouters:"))?;
        apply(&bed.lab, &before)
    }),
    ("guests that come, move and go", |bed| {
        // The first of their switches on these hosts, and the last.
        let [here, there] = [1, 2].map(|host: usize| bed.hosts[host].vm(&spec(&bed.name("guest"), 1, 7)));
        let (here, there) = (here?, there?);
        for (guest, port) in [(&here, "w7"), (&there, "w7"), (&here, "b8"), (&there, "none")] {
            guest.set_iface_id(port)?;
            pause(200);
        }
        here.unplug()?;
        there.unplug()
    }),
];

const HOSTS: &[Operation] = &[
    ("agents with other options", |bed| {
        for index in 0..3 {
            let more =
                [&["--sflow", "127.0.0.1:6343"][..], &["--probe", "203.0.113.1"], &["--ipfix", "127.0.0.1:4739"]];
            bed.restart(index, more[index])?;
        }
        (0..3).try_for_each(|index| bed.restart(index, &[]))?;
        bed.watched()
    }),
    ("the store away", |bed| {
        bed.store.process().term()?;
        pause(300);
        bed.store.start()?;
        bed.lab.wait_until("the store", PATIENCE, || bed.tp("lsp add web x1 10.1.0.101"))?;
        bed.tp("-y lsp del web x1")
    }),
    ("a chassis that comes and goes", |bed| {
        let name = bed.name("hvx");
        let host = bed.lab.host(&name)?;
        let agent = host.agent(&AgentSpec::new())?;
        agent.wait_settled(PATIENCE)?;
        let guest = host.vm(&spec("w7", 1, 7))?;
        guest.wait_ping("10.1.0.1", PATIENCE)?;
        guest.unplug()?;
        agent.term()?;
        host.vswitchd()?.term()?;
        bed.tp(&format!("-y ch del {name}"))
    }),
];

const EDGES: &[Operation] = &[
    ("a third edge that comes and goes", |bed| {
        bed.edge("add", "hv1", 6)?;
        bed.settled()?;
        bed.tp("-y edge remove --vip 203.0.113.6/24")?;
        bed.settled()
    }),
    ("an edge that goes and comes", |bed| {
        bed.tp("-y edge remove --vip 203.0.113.5/24")?;
        bed.settled()?;
        bed.edge("add", "hv3", 5)?;
        bed.watched()
    }),
    ("an edge that gets another address", |bed| {
        for (old, new, chassis) in [(4, 8, "hv2"), (8, 4, "hv2")] {
            bed.tp(&format!("-y edge remove --vip 203.0.113.{old}/24"))?;
            bed.settled()?;
            bed.edge("add", chassis, new)?;
            bed.watched()?;
        }
        Ok(())
    }),
];

#[test]
fn what_does_not_concern_them_costs_no_packet() -> Result<()> {
    let bed = Bed::new()?;
    // Two hosts that need not watch each other any more take their ports for it away. Of what comes in at that instant Open vSwitch may lose a packet: one in 8 runs on a busy machine,
    // with the flow still there. So of edges only what goes by them counts here, and what has nothing to do with hosts.
    let of_edges = |what: &str| what.contains("edge") || what.contains("floating");
    for (operations, counts) in [(NETWORKS, (|_: &str| true) as fn(&str) -> bool), (HOSTS, |_| true), (EDGES, of_edges)]
    {
        let wrong = trials(|| bed.during(operations, counts))?;
        if !wrong.is_empty() {
            bed.lab.fail();
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    Ok(())
}
