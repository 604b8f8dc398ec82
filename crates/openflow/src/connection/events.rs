//! What the switch says unasked, on its way to whoever listens.
//!
//! A listener that is slow must not make us grow. Packet-ins are droppable by nature: past their bound the oldest goes,
//! and is counted. Everything else (port status, flow removed, errors) is not: a listener that misses one believes
//! something false. If too many of them wait, the connection is ended instead, and the listener reads the state anew
//! after the next [`Event::Up`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::Event;
use crate::message::Message;

// Queued in small numbers, and moved rarely: not worth an allocation each.
#[expect(clippy::large_enum_variant)]
enum Item {
    Event(Event),
    /// Decoded when the listener takes it, so that the reader never waits for that.
    Frame(Bytes),
}

#[derive(Default)]
struct Inner {
    /// Orders the two queues.
    next: u64,
    packet_ins: VecDeque<(u64, Bytes)>,
    others: VecDeque<(u64, Item)>,
    closed: bool,
}

/// Counts of what went wrong without failing anything.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) packet_ins_dropped: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) connections: AtomicU64,
}

pub(super) struct EventQueue {
    inner: Mutex<Inner>,
    notify: Notify,
    max_packet_ins: usize,
    max_others: usize,
    counts: Arc<Counts>,
}

/// Too many events wait that may not be dropped.
#[derive(Debug)]
pub(super) struct Overflow;

impl EventQueue {
    pub(super) fn new(max_packet_ins: usize, max_others: usize, counts: Arc<Counts>) -> Self {
        EventQueue { inner: Mutex::default(), notify: Notify::new(), max_packet_ins, max_others, counts }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn packet_in(&self, frame: &Bytes) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if inner.packet_ins.len() >= self.max_packet_ins {
            inner.packet_ins.pop_front();
            self.counts.packet_ins_dropped.fetch_add(1, Ordering::Relaxed);
        }
        let n = inner.number();
        // A copy, because the frame holds on to the whole buffer that it was read into.
        inner.packet_ins.push_back((n, Bytes::copy_from_slice(frame)));
        self.notify.notify_one();
    }

    pub(super) fn other(&self, frame: &Bytes) -> Result<(), Overflow> {
        let mut inner = self.lock();
        if inner.closed {
            return Ok(());
        }
        if inner.others.len() >= self.max_others {
            return Err(Overflow);
        }
        let n = inner.number();
        inner.others.push_back((n, Item::Frame(Bytes::copy_from_slice(frame))));
        self.notify.notify_one();
        Ok(())
    }

    /// A connection is up or down. What an earlier one said and nobody has read is of no use any more, and is
    /// forgotten; so however often the connection comes and goes, at most a Down and an Up wait.
    pub(super) fn state(&self, event: Event) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if matches!(event, Event::Down(_)) {
            inner.packet_ins.clear();
            inner.others.clear();
        }
        let n = inner.number();
        inner.others.push_back((n, Item::Event(event)));
        self.notify.notify_one();
    }

    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.packet_ins.clear();
        inner.others.clear();
        self.notify.notify_one();
    }

    fn pop(&self) -> Option<Item> {
        let mut inner = self.lock();
        let packet_in_first = match (inner.packet_ins.front(), inner.others.front()) {
            (Some((a, _)), Some((b, _))) => a < b,
            (Some(_), None) => true,
            _ => false,
        };
        if packet_in_first {
            inner.packet_ins.pop_front().map(|(_, frame)| Item::Frame(frame))
        } else {
            inner.others.pop_front().map(|(_, item)| item)
        }
    }

    /// Hands events to the listener at its own speed, until it or the connection's task is gone.
    pub(super) async fn forward(self: Arc<Self>, listener: mpsc::Sender<Event>) {
        loop {
            // Room first, then the event: what waits stays in the queue, where the oldest can be dropped.
            let Ok(room) = listener.reserve().await else { break };
            let event = loop {
                if self.lock().closed {
                    return;
                }
                match self.pop() {
                    Some(Item::Event(event)) => break event,
                    Some(Item::Frame(frame)) => match Message::decode(frame) {
                        Ok((_, message)) => break Event::Message(message),
                        Err(e) => {
                            self.counts.unreadable.fetch_add(1, Ordering::Relaxed);
                            tracing::warn!(error = %e, "a message of the switch cannot be read and is left out");
                        }
                    },
                    None => tokio::select! {
                        () = self.notify.notified() => {}
                        () = listener.closed() => return self.close(),
                    },
                }
            };
            room.send(event);
        }
        self.close();
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[6, 2, 0, 9, 0, 0, 0, 0, n])
    }

    fn numbers(queue: &EventQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop())
            .map(|item| match item {
                Item::Frame(f) => f[8],
                Item::Event(Event::Up(_)) => 101,
                Item::Event(_) => 100,
            })
            .collect()
    }

    #[test]
    fn oldest_packet_ins_go_first_and_order_is_kept() {
        let counts = Arc::new(Counts::default());
        let queue = EventQueue::new(2, 2, counts.clone());
        queue.packet_in(&frame(1));
        queue.other(&frame(2)).unwrap();
        queue.packet_in(&frame(3));
        queue.packet_in(&frame(4));
        queue.other(&frame(5)).unwrap();
        assert!(queue.other(&frame(6)).is_err());
        assert_eq!(numbers(&queue), [2, 3, 4, 5]);
        assert_eq!(counts.packet_ins_dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_connection_that_comes_and_goes_does_not_fill_the_queue() {
        let queue = EventQueue::new(2, 2, Arc::default());
        for _ in 0..1000 {
            queue.state(Event::Down(String::new()));
            queue.other(&frame(1)).unwrap();
        }
        assert_eq!(numbers(&queue), [100, 1]);
    }
}
