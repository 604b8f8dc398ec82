//! The one hash function of the runtime.
//!
//! Fx is the fastest hash for the small integers and interned names that rows consist of, but the bits of its result
//! are of uneven quality, so one more multiplication spreads them: [`IdTable`](crate::ids::IdTable) orders by the upper
//! half, and hashbrown takes both ends. The hash is fixed (no random seed), since two runs over the same
//! input must do the same work in the same order.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

/// The 64-bit hash of a row or key, the same in every table and in every run.
pub(crate) fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    mix(hasher.finish())
}

/// Spreads every input bit over the whole word.
#[inline]
pub(crate) fn mix(value: u64) -> u64 {
    let x = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}
