//! The etcd v3 API as it travels: the protobuf messages and the gRPC method paths that we use, for client and server alike.
//!
//! Field numbers and types are those of etcd's `api/etcdserverpb/rpc.proto` and `api/mvccpb/kv.proto` (3.4; later versions only add).
//! They are written by hand over `prost`'s derive instead of generated: the subset is small and frozen by etcd's promise of compatibility, and
//! neither `protoc` nor a code generator is needed to build. The suite that runs against a real etcd and its `etcdctl` is what proves them right.

mod kv;
mod lease;
mod other;
mod txn;
mod watch;

pub use kv::*;
pub use lease::*;
pub use other::*;
pub use txn::*;
pub use watch::*;

/// The gRPC method paths.
pub mod path {
    /// `KV.Range`
    pub const RANGE: &str = "/etcdserverpb.KV/Range";
    /// `KV.Put`
    pub const PUT: &str = "/etcdserverpb.KV/Put";
    /// `KV.DeleteRange`
    pub const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
    /// `KV.Txn`
    pub const TXN: &str = "/etcdserverpb.KV/Txn";
    /// `KV.Compact`
    pub const COMPACT: &str = "/etcdserverpb.KV/Compact";
    /// `Watch.Watch`
    pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
    /// `Lease.LeaseGrant`
    pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    /// `Lease.LeaseRevoke`
    pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
    /// `Lease.LeaseKeepAlive`
    pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    /// `Lease.LeaseTimeToLive`
    pub const LEASE_TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
    /// `Lease.LeaseLeases`
    pub const LEASE_LEASES: &str = "/etcdserverpb.Lease/LeaseLeases";
    /// `Cluster.MemberList`
    pub const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
    /// `Maintenance.Status`
    pub const STATUS: &str = "/etcdserverpb.Maintenance/Status";
    /// `Maintenance.Alarm`
    pub const ALARM: &str = "/etcdserverpb.Maintenance/Alarm";
    /// `Maintenance.Defragment`
    pub const DEFRAGMENT: &str = "/etcdserverpb.Maintenance/Defragment";
    /// `Auth.Authenticate`
    pub const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
    /// Every method of the `Auth` service begins with this.
    pub const AUTH_SERVICE: &str = "/etcdserverpb.Auth/";
}
