//! A packet from host to host: each host's switch does its part, tunnels lead to the next.

use super::{Network, WalkError};
use crate::{
    packet::{Packet, Slot},
    path::{Outcome, Path},
    reason::{self, Ended},
    switch::{Effect, Run, Unsupported},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};
use tuplenet_model::{entity::EncapKind, key::Key, name::Name};
use tuplenet_openflow::field;
use tuplenet_rules::{
    cookie::{Cookie, Rule},
    outside, register, stage,
    trace::{Event, inject},
    userdata::Userdata,
};

/// How often one copy may cross the underlay: TTL ends any loop of routers before.
const MAX_DEPTH: u32 = 300;
/// How often all copies together may cross it.
const MAX_CROSSINGS: u32 = 5_000;
/// The colour of a simulated packet.
const COLOUR: NonZeroU16 = NonZeroU16::MIN;

/// A copy of a packet that left by a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The switch.
    pub ls: Name,
    /// Its port.
    pub lsp: Name,
    /// The host.
    pub chassis: Name,
    /// As it left.
    pub packet: Packet,
    /// How often it crossed the underlay.
    pub crossings: u32,
}

/// What became of a packet.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub path: Path,
    pub deliveries: Vec<Delivery>,
}

/// Who answered a packet, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    by: String,
    what: &'static str,
}

/// What a copy brings along from the hosts before.
#[derive(Clone, Debug, Default)]
struct History {
    crossings: u32,
    answer: Option<Answer>,
}

pub(super) fn start(network: &mut Network, ls: &Name, lsp: &Name, packet: Packet) -> Result<Walked, WalkError> {
    let (ls, lsp) = (ls.clone(), lsp.clone());
    let Some(port) = network.names.switch_port(&ls, &lsp) else {
        let unreadable = network.objects.contains_key(&Key::Lsp(ls.clone(), lsp.clone()).to_string());
        return Err(match (unreadable, network.names.switch(&ls)) {
            (true, _) => set_aside(network, None, &ls, &lsp).unwrap_or(WalkError::NoPort { ls, lsp }),
            (false, None) => WalkError::NoSwitch(ls),
            (false, Some(_)) => WalkError::NoPort { ls, lsp },
        });
    };
    if let Some(peer) = &port.peer {
        return Err(WalkError::Link { ls, lsp, peer: format!("{}/{}", peer.lr, peer.lrp) });
    }
    let Some(chassis) = network.chassis_of(&ls, &lsp) else { return Err(WalkError::NotBound { ls, lsp }) };
    let Some(host) = network.host(&chassis) else { return Err(WalkError::NoChassis(chassis)) };
    let Some(number) = host.port(&ls, &lsp) else { return Err(WalkError::NotBound { ls, lsp }) };
    let run = host.switch_mut().execute(packet, number, &inject(COLOUR));
    if let Some(error) = set_aside(network, Some(&chassis), &ls, &lsp) {
        return Err(error);
    }
    Walker::new(network).all(&chassis, run, true)
}

pub(super) fn resume(network: &mut Network, chassis: &Name, table: u8, packet: Packet) -> Result<Walked, WalkError> {
    let Some(host) = network.host(chassis) else { return Err(WalkError::NoChassis(chassis.clone())) };
    let coloured = coloured(&packet);
    let run = host.switch_mut().run(packet, table);
    Walker::new(network).all(chassis, run, coloured)
}

fn coloured(packet: &Packet) -> bool {
    packet.number(register::FLAGS).unwrap_or(0) & u128::from(register::TRACED) != 0
}

/// The error of a port that the rules of its host do not take; without a host, of one that cannot be read at all.
fn set_aside(network: &mut Network, chassis: Option<&Name>, ls: &Name, lsp: &Name) -> Option<WalkError> {
    let keys = [Key::Lsp(ls.clone(), lsp.clone()).to_string(), Key::Ls(ls.clone()).to_string()];
    let error = |key: String, reason: String| WalkError::SetAside { ls: ls.clone(), lsp: lsp.clone(), key, reason };
    let Some(chassis) = chassis else {
        return keys.into_iter().find_map(|path| {
            let key = Key::parse(&path).ok().flatten()?;
            let (value, _) = network.objects.get(&path)?;
            let reason = tuplenet_model::object::Object::parse(&key, value).err()?.reason();
            Some(error(path, reason))
        });
    };
    let host = network.host(chassis)?;
    let reject = host.engine().rejected().find(|reject| keys.contains(&reject.key))?;
    Some(error(reject.key.clone(), reject.reason.clone()))
}

