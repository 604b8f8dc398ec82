//! Who waits for which answer.
//!
//! A waiter owns a range of xids: one for a single request, two for a message and the barrier behind it, thousands for
//! a bundle. An error for any xid of the range is kept (the first one), and the answer to the last xid ends the
//! waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::RequestError;
use crate::message::ErrorMsg;

/// xids from here on are not given to requests; the last is that of our keepalive.
const END_OF_XIDS: u32 = 0x8000_0000;

/// How waiting ended.
pub(super) enum Outcome {
    /// All parts of the answer, undecoded.
    Answer(Vec<Bytes>),
    /// The first error, and the xid it is about.
    Refused(u32, ErrorMsg),
    /// The connection ended.
    Disconnected(String),
    /// More parts than allowed.
    TooLarge,
}

struct Watch {
    /// The last xid of the range.
    end: u32,
    /// The xid whose answer ends the waiting.
    last: u32,
    parts: Vec<Bytes>,
    bytes: usize,
    error: Option<(u32, ErrorMsg)>,
    done: oneshot::Sender<Outcome>,
}

struct Inner {
    /// Counts connections; `None` while there is none.
    epoch: Option<u64>,
    last_epoch: u64,
    why_down: String,
    next_xid: u32,
    next_bundle: u32,
    /// By the first xid of each range. Ranges do not overlap.
    watches: BTreeMap<u32, Watch>,
}

/// The waiters of one switch, shared by all who ask and the task that reads.
pub(super) struct Registry {
    inner: Mutex<Inner>,
    max_reply_bytes: usize,
}

/// One waiter. Dropping it ends the waiting and frees its xids.
pub(super) struct Waiter {
    registry: Arc<Registry>,
    pub(super) epoch: u64,
    pub(super) base: u32,
    end: u32,
    done: oneshot::Receiver<Outcome>,
}

impl Registry {
    pub(super) fn new(max_reply_bytes: usize) -> Self {
        Registry {
            inner: Mutex::new(Inner {
                epoch: None,
                last_epoch: 0,
                why_down: "the first connection is being made".to_owned(),
                next_xid: 1,
                next_bundle: 1,
                watches: BTreeMap::new(),
            }),
            max_reply_bytes,
        }
    }

    /// Nothing is done under the lock that could panic half way, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is up. Returns its epoch, which everything written to it must bear.
    pub(super) fn up(&self) -> u64 {
        let mut inner = self.lock();
        inner.last_epoch += 1;
        inner.epoch = Some(inner.last_epoch);
        inner.last_epoch
    }

    /// The connection is gone; all waiters are told why.
    pub(super) fn down(&self, why: &str) {
        let watches = {
            let mut inner = self.lock();
            inner.epoch = None;
            why.clone_into(&mut inner.why_down);
            std::mem::take(&mut inner.watches)
        };
        for watch in watches.into_values() {
            let _ = watch.done.send(Outcome::Disconnected(why.to_owned()));
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.lock().epoch.is_some()
    }

    fn why_down(&self) -> String {
        self.lock().why_down.clone()
    }

    /// Why a waiter of an earlier connection cannot go on.
    pub(super) fn disconnected(&self) -> RequestError {
        RequestError::Disconnected(self.why_down())
    }

    /// The epoch and an xid for a message nobody waits for.
    pub(super) fn xid(&self) -> Result<(u64, u32), RequestError> {
        let mut inner = self.lock();
        let epoch = inner.epoch.ok_or_else(|| RequestError::NotConnected(inner.why_down.clone()))?;
        Ok((epoch, inner.take_xids(1)))
    }

    pub(super) fn bundle_id(&self) -> u32 {
        let mut inner = self.lock();
        inner.next_bundle = inner.next_bundle.wrapping_add(1);
        inner.next_bundle
    }

    /// A waiter for `n` xids (1 to a million or so) whose waiting ends with the answer to the `last`-th of them, from
    /// 0.
    pub(super) fn register(self: &Arc<Self>, n: u32, last: u32) -> Result<Waiter, RequestError> {
        let mut inner = self.lock();
        let epoch = inner.epoch.ok_or_else(|| RequestError::NotConnected(inner.why_down.clone()))?;
        let base = inner.take_xids(n);
        let end = base + (n - 1);
        let (tx, done) = oneshot::channel();
        let watch = Watch { end, last: base + last, parts: Vec::new(), bytes: 0, error: None, done: tx };
        inner.watches.insert(base, watch);
        Ok(Waiter { registry: Arc::clone(self), epoch, base, end, done })
    }

    /// An error came: kept for its waiter, or given back if nobody waits.
    pub(super) fn error(&self, xid: u32, error: ErrorMsg) -> Option<ErrorMsg> {
        let mut inner = self.lock();
        let Some((base, watch)) = inner.find(xid) else { return Some(error) };
        watch.error.get_or_insert((xid, error));
        if xid == watch.last {
            inner.finish(base);
        }
        None
    }

    /// A part of an answer came. `more` says that another one follows.
    pub(super) fn answer(&self, xid: u32, frame: Bytes, more: bool) {
        let max = self.max_reply_bytes;
        let mut inner = self.lock();
        // Answers that nobody waits for any more, and those before the last of a range, say nothing of interest.
        let Some((base, watch)) = inner.find(xid) else { return };
        if xid != watch.last {
            return;
        }
        watch.bytes += frame.len();
        watch.parts.push(frame);
        if watch.bytes > max {
            if let Some(watch) = inner.watches.remove(&base) {
                let _ = watch.done.send(Outcome::TooLarge);
            }
        } else if !more {
            inner.finish(base);
        }
    }
}

impl Inner {
    /// The first of `n` xids in a row that nobody waits for. Never 0, which the switch uses for what it says unasked.
    fn take_xids(&mut self, n: u32) -> u32 {
        loop {
            if self.next_xid > END_OF_XIDS.saturating_sub(n) {
                self.next_xid = 1;
            }
            let base = self.next_xid;
            let end = base + (n - 1);
            match self.watches.range(..=end).next_back() {
                // After two thousand million requests a slow one may still be waiting where we start again.
                Some((_, busy)) if busy.end >= base => self.next_xid = busy.end + 1,
                _ => {
                    self.next_xid = end + 1;
                    return base;
                }
            }
        }
    }

