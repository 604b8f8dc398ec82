//! What comes out: changes of the results, for whoever carries them to the switch, the store and people.

use crate::outside::{Outside, Own};
use std::{fmt, net::IpAddr};
use tuplenet_model::{ecmp::EcmpField, entity::EncapKind, name::Name};
use tuplenet_openflow::{
    Action, Flow, Match, field,
    message::{GroupKind, GroupProperties, SelectionMethod},
};

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
    /// External addresses that NAT rules translate by here from now on (true), and no more (false).
    pub translated: Vec<(Translated, bool)>,
    /// End points that are to be watched by BFD from now on (true), and no more (false).
    pub watches: Vec<(Watch, bool)>,
    /// Objects set aside (true) and objects mended or gone (false).
    pub rejects: Vec<(Reject, bool)>,
    /// What people should know.
    pub notices: Vec<String>,
}

/// An external address of a router's NAT rules, and the zone that conntrack has the router's connections in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Translated {
    /// The zone.
    pub zone: u16,
    /// The address.
    pub ip: IpAddr,
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
    /// A new group, without buckets.
    Add(u32, GroupForm),
    /// The group takes another form; its buckets stay.
    Change(u32, GroupForm),
    /// One bucket more.
    InsertBucket(u32, Bucket),
    /// One bucket less.
    RemoveBucket(u32, Bucket),
    /// The group is needed no more.
    Delete(u32),
}

/// What a group does with a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupForm {
    /// A copy to each bucket.
    All,
    /// To one of the living buckets, chosen so.
    Select(Selection),
    /// To the first living bucket, by their ids.
    FastFailover,
}

/// By what a group chooses: `selection_method=hash` of Open vSwitch (group-selection-method-property.txt), over these fields, each with the bits that count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection(pub Vec<HashField>);

/// A part of a packet that a group may choose by. In the order in which Open vSwitch hashes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashField {
    /// Ports of TCP, UDP and SCTP, where [`crate::register::L4_PORTS`] notes them: this mask of it.
    L4Ports(u32),
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Protocol.
    Protocol,
}

impl Selection {
    /// What belongs to one connection goes one way.
    pub fn five_tuple() -> Self {
        Self::of(&[])
    }

    /// These parts count; with none given, addresses and ports.
    ///
    /// The protocol counts only where it is asked for: of the later fragments of an IPv6 packet Open vSwitch takes it to be 44, so that they would go another way than the
    /// first one, and conntrack would never see them all. Connections of two protocols with the same ports go the same way without it, which harms nobody.
    pub fn of(fields: &[EcmpField]) -> Self {
        let counts = |field| (fields.is_empty() && field != EcmpField::IpProto) || fields.contains(&field);
        let half = |field, bits: u32| if counts(field) { bits } else { 0 };
        let ports = half(EcmpField::L4Src, 0xffff_0000) | half(EcmpField::L4Dst, 0xffff);
        let ports = (ports != 0).then_some(HashField::L4Ports(ports));
        let others = [
            (EcmpField::NwSrc, HashField::Source),
            (EcmpField::NwDst, HashField::Destination),
            (EcmpField::IpProto, HashField::Protocol),
        ];
        let others = others.into_iter().filter_map(|(field, part)| counts(field).then_some(part));
        Self(ports.into_iter().chain(others).collect())
    }

    /// Whether ports of TCP, UDP or SCTP count.
    pub fn has_ports(&self) -> bool {
        self.0.iter().any(|part| matches!(part, HashField::L4Ports(_)))
    }

    /// What a switch tells; `None`: it is none of ours.
    pub fn read(method: &SelectionMethod) -> Option<Self> {
        let bits = |field| method.fields.get(field).map(|found| found.value);
        let ports = bits(crate::register::L4_PORTS).and_then(|value| value.to_u64());
        let ports = ports.and_then(|mask| Some(HashField::L4Ports(u32::try_from(mask).ok()?)));
        let others = [
            (field::IPV4_SRC, HashField::Source),
            (field::IPV4_DST, HashField::Destination),
            (field::IP_PROTO, HashField::Protocol),
        ];
        let others = others.into_iter().filter_map(|(field, part)| bits(field).map(|_| part));
        let found = Self(ports.into_iter().chain(others).collect());
        (found.method() == *method).then_some(found)
    }

    /// As OpenFlow has it.
    pub fn method(&self) -> SelectionMethod {
        let fields = self.0.iter().fold(Match::new(), |fields, part| match part {
            HashField::L4Ports(mask) => fields.with(crate::register::L4_PORTS, *mask),
            HashField::Source => fields.with(field::IPV4_SRC, u32::MAX).with(field::IPV6_SRC, u128::MAX),
            HashField::Destination => fields.with(field::IPV4_DST, u32::MAX).with(field::IPV6_DST, u128::MAX),
            HashField::Protocol => fields.with(field::IP_PROTO, u8::MAX),
        });
        SelectionMethod { method: "hash".into(), param: 0, fields }
    }
}

impl GroupForm {
    /// OpenFlow's type of group.
    pub fn kind(&self) -> GroupKind {
        match self {
            GroupForm::All => GroupKind::All,
            GroupForm::Select(_) => GroupKind::Select,
            GroupForm::FastFailover => GroupKind::FastFailover,
        }
    }

    /// What OpenFlow says of it beside the type.
    pub fn properties(&self) -> GroupProperties {
        let selection = match self {
            GroupForm::Select(selection) => Some(selection.method()),
            GroupForm::All | GroupForm::FastFailover => None,
        };
        GroupProperties { selection, ..GroupProperties::default() }
    }
}

/// One of the things that a group may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The number that it has in the switch, of which the choice of a `select` group depends; `None`: any.
    pub id: Option<u32>,
    /// Its share in a `select` group.
    pub weight: Option<u16>,
    /// It is dead while this port of the switch is, by its link or by BFD; `None`: it always lives.
    pub watch_port: Option<u32>,
    /// It is dead while this group has no living bucket; `None`: it does not depend on any.
    pub watch_group: Option<u32>,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// In a group where only that counts.
    pub fn of(actions: Vec<Action>) -> Self {
        Self { id: None, weight: None, watch_port: None, watch_group: None, actions }
    }
}

/// A group as it should be now, with these buckets in no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// OpenFlow group id.
    pub id: u32,
    /// What it does with a packet.
    pub form: GroupForm,
    /// Its buckets, in no order.
    pub buckets: Vec<Bucket>,
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
