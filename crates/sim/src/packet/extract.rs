//! What a frame says, header by header, as Open vSwitch 3.1 reads it (`miniflow_extract` of its `lib/flow.c`).
//!
//! Every length is checked; what is cut short or contradicts itself ends the reading, and the fields after it are zero.

use super::{SLOTS, Slot, TAGGED, ethertype, protocol};

/// VLAN tags that are read: Open vSwitch's default (`other_config:vlan-limit`). A second one counts as payload.
const TAGS: usize = 1;
/// The Ethertype of a frame that has a length in its place (IEEE 802.3) and no SNAP header that names one.
const NO_ETHERTYPE: u128 = 0x05ff;

/// Where the headers stand in the frame, as offsets in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Tags between the addresses and the Ethertype.
    pub tags: usize,
    /// What the Ethertype names, if it was understood.
    pub l3: Option<usize>,
    /// What the IP protocol names, if its header is whole.
    pub l4: Option<usize>,
    /// End of the IP packet.
    pub end: usize,
    /// An IPv6 routing header stands between: the destination that counts for checksums is another one.
    pub routed: bool,
    /// Neighbour discovery whose target is there.
    pub nd: bool,
}

/// Big-endian number of some bytes of the frame.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u128> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b)))
}

/// Fills the slots of the headers.
pub(super) fn extract(frame: &[u8], slots: &mut [u128; SLOTS]) -> Layout {
    let mut layout = Layout { end: frame.len(), ..Layout::default() };
    // Nothing comes after what is missing.
    let _ = ethernet(frame, slots, &mut layout);
    layout
}

fn ethernet(frame: &[u8], slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    slots[Slot::EthDst as usize] = number(frame, 0, 6)?;
    slots[Slot::EthSrc as usize] = number(frame, 6, 6)?;
    let mut at = 12;
    while layout.tags < TAGS && matches!(number(frame, at, 2)?, 0x8100 | 0x88a8) && frame.len() >= at + 6 {
        slots[Slot::Vlan as usize] = number(frame, at, 4)? | TAGGED;
        layout.tags += 1;
        at += 4;
    }
    let mut kind = number(frame, at, 2)?;
    at += 2;
    if kind < 0x600 {
        // LLC with SNAP: aa aa 03, organization 0, Ethertype.
        kind = NO_ETHERTYPE;
        if number(frame, at, 6) == Some(0xaaaa_0300_0000) {
            if let Some(named) = number(frame, at + 6, 2).filter(|named| *named >= 0x600) {
                kind = named;
            }
            at += 8;
        }
    }
    slots[Slot::EthType as usize] = kind;
    match kind {
        ethertype::IPV4 => ipv4(frame, at, slots, layout),
        ethertype::IPV6 => ipv6(frame, at, slots, layout),
        ethertype::ARP | ethertype::RARP => arp(frame, at, slots, layout),
        ethertype::MPLS | ethertype::MPLS_MULTICAST => {
            slots[Slot::Mpls as usize] = number(frame, at, 4)?;
            layout.l3 = Some(at);
            Some(())
        }
        _ => None,
    }
}

fn arp(frame: &[u8], at: usize, slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    // Ethernet, IPv4, their lengths.
    if number(frame, at, 6)? != 0x0001_0800_0604 || frame.len() < at + 28 {
        return None;
    }
    let op = number(frame, at + 6, 2)?;
    slots[Slot::ArpOp as usize] = if op <= 0xff { op } else { 0 };
    slots[Slot::ArpSha as usize] = number(frame, at + 8, 6)?;
    slots[Slot::ArpSpa as usize] = number(frame, at + 14, 4)?;
    slots[Slot::ArpTha as usize] = number(frame, at + 18, 6)?;
    slots[Slot::ArpTpa as usize] = number(frame, at + 24, 4)?;
    layout.l3 = Some(at);
    Some(())
}

fn ipv4(frame: &[u8], at: usize, slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    let size = frame.len().checked_sub(at).filter(|size| *size >= 20)?;
    let header = 4 * (number(frame, at, 1)? & 0xf) as usize;
    let total = number(frame, at + 2, 2)? as usize;
    if header < 20 || size < header || total > size || header > total {
        return None;
    }
    layout.l3 = Some(at);
    layout.end = at + total;
    slots[Slot::Tos as usize] = number(frame, at + 1, 1)?;
    slots[Slot::Ttl as usize] = number(frame, at + 8, 1)?;
    slots[Slot::IpProto as usize] = number(frame, at + 9, 1)?;
    slots[Slot::Ip4Src as usize] = number(frame, at + 12, 4)?;
    slots[Slot::Ip4Dst as usize] = number(frame, at + 16, 4)?;
    let fragment = number(frame, at + 6, 2)?;
    slots[Slot::Frag as usize] = fragment_bits(fragment & 0x2000 != 0, fragment & 0x1fff);
    transport(frame, at + header, slots, layout)
}

