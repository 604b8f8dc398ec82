//! A network in memory: the tables that the rules compute for every host, and packets walked through them. No I/O.
//!
//! - [`packet`]: a frame and its fields, as Open vSwitch reads them.
//! - [`probe`]: a frame from what a user says.
//! - [`switch`]: one switch's tables, interpreted.
//! - [`host`]: one host, the rules at work for it and its switch.
//! - [`network`]: all hosts, and packets from host to host.
//! - [`names`]: names for the numbers that packets carry.
//! - [`path`]: the path of a packet, in the words that a real trace and a simulated one share.
//! - `reason`: why a packet ended, in words.

pub mod host;
pub mod names;
pub mod network;
pub mod packet;
pub mod path;
pub mod probe;
mod reason;
pub mod switch;
#[cfg(test)]
mod testing;

pub use host::Host;
pub use names::Names;
pub use network::{Delivery, Network, Object, WalkError};
pub use packet::{Malformed, Packet};
pub use path::{Hop, Kind, Outcome, Path};
pub use probe::{Mismatch, Probe, What};
pub use switch::{Abort, Effect, Group, Run, Step, Switch, Unsupported};
