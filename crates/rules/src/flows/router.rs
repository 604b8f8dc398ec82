//! Into a router and out of it, and what it does not forward.
//!
//! Cost of a link: two flows, and one per address of the router port.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, proto, resubmit, set, within},
    icmp::{Event, report},
    port::Link,
    register, stage,
    valid_port::RouterPort,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_datalog::Relation;
use tuplenet_openflow::{Action, Match, field};

/// ```text
/// to_router(LS, Port, LR, RouterPort) <- link(LS, Port, LR, RouterPort).
/// to_switch(LR, RouterPort, LS, Port) <- link(LS, Port, LR, RouterPort).
/// to_itself(LR, Ip)                   <- router_port(LR, _, Ip).
/// ```
pub fn flows(link: &Relation<Link>, router: &Relation<RouterPort>) -> Relation<FlowRow> {
    let to_itself = router.flat_map(|port| {
        let port = port.clone();
        (0..port.lrp.value.nets.len())
            .filter_map(move |i| port.lrp.value.nets.get(i).map(|net| to_itself(&port, net.addr())))
    });
    link.flat_map(|link| [to_router(link), to_switch(link)]).concat(&to_itself)
}

/// A router is a new L2 hop: what the switch before noted about the packet is void, save its colour.
fn to_router(link: &Link) -> FlowRow {
    let (ls, lsp) = (link.port.ls, &link.port.lsp.value);
    let (lr, lrp) = (link.router.lr, &link.router.lrp.value);
    flow(
        stage::LSP_EGRESS_FORWARD_PACKET,
        priority::OBJECT,
        Cookie::port(Rule::ToRouter, ls, lsp.port),
        within(ls).with(register::DST_PORT, u32::from(lsp.port.get())),
        vec![
            set(register::DATAPATH, u64::from(lr.get())),
            set(register::SRC_PORT, lrp.number),
            set(register::DST_PORT, 0_u32),
            Action::set_field_masked(register::FLAGS, 0_u32, !register::TRACED),
            resubmit(stage::LRP_TRACE_INGRESS_IN),
        ],
    )
}

fn to_switch(link: &Link) -> FlowRow {
    let (ls, lsp) = (link.port.ls, &link.port.lsp.value);
    let (lr, lrp) = (link.router.lr, &link.router.lrp.value);
    flow(
        stage::LRP_EGRESS_TO_SWITCH,
        priority::OBJECT,
        Cookie::router_port(Rule::ToSwitch, lr, lrp.number),
        within(lr).with(register::DST_PORT, lrp.number),
        vec![
            set(register::DATAPATH, u64::from(ls.get())),
            set(register::SRC_PORT, u32::from(lsp.port.get())),
            set(register::DST_PORT, 0_u32),
            resubmit(stage::LSP_TRACE_INGRESS_IN),
        ],
    )
}

fn to_itself(port: &RouterPort, ip: IpAddr) -> FlowRow {
    let matching = match ip {
        IpAddr::V4(ip) => within(port.lr).with(field::ETH_TYPE, proto::IPV4).with(field::IPV4_DST, ip),
        IpAddr::V6(ip) => within(port.lr).with(field::ETH_TYPE, proto::IPV6).with(field::IPV6_DST, ip),
    };
    let cookie = Cookie::router_port(Rule::IcmpError, port.lr, port.lrp.value.number);
    flow(stage::LRP_INGRESS_DROP_UNEXPECT, priority::OBJECT, cookie, matching, vec![report(Event::Itself)])
}

