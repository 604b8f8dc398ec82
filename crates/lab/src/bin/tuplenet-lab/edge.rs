//! The demo's chapter on the outside: two edges between virtual and physical network, one of which is lost.
//!
//! ```text
//!   a1, a2 on hv1 (10.20.1.11, .12) --- LS-A --- LR-central, on every host
//!                                       /            \
//!                        edge1 on hv2 (203.0.113.2)   edge2 on hv3 (203.0.113.3)
//!                                       \            /
//!                     the physical network 203.0.113.0/24 --- gw (203.0.113.1), plain Linux
//!                                                              |
//!                                                     www (198.18.30.10), plain Linux
//! ```

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use tuplenet_lab::{Agent, Host, Lab, Physical, PingSpec, Vm, VmSpec, WebServer};

use crate::{
    common::{PATIENCE, frame, show, start_agents, write_environment},
    story::Story,
};

const WWW: [&str; 2] = ["198.18.30.10", "2001:db8:30::10"];
/// The external addresses of the service that a1 offers.
const PUBLISHED: [&str; 2] = ["203.0.113.10", "2001:db8::10"];
/// What the web servers serve.
const PAGE: &str = "index.html";

/// Longest time until traffic has moved, on a machine that is busy.
const MOVED: Duration = Duration::from_secs(1);

struct Stage {
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    a1: Vm,
    a2: Vm,
    www: Vm,
}

/// Runs it; `keep` leaves it running.
///
/// # Errors
/// Something did not come up, or what must arrive did not.
pub fn run(keep: bool) -> Result<()> {
    let mut story = Story::new();
    story.say("TupleNet: from the virtual to the physical network by two edges.");
    let try_it = format!("tpctl edge show; on a1 ping -c 3 {}; on hv2 ovs-ofctl dump-flows br-int", WWW[0]);
    frame(&mut story, "demo-edge", keep, &try_it, tell)
}

fn tell(story: &mut Story, lab: &Lab) -> Result<()> {
    let stage = set(story, lab)?;
    go_out(story, lab, &stage)?;
    publish(story, lab, &stage)?;
    second_edge(story, lab, &stage)?;
    lose_one(story, &stage)
}

/// Hosts, what is outside of them, agents, a virtual network.
fn set(story: &mut Story, lab: &Lab) -> Result<Stage> {
    story.step("Three hosts, and a physical network");
    let hosts = lab.hosts(&["hv1", "hv2", "hv3"])?;
    let physical = lab.physical("switch")?;
    for host in hosts.iter().skip(1) {
        physical.cable(host, "br-ex")?;
        story.command(&format!("{}# ovs-vsctl add-br br-ex -- add-port br-ex eth-ext", host.name()));
    }
    story.say("hv1 has VMs only. hv2 and hv3 have a second network card, which leads to the physical network; each has it on a bridge br-ex.");
    let (gw, www) = outside(&physical)?;
    story.say(&format!(
        "Outside everything is plain Linux: the router gw (203.0.113.1), and behind it the server www ({}, {}). They know no\nroute to our VMs.",
        WWW[0], WWW[1]
    ));
    story.step("An agent on each host, and a network with two VMs");
    let agents = start_agents(story, lab, &hosts)?;
    show(story, lab, &["ls", "add", "LS-A"])?;
    show(story, lab, &["lr", "add", "LR-central"])?;
    show(story, lab, &["lr", "link", "LR-central", "LS-A", "10.20.1.1/24,fd00:20:1::1/64"])?;
    let mut vms = Vec::new();
    for (name, last) in [("a1", 11), ("a2", 12)] {
        let (v4, v6) = (format!("10.20.1.{last}"), format!("fd00:20:1::{last}"));
        show(story, lab, &["lsp", "add", "LS-A", name, &format!("{v4},{v6}")])?;
        let spec = VmSpec::new(name).address(&format!("{v4}/24")).address(&format!("{v6}/64"));
        vms.push(hosts.first().context("no hosts")?.vm(&spec.gateway("10.20.1.1").gateway("fd00:20:1::1"))?);
    }
    let [a1, a2] = vms.try_into().ok().context("two VMs")?;
    write_environment(lab, &hosts, &[a1.clone(), a2.clone(), gw, www.clone()])?;
    Ok(Stage { hosts, agents, a1, a2, www })
}

