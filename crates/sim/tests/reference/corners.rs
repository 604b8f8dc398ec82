//! Cases that stay: what the comparison found, in its smallest form, and what random networks hardly ever meet.

use crate::{
    fate::Fate,
    generate::{Arp, Body, Frame, Ip, Network, Object, Says, Sent, Then},
    packets::{compare, simulated},
    tables, words,
    world::World,
};
use tuplenet_model::mac::Mac;

/// A network, one object a line: its path and its JSON, with single quotes for double ones.
fn network(text: &str) -> Network {
    let objects = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (path, json) = line.split_once(' ').expect("a path and an object");
        Object { path: path.into(), json: json.replace('\'', "\""), created: 1 }
    });
    Network { objects: objects.collect(), ..Network::default() }
}

/// What becomes of it: the same in the simulator and by the reference.
fn agreed(network: &Network, from: &str, frame: Frame) -> Fate {
    let (ls, lsp) = from.split_once('/').expect("switch/port");
    let sent = Sent { ls: ls.into(), lsp: lsp.into(), frame, then: Then::default() };
    let mut simulated = simulated(network);
    let same = compare(&mut simulated, &World::of(network), &sent);
    let fate = same.unwrap_or_else(|why| panic!("{why}")).expect("the port is in use");
    words::compare(&mut simulated, &sent, &fate).unwrap_or_else(|why| panic!("{why}"));
    fate
}

fn places(fate: &Fate) -> Vec<String> {
    fate.delivered.iter().map(|d| format!("{}/{} on {}", d.ls, d.lsp, d.chassis)).collect()
}

fn ask(src: Mac, spa: &str, tpa: &str, vlan: Option<u16>) -> Frame {
    let (spa, tpa) = (spa.parse().expect("IPv4"), tpa.parse().expect("IPv4"));
    Frame { dst: Mac([0xff; 6]), src, vlan, body: Body::Arp(Arp { op: 1, sha: src, spa, tha: Mac([0; 6]), tpa }) }
}

fn ping(src: Mac, dst: Mac, from: &str, to: &str) -> Frame {
    let (from, to) = (from.parse().expect("an address"), to.parse().expect("an address"));
    Frame { dst, src, vlan: None, body: Body::Ip(Ip { src: from, dst: to, ttl: 64, says: Says::Ping(1) }) }
}

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const C: Mac = Mac([2, 0, 0, 0, 0, 0xc]);

/// Three hosts with a port each in a switch that floods: a, b and c.
const THREE: &str = "
    chassis/hv1 {'encaps':[{'type':'geneve','ip':'192.0.2.1'}]}
    chassis/hv2 {'encaps':[{'type':'geneve','ip':'192.0.2.2'}]}
    chassis/hv3 {'encaps':[{'type':'geneve','ip':'c000:202::1'}]}
    ls/S {'id':1,'flood':true}
    ls/S/lsp/a {'port_id':1,'mac':'02:00:00:00:00:0a','ips':['10.0.0.1']}
    ls/S/lsp/b {'port_id':2,'mac':'02:00:00:00:00:0b','ips':['10.0.0.2']}
    ls/S/lsp/c {'port_id':3,'mac':'02:00:00:00:00:0c','ips':['10.0.0.3']}
    binding/S/a {'chassis':'hv1','generation':1}
    binding/S/b {'chassis':'hv2','generation':1}
    binding/S/c {'chassis':'hv3','generation':1}
";

/// 192.0.2.2 and c000:202:: begin with the same four bytes.
#[test]
fn an_end_point_that_begins_like_another_is_another() {
    let network = network(THREE);
    assert_eq!(places(&agreed(&network, "S/a", ping(A, B, "10.0.0.1", "10.0.0.2"))), ["S/b on hv2"]);
    assert_eq!(places(&agreed(&network, "S/a", ping(A, C, "10.0.0.1", "10.0.0.3"))), ["S/c on hv3"]);
    assert_eq!(places(&agreed(&network, "S/c", ping(C, A, "10.0.0.3", "10.0.0.1"))), ["S/a on hv1"]);
    tables::check(&network).unwrap_or_else(|why| panic!("{why}"));
}

