//! A random network on the real switch: each host's flows, as its engine computes them, and the packets of its ports.
//!
//! What leaves a host by a tunnel comes to the other host next, so that both ends of a tunnel are looked at.

use super::{
    compare::{Verdict, compare},
    endpoints,
    generate::{self, Case, Network},
    real::{Arrival, LOCAL_PORTS, Question, Real, TUNNELS},
    try_all, wire,
};
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};
use tuplenet_model::name::Name;
use tuplenet_openflow::{Flow, field};
use tuplenet_rules::{
    Change, ClaimMark, Config, Engine, LocalInterface, Scope, UNWATCHED,
    cookie::{Cookie, Rule},
    trace::{METER, inject},
};
use tuplenet_sim::{Effect, Group, Switch};

/// How many networks.
const CASES: u32 = 1_050;
/// How many with real packets.
const WIRED: u32 = 200;
/// Packets in each, at most.
const PACKETS: usize = 16;
/// Who sends packets from the underlay, if it is not 192.0.2.9.
const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
/// Packets from the underlay in each, at most.
const STRANGERS: usize = 6;
/// Hosts that a packet is followed to.
const HOPS: usize = 4;

/// A group, with next hops on chassis that nothing watches yet alive: the simulator takes them so, a real switch would not.
fn living(mut group: tuplenet_rules::Group) -> Group {
    for bucket in &mut group.buckets {
        bucket.watch_port = bucket.watch_port.filter(|port| *port != UNWATCHED);
    }
    Group::from(group)
}

/// One host of a network.
pub struct Host {
    /// Bridge port of each of its ports.
    pub ports: Vec<((String, String), u32)>,
    pub flows: Vec<Flow>,
    pub groups: Vec<Group>,
}

impl Host {
    /// Computes what this host's switch should hold.
    pub fn new(network: &Network, chassis: &str) -> Host {
        let name: Name = chassis.parse().expect("a generated name is valid");
        let mut engine = Engine::new(Config { chassis: name, scope: Scope::Reachable });
        let mut changes: Vec<Change> = TUNNELS
            .iter()
            .filter(|(_, kind, _)| has_encap(network, chassis, kind))
            .map(|(kind, _, ofport)| Change::Tunnel { kind: *kind, remote: None, ofport: Some(*ofport) })
            .collect();
        changes.extend(network.objects.iter().map(|object| Change::Object {
            path: object.path.clone(),
            value: Some(object.json.clone().into_bytes().into()),
            create_revision: object.created,
        }));
        let mut here = Vec::new();
        for port in network.ports.iter().filter(|p| !p.gateway && p.chassis.as_deref() == Some(chassis)) {
            let ofport = here.len() as u32 + 1;
            if ofport > LOCAL_PORTS {
                break;
            }
            let full = format!("{}/{}", port.ls, port.lsp);
            let claim = Some(ClaimMark { lsp: full.clone(), generation: 1 });
            let interface = LocalInterface { name: format!("vif{ofport}"), iface_id: full, ofport, claim };
            changes.push(Change::Interface { id: ofport.into(), interface: Some(interface) });
            here.push(((port.ls.clone(), port.lsp.clone()), ofport));
        }
        engine.apply(changes);
        Host { ports: here, flows: engine.flows().collect(), groups: engine.groups().map(living).collect() }
    }

    /// The same with the simulator of its switch.
    fn with_switch(network: &Network, chassis: &str) -> (Host, Switch) {
        let host = Host::new(network, chassis);
        let switch = Switch::new(host.flows.iter().cloned(), host.groups.iter().cloned());
        (host, switch)
    }

    /// The bridge port of a switch port.
    pub fn ofport(&self, ls: &str, lsp: &str) -> Option<u32> {
        let found = self.ports.iter().find(|((l, p), _)| l == ls && p == lsp);
        found.map(|(_, ofport)| *ofport)
    }
}

/// The host that has this tunnel end point. Of several, the first.
pub fn host_at(network: &Network, ip: IpAddr) -> Option<String> {
    let found = network.objects.iter().find(|object| {
        object.path.starts_with("chassis/") && encaps(&object.json).iter().any(|(_, at)| *at == Some(ip))
    })?;
    found.path.strip_prefix("chassis/").map(str::to_owned)
}

/// An agent makes tunnel ports of the kinds that its chassis has.
fn has_encap(network: &Network, chassis: &str, kind: &str) -> bool {
    let object = network.objects.iter().find(|object| object.path.strip_prefix("chassis/") == Some(chassis));
    object.is_none_or(|object| encaps(&object.json).iter().any(|(k, _)| k == kind))
}

fn encaps(json: &str) -> Vec<(String, Option<IpAddr>)> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let all = value["encaps"].as_array().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|encap| (text(&encap["type"]), text(&encap["ip"]).parse().ok())).collect()
}

