//! Tracked connections that the switch is to forget: those of an external address that no rule of its router has here any more.
//!
//! Conntrack would go on translating them to that address, and refuse to learn another, for as long as packets come: a flow of UDP that outlives a change of its edge's address would never
//! hear an answer again, and who gets the address next would be spoken for by strangers. Forgotten, its next packet begins it anew by the rules that there are.
//!
//! It is asked for behind the bundle that takes the rule's flows away, and twice again: for some milliseconds the datapath goes on by what it keeps of these flows, and notes connections by
//! them; and Open vSwitch, which walks through its table while it deletes from it, does not always find all.

use super::{Command, Context, Level, Switch};
use std::time::{Duration, Instant};
use tuplenet_openflow::message::{CtDestination, CtFlush};
use tuplenet_rules::Translated;

/// So many wait for the switch at most: of those beyond, connections end by themselves.
const MAX_STALE: usize = 4096;
/// When after the bundle it is asked for.
const TIMES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];

/// Addresses whose connections are to be forgotten, and when.
#[derive(Debug, Default)]
pub(super) struct Stale {
    due: Vec<(Instant, Translated)>,
    told: bool,
}

impl Stale {
    /// When the next is due.
    pub fn wakeup(&self) -> Option<Instant> {
        self.due.iter().map(|(at, _)| *at).min()
    }
}

impl Switch {
    /// These addresses are translated from now on (true), and no more (false): then their connections are forgotten, behind the next bundle.
    pub fn translate(&mut self, changes: impl IntoIterator<Item = (Translated, bool)>, now: Instant) {
        for (address, there) in changes {
            self.stale.due.retain(|(_, other)| *other != address);
            if !there && self.stale.due.len() < MAX_STALE {
                self.stale.due.extend(TIMES.map(|later| (now + later, address)));
            }
        }
    }

    /// Asks for what is due, behind what was sent.
    pub(super) fn send_stale(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        let due: Vec<Translated> =
            self.stale.due.extract_if(.., |(at, _)| *at <= now).map(|(_, address)| address).collect();
        if due.is_empty() {
            return;
        }
        let both = |Translated { zone, ip }: Translated| {
            // Those that began inside are answered at the address, those that began outside ask for it.
            [CtDestination::Reply(ip), CtDestination::Original(ip)].map(|to| CtFlush { zone, to })
        };
        self.ask(Command::Forget(due.into_iter().flat_map(both).collect()), cx);
    }

    pub(super) fn on_forgotten(&mut self, result: Result<(), String>, cx: &mut Context<'_>) {
        if let Err(why) = result
            && !std::mem::replace(&mut self.stale.told, true)
        {
            let text = format!(
                "the switch does not forget single connections ({why}): those that were translated by an address that was taken away go on so until they end"
            );
            cx.say(Level::Warn, text);
        }
    }
}
