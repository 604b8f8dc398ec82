//! Traces as the agents make them: requests put into the store by hand, records read from there.

#[path = "../network/mod.rs"]
mod network;
mod packets;
mod records;

use anyhow::{Context, Result, ensure};
use network::*;
use packets::{arp, echo, gateway, mac, solicitation, udp};
use records::{Request, begin, numbers, request, revoke, said, wait_ends};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};
use tuplenet_lab::{Host, Lab, Vm, VmSpec};
use tuplenet_model::trace::to_hex;

const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', b2: '10.2.0.2, fd00:2::2'}}
  F: {flood: true, ports: {f1: 10.5.0.1, f2: 10.5.0.2, f3: 10.5.0.3, f4: 10.5.0.4}}
routers:
  R:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64'}
";

struct Guests {
    a1: Vm,
    a2: Vm,
    b1: Vm,
    b2: Vm,
}

/// Two hosts on the lab's store, one guest of each switch on each, and everybody has reached everybody.
fn start(lab: &Lab) -> Result<(Vec<Host>, Vec<tuplenet_lab::Agent>, Guests)> {
    let (hosts, agents) = hosts(lab, 2)?;
    apply(lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let guests = Guests {
        a1: hv1.vm(&spec("a1", 1, 1))?,
        b1: hv1.vm(&spec("b1", 2, 1))?,
        a2: hv2.vm(&spec("a2", 1, 2))?,
        b2: hv2.vm(&spec("b2", 2, 2))?,
    };
    for (from, to) in [(&guests.a1, &guests.a2), (&guests.a1, &guests.b2), (&guests.b1, &guests.a2)] {
        reaches(from, to, if from.name()[..1] == to.name()[..1] { 64 } else { 63 })?;
    }
    Ok((hosts, agents, guests))
}

fn both(vm: &Vm) -> Result<[IpAddr; 2]> {
    Ok([vm.ipv4()?.parse()?, vm.ipv6()?.parse()?])
}

#[test]
fn a_path_is_reported_by_the_hosts_on_it_and_the_packet_arrives() -> Result<()> {
    let lab = Lab::new("trace-path")?;
    lab.store()?;
    let (hosts, agents, Guests { a1, a2, b1, b2 }) = start(&lab)?;
    let (hv1, hv2) = (hosts[0].encap_ip(), hosts[1].encap_ip());
    let numbers = numbers(&lab)?;
    let mut next = 0;
    let mut trace = |from: &Vm, packet: Vec<u8>, ends: &[&str]| -> Result<[Vec<String>; 2]> {
        next += 1;
        let lease = begin(&lab, &[request(next, from, &packet)])?;
        let ends: Vec<(u16, &str)> = ends.iter().map(|host| (next, *host)).collect();
        let records = wait_ends(&lab, &ends)?;
        for all in records.values() {
            ensure!(all.is_sorted_by_key(|r| r.at), "out of time: {all:?}");
        }
        let said = ["hv1", "hv2"].map(|host| said(&records, next, host, &numbers));
        revoke(&lab, lease)?;
        ensure!(records::records(&lab)?.is_empty(), "records outlive the lease");
        Ok(said)
    };
    let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let until_router = ["10 A a1>?", "18 A a1>A_to_R", "30 A a1>A_to_R", "50 R R_to_A>?"];

    for (n, family) in [(0, "IPv4"), (1, "IPv6")] {
        // Within a switch, to the other host: the very bytes that were sent arrive.
        let seen = a2.capture()?;
        let packet = udp(&a1, a2.mac(), both(&a2)?[n], 64, 1, 100)?;
        let there = trace(&a1, packet.clone(), &["hv1", "hv2"])?;
        let expected = [
            vec!["10 A a1>?".into(), format!("18 A a1>a2 @{hv2}"), "end".into()],
            strings(&["30 A a1>a2", "delivered 34 A a1>a2", "end"]),
        ];
        ensure!(there == expected, "{family}: {there:#?}");
        arrives(&lab, &seen, &packet)?;

        // Across the router, to the other host: another Ethernet header, and one hop less.
        let seen = b2.capture()?;
        let packet = udp(&a1, &gateway(1), both(&b2)?[n], 64, 2, 1_400)?;
        let there = trace(&a1, packet, &["hv1", "hv2"])?;
        let via = both(&b2)?[n];
        let mut on_hv1 = strings(&until_router);
        on_hv1.extend([
            format!("59 R R_to_A>R_to_B via {via}"),
            format!("70 R R_to_A>R_to_B via {via}"),
            format!("77 R R_to_A>R_to_B via {via}"),
            "10 B B_to_R>?".into(),
            format!("18 B B_to_R>b2 @{hv2}"),
            "end".into(),
        ]);
        let expected = [on_hv1, strings(&["30 B B_to_R>b2", "delivered 34 B B_to_R>b2", "end"])];
        ensure!(there == expected, "{family}: {there:#?}");
        let mut arrived = udp(&a1, b2.mac(), both(&b2)?[n], 63, 2, 1_400)?;
        arrived[6..12].copy_from_slice(&mac(&gateway(2)));
        arrives(&lab, &seen, &arrived)?;

        // Across the router, on the same host.
        let seen = b1.capture()?;
        let there = trace(&a1, udp(&a1, &gateway(1), both(&b1)?[n], 64, 3, 100)?, &["hv1"])?;
        ensure!(there[0].len() == 12 && there[1].is_empty(), "{family}: {there:#?}");
        ensure!(there[0][9..] == ["30 B B_to_R>b1", "delivered 34 B B_to_R>b1", "end"], "{family}: {there:#?}");
        let mut arrived = udp(&a1, b1.mac(), both(&b1)?[n], 63, 3, 100)?;
        arrived[6..12].copy_from_slice(&mac(&gateway(2)));
        arrives(&lab, &seen, &arrived)?;

        // Answers that the switch makes keep the colour: of the router's far address, and of who has an address.
        let address: IpAddr = if n == 0 { "10.2.0.254" } else { "fd00:2::fe" }.parse()?;
        let there = trace(&a1, echo(&a1, &gateway(1), address)?, &["hv1"])?;
        let mine = both(&a1)?[n];
        let mut expected = strings(&until_router);
        expected.extend([59, 70, 77].map(|table| format!("{table} R R_to_A>R_to_A via {mine}")));
        expected.extend(strings(&[
            "10 A A_to_R>?",
            "18 A A_to_R>a1",
            "30 A A_to_R>a1",
            "delivered 34 A A_to_R>a1",
            "end",
        ]));
        ensure!(there[0] == expected && there[1].is_empty(), "{family}: {there:#?}");
        let who_has = match both(&a2)?[n] {
            IpAddr::V4(ip) => arp(&a1, ip)?,
            IpAddr::V6(ip) => solicitation(&a1, ip)?,
        };
        let there = trace(&a1, who_has, &["hv1"])?;
        let expected = strings(&["10 A a1>?", "30 A a1>a1", "delivered 34 A a1>a1", "end"]);
        ensure!(there[0] == expected && there[1].is_empty(), "{family}: {there:#?}");

        // What is dropped has an end and is not delivered: no route, no hop left, a MAC of nobody.
        let nowhere: IpAddr = if n == 0 { "10.9.9.9" } else { "fd00:9::9" }.parse()?;
        let mut at_router = strings(&until_router);
        at_router.push("end".into());
        for packet in [udp(&a1, &gateway(1), nowhere, 64, 4, 20)?, udp(&a1, &gateway(1), both(&b2)?[n], 1, 4, 20)?] {
            let there = trace(&a1, packet, &["hv1"])?;
            ensure!(there == [at_router.clone(), Vec::new()], "{family}: {there:#?}");
        }
        let there = trace(&a1, udp(&a1, "02:00:00:00:00:99", both(&a2)?[n], 64, 5, 20)?, &["hv1"])?;
        ensure!(there == [strings(&["10 A a1>?", "end"]), Vec::new()], "{family}: {there:#?}");
    }
    // And the other way round: the second host begins.
    let there = trace(&b2, udp(&b2, &gateway(2), a1.ipv4()?.parse()?, 64, 6, 20)?, &["hv1", "hv2"])?;
    ensure!(there[1].contains(&format!("18 A A_to_R>a1 @{hv1}")), "{there:#?}");
    ensure!(there[0] == strings(&["30 A A_to_R>a1", "delivered 34 A A_to_R>a1", "end"]), "{there:#?}");

    // Ended packets are counted where they ended: by rule 21, the table as the object, or by rule 43, where the router tells the sender.
    let counted = |table: u8| -> Result<u64> {
        let flows = hosts[0].ofctl(&["dump-flows", "br-int"])?;
        let rule = if table == 57 { 0x542b_u64 << 48 } else { 0x5415_u64 << 48 | u64::from(table) };
        let (cookie, table) = (format!("cookie=0x{rule:x}"), format!("table={table},"));
        let counts = flows.lines().filter(|f| f.contains(&cookie) && f.contains(&table)).map(|flow| {
            let count = flow.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next());
            Ok(count.context("a count")?.parse::<u64>()?)
        });
        counts.sum()
    };
    lab.wait_until("the switch to have counted them", PATIENCE, || {
        let counts = (counted(57)?, counted(17)?);
        ensure!(counts.0 >= 2 && counts.1 >= 2, "{counts:?}");
        Ok(())
    })?;
    for agent in &agents {
        ensure!(agent.metric("trace_records_dropped_total")? == 0.0);
    }
    Ok(())
}

