//! Random networks and packets, for tests that compare what the rules make of them with something else: a real switch, or a reference
//! too simple to be wrong.
//!
//! A network is the list of the store's objects (path, JSON, create revision), so that everybody reads what the store would hold. Some of
//! the objects contradict each other, are broken, or refer to what does not exist. A packet is a [`Frame`] at a bound port, which prints in
//! words. Everything is made from small numbers that count from the simplest choice, so that a failing case shrinks to the smallest one.
#![allow(dead_code, unused_imports)] // each test file uses its part

mod build;
#[path = "../bytes/mod.rs"]
pub mod bytes;
mod edge;
mod frame;
mod network;
mod odd;
mod packet;
mod plan;
mod run;

pub use frame::{Arp, Body, DATA, Frame, Ip, Ports, SYN, SYN_ACK, Says};
pub use network::{Neighbour, Network, Object, Port};
pub use packet::{Sent, Then};
pub use run::{some, try_all, try_cases, try_events};

use proptest::prelude::*;
use std::fmt;

/// A network and packets to send in it.
#[derive(Clone)]
pub struct Case {
    /// The objects.
    pub network: Network,
    /// The packets; none if no port is bound.
    pub packets: Vec<Sent>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for object in &self.network.objects {
            writeln!(f, "  {object}")?;
        }
        for neighbour in &self.network.neighbours {
            writeln!(f, "  {neighbour}")?;
        }
        for packet in &self.packets {
            writeln!(f, "  {packet}")?;
        }
        Ok(())
    }
}

/// Networks with up to `packets` packets each; in a third of them objects contradict each other, are broken or missing.
pub fn cases(packets: usize) -> impl Strategy<Value = Case> {
    case(prop_oneof![2 => Just(Vec::new()), 1 => odd::oddities(0)], packets)
}

/// Networks without such objects, save what small numbers bring about: routers with several ports in one network, routes that lead nowhere.
pub fn sound_cases(packets: usize) -> impl Strategy<Value = Case> {
    case(Just(Vec::new()), packets)
}

/// Networks that have some of them.
pub fn odd_cases(packets: usize) -> impl Strategy<Value = Case> {
    case(odd::oddities(1), packets)
}

/// Networks that meet a physical one, with up to so many NAT rules, and packets of both sides.
pub fn edge_cases(rules: usize, packets: usize) -> impl Strategy<Value = Case> {
    let packets = proptest::collection::vec(packet::edge_plan(), 1..=packets);
    let plan = (plan::plan(Just(Vec::new())), edge::edge(rules)).prop_map(|(mut plan, edge)| {
        edge.pin(&mut plan);
        plan::Plan { edge, ..plan }
    });
    (plan, packets).prop_map(|(plan, wishes)| built(&plan, &wishes))
}

/// Networks in which routers have several ways to what is outside, and packets for there; no patch ports.
pub fn equal_cases(packets: usize) -> impl Strategy<Value = Case> {
    let packets = proptest::collection::vec(packet::outward(), 1..=packets);
    let equals = proptest::collection::vec(edge::equals(), 1..=2);
    let plan = (plan::plan(Just(Vec::new())), equals)
        .prop_map(|(plan, equals)| plan::Plan { edge: edge::Edge { equals, ..edge::Edge::default() }, ..plan });
    (plan, packets).prop_map(|(plan, wishes)| built(&plan, &wishes))
}

fn built(plan: &plan::Plan, wishes: &[packet::Wish]) -> Case {
    let network = plan.build();
    let packets = wishes.iter().filter_map(|wish| wish.build(&network)).collect();
    Case { network, packets }
}

fn case(oddities: impl Strategy<Value = Vec<odd::Oddity>>, packets: usize) -> impl Strategy<Value = Case> {
    let packets = proptest::collection::vec(packet::plan(), 1..=packets);
    (plan::plan(oddities), packets).prop_map(|(plan, wishes)| built(&plan, &wishes))
}
