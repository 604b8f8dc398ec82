//! Neighbours outside: a router pinned to hv1, a guest behind it on hv2, and plain machines on the physical network, which is 10.32.0.0/16.

mod network;

use anyhow::{Context, Result, ensure};
use network::*;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};
use tuplenet_lab::{Agent, Host, Lab, Physical, PingSpec, Vm, VmSpec, trials};

const NETWORK: &str = "
switches:
  in: {ports: {in1: '10.31.0.1, fd00:1f::1', in2: '10.31.0.2, fd00:1f::2'}}
  out: {ports: {p1: '10.32.0.1, fd00:20::1', p2: '10.32.0.2, fd00:20::2'}}
routers:
  edge: {chassis: hv1, links: {in: '10.31.0.254/24, fd00:1f::fe/64', out: '10.32.0.254/16, fd00:20::fe/64'}}
";
const ROUTER: &str = "f2:01:0a:20:00:fe";
/// What a router cannot lose while it learns: the first answer comes within a second.
const FIRST: Duration = Duration::from_secs(1);

/// One packet, and no other after it meanwhile: those would be held as well, and too many of them push the first one out.
fn one() -> PingSpec {
    PingSpec { count: 1, interval: FIRST, wait: FIRST, ..PingSpec::default() }
}

fn first_is_answered(guest: &Vm, address: &str) -> Result<()> {
    let report = guest.ping(address, &one())?;
    ensure!(report.all(), "the first packet to {address} is lost:\n{}", report.text);
    Ok(())
}

struct Bed {
    lab: Lab,
    physical: Physical,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    /// Behind the router, on hv2.
    inner: Vec<Vm>,
    /// Guests on the provider network itself, on hv1 and hv2.
    beside: Vec<Vm>,
    machine: Vm,
    other: Vm,
}

/// A guest of the provider network, or a machine outside.
fn outside(name: &str, number: u8) -> VmSpec {
    VmSpec::new(name)
        .address(&format!("10.32.0.{number}/16"))
        .address(&format!("fd00:20::{number:x}/64"))
        .gateway("10.32.0.254")
        .gateway("fd00:20::fe")
}

fn bed(name: &str, network: &str) -> Result<Bed> {
    let lab = Lab::new(name)?;
    lab.store()?;
    let (hosts, agents) = hosts(&lab, 2)?;
    let physical = lab.physical("phys")?;
    for host in &hosts {
        physical.cable(host, "br-ex")?;
    }
    apply(&lab, network)?;
    for chassis in ["hv1", "hv2"] {
        lab.tpctl(&["patchport", "add", "out", &format!("out-{chassis}"), chassis, "br-ex"])?;
    }
    let inner = vec![hosts[1].vm(&spec("in1", 31, 1))?, hosts[1].vm(&spec("in2", 31, 2))?];
    let beside = vec![hosts[0].vm(&outside("p1", 1))?, hosts[1].vm(&outside("p2", 2))?];
    let machine = physical.machine(&outside("machine", 100), None)?;
    let other = physical.machine(&outside("other", 101), None)?;
    // The tunnel is warm, and no neighbour is known yet.
    for guest in &inner {
        for gateway in ["10.32.0.254", "fd00:20::fe"] {
            guest.wait_ping(gateway, PATIENCE)?;
        }
    }
    Ok(Bed { lab, physical, hosts, agents, inner, beside, machine, other })
}

impl Bed {
    fn known(&self) -> Result<f64> {
        self.agents[0].metric("neighbours")
    }

