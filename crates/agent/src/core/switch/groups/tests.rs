//! Steps from what the switch has to what the rules want, by hand and by any history.

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
