//! Cost follows the change: asserted by counted work, not by time.

use proptest::prelude::*;
use std::collections::BTreeSet;
use tuplenet_datalog::{Builder, Program, reach};

/// Rows that one step touches, and operators that it runs.
fn cost(program: &mut Program, change: impl FnOnce(&mut Program)) -> (u64, u64) {
    let before = program.counters();
    change(program);
    program.step();
    let after = program.counters();
    (after.rows_touched - before.rows_touched, after.operators_run - before.operators_run)
}

/// What one port more costs in a network of `size` ports: joins, a semijoin, an antijoin, a count, a set.
fn one_port_in(size: u32) -> (u64, u64) {
    let builder = Builder::new();
    let (ports_in, ports) = builder.input::<(u32, u32)>("port");
    let (bindings_in, bindings) = builder.input::<(u32, u32)>("binding");
    let (chassis_in, chassis) = builder.input::<(u32, u32)>("chassis");
    let (present_in, present) = builder.input::<u32>("present");
    let live = ports.index(|p| p.1).semijoin(&present.index(|n| *n)).index(|p| p.0);
    let bound = bindings.index(|b| b.0);
    let located = live.join(&bound, |_, p, b| (p.0, b.1)).index(|l| l.1);
    let out = located.join(&chassis.index(|c| c.0), |_, l, c| (l.0, c.1)).distinct().output();
    let unbound = live.antijoin(&bound).output();
    let counts = ports.count_by(|p| p.1).output();
    let mut program = builder.build();
    for id in 0..size {
        program.insert(ports_in, (id, id % 10));
        program.insert(bindings_in, (id, id % 10));
    }
    for id in 0..10 {
        program.insert(chassis_in, (id, id + 100));
        program.insert(present_in, id);
    }
    program.step();
    assert_eq!(program.drain(out).len(), size as usize);
    assert_eq!(program.drain(unbound), []);
    assert_eq!(program.drain(counts).len(), 10);
    let cost = cost(&mut program, |program| {
        program.insert(ports_in, (size, 3));
        program.insert(bindings_in, (size, 4));
    });
    assert_eq!(program.drain(out), [((size, 104), 1)]);
    cost
}

#[test]
fn a_row_costs_the_same_among_twenty_thousand_as_among_two_hundred() {
    let (rows, operators) = one_port_in(20_000);
    assert_eq!((rows, operators), one_port_in(200));
    assert!(rows <= 40, "{rows} rows for one port");
    assert!(operators <= 10, "{operators} operators for one port");
}

#[test]
fn a_step_runs_what_depends_on_the_change_however_many_rules_there_are() {
    let one_change = |rules: u32| {
        let builder = Builder::new();
        let (input, rows) = builder.input::<u32>("in");
        let (other_in, other) = builder.input::<u32>("other");
        let others = other.index(|r| *r);
        for rule in 0..rules {
            let _ = other.filter(move |r| r % (rule + 1) == 0).index(|r| *r).join(&others, |_, l, _| *l).distinct();
        }
        let _ = rows.distinct().index(|r| *r).join(&others, |_, l, _| *l).output();
        let mut program = builder.build();
        program.insert(other_in, 1);
        program.step();
        cost(&mut program, |program| program.insert(input, 1))
    };
    // The input, its store; 1,000 rules on the other input do not matter.
    assert_eq!(one_change(1_000), one_change(1));
    assert_eq!(one_change(1_000).1, 2);
}

#[test]
fn a_step_without_changes_does_nothing() {
    let builder = Builder::new();
    let (_, rows) = builder.input::<u32>("in");
    let _ = rows.distinct().output();
    let mut program = builder.build();
    assert_eq!(cost(&mut program, |_| ()), (0, 0));
}