    fn find(&mut self, xid: u32) -> Option<(u32, &mut Watch)> {
        let (&base, watch) = self.watches.range_mut(..=xid).next_back()?;
        (xid <= watch.end).then_some((base, watch))
    }

    fn finish(&mut self, base: u32) {
        if let Some(watch) = self.watches.remove(&base) {
            let _ = watch.done.send(match watch.error {
                Some((xid, error)) => Outcome::Refused(xid, error),
                None => Outcome::Answer(watch.parts),
            });
        }
    }
}

impl Waiter {
    /// Waits for the end.
    pub(super) async fn done(&mut self) -> Outcome {
        match (&mut self.done).await {
            Ok(outcome) => outcome,
            // The registry only drops a sender unused together with itself, and we hold it.
            Err(_) => Outcome::Disconnected(self.registry.why_down()),
        }
    }

    /// Whether an error has come already, so that going on is of no use.
    pub(super) fn has_failed(&self) -> bool {
        let inner = self.registry.lock();
        match inner.watches.get(&self.base) {
            Some(watch) => watch.error.is_some(),
            None => true,
        }
    }

    /// Waits again, with the same range of xids, for the answer to the last of them.
    pub(super) fn again(&mut self) -> Result<(), RequestError> {
        let (tx, done) = oneshot::channel();
        let mut inner = self.registry.lock();
        if inner.epoch != Some(self.epoch) {
            return Err(RequestError::Disconnected(inner.why_down.clone()));
        }
        let watch = Watch { end: self.end, last: self.end, parts: Vec::new(), bytes: 0, error: None, done: tx };
        inner.watches.insert(self.base, watch);
        self.done = done;
        Ok(())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        // A waiter of an earlier connection may have had the xids that another one has now.
        if inner.epoch == Some(self.epoch) {
            inner.watches.remove(&self.base);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(code: u16) -> ErrorMsg {
        ErrorMsg { kind: 1, code, experimenter: None, data: Bytes::new() }
    }

    #[test]
    fn the_first_error_of_a_range_is_told_when_its_last_answer_comes() {
        let registry = Arc::new(Registry::new(1000));
        assert!(matches!(registry.register(1, 0), Err(RequestError::NotConnected(_))));
        registry.up();
        let mut w = registry.register(5, 4).unwrap();
        assert!(registry.error(w.base + 2, error(7)).is_none());
        assert!(registry.error(w.base + 3, error(8)).is_none());
        assert!(w.has_failed());
        assert!(w.done.try_recv().is_err());
        registry.answer(w.base + 4, Bytes::new(), false);
        assert!(matches!(w.done.try_recv().unwrap(), Outcome::Refused(xid, e) if xid == w.base + 2 && e.code == 7));
        assert_eq!(registry.error(w.base + 2, error(9)).unwrap().code, 9);
    }

    #[test]
    fn parts_are_collected_up_to_the_bound() {
        let registry = Arc::new(Registry::new(10));
        registry.up();
        let mut w = registry.register(1, 0).unwrap();
        registry.answer(w.base, Bytes::from_static(b"12345"), true);
        registry.answer(w.base, Bytes::from_static(b"67890"), false);
        assert!(matches!(w.done.try_recv().unwrap(), Outcome::Answer(parts) if parts.len() == 2));
        let mut w = registry.register(1, 0).unwrap();
        registry.answer(w.base, Bytes::from_static(b"12345"), true);
        registry.answer(w.base, Bytes::from_static(b"678901"), true);
        assert!(matches!(w.done.try_recv().unwrap(), Outcome::TooLarge));
        assert!(registry.lock().watches.is_empty());
    }

    #[test]
    fn xids_start_again_and_leave_out_those_in_use() {
        let registry = Arc::new(Registry::new(10));
        registry.up();
        let old = registry.register(3, 0).unwrap();
        registry.lock().next_xid = END_OF_XIDS - 1;
        let last = registry.register(1, 0).unwrap();
        assert_eq!(last.base, END_OF_XIDS - 1);
        let next = registry.register(2, 0).unwrap();
        assert_eq!(next.base, old.end + 1);
        drop((old, last, next));
        assert!(registry.lock().watches.is_empty());
    }

    #[test]
    fn the_end_of_the_connection_ends_all_waiting() {
        let registry = Arc::new(Registry::new(10));
        registry.up();
        let mut w = registry.register(3, 2).unwrap();
        registry.down("gone");
        assert!(matches!(w.done.try_recv().unwrap(), Outcome::Disconnected(why) if why == "gone"));
        registry.up();
        assert!(w.again().is_err());
        assert!(registry.xid().is_ok());
    }
}
