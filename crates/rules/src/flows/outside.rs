//! Neighbours of routers in a physical network: asked for by the agent, learned by it, known here as facts.
//!
//! Only what comes in by a patch port is learned from, and what the network itself knows goes first: no answer from outside gives an address of a port another
//! MAC, and none of a VM's is looked at. Of what is announced without a question only addresses that are known are told, and only with another MAC than
//! the known one; the agent believes them after it has asked itself.
//!
//! Cost of a router's port on a switch with a patch port here: one flow per network and two more. Cost of a neighbour: one flow per such router port, and two.

use crate::{
    cookie::{Cookie, Rule},
    fact::NeighbourFact,
    flow::{FlowRow, flow, priority, proto, resubmit, set, these_within},
    flows::nat::External,
    outside::{Event, Outside, Own, report, substitute},
    patch::Patches,
    port::Link,
    register::{self, FROM_PATCH},
    stage,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::Relation;
use tuplenet_model::{
    id::{DatapathId, PortId},
    name::Name,
};
use tuplenet_openflow::{Match, field};

/// Below what is known of the network's own ports and external addresses.
const NEIGHBOUR: u16 = 60;
/// Below all that is known.
const ASK: u16 = priority::GENERAL;

/// A neighbour as a router's port knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    at: Outside,
    ip: IpAddr,
    mac: [u8; 6],
}

/// What may be heard of a neighbour at a patch port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Heard {
    ls: DatapathId,
    patch: PortId,
    ip: IpAddr,
    mac: [u8; 6],
}

/// ```text
/// outside(Link, Patch, Works)   <- link(LS, _, LR), mine(LS, Patch), Works if here(LS, Patch).
///                                  Under the router's own MAC if the router is pinned, or designated_here(LS).
/// ask(LR, Port, Net)            <- outside(LS, LR, Port), router_port(Port, Net).
/// learn(LS, Mac)                <- outside(LS, LR, Port), Mac is that of who asks.
/// neighbour(LR, Port, Ip, Mac)  <- outside(LS, LR, Port), neighbour_fact(LS, Ip, Mac), router_port(Port, Net), Ip in Net.
/// announced(LS, Ip, Mac)        <- neighbour(_, _, Ip, Mac), outside(LS, _, _).
/// own(LS, Patch, Ip, Mac)       <- outside(LS, LR, Port), here(LS, Patch), router_port(Port, Ip, Mac), in the router's own name.
/// own(LS, Patch, Ip, Mac)       <- external(LS, Ip, Mac), here(LS, Patch).
/// ```
pub fn flows(
    me: &Name,
    link: &Relation<Link>,
    patches: &Patches,
    neighbour: &Relation<NeighbourFact>,
    external: &Relation<External>,
) -> (Relation<FlowRow>, Relation<Outside>, Relation<Own>) {
    let at_patch = link
        .index(|link| link.port.ls)
        .join(&patches.mine.index(|port| port.ls), |_, link, patch| (link.clone(), patch.lsp.value.port));
    let designated = patches.designated_here.index(|ls| *ls);
    let own = at_patch.filter(|(link, _)| !link.router.distributed);
    let shared = at_patch.filter(|(link, _)| link.router.distributed).index(|(link, _)| link.port.ls);
    let own = own.concat(&shared.semijoin(&designated)).map(|(link, patch)| (link.clone(), *patch, None));
    let mac = substitute(me);
    let other = shared.antijoin(&designated).map(move |(link, patch)| (link.clone(), *patch, Some(mac)));
    let all = own.concat(&other).index(|(link, _, _)| link.port.ls);
    let here = patches.here.index(|here| here.port.ls);
    let works = all.semijoin(&here).map(|(link, patch, mac)| outside(link, *patch, *mac, true));
    let idle = all.antijoin(&here).map(|(link, patch, mac)| outside(link, *patch, *mac, false));
    let outside = works.concat(&idle).named("outside");

    let routers = outside.filter(|at| at.works && at.substitute.is_none()).flat_map(|at| {
        let ips = at.nets.iter().map(IpNet::addr);
        let own = |ip| Own { switch: at.switch, port: at.port, patch: at.patch, ip, mac: at.mac };
        ips.map(own).collect::<Vec<_>>()
    });
    let externals = external.index(|external| external.ls).join(&here, |_, external, here| Own {
        switch: external.ls,
        port: external.port,
        patch: here.port.lsp.value.port,
        ip: external.ip,
        mac: external.mac,
    });
    let own = routers.concat(&externals).distinct();

    // Whether the patch port works changes no flow.
    let at = outside.map(|at| Outside { works: true, ..at.clone() });
    let asks = at.flat_map(|at| {
        let at = at.clone();
        (0..at.nets.len()).filter_map(move |i| at.nets.get(i).map(|net| ask(&at, *net)))
    });
    let learn = at.flat_map(|at| [learn(at, false), learn(at, true)]);
    let known = at
        .index(|at| at.ls.clone())
        .join_flat(&neighbour.index(|fact| fact.ls.clone()), |_, at, fact| {
            let known = || Known { at: at.clone(), ip: fact.ip, mac: fact.mac };
            at.nets.iter().any(|net| net.contains(&fact.ip)).then(known)
        })
        .named("neighbour");
    let announced = known
        .map(|known| Heard { ls: known.at.switch, patch: known.at.patch, ip: known.ip, mac: known.mac })
        .distinct()
        .flat_map(|heard| [unchanged(heard), announced(heard)]);
    (asks.concat_all([&learn, &known.map(next_hop), &announced]), outside, own)
}

