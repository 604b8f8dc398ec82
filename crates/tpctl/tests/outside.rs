//! What meets the physical network: `patchport`, `lnat` and `edge`, on the embedded store and on etcd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod bench;

use bench::{Bench, texts};
use serde_json::{Value, json};

on_both_stores! {
    patch_ports_are_added_shown_and_deleted
    nat_rules_are_added_shown_and_deleted
    nat_rules_that_contradict_are_refused
    a_floating_rule_is_taken_the_right_way_round
    one_external_address_wanted_by_ten_at_once
    one_router_answers_for_an_address_in_a_physical_network
    one_external_address_wanted_by_ten_routers_at_once
    edges_are_made_in_one_transaction_and_come_again_the_same
    an_edge_takes_along_what_was_added_to_it
    an_edge_that_cannot_work_is_refused
    documents_hold_what_meets_the_physical_network
    links_rules_routes_and_patch_ports_come_again_the_same
}

fn host(b: &Bench, name: &str) {
    b.put(&format!("chassis/{name}"), r#"{"encaps":[{"type":"geneve","ip":"192.0.2.1"}]}"#);
    b.put(&format!("status/{name}/alive"), "{}");
}

pub fn patch_ports_are_added_shown_and_deleted(b: &Bench) {
    b.ok("ls add out");
    host(b, "hv1");
    b.put("chassis/hv2", r#"{"encaps":[]}"#);
    assert_eq!(
        b.ok("patchport add out up hv1 br-ex --vlan 100"),
        "port up of switch out added with port id 1, a patch to VLAN 100 of bridge br-ex on hv1\n"
    );
    assert_eq!(
        b.get("ls/out/lsp/up").unwrap(),
        r#"{"patch":{"bridge":"br-ex","chassis":"hv1","vlan":100},"port_id":1}"#
    );
    let (_, refusal) = b.exits(1, "patchport add out up9 hv9 br-int");
    assert!(
        refusal.contains("br-int is the bridge of the virtual network") && refusal.lines().count() == 1,
        "{refusal}"
    );
    let (_, note) = b.exits(0, "patchport add out up9 hv9 br-ex --label a=b");
    assert!(note.contains("chassis hv9 has not registered"), "{note}");
    // The bridge may come later: it is said, and that is all. Whose agent is silent says nothing.
    b.put("status/hv3/alive", r#"{"bridges":["br-ex","br\u001bc\ntun"]}"#);
    b.put("chassis/hv3", r#"{"encaps":[]}"#);
    let missing = "hv3 has no bridge br-nope now, but br-ex, br\u{fffd}c\u{fffd}tun: make it there with \"ovs-vsctl add-br br-nope -- add-port br-nope NIC\"; the patch port comes to life by itself";
    let (_, note) = b.exits(0, "patchport add out up3 hv3 br-nope");
    assert_eq!(note, format!("tpctl: note: {missing}\n"));
    let (said, note) = b.exits(0, "doctor");
    assert!(
        said.contains("every object is valid") && note == format!("tpctl: note: ls/out/lsp/up3: {missing}\n"),
        "{note}"
    );
    b.put("status/hv3/alive", r#"{"bridges":["br-nope"]}"#);
    assert_eq!(b.exits(0, "doctor").1, "");
    b.ok("-y patchport del out up3");
    let (_, note) = b.exits(0, "patchport add out up3 hv3 br-nope");
    assert_eq!(note, "");
    b.ok("-y patchport del out up3");
    b.ok("-y ch del hv3");
    b.delete("status/hv3/alive");
    b.ok("lsp add out vm 203.0.113.9");
    b.claims_are_consistent();
    b.refused_with("patchport add out up2 hv1 br-ex2", &["the only patch of switch out on hv1", "port up"]);
    b.refused_with("patchport add out up hv2 br-ex", &["port up of switch out exists already"]);
    b.refused_with("patchport add none up hv2 br-ex", &["switch none does not exist"]);
    b.refused_with("patchport add out up2 hv2 br-int", &["br-int", "virtual network itself"]);
    b.refused_with("patchport add out up2 hv2 a-bridge-with-a-long-name", &["more than 15"]);
    b.exits(2, "patchport add out up2 hv2 br-ex --vlan 4095");
    b.refused_with("lsp set out up --ip 10.0.0.1", &["patch port", "no addresses"]);
    assert_eq!(
        b.ok("lsp show out"),
        "PORT  ID  MAC                IPS          CHASSIS  PATCH TO         LABELS\n\
         up    1                                   hv1      br-ex, VLAN 100\n\
         up9   2                                   hv9      br-ex            a=b\n\
         vm    3   f2:01:cb:00:71:09  203.0.113.9\n"
    );
    assert_eq!(b.json("lsp show out up")["chassis"], "hv1");
    assert!(b.ok("ls show").contains("VLAN 100 of bridge br-ex on hv1; bridge br-ex on hv9"));
    assert!(b.ok("graph").contains("hv1"), "{}", b.ok("graph"));
    b.refused_with("-y ch del hv1", &["port up of switch out", "patchport del"]);
    b.refused_with("-y patchport del out vm", &["no patch port", "tpctl lsp del out vm"]);
    b.refused_with("trace out/up --to 10.0.0.1 --simulate", &["patch port"]);
    let said = b.ok("explain object patchport out up9");
    assert!(said.contains("port up9 of switch out"), "{said}");
    assert_eq!(b.ok("-y patchport del out up"), "port up of switch out deleted\n");
    b.refused_with("-y patchport del out up", &["port up of switch out does not exist"]);
    b.ok("-y ls del -r out");
    b.ok("-y ch del hv1");
    b.claims_are_consistent();
}

pub fn nat_rules_are_added_shown_and_deleted(b: &Bench) {
    b.tutorial();
    b.ok("lr add edge hv1");
    assert_eq!(
        b.ok("lnat add edge out 10.20.0.0/16 snat 203.0.113.2"),
        "NAT rule out of router edge added: what comes from 10.20.0.0/16 leaves as 203.0.113.2\n"
    );
    b.ok("lnat add edge web 203.0.113.2 dnat 10.20.1.2 --description text");
    assert_eq!(
        b.json("lnat add LR-central vm2 10.20.2.2 floating 203.0.113.7 --distributed"),
        json!({"lr": "LR-central", "name": "vm2", "type": "floating", "prefix": "10.20.2.2/32", "xlate_ip": "203.0.113.7",
               "distributed": true})
    );
    b.ok("lnat add edge six fd00:20::/32 snat 2001:db8::2");
    assert_eq!(
        b.get("lr/edge/lnat/out").unwrap(),
        r#"{"prefix":"10.20.0.0/16","type":"snat","xlate_ip":"203.0.113.2"}"#
    );
    b.claims_are_consistent();
    assert_eq!(
        b.ok("lnat show edge"),
        "RULE  TYPE  PREFIX        XLATE IP     DESCRIPTION\n\
         out   snat  10.20.0.0/16  203.0.113.2\n\
         six   snat  fd00:20::/32  2001:db8::2\n\
         web   dnat  203.0.113.2   10.20.1.2    text\n"
    );
    assert!(b.ok("lnat show LR-central").contains("distributed"));
    assert_eq!(b.json("lnat show edge web")["prefix"], "203.0.113.2/32");
    assert_eq!(b.json("lr show edge")["nat"], 3);
    assert!(b.ok("status").contains("4 NAT rules"), "{}", b.ok("status"));
    b.refused_with("lnat show nobody", &["router nobody does not exist"]);
    b.refused_with(
        "lnat show edge nothing",
        &["NAT rule nothing of router edge does not exist", "tpctl lnat show edge"],
    );
    let said = b.ok("explain object lnat edge out");
    assert!(said.contains("no port on a switch with a patch port"), "{said}");
    assert_eq!(b.ok("-y lnat del edge web"), "NAT rule web of router edge deleted\n");
    b.refused_with("lr del edge", &["NAT rule out of router edge"]);
    b.ok("-y lr del -r edge");
    b.claims_are_consistent();
}

pub fn nat_rules_that_contradict_are_refused(b: &Bench) {
    b.tutorial();
    b.ok("lr add edge hv1");
    b.ok("ls add out");
    b.ok("lr link edge out 203.0.113.2/24");
    b.ok("lsp add out other 203.0.113.9");
    b.ok("lnat add edge out 10.20.0.0/16 snat 203.0.113.2");
    b.ok("lnat add edge vm 10.20.1.2 floating 203.0.113.5");
    for (line, words) in [
        ("edge out 10.0.0.0/8 snat 203.0.113.3", &["NAT rule out of router edge exists already"][..]),
        ("edge a 203.0.113.5 dnat 10.20.2.2", &["external address 203.0.113.5", "rule vm"]),
        ("edge a 10.30.0.0/16 snat 203.0.113.5", &["external address 203.0.113.5", "rule vm"]),
        ("edge a 10.20.0.0/16 snat 203.0.113.3", &["10.20.0.0/16", "rule out"]),
        ("edge a 10.20.1.2 floating 203.0.113.6", &["10.20.1.2/32", "rule vm"]),
        ("edge a 203.0.113.9 dnat 10.20.1.2", &["203.0.113.9 in switch out", "port other of switch out"]),
        ("edge a 10.0.0.0/8 snat 2001:db8::1", &["families"]),
        ("edge a 203.0.113.0/24 dnat 10.20.1.2", &["one address"]),
        ("edge a 10.0.0.0/8 snat 203.0.113.3 --distributed", &["cannot be distributed"]),
        ("LR-central a 10.0.0.0/8 snat 203.0.113.3", &["pin the router"]),
        ("nobody a 10.0.0.0/8 snat 203.0.113.3", &["router nobody does not exist"]),
    ] {
        b.refused_with(&format!("lnat add {line}"), words);
    }
    b.exits(2, "lnat add edge a 10.0.0.0/8 masquerade 203.0.113.3");
    // Another router there does not answer for the same address either; somewhere else it may.
    b.ok("lr add edge2 hv2");
    b.ok("lnat add edge2 vm 10.20.1.2 floating 203.0.113.5");
    b.ok("-y lnat del edge2 vm");
    b.ok("lr link edge2 out 203.0.113.3/24");
    b.refused_with("lnat add edge2 vm 10.20.1.2 floating 203.0.113.5", &["203.0.113.5", "NAT rule vm of router edge"]);
    // What another tool wrote counts as well.
    b.put("lr/edge/lnat/theirs", r#"{"type":"dnat","prefix":"203.0.113.77/32","xlate_ip":"10.20.1.2"}"#);
    b.refused_with("lnat add edge a 203.0.113.77 dnat 10.20.2.2", &["203.0.113.77", "theirs"]);
    assert!(b.ok("doctor").contains("every object is valid"));
}

/// Two edges, each with a switch outside of its own, on bridges of one name.
pub fn one_router_answers_for_an_address_in_a_physical_network(b: &Bench) {
    b.tutorial();
    host(b, "hv1");
    host(b, "hv2");
    b.ok(&format!("-y edge init {INIT}"));
    b.ok("-y edge add --chassis hv2 --bridge br-ex --vip 203.0.113.3/24,2001:db8::3/64 --snat 203.0.113.3");
    b.ok("lnat add edge1 web 10.20.1.2 floating 203.0.113.5");
    let taken = ["the address 203.0.113.5 on bridge br-ex is taken by NAT rule web of router edge1", "choose another"];
    b.refused_with("lnat add edge2 web 10.20.1.2 floating 203.0.113.5", &taken);
    b.refused_with("lnat add edge2 web 203.0.113.5 dnat 10.20.1.2", &taken);
    b.refused_with("lnat add edge2 out 10.20.2.0/24 snat 203.0.113.5", &taken);
    // Nor one for an edge's own address, nor the other way about.
    let own = "203.0.113.2 on bridge br-ex is taken by port outside1_to_edge1 of switch outside1";
    b.refused_with("lnat add edge2 web 203.0.113.2 dnat 10.20.1.2", &[own]);
    b.refused_with("-y edge add --chassis hv1 --bridge br-ex --vip 203.0.113.5/24", &["in use by lr/edge1/lnat/web"]);
    b.ok("lnat add edge2 web 203.0.113.3 dnat 10.20.1.2");
    // A document is judged alike.
    let text = b.ok("export");
    let twice = text.replacen("xlate_ip: \"203.0.113.3\"", "xlate_ip: 203.0.113.5", 1);
    assert_ne!(twice, text);
    let (_, told) = b.exits(1, &format!("apply -f {}", b.file("twice.yaml", &twice)));
    assert!(told.contains("lr/edge2/lnat/snat: xlate_ip: the external address 203.0.113.5 is taken by lr/edge1/lnat/web on bridge br-ex"), "{told}");
    // What would bring two together is refused, too; and what would leave a rule to nobody.
    b.ok("lr add gw hv2");
    b.ok("ls add far");
    b.ok("lr link gw far 203.0.113.9/24");
    b.ok("lnat add gw web 10.20.1.2 floating 203.0.113.5");
    let out = "this would put NAT rule web of router gw out of force: the external address 203.0.113.5 is taken by lr/edge1/lnat/web";
    b.refused_with("patchport add far up hv2 br-ex", &[out]);
    b.ok("patchport add far up hv2 br-ex --vlan 9");
    let taken = ["203.0.113.5 in switch far is taken by NAT rule web of router gw"];
    b.refused_with("lsp add far vm 203.0.113.5", &taken);
    b.ok("-y patchport del far up");
    b.ok("lsp add far vm 203.0.113.5"); // a rule is in force where the router meets the outside only
    b.refused_with("patchport add far up hv2 br-ex --vlan 9", &taken);
    b.ok("-y lsp del far vm");
    b.ok("patchport add far up hv2 br-ex --vlan 9");
    b.ok("-y lr unlink gw far");
    b.refused_with("lr link gw outside2 203.0.113.9/24", &[out, "on bridge br-ex"]);
    b.refused_with(
        "lr link LR-central outside1 203.0.113.5/24",
        &["out of force", "taken by ls/outside1/lsp/outside1_to_LR-central"],
    );
    b.refused_with(
        "lr set edge1 --distributed",
        &["this would put NAT rule", "of router edge1 out of force", "pin the router"],
    );
    b.ok("lr set gw --chassis hv1");
    b.ok("-y ls del -r far");
    b.ok("-y lr del -r gw");
    b.claims_are_consistent();
    // In another VLAN it is another network.
    b.ok("-y edge add --chassis hv2 --bridge br-ex --vlan 7 --vip 203.0.113.2/24,2001:db8::2/64");
    b.ok("lnat add edge3 web 10.20.1.2 floating 203.0.113.5");
    assert!(b.ok("doctor").contains("every object is valid"));
    // What another tool wrote: agents take the older one, and say so; a port has what it has, and the rule is told of.
    b.put("lr/edge2/lnat/theirs", r#"{"type":"dnat","prefix":"203.0.113.5/32","xlate_ip":"10.20.1.2"}"#);
    b.put("lr/edge1/lnat/vm", r#"{"type":"dnat","prefix":"203.0.113.8/32","xlate_ip":"10.20.1.2"}"#);
    // No command makes it so.
    let taken = ["the address 203.0.113.8 on bridge br-ex is taken by NAT rule vm of router edge1", "choose another"];
    b.refused_with("lsp add outside2 vm 203.0.113.8", &taken);
    b.refused_with("lsp add outside1 vm 203.0.113.9,203.0.113.8", &["203.0.113.8", "NAT rule vm of router edge1"]);
    b.refused_with("lsp add outside3 vm 203.0.113.5", &["203.0.113.5", "is taken by NAT rule web of router edge3"]);
    b.ok("lsp add outside3 vm 203.0.113.8"); // in another VLAN
    b.ok("lsp add LS-A other 203.0.113.8"); // where nobody outside asks
    b.ok("lsp add outside2 vm 203.0.113.9");
    b.refused_with("lsp set outside2 vm --ip 203.0.113.8", &taken);
    b.refused_with("lsp set outside2 vm --ip 203.0.113.9,203.0.113.8", &taken);
    let vm = b.get("ls/outside2/lsp/vm").unwrap();
    b.put("ls/outside2/lsp/vm", &vm.replace("203.0.113.9", "203.0.113.8"));
    b.ok("lsp set outside2 vm --description theirs"); // what is so already is no obstacle
    let (out, note) = b.exits(0, "doctor");
    assert!(
        out.contains(
            "lr/edge2/lnat/theirs  the external address 203.0.113.5 is taken by lr/edge1/lnat/web on bridge br-ex"
        ),
        "{out}"
    );
    assert!(
        note.contains(
            "lr/edge1/lnat/vm: prefix: the external address 203.0.113.8 is taken by ls/outside2/lsp/vm on bridge br-ex"
        ),
        "{note}"
    );
}

/// Each at another router of the same physical network.
pub fn one_external_address_wanted_by_ten_routers_at_once(b: &Bench) {
    for i in 0..10 {
        b.ok(&format!("lr add r{i} hv{i}"));
        b.ok(&format!("ls add o{i}"));
        b.ok(&format!("patchport add o{i} up hv{i} br-ex"));
        b.ok(&format!("lr link r{i} o{i} 203.0.113.{}/24", i + 1));
    }
    let add = |i: usize| format!("lnat add r{i} n 10.0.0.{i} floating 203.0.113.50");
    let running: Vec<_> = (0..10).map(|i| b.tpctl(&add(i).split(' ').collect::<Vec<_>>()).spawn().unwrap()).collect();
    let outputs: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let made = outputs.iter().filter(|output| output.status.code() == Some(0)).count();
    for refused in outputs.iter().filter(|output| output.status.code() != Some(0)) {
        assert!(texts(refused).1.contains("203.0.113.50 on bridge br-ex is taken by"), "{}", texts(refused).1);
    }
    assert_eq!(made, 1);
}

pub fn a_floating_rule_is_taken_the_right_way_round(b: &Bench) {
    b.tutorial();
    b.ok("lr add edge hv1");
    let (_, note) = b.exits(0, "lnat add edge a 203.0.113.5 floating 10.20.1.2");
    assert!(note.contains("took 10.20.1.2 as the inner address and 203.0.113.5 as the external one"), "{note}");
    assert_eq!(b.json("lnat show edge a")["prefix"], "10.20.1.2/32");
    let (_, note) = b.exits(0, "lnat add edge b 10.20.2.2 floating 203.0.113.6");
    assert_eq!(note, "");
    // Both are ports, or none is: as said. The end of a link is no guest.
    let (_, note) = b.exits(0, "lnat add edge c 203.0.113.7 floating 10.20.1.1");
    assert!(note.contains("no port has the address 203.0.113.7"), "{note}");
    b.ok("lsp add LS-A vm3 10.20.1.3");
    b.ok("lsp add LS-B vm3 10.20.2.3");
    let (_, note) = b.exits(0, "lnat add edge d 10.20.2.3 floating 10.20.1.3");
    assert_eq!((note.as_str(), b.json("lnat show edge d")["prefix"].clone()), ("", json!("10.20.2.3/32")));
}

pub fn one_external_address_wanted_by_ten_at_once(b: &Bench) {
    b.ok("lr add edge hv1");
    let mut running = Vec::new();
    for i in 0..10 {
        // Half of them are of a kind that claims the address, half of one that only must not share it.
        let line = match i % 2 {
            0 => format!("lnat add edge n{i} 10.0.0.{i} floating 203.0.113.5"),
            _ => format!("lnat add edge n{i} 203.0.113.5 dnat 10.0.0.{i}"),
        };
        running.push(b.tpctl(&line.split(' ').collect::<Vec<_>>()).spawn().unwrap());
    }
    let mut made = 0;
    for child in running {
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => made += 1,
            _ => assert!(texts(&output).1.contains("203.0.113.5"), "{}", texts(&output).1),
        }
    }
    assert_eq!(made, 1);
    b.claims_are_consistent();
}

const INIT: &str = "--chassis hv1 --bridge br-ex --vip 203.0.113.2/24,2001:db8::2/64 --virt 10.20.0.0/16,fd00:20::/32 \
                    --ext-gw 203.0.113.1,2001:db8::1 --snat 203.0.113.2";

pub fn edges_are_made_in_one_transaction_and_come_again_the_same(b: &Bench) {
    b.tutorial();
    host(b, "hv1");
    host(b, "hv2");
    let before = (b.all(), b.ok("export"));
    b.refused_with("edge add --chassis hv1 --bridge br-ex --vip 203.0.113.2/24", &["no edge yet", "tpctl edge init"]);
    b.refused_with(&format!("edge init {INIT}"), &["this would make edge edge1", "use -y"]);
    let revision = b.revision();
    let (out, told) = b.exits(0, &format!("-y edge init {INIT}"));
    assert_eq!(out, "edge edge1 made, 17 objects\n");
    for line in [
        "making edge edge1 adds:",
        "  port outside1_patch of switch outside1: a patch to bridge br-ex on hv1",
        "  router edge1: id 6, pinned to hv1",
        "  port LR-central_to_m1 of router LR-central: 100.64.88.1/30,fd00:64:88::1/126, linked to switch m1",
        "  route edge1_default of router LR-central: 0.0.0.0/0 by 100.64.88.2",
        "  NAT rule snat of router edge1: what comes from 10.20.0.0/16 leaves as 203.0.113.2",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    assert_eq!(b.revision(), revision + 1);
    b.claims_are_consistent();
    let one = b.ok("export");
    b.refused_with(&format!("-y edge init {INIT}"), &["has the edge edge1 already", "tpctl edge add"]);
    b.ok("-y edge add --chassis hv2 --bridge br-ex2 --vlan 7 --vip 203.0.113.3/24,2001:db8::3/64");
    b.claims_are_consistent();
    assert!(b.ok("doctor").contains("every object is valid"));
    let both = b.ok("export");
    let shown = b.json("edge show");
    assert_eq!(shown[0]["edge"], "edge1");
    let of =
        |edge: &Value| (edge["virt"].clone(), edge["ext_gw"].clone(), edge["inner"].clone(), edge["routers"].clone());
    assert_eq!(of(&shown[0]), of(&shown[1]));
    assert_eq!(
        (&shown[1]["bridge"], &shown[1]["vlan"], &shown[1]["alive"]),
        (&json!("br-ex2"), &json!(7), &json!(true))
    );
    b.delete("status/hv2/alive");
    let table = b.ok("edge show");
    let line = table.lines().nth(2).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        line,
        "edge2 hv2 silent br-ex2, VLAN 7 203.0.113.3/24,2001:db8::3/64 203.0.113.1,2001:db8::1 10.20.0.0/16,fd00:20::/32 LR-central"
    );
    for (key, value) in [
        ("hv3/bfd/hv2/geneve/192.0.2.12", r#"{"state":"up","since":1700000000}"#),
        (
            "hv4/bfd/hv2/geneve/192.0.2.12",
            r#"{"state":"down","why":"Control Detection Time Expired","since":1700000000}"#,
        ),
        ("hv5/bfd/hv2/geneve/192.0.2.12", r#"{"state":"up","since":1700000000}"#),
        ("hv5/bfd/hv1/geneve/192.0.2.11", r#"{"state":"withdrawn","why":"Concatenated Path Down","since":1700000000}"#),
        ("hv1/bfd/withdrawn", r#"{"state":"withdrawn","why":"no uplink is left: br-ex: no link at eth1","since":1}"#),
    ] {
        b.put(&format!("status/{key}"), value);
    }
    let shown = b.ok("edge show");
    assert!(shown.contains("withdrawn: no uplink is left: br-ex: no link at eth1"), "{shown}");
    assert!(shown.contains("silent  up at 2,down at 1"), "{shown}");
    let data = b.json("edge show");
    assert_eq!(
        (&data[0]["withdrawn"], &data[0]["bfd"][0]["by"], &data[1]["withdrawn"]),
        (&json!("no uplink is left: br-ex: no link at eth1"), &json!("hv5"), &Value::Null)
    );
    let down = json!({"by": "hv4", "state": "down", "why": "Control Detection Time Expired", "since": 1_700_000_000});
    assert_eq!((data[1]["bfd"].as_array().map(Vec::len), &data[1]["bfd"][1]), (Some(3), &down));
    for key in ["hv3/bfd/hv2/geneve/192.0.2.12", "hv4/bfd/hv2/geneve/192.0.2.12", "hv5/bfd/hv2/geneve/192.0.2.12"] {
        b.delete(&format!("status/{key}"));
    }
    b.delete("status/hv5/bfd/hv1/geneve/192.0.2.11");
    b.delete("status/hv1/bfd/withdrawn");
    b.put("status/hv1/neighbour/outside1/203.0.113.1", r#"{"mac":"02:00:00:00:00:01","seen":1700000000}"#);
    assert_eq!(
        b.json("edge show --neighbours"),
        json!([{"chassis": "hv1", "ls": "outside1", "ip": "203.0.113.1", "mac": "02:00:00:00:00:01", "seen": 1_700_000_000}])
    );
    assert!(b.ok("edge show --neighbours").contains("hv1      outside1  203.0.113.1  02:00:00:00:00:01  "));
    b.delete("status/hv1/neighbour/outside1/203.0.113.1");
    // The first goes and comes again: all numbers are the same, as if it had never been away.
    b.refused_with("edge remove --vip 203.0.113.2/24", &["use -y"]);
    assert_eq!(b.ok("-y edge remove --vip 203.0.113.2/24"), "edge edge1 removed, 17 objects\n");
    b.claims_are_consistent();
    b.ok("-y edge add --chassis hv1 --bridge br-ex --vip 203.0.113.2/24,2001:db8::2/64 --snat 203.0.113.2");
    // That said one thing less than `init`: the snat is for the same networks, so nothing differs.
    assert_eq!(b.ok("export"), both);
    b.ok("-y edge remove --vip 203.0.113.3");
    assert_eq!(b.ok("export"), one);
    b.ok("-y edge remove --vip 2001:db8::2");
    assert_eq!(b.ok("export"), before.1);
    b.delete("status/hv1/alive");
    let (status, rest): (Vec<_>, Vec<_>) = before.0.into_iter().partition(|(path, _)| path.starts_with("status/"));
    assert_eq!((status.len(), b.all()), (2, rest));
    b.refused_with(
        "-y edge remove --vip 203.0.113.2",
        &["an edge with the address 203.0.113.2 does not exist", "edge show"],
    );
}

pub fn an_edge_takes_along_what_was_added_to_it(b: &Bench) {
    host(b, "hv1");
    let init = "edge init --chassis hv1 --bridge br-ex --vip 203.0.113.2/24 --virt 10.20.0.0/16 --ext-gw 203.0.113.1";
    b.ok(&format!("-y {init}"));
    assert_eq!(b.json("lr show LR-central")["labels"], json!({"tpctl.edge": "central"}));
    b.ok("ls add mine");
    b.ok("lr link edge1 mine 10.99.0.1/24");
    b.ok("lnat add edge1 web 203.0.113.2 dnat 10.20.1.2");
    b.ok("lsp add outside1 neighbour 203.0.113.77");
    b.ok("ls add LS-A");
    b.ok("lr link LR-central LS-A 10.20.1.1/24");
    let (_, told) = b.exits(0, "-y edge remove --vip 203.0.113.2");
    for part in
        ["NAT rule web of router edge1", "port neighbour of switch outside1", "port mine_to_edge1 of switch mine"]
    {
        assert!(told.contains(part), "{told}");
    }
    b.claims_are_consistent();
    let names: Vec<Value> = b.json("lr show").as_array().unwrap().iter().map(|lr| lr["name"].clone()).collect();
    assert_eq!(names, ["LR-central"]);
    let names: Vec<Value> = b.json("ls show").as_array().unwrap().iter().map(|ls| ls["name"].clone()).collect();
    assert_eq!(names, ["LS-A", "mine"]);
    // An edge that somebody made by hand is shown, and left alone.
    for line in [
        "lr add gw hv1",
        "ls add phys",
        "patchport add phys up hv1 br-ex",
        "lr link gw phys 198.51.100.2/24",
        "lsr add gw default 0.0.0.0/0 198.51.100.1 gw_to_phys",
    ] {
        b.ok(line);
    }
    let shown = b.json("edge show");
    assert_eq!(
        (&shown[0]["edge"], &shown[0]["made"], &shown[0]["ext_gw"]),
        (&json!("gw"), &json!(false), &json!(["198.51.100.1"]))
    );
    b.refused_with("-y edge remove --vip 198.51.100.2", &["was not made by \"tpctl edge\"", "tpctl lr del -r gw"]);
}

pub fn an_edge_that_cannot_work_is_refused(b: &Bench) {
    b.tutorial();
    let rest = "--bridge br-ex --virt 10.20.0.0/16 --ext-gw 203.0.113.1";
    let init = |more: &str| format!("-y edge init {rest} {more}");
    b.refused_with(&init("--chassis hv1 --vip 203.0.113.2/24"), &["chassis hv1 does not exist", "tpctl ch show"]);
    b.put("chassis/hv1", r#"{"encaps":[]}"#);
    b.refused_with(&init("--chassis hv1 --vip 203.0.113.2/24"), &["chassis hv1 is dead", "agent"]);
    host(b, "hv1");
    b.refused_with(&init("--chassis hv1 --vip 198.51.100.2/24"), &["--ext-gw 203.0.113.1", "198.51.100.0/24"]);
    b.put("status/hv1/alive", r#"{"bridges":["br-a","br-b"]}"#);
    b.refused_with(
        &init("--chassis hv1 --vip 203.0.113.2/24"),
        &["no bridge br-ex", "add-br br-ex", "it has br-a, br-b"],
    );
    b.put("status/hv1/alive", r#"{"bridges":["br-a","br-ex"]}"#);
    b.ok("ls add phys");
    b.ok("patchport add phys up hv1 br-ex");
    b.ok("lsp add phys vm 203.0.113.2");
    b.refused_with(&init("--chassis hv1 --vip 203.0.113.2/24"), &["--vip 203.0.113.2 is in use by ls/phys/lsp/vm"]);
    b.ok("lr add LR-other");
    b.refused_with(&init("--chassis hv1 --vip 203.0.113.3/24 --router nobody"), &["router nobody does not exist"]);
    b.ok("-y lr del -r LR-central");
    b.ok("lr add LR-third");
    b.refused_with(&init("--chassis hv1 --vip 203.0.113.3/24"), &["several routers (LR-other, LR-third)", "--router"]);
    let before = b.revision();
    // More than a transaction holds.
    let many: Vec<String> = (0..60).map(|i| format!("10.21.{i}.0/24")).collect();
    let line = format!(
        "-y edge init --bridge br-ex --ext-gw 203.0.113.1 --chassis hv1 --vip 203.0.113.3/24 --router LR-other --virt {}",
        many.join(",")
    );
    b.refused_with(&line, &["more than the store takes in one transaction", "fewer networks"]);
    assert_eq!(b.revision(), before);
    // What is wrong elsewhere is no reason.
    b.put("lr/LR-other/lsr/bad", r#"{"prefix":"10.0.0.0/8","next_hop":"10.0.0.1","outport":"none"}"#);
    b.put("ls/bad", "{");
    b.ok(&init("--chassis hv1 --vip 203.0.113.3/24 --router LR-other --inner 192.168.7.0/24"));
    assert!(b.ok("lrp show LR-other").contains("192.168.7.1/30"));
    assert_eq!(b.get("ls/bad").unwrap(), "{");
}

pub fn links_rules_routes_and_patch_ports_come_again_the_same(b: &Bench) {
    b.tutorial();
    let again = [
        ("-y lr unlink -r LR-central LS-A", "lr link LR-central LS-A 10.20.1.1/24,fd00:20:1::1/64"),
        ("-y lnat del LR-edge out", "lnat add LR-edge out 10.20.0.0/16 snat 203.0.113.2"),
        ("-y lsr del LR-edge default", "lsr add LR-edge default 0.0.0.0/0 203.0.113.1 LR-edge_to_out"),
        ("-y patchport del out phys", "patchport add out phys hv1 br-ex"),
    ];
    for line in ["lr add LR-edge hv1", "ls add out", "lr link LR-edge out 203.0.113.2/24"] {
        b.ok(line);
    }
    for (_, add) in &again[1..] {
        b.ok(add);
    }
    let before = b.ok("export");
    for (del, add) in again {
        b.ok(del);
        assert_ne!(b.ok("export"), before, "{del}");
        b.ok(add);
        assert_eq!(b.ok("export"), before, "{add}");
        b.claims_are_consistent();
    }
}

pub fn documents_hold_what_meets_the_physical_network(b: &Bench) {
    b.tutorial();
    host(b, "hv1");
    b.ok(&format!("-y edge init {INIT}"));
    b.ok("lnat add edge1 vm 10.20.1.2 floating 203.0.113.7 --label a=b");
    let text = b.ok("export");
    let file = b.file("net.yaml", &text);
    assert_eq!(b.ok(&format!("diff -f {file}")), "");
    let less =
        text.replace("bridge: br-ex\n", "bridge: br-ex\n          vlan: 9\n").replace("203.0.113.7", "203.0.113.8");
    let less = b.file("less.yaml", &less);
    let (diff, _) = b.exits(1, &format!("diff -f {less}"));
    assert!(diff.contains("~ lr/edge1/lnat/vm xlate_ip: \"203.0.113.7\" -> \"203.0.113.8\""), "{diff}");
    assert!(diff.contains("~ ls/outside1/lsp/outside1_patch patch:") && diff.lines().count() == 2, "{diff}");
    assert_eq!(b.ok(&format!("apply -f {less}")), "0 added, 2 changed, 0 deleted\n");
    b.claims_are_consistent();
    b.ok(&format!("-y apply -f {}", b.file("none.yaml", "{}")));
    b.ok(&format!("apply -f {file}"));
    assert_eq!(b.ok("export"), text);
    b.claims_are_consistent();
    let twice = text
        .replace("    nat:\n", "    nat:\n      twice: {type: dnat, prefix: 203.0.113.7/32, xlate_ip: 10.20.1.3}\n");
    let (_, told) = b.exits(1, &format!("apply -f {}", b.file("twice.yaml", &twice)));
    assert!(told.contains("the external address 203.0.113.7 is taken by the rule twice"), "{told}");
}
