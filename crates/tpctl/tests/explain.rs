//! `tpctl explain` as its users run it, on the embedded store. The flows that it is asked about are those that the rules make.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod bench;

use bench::{Bench, Embedded, texts};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Output, Stdio},
};
use tuplenet_openflow::Flow;
use tuplenet_rules::{
    Change, Config, Engine, LocalPatch, Scope,
    cookie::{Cookie, Rule, name_hash},
};
use tuplenet_sim::network::{Network, Object};

/// Three hosts; two switches, of which one floods, around a distributed router; a third behind a pinned one.
fn network(b: &Bench) {
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
fn outside(b: &Bench) {
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
fn with_neighbour(b: &Bench, chassis: &str) -> Vec<Flow> {
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
fn by_own_stack(b: &Bench, chassis: &str) -> Vec<Flow> {
    let mut sim = simulated(b, None);
    sim.untunnel(&chassis.parse().unwrap(), true, true);
    let own = |cookie: Cookie| matches!(cookie.rule, Rule::Untunnel | Rule::UntunnelIn);
    let mut all = flows(&mut sim, chassis);
    all.retain(|flow| Cookie::decode(flow.cookie).is_some_and(own));
    all
}

fn bind(b: &Bench, port: &str, chassis: &str) {
    b.put(&format!("binding/{port}"), &format!(r#"{{"chassis": "{chassis}", "generation": 1}}"#));
}

/// The same network in memory, without some object.
fn simulated(b: &Bench, without: Option<&str>) -> Network {
    let all = b.all().into_iter().filter(|(path, _)| Some(path.as_str()) != without);
    Network::new(all.enumerate().map(|(i, (path, value))| Object {
        path,
        value: value.into(),
        create_revision: i as i64,
    }))
}

fn flows(network: &mut Network, chassis: &str) -> Vec<Flow> {
    network.host(&chassis.parse().unwrap()).unwrap().engine().flows().collect()
}

fn with_input(b: &Bench, arguments: &[&str], input: &str) -> Output {
    let mut child = b.tpctl(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

/// As `ovs-ofctl dump-flows` prints a flow, counters included.
fn dumped(flow: &Flow, packets: u64) -> String {
    let rest = flow.to_string();
    let rest = rest.split_once(", ").unwrap().1.trim_start_matches(&format!("table={}, ", flow.table)).to_owned();
    format!(
        " cookie={:#x}, duration=1.5s, table={}, n_packets={packets}, n_bytes=98, {rest}\n",
        flow.cookie, flow.table
    )
}

#[test]
fn every_flow_of_every_rule_is_explained_in_words() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    outside(b);
    let mut sim = simulated(b, None);
    let mut all: Vec<Flow> = ["hv1", "hv2", "hv3"].iter().flat_map(|chassis| flows(&mut sim, chassis)).collect();
    all.extend(with_neighbour(b, "hv3"));
    all.extend(by_own_stack(b, "hv1"));
    let input: String = "OFPST_FLOW reply (OF1.5) (xid=0x2):\n".to_owned()
        + &all.iter().map(|flow| dumped(flow, 3)).collect::<String>();
    let output = with_input(b, &["-o", "json", "explain", "flow", "-"], &input);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    let said: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(said.len(), all.len());

    let mut seen = BTreeSet::new();
    for (flow, said) in all.iter().zip(&said) {
        let cookie = Cookie::decode(flow.cookie).unwrap();
        seen.insert(cookie.rule as u8);
        assert_eq!(said["rule"]["name"], cookie.rule.name(), "{flow}");
        assert_eq!(said["stage"]["table"], flow.table, "{flow}");
        assert!(said["stage"]["name"].is_string() && said["rule"]["why"].is_string(), "{flow}");
        assert_eq!((&said["packets"], &said["missing"]), (&3.into(), &false.into()), "{flow}");
        assert_eq!(strings(&said["notes"]), Vec::<String>::new(), "{flow}");
        let named =
            !matches!(cookie.rule, Rule::Pipeline | Rule::TunnelIn | Rule::NeighbourReply | Rule::Drop | Rule::Trace);
        let general = cookie.datapath == 0 && cookie.object == 0;
        assert_eq!(
            !said["objects"].as_array().unwrap().is_empty(),
            named && !general || cookie.rule == Rule::Trace && cookie.datapath > 0,
            "{flow}"
        );
        // Nothing is left as it stands in the switch, and no number is without its name.
        let words = [strings(&said["matches"]), strings(&said["does"])].concat().join("; ");
        for raw in ["=", "->", "which is not in the store", "the port with id"] {
            assert!(!words.contains(raw), "{flow}\n{words}");
        }
        // Whatever ends packets says which and why, and nothing else does.
        let ends = said["ends"].as_array().unwrap().len();
        assert_eq!(ends, usize::from(is_end(flow)), "{flow}\n{said:#}");
    }
    // These need edges that are watched, or of which some translate and others do not.
    let edges = [Rule::EcmpHome, Rule::Redirect];
    let rules: BTreeSet<u8> = Rule::ALL.iter().filter(|rule| !edges.contains(rule)).map(|rule| *rule as u8).collect();
    assert_eq!(seen, rules, "the network of this test must make flows of every rule");

    // The same as drops: with the count, and refused for a flow that is none.
    let drops: Vec<&Flow> = all.iter().filter(|flow| is_end(flow)).collect();
    let input: String = drops.iter().map(|flow| dumped(flow, 7)).collect();
    let (out, _) = texts(&with_input(b, &["explain", "drop", "-"], &input));
    assert_eq!(out.matches(": 7 packets, 98 bytes ended here\n").count(), drops.len());
    let lets_pass = all.iter().find(|flow| !is_end(flow)).unwrap();
    let output = with_input(b, &["explain", "drop", "-"], &dumped(lets_pass, 1));
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("ends no packet"));
}

/// Whether packets end at a flow.
fn is_end(flow: &Flow) -> bool {
    let told = |cookie: Cookie| matches!(cookie.rule, Rule::IcmpError | Rule::TooBig);
    flow.instructions.is_empty() || Cookie::decode(flow.cookie).is_some_and(told)
}

#[test]
fn a_flow_is_explained_to_people() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let mut sim = simulated(b, None);
    let all = flows(&mut sim, "hv1");
    let find = |rule: Rule, text: &str| {
        let fits = |flow: &&Flow| Cookie::decode(flow.cookie).unwrap().rule == rule && flow.to_string().contains(text);
        dumped(all.iter().find(fits).unwrap_or_else(|| panic!("no flow of {rule:?} with {text}")), 12)
    };
    let says = |line: &str, words: &[&str]| {
        let said = b.ok(&format!("explain flow {}", line.trim()));
        for word in words {
            assert!(said.contains(word), "must say \"{word}\":\n{said}");
        }
    };
    says(
        &find(Rule::L2, "f2:01:0a:14:02:02"),
        &[
            "rule      l2 (8): Destination MAC to port.",
            "LSP_INGRESS_LOOKUP_DST_PORT (table 17)",
            "made for  port vm2 of switch LS-B (ls/LS-B/lsp/vm2), on chassis hv2",
            "packets in switch LS-B",
            "to MAC f2:01:0a:14:02:02 (port vm2)",
            "its destination is port vm2",
            "its destination is on chassis hv2 (192.0.2.2)",
            "goes on at LSP_TRACE_INGRESS_OUT (table 18)",
            "12 packets, 98 bytes",
        ],
    );
    says(
        &find(Rule::Static, "nw_dst=10.30.0.0/16"),
        &[
            "route lab of router LR-central (lr/LR-central/lsr/lab): 10.30.0.0/16 by 10.20.2.9 through LR-central_to_LS-B",
            "to 10.30.0.0/16",
            "takes one off its TTL",
            "its next hop is 10.20.2.9 (port LS-B_to_LR-edge of switch LS-B)",
            "its destination is port LR-central_to_LS-B",
        ],
    );
    says(
        &find(Rule::TunnelOut, "192.0.2.2"),
        &["chassis hv2 (chassis/hv2)", "that did not come by a tunnel", "leaves by the tunnel port"],
    );
    says(
        &find(Rule::TunnelOut, "2001:db8::3"),
        &["whose destination is on chassis hv3 (2001:db8::3)", "goes by tunnel to chassis hv3"],
    );
    says(
        &find(Rule::Pushout, "reg5=0x4"),
        &["port vm4 of switch LS-A (ls/LS-A/lsp/vm4) \"fourth\", on chassis hv1", "the interface of port vm4"],
    );
    says(
        &find(Rule::ToRouter, "metadata=0x1 "),
        &["enters router LR-central", "its source is port LR-central_to_LS-A"],
    );
    says(
        &find(Rule::Flood, "group"),
        &["switch LS-A (ls/LS-A) \"front\"", "copies it by the flood group of switch LS-A (group 16777217)"],
    );
    says(&find(Rule::NextHop, "reg0=0xfd000020"), &["whose next hop is fd00:20:", "gets the destination MAC"]);
    says(&find(Rule::OwnAddress, "arp"), &["that ask", "about the address 10.20.1.", "ARP"]);
    says(
        &find(Rule::Drop, "table=57"),
        &["made for  the stage LRP_INGRESS_IP_ROUTE", "neither IPv4 nor IPv6", "look at"],
    );
    says(&find(Rule::IcmpError, "table=57"), &["no route to", "its sender is told", "look at"]);
    says(&find(Rule::IcmpError, "nw_ttl=1"), &["with a TTL or hop limit of 1", "ends it", "no object"]);

    // As ovs-ofctl shows it on a terminal: with names for ports.
    let named = find(Rule::Pushout, "reg5=0x4").split("output:").next().unwrap().to_owned() + "output:tap7";
    says(&named, &["leaves by port tap7 of the bridge: the interface of port vm4"]);

    // A cookie alone tells the rule and the object.
    let cookie = find(Rule::L2, "f2:01:0a:14:02:02");
    let cookie = cookie.trim().split([',', '=']).nth(1).unwrap();
    says(cookie, &["rule      l2 (8)", "port vm2 of switch LS-B", "LSP_INGRESS_LOOKUP_DST_PORT"]);
    says(&format!("cookie={cookie}/-1"), &["port vm2 of switch LS-B"]);
    says(
        &format!("17. metadata=0x2,dl_dst=f2:01:0a:14:02:02, priority 100, cookie {cookie}"),
        &["port vm2 of switch LS-B"],
    );
    assert!(b.ok(&format!("explain flow {cookie} -o yaml")).contains("name: l2\n"));

    // The port goes: its flow says so.
    b.delete("binding/LS-B/vm2");
    b.ok("-y lsr del LR-central default");
    b.ok("-y lsp del LS-B vm2");
    says(
        cookie,
        &[
            "made for  a switch port with id 2 in switch LS-B",
            "not in the store: the host is behind, or the store changed",
            "tpctl ch show",
        ],
    );
    assert_eq!(b.json(&format!("explain flow {cookie}"))["missing"], true);
}

#[test]
fn flows_of_others_and_of_nobody_are_told_apart() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    for (text, words) in [
        ("0x99", "not of TupleNet, whose cookies begin with 0x54"),
        ("cookie=0x99, table=201, priority=9,ip actions=resubmit(,11)", "Table 201 is the hook for other software"),
        ("cookie=0x99, table=17, priority=9,ip actions=drop", "its next audit removes it"),
        ("cookie=0x0, table=17, priority=9,ip actions=drop", "it has no cookie"),
        ("table=17, priority=9,ip actions=drop", "the text has no cookie"),
        ("0x54ff000000000000", "by rule 255, which this tpctl does not know"),
        ("cookie=0x5408000001000002, table=57, priority=1 actions=drop", "rule l2 has no flows in table 57"),
        ("cookie=0x5408000001000002, table=17, reg5=0x1 actions=frobnicate(7)", "match and actions cannot be read"),
    ] {
        let said = b.ok(&format!("explain flow {text}"));
        assert!(said.contains(words), "{text}: must say \"{words}\":\n{said}");
    }
    assert_eq!(b.json("explain flow 0x99")["ours"], false);
    // The first of two objects that have one id is in force, the other is not named.
    b.put("ls/LS-Z", r#"{"id": 1}"#);
    let said = b.json("explain flow 0x5409000001000000");
    assert_eq!(said["objects"][0]["key"], "ls/LS-A");
    assert_eq!(said["objects"].as_array().unwrap().len(), 1);
}

#[test]
fn names_that_share_a_hash_are_both_named() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let mut seen: BTreeMap<u32, String> = BTreeMap::new();
    let (one, two) = (0..)
        .map(|i| format!("r{i}"))
        .find_map(|name| Some((seen.insert(name_hash(&name), name.clone())?, name)))
        .unwrap();
    b.ok(&format!("lsr add LR-central {one} 10.41.0.0/16 10.20.2.2 LR-central_to_LS-B"));
    b.ok(&format!("lsr add LR-central {two} 10.42.0.0/16 10.20.2.2 LR-central_to_LS-B"));
    let cookie = 0x5412 << 48 | 3 << 24 | u64::from(name_hash(&one));
    let said = b.ok(&format!("explain flow {cookie:#x}"));
    for word in [&format!("lsr/{one})"), &format!("lsr/{two})"), "one of them is meant"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_flow_is_compared_with_what_a_host_should_have() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let all = flows(&mut simulated(b, None), "hv1");
    let input: String = all.iter().map(|flow| dumped(flow, 0)).collect();
    let same = |chassis: &str, input: &str| {
        let (out, _) = texts(&with_input(b, &["-o", "json", "explain", "flow", "-", "--chassis", chassis], input));
        let said: Vec<Value> = serde_json::from_str(&format!("[{out}]")).unwrap();
        let said = said[0].as_array().cloned().unwrap_or(said);
        said.iter().filter(|one| one["now"]["same"] == true).count()
    };
    assert_eq!(same("hv1", &input), all.len());
    assert!(same("hv2", &input) < all.len() - 10);
    let line = all.iter().find(|flow| flow.table == 57 && flow.to_string().contains("10.30.0.0/16")).unwrap();
    let line = dumped(line, 0);
    for (changed, words) in [
        (line.clone(), "hv1 should have exactly this flow"),
        (line.replace("dec_ttl,", ""), "hv1 should have this flow with other actions: cookie="),
        (line.replace("10.30.0.0/16", "10.31.0.0/16"), "hv1 should not have this flow"),
        (line.replace("cookie=0x54", "cookie=0x0054"), "hv1 should have exactly this flow"),
        (line.replace("cookie=0x5412", "cookie=0x5411"), "hv1 should have this flow with another cookie"),
    ] {
        let said = b.ok(&format!("explain flow --chassis hv1 {}", changed.trim()));
        assert!(said.contains(words), "must say \"{words}\":\n{said}");
    }
    b.refused_with("explain flow 0x5408000001000002 --chassis hv9", &["chassis hv9 is unknown"]);
}

#[test]
fn drops_are_explained_by_stage() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    let all = b.ok("explain drop");
    for stage in tuplenet_rules::stage::ALL {
        let ends = all.lines().any(|line| line.split_whitespace().nth(1) == Some(stage.name));
        if stage.next.is_none() && !stage.returns() {
            assert!(ends, "{}: {all}", stage.name);
        }
        if ends {
            let said = b.ok(&format!("explain drop {}", stage.name));
            assert!(said.contains("  ends") && said.contains("  because") && said.contains("  look at"), "{said}");
            assert_eq!(b.ok(&format!("explain drop TABLE_{}", stage.name.to_lowercase())), said);
            assert_eq!(b.ok(&format!("explain drop {}", stage.table)), said);
        } else {
            b.refused_with(&format!("explain drop {}", stage.name), &["no packet ends in"]);
        }
    }
    assert!(b.ok("explain drop LRP_INGRESS_IP_ROUTE").contains("no route to"));
    assert_eq!(b.json("explain drop 57")["ends"][0]["rule"], "icmp-error");
    assert!(b.ok("explain drop 0x5415000000000039").contains("neither IPv4 nor IPv6"));
    b.refused_with("explain drop NOWHERE", &["there is no stage NOWHERE"]);
    b.refused_with("explain drop 5", &["there is no stage with table 5"]);
    b.refused_with("explain drop 0x99", &["not of TupleNet"]);
    b.refused_with("explain drop 0x5408000001000002", &["ends no packet"]);
}

/// What the object changes on a host, the slow and plain way: the flows with it that are not there without it.
fn changed(b: &Bench, key: &str, chassis: &str) -> usize {
    let mut with = flows(&mut simulated(b, None), chassis);
    let without: BTreeSet<String> = match simulated(b, Some(key)).host(&chassis.parse().unwrap()) {
        Some(host) => host.engine().flows().map(|flow| flow.to_string()).collect(),
        None => BTreeSet::new(),
    };
    with.retain(|flow| !without.contains(&flow.to_string()));
    with.len()
}

#[test]
fn an_object_has_exactly_the_flows_that_go_with_it() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    for key in [
        "ls/LS-A",
        "ls/LS-C",
        "ls/LS-A/lsp/vm1",
        "ls/LS-A/lsp/vm3",
        "ls/LS-B/lsp/vm2",
        "ls/LS-B/lsp/LS-B_to_LR-edge",
        "lr/LR-central",
        "lr/LR-edge",
        "lr/LR-central/lrp/LR-central_to_LS-A",
        "lr/LR-central/lsr/lab",
        "chassis/hv2",
    ] {
        let said = b.json(&format!("explain object {key}"));
        let mut all = 0;
        for host in said["hosts"].as_array().unwrap() {
            let chassis = host["chassis"].as_str().unwrap();
            if key == format!("chassis/{chassis}") {
                continue; // the simulator takes a host's tunnels from it; an agent has them of its configuration
            }
            let expected = changed(b, key, chassis);
            assert_eq!(host["count"], expected, "{key} on {chassis}");
            assert!(expected == 0 || host["absent"].is_null(), "{key} on {chassis}");
            all += expected;
        }
        assert_eq!(said["count"], all, "{key}");
        assert_eq!(said["hosts"].as_array().unwrap().len(), 4);
    }
    // A binding is what makes the port local, and remote elsewhere.
    let said = b.json("explain object binding LS-B vm2");
    assert_eq!(said["on"], serde_json::json!(["hv1", "hv2", "hv3"]));
}

#[test]
fn an_object_is_explained_to_people() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let said = b.ok("explain object lr/LR-central/lsr/lab");
    let mut lines = said.lines();
    assert_eq!(
        lines.next().unwrap(),
        "route lab of router LR-central (lr/LR-central/lsr/lab): 10.30.0.0/16 by 10.20.2.9 through LR-central_to_LS-B"
    );
    assert!(lines.next().unwrap().contains("on 3 hosts"), "{said}");
    assert!(
        said.contains("\nhv1: 1 flow\n  LRP_INGRESS_IP_ROUTE (table 57)\n    static-route: cookie=0x5412"),
        "{said}"
    );
    assert!(said.contains("\nhv4: none: no port of hv4 can reach router LR-central\n"), "{said}");
    // The same object by other words.
    for words in
        ["route LR-central lab", "lsr LR-central lab", "LR-central/lab", "lab", "/tuplenet/v1/lr/LR-central/lsr/lab"]
    {
        assert_eq!(b.ok(&format!("explain object {words}")), said, "{words}");
    }
    // Ports by name where only the switch knows the number.
    let port = b.ok("explain object vm1 --chassis hv1");
    assert!(port.contains("in_port=vm1 ") && port.contains("output:vm1\n") && !port.contains("hv2:"), "{port}");
    assert!(!b.ok("explain object vm1 --summary").contains("cookie="));
    let flood = b.ok("explain object ls LS-A --chassis hv1");
    assert!(flood.contains("a copy in the flood group of switch LS-A (group 16777217): "), "{flood}");

    assert!(b.ok("explain object vm3").contains("no flow exists because of it: the port is bound to no chassis"));
    b.ok("lsr add LR-central second 0.0.0.0/0 10.20.2.5 LR-central_to_LS-B");
    b.ok("lsr add LR-central third 0.0.0.0/0 10.20.2.5 LR-central_to_LS-B");
    let third = b.ok("explain object third");
    assert!(third.contains("route second of router LR-central leads the same way and is older"), "{third}");
    let default = b.ok("explain object LR-central/default");
    assert!(default.contains("ecmp: cookie=0x5422") && default.contains("parts of groups"), "two ways: {default}");
    b.put("ls/LS-A/lsp/bad", r#"{"port_id": 77, "mac": "nonsense", "ips": ["10.20.1.77"]}"#);
    assert!(
        b.ok("explain object bad")
            .contains("set aside, so that no flow exists because of it: mac: \"nonsense\" is not a MAC address")
    );

    b.ok("ls add LS-far");
    assert!(b.ok("explain object LS-far").contains("no host has a port that can reach it"));
    b.put("binding/LS-A/ghost", r#"{"chassis": "hv1", "generation": 1}"#);
    assert!(b.ok("explain object binding LS-A ghost").contains("port ghost of switch LS-A does not exist"));
    b.put("ls/LS-C/lsp/LS-C_to_LR-edge", r#"{"port_id": 1, "mac": "nonsense", "ips": []}"#);
    let said = b.ok("explain object lr/LR-edge/lrp/LR-edge_to_LS-C");
    assert!(said.contains("set aside, so that no flow exists because of it: peer: "), "{said}");

    b.refused_with("explain object vm9", &["there is no vm9"]);
    b.refused_with("explain object ls/LS-A/lsp/vm9", &["port vm9 of switch LS-A does not exist"]);
    b.refused_with("explain object ls/LS-A/x/y/z", &["is not the key of any object"]);
    b.refused_with("explain object claim/id/1", &["the path of no object"]);
    b.refused_with("explain object route LR-central", &["write: route LR ROUTE"]);
    b.refused_with("explain object frob a b", &["\"frob\" is no kind of object"]);
    b.refused_with("explain object vm1 --chassis hv9", &["chassis hv9 is unknown"]);
    b.ok("lsp add LS-C vm1 10.30.1.7");
    b.refused_with("explain object vm1", &["may be one of ls/LS-A/lsp/vm1, ls/LS-C/lsp/vm1"]);
}

/// A question that is answered with no, for this reason.
fn lacks(b: &Bench, line: &str, words: &[&str]) {
    let (out, err) = b.exits(1, &format!("explain reach {line}"));
    assert_eq!(err, "", "{line}");
    let first = out.lines().next().unwrap();
    for word in words {
        assert!(first.contains(word), "reach {line}: must say \"{word}\": {first}");
    }
    assert!(out.lines().nth(1).unwrap().starts_with("what to do: "), "{out}");
    let (json, _) = b.exits(1, &format!("explain reach {line} -o json"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["reaches"], false);
    assert!(json["missing"]["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
}

/// A question that is answered with "by the store yes, but".
fn doubts(b: &Bench, line: &str, reason: &str) {
    let (out, err) = b.exits(1, &format!("explain reach {line}"));
    let first = out.lines().next().unwrap();
    // The switch of a host goes on without its agent: "does not reach" would be false.
    assert!(
        first.contains(&format!(" by ping, but that is not certain: {reason}")) && !first.contains("not reach"),
        "{out}"
    );
    assert!(
        out.contains("\nwhat to do: look at ") && out.contains(": arrives at port ") && err.is_empty(),
        "{out}{err}"
    );
    let json: Value = serde_json::from_str(&b.exits(1, &format!("explain reach {line} -o json")).0).unwrap();
    assert_eq!((&json["reaches"], &json["missing"]["what"]), (&Value::Null, &reason.into()));
}

#[test]
fn ports_that_reach_each_other_do_so_in_both_directions_and_families() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    let short = b.ok("explain reach vm1 vm2");
    assert!(short.contains("\n  on hv1: LS-A > LR-central > LS-B\n  on hv2: LS-B\n"), "{short}");
    let said = b.ok("explain reach vm1 vm2 --hops");
    assert!(
        said.starts_with("port vm1 of switch LS-A reaches port vm2 of switch LS-B by ping: IPv4 and IPv6\n"),
        "{said}"
    );
    for way in
        ["IPv4, there: 10.20.1.2 to 10.20.2.2", "IPv4, back: 10.20.2.2 to 10.20.1.2", "IPv6, there", "IPv6, back"]
    {
        assert!(said.contains(way), "{said}");
    }
    assert!(
        said.contains(
            "  type:LS,pipeline:LS-B,from:LS-B_to_LR-central,to:vm2,stage:TABLE_LSP_TRACE_EGRESS_IN,chassis:hv2\n"
        ),
        "{said}"
    );
    let json = b.json("explain reach LS-A/vm1 LS-A/vm4 --tcp 22");
    assert_eq!((&json["reaches"], json["ways"].as_array().unwrap().len()), (&true.into(), 4));
    // By two routers, of which one is on a host of its own.
    let json = b.json("explain reach vm1 out --udp 53");
    let hosts: BTreeSet<&str> =
        json["ways"][0]["hops"].as_array().unwrap().iter().map(|hop| hop["chassis"].as_str().unwrap()).collect();
    assert_eq!(hosts, BTreeSet::from(["hv1", "hv3"]));
    // Addresses: of a port, of a router, of somebody behind a port.
    assert!(b.ok("explain reach vm1 10.20.2.2").contains("reaches 10.20.2.2, port vm2 of switch LS-B"));
    assert!(b.ok("explain reach vm1 10.20.2.1").contains("LR-central answers, with an echo reply"));
    let said = b.ok("explain reach vm1 10.99.0.1");
    assert!(
        said.contains(
            "arrives at port vm2 of switch LS-B on hv2, which is the next hop; what is behind it is not known here"
        ),
        "{said}"
    );
}

#[test]
fn the_first_missing_fact_is_named() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    network(b);
    b.refused_with("explain reach vm1 vm99", &["there is no vm99"]);
    b.refused_with("explain reach vm1 vm1", &["both ends"]);
    assert_eq!(b.run(&["explain", "reach", "vm1", "vm2", "--tcp", "1", "--icmp"]).status.code(), Some(2));

    lacks(b, "vm1 vm3", &["port vm3 of switch LS-A is bound to no chassis"]);
    lacks(b, "vm3 vm1", &["port vm3 of switch LS-A is bound to no chassis"]);
    lacks(b, "vm1 LS-B_to_LR-central", &["is the end of a link with router LR-central"]);
    b.put("ls/LS-A/lsp/bad", r#"{"port_id": 77, "mac": "nonsense", "ips": ["10.20.1.77"]}"#);
    lacks(b, "vm1 bad", &["port bad of switch LS-A is set aside: mac: \"nonsense\""]);
    b.delete("ls/LS-A/lsp/bad");

    // Chassis.
    bind(b, "LS-A/vm3", "hv9");
    lacks(b, "vm1 vm3", &["chassis hv9, which has port vm3 of switch LS-A, is not in the store"]);
    b.put("chassis/hv9", r#"{"encaps": [{"type": "vxlan", "ip": "192.0.2.9"}]}"#);
    lacks(b, "vm1 vm3", &["no tunnel protocol in common: hv1 speaks geneve, hv9 vxlan"]);
    b.put("chassis/hv9", r#"{"encaps": [{"type": "geneve", "ip": "192.0.2.9"}]}"#);
    doubts(b, "vm1 vm3", "the agent of chassis hv9, which has port vm3 of switch LS-A, is silent");
    b.put("status/hv9/alive", "{}");
    b.ok("explain reach vm1 vm3");
    b.delete("status/hv3/alive");
    lacks(b, "vm1 10.30.1.99", &["10.30.1.99 is nobody's address on LS-C (LR-edge on hv3)"]);
    b.ok("lsp add LS-C far 10.30.1.3");
    bind(b, "LS-C/far", "hv4");
    doubts(b, "vm1 far", "the agent of chassis hv3, through which the packet goes, is silent");
    b.put("status/hv3/alive", "{}");

    // Families.
    b.ok("lsp add LS-B six fd00:20:2::6 02:00:00:00:00:06");
    bind(b, "LS-B/six", "hv2");
    lacks(b, "vm3 six", &["no address family in common", "has IPv4 only", "IPv6 only"]);

    // Routers and routes.
    b.ok("ls add LS-D");
    b.ok("lsp add LS-D lone 10.40.0.2");
    bind(b, "LS-D/lone", "hv1");
    lacks(b, "lone vm1", &["IPv4, there: switch LS-D has no router"]);
    lacks(b, "vm1 lone", &["IPv4, there: it arrives at port vm2 of switch LS-B on hv2 instead"]);
    b.ok("-y lsr del LR-central default");
    lacks(b, "vm1 lone", &["IPv4, there: no route to 10.40.0.2 (LR-central on hv1)"]);
    b.ok("lr link LR-central LS-D 10.50.0.1/24");
    lacks(b, "lone vm1", &["10.40.0.2 has no gateway"]);
    b.ok("-y lr unlink LR-central LS-D");
    b.ok("lr link LR-central LS-D 10.40.0.1/24");
    b.ok("explain reach lone vm1");
    lacks(b, "out lone", &["IPv4, there: no route to 10.40.0.2 (LR-edge on hv3)"]);
    b.ok("-y lsr del LR-edge back");
    lacks(b, "vm1 out", &["IPv4, back: no route to 10.20.1.2 (LR-edge on hv3)"]);

    // Neighbours.
    b.ok("lsp add LS-D near 10.20.1.50");
    bind(b, "LS-D/near", "hv1");
    lacks(b, "vm1 near", &["10.20.1.2 takes 10.20.1.50 for a neighbour", "in switch LS-D"]);
    lacks(b, "vm1 10.20.1.99", &["10.20.1.99 is in the network 10.20.1.0/24 of switch LS-A, and no port there has it"]);
    lacks(b, "vm1 10.20.2.99", &["10.20.2.99 is nobody's address on LS-B (LR-central on hv1)"]);
    lacks(b, "vm1 10.20.2.1 --tcp 80", &["10.20.2.1 is an address of LR-central itself"]);
    let (out, _) = b.exits(1, "explain reach vm1 10.20.2.1 --tcp 80");
    assert!(out.contains("what to do: Something tries to connect to the gateway's address."), "{out}");
    let (out, _) = b.exits(1, "explain reach vm1 240.0.0.1");
    assert!(out.contains("what to do: \"tpctl explain drop LRP_INGRESS_DROP_UNEXPECT\""), "{out}");
    for (address, kind) in [
        ("127.0.0.1", "a loopback address"),
        ("224.0.0.5", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("255.255.255.255", "the broadcast address"),
        ("::", "the unspecified address"),
        ("fe80::1", "a link-local address"),
    ] {
        b.refused_with(&format!("explain reach vm1 {address}"), &[address, kind, "name a port"]);
    }
    b.refused_with("explain reach 10.20.1.2 vm2", &["10.20.1.2 is an address", "name the one that has it"]);

    // A circle of routes: within a host, then over two.
    b.ok("lsr add LR-central away 10.77.0.0/16 10.20.2.9 LR-central_to_LS-B");
    b.ok("lsr add LR-edge back 10.77.0.0/16 10.20.2.1 LR-edge_to_LS-B");
    lacks(b, "vm1 10.77.0.1", &["routers send it round in a circle, until the switch gave it up"]);
    b.ok("lr set LR-central --chassis hv2");
    lacks(b, "vm1 10.77.0.1", &["routers LR-central and LR-edge send it round in a circle, until its TTL is spent"]);
    b.ok("lr set LR-central --distributed");

    // A link of which one end is set aside is none.
    b.put("lr/LR-central/lrp/LR-central_to_LS-D", r#"{"mac": 5, "nets": [], "peer": null}"#);
    lacks(b, "lone vm1", &["switch LS-D has no router"]);
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let store = Embedded::start();
    let b = &Bench::new(&store.endpoint, "/tuplenet");
    for line in
        ["explain flow", "explain object", "explain reach vm1", "explain frobnicate", "explain reach a b --tcp 99999"]
    {
        assert_eq!(b.run(&line.split_whitespace().collect::<Vec<_>>()).status.code(), Some(2), "{line}");
    }
    for arguments in
        [["explain", "flow", ""], ["explain", "flow", " \n "], ["explain", "drop", ""], ["explain", "flow", "-"]]
    {
        let (out, err) = texts(&b.run(&arguments));
        assert_eq!((out.as_str(), err.lines().count()), ("", 1), "{err}");
        assert!(err.contains("there is no text to explain"), "{err}");
    }
    for text in [
        "garbage",
        "0xzz",
        "actions=",
        "table=999 actions=drop",
        "priority=1,nw_dst=999.0.0.1 actions=drop",
        "\u{1b}[31m actions=\u{7}",
    ] {
        let output = b.run(&["explain", "flow", text]);
        let (out, err) = texts(&output);
        assert_eq!((output.status.code(), out.as_str(), err.lines().count()), (Some(1), "", 1), "{text}: {err}");
        assert!(err.contains("is neither a cookie (0x...) nor a flow") && !err.contains('\u{1b}'), "{err}");
    }
    let output = with_input(b, &["explain", "flow", "-"], &"x".repeat(100_000));
    assert_eq!((output.status.code(), texts(&output).1.lines().count()), (Some(1), 1));
    // What is read is a list, of one line as well.
    for what in ["flow", "drop"] {
        let output =
            with_input(b, &["-o", "json", "explain", what, "-"], "cookie=0x5401000000000011, table=17, actions=drop\n");
        let (out, err) = texts(&output);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap().as_array().map(Vec::len), Some(1), "{out}{err}");
    }
    // One bad line among good ones: these are explained all the same.
    let output = with_input(b, &["explain", "flow", "-"], "0x5408000001000002\nnonsense\n0x99\n");
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.matches("flow 0x").count()), (Some(1), 2));
    assert!(err.contains("\"nonsense\" is neither"), "{err}");
    b.refused_with("explain reach vm1 vm2", &["there is no vm1"]);
    b.refused_with("explain object vm1", &["there is no vm1"]);
    assert!(b.refused("-e 127.0.0.1:1 explain flow 0x5408000001000002").contains("cannot reach the store"));
}
