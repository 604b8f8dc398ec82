//! Which keys a request means: etcd's `key` and `range_end`.

use bytes::Bytes;
use std::ops::Bound;

/// One key, all from a key on, or those between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Span {
    One(Bytes),
    From(Bytes),
    /// The end is exclusive.
    Between(Bytes, Bytes),
}

impl Span {
    pub fn new(key: Bytes, range_end: Bytes) -> Span {
        match range_end.as_ref() {
            [] => Span::One(key),
            [0] => Span::From(key),
            _ => Span::Between(key, range_end),
        }
    }

    /// An end at or before the beginning holds nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Span::Between(from, to) if from >= to)
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Span::One(one) => one == key,
            Span::From(from) => key >= from.as_ref(),
            Span::Between(from, to) => key >= from.as_ref() && key < to.as_ref(),
        }
    }

    pub fn first(&self) -> &[u8] {
        match self {
            Span::One(key) | Span::From(key) | Span::Between(key, _) => key,
        }
    }

    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self {
            Span::One(key) => (Bound::Included(key), Bound::Included(key)),
            Span::From(from) => (Bound::Included(from), Bound::Unbounded),
            Span::Between(from, to) => (Bound::Included(from), Bound::Excluded(to)),
        }
    }
}
