//! `tpctl trace` without hosts: simulated ones, real ones with hosts that this test plays, and everything that is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod bench;

use bench::{Bench, Embedded, texts};
use serde_json::Value;

/// Two switches and a router on two hosts; `lone` hangs on nothing, `off` is bound to nobody, `twin` exists twice.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2', v4: 10.1.0.4, off: 10.1.0.9, twin: 10.1.0.8}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', twin: 10.2.0.8}}
  X: {ports: {lone: 10.9.0.1}}
routers:
  R: {links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64'}}
";

struct Net {
    bench: Bench,
    _store: Embedded,
}

impl Net {
    /// The network, its ports on two chassis whose agents are alive.
    fn new() -> Self {
        let store = Embedded::start();
        let bench = Bench::new(&store.endpoint, "/tuplenet");
        let file = bench.file("net.yaml", NETWORK);
        bench.ok(&format!("-y apply -f {file}"));
        for (number, chassis) in ["hv1", "hv2"].into_iter().enumerate() {
            let encaps = format!(r#"{{"encaps":[{{"type":"geneve","ip":"192.0.2.{}"}}]}}"#, number + 1);
            bench.put(&format!("chassis/{chassis}"), &encaps);
            bench.put(&format!("status/{chassis}/alive"), "{}");
        }
        for (port, chassis) in [
            ("A/a1", "hv1"),
            ("A/v4", "hv1"),
            ("A/a2", "hv2"),
            ("B/b1", "hv2"),
            ("B/twin", "hv2"),
            ("A/twin", "hv1"),
            ("X/lone", "hv1"),
        ] {
            bench.put(&format!("binding/{port}"), &format!(r#"{{"chassis":"{chassis}","generation":1}}"#));
        }
        Self { bench, _store: store }
    }

    /// A simulated trace: exit code, hop lines without what all have, verdict.
    fn simulate(&self, line: &str) -> (i32, Vec<String>, String) {
        let line = format!("trace --simulate {line}");
        let output = self.bench.run(&line.split_whitespace().collect::<Vec<_>>());
        let (out, err) = texts(&output);
        (output.status.code().unwrap(), out.lines().map(str::to_owned).collect(), err.trim_end().to_owned())
    }
}

fn hop(text: &str) -> String {
    let [kind, pipeline, from, to, stage, chassis] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let to = if to == "?" { "<UNKNOWN>" } else { to };
    format!("type:{kind},pipeline:{pipeline},from:{from},to:{to},stage:TABLE_{stage},chassis:{chassis}")
}

#[test]
fn a_simulated_packet_takes_the_path_that_it_would_take() {
    let net = Net::new();
    let same = [
        "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
        "LS A a1 a2 LSP_TRACE_INGRESS_OUT hv1",
        "LS A a1 a2 LSP_TRACE_EGRESS_IN hv2",
    ];
    let routed = [
        "LS A a1 ? LSP_TRACE_INGRESS_IN hv1",
        "LS A a1 A_to_R LSP_TRACE_INGRESS_OUT hv1",
        "LS A a1 A_to_R LSP_TRACE_EGRESS_IN hv1",
        "LR R R_to_A ? LRP_TRACE_INGRESS_IN hv1",
        "LR R R_to_A R_to_B LRP_TRACE_INGRESS_OUT hv1",
        "LR R R_to_A R_to_B LRP_TRACE_EGRESS_IN hv1",
        "LR R R_to_A R_to_B LRP_TRACE_EGRESS_OUT hv1",
        "LS B B_to_R ? LSP_TRACE_INGRESS_IN hv1",
        "LS B B_to_R b1 LSP_TRACE_INGRESS_OUT hv1",
        "LS B B_to_R b1 LSP_TRACE_EGRESS_IN hv2",
    ];
    for (line, hops, verdict) in [
        ("a1 --to 10.1.0.2", &same[..], "delivered to a2 on hv2, 3 hops"),
        ("A/a1 --to fd00:1::2", &same, "delivered to a2 on hv2, 3 hops"),
        ("a1 --to 10.2.0.1", &routed, "delivered to b1 on hv2, 10 hops"),
        ("a1 --to fd00:2::1 --tcp 443", &routed, "delivered to b1 on hv2, 10 hops"),
        ("a1 --to 10.2.0.1 --udp 53 --ttl 2", &routed, "delivered to b1 on hv2, 10 hops"),
        ("a1 --to 10.2.0.1 --src 10.1.0.77 --src-mac 02:00:00:00:00:01", &routed, "delivered to b1 on hv2, 10 hops"),
    ] {
        let (code, lines, said) = net.simulate(line);
        let expected: Vec<String> = hops.iter().map(|text| hop(text)).collect();
        assert_eq!(
            (code, lines, said.as_str()),
            (0, expected, format!("tpctl: simulated: {verdict}").as_str()),
            "{line}"
        );
    }
    // The same as bytes.
    let frame = net.bench.json("trace a1 --to 10.1.0.2 --simulate")["packet"].as_str().unwrap().to_owned();
    let (code, lines, _) = net.simulate(&format!("a1 --hex {frame}"));
    assert_eq!((code, lines.len()), (0, 3));
}

#[test]
fn answers_and_drops_are_told_with_the_reason() {
    let net = Net::new();
    for line in [
        "a1 --to 10.1.0.254",
        "a1 --to fd00:1::fe",
        "a1 --to 10.2.0.254",
        "a1 --to 10.1.0.2 --arp",
        "a1 --to fd00:1::2 --nd",
    ] {
        let (code, _, verdict) = net.simulate(line);
        assert!(
            code == 0 && verdict.starts_with("tpctl: simulated: answered by ") && verdict.contains(" to a1 on hv1, "),
            "{line}: {verdict}"
        );
    }
    for (line, place, reason) in [
        ("a1 --to 10.8.8.8", "dropped at R on hv1: ", "no route to 10.8.8.8"),
        ("a1 --to 10.2.0.1 --ttl 1", "dropped at R on hv1: ", "TTL"),
        ("a1 --to 10.2.0.99", "dropped at R on hv1: ", "10.2.0.99"),
        ("a1 --to 10.1.0.2 --dst-mac 02:00:00:00:00:99", "dropped at A on hv1: ", "02:00:00:00:00:99"),
        ("a1 --to 10.1.0.9", "dropped at A on hv1: ", ""),
    ] {
        let (code, hops, verdict) = net.simulate(line);
        let place = format!("tpctl: simulated: {place}");
        assert!(code == 1 && verdict.starts_with(&place) && verdict.contains(reason), "{line}: {verdict}");
        assert!(!hops.is_empty(), "{line}");
    }
}

#[test]
fn data_has_everything_and_the_tree_begins_with_the_verdict() {
    let net = Net::new();
    let data = net.bench.json("trace a1 --to 10.1.0.2 --simulate");
    assert_eq!(data["delivered"], true);
    assert_eq!(data["from"], serde_json::json!({"ls": "A", "lsp": "a1"}));
    assert_eq!(data["hops"][2]["stage"], "LSP_TRACE_EGRESS_IN");
    assert_eq!(
        data["outcomes"][0],
        serde_json::json!({"verdict": "delivered", "ls": "A", "lsp": "a2", "chassis": "hv2"})
    );
    assert!(net.bench.ok("-o yaml trace a1 --to 10.1.0.2 --simulate").contains("delivered: true"));
    let tree = net.bench.ok("-o table trace a1 --to 10.1.0.2 --simulate");
    let expected = "\
simulated: delivered to a2 on hv2, 3 hops
on hv1
└─ switch A
     LSP_TRACE_INGRESS_IN   a1 -> ?
     LSP_TRACE_INGRESS_OUT  a1 -> a2
on hv2
└─ switch A
     LSP_TRACE_EGRESS_IN    a1 -> a2
";
    assert_eq!(tree, expected);
    let (out, err) = net.bench.exits(1, "-o json trace a1 --to 10.8.8.8 --simulate");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["outcomes"][0]["verdict"], "dropped");
    assert!(err.contains("no route to 10.8.8.8"), "{err}");
}

#[test]
fn a_change_is_simulated_before_it_is_made() {
    let net = Net::new();
    let unlinked = NETWORK.replace(", B: '10.2.0.254/24, fd00:2::fe/64'", "");
    assert_ne!(unlinked, NETWORK);
    let file = net.bench.file("after.yaml", &unlinked);
    let revision = net.bench.revision();
    let (out, err) = net.bench.exits(1, &format!("trace a1 --to 10.2.0.1 --simulate --with {file}"));
    assert!(err.contains("before: simulated: delivered to b1 on hv2, 10 hops"), "{err}");
    assert!(err.contains("after:  simulated: dropped at R on hv1: no route to 10.2.0.1"), "{err}");
    let marks: String = out.lines().map(|line| line.chars().next().unwrap()).collect();
    assert_eq!(marks, "    ------", "{out}");
    let (_, _, same) = net.simulate("a1 --to 10.1.0.2");
    assert!(same.contains("delivered"));
    let (out, err) = net.bench.exits(0, &format!("trace a1 --to 10.1.0.2 --simulate --with {file}"));
    assert!(
        err.contains("the path stays as it is") && out.lines().all(|line| line.starts_with("  type:LS")),
        "{out}{err}"
    );
    let data = {
        let (out, _) = net.bench.exits(1, &format!("-o json trace a1 --to 10.2.0.1 --simulate --with {file}"));
        serde_json::from_str::<Value>(&out).unwrap()
    };
    assert_eq!(
        (&data["changed"], &data["before"]["delivered"], &data["after"]["delivered"]),
        (&true.into(), &true.into(), &false.into())
    );
    // A port that the change makes: nobody has it yet.
    let grown = NETWORK.replace("v4: 10.1.0.4", "v4: 10.1.0.4, new: 10.1.0.66");
    let file = net.bench.file("grown.yaml", &grown);
    net.bench.refused_with(
        &format!("trace new --to 10.1.0.2 --simulate --with {file}"),
        &["port new of switch A is not bound"],
    );
    let (out, err) = net.bench.exits(0, &format!("trace a1 --to 10.1.0.66 --simulate --with {file} --at new=hv2"));
    assert!(err.contains("after:  simulated: delivered to new on hv2") && out.contains("\n+ "), "{out}{err}");
    let (out, err) = net.bench.exits(0, &format!("trace new --to 10.1.0.2 --simulate --with {file} --at new=hv2"));
    assert!(
        err.contains("before: the port does not exist\n") && out.lines().all(|l| l.starts_with("+ ")),
        "{out}{err}"
    );
    net.bench.refused_with(
        &format!("trace a1 --to 10.1.0.2 --simulate --with {file} --at nwe=hv2"),
        &["no switch has a port nwe"],
    );
    // One that the change deletes.
    let less = net.bench.file("less.yaml", &NETWORK.replace("v4: 10.1.0.4", "v5: 10.1.0.4"));
    let (out, err) = net.bench.exits(1, &format!("trace v4 --to 10.1.0.2 --simulate --with {less} --at v4=hv2"));
    assert!(
        err.contains("after:  the port does not exist\n") && out.lines().all(|l| l.starts_with("- ")),
        "{out}{err}"
    );
    let line = format!("trace v4 --to 10.1.0.2 --simulate --with {less} --at v4=hv2 -o json");
    let data: Value = serde_json::from_str(&net.bench.exits(1, &line).0).unwrap();
    assert_eq!((&data["after"], &data["before"]["delivered"]), (&Value::Null, &true.into()));
    assert_eq!(net.bench.revision(), revision, "a simulation wrote to the store");
}

#[test]
fn a_document_alone_is_simulated_without_a_store() {
    let nowhere = Bench::new("127.0.0.1:1", "/none");
    let file = nowhere.file("net.yaml", NETWORK);
    let (out, err) = nowhere.exits(0, &format!("trace a1 --to 10.2.0.1 --file {file}"));
    assert!(err.contains("simulated: delivered to b1 on host") && out.lines().count() == 10, "{out}{err}");
    let (out, err) = nowhere.exits(0, &format!("trace a1 --to 10.2.0.1 --file {file} --at b1=far"));
    assert!(err.contains("delivered to b1 on far") && out.contains("EGRESS_IN,chassis:far"), "{out}{err}");
    let (out, _) = nowhere.exits(0, &format!("trace --all-pairs A B --file {file}"));
    // 5 ports in A and 2 in B have IPv4, 2 and 1 IPv6.
    assert_eq!(out, format!("{} of {} packets arrived\n", 7 * 6 + 3 * 2, 7 * 6 + 3 * 2));
    let broken = nowhere.file("broken.yaml", "switches: {A: {ports: {a1: 10.1.0.300}}}");
    nowhere.refused_with(&format!("trace a1 --to 10.2.0.1 --file {broken}"), &["broken.yaml", "10.1.0.300"]);
    nowhere.refused_with("trace a1 --to 10.2.0.1 --file /does/not/exist", &["cannot read /does/not/exist"]);
    // With the store it would not be so quick.
    nowhere.refused_with("trace a1 --to 10.2.0.1 --simulate", &["cannot reach the store"]);
}

#[test]
fn all_pairs_print_what_fails() {
    let net = Net::new();
    let (out, err) = net.bench.exits(0, "trace --all-pairs A B --simulate");
    assert_eq!(out, "36 of 36 packets arrived\n");
    assert!(err.contains("left out, since no chassis has them: A/off"), "{err}");
    let (out, err) = net.bench.exits(1, "trace --all-pairs A X --simulate --at off=hv1");
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines.iter().any(|line| line
            .starts_with("A/a1 -> X/lone (10.9.0.1 by R): simulated: dropped at R on hv1: no route to 10.9.0.1")),
        "{out}"
    );
    assert_eq!(lines.last(), Some(&"22 of 32 packets arrived"), "{out}");
    assert!(err.contains("tpctl: 10 packets did not arrive"), "{err}");
    let (out, _) = net.bench.exits(1, "-o json trace --all-pairs A X --simulate --at off=hv1");
    let data: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&data["pairs"], data["failed"].as_array().unwrap().len()), (&32.into(), 10));
    net.bench.refused_with("trace --all-pairs A Y --simulate", &["switch Y does not exist"]);
    net.bench.refused_with("trace --all-pairs X --simulate", &["no pair of ports to check"]);
}

