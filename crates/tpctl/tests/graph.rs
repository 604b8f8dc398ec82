//! `graph`: what is drawn, in every form, against snapshots and against readers that know DOT, XML and rectangles.
//! `UPDATE=1 cargo test -p tuplenet-tpctl --test graph` writes the snapshots anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod bench;
#[path = "graph/check.rs"]
mod check;

use bench::{Bench, Embedded, texts};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

const FIVE: &str = "
switches:
  web: {ports: {web1: '10.20.1.11, fd00:20:1::11', web2: 10.20.1.12, web3: 10.20.1.13}}
  app: {ports: {app1: 10.20.2.11, app2: 10.20.2.12}}
  db: {ports: {db1: 10.20.3.11, db2: 10.20.3.12}}
  m: {}
  outside: {ports: {gw: 192.0.2.1}}
routers:
  central:
    links: {web: '10.20.1.1/24, fd00:20:1::1/64', app: 10.20.2.1/24, db: 10.20.3.1/24, m: 100.64.0.1/24}
    routes:
      default: {prefix: 0.0.0.0/0, next_hop: 100.64.0.2}
      lab: {prefix: 172.16.0.0/16, next_hop: 10.20.3.11}
  edge1:
    chassis: hv3
    links: {m: 100.64.0.2/24, outside: 192.0.2.2/24}
    routes:
      inner: {prefix: 10.20.0.0/16, next_hop: 100.64.0.1}
      default: {prefix: 0.0.0.0/0, next_hop: 192.0.2.1}
";

/// Five switches on four hosts, of which one is silent.
fn five(b: &Bench) {
    b.ok(&format!("apply -f {}", b.file("five.yaml", FIVE)));
    for n in 1..=4 {
        b.put(
            &format!("chassis/hv{n}"),
            &format!("{{\"encaps\": [{{\"type\": \"geneve\", \"ip\": \"192.0.2.1{n}\"}}]}}"),
        );
    }
    for n in 1..=3 {
        b.put(&format!("status/hv{n}/alive"), "{}");
    }
    let hosts = [("web/web1", 1), ("web/web2", 2), ("app/app1", 1), ("app/app2", 2), ("db/db1", 2), ("db/db2", 4)];
    for (port, host) in hosts.into_iter().chain([("outside/gw", 3)]) {
        b.put(&format!("binding/{port}"), &format!("{{\"chassis\": \"hv{host}\", \"generation\": 1}}"));
    }
}