/// Bit 0: a fragment; bit 1: not the first.
fn fragment_bits(more: bool, offset: u128) -> u128 {
    match (more, offset) {
        (false, 0) => 0,
        (true, 0) => 1,
        _ => 3,
    }
}

fn ipv6(frame: &[u8], at: usize, slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    let size = frame.len().checked_sub(at).filter(|size| *size >= 40)?;
    let length = number(frame, at + 4, 2)? as usize;
    if length > size - 40 {
        return None;
    }
    let first = number(frame, at, 4)?;
    let mut next = number(frame, at + 6, 1)?;
    layout.end = at + 40 + length;
    slots[Slot::Ip6Src as usize] = number(frame, at + 8, 16)?;
    slots[Slot::Ip6Dst as usize] = number(frame, at + 24, 16)?;
    let whole = frame.get(..layout.end)?;
    let mut here = at + 40;
    let mut fragment = 0;
    // Extension headers (RFC 8200, section 4).
    loop {
        match next {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => {
                layout.routed |= next == 43;
                next = number(whole, here, 1)?;
                here += 8 * (number(whole, here + 1, 1)? as usize + 1);
            }
            // Authentication (RFC 4302, section 2.2).
            51 => {
                next = number(whole, here, 1)?;
                here += 4 * (number(whole, here + 1, 1)? as usize + 2);
            }
            44 => {
                number(whole, here, 8)?;
                let bits = number(whole, here + 2, 2)?;
                // Reserved bits count: what is not all zero is a fragment.
                fragment = fragment_bits(bits != 0, bits >> 3);
                if fragment & 2 != 0 {
                    // What is in a later fragment, this one does not know.
                    break;
                }
                next = number(whole, here, 1)?;
                here += 8;
            }
            _ => break,
        }
        if here > whole.len() {
            return None;
        }
    }
    layout.l3 = Some(at);
    slots[Slot::Tos as usize] = first >> 20 & 0xff;
    slots[Slot::Ip6Label as usize] = first & 0xf_ffff;
    slots[Slot::Ttl as usize] = number(frame, at + 7, 1)?;
    slots[Slot::IpProto as usize] = next;
    slots[Slot::Frag as usize] = fragment;
    transport(frame, here, slots, layout)
}

fn transport(frame: &[u8], at: usize, slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    if slots[Slot::Frag as usize] & 2 != 0 {
        return None;
    }
    let whole = frame.get(..layout.end)?;
    let ipv6 = slots[Slot::EthType as usize] == ethertype::IPV6;
    let (need, field) = match slots[Slot::IpProto as usize] {
        protocol::TCP => (20, 2),
        protocol::UDP => (8, 2),
        protocol::SCTP => (12, 2),
        protocol::ICMP if !ipv6 => (8, 1),
        protocol::ICMPV6 if ipv6 => (8, 1),
        _ => return None,
    };
    whole.get(at..at + need)?;
    if slots[Slot::IpProto as usize] == protocol::TCP {
        let header = 4 * (number(whole, at + 12, 1)? >> 4) as usize;
        if header < need || whole.len() < at + header {
            return None;
        }
    }
    layout.l4 = Some(at);
    slots[Slot::TpSrc as usize] = number(whole, at, field)?;
    slots[Slot::TpDst as usize] = number(whole, at + field, field)?;
    match slots[Slot::IpProto as usize] {
        protocol::TCP => slots[Slot::TcpFlags as usize] = number(whole, at + 12, 2)? & 0xfff,
        protocol::ICMPV6 => neighbour(whole, at, slots, layout)?,
        _ => {}
    }
    Some(())
}

/// Neighbour solicitation and advertisement (RFC 4861, sections 4.3 and 4.4).
fn neighbour(whole: &[u8], at: usize, slots: &mut [u128; SLOTS], layout: &mut Layout) -> Option<()> {
    if !matches!((slots[Slot::TpSrc as usize], slots[Slot::TpDst as usize]), (135 | 136, 0)) {
        return None;
    }
    slots[Slot::NdReserved as usize] = number(whole, at + 4, 4)?;
    slots[Slot::NdTarget as usize] = number(whole, at + 8, 16)?;
    layout.nd = true;
    let mut here = at + 24;
    while let Some(head) = number(whole, here, 2).filter(|_| whole.len() >= here + 8) {
        let (kind, length) = (head >> 8, 8 * (head & 0xff) as usize);
        if length == 0 || here + length > whole.len() {
            break;
        }
        let slot = match kind {
            1 => Some(Slot::NdSll),
            2 => Some(Slot::NdTll),
            _ => None,
        };
        if let Some(slot) = slot.filter(|_| length == 8) {
            if slots[slot as usize] != 0 {
                // One option twice: none of it is to be believed.
                for slot in [Slot::NdTarget, Slot::NdSll, Slot::NdTll] {
                    slots[slot as usize] = 0;
                }
                return None;
            }
            slots[slot as usize] = number(whole, here + 2, 6)?;
            if slots[Slot::NdOption as usize] == 0 {
                slots[Slot::NdOption as usize] = kind;
            }
        }
        here += length;
    }
    Some(())
}
