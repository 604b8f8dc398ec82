//! What it costs to derive the flows of a large network, first and for each change, here and in differential-dataflow.
//!
//! `cargo bench -p tuplenet-datalog --bench flows`
//!
//! Both engines run the same rules on the same facts and the same changes, and the changes of flows that they give are
//! compared one by one. Times are those of one transaction from its first fact to the drained result: wall time, and CPU
//! time of the thread, which does not contain the time that other processes of the machine took. Options after
//! `--`: `--stores` lists the rows and bytes of every store; `--profile` runs nothing but cold starts of ours.

#![allow(missing_docs)]

#[path = "flows/facts.rs"]
mod facts;
#[path = "flows/ours.rs"]
mod ours;
#[path = "flows/peer.rs"]
mod peer;

use std::alloc::System;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use facts::{BUSY, CHASSIS, Fact, Flow, GROUPS, LARGE, LOCALS, PORTS, SWITCHES};
use nix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes on the heap now.
fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// An engine that derives flows.
trait Engine {
    fn change(&mut self, fact: Fact, weight: i64);
    fn step(&mut self) -> Vec<(Flow, i64)>;
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The value below which that share of the times lies, in microseconds.
fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * share).round() as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// What one engine did.
struct Run {
    rows: Vec<(&'static str, String)>,
    /// A hash of the changes of flows of every transaction, in order.
    results: Vec<u64>,
    flows: usize,
    bound: usize,
    member: usize,
}

fn fingerprint(mut changes: Vec<(Flow, i64)>) -> u64 {
    changes.sort_unstable();
    let mut hasher = std::hash::DefaultHasher::new();
    changes.hash(&mut hasher);
    hasher.finish()
}

/// Times each transaction of the list; returns how many flows the last one changed.
fn timed<E: Engine>(engine: &mut E, run: &mut Run, name: &'static str, transactions: &[Vec<(Fact, i64)>]) -> usize {
    let mut walls = Vec::with_capacity(transactions.len());
    let mut cpus = Vec::with_capacity(transactions.len());
    let mut last = 0;
    for transaction in transactions {
        let (cpu_start, start) = (cpu(), Instant::now());
        for (fact, weight) in transaction {
            engine.change(*fact, *weight);
        }
        let changes = engine.step();
        walls.push(start.elapsed());
        cpus.push(cpu() - cpu_start);
        last = changes.len();
        run.results.push(fingerprint(changes));
    }
    let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut walls, share));
    let [cpu_p99, cpu_max] = [0.99, 1.0].map(|share| percentile(&mut cpus, share));
    run.rows.push((name, format!("{p50:.1} / {p99:.1} | {cpu_p99:.1} / {cpu_max:.0}")));
    last
}

/// The first transaction of a new engine, all facts, with its wall and CPU time.
fn cold<E: Engine>(network: &[Fact], new: &impl Fn() -> E) -> (E, Vec<(Flow, i64)>, [Duration; 2]) {
    let (cpu_start, start) = (cpu(), Instant::now());
    let mut engine = new();
    for fact in network {
        engine.change(*fact, 1);
    }
    let flows = engine.step();
    (engine, flows, [start.elapsed(), cpu() - cpu_start])
}

