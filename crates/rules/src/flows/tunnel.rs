//! Tunnels: into the switch that the VNI names, and out to the chassis that has the destination port.
//!
//! Packets leave by the flow-based port of their protocol. A port that watches an end point gets what comes from there, as Open vSwitch
//! prefers it to the flow-based one; it is one flow here.
//!
//! Cost of a chassis that comes or changes its address: one flow here, and one per port that it has ([`super::l2`]).
//! Cost of a tunnel port that gets another number: one flow per chassis.

use crate::{
    cookie::{Cookie, Rule},
    endpoint::Endpoint,
    fact::TunnelFact,
    flow::{FlowRow, copy, flow, forget_in_port, from_option, output, priority, resubmit, set, set_flags, to_option},
    register::{self, option},
    stage,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_datalog::Relation;
use tuplenet_model::entity::EncapKind;
use tuplenet_openflow::{Action, Match, field};

/// Width of a VNI, in bits.
const VNI: u16 = 24;

/// ```text
/// tunnel_in(OfPort)          <- tunnel_port(Kind, _, OfPort).
/// tunnel_out(Ip, OfPort)     <- endpoint(Chassis, Kind, Ip), tunnel(Kind, OfPort).
/// tunnel(Kind, OfPort)       <- tunnel_port(Kind, no end point, OfPort).
/// ```
pub fn flows(
    ports: &Relation<TunnelFact>,
    tunnel: &Relation<TunnelFact>,
    endpoint: &Relation<Endpoint>,
) -> Relation<FlowRow> {
    let out = endpoint.index(|e| e.kind).join(&tunnel.index(|t| t.kind), |_, e, t| tunnel_out(e, t));
    ports.map(tunnel_in).concat(&out)
}

/// A Geneve packet says which port it is for, and goes on at the egress of its switch. VXLAN and GRE do not: the destination is
/// looked up again.
fn tunnel_in(tunnel: &TunnelFact) -> FlowRow {
    let mut actions = vec![copy(field::TUN_ID, register::DATAPATH, VNI)];
    let next = if tunnel.kind == EncapKind::Geneve {
        actions.extend([
            from_option(option::SRC_PORT, register::SRC_PORT),
            from_option(option::DST_PORT, register::DST_PORT),
            from_option(option::FLAGS, register::FLAGS),
            from_option(option::COMMAND, register::COMMAND),
        ]);
        stage::LSP_TRACE_EGRESS_IN
    } else {
        stage::LSP_INGRESS_LOOKUP_DST_PORT
    };
    actions.extend([set_flags(register::FROM_TUNNEL), resubmit(next)]);
    let cookie = Cookie::of(Rule::TunnelIn);
    let matching = Match::new().with(field::IN_PORT, tunnel.ofport);
    flow(stage::PHYSICAL_IN, priority::OBJECT, cookie, matching, actions)
}

/// What came by a tunnel matches none of these, and ends at the egress here.
fn tunnel_out(endpoint: &Endpoint, tunnel: &TunnelFact) -> FlowRow {
    let matching = remote(Match::new().with_masked(register::FLAGS, 0_u32, register::FROM_TUNNEL), endpoint.ip);
    let actions = fields(tunnel.kind).into_iter().chain(towards(endpoint.ip)).chain(leave(tunnel.ofport)).collect();
    let cookie = Cookie::named(Rule::TunnelOut, None, &endpoint.chassis);
    flow(stage::LSP_INGRESS_OUTPUT_DST_PORT, priority::OBJECT, cookie, matching, actions)
}

/// What is to go to this end point.
pub(super) fn remote(packets: Match, ip: IpAddr) -> Match {
    match ip {
        // All four words, so that no IPv6 end point that begins with this address is taken for it.
        IpAddr::V4(ip) => packets.with(register::REMOTE6, u128::from(u32::from(ip)) << 96),
        IpAddr::V6(ip) => packets.with(register::REMOTE6, ip),
    }
}

/// What a tunnel packet says of the packet in it.
pub(super) fn fields(kind: EncapKind) -> Vec<Action> {
    let mut actions = vec![copy(register::DATAPATH, field::TUN_ID, VNI)];
    if kind == EncapKind::Geneve {
        actions.extend([
            to_option(register::SRC_PORT, option::SRC_PORT),
            to_option(register::DST_PORT, option::DST_PORT),
            to_option(register::FLAGS, option::FLAGS),
            to_option(register::COMMAND, option::COMMAND),
        ]);
    }
    actions
}

/// Where a tunnel packet goes. Both families are set: a packet that came by a tunnel and that a router here sends on still has that tunnel's address, perhaps of the other
/// family, and of two Open vSwitch takes the IPv4 one.
pub(super) fn towards(ip: IpAddr) -> [Action; 2] {
    match ip {
        IpAddr::V4(ip) => [set(field::TUN_DST, ip), set(field::TUN_IPV6_DST, Ipv6Addr::UNSPECIFIED)],
        IpAddr::V6(ip) => [set(field::TUN_DST, Ipv4Addr::UNSPECIFIED), set(field::TUN_IPV6_DST, ip)],
    }
}

/// Out by a tunnel port, also by the one that the packet came from.
pub(super) fn leave(port: u32) -> [Action; 2] {
    [forget_in_port(), output(port)]
}
