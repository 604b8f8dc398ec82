//! `explain reach`: do packets get from one port to another and back, and if not: the first thing that is missing.
//!
//! First what the store says of both ends, then the very packets that the two would exchange, walked through the tables of all hosts: the
//! question for the next hop's MAC, and the packet itself; there, then back.

mod ends;
mod seen;
mod show;
mod way;

use super::{resolve, world::World};
use crate::commands::{Context, neighbours};
use anyhow::{Result, bail};
use ends::End;
use std::{net::IpAddr, process::ExitCode};
use tuplenet_model::key::Key;
use tuplenet_sim::{network::Network, probe::What};
use way::Way;

/// `explain reach A B`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A port: LSP, or LS/LSP
    #[arg(value_name = "A")]
    from: String,
    /// Another port, or an address
    #[arg(value_name = "B")]
    to: String,
    /// By ping (what is asked if nothing is said)
    #[arg(long, group = "protocol")]
    icmp: bool,
    /// By TCP to this port
    #[arg(long, value_name = "PORT", group = "protocol")]
    tcp: Option<u16>,
    /// By UDP to this port
    #[arg(long, value_name = "PORT", group = "protocol")]
    udp: Option<u16>,
    /// Show every hop by itself, as "trace" does
    #[arg(long)]
    hops: bool,
}

impl Args {
    fn what(&self) -> What {
        match (self.tcp, self.udp) {
            (Some(port), _) => What::Tcp(port),
            (_, Some(port)) => What::Udp(port),
            _ => What::Icmp,
        }
    }
}

/// The first thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What, and of what.
    pub what: String,
    /// What to do, or to look at.
    pub remedy: String,
}

impl Missing {
    /// What is missing, and what to do.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What was asked, and the answer.
pub struct Answer {
    /// In words: "port vm1 of switch LS-A".
    pub from: String,
    /// In words.
    pub to: String,
    /// In words: "ping".
    pub by: String,
    /// Whether the other end is no port of the network.
    pub outside: bool,
    /// What is missing before any packet is sent.
    pub missing: Option<Missing>,
    /// Why one of the two hosts may do something else than the store says.
    pub doubt: Option<Missing>,
    /// The packets that were walked, in order.
    pub ways: Vec<Way>,
}

impl Answer {
    /// The first thing that is missing, and where.
    pub fn first_missing(&self) -> Option<(Option<&Way>, &Missing)> {
        let of_ends = self.missing.as_ref().map(|missing| (None, missing));
        of_ends.or_else(|| self.ways.iter().find_map(|way| Some((Some(way), way.missing.as_ref()?))))
    }

    /// If nothing is missing: the first reason to doubt it.
    pub fn first_doubt(&self) -> Option<&Missing> {
        let of_ways = self.ways.iter().find_map(|way| way.doubt.as_ref());
        self.doubt.as_ref().or(of_ways).filter(|_| self.first_missing().is_none())
    }
}

/// Says it.
pub async fn explain(context: &Context, args: &Args) -> Result<ExitCode> {
    let world = World::read(context).await?;
    if let Ok(ip) = args.from.parse::<IpAddr>() {
        bail!(
            "{ip} is an address: packets start at a port, so name the one that has it (\"tpctl lsp show LS\" lists them)"
        );
    }
    let from = End::port(resolve::port(&world, &args.from)?);
    let to = match args.to.parse::<IpAddr>() {
        Ok(ip) => match End::address(&world, &from, ip) {
            End::Address(_) if let Some(kind) = nobodys(ip) => {
                bail!("{ip} is {kind}, which no single machine has: name a port, or the address of one")
            }
            end => end,
        },
        Err(_) => End::port(resolve::port(&world, &args.to)?),
    };
    if from == to {
        bail!("{} is both ends: name two ports", from.words());
    }
    let answer = ask(&world, &from, &to, args.what());
    show::print(context, &answer, args.hops)?;
    let certain = answer.first_missing().is_none() && answer.first_doubt().is_none();
    Ok(if certain { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What an address is that cannot be a machine's behind a router.
fn nobodys(ip: IpAddr) -> Option<&'static str> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    Some(match ip {
        _ if ip.is_multicast() => "a multicast address",
        _ if ip.is_loopback() => "a loopback address",
        _ if ip.is_unspecified() => "the unspecified address",
        IpAddr::V4(ip) if ip.is_broadcast() => "the broadcast address",
        _ if link_local => "a link-local address",
        _ => return None,
    })
}

fn ask(world: &World, from: &End, to: &End, what: What) -> Answer {
    let by = match what {
        What::Tcp(port) => format!("TCP port {port}"),
        What::Udp(port) => format!("UDP port {port}"),
        _ => "ping".to_owned(),
    };
    let missing = from.missing(world).or_else(|| to.missing(world)).or_else(|| ends::between(world, from, to));
    let doubt = from.doubt(world).or_else(|| to.doubt(world));
    let outside = matches!(to, End::Address(_));
    let mut answer = Answer { from: from.words(), to: to.words(), by, outside, missing, doubt, ways: Vec::new() };
    if answer.missing.is_some() {
        return answer;
    }
    let objects = world.all().filter(|(path, _)| matches!(Key::parse(path), Ok(Some(_)))).map(|(path, kv)| {
        tuplenet_sim::network::Object {
            path: path.to_owned(),
            value: kv.value.clone(),
            create_revision: kv.create_revision,
        }
    });
    let mut network = Network::new(objects);
    for (chassis, (ipv4, ipv6)) in &world.untunnels {
        network.untunnel(chassis, *ipv4, *ipv6);
    }
    neighbours::teach(&mut network, &world.neighbours);
    for (mine, other) in ends::addresses(world, from, to) {
        let there = way::walk(world, &mut network, (from, mine), (to, other), what, "there");
        let arrived = there.missing.is_none();
        answer.ways.push(there);
        // Nobody answers what did not arrive; and of who answers outside nothing is known here.
        if arrived && to.is_guest(world) {
            answer.ways.push(way::walk(world, &mut network, (to, other), (from, mine), what, "back"));
        }
    }
    answer
}