    /// The flow by which the router reaches an address outside, if there is one.
    fn neighbour(&self, ip: &str) -> Result<Option<String>> {
        let bytes = match ip.parse()? {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // As Open vSwitch shows it: four bytes a register, and a zero without `0x`.
        let register = |(n, bytes): (usize, &[u8])| {
            let value = bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
            format!("reg{n}={},", if value == 0 { "0".to_owned() } else { format!("{value:#x}") })
        };
        let hop: String = bytes.chunks(4).enumerate().map(register).collect();
        let flows = self.hosts[0].flows()?;
        Ok(flows
            .into_iter()
            .find(|flow| flow.contains("table=75,") && flow.contains("priority=60") && flow.contains(&hop)))
    }

    fn leads_to(&self, ip: &str, mac: &str) -> Result<()> {
        let flow = self.neighbour(ip)?.with_context(|| format!("{ip} is not known"))?;
        ensure!(flow.contains(mac), "{ip} is not at {mac}: {flow}");
        Ok(())
    }
}

fn mac(text: &str) -> Result<Vec<u8>> {
    text.split(':').map(|byte| u8::from_str_radix(byte, 16).context("no MAC")).collect()
}

/// An ARP packet of `op` that says that `ip` is at `from`.
fn claim(op: u8, from: &str, to: &str, ip: &str, asked: &str) -> Result<Vec<u8>> {
    let octets = |ip: &str| -> Result<Vec<u8>> { Ok(ip.parse::<Ipv4Addr>()?.octets().to_vec()) };
    let head = vec![8, 6, 0, 1, 8, 0, 6, 4, 0, op];
    Ok([mac(to)?, mac(from)?, head, mac(from)?, octets(ip)?, mac(to)?, octets(asked)?].concat())
}

const ALL: &str = "ff:ff:ff:ff:ff:ff";

#[test]
fn the_first_packet_is_answered_and_a_restart_forgets_nobody() -> Result<()> {
    let bed = bed("neigh-first", NETWORK)?;
    let guest = &bed.inner[0];
    ensure!(bed.known()? == 0.0);
    for address in [bed.machine.ipv4()?, bed.machine.ipv6()?, bed.other.ipv4()?] {
        first_is_answered(guest, &address)?;
    }
    ensure!(bed.agents[0].metric("neighbours_learned_total")? == 3.0);
    // From outside to inside, where the switch answers for the router.
    bed.machine.must_ping(&guest.ipv4()?)?;
    // The flows are there at once: no further packet goes to the agent.
    bed.lab.wait_until("the flows", PATIENCE, || {
        bed.leads_to(&bed.machine.ipv4()?, bed.machine.mac())?;
        bed.leads_to(&bed.machine.ipv6()?, bed.machine.mac())
    })?;
    bed.hosts[0].wait_cache()?;
    let asked = bed.agents[0].metric("neighbour_packets_held_total")?;
    for address in [bed.machine.ipv4()?, bed.machine.ipv6()?] {
        guest.must_ping(&address)?;
    }
    ensure!(bed.agents[0].metric("neighbour_packets_held_total")? == asked);
    // The router's own address was announced: the switch learned it before anybody asked for it.
    ensure!(bed.physical.learned(ROUTER)? == Some(Physical::port(&bed.hosts[0])));

    // One that nobody has: asked for, given up, forgotten.
    ensure!(guest.ping("10.32.7.7", &one())?.received == 0);
    bed.lab.wait_until("the question to be given up", PATIENCE, || {
        ensure!(bed.agents[0].metric("neighbours_silent_total")? == 1.0);
        ensure!(bed.agents[0].metric("neighbours_asked")? == 0.0);
        Ok(())
    })?;

    // Shown, once the store was told.
    bed.lab.wait_until("the neighbours to be shown", PATIENCE, || {
        let shown = bed.lab.tpctl(&["edge", "show", "--neighbours"])?;
        for text in [&bed.machine.ipv4()?, &bed.machine.ipv6()?, &bed.other.ipv4()?, bed.machine.mac(), "hv1"] {
            ensure!(shown.contains(text), "{text} is not in\n{shown}");
        }
        Ok(())
    })?;

    // Restart, with packets on their way: nothing lost, no flow changed, all known.
    let before = flow_set(&bed.hosts[0])?;
    let probe = guest.probe(&bed.machine.ipv4()?, Duration::from_millis(10))?;
    bed.agents[0].kill9()?;
    bed.agents[0].start()?;
    bed.agents[0].wait_settled(PATIENCE)?;
    ensure!(bed.known()? == 3.0 && bed.agents[0].metric("flow_mods_total")? == 0.0);
    // Asked anew, they answer.
    bed.lab.wait_until("the neighbours to be asked", PATIENCE, || {
        ensure!(bed.agents[0].metric("neighbour_questions_total")? >= 3.0);
        Ok(())
    })?;
    // A hundred packets more, after the answers.
    std::thread::sleep(Duration::from_secs(1));
    let report = probe.stop()?;
    ensure!(report.lost.is_empty() && report.duplicates == 0, "{report}");
    let changes = flow_changes(&before, &flow_set(&bed.hosts[0])?);
    ensure!(changes.is_empty(), "{changes:#?}");
    ensure!(bed.agents[0].metric("neighbours_silent_total")? == 0.0);
    Ok(())
}

/// A router on all hosts: its MAC is at hv1's port, and hv2 asks in a name of its own.
#[test]
fn each_host_of_a_distributed_router_asks_for_itself() -> Result<()> {
    let bed = bed("neigh-all", &NETWORK.replace("chassis: hv1, ", ""))?;
    let guest = &bed.inner[0];
    // The tunnel to hv1, by which the router's frames leave, is warm.
    guest.wait_ping(&bed.other.ipv4()?, PATIENCE)?;
    for address in [bed.machine.ipv4()?, bed.machine.ipv6()?] {
        first_is_answered(guest, &address)?;
        guest.must_ping(&address)?;
    }
    bed.machine.must_ping(&guest.ipv4()?)?;
    ensure!(bed.agents[1].metric("neighbours")? == 3.0);
    ensure!(bed.physical.learned(ROUTER)? == Some(Physical::port(&bed.hosts[0])));
    Ok(())
}

#[test]
fn an_address_moves_with_its_owner_and_nobody_takes_it_away() -> Result<()> {
    let bed = bed("neigh-poison", NETWORK)?;
    let (guest, machine) = (&bed.inner[0], &bed.machine);
    let (address, real) = (machine.ipv4()?, machine.mac().to_owned());
    first_is_answered(guest, &address)?;
    bed.lab.wait_until("the flow", PATIENCE, || bed.leads_to(&address, &real))?;

    // Guests on the provider network, under their own MAC and a forged one, and a machine outside: announcements and answers that nobody asked for.
    let probe = guest.probe(&address, Duration::from_millis(10))?;
    let forged = "02:66:66:66:66:66";
    for _ in 0..20 {
        for liar in [&bed.beside[0], &bed.beside[1], &bed.other] {
            for from in [liar.mac(), forged] {
                for (op, to) in [(1, ALL), (2, ALL), (2, ROUTER)] {
                    liar.inject(&claim(op, from, to, &address, &address)?)?;
                }
                // And the router's own address (to the router: a plain machine would believe it), a guest's, and one that nobody asked for.
                liar.inject(&claim(1, from, ROUTER, "10.32.0.254", "10.32.0.254")?)?;
                liar.inject(&claim(2, from, ROUTER, &bed.beside[0].ipv4()?, "10.32.0.254")?)?;
                liar.inject(&claim(2, from, ROUTER, "10.32.9.9", "10.32.0.254")?)?;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nothing comes of it later, either: longer than the agent waits for an answer before it asks everybody.
    std::thread::sleep(Duration::from_secs(1));
    let report = probe.stop()?;
    ensure!(report.lost.is_empty(), "{report}");
    bed.leads_to(&address, &real)?;
    for nobody in ["10.32.0.254", "10.32.9.9", "10.32.0.1"] {
        ensure!(bed.neighbour(nobody)?.is_none(), "{nobody} became a neighbour");
    }
    ensure!(bed.agents[0].metric("neighbours_moved_total")? == 0.0);
    ensure!(bed.agents[0].metric("neighbour_claims_refused_total")? > 0.0);

    // Its owner gets another card, and says so.
    let new = "02:77:00:00:00:01";
    machine.run(&["ip", "link", "set", "eth0", "address", new])?;
    let moved = Instant::now();
    machine.inject(&claim(1, new, ALL, &address, &address)?)?;
    bed.lab.wait_until("the address to move", PATIENCE, || bed.leads_to(&address, new))?;
    ensure!(moved.elapsed() < Duration::from_secs(3), "that took {:?}", moved.elapsed());
    guest.must_ping(&address)?;
    Ok(())
}

#[test]
fn who_scans_the_outside_harms_nobody() -> Result<()> {
    let bed = bed("neigh-scan", NETWORK)?;
    let (scanner, guest) = (&bed.inner[0], &bed.inner[1]);
    let known = bed.machine.ipv4()?;
    first_is_answered(guest, &known)?;
    bed.lab.wait_until("the flow", PATIENCE, || bed.leads_to(&known, bed.machine.mac()))?;
    let agent = &bed.agents[0];
    // 16,384 addresses, some thousands a second: more would keep Open vSwitch's slow path busy, whatever a flow does with them. And somebody else's first packet in
    // the middle of it.
    let scan = "for a in {64..127}; do for b in {0..255}; do echo >/dev/udp/10.32.$a.$b/9; [ $((b % 64)) = 0 ] && sleep 0.02; done; done; true";
    let sent = 64 * 256;
    let wrong = trials(|| {
        let (held, dropped) =
            (agent.metric("neighbour_packets_held_total")?, agent.metric("neighbour_packets_dropped_total")?);
        let probe = guest.probe(&known, Duration::from_millis(20))?;
        let began = Instant::now();
        let (scanned, first) = std::thread::scope(|scope| {
            let scanning = scope.spawn(|| scanner.run(&["bash", "-c", scan]));
            let busy = bed.lab.wait_until("the scan to keep the agent busy", PATIENCE, || {
                ensure!(agent.metric("neighbours_asked")? >= 256.0);
                Ok(())
            });
            let spec = PingSpec { count: 3, interval: Duration::from_millis(200), wait: FIRST, ..PingSpec::default() };
            let first = busy.and_then(|()| bed.other.ipv4()).and_then(|other| guest.ping(&other, &spec));
            (scanning.join(), first)
        });
        scanned.map_err(|_| anyhow::anyhow!("the scan panicked"))??;
        let first = first?;
        let took = began.elapsed();
        let report = probe.stop()?;
        let mut wrong = Vec::new();
        if !report.lost.is_empty() {
            wrong.push(format!("what is known suffers from a scan of {sent} in {took:?}: {report}"));
        }
        if first.received == 0 {
            wrong.push(first.text.clone());
        }
        ensure!(agent.metric("neighbours_asked")? <= 512.0);
        bed.lab.wait_until("the questions to be given up", PATIENCE, || {
            ensure!(agent.metric("neighbours_asked")? == 0.0 && bed.known()? == 2.0);
            Ok(())
        })?;
        let held = agent.metric("neighbour_packets_held_total")? - held;
        let dropped = agent.metric("neighbour_packets_dropped_total")? - dropped;
        println!(
            "{sent} addresses scanned in {took:.1?}: {held} packets held, {dropped} dropped, {} evicted",
            agent.metric("neighbours_evicted_total")?
        );
        // Only what was for somebody who answered was sent on.
        ensure!(dropped >= held - f64::from(first.transmitted), "{}", first.text);
        Ok((wrong, report.late))
    })?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    guest.must_ping(&known)?;
    Ok(())
}
