//! Watches: many on one stream.

use super::{Event, ResponseHeader};
use bytes::Bytes;

/// What the client wants.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WatchRequestKind {
    /// A new watch.
    #[prost(message, tag = "1")]
    Create(WatchCreateRequest),
    /// No more of a watch.
    #[prost(message, tag = "2")]
    Cancel(WatchCancelRequest),
    /// Says how far the stream is.
    #[prost(message, tag = "3")]
    Progress(WatchProgressRequest),
}

/// One message of the client on the stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    /// What it wants.
    #[prost(oneof = "WatchRequestKind", tags = "1, 2, 3")]
    pub kind: Option<WatchRequestKind>,
}

/// Events not to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum WatchFilter {
    /// No puts.
    NoPut = 0,
    /// No deletions.
    NoDelete = 1,
}

/// Begins a watch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCreateRequest {
    /// As in a range request.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// As in a range request.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// First revision of interest; 0 for from now on.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Tell the revision from time to time when nothing happens.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// [`WatchFilter`]s.
    #[prost(int32, repeated, tag = "5")]
    pub filters: Vec<i32>,
    /// Send the key as it was, too.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// An id of the client's choice; 0 lets the server choose.
    #[prost(int64, tag = "7")]
    pub watch_id: i64,
    /// Large answers may be sent in pieces.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// Ends a watch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCancelRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

/// Asks how far the stream is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchProgressRequest {}

/// One message of the server on the stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which watch; -1 for all of the stream.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// Answers a create request.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// No more will come of this watch.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// Not 0: cancelled since the start revision is compacted; this is the first that can be watched from.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why it was cancelled.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More pieces of this revision follow.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// What happened, in order.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}
