//! Words on something that may come and go: at once of what is new, then more and more seldom, until it has stayed as it is for a while.
//!
//! After a word there is silence for a second; each further word doubles it, up to a minute, until a minute has passed without one. At the end of a silence it is said how
//! things stand then, and how often they changed meanwhile. So a link that flaps all day costs a line a minute.

use std::time::{Duration, Instant};

/// The shortest and the longest silence.
const SILENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// See the module. `T`: how it stands; its default is what need not be said.
#[derive(Debug, Default)]
pub struct Seldom<T> {
    now: T,
    said: T,
    /// After the last word; and until when.
    silence: Option<(Duration, Instant)>,
    /// Changes since the last word.
    changes: u32,
}

impl<T: PartialEq + Clone> Seldom<T> {
    /// That is how it stands, and was said to.
    pub fn of(state: T) -> Self {
        Self { now: state.clone(), said: state, silence: None, changes: 0 }
    }

    /// It stands so. Gives what is to be said, if something is: after how many changes, this one included.
    pub fn is(&mut self, state: T, now: Instant) -> Option<u32> {
        if self.now != state {
            self.now = state;
            self.changes = self.changes.saturating_add(1);
        }
        if self.now == self.said || self.wakeup().is_some_and(|at| at > now) {
            return None;
        }
        let silence = match self.silence {
            Some((last, until)) if now < until + SILENCE.1 => (last * 2).min(SILENCE.1),
            _ => SILENCE.0,
        };
        self.silence = Some((silence, now + silence));
        self.said = self.now.clone();
        Some(std::mem::take(&mut self.changes))
    }

    /// When there may be something to say even if nothing changes.
    pub fn wakeup(&self) -> Option<Instant> {
        self.silence.filter(|_| self.now != self.said).map(|(_, until)| until)
    }
}

/// What to add to a word that comes after so many changes.
pub fn often(changes: u32) -> String {
    if changes > 1 { format!(" (changed {changes} times since it was last told)") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_new_is_said_at_once_and_what_stays_is_not_said_again() {
        let (mut seldom, mut now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.is(false, now), None, "as it should be");
        for state in [true, false, true] {
            assert_eq!(seldom.is(state, now), Some(1));
            assert_eq!((seldom.is(state, now), seldom.wakeup()), (None, None));
            now += 2 * SILENCE.1;
        }
    }

    #[test]
    fn what_comes_and_goes_is_said_ever_less_often_and_in_the_end_as_it_is() {
        for period in [20, 500, 999, 1_500, 5_000, 40_000] {
            let (mut seldom, begin) = (Seldom::default(), Instant::now());
            let (mut now, mut words, mut told) = (begin, Vec::new(), 0);
            let mut state = false;
            // An hour of changes; whoever waits for it is awake when there is something to say.
            let turns = 3_600_000 / period;
            for turn in 1..=turns {
                state = !state;
                let change = begin + turn * period * MS;
                while let Some(at) = seldom.wakeup().filter(|at| *at < change) {
                    now = now.max(at);
                    told += seldom.is(!state, now).inspect(|_| words.push(now)).unwrap_or(0);
                }
                now = change;
                told += seldom.is(state, now).inspect(|_| words.push(now)).unwrap_or(0);
            }
            assert!(words.len() <= 67, "{} words in an hour, every {period} ms", words.len());
            now += SILENCE.1;
            told += seldom.is(state, now).unwrap_or(0);
            assert_eq!(seldom.said, state, "every {period} ms");
            assert!(told <= turns, "{told} of {turns} changes are counted");
            now += 2 * SILENCE.1;
            assert_eq!(seldom.is(!state, now), Some(1 + turns - told), "quiet for long: at once");
            now += SILENCE.0;
            assert_eq!(seldom.is(state, now), Some(1));
        }
    }
}
