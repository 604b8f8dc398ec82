//! Leases: keys that die unless their owner says that it lives.

use super::ResponseHeader;
use bytes::Bytes;

/// Asks for a lease.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseGrantRequest {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub ttl: i64,
    /// An id of the client's choice; 0 lets the server choose.
    #[prost(int64, tag = "2")]
    pub id: i64,
}

/// Answer to [`LeaseGrantRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseGrantResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Its id.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds, perhaps more than asked for.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// Why not.
    #[prost(string, tag = "4")]
    pub error: String,
}

/// Ends a lease and its keys.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseRevokeRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to [`LeaseRevokeRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseRevokeResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Renews a lease.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseKeepAliveRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to [`LeaseKeepAliveRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseKeepAliveResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds from now; 0 if there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Asks how long a lease will last.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseTimeToLiveRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Tell its keys, too.
    #[prost(bool, tag = "2")]
    pub keys: bool,
}

/// Answer to [`LeaseTimeToLiveRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseTimeToLiveResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds left; -1 if there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// Seconds granted.
    #[prost(int64, tag = "4")]
    pub granted_ttl: i64,
    /// Its keys.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub keys: Vec<Bytes>,
}

/// Asks for all leases.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseLeasesRequest {}

/// One lease.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseStatus {
    /// Its id.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to [`LeaseLeasesRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseLeasesResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All.
    #[prost(message, repeated, tag = "2")]
    pub leases: Vec<LeaseStatus>,
}
