//! Our flow-based tunnel ports: one a protocol, whose remote end and key each packet's flow sets.

use super::{
    plan::Plan,
    tables::{MANAGED, Tables, WATCH},
    wanted::Wanted,
};
use std::convert::identity;
use tuplenet_model::entity::EncapKind;
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};

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

/// Options of a tunnel port of ours to that end point, or for `flow` to any.
pub fn tunnel_options(remote: &str) -> [(&'static str, &str); 2] {
    [("remote_ip", remote), ("key", "flow")]
}

/// Inserts the port of a protocol.
pub fn port(plan: &mut Plan, kind: EncapKind) -> Value {
    let tunnel = |interface: Operation| {
        interface.column("type", interface_type(kind)).column("options", Value::map(tunnel_options("flow")))
    };
    plan.port(&tunnel_name(kind), &[], tunnel, identity)
}

/// Adds to the plan what makes the bridge have just the tunnel ports that it should.
pub fn repair(plan: &mut Plan, bridge: Uuid, row: &Row, tables: &Tables, wanted: &Wanted) {
    for kind in &wanted.encaps {
        let tunnel = tunnel_name(*kind);
        match tables.interface_named(&tunnel) {
            None => {
                let port = port(plan, *kind);
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
        let flow_based = port.starts_with("tn-") && Tables::pair(row, "external_ids", WATCH).is_none();
        if ours && flow_based && !wanted.encaps.iter().any(|k| tunnel_name(*k) == port) {
            plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Delete, uuid));
            plan.words.push(format!("removing the tunnel port {port}, whose encap is not configured any more"));
        }
    }
}
