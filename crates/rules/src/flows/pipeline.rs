//! What every stage does with a packet that it has nothing to say about. No facts: these flows are there from the start.

use crate::{
    cookie::{Cookie, Rule},
    flow::{FlowRow, flow, priority, resubmit_table},
    stage,
};
use tuplenet_openflow::Match;

/// ```text
/// pass(Stage, Next) <- stage(Stage, next: Next).
/// ```
pub fn pipeline() -> Vec<FlowRow> {
    let cookie = Cookie::of(Rule::Pipeline);
    stage::ALL
        .iter()
        .filter_map(|stage| {
            let next = stage.next?;
            Some(flow(*stage, priority::MISS, cookie, Match::new(), vec![resubmit_table(next)]))
        })
        .collect()
}
