//! Direct return: what a host's guests send outside leaves by the host's own IP stack, answers come back by the edge; what NAT covers and what stays inside takes the
//! tunnel. In both families, with a host that looks at the way back of what it forwards (rp_filter).

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tuplenet_lab::{Agent, AgentSpec, Capture, Host, Lab, Physical, PingSpec, Vm, VmSpec, program};

/// R is on all hosts, the edge E on hv2, whose cable leads to the machine x1, the router of the outside. hv1 has a cable of its own, without anything of ours.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1', a2: '10.1.0.2, fd00:1::2'}}
  m: {}
  out: {}
routers:
  R:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', m: '10.50.0.254/24, fd00:50::fe/64'}
    routes:
      out4: {prefix: 0.0.0.0/0, next_hop: 10.50.0.1}
      out6: {prefix: '::/0', next_hop: 'fd00:50::1'}
  E:
    chassis: hv2
    links: {m: '10.50.0.1/24, fd00:50::1/64', out: '203.0.113.254/24, 2001:db8::fe/64'}
    routes:
      out4: {prefix: 0.0.0.0/0, next_hop: 203.0.113.11}
      out6: {prefix: '::/0', next_hop: '2001:db8::11'}
      back4: {prefix: 10.1.0.0/24, next_hop: 10.50.0.254}
      back6: {prefix: 'fd00:1::/64', next_hop: 'fd00:50::fe'}
";
const FAR: [&str; 2] = ["192.88.99.9", "2001:db8:99::9"];
/// hv1's own addresses outside.
const OWN: [&str; 2] = ["203.0.113.21", "2001:db8::21"];
const DEVICE: &str = "tnout";
const MB: u64 = 1_000_000;

struct Bed {
    lab: Lab,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    _physical: Physical,
    a1: Vm,
    a2: Vm,
    x1: Vm,
    /// MAC addresses outside: of hv1 itself, and of the edge.
    own: String,
    edge: String,
}

