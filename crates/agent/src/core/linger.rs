//! An edge that is taken away serves for a moment longer what is on its way to it.
//!
//! All hosts hear of a removal at once, and yet not at the same instant: who has not, or has the old way in its switch's cache still, sends to an edge whose flows and ports would be gone.
//! So where a router pinned to this host goes to which others follow routes, this host acts on it two seconds after all others: what the transaction deletes is held back from
//! the rules for so long. What it deletes on other hosts they do at once, so nothing new comes. Routes of other routers go at once here, too: what this host's own guests send takes
//! another way, and the edge is there for the answers. Whose agent is late or dead hears of it from its switch: if no other router stays here, this host's BFD sessions say meanwhile that it
//! must not be used ([`super::ovs::Ovs::leave`]).
//!
//! Only plain removals are held back. A transaction that writes something of the network as well moves rather than removes, and what it moves must not be there twice; the same goes for a
//! later transaction that writes while something is held: that goes first then. Ports and routes of switches and routers that stay are in nobody's way.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tuplenet_model::{key::Key, name::Name, object::Object};
use tuplenet_rules::Change;

/// For so long: hosts follow within milliseconds; on a busy machine the cache of Open vSwitch was seen to use what its tables no longer had for more than a second.
const LINGER: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Linger {
    me: Name,
    /// Paths of the routers that are pinned to this host.
    edges: BTreeSet<String>,
    held: Vec<Change>,
    /// Until then, if anything is.
    until: Instant,
}

/// Whether a path is that of a router.
pub(super) fn is_router(path: &str) -> bool {
    path.strip_prefix("lr/").is_some_and(|name| !name.contains('/'))
}

/// What a transaction does with the network's switches, routers and what they have: `None` if nothing, else whether it writes it.
fn writes(change: &Change) -> Option<bool> {
    match change {
        Change::Object { path, value, .. } if path.starts_with("ls/") || path.starts_with("lr/") => {
            Some(value.is_some())
        }
        _ => None,
    }
}

/// Where the objects are that these are about.
fn paths<'a>(changes: impl IntoIterator<Item = &'a Change>) -> impl Iterator<Item = &'a str> {
    changes.into_iter().filter_map(|change| match change {
        Change::Object { path, .. } => Some(&**path),
        _ => None,
    })
}

/// The switch or router that an object of the network is or belongs to, as a path.
fn parent(path: &str) -> Option<&str> {
    let at = path.find('/')? + 1;
    Some(match path[at..].find('/') {
        Some(end) => &path[..at + end],
        None => path,
    })
}

impl Linger {
    /// Nothing known, of the host `me`.
    pub fn new(me: Name, now: Instant) -> Self {
        Self { me, edges: BTreeSet::new(), held: Vec::new(), until: now }
    }

