//! ARP and neighbour discovery, answered in the switch (RFC 826, RFC 4861 section 7).
//!
//! Two steps. The address that is asked for gives the answer's MAC: one flow per address. Then the request becomes the reply, which is
//! the same for all. Cost of a port: one flow per address, one more where the port is local.
//!
//! Untagged questions only: a port's addresses are those of the untagged network. A VM that asks in a VLAN of its own looks for somebody
//! there, who may have the same address as a port here; its question goes on as any frame. (The tag costs nothing in the switch's cache:
//! an ethertype tells tagged frames apart anyway.)

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, copy, flow, priority, proto, resubmit, set, set_flags, these_within},
    port::LocalPort,
    register, stage,
    valid_port::SwitchPort,
};
use std::net::{IpAddr, Ipv6Addr};
use tuplenet_datalog::Relation;
use tuplenet_model::id::{DatapathId, PortId};
use tuplenet_openflow::{Match, field};

/// Neighbour solicitation (RFC 4861 section 4.3).
const SOLICITATION: u8 = 135;
/// Neighbour advertisement (RFC 4861 section 4.4).
const ADVERTISEMENT: u8 = 136;
/// Option "target link-layer address" (RFC 4861 section 4.6.1).
const TARGET_ADDRESS: u8 = 2;
/// Flags of an advertisement: router, solicited, override (RFC 4861 section 4.4).
const FROM_ROUTER: u32 = 0xe000_0000;
/// Flags of an advertisement: solicited, override.
const FROM_HOST: u32 = 0x6000_0000;
/// The same, to all nodes: not solicited (RFC 4861 section 7.2.4).
const FROM_ROUTER_TO_ALL: u32 = 0xa000_0000;
/// The same, to all nodes.
const FROM_HOST_TO_ALL: u32 = 0x2000_0000;

/// ```text
/// arp_reply(LS, Ip, Mac)    <- located(LS, Port), lsp(Port, Ip, Mac), Ip is IPv4.
/// nd_reply(LS, Ip, Mac)     <- located(LS, Port), lsp(Port, Ip, Mac), Ip is IPv6.
/// own_address(LS, Port, Ip) <- local(LS, Port), lsp(Port, Ip).
/// ```
/// A port that asks for its own address wants to know whether somebody else has it: the question goes on as any packet.
pub fn flows(located: &Relation<SwitchPort>, local: &Relation<LocalPort>) -> Relation<FlowRow> {
    let replies = located.flat_map(|port| {
        let port = port.clone();
        (0..port.lsp.value.ips.len()).filter_map(move |i| port.lsp.value.ips.get(i).map(|ip| reply(&port, *ip)))
    });
    let own = local.flat_map(|local| {
        let port = local.port.clone();
        (0..port.lsp.value.ips.len()).filter_map(move |i| port.lsp.value.ips.get(i).map(|ip| own_address(&port, *ip)))
    });
    replies.concat(&own)
}

/// Untagged ARP requests and solicitations for an address, in a switch.
pub fn asks_for(ls: DatapathId, ip: IpAddr) -> Match {
    let untagged = |matching: Match| matching.with_masked(field::VLAN_VID, 0_u16, 0x1000_u16);
    let question = match ip {
        IpAddr::V4(ip) => {
            untagged(Match::new().with(field::ETH_TYPE, proto::ARP)).with(field::ARP_OP, 1_u16).with(field::ARP_TPA, ip)
        }
        IpAddr::V6(ip) => untagged(Match::new().with(field::ETH_TYPE, proto::IPV6))
            .with(field::IP_PROTO, proto::ICMPV6)
            .with(field::ICMPV6_TYPE, SOLICITATION)
            .with(field::ND_TARGET, ip),
    };
    these_within(question, ls)
}

fn solicitation(matching: Match) -> Match {
    matching
        .with(field::ETH_TYPE, proto::IPV6)
        .with(field::IP_PROTO, proto::ICMPV6)
        .with(field::ICMPV6_TYPE, SOLICITATION)
}

fn advertisement(matching: Match) -> Match {
    matching
        .with(field::ETH_TYPE, proto::IPV6)
        .with(field::IP_PROTO, proto::ICMPV6)
        .with(field::ICMPV6_TYPE, ADVERTISEMENT)
}

fn reply(port: &SwitchPort, ip: IpAddr) -> FlowRow {
    let lsp = &port.lsp.value;
    answer((port.ls, lsp.port), ip, lsp.mac, lsp.peer.is_some(), priority::OBJECT)
}

