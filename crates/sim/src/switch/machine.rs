//! The interpreter: one packet, from table to table.

use super::{
    Group, Switch,
    action_set::in_order,
    run::{Abort, Effect, Run, Step, Unsupported},
    table::{Entry, Pretend, read},
};
use crate::packet::{Packet, Slot, TAGGED, ones};
use std::rc::Rc;
use tuplenet_openflow::{
    Action, Instruction,
    action::{Controller, Subfield},
    field,
    message::group::GroupKind,
    port,
};

/// How often a packet may go back to a table that it saw: `MAX_DEPTH` of Open vSwitch.
const MAX_DEPTH: u32 = 64;
/// How many lookups one packet may need: `MAX_RESUBMITS`.
const MAX_RESUBMITS: u32 = MAX_DEPTH * MAX_DEPTH;
/// How many bytes may be on the stack.
const MAX_STACK: usize = 65_536;
/// `OFPR_INVALID_TTL`.
const INVALID_TTL: u8 = 2;

/// Why the interpreter stops.
enum Halt {
    Unsupported(Unsupported),
    Abort(Abort),
    /// A packet-in holds the packet.
    Pause,
}

impl From<Abort> for Halt {
    fn from(abort: Abort) -> Self {
        Halt::Abort(abort)
    }
}

/// Whether the list of actions goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    /// This list ends; who called it goes on.
    Ended,
}

/// See the module.
pub(super) struct Machine<'a> {
    switch: &'a mut Switch,
    packet: Packet,
    steps: Vec<Step>,
    effects: Vec<Effect>,
    action_set: Vec<Action>,
    stack: Vec<u128>,
    /// Where we are.
    table: u8,
    step: Option<usize>,
    entry: Option<Rc<Entry>>,
    depth: u32,
    resubmits: u32,
    /// `exit` was met: nothing more is done, in any list.
    exit: bool,
    /// The actions are those of a packet-out.
    packet_out: bool,
}

impl<'a> Machine<'a> {
    pub fn new(switch: &'a mut Switch, packet: Packet) -> Self {
        Self {
            switch,
            packet,
            steps: Vec::new(),
            effects: Vec::new(),
            action_set: Vec::new(),
            stack: Vec::new(),
            table: 0,
            step: None,
            entry: None,
            depth: 0,
            resubmits: 0,
            exit: false,
            packet_out: false,
        }
    }

    /// From a table on.
    pub fn enter(mut self, table: u8) -> Result<Run, Unsupported> {
        let result = self.lookup(table, Pretend::default()).and_then(|()| self.finish_action_set());
        self.end(result)
    }

    /// A packet-out.
    pub fn execute(mut self, actions: &[Action]) -> Result<Run, Unsupported> {
        self.packet_out = true;
        let result = self.actions(actions).and_then(|_| self.finish_action_set());
        self.end(result)
    }

    fn end(mut self, result: Result<(), Halt>) -> Result<Run, Unsupported> {
        let mut abort = None;
        match result {
            Ok(()) | Err(Halt::Pause) => {}
            Err(Halt::Abort(why)) => {
                self.effects.clear();
                abort = Some(why);
            }
            Err(Halt::Unsupported(unsupported)) => return Err(unsupported),
        }
        Ok(Run { steps: self.steps, effects: self.effects, last: self.packet, abort })
    }

    fn unsupported(&self, what: impl Into<String>) -> Halt {
        let flow = self.entry.as_ref().map(|entry| &entry.flow);
        Halt::Unsupported(Unsupported::new(self.table, flow, what))
    }

    /// Looks the packet up and does what the flow says.
    fn lookup(&mut self, table: u8, pretend: Pretend) -> Result<(), Halt> {
        if self.depth >= MAX_DEPTH {
            return Err(Abort::TooDeep(self.depth).into());
        }
        if self.resubmits >= MAX_RESUBMITS {
            return Err(Abort::TooManyResubmits(self.resubmits).into());
        }
        if self.stack.len() * 16 >= MAX_STACK {
            return Err(Abort::StackTooDeep(self.stack.len()).into());
        }
        let found = match self.switch.tables.get(&table) {
            Some(flows) => {
                if let Some((flow, why)) = flows.refused() {
                    return Err(Halt::Unsupported(Unsupported::new(table, Some(flow), why)));
                }
                flows.lookup(&self.packet, pretend)
            }
            None => None,
        };
        let flow = found.as_ref().map(|(entry, _)| (entry.flow.priority, entry.flow.cookie));
        self.steps.push(Step { table, flow, packet: self.packet.clone(), parent: self.step });
        let Some((entry, conj_id)) = found else { return Ok(()) };

        // The first lookup is none of the flows'.
        let again = self.step.is_some() || self.packet_out;
        let back = again && table <= self.table;
        let outer = (self.table, self.step, self.entry.replace(entry.clone()));
        (self.table, self.step) = (table, Some(self.steps.len() - 1));
        if conj_id != 0 {
            *self.packet.slot_mut(Slot::ConjId) = conj_id.into();
        }
        self.resubmits += u32::from(again);
        self.depth += u32::from(back);
        let result = self.instructions(&entry.flow.instructions);
        self.depth -= u32::from(back);
        (self.table, self.step, self.entry) = outer;
        result
    }

