//! Every plan, made step by step, leaves a valid network after each step and the wanted one at the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::network::io::{Claim, Stored};
use proptest::prelude::*;
use tuplenet_model::{
    entity::{LogicalRouter, LogicalSwitch, Meta, RouterPort, StaticRoute, SwitchPort},
    id::{DatapathId, PortId},
    mac::Mac,
    name::Name,
    network::link_names,
};

fn name(text: String) -> Name {
    text.parse().unwrap()
}

/// What a network is made of; small numbers, so that two networks want the same names, ids and addresses for different things.
#[derive(Clone, Debug)]
struct Recipe {
    /// Switches 0..n that exist, by bit; which id each gets.
    switches: u8,
    routers: u8,
    rotation: u32,
    /// (switch, name, address, MAC)
    ports: Vec<(u8, u8, u8, u8)>,
    /// (router, switch, address)
    links: Vec<(u8, u8, u8)>,
    /// (router, name, link)
    routes: Vec<(u8, u8, u8)>,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    (
        any::<u8>(),
        any::<u8>(),
        0..4u32,
        proptest::collection::vec((0..3u8, 0..6u8, 1..8u8, 1..8u8), 0..24),
        proptest::collection::vec((0..2u8, 0..3u8, 100..104u8), 0..5),
        proptest::collection::vec((0..2u8, 0..3u8, 0..3u8), 0..6),
    )
        .prop_map(|(switches, routers, rotation, ports, links, routes)| Recipe {
            switches,
            routers,
            rotation,
            ports,
            links,
            routes,
        })
}

/// The network; what would contradict is left out.
fn network(recipe: &Recipe) -> Network {
    let mut n = Network::default();
    let id = |i: u32| DatapathId::new(1 + (i + recipe.rotation) % 5).unwrap();
    for i in (0..3).filter(|i| recipe.switches & (1 << i) != 0) {
        let ls = LogicalSwitch { id: id(i), flood: false, mtu: None, meta: Meta::default() };
        n.insert(Key::Ls(name(format!("s{i}"))), Object::Ls(ls));
    }
    for i in (0..2).filter(|i| recipe.routers & (1 << i) != 0) {
        let lr = LogicalRouter { id: id(3 + i), chassis: None, ecmp_hash: Vec::new(), meta: Meta::default() };
        n.insert(Key::Lr(name(format!("r{i}"))), Object::Lr(lr));
    }
    let mut add = |parts: Vec<(Key, Object)>| {
        let mut with = n.clone();
        for (key, object) in parts {
            if with.get(&key).is_some() {
                return;
            }
            with.insert(key, object);
        }
        if with.check().is_empty() {
            n = with;
        }
    };
    for (s, r, host) in recipe.links.iter().map(|(r, s, host)| (s, r, host)) {
        let (lrp, lsp) = link_names(&name(format!("r{r}")), &name(format!("s{s}"))).unwrap();
        let net = format!("10.{s}.0.{host}/24").parse().unwrap();
        let mac = Mac([2, 0, 0, 0, 1, *host]);
        let port_id = PortId::new(u16::from(*host)).unwrap();
        let router_port =
            RouterPort { port_id: Some(port_id), mac, nets: vec![net], peer: Some(lsp.clone()), meta: Meta::default() };
        let switch_port = SwitchPort {
            port_id,
            mac: Some(mac),
            ips: vec![net.addr()],
            peer: Some(lrp.clone()),
            patch: None,
            meta: Meta::default(),
        };
        add(vec![
            (Key::Lrp(lrp.lr, lrp.lrp), Object::Lrp(router_port)),
            (Key::Lsp(lsp.ls, lsp.lsp), Object::Lsp(switch_port)),
        ]);
    }
    for (s, p, ip, mac) in &recipe.ports {
        let port = SwitchPort {
            port_id: PortId::new(u16::from(*ip)).unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0, *mac])),
            ips: vec![format!("10.{s}.0.{ip}").parse().unwrap()],
            peer: None,
            patch: None,
            meta: Meta::default(),
        };
        add(vec![(Key::Lsp(name(format!("s{s}")), name(format!("p{p}"))), Object::Lsp(port))]);
    }
    for (r, route, s) in &recipe.routes {
        let outport = link_names(&name(format!("r{r}")), &name(format!("s{s}"))).unwrap().0.lrp;
        let route_of = StaticRoute {
            prefix: "0.0.0.0/0".parse().unwrap(),
            next_hop: format!("10.{s}.0.200").parse().unwrap(),
            outport,
            meta: Meta::default(),
        };
        add(vec![(Key::Lsr(name(format!("r{r}")), name(format!("d{route}"))), Object::Lsr(route_of))]);
    }
    n
}

fn snapshot(network: &Network) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (key, object) in network.iter() {
        let value = serde_json::to_vec(&object.to_json()).unwrap();
        snapshot.objects.insert(key.clone(), Stored { object: Ok(object.clone()), value, mod_revision: 1 });
        for claim in claims::of(key, object) {
            snapshot.claims.insert(claim, Claim { owner: key.to_string(), mod_revision: 1 });
        }
    }
    snapshot
}