/// What no router takes from anybody, nor sends on. No facts.
///
/// Sources that are nobody's address, before the router answers them: an echo reply to a multicast or loopback address would go where the default
/// route leads (RFC 1812 section 5.3.7, RFC 4291 sections 2.5.2, 2.5.3, 2.5.6 and 2.7). Destinations: multicast, loopback, "this network" and class E
/// (RFC 1812 sections 5.2.1.1 and 5.3.7), multicast and link-local (RFC 4291). Frames with a VLAN tag: a link is a port of an untagged network, and a
/// tag must not travel from one switch into another.
///
/// And what its sender is told of: what has no hop left (RFC 1812 section 5.3.1), no route (5.2.7.1), and a next hop that nobody has. (Of packets that are too
/// long: [`super::mtu`].)
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::RouterDrop);
    let told = |stage, priority, matching, event| {
        flow(stage, priority, Cookie::of(Rule::IcmpError), matching, vec![report(event)])
    };
    let drop = |stage, priority, matching| flow(stage, priority, cookie, matching, vec![]);
    let tagged = Match::new().with_masked(field::VLAN_TCI, 0x1000_u16, 0x1000_u16);
    let (response, unexpect) = (stage::LRP_INGRESS_PKT_RESPONSE, stage::LRP_INGRESS_DROP_UNEXPECT);
    let mut flows = vec![drop(response, priority::EXCEPTION, tagged)];
    for (net, mask) in [([0, 0, 0, 0], 0xff), ([127, 0, 0, 0], 0xff), ([224, 0, 0, 0], 0xe0)] {
        let (net, mask) = (Ipv4Addr::from(net), Ipv4Addr::new(mask, 0, 0, 0));
        let ipv4 = Match::new().with(field::ETH_TYPE, proto::IPV4);
        flows.push(drop(response, priority::EXCEPTION, ipv4.clone().with_masked(field::IPV4_SRC, net, mask)));
        flows.push(drop(unexpect, priority::GENERAL, ipv4.with_masked(field::IPV4_DST, net, mask)));
    }
    // Without these `dec_ttl` would end them, and nobody would be told. Matching the TTL costs nothing here: `dec_ttl` makes the switch's cache tell TTLs
    // apart anyway. Below the drops: of a packet to a multicast address nobody is told.
    for (ethertype, ttl) in [(proto::IPV4, 0_u8), (proto::IPV4, 1), (proto::IPV6, 0), (proto::IPV6, 1)] {
        let spent = Match::new().with(field::ETH_TYPE, ethertype).with(field::NW_TTL, ttl);
        flows.push(told(unexpect, priority::GENERAL - 1, spent, Event::Spent));
    }
    for ethertype in [proto::IPV4, proto::IPV6] {
        let ip = Match::new().with(field::ETH_TYPE, ethertype);
        flows.push(told(stage::LRP_INGRESS_IP_ROUTE, priority::MISS + 1, ip.clone(), Event::NoRoute));
        flows.push(told(stage::LRP_EGRESS_UPDATE_ETH_DST, priority::MISS + 1, ip, Event::NoHost));
    }
    // Protocol 0 stands for "no network header" in Open vSwitch: it would send such a packet on with its TTL as it came, round and
    // round where two routers point at each other. (IPv6 has it only in packets that are cut off in their extension headers.)
    for ethertype in [proto::IPV4, proto::IPV6] {
        let unspent = Match::new().with(field::ETH_TYPE, ethertype).with(field::IP_PROTO, 0_u8);
        flows.push(drop(unexpect, priority::GENERAL, unspent));
    }
    // ::/16 holds the unspecified and the loopback address and what looks like IPv4. A longer prefix would be cut out of
    // the switch's cache of every IPv6 packet.
    for (net, mask) in [(0, 0xffff), (0xfe80, 0xffc0), (0xff00, 0xff00)] {
        let first = |word: u16| Ipv6Addr::new(word, 0, 0, 0, 0, 0, 0, 0);
        let ipv6 = Match::new().with(field::ETH_TYPE, proto::IPV6);
        flows.push(drop(
            response,
            priority::EXCEPTION,
            ipv6.clone().with_masked(field::IPV6_SRC, first(net), first(mask)),
        ));
        flows.push(drop(unexpect, priority::GENERAL, ipv6.with_masked(field::IPV6_DST, first(net), first(mask))));
    }
    flows
}
