//! Whether the uplinks lead anywhere: addresses outside that this host was told to probe are asked by ICMP echo, in the name of its routers' ports.
//!
//! An address that leaves [`SILENT`] questions in a row without an answer is silent, until it answers again. While all are, the host withdraws ([`super::withdraw`]).

use super::{
    Effect, Level,
    seldom::{Seldom, often},
    stats::Stats,
    wire::{Eth, ICMP, ICMPV6, IPV4, IPV6, checksum, icmpv6_checksum, ipv4, ipv6, put, take},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};
use tuplenet_model::{hash::fnv32, name::Name};
use tuplenet_openflow::message::PacketIn2;
use tuplenet_rules::{
    Change,
    outside::Outside,
    probe::{Event, send},
};

/// Questions in a row without an answer.
const SILENT: u32 = 3;
/// Ports that ask for one address: of more the first are enough.
const MAX_PORTS: usize = 8;
/// In each question, and in its answer.
const MARK: [u8; 8] = *b"tuplenet";
/// Hops that a question may take.
const TTL: u8 = 64;

/// What to probe, and how often.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The addresses.
    pub targets: BTreeSet<IpAddr>,
    /// Between two questions.
    pub interval: Duration,
}

#[derive(Debug, Default)]
struct Target {
    /// Questions since the last answer.
    unanswered: u32,
    /// `None`: not known yet.
    answers: Option<bool>,
    /// Whether it was said to be silent.
    silent: Seldom<bool>,
}

impl Target {
    fn say(&mut self, ip: IpAddr, now: Instant, effects: &mut Vec<Effect>) {
        let Some(silent) = self.answers.map(|answers| !answers) else { return };
        let Some(changes) = self.silent.is(silent, now) else { return };
        let often = often(changes);
        effects.push(match silent {
            true => Effect::Say(Level::Warn, format!("{ip} does not answer probes any more{often}")),
            false => Effect::Say(Level::Info, format!("{ip} answers probes again{often}")),
        });
    }
}

/// All addresses. See the module.
#[derive(Debug)]
pub struct Probes {
    interval: Duration,
    targets: BTreeMap<IpAddr, Target>,
    /// Tells our questions from those of others: they come back with it.
    identifier: u16,
    sequence: u16,
    next: Instant,
}

impl Probes {
    /// Nothing asked yet; from `start` on.
    pub fn new(me: &Name, wanted: Wanted, start: Instant) -> Self {
        let [a, b, c, d] = fnv32(me.bytes()).to_be_bytes();
        Self {
            interval: wanted.interval,
            targets: wanted.targets.into_iter().map(|ip| (ip, Target::default())).collect(),
            identifier: u16::from_be_bytes([a ^ c, b ^ d]),
            sequence: 0,
            next: start,
        }
    }

    /// For the rules: it stays so.
    pub fn changes(&self) -> Vec<Change> {
        self.targets.keys().map(|target| Change::Probe { target: *target, wanted: true }).collect()
    }

    /// Whether one of them answers, as far as is known.
    pub fn answers(&self) -> Option<bool> {
        let known = |answers| self.targets.values().any(|target| target.answers == answers);
        if known(Some(true)) {
            Some(true)
        } else if known(None) || self.targets.is_empty() {
            None
        } else {
            Some(false)
        }
    }

    /// Asks, if it is time to. `outside`: by which ports; without one nothing is known.
    pub fn tick<'a>(
        &mut self,
        outside: impl Iterator<Item = &'a Outside> + Clone,
        now: Instant,
        effects: &mut Vec<Effect>,
        stats: &mut Stats,
    ) {
        if self.targets.is_empty() || self.next > now {
            return;
        }
        self.next = now + self.interval;
        self.sequence = self.sequence.wrapping_add(1);
        for (ip, target) in &mut self.targets {
            let ports: Vec<(&Outside, IpAddr)> =
                outside.clone().filter_map(|at| Some((at, source(at, *ip)?))).collect();
            // An address of a network that a port is in is asked by that port; any other by all.
            let beside = ports.iter().filter(|(at, _)| at.nets.iter().any(|net| net.contains(ip))).count() > 0;
            let asked = ports.iter().filter(|(at, _)| !beside || at.nets.iter().any(|net| net.contains(ip)));
            let mut any = false;
            for (at, from) in asked.take(MAX_PORTS) {
                let Some(frame) = question(at.mac, *from, *ip, self.identifier, self.sequence) else { continue };
                any = true;
                stats.probes += 1;
                effects.push(Effect::PacketOut { actions: send(at.router, at.number), frame: frame.into() });
            }
            if !any {
                (target.unanswered, target.answers) = (0, None);
                continue;
            }
            if target.unanswered >= SILENT {
                target.answers = Some(false);
            }
            target.say(*ip, now, effects);
            target.unanswered = target.unanswered.saturating_add(1);
        }
    }

    /// An address answers; gives whether that is news.
    pub fn packet_in(
        &mut self,
        event: Event,
        packet: &PacketIn2,
        now: Instant,
        effects: &mut Vec<Effect>,
        stats: &mut Stats,
    ) -> bool {
        let Event::Answer = event;
        let Some(answer) = Answer::read(&packet.packet) else { return false };
        let recent = self.sequence.wrapping_sub(answer.sequence) < 3;
        if answer.identifier != self.identifier || !recent {
            return false;
        }
        let Some(target) = self.targets.get_mut(&answer.from) else { return false };
        stats.probe_answers += 1;
        target.unanswered = 0;
        let before = target.answers.replace(true);
        target.say(answer.from, now, effects);
        before != Some(true)
    }

    /// When [`Probes::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        (!self.targets.is_empty()).then_some(self.next)
    }
}

