//! A random network on the real switch: each host's flows, as its engine computes them, and the packets of its ports.
//!
//! What leaves a host by a tunnel comes to the other host next, so that both ends of a tunnel are looked at.

use super::{
    generate::{Case, Network},
    real::{LOCAL_PORTS, TUNNELS},
};
use std::{collections::BTreeSet, net::IpAddr};
use tuplenet_model::name::Name;
use tuplenet_openflow::{
    Action, Flow,
    message::{Bucket, GroupCommand, GroupKind, GroupMod},
};
use tuplenet_rules::{Change, ClaimMark, Config, Engine, Group, LocalInterface, Scope};

/// One host of a network.
pub struct Host {
    pub chassis: String,
    /// Bridge port of each of its ports.
    pub ports: Vec<((String, String), u32)>,
    pub flows: Vec<Flow>,
    pub groups: Vec<Group>,
}

impl Host {
    /// Computes what this host's switch should hold.
    pub fn new(network: &Network, chassis: &str) -> Host {
        let name: Name = chassis.parse().expect("a generated name is valid");
        let mut engine = Engine::new(Config { chassis: name, scope: Scope::Reachable });
        let mut changes: Vec<Change> = TUNNELS
            .iter()
            .filter(|(_, kind, _)| has_encap(network, chassis, kind))
            .map(|(kind, _, ofport)| Change::Tunnel { kind: *kind, ofport: Some(*ofport) })
            .collect();
        changes.extend(network.objects.iter().map(|object| Change::Object {
            path: object.path.clone(),
            value: Some(object.json.clone().into_bytes().into()),
            create_revision: object.created,
        }));
        let mut here = Vec::new();
        for port in network.ports.iter().filter(|p| !p.gateway && p.chassis.as_deref() == Some(chassis)) {
            let ofport = here.len() as u32 + 1;
            if ofport > LOCAL_PORTS {
                break;
            }
            let full = format!("{}/{}", port.ls, port.lsp);
            let claim = Some(ClaimMark { lsp: full.clone(), generation: 1 });
            let interface = LocalInterface { name: format!("vif{ofport}"), iface_id: full, ofport, claim };
            changes.push(Change::Interface { id: ofport.into(), interface: Some(interface) });
            here.push(((port.ls.clone(), port.lsp.clone()), ofport));
        }
        engine.apply(changes);
        Host {
            chassis: chassis.to_owned(),
            ports: here,
            flows: engine.flows().collect(),
            groups: engine.groups().collect(),
        }
    }

    /// The bridge port of a switch port.
    pub fn ofport(&self, ls: &str, lsp: &str) -> Option<u32> {
        let found = self.ports.iter().find(|((l, p), _)| l == ls && p == lsp);
        found.map(|(_, ofport)| *ofport)
    }
}

/// Groups as the agent makes them.
pub fn group_mods(groups: &[Group]) -> Vec<GroupMod> {
    let all = groups.iter().map(|group| {
        let bucket = |(id, actions): (usize, &Vec<Action>)| Bucket::new(id as u32, actions.clone());
        let buckets = group.buckets.iter().enumerate().map(bucket).collect();
        GroupMod::new(GroupCommand::Add, GroupKind::All, group.id, buckets)
    });
    all.collect()
}

/// The hosts that have ports.
pub fn hosts(case: &Case) -> BTreeSet<String> {
    case.network.ports.iter().filter_map(|port| port.chassis.clone()).collect()
}

/// The host that has this tunnel end point. Of several, the first.
pub fn host_at(network: &Network, ip: IpAddr) -> Option<String> {
    let found = network.objects.iter().find(|object| {
        object.path.starts_with("chassis/") && encaps(&object.json).iter().any(|(_, at)| *at == Some(ip))
    })?;
    found.path.strip_prefix("chassis/").map(str::to_owned)
}

/// An agent makes tunnel ports of the kinds that its chassis has.
fn has_encap(network: &Network, chassis: &str, kind: &str) -> bool {
    let object = network.objects.iter().find(|object| object.path.strip_prefix("chassis/") == Some(chassis));
    object.is_none_or(|object| encaps(&object.json).iter().any(|(k, _)| k == kind))
}

fn encaps(json: &str) -> Vec<(String, Option<IpAddr>)> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let all = value["encaps"].as_array().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|encap| (text(&encap["type"]), text(&encap["ip"]).parse().ok())).collect()
}
