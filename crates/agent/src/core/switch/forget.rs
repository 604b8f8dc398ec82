//! Tracked connections that the switch is to forget: those of a router whose external addresses are gone from here, all of them.
//!
//! A zone is its router's by the router's id, and whoever gets the id next gets the zone. Conntrack would go on translating a connection to the old address for as long as packets come: a flow
//! of UDP that outlives an edge that is made again with another address would never hear an answer, and guests of another network would speak in the name of an address that is not theirs.
//! Forgotten, a connection begins anew with its next packet, by the rules that there are.
//!
//! It is asked for behind the bundle that takes the rules' flows away, and once more: for some milliseconds the datapath goes on by what it keeps of these flows, and notes connections by
//! them. Not single connections (`NXT_CT_FLUSH`): of that Open vSwitch 3.1 aborts now and then.

use super::{Command, Context, Level, Switch};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};
use tuplenet_rules::Translated;

/// When after the bundle it is asked for.
const TIMES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(200)];

/// What zones are for, and which of them are to be forgotten, when.
#[derive(Debug, Default)]
pub(super) struct Stale {
    zones: BTreeMap<u16, BTreeSet<IpAddr>>,
    due: BTreeSet<(Instant, u16)>,
}

impl Stale {
    /// When the next is due.
    pub fn wakeup(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

impl Switch {
    /// These addresses are translated from now on (true), and no more (false).
    pub fn translate(&mut self, changes: impl IntoIterator<Item = (Translated, bool)>, now: Instant) {
        let Stale { zones, due } = &mut self.stale;
        let mut before = BTreeMap::new();
        for (Translated { zone, ip }, there) in changes {
            let addresses = zones.entry(zone).or_default();
            before.entry(zone).or_insert_with(|| addresses.clone());
            let _ = if there { addresses.insert(ip) } else { addresses.remove(&ip) };
        }
        for (zone, before) in before {
            let Some(after) = zones.get(&zone) else { continue };
            if !before.is_empty() && before.is_disjoint(after) {
                due.extend(TIMES.map(|later| (now + later, zone)));
            }
            if after.is_empty() {
                zones.remove(&zone);
            }
        }
    }

    /// Asks for what is due, behind what was sent.
    pub(super) fn send_stale(&mut self, cx: &mut Context<'_>) {
        let later = self.stale.due.split_off(&(cx.now + Duration::from_nanos(1), 0));
        let due: BTreeSet<u16> =
            std::mem::replace(&mut self.stale.due, later).into_iter().map(|(_, zone)| zone).collect();
        if !due.is_empty() {
            self.ask(Command::Forget(due.into_iter().collect()), cx);
        }
    }

    pub(super) fn on_forgotten(&mut self, result: Result<(), String>, cx: &mut Context<'_>) {
        if let Err(why) = result {
            cx.say(Level::Warn, format!("the switch does not forget the connections of a router whose external addresses are gone: {why}; what still goes on by them ends with \"ovs-appctl dpctl/flush-conntrack\", which ends all others as well"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_zone_is_forgotten_when_none_of_its_addresses_is_left() {
        let (mut switch, now) = (Switch::new(None), Instant::now());
        let at = |zone, ip: &str, there| (Translated { zone, ip: ip.parse().unwrap() }, there);
        let mut due = |changes: Vec<(Translated, bool)>| {
            switch.translate(changes, now);
            std::mem::take(&mut switch.stale.due).into_iter().map(|(at, zone)| (at - now, zone)).collect::<Vec<_>>()
        };
        assert_eq!(due(vec![at(1, "192.0.2.1", true), at(1, "2001:db8::1", true), at(2, "192.0.2.1", true)]), []);
        assert_eq!(due(vec![at(1, "192.0.2.1", false)]), [], "the other's connections go on");
        assert_eq!(
            due(vec![at(1, "192.0.2.9", true), at(1, "2001:db8::1", false)]),
            TIMES.map(|at| (at, 1)),
            "all others"
        );
        assert_eq!(due(vec![at(1, "192.0.2.9", false), at(1, "192.0.2.9", true)]), [], "it stays");
        assert_eq!(due(vec![at(2, "192.0.2.1", false)]), TIMES.map(|at| (at, 2)));
        assert_eq!(switch.stale.zones.len(), 1);
    }
}
