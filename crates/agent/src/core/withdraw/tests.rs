//! When a host withdraws, for how long, and what it says of it.

use super::*;

fn facts(fill: Fill, uplinks: &[(&str, bool)], answers: Option<bool>) -> Facts {
    let state = |(bridge, well): &(&str, bool)| {
        ((*bridge).to_owned(), if *well { Ok(()) } else { Err(format!("{bridge}: no link")) })
    };
    let uplinks = Some(uplinks.iter().map(state).collect());
    let probing = answers.is_some();
    let (watched, last, drawing, way, told) = (true, false, Some(true), false, false);
    Facts { watched, last, drawing, way, told, fill, uplinks, probing, answers }
}

struct Bench(Withdraw, Instant, Vec<Effect>);

impl Bench {
    fn new() -> Self {
        Bench(Withdraw::default(), Instant::now(), Vec::new())
    }
    fn judge(&mut self, facts: &Facts) -> Option<bool> {
        self.0.judge(facts, self.1, &mut self.2)
    }
    fn said(&self) -> String {
        format!("{:?}", self.2)
    }
}

const WELL: &[(&str, bool)] = &[("br-ex", true)];

#[test]
fn what_is_not_known_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.judge(&Facts::default()), None);
    assert_eq!(bench.judge(&facts(Fill::Unknown, WELL, None)), None);
    assert_eq!(bench.judge(&Facts { fill: Fill::Full, ..Facts::default() }), None);
    assert_eq!(bench.judge(&facts(Fill::Full, WELL, None)), Some(false), "an agent that begins does not wait");
    assert!(bench.2.is_empty());
}

#[test]
fn it_goes_at_once_and_returns_when_all_has_been_well_for_a_while() {
    let mut bench = Bench::new();
    for (bad, why) in [
        (facts(Fill::Away, WELL, None), "its switch is away"),
        (facts(Fill::Empty, WELL, None), "its switch is being filled"),
        (
            facts(Fill::Full, &[("br-ex", false), ("br-two", false)], None),
            "no uplink is left: br-ex: no link, br-two: no link",
        ),
        (facts(Fill::Full, WELL, Some(false)), "none of the addresses"),
        // The store is away.
        (Facts { fill: Fill::Away, ..Facts::default() }, "its switch is away"),
    ] {
        let good = facts(Fill::Full, WELL, Some(true));
        assert_eq!(bench.judge(&bad), Some(true));
        assert!(bench.0.why().is_some_and(|said| said.contains(why)) && bench.said().contains(why), "{why}");
        assert_eq!(bench.judge(&good), Some(true));
        assert_eq!(bench.0.wakeup(), Some(bench.1 + HOLD));
        bench.1 += HOLD / 2;
        // It flaps.
        assert_eq!(bench.judge(&bad), Some(true));
        bench.1 += HOLD / 2;
        assert_eq!(bench.judge(&good), Some(true));
        bench.1 += HOLD;
        assert_eq!(bench.judge(&good), Some(false));
        assert_eq!((bench.0.why(), bench.0.wakeup()), (None, None));
        bench.1 += 3 * LONGEST;
    }
}

#[test]
fn who_is_lost_again_and_again_returns_later_and_later() {
    let mut bench = Bench::new();
    let (good, bad) = (facts(Fill::Full, WELL, None), facts(Fill::Full, &[("br-ex", false)], None));
    let mut held = Vec::new();
    for _ in 0..8 {
        assert_eq!(bench.judge(&bad), Some(true));
        bench.1 += HOLD;
        assert_eq!(bench.judge(&good), Some(true));
        let well = bench.1;
        while bench.judge(&good) == Some(true) {
            bench.1 = bench.0.wakeup().unwrap_or(bench.1 + LONGEST);
        }
        held.push((bench.1 - well).as_secs());
        bench.1 += AGAIN / 2;
    }
    assert_eq!(held, [2, 4, 8, 16, 32, 60, 60, 60]);
    assert!(bench.said().contains("returns when all has been well for 16s"), "{}", bench.said());
    bench.1 += LONGEST;
    assert_eq!(bench.judge(&bad), Some(true));
    assert_eq!(bench.judge(&good), Some(true));
    assert_eq!(bench.0.wakeup(), Some(bench.1 + HOLD), "it was well for long");
}

