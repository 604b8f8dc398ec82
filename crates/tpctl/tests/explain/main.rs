//! `tpctl explain` as its users run it, on the embedded store. The flows that it is asked about are those that the rules make.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../bench/mod.rs"]
mod bench;
mod network;
mod object;
mod reach;

use bench::{Bench, Embedded, texts};
use network::{by_own_stack, dumped, flows, network, outside, simulated, strings, with_input, with_neighbour};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tuplenet_openflow::Flow;
use tuplenet_rules::cookie::{Cookie, Rule, name_hash};

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
    let edges = [Rule::EcmpHome, Rule::Redirect, Rule::NoDetour];
    let rules: BTreeSet<u8> = Rule::ALL.iter().filter(|rule| !edges.contains(rule)).map(|rule| *rule as u8).collect();
    assert_eq!(seen, rules, "the network of this test must make flows of every rule");

    // The same as drops: with the count, and refused for a flow that is none.
    let drops: Vec<&Flow> = all.iter().filter(|flow| is_end(flow)).collect();
    let input: String = drops.iter().map(|flow| dumped(flow, 7)).collect();
    let (out, _) = texts(&with_input(b, &["explain", "drop", "-"], &input));
    // That of packets that are too long counts the others, too.
    let (ended, passed) = (": 7 packets, 98 bytes ended here\n", ": 7 packets, 98 bytes came by, ended or not; ");
    let too_big = out.matches("(rule too-big)").count();
    assert_eq!((out.matches(ended).count(), out.matches(passed).count()), (drops.len() - too_big, too_big));
    assert!(too_big > 0);
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
