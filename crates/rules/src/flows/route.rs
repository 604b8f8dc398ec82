//! Routes: the longest prefix wins, and among equal prefixes ECMP over static over connected.
//!
//! Cost of a route: one flow; of one of several with its prefix: see [`super::ecmp`]. A route leaves a packet with its next hop in `reg0` / `xxreg0`, its port in `reg5`, the router's
//! MAC as source, and a TTL that is one lower; one that runs out ended before ([`super::router`]).

use crate::{
    cookie::{Cookie, Rule},
    fact::{Child, Lsr},
    flow::{FlowRow, copy, flow, proto, resubmit, set, within},
    output::Reject,
    port::Link,
    register, stage,
    valid_port::RouterPort,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{id::DatapathId, key::Key};
use tuplenet_openflow::{Action, Match, field};

/// Rank of a connected network among routes of equal prefix.
const CONNECTED: u16 = 0;
/// Rank of a static route.
const STATIC: u16 = 1;
/// Rank of several equal ones.
const ECMP: u16 = 2;
/// Rank of these for one inner address.
const STEERED: u16 = 3;
/// Ranks that there are room for.
const RANKS: u16 = 4;

/// A route that could be in force: its port is linked, and its next hop is a neighbour there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub lsr: Lsr,
    pub lr: DatapathId,
    /// The switch that its port leads to.
    pub ls: DatapathId,
    pub port: u32,
    pub mac: [u8; 6],
}

/// ```text
/// route(LR, Prefix, Hop, Port)    <- lsr(LR, Prefix, Hop, Port), link(_, LR, Port), router_port(Port, Net), Hop in Net,
///                                    Hop is no address of Port.
/// ```
pub fn routes(
    link: &Relation<Link>,
    router: &Relation<RouterPort>,
    lsr: &Relation<Lsr>,
) -> (Relation<Route>, Relation<Reject>) {
    // A route needs its port; it takes effect once the port is linked.
    let by_port = lsr.index(|lsr| (lsr.name.0.clone(), lsr.value.outport.clone()));
    let port_of = router.index(|r| r.lrp.name.clone());
    let reachable = |lsr: &Lsr, router: &RouterPort| {
        let (nets, hop) = (&router.lrp.value.nets, &lsr.value.next_hop);
        nets.iter().any(|net| net.contains(hop)) && nets.iter().all(|net| net.addr() != *hop)
    };
    let with_port = by_port.join(&port_of, |_, lsr, router| (lsr.clone(), router.clone()));
    let stray = with_port.filter(move |(lsr, router)| !reachable(lsr, router)).map(|(lsr, router)| Reject {
        key: Key::Lsr(lsr.name.0.clone(), lsr.name.1.clone()).to_string(),
        reason: format!(
            "next_hop: {} is no neighbour in a network of outport {}: give an address within its networks that is not the router's own",
            lsr.value.next_hop, router.lrp.name.1
        ),
    });
    let routes = with_port
        .filter(move |(lsr, router)| reachable(lsr, router))
        .index(|(_, router)| router.lrp.name.clone())
        .join(&link.index(|link| link.router.lrp.name.clone()), |_: &Child, (lsr, router), link| Route {
            lsr: lsr.clone(),
            lr: router.lr,
            ls: link.port.ls,
            port: router.lrp.value.number,
            mac: router.lrp.value.mac,
        })
        .named("route");
    (routes, stray)
}

/// ```text
/// connected(LR, Net, Port)        <- link(_, LR, Port), router_port(Port, Net).
/// static(LR, Prefix, Hop, Port)   <- route(LR, Prefix, Hop, Port), not ecmp(LR, Prefix); of several with one prefix the oldest.
/// ```
pub fn flows(link: &Relation<Link>, plain: &Relation<Route>) -> Relation<FlowRow> {
    let connected = link.flat_map(|link| {
        let router = link.router.clone();
        (0..router.lrp.value.nets.len())
            .filter_map(move |i| router.lrp.value.nets.get(i).map(|net| connected(&router, *net)))
    });
    connected.concat(&plain.map(static_route))
}

