//! BFD sessions as people see them: a line in the log and a key in the store for each change, `status/<chassis>/bfd/<chassis>/<protocol>/<address>`. A session that comes
//! and goes ten times a second is told of once a second.

use super::{
    Effect, Level,
    ledger::{self, Ledger},
    ovs::{End, Session},
    records::Outcome,
    stats::Stats,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tuplenet_model::{entity::EncapKind, name::Name};

/// Between two words on one session.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one that has just begun may be silent: it comes up in two seconds.
const BEGIN: Duration = Duration::from_secs(4);
/// Where the store shows that this host is withdrawn; no session has that place.
const HERE: &str = "withdrawn";

/// What the store shows of a session, or of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `up`; `withdrawn`: the other end says that it must not be used; `down`.
    pub state: String,
    /// Why it is not up, if somebody said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

impl ledger::Shown for Shown {
    /// An agent that begins does not know since when.
    fn will_do(&self, known: &Self) -> bool {
        (&self.state, &self.why) == (&known.state, &known.why)
    }
}

#[derive(Debug)]
struct Known {
    session: Session,
    /// It was up since the other end last said that it must not be used: if it is down, the tunnel is dead.
    proven: bool,
    /// It was up in this agent's time.
    seen: bool,
    since: u64,
    /// As it was when it was told of.
    told: Option<Session>,
    /// Before then nothing is said.
    silent: Instant,
}

/// All sessions. See the module.
#[derive(Debug)]
pub struct Sessions {
    clock: (Instant, u64),
    known: BTreeMap<End, Known>,
    ledger: Ledger<Shown>,
}

fn state(session: &Session) -> (&'static str, String) {
    let why = || match (session.remote_diagnostic.as_str(), session.diagnostic.as_str()) {
        ("", "") => String::new(),
        ("", here) => here.to_owned(),
        (there, _) => there.to_owned(),
    };
    match (session.forwarding, session.state.as_str()) {
        (true, _) => ("up", String::new()),
        (false, "up") => ("withdrawn", why()),
        (false, _) => ("down", session.diagnostic.clone()),
    }
}

/// The protocol, as keys have it.
fn kind(kind: EncapKind) -> &'static str {
    match kind {
        EncapKind::Geneve => "geneve",
        EncapKind::Vxlan => "vxlan",
        EncapKind::Gre => "gre",
    }
}

fn place(end: End, session: &Session) -> String {
    format!("{}/{}/{}", session.chassis, kind(end.0), end.1)
}

impl Sessions {
    /// None known. `clock` is an instant and what the clock on the wall showed then, in seconds since 1970.
    pub fn new(me: &Name, clock: (Instant, u64)) -> Self {
        Self { clock, known: BTreeMap::new(), ledger: Ledger::new(format!("status/{me}/bfd/"), clock.0) }
    }

    fn wall(&self, now: Instant) -> u64 {
        let (began, wall) = self.clock;
        wall + now.saturating_duration_since(began).as_secs()
    }

    /// Whether a path of the store is ours alone, and no fact.
    pub fn owns(&self, path: &str) -> bool {
        self.ledger.owns(path)
    }

    /// What the store says of such a path.
    pub fn see(&mut self, path: &str, value: Option<&[u8]>, revision: i64) {
        self.ledger.see(path, value, revision);
    }

    /// How a write of such a path ended.
    pub fn written(&mut self, path: &str, outcome: &Outcome, now: Instant) {
        self.ledger.done(path, outcome, now);
    }

