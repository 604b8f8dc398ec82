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
mod tests;
