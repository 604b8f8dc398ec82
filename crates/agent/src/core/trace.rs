//! Traces: sends the packets that a tool asks for, and reports in the store what this host's switch did with coloured packets.
//!
//! ```text
//! inject/<us>/<id> -> Command::Inject -> the switch -> Event::Seen -> records of <id> -> Command::Read, once a trace -> Command::Write, in batches
//! ```
//! A record goes into the store only if `trace/<id>` is there, under the lease of that key: who ends the lease, or dies, takes all of a trace away.
//! Everything here has a bound, and what is beyond it is dropped and counted: coloured packets may come from anybody on the underlay, and a trace
//! must not harm the agent's other work.

mod record;
#[cfg(test)]
mod tests;

use super::{Effect, Level, stats::Stats};
use rustc_hash::FxHashMap;
use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};
use tuplenet_model::{
    name::Name,
    trace::{InjectRequest, MAX_FRAME, MIN_FRAME, TraceEvent, TraceRecord, from_hex, path},
};
use tuplenet_openflow::message::PacketIn2;
use tuplenet_rules::trace::Event as Reported;

/// Records of one trace from this host: more than Open vSwitch reports of a packet (some 30 routers on its way, or a flood to 250 ports).
const MAX_RECORDS: u32 = 2_000;
/// Records that may wait for the store or be on their way there, of all traces: three megabytes.
const MAX_QUEUED: usize = 4_096;
/// Traces that are known: each a few hundred bytes.
const MAX_TRACES: usize = 1_024;
/// Records in one transaction; etcd takes 128 operations.
const BATCH: usize = 64;
/// Traces that the store is asked for within a second: more than tools begin, whatever colours come from the underlay.
const MAX_READS: u32 = 1_000;
/// How long a colour that the store does not know is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_millis(200);
/// A trace that was silent for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(30);
/// How often silent traces are looked for, when there are too many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Packets that may be on their way to the switch at once.
const MAX_INJECTING: usize = 256;

/// The colour of a trace.
pub type Id = NonZeroU16;

/// What the store has under `trace/<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The lease that it dies with.
    pub lease: i64,
    /// The revision that made it: tells this trace from a later one of that id.
    pub created: i64,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Read `trace/<id>`. Answered by [`Event::Found`].
    Read(Id),
    /// Write records, provided that the trace still is that one. Answered by [`Event::Written`].
    Write {
        /// The trace.
        id: Id,
        /// As it was read.
        found: Found,
        /// Number of the first record.
        first: u32,
        /// At most [`BATCH`]. One whose time is 0 gets that of the writing.
        records: Vec<TraceRecord>,
    },
    /// Send a frame in that colour as if it came in by that port, if the trace still is there. Answered by [`Event::Injected`].
    Inject {
        /// The trace.
        id: Id,
        /// Revision of the store that asks for it. A trace that began later is another.
        asked: i64,
        /// OpenFlow port.
        port: u32,
        /// From its Ethernet header on.
        frame: Vec<u8>,
    },
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The records are in the store.
    Done,
    /// That trace is gone: nothing was written, and these are the records.
    Gone(Vec<TraceRecord>),
    /// The store could not be asked, or refused.
    Failed(String),
}

/// What happened outside.
#[derive(Debug)]
pub enum Event {
    /// The switch reports a coloured packet, which came at that time, in nanoseconds since 1970.
    Seen(Reported, u64, Box<PacketIn2>),
    /// The switch reported so many packets too many, which were dropped before they came here.
    Lost(u64),
    /// What the store has; `None`: there is no such trace, or it has no lease.
    Found(Id, Result<Option<Found>, String>),
    /// A write ended.
    Written(Id, Written),
    /// A packet was sent, or why not.
    Injected(Id, Result<(), String>),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The store is asked.
    Reading,
    /// It has the trace; nothing is on its way.
    Known(Found),
    /// So many records are on their way.
    Writing(Found, usize),
    /// It has no such trace, or did not answer; when it is asked again.
    Unknown(Instant),
}

#[derive(Debug)]
struct Trace {
    state: State,
    /// What waits for the store.
    records: Vec<TraceRecord>,
    /// Number of the next record that goes.
    next: u32,
    /// The trace that these numbers are of: an id may be another's later.
    counted: Option<Found>,
    /// When it was last heard of.
    used: Instant,
    /// What a write said is gone, and the number after its last record.
    gone: Option<(Found, u32)>,
    /// How many of the records that wait were in that write.
    again: usize,
}

impl Trace {
    fn is_worth_keeping(&self, now: Instant) -> bool {
        match self.state {
            _ if !self.records.is_empty() => true,
            // What is on its way is counted until it is there.
            State::Writing(..) => true,
            State::Unknown(until) => now < until,
            _ => now < self.used + FORGET_AFTER,
        }
    }
}

