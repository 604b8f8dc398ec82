//! A network with two edges, and hosts on both sides.
//!
//! ```text
//! a1 10.1.0.1 (hv1), a2 10.1.0.2 (hv2) -- A --+
//! b1 10.2.0.1 (hv3) ---------------------- B --+-- R (hv2) .254 --+
//!                                                                out -- x1 203.0.113.101 (hv3), x2 203.0.113.102 (hv2)
//! c1 10.1.0.1 (hv1) ---------------------- C ----- S (hv2) .253 --+
//! ```
//! IPv6: fd00:1::1 and so on, 2001:db8::101. Everybody is a port of a switch; that `out` leads outside its patch port says.

use crate::packet::Packet;
use std::net::IpAddr;
use tuplenet_model::{mac::Mac, name::Name};
use tuplenet_sim::{Network, Object};

/// A host and its gateway.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub name: &'static str,
    pub ls: &'static str,
    pub chassis: &'static str,
    pub v4: &'static str,
    pub v6: &'static str,
    /// The last byte of its MAC.
    pub mac: u8,
    /// That of its gateway.
    pub gateway: u8,
}

pub const A1: Host =
    Host { name: "a1", ls: "A", chassis: "hv1", v4: "10.1.0.1", v6: "fd00:1::1", mac: 1, gateway: 0xa };
pub const A2: Host =
    Host { name: "a2", ls: "A", chassis: "hv2", v4: "10.1.0.2", v6: "fd00:1::2", mac: 2, gateway: 0xa };
pub const B1: Host =
    Host { name: "b1", ls: "B", chassis: "hv3", v4: "10.2.0.1", v6: "fd00:2::1", mac: 3, gateway: 0xb };
pub const C1: Host =
    Host { name: "c1", ls: "C", chassis: "hv1", v4: "10.1.0.1", v6: "fd00:1::1", mac: 4, gateway: 0xc };
pub const X1: Host =
    Host { name: "x1", ls: "out", chassis: "hv3", v4: "203.0.113.101", v6: "2001:db8::101", mac: 5, gateway: 0xd };
pub const X2: Host =
    Host { name: "x2", ls: "out", chassis: "hv2", v4: "203.0.113.102", v6: "2001:db8::102", mac: 6, gateway: 0xd };

/// The MAC of the uplink of S.
pub const UPLINK_OF_S: u8 = 0xe;
const HOSTS: [Host; 6] = [A1, A2, B1, C1, X1, X2];

impl Host {
    pub fn ip(self, v4: bool) -> IpAddr {
        if v4 { self.v4 } else { self.v6 }.parse().expect("an address")
    }
}

pub fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub struct Bed {
    pub network: Network,
}

fn object(path: impl Into<String>, json: impl Into<String>) -> Object {
    Object { path: path.into(), value: json.into().into_bytes().into(), create_revision: 1 }
}

fn link(lr: &str, ls: &str, id: u16, gateway: u8, v4: &str, v6: &str) -> [Object; 2] {
    let mac = mac(gateway);
    [
        object(
            format!("ls/{ls}/lsp/{lr}"),
            format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{v4}","{v6}"],"peer":{{"lr":"{lr}","lrp":"{ls}"}}}}"#),
        ),
        object(
            format!("lr/{lr}/lrp/{ls}"),
            format!(
                r#"{{"port_id":{id},"mac":"{mac}","nets":["{v4}/24","{v6}/64"],"peer":{{"ls":"{ls}","lsp":"{lr}"}}}}"#
            ),
        ),
    ]
}

