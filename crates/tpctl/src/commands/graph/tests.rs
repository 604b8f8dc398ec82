//! The physical picture against the very rules that agents run: a line between two chassis means flows to each other in their switches.
#![allow(clippy::unwrap_used)]

use super::{
    physical,
    picture::{Life, Line, What},
    source::Source,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tuplenet_model::{
    document::Document,
    entity::{Binding, Chassis, Encap, EncapKind, Meta},
    key::Key,
    name::Name,
    network::Network,
    object::Object,
};
use tuplenet_rules::{
    Change, Config, Engine, LocalInterface, Scope,
    cookie::{Cookie, Rule},
};

const CHASSIS: usize = 5;

fn host(number: usize) -> Name {
    format!("hv{number}").parse().unwrap()
}

/// A network of some switches with a port each, routers that are distributed (0) or pinned, links, and where each port is.
fn network() -> impl Strategy<Value = Network> {
    let links = prop::collection::btree_set((0..4usize, 0..7usize), 0..14);
    let homes = prop::collection::vec(prop::option::of(0..CHASSIS), 7);
    (links, prop::collection::vec(0..=CHASSIS, 4), homes).prop_map(|(links, pins, homes)| {
        let mut text = "switches:\n".to_owned();
        (0..7).for_each(|s| text.push_str(&format!("  s{s}: {{ports: {{vm{s}: 10.0.{s}.200}}}}\n")));
        text.push_str("routers:\n");
        for (r, pin) in pins.iter().enumerate() {
            let chassis = if *pin == 0 { String::new() } else { format!("chassis: hv{}, ", pin - 1) };
            let mine = links.iter().filter(|(router, _)| *router == r);
            let mine: String = mine.map(|(_, s)| format!("s{s}: 10.0.{s}.{}/24, ", r + 1)).collect();
            text.push_str(&format!("  r{r}: {{{chassis}links: {{{mine}}}}}\n"));
        }
        let mut network = Document::parse(&text).unwrap().resolve(&Network::default()).unwrap();
        for number in 0..CHASSIS {
            let encaps =
                vec![Encap { kind: EncapKind::Geneve, ip: format!("192.0.2.{}", number + 1).parse().unwrap() }];
            let chassis = Chassis { encaps, roles: Vec::new(), mtu: None, meta: Meta::default() };
            network.insert(Key::Chassis(host(number)), Object::Chassis(chassis));
        }
        for (s, home) in homes.into_iter().enumerate() {
            let Some(home) = home else { continue };
            let key = Key::Binding(format!("s{s}").parse().unwrap(), format!("vm{s}").parse().unwrap());
            network.insert(key, Object::Binding(Binding { chassis: host(home), generation: 1 }));
        }
        network
    })
}

/// The chassis that a chassis has tunnel flows to.
fn peers(network: &Network, me: &Name) -> BTreeSet<Name> {
    let mut engine = Engine::new(Config { chassis: me.clone(), scope: Scope::Reachable });
    let mut changes = vec![Change::Tunnel { kind: EncapKind::Geneve, remote: None, ofport: Some(1) }];
    for (number, (key, object)) in network.iter().enumerate() {
        let value = serde_json::to_vec(&object.to_json()).unwrap();
        changes.push(Change::Object {
            path: key.to_string(),
            value: Some(value.into()),
            create_revision: number as i64,
        });
        if let (Key::Binding(ls, lsp), Object::Binding(Binding { chassis, .. })) = (key, object)
            && chassis == me
        {
            let name = format!("{ls}/{lsp}");
            let interface =
                LocalInterface { name: name.clone(), iface_id: name, ofport: 10 + number as u32, claim: None };
            changes.push(Change::Interface { id: number as u128, interface: Some(interface) });
        }
    }
    engine.apply(changes);
    let flows: BTreeSet<u64> = engine.flows().map(|flow| flow.cookie).collect();
    let has = |name: &Name| flows.contains(&Cookie::named(Rule::TunnelOut, None, name).encode());
    (0..CHASSIS).map(host).filter(|name| name != me && has(name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tunnel_is_drawn_where_the_rules_make_flows_for_it(network in network()) {
        let source = Source { network, alive: Some(BTreeSet::new()), ..Source::default() };
        let picture = physical::picture(&source, None, usize::MAX);
        let name = |node: usize| -> Name { picture.nodes[node].name.parse().unwrap() };
        let mut drawn: BTreeSet<(Name, Name)> = BTreeSet::new();
        for edge in &picture.edges {
            let tunnel = matches!(edge.what, Line::Tunnel { .. });
            prop_assert!(tunnel);
            drawn.extend([(name(edge.from), name(edge.to)), (name(edge.to), name(edge.from))]);
        }
        let mut wanted = BTreeSet::new();
        for me in (0..CHASSIS).map(host) {
            wanted.extend(peers(&source.network, &me).into_iter().map(|peer| (me.clone(), peer)));
        }
        prop_assert_eq!(&drawn, &wanted);
        // The same as meshes: members of one mesh are exactly those who see each other.
        let meshes = physical::picture(&source, None, 0);
        let mut joined = BTreeSet::new();
        for (number, _) in meshes.nodes.iter().enumerate().filter(|(_, node)| matches!(node.what, What::Mesh { .. })) {
            let members = meshes.edges.iter().filter(|edge| edge.from == number);
            let members: Vec<Name> = members.map(|edge| meshes.nodes[edge.to].name.parse().unwrap()).collect();
            for a in &members {
                joined.extend(members.iter().filter(|b| *b != a).map(|b| (a.clone(), b.clone())));
            }
        }
        prop_assert_eq!(&joined, &wanted);
        prop_assert!(picture.nodes.iter().all(|node| matches!(&node.what, What::Chassis(host) if host.life == Life::Silent)));
    }
}
