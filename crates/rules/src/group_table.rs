//! The group table as it should be: groups and their buckets, counted by their causes.

use crate::output::{Bucket, Group, GroupChange, GroupForm};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// A derived group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupRow {
    pub id: u32,
    pub form: GroupForm,
}

/// A derived bucket of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketRow {
    pub group: u32,
    pub bucket: Bucket,
}

/// The desired groups.
#[derive(Default)]
pub struct GroupTable {
    groups: BTreeMap<u32, Entry>,
}

struct Entry {
    form: GroupForm,
    buckets: FxHashMap<Bucket, i64>,
}

impl GroupTable {
    /// All groups that the switch should have.
    pub fn iter(&self) -> impl Iterator<Item = Group> + '_ {
        self.groups.iter().map(|(id, entry)| Group {
            id: *id,
            form: entry.form.clone(),
            buckets: entry.buckets.keys().cloned().collect(),
        })
    }

    /// Counts derivations up and down, and tells what the switch has to change. A group has one form: the rules see to that.
    pub fn apply(&mut self, groups: Vec<(GroupRow, i64)>, buckets: Vec<(BucketRow, i64)>) -> Vec<GroupChange> {
        let mut changes = Vec::new();
        let mut leaving: Vec<u32> = groups.iter().filter(|(_, weight)| *weight < 0).map(|(row, _)| row.id).collect();
        for (GroupRow { id, form }, _) in groups.into_iter().filter(|(_, weight)| *weight > 0) {
            leaving.retain(|gone| *gone != id);
            match self.groups.get_mut(&id) {
                None => {
                    self.groups.insert(id, Entry { form: form.clone(), buckets: FxHashMap::default() });
                    changes.push(GroupChange::Add(id, form));
                }
                Some(entry) if entry.form != form => {
                    entry.form = form.clone();
                    changes.push(GroupChange::Change(id, form));
                }
                Some(_) => {}
            }
        }
        for (row, weight) in buckets {
            // A bucket whose group is gone goes with it.
            let Some(present) = self.groups.get_mut(&row.group) else { continue };
            let count = present.buckets.entry(row.bucket.clone()).or_insert(0);
            let before = *count;
            *count += weight;
            let after = *count;
            if after == 0 {
                present.buckets.remove(&row.bucket);
            }
            match (before > 0, after > 0) {
                _ if leaving.contains(&row.group) => {}
                (false, true) => changes.push(GroupChange::InsertBucket(row.group, row.bucket)),
                (true, false) => changes.push(GroupChange::RemoveBucket(row.group, row.bucket)),
                _ => {}
            }
        }
        for id in leaving {
            self.groups.remove(&id);
            changes.push(GroupChange::Delete(id));
        }
        changes
    }
}
