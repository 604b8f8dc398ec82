//! One switch: its tables and groups, interpreted as Open vSwitch 3.1 does (ovs-actions(7); `ofproto/ofproto-dpif-xlate.c`).
//!
//! What the interpreter does not know is an error that names the flow, never skipped.

mod act;
mod action_set;
mod connection;
mod frame;
mod machine;
mod run;
mod select;
mod table;
mod track;

pub use run::{Abort, Effect, Run, Step, Unsupported};

use crate::packet::Packet;
use machine::Machine;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use table::Table;
use tuplenet_openflow::{
    Action, Flow, Match, field,
    message::group::{Bucket, GroupKind, SelectionMethod},
};
use tuplenet_rules::GroupForm;

/// A group of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// OpenFlow group id.
    pub id: u32,
    /// What it does with a packet.
    pub kind: GroupKind,
    /// How a select group chooses.
    pub selection: Option<SelectionMethod>,
    /// What it consists of.
    pub buckets: Vec<Bucket>,
}

impl From<tuplenet_rules::Group> for Group {
    fn from(group: tuplenet_rules::Group) -> Self {
        let mut made = Group::new(group.id, &group.form);
        group.buckets.into_iter().for_each(|bucket| made.insert(bucket));
        made
    }
}

impl Group {
    /// Without buckets.
    pub fn new(id: u32, form: &GroupForm) -> Group {
        Group { id, kind: form.kind(), selection: form.properties().selection, buckets: Vec::new() }
    }

    /// One bucket more.
    pub fn insert(&mut self, bucket: tuplenet_rules::Bucket) {
        let next = || self.buckets.iter().map(|b| b.bucket_id + 1).max().unwrap_or(0);
        let bucket_id = bucket.id.unwrap_or_else(next);
        let bucket = Bucket {
            bucket_id,
            weight: bucket.weight,
            watch_port: bucket.watch_port,
            watch_group: bucket.watch_group,
            actions: bucket.actions,
            ..Bucket::default()
        };
        self.buckets.push(bucket);
        // The first living one counts, by id.
        if self.kind == GroupKind::FastFailover {
            self.buckets.sort_by_key(|bucket| bucket.bucket_id);
        }
    }

    /// One bucket less.
    pub fn remove(&mut self, bucket: &tuplenet_rules::Bucket) {
        self.buckets.retain(|b| {
            b.actions != bucket.actions
                || b.watch_port != bucket.watch_port
                || b.watch_group != bucket.watch_group
                || b.weight != bucket.weight
                || bucket.id.is_some_and(|id| id != b.bucket_id)
        });
    }
}

/// Flows and groups, and what a switch knows beside them.
#[derive(Default)]
pub struct Switch {
    tables: FxHashMap<u8, Table>,
    groups: BTreeMap<u32, Group>,
    /// What a select group chooses by instead of the packet.
    hash: Option<u32>,
    /// Ports that are down.
    down: BTreeSet<u32>,
    tracker: connection::Tracker,
}

impl Switch {
    /// A switch with these flows and groups.
    pub fn new(flows: impl IntoIterator<Item = Flow>, groups: impl IntoIterator<Item = Group>) -> Switch {
        let mut switch = Switch::default();
        flows.into_iter().for_each(|flow| switch.insert(flow));
        groups.into_iter().for_each(|group| switch.insert_group(group));
        switch
    }

    /// Adds a flow, in the place of the one with its table, priority and match.
    pub fn insert(&mut self, flow: Flow) {
        self.tables.entry(flow.table).or_default().insert(flow);
    }

    /// Deletes the flow with that table, priority and match.
    pub fn remove(&mut self, table: u8, priority: u16, matching: &Match) {
        if let Some(flows) = self.tables.get_mut(&table) {
            flows.remove(priority, matching);
            if flows.is_empty() {
                self.tables.remove(&table);
            }
        }
    }

    /// Adds a group, in the place of the one with its id.
    pub fn insert_group(&mut self, group: Group) {
        self.groups.insert(group.id, group);
    }

    /// Deletes a group.
    pub fn remove_group(&mut self, id: u32) {
        self.groups.remove(&id);
    }

    /// A group.
    pub fn group(&self, id: u32) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// The same, to change its buckets.
    pub fn group_mut(&mut self, id: u32) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    /// All flows, in no order.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.tables.values().flat_map(Table::flows)
    }

    /// Which bucket a select group takes, whatever the packet: the one at this place, of as many as the weights of its living buckets make up, counted round.
    pub fn set_hash(&mut self, hash: u32) {
        self.hash = Some(hash);
    }

    /// Says that a port is up or down: what a bucket that watches it goes by. A port that nobody spoke of is up.
    pub fn set_port_up(&mut self, port: u32, up: bool) {
        if up {
            self.down.remove(&port);
        } else {
            self.down.insert(port);
        }
    }

    /// Forgets all connections that earlier packets began.
    pub fn forget_connections(&mut self) {
        self.tracker = connection::Tracker::default();
    }

    /// What becomes of a packet that enters the pipeline at a table.
    pub fn run(&mut self, packet: Packet, table: u8) -> Result<Run, Unsupported> {
        Machine::new(self, packet).enter(table)
    }

    /// What a packet-out does: these actions on a packet that claims to come from `in_port`.
    pub fn execute(&mut self, mut packet: Packet, in_port: u32, actions: &[Action]) -> Result<Run, Unsupported> {
        packet.set(field::IN_PORT, in_port);
        Machine::new(self, packet).execute(actions)
    }
}

#[cfg(test)]
mod tests;
