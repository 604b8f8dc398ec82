//! Who has an external address: ARP, neighbour discovery and the MAC of the next hop, on the switch of an uplink.

use super::AtUplink;
use crate::{
    cookie::{Cookie, Rule},
    fact::Lnat,
    flow::{FlowRow, flow, priority, proto, resubmit, set, set_flags, set_remote, these_within, within},
    flows::{neighbour, patch},
    patch::Patches,
    port::Link,
    register, stage,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{
    id::{DatapathId, PortId},
    name::Name,
};
use tuplenet_openflow::{Match, field};

/// An external address on a switch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    gate: SwitchPort,
    lr: Name,
    ip: IpAddr,
    mac: [u8; 6],
}

impl Known {
    fn of(at: &AtUplink) -> Self {
        Known { gate: at.link.port.clone(), lr: at.rule.name.0.clone(), ip: at.external(), mac: at.mac() }
    }

    fn place(&self) -> (DatapathId, PortId) {
        (self.gate.ls, self.gate.lsp.value.port)
    }
}

/// Below the answer for a port: who gives a port an external address means the port.
const ANSWER: u16 = priority::OBJECT - 1;

/// Of rules that work where the router is pinned, wherever that is.
/// ```text
/// arp_reply(LS, Ip, Mac)   <- nat_rule(LR, external: Ip), lr(LR, chassis: _), located(LS, Port, peer: LR, Mac), patched(LS), Ip is no address of Port.
/// next_hop(LR2, Ip, Mac)   <- the same, uplink(LS, LR2, Net), LR2 is another router, Ip in Net.
/// silent(LS, Ip)           <- the same, another chassis speaks for Port on the provider network.
/// ```
pub fn central(
    rules: &Relation<Lnat>,
    gates: &Relation<SwitchPort>,
    uplink: &Relation<Link>,
    elsewhere: &Relation<SwitchPort>,
) -> Relation<FlowRow> {
    let gate_of = gates.index(|port| port.lsp.value.peer.as_deref().map(|(lr, _)| lr.clone()));
    let known = rules
        .index(|rule| Some(rule.name.0.clone()))
        .join_flat(&gate_of, |_, rule, gate| {
            let (ip, lsp) = (rule.value.external(), &gate.lsp.value);
            let known = || Known { gate: gate.clone(), lr: rule.name.0.clone(), ip, mac: lsp.mac };
            (!lsp.ips.contains(&ip)).then(known)
        })
        .distinct();
    let silent = known
        .index(|known| known.gate.lsp.name.clone())
        .semijoin(&elsewhere.index(|port| port.lsp.name.clone()))
        .map(|known| patch::asked_elsewhere(known.place(), known.ip));
    known.map(answer).concat_all([&next_hops(&known, uplink), &silent])
}

/// Of rules that work at the VM's host.
/// ```text
/// arp_reply(LS, Ip, Mac)     <- here(Rule, LRP) or away(Rule, LRP, _), external: Ip, Mac is made from Ip, link(LS, LRP).
/// l2(LS, Mac, Port)          <- here(Rule, LRP), link(LS, Port, LRP).
/// l2(LS, Mac, Port, Endpoint) <- away(Rule, LRP, Endpoint), link(LS, Port, LRP).
/// next_hop(LR2, Ip, Mac)     <- the same, uplink(LS, LR2, Net), Ip in Net, LR2 is another router.
/// far(LR, LRP, Ip, Mac)      <- away(Rule, LRP, _).
/// own(LS, Mac)               <- here(Rule, LRP) or away(Rule, LRP, _), link(LS, LRP), mine(LS, _).
/// silent(LS, Ip, Mac)        <- away(Rule, LRP, Endpoint), link(LS, LRP), mine(LS, _), not spoken_for(LS, Endpoint).
/// spoken_for(LS, Endpoint)   <- designated_here(LS), not patched_at(LS, Endpoint).
/// ```
pub fn distributed(
    here: &Relation<AtUplink>,
    away: &Relation<(AtUplink, IpAddr)>,
    uplink: &Relation<Link>,
    patches: &Patches,
) -> Relation<FlowRow> {
    let all = here.concat(&away.map(|(at, _)| at.clone()));
    let known = all.map(Known::of).distinct();
    let mine = patches.mine.index(|port| port.ls);
    let own = known.index(|known| known.gate.ls).semijoin(&mine).map(|known| patch::own_mac(known.place(), known.mac));
    let place = |at: &AtUplink, endpoint: IpAddr| (at.link.port.ls, endpoint);
    let spoken_for = away
        .index(|(at, _)| at.link.port.ls)
        .semijoin(&patches.designated_here.index(|ls| *ls))
        .map(move |(at, endpoint)| place(at, *endpoint))
        .distinct()
        .index(|place| *place)
        .antijoin(&patches.patched_at.index(|place| *place));
    let silent = away
        .index(move |(at, endpoint)| place(at, *endpoint))
        .antijoin(&spoken_for.index(|place| *place))
        .index(|(at, _)| at.link.port.ls)
        .semijoin(&mine)
        .flat_map(|(at, _)| {
            let known = Known::of(at);
            [patch::asked_elsewhere(known.place(), known.ip), patch::sent_elsewhere(known.place(), known.mac)]
        });
    known.map(answer).concat_all([
        &next_hops(&known, uplink),
        &here.map(|at| lookup(at, None)),
        &away.map(|(at, endpoint)| lookup(at, Some(*endpoint))),
        &away.map(|(at, _)| far(at)),
        &own,
        &silent,
    ])
}