fn measure<E: Engine>(network: &[Fact], new: impl Fn() -> E, after: impl FnOnce(&E)) -> Run {
    const CHANGES: u32 = 4_000;
    const GROWTH: u32 = 100_000;
    const COLD_STARTS: usize = 6;
    let mut run = Run { rows: Vec::new(), results: Vec::new(), flows: 0, bound: 0, member: 0 };
    let mut colds: Vec<[Duration; 2]> = (0..COLD_STARTS).map(|_| cold(network, &new).2).collect();
    let before = heap();
    let (mut engine, flows, last) = cold(network, &new);
    colds.push(last);
    let [wall, cpu] = [0, 1].map(|clock| {
        let mut times: Vec<Duration> = colds.iter().map(|times| times[clock]).collect();
        format!("{:.0} / {:.0}", percentile(&mut times, 0.0) / 1e3, percentile(&mut times, 0.5) / 1e3)
    });
    run.rows.push(("cold start, ms: best / median", format!("{wall} | {cpu}")));
    run.flows = flows.len();
    run.results.push(fingerprint(flows));
    // differential-dataflow merges its batches in the background of the steps that follow.
    for _ in 0..100 {
        engine.step();
    }
    let cold = heap().saturating_sub(before + run.results.capacity() * 8);
    run.rows.push(("heap after it, MB", format!("{:.1}", cold as f64 / 1e6)));

    let port = |n: u32| {
        let id = PORTS + n;
        [Fact::Port(facts::port(id)), Fact::Binding(id, (id * 7) % CHASSIS), Fact::Member(n % GROUPS, id)]
    };
    let all = |weight: i64| move |n: u32| port(n).map(|fact| (fact, weight)).to_vec();
    timed(&mut engine, &mut run, "add a port", &(0..CHANGES).map(all(1)).collect::<Vec<_>>());
    timed(&mut engine, &mut run, "remove a port", &(0..CHANGES).map(all(-1)).collect::<Vec<_>>());
    // A port joins a group, then leaves it.
    let member = |group: fn(u32) -> u32, base: u32| -> Vec<Vec<(Fact, i64)>> {
        let change =
            |n: u32| vec![(Fact::Member(group(n / 2), base + n / 2), if n.is_multiple_of(2) { 1 } else { -1 })];
        (0..CHANGES).map(change).collect()
    };
    timed(&mut engine, &mut run, "group member in or out", &member(|n| (n + 50) % GROUPS, 3_000));
    let bind = (0..400).map(|n: u32| {
        let weight = if n.is_multiple_of(2) { 1 } else { -1 };
        vec![(Fact::Local(LOCALS + n / 2 % (BUSY - LOCALS), 500), weight)]
    });
    run.bound = timed(&mut engine, &mut run, "bind or unbind a local port", &bind.collect::<Vec<_>>());

    for fact in facts::large_group() {
        engine.change(fact, 1);
    }
    run.results.push(fingerprint(engine.step()));
    run.member = timed(&mut engine, &mut run, "member of 10,000, 1,000 rules", &member(|_| LARGE, 11_000));
    // The tables grow to five times their size: no step may pay for it.
    let growth: Vec<_> = (CHANGES..CHANGES + GROWTH).map(all(1)).collect();
    timed(&mut engine, &mut run, "100,000 more ports, one by one", &growth);
    after(&engine);
    run
}

fn main() {
    let network = facts::network();
    let stores = std::env::args().any(|arg| arg == "--stores");
    let print = |engine: &ours::Ours| {
        if stores {
            engine.print_stores();
        }
    };
    println!("Deriving the flows of a network: wall p50 / p99 | CPU p99 / max in microseconds, if not said otherwise.");
    println!(
        "{} facts: {CHASSIS} chassis, {PORTS} ports, {SWITCHES} switches, 100 routers, 2,000 routes, 2,000 NAT rules,\n\
         {GROUPS} groups x 4 rules, {LOCALS} local ports; all reachable. One thread of {} CPUs.\n\
         Command: cargo bench -p tuplenet-datalog --bench flows",
        network.len(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    if std::env::args().any(|arg| arg == "--profile") {
        // For a profiler: cold starts of ours, nothing else.
        let total: Duration = (0..40).map(|_| cold(&network, &|| ours::Ours::new(false)).2[1]).sum();
        println!("cold start, mean of 40: {:.1} ms of CPU", total.as_secs_f64() * 1e3 / 40.0);
        return;
    }
    for keep in [false, true] {
        let ours = measure(&network, || ours::Ours::new(keep), print);
        let peer = measure(&network, || peer::Peer::new(keep), |_| {});
        assert_eq!(ours.flows, peer.flows, "the engines disagree on the number of flows");
        let differs = ours.results.iter().zip(&peer.results).position(|(ours, peer)| ours != peer);
        assert_eq!(differs, None, "the engines disagree on the flows that a transaction changes");
        let what = if keep { "the set of flows is kept, with its counts" } else { "only changes of flows are given" };
        println!(
            "\n{} flows; {what}; binding a port changes {} flows, a group member {}; \
             {} transactions gave equal results",
            ours.flows,
            ours.bound,
            ours.member,
            ours.results.len()
        );
        println!("{:<32}{:>28}{:>34}", "", "tuplenet-datalog", "differential-dataflow 0.25.1");
        for ((name, ours), (_, peer)) in ours.rows.iter().zip(&peer.rows) {
            println!("{name:<32}{ours:>28}{peer:>34}");
        }
    }
}