/// A packet that comes by a tunnel, whoever sent it: not what our hosts say only. Indices wrap around.
#[derive(Clone, Debug)]
struct Stranger {
    host: usize,
    tunnel: usize,
    /// The frame is that of one of the case's packets.
    packet: usize,
    vni: u32,
    /// Source port, destination port, flags, command.
    option: Option<(u16, u16, u16, u16)>,
}

fn stranger() -> impl Strategy<Value = Stranger> {
    let vni = prop_oneof![6 => 10..14_u32, 2 => 50..53_u32, 1 => 0..0x100_0000_u32];
    let port = || prop_oneof![6 => 0..6_u16, 2 => 100..106_u16, 1 => Just(0xffff), 1 => any::<u16>()];
    let flags = prop_oneof![3 => Just(0), 5 => 0..64_u16, 1 => any::<u16>()];
    let option = proptest::option::weighted(0.9, (port(), port(), flags, 0..3_u16));
    (0..8_usize, prop_oneof![3 => Just(0_usize), 1 => 0..3_usize], 0..PACKETS, vni, option)
        .prop_map(|(host, tunnel, packet, vni, option)| Stranger { host, tunnel, packet, vni, option })
}

impl Stranger {
    /// The host that it comes to, and the packet.
    fn question(&self, case: &Case) -> Option<(String, Question)> {
        let chassis: BTreeSet<&String> = case.network.ports.iter().filter_map(|port| port.chassis.as_ref()).collect();
        let chassis = chassis.iter().nth(self.host % chassis.len().max(1))?;
        let (_, kind, in_port) = TUNNELS.get(self.tunnel)?;
        if !has_encap(&case.network, chassis, kind) {
            return None;
        }
        let sent = case.packets.get(self.packet % case.packets.len().max(1))?;
        let number = |(src, dst, flags, command): (u16, u16, u16, u16)| {
            [src, dst, flags, command].iter().fold(0, |number, part| number << 16 | u64::from(*part))
        };
        let option = self.option.map(number).filter(|_| *kind == "geneve");
        // To the host's own address: a switch sends nothing back into a tunnel to the address that the packet came to.
        let own = case.network.objects.iter().find(|object| object.path.strip_prefix("chassis/") == Some(chassis));
        let own = own.and_then(|object| encaps(&object.json).iter().find_map(|(k, ip)| ip.filter(|_| k == kind)));
        let dst = own.unwrap_or(Ipv4Addr::new(192, 0, 2, 250).into());
        let src = if dst.is_ipv4() { Ipv4Addr::new(192, 0, 2, 9).into() } else { STRANGER6.into() };
        let tunnel = Some(Arrival { vni: self.vni, src, dst, option });
        Some(((*chassis).clone(), Question { tunnel, ..Question::new(*in_port, sent.frame.to_bytes()) }))
    }
}

/// What was compared, so that it cannot become nothing unnoticed.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hosts: usize,
    packets: usize,
    outputs: usize,
    tunnelled: usize,
    reports: usize,
    /// Packets that the switch gave up: too many tables.
    given_up: usize,
}

/// The test.
pub fn check_all() {
    let real = RefCell::new(Real::start(endpoints(), &[METER.id]));
    let counts = Cell::new(Counts::default());
    let rules = RefCell::new(BTreeSet::new());
    let strangers = proptest::collection::vec(stranger(), 0..=STRANGERS);
    try_all(&(generate::cases(PACKETS), strangers), CASES, |(case, strangers)| {
        real.borrow_mut().revive();
        check(case, strangers, &mut real.borrow_mut(), &counts, &mut rules.borrow_mut())
    });
    let counts = counts.get();
    println!("{counts:?}");
    let least = counts.packets > 5_000 && counts.outputs > 1_000 && counts.tunnelled > 300 && counts.reports > 1_000;
    let fewer = super::from_environment("TUPLENET_CASES", CASES.into()) < CASES.into();
    assert!(least || fewer, "too little was compared: {counts:?}");
    let never: Vec<_> = Rule::ALL.iter().filter(|r| !is_of_the_outside(**r) && !rules.borrow().contains(r)).collect();
    assert!(never.is_empty() || fewer, "no packet ever matched a flow of the rules {never:?}");
}

/// Rules that need a physical network, which generated networks do not have: `ofproto/trace` translates no addresses and asks nobody outside.
/// Real packets meet them, in the lab's tests `patch`, `nat` and `neighbours`.
fn is_of_the_outside(rule: Rule) -> bool {
    use Rule::*;
    let patch = matches!(rule, PatchIn | PatchOut | PatchUnknown | PatchOwn | PatchElsewhere);
    let nat = matches!(rule, Unsnat | Dnat | Undnat | Snat | FloatingIn | FloatingOut);
    // Packets are short here: see `size`.
    let mtu = matches!(rule, TooBig | Mtu);
    // For answers of probes, and for edges: which one translates, which one is reached by another, and what leaves past them.
    let edges = matches!(rule, ProbeAnswer | EcmpHome | Redirect | RedirectIn | NoDetour | Untunnel | UntunnelIn);
    patch || nat || mtu || edges || matches!(rule, Neighbour | NeighbourLearn | NeighbourAsk)
}

