//! Reserved port numbers, `OFPP_*` of OpenFlow 1.1 and later (OpenFlow 1.5.1, 7.2.1.1).

/// Highest number of a real port.
pub const MAX: u32 = 0xffff_ff00;
/// The output port of the action set (only as a match on `actset_output`).
pub const UNSET: u32 = 0xffff_fff7;
/// Back to where the packet came from; the only way to output to the ingress port.
pub const IN_PORT: u32 = 0xffff_fff8;
/// Through the flow tables, from the first (packet-out only).
pub const TABLE: u32 = 0xffff_fff9;
/// As a switch without OpenFlow would.
pub const NORMAL: u32 = 0xffff_fffa;
/// To all ports but the ingress port and those that do not flood.
pub const FLOOD: u32 = 0xffff_fffb;
/// To all ports but the ingress port.
pub const ALL: u32 = 0xffff_fffc;
/// To the controller, as a packet-in.
pub const CONTROLLER: u32 = 0xffff_fffd;
/// The switch's own network interface.
pub const LOCAL: u32 = 0xffff_fffe;
/// Wildcard in flow mods and requests.
pub const ANY: u32 = 0xffff_ffff;

/// The 32-bit number of a 16-bit OpenFlow 1.0 port: reserved ports move up, others keep their number.
pub const fn from_16(port: u16) -> u32 {
    if port >= 0xff00 { port as u32 | 0xffff_0000 } else { port as u32 }
}

/// The 16-bit OpenFlow 1.0 number, for those of Open vSwitch's own actions that have no room for more.
pub const fn to_16(port: u32) -> Option<u16> {
    if port >= MAX || port < 0xff00 { Some(port as u16) } else { None }
}
