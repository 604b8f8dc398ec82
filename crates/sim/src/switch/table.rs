//! One flow table: the flow of highest priority that a packet matches.
//!
//! Tuple space search, as in Open vSwitch's classifier: flows that match the same bits form a group, in which one hash lookup finds those whose
//! values fit. So a lookup costs one hash per distinct mask, however many flows there are.

use crate::packet::{ALL_SLOTS, Packet, SLOTS, Slot, ones, place};
use rustc_hash::FxHashMap;
use std::rc::Rc;
use tuplenet_openflow::{
    Action, FieldMatch, Flow, Match,
    action::Subfield,
    field::{self, Prerequisite},
};

/// A flow in its table.
#[derive(Debug)]
pub(super) struct Entry {
    pub flow: Flow,
    /// Clauses of conjunctions that it is a part of: id, clause, how many there are.
    conjunctions: Vec<(u32, u8, u8)>,
}

/// The bits of the slots that a group of flows matches.
type Mask = Box<[(Slot, u128)]>;
/// The values of those bits.
type Key = Box<[u128]>;

#[derive(Default)]
struct Tuple {
    flows: FxHashMap<Key, Vec<Rc<Entry>>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    tuples: FxHashMap<Mask, Tuple>,
    /// Flows that match what packets here do not have, or what no switch takes, and why.
    refused: FxHashMap<(u16, Match), (Rc<Entry>, String)>,
}

/// What to look up instead of what the packet says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pretend {
    /// As if it came from there.
    pub in_port: Option<u32>,
    /// Addresses and ports are those of the tracked connection's first packet.
    pub connection: bool,
}

impl Table {
    pub fn is_empty(&self) -> bool {
        self.tuples.is_empty() && self.refused.is_empty()
    }

    /// A flow that no packet can be looked up against, and why.
    pub fn refused(&self) -> Option<(&Flow, &str)> {
        self.refused.values().map(|(entry, why)| (&entry.flow, why.as_str())).min_by_key(|(flow, _)| flow.cookie)
    }

    /// Adds a flow, in the place of the one with its priority and match.
    pub fn insert(&mut self, flow: Flow) {
        let conjunctions = flow.actions().iter().filter_map(|action| match action {
            Action::Conjunction { id, clause, n_clauses } => Some((*id, *clause, *n_clauses)),
            _ => None,
        });
        let entry = Rc::new(Entry { conjunctions: conjunctions.collect(), flow });
        match compile(&entry.flow.matching) {
            Err(why) => {
                self.refused.insert((entry.flow.priority, entry.flow.matching.clone()), (entry, why));
            }
            Ok((mask, key)) => {
                let flows = self.tuples.entry(mask).or_default().flows.entry(key).or_default();
                let same = |other: &Rc<Entry>| {
                    other.flow.priority == entry.flow.priority && other.flow.matching == entry.flow.matching
                };
                match flows.iter().position(same) {
                    Some(at) => flows[at] = entry,
                    None => {
                        let at = flows.partition_point(|other| other.flow.priority >= entry.flow.priority);
                        flows.insert(at, entry);
                    }
                }
            }
        }
    }

    pub fn remove(&mut self, priority: u16, matching: &Match) {
        let Ok((mask, key)) = compile(matching) else {
            self.refused.remove(&(priority, matching.clone()));
            return;
        };
        let Some(tuple) = self.tuples.get_mut(&mask) else { return };
        if let Some(flows) = tuple.flows.get_mut(&key) {
            flows.retain(|entry| entry.flow.priority != priority || entry.flow.matching != *matching);
            if flows.is_empty() {
                tuple.flows.remove(&key);
            }
        }
        if tuple.flows.is_empty() {
            self.tuples.remove(&mask);
        }
    }

    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        let known = self.tuples.values().flat_map(|tuple| tuple.flows.values().flatten());
        known.chain(self.refused.values().map(|(entry, _)| entry)).map(|entry| &entry.flow)
    }

    /// The flow of highest priority that matches, and the `conj_id` that made it match if a conjunction did.
    pub fn lookup(&self, packet: &Packet, pretend: Pretend) -> Option<(Rc<Entry>, u32)> {
        let mut slots = *packet.slots();
        if let Some(port) = pretend.in_port {
            slots[Slot::InPort as usize] = port.into();
        }
        if pretend.connection {
            for (slot, original) in [
                (Slot::IpProto, Slot::CtProto),
                (Slot::Ip4Src, Slot::Ct4Src),
                (Slot::Ip4Dst, Slot::Ct4Dst),
                (Slot::Ip6Src, Slot::Ct6Src),
                (Slot::Ip6Dst, Slot::Ct6Dst),
                (Slot::TpSrc, Slot::CtTpSrc),
                (Slot::TpDst, Slot::CtTpDst),
            ] {
                slots[slot as usize] = slots[original as usize];
            }
        }
        // Without reassembly nobody knows the ports of a fragment (ovs-fields(7), "IPv4/IPv6 Fragment").
        if slots[Slot::Frag as usize] != 0 {
            slots[Slot::TpSrc as usize] = 0;
            slots[Slot::TpDst as usize] = 0;
        }
        let (hard, mut soft) = self.search(&slots);
        // A conjunction counts with the priority of its clauses, if all of them are met at that priority.
        soft.sort_by_key(|entry| std::cmp::Reverse(entry.flow.priority));
        for group in soft.chunk_by(|a, b| a.flow.priority == b.flow.priority) {
            let Some(id) = conjunction(group) else { continue };
            if hard.as_ref().is_some_and(|hard| hard.flow.priority >= group[0].flow.priority) {
                break;
            }
            slots[Slot::ConjId as usize] = id.into();
            if let (Some(found), _) = self.search(&slots) {
                return Some((found, id));
            }
            slots[Slot::ConjId as usize] = packet.slot(Slot::ConjId);
        }
        hard.map(|found| (found, 0))
    }

    /// The best flow that is no part of a conjunction, and all that are.
    fn search(&self, slots: &[u128; SLOTS]) -> (Option<Rc<Entry>>, Vec<Rc<Entry>>) {
        let mut best: Option<&Rc<Entry>> = None;
        let mut soft = Vec::new();
        let mut key = Vec::new();
        for (mask, tuple) in &self.tuples {
            key.clear();
            key.extend(mask.iter().map(|(slot, mask)| slots[*slot as usize] & mask));
            for entry in tuple.flows.get(key.as_slice()).into_iter().flatten() {
                if !entry.conjunctions.is_empty() {
                    soft.push(entry.clone());
                } else if best.is_none_or(|best| rank(entry) > rank(best)) {
                    best = Some(entry);
                }
            }
        }
        (best.cloned(), soft)
    }
}

