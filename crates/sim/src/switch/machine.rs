//! The interpreter: one packet, from table to table.

use super::{
    Switch,
    action_set::in_order,
    frame::{Frame, List, Place, Restore},
    run::{Abort, Effect, Run, Step, Unsupported},
    table::Pretend,
};
use crate::packet::{Packet, Slot};
use std::rc::Rc;
use tuplenet_openflow::{Action, Instruction, field, port};

/// How often a packet may go back to a table that it saw: `MAX_DEPTH` of Open vSwitch.
const MAX_DEPTH: u32 = 64;
/// How many lookups one packet may need: `MAX_RESUBMITS`.
const MAX_RESUBMITS: u32 = MAX_DEPTH * MAX_DEPTH;
/// How often it may go through the connection tracker in a row: `MAX_RECIRC_DEPTH` of the userspace datapath.
const MAX_RECIRCULATIONS: u32 = 6;
/// How many fields may be on the stack.
const MAX_STACK: usize = 65_536 / 16;

/// Why the interpreter stops.
pub(super) enum Halt {
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
pub(super) enum Next {
    On,
    /// This list ends, and its flow with it; who called it goes on.
    Ended,
    /// All lists end.
    Exit,
}

/// See the module.
pub(super) struct Machine<'a> {
    pub switch: &'a mut Switch,
    pub packet: Packet,
    pub steps: Vec<Step>,
    pub effects: Vec<Effect>,
    pub action_set: Vec<Action>,
    pub stack: Vec<u128>,
    pub place: Place,
    pub frames: Vec<Frame>,
    abort: Option<(Abort, Option<usize>)>,
    /// The step that all others come from; a packet-out has none.
    first: Option<usize>,
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
            place: Place::default(),
            frames: vec![Frame::ActionSet],
            abort: None,
            first: None,
        }
    }

    /// From a table on.
    pub fn enter(mut self, table: u8) -> Result<Run, Unsupported> {
        let first = self.search(table, Pretend::default());
        // What the action set does in the end is the first flow's doing.
        self.first = Some(0);
        self.finish(first)
    }

    /// A packet-out.
    pub fn execute(mut self, actions: &[Action]) -> Result<Run, Unsupported> {
        self.frames.push(Frame::Actions(List::Own(actions.into()), 0));
        self.finish(Ok(()))
    }

    fn finish(mut self, mut result: Result<(), Halt>) -> Result<Run, Unsupported> {
        loop {
            match result {
                Ok(()) => {}
                Err(Halt::Unsupported(unsupported)) => return Err(unsupported),
                Err(Halt::Pause) => {
                    self.leave();
                }
                Err(Halt::Abort(why)) => {
                    self.abort = Some((why, self.steps.len().checked_sub(1)));
                    let effects = self.leave();
                    self.effects.truncate(effects);
                }
            }
            let Some(frame) = self.frames.pop() else { break };
            result = self.work(frame);
        }
        Ok(Run { steps: self.steps, effects: self.effects, last: self.packet, abort: self.abort })
    }

    /// Nothing more is done since the packet came, or since this copy of it came from the connection tracker; gives the first effect of that.
    fn leave(&mut self) -> usize {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Restore(restore) = frame
                && let Some(effects) = restore.recirculated
            {
                self.restore(*restore);
                return effects;
            }
        }
        0
    }

    pub fn unsupported(&self, what: impl Into<String>) -> Halt {
        let flow = self.place.entry.as_ref().map(|entry| &entry.flow);
        Halt::Unsupported(Unsupported::new(self.place.table, flow, what))
    }

    fn work(&mut self, frame: Frame) -> Result<(), Halt> {
        match frame {
            Frame::Actions(list, at) => {
                let Some(action) = list.actions().get(at) else { return Ok(()) };
                self.frames.push(Frame::Actions(list.clone(), at + 1));
                match self.action(action)? {
                    Next::On => {}
                    Next::Ended => {
                        self.frames.pop();
                        self.frames.pop_if(|frame| matches!(frame, Frame::Instructions(_)));
                    }
                    Next::Exit => self.exit(),
                }
            }
            Frame::Instructions(entry) => self.instructions(&entry.flow.instructions)?,
            Frame::Return(place) => {
                let (resubmits, recirculations) = (self.place.resubmits, self.place.recirculations);
                self.place = Place { resubmits, recirculations, ..place };
            }
            Frame::Restore(restore) => self.restore(*restore),
            Frame::Buckets(buckets, at) => {
                let Some(bucket) = buckets.get(at) else { return Ok(()) };
                self.frames.push(Frame::Buckets(buckets.clone(), at + 1));
                self.copy(false, None);
                self.place.depth += 1;
                self.push_set(&bucket.actions)?;
            }
            Frame::ActionSet => {
                self.place.step = self.place.step.or(self.first);
                let set = std::mem::take(&mut self.action_set);
                self.push_set(&set)?;
            }
        }
        Ok(())
    }

    /// Nothing more is done, save outside of a bucket and of what came from the connection tracker.
    fn exit(&mut self) {
        while let Some(frame) = self.frames.pop() {
            match frame {
                Frame::Restore(restore) if restore.clone => self.restore(*restore),
                Frame::Restore(restore) => return self.restore(*restore),
                _ => {}
            }
        }
    }

    /// What comes next is done on a copy of the packet and of all that belongs to it.
    fn copy(&mut self, clone: bool, recirculated: Option<usize>) {
        self.frames.push(Frame::Restore(Box::new(Restore {
            packet: self.packet.clone(),
            action_set: self.action_set.clone(),
            stack: self.stack.clone(),
            place: self.place.clone(),
            clone,
            recirculated,
        })));
    }

    fn restore(&mut self, restore: Restore) {
        // Lookups of copies count, save for those that the switch deals with by themselves.
        let resubmits = match restore.recirculated {
            Some(_) => restore.place.resubmits,
            None => self.place.resubmits,
        };
        (self.packet, self.action_set, self.stack) = (restore.packet, restore.action_set, restore.stack);
        self.place = Place { resubmits, ..restore.place };
    }

    fn push_set(&mut self, set: &[Action]) -> Result<(), Halt> {
        match in_order(set) {
            Ok(actions) => self.frames.push(Frame::Actions(List::Own(actions.into()), 0)),
            Err(other) => return Err(self.unsupported(format!("{other:?} never runs in an action set or bucket"))),
        }
        Ok(())
    }

    /// A flow sends the packet to a table.
    pub fn lookup(&mut self, table: u8, pretend: Pretend) -> Result<(), Halt> {
        self.check_depth()?;
        if self.place.resubmits >= MAX_RESUBMITS {
            return Err(Abort::TooManyResubmits(self.place.resubmits).into());
        }
        if self.stack.len() >= MAX_STACK {
            return Err(Abort::StackTooDeep(self.stack.len()).into());
        }
        let (before, steps) = (self.place.clone(), self.steps.len());
        self.search(table, pretend)?;
        if self.steps.get(steps).is_some_and(|step| step.flow.is_some()) {
            self.place.resubmits = before.resubmits + 1;
            self.place.depth = before.depth + u32::from(table <= before.table);
        }
        Ok(())
    }

    /// Looks the packet up, and has what the flow says done next.
    fn search(&mut self, table: u8, pretend: Pretend) -> Result<(), Halt> {
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
        self.steps.push(Step { table, flow, packet: self.packet.clone(), parent: self.place.step });
        let Some((entry, conj_id)) = found else { return Ok(()) };

        self.frames.push(Frame::Return(self.place.clone()));
        (self.place.table, self.place.step, self.place.entry) =
            (table, Some(self.steps.len() - 1), Some(entry.clone()));
        if conj_id != 0 {
            *self.packet.slot_mut(Slot::ConjId) = conj_id.into();
        }
        let instructions = &entry.flow.instructions;
        if let Some(raw) = instructions.iter().find(|i| matches!(i, Instruction::Raw(_))) {
            return Err(self.unsupported(format!("instruction {raw:?}")));
        }
        let applied = instructions.iter().position(|i| matches!(i, Instruction::ApplyActions(_)));
        self.frames.push(Frame::Instructions(entry.clone()));
        if let Some(at) = applied {
            self.frames.push(Frame::Actions(List::Flow(entry.clone(), at), 0));
        }
        Ok(())
    }

    /// What comes after the actions that a flow does at once, in the order of OpenFlow (1.5.1, 5.5).
    ///
    /// A meter may drop what is over its rate; one packet is not.
    fn instructions(&mut self, instructions: &[Instruction]) -> Result<(), Halt> {
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
        match instructions.iter().find_map(|i| if let Instruction::GotoTable(table) = i { Some(*table) } else { None })
        {
            Some(table) => self.lookup(table, Pretend::default()),
            None => Ok(()),
        }
    }

    /// A copy of the packet continues in a table, and the switch deals with it by itself, as with a packet that just came.
    pub fn recirculate(&mut self, packet: Packet, table: u8) -> Result<(), Halt> {
        self.copy(false, Some(self.effects.len()));
        if self.place.recirculations >= MAX_RECIRCULATIONS {
            return Err(Abort::TooManyRecirculations(self.place.recirculations).into());
        }
        self.packet = packet;
        self.place = Place { step: self.place.step, recirculations: self.place.recirculations + 1, ..Place::default() };
        self.frames.push(Frame::ActionSet);
        self.search(table, Pretend::default())
    }

    /// A clone's actions. The action set runs at their end, and again at the end of all: Open vSwitch does so.
    pub fn clone_actions(&mut self, actions: &[Action]) {
        self.copy(true, None);
        self.frames.push(Frame::ActionSet);
        self.frames.push(Frame::Actions(List::Own(actions.into()), 0));
    }

    /// Whether a group may be entered.
    pub fn check_depth(&self) -> Result<(), Halt> {
        if self.place.depth >= MAX_DEPTH { Err(Abort::TooDeep(self.place.depth).into()) } else { Ok(()) }
    }

    pub fn push_buckets(&mut self, buckets: Vec<tuplenet_openflow::message::group::Bucket>) {
        self.frames.push(Frame::Buckets(Rc::from(buckets), 0));
    }
}
