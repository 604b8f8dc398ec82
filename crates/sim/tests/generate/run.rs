//! Many random cases, the same ones every time unless the environment says otherwise, and the smallest that fails.

use super::Case;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use std::fmt::Debug;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn runner(cases: u32) -> (TestRunner, u64) {
    let seed = from_environment("TUPLENET_SEED", 1);
    let cases = from_environment("TUPLENET_CASES", cases.into()) as u32;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    (TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)), seed)
}

/// Tries `check` on so many random cases; the smallest that fails ends the test. `TUPLENET_SEED` chooses other cases, `TUPLENET_CASES` how many.
pub fn try_all<S: Strategy>(strategy: &S, cases: u32, check: impl Fn(&S::Value) -> Result<(), String>)
where
    S::Value: Debug,
{
    let (mut runner, seed) = runner(cases);
    match runner.run(strategy, |case| check(&case).map_err(TestCaseError::fail)) {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => {
            panic!("the smallest that fails with TUPLENET_SEED={seed} is{case:?}\n{}", why.message());
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// The same, for networks: of the smallest that fails each object and packet goes that is not needed for it to fail.
pub fn try_cases(strategy: &impl Strategy<Value = Case>, cases: u32, check: impl Fn(&Case) -> Result<(), String>) {
    let (mut runner, seed) = runner(cases);
    match runner.run(strategy, |case| check(&case).map_err(TestCaseError::fail)) {
        Ok(()) => {}
        Err(TestError::Fail(_, case)) => {
            let (case, why) = reduced(case, &check);
            panic!("the smallest that fails with TUPLENET_SEED={seed} is{case:?}\n{why}");
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// The same, for networks and something that happens to them.
pub fn try_events<T: Clone + Debug>(
    strategy: &impl Strategy<Value = (Case, T)>,
    cases: u32,
    check: impl Fn(&Case, &T) -> Result<(), String>,
) {
    let (mut runner, seed) = runner(cases);
    match runner.run(strategy, |(case, events)| check(&case, &events).map_err(TestCaseError::fail)) {
        Ok(()) => {}
        Err(TestError::Fail(_, (case, events))) => {
            let (case, why) = reduced(case, &|case: &Case| check(case, &events));
            panic!("the smallest that fails with TUPLENET_SEED={seed} is{case:?}\n{events:#?}\n{why}");
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn reduced(mut case: Case, check: &impl Fn(&Case) -> Result<(), String>) -> (Case, String) {
    let mut why = check(&case).err().unwrap_or_else(|| "it did not fail again".into());
    let mut size = usize::MAX;
    while case.network.objects.len() + case.packets.len() < size {
        size = case.network.objects.len() + case.packets.len();
        let mut keep_if_fails = |smaller: Case| match check(&smaller) {
            Ok(()) => None,
            Err(reason) => {
                why = reason;
                Some(smaller)
            }
        };
        for i in (0..case.packets.len()).rev() {
            let mut smaller = case.clone();
            smaller.packets.remove(i);
            case = keep_if_fails(smaller).unwrap_or(case);
        }
        for i in (0..case.network.objects.len()).rev() {
            let mut smaller = case.clone();
            smaller.network.objects.remove(i);
            case = keep_if_fails(smaller).unwrap_or(case);
        }
    }
    (case, why)
}

/// Random cases, one after another.
pub fn some<S: Strategy>(strategy: &S, cases: u32) -> impl Iterator<Item = S::Value> {
    let (mut runner, _) = runner(cases);
    (0..runner.config().cases).map(move |_| strategy.new_tree(&mut runner).expect("no case is refused").current())
}
