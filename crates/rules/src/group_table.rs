//! The group table as it should be: groups and their buckets, counted by their causes.

use crate::{
    flow::BucketRow,
    output::{Group, GroupChange},
};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use tuplenet_openflow::Action;

/// The desired groups.
#[derive(Default)]
pub struct GroupTable {
    groups: BTreeMap<u32, FxHashMap<Vec<Action>, i64>>,
}

impl GroupTable {
    /// All groups that the switch should have.
    pub fn iter(&self) -> impl Iterator<Item = Group> + '_ {
        self.groups.iter().map(|(id, buckets)| Group { id: *id, buckets: buckets.keys().cloned().collect() })
    }

    /// Counts derivations up and down, and tells what the switch has to change.
    pub fn apply(&mut self, groups: Vec<(u32, i64)>, buckets: Vec<(BucketRow, i64)>) -> Vec<GroupChange> {
        let mut changes = Vec::new();
        for (id, _) in groups.iter().filter(|(_, weight)| *weight > 0) {
            self.groups.entry(*id).or_insert_with(|| {
                changes.push(GroupChange::Add(*id));
                FxHashMap::default()
            });
        }
        let leaving: Vec<u32> = groups.iter().filter(|(_, weight)| *weight < 0).map(|(id, _)| *id).collect();
        for (row, weight) in buckets {
            // A bucket whose group is gone goes with it.
            let Some(present) = self.groups.get_mut(&row.group) else { continue };
            let count = present.entry(row.actions.clone()).or_insert(0);
            let before = *count;
            *count += weight;
            let after = *count;
            if after <= 0 {
                present.remove(&row.actions);
            }
            match (before > 0, after > 0) {
                _ if leaving.contains(&row.group) => {}
                (false, true) => changes.push(GroupChange::InsertBucket(row.group, row.actions)),
                (true, false) => changes.push(GroupChange::RemoveBucket(row.group, row.actions)),
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
