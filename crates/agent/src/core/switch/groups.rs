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
mod tests {
    use super::*;

    use tuplenet_openflow::Action;
    use tuplenet_rules::Selection;

    fn to(port: u32) -> Content {
        Content::of(vec![Action::Output { port, max_len: 0 }])
    }

    /// One of those that a group chooses from.
    fn member(id: u32, watch_port: Option<u32>) -> Content {
        Content { id: Some(id), weight: Some(9), watch_port, ..to(id) }
    }

    const ALL: GroupForm = GroupForm::All;

    fn select() -> GroupForm {
        GroupForm::Select(Selection::five_tuple())
    }

    /// A switch that is too simple to be wrong.
    #[derive(Default)]
    struct Toy(BTreeMap<u32, (GroupForm, BTreeMap<u32, Content>)>);

    impl Toy {
        fn take(&mut self, (before, after): (Vec<Step>, Vec<Step>)) -> usize {
            let steps: Vec<Step> = before.into_iter().chain(after).collect();
            let count = steps.len();
            for step in steps {
                match step {
                    Step::Add(id, form, buckets) => {
                        let made = (form, buckets.into_iter().collect());
                        assert!(self.0.insert(id, made).is_none(), "group {id} exists")
                    }
                    Step::Replace(id, form, buckets) => {
                        let made = (form, buckets.into_iter().collect());
                        assert!(self.0.insert(id, made).is_some(), "no group {id}")
                    }
                    Step::Insert(id, form, buckets) => {
                        let (is, group) = self.0.get_mut(&id).expect("insert into a group that exists");
                        assert_eq!(*is, form);
                        for (bucket, actions) in buckets {
                            assert!(group.insert(bucket, actions).is_none(), "bucket {bucket} exists");
                        }
                    }
                    Step::Remove(id, bucket) => {
                        assert!(
                            self.0.get_mut(&id).is_some_and(|(_, g)| g.remove(&bucket).is_some()),
                            "no bucket {bucket} in {id}"
                        );
                    }
                    Step::Delete(id) => assert!(self.0.remove(&id).is_some(), "no group {id}"),
                }
            }
            count
        }
        fn report(&self) -> Vec<Reported> {
            let buckets = |g: &BTreeMap<u32, Content>| g.iter().map(|(id, a)| (*id, a.clone())).collect();
            let group = |(id, (form, g)): (&u32, &(GroupForm, _))| Reported {
                id: *id,
                form: Some(form.clone()),
                buckets: buckets(g),
            };
            self.0.iter().map(group).collect()
        }
        fn content(&self) -> BTreeMap<u32, Vec<String>> {
            let text = |g: &BTreeMap<u32, Content>| {
                let mut all: Vec<String> = g.values().map(|a| format!("{a:?}")).collect();
                all.sort();
                all
            };
            self.0.iter().map(|(id, (_, g))| (*id, text(g))).collect()
        }
    }

    #[test]
    fn members_come_and_go_one_step_each_and_a_restart_takes_none() {
        let (mut groups, mut toy) = (Groups::default(), Toy::default());
        groups.change(GroupChange::Add(7, ALL));
        (1..=3).for_each(|p| groups.change(GroupChange::InsertBucket(7, to(p))));
        assert_eq!(toy.take(groups.flush()), 1);
        groups.change(GroupChange::RemoveBucket(7, to(2)));
        groups.change(GroupChange::InsertBucket(7, to(4)));
        assert_eq!(toy.take(groups.flush()), 2);
        assert!(!groups.is_dirty());

        let mut restarted = Groups::default();
        restarted.fill([Wanted { id: 7, form: ALL, buckets: vec![to(4), to(3), to(1)] }].into_iter());
        assert_eq!(restarted.adopt(&toy.report()), 0);
        assert_eq!(toy.take(restarted.flush()), 0);
        restarted.change(GroupChange::InsertBucket(7, to(9)));
        assert_eq!(toy.take(restarted.flush()), 1);
        restarted.change(GroupChange::Delete(7));
        toy.take(restarted.flush());
        assert!(toy.0.is_empty());
    }

    #[test]
    fn a_group_that_comes_back_before_it_was_deleted_is_not_deleted() {
        let (mut groups, mut toy) = (Groups::default(), Toy::default());
        groups.change(GroupChange::Add(1, ALL));
        groups.change(GroupChange::InsertBucket(1, to(1)));
        toy.take(groups.flush());
        groups.change(GroupChange::Delete(1));
        groups.change(GroupChange::Add(1, ALL));
        groups.change(GroupChange::InsertBucket(1, to(2)));
        let (before, after) = groups.flush();
        assert!(after.is_empty(), "{after:?}");
        toy.take((before, after));
        assert_eq!(toy.content().get(&1), Some(&vec![format!("{:?}", to(2))]));
    }

