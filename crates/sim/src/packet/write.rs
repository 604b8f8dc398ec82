//! Brings changed fields into the frame they came from, as Open vSwitch's datapath does: only what changed is written, and checksums are updated
//! rather than computed.

use super::{
    SLOTS, Slot, TAGGED,
    checksum::{crc32c, sum, update},
    ethertype,
    extract::{Layout, extract},
    protocol,
};

/// The frame with the values of `slots`.
pub(super) fn write(frame: &[u8], slots: &[u128; SLOTS]) -> Vec<u8> {
    let mut before = [0; SLOTS];
    let layout = extract(frame, &mut before);
    let mut out = Patch { out: frame.to_vec(), before: &before, after: slots };
    out.copy(Slot::EthDst, 0, 6);
    out.copy(Slot::EthSrc, 6, 6);
    match (before[Slot::EthType as usize], layout.l3) {
        _ if untouched(slots) => {}
        (ethertype::IPV4, Some(l3)) => out.ipv4(l3, &layout),
        (ethertype::IPV6, Some(l3)) => out.ipv6(l3, &layout),
        (ethertype::ARP | ethertype::RARP, Some(l3)) => {
            if out.changed(Slot::ArpOp) {
                // Open vSwitch takes 255 for "all bits".
                let operation = slots[Slot::ArpOp as usize];
                out.put(if operation == 0xff { 0xffff } else { operation }, l3 + 6, 2);
            }
            out.copy(Slot::ArpSha, l3 + 8, 6);
            out.copy(Slot::ArpSpa, l3 + 14, 4);
            out.copy(Slot::ArpTha, l3 + 18, 6);
            out.copy(Slot::ArpTpa, l3 + 24, 4);
        }
        (ethertype::MPLS | ethertype::MPLS_MULTICAST, Some(l3)) => out.copy(Slot::Mpls, l3, 4),
        _ => {}
    }
    if !out.changed(Slot::Vlan) && !out.changed(Slot::InnerVlan) {
        return out.out;
    }
    let mut tagged = out.out.get(..12).unwrap_or_default().to_vec();
    for slot in [Slot::Vlan, Slot::InnerVlan] {
        let tag = slots[slot as usize];
        if layout.tags > 0 && tag == before[Slot::Vlan as usize] {
            // As it came, with the drop-eligible bit, which no field has.
            tagged.extend_from_slice(frame.get(12..16).unwrap_or_default());
        } else if tag & TAGGED != 0 {
            tagged.extend_from_slice(&((tag & !TAGGED) as u32).to_be_bytes());
        }
    }
    tagged.extend_from_slice(out.out.get(12 + 4 * layout.tags..).unwrap_or_default());
    tagged
}

/// Whether a network header leaves as it came, whatever the fields say: Open vSwitch takes protocol 0, and an ARP operation of 0, for "no such
/// header" (`commit_set_nw_action`).
pub(super) fn untouched(slots: &[u128; SLOTS]) -> bool {
    match slots[Slot::EthType as usize] {
        ethertype::IPV4 | ethertype::IPV6 => slots[Slot::IpProto as usize] == 0,
        ethertype::ARP | ethertype::RARP => slots[Slot::ArpOp as usize] == 0,
        _ => false,
    }
}

struct Patch<'a> {
    out: Vec<u8>,
    before: &'a [u128; SLOTS],
    after: &'a [u128; SLOTS],
}

