//! Direct return: what this host's VMs send outside leaves by the host's own IP stack instead of the tunnel to an edge. Answers come back by an edge.
//!
//! The agent makes an internal port for it, and the host's kernel routes what comes in there. What a router here would send to an edge, a router that is
//! pinned to another chassis, is given to that port if the edge would do nothing with it but send it on by an uplink:
//!
//! - The destination is one that the edge sends outside: of the edge's own routes and networks the longest prefix decides, as it does there. What the edge would
//!   take itself, translate, or send to another inner network or another router of ours stays on the tunnel.
//! - **No NAT rule of the edge covers the source**, whatever the rule's kind and whether it is in force: nothing that is translated there leaves by another way.
//!   (Answers of a translated destination neither.)
//!
//! The router here counted the TTL down as ever, the host's stack does so again: in a traceroute the host stands where the edge would.
//!
//! What comes in by the port ends, whatever it is: the host gets its packets by MAC address, without asking for one, and has no business inside.
//!
//! Cost of a route or network of an edge: one flow for each next hop by which a router here reaches that edge; of a NAT rule there: the same. Of a VM: none. Without the port: no
//! flow, but a few rows for each port and NAT rule of any router, in which those of edges are found.

use crate::{
    cookie::{Cookie, Rule},
    fact::{Child, Lnat, Lrp, Lsr, UntunnelFact},
    flow::{FlowRow, flow, output, priority, proto, resubmit, set, set_flags, these_within},
    port::Link,
    register::{self, TRACED, UNTUNNELLED},
    stage,
    trace::{Event, METER, report},
    valid_port::SwitchPort,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{id::DatapathId, name::Name};
use tuplenet_openflow::{Match, field};

/// The longest prefix wins: above all next hops.
const BY_PREFIX: u16 = 300;
/// Whatever the destination.
const COVERED: u16 = 500;

/// What the rules read.
pub struct Sources<'a> {
    /// The host's port, if there is one.
    pub port: &'a Relation<UntunnelFact>,
    /// Ports that lead to routers pinned to other chassis.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    pub link: &'a Relation<Link>,
    /// Names of switches that have a patch port, on any chassis.
    pub patched: &'a Relation<Name>,
    pub lrp: &'a Relation<Lrp>,
    pub lsr_by_lr: &'a Index<Name, Lsr>,
    pub lnat: &'a Relation<Lnat>,
}

/// A next hop of a router here that is an edge elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Via {
    edge: Name,
    lr: DatapathId,
    port: u32,
    hop: IpAddr,
    /// The edge's MAC address there.
    mac: [u8; 6],
}

/// Where an edge sends a destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Way {
    edge: Name,
    net: IpNet,
    outside: bool,
}

