//! What the mirror knows, without I/O: the revision of each key, and how far each subtree has been followed.

use super::{
    MirrorChange,
    keys::{Change, Keys},
};
use crate::client::{EventKind, Kv, WatchEvent};
use std::cmp::Ordering;

/// One subtree's keys.
#[derive(Debug, Default)]
pub(super) struct Subtree {
    /// What its keys begin with below `<prefix>/v1/`.
    pub name: String,
    keys: Keys,
    /// All revisions below this have been seen: a watch goes on from here. 0 before the first listing.
    pub next: i64,
}

/// A listing in progress: what it has shown so far.
#[derive(Debug, Default)]
pub(super) struct Relisting {
    seen: Keys,
    /// Whether nothing was known when it began: then nothing can turn out to be gone, and what it shows need not be noted.
    first: Option<bool>,
}

impl Subtree {
    pub fn new(name: &str) -> Subtree {
        Subtree { name: name.to_owned(), ..Subtree::default() }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The revision that a key was last changed by, as far as is known here.
    pub fn known(&self, path: &str) -> Option<i64> {
        self.keys.get(path)
    }

    /// What an event of the watch changes, if it is news.
    pub fn event(&mut self, root: &str, event: WatchEvent) -> Option<MirrorChange> {
        // A store that repeats itself after a resumption must not be heard twice, nor may it bring back what it deleted since.
        if event.kv.mod_revision < self.next {
            return None;
        }
        let path = event.kv.key.strip_prefix(root)?;
        let known = self.known(path);
        if known.is_some_and(|known| known >= event.kv.mod_revision) {
            return None;
        }
        match event.kind {
            EventKind::Put => self.read(root, event.kv),
            EventKind::Delete => {
                self.keys.remove(path)?;
                Some(gone(path, event.kv.mod_revision))
            }
        }
    }

    /// What one key as the store has it now changes. A revision lower than the known one counts as well: what is read after all that is known was
    /// told can only be older in a store with another past.
    fn read(&mut self, root: &str, kv: Kv) -> Option<MirrorChange> {
        let known = self.keys.set(kv.key.strip_prefix(root)?, kv.mod_revision);
        news(root, kv, known)
    }

    /// All changes up to and including `revision` have been given to [`Subtree::event`].
    pub fn followed(&mut self, revision: i64) {
        self.next = self.next.max(revision + 1);
    }

    /// A page of a new listing: what of it is news.
    pub fn page(&mut self, listing: &mut Relisting, root: &str, mut kvs: Vec<Kv>) -> Vec<MirrorChange> {
        let first = *listing.first.get_or_insert(self.keys.is_empty());
        kvs.retain(|kv| kv.key.starts_with(root));
        let seen: Vec<Change<'_>> =
            kvs.iter().filter_map(|kv| Some((kv.key.strip_prefix(root)?, Some(kv.mod_revision)))).collect();
        if !first {
            listing.seen.apply(&seen);
        }
        let known = self.keys.apply(&seen);
        kvs.into_iter().zip(known).filter_map(|(kv, known)| news(root, kv, known)).collect()
    }

    /// The listing, taken at `revision`, is complete: what it did not show is gone.
    pub fn listed(&mut self, listing: Relisting, revision: i64) -> Vec<MirrorChange> {
        let mut dead = Vec::new();
        if listing.first != Some(true) {
            compare(&self.keys, &listing.seen, |path, known, seen| {
                if seen.is_none() && known.is_some_and(|known| known <= revision) {
                    dead.push(path());
                }
            });
        }
        self.keys.apply(&dead.iter().map(|path| (&**path, None)).collect::<Vec<_>>());
        self.followed(revision);
        dead.iter().map(|path| gone(path, revision)).collect()
    }

    /// Compares with a listing taken at `revision`, after which nothing was applied: the paths that differ. Each is either wrong, or an event
    /// about it is on its way.
    pub fn differences(&self, listing: &Keys) -> Vec<Box<str>> {
        let mut wrong = Vec::new();
        compare(&self.keys, listing, |path, known, listed| {
            if known != listed {
                wrong.push(path());
            }
        });
        wrong
    }

    /// Puts one path right from a reading of it at `revision`; `None` if it was right.
    pub fn repair(&mut self, root: &str, path: &str, found: Option<Kv>, revision: i64) -> Option<MirrorChange> {
        match found {
            Some(kv) => self.read(root, kv),
            None => {
                let known = self.keys.get(path)?;
                if known > revision {
                    return None;
                }
                self.keys.remove(path);
                Some(gone(path, revision))
            }
        }
    }

    /// Forgets what is known of revisions, so that the next listing counts whatever its revision.
    pub fn distrust(&mut self) {
        self.keys.forget_revisions();
        self.next = 0;
    }

    /// Makes the mirror wrong, as a lost event would.
    #[cfg(test)]
    pub fn forget(&mut self, path: &str) {
        self.keys.remove(path);
    }
}

/// Goes through both in order: each path, with its revision here and there.
fn compare(here: &Keys, there: &Keys, mut f: impl FnMut(&dyn Fn() -> Box<str>, Option<i64>, Option<i64>)) {
    let (mut here, mut there) = (here.cursor(), there.cursor());
    let (mut more_here, mut more_there) = (here.advance(), there.advance());
    while more_here || more_there {
        let order = match (more_here, more_there) {
            (true, true) => here.path().cmp(there.path()),
            (true, false) => Ordering::Less,
            _ => Ordering::Greater,
        };
        match order {
            Ordering::Less => f(&|| here.text(), Some(here.revision), None),
            Ordering::Equal => f(&|| here.text(), Some(here.revision), Some(there.revision)),
            Ordering::Greater => f(&|| there.text(), None, Some(there.revision)),
        }
        if order != Ordering::Greater {
            more_here = here.advance();
        }
        if order != Ordering::Less {
            more_there = there.advance();
        }
    }
}

/// What the store has under a key, if that is not what was known.
fn news(root: &str, kv: Kv, known: Option<i64>) -> Option<MirrorChange> {
    if known == Some(kv.mod_revision) {
        return None;
    }
    let mut path = kv.key;
    path.drain(..root.len());
    Some(MirrorChange {
        path,
        value: Some(kv.value),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
    })
}

fn gone(path: &str, revision: i64) -> MirrorChange {
    MirrorChange { path: path.to_owned(), value: None, create_revision: 0, mod_revision: revision }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const ROOT: &str = "/t/v1/";

    fn kv(path: &str, mod_revision: i64) -> Kv {
        Kv {
            key: format!("{ROOT}{path}"),
            value: Bytes::from(format!("{mod_revision}")),
            create_revision: 1,
            mod_revision,
            version: 1,
            lease: 0,
        }
    }

    fn keys(listing: &[(&str, i64)]) -> Keys {
        let mut keys = Keys::default();
        keys.apply(&listing.iter().map(|(path, at)| (*path, Some(*at))).collect::<Vec<_>>());
        keys
    }

    fn put(path: &str, revision: i64) -> WatchEvent {
        WatchEvent { kind: EventKind::Put, kv: kv(path, revision) }
    }

    fn delete(path: &str, revision: i64) -> WatchEvent {
        WatchEvent { kind: EventKind::Delete, kv: kv(path, revision) }
    }

    fn listed(tree: &mut Subtree, kvs: &[(&str, i64)], revision: i64) -> Vec<(String, bool)> {
        let mut listing = Relisting::default();
        let mut changes = tree.page(&mut listing, ROOT, kvs.iter().map(|(path, at)| kv(path, *at)).collect());
        changes.extend(tree.listed(listing, revision));
        changes.into_iter().map(|change| (change.path, change.value.is_some())).collect()
    }

    #[test]
    fn a_second_listing_gives_only_the_difference() {
        let mut tree = Subtree::new("ls/");
        assert_eq!(listed(&mut tree, &[("ls/a", 2), ("ls/b", 3)], 5).len(), 2);
        assert_eq!(tree.next, 6);
        let changes = listed(&mut tree, &[("ls/b", 3), ("ls/c", 8)], 9);
        assert_eq!(changes, [("ls/c".to_owned(), true), ("ls/a".to_owned(), false)]);
        assert!(listed(&mut tree, &[("ls/b", 3), ("ls/c", 8)], 12).is_empty());
    }

    #[test]
    fn a_store_that_went_back_in_time_is_believed() {
        let mut tree = Subtree::new("ls/");
        listed(&mut tree, &[("ls/a", 50), ("ls/b", 60)], 70);
        tree.distrust();
        assert_eq!(listed(&mut tree, &[("ls/a", 3)], 4), [("ls/a".to_owned(), true), ("ls/b".to_owned(), false)]);
        assert_eq!(tree.next, 5);
    }

    #[test]
    fn an_older_revision_counts_when_it_is_read_but_not_when_it_is_repeated() {
        let mut tree = Subtree::new("ls/");
        listed(&mut tree, &[("ls/a", 4), ("ls/b", 6)], 7);
        let store = keys(&[("ls/a", 4), ("ls/b", 5)]);
        assert_eq!(tree.differences(&store), [Box::from("ls/b")]);
        assert!(tree.event(ROOT, put("ls/b", 5)).is_none());
        assert_eq!(tree.repair(ROOT, "ls/b", Some(kv("ls/b", 5)), 9).unwrap().mod_revision, 5);
        assert!(tree.differences(&store).is_empty());
        assert_eq!(listed(&mut tree, &[("ls/a", 3), ("ls/b", 5)], 9), [("ls/a".to_owned(), true)]);
    }

    #[test]
    fn events_heard_twice_count_once() {
        let mut tree = Subtree::new("ls/");
        listed(&mut tree, &[("ls/a", 2)], 5);
        assert!(tree.event(ROOT, put("ls/a", 2)).is_none());
        assert!(tree.event(ROOT, put("ls/b", 7)).is_some());
        assert!(tree.event(ROOT, delete("ls/b", 8)).is_some());
        tree.followed(8);
        assert!(tree.event(ROOT, put("ls/b", 7)).is_none(), "what was deleted since must not come back");
        assert!(tree.event(ROOT, delete("ls/never", 9)).is_none());
        assert!(tree.event(ROOT, put("ls/b", 9)).is_some());
    }

    #[test]
    fn an_audit_finds_what_is_missing_stale_or_dead() {
        let mut tree = Subtree::new("ls/");
        listed(&mut tree, &[("ls/same", 2), ("ls/missing", 3), ("ls/stale", 4), ("ls/dead", 4)], 5);
        tree.forget("ls/missing");
        let store = keys(&[("ls/missing", 3), ("ls/same", 2), ("ls/stale", 6)]);
        let wrong = tree.differences(&store);
        assert_eq!(wrong, [Box::from("ls/dead"), Box::from("ls/missing"), Box::from("ls/stale")]);
        assert!(tree.repair(ROOT, "ls/missing", Some(kv("ls/missing", 3)), 9).is_some());
        assert!(tree.repair(ROOT, "ls/stale", Some(kv("ls/stale", 6)), 9).is_some());
        assert!(tree.repair(ROOT, "ls/dead", None, 9).unwrap().value.is_none());
        assert!(tree.differences(&store).is_empty());
        assert!(tree.repair(ROOT, "ls/dead", None, 9).is_none(), "already right");
    }
}
