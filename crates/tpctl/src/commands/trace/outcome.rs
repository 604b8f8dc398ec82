//! What became of a real packet: from joined reports to hops and outcomes, with the reason where it ended.
//!
//! A host says where it saw the packet last, not why it ended there. The simulator says why: it takes the packet as it was then, with its
//! registers, through the tables that this host should have.

use super::{
    join::{Joined, Missing, Passed},
    session::Shot,
    world::World,
};
use anyhow::Result;
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tuplenet_model::{
    entity::EncapKind,
    name::Name,
    trace::{TraceEvent, TraceRecord, from_hex},
};
use tuplenet_rules::{register, stage, trace::PACKET_BYTES};
use tuplenet_sim::network::Network;
use tuplenet_sim::{
    packet::Packet,
    path::{Hop, Kind, Outcome, Path},
};

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// What any network passes (IEEE 802.3): with more than that in it, a packet's length is worth a question.
const COMMON_MTU: usize = 1500;
/// What to do when a host does not do what it should.
const REMEDY: &str = "see its agent's log; restarting the agent sets the flows right";

/// The path that was reported. `alive`: whose agents are alive now; `patience`: how long was waited for what is missing.
pub fn path(
    world: &World,
    alive: &BTreeSet<String>,
    network: &mut Network,
    shot: &Shot<'_>,
    joined: &Joined,
    patience: Duration,
) -> Path {
    let mut path = Path::default();
    for passed in &joined.passed {
        // Where a router hands packets to a switch nothing else is delivered.
        if passed.record.event == TraceEvent::Delivered && passed.record.table == stage::LRP_EGRESS_TO_SWITCH.table {
            let Hop { pipeline: lr, chassis, .. } = hop(network, passed);
            path.outcomes.push(Outcome::Untunnelled { lr, chassis });
            continue;
        }
        let hop = hop(network, passed);
        match (passed.record.event, hop) {
            (TraceEvent::Hop, hop) => path.hops.push(hop),
            (TraceEvent::Delivered, Hop { pipeline: ls, to, chassis, .. }) => {
                let lsp = to.unwrap_or_default();
                let delivered = Outcome::Delivered { ls, lsp, chassis };
                path.outcomes.push(answer(network, shot, &delivered).unwrap_or(delivered));
            }
            _ => {}
        }
    }
    for (chassis, last) in &joined.ended {
        let dropped = match last {
            Some(last) => dropped(network, shot, last),
            None => Outcome::Dropped {
                chassis: chassis.to_string(),
                datapath: None,
                stage: stage::PHYSICAL_IN.name,
                reason: format!("its Open vSwitch took it for no packet of this port: {REMEDY}"),
            },
        };
        path.outcomes.push(dropped);
    }
    let delivered_by =
        |chassis: &Name| joined.passed.iter().any(|p| p.chassis == *chassis && p.record.event == TraceEvent::Delivered);
    for missing in &joined.missing {
        match missing {
            // It is certain what became of it, though not that there was nothing else.
            Missing::End(chassis) if delivered_by(chassis) => {}
            missing => path.outcomes.push(lost(world, alive, missing, shot.frame, patience)),
        }
    }
    path
}

/// A report in words.
fn hop(network: &Network, passed: &Passed) -> Hop {
    let TraceRecord { table, datapath, from, to, .. } = passed.record;
    let hop = network.hop(&passed.chassis, table, datapath, from, to).unwrap_or_else(|| {
        // Numbers of a network that has changed meanwhile, or of a later version.
        let stage = stage::ALL.iter().find(|stage| stage.table == table).map_or("UNKNOWN", |stage| stage.name);
        let kind = if stage.starts_with("LRP") { Kind::Lr } else { Kind::Ls };
        let number = |number: u32| (number > 0).then(|| format!("<{number}>"));
        let (pipeline, chassis) = (format!("<{datapath}>"), passed.chassis.to_string());
        Hop { kind, pipeline, from: number(from), to: number(to), stage, chassis, at: None }
    });
    Hop { at: Some(passed.at), ..hop }
}

/// What was delivered to the port that sent the packet is an answer; whose, the simulator knows.
fn answer(network: &mut Network, shot: &Shot<'_>, delivered: &Outcome) -> Option<Outcome> {
    let Outcome::Delivered { ls, lsp, chassis } = delivered else { return None };
    if *ls != *shot.from.ls || *lsp != *shot.from.lsp {
        return None;
    }
    let walked = network.walk(&shot.from.ls, &shot.from.lsp, Packet::parse(shot.frame).ok()?).ok()?;
    let same = |outcome: &Outcome| match outcome {
        Outcome::Answered { ls: at, lsp: to, chassis: on, .. } => (at, to, on) == (ls, lsp, chassis),
        _ => false,
    };
    walked.outcomes.into_iter().find(same)
}

