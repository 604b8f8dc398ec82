//! Tunnel ports that watch another chassis' end point by BFD (RFC 5880): which there are, which there should be, what they say.
//!
//! Each is an Interface with a fixed `remote_ip`, otherwise like the flow-based port of its protocol. Packets leave by that one; by a port here only those come in that
//! its end point sends, as Open vSwitch prefers it to the flow-based one. Open vSwitch runs the sessions by itself, with or without an agent.
//!
//! A port is told to the rules with the number that it asks for *before* it is made: from its first packet on there is a flow for them.

use super::{
    plan::Plan,
    tables::{Tables, WATCH},
    tunnel::{interface_type, tunnel_options},
    wanted::{End, Parts, Wanted},
};
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_model::{entity::EncapKind, hash::fnv64, name::Name};
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};

/// Our keys of an Interface's `bfd`, but for [`WITHDRAWN`], which has its own transaction.
const KEYS: [&str; 3] = ["enable", "min_rx", "min_tx"];
/// Tells the other end that it must not send here, as what is behind this end is dead (RFC 5880 section 6.8.17).
const WITHDRAWN: &str = "cpath_down";
/// Numbers that the ports ask for: high, as Open vSwitch gives from 1 upwards to those that ask for none; 0xff00 and more are reserved.
const NUMBERS: std::ops::Range<u32> = 0xc000..0xfe00;

/// What a session says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The chassis at the other end, as the port has it.
    pub chassis: String,
    /// Whether packets may be sent there.
    pub forwarding: bool,
    /// `up`, `down`, `init` or `admin_down`.
    pub state: String,
    /// What this end says (RFC 5880 section 4.1), empty for nothing.
    pub diagnostic: String,
    /// What the other end said last, empty for nothing.
    pub remote_diagnostic: String,
}

/// The end point of an Interface of ours that watches one.
fn end(row: &Row) -> Option<End> {
    Tables::pair(row, "external_ids", WATCH)?;
    let kind = [EncapKind::Geneve, EncapKind::Vxlan, EncapKind::Gre].into_iter().find(|kind| {
        row.string("type") == Some(interface_type(*kind)) && Tables::pair(row, "options", "key") == Some("flow")
    })?;
    Some((kind, Tables::pair(row, "options", "remote_ip")?.parse().ok()?))
}

/// Our ports that watch, on our bridge, with their Interfaces.
fn ports<'a>(tables: &'a Tables, bridge: &str) -> Vec<(Uuid, Uuid, &'a Row)> {
    let Some((_, bridge)) = tables.bridge(bridge) else { return Vec::new() };
    let watching = |(port, row): (Uuid, &Row)| {
        let interface = row.uuids("interfaces").into_iter().next()?;
        let row = tables.interface(interface)?;
        Tables::pair(row, "external_ids", WATCH)?;
        Some((port, interface, row))
    };
    tables.ports(bridge).into_iter().filter_map(watching).collect()
}

fn hash(end: End, salt: u8) -> u64 {
    // The database has the name that is made of it: it must never change.
    fnv64(format!("{} {} {salt}", interface_type(end.0), end.1).bytes())
}

/// At most 15 bytes, which Linux takes for a name; never that of a flow-based port, which is no hexadecimal number.
fn name(end: End, taken: impl Fn(&str) -> bool) -> Option<String> {
    let names = (0..=u8::MAX).map(|salt| format!("tn-{:012x}", hash(end, salt) & 0xffff_ffff_ffff));
    names.into_iter().find(|name| !taken(name))
}