    /// In the order of OpenFlow (1.5.1, 5.5), whatever the order in the flow.
    fn instructions(&mut self, instructions: &[Instruction]) -> Result<(), Halt> {
        let raw = instructions.iter().find(|i| matches!(i, Instruction::Raw(_)));
        if let Some(raw) = raw {
            return Err(self.unsupported(format!("instruction {raw:?}")));
        }
        // A meter (`Instruction::Meter`) may drop what is over its rate; one packet is not.
        for instruction in instructions {
            if let Instruction::ApplyActions(actions) = instruction
                && (self.actions(actions)? == Next::Ended || self.exit)
            {
                return Ok(());
            }
        }
        if instructions.contains(&Instruction::ClearActions) {
            self.action_set.clear();
            *self.packet.slot_mut(Slot::ActsetOutput) = port::UNSET.into();
        }
        for instruction in instructions {
            match instruction {
                Instruction::WriteActions(actions) => {
                    self.action_set.extend(actions.iter().cloned());
                    let output = self.action_set.iter().rev().find_map(|action| match action {
                        Action::Output { port, .. } => Some(*port),
                        _ => None,
                    });
                    let group = self.action_set.iter().any(|action| matches!(action, Action::Group(_)));
                    let shown = output.filter(|_| !group).unwrap_or(port::UNSET);
                    *self.packet.slot_mut(Slot::ActsetOutput) = shown.into();
                }
                Instruction::WriteMetadata { metadata, mask } => {
                    self.packet.write(field::METADATA, (*metadata).into(), (*mask).into());
                }
                _ => {}
            }
        }
        for instruction in instructions {
            if let Instruction::GotoTable(table) = instruction {
                self.lookup(*table, Pretend::default())?;
            }
        }
        Ok(())
    }

    fn finish_action_set(&mut self) -> Result<(), Halt> {
        if self.exit {
            self.exit = false;
        }
        let set = std::mem::take(&mut self.action_set);
        self.run_set(&set).map(|_| ())
    }

    fn run_set(&mut self, set: &[Action]) -> Result<Next, Halt> {
        match in_order(set) {
            Ok(actions) => self.actions(&actions),
            Err(other) => Err(self.unsupported(format!("{other:?} never runs in an action set or bucket"))),
        }
    }

    fn actions(&mut self, actions: &[Action]) -> Result<Next, Halt> {
        for action in actions {
            if self.exit {
                break;
            }
            if self.action(action)? == Next::Ended {
                return Ok(Next::Ended);
            }
        }
        Ok(Next::On)
    }

