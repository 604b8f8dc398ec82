//! Path MTU discovery with real packets: guests and machines outside that send too long packets are told how long they may be, in both families, by ping and TCP;
//! across hosts, out of a physical bridge, through NAT, and where an MTU was set. And what may be cut is cut.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use tuplenet_lab::{Host, Lab, PingSpec, Vm, VmSpec};

const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1', b2: '10.2.0.2, fd00:2::2'}}
routers:
  R:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64'}
";

const MB: u64 = 1_000_000;

/// The host's way to others, from now on.
fn underlay(host: &Host, mtu: u32) -> Result<()> {
    host.netns()?.ip(&format!("link set eth-under mtu {mtu}\n"))?;
    host.vsctl(&["set", "Interface", "br-phy", &format!("mtu_request={mtu}")]).map(drop)
}

/// The longest packet that all tunnels carry, as users are told.
fn carried(lab: &Lab, expected: u32) -> Result<()> {
    lab.wait_until("the MTU to be told", PATIENCE, || {
        let status: serde_json::Value = serde_json::from_str(&lab.tpctl(&["-o", "json", "status"])?)?;
        ensure!(status["mtu"]["carried"] == expected, "{status}");
        Ok(())
    })
}

/// A host's flows look for that length, and its packets meet those flows.
fn looked_for(lab: &Lab, host: &Host, mtu: u32) -> Result<()> {
    lab.wait_until("flows for that MTU", PATIENCE, || {
        let wanted = format!("check_pkt_larger({})", mtu + 14);
        let flows = host.flows()?;
        ensure!(flows.iter().any(|flow| flow.contains(&wanted)), "no flow has {wanted}");
        Ok(())
    })?;
    host.wait_cache()
}

/// Forgets what a guest was told.
fn forget(vm: &Vm) -> Result<()> {
    vm.run(&["ip", "route", "flush", "cache"])?;
    vm.run(&["ip", "-6", "route", "flush", "cache"]).map(drop)
}

/// Bytes of payload that make a ping's packet so long.
fn payload(address: &str, packet: u32) -> u32 {
    packet - if address.contains(':') { 48 } else { 28 }
}

/// A packet of that length gets there, and one that is a byte longer does not: the sender hears of it from that address.
fn passes_up_to(from: &Vm, address: &str, mtu: u32, router: &str) -> Result<()> {
    let ping = |packet| {
        forget(from)?;
        let size = payload(address, packet);
        from.ping(address, &PingSpec { size, dont_fragment: true, count: 2, ..PingSpec::default() })
    };
    let fits = ping(mtu)?;
    ensure!(fits.all(), "{} -> {address}, {mtu} bytes: {}", from.name(), fits.text);
    let longer = ping(mtu + 1)?;
    let told = longer.text.lines().any(|line| {
        line.starts_with(&format!("From {router} "))
            && (line.contains(&format!("mtu = {mtu}")) || line.contains(&format!("mtu={mtu}")))
    });
    ensure!(longer.received == 0 && told, "{} -> {address}, {} bytes: {}", from.name(), mtu + 1, longer.text);
    Ok(())
}

