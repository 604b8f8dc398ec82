//! Why a packet ended, in words: from the stage, the rule of the flow that it met last, and the packet as it was.
//!
//! Every rule and every stage that can end a packet has its words here: rules by a `match` without a default, stages by a test.

mod absent;
mod bridging;
mod case;
mod routing;

use crate::{
    host::Host,
    names::Names,
    packet::Slot,
    path::{Kind, Outcome},
    switch::{Abort, Run, Step},
};
use case::{Case, mac};
use tuplenet_model::name::Name;
use tuplenet_openflow::field;
use tuplenet_rules::{
    cookie::{Cookie, Rule},
    register,
    stage::{self, Stage},
};

/// How a copy of a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// In a table, whose flow did nothing with it, or which had none.
    Leaf { step: usize },
    /// It would have left by the port that it came from.
    Refused { step: Option<usize>, port: u32 },
    /// It went to the agent, for this `OFPR_*`.
    Controller { step: Option<usize>, reason: u8 },
    /// The switch gave it up.
    Abort { step: Option<usize>, abort: Abort },
}

/// `OFPR_INVALID_TTL`.
const INVALID_TTL: u8 = 2;

impl Ended {
    fn step(self) -> Option<usize> {
        match self {
            Ended::Leaf { step } => Some(step),
            Ended::Refused { step, .. } | Ended::Controller { step, .. } | Ended::Abort { step, .. } => step,
        }
    }

    /// A copy of a flood that is one too many by design: back to its sender, or on to a host that has its own.
    pub fn own_copy(self, run: &Run) -> bool {
        let Ended::Leaf { step } = self else { return false };
        let Some(end) = run.steps.get(step) else { return false };
        match rule(end) {
            Some(Rule::Flood) => end.table == stage::LSP_TRACE_INGRESS_OUT.table,
            Some(Rule::PatchElsewhere) => {
                [stage::LSP_TRACE_INGRESS_OUT.table, stage::LSP_EGRESS_JUDGE_LOOPBACK.table].contains(&end.table)
            }
            Some(Rule::Loopback) => {
                let mut at = end.parent;
                while let Some(step) = at.and_then(|at| run.steps.get(at)) {
                    if rule(step) == Some(Rule::Flood) {
                        return true;
                    }
                    at = step.parent;
                }
                false
            }
            _ => false,
        }
    }
}

fn rule(step: &Step) -> Option<Rule> {
    step.flow.and_then(|(_, cookie)| Cookie::decode(cookie)).map(|cookie| cookie.rule)
}

/// Whether its flow is about an object, not one of those that hold for all.
fn about_object(step: &Step) -> bool {
    step.flow.and_then(|(_, cookie)| Cookie::decode(cookie)).is_some_and(|cookie| cookie.datapath != 0)
}

/// What became of a copy that ended. `None`: it did not end, but did all that it was for.
pub(crate) fn dropped(names: &Names, host: Option<&Host>, chassis: &Name, run: &Run, ended: &Ended) -> Option<Outcome> {
    let outcome = |datapath: Option<(Kind, &Name)>, stage: &'static str, reason: String| Outcome::Dropped {
        chassis: chassis.to_string(),
        datapath: datapath.map(|(_, name)| name.to_string()),
        stage,
        reason,
    };
    let Some(step) = ended.step().and_then(|step| run.steps.get(step)) else {
        return Some(outcome(None, stage::PHYSICAL_IN.name, "it met no flow at all".to_owned()));
    };
    let datapath = names.datapath(step.packet.number(register::DATAPATH).unwrap_or(0) as u32);
    let name = stage_of(step.table).map_or("UNKNOWN", |stage| stage.name);
    let case = Case { names, host, chassis, packet: &step.packet, table: step.table, datapath };
    let reason = match *ended {
        Ended::Abort { abort, .. } => format!("the switch gave it up: {abort}"),
        Ended::Refused { port, .. } => {
            format!("it would leave by the port that it came from ({port}), which a switch does not do")
        }
        Ended::Controller { reason: INVALID_TTL, .. } => case.spent(),
        Ended::Controller { .. } if rule(step) == Some(Rule::NeighbourAsk) => case.asked(),
        Ended::Controller { .. } if rule(step) == Some(Rule::IcmpError) => case.told(about_object(step)),
        Ended::Controller { .. } if rule(step) == Some(Rule::TooBig) => case.too_big(),
        Ended::Controller { .. } if rule(step) == Some(Rule::ProbeAnswer) => {
            "it answers a probe of the agent (its option --probe)".to_owned()
        }
        Ended::Controller { .. } => "it was handed to the agent".to_owned(),
        Ended::Leaf { .. } => match step.flow {
            None => case.missed().unwrap_or_else(|| format!("no flow of table {} takes it", step.table)),
            Some((_, cookie)) => match Cookie::decode(cookie) {
                Some(cookie) => case.by_rule(cookie),
                None => format!("a flow of other software ended it (table {}, cookie {cookie:#x})", step.table),
            },
        },
    };
    Some(outcome(datapath, name, reason))
}

