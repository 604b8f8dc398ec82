//! Several routes to one prefix, in real switches: who takes which of them, and who changes when a next hop dies, goes or comes. The figures are printed:
//! `cargo test -p tuplenet-lab --test ecmp -- --nocapture`.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tuplenet_lab::{Agent, AgentSpec, BUSY, Host, Lab, Probe, ProbeReport, Vm, trials, wait_until};

/// a1 is behind R; three guests in N are next hops to the same networks, the third on another host.
const NETWORK: &str = "
switches:
  A: {ports: {a1: '10.1.0.1, fd00:1::1'}}
  N: {ports: {n1: '10.2.0.1, fd00:2::1', n2: '10.2.0.2, fd00:2::2', n3: '10.2.0.3, fd00:2::3'}}
routers:
  R:
    links: {A: '10.1.0.254/24, fd00:1::fe/64', N: '10.2.0.254/24, fd00:2::fe/64'}
    routes:
      v4-1: {prefix: 198.51.100.0/24, next_hop: 10.2.0.1}
      v4-2: {prefix: 198.51.100.0/24, next_hop: 10.2.0.2}
      v4-3: {prefix: 198.51.100.0/24, next_hop: 10.2.0.3}
      v6-1: {prefix: 'fd99::/64', next_hop: 'fd00:2::1'}
      v6-2: {prefix: 'fd99::/64', next_hop: 'fd00:2::2'}
      v6-3: {prefix: 'fd99::/64', next_hop: 'fd00:2::3'}
";

/// How many connections are looked at.
const FLOWS: u16 = 120;
/// Longest time from the death of a next hop's link to the last lost packet. The switch hears of it at once; the slack is for a loaded machine. The same is promised where its
/// host is lost, which BFD finds in 3 x 100 ms.
const GRACE: Duration = Duration::from_millis(500);
/// Between two pings of a probe.
const INTERVAL: Duration = Duration::from_millis(10);

/// Which next hop a packet of a1 takes in the real switch now, by the register that has it.
fn choice(host: &Host, a1: &Vm, packet: &str) -> Result<String> {
    let (port, mac, gateway) = (a1.ofport()?, a1.mac(), "f2:01:0a:01:00:fe");
    let text = host.trace(&format!("in_port={port},dl_src={mac},dl_dst={gateway},{packet},nw_ttl=64"))?;
    let (_, member) = text.split_once(" 58. ").with_context(|| format!("no equal route was taken:\n{text}"))?;
    let fields: Vec<&str> = member.lines().next().unwrap_or_default().split([',', ' ']).collect();
    let register = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
    let hop = register("xxreg0=").or_else(|| register("reg3=")).or_else(|| register("reg0="));
    let hop = hop.with_context(|| format!("no next hop in: {member}"))?;
    Ok(hop.chars().rev().take(1).collect())
}

/// The same of many connections.
fn choices(host: &Host, a1: &Vm) -> Result<BTreeMap<u16, String>> {
    let packet = |n: u16| {
        if n.is_multiple_of(2) {
            format!("tcp,nw_src=10.1.0.1,nw_dst=198.51.100.{},tcp_src={},tcp_dst=80", n % 7, 10_000 + 31 * n)
        } else {
            format!("udp6,ipv6_src=fd00:1::1,ipv6_dst=fd99::{:x},udp_src={},udp_dst=53", n % 7, 20_000 + 17 * n)
        }
    };
    (0..FLOWS).map(|n| Ok((n, choice(host, a1, &packet(n))?))).collect()
}

/// And of pings to those networks.
fn pings(host: &Host, a1: &Vm) -> Result<BTreeMap<String, String>> {
    let mut hops = BTreeMap::new();
    for n in 0..24 {
        let (v4, v6) = (format!("198.51.100.{n}"), format!("fd99::{n:x}"));
        let packets = [
            format!("icmp,nw_src=10.1.0.1,nw_dst={v4},icmp_type=8"),
            format!("icmp6,ipv6_src=fd00:1::1,ipv6_dst={v6},icmpv6_type=128"),
        ];
        for (to, packet) in [v4, v6].into_iter().zip(packets) {
            hops.insert(to, choice(host, a1, &packet)?);
        }
    }
    Ok(hops)
}

fn shares<K>(choices: &BTreeMap<K, String>) -> BTreeMap<&str, usize> {
    choices.values().fold(BTreeMap::new(), |mut shares, hop| {
        *shares.entry(hop.as_str()).or_default() += 1;
        shares
    })
}

/// How many connections take another next hop than before, of those that had another one than `lost`.
fn moved<K: Ord>(before: &BTreeMap<K, String>, after: &BTreeMap<K, String>, lost: &str) -> usize {
    before.iter().filter(|(n, hop)| *hop != lost && after.get(n) != Some(hop)).count()
}

