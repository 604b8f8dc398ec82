//! Addresses of ours at patch ports that work, and their announcement when an edge comes up.

use super::{Context, NOT_READY, packet};
use crate::core::Effect;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tuplenet_rules::outside::{self, Own};

/// When they are announced.
const TIMES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];

/// All addresses, and which of them are to be announced when, and which time it is.
#[derive(Debug, Default)]
pub struct Announcements {
    own: BTreeSet<Own>,
    due: BTreeMap<Own, (Instant, usize)>,
}

impl Announcements {
    /// From now on, and no more.
    pub fn change(&mut self, changes: Vec<(Own, bool)>, now: Instant) {
        for (own, there) in changes {
            if there {
                self.own.insert(own.clone());
                self.due.insert(own, (now, 0));
            } else {
                self.own.remove(&own);
                self.due.remove(&own);
            }
        }
    }

    /// All addresses.
    pub fn all(&self) -> impl Iterator<Item = &Own> {
        self.own.iter()
    }

    /// Time passed.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        let ready = cx.stats.switch_connected && cx.stats.switch_settled;
        self.due.retain(|own, (due, time)| {
            if *due > cx.now {
                return true;
            }
            if !ready {
                *due = cx.now + NOT_READY;
                return true;
            }
            let frame = packet::announce(own.mac, own.ip).into();
            cx.effects.push(Effect::PacketOut { actions: outside::announce(own), frame });
            *time += 1;
            let pause = TIMES.get(*time);
            *due = cx.now + pause.copied().unwrap_or_default();
            pause.is_some()
        });
    }

    /// When [`Announcements::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        self.due.values().map(|(at, _)| *at).min()
    }
}