/// The capture has exactly one such frame.
fn arrives(lab: &Lab, seen: &tuplenet_lab::Capture, frame: &[u8]) -> Result<()> {
    lab.wait_until("the traced packet", PATIENCE, || {
        let count = seen.frames().iter().filter(|f| *f == frame).count();
        ensure!(count == 1, "{count} frames are the packet: {:02x?} is not in {:02x?}", frame, seen.frames());
        Ok(())
    })
}

#[test]
fn copies_of_a_flood_keep_the_colour_and_what_cannot_be_sent_is_refused() -> Result<()> {
    let lab = Lab::new("trace-flood")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let guest = |host: usize, name: &str, number: u8| {
        hosts[host].vm(&VmSpec::new(name).address(&format!("10.5.0.{number}/24")))
    };
    let (f1, f2, f3, f4) = (guest(0, "f1", 1)?, guest(0, "f2", 2)?, guest(1, "f3", 3)?, guest(1, "f4", 4)?);
    for to in [&f2, &f3, &f4] {
        f1.wait_ping(&to.ipv4()?, PATIENCE)?;
    }
    let numbers = numbers(&lab)?;
    let seen = [&f1, &f2, &f3, &f4].map(|vm| vm.capture()).into_iter().collect::<Result<Vec<_>>>()?;
    let mut packet = vec![0xff; 6];
    packet.extend(mac(f1.mac()));
    packet.extend([0x88, 0xb5]);
    packet.resize(64, 0x5a);
    let lease = begin(&lab, &[request(7, &f1, &packet)])?;
    let records = wait_ends(&lab, &[(7, "hv1"), (7, "hv2")])?;
    for capture in &seen[1..] {
        arrives(&lab, capture, &packet)?;
    }
    ensure!(!seen[0].frames().contains(&packet), "it came back");
    let remote = hosts[1].encap_ip();
    // The order of copies is the group's own.
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    let there = said(&records, 7, "hv1", &numbers);
    ensure!(there[..3] == ["10 F f1>?", "18 F f1>all", "30 F f1>all"] && there.last().is_some_and(|l| l == "end"));
    // A copy for f1 itself is made, and ends where a packet does not return.
    let copy = format!("18 F f1>all @{remote}");
    let mut expected: Vec<String> =
        ["10 F f1>?", "18 F f1>all", "30 F f1>all", "30 F f1>f1", "30 F f1>f2", "delivered 34 F f1>f2", "end"]
            .map(str::to_owned)
            .into();
    expected.push(copy);
    ensure!(sorted(there.clone()) == sorted(expected), "{there:#?}");
    let there = said(&records, 7, "hv2", &numbers);
    ensure!(there[0] == "30 F f1>all" && there.last().is_some_and(|l| l == "end"), "{there:#?}");
    let expected = ["30 F f1>all", "30 F f1>f3", "delivered 34 F f1>f3", "30 F f1>f4", "delivered 34 F f1>f4", "end"];
    ensure!(sorted(there.clone()) == sorted(expected.map(str::to_owned).into()), "{there:#?}");
    revoke(&lab, lease)?;

    // What cannot be sent is answered.
    let good = request(20, &f1, &packet);
    let refused = [
        (Request { port: ("F", "f3"), ..good.clone() }, "the port F/f3 is not on hv1"),
        (Request { id: 21, port: ("F", "f9"), ..good.clone() }, "the port F/f9 is not on hv1"),
        (Request { id: 22, packet: "0a0g".into(), ..good.clone() }, "is no hexadecimal digit"),
        (Request { id: 23, packet: "0a0b0".into(), ..good.clone() }, "not whole bytes"),
        (Request { id: 24, packet: "0a".repeat(13), ..good.clone() }, "13 bytes is too short"),
        (Request { id: 25, packet: "0a".repeat(10_000), ..good.clone() }, "10000 bytes is too long"),
    ];
    let requests: Vec<Request> = refused.iter().map(|(request, _)| request.clone()).collect();
    let lease = begin(&lab, &requests)?;
    let ends: Vec<(u16, &str)> = requests.iter().map(|r| (r.id, "hv1")).collect();
    let records = wait_ends(&lab, &ends)?;
    for (request, why) in &refused {
        let there = said(&records, request.id, "hv1", &numbers);
        ensure!(there.len() == 1 && there[0].starts_with("refused: ") && there[0].contains(why), "{why}: {there:?}");
        ensure!(records.values().flatten().all(|r| r.at > 1_600_000_000_000_000_000), "no time: {records:?}");
    }
    revoke(&lab, lease)?;

    // What an agent finds when it starts was asked of one that is gone.
    agents[0].term()?;
    let seen = f2.capture()?;
    let lease = begin(&lab, &[request(30, &f1, &packet)])?;
    agents[0].start()?;
    agents[0].wait_settled(PATIENCE)?;
    ensure!(agents[0].metric("flow_mods_total")? == 0.0, "a restart changes no flow");
    begin(&lab, &[request(31, &f1, &packet)])?;
    let records = wait_ends(&lab, &[(31, "hv1")])?;
    ensure!(!records.contains_key(&(30, "hv1".into())), "{records:?}");
    arrives(&lab, &seen, &packet)?;
    revoke(&lab, lease)
}