fn stage_of(table: u8) -> Option<&'static Stage> {
    stage::ALL.iter().find(|stage| stage.table == table)
}

impl Case<'_> {
    /// By the rule of the flow that ended it. No default: a new rule must come with its words.
    fn by_rule(&self, cookie: Cookie) -> String {
        match cookie.rule {
            Rule::Drop => self.missed().unwrap_or_else(|| "nothing here knows what to do with it".to_owned()),
            Rule::Loopback => {
                let port = self.port(register::SRC_PORT);
                format!("{port} is where it came from, and a switch returns nothing to its sender")
            }
            Rule::RouterDrop => self.router_drop(cookie.datapath != 0),
            Rule::Flood => self.flood(),
            Rule::RedirectIn => format!(
                "a host that could not reach its chassis sent it to {} instead, where nobody knows whom it is for",
                self.chassis
            ),
            Rule::PatchOwn => {
                let source = mac(self.packet.slot(Slot::EthSrc));
                format!(
                    "its source {source} is a port of {} itself: the frame went out by a patch port and came back",
                    self.here()
                )
            }
            Rule::PatchElsewhere => self.patch_elsewhere(),
            Rule::Unsnat | Rule::Dnat | Rule::Snat => self.untranslated(cookie.rule),
            Rule::FloatingOut => format!(
                "its source has a floating address of {} that is translated on the host of its VM only: it came here by another router, and nobody knows its connections on {}",
                self.here(),
                self.chassis
            ),
            Rule::UntunnelIn => format!(
                "it comes from the IP stack of {} itself, which takes packets and has none to give",
                self.chassis
            ),
            // These say where a packet goes on, and end none.
            Rule::Pipeline
            | Rule::LocalPort
            | Rule::TunnelIn
            | Rule::Arp
            | Rule::Nd
            | Rule::OwnAddress
            | Rule::NeighbourReply
            | Rule::L2
            | Rule::TunnelOut
            | Rule::Pushout
            | Rule::ToRouter
            | Rule::ToSwitch
            | Rule::Echo
            | Rule::Connected
            | Rule::Static
            | Rule::Ecmp
            | Rule::Redirect
            | Rule::NoDetour
            | Rule::EcmpMember
            | Rule::EcmpHome
            | Rule::NextHop
            | Rule::PatchIn
            | Rule::PatchOut
            | Rule::PatchUnknown
            | Rule::Undnat
            | Rule::FloatingIn
            | Rule::Neighbour
            | Rule::NeighbourLearn
            | Rule::NeighbourAsk
            | Rule::IcmpError
            | Rule::TooBig
            | Rule::Mtu
            | Rule::ProbeAnswer
            | Rule::Untunnel
            | Rule::Trace => {
                format!("a flow of rule \"{}\" ended it, which such flows never should", cookie.rule.name())
            }
        }
    }

    /// A stage had nothing for it. `None`: such a stage lets pass what it does not know.
    fn missed(&self) -> Option<String> {
        let t = self.table;
        let is = |stage: Stage| stage.table == t;
        if is(stage::PHYSICAL_IN) {
            Some(self.entry())
        } else if is(stage::LSP_INGRESS_NEIGHBOUR_REPLY) {
            let ttl = self.packet.number(field::NW_TTL).unwrap_or(0);
            Some(format!(
                "the neighbour solicitation has hop limit {ttl}: a router forwarded it, so nobody answers (RFC 4861 section 7.1.1 wants 255)"
            ))
        } else if is(stage::LSP_INGRESS_ND_OPTION) {
            Some("the neighbour advertisement has no place for a link-layer address".to_owned())
        } else if is(stage::LSP_INGRESS_LOOKUP_DST_PORT) {
            Some(self.no_such_mac())
        } else if is(stage::LSP_EGRESS_PUSHOUT) {
            Some(self.not_here())
        } else if is(stage::LRP_INGRESS_IP_ROUTE) {
            Some(self.no_route())
        } else if is(stage::LRP_EGRESS_UPDATE_ETH_DST) {
            Some(self.no_next_hop())
        } else if is(stage::LRP_EGRESS_TO_SWITCH) {
            Some(format!("{} is linked to no switch", self.port(register::DST_PORT)))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
