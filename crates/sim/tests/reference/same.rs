//! What holds for the simulated network by itself, whatever the reference says.
//!
//! - What happens does not depend on the order in which objects came, nor on what came and went.
//! - A packet's colour changes nothing for it.
//! - Every packet ends, and says where. It crosses the underlay at most once in each switch that it passes. What it carries arrives as it was sent.
//! - Who can ask can be answered. This holds in one switch, and across one router whose route to the asking address leads straight into the asking
//!   port's switch: hosts that can send to each other can do so both ways. It does not hold across several routers, since nobody says that
//!   they have routes both ways.

use crate::{
    generate::{self, Body, Case, Frame, Ip, Says, Sent, Then},
    packets::{Got, name, object, simulate, simulated},
    world::{Place, World},
};
use std::cell::Cell;
use tuplenet_model::name::Name;
use tuplenet_openflow::field;
use tuplenet_sim::{Network, Outcome, Packet, Path};

fn deliveries(network: &mut Network, case: &Case) -> Result<Vec<Option<Vec<Got>>>, String> {
    case.packets.iter().map(|sent| simulate(network, sent)).collect()
}

fn chassis(case: &Case) -> Vec<Name> {
    let named = case.network.objects.iter().filter_map(|object| object.path.strip_prefix("chassis/"));
    named.map(name).collect()
}

/// The same objects, the other way round, each after all hosts know those before; some come again after they were deleted.
fn built_up(case: &Case) -> Network {
    let mut network = Network::new([]);
    let hosts = chassis(case);
    for (i, stored) in case.network.objects.iter().enumerate().rev() {
        let object = object(stored);
        network.apply([(object.path.clone(), Some(object.value.clone()), object.create_revision)]);
        for host in &hosts {
            network.host(host);
        }
        if i.is_multiple_of(3) {
            network.apply([(object.path.clone(), None, 0)]);
            network.apply([(object.path, Some(object.value), object.create_revision)]);
        }
    }
    network
}

#[test]
fn the_order_in_which_objects_come_does_not_matter() {
    generate::try_cases(&generate::cases(10), 60, |case| {
        let at_once = deliveries(&mut simulated(&case.network), case)?;
        let one_by_one = deliveries(&mut built_up(case), case)?;
        for ((a, b), sent) in at_once.iter().zip(&one_by_one).zip(&case.packets) {
            if a != b {
                return Err(format!("{sent}\n  at once: {a:?}\n  one by one: {b:?}"));
            }
        }
        Ok(())
    });
}

/// The path of a packet that has no colour.
fn uncoloured(network: &mut Network, sent: &Sent) -> Option<Path> {
    let (ls, lsp) = (name(&sent.ls), name(&sent.lsp));
    let chassis = network.chassis_of(&ls, &lsp)?;
    let number = network.host(&chassis)?.port(&ls, &lsp)?;
    let mut packet = Packet::parse(&sent.frame.to_bytes()).ok()?;
    packet.set(field::IN_PORT, number);
    network.resume(&chassis, 0, packet).ok()
}

/// What became of it. Without the place where a switch gives up a packet that goes in circles: sending it in the name of a trace is a step of
/// its own.
fn told(path: &Path) -> Vec<String> {
    let tell = |outcome: &Outcome| match outcome {
        Outcome::Dropped { reason, .. } if reason.contains("gave it up") => reason.clone(),
        outcome => format!("{outcome:?}"),
    };
    let mut all: Vec<String> = path.outcomes.iter().map(tell).collect();
    all.sort();
    all
}

#[test]
fn every_packet_ends_unharmed_whatever_its_colour() {
    generate::try_cases(&generate::cases(10), 120, |case| {
        let mut network = simulated(&case.network);
        for sent in &case.packets {
            let packet = Packet::parse(&sent.frame.to_bytes()).map_err(|e| e.to_string())?;
            let (ls, lsp) = (name(&sent.ls), name(&sent.lsp));
            let Ok(path) = network.walk(&ls, &lsp, packet.clone()) else { continue };
            let delivered = network.deliveries(&ls, &lsp, packet).map_err(|e| e.to_string())?;
            check(sent, &path, &delivered).map_err(|why| format!("{sent}\n  {why}\n  {path:#?}"))?;
            let plain = uncoloured(&mut network, sent);
            let plain = plain.ok_or_else(|| format!("{sent}\n  cannot be sent without a colour"))?;
            if told(&plain) != told(&path) {
                return Err(format!("{sent}\n  coloured: {:#?}\n  else: {:#?}", path.outcomes, plain.outcomes));
            }
        }
        Ok(())
    });
}

