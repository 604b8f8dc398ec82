//! A reference of what a packet should experience, against the tables that the rules compute.

mod generate;
#[path = "reference/mod.rs"]
mod plain;

use plain::World;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeMap;

#[test]
fn stats() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let s = generate::cases(8);
    let mut n: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |k: String| *n.entry(k).or_default() += 1;
    for _ in 0..2000 {
        let case = s.new_tree(&mut runner).unwrap().current();
        add("networks".into());
        let world = World::of(&case.network);
        if case.packets.is_empty() {
            add("no packets".into())
        }
        for p in &case.packets {
            add("packets".into());
            match world.send(&p.ls, &p.lsp, &p.frame) {
                None => add("unused port".into()),
                Some(d) => {
                    add(format!("{} deliveries", d.len()));
                    for d in d {
                        add(format!("crossings {}", d.crossings));
                        let hops = match (&p.frame.body, &d.frame.body) {
                            (generate::Body::Ip(a), generate::Body::Ip(b)) if a.says == b.says => {
                                format!("hops {}", a.ttl - b.ttl)
                            }
                            (generate::Body::Ip(_), generate::Body::Ip(b)) => {
                                format!("answer {:?}", std::mem::discriminant(&b.says))
                            }
                            (a, b) if a == b => "other".into(),
                            _ => "arp answer".into(),
                        };
                        add(hops);
                    }
                }
            }
        }
    }
    println!("{n:#?}");
}
