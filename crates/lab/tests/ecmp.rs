//! Several routes to one prefix, in real switches: who takes which of them, and who changes when a next hop dies, goes or comes. The figures are printed:
//! `cargo test -p tuplenet-lab --test ecmp -- --nocapture`.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tuplenet_lab::{Host, Lab, Vm, wait_until};

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
/// Longest time from the death of a next hop's link to the last lost packet. The switch hears of it at once; the slack is for a loaded machine.
const GRACE: Duration = Duration::from_millis(500);

/// Which next hop each connection takes in the real switch now, by the register that has it.
fn choices(host: &Host, a1: &Vm) -> Result<BTreeMap<u16, String>> {
    let (port, mac) = (a1.ofport()?, a1.mac());
    let gateway = "f2:01:0a:01:00:fe";
    let choice = |n: u16| {
        let packet = if n.is_multiple_of(2) {
            format!("tcp,nw_src=10.1.0.1,nw_dst=198.51.100.{},nw_ttl=64,tcp_src={},tcp_dst=80", n % 7, 10_000 + 31 * n)
        } else {
            format!(
                "udp6,ipv6_src=fd00:1::1,ipv6_dst=fd99::{:x},nw_ttl=64,udp_src={},udp_dst=53",
                n % 7,
                20_000 + 17 * n
            )
        };
        let text = host.trace(&format!("in_port={port},dl_src={mac},dl_dst={gateway},{packet}"))?;
        let (_, member) = text.split_once(" 58. ").with_context(|| format!("no equal route was taken:\n{text}"))?;
        let fields: Vec<&str> = member.lines().next().unwrap_or_default().split([',', ' ']).collect();
        let register = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
        let hop = register("xxreg0=").or_else(|| register("reg3=")).or_else(|| register("reg0="));
        let hop = hop.with_context(|| format!("no next hop in: {member}"))?;
        Ok((n, hop.chars().rev().take(1).collect()))
    };
    (0..FLOWS).map(choice).collect()
}

fn shares(choices: &BTreeMap<u16, String>) -> BTreeMap<&str, usize> {
    choices.values().fold(BTreeMap::new(), |mut shares, hop| {
        *shares.entry(hop.as_str()).or_default() += 1;
        shares
    })
}

/// How many connections take another next hop than before, of those that had another one than `lost`.
fn moved(before: &BTreeMap<u16, String>, after: &BTreeMap<u16, String>, lost: &str) -> usize {
    before.iter().filter(|(n, hop)| *hop != lost && after.get(n) != Some(hop)).count()
}

fn link(vm: &Vm, state: &str) -> Result<()> {
    vm.host().netns()?.ip(&format!("link set {} {state}\n", vm.device()))
}

#[test]
fn a_next_hop_that_dies_and_returns_moves_its_own_connections_only() -> Result<()> {
    let lab = Lab::new("ecmp")?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    apply(&lab, NETWORK)?;
    let [hv1, hv2] = &hosts[..] else { unreachable!("two hosts were asked for") };
    let a1 = hv1.vm(&spec("a1", 1, 1))?;
    let hops = [hv1.vm(&spec("n1", 2, 1))?, hv1.vm(&spec("n2", 2, 2))?, hv2.vm(&spec("n3", 2, 3))?];
    for hop in &hops {
        // Each of them is the whole of both networks.
        hop.netns().ip("route add local 198.51.100.0/24 dev lo\nroute add local fd99::/64 dev lo\n")?;
        reaches(&a1, hop, 63)?;
    }
    for n in 0..12 {
        a1.wait_ping(&format!("198.51.100.{n}"), PATIENCE)?;
        a1.wait_ping(&format!("fd99::{n:x}"), PATIENCE)?;
    }

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
    let taken = taker(hv1, &a1)?;
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
    let back = wait_until("the next hop is back", PATIENCE, || {
        let now = choices(hv1, &a1)?;
        ensure!(shares(&now).contains_key(lost.as_str()));
        Ok(now)
    })?;
    ensure!(back == all, "{all:?}\n{back:?}");
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
    ensure!(agents[0].metric("tuplenet_group_mods_total").unwrap_or(0.0) == 0.0, "{}", agents[0].log_text());

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

/// Which next hop the probe of IPv4 takes.
fn taker(host: &Host, a1: &Vm) -> Result<String> {
    let text = host.trace(&format!(
        "in_port={},icmp,dl_src={},dl_dst=f2:01:0a:01:00:fe,nw_src=10.1.0.1,nw_dst=198.51.100.1,nw_ttl=64,icmp_type=8",
        a1.ofport()?,
        a1.mac()
    ))?;
    let found = text.split_once("set_field:0xa02000").and_then(|(_, rest)| rest.chars().next());
    found.map(String::from).with_context(|| format!("no next hop was chosen:\n{text}"))
}

/// The hops of a trace, without times.
fn hop_lines(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some(line[line.find("type:L")?..].to_owned())).collect()
}
