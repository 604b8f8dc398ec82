//! Address translation with real packets: an edge between guests and machines outside that know nothing of ours; what leaves, what comes in, what turns
//! back, and ICMP errors, in both families.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use tuplenet_lab::{Agent, Capture, Host, Lab, Physical, PingSpec, Vm, VmSpec};

/// R is on hv2, whose cable leads to the machines x1 and x2; behind x2, by way of x1, is another network.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1'}}
  out: {}
routers:
  R:
    chassis: hv2
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64', out: '203.0.113.254/24, 2001:db8::fe/64'}
    routes:
      far4: {prefix: 0.0.0.0/0, next_hop: 203.0.113.101}
      far6: {prefix: '::/0', next_hop: '2001:db8::101'}
";

/// The same with R on all hosts.
static SPREAD: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    NETWORK.replace("    chassis: hv2\n", "").replace("fd00:1::2'}", "fd00:1::2', a3: '10.1.0.3, fd00:1::3'}")
});

/// What the rules are called, and the words that make them.
const RULES: [(&str, &str); 6] = [
    ("snat4", "10.1.0.0/24 snat 203.0.113.254"),
    ("snat6", "fd00:1::/64 snat 2001:db8::5"),
    ("dnat4", "203.0.113.7 dnat 10.2.0.1"),
    ("dnat6", "2001:db8::7 dnat fd00:2::1"),
    ("float4", "10.1.0.2 floating 203.0.113.8"),
    ("float6", "fd00:1::2 floating 2001:db8::8"),
];
const FAR: [&str; 2] = ["192.88.99.9", "2001:db8:99::9"];
const MB: u64 = 1_000_000;

struct Bed {
    lab: Lab,
    hosts: Vec<Host>,
    _agents: Vec<Agent>,
    _physical: Physical,
    a1: Vm,
    a2: Vm,
    b1: Vm,
    x1: Vm,
    x2: Vm,
}

fn machine(name: &str, number: u8) -> VmSpec {
    VmSpec::new(name)
        .address(&format!("203.0.113.{number}/24"))
        .address(&format!("2001:db8::{number}/64"))
        .mac(&format!("02:00:00:00:01:{number:02}"))
}

impl Bed {
    fn new(name: &str) -> Result<Bed> {
        let lab = Lab::new(name)?;
        lab.store()?;
        let (hosts, agents) = hosts(&lab, 2)?;
        let physical = lab.physical("phys")?;
        physical.cable(&hosts[1], "br-ex")?;
        apply(&lab, NETWORK)?;
        lab.tpctl(&["patchport", "add", "out", "phys", "hv2", "br-ex"])?;
        for rule in RULES {
            add(&lab, rule)?;
        }
        let (a1, a2) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("a2", 1, 2))?);
        let b1 = hosts[0].vm(&spec("b1", 2, 1))?;
        let x1 = physical.machine(&machine("x1", 11), None)?;
        let x2 = physical.machine(&machine("x2", 12), None)?;
        let bed = Bed { lab, hosts, _agents: agents, _physical: physical, a1, a2, b1, x1, x2 };
        bed.x1.run(&["sh", "-c", "for a in 203.0.113.101/24 2001:db8::101/64; do ip address add $a dev eth0; done"])?;
        bed.x1.run(&[
            "sh",
            "-c",
            "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        ])?;
        // Redirects would teach the machines a shorter way: these paths are meant to be as they are.
        bed.x1.run(&[
            "sh",
            "-c",
            "echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects; echo 0 >/proc/sys/net/ipv4/conf/eth0/send_redirects",
        ])?;
        bed.x1.run(&["ip", "route", "add", "192.88.99.0/24", "via", "203.0.113.12", "mtu", "lock", "1300"])?;
        bed.x1.run(&["ip", "route", "add", "2001:db8:99::/64", "via", "2001:db8::12", "mtu", "lock", "1300"])?;
        bed.x1.run(&["ip", "route", "add", "unreachable", "192.88.100.0/24"])?;
        bed.x1.run(&["ip", "route", "add", "unreachable", "2001:db8:100::/64"])?;
        bed.x2.run(&["ip", "address", "add", "192.88.99.9/32", "dev", "lo"])?;
        bed.x2.run(&["ip", "address", "add", "2001:db8:99::9/128", "dev", "lo"])?;
        Ok(bed)
    }
}

