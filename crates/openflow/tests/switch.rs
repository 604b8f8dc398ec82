//! The connection against a real Open vSwitch.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use common::{Events, Ovs, connected};
use tuplenet_openflow::connection::{Config, Event, RequestError, connect};
use tuplenet_openflow::message::group::bucket_id;
use tuplenet_openflow::message::monitor::monitor_flags;
use tuplenet_openflow::message::{
    Bucket, FlowEvent, FlowFilter, FlowMod, FlowMonitor, FlowUpdate, GroupCommand, GroupKind, GroupMod,
    GroupProperties, Message, MeterBand, MeterCommand, MeterMod, PacketOut, ReplyBody, SelectionMethod, TlvMap,
    TlvTableCommand, meter,
};
use tuplenet_openflow::{Action, Flow, Match, field, port};

fn flow(text: &str) -> Flow {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn add(text: &str) -> Message {
    Message::FlowMod(FlowMod::add(flow(text)))
}

/// What the switch holds, as text, sorted.
async fn dump(switch: &tuplenet_openflow::connection::Switch) -> Vec<String> {
    let mut all: Vec<String> = switch.flows(None, None).await.unwrap().iter().map(|f| f.flow.to_string()).collect();
    all.sort();
    all
}

fn output(port: u32) -> Vec<Action> {
    vec![Action::Output { port, max_len: 0 }]
}

#[tokio::test]
async fn says_hello_and_tells_what_the_switch_is() {
    let ovs = Ovs::start();
    let (switch, events) = connect(Config::new(ovs.target()));
    let features = Events(events).up().await;
    assert_eq!(features.n_tables, 254);
    let id = format!("{:016x}", features.datapath_id);
    assert_eq!(ovs.vsctl(&["get", "bridge", "br0", "datapath_id"]).trim().trim_matches('"'), id);
    let mut names: Vec<_> = switch.ports().await.unwrap().into_iter().map(|p| (p.name, p.port_no)).collect();
    names.sort();
    assert_eq!(names, [("br0".to_owned(), port::LOCAL), ("p1".to_owned(), 1), ("p2".to_owned(), 2)]);
    switch.barrier().await.unwrap();
}

#[tokio::test]
async fn a_bridge_without_openflow_1_5_is_told_by_its_remedy() {
    let ovs = Ovs::start_with("[OpenFlow10,OpenFlow13]");
    let (switch, events) = connect(Config::new(ovs.target()));
    let mut events = Events(events);
    let why = events.down().await;
    assert!(why.starts_with("the switch offers OpenFlow 1.0, 1.3 but not 1.5: set protocols=OpenFlow15"), "{why}");
    assert!(matches!(switch.barrier().await, Err(RequestError::NotConnected(w)) if w == why));
    // Mended, it comes up by itself.
    ovs.vsctl(&["add", "bridge", "br0", "protocols", "OpenFlow15"]);
    events.up().await;
}

#[tokio::test]
async fn a_switch_that_is_not_there_is_told_once() {
    let dir = tuplenet_fixture::Dir::new("of");
    let target = format!("unix:{}/none.mgmt", dir.path().display()).parse().unwrap();
    let (_switch, events) = connect(Config { backoff_min: Duration::from_millis(1), ..Config::new(target) });
    let mut events = Events(events);
    let why = events.down().await;
    assert!(why.contains("is ovs-vswitchd running"), "{why}");
    assert!(tokio::time::timeout(Duration::from_millis(100), events.0.recv()).await.is_err());
}

#[tokio::test]
async fn flows_of_a_bundle_come_back_equal() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let mut flows = vec![
        flow("table=0,priority=1,cookie=0x1,in_port=1,actions=load:0x5->NXM_NX_REG0[],resubmit(,3)"),
        flow("table=3,priority=7,cookie=0xff00000000000001,ip,reg0=0x5,nw_dst=10.0.0.0/8,actions=dec_ttl,output:2"),
        flow("table=3,priority=6,idle_timeout=60,hard_timeout=3600,importance=9,ipv6,actions=drop"),
        flow("table=253,priority=0,actions=controller:65535"),
    ];
    for i in 0..1000u32 {
        let matching = Match::new().with(field::ETH_TYPE, 0x0800u16).with(field::IPV4_DST, Ipv4Addr::from(i));
        flows.push(Flow { table: 5, priority: 9, cookie: u64::from(i), matching, ..flow("actions=output:1") });
    }
    let mods = flows.iter().cloned().map(|f| Message::FlowMod(FlowMod::add(f))).collect();
    switch.bundle(mods).await.unwrap();

    let mut expect: Vec<String> = flows.iter().map(ToString::to_string).collect();
    expect.sort();
    assert_eq!(dump(&switch).await, expect);
    let mut got = switch.flows(Some(5), None).await.unwrap();
    got.sort_by_key(|f| f.flow.cookie);
    assert!(got.iter().map(|f| &f.flow).eq(&flows[4..]));
    assert!(got.iter().all(|f| f.packets() == 0 && f.counters.duration.is_some()));
    assert_eq!(switch.flows(None, Some((7, u64::MAX))).await.unwrap().len(), 1);
    switch.bundle(vec![Message::from(FlowMod::delete_all(5, 0x100, 0xff00))]).await.unwrap();
    assert_eq!(switch.flows(Some(5), None).await.unwrap().len(), 1000 - 256);
    switch.bundle(flows[4..].iter().cloned().map(|f| FlowMod::add(f).into()).collect()).await.unwrap();
    // The other tool sees the same.
    assert_eq!(ovs.ofctl(&["dump-flows", "br0", "table=5"]).matches("priority=9").count(), 1000);
}

