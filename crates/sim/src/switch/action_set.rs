//! An action set: whatever order its actions were written in, they run in the order of OpenFlow (1.5.1, 5.6), one of a kind. Buckets of groups are
//! action sets as well.

use tuplenet_openflow::{Action, action::SetField};

/// The actions in the order in which they run, as Open vSwitch has it (`ofpacts_execute_action_set`). `Err`: the first that no action set runs.
pub(super) fn in_order(set: &[Action]) -> Result<Vec<Action>, &Action> {
    // Of these, the last of a kind counts.
    let slots: [fn(&Action) -> bool; 9] = [
        |a| matches!(a, Action::PopVlan),
        |a| matches!(a, Action::PopMpls(_)),
        |a| matches!(a, Action::Decap(_)),
        |a| matches!(a, Action::Encap(_)),
        |a| matches!(a, Action::PushMpls(_)),
        |a| matches!(a, Action::PushVlan(_)),
        |a| matches!(a, Action::DecTtl | Action::DecTtlIds(_)),
        |a| matches!(a, Action::DecMplsTtl),
        |a| matches!(a, Action::DecNshTtl),
    ];
    let is_set = |a: &Action| {
        matches!(a, Action::SetField(SetField { .. }) | Action::Move { .. } | Action::SetTtl(_) | Action::SetMplsTtl(_))
    };
    let is_queue = |a: &Action| matches!(a, Action::SetQueue(_) | Action::PopQueue);
    // Of these, the last of the highest kind counts, and without one nothing runs at all.
    let finals: [fn(&Action) -> bool; 5] = [
        |a| matches!(a, Action::Group(_)),
        |a| matches!(a, Action::Output { .. }),
        |a| matches!(a, Action::Resubmit { .. }),
        |a| matches!(a, Action::CtClear),
        |a| matches!(a, Action::Ct(_)),
    ];
    let known = |a: &&Action| slots.iter().any(|is| is(a)) || is_set(a) || is_queue(a) || finals.iter().any(|is| is(a));
    if let Some(other) = set.iter().find(|a| !known(a)) {
        return Err(other);
    }
    let last = |is: &dyn Fn(&Action) -> bool| set.iter().rev().find(|a| is(a));
    let Some(end) = finals.iter().find_map(|is| last(is)) else { return Ok(Vec::new()) };
    let first = slots.iter().filter_map(|is| last(is));
    let sets = set.iter().filter(|a| is_set(a));
    Ok(first.chain(sets).chain(last(&is_queue)).chain([end]).cloned().collect())
}
