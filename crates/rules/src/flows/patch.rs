//! Where a switch meets a physical network: frames in and out by a patch port, and how it is that there are no loops and no duplicates.
//!
//! - A frame for a MAC that no port has, and one for all, goes out by the patch port of the host that it came from; from a host without one by that of the
//!   designated chassis ([`crate::patch`]), to which it goes by tunnel.
//! - What came in by a patch port never leaves by one. It goes to ports of this host, and from the designated chassis also to those of hosts without a patch port.
//! - A frame from outside with the MAC of one of our ports is our own, come back: it ends.
//! - ARP requests and solicitations from outside are answered by the chassis that would deliver to the port, and by no other.
//!
//! A patch port without a VLAN carries untagged frames only; one with a VLAN those of that VLAN, which in the switch are untagged.
//! Cost of a patch port here: seven flows, one per port of its switch that can be reached from here, and for each port that another chassis speaks for
//! one more, and one per address.

use crate::{
    cookie::{Cookie, Rule},
    fact::TunnelFact,
    flow::{
        FlowRow, flow, forget_in_port, output, priority, proto, resubmit, set, set_flags, set_remote, these_within,
        within,
    },
    flows::neighbour::asks_for,
    patch::{PatchHere, Patches, Way},
    port::{Link, Ports, RemotePort},
    register::{self, DESIGNATED, FLOOD_COPY, FROM_PATCH, FROM_TUNNEL, TRACED},
    stage::{self, Stage},
    trace::{Event, METER, report},
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{
    entity::EncapKind,
    id::{DatapathId, PortId},
};
use tuplenet_openflow::{Action, Match, field};

/// The bit of `vlan_vid` that says that there is a tag (OpenFlow 1.5.1, 7.2.3.8).
const TAGGED: u16 = 0x1000;
/// That bit and the VLAN.
const TAG: u16 = 0x1fff;

/// To no port that is known: after multicast, which floods where the switch does.
const UNKNOWN: u16 = 10;
/// A router's packets to no next hop that is known: above the error that would tell the sender so.
const RELAY: u16 = 40;
/// A router's frames to no port that is known: before multicast.
const ROUTER: u16 = 60;

/// ```text
/// patch_in(OfPort, LS, Port), patch_out(LS, Port, OfPort) <- here(LS, Port, OfPort).
/// closed(LS, Port)             <- here(LS, Port, _), not designated_here(LS).
/// unknown(LS, Port)            <- mine(LS, Port).
/// unknown(LS, Port, Ip)        <- way(LS, Port, Ip), not mine(LS, _).
/// relayed(LS, LR, Ip)          <- way(LS, _, Ip), not mine(LS, _), link(LS, _, LR), LR is distributed.
/// by_router(LS, Mac, Port, Ip) <- mine(LS, _), way(LS, Port, Ip), link(LS, _, LR, Mac), LR is distributed.
/// own(LS, Mac)                 <- mine(LS, _), located(LS, Port), lsp(Port, Mac).
/// elsewhere(LS, Port)          <- mine(LS, _), remote(LS, Port, Ip), not spoken_for(LS, Ip).
/// elsewhere(LS, Port)          <- mine(LS, _), link(LS, Port, LR), LR is distributed, not designated_here(LS).
/// spoken_for(LS, Ip)           <- remote(LS, _, Ip), designated_here(LS), not patched_at(LS, Ip).
/// ```
///
/// Flows, the ports that another chassis speaks for, and the switches with a patch port of ours that have ports on other chassis.
pub fn flows(
    ports: &Ports,
    located_in: &Index<DatapathId, SwitchPort>,
    tunnel: &Relation<TunnelFact>,
) -> (Relation<FlowRow>, Relation<SwitchPort>, Relation<DatapathId>) {
    let Patches { here, mine, designated_here, way, patched_at, .. } = &ports.patches;
    let mine_of = mine.index(|port| port.ls);
    let way_of = way.index(|way| way.ls);
    let designated = designated_here.index(|ls| *ls);

    let ends = here.flat_map(|here| [patch_in(here), judge(here), copies(here), patch_out(here), delivered(here)]);
    let by_us = mine_of.semijoin(&designated).map(|port| unknown(port, FROM_PATCH));
    let closed = here.index(|here| here.port.ls).antijoin(&designated).map(closed);
    let beside = mine_of.antijoin(&designated).map(|port| unknown(port, FROM_PATCH | FROM_TUNNEL));
    let afar = way_of.antijoin(&mine_of).map(unknown_afar);

    let distributed = ports.link.filter(|link| link.router.distributed).index(|link| link.port.ls);
    let beside_router = distributed.semijoin(&mine_of).index(|link| link.port.ls);
    let by_router = beside_router.join(&way_of, |_, link, way| by_router(link, way));

    let relayed = distributed
        .antijoin(&mine_of)
        .index(|link| link.port.ls)
        .join_flat(&way_of, |_, link, way| [unknown_there(link, way), to_itself_there(link, way)]);

    let own = located_in.semijoin(&mine_of).map(own);

    let remote = ports.remote_in(&mine_of);
    let place = |remote: &RemotePort| (remote.port.ls, remote.endpoint);
    let places = remote.map(move |remote| place(remote)).distinct();
    let spoken_for =
        places.index(|(ls, _)| *ls).semijoin(&designated).index(|place| *place).antijoin(&patched_at.index(|p| *p));
    let silent_remote =
        remote.index(move |remote| place(remote)).antijoin(&spoken_for.index(|place| *place)).map(|r| r.port.clone());
    let silent_router = beside_router.antijoin(&designated).map(|link| link.port.clone());
    let silent = silent_remote.concat(&silent_router);
    let elsewhere = silent.flat_map(elsewhere);

    // A tunnel other than Geneve does not say which copies are ours to take out.
    let blind = tunnel.filter(|tunnel| tunnel.kind != EncapKind::Geneve).map(|_| ()).distinct();
    let doubled = here
        .index(|here| here.port.ls)
        .semijoin(&designated)
        .index(|_| ())
        .semijoin(&blind.index(|()| ()))
        .index(|here| here.port.ls)
        .join(&silent_remote.index(|port| port.ls), |_, here, port| doubled(here, port));
    let spread = places.map(|(ls, _)| *ls).distinct();
    let flows = ends.concat_all([&closed, &by_us, &beside, &afar, &by_router, &relayed, &own, &elsewhere, &doubled]);
    (flows, silent, spread)
}

fn number(port: &SwitchPort) -> PortId {
    port.lsp.value.port
}

fn cookie(rule: Rule, port: &SwitchPort) -> Cookie {
    Cookie::port(rule, port.ls, number(port))
}

fn to(port: &SwitchPort) -> Match {
    towards(Match::new(), port)
}

fn towards(frames: Match, port: &SwitchPort) -> Match {
    these_within(frames, port.ls).with(register::DST_PORT, u32::from(number(port).get()))
}

fn untagged() -> Match {
    Match::new().with_masked(field::VLAN_VID, 0_u16, TAGGED)
}

fn patch_in(here: &PatchHere) -> FlowRow {
    let from = Match::new().with(field::IN_PORT, here.ofport);
    let (matching, mut actions) = match here.vlan {
        Some(vlan) => (from.with_masked(field::VLAN_VID, TAGGED | vlan, TAG), vec![Action::PopVlan]),
        None => (from.with_masked(field::VLAN_VID, 0_u16, TAGGED), Vec::new()),
    };
    actions.extend([
        set(register::DATAPATH, u64::from(here.port.ls.get())),
        set(register::SRC_PORT, u32::from(number(&here.port).get())),
        set_flags(FROM_PATCH),
        resubmit(stage::LSP_TRACE_INGRESS_IN),
    ]);
    flow(stage::PHYSICAL_IN, priority::OBJECT, cookie(Rule::PatchIn, &here.port), matching, actions)
}

/// What came in does not go out, unless it is an answer that was made here.
fn judge(here: &PatchHere) -> FlowRow {
    let matching = to(&here.port).with(register::SRC_PORT, u32::from(number(&here.port).get())).with_masked(
        register::FLAGS,
        0_u32,
        register::LOOPBACK,
    );
    flow(stage::LSP_EGRESS_JUDGE_LOOPBACK, priority::OBJECT, cookie(Rule::Loopback, &here.port), matching, vec![])
}

/// A copy from a chassis that has a patch port itself: there it went out.
fn copies(here: &PatchHere) -> FlowRow {
    let theirs = FROM_TUNNEL | FLOOD_COPY;
    let matching = to(&here.port).with_masked(register::FLAGS, theirs, theirs | DESIGNATED);
    flow(
        stage::LSP_EGRESS_JUDGE_LOOPBACK,
        priority::EXCEPTION,
        cookie(Rule::PatchElsewhere, &here.port),
        matching,
        vec![],
    )
}

/// Nobody sends frames here to go out: they come by a tunnel that does not say what for.
fn closed(here: &PatchHere) -> FlowRow {
    flow(
        stage::LSP_EGRESS_JUDGE_LOOPBACK,
        priority::EXCEPTION,
        cookie(Rule::PatchElsewhere, &here.port),
        to(&here.port).with_masked(register::FLAGS, FROM_TUNNEL, FROM_TUNNEL),
        vec![],
    )
}

/// The same by a tunnel that carries no flags: known by its sender's MAC.
fn doubled(here: &PatchHere, sender: &SwitchPort) -> FlowRow {
    let matching = towards(Match::new().with(field::ETH_SRC, sender.lsp.value.mac), &here.port)
        .with(register::SRC_PORT, 0_u32)
        .with_masked(register::FLAGS, FROM_TUNNEL, FROM_TUNNEL);
    flow(stage::LSP_EGRESS_JUDGE_LOOPBACK, priority::EXCEPTION, cookie(Rule::PatchElsewhere, sender), matching, vec![])
}

/// An answer leaves by the port that it came from.
fn leave(here: &PatchHere) -> Vec<Action> {
    let mut actions = vec![forget_in_port()];
    if let Some(vlan) = here.vlan {
        actions.extend([Action::PushVlan(proto::VLAN), set(field::VLAN_VID, TAGGED | vlan)]);
    }
    actions.push(output(here.ofport));
    actions
}

fn patch_out(here: &PatchHere) -> FlowRow {
    flow(
        stage::LSP_EGRESS_PUSHOUT,
        priority::OBJECT,
        cookie(Rule::PatchOut, &here.port),
        towards(untagged(), &here.port),
        leave(here),
    )
}

fn delivered(here: &PatchHere) -> FlowRow {
    let mut actions = vec![report(Event::Delivered, METER.id)];
    actions.extend(leave(here));
    // What is still to be reported of it is the packet of the switch.
    actions.extend(here.vlan.map(|_| Action::PopVlan));
    flow(
        stage::LSP_EGRESS_PUSHOUT,
        priority::EXCEPTION,
        cookie(Rule::Trace, &here.port),
        towards(untagged(), &here.port).with_masked(register::FLAGS, TRACED, TRACED),
        actions,
    )
}

/// Out by our own patch port, but for frames with one of these flags.
fn unknown(port: &SwitchPort, not: u32) -> FlowRow {
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        UNKNOWN,
        cookie(Rule::PatchUnknown, port),
        within(port.ls).with_masked(register::FLAGS, 0_u32, not),
        vec![set(register::DST_PORT, u32::from(number(port).get())), resubmit(stage::LSP_TRACE_INGRESS_OUT)],
    )
}