#[tokio::test]
async fn a_bundle_with_a_bad_flow_is_refused_whole_and_the_error_quotes_it() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    switch.request(add("table=1,priority=1,actions=drop")).await.unwrap();
    let before = dump(&switch).await;

    // Refused when it is added: its goto_table goes backwards.
    let bad = add("table=9,priority=42,cookie=0xabc,ip,actions=goto_table:3");
    let err = switch.bundle(vec![add("table=2,actions=drop"), bad, add("table=3,actions=drop")]).await.unwrap_err();
    let RequestError::Refused(refused) = &err else { panic!("{err}") };
    assert_eq!(refused.index, Some(1), "{err}");
    let text = err.to_string();
    assert!(
        text.contains("priority=42") && text.contains("0xabc") && text.contains("message 2 of the bundle"),
        "{text}"
    );
    assert!(text.contains("OFPBIC_BAD_TABLE_ID"), "{text}");
    assert_eq!(dump(&switch).await, before);

    // Refused when it is committed: its group does not exist.
    let bad = add("table=9,priority=43,actions=group:77");
    let err = switch.bundle(vec![add("table=2,actions=drop"), bad]).await.unwrap_err();
    let text = err.to_string();
    assert!(text.contains("priority=43") && text.contains("OFPBAC_BAD_OUT_GROUP"), "{text}");
    assert_eq!(dump(&switch).await, before);

    // Alone, it needs no bundle, and is refused alike.
    let err = switch.bundle(vec![add("table=9,priority=44,actions=group:77")]).await.unwrap_err();
    let RequestError::Refused(refused) = &err else { panic!("{err}") };
    assert_eq!(refused.index, Some(0), "{err}");
    assert_eq!(dump(&switch).await, before);

    // The connection is none the worse.
    switch.bundle(vec![add("table=2,actions=drop")]).await.unwrap();
    assert_eq!(dump(&switch).await.len(), before.len() + 1);
}

