//! The picture as data, for programs.

use super::{
    picture::{Edge, Fault, Life, Line, Node, Picture, What},
    words::kinds_words,
};
use crate::cli::Format;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Nodes and edges, named as in the store.
pub fn data(picture: &Picture) -> Value {
    let id = |node: usize| picture.nodes.get(node).map(|node| node.id.as_str());
    let nodes: Vec<Value> = picture.nodes.iter().map(node).collect();
    let edges: Vec<Value> = picture.edges.iter().map(|one| edge(one, id(one.from), id(one.to))).collect();
    json!({
        "title": picture.title, "nodes": nodes, "edges": edges, "notes": picture.notes,
        "set_aside": faults(&picture.loose), "collapsed": picture.collapsed,
    })
}

/// As text.
pub fn text(data: &Value, format: Format) -> Result<String> {
    match format {
        Format::Yaml => serde_saphyr::to_string(data).context("cannot write this as YAML"),
        _ => Ok(serde_json::to_string_pretty(data)? + "\n"),
    }
}

fn node(node: &Node) -> Value {
    let kind = if matches!(node.what, What::Mesh { .. }) { "mesh" } else { node.kind() };
    let mut map = object(json!({"id": node.id, "name": node.name, "kind": kind, "rejected": node.rejected}));
    map.insert("set_aside".to_owned(), faults(&node.faults));
    let more = match &node.what {
        What::Switch { ports, hosts } => json!({"ports": ports, "hosts": hosts}),
        What::Router { pinned } => {
            let (chassis, state) = (pinned.as_ref().map(|(name, _)| name), pinned.as_ref().map(|(_, l)| life(*l)));
            json!({"chassis": chassis, "agent": state})
        }
        What::Chassis(host) => json!({
            "agent": life(host.life), "encaps": host.encaps, "roles": host.roles, "hosts": host.ports, "ports": host.count(),
            "routers": host.routers,
        }),
        What::Mesh { chassis, kinds, datapaths } => {
            json!({"chassis": chassis, "encaps": kinds_words(kinds), "datapaths": datapaths})
        }
        What::Many => json!({}),
    };
    map.extend(object(more));
    if node.beyond > 0 {
        map.insert("links_not_drawn".to_owned(), node.beyond.into());
    }
    Value::Object(map)
}

fn edge(edge: &Edge, from: Option<&str>, to: Option<&str>) -> Value {
    let mut map = object(json!({"from": from, "to": to, "set_aside": faults(&edge.faults)}));
    let more = match &edge.what {
        Line::Link { nets, router_port, switch_port } => {
            json!({"kind": "link", "nets": nets, "router_port": router_port, "switch_port": switch_port})
        }
        Line::Routes(routes) => {
            let route = |route: &super::picture::Route| json!({"name": route.name, "prefix": route.prefix, "next_hop": route.next_hop, "port": route.owner, "next_hops": route.of, "state": route.state});
            json!({"kind": "routes", "routes": routes.iter().map(route).collect::<Vec<_>>()})
        }
        Line::Tunnel { kinds, shared, bfd } => {
            json!({"kind": "tunnel", "encaps": kinds_words(kinds), "shared_datapaths": shared, "bfd": bfd})
        }
        Line::Member => json!({"kind": "member"}),
    };
    map.extend(object(more));
    Value::Object(map)
}

fn faults(faults: &[Fault]) -> Value {
    faults.iter().map(|fault| json!({"key": fault.key, "reason": fault.reason})).collect()
}

fn life(life: Life) -> Option<&'static str> {
    match life {
        Life::Alive => Some("alive"),
        Life::Silent => Some("silent"),
        Life::Unregistered => Some("not registered"),
        Life::Unknown => None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
