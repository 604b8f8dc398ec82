//! Where a network meets a physical one: patch ports, stations outside, neighbours, NAT, several ways out. Packets of connections, one after another, and what comes back
//! of them: each arrives as the reference says.

use crate::{
    fate::{Delivery, Fate},
    generate::{self, Case, Frame, Ip, SYN, SYN_ACK, Says, Sent, Then},
    packets::{compare_after, simulated},
    walk::State,
    words,
    world::World,
};
use std::cell::Cell;
use tuplenet_sim::Network;

/// What packets met, so that a test whose packets all end at once does not pass for a good one.
#[derive(Default)]
struct Tally {
    packets: Cell<usize>,
    delivered: Cell<usize>,
    outside: Cell<usize>,
    translated: Cell<usize>,
    errors: Cell<usize>,
    untold: Cell<usize>,
}

fn add(counter: &Cell<usize>, yes: bool) {
    counter.set(counter.get() + usize::from(yes));
}

struct Bed<'a> {
    network: &'a mut Network,
    world: &'a World,
    state: State,
    tally: &'a Tally,
    /// Whether the reasons that are told are looked at.
    words: bool,
}

impl Bed<'_> {
    fn send(&mut self, sent: &Sent) -> Result<Vec<Delivery>, String> {
        let fates = compare_after(self.network, self.world, &mut self.state, sent)?;
        // What it was told for would begin connections again.
        if self.words && fates.iter().all(|fate| fate.translated == 0) {
            words::compare_any(self.network, sent, &fates)?;
        }
        add(&self.tally.packets, true);
        add(&self.tally.untold, fates.is_empty());
        let Some(Fate { delivered, translated, .. }) = fates.into_iter().next() else { return Ok(Vec::new()) };
        add(&self.tally.delivered, !delivered.is_empty());
        add(&self.tally.outside, delivered.iter().any(|d| d.lsp.starts_with("phys")));
        add(&self.tally.translated, translated > 0);
        let error = |d: &Delivery| matches!(&d.frame.body, generate::Body::Ip(Ip { says: Says::Error(_), .. }));
        add(&self.tally.errors, delivered.iter().any(error));
        Ok(delivered)
    }

    /// Sends it, and what comes back of it.
    fn exchange(&mut self, sent: &Sent) -> Result<(), String> {
        let told = |why: String| format!("after {sent}\n  {why}");
        for got in self.send(sent)?.into_iter().take(3) {
            let back = |frame| Sent { ls: got.ls.clone(), lsp: got.lsp.clone(), frame, then: Then::default() };
            if let Some(answer) = answer(&got.frame).filter(|_| sent.then.answer) {
                self.send(&back(answer)).map_err(told)?;
            }
            if let Some(error) = error(&got.frame).filter(|_| sent.then.error) {
                self.send(&back(error)).map_err(told)?;
            }
        }
        if sent.then.again {
            self.send(sent).map_err(told)?;
        }
        Ok(())
    }
}

fn back(frame: &Frame, ip: Ip) -> Frame {
    Frame { dst: frame.src, src: frame.dst, vlan: frame.vlan, body: generate::Body::Ip(ip) }
}

/// What who got this answers.
fn answer(frame: &Frame) -> Option<Frame> {
    let generate::Body::Ip(Ip { src, dst, says, .. }) = &frame.body else { return None };
    let says = match says {
        Says::Ping(id) => Says::Pong(*id),
        Says::Tcp(ports, SYN) => Says::Tcp(ports.reverse(), SYN_ACK),
        Says::Tcp(ports, flags) => Says::Tcp(ports.reverse(), *flags),
        Says::Udp(ports) => Says::Udp(ports.reverse()),
        Says::Sctp(ports) => Says::Sctp(ports.reverse()),
        Says::Other(protocol) => Says::Other(*protocol),
        _ => return None,
    };
    Some(back(frame, Ip { src: *dst, dst: *src, ttl: 64, says }))
}

/// That it was for nobody.
fn error(frame: &Frame) -> Option<Frame> {
    let generate::Body::Ip(ip) = &frame.body else { return None };
    let about = match ip.says {
        Says::Ping(_) | Says::Pong(_) | Says::Tcp(..) | Says::Udp(_) | Says::Sctp(_) => ip.clone(),
        _ => return None,
    };
    Some(back(frame, Ip { src: ip.dst, dst: ip.src, ttl: 64, says: Says::Error(Box::new(about)) }))
}

fn check(case: &Case, tally: &Tally) -> Result<(), String> {
    let (network, world) = (&mut simulated(&case.network), &World::of(&case.network));
    let mut bed = Bed { network, world, state: State::default(), tally, words: true };
    case.packets.iter().try_for_each(|sent| bed.exchange(sent))
}

/// Whether all arrives as it should.
pub fn agree(network: &mut Network, world: &World, case: &Case) -> bool {
    let mut bed = Bed { network, world, state: State::default(), tally: &Tally::default(), words: false };
    case.packets.iter().all(|sent| bed.exchange(sent).is_ok())
}

fn check_all(rules: usize, cases: u32, least: [usize; 5]) {
    let tally = Tally::default();
    generate::try_cases(&generate::edge_cases(rules, 20), cases, |case| check(case, &tally));
    let Tally { packets, delivered, outside, translated, errors, untold } = &tally;
    let counts = [packets, delivered, outside, translated, errors].map(Cell::get);
    println!("[packets, delivered, outside, translated, errors]: {counts:?}, {} untold", untold.get());
    assert!(counts.iter().zip(least).all(|(count, least)| *count >= least), "{counts:?} are too few to tell much");
    assert!(untold.get() < packets.get() / 5, "of {} of {} packets nothing is said", untold.get(), packets.get());
}

#[test]
fn where_networks_meet_packets_do_as_the_reference_says() {
    check_all(0, 50, [500, 150, 70, 0, 20]);
}

#[test]
fn under_nat_packets_do_as_the_reference_says() {
    check_all(4, 80, [800, 250, 120, 50, 30]);
}
