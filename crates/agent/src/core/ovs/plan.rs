//! The bridge as it should be, and the transaction that makes it so.

use super::{
    bfd::{self, End},
    export::{self, Export},
    own_stack::{self, Families},
    patch,
    tables::{MANAGED, Tables},
};
use crate::config::DatapathType;
use std::{collections::BTreeMap, convert::identity};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};
use tuplenet_rules::PatchPair;

/// OpenFlow versions of the bridge: 1.5 for us, the others for people with `ovs-ofctl`.
const PROTOCOLS: [&str; 3] = ["OpenFlow10", "OpenFlow13", "OpenFlow15"];

/// How many reports of packets may wait in Open vSwitch until they are sent to us, and how it wants that said: the most that it takes. It drops
/// what is more, without telling whom it would have told, and a packet that is flooded to 200 ports makes 400 reports at once.
const QUEUE: (&str, &str) = ("controller-queue-size", "512");

/// What the bridge should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub bridge: String,
    /// Its datapath.
    pub datapath_type: DatapathType,
    /// Whether the kernel has Open vSwitch's datapath: the database lists it in any case.
    pub kernel_datapath: bool,
    /// One flow-based tunnel port for each.
    pub encaps: Vec<EncapKind>,
    /// To whom what passes it is told, and how; at most one a protocol.
    pub exports: Vec<Export>,
    /// Between two packets of a BFD session, in milliseconds. Three that are missing mean that the other end is dead.
    pub bfd_interval: u16,
    /// Of which families this host's own IP stack takes what is for the outside.
    pub untunnel: Option<Families>,
}

/// What there should be beside the bridge, as the rules derive it and as this host stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// The pairs of patch Interfaces, by name; `None`: nobody knows yet which.
    pub patches: Option<&'a BTreeMap<String, PatchPair>>,
    /// The end points that are watched; `None`: nobody knows yet which.
    pub watches: Option<&'a BTreeMap<End, Name>>,
    /// Whether ports for them may be made now.
    pub steady: bool,
    /// Whether the other ends are told not to send here; `None`: nobody knows yet, and it stays as it is.
    pub withdrawn: Option<bool>,
}

/// A transaction, and what it does in words.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The operations.
    pub operations: Vec<Operation>,
    /// What they do.
    pub words: Vec<String>,
}

impl Plan {
    /// Inserts a Port of ours and its Interface, both of that name, with our mark and these ids beside it; gives the reference to the Port. What else the two have the
    /// callers add.
    pub fn port(
        &mut self,
        name: &str,
        ids: &[(&str, &str)],
        interface: impl FnOnce(Operation) -> Operation,
        port: impl FnOnce(Operation) -> Operation,
    ) -> Value {
        let number = self.operations.len();
        let (interface_name, port_name) = (format!("interface{number}"), format!("port{number}"));
        let ids = || Value::map([(MANAGED, "true")].into_iter().chain(ids.iter().copied()));
        let ours = |table: &str, uuid: &str| {
            Operation::insert(table).named(uuid).column("name", name).column("external_ids", ids())
        };
        self.operations.push(interface(ours("Interface", &interface_name)));
        let port = port(ours("Port", &port_name).column("interfaces", Value::named(&interface_name)));
        self.operations.push(port);
        Value::named(&port_name)
    }
}

/// The type of an OVS Interface for a tunnel protocol.
pub fn interface_type(kind: EncapKind) -> &'static str {
    match kind {
        EncapKind::Geneve => "geneve",
        EncapKind::Vxlan => "vxlan",
        EncapKind::Gre => "gre",
    }
}

/// Name of our tunnel port for a protocol.
pub fn tunnel_name(kind: EncapKind) -> String {
    format!("tn-{}", interface_type(kind))
}

/// Whether an interface is a tunnel port whose remote end and key are set by flow.
pub fn is_flow_tunnel(row: &Row, kind: EncapKind) -> bool {
    row.string("type") == Some(interface_type(kind))
        && Tables::pair(row, "options", "remote_ip") == Some("flow")
        && Tables::pair(row, "options", "key") == Some("flow")
}