/// Ports by end point with their number: those that the switch has, and those that are to be made, with the number that they ask for.
pub fn numbers(tables: &Tables, ours: &Wanted, watches: Option<&BTreeMap<End, Name>>) -> BTreeMap<End, u32> {
    let mut numbers = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (_, _, row) in ports(tables, &ours.bridge) {
        let Some(end) = end(row) else { continue };
        let number = row.integer("ofport").and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        match number {
            Some(number) => drop(numbers.entry(end).or_insert(number)),
            // Being made, or refused.
            None if row.integer("ofport").is_none() => {
                let asked = row.integer("ofport_request").and_then(|n| u32::try_from(n).ok());
                numbers.extend(asked.map(|number| (end, number)));
            }
            None => {}
        }
        found.insert(end);
    }
    let mut used: BTreeSet<u32> = numbers.values().copied().collect();
    used.extend(tables.members().filter_map(|(_, row)| row.integer("ofport")).filter_map(|n| u32::try_from(n).ok()));
    let wanted = watches.into_iter().flat_map(BTreeMap::keys).copied();
    for end in wanted.filter(|end| !found.contains(end)) {
        let width = NUMBERS.end - NUMBERS.start;
        let first = u32::try_from(hash(end, 0) % u64::from(width)).unwrap_or_default();
        let number = (0..width).map(|i| NUMBERS.start + (first + i) % width).find(|n| !used.contains(n));
        used.extend(number);
        numbers.extend(number.map(|number| (end, number)));
    }
    numbers
}

/// What the sessions say, by end point.
pub fn sessions(tables: &Tables, bridge: &str) -> BTreeMap<End, Session> {
    let session = |row: &Row| {
        let said = |key: &str| Tables::pair(row, "bfd_status", key).unwrap_or_default();
        let diagnostic = |key: &str| match said(key) {
            "No Diagnostic" => String::new(),
            other => other.to_owned(),
        };
        let state = said("state");
        Session {
            chassis: Tables::pair(row, "external_ids", WATCH).unwrap_or_default().to_owned(),
            forwarding: said("forwarding") == "true",
            // Nothing is said of a session that has just begun.
            state: if state.is_empty() { "down" } else { state }.to_owned(),
            diagnostic: diagnostic("diagnostic"),
            remote_diagnostic: diagnostic("remote_diagnostic"),
        }
    };
    ports(tables, bridge).into_iter().filter_map(|(_, _, row)| Some((end(row)?, session(row)))).collect()
}

/// What the `bfd` column of a port should have, of our keys.
fn settings(wanted: &Wanted, withdrawn: bool) -> Vec<(&'static str, String)> {
    let interval = wanted.bfd_interval.to_string();
    let mut all = vec![("enable", "true".to_owned()), ("min_rx", interval.clone()), ("min_tx", interval)];
    all.extend(withdrawn.then(|| (WITHDRAWN, "true".to_owned())));
    all
}

/// What tells the other ends of all ports whether they may send here, where that is not told yet. Apart from all else that is to be done, as it must not fail with it.
/// That they may again is told by ports that are to stay only.
pub fn withdrawal(
    tables: &Tables,
    bridge: &str,
    withdrawn: bool,
    watches: Option<&BTreeMap<End, Name>>,
) -> Vec<Operation> {
    let told = |row: &Row| Tables::pair(row, "bfd", WITHDRAWN) == Some("true");
    let stays = |row: &Row| watches.is_none_or(|watches| end(row).is_some_and(|end| watches.contains_key(&end)));
    let wrong = |row: &Row| told(row) != withdrawn && (withdrawn || stays(row));
    let wrong = ports(tables, bridge).into_iter().filter(|(_, _, row)| wrong(row));
    let operations = wrong.map(|(_, interface, _)| {
        let operation = Operation::mutate("Interface").row(interface);
        let operation = operation.mutation("bfd", Mutator::Delete, Value::set([WITHDRAWN]));
        match withdrawn {
            true => operation.mutation("bfd", Mutator::Insert, Value::map([(WITHDRAWN, "true")])),
            false => operation,
        }
    });
    operations.collect()
}

