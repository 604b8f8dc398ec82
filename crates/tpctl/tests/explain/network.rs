//! The networks that are asked about, and their flows as the rules make them.

use super::bench::Bench;
use serde_json::Value;
use std::{
    io::Write,
    process::{Output, Stdio},
};
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, Config, Engine, LocalPatch, Scope,
    cookie::{Cookie, Rule},
};
use tuplenet_sim::network::{Network, Object};

/// Three hosts; two switches, of which one floods, around a distributed router; a third behind a pinned one.
pub fn network(b: &Bench) {
    b.tutorial();
    for line in [
        "ls set LS-A --flood --description front",
        "lsp add LS-A vm3 10.20.1.3",
        "lsp add LS-A vm4 10.20.1.4,fd00:20:1::4 --description fourth",
        "lsp add LS-B vm5 10.20.2.5",
        "lsr add LR-central default 0.0.0.0/0 10.20.2.2 LR-central_to_LS-B",
        "ls add LS-C --mtu 1400",
        "lr add LR-edge hv3",
        "lr link LR-edge LS-B 10.20.2.9/24",
        "lr link LR-edge LS-C 10.30.1.1/24",
        "lsp add LS-C out 10.30.1.2",
        "lsr add LR-central lab 10.30.0.0/16 10.20.2.9 LR-central_to_LS-B",
        "lsr add LR-edge back 10.20.1.0/24 10.20.2.1 LR-edge_to_LS-B",
    ] {
        b.ok(line);
    }
    for (chassis, ip) in [("hv1", "192.0.2.1"), ("hv2", "192.0.2.2"), ("hv3", "2001:db8::3"), ("hv4", "192.0.2.4")] {
        b.put(&format!("chassis/{chassis}"), &format!(r#"{{"encaps": [{{"type": "geneve", "ip": "{ip}"}}]}}"#));
        b.put(&format!("status/{chassis}/alive"), "{}");
    }
    for (port, chassis) in [("LS-A/vm1", "hv1"), ("LS-A/vm4", "hv1"), ("LS-B/vm2", "hv2"), ("LS-C/out", "hv3")] {
        bind(b, port, chassis);
    }
}

/// A provider network on two of the hosts, with routers on it that translate.
pub fn outside(b: &Bench) {
    for line in [
        "ls add LS-out --flood",
        "patchport add LS-out phys hv3 br-ex --vlan 7",
        "patchport add LS-out phys1 hv1 br-ex",
        "lsp add LS-out guest 203.0.113.50",
        "lsp add LS-out server 203.0.113.51",
        "lr link LR-edge LS-out 203.0.113.2/24,2001:db8:1::2/64",
        "lr link LR-central LS-out 203.0.113.3/24",
        "lnat add LR-edge out 10.0.0.0/8 snat 203.0.113.2",
        "lnat add LR-edge web 203.0.113.4 dnat 10.20.1.4",
        "lnat add LR-edge vm5 10.30.1.2 floating 203.0.113.5",
        "lnat add LR-central vm1 10.20.1.2 floating 203.0.113.6 --distributed",
        "lsr add LR-central far 198.51.100.0/24 10.20.2.2 LR-central_to_LS-B",
        "lsr add LR-central far2 198.51.100.0/24 10.20.2.5 LR-central_to_LS-B",
    ] {
        b.ok(line);
    }
    bind(b, "LS-out/guest", "hv2");
    bind(b, "LS-out/server", "hv3");
}

/// What a host's flows are once its agent has learned a neighbour outside and probes it.
pub fn with_neighbour(b: &Bench, chassis: &str) -> Vec<Flow> {
    let mut engine = Engine::new(Config { chassis: chassis.parse().unwrap(), scope: Scope::default() });
    let objects = b.all().into_iter().enumerate().map(|(i, (path, value))| Change::Object {
        path,
        value: Some(value.into()),
        create_revision: i as i64,
    });
    let wanted = engine.apply(objects).patches;
    let pairs: Vec<Change> = wanted
        .into_iter()
        .map(|(pair, _)| Change::Patch { name: pair.name, patch: Some(LocalPatch { bridge: pair.bridge, ofport: 7 }) })
        .collect();
    engine.apply(pairs);
    let mac = Some("02:00:00:00:00:99".parse().unwrap());
    let ip = "203.0.113.1".parse().unwrap();
    engine.apply([Change::Neighbour { ls: "LS-out".parse().unwrap(), ip, mac }]);
    engine.apply([Change::Probe { target: ip, wanted: true }]);
    let of_both = |cookie: Cookie| matches!(cookie.rule, Rule::Neighbour | Rule::ProbeAnswer);
    engine.flows().filter(|flow| Cookie::decode(flow.cookie).is_some_and(of_both)).collect()
}

/// What a host has besides once its own IP stack takes what is for the outside.
pub fn by_own_stack(b: &Bench, chassis: &str) -> Vec<Flow> {
    let mut sim = simulated(b, None);
    sim.untunnel(&chassis.parse().unwrap(), true, true);
    let own = |cookie: Cookie| matches!(cookie.rule, Rule::Untunnel | Rule::UntunnelIn);
    let mut all = flows(&mut sim, chassis);
    all.retain(|flow| Cookie::decode(flow.cookie).is_some_and(own));
    all
}

pub fn bind(b: &Bench, port: &str, chassis: &str) {
    b.put(&format!("binding/{port}"), &format!(r#"{{"chassis": "{chassis}", "generation": 1}}"#));
}

/// The same network in memory, without some object.
pub fn simulated(b: &Bench, without: Option<&str>) -> Network {
    let all = b.all().into_iter().filter(|(path, _)| Some(path.as_str()) != without);
    Network::new(all.enumerate().map(|(i, (path, value))| Object {
        path,
        value: value.into(),
        create_revision: i as i64,
    }))
}

pub fn flows(network: &mut Network, chassis: &str) -> Vec<Flow> {
    network.host(&chassis.parse().unwrap()).unwrap().engine().flows().collect()
}

pub fn with_input(b: &Bench, arguments: &[&str], input: &str) -> Output {
    let mut child = b.tpctl(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

/// As `ovs-ofctl dump-flows` prints a flow, counters included.
pub fn dumped(flow: &Flow, packets: u64) -> String {
    let rest = flow.to_string();
    let rest = rest.split_once(", ").unwrap().1.trim_start_matches(&format!("table={}, ", flow.table)).to_owned();
    format!(
        " cookie={:#x}, duration=1.5s, table={}, n_packets={packets}, n_bytes=98, {rest}\n",
        flow.cookie, flow.table
    )
}