/// The router between two hosts is on a third: the packet crosses the underlay twice, and each host on its way has an end of its own.
#[test]
fn a_path_over_three_hosts_has_three_ends() -> Result<()> {
    let lab = Lab::new("trace-three")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 3)?;
    apply(&lab, &NETWORK.replace("  R:\n", "  R:\n    chassis: hv3\n"))?;
    let (a1, b2) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("b2", 2, 2))?);
    reaches(&a1, &b2, 63)?;
    let numbers = numbers(&lab)?;
    let [_, hv2, hv3] = [0, 1, 2].map(|n| hosts[n].encap_ip());
    for (trace, to) in (1..).zip(both(&b2)?) {
        let lease = begin(&lab, &[request(trace, &a1, &udp(&a1, &gateway(1), to, 64, trace, 100)?)])?;
        let records = wait_ends(&lab, &[(trace, "hv1"), (trace, "hv2"), (trace, "hv3")])?;
        let expected = [
            ("hv1", vec!["10 A a1>?".to_owned(), format!("18 A a1>A_to_R @{hv3}"), "end".into()]),
            (
                "hv3",
                vec![
                    "30 A a1>A_to_R".into(),
                    "50 R R_to_A>?".into(),
                    format!("59 R R_to_A>R_to_B via {to}"),
                    format!("70 R R_to_A>R_to_B via {to}"),
                    format!("77 R R_to_A>R_to_B via {to}"),
                    "10 B B_to_R>?".into(),
                    format!("18 B B_to_R>b2 @{hv2}"),
                    "end".into(),
                ],
            ),
            ("hv2", vec!["30 B B_to_R>b2".into(), "delivered 34 B B_to_R>b2".into(), "end".into()]),
        ];
        for (host, expected) in expected {
            let there = said(&records, trace, host, &numbers);
            ensure!(there == expected, "{host}: {there:#?}");
        }
        revoke(&lab, lease)?;
    }

    // A host that dies leaves the others' words, and no end of its own.
    agents[2].kill9()?;
    let lease = begin(&lab, &[request(9, &a1, &udp(&a1, &gateway(1), both(&b2)?[0], 64, 9, 100)?)])?;
    let records = wait_ends(&lab, &[(9, "hv1"), (9, "hv2")])?;
    ensure!(!records.contains_key(&(9, "hv3".into())), "a dead agent wrote {records:?}");
    revoke(&lab, lease)
}

