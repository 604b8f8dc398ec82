//! `trace --all-pairs`: every port of some switches to every other one, in each family that both have. Prints what fails.

mod change;

use super::{
    Args, PATIENCE, format, guarded, living_host, outcome,
    packet::{self, Way},
    session::{Session, Shot},
    show::Shown,
    simulate::Simulation,
    simulation,
    world::World,
};
use crate::{
    cli::Format,
    commands::{Context, chassis::alive},
    print::{self, printable},
};
use anyhow::{Result, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::{cell::RefCell, future::poll_fn, net::IpAddr, pin::Pin, process::ExitCode, task::Poll, time::Duration};
use tokio::time::{Instant, sleep_until};
use tuplenet_model::{entity::SwitchPortRef, key::Key};
use tuplenet_sim::path::{Outcome, Path};

/// How many packets are under way at once: together they stay far below what switches report (`tuplenet_rules::trace::METER`).
const AT_ONCE: usize = 32;
/// How many ports a note names.
const NAMED: usize = 8;
/// How long after the one before a packet is sent: an agent reads 256 traces a second at most.
const PACE: Duration = Duration::from_millis(5);
/// How often a packet that is lost is sent. Open vSwitch loses the first one to a host whose MAC it does not know yet.
const TRIES: usize = 2;
/// The most packets of one check: those of some 300 ports, 220 with both families. Real ones take eight minutes, and so many failures nobody reads.
const MOST: usize = 100_000;

/// From a port to an address of another.
struct Pair {
    from: SwitchPortRef,
    to: SwitchPortRef,
    ip: IpAddr,
    /// By which router, if there are several; why there is no way at all.
    way: Result<Way, String>,
}

impl Pair {
    fn frame(&self, world: &World, args: &Args) -> Result<Vec<u8>> {
        match &self.way {
            Ok(way) => Ok(packet::probe_by(&world.network, &self.from, self.ip, way, args)?.to_bytes()?),
            Err(problem) => bail!("{problem}"),
        }
    }

    /// The router that it goes by, if there are several.
    fn by(&self) -> Option<&str> {
        Some(self.way.as_ref().ok()?.by.as_ref()?.as_str())
    }

    /// For people, with what became of it.
    fn line(&self, verdict: &str) -> String {
        let Pair { from, to, ip, .. } = self;
        let by = self.by().map(|by| format!(" by {by}")).unwrap_or_default();
        printable(&format!("{} -> {} ({ip}{by}): {verdict}", name(from), name(to)))
    }

    /// For programs.
    fn data(&self, verdict: &str) -> Value {
        json!({"from": name(&self.from), "to": name(&self.to), "ip": self.ip, "by": self.by(), "verdict": verdict})
    }
}

fn name(at: &SwitchPortRef) -> String {
    format!("{}/{}", at.ls, at.lsp)
}

/// Why a packet did not arrive; `None`: it did.
fn problem(result: Result<Result<(), String>>) -> Option<String> {
    match result {
        Ok(Ok(())) => None,
        Ok(Err(verdict)) => Some(verdict),
        Err(error) => Some(format!("{error:#}")),
    }
}

fn is_data(format: Format) -> bool {
    matches!(format, Format::Json | Format::Yaml)
}

/// Checks them all.
pub async fn check(context: &Context, world: World, args: &Args) -> Result<ExitCode> {
    if let Some(file) = &args.with {
        return change::check(context, &world, &world.with(file)?, args);
    }
    for ls in &args.all_pairs {
        let key = Key::Ls(ls.clone());
        world.network.get(&key).ok_or_else(|| world.missing(&key))?;
    }
    let mut simulation = if args.simulates() { Some(simulation(&world, args, &args.at)?) } else { None };
    let hosted = |at: &SwitchPortRef| simulation.as_ref().map_or(world.host(at).is_some(), |s| s.has(&world, at));
    let (ports, unbound) = ports(&world, args, hosted);
    note("left out, since no chassis has them", &unbound);
    let pairs = pairs(&world, &ports)?;
    if pairs.is_empty() {
        bail!("{NO_PAIR}");
    }
    let report = Report::new(pairs.len(), format(context));
    match &mut simulation {
        Some(simulation) => {
            for pair in &pairs {
                report.take(pair, walk(simulation, &world, args, pair));
            }
        }
        None => {
            let session = Session::begin(context).await?;
            let done = guarded(&session, real(context, &session, &world, args, &pairs, &report)).await;
            session.end().await;
            done?;
        }
    }
    report.finish()
}

const NO_PAIR: &str = "there is no pair of ports to check: see \"tpctl lsp show LS\"";

/// Says which ports are not checked, and why.
fn note(why: &str, left_out: &[SwitchPortRef]) {
    if left_out.is_empty() {
        return;
    }
    let names: Vec<String> = left_out.iter().take(NAMED).map(name).collect();
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    print::tell(&format!("note: {why}: {}{more}", names.join(", ")));
}

/// What becomes of a pair's packet, simulated. The error is the reason why none could be made.
fn walk(simulation: &mut Simulation, world: &World, args: &Args, pair: &Pair) -> Result<Result<(), String>> {
    let frame = pair.frame(world, args)?;
    let path = simulation.walk(world, &pair.from, &frame)?;
    Ok(judge(pair, &path, &frame, true))
}

/// The ports of the switches, and those that no chassis has.
fn ports(
    world: &World,
    args: &Args,
    hosted: impl Fn(&SwitchPortRef) -> bool,
) -> (Vec<SwitchPortRef>, Vec<SwitchPortRef>) {
    let mut all: Vec<SwitchPortRef> = Vec::new();
    for ls in &args.all_pairs {
        let guests = world.network.switch_ports(ls).filter(|(_, port)| port.peer.is_none());
        all.extend(guests.map(|(lsp, _)| SwitchPortRef { ls: ls.clone(), lsp: lsp.clone() }));
    }
    all.sort();
    all.dedup();
    all.into_iter().partition(hosted)
}

fn pairs(world: &World, ports: &[SwitchPortRef]) -> Result<Vec<Pair>> {
    let ips = |at: &SwitchPortRef| world.network.switch_port(at).map(|port| port.ips.clone()).unwrap_or_default();
    let mut pairs = Vec::new();
    for from in ports {
        if pairs.len() > MOST {
            bail!("{} ports make more than {MOST} packets: name fewer switches at once", ports.len());
        }
        let own = ips(from);
        for to in ports.iter().filter(|to| *to != from) {
            let theirs = ips(to);
            for v4 in [true, false] {
                let of_family = |ip: &&IpAddr| ip.is_ipv4() == v4;
                if let (Some(src), Some(ip)) = (own.iter().find(of_family), theirs.iter().find(of_family)) {
                    let pair = |way| Pair { from: from.clone(), to: to.clone(), ip: *ip, way };
                    // Whichever router a machine takes, it should arrive.
                    match packet::ways(&world.network, from, *src, *ip) {
                        Ok(ways) if ways.is_empty() => {
                            pairs.push(pair(Err(format!(
                                "{ip} is no address in switch {}, and no router there has a network with {src}",
                                from.ls
                            ))));
                        }
                        Ok(ways) => pairs.extend(ways.into_iter().map(|way| pair(Ok(way)))),
                        Err(error) => pairs.push(pair(Err(format!("{error:#}")))),
                    }
                }
            }
        }
    }
    Ok(pairs)
}

/// Sends a packet for each pair, a bounded number at once.
async fn real(
    context: &Context,
    session: &Session<'_>,
    world: &World,
    args: &Args,
    pairs: &[Pair],
    report: &Report,
) -> Result<()> {
    let network = RefCell::new(world.simulated());
    let patience = context.timeout.unwrap_or(PATIENCE);
    let begun = Instant::now();
    let one = async |index: u32, pair: &Pair| -> Result<Result<(), String>> {
        sleep_until(begun + PACE * index).await;
        let frame = pair.frame(world, args)?;
        let chassis = living_host(world, &pair.from)?;
        let shot = Shot { from: &pair.from, chassis: &chassis, frame: &frame };
        let mut joined = session.shoot(world, &shot, patience).await?;
        for _ in 1..TRIES {
            if joined.missing.is_empty() {
                break;
            }
            joined = session.shoot(world, &shot, patience).await?;
        }
        let living = if joined.missing.is_empty() { None } else { Some(alive(context).await?.into_keys().collect()) };
        let living = living.as_ref().unwrap_or(&world.alive);
        let path = outcome::path(world, living, &mut network.borrow_mut(), &shot, &joined, patience);
        Ok(judge(pair, &path, &frame, false))
    };
    let mut waiting = (0..).zip(pairs);
    let mut running: Vec<(&Pair, Pin<Box<dyn Future<Output = _> + '_>>)> = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((index, pair)) = waiting.next()
        {
            running.push((pair, Box::pin(one(index, pair))));
        }
        if running.is_empty() {
            return Ok(());
        }
        let (index, result) = poll_fn(|cx| {
            let ready = running.iter_mut().enumerate().find_map(|(i, (_, future))| match future.as_mut().poll(cx) {
                Poll::Ready(result) => Some((i, result)),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let (pair, _) = running.swap_remove(index);
        report.take(pair, result);
    }
}

/// Whether the packet reached whom it was for, and nobody else; otherwise what became of it.
fn judge(pair: &Pair, path: &Path, frame: &[u8], simulated: bool) -> Result<(), String> {
    let arrived = |outcome: &Outcome| match outcome {
        Outcome::Delivered { ls, lsp, .. } => {
            ls.as_str() == pair.to.ls.as_str() && lsp.as_str() == pair.to.lsp.as_str()
        }
        _ => false,
    };
    if let [only] = &path.outcomes[..]
        && arrived(only)
    {
        return Ok(());
    }
    Err(Shown { path, from: (&pair.from.ls, &pair.from.lsp), frame, simulated, choices: Vec::new(), took: None }
        .verdict())
}

/// What is printed: failures as they are found (as data: all of them at the end), and a summary.
struct Report {
    format: Format,
    bar: ProgressBar,
    pairs: usize,
    failed: RefCell<Vec<Value>>,
}

impl Report {
    fn new(pairs: usize, format: Format) -> Self {
        Self { format, bar: print::progress(pairs), pairs, failed: RefCell::default() }
    }

    fn take(&self, pair: &Pair, result: Result<Result<(), String>>) {
        if let Some(problem) = problem(result) {
            if !is_data(self.format) {
                self.bar.suspend(|| print::out(&(pair.line(&problem) + "\n"))).ok();
            }
            self.failed.borrow_mut().push(pair.data(&problem));
            self.bar.set_message(format!("{} failed", self.failed.borrow().len()));
        }
        self.bar.inc(1);
    }

    fn finish(self) -> Result<ExitCode> {
        self.bar.finish_and_clear();
        let Self { format, pairs, failed, .. } = &self;
        let failed = failed.take();
        let arrived = pairs - failed.len();
        if is_data(self.format) {
            print::data(&json!({"pairs": pairs, "arrived": arrived, "failed": failed}), *format)?;
        } else {
            print::out(&format!("{arrived} of {pairs} packets arrived\n"))?;
        }
        match failed.len() {
            0 => Ok(ExitCode::SUCCESS),
            number => {
                print::tell(&format!("{} did not arrive", print::count(number, "packet", "packets")));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
