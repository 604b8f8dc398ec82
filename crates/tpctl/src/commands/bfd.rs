//! What hosts say of their BFD sessions: `status/<by>/bfd/<chassis>/<protocol>/<address>`, and of themselves: `status/<by>/bfd/withdrawn`.

use super::{Context, commas};
use serde_json::Value;
use tuplenet_store::Kv;

/// States, the best first.
const STATES: [&str; 3] = ["up", "withdrawn", "down"];

/// What a host says.
pub struct Session {
    /// The host.
    pub by: String,
    /// Of which other; `None`: of itself.
    chassis: Option<String>,
    /// One of [`STATES`].
    pub state: String,
    /// Why, if it is known.
    pub why: String,
    /// Since when, in seconds since 1970.
    pub since: Option<u64>,
}

/// What all hosts say.
#[derive(Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// From the keys below `status/`; others are passed over.
    pub fn read(context: &Context, found: &[Kv]) -> Self {
        let sessions = found.iter().filter_map(|kv| {
            let (by, chassis) = match context.store.path(&kv.key).split('/').collect::<Vec<_>>()[..] {
                ["status", by, "bfd", chassis, _, _] => (by, Some(chassis.to_owned())),
                ["status", by, "bfd", "withdrawn"] => (by, None),
                _ => return None,
            };
            let value: Value = serde_json::from_slice(&kv.value).unwrap_or_default();
            let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let since = value.get("since").and_then(Value::as_u64);
            Some(Session { by: by.to_owned(), chassis, state: text("state"), why: text("why"), since })
        });
        Self(sessions.collect())
    }

    /// What others say of a chassis.
    pub fn of<'a>(&'a self, chassis: &'a str) -> impl Iterator<Item = &'a Session> {
        self.0.iter().filter(move |session| session.chassis.as_deref() == Some(chassis))
    }

    /// That a chassis says that it must not be used.
    pub fn withdrawn(&self, chassis: &str) -> Option<&Session> {
        self.0.iter().find(|session| session.chassis.is_none() && session.by == chassis)
    }

    /// What is said of a chassis, in words.
    pub fn seen(&self, chassis: &str) -> String {
        if let Some(session) = self.withdrawn(chassis) {
            return format!("withdrawn: {}", session.why);
        }
        let count = |state: &str| self.of(chassis).filter(|session| session.state == state).count();
        let counts = STATES.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
        commas(counts.map(|(state, count)| format!("{state} at {count}")))
    }

    /// The worst that two chassis say of each other: a session of one end that is not up is of no use for that end.
    pub fn between(&self, a: &str, b: &str) -> Option<&'static str> {
        let said = self.of(a).filter(|session| session.by == b).chain(self.of(b).filter(|session| session.by == a));
        let ranks = said.filter_map(|session| STATES.iter().position(|state| *state == session.state));
        ranks.max().and_then(|rank| STATES.get(rank).copied())
    }
}