const CIRCLE: &str = "
switches:
  A: {ports: {a1: 10.1.0.1}}
  J: {}
routers:
  R: {links: {A: 10.1.0.254/24, J: 100.64.1.1/24}, routes: {far: {prefix: 10.9.0.0/16, next_hop: 100.64.1.2}}}
  Q: {links: {J: 100.64.1.2/24}, routes: {back: {prefix: 0.0.0.0/0, next_hop: 100.64.1.1}}}
";

#[test]
fn a_packet_in_circles_is_given_up_in_words() -> Result<()> {
    let lab = Lab::new("trace-circle")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 1)?;
    apply(&lab, CIRCLE)?;
    let a1 = hosts[0].vm(&spec("a1", 1, 1))?;
    a1.wait_ping("10.1.0.254", PATIENCE)?;
    let packet = |ttl| udp(&a1, &gateway(1), Ipv4Addr::new(10, 9, 9, 9).into(), ttl, 1, 20);
    let lease = begin(&lab, &[request(1, &a1, &packet(64)?), request(2, &a1, &packet(10)?)])?;
    let records = wait_ends(&lab, &[(1, "hv1"), (2, "hv1")])?;
    let numbers = numbers(&lab)?;
    let there = said(&records, 1, "hv1", &numbers);
    ensure!(there.len() == 1 && there[0].contains("in circles"), "{there:#?}");
    let there = said(&records, 2, "hv1", &numbers);
    let passed = |router: &str| there.iter().filter(|r| r.starts_with(&format!("50 {router} "))).count();
    ensure!((passed("R"), passed("Q")) == (5, 5), "the path, as long as its TTL lasts: {there:#?}");
    revoke(&lab, lease)
}

