//! What `tpctl` would write is never set aside by the rules that agents run: two judgements of networks, written apart, held against each other.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use std::collections::BTreeSet;
use tuplenet_model::{
    key::Key,
    network::Network,
    object::{Invalid, Object},
};
use tuplenet_rules::{Change, Config, Engine, Scope};

/// Any object, valid by itself, out of few names, ids and addresses: most networks of them contradict themselves somewhere.
fn objects() -> impl Strategy<Value = (String, String)> {
    let peer = proptest::option::weighted(0.4, (0..2u8, 0..2u8));
    let lsp = (0..2u8, 0..3u8, 1..4u8, 1..4u8, 1..4u8, peer.clone()).prop_map(|(s, p, id, mac, ip, peer)| {
        let peer = peer.map(|(r, q)| format!(r#","peer":{{"lr":"r{r}","lrp":"q{q}"}}"#)).unwrap_or_default();
        (
            format!("ls/s{s}/lsp/p{p}"),
            format!(r#"{{"port_id":{id},"mac":"02:00:00:00:00:0{mac}","ips":["10.0.0.{ip}"]{peer}}}"#),
        )
    });
    let lrp = (0..2u8, 0..2u8, 1..4u8, 1..4u8, 1..4u8, peer).prop_map(|(r, q, id, mac, ip, peer)| {
        let peer = peer.map(|(s, p)| format!(r#","peer":{{"ls":"s{s}","lsp":"p{p}"}}"#)).unwrap_or_default();
        (
            format!("lr/r{r}/lrp/q{q}"),
            format!(r#"{{"port_id":{id},"mac":"02:00:00:00:00:0{mac}","nets":["10.0.0.{ip}/24"]{peer}}}"#),
        )
    });
    // The two ends of a link as they should be, so that valid ones are frequent.
    let link = (0..2u8, 0..2u8, 0..2u8, 0..3u8, 1..4u8);
    let link = link.prop_flat_map(|(r, q, s, p, n)| {
        let lrp = format!(r#"{{"port_id":{n},"mac":"02:00:00:00:00:0{n}","nets":["10.0.0.{n}/24"],"peer":{{"ls":"s{s}","lsp":"p{p}"}}}}"#);
        let lsp = format!(r#"{{"port_id":{n},"mac":"02:00:00:00:00:0{n}","ips":["10.0.0.{n}"],"peer":{{"lr":"r{r}","lrp":"q{q}"}}}}"#);
        prop_oneof![Just((format!("lr/r{r}/lrp/q{q}"), lrp)), Just((format!("ls/s{s}/lsp/p{p}"), lsp))]
    });
    let route = (0..2u8, 0..2u8, 0..2u8, 1..5u8, any::<bool>()).prop_map(|(r, n, q, hop, far)| {
        let net = if far { 9 } else { 0 };
        let route = format!(r#"{{"prefix":"0.0.0.0/0","next_hop":"10.0.{net}.{hop}","outport":"q{q}"}}"#);
        (format!("lr/r{r}/lsr/d{n}"), route)
    });
    let switch = (0..2u8, 1..3u8).prop_map(|(s, id)| (format!("ls/s{s}"), format!(r#"{{"id":{id}}}"#)));
    let chassis = prop_oneof![Just("null"), Just(r#""hv1""#)];
    let router = (0..2u8, 3..5u8, chassis)
        .prop_map(|(r, id, at)| (format!("lr/r{r}"), format!(r#"{{"id":{id},"chassis":{at}}}"#)));
    let patch = (0..2u8, 7..9u8, 1..3u8, any::<bool>()).prop_map(|(s, id, hv, vlan)| {
        let vlan = if vlan { r#","vlan":7"# } else { "" };
        let value = format!(r#"{{"port_id":{id},"patch":{{"chassis":"hv{hv}","bridge":"br-ex"{vlan}}}}}"#);
        (format!("ls/s{s}/lsp/up{id}"), value)
    });
    let rule = (0..2u8, 0..2u8, 0..4u8, 1..7u8, 1..3u8, any::<bool>()).prop_map(|(r, n, kind, out, inner, far)| {
        let (inner, out) = (format!("172.16.0.{inner}"), format!("10.0.{}.{out}", if far { 9 } else { 0 }));
        let value = match kind {
            0 => format!(r#"{{"type":"snat","prefix":"{inner}/32","xlate_ip":"{out}"}}"#),
            1 => format!(r#"{{"type":"dnat","prefix":"{out}/32","xlate_ip":"{inner}"}}"#),
            2 => format!(r#"{{"type":"floating","prefix":"{inner}/32","xlate_ip":"{out}"}}"#),
            _ => format!(r#"{{"type":"floating","prefix":"{inner}/32","xlate_ip":"{out}","distributed":true}}"#),
        };
        (format!("lr/r{r}/lnat/n{n}"), value)
    });
    prop_oneof![2 => switch, 2 => router, 2 => lsp, 1 => lrp, 3 => link, 1 => route, 1 => patch, 2 => rule]
}

/// What each finds: paths.
struct Judgement {
    plainly: BTreeSet<String>,
    /// All of it is what the rules may take as it is.
    told_only: bool,
    by_rules: BTreeSet<String>,
}

fn judge(objects: &[(String, String)]) -> Judgement {
    let mut network = Network::default();
    let mut changes = Vec::new();
    for (revision, (path, value)) in objects.iter().enumerate() {
        let key = Key::parse(path).unwrap().unwrap();
        network.insert(key.clone(), Object::parse(&key, value.as_bytes()).unwrap());
        changes.push(Change::Object {
            path: path.clone(),
            value: Some(value.clone().into_bytes().into()),
            create_revision: revision as i64 + 1,
        });
    }
    let mut engine = Engine::new(Config { chassis: "c".parse().unwrap(), scope: Scope::All });
    engine.apply(changes);
    let faults = network.check();
    // A port keeps an address that is a rule's elsewhere, too: agents take both as they are, and `doctor` tells of it.
    let told = |fault: &Invalid| fault.object.contains("/lnat/") && fault.problem.contains("is taken by ls/");
    Judgement {
        plainly: faults.iter().map(|fault| fault.object.clone()).collect(),
        told_only: !faults.is_empty() && faults.iter().all(told),
        by_rules: engine.rejected().map(|reject| reject.key.clone()).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_never_set_aside(objects in proptest::collection::vec(objects(), 0..14)) {
        // The last one of a path counts, as in the store.
        let objects: std::collections::BTreeMap<String, String> = objects.into_iter().collect();
        let objects: Vec<(String, String)> = objects.into_iter().collect();
        let Judgement { plainly, told_only, by_rules } = judge(&objects);
        // Set aside by the rules, then refused by tpctl; and the other way about, so that tpctl refuses nothing that would work.
        prop_assert!(
            plainly.is_empty() == by_rules.is_empty() || told_only,
            "plainly: {:?}; by the rules: {:?}", plainly, by_rules
        );
        // A valid rest: with all refused objects taken out again and again, both agree that nothing is wrong.
        let mut rest = objects;
        loop {
            let plainly = judge(&rest).plainly;
            if plainly.is_empty() {
                break;
            }
            rest.retain(|(path, _)| !plainly.contains(path));
        }
        let by_rules = judge(&rest).by_rules;
        prop_assert!(by_rules.is_empty(), "valid, yet set aside: {:?} of {:?}", by_rules, rest);
    }
}
