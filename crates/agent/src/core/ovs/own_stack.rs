//! `--untunnel`: an internal port by which this host's own IP stack takes what VMs send outside. Which packets those are, the rules decide; here the port is kept as
//! it should be, and the kernel is asked to forward what comes in by it. The rules hear of the port when all that is so, and that it is gone when it is not: then
//! packets take the tunnel as ever.
//!
//! What of the kernel's settings is not the port's alone is written into the database before it is changed, so that it can be put back whatever happens meanwhile.

use super::{
    Effect, Level,
    plan::Plan,
    tables::{MANAGED, Tables},
    talk::{Answer, Command, Purpose},
    wanted::{Families, Wanted},
};
use std::{
    convert::identity,
    time::{Duration, Instant},
};
use tuplenet_model::mac::Mac;
use tuplenet_ovsdb::{Mutator, Operation, Row, Uuid, Value};
use tuplenet_rules::{Change, UntunnelPort};

/// The port and its device.
pub const DEVICE: &str = "tnout";
/// Its address on the wire, which has two ends and is nobody else's business.
const MAC: Mac = Mac([0xf2, 0x04, 0, 0, 0, 1]);
/// As much as a guest may send at once; what is too long for the way on from there, the host's stack tells.
const MTU: i64 = 9_000;
/// In `external_ids` of the whole switch: what a setting of the kernel was before we changed it.
pub const SYSCTL: &str = "tuplenet-sysctl";
/// How often the kernel is asked again, by whatever somebody has changed there.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// The same after it refused.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// The port as the switch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    row: Uuid,
    ofport: u32,
    /// The kernel's number of the device: another one is another device.
    ifindex: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No such port.
    None,
    /// The kernel is asked for the first time.
    Asked(Port),
    /// It forwards.
    Ready(Port),
    /// It does not, or not yet.
    Waiting(Port),
}

/// See the module.
#[derive(Debug)]
pub struct OwnStack {
    wanted: Option<Families>,
    state: State,
    /// Whether an answer of the kernel is still to come.
    asking: bool,
    /// What the rules were told.
    told: Option<UntunnelPort>,
    /// When the kernel is to be asked again.
    next: Option<Instant>,
    /// What was last said of a failure.
    failure: Option<String>,
    /// What keeps the port from being made, as it was said.
    hindered: Option<String>,
}

impl OwnStack {
    /// Nothing yet.
    pub fn new(wanted: Option<Families>) -> Self {
        Self { wanted, state: State::None, asking: false, told: None, next: None, failure: None, hindered: None }
    }

    /// Whether all that was there at the start is known: until then the rules would take away what a start must not touch.
    pub fn known(&self) -> bool {
        !matches!(self.state, State::Asked(_))
    }

    /// What takes this way now.
    pub fn works(&self) -> Option<Families> {
        self.wanted.filter(|_| self.told.is_some())
    }

    /// When [`OwnStack::tick`] has something to do.
    pub fn wakeup(&self) -> Option<Instant> {
        self.next.filter(|_| !self.asking)
    }

    /// The database changed.
    pub fn look(&mut self, tables: &Tables, bridge: &str, now: Instant, effects: &mut Vec<Effect>) -> Option<Change> {
        let hindered = self.wanted.and_then(|_| hindrance(tables, bridge));
        if hindered != self.hindered {
            effects.extend(hindered.clone().map(|text| Effect::Say(Level::Error, text)));
            self.hindered = hindered;
        }
        let port = self.wanted.and_then(|_| port(tables));
        let before = match self.state {
            State::None => None,
            State::Asked(port) | State::Ready(port) | State::Waiting(port) => Some(port),
        };
        match port {
            Some(port) if before != Some(port) => {
                self.state = State::Asked(port);
                self.next = Some(now);
            }
            None if before.is_some() => {
                self.state = State::None;
                self.next = None;
            }
            _ => {}
        }
        // What was written down was waited for, or is to be put back.
        if matches!(self.state, State::Waiting(_)) && self.failure.is_none() && memory(tables).is_some()
            || self.wanted.is_none() && memory(tables).is_some() && self.failure.is_none()
        {
            self.next = Some(now);
        }
        self.tick(tables, now, effects);
        self.tell()
    }

    /// Time passed.
    pub fn tick(&mut self, tables: &Tables, now: Instant, effects: &mut Vec<Effect>) {
        if self.asking || self.next.is_none_or(|at| at > now) {
            return;
        }
        self.next = None;
        let device = DEVICE.to_owned();
        let command = match (self.wanted, memory(tables)) {
            (Some(families), was) if self.state != State::None => {
                Command::Prepare { device, families, remembered: was.is_some() }
            }
            (None, Some(was)) => Command::Restore { device, was: was.to_owned() },
            _ => return,
        };
        self.asking = true;
        effects.push(Effect::OwnStack(command));
    }