impl Bed {
    fn new(name: &str) -> Result<Bed> {
        let lab = Lab::new(name)?;
        lab.store()?;
        let (hosts, agents) = hosts(&lab, 2)?;
        let physical = lab.physical("phys")?;
        physical.cable(&hosts[0], "br-own")?;
        physical.cable(&hosts[1], "br-ex")?;
        apply(&lab, NETWORK)?;
        lab.tpctl(&["patchport", "add", "out", "phys", "hv2", "br-ex"])?;
        let (a1, a2) = (hosts[0].vm(&spec("a1", 1, 1))?, hosts[1].vm(&spec("a2", 1, 2))?);
        let outside = VmSpec::new("x1").address("203.0.113.11/24").address("2001:db8::11/64").mac("02:00:00:00:01:11");
        let x1 = physical.machine(&outside, None)?;
        for variable in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            x1.netns().sysctl(variable, "1")?;
        }
        for variable in ["net/ipv4/conf/all/send_redirects", "net/ipv4/conf/eth0/send_redirects"] {
            x1.netns().sysctl(variable, "0")?;
        }
        x1.netns().ip("address add 192.88.99.9/32 dev lo\n\
             address add 2001:db8:99::9/128 dev lo\n\
             route add 10.1.0.0/24 via 203.0.113.254\n\
             route add fd00:1::/64 via 2001:db8::fe\n")?;
        // hv1 as its owner set it up: an address outside, a default route, and strict about the way back.
        let own = hosts[0].netns()?;
        lab.wait_until("hv1's device", PATIENCE, || own.run(&["ip", "link", "show", "br-own"]).map(drop))?;
        own.sysctl("net/ipv6/conf/br-own/disable_ipv6", "0")?;
        own.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
        own.ip("link set br-own up\n\
             address add 203.0.113.21/24 dev br-own\n\
             address add 2001:db8::21/64 dev br-own nodad\n\
             route add default via 203.0.113.11\n\
             route add default via 2001:db8::11\n")?;
        let own = mac(&hosts[0], "br-own")?;
        let port: serde_json::Value =
            serde_json::from_str(&lab.tpctl(&["-o", "json", "lrp", "show", "E", "E_to_out"])?)?;
        let port = port.get(0).unwrap_or(&port);
        let edge = port["mac"].as_str().with_context(|| format!("no MAC in {port}"))?.to_owned();
        Ok(Bed { lab, hosts, agents, _physical: physical, a1, a2, x1, own, edge })
    }

    /// hv1's agent ends, and another begins with these arguments.
    fn restart(&mut self, arguments: &[&str]) -> Result<()> {
        self.agents[0].term()?;
        self.agents[0] = self.hosts[0].agent(&AgentSpec::new().arguments(arguments))?;
        self.agents[0].wait_settled(PATIENCE)
    }

    /// Waits until what a1 sends to the far addresses comes from that MAC address, seen outside, and nothing of it from another.
    fn leaves_by(&self, mac: &str, far: &[&str]) -> Result<()> {
        for far in far {
            let own = if far.contains(':') { self.a1.ipv6()? } else { self.a1.ipv4()? };
            self.lab.wait_until(&format!("{own} -> {far} to come from {mac}"), PATIENCE, || {
                let capture = self.x1.capture()?;
                self.a1.must_ping(far)?;
                let from = sources(&capture, &own)?;
                ensure!(from == BTreeSet::from([mac.to_owned()]), "{own} -> {far} comes from {from:?}");
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn mac(host: &Host, device: &str) -> Result<String> {
    let text = host.netns()?.run(&["ip", "-o", "link", "show", device])?;
    let mac = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    Ok(mac.with_context(|| format!("no MAC in {text}"))?.to_owned())
}

/// The MAC addresses that packets from an IP address came from.
fn sources(capture: &Capture, ip: &str) -> Result<BTreeSet<String>> {
    let ip: IpAddr = ip.parse()?;
    let is_from = |frame: &[u8]| match ip {
        IpAddr::V4(ip) => frame.get(12..14) == Some(&[8, 0]) && frame.get(26..30) == Some(&ip.octets()),
        IpAddr::V6(ip) => frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(22..38) == Some(&ip.octets()),
    };
    let mac =
        |frame: &[u8]| frame.get(6..12).map(|mac| mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"));
    Ok(capture.frames().iter().filter(|frame| is_from(frame)).filter_map(|frame| mac(frame)).collect())
}

#[test]
fn what_guests_send_outside_leaves_by_the_host_itself() -> Result<()> {
    let mut bed = Bed::new("untunnel")?;
    let (own, edge) = (bed.own.clone(), bed.edge.clone());
    for far in FAR {
        bed.a1.wait_ping(far, PATIENCE)?;
    }
    bed.leaves_by(&edge, &FAR)?;

    let forwarding = [
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv4/conf/br-own/forwarding",
        "net/ipv6/conf/br-own/forwarding",
    ];
    let state = |host: &Host| -> Result<Vec<String>> {
        let read = |variable: &&str| host.netns()?.run(&["sysctl", "-n", &variable.replace('/', ".")]);
        forwarding.iter().map(read).collect()
    };
    let before = state(&bed.hosts[0])?;
    bed.restart(&["--untunnel"])?;
    bed.leaves_by(&own, &FAR)?;
    let Bed { lab, hosts, agents, a1, a2, x1, .. } = &bed;
    let (hv1, agent) = (&hosts[0], &agents[0]);

    // Where the kernel can do it for one device, the others are as they were.
    let alone = hv1.netns()?.run(&["sysctl", "-n", &format!("net.ipv6.conf.{DEVICE}.force_forwarding")]).is_ok();
    ensure!(!alone || state(hv1)? == before, "{:?}, not {before:?}", state(hv1)?);
    // Connections both ways, and the road in a traceroute: R, hv1 itself, x1.
    for (far, own) in FAR.into_iter().zip(OWN) {
        let report = a1.must_ping(far)?;
        ensure!(report.ttls.iter().all(|ttl| *ttl == 62), "{far}: {report:?}");
        a1.send_tcp(x1, far, 5 * MB)?;
        let inner = if far.contains(':') { a1.ipv6()? } else { a1.ipv4()? };
        x1.send_tcp(a1, &inner, 5 * MB)?;
        let gateway = if far.contains(':') { "fd00:1::fe" } else { "10.1.0.254" };
        for (ttl, who) in [(1, gateway), (2, own)] {
            let report = a1.ping(far, &PingSpec::ttl(ttl))?;
            ensure!(
                report.text.contains(&format!("From {who}")),
                "{far} with TTL {ttl}: not from {who}: {}",
                report.text
            );
        }
    }
    // What is inside stays inside: other guests, the edge's own addresses.
    reaches(a1, a2, 64)?;
    a1.must_ping("203.0.113.254")?;
    a1.must_ping("2001:db8::fe")?;
    // It says so.
    let simulated = ["trace", "a1", "--to", FAR[0], "--icmp", "--simulate"];
    for words in
        [&["trace", "a1", "--to", FAR[0], "--icmp"][..], &["trace", "a1", "--to", FAR[1], "--icmp"], &simulated]
    {
        lab.wait_until(&format!("{words:?} to tell it"), PATIENCE, || {
            let output = lab.tpctl_output(words)?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            ensure!(
                output.status.success() && text.contains("leaves R by the own IP stack of hv1"),
                "{words:?}: {text}"
            );
            println!("tpctl {}\n{text}", words.join(" "));
            Ok(())
        })?;
    }
    let status = lab.tpctl(&["status"])?;
    ensure!(status.contains("hv1 sends IPv4 and IPv6 for the outside by its own IP stack"), "{status}");

    // Nothing comes in that way.
    let capture = a1.capture()?;
    hv1.netns()?.ip(&format!(
        "route add 10.1.0.1/32 dev {DEVICE}\nneigh replace 10.1.0.1 lladdr {} dev {DEVICE}\n",
        a1.mac()
    ))?;
    let asked = hv1.netns()?.output(&["ping", "-c", "2", "-i", "0.2", "-W", "1", "-I", OWN[0], "10.1.0.1"])?;
    hv1.netns()?.ip(&format!("route del 10.1.0.1/32 dev {DEVICE}\n"))?;
    ensure!(!asked.status.success() && sources(&capture, OWN[0])?.is_empty(), "hv1's own packets came in");

    // A restart of the agent changes nothing, and loses nothing.
    let flows = flow_set(hv1)?;
    let probe = a1.probe(FAR[0], Duration::from_millis(10))?;
    agent.kill9()?;
    agent.start()?;
    agent.wait_settled(PATIENCE)?;
    let report = probe.stop()?;
    ensure!(report.lost.is_empty() && report.duplicates == 0, "{report}");
    let changes = flow_changes(&flows, &flow_set(hv1)?);
    ensure!(changes.is_empty(), "{changes:#?}");

    // What a NAT rule covers goes to be translated, and only that.
    lab.tpctl(&["lnat", "add", "E", "all4", "10.1.0.0/24", "snat", "203.0.113.5"])?;
    lab.wait_until("the rule to be in force", PATIENCE, || {
        let capture = x1.capture()?;
        a1.must_ping(FAR[0])?;
        let (plain, translated) = (sources(&capture, "10.1.0.1")?, sources(&capture, "203.0.113.5")?);
        ensure!(
            plain.is_empty() && translated.contains(&edge),
            "untranslated from {plain:?}, translated from {translated:?}"
        );
        Ok(())
    })?;
    let capture = x1.capture()?;
    a1.send_tcp(x1, FAR[0], MB)?;
    ensure!(sources(&capture, "10.1.0.1")?.is_empty(), "an inner address was seen outside");
    bed.leaves_by(&own, &FAR[1..])?;
    lab.tpctl(&["-y", "lnat", "del", "E", "all4"])?;
    bed.leaves_by(&own, &FAR)?;

    // What people break is mended.
    hv1.vsctl(&["del-port", "br-int", DEVICE])?;
    bed.leaves_by(&own, &FAR)?;
    hv1.netns()?.ip(&format!("link set {DEVICE} down\n"))?;
    bed.leaves_by(&own, &FAR)?;
    hv1.netns()?.sysctl(&format!("net/ipv4/conf/{DEVICE}/forwarding"), "0")?;
    bed.leaves_by(&own, &FAR)?;

    // One family, and none.
    bed.restart(&["--untunnel=ipv6"])?;
    bed.leaves_by(&edge, &FAR[..1])?;
    bed.leaves_by(&own, &FAR[1..])?;
    bed.restart(&[])?;
    bed.leaves_by(&edge, &FAR)?;
    let gone = |hv1: &Host| -> Result<()> {
        ensure!(!hv1.vsctl(&["list-ports", "br-int"])?.contains(DEVICE), "{DEVICE} is still there");
        let noted = hv1.vsctl(&["get", "Open_vSwitch", ".", "external_ids"])?;
        ensure!(!noted.contains("tuplenet-sysctl"), "{noted}");
        ensure!(state(hv1)? == before, "{:?}, not {before:?}", state(hv1)?);
        Ok(())
    };
    bed.lab.wait_until("hv1 to be as it was", PATIENCE, || gone(&bed.hosts[0]))?;

    // And cleaned up.
    bed.restart(&["--untunnel"])?;
    bed.leaves_by(&own, &FAR)?;
    bed.agents[0].term()?;
    let hv1 = &bed.hosts[0];
    let tuplenet = program("tuplenet")?.to_string_lossy().into_owned();
    let (ovsdb, of) = (format!("unix:{}", hv1.ovsdb_socket().display()), format!("unix:{}", hv1.of_socket().display()));
    let (store, ip) = (bed.lab.endpoints()?, hv1.encap_ip().to_string());
    let words = ["agent", "--cleanup", "--store", &store, "--encap-ip", &ip, "--ovsdb", &ovsdb, "--of", &of];
    hv1.netns()?.run(&[&[tuplenet.as_str()][..], &words].concat())?;
    gone(hv1)
}