/// ```text
/// via(LR, LRP, Hop, E)      <- untunnel(families), pinned(LS, E, Ip: Hop), link(LS, LR, LRP, Net), Hop in Net, lsr(LR, Hop, LRP), not patched(LS).
/// uplink(E, LRP, LS)        <- edge(E), lrp(E, LRP, peer in LS), patched(LS).
/// way(E, Ip, inside)        <- edge(E), lrp(E, _, Ip)   or lnat(E, external: Ip).
/// way(E, Net, outside)      <- uplink(E, LRP, _), lrp(LRP, Net)   or lsr(E, Net, Hop, LRP), uplink(E, LRP, LS), not ours(LS, Hop).
/// way(E, Net, inside)       <- edge(E), lrp(E, LRP, Net), not uplink(E, LRP, _)   or lsr(E, Net, ...) that is not outside.
/// ours(LS, Ip)              <- lrp(_, Ip, peer in LS).
/// leads_out(E)              <- way(E, _, outside).
/// untunnel(Via, Net)        <- via(.., E), leads_out(E), way(E, Net, outside), no way(E, Net, inside).
/// tunnel(Via, Net)          <- via(.., E), leads_out(E), way(E, Net, inside).
/// tunnel(Via, from Inner)   <- via(.., E), leads_out(E), lnat(E, inner: Inner).
/// ```
pub fn flows(s: &Sources<'_>) -> Relation<FlowRow> {
    let patched = s.patched.index(Name::clone);
    let ends = s.pinned.index(|(port, _)| port.lsp.name.0.clone()).antijoin(&patched).index(|_| ()).join_flat(
        &s.port.index(|_| ()),
        |(), (port, _), fact| {
            let edge = port.lsp.value.peer.as_ref().map(|peer| peer.0.clone());
            let (ls, mac, fact) = (port.ls, port.lsp.value.mac, fact.clone());
            let ips: Vec<_> = port.lsp.value.ips.iter().copied().filter(|ip| fact.takes(*ip)).collect();
            edge.into_iter().flat_map(move |edge| ips.clone().into_iter().map(move |ip| (ls, ip, edge.clone(), mac)))
        },
    );
    let near =
        ends.index(|(ls, ..)| *ls).join_flat(&s.link.index(|link| link.port.ls), |_, (_, hop, edge, mac), link| {
            let lrp = &link.router.lrp;
            let via = Via { edge: edge.clone(), lr: link.router.lr, port: lrp.value.number, hop: *hop, mac: *mac };
            lrp.value.nets.iter().any(|net| net.contains(hop)).then(|| (lrp.name.clone(), via))
        });
    let via = near
        .index(|((lr, _), _)| lr.clone())
        .join_flat(s.lsr_by_lr, |_, ((_, lrp), via), lsr| {
            (lsr.value.outport == *lrp && lsr.value.next_hop == via.hop).then(|| via.clone())
        })
        .distinct()
        .named("via_edge");

    let edge = via.map(|via| via.edge.clone()).distinct().index(Name::clone);
    let ports = s.lrp.index(|lrp| lrp.name.0.clone()).semijoin(&edge);
    // A port without a link leads nowhere.
    let linked = ports.flat_map(|lrp| lrp.value.peer.as_ref().map(|(ls, _)| (ls.clone(), lrp.clone())));
    let by_peer = linked.index(|(ls, _)| ls.clone());
    let up = by_peer.semijoin(&patched).map(|(_, lrp)| lrp.clone());
    let down = by_peer.antijoin(&patched).map(|(_, lrp)| lrp.clone());
    let connected = |ports: &Relation<Lrp>, outside: bool| ports.flat_map(move |lrp| connected(lrp, outside));

    let ours = s.lrp.flat_map(|lrp| {
        let ls = lrp.value.peer.as_ref().map(|(ls, _)| ls.clone());
        let ips: Vec<IpAddr> = lrp.value.nets.iter().map(|net| net.addr()).collect();
        ls.into_iter().flat_map(move |ls| ips.clone().into_iter().map(move |ip| (ls.clone(), ip)))
    });
    let routes = s.lsr_by_lr.semijoin(&edge);
    let up_by_name = up.index(|lrp| lrp.name.clone());
    let by_port = routes.index(|lsr| -> Child { (lsr.name.0.clone(), lsr.value.outport.clone()) });
    let out = by_port
        .join_flat(&up_by_name, |_, lsr, lrp| {
            let neighbour = lrp.value.nets.iter().any(|net| net.contains(&lsr.value.next_hop));
            let ls = lrp.value.peer.as_ref().map(|(ls, _)| ls.clone()).filter(|_| neighbour);
            ls.map(|ls| (lsr.clone(), ls))
        })
        .index(|(lsr, ls)| (ls.clone(), lsr.value.next_hop))
        .antijoin(&ours.index(Clone::clone))
        .map(|(lsr, _)| lsr.clone());
    let inward = routes.index(|lsr| lsr.name.clone()).antijoin(&out.index(|lsr| lsr.name.clone()));
    let way = |lsr: &Lsr, outside: bool| Way { edge: lsr.name.0.clone(), net: lsr.value.prefix.trunc(), outside };
    let rules = s.lnat.index(|rule| rule.name.0.clone()).semijoin(&edge);
    let external =
        rules.map(|rule| Way { edge: rule.name.0.clone(), net: rule.value.external().into(), outside: false });
    let ways = connected(&up, true)
        .concat_all([
            &connected(&down, false),
            &out.map(move |lsr| way(lsr, true)),
            &inward.map(move |lsr| way(lsr, false)),
            &external,
        ])
        .min_by(|way| (way.edge.clone(), way.net), |way| way.outside)
        .named("way_of_edge");
    let leads_out = ways.filter(|way| way.outside).map(|way| way.edge.clone()).distinct();
    let via = via.index(|via| via.edge.clone()).semijoin(&leads_out.index(Name::clone)).index(|via| via.edge.clone());
    let by_way = via.join_flat(&ways.index(|way| way.edge.clone()), |_, via, way| to(via, way));
    let covered =
        rules.map(|rule| (rule.name.0.clone(), rule.value.inner())).distinct().index(|(edge, _)| edge.clone());
    let by_source = via.join_flat(&covered, |_, via, (_, inner)| from(via, *inner));
    by_way.concat_all([&by_source, &s.port.flat_map(own_port)])
}

