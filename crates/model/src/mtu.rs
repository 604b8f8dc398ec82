//! How long a packet may be: what a tunnel adds to a frame, and what is therefore left of an underlay's MTU.
//!
//! An *MTU* here is that of IP, as Linux shows it of a device: the bytes of the largest packet, without the Ethernet header in front of it.

use crate::entity::{Chassis, EncapKind};
use std::net::IpAddr;

/// The smallest that a switch may be given: every link that carries IPv6 takes packets of that length (RFC 8200, section 5).
pub const LEAST: u16 = 1280;
/// The smallest that an underlay may have: every link that carries IPv4 takes packets of that length (RFC 791, section 3.2).
pub const LEAST_UNDERLAY: u32 = 68;
/// The largest that an underlay may have: Linux's loopback device.
pub const MOST_UNDERLAY: u32 = 65_536;

/// Ethernet header: destination, source, type (IEEE 802.3). Frames that a VM tags itself (IEEE 802.1Q) are four bytes longer, and get no further than the
/// first router.
pub const ETHERNET: u32 = 14;
/// IPv4 header without options (RFC 791, section 3.1).
const IPV4: u32 = 20;
/// IPv6 header (RFC 8200, section 3).
const IPV6: u32 = 40;
/// UDP header (RFC 768).
const UDP: u32 = 8;
/// Geneve header (RFC 8926, section 3.4) and our one option: its header (section 3.5) and its value.
const GENEVE: u32 = 8 + 4 + 8;
/// VXLAN header (RFC 7348, section 5).
const VXLAN: u32 = 8;
/// GRE header (RFC 2784, section 2.1) with a key (RFC 2890, section 2), without checksum and sequence number.
const GRE: u32 = 4 + 4;

/// How much longer an IP packet of the virtual network is as an IP packet of the underlay, in bytes, when it goes to that tunnel end point: headers of the underlay's IP
/// and of the tunnel, and the Ethernet header of the frame that the tunnel carries.
///
/// | | IPv4 underlay | IPv6 underlay |
/// |---|---|---|
/// | Geneve | 20 + 8 + 20 + 14 = 62 | 40 + 8 + 20 + 14 = 82 |
/// | VXLAN | 20 + 8 + 8 + 14 = 50 | 40 + 8 + 8 + 14 = 70 |
/// | GRE | 20 + 8 + 14 = 42 | 40 + 8 + 14 = 62 |
pub fn overhead(kind: EncapKind, endpoint: IpAddr) -> u32 {
    let tunnel = match kind {
        EncapKind::Geneve => UDP + GENEVE,
        EncapKind::Vxlan => UDP + VXLAN,
        EncapKind::Gre => GRE,
    };
    let underlay = if endpoint.is_ipv4() { IPV4 } else { IPV6 };
    underlay + tunnel + ETHERNET
}

/// The largest packet that a tunnel of that kind to that end point carries over an underlay with that MTU.
pub fn carried(underlay: u32, kind: EncapKind, endpoint: IpAddr) -> u32 {
    underlay.saturating_sub(overhead(kind, endpoint))
}

impl Chassis {
    /// The largest packet that its tunnels carry, of the kind that it would rather use; `None` if its agent does not say.
    pub fn carries(&self) -> Option<u32> {
        let encap = self.encaps.first()?;
        Some(carried(self.mtu?, encap.kind, encap.ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_cost_what_their_headers_say() {
        let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 1]));
        let costs = [EncapKind::Geneve, EncapKind::Vxlan, EncapKind::Gre].map(|k| (overhead(k, v4), overhead(k, v6)));
        assert_eq!(costs, [(62, 82), (50, 70), (42, 62)]);
        assert_eq!(carried(1500, EncapKind::Geneve, v4), 1438);
        assert_eq!(carried(10, EncapKind::Geneve, v6), 0);
    }
}
