//! The path of a packet, in the words that a real trace and a simulated one share.

use serde::Serialize;
use std::{fmt, time::Duration};

/// What kind of datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// A logical switch.
    #[serde(rename = "LS")]
    Ls,
    /// A logical router.
    #[serde(rename = "LR")]
    Lr,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Ls => "LS",
            Kind::Lr => "LR",
        })
    }
}

/// One place that a packet passed: a trace stage of a datapath, on a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Hop {
    /// Switch or router.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The datapath's name.
    pub pipeline: String,
    /// The port that it came in by, if that is known.
    pub from: Option<String>,
    /// The port that it is to leave by, if that is known yet.
    pub to: Option<String>,
    /// The stage's name, without `TABLE_`: see `tuplenet_rules::stage`.
    pub stage: &'static str,
    /// The host.
    pub chassis: String,
    /// When, since the packet was sent; a simulated packet takes no time.
    pub at: Option<Duration>,
}

/// The line that users of TupleNet know.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |port: &Option<String>| port.clone().unwrap_or_else(|| "<UNKNOWN>".to_owned());
        let (from, to) = (unknown(&self.from), unknown(&self.to));
        let Self { kind, pipeline, stage, chassis, .. } = self;
        write!(f, "type:{kind},pipeline:{pipeline},from:{from},to:{to},stage:TABLE_{stage},chassis:{chassis}")
    }
}

/// What became of a packet, or of one of its copies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Outcome {
    /// It left by a port.
    Delivered {
        /// The switch.
        ls: String,
        /// Its port.
        lsp: String,
        /// The host.
        chassis: String,
    },
    /// A router or switch answered it, and the answer was delivered: an echo reply, an ARP reply, a neighbour advertisement.
    Answered {
        /// The router or switch.
        by: String,
        /// The kind of answer: "echo reply", "ARP reply", "neighbour advertisement".
        what: String,
        /// The switch where the answer left.
        ls: String,
        /// Its port: that of who asked, if the packet told its true source.
        lsp: String,
        /// The host.
        chassis: String,
    },
    /// It left by its host's own IP stack, on its way outside (untunnel).
    Untunnelled {
        /// The router that sent it there.
        lr: String,
        /// The host.
        chassis: String,
    },
    /// It ended.
    Dropped {
        /// The host.
        chassis: String,
        /// Switch or router that it was in; `None`: before any.
        datapath: Option<String>,
        /// The stage that ended it.
        stage: &'static str,
        /// Why, for people: "no route to 10.9.9.9".
        reason: String,
    },
    /// Sent to another host, which was not heard of.
    Lost {
        /// The last host that was heard of.
        chassis: String,
        /// The host that should have got it, or its address if no chassis has it.
        towards: String,
        /// Why, for people.
        reason: String,
    },
}

/// The path of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Path {
    /// The places that it passed, in order; of copies one after another.
    pub hops: Vec<Hop>,
    /// What became of it: one for each copy.
    pub outcomes: Vec<Outcome>,
}
