//! The simulator against the real switch.
#![allow(clippy::unwrap_used)]

mod control;
mod daemon;
mod datapath;
mod fields;
#[path = "../generate/mod.rs"]
mod generate;
mod network;
mod program;
mod real;
mod trace;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;

#[test]
fn networks() {
    let endpoints =
        (1..10).flat_map(|n| [format!("192.0.2.{n}"), format!("2001:db8::{n}")]).map(|ip| ip.parse().unwrap());
    let real = RefCell::new(real::Real::start(endpoints, &[1]));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let cases = std::env::var("CASES").map_or(1000, |s| s.parse().unwrap());
    let mut runner = TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng);
    let t = std::cell::Cell::new((0.0, 0.0, 0.0, 0, 0, 0, 0));
    runner
        .run(&generate::cases(12), |case| {
            for host in network::hosts(&case) {
                let t0 = std::time::Instant::now();
                let host = network::Host::new(&case.network, &host);
                let t1 = std::time::Instant::now();
                let mut real = real.borrow_mut();
                real.install(host.flows.iter().cloned(), network::group_mods(&host.groups)).unwrap();
                let t2 = std::time::Instant::now();
                let questions: Vec<_> = case
                    .packets
                    .iter()
                    .filter_map(|sent| {
                        let in_port = host.ofport(&sent.ls, &sent.lsp)?;
                        Some(real::Question {
                            in_port,
                            more: String::new(),
                            bytes: sent.frame.to_bytes(),
                            ct_next: vec![],
                        })
                    })
                    .collect();
                let n = questions.len();
                let mut outs = 0;
                for traced in real.trace(&questions) {
                    let traced = traced.unwrap();
                    for pass in &traced.passes {
                        let seen = datapath::execute(&pass.actions, &pass.first, &real.ports).unwrap();
                        outs += seen.len();
                        if let Some(x) = &pass.failed {
                            println!("{x}");
                        }
                    }
                }
                let x = t.get();
                t.set((
                    x.0 + (t1 - t0).as_secs_f64(),
                    x.1 + (t2 - t1).as_secs_f64(),
                    x.2 + t2.elapsed().as_secs_f64(),
                    x.3 + n,
                    x.4 + 1,
                    x.5 + host.flows.len(),
                    x.6 + outs,
                ));
            }
            Ok(())
        })
        .unwrap();
    println!("{:?}", t.get());
}

fn group_mods(
    groups: &[(u32, tuplenet_openflow::message::GroupKind, Vec<Vec<tuplenet_openflow::Action>>)],
) -> Vec<tuplenet_openflow::message::GroupMod> {
    use tuplenet_openflow::message::*;
    groups
        .iter()
        .map(|(id, kind, buckets)| {
            GroupMod::new(
                GroupCommand::Add,
                *kind,
                *id,
                buckets.iter().enumerate().map(|(i, a)| Bucket::new(i as u32, a.clone())).collect(),
            )
        })
        .collect()
}

#[test]
fn programs() {
    for tracked in [false, true] {
        let endpoints =
            (0..10).flat_map(|n| [format!("192.0.2.{n}"), format!("2001:db8::{n}")]).map(|ip| ip.parse().unwrap());
        let real = RefCell::new(real::Real::start(endpoints, &[1]));
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
        let cases = std::env::var("CASES").map_or(1000, |s| s.parse().unwrap());
        let mut runner =
            TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng);
        runner
            .run(&program::programs(12, tracked), |case| {
                let mut real = real.borrow_mut();
                real.install(case.flows.iter().cloned(), group_mods(&case.groups))
                    .map_err(proptest::test_runner::TestCaseError::fail)?;
                let questions: Vec<_> = case
                    .packets
                    .iter()
                    .map(|sent| {
                        let more = match sent.tunnel {
                            None => String::new(),
                            Some((vni, option)) => format!(
                                "tun_id={vni},tun_src=192.0.2.7,tun_dst=192.0.2.254{}",
                                option.map_or(String::new(), |o| format!(",tun_metadata0={o:#x}"))
                            ),
                        };
                        real::Question {
                            in_port: sent.in_port,
                            more,
                            bytes: sent.frame.to_bytes(),
                            ct_next: sent
                                .ct_next
                                .iter()
                                .map(|n| {
                                    format!(
                                        "{}",
                                        ["new", "est", "rel", "rpl", "inv", "trk"]
                                            .iter()
                                            .enumerate()
                                            .filter(|(i, _)| n & 1 << i != 0)
                                            .map(|(_, w)| *w)
                                            .collect::<Vec<_>>()
                                            .join(",")
                                    )
                                })
                                .collect(),
                        }
                    })
                    .collect();
                for (traced, q) in real.trace(&questions).into_iter().zip(&questions) {
                    let traced = traced.map_err(proptest::test_runner::TestCaseError::fail)?;
                    for pass in &traced.passes {
                        let _seen = datapath::execute(&pass.actions, &pass.first, &real.ports)
                            .map_err(|e| format!("{e}\n{}", traced.text))
                            .map_err(proptest::test_runner::TestCaseError::fail)?;
                        if let Some(x) = &pass.failed {
                            println!("{x}");
                        }
                    }
                }
                Ok(())
            })
            .unwrap();
    }
}
