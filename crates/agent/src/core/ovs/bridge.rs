//! The bridge as it should be, and the transaction that makes it so.

use super::{
    bfd, export, own_stack, patch,
    plan::Plan,
    tables::{CLAIM, MANAGED, Tables},
    tunnel::{self, tunnel_name},
    wanted::{Parts, Wanted},
};
use std::convert::identity;
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};

/// OpenFlow versions of the bridge: 1.5 for us, the others for people with `ovs-ofctl`.
const PROTOCOLS: [&str; 3] = ["OpenFlow10", "OpenFlow13", "OpenFlow15"];

/// How many reports of packets may wait in Open vSwitch until they are sent to us, and how it wants that said: the most that it takes. It drops
/// what is more, without telling whom it would have told, and a packet that is flooded to 200 ports makes 400 reports at once.
const QUEUE: (&str, &str) = ("controller-queue-size", "512");

/// What is to be done; `None`: all is well.
pub fn plan(tables: &Tables, wanted: &Wanted, parts: Parts<'_>) -> Option<Plan> {
    let (root, root_row) = tables.root()?;
    let mut plan = Plan { operations: Vec::new(), words: Vec::new() };
    match tables.bridge(&wanted.bridge) {
        None => create(&mut plan, root, root_row, tables, wanted),
        Some((uuid, row)) => {
            repair(&mut plan, uuid, row, wanted);
            tunnel::repair(&mut plan, uuid, row, tables, wanted);
            export::repair(&mut plan, uuid, row, tables, wanted);
            bfd::repair(&mut plan, tables, wanted, &parts);
            own_stack::repair(&mut plan, uuid, row, tables, wanted);
            if let Some(patches) = parts.patches {
                patch::repair(&mut plan, tables, wanted, patches, parts.parting);
            }
        }
    }
    if plan.operations.is_empty() {
        return None;
    }
    plan.operations.push(Operation::comment(&format!("tuplenet: {}", plan.words.join("; "))));
    Some(plan)
}

fn create(plan: &mut Plan, root: Uuid, root_row: &Row, tables: &Tables, wanted: &Wanted) {
    let name = wanted.bridge.as_str();
    let mut ports = vec![plan.port(name, &[], |interface| interface.column("type", "internal"), identity)];
    for kind in &wanted.encaps {
        if tables.interface_named(&tunnel_name(*kind)).is_none() {
            ports.push(tunnel::port(plan, *kind));
        }
    }
    let kernel = wanted.kernel_datapath && root_row.strings("datapath_types").iter().any(|t| &**t == "system");
    let datapath = wanted.datapath_type.name().unwrap_or(if kernel { "system" } else { "netdev" });
    plan.operations.push(
        Operation::insert("Bridge")
            .named("bridge")
            .column("name", name)
            .column("fail_mode", "secure")
            .column("protocols", Value::set(PROTOCOLS))
            .column("datapath_type", datapath)
            .column("ports", Value::set(ports))
            .column("external_ids", Value::map([(MANAGED, "true")]))
            .column("other_config", Value::map([("disable-in-band", "true"), QUEUE])),
    );
    plan.operations.push(Operation::mutate("Open_vSwitch").row(root).mutation(
        "bridges",
        Mutator::Insert,
        Value::named("bridge"),
    ));
    plan.words.push(format!("making the bridge {name} (datapath {datapath})"));
}

fn repair(plan: &mut Plan, bridge: Uuid, row: &Row, wanted: &Wanted) {
    let name = &wanted.bridge;
    if row.string("fail_mode") != Some("secure") {
        plan.operations.push(Operation::update("Bridge").row(bridge).column("fail_mode", "secure"));
        plan.words.push(format!("setting fail_mode of {name} to secure"));
    }
    let protocols = row.strings("protocols");
    if PROTOCOLS.iter().any(|p| !protocols.contains(*p)) {
        plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation(
            "protocols",
            Mutator::Insert,
            Value::set(PROTOCOLS),
        ));
        plan.words.push(format!("enabling OpenFlow 1.0, 1.3 and 1.5 on {name}"));
    }
    // Whatever people have set stays.
    if Tables::pair(row, "other_config", QUEUE.0).is_none() {
        plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation(
            "other_config",
            Mutator::Insert,
            Value::map([QUEUE]),
        ));
        plan.words.push(format!("letting {} reports of packets wait on {name}", QUEUE.1));
    }
    // The empty type is `system`'s other name.
    let has = row.string("datapath_type").filter(|t| !t.is_empty()).unwrap_or("system");
    if let Some(datapath) = wanted.datapath_type.name().filter(|d| *d != has) {
        plan.operations.push(Operation::update("Bridge").row(bridge).column("datapath_type", datapath));
        plan.words.push(format!("changing the datapath of {name} from {has} to {datapath}"));
    }
}

/// The transaction that removes what we made: the bridge if we made it, else our ports on it; our patch ports on other bridges; and our marks on interfaces.
pub fn cleanup(tables: &Tables, bridge_name: &str) -> Option<Plan> {
    let (root, _) = tables.root()?;
    let mut plan = Plan { operations: Vec::new(), words: Vec::new() };
    let marked: Vec<Uuid> = tables
        .members()
        .filter(|(_, row)| Tables::pair(row, "external_ids", CLAIM).is_some())
        .map(|(uuid, _)| uuid)
        .collect();
    for uuid in marked {
        plan.operations.push(Operation::mutate("Interface").row(uuid).mutation(
            "external_ids",
            Mutator::Delete,
            Value::set([CLAIM]),
        ));
    }
    for (bridge, port, name, bridge_name) in patch::ends_elsewhere(tables, bridge_name) {
        plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Delete, port));
        plan.words.push(format!("removed {name} from {bridge_name}"));
    }
    if let Some((bridge, row)) = tables.bridge(bridge_name) {
        let foreign: Vec<&str> = tables
            .ports(row)
            .into_iter()
            .filter(|(_, port)| {
                Tables::pair(port, "external_ids", MANAGED).is_none() && port.string("name") != Some(bridge_name)
            })
            .filter_map(|(_, port)| port.string("name"))
            .collect();
        if Tables::pair(row, "external_ids", MANAGED).is_some() && foreign.is_empty() {
            plan.operations.push(Operation::mutate("Open_vSwitch").row(root).mutation(
                "bridges",
                Mutator::Delete,
                bridge,
            ));
            plan.words.push(format!("removed the bridge {bridge_name}"));
        } else {
            export::cleanup(&mut plan, bridge, row, tables);
            for (uuid, port) in tables.ports(row) {
                let name = port.string("name").unwrap_or_default();
                if name != bridge_name && Tables::pair(port, "external_ids", MANAGED).is_some() {
                    plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation(
                        "ports",
                        Mutator::Delete,
                        uuid,
                    ));
                    plan.words.push(format!("removed the port {name}"));
                }
            }
            let why = if foreign.is_empty() {
                "we did not make it".to_owned()
            } else {
                format!("it still has the ports {}", foreign.join(", "))
            };
            plan.words.push(format!("left the bridge {bridge_name}: {why}"));
        }
    }
    if plan.operations.is_empty() {
        return None;
    }
    plan.operations.push(Operation::comment("tuplenet: cleanup"));
    Some(plan)
}