/// Of two flows of one priority that both match, a switch takes any; this one always takes the same.
fn rank(entry: &Entry) -> (u16, std::cmp::Reverse<u64>) {
    (entry.flow.priority, std::cmp::Reverse(entry.flow.cookie))
}

/// The lowest id of which all clauses are there.
fn conjunction(flows: &[Rc<Entry>]) -> Option<u32> {
    let mut met: FxHashMap<u32, (u64, u8)> = FxHashMap::default();
    for (id, clause, of) in flows.iter().flat_map(|entry| &entry.conjunctions) {
        let entry = met.entry(*id).or_insert((0, *of));
        entry.0 |= 1_u64.checked_shl(u32::from(*clause)).unwrap_or(0);
    }
    met.into_iter().filter(|(_, (clauses, of))| u128::from(*clauses) == ones((*of).into())).map(|(id, _)| id).min()
}

/// A match as bits of slots, or why it cannot be one.
fn compile(matching: &Match) -> Result<(Mask, Key), String> {
    if let Some(tlv) = matching.unknown().next() {
        return Err(format!("it matches a field that is not known here ({tlv:02x?})"));
    }
    let mut bits = [(0_u128, 0_u128); SLOTS];
    let number = |value: &tuplenet_openflow::Value| value.to_u128().unwrap_or(0);
    for FieldMatch { field, value, mask } in matching.fields() {
        let Some(place) = place(field) else {
            return Err(format!("it matches {}, which packets do not have here", field.name));
        };
        if !meets(matching, field.prerequisite) {
            return Err(format!("it matches {} without its prerequisite: no switch takes it", field.name));
        }
        if value.to_u128().is_none() {
            return Err(format!("it matches more of {} than the option has", field.name));
        }
        let full = if field == field::CT_STATE { ones(8) } else { ones(place.bits) };
        let mask = mask.as_ref().map_or(full, number) & ones(place.bits);
        let slot = &mut bits[place.slot as usize];
        slot.0 |= mask << place.shift;
        slot.1 |= (number(&value) & mask) << place.shift;
        if field == field::TUN_METADATA0 {
            bits[Slot::TunMetadata0Present as usize] = (1, 1);
        }
    }
    let used = || ALL_SLOTS.iter().filter(|slot| bits[**slot as usize].0 != 0);
    let mask = used().map(|slot| (*slot, bits[*slot as usize].0)).collect();
    Ok((mask, used().map(|slot| bits[*slot as usize].1).collect()))
}

/// Whether a match says what a field needs (ovs-fields(7), "Prerequisites").
fn meets(matching: &Match, prerequisite: Prerequisite) -> bool {
    let is =
        |field, wanted: u64| matching.get(field).is_some_and(|m| m.mask.is_none() && m.value.to_u64() == Some(wanted));
    let ethertype = |wanted| is(field::ETH_TYPE, wanted);
    let ip = || ethertype(0x0800) || ethertype(0x86dd);
    let proto = |wanted| ip() && is(field::IP_PROTO, wanted);
    let icmpv6 = || ethertype(0x86dd) && is(field::IP_PROTO, 58);
    let nd = |kind| icmpv6() && is(field::ICMPV6_TYPE, kind);
    match prerequisite {
        Prerequisite::None | Prerequisite::Ethernet | Prerequisite::Ct => true,
        Prerequisite::VlanVid => matching.get(field::VLAN_VID).is_some_and(|m| {
            m.mask.is_none_or(|mask| mask.to_u64().unwrap_or(0) & 0x1000 != 0)
                && m.value.to_u64().unwrap_or(0) & 0x1000 != 0
        }),
        Prerequisite::Arp => ethertype(0x0806) || ethertype(0x8035),
        Prerequisite::Ipv4 => ethertype(0x0800),
        Prerequisite::Ipv6 => ethertype(0x86dd),
        Prerequisite::Ip => ip(),
        Prerequisite::Mpls => ethertype(0x8847) || ethertype(0x8848),
        Prerequisite::Tcp => proto(6),
        Prerequisite::Udp => proto(17),
        Prerequisite::Sctp => proto(132),
        Prerequisite::Icmpv4 => ethertype(0x0800) && is(field::IP_PROTO, 1),
        Prerequisite::Icmpv6 => icmpv6(),
        Prerequisite::Nd => nd(135) || nd(136),
        Prerequisite::NdSolicit => nd(135),
        Prerequisite::NdAdvert => nd(136),
        Prerequisite::Nsh => false,
    }
}

/// Some bits of a field of a packet, as a number; 0 where the packet has no such field.
pub(super) fn read(packet: &Packet, part: &Subfield) -> u128 {
    packet.number(part.field()).unwrap_or(0).checked_shr(part.ofs.into()).unwrap_or(0) & ones(part.n_bits.into())
}

#[cfg(test)]
mod tests;