/// Makes each next hop the whole of both networks, and waits until a1 reaches all of it.
fn serve(a1: &Vm, hops: &[Vm]) -> Result<()> {
    for hop in hops {
        hop.netns().ip("route add local 198.51.100.0/24 dev lo\nroute add local fd99::/64 dev lo\n")?;
        reaches(a1, hop, 63)?;
    }
    for n in 0..12 {
        a1.wait_ping(&format!("198.51.100.{n}"), PATIENCE)?;
        a1.wait_ping(&format!("fd99::{n:x}"), PATIENCE)?;
    }
    Ok(())
}

/// Waits until each host watches all others, and would notice in time.
fn sessions(lab: &Lab, hosts: &[Host]) -> Result<()> {
    lab.wait_until("all hosts to watch each other", PATIENCE, || {
        hosts.iter().try_for_each(|host| host.watches(hosts.len() - 1))
    })
}

fn link(vm: &Vm, state: &str) -> Result<()> {
    vm.host().netns()?.ip(&format!("link set {} {state}\n", vm.device()))
}

#[test]
fn a_next_hop_that_dies_and_returns_moves_its_own_connections_only() -> Result<()> {
    let lab = Lab::new("ecmp")?;
    lab.store()?;
    let hosts = lab.hosts(&["hv1", "hv2"])?;
    // Nobody is to be taken for dead here because the machine has too much to do.
    let patient = AgentSpec::new().arguments(&["--bfd-interval", "500"]);
    let agents = hosts.iter().map(|host| host.agent(&patient)).collect::<Result<Vec<_>>>()?;
    for agent in &agents {
        agent.wait_settled(PATIENCE)?;
    }
    apply(&lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let a1 = hv1.vm(&spec("a1", 1, 1))?;
    let hops = [hv1.vm(&spec("n1", 2, 1))?, hv1.vm(&spec("n2", 2, 2))?, hv2.vm(&spec("n3", 2, 3))?];
    serve(&a1, &hops)?;
    sessions(&lab, &hosts)?;

    let all = choices(hv1, &a1)?;
    println!("connections by next hop: {:?}", shares(&all));
    ensure!(shares(&all).len() == 3 && shares(&all).values().all(|n| *n >= usize::from(FLOWS) / 6), "{all:?}");

    // What the simulator says of each is what the switch does, stage by stage.
    for to in ["198.51.100.7", "198.51.100.8", "198.51.100.9", "fd99::7", "fd99::8"] {
        for what in ["--icmp", "--tcp=80", "--udp=53"] {
            let words = ["trace", "a1", "--to", to, what];
            let real = hop_lines(&lab.tpctl(&words)?);
            let simulated = hop_lines(&lab.tpctl(&[&words[..], &["--simulate"]].concat())?);
            ensure!(real == simulated && !real.is_empty(), "{words:?}: {real:#?}\n{simulated:#?}");
        }
    }

    // The link of one dies under packets.
    let probe = a1.probe("198.51.100.1", Duration::from_millis(10))?;
    let probe6 = a1.probe("fd99::1", Duration::from_millis(10))?;
    std::thread::sleep(Duration::from_millis(300));
    // The one that the probe takes, if its link is here.
    let taken = choice(hv1, &a1, "icmp,nw_src=10.1.0.1,nw_dst=198.51.100.1,icmp_type=8")?;
    let dying = hops.iter().take(2).find(|hop| hop.name()[1..] == taken).unwrap_or(&hops[1]);
    let lost = dying.name()[1..].to_owned();
    let (died, begin) = (probe.elapsed(), Instant::now());
    link(dying, "down")?;
    let without = wait_until("nothing takes the dead next hop", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(!shares(&now).contains_key(lost.as_str()));
        Ok(now)
    })?;
    ensure!(moved(&all, &without, &lost) == 0, "{all:?}\n{without:?}");
    println!("n{lost} dead (seen after {:?}): {:?}, none of the others' moved", begin.elapsed(), shares(&without));
    link(dying, "up")?;
    wait_until("each takes its own next hop again", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(now == all, "{all:?}\n{now:?}");
        Ok(())
    })?;
    for (family, probe) in [("IPv4", probe), ("IPv6", probe6)] {
        let report = probe.stop()?;
        let last = report.lost.last().map(|lost| lost.at.saturating_sub(died));
        println!("{family}: {} of {} lost, the last one {last:?} after the link died", report.lost.len(), report.sent);
        ensure!(last.is_none_or(|last| last < GRACE + report.late), "{report:?}");
    }

    // A route deleted and made again; an agent that starts again.
    lab.tpctl(&["-y", "lsr", "del", "R", "v4-1"])?;
    lab.tpctl(&["-y", "lsr", "del", "R", "v6-1"])?;
    let without = wait_until("two next hops are left", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(shares(&now).len() == 2);
        Ok(now)
    })?;
    ensure!(moved(&all, &without, "1") == 0, "{all:?}\n{without:?}");
    println!("route to n1 deleted: {:?}, none of the others' moved", shares(&without));
    lab.tpctl(&["lsr", "add", "R", "v4-1", "198.51.100.0/24", "10.2.0.1", "R_to_N"])?;
    lab.tpctl(&["lsr", "add", "R", "v6-1", "fd99::/64", "fd00:2::1", "R_to_N"])?;
    wait_until("all is as before", PATIENCE, || {
        ensure!(choices(hv1, &a1)? == all);
        Ok(())
    })?;
    let groups = || hv1.ofctl(&["-O", "OpenFlow15", "dump-groups", "br-int"]);
    let (flows, before) = (flow_set(hv1)?, groups()?);
    agents[0].kill9()?;
    agents[0].start()?;
    agents[0].wait_settled(PATIENCE)?;
    ensure!(flow_set(hv1)? == flows && groups()? == before, "an agent that starts again changes groups");
    ensure!(agents[0].metric("group_mods_total")? == 0.0, "{}", agents[0].log_text());

    // Nobody is left that lives: better one that seems dead than none, and each connection the one that it had with all alive.
    lab.tpctl(&["-y", "lsr", "del", "R", "v4-3"])?;
    lab.tpctl(&["-y", "lsr", "del", "R", "v6-3"])?;
    let two = wait_until("two next hops are left", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(shares(&now).len() == 2);
        Ok(now)
    })?;
    link(&hops[0], "down")?;
    wait_until("all go to the other", PATIENCE, || {
        ensure!(shares(&choices(hv1, &a1)?).len() == 1);
        Ok(())
    })?;
    link(&hops[1], "down")?;
    let last = wait_until("each takes its own again", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(now == two, "{:?}", shares(&now));
        Ok(now)
    })?;
    println!("all dead: {:?}", shares(&last));
    Ok(())
}

