//! Flows that the switch refused: set aside so that they block no others, tried again with growing pauses, forgotten when the rules change them.

use super::shadow::{FlowKey, KeyHash, hash_of};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};
use tuplenet_openflow::Flow;

/// First pause before another try.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Refused {
    flow: Flow,
    tries: u32,
    retry_at: Option<Instant>,
}

/// The flows set aside. There are never more than the rules want.
#[derive(Debug, Default)]
pub struct Aside {
    flows: FxHashMap<KeyHash, Refused>,
}

impl Aside {
    /// Sets a flow aside. Gives true if this is news.
    pub fn add(&mut self, flow: Flow, now: Instant) -> bool {
        let entry = self.flows.entry(hash_of(&flow));
        let refused = entry.or_insert_with(|| Refused { flow, tries: 0, retry_at: None });
        let pause = FIRST_PAUSE.saturating_mul(1 << refused.tries.min(16)).min(LONGEST_PAUSE);
        refused.retry_at = Some(now + pause);
        refused.tries = refused.tries.saturating_add(1);
        refused.tries == 1
    }
    /// The rules changed or deleted that flow, or the switch has it now.
    pub fn forget(&mut self, key: KeyHash) -> bool {
        self.flows.remove(&key).is_some()
    }
    /// Whether that flow is set aside and waits.
    pub fn waits(&self, key: KeyHash) -> bool {
        self.flows.get(&key).is_some_and(|r| r.retry_at.is_some())
    }
    /// The flows whose pause is over; from here on they do not wait.
    pub fn due(&mut self, now: Instant) -> Vec<Flow> {
        let due = self.flows.values_mut().filter(|r| r.retry_at.is_some_and(|at| at <= now));
        due.map(|r| {
            r.retry_at = None;
            r.flow.clone()
        })
        .collect()
    }
    /// When the next pause ends.
    pub fn next(&self) -> Option<Instant> {
        self.flows.values().filter_map(|r| r.retry_at).min()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.flows.len()
    }
    /// Another switch, another judgement: all are to be tried again.
    pub fn clear(&mut self) {
        self.flows.clear();
    }
    /// The switch took the flow of that key. Gives its key, if it was set aside.
    pub fn accepted(&mut self, key: KeyHash) -> Option<FlowKey> {
        self.flows.remove(&key).map(|r| FlowKey::of(&r.flow))
    }
}
