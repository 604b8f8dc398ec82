//! Every operator against `ascent`, which computes the same rules anew from the facts after each transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ascent::aggregators::{count, min, sum};
use ascent::ascent;
use proptest::prelude::*;
use tuplenet_datalog::{Builder, Input, Output, Program, Row, reach};

ascent! {
    /// The rules as ascent writes them. `a` and `b` are the facts of pairs, `root` those of nodes.
    struct Oracle;
    relation a(u8, u8);
    relation b(u8, u8);
    relation root(u8);

    relation join(u8, u8, u8);
    join(x, y, z) <-- a(x, y), b(y, z);
    // One relation on both sides, by different keys.
    relation square(u8, u8, u8);
    square(x, y, z) <-- a(x, y), a(y, z);
    // One index on both sides.
    relation same(u8, u8, u8);
    same(x, y, z) <-- a(x, y), a(x, z);
    relation semi(u8, u8);
    semi(x, y) <-- a(x, y), b(y, _);
    relation anti(u8, u8);
    anti(x, y) <-- a(x, y), !b_start(y);
    relation b_start(u8);
    b_start(x) <-- b(x, _);
    // Keys and rows of one relation.
    relation a_start(u8);
    a_start(x) <-- a(x, _);
    relation inner(u8, u8);
    inner(x, y) <-- a(x, y), a_start(y);
    relation outer(u8, u8);
    outer(x, y) <-- a(x, y), !a_start(y);
    // One relation along two ways into one join.
    relation diamond(u8, u8, u8);
    diamond(x, y, z) <-- a(x, y), if x <= y, a(x, z), if x > z;
    // Both sides of a union from one relation, and another.
    relation undirected(u8, u8);
    undirected(x, y) <-- a(x, y);
    undirected(y, x) <-- a(x, y);
    undirected(x, y) <-- b(x, y);
    relation counted(u8, usize);
    counted(x, n) <-- a_start(x), agg n = count() in a(x, _);
    relation least(u8, u8);
    least(x, y) <-- a_start(x), agg y = min(y) in a(x, y);
    relation total(u8, u8);
    total(x, s) <-- a_start(x), agg s = sum(y) in a(x, y);
    relation reached(u8);
    reached(x) <-- root(x);
    reached(y) <-- reached(x), a(x, y);
}

/// An output with all that it has given so far.
struct Sum<T: Row + Ord> {
    output: Output<T>,
    rows: BTreeMap<T, i64>,
}

impl<T: Row + Ord> Sum<T> {
    fn of(output: Output<T>) -> Self {
        Sum { output, rows: BTreeMap::new() }
    }

    /// Adds what changed; no row may come twice or with weight 0.
    fn take(&mut self, program: &mut Program) {
        let mut seen = BTreeSet::new();
        for (row, weight) in program.drain(self.output) {
            assert_ne!(weight, 0, "{row:?}");
            assert!(seen.insert(row.clone()), "{row:?} comes twice");
            let sum = self.rows.entry(row.clone()).or_insert(0);
            *sum += weight;
            if *sum == 0 {
                self.rows.remove(&row);
            }
        }
    }