#[test]
fn a_hundred_at_once_do_not_mix() -> Result<()> {
    let lab = Lab::new("trace-many")?;
    lab.etcd(1)?;
    let (hosts, agents, Guests { a1, a2, b1, b2 }) = start(&lab)?;
    let hosts: BTreeMap<&str, IpAddr> = hosts.iter().map(|h| (h.name(), h.encap_ip().into())).collect();
    let numbers = numbers(&lab)?;
    let pairs = [(&a1, &a2), (&a1, &b2), (&b2, &a1), (&b1, &a2), (&a1, &b1)];
    let (mut requests, mut ends) = (Vec::new(), Vec::new());
    for n in 0..100_u16 {
        let (from, to) = pairs[usize::from(n) % pairs.len()];
        let same = from.name()[..1] == to.name()[..1];
        let gateway = gateway(if from.name().starts_with('a') { 1 } else { 2 });
        let mac = if same { to.mac().to_owned() } else { gateway };
        let packet = udp(from, &mac, both(to)?[usize::from(n / 5) % 2], 64, 1_000 + n, 64)?;
        requests.push(request(1_000 + n, from, &packet));
        ends.push((1_000 + n, from.host().name()));
        ends.push((1_000 + n, to.host().name()));
    }
    let began = std::time::Instant::now();
    let lease = begin(&lab, &requests)?;
    let records = wait_ends(&lab, &ends)?;
    println!("100 traces at once: {:?}", began.elapsed());
    for (n, request) in (0..100_u16).zip(&requests) {
        let (from, to) = pairs[usize::from(n) % pairs.len()];
        let here = said(&records, request.id, from.host().name(), &numbers);
        let there = said(&records, request.id, to.host().name(), &numbers);
        let same = from.name()[..1] == to.name()[..1];
        let lengths = match (same, from.host().name() == to.host().name()) {
            (true, _) => (3, 3),
            (false, false) => (10, 3),
            (false, true) => (12, 12),
        };
        ensure!((here.len(), there.len()) == lengths, "{}: {here:#?} {there:#?}", request.id);
        ensure!(here[0].ends_with(&format!(" {}>?", from.name())), "{here:#?}");
        let delivered = there.iter().filter(|s| s.starts_with("delivered ") && s.ends_with(&format!(">{}", to.name())));
        ensure!(delivered.count() == 1 && there.last().is_some_and(|s| s == "end"), "{there:#?}");
        if here.len() != 12 {
            ensure!(here.iter().any(|s| s.ends_with(&format!("@{}", hosts[to.host().name()]))), "{here:#?}");
        }
        // Every record is of this trace's packet: its mark is the first of its payload.
        let mark = to_hex(&request.id.to_be_bytes());
        for record in records.iter().filter(|((id, _), _)| *id == request.id).flat_map(|(_, all)| all) {
            ensure!(record.packet.contains(&format!("{mark}5a5a5a5a")), "{}: {}", request.id, record.packet);
        }
    }
    for agent in &agents {
        ensure!(agent.metric("trace_records_dropped_total")? == 0.0);
    }
    revoke(&lab, lease)
}

