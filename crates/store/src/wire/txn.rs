//! Transactions: compare, then one of two lists of operations.

use super::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
};
use bytes::Bytes;

/// How the key must compare with the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// `=`
    Equal = 0,
    /// `>`
    Greater = 1,
    /// `<`
    Less = 2,
    /// `!=`
    NotEqual = 3,
}

/// What of the key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// `version`; 0 if the key does not exist.
    Version = 0,
    /// `create_revision`; 0 if the key does not exist.
    Create = 1,
    /// `mod_revision`; 0 if the key does not exist.
    Mod = 2,
    /// The value; false if the key does not exist.
    Value = 3,
    /// The lease; 0 if the key does not exist.
    Lease = 4,
}

/// What it is compared with.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum CompareOperand {
    /// For [`CompareTarget::Version`].
    #[prost(int64, tag = "4")]
    Version(i64),
    /// For [`CompareTarget::Create`].
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    /// For [`CompareTarget::Mod`].
    #[prost(int64, tag = "6")]
    ModRevision(i64),
    /// For [`CompareTarget::Value`].
    #[prost(bytes = "bytes", tag = "7")]
    Value(Bytes),
    /// For [`CompareTarget::Lease`].
    #[prost(int64, tag = "8")]
    Lease(i64),
}

/// One condition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compare {
    /// A [`CompareResult`].
    #[prost(int32, tag = "1")]
    pub result: i32,
    /// A [`CompareTarget`].
    #[prost(int32, tag = "2")]
    pub target: i32,
    /// The key.
    #[prost(bytes = "bytes", tag = "3")]
    pub key: Bytes,
    /// What it is compared with.
    #[prost(oneof = "CompareOperand", tags = "4, 5, 6, 7, 8")]
    pub operand: Option<CompareOperand>,
    /// If not empty, all keys of the range must meet the condition.
    #[prost(bytes = "bytes", tag = "64")]
    pub range_end: Bytes,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Request {
    /// Read.
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    /// Write.
    #[prost(message, tag = "2")]
    Put(PutRequest),
    /// Delete.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
    /// A transaction within the transaction.
    #[prost(message, tag = "4")]
    Txn(TxnRequest),
}

/// Answer to one [`Request`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Response {
    /// Read.
    #[prost(message, tag = "1")]
    Range(RangeResponse),
    /// Written.
    #[prost(message, tag = "2")]
    Put(PutResponse),
    /// Deleted.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeResponse),
    /// A transaction within the transaction.
    #[prost(message, tag = "4")]
    Txn(TxnResponse),
}

/// Carries one [`Request`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestOp {
    /// The operation.
    #[prost(oneof = "Request", tags = "1, 2, 3, 4")]
    pub request: Option<Request>,
}

/// Carries one [`Response`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResponseOp {
    /// The answer.
    #[prost(oneof = "Response", tags = "1, 2, 3, 4")]
    pub response: Option<Response>,
}

/// If all compares hold, does `success`, else `failure`; atomically.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// Done if they hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// Done if they do not.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// Answer to [`TxnRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether the conditions held.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// One for each operation done, in order.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}
