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

use super::{Context, bfd::Sessions, chassis::alive, ways};
use crate::{cli::Format, print};
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
use ways::Choice;
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
    if args.simulates() { simulated(context, &world, &args).await } else { real(context, &world, &args).await }
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
    let choices = choices(Some(context), world, &path, &frame).await?;
    let took = joined.took();
    let shown = Shown { path: &path, from: (&from.ls, &from.lsp), frame: &frame, simulated: false, choices, took };
    print_path(context, &shown)
}

/// Through the tables that the hosts should have.
async fn simulated(context: &Context, world: &World, args: &Args) -> Result<ExitCode> {
    // Of the hosts of a document nothing is known.
    let hosts = args.file.is_none().then_some(context);
    let Some(file) = args.with.as_deref() else {
        let (from, frame, path) = walk(world, args, &args.at)?;
        let choices = choices(hosts, world, &path, &frame).await?;
        return print_path(context, &as_simulated(&from, &frame, &path, choices));
    };
    let changed = world.with(file)?;
    args.check_places(world, &changed)?;
    // What the change makes has no path before it, what it deletes none after.
    let exists = |world: &World| args.lsp.as_ref().is_some_and(|name| world.resolve(name).is_ok());
    let (was, is) = (exists(world), exists(&changed));
    let before = if was || !is { Some(walk(world, args, &world.places(&args.at))?) } else { None };
    let after = if is { Some(walk(&changed, args, &changed.places(&args.at))?) } else { None };
    let (before, after) = (shown(hosts, world, &before).await?, shown(hosts, &changed, &after).await?);
    simulate::print_change(before.as_ref(), after.as_ref(), format(context))?;
    Ok(if after.is_some_and(|after| after.is_success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was walked, as it is shown.
async fn shown<'a>(
    hosts: Option<&Context>,
    world: &World,
    walked: &'a Option<(SwitchPortRef, Vec<u8>, Path)>,
) -> Result<Option<Shown<'a>>> {
    let Some((from, frame, path)) = walked else { return Ok(None) };
    Ok(Some(as_simulated(from, frame, path, choices(hosts, world, path, frame).await?)))
}

fn as_simulated<'a>(from: &'a SwitchPortRef, frame: &'a [u8], path: &'a Path, choices: Vec<Choice>) -> Shown<'a> {
    Shown { path, from: (&from.ls, &from.lsp), frame, simulated: true, choices, took: None }
}

/// Where the way was one of several, with the last that the hosts said of these.
async fn choices(hosts: Option<&Context>, world: &World, path: &Path, frame: &[u8]) -> Result<Vec<Choice>> {
    let Some(dst) = ways::destination(frame) else { return Ok(Vec::new()) };
    let mut choices = ways::choices(&world.network, &path.hops, dst);
    let Some(context) = hosts else { return Ok(choices) };
    for choice in &mut choices {
        let (by, of) = choice.hosts();
        let own = of.into_iter().map(|chassis| format!("status/{chassis}/bfd/withdrawn"));
        let mut found = Vec::new();
        for path in std::iter::once(format!("status/{by}/bfd/")).chain(own) {
            found.extend(context.store.list(&path).await?.0);
        }
        choice.ask(&Sessions::read(context, &found));
    }
    Ok(choices)
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
        print::tell(&shown.verdict());
    }
    if format == Format::Text {
        for choice in &shown.choices {
            print::tell(&choice.sentence());
        }
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
