//! Hosts that know different states of the network, as they do while a change is on its way: whatever each of them believes, a packet crosses the
//! underlay at most once until a router takes it, and no port of a host gets it twice.

use crate::{
    generate::{self, Case, Sent},
    packets::{name, object},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_openflow::{Field, field};
use tuplenet_rules::stage;
use tuplenet_sim::{Effect, Network, Packet, Run};

/// A network, what changes in it, and which hosts know of the change.
#[derive(Clone)]
struct Changing {
    case: Case,
    changes: Vec<(Kind, usize, usize)>,
    /// By the number of the host.
    know: [bool; 4],
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Moved,
    Pinned,
    Deleted,
    Flooding,
}

impl fmt::Debug for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after: Vec<String> = self.after().iter().map(ToString::to_string).collect();
        write!(f, "{:?}  then\n  {}\n  hosts that know: {:?}", self.case, after.join("\n  "), self.know)
    }
}

impl Changing {
    /// The objects as they are then.
    fn after(&self) -> Vec<generate::Object> {
        let mut objects = self.case.network.objects.clone();
        for (kind, which, other) in &self.changes {
            let prefix = match kind {
                Kind::Moved => "binding/",
                Kind::Pinned => "lr/",
                Kind::Deleted | Kind::Flooding => "ls/",
            };
            let whole = |path: &str| !matches!(kind, Kind::Pinned | Kind::Flooding) || path.matches('/').count() == 1;
            let fits = |object: &generate::Object| object.path.starts_with(prefix) && whole(&object.path);
            let count = objects.iter().filter(|object| fits(object)).count();
            let Some(at) = which.checked_rem(count) else { continue };
            let found = objects.iter().enumerate().filter(|(_, object)| fits(object)).nth(at);
            let Some(at) = found.map(|(at, _)| at) else { continue };
            let Ok(mut value) = serde_json::from_str::<Value>(&objects[at].json) else { continue };
            let chassis = format!("hv{}", other % 4);
            match kind {
                Kind::Moved => value = json!({"chassis": chassis, "generation": 2}),
                Kind::Pinned => value["chassis"] = if other % 5 == 0 { Value::Null } else { json!(chassis) },
                Kind::Flooding => value["flood"] = json!(other % 2 == 0),
                Kind::Deleted => {
                    objects.remove(at);
                    continue;
                }
            }
            objects[at].json = value.to_string();
        }
        objects
    }
}

fn changing() -> impl Strategy<Value = Changing> {
    let kind = prop_oneof![4 => Just(Kind::Moved), 3 => Just(Kind::Pinned), 1 => Just(Kind::Deleted), 1 => Just(Kind::Flooding)];
    let changes = proptest::collection::vec((kind, 0..20_usize, 0..20_usize), 1..=5);
    (generate::sound_cases(20), changes, any::<[bool; 4]>()).prop_map(|(case, changes, know)| Changing {
        case,
        changes,
        know,
    })
}

/// The hosts, each with the network as it knows it.
struct Hosts {
    before: Network,
    after: Network,
    know: BTreeSet<Name>,
    /// Who has which end point.
    at: BTreeMap<IpAddr, Name>,
    delivered: BTreeSet<String>,
}

impl Hosts {
    fn of(changing: &Changing) -> Self {
        let objects = &changing.case.network.objects;
        let know = (0..4).filter(|i| changing.know[*i]).map(|i| name(&format!("hv{i}")));
        let mut at = BTreeMap::new();
        for stored in objects {
            let Some(chassis) = stored.path.strip_prefix("chassis/") else { continue };
            let value: Value = serde_json::from_str(&stored.json).unwrap_or_default();
            let ip = value["encaps"][0]["ip"].as_str().and_then(|ip| ip.parse().ok());
            at.extend(ip.map(|ip: IpAddr| (ip, name(chassis))));
        }
        Self {
            before: Network::new(objects.iter().map(object)),
            after: Network::new(changing.after().iter().map(object)),
            know: know.collect(),
            at,
            delivered: BTreeSet::new(),
        }
    }

