//! To a chassis that cannot be reached: by way of another one, once.
//!
//! Where BFD watches a chassis and says that its tunnel is dead, packets for it go to an edge whose tunnel lives, marked. Who gets a packet so marked and does not
//! have the port itself looks it up again and sends it on, marked as such: nobody takes it for another detour. With no such edge alive they go the direct way, in case BFD is wrong.
//!
//! Not what is copied to many or sent to a part of a router (there others would take it for theirs), and by Geneve alone: other tunnels carry no marks.
//!
//! An edge that does not have the switch could not send a frame on: what is in a switch that one of them does not have goes the direct way, whatever BFD says.
//!
//! Cost of a watched chassis: one flow, one group, and a bucket in it for each edge; an edge more or less: a bucket for each watched chassis. Of a switch that an edge does not
//! have: one flow. Of a port: nothing.

use super::tunnel::{self, fields, towards};
use crate::{
    cookie::{Cookie, Rule},
    endpoint::Endpoint,
    fact::{Ls, SessionFact, TunnelFact},
    flow::{FlowRow, flow, hash, priority, resubmit, set_flags, to_option, within},
    group_table::{BucketRow, GroupRow},
    output::{Bucket, GroupForm},
    port::Link,
    register::{self, DIRECT_ONLY, ENTERED, FLOOD_COPY, FROM_TUNNEL, LOOPBACK, REDIRECTED, RELAYED, option},
    stage,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::{Relation, reach};
use tuplenet_model::{entity::EncapKind, id::DatapathId, name::Name};
use tuplenet_openflow::{Action, Match};

/// Above the way that all others take.
const WATCHED: u16 = priority::OBJECT + 1;
/// Above both.
const NOT_THERE: u16 = WATCHED + 1;
/// Above what a switch does with frames to no port that is known, below what is known.
const UNKNOWN: u16 = priority::OBJECT - 1;
/// Ids of a group's buckets, which are their order: the direct way, those by edges, the direct way whatever BFD says.
const DIRECT: u32 = 1;
const LAST: u32 = 0x8000_0000;
/// Groups of this kind are from here to [`GROUPS_END`].
const GROUPS: u32 = 0xc000_0000;
const GROUPS_END: u32 = 0xe000_0000;

/// What the rules here read.
pub struct Sources<'a> {
    pub endpoint: &'a Relation<Endpoint>,
    /// Our flow-based tunnel ports.
    pub tunnel: &'a Relation<TunnelFact>,
    /// All tunnel ports, with BFD and without.
    pub ports: &'a Relation<TunnelFact>,
    /// Sessions that tell of dead tunnels.
    pub session: &'a Relation<SessionFact>,
    /// Ports that lead to routers pinned to other chassis, which these are.
    pub pinned: &'a Relation<(SwitchPort, Name)>,
    /// Links of routers that are here.
    pub link: &'a Relation<Link>,
    /// Switches that matter here.
    pub switches: &'a Relation<Ls>,
}

/// What comes of them.
pub struct Redirect {
    pub flows: Relation<FlowRow>,
    pub groups: Relation<GroupRow>,
    pub buckets: Relation<BucketRow>,
}

/// A chassis that BFD watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Watched {
    chassis: Name,
    ip: IpAddr,
    /// The port with BFD.
    bfd: u32,
    /// The port by which packets leave.
    out: u32,
}

