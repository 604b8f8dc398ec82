//! A coloured packet is reported: in each traced stage, where it is delivered, and where this host has done with it. Other packets pay nothing: what
//! is matched are registers, which no megaflow has.
//!
//! Cost of a local port: one flow. Of anything else: none.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, forget_in_port, output, priority, resubmit_table, set_flags, within},
    port::LocalPort,
    register::{self, ENTERED, FROM_TUNNEL, PENDING, TRACED},
    stage,
    trace::{Event, METER, report},
};
use tuplenet_datalog::Relation;
use tuplenet_openflow::{Action, Match};

/// What no object has.
const ABOVE_ALL: u16 = 1_000;

/// ```text
/// delivered(LS, Port, OfPort) <- local(LS, Port, OfPort).
/// ```
pub fn flows(local: &Relation<LocalPort>) -> Relation<FlowRow> {
    local.map(delivered)
}

fn delivered(local: &LocalPort) -> FlowRow {
    let (ls, port) = (local.port.ls, local.port.lsp.value.port);
    flow(
        stage::LSP_EGRESS_PUSHOUT,
        priority::EXCEPTION,
        Cookie::port(Rule::Trace, ls, port),
        within(ls).with(register::DST_PORT, u32::from(port.get())).with_masked(register::FLAGS, TRACED, TRACED),
        vec![report(Event::Delivered, METER.id), forget_in_port(), output(local.ofport)],
    )
}

/// ```text
/// hop(Stage, Next)                  <- stage(Stage, next: Next), Stage is traced.
/// hop(LSP_TRACE_EGRESS_IN), end()   <- .  (a packet that came by a tunnel)
/// end(Stage)                        <- Stage comes after conntrack.
/// ```
/// The host that sends the packet reports the end by itself: see [`crate::trace::inject`].
pub fn fixed() -> Vec<FlowRow> {
    let hop = report(Event::Hop, METER.id);
    let traced = stage::ALL.iter().filter(|stage| stage.is_traced());
    let mut flows: Vec<FlowRow> = traced
        .filter_map(|stage| {
            let matching = Match::new().with_masked(register::FLAGS, TRACED, TRACED);
            let actions = vec![hop.clone(), resubmit_table(stage.next?)];
            Some(flow(*stage, priority::GENERAL, Cookie::stage(Rule::Trace, *stage), matching, actions))
        })
        .collect();
    let entry = stage::LSP_TRACE_EGRESS_IN;
    if let Some(next) = entry.next {
        let matching = Match::new().with_masked(register::FLAGS, TRACED | FROM_TUNNEL, TRACED | FROM_TUNNEL | ENTERED);
        let actions = vec![hop, set_flags(ENTERED), resubmit_table(next), report(Event::End, METER.id)];
        flows.push(flow(entry, priority::OBJECT, Cookie::stage(Rule::Trace, entry), matching, actions));
    }
    let tracked = [
        stage::LRP_INGRESS_UNSNAT_STAGE2,
        stage::LRP_INGRESS_DNAT_STAGE2,
        stage::LRP_EGRESS_UNDNAT_STAGE2,
        stage::LRP_EGRESS_SNAT_STAGE2,
    ];
    flows.extend(tracked.map(|stage| {
        let both = TRACED | PENDING;
        let matching = Match::new().with_masked(register::FLAGS, both, both);
        // Into the same stage again, without the flag.
        let again = [Action::set_field_masked(register::FLAGS, 0_u32, PENDING), resubmit_table(stage.table)];
        let actions = again.into_iter().chain([report(Event::End, METER.id)]).collect();
        flow(stage, ABOVE_ALL, Cookie::stage(Rule::Trace, stage), matching, actions)
    }));
    flows
}
