//! Whether those that watch this host are told not to send here, and that they are: apart from all repairs of the bridge, since it must neither wait for them nor fail with them.

use super::{RETRY_PAUSE, bfd, tables::Tables, talk::Purpose, wanted::End};
use crate::core::{Effect, Level};
use std::{collections::BTreeMap, time::Instant};
use tuplenet_model::name::Name;

/// What they are told. See the module.
#[derive(Debug, Default)]
pub struct Withdrawal {
    /// Whether this host is withdrawn; `None` while nobody knows.
    withdrawn: Option<bool>,
    /// This host is an edge for a moment longer: the other ends are told not to send here, and nothing else changes.
    leaving: bool,
    /// A transaction is under way.
    sent: bool,
    retry_at: Option<Instant>,
}

impl Withdrawal {
    /// Whether this host is an edge for the last moments.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether it is from now on; gives whether that is new.
    pub fn leave(&mut self, leaving: bool) -> bool {
        std::mem::replace(&mut self.leaving, leaving) != leaving
    }

    /// Whether this host is withdrawn from now on; gives whether that is new.
    pub fn withdraw(&mut self, withdrawn: bool) -> bool {
        self.withdrawn.replace(withdrawn) != Some(withdrawn)
    }

    /// What the other ends are to be told; `None` while nobody knows.
    pub fn tells(&self) -> Option<bool> {
        if self.leaving { Some(true) } else { self.withdrawn }
    }

    /// The connection is lost, and what was sent may be: what is still wrong shows in the next update.
    pub fn lost(&mut self) {
        self.sent = false;
    }

    /// Tells the other ends, where it is to be done and is not under way. The database is there.
    pub fn act(
        &mut self,
        tables: &Tables,
        bridge: &str,
        watches: Option<&BTreeMap<End, Name>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let able = !self.sent && self.retry_at.is_none_or(|at| at <= now);
        let Some(withdrawn) = self.tells().filter(|_| able) else { return };
        let operations = bfd::withdrawal(tables, bridge, withdrawn, watches);
        if !operations.is_empty() {
            self.sent = true;
            effects.push(Effect::Ovs(Purpose::Withdraw, operations));
        }
    }

    /// How the transaction ended.
    pub fn done(&mut self, result: Result<(), String>, now: Instant, effects: &mut Vec<Effect>) {
        self.sent = false;
        self.retry_at = None;
        if let Err(why) = result {
            let text = format!("those that watch this host cannot be told whether to send here: {why}; trying again");
            effects.push(Effect::Say(Level::Error, text));
            self.retry_at = Some(now + RETRY_PAUSE);
        }
    }

    /// When it is to be tried again.
    pub fn wakeup(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether that time has come: then call [`Withdrawal::act`].
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }
}
