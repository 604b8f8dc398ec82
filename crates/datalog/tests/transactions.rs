//! The same changes, in any order and cut into any transactions, give the same results: those of the definitions.
//!
//! Weights are any here, negative ones included (a row that is removed before it is inserted), and the expected results
//! are computed by the definitions of DBSP over plain maps, too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tuplenet_datalog::{Builder, Output, Program, Row, reach};

type Pair = (u8, u8);
type Bag<T> = BTreeMap<T, i64>;

fn add<T: Ord + Clone>(bag: &mut Bag<T>, row: T, weight: i64) {
    let sum = bag.entry(row.clone()).or_insert(0);
    *sum += weight;
    if *sum == 0 {
        bag.remove(&row);
    }
}

/// All results of one run.
#[derive(Default, PartialEq, Debug)]
struct Results {
    join: Bag<(u8, u8, u8)>,
    square: Bag<(u8, u8, u8)>,
    same: Bag<(u8, u8, u8)>,
    semi: Bag<Pair>,
    anti: Bag<Pair>,
    inner: Bag<Pair>,
    set: Bag<Pair>,
    set_semi: Bag<Pair>,
    set_join: Bag<(u8, u8, u8)>,
    counted: Bag<(u8, i64)>,
    total: Bag<(u8, i64)>,
    least: Bag<Pair>,
    winner: Bag<u8>,
    reached: Bag<u8>,
    flat: Bag<u8>,
}

fn expected(a: &Bag<Pair>, b: &Bag<Pair>) -> Results {
    let mut r = Results::default();
    let key_weight = |bag: &Bag<Pair>, key: u8| bag.iter().filter(|(row, _)| row.0 == key).map(|(_, w)| w).sum::<i64>();
    let set: Bag<Pair> = a.iter().filter(|(_, w)| **w > 0).map(|(row, _)| (*row, 1)).collect();
    for (&(x, y), &w) in a {
        for (&(y2, z), &w2) in b {
            if y == y2 {
                add(&mut r.join, (x, y, z), w * w2);
            }
        }
        for (&(x2, y2), &w2) in a {
            if y == x2 {
                add(&mut r.square, (x, y, y2), w * w2);
            }
            if x == x2 {
                add(&mut r.same, (x, y, y2), w * w2);
            }
        }
        let found = key_weight(b, y) > 0;
        add(if found { &mut r.semi } else { &mut r.anti }, (x, y), w);
        if key_weight(a, y) > 0 {
            add(&mut r.inner, (x, y), w);
        }
        for value in [x, y] {
            add(&mut r.flat, value, w);
        }
    }
    for (&(x, y), &w) in &set {
        if set.keys().any(|row| row.0 == y) {
            add(&mut r.set_semi, (x, y), w);
        }
        for &(x2, y2) in set.keys() {
            if y == x2 {
                add(&mut r.set_join, (x, y, y2), 1);
            }
        }
        match r.least.keys().find(|row| row.0 == x).copied() {
            Some(least) if least.1 <= y => {}
            other => {
                other.map(|row| r.least.remove(&row));
                r.least.insert((x, y), 1);
            }
        }
    }
    for key in 0..=u8::MAX {
        let rows: Vec<(&Pair, &i64)> = a.iter().filter(|(row, _)| row.0 == key).collect();
        if !rows.is_empty() {
            add(&mut r.total, (key, rows.iter().map(|(row, w)| i64::from(row.1) * **w).sum()), 1);
        }
        if key_weight(a, key) != 0 {
            add(&mut r.counted, (key, key_weight(a, key)), 1);
        }
        // Which of the equals wins is not defined, that exactly one does is.
        if set.keys().any(|row| row.1 == key) {
            r.winner.insert(key, 1);
        }
    }
    let mut waiting: Vec<u8> = (0..=u8::MAX).filter(|&node| key_weight(b, node) > 0).collect();
    while let Some(node) = waiting.pop() {
        if r.reached.insert(node, 1).is_none() {
            waiting.extend(set.keys().filter(|row| row.0 == node).map(|row| row.1));
        }
    }
    r.set = set;
    r
}

#[derive(Clone, Copy, Debug)]
struct Change {
    to_a: bool,
    row: Pair,
    weight: i64,
}

fn collect<T: Row + Ord>(program: &mut Program, output: Output<T>, bag: &mut Bag<T>) {
    let mut seen = BTreeSet::new();
    for (row, weight) in program.drain(output) {
        assert!(weight != 0 && seen.insert(row.clone()), "{row:?} comes with weight {weight} or twice");
        add(bag, row, weight);
    }
}