#[test]
fn a_member_leaves_a_large_group_at_constant_cost() {
    let builder = Builder::new();
    let (members_in, members) = builder.input::<(u32, u32)>("member");
    let (rules_in, rules) = builder.input::<(u32, u32)>("rule");
    let by_group = members.index(|m| m.0);
    let used = by_group.semijoin(&rules.index(|r| r.0)).output();
    let mut program = builder.build();
    for n in 0..20_000 {
        program.insert(members_in, (1, n));
    }
    for n in 0..1_000 {
        program.insert(rules_in, (1, n));
    }
    program.step();
    assert_eq!(program.drain(used).len(), 20_000);
    for n in [0, 19_999, 7_000] {
        let (rows, _) = cost(&mut program, |program| program.remove(members_in, (1, n)));
        assert_eq!(program.drain(used), [((1, n), -1)]);
        assert!(rows <= 10, "{rows} rows for a member");
    }
    // One rule of many comes, goes, or is replaced: the group stays in use and is not looked at.
    let (rows, _) = cost(&mut program, |program| {
        program.remove(rules_in, (1, 0));
        program.insert(rules_in, (1, 5_000));
    });
    assert!(rows <= 10, "{rows} rows for a rule");
}

#[test]
fn a_row_that_replaces_the_only_one_of_its_key_does_not_withdraw_what_hangs_on_it() {
    let builder = Builder::new();
    let (ports_in, ports) = builder.input::<(u32, u32)>("port");
    let (chassis_in, chassis) = builder.input::<(u32, &str)>("chassis");
    let chassis = chassis.index(|c| c.0);
    let hosted = ports.index(|p| p.1).semijoin(&chassis).output();
    let lost = ports.index(|p| p.1).antijoin(&chassis).output();
    let mut program = builder.build();
    for id in 0..20_000 {
        program.insert(ports_in, (id, 1));
    }
    program.insert(chassis_in, (1, "old"));
    program.step();
    assert_eq!((program.drain(hosted).len(), program.drain(lost).len()), (20_000, 0));
    let (rows, _) = cost(&mut program, |program| {
        program.remove(chassis_in, (1, "old"));
        program.insert(chassis_in, (1, "new"));
    });
    assert!(rows <= 10, "{rows} rows for a chassis");
    assert_eq!((program.drain(hosted), program.drain(lost)), (vec![], vec![]));
}

#[test]
fn the_least_of_a_large_group_costs_the_logarithm() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<(u32, u32)>("in");
    let least = rows.min_by(|r| r.0, |r| r.1).output();
    let mut program = builder.build();
    for n in 0..20_000 {
        program.insert(input, (1, n));
    }
    program.step();
    assert_eq!(program.drain(least), [((1, 0), 1)]);
    for n in 0..100 {
        let (rows, _) = cost(&mut program, |program| program.remove(input, (1, n)));
        assert_eq!(program.drain(least), [((1, n), -1), ((1, n + 1), 1)]);
        // 20,000 rows make a tree of about 2 ln(20,000) = 20 levels on average.
        assert!(rows <= 200, "{rows} rows for the least one");
    }
}

#[test]
fn reduce_looks_at_the_group_that_changed_and_once() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<(u32, u32)>("in");
    let sums = rows.reduce(|r| r.0, |&k, group| [(k, group.iter().map(|(row, _)| row.1).max())]).output();
    let mut program = builder.build();
    for n in 0..20_000 {
        program.insert(input, (n / 20, n));
    }
    program.step();
    assert_eq!(program.drain(sums).len(), 1_000);
    let (rows, _) = cost(&mut program, |program| {
        program.insert(input, (7, 50_000));
        program.insert(input, (7, 50_001));
        program.remove(input, (7, 150));
    });
    assert_eq!(program.drain(sums), [((7, Some(159)), -1), ((7, Some(50_001)), 1)]);
    assert!(rows <= 20 + 20, "{rows} rows for one group of 20");
}

