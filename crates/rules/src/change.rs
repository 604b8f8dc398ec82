//! What goes in: changes of the facts, as the world outside tells them.

use bytes::Bytes;
use std::net::IpAddr;
use tuplenet_model::{entity::EncapKind, mac::Mac, name::Name};

/// One change of the facts. The last one about an object counts; telling a fact twice changes nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object as the store keeps it.
    Object {
        /// Its path below `<prefix>/v1/`, such as `ls/LS-A/lsp/vm1`. Paths that hold no object are ignored.
        path: String,
        /// Its JSON; `None`: it is deleted. What cannot be read is rejected and harms nothing else.
        value: Option<Bytes>,
        /// The revision that made it. Of two objects that contradict each other the older one stays.
        create_revision: i64,
    },
    /// An OVS Interface of the integration bridge with an `iface-id`.
    Interface {
        /// Its row's UUID.
        id: u128,
        /// `None`: it is gone, or its `iface-id` is.
        interface: Option<LocalInterface>,
    },
    /// A tunnel port of ours.
    Tunnel {
        /// The protocol.
        kind: EncapKind,
        /// `None`: the flow-based port, by which all packets leave. An address: the port that watches that end point ([`crate::Watch`]).
        remote: Option<IpAddr>,
        /// Its OpenFlow port number; `None`: there is none.
        ofport: Option<u32>,
    },
    /// A pair of OVS patch Interfaces of ours, both ends in place.
    Patch {
        /// The name of the one on the integration bridge.
        name: String,
        /// `None`: there is no such pair, or it is not whole.
        patch: Option<LocalPatch>,
    },
    /// Whether this host, as an edge, tells those that watch it not to send here.
    Withdrawn(bool),
    /// A session of BFD by one of our tunnel ports.
    Session {
        /// The protocol.
        kind: EncapKind,
        /// The other end.
        remote: IpAddr,
        /// Whether it was up, and was not withdrawn by the other end: if it is down then, the tunnel is dead.
        proven: bool,
    },
    /// A bridge that patch ports may lead to.
    Bridge {
        /// Its name.
        name: String,
        /// The largest IP packet that gets out of it, in bytes; `None`: that is not known, or there is no such bridge.
        mtu: Option<u32>,
    },
    /// This host's own IP stack takes what is for the outside.
    Untunnel {
        /// By this port; `None`: it does not, or not any more.
        port: Option<UntunnelPort>,
    },
    /// Who has an address in the physical network that a switch meets here, as the agent learned it.
    Neighbour {
        /// The switch.
        ls: Name,
        /// The address.
        ip: IpAddr,
        /// `None`: not known any more.
        mac: Option<Mac>,
    },
    /// An address outside that the agent probes.
    Probe {
        /// The address.
        target: IpAddr,
        /// Whether its answers are to come to the agent.
        wanted: bool,
    },
}

/// The port by which the host's own IP stack takes packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UntunnelPort {
    /// OpenFlow port number.
    pub ofport: u32,
    /// The MAC address of the host's end.
    pub mac: Mac,
    /// Whether the stack forwards IPv4 that comes in there.
    pub ipv4: bool,
    /// Whether it forwards IPv6.
    pub ipv6: bool,
}

/// A pair of OVS patch Interfaces, both ends in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPatch {
    /// The bridge of the other end.
    pub bridge: String,
    /// OpenFlow port number on the integration bridge.
    pub ofport: u32,
}

/// An OVS Interface that asks to be bound to a switch port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalInterface {
    /// The interface's name, for people.
    pub name: String,
    /// Which switch port: its name, or `switch/port` where the name alone is ambiguous.
    pub iface_id: String,
    /// OpenFlow port number; 0 while the switch has given none.
    pub ofport: u32,
    /// What the row remembers of an earlier claim, so that a restarted agent knows it.
    pub claim: Option<ClaimMark>,
}

/// What an Interface row remembers: this interface claimed that port with that generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimMark {
    /// The port, as `switch/port`.
    pub lsp: String,
    /// The generation of the binding that was written.
    pub generation: u64,
}

/// Who the rules work for.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chassis that the flows are for.
    pub chassis: Name,
    /// Which datapaths to derive flows for.
    pub scope: Scope,
}

/// Which datapaths to derive flows for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Those that local ports can reach: what an agent wants.
    #[default]
    Reachable,
    /// All: so that contradictions show wherever they are, for `tpctl doctor`.
    All,
}
