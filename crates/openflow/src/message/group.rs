//! Groups and their buckets (OpenFlow 1.5, 7.3.4.3): what flows output to when one packet goes to many ports, or one of
//! many.
//!
//! OpenFlow 1.5 gave buckets ids, so that one bucket can be added to or removed from a group of a thousand without
//! sending the other 999.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::NTR_VENDOR;
use super::wire::{Reader, padding, patch_len, put_property, put_text};
use crate::error::{DecodeError, EncodeError};
use crate::{Action, Match, action};

/// `OFPGT_*`: what a group does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A copy to each bucket.
    All,
    /// To one bucket, by hash and weight.
    Select,
    /// To its only bucket.
    Indirect,
    /// To the first bucket that is alive.
    FastFailover,
    /// One we do not know.
    Other(u8),
}

impl GroupKind {
    pub(super) fn number(self) -> u8 {
        match self {
            GroupKind::All => 0,
            GroupKind::Select => 1,
            GroupKind::Indirect => 2,
            GroupKind::FastFailover => 3,
            GroupKind::Other(n) => n,
        }
    }

    pub(super) fn from_number(n: u8) -> Self {
        match n {
            0 => GroupKind::All,
            1 => GroupKind::Select,
            2 => GroupKind::Indirect,
            3 => GroupKind::FastFailover,
            n => GroupKind::Other(n),
        }
    }
}

/// The words of `ovs-ofctl`.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupKind::All => "all",
            GroupKind::Select => "select",
            GroupKind::Indirect => "indirect",
            GroupKind::FastFailover => "ff",
            GroupKind::Other(n) => return write!(f, "{n}"),
        })
    }
}

/// Special bucket ids, `OFPG_BUCKET_*`.
#[allow(missing_docs)] // As in the standard.
pub mod bucket_id {
    /// The highest id of a real bucket.
    pub const MAX: u32 = 0xffff_ff00;
    pub const FIRST: u32 = 0xffff_fffd;
    pub const LAST: u32 = 0xffff_fffe;
    pub const ALL: u32 = 0xffff_ffff;
}

/// `ofp_bucket`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Unique in its group; 0 to [`bucket_id::MAX`].
    pub bucket_id: u32,
    /// Share in a select group. Open vSwitch takes absence for 0, which gets nothing, and tells it back as no weight.
    pub weight: Option<u16>,
    /// In a fast-failover group: alive while this port is.
    pub watch_port: Option<u32>,
    /// In a fast-failover group: alive while this group is.
    pub watch_group: Option<u32>,
    /// What it does.
    pub actions: Vec<Action>,
    /// Properties that we do not know: type and value.
    pub properties: Vec<(u16, Bytes)>,
}

const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;
const EXPERIMENTER: u16 = 0xffff;

impl Bucket {
    /// A bucket that does `actions`, without weight or watch.
    pub fn new(bucket_id: u32, actions: Vec<Action>) -> Self {
        Bucket { bucket_id, actions, ..Bucket::default() }
    }

