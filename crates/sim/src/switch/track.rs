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
    /// `ct_clear`: the tracker's word is forgotten for good.
    pub(super) fn forget_connection(&mut self) {
        self.hide_connection();
        *self.packet.slot_mut(Slot::TrackerState) = 0;
        *self.packet.slot_mut(Slot::TrackerZone) = 0;
    }

    /// Flows outside of the table that `ct` names see nothing of it.
    fn hide_connection(&mut self) {
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
            *packet.slot_mut(slot) = 0;
        }
        // What was said about it in this zone stays; in another all begins anew.
        let same = packet.slot(Slot::TrackerZone) == u128::from(zone);
        let before = if same { packet.slot(Slot::TrackerState) } else { 0 };
        let state = match packet.tracked() {
            Tracked::Invalid => INV,
            Tracked::Fragment => return Err(self.unsupported("ct of a fragment, which waits for the others")),
            Tracked::Direct(tuple, begins) => self.direct(&mut packet, ct, zone, &nested, before, tuple, begins),
            Tracked::Error(quoted) => self.error(&mut packet, zone, &nested, before, quoted),
        };
        let known = [(Slot::CtState, state | TRK), (Slot::TrackerState, state | TRK), (Slot::CtZone, zone.into())];
        for (slot, value) in known.into_iter().chain([(Slot::TrackerZone, zone.into())]) {
            *packet.slot_mut(slot) = value;
        }
        // What is translated stays so; what else the tracker found is for the table only.
        self.packet = packet.clone();
        self.hide_connection();
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

    /// A packet of a connection; gives its state.
    #[allow(clippy::too_many_arguments)]
    fn direct(
        &mut self,
        packet: &mut Packet,
        ct: &Ct,
        zone: u16,
        nested: &Nested<'_>,
        before: u128,
        tuple: Tuple,
        begins: bool,
    ) -> u128 {
        let tracker = &mut self.switch.tracker;
        // Translated already, it is known by what its answers look like.
        let mut found = if before & (SNAT | DNAT) != 0 {
            tracker.find(zone, tuple.reverse()).map(|(id, reply)| (id, !reply))
        } else {
            tracker.find(zone, tuple)
        };
        if let Some((id, true)) = found
            && ct.commit
            && ct.force
        {
            tracker.forget(id);
            found = None;
        }
        let (id, reply, mut state) = match found {
            Some((id, reply)) => {
                let Some(connection) = tracker.get_mut(id) else { return INV };
                connection.answered |= reply;
                let state = match (connection.answered, reply) {
                    (true, true) => before & !NEW | EST | RPL,
                    (true, false) => before & !NEW | EST,
                    (false, _) => before | NEW,
                };
                (Some(id), reply, state)
            }
            None if !begins => return INV,
            // Without anything left to translate it to, it stays as it is.
            None if ct.commit => (tracker.commit(zone, tuple, nested.nat), false, NEW),
            None => (None, false, NEW),
        };
        let Some(id) = id else {
            say(packet, tuple);
            return state;
        };
        if let Some(connection) = tracker.get_mut(id).filter(|_| ct.commit) {
            connection.mark = connection.mark & !nested.mark.1 | nested.mark.0;
            connection.label = connection.label & !nested.label.1 | nested.label.0;
        }
        let Some(connection) = tracker.get(id) else { return state };
        tell(packet, connection);
        if nested.nat.is_some() && state & (SNAT | DNAT) == 0 {
            state |= translate(packet, reply, connection);
        }
        state
    }

    /// An error about a packet of a known connection belongs to it; gives its state.
    fn error(&mut self, packet: &mut Packet, zone: u16, nested: &Nested<'_>, before: u128, quoted: Tuple) -> u128 {
        // The quoted packet went the other way.
        let found = match before & (SNAT | DNAT) {
            0 => self.switch.tracker.find(zone, quoted.reverse()),
            _ => self.switch.tracker.find(zone, quoted).map(|(id, reply)| (id, !reply)),
        };
        let found = found.and_then(|(id, reply)| Some((self.switch.tracker.get(id)?, reply)));
        let Some((connection, reply)) = found else { return INV };
        tell(packet, connection);
        let mut state = before | REL | if reply { RPL } else { 0 };
        if nested.nat.is_some() && state & (SNAT | DNAT) == 0 && connection.nat != (false, false) {
            packet.quote(if reply { connection.original } else { connection.reply });
            state |= translate(packet, reply, connection);
        }
        state
    }
}

/// What is known of the connection itself.
fn tell(packet: &mut Packet, connection: &Connection) {
    *packet.slot_mut(Slot::CtMark) = connection.mark;
    *packet.slot_mut(Slot::CtLabel) = connection.label;
    say(packet, connection.original);
}

/// The tuple of the connection's first packet, for a match.
fn say(packet: &mut Packet, tuple: Tuple) {
    let (src, dst) = if tuple.ipv6 { (Slot::Ct6Src, Slot::Ct6Dst) } else { (Slot::Ct4Src, Slot::Ct4Dst) };
    *packet.slot_mut(src) = tuple.src;
    *packet.slot_mut(dst) = tuple.dst;
    *packet.slot_mut(Slot::CtProto) = tuple.proto.into();
    // Of an ICMP query, type and code.
    let (source, destination) = match u128::from(tuple.proto) {
        protocol::ICMP | protocol::ICMPV6 => (tuple.types.0.into(), 0),
        _ => (tuple.sport, tuple.dport),
    };
    *packet.slot_mut(Slot::CtTpSrc) = source.into();
    *packet.slot_mut(Slot::CtTpDst) = destination.into();
}

/// Puts what the other side of the translation knows into a packet; gives the bits of its state. Of an error this is the outer header: who
/// reports takes the place of the other side.
fn translate(packet: &mut Packet, reply: bool, connection: &Connection) -> u128 {
    let to = if reply { connection.original.reverse() } else { connection.reply.reverse() };
    let (src, dst) = if to.ipv6 { (Slot::Ip6Src, Slot::Ip6Dst) } else { (Slot::Ip4Src, Slot::Ip4Dst) };
    // Of an answer, the destination is what was the source.
    let (source, destination) = connection.nat;
    let (snat, dnat) = if reply { (destination, source) } else { (source, destination) };
    let ports = [field::TCP_SRC, field::UDP_SRC, field::SCTP_SRC].iter().any(|field| packet.has(field));
    let mut put = |slot: Slot, value: u128| *packet.slot_mut(slot) = value;
    if snat {
        put(src, to.src);
    }
    if dnat {
        put(dst, to.dst);
    }
    if ports && (snat || dnat) {
        put(Slot::TpSrc, to.sport.into());
        put(Slot::TpDst, to.dport.into());
    }
    (if snat { SNAT } else { 0 }) | if dnat { DNAT } else { 0 }
}

#[cfg(test)]
mod tests;