fn answer(known: &Known) -> FlowRow {
    let Known { ip, mac, .. } = known;
    neighbour::answer(known.place(), *ip, *mac, true, ANSWER)
}

/// Other routers of the switch send to the address without asking. Its own router does not: there the packet turns back.
fn next_hops(known: &Relation<Known>, uplink: &Relation<Link>) -> Relation<FlowRow> {
    let by_ls: Index<DatapathId, Link> = uplink.index(|link| link.port.ls);
    known.index(|known| known.gate.ls).join_flat(&by_ls, |_, known, link| {
        let lrp = &link.router.lrp;
        let reaches = lrp.name.0 != known.lr && lrp.value.nets.iter().any(|net| net.contains(&known.ip));
        reaches.then(|| next_hop(known, link))
    })
}

fn next_hop(known: &Known, link: &Link) -> FlowRow {
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), link.router.lr);
    let matching = match known.ip {
        IpAddr::V4(ip) => family(proto::IPV4).with(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => family(proto::IPV6).with(register::NEXT_HOP6, ip),
    };
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        ANSWER,
        Cookie::port(Rule::NextHop, known.gate.ls, known.gate.lsp.value.port),
        matching.with(register::DST_PORT, link.router.lrp.value.number),
        vec![set(field::ETH_DST, known.mac), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)],
    )
}

/// To the host that has the VM, into the router there: it is the router's port on all hosts, so on the way it may look as if it returned
/// to where it came from.
fn lookup(at: &AtUplink, endpoint: Option<IpAddr>) -> FlowRow {
    let lsp = &at.link.port.lsp.value;
    let mut actions = vec![set(register::DST_PORT, u32::from(lsp.port.get())), set_flags(register::LOOPBACK)];
    actions.extend(endpoint.map(set_remote));
    actions.push(resubmit(stage::LSP_TRACE_INGRESS_OUT));
    flow(
        stage::LSP_INGRESS_LOOKUP_DST_PORT,
        priority::OBJECT,
        Cookie::port(Rule::L2, at.link.port.ls, lsp.port),
        these_within(Match::new().with(field::ETH_DST, at.mac()), at.link.port.ls),
        actions,
    )
}

/// From this host's part of the router to another host's, whatever the next hop would be.
fn far(at: &AtUplink) -> FlowRow {
    let here = super::family(at.external(), within(at.lr())).with(register::DST_PORT, at.port());
    let matching = match at.external() {
        IpAddr::V4(ip) => here.with(field::IPV4_DST, ip),
        IpAddr::V6(ip) => here.with(field::IPV6_DST, ip),
    };
    flow(
        stage::LRP_EGRESS_UPDATE_ETH_DST,
        priority::EXCEPTION,
        Cookie::named(Rule::FloatingOut, Some(at.lr()), &at.rule.name.1),
        matching,
        vec![set(field::ETH_DST, at.mac()), resubmit(stage::LRP_EGRESS_FORWARD_PACKET)],
    )
}
