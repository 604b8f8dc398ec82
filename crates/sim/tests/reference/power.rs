//! The comparison notices every rule: take one away, and some packet does what the reference does not say.
//!
//! Left out are rules that only look on (traces, counters of drops), those that tell senders of packets which end anyway (without a hop left, a route or a next
//! hop), and that of IPv6 packets that end within their headers, who count as such.

use crate::{
    edges,
    generate::{self, Case},
    packets::{compare, name, simulated},
    world::World,
};
use std::collections::BTreeSet;
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    cookie::{Cookie, Rule},
    stage,
};
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
        // That several ways are chosen by ports, too: `equals` looks at many connections. And packets here are short.
        Rule::Ecmp if flow.table == stage::LRP_INGRESS_ECMP_HASH.table => None,
        Rule::TooBig | Rule::Mtu => None,
        // No tunnel is dead here: `tests/redirect.rs`.
        Rule::Redirect | Rule::RedirectIn => None,
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

fn pieces(network: &mut Network, hosts: &BTreeSet<&str>, part: fn(&Flow) -> Option<String>) -> Vec<Piece> {
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
    without(network, missing, |network| case.packets.iter().any(|sent| compare(network, world, sent).is_err()))
}

/// Whether a conversation does.
fn missed(case: &Case, network: &mut Network, world: &World, missing: &[&Piece]) -> bool {
    let hosts: BTreeSet<&str> = missing.iter().map(|piece| &*piece.host).collect();
    let missed = without(network, missing, |network| {
        forget(network, &hosts);
        !edges::agree(network, world, case)
    });
    forget(network, &hosts);
    missed
}

fn forget(network: &mut Network, hosts: &BTreeSet<&str>) {
    for host in hosts {
        if let Some(host) = network.host(&name(host)) {
            host.switch_mut().forget_connections();
        }
    }
}

fn without<T>(network: &mut Network, missing: &[&Piece], does: impl FnOnce(&mut Network) -> T) -> T {
    for Piece { host, flow, .. } in missing {
        if let Some(host) = network.host(&name(host)) {
            host.switch_mut().remove(flow.table, flow.priority, &flow.matching);
        }
    }
    let said = does(network);
    for Piece { host, flow, .. } in missing {
        if let Some(host) = network.host(&name(host)) {
            host.switch_mut().insert(flow.clone());
        }
    }
    said
}

#[test]
fn a_rule_that_is_missing_is_noticed() {
    let (mut unnoticed, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for case in generate::some(&generate::sound_cases(60), 300) {
        let hosts = hosts(&case);
        let mut network = simulated(&case.network);
        let world = World::of(&case.network);
        let all = pieces(&mut network, &hosts, part);
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

/// How many parts there are at edges, at least.
const EDGE_PARTS: usize = 28;

/// The same, of the rules that edges have, stage by stage. Without those that ask and learn who is outside, whose packets end or are copies, and of other parts without what
/// only looks on.
fn edge_part(flow: &Flow) -> Option<String> {
    let cookie = Cookie::decode(flow.cookie)?;
    let stage = stage::ALL.iter().find(|stage| stage.table == flow.table)?;
    let is = |stages: &[stage::Stage]| stages.contains(stage);
    match cookie.rule {
        // What only finds known connections where rules that begin new ones would find them just as well, and what ends a packet that would end in the next stage.
        Rule::Snat | Rule::FloatingOut if is(&[stage::LRP_EGRESS_UNDNAT_STAGE1]) => None,
        Rule::Dnat | Rule::FloatingIn if is(&[stage::LRP_INGRESS_UNSNAT_STAGE1]) => None,
        Rule::Unsnat if is(&[stage::LRP_INGRESS_UNSNAT_STAGE2, stage::LRP_INGRESS_DNAT_STAGE1]) => None,
        Rule::Undnat if is(&[stage::LRP_EGRESS_UNDNAT_STAGE2]) => None,
        // Known connections of who turned back: `tests/nat`.
        Rule::Dnat if is(&[stage::LRP_EGRESS_UNDNAT_STAGE2]) => None,
        // Seldom met: what of one wire goes round to all hosts is `tests/provider.rs`, dnat by the router's own address `tests/nat`.
        Rule::PatchElsewhere if is(&[stage::LSP_TRACE_INGRESS_OUT]) => None,
        Rule::Dnat if is(&[stage::LRP_INGRESS_DROP_UNEXPECT]) => None,
        Rule::Ecmp if is(&[stage::LRP_INGRESS_ECMP_HASH]) => None,
        Rule::PatchIn
        | Rule::PatchOut
        | Rule::PatchUnknown
        | Rule::PatchOwn
        | Rule::PatchElsewhere
        | Rule::Unsnat
        | Rule::Dnat
        | Rule::Undnat
        | Rule::Snat
        | Rule::FloatingIn
        | Rule::FloatingOut
        | Rule::Neighbour
        | Rule::Ecmp
        | Rule::EcmpMember => Some(format!("{} {}", cookie.rule.name(), stage.name)),
        _ => None,
    }
}

#[test]
fn a_rule_of_an_edge_that_is_missing_is_noticed() {
    let (mut unnoticed, mut seen, mut cases) = (BTreeSet::new(), BTreeSet::new(), 0);
    for case in generate::some(&generate::edge_cases(4, 40), 300) {
        let hosts = hosts(&case);
        let mut network = simulated(&case.network);
        let world = World::of(&case.network);
        let all = pieces(&mut network, &hosts, edge_part);
        let new: BTreeSet<String> =
            all.iter().map(|piece| piece.part.clone()).filter(|part| !seen.contains(part)).collect();
        seen.extend(new.iter().cloned());
        unnoticed.extend(new);
        unnoticed.retain(|one| {
            let missing: Vec<&Piece> = all.iter().filter(|piece| piece.part == *one).collect();
            missing.is_empty() || !missed(&case, &mut network, &world, &missing)
        });
        cases += 1;
        if unnoticed.is_empty() && seen.len() >= EDGE_PARTS {
            println!("{} parts are noticed by {cases} networks", seen.len());
            return;
        }
    }
    panic!(
        "of {} parts of the rules, at least {EDGE_PARTS}, no packet notices that these are missing: {unnoticed:#?}\nof {seen:#?}",
        seen.len()
    );
}
