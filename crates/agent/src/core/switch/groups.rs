//! Groups: what should be in the switch, what is there, and the steps that turn the second into the first.
//!
//! The rules know buckets by content; the switch knows them by id. Where the rules leave the id open, it is given here, and those that a switch holds already are
//! adopted, so that a restart of the agent touches no group. A group is never deleted and added again to change it: deleting a group deletes the flows that
//! use it (OpenFlow 1.5.1, section 6.7).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use tuplenet_rules::{Bucket as Content, Group as Wanted, GroupChange, GroupForm};

/// How many buckets go into one message: OpenFlow messages end at 64 KiB, and a bucket of ours has well under 300 bytes.
const BUCKETS_A_MESSAGE: usize = 200;
/// The largest bucket id (OpenFlow 1.5.1, section 7.3.4.2: above are wildcards).
const MAX_BUCKET_ID: u32 = 0xffff_ff00;

/// A bucket: its id in the switch and what it is.
pub type Bucket = (u32, Content);

/// A group as the switch reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its id.
    pub id: u32,
    /// What it does with a packet; `None`: something that we use no group for.
    pub form: Option<GroupForm>,
    /// Its buckets, in their order, as the switch tells them: with a weight and an id also where these mean nothing.
    pub buckets: Vec<Bucket>,
}

impl Reported {
    /// Its buckets as the rules would say them.
    fn contents(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.buckets.iter().map(|(id, content)| {
            let actions = super::normal::actions(&content.actions).into_owned();
            let content = match self.form {
                Some(GroupForm::Select(_)) => Content { id: Some(*id), actions, ..content.clone() },
                Some(GroupForm::FastFailover) => Content { id: Some(*id), weight: None, actions, ..content.clone() },
                Some(GroupForm::All) | None => Content::of(actions),
            };
            (*id, content)
        })
    }
}

/// One message about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new group with its first buckets.
    Add(u32, GroupForm, Vec<Bucket>),
    /// The group gets this form and exactly these buckets.
    Replace(u32, GroupForm, Vec<Bucket>),
    /// More buckets, for a group of this form.
    Insert(u32, GroupForm, Vec<Bucket>),
    /// One bucket less, by its id.
    Remove(u32, u32),
    /// No such group any more.
    Delete(u32),
}

impl Step {
    /// Which group.
    pub fn group(&self) -> u32 {
        match self {
            Step::Add(id, ..)
            | Step::Replace(id, ..)
            | Step::Insert(id, ..)
            | Step::Remove(id, _)
            | Step::Delete(id) => *id,
        }
    }
}

#[derive(Debug, Default)]
struct Group {
    wanted: Option<GroupForm>,
    installed: bool,
    /// Which it has in the switch.
    form: Option<GroupForm>,
    /// Why the switch refused it; then it waits for a change or for another try.
    refused: bool,
    /// That it did so was said already.
    told: bool,
    buckets: HashMap<Content, State>,
    /// Ids in the switch of buckets that repeat another's content.
    strays: BTreeSet<u32>,
    last_id: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    id: u32,
    wanted: bool,
    installed: bool,
}

impl Group {
    /// Ids grow, so that one is not used again while a bundle that frees it is on its way. At the end of the range they begin again.
    fn next_id(&mut self) -> u32 {
        let end = self.last_id >= MAX_BUCKET_ID;
        self.last_id = if end { 1 } else { self.last_id + 1 };
        while end && (self.strays.contains(&self.last_id) || self.buckets.values().any(|b| b.id == self.last_id)) {
            self.last_id += 1;
        }
        self.last_id
    }
    fn want(&mut self, content: Content) {
        if let Some(state) = self.buckets.get_mut(&content) {
            state.wanted = true;
            return;
        }
        let id = content.id.unwrap_or_else(|| self.next_id());
        self.buckets.insert(content, State { id, wanted: true, installed: false });
    }
    fn wrong_form(&self) -> bool {
        self.installed && self.wanted.is_some() && self.form != self.wanted
    }
}