    fn action(&mut self, action: &Action) -> Result<Next, Halt> {
        match action {
            Action::Output { port, .. } => self.output(*port)?,
            Action::OutputReg { src, .. } => {
                let port = read(&self.packet, src) as u32;
                self.output(if src.n_bits <= 16 { port::from_16(port as u16) } else { port })?;
            }
            Action::Group(id) => self.group(*id)?,
            Action::SetField(set) => {
                let (Some(value), Some(mask)) =
                    (set.value().to_u128(), set.mask().map_or(Some(u128::MAX), |mask| mask.to_u128()))
                else {
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
            Action::Resubmit { ct: true, .. } => return Err(self.unsupported("resubmit with the connection's tuple")),
            Action::Resubmit { in_port, table, .. } => {
                let in_port = in_port.map(port::from_16).filter(|port| *port != port::IN_PORT);
                let table = table.filter(|table| *table != u8::MAX).unwrap_or(self.table);
                self.lookup(table, Pretend { in_port })?;
            }
            Action::DecTtl => return Ok(self.dec_ttl(&[0])),
            Action::DecTtlIds(ids) => return Ok(self.dec_ttl(ids)),
            Action::SetTtl(ttl) => {
                self.packet.write(field::NW_TTL, u128::from(*ttl), u128::MAX);
            }
            Action::PushVlan(tpid) => {
                let tag = self.packet.slot(Slot::Vlan);
                if self.packet.slot(Slot::InnerVlan) != 0 {
                    return Err(self.unsupported("a third VLAN tag"));
                }
                *self.packet.slot_mut(Slot::InnerVlan) = tag;
                *self.packet.slot_mut(Slot::Vlan) = u128::from(*tpid) << 16 | TAGGED;
            }
            Action::PopVlan => {
                *self.packet.slot_mut(Slot::Vlan) = self.packet.slot(Slot::InnerVlan);
                *self.packet.slot_mut(Slot::InnerVlan) = 0;
            }
            Action::Controller(controller) => self.controller(controller)?,
            Action::Clone(actions) => self.copy(|machine| machine.actions(actions))?,
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
            Action::CtClear => self.forget_connection(),
            Action::Exit => self.exit = true,
            // Nothing that one packet could feel: who is over a meter's rate is not known, queues and samples are outside, and a conjunction's clause
            // is part of the lookup.
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
            | Action::Ct(_)
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

    fn known(&self, field: &'static tuplenet_openflow::Field) -> Result<(), Halt> {
        match crate::packet::place(field) {
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
        let (packet, step) = (self.packet.clone(), self.step);
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
            packet: self.packet.clone(),
            step: self.step,
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
                    packet: self.packet.clone(),
                    step: self.step,
                }));
                Next::Ended
            }
        }
    }

    fn forget_connection(&mut self) {
        for slot in [
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
        ] {
            *self.packet.slot_mut(slot) = 0;
        }
    }

    /// Does something on a copy of the packet and of all that belongs to it.
    fn copy(&mut self, work: impl FnOnce(&mut Self) -> Result<Next, Halt>) -> Result<(), Halt> {
        let (packet, set, stack) = (self.packet.clone(), self.action_set.clone(), self.stack.clone());
        let result = work(self);
        (self.packet, self.action_set, self.stack) = (packet, set, stack);
        self.exit = false;
        result.map(|_| ())
    }

    fn group(&mut self, id: u32) -> Result<(), Halt> {
        if self.depth >= MAX_DEPTH {
            return Err(Abort::TooDeep(self.depth).into());
        }
        // A switch deletes the flows of a group with the group: this cannot be in one.
        let Some(group) = self.switch.groups.get(&id).cloned() else {
            return Err(self.unsupported(format!("group {id}, which does not exist")));
        };
        let chosen: Vec<&_> = match group.kind {
            GroupKind::All => group.buckets.iter().collect(),
            GroupKind::Indirect => group.buckets.iter().take(1).collect(),
            GroupKind::FastFailover => group.buckets.iter().find(|b| self.alive(b, 0)).into_iter().collect(),
            GroupKind::Select => self.select(&group).into_iter().collect(),
            GroupKind::Other(kind) => return Err(self.unsupported(format!("group {id} of the unknown type {kind}"))),
        };
        for bucket in chosen {
            self.depth += 1;
            let result = self.copy(|machine| {
                machine.action_set.clear();
                machine.run_set(&bucket.actions)
            });
            self.depth -= 1;
            result?;
        }
        Ok(())
    }

    /// Alive is what watches nothing, or something that is up.
    fn alive(&self, bucket: &tuplenet_openflow::message::group::Bucket, depth: u32) -> bool {
        let port = bucket.watch_port.filter(|port| *port != port::ANY);
        let group = bucket.watch_group.filter(|group| *group != u32::MAX);
        if port.is_none() && group.is_none() {
            return true;
        }
        let group_alive = |id: u32| {
            let group = self.switch.groups.get(&id);
            depth < MAX_DEPTH && group.is_some_and(|group| group.buckets.iter().any(|b| self.alive(b, depth + 1)))
        };
        port.is_some_and(|port| !self.switch.down.contains(&port)) || group.is_some_and(group_alive)
    }

    fn select<'g>(&self, group: &'g Group) -> Option<&'g tuplenet_openflow::message::group::Bucket> {
        let living = || group.buckets.iter().filter(|b| self.alive(b, 0) && b.weight.unwrap_or(0) > 0);
        let total: u64 = living().map(|b| u64::from(b.weight.unwrap_or(0))).sum();
        let mut at = u64::from(self.switch.hash).checked_rem(total)?;
        living().find(|b| {
            let weight = u64::from(b.weight.unwrap_or(0));
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        })
    }
}
