//! By hand, since it takes a minute in a debug build: `cargo test -p tuplenet-agent --test agent -- --ignored --nocapture`.

use super::{host::Host, network::Store};
use serde_json::json;
use std::time::Instant;
use tuplenet_fixture::{wait_for, wait_some};

const SWITCHES: u16 = 100;
const PORTS: u16 = 200;

/// `VmRSS` and `VmHWM` of a process, in MiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (field("VmRSS"), field("VmHWM"))
}

fn network(store: &Store) {
    let mut objects = vec![("lr/LR".to_owned(), json!({"id": 5000}))];
    for n in 0..20u8 {
        objects.push((
            format!("chassis/far{n}"),
            json!({"encaps": [{"type": "geneve", "ip": format!("198.51.100.{}", n + 1)}]}),
        ));
    }
    for s in 0..SWITCHES {
        let (a, mac) = (s >> 8, |n: u16| format!("f2:01:{:02x}:{:02x}:{:02x}:{:02x}", 10, s, n >> 8, n & 255));
        assert_eq!(a, 0);
        objects.push((format!("ls/LS{s}"), json!({"id": s + 1})));
        let gateway = format!("10.{s}.255.254");
        objects.push((format!("lr/LR/lrp/LR_to_LS{s}"), json!({"port_id": s + 1, "mac": mac(0xfffe), "nets": [format!("{gateway}/16")], "peer": {"ls": format!("LS{s}"), "lsp": format!("LS{s}_to_LR")}})));
        objects.push((format!("ls/LS{s}/lsp/LS{s}_to_LR"), json!({"port_id": 65000, "mac": mac(0xfffe), "ips": [gateway], "peer": {"lr": "LR", "lrp": format!("LR_to_LS{s}")}})));
        for n in 1..=PORTS {
            objects.push((
                format!("ls/LS{s}/lsp/p{s}-{n}"),
                json!({"port_id": n, "mac": mac(n), "ips": [format!("10.{s}.{}.{}", n >> 8, n & 255)]}),
            ));
            if s > 0 || n > 1 {
                objects.push((
                    format!("binding/LS{s}/p{s}-{n}"),
                    json!({"chassis": format!("far{}", n % 20), "generation": 1}),
                ));
            }
        }
    }
    store.put_all(&objects);
}

#[test]
#[ignore = "takes a minute"]
fn twenty_thousand_ports() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    let begun = Instant::now();
    network(&store);
    println!("network written in {:?}", begun.elapsed());
    host.vsctl(&[
        "add-br",
        "br-int",
        "--",
        "set",
        "Bridge",
        "br-int",
        "datapath_type=dummy",
        "protocols=OpenFlow10,OpenFlow13,OpenFlow15",
    ]);
    host.plug("eth1", "p0-1");
    let begun = Instant::now();
    let agent = host.agent(&store.url, &["--audit-interval", "5"]);
    wait_some("all flows", || {
        (agent.metric("tuplenet_flows_desired")? > 1000 && agent.metric("tuplenet_switch_settled") == Some(1))
            .then_some(())
    });
    println!(
        "cold start {:?}: {:?} flows, memory now and at most {:?} MiB",
        begun.elapsed(),
        agent.metric("tuplenet_flows_desired"),
        memory(agent.process.id())
    );
    agent.wait_metric("tuplenet_audits_total", |v| v > 0);
    println!("after an audit: {:?} MiB", memory(agent.process.id()));
    let before = agent.metric("tuplenet_flows_desired");
    for n in 0..50 {
        store.port("LS1", &format!("new{n}"), 250);
        store.put(&format!("binding/LS1/new{n}"), json!({"chassis": "far1", "generation": 1}));
        std::thread::sleep(std::time::Duration::from_millis(50));
        store.delete(&format!("ls/LS1/lsp/new{n}"));
    }
    wait_for("the last deletion", || agent.metric("tuplenet_flows_desired") == before);
    agent.settle();
    let metrics = agent.metrics().unwrap();
    metrics.lines().filter(|l| l.contains("install_latency")).for_each(|l| println!("{l}"));
    drop(agent);
    let begun = Instant::now();
    let agent = host.agent(&store.url, &[]);
    agent.settle();
    println!(
        "warm start {:?}: {:?} flow mods, memory {:?} MiB",
        begun.elapsed(),
        agent.metric("tuplenet_flow_mods_total"),
        memory(agent.process.id())
    );
    assert_eq!(agent.metric("tuplenet_flow_mods_total"), Some(0));
}