/// A key that asks for a packet.
pub struct Asked<'a> {
    /// Which.
    pub path: &'a str,
    /// What it says.
    pub value: &'a [u8],
    /// The revision of the store that wrote it.
    pub revision: i64,
}

/// What injecting has at hand.
pub struct Place<'a> {
    /// The number in the switch of a port that is here.
    pub port: &'a dyn Fn(&Name, &Name) -> Option<u32>,
    /// Whether the switch is connected.
    pub connected: bool,
}

/// All traces that this host sees. See the module.
#[derive(Debug)]
pub struct Traces {
    me: Name,
    injections: String,
    traces: FxHashMap<Id, Trace>,
    /// Records that wait or are on their way to the store, of all traces.
    queued: usize,
    /// When this second began, and how often the store was asked in it.
    reads: Option<(Instant, u32)>,
    /// When silent traces were last looked for.
    swept: Option<Instant>,
    injecting: usize,
    /// Whether the last exchange with the store failed: said once.
    failing: bool,
}

impl Traces {
    /// None yet.
    pub fn new(me: Name) -> Self {
        Self {
            injections: path::injections(&me),
            me,
            traces: FxHashMap::default(),
            queued: 0,
            reads: None,
            swept: None,
            injecting: 0,
            failing: false,
        }
    }

    /// Whether a path of the store is ours alone, and no fact.
    pub fn owns(&self, path: &str) -> bool {
        path.starts_with(&self.injections)
    }

    /// A tool asks for a packet.
    pub fn inject(
        &mut self,
        Asked { path, value, revision: asked }: Asked<'_>,
        place: &Place<'_>,
        now: Instant,
        effects: &mut Vec<Effect>,
        stats: &mut Stats,
    ) {
        // Only as tools write it: `007` and `+7` are no second names of trace 7.
        let named = path.strip_prefix(&self.injections).and_then(|text| Some((text, text.parse::<Id>().ok()?)));
        let Some((_, id)) = named.filter(|(text, id)| *text == id.to_string()) else {
            effects.push(Effect::Say(Level::Warn, format!("{path} asks for a trace of no id (1 to 65535): ignored")));
            return;
        };
        // The id may have been another's before; and while the packet is on its way the answer comes.
        if let Some(trace) = self.traces.get_mut(&id)
            && !matches!(trace.state, State::Reading | State::Writing(..))
        {
            trace.state = State::Unknown(now);
        }
        self.wake(id, now, effects);
        match self.prepare(value, place) {
            Ok((port, frame)) => {
                self.injecting += 1;
                stats.trace_packets += 1;
                effects.push(Effect::Trace(Command::Inject { id, asked, port, frame }));
            }
            Err(why) => self.refuse(id, why, now, effects, stats),
        }
    }

    fn prepare(&self, value: &[u8], place: &Place<'_>) -> Result<(u32, Vec<u8>), String> {
        let request: InjectRequest =
            serde_json::from_slice(value).map_err(|e| format!("the request is not as it should be: {e}"))?;
        let InjectRequest { ls, lsp, packet } = request;
        // Two digits a byte; what is longer is not even read.
        if packet.len() / 2 > MAX_FRAME {
            return Err(format!("a frame of {} bytes is too long: {MAX_FRAME} at most", packet.len() / 2));
        }
        let frame = from_hex(&packet).map_err(|e| format!("the packet is not hexadecimal: {e}"))?;
        if frame.len() < MIN_FRAME {
            return Err(format!("a frame of {} bytes is too short: an Ethernet header has {MIN_FRAME}", frame.len()));
        }
        let Some(port) = (place.port)(&ls, &lsp) else {
            return Err(format!("the port {ls}/{lsp} is not on {}", self.me));
        };
        if !place.connected {
            return Err(format!("the agent of {} has no connection to its switch", self.me));
        }
        if self.injecting >= MAX_INJECTING {
            return Err(format!("{} sends {MAX_INJECTING} packets of traces already", self.me));
        }
        Ok((port, frame))
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        match event {
            Event::Seen(event, at, packet) => {
                if let Some((id, record)) = record::of(event, at, &packet) {
                    self.add(id, record, now, effects, stats);
                }
            }
            Event::Lost(n) => {
                stats.packet_ins += n;
                stats.trace_records_dropped += n;
            }
            Event::Injected(id, result) => {
                self.injecting = self.injecting.saturating_sub(1);
                if let Err(why) = result {
                    self.refuse(id, why, now, effects, stats);
                }
            }
            Event::Found(id, result) => self.found(id, result, now, effects, stats),
            Event::Written(id, written) => self.written(id, written, now, effects, stats),
        }
    }

    fn refuse(&mut self, id: Id, why: String, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        stats.traces_refused += 1;
        let record = TraceRecord { text: Some(why), ..record::empty(TraceEvent::Refused, 0) };
        self.add(id, record, now, effects, stats);
    }

