//! The comparison notices every rule: take one away, and some packet does what the reference does not say.
//!
//! Left out are rules that only look on (traces, counters of drops), those that tell senders of packets which end anyway (without a hop left, a route or a next
//! hop), and that of IPv6 packets that end within their headers, who count as such.

use crate::{
    generate::{self, Case},
    packets::{compare, name, simulated},
    world::World,
};
use std::collections::BTreeSet;
use tuplenet_openflow::Flow;
use tuplenet_rules::cookie::{Cookie, Rule};
use tuplenet_sim::Network;

/// How many parts there are, at least.
const PARTS: usize = 35;

/// What is taken away: all flows of a rule that are about objects, or one of those that are always there.
fn part(flow: &Flow) -> Option<String> {
    let cookie = Cookie::decode(flow.cookie)?;
    match cookie.rule {
        Rule::Trace | Rule::Drop | Rule::Pipeline => None,
        Rule::IcmpError if cookie.datapath == 0 => None,
        // No patch ports here: `tests/provider.rs`.
        Rule::PatchElsewhere => None,
        Rule::RouterDrop if flow.matching.to_string() == "ipv6,nw_proto=0" => None,
        rule if cookie.datapath == 0 && cookie.object == 0 => {
            Some(format!("{} table={} priority={} {}", rule.name(), flow.table, flow.priority, flow.matching))
        }
        rule => Some(rule.name().to_owned()),
    }
}

fn hosts(case: &Case) -> BTreeSet<&str> {
    let chassis = case.network.objects.iter().filter_map(|object| object.path.strip_prefix("chassis/"));
    chassis.collect()
}

/// A flow of a host, and what it is a part of.
struct Piece {
    host: String,
    flow: Flow,
    part: String,
}

fn pieces(network: &mut Network, hosts: &BTreeSet<&str>) -> Vec<Piece> {
    let mut all = Vec::new();
    for host in hosts {
        let Some(found) = network.host(&name(host)) else { continue };
        let parts = found.switch().flows().filter_map(|flow| Some((flow, part(flow)?)));
        all.extend(parts.map(|(flow, part)| Piece { host: (*host).to_owned(), flow: flow.clone(), part }));
    }
    all
}

/// Whether some packet notices that these flows are not there.
fn noticed(case: &Case, network: &mut Network, world: &World, missing: &[&Piece]) -> bool {
    for Piece { host, flow, .. } in missing {
        if let Some(host) = network.host(&name(host)) {
            host.switch_mut().remove(flow.table, flow.priority, &flow.matching);
        }
    }
    let noticed = case.packets.iter().any(|sent| compare(network, world, sent).is_err());
    for Piece { host, flow, .. } in missing {
        if let Some(host) = network.host(&name(host)) {
            host.switch_mut().insert(flow.clone());
        }
    }
    noticed
}

#[test]
fn a_rule_that_is_missing_is_noticed() {
    let (mut unnoticed, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for case in generate::some(&generate::sound_cases(60), 300) {
        let hosts = hosts(&case);
        let mut network = simulated(&case.network);
        let world = World::of(&case.network);
        let all = pieces(&mut network, &hosts);
        for Piece { part, .. } in &all {
            if seen.insert(part.clone()) {
                unnoticed.insert(part.clone());
            }
        }
        unnoticed.retain(|one| {
            let missing: Vec<&Piece> = all.iter().filter(|piece| piece.part == *one).collect();
            !noticed(&case, &mut network, &world, &missing)
        });
        if unnoticed.is_empty() && seen.len() >= PARTS {
            return;
        }
    }
    panic!(
        "of {} parts of the rules, at least {PARTS}, no packet notices that these are missing: {unnoticed:#?}",
        seen.len()
    );
}
