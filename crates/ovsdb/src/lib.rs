//! OVSDB client (RFC 7047, with the extensions of ovsdb-server(7)): transactions, and a monitor that survives
//! reconnection.
//!
//! [`connect`] starts one task a connection and gives a [`Client`] for transactions and a channel of [`Event`]s. The
//! task keeps a replica of the monitored columns: the wire carries differences of sets and maps, the user gets whole
//! new values. What a lost connection hid is told as a difference again, whether or not the server remembers (a
//! standalone server never does).
//!
//! Not done: `set_db_change_aware` (without it a server whose database changes ends the connection, which is just what
//! makes us ask anew), locks, and the rules for clusters (which member leads, whether it has read its log): the
//! database of a switch is never one.
//!
//! [`mirror::Mirror`] is a typed copy of the tables of the `Open_vSwitch` database that an agent needs, fed by those
//! events.

pub mod config;
pub mod datum;
pub mod error;
mod framing;
mod link;
pub mod mirror;
pub mod operation;
mod outbox;
mod replica;
mod request;
pub mod row;
mod schema;
mod session;
mod supervisor;
mod tls;
pub mod update;
pub mod uuid;
pub mod value;
mod wire;

pub use config::{Config, MonitorMethod, TableMonitor, Target, TlsFiles};
pub use datum::{Atom, Datum};
pub use error::{TargetError, TransactError};
pub use operation::{OpResult, Operation};
pub use row::Row;
pub use supervisor::{Client, connect};
pub use update::{Change, Event, RowUpdate, Update};
pub use uuid::Uuid;
pub use value::{Condition, Function, Mutator, Value};