#[test]
fn guests_learn_how_long_packets_may_be() -> Result<()> {
    let lab = Lab::new("mtu")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let (a1, b1, b2) = (hv1.vm(&spec("a1", 1, 1))?, hv2.vm(&spec("b1", 2, 1))?, hv1.vm(&spec("b2", 2, 2))?);
    reaches(&a1, &b1, 63)?;
    reaches(&a1, &b2, 63)?;
    // 1600 bytes are more than guests send.
    carried(&lab, 1538)?;
    for to in [b1.ipv4()?, b1.ipv6()?] {
        let full = PingSpec { size: payload(&to, 1500), dont_fragment: true, ..PingSpec::default() };
        let report = a1.ping(&to, &full)?;
        ensure!(report.all(), "{}", report.text);
    }

    // One host gets less: 1400 - 62.
    underlay(hv2, 1400)?;
    carried(&lab, 1338)?;
    for host in [hv1, hv2] {
        looked_for(&lab, host, 1338)?;
    }
    // IPv4 packets that may be cut are: the guest's fragments are 1500 bytes long.
    let agent = agents.first().context("an agent")?;
    for to in [&b1, &b2] {
        let cut = agent.metric("packets_cut_total")?;
        let address = to.ipv4()?;
        let long = a1.ping(&address, &PingSpec { size: 4000, ..PingSpec::default() })?;
        ensure!(long.all(), "{address}: {}", long.text);
        ensure!(agent.metric("packets_cut_total")? > cut, "nothing was cut on the way to {address}");
    }
    for (from, to, v4, v6) in [
        (&a1, &b1, "10.1.0.254", "fd00:1::fe"),
        (&b1, &a1, "10.2.0.254", "fd00:2::fe"),
        (&a1, &b2, "10.1.0.254", "fd00:1::fe"),
    ] {
        passes_up_to(from, &to.ipv4()?, 1338, v4)?;
        passes_up_to(from, &to.ipv6()?, 1338, v6)?;
        for address in [to.ipv4()?, to.ipv6()?] {
            forget(from)?;
            from.send_tcp(to, &address, 3 * MB)?;
        }
    }
    // A router answers whatever came to it.
    for gateway in ["10.1.0.254", "fd00:1::fe", "10.2.0.254", "fd00:2::fe"] {
        let full = PingSpec { size: payload(gateway, 1500), dont_fragment: true, ..PingSpec::default() };
        let report = a1.ping(gateway, &full)?;
        ensure!(report.all(), "{gateway}: {}", report.text);
    }
    // Traces say so, real and simulated.
    for words in [
        "trace a1 --to 10.2.0.1 --size 1339",
        "trace a1 --to fd00:2::1 --size 1400 --udp 9",
        "trace a1 --to 10.2.0.1 --size 1339 --simulate",
    ] {
        let output = lab.tpctl_output(&words.split(' ').collect::<Vec<_>>())?;
        let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        println!("{words}\n{text}");
        let size = if words.contains("1400") { "1400" } else { "1339" };
        ensure!(
            text.contains(&format!("packet too big: {size} > 1338")) && text.contains("R tells the sender"),
            "{words}: {text}"
        );
    }
    let output = lab.tpctl_output(&["trace", "a1", "--to", "10.2.0.1", "--size", "1338"])?;
    ensure!(output.status.success(), "{output:?}");

    // What is set counts, for the switch that it is set for.
    lab.tpctl(&["ls", "set", "B", "--mtu", "1300"])?;
    for host in [hv1, hv2] {
        looked_for(&lab, host, 1300)?;
    }
    passes_up_to(&a1, &b1.ipv4()?, 1300, "10.1.0.254")?;
    passes_up_to(&a1, &b1.ipv6()?, 1300, "fd00:1::fe")?;
    forget(&a1)?;
    a1.send_tcp(&b1, &b1.ipv6()?, 3 * MB)?;
    // And back: the hosts' own, which has grown meanwhile.
    underlay(hv2, 1500)?;
    lab.tpctl(&["ls", "set", "B", "--mtu", "auto"])?;
    carried(&lab, 1438)?;
    for host in [hv1, hv2] {
        looked_for(&lab, host, 1438)?;
    }
    passes_up_to(&a1, &b1.ipv4()?, 1438, "10.1.0.254")
}

/// R is on hv2, whose cable leads to the machine x1; the guests are on hv1.
const EDGE: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1'}}
  B: {ports: {b1: '10.2.0.1, fd00:2::1'}}
  out: {}
routers:
  R:
    chassis: hv2
    links: {A: '10.1.0.254/24, fd00:1::fe/64', B: '10.2.0.254/24, fd00:2::fe/64', out: '203.0.113.254/24, 2001:db8::fe/64'}
