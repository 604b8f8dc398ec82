//! The weights of a table's rows, a byte each.
//!
//! Nearly all rows have weight 1, and a few are derived some times over. So the weight is kept in seven bits beside the
//! row's id, next to one bit that marks the rows of the batch in hand; the few larger ones are in a map.

use crate::keymap::KeyMap;
use crate::paged::Paged;

/// Stands for "see the map". Smaller in absolute value than any weight in the map.
const HEAVY: i8 = -64;

/// Weights by row id.
pub(crate) struct Weights {
    /// The weight, shifted left by one; the lowest bit is the mark.
    small: Paged<i8>,
    heavy: KeyMap<u32, i64>,
}

impl Weights {
    pub(crate) fn new() -> Self {
        Weights { small: Paged::new(), heavy: KeyMap::new() }
    }

    /// Adds the weight of the next row: 0.
    pub(crate) fn push(&mut self) {
        self.small.push(0);
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> i64 {
        match self.small[id] >> 1 {
            HEAVY => self.heavy.get(&id).copied().unwrap_or(0),
            weight => i64::from(weight),
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, id: u32, weight: i64) {
        let small = &mut self.small[id];
        let was_heavy = *small >> 1 == HEAVY;
        let fits = i8::try_from(weight).ok().filter(|weight| (-63..64).contains(weight));
        *small = (fits.unwrap_or(HEAVY) << 1) | (*small & 1);
        match fits {
            None => {
                self.heavy.insert(id, weight);
            }
            Some(_) if was_heavy => {
                self.heavy.remove(&id);
            }
            Some(_) => {}
        }
    }

    /// Sets or clears the mark; returns what it was.
    #[inline]
    pub(crate) fn mark(&mut self, id: u32, marked: bool) -> bool {
        let small = &mut self.small[id];
        let was = *small & 1 == 1;
        *small = (*small & !1) | i8::from(marked);
        was
    }

    pub(crate) fn bytes(&self) -> usize {
        self.small.bytes() + self.heavy.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_any_size_come_back() {
        let mut weights = Weights::new();
        weights.push();
        weights.push();
        for weight in [0, 1, -1, 63, 64, -63, -64, -65, 1 << 40, i64::MIN, i64::MAX, 2] {
            assert!(!weights.mark(0, true));
            weights.set(0, weight);
            assert_eq!(weights.get(0), weight);
            assert!(weights.mark(0, false));
            assert_eq!((weights.get(0), weights.get(1)), (weight, 0));
        }
        assert_eq!(weights.heavy.len(), 0);
    }
}