impl Bed {
    /// With these rules, as `(router, name, type, prefix, xlate_ip)`.
    pub fn new(rules: &[(&str, &str, &str, &str, &str)]) -> Bed {
        let mut objects = vec![
            object("ls/A", r#"{"id":1}"#),
            object("ls/B", r#"{"id":2}"#),
            object("ls/C", r#"{"id":5}"#),
            object("ls/out", r#"{"id":7}"#),
            object("ls/out/lsp/phys", r#"{"port_id":50,"patch":{"chassis":"hv2","bridge":"br-ex"}}"#),
            object("lr/R", r#"{"id":3,"chassis":"hv2"}"#),
            object("lr/S", r#"{"id":4,"chassis":"hv2"}"#),
            object("lr/R/lsr/v4", r#"{"prefix":"0.0.0.0/0","next_hop":"203.0.113.101","outport":"out"}"#),
            object("lr/R/lsr/v6", r#"{"prefix":"::/0","next_hop":"2001:db8::101","outport":"out"}"#),
        ];
        for n in 1..=3 {
            let json = format!(r#"{{"encaps":[{{"type":"geneve","ip":"198.51.100.{n}"}}]}}"#);
            objects.push(object(format!("chassis/hv{n}"), json));
        }
        for Host { name, ls, chassis, v4, v6, mac: id, .. } in HOSTS {
            let json = format!(r#"{{"port_id":{id},"mac":"{}","ips":["{v4}","{v6}"]}}"#, mac(id));
            objects.push(object(format!("ls/{ls}/lsp/{name}"), json));
            let json = format!(r#"{{"chassis":"{chassis}","generation":1}}"#);
            objects.push(object(format!("binding/{ls}/{name}"), json));
        }
        objects.extend(link("R", "A", 10, 0xa, "10.1.0.254", "fd00:1::fe"));
        objects.extend(link("R", "B", 11, 0xb, "10.2.0.254", "fd00:2::fe"));
        objects.extend(link("S", "C", 12, 0xc, "10.1.0.254", "fd00:1::fe"));
        objects.extend(link("R", "out", 13, 0xd, "203.0.113.254", "2001:db8::fe"));
        objects.extend(link("S", "out", 14, UPLINK_OF_S, "203.0.113.253", "2001:db8::fd"));
        objects.extend(rules.iter().map(|(lr, name, kind, prefix, xlate_ip)| {
            let json = format!(r#"{{"type":"{kind}","prefix":"{prefix}","xlate_ip":"{xlate_ip}"}}"#);
            object(format!("lr/{lr}/lnat/{name}"), json)
        }));
        Bed { network: Network::new(objects) }
    }

    /// Who gets a packet that a host sends to its gateway, and as what.
    pub fn send(&mut self, from: Host, packet: &Packet) -> Vec<(String, Packet)> {
        self.send_by(from, from.gateway, packet)
    }

    /// The same, to another's MAC.
    pub fn send_by(&mut self, from: Host, gateway: u8, packet: &Packet) -> Vec<(String, Packet)> {
        let frame = packet.frame(mac(from.mac), mac(gateway));
        let frame = tuplenet_sim::Packet::parse(&frame).expect("a frame of ours");
        let all = self.network.deliveries(&name(from.ls), &name(from.name), frame).expect("the port is in use");
        let read = |d: tuplenet_sim::Delivery| {
            let packet = Packet::read(&d.packet.to_bytes()).expect("it is as it should be");
            (d.lsp.to_string(), packet)
        };
        all.into_iter().map(read).collect()
    }

    /// Exactly one host gets it.
    pub fn arrives(&mut self, from: Host, packet: &Packet) -> (String, Packet) {
        let mut got = self.send(from, packet);
        assert_eq!(got.len(), 1, "{packet} of {}: {got:?}; {:?}", from.name, self.why(from, packet));
        got.remove(0)
    }

    /// What becomes of it, in words.
    pub fn why(&mut self, from: Host, packet: &Packet) -> Vec<String> {
        let frame = packet.frame(mac(from.mac), mac(from.gateway));
        let frame = tuplenet_sim::Packet::parse(&frame).expect("a frame of ours");
        let path = self.network.walk(&name(from.ls), &name(from.name), frame).expect("the port is in use");
        path.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
    }
}
