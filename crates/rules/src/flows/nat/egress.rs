//! What goes outside: from an inner address of a rule, by an uplink.

use super::{ABOVE_PREFIXES, AtUplink, BY_PREFIX, begins, errors, family, ingress::failed, known, state};
use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, copy, flow, priority, resubmit, set, set_flags, these_within, within},
    port::Link,
    register,
    stage::{self, Stage},
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{entity::NatKind, id::DatapathId};
use tuplenet_openflow::{Action, Match, action::Nat, field};

/// ```text
/// own(LR, LRP, Ip)            <- nat(_, LRP), lrp(LRP, Ip).                       (what the router itself says)
/// error(LR, LRP)              <- nat(_, LRP).                                     (ICMP errors, whoever tells)
/// undnat(LR, LRP, Net)        <- nat(Rule, LRP, inner: Net).                      (known connections)
/// snat(LR, LRP, Net, Ip)      <- nat(Rule, LRP, inner: Net, external: Ip), Rule is snat or floating.   (new ones)
/// plain(LR, LRP, Ip)          <- nat(Rule, LRP, inner: Ip), Rule is dnat.         (nothing covers it: as it is)
/// floating_out(LR, LRP, In, Ip) <- nat(Rule, LRP, inner: In, external: Ip), Rule is floating.   (what conntrack does not know)
/// own_mac(LR, LRP, Ip, Mac)   <- nat(Rule, LRP, external: Ip, Mac), Rule is distributed.
/// hairpin(LR, LRP, Ip)        <- nat(Rule, LRP, external: Ip).
/// translated(LR), failed(LR), turned_back(LR) <- nat(_, LR).
/// ```
pub fn flows(
    in_force: &Relation<AtUplink>,
    used: &Relation<Link>,
    routers: &Relation<DatapathId>,
) -> Relation<FlowRow> {
    let kind = |kind: NatKind| in_force.filter(move |at| at.rule.value.kind == kind);
    let undnat = in_force.min_by(|at| (at.lr(), at.port(), at.rule.value.inner()), AtUplink::age).map(undnat);
    let plain = kind(NatKind::Dnat).min_by(|at| (at.lr(), at.port(), at.rule.value.inner()), AtUplink::age).map(plain);
    let hairpin = in_force.min_by(|at| (at.lr(), at.port(), at.external()), AtUplink::age).map(hairpin);
    let own = used.flat_map(|link| {
        let link = link.clone();
        (0..link.router.lrp.value.nets.len())
            .filter_map(move |i| link.router.lrp.value.nets.get(i).map(|net| own(&link, net.addr())))
    });
    undnat.concat_all([
        &in_force.filter(|at| at.rule.value.kind != NatKind::Dnat).map(snat),
        &plain,
        &kind(NatKind::Floating).map(floating),
        &in_force.filter(|at| at.distributed).map(own_mac),
        &hairpin,
        &own,
        &used.flat_map(error),
        &routers.flat_map(|lr| of_router(*lr)),
    ])
}

fn rule_of(at: &AtUplink) -> Cookie {
    let rule = match at.rule.value.kind {
        NatKind::Snat => Rule::Snat,
        NatKind::Dnat => Rule::Undnat,
        NatKind::Floating => Rule::FloatingOut,
    };
    Cookie::named(rule, Some(at.lr()), &at.rule.name.1)
}

/// From these sources, by the uplink.
fn outward(lr: DatapathId, port: u32, net: IpNet) -> Match {
    let here = family(net.addr(), within(lr)).with(register::DST_PORT, port);
    match net {
        IpNet::V4(net) => here.with_masked(field::IPV4_SRC, net.network(), net.netmask()),
        IpNet::V6(net) => here.with_masked(field::IPV6_SRC, net.network(), net.netmask()),
    }
}

fn from_inner(at: &AtUplink) -> Match {
    outward(at.lr(), at.port(), at.rule.value.inner())
}

/// The longest prefix first; of equal ones a floating address.
fn by_prefix(at: &AtUplink) -> u16 {
    let floating = at.rule.value.kind == NatKind::Floating;
    BY_PREFIX + 2 * u16::from(at.rule.value.inner().prefix_len()) + u16::from(floating)
}

/// What the router says by its own address is no inner host's, even if a rule's prefix is so wide.
fn own(link: &Link, ip: IpAddr) -> FlowRow {
    let (lr, port) = (link.router.lr, link.router.lrp.value.number);
    let cookie = Cookie::datapath(Rule::Undnat, lr);
    let on = vec![resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)];
    flow(stage::LRP_EGRESS_UNDNAT_STAGE1, ABOVE_PREFIXES, cookie, outward(lr, port, ip.into()), on)
}

/// An ICMP error may be about a packet that was translated on its way in, and who tells need not be whom it was for: this router, or one behind it whose
/// own address no rule covers. Conntrack gives what it quotes the addresses that its sender knows, and the error itself the one that was asked. What it does not
/// know goes as it is, unless a rule covers its source.
fn error(link: &Link) -> Vec<FlowRow> {
    let (lr, port) = (link.router.lr, link.router.lrp.value.number);
    let error = |packets: Match| {
        let errors = these_within(packets, lr).with(register::DST_PORT, port);
        let ct = known(lr, stage::LRP_EGRESS_UNDNAT_STAGE2.table);
        flow(stage::LRP_EGRESS_UNDNAT_STAGE1, ABOVE_PREFIXES + 1, Cookie::datapath(Rule::Undnat, lr), errors, ct)
    };
    errors().map(error).collect()
}