    /// The rows, each of which must have weight 1.
    fn set(&self) -> BTreeSet<T> {
        assert!(self.rows.values().all(|&weight| weight == 1), "{:?}", self.rows);
        self.rows.keys().cloned().collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    A(u8, u8),
    B(u8, u8),
    Root(u8),
}

#[derive(Default)]
struct Facts {
    a: BTreeSet<(u8, u8)>,
    b: BTreeSet<(u8, u8)>,
    root: BTreeSet<u8>,
}

/// Toggles a fact: in if it was out, out if it was in.
fn toggle<T: Row + Ord>(program: &mut Program, input: Input<T>, set: &mut BTreeSet<T>, row: T) {
    if set.remove(&row) {
        program.remove(input, row);
    } else {
        set.insert(row.clone());
        program.insert(input, row);
    }
}

fn check<T: Ord + Debug>(what: &str, ours: BTreeSet<T>, theirs: Vec<T>) {
    assert_eq!(ours, theirs.into_iter().collect::<BTreeSet<T>>(), "{what}");
}

fn run(transactions: Vec<Vec<Fact>>) {
    let builder = Builder::new();
    let (a_in, a) = builder.input::<(u8, u8)>("a");
    let (b_in, b) = builder.input::<(u8, u8)>("b");
    let (root_in, root) = builder.input::<u8>("root");
    let (a_0, a_1, b_0) = (a.index(|r| r.0), a.index(|r| r.1), b.index(|r| r.0));
    let small = a.filter(|r| r.0 <= r.1).index(|r| r.0);
    let large = a.filter(|r| r.0 > r.1).index(|r| r.0);
    let swapped = a.map(|&(x, y)| (y, x));

    let mut join = Sum::of(a_1.join(&b_0, |_, a, b| (a.0, a.1, b.1)).output());
    let mut square = Sum::of(a_1.join(&a_0, |_, l, r| (l.0, l.1, r.1)).output());
    let mut same = Sum::of(a_0.join(&a_0, |_, l, r| (l.0, l.1, r.1)).output());
    let mut semi = Sum::of(a_1.semijoin(&b_0).output());
    let mut anti = Sum::of(a_1.antijoin(&b_0).output());
    let mut inner = Sum::of(a_1.semijoin(&a_0).output());
    let mut outer = Sum::of(a_1.antijoin(&a_0).output());
    let mut diamond = Sum::of(small.join(&large, |_, l, r| (l.0, l.1, r.1)).output());
    let mut undirected = Sum::of(a.concat(&swapped).concat(&b).distinct().output());
    let mut counted = Sum::of(a.count_by(|r| r.0).output());
    let mut least = Sum::of(a.min_by(|r| r.0, |r| r.1).output());
    let sums = a.reduce(|r| r.0, |&x, rows| Some((x, rows.iter().fold(0u8, |sum, (row, _)| sum + row.1))));
    let mut total = Sum::of(sums.output());
    let mut reached = Sum::of(reach(&root, &a).output());
    let mut program = builder.build();

    let mut facts = Facts::default();
    for transaction in transactions {
        for fact in transaction {
            match fact {
                Fact::A(x, y) => toggle(&mut program, a_in, &mut facts.a, (x, y)),
                Fact::B(x, y) => toggle(&mut program, b_in, &mut facts.b, (x, y)),
                Fact::Root(x) => toggle(&mut program, root_in, &mut facts.root, x),
            }
        }
        program.step();
        let mut oracle = Oracle {
            a: facts.a.iter().copied().collect(),
            b: facts.b.iter().copied().collect(),
            root: facts.root.iter().map(|&x| (x,)).collect(),
            ..Oracle::default()
        };
        oracle.run();
        for sum in [&mut join, &mut square, &mut same, &mut diamond] {
            sum.take(&mut program);
        }
        for sum in [&mut semi, &mut anti, &mut inner, &mut outer, &mut undirected, &mut least, &mut total] {
            sum.take(&mut program);
        }
        counted.take(&mut program);
        reached.take(&mut program);
        check("join", join.set(), oracle.join);
        check("square", square.set(), oracle.square);
        check("same", same.set(), oracle.same);
        check("semi", semi.set(), oracle.semi);
        check("anti", anti.set(), oracle.anti);
        check("inner", inner.set(), oracle.inner);
        check("outer", outer.set(), oracle.outer);
        check("diamond", diamond.set(), oracle.diamond);
        check("undirected", undirected.set(), oracle.undirected);
        check("counted", counted.set(), oracle.counted.into_iter().map(|(x, n)| (x, n as i64)).collect());
        check("least", least.set(), oracle.least);
        check("total", total.set(), oracle.total);
        check("reached", reached.set(), oracle.reached.into_iter().map(|(x,)| x).collect());
    }
}

/// Values are few, so that rows meet, groups form and cycles close.
fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        4 => (0..7u8, 0..7u8).prop_map(|(x, y)| Fact::A(x, y)),
        2 => (0..7u8, 0..7u8).prop_map(|(x, y)| Fact::B(x, y)),
        1 => (0..7u8).prop_map(Fact::Root),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_operator_agrees_with_ascent(
        transactions in prop::collection::vec(prop::collection::vec(fact(), 0..12), 1..20)
    ) {
        run(transactions);
    }
}

/// A cycle that loses its root must not hold itself up; a node with two ways must survive the loss of one.
#[test]
fn reach_survives_deletions_in_cycles() {
    use Fact::{A, Root};
    run(vec![
        vec![Root(0), A(0, 1), A(1, 2), A(2, 3), A(3, 1)],
        vec![A(0, 1)],
        vec![A(0, 2)],
        vec![A(0, 1), A(0, 2)],
        vec![A(2, 3), Root(0)],
        vec![Root(3)],
        vec![Root(3), Root(1), A(3, 1)],
        vec![A(2, 2), A(1, 2)],
    ]);
}
