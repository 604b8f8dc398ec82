//! A coloured packet goes as every other does, and is reported on its way.

mod common;

use common::*;
use std::{collections::BTreeMap, num::NonZeroU16};
use tuplenet_openflow::{Action, Flow, Instruction, Match};
use tuplenet_rules::{
    Change, FlowChange,
    cookie::{Cookie, Rule},
    register,
    stage::{self, Stage},
    trace::{self, Event, METER},
    userdata::Userdata,
};

fn flows() -> Vec<Flow> {
    let mut engine = engine();
    engine.apply(two_hosts());
    engine.apply([flooding_ls("A", 1)]);
    engine.flows().collect()
}

fn actions(flow: &Flow) -> &[Action] {
    match flow.instructions.first() {
        Some(Instruction::ApplyActions(actions)) => actions,
        _ => &[],
    }
}

fn rule(flow: &Flow) -> Rule {
    Cookie::decode(flow.cookie).expect("a cookie of ours").rule
}

/// What a report says.
fn event(action: &Action) -> Option<Event> {
    match action {
        Action::Controller(c) => {
            assert_eq!((c.meter_id, c.max_len, c.pause), (METER.id, trace::PACKET_BYTES, false));
            let Some(Userdata::Trace(event)) = Userdata::decode(&c.userdata) else { panic!("another handler") };
            Some(event)
        }
        _ => None,
    }
}

/// The actions without reports and what they note for each other.
fn deeds(flow: &Flow) -> Vec<Action> {
    let note = Action::set_field_masked(register::FLAGS, register::ENTERED, register::ENTERED);
    actions(flow).iter().filter(|a| event(a).is_none() && **a != note).cloned().collect()
}

/// The rest of a match, once the flags that colour a packet are taken off.
fn uncoloured(matching: &Match) -> Option<Match> {
    let rest = matching.fields().filter(|f| f.field != register::FLAGS);
    let rest = rest.fold(Match::new(), |m, f| match f.mask {
        Some(mask) => m.with_masked(f.field, f.value, mask),
        None => m.with(f.field, f.value),
    });
    (rest != *matching).then_some(rest)
}

#[test]
fn each_flow_that_reports_does_what_the_flow_does_that_others_meet() {
    let flows = flows();
    let mut reported: BTreeMap<u8, Vec<Event>> = BTreeMap::new();
    let mut behind_conntrack = Vec::new();
    for flow in flows.iter().filter(|f| rule(f) == Rule::Trace) {
        if matches!(flow.table, 53..=56 | 71..=74) {
            behind_conntrack.push((flow.table, deeds(flow), actions(flow).iter().filter_map(event).collect()));
            continue;
        }
        let rest = uncoloured(&flow.matching).expect("it is for coloured packets only");
        let others = flows.iter().find(|f| f.table == flow.table && rule(f) != Rule::Trace && f.matching == rest);
        let others = others.unwrap_or_else(|| panic!("no flow for others beside {}", text(flow)));
        assert!(others.priority < flow.priority);
        assert_eq!(deeds(flow), deeds(others), "{}", text(flow));
        reported.entry(flow.table).or_default().extend(actions(flow).iter().filter_map(event));
    }
    let pushout = reported.remove(&stage::LSP_EGRESS_PUSHOUT.table);
    assert_eq!(pushout, Some(vec![Event::Delivered; 2]), "once for each local port");
    let entry = reported.get_mut(&stage::LSP_TRACE_EGRESS_IN.table).expect("reported where tunnels lead to");
    entry.sort_by_key(|event| *event as u8);
    assert_eq!(*entry, [Event::Hop, Event::Hop, Event::End]);
    *entry = vec![Event::Hop];
    let traced = stage::ALL.iter().filter(|s| s.is_traced()).map(|s| (s.table, vec![Event::Hop]));
    assert_eq!(reported, traced.collect());
    // A copy that conntrack goes on with meets what others meet, in the same stage, once its flag is off; then it has its own end.
    behind_conntrack.sort_by_key(|(table, ..)| *table);
    let again = |table: u8| {
        let off = Action::set_field_masked(register::FLAGS, 0_u32, register::PENDING);
        (table, vec![off, Action::Resubmit { in_port: None, table: Some(table), ct: false }], vec![Event::End])
    };
    assert_eq!(behind_conntrack, [54, 56, 72, 74].map(again));
}