#[test]
fn where_no_other_edge_is_left_nobody_waits() {
    let mut bench = Bench::new();
    let (good, bad) = (facts(Fill::Full, WELL, None), facts(Fill::Full, &[("br-ex", false)], None));
    let last = |facts: Facts| Facts { last: true, ..facts };
    for _ in 0..50 {
        assert_eq!(bench.judge(&bad), Some(true));
        bench.1 += HOLD / 4;
        assert_eq!(bench.judge(&last(facts(Fill::Full, WELL, None))), Some(false));
        bench.1 += HOLD / 4;
    }
    assert!(bench.2.len() < 15, "{}", bench.said());
    // The others go while this one waits.
    assert_eq!((bench.judge(&bad), bench.judge(&good)), (Some(true), Some(true)));
    assert!(bench.0.wakeup().is_some_and(|at| at > bench.1));
    assert_eq!(bench.judge(&last(facts(Fill::Full, WELL, None))), Some(false));
    // A switch that has just been filled has asked nobody yet.
    bench.1 += 3 * LONGEST;
    assert_eq!(bench.judge(&facts(Fill::Empty, WELL, None)), Some(true));
    assert_eq!(bench.judge(&last(facts(Fill::Full, WELL, None))), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&last(facts(Fill::Full, WELL, None))), Some(false));
}

#[test]
fn reasons_that_alternate_are_said_ever_less_often() {
    let mut bench = Bench::new();
    let (silent, cut) = (facts(Fill::Full, WELL, Some(false)), facts(Fill::Full, &[("br-ex", false)], Some(false)));
    for _ in 0..500 {
        for bad in [&silent, &cut] {
            assert_eq!(bench.judge(bad), Some(true));
            bench.1 += Duration::from_millis(300);
        }
    }
    let said = bench.2.len();
    assert!((2..15).contains(&said), "{said} lines in five minutes: {}", bench.said());
    assert_eq!(bench.0.why(), Some("no uplink is left: br-ex: no link"), "what the store shows is never old");
    let woken = bench.0.wakeup();
    bench.1 += LONGEST;
    assert_eq!(bench.judge(&silent), Some(true));
    assert!(woken.is_none_or(|at| at <= bench.1) && bench.2.len() <= said + 1, "{}", bench.said());
}

/// Else the agent would never sleep.
#[test]
fn it_does_not_ask_to_be_woken_for_what_it_cannot_say_yet() {
    let mut bench = Bench::new();
    let both = |one, two| facts(Fill::Full, &[("br-ex", one), ("br-two", two)], None);
    let unknown = || Facts { uplinks: None, ..both(true, true) };
    let unwatched = || Facts { watched: false, ..both(true, true) };
    let silent = || facts(Fill::Full, WELL, Some(false));
    let unsure = || Facts { probing: true, ..facts(Fill::Full, WELL, None) };
    let states = [both(true, true), both(false, true), both(false, false), unknown(), unwatched(), silent(), unsure()];
    for turn in 0..5_000_usize {
        // All pairs and triples of them come up, quickly and slowly.
        let state = turn.wrapping_mul(turn).wrapping_add(turn / 7) % states.len();
        bench.judge(&states[state]);
        if let Some(at) = bench.0.wakeup() {
            assert!(at > bench.1, "turn {turn}, state {state}: woken for what is past");
        }
        bench.1 += Duration::from_millis([10, 300, 700, 1_500][turn % 4]);
    }
}

#[test]
fn nobody_is_told_before_somebody_watches() {
    let mut bench = Bench::new();
    let bad = || facts(Fill::Full, &[("br-ex", false), ("br-two", false)], None);
    let good = || facts(Fill::Full, WELL, None);
    assert_eq!(bench.judge(&Facts { watched: false, ..bad() }), Some(true));
    assert_eq!(bench.judge(&good()), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&good()), Some(false));
    assert!(bench.2.is_empty(), "of what nobody noticed: {}", bench.said());
    assert_eq!((bench.judge(&bad()), bench.judge(&good())), (Some(true), Some(true)));
    assert_eq!(bench.0.wakeup(), Some(bench.1 + HOLD), "and it does not count");
    bench = Bench::new();
    assert_eq!(bench.judge(&Facts { watched: false, ..bad() }), Some(true));
    assert_eq!(bench.judge(&bad()), Some(true));
    assert!(bench.said().contains("no uplink is left"), "{}", bench.said());
    // What an agent before said is taken back.
    let mut bench = Bench::new();
    let told = || Facts { told: true, ..facts(Fill::Full, WELL, None) };
    assert_eq!(bench.judge(&told()), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&told()), Some(false));
    assert!(bench.said().contains("no longer withdrawn"), "{}", bench.said());
}

