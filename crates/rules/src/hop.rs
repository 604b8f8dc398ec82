//! On which chassis the next hops of static routes are: edges, and guests that are one of several ways.
//!
//! Both ends of a watched tunnel ask this ([`crate::watch`]), and what they find must be the same. So it follows from the objects alone, as far as both know them, and not from which
//! routes work at one of them: a route that works nowhere may have a tunnel watched without need.

use crate::{fact::Lsr, port::Link, valid_port::SwitchPort};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{id::DatapathId, name::Name};

/// What the rules here read.
pub struct Sources<'a> {
    pub me: &'a Name,
    /// Static routes of routers that matter here or are next to something that does.
    pub routes: &'a Relation<Lsr>,
    pub link: &'a Relation<Link>,
    /// Switches' ports that lead to routers pinned to other chassis, which these are.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    /// Ports that are this chassis', whether their Interfaces work or not.
    pub hosted: &'a Relation<SwitchPort>,
    /// Ports that other chassis have, by switch, and which these are.
    pub at_in: &'a Index<DatapathId, (SwitchPort, Name)>,
}

/// An address in a switch.
pub type Address = (DatapathId, IpAddr);

/// What comes of them.
pub struct Hops {
    pub hop: Relation<Hop>,
    /// Guests on other chassis that are next hops of equal routes.
    pub guests: Relation<(Address, Name)>,
}

/// A router has a static route to a chassis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    pub lr: Name,
    pub to: Name,
    /// To a router that is pinned there; else to a guest.
    pub edge: bool,
}

/// ```text
/// attached(LR, LRP, LS) <- link(LS, LR, LRP) or pinned(LS, LR, LRP, _).
/// edge(LS, Ip, C)       <- pinned(LS, _, _, C, Ip), or link(LS, LR, _, Ip), LR is pinned to us, C = us.
/// hop(LR, C)            <- lsr(LR, _, Ip, OutPort), attached(LR, OutPort, LS), edge(LS, Ip, C).
/// equal(LR, Ip, OutPort) <- lsr(LR, Prefix, Ip, OutPort), lsr(LR, Prefix, another Ip or OutPort).
/// sought(LR, LS, Ip)    <- equal(LR, Ip, OutPort), attached(LR, OutPort, LS).
/// guest(LS, Ip, C)      <- sought(_, LS, _), at(LS, Ip, C), no end of a link, or hosted(LS, Ip), C = us.
/// hop(LR, C)            <- sought(LR, LS, Ip), guest(LS, Ip, C).
/// ```
/// Cost of a port: a row for each address, if its switch has the next hop of one of several equal routes; else none.
pub fn derive(s: &Sources<'_>) -> Hops {
    let attached = s
        .link
        .map(|link| (link.router.lrp.name.clone(), link.port.ls))
        .concat(&s.pinned.flat_map(|(port, _)| Some(((**port.lsp.value.peer.as_ref()?).clone(), port.ls))))
        .index(|(lrp, _)| lrp.clone());
    let led = |routes: &Relation<Lsr>| {
        routes
            .index(|lsr| (lsr.name.0.clone(), lsr.value.outport.clone()))
            .join(&attached, |(lr, _), lsr, (_, ls)| (lr.clone(), (*ls, lsr.value.next_hop)))
    };
    let at = |ends: &Relation<(SwitchPort, Name)>| ends.flat_map(addresses).index(|(address, _)| *address);

    let us = s.me.clone();
    let own = s.link.filter(|link| !link.router.distributed).map(move |link| (link.port.clone(), us.clone()));
    let to_edge = led(s.routes)
        .index(|(_, address)| *address)
        .join(&at(&own.concat(s.pinned)), |_, (lr, _), (_, to)| Hop { lr: lr.clone(), to: to.clone(), edge: true });

    // Most routes are alone with their prefix, and cost a row in a counter.
    let with_others = s.routes.count_by(prefix).filter(|(_, count)| *count > 1);
    let with_others = s.routes.index(prefix).semijoin(&with_others.index(|(prefix, _)| prefix.clone()));
    let ways = with_others.map(|lsr| (prefix(lsr), lsr.value.outport.clone(), lsr.value.next_hop)).distinct();
    let several = ways.count_by(|(prefix, ..)| prefix.clone()).filter(|(_, count)| *count > 1);
    let sought = led(&with_others.index(prefix).semijoin(&several.index(|(prefix, _)| prefix.clone())));
    // Of ports those in their switches only.
    let switches = sought.index(|(_, (ls, _))| *ls);
    let us = s.me.clone();
    let here = s.hosted.index(|port| port.ls).semijoin(&switches).map(move |port| (port.clone(), us.clone()));
    let there = s.at_in.semijoin(&switches).filter(|(port, _)| port.lsp.value.peer.is_none());
    let guest = at(&here.concat(&there));
    let sought = sought.index(|(_, address)| *address);
    let to_guest = sought.join(&guest, |_, (lr, _), (_, to)| Hop { lr: lr.clone(), to: to.clone(), edge: false });
    let us = s.me.clone();
    let guests = guest.semijoin(&sought).filter(move |(_, to)| *to != us).named("guest_hop");

    Hops { hop: to_edge.concat(&to_guest).distinct().named("hop"), guests }
}

/// A router's prefix.
fn prefix(lsr: &Lsr) -> (Name, IpNet) {
    (lsr.name.0.clone(), lsr.value.prefix)
}

/// Where a port is, by each of its addresses.
fn addresses((port, at): &(SwitchPort, Name)) -> impl Iterator<Item = (Address, Name)> + use<> {
    let (ls, at, ips) = (port.ls, at.clone(), port.lsp.value.ips.to_vec());
    ips.into_iter().map(move |ip| ((ls, ip), at.clone()))
}
