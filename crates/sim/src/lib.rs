//! A network in memory: the tables that the rules compute for every host, and packets walked through them. No I/O.
//!
//! - [`packet`]: a frame and its fields, as Open vSwitch reads them.
//! - [`switch`]: one switch's tables, interpreted.
//! - [`path`]: the path of a packet, in the words that a real trace and a simulated one share.

pub mod packet;
pub mod path;
pub mod switch;

pub use packet::{Malformed, Packet};
pub use path::{Hop, Kind, Outcome, Path};
pub use switch::{Abort, Effect, Group, Run, Step, Switch, Unsupported};
