//! How a session with the switch begins, and begins again after a pause when something fails: the meter, the TLV map, and then what the module's head says.

use super::{Command, Context, Level, Metering, Phase, Switch, TLV, TlvMapping};
use crate::core::withdraw::Fill;
use rustc_hash::FxHashSet;
use std::time::{Duration, Instant};

/// Pause after a failed exchange on a connection that is still up; doubles while nothing succeeds, up to [`LONGEST_PAUSE`].
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many failures of one kind it is said again: some ten minutes.
pub(super) const SAY_AGAIN: u32 = 20;

impl Switch {
    pub(super) fn up(&mut self, session: u64, cx: &mut Context<'_>) {
        self.session = session;
        self.unanswered = 0;
        cx.stats.switch_connects += 1;
        cx.say(Level::Info, "connected to the switch");
        self.phase = Phase::Waiting;
        self.fill = Fill::Unknown;
        if self.open {
            self.begin(cx);
        } else {
            self.ask(Command::ReadTables, cx);
            cx.say(Level::Info, "the switch stays as it is until the whole network is known");
        }
    }

    pub(super) fn down(&mut self, why: String, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Down => cx.say(Level::Info, format!("waiting for the switch: {why}")),
            _ => cx.say(Level::Warn, format!("lost the switch: {why}; trying again")),
        }
        // Only that it cannot be reached again says that its process, and with it all flows, is gone.
        self.fill = if matches!(self.phase, Phase::Down) { Fill::Away } else { Fill::Unknown };
        self.phase = Phase::Down;
        self.succeeded();
        self.forget_plans();
    }

    pub(super) fn pause(&mut self, why: &str, cx: &mut Context<'_>) {
        if self.complaint != why || self.failures.is_multiple_of(SAY_AGAIN) {
            cx.say(
                Level::Error,
                format!("the switch cannot be brought in step: {why}; beginning again, and again, until it can"),
            );
            why.clone_into(&mut self.complaint);
        }
        self.forget_plans();
        let pause = RETRY_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Pause(cx.now + pause);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.complaint.clear();
    }

    /// Answers to what was asked before must not be taken for answers to what is asked now: they are awaited, too.
    pub(super) fn begin_when_quiet(&mut self, until: Instant, cx: &mut Context<'_>) {
        if until <= cx.now && self.unanswered == 0 {
            self.begin(cx);
        }
    }

    /// All that was under way is void: the next comparison finds out what is left to do.
    fn forget_plans(&mut self) {
        self.queue.clear();
        self.backlog = FxHashSet::default();
        self.since.clear();
        self.flight = None;
        self.sweep = None;
        self.auditing = false;
        self.groups_unknown = false;
        self.reading_groups = false;
        self.limit = usize::MAX;
        self.refused_in_row = 0;
    }

    pub(super) fn begin(&mut self, cx: &mut Context<'_>) {
        self.forget_plans();
        self.aside.clear();
        self.groups.retry();
        self.phase = Phase::Preparing;
        self.ask(Command::Meter, cx);
    }

    pub(super) fn on_meter(&mut self, metering: Metering, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Preparing) {
            return self.read_groups_when_quiet(cx);
        }
        if let Metering::Off(why) = metering {
            cx.say(
                Level::Warn,
                format!("the switch has no meters ({why}): reports of traced packets are not rate limited"),
            );
        }
        self.ask(Command::ReadTlv, cx);
    }

    pub(super) fn on_tlv(&mut self, result: Result<Vec<TlvMapping>, String>, cx: &mut Context<'_>) {
        let map = match result {
            Ok(map) => map,
            Err(why) => return self.pause(&format!("it did not tell its TLV map: {why}"), cx),
        };
        if map.contains(&TLV) {
            return self.ask(Command::ReadGroups, cx);
        }
        let wrong: Vec<TlvMapping> =
            map.into_iter().filter(|m| m.index == TLV.index || (m.class, m.kind) == (TLV.class, TLV.kind)).collect();
        if !wrong.is_empty() {
            cx.say(
                Level::Warn,
                format!("the switch's TLV map has another use for our Geneve option or field: replacing {wrong:?}"),
            );
        }
        self.ask(Command::WriteTlv(wrong), cx);
    }
}
