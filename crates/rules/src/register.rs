//! What the pipeline keeps about a packet beside its headers: registers, flags, and their place in the tunnel's option.
//!
//! This is the only place that gives a register its meaning. Registers are no packet fields: a match on them costs
//! nothing in a megaflow.
//!
//! | where | what |
//! |---|---|
//! | `metadata` | the datapath that the packet is in; the tunnel's VNI |
//! | `xxreg0` (`reg0` for IPv4) | next hop, once routed |
//! | `reg4` | source port, in this datapath |
//! | `reg5` | destination port, in this datapath; [`FLOOD`] for all |
//! | `reg6` | flags |
//! | `reg7` | command id: the colour of a traced packet |
//! | `reg13` | how long the packet may be on its way out of a router, and whether it is longer |
//! | `xxreg2` (`reg8` for IPv4) | tunnel end point of the chassis that has the destination port; 0: it is here |
//! | `reg12` | source port (high) and destination port (low) of TCP, UDP or SCTP, while one of equal routes is chosen |

use crate::cookie::name_hash;
use tuplenet_model::id::PortId;
use tuplenet_openflow::field::{self, Field};

/// The datapath.
pub const DATAPATH: &Field = field::METADATA;
/// Next hop of an IPv4 packet.
pub const NEXT_HOP4: &Field = field::REG0;
/// Next hop of an IPv6 packet.
pub const NEXT_HOP6: &Field = field::XXREG0;
/// Source port.
pub const SRC_PORT: &Field = field::REG4;
/// Destination port.
pub const DST_PORT: &Field = field::REG5;
/// Flags.
pub const FLAGS: &Field = field::REG6;
/// Command id.
pub const COMMAND: &Field = field::REG7;
/// Tunnel end point of the remote chassis, IPv4.
pub const REMOTE4: &Field = field::REG8;
/// Tunnel end point of the remote chassis, IPv6.
pub const REMOTE6: &Field = field::XXREG2;
/// Ports of the layer above IP, source in the upper half; 0 where they are not known, as in all fragments.
pub const L4_PORTS: &Field = field::REG12;

/// Flag: an answer made here, which may leave by the port that it came from.
pub const LOOPBACK: u32 = 1 << 0;
/// Flag: came by a tunnel, so it does not leave by one before a router took it.
pub const FROM_TUNNEL: u32 = 1 << 1;
/// Flag: a copy for another chassis' members of a flood group.
pub const FLOOD_COPY: u32 = 1 << 2;

/// Flag: coloured, its path is reported.
pub const TRACED: u32 = 1 << 3;
/// Flag: coloured, and what is reported of it here has its end where it came in by a tunnel, so that copies of it have no end of their own.
pub const ENTERED: u32 = 1 << 4;
/// Flag: came in by a patch port, so it does not leave by one before a router took it.
pub const FROM_PATCH: u32 = 1 << 5;
/// Flag: a copy between a chassis without a patch port of the switch and the designated one.
pub const DESIGNATED: u32 = 1 << 7;

/// Flag: turned back at an uplink for an external address of its own router, once.
pub const NATTED: u32 = 1 << 6;

/// Flag: coloured, and conntrack still has a copy to go on with, that has an end of its own to report.
pub const PENDING: u32 = 1 << 8;

/// Flag: a router's answer to an echo request, which is sent whatever its length: it came that way.
pub const ANSWER: u32 = 1 << 10;
/// Flag: a router's own ICMP error; NAT translates what it quotes.
pub const ERROR: u32 = 1 << 12;
/// Flag: its chassis could not be reached, and it is on a detour to one that is to send it on.
pub const REDIRECTED: u32 = 1 << 9;
/// Flag: sent on by such a chassis, to no further detour.
pub const RELAYED: u32 = 1 << 13;
/// Flag: takes no detour, as an edge does not have its switch. It is above those that tunnels carry, and does not leave the host.
pub const DIRECT_ONLY: u32 = 1 << 16;

/// The most bytes that an IP packet may have in the switch that a router sends it into; and whether it has more ([`TOO_BIG`]).
pub const MTU: &Field = field::REG13;
/// In [`MTU`]: the packet is longer.
pub const TOO_BIG: u32 = 1 << 31;
/// Flag: leaves by the host's own IP stack.
pub const UNTUNNELLED: u32 = 1 << 11;

/// Destination port that stands for all ports of the switch.
pub const FLOOD: u32 = PortId::FLOOD as u32;

/// What stands for a router's port in registers: its id, or for one that has none (the store lets it) a number above all ids, made from its
/// name. It stays within the host, where registers have 32 bits; two ports of a router that come to the same number contend for it as for an id.
pub fn router_port(name: &str, id: Option<PortId>) -> u32 {
    id.map_or_else(|| 0x0100_0000 | name_hash(name), |id| id.get().into())
}

/// One 16-bit part of the tunnel's 8-byte option (`tun_metadata0`), by its lowest bit.
pub mod option {
    /// Source port.
    pub const SRC_PORT: u16 = 48;
    /// Destination port.
    pub const DST_PORT: u16 = 32;
    /// Flags.
    pub const FLAGS: u16 = 16;
    /// Command id.
    pub const COMMAND: u16 = 0;
    /// Width of each part, in bits.
    pub const WIDTH: u16 = 16;
    /// Geneve option class of ours (RFC 8926, section 3.5).
    pub const CLASS: u16 = 0xffee;
    /// Geneve option type.
    pub const TYPE: u8 = 0x80;
    /// Length of the option's value, in bytes.
    pub const LEN: u8 = 8;
}