    pub(super) fn decode_all(mut r: Reader) -> Result<Vec<Self>, DecodeError> {
        let mut out = Vec::new();
        while !r.is_empty() {
            let len = usize::from(r.u16()?);
            if len < 8 {
                return Err(DecodeError::BadLength { what: "bucket", length: len });
            }
            let mut r = r.sub("bucket", len - 2)?;
            let actions_len = usize::from(r.u16()?);
            let bucket_id = r.u32()?;
            let actions = action::decode_list(r.take(actions_len)?)?;
            let mut bucket = Bucket::new(bucket_id, actions);
            while !r.is_empty() {
                let (kind, value) = r.property()?;
                let mut v = Reader::new("bucket property", value.clone());
                match (kind, value.len()) {
                    (WEIGHT, 4) => bucket.weight = Some(v.u16()?),
                    (WATCH_PORT, 4) => bucket.watch_port = Some(v.u32()?),
                    (WATCH_GROUP, 4) => bucket.watch_group = Some(v.u32()?),
                    _ => bucket.properties.push((kind, value)),
                }
            }
            out.push(bucket);
        }
        Ok(out)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(self.bucket_id);
        let actions = out.len();
        action::encode_list(&self.actions, out)?;
        patch_len(out, "actions of a bucket", start + 2, actions)?;
        if let Some(weight) = self.weight {
            let [a, b] = weight.to_be_bytes();
            put_property(out, WEIGHT, &[a, b, 0, 0])?;
        }
        if let Some(port) = self.watch_port {
            put_property(out, WATCH_PORT, &port.to_be_bytes())?;
        }
        if let Some(group) = self.watch_group {
            put_property(out, WATCH_GROUP, &group.to_be_bytes())?;
        }
        for (kind, value) in &self.properties {
            put_property(out, *kind, value)?;
        }
        patch_len(out, "bucket", start, start)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket=bucket_id:{}", self.bucket_id)?;
        if let Some(weight) = self.weight {
            write!(f, ",weight:{weight}")?;
        }
        if let Some(port) = self.watch_port {
            write!(f, ",watch_port:{port}")?;
        }
        if let Some(group) = self.watch_group {
            write!(f, ",watch_group:{group}")?;
        }
        f.write_str(",actions=")?;
        if self.actions.is_empty() {
            f.write_str("drop")?;
        }
        for (i, action) in self.actions.iter().enumerate() {
            write!(f, "{}{action}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// How a select group chooses its bucket: Netronome's extension, documented in Open vSwitch's
/// group-selection-method-property.txt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SelectionMethod {
    /// "hash" (over `fields`) or "dp_hash" (by the datapath, over the 5-tuple; honours weights best).
    pub method: String,
    /// Basis of the hash; for dp_hash, 1 in the upper 32 bits asks for a symmetric one.
    pub param: u64,
    /// For "hash": the fields, each with the mask of bits to hash as its value.
    pub fields: Match,
}

impl SelectionMethod {
    fn decode(value: &Bytes) -> Option<Self> {
        let mut r = Reader::new("selection method", value.clone());
        if r.u32().ok()? != NTR_VENDOR || r.u32().ok()? != 1 {
            return None;
        }
        r.skip(4).ok()?;
        let method = r.text(16).ok()?;
        let param = r.u64().ok()?;
        Some(SelectionMethod { method, param, fields: Match::from_oxm(&r.rest()).ok()? })
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut value = BytesMut::new();
        value.put_u32(NTR_VENDOR);
        value.put_u32(1);
        value.put_u32(0);
        put_text(&mut value, &self.method, 16);
        value.put_u64(self.param);
        value.put_slice(self.fields.oxm_bytes());
        put_property(out, EXPERIMENTER, &value)
    }
}

/// The properties of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupProperties {
    /// How a select group chooses; Open vSwitch's own choice (dp_hash) if absent.
    pub selection: Option<SelectionMethod>,
    /// Those that we do not know: type and value.
    pub other: Vec<(u16, Bytes)>,
}

impl GroupProperties {
    pub(super) fn decode(mut r: Reader) -> Result<Self, DecodeError> {
        let mut out = GroupProperties::default();
        while !r.is_empty() {
            let (kind, value) = r.property()?;
            match SelectionMethod::decode(&value).filter(|_| kind == EXPERIMENTER && out.selection.is_none()) {
                Some(method) => out.selection = Some(method),
                None => out.other.push((kind, value)),
            }
        }
        Ok(out)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if let Some(method) = &self.selection {
            method.encode(out)?;
        }
        self.other.iter().try_for_each(|(kind, value)| put_property(out, *kind, value))
    }
}

/// What a group is, in the words of `ovs-ofctl`: the same in a mod and in a description.
pub(super) fn display(
    f: &mut fmt::Formatter<'_>,
    group_id: u32,
    kind: Option<GroupKind>,
    properties: &GroupProperties,
    buckets: &[Bucket],
) -> fmt::Result {
    write!(f, "group_id={group_id}")?;
    if let Some(kind) = kind {
        write!(f, ",type={kind}")?;
    }
    if let Some(s) = &properties.selection {
        write!(f, ",selection_method={}", s.method)?;
        if s.param != 0 {
            write!(f, ",selection_method_param={}", s.param)?;
        }
        for (i, field) in s.fields.fields().enumerate() {
            write!(f, "{}{}", if i == 0 { ",fields(" } else { "," }, field.field.name)?;
            if field.value.as_bytes().iter().any(|&b| b != 0xff) {
                // A match on it prints as "name=value", its name perhaps another one.
                let one = Match::new().try_with(field.field, field.value, None).unwrap_or_default().to_string();
                write!(f, "={}", one.split_once('=').map_or("?", |(_, value)| value))?;
            }
        }
        if !s.fields.is_empty() {
            f.write_str(")")?;
        }
    }
    for bucket in buckets {
        write!(f, ",{bucket}")?;
    }
    Ok(())
}

/// One group as the switch has it (`OFPMP_GROUP_DESC`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupDesc {
    /// Its id.
    pub group_id: u32,
    /// What it does.
    pub kind: GroupKind,
    /// Its buckets, in their order.
    pub buckets: Vec<Bucket>,
    /// Its properties.
    pub properties: GroupProperties,
}

impl GroupDesc {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 16 {
            return Err(DecodeError::BadLength { what: "group", length: len });
        }
        let mut r = r.sub("group", len - 2)?;
        let kind = GroupKind::from_number(r.u8()?);
        r.skip(1)?;
        let group_id = r.u32()?;
        let buckets_len = usize::from(r.u16()?);
        r.skip(6)?;
        let buckets = Bucket::decode_all(r.sub("buckets", buckets_len)?)?;
        Ok(GroupDesc { group_id, kind, buckets, properties: GroupProperties::decode(r)? })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u16(0);
        out.put_u8(self.kind.number());
        out.put_u8(0);
        out.put_u32(self.group_id);
        out.put_u64(0);
        let buckets = out.len();
        self.buckets.iter().try_for_each(|b| b.encode(out))?;
        patch_len(out, "buckets", start + 8, buckets)?;
        self.properties.encode(out)?;
        out.put_bytes(0, padding(out.len() - start));
        patch_len(out, "group", start, start)
    }
}

