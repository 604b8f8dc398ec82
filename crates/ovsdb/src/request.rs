//! Transactions on their way from who wants them to the connection that carries them out.

use crate::error::TransactError;
use crate::operation::{OpResult, Operation};
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};

/// Transactions that may wait before `transact` itself waits; and the same again in the task.
pub(crate) const QUEUE: usize = 64;

/// A transaction on its way.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operations: Vec<Operation>,
    pub(crate) reply: oneshot::Sender<Result<Vec<OpResult>, TransactError>>,
}

impl Request {
    pub(crate) fn answer(self, reply: Result<Vec<OpResult>, TransactError>) {
        // Whoever asked may have stopped waiting.
        let _ = self.reply.send(reply);
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// What the operations are, for messages.
    pub(crate) fn describe(&self) -> String {
        let mut names: Vec<_> = self.operations.iter().take(8).map(Operation::describe).collect();
        if self.operations.len() > names.len() {
            names.push(format!("{} more", self.operations.len() - names.len()));
        }
        names.join(", ")
    }
}

/// Transactions not yet sent.
pub(crate) struct Inbox {
    from: mpsc::Receiver<Request>,
    waiting: VecDeque<Request>,
}

impl Inbox {
    pub(crate) fn new(from: mpsc::Receiver<Request>) -> Inbox {
        Inbox { from, waiting: VecDeque::new() }
    }

    pub(crate) fn take(&mut self) -> Option<Request> {
        self.waiting.pop_front()
    }

    /// Takes in one more request; false if no client is left. Never ends while enough are waiting.
    pub(crate) async fn fill(&mut self) -> bool {
        if self.waiting.len() >= QUEUE {
            return std::future::pending().await;
        }
        match self.from.recv().await {
            Some(request) => {
                self.waiting.push_back(request);
                true
            }
            None => false,
        }
    }
}
