//! What each action does (ovs-actions(7)).

use super::{
    Group,
    machine::{Halt, Machine, Next},
    run::Effect,
    select,
    table::{Pretend, read},
};
use crate::packet::{Slot, TAGGED, ones, place};
use tuplenet_openflow::{
    Action, Field,
    action::{Controller, Subfield},
    field,
    message::group::{Bucket, GroupKind},
    port,
};
use tuplenet_rules::NO_PORT;

/// `OFPR_INVALID_TTL`.
const INVALID_TTL: u8 = 2;
/// How many groups may watch one another in a row.
const MAX_WATCH: u32 = 64;

impl Machine<'_> {
    pub(super) fn action(&mut self, action: &Action) -> Result<Next, Halt> {
        match action {
            Action::Output { port, .. } => self.output(*port)?,
            Action::OutputReg { src, .. } => {
                self.known(src.field())?;
                let port = read(&self.packet, src) as u32;
                self.output(if src.n_bits <= 16 { port::from_16(port as u16) } else { port })?;
            }
            Action::Group(id) => self.group(*id)?,
            Action::SetField(set) => {
                let mask = set.mask().map_or(Some(u128::MAX), |mask| mask.to_u128());
                let (Some(value), Some(mask)) = (set.value().to_u128(), mask) else {
                    return Err(self.unsupported(format!("{set:?} sets more than the option has")));
                };
                self.known(set.field())?;
                self.packet.write(set.field(), value, mask);
            }
            Action::Move { src, dst } => {
                self.known(src.field())?;
                self.known(dst.field())?;
                if self.packet.has(src.field()) {
                    let value = read(&self.packet, src);
                    self.load(dst, value);
                }
            }
            Action::Resubmit { in_port, table, ct } => {
                // Without a connection there is nothing to look up.
                if !ct || self.packet.slot(Slot::CtProto) != 0 {
                    let in_port = in_port.map(port::from_16).filter(|port| *port != port::IN_PORT);
                    let table = table.filter(|table| *table != u8::MAX).unwrap_or(self.place.table);
                    self.lookup(table, Pretend { in_port, connection: *ct })?;
                }
            }
            Action::DecTtl => return Ok(self.dec_ttl(&[0])),
            Action::DecTtlIds(ids) => return Ok(self.dec_ttl(ids)),
            Action::SetTtl(ttl) => {
                self.packet.write(field::NW_TTL, u128::from(*ttl), u128::MAX);
            }
            Action::PushVlan(tpid) => {
                let tag = self.packet.slot(Slot::Vlan);
                // A third tag drives the innermost one out: Open vSwitch knows two (`FLOW_MAX_VLAN_HEADERS`).
                *self.packet.slot_mut(Slot::InnerVlan) = tag;
                *self.packet.slot_mut(Slot::Vlan) = u128::from(*tpid) << 16 | TAGGED;
            }
            Action::PopVlan => {
                *self.packet.slot_mut(Slot::Vlan) = self.packet.slot(Slot::InnerVlan);
                *self.packet.slot_mut(Slot::InnerVlan) = 0;
            }
            Action::Controller(controller) => self.controller(controller)?,
            Action::Clone(actions) => self.clone_actions(actions),
            Action::CheckPktLarger { pkt_len, dst } => {
                let larger = self.packet.length() > usize::from(*pkt_len);
                self.load(dst, larger.into());
            }
            Action::StackPush(part) => {
                self.known(part.field())?;
                self.stack.push(read(&self.packet, part));
            }
            Action::StackPop(part) => {
                self.known(part.field())?;
                // Open vSwitch notes an empty stack and goes on.
                if let Some(value) = self.stack.pop() {
                    self.load(part, value & ones(part.n_bits.into()));
                }
            }
            Action::DeleteField(field) if *field == field::TUN_METADATA0 => {
                *self.packet.slot_mut(Slot::TunMetadata0) = 0;
                *self.packet.slot_mut(Slot::TunMetadata0Present) = 0;
            }
            Action::Ct(ct) => self.track(ct)?,
            Action::CtClear => self.forget_connection(),
            Action::Exit => return Ok(Next::Exit),
            // Nothing that one packet could feel: who is over a meter's rate is not known, queues and samples are outside, and a conjunction's
            // clause is part of the lookup.
            Action::Meter(_)
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::Sample(_)
            | Action::FinTimeout { .. }
            | Action::Note(_)
            | Action::Conjunction { .. } => {}
            Action::PushMpls(_)
            | Action::PopMpls(_)
            | Action::SetMplsTtl(_)
            | Action::DecMplsTtl
            | Action::Nat(_)
            | Action::Learn(_)
            | Action::Multipath(_)
            | Action::Bundle(_)
            | Action::OutputTrunc { .. }
            | Action::Encap(_)
            | Action::Decap(_)
            | Action::DecNshTtl
            | Action::DeleteField(_)
            | Action::Raw(_) => return Err(self.unsupported(format!("action {action:?}"))),
        }
        Ok(Next::On)
    }

    fn known(&self, field: &'static Field) -> Result<(), Halt> {
        match place(field) {
            Some(_) => Ok(()),
            None => Err(self.unsupported(format!("field {}, which packets do not have here", field.name))),
        }
    }

    fn load(&mut self, dst: &Subfield, value: u128) {
        let shift = u32::from(dst.ofs);
        let mask = ones(dst.n_bits.into()).checked_shl(shift).unwrap_or(0);
        self.packet.write(dst.field(), value.checked_shl(shift).unwrap_or(0), mask);
    }

    fn output(&mut self, port: u32) -> Result<(), Halt> {
        let in_port = self.packet.slot(Slot::InPort) as u32;
        let (packet, step) = (self.packet.leaving(), self.place.step);
        match port {
            port::ANY | port::UNSET => {}
            port::TABLE => self.lookup(0, Pretend::default())?,
            port::CONTROLLER => self.controller(&Controller::default())?,
            port::NORMAL | port::FLOOD | port::ALL => {
                return Err(self.unsupported(format!("output to the reserved port {port:#x}")));
            }
            port::IN_PORT if in_port == 0 => self.effects.push(Effect::Refused { port: 0, packet, step }),
            port::IN_PORT => self.effects.push(Effect::Output { port: in_port, packet, step }),
            port if port == in_port => self.effects.push(Effect::Refused { port, packet, step }),
            port => self.effects.push(Effect::Output { port, packet, step }),
        }
        Ok(())
    }

    fn controller(&mut self, c: &Controller) -> Result<(), Halt> {
        self.effects.push(Effect::Controller {
            userdata: c.userdata.clone(),
            reason: c.reason,
            controller_id: c.controller_id,
            meter_id: c.meter_id,
            pause: c.pause,
            packet: self.packet.leaving(),
            step: self.place.step,
        });
        if c.pause { Err(Halt::Pause) } else { Ok(()) }
    }

    /// A packet without a hop left goes to the controllers, and the flow is done with it (ovs-actions(7), "The dec_ttl action").
    fn dec_ttl(&mut self, controllers: &[u16]) -> Next {
        match self.packet.number(field::NW_TTL) {
            None => Next::On,
            Some(ttl @ 2..) => {
                self.packet.write(field::NW_TTL, ttl - 1, u128::MAX);
                Next::On
            }
            Some(_) => {
                self.effects.extend(controllers.iter().map(|id| Effect::Controller {
                    userdata: Vec::new(),
                    reason: INVALID_TTL,
                    controller_id: *id,
                    meter_id: 0,
                    pause: false,
                    packet: self.packet.leaving(),
                    step: self.place.step,
                }));
                Next::Ended
            }
        }
    }

    fn group(&mut self, id: u32) -> Result<(), Halt> {
        self.check_depth()?;
        // A switch deletes the flows of a group with the group: this cannot be in one.
        let Some(group) = self.switch.groups.get(&id) else {
            return Err(self.unsupported(format!("group {id}, which does not exist")));
        };
        let chosen: Vec<Bucket> = match group.kind {
            GroupKind::All => group.buckets.clone(),
            GroupKind::Indirect => group.buckets.iter().take(1).cloned().collect(),
            GroupKind::FastFailover => group.buckets.iter().find(|b| self.alive(b, 0)).cloned().into_iter().collect(),
            GroupKind::Select => self.select(group).cloned().into_iter().collect(),
            GroupKind::Other(kind) => return Err(self.unsupported(format!("group {id} of the unknown type {kind}"))),
        };
        self.push_buckets(chosen);
        Ok(())
    }

    /// Alive is what watches nothing, or something that is up; and who is on a chassis that nothing watches: no BFD runs here.
    fn alive(&self, bucket: &Bucket, depth: u32) -> bool {
        let port = bucket.watch_port.filter(|port| *port != port::ANY);
        let group = bucket.watch_group.filter(|group| *group != u32::MAX);
        if port.is_none() && group.is_none() {
            return true;
        }
        let group_alive = |id: u32| {
            let group = self.switch.groups.get(&id);
            depth < MAX_WATCH && group.is_some_and(|group| group.buckets.iter().any(|b| self.alive(b, depth + 1)))
        };
        port.is_some_and(|port| port != NO_PORT && !self.switch.down.contains(&port)) || group.is_some_and(group_alive)
    }

    /// What was given counts; else the packet, where it is known how; else the first.
    fn select<'g>(&self, group: &'g Group) -> Option<&'g Bucket> {
        let weight = |b: &Bucket| u64::from(b.weight.unwrap_or(0));
        let living = || group.buckets.iter().filter(|b| weight(b) > 0 && self.alive(b, 0));
        let by_packet = group.selection.as_ref().filter(|_| self.switch.hash.is_none());
        if let Some(chosen) = by_packet.and_then(|method| select::choose(method, &self.packet, living())) {
            return Some(chosen);
        }
        let total: u64 = living().map(weight).sum();
        let mut at = u64::from(self.switch.hash.unwrap_or(0)).checked_rem(total)?;
        living().find(|b| {
            let here = at < weight(b);
            at = at.saturating_sub(weight(b));
            here
        })
    }
}
