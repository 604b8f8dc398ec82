//! Members, state of the server, and users.

use super::ResponseHeader;

/// One server of the cluster.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Member {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where the other members reach it.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    /// Has no vote yet.
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

/// Asks for the members.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberListRequest {
    /// By way of the leader.
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

/// Answer to [`MemberListRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberListResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Asks how the server is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusRequest {}

/// Answer to [`StatusRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Version of the server.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Bytes of its file.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// Member id of the leader, 0 if there is none.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// How many entries of the log are committed.
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
    /// The election that it is in.
    #[prost(uint64, tag = "6")]
    pub raft_term: u64,
    /// How many entries are applied.
    #[prost(uint64, tag = "7")]
    pub raft_applied_index: u64,
    /// What ails it.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    /// Bytes of the file in use.
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
    /// Has no vote yet.
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
}

/// Asks for alarms, raises or ends one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlarmRequest {
    /// 0 get, 1 activate, 2 deactivate.
    #[prost(int32, tag = "1")]
    pub action: i32,
    /// Whose.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// 1 no space, 2 corrupt.
    #[prost(int32, tag = "3")]
    pub alarm: i32,
}

/// An alarm of a member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlarmMember {
    /// Whose.
    #[prost(uint64, tag = "1")]
    pub member_id: u64,
    /// 1 no space, 2 corrupt.
    #[prost(int32, tag = "2")]
    pub alarm: i32,
}

/// Answer to [`AlarmRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlarmResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All.
    #[prost(message, repeated, tag = "2")]
    pub alarms: Vec<AlarmMember>,
}

/// Asks to give free space back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DefragmentRequest {}

/// Answer to [`DefragmentRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct DefragmentResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for a token.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// Answer to [`AuthenticateRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthenticateResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// To be sent as metadata `token` with every call.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// A message of which no field matters: stands for the requests and answers of methods that are refused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}
