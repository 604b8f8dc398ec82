//! What makes a network, as small numbers that count from the simplest choice.

use super::{edge::Edge, odd::Oddity};
use proptest::{collection::vec, option, prelude::*};

/// Everything that makes a network, as numbers; indices wrap around.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hosts: Vec<Host>,
    pub encaps: &'static [&'static str],
    pub switches: Vec<Switch>,
    pub routers: Vec<Router>,
    pub links: Vec<Link>,
    pub routes: Vec<Route>,
    /// Give every router routes to all switches.
    pub routed: bool,
    pub edge: Edge,
    pub oddities: Vec<Oddity>,
    /// What is added to the ids of datapaths and of ports.
    pub ids: (usize, usize),
    /// Create revisions, in turn.
    pub ages: Vec<i64>,
}

#[derive(Clone, Debug)]
pub struct Host {
    /// Others than most hosts have.
    pub encaps: Option<&'static [&'static str]>,
    pub v6: bool,
}

#[derive(Clone, Debug)]
pub struct Switch {
    pub flood: bool,
    /// The number in its addresses; its own if there is none.
    pub net: Option<u8>,
    /// VMs have MACs that VMs of other switches have, too.
    pub common_macs: bool,
    pub ports: Vec<(Addresses, Option<usize>)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Addresses {
    V4,
    Both,
    V6,
    Several,
    Foreign,
    LinkLocal,
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Router {
    /// The chassis that it is pinned to, if it is; [`NO_HOST`] is none.
    pub pin: Option<usize>,
    /// It has a port that leads nowhere, too.
    pub loopback: bool,
}

#[derive(Clone, Debug)]
pub struct Link {
    /// Router and switch; else it is the next of a chain: switch 0, router 0, switch 1, router 1, ...
    pub ends: Option<(usize, usize)>,
    pub v4: Option<u8>,
    pub v6: Option<u8>,
    pub second: bool,
    pub port_id: bool,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub link: usize,
    pub prefix: u8,
    pub net: u8,
    pub hop: Hop,
    pub which: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Hop {
    Router,
    Vm,
    Nobody,
    Outside,
    Own,
    NoPort,
}

/// How many kinds of prefixes there are.
pub const PREFIXES: u8 = 13;

fn encaps(geneve: u32) -> impl Strategy<Value = &'static [&'static str]> {
    prop_oneof![
        geneve => Just(&["geneve"][..]),
        2 => Just(&["vxlan"][..]),
        2 => Just(&["gre"][..]),
        1 => Just(&["geneve", "vxlan"][..]),
        1 => Just(&["vxlan", "geneve"][..]),
        1 => Just(&["gre", "vxlan", "geneve"][..]),
    ]
}

fn host() -> impl Strategy<Value = Host> {
    (option::weighted(0.15, encaps(1)), proptest::bool::weighted(0.2)).prop_map(|(encaps, v6)| Host { encaps, v6 })
}

fn switch() -> impl Strategy<Value = Switch> {
    let addresses = prop_oneof![
        4 => Just(Addresses::V4),
        10 => Just(Addresses::Both),
        2 => Just(Addresses::V6),
        1 => Just(Addresses::Several),
        1 => Just(Addresses::Foreign),
        1 => Just(Addresses::LinkLocal),
        1 => Just(Addresses::Nothing),
    ];
    let place = option::weighted(0.9, 0..5_usize);
    let common_macs = proptest::bool::weighted(0.2);
    (any::<bool>(), option::weighted(0.1, 0..4_u8), common_macs, vec((addresses, place), 1..=4))
        .prop_map(|(flood, net, common_macs, ports)| Switch { flood, net, common_macs, ports })
}

fn link() -> impl Strategy<Value = Link> {
    let v4 = prop_oneof![16 => Just(Some(24)), 1 => Just(None), 1 => Just(Some(16)), 1 => Just(Some(8)), 1 => Just(Some(32)), 2 => Just(Some(25)), 1 => Just(Some(1))];
    let v6 = prop_oneof![12 => Just(Some(64)), 2 => Just(None), 1 => Just(Some(16)), 1 => Just(Some(128)), 1 => Just(Some(1))];
    let (second, port_id) = (proptest::bool::weighted(0.1), proptest::bool::weighted(0.8));
    let ends = option::weighted(0.25, (0..4_usize, 0..4_usize));
    (ends, v4, v6, second, port_id).prop_map(|(ends, v4, v6, second, port_id)| Link { ends, v4, v6, second, port_id })
}

fn route() -> impl Strategy<Value = Route> {
    let hop = prop_oneof![
        6 => Just(Hop::Router),
        4 => Just(Hop::Vm),
        1 => Just(Hop::Nobody),
        1 => Just(Hop::Outside),
        1 => Just(Hop::Own),
        1 => Just(Hop::NoPort)
    ];
    let prefix = prop_oneof![2 => 0..PREFIXES, 1 => Just(1), 1 => Just(3)];
    (0..6_usize, prefix, 0..4_u8, hop, 0..4_usize).prop_map(|(link, prefix, net, hop, which)| Route {
        link,
        prefix,
        net,
        hop,
        which,
    })
}

/// The number of a chassis that is in no network.
pub const NO_HOST: usize = 12;

fn router() -> impl Strategy<Value = Router> {
    (option::weighted(0.3, 0..=NO_HOST), proptest::bool::weighted(0.3))
        .prop_map(|(pin, loopback)| Router { pin, loopback })
}

/// Any network of up to 4 hosts, 4 switches and 3 routers.
pub fn plan(oddities: impl Strategy<Value = Vec<Oddity>>) -> impl Strategy<Value = Plan> {
    (
        (vec(host(), 1..=4), encaps(14)),
        prop_oneof![1 => vec(switch(), 1..=2), 2 => vec(switch(), 3..=4)],
        prop_oneof![1 => vec(router(), 0..=3), 3 => vec(router(), 1..=3)],
        prop_oneof![1 => vec(link(), 0..=6), 4 => vec(link(), 4..=9)],
        vec(route(), 0..=5),
        proptest::bool::weighted(0.6),
        oddities,
        // Up to the largest: 24 bits in a VNI, 16 in our option, of which the last 256 are ours.
        (
            prop_oneof![3 => Just((0, 0)), 1 => Just((0xff_ff00, 0xfe00)), 1 => Just((0xff_00, 0xe0))],
            vec(1..6_i64, 1..=7),
        ),
    )
        .prop_map(|((hosts, encaps), switches, routers, links, routes, routed, oddities, (ids, ages))| Plan {
            hosts,
            encaps,
            switches,
            routers,
            links,
            routes,
            routed,
            edge: Edge::default(),
            oddities,
            ids,
            ages,
        })
}