fn add(lab: &Lab, (name, words): (&str, &str)) -> Result<()> {
    let words: Vec<&str> = ["lnat", "add", "R", name].into_iter().chain(words.split(' ')).collect();
    lab.tpctl(&words).map(drop)
}

/// Whether a frame is from one of these networks, or quotes a packet of theirs: 10.0.0.0/8 and fd00::/16.
fn tells_inner(frame: &[u8]) -> bool {
    let v4 = |ip: usize| frame.get(ip) == Some(&10);
    let v6 = |ip: usize| frame.get(ip..ip + 2) == Some(&[0xfd, 0]);
    match frame.get(12..14) {
        // The source; of an ICMP error the destination of what it quotes, which an inner host got.
        Some([0x08, 0x00]) => v4(26) || frame.get(23) == Some(&1) && matches!(frame.get(34), Some(3 | 11)) && v4(58),
        Some([0x86, 0xdd]) => v6(22) || frame.get(20) == Some(&58) && frame.get(54).is_some_and(|k| *k < 128) && v6(86),
        _ => false,
    }
}

fn nothing_inner(captures: &[Capture]) -> Result<()> {
    for capture in captures {
        let found = capture.frames().into_iter().find(|frame| tells_inner(frame));
        ensure!(found.is_none(), "an inner address was seen outside: {found:02x?}");
    }
    Ok(())
}

/// A datagram there and its answer back; from whom it came, as the asked one sees it.
fn udp(from: &Vm, to: &Vm, own: &str, address: &str) -> Result<SocketAddr> {
    let at = |ip: &str, port: u16| -> Result<SocketAddr> { Ok(SocketAddr::new(ip.parse()?, port)) };
    let server = to.netns().inside(|| Ok(UdpSocket::bind(at(own, 0)?)?))?;
    let target = at(address, server.local_addr()?.port())?;
    let any = if target.is_ipv4() { "0.0.0.0" } else { "::" };
    let client = from.netns().inside(|| Ok(UdpSocket::bind(at(any, 0)?)?))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    client.connect(target)?;
    let mut bytes = [0; 16];
    client.send(b"question")?;
    let (_, seen) = server.recv_from(&mut bytes).with_context(|| format!("{} -> {target}: lost", from.name()))?;
    server.send_to(b"answer", seen)?;
    let length = client.recv(&mut bytes).with_context(|| format!("{} -> {target}: no answer", from.name()))?;
    ensure!(&bytes[..length] == b"answer");
    Ok(seen)
}

