//! A next hop at a router that is just being made is taken a moment later, where there are others.
//!
//! All hosts hear of a new edge at once, and yet not at the same instant: it needs flows, a patch port and perhaps its neighbours before it is of use, and that BFD knows its host alive says
//! nothing of that, as that was a host before. So where a transaction makes a router, and a route to a prefix that another router has a route to already, that route is held back from the rules
//! for a moment, on all hosts, the new edge's own as well: what goes by the others goes on by them.
//!
//! A route that is the only one to its prefix is nobody's newcomer, nor is what the first listing of the store shows, nor a route among routers that are there; and if the last of those that
//! were there goes, nobody waits any more.

use super::linger::is_router;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};
use tuplenet_model::{key::Key, object::Object};
use tuplenet_rules::Change;

/// For so long: an edge is ready within some 0.1 s.
const HOLD: Duration = Duration::from_secs(1);

/// A router, and a prefix in the text of the document.
type Prefix = (String, String);

/// See the module.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// Paths of the routers that there are.
    routers: HashSet<String>,
    /// Routes that the rules know, by path, and how many each prefix has.
    known: HashMap<String, Prefix>,
    ways: HashMap<Prefix, usize>,
    /// Routes that they are to know later, by path.
    held: BTreeMap<String, (Instant, Prefix, Change)>,
}

/// The path of a route.
fn route(change: &Change) -> Option<&str> {
    match change {
        Change::Object { path, .. } if path.starts_with("lr/") && path.contains("/lsr/") => Some(path),
        _ => None,
    }
}

/// What it is a way to; `None` if it is gone, or nothing that the rules understand.
fn prefix(change: &Change) -> Option<Prefix> {
    let Change::Object { path, value: Some(value), .. } = change else { return None };
    let key = Key::parse(path).ok()??;
    match (&key, Object::parse(&key, value)) {
        (Key::Lsr(router, _), Ok(Object::Lsr(route))) => Some((router.to_string(), route.prefix.to_string())),
        _ => None,
    }
}

impl Newcomers {
    /// A transaction of the store, or what was held back of one for another reason. Gives what is to be acted on at once, in the same order. `live`: the network was known before.
    pub fn pass(&mut self, changes: Vec<Change>, live: bool, now: Instant) -> Vec<Change> {
        let made = self.see(&changes);
        if changes.iter().all(|change| route(change).is_none()) {
            return changes;
        }
        // First what was there: a route that takes another's place in one transaction finds nobody beside it.
        let mut changed = BTreeSet::new();
        for change in &changes {
            let Some(path) = route(change) else { continue };
            self.held.remove(path);
            if let Some(old) = self.known.get(path).cloned() {
                self.forget(path, &old);
                changed.insert(path.to_owned());
            }
        }
        let stays: Vec<(String, Prefix)> =
            changes.iter().filter_map(|change| Some((route(change)?.to_owned(), prefix(change)?))).collect();
        let is_known = |path: &String| changed.contains(path);
        for (path, prefix) in stays.iter().filter(|(path, _)| is_known(path)) {
            self.learn(path.clone(), prefix.clone());
        }
        let late: BTreeSet<String> = stays
            .into_iter()
            .filter(|(path, prefix)| live && made && !is_known(path) && self.ways.contains_key(prefix))
            .map(|(path, _)| path)
            .collect();
        let mut pass = Vec::with_capacity(changes.len());
        for change in changes {
            match (route(&change).map(str::to_owned), prefix(&change)) {
                (Some(path), Some(prefix)) if late.contains(&path) => {
                    self.held.insert(path, (now + HOLD, prefix, change));
                    continue;
                }
                (Some(path), Some(prefix)) if !self.known.contains_key(&path) => self.learn(path, prefix),
                _ => {}
            }
            pass.push(change);
        }
        let alone: Vec<String> = self
            .held
            .iter()
            .filter(|(_, (_, prefix, _))| !self.ways.contains_key(prefix))
            .map(|(path, _)| path.clone())
            .collect();
        pass.extend(alone.iter().filter_map(|path| self.release(path)));
        pass
    }

    /// Remembers which routers there are. Whether one is made.
    fn see(&mut self, changes: &[Change]) -> bool {
        let mut made = false;
        for change in changes {
            let Change::Object { path, value, .. } = change else { continue };
            if !is_router(path) {
                continue;
            }
            match value {
                Some(_) => made |= self.routers.insert(path.clone()),
                None => drop(self.routers.remove(path)),
            }
        }
        made
    }

    fn learn(&mut self, path: String, prefix: Prefix) {
        if self.known.insert(path, prefix.clone()).is_none() {
            *self.ways.entry(prefix).or_default() += 1;
        }
    }

    fn forget(&mut self, path: &str, prefix: &Prefix) {
        self.known.remove(path);
        if let Some(ways) = self.ways.get_mut(prefix) {
            *ways -= 1;
            if *ways == 0 {
                self.ways.remove(prefix);
            }
        }
    }

    fn release(&mut self, path: &str) -> Option<Change> {
        let (_, prefix, change) = self.held.remove(path)?;
        self.learn(path.to_owned(), prefix);
        Some(change)
    }