    /// The kernel answers.
    pub fn answer(
        &mut self,
        answer: Answer,
        tables: &Tables,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Option<Change> {
        self.asking = false;
        // Of a port that is another meanwhile it says nothing.
        let again = self.next.is_some();
        let port = match self.state {
            State::None => None,
            State::Asked(port) | State::Ready(port) | State::Waiting(port) => Some(port),
        };
        match (answer, port) {
            (Answer::Ready, Some(port)) if !again => {
                self.failure = None;
                self.state = State::Ready(port);
                self.next = Some(now + CHECK_EVERY);
            }
            (Answer::Remember(was), port) => {
                if let Some(port) = port {
                    self.state = State::Waiting(port);
                }
                effects.extend(tables.root().map(|(root, _)| remember(root, Some(&was))));
                self.next = Some(now + RETRY);
            }
            (Answer::Restored, _) => {
                let text = "IPv6 forwarding of this host is off again, as it was before --untunnel";
                effects.push(Effect::Say(Level::Info, text.into()));
                effects.extend(tables.root().map(|(root, _)| remember(root, None)));
            }
            (Answer::Failed(why), port) => {
                if let Some(port) = port {
                    self.state = State::Waiting(port);
                }
                let text = match self.wanted {
                    Some(_) => format!(
                        "traffic for the outside takes the tunnel: this host's IP stack cannot be made to forward it: {why}"
                    ),
                    None => format!("what --untunnel changed of this host's IP stack cannot be put back: {why}"),
                };
                if self.failure.as_ref() != Some(&text) {
                    effects.push(Effect::Say(Level::Error, text.clone()));
                    self.failure = Some(text);
                }
                self.next = Some(now + RETRY);
            }
            (Answer::Ready, _) => {}
        }
        self.tick(tables, now, effects);
        let change = self.tell();
        if let (Some(Change::Untunnel { port: Some(_) }), Some(families)) = (&change, self.wanted) {
            let text = format!("what is for the outside leaves by this host's own IP stack, by {DEVICE} ({families})");
            effects.push(Effect::Say(Level::Info, text));
        }
        change
    }

    /// What the rules do not know yet.
    fn tell(&mut self) -> Option<Change> {
        let now = match (self.state, self.wanted) {
            (State::Ready(port), Some(Families { ipv4, ipv6 })) => {
                Some(UntunnelPort { ofport: port.ofport, mac: MAC, ipv4, ipv6 })
            }
            _ => None,
        };
        if self.told == now {
            return None;
        }
        self.told = now;
        Some(Change::Untunnel { port: self.told })
    }
}

fn is_ours(port: &Row) -> bool {
    Tables::pair(port, "external_ids", MANAGED).is_some()
}

fn is_right(interface: &Row) -> bool {
    interface.string("type") == Some("internal") && interface.string("mac") == Some(&MAC.to_string())
}

/// The port, if the switch has it as it should be.
fn port(tables: &Tables) -> Option<Port> {
    let (row, interface) = tables.members().find(|(_, row)| row.string("name") == Some(DEVICE))?;
    let ofport = u32::try_from(interface.integer("ofport")?).ok()?;
    let right = is_right(interface) && (1..tuplenet_openflow::port::MAX).contains(&ofport);
    let right = right && tables.port_named(DEVICE).is_some_and(|(_, port)| is_ours(port));
    right.then(|| Port { row, ofport, ifindex: interface.integer("ifindex") })
}

/// What is written down of the kernel.
pub fn memory(tables: &Tables) -> Option<&str> {
    tables.root().and_then(|(_, root)| Tables::pair(root, "external_ids", SYSCTL))
}

/// Writes it down, or strikes it out.
fn remember(root: Uuid, was: Option<&str>) -> Effect {
    Effect::Ovs(Purpose::Sysctl, vec![remembering(root, was)])
}

/// The same as an operation.
pub fn remembering(root: Uuid, was: Option<&str>) -> Operation {
    let operation = Operation::mutate("Open_vSwitch").row(root);
    match was {
        // What was written first is what was there first.
        Some(was) => operation.mutation("external_ids", Mutator::Insert, Value::map([(SYSCTL, was)])),
        None => operation.mutation("external_ids", Mutator::Delete, Value::set([SYSCTL])),
    }
}

/// Why the port cannot be.
fn hindrance(tables: &Tables, ours: &str) -> Option<String> {
    let (uuid, _) = tables.interface_named(DEVICE)?;
    let bridge = tables.bridge_of(uuid).unwrap_or("no bridge");
    let fine = bridge == ours && tables.port_named(DEVICE).is_some_and(|(_, port)| is_ours(port));
    (!fine).then(|| format!("--untunnel waits: the interface {DEVICE} is on {bridge} and not ours: delete it"))
}

/// Adds to the plan what makes the port as it should be, or takes it away.
pub fn repair(plan: &mut Plan, bridge: Uuid, row: &Row, tables: &Tables, wanted: &Wanted) {
    let there = tables.ports(row).into_iter().find(|(_, port)| port.string("name") == Some(DEVICE));
    match (wanted.untunnel, there) {
        (Some(_), None) if tables.interface_named(DEVICE).is_none() => {
            let internal = |interface: Operation| {
                interface.column("type", "internal").column("mac", MAC.to_string()).column("mtu_request", MTU)
            };
            let port = plan.port(DEVICE, &[], internal, identity);
            plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Insert, port));
            plan.words.push(format!("adding {DEVICE}, the port to this host's own IP stack"));
        }
        (Some(_), Some((_, port))) if is_ours(port) => {
            if let Some((uuid, interface)) = tables.interface_named(DEVICE)
                && !is_right(interface)
            {
                let update = Operation::update("Interface").row(uuid);
                plan.operations.push(update.column("type", "internal").column("mac", MAC.to_string()));
                plan.words.push(format!("putting {DEVICE} right"));
            }
        }
        (None, Some((port, row))) if is_ours(row) => {
            plan.operations.push(Operation::mutate("Bridge").row(bridge).mutation("ports", Mutator::Delete, port));
            plan.words.push(format!("removing {DEVICE}: --untunnel is not asked for any more"));
        }
        _ => {}
    }
}
