//! Whether this host tells those that watch it not to send here: BFD sees the tunnel, and nothing of what is behind.
//!
//! It withdraws while its switch is away or is being filled, while none of its uplinks is left, and while none of the addresses answers that it was told to
//! probe. None of that needs the store. It is withdrawn at once; it returns when all has been well for [`HOLD`]. What is not known changes nothing.

use super::{Effect, Level};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long all must be well before traffic is drawn again: a card that comes and goes is no uplink, and neighbours outside were asked meanwhile.
pub const HOLD: Duration = Duration::from_secs(2);

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
    /// Whether others send here as to an edge; `None`: nobody knows yet.
    pub drawing: Option<bool>,
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
    /// What was last said of it.
    said: Option<String>,
    /// Of uplinks, while others are left.
    said_of: BTreeMap<String, String>,
}

impl Withdraw {
    /// Whether to be withdrawn; `None`: leave it as it is.
    pub fn judge(&mut self, facts: &Facts, now: Instant, effects: &mut Vec<Effect>) -> Option<bool> {
        self.say_of_uplinks(facts, effects);
        match reason(facts) {
            Some(why) => {
                self.well_since = None;
                self.withdrawn = Some(true);
                if self.said.as_ref() != Some(&why) {
                    effects.push(Effect::Say(
                        Level::Warn,
                        format!("withdrawn: those that watch this host are told not to send here: {why}"),
                    ));
                    self.said = Some(why);
                }
            }
            None if is_well(facts, self.withdrawn.unwrap_or(facts.told)) => {
                // An agent before had its reasons, and this one sees none: that must last, too.
                self.withdrawn = self.withdrawn.or(facts.told.then_some(true));
                let since = *self.well_since.get_or_insert(now);
                if self.withdrawn != Some(true) || since + HOLD <= now {
                    self.withdrawn = Some(false);
                    if self.said.take().is_some() {
                        effects.push(Effect::Say(Level::Info, "no longer withdrawn".into()));
                    }
                }
            }
            None => self.well_since = None,
        }
        self.withdrawn
    }

    /// Why this host is withdrawn, if it is.
    pub fn why(&self) -> Option<&str> {
        self.said.as_deref().filter(|_| self.withdrawn == Some(true))
    }

    /// When [`Withdraw::judge`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        self.well_since.filter(|_| self.withdrawn == Some(true)).map(|since| since + HOLD)
    }

    /// One of several that is lost withdraws nothing, but somebody should know.
    fn say_of_uplinks(&mut self, facts: &Facts, effects: &mut Vec<Effect>) {
        let Some(uplinks) = &facts.uplinks else { return };
        let some_left = uplinks.values().any(Result::is_ok);
        for (bridge, state) in uplinks {
            match state {
                Err(why) if some_left => {
                    if self.said_of.get(bridge) != Some(why) {
                        let text = format!("uplink {why}; this host stays an edge, as it has others");
                        effects.push(Effect::Say(Level::Warn, text));
                        self.said_of.insert(bridge.clone(), why.clone());
                    }
                }
                Err(_) => {}
                Ok(()) => {
                    if self.said_of.remove(bridge).is_some() {
                        effects.push(Effect::Say(Level::Info, format!("uplink {bridge} is well again")));
                    }
                }
            }
        }
        self.said_of.retain(|bridge, _| uplinks.contains_key(bridge));
    }
}

/// Whether nothing is wrong, as far as it must be known: who is withdrawn returns only to an uplink whose probes are answered.
fn is_well(facts: &Facts, withdrawn: bool) -> bool {
    let uplinks = facts.uplinks.as_ref();
    let unsure = withdrawn && facts.probing && facts.answers.is_none() && uplinks.is_some_and(|all| !all.is_empty());
    facts.fill == Fill::Full && uplinks.is_some() && (!unsure || facts.drawing == Some(false))
}

/// To whom nobody sends as to an edge has nothing to withdraw.
fn reason(facts: &Facts) -> Option<String> {
    if facts.drawing == Some(false) {
        return None;
    }
    match facts.fill {
        Fill::Away => return Some("its switch is away".into()),
        Fill::Empty => return Some("its switch is being filled".into()),
        Fill::Unknown | Fill::Full => {}
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
        Facts { drawing: Some(true), told: false, fill, uplinks, probing: answers.is_some(), answers }
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
        }
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
    fn one_uplink_of_two_is_enough_and_that_is_said_once() {
        let mut bench = Bench::new();
        for _ in 0..3 {
            assert_eq!(bench.judge(&facts(Fill::Full, &[("br-ex", false), ("br-two", true)], None)), Some(false));
        }
        assert_eq!(bench.said().matches("stays").count(), 1, "{}", bench.said());
        bench.judge(&facts(Fill::Full, &[("br-ex", true), ("br-two", true)], None));
        assert!(bench.said().contains("br-ex is well again"), "{}", bench.said());
        // A host without uplinks is no edge, and has nothing to withdraw.
        assert_eq!(bench.judge(&facts(Fill::Full, &[], None)), Some(false));
    }
}
