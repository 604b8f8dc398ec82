//! Several static routes to one prefix: a group chooses one of them for each packet, by a hash, among those whose next hop is alive.
//!
//! ```text
//! LRP_INGRESS_IP_ROUTE            LRP_INGRESS_ECMP_HASH
//!   dec_ttl, resubmit(,60) ------> notes the ports of TCP, UDP, SCTP
//!   group ---> bucket: next hop, port ---> LRP_INGRESS_ECMP: the router's MAC ---> LRP_TRACE_INGRESS_OUT
//! ```
//! Open vSwitch takes the bucket with the highest hash of the packet's fields and the bucket's id (`group_best_live_bucket` of its
//! `ofproto/ofproto-dpif-xlate.c`; highest random weight hashing). So a next hop that dies, goes, comes or returns moves the packets
//! that it had or gets, and no others, if ids do not change: they are made from the next hop. `dp_hash`, the other method, spreads as evenly and needs no entry of
//! the switch's cache for each connection, but moves a third and more of all connections when a bucket comes or goes (`crates/sim/tests/switch/spread.rs` measures both).
//!
//! All fragments of a packet are to go the same way, and only the first one has the ports: none of them is hashed with ports.
//!
//! A bucket is dead while the port that it watches is: that of a VM here, or the one with BFD to the chassis that has the VM or that the next hop's router is pinned to. With none alive, each
//! connection takes the one that it would take with all alive: what tells of death may be wrong, and a packet is not worse off there than dropped. A next hop that nobody has is dead
//! whatever others are, and dead is one on a chassis that is not watched yet: one that is just being made into an edge has perhaps no flow for it so far.
//!
//! Cost of a route more or less, of a watched port that comes, goes or gets another number: two buckets, one flow; with the first that is watched, the group of last resort.

use super::route::{self, Route, equal_routes};
use crate::{
    cookie::{Cookie, Rule},
    endpoint::Endpoint,
    fact::{Lr, TunnelFact},
    flow::{FlowRow, copy_part, flow, hash, priority, proto, resubmit, set, these_within},
    group_table::{BucketRow, GroupRow},
    hop::Address,
    output::{Bucket, GroupForm, Selection},
    port::LocalPort,
    register, stage,
    valid_port::SwitchPort,
};
use ipnet::IpNet;
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{entity::EncapKind, id::DatapathId, name::Name};
use tuplenet_openflow::{Action, Match, field};

/// Share of each member. The largest there is, see [`LAST_RESORT`].
const SHARE: u16 = u16::MAX;
/// Share of the bucket for when no member is alive. Open vSwitch multiplies it with 16 bits of a hash and takes the highest product: beside a living member it wins if all of those have the hash 0,
/// one in 65,536 with one member alive. With no share at all Open vSwitch takes a bucket for dead.
const LAST_RESORT: u16 = 1;
/// Id of that bucket. No member has it.
const LAST_RESORT_ID: u32 = 0;
/// A port that no switch has: who watches it is dead. Open vSwitch numbers ports from 1 on, and takes at most 0xfeff.
pub const NO_PORT: u32 = 0xfefe;
/// Another such port, for who is on a chassis that nothing watches yet. What has no switch may take it for alive.
pub const UNWATCHED: u32 = 0xfefd;

/// What the rules here read.
pub struct Sources<'a> {
    /// Routers that matter here.
    pub routers: &'a Relation<Lr>,
    pub routes: &'a Relation<Route>,
    pub local: &'a Relation<LocalPort>,
    /// Ports that lead to routers pinned to other chassis, which these are.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    /// Guests on other chassis that are next hops, and which chassis these are.
    pub guests: &'a Relation<(Address, Name)>,
    pub endpoint_of: &'a Index<Name, Endpoint>,
    /// All tunnel ports, with BFD and without.
    pub tunnel: &'a Relation<TunnelFact>,
    /// Ports whose place is known, by switch.
    pub located_in: &'a Index<DatapathId, SwitchPort>,
    /// Switches that meet a physical network somewhere: who has an address there is found out when it is needed.
    pub outside: &'a Relation<DatapathId>,
    /// Switch ports that lead to routers pinned here.
    pub own: &'a Relation<SwitchPort>,
    /// This host is withdrawn as an edge.
    pub withdrawn: &'a Relation<()>,
}