/// By which address a port asks for another.
fn source(at: &Outside, target: IpAddr) -> Option<IpAddr> {
    let own = || at.nets.iter().filter(|net| net.addr().is_ipv4() == target.is_ipv4());
    let beside = own().find(|net| net.contains(&target));
    beside.or_else(|| own().next()).map(ipnet::IpNet::addr)
}

/// An echo request in Ethernet, as a router has it before it routes it.
fn question(mac: Eth, from: IpAddr, to: IpAddr, identifier: u16, sequence: u16) -> Option<Vec<u8>> {
    let mut icmp = vec![if to.is_ipv4() { 8 } else { 128 }, 0, 0, 0];
    [identifier, sequence].iter().for_each(|word| icmp.extend(word.to_be_bytes()));
    icmp.extend(MARK);
    let (kind, header, sum) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (IPV4, ipv4(0, TTL, from, to, &icmp)?, checksum(&icmp)),
        (IpAddr::V6(from), IpAddr::V6(to)) => (IPV6, ipv6(TTL, from, to, &icmp)?, icmpv6_checksum(from, to, &icmp)),
        _ => return None,
    };
    put(&mut icmp, 2, sum);
    Some([&mac[..], &mac, &kind, &header, &icmp].concat())
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    from: IpAddr,
    identifier: u16,
    sequence: u16,
}

