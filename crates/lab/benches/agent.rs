//! The whole path on real Open vSwitch: what an agent needs on a host that sees 20,000 ports, and how long after the store's event
//! the flow is in the switch. `cargo bench -p tuplenet-lab --bench agent`, as root, after `cargo build --release` of `tuplenet`.
//!
//! One host of a lab with its own ovsdb-server and ovs-vswitchd (userspace datapath), the embedded store as a process of its own,
//! and the agent: all release builds. `docs/benchmarks.md` says what each number means.

#![allow(missing_docs)]

#[path = "agent/network.rs"]
mod network;
#[path = "agent/process.rs"]
mod process;
#[path = "agent/report.rs"]
mod report;
#[path = "agent/watch.rs"]
mod watch;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use network::{CHASSIS, LOCAL, Object, PER_ROUTER, PORTS, ROUTERS, SWITCHES};
use process::{Metrics, cpu, memory};
use tokio::time::sleep;
use tuplenet_lab::{Agent, AgentSpec, Host, Lab, Store, program};
use tuplenet_openflow::connection::Target;
use tuplenet_store::{Client, Config, Op, Txn};
use watch::Watch;

/// The store's prefix, as agents have it by default.
const ROOT: &str = "/tuplenet/v1/";
/// Longest wait for an agent to settle.
const PATIENCE: Duration = Duration::from_secs(60);
/// A series of changes ends after this time, however slow the machine is.
const SERIES: Duration = Duration::from_secs(25);
/// Between two changes: the agent has heard from the switch and waits, as it does on a host where little happens.
const PAUSE: Duration = Duration::from_millis(2);
/// The mark of event to installed, 99th percentile.
const INSTALLED: Duration = Duration::from_millis(10);
/// Ports of a burst.
const BURST: u32 = 1_000;

struct Bench<'a> {
    host: &'a Host,
    store: &'a Store,
    client: Client,
    agent: Agent,
}

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("this makes a lab and takes minutes: run it by `cargo bench`");
        return Ok(());
    }
    ensure!(!cfg!(debug_assertions), "a debug build says nothing about speed: run this by `cargo bench`");
    let start = Instant::now();
    println!(
        "One agent, a real {} with the userspace datapath, and the embedded store.\n\
         {} ports on {SWITCHES} switches, {CHASSIS} chassis, {ROUTERS} routers of {PER_ROUTER} switches; {LOCAL} ports are local.\n\
         command: cargo bench -p tuplenet-lab --bench agent; program: {}\n\
         machine: {} cores, load {}",
        tuplenet_lab::command::run(&["ovs-vswitchd", "--version"])?.lines().next().unwrap_or_default(),
        SWITCHES * PORTS,
        program("tuplenet")?.display(),
        std::thread::available_parallelism()?,
        load()
    );
    let lab = Lab::new("bench")?;
    let host = lab.host("hv1")?;
    let store = lab.store()?;
    // On a thread that is in the namespace where the store listens.
    let run = lab.management().inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(&host, &store))
    });
    run.inspect_err(|_| lab.fail())?;
    drop(lab);
    println!("\ntook {:.0} s; load at the end {}", start.elapsed().as_secs_f64(), load());
    Ok(())
}

/// Load of the machine over the last minute: what is much above 1 here was not ours.
fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

async fn measure(host: &Host, store: &Store) -> Result<()> {
    let client = Client::connect(Config::new(&store.endpoint().to_string())?).await?;
    let begun = Instant::now();
    let islands = network::islands();
    network::write(&client, ROOT, &islands).await?;
    println!("writing {} objects took {:.1} s", islands.len(), begun.elapsed().as_secs_f64());
    plug(host)?;
    // The first start registers the host and binds its ports, which belongs to no measurement.
    let agent = host.agent(&AgentSpec::new())?;
    settle(&agent, 0).await?;
    let bench = Bench { host, store, client, agent };

    println!("\n== 200 of 20,000 ports reachable");
    bench.start(true, 30.0).await?;
    bench.changes((0..300).map(|i| (i % PER_ROUTER, 100 + i / PER_ROUTER)), None).await?;
    bench.start(false, 30.0).await?;

    network::write(&bench.client, ROOT, &network::backbone()).await?;
    println!("\n== all of 20,000 ports reachable");
    bench.start(true, 80.0).await?;
    bench.changes((0..1000).map(|i| (i % SWITCHES, 200 + i / SWITCHES)), Some(INSTALLED)).await?;
    bench.burst().await?;
    bench.host_facts()?;
    bench.start(false, 80.0).await?;
    // Time to look at the processes with other tools.
    if let Some(seconds) = std::env::var("BENCH_HOLD").ok().and_then(|seconds| seconds.parse().ok()) {
        println!("BENCH_HOLD: {} has the host for {seconds} s", host.directory().display());
        sleep(Duration::from_secs(seconds)).await;
    }
    Ok(())
}

