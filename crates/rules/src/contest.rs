//! Uniqueness: of several objects that claim the same thing the oldest keeps it, and the others are set aside.

use std::fmt::Debug;
use std::hash::Hash;
use tuplenet_datalog::Relation;

/// ```text
/// lost(Loser, Winner) <- claim(Loser, Thing), claim(Winner, Thing), Winner = the least in `age` of all claims of Thing,
///                        Loser != Winner.
/// ```
/// Cost: the claims of the one thing that changed.
pub fn contest<T, K, O>(
    claims: &Relation<T>,
    thing: impl Fn(&T) -> K + 'static,
    age: impl Fn(&T) -> O + 'static,
) -> Relation<(T, T)>
where
    T: Clone + Eq + Hash + Debug + 'static,
    K: Clone + Eq + Hash + Debug + 'static,
    O: Ord,
{
    claims.reduce(thing, move |_, claims| {
        if claims.len() < 2 {
            return Vec::new();
        }
        let Some(winner) = claims.iter().map(|(claim, _)| *claim).min_by_key(|claim| age(claim)) else {
            return Vec::new();
        };
        claims
            .iter()
            .filter(|(claim, _)| *claim != winner)
            .map(|(claim, _)| (T::clone(claim), winner.clone()))
            .collect::<Vec<_>>()
    })
}
