//! How long packets may be that leave a router: the MTU of the switch that they enter.
//!
//! That is what was set for the switch, or else the least of what may carry it on from there: tunnels to the hosts that this one sends to, and the bridges that
//! its patch ports lead to. So it is one number for all ports of a switch, near and far: a guest that keeps to it may be anywhere.
//!
//! A packet that is longer goes to the agent, whole, whatever its family and its DF bit (which Open vSwitch has no field for): see [`crate::icmp::Event::TooBig`].
//! This comes before NAT of sources, so that the sender is known by its own address, and after NAT of destinations.
//!
//! `check_pkt_larger` (ovs-actions(7)) compares the whole frame, from the Ethernet header on and without a checksum behind it. Routers take no tagged frames, so
//! that header has 14 bytes. Of a packet that a guest leaves to be cut by the network card (TSO, GSO) the kernel's datapath compares the pieces. What follows is
//! translated twice, into the two branches of `check_pkt_len` in the datapath's flow; the one for long packets ends here. Nothing is matched, so that packets share megaflows as before.
//!
//! Where no MTU is known (agents of an earlier version, or no other host) nothing is compared. Cost of a link: one flow; the same when an MTU changes.

use crate::{
    cookie::{Cookie, Rule},
    endpoint::Endpoint,
    fact::{BridgeFact, Chassis, Ls},
    flow::{FlowRow, flow, priority, resubmit, set, within},
    icmp::{Event, report},
    port::Link,
    register::{self, TOO_BIG},
    stage,
    valid_port::SwitchPort,
};
use tuplenet_datalog::Relation;
use tuplenet_model::{id::DatapathId, mtu, name::Name};
use tuplenet_openflow::{Action, action::Subfield};

/// What the rules read.
pub struct Sources<'a> {
    pub me: &'a Name,
    pub chassis: &'a Relation<Chassis>,
    /// Those that this chassis sends to.
    pub endpoint: &'a Relation<Endpoint>,
    pub link: &'a Relation<Link>,
    pub ls_present: &'a Relation<Ls>,
    /// Patch ports of this chassis.
    pub mine: &'a Relation<SwitchPort>,
    /// Switches with such a port that have ports on other chassis, too.
    pub spread: &'a Relation<DatapathId>,
    pub bridge: &'a Relation<BridgeFact>,
}

/// A router's port to a switch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gate {
    ls: DatapathId,
    lr: DatapathId,
    port: u32,
}

/// ```text
/// carried(Mtu - overhead)  <- endpoint(Chassis, Kind, Ip), chassis(Chassis, mtu: Mtu).
/// carried(Mtu - overhead)  <- endpoint(_, Kind, Ip), chassis(us, mtu: Mtu).
/// mtu(LR, Port, Mtu)       <- link(LS, LR, Port), ls(LS, mtu: Mtu).
/// room(LR, Port, Mtu)      <- link(LS, LR, Port), ls(LS, mtu: none), carried(Mtu), not mine(LS, _) or spread(LS).
/// room(LR, Port, Mtu)      <- link(LS, LR, Port), ls(LS, mtu: none), mine(LS, Bridge), bridge(Bridge, Mtu).
/// mtu(LR, Port, least Mtu) <- room(LR, Port, Mtu).
/// ```
pub fn flows(s: &Sources<'_>) -> Relation<FlowRow> {
    let underlay = s.chassis.flat_map(|chassis| Some((chassis.name.clone(), chassis.mtu?)));
    let theirs = s
        .endpoint
        .index(|e| e.chassis.clone())
        .join(&underlay.index(|(name, _)| name.clone()), |_, e, (_, underlay)| mtu::carried(*underlay, e.kind, e.ip));
    let me = s.me.clone();
    let ours = s
        .endpoint
        .map(|e| mtu::overhead(e.kind, e.ip))
        .distinct()
        .index(|_| ())
        .join(&underlay.filter(move |(name, _)| *name == me).index(|_| ()), |(), overhead, (_, underlay)| {
            underlay.saturating_sub(*overhead)
        });
    let carried = theirs.concat(&ours).min_by(|_| (), |mtu| *mtu).named("carried");

    let gate = s.link.index(|link| link.port.ls).join(&s.ls_present.index(|ls| ls.value.id), |_, link, ls| {
        let gate = Gate { ls: link.port.ls, lr: link.router.lr, port: link.router.lrp.value.number };
        (gate, ls.value.mtu)
    });
    let set = gate.flat_map(|(gate, mtu)| mtu.map(|mtu| (gate.clone(), u32::from(mtu))));
    let open = gate.filter(|(_, mtu)| mtu.is_none()).index(|(gate, _)| gate.ls);
    let mine = s.mine.index(|port| port.ls);
    let spread = s.spread.index(|ls| *ls);
    let by_tunnel = open.antijoin(&mine).concat(&open.semijoin(&spread)).index(|_| ());
    let by_tunnel = by_tunnel.join(&carried.index(|_| ()), |(), (gate, _), mtu| (gate.clone(), *mtu));
    let bridge = s
        .mine
        .flat_map(|port| Some((port.ls, port.lsp.value.patch.as_ref()?.bridge.to_string())))
        .index(|(_, bridge)| bridge.clone())
        .join(&s.bridge.index(|bridge| bridge.name.clone()), |_, (ls, _), bridge| (*ls, bridge.mtu));
    let by_patch = open.join(&bridge.index(|(ls, _)| *ls), |_, (gate, _), (_, mtu)| (gate.clone(), *mtu));
    let least = by_tunnel.concat(&by_patch).min_by(|(gate, _)| gate.clone(), |(_, mtu)| *mtu);
    set.concat(&least).map(|(gate, mtu)| check(gate, *mtu))
}

fn check(gate: &Gate, mtu: u32) -> FlowRow {
    // Longer than 65,535 bytes no packet is.
    let frame = u16::try_from(mtu + mtu::ETHERNET).unwrap_or(u16::MAX);
    let bit = Subfield::new(register::MTU, TOO_BIG.trailing_zeros() as u16, 1);
    flow(
        stage::LRP_EGRESS_MTU,
        priority::OBJECT,
        Cookie::router_port(Rule::Mtu, gate.lr, gate.port),
        within(gate.lr).with(register::DST_PORT, gate.port).with_masked(register::FLAGS, 0_u32, register::ANSWER),
        vec![
            set(register::MTU, mtu),
            Action::CheckPktLarger { pkt_len: frame, dst: bit },
            resubmit(stage::LRP_EGRESS_TOO_BIG),
        ],
    )
}

/// What was found too long ends, and the agent is told. No facts.
pub fn fixed() -> Vec<FlowRow> {
    let matching = tuplenet_openflow::Match::new().with_masked(register::MTU, TOO_BIG, TOO_BIG);
    let cookie = Cookie::of(Rule::TooBig);
    vec![flow(stage::LRP_EGRESS_TOO_BIG, priority::GENERAL, cookie, matching, vec![report(Event::TooBig)])]
}