/// All groups. See the module.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<u32, Group>,
    dirty: BTreeSet<u32>,
}

impl Groups {
    /// What the rules want from now on, whatever was wanted before.
    pub fn fill(&mut self, wanted: impl Iterator<Item = Wanted>) {
        for group in self.groups.values_mut() {
            group.wanted = None;
            group.buckets.values_mut().for_each(|b| b.wanted = false);
        }
        for Wanted { id, form, buckets } in wanted {
            let group = self.groups.entry(id).or_default();
            group.wanted = Some(form);
            buckets.into_iter().for_each(|b| group.want(b));
        }
        self.dirty.extend(self.groups.keys());
    }

    /// One change by the rules.
    pub fn change(&mut self, change: GroupChange) {
        let id = match &change {
            GroupChange::Add(id, _) | GroupChange::Change(id, _) | GroupChange::Delete(id) => *id,
            GroupChange::InsertBucket(id, _) | GroupChange::RemoveBucket(id, _) => *id,
        };
        if let GroupChange::Delete(_) = change {
            if let Some(group) = self.groups.get_mut(&id) {
                group.wanted = None;
                group.refused = false;
                group.buckets.values_mut().for_each(|b| b.wanted = false);
                self.dirty.insert(id);
            }
            return;
        }
        let group = self.groups.entry(id).or_default();
        group.refused = false;
        group.told = false;
        match change {
            GroupChange::Add(_, form) | GroupChange::Change(_, form) => group.wanted = Some(form),
            GroupChange::InsertBucket(_, content) => group.want(content),
            GroupChange::RemoveBucket(_, content) => {
                if let Some(state) = group.buckets.get_mut(&content) {
                    state.wanted = false;
                }
            }
            GroupChange::Delete(_) => {}
        }
        self.dirty.insert(id);
    }

    /// What the switch holds, whatever was believed before. Gives how many groups differ from what was believed.
    pub fn adopt(&mut self, reported: &[Reported]) -> usize {
        let pending: BTreeSet<u32> = self.groups.iter().filter(|(_, g)| differs(g)).map(|(id, _)| *id).collect();
        for group in self.groups.values_mut() {
            group.installed = false;
            group.form = None;
            group.strays.clear();
            group.buckets.values_mut().for_each(|b| b.installed = false);
        }
        for report in reported {
            let group = self.groups.entry(report.id).or_default();
            group.installed = true;
            group.form = report.form.clone();
            for (id, content) in report.contents() {
                if content.id.is_none() {
                    group.last_id = group.last_id.max(id);
                }
                let state = group.buckets.entry(content).or_default();
                if state.installed {
                    group.strays.insert(id);
                } else {
                    *state = State { id, installed: true, ..*state };
                }
            }
        }
        for group in self.groups.values_mut() {
            group.buckets.retain(|_, b| b.wanted || b.installed);
            // An id that we had in mind may be taken in the switch by a bucket that we did not know.
            let taken: BTreeSet<u32> = group
                .buckets
                .values()
                .filter(|b| b.installed)
                .map(|b| b.id)
                .chain(group.strays.iter().copied())
                .collect();
            let open = |content: &Content| content.id.is_none();
            let ids = group.buckets.iter().filter(|(content, _)| open(content)).map(|(_, state)| state.id);
            let mut last = group.last_id.max(ids.max().unwrap_or(0));
            let clash = |state: &State| !state.installed && taken.contains(&state.id);
            for (_, state) in group.buckets.iter_mut().filter(|(content, state)| open(content) && clash(state)) {
                last += 1;
                state.id = last;
            }
            group.last_id = last;
        }
        self.groups.retain(|_, g| g.wanted.is_some() || g.installed || !g.buckets.is_empty());
        self.dirty = self.groups.keys().copied().filter(|id| self.groups.get(id).is_some_and(differs)).collect();
        self.dirty.difference(&pending).count()
    }

