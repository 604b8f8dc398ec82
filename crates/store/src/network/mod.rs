//! Changes of the network, as transactions: each compares what it read and claims what must be unique, so that two people who
//! want the same thing at once get one success and one clear error, and no half of anything is ever seen.
//!
//! A command reads the keys that it needs and no more: adding a port costs the same in a network of ten and of a million. Only
//! where another tool wrote objects without claims (see `unclaimed`) does it read all ports of their switch, and where a switch meets the
//! physical network, what answers there (see `outside`).

mod allocate;
mod apply;
pub mod claims;
mod edge;
mod edit;
mod error;
mod io;
mod outside;
mod plan;
mod removal;
mod routers;
mod snapshot;
mod switches;
mod unclaimed;

pub use edge::EdgePlan;
pub use edit::Change;
pub use error::{NetworkError, path_words, words};
pub use io::{Claim, MAX_OPS, NetworkStore, Stored, check_prefix};
pub use outside::AddedRule;
pub use plan::Plan;
pub use removal::Removal;
pub use routers::NewLink;
pub use snapshot::Snapshot;
pub use switches::NewPort;
