//! Pairs of patch Interfaces that join our bridge to the host's physical bridges: which there are, which there should be, and what keeps one from being made.
//!
//! The end on our bridge is `tp-...`, the other `tpx-...`; each has the other as `options:peer`. A physical bridge is never made here, and of its ports only those with
//! our mark are touched. What is missing is mended end by end, whoever deleted it; a pair whose bridge is gone keeps its own end and waits.

use super::{
    plan::Plan,
    tables::{MANAGED, Tables},
    wanted::Wanted,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::identity,
};
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};
use tuplenet_rules::{LocalPatch, PatchPair};

/// How the names of our patch Interfaces begin, on our bridge and on others.
const PREFIXES: [&str; 2] = ["tp-", "tpx-"];
/// On each end: the switch and the port that it is for.
pub const PATCH: &str = "tuplenet-patch";

/// Whether an Interface of that name may be an end of a pair.
pub fn concerns(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn leads_to(row: &Row, peer: &str) -> bool {
    row.string("type") == Some("patch") && Tables::pair(row, "options", "peer") == Some(peer)
}

/// The pairs that are whole, by the name of the end on our bridge. One look at each port.
pub fn whole(tables: &Tables, ours: &str) -> BTreeMap<String, LocalPatch> {
    let mut others: BTreeMap<&str, (&str, &Row)> = BTreeMap::new();
    for (bridge, _, row) in tables.bridges().filter(|(bridge, ..)| *bridge != ours) {
        for (_, port) in tables.ports(row) {
            let ends = port.uuids("interfaces").into_iter().filter_map(|uuid| tables.interface(uuid));
            others.extend(ends.filter_map(|row| Some((row.string("name").filter(|n| concerns(n))?, (bridge, row)))));
        }
    }
    let ends = tables.members().filter_map(|(_, row)| {
        let name = row.string("name").filter(|name| name.starts_with(PREFIXES[0]))?;
        let peer = Tables::pair(row, "options", "peer").filter(|peer| leads_to(row, peer))?;
        let ofport = u32::try_from(row.integer("ofport")?).ok();
        let ofport = ofport.filter(|n| (1..tuplenet_openflow::port::MAX).contains(n))?;
        let (bridge, _) = others.get(peer).filter(|(_, other)| leads_to(other, name))?;
        Some((name.to_owned(), LocalPatch { bridge: (*bridge).to_owned(), ofport }))
    });
    ends.collect()
}

/// Why a pair cannot be, if it cannot. For the log.
pub fn hindrance(tables: &Tables, wanted: &Wanted, pair: &PatchPair) -> Option<String> {
    let PatchPair { ls, lsp, bridge, .. } = pair;
    let ours = &wanted.bridge;
    let why = if bridge == ours {
        format!("{ours} is the integration bridge itself; name the bridge that has the network card")
    } else {
        let Some((_, row)) = tables.bridge(bridge) else {
            return Some(format!(
                "patch port {ls}/{lsp}: this host has no bridge {bridge}: add it (ovs-vsctl add-br {bridge}) with the network card; \
                 the patch port comes to life by itself"
            ));
        };
        let datapath = |row: &Row| match row.string("datapath_type") {
            None | Some("") => "system".to_owned(),
            Some(other) => other.to_owned(),
        };
        let (_, our_row) = tables.bridge(ours)?;
        let (here, there) = (datapath(our_row), datapath(row));
        let foreign = |name: &str, on: &str| {
            let (uuid, _) = tables.interface_named(name)?;
            let bridge = tables.bridge_of(uuid).unwrap_or("no bridge");
            let marked = tables.port_named(name).is_some_and(|(_, row)| is_ours(row));
            (!marked).then(|| {
                format!("an interface {name} is on {bridge} and not ours, so none can be made on {on}: delete it")
            })
        };
        if here != there {
            format!(
                "{bridge} is of datapath type {there} and {ours} of {here}, and no patch port joins two types: give them the same \
                 (ovs-vsctl set bridge {bridge} datapath_type={here})"
            )
        } else {
            foreign(&pair.name, ours).or_else(|| foreign(&pair.peer, bridge))?
        }
    };
    Some(format!("patch port {ls}/{lsp}: {why}"))
}

fn is_ours(port: &Row) -> bool {
    Tables::pair(port, "external_ids", MANAGED).is_some()
}

/// Adds to the plan what brings the pairs about that can be, and takes away those that are not wanted, if their flows are gone (not `parting`). Our bridge is there.
pub fn repair(plan: &mut Plan, tables: &Tables, wanted: &Wanted, pairs: &BTreeMap<String, PatchPair>, parting: bool) {
    let mut stay: BTreeSet<(&str, &str)> = BTreeSet::new();
    for pair in pairs.values() {
        stay.extend([(wanted.bridge.as_str(), pair.name.as_str()), (&pair.bridge, &pair.peer)]);
    }
    let whole = whole(tables, &wanted.bridge);
    let amiss = |pair: &&PatchPair| {
        whole.get(&pair.name).is_none_or(|found| found.bridge != pair.bridge)
            && hindrance(tables, wanted, pair).is_none()
    };
    // What stands where it should not goes first; what comes in its place comes with the next plan, when its name is free.
    for (bridge, uuid, row) in tables.bridges() {
        for (port, port_row) in tables.ports(row) {
            let name = port_row.string("name").unwrap_or_default();
            if !parting && concerns(name) && is_ours(port_row) && !stay.contains(&(bridge, name)) {
                plan.operations.push(Operation::mutate("Bridge").row(uuid).mutation("ports", Mutator::Delete, port));
                plan.words.push(format!("removing {name} from {bridge}"));
            }
        }
    }
    for pair in pairs.values().filter(amiss) {
        let what = format!("{}/{}", pair.ls, pair.lsp);
        let ends = [(&wanted.bridge, &pair.name, &pair.peer), (&pair.bridge, &pair.peer, &pair.name)];
        for (bridge, name, peer) in ends {
            let Some((bridge_uuid, _)) = tables.bridge(bridge) else { continue };
            match tables.interface_named(name) {
                None => {
                    let end = |interface: Operation| {
                        interface.column("type", "patch").column("options", Value::map([("peer", peer.as_str())]))
                    };
                    let port = plan.port(name, &[(PATCH, what.as_str())], end, identity);
                    plan.operations.push(Operation::mutate("Bridge").row(bridge_uuid).mutation(
                        "ports",
                        Mutator::Insert,
                        port,
                    ));
                    plan.words.push(format!("adding {name} to {bridge} for the patch port {what}"));
                }
                Some((uuid, row)) if tables.bridge_of(uuid) == Some(bridge.as_str()) && !leads_to(row, peer) => {
                    let operation = Operation::update("Interface")
                        .row(uuid)
                        .column("type", "patch")
                        .column("options", Value::map([("peer", peer.as_str())]));
                    plan.operations.push(operation);
                    plan.words.push(format!("putting {name} of {bridge} right"));
                }
                Some(_) => {}
            }
        }
    }
}

/// Our ends on bridges other than ours: bridge, port, and the port's name.
pub fn ends_elsewhere<'a>(tables: &'a Tables, ours: &'a str) -> impl Iterator<Item = (Uuid, Uuid, &'a str, &'a str)> {
    tables.bridges().filter(move |(name, ..)| *name != ours).flat_map(|(bridge, uuid, row)| {
        let ports = tables.ports(row).into_iter().filter_map(move |(port, row)| {
            let name = row.string("name").filter(|name| concerns(name) && is_ours(row))?;
            Some((uuid, port, name, bridge))
        });
        ports.collect::<Vec<_>>()
    })
}
