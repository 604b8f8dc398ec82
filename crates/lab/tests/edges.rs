//! To the outside through three edges, and back: ping, datagrams of all sizes, TCP, HTTP and SCTP, by source and destination translation, floating addresses, and those that
//! are translated where their guests are; both families.

mod edge_bed;
mod network;

use anyhow::{Context, Result, ensure};
use edge_bed::*;
use network::*;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    time::{Duration, Instant},
};
use tuplenet_lab::{Lab, PingSpec, Vm, VmSpec, WebServer};

const MB: u64 = 1_000_000;
/// Payloads of UDP from the smallest to beyond what a guest's MTU of 1500 takes in one packet (1472, in IPv6 1452 bytes).
const SIZES: std::ops::RangeInclusive<usize> = 4..=1600;
/// The file that everybody serves.
const FILE: &str = "page";

/// Rules on the edges: their name, router, and words.
const RULES: [(&str, &str, &str); 4] = [
    ("in4", "edge1", "203.0.113.10 dnat 10.1.0.2"),
    ("in6", "edge1", "2001:db8::10 dnat fd00:1::2"),
    ("f4", "edge1", "10.1.0.3 floating 203.0.113.13"),
    ("f6", "edge1", "fd00:1::3 floating 2001:db8::13"),
];

/// A guest that the outside calls by an external address, and that leaves by one.
struct Case<'a> {
    what: &'static str,
    guest: &'a Vm,
    /// What it calls itself.
    own: String,
    /// What the outside asks for; nothing where nobody can.
    external: Option<String>,
    /// By which addresses the server may see it.
    seen: Vec<String>,
    server: &'static str,
}

fn cases(bed: &Bed) -> Result<Vec<Case<'_>>> {
    let mut cases = Vec::new();
    for (family, server) in SERVER.into_iter().enumerate() {
        let own = |vm: &Vm| if family == 0 { vm.ipv4() } else { vm.ipv6() };
        let masked: Vec<String> = (1..=3).map(|edge| vips(edge)[family].clone()).collect();
        let external = |v4: &str, v6: &str| Some(if family == 0 { v4 } else { v6 }.to_owned());
        let (w1, w2, w3) = (&bed.web[0], &bed.web[1], &bed.web[2]);
        cases.push(Case { what: "snat", guest: w1, own: own(w1)?, external: None, seen: masked.clone(), server });
        let dnat = external("203.0.113.10", "2001:db8::10");
        cases.push(Case { what: "dnat", guest: w2, own: own(w2)?, external: dnat, seen: masked, server });
        let floating = external("203.0.113.13", "2001:db8::13");
        let seen = floating.clone().into_iter().collect();
        cases.push(Case { what: "floating", guest: w3, own: own(w3)?, external: floating, seen, server });
        for (number, guest) in (1..).zip(&bed.data) {
            let spread = external(&format!("198.18.20.3{number}"), &format!("2001:db8:20::3{number}"));
            let seen = spread.clone().into_iter().collect();
            cases.push(Case { what: "distributed floating", guest, own: own(guest)?, external: spread, seen, server });
        }
    }
    Ok(cases)
}

impl Case<'_> {
    fn out(&self, server: &Vm, web: &WebServer, directory: &Path) -> Result<()> {
        self.guest.wait_ping(self.server, PATIENCE)?;
        // The first, the largest that fits, and one that is sent in fragments.
        let largest = if self.server.contains(':') { 1452 } else { 1472 };
        for (size, dont_fragment) in [(0, true), (largest, true), (4000, false)] {
            let report = self.guest.ping(self.server, &PingSpec { size, dont_fragment, ..PingSpec::default() })?;
            ensure!(report.all(), "a ping of {size} bytes:\n{}", report.text);
        }
        self.guest.sweep_udp(server, self.server, self.server, SIZES)?;
        self.guest.send_tcp(server, self.server, 5 * MB)?;
        let before = web.clients().len();
        self.guest.get_http(self.server, directory, FILE)?;
        let clients = web.clients();
        let client = clients.get(before).context("the server did not log who asked")?;
        ensure!(self.seen.contains(client), "the server sees {client}, which is none of {:?}", self.seen);
        Ok(())
    }

    fn back_in(&self, server: &Vm, web: &WebServer, directory: &Path) -> Result<()> {
        let Some(external) = &self.external else { return Ok(()) };
        server.wait_ping(external, PATIENCE)?;
        let largest = if self.server.contains(':') { 1452 } else { 1472 };
        for (size, dont_fragment) in [(0, true), (largest, true), (4000, false)] {
            let report = server.ping(external, &PingSpec { size, dont_fragment, ..PingSpec::default() })?;
            ensure!(report.all(), "a ping of {size} bytes:\n{}", report.text);
        }
        server.sweep_udp(self.guest, &self.own, external, SIZES)?;
        server.send_tcp_by(self.guest, &self.own, external, 5 * MB)?;
        let before = web.clients().len();
        server.get_http(external, directory, FILE)?;
        let clients = web.clients();
        ensure!(clients.get(before).is_some_and(|client| client == self.server), "the guest sees {clients:?}");
        Ok(())
    }
}