    #[test]
    fn foreign_content_is_replaced_and_a_refused_group_waits() {
        let mut toy = Toy::default();
        toy.0.insert(5, (ALL, [(1, to(1)), (2, to(1)), (3, to(8))].into()));
        toy.0.insert(6, (ALL, BTreeMap::new()));
        let mut groups = Groups::default();
        groups.fill([Wanted { id: 5, form: ALL, buckets: vec![to(1), to(2)] }].into_iter());
        assert_eq!(groups.adopt(&toy.report()), 1, "group 6; of group 5 nothing was believed");
        toy.take(groups.flush());
        assert_eq!(toy.content(), [(5, vec![format!("{:?}", to(1)), format!("{:?}", to(2))])].into());
        groups.change(GroupChange::InsertBucket(5, to(3)));
        assert!(groups.set_aside(5), "news");
        assert!(!groups.is_dirty());
        assert_eq!(groups.refused(), 1);
        groups.retry();
        assert!(groups.is_dirty());
        assert!(!groups.set_aside(5), "said before");
        groups.change(GroupChange::InsertBucket(5, to(4)));
        assert!(groups.set_aside(5), "the rules changed it since");
    }

    #[test]
    fn a_member_that_is_watched_otherwise_keeps_its_id() {
        let (mut groups, mut toy) = (Groups::default(), Toy::default());
        groups.change(GroupChange::Add(4, select()));
        (1..=3).for_each(|id| groups.change(GroupChange::InsertBucket(4, member(id, None))));
        assert_eq!(toy.take(groups.flush()), 1);
        groups.change(GroupChange::InsertBucket(4, member(2, Some(7))));
        groups.change(GroupChange::RemoveBucket(4, member(2, None)));
        assert_eq!(toy.take(groups.flush()), 2, "out and in");
        let held = toy.0.get(&4).map(|(_, g)| g.clone());
        assert_eq!(held, Some([(1, member(1, None)), (2, member(2, Some(7))), (3, member(3, None))].into()));

        let mut restarted = Groups::default();
        let buckets = vec![member(1, None), member(2, Some(7)), member(3, None)];
        restarted.fill([Wanted { id: 4, form: select(), buckets }].into_iter());
        assert_eq!(restarted.adopt(&toy.report()), 0);
        assert_eq!(toy.take(restarted.flush()), 0);
        restarted.change(GroupChange::Change(4, GroupForm::Select(Selection::default())));
        assert_eq!(toy.take(restarted.flush()), 1, "another form is one message");
        assert!(!restarted.is_dirty());
    }

    #[test]
    fn where_the_order_counts_a_group_is_replaced() {
        let (mut groups, mut toy) = (Groups::default(), Toy::default());
        groups.change(GroupChange::Add(4, GroupForm::FastFailover));
        let bucket = |id| Content { weight: None, ..member(id, Some(id)) };
        [1, 3].into_iter().for_each(|id| groups.change(GroupChange::InsertBucket(4, bucket(id))));
        toy.take(groups.flush());
        groups.change(GroupChange::InsertBucket(4, bucket(2)));
        let steps = groups.flush();
        let all = [1, 2, 3].map(|id| (id, bucket(id))).to_vec();
        assert_eq!(steps.0, [Step::Replace(4, GroupForm::FastFailover, all)]);
        toy.take(steps);
        assert_eq!(groups.adopt(&toy.report()), 0);
    }

    #[test]
    fn any_history_ends_where_the_rules_want_it() {
        use proptest::prelude::*;
        let ops = proptest::collection::vec((0u8..6, 0u32..3, 0u32..5), 0..60);
        proptest!(ProptestConfig::with_cases(200), |(ops in ops)| {
            let (mut groups, mut toy) = (Groups::default(), Toy::default());
            let mut truth: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for (op, id, port) in ops {
                match op {
                    0 => if truth.insert(id, BTreeSet::new()).is_none() { groups.change(GroupChange::Add(id, ALL)) } else {
                        truth.remove(&id);
                        groups.change(GroupChange::Delete(id));
                    },
                    1 | 2 => if let Some(group) = truth.get_mut(&id) {
                        group.insert(port);
                        groups.change(GroupChange::InsertBucket(id, to(port)));
                    },
                    3 => if let Some(group) = truth.get_mut(&id) {
                        group.remove(&port);
                        groups.change(GroupChange::RemoveBucket(id, to(port)));
                    },
                    4 => { toy.take(groups.flush()); },
                    _ => { groups.adopt(&toy.report()); },
                }
            }
            toy.take(groups.flush());
            let want: BTreeMap<u32, Vec<String>> = truth.iter().map(|(id, g)| {
                let mut all: Vec<String> = g.iter().map(|p| format!("{:?}", to(*p))).collect();
                all.sort();
                (*id, all)
            }).collect();
            prop_assert_eq!(toy.content(), want);
            prop_assert!(!groups.is_dirty());
        });
    }
}
