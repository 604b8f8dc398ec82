//! What a process has used, read from the kernel.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use tuplenet_lab::{Agent, Process};

/// The memory that a process holds, in MB (10^6 bytes): now, and at most until now (`VmRSS` and `VmHWM` of `proc(5)`).
pub fn memory(process: &Process) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok());
        kilobytes.map(|kb| kb * 1024.0 / 1e6).with_context(|| format!("{} has no {name}", process.name()))
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// The CPU time of a process until now, user and system (`/proc/PID/stat`, fields 14 and 15): what other processes of the machine
/// do makes it grow less than it makes the time on the clock.
pub fn cpu(process: &Process) -> Result<Duration> {
    // Linux counts it for programs in hundredths of a second, on every architecture that we run on (USER_HZ).
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid()))?;
    // The second field is the program's name in parentheses, which may contain anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    Ok(TICK * ticks.sum::<u32>())
}

/// One page of an agent's metrics.
pub struct Metrics(String);

impl Metrics {
    /// As they are now.
    pub fn of(agent: &Agent) -> Result<Metrics> {
        agent.metrics().map(Metrics)
    }

    /// One sample.
    pub fn get(&self, sample: &str) -> Result<f64> {
        let value = self.0.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("tuplenet_")?.rsplit_once(' ')?;
            (name == sample).then(|| value.parse().ok())?
        });
        value.with_context(|| format!("the agent has no metric tuplenet_{sample}"))
    }

    /// Growth of a counter since an earlier page.
    pub fn since(&self, earlier: &Metrics, sample: &str) -> Result<f64> {
        Ok(self.get(sample)? - earlier.get(sample)?)
    }

    /// What the histogram of latencies has got since an earlier page.
    pub fn latency(&self, earlier: &Metrics) -> Result<Latency> {
        const NAME: &str = "install_latency_seconds";
        let mut buckets = Vec::new();
        let prefix = format!("tuplenet_{NAME}_bucket{{le=\"");
        for line in self.0.lines().filter_map(|line| line.strip_prefix(&prefix)) {
            let Some((end, _)) = line.split_once('"') else { continue };
            let count = self.since(earlier, &format!("{NAME}_bucket{{le=\"{end}\"}}"))?;
            buckets.push((end.parse().unwrap_or(f64::INFINITY), count));
        }
        let count = self.since(earlier, &format!("{NAME}_count"))?;
        Ok(Latency { buckets, count, sum: self.since(earlier, &format!("{NAME}_sum"))? })
    }
}

/// A histogram: buckets by their upper ends in seconds, cumulative.
pub struct Latency {
    buckets: Vec<(f64, f64)>,
    count: f64,
    sum: f64,
}

impl Latency {
    /// The upper end of the bucket in which that share of all is reached, in milliseconds.
    pub fn at_most(&self, share: f64) -> f64 {
        let reached = self.buckets.iter().find(|(_, count)| *count >= self.count * share);
        reached.map_or(f64::INFINITY, |(end, _)| end * 1e3)
    }

    /// The mean, in milliseconds.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0) * 1e3
    }

    /// How many were measured.
    pub fn count(&self) -> f64 {
        self.count
    }
}