fn group_id(ip: IpAddr) -> u32 {
    GROUPS | hash(&[&bytes(ip)]) & (GROUPS_END - GROUPS - 1)
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Whether a group is one of these, by its id.
pub fn is_group(id: u32) -> bool {
    (GROUPS..GROUPS_END).contains(&id)
}

/// ```text
/// watched(C, Ip, Bfd, Out)   <- endpoint(C, geneve, Ip), tunnel_port(geneve, Ip, Bfd), tunnel(geneve, Out).   Of several that come to one group's id the first.
/// edge(E, Ip, Bfd)           <- watched(E, Ip, Bfd, _), pinned(_, E).
/// detour(C, E)               <- watched(C), edge(E), E is not C.      Of several that come to one bucket's id the first.
/// redirect(C)                <- watched(C), detour(C, _), session(geneve, Ip): it was up, and is not withdrawn.
/// has(E, Datapath)           <- pinned(LS, E), or reach from there by links of distributed routers.
/// direct(LS)                 <- switch(LS), edge(E), not has(E, LS), redirect(_).
/// ```
pub fn derive(s: &Sources<'_>) -> Redirect {
    let geneve = |kind: EncapKind| kind == EncapKind::Geneve;
    let bfd = s.ports.filter(move |t| geneve(t.kind)).flat_map(|t| t.remote.map(|ip| (ip, t.ofport)));
    let out = s.tunnel.filter(move |t| geneve(t.kind)).map(|t| t.ofport);
    let watched = s
        .endpoint
        .filter(move |e| geneve(e.kind))
        .index(|e| e.ip)
        .join(&bfd.index(|(ip, _)| *ip), |_, e, (_, bfd)| (e.chassis.clone(), e.ip, *bfd))
        .index(|_| ())
        .join(&out.index(|_| ()), |(), (chassis, ip, bfd), out| Watched {
            chassis: chassis.clone(),
            ip: *ip,
            bfd: *bfd,
            out: *out,
        })
        .min_by(|w| group_id(w.ip), |w| (w.ip, w.chassis.clone()))
        .named("watched_chassis");
    let edges = s.pinned.map(|(_, chassis)| chassis.clone()).distinct();
    let edge = watched.index(|w| w.chassis.clone()).semijoin(&edges.index(Name::clone));
    let detour = watched
        .index(|_| ())
        .join_flat(&edge.index(|_| ()), |(), to, by| (to.ip != by.ip).then(|| (to.clone(), by.clone())))
        .min_by(|(to, by)| (to.ip, bucket_id(to, by)), |(_, by)| by.ip)
        .named("detour");
    // Who was never up, or withdraws, is reached the direct way, and not by an edge that may not have the switch.
    let session = s.session.filter(move |session| geneve(session.kind));
    let detour = detour.index(|(to, _)| to.ip).semijoin(&session.index(|session| session.remote));
    let served = watched.index(|w| w.ip).semijoin(&detour.index(|(to, _)| to.ip)).named("redirect");

    let edges = edge.map(|by| by.chassis.clone()).distinct();
    let joins = edges.index(|_| ()).join_flat(
        &s.link.filter(|link| link.router.distributed).index(|_| ()),
        |(), edge, link| {
            let (ls, lr) = ((edge.clone(), link.port.ls), (edge.clone(), link.router.lr));
            [(ls.clone(), lr.clone()), (lr, ls)]
        },
    );
    let has = reach(&s.pinned.map(|(port, edge)| (edge.clone(), port.ls)), &joins);
    let not_there = s
        .switches
        .index(|_| ())
        .join(&edges.index(|_| ()), |(), ls, edge| (edge.clone(), ls.value.id))
        .index(|at| at.clone())
        .antijoin(&has.index(|at| at.clone()))
        .map(|(_, ls)| *ls)
        .distinct()
        .index(|_| ())
        .semijoin(&served.index(|_| ()))
        .named("no_detour");

    let direct = served.flat_map(|to| {
        [bucket(to, DIRECT, to.bfd, send(to.ip, to.out)), bucket(to, LAST, to.out, send(to.ip, to.out))]
    });
    let around = detour.map(|(to, by)| {
        let mark = [set_flags(REDIRECTED), to_option(register::FLAGS, option::FLAGS)];
        bucket(to, bucket_id(to, by), by.bfd, mark.into_iter().chain(send(by.ip, by.out)).collect())
    });
    Redirect {
        flows: served.map(choose).concat(&not_there.map(|ls| no_detour(*ls))),
        groups: served.map(|to| GroupRow { id: group_id(to.ip), form: GroupForm::FastFailover }),
        buckets: direct.concat(&around),
    }
}

/// Each host prefers other edges for each chassis, so that no edge gets all.
fn bucket_id(to: &Watched, by: &Watched) -> u32 {
    2 + hash(&[&bytes(to.ip), &bytes(by.ip)]) % (LAST - 2)
}

fn bucket(to: &Watched, id: u32, watch_port: u32, actions: Vec<Action>) -> BucketRow {
    let bucket = Bucket { id: Some(id), weight: None, watch_port: Some(watch_port), watch_group: None, actions };
    BucketRow { group: group_id(to.ip), bucket }
}

fn send(to: IpAddr, port: u32) -> Vec<Action> {
    let mut actions = towards(to).to_vec();
    actions.extend(tunnel::leave(port));
    actions
}

fn choose(to: &Watched) -> FlowRow {
    let not = FROM_TUNNEL | FLOOD_COPY | LOOPBACK | REDIRECTED | RELAYED | DIRECT_ONLY;
    let matching = tunnel::remote(Match::new().with_masked(register::FLAGS, 0_u32, not), to.ip);
    let mut actions = fields(EncapKind::Geneve);
    actions.push(Action::Group(group_id(to.ip)));
    let cookie = Cookie::named(Rule::Redirect, None, &to.chassis);
    flow(stage::LSP_INGRESS_OUTPUT_DST_PORT, WATCHED, cookie, matching, actions)
}

fn no_detour(ls: DatapathId) -> FlowRow {
    let stage = stage::LSP_INGRESS_OUTPUT_DST_PORT;
    let matching = within(ls).with_masked(register::FLAGS, 0_u32, DIRECT_ONLY);
    flow(
        stage,
        NOT_THERE,
        Cookie::datapath(Rule::NoDetour, ls),
        matching,
        vec![set_flags(DIRECT_ONLY), resubmit(stage)],
    )
}

/// ```text
/// relay()    <- .   (what was redirected here and is for no port here: to whom it is for)
/// nobody()   <- .   (and nobody here knows who that is)
/// ```
pub fn fixed() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::RedirectIn);
    let here = FROM_TUNNEL | REDIRECTED;
    let relay = vec![
        Action::set_field_masked(register::FLAGS, RELAYED, FROM_TUNNEL | REDIRECTED | ENTERED | RELAYED),
        resubmit(stage::LSP_INGRESS_LOOKUP_DST_PORT),
    ];
    let with = |flags: u32| Match::new().with_masked(register::FLAGS, flags, flags);
    vec![
        flow(stage::LSP_EGRESS_PUSHOUT, priority::GENERAL, cookie, with(here), relay),
        flow(stage::LSP_INGRESS_LOOKUP_DST_PORT, UNKNOWN, cookie, with(RELAYED), vec![]),
    ]
}
