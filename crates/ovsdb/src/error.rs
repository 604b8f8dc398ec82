//! Errors for people: what failed, on which object, what to do next.

/// A transaction did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactError {
    /// Nothing was sent.
    #[error("no connection to the OVSDB server at {target}: {why}; nothing was changed, try again when it is up")]
    NotConnected {
        /// The server.
        target: String,
        /// Why there is no connection.
        why: String,
    },
    /// The request went out and no reply came: the transaction may or may not have happened.
    #[error(
        "the connection to the OVSDB server at {target} broke before the reply to a transaction ({why}); look at the database whether it happened"
    )]
    OutcomeUnknown {
        /// The server.
        target: String,
        /// How the connection broke.
        why: String,
    },
    /// One operation was refused, hence the whole transaction: nothing was changed.
    #[error("operation {index} of {count}, {operation}, was refused by ovsdb: {error}{}; nothing was changed", colon(.details))]
    Operation {
        /// Which operation, counted from 1.
        index: usize,
        /// How many there were.
        count: usize,
        /// What it was, for example `insert into Bridge`.
        operation: String,
        /// RFC 7047 section 3.1 `<error>`, for example `constraint violation`, `timed out`, `aborted`, `unknown
        /// column`.
        error: String,
        /// The server's explanation, may be empty.
        details: String,
    },
    /// Every operation was possible, the result was not: a constraint of the schema is violated. Nothing was changed.
    #[error("the transaction ({operations}) was refused by ovsdb at commit: {error}{}; nothing was changed", colon(.details))]
    Commit {
        /// What the operations were.
        operations: String,
        /// For example `constraint violation` or `referential integrity violation`.
        error: String,
        /// The server's explanation, may be empty.
        details: String,
    },
    /// The request as a whole was refused.
    #[error("the transaction on database {database} was refused by ovsdb: {error}{}; nothing was changed", colon(.details))]
    Refused {
        /// The database.
        database: String,
        /// For example `unknown database` or `syntax error`.
        error: String,
        /// The server's explanation, may be empty.
        details: String,
    },
    /// An operation that would not do what its author means; nothing was sent.
    #[error("operation {index} of {count}, {operation}, was not sent: {why}")]
    Invalid {
        /// Which operation, counted from 1.
        index: usize,
        /// How many there were.
        count: usize,
        /// What it was.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// The reply does not have the form of RFC 7047 section 4.1.3.
    #[error("the reply of ovsdb to a transaction makes no sense ({why}); look at the database whether it happened")]
    Reply {
        /// What is wrong with it.
        why: String,
    },
}

fn colon(details: &str) -> String {
    if details.is_empty() { String::new() } else { format!(": {details}") }
}

/// The text names no OVSDB server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} does not name an OVSDB server ({why}): write unix:PATH, tcp:ADDRESS:PORT or ssl:HOST:PORT, IPv6 addresses in brackets"
)]
pub struct TargetError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}
