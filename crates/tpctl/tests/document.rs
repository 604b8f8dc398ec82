//! `apply`, `export` and `diff`, on the embedded store and on etcd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod bench;

use bench::Bench;
use serde_json::json;
use std::fmt::Write;

on_both_stores! {
    an_export_applied_changes_nothing
    a_document_is_applied_and_compared
    a_bad_document_changes_nothing
    things_change_places
    a_large_network_comes_and_goes
    a_link_may_have_names_of_its_own
    what_cannot_be_read_is_replaced
}

const TUTORIAL: &str = "
switches:
  LS-A:
    ports: {vm1: '10.20.1.2, fd00:20:1::2'}
  LS-B:
    ports: {vm2: '10.20.2.2, fd00:20:2::2'}
routers:
  LR-central:
    links:
      LS-A: 10.20.1.1/24, fd00:20:1::1/64
      LS-B: 10.20.2.1/24, fd00:20:2::1/64
";

/// A document of a network without objects.
fn nothing(b: &Bench) -> String {
    b.file("nothing.yaml", "{}\n")
}

pub fn an_export_applied_changes_nothing(b: &Bench) {
    assert_eq!(b.ok(&format!("apply -f {}", nothing(b))), "the network is so already\n");
    b.tutorial();
    b.ok("ls set LS-A --flood --description text --label a=b");
    b.ok("lsp set LS-A LS-A_to_LR-central --description odd");
    b.ok("lsr add LR-central default 0.0.0.0/0 10.20.1.2 LR-central_to_LS-A");
    b.ok("lr add edge");
    let export = b.file("export.yaml", &b.ok("export"));
    let before = b.revision();
    assert_eq!(b.ok(&format!("apply -f {export}")), "the network is so already\n");
    assert_eq!(b.exits(0, &format!("diff -f {export}")), (String::new(), String::new()));
    assert_eq!(b.revision(), before, "nothing was written");
    // JSON is YAML.
    let export = b.file("export.json", &b.ok("export -o json"));
    b.ok(&format!("diff -f {export}"));
    // On an empty store it makes the very same network, ids included.
    let all = b.all();
    b.ok(&format!("-y apply -f {}", nothing(b)));
    assert_eq!(b.all(), []);
    b.ok(&format!("apply -f {export}"));
    assert_eq!(b.all(), all);
}

pub fn a_document_is_applied_and_compared(b: &Bench) {
    let tutorial = b.file("tutorial.yaml", TUTORIAL);
    let (shown, _) = b.exits(1, &format!("diff -f {tutorial}"));
    assert!(shown.contains("+ ls/LS-A id: 1\n") && shown.lines().count() == 9, "{shown}");
    assert_eq!(b.ok(&format!("apply -f {tutorial}")), "9 added, 0 changed, 0 deleted\n");
    b.claims_are_consistent();
    // The same as by single commands.
    let by_document = b.json("export");
    b.ok(&format!("-y apply -f {}", nothing(b)));
    b.tutorial();
    let by_commands = b.json("export");
    assert_eq!(
        by_document["routers"]["LR-central"]["links"]["LS-A"]["nets"],
        by_commands["routers"]["LR-central"]["links"]["LS-A"]["nets"]
    );
    assert_eq!(b.exits(0, &format!("diff -f {tutorial}")).0, "", "ids are not asked for");

    let changed = b.file("changed.yaml", &TUTORIAL.replace("10.20.1.2,", "10.20.1.3,").replace("vm2", "vm3"));
    let (_, shown) = b.exits(1, &format!("apply -f {changed}"));
    assert!(shown.contains("port vm2 of switch LS-B") && shown.contains("use -y"), "{shown}");
    let lines = b.exits(1, &format!("diff -f {changed}")).0;
    assert!(lines.contains("~ ls/LS-A/lsp/vm1 ips: [\"10.20.1.2\"") && lines.contains("- ls/LS-B/lsp/vm2"), "{lines}");
    let data = b.exits(1, &format!("-o json diff -f {changed}")).0;
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data[0]["change"], "change");
    assert_eq!(data[0]["fields"]["mac"], json!({"old": "f2:01:0a:14:01:02", "new": "f2:01:0a:14:01:03"}));
    assert_eq!(b.json(&format!("-y apply -f {changed}")), json!({"added": 1, "changed": 1, "deleted": 1, "mended": 0}));
    assert_eq!(b.exits(0, &format!("diff -f {changed}")).0, "");
    b.claims_are_consistent();
    // From standard input.
    let mut child = b.tpctl(&["diff", "-f", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), TUTORIAL.as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
}

