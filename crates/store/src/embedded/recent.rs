//! The latest revisions in memory, so that watchers that keep up need not read the file. Who is further behind reads the log.

use super::edit::Revision;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Revisions and, roughly, bytes that are kept.
const REVISIONS: usize = 4096;
const BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
struct Ring {
    revisions: VecDeque<(usize, Arc<Revision>)>,
    bytes: usize,
}

/// Consecutive revisions up to the last committed one.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Ring>);

impl Recent {
    /// Adds new revisions, and forgets those before `compacted`: who asks for them shall hear that they are gone, wherever they were.
    pub fn push(&self, revisions: &[Arc<Revision>], compacted: i64) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for revision in revisions {
            let size = revision.changes.iter().map(|change| 128 + change.kv.key.len() + change.kv.value.len()).sum();
            ring.bytes += size;
            ring.revisions.push_back((size, revision.clone()));
        }
        let old = |ring: &Ring| ring.revisions.front().is_some_and(|(_, first)| first.revision < compacted);
        while ring.revisions.len() > REVISIONS || (ring.bytes > BYTES && ring.revisions.len() > 1) || old(&ring) {
            let Some((size, _)) = ring.revisions.pop_front() else { break };
            ring.bytes -= size;
        }
    }

    /// At most `limit` revisions from `from` on; `None` if they are not all here.
    pub fn since(&self, from: i64, limit: usize) -> Option<Vec<Arc<Revision>>> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, first) = ring.revisions.front()?;
        let skip = usize::try_from(from.checked_sub(first.revision)?).ok()?;
        Some(ring.revisions.iter().skip(skip).take(limit).map(|(_, revision)| revision.clone()).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_has_and_says_when_it_has_not() {
        let recent = Recent::default();
        assert!(recent.since(1, 10).is_none());
        let revision = |revision| Arc::new(Revision { revision, changes: Vec::new() });
        recent.push(&(2..=5000).map(revision).collect::<Vec<_>>(), -1);
        assert!(recent.since(5000 - REVISIONS as i64, 10).is_none(), "dropped");
        let some = recent.since(4990, 5).unwrap();
        assert_eq!(some.iter().map(|revision| revision.revision).collect::<Vec<_>>(), [4990, 4991, 4992, 4993, 4994]);
        assert!(recent.since(5001, 5).unwrap().is_empty());
        recent.push(&[], 4990);
        assert!(recent.since(4989, 5).is_none() && recent.since(4990, 5).is_some());
    }
}