/// ```text
/// hidden(LR, LRP, Ip)         <- away(Rule, LRP, _), inner: Ip.
/// ```
/// What a distributed floating address' VM sends by a detour over another router: on this host nobody knows its connections. It ends, errors as well.
pub fn hidden(away: &Relation<(AtUplink, IpAddr)>) -> Relation<FlowRow> {
    away.map(|(at, _)| flow(stage::LRP_EGRESS_UNDNAT_STAGE1, ABOVE_PREFIXES + 2, rule_of(at), from_inner(at), vec![]))
}

fn undnat(at: &AtUplink) -> FlowRow {
    let ct = known(at.lr(), stage::LRP_EGRESS_UNDNAT_STAGE2.table);
    let priority = BY_PREFIX + 2 * u16::from(at.rule.value.inner().prefix_len());
    flow(stage::LRP_EGRESS_UNDNAT_STAGE1, priority, rule_of(at), from_inner(at), ct)
}

fn snat(at: &AtUplink) -> FlowRow {
    let ct = begins(at.lr(), stage::LRP_EGRESS_SNAT_STAGE2.table, Nat::SRC, at.external());
    flow(stage::LRP_EGRESS_SNAT_STAGE1, by_prefix(at), rule_of(at), from_inner(at), ct)
}

fn plain(at: &AtUplink) -> FlowRow {
    let actions = vec![Action::CtClear, resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)];
    flow(stage::LRP_EGRESS_SNAT_STAGE1, priority::GENERAL, rule_of(at), from_inner(at), actions)
}

fn floating(at: &AtUplink) -> FlowRow {
    let external = match at.external() {
        IpAddr::V4(ip) => set(field::IPV4_SRC, ip),
        IpAddr::V6(ip) => set(field::IPV6_SRC, ip),
    };
    let actions = vec![external, Action::CtClear, resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)];
    flow(stage::LRP_EGRESS_SNAT_STAGE2, priority::OBJECT, rule_of(at), from_inner(at), actions)
}

/// What a distributed floating address says comes from its own MAC, which is at one host only; the router's is at many.
fn own_mac(at: &AtUplink) -> FlowRow {
    let actions = vec![set(field::ETH_SRC, at.mac()), resubmit(stage::LRP_TRACE_EGRESS_OUT)];
    let matching = outward(at.lr(), at.port(), at.external().into());
    flow(stage::LRP_EGRESS_FORWARD_PACKET, priority::OBJECT, rule_of(at), matching, actions)
}

/// For an external address of this router: it turns back, once, as if it came from outside.
fn hairpin(at: &AtUplink) -> FlowRow {
    let here = family(at.external(), within(at.lr())).with(register::DST_PORT, at.port());
    let matching = match at.external() {
        IpAddr::V4(ip) => here.with(field::IPV4_DST, ip),
        IpAddr::V6(ip) => here.with(field::IPV6_DST, ip),
    };
    let matching = matching.with_masked(register::FLAGS, 0_u32, register::NATTED);
    let actions = vec![
        set(register::SRC_PORT, at.port()),
        set(register::DST_PORT, 0_u32),
        set_flags(register::NATTED),
        resubmit(stage::LRP_TRACE_INGRESS_IN),
    ];
    flow(stage::LRP_EGRESS_UPDATE_ETH_DST, priority::EXCEPTION, rule_of(at), matching, actions)
}

/// What an inner host sends to an external address without that its source is translated begins its connection when it has turned back. From then on
/// conntrack knows it here already, and gives it its inner destination: it turns back here.
fn turned_back(lr: DatapathId) -> FlowRow {
    let actions = vec![
        Action::CtClear,
        copy(register::DST_PORT, register::SRC_PORT, 32),
        set(register::DST_PORT, 0_u32),
        set_flags(register::NATTED),
        resubmit(stage::LRP_INGRESS_IP_ROUTE),
    ];
    let matching = within(lr).with_masked(field::CT_STATE, state::DNAT, state::DNAT | state::SNAT);
    flow(stage::LRP_EGRESS_UNDNAT_STAGE2, priority::OBJECT, Cookie::datapath(Rule::Dnat, lr), matching, actions)
}

/// The same for all rules of a router: what conntrack translated goes on, what it should have and did not ends.
fn of_router(lr: DatapathId) -> Vec<FlowRow> {
    let translated = |stage: Stage, rule: Rule| {
        let actions = vec![Action::CtClear, resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)];
        let matching = within(lr).with_masked(field::CT_STATE, state::SNAT, state::SNAT);
        flow(stage, priority::EXCEPTION, Cookie::datapath(rule, lr), matching, actions)
    };
    let mut flows = vec![
        translated(stage::LRP_EGRESS_UNDNAT_STAGE2, Rule::Undnat),
        translated(stage::LRP_EGRESS_SNAT_STAGE2, Rule::Snat),
        turned_back(lr),
        flow(
            stage::LRP_EGRESS_UNDNAT_STAGE2,
            priority::OBJECT + 1,
            Cookie::datapath(Rule::Undnat, lr),
            within(lr).with_masked(register::FLAGS, register::ERROR, register::ERROR),
            vec![Action::CtClear, resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)],
        ),
        // An error that conntrack does not know, by a source that no rule covers.
        flow(
            stage::LRP_EGRESS_SNAT_STAGE1,
            priority::GENERAL - 1,
            Cookie::datapath(Rule::Undnat, lr),
            within(lr).with_masked(field::CT_STATE, state::TRACKED, state::TRACKED),
            vec![Action::CtClear, resubmit(stage::LRP_EGRESS_UPDATE_ETH_DST)],
        ),
    ];
    flows.extend(failed(lr, stage::LRP_EGRESS_SNAT_STAGE2, Rule::Snat));
    flows
}