#[test]
fn reach_costs_what_is_affected() {
    let builder = Builder::new();
    let (roots_in, roots) = builder.input::<u32>("root");
    let (edges_in, edges) = builder.input::<(u32, u32)>("edge");
    let reached = reach(&roots, &edges).output();
    let mut program = builder.build();
    program.insert(roots_in, 0);
    // A chain of 10,000 nodes, each with one node more beside it.
    for n in 0..10_000 {
        program.insert(edges_in, (n, n + 1));
        program.insert(edges_in, (n, n + 100_000));
    }
    program.step();
    assert_eq!(program.drain(reached).len(), 20_001);
    let (rows, _) = cost(&mut program, |program| program.insert(edges_in, (9_000, 10)));
    assert!(rows <= 10, "{rows} rows for an edge between reached nodes");
    let (rows, _) = cost(&mut program, |program| program.remove(edges_in, (9_000, 10)));
    assert!(rows <= 10, "{rows} rows for an edge that was nobody's parent edge");
    let (rows, _) = cost(&mut program, |program| program.remove(edges_in, (5_000, 105_000)));
    assert!(rows <= 15, "{rows} rows for a leaf");
    assert_eq!(program.drain(reached), [(105_000, -1)]);
    let (rows, _) = cost(&mut program, |program| program.remove(edges_in, (9_990, 9_991)));
    assert_eq!(program.drain(reached).len(), 19);
    assert!(rows <= 200, "{rows} rows for the end of the chain");
}

#[test]
fn rows_that_go_leave_nothing_behind() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<(u32, u32)>("in");
    let index = rows.index(|r| r.0);
    let _ = index.join(&index, |_, l, r| (l.1, r.1)).distinct().output();
    let _ = rows.min_by(|r| r.0, |r| r.1).output();
    let _ = rows.count_by(|r| r.1).output();
    let _ = rows.reduce(|r| r.0, |_, group| [group.len()]).output();
    let mut program = builder.build();
    let turn_over = |program: &mut Program, numbers: std::ops::Range<u32>| {
        for n in numbers {
            program.insert(input, (n % 40, n));
            // One that comes and goes between the store's other changes in the same step.
            program.add_weight(input, (n % 40, n + 1), 1);
            program.add_weight(input, (n % 40, n + 1), -1);
            program.step();
            if n >= 100 {
                program.remove(input, ((n - 100) % 40, n - 100));
            }
        }
    };
    let bytes = |program: &Program| program.statistics().iter().map(|store| store.bytes).sum::<usize>();
    turn_over(&mut program, 0..1_000);
    let before = bytes(&program);
    turn_over(&mut program, 1_000..5_000);
    // Up to the places that hashes of new rows happen to take.
    assert!(bytes(&program) < before + before / 20, "{before} bytes grew to {}", bytes(&program));
    for n in 4_900..5_000 {
        program.remove(input, (n % 40, n));
    }
    program.step();
    // What is removed with the last step of the turn-over has gone by now too.
    assert_eq!(program.statistics().iter().map(|store| store.rows).sum::<usize>(), 0);
    assert!(program.statistics().iter().all(|store| store.groups.iter().all(|&groups| groups == 0)));
}

#[test]
fn rows_that_cancel_on_their_way_are_not_stored() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<u32>("in");
    let halves = rows.map(|r| r / 2).distinct().output();
    let mut program = builder.build();
    program.insert(input, 4);
    program.remove(input, 5);
    program.step();
    assert_eq!(program.drain(halves), []);
    assert_eq!(program.statistics().iter().map(|store| store.rows).sum::<usize>(), 0);
}

#[test]
fn a_program_that_ends_gives_back_all_rows() {
    let row = std::rc::Rc::new(7u32);
    let builder = Builder::new();
    let (input, rows) = builder.input::<std::rc::Rc<u32>>("in");
    // Joins whose two sides refer to each other in circles.
    let (by_value, by_half) = (rows.index(|r| **r), rows.distinct().index(|r| **r / 2));
    let _ = by_value.join(&by_half, |_, l, _| l.clone()).index(|r| **r).semijoin(&by_value).output();
    let _ = by_half.antijoin(&by_value).min_by(|r| **r, |r| **r).stored();
    let mut program = builder.build();
    program.insert(input, row.clone());
    program.step();
    assert!(std::rc::Rc::strong_count(&row) > 1);
    drop((rows, by_value, by_half, program));
    assert_eq!(std::rc::Rc::strong_count(&row), 1);
}