    /// The sessions are these now.
    pub fn are(&mut self, now_there: BTreeMap<End, Session>, now: Instant, stats: &mut Stats) {
        let wall = self.wall(now);
        let ledger = &mut self.ledger;
        self.known.retain(|end, known| {
            let stays = now_there.get(end).is_some_and(|session| session.chassis == known.session.chassis);
            if !stays {
                ledger.want(&place(*end, &known.session), None);
            }
            stays
        });
        for (end, session) in now_there {
            match self.known.get_mut(&end) {
                Some(known) => {
                    if known.session.forwarding != session.forwarding {
                        stats.bfd_changes += 1;
                        known.since = wall;
                    }
                    known.proven = session.forwarding || known.proven && session.state != "up";
                    known.seen |= session.state == "up";
                    known.session = session;
                }
                None => {
                    let proven = session.forwarding;
                    let seen = session.state == "up";
                    let known = Known { session, proven, seen, since: wall, told: None, silent: now + BEGIN };
                    self.known.insert(end, known);
                }
            }
        }
        stats.bfd_sessions = self.known.len() as u64;
        stats.bfd_up = self.known.values().filter(|known| known.session.forwarding).count() as u64;
    }

    /// Those that tell of a dead tunnel when they are down.
    pub fn proven(&self) -> BTreeSet<End> {
        self.known.iter().filter(|(_, known)| known.proven).map(|(end, _)| *end).collect()
    }

    /// Whether a chassis is known to be dead or withdrawn: one whose sessions have not come up yet may be on its way.
    pub fn is_lost(&self, chassis: &str) -> bool {
        let mut of = self.known.values().filter(|known| known.session.chassis == chassis).peekable();
        of.peek().is_some() && of.all(|known| known.seen && !known.session.forwarding)
    }

    /// This host is withdrawn for that reason, or is not.
    pub fn withdrawn(&mut self, why: Option<String>, now: Instant) {
        let since = self.wall(now);
        self.ledger.want(HERE, why.map(|why| Shown { state: "withdrawn".into(), why, since }));
    }

    /// Says what is to be said now. To the store only once the network is known: what it shows of an agent before us stays until then.
    pub fn act(&mut self, open: bool, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        for (end, known) in &mut self.known {
            let new = known.told.as_ref() != Some(&known.session);
            let begins = known.told.is_none() && known.session.forwarding;
            if !new || (known.silent > now && !begins) {
                continue;
            }
            let (state, why) = state(&known.session);
            if known.told.as_ref().map(self::state) != Some((state, why.clone())) {
                let reason = if why.is_empty() { String::new() } else { format!(" ({why})") };
                let level = if known.session.forwarding { Level::Info } else { Level::Warn };
                let chassis = &known.session.chassis;
                effects
                    .push(Effect::Say(level, format!("BFD to {chassis} ({} {}): {state}{reason}", kind(end.0), end.1)));
                self.ledger
                    .want(&place(*end, &known.session), Some(Shown { state: state.into(), why, since: known.since }));
                known.silent = now + PAUSE;
            }
            known.told = Some(known.session.clone());
        }
        if open {
            self.ledger.act(now, effects, stats);
        }
    }

