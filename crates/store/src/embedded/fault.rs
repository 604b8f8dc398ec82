//! Errors of the embedded store: those of etcd, word for word, since clients compare them; and those of the file.

use std::path::PathBuf;
use thiserror::Error;
use tonic::{Code, Status};

/// Why the embedded store does not start, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// Another process has the file.
    #[error(
        "the store file {0} is in use by another process: is a store (or an agent with --with-store) running on it already?"
    )]
    InUse(PathBuf),
    /// The file cannot be opened or read.
    #[error("cannot open the store file {path}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        reason: String,
    },
    /// The file is of a version that this program does not know.
    #[error(
        "the store file {path} has format {found}, this version knows {known}: use the version of the program that wrote it, or a newer one"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The format of this program.
        known: i64,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        reason: String,
    },
}

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request is at fault, nothing was written.
    Refused(Status),
    /// The file is at fault; whatever is uncommitted must be dropped.
    Storage(redb::Error),
}

pub(super) type Outcome<T> = Result<T, Fault>;

impl From<Status> for Fault {
    fn from(status: Status) -> Fault {
        Fault::Refused(status)
    }
}

macro_rules! storage_faults {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Fault {
                Fault::Storage(error.into())
            }
        })*
    };
}

storage_faults!(redb::Error, redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

impl From<Fault> for Status {
    fn from(fault: Fault) -> Status {
        match fault {
            Fault::Refused(status) => status,
            Fault::Storage(error) => storage(&error),
        }
    }
}

/// What a client hears when the file fails.
pub(super) fn storage(error: &redb::Error) -> Status {
    tracing::error!(%error, "the store file failed");
    Status::internal(format!("the store's file failed: {error}; look at the disk of the store"))
}

/// A record that we wrote cannot be read.
pub(super) fn corrupt(what: &str) -> Fault {
    Fault::Storage(redb::Error::Corrupted(format!("{what} cannot be read")))
}

macro_rules! etcd_errors {
    ($($name:ident: $code:ident $text:literal;)*) => {
        $(pub(super) fn $name() -> Status {
            Status::new(Code::$code, concat!("etcdserver: ", $text))
        })*
    };
}

etcd_errors! {
    empty_key: InvalidArgument "key is not provided";
    key_not_found: InvalidArgument "key not found";
    value_provided: InvalidArgument "value is provided";
    lease_provided: InvalidArgument "lease is provided";
    too_many_ops: InvalidArgument "too many operations in txn request";
    duplicate_key: InvalidArgument "duplicate key given in txn request";
    too_large: InvalidArgument "request is too large";
    compacted: OutOfRange "mvcc: required revision has been compacted";
    future_revision: OutOfRange "mvcc: required revision is a future revision";
    lease_not_found: NotFound "requested lease not found";
    lease_exists: FailedPrecondition "lease already exists";
    lease_ttl_too_large: OutOfRange "too large lease TTL";
    auth_not_enabled: FailedPrecondition "authentication is not enabled";
}