#[tokio::test]
async fn one_refused_message_is_told_in_words() {
    let ovs = Ovs::start();
    let (switch, mut events) = connected(Config::new(ovs.target())).await;
    let bad = add("table=9,priority=42,cookie=0xabc,ip,actions=goto_table:3");
    let text = switch.request(bad.clone()).await.unwrap_err().to_string();
    assert!(text.contains("FLOW_MOD ADD") && text.contains("priority=42"), "{text}");
    // Sent without waiting, the refusal comes as an event, with what the switch quotes.
    switch.send(bad).await.unwrap();
    let Event::Message(Message::Error(e)) = events.next().await else { panic!() };
    let text = e.to_string();
    for part in ["OFPBIC_BAD_TABLE_ID", "FLOW_MOD ADD", "cookie=0xabc", "table=9", "priority=42,ip"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn buckets_of_a_group_are_inserted_and_removed_one_by_one() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let bucket = |id, port| Bucket { weight: Some(10), ..Bucket::new(id, output(port)) };
    let selection = SelectionMethod {
        method: "hash".to_owned(),
        param: 7,
        fields: Match::new().with(field::ETH_TYPE, 0xffffu16).with(field::IPV4_SRC, Ipv4Addr::BROADCAST),
    };
    let properties = GroupProperties { selection: Some(selection), other: Vec::new() };
    let group = GroupMod {
        properties: properties.clone(),
        ..GroupMod::new(GroupCommand::Add, GroupKind::Select, 5, vec![bucket(1, 1), bucket(2, 2)])
    };
    switch.request(Message::GroupMod(group.clone())).await.unwrap();
    let err = switch.request(Message::GroupMod(group)).await.unwrap_err().to_string();
    assert!(err.contains("OFPGMFC_GROUP_EXISTS") && err.contains("group_id=5"), "{err}");

    let command = |command, buckets| Message::GroupMod(GroupMod::new(command, GroupKind::Select, 5, buckets));
    // In one bundle, and in an order that shows that it is kept.
    switch
        .bundle(vec![
            command(GroupCommand::InsertBucket { after: bucket_id::LAST }, vec![bucket(3, 1)]),
            command(GroupCommand::InsertBucket { after: bucket_id::FIRST }, vec![bucket(9, 2)]),
            command(GroupCommand::InsertBucket { after: 1 }, vec![bucket(8, 2)]),
            command(GroupCommand::RemoveBucket { bucket_id: 2 }, vec![]),
        ])
        .await
        .unwrap();
    let groups = switch.groups().await.unwrap();
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((group.group_id, group.kind), (5, GroupKind::Select));
    assert_eq!(group.buckets, [bucket(9, 2), bucket(1, 1), bucket(8, 2), bucket(3, 1)]);
    assert_eq!(group.properties, properties);

    let err = switch.request(command(GroupCommand::RemoveBucket { bucket_id: 2 }, vec![])).await.unwrap_err();
    assert!(err.to_string().contains("OFPGMFC_UNKNOWN_BUCKET"), "{err}");
    switch.request(Message::GroupMod(GroupMod::delete(GroupMod::ALL))).await.unwrap();
    assert!(switch.groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn tunnel_options_are_mapped_and_in_use() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let f = add("table=0,priority=1,tun_metadata0=0x1,actions=drop");
    let err = switch.request(f.clone()).await.unwrap_err().to_string();
    assert!(err.contains("TLV map"), "{err}");

    let map = TlvMap { class: 0xffee, kind: 0x80, len: 8, index: 0 };
    switch.tlv_table_mod(TlvTableCommand::Add, vec![map]).await.unwrap();
    let table = switch.tlv_table().await.unwrap();
    assert_eq!((table.max_fields, &table.maps[..]), (64, &[map][..]));
    let err = switch.tlv_table_mod(TlvTableCommand::Add, vec![map]).await.unwrap_err().to_string();
    assert!(err.contains("NXTTMFC_ALREADY_MAPPED") && err.contains("tun_metadata0"), "{err}");

    switch.request(f).await.unwrap();
    let err = switch.tlv_table_mod(TlvTableCommand::Clear, vec![]).await.unwrap_err().to_string();
    assert!(err.contains("NXTTMFC_INVALID_TLV_DEL"), "{err}");
}

#[tokio::test]
async fn meters_are_made_and_read() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let flags = meter::meter_flags::PKTPS | meter::meter_flags::BURST;
    let bands = vec![MeterBand::drop(100, 5)];
    let made = MeterMod { command: MeterCommand::Add, flags, meter_id: 3, bands: bands.clone() };
    switch.request(Message::MeterMod(made.clone())).await.unwrap();
    let meters = switch.meters().await.unwrap();
    assert_eq!(meters.len(), 1);
    assert_eq!((meters[0].meter_id, meters[0].flags, &meters[0].bands), (3, flags, &bands));
    let err = switch.request(Message::MeterMod(made)).await.unwrap_err().to_string();
    assert!(err.contains("OFPMMFC_METER_EXISTS"), "{err}");
}

/// 14 bytes of Ethernet and a payload of no known type.
fn packet(n: u8) -> Bytes {
    Bytes::from([&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][..], &[n; 50]].concat())
}