#[test]
fn a_change_is_checked_for_all_pairs() {
    let net = Net::new();
    let revision = net.bench.revision();
    let unlinked = net.bench.file("after.yaml", &NETWORK.replace(", B: '10.2.0.254/24, fd00:2::fe/64'", ""));
    let line = format!("trace --all-pairs A B --simulate --with {unlinked}");
    let (out, err) = net.bench.exits(1, &line);
    let lines: Vec<&str> = out.lines().collect();
    let lost =
        "- A/a1 -> B/b1 (10.2.0.1 by R): simulated: dropped at R on hv1: no route to 10.2.0.1; R tells the sender";
    assert!(lines.contains(&lost), "{out}");
    let [cut @ .., before, after] = &lines[..] else { panic!("{out}") };
    assert!(cut.iter().all(|line| line.starts_with("- ")), "{out}");
    assert_eq!(*before, "before: 36 of 36 packets arrive");
    assert_eq!(*after, format!("after:  {} of 36 packets arrive", 36 - cut.len()));
    assert!(err.ends_with(&format!("tpctl: {} packets would not arrive\n", cut.len())), "{err}");
    let data: Value = serde_json::from_str(&net.bench.exits(1, &format!("{line} -o json")).0).unwrap();
    assert_eq!((&data["before"]["arrived"], data["pairs"].as_array().unwrap().len()), (&36.into(), cut.len()));
    assert_eq!((&data["pairs"][0]["change"], &data["pairs"][0]["by"]), (&"-".into(), &"R".into()));

    // A change that joins, and one that makes a switch and a port.
    let joined = net.bench.file("joined.yaml", &NETWORK.replace("links: {A:", "links: {X: 10.9.0.254/24, A:"));
    let (out, _) = net.bench.exits(0, &format!("trace --all-pairs A X --simulate --with {joined}"));
    assert!(out.contains("+ A/a1 -> X/lone (10.9.0.1 by R): simulated: arrives\n"), "{out}");
    let grown = net.bench.file("grown.yaml", &NETWORK.replace("switches:", "switches:\n  N: {ports: {n: 10.77.0.1}}"));
    let (out, _) = net.bench.exits(1, &format!("trace --all-pairs N B --simulate --with {grown} --at n=hv1"));
    assert!(out.contains("  N/n -> B/b1 (10.2.0.1): 10.2.0.1 is no address in switch N"), "{out}");
    let less = net.bench.file("less.yaml", &NETWORK.replace("b1: '10.2.0.1, fd00:2::1', ", ""));
    let (out, err) = net.bench.exits(0, &format!("trace --all-pairs A B --simulate --with {less}"));
    assert!(out.starts_with("before: 36 of 36 packets arrive\nafter:  22 of 22 "), "{out}");
    assert!(err.contains("note: left out, since the change deletes them: B/b1\n"), "{err}");
    net.bench.refused_with(&format!("trace --all-pairs Y --simulate --with {grown}"), &["switch Y does not exist"]);
    assert_eq!(net.bench.revision(), revision, "a simulation wrote to the store");
}