impl Patch<'_> {
    fn changed(&self, slot: Slot) -> bool {
        self.before[slot as usize] != self.after[slot as usize]
    }

    /// Writes a slot's low bytes, if it changed.
    fn copy(&mut self, slot: Slot, at: usize, len: usize) {
        if self.changed(slot) {
            self.put(self.after[slot as usize], at, len);
        }
    }

    fn put(&mut self, number: u128, at: usize, len: usize) {
        let bytes = number.to_be_bytes();
        if let (Some(place), Some(bytes)) = (self.out.get_mut(at..at + len), bytes.get(16 - len..)) {
            place.copy_from_slice(bytes);
        }
    }

    fn u16(&self, at: usize) -> u16 {
        self.out.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn ipv4(&mut self, l3: usize, layout: &Layout) {
        let header = l3..l3 + 20;
        let old = sum(self.out.get(header.clone()).unwrap_or_default());
        let addresses = l3 + 12..l3 + 20;
        let pseudo_old = sum(self.out.get(addresses.clone()).unwrap_or_default());
        self.copy(Slot::Tos, l3 + 1, 1);
        self.copy(Slot::Ttl, l3 + 8, 1);
        self.copy(Slot::Ip4Src, l3 + 12, 4);
        self.copy(Slot::Ip4Dst, l3 + 16, 4);
        let new = sum(self.out.get(header).unwrap_or_default());
        if old != new {
            self.put(update(self.u16(l3 + 10), old, new).into(), l3 + 10, 2);
        }
        let pseudo_new = sum(self.out.get(addresses).unwrap_or_default());
        self.transport(layout, pseudo_old, pseudo_new);
    }

    fn ipv6(&mut self, l3: usize, layout: &Layout) {
        // Behind a routing header another destination counts for checksums (RFC 8200, section 8.1).
        let addresses = l3 + 8..if layout.routed { l3 + 24 } else { l3 + 40 };
        let pseudo_old = sum(self.out.get(addresses.clone()).unwrap_or_default());
        if self.changed(Slot::Tos) || self.changed(Slot::Ip6Label) {
            let version = self.out.get(l3).map_or(6, |b| b >> 4);
            let (class, label) = (self.after[Slot::Tos as usize], self.after[Slot::Ip6Label as usize]);
            self.put(u128::from(version) << 28 | (class & 0xff) << 20 | label & 0xf_ffff, l3, 4);
        }
        self.copy(Slot::Ttl, l3 + 7, 1);
        self.copy(Slot::Ip6Src, l3 + 8, 16);
        self.copy(Slot::Ip6Dst, l3 + 24, 16);
        let pseudo_new = sum(self.out.get(addresses).unwrap_or_default());
        self.transport(layout, pseudo_old, pseudo_new);
    }

    /// What IP carries, and its checksum, of which the addresses are a part.
    fn transport(&mut self, layout: &Layout, pseudo_old: u64, pseudo_new: u64) {
        let Some(l4) = layout.l4 else { return };
        let covered = l4..layout.end;
        let proto = self.before[Slot::IpProto as usize];
        let old = self.out.get(covered.clone()).unwrap_or_default().to_vec();
        let field = if matches!(proto, protocol::ICMP | protocol::ICMPV6) { 1 } else { 2 };
        self.copy(Slot::TpSrc, l4, field);
        self.copy(Slot::TpDst, l4 + field, field);
        if layout.nd {
            self.neighbour(l4, layout.end);
        }
        let new = self.out.get(covered).unwrap_or_default();
        let (checksum, pseudo) = match proto {
            protocol::TCP => (l4 + 16, true),
            protocol::UDP => (l4 + 6, true),
            protocol::ICMP => (l4 + 2, false),
            protocol::ICMPV6 => (l4 + 2, true),
            protocol::SCTP => {
                if old != new {
                    let kept = |bytes: &[u8]| {
                        let mut bytes = bytes.to_vec();
                        bytes.get_mut(8..12).unwrap_or_default().fill(0);
                        crc32c(&bytes)
                    };
                    // The checksum is little endian; a wrong one stays wrong.
                    let was = old.get(8..12).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    let now = (was ^ kept(&old) ^ kept(new)).to_le_bytes();
                    self.put(u32::from_be_bytes(now).into(), l4 + 8, 4);
                }
                return;
            }
            _ => return,
        };
        let (mut old, mut new) = (sum(&old), sum(new));
        if pseudo {
            old += pseudo_old;
            new += pseudo_new;
        }
        let before = self.u16(checksum);
        // 0: the sender computed none (RFC 768).
        if old == new || proto == protocol::UDP && before == 0 {
            return;
        }
        let mut after = update(before, old, new);
        if proto == protocol::UDP && after == 0 {
            after = 0xffff;
        }
        self.put(after.into(), checksum, 2);
    }

    /// The kind of the first option first: then the address that belongs into that kind finds it.
    fn neighbour(&mut self, l4: usize, end: usize) {
        self.copy(Slot::NdReserved, l4 + 4, 4);
        if l4 + 32 <= end {
            self.copy(Slot::NdOption, l4 + 24, 1);
        }
        self.copy(Slot::NdTarget, l4 + 8, 16);
        let mut here = l4 + 24;
        while here + 8 <= end {
            let head = self.u16(here);
            let length = 8 * usize::from(head & 0xff);
            if length == 0 || here + length > end {
                break;
            }
            match head {
                0x0101 => self.copy(Slot::NdSll, here + 2, 6),
                0x0201 => self.copy(Slot::NdTll, here + 2, 6),
                _ => {}
            }
            here += length;
        }
    }
}
