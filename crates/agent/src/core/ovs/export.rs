//! Export of what passes the bridge: IPFIX (RFC 7011) and sFlow (version 5), as Open vSwitch makes them.
//!
//! The settings have the names and defaults of ovs-vswitchd.conf.db(5), tables IPFIX and sFlow. A row that somebody else gave the bridge stays: what was asked
//! for waits until it is gone, and says so.

use super::{
    plan::Plan,
    tables::{MANAGED, Tables},
    wanted::{
        Wanted,
        export::{Export, PROTOCOLS, Protocol},
    },
};
use tuplenet_ovsdb::{Function, Operation, Row, Uuid, Value};

/// The row that the bridge exports by, if any, and whether it is ours.
fn row_of<'a>(tables: &'a Tables, bridge: &Row, protocol: Protocol) -> Option<(Uuid, Option<&'a Row>, bool)> {
    let uuid = bridge.uuid(protocol.column())?;
    let row = tables.export(protocol, uuid);
    let ours = row.is_some_and(|row| Tables::pair(row, "external_ids", MANAGED).is_some());
    Some((uuid, row, ours))
}

/// Adds to the plan what makes the bridge export what was asked for, and nothing of ours else.
pub fn repair(plan: &mut Plan, bridge: Uuid, row: &Row, tables: &Tables, wanted: &Wanted) {
    for protocol in PROTOCOLS {
        let export = wanted.exports.iter().find(|export| export.protocol == protocol);
        match (export, row_of(tables, row, protocol)) {
            (Some(export), None) => {
                let name = format!("export_{}", protocol.column());
                let mut insert = Operation::insert(protocol.table()).named(&name);
                for (column, value) in export.columns() {
                    insert = insert.column(column, value);
                }
                plan.operations.push(insert.column("external_ids", Value::map([(MANAGED, "true")])));
                // Only while there is none: somebody else may have been quicker.
                let free =
                    Operation::update("Bridge").row(bridge).filter(protocol.column(), Function::Equal, Value::empty());
                plan.operations.push(free.column(protocol.column(), Value::named(&name)));
                plan.words.push(export.words());
            }
            (Some(export), Some((uuid, Some(row), true))) if !export.is(row) => {
                let update = Operation::update(protocol.table()).row(uuid);
                plan.operations.push(export.columns().into_iter().fold(update, |update, (c, v)| update.column(c, v)));
                plan.words.push(export.words());
            }
            (None, Some((uuid, _, true))) => {
                clear(plan, bridge, protocol, uuid);
                plan.words.push(format!("not exporting by {} any more", protocol.table()));
            }
            _ => {}
        }
    }
}

fn clear(plan: &mut Plan, bridge: Uuid, protocol: Protocol, row: Uuid) {
    let operation = Operation::update("Bridge").row(bridge).filter(protocol.column(), Function::Equal, row);
    plan.operations.push(operation.column(protocol.column(), Value::empty()));
}

/// What was asked for and cannot be, in words: somebody else's export is in its place.
pub fn hindrances(tables: &Tables, wanted: &Wanted) -> Vec<String> {
    let Some((_, bridge)) = tables.bridge(&wanted.bridge) else { return Vec::new() };
    let name = &wanted.bridge;
    let hindrance = |export: &Export| {
        let (_, row, ours) = row_of(tables, bridge, export.protocol)?;
        let targets: Vec<String> = row?.strings("targets").iter().map(|t| t.to_string()).collect();
        let (option, table, column) = (export.protocol.option(), export.protocol.table(), export.protocol.column());
        (!ours).then(|| {
            format!(
                "{option} waits: {name} exports by {table} to {} as somebody else has set it up, which stays. To have ours take its place: \
                 ovs-vsctl clear Bridge {name} {column}",
                if targets.is_empty() { "nobody".to_owned() } else { targets.join(", ") }
            )
        })
    };
    wanted.exports.iter().filter_map(hindrance).collect()
}

/// Takes away what is ours, of a bridge that stays.
pub fn cleanup(plan: &mut Plan, bridge: Uuid, row: &Row, tables: &Tables) {
    for protocol in PROTOCOLS {
        if let Some((uuid, _, true)) = row_of(tables, row, protocol) {
            clear(plan, bridge, protocol, uuid);
            plan.words.push(format!("removed the export by {}", protocol.table()));
        }
    }
}