/// The tunnel ports that stand on another bridge, with that bridge's name: we cannot have them. Open vSwitch takes one flow-based port of a kind
/// for each datapath, and interfaces' names are unique in it.
pub fn tunnels_elsewhere(tables: &Tables, wanted: &Wanted) -> Vec<(EncapKind, String)> {
    let elsewhere = |kind: &EncapKind| {
        let (uuid, _) = tables.interface_named(&tunnel_name(*kind))?;
        let bridge = tables.bridge_of(uuid).filter(|bridge| *bridge != wanted.bridge)?;
        Some((*kind, bridge.to_owned()))
    };
    wanted.encaps.iter().filter_map(elsewhere).collect()
}

/// What is to be done; `None`: all is well.
pub fn plan(tables: &Tables, wanted: &Wanted, parts: Parts<'_>) -> Option<Plan> {
    let (root, root_row) = tables.root()?;
    let mut plan = Plan { operations: Vec::new(), words: Vec::new() };
    match tables.bridge(&wanted.bridge) {
        None => create(&mut plan, root, root_row, tables, wanted),
        Some((uuid, row)) => {
            repair(&mut plan, uuid, row, tables, wanted);
            export::repair(&mut plan, uuid, row, tables, wanted);
            bfd::repair(&mut plan, tables, wanted, &parts);
            own_stack::repair(&mut plan, uuid, row, tables, wanted);
            if let Some(patches) = parts.patches {
                patch::repair(&mut plan, tables, wanted, patches);
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
            ports.push(tunnel_port(plan, *kind));
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

fn repair(plan: &mut Plan, bridge: Uuid, row: &Row, tables: &Tables, wanted: &Wanted) {
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
    for kind in &wanted.encaps {
        let tunnel = tunnel_name(*kind);
        match tables.interface_named(&tunnel) {
            None => {
                let port = tunnel_port(plan, *kind);
                plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Insert, port));
                plan.words.push(format!("adding the tunnel port {tunnel}"));
            }
            // One on another bridge is not ours to put right.
            Some((uuid, row)) if tables.member(uuid).is_some() && !is_flow_tunnel(row, *kind) => {
                plan.operations.push(
                    Operation::update("Interface")
                        .row(uuid)
                        .column("type", interface_type(*kind))
                        .column("options", Value::map(tunnel_options("flow"))),
                );
                plan.words.push(format!("putting the tunnel port {tunnel} right"));
            }
            Some(_) => {}
        }
    }
    for (uuid, row) in tables.ports(row) {
        let port = row.string("name").unwrap_or_default();
        let ours = Tables::pair(row, "external_ids", MANAGED).is_some();
        let flow_based = port.starts_with("tn-") && !bfd::is_watch(row);
        if ours && flow_based && !wanted.encaps.iter().any(|k| tunnel_name(*k) == port) {
            plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Delete, uuid));
            plan.words.push(format!("removing the tunnel port {port}, whose encap is not configured any more"));
        }
    }
}

/// Options of a tunnel port of ours to that end point, or for `flow` to any.
pub fn tunnel_options(remote: &str) -> [(&'static str, &str); 2] {
    [("remote_ip", remote), ("key", "flow")]
}

fn tunnel_port(plan: &mut Plan, kind: EncapKind) -> Value {
    let tunnel = |interface: Operation| {
        interface.column("type", interface_type(kind)).column("options", Value::map(tunnel_options("flow")))
    };
    plan.port(&tunnel_name(kind), &[], tunnel, identity)
}

/// The transaction that removes what we made: the bridge if we made it, else our ports on it; our patch ports on other bridges; and our marks on interfaces.
pub fn cleanup(tables: &Tables, bridge_name: &str) -> Option<Plan> {
    let (root, _) = tables.root()?;
    let mut plan = Plan { operations: Vec::new(), words: Vec::new() };
    let marked: Vec<Uuid> = tables
        .members()
        .filter(|(_, row)| Tables::pair(row, "external_ids", super::CLAIM).is_some())
        .map(|(uuid, _)| uuid)
        .collect();
    for uuid in marked {
        plan.operations.push(Operation::mutate("Interface").row(uuid).mutation(
            "external_ids",
            Mutator::Delete,
            Value::set([super::CLAIM]),
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
