//! The end of packets that a stage does not know, counted.
//!
//! Without these flows a miss would drop them just as well, but nobody could say how many, and where.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority},
    stage,
};
use tuplenet_openflow::Match;

/// ```text
/// drop(Stage) <- stage(Stage, next: none), Stage does not return.
/// ```
pub fn fixed() -> Vec<FlowRow> {
    let ends = stage::ALL.iter().filter(|stage| stage.next.is_none() && !stage.returns());
    ends.map(|end| flow(*end, priority::MISS, Cookie::stage(Rule::Drop, *end), Match::new(), vec![])).collect()
}
