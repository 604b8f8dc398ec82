//! Why a change of the network was not made, for people.

use crate::StoreError;
use tuplenet_model::{key::Key, object::Invalid};

/// Why a change of the network was not made. Nothing was written, unless [`NetworkError::Partial`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// What the command works on does not exist.
    #[error("{what} does not exist: {remedy}")]
    NotFound {
        /// The object, as in "switch LS-A".
        what: String,
        /// What to do.
        remedy: String,
    },
    /// What the command would make exists.
    #[error("{0} exists already: choose another name, or change it (\"tpctl apply\" can change anything)")]
    Exists(String),
    /// An address or an id is another object's.
    #[error("{value} is taken by {holder}: choose another, or delete or change {holder} first")]
    Taken {
        /// The address or id, as in "the address 10.0.0.1 in switch LS-A".
        value: String,
        /// Who has it, as in "port vm1 of switch LS-A".
        holder: String,
    },
    /// Others refer to what the command would delete.
    #[error("{what} is in use by {}: {remedy}", list(.by))]
    Referred {
        /// The object.
        what: String,
        /// Those who refer to it.
        by: Vec<String>,
        /// What to do.
        remedy: String,
    },
    /// The object would not be valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Some objects would not be valid.
    #[error("the network would not be valid: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Contradictions(Vec<Invalid>),
    /// Refused for a reason of its own.
    #[error("{0}")]
    Refused(String),
    /// Others changed the same objects again and again, or while the user was asked.
    #[error("{0} was changed by somebody else at the same moment: look at it again, then repeat the command")]
    Conflict(String),
    /// A change of many transactions ended half way; each that was made left a valid network.
    #[error(
        "{done} of {all} transactions were made, then: {cause}; the network is valid, repeat the command for the rest"
    )]
    Partial {
        /// Transactions made.
        done: usize,
        /// Transactions planned.
        all: usize,
        /// Why the next was not.
        cause: Box<NetworkError>,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The first few of a list, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// An object in words: "port vm1 of switch LS-A".
pub fn words(key: &Key) -> String {
    match key {
        Key::Ls(ls) => format!("switch {ls}"),
        Key::Lsp(ls, lsp) => format!("port {lsp} of switch {ls}"),
        Key::Lr(lr) => format!("router {lr}"),
        Key::Lrp(lr, lrp) => format!("port {lrp} of router {lr}"),
        Key::Lsr(lr, lsr) => format!("route {lsr} of router {lr}"),
        Key::Lnat(lr, rule) => format!("NAT rule {rule} of router {lr}"),
        Key::Chassis(chassis) => format!("chassis {chassis}"),
        Key::Binding(ls, lsp) => format!("the binding of port {lsp} of switch {ls}"),
    }
}

/// A store path in words; the path itself if it is no object's.
pub fn path_words(path: &str) -> String {
    match Key::parse(path) {
        Ok(Some(key)) => words(&key),
        _ => path.to_owned(),
    }
}

impl NetworkError {
    /// That an object does not exist, with the command that shows or makes one.
    pub fn missing(key: &Key) -> Self {
        let remedy = match key {
            Key::Ls(ls) => format!("see \"tpctl ls show\", or add it with \"tpctl ls add {ls}\""),
            Key::Lr(lr) => format!("see \"tpctl lr show\", or add it with \"tpctl lr add {lr}\""),
            Key::Lsp(ls, _) => format!("see \"tpctl lsp show {ls}\""),
            Key::Lrp(lr, _) => format!("see \"tpctl lrp show {lr}\""),
            Key::Lsr(lr, _) => format!("see \"tpctl lsr show {lr}\""),
            Key::Lnat(lr, _) => format!("see \"tpctl lnat show {lr}\""),
            Key::Chassis(_) | Key::Binding(..) => "see \"tpctl ch show\"".to_owned(),
        };
        NetworkError::NotFound { what: words(key), remedy }
    }
}
