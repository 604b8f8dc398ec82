//! A small network for tests: two switches, a router between them, two hosts.
#![allow(clippy::unwrap_used)]

use crate::{
    network::{Network, Object},
    packet::Packet,
    path::{Outcome, Path},
    probe::{Probe, What},
};
use std::net::IpAddr;
use tuplenet_model::{mac::Mac, name::Name};

pub fn name(s: &str) -> Name {
    s.parse().unwrap()
}

pub fn object(path: &str, json: &str) -> Object {
    Object { path: path.into(), value: json.to_owned().into(), create_revision: 1 }
}

pub fn port(ls: &str, lsp: &str, id: u16, ip: &str, ip6: &str, mac: &str) -> Object {
    let json = format!(r#"{{"port_id":{id},"mac":"{mac}","ips":["{ip}","{ip6}"]}}"#);
    object(&format!("ls/{ls}/lsp/{lsp}"), &json)
}

pub fn link(lr: &str, ls: &str, id: u16, net: u8) -> [Object; 2] {
    let mac = format!("f2:01:0a:{net:02x}:00:fe");
    let lrp = format!(
        r#"{{"port_id":{id},"mac":"{mac}","nets":["10.{net}.0.254/24","fd00:{net:x}::fe/64"],"peer":{{"ls":"{ls}","lsp":"{ls}_to_{lr}"}}}}"#
    );
    let lsp = format!(
        r#"{{"port_id":100,"mac":"{mac}","ips":["10.{net}.0.254","fd00:{net:x}::fe"],"peer":{{"lr":"{lr}","lrp":"{lr}_to_{ls}"}}}}"#
    );
    [object(&format!("lr/{lr}/lrp/{lr}_to_{ls}"), &lrp), object(&format!("ls/{ls}/lsp/{ls}_to_{lr}"), &lsp)]
}

pub fn chassis(name: &str, kind: &str, ip: &str) -> Object {
    object(&format!("chassis/{name}"), &format!(r#"{{"encaps":[{{"type":"{kind}","ip":"{ip}"}}],"roles":[]}}"#))
}

pub fn binding(ls: &str, lsp: &str, chassis: &str) -> Object {
    object(&format!("binding/{ls}/{lsp}"), &format!(r#"{{"chassis":"{chassis}","generation":1}}"#))
}

/// Two switches, a router between them; a and b on hv1, c and d on hv2; e is nowhere.
pub fn objects(kind: &str) -> Vec<Object> {
    let mut all = vec![
        object("ls/LS-A", r#"{"id":1}"#),
        object("ls/LS-B", r#"{"id":2,"flood":true}"#),
        object("lr/LR", r#"{"id":3,"chassis":null}"#),
        port("LS-A", "a", 1, "10.1.0.1", "fd00:1::1", "f2:01:0a:01:00:01"),
        port("LS-B", "b", 1, "10.2.0.1", "fd00:2::1", "f2:01:0a:02:00:01"),
        port("LS-A", "c", 2, "10.1.0.2", "fd00:1::2", "f2:01:0a:01:00:02"),
        port("LS-B", "d", 2, "10.2.0.2", "fd00:2::2", "f2:01:0a:02:00:02"),
        port("LS-B", "e", 3, "10.2.0.3", "fd00:2::3", "f2:01:0a:02:00:03"),
        chassis("hv1", kind, "192.0.2.1"),
        chassis("hv2", kind, "192.0.2.2"),
        binding("LS-A", "a", "hv1"),
        binding("LS-B", "b", "hv1"),
        binding("LS-A", "c", "hv2"),
        binding("LS-B", "d", "hv2"),
    ];
    all.extend(link("LR", "LS-A", 1, 1));
    all.extend(link("LR", "LS-B", 2, 2));
    all
}

pub const GATEWAY: Mac = Mac([0xf2, 0x01, 0x0a, 1, 0, 0xfe]);

pub fn probe(to: &str, eth_dst: Mac, what: What) -> Packet {
    let dst: IpAddr = to.parse().unwrap();
    let src = if dst.is_ipv4() { "10.1.0.1" } else { "fd00:1::1" };
    let probe = Probe {
        eth_src: Mac([0xf2, 0x01, 0x0a, 1, 0, 1]),
        eth_dst,
        src: src.parse().unwrap(),
        dst,
        ttl: 64,
        what,
        size: None,
    };
    Packet::parse(&probe.to_bytes().unwrap()).unwrap()
}

pub fn walk(network: &mut Network, packet: Packet) -> Path {
    network.walk(&name("LS-A"), &name("a"), packet).unwrap()
}

/// Outcomes in short.
pub fn outcomes(path: &Path) -> Vec<String> {
    let short = |outcome: &Outcome| match outcome {
        Outcome::Delivered { lsp, chassis, .. } => format!("{lsp} on {chassis}"),
        Outcome::Answered { by, what, lsp, chassis, .. } => format!("{what} of {by} to {lsp} on {chassis}"),
        Outcome::Dropped { stage, chassis, reason, .. } => format!("{stage} on {chassis}: {reason}"),
        Outcome::Untunnelled { lr, chassis } => format!("by {chassis} itself from {lr}"),
        Outcome::Lost { towards, reason, .. } => format!("lost towards {towards}: {reason}"),
    };
    path.outcomes.iter().map(short).collect()
}

pub fn ping(network: &mut Network, to: &str, eth_dst: Mac) -> Vec<String> {
    outcomes(&walk(network, probe(to, eth_dst, What::Icmp)))
}
