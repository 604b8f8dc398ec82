//! What comes out: changes of the results, for whoever carries them to the switch, the store and people.

use crate::outside::{Outside, Own};
use std::{fmt, net::IpAddr};
use tuplenet_model::{entity::EncapKind, name::Name};
use tuplenet_openflow::{Action, Flow, Match};

/// Everything that one transaction changed.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Flows of the switch.
    pub flows: Vec<FlowChange>,
    /// Groups of the switch. Adds and buckets go before the flows, deletes after.
    pub groups: Vec<GroupChange>,
    /// Bindings to write or to take back.
    pub claims: Vec<ClaimChange>,
    /// Pairs of patch Interfaces that are wanted from now on (true), and no more (false).
    pub patches: Vec<(PatchPair, bool)>,
    /// Routers' ports that meet a physical network here from now on (true), and no more (false).
    pub outside: Vec<(Outside, bool)>,
    /// Addresses of ours that are reached by a patch port here from now on (true), and no more (false).
    pub own: Vec<(Own, bool)>,
    /// End points that are to be watched by BFD from now on (true), and no more (false).
    pub watches: Vec<(Watch, bool)>,
    /// Objects set aside (true) and objects mended or gone (false).
    pub rejects: Vec<(Reject, bool)>,
    /// What people should know.
    pub notices: Vec<String>,
}

/// One change of the flow table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowChange {
    /// Add it, or replace the one with the same table, priority and match.
    Set(Flow),
    /// Delete the one with that table, priority and match.
    Delete {
        /// The table.
        table: u8,
        /// The priority.
        priority: u16,
        /// The match, exactly.
        matching: Match,
    },
}

/// One change of the group table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// A new group, without buckets, that copies a packet to each of its buckets (`all`).
    Add(u32),
    /// One bucket more.
    InsertBucket(u32, Vec<Action>),
    /// One bucket less.
    RemoveBucket(u32, Vec<Action>),
    /// The group is needed no more.
    Delete(u32),
}

/// A group as it should be now: of type `all`, with these buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// OpenFlow group id.
    pub id: u32,
    /// The actions of each bucket, in no order.
    pub buckets: Vec<Vec<Action>>,
}

/// One change of what this chassis claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimChange {
    /// Write the binding `{chassis: us, generation}` unless it says so already, then mark the Interface with it.
    Want {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
        /// The generation to write.
        generation: u64,
        /// UUID of the Interface row to mark.
        interface: u128,
    },
    /// Delete the binding if it still names us with that generation.
    Release {
        /// The switch.
        ls: Name,
        /// The port.
        lsp: Name,
        /// The generation that it had.
        generation: u64,
    },
}

/// A pair of OVS patch Interfaces that joins the integration bridge to another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatchPair {
    /// Name of the Interface on the integration bridge; at most 15 bytes.
    pub name: String,
    /// Name of the one on the other bridge; at most 15 bytes.
    pub peer: String,
    /// The other bridge, which is not ours to make.
    pub bridge: String,
    /// The switch that it is for.
    pub ls: Name,
    /// The patch port of that switch.
    pub lsp: Name,
    /// Its VLAN, for people: the tag is set and taken by flows.
    pub vlan: Option<u16>,
}

/// Another chassis' tunnel end point that is to be watched by BFD (RFC 5880), by a tunnel port of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// The chassis, for people.
    pub chassis: Name,
    /// The protocol.
    pub kind: EncapKind,
    /// The end point.
    pub ip: IpAddr,
}

/// An object that is set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reject {
    /// Its path below `<prefix>/v1/`.
    pub key: String,
    /// What is wrong and what mends it.
    pub reason: String,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}