fn out_there(way: &Way) -> Vec<Action> {
    vec![
        set(register::DST_PORT, u32::from(way.port.get())),
        set_remote(way.endpoint),
        resubmit(stage::LSP_TRACE_INGRESS_OUT),
    ]
}

fn unknown_afar(way: &Way) -> FlowRow {
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        UNKNOWN,
        Cookie::port(Rule::PatchUnknown, way.ls, way.port),
        within(way.ls).with_masked(register::FLAGS, 0_u32, FROM_PATCH | FROM_TUNNEL),
        out_there(way),
    )
}

/// The router is on all hosts, its MAC at one port of the physical network. What it sends with another MAC is not its own.
fn by_router(link: &Link, way: &Way) -> FlowRow {
    let router = &link.port.lsp.value;
    let matching = these_within(Match::new().with(field::ETH_SRC, router.mac), way.ls)
        .with(register::SRC_PORT, u32::from(router.port.get()))
        .with_masked(register::FLAGS, 0_u32, FROM_PATCH | FROM_TUNNEL);
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        ROUTER,
        Cookie::port(Rule::PatchUnknown, way.ls, way.port),
        matching,
        out_there(way),
    )
}

/// A router that is on all hosts can ask outside for a next hop where there is a patch port. From a host without one the packet goes on to the router's
/// part on the designated chassis, as if it came from the switch; that costs it one hop more.
fn unknown_there(link: &Link, way: &Way) -> FlowRow {
    let lrp = &link.router.lrp.value;
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        RELAY,
        Cookie::port(Rule::PatchUnknown, way.ls, way.port),
        within(link.router.lr).with(register::DST_PORT, lrp.number),
        vec![set(field::ETH_DST, lrp.mac), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)],
    )
}

