//! What goes wrong between us and the store, in words for people.

use thiserror::Error;

/// Why something with the store failed, and what to do about it.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A setting makes no sense; nothing was tried.
    #[error("{0}")]
    Config(String),
    /// No member could be reached, or none answered in time. Nothing was changed.
    #[error("cannot reach the store at {endpoints}: {reason}")]
    Unreachable {
        /// All that were tried, as given.
        endpoints: String,
        /// What happened at the last one, and what to look at.
        reason: String,
    },
    /// The request was sent, the answer was lost, and it must not be sent again: it may have been done or not.
    #[error(
        "the store at {endpoint} did not answer ({reason}): it is not known whether the change was made; look before you try again"
    )]
    OutcomeUnknown {
        /// Where it was sent.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The revision asked for is compacted; the state must be listed afresh.
    #[error("the revision asked for is compacted away (the oldest kept is {oldest}, 0 if not told): list afresh")]
    Compacted {
        /// The first revision that can still be watched from, 0 if the store did not say.
        oldest: i64,
    },
    /// The lease does not exist (any more).
    #[error("lease {0:x} does not exist or has ended: get a new one")]
    NoLease(i64),
    /// User, password or permission.
    #[error("the store refuses access: {0}; look at user, password and role")]
    Denied(String),
    /// A message is larger than may be sent or received.
    #[error("too large for the store: {0}; make the object smaller, or ask for fewer at once")]
    TooLarge(String),
    /// The store answered with an error of another kind.
    #[error("the store refuses: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether the store could not be reached, so that trying again later may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, StoreError::Unreachable { .. } | StoreError::OutcomeUnknown { .. })
    }
}
