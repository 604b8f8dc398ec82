//! The meter of the trace reports: it is there before the flows, stays, comes back, and keeps a storm of coloured packets from the agent.

use super::{
    host::{Host, running},
    network::Store,
};
use serde_json::json;
use tuplenet_fixture::{text, wait_for, wait_some};
use tuplenet_rules::trace::METER;

const READY: &str = "tuplenet_switch_settled";

fn meter(host: &Host) -> String {
    let dump = host.ofctl(&["dump-meters"]);
    let ours = dump.split("meter=").find(|meter| meter.split_whitespace().next() == Some("1"));
    ours.map(|meter| meter.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

/// Packets that the meter has dropped.
fn dropped(host: &Host) -> u64 {
    let stats = host.ofctl(&["meter-stats"]);
    let ours = stats.split("meter:").find(|meter| meter.split_whitespace().next() == Some("1")).unwrap_or_default();
    let bands = ours.split("bands:").nth(1).and_then(|bands| bands.split("packet_count:").nth(1));
    bands.and_then(|count| count.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn the_meter_is_made_stays_and_comes_back() {
    let store = Store::start();
    let host = Host::start("hv1", 1);
    store.switch_with_ports(2);
    let mut agent = host.agent(&store.url, &["--audit-interval", "1"]);
    agent.settle();
    let wanted = format!("1 pktps burst bands= type=drop rate={} burst_size={}", METER.rate, METER.burst);
    assert_eq!((METER.id, meter(&host)), (1, wanted.clone()));
    let reports = host.flows().iter().filter(|f| f.contains("meter_id=1")).count();
    assert!(reports >= 8, "{reports} flows report with the meter");

    agent.process.signal("TERM");
    agent.process.wait();
    agent = host.agent(&store.url, &["--audit-interval", "1"]);
    agent.settle();
    assert_eq!((agent.metric("tuplenet_flow_mods_total"), meter(&host)), (Some(0), wanted.clone()));

    host.ofctl(&["del-meters"]);
    wait_for("the meter to come back", || meter(&host) == wanted);
    host.ofctl(&["mod-meter", "meter=1,pktps,burst,band=type=drop,rate=1,burst_size=1"]);
    wait_for("the meter to be put right", || meter(&host) == wanted);
    assert_eq!(agent.metric("tuplenet_flow_mods_total"), Some(0), "no flow is sent for that");
}

#[test]
fn what_no_trace_asks_for_is_not_sent() {
    let (store, host, agent) = running(2);
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    agent.settle();
    // Nobody traces; and a trace without a lease would stay for ever.
    store.put("trace/6", json!({"ls": "LS-A", "lsp": "vm1"}));
    for id in [5, 6] {
        store.put(&format!("inject/hv1/{id}"), json!({"ls": "LS-A", "lsp": "vm1", "packet": "02".repeat(14)}));
    }
    agent.wait_metric("tuplenet_traces_refused_total", |v| v == 2);
    assert_eq!(agent.metric("tuplenet_packet_ins_total"), Some(0));
}

#[test]
fn the_reports_of_a_packet_that_is_flooded_all_come() {
    let (_store, mut host, agent) = running(2);
    let report = format!("controller(max_len=256,userdata=01.01,meter_id={})", METER.id);
    let packet = "50540000000550540000000788b5".to_owned() + &"00".repeat(250);
    // As a copy to each of 250 ports makes.
    let actions = vec![report; 500].join(",");
    let out = format!("in_port=controller,packet={packet},actions=set_field:9->reg7,{actions}");
    for n in 1..=5 {
        host.ofctl(&["packet-out", &out]);
        agent.wait_metric("tuplenet_packet_ins_total", |v| v == n * 500);
    }
    // A switch that was restarted is told again that we want them, and how many may wait.
    host.restart_vswitchd();
    agent.wait_metric("tuplenet_connects_total{kind=\"switch\"}", |v| v == 2);
    agent.settle();
    host.ofctl(&["packet-out", &out]);
    agent.wait_metric("tuplenet_packet_ins_total", |v| v == 3_000);
}

#[test]
fn a_storm_of_coloured_packets_is_limited_and_harms_nobody() {
    let (store, host, agent) = running(2);
    let began = std::time::Instant::now();
    // Each of these packets makes 1,000 reports, in 100 colours that nobody asked for. One bundle, since they must come faster than the meter fills,
    // which programs that are started one after the other do not on a busy machine.
    let report = format!("controller(max_len=64,userdata=01.01,meter_id={})", METER.id);
    let actions = vec![report; 1_000].join(",");
    let packet = "50540000000550540000000788b5".to_owned() + &"00".repeat(50);
    let outs = (1..=100).map(|colour| {
        format!("packet-out in_port=controller,packet={packet},actions=set_field:{colour}->reg7,{actions}\n")
    });
    let file = host.dir().file("storm");
    std::fs::write(&file, outs.collect::<String>()).unwrap();
    host.ofctl(&["bundle", &text(&file)]);
    let most = u64::from(METER.burst) + began.elapsed().as_secs() * u64::from(METER.rate) + u64::from(METER.rate);
    wait_for("the meter to drop", || dropped(&host) > 0);
    // Meanwhile and after, what matters is done.
    host.plug("eth1", "vm1");
    store.wait_binding("LS-A/vm1", "hv1", 1);
    wait_for("the port's flows", || host.flows().iter().any(|f| f.contains("10.1.0.1")));
    agent.wait_metric(READY, |v| v == 1);
    let seen = wait_some("the reports to be dropped", || {
        let seen = agent.metric("tuplenet_packet_ins_total").filter(|seen| *seen > 0)?;
        (agent.metric("tuplenet_trace_records_dropped_total")? == seen).then_some(seen)
    });
    assert!(seen <= most, "{seen} packet-ins, not {most} at most");
    assert_eq!(agent.metric("tuplenet_trace_records_total"), Some(0));
}
