//! Real hosts on one machine, for tests, benchmarks and the demo.
//!
//! A host is a network namespace with its own ovsdb-server and ovs-vswitchd (userspace datapath), joined to the other
//! hosts by an underlay; a guest is a namespace with an `eth0` on its host's `br-int`. All of a [`Lab`] is below one
//! directory, its names share one unique prefix, and everything it makes is recorded first, so that labs run side by
//! side and nothing stays behind: not after a panic, not after Ctrl-C, and after SIGKILL only until the next lab.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tuplenet_lab::{Lab, VmSpec};
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::new("example")?;
//! let host = lab.host("hv1")?;
//! let a = host.vm(&VmSpec::new("a").address("10.1.0.1/24"))?;
//! let b = host.vm(&VmSpec::new("b").address("10.1.0.2/24"))?;
//! host.add_flows("br-int", "actions=NORMAL")?;
//! a.wait_ping("10.1.0.2", Duration::from_secs(5))?;
//! a.send_tcp(&b, "10.1.0.2", 1_000_000)?;
//! # Ok(())
//! # }
//! ```

mod agent;
mod bfd;
pub mod command;
mod frames;
mod host;
mod http;
mod interrupt;
mod lab;
mod lock;
mod netns;
mod ovs;
mod physical;
mod ping;
mod probe;
mod process;
mod programs;
mod registry;
mod store;
mod streams;
mod sweep;
mod transfer;
mod trial;
mod vm;
mod wait;

pub use agent::{Agent, AgentSpec};
pub use frames::Capture;
pub use host::Host;
pub use http::WebServer;
pub use lab::{Lab, UNDERLAY_MTU, stop_kept};
pub use netns::Netns;
pub use physical::Physical;
pub use ping::{PingReport, PingSpec};
pub use probe::{Lost, Probe, ProbeReport};
pub use process::Process;
pub use programs::program;
pub use store::{Etcd, Store};
pub use streams::{Streams, StreamsReport};
pub use transfer::Transfer;
pub use trial::{BUSY, trials};
pub use vm::{Vm, VmSpec};
pub use wait::wait_until;
