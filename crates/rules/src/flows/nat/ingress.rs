//! What comes from outside: to an external address, by an uplink.

use super::{AtUplink, begins, errors, family, known, state};
use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, resubmit, set, within},
    register,
    stage::{self, Stage},
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{entity::NatKind, id::DatapathId};
use tuplenet_openflow::{Action, Match, action::Nat, field};

/// Above what a router drops since it is for itself, below what overrules all.
const FOR_NAT: u16 = priority::OBJECT + 50;
/// ICMP errors in their stages after conntrack.
const ERROR: u16 = priority::OBJECT + 50;

/// ```text
/// not_itself(LR, Ip)        <- nat(Rule, LRP, external: Ip), lrp(LRP, Ip).
/// unsnat(LR, LRP, Ip)       <- nat(Rule, LRP, external: Ip).                             (known connections)
/// dnat(LR, LRP, Ip, Inner)  <- nat(Rule, LRP, external: Ip, Inner), Rule is dnat or floating.   (new ones)
/// nobodys(LR, LRP, Ip)      <- nat(Rule, LRP, external: Ip), Rule is snat.
/// floating_in(LR, Ip, Inner) <- nat(Rule, LRP, external: Ip, Inner), Rule is floating.   (what conntrack does not know)
/// translated(LR), failed(LR) <- nat(_, LR).
/// ```
pub fn flows(in_force: &Relation<AtUplink>, routers: &Relation<DatapathId>) -> Relation<FlowRow> {
    let one = |rules: &Relation<AtUplink>| {
        rules.min_by(|at| (at.lr(), at.port(), at.external()), |at| (at.rule.value.kind, at.age()))
    };
    let masquerade = in_force.filter(|at| at.rule.value.kind == NatKind::Snat);
    let open = in_force.filter(|at| at.rule.value.kind != NatKind::Snat);
    one(in_force)
        .map(unsnat)
        .concat(&one(in_force).flat_map(not_itself))
        .concat(&one(&masquerade).map(nobodys))
        .concat(&open.map(dnat))
        .concat(&open.filter(|at| at.rule.value.kind == NatKind::Floating).map(floating))
        .concat(&routers.flat_map(|lr| of_router(*lr)))
}

fn rule_of(at: &AtUplink, snat: Rule) -> Cookie {
    let rule = match at.rule.value.kind {
        NatKind::Snat => snat,
        NatKind::Dnat => Rule::Dnat,
        NatKind::Floating => Rule::FloatingIn,
    };
    Cookie::named(rule, Some(at.lr()), &at.rule.name.1)
}

fn to_external(at: &AtUplink) -> Match {
    match at.external() {
        IpAddr::V4(ip) => family(at.external(), within(at.lr())).with(field::IPV4_DST, ip),
        IpAddr::V6(ip) => family(at.external(), within(at.lr())).with(field::IPV6_DST, ip),
    }
}

fn from_outside(at: &AtUplink) -> Match {
    to_external(at).with(register::SRC_PORT, at.port())
}

/// An external address may be the router's own: then what comes for it is not for the router alone, from inside neither, which is to turn
/// back at the uplink. (An echo request to it still is the router's.)
fn not_itself(at: &AtUplink) -> Option<FlowRow> {
    let ip = at.external();
    let own = at.link.router.lrp.value.nets.iter().any(|net| net.addr() == ip);
    let on = vec![resubmit(stage::LRP_INGRESS_UNSNAT_STAGE1)];
    own.then(|| flow(stage::LRP_INGRESS_DROP_UNEXPECT, FOR_NAT, rule_of(at, Rule::Unsnat), to_external(at), on))
}

fn unsnat(at: &AtUplink) -> FlowRow {
    let ct = known(at.lr(), stage::LRP_INGRESS_UNSNAT_STAGE2.table);
    let cookie = rule_of(at, Rule::Unsnat);
    flow(stage::LRP_INGRESS_UNSNAT_STAGE1, priority::OBJECT, cookie, from_outside(at), ct)
}

fn dnat(at: &AtUplink) -> FlowRow {
    let inner = at.rule.value.inner().addr();
    let ct = begins(at.lr(), stage::LRP_INGRESS_DNAT_STAGE2.table, Nat::DST, inner);
    let cookie = rule_of(at, Rule::Unsnat);
    flow(stage::LRP_INGRESS_DNAT_STAGE1, priority::OBJECT, cookie, from_outside(at), ct)
}

/// No connection, and nobody behind it.
fn nobodys(at: &AtUplink) -> FlowRow {
    let cookie = rule_of(at, Rule::Unsnat);
    flow(stage::LRP_INGRESS_DNAT_STAGE1, priority::GENERAL, cookie, from_outside(at), vec![])
}

fn floating(at: &AtUplink) -> FlowRow {
    let inner = match at.rule.value.inner().addr() {
        IpAddr::V4(ip) => set(field::IPV4_DST, ip),
        IpAddr::V6(ip) => set(field::IPV6_DST, ip),
    };
    let actions = vec![inner, Action::CtClear, resubmit(stage::LRP_INGRESS_IP_ROUTE)];
    flow(stage::LRP_INGRESS_DNAT_STAGE2, priority::OBJECT, rule_of(at, Rule::Unsnat), from_outside(at), actions)
}

/// The same for all rules of a router: what conntrack translated goes on, what it should have and did not ends.
fn of_router(lr: DatapathId) -> Vec<FlowRow> {
    let translated = |stage: Stage, rule: Rule| {
        let actions = vec![Action::CtClear, resubmit(stage::LRP_INGRESS_IP_ROUTE)];
        let matching = within(lr).with_masked(field::CT_STATE, state::DNAT, state::DNAT);
        flow(stage, priority::EXCEPTION, Cookie::datapath(rule, lr), matching, actions)
    };
    let mut flows = vec![
        translated(stage::LRP_INGRESS_UNSNAT_STAGE2, Rule::Unsnat),
        translated(stage::LRP_INGRESS_DNAT_STAGE2, Rule::Dnat),
    ];
    flows.extend(failed(lr, stage::LRP_INGRESS_DNAT_STAGE2, Rule::Dnat));
    flows
}

/// What conntrack was to translate and could not: nothing of it goes on. ICMP errors about a connection that it does not know in any case: a plain
/// flow would translate them without what they quote.
pub(super) fn failed(lr: DatapathId, stage: Stage, rule: Rule) -> Vec<FlowRow> {
    let cookie = Cookie::datapath(rule, lr);
    let tracked = |packets: Match| {
        packets.with(register::DATAPATH, u64::from(lr.get())).with_masked(
            field::CT_STATE,
            state::TRACKED,
            state::TRACKED,
        )
    };
    let drop = |priority, packets| flow(stage, priority, cookie, tracked(packets), vec![]);
    let mut flows: Vec<FlowRow> = errors().map(|packets| drop(ERROR, packets)).collect();
    flows.push(drop(priority::GENERAL, Match::new()));
    flows
}
