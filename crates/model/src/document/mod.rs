//! The desired network as one YAML document, for `tpctl apply`, `export` and `diff`.
//!
//! ```yaml
//! switches:
//!   LS-A:
//!     ports:
//!       vm1: 10.20.1.2, fd00:20:1::2        # short: only addresses
//!       vm2:                                # long: anything
//!         ips: [10.20.1.3]
//!         mac: 02:00:00:00:00:03
//!         labels: {team: red}
//!       uplink: {patch: {chassis: hv1, bridge: br-ex, vlan: 100}}
//! routers:
//!   LR-central:
//!     links:                                # makes the ports LR-central_to_LS-A and LS-A_to_LR-central
//!       LS-A: 10.20.1.1/24, fd00:20:1::1/64
//!     routes:
//!       default: {prefix: 0.0.0.0/0, next_hop: 10.20.1.2}
//!     nat:
//!       vm2: {type: floating, prefix: 10.20.1.3/32, xlate_ip: 203.0.113.7, distributed: true}
//! ```
//! Ids, port ids and MACs may be left out: an object that exists keeps its own, a new one gets a free or derived one. A route's `outport` may be
//! left out if one port of the router has the next hop in a network. [`Document::of`] writes all of them, so that an export holds everything.

mod export;
mod resolve;

use crate::{
    ecmp::EcmpField,
    entity::{NatKind, Patch, RouterPortRef, SwitchPortRef},
    id::{DatapathId, PortId},
    mac::Mac,
    name::Name,
};
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt, marker::PhantomData, net::IpAddr, str::FromStr};

/// The whole desired network: what is in the store, but for what agents write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub switches: BTreeMap<Name, Option<Switch>>,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routers: BTreeMap<Name, Option<Router>>,
}

/// A logical switch with its ports, but for those that `links` of routers make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Kept or allocated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DatapathId>,
    /// See [`crate::entity::LogicalSwitch::flood`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flood: bool,
    /// See [`crate::entity::LogicalSwitch::mtu`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<Name, Short<Port>>,
}

/// A port of a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Kept or allocated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<PortId>,
    /// Kept or derived if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// At least one, unless it is a patch port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// The other end, for a link that `links` cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<RouterPortRef>,
    /// What it joins the switch to: a patch port, which has neither `mac` nor `ips`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A logical router with its links and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// Kept or allocated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DatapathId>,
    /// The chassis that it is pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chassis: Option<Name>,
    /// See [`crate::entity::LogicalRouter::ecmp_hash`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ecmp_hash: Vec<EcmpField>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// By switch: what `tpctl lr link` makes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<Name, Short<Link>>,
    /// By name: ports that are no end of a plain link.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<Name, Short<PlainPort>>,
    /// By name: static routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<Name, Route>,
    /// By name: NAT rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nat: BTreeMap<Name, Nat>,
}

/// The link of a router to a switch: two ports of equal addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The router's own addresses. At least one.
    pub nets: Vec<IpNet>,
    /// Kept or derived if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Kept or allocated if left out: the id of the router's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_port_id: Option<PortId>,
    /// Kept or allocated if left out: the id of the switch's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_port_id: Option<PortId>,
    /// For people; of both ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people; of both ports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A port of a router by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainPort {
    /// Kept or allocated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<PortId>,
    /// Kept or derived if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The router's own addresses. At least one.
    pub nets: Vec<IpNet>,
    /// The other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SwitchPortRef>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Destinations that it serves.
    pub prefix: IpNet,
    /// The neighbour to send them to.
    pub next_hop: IpAddr,
    /// Found by the next hop if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outport: Option<Name>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A NAT rule; see [`crate::entity::NatRule`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// What it does.
    #[serde(rename = "type")]
    pub kind: NatKind,
    /// What is translated.
    pub prefix: IpNet,
    /// What to.
    pub xlate_ip: IpAddr,
    /// See [`crate::entity::NatRule::distributed`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distributed: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Something that may be written as only its addresses: text with commas, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Short<T>(pub T);

/// What can be made of addresses alone.
trait FromAddresses {
    type Address: FromStr;
    const LIKE: &'static str;
    fn from_addresses(addresses: Vec<Self::Address>) -> Self;
}