#[test]
fn counters_name_relations() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<u32>("rows");
    let _ = rows.map(|r| r + 1).named("next").distinct().named("set").output();
    let mut program = builder.build();
    program.insert(input, 1);
    program.insert(input, 2);
    program.step();
    let counters = program.counters();
    let named: Vec<(&str, u64)> = counters.relations.iter().map(|relation| (relation.name, relation.rows)).collect();
    assert_eq!(named, [("rows", 2), ("next", 2), ("set", 2)]);
    assert_eq!(counters.steps, 1);
    let statistics = program.statistics();
    assert_eq!(statistics.iter().map(|store| (store.name, store.rows)).collect::<Vec<_>>(), [(Some("set"), 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// Groups of hundreds of rows, against sorted sets: rings and trees are taken apart in every way.
    #[test]
    fn large_groups_hold_what_was_put_in(rows in prop::collection::vec((0..3u32, 0..400u32), 0..1_500)) {
        let builder = Builder::new();
        let (input, facts) = builder.input::<(u32, u32)>("in");
        let (ask_in, ask) = builder.input::<u32>("ask");
        let least = facts.min_by(|r| r.0, |r| r.1).stored();
        let group = facts.index(|r| r.0).join(&ask.index(|k| *k), |_, row, _| *row).output();
        let mut program = builder.build();
        let mut expected = BTreeSet::new();
        for (number, row) in rows.iter().enumerate() {
            if expected.insert(*row) {
                program.insert(input, *row);
            } else {
                expected.remove(row);
                program.remove(input, *row);
            }
            if number % 7 == 0 {
                program.step();
            }
        }
        program.step();
        let mut winners = Vec::new();
        program.scan(least, |row, _| winners.push(*row));
        for key in 0..3 {
            let wanted: Vec<(u32, u32)> = expected.iter().filter(|row| row.0 == key).copied().collect();
            let winner: Vec<_> = winners.iter().filter(|row| row.0 == key).collect();
            prop_assert_eq!(winner, wanted.first().into_iter().collect::<Vec<_>>());
            program.insert(ask_in, key);
            program.step();
            let mut found: Vec<(u32, u32)> = program.drain(group).into_iter().map(|(row, _)| row).collect();
            found.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
    }
}

/// A part that is taken out of a relation: the rest is what an antijoin gives, and nothing is kept for it.
#[test]
fn the_difference_of_a_relation_and_a_part_of_it_is_kept_nowhere() {
    let builder = Builder::new();
    let (input, facts) = builder.input::<(u32, u32)>("in");
    let (lost_in, lost) = builder.input::<u32>("lost");
    let by_key = facts.index(|row| row.0);
    let part = by_key.semijoin(&lost.index(|key| *key));
    let rest = facts.minus(&part).output();
    let expected = by_key.antijoin(&lost.index(|key| *key)).output();
    let mut program = builder.build();
    for id in 0..1_000 {
        program.insert(input, (id % 100, id));
    }
    program.insert(lost_in, 7);
    program.step();
    let sorted = |mut rows: Vec<((u32, u32), i64)>| {
        rows.sort_unstable();
        rows
    };
    let left = sorted(program.drain(rest));
    assert_eq!(left.len(), 990);
    assert_eq!(left, sorted(program.drain(expected)));
    program.insert(lost_in, 8);
    program.remove(lost_in, 7);
    program.remove(input, (7, 107));
    program.step();
    assert_eq!(sorted(program.drain(rest)), sorted(program.drain(expected)));
    let kept: usize = program.statistics().iter().map(|store| store.rows).sum();
    assert_eq!(kept, 999 + 1, "the facts and the one key that is lost");
}
