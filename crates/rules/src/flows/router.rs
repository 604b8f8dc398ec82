//! Into a router and out of it, and what it does not forward.
//!
//! Cost of a link: two flows, and one per address of the router port.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, proto, resubmit, set, within},
    port::{Link, RouterPort},
    register, stage,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_datalog::Relation;
use tuplenet_openflow::{Match, field};

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
            set(register::SRC_PORT, u32::from(lrp.port.get())),
            set(register::FLAGS, 0_u32),
            resubmit(stage::LRP_TRACE_INGRESS_IN),
        ],
    )
}

fn to_switch(link: &Link) -> FlowRow {
    let (ls, lsp) = (link.port.ls, &link.port.lsp.value);
    let (lr, lrp) = (link.router.lr, &link.router.lrp.value);
    flow(
        stage::LRP_TRACE_EGRESS_OUT,
        priority::OBJECT,
        Cookie::port(Rule::ToSwitch, lr, lrp.port),
        within(lr).with(register::DST_PORT, u32::from(lrp.port.get())),
        vec![
            set(register::DATAPATH, u64::from(ls.get())),
            set(register::SRC_PORT, u32::from(lsp.port.get())),
            resubmit(stage::LSP_TRACE_INGRESS_IN),
        ],
    )
}

fn to_itself(port: &RouterPort, ip: IpAddr) -> FlowRow {
    let matching = match ip {
        IpAddr::V4(ip) => within(port.lr).with(field::ETH_TYPE, proto::IPV4).with(field::IPV4_DST, ip),
        IpAddr::V6(ip) => within(port.lr).with(field::ETH_TYPE, proto::IPV6).with(field::IPV6_DST, ip),
    };
    let cookie = Cookie::port(Rule::RouterDrop, port.lr, port.lrp.value.port);
    flow(stage::LRP_INGRESS_DROP_UNEXPECT, priority::OBJECT, cookie, matching, vec![])
}

/// Destinations that no router forwards: multicast and class E (RFC 1812 sections 5.2.1.1 and 5.3.7), link-local and multicast (RFC 4291
/// section 2.5.6). No facts.
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::RouterDrop);
    let drop = |matching| flow(stage::LRP_INGRESS_DROP_UNEXPECT, priority::GENERAL, cookie, matching, vec![]);
    let ipv4 = Match::new().with(field::ETH_TYPE, proto::IPV4);
    let ipv6 = Match::new().with(field::ETH_TYPE, proto::IPV6);
    let net6 = |first: u16| Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0);
    vec![
        drop(ipv4.with_masked(field::IPV4_DST, Ipv4Addr::new(224, 0, 0, 0), Ipv4Addr::new(224, 0, 0, 0))),
        drop(ipv6.clone().with_masked(field::IPV6_DST, net6(0xfe80), net6(0xffc0))),
        drop(ipv6.with_masked(field::IPV6_DST, net6(0xff00), net6(0xff00))),
    ]
}
