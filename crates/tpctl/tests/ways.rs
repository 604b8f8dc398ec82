//! Several next hops of one prefix, as `trace`, `explain reach` and `graph` tell of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod bench;

use bench::{Bench, Embedded, texts};
use serde_json::json;

/// A guest on hv1, two edges on hv2 and hv3, and what hosts say of each other.
fn two_edges(b: &Bench) {
    b.tutorial();
    for (host, ip) in [("hv1", 11), ("hv2", 12), ("hv3", 13)] {
        b.put(&format!("chassis/{host}"), &format!(r#"{{"encaps":[{{"type":"geneve","ip":"192.0.2.{ip}"}}]}}"#));
        b.put(&format!("status/{host}/alive"), "{}");
    }
    b.put("binding/LS-A/vm1", r#"{"chassis":"hv1","generation":1}"#);
    b.ok("-y edge init --chassis hv2 --bridge br-ex --vip 203.0.113.2/24 --virt 10.20.0.0/16 --ext-gw 203.0.113.1");
    b.ok("-y edge add --chassis hv3 --bridge br-ex --vip 203.0.113.3/24");
}

fn bfd(b: &Bench, by: &str, of: (&str, u8), state: &str) {
    b.put(
        &format!("status/{by}/bfd/{}/geneve/192.0.2.{}", of.0, of.1),
        &format!(r#"{{"state":"{state}","since":1700000000}}"#),
    );
}

#[test]
fn a_trace_says_which_of_several_next_hops_a_packet_took() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    two_edges(&b);
    let run = |line: &str| texts(&b.run(&line.split(' ').collect::<Vec<_>>()));
    let trace = "trace vm1 --to 198.51.100.9 --simulate";
    let words = |hop: u8, known: [&str; 2]| {
        let of = |hop: u8| {
            let edge = if hop == 2 { 1 } else { 2 };
            format!("100.64.88.{hop} (edge{edge} on hv{}{})", edge + 1, known[edge - 1])
        };
        let other = if hop == 2 { 6 } else { 2 };
        format!("one of 2 next hops for 0.0.0.0/0: {}; the other is {}", of(hop), of(other))
    };
    // Nothing is said of BFD yet. Which one a hash gives is the switch's affair, and the same each time.
    let (tree, _) = run(&format!("{trace} -o table"));
    let hop = if tree.contains(&words(2, [""; 2])) { 2 } else { 6 };
    assert_eq!(tree.matches(&words(hop, [""; 2])).count(), 1, "{tree}");
    let (before, after) = tree.split_once(&words(hop, [""; 2])).unwrap();
    assert!(before.lines().nth_back(1).unwrap().contains("LRP_TRACE_INGRESS_OUT"), "{tree}");
    assert!(after.contains("LRP_TRACE_EGRESS_IN") && !before.contains("─ router edge"), "{tree}");
    // What the host that chose says, and what an edge says of itself; not what others say.
    bfd(&b, "hv1", ("hv2", 12), "up");
    bfd(&b, "hv1", ("hv3", 13), "down");
    bfd(&b, "hv2", ("hv3", 13), "up");
    let (lines, said) = run(&format!("{trace} -o text"));
    assert!(lines.lines().all(|line| line.starts_with("type:")), "{lines}");
    let sentence = format!("tpctl: LR-central on hv1 took {}\n", words(hop, [", BFD up", ", BFD down"]));
    assert!(said.ends_with(&sentence), "{said}");
    b.put("status/hv2/bfd/withdrawn", r#"{"state":"withdrawn","why":"no uplink is left","since":1}"#);
    let (data, _) = run(&format!("-o json {trace}"));
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let choice = &data["choices"][0];
    assert_eq!(
        (data["choices"].as_array().unwrap().len(), &choice["lr"], &choice["chassis"]),
        (1, &json!("LR-central"), &json!("hv1"))
    );
    assert_eq!(choice["taken"], format!("100.64.88.{hop}"));
    assert_eq!(
        choice["next_hops"][0],
        json!({"next_hop": "100.64.88.2", "outport": "LR-central_to_m1", "port": "m1_to_edge1", "of": "edge1", "chassis": "hv2", "state": "withdrawn"})
    );
    // The same in `explain reach`, and nothing of it where there is one way.
    let (said, _) = run("explain reach vm1 198.51.100.9");
    assert!(
        said.contains(&format!("  LR-central on hv1 took {}\n", words(hop, [", withdrawn", ", BFD down"]))),
        "{said}"
    );
    for line in ["trace vm1 --to 10.20.2.2 --simulate -o text", "trace vm1 --to 10.20.1.1 --simulate -o text"] {
        let (_, said) = run(line);
        assert!(!said.contains("one of"), "{said}");
    }
    b.ok("-y edge remove --vip 203.0.113.3");
    let (_, said) = run(&format!("{trace} -o text"));
    assert!(!said.contains("one of"), "{said}");
}

#[test]
fn whom_hosts_know_outside_is_known_to_the_simulator() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    two_edges(&b);
    // The edge asks for its next hop: nothing is missing in the network, and who answers is not known.
    let (out, _) = b.exits(1, "explain reach vm1 198.51.100.9");
    let asked = "by ping, but that is not certain: 203.0.113.1 is not known as a neighbour outside";
    assert!(out.contains(asked) && out.contains("tpctl edge show --neighbours"), "{out}");
    for (host, switch) in [("hv2", "outside1"), ("hv3", "outside2")] {
        b.put(
            &format!("status/{host}/neighbour/{switch}/203.0.113.1"),
            r#"{"mac":"02:00:00:00:00:01","seen":1700000000}"#,
        );
    }
    b.put("status/hv2/neighbour/outside1/nonsense", "{");
    let out = b.ok("explain reach vm1 198.51.100.9");
    assert!(out.contains("arrives at port outside") && out.contains("which is the next hop"), "{out}");
    let (_, said) = b.exits(0, "trace vm1 --to 198.51.100.9 --simulate -o text");
    assert!(said.starts_with("tpctl: simulated: delivered to outside"), "{said}");
}

#[test]
fn next_hops_may_share_a_port_and_be_guests() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    two_edges(&b);
    for (n, host) in [(7, Some("hv2")), (8, None), (9, Some("hv1"))] {
        b.ok(&format!("lsp add LS-B gw{n} 10.20.2.{n}"));
        b.ok(&format!("lsr add LR-central lab{n} 172.16.0.0/16 10.20.2.{n} LR-central_to_LS-B"));
        if let Some(host) = host {
            b.put(&format!("binding/LS-B/gw{n}"), &format!(r#"{{"chassis":"{host}","generation":1}}"#));
        }
    }
    let (out, _) = texts(&b.run(&["trace", "vm1", "--to", "172.16.9.9", "--simulate", "-o", "json"]));
    let data: serde_json::Value = serde_json::from_str(&out).unwrap();
    let choice = &data["choices"][0];
    assert_eq!(choice["next_hops"].as_array().unwrap().len(), 3);
    // The port of the switch that the packet went to has the address that is said to be taken.
    let went = data["outcomes"][0]["lsp"].as_str().unwrap_or_default();
    let taken = choice["taken"].as_str().unwrap();
    assert!(went.is_empty() || taken == format!("10.20.2.{}", went.trim_start_matches("gw")), "{data}");
    let (tree, _) = texts(&b.run(&["trace", "vm1", "--to", "172.16.9.9", "--simulate", "-o", "table"]));
    assert!(
        tree.contains("one of 3 next hops for 172.16.0.0/16") && tree.contains("10.20.2.8 (gw8 on no chassis)"),
        "{tree}"
    );
    // An edge that withdraws is dead for its guests, too, where others choose; it uses its own by their ports.
    for host in ["hv1", "hv2"] {
        b.put(&format!("status/{host}/bfd/withdrawn"), r#"{"state":"withdrawn","why":"no uplink is left","since":1}"#);
    }
    let (out, _) = texts(&b.run(&["trace", "vm1", "--to", "172.16.9.9", "--simulate", "-o", "json"]));
    let data: serde_json::Value = serde_json::from_str(&out).unwrap();
    let state = |hop: usize| data["choices"][0]["next_hops"][hop]["state"].clone();
    assert_eq!([state(0), state(1), state(2)], [json!("withdrawn"), json!(null), json!(null)]);
}

#[test]
fn a_drawing_has_all_next_hops_of_equal_routes() {
    let store = Embedded::start();
    let b = Bench::new(&store.endpoint, "/tuplenet");
    two_edges(&b);
    let said = b.ok("graph --format text");
    for hop in [2, 6] {
        assert!(said.contains(&format!("0.0.0.0/0 via 100.64.88.{hop} (one of 2) ╌▶ router edge")), "{said}");
    }
    assert!(said.contains("0.0.0.0/0 via 203.0.113.1 ╌▶"), "one way: {said}");
    bfd(&b, "hv1", ("hv2", 12), "up");
    bfd(&b, "hv3", ("hv2", 12), "down");
    b.put("status/hv3/bfd/withdrawn", r#"{"state":"withdrawn","why":"no uplink is left","since":1}"#);
    let said = b.ok("graph --format text");
    assert!(said.contains("via 100.64.88.2 (one of 2, BFD up at 1,down at 1) ╌▶ router edge1"), "{said}");
    assert!(said.contains("via 100.64.88.6 (one of 2, withdrawn) ╌▶ router edge2"), "{said}");
    let data = b.json("graph");
    let routes = data["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == "routes");
    let routes: Vec<_> = routes.flat_map(|edge| edge["routes"].as_array().unwrap().clone()).collect();
    let of = |name: &str| routes.iter().find(|route| route["name"] == name).unwrap().clone();
    assert_eq!((&of("edge2_default")["next_hops"], &of("edge2_default")["state"]), (&json!(2), &json!("withdrawn")));
    assert_eq!((&of("virt")["next_hops"], &of("virt")["state"]), (&json!(1), &json!(null)));
}
