//! Several ways to one prefix: each packet takes one that lives, all of a connection the same, and of many connections each way gets some.

use crate::{
    generate::{self, Body, Case, Ip, Ports, Says, Sent},
    packets::{compare_after, simulated},
    walk::State,
    world::{Place, World},
};
use std::{cell::Cell, collections::BTreeSet};
use tuplenet_model::name::Name;

/// Connections of each kind: of four ways that each is as likely, one is missed once in 200,000 times.
const CONNECTIONS: u16 = 48;

/// The same packet of another connection.
fn another(sent: &Sent, number: u16) -> Option<Sent> {
    let Body::Ip(ip) = &sent.frame.body else { return None };
    let with = |ports: Ports| Ports { src: ports.src.wrapping_add(number * 7), ..ports };
    let says = match &ip.says {
        Says::Tcp(ports, flags) => Says::Tcp(with(*ports), *flags),
        Says::Udp(ports) => Says::Udp(with(*ports)),
        Says::Sctp(ports) => Says::Sctp(with(*ports)),
        _ => return None,
    };
    let frame = generate::Frame { body: Body::Ip(Ip { says, ..ip.clone() }), ..sent.frame.clone() };
    Some(Sent { frame, ..sent.clone() })
}

#[derive(Default)]
struct Tally {
    packets: Cell<usize>,
    chosen: Cell<usize>,
    revived: Cell<usize>,
}

/// Every third VM, beginning with this one, is down.
fn check(case: &Case, first: usize, tally: &Tally) -> Result<(), String> {
    let (mut network, mut world) = (simulated(&case.network), World::of(&case.network));
    let vms: Vec<(Name, Name, Name)> = world
        .switches
        .iter()
        .flat_map(|(ls, switch)| switch.ports.iter().map(move |(lsp, port)| (ls, lsp, &port.place)))
        .filter_map(|(ls, lsp, place)| match place {
            Place::Vm(host) => Some((ls.clone(), lsp.clone(), host.clone())),
            _ => None,
        })
        .collect();
    for (ls, lsp, host) in vms.iter().skip(first).step_by(3) {
        let Some(host) = network.host(host) else { continue };
        if let Some(number) = host.port(ls, lsp) {
            host.switch_mut().set_port_up(number, false);
            world.dead.insert((ls.clone(), lsp.clone()));
        }
    }
    for sent in &case.packets {
        let mut state = State::default();
        let possible = world.outcomes(&state, &sent.ls, &sent.lsp, &sent.frame).unwrap_or_default();
        let all: BTreeSet<_> = possible.iter().map(|(fate, _)| place(&fate.delivered)).collect();
        let sure = possible.iter().all(|(fate, _)| !fate.unknown);
        let mut seen = BTreeSet::new();
        for number in 0..if possible.len() > 1 { CONNECTIONS } else { 1 } {
            let Some(sent) = another(sent, number) else { continue };
            tally.packets.set(tally.packets.get() + 1);
            // Again, it goes the same way.
            for _ in 0..if number < 3 { 2 } else { 1 } {
                let fates = compare_after(&mut network, &world, &mut state, &sent)?;
                seen.extend(fates.first().map(|fate| place(&fate.delivered)));
            }
        }
        if sure && possible.len() > 1 && possible.len() <= 4 {
            tally.chosen.set(tally.chosen.get() + 1);
            if seen != all {
                return Err(format!(
                    "{sent}\n  of many connections some should take each of {all:?}, and took {seen:?}"
                ));
            }
            tally.revived.set(tally.revived.get() + usize::from(!world.dead.is_empty()));
        }
    }
    Ok(())
}

type Got = Vec<(String, String)>;

fn place(delivered: &[crate::fate::Delivery]) -> Got {
    delivered.iter().map(|d| (d.ls.clone(), d.lsp.clone())).collect()
}

#[test]
fn each_of_several_ways_that_lives_is_taken() {
    let tally = Tally::default();
    for (first, cases) in [(usize::MAX, 30), (0, 20), (1, 20)] {
        generate::try_cases(&generate::equal_cases(6), cases, |case| check(case, first, &tally));
    }
    let counts = [&tally.packets, &tally.chosen, &tally.revived].map(Cell::get);
    println!("[packets, that had several ways, with VMs that are down]: {counts:?}");
    assert!(counts.iter().zip([800, 25, 10]).all(|(count, least)| *count >= least), "{counts:?}");
}
