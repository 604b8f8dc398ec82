//! The reference itself, on a network that one can follow with a pencil: what it says is what one expects.

use crate::{
    generate::{Arp, Body, Frame, Ip, Network, Object, Says},
    world::World,
};
use std::net::IpAddr;
use tuplenet_model::mac::Mac;

const VM1: Mac = Mac([2, 0, 0, 0, 0, 1]);
const VM2: Mac = Mac([2, 0, 0, 0, 0, 2]);
const VM3: Mac = Mac([2, 0, 0, 0, 0, 3]);
const GATE_A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const GATE_B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);

/// A has vm1 (10.1.0.1, hv1) and vm2 (10.1.0.2, hv2), B has vm3 (10.2.0.3, hv2); R joins them. 192.0.2.0/24 is behind vm3.
fn network(chassis_of_router: &str) -> World {
    let object = |path: &str, json: String| Object { path: path.into(), json, created: 1 };
    let vm = |ls: &str, vm: u8, ip: &str, host: u8| {
        let port = format!(r#"{{"port_id":{vm},"mac":"02:00:00:00:00:0{vm}","ips":["{ip}"]}}"#);
        [
            object(&format!("ls/{ls}/lsp/vm{vm}"), port),
            object(&format!("binding/{ls}/vm{vm}"), format!(r#"{{"chassis":"hv{host}","generation":1}}"#)),
        ]
    };
    let link = |ls: &str, ip: &str, id: u8| {
        let mac = format!("02:00:00:00:00:0{}", ls.to_lowercase());
        [
            object(
                &format!("ls/{ls}/lsp/R"),
                format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{ip}"],"peer":{{"lr":"R","lrp":"{ls}"}}}}"#),
            ),
            object(
                &format!("lr/R/lrp/{ls}"),
                format!(r#"{{"port_id":{id},"mac":"{mac}","nets":["{ip}/24"],"peer":{{"ls":"{ls}","lsp":"R"}}}}"#),
            ),
        ]
    };
    let chassis = |n: u8| {
        object(&format!("chassis/hv{n}"), format!(r#"{{"encaps":[{{"type":"geneve","ip":"198.51.100.{n}"}}]}}"#))
    };
    let mut objects = vec![
        chassis(1),
        chassis(2),
        object("ls/A", r#"{"id":1,"flood":true}"#.into()),
        object("ls/B", r#"{"id":2}"#.into()),
        object("lr/R", format!(r#"{{"id":3,"chassis":{chassis_of_router}}}"#)),
        object("lr/R/lsr/beyond", r#"{"prefix":"192.0.2.0/24","next_hop":"10.2.0.3","outport":"B"}"#.into()),
    ];
    objects.extend(vm("A", 1, "10.1.0.1", 1));
    objects.extend(vm("A", 2, "10.1.0.2", 2));
    objects.extend(vm("B", 3, "10.2.0.3", 2));
    objects.extend(link("A", "10.1.0.254", 8));
    objects.extend(link("B", "10.2.0.254", 9));
    World::of(&Network { objects, ..Network::default() })
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ping(src: Mac, dst: Mac, from: &str, to: &str, ttl: u8) -> Frame {
    Frame { dst, src, vlan: None, body: Body::Ip(Ip { src: ip(from), dst: ip(to), ttl, says: Says::Ping(1) }) }
}

/// Who gets what, in words.
fn sent(world: &World, from: &str, frame: &Frame) -> Vec<String> {
    let (ls, lsp) = from.split_once('/').expect("switch/port");
    let fate = world.send(ls, lsp, frame).expect("the port is in use");
    fate.delivered
        .iter()
        .map(|d| format!("{}/{} on {}, {}: {}", d.ls, d.lsp, d.chassis, d.crossings, d.frame))
        .collect()
}

#[test]
fn in_a_switch_a_frame_arrives_as_it_is() {
    let frame = ping(VM1, VM2, "10.1.0.1", "10.1.0.2", 1);
    assert_eq!(sent(&network("null"), "A/vm1", &frame), [format!("A/vm2 on hv2, 1: {frame}")]);
}

#[test]
fn a_router_writes_macs_and_ttl_where_the_packet_is() {
    let frame = ping(VM1, GATE_A, "10.1.0.1", "10.2.0.3", 64);
    let routed = ping(GATE_B, VM3, "10.1.0.1", "10.2.0.3", 63);
    assert_eq!(sent(&network("null"), "A/vm1", &frame), [format!("B/vm3 on hv2, 1: {routed}")]);
    let spent = ping(VM1, GATE_A, "10.1.0.1", "10.2.0.3", 1);
    assert!(sent(&network("null"), "A/vm1", &spent).is_empty());
}

#[test]
fn a_pinned_router_costs_a_crossing() {
    let frame = ping(VM2, GATE_A, "10.1.0.2", "10.2.0.3", 64);
    let routed = ping(GATE_B, VM3, "10.1.0.2", "10.2.0.3", 63);
    assert_eq!(sent(&network("null"), "A/vm2", &frame), [format!("B/vm3 on hv2, 0: {routed}")]);
    assert_eq!(sent(&network(r#""hv1""#), "A/vm2", &frame), [format!("B/vm3 on hv2, 2: {routed}")]);
    assert!(sent(&network(r#""nobody""#), "A/vm2", &frame).is_empty());
}

/// Open vSwitch would not lower its TTL: two routers that point at each other would send it round for ever.
#[test]
fn a_router_does_not_forward_protocol_zero() {
    let mut frame = ping(VM1, GATE_A, "10.1.0.1", "10.2.0.3", 64);
    if let Body::Ip(ip) = &mut frame.body {
        ip.says = Says::Other(0);
    }
    assert!(sent(&network("null"), "A/vm1", &frame).is_empty());
    frame.dst = VM2;
    assert_eq!(sent(&network("null"), "A/vm1", &frame), [format!("A/vm2 on hv2, 1: {frame}")]);
}

#[test]
fn a_static_route_leads_to_its_next_hop() {
    let frame = ping(VM1, GATE_A, "10.1.0.1", "192.0.2.7", 9);
    let routed = ping(GATE_B, VM3, "10.1.0.1", "192.0.2.7", 8);
    assert_eq!(sent(&network("null"), "A/vm1", &frame), [format!("B/vm3 on hv2, 1: {routed}")]);
    let nowhere = ping(VM1, GATE_A, "10.1.0.1", "203.0.113.1", 9);
    assert!(sent(&network("null"), "A/vm1", &nowhere).is_empty());
}

#[test]
fn a_router_answers_for_all_its_addresses() {
    let frame = ping(VM1, GATE_A, "10.1.0.1", "10.2.0.254", 1);
    let mut reply = ping(GATE_A, VM1, "10.2.0.254", "10.1.0.1", 254);
    if let Body::Ip(ip) = &mut reply.body {
        ip.says = Says::Pong(1);
    }
    assert_eq!(sent(&network("null"), "A/vm1", &frame), [format!("A/vm1 on hv1, 0: {reply}")]);
}

#[test]
fn a_question_is_answered_where_it_is_asked_and_another_is_flooded() {
    let ask = |tpa: &str| {
        let (spa, tpa) = ("10.1.0.1".parse().expect("IPv4"), tpa.parse().expect("IPv4"));
        let arp = Arp { op: 1, sha: VM1, spa, tha: Mac([0; 6]), tpa };
        Frame { dst: Mac([0xff; 6]), src: VM1, vlan: None, body: Body::Arp(arp) }
    };
    let world = network("null");
    let answer = sent(&world, "A/vm1", &ask("10.1.0.2"));
    assert_eq!(answer, [format!("A/vm1 on hv1, 0: {VM2} > {VM1}, ARP: 10.1.0.2 is at {VM2}, to 10.1.0.1 ({VM1})")]);
    let nobodys = ask("10.1.0.77");
    assert_eq!(sent(&world, "A/vm1", &nobodys), [format!("A/vm2 on hv2, 1: {nobodys}")]);
    assert!(sent(&world, "B/vm3", &nobodys).is_empty());
}
