//! Random rules and random packets: each arrives where and as the truth says, and nothing of a covered address is seen outside.

use crate::{
    bed::{A1, A2, B1, Bed, Host, X1, X2},
    packet::{Packet, Proto, Says},
    truth::Truth,
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use std::{cell::Cell, net::IpAddr};
use tuplenet_model::entity::{Meta, NatKind, NatRule};

/// How many cases. `TUPLENET_CASES` in the environment says otherwise, and `TUPLENET_SEED` chooses others.
const CASES: u32 = 120;

#[derive(Clone, Debug)]
enum Event {
    /// A packet of a host to one of the addresses of [`targets`].
    New { from: usize, to: usize, proto: Proto, sport: u16, dport: u16 },
    /// One that was sent is sent again.
    Again(usize),
    /// Who got one answers.
    Answer(usize),
    /// Who got one says that it was for nobody.
    Error(usize),
}

#[derive(Clone, Debug)]
struct Case {
    v4: bool,
    rules: Vec<(NatKind, usize, usize)>,
    events: Vec<Event>,
}

const INSIDE: [Host; 3] = [A1, A2, B1];
const HOSTS: [Host; 5] = [A1, A2, B1, X1, X2];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn externals(v4: bool) -> [IpAddr; 5] {
    match v4 {
        true => ["203.0.113.254", "203.0.113.5", "203.0.113.6", "203.0.113.7", "198.51.100.8"].map(ip),
        false => ["2001:db8::fe", "2001:db8::5", "2001:db8::6", "2001:db8::7", "2001:db8::8"].map(ip),
    }
}

fn prefixes(v4: bool) -> [&'static str; 5] {
    match v4 {
        true => ["10.1.0.0/24", "10.0.0.0/8", "10.2.0.0/24", "10.1.0.1/32", "0.0.0.0/0"],
        false => ["fd00:1::/64", "fd00::/16", "fd00:2::/64", "fd00:1::1/128", "::/0"],
    }
}

/// Where packets may be sent to.
fn targets(v4: bool) -> Vec<IpAddr> {
    HOSTS.iter().map(|host| host.ip(v4)).chain(externals(v4)).collect()
}

impl Case {
    /// Rules without contradictions; of two that have one the first.
    fn rules(&self) -> Vec<NatRule> {
        let (externals, prefixes) = (externals(self.v4), prefixes(self.v4));
        let mut rules: Vec<NatRule> = Vec::new();
        for (kind, inner, outer) in &self.rules {
            let (inner_ip, outer) = (INSIDE[inner % 3].ip(self.v4), externals[*outer]);
            let (prefix, xlate_ip) = match kind {
                NatKind::Snat => (prefixes[*inner].parse().expect("a prefix"), outer),
                NatKind::Floating => (inner_ip.into(), outer),
                NatKind::Dnat => (outer.into(), inner_ip),
            };
            let rule = NatRule { kind: *kind, prefix, xlate_ip, distributed: false, meta: Meta::default() };
            if !rules.iter().any(|other| other.contradicts(&rule).is_some()) {
                rules.push(rule);
            }
        }
        rules
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = select(vec![NatKind::Snat, NatKind::Dnat, NatKind::Floating]);
    let proto = select(vec![Proto::Syn, Proto::SynAck, Proto::Udp, Proto::Sctp, Proto::Ping, Proto::Pong]);
    let new = (0..5_usize, 0..10_usize, proto, 1001..1003_u16, select(vec![53_u16, 80]))
        .prop_map(|(from, to, proto, sport, dport)| Event::New { from, to, proto, sport, dport });
    let event = prop_oneof![
        4 => new,
        1 => any::<usize>().prop_map(Event::Again),
        4 => any::<usize>().prop_map(Event::Answer),
        2 => any::<usize>().prop_map(Event::Error),
    ];
    (
        any::<bool>(),
        proptest::collection::vec((kind, 0..5_usize, 0..5_usize), 0..6),
        proptest::collection::vec(event, 1..40),
    )
        .prop_map(|(v4, rules, events)| Case { v4, rules, events })
}

/// How many packets met what, so that the test cannot become one of nothing.
#[derive(Default)]
struct Tally {
    sent: Cell<u32>,
    arrived: Cell<u32>,
    translated: Cell<u32>,
    errors: Cell<u32>,
    turned_back: Cell<u32>,
}

fn count(counter: &Cell<u32>, yes: bool) {
    counter.set(counter.get() + u32::from(yes));
}

fn check(case: &Case, tally: &Tally) -> Result<(), String> {
    let rules = case.rules();
    let texts: Vec<[String; 4]> = rules
        .iter()
        .enumerate()
        .map(|(n, rule)| {
            [format!("rule{n}"), rule.kind.to_string(), rule.prefix.to_string(), rule.xlate_ip.to_string()]
        })
        .collect();
    let told: Vec<_> = texts.iter().map(|[name, kind, prefix, ip]| ("R", &**name, &**kind, &**prefix, &**ip)).collect();
    let mut bed = Bed::new(&told);
    let own = ["203.0.113.254", "2001:db8::fe"].map(ip).to_vec();
    let inner = ["10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64", "fd00:2::/64"].map(|net| net.parse().expect("a net"));
    let mut truth = Truth::new(rules, own, inner.to_vec());
    // What was sent, and what arrived where.
    let mut sent: Vec<(Host, Packet)> = Vec::new();
    let mut arrived: Vec<(Host, Packet)> = Vec::new();
    for event in &case.events {
        let pick = |all: &Vec<(Host, Packet)>, n: usize| all.get(n.checked_rem(all.len()).unwrap_or(0)).cloned();
        let (from, packet) = match event {
            Event::New { from, to, proto, sport, dport } => {
                let (from, dst) = (HOSTS[*from], targets(case.v4)[*to]);
                let dport = if proto.has_ports() { *dport } else { *sport };
                (from, Packet { src: from.ip(case.v4), dst, says: Says::Data { proto: *proto, sport: *sport, dport } })
            }
            Event::Again(n) => match pick(&sent, *n) {
                Some(one) => one,
                None => continue,
            },
            Event::Answer(n) => match pick(&arrived, *n) {
                Some((host, packet)) if !packet.is_error() => (host, packet.answer()),
                _ => continue,
            },
            Event::Error(n) => match pick(&arrived, *n) {
                Some((host, packet)) if !packet.is_error() => (host, packet.error(host.ip(case.v4))),
                _ => continue,
            },
        };
        let inside = |ip: IpAddr| INSIDE.iter().any(|host| host.ip(case.v4) == ip);
        let outside = |ip: IpAddr| [X1, X2].iter().any(|host| host.ip(case.v4) == ip);
        // On one switch no router is asked; and what nobody has leads nowhere.
        let external = truth.rules.iter().any(|rule| rule.external() == packet.dst);
        let near = from.ls == "out" && outside(packet.dst)
            || from.ls == "A" && [A1, A2].iter().any(|host| host.ip(case.v4) == packet.dst)
            || from.ls == "B" && packet.dst == B1.ip(case.v4);
        if near || !inside(packet.dst) && !outside(packet.dst) && !external || packet.src == packet.dst {
            continue;
        }
        let got = bed.send(from, &packet);
        if got.len() > 1 {
            return Err(format!("{packet} of {} arrives more than once: {got:?}", from.name));
        }
        let got = got.into_iter().next();
        let seen = got.as_ref().and_then(|(_, packet)| match packet.says {
            Says::Data { sport, .. } => Some(sport),
            Says::Error(_) => None,
        });
        let known = truth.send(&packet, seen)?;
        // Who is that?
        let place = known.and_then(|packet| {
            let host = HOSTS.iter().find(|host| host.ip(case.v4) == packet.dst)?;
            Some((host.name.to_owned(), packet))
        });
        if place != got {
            let why = bed.why(from, &packet);
            return Err(format!("{packet} of {}: should be {place:?}, is {got:?}: {why:?}", from.name));
        }
        sent.push((from, packet.clone()));
        count(&tally.sent, true);
        let Some((to, became)) = got else { continue };
        let to = *HOSTS.iter().find(|host| host.name == to).ok_or("nobody has that name")?;
        if to.ls == "out" && from.ls != "out" {
            let quoted = match &became.says {
                Says::Error(about) => Some(about.dst),
                Says::Data { .. } => None,
            };
            if let Some(ip) = [Some(became.src), quoted].into_iter().flatten().find(|ip| truth.covers(*ip)) {
                // The router's own word may be so, even if a rule covers all addresses there are.
                if inside(ip) {
                    return Err(format!("{packet} of {} is seen outside as {became}", from.name));
                }
            }
        }
        count(&tally.arrived, true);
        count(&tally.translated, became != packet);
        count(&tally.errors, became.is_error() && became != packet);
        count(&tally.turned_back, external && from.ls != "out" && became.dst != packet.dst);
        arrived.push((to, became));
    }
    Ok(())
}

#[test]
fn packets_arrive_as_the_truth_says_and_no_covered_address_is_seen_outside() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let cases_wanted = number("TUPLENET_CASES", CASES.into()) as u32;
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("TUPLENET_SEED", 1).to_be_bytes());
    let config = ProptestConfig { cases: cases_wanted, failure_persistence: None, ..ProptestConfig::default() };
    let tally = Tally::default();
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
        .run(&cases(), |case| check(&case, &tally).map_err(TestCaseError::fail))
        .unwrap_or_else(|error| panic!("{error}"));
    let counts = [&tally.sent, &tally.arrived, &tally.translated, &tally.errors, &tally.turned_back].map(Cell::get);
    println!("[sent, arrived, translated, errors translated, turned back]: {counts:?}");
    for (count, least) in counts.into_iter().zip([10, 4, 1, 0, 0]) {
        assert!(count > least * cases_wanted, "{counts:?} in {cases_wanted} cases are too few");
    }
    assert!(counts[3] > cases_wanted / 10 && counts[4] > cases_wanted / 10, "{counts:?}");
}