#[tokio::test]
async fn a_packet_is_paused_with_userdata_and_goes_on_when_resumed() {
    let ovs = Ovs::start();
    let (switch, mut events) = connected(Config::new(ovs.target())).await;
    switch
        .bundle(vec![
            add("table=0,cookie=0x77,actions=load:0x1234->NXM_NX_REG3[],\
                 controller(userdata=01.02.03.04.05,pause),resubmit(,7)"),
            add("table=7,reg3=0x1234,dl_dst=02:00:00:00:00:99,actions=output:2"),
        ])
        .await
        .unwrap();
    let out = PacketOut::new(1, packet(0xaa), output(port::TABLE)).with(field::METADATA, 0xfeed_u64);
    switch.send(Message::PacketOut(out)).await.unwrap();
    let Event::Message(Message::PacketIn2(packet_in)) = events.next().await else { panic!() };
    assert_eq!(packet_in.packet, packet(0xaa));
    assert_eq!(packet_in.userdata, &[1, 2, 3, 4, 5][..]);
    // A paused packet bears the cookie of the outermost flow, and a packet-out has none.
    assert_eq!(packet_in.cookie, None);
    let metadata = packet_in.metadata.to_string();
    for part in ["reg3=0x1234", "metadata=0xfeed", "in_port=1"] {
        assert!(metadata.contains(part), "{metadata}");
    }

    // Changed on its way, as an ARP or DHCP responder does it.
    let mut changed = packet_in.packet.to_vec();
    changed[5] = 0x99;
    let resume = packet_in.resume(changed.into()).unwrap();
    switch.request(Message::Resume(resume)).await.unwrap();
    let seen = switch.flows(Some(7), None).await.unwrap();
    assert_eq!(seen[0].packets(), 1);

    // Without pause there is nothing to resume.
    switch.request(add("table=0,cookie=0x99,actions=controller(userdata=09)")).await.unwrap();
    let out = PacketOut::new(1, packet(1), output(port::TABLE));
    switch.send(Message::PacketOut(out)).await.unwrap();
    let Event::Message(Message::PacketIn2(packet_in)) = events.next().await else { panic!() };
    assert_eq!(packet_in.cookie, Some(0x99));
    assert!(packet_in.resume(packet(1)).is_none());

    // From a port, through two tables.
    switch
        .bundle(vec![
            add("table=0,cookie=0x77,actions=resubmit(,5)"),
            add("table=5,cookie=0x88,actions=controller(userdata=01,pause)"),
        ])
        .await
        .unwrap();
    let hex: String = packet(2).iter().map(|b| format!("{b:02x}")).collect();
    ovs.appctl(&["netdev-dummy/receive", "p1", &hex]);
    let Event::Message(Message::PacketIn2(packet_in)) = events.next().await else { panic!() };
    assert_eq!((packet_in.cookie, &packet_in.userdata[..]), (Some(0x77), &[1][..]));
}