    fn add(&mut self, id: Id, record: TraceRecord, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        let full = self.queued >= MAX_QUEUED;
        let known = self.wake(id, now, effects);
        let Some(trace) = known.filter(|t| !full && t.next as usize + t.records.len() < MAX_RECORDS as usize) else {
            stats.trace_records_dropped += 1;
            return;
        };
        trace.records.push(record);
        self.queued += 1;
        self.flush(id, effects);
    }

    /// The trace of an id, unless the store is known not to have it; asks the store if it is not known.
    fn wake(&mut self, id: Id, now: Instant, effects: &mut Vec<Effect>) -> Option<&mut Trace> {
        if !self.traces.contains_key(&id) && self.traces.len() >= MAX_TRACES {
            // Not for each packet of a storm.
            if self.swept.is_some_and(|at| now < at + SWEEP_EVERY) {
                return None;
            }
            self.swept = Some(now);
            self.traces.retain(|_, t| t.is_worth_keeping(now));
            if self.traces.len() >= MAX_TRACES {
                return None;
            }
        }
        let fresh = || Trace {
            state: State::Unknown(now),
            records: Vec::new(),
            next: 0,
            counted: None,
            used: now,
            gone: None,
            again: 0,
        };
        let trace = self.traces.entry(id).or_insert_with(fresh);
        trace.used = now;
        if let State::Unknown(until) = trace.state {
            let (begun, reads) =
                self.reads.filter(|(begun, _)| now < *begun + Duration::from_secs(1)).unwrap_or((now, 0));
            if until > now || reads >= MAX_READS {
                return None;
            }
            self.reads = Some((begun, reads + 1));
            trace.state = State::Reading;
            effects.push(Effect::Trace(Command::Read(id)));
        }
        Some(trace)
    }

    fn flush(&mut self, id: Id, effects: &mut Vec<Effect>) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let State::Known(found) = trace.state else { return };
        if trace.records.is_empty() {
            return;
        }
        let records: Vec<TraceRecord> = trace.records.drain(..trace.records.len().min(BATCH)).collect();
        let first = trace.next;
        trace.next += u32::try_from(records.len()).unwrap_or(u32::MAX);
        trace.state = State::Writing(found, records.len());
        effects.push(Effect::Trace(Command::Write { id, found, first, records }));
    }

    fn found(
        &mut self,
        id: Id,
        result: Result<Option<Found>, String>,
        now: Instant,
        effects: &mut Vec<Effect>,
        stats: &mut Stats,
    ) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        match result {
            Ok(Some(found)) => {
                let same = trace.counted.replace(found) == Some(found);
                let again = std::mem::take(&mut trace.again);
                trace.next = match trace.gone.take() {
                    // It is not gone, but our numbers are taken: by this very write, whose answer was lost, or by the agent that was here before us.
                    Some((gone, next)) if gone == found => {
                        let lost = trace.records.drain(..again.min(trace.records.len())).len();
                        self.queued -= lost;
                        stats.trace_records_dropped += lost as u64;
                        next
                    }
                    _ if same => trace.next,
                    _ => 0,
                };
                trace.state = State::Known(found);
                self.failing = false;
                return self.flush(id, effects);
            }
            Ok(None) => self.failing = false,
            Err(why) => self.complain(&why, effects),
        }
        self.give_up(id, 0, now, stats);
    }

    fn written(&mut self, id: Id, written: Written, now: Instant, effects: &mut Vec<Effect>, stats: &mut Stats) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let State::Writing(found, sent) = trace.state else { return };
        match written {
            Written::Done => {
                self.failing = false;
                self.queued -= sent;
                stats.trace_records += sent as u64;
                trace.state = State::Known(found);
                self.flush(id, effects);
            }
            Written::Gone(mut records) => {
                // Ended; or ended and begun again under the same id, and then these are the new one's first.
                records.append(&mut trace.records);
                trace.records = records;
                trace.gone = Some((found, trace.next));
                trace.again = sent;
                trace.state = State::Unknown(now);
                if self.wake(id, now, effects).is_none() {
                    self.give_up(id, 0, now, stats);
                }
            }
            Written::Failed(why) => {
                self.complain(&why, effects);
                self.give_up(id, sent, now, stats);
            }
        }
    }

    /// Drops what waits for a trace that the store does not have, beside what was lost on its way.
    fn give_up(&mut self, id: Id, lost: usize, now: Instant, stats: &mut Stats) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let lost = std::mem::take(&mut trace.records).len() + lost;
        trace.again = 0;
        self.queued -= lost;
        stats.trace_records_dropped += lost as u64;
        trace.state = State::Unknown(now + UNKNOWN_FOR);
    }

    fn complain(&mut self, why: &str, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.failing, true) {
            let text = format!("a trace cannot be reported: {why}; later ones are tried anew");
            effects.push(Effect::Say(Level::Warn, text));
        }
    }
}