#[test]
fn guests_and_machines_outside_meet_by_external_addresses() -> Result<()> {
    let bed = Bed::new("nat")?;
    let Bed { lab, a1, a2, b1, x1, x2, .. } = &bed;
    let captures = [x1.capture()?, x2.capture()?];

    // Out: by the snat rule, and by a floating address; who is asked sees the external address.
    for (from, to, seen) in [
        (a1, "203.0.113.11", "203.0.113.254"),
        (a1, "2001:db8::11", "2001:db8::5"),
        (a2, "203.0.113.11", "203.0.113.8"),
        (a2, "2001:db8::11", "2001:db8::8"),
    ] {
        from.wait_ping(to, PATIENCE)?;
        from.must_ping(to)?;
        let source = udp(from, x1, to, to)?;
        ensure!(source.ip().to_string() == seen, "{} is seen as {source}, not {seen}", from.name());
        from.send_tcp(x1, to, 5 * MB)?;
    }
    // In: by a dnat rule, and to a floating address.
    for (to, own, address) in [
        (b1, "10.2.0.1", "203.0.113.7"),
        (b1, "fd00:2::1", "2001:db8::7"),
        (a2, "10.1.0.2", "203.0.113.8"),
        (a2, "fd00:1::2", "2001:db8::8"),
    ] {
        x2.wait_ping(address, PATIENCE)?;
        x2.must_ping(address)?;
        udp(x2, to, own, address)?;
        x2.send_tcp_by(to, own, address, 5 * MB)?;
    }
    // Nobody is behind the address of the snat rule; the router itself answers.
    x2.must_not_ping("2001:db8::5")?;
    x2.must_ping("203.0.113.254")?;
    // Back: inner guests ask for external addresses, their own too.
    for (from, to, own, address, seen) in [
        (a1, a2, "10.1.0.2", "203.0.113.8", "203.0.113.254"),
        (a1, a2, "fd00:1::2", "2001:db8::8", "2001:db8::5"),
        (a2, a2, "10.1.0.2", "203.0.113.8", "203.0.113.8"),
        (a2, a2, "fd00:1::2", "2001:db8::8", "2001:db8::8"),
        (a2, b1, "10.2.0.1", "203.0.113.7", "203.0.113.8"),
        (a1, b1, "fd00:2::1", "2001:db8::7", "2001:db8::5"),
    ] {
        from.must_ping(address)?;
        let source = udp(from, to, own, address)?;
        ensure!(source.ip().to_string() == seen, "{} is seen as {source}, not {seen}", from.name());
        from.send_tcp_by(to, own, address, 2 * MB)?;
    }
    // Within: as they are.
    for (from, to) in [(a1, "10.2.0.1"), (a1, "fd00:2::1"), (a2, "10.2.0.1")] {
        from.must_ping(to)?;
        let source = udp(from, b1, to, to)?;
        ensure!(from.ips().contains(&source.ip()), "{} is seen as {source} on the inside", from.name());
    }
    nothing_inner(&captures)?;

    // A trace goes on behind conntrack, and ends when all is done.
    for (words, last) in [
        ("trace a1 --to 203.0.113.11 --icmp", "phys"),
        ("trace a1 --to 2001:db8::11 --tcp 80", "phys"),
        ("trace a1 --to 203.0.113.8 --udp 53", "a2"),
        ("trace a2 --to 2001:db8::7 --icmp", "b1"),
        ("trace b1 --to 203.0.113.8 --tcp 80", "a2"),
    ] {
        let output = lab.tpctl_output(&words.split(' ').collect::<Vec<_>>())?;
        let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        println!("{words}\n{text}");
        let out =
            text.lines().filter(|line| line.contains("pipeline:R,") && line.contains("LRP_TRACE_EGRESS_OUT")).count();
        ensure!(output.status.success() && text.contains(last) && out > 0, "{words}: {text}");
    }

    // Rules taken away and added again leave the flows that were.
    let edge = &bed.hosts[1];
    let before = flow_set(edge)?;
    for (name, words) in RULES {
        lab.tpctl(&["-y", "lnat", "del", "R", name])?;
        add(lab, (name, words))?;
    }
    lab.wait_until("the flows to be what they were", PATIENCE, || {
        let changes = flow_changes(&before, &flow_set(edge)?);
        ensure!(changes.is_empty(), "{changes:?}");
        Ok(())
    })?;
    edge.wait_cache()?;
    x2.must_ping("203.0.113.7")?;
    Ok(())
}

#[test]
fn errors_find_the_guest_that_they_are_about() -> Result<()> {
    let bed = Bed::new("nat-errors")?;
    let Bed { a1, a2, x1, x2, .. } = &bed;
    let captures = [x1.capture()?, x2.capture()?];
    for guest in [a1, a2] {
        for far in FAR {
            guest.wait_ping(far, PATIENCE)?;
        }
        // Unreachable, and time exceeded, from a router outside.
        for (address, said) in
            [("192.88.100.1", "Destination Host Unreachable"), ("2001:db8:100::1", "Destination unreachable")]
        {
            let report = guest.ping(address, &PingSpec::count(1))?;
            ensure!(report.text.contains(said), "{} -> {address}: {}", guest.name(), report.text);
        }
        for (address, said) in [(FAR[0], "Time to live exceeded"), (FAR[1], "Time exceeded")] {
            let report = guest.ping(address, &PingSpec::ttl(2))?;
            ensure!(report.text.contains(said), "{} -> {address}: {}", guest.name(), report.text);
        }
        // A datagram to a port that nobody has: the sender's socket is told.
        for address in ["203.0.113.11:9", "[2001:db8::11]:9"] {
            let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = guest.netns().inside(|| Ok(UdpSocket::bind(any)?))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.connect(address)?;
            socket.send(b"anybody?")?;
            let told = socket.recv(&mut [0; 4]).map_err(|e| e.kind());
            ensure!(told == Err(std::io::ErrorKind::ConnectionRefused), "{} -> {address}: {told:?}", guest.name());
        }
        // The path's MTU is 1300 behind x1: big packets are told so, and TCP gets through.
        for far in FAR {
            let big = PingSpec { size: 1400, dont_fragment: true, count: 2, ..PingSpec::default() };
            let report = guest.ping(far, &big)?;
            ensure!(report.received == 0 && report.text.contains("1300"), "{} -> {far}: {}", guest.name(), report.text);
            guest.send_tcp(x2, far, 2 * MB)?;
        }
    }
    // From inside: what an inner guest refuses, a machine outside hears from the external address.
    for address in ["203.0.113.7:9", "203.0.113.8:9", "[2001:db8::7]:9", "[2001:db8::8]:9"] {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = x2.netns().inside(|| Ok(UdpSocket::bind(any)?))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect(address)?;
        socket.send(b"anybody?")?;
        let told = socket.recv(&mut [0; 4]).map_err(|e| e.kind());
        ensure!(told == Err(std::io::ErrorKind::ConnectionRefused), "x2 -> {address}: {told:?}");
    }
    nothing_inner(&captures)
}

