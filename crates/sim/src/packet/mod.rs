//! A packet: its bytes, what its headers say, and what the pipeline keeps about it (registers, tunnel, connection).
//!
//! Fields mean what they mean in Open vSwitch (ovs-fields(7)): they are read from the frame once, actions change the fields, and [`Packet::to_bytes`]
//! brings the changes into the frame. A frame that is damaged has the fields up to the damage.

pub(crate) mod checksum;
mod extract;
mod slot;
mod tuple;
mod write;

pub(crate) use slot::{ALL as ALL_SLOTS, SLOTS, Slot, ones, place};
pub(crate) use tuple::{Tracked, Tuple};

use std::{fmt, sync::Arc};
use tuplenet_openflow::{
    Field, Value,
    field::{self, Prerequisite, REGISTRY},
    port,
};

/// Ethertypes.
pub(crate) mod ethertype {
    pub const IPV4: u128 = 0x0800;
    pub const ARP: u128 = 0x0806;
    pub const RARP: u128 = 0x8035;
    pub const IPV6: u128 = 0x86dd;
    pub const MPLS: u128 = 0x8847;
    pub const MPLS_MULTICAST: u128 = 0x8848;
    pub const VLAN: u128 = 0x8100;
}

/// Protocols of IP.
pub(crate) mod protocol {
    pub const ICMP: u128 = 1;
    pub const TCP: u128 = 6;
    pub const UDP: u128 = 17;
    pub const ICMPV6: u128 = 58;
    pub const SCTP: u128 = 132;
}

/// "There is a VLAN tag", in a TCI.
pub(crate) const TAGGED: u128 = 0x1000;

/// The longest frame, in bytes: what 16 bits of length and an Ethernet header can say.
pub const MAX_FRAME: usize = 65_535 + 18;

/// Bytes that are no Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than the Ethernet header.
    #[error("a frame of {0} bytes has no Ethernet header: give 14 bytes at least (destination, source, Ethertype)")]
    TooShort(usize),
    /// Longer than any frame.
    #[error("a frame of {0} bytes is longer than any: give {MAX_FRAME} bytes at most")]
    TooLong(usize),
}

/// A packet on its way through a switch. See the module.
#[derive(Clone)]
pub struct Packet {
    frame: Arc<[u8]>,
    slots: Box<[u128; SLOTS]>,
}

impl Packet {
    /// Reads a frame. What the pipeline keeps is all zero.
    pub fn parse(bytes: &[u8]) -> Result<Packet, Malformed> {
        if bytes.len() < 14 {
            return Err(Malformed::TooShort(bytes.len()));
        }
        if bytes.len() > MAX_FRAME {
            return Err(Malformed::TooLong(bytes.len()));
        }
        let mut slots = Box::new([0; SLOTS]);
        extract::extract(bytes, &mut slots);
        slots[Slot::ActsetOutput as usize] = port::UNSET.into();
        Ok(Packet { frame: bytes.into(), slots })
    }