fn check(sent: &Sent, path: &Path, delivered: &[tuplenet_sim::Delivery]) -> Result<(), &'static str> {
    let arrived = |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { .. } | Outcome::Answered { .. });
    if path.outcomes.is_empty() {
        return Err("its end is not told");
    }
    if path.outcomes.iter().filter(arrived).count() != delivered.len() {
        return Err("it is not told of each copy that it was delivered");
    }
    let switches = path.hops.iter().filter(|hop| hop.stage == "LSP_TRACE_INGRESS_IN").count();
    if delivered.iter().any(|d| d.crossings as usize > switches) {
        return Err("it crossed the underlay more often than it passed switches");
    }
    let (bytes, data) = (sent.frame.to_bytes(), generate::DATA);
    if bytes.ends_with(data) && !delivered.iter().all(|d| d.packet.to_bytes().ends_with(data)) {
        return Err("what it carries did not arrive as it was sent");
    }
    Ok(())
}

/// The answer to an echo request that arrived, as the port that got it would send it; `None` where nothing is promised.
fn answer(world: &World, case: &Case, asked: &Sent, got: &tuplenet_sim::Delivery) -> Option<Sent> {
    let Body::Ip(Ip { src, dst, ttl, says: Says::Ping(id) }) = &asked.frame.body else { return None };
    let arrived_ttl = got.packet.get(field::NW_TTL)?.to_u64()?;
    let from = case.network.ports.iter().find(|p| (&p.ls, &p.lsp) == (&asked.ls, &asked.lsp))?;
    let to = case.network.ports.iter().find(|p| *p.ls == *got.ls && *p.lsp == *got.lsp)?;
    let bytes = got.packet.get(field::ETH_SRC)?;
    let back_to = tuplenet_model::mac::Mac(bytes.as_bytes().try_into().ok()?);
    let honest = asked.frame.src == from.mac && asked.frame.vlan.is_none() && from.ips.contains(src);
    if !honest || !to.ips.contains(dst) || got.packet.get(field::ETH_DST)?.as_bytes() != to.mac.0 {
        return None;
    }
    match u64::from(*ttl).checked_sub(arrived_ttl)? {
        0 => {}
        1 => {
            let gate = world.switches.get(&got.ls)?.ports.values().find(|port| port.is.mac == Some(back_to))?;
            let Place::Link { lr, .. } = &gate.place else { return None };
            let router = world.routers.get(lr)?;
            let [(_, back, hop)] = world.ways(&got.chassis, router, *dst, *src)[..] else { return None };
            let straight =
                hop.is_none_or(|hop| hop == *src) && back.link.as_ref().is_some_and(|(ls, _)| **ls == *asked.ls);
            if !straight {
                return None;
            }
        }
        _ => return None,
    }
    let body = Body::Ip(Ip { src: *dst, dst: *src, ttl: 64, says: Says::Pong(*id) });
    let frame = Frame { dst: back_to, src: to.mac, vlan: None, body };
    Some(Sent { ls: to.ls.clone(), lsp: to.lsp.clone(), frame, then: Then::default() })
}

#[test]
fn who_can_ask_can_be_answered() {
    let (near, routed) = (Cell::new(0), Cell::new(0));
    generate::try_cases(&generate::sound_cases(20), 120, |case| {
        let mut network = simulated(&case.network);
        let world = World::of(&case.network);
        for asked in &case.packets {
            let packet = Packet::parse(&asked.frame.to_bytes()).map_err(|e| e.to_string())?;
            let Ok(all) = network.deliveries(&name(&asked.ls), &name(&asked.lsp), packet) else { continue };
            for answer in all.iter().filter_map(|got| answer(&world, case, asked, got)) {
                let back = simulate(&mut network, &answer)?.unwrap_or_default();
                let home = format!("{}/{} on ", asked.ls, asked.lsp);
                if back.len() != 1 || !back[0].to.starts_with(&home) {
                    return Err(format!("{asked}\n  {answer}\n  arrives at {back:?}"));
                }
                let counter = if answer.ls == asked.ls { &near } else { &routed };
                counter.set(counter.get() + 1);
            }
        }
        Ok(())
    });
    assert!(
        near.get() > 50 && routed.get() > 20,
        "only {} near and {} routed questions arrived",
        near.get(),
        routed.get()
    );
}
