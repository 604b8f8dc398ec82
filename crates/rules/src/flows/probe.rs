//! Answers of addresses outside that the agent probes ([`crate::probe`]).
//!
//! A router's address at an uplink may be an external one of its NAT rules, and inner hosts may ping what is probed. Therefore an answer is looked for
//! twice: where what is for the router itself ends, below what NAT takes from there; and behind conntrack, where only those arrive that belong to nobody.
//! Cost: two flows for each address that is probed and each address of that family that a router has at an uplink here.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, proto, within},
    outside::Outside,
    probe::report,
    stage,
};
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_openflow::field;

/// Above what is for the router itself, below what NAT makes of it.
const ITSELF: u16 = priority::OBJECT + 10;

/// ```text
/// answer(LR, Ip, Target) <- probe(Target), outside(_, LR, Port), router_port(Port, Ip), Ip and Target of one family.
/// ```
pub fn flows(outside: &Relation<Outside>, probe: &Relation<IpAddr>) -> Relation<FlowRow> {
    outside.map(|at| Outside { works: true, ..at.clone() }).index(|_| ()).join_flat(
        &probe.index(|_| ()),
        |(), at, target| {
            let own = at.nets.iter().map(ipnet::IpNet::addr).filter(|ip| ip.is_ipv4() == target.is_ipv4());
            own.flat_map(|ip| answer(at, ip, *target)).collect::<Vec<_>>()
        },
    )
}

fn answer(at: &Outside, ip: IpAddr, target: IpAddr) -> Vec<FlowRow> {
    let here = within(at.router);
    let answers = match (ip, target) {
        (IpAddr::V4(ip), IpAddr::V4(target)) => here
            .with(field::ETH_TYPE, proto::IPV4)
            .with(field::IPV4_DST, ip)
            .with(field::IPV4_SRC, target)
            .with(field::IP_PROTO, proto::ICMP)
            .with(field::ICMPV4_TYPE, 0_u8),
        (IpAddr::V6(ip), IpAddr::V6(target)) => here
            .with(field::ETH_TYPE, proto::IPV6)
            .with(field::IPV6_DST, ip)
            .with(field::IPV6_SRC, target)
            .with(field::IP_PROTO, proto::ICMPV6)
            .with(field::ICMPV6_TYPE, 129_u8),
        _ => return Vec::new(),
    };
    let cookie = Cookie::router_port(Rule::ProbeAnswer, at.router, at.number);
    let flow = |stage, priority| flow(stage, priority, cookie, answers.clone(), vec![report()]);
    vec![flow(stage::LRP_INGRESS_DROP_UNEXPECT, ITSELF), flow(stage::LRP_INGRESS_DNAT_STAGE1, priority::EXCEPTION)]
}
