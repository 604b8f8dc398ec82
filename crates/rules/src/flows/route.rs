//! Routes: the longest prefix wins, and among equal prefixes ECMP over static over connected.
//!
//! Cost of a route: one flow. A route leaves a packet with its next hop in `reg0` / `xxreg0`, its port in `reg5`, the router's
//! MAC as source, and a TTL that is one lower; one that runs out ended before ([`super::router`]).

use crate::{
    cookie::{Cookie, Rule},
    fact::{Child, Lsr},
    flow::{FlowRow, copy, flow, proto, resubmit, set, within},
    output::Reject,
    port::{Link, RouterPort},
    register, stage,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{id::DatapathId, key::Key};
use tuplenet_openflow::{Action, Match, field};

/// Rank of a connected network among routes of equal prefix. 2 is for ECMP.
const CONNECTED: u16 = 0;
/// Rank of a static route.
const STATIC: u16 = 1;
/// Ranks that there are room for.
const RANKS: u16 = 4;

/// A route that is in force: the port that leads to the next hop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Route {
    lsr: Lsr,
    lr: DatapathId,
    port: u32,
    mac: [u8; 6],
}

/// ```text
/// connected(LR, Net, Port)        <- link(_, LR, Port), router_port(Port, Net).
/// static(LR, Prefix, Hop, Port)   <- lsr(LR, Prefix, Hop, Port), link(_, LR, Port), router_port(Port, Net), Hop in Net,
///                                    Hop is no address of Port;
///                                    of several with one prefix the oldest.
/// ```
pub fn flows(
    link: &Relation<Link>,
    router: &Relation<RouterPort>,
    lsr: &Relation<Lsr>,
) -> (Relation<FlowRow>, Relation<Reject>) {
    let connected = link.flat_map(|link| {
        let router = link.router.clone();
        (0..router.lrp.value.nets.len())
            .filter_map(move |i| router.lrp.value.nets.get(i).map(|net| connected(&router, *net)))
    });
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
        .join(&link.index(|link| link.router.lrp.name.clone()), |_: &Child, (lsr, router), _| Route {
            lsr: lsr.clone(),
            lr: router.lr,
            port: router.lrp.value.number,
            mac: router.lrp.value.mac,
        })
        .min_by(|r| (r.lr, r.lsr.value.prefix), |r| (r.lsr.created, r.lsr.name.clone()));
    (connected.concat(&routes.map(static_route)), stray)
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

fn route(cookie: Cookie, lr: DatapathId, net: IpNet, rank: u16, hop: Action, port: u32, mac: [u8; 6]) -> FlowRow {
    let actions = vec![
        Action::DecTtl,
        hop,
        set(register::DST_PORT, port),
        set(field::ETH_SRC, mac),
        resubmit(stage::LRP_INGRESS_ECMP),
    ];
    // 1 is for what has no route: see `router`.
    let priority = u16::from(net.prefix_len()) * RANKS + rank + 2;
    flow(stage::LRP_INGRESS_IP_ROUTE, priority, cookie, destination(lr, net), actions)
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
    let hop = match r.lsr.value.next_hop {
        IpAddr::V4(ip) => set(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => set(register::NEXT_HOP6, ip),
    };
    let cookie = Cookie::named(Rule::Static, Some(r.lr), &r.lsr.name.1);
    route(cookie, r.lr, r.lsr.value.prefix, STATIC, hop, r.port, r.mac)
}
