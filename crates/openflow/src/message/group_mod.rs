//! Making, changing and deleting groups (`OFPT_GROUP_MOD`, OpenFlow 1.5, 7.3.4.3).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::group::{Bucket, GroupKind, GroupProperties, bucket_id, display};
use super::wire::{Reader, patch_len};
use crate::error::{DecodeError, EncodeError};

/// `OFPGC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// A new group; refused if there is one of its id.
    Add,
    /// Replaces a group; refused if there is none of its id.
    Modify,
    /// Adds or replaces: Open vSwitch's extension.
    AddOrModify,
    /// Removes the group, and with it all flows that output to it; [`GroupMod::ALL`] removes all groups.
    Delete,
    /// Inserts the message's buckets after the bucket of this id, or at [`bucket_id::FIRST`] or [`bucket_id::LAST`].
    InsertBucket {
        /// Where.
        after: u32,
    },
    /// Removes one bucket, or the one at [`bucket_id::FIRST`] or [`bucket_id::LAST`], or [`bucket_id::ALL`].
    RemoveBucket {
        /// Which.
        bucket_id: u32,
    },
    /// One we do not know, with its bucket id.
    Other(u16, u32),
}

impl GroupCommand {
    fn numbers(self) -> (u16, u32) {
        match self {
            GroupCommand::Add => (0, bucket_id::ALL),
            GroupCommand::Modify => (1, bucket_id::ALL),
            GroupCommand::Delete => (2, bucket_id::ALL),
            GroupCommand::AddOrModify => (0x8000, bucket_id::ALL),
            GroupCommand::InsertBucket { after } => (3, after),
            GroupCommand::RemoveBucket { bucket_id } => (5, bucket_id),
            GroupCommand::Other(n, bucket_id) => (n, bucket_id),
        }
    }

    fn from_numbers(command: u16, bucket: u32) -> Self {
        match (command, bucket) {
            (0, bucket_id::ALL) => GroupCommand::Add,
            (1, bucket_id::ALL) => GroupCommand::Modify,
            (2, bucket_id::ALL) => GroupCommand::Delete,
            (0x8000, bucket_id::ALL) => GroupCommand::AddOrModify,
            (3, after) => GroupCommand::InsertBucket { after },
            (5, bucket_id) => GroupCommand::RemoveBucket { bucket_id },
            (n, bucket_id) => GroupCommand::Other(n, bucket_id),
        }
    }
}

/// The words of `ovs-ofctl ofp-print`.
impl fmt::Display for GroupCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupCommand::Add => f.write_str("ADD"),
            GroupCommand::Modify => f.write_str("MOD"),
            GroupCommand::AddOrModify => f.write_str("ADD_OR_MOD"),
            GroupCommand::Delete => f.write_str("DEL"),
            GroupCommand::InsertBucket { after } => write!(f, "INSERT_BUCKET command_bucket_id:{}", Id(*after)),
            GroupCommand::RemoveBucket { bucket_id } => {
                write!(f, "REMOVE_BUCKET command_bucket_id:{}", Id(*bucket_id))
            }
            GroupCommand::Other(n, id) => write!(f, "command {n} command_bucket_id:{}", Id(*id)),
        }
    }
}

struct Id(u32);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bucket_id::FIRST => f.write_str("first"),
            bucket_id::LAST => f.write_str("last"),
            bucket_id::ALL => f.write_str("all"),
            id => write!(f, "{id}"),
        }
    }
}

/// `OFPT_GROUP_MOD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// Of what kind; for bucket commands and deletions it is not looked at.
    pub kind: GroupKind,
    /// Which group: 0 to 0xffffff00, or [`GroupMod::ALL`] to delete all.
    pub group_id: u32,
    /// The buckets: all of them, or those to insert.
    pub buckets: Vec<Bucket>,
    /// Properties of the group, for [`GroupCommand::Add`] and [`GroupCommand::Modify`].
    pub properties: GroupProperties,
}

impl GroupMod {
    /// All groups (`OFPG_ALL`), to delete.
    pub const ALL: u32 = 0xffff_fffc;

    /// A command with buckets and no properties.
    pub fn new(command: GroupCommand, kind: GroupKind, group_id: u32, buckets: Vec<Bucket>) -> Self {
        GroupMod { command, kind, group_id, buckets, properties: GroupProperties::default() }
    }

    /// Deletes one group, or [`GroupMod::ALL`].
    pub fn delete(group_id: u32) -> Self {
        Self::new(GroupCommand::Delete, GroupKind::All, group_id, Vec::new())
    }

    pub(super) fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new("group mod", body);
        let command = r.u16()?;
        let kind = GroupKind::from_number(r.u8()?);
        r.skip(1)?;
        let group_id = r.u32()?;
        let buckets_len = usize::from(r.u16()?);
        r.skip(2)?;
        let command = GroupCommand::from_numbers(command, r.u32()?);
        let buckets = Bucket::decode_all(r.sub("buckets", buckets_len)?)?;
        Ok(GroupMod { command, kind, group_id, buckets, properties: GroupProperties::decode(r)? })
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        let (command, command_bucket_id) = self.command.numbers();
        out.put_u16(command);
        out.put_u8(self.kind.number());
        out.put_u8(0);
        out.put_u32(self.group_id);
        out.put_u32(0);
        out.put_u32(command_bucket_id);
        let buckets = out.len();
        self.buckets.iter().try_for_each(|b| b.encode(out))?;
        patch_len(out, "buckets of a group", start + 8, buckets)?;
        self.properties.encode(out)
    }
}

/// "ADD group_id=1,type=all,bucket=bucket_id:0,actions=output:2".
impl fmt::Display for GroupMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Commands on buckets do not look at the kind, and follow their own bucket id by a comma.
        let (separator, kind) = match self.command {
            GroupCommand::InsertBucket { .. } | GroupCommand::RemoveBucket { .. } => (",", None),
            _ => (" ", Some(self.kind)),
        };
        write!(f, "{}{separator}", self.command)?;
        display(f, self.group_id, kind, &self.properties, &self.buckets)
    }
}
