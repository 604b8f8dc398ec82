//! Packets arrive where the reference says, as the reference says.

use crate::{
    fate::{Delivery, Fate},
    generate::{self, Case, Sent},
    walk::State,
    words,
    world::World,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tuplenet_model::name::Name;
use tuplenet_sim::{Network, Object, Packet, WalkError};

pub fn name(s: &str) -> Name {
    s.parse().expect("the generator's names are names")
}

/// The network in the simulator.
pub fn simulated(network: &generate::Network) -> Network {
    let mut simulated = Network::new(network.objects.iter().map(object));
    for known in &network.neighbours {
        simulated.learn(&name(&known.chassis), &name(&known.ls), known.ip, Some(known.mac));
    }
    simulated
}

pub fn object(object: &generate::Object) -> Object {
    let value = object.json.clone().into_bytes().into();
    Object { path: object.path.clone(), value, create_revision: object.created }
}

/// What is delivered, as one can compare it: the frame by its bytes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Got {
    pub to: String,
    pub crossings: u32,
    pub frame: Vec<u8>,
}

/// In the simulator. `None`: nothing can come from that port.
pub fn simulate(network: &mut Network, sent: &Sent) -> Result<Option<Vec<Got>>, String> {
    let packet = Packet::parse(&sent.frame.to_bytes()).map_err(|e| format!("{sent}: {e}"))?;
    let all = match network.deliveries(&name(&sent.ls), &name(&sent.lsp), packet) {
        Ok(all) => all,
        Err(error @ WalkError::Unsupported { .. }) => return Err(error.to_string()),
        Err(_) => return Ok(None),
    };
    let got = all.into_iter().map(|d| {
        let to = format!("{}/{} on {}", d.ls, d.lsp, d.chassis);
        Got { to, crossings: d.crossings, frame: comparable(d.packet.to_bytes()) }
    });
    let mut got: Vec<Got> = got.collect();
    got.sort();
    Ok(Some(got))
}

/// Without the checksum of what an ICMP error quotes, which nobody looks at and a switch mends for some protocols only, and without its own, which covers that.
fn comparable(mut frame: Vec<u8>) -> Vec<u8> {
    let ip = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    let at = |at: usize| frame.get(at).copied().unwrap_or(0);
    let (protocol, icmp, header) = match at(ip) >> 4 {
        4 => (at(ip + 9), ip + 20, 20),
        6 => (at(ip + 6), ip + 40, 40),
        _ => return frame,
    };
    let error = match (frame[ip - 2..ip] == [8, 0] || frame[ip - 2..ip] == [0x86, 0xdd], protocol) {
        (true, 1) => at(icmp) == 3,
        (true, 58) => at(icmp) == 1,
        _ => false,
    };
    let quoted = icmp + 8;
    let sum = match if header == 20 { at(quoted + 9) } else { at(quoted + 6) } {
        6 => 16..18,
        17 => 6..8,
        132 => 8..12,
        _ => 2..4,
    };
    if error {
        let places = (icmp + 2..icmp + 4).chain(sum.map(|at| quoted + header + at));
        places.for_each(|at| frame.get_mut(at).into_iter().for_each(|byte| *byte = 0));
    }
    frame
}

fn expected(deliveries: &[Delivery]) -> Vec<Got> {
    let got = deliveries.iter().map(|d| {
        let to = format!("{}/{} on {}", d.ls, d.lsp, d.chassis);
        Got { to, crossings: d.crossings, frame: comparable(d.frame.to_bytes()) }
    });
    let mut got: Vec<Got> = got.collect();
    got.sort();
    got
}

/// What is wrong, if something is.
pub fn compare(network: &mut Network, world: &World, sent: &Sent) -> Result<Option<Fate>, String> {
    let fates = compare_after(network, world, &mut State::default(), sent)?;
    Ok(fates.into_iter().next())
}