/// The router and the server outside.
fn outside(physical: &Physical) -> Result<(Vm, Vm)> {
    let gw = physical.machine(&VmSpec::new("gw").address("203.0.113.1/24").address("2001:db8::1/64"), None)?;
    physical.card(&gw, "eth1", Some(30))?;
    gw.netns().ip("address add 198.18.30.1/24 dev eth1\naddress add 2001:db8:30::1/64 dev eth1 nodad\n")?;
    for variable in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        gw.netns().sysctl(variable, "1")?;
    }
    let www = VmSpec::new("www")
        .address(&format!("{}/24", WWW[0]))
        .address(&format!("{}/64", WWW[1]))
        .gateway("198.18.30.1")
        .gateway("2001:db8:30::1");
    Ok((gw, physical.machine(&www, Some(30))?))
}

/// Pings these addresses, and says how it went.
fn ping(story: &Story, from: &Vm, name: &str, addresses: &[&str]) -> Result<()> {
    for address in addresses {
        from.wait_ping(address, PATIENCE)?;
        let report = from.ping(address, &PingSpec::default())?;
        let ttl = report.ttls.first().map_or(String::new(), |ttl| format!(", TTL {ttl}"));
        let text =
            format!("{} -> {name} {address:<16} {} of {} answered{ttl}", from.name(), report.received, report.sent);
        story.result(report.all(), &text);
        ensure!(report.all(), "{}", report.text);
    }
    Ok(())
}

/// Gets a page, and says whom the server saw.
fn get(story: &Story, from: &Vm, address: &str, server: &WebServer, directory: &std::path::Path) -> Result<()> {
    let before = server.clients().len();
    from.get_http(address, directory, PAGE)?;
    let clients = server.clients();
    let client = clients.get(before).context("the server did not log who asked")?;
    story.result(true, &format!("{} got the page from {address}, whose log says that {client} asked", from.name()));
    Ok(())
}

fn go_out(story: &mut Story, lab: &Lab, stage: &Stage) -> Result<()> {
    story.step("The first edge");
    story.say("A router on hv2 that has an address in the physical network, and a switch between it and ours: one command. What\ncomes from our VMs leaves by the edge's own address.");
    show(
        story,
        lab,
        &[
            "edge",
            "init",
            "--chassis",
            "hv2",
            "--bridge",
            "br-ex",
            "--vip",
            "203.0.113.2/24,2001:db8::2/64",
            "--virt",
            "10.20.0.0/16,fd00:20::/32",
            "--ext-gw",
            "203.0.113.1,2001:db8::1",
            "--snat",
            "203.0.113.2,2001:db8::2",
            "-y",
        ],
    )?;
    ping(story, &stage.a1, "www", &WWW)?;
    let directory = page(lab)?;
    let server = stage.www.serve_http(&directory)?;
    get(story, &stage.a1, WWW[0], &server, &directory)?;
    get(story, &stage.a1, WWW[1], &server, &directory)?;
    story.step("The way of a packet to the outside");
    story.say(
        "hv1 routes it to the edge; on hv2 it gets the edge's address, and the patch port to br-ex is where it leaves:",
    );
    show(story, lab, &["trace", "a1", "--to", WWW[0], "--tcp", "80", "-o", "table"])
}

fn page(lab: &Lab) -> Result<std::path::PathBuf> {
    let directory = lab.directory().join("www");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(PAGE), "<p>It arrives.\n")?;
    Ok(directory)
}

fn publish(story: &mut Story, lab: &Lab, stage: &Stage) -> Result<()> {
    story.step("A service of ours for the outside");
    story.say("a1 has a web server. Its address outside is no machine's: the edge answers for it.");
    let directory = page(lab)?;
    let server = stage.a1.serve_http(&directory)?;
    for (name, external, inner) in [("web", PUBLISHED[0], "10.20.1.11"), ("web6", PUBLISHED[1], "fd00:20:1::11")] {
        show(story, lab, &["lnat", "add", "edge1", name, inner, "floating", external])?;
    }
    ping(story, &stage.www, "a1 ", &PUBLISHED)?;
    get(story, &stage.www, PUBLISHED[0], &server, &directory)?;
    get(story, &stage.www, PUBLISHED[1], &server, &directory)?;
    Ok(())
}