#[test]
fn everything_goes_out_and_comes_in() -> Result<()> {
    let bed = Bed::new("edges", true, "500")?;
    for (name, router, words) in RULES {
        let words: Vec<&str> = ["lnat", "add", router, name].into_iter().chain(words.split(' ')).collect();
        bed.lab.tpctl(&words)?;
    }
    for number in 1..=3 {
        for (family, inner, outer) in [("v4", "10.2.0.", "198.18.20.3"), ("v6", "fd00:2::", "2001:db8:20::3")] {
            let words =
                format!("lnat add LR-data {family}-{number} {inner}{number} floating {outer}{number} --distributed");
            bed.lab.tpctl(&words.split(' ').collect::<Vec<_>>())?;
        }
    }
    let directory = bed.lab.directory().join("www");
    std::fs::create_dir(&directory)?;
    let page: Vec<u8> = (0..300_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_be_bytes()).collect();
    std::fs::write(directory.join(FILE), page)?;
    let outside = bed.server.serve_http(&directory)?;
    let mut inside = Vec::new();
    for guest in bed.web.iter().chain(&bed.data) {
        inside.push((guest.name(), guest.serve_http(&directory)?));
    }
    for case in cases(&bed)? {
        let begin = Instant::now();
        let what = || format!("{} of {} with {}", case.what, case.guest.name(), case.server);
        case.out(&bed.server, &outside, &directory).with_context(what)?;
        let out = begin.elapsed();
        let (_, web) = inside.iter().find(|(name, _)| *name == case.guest.name()).context("no web server")?;
        case.back_in(&bed.server, web, &directory).with_context(what)?;
        println!("{}: out {out:.1?}, in {:.1?}", what(), begin.elapsed() - out);
    }
    sctp(&bed)?;
    removed_and_added_again(&bed)
}

/// An INIT chunk of SCTP (RFC 9260, section 3.3.2) from port 4000 to port 5000. Nobody here looks at its checksum.
const INIT: &str = "0fa01388000000000000000001000014112233440000ffff000a000a00000001";
/// Sends it to the first argument. By a raw socket: few kernels that tests run on know SCTP.
const SEND: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
socket.socket(family, socket.SOCK_RAW, 132).sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0))
";

/// SCTP out by `snat`, in by `dnat`, and an answer to what came in.
fn sctp(bed: &Bed) -> Result<()> {
    let (w1, w2) = (&bed.web[0], &bed.web[1]);
    let send = |from: &Vm, to: &str| from.run(&["/usr/bin/python3", "-c", SEND, to, INIT]).map(drop);
    for (family, server) in SERVER.into_iter().enumerate() {
        let own = if family == 0 { w2.ipv4()? } else { w2.ipv6()? };
        let external = ["203.0.113.10", "2001:db8::10"][family];
        let masked: Vec<String> = (1..=3).map(|edge| vips(edge)[family].clone()).collect();
        let (outside, inside) = (bed.server.capture()?, w2.capture()?);
        send(w1, server)?;
        outside.wait_for("SCTP by snat", PATIENCE, |frame| {
            sctp_between(frame).is_some_and(|(from, _)| masked.contains(&from))
        })?;
        send(&bed.server, external)?;
        let wanted = Some((server.to_owned(), own.clone()));
        inside.wait_for("SCTP by dnat", PATIENCE, |frame| sctp_between(frame) == wanted)?;
        send(w2, server)?;
        let wanted = Some((external.to_owned(), server.to_owned()));
        outside.wait_for("its answer", PATIENCE, |frame| sctp_between(frame) == wanted)?;
    }
    Ok(())
}

/// Source and destination of a frame with SCTP.
fn sctp_between(frame: &[u8]) -> Option<(String, String)> {
    let v4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?).to_string());
    let v6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?).to_string());
    match (frame.get(12..14)?, frame.get(20)?, frame.get(23)?) {
        ([0x08, 0x00], _, 132) => Some((v4(26)?, v4(30)?)),
        ([0x86, 0xdd], 132, _) => Some((v6(22)?, v6(38)?)),
        _ => None,
    }
}