#[test]
fn ordinary_packets_have_the_same_megaflows_with_and_without_traces() -> Result<()> {
    let lab = Lab::new("trace-cost")?;
    lab.store()?;
    let (hosts, _agents, Guests { a1, a2, b1, b2 }) = start(&lab)?;
    let [hv1, _] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let port = a1.ofport()?;
    let tunnel = hv1.ofport("tn-geneve")?;
    let numbers = numbers(&lab)?;
    let number = |name: &str| {
        let found = numbers.iter().find(|(_, n)| *n == name).map(|(key, _)| *key);
        found.with_context(|| format!("no {name}"))
    };
    let ((ls, to), (_, from)) = (number("a1")?, number("a2")?);
    let (m1, gw) = (a1.mac(), gateway(1));
    let mut packets = Vec::new();
    for (vm, same) in [(&a2, true), (&b1, false), (&b2, false)] {
        let dst = if same { vm.mac() } else { &gw };
        let [v4, v6] = both(vm)?;
        let [s4, s6] = both(&a1)?;
        for l4 in ["tcp", "udp", "icmp"] {
            packets.push(format!("in_port={port},{l4},dl_src={m1},dl_dst={dst},nw_src={s4},nw_dst={v4},nw_ttl=64"));
        }
        for l4 in ["tcp6", "udp6", "icmp6"] {
            packets.push(format!("in_port={port},{l4},dl_src={m1},dl_dst={dst},ipv6_src={s6},ipv6_dst={v6},nw_ttl=64"));
        }
    }
    packets.extend([
        format!("in_port={port},arp,dl_src={m1},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=10.1.0.1,arp_tpa=10.1.0.254"),
        format!("in_port={port},dl_src={m1},dl_dst={gw},dl_type=0x88b5"),
        format!("in_port={port},icmp,dl_src={m1},dl_dst={gw},nw_src=10.1.0.1,nw_dst=10.2.0.254,nw_ttl=64,icmp_type=8"),
        format!("in_port={port},icmp,dl_src={m1},dl_dst={gw},nw_src=10.1.0.1,nw_dst=10.9.9.9,nw_ttl=64"),
        format!("in_port={port},icmp,dl_src={m1},dl_dst=02:00:00:00:00:99,nw_src=10.1.0.1,nw_dst=10.9.9.9,nw_ttl=64"),
        format!(
            "in_port={tunnel},tun_id={ls},tun_src={},tun_dst={},tun_metadata0={:#x},tcp,dl_src={},dl_dst={m1},nw_src=10.1.0.2,nw_dst=10.1.0.1,nw_ttl=64",
            hosts[1].encap_ip(),
            hv1.encap_ip(),
            u64::from(from) << 48 | u64::from(to) << 32,
            a2.mac()
        ),
    ]);
    let look = || -> Result<Vec<(String, String)>> {
        let look_at = |packet: &String| {
            let text = hv1.trace(packet)?;
            let line = |start: &str| {
                let found = text.lines().find(|l| l.starts_with(start)).map(str::to_owned);
                found.with_context(|| format!("{packet}: no `{start}` in\n{text}"))
            };
            // A packet for the agent is remembered under a new number each time.
            let actions = line("Datapath actions:")?;
            let mut parts = actions.split(",recirc_id=");
            let first = parts.next().unwrap_or_default().to_owned();
            let actions = parts.fold(first, |all, part| all + part.trim_start_matches(|c: char| c.is_ascii_digit()));
            Ok((line("Megaflow:")?, actions))
        };
        packets.iter().map(look_at).collect()
    };
    let with = look()?;
    let before = hv1.flows()?.len();
    hv1.ofctl(&["del-flows", "br-int", "cookie=0x5414000000000000/0xffff000000000000"])?;
    let after = hv1.flows()?.len();
    ensure!(
        before - after == 8 + 4 + 2,
        "{before} flows, {after} without those of the rule trace: 8 stages, 4 after conntrack, 2 local ports"
    );
    let without = look()?;
    for ((packet, with), without) in packets.iter().zip(&with).zip(&without) {
        ensure!(with == without, "{packet}: with trace flows {with:?}, without {without:?}");
        ensure!(!with.0.contains("reg"), "{with:?}");
    }
    Ok(())
}
