//! The demo: two hosts and one virtual network, made step by step and told as it goes.
//!
//! ```text
//!            LS-A 10.20.1.0/24, fd00:20:1::/64         LS-B 10.20.2.0/24, fd00:20:2::/64
//!            a1 on hv1, a2 on hv2                      b1 on hv1, b2 on hv2
//!                             \                       /
//!                              +---- LR-central ----+
//! ```

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tuplenet_lab::{Host, Lab, PingSpec, Vm, VmSpec, command};

use crate::{
    common::{PATIENCE, frame, show, start_agents, write_environment},
    story::Story,
};

/// A guest of the demo.
struct Guest {
    name: &'static str,
    /// Index of its host.
    host: usize,
    switch: &'static str,
    /// Third number of its addresses, and the last.
    place: (u8, u8),
}

const GUESTS: [Guest; 4] = [
    Guest { name: "a1", host: 0, switch: "LS-A", place: (1, 11) },
    Guest { name: "a2", host: 1, switch: "LS-A", place: (1, 12) },
    Guest { name: "b1", host: 0, switch: "LS-B", place: (2, 11) },
    Guest { name: "b2", host: 1, switch: "LS-B", place: (2, 12) },
];

fn ipv4(place: (u8, u8)) -> String {
    format!("10.20.{}.{}", place.0, place.1)
}

fn ipv6(place: (u8, u8)) -> String {
    format!("fd00:20:{}::{}", place.0, place.1)
}

/// Runs the demo; `keep` leaves it running.
///
/// # Errors
/// Something did not come up, or a ping was not answered.
pub fn run(keep: bool) -> Result<()> {
    let mut story = Story::new();
    story.say("TupleNet: two hosts, one virtual network.");
    let try_it =
        format!("tpctl ls show; on a1 ping -c 3 {}; on hv1 ovs-ofctl dump-flows br-int", ipv4(GUESTS[3].place));
    frame(&mut story, "demo", keep, &try_it, tell)
}

fn tell(story: &mut Story, lab: &Lab) -> Result<()> {
    let hosts = make_hosts(story, lab)?;
    story.step("One agent a host; the one of hv1 runs the store too");
    start_agents(story, lab, &hosts)?;
    story.say("Each agent has made br-int and a Geneve port, and registered its host.");
    make_network(story, lab)?;
    let vms = plug(story, lab, &hosts)?;
    write_environment(lab, &hosts, &vms)?;
    let answered = pings(story, &vms)?;
    topology(story, lab, &hosts)?;
    traces(story, lab)?;
    ensure!(answered, "not all pings were answered, see above");
    Ok(())
}

fn make_hosts(story: &mut Story, lab: &Lab) -> Result<Vec<Host>> {
    story.step("Two hosts");
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    for host in &hosts {
        story.say(&format!(
            "{}: a network namespace with an ovsdb-server and an ovs-vswitchd of its own (userspace datapath), underlay address {}",
            host.name(),
            host.encap_ip()
        ));
    }
    Ok(hosts)
}

fn make_network(story: &mut Story, lab: &Lab) -> Result<()> {
    story.step("The network: two switches, and a router between them");
    for switch in ["LS-A", "LS-B"] {
        show(story, lab, &["ls", "add", switch])?;
    }
    show(story, lab, &["lr", "add", "LR-central"])?;
    show(story, lab, &["lr", "link", "LR-central", "LS-A", "10.20.1.1/24,fd00:20:1::1/64"])?;
    show(story, lab, &["lr", "link", "LR-central", "LS-B", "10.20.2.1/24,fd00:20:2::1/64"])?;
    for guest in &GUESTS {
        let ips = format!("{},{}", ipv4(guest.place), ipv6(guest.place));
        show(story, lab, &["lsp", "add", guest.switch, guest.name, &ips])?;
    }
    Ok(())
}

fn plug(story: &mut Story, lab: &Lab, hosts: &[Host]) -> Result<Vec<Vm>> {
    story.step("Four VMs (namespaces with an eth0), each plugged into its host's br-int");
    let start = Instant::now();
    let mut vms = Vec::new();
    for guest in &GUESTS {
        let host = hosts.get(guest.host).context("a guest's host is missing")?;
        let gateway = (guest.place.0, 1);
        let spec = VmSpec::new(guest.name)
            .address(&format!("{}/24", ipv4(guest.place)))
            .address(&format!("{}/64", ipv6(guest.place)))
            .gateway(&ipv4(gateway))
            .gateway(&ipv6(gateway));
        let vm = host.vm(&spec)?;
        story.command(&format!(
            "{}# ovs-vsctl add-port br-int {port} -- set Interface {port} external_ids:iface-id={}",
            host.name(),
            guest.name,
            port = vm.device()
        ));
        vms.push(vm);
    }
    let plugged = Instant::now();
    for vm in &vms {
        for target in &GUESTS {
            vm.wait_ping(&ipv4(target.place), PATIENCE)?;
            vm.wait_ping(&ipv6(target.place), PATIENCE)?;
        }
    }
    story.say(&format!(
        "Making them took {:.1?}; after another {:.1?} everyone had reached everyone.",
        plugged - start,
        plugged.elapsed()
    ));
    show(story, lab, &["lsp", "show", "LS-A"])?;
    Ok(vms)
}