impl fmt::Display for GroupDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(f, self.group_id, Some(self.kind), &self.properties, &self.buckets)
    }
}

/// What one group has done (`OFPMP_GROUP_STATS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Its id.
    pub group_id: u32,
    /// Flows and groups that lead to it.
    pub ref_count: u32,
    /// Packets it has seen.
    pub packets: u64,
    /// Bytes it has seen.
    pub bytes: u64,
    /// Seconds for which it has existed, and nanoseconds beyond them.
    pub duration: (u32, u32),
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

impl GroupStats {
    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let len = usize::from(r.u16()?);
        if len < 40 {
            return Err(DecodeError::BadLength { what: "group counters", length: len });
        }
        let mut r = r.sub("group counters", len - 2)?;
        r.skip(2)?;
        let group_id = r.u32()?;
        let ref_count = r.u32()?;
        r.skip(4)?;
        let packets = r.u64()?;
        let bytes = r.u64()?;
        let duration = (r.u32()?, r.u32()?);
        let mut buckets = Vec::new();
        while !r.is_empty() {
            buckets.push((r.u64()?, r.u64()?));
        }
        Ok(GroupStats { group_id, ref_count, packets, bytes, duration, buckets })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(self.group_id);
        out.put_u32(self.ref_count);
        out.put_u32(0);
        out.put_u64(self.packets);
        out.put_u64(self.bytes);
        out.put_u32(self.duration.0);
        out.put_u32(self.duration.1);
        for (packets, bytes) in &self.buckets {
            out.put_u64(*packets);
            out.put_u64(*bytes);
        }
        patch_len(out, "group counters", start, start)
    }
}