/// So that no packet passes a traced stage twice or in vain, nothing is decided there; but for copies that are one too many, which nobody tells of.
#[test]
fn a_traced_stage_decides_nothing() {
    for flow in flows().iter().filter(|f| stage::ALL.iter().any(|s| s.table == f.table && s.is_traced())) {
        let spare = matches!(rule(flow), Rule::Flood | Rule::PatchElsewhere) && actions(flow).is_empty();
        assert!(matches!(rule(flow), Rule::Pipeline | Rule::Trace) || spare, "{}", text(flow));
    }
}

/// Matching a field of the packet would show in every packet's megaflow.
#[test]
fn a_report_costs_other_packets_nothing() {
    for flow in flows().iter().filter(|f| rule(f) == Rule::Trace) {
        for field in flow.matching.fields().map(|f| f.field) {
            let register = [register::DATAPATH, register::FLAGS, register::DST_PORT].contains(&field);
            assert!(register, "{} matches {}", text(flow), field.name);
        }
    }
    let mut engine = engine();
    engine.apply(two_hosts());
    let remote = engine.apply([lsp("A", 1, 9), binding("A", "A-9", "hv2", 1)]);
    let traces = |change: &FlowChange| matches!(change, FlowChange::Set(flow) if rule(flow) == Rule::Trace);
    assert_eq!(remote.flows.iter().filter(|c| traces(c)).count(), 0, "a remote port has no flow of a trace");
    let local = engine.apply([lsp("A", 1, 8), interface(8, "A-8", 18)]);
    assert_eq!(local.flows.iter().filter(|c| traces(c)).count(), 1, "a local one has one");
}

/// Nothing takes a packet's colour away, on its way to a router or elsewhere.
#[test]
fn a_packet_keeps_its_colour() {
    let colours = |action: &Action| match action {
        Action::SetField(set) if set.field() == register::COMMAND => true,
        Action::SetField(set) if set.field() == register::FLAGS => {
            let bits = |v: tuplenet_openflow::Value| v.to_u64().unwrap_or(u64::MAX);
            set.mask().is_none_or(|mask| bits(mask) & u64::from(register::TRACED) != 0)
        }
        _ => false,
    };
    for flow in flows() {
        assert!(!actions(&flow).iter().any(colours), "{}", text(&flow));
    }
}

#[test]
fn what_a_stage_does_not_know_is_counted_where_it_ends() {
    let flows = flows();
    for stage in stage::ALL.iter().filter(|stage| !stage.returns()) {
        let miss = flows.iter().find(|f| f.table == stage.table && f.priority == 0).expect("a flow for the rest");
        let expected = match stage.next {
            Some(_) => Cookie::of(Rule::Pipeline),
            None => Cookie::stage(Rule::Drop, *stage),
        };
        assert_eq!((miss.cookie, miss.matching.is_empty()), (expected.encode(), true), "{}", stage.name);
        assert_eq!(actions(miss).is_empty(), stage.next.is_none(), "{}", stage.name);
    }
    let stage = |table: u8| -> Stage { *stage::ALL.iter().find(|s| s.table == table).expect("a stage") };
    assert_eq!(stage(57).next, None, "no route: counted");
}

#[test]
fn a_packet_is_injected_with_its_colour_where_ports_lead() {
    let actions = trace::inject(NonZeroU16::new(0x1234).expect("not zero"));
    let text: Vec<String> = actions.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        ["set_field:0x1234->reg7", "set_field:0x8/0x8->reg6", "resubmit(,0)", "controller(max_len=256,userdata=01.03)"]
    );
}

#[test]
fn a_local_port_is_found_by_its_name_as_long_as_it_is_here() {
    let mut engine = engine();
    engine.apply(two_hosts());
    let at = |engine: &tuplenet_rules::Engine, lsp: &str| engine.local_port(&name("A"), &name(lsp));
    assert_eq!((at(&engine, "A-1"), at(&engine, "A-2"), at(&engine, "A-3")), (Some(11), None, None));
    engine.apply([marked_interface(1, "A-1", 21, Some(("A/A-1", 1)))]);
    assert_eq!(at(&engine, "A-1"), Some(21), "another number");
    engine.apply([marked_interface(1, "A-1", 21, Some(("A/A-1", 1))), interface(5, "A-3", 15), lsp("A", 1, 3)]);
    assert_eq!((at(&engine, "A-1"), at(&engine, "A-3")), (Some(21), Some(15)));
    engine.apply([Change::Interface { id: 1, interface: None }]);
    assert_eq!(at(&engine, "A-1"), None);
    let mut loaded = self::engine();
    loaded.preload(two_hosts());
    loaded.open();
    assert_eq!(at(&loaded, "A-1"), Some(11));
}