/// What comes of them.
pub struct Ecmp {
    /// Routes that are alone with their prefix, as far as that is served.
    pub plain: Relation<Route>,
    pub flows: Relation<FlowRow>,
    pub groups: Relation<GroupRow>,
    pub buckets: Relation<BucketRow>,
    /// Ways of all groups, each with the port that it watches.
    pub members: Relation<(Way, Option<u32>)>,
}

/// A router's routes to one prefix.
pub type Prefix = (DatapathId, IpNet);

/// One of several ways to a prefix. Two routes may name the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    lr: DatapathId,
    prefix: IpNet,
    /// The switch that its next hop is on.
    pub ls: DatapathId,
    port: u32,
    pub hop: IpAddr,
    mac: [u8; 6],
}

impl Way {
    fn of(route: &Route) -> Self {
        Way {
            lr: route.lr,
            prefix: route.lsr.value.prefix,
            ls: route.ls,
            port: route.port,
            hop: route.lsr.value.next_hop,
            mac: route.mac,
        }
    }
    pub fn prefix(&self) -> Prefix {
        (self.lr, self.prefix)
    }
    /// The number that its bucket has, in all groups and on all hosts.
    pub fn id(&self) -> u32 {
        let port = self.port.to_be_bytes();
        let hash = match self.hop {
            IpAddr::V4(ip) => hash(&[&ip.octets(), &port]),
            IpAddr::V6(ip) => hash(&[&ip.octets(), &port]),
        };
        // OpenFlow's ids end at 0xffffff00.
        1 + hash % 0xffff_ff00
    }
}

/// The group of a router's prefix. Not the id of the datapath but a hash: a router has many prefixes.
pub fn group_id((lr, prefix): Prefix) -> u32 {
    let (lr, len) = (lr.get().to_be_bytes(), [prefix.prefix_len()]);
    let hash = match prefix {
        IpNet::V4(net) => hash(&[&lr, &len, &net.network().octets()]),
        IpNet::V6(net) => hash(&[&lr, &len, &net.network().octets()]),
    };
    GROUPS | hash & (GROUPS / 2 - 1)
}

/// The same without liveness.
fn last_group_id(prefix: Prefix) -> u32 {
    group_id(prefix) - GROUPS / 2
}

/// Groups of this kind are from here to one and a half of this; those of last resort are from half of this to here.
const GROUPS: u32 = 0x4000_0000;

/// Whether a group is that of equal routes, by its id.
pub fn is_group(id: u32) -> bool {
    (GROUPS..GROUPS + GROUPS / 2).contains(&id)
}