/// Adds to the plan what makes the ports be as they should. While nobody knows what is to be watched, all ports stay.
pub fn repair(plan: &mut Plan, tables: &Tables, wanted: &Wanted, parts: &Parts<'_>) {
    let Parts { watches, withdrawn, steady, leaving, .. } = *parts;
    let Some((bridge, _)) = tables.bridge(&wanted.bridge) else { return };
    let mut found = BTreeSet::new();
    for (port, interface, row) in ports(tables, &wanted.bridge) {
        let name = row.string("name").unwrap_or_default();
        let end = end(row);
        let stays = end.is_some_and(|end| watches.is_none_or(|w| w.contains_key(&end)) && found.insert(end));
        if !stays && watches.is_some() {
            if leaving {
                continue;
            }
            plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Delete, port));
            plan.words.push(format!("removing the port {name}, which watched an end point"));
            continue;
        }
        let chassis = end.and_then(|end| watches?.get(&end)).filter(|chassis| is_other(row, chassis));
        if let Some(chassis) = chassis {
            for operation in [Operation::mutate("Interface").row(interface), Operation::mutate("Port").row(port)] {
                let operation = operation.mutation("external_ids", Mutator::Delete, Value::set([WATCH]));
                let ids = Value::map([(WATCH, &**chassis)]);
                plan.operations.push(operation.mutation("external_ids", Mutator::Insert, ids));
            }
            plan.words.push(format!("{name} watches {chassis} now"));
        }
        let should = settings(wanted, false);
        let is = |key: &str| Tables::pair(row, "bfd", key);
        let as_it_should =
            KEYS.iter().all(|key| is(key) == should.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str()));
        if !as_it_should {
            let operation = Operation::mutate("Interface").row(interface);
            let operation = operation.mutation("bfd", Mutator::Delete, Value::set(KEYS));
            let pairs = should.iter().map(|(key, value)| (*key, value.as_str()));
            plan.operations.push(operation.mutation("bfd", Mutator::Insert, Value::map(pairs)));
            plan.words.push(format!("setting BFD of {name}: {}", words(&should)));
        }
    }
    let numbers = numbers(tables, wanted, watches);
    let missing = watches.filter(|_| steady).into_iter().flatten().filter(|(end, _)| !found.contains(*end));
    let mut names = BTreeSet::new();
    for (end, chassis) in missing {
        let taken = |name: &str| tables.interface_named(name).is_some() || names.contains(name);
        let Some(name) = name(*end, taken) else { continue };
        let (remote, settings) = (end.1.to_string(), settings(wanted, withdrawn == Some(true)));
        let watching = |interface: Operation| {
            let interface = interface
                .column("type", interface_type(end.0))
                .column("options", Value::map(tunnel_options(&remote)))
                .column("bfd", Value::map(settings.iter().map(|(key, value)| (*key, value.as_str()))));
            match numbers.get(end) {
                Some(ofport) => interface.column("ofport_request", i64::from(*ofport)),
                None => interface,
            }
        };
        // Where Open vSwitch's start script is told to delete such ports at boot, a host that comes up draws nothing before its agent has filled it.
        let transient = |port: Operation| port.column("other_config", Value::map([("transient", "true")]));
        let port = plan.port(&name, &[(WATCH, &**chassis)], watching, transient);
        plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Insert, port));
        plan.words.push(format!("adding {name}, which watches {chassis} ({} {})", interface_type(end.0), end.1));
        names.insert(name);
    }
}

/// Whether a port says that it watches another chassis than it does.
fn is_other(row: &Row, chassis: &Name) -> bool {
    Tables::pair(row, "external_ids", WATCH) != Some(chassis)
}

/// Whether the ports say that this host is withdrawn.
pub fn told(tables: &Tables, bridge: &str) -> bool {
    ports(tables, bridge).into_iter().any(|(_, _, row)| Tables::pair(row, "bfd", WITHDRAWN) == Some("true"))
}

/// Whether each of these end points has a port.
pub fn all_made(tables: &Tables, bridge: &str, watches: &BTreeMap<End, Name>) -> bool {
    let made: BTreeSet<End> = ports(tables, bridge).into_iter().filter_map(|(_, _, row)| end(row)).collect();
    watches.keys().all(|end| made.contains(end))
}

fn words(settings: &[(&str, String)]) -> String {
    let all: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    /// Databases have them.
    #[test]
    fn end_points_keep_the_names_of_their_ports() {
        let first = (EncapKind::Geneve, IpAddr::from([192, 0, 2, 1]));
        let second = (EncapKind::Vxlan, IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        assert_eq!(name(first, |_| false).as_deref(), Some("tn-03b8eb2e703a"));
        assert_eq!(name(first, |name| name == "tn-03b8eb2e703a").as_deref(), Some("tn-04b8eb2e71ed"));
        assert_eq!(name(second, |_| false).as_deref(), Some("tn-8046630b1972"));
    }
}
