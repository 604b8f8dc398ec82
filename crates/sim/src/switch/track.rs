//! The action `ct`: a packet through the connection tracker (ovs-actions(7), "The ct action").

use super::{
    connection::Connection,
    connection::state::{DNAT, EST, INV, NEW, REL, RPL, SNAT, TRK},
    machine::{Halt, Machine},
    table::read,
};
use crate::packet::{Packet, Slot, Tracked, Tuple, ones, protocol};
use tuplenet_openflow::{
    Action,
    action::{Ct, Nat, Zone},
    field,
};

/// All that the tracker says about a packet.
const ALL: [Slot; 11] = [
    Slot::CtState,
    Slot::CtZone,
    Slot::CtMark,
    Slot::CtLabel,
    Slot::CtProto,
    Slot::Ct4Src,
    Slot::Ct4Dst,
    Slot::Ct6Src,
    Slot::Ct6Dst,
    Slot::CtTpSrc,
    Slot::CtTpDst,
];

/// What the actions within `ct` ask for.
#[derive(Default)]
struct Nested<'a> {
    nat: Option<&'a Nat>,
    /// Value and mask.
    mark: (u128, u128),
    label: (u128, u128),
}

impl Machine<'_> {
    pub(super) fn forget_connection(&mut self) {
        for slot in ALL {
            *self.packet.slot_mut(slot) = 0;
        }
    }

    pub(super) fn track(&mut self, ct: &Ct) -> Result<(), Halt> {
        if ct.alg != 0 {
            return Err(self.unsupported(format!("ct with a helper for port {}", ct.alg)));
        }
        let nested = self.nested(&ct.actions)?;
        let zone = match ct.zone {
            Zone::Fixed(zone) => zone,
            Zone::From(part) => read(&self.packet, &part) as u16,
        };
        let mut packet = self.packet.clone();
        for slot in ALL {
            // What an earlier zone translated is known; the rest is said anew.
            let kept = if slot == Slot::CtState { SNAT | DNAT } else { 0 };
            *packet.slot_mut(slot) &= kept;
        }
        *packet.slot_mut(Slot::CtZone) = zone.into();
        match packet.tracked() {
            Tracked::Invalid => *packet.slot_mut(Slot::CtState) = TRK | INV,
            Tracked::Direct(tuple, begins) => self.direct(&mut packet, ct, zone, &nested, tuple, begins),
            Tracked::Error(quoted) => self.error(&mut packet, zone, &nested, quoted),
        }
        // What is translated stays so; what else the tracker found is for the table only.
        self.packet = packet.clone();
        self.forget_connection();
        match ct.table {
            Some(table) => self.recirculate(packet, table),
            None => Ok(()),
        }
    }

    fn nested<'c>(&self, actions: &'c [Action]) -> Result<Nested<'c>, Halt> {
        let mut nested = Nested::default();
        for action in actions {
            let (target, value, mask) = match action {
                Action::Nat(nat) => {
                    nested.nat = Some(nat);
                    continue;
                }
                Action::SetField(set) => {
                    let mask = set.mask().map_or(u128::MAX, |mask| mask.to_u128().unwrap_or(0));
                    (set.field(), set.value().to_u128().unwrap_or(0), mask)
                }
                Action::Move { src, dst } => {
                    let mask = ones(dst.n_bits.into()) << dst.ofs;
                    (dst.field(), read(&self.packet, src) << dst.ofs, mask)
                }
                other => return Err(self.unsupported(format!("{other:?} within ct"))),
            };
            let (before, mask) = match target {
                f if f == field::CT_MARK => (&mut nested.mark, mask & u128::from(u32::MAX)),
                f if f == field::CT_LABEL => (&mut nested.label, mask),
                f => return Err(self.unsupported(format!("{} within ct", f.name))),
            };
            *before = (before.0 & !mask | value & mask, before.1 | mask);
        }
        Ok(nested)
    }

    fn direct(&mut self, packet: &mut Packet, ct: &Ct, zone: u16, nested: &Nested<'_>, tuple: Tuple, begins: bool) {
        let tracker = &mut self.switch.tracker;
        let mut found = tracker.find(zone, tuple);
        if let Some((id, true)) = found
            && ct.commit
            && ct.force
        {
            tracker.forget(id);
            found = None;
        }
        let (id, reply, state) = match found {
            Some((id, reply)) => {
                let Some(connection) = tracker.get_mut(id) else { return };
                connection.answered |= reply;
                let state = if connection.answered { EST } else { NEW };
                (Some(id), reply, state | if reply { RPL } else { 0 })
            }
            None if !begins => {
                *packet.slot_mut(Slot::CtState) = TRK | INV;
                return;
            }
            None if ct.commit => match tracker.commit(zone, tuple, nested.nat) {
                Some(id) => (Some(id), false, NEW),
                // Nothing is left to translate it to.
                None => {
                    *packet.slot_mut(Slot::CtState) = TRK | INV;
                    return;
                }
            },
            None => (None, false, NEW),
        };
        let known = *packet.slot_mut(Slot::CtState);
        *packet.slot_mut(Slot::CtState) = known | TRK | state;
        let Some(id) = id else {
            say(packet, tuple);
            return;
        };
        if let Some(connection) = tracker.get_mut(id).filter(|_| ct.commit) {
            connection.mark = connection.mark & !nested.mark.1 | nested.mark.0;
            connection.label = connection.label & !nested.label.1 | nested.label.0;
        }
        let Some(connection) = tracker.get(id) else { return };
        *packet.slot_mut(Slot::CtMark) = connection.mark;
        *packet.slot_mut(Slot::CtLabel) = connection.label;
        say(packet, connection.original);
        if nested.nat.is_some() && connection.nat != (false, false) {
            translate(packet, reply, connection);
        }
    }

    /// An error about a packet of a known connection belongs to it.
    fn error(&mut self, packet: &mut Packet, zone: u16, nested: &Nested<'_>, quoted: Tuple) {
        // The quoted packet went the other way.
        let found = self.switch.tracker.find(zone, quoted.reverse());
        let Some((connection, reply)) = found.and_then(|(id, reply)| Some((self.switch.tracker.get(id)?, reply)))
        else {
            *packet.slot_mut(Slot::CtState) = TRK | INV;
            return;
        };
        *packet.slot_mut(Slot::CtState) |= TRK | REL | if reply { RPL } else { 0 };
        *packet.slot_mut(Slot::CtMark) = connection.mark;
        *packet.slot_mut(Slot::CtLabel) = connection.label;
        let (original, answer) = (connection.original, connection.reply);
        say(packet, original);
        let (source, destination) = connection.nat;
        if nested.nat.is_none() || !source && !destination {
            return;
        }
        packet.quote(if reply { original } else { answer });
        let (src, dst) = if original.ipv6 { (Slot::Ip6Src, Slot::Ip6Dst) } else { (Slot::Ip4Src, Slot::Ip4Dst) };
        // Who reports is somebody on the way, or the other side itself: it takes that one's place.
        let (from, to) = if reply { (original.dst, original.src) } else { (answer.dst, answer.src) };
        let (snat, dnat) = if reply { (destination, source) } else { (source, destination) };
        if snat {
            *packet.slot_mut(src) = from;
        }
        if dnat {
            *packet.slot_mut(dst) = to;
        }
        *packet.slot_mut(Slot::CtState) |= if snat { SNAT } else { 0 } | if dnat { DNAT } else { 0 };
    }
}