fn outside(link: &Link, patch: PortId, substitute: Option<[u8; 6]>, works: bool) -> Outside {
    let lrp = &link.router.lrp.value;
    Outside {
        ls: link.port.lsp.name.0.clone(),
        switch: link.port.ls,
        port: link.port.lsp.value.port,
        patch,
        works,
        router: link.router.lr,
        number: lrp.number,
        nets: lrp.nets.clone(),
        mac: lrp.mac,
        substitute,
    }
}

fn ask(at: &Outside, net: IpNet) -> FlowRow {
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), at.router);
    let matching = match net {
        IpNet::V4(net) => family(proto::IPV4).with_masked(register::NEXT_HOP4, net.network(), net.netmask()),
        IpNet::V6(net) => family(proto::IPV6).with_masked(register::NEXT_HOP6, net.network(), net.netmask()),
    };
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        ASK,
        Cookie::router_port(Rule::NeighbourAsk, at.router, at.number),
        matching.with(register::DST_PORT, at.number),
        vec![report(Event::Ask)],
    )
}

fn next_hop(known: &Known) -> FlowRow {
    let Known { at, ip, mac } = known;
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), at.router);
    let matching = match ip {
        IpAddr::V4(ip) => family(proto::IPV4).with(register::NEXT_HOP4, *ip),
        IpAddr::V6(ip) => family(proto::IPV6).with(register::NEXT_HOP6, *ip),
    };
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        NEIGHBOUR,
        Cookie::port(Rule::Neighbour, at.switch, at.port),
        matching.with(register::DST_PORT, at.number),
        vec![set(field::ETH_DST, *mac), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)],
    )
}

fn from_outside(matching: Match) -> Match {
    matching.with_masked(register::FLAGS, FROM_PATCH, FROM_PATCH)
}

fn told() -> Vec<tuplenet_openflow::Action> {
    vec![report(Event::Learn), resubmit(stage::LSP_INGRESS_ARP_RESPONSE)]
}

/// An answer to who asks here.
fn learn(at: &Outside, v6: bool) -> FlowRow {
    let to = Match::new().with(field::ETH_DST, at.asker());
    let answer = if v6 { advertisement(to) } else { to.with(field::ETH_TYPE, proto::ARP).with(field::ARP_OP, 2_u16) };
    flow(
        stage::LSP_INGRESS_ARP_CONTROLLER,
        priority::EXCEPTION,
        Cookie::port(Rule::NeighbourLearn, at.switch, at.port),
        from_outside(these_within(answer, at.switch)),
        told(),
    )
}

fn advertisement(frames: Match) -> Match {
    frames
        .with(field::ETH_TYPE, proto::IPV6)
        .with(field::IP_PROTO, proto::ICMPV6)
        .with(field::ICMPV6_TYPE, 136_u8)
        .with(field::ICMPV6_CODE, 0_u8)
}

/// A neighbour says what is known.
fn unchanged(heard: &Heard) -> FlowRow {
    let Heard { ls, patch, ip, mac } = *heard;
    let says = match ip {
        IpAddr::V4(ip) => {
            Match::new().with(field::ETH_TYPE, proto::ARP).with(field::ARP_SPA, ip).with(field::ARP_SHA, mac)
        }
        IpAddr::V6(ip) => advertisement(Match::new()).with(field::ND_TARGET, ip).with(field::ND_TLL, mac),
    };
    flow(
        stage::LSP_INGRESS_ARP_CONTROLLER,
        priority::OBJECT + 1,
        Cookie::port(Rule::NeighbourLearn, ls, patch),
        from_outside(these_within(says, ls)),
        vec![resubmit(stage::LSP_INGRESS_ARP_RESPONSE)],
    )
}

/// Somebody says something else of a neighbour.
fn announced(heard: &Heard) -> FlowRow {
    let Heard { ls, patch, ip, .. } = *heard;
    let says = match ip {
        IpAddr::V4(ip) => Match::new().with(field::ETH_TYPE, proto::ARP).with(field::ARP_SPA, ip),
        IpAddr::V6(ip) => advertisement(Match::new()).with(field::ND_TARGET, ip),
    };
    flow(
        stage::LSP_INGRESS_ARP_CONTROLLER,
        priority::OBJECT,
        Cookie::port(Rule::NeighbourLearn, ls, patch),
        from_outside(these_within(says, ls)),
        told(),
    )
}