    /// When [`Sessions::act`] has something to do.
    pub fn wakeup(&self, open: bool) -> Option<Instant> {
        let untold = self.known.values().filter(|known| known.told.as_ref() != Some(&known.session));
        let ledger = if open { self.ledger.wakeup() } else { None };
        untold.map(|known| known.silent).chain(ledger).min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Bench {
        sessions: Sessions,
        now: Instant,
        stats: Stats,
        effects: Vec<Effect>,
    }

    fn session(up: bool) -> Session {
        Session {
            chassis: "e1".into(),
            forwarding: up,
            state: if up { "up" } else { "down" }.into(),
            diagnostic: if up { "" } else { "Control Detection Time Expired" }.into(),
            remote_diagnostic: String::new(),
        }
    }

    const END: (EncapKind, &str) = (EncapKind::Geneve, "192.0.2.11");

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            let sessions = Sessions::new(&"hv1".parse().unwrap(), (now, 1_000));
            Self { sessions, now, stats: Stats::default(), effects: Vec::new() }
        }
        fn is(&mut self, session: Option<Session>) {
            let all = session.into_iter().map(|s| ((END.0, END.1.parse().unwrap()), s)).collect();
            self.sessions.are(all, self.now, &mut self.stats);
            self.act();
        }
        fn act(&mut self) {
            self.sessions.act(true, self.now, &mut self.effects, &mut self.stats);
            let paths: Vec<String> = self.writes().into_iter().map(|(path, _)| path).collect();
            paths.iter().for_each(|path| self.sessions.written(path, &Outcome::Done(7), self.now));
            while self.sessions.wakeup(true).is_some_and(|at| at <= self.now) {
                self.sessions.act(true, self.now, &mut self.effects, &mut self.stats);
            }
        }
        fn writes(&self) -> Vec<(String, Option<String>)> {
            let writes = self.effects.iter().filter_map(|effect| match effect {
                Effect::Store(write) => {
                    Some((write.path.clone(), write.value.clone().map(|v| String::from_utf8(v).unwrap())))
                }
                _ => None,
            });
            writes.collect()
        }
        fn said(&self) -> Vec<&str> {
            let said =
                self.effects.iter().filter_map(|e| if let Effect::Say(_, text) = e { Some(&**text) } else { None });
            said.collect()
        }
    }

    #[test]
    fn one_that_begins_may_be_down_for_a_while_and_is_told_of_when_it_comes_up() {
        let mut bench = Bench::new();
        bench.is(Some(session(false)));
        assert!(bench.effects.is_empty());
        bench.now += Duration::from_secs(2);
        bench.is(Some(session(true)));
        assert_eq!(bench.said(), ["BFD to e1 (geneve 192.0.2.11): up"]);
        let (path, value) = bench.writes().pop().unwrap();
        assert_eq!(path, "status/hv1/bfd/e1/geneve/192.0.2.11");
        assert_eq!(value.unwrap(), r#"{"state":"up","since":1002}"#);
        bench.is(None);
        assert_eq!(bench.writes().pop().unwrap().1, None);
        assert_eq!((bench.stats.bfd_sessions, bench.stats.bfd_up), (0, 0));
    }

    #[test]
    fn one_that_comes_and_goes_is_told_of_once_a_second() {
        let mut bench = Bench::new();
        bench.is(Some(session(true)));
        for turn in 0..100 {
            bench.now += Duration::from_millis(50);
            bench.is(Some(session(turn % 2 == 1)));
        }
        assert!(bench.said().len() <= 7 && bench.writes().len() <= 7, "{:?}", bench.said());
        assert_eq!(bench.stats.bfd_changes, 100);
        bench.now += PAUSE;
        bench.act();
        assert!(bench.said().last().unwrap().ends_with(": up"), "{:?}", bench.said());
    }

    #[test]
    fn who_was_up_and_is_not_usable_is_lost() {
        let mut bench = Bench::new();
        bench.is(Some(session(false)));
        assert!(!bench.sessions.is_lost("e1") && !bench.sessions.is_lost("e2"), "it begins, or is not known at all");
        bench.is(Some(session(true)));
        assert!(!bench.sessions.is_lost("e1"));
        bench.is(Some(Session { forwarding: false, ..session(true) }));
        assert!(bench.sessions.is_lost("e1"), "withdrawn");
        bench.is(Some(session(false)));
        assert!(bench.sessions.is_lost("e1"), "dead");
        bench.is(Some(session(true)));
        assert!(!bench.sessions.is_lost("e1"));
    }

    #[test]
    fn what_the_other_end_says_is_told() {
        let mut bench = Bench::new();
        bench.is(Some(session(true)));
        bench.now += PAUSE;
        let remote_diagnostic = "Concatenated Path Down".to_owned();
        bench.is(Some(Session { forwarding: false, remote_diagnostic, ..session(true) }));
        assert_eq!(bench.said().pop(), Some("BFD to e1 (geneve 192.0.2.11): withdrawn (Concatenated Path Down)"));
        bench.sessions.withdrawn(Some("no uplink is left".into()), bench.now);
        bench.act();
        let (path, value) = bench.writes().pop().unwrap();
        assert_eq!(path, "status/hv1/bfd/withdrawn");
        assert_eq!(value.unwrap(), r#"{"state":"withdrawn","why":"no uplink is left","since":1001}"#);
    }
}