/// Why a packet ended after its last report.
fn dropped(network: &mut Network, shot: &Shot<'_>, last: &Passed) -> Outcome {
    let Hop { pipeline, chassis, stage, .. } = hop(network, last);
    let at_last =
        |reason| Outcome::Dropped { chassis: chassis.clone(), datapath: Some(pipeline.clone()), stage, reason };
    let resumed =
        packet(&last.record, shot).and_then(|packet| Ok(network.resume(&last.chassis, last.record.table, packet)?));
    let resumed = match resumed {
        Ok(resumed) => resumed,
        Err(error) => return at_last(format!("its flows do not tell why ({error:#})")),
    };
    match &resumed.outcomes[..] {
        // The stage that reported last is the first that the simulator passes; with one more, it is further than the packet was.
        [Outcome::Dropped { chassis: by, .. }] if *by == chassis && resumed.hops.len() <= 1 => {
            resumed.outcomes.into_iter().next().unwrap_or_else(|| at_last(String::new()))
        }
        _ => {
            let next = match (resumed.hops.get(1), resumed.outcomes.first()) {
                (Some(hop), _) => format!("passed {} of {} next", hop.stage, hop.pipeline),
                (None, Some(Outcome::Delivered { lsp, .. })) => format!("been delivered to {lsp}"),
                _ => "gone on".to_owned(),
            };
            // The hook between these two stages is the only place for flows that are not ours.
            let others = last.record.table == stage::LSP_TRACE_INGRESS_IN.table;
            let others = if others {
                format!(", or other software's flows in table {} took it", stage::HOOK.table)
            } else {
                String::new()
            };
            at_last(format!(
                "by the network in the store it should have {next}, so the flows of {chassis} are not what they should be{others}: {REMEDY}"
            ))
        }
    }
}

/// The packet as it was reported, with its registers. Of a long one only the beginning is reported; the rest is what was sent.
fn packet(record: &TraceRecord, shot: &Shot<'_>) -> Result<Packet> {
    let mut bytes = from_hex(&record.packet).map_err(anyhow::Error::msg)?;
    if bytes.len() >= PACKET_BYTES.into() {
        bytes.extend(shot.frame.get(bytes.len()..).unwrap_or_default());
    }
    let mut packet = Packet::parse(&bytes)?;
    packet.set(register::DATAPATH, u64::from(record.datapath));
    packet.set(register::SRC_PORT, record.from);
    packet.set(register::DST_PORT, record.to);
    packet.set(register::FLAGS, record.flags);
    packet.set(register::COMMAND, 1_u32);
    match record.remote {
        Some(IpAddr::V4(ip)) => packet.set(register::REMOTE4, ip),
        Some(IpAddr::V6(ip)) => packet.set(register::REMOTE6, ip),
        None => {}
    }
    match record.next_hop {
        Some(IpAddr::V4(ip)) => packet.set(register::NEXT_HOP4, ip),
        Some(IpAddr::V6(ip)) => packet.set(register::NEXT_HOP6, ip),
        None => {}
    }
    Ok(packet)
}

/// Who was last heard of, and why probably nothing more.
fn lost(world: &World, alive: &BTreeSet<String>, missing: &Missing, frame: &[u8], patience: Duration) -> Outcome {
    let seconds = patience.as_secs();
    let dead = |chassis: &Name| {
        let silent = !alive.contains(chassis.as_str());
        silent.then(|| format!("the agent on {chassis} is not alive (it has no heartbeat status/{chassis}/alive)"))
    };
    // Traffic does not need an agent.
    let unseen = |chassis: &Name| Some(dead(chassis)? + "; the packet may have arrived all the same");
    let large = match frame.len().saturating_sub(ETHERNET) {
        payload if payload > COMMON_MTU => format!(" Does it pass packets of {payload} bytes and the tunnel's header?"),
        _ => String::new(),
    };
    match missing {
        Missing::Start(chassis) => Outcome::Lost {
            chassis: chassis.to_string(),
            towards: chassis.to_string(),
            reason: dead(chassis).unwrap_or_else(|| {
                format!("{chassis} did not answer within {seconds} s, although its agent was alive less than 15 s ago: see its log, or give it longer with --timeout")
            }),
        },
        Missing::End(chassis) => Outcome::Lost {
            chassis: chassis.to_string(),
            towards: chassis.to_string(),
            reason: dead(chassis)
                .unwrap_or_else(|| format!("{chassis} did not say within {seconds} s what became of it: try again, or give it longer with --timeout")),
        },
        Missing::Arrival(from, ip, to) => {
            let reason = match to {
                None => format!("no chassis has the tunnel end point {ip}"),
                Some(to) => unseen(to).or_else(|| colourless(world, from, to)).unwrap_or_else(|| {
                    format!(
                        "{to} reported nothing within {seconds} s, although its agent was alive less than 15 s ago: does the underlay pass Geneve (UDP port 6081) \
                         from {from} to {ip}?{large} (The first packet to a host may be lost while Open vSwitch asks for its MAC: try again.)"
                    )
                }),
            };
            let towards = to.as_ref().map_or_else(|| ip.to_string(), Name::to_string);
            Outcome::Lost { chassis: from.to_string(), towards, reason }
        }
    }
}

/// Why a packet that arrives may not be seen: only Geneve has room for the colour.
fn colourless(world: &World, from: &Name, to: &Name) -> Option<String> {
    let encaps = |chassis: &Name| world.chassis(chassis).map(|c| c.encaps.clone()).unwrap_or_default();
    // The first in the order of the other end that this host speaks, too.
    let kind =
        encaps(to).iter().map(|encap| encap.kind).find(|kind| encaps(from).iter().any(|encap| encap.kind == *kind));
    (kind != Some(EncapKind::Geneve)).then(|| {
        format!("the tunnel from {from} to {to} is not Geneve, and no other carries the colour of a trace: see the rest with --simulate")
    })
}