/// The tuple of the connection's first packet, for a match.
fn say(packet: &mut Packet, tuple: Tuple) {
    let (src, dst) = if tuple.ipv6 { (Slot::Ct6Src, Slot::Ct6Dst) } else { (Slot::Ct4Src, Slot::Ct4Dst) };
    *packet.slot_mut(src) = tuple.src;
    *packet.slot_mut(dst) = tuple.dst;
    *packet.slot_mut(Slot::CtProto) = tuple.proto.into();
    // Of an echo, type and code of the request.
    let (source, destination) = match u128::from(tuple.proto) {
        protocol::ICMP => (8, 0),
        protocol::ICMPV6 => (128, 0),
        _ => (tuple.sport, tuple.dport),
    };
    *packet.slot_mut(Slot::CtTpSrc) = source.into();
    *packet.slot_mut(Slot::CtTpDst) = destination.into();
}

/// Puts what the other side of the translation knows into a packet.
fn translate(packet: &mut Packet, is_reply: bool, connection: &Connection) {
    let (original, reply) = (connection.original, connection.reply);
    let to = if is_reply { original.reverse() } else { reply.reverse() };
    let (src, dst) = if to.ipv6 { (Slot::Ip6Src, Slot::Ip6Dst) } else { (Slot::Ip4Src, Slot::Ip4Dst) };
    *packet.slot_mut(src) = to.src;
    *packet.slot_mut(dst) = to.dst;
    if [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&u128::from(to.proto)) {
        *packet.slot_mut(Slot::TpSrc) = to.sport.into();
        *packet.slot_mut(Slot::TpDst) = to.dport.into();
    }
    let (source, destination) = connection.nat;
    // Of an answer, the destination is what was the source.
    let (snat, dnat) = if is_reply { (destination, source) } else { (source, destination) };
    *packet.slot_mut(Slot::CtState) |= if snat { SNAT } else { 0 } | if dnat { DNAT } else { 0 };
}

#[cfg(test)]
mod tests;