impl FromAddresses for Port {
    type Address = IpAddr;
    const LIKE: &'static str = "addresses, like 10.20.1.2, fd00:20:1::2, or a map with ips";
    fn from_addresses(ips: Vec<IpAddr>) -> Self {
        Self { ips, ..Self::default() }
    }
}

impl FromAddresses for Link {
    type Address = IpNet;
    const LIKE: &'static str = "addresses with prefix lengths, like 10.20.1.1/24, fd00:20:1::1/64, or a map with nets";
    fn from_addresses(nets: Vec<IpNet>) -> Self {
        Self { nets, ..Self::default() }
    }
}

impl FromAddresses for PlainPort {
    type Address = IpNet;
    const LIKE: &'static str = Link::LIKE;
    fn from_addresses(nets: Vec<IpNet>) -> Self {
        Self { nets, ..Self::default() }
    }
}

impl<'de, T: FromAddresses + Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);
        impl<'de, T: FromAddresses + Deserialize<'de>> Visitor<'de> for Forms<T> {
            type Value = Short<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::LIKE)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Short<T>, E> {
                let one = |part: &str| {
                    part.trim().parse().map_err(|_| E::custom(format!("\"{part}\" is none of {}", T::LIKE)))
                };
                text.split(',').map(one).collect::<Result<_, _>>().map(|all| Short(T::from_addresses(all)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Short<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(part) = list.next_element::<String>()? {
                    let one = part.trim().parse();
                    all.push(one.map_err(|_| de::Error::custom(format!("\"{part}\" is none of {}", T::LIKE)))?);
                }
                Ok(Short(T::from_addresses(all)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Short<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Short)
            }
        }
        deserializer.deserialize_any(Forms(PhantomData))
    }
}

/// Why a text is no document. One line, with the place if it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if *.line > 0 { format!("line {line}, column {column}: ") } else { String::new() })]
pub struct DocumentError {
    /// From 1; 0 if not known.
    pub line: u64,
    /// From 1; 0 if not known.
    pub column: u64,
    /// What is wrong there.
    pub problem: String,
}

/// The parser's words, but where they are for its own authors.
fn plain(text: &str) -> String {
    match text.strip_prefix("budget breached: ") {
        Some(what) if what.starts_with("Documents") => "a second document begins here: put all into one".to_owned(),
        Some(_) => "it refers to parts of itself too often, or is too deep: write it out".to_owned(),
        None => match text {
            "expected mapping start" => "expected names with a colon each, like \"ports:\"".to_owned(),
            _ => text.to_owned(),
        },
    }
}

impl Document {
    /// The largest document, in bytes: far more than a million ports.
    pub const MAX: usize = 256 * 1024 * 1024;

    /// Reads a document. An empty one describes the empty network.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.len() > Self::MAX {
            let problem = format!("the document has {} bytes, more than {}", text.len(), Self::MAX);
            return Err(DocumentError { line: 0, column: 0, problem });
        }
        // A network of a million ports is honest, however suspicious it looks to a parser; aliases ("billion laughs") are not.
        let budget = serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: Self::MAX,
            max_documents: 1,
        };
        let options = serde_saphyr::options! { budget: budget, with_snippet: false };
        let document = serde_saphyr::from_str_with_options::<Option<Self>>(text, options).map_err(|error| {
            let (line, column) = error.location().map(|at| (at.line(), at.column())).unwrap_or_default();
            let text = error.without_snippet().to_string();
            // The library repeats the place at the end.
            let text = text.split(" at line ").next().unwrap_or_default().lines().next().unwrap_or_default();
            let text = text.split(": line ").next().unwrap_or_default();
            let text = text.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
            DocumentError { line, column, problem: plain(text) }
        })?;
        // More often a command that failed before a pipe than the wish to delete everything.
        document.ok_or_else(|| {
            let problem = "it is empty; if you mean a network without objects, write {}".to_owned();
            DocumentError { line: 0, column: 0, problem }
        })
    }

    /// Writes a document, in the form that [`Document::parse`] reads.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }
}
