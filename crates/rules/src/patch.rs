//! Patch ports: which switches meet a physical network on which chassis, and which chassis speaks for whom there.
//!
//! A switch with patch ports is a *provider network*. Each chassis with a patch port of it takes the frames of its own ports out and brings in those for
//! them. One chassis is *designated*: the first by name that exists. It does the same for the ports of all chassis without a patch port, and for distributed
//! routers, so that a MAC address shows up at one port of the physical network only. Whether a chassis is alive nobody here knows.
//!
//! Of a switch's patch ports on one chassis the oldest counts: two of them could only bring each frame twice, or in a circle.

use crate::{
    change::LocalPatch,
    endpoint::Endpoint,
    fact::{Chassis, Child},
    output::PatchPair,
    valid_port::SwitchPort,
};
use std::net::IpAddr;
use tuplenet_datalog::{Index, Relation};
use tuplenet_model::{
    entity::Patch,
    id::{DatapathId, PortId},
    name::Name,
};

/// A pair of OVS patch Interfaces as the database has it: the end on our bridge has a number, and its peer is on that bridge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PatchFact {
    /// Of the Interface on our bridge.
    pub name: String,
    pub patch: LocalPatch,
}

/// A patch port of this chassis that works.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PatchHere {
    pub port: SwitchPort,
    pub ofport: u32,
    pub vlan: Option<u16>,
}

/// The patch port by which ports go out whose chassis has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Designated {
    pub ls: DatapathId,
    pub port: PortId,
    pub chassis: Name,
}

/// The way to another chassis' patch port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    pub ls: DatapathId,
    pub port: PortId,
    pub endpoint: IpAddr,
}

/// What this module derives.
pub struct Patches {
    /// Patch ports of this chassis that work.
    pub here: Relation<PatchHere>,
    /// Patch ports of this chassis, whether they work or not.
    pub mine: Relation<SwitchPort>,
    /// Pairs of Interfaces that there should be.
    pub pairs: Relation<PatchPair>,
    /// Switches whose designated chassis is this one.
    pub designated_here: Relation<DatapathId>,
    /// Where the designated chassis of a switch is another one.
    pub way: Relation<Way>,
    /// Other chassis with a patch port of a switch.
    pub patched_by: Relation<(DatapathId, Name)>,
    /// Their tunnel end points.
    pub patched_at: Relation<(DatapathId, IpAddr)>,
    /// Other chassis that this one sends to because they are designated.
    pub used: Relation<Name>,
}

fn patch(port: &SwitchPort) -> Option<&Patch> {
    port.lsp.value.patch.as_deref()
}

/// The names of the two Interfaces of a pair: on our bridge, and on the other. Made of the ids, so that they fit into Linux' 15 bytes and survive a restart.
pub fn names(ls: DatapathId, port: PortId) -> (String, String) {
    let (ls, port) = (ls.get(), port.get());
    (format!("tp-{ls:x}-{port:x}"), format!("tpx-{ls:x}-{port:x}"))
}

fn pair(port: &SwitchPort) -> Option<PatchPair> {
    let Patch { bridge, vlan, .. } = patch(port)?;
    let (name, peer) = names(port.ls, port.lsp.value.port);
    let (ls, lsp): Child = port.lsp.name.clone();
    Some(PatchPair { name, peer, bridge: bridge.to_string(), ls, lsp, vlan: *vlan })
}

/// ```text
/// patch(LS, Port, Chassis)     <- port(LS, Port), Port leads to a bridge of Chassis.
/// mine(LS, Port)               <- patch(LS, Port, us).
/// here(LS, Port, OfPort)       <- mine(LS, Port), patch_interface(Name of Port, Bridge of Port, OfPort).
/// designated(LS, Port, Chassis) <- patch(LS, Port, Chassis), chassis(Chassis); of several the first by name.
/// way(LS, Port, Ip)            <- designated(LS, Port, Chassis), Chassis != us, endpoint(Chassis, _, Ip).
/// patched_at(LS, Ip)           <- patch(LS, _, Chassis), Chassis != us, endpoint(Chassis, _, Ip).
/// ```
/// Cost: of a patch port of another chassis none, or three rows if it is the designated one.
pub fn derive(
    me: &Name,
    switch_port: &Relation<SwitchPort>,
    chassis: &Relation<Chassis>,
    interface: &Relation<PatchFact>,
    endpoint_of: &Index<Name, Endpoint>,
) -> Patches {
    let all = switch_port.filter(|port| patch(port).is_some()).named("patch");
    let us = me.clone();
    let mine = all.filter(move |port| patch(port).is_some_and(|patch| patch.chassis == us));
    let pairs = mine.flat_map(pair);
    let here = mine
        .index(|port| names(port.ls, port.lsp.value.port).0)
        .join_flat(&interface.index(|interface| interface.name.clone()), |_, port, interface| {
            let Patch { bridge, vlan, .. } = patch(port)?;
            (**bridge == *interface.patch.bridge).then(|| PatchHere {
                port: port.clone(),
                ofport: interface.patch.ofport,
                vlan: *vlan,
            })
        })
        .named("patch_here");

    let designated = all
        .flat_map(|port| {
            let chassis = patch(port)?.chassis.clone();
            Some(Designated { ls: port.ls, port: port.lsp.value.port, chassis })
        })
        .index(|patch| patch.chassis.clone())
        .semijoin(&chassis.index(|chassis| chassis.name.clone()))
        .min_by(|patch| patch.ls, |patch| patch.chassis.clone())
        .named("designated");
    let us = me.clone();
    let designated_here = designated.flat_map(move |patch| (patch.chassis == us).then_some(patch.ls));
    let us = me.clone();
    let elsewhere = designated.filter(move |patch| patch.chassis != us);
    let way = elsewhere.index(|patch| patch.chassis.clone()).join(endpoint_of, |_, patch, endpoint| Way {
        ls: patch.ls,
        port: patch.port,
        endpoint: endpoint.ip,
    });
    let us = me.clone();
    let patched_by = all.flat_map(move |port| {
        let chassis = patch(port)?.chassis.clone();
        (chassis != us).then_some((port.ls, chassis))
    });
    let patched_at = patched_by
        .index(|(_, chassis)| chassis.clone())
        .join(endpoint_of, |_, (ls, _), endpoint| (*ls, endpoint.ip))
        .distinct();
    let used = elsewhere.map(|patch| patch.chassis.clone()).distinct();
    Patches { here, mine, pairs, designated_here, way, patched_by, patched_at, used }
}
