//! The MAC address of a next hop: of every port that a router can reach in one of its switches.
//!
//! Cost of a port: one flow per address and router of its switch.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, proto, resubmit, set, these_within},
    port::Link,
    register, stage,
    valid_port::{RouterPort, SwitchPort},
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::id::DatapathId;
use tuplenet_openflow::{Match, field};

/// ```text
/// next_hop(LR, RouterPort, Ip, Mac) <- link(LS, _, LR, RouterPort), located(LS, Port), lsp(Port, Ip, Mac),
///                                      router_port(RouterPort, Net), Ip in Net.
/// ```
pub fn flows(link: &Relation<Link>, located_in: &Index<DatapathId, SwitchPort>) -> Relation<FlowRow> {
    link.index(|link| link.port.ls).join_flat(located_in, |_, link, port| {
        let (router, port) = (link.router.clone(), port.clone());
        (0..port.lsp.value.ips.len()).filter_map(move |i| {
            let ip = port.lsp.value.ips.get(i)?;
            let near = router.lrp.value.nets.iter().any(|net| net.contains(ip));
            near.then(|| next_hop(&router, &port, *ip))
        })
    })
}

fn next_hop(router: &RouterPort, port: &SwitchPort, ip: IpAddr) -> FlowRow {
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), router.lr);
    let matching = match ip {
        IpAddr::V4(ip) => family(proto::IPV4).with(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => family(proto::IPV6).with(register::NEXT_HOP6, ip),
    };
    let matching = matching.with(register::DST_PORT, router.lrp.value.number);
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        priority::OBJECT,
        Cookie::port(Rule::NextHop, port.ls, port.lsp.value.port),
        matching,
        vec![set(field::ETH_DST, port.lsp.value.mac), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)],
    )
}