";

#[test]
fn packets_find_their_length_to_the_outside_and_from_there() -> Result<()> {
    let lab = Lab::new("mtu-edge")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    let physical = lab.physical("phys")?;
    physical.cable(&hosts[1], "br-ex")?;
    apply(&lab, EDGE)?;
    lab.tpctl(&["patchport", "add", "out", "phys", "hv2", "br-ex"])?;
    for words in [
        "snat4 10.1.0.0/24 snat 203.0.113.5",
        "snat6 fd00:1::/64 snat 2001:db8::5",
        "dnat4 203.0.113.7 dnat 10.2.0.1",
        "dnat6 2001:db8::7 dnat fd00:2::1",
    ] {
        lab.tpctl(&["lnat", "add", "R"].into_iter().chain(words.split(' ')).collect::<Vec<_>>())?;
    }
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    // No router stands between these and the tunnel to R.
    let (a1, b1) = (hv1.vm(&spec("a1", 1, 1).mtu(1338))?, hv1.vm(&spec("b1", 2, 1).mtu(1338))?);
    let x1 = VmSpec::new("x1").address("203.0.113.11/24").address("2001:db8::11/64").mac("02:00:00:00:01:11");
    let x1 = physical.machine(&x1, None)?;
    let capture = x1.capture()?;
    underlay(hv1, 1400)?;
    carried(&lab, 1338)?;
    looked_for(&lab, hv2, 1338)?;

    // In, by the dnat rules: the machine is told by the address that it knows, about the packet that it sent.
    for (address, router) in [("203.0.113.7", "203.0.113.7"), ("2001:db8::7", "2001:db8::7")] {
        x1.wait_ping(address, PATIENCE)?;
        passes_up_to(&x1, address, 1338, router)?;
        forget(&x1)?;
        let own = if address.contains(':') { b1.ipv6()? } else { b1.ipv4()? };
        x1.send_tcp_by(&b1, &own, address, 3 * MB)?;
    }
    // Out, by the snat rules, when the card takes less than tunnels do.
    hv2.netns()?.ip("link set eth-ext mtu 1300\n")?;
    x1.run(&["ip", "link", "set", "eth0", "mtu", "1300"])?;
    looked_for(&lab, hv2, 1300)?;
    for (address, router) in [("203.0.113.11", "10.1.0.254"), ("2001:db8::11", "fd00:1::fe")] {
        a1.wait_ping(address, PATIENCE)?;
        passes_up_to(&a1, address, 1300, router)?;
        forget(&a1)?;
        a1.send_tcp(&x1, address, 3 * MB)?;
    }
    // What may be cut is, and conntrack translates the pieces. (The userspace datapath's wants 1,200 bytes of all pieces but the last, so a guest's own
    // fragments cannot be cut again there.)
    forget(&a1)?;
    a1.run(&["ping", "-n", "-c", "3", "-i", "0.05", "-M", "dont", "-s", "1310", "203.0.113.11"])?;
    lab.wait_until("packets to be cut", PATIENCE, || {
        let cut = agents[1].metric("packets_cut_total")?;
        ensure!(cut >= 3.0, "{cut} so far");
        Ok(())
    })?;
    // Nothing inner was seen outside, in no error either.
    for frame in capture.frames() {
        let inner = |at: usize| match frame.get(12..14) {
            Some([0x08, 0x00]) => frame.get(at) == Some(&10),
            _ => false,
        };
        let inner6 = |at: usize| frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(at..at + 2) == Some(&[0xfd, 0]);
        let error = frame.get(23) == Some(&1) && frame.get(34) == Some(&3);
        let error6 = frame.get(20) == Some(&58) && frame.get(54) == Some(&2);
        let tells = inner(26) || inner6(22) || error && inner(58) || error6 && inner6(86);
        ensure!(!tells, "an inner address was seen outside: {frame:02x?}");
    }
    Ok(())
}