    /// A transaction of the store. `drawing`: others follow routes to routers that are pinned here. Gives what is to be acted on at once, which may be what was held so far as well.
    pub fn pass(&mut self, changes: Vec<Change>, drawing: bool, now: Instant) -> Vec<Change> {
        let ends = self.see(&changes);
        if changes.iter().any(|change| self.is_in_the_way(change)) {
            let mut all = std::mem::take(&mut self.held);
            all.extend(changes);
            return all;
        }
        let moves = changes.iter().any(|change| writes(change) == Some(true));
        if !(ends && drawing) || moves {
            return changes;
        }
        self.until = now + LINGER;
        let gone: BTreeSet<String> = paths(&changes).filter(|path| is_router(path)).map(str::to_owned).collect();
        let stays = |path: &str| path.contains("/lsr/") && parent(path).is_some_and(|router| !gone.contains(router));
        let (hold, pass): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| writes(change).is_some() && !paths([change]).any(stays));
        self.held.extend(hold);
        pass
    }

    /// Whether it writes what could be at odds with something that is held: the same object or one beside it, an address, a number.
    fn is_in_the_way(&self, change: &Change) -> bool {
        if self.held.is_empty() || writes(change) != Some(true) {
            return false;
        }
        let of_held = |path: &str| paths(&self.held).any(|held| parent(held) == parent(path));
        paths([change]).any(|path| !(path.contains("/lsp/") || path.contains("/lsr/")) || of_held(path))
    }

    /// Remembers who is pinned here. Whether one of them goes.
    fn see(&mut self, changes: &[Change]) -> bool {
        let mut ends = false;
        for change in changes {
            let Change::Object { path, value, .. } = change else { continue };
            if !is_router(path) {
                continue;
            }
            match value {
                None => ends |= self.edges.remove(path),
                Some(value) if self.is_here(path, value) => drop(self.edges.insert(path.clone())),
                Some(_) => drop(self.edges.remove(path)),
            }
        }
        ends
    }

    fn is_here(&self, path: &str, value: &[u8]) -> bool {
        let Ok(Some(key)) = Key::parse(path) else { return false };
        matches!(Object::parse(&key, value), Ok(Object::Lr(router)) if router.chassis.as_ref() == Some(&self.me))
    }

    /// What was held back for long enough.
    pub fn take(&mut self, now: Instant) -> Vec<Change> {
        if now < self.until { Vec::new() } else { std::mem::take(&mut self.held) }
    }

    /// Whether no router that others may follow routes to is left here when what is held back is gone.
    pub fn is_last(&self) -> bool {
        !self.held.is_empty() && self.edges.is_empty()
    }

    /// How many are held back.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// When [`Linger::take`] gives something.
    pub fn wakeup(&self) -> Option<Instant> {
        (!self.held.is_empty()).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(path: &str, value: Option<&str>) -> Change {
        Change::Object { path: path.into(), value: value.map(|v| v.to_owned().into()), create_revision: 1 }
    }

    fn router(name: &str, chassis: &str) -> Change {
        object(&format!("lr/{name}"), Some(&format!(r#"{{"id": 9, "chassis": "{chassis}"}}"#)))
    }

    fn told(changes: &[Change]) -> Vec<(&str, bool)> {
        fn path(change: &Change) -> (&str, bool) {
            match change {
                Change::Object { path, value, .. } => (path.as_str(), value.is_some()),
                _ => panic!("{change:?}"),
            }
        }
        changes.iter().map(path).collect()
    }

    /// A host with the routers edge1 and edge2, and how the first is taken away.
    fn bench() -> (Linger, Vec<Change>, Instant) {
        let now = Instant::now();
        let mut linger = Linger::new("hv1".parse().unwrap(), now);
        let all = vec![router("edge1", "hv1"), router("edge2", "hv1"), router("edge3", "hv3")];
        assert_eq!(linger.pass(all, false, now).len(), 3);
        let gone = ["lr/edge1", "lr/edge1/lrp/up", "ls/outside1", "chassis/hv9"];
        (linger, gone.iter().map(|path| object(path, None)).collect(), now)
    }

    #[test]
    fn an_edge_that_goes_stays_a_moment_longer_and_what_it_has_with_it() {
        let (mut linger, gone, now) = bench();
        assert_eq!(told(&linger.pass(gone, true, now)), [("chassis/hv9", false)], "no part of it");
        assert_eq!(linger.wakeup(), Some(now + LINGER));
        // Others' changes that are no part of the network, or take more of it away, change nothing.
        let bound = vec![object("binding/web/w1", Some("{}")), object("ls/other", None)];
        assert_eq!(linger.pass(bound, true, now).len(), 2);
        assert!(linger.take(now + LINGER / 2).is_empty());
        let late = linger.take(now + LINGER);
        assert_eq!(told(&late), [("lr/edge1", false), ("lr/edge1/lrp/up", false), ("ls/outside1", false)]);
        assert_eq!(linger.wakeup(), None);
    }

    #[test]
    fn what_others_send_goes_elsewhere_at_once_and_what_is_beside_it_disturbs_nothing() {
        let (mut linger, mut gone, now) = bench();
        gone.extend(["lr/edge1/lsr/out", "lr/R/lsr/to_edge1"].map(|path| object(path, None)));
        assert_eq!(told(&linger.pass(gone, true, now)), [("chassis/hv9", false), ("lr/R/lsr/to_edge1", false)]);
        for beside in ["ls/web/lsp/w9", "lr/R/lsr/more"] {
            assert_eq!(linger.pass(vec![object(beside, Some("{}"))], true, now).len(), 1, "{beside}");
        }
        assert_eq!(linger.pass(vec![object("ls/outside1/lsp/x", Some("{}"))], true, now).len(), 5);
        assert_eq!(linger.wakeup(), None);
    }

    #[test]
    fn two_edges_that_go_one_after_the_other_stay_until_the_last() {
        let (mut linger, gone, now) = bench();
        linger.pass(gone, true, now);
        assert!(linger.pass(vec![object("lr/edge2", None)], true, now + LINGER / 2).is_empty());
        assert!(linger.take(now + LINGER).is_empty());
        assert_eq!(linger.take(now + LINGER * 3 / 2).len(), 4);
    }

    #[test]
    fn who_nobody_follows_a_route_to_and_who_is_elsewhere_goes_at_once() {
        let (mut linger, gone, now) = bench();
        assert_eq!(linger.pass(gone, false, now).len(), 4);
        assert_eq!(linger.pass(vec![object("lr/edge3", None)], true, now).len(), 1);
        // Moved elsewhere, it is none of ours.
        linger.pass(vec![router("edge2", "hv3")], true, now);
        assert_eq!(linger.pass(vec![object("lr/edge2", None)], true, now).len(), 1);
        assert_eq!(linger.wakeup(), None);
    }

    #[test]
    fn what_is_written_finds_the_removal_done() {
        let (mut linger, gone, now) = bench();
        let mut moved = gone.clone();
        moved.push(router("edge4", "hv1"));
        assert_eq!(linger.pass(moved, true, now).len(), 5, "in one transaction");
        let (mut linger, _, _) = bench();
        linger.pass(gone, true, now);
        let all = linger.pass(vec![router("edge1", "hv1")], true, now);
        let (first, last) = (told(&all)[0], *told(&all).last().unwrap());
        assert_eq!((all.len(), first, last), (4, ("lr/edge1", false), ("lr/edge1", true)), "in the order of time");
        assert_eq!(linger.wakeup(), None);
        // And once more, as it is there again.
        assert!(linger.pass(vec![object("lr/edge1", None)], true, now).is_empty());
    }
}