/// From the router to the router: to its part on the designated chassis.
fn to_itself_there(link: &Link, way: &Way) -> FlowRow {
    let router = &link.port.lsp.value;
    let number = u32::from(router.port.get());
    let matching = these_within(Match::new().with(field::ETH_DST, router.mac), way.ls)
        .with(register::SRC_PORT, number)
        .with_masked(register::FLAGS, 0_u32, FROM_TUNNEL);
    let actions = vec![
        set(register::DST_PORT, number),
        set_flags(register::LOOPBACK),
        set_remote(way.endpoint),
        resubmit(stage::LSP_TRACE_INGRESS_OUT),
    ];
    let cookie = Cookie::port(Rule::PatchUnknown, way.ls, way.port);
    flow(stage::LSP_INGRESS_LOOKUP_DST_PORT, priority::EXCEPTION, cookie, matching, actions)
}

/// Before anything believes it or answers.
fn own(port: &SwitchPort) -> FlowRow {
    own_mac((port.ls, number(port)), port.lsp.value.mac)
}

/// What comes from outside with a MAC of a port of a switch.
pub(super) fn own_mac((ls, port): (DatapathId, PortId), mac: [u8; 6]) -> FlowRow {
    let matching =
        these_within(Match::new().with(field::ETH_SRC, mac), ls).with_masked(register::FLAGS, FROM_PATCH, FROM_PATCH);
    let cookie = Cookie::port(Rule::PatchOwn, ls, port);
    flow(stage::LSP_INGRESS_PORT_SECURITY, priority::EXCEPTION, cookie, matching, vec![])
}