/// Something that happened to a copy, in the order of the steps.
enum Fate {
    Left { port: u32, packet: Packet },
    Ended(Ended),
}

/// A copy on the underlay.
struct Crossing {
    from: Name,
    to: Name,
    kind: EncapKind,
    packet: Packet,
    history: History,
}

struct Walker<'a> {
    network: &'a mut Network,
    walked: Walked,
    /// Copies that are still on their way, the next one last.
    onward: Vec<Crossing>,
    crossings: u32,
}

impl<'a> Walker<'a> {
    fn new(network: &'a mut Network) -> Self {
        Walker { network, walked: Walked::default(), onward: Vec::new(), crossings: 0 }
    }

    /// From what the first host's switch did to the end of all copies.
    fn all(mut self, chassis: &Name, run: Result<Run, Unsupported>, coloured: bool) -> Result<Walked, WalkError> {
        self.follow(chassis, run, coloured, &History::default())?;
        while let Some(crossing) = self.onward.pop() {
            self.cross(crossing)?;
        }
        Ok(self.walked)
    }

    /// Takes what a host's switch did, and goes on to the hosts that it sent copies to.
    fn follow(
        &mut self,
        chassis: &Name,
        run: Result<Run, Unsupported>,
        coloured: bool,
        history: &History,
    ) -> Result<(), WalkError> {
        let run = run.map_err(|what| WalkError::Unsupported { chassis: chassis.clone(), what })?;
        self.hops(chassis, &run, coloured);
        let mut onward = Vec::new();
        let mut drops = Vec::new();
        let before = self.walked.path.outcomes.len();
        for (step, event) in events(&run) {
            let answer = step.and_then(|step| self.answer(&run, step)).or_else(|| history.answer.clone());
            match event {
                Fate::Left { port, packet } => self.left(chassis, port, packet, answer, history, &mut onward),
                Fate::Ended(ended) => {
                    let host = self.network.hosts.get(chassis);
                    let told = reason::dropped(&self.network.names, host, chassis, &run, &ended);
                    if let Some(outcome) = told {
                        let outcome = answered(outcome, answer);
                        drops.push((ended.own_copy(&run), self.walked.path.outcomes.len(), outcome));
                    }
                }
            }
        }
        // The copy of a flood that would return to its sender is no news beside others.
        let others = onward.len() + (self.walked.path.outcomes.len() - before) + drops.iter().filter(|d| !d.0).count();
        for (own, at, outcome) in drops.into_iter().rev() {
            if !own || others == 0 {
                self.walked.path.outcomes.insert(at, outcome);
            }
        }
        self.onward.extend(onward.into_iter().rev());
        Ok(())
    }

    fn hops(&mut self, chassis: &Name, run: &Run, coloured: bool) {
        let hop = |table: u8, packet: &Packet| {
            let number = |field| packet.number(field).unwrap_or(0) as u32;
            let (datapath, from) = (number(register::DATAPATH), number(register::SRC_PORT));
            self.network.names.hop(chassis, table, datapath, from, number(register::DST_PORT))
        };
        let hops: Vec<_> = if coloured {
            let reported = run.effects.iter().filter_map(|effect| match effect {
                Effect::Controller { userdata, packet, step, .. }
                    if Userdata::decode(userdata) == Some(Userdata::Trace(Event::Hop)) =>
                {
                    hop(run.steps.get((*step)?)?.table, packet)
                }
                _ => None,
            });
            reported.collect()
        } else {
            // A tunnel that carries no colour: nothing reports, but the stages are the same.
            let traced = |table: u8| stage::ALL.iter().any(|stage| stage.table == table && stage.is_traced());
            let passed = run.steps.iter().filter(|step| step.flow.is_some() && traced(step.table));
            passed.filter_map(|step| hop(step.table, &step.packet)).collect()
        };
        self.walked.path.hops.extend(hops);
    }

