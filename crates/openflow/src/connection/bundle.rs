//! Many changes as one, of any size: written in chunks while the switch's answers are read.
//!
//! open, add, add, ..., close; then, if nothing was refused, commit. The close is there to learn of refused adds before
//! the commit, because Open vSwitch leaves a refused add out and would commit the rest.

use bytes::BytesMut;
use tokio::time::timeout;

use super::error::{Refused, RequestError};
use super::registry::Waiter;
use super::switch::Switch;
use crate::error::EncodeError;
use crate::message::header::{VERSION_1_5, kind};
use crate::message::{BundleAction, BundleControl, Header, Message, bundle, patch_frame_len, put_add_head};

/// Bytes after which a chunk is handed to the writer.
pub(super) const CHUNK: usize = 64 * 1024;

impl Switch {
    /// Does all of `messages` (flow mods, group mods, packet-outs), in their order, as one: a packet sees either all
    /// or nothing of it. If the switch refuses one of them, nothing is done, and the error names that message.
    ///
    /// # Errors
    /// See [`RequestError`]. After [`RequestError::Disconnected`] and [`RequestError::Timeout`] it may have been done
    /// or not.
    pub async fn bundle(&self, messages: Vec<Message>) -> Result<(), RequestError> {
        match &messages[..] {
            [] => return Ok(()),
            // One message is one change without a bundle around it, in half the round trips.
            [one] => return self.alone(one).await,
            _ => {}
        }
        let n = u32::try_from(messages.len()).ok().filter(|&n| n < 1 << 30).ok_or_else(|| RequestError::Encode {
            request: name(&messages),
            source: EncodeError::TooLong { what: "bundle", length: messages.len(), max: 1 << 30 },
        })?;
        let id = self.registry.bundle_id();
        // xids: open, the messages, close, commit.
        let mut waiter = self.registry.register(n + 3, n + 1)?;

        let filled = self.fill(id, &messages, &waiter).await;
        let added = match filled {
            Ok(()) => self.settle(&mut waiter, &messages).await,
            Err(e) => Err(e),
        };
        if let Err(e) = added {
            if !matches!(e, RequestError::Disconnected(_) | RequestError::NotConnected(_)) {
                drop(waiter);
                // If even this fails, the switch forgets an idle bundle by itself after some seconds.
                let _ =
                    self.request(Message::BundleControl(BundleControl::new(id, BundleAction::DiscardRequest))).await;
            }
            return Err(e);
        }

        waiter.again()?;
        let mut out = BytesMut::new();
        put_control(id, BundleAction::CommitRequest, waiter.base + n + 2, &mut out)?;
        self.push(waiter.epoch, out.freeze()).await?;
        self.settle(&mut waiter, &messages).await
    }

    async fn alone(&self, message: &Message) -> Result<(), RequestError> {
        self.ask(message).await.map(drop).map_err(|e| match e {
            RequestError::Refused(refused) => RequestError::Refused(Box::new(Refused { index: Some(0), ..*refused })),
            e => e,
        })
    }

    /// Writes open, adds and close. Stops early when the switch has refused something already.
    async fn fill(&self, id: u32, messages: &[Message], waiter: &Waiter) -> Result<(), RequestError> {
        let mut out = BytesMut::with_capacity(CHUNK + CHUNK / 4);
        put_control(id, BundleAction::OpenRequest, waiter.base, &mut out)?;
        let mut xid = waiter.base;
        let mut failed = false;
        for (i, message) in messages.iter().enumerate() {
            xid += 1;
            if let Err(source) = put_add(id, message, xid, &mut out) {
                return Err(RequestError::Encode {
                    request: format!("{message} (message {} of a bundle)", i + 1),
                    source,
                });
            }
            if out.len() >= CHUNK {
                // The switch reads on as it works, so that its being slow is not taken for its having stopped.
                let after = self.timeout_for(messages.len());
                let pushed = timeout(after, self.push(waiter.epoch, out.split().freeze())).await;
                pushed.map_err(|_| RequestError::Timeout { request: name(messages), after })??;
                if waiter.has_failed() {
                    failed = true;
                    break;
                }
            }
        }
        // The close's own xid, so that the waiting ends whether or not all messages were added.
        let close = waiter.base + u32::try_from(messages.len()).unwrap_or(u32::MAX) + 1;
        debug_assert!(failed || close == xid + 1);
        put_control(id, BundleAction::CloseRequest, close, &mut out)?;
        self.push(waiter.epoch, out.freeze()).await
    }

    /// Waits for the answer to a close or a commit.
    async fn settle(&self, waiter: &mut Waiter, messages: &[Message]) -> Result<(), RequestError> {
        let name = name(messages);
        let after = self.timeout_for(messages.len());
        let Ok(outcome) = timeout(after, waiter.done()).await else {
            return Err(RequestError::Timeout { request: name, after });
        };
        let base = waiter.base;
        self.outcome(outcome, &name, |xid| {
            // The open has the first xid, so a message's place is one less than its distance from it.
            let index = usize::try_from(xid.wrapping_sub(base).wrapping_sub(1)).ok();
            match index.and_then(|i| messages.get(i)) {
                Some(message) => (message.to_string(), index),
                None => (name.clone(), None),
            }
        })
        .map(drop)
    }
}

fn name(messages: &[Message]) -> String {
    format!("a bundle of {} messages", messages.len())
}

fn put_control(id: u32, action: BundleAction, xid: u32, out: &mut BytesMut) -> Result<(), RequestError> {
    let message = Message::BundleControl(BundleControl::new(id, action));
    message.encode(xid, out).map_err(|source| RequestError::Encode { request: message.to_string(), source })
}

/// An add of `message`, without building a [`crate::message::BundleAdd`] around it, which would own it.
fn put_add(id: u32, message: &Message, xid: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    Header { version: VERSION_1_5, kind: kind::BUNDLE_ADD_MESSAGE, length: 0, xid }.put(out);
    put_add_head(id, bundle::ATOMIC | bundle::ORDERED, out);
    let done = message.encode(xid, out).and_then(|()| patch_frame_len(out, "message in a bundle", start + 2, start));
    if done.is_err() {
        out.truncate(start);
    }
    done
}
