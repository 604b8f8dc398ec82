//! Random OpenFlow programs of the subset that the rules use and the simulator claims, and packets for them.
//!
//! A program that makes no sense as a network finds what the networks of today never do. Priorities differ, so that the switch has no choice; most
//! resubmits lead to later tables, so that it ends. Everything is planned in small numbers, so that a failing case shrinks.

use super::{
    deed::{Deed, LAST, Place, Track, deed, mask, number, track},
    protocol::{PROTOCOLS, Protocol, ones, value_for, width},
    stimulus::{Stimulus, stimulus},
    wire::LAST_PORT,
};
use proptest::{collection::vec, option, prelude::*};
use std::fmt;
use tuplenet_openflow::{
    Action, Flow, Instruction, Match, Value,
    action::Subfield,
    field::{self, Mask},
    message::{Bucket, GroupKind},
    port,
};
use tuplenet_sim::Group;

/// Flows, groups, and packets to send through them.
#[derive(Clone)]
pub struct Program {
    pub flows: Vec<Flow>,
    pub groups: Vec<Group>,
    pub packets: Vec<Stimulus>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for flow in &self.flows {
            writeln!(f, "  {flow}")?;
        }
        for group in &self.groups {
            let buckets: Vec<_> = group.buckets.iter().map(|bucket| &bucket.actions).collect();
            writeln!(f, "  group {} {}: {buckets:?}", group.id, group.kind)?;
        }
        for packet in &self.packets {
            writeln!(f, "  {packet}")?;
        }
        Ok(())
    }
}

/// Fields that a flow matches: which, value, mask.
type FieldPlans = Vec<(usize, u128, Option<u128>)>;

/// What a flow does beside its actions.
#[derive(Clone, Debug)]
struct More {
    clear: bool,
    write: Vec<Deed>,
    metadata: Option<(u64, u64)>,
    goto: Option<u8>,
}

/// A flow, in numbers.
#[derive(Clone, Debug)]
struct FlowPlan {
    table: u8,
    protocol: usize,
    fields: FieldPlans,
    deeds: Vec<Deed>,
    more: Option<More>,
    /// Instead of a flow, one of two clauses of a conjunction each, and the flow that is done if both are met.
    conjunction: Option<[(usize, FieldPlans); 2]>,
}

fn fields() -> impl Strategy<Value = FieldPlans> {
    vec((0..64_usize, number(), mask()), 0..=2)
}

fn protocol() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(0_usize), 5 => 0..PROTOCOLS.len()]
}

fn flow_plan() -> impl Strategy<Value = FlowPlan> {
    let table = prop_oneof![3 => Just(0_u8), 5 => 0..=LAST];
    let more = (any::<bool>(), vec(deed(), 0..3), option::of(any::<(u64, u64)>()), option::of(1..4_u8))
        .prop_map(|(clear, write, metadata, goto)| More { clear, write, metadata, goto });
    let clause = || (protocol(), fields());
    let conjunction = option::weighted(0.1, [clause(), clause()]);
    (table, protocol(), fields(), vec(deed(), 0..=5), option::weighted(0.15, more), conjunction).prop_map(
        |(table, protocol, fields, deeds, more, conjunction)| FlowPlan {
            table,
            protocol,
            fields,
            deeds,
            more,
            conjunction,
        },
    )
}

fn matching(protocol: Protocol, fields: &FieldPlans) -> Match {
    let mut matching = protocol.matching();
    let known = protocol.fields(false);
    for (which, value, mask) in fields {
        let f = known[which % known.len()];
        // Another match on the same bits could contradict the protocol; of an option only the switch knows the length.
        let again = [field::ICMPV6_TYPE, field::ICMPV6_CODE, field::VLAN_VID, field::VLAN_PCP];
        if again.contains(&f) || f.is_variable() {
            continue;
        }
        if f == field::IP_FRAG {
            // A later fragment has no ports.
            if protocol.proto.is_none() {
                let (value, mask) = [(0_u8, 3_u8), (1, 3), (3, 3), (1, 1), (0, 2)][(*value % 5) as usize];
                matching = matching.with_masked(f, value, mask);
            }
            continue;
        }
        let value = value_for(f, *value);
        let mask = mask.filter(|_| f.mask == Mask::Any).map(|m| m & ones(width(f)));
        if let Ok(more) = matching.clone().try_with(f, value.into(), mask.map(Value::from)) {
            matching = more;
        }
    }
    matching
}