/// What happens to the host of a next hop, and how it is mended.
struct Fault {
    name: &'static str,
    fail: fn(&Host, &Agent) -> Result<()>,
    mend: fn(&Host, &Agent) -> Result<()>,
}

const FAULTS: [Fault; 2] = [
    Fault {
        name: "OVS alone",
        fail: |host, _| host.vswitchd()?.kill9().map(drop),
        mend: |host, _| host.start_vswitchd(),
    },
    Fault {
        name: "power",
        fail: |host, agent| {
            host.underlay_carrier(false)?;
            host.vswitchd()?.kill9()?;
            agent.kill9().map(drop)
        },
        mend: |host, agent| {
            host.start_vswitchd()?;
            host.underlay_carrier(true)?;
            agent.start()
        },
    },
];

/// What went wrong, if anything, when the host of n3 was lost in this way under pings that it carried and others; and by how much the machine was late meanwhile.
fn trial(bed: &Bed, fault: &Fault) -> Result<(Vec<String>, Duration)> {
    let (hv1, a1) = (&bed.hosts[0], &bed.a1);
    let (host, agent) = (&bed.hosts[2], &bed.agents[2]);
    // Two pings of each family that n3 has, and one that is to stay where it is.
    let chosen = |ways: &BTreeMap<String, String>| -> Vec<String> {
        let of = |v6: bool, lost: bool| {
            let these = ways.iter().filter(move |(to, hop)| to.contains(':') == v6 && (*hop == "3") == lost);
            these.map(|(to, _)| to.clone())
        };
        of(false, true).take(2).chain(of(true, true).take(2)).chain(of(false, false).take(1)).collect()
    };
    let ways = bed.lab.wait_until("all next hops to be in use", PATIENCE, || {
        let now = pings(hv1, a1)?;
        ensure!(chosen(&now).len() == 5 && pings(hv1, a1)? == now, "{now:?}");
        Ok(now)
    })?;
    let to = chosen(&ways);
    let probes = || to.iter().map(|to| a1.probe(to, INTERVAL)).collect::<Result<Vec<Probe>>>();
    let stop = |probes: Vec<Probe>| probes.into_iter().map(Probe::stop).collect::<Result<Vec<ProbeReport>>>();

    let running = probes()?;
    std::thread::sleep(Duration::from_secs(1));
    bed.sessions()?;
    let at = running.first().context("no probes")?.elapsed();
    (fault.fail)(host, agent).with_context(|| format!("{}: cannot be made", fault.name))?;
    // Others may be taken for dead for a moment, where the machine has too much to do.
    bed.lab.wait_until("its pings, and no others, to take other next hops", PATIENCE, || {
        let now = pings(hv1, a1)?;
        ensure!(!shares(&now).contains_key("3") && moved(&ways, &now, "3") == 0, "{ways:?}\n{now:?}");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(1));
    let reports = stop(running)?;
    let lost: usize = reports.iter().map(|report| report.lost.len()).sum();
    let last = reports.iter().filter_map(|report| report.lost.last()).map(|lost| lost.at).max();
    let window = last.map(|last| last.saturating_sub(at));

    let running = probes()?;
    std::thread::sleep(Duration::from_millis(300));
    (fault.mend)(host, agent).with_context(|| format!("{}: cannot be mended", fault.name))?;
    agent.wait_settled(PATIENCE)?;
    bed.sessions()?;
    bed.lab.wait_until("each takes its own again", PATIENCE, || {
        let now = pings(hv1, a1)?;
        ensure!(now == ways, "{:?}", shares(&now));
        Ok(())
    })?;
    std::thread::sleep(Duration::from_millis(500));
    let returned = stop(running)?;
    let lost_at_return: usize = returned.iter().map(|report| report.lost.len()).sum();
    let late = reports.iter().chain(&returned).map(|report| report.late).max().unwrap_or_default();
    println!(
        "{}: {lost} of {} lost, the last {window:.0?} after it; at the return {lost_at_return} of {}; the machine was late by {late:.0?}",
        fault.name,
        reports.iter().map(|report| report.sent).sum::<u64>(),
        returned.iter().map(|report| report.sent).sum::<u64>(),
    );
    let mut wrong = Vec::new();
    let limit = if late < BUSY { GRACE } else { 2 * GRACE };
    if window.is_none_or(|window| window >= limit) {
        wrong.push(format!("{}: it failed at {at:?}, and lost until {window:?} after it: {reports:?}", fault.name));
    }
    if reports.last().is_none_or(|report| !report.lost.is_empty()) {
        wrong.push(format!("{}: lost of what did not go there: {reports:?}", fault.name));
    }
    if lost_at_return > 0 {
        wrong.push(format!("{}: lost at the return: {returned:?}", fault.name));
    }
    Ok((wrong, late))
}

struct Bed {
    lab: Lab,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    a1: Vm,
    /// They live as long as this does.
    _hops: [Vm; 3],
}

impl Bed {
    /// One next hop on each of three hosts.
    fn new() -> Result<Self> {
        let lab = Lab::new("ecmp-guest")?;
        lab.store()?;
        let (hosts, agents) = hosts(&lab, 3)?;
        apply(&lab, NETWORK)?;
        let a1 = hosts[0].vm(&spec("a1", 1, 1))?;
        let hop = |host: usize| hosts[host].vm(&spec(&format!("n{}", host + 1), 2, host as u8 + 1));
        let hops = [hop(0)?, hop(1)?, hop(2)?];
        serve(&a1, &hops)?;
        Ok(Bed { lab, hosts, agents, a1, _hops: hops })
    }

    fn sessions(&self) -> Result<()> {
        sessions(&self.lab, &self.hosts)
    }
}

#[test]
fn a_next_hop_whose_host_is_lost_is_left_in_time() -> Result<()> {
    let bed = Bed::new()?;
    bed.sessions()?;
    let mut failures = Vec::new();
    for fault in &FAULTS {
        failures.extend(trials(|| trial(&bed, fault))?);
    }
    if !failures.is_empty() {
        bed.lab.fail();
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));

    // One of three ways is left, and nobody is watched for it; all of them again, and all is as it was.
    let states = || bed.hosts.iter().map(switch_state).collect::<Result<Vec<_>>>();
    let before = states()?;
    let routes = [("v4", "198.51.100.0/24", ["10.2.0.2", "10.2.0.3"]), ("v6", "fd99::/64", ["fd00:2::2", "fd00:2::3"])];
    for (family, _, hops) in routes {
        for n in 0..hops.len() {
            bed.lab.tpctl(&["-y", "lsr", "del", "R", &format!("{family}-{}", n + 2)])?;
        }
    }
    bed.lab.wait_until("nobody to be watched", PATIENCE, || {
        for host in &bed.hosts {
            let text = host.appctl(&["bfd/show"])?;
            ensure!(!text.contains("Forwarding:"), "{} watches: {text}", host.name());
        }
        Ok(())
    })?;
    for (family, prefix, hops) in routes {
        for (n, hop) in hops.into_iter().enumerate() {
            bed.lab.tpctl(&["lsr", "add", "R", &format!("{family}-{}", n + 2), prefix, hop, "R_to_N"])?;
        }
    }
    bed.sessions()?;
    bed.lab.wait_until("all is as before", PATIENCE, || {
        for (host, (before, after)) in bed.hosts.iter().zip(before.iter().zip(states()?)) {
            let changes = flow_changes(before, &after);
            ensure!(changes.is_empty(), "{}: {changes:#?}", host.name());
        }
        Ok(())
    })
}

/// The hops of a trace, without times.
fn hop_lines(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some(line[line.find("type:L")?..].to_owned())).collect()
}