fn connected(lrp: &Lrp, outside: bool) -> Vec<Way> {
    let edge = &lrp.name.0;
    let ways = lrp.value.nets.iter().flat_map(|net| {
        let own = Way { edge: edge.clone(), net: net.addr().into(), outside: false };
        [own, Way { edge: edge.clone(), net: net.trunc(), outside }]
    });
    ways.collect()
}

/// Packets that are to be sent to the edge.
fn bound_for(via: &Via) -> Match {
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), via.lr);
    let matching = match via.hop {
        IpAddr::V4(ip) => family(proto::IPV4).with(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => family(proto::IPV6).with(register::NEXT_HOP6, ip),
    };
    matching.with(register::DST_PORT, via.port)
}

fn by_tunnel(via: &Via, priority: u16, matching: Match) -> FlowRow {
    let actions = vec![set(field::ETH_DST, via.mac), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)];
    let cookie = Cookie::router_port(Rule::Untunnel, via.lr, via.port);
    flow(stage::LRP_EGRESS_UPDATE_ETH_DST, priority, cookie, matching, actions)
}

fn to(via: &Via, way: &Way) -> Option<FlowRow> {
    let matching = match (via.hop, way.net) {
        (IpAddr::V4(_), IpNet::V4(net)) => bound_for(via).with_masked(field::IPV4_DST, net.network(), net.netmask()),
        (IpAddr::V6(_), IpNet::V6(net)) => bound_for(via).with_masked(field::IPV6_DST, net.network(), net.netmask()),
        _ => return None,
    };
    let priority = BY_PREFIX + u16::from(way.net.prefix_len());
    if !way.outside {
        return Some(by_tunnel(via, priority, matching));
    }
    let actions = vec![set_flags(UNTUNNELLED), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)];
    let cookie = Cookie::router_port(Rule::Untunnel, via.lr, via.port);
    Some(flow(stage::LRP_EGRESS_UPDATE_ETH_DST, priority, cookie, matching, actions))
}

fn from(via: &Via, inner: IpNet) -> Option<FlowRow> {
    let matching = match (via.hop, inner) {
        (IpAddr::V4(_), IpNet::V4(net)) => bound_for(via).with_masked(field::IPV4_SRC, net.network(), net.netmask()),
        (IpAddr::V6(_), IpNet::V6(net)) => bound_for(via).with_masked(field::IPV6_SRC, net.network(), net.netmask()),
        _ => return None,
    };
    Some(by_tunnel(via, COVERED, matching))
}

/// ```text
/// out(OfPort, Mac) <- untunnel(OfPort, Mac).
/// in(OfPort)       <- untunnel(OfPort, _).
/// ```
fn own_port(port: &UntunnelFact) -> [FlowRow; 3] {
    let leave = [set(field::ETH_DST, port.mac), output(port.ofport)];
    let these = |flags: u32| Match::new().with_masked(register::FLAGS, flags, flags);
    let out = |priority, cookie, flags, before: Option<_>| {
        let actions = before.into_iter().chain(leave.clone()).collect();
        flow(stage::LRP_EGRESS_TO_SWITCH, priority, cookie, these(flags), actions)
    };
    let told = Some(report(Event::Delivered, METER.id));
    [
        out(priority::EXCEPTION, Cookie::of(Rule::Untunnel), UNTUNNELLED, None),
        out(
            priority::EXCEPTION + 1,
            Cookie::stage(Rule::Trace, stage::LRP_EGRESS_TO_SWITCH),
            UNTUNNELLED | TRACED,
            told,
        ),
        flow(
            stage::PHYSICAL_IN,
            priority::OBJECT,
            Cookie::of(Rule::UntunnelIn),
            Match::new().with(field::IN_PORT, port.ofport),
            Vec::new(),
        ),
    ]
}
