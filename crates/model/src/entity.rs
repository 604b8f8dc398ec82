//! The objects of a network, as the store keeps them: one JSON object each. Unknown fields are ignored by readers and
//! kept by writers; a field of the wrong type makes the object unreadable, which sets it aside.
//!
//! An entity does not repeat what its key says (its name and its parents): see [`crate::key::Key`].

use crate::{
    id::{DatapathId, PortId},
    mac::Mac,
    name::Name,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// What any object may carry for its people: text and labels, never read by the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free pairs, to select by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `ls/<ls>`: a logical switch, an L2 domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalSwitch {
    /// Its datapath id, unique among switches and routers.
    pub id: DatapathId,
    /// Whether broadcast and multicast reach every port. Otherwise only what we answer ourselves works (ARP, ND).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flood: bool,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// `lr/<lr>`: a logical router, an L3 hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalRouter {
    /// Its datapath id, unique among switches and routers.
    pub id: DatapathId,
    /// The chassis that it is pinned to; `None` is distributed: on every host that needs it.
    #[serde(default)]
    pub chassis: Option<Name>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// `ls/<ls>/lsp/<lsp>`: a port of a logical switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPort {
    /// Unique in the switch.
    pub port_id: PortId,
    /// Unicast; unique in the switch.
    pub mac: Mac,
    /// At least one; each unique in the switch.
    pub ips: Vec<IpAddr>,
    /// The router port at the other end, when this port is one end of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<RouterPortRef>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// `lr/<lr>/lrp/<lrp>`: a port of a logical router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterPort {
    /// Unique in the router. It never leaves a host, so a port without one (made by another tool) works as well; `tpctl` gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<PortId>,
    /// Equal to that of the switch port at the other end.
    pub mac: Mac,
    /// The router's own address in each network that it is connected to, with that network's prefix length.
    pub nets: Vec<IpNet>,
    /// The switch port at the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SwitchPortRef>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// `lr/<lr>/lsr/<route>`: a static route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticRoute {
    /// Destinations that it serves.
    pub prefix: IpNet,
    /// The address to send them to, of the same family, in a network of `outport`.
    pub next_hop: IpAddr,
    /// The port of this router that leads there.
    pub outport: Name,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// A switch port, named from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SwitchPortRef {
    /// The switch.
    pub ls: Name,
    /// The port.
    pub lsp: Name,
}

/// A router port, named from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouterPortRef {
    /// The router.
    pub lr: Name,
    /// The port.
    pub lrp: Name,
}

/// `chassis/<chassis>`: a host, written by its agent; changes rarely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chassis {
    /// How to reach it, best first.
    pub encaps: Vec<Encap>,
    /// What it does for others.
    #[serde(default)]
    pub roles: Vec<String>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// One tunnel end point of a chassis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Encap {
    /// The tunnel protocol.
    #[serde(rename = "type")]
    pub kind: EncapKind,
    /// Its address on the underlay.
    pub ip: IpAddr,
}

/// A tunnel protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncapKind {
    /// RFC 8926; carries our option.
    Geneve,
    /// RFC 7348; carries the datapath id only.
    Vxlan,
    /// RFC 2890 with a key; carries the datapath id only.
    Gre,
}

/// `binding/<ls>/<lsp>`: which chassis hosts a port now, written by that chassis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The host.
    pub chassis: Name,
    /// Grows with every claim of the port, so that of two claims one is newer.
    pub generation: u64,
}