/// ```text
/// way(LR, Prefix, Port, Hop)       <- route(LR, Prefix, Hop, Port).                    Of several that come to one bucket's id the first.
/// ecmp(LR, Prefix)                 <- way(LR, Prefix, _, _), another one than that.    Of several that come to one group's id the first.
/// plain(LR, Prefix, Route)         <- route(LR, Prefix, Route), not ecmp(LR, Prefix).  The oldest.
/// watched(LS, Ip, OfPort)          <- pinned(LS, Ip, C) or guest_hop(LS, Ip, C), endpoint(C, Kind, Remote), tunnel(Kind, Remote, OfPort).
/// watched(LS, Ip, OfPort)          <- local(LS, Port, OfPort), lsp(Port, Ip).
/// watched(LS, Ip, unwatched)       <- pinned(LS, Ip, C) or guest_hop(LS, Ip, C), endpoint(C, Kind, Remote), not tunnel(Kind, Remote, _).
/// watched(LS, Ip, no port)         <- withdrawn(), link(LS, LR, Ip), LR is pinned to us.
/// watched(LS, Ip, no port)         <- way(_, _, LS, Ip), not located(LS, Ip), not outside(LS).   Nobody has it.
/// bucket(LR, Prefix, Port, Hop, W) <- ecmp(LR, Prefix), way(LR, Prefix, Port, Hop), watched(LS, Hop, W) or W = none.
/// last_resort(LR, Prefix)          <- bucket(LR, Prefix, _, _, W), W is not none: to a group of all ways that somebody has, whatever they watch.
/// choice(LR, Prefix, Fields)       <- ecmp(LR, Prefix), lr(LR, hash: Fields).
/// member(LR, Port, Hop)            <- bucket(LR, _, Port, Hop, _).
/// ```
pub fn derive(s: &Sources<'_>) -> Ecmp {
    let ways = s.routes.map(Way::of).min_by(|way| (way.prefix(), way.id()), |way| (way.hop, way.port)).named("way");
    let several = ways.count_by(Way::prefix).filter(|(_, count)| *count > 1).map(|(prefix, _)| *prefix).distinct();
    let ecmp = several.min_by(|prefix| group_id(*prefix), |prefix| *prefix).named("ecmp").index(|prefix| *prefix);
    let plain = s
        .routes
        .min_by(|r| (r.lr, r.lsr.value.prefix), |r| (r.lsr.created, r.lsr.name.clone()))
        .index(|r| (r.lr, r.lsr.value.prefix))
        .antijoin(&ecmp);

    let elsewhere = s.pinned.flat_map(|(port, chassis)| addresses(port, chassis.clone())).concat(s.guests);
    let elsewhere =
        elsewhere.index(|(_, chassis)| chassis.clone()).join(s.endpoint_of, |_, (hop, _), e| (*hop, e.kind, e.ip));
    let by_bfd = elsewhere
        .index(|(_, kind, ip)| (*kind, *ip))
        .join(&s.tunnel.flat_map(remote).index(|(end, _)| *end), |_, (hop, ..), (_, ofport)| (*hop, *ofport));
    // Before the first word of it, a chassis is no way: it may have heard of none of this yet.
    let unheard = elsewhere.map(|(hop, ..)| (*hop, UNWATCHED));
    let watched = by_bfd.concat_all([&unheard, &s.local.flat_map(|local| addresses(&local.port, local.ofport))]);
    // A router here is as near as can be; but who is withdrawn is to be used by nobody, here neither.
    let own = s.own.index(|_| ()).semijoin(&s.withdrawn.index(|()| ())).flat_map(|port| addresses(port, NO_PORT));
    let members = ways.index(Way::prefix).semijoin(&ecmp).named("ecmp_member");
    let by_hop = members.index(|way| (way.ls, way.hop));
    // Of ports those in the members' switches only.
    let switches = members.map(|way| way.ls).distinct();
    let inside = switches.index(|ls| *ls).antijoin(&s.outside.index(|ls| *ls));
    let located = s.located_in.semijoin(&inside.index(|ls| *ls)).flat_map(|port| {
        let (ls, ips) = (port.ls, port.lsp.value.ips.to_vec());
        ips.into_iter().map(move |ip| (ls, ip))
    });
    let nobody = members
        .index(|way| way.ls)
        .semijoin(&inside.index(|ls| *ls))
        .index(|way| (way.ls, way.hop))
        .antijoin(&located.index(|hop| *hop));
    let nobody_has = nobody.map(|way| (way.ls, way.hop)).distinct();
    let nobody = nobody_has.map(|hop| (*hop, NO_PORT));
    let watched =
        watched.concat_all([&own, &nobody]).min_by(|(hop, _)| *hop, |(_, ofport)| *ofport).index(|(hop, _)| *hop);
    let mortal = by_hop.join(&watched, |_, way, (_, ofport)| (way.clone(), *ofport));
    let immortal = by_hop.antijoin(&watched);
    let last_resort = mortal.map(|(way, _)| way.prefix()).distinct().named("last_resort");

    // Who is said to be dead may live; nobody does not.
    let whatever = by_hop
        .antijoin(&nobody_has.index(|hop| *hop))
        .index(Way::prefix)
        .semijoin(&last_resort.index(|prefix| *prefix))
        .map(|way| BucketRow { group: last_group_id(way.prefix()), ..bucket(way, way.id(), SHARE, None) });
    let buckets = mortal.map(|(way, ofport)| bucket(way, way.id(), SHARE, Some(*ofport))).concat_all([
        &immortal.map(|way| bucket(way, way.id(), SHARE, None)),
        &last_resort.map(|prefix| resort(*prefix)),
        &whatever,
    ]);
    let all = mortal.map(|(way, ofport)| (way.clone(), Some(*ofport))).concat(&immortal.map(|way| (way.clone(), None)));
    let members = members.map(|way| Way { prefix: IpNet::default(), ..way.clone() }).distinct();
    let prefixes = several.min_by(|prefix| group_id(*prefix), |prefix| *prefix);
    let choices = prefixes
        .index(|(lr, _)| *lr)
        .join(&s.routers.index(|lr| lr.value.id), |_, prefix, lr| (*prefix, lr.value.selection.clone()));
    let last = choices
        .index(|(prefix, _)| *prefix)
        .semijoin(&last_resort.index(|prefix| *prefix))
        .map(|(prefix, by)| GroupRow { id: last_group_id(*prefix), form: GroupForm::Select(by.clone()) });
    Ecmp {
        plain,
        flows: choices.map(|(prefix, by)| choice(*prefix, by)).concat(&members.map(member)),
        groups: choices
            .map(|(prefix, by)| GroupRow { id: group_id(*prefix), form: GroupForm::Select(by.clone()) })
            .concat(&last),
        buckets,
        members: all,
    }
}