/// Another chassis speaks for the port: what comes from outside for it, or asks for it, comes in there as well.
fn elsewhere(port: &SwitchPort) -> Vec<FlowRow> {
    let lsp = &port.lsp.value;
    let place = (port.ls, lsp.port);
    let asked = lsp.ips.iter().map(|ip: &IpAddr| asked_elsewhere(place, *ip));
    std::iter::once(sent_elsewhere(place, lsp.mac)).chain(asked).collect()
}

/// What comes from outside for a MAC of a port that another chassis speaks for.
pub(super) fn sent_elsewhere(port: (DatapathId, PortId), mac: [u8; 6]) -> FlowRow {
    ends_elsewhere(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        port,
        these_within(Match::new().with(field::ETH_DST, mac), port.0),
    )
}

/// Who asks from outside for an address of a port that another chassis speaks for.
pub(super) fn asked_elsewhere(port: (DatapathId, PortId), ip: IpAddr) -> FlowRow {
    ends_elsewhere(stage::LSP_INGRESS_ARP_RESPONSE, port, asks_for(port.0, ip))
}

fn ends_elsewhere(stage: Stage, (ls, port): (DatapathId, PortId), frames: Match) -> FlowRow {
    let matching = frames.with_masked(register::FLAGS, FROM_PATCH, FROM_PATCH);
    flow(stage, priority::EXCEPTION, Cookie::port(Rule::PatchElsewhere, ls, port), matching, vec![])
}

/// A copy for another chassis of what came in by a patch port here is for those only that this one is designated for. (What came by a tunnel has
/// no such copies at all: [`super::flood`].) No facts.
pub fn fixed() -> Vec<FlowRow> {
    let theirs = FROM_PATCH | FLOOD_COPY;
    let matching = Match::new().with_masked(register::FLAGS, theirs, theirs | DESIGNATED | FROM_TUNNEL);
    vec![flow(stage::LSP_TRACE_INGRESS_OUT, priority::EXCEPTION, Cookie::of(Rule::PatchElsewhere), matching, vec![])]
}
