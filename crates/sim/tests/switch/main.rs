//! The simulator against the real switch.
//!
//! A real ovs-vswitchd (dummy mode: no root, no network) gets the flows of random networks, and of random programs that no network would make; then
//! `ofproto/trace` says what it would do with a packet, and the simulator says it too. They must agree on the tables and
//! the flows that matched, on what leaves by which port with which headers, and on all fields and registers in the end.
//!
//! `TUPLENET_SEED` chooses other networks, `TUPLENET_CASES` how many. A case that fails is shrunk, and printed.
#![allow(clippy::unwrap_used)]

mod compare;
mod control;
mod datapath;
mod deed;
mod fields;
mod frames;
#[path = "../generate/mod.rs"]
mod generate;
mod network;
mod program;
mod programs;
mod protocol;
mod real;
mod size;
mod spread;
mod stimulus;
mod trace;
mod wire;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use std::{fmt::Debug, net::IpAddr};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Tries `check` on so many random cases; the smallest that fails ends the test.
fn try_all<S: Strategy>(strategy: &S, cases: u32, check: impl Fn(&S::Value) -> Result<(), String>)
where
    S::Value: Debug,
{
    let seed = from_environment("TUPLENET_SEED", 1);
    let cases = from_environment("TUPLENET_CASES", cases.into()) as u32;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(strategy, |case| check(&case).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => {
            panic!("the smallest that fails with TUPLENET_SEED={seed} is{case:?}\n{}", why.message());
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Tunnel end points that generated networks and programs use.
fn endpoints() -> Vec<IpAddr> {
    let both = |n| [format!("192.0.2.{n}"), format!("2001:db8::{n}")];
    (0..10).flat_map(both).map(|ip| ip.parse().expect("an address")).collect()
}

#[test]
fn networks() {
    network::check_all();
}

#[test]
fn sizes() {
    size::check_all();
}

#[test]
fn programs() {
    programs::check_all();
}

#[test]
fn frames() {
    frames::check_all();
}

#[test]
fn wires() {
    wire::check_all(program::Purpose::Wire);
}

#[test]
fn connections() {
    wire::check_all(program::Purpose::Track);
}

#[test]
fn networks_by_packets() {
    network::check_wires();
}