/// A port's addresses with what is told of each.
fn addresses<T: Clone>(port: &SwitchPort, told: T) -> impl Iterator<Item = (Address, T)> + use<T> {
    let (ls, ips) = (port.ls, port.lsp.value.ips.to_vec());
    ips.into_iter().map(move |ip| ((ls, ip), told.clone()))
}

fn remote(tunnel: &TunnelFact) -> Option<((EncapKind, IpAddr), u32)> {
    tunnel.remote.map(|ip| ((tunnel.kind, ip), tunnel.ofport))
}

fn choice((lr, prefix): Prefix, by: &Selection) -> FlowRow {
    let cookie = Cookie::named(Rule::Ecmp, Some(lr), &prefix.to_string());
    // Where ports do not count, the switch's cache need not tell them apart.
    let ports = by.has_ports().then(|| resubmit(stage::LRP_INGRESS_ECMP_HASH));
    let choose = ports.into_iter().chain([Action::Group(group_id((lr, prefix)))]).collect();
    equal_routes(cookie, lr, prefix, choose)
}

/// To this next hop.
pub fn take(way: &Way) -> Vec<Action> {
    vec![route::next_hop(way.hop), set(register::DST_PORT, way.port), resubmit(stage::LRP_INGRESS_ECMP)]
}

fn bucket(way: &Way, id: u32, weight: u16, watch_port: Option<u32>) -> BucketRow {
    let bucket = Bucket { id: Some(id), weight: Some(weight), watch_port, watch_group: None, actions: take(way) };
    BucketRow { group: group_id(way.prefix()), bucket }
}

/// With none alive: as if all were, so that whoever is said to be dead for a moment, or in the beginning, keeps its connections.
fn resort(prefix: Prefix) -> BucketRow {
    let actions = vec![Action::Group(last_group_id(prefix))];
    let (id, weight) = (Some(LAST_RESORT_ID), Some(LAST_RESORT));
    BucketRow { group: group_id(prefix), bucket: Bucket { id, weight, watch_port: None, watch_group: None, actions } }
}

fn member(way: &Way) -> FlowRow {
    let family = |ethertype: u16| these_within(Match::new().with(field::ETH_TYPE, ethertype), way.lr);
    let matching = match way.hop {
        IpAddr::V4(ip) => family(proto::IPV4).with(register::NEXT_HOP4, ip),
        IpAddr::V6(ip) => family(proto::IPV6).with(register::NEXT_HOP6, ip),
    };
    flow(
        stage::LRP_INGRESS_ECMP,
        priority::OBJECT,
        Cookie::router_port(Rule::EcmpMember, way.lr, way.port),
        matching.with(register::DST_PORT, way.port),
        vec![set(field::ETH_SRC, way.mac), resubmit(stage::LRP_TRACE_INGRESS_OUT)],
    )
}

/// ```text
/// ports(Protocol)  <- .   (of what is no fragment)
/// ```
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::Ecmp);
    let note = |priority, matching, actions| flow(stage::LRP_INGRESS_ECMP_HASH, priority, cookie, matching, actions);
    let mut flows = vec![note(priority::MISS, Match::new(), vec![set(register::L4_PORTS, 0_u32)])];
    for ethertype in [proto::IPV4, proto::IPV6] {
        for (number, src, dst) in [
            (proto::TCP, field::TCP_SRC, field::TCP_DST),
            (proto::UDP, field::UDP_SRC, field::UDP_DST),
            (proto::SCTP, field::SCTP_SRC, field::SCTP_DST),
        ] {
            let whole =
                Match::new().with(field::ETH_TYPE, ethertype).with(field::IP_PROTO, number).with(field::IP_FRAG, 0_u8);
            let ports = vec![copy_part(src, register::L4_PORTS, 16, 16), copy_part(dst, register::L4_PORTS, 0, 16)];
            flows.push(note(priority::GENERAL, whole, ports));
        }
    }
    flows
}
