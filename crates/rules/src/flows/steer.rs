//! An inner address that only some edges translate leaves by these, where a router has equal routes to several.
//!
//! An edge with a `dnat` or `floating` rule for a guest is where its connections come in, and only there conntrack knows them: an answer by another edge would leave with
//! another address, or not at all. So the guest's address has a flow above the group of the equal routes, to a group of its own: the first living one of those edges; and if
//! none of them lives, all edges alike, since what the guest begins by itself may then leave by another's address.
//!
//! Cost of such a rule: for each group of equal routes that leads to its router, a flow and a group of two buckets. Of a port, a route alone with its prefix: none.

use super::{
    ecmp::{self, Prefix, Way},
    route,
};
use crate::{
    cookie::{Cookie, Rule},
    fact::Lnat,
    flow::{FlowRow, hash, resubmit},
    group_table::{BucketRow, GroupRow},
    output::{Bucket, GroupForm},
    port::Link,
    stage,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{entity::NatKind, id::DatapathId, name::Name};
use tuplenet_openflow::Action;

/// What the rules here read.
pub struct Sources<'a> {
    /// Ways of groups, and the port by which each is watched.
    pub members: &'a Relation<(Way, Option<u32>)>,
    pub link: &'a Relation<Link>,
    /// Ports that lead to routers pinned to other chassis.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    /// Valid NAT rules.
    pub nat: &'a Relation<Lnat>,
}

/// Bucket for when none of the edges lives: last, as no member has so high an id.
const OTHERS: u32 = 0xffff_ff00;
/// Groups of this kind are from here to one and a half of this.
const GROUPS: u32 = 0x8000_0000;

/// Whether a group is that of an inner address, by its id.
pub fn is_group(id: u32) -> bool {
    (GROUPS..GROUPS + GROUPS / 2).contains(&id)
}

/// An inner address, on its way to a prefix.
type Inner = (Prefix, IpAddr);

/// ```text
/// owner(LS, Ip, Edge)             <- pinned(LS, Edge, Ip) or link(LS, Edge, Ip), Edge is pinned here.
/// home(LR, Prefix, Way, Inner, W) <- member(LR, Prefix, Way, W), Way leads to LS, Ip, owner(LS, Ip, Edge), nat_rule(Edge, Inner), the rule is dnat or floating and
///                                    not distributed, Inner and Ip are of one family.
/// steered(LR, Prefix, Inner)      <- home(LR, Prefix, _, Inner, _).                Of several that come to one group's id the first.
/// bucket(LR, Prefix, Inner, Way)  <- home(LR, Prefix, Way, Inner, W); alive while W is, or without W while the group of all is.
/// bucket(LR, Prefix, Inner, all)  <- steered(LR, Prefix, Inner).
/// ```
pub fn flows(s: &Sources<'_>) -> (Relation<FlowRow>, Relation<GroupRow>, Relation<BucketRow>) {
    let here = s.link.filter(|link| !link.router.distributed).map(|link| link.port.clone());
    let owner = here.concat(&s.pinned.map(|(port, _)| port.clone())).flat_map(|port| {
        let (ls, ips, edge) = (port.ls, port.lsp.value.ips.to_vec(), port.lsp.value.peer.as_ref().map(|p| p.0.clone()));
        edge.into_iter().flat_map(move |edge| ips.clone().into_iter().map(move |ip| ((ls, ip), edge.clone())))
    });
    let owner: Index<(DatapathId, IpAddr), _> = owner.index(|(end, _)| *end);
    let inner = s
        .nat
        .filter(|rule| rule.value.kind != NatKind::Snat && !rule.value.distributed)
        .map(|rule| (rule.name.0.clone(), rule.value.inner().addr()))
        .distinct();
    let home = s
        .members
        .index(|(way, _)| (way.ls, way.hop))
        .join(&owner, |_, (way, watch), (_, edge)| (edge.clone(), way.clone(), *watch))
        .index(|(edge, ..)| edge.clone())
        .join_flat(&inner.index(|(edge, _)| edge.clone()), |_, (_, way, watch), (_, inner)| {
            (way.hop.is_ipv4() == inner.is_ipv4()).then(|| (way.clone(), *watch, *inner))
        })
        .distinct()
        .named("home");
    let steered = home
        .map(|(way, _, inner)| (way.prefix(), *inner))
        .distinct()
        .min_by(|inner| group_id(*inner), |inner| *inner)
        .named("steered");
    let by_inner = steered.index(|inner| *inner);
    let first = home.index(|(way, _, inner)| (way.prefix(), *inner)).semijoin(&by_inner).map(|(way, watch, inner)| {
        let all = ecmp::group_id(way.prefix());
        let bucket = Bucket {
            id: Some(way.id().min(OTHERS - 1)),
            weight: None,
            watch_port: *watch,
            watch_group: watch.is_none().then_some(all),
            actions: ecmp::take(way),
        };
        BucketRow { group: group_id((way.prefix(), *inner)), bucket }
    });
    let others = steered.map(|inner| {
        let all = ecmp::group_id(inner.0);
        let actions = vec![Action::Group(all)];
        let bucket = Bucket { id: Some(OTHERS), weight: None, watch_port: None, watch_group: Some(all), actions };
        BucketRow { group: group_id(*inner), bucket }
    });
    let groups = steered.map(|inner| GroupRow { id: group_id(*inner), form: GroupForm::FastFailover });
    (steered.map(choice), groups, first.concat(&others))
}

fn group_id(((lr, prefix), inner): Inner) -> u32 {
    let prefix = ecmp::group_id((lr, prefix)).to_be_bytes();
    let hashed = match inner {
        IpAddr::V4(ip) => hash(&[&prefix, &ip.octets()]),
        IpAddr::V6(ip) => hash(&[&prefix, &ip.octets()]),
    };
    GROUPS | hashed & (GROUPS / 2 - 1)
}

fn choice(inner: &Inner) -> FlowRow {
    let ((lr, prefix), from) = *inner;
    let cookie = Cookie::named(Rule::EcmpHome, Some(lr), &from.to_string());
    let choose = vec![resubmit(stage::LRP_INGRESS_ECMP_HASH), Action::Group(group_id(*inner))];
    route::from_inner(cookie, lr, prefix, from, choose)
}