/// Makes the bridge and the local ports.
fn plug(host: &Host) -> Result<()> {
    host.ensure_br_int()?;
    let mut command = Vec::new();
    for (index, port) in network::local_ports().iter().enumerate() {
        let id = format!("external_ids:iface-id={port}");
        let words = ["--", "add-port", "br-int", &format!("vif{index}"), "--", "set", "Interface"].map(str::to_owned);
        command.extend(words);
        command.extend([format!("vif{index}"), "type=internal".to_owned(), id]);
    }
    host.vsctl(&command).map(drop)
}

/// Waits until an agent knows what the store had at `revision` and has nothing left to do: how long until it knew the network, and until the switch had all of it.
async fn settle(agent: &Agent, revision: i64) -> Result<(Duration, Duration)> {
    let begun = Instant::now();
    let mut known = None;
    loop {
        if let Ok(page) = Metrics::of(agent) {
            if known.is_none() && page.get("synced")? == 1.0 {
                known = Some(begun.elapsed());
            }
            let done = page.get("store_revision")? >= revision as f64
                && page.get("switch_settled")? == 1.0
                && page.get("claims_pending")? == 0.0
                && page.get("flows_queued")? == 0.0
                && page.get("flows_installed")? == page.get("flows_desired")?;
            if let Some(known) = known.filter(|_| done) {
                return Ok((known, begun.elapsed()));
            }
        }
        if let Some(status) = agent.process().ended() {
            anyhow::bail!("the agent ended ({status}): {}", agent.process().log_tail());
        }
        ensure!(begun.elapsed() < PATIENCE, "the agent is not settled after {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

impl Bench<'_> {
    /// Starts the agent anew, on an empty switch (`cold`) or on one that holds the flows already.
    async fn start(&self, cold: bool, mark: f64) -> Result<()> {
        self.agent.term()?;
        if cold {
            self.host.ofctl(&["del-flows", "br-int"])?;
            self.host.ofctl(&["del-groups", "br-int"])?;
            self.host.ofctl(&["del-tlv-map", "br-int"])?;
        }
        self.agent.start()?;
        let (known, settled) = settle(&self.agent, 0).await?;
        let page = Metrics::of(&self.agent)?;
        let spent = cpu(&self.agent.process())?;
        let [flows, mods, bundles] =
            [page.get("flows_desired")?, page.get("flow_mods_total")?, page.get("bundles_total")?];
        ensure!(cold || mods == 0.0, "a start on a switch that held all flows sent {mods} of them");
        let what = if cold { "an empty switch" } else { "a switch that holds the flows" };
        println!("\nstart on {what}: {flows} flows wanted, {mods} flow mods in {bundles} bundles");
        report::value("  process start to network known and computed", known.as_secs_f64(), "s", None);
        report::value("  process start to switch as it should be", settled.as_secs_f64(), "s", None);
        report::value("  CPU time of the agent", spent.as_secs_f64(), "s", None);
        self.say_memory(Some(mark))
    }

    fn say_memory(&self, mark: Option<f64>) -> Result<()> {
        let (now, most) = memory(&self.agent.process())?;
        report::value("  memory of the agent, resident", now, "MB", mark);
        report::value("  its highest until now", most, "MB", None);
        Ok(())
    }

    /// Adds ports, then removes them, one by one.
    async fn changes(&self, ports: impl Iterator<Item = (u32, u32)>, mark: Option<Duration>) -> Result<()> {
        let ports: Vec<(u32, u32)> = ports.collect();
        let mut watch = Watch::start(Target::Unix(self.host.of_socket())).await?;
        // The first one tells how many flows a port has.
        let (first, rest) = ports.split_first().context("no ports to add")?;
        watch.forget();
        let revision = self.put(&network::port(first.0, first.1)).await?;
        settle(&self.agent, revision).await?;
        let flows = watch.added(network::switch_id(first.0), first.1).await?;

        report::times_head("one port at a time");
        let mut done = Vec::new();
        for added in [true, false] {
            let verb = if added { "added" } else { "removed" };
            let list: Vec<(u32, u32)> = if added { rest.to_vec() } else { std::mem::take(&mut done) };
            let (mut answers, mut answer_to_flow, mut write_to_flow) = (Vec::new(), Vec::new(), Vec::new());
            let before = Metrics::of(&self.agent)?;
            let processes = [self.agent.process(), self.host.vswitchd()?, self.store.process()];
            let cpu_before = processes.iter().map(cpu).collect::<Result<Vec<_>>>()?;
            watch.forget();
            let begun = Instant::now();
            let mut revision = 0;
            for (switch, port) in list {
                if begun.elapsed() > SERIES {
                    break;
                }
                let objects = network::port(switch, port);
                let start = Instant::now();
                revision = if added { self.put(&objects).await? } else { self.delete(&objects).await? };
                let answered = Instant::now();
                let seen = watch.port((network::switch_id(switch), port), added, flows).await?;
                answers.push(answered - start);
                // The watch may be served before the writer's answer arrives.
                answer_to_flow.push(seen.saturating_duration_since(answered));
                write_to_flow.push(seen - start);
                done.push((switch, port));
                sleep(PAUSE).await;
            }
            if !added {
                done.clear();
            }
            settle(&self.agent, revision).await?;
            let after = Metrics::of(&self.agent)?;
            let n = answers.len() as f64;
            report::times(&format!("{verb}: write to store's answer"), &mut answers, None);
            report::times(&format!("{verb}: store's answer to flow seen in switch"), &mut answer_to_flow, mark);
            report::times(&format!("{verb}: write to flow seen in switch"), &mut write_to_flow, None);
            let latency = after.latency(&before)?;
            println!(
                "{:<46} {:>6} {:>9} {:>9}   mean {:.2}  (the agent's own histogram)",
                format!("{verb}: event to installed and confirmed"),
                latency.count(),
                format!("<={}", latency.at_most(0.5)),
                format!("<={}", latency.at_most(0.99)),
                latency.mean()
            );
            println!(
                "  per change: {:.2} flow mods, {:.2} bundles of {:.2}; {:.0} rows, {:.0} operators of the rules",
                after.since(&before, "flow_mods_total")? / n,
                after.since(&before, "bundles_total")? / n,
                after.since(&before, "flow_mods_total")? / after.since(&before, "bundles_total")?.max(1.0),
                after.since(&before, "rule_rows_total")? / n,
                after.since(&before, "rule_operators_total")? / n,
            );
            let spent =
                processes.iter().zip(cpu_before).map(|(process, before)| Ok(cpu(process)?.saturating_sub(before)));
            let spent = spent.collect::<Result<Vec<_>>>()?;
            let us: Vec<String> = spent.iter().map(|cpu| format!("{:.0}", cpu.as_secs_f64() * 1e6 / n)).collect();
            println!("  CPU per change, us (agent, ovs-vswitchd, store): {}", us.join(", "));
        }
        let revision = self.delete(&network::port(first.0, first.1)).await?;
        settle(&self.agent, revision).await?;
        self.say_memory(None)
    }

    /// Many ports at once: what waits for the switch is coalesced.
    async fn burst(&self) -> Result<()> {
        let mut watch = Watch::start(Target::Unix(self.host.of_socket())).await?;
        let objects: Vec<Object> = (0..BURST).flat_map(|i| network::port(i % SWITCHES, 220 + i / SWITCHES)).collect();
        let flows_before = watch.count().await?;
        let before = Metrics::of(&self.agent)?;
        watch.forget();
        let begun = Instant::now();
        let revision = network::write(&self.client, ROOT, &objects).await?;
        let written = begun.elapsed();
        settle(&self.agent, revision).await?;
        let seen = begun.elapsed();
        let (after, flows) = (Metrics::of(&self.agent)?, watch.count().await?);
        println!(
            "\n{BURST} ports in transactions of 64: written in {:.3} s, {} flows installed {:.3} s after the first write; \
             {} bundles, {} flow mods",
            written.as_secs_f64(),
            flows - flows_before,
            seen.as_secs_f64(),
            after.since(&before, "bundles_total")?,
            after.since(&before, "flow_mods_total")?
        );
        Ok(())
    }

    fn host_facts(&self) -> Result<()> {
        println!("\n== the host at the end");
        let flows = self.host.ofctl(&["dump-aggregate", "br-int"])?;
        let flows = flows.split("flow_count=").nth(1).and_then(|rest| rest.trim().parse().ok()).unwrap_or(f64::NAN);
        report::value("flows in the switch", flows, "", None);
        for process in [self.agent.process(), self.host.vswitchd()?, self.host.ovsdb()?, self.store.process()] {
            let (now, most) = memory(&process)?;
            println!("{:<46} {now:>16.2} MB      highest {most:.2} MB", format!("memory of {}", process.name()));
        }
        Ok(())
    }

    async fn put(&self, objects: &[Object]) -> Result<i64> {
        network::write(&self.client, ROOT, objects).await
    }

    async fn delete(&self, objects: &[Object]) -> Result<i64> {
        let deletes = objects.iter().map(|(path, _)| Op::delete(&format!("{ROOT}{path}")));
        Ok(self.client.txn(Txn::new().then_all(deletes)).await?.revision)
    }
}