/// Pings from the first guest to all others and to the router, in both families; whether all were answered.
fn pings(story: &mut Story, vms: &[Vm]) -> Result<bool> {
    story.step("Pings: within a switch and across the router, in both families");
    let (first, from) = (vms.first().context("no guests")?, &GUESTS[0]);
    let mut targets = vec![("the router, on the own switch", (1, 1)), ("the router, on the other switch", (2, 1))];
    for guest in &GUESTS[1..] {
        targets.push((
            match (guest.switch == from.switch, guest.host == from.host) {
                (true, true) => "same switch, same host",
                (true, false) => "same switch, other host",
                (false, true) => "other switch, same host",
                (false, false) => "other switch, other host",
            },
            guest.place,
        ));
    }
    let mut all = true;
    for (what, place) in targets {
        for address in [ipv4(place), ipv6(place)] {
            let report = first.ping(&address, &PingSpec::default())?;
            all &= report.all();
            let name = GUESTS.iter().find(|guest| guest.place == place).map_or("LR-central", |guest| guest.name);
            let ttl = report.ttls.first().map_or(String::new(), |ttl| format!(", TTL {ttl}"));
            let text = format!(
                "{} -> {name:<10} {address:<14} {} of {} answered{ttl:<9}  {what}",
                first.name(),
                report.received,
                report.sent
            );
            story.result(report.all(), &text);
            if !report.all() {
                story.output(&report.text);
            }
        }
    }
    Ok(all)
}

fn topology(story: &mut Story, lab: &Lab, hosts: &[Host]) -> Result<()> {
    story.step("What there is now");
    show(story, lab, &["ls", "show"])?;
    show(story, lab, &["lr", "show"])?;
    show(story, lab, &["lrp", "show", "LR-central"])?;
    show(story, lab, &["graph", "--format", "text"])?;
    show(story, lab, &["graph", "--format", "text", "--physical"])?;
    for host in hosts {
        story.command(&format!("{}# ovs-ofctl dump-flows br-int", host.name()));
        story.say(&format!("  {} flows", host.flows()?.len()));
    }
    let first = hosts.first().context("no hosts")?;
    let flows = first.flows()?;
    let route = flows.iter().find(|flow| flow.contains("nw_dst=10.20.2.0/24")).context("no flow of a route")?;
    story.say("Each names the rule that made it and its object, so that any of them can be explained:");
    show(story, lab, &["explain", "flow", route])
}

/// Packets that show their way, and why one does not arrive.
fn traces(story: &mut Story, lab: &Lab) -> Result<()> {
    story.step("The way of one packet");
    story.say(
        "A real echo request, coloured: each host on the way says where it passes. The router is on every host that needs it:\n\
         hv1 routes the packet itself, and it crosses once, within LS-B.",
    );
    let to = ipv4(GUESTS[3].place);
    show(story, lab, &["trace", "a1", "--to", &to, "-o", "table"])?;
    story.say("And one that does not arrive:");
    let trace = ["trace", "a1", "--to", "10.9.9.9", "-o", "table"];
    story.command(&format!("tpctl {}", command::text(&trace)));
    let lost = lab.tpctl_output(&trace)?;
    story.output(&String::from_utf8_lossy(&lost.stdout));
    ensure!(lost.status.code() == Some(1), "a packet to nowhere should be dropped: {lost:?}");
    let route = ["lsr", "add", "LR-central", "beyond", "10.9.9.0/24", &to, "LR-central_to_LS-B"];
    show(story, lab, &route)?;
    // Milliseconds later the route is on every host.
    lab.wait_until("the route to be in the switch", PATIENCE, || lab.tpctl(&trace))?;
    show(story, lab, &trace)?;
    story.say("Now b2 gets it, which is what the route says.");
    show(story, lab, &["lsr", "del", "LR-central", "beyond", "-y"])
}
