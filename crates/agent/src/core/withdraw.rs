//! Whether this host tells those that watch it not to send here: BFD sees the tunnel, and nothing of what is behind.
//!
//! It withdraws while its switch is away or is being filled, while none of its uplinks is left, and while none of the addresses answers that it was told to
//! probe. None of that needs the store. It is withdrawn at once; it returns when all has been well for [`HOLD`]. What is not known changes nothing.
//!
//! Each loss moves connections, and ends those that `snat` translated here. So an uplink that comes and goes is left alone: who is lost again soon after it
//! returned must be well for twice as long before the next return, up to [`LONGEST`]. Where all other edges are lost nobody waits: what would come here
//! goes to the dead meanwhile.

use super::{
    Effect, Level,
    seldom::{Seldom, often},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long all must be well before traffic is drawn again: a card that comes and goes is no uplink, and neighbours outside were asked meanwhile.
pub const HOLD: Duration = Duration::from_secs(2);
/// The same for one that was lost again and again.
const LONGEST: Duration = Duration::from_secs(60);
/// What is lost within this time of its return is lost again.
const AGAIN: Duration = Duration::from_secs(10);

/// What the switch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fill {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// No connection: it is not there, or its process has just ended, and with it all flows.
    Away,
    /// Nothing that would forward.
    Empty,
    /// What an agent put there, this one or one before it.
    Full,
}

/// How the host stands.
#[derive(Debug, Default)]
pub struct Facts {
    /// Somebody watches this host: before, there is nobody to be withdrawn from, and not a word is said of it.
    pub watched: bool,
    /// All other edges that this host knows are dead or withdrawn.
    pub last: bool,
    /// Whether others send here as to an edge; `None`: nobody knows yet.
    pub drawing: Option<bool>,
    /// Whether others choose among several ways one to a guest here.
    pub way: bool,
    /// The ports in the database say that this host is withdrawn.
    pub told: bool,
    /// Its switch.
    pub fill: Fill,
    /// Its uplinks, by bridge, and what is wrong with each; `None`: nobody knows yet which.
    pub uplinks: Option<BTreeMap<String, Result<(), String>>>,
    /// Whether addresses outside are to be probed.
    pub probing: bool,
    /// Whether one of them answers; `None`: nobody knows.
    pub answers: Option<bool>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Withdraw {
    /// As it was told; `None`: as an agent before left it.
    withdrawn: Option<bool>,
    well_since: Option<Instant>,
    /// Why it is withdrawn, or was when that was last known.
    why: Option<String>,
    /// Its switch was away or empty since it was last in use.
    emptied: bool,
    /// What was said of that: nothing while nobody watches.
    said: Seldom<Option<String>>,
    /// It was withdrawn from somebody.
    noticed: bool,
    returned: Option<Instant>,
    /// How often in a row it was lost soon after it returned.
    again: u32,
    /// All must have been well until then, as of the last judgement.
    returns: Option<Instant>,
    /// Of uplinks, while others are left: what is wrong with them.
    said_of: BTreeMap<String, Seldom<Option<String>>>,
    /// When there is more to be said, of what was to be said at the last judgement: of all else nothing can be said then, either.
    words: Option<Instant>,
}

impl Withdraw {
    /// Whether to be withdrawn; `None`: leave it as it is.
    pub fn judge(&mut self, facts: &Facts, now: Instant, effects: &mut Vec<Effect>) -> Option<bool> {
        (self.words, self.returns) = (None, None);
        if facts.watched {
            self.say_of_uplinks(facts, now, effects);
        }
        match reason(facts) {
            Some(why) => {
                if self.why.is_none() {
                    let soon = self.returned.is_some_and(|at| now < at + AGAIN.max(self.hold()));
                    self.again = if soon { self.again.saturating_add(1) } else { 0 };
                }
                self.emptied |= matches!(facts.fill, Fill::Away | Fill::Empty);
                self.well_since = None;
                self.withdrawn = Some(true);
                if facts.watched {
                    self.noticed = true;
                    self.say(Some(&why), now, effects);
                }
                self.why = Some(why);
            }
            None if is_well(facts, self.withdrawn.unwrap_or(facts.told)) => {
                // An agent before had its reasons, and said so; this one sees none: that must last, too.
                if self.withdrawn.is_none() && facts.told {
                    (self.withdrawn, self.noticed) = (Some(true), true);
                    self.said = Seldom::of(Some(String::new()));
                }
                let hold = match (facts.last, self.emptied) {
                    (true, false) => Duration::ZERO,
                    // Neighbours outside are still being asked.
                    (true, true) => HOLD,
                    (false, _) => self.hold(),
                };
                let returns = *self.well_since.get_or_insert(now) + hold;
                if self.withdrawn == Some(true) && returns > now {
                    self.returns = Some(returns);
                } else {
                    if std::mem::take(&mut self.noticed) {
                        self.returned = Some(now);
                    }
                    self.withdrawn = Some(false);
                    (self.why, self.emptied) = (None, false);
                    self.say(None, now, effects);
                }
            }
            None => self.well_since = None,
        }
        self.withdrawn
    }

