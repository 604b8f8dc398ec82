//! What becomes of a frame: who gets it, and where and why it ends.

use crate::generate::Frame;
use std::net::IpAddr;

/// A frame that a port gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    pub ls: String,
    pub lsp: String,
    pub chassis: String,
    pub frame: Frame,
    /// How often it crossed the underlay.
    pub crossings: u32,
}

/// A frame that goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub chassis: String,
    /// The switch or router that it was in.
    pub datapath: String,
    pub why: Why,
}

/// Why a frame goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// In a switch: for a bridge, not for a port.
    Reserved,
    /// For all, in a switch that does not flood.
    NoFlood,
    /// So is a question that is not answered.
    Unanswered(IpAddr),
    /// For all, and there is nobody else.
    NobodyElse,
    /// No port has the MAC.
    NoMac,
    /// The port that has it cannot be reached from here.
    Unreachable(String),
    /// It is for who sent it.
    Sender,
    /// A solicitation that came from afar.
    FromAfar,
    /// In a router: the frame has a tag.
    Tagged,
    NotIp,
    SourceIsNobody,
    ForRouter,
    DestinationIsNobody,
    NoHopLeft,
    ProtocolZero,
    NoRoute(IpAddr),
    NoNextHop(IpAddr),
    /// The host's agent asks who has it.
    Asked(IpAddr),
    /// At an uplink: nothing translates it, and something should.
    Untranslated,
    /// From a physical network: not of our VLAN.
    OtherVlan,
    /// From there: one of ours, come back.
    Own,
    /// From there: another host's patch port is the one for it.
    Elsewhere,
    /// To there, with a tag.
    TaggedOut,
}

/// What becomes of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub delivered: Vec<Delivery>,
    pub ended: Vec<End>,
    /// What nobody can tell from outside, or from this packet alone, had a part in it.
    pub unknown: bool,
    /// Uplinks that translated it.
    pub translated: u32,
}