    /// The frame as it is now: with what was set, and checksums that are right if they were before.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::write(&self.frame, &self.slots)
    }

    /// The packet as it leaves, whose network header may not be what the fields say: see [`write::untouched`].
    pub(crate) fn leaving(&self) -> Packet {
        let mut leaving = self.clone();
        if write::untouched(&self.slots) {
            let mut came = [0; SLOTS];
            extract::extract(&self.frame, &mut came);
            let network = Slot::Ip4Src as usize..=Slot::NdOption as usize;
            leaving.slots[network.clone()].copy_from_slice(&came[network]);
        }
        leaving
    }

    /// The packet as the next switch gets it, who knows the frame only.
    pub(crate) fn fresh(&self) -> Packet {
        let frame = self.to_bytes();
        Packet::parse(&frame).unwrap_or_else(|_| self.clone())
    }

    /// A field's value at the field's width; `tun_metadata0` has the width of the option. `None` where a packet like this has no
    /// such field.
    pub fn get(&self, field: &'static Field) -> Option<Value> {
        if field == field::TUN_METADATA0 && self.slot(Slot::TunMetadata0Present) == 0 {
            return None;
        }
        let number = self.number(field)?.to_be_bytes();
        let width = if field.is_variable() { slot::OPTION_BITS as usize / 8 } else { field.bytes.into() };
        Some(Value::from_bytes(number.get(16_usize.saturating_sub(width)..)?))
    }

    /// Sets a field. A packet that has no such field stays as it is, as in Open vSwitch; of a value that is too wide the low bits count.
    pub fn set(&mut self, field: &'static Field, value: impl Into<Value>) {
        let value = value.into();
        let low = value.as_bytes().get(value.as_bytes().len().saturating_sub(16)..).unwrap_or_default();
        self.write(field, low.iter().fold(0, |n, b| n << 8 | u128::from(*b)), u128::MAX);
    }

    /// Whether a packet like this has the field.
    pub fn has(&self, field: &'static Field) -> bool {
        place(field).is_some() && self.meets(field.prerequisite)
    }

    /// Length of the frame in bytes, without VLAN tag.
    pub(crate) fn length(&self) -> usize {
        let tag = if self.slot(Slot::Vlan) & TAGGED == 0 { 0 } else { 4 };
        self.to_bytes().len() - tag
    }

    /// Whether a router may cut it into fragments: an IPv4 packet without the bit that says no (RFC 791, section 3.1). Open vSwitch has no field for that bit.
    pub(crate) fn may_be_cut(&self) -> bool {
        let frame = self.to_bytes();
        let header = 14 + if self.slot(Slot::Vlan) & TAGGED == 0 { 0 } else { 4 };
        self.slot(Slot::EthType) == ethertype::IPV4 && frame.get(header + 6).is_some_and(|flags| flags & 0x40 == 0)
    }

    /// A field as a number, if the packet has it.
    pub(crate) fn number(&self, field: &'static Field) -> Option<u128> {
        if !self.has(field) {
            return None;
        }
        let place = place(field)?;
        let number = self.slot(place.slot) >> place.shift & ones(place.bits);
        Some(match field {
            f if f == field::IN_PORT_NXM => port::to_16(number as u32).unwrap_or(NO_PORT_16).into(),
            f if f == field::NW_TOS => number & 0xfc,
            _ => number,
        })
    }

    /// Sets those bits of a field that `mask` has. False: the packet has no such field, and stays as it is.
    pub(crate) fn write(&mut self, field: &'static Field, number: u128, mask: u128) -> bool {
        let Some(place) = place(field).filter(|_| self.has(field)) else { return false };
        let (number, mask) = match field {
            f if f == field::IN_PORT_NXM => {
                let before = self.number(field).unwrap_or(0);
                (port::from_16((before & !mask | number & mask) as u16).into(), u128::MAX)
            }
            f if f == field::NW_TOS => (number, mask & 0xfc),
            _ => (number, mask),
        };
        let mask = (mask & ones(place.bits)) << place.shift;
        let number = (number & ones(place.bits)) << place.shift;
        let slot = self.slot_mut(place.slot);
        *slot = *slot & !mask | number & mask;
        match place.slot {
            Slot::Vlan => match *slot & 0xffff {
                0 => *slot = 0,
                _ if *slot >> 16 == 0 => *slot |= ethertype::VLAN << 16,
                _ => {}
            },
            Slot::TunMetadata0 => *self.slot_mut(Slot::TunMetadata0Present) = 1,
            _ => {}
        }
        true
    }

    pub(crate) fn slot(&self, slot: Slot) -> u128 {
        self.slots[slot as usize]
    }

    pub(crate) fn slot_mut(&mut self, slot: Slot) -> &mut u128 {
        &mut self.slots[slot as usize]
    }

    pub(crate) fn slots(&self) -> &[u128; SLOTS] {
        &self.slots
    }

    fn meets(&self, prerequisite: Prerequisite) -> bool {
        let ethertype = self.slot(Slot::EthType);
        let ipv4 = ethertype == ethertype::IPV4;
        let ipv6 = ethertype == ethertype::IPV6;
        // A later fragment has no such header, whatever protocol it is a part of.
        let proto = |wanted| (ipv4 || ipv6) && self.slot(Slot::Frag) & 2 == 0 && self.slot(Slot::IpProto) == wanted;
        let icmpv6 = ipv6 && proto(protocol::ICMPV6);
        let nd = |kind| icmpv6 && self.slot(Slot::TpDst) == 0 && self.slot(Slot::TpSrc) == kind;
        match prerequisite {
            // What the connection tracker knows is there even if it is zero.
            Prerequisite::None | Prerequisite::Ethernet | Prerequisite::Ct => true,
            Prerequisite::VlanVid => self.slot(Slot::Vlan) & TAGGED != 0,
            Prerequisite::Arp => matches!(ethertype, ethertype::ARP | ethertype::RARP),
            Prerequisite::Ipv4 => ipv4,
            Prerequisite::Ipv6 => ipv6,
            Prerequisite::Ip => ipv4 || ipv6,
            Prerequisite::Mpls => matches!(ethertype, ethertype::MPLS | ethertype::MPLS_MULTICAST),
            Prerequisite::Tcp => proto(protocol::TCP),
            Prerequisite::Udp => proto(protocol::UDP),
            Prerequisite::Sctp => proto(protocol::SCTP),
            Prerequisite::Icmpv4 => ipv4 && proto(protocol::ICMP),
            Prerequisite::Icmpv6 => icmpv6,
            Prerequisite::Nd => nd(135) || nd(136),
            Prerequisite::NdSolicit => nd(135),
            Prerequisite::NdAdvert => nd(136),
            Prerequisite::Nsh => false,
        }
    }
}

/// `OFPP_NONE` of OpenFlow 1.0: for a port whose number has no 16-bit form.
const NO_PORT_16: u16 = 0xffff;

/// Two packets are equal if all that a switch can see of them is.
impl PartialEq for Packet {
    fn eq(&self, other: &Packet) -> bool {
        self.slots == other.slots && (Arc::ptr_eq(&self.frame, &other.frame) || self.to_bytes() == other.to_bytes())
    }
}

impl Eq for Packet {}

/// All fields that are not zero, in the order of the registry; wide registers as 32-bit ones.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for field in REGISTRY {
            let twice = field.name.starts_with('x')
                || [field::IN_PORT_NXM, field::VLAN_TCI, field::NW_TOS, field::ACTSET_OUTPUT].contains(&field);
            if let Some(value) = self.get(field).filter(|v| !twice && !v.is_zero()) {
                shown.entry(&format_args!("{}", field.name), &value);
            }
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests;