    /// What was held back for long enough.
    pub fn take(&mut self, now: Instant) -> Vec<Change> {
        let due: Vec<String> =
            self.held.iter().filter(|(_, (until, ..))| *until <= now).map(|(path, _)| path.clone()).collect();
        due.iter().filter_map(|path| self.release(path)).collect()
    }

    /// When [`Newcomers::take`] gives something.
    pub fn wakeup(&self) -> Option<Instant> {
        self.held.values().map(|(until, ..)| *until).min()
    }

    /// How many are held back.
    pub fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn add(name: &str, prefix: &str, hop: &str) -> Change {
        let value = format!(r#"{{"prefix": "{prefix}", "next_hop": "{hop}", "outport": "R_to_m"}}"#);
        Change::Object { path: format!("lr/R/lsr/{name}"), value: Some(value.into()), create_revision: 1 }
    }

    fn del(name: &str) -> Change {
        Change::Object { path: format!("lr/R/lsr/{name}"), value: None, create_revision: 1 }
    }

    fn router(name: &str) -> Change {
        Change::Object { path: format!("lr/{name}"), value: Some(r#"{"id": 9}"#.into()), create_revision: 1 }
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        changes.iter().filter_map(|change| route(change)?.rsplit('/').next()).collect()
    }

    #[test]
    fn a_way_to_a_router_that_is_made_waits_beside_others_and_one_that_is_alone_does_not() {
        let (mut held, now) = (Newcomers::default(), Instant::now());
        // What is there in the beginning, and the first ones to a prefix.
        let both = |names: [&str; 2], prefix| {
            vec![router("e1"), add(names[0], prefix, "10.0.0.1"), add(names[1], prefix, "10.0.0.2")]
        };
        assert_eq!(held.pass(both(["a", "b"], "0.0.0.0/0"), false, now).len(), 3);
        assert_eq!(held.pass(both(["x", "y"], "192.0.2.0/24"), true, now).len(), 3);
        let edge = vec![router("e3"), add("c", "0.0.0.0/0", "10.0.0.3"), add("z", "198.51.100.0/24", "10.0.0.3")];
        let at_once = held.pass(edge, true, now);
        assert_eq!((at_once.len(), names(&at_once)), (2, vec!["z"]), "the router is made at once");
        assert_eq!((held.wakeup(), held.len()), (Some(now + HOLD), 1));
        assert!(held.take(now + HOLD / 2).is_empty());
        assert_eq!(names(&held.take(now + HOLD)), ["c"]);
        // It is one of them now: a change of it is none of this module's, nor is a route more to what there is.
        assert_eq!(names(&held.pass(vec![add("c", "0.0.0.0/0", "10.0.0.4")], true, now)), ["c"]);
        assert_eq!(names(&held.pass(vec![router("e3"), add("d", "0.0.0.0/0", "10.0.0.4")], true, now)), ["d"]);
        assert_eq!(held.wakeup(), None);
    }

    #[test]
    fn nobody_waits_for_a_way_that_is_the_last_or_takes_anothers_place() {
        let (mut held, now) = (Newcomers::default(), Instant::now());
        held.pass(vec![add("a", "0.0.0.0/0", "10.0.0.1")], true, now);
        assert_eq!(names(&held.pass(vec![router("e2"), add("b", "0.0.0.0/0", "10.0.0.2")], true, now)).len(), 0);
        assert_eq!(names(&held.pass(vec![del("a")], true, now)), ["a", "b"], "and it is there when the other goes");
        let instead = vec![router("e3"), add("c", "0.0.0.0/0", "10.0.0.3"), del("b")];
        assert_eq!(names(&held.pass(instead, true, now)), ["c", "b"]);
        assert_eq!((held.wakeup(), held.known.len(), held.ways.len()), (None, 1, 1));
        // A route that is there and becomes one to another prefix is no newcomer: the rules would keep what it was.
        held.pass(vec![add("d", "192.0.2.0/24", "10.0.0.1")], true, now);
        assert_eq!(names(&held.pass(vec![router("e4"), add("d", "0.0.0.0/0", "10.0.0.1")], true, now)), ["d"]);
        assert_eq!((held.known.len(), held.ways.len()), (2, 1));
    }

    #[test]
    fn what_is_deleted_while_it_waits_never_comes() {
        let (mut held, now) = (Newcomers::default(), Instant::now());
        held.pass(vec![add("a", "0.0.0.0/0", "10.0.0.1")], true, now);
        held.pass(vec![router("e2"), add("b", "0.0.0.0/0", "10.0.0.2")], true, now);
        assert_eq!(names(&held.pass(vec![del("b")], true, now)), ["b"], "of which the rules know nothing");
        assert!(held.take(now + HOLD).is_empty());
        // Made again it waits anew; written once more it is what was written last, and waits no more.
        let gone = Change::Object { path: "lr/e2".into(), value: None, create_revision: 1 };
        held.pass(vec![gone, router("e2"), add("b", "0.0.0.0/0", "10.0.0.2")], true, now);
        assert_eq!(held.len(), 1);
        assert_eq!(names(&held.pass(vec![add("b", "0.0.0.0/0", "10.0.0.9")], true, now)), ["b"]);
        assert_eq!((held.len(), held.known.len()), (0, 2));
    }
}