/// In a switch, for a port of it: who has `ip`? That MAC, which is a router's or not.
pub(super) fn answer(port: (DatapathId, PortId), ip: IpAddr, mac: [u8; 6], router: bool, priority: u16) -> FlowRow {
    let (ls, port) = port;
    let mut actions = Vec::with_capacity(4);
    actions.extend([copy(field::ETH_SRC, field::ETH_DST, 48), set(field::ETH_SRC, mac)]);
    let rule = match ip {
        IpAddr::V4(_) => Rule::Arp,
        IpAddr::V6(_) => {
            let flags = if router { FROM_ROUTER } else { FROM_HOST };
            actions.push(set(field::ND_RESERVED, flags));
            Rule::Nd
        }
    };
    actions.push(resubmit(stage::LSP_INGRESS_NEIGHBOUR_REPLY));
    flow(stage::LSP_INGRESS_ARP_RESPONSE, priority, Cookie::port(rule, ls, port), asks_for(ls, ip), actions)
}

fn own_address(port: &SwitchPort, ip: IpAddr) -> FlowRow {
    let lsp = &port.lsp.value;
    flow(
        stage::LSP_INGRESS_ARP_RESPONSE,
        priority::EXCEPTION,
        Cookie::port(Rule::OwnAddress, port.ls, lsp.port),
        asks_for(port.ls, ip).with(register::SRC_PORT, u32::from(lsp.port.get())),
        vec![resubmit(stage::LSP_INGRESS_LOOKUP_DST_PORT)],
    )
}

/// The second step: no facts.
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::NeighbourReply);
    // The reply leaves by the port that asked.
    let back = |mut actions: Vec<_>| {
        actions.extend([
            copy(register::SRC_PORT, register::DST_PORT, 32),
            set_flags(register::LOOPBACK),
            resubmit(stage::LSP_TRACE_EGRESS_IN),
        ]);
        actions
    };
    let arp = Match::new().with(field::ETH_TYPE, proto::ARP);
    let arp_reply = back(vec![
        set(field::ARP_OP, 2_u16),
        copy(field::ARP_TPA, register::NEXT_HOP4, 32),
        copy(field::ARP_SPA, field::ARP_TPA, 32),
        copy(register::NEXT_HOP4, field::ARP_SPA, 32),
        copy(field::ARP_SHA, field::ARP_THA, 48),
        copy(field::ETH_SRC, field::ARP_SHA, 48),
    ]);
    let advertise = |dst| {
        vec![
            dst,
            copy(field::ND_TARGET, field::IPV6_SRC, 128),
            set(field::ICMPV6_TYPE, ADVERTISEMENT),
            set(field::ND_OPTIONS_TYPE, TARGET_ADDRESS),
            resubmit(stage::LSP_INGRESS_ND_OPTION),
        ]
    };
    let reply = advertise(copy(field::IPV6_SRC, field::IPV6_DST, 128));
    // Who asks from no address looks for a duplicate of its own: all nodes hear the answer (RFC 4861 section 7.2.4), and that a router is one
    // (section 4.4).
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to_all = |flags: u32| {
        let mut actions = vec![set(field::ND_RESERVED, flags), set(field::ETH_DST, [0x33, 0x33, 0, 0, 0, 1])];
        actions.extend(advertise(set(field::IPV6_DST, all_nodes)));
        actions
    };
    // A solicitation that a router forwarded comes from elsewhere and is nobody's to ask here: its hop limit shows it
    // (RFC 4861 section 7.1.1). Matched in this stage, which no other packet sees.
    let neighbour = solicitation(Match::new()).with(field::NW_TTL, 255_u8);
    let from_nobody = neighbour.clone().with(field::IPV6_SRC, Ipv6Addr::UNSPECIFIED);
    let of_router = from_nobody.clone().with(field::ND_RESERVED, FROM_ROUTER);
    let option = back(vec![copy(field::ETH_SRC, field::ND_TLL, 48)]);
    vec![
        flow(stage::LSP_INGRESS_NEIGHBOUR_REPLY, priority::GENERAL, cookie, arp, arp_reply),
        flow(stage::LSP_INGRESS_NEIGHBOUR_REPLY, priority::GENERAL, cookie, neighbour, reply),
        flow(stage::LSP_INGRESS_NEIGHBOUR_REPLY, priority::OBJECT, cookie, from_nobody, to_all(FROM_HOST_TO_ALL)),
        flow(stage::LSP_INGRESS_NEIGHBOUR_REPLY, priority::EXCEPTION, cookie, of_router, to_all(FROM_ROUTER_TO_ALL)),
        flow(stage::LSP_INGRESS_ND_OPTION, priority::GENERAL, cookie, advertisement(Match::new()), option),
    ]
}