    /// A packet left by a port of the bridge.
    fn left(
        &mut self,
        chassis: &Name,
        port: u32,
        packet: Packet,
        answer: Option<Answer>,
        history: &History,
        onward: &mut Vec<Crossing>,
    ) {
        let Some(host) = self.network.hosts.get(chassis) else { return };
        if host.is_own_stack(port) {
            let lr = self.network.names.datapath(packet.number(register::DATAPATH).unwrap_or(0) as u32);
            let lr = lr.map_or_else(String::new, |(_, name)| name.to_string());
            self.walked.path.outcomes.push(Outcome::Untunnelled { lr, chassis: chassis.to_string() });
            return;
        }
        if let Some((ls, lsp)) = host.port_at(port) {
            let (at, name, on) = (ls.to_string(), lsp.to_string(), chassis.to_string());
            self.walked.path.outcomes.push(match answer {
                Some(Answer { by, what }) => {
                    Outcome::Answered { by, what: what.to_owned(), ls: at, lsp: name, chassis: on }
                }
                None => Outcome::Delivered { ls: at, lsp: name, chassis: on },
            });
            self.walked.deliveries.push(Delivery {
                ls: ls.clone(),
                lsp: lsp.clone(),
                chassis: chassis.clone(),
                packet,
                crossings: history.crossings,
            });
            return;
        }
        let lost = |towards: String, reason: String| Outcome::Lost { chassis: chassis.to_string(), towards, reason };
        let Some(kind) = host.tunnel_at(port) else {
            let reason = format!("the bridge has no port with the number {port}");
            self.walked.path.outcomes.push(lost(format!("port {port}"), reason));
            return;
        };
        let ip = endpoint(&packet);
        let Some(next) = self.network.names.chassis_with(kind, ip) else {
            let reason = format!("no chassis has the tunnel end point {ip}");
            self.walked.path.outcomes.push(lost(ip.to_string(), reason));
            return;
        };
        let crossings = history.crossings + 1;
        self.crossings += 1;
        if crossings > MAX_DEPTH || self.crossings > MAX_CROSSINGS {
            let reason = format!("it crossed the underlay {crossings} times: the network sends it round in a loop");
            self.walked.path.outcomes.push(lost(next.to_string(), reason));
            return;
        }
        let history = History { crossings, answer };
        onward.push(Crossing { from: chassis.clone(), to: next.clone(), kind, packet, history });
    }

    /// Into the next host, by its tunnel port of the same protocol.
    fn cross(&mut self, Crossing { from, to, kind, packet: sent, history }: Crossing) -> Result<(), WalkError> {
        let source =
            self.network.names.chassis(&from).and_then(|c| c.encaps.iter().find(|e| e.kind == kind)).map(|e| e.ip);
        let mut packet = sent.fresh();
        let vni = if kind == EncapKind::Gre { u128::from(u32::MAX) } else { 0xff_ffff };
        *packet.slot_mut(Slot::TunId) = sent.slot(Slot::TunId) & vni;
        match source {
            Some(IpAddr::V4(ip)) => packet.set(field::TUN_SRC, ip),
            Some(IpAddr::V6(ip)) => packet.set(field::TUN_IPV6_SRC, ip),
            None => {}
        }
        match endpoint(&sent) {
            IpAddr::V4(ip) => packet.set(field::TUN_DST, ip),
            IpAddr::V6(ip) => packet.set(field::TUN_IPV6_DST, ip),
        }
        let mut is_coloured = false;
        if kind == EncapKind::Geneve && sent.slot(Slot::TunMetadata0Present) != 0 {
            let option = sent.slot(Slot::TunMetadata0);
            packet.set(field::TUN_METADATA0, option);
            is_coloured = option >> register::option::FLAGS & u128::from(register::TRACED) != 0;
        }
        let arrived = self.network.host(&to).and_then(|host| {
            let number = host.tunnel(kind)?;
            packet.set(field::IN_PORT, number);
            Some(host.switch_mut().run(packet, stage::PHYSICAL_IN.table))
        });
        match arrived {
            Some(run) => self.follow(&to, run, is_coloured, &history),
            None => Ok(()),
        }
    }