    /// Whether there is something to send.
    pub fn is_dirty(&self) -> bool {
        self.dirty.iter().any(|id| self.groups.get(id).is_some_and(|g| !g.refused && differs(g)))
    }

    /// The steps that make the switch right: those to take before flows change, and those after. From here on the switch is believed to have
    /// taken them; if it did not, [`Groups::adopt`] what it holds.
    pub fn flush(&mut self) -> (Vec<Step>, Vec<Step>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let dirty = std::mem::take(&mut self.dirty);
        for id in dirty {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.refused {
                continue;
            }
            let Some(form) = group.wanted.clone() else {
                if group.installed {
                    after.push(Step::Delete(id));
                }
                self.groups.remove(&id);
                continue;
            };
            // Where the order of the buckets counts, they are few.
            let anew = group.wrong_form() || form == GroupForm::FastFailover && differs(group);
            if !group.installed || anew {
                let all: Vec<Bucket> =
                    group.buckets.iter().filter(|(_, b)| b.wanted).map(|(a, b)| (b.id, a.clone())).collect();
                let mut chunks = in_order(all);
                let first = if chunks.is_empty() { Vec::new() } else { chunks.remove(0) };
                let replace = group.installed;
                before.push(match replace {
                    true => Step::Replace(id, form.clone(), first),
                    false => Step::Add(id, form.clone(), first),
                });
                before.extend(chunks.into_iter().map(|chunk| Step::Insert(id, form.clone(), chunk)));
            } else {
                let new: Vec<Bucket> = group
                    .buckets
                    .iter()
                    .filter(|(_, b)| b.wanted && !b.installed)
                    .map(|(a, b)| (b.id, a.clone()))
                    .collect();
                let old = group.buckets.values().filter(|b| b.installed && !b.wanted).map(|b| b.id);
                let mut old: BTreeSet<u32> = old.chain(group.strays.iter().copied()).collect();
                // What takes the place of another under its id.
                let given: BTreeSet<u32> = new.iter().map(|(id, _)| *id).filter(|id| old.contains(id)).collect();
                old.retain(|bucket| !given.contains(bucket));
                before.extend(given.iter().map(|bucket| Step::Remove(id, *bucket)));
                before.extend(in_order(new).into_iter().map(|chunk| Step::Insert(id, form.clone(), chunk)));
                before.extend(old.iter().map(|bucket| Step::Remove(id, *bucket)));
            }
            group.form = Some(form);
            group.installed = true;
            group.strays.clear();
            group.buckets.retain(|_, b| b.wanted);
            group.buckets.values_mut().for_each(|b| b.installed = true);
        }
        (before, after)
    }

    /// The switch refused a step about this group: it is left as it is until the rules change it or [`Groups::retry`]. Gives true if this is news.
    pub fn set_aside(&mut self, id: u32) -> bool {
        let Some(group) = self.groups.get_mut(&id) else { return true };
        group.refused = true;
        !std::mem::replace(&mut group.told, true)
    }

    /// Tries again what was refused.
    pub fn retry(&mut self) {
        for (id, group) in &mut self.groups {
            if std::mem::take(&mut group.refused) {
                self.dirty.insert(*id);
            }
        }
    }

    /// How many are wanted.
    pub fn len(&self) -> usize {
        self.groups.values().filter(|g| g.wanted.is_some()).count()
    }

    /// How many are set aside.
    pub fn refused(&self) -> usize {
        self.groups.values().filter(|g| g.refused).count()
    }
}

fn differs(group: &Group) -> bool {
    group.wanted.is_some() != group.installed
        || group.wrong_form()
        || !group.strays.is_empty()
        || group.buckets.values().any(|b| b.wanted != b.installed)
}

/// By id, so that the messages are the same for the same cause, in pieces that fit a message.
fn in_order(mut buckets: Vec<Bucket>) -> Vec<Vec<Bucket>> {
    buckets.sort_by_key(|(id, _)| *id);
    buckets.chunks(BUCKETS_A_MESSAGE).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests;
