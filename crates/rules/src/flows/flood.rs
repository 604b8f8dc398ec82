//! Broadcast and multicast to all ports of a switch that asked for it.
//!
//! Head-end replication: one group a switch copies a packet once to each local port and once to each other chassis that hosts a port; that
//! chassis copies it to its own. Cost of a member in or out: one bucket. Cost of a switch: one group, two flows.

use crate::{
    cookie::{Cookie, Rule},
    fact::Ls,
    flow::{FlowRow, flow, priority, resubmit, set, set_flags, set_remote, within},
    group_table::{BucketRow, GroupRow},
    output::{Bucket, GroupForm},
    patch::Patches,
    port::{LocalPort, RemotePort},
    register, stage,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::{Action, Match, field};

/// The group of a switch: the datapath's id below a byte that leaves room for groups of other kinds.
pub fn group_id(ls: DatapathId) -> u32 {
    0x0100_0000 | ls.get()
}

/// ```text
/// group(LS)                   <- ls_present(LS), LS floods.
/// multicast(LS), copies(LS)   <- group(LS).
/// ```
pub fn flows(ls_present: &Relation<Ls>) -> (Relation<GroupRow>, Relation<FlowRow>) {
    let flooding = ls_present.filter(|ls| ls.value.flood);
    let groups = flooding.map(|ls| GroupRow { id: group_id(ls.value.id), form: GroupForm::All });
    let flows = flooding.flat_map(|ls| [multicast(ls.value.id), copies(ls.value.id)]);
    (groups, flows)
}

/// ```text
/// bucket(LS, Port)            <- local(LS, Port, _), LS floods.
/// bucket(LS, Port)            <- patch_here(LS, Port, _), LS floods.
/// copy(LS, Ip)                <- remote(LS, Port, Ip), LS floods, Port is no end of a link: a router takes no broadcast.
/// designated(LS, Ip)          <- copy(LS, Ip), designated_here(LS), not patched_at(LS, Ip).
/// designated(LS, Ip)          <- way(LS, _, Ip), LS floods, not mine(LS, _).
/// bucket(LS, Ip, DESIGNATED)  <- designated(LS, Ip).
/// bucket(LS, Ip)              <- copy(LS, Ip), not designated(LS, Ip).
/// ```
pub fn buckets(
    local: &Relation<LocalPort>,
    remote: &Relation<RemotePort>,
    patches: &Patches,
    ls_present: &Relation<Ls>,
) -> Relation<BucketRow> {
    let outside = patches.here.map(|here| here.port.clone());
    let here = local.map(|local| local.port.clone()).concat(&outside).filter(|port| port.flood).map(|port| BucketRow {
        group: group_id(port.ls),
        bucket: Bucket::of(vec![
            set(register::DST_PORT, u32::from(port.lsp.value.port.get())),
            resubmit(stage::LSP_TRACE_EGRESS_IN),
        ]),
    });
    let copy = remote
        .flat_map(|r| (r.port.flood && r.port.lsp.value.peer.is_none()).then_some((r.port.ls, r.endpoint)))
        .distinct();
    let for_them = copy
        .index(|(ls, _)| *ls)
        .semijoin(&patches.designated_here.index(|ls| *ls))
        .index(|copy| *copy)
        .antijoin(&patches.patched_at.index(|place| *place));
    let for_us = patches
        .way
        .map(|way| (way.ls, way.endpoint))
        .index(|(ls, _)| *ls)
        .antijoin(&patches.mine.index(|port| port.ls))
        .index(|(ls, _)| *ls)
        .semijoin(&ls_present.flat_map(|ls| ls.value.flood.then_some(ls.value.id)).index(|ls| *ls));
    let designated = for_them.concat(&for_us);
    let others = copy.index(|copy| *copy).antijoin(&designated.index(|copy| *copy));
    let bucket = |(ls, endpoint): &(DatapathId, IpAddr), flags: u32| BucketRow {
        group: group_id(*ls),
        bucket: Bucket::of(vec![set_remote(*endpoint), set_flags(flags), resubmit(stage::LSP_TRACE_INGRESS_OUT)]),
    };
    here.concat(&others.map(move |copy| bucket(copy, register::FLOOD_COPY)))
        .concat(&designated.map(move |copy| bucket(copy, register::FLOOD_COPY | register::DESIGNATED)))
}

fn multicast(ls: DatapathId) -> FlowRow {
    let group_bit = [1_u8, 0, 0, 0, 0, 0];
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        priority::GENERAL,
        Cookie::datapath(Rule::Flood, ls),
        within(ls).with_masked(field::ETH_DST, group_bit, group_bit),
        vec![set(register::DST_PORT, register::FLOOD), resubmit(stage::LSP_TRACE_INGRESS_OUT)],
    )
}

fn copies(ls: DatapathId) -> FlowRow {
    flow(
        stage::LSP_EGRESS_FORWARD_PACKET,
        priority::OBJECT,
        Cookie::datapath(Rule::Flood, ls),
        within(ls).with(register::DST_PORT, register::FLOOD),
        vec![Action::Group(group_id(ls))],
    )
}

/// A copy for another chassis that came by a tunnel itself is one too many: before a trace tells of it, who would wait for that chassis. And what concerns one wire only (spanning tree, pause, LLDP: the
/// reserved addresses of IEEE 802.1Q-2018 table 8-1) no switch passes on: a BPDU of a VM is not for another's port. No facts.
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::Flood);
    let both = register::FLOOD_COPY | register::FROM_TUNNEL;
    let again = Match::new().with_masked(register::FLAGS, both, both);
    let (first, mask) = ([0x01_u8, 0x80, 0xc2, 0, 0, 0], [0xff_u8, 0xff, 0xff, 0xff, 0xff, 0xf0]);
    let reserved = Match::new().with_masked(field::ETH_DST, first, mask);
    vec![
        flow(stage::LSP_TRACE_INGRESS_OUT, priority::EXCEPTION, cookie, again, vec![]),
        flow(stage::LSP_INGRESS_LOOKUP_DST_PORT, priority::EXCEPTION, cookie, reserved, vec![]),
    ]
}