/// A floating address at the host that has the guest: hv1 and hv2 have cables of their own, for hv3 speaks hv1.
#[test]
fn distributed_floating_addresses_are_where_their_guests_are() -> Result<()> {
    let lab = Lab::new("nat-spread")?;
    lab.store()?;
    let (hosts, _agents) = hosts(&lab, 3)?;
    let physical = lab.physical("phys")?;
    physical.cable(&hosts[0], "br-ex")?;
    physical.cable(&hosts[1], "br-ex")?;
    apply(&lab, &SPREAD)?;
    for chassis in ["hv1", "hv2"] {
        lab.tpctl(&["patchport", "add", "out", &format!("phys-{chassis}"), chassis, "br-ex"])?;
    }
    let mut guests = Vec::new();
    for (number, host) in (1..).zip(&hosts) {
        guests.push(host.vm(&spec(&format!("a{number}"), 1, number))?);
        for (family, inner, outer) in [("v4", "10.1.0.", "203.0.113.3"), ("v6", "fd00:1::", "2001:db8::3")] {
            let words = format!("lnat add R {family}-{number} {inner}{number} floating {outer}{number} --distributed");
            lab.tpctl(&words.split(' ').collect::<Vec<_>>())?;
        }
    }
    let x1 = physical.machine(&machine("x1", 11), None)?;
    let captures = [x1.capture()?];
    for (number, guest) in (1..).zip(&guests) {
        for (out, own, outer) in [
            ("203.0.113.11", guest.ipv4()?, format!("203.0.113.3{number}")),
            ("2001:db8::11", guest.ipv6()?, format!("2001:db8::3{number}")),
        ] {
            guest.wait_ping(out, PATIENCE)?;
            let seen = udp(guest, &x1, out, out)?;
            ensure!(seen.ip().to_string() == outer, "{} is seen as {seen}", guest.name());
            x1.wait_ping(&outer, PATIENCE)?;
            x1.must_ping(&outer)?;
            x1.send_tcp_by(guest, &own, &outer, 2 * MB)?;
            guest.send_tcp(&x1, out, 2 * MB)?;
            // A port that nobody has: the error comes back with the address that was asked.
            let socket =
                x1.netns().inside(|| Ok(UdpSocket::bind((if own.contains(':') { "::" } else { "0.0.0.0" }, 0))?))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.connect((outer.as_str(), 9))?;
            socket.send(b"anybody?")?;
            let told = socket.recv(&mut [0; 4]).map_err(|e| e.kind());
            ensure!(told == Err(std::io::ErrorKind::ConnectionRefused), "{outer}: {told:?}");
        }
        // No edge between: its MAC is where the guest is.
        let mac = format!("f2:01:cb:00:71:{:02x}", 30 + number);
        let learned = physical.learned(&mac)?;
        let port = Physical::port(&hosts[if number == 2 { 1 } else { 0 }]);
        ensure!(learned.as_deref() == Some(&*port), "{mac} was learned at {learned:?}, not at {port}");
    }
    // Among each other by these addresses, and each its own.
    for from in &guests {
        for number in 1..=3 {
            from.must_ping(&format!("203.0.113.3{number}"))?;
            from.must_ping(&format!("2001:db8::3{number}"))?;
        }
    }
    guests[0].send_tcp_by(&guests[2], &guests[2].ipv4()?, "203.0.113.33", MB)?;
    nothing_inner(&captures)
}
