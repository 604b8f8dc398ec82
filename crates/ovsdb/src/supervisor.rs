//! Keeps a connection for as long as somebody needs it, and takes transactions to it.

use crate::config::Config;
use crate::error::TransactError;
use crate::link;
use crate::operation::{OpResult, Operation};
use crate::outbox::Outbox;
use crate::replica::Replica;
use crate::request::{Inbox, QUEUE, Request};
use crate::session::Session;
use crate::update::Event;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Makes transactions on one connection. Cheap to clone; the connection ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    target: String,
}

impl Client {
    /// Carries out all of the operations, or none and says why. Results are one an operation, in order.
    ///
    /// If rows that are watched change by it, the news is in the channel of events before this returns (unless that is
    /// full, which is no deadlock: news waits in the task). While there is no connection it fails
    /// at once with [`TransactError::NotConnected`]; while one is being made it waits for that.
    ///
    /// Dropping the future does not undo what was sent already.
    pub async fn transact(&self, operations: Vec<Operation>) -> Result<Vec<OpResult>, TransactError> {
        for (i, operation) in operations.iter().enumerate() {
            if let Some(why) = operation.fault() {
                let (count, operation) = (operations.len(), operation.describe());
                return Err(TransactError::Invalid { index: i + 1, count, operation, why: why.into() });
            }
        }
        let (reply, answer) = oneshot::channel();
        let ended = || TransactError::NotConnected {
            target: self.target.clone(),
            why: "the connection's task has ended".into(),
        };
        self.requests.send(Request { operations, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Starts a connection, in a task of its own on the present tokio runtime. It is made again whenever it breaks, until
/// the last clone of the client is dropped; then the channel ends, too. Dropping only the channel is fine for who has
/// no use for news.
pub fn connect(config: Config) -> (Client, mpsc::Receiver<Event>) {
    let (requests, from) = mpsc::channel(QUEUE);
    let (to, events) = mpsc::channel(QUEUE);
    let client = Client { requests, target: config.target.to_string() };
    let inbox = Inbox::new(from);
    tokio::spawn(run(config, inbox, Outbox::new(to)));
    (client, events)
}

async fn run(config: Config, mut inbox: Inbox, mut outbox: Outbox) {
    let mut replica = Replica::default();
    let mut backoff = config.backoff_min;
    let mut told: Option<String> = None;
    loop {
        let opening = async {
            let mut opening = std::pin::pin!(link::open(&config));
            loop {
                tokio::select! {
                    link = &mut opening => return Some(link),
                    more = inbox.fill() => if !more {
                        return None;
                    },
                    () = outbox.deliver(&replica) => {}
                }
            }
        };
        let why = match opening.await {
            None => return,
            Some(Err(why)) => why,
            Some(Ok(link)) => {
                let since = Instant::now();
                let mut session = Session::new(link, &config, &mut replica, &mut inbox, &mut outbox);
                let result = session.run().await;
                if session.is_ready() {
                    told = None;
                    // A server that comes up only to break at once is not asked faster and faster.
                    if since.elapsed() > backoff {
                        backoff = config.backoff_min;
                    }
                }
                match result {
                    Ok(()) => return,
                    Err(error) => error.to_string(),
                }
            }
        };
        if told.as_ref() != Some(&why) {
            let text = format!("OVSDB server {}: {why}; trying again", config.target);
            tracing::debug!("{text}");
            outbox.push(Event::Down(text), &replica);
            told = Some(why.clone());
        }
        let pause = tokio::time::sleep(jitter(backoff));
        let mut pause = std::pin::pin!(pause);
        loop {
            while let Some(request) = inbox.take() {
                let target = config.target.to_string();
                request.answer(Err(TransactError::NotConnected { target, why: why.clone() }));
            }
            tokio::select! {
                () = &mut pause => break,
                more = inbox.fill() => if !more {
                    return;
                },
                () = outbox.deliver(&replica) => {}
            }
        }
        backoff = (backoff * 2).min(config.backoff_max);
    }
}

/// A quarter more or less, so that the clients of a server that comes back do not all come at once.
fn jitter(pause: Duration) -> Duration {
    // The keys of a new RandomState differ each time: randomness enough, without a crate for it.
    let random = RandomState::new().build_hasher().finish() % 512;
    pause * (768 + random as u32) / 1024
}