/// Follows all packets of a case through all hosts.
fn check(
    case: &Case,
    strangers: &[Stranger],
    real: &mut Real,
    counts: &Cell<Counts>,
    rules: &mut BTreeSet<Rule>,
) -> Result<(), String> {
    let mut hosts: BTreeMap<String, (Host, Switch)> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Vec<Question>> = BTreeMap::new();
    let chassis_of = |ls: &str, lsp: &str| {
        let port = case.network.ports.iter().find(|port| port.ls == ls && port.lsp == lsp);
        port.and_then(|port| port.chassis.clone())
    };
    for (n, sent) in case.packets.iter().enumerate() {
        let Some(chassis) = chassis_of(&sent.ls, &sent.lsp) else { continue };
        let host = hosts.entry(chassis.clone()).or_insert_with(|| Host::with_switch(&case.network, &chassis));
        let Some(in_port) = host.0.ofport(&sent.ls, &sent.lsp) else { continue };
        let mut question = Question::new(in_port, sent.frame.to_bytes());
        // Some are those of a trace.
        if n % 4 == 1 {
            question.injected = NonZeroU16::new(n as u16).map(inject);
        }
        waiting.entry(chassis).or_default().push(question);
    }
    for (chassis, question) in strangers.iter().filter_map(|stranger| stranger.question(case)) {
        waiting.entry(chassis).or_default().push(question);
    }
    for _ in 0..HOPS {
        for (chassis, questions) in std::mem::take(&mut waiting) {
            let (host, switch) =
                hosts.entry(chassis.clone()).or_insert_with(|| Host::with_switch(&case.network, &chassis));
            let told = |why| format!("on {chassis}: {why}");
            real.install(&host.flows, &host.groups).map_err(told)?;
            let mut now = counts.get();
            now.hosts += 1;
            for (question, answer) in questions.iter().zip(real.trace(&questions)) {
                let answer = answer.map_err(told)?;
                let run = match compare(real, switch, question, &answer).map_err(told)? {
                    Verdict::Same(run) => run,
                    Verdict::Unsupported(why) => return Err(told(why.to_string())),
                };
                now.packets += 1;
                now.given_up += usize::from(run.abort.is_some());
                rules.extend(run.steps.iter().filter_map(|step| Some(Cookie::decode(step.flow?.1)?.rule)));
                for effect in &run.effects {
                    match effect {
                        Effect::Controller { .. } => now.reports += 1,
                        Effect::Output { .. } => now.outputs += 1,
                        Effect::Refused { .. } => {}
                    }
                    if let Some((to, question)) = arrival(&case.network, effect) {
                        now.tunnelled += 1;
                        waiting.entry(to).or_default().push(question);
                    }
                }
            }
            counts.set(now);
        }
    }
    Ok(())
}

/// The same by real packets, from the hosts that have the ports only, and what comes out of their switches byte by byte.
pub fn check_wires() {
    wire::try_wired(&generate::cases(PACKETS), WIRED, false, |wired, case| {
        let chassis: BTreeSet<&String> = case.network.ports.iter().filter_map(|port| port.chassis.as_ref()).collect();
        for chassis in chassis {
            let host = Host::new(&case.network, chassis);
            let told = |why| format!("on {chassis}: {why}");
            let mut switch = wired.fill(&host.flows, &host.groups).map_err(told)?;
            for packet in &case.packets {
                let Some(in_port) = host.ofport(&packet.ls, &packet.lsp) else { continue };
                let question = Question::new(in_port, packet.frame.to_bytes());
                wired.send(&mut switch, &question).map_err(told)?;
            }
        }
        Ok(())
    });
}

/// What comes to another host, if that is what the effect does.
fn arrival(network: &Network, effect: &Effect) -> Option<(String, Question)> {
    let Effect::Output { port, packet, .. } = effect else { return None };
    let (_, kind, _) = TUNNELS.iter().find(|(.., tunnel)| tunnel == port)?;
    let number = |field| packet.get(field).and_then(|value| value.to_u128());
    let dst: IpAddr = match number(field::TUN_DST) {
        Some(four) if four != 0 => Ipv4Addr::from(four as u32).into(),
        _ => Ipv6Addr::from(number(field::TUN_IPV6_DST)?).into(),
    };
    let host = host_at(network, dst)?;
    if !has_encap(network, &host, kind) {
        return None;
    }
    let option = number(field::TUN_METADATA0).map(|option| option as u64).filter(|_| *kind == "geneve");
    let tunnel = Some(Arrival { vni: number(field::TUN_ID)? as u32, src: dst, dst, option });
    Some((host, Question { tunnel, ..Question::new(*port, packet.to_bytes()) }))
}