#[tokio::test]
async fn a_slow_listener_loses_the_oldest_packets_and_nobody_else_waits() {
    let ovs = Ovs::start();
    let config = Config { max_packet_ins: 10, ..Config::new(ovs.target()) };
    let (switch, mut events) = connected(config).await;
    switch.request(add("table=0,actions=controller")).await.unwrap();
    for n in 0..=255u8 {
        // Waits for each, but reads no event.
        switch.request(Message::PacketOut(PacketOut::new(1, packet(n), output(port::TABLE)))).await.unwrap();
    }
    // 64 wait in the listener's channel, 10 in the queue.
    common::wait_until("all packet-ins", || switch.stats().packet_ins_dropped >= 256 - 64 - 10).await;
    // The newest is never dropped, and the last that comes.
    let mut seen = Vec::new();
    while seen.last() != Some(&255) {
        let event = events.next().await;
        let Event::Message(Message::PacketIn2(p)) = event else { panic!("{event:?}") };
        seen.push(p.packet[20]);
    }
    assert_eq!(seen.len() as u64 + switch.stats().packet_ins_dropped, 256);
    assert!(seen.len() <= 74);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_monitor_tells_what_others_do_and_marks_what_we_do() {
    let ovs = Ovs::start();
    let (switch, mut events) = connected(Config::new(ovs.target())).await;
    switch.request(add("table=1,cookie=1,actions=drop")).await.unwrap();
    let flags = monitor_flags::INITIAL
        | monitor_flags::ADD
        | monitor_flags::REMOVED
        | monitor_flags::MODIFY
        | monitor_flags::INSTRUCTIONS;
    let there = switch.monitor(FlowMonitor::all(1, flags)).await.unwrap();
    let initial = FlowUpdate::Flow {
        event: FlowEvent::Initial,
        reason: 0,
        flow: Box::new(flow("table=1,cookie=1,actions=drop")),
    };
    assert_eq!(there, [initial]);

    ovs.ofctl(&["add-flow", "br0", "table=2,cookie=2,priority=5,ip,actions=output:1"]);
    ovs.ofctl(&["del-flows", "br0", "table=1"]);
    switch.request(add("table=3,actions=drop")).await.unwrap();
    let mut updates = Vec::new();
    while updates.len() < 3 {
        if let Event::Message(Message::MultipartReply(reply)) = events.next().await {
            let ReplyBody::FlowUpdates(more) = reply.body else { panic!() };
            updates.extend(more);
        }
    }
    let update = |event, text| (event, Box::new(flow(text)));
    let expect = [
        update(FlowEvent::Added, "table=2,cookie=2,priority=5,ip,actions=output:1"),
        update(FlowEvent::Removed, "table=1,cookie=1,actions=drop"),
    ];
    for (update, expect) in updates.iter().zip(expect) {
        let FlowUpdate::Flow { event, flow, .. } = update else { panic!("{update:?}") };
        assert_eq!((*event, flow.clone()), expect);
    }
    assert!(matches!(updates[2], FlowUpdate::Own { .. }), "{updates:?}");
}

#[tokio::test]
async fn counters_are_read() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let group = GroupMod::new(GroupCommand::Add, GroupKind::All, 4, vec![Bucket::new(0, output(2))]);
    switch
        .bundle(vec![Message::GroupMod(group), add("table=0,actions=group:4"), add("table=9,actions=drop")])
        .await
        .unwrap();
    for _ in 0..3 {
        let out = PacketOut::new(1, packet(1), output(port::TABLE));
        switch.request(Message::PacketOut(out)).await.unwrap();
    }
    let all = switch.aggregate(FlowFilter::default()).await.unwrap();
    assert_eq!((all.flows, all.packets, all.bytes), (Some(2), Some(3), Some(192)));
    let tables = switch.table_stats().await.unwrap();
    assert_eq!(tables.len(), 254);
    assert_eq!((tables[0].active, tables[1].active, tables[9].active), (1, 0, 1));
    let groups = switch.group_stats().await.unwrap();
    assert_eq!((groups[0].group_id, groups[0].packets, &groups[0].buckets[..]), (4, 3, &[(3, 192)][..]));
    let ports = switch.port_stats().await.unwrap();
    assert_eq!(ports.len(), 3);
    assert_eq!(ports.iter().find(|p| p.port_no == 2).map(|p| p.tx_packets), Some(3));
}