#[test]
fn too_many_pairs_are_refused_before_they_are_made() {
    let nowhere = Bench::new("127.0.0.1:1", "/none");
    let ports: String = (0..400).map(|n| format!("p{n}: 10.0.{}.{}, ", n / 200, n % 200 + 1)).collect();
    let file = nowhere.file("many.yaml", &format!("switches: {{A: {{ports: {{{ports}}}}}}}"));
    nowhere.refused_with(
        &format!("trace --all-pairs A -f {file}"),
        &["400 ports make more than 100000 packets: name fewer switches"],
    );
}

#[test]
fn bad_input_is_refused_with_one_line() {
    let net = Net::new();
    let b = &net.bench;
    for mode in ["", " --simulate"] {
        for (line, words) in [
            ("nobody --to 10.1.0.2", &["no switch has a port nobody", "tpctl lsp show"][..]),
            ("A/nobody --to 10.1.0.2", &["port nobody of switch A does not exist"]),
            ("Y/a1 --to 10.1.0.2", &["switch Y does not exist"]),
            ("twin --to 10.1.0.2", &["2 switches have a port twin", "A/twin or B/twin"]),
            ("off --to 10.1.0.2", &["port off of switch A is not bound to any chassis", "--at off=CHASSIS"]),
            ("A_to_R --to 10.1.0.2", &["the end of a link with router R"]),
            ("v4 --to fd00:2::1", &["port v4 of switch A has no IPv6 address", "--src"]),
            ("lone --to 8.8.8.8", &["no router there has a network with 10.9.0.1", "--dst-mac"]),
        ] {
            b.refused_with(&format!("trace {line}{mode}"), words);
        }
    }
    b.put("ls/A/lsp/broken", r#"{"port_id": 77, "mac": "nonsense", "ips": ["10.1.0.77"]}"#);
    for port in ["broken", "A/broken"] {
        b.refused_with(&format!("trace {port} --to 10.1.0.2"), &["ls/A/lsp/broken: mac: \"nonsense\" is not a MAC"]);
    }
    // This one has a1's address: it can be read, but agents set it aside.
    b.put("ls/A/lsp/rival", r#"{"port_id": 78, "mac": "02:00:00:00:00:78", "ips": ["10.1.0.1"]}"#);
    b.put("binding/A/rival", r#"{"chassis":"hv1","generation":1}"#);
    b.refused_with(
        "trace rival --to 10.1.0.2 --simulate",
        &["port rival of switch A cannot be used", "10.1.0.1 belongs to port A/a1"],
    );
    // An agent lets go of such a port: not its VM is missing then.
    b.delete("binding/A/rival");
    b.refused_with(
        "trace rival --to 10.1.0.2",
        &["port rival of switch A is set aside", "10.1.0.1 belongs to port A/a1"],
    );
    b.refused_with("trace a1 --to 10.1.0.2 --simulate --at off=hv9", &["chassis hv9 does not exist"]);
    b.refused_with("trace a1 --to 10.1.0.2 --simulate --at off=hv1 --at off=hv2", &["cannot be on both hv1 and hv2"]);
    let long = "00".repeat(9_019);
    for (line, words) in [
        ("a1", &["--to"][..]),
        ("--to 10.1.0.2", &["<LSP>"]),
        ("a1 --to 10.1.0.2 --tcp 80 --udp 53", &["cannot be used with"]),
        ("a1 --to 10.1.0.2 --icmp --arp", &["cannot be used with"]),
        ("a1 --to 10.1.0.2 --hex 00", &["cannot be used with"]),
        ("a1 --to fd00:1::2 --arp", &["--arp asks for IPv4", "use --nd"]),
        ("a1 --to 10.1.0.2 --nd", &["--nd asks for IPv6", "use --arp"]),
        ("a1 --to 10.1.0.2 --arp --ttl 3", &["cannot be used with"]),
        ("a1 --to 10.1.0.2 --src fd00::1", &["two families"]),
        ("a1 --to 0.0.0.0", &["nobody's address"]),
        ("a1 --to 10.1.0.2 --ttl 256", &["256"]),
        ("a1 --to 10.1.0", &["10.1.0"]),
        ("a1 --to 10.1.0.2 --src-mac 1:2:3", &["--src-mac"]),
        ("a1 --hex 0011", &["2 bytes are no Ethernet frame"]),
        ("a1 --hex 001", &["3 hexadecimal digits are not whole bytes"]),
        ("a1 --hex zz", &["`z` at place 1 is no hexadecimal digit"]),
        (&format!("a1 --hex {long}"), &["9019 bytes are more than"]),
        ("a/b/c --to 10.1.0.2", &["a/b/c"]),
        ("a1 --to 10.1.0.2 --with x.yaml", &["add --simulate"]),
        ("a1 --to 10.1.0.2 --at a1=hv1", &["add --simulate"]),
        ("a1 --to 10.1.0.2 --file - --with -", &["cannot both be standard input"]),
        ("a1 --all-pairs A", &["cannot be used with"]),
        ("--all-pairs A --to 10.1.0.2", &["cannot be used with"]),
    ] {
        let (out, err) = b.exits(2, &format!("trace {line}"));
        assert!(out.is_empty() && words.iter().all(|word| err.contains(word)), "{line}: {err}");
    }
    b.exits(2, "-o text ls show");
    b.delete("status/hv1/alive");
    b.refused_with(
        "trace a1 --to 10.1.0.2",
        &["the agent on hv1, which has port a1, is not alive", "status/hv1/alive"],
    );
    let left = |path: &str| path.starts_with("trace/") || path.starts_with("inject/");
    assert!(b.all().iter().all(|(path, _)| !left(path)), "{:?}", b.all());
}
