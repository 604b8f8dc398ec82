//! News on the way to the user: never blocks the connection, never grows without bound.
//!
//! A user may wait for the reply to a transaction and not read news meanwhile, and still the server wants its echoes
//! answered. So news is queued here; and if a slow user makes the queue longer than telling the whole state anew would
//! be, that is what it gets.

use crate::replica::Replica;
use crate::update::Event;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Rows that may wait in the queue on top of as many as there are.
const MAX_ROWS: usize = 1 << 16;
/// Events that may wait in the queue.
const MAX_EVENTS: usize = 1 << 10;

enum Item {
    /// An event as it was.
    Event(Event),
    /// The state as it will be when the user takes it, in place of all single steps.
    Snapshot,
}

/// The queue.
pub(crate) struct Outbox {
    to: mpsc::Sender<Event>,
    items: VecDeque<Item>,
    rows: usize,
}

impl Outbox {
    pub(crate) fn new(to: mpsc::Sender<Event>) -> Self {
        Self { to, items: VecDeque::new(), rows: 0 }
    }

    /// Adds news. `state` is the state after it.
    pub(crate) fn push(&mut self, event: Event, state: &Replica) {
        if let Event::Update(update) = &event {
            if self.items.iter().any(|item| matches!(item, Item::Snapshot)) {
                return;
            }
            self.rows += update.rows.len();
        }
        self.items.push_back(Item::Event(event));
        let long = self.items.len() > MAX_EVENTS || self.rows > state.len() + MAX_ROWS;
        if long && self.items.len() > 1 {
            tracing::warn!(
                events = self.items.len(),
                rows = self.rows,
                "news of OVSDB is not read: single steps are dropped"
            );
            let connection = self.items.drain(..).rfind(|item| matches!(item, Item::Event(Event::Up | Event::Down(_))));
            self.items.extend(connection);
            self.items.push_back(Item::Snapshot);
            self.rows = 0;
        }
    }

    /// Hands over the oldest news as soon as the user has room for it; never ends if there is none. Loses nothing when
    /// dropped.
    pub(crate) async fn deliver(&mut self, state: &Replica) {
        if self.items.is_empty() {
            return std::future::pending().await;
        }
        let Ok(permit) = self.to.reserve().await else {
            // Nobody listens any more, which is no reason to end: transactions go on.
            self.items.clear();
            self.rows = 0;
            return;
        };
        Self::send(&mut self.items, &mut self.rows, permit, state);
    }

    /// Hands over what the user has room for right now.
    pub(crate) fn deliver_now(&mut self, state: &Replica) {
        while !self.items.is_empty()
            && let Ok(permit) = self.to.try_reserve()
        {
            Self::send(&mut self.items, &mut self.rows, permit, state);
        }
    }

    fn send(items: &mut VecDeque<Item>, rows: &mut usize, permit: mpsc::Permit<'_, Event>, state: &Replica) {
        match items.pop_front() {
            Some(Item::Event(event)) => {
                if let Event::Update(update) = &event {
                    *rows = rows.saturating_sub(update.rows.len());
                }
                permit.send(event);
            }
            Some(Item::Snapshot) => permit.send(Event::Update(state.snapshot())),
            None => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::update::Update;

    #[tokio::test]
    async fn a_slow_user_gets_the_state_instead_of_the_steps() {
        let (to, mut from) = mpsc::channel(1);
        let (mut outbox, state) = (Outbox::new(to), Replica::default());
        outbox.push(Event::Up, &state);
        for _ in 0..10 * MAX_EVENTS {
            outbox.push(Event::Update(Update::default()), &state);
            assert!(outbox.items.len() <= MAX_EVENTS);
        }
        outbox.push(Event::Down("gone".into()), &state);
        let mut seen = Vec::new();
        for _ in 0..3 {
            outbox.deliver(&state).await;
            seen.push(from.recv().await.unwrap());
        }
        let snapshot = Event::Update(Update { initial: true, rows: Vec::new() });
        assert_eq!(seen, [Event::Up, snapshot, Event::Down("gone".into())]);
        assert!(outbox.items.is_empty());
    }
}
