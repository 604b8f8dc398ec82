//! The demo: two hosts and one virtual network, made step by step and told as it goes.
//!
//! ```text
//!            LS-A 10.20.1.0/24, fd00:20:1::/64         LS-B 10.20.2.0/24, fd00:20:2::/64
//!            a1 on hv1, a2 on hv2                      b1 on hv1, b2 on hv2
//!                             \                       /
//!                              +---- LR-central ----+
//! ```

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tuplenet_lab::{AgentSpec, Host, Lab, PingSpec, Vm, VmSpec, command, program};

use crate::story::Story;

/// Longest wait for anything, on a machine that is busy with something else too.
const PATIENCE: Duration = Duration::from_secs(30);

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
    for name in ["tuplenet", "tpctl"] {
        program(name)?;
    }
    story.say("TupleNet: two hosts, one virtual network.\nAll of it in network namespaces of this machine, whose own network is left alone.");
    let lab = Lab::new("demo")?;
    let done = tell(&mut story, &lab);
    match &done {
        Ok(_) if keep => {
            lab.keep()?;
            let directory = lab.directory().display();
            story.step("It runs on");
            story.say(&format!(
                "Use it:  source {directory}/env; tpctl ls show; on a1 ping -c 3 {}; on hv1 ovs-ofctl dump-flows br-int",
                ipv4(GUESTS[3].place)
            ));
            story.say("End it:  make demo-stop");
        }
        Ok(_) => {
            story.step("The end");
            let start = Instant::now();
            drop(lab);
            story.say(&format!(
                "All processes and namespaces are removed ({:.1?}). `make demo KEEP=1` leaves them running.",
                start.elapsed()
            ));
        }
        // Then its end shows what the hosts look like.
        Err(_) => lab.fail(),
    }
    done
}

fn tell(story: &mut Story, lab: &Lab) -> Result<()> {
    let hosts = make_hosts(story, lab)?;
    start_agents(story, lab, &hosts)?;
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

fn start_agents(story: &mut Story, lab: &Lab, hosts: &[Host]) -> Result<()> {
    story.step("One agent a host; the one of hv1 runs the store too");
    for (index, host) in hosts.iter().enumerate() {
        let mut spec = AgentSpec::new();
        let mut shown = format!("{}# tuplenet agent --encap-ip {}", host.name(), host.encap_ip());
        if index == 0 {
            spec = spec.with_store();
            shown += &format!(" --with-store store.db --store-listen {}:2379", host.management_ip());
        } else {
            shown += &format!(" --store {}", lab.endpoints()?);
        }
        story.command(&shown);
        let agent = host.agent(&spec)?;
        agent.process().wait_ready(PATIENCE, || {
            let known = lab.tpctl(&["ch", "show"])?;
            ensure!(known.contains(host.name()), "the store does not know {} yet", host.name());
            Ok(())
        })?;
    }
    show(story, lab, &["ch", "show"])?;
    story.say("Each agent has made br-int and a Geneve port, and registered its host.");
    Ok(())
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

/// Runs `tpctl`, shown as a person would type it, and shows what it prints.
fn show(story: &Story, lab: &Lab, arguments: &[&str]) -> Result<()> {
    story.command(&format!("tpctl {}", command::text(arguments)));
    story.output(&lab.tpctl(arguments)?);
    Ok(())
}

/// A file to be sourced, with functions that act in the lab.
fn write_environment(lab: &Lab, hosts: &[Host], vms: &[Vm]) -> Result<()> {
    let mut text = format!(
        "# To be sourced by a shell: `tpctl ARGUMENTS`, and `on NAME COMMAND` where NAME is a host or a VM.\n\
         export TUPLENET_ENDPOINTS={}\n\
         tpctl() {{ nsenter --net={} -- {} \"$@\"; }}\n\
         on() {{\n  local name=$1\n  shift\n  case $name in\n",
        lab.endpoints()?,
        lab.management().path().display(),
        command::text(&[program("tpctl")?.to_string_lossy()]),
    );
    for host in hosts {
        text += &format!(
            "  {}) OVS_RUNDIR={} nsenter --net={} -- \"$@\" ;;\n",
            host.name(),
            host.directory().join("run").display(),
            host.netns()?.path().display()
        );
    }
    for vm in vms {
        text += &format!("  {}) nsenter --net={} -- \"$@\" ;;\n", vm.name(), vm.netns().path().display());
    }
    text += "  *) echo \"no host or VM $name\" >&2; return 2 ;;\n  esac\n}\n";
    fs::write(lab.directory().join("env"), text).context("cannot write the demo's env file")
}