/// Runs the changes in the given transactions; drains every `drain_every` steps and at the end.
fn run(transactions: &[Vec<Change>], drain_every: usize) -> (Results, Bag<Pair>) {
    let builder = Builder::new();
    let (a_in, a) = builder.input::<Pair>("a");
    let (b_in, b) = builder.input::<Pair>("b");
    let (a_0, a_1, b_0) = (a.index(|r| r.0), a.index(|r| r.1), b.index(|r| r.0));
    let distinct = a.distinct();
    let (set_0, set_1) = (distinct.index(|r| r.0), distinct.index(|r| r.1));
    let join = a_1.join(&b_0, |_, a, b| (a.0, a.1, b.1)).output();
    let square = a_1.join(&a_0, |_, l, r| (l.0, l.1, r.1)).output();
    let same = a_0.join(&a_0, |_, l, r| (l.0, l.1, r.1)).output();
    let semi = a_1.semijoin(&b_0).output();
    let anti = a_1.antijoin(&b_0).output();
    let inner = a_1.semijoin(&a_0).output();
    let set = distinct.output();
    let set_semi = set_1.semijoin(&set_0).output();
    let set_join = set_1.join(&set_0, |_, l, r| (l.0, l.1, r.1)).output();
    let counted = a.count_by(|r| r.0).output();
    let totals = a.reduce(|r| r.0, |&k, rows| [(k, rows.iter().map(|(row, w)| i64::from(row.1) * w).sum::<i64>())]);
    let total = totals.output();
    let least = a.min_by(|r| r.0, |r| r.1).output();
    let winners = a.min_by(|r| r.1, |_| ());
    let (winner, winner_rows) = (winners.map(|r| r.1).output(), winners.output());
    let reached = reach(&b.map(|r| r.0), &a).output();
    let flat = a.flat_map(|r| [r.0, r.1]).output();
    let stored = a.stored();
    let mut program = builder.build();
    let mut r = Results::default();
    let mut chosen = Bag::new();
    for (number, transaction) in transactions.iter().enumerate() {
        for change in transaction {
            program.add_weight(if change.to_a { a_in } else { b_in }, change.row, change.weight);
        }
        program.step();
        if number % drain_every == 0 || number + 1 == transactions.len() {
            collect(&mut program, join, &mut r.join);
            collect(&mut program, square, &mut r.square);
            collect(&mut program, same, &mut r.same);
            collect(&mut program, semi, &mut r.semi);
            collect(&mut program, anti, &mut r.anti);
            collect(&mut program, inner, &mut r.inner);
            collect(&mut program, set, &mut r.set);
            collect(&mut program, set_semi, &mut r.set_semi);
            collect(&mut program, set_join, &mut r.set_join);
            collect(&mut program, counted, &mut r.counted);
            collect(&mut program, total, &mut r.total);
            collect(&mut program, least, &mut r.least);
            collect(&mut program, winner, &mut r.winner);
            collect(&mut program, winner_rows, &mut chosen);
            collect(&mut program, reached, &mut r.reached);
            collect(&mut program, flat, &mut r.flat);
        }
    }
    let mut a = Bag::new();
    program.scan(stored, |row, weight| add(&mut a, *row, weight));
    let mut expected_a = Bag::new();
    for change in transactions.iter().flatten().filter(|change| change.to_a) {
        add(&mut expected_a, change.row, change.weight);
    }
    assert_eq!(a, expected_a, "rows that the store lists");
    (r, chosen)
}

/// Cuts the changes, in an order given by `seed`, into transactions of 1 to `most` changes.
fn cut(changes: &[Change], mut seed: u64, most: usize) -> Vec<Vec<Change>> {
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut rest = changes.to_vec();
    let mut transactions = vec![Vec::new()];
    while !rest.is_empty() {
        let mut transaction = Vec::new();
        for _ in 0..(1 + next() % most).min(rest.len()) {
            transaction.push(rest.swap_remove(next() % rest.len()));
        }
        transactions.push(transaction);
    }
    transactions
}

fn change() -> impl Strategy<Value = Change> {
    let weight = prop_oneof![4 => Just(1i64), 4 => Just(-1i64), 1 => Just(2i64), 1 => Just(-2i64), 1 => Just(3i64)];
    (prop::bool::weighted(0.7), (0..5u8, 0..5u8), weight).prop_map(|(to_a, row, weight)| Change { to_a, row, weight })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_cut_do_not_matter(changes in prop::collection::vec(change(), 0..60), seed: u64) {
        let (mut a, mut b) = (Bag::new(), Bag::new());
        for change in &changes {
            add(if change.to_a { &mut a } else { &mut b }, change.row, change.weight);
        }
        let expected = expected(&a, &b);
        let (squashed, chosen) = run(std::slice::from_ref(&changes), 1);
        prop_assert_eq!(&squashed, &expected);
        for (number, most) in [1, 1, 3, 10, 30].into_iter().enumerate() {
            let (split, split_chosen) = run(&cut(&changes, seed ^ number as u64, most), number + 1);
            prop_assert_eq!(&split, &expected, "at most {} changes a transaction", most);
            prop_assert_eq!(&split_chosen, &chosen, "among equals the same row wins");
        }
    }
}

#[test]
fn what_cancels_within_a_step_touches_nothing() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<u32>("rows");
    let output = rows.distinct().output();
    let mut program = builder.build();
    program.insert(input, 1);
    program.remove(input, 1);
    program.step();
    assert_eq!(program.drain(output), []);
    assert_eq!(program.counters().rows_touched, 0);
}

#[test]
fn a_removal_ahead_of_its_insertion_is_made_up_for() {
    let builder = Builder::new();
    let (input, rows) = builder.input::<u32>("rows");
    let output = rows.distinct().output();
    let mut program = builder.build();
    program.remove(input, 1);
    program.step();
    program.insert(input, 1);
    program.step();
    assert_eq!(program.drain(output), []);
    program.insert(input, 1);
    program.step();
    assert_eq!(program.drain(output), [(1, 1)]);
}