    /// Whether what left or ended at a step is an answer that was made here.
    fn answer(&self, run: &Run, step: usize) -> Option<Answer> {
        let mut at = Some(step);
        let mut found = None;
        while let Some(step) = at.and_then(|at| run.steps.get(at)) {
            let rule = step.flow.and_then(|(_, cookie)| Cookie::decode(cookie)).map(|cookie| cookie.rule);
            let what = match rule {
                Some(Rule::Echo) => Some("echo reply"),
                Some(Rule::NeighbourReply) if step.packet.has(field::ARP_OP) => Some("ARP reply"),
                Some(Rule::NeighbourReply) => Some("neighbour advertisement"),
                _ => None,
            };
            let datapath = step.packet.number(register::DATAPATH).unwrap_or(0) as u32;
            if let Some(what) = what {
                let by = self.network.names.datapath(datapath).map_or_else(String::new, |(_, name)| name.to_string());
                found = Some(Answer { by, what });
            }
            at = step.parent;
        }
        found
    }
}

/// A drop of an answer says so.
fn answered(outcome: Outcome, answer: Option<Answer>) -> Outcome {
    match (outcome, answer) {
        (Outcome::Dropped { chassis, datapath, stage, reason }, Some(Answer { by, what })) => {
            Outcome::Dropped { chassis, datapath, stage, reason: format!("the {what} of {by}: {reason}") }
        }
        (outcome, _) => outcome,
    }
}

/// Where a tunnel leads; of two families Open vSwitch takes IPv4.
fn endpoint(packet: &Packet) -> IpAddr {
    match packet.slot(Slot::TunDst) {
        0 => Ipv6Addr::from(packet.slot(Slot::Tun6Dst)).into(),
        ip => Ipv4Addr::from(ip as u32).into(),
    }
}

/// Whether a table is a part of what the flow does that sent a packet there.
fn returns(table: u8) -> bool {
    stage::ALL.iter().any(|stage| stage.table == table && stage.returns())
}

/// What left and what ended, in the order of the steps.
fn events(run: &Run) -> Vec<(Option<usize>, Fate)> {
    let mut events: Vec<(Option<usize>, Fate)> = Vec::new();
    let parents: BTreeSet<usize> = run.steps.iter().filter_map(|step| step.parent).collect();
    let mut told: BTreeSet<usize> = BTreeSet::new();
    if let Some((abort, step)) = run.abort {
        told.extend(step);
        events.push((step, Fate::Ended(Ended::Abort { step, abort })));
        if run.effects.is_empty() {
            return events;
        }
    }
    for effect in &run.effects {
        let event = match effect {
            Effect::Output { port, packet, .. } => Fate::Left { port: *port, packet: packet.clone() },
            Effect::Refused { port, .. } => Fate::Ended(Ended::Refused { step: effect.step(), port: *port }),
            Effect::Controller { userdata, reason, .. } => match Userdata::decode(userdata) {
                // Copies: the packet goes on.
                Some(Userdata::Trace(_) | Userdata::Neighbour(outside::Event::Learn)) => continue,
                Some(Userdata::Neighbour(outside::Event::Ask) | Userdata::IcmpError(_) | Userdata::Probe(_)) | None => {
                    Fate::Ended(Ended::Controller { step: effect.step(), reason: *reason })
                }
            },
        };
        told.extend(effect.step());
        events.push((effect.step(), event));
    }
    let returned = |step: usize| run.steps.get(step).is_some_and(|step| returns(step.table));
    let ended = |step: &usize| !parents.contains(step) && !told.contains(step) && !returned(*step);
    for step in (0..run.steps.len()).filter(ended) {
        events.push((Some(step), Fate::Ended(Ended::Leaf { step })));
    }
    events.sort_by_key(|(step, _)| *step);
    events
}
