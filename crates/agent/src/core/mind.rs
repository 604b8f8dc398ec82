//! Whether this host draws traffic of those that watch it: what decides it is gathered, and whom it concerns is told.

use super::{
    Core, Effect, ovs,
    withdraw::{Facts, Fill},
};
use std::time::Instant;
use tuplenet_rules::Change;

impl Core {
    /// Whether this host draws traffic of those that watch it, and what its sessions say.
    pub(super) fn mind(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let sessions = self.ovs.sessions();
        let watching = !sessions.is_empty();
        self.sessions.are(sessions, now, &mut self.stats);
        let others = self.rules.0.edges();
        let facts = Facts {
            watched: watching,
            last: !others.is_empty() && others.iter().all(|edge| self.sessions.is_lost(edge)),
            drawing: self.waiting.is_none().then(|| self.rules.0.is_drawing()),
            way: self.rules.0.is_way(),
            told: self.ovs.told_withdrawn(),
            probing: self.probes.wakeup().is_some(),
            fill: self.switch.fill(),
            uplinks: match self.waiting {
                Some(_) => None,
                None => self.ovs.uplinks(|ls| self.outside.iter().any(|at| at.ls == *ls)),
            },
            answers: self.probes.answers(),
        };
        if let Some(withdrawn) = self.withdraw.judge(&facts, now, effects) {
            self.ovs.withdraw(withdrawn, now, effects);
        }
        self.stats.withdrawn = watching && self.withdraw.why().is_some();
        self.sessions.withdrawn(self.withdraw.why().filter(|_| watching).map(str::to_owned), now);
        self.sessions.act(self.waiting.is_none(), now, effects, &mut self.stats);

        // What of it counts in the choice of a way.
        let withdrawn = self.withdraw.why().is_some() && matches!(self.switch.fill(), Fill::Full);
        let proven = self.sessions.proven();
        let session = |(kind, remote): &ovs::End, proven| Change::Session { kind: *kind, remote: *remote, proven };
        let lost = self.proven.difference(&proven).map(|end| session(end, false));
        let won = proven.difference(&self.proven).map(|end| session(end, true));
        let mut changes: Vec<Change> = lost.chain(won).collect();
        if withdrawn != self.withdrawn {
            changes.push(Change::Withdrawn(withdrawn));
        }
        (self.withdrawn, self.proven) = (withdrawn, proven);
        if !changes.is_empty() {
            self.change(changes, None, now, effects);
        }
    }
}