#[test]
fn who_is_withdrawn_does_not_return_before_its_probes_are_answered() {
    let mut bench = Bench::new();
    let unknown = || Facts { probing: true, ..facts(Fill::Full, WELL, None) };
    assert_eq!(bench.judge(&facts(Fill::Full, &[("br-ex", false)], Some(true))), Some(true));
    for _ in 0..5 {
        assert_eq!(bench.judge(&unknown()), Some(true), "the cable is in, and nobody has answered yet");
        bench.1 += HOLD;
    }
    assert_eq!(bench.judge(&facts(Fill::Full, WELL, Some(true))), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&facts(Fill::Full, WELL, Some(true))), Some(false));
    assert_eq!(bench.judge(&unknown()), Some(false), "who is not withdrawn stays so");
    // An agent that begins where one before had withdrawn.
    let mut bench = Bench::new();
    let told = |answers| Facts { told: true, probing: true, ..facts(Fill::Full, WELL, answers) };
    assert_eq!(bench.judge(&told(None)), None);
    bench.1 += HOLD;
    assert_eq!(bench.judge(&told(None)), None);
    assert_eq!(bench.judge(&told(Some(true))), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&told(Some(true))), Some(false));
}

#[test]
fn to_whom_nobody_sends_as_to_an_edge_has_nothing_to_withdraw() {
    let mut bench = Bench::new();
    for bad in [facts(Fill::Away, &[], None), facts(Fill::Full, &[("br-ex", false)], Some(false))] {
        assert_ne!(bench.judge(&Facts { drawing: Some(false), ..bad }), Some(true));
    }
}

#[test]
fn who_has_a_guest_that_is_a_way_withdraws_without_its_switch_and_for_nothing_else() {
    let mut bench = Bench::new();
    let way = |facts| Facts { drawing: Some(false), way: true, ..facts };
    assert_eq!(bench.judge(&way(facts(Fill::Full, &[("br-ex", false)], Some(false)))), Some(false));
    for fill in [Fill::Away, Fill::Empty] {
        assert_eq!(bench.judge(&way(facts(fill, WELL, None))), Some(true), "{fill:?}");
    }
    assert!(bench.said().contains("its switch is away"), "{}", bench.said());
    let filled = || way(facts(Fill::Full, &[("br-ex", false)], Some(false)));
    assert_eq!(bench.judge(&filled()), Some(true));
    bench.1 += HOLD;
    assert_eq!(bench.judge(&filled()), Some(false));
}

#[test]
fn one_uplink_of_two_is_enough_and_that_is_said_once() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(bench.judge(&facts(Fill::Full, &[("br-ex", false), ("br-two", true)], None)), Some(false));
    }
    assert_eq!(bench.said().matches("stays").count(), 1, "{}", bench.said());
    bench.1 += HOLD;
    let well = facts(Fill::Full, &[("br-ex", true), ("br-two", true)], None);
    bench.judge(&well);
    assert!(bench.said().contains("br-ex is well again"), "{}", bench.said());
    // It comes and goes for five minutes.
    for turn in 0..1_000 {
        bench.1 += Duration::from_millis(300);
        assert_eq!(bench.judge(&facts(Fill::Full, &[("br-ex", turn % 2 == 1), ("br-two", true)], None)), Some(false));
    }
    assert!((3..15).contains(&bench.2.len()), "{}", bench.said());
    bench.1 = bench.1.max(bench.0.wakeup().unwrap_or(bench.1));
    bench.judge(&well);
    assert!(bench.2.last().is_some_and(|last| format!("{last:?}").contains("well again")), "{}", bench.said());
    // A host without uplinks is no edge, and has nothing to withdraw.
    assert_eq!(bench.judge(&facts(Fill::Full, &[], None)), Some(false));
}
