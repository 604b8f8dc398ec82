//! ICMP and ICMPv6 echo to a router's addresses, answered in the switch (RFC 792, RFC 4443 section 4.2).
//!
//! The reply starts with TTL 255 and is routed as any packet, so it leaves the router with 254. Cost of a router port: one flow per address.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, copy, flow, priority, proto, resubmit, set, set_flags, within},
    register, stage,
    valid_port::RouterPort,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_openflow::field;

/// ```text
/// echo(LR, Ip) <- router_port(LR, _, Ip).
/// ```
pub fn flows(router: &Relation<RouterPort>) -> Relation<FlowRow> {
    router.flat_map(|port| {
        let port = port.clone();
        (0..port.lrp.value.nets.len())
            .filter_map(move |i| port.lrp.value.nets.get(i).map(|net| echo(&port, net.addr())))
    })
}

fn echo(port: &RouterPort, ip: IpAddr) -> FlowRow {
    let (matching, swap) = match ip {
        IpAddr::V4(ip) => (
            within(port.lr)
                .with(field::ETH_TYPE, proto::IPV4)
                .with(field::IPV4_DST, ip)
                .with(field::IP_PROTO, proto::ICMP)
                .with(field::ICMPV4_TYPE, 8_u8),
            [copy(field::IPV4_SRC, field::IPV4_DST, 32), set(field::IPV4_SRC, ip), set(field::ICMPV4_TYPE, 0_u8)],
        ),
        IpAddr::V6(ip) => (
            within(port.lr)
                .with(field::ETH_TYPE, proto::IPV6)
                .with(field::IPV6_DST, ip)
                .with(field::IP_PROTO, proto::ICMPV6)
                .with(field::ICMPV6_TYPE, 128_u8),
            [copy(field::IPV6_SRC, field::IPV6_DST, 128), set(field::IPV6_SRC, ip), set(field::ICMPV6_TYPE, 129_u8)],
        ),
    };
    let mut actions = Vec::from(swap);
    let answer = set_flags(register::ANSWER);
    actions.extend([set(field::NW_TTL, 255_u8), answer, resubmit(stage::LRP_INGRESS_IP_ROUTE)]);
    let cookie = Cookie::router_port(Rule::Echo, port.lr, port.lrp.value.number);
    flow(stage::LRP_INGRESS_PKT_RESPONSE, priority::OBJECT, cookie, matching, actions)
}