    /// Why this host is withdrawn, if it is.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref().filter(|_| self.withdrawn == Some(true))
    }

    /// When [`Withdraw::judge`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        sooner(self.words, self.returns)
    }

    fn hold(&self) -> Duration {
        HOLD.saturating_mul(1 << self.again.min(16)).min(LONGEST)
    }

    fn say(&mut self, why: Option<&str>, now: Instant, effects: &mut Vec<Effect>) {
        let changes = self.said.is(why.map(str::to_owned), now);
        self.words = sooner(self.words, self.said.wakeup());
        let Some(changes) = changes else { return };
        let often = often(changes);
        let again = match self.again {
            0 => String::new(),
            _ => format!("; lost soon after it returned, so it returns when all has been well for {:?}", self.hold()),
        };
        effects.push(match why {
            Some(why) => Effect::Say(
                Level::Warn,
                format!("withdrawn: those that watch this host are told not to send here: {why}{often}{again}"),
            ),
            None => Effect::Say(Level::Info, format!("no longer withdrawn{often}")),
        });
    }

    /// One of several that is lost withdraws nothing, but somebody should know.
    fn say_of_uplinks(&mut self, facts: &Facts, now: Instant, effects: &mut Vec<Effect>) {
        let Some(uplinks) = &facts.uplinks else { return };
        let some_left = uplinks.values().any(Result::is_ok);
        self.said_of.retain(|bridge, _| uplinks.contains_key(bridge));
        for (bridge, state) in uplinks {
            let wrong = state.as_ref().err().cloned();
            // With none left it is said why this host is withdrawn.
            if wrong.is_some() && !some_left || wrong.is_none() && !self.said_of.contains_key(bridge) {
                continue;
            }
            let said = self.said_of.entry(bridge.clone()).or_default();
            let changes = said.is(wrong.clone(), now);
            self.words = sooner(self.words, said.wakeup());
            let Some(changes) = changes else { continue };
            let often = often(changes);
            effects.push(match wrong {
                Some(why) => {
                    Effect::Say(Level::Warn, format!("uplink {why}{often}; this host stays an edge, as it has others"))
                }
                None => Effect::Say(Level::Info, format!("uplink {bridge} is well again{often}")),
            });
        }
    }
}

fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Whether nothing is wrong, as far as it must be known: who is withdrawn returns only to an uplink whose probes are answered.
fn is_well(facts: &Facts, withdrawn: bool) -> bool {
    let uplinks = facts.uplinks.as_ref();
    let unsure = withdrawn && facts.probing && facts.answers.is_none() && uplinks.is_some_and(|all| !all.is_empty());
    facts.fill == Fill::Full && uplinks.is_some() && (!unsure || facts.drawing == Some(false))
}

/// To whom nobody sends who could send elsewhere has nothing to withdraw; a guest that is a way needs its switch, and no uplink.
fn reason(facts: &Facts) -> Option<String> {
    let edge = facts.drawing != Some(false);
    match facts.fill {
        Fill::Away if edge || facts.way => return Some("its switch is away".into()),
        Fill::Empty if edge || facts.way => return Some("its switch is being filled".into()),
        _ => {}
    }
    if !edge {
        return None;
    }
    if let Some(uplinks) = facts.uplinks.as_ref().filter(|uplinks| !uplinks.is_empty()) {
        let lost: Vec<&str> = uplinks.values().filter_map(|state| state.as_ref().err().map(String::as_str)).collect();
        if lost.len() == uplinks.len() {
            return Some(format!("no uplink is left: {}", lost.join(", ")));
        }
    }
    (facts.answers == Some(false)).then(|| "none of the addresses to probe answers".into())
}

#[cfg(test)]
mod tests {
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
        let states =
            [both(true, true), both(false, true), both(false, false), unknown(), unwatched(), silent(), unsure()];
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
            assert_eq!(
                bench.judge(&facts(Fill::Full, &[("br-ex", turn % 2 == 1), ("br-two", true)], None)),
                Some(false)
            );
        }
        assert!((3..15).contains(&bench.2.len()), "{}", bench.said());
        bench.1 = bench.1.max(bench.0.wakeup().unwrap_or(bench.1));
        bench.judge(&well);
        assert!(bench.2.last().is_some_and(|last| format!("{last:?}").contains("well again")), "{}", bench.said());
        // A host without uplinks is no edge, and has nothing to withdraw.
        assert_eq!(bench.judge(&facts(Fill::Full, &[], None)), Some(false));
    }
}
