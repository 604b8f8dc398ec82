//! Facts that changed: the rules are asked, and everyone is told what they make of it.

use super::{Core, Effect, Level, neighbour, split};
use std::time::Instant;
use tuplenet_rules::{Change, Output, Reject};

/// How many rejected objects one transaction may log; `tpctl doctor` lists them all.
const MAX_REJECTS_LOGGED: usize = 20;

impl Core {
    /// Facts changed: the rules are asked, or, while the network is not known in full, only told.
    pub(super) fn change(
        &mut self,
        facts: Vec<Change>,
        since: Option<Instant>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let rules = &mut self.rules.0;
        let mut count = facts.len();
        let opening = self.waiting.is_some();
        let Output { flows, groups, claims, patches, outside, own, translated, watches, rejects, notices } =
            if let Some(before) = &mut self.waiting {
                *before += count;
                count = *before;
                rules.preload(facts);
                if !self.synced || !self.ovs.known() {
                    return;
                }
                self.waiting = None;
                self.stats.synced = true;
                rules.open()
            } else if facts.is_empty() {
                return;
            } else {
                rules.apply(facts)
            };
        if opening {
            effects.push(Effect::Say(
                Level::Info,
                format!("the network is known: {count} facts give {} flows", self.rules.0.flow_count()),
            ));
            self.records.open();
        }
        self.records.change(claims);
        self.ovs.pairs(patches, now, effects);
        self.say_rejects(rejects, effects);
        effects.extend(notices.into_iter().map(|n| Effect::Say(Level::Warn, n)));
        let (switch, mut cx) = split(&mut self.switch, &self.rules, now, effects, &mut self.stats);
        switch.translate(translated, now);
        if opening {
            switch.open(&mut cx);
        } else {
            switch.change(flows, groups, since, &mut cx);
        }
        let mut cx = neighbour::Context { now, effects, stats: &mut self.stats };
        let (come, go): (Vec<_>, Vec<_>) = outside.iter().partition(|(_, there)| *there);
        go.into_iter().for_each(|(at, _)| {
            self.outside.remove(at);
        });
        self.outside.extend(come.into_iter().map(|(at, _)| at.clone()));
        self.unminded |= opening || !outside.is_empty() || !watches.is_empty();
        self.neighbours.own(own, now);
        self.neighbours.outside(outside, &mut cx);
        if opening {
            self.neighbours.open(&mut cx);
        }
        let ports = self.ovs.watches(watches, now);
        if !ports.is_empty() {
            self.change(ports, None, now, effects);
        }
        self.tell_neighbours(now, effects);
    }

    /// What the neighbours made of an event, for the rules. What these make of it changes no router's port, so it ends there.
    pub(super) fn tell_neighbours(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let changes = self.neighbours.take_changes();
        if !changes.is_empty() {
            self.change(changes, None, now, effects);
        }
    }

    fn say_rejects(&mut self, rejects: Vec<(Reject, bool)>, effects: &mut Vec<Effect>) {
        let more = rejects.len().saturating_sub(MAX_REJECTS_LOGGED);
        for (i, (reject, appeared)) in rejects.into_iter().enumerate() {
            if appeared {
                self.stats.rejected += 1;
            } else {
                self.stats.rejected = self.stats.rejected.saturating_sub(1);
            }
            if i < MAX_REJECTS_LOGGED {
                effects.push(match appeared {
                    true => Effect::Say(Level::Warn, format!("set aside {reject}")),
                    false => Effect::Say(Level::Info, format!("no longer set aside: {}", reject.key)),
                });
            }
        }
        if more > 0 {
            effects.push(Effect::Say(
                Level::Warn,
                format!("and {more} more objects set aside or mended: tpctl doctor lists them"),
            ));
        }
    }
}