/// Makes a plan in memory; how many steps it had.
fn follow(from: &Network, to: &Network, plan: &Plan, max_ops: usize) -> usize {
    let mut now = from.clone();
    for step in &plan.steps {
        let weight: usize = step.changes.iter().map(|i| weight(plan.changes.get(*i), &Snapshot::default())).sum();
        assert!(weight <= max_ops, "a step fits the store");
        for change in step.changes.iter().map(|i| &plan.changes[*i]) {
            match &change.new {
                Some(new) => drop(now.insert(change.key.clone(), new.clone())),
                None => drop(now.remove(&change.key)),
            }
        }
        assert_eq!(now.check(), Vec::new(), "valid after phase {}: {:?}", step.phase, plan.changes);
    }
    assert_eq!(&now, to);
    plan.steps.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_step_leaves_a_valid_network(a in recipes(), b in recipes()) {
        follow_all(&network(&a), &network(&b));
    }
}

/// From one network to another, all at once, in steps that must be cut, and in such that are a group each or refused.
fn follow_all(from: &Network, to: &Network) {
    assert_eq!(from.check(), Vec::new());
    let snapshot = snapshot(from);
    for max_ops in [10_000, 75, 45, 30] {
        match Plan::within(max_ops, &snapshot, to) {
            Ok(plan) => {
                let steps = follow(from, to, &plan, max_ops);
                assert!(max_ops < 10_000 || steps <= 1);
                assert_eq!(plan.is_empty(), from == to);
            }
            Err(NetworkError::Refused(reason)) => {
                assert!(max_ops < 10_000 && reason.contains("change places"), "{reason}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A router's only link moves to a new switch that gets the id of a router that goes, while the old switch's id becomes the router's: the
/// new switch must come no later than the port on it.
#[test]
fn a_link_moves_between_datapaths_that_exchange_ids() {
    let recipe = |switches, routers, rotation, switch| Recipe {
        switches,
        routers,
        rotation,
        ports: Vec::new(),
        links: vec![(1, switch, 100)],
        routes: Vec::new(),
    };
    follow_all(&network(&recipe(0b011, 0b11, 1, 0)), &network(&recipe(0b110, 0b10, 2, 2)));
}

/// Two routers on one switch exchange the addresses of their rules: none of them is ever both's.
#[test]
fn external_addresses_change_routers() {
    let network = |turned: u8| {
        let mut n = Network::default();
        let mut put = |path: String, value: String| {
            let key = Key::parse(&path).unwrap().unwrap();
            let object = Object::parse(&key, value.as_bytes()).unwrap();
            assert!(n.insert(key, object));
        };
        put("ls/out".into(), r#"{"id":1}"#.into());
        for r in [1_u8, 2] {
            let ends = format!(r#""mac":"02:00:00:00:00:0{r}","port_id":{r}"#);
            put(format!("lr/r{r}"), format!(r#"{{"id":{},"chassis":"hv{r}"}}"#, 1 + r));
            put(
                format!("ls/out/lsp/p{r}"),
                format!(r#"{{{ends},"ips":["203.0.113.{r}"],"peer":{{"lr":"r{r}","lrp":"q"}}}}"#),
            );
            put(
                format!("lr/r{r}/lrp/q"),
                format!(r#"{{{ends},"nets":["203.0.113.{r}/24"],"peer":{{"ls":"out","lsp":"p{r}"}}}}"#),
            );
            for i in 0..12 {
                let ip = 50 * (r ^ turned) + i;
                let rule = format!(r#"{{"type":"dnat","prefix":"203.0.113.{ip}/32","xlate_ip":"10.0.0.{i}"}}"#);
                put(format!("lr/r{r}/lnat/n{i}"), rule);
            }
        }
        n
    };
    follow_all(&network(0), &network(3));
}

#[test]
fn a_large_network_is_cut_into_full_transactions() {
    let mut to = Network::default();
    to.insert(
        Key::Ls(name("A".into())),
        Object::Ls(LogicalSwitch { id: DatapathId::new(1).unwrap(), flood: false, mtu: None, meta: Meta::default() }),
    );
    for i in 1..=1000u16 {
        let [hi, lo] = i.to_be_bytes();
        let ips = vec![std::net::IpAddr::from([10, 0, hi, lo])];
        let port = SwitchPort {
            port_id: PortId::new(i).unwrap(),
            mac: Mac::derived_from(&ips),
            ips,
            peer: None,
            patch: None,
            meta: Meta::default(),
        };
        to.insert(Key::Lsp(name("A".into()), name(format!("p{i}"))), Object::Lsp(port));
    }
    let from = Network::default();
    let plan = Plan::new(&snapshot(&from), &to).unwrap();
    // One for the switch; 7 operations a port, 18 ports a transaction.
    assert_eq!(follow(&from, &to, &plan, MAX_OPS), 1 + 1000usize.div_ceil(MAX_OPS / 7));
    let back = Plan::new(&snapshot(&to), &from).unwrap();
    assert_eq!(follow(&to, &from, &back, MAX_OPS), 1 + 1000usize.div_ceil(MAX_OPS / 7));
}
