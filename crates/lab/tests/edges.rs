//! To the outside through three edges, and back: ping, datagrams of all sizes, TCP and HTTP, by source and destination translation, floating addresses, and those that
//! are translated where their guests are; both families.

mod edge_bed;
mod network;

use anyhow::{Context, Result, ensure};
use edge_bed::*;
use network::*;
use std::{path::Path, time::Instant};
use tuplenet_lab::{PingSpec, Vm, WebServer};

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
    let bed = Bed::new("edges", true)?;
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
    Ok(())
}
