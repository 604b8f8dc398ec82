//! Real traces with hosts that this test plays: what is asked of them, what is made of their reports, and what happens when they fall silent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod bench;

use bench::{Bench, Embedded, Etcd, texts};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tuplenet_model::trace::from_hex;
use tuplenet_rules::{register, stage};
use tuplenet_store::{Client, Config, Op, Txn};

const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
routers:
  R: {links: {A: '10.1.0.254/24, fd00:1::fe/64'}}
";
const PATIENCE: Duration = Duration::from_secs(20);

struct Net {
    bench: Bench,
    /// Ends with the test.
    _store: Box<dyn std::any::Any>,
}

/// What a request asks for: its id, the lease, and the value.
struct Asked {
    id: u16,
    lease: i64,
    value: Value,
}

impl Net {
    fn new() -> Self {
        let store = Embedded::start();
        Self::on(&store.endpoint.clone(), Box::new(store))
    }

    fn on(endpoint: &str, store: Box<dyn std::any::Any>) -> Self {
        let bench = Bench::new(endpoint, "/tuplenet");
        let file = bench.file("net.yaml", NETWORK);
        bench.ok(&format!("-y apply -f {file}"));
        for (number, (chassis, port)) in [("hv1", "a1"), ("hv2", "a2")].into_iter().enumerate() {
            let encaps = format!(r#"{{"encaps":[{{"type":"geneve","ip":"192.0.2.{}"}}]}}"#, number + 1);
            bench.put(&format!("chassis/{chassis}"), &encaps);
            bench.put(&format!("status/{chassis}/alive"), "{}");
            bench.put(&format!("binding/A/{port}"), &format!(r#"{{"chassis":"{chassis}","generation":1}}"#));
        }
        Self { bench, _store: store }
    }

    /// Runs `tpctl trace` while `host` plays the hosts.
    fn trace(&self, line: &str, host: impl FnOnce(&Self, Asked)) -> (i32, Vec<String>, String) {
        let line = format!("trace {line}");
        let child = self.bench.tpctl(&line.split_whitespace().collect::<Vec<_>>()).spawn().unwrap();
        host(self, self.asked("hv1"));
        let output = child.wait_with_output().unwrap();
        let (out, err) = texts(&output);
        self.is_clean();
        (output.status.code().unwrap(), out.lines().map(str::to_owned).collect(), err.trim_end().to_owned())
    }

    /// Waits until somebody asks a host for a packet.
    fn asked(&self, chassis: &str) -> Asked {
        let begun = Instant::now();
        loop {
            let found = self.list(&format!("inject/{chassis}/"));
            if let Some((key, value, lease)) = found.into_iter().next() {
                let id = key.rsplit('/').next().unwrap().parse().unwrap();
                return Asked { id, lease, value: serde_json::from_str(&value).unwrap() };
            }
            assert!(begun.elapsed() < PATIENCE, "nobody asks {chassis} for a packet");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn list(&self, path: &str) -> Vec<(String, String, i64)> {
        Self::runtime().block_on(async {
            let client = Client::new(Config::new(&self.bench.endpoint).unwrap()).unwrap();
            let found = client.list(&format!("/tuplenet/v1/{path}")).await.unwrap();
            found.kvs.into_iter().map(|kv| (kv.key, String::from_utf8(kv.value.to_vec()).unwrap(), kv.lease)).collect()
        })
    }

    fn put(&self, path: &str, value: &str, lease: i64) {
        Self::runtime().block_on(async {
            let client = Client::new(Config::new(&self.bench.endpoint).unwrap()).unwrap();
            client.put_with_lease(&format!("/tuplenet/v1/{path}"), value.to_owned(), lease).await.unwrap();
        });
    }

    /// A host reports.
    fn report(&self, asked: &Asked, chassis: &str, records: &[Value]) {
        let records = records.iter().enumerate().map(|(n, record)| {
            let key = format!("/tuplenet/v1/trace/{}/{chassis}/{n:06}", asked.id);
            Op::put_with_lease(&key, record.to_string(), asked.lease)
        });
        Self::runtime().block_on(async {
            let client = Client::new(Config::new(&self.bench.endpoint).unwrap()).unwrap();
            assert!(client.txn(Txn::new().then_all(records)).await.unwrap().succeeded);
        });
    }

    fn is_clean(&self) {
        let left = [self.list("trace/"), self.list("inject/")].concat();
        assert!(left.is_empty(), "{left:?}");
    }

    fn id(&self, line: &str, field: &str) -> u64 {
        self.bench.json(line)[field].as_u64().unwrap()
    }

    /// A hop in switch A from a1.
    fn hop(&self, table: u8, to: u64, flags: u32, remote: Option<&str>, at: u64) -> Value {
        let (datapath, from) = (self.id("ls show A", "id"), self.id("lsp show A a1", "port_id"));
        let packet = "f2010a010002f2010a010001080045000054000040004001269b0a0100010a0100020800f7ff00000000";
        json!({"event": "hop", "at": at, "table": table, "datapath": datapath, "from": from, "to": to, "flags": flags, "remote": remote, "packet": packet})
    }

    /// What hv1 reports of a packet to a2.
    fn sending(&self, at: u64) -> Vec<Value> {
        let to = self.id("lsp show A a2", "port_id");
        let traced = register::TRACED;
        vec![
            self.hop(stage::LSP_TRACE_INGRESS_IN.table, 0, traced, None, at),
            self.hop(stage::LSP_TRACE_INGRESS_OUT.table, to, traced, Some("192.0.2.2"), at + 100_000),
            json!({"event": "end", "at": at + 200_000}),
        ]
    }

    /// What hv2 reports.
    fn receiving(&self, at: u64) -> Vec<Value> {
        let to = self.id("lsp show A a2", "port_id");
        let flags = register::TRACED | register::FROM_TUNNEL;
        let mut delivered = self.hop(stage::LSP_EGRESS_PUSHOUT.table, to, flags, None, at + 50_000);
        delivered["event"] = "delivered".into();
        vec![
            self.hop(stage::LSP_TRACE_EGRESS_IN.table, to, flags, None, at),
            delivered,
            json!({"event": "end", "at": at + 60_000}),
        ]
    }
}

const HOPS: [&str; 3] = [
    "type:LS,pipeline:A,from:a1,to:<UNKNOWN>,stage:TABLE_LSP_TRACE_INGRESS_IN,chassis:hv1",
    "type:LS,pipeline:A,from:a1,to:a2,stage:TABLE_LSP_TRACE_INGRESS_OUT,chassis:hv1",
    "type:LS,pipeline:A,from:a1,to:a2,stage:TABLE_LSP_TRACE_EGRESS_IN,chassis:hv2",
];

#[test]
fn reports_are_joined_as_soon_as_the_last_one_is_there() {
    joins(&Net::new());
}

#[test]
fn reports_are_joined_on_etcd_as_well() {
    let Some(etcd) = Etcd::start() else { return };
    joins(&Net::on(&etcd.endpoint.clone(), Box::new(etcd)));
}

fn joins(net: &Net) {
    let begun = Instant::now();
    // hv2's clock is an hour behind, and it is the first that reports.
    let (code, hops, verdict) = net.trace("a1 --to 10.1.0.2 --udp 53 --timeout 60", |net, asked| {
        assert_eq!((&asked.value["ls"], &asked.value["lsp"]), (&"A".into(), &"a1".into()));
        let frame = from_hex(asked.value["packet"].as_str().unwrap()).unwrap();
        assert_eq!(&frame[..14], &[0xf2, 1, 10, 1, 0, 2, 0xf2, 1, 10, 1, 0, 1, 8, 0]);
        assert_eq!(
            (frame[22], frame[23], &frame[26..34], &frame[36..38]),
            (64, 17, &[10, 1, 0, 1, 10, 1, 0, 2][..], &[0, 53][..])
        );
        assert_ne!(asked.lease, 0);
        let started = net.list(&format!("trace/{}", asked.id));
        assert!(started.len() == 1 && started[0].2 == asked.lease, "{started:?}");
        net.report(&asked, "hv2", &net.receiving(1_000_000_000_000));
        net.report(&asked, "hv1", &net.sending(4_600_000_000_000));
    });
    assert_eq!((code, hops), (0, HOPS.map(str::to_owned).into()));
    assert_eq!(verdict, "tpctl: delivered to a2 on hv2, 3 hops, 0.15 ms");
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited although all was known");
}

#[test]
fn what_a_host_refuses_is_said() {
    let net = Net::new();
    let (code, hops, verdict) = net.trace("a1 --to 10.1.0.2", |net, asked| {
        let refused = json!({"event": "refused", "at": 1, "text": "the port is not here"});
        net.report(&asked, "hv1", &[refused]);
    });
    assert_eq!(
        (code, hops.len(), verdict.as_str()),
        (1, 0, "tpctl: hv1 did not send the packet: the port is not here")
    );
}

#[test]
fn who_was_last_heard_of_is_said() {
    // What hosts report is made before they are asked, since that starts programs, and the time of a trace is short.
    let trace = |until: usize, dies: Option<&'static str>| {
        let net = Net::new();
        let (sending, receiving) = (net.sending(1_000), net.receiving(200_000));
        net.trace("a1 --to 10.1.0.2 --timeout 3", |net, asked| {
            net.report(&asked, "hv1", &sending[..until.min(3)]);
            net.report(&asked, "hv2", &receiving[..until.saturating_sub(3)]);
            if let Some(chassis) = dies {
                net.bench.delete(&format!("status/{chassis}/alive"));
            }
        })
    };
    let cases = [
        (0, None, 0, "lost, no host was heard of: hv1 did not answer within 3 s, although its agent was alive"),
        (1, None, 1, "lost, last heard of hv1: hv1 did not say within 3 s what became of it"),
        (
            3,
            None,
            2,
            "lost, last heard of hv1, which sent it to hv2: hv2 reported nothing within 3 s, although its agent was alive",
        ),
        (4, None, 3, "lost, last heard of hv2: hv2 did not say within 3 s what became of it"),
        (5, None, 3, "delivered to a2 on hv2, 3 hops"),
        (
            3,
            Some("hv2"),
            2,
            "lost, last heard of hv1, which sent it to hv2: the agent on hv2 is not alive (it has no heartbeat status/hv2/alive)",
        ),
        (1, Some("hv1"), 1, "lost, last heard of hv1: the agent on hv1 is not alive"),
    ];
    // All wait at once.
    std::thread::scope(|threads| {
        for (until, dies, hops, said) in cases {
            threads.spawn(move || {
                let (code, lines, verdict) = trace(until, dies);
                assert!(verdict.starts_with(&format!("tpctl: {said}")), "{until}: {verdict}");
                assert_eq!((code, &lines[..]), (i32::from(until != 5), &HOPS.map(str::to_owned)[..hops]), "{until}");
            });
        }
    });
}

#[test]
fn a_drop_is_explained_by_the_network_in_the_store() {
    let net = Net::new();
    let (code, hops, verdict) = net.trace("a1 --to 10.1.0.2 --dst-mac 02:00:00:00:00:99", |net, asked| {
        let frame = asked.value["packet"].as_str().unwrap();
        let mut hop = net.hop(stage::LSP_TRACE_INGRESS_IN.table, 0, register::TRACED, None, 5);
        hop["packet"] = frame.into();
        net.report(&asked, "hv1", &[hop, json!({"event": "end", "at": 9})]);
    });
    assert!(
        code == 1
            && hops.len() == 1
            && verdict.starts_with("tpctl: dropped at A on hv1: ")
            && verdict.contains("02:00:00:00:00:99"),
        "{verdict}"
    );
    // This one should not have ended there.
    let (code, _, verdict) = net.trace("a1 --to 10.1.0.2", |net, asked| {
        let hop = net.hop(stage::LSP_TRACE_INGRESS_IN.table, 0, register::TRACED, None, 5);
        net.report(&asked, "hv1", &[hop, json!({"event": "end", "at": 9})]);
    });
    let expected = "tpctl: dropped at A on hv1: by the network in the store it should have passed LSP_TRACE_INGRESS_OUT of A next, so the flows of hv1 are not";
    assert!(code == 1 && verdict.starts_with(expected), "{verdict}");
    // Nor was it even taken for a packet of the port.
    let (code, hops, verdict) = net.trace("a1 --to 10.1.0.2", |net, asked| {
        net.report(&asked, "hv1", &[json!({"event": "end", "at": 9})]);
    });
    assert!(
        code == 1
            && hops.is_empty()
            && verdict.starts_with("tpctl: dropped on hv1: its Open vSwitch took it for no packet"),
        "{verdict}"
    );
}

#[test]
fn what_nobody_understands_is_passed_over() {
    let net = Net::new();
    let (sending, receiving) = (net.sending(1_000), net.receiving(200_000));
    let (code, hops, verdict) = net.trace("a1 --to 10.1.0.2", |net, asked| {
        net.put(&format!("trace/{}/hv9/000000", asked.id), "no JSON", asked.lease);
        net.put(&format!("trace/{}/hv9", asked.id), "{}", asked.lease);
        net.report(&asked, "hv1", &sending);
        net.report(&asked, "hv2", &receiving);
    });
    assert!(code == 0 && hops.len() == 3 && verdict.contains("warning: not understood: trace/"), "{verdict}");
    let (code, _, verdict) =
        net.trace("a1 --to 10.1.0.2 --timeout 1", |net, asked| net.bench.delete(&format!("trace/{}/hv1/0", asked.id)));
    assert!(code == 1, "{verdict}"); // nothing was deleted by that: it is silence
    let (code, _, verdict) = net.trace("a1 --to 10.1.0.2 --timeout 60", |net, asked| {
        net.report(&asked, "hv1", &net.sending(1_000)[..1]);
        net.bench.delete(&format!("trace/{}/hv1/000000", asked.id));
    });
    assert!(code == 1 && verdict.contains("taken out of the store while it ran"), "{verdict}");
}

#[test]
fn an_interrupted_trace_leaves_nothing_behind() {
    let net = Net::new();
    for (signal, word) in [("INT", "interrupted"), ("TERM", "terminated")] {
        let child = net.bench.tpctl(&["trace", "a1", "--to", "10.1.0.2", "--timeout", "60"]).spawn().unwrap();
        let asked = net.asked("hv1");
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        let (_, err) = texts(&output);
        assert!(output.status.code() == Some(1) && err.starts_with(&format!("tpctl: {word}")), "{err}");
        net.is_clean();
        assert!(asked.id > 0);
    }
}

#[test]
fn traces_at_once_have_different_ids() {
    let net = Net::new();
    let line = ["trace", "a1", "--to", "10.1.0.2", "--timeout", "60"];
    let children: Vec<_> = (0..10).map(|_| net.bench.tpctl(&line).spawn().unwrap()).collect();
    let begun = Instant::now();
    // Each waits for its packet until it is ended.
    while net.list("inject/hv1/").len() < 10 {
        assert!(begun.elapsed() < PATIENCE, "{} at once", net.list("inject/hv1/").len());
        std::thread::sleep(Duration::from_millis(5));
    }
    for child in &children {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    }
    let codes: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap().status.code()).collect();
    assert_eq!(codes, [Some(1); 10]);
    net.is_clean();
}
