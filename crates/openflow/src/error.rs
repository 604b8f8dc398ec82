//! What can be wrong with bytes or text that came from outside, and with what we are asked to send.

/// Bytes that are not what OpenFlow says they must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside of something.
    #[error("{what}: {need} bytes are needed, {have} are there")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes that it takes.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// A length field contradicts what it describes.
    #[error("{what}: a length of {length} cannot be right")]
    BadLength {
        /// What was being read.
        what: &'static str,
        /// The length found.
        length: usize,
    },
    /// A value outside of what the specification allows.
    #[error("{what}: {value:#x} is not a value it can have")]
    BadValue {
        /// What was being read.
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// A match has one field twice.
    #[error("the match has {field} twice")]
    Duplicate {
        /// Name of the field.
        field: &'static str,
    },
    /// Actions in actions in actions ... (`clone`, `ct`).
    #[error("actions are nested more than {limit} deep")]
    TooDeep {
        /// The depth that we follow.
        limit: usize,
    },
}

/// Something that OpenFlow has no room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than its 16-bit (or 8-bit) length can say.
    #[error("{what} takes {length} bytes, OpenFlow has room for {max}")]
    TooLong {
        /// What was being written.
        what: &'static str,
        /// Bytes that it takes.
        length: usize,
        /// Bytes that there can be.
        max: usize,
    },
    /// Actions in actions in actions ... (`clone`, `ct`).
    #[error("actions are nested more than {limit} deep")]
    TooDeep {
        /// The depth that we follow.
        limit: usize,
    },
    /// A value that does not fit its place.
    #[error("{what}: {value:#x} does not fit")]
    BadValue {
        /// What was being written.
        what: &'static str,
        /// The value.
        value: u64,
    },
}

/// A value wider than its field, or a mask for a field that takes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The value needs more bits than the field has.
    #[error("{value} is wider than the {bits} bits of {field}")]
    TooWide {
        /// Name of the field.
        field: &'static str,
        /// The value in hexadecimal.
        value: String,
        /// Width of the field.
        bits: u16,
    },
    /// The field can be matched as a whole only.
    #[error("{field} takes no mask")]
    NotMaskable {
        /// Name of the field.
        field: &'static str,
    },
    /// The match says something else about these bits already.
    #[error("the match has {field} already, with another value")]
    Conflict {
        /// Name of the field.
        field: &'static str,
    },
}

/// Text that `ovs-ofctl` would not understand either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ParseError {
    /// The piece of text that is wrong.
    pub what: String,
    /// Why, and what would be right.
    pub why: String,
}

impl ParseError {
    /// An error about a piece of text.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> ParseError {
        ParseError { what: what.into(), why: why.into() }
    }
}