/// The same after other packets, which may have begun connections: what explains what was seen, nothing if the port is not in use or nobody can tell.
pub fn compare_after(
    network: &mut Network,
    world: &World,
    state: &mut State,
    sent: &Sent,
) -> Result<Vec<Fate>, String> {
    let should = world.outcomes(state, &sent.ls, &sent.lsp, &sent.frame);
    if should.iter().flatten().any(|(fate, _)| fate.unknown) {
        return Ok(Vec::new());
    }
    let does = simulate(network, sent)?;
    let Some(outcomes) = should else {
        return match does {
            None => Ok(Vec::new()),
            Some(_) => Err(format!("{sent}\n  should not be sent\n  does{}", tell(&does))),
        };
    };
    let (same, others): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|(fate, _)| Some(expected(&fate.delivered)) == does);
    if let [(_, after), rest @ ..] = &same[..] {
        *state = after.clone().later(rest.is_empty());
        return Ok(same.into_iter().map(|(fate, _)| fate).collect());
    }
    let should: String = others
        .iter()
        .map(|(fate, _)| match fate {
            Fate { delivered, ended, .. } if delivered.is_empty() => format!("\n    end: {ended:?}"),
            fate => {
                let tell = |d: &Delivery| {
                    format!("\n    to {}/{} on {}, {} crossings: {}", d.ls, d.lsp, d.chassis, d.crossings, d.frame)
                };
                fate.delivered.iter().map(tell).collect::<String>()
            }
        })
        .collect::<Vec<_>>()
        .join("\n   or");
    let why = match Packet::parse(&sent.frame.to_bytes()) {
        Ok(packet) => network.walk(&name(&sent.ls), &name(&sent.lsp), packet).map_or(Vec::new(), |path| path.outcomes),
        Err(_) => Vec::new(),
    };
    Err(format!("{sent}\n  should{should}\n  does{}\n  {why:?}", tell(&does)))
}

fn tell(does: &Option<Vec<Got>>) -> String {
    match does {
        None => "\n    not come from that port".into(),
        Some(all) => {
            let hex = |frame: &[u8]| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let tell = |got: &Got| format!("\n    to {}, {} crossings: {}", got.to, got.crossings, hex(&got.frame));
            all.iter().map(tell).collect::<String>()
        }
    }
}

/// What packets met, so that a test whose packets all end at once does not pass for a good one.
#[derive(Default)]
struct Tally {
    networks: AtomicUsize,
    packets: AtomicUsize,
    delivered: AtomicUsize,
    copied: AtomicUsize,
    answered: AtomicUsize,
    routed: AtomicUsize,
    crossed: AtomicUsize,
}

impl Tally {
    fn count(&self, sent: &Sent, deliveries: &[Delivery]) {
        let add = |counter: &AtomicUsize, yes: bool| counter.fetch_add(usize::from(yes), Ordering::Relaxed);
        add(&self.packets, true);
        add(&self.delivered, !deliveries.is_empty());
        add(&self.copied, deliveries.len() > 1);
        add(&self.answered, deliveries.iter().any(|d| (&d.ls, &d.lsp) == (&sent.ls, &sent.lsp)));
        add(&self.routed, deliveries.iter().any(|d| d.ls != sent.ls));
        add(&self.crossed, deliveries.iter().any(|d| d.crossings > 0));
    }

    fn demand(&self) {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let (networks, packets) = (read(&self.networks), read(&self.packets));
        let counts = [&self.delivered, &self.copied, &self.answered, &self.routed, &self.crossed].map(read);
        println!("{networks} networks, {packets} packets; [delivered, copied, answered, routed, crossed]: {counts:?}");
        for (count, least) in counts.into_iter().zip([8, 100, 40, 40, 25]) {
            assert!(count >= packets / least, "{counts:?} of {packets} packets are too few to tell much");
        }
    }
}

fn check_all(strategy: &impl proptest::strategy::Strategy<Value = Case>, cases: u32) {
    let tally = Tally::default();
    generate::try_cases(strategy, cases, |case| {
        let world = World::of(&case.network);
        let mut network = simulated(&case.network);
        tally.networks.fetch_add(1, Ordering::Relaxed);
        for sent in &case.packets {
            let fates = compare_after(&mut network, &world, &mut State::default(), sent)?;
            words::compare_any(&mut network, sent, &fates)?;
            fates.first().into_iter().for_each(|fate| tally.count(sent, &fate.delivered));
        }
        Ok(())
    });
    tally.demand();
}

// Two tests, so that two processors share the work.

#[test]
fn in_sound_networks_packets_do_as_the_reference_says() {
    check_all(&generate::sound_cases(20), 600);
}

#[test]
fn among_contradictions_packets_do_as_the_reference_says() {
    check_all(&generate::odd_cases(20), 500);
}
