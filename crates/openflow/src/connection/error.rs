//! How a request can fail.

use std::fmt;
use std::time::Duration;

use crate::error::{DecodeError, EncodeError};
use crate::message::ErrorMsg;

/// A request that was not done, or of which it is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no connection now. Nothing was sent; [`super::Event::Up`] tells when to try again.
    #[error("not connected to the switch: {0}")]
    NotConnected(String),
    /// The connection ended before the answer came. Whether the switch did it is not known: read its state after the
    /// next [`super::Event::Up`].
    #[error("the connection to the switch ended before it answered: {0}")]
    Disconnected(String),
    /// No answer in time. Whether the switch did it, or still will, is not known.
    #[error("the switch did not answer within {after:?} to {request}")]
    Timeout {
        /// What was asked.
        request: String,
        /// How long we waited.
        after: Duration,
    },
    /// The switch said no. Of a bundle nothing was done.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// The request cannot be written as OpenFlow; nothing was done.
    #[error("cannot send {request}: {source}")]
    Encode {
        /// What was to be sent.
        request: String,
        /// What does not fit.
        source: EncodeError,
    },
    /// The answer cannot be read.
    #[error("cannot read the switch's answer to {request}: {source}")]
    Decode {
        /// What was asked.
        request: String,
        /// What is wrong with the answer.
        source: DecodeError,
    },
    /// The answer is of another type than the question.
    #[error("the switch answered {request} by {answer}")]
    WrongAnswer {
        /// What was asked.
        request: String,
        /// What came.
        answer: String,
    },
    /// The answer is longer than [`super::Config::max_reply_bytes`].
    #[error("the switch's answer to {request} is longer than {limit} bytes")]
    TooLarge {
        /// What was asked.
        request: String,
        /// The bound.
        limit: usize,
    },
}

/// What the switch refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The switch's answer.
    pub error: ErrorMsg,
    /// The refused message in words.
    pub request: String,
    /// Its place in the bundle, from 0; `None` if the message stood alone, or is the bundle's own control message.
    pub index: Option<usize>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the switch refused {}", self.request)?;
        if let Some(i) = self.index {
            write!(f, " (message {} of the bundle)", i + 1)?;
        }
        write!(f, ": {}: {}", self.error.name(), self.error.meaning())
    }
}