/// Routes whose router is present but whose port does not exist.
pub fn without_port(lsr_present: &Relation<Lsr>, router: &Relation<RouterPort>) -> Relation<Reject> {
    let by_port = lsr_present.index(|lsr| (lsr.name.0.clone(), lsr.value.outport.clone()));
    by_port.antijoin(&router.index(|r| r.lrp.name.clone())).map(|lsr| Reject {
        key: Key::Lsr(lsr.name.0.clone(), lsr.name.1.clone()).to_string(),
        reason: format!(
            "outport: router {} has no valid port {}: link the router there, or name another port",
            lsr.name.0, lsr.value.outport
        ),
    })
}

/// A route of a router that does not exist.
pub fn without_router(lsr: &Lsr) -> Reject {
    Reject {
        key: Key::Lsr(lsr.name.0.clone(), lsr.name.1.clone()).to_string(),
        reason: format!(
            "the router lr/{0} does not exist or is set aside itself: mend or add it, or delete this route",
            lsr.name.0
        ),
    }
}

fn destination(lr: DatapathId, net: IpNet) -> Match {
    match net {
        IpNet::V4(net) => {
            within(lr).with(field::ETH_TYPE, proto::IPV4).with_masked(field::IPV4_DST, net.network(), net.netmask())
        }
        IpNet::V6(net) => {
            within(lr).with(field::ETH_TYPE, proto::IPV6).with_masked(field::IPV6_DST, net.network(), net.netmask())
        }
    }
}

/// 1 is for what has no route: see `router`.
fn priority(net: IpNet, rank: u16) -> u16 {
    u16::from(net.prefix_len()) * RANKS + rank + 2
}

fn ranked(cookie: Cookie, lr: DatapathId, net: IpNet, rank: u16, actions: Vec<Action>) -> FlowRow {
    flow(stage::LRP_INGRESS_IP_ROUTE, priority(net, rank), cookie, destination(lr, net), actions)
}

fn route(cookie: Cookie, lr: DatapathId, net: IpNet, rank: u16, hop: Action, port: u32, mac: [u8; 6]) -> FlowRow {
    let actions = vec![
        Action::DecTtl,
        hop,
        set(register::DST_PORT, port),
        set(field::ETH_SRC, mac),
        resubmit(stage::LRP_TRACE_INGRESS_OUT),
    ];
    ranked(cookie, lr, net, rank, actions)
}

/// Several equal routes: `choose` ends in their group.
pub fn equal_routes(cookie: Cookie, lr: DatapathId, net: IpNet, choose: Vec<Action>) -> FlowRow {
    ranked(cookie, lr, net, ECMP, std::iter::once(Action::DecTtl).chain(choose).collect())
}

/// Several equal routes, for what comes from one address.
pub fn from_inner(cookie: Cookie, lr: DatapathId, net: IpNet, inner: IpAddr, choose: Vec<Action>) -> FlowRow {
    let matching = match inner {
        IpAddr::V4(ip) => destination(lr, net).with(field::IPV4_SRC, ip),
        IpAddr::V6(ip) => destination(lr, net).with(field::IPV6_SRC, ip),
    };
    let actions = std::iter::once(Action::DecTtl).chain(choose).collect();
    flow(stage::LRP_INGRESS_IP_ROUTE, priority(net, STEERED), cookie, matching, actions)
}

/// Notes the next hop.
pub fn next_hop(hop: IpAddr) -> Action {
    match hop {
        IpAddr::V4(ip) => set(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => set(register::NEXT_HOP6, ip),
    }
}

fn connected(router: &RouterPort, net: IpNet) -> FlowRow {
    let hop = match net {
        IpNet::V4(_) => copy(field::IPV4_DST, register::NEXT_HOP4, 32),
        IpNet::V6(_) => copy(field::IPV6_DST, register::NEXT_HOP6, 128),
    };
    let lrp = &router.lrp.value;
    route(
        Cookie::router_port(Rule::Connected, router.lr, lrp.number),
        router.lr,
        net,
        CONNECTED,
        hop,
        lrp.number,
        lrp.mac,
    )
}

fn static_route(r: &Route) -> FlowRow {
    let hop = next_hop(r.lsr.value.next_hop);
    let cookie = Cookie::named(Rule::Static, Some(r.lr), &r.lsr.name.1);
    route(cookie, r.lr, r.lsr.value.prefix, STATIC, hop, r.port, r.mac)
}