fn second_edge(story: &mut Story, lab: &Lab, stage: &Stage) -> Result<()> {
    story.step("A second edge");
    story.say("The same on hv3: the rest of it is taken from the first. From now on both are in use, each by a share of the connections;\nwhat has an address outside goes on by the edge that has it.");
    show(
        story,
        lab,
        &[
            "edge",
            "add",
            "--chassis",
            "hv3",
            "--bridge",
            "br-ex",
            "--vip",
            "203.0.113.3/24,2001:db8::3/64",
            "--snat",
            "203.0.113.3,2001:db8::3",
            "-y",
        ],
    )?;
    // A new edge is used once BFD says that it is there, and then at once by its share of what goes on: pings are for afterwards.
    for host in &stage.hosts {
        lab.wait_until("the edges to be watched", PATIENCE, || host.watches(2))?;
    }
    lab.wait_until("tpctl to know it", PATIENCE, || {
        let shown = lab.tpctl(&["edge", "show"])?;
        ensure!(shown.matches("up at 2").count() == 2, "{shown}");
        Ok(())
    })?;
    let shares = lab.wait_until("both edges to be in use", PATIENCE, || {
        let before = sent(stage)?;
        let probe = stage.a2.probe_flows(&stage.www, WWW[0], Duration::from_millis(5), 32)?;
        std::thread::sleep(Duration::from_secs(1));
        let report = probe.stop()?;
        ensure!(report.lost.is_empty(), "{report}");
        let shares: Vec<u64> = sent(stage)?.into_iter().zip(before).map(|(after, before)| after - before).collect();
        ensure!(shares.iter().all(|share| *share >= 20), "{shares:?}");
        Ok(shares)
    })?;
    story.result(
        true,
        &format!("a2 sent 200 datagrams from 32 ports, none was lost: by edge1 and edge2 left {shares:?} frames"),
    );
    ping(story, &stage.a2, "www", &WWW)?;
    show(story, lab, &["edge", "show"])?;
    ping(story, &stage.www, "a1 ", &PUBLISHED)
}

/// What each edge has sent to the physical network.
fn sent(stage: &Stage) -> Result<Vec<u64>> {
    stage.hosts.iter().skip(1).map(sent_outside).collect()
}

/// Frames that a host has sent to the physical network.
fn sent_outside(host: &Host) -> Result<u64> {
    let text = host.ofctl(&["dump-ports", "br-ex", "eth-ext"])?;
    let sent = text.lines().find_map(|line| line.trim().strip_prefix("tx pkts="));
    let sent = sent.and_then(|rest| rest.split(',').next()?.parse().ok());
    sent.with_context(|| format!("no counter in {text}"))
}

/// The edge by which a ping leaves: its number, counted from what each has sent meanwhile.
fn carrier(stage: &Stage) -> Result<usize> {
    let before = sent(stage)?;
    std::thread::sleep(Duration::from_millis(500));
    let sent = sent(stage)?.into_iter().zip(before).map(|(after, before)| after - before);
    sent.enumerate().max_by_key(|(_, sent)| *sent).map(|(edge, _)| edge + 1).context("there are no edges")
}

/// The switch of the edge that carries a ping is killed, and started again.
fn lose_one(story: &mut Story, stage: &Stage) -> Result<()> {
    story.step("An edge is lost");
    let www = WWW[0];
    let probe = stage.a2.probe(www, Duration::from_millis(10))?;
    let edge = carrier(stage)?;
    let host = stage.hosts.get(edge).context("no host of the edge")?;
    story
        .say(&format!("a2 pings {www} a hundred times a second. It leaves by edge{edge}. There we kill Open vSwitch:"));
    story.command(&format!("{}# kill -9 $(pidof ovs-vswitchd)", host.name()));
    let at = probe.elapsed();
    host.vswitchd()?.kill9()?;
    std::thread::sleep(Duration::from_secs(3));
    let report = probe.stop()?;
    let last = report.lost.iter().map(|lost| lost.at).max();
    let good = last.is_none_or(|last| last < at + MOVED);
    let after =
        last.map_or(String::new(), |last| format!(", the last {:.2?} after the failure", last.saturating_sub(at)));
    story.result(
        good,
        &format!("{} of {} pings lost{after}: the rest goes by the other edge", report.lost.len(), report.sent),
    );
    story.say(
        "Nobody was asked: hv1's switch heard no more from the edge (BFD, three times 100 ms), and took the other one.",
    );
    ensure!(good, "traffic did not move in time: {report}");

    story.step("It returns");
    let probe = stage.a2.probe(www, Duration::from_millis(10))?;
    story.command(&format!("{}# ovs-vswitchd --detach", host.name()));
    host.start_vswitchd()?;
    stage.agents.get(edge).context("no agent of the edge")?.wait_settled(PATIENCE)?;
    // BFD comes up, and the edge says that it is ready.
    std::thread::sleep(Duration::from_secs(4));
    let report = probe.stop()?;
    let good = report.lost.is_empty();
    story.result(good, &format!("{} of {} pings lost", report.lost.len(), report.sent));
    ensure!(good, "the return lost something: {report}");
    Ok(())
}