impl FlowPlan {
    fn flows(&self, number: usize, groups: usize, tracked: bool) -> Vec<Flow> {
        let mut protocol = PROTOCOLS[self.protocol];
        let matching_of = |(protocol, fields): &(usize, FieldPlans)| matching(PROTOCOLS[*protocol], fields);
        let mut match_ = matching(protocol, &self.fields);
        let (priority, cookie) = (1000 - 10 * number as u16, number as u64 + 1);
        let mut flows = Vec::new();
        if let Some(clauses) = &self.conjunction {
            let id = number as u32 + 1;
            for (clause, plan) in (0..).zip(clauses) {
                let action = Action::Conjunction { id, clause, n_clauses: 2 };
                let cookie = cookie + 100 * (u64::from(clause) + 1);
                flows.push(Flow { cookie, ..Flow::new(self.table, priority, matching_of(plan), vec![action]) });
            }
            // And nothing else: where a conjunction is met and no flow has its id, Open vSwitch 3.1 mislays flows of lower priority that match
            // the same as a clause.
            protocol = PROTOCOLS[0];
            match_ = Match::new().with(field::CONJ_ID, id);
        }
        let place = Place { table: self.table, protocol, groups, bucket: false, tracked, pushed: false };
        let mut flow = Flow { cookie, ..Flow::new(self.table, priority - 1, match_, place.actions(&self.deeds)) };
        if let Some(more) = &self.more {
            let known = &mut flow.instructions;
            known.extend(more.clear.then_some(Instruction::ClearActions));
            // An action set is much like a bucket, but may call groups.
            let popped = self.deeds.iter().any(|deed| matches!(deed, Deed::PopVlan));
            let protocol = if popped { PROTOCOLS[0] } else { protocol };
            let pushed = self.deeds.iter().any(|deed| matches!(deed, Deed::PushVlan(..)));
            let write = Place { bucket: true, protocol, pushed, ..place }.actions(&more.write);
            known.extend((!write.is_empty()).then_some(Instruction::WriteActions(write)));
            known.extend(
                more.metadata.map(|(metadata, mask)| Instruction::WriteMetadata { metadata: metadata & mask, mask }),
            );
            let table = more.goto.map(|ahead| self.table + ahead).filter(|table| *table <= LAST);
            known.extend(table.map(Instruction::GotoTable));
        }
        flows.push(flow);
        flows
    }
}

/// Flows below all others, so that packets do meet the connection tracker: through it once, what is new a second time, and then out, with what it said written
/// into the source's MAC.
fn tracking(first: &Track, second: &Track) -> Vec<Flow> {
    let show = |field, bits, at| {
        let src = Subfield::new(field, 0, bits);
        Action::Move { src, dst: Subfield::new(field::ETH_SRC, at, bits) }
    };
    let out = vec![
        show(field::CT_STATE, 8, 0),
        show(field::CT_MARK, 8, 8),
        show(field::CT_ZONE, 8, 16),
        Action::output(LAST_PORT),
        Action::output(port::IN_PORT),
    ];
    let mut flows = Vec::new();
    for (ethertype, six) in [(0x0800_u16, false), (0x86dd, true)] {
        let ip = Match::new().with(field::ETH_TYPE, ethertype);
        flows.push(Flow::new(0, 20, ip.clone(), vec![first.action(Some(LAST - 1), six, 10)]));
        let new = ip.with_masked(field::CT_STATE, 0x21_u32, 0x21_u32);
        flows.push(Flow::new(LAST - 1, 20, new, vec![second.action(Some(LAST), six, 11)]));
    }
    flows.push(Flow::new(LAST - 1, 10, Match::new(), out.clone()));
    flows.push(Flow::new(LAST, 10, Match::new(), out));
    flows
}

/// Lets a flow that does something send its packet as well.
fn send(flow: &mut Flow) {
    for instruction in &mut flow.instructions {
        if let Instruction::ApplyActions(actions) = instruction
            && !matches!(actions[..], [Action::Conjunction { .. }])
        {
            actions.push(Action::output(LAST_PORT));
        }
    }
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be traced.
    Trace,
    /// To be done: most flows send their packet somewhere.
    Wire,
    /// To be done, with connection tracking.
    Track,
}

/// Programs with up to `packets` packets each.
pub fn programs(packets: usize, purpose: Purpose) -> impl Strategy<Value = Program> {
    let tracked = purpose == Purpose::Track;
    let bucket = move || vec(deed(), 0..=3);
    let groups = vec((any::<bool>(), vec(bucket(), 1..=3)), 0..=2);
    let packets = vec(stimulus(number(), tracked), 1..=packets);
    let most = if tracked { 4 } else { 14 };
    let flows = vec(flow_plan(), usize::from(!tracked)..=most);
    (flows, groups, packets, [track(), track()]).prop_map(move |(flows, groups, packets, [first, second])| {
        let mut flows: Vec<Flow> =
            flows.iter().enumerate().flat_map(|(i, plan)| plan.flows(i, groups.len(), tracked)).collect();
        match purpose {
            Purpose::Trace => {}
            Purpose::Wire => flows.iter_mut().for_each(send),
            Purpose::Track => flows.extend(tracking(&first, &second)),
        }
        // In a bucket no prerequisite is given by a match.
        let place = Place { table: 0, protocol: PROTOCOLS[0], groups: 0, bucket: true, tracked: false, pushed: false };
        let groups = groups.iter().zip(1..).map(|((all, buckets), id)| {
            let kind = if *all { GroupKind::All } else { GroupKind::Indirect };
            let most = if *all { buckets.len() } else { 1 };
            let buckets = buckets.iter().zip(0..).take(most);
            let buckets = buckets.map(|(deeds, n)| Bucket::new(n, place.actions(deeds))).collect();
            Group { id, kind, selection: None, buckets }
        });
        Program { flows, groups: groups.collect(), packets }
    })
}
