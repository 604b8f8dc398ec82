//! `trace`: the path of a packet, a real one through the hosts or a simulated one through computed tables.
//!
//! ```text
//! args -> world (the network) -> packet -+-> session (store, hosts) -> join -> outcome -+-> show
//!                                        +-> simulate --------------------------------- +
//! ```

mod args;
mod join;
mod outcome;
mod packet;
mod pairs;
mod session;
mod show;
mod simulate;
mod world;

use super::{Context, chassis::alive};
use crate::{
    cli::Format,
    print::{self, printable},
};
use anyhow::{Result, bail};
pub use args::Args;
use args::Place;
use session::{Session, Shot};
use show::Shown;
use simulate::Simulation;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tuplenet_model::{entity::SwitchPortRef, name::Name};
use tuplenet_sim::path::Path;
use world::World;

/// How long hosts are waited for if nothing is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// Does it.
pub async fn trace(context: &Context, args: Args) -> Result<ExitCode> {
    args.check();
    let world = match &args.file {
        Some(file) => World::of_document(file, &args.at)?,
        None => World::read(context).await?,
    };
    if !args.all_pairs.is_empty() {
        return pairs::check(context, world, &args).await;
    }
    if args.simulates() { simulated(context, &world, &args) } else { real(context, &world, &args).await }
}

/// Through the hosts.
async fn real(context: &Context, world: &World, args: &Args) -> Result<ExitCode> {
    let from = port(world, args)?;
    world.guest(&from)?;
    let frame = packet::frame(&world.network, &from, args)?;
    let chassis = living_host(world, &from)?;
    let patience = context.timeout.unwrap_or(PATIENCE);
    let session = Session::begin(context).await?;
    let shot = Shot { from: &from, chassis: &chassis, frame: &frame };
    let joined = guarded(&session, session.shoot(world, &shot, patience)).await;
    session.end().await;
    let joined = joined?;
    // Who was silent may have died since we looked.
    let living = if joined.missing.is_empty() { None } else { Some(alive(context).await?.into_keys().collect()) };
    let living = living.as_ref().unwrap_or(&world.alive);
    let path = outcome::path(world, living, &mut world.simulated(), &shot, &joined, patience);
    let shown =
        Shown { path: &path, from: (&from.ls, &from.lsp), frame: &frame, simulated: false, took: joined.took() };
    print_path(context, &shown)
}

/// Through the tables that the hosts should have.
fn simulated(context: &Context, world: &World, args: &Args) -> Result<ExitCode> {
    let Some(file) = args.with.as_deref() else {
        let (from, frame, path) = walk(world, args, &args.at)?;
        return print_path(context, &as_simulated(&from, &frame, &path));
    };
    let changed = world.with(file)?;
    args.check_places(world, &changed)?;
    // What the change makes has no path before it, what it deletes none after.
    let exists = |world: &World| args.lsp.as_ref().is_some_and(|name| world.resolve(name).is_ok());
    let (was, is) = (exists(world), exists(&changed));
    let before = if was || !is { Some(walk(world, args, &world.places(&args.at))?) } else { None };
    let after = if is { Some(walk(&changed, args, &changed.places(&args.at))?) } else { None };
    fn shown(walked: &Option<(SwitchPortRef, Vec<u8>, Path)>) -> Option<Shown<'_>> {
        walked.as_ref().map(|(from, frame, path)| as_simulated(from, frame, path))
    }
    let (before, after) = (shown(&before), shown(&after));
    simulate::print_change(before.as_ref(), after.as_ref(), format(context))?;
    Ok(if after.is_some_and(|after| after.is_success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_simulated<'a>(from: &'a SwitchPortRef, frame: &'a [u8], path: &'a Path) -> Shown<'a> {
    Shown { path, from: (&from.ls, &from.lsp), frame, simulated: true, took: None }
}

/// The port, the frame that it sends, and its path.
fn walk(world: &World, args: &Args, places: &[Place]) -> Result<(SwitchPortRef, Vec<u8>, Path)> {
    let from = port(world, args)?;
    world.guest(&from)?;
    let frame = packet::frame(&world.network, &from, args)?;
    let path = simulation(world, args, places)?.walk(world, &from, &frame)?;
    Ok((from, frame, path))
}

fn simulation(world: &World, args: &Args, places: &[Place]) -> Result<Simulation> {
    let imaginary = args.file.is_some().then(World::imaginary).transpose()?;
    Simulation::new(world, places, imaginary.as_ref())
}

/// The port that was named.
fn port(world: &World, args: &Args) -> Result<SwitchPortRef> {
    match &args.lsp {
        Some(name) => world.resolve(name),
        None => bail!("say where the packet starts: a port"),
    }
}

/// The chassis that has a port, if its agent can send a packet there.
fn living_host(world: &World, at: &SwitchPortRef) -> Result<Name> {
    let SwitchPortRef { ls, lsp } = at;
    let Some(chassis) = world.host(at) else {
        if let Some(why) = world.why_aside(at) {
            bail!("port {lsp} of switch {ls} is set aside, so that no host takes it: {why}");
        }
        bail!(
            "port {lsp} of switch {ls} is not bound to any chassis: no host has an Interface with external_ids:iface-id={lsp}; start its VM, \
             or add --simulate --at {lsp}=CHASSIS"
        )
    };
    if !world.alive.contains(chassis.as_str()) {
        bail!(
            "the agent on {chassis}, which has port {lsp}, is not alive (it has no heartbeat status/{chassis}/alive): start it, \
             or add --simulate"
        );
    }
    Ok(chassis.clone())
}

/// Does work while the session's lease is kept, until it is done or somebody interrupts.
async fn guarded<T>(session: &Session<'_>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        error = session.keep() => Err(error.into()),
        _ = interrupt.recv() => bail!("interrupted; what the trace wrote is taken away"),
        _ = terminate.recv() => bail!("terminated; what the trace wrote is taken away"),
    }
}

/// As it was said, else lines for programs and a tree for people.
fn format(context: &Context) -> Format {
    let default = if io::stdout().is_terminal() { Format::Table } else { Format::Text };
    context.chosen.unwrap_or(default)
}

/// Prints a path; the exit code tells whether the packet arrived.
fn print_path(context: &Context, shown: &Shown<'_>) -> Result<ExitCode> {
    let format = format(context);
    match format {
        Format::Text => print::out(&shown.lines())?,
        Format::Table => print::out(&shown.tree(print::colours()))?,
        Format::Json | Format::Yaml => print::data(&shown.data(), format)?,
    }
    let success = shown.is_success();
    // Where standard output does not begin with the verdict, or nobody may read it.
    if format == Format::Text || (!success && format != Format::Table) {
        eprintln!("tpctl: {}", printable(&shown.verdict()));
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