/// One of each kind of thing that is set aside, with text that no format likes.
fn damage(b: &Bench) {
    for (path, value) in [
        ("ls/web/lsp/web9", r#"{"port_id": 9, "mac": "no\"t<a>&\\mac\u0007", "ips": ["10.20.1.19"]}"#),
        ("ls/web/lsp/web8", r#"{"port_id": 8, "mac": "02:00:00:00:00:08", "ips": ["10.20.1.11"]}"#),
        ("ls/broken", r#"{"id": "x"}"#),
        ("ls/ghost/lsp/p", r#"{"port_id": 8, "mac": "02:00:00:00:00:08", "ips": ["10.20.1.11"]}"#),
        (r#"ls/a<b>"&\x/what"#, "{}"),
        ("lr/central/lsr/bad", r#"{"prefix": "172.17.0.0/16", "next_hop": "10.99.0.1", "outport": "central_to_db"}"#),
        ("lr/central/lsr/unreadable", r#"{"prefix": 3}"#),
        (
            "lr/central/lsr/nowhere",
            r#"{"prefix": "172.18.0.0/16", "next_hop": "10.20.3.77", "outport": "central_to_db"}"#,
        ),
        ("lr/lone", r#"{"id": 99}"#),
        (
            "lr/lone/lrp/x",
            r#"{"mac": "02:00:00:00:00:09", "nets": ["10.20.2.9/24"], "peer": {"ls": "app", "lsp": "nope"}}"#,
        ),
        ("chassis/hv5", r#"{"encaps": 5}"#),
        ("chassis/hv6", r#"{"encaps": [{"type": "vxlan", "ip": "192.0.2.16"}], "roles": ["gateway"]}"#),
        ("binding/web/web3", r#"{"chassis": "hv6", "generation": 1}"#),
        ("binding/db/gone", r#"{"chassis": "hv2", "generation": 1}"#),
        ("binding/db/db1", r#"{"chassis": "hv7", "generation": 2}"#),
    ] {
        b.put(path, value);
    }
}

/// Compares with what was reviewed.
fn snapshot(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        reviewed == text,
        "{name} changed: look at it, then UPDATE=1 cargo test -p tuplenet-tpctl --test graph\n{text}"
    );
}

fn with_store(test: impl FnOnce(&Bench)) {
    let store = Embedded::start();
    test(&Bench::new(&store.endpoint, "/tuplenet"));
}

#[test]
fn a_small_network_in_every_form() {
    with_store(|b| {
        five(b);
        snapshot("five.txt", &b.ok("graph --format text"));
        snapshot("five.svg", &b.ok("graph --format svg"));
        // What a pipe gets if nothing is said.
        snapshot("five.dot", &b.ok("graph"));
        snapshot("hosts.txt", &b.ok("graph --physical --format text"));
        snapshot("hosts.svg", &b.ok("graph --physical --format svg"));
        snapshot("hosts.dot", &b.ok("graph --physical"));
        snapshot("around.txt", &b.ok("graph --around edge1 --depth 1 --format text"));
        snapshot("around-host.txt", &b.ok("graph --physical --around outside --format text"));
        check::svg(&b.ok("graph --format svg"));
        check::svg(&b.ok("graph --physical --format svg"));
        let dot = check::dot(&b.ok("graph"));
        assert_eq!((dot.nodes.len(), dot.edges.len()), (7, 10), "six links, four routes");
        assert_eq!(check::dot(&b.ok("graph --physical")).edges.len(), 6, "four hosts that all see each other");
        // -o table is for people.
        assert_eq!(b.ok("-o table graph"), b.ok("graph --format text"));
    });
}

#[test]
fn what_is_set_aside_is_red_and_says_why() {
    with_store(|b| {
        five(b);
        damage(b);
        for (name, what) in [("damaged", ""), ("damaged-hosts", "--physical")] {
            snapshot(&format!("{name}.txt"), &b.ok(&format!("graph {what} --format text")));
            let svg = check::svg(&b.ok(&format!("graph {what} --format svg")));
            let dot = check::dot(&b.ok(&format!("graph {what} --format dot")));
            let red: Vec<&String> =
                dot.nodes.iter().filter(|(_, n)| n["fillcolor"] == "#fde3e3").map(|(id, _)| id).collect();
            let rejected = svg.boxes().into_iter().filter(|e| e.attributes["class"].contains("rejected"));
            let rejected: BTreeSet<&str> = rejected.map(|e| e.attributes["id"].as_str()).collect();
            let wanted: &[&str] = if what.is_empty() { &["ls/broken"] } else { &["chassis/hv5", "chassis/hv7"] };
            assert_eq!(red, wanted);
            assert_eq!(rejected, wanted.iter().copied().collect());
        }
        // Every object that doctor lists is in the drawing, or in what stands below it.
        let shown = b.ok("graph --format text --full");
        for object in b.json("doctor").as_array().unwrap() {
            let reason = object["reason"].as_str().unwrap().split(':').next().unwrap().replace('\u{7}', "\u{fffd}");
            assert!(shown.contains(reason.split('"').next().unwrap()), "{object}");
        }
        let data = b.json("graph");
        let broken = data["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "ls/broken").unwrap();
        assert_eq!(broken["rejected"], true);
        assert_eq!(broken["set_aside"][0]["key"], "ls/broken");
    });
}

#[test]
fn data_are_for_programs() {
    with_store(|b| {
        five(b);
        let data = b.json("graph");
        let nodes: BTreeMap<&str, &Value> =
            data["nodes"].as_array().unwrap().iter().map(|n| (n["id"].as_str().unwrap(), n)).collect();
        assert_eq!(nodes.len(), 7);
        assert_eq!(nodes["ls/web"]["ports"], 3);
        assert_eq!(nodes["ls/web"]["hosts"], serde_json::json!({"hv1": 1, "hv2": 1}));
        assert_eq!(nodes["lr/edge1"]["chassis"], "hv3");
        assert_eq!(nodes["lr/edge1"]["agent"], "alive");
        let edges = data["edges"].as_array().unwrap();
        let link = edges.iter().find(|e| e["to"] == "ls/web").unwrap();
        assert_eq!((&link["kind"], &link["nets"][0]), (&"link".into(), &"10.20.1.1/24".into()));
        let route = edges.iter().find(|e| e["kind"] == "routes" && e["to"] == "lr/edge1").unwrap();
        assert_eq!(route["routes"][0]["prefix"], "0.0.0.0/0");
        let hosts = b.json("graph --physical");
        assert_eq!(hosts["nodes"][3]["agent"], "silent");
        assert_eq!(hosts["nodes"][1]["hosts"], serde_json::json!({"app": ["app2"], "db": ["db1"], "web": ["web2"]}));
        let tunnel = &hosts["edges"][0];
        assert_eq!(
            (&tunnel["kind"], &tunnel["encaps"][0], &tunnel["bfd"]),
            (&"tunnel".into(), &"geneve".into(), &Value::Null)
        );
        let (one, other) = (tunnel["from"].as_str().unwrap(), tunnel["to"].as_str().unwrap());
        let (one, other) = (one.trim_start_matches("chassis/"), other.trim_start_matches("chassis/"));
        b.put(&format!("status/{one}/bfd/{other}/geneve/192.0.2.1"), r#"{"state":"up","since":1}"#);
        assert_eq!(b.json("graph --physical")["edges"][0]["bfd"], "up");
        b.put(&format!("status/{other}/bfd/{one}/geneve/192.0.2.2"), r#"{"state":"down","since":1}"#);
        assert_eq!(b.json("graph --physical")["edges"][0]["bfd"], "down", "one end is enough");
        assert!(b.ok("graph --physical").contains("BFD down"), "{}", b.ok("graph --physical"));
        assert!(b.ok("-o yaml graph").contains("id: lr/edge1\n"));
    });
}

#[test]
fn files_say_by_their_ending_what_they_are() {
    with_store(|b| {
        five(b);
        let path = |name: &str| b.dir.file(name).display().to_string();
        for (ending, begins) in
            [("txt", "5 switches"), ("dot", "digraph"), ("gv", "digraph"), ("svg", "<svg"), ("json", "{")]
        {
            let file = path(&format!("net.{ending}"));
            let said = b.ok(&format!("graph --out {file}"));
            assert_eq!(said, format!("{file}: 5 switches with 8 ports, 2 routers, 4 static routes\n"));
            assert!(fs::read_to_string(&file).unwrap().starts_with(begins), "{ending}");
        }
        let file = path("net.yaml");
        b.ok(&format!("graph --out {file}"));
        assert!(fs::read_to_string(&file).unwrap().contains("collapsed: false"));
        let file = path("drawing");
        b.ok(&format!("graph --format svg --out {file}"));
        assert!(fs::read_to_string(&file).unwrap().starts_with("<svg"));
        b.refused_with("graph --out /does/not/exist.svg", &["cannot write /does/not/exist.svg"]);
        for (line, words) in [
            (format!("graph --out {}", path("net.png")), &["net.png", ".svg", "--format"][..]),
            ("-o json graph --format svg".to_owned(), &["either -o or --format"]),
        ] {
            let (out, err) = b.exits(2, &line);
            assert!(out.is_empty() && words.iter().all(|word| err.contains(word)), "{line}: {err}");
            assert!(err.contains("Usage: tpctl graph "), "{err}");
        }
    });
}

#[test]
fn bad_input_gets_one_clear_line() {
    with_store(|b| {
        b.refused_with("graph", &["there is nothing to draw yet", "tpctl ls add"]);
        b.refused_with("graph --physical", &["there is nothing to draw yet", "no chassis has registered"]);
        assert_eq!(b.json("graph")["nodes"], serde_json::json!([]), "no nodes are data, too");
        five(b);
        b.refused_with("graph --around wbe", &["no switch or router \"wbe\"", "did you mean web?"]);
        b.refused_with("graph --around zzz", &["no switch or router \"zzz\": see"]);
        b.refused_with("graph --physical --around wbe", &["did you mean web?"]);
        b.refused_with("graph --physical --around zzz", &["zzz"]);
        b.ok("lr add web");
        b.refused_with("graph --around web", &["write ls/web or lr/web"]);
        b.ok("graph --around ls/web");
        b.refused_with("graph --file /does/not/exist", &["cannot read /does/not/exist"]);
        let bad = b.file("bad.yaml", "switches: {A: {ports: {a: 10.0.0.1, b: 10.0.0.1}}}");
        let (out, err) = b.exits(1, &format!("graph --file {bad}"));
        assert!(
            out.is_empty() && err.contains("10.0.0.1 is taken by") && err.contains("no valid network: 2 faults"),
            "{err}"
        );
        for usage in
            ["graph --depth 1", "graph --physical --file x", "graph --format png", "graph --around web --depth -1"]
        {
            assert_eq!(b.run(&usage.split(' ').collect::<Vec<_>>()).status.code(), Some(2), "{usage}");
        }
    });
}

/// Needs no store: a bench whose endpoint nobody answers at.
fn alone() -> Bench {
    Bench::new("127.0.0.1:1", "/nothing")
}

#[test]
fn a_document_is_drawn_without_a_store() {
    let b = alone();
    let file = b.file("five.yaml", FIVE);
    snapshot("document.txt", &b.ok(&format!("graph --file {file} --format text")));
    check::svg(&b.ok(&format!("graph --file {file} --format svg")));
    let mut child = b.tpctl(&["graph", "--file", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), FIVE.as_bytes()).unwrap();
    let (out, _) = texts(&child.wait_with_output().unwrap());
    assert_eq!(out, b.ok(&format!("graph --file {file}")));
    b.refused_with(&format!("graph --file {}", b.file("empty.yaml", "{}\n")), &["there is nothing to draw yet"]);
}

/// So many routers on a core switch, with so many switches each, with so many ports each.
fn large(routers: usize, switches: usize, ports: usize) -> String {
    let mut text = "switches:\n  core: {}\n".to_owned();
    for s in 1..=routers * switches {
        write!(text, "  s{s}:\n    ports:\n").unwrap();
        for p in 1..=ports {
            writeln!(text, "      s{s}p{p}: 10.{}.{}.{}", s / 256, s % 256, p + 10).unwrap();
        }
    }
    text.push_str("routers:\n");
    for r in 1..=routers {
        write!(text, "  r{r}:\n    links:\n      core: 100.64.{}.{}/16\n", r / 200, r % 200 + 1).unwrap();
        for s in (r - 1) * switches + 1..=r * switches {
            writeln!(text, "      s{s}: 10.{}.{}.1/24", s / 256, s % 256).unwrap();
        }
    }
    text
}

#[test]
fn five_hundred_switches_are_still_useful() {
    let b = alone();
    for (name, routers, switches, most) in [("twenty", 20, 25, 41), ("hundred", 100, 5, 101), ("one", 1, 500, 2)] {
        let file = b.file(&format!("{name}.yaml"), &large(routers, switches, 40));
        // Collapsed: a core, its routers, and what hangs on each as one (or within it).
        let text = b.ok(&format!("graph --file {file} --format text"));
        snapshot(&format!("500-{name}.txt"), &text);
        assert!(text.lines().all(|line| line.chars().count() <= 120));
        let dot = b.ok(&format!("graph --file {file}"));
        assert_eq!(check::dot(&dot).nodes.len(), most);
        let svg = b.ok(&format!("graph --file {file} --format svg"));
        assert_eq!(check::svg(&svg).boxes().len(), most);
        assert!(dot.len() < 64_000 && svg.len() < 64_000, "{} {}", dot.len(), svg.len());
        // All of it.
        let dot = b.ok(&format!("graph --file {file} --full"));
        assert_eq!(check::dot(&dot).nodes.len(), 1 + routers + routers * switches);
        assert_eq!(check::dot(&dot).edges.len(), routers + routers * switches);
        let svg = b.ok(&format!("graph --file {file} --full --format svg"));
        assert_eq!(check::svg(&svg).boxes().len(), 1 + routers + routers * switches);
        assert!(dot.len() < 400_000 && svg.len() < 400_000, "{} {}", dot.len(), svg.len());
        let data = b.json(&format!("graph --file {file}"));
        assert_eq!(data["nodes"].as_array().unwrap().len(), 1 + routers + routers * switches);
        // One of them, from near.
        let near = b.ok(&format!("graph --file {file} --around s7 --depth 1"));
        assert_eq!(check::dot(&near).nodes.len(), 2);
    }
}

#[test]
fn many_hosts_are_a_mesh_and_the_silent_ones_stand_out() {
    with_store(|b| {
        let ports: String = (1..=60).map(|n| format!("p{n}: 10.0.0.{n}, ")).collect();
        b.ok(&format!("apply -f {}", b.file("net.yaml", &format!("switches: {{A: {{ports: {{{ports}}}}}}}"))));
        for n in 1..=60 {
            b.put(
                &format!("chassis/h{n}"),
                &format!("{{\"encaps\": [{{\"type\": \"geneve\", \"ip\": \"192.0.2.{n}\"}}]}}"),
            );
            b.put(&format!("binding/A/p{n}"), &format!("{{\"chassis\": \"h{n}\", \"generation\": 1}}"));
            if n != 7 && n != 31 {
                b.put(&format!("status/h{n}/alive"), "{}");
            }
        }
        snapshot("60-hosts.txt", &b.ok("graph --physical --format text"));
        let svg = check::svg(&b.ok("graph --physical --format svg"));
        assert_eq!(svg.boxes().len(), 4, "the mesh, two that are silent, and all others");
        assert_eq!(b.json("graph --physical")["nodes"].as_array().unwrap().len(), 61, "data have every host");
        assert_eq!(b.json("graph --physical --full")["edges"].as_array().unwrap().len(), 60 * 59 / 2);
        let (out, _) = texts(&b.run(&["graph", "--physical", "--full", "--format", "svg"]));
        assert_eq!(check::svg(&out).boxes().len(), 61);
    });
}

/// The links of a random network: which router to which switch, and addresses that differ.
fn random() -> impl Strategy<Value = String> {
    let links = prop::collection::btree_set((0..8usize, 0..30usize), 0..60);
    (1..=30usize, 1..=8usize, links, prop::collection::vec((0..8usize, 0..30usize), 0..12)).prop_map(
        |(switches, routers, links, routes)| {
            let links: Vec<(usize, usize)> = links.into_iter().filter(|(r, s)| *r < routers && *s < switches).collect();
            let mut text = "switches:\n".to_owned();
            for s in 0..switches {
                writeln!(text, "  switch-{s}: {{ports: {{vm: 10.0.{s}.200}}}}").unwrap();
            }
            text.push_str("routers:\n");
            for r in 0..routers {
                let name = "R".repeat(1 + r * 9);
                writeln!(text, "  {name}{r}:\n    links:").unwrap();
                let of = |router: usize| {
                    links.iter().filter(move |(r, _)| *r == router).map(|(_, s)| *s).collect::<Vec<_>>()
                };
                let mine = of(r);
                match mine.is_empty() {
                    true => text.push_str("      {}\n"),
                    false => {
                        mine.iter().for_each(|s| writeln!(text, "      switch-{s}: 10.0.{s}.{}/24", r + 1).unwrap())
                    }
                }
                text.push_str("    routes:\n      {");
                for (n, (to, via)) in routes.iter().enumerate().filter(|(_, (to, via))| mine.contains(via) && *to != r)
                {
                    let _ = write!(text, "x{n}: {{prefix: 172.{n}.0.0/16, next_hop: 10.0.{via}.{}}}, ", to + 1);
                }
                text.push_str("}\n");
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the network: every switch and router is drawn once, no box touches another, every format can be read, twice is the same.
    #[test]
    fn any_network_can_be_drawn(document in random()) {
        let b = alone();
        let file = b.file("net.yaml", &document);
        let data = b.json(&format!("graph --file {file}"));
        let ids: BTreeSet<&str> = data["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
        for full in ["", "--full"] {
            let dot = check::dot(&b.ok(&format!("graph --file {file} {full} --format dot")));
            let text = b.ok(&format!("graph --file {file} {full} --format svg"));
            let svg = check::svg(&text);
            prop_assert_eq!(svg.boxes().len(), dot.nodes.len());
            prop_assert_eq!(&text, &b.ok(&format!("graph --file {file} {full} --format svg")));
            if full == "--full" {
                prop_assert_eq!(dot.nodes.keys().map(String::as_str).collect::<BTreeSet<_>>(), ids.clone());
                prop_assert_eq!(dot.edges.len(), data["edges"].as_array().unwrap().len());
            }
        }
        let text = b.ok(&format!("graph --file {file} --format text --full"));
        for id in &ids {
            let name = id.split_once('/').unwrap().1;
            let head = name.chars().take(30).collect::<String>();
            prop_assert!(text.lines().any(|line| line.contains(&head)), "{name} is missing\n{text}");
        }
    }
}