pub fn a_bad_document_changes_nothing(b: &Bench) {
    let nothing = b.file("nothing.yaml", &b.ok("export"));
    assert_eq!(b.ok(&format!("apply -f {nothing}")), "the network is so already\n");
    b.tutorial();
    let before = b.revision();
    for (text, words) in [
        ("switches: {A: {idd: 1}}", &["line 1", "idd"][..]),
        ("switches:\n  A:\n    ports: {vm: 10.0.0}\n", &["line 3", "10.0.0"]),
        ("switches: [", &["line 1"]),
        ("switches: {A: {ports: {a: 10.0.0.1, b: 10.0.0.1}}}", &["no valid network: 2 faults"]),
        ("routers: {R: {links: {X: 10.0.0.1/24}}}", &["no valid network"]),
        // What comes out of a pipe whose other end failed.
        ("", &["bad.yaml: it is empty", "write {}"]),
        ("# nothing\n", &["bad.yaml: it is empty"]),
    ] {
        let file = b.file("bad.yaml", text);
        for command in ["apply", "diff"] {
            b.refused_with(&format!("-y {command} -f {file}"), words);
        }
    }
    b.refused_with("apply -f /does/not/exist", &["/does/not/exist"]);
    assert_eq!(b.revision(), before);
    let file = b.file("bad.yaml", "switches: {A: {ports: {a: 10.0.0.1, b: 10.0.0.1}}}");
    let (_, said) = b.exits(1, &format!("apply -f {file}"));
    assert!(said.contains("ls/A/lsp/b: ips: 10.0.0.1 is taken by ls/A/lsp/a"), "{said}");
}

pub fn things_change_places(b: &Bench) {
    let one =
        b.file("1.yaml", "switches: {A: {id: 1, ports: {x: 10.0.0.1, y: 10.0.0.2}}, B: {id: 2, ports: {x: 10.0.0.1}}}");
    let two =
        b.file("2.yaml", "switches: {A: {id: 2, ports: {x: 10.0.0.2, y: 10.0.0.1}}, C: {id: 1, ports: {x: 10.0.0.1}}}");
    b.ok(&format!("apply -f {one}"));
    b.ok(&format!("apply -y -f {two}"));
    b.ok(&format!("diff -f {two}"));
    b.claims_are_consistent();
    b.ok(&format!("apply -y -f {one}"));
    b.ok(&format!("diff -f {one}"));
    b.claims_are_consistent();
    assert_eq!(b.json("doctor"), json!([]));
}

/// 300 ports on each of two switches: some dozens of transactions.
fn large(shift: u32, link: &str) -> String {
    let mut text = "switches:\n".to_owned();
    for ls in ["A", "B"] {
        write!(text, "  {ls}:\n    ports:\n").unwrap();
        for i in 0..300u32 {
            let host = 10 + (i + shift) % 300;
            writeln!(text, "      vm{i}: 10.0.{}.{}, fd00::{host:x}", host / 256, host % 256).unwrap();
        }
    }
    text + link
}

pub fn a_large_network_comes_and_goes(b: &Bench) {
    let link = "routers: {R: {links: {A: 10.0.9.1/20}, routes: {d: {prefix: 0.0.0.0/0, next_hop: 10.0.9.2}}}}\n";
    let (first, second) = (b.file("1.yaml", &large(0, link)), b.file("2.yaml", &large(0, "").replace("vm2", "wm2")));
    assert_eq!(b.ok(&format!("apply -f {first}")), "606 added, 0 changed, 0 deleted\n");
    b.claims_are_consistent();
    assert_eq!(b.json("doctor"), json!([]));
    assert_eq!(b.ok(&format!("apply -f {first}")), "the network is so already\n");
    b.ok(&format!("apply -y -f {second}"));
    b.ok(&format!("diff -f {second}"));
    b.claims_are_consistent();
    // Every port takes its neighbour's address: no order of small transactions leaves a valid network each time.
    let turned = b.file("3.yaml", &large(1, "").replace("vm2", "wm2"));
    let before = b.revision();
    b.refused_with(&format!("apply -f {turned}"), &["change places with each other", "two steps"]);
    assert_eq!(b.revision(), before);
    b.ok("-y ls del -r B");
    b.claims_are_consistent();
    b.ok(&format!("-y apply -f {}", nothing(b)));
    assert_eq!(b.all(), []);
}

pub fn a_link_may_have_names_of_its_own(b: &Bench) {
    let file = b.file(
        "odd.yaml",
        "switches: {A: {ports: {up: {ips: [10.0.0.1], peer: {lr: R, lrp: down}}}}}
routers: {R: {ports: {down: {nets: [10.0.0.1/24], peer: {ls: A, lsp: up}}}, routes: {d: {prefix: 0.0.0.0/0, next_hop: 10.0.0.2}}}}",
    );
    b.ok(&format!("apply -f {file}"));
    assert_eq!(b.json("doctor"), json!([]));
    let export = b.file("export.yaml", &b.ok("export"));
    b.ok(&format!("diff -f {export}"));
    b.refused_with("-y lr unlink R A", &["route d of router R"]);
    b.ok("-y lr unlink -r R A");
    assert_eq!(
        b.all().iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["claim/id/00000001", "claim/id/00000002", "lr/R", "ls/A"]
    );
    b.refused_with("-y lr unlink R A", &["does not exist"]);
}

pub fn what_cannot_be_read_is_replaced(b: &Bench) {
    b.put("ls/LS-A", "{nonsense");
    b.put("ls/LS-A/lsp/junk", "17");
    let tutorial = b.file("tutorial.yaml", TUTORIAL);
    let (_, said) = b.exits(1, &format!("apply -f {tutorial}"));
    assert!(said.contains("port junk of switch LS-A"), "{said}");
    b.ok(&format!("apply -y -f {tutorial}"));
    assert_eq!(b.exits(0, "doctor"), ("every object is valid\n".to_owned(), String::new()));
    b.claims_are_consistent();
}