#[tokio::test]
async fn ports_that_come_and_go_are_told() {
    let ovs = Ovs::start();
    let (_switch, mut events) = connected(Config::new(ovs.target())).await;
    ovs.vsctl(&["add-port", "br0", "p3", "--", "set", "interface", "p3", "type=dummy", "ofport_request=3"]);
    loop {
        let Event::Message(Message::PortStatus(status)) = events.next().await else { continue };
        if status.port.name == "p3" {
            assert_eq!(status.port.port_no, 3);
            break;
        }
    }
}

#[tokio::test]
async fn a_killed_switch_is_down_and_comes_up_again() {
    let mut ovs = Ovs::start();
    let (switch, mut events) = connected(Config::new(ovs.target())).await;
    switch.request(add("table=1,actions=drop")).await.unwrap();
    ovs.kill_vswitchd();
    let why = events.down().await;
    assert!(!why.is_empty());
    assert!(!switch.is_connected());
    assert!(matches!(switch.barrier().await, Err(RequestError::NotConnected(_))));
    ovs.start_vswitchd();
    events.up().await;
    // A new switch: without flows, with a connection that is set up again.
    assert!(switch.flows(None, None).await.unwrap().is_empty());
    switch.bundle(vec![add("table=0,actions=controller")]).await.unwrap();
    switch.send(Message::PacketOut(PacketOut::new(1, packet(1), output(port::TABLE)))).await.unwrap();
    loop {
        if let Event::Message(Message::PacketIn2(_)) = events.next().await {
            break;
        }
    }
    assert_eq!(switch.stats().connections, 2);
}

#[tokio::test]
async fn a_switch_is_reached_by_tcp_too() {
    let ovs = Ovs::start();
    // The switch takes no 0 for "any".
    let addr = tuplenet_fixture::free_address();
    ovs.vsctl(&["set-controller", "br0", &format!("ptcp:{}:{}", addr.port(), addr.ip())]);
    let target = format!("tcp:{addr}").parse().unwrap();
    let (switch, _events) = connected(Config::new(target)).await;
    switch.bundle(vec![add("table=3,actions=drop")]).await.unwrap();
    assert_eq!(switch.flows(Some(3), None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_requests_are_under_way_together() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..100u16 {
        let switch = switch.clone();
        tasks.spawn(async move {
            let f = Flow { priority: i, ..flow("table=1,actions=drop") };
            switch.request(Message::FlowMod(FlowMod::add(f))).await.unwrap();
            assert!(switch.flows(Some(1), None).await.unwrap().iter().any(|f| f.flow.priority == i));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// The size that a host with 20,000 ports in reach needs, and as many again. Some seconds; run with `--ignored`.
#[tokio::test]
#[ignore = "takes seconds and 300 MB"]
async fn two_hundred_thousand_flows_in_one_bundle() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    large_bundle(&switch, 200_000).await;
}

#[tokio::test]
async fn a_large_bundle_does_not_block_itself() {
    let ovs = Ovs::start();
    let (switch, _events) = connected(Config::new(ovs.target())).await;
    large_bundle(&switch, 20_000).await;
}

async fn large_bundle(switch: &tuplenet_openflow::connection::Switch, n: u32) {
    let actions = vec![Action::set_field(field::REG1, 1u32), Action::set_field(field::REG2, 2u32), Action::resubmit(7)];
    let base = Flow::new(5, 9, Match::new(), actions);
    let mods = (0..n).map(|i| {
        let matching = Match::new().with(field::ETH_TYPE, 0x0800u16).with(field::IPV4_DST, Ipv4Addr::from(i));
        Message::FlowMod(FlowMod::add(Flow { matching, ..base.clone() }))
    });
    let start = std::time::Instant::now();
    switch.bundle(mods.collect()).await.unwrap();
    eprintln!("{n} flows installed in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    assert_eq!(switch.flows(Some(5), None).await.unwrap().len(), n as usize);
    eprintln!("{n} flows read in {:?}", start.elapsed());
}