/// What is taken away and made again leaves flows and groups as they were, on all hosts.
fn removed_and_added_again(bed: &Bed) -> Result<()> {
    // Which neighbours outside are known is a matter of traffic (the rules neighbour and neighbour-learn).
    let state = |host| -> Result<_> {
        let mut state = switch_state(host)?;
        state.retain(|_, flow| !["cookie=0x5426", "cookie=0x5427"].iter().any(|rule| flow.starts_with(rule)));
        Ok(state)
    };
    let states = || bed.hosts.iter().map(state).collect::<Result<Vec<_>>>();
    // BFD and neighbours have come to rest when two looks in a row see the same.
    let mut last = states()?;
    let before = bed.lab.wait_until("the switches to come to rest", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(500));
        let now = states()?;
        ensure!(std::mem::replace(&mut last, now.clone()) == now, "they still change");
        Ok(now)
    })?;
    let tpctl = |words: &str| bed.lab.tpctl(&words.split(' ').collect::<Vec<_>>());
    let same = |what: &str| {
        bed.lab.wait_until(&format!("{what}: flows and groups to be as before"), PATIENCE, || {
            for ((before, now), host) in before.iter().zip(states()?).zip(&bed.hosts) {
                let changes = flow_changes(before, &now);
                ensure!(changes.is_empty(), "{}: {changes:#?}", host.name());
            }
            Ok(())
        })
    };
    tpctl("-y edge remove --vip 203.0.113.6")?;
    make_edge(&bed.lab, 3, true)?;
    same("an edge")?;
    let (name, router, words) = RULES[0];
    tpctl(&format!("-y lnat del {router} {name}"))?;
    tpctl(&format!("lnat add {router} {name} {words}"))?;
    same("a NAT rule")?;
    tpctl("-y lsr del LR-central edge2_default")?;
    tpctl("lsr add LR-central edge2_default 0.0.0.0/0 100.64.88.6 LR-central_to_m2")?;
    same("a route")?;
    tpctl("-y lr unlink LR-central web")?;
    tpctl("lr link LR-central web 10.1.0.254/24,fd00:1::fe/64")?;
    same("a link")?;
    bed.web[0].wait_ping(SERVER[0], PATIENCE).map(drop)
}

/// The edge's only card carries tunnels and the physical network, which is untagged or in a VLAN.
#[test]
fn one_card_is_enough() -> Result<()> {
    let lab = Lab::new("edges-card")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 2)?;
    // The switch's own card is on the underlay, which so is a part of the physical network.
    let physical = lab.physical("phys")?;
    let joint = |bridge: &str, port: &str, peer: &str| {
        let peer = format!("options:peer={peer}");
        physical.switch().vsctl(&["add-port", bridge, port, "--", "set", "Interface", port, "type=patch", &peer])
    };
    joint("br-int", "to-phy", "to-int")?;
    joint("br-phy", "to-int", "to-phy")?;
    apply(
        &lab,
        "
switches:
  web: {ports: {w1: '10.1.0.1, fd00:1::1'}}
routers:
  LR-central: {links: {web: '10.1.0.254/24, fd00:1::fe/64'}}
",
    )?;
    let w1 = hosts[0].vm(&spec("w1", 1, 1))?;
    for (name, vlan, net4, net6) in
        [("plain", None, "198.51.100", "2001:db8:51"), ("tagged", Some(40), "198.18.40", "2001:db8:40")]
    {
        let machine = VmSpec::new(name).address(&format!("{net4}.209/24")).address(&format!("{net6}::209/64"));
        let machine = physical.machine(&machine, vlan)?;
        let (vip, snat) = (format!("{net4}.210/24,{net6}::210/64"), format!("{net4}.210,{net6}::210"));
        let gateway = format!("{net4}.209,{net6}::209");
        let tag = vlan.map(|vlan| vlan.to_string());
        let mut words = vec!["-y", "edge", "init", "--chassis", "hv2", "--bridge", "br-phy", "--vip", &vip];
        words.extend(["--virt", "10.1.0.0/16,fd00:1::/32", "--ext-gw", &gateway, "--snat", &snat]);
        if let Some(tag) = &tag {
            words.extend(["--vlan", tag]);
        }
        lab.wait_until("the edge to be made", PATIENCE, || lab.tpctl(&words))?;
        for address in [format!("{net4}.209"), format!("{net6}::209")] {
            w1.wait_ping(&address, PATIENCE)?;
            w1.must_ping(&address)?;
            w1.sweep_udp(&machine, &address, &address, SIZES)?;
            w1.send_tcp(&machine, &address, 5 * MB)?;
        }
        lab.tpctl(&["-y", "edge", "remove", "--vip", &format!("{net4}.210")])?;
    }
    Ok(())
}