/// It was answered with the MAC of an untagged port.
#[test]
fn a_question_in_a_vlan_goes_to_all() {
    let network = network(THREE);
    let untagged = agreed(&network, "S/a", ask(A, "10.0.0.1", "10.0.0.2", None));
    assert_eq!(places(&untagged), ["S/a on hv1"]);
    let tagged = agreed(&network, "S/a", ask(A, "10.0.0.1", "10.0.0.2", Some(5)));
    assert_eq!(places(&tagged), ["S/b on hv2", "S/c on hv3"]);
}

/// Hosts without the router answered for it.
#[test]
fn nobody_answers_for_a_port_that_the_routers_own_host_set_aside() {
    let text = format!(
        "{THREE}
        lr/R {{'id':2,'chassis':'hv2'}}
        lr/R/lrp/one {{'mac':'02:00:00:00:00:f1','nets':['10.0.0.254/24'],'peer':{{'ls':'S','lsp':'one'}}}}
        lr/R/lrp/two {{'mac':'02:00:00:00:00:f2','nets':['10.0.0.253/24'],'peer':{{'ls':'S','lsp':'two'}}}}
        ls/S/lsp/one {{'port_id':8,'mac':'02:00:00:00:00:f1','ips':['10.0.0.254'],'peer':{{'lr':'R','lrp':'one'}}}}
        ls/S/lsp/two {{'port_id':9,'mac':'02:00:00:00:00:f2','ips':['10.0.0.253'],'peer':{{'lr':'R','lrp':'two'}}}}"
    );
    let network = network(&text);
    for (port, mac, ip, host) in [("S/a", A, "10.0.0.1", "S/a on hv1"), ("S/b", B, "10.0.0.2", "S/b on hv2")] {
        let asked = |tpa| places(&agreed(&network, port, ask(mac, ip, tpa, None)));
        assert_eq!(asked("10.0.0.254"), [host]);
        assert_eq!(asked("10.0.0.253").len(), 2, "the question goes to the two others");
    }
}

/// Two routers, pinned to two hosts, send to each other what they do not know: over the underlay until its hops are spent.
#[test]
fn a_loop_of_routers_ends() {
    let text = format!(
        "{THREE}
        lr/R {{'id':2,'chassis':'hv2'}}
        lr/T {{'id':3,'chassis':'hv3'}}
        lr/R/lrp/p {{'mac':'02:00:00:00:00:f1','nets':['10.0.0.254/24'],'peer':{{'ls':'S','lsp':'R'}}}}
        lr/T/lrp/p {{'mac':'02:00:00:00:00:f2','nets':['10.0.0.253/24'],'peer':{{'ls':'S','lsp':'T'}}}}
        lr/R/lsr/all {{'prefix':'0.0.0.0/0','next_hop':'10.0.0.253','outport':'p'}}
        lr/T/lsr/all {{'prefix':'0.0.0.0/0','next_hop':'10.0.0.254','outport':'p'}}
        ls/S/lsp/R {{'port_id':8,'mac':'02:00:00:00:00:f1','ips':['10.0.0.254'],'peer':{{'lr':'R','lrp':'p'}}}}
        ls/S/lsp/T {{'port_id':9,'mac':'02:00:00:00:00:f2','ips':['10.0.0.253'],'peer':{{'lr':'T','lrp':'p'}}}}"
    );
    let network = network(&text);
    let gate = Mac([2, 0, 0, 0, 0, 0xf1]);
    let fate = agreed(&network, "S/a", ping(A, gate, "10.0.0.1", "203.0.113.1"));
    assert!(fate.delivered.is_empty() && fate.ended.len() == 1, "{fate:?}");
}
