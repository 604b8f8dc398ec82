//! Where a TupleNet network is kept: the client to etcd and to the embedded store, the mirror that agents follow the store by, and the embedded
//! store itself. The layout of keys is in `tuplenet_model::key`.

pub mod client;
pub mod embedded;
mod error;
pub mod mirror;
pub mod network;
pub mod wire;

pub use client::{
    Client, Cmp, Compare, Config, Endpoint, Kv, Listing, Op, Range, RangeReply, Reply, Tls, Txn, TxnReply,
};
pub use error::StoreError;