    fn host(&mut self, chassis: &Name) -> Option<&mut tuplenet_sim::Host> {
        let network = if self.know.contains(chassis) { &mut self.after } else { &mut self.before };
        network.host(chassis)
    }

    /// Sends it from wherever the port is, before or after.
    fn send(&mut self, sent: &Sent) -> Result<(), String> {
        for chassis in self.at.values().cloned().collect::<Vec<_>>() {
            let Some(host) = self.host(&chassis) else { continue };
            let Some(number) = host.port(&name(&sent.ls), &name(&sent.lsp)) else { continue };
            let mut packet = Packet::parse(&sent.frame.to_bytes()).map_err(|e| e.to_string())?;
            packet.set(field::IN_PORT, number);
            self.delivered.clear();
            self.run(&chassis, packet, false, 300)?;
        }
        Ok(())
    }

    fn run(&mut self, chassis: &Name, packet: Packet, by_tunnel: bool, left: u32) -> Result<(), String> {
        let left = left.checked_sub(1).ok_or("it goes round between hosts")?;
        let Some(host) = self.host(chassis) else { return Ok(()) };
        let run = host.switch_mut().run(packet, stage::PHYSICAL_IN.table).map_err(|e| e.to_string())?;
        for effect in &run.effects {
            let Effect::Output { port, packet, step } = effect else { continue };
            let Some(host) = self.host(chassis) else { continue };
            if let Some((ls, lsp)) = host.port_at(*port) {
                let to = format!("{ls}/{lsp} on {chassis}");
                if !self.delivered.insert(to.clone()) {
                    return Err(format!("{to} gets it twice"));
                }
                continue;
            }
            let kind = host.tunnel_at(*port).ok_or("it leaves by a port that is none")?;
            if by_tunnel && !was_routed(&run, *step) {
                return Err(format!("{chassis} got it by a tunnel and sends it on by one"));
            }
            let Some(next) = self.at.get(&endpoint(packet)).cloned() else { continue };
            if let Some(packet) = self.arriving(&next, kind, packet) {
                self.run(&next, packet, true, left)?;
            }
        }
        Ok(())
    }

    /// The packet as the next host gets it.
    fn arriving(&mut self, next: &Name, kind: EncapKind, sent: &Packet) -> Option<Packet> {
        let mut packet = Packet::parse(&sent.to_bytes()).ok()?;
        packet.set(field::IN_PORT, self.host(next)?.tunnel(kind)?);
        packet.set(field::TUN_ID, sent.get(field::TUN_ID)?);
        if kind == EncapKind::Geneve {
            packet.set(field::TUN_METADATA0, sent.get(field::TUN_METADATA0)?);
        }
        Some(packet)
    }
}

/// Whether a router took the packet on this host before that step.
fn was_routed(run: &Run, step: Option<usize>) -> bool {
    let mut at = step;
    while let Some(step) = at.and_then(|at| run.steps.get(at)) {
        if step.table == stage::LRP_TRACE_INGRESS_IN.table {
            return true;
        }
        at = step.parent;
    }
    false
}

fn endpoint(packet: &Packet) -> IpAddr {
    let number = |field: &'static Field| {
        packet.get(field).map_or(0, |value| value.as_bytes().iter().fold(0, |n: u128, byte| n << 8 | u128::from(*byte)))
    };
    match number(field::TUN_DST) {
        0 => Ipv6Addr::from(number(field::TUN_IPV6_DST)).into(),
        ip => Ipv4Addr::from(ip as u32).into(),
    }
}

#[test]
fn while_hosts_know_different_states_no_packet_goes_round_or_arrives_twice() {
    generate::try_all(&changing(), 150, |changing| {
        let mut hosts = Hosts::of(changing);
        changing.case.packets.iter().try_for_each(|sent| hosts.send(sent).map_err(|why| format!("{sent}\n  {why}")))
    });
}
