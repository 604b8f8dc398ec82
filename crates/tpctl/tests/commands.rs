//! `tpctl` as its users run it: every command, on the embedded store and on etcd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod bench;

use bench::{Bench, Embedded, texts};
use serde_json::{Value, json};
use std::io::Write;

on_both_stores! {
    switches_are_added_shown_changed_and_deleted
    ports_are_added_shown_changed_and_deleted
    routers_are_linked_and_unlinked
    routes_are_added_shown_and_deleted
    deleting_what_others_use_is_refused_with_the_list
    recursive_deletion_takes_all_and_nothing_else
    wrong_words_are_usage_errors
    bad_addresses_are_refused
    stale_claims_are_taken_over
    what_another_tool_wrote_is_not_given_twice
    unknown_fields_survive
    equal_names_in_different_parents_are_different_objects
    chassis_are_shown_and_deleted
    the_doctor_lists_what_is_set_aside
    the_status_counts
    the_mtu_is_shown_set_and_judged
    a_port_of_a_full_switch_gets_a_gap
    one_address_wanted_by_twenty_at_once
    twenty_ports_at_once
    a_port_and_the_deletion_of_its_switch_at_once
}

pub fn switches_are_added_shown_changed_and_deleted(b: &Bench) {
    assert_eq!(b.ok("ls add LS-A"), "switch LS-A added with id 1\n");
    assert_eq!(
        b.json("ls add LS-B --flood --label team=red --description two"),
        json!({
            "name": "LS-B", "id": 2, "flood": true, "labels": {"team": "red"}, "description": "two"
        })
    );
    assert_eq!(b.get("ls/LS-A").unwrap(), r#"{"id":1}"#);
    b.refused_with("ls add LS-A", &["switch LS-A exists already"]);
    let table = b.ok("ls show");
    assert!(table.starts_with("SWITCH  ID  PORTS  FLOOD  LABELS    DESCRIPTION\n"), "{table}");
    assert!(table.contains("\nLS-B    2   0      yes    team=red  two\n"), "{table}");
    assert_eq!(b.json("ls show LS-A"), json!({"name": "LS-A", "id": 1, "ports": 0, "routers": []}));
    assert_eq!(b.json("ls show").as_array().unwrap().len(), 2);
    assert!(b.ok("ls show LS-A -o yaml").contains("id: 1\n"));
    b.refused_with("ls show LS-X", &["switch LS-X does not exist", "tpctl ls add LS-X"]);

    b.ok("ls set LS-B --flood=false --unlabel team --label a=b --description new");
    assert_eq!(b.get("ls/LS-B").unwrap(), r#"{"description":"new","id":2,"labels":{"a":"b"}}"#);
    let before = b.revision();
    assert!(b.ok("ls set LS-B --label a=b").contains("is so already"));
    assert_eq!(b.revision(), before);
    b.refused_with("ls set LS-X --flood", &["switch LS-X does not exist"]);

    b.refused_with("ls del LS-A", &["use -y"]);
    assert_eq!(b.ok("-y ls del LS-A"), "switch LS-A deleted\n");
    b.refused_with("-y ls del LS-A", &["switch LS-A does not exist"]);
    b.ok("ls del LS-B -y");
    assert_eq!(b.all(), []);
}

pub fn ports_are_added_shown_changed_and_deleted(b: &Bench) {
    b.ok("ls add A");
    b.ok("lsp add A vm1 10.0.0.1");
    b.ok("lsp add A vm2 10.0.0.2,fd00::2 02:00:00:00:00:02 --label a=b");
    b.ok("lsp add A vm3 fd00::3");
    assert_eq!(b.get("ls/A/lsp/vm1").unwrap(), r#"{"ips":["10.0.0.1"],"mac":"f2:01:0a:00:00:01","port_id":1}"#);
    assert_eq!(
        b.get("ls/A/lsp/vm2").unwrap(),
        r#"{"ips":["10.0.0.2","fd00::2"],"labels":{"a":"b"},"mac":"02:00:00:00:00:02","port_id":2}"#
    );
    b.refused_with("lsp add A vm1 10.0.0.9", &["port vm1 of switch A exists already"]);
    b.refused_with("lsp add A vm9 10.0.0.9,fd00::2", &["address fd00::2 in switch A", "taken by port vm2 of switch A"]);
    b.refused_with("lsp add A vm9 10.0.0.9 02:00:00:00:00:02", &["MAC 02:00:00:00:00:02 in switch A", "port vm2"]);
    b.refused_with("lsp add X vm9 10.0.0.9", &["switch X does not exist"]);
    b.claims_are_consistent();

    b.put("binding/A/vm1", r#"{"chassis":"hv1","generation":1}"#);
    assert_eq!(b.json("lsp show A vm1")["chassis"], "hv1");
    let shown = b.json("lsp show A");
    let names: Vec<&Value> = shown.as_array().unwrap().iter().map(|port| &port["name"]).collect();
    assert_eq!(names, ["vm1", "vm2", "vm3"]);
    assert!(
        b.ok("lsp show A").lines().any(|line| line.starts_with("vm1   1   f2:01:0a:00:00:01  10.0.0.1")),
        "{}",
        b.ok("lsp show A")
    );
    b.refused_with("lsp show X", &["switch X does not exist"]);
    b.refused_with("lsp show A vm9", &["port vm9 of switch A does not exist", "tpctl lsp show A"]);

    b.ok("lsp set A vm1 --ip 10.0.0.11 --description moved");
    assert_eq!(
        b.get("ls/A/lsp/vm1").unwrap(),
        r#"{"description":"moved","ips":["10.0.0.11"],"mac":"f2:01:0a:00:00:0b","port_id":1}"#
    );
    b.ok("lsp set A vm2 --ip 10.0.0.22");
    assert!(b.get("ls/A/lsp/vm2").unwrap().contains("02:00:00:00:00:02"));
    b.ok("lsp set A vm2 --mac 02:00:00:00:00:22");
    b.claims_are_consistent();
    b.refused_with("lsp set A vm2 --ip 10.0.0.11", &["10.0.0.11", "taken by port vm1"]);
    b.refused_with("lsp set A vm9 --ip 10.0.0.11", &["port vm9 of switch A does not exist"]);
    b.ok("lsp add A vm4 10.0.0.1"); // given up by vm1

    b.refused_with("lsp del A vm1", &["use -y"]);
    b.ok("-y lsp del A vm1");
    assert_eq!((b.get("ls/A/lsp/vm1"), b.get("binding/A/vm1")), (None, None));
    b.refused_with("-y lsp del A vm1", &["does not exist"]);
    b.claims_are_consistent();
    b.ok("lsp add A vm1 10.0.0.11");
}

pub fn routers_are_linked_and_unlinked(b: &Bench) {
    b.ok("ls add A");
    b.ok("lr add R");
    assert_eq!(b.get("lr/R").unwrap(), r#"{"chassis":null,"id":2}"#);
    let (_, note) = b.exits(0, "lr add P hv1");
    assert!(note.contains("hv1 has not registered"), "{note}");
    assert_eq!(b.get("lr/P").unwrap(), r#"{"chassis":"hv1","id":3}"#);
    b.ok("lr link R A 10.0.0.254/24,fd00::fe/64");
    assert_eq!(
        b.get("lr/R/lrp/R_to_A").unwrap(),
        r#"{"mac":"f2:01:0a:00:00:fe","nets":["10.0.0.254/24","fd00::fe/64"],"peer":{"ls":"A","lsp":"A_to_R"},"port_id":1}"#
    );
    assert_eq!(
        b.get("ls/A/lsp/A_to_R").unwrap(),
        r#"{"ips":["10.0.0.254","fd00::fe"],"mac":"f2:01:0a:00:00:fe","peer":{"lr":"R","lrp":"R_to_A"},"port_id":1}"#
    );
    b.refused_with("lr link R A 10.0.0.253/24", &["linked already", "tpctl lr unlink R A"]);
    b.refused_with("lr link P A 10.0.0.254/24", &["10.0.0.254 in switch A", "port A_to_R"]);
    b.refused_with("lr link X A 10.0.0.253/24", &["router X does not exist"]);
    b.refused_with("lr link R X 10.0.0.253/24", &["switch X does not exist"]);
    b.refused_with("lr link P A 10.0.0.0/24", &["network itself"]);
    b.ok("lr link P A 10.0.0.253/24 02:00:00:00:00:fd"); // several routers may join one switch
    b.ok("ls add B");
    b.refused_with("lr link R B 10.0.0.253/24", &["network 10.0.0.0/24 in router R", "port R_to_A of router R"]);
    b.claims_are_consistent();

    assert_eq!(b.json("lr show R")["switches"], json!(["A"]));
    assert_eq!(b.json("lrp show R R_to_A")["nets"], json!(["10.0.0.254/24", "fd00::fe/64"]));
    assert_eq!(b.json("lrp show R").as_array().unwrap().len(), 1);
    b.refused_with("lrp show X", &["router X does not exist"]);
    b.refused_with("lsp set A A_to_R --ip 10.0.0.9", &["one end of a link", "tpctl lr unlink R A"]);
    b.ok("lsp set A A_to_R --description up");
    b.refused_with("-y lsp del A A_to_R", &["in use by port R_to_A of router R", "tpctl lr unlink R A"]);

    b.ok("lr set P --distributed");
    assert_eq!(b.get("lr/P").unwrap(), r#"{"chassis":null,"id":3}"#);
    b.refused_with("lr unlink R A", &["use -y"]);
    b.ok("-y lr unlink R A");
    b.refused_with("-y lr unlink R A", &["does not exist"]);
    assert_eq!((b.get("lr/R/lrp/R_to_A"), b.get("ls/A/lsp/A_to_R")), (None, None));
    b.ok("lr link R A 10.0.0.254/24");
    b.delete("lr/R/lrp/R_to_A"); // half a link is taken away as well
    b.ok("-y lr unlink R A");
    assert_eq!(b.get("ls/A/lsp/A_to_R"), None);
}

pub fn routes_are_added_shown_and_deleted(b: &Bench) {
    b.tutorial();
    b.ok("lsr add LR-central default 0.0.0.0/0 10.20.1.2 LR-central_to_LS-A");
    b.ok("lsr add LR-central default6 ::/0 fd00:20:1::2 LR-central_to_LS-A");
    assert_eq!(
        b.get("lr/LR-central/lsr/default").unwrap(),
        r#"{"next_hop":"10.20.1.2","outport":"LR-central_to_LS-A","prefix":"0.0.0.0/0"}"#
    );
    let add = "lsr add LR-central r";
    b.refused_with(
        "lsr add LR-central default 0.0.0.0/0 10.20.1.2 LR-central_to_LS-A",
        &["route default", "exists already"],
    );
    b.refused_with(&format!("{add} 10.0.0.1/8 10.20.1.2 LR-central_to_LS-A"), &["write 10.0.0.0/8"]);
    b.refused_with(&format!("{add} ::/0 10.20.1.2 LR-central_to_LS-A"), &["different families"]);
    b.refused_with(&format!("{add} 0.0.0.0/0 10.99.1.2 LR-central_to_LS-A"), &["in no network of LR-central_to_LS-A"]);
    b.refused_with(&format!("{add} 0.0.0.0/0 10.20.1.1 LR-central_to_LS-A"), &["itself"]);
    b.refused_with(
        &format!("{add} 0.0.0.0/0 10.20.1.2 nowhere"),
        &["port nowhere of router LR-central does not exist"],
    );
    b.refused_with("lsr add LR-x r 0.0.0.0/0 10.20.1.2 p", &["router LR-x does not exist"]);
    assert_eq!(b.json("lsr show LR-central default")["next_hop"], "10.20.1.2");
    assert_eq!(b.json("lsr show LR-central").as_array().unwrap().len(), 2);
    b.refused_with("lsr show LR-central x", &["does not exist"]);
    b.refused_with("lsr del LR-central default", &["use -y"]);
    b.ok("-y lsr del LR-central default");
    b.refused_with("-y lsr del LR-central default", &["does not exist"]);
    b.claims_are_consistent();
}

pub fn deleting_what_others_use_is_refused_with_the_list(b: &Bench) {
    b.tutorial();
    b.ok("lsr add LR-central default 0.0.0.0/0 10.20.1.2 LR-central_to_LS-A");
    let before = b.all();
    b.refused_with(
        "-y ls del LS-A",
        &["in use by", "port vm1 of switch LS-A", "port LS-A_to_LR-central", "route default", "-r LS-A"],
    );
    b.refused_with(
        "-y lr del LR-central",
        &["port LR-central_to_LS-A", "port LR-central_to_LS-B", "route default", "-r LR-central"],
    );
    b.refused_with("-y lr unlink LR-central LS-A", &["route default of router LR-central", "-r"]);
    // With -r, but nobody to ask: shown, not done.
    let (_, shown) = b.exits(1, "ls del -r LS-A");
    for part in ["vm1 of switch LS-A", "LR-central_to_LS-A of router", "route default", "use -y"] {
        assert!(shown.contains(part), "must show {part}: {shown}");
    }
    assert_eq!(b.all(), before);
}

pub fn recursive_deletion_takes_all_and_nothing_else(b: &Bench) {
    b.ok("ls add LS-B");
    b.ok("lsp add LS-B vm2 10.20.2.2");
    let rest = b.all();
    b.ok("ls add LS-A");
    b.ok("ls add LS-A2");
    b.ok("lr add LR");
    b.ok("lr link LR LS-A 10.20.1.1/24");
    b.ok("lr link LR LS-B 10.20.2.1/24");
    for i in 2..60 {
        b.ok(&format!("lsp add LS-A vm{i} 10.20.1.{i}"));
    }
    b.put("binding/LS-A/vm2", r#"{"chassis":"hv1","generation":1}"#);
    b.ok("lsr add LR default 0.0.0.0/0 10.20.1.2 LR_to_LS-A");
    b.ok("lsr add LR other 10.9.0.0/16 10.20.2.2 LR_to_LS-B");
    b.ok("-y ls del -r LS-A");
    let left = b.all();
    assert!(
        !left
            .iter()
            .any(|(path, value)| path.contains("LS-A/") || value.contains("LS-A/") || path.contains("LR_to_LS-A")),
        "{left:?}"
    );
    assert!(b.get("ls/LS-A2").is_some() && b.get("lr/LR/lsr/other").is_some() && b.get("lr/LR/lsr/default").is_none());
    b.claims_are_consistent();
    b.ok("-y lr unlink LR LS-B -r");
    assert!(b.get("lr/LR/lsr/other").is_none());
    b.ok("lr link LR LS-B 10.20.2.1/24");
    b.ok("lsr add LR other 10.9.0.0/16 10.20.2.2 LR_to_LS-B");
    b.ok("-y lr del -r LR");
    b.ok("-y ls del LS-A2");
    assert_eq!(b.all(), rest);
}

pub fn wrong_words_are_usage_errors(b: &Bench) {
    for line in [
        "",
        "nonsense",
        "ls",
        "ls add",
        "ls add a/b",
        "ls add -x",
        "ls add A B",
        "lsp add A vm1 10.0.0",
        "lsp add A vm1 10.0.0.1 f2:01",
        "lsp add A vm1 10.0.0.1,",
        "lr link R A 10.0.0.1",
        "lsr add R r 0.0.0.0/0 nowhere p",
        "ls show -o xml",
        "ls add A --label x",
        "apply",
        "lr set R --chassis a --distributed",
    ] {
        let (out, err) = b.exits(2, line);
        assert!(out.is_empty() && !err.is_empty(), "{line}: {out}{err}");
    }
    for (line, advice) in [
        ("lr link R A 10.0.0.1", "write addresses with prefix lengths like 10.20.1.1/24"),
        ("lsp add A vm1 10.0.0.1/24", "write addresses like 10.20.1.2,"),
        ("lsr add R r 10.0.0.0 10.0.0.1 p", "write an address and a prefix length, like 0.0.0.0/0"),
        ("lsr add R r 0.0.0.0/0 10.0.0.1/8 p", "write an address, like 10.20.1.2"),
        ("ls add A --mtu many", "use 1280 to 65535, or auto"),
        // Agents take none of these, and would be in another network.
        ("-p tuplenet ls show", "must begin with /"),
        ("-p / ls show", "must begin with / and name something"),
        ("-e nonsense ls show", "\"nonsense\" is no endpoint"),
        ("-e 127.0.0.1 ls show", "write host:port"),
        ("-e ftp://127.0.0.1:2379 ls show", "write host:port"),
        ("-e , ls show", "no endpoint of the store is given"),
    ] {
        let (_, err) = b.exits(2, line);
        assert!(err.contains(advice), "{line}: {err}");
    }
    assert_eq!(b.all(), []);
    assert!(b.ok("--help").contains("Usage: tpctl"));
    assert!(b.ok("--version").starts_with("tpctl "));
}

pub fn bad_addresses_are_refused(b: &Bench) {
    b.ok("ls add A");
    let before = b.revision();
    for (arguments, word) in [
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("255.255.255.255", "broadcast"),
        ("ff02::1", "multicast"),
        ("10.0.0.1,10.0.0.1", "twice"),
        ("10.0.0.1 ff:ff:ff:ff:ff:ff", "multicast"),
        ("10.0.0.1 00:00:00:00:00:00", "nobody"),
    ] {
        b.refused_with(&format!("lsp add A vm {arguments}"), &["ls/A/lsp/vm", word]);
    }
    assert_eq!(b.revision(), before, "a refused command writes nothing");
    b.refused_with("-e 127.0.0.1:1 --timeout 1 ls show", &["127.0.0.1:1"]);
}

pub fn stale_claims_are_taken_over(b: &Bench) {
    b.ok("ls add A");
    b.ok("lsp add A vm1 10.0.0.1");
    b.delete("ls/A/lsp/vm1"); // with etcdctl, which leaves the claims
    b.ok("lsp add A vm2 10.0.0.1");
    b.ok("lsp add A vm1 10.0.0.3");
    b.put("ls/A/lsp/vm2", r#"{"port_id":2,"mac":"f2:01:0a:00:00:04","ips":["10.0.0.4"]}"#); // no longer has 10.0.0.1
    b.ok("lsp add A vm3 10.0.0.1");
    assert_eq!(b.get("claim/ls/A/ip/10.0.0.1").unwrap(), "ls/A/lsp/vm3");
    // An unreadable one may come to life again: it keeps what it had.
    b.put("ls/A/lsp/vm3", "{");
    b.refused_with("lsp add A vm4 10.0.0.1", &["taken by port vm3"]);
    // So does what only a later version understands.
    b.put("claim/ls/A/ip/10.0.0.9", "later/thing");
    b.put("later/thing", "{}");
    b.refused_with("lsp add A vm9 10.0.0.9", &["taken by later/thing"]);
    b.delete("later/thing");
    b.ok("lsp add A vm9 10.0.0.9");
    // Contradictory claims are not torn from their owner by a deletion.
    b.put("ls/A/lsp/vm5", r#"{"port_id":19,"mac":"f2:01:0a:00:00:03","ips":["10.0.0.3"]}"#);
    b.ok("-y lsp del A vm5");
    assert_eq!(b.get("claim/ls/A/ip/10.0.0.3").unwrap(), "ls/A/lsp/vm1");
    b.refused_with("lsp add A vm4 10.0.0.3", &["taken by port vm1"]);
}

pub fn what_another_tool_wrote_is_not_given_twice(b: &Bench) {
    b.put("ls/A", r#"{"id": 1}"#);
    b.put("lr/R", r#"{"id": 2, "chassis": null}"#);
    b.put("ls/A/lsp/vm1", r#"{"port_id": 1, "mac": "f2:01:0a:01:00:02", "ips": ["10.1.0.2", "fd00::2"]}"#);
    b.put(
        "ls/A/lsp/A_to_R",
        r#"{"port_id": 2, "mac": "f2:01:0a:01:00:01", "ips": ["10.1.0.1"], "peer": {"lr": "R", "lrp": "R_to_A"}}"#,
    );
    b.put(
        "lr/R/lrp/R_to_A",
        r#"{"port_id": 1, "mac": "f2:01:0a:01:00:01", "nets": ["10.1.0.1/24"], "peer": {"ls": "A", "lsp": "A_to_R"}}"#,
    );
    b.put("lr/R/lsr/out", r#"{"prefix": "0.0.0.0/0", "next_hop": "10.1.0.2", "outport": "R_to_A"}"#);
    // Ids and port ids that are had go to nobody else.
    b.ok("ls add B");
    b.ok("lr add S");
    b.ok("lsp add A vm2 10.1.0.3");
    b.ok("lr link R B 10.2.0.1/24");
    let ids = ["ls show A", "lr show R", "ls show B", "lr show S"].map(|line| b.json(line)["id"].clone());
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(b.json("lsp show A vm2")["port_id"], 3);
    assert_eq!(b.json("lrp show R R_to_B")["port_id"], 2);
    // Nor do addresses, MACs and networks, by no command.
    b.refused_with("lsp add A vm3 10.1.0.2", &["taken by port vm1 of switch A"]);
    b.refused_with("lsp add A vm3 fd00::2", &["the address fd00::2 in switch A", "taken by port vm1"]);
    b.refused_with("lsp add A vm3 10.1.0.9 f2:01:0a:01:00:02", &["the MAC f2:01:0a:01:00:02", "taken by port vm1"]);
    b.refused_with("lsp set A vm2 --ip 10.1.0.2", &["taken by port vm1"]);
    b.ok("ls add C");
    b.refused_with("lr link R C 10.1.0.7/24", &["the network 10.1.0.0/24 in router R", "taken by port R_to_A"]);
    b.refused_with("lr link S A 10.1.0.2/24", &["taken by port vm1"]);
    // What is its own it may keep, and claims.
    b.ok("lsp set A vm1 --ip 10.1.0.2,10.1.0.4");
    b.refused_with("lsp add A vm3 10.1.0.4", &["taken by port vm1"]);
    assert_eq!(b.json("doctor"), json!([]));
    // A claimed port replaced by hand leaves a stale claim on what now is another's.
    b.ok("lsp add A old 10.1.0.8");
    b.delete("ls/A/lsp/old");
    b.put("ls/A/lsp/new", r#"{"port_id": 4, "mac": "f2:01:0a:01:00:08", "ips": ["10.1.0.8"]}"#);
    b.refused_with("lsp add A vm3 10.1.0.8", &["taken by port new of switch A"]);
    b.ok("-y lsp del A new");
    // Half a link can be taken away.
    b.put(
        "lr/S/lrp/half",
        r#"{"port_id": 1, "mac": "02:00:00:00:00:09", "nets": ["10.9.0.1/24"], "peer": {"ls": "A", "lsp": "vm1"}}"#,
    );
    b.ok("-y lr unlink S A");
    assert_eq!(b.get("lr/S/lrp/half"), None);
    assert!(b.get("ls/A/lsp/vm1").is_some());
    // All other commands take it as it is.
    b.ok("lsr show R out");
    b.refused_with("-y lr unlink R A", &["route out of router R"]);
    b.ok("-y lr unlink -r R A");
    b.ok("-y lsp del A vm1");
    b.ok("lsp add A vm3 10.1.0.2");
    for line in ["-y ls del -r A", "-y lr del -r R", "-y ls del B", "-y ls del C", "-y lr del S"] {
        b.ok(line);
    }
    assert_eq!(b.all(), []);
}

pub fn unknown_fields_survive(b: &Bench) {
    b.ok("ls add A");
    b.put("ls/A", r#"{"id":1,"later":{"x":[1]}}"#);
    b.ok("ls set A --description new");
    assert_eq!(b.get("ls/A").unwrap(), r#"{"description":"new","id":1,"later":{"x":[1]}}"#);
    assert_eq!(b.json("ls show A")["later"], json!({"x": [1]}));
    let export = b.file("a.yaml", &b.ok("export").replace("new", "newer"));
    b.ok(&format!("apply -f {export}"));
    assert_eq!(b.get("ls/A").unwrap(), r#"{"description":"newer","id":1,"later":{"x":[1]}}"#);
}

pub fn equal_names_in_different_parents_are_different_objects(b: &Bench) {
    for ls in ["A", "B", "A-B"] {
        b.ok(&format!("ls add {ls}"));
        b.ok(&format!("lsp add {ls} vm 10.0.0.1,fd00::1"));
    }
    b.ok("lr add A");
    b.ok("lr link A A 10.0.0.254/24");
    b.ok("-y lsp del A vm");
    assert!(b.get("ls/B/lsp/vm").is_some() && b.get("ls/A-B/lsp/vm").is_some());
    b.ok("-y ls del -r A");
    assert!(b.get("ls/A-B").is_some() && b.get("lr/A").is_some());
    b.claims_are_consistent();
}

pub fn chassis_are_shown_and_deleted(b: &Bench) {
    assert_eq!(b.ok("ch show"), "CHASSIS  ENCAPS  AGENT  PORTS\n");
    b.tutorial();
    b.put("chassis/hv1", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.1"}],"roles":["edge"]}"#);
    b.put("chassis/hv2", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.2"}]}"#);
    b.put("binding/LS-A/vm1", r#"{"chassis":"hv1","generation":1}"#);
    b.put("binding/LS-B/vm2", r#"{"chassis":"hv2","generation":1}"#);
    b.put("status/hv2/alive", "{}");
    let shown = b.ok("ch show");
    assert!(shown.contains("hv1      geneve:192.0.2.1  silent  1      edge"), "{shown}");
    assert!(shown.contains("hv2      geneve:192.0.2.2  alive"), "{shown}");
    assert_eq!(b.json("ch show hv2")["alive"], true);
    b.refused_with("ch show hv9", &["chassis hv9 does not exist"]);
    b.ok("lr set LR-central --chassis hv1");
    b.refused_with("-y ch del hv1", &["router LR-central", "pinned"]);
    b.ok("lr set LR-central --distributed");
    b.refused_with("ch del hv1", &["use -y"]);
    b.ok("-y ch del hv1");
    assert_eq!((b.get("chassis/hv1"), b.get("binding/LS-A/vm1")), (None, None));
    assert!(b.get("binding/LS-B/vm2").is_some());
    b.put("binding/LS-A/vm1", r#"{"chassis":"hv1","generation":2}"#);
    b.ok("-y ch del hv1"); // only a binding is left of it
    assert_eq!(b.get("binding/LS-A/vm1"), None);
    b.refused_with("-y ch del hv1", &["chassis hv1 does not exist"]);
    let (_, note) = b.exits(0, "-y ch del hv2");
    assert!(note.contains("is alive"), "{note}");
    assert_eq!(b.get("status/hv2/alive"), None);
}

pub fn the_doctor_lists_what_is_set_aside(b: &Bench) {
    b.tutorial();
    assert_eq!(b.exits(0, "doctor"), ("every object is valid\n".to_owned(), String::new()));
    assert_eq!(b.json("doctor"), json!([]));
    for (path, value, reason) in [
        ("ls/bad", "{", "valid JSON"),
        ("ls/LS-A/lsp/text", "\"text\"", "no JSON object"),
        ("ls/LS-A/lsp/mac", r#"{"port_id":70,"mac":"no","ips":["10.20.1.70"]}"#, "not a MAC"),
        ("ls/LS-A/lsp/type", r#"{"port_id":"71","mac":"f2:01:0a:14:01:47","ips":["10.20.1.71"]}"#, "port_id"),
        ("ls/zz", r#"{"id":1}"#, "ls/LS-A"),
        ("ls/nowhere/lsp/vm", r#"{"port_id":1,"mac":"f2:01:0a:14:01:48","ips":["10.20.1.72"]}"#, "nowhere"),
        ("ls/LS-A/lsp/zip", r#"{"port_id":72,"mac":"f2:01:0a:14:01:49","ips":["10.20.1.2"]}"#, "10.20.1.2"),
        ("lr/LR-central/lsr/r", r#"{"prefix":"10.0.0.0/8","next_hop":"10.20.1.9","outport":"none"}"#, "none"),
        ("ls/LS-A/nonsense", "{}", "not the key of any object"),
    ] {
        b.put(path, value);
        let found = b.json("doctor");
        let found: Vec<&Value> = found.as_array().unwrap().iter().filter(|row| row["key"] == path).collect();
        assert!(found.len() == 1 && found[0]["reason"].as_str().unwrap().contains(reason), "{path}: {found:?}");
        assert!(b.ok("doctor").contains(path));
        assert!(b.ok("ls show").contains("LS-A"), "the rest goes on");
        b.delete(path);
        assert_eq!(b.json("doctor"), json!([]), "after {path} was mended");
    }
    // What another tool wrote is valid without claims; that it has none is said aside.
    b.put("ls/LS-A/lsp/vm7", r#"{"port_id":77,"mac":"f2:01:0a:14:01:07","ips":["10.20.1.7"]}"#);
    let (out, note) = b.exits(0, "doctor");
    assert_eq!(out, "every object is valid\n");
    assert!(note.contains("the ids and addresses of ls/LS-A/lsp/vm7 are not claimed"), "{note}");
    let file = b.file("x.yaml", &b.ok("export"));
    b.ok(&format!("diff -f {file}"));
    b.ok(&format!("apply -f {file}"));
    b.claims_are_consistent();
}

pub fn the_status_counts(b: &Bench) {
    b.tutorial();
    b.put("chassis/hv1", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.1"}]}"#);
    b.put("binding/LS-A/vm1", r#"{"chassis":"hv1","generation":1}"#);
    let status = b.json("status");
    assert_eq!(status["counts"]["switches"], 2);
    assert_eq!(status["counts"]["switch_ports"], 4);
    assert_eq!(status["counts"]["router_ports"], 2);
    let hv1 = &status["chassis"][0];
    assert_eq!((&hv1["name"], &hv1["alive"], &hv1["version"]), (&json!("hv1"), &json!(false), &json!(null)));
    assert_eq!((&hv1["ports"], &hv1["mtu"], &hv1["underlay_mtu"]), (&json!(1), &json!(null), &json!(null)));
    assert_eq!(status["mtu"], json!({"carried": null, "by": null, "set": {}}));
    b.put("status/hv1/alive", r#"{"version":"9.9"}"#);
    b.put("ls/bad", "{");
    let table = b.ok("status");
    assert!(
        table.contains(&b.endpoint)
            && table.contains("3 switches with 4 ports (1 hosted), 1 router with 2 ports")
            && table.contains("1 object is set aside")
            && table.contains("hv1      alive  1"),
        "{table}"
    );
}

pub fn the_mtu_is_shown_set_and_judged(b: &Bench) {
    b.tutorial();
    for (host, mtu) in [(1, 1500), (2, 1400)] {
        let encap = format!(r#"{{"type":"geneve","ip":"192.0.2.{host}"}}"#);
        b.put(&format!("chassis/hv{host}"), &format!(r#"{{"encaps":[{encap}],"mtu":{mtu}}}"#));
        b.put(&format!("binding/LS-A/vm{host}"), &format!(r#"{{"chassis":"hv{host}","generation":1}}"#));
    }
    let status = b.json("status");
    assert_eq!(status["mtu"], json!({"carried": 1338, "by": "hv2", "set": {}}));
    assert_eq!((&status["chassis"][0]["mtu"], &status["chassis"][0]["underlay_mtu"]), (&json!(1438), &json!(1500)));
    b.ok("ls add LS-C --mtu 1300");
    b.ok("ls set LS-A --mtu 1420");
    assert_eq!(b.json("ls show LS-A")["mtu"], 1420);
    assert!(b.ok("ls show").contains("1420"));
    let (table, _) = b.exits(0, "status");
    assert!(
        table.contains(
            "MTU 1338: no longer packets pass all tunnels (least: hv2, underlay 1400); set: LS-A 1420, LS-C 1300"
        ),
        "{table}"
    );
    let (_, notes) = b.exits(0, "doctor");
    assert!(
        notes.contains("switch LS-A has MTU 1420, and tunnels of hv2 carry 1338")
            && notes.contains("tpctl ls set LS-A --mtu 1338")
            && !notes.contains("LS-C"),
        "{notes}"
    );
    // In documents, and back to what the hosts carry.
    let document = b.ok("export");
    assert!(document.contains("mtu: 1420") && document.contains("mtu: 1300"), "{document}");
    let file = b.file("mtu.yaml", &document.replace("mtu: 1420", "mtu: 1330"));
    let (difference, _) = b.exits(1, &format!("diff -f {file}"));
    assert!(difference.contains("1330"), "{difference}");
    b.ok(&format!("apply -f {file}"));
    assert_eq!(b.json("ls show LS-A")["mtu"], 1330);
    b.ok("ls set LS-A --mtu auto");
    assert_eq!(b.json("ls show LS-A")["mtu"], serde_json::Value::Null);
    let (_, refused) = b.exits(2, "ls set LS-A --mtu 1279");
    assert!(refused.contains("1280 to 65535, or auto"), "{refused}");
    b.put("chassis/hv2", r#"{"encaps":[{"type":"geneve","ip":"192.0.2.2"}],"mtu":1300}"#);
    let (_, notes) = b.exits(0, "doctor");
    assert!(
        notes.contains("tunnels of hv2 carry packets of 1238 bytes") && notes.contains("to 1342 at least"),
        "{notes}"
    );
}

pub fn a_port_of_a_full_switch_gets_a_gap(b: &Bench) {
    b.ok("ls add A");
    b.ok("lsp add A vm1 10.0.0.1");
    let last = |id: &str| b.put("claim/ls/A/last_port_id", id);
    let add = |name: &str, ip: &str| {
        b.ok(&format!("lsp add A {name} {ip}"));
        b.json(&format!("lsp show A {name}"))["port_id"].as_u64().unwrap()
    };
    last("65278");
    assert_eq!(add("last", "10.0.0.9"), 65279);
    assert_eq!(add("vm2", "10.0.0.2"), 2);
    assert_eq!(add("vm3", "10.0.0.3"), 3);
    b.ok("-y lsp del A vm2");
    assert_eq!(add("vm4", "10.0.0.4"), 4); // not at once again
    last("65279");
    assert_eq!(add("vm5", "10.0.0.5"), 2);
    // A note is never believed: not one that is behind, not nonsense.
    for note in ["1", "nonsense", "", "99999999999"] {
        b.ok("-y lsp del A last");
        last(note);
        assert_eq!(add("last", "10.0.0.9"), 5, "{note}");
    }
    b.claims_are_consistent();
}

pub fn one_address_wanted_by_twenty_at_once(b: &Bench) {
    b.ok("ls add A");
    let lines: Vec<String> = (0..20).map(|i| format!("lsp add A vm{i} 10.0.0.1")).collect();
    let running: Vec<_> =
        lines.iter().map(|line| b.tpctl(&line.split(' ').collect::<Vec<_>>()).spawn().unwrap()).collect();
    let ended: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|output| output.status.code() == Some(0));
    assert_eq!(won.len(), 1);
    for output in lost {
        let (out, err) = texts(output);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            out.is_empty() && err.contains("10.0.0.1 in switch A is taken by port vm") && err.lines().count() == 1,
            "{out}{err}"
        );
    }
    assert_eq!(b.json("lsp show A").as_array().unwrap().len(), 1);
    b.claims_are_consistent();
}

pub fn twenty_ports_at_once(b: &Bench) {
    b.ok("ls add A");
    let lines: Vec<String> = (1..=20).map(|i| format!("lsp add A vm{i} 10.0.0.{i}")).collect();
    let running: Vec<_> =
        lines.iter().map(|line| b.tpctl(&line.split(' ').collect::<Vec<_>>()).spawn().unwrap()).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    }
    let shown = b.json("lsp show A");
    let mut ids: Vec<u64> = shown.as_array().unwrap().iter().map(|port| port["port_id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20, "port ids are distinct: {ids:?}");
    b.claims_are_consistent();
}

pub fn a_port_and_the_deletion_of_its_switch_at_once(b: &Bench) {
    for round in 0..5 {
        b.ok("ls add A");
        let delete = b.tpctl(&["-y", "ls", "del", "A"]).spawn().unwrap();
        let add = b.tpctl(&["lsp", "add", "A", "vm", "10.0.0.1"]).spawn().unwrap();
        let (delete, add) = (delete.wait_with_output().unwrap(), add.wait_with_output().unwrap());
        // Either may come first; never is a port left without its switch.
        let said = format!("round {round}: {:?} {:?}", texts(&delete), texts(&add));
        match (delete.status.code(), add.status.code()) {
            (Some(0), Some(1)) => assert_eq!(b.all(), [], "{said}"),
            (Some(1), Some(0)) => drop(b.ok("-y ls del -r A")),
            _ => panic!("{said}"),
        }
        assert_eq!(b.all(), [], "{said}");
    }
}

#[test]
fn nobody_need_read_what_is_said() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    let unread = |line: &str, errors: bool| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = b.tpctl(&line.split_whitespace().collect::<Vec<_>>());
        match errors {
            true => command.stderr(writer),
            false => command.stdout(writer),
        };
        command.status().unwrap().code()
    };
    b.put("ls/wrong", "{}");
    for (line, code) in [("lr add R nowhere", 0), ("ls show", 0), ("doctor", 0), ("ls add wrong", 1), ("nonsense", 2)] {
        assert_eq!(unread(line, true), Some(code), "{line}");
    }
    assert!(b.get("lr/R").is_some());
    assert_eq!(
        (unread("ls show", false), unread("ls show -o json", false), unread("--help", false)),
        (Some(0), Some(0), Some(0))
    );
}

#[test]
fn who_is_asked_may_say_no() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    b.ok("ls add A");
    b.ok("lsp add A vm1 10.0.0.1");
    let answer = |mut command: std::process::Command, answer: &[u8]| {
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = answer(b.tpctl(&["ls", "del", "A"]), b"y\n");
    assert_eq!(output.status.code(), Some(1), "a pipe is nobody to ask");
    // A terminal, as script(1) makes it.
    let at_terminal = |text: &[u8]| {
        let mut script = std::process::Command::new("script");
        let line = format!("{} -e {} ls del -r A", env!("CARGO_BIN_EXE_tpctl"), b.endpoint);
        script.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).args(["-qec", &line, "/dev/null"]);
        script.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        answer(script, text)
    };
    for no in [&b"n\n"[..], b"\n", b"nonsense\n"] {
        let output = at_terminal(no);
        let (out, _) = texts(&output);
        assert!(
            output.status.code() == Some(1) && out.contains("port vm1 of switch A") && out.contains("[y/N]"),
            "{out}"
        );
        assert!(b.get("ls/A").is_some());
    }
    let output = at_terminal(b"y\n");
    assert!(output.status.success(), "{:?}", texts(&output));
    assert_eq!(b.all(), []);
}
