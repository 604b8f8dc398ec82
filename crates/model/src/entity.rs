//! The objects of a network, as the store keeps them: one JSON object each. Unknown fields are ignored by readers and
//! kept by writers; a field of the wrong type makes the object unreadable, which sets it aside.
//!
//! An entity does not repeat what its key says (its name and its parents): see [`crate::key::Key`].

use crate::{
    ecmp::EcmpField,
    id::{DatapathId, PortId},
    mac::Mac,
    name::Name,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

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
    /// The largest IP packet that routers send into it, in bytes, [`crate::mtu::LEAST`] at least; `None`: what its hosts can carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
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
    /// By what it chooses among static routes of equal prefix; empty: by addresses and ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ecmp_hash: Vec<EcmpField>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

/// `ls/<ls>/lsp/<lsp>`: a port of a logical switch: either a guest's or a router's, with a MAC and addresses, or a patch port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPort {
    /// Unique in the switch.
    pub port_id: PortId,
    /// Unicast; unique in the switch. A patch port has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// At least one; each unique in the switch. A patch port has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// The router port at the other end, when this port is one end of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<RouterPortRef>,
    /// What a patch port joins the switch to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

impl SwitchPort {
    /// Its MAC; all zero, which is nobody's, for a patch port.
    pub fn mac_or_zero(&self) -> Mac {
        self.mac.unwrap_or(Mac([0; 6]))
    }
}

/// Where a patch port leads: a physical bridge on one chassis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// The host.
    pub chassis: Name,
    /// The bridge of Open vSwitch there, which somebody else made. At most [`Patch::MAX_BRIDGE`] bytes; not [`Patch::INTEGRATION`].
    pub bridge: Name,
    /// The VLAN that the frames have there, 1 to [`Patch::MAX_VLAN`]; `None`: they are untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

impl Patch {
    /// The largest VLAN (IEEE 802.1Q, 9.6: 0 is no VLAN, 4095 is reserved).
    pub const MAX_VLAN: u16 = 4094;
    /// The longest name of a bridge: that of a network device of Linux (`IFNAMSIZ` without the final 0).
    pub const MAX_BRIDGE: usize = 15;
    /// The bridge that the agent keeps for itself.
    pub const INTEGRATION: &'static str = "br-int";
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Patch { chassis, bridge, vlan } = self;
        match vlan {
            Some(vlan) => write!(f, "VLAN {vlan} of bridge {bridge} on {chassis}"),
            None => write!(f, "bridge {bridge} on {chassis}"),
        }
    }
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

/// `lr/<lr>/lnat/<rule>`: a rule of address translation, applied where the router meets an outside network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatRule {
    /// What it does.
    #[serde(rename = "type")]
    pub kind: NatKind,
    /// `snat`: the sources that are translated. `dnat`: the external address. `floating`: the inner one. The latter two are single
    /// addresses, with the prefix length 32 or 128.
    pub prefix: IpNet,
    /// `snat` and `floating`: the external address. `dnat`: the inner one. Of the family of `prefix`.
    pub xlate_ip: IpAddr,
    /// Translated at the host that has the inner address, instead of at the router's. Of `floating` only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distributed: bool,
    /// For people.
    #[serde(flatten)]
    pub meta: Meta,
}

impl NatRule {
    /// The address that the outside sees.
    pub fn external(&self) -> IpAddr {
        match self.kind {
            NatKind::Snat | NatKind::Floating => self.xlate_ip,
            NatKind::Dnat => self.prefix.addr(),
        }
    }
    /// The addresses behind it.
    pub fn inner(&self) -> IpNet {
        match self.kind {
            NatKind::Snat | NatKind::Floating => self.prefix,
            NatKind::Dnat => IpNet::from(self.xlate_ip),
        }
    }
    /// Why two rules of one router contradict each other, if they do: the field of one that the other has as well. The same in both directions.
    pub fn contradicts(&self, other: &Self) -> Option<NatConflict> {
        use NatKind::{Dnat, Floating, Snat};
        let (ours, theirs) = (self.kind, other.kind);
        // What comes in for the address has one way to go. Answers to what a snat rule sent are known from their connections, so that it
        // may share its address with a dnat rule, but not with a floating one, which takes all.
        let shared = !matches!((ours, theirs), (Snat, Snat | Dnat) | (Dnat, Snat));
        if shared && self.external() == other.external() {
            return Some(NatConflict::External(self.external()));
        }
        // What goes out from an address has one address to go by.
        let same = matches!((ours, theirs), (Snat, Snat) | (Floating, Floating)) && self.inner() == other.inner();
        same.then(|| NatConflict::Inner(self.inner()))
    }
}

/// What two rules of one router cannot both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatConflict {
    /// Packets to this address would have two ways to go.
    External(IpAddr),
    /// Packets from these addresses would have two addresses to go by.
    Inner(IpNet),
}

/// What a NAT rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NatKind {
    /// Many inner addresses go out by one external address; connections start inside.
    Snat,
    /// What comes for an external address goes to an inner one.
    Dnat,
    /// Both, one to one.
    Floating,
}

impl NatKind {
    /// As the store and the command line have it.
    pub fn as_str(self) -> &'static str {
        match self {
            NatKind::Snat => "snat",
            NatKind::Dnat => "dnat",
            NatKind::Floating => "floating",
        }
    }
}

impl fmt::Display for NatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for NatKind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let all = [NatKind::Snat, NatKind::Dnat, NatKind::Floating];
        all.into_iter()
            .find(|kind| kind.as_str() == s)
            .ok_or_else(|| format!("\"{s}\" is none of snat, dnat, floating"))
    }
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
    /// What it does for others: `gateway` (it has a way to the outside).
    #[serde(default)]
    pub roles: Vec<String>,
    /// MTU of the device that has its tunnel end points, in bytes; `None` if its agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
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
