//! The connection to one switch: kept up for ever, shared by all who ask.
//!
//! ```text
//!   Switch (cloned at will)          task                              the switch
//!   request/bundle --encode--> [bounded queue of chunks] --write-->
//!        ^                                               <--read---
//!        |---- registry: xid -> who waits <----------------|  answers, errors
//!   Receiver<Event> <--- [bounded queues of events] <------|  packet-ins, port status, ...
//! ```
//!
//! **Invariants.** Reading never waits for anything but the socket: not for the writer, not for a listener, not for
//! whoever asked. So a bundle of any size cannot deadlock with its own answers, and a slow listener slows nobody else.
//! Nothing grows without bound. Bytes made for one connection are never written to the next.

mod bundle;
mod error;
mod events;
mod frames;
mod negotiate;
mod registry;
mod switch;
mod target;
mod task;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use error::{Refused, RequestError};
pub use switch::{Stats, Switch};
pub use target::{Target, TargetError};

use crate::message::{Features, Message, PacketInFormat, SwitchConfig};

/// How to connect, and how much to hold.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the switch is.
    pub target: Target,
    /// After this long without a word from the switch it is asked for an echo; after three times as long it is taken
    /// for dead. A switch that commits a large bundle says nothing meanwhile: keep this in seconds.
    pub echo_interval: Duration,
    /// How long to wait for an answer, and for the connection to be made. Large bundles get more, in proportion.
    pub request_timeout: Duration,
    /// How long to wait before the first attempt to connect again. Doubles with each failure.
    pub backoff_min: Duration,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
    /// Packet-ins that may wait to be read; past it the oldest is dropped and counted.
    pub max_packet_ins: usize,
    /// Other messages that may wait to be read; past it the connection is ended and made anew.
    pub max_events: usize,
    /// The longest answer, all parts together.
    pub max_reply_bytes: usize,
    /// Messages to send on each new connection before [`Event::Up`]. If the switch refuses one, the connection is given
    /// up and tried again.
    pub setup: Vec<Message>,
}

impl Config {
    /// The usual configuration: packet-ins with userdata, whole packets, asynchronous messages on.
    pub fn new(target: Target) -> Self {
        Config {
            target,
            echo_interval: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(20),
            // Trying costs little, and a restarted switch forwards nothing until it gets its flows.
            backoff_max: Duration::from_millis(500),
            max_packet_ins: 1024,
            max_events: 65_536,
            max_reply_bytes: 512 << 20,
            setup: vec![
                Message::SetPacketInFormat(PacketInFormat::Nxt2),
                // Also what turns on asynchronous messages on a bridge's management socket.
                Message::SetConfig(SwitchConfig::WHOLE_PACKETS),
            ],
        }
    }
}

impl Default for Config {
    /// To `br-int` of the Open vSwitch that the system's packages install.
    fn default() -> Self {
        Config::new(Target::Unix(PathBuf::from("/var/run/openvswitch/br-int.mgmt")))
    }
}

/// What a listener is told.
// One at a time, and taken apart at once: not worth an allocation each.
#[expect(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection is up and set up. All that was known of the switch's state is to be read again.
    Up(Features),
    /// There is no connection, and why, for people. Told again only when the reason changes.
    Down(String),
    /// The switch said it unasked: packet-in, port status, flow removed, or an error about a message nobody waits for.
    Message(Message),
}

/// Starts to connect, and goes on for ever: again and again with growing pauses, until the last clone of the
/// [`Switch`] is dropped. The receiver may be dropped if nobody is to listen.
///
/// # Panics
/// Outside of a tokio runtime with I/O and time.
pub fn connect(config: Config) -> (Switch, mpsc::Receiver<Event>) {
    // Room for a batch, so that a listener that keeps up is not woken for each event.
    let (tx, rx) = mpsc::channel(64);
    let counts = Arc::new(events::Counts::default());
    let queue = Arc::new(events::EventQueue::new(config.max_packet_ins, config.max_events, counts.clone()));
    let registry = Arc::new(registry::Registry::new(config.max_reply_bytes));
    // Chunks are at most some 64 KiB more than `bundle::CHUNK`, so this bounds what waits to be written to a few MiB.
    let (chunks, queued) = mpsc::channel(16);
    let config = Arc::new(config);
    let switch = Switch::new(config.clone(), registry.clone(), chunks, counts.clone());
    tokio::spawn(queue.clone().forward(tx));
    tokio::spawn(task::run(config, registry, queue, counts, queued));
    (switch, rx)
}