impl Answer {
    /// Of an untagged frame that is an echo reply with our mark. That it is for us the flow saw to.
    fn read(frame: &[u8]) -> Option<Self> {
        let rest = frame.get(14..)?;
        let (from, icmp) = match frame.get(12..14)? {
            kind if kind == IPV4 => {
                let length = usize::from(rest.first()? & 0x0f) * 4;
                (rest.get(9) == Some(&ICMP)).then_some(())?;
                (IpAddr::from(take::<4>(rest, 12)?), rest.get(length.max(20)..)?)
            }
            kind if kind == IPV6 => {
                (rest.get(6) == Some(&ICMPV6)).then_some(())?;
                (IpAddr::from(take::<16>(rest, 8)?), rest.get(40..)?)
            }
            _ => return None,
        };
        let reply = if from.is_ipv4() { 0 } else { 129 };
        let word = |at: usize| take(icmp, at).map(u16::from_be_bytes);
        (icmp.first() == Some(&reply) && icmp.get(8..16) == Some(&MARK)).then_some(())?;
        Some(Self { from, identifier: word(4)?, sequence: word(6)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tuplenet_model::id::{DatapathId, PortId};

    fn uplink(router: u32, nets: &[&str]) -> Outside {
        Outside {
            ls: "outside".parse().unwrap(),
            switch: DatapathId::new(1).unwrap(),
            port: PortId::new(1).unwrap(),
            patch: PortId::new(2).unwrap(),
            works: true,
            router: DatapathId::new(router).unwrap(),
            number: 7,
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
            mac: [2, 0, 0, 0, 0, 1],
            substitute: None,
        }
    }

    struct Bench {
        probes: Probes,
        outside: Vec<Outside>,
        now: Instant,
        effects: Vec<Effect>,
        stats: Stats,
    }

    impl Bench {
        fn new(targets: &[&str], outside: Vec<Outside>) -> Self {
            let targets = targets.iter().map(|ip| ip.parse().unwrap()).collect();
            let wanted = Wanted { targets, interval: Duration::from_secs(1) };
            let now = Instant::now();
            let probes = Probes::new(&"e1".parse().unwrap(), wanted, now);
            Self { probes, outside, now, effects: Vec::new(), stats: Stats::default() }
        }
        /// What is asked now.
        fn ask(&mut self) -> Vec<Vec<u8>> {
            self.probes.tick(self.outside.iter(), self.now, &mut self.effects, &mut self.stats);
            self.now += Duration::from_secs(1);
            let frames = std::mem::take(&mut self.effects).into_iter().filter_map(|effect| match effect {
                Effect::PacketOut { frame, .. } => Some(frame.to_vec()),
                _ => None,
            });
            frames.collect()
        }
        fn answer(&mut self, question: &[u8]) -> bool {
            let packet = PacketIn2 { packet: reply(question).into(), ..PacketIn2::default() };
            self.probes.packet_in(Event::Answer, &packet, self.now, &mut self.effects, &mut self.stats)
        }
    }

    /// As a host answers.
    fn reply(question: &[u8]) -> Vec<u8> {
        let mut frame = question.to_vec();
        if frame[12..14] == IPV4 {
            let (from, to) = (question[26..30].to_vec(), question[30..34].to_vec());
            frame[26..34].copy_from_slice(&[to, from].concat());
            frame[34] = 0;
        } else {
            let (from, to) = (question[22..38].to_vec(), question[38..54].to_vec());
            frame[22..54].copy_from_slice(&[to, from].concat());
            frame[54] = 129;
        }
        frame
    }

    #[test]
    fn three_questions_without_an_answer_are_silence_and_one_answer_ends_it() {
        let mut bench =
            Bench::new(&["192.0.2.1", "2001:db8::1"], vec![uplink(9, &["192.0.2.10/24", "2001:db8::10/64"])]);
        assert_eq!(bench.probes.changes().len(), 2);
        let asked = bench.ask();
        assert_eq!((asked.len(), bench.probes.answers()), (2, None));
        assert!(bench.answer(&asked[0]) && bench.answer(&asked[1]), "both families");
        assert!(!bench.answer(&asked[0]), "no news");
        for _ in 0..3 {
            bench.ask();
            assert_eq!(bench.probes.answers(), Some(true));
        }
        let asked = bench.ask();
        assert_eq!(bench.probes.answers(), Some(false));
        assert!(bench.answer(&asked[1]), "one is enough");
        assert_eq!(bench.probes.answers(), Some(true));
    }

    #[test]
    fn what_is_no_answer_to_our_question_is_not_believed() {
        let mut bench = Bench::new(&["192.0.2.1"], vec![uplink(9, &["192.0.2.10/24"])]);
        let old = bench.ask().remove(0);
        assert!((0..old.len()).all(|length| Answer::read(&reply(&old)[..length]).is_none() || length >= 50));
        for (at, what) in
            [(23, "another protocol"), (39, "another identifier"), (45, "another mark"), (33, "another address")]
        {
            let mut other = old.clone();
            other[at] ^= 0x55;
            assert!(!bench.answer(&other), "{what}");
        }
        for _ in 0..3 {
            bench.ask();
        }
        assert!(!bench.answer(&old), "too late");
        assert_eq!(bench.stats.probe_answers, 0);
    }

    #[test]
    fn asked_by_the_port_beside_it_else_by_all_and_without_one_nothing_is_known() {
        let mut bench = Bench::new(
            &["192.0.2.1", "198.51.100.1"],
            vec![uplink(8, &["192.0.2.10/24"]), uplink(9, &["203.0.113.10/24", "2001:db8::10/64"])],
        );
        let from: Vec<Vec<u8>> = bench.ask().into_iter().map(|frame| frame[26..30].to_vec()).collect();
        assert_eq!(from, [[192, 0, 2, 10], [192, 0, 2, 10], [203, 0, 113, 10]]);
        bench.outside.clear();
        for _ in 0..5 {
            assert!(bench.ask().is_empty());
        }
        assert_eq!(bench.probes.answers(), None);
    }

    #[test]
    fn checksums_are_right() {
        let mut bench =
            Bench::new(&["192.0.2.1", "2001:db8::1"], vec![uplink(9, &["192.0.2.10/24", "2001:db8::10/64"])]);
        let asked = bench.ask();
        assert_eq!((checksum(&asked[0][14..34]), checksum(&asked[0][34..])), (0, 0));
        let ends = ["2001:db8::10", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(icmpv6_checksum(ends[0], ends[1], &asked[1][54..]), 0);
    }
}
