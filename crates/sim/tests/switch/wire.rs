//! The simulator against the real data path: packets sent through a switch, and the bytes that come out of its ports.
//!
//! What a trace cannot tell: how a frame looks when it leaves, with its checksums, and what the connection tracker remembers of earlier packets.

use super::{
    endpoints,
    program::{Purpose, programs},
    real::{LOCAL_PORTS, Question, Real, TUNNELS, hex},
    stimulus::Stimulus,
    try_all,
};
use proptest::strategy::Strategy;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Debug,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::{Duration, Instant},
};
use tuplenet_openflow::{Flow, field};
use tuplenet_rules::trace::METER;
use tuplenet_sim::{Effect, Group, Packet, Run, Switch};

/// How many programs.
const CASES: u32 = 600;
/// Packets for each, at most.
const PACKETS: usize = 12;
/// The bridge port that programs send to by themselves; they know the ports up to this one.
pub const LAST_PORT: u32 = 4;
/// How often what fails is tried.
const ATTEMPTS: usize = 3;
/// Longest wait for a packet.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came out: by which port, in which tunnel (VNI and option), the frame.
type Out = (u32, Option<(u32, u64)>, Vec<u8>);

/// The frames that a port sent, as it writes them into a file of libpcap's format.
pub struct Capture {
    file: PathBuf,
    read: u64,
}

impl Capture {
    /// Of a port of the bridge, by its name.
    pub fn of(real: &Real, port: &str) -> Capture {
        // After the file's own header.
        Capture { file: real.capture(port), read: 24 }
    }

    /// What came since the last time.
    pub fn more(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.file).unwrap_or_else(|e| panic!("{}: {e}", self.file.display()));
        file.seek(SeekFrom::Start(self.read)).expect("a file");
        file.read_to_end(&mut bytes).expect("a file");
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        // The record's header: seconds, microseconds, captured length, length.
        while let Some((head, tail)) = rest.split_at_checked(16) {
            let length = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]) as usize;
            let Some((frame, tail)) = tail.split_at_checked(length) else { break };
            frames.push(frame.to_vec());
            self.read += 16 + length as u64;
            rest = tail;
        }
        frames
    }
}

/// All ports that are watched.
struct Wires {
    local: Vec<(u32, Capture)>,
    underlay: Capture,
}

impl Wires {
    fn new(real: &Real) -> Wires {
        let capture = |name: &str| Capture::of(real, name);
        let local = (1..=LOCAL_PORTS).map(|n| (n, capture(&format!("p{n}")))).collect();
        Wires { local, underlay: capture("phy0") }
    }

    /// What came since the last time.
    fn more(&mut self) -> Result<Vec<Out>, String> {
        let mut out = Vec::new();
        for (port, capture) in &mut self.local {
            out.extend(capture.more().into_iter().map(|frame| (*port, None, frame)));
        }
        for frame in self.underlay.more() {
            out.push(opened(&frame).ok_or_else(|| format!("on the underlay: {}", hex(&frame)))?);
        }
        Ok(out)
    }
}

/// The frame in a tunnel packet.
fn opened(frame: &[u8]) -> Option<Out> {
    let number = |at: usize, len: usize| {
        let bytes = frame.get(at..at + len)?;
        Some(bytes.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte)))
    };
    let (proto, at) = match number(12, 2)? {
        0x0800 => (number(23, 1)?, 34),
        0x86dd => (number(20, 1)?, 54),
        _ => return None,
    };
    let port = |kind: &str| TUNNELS.iter().find(|(_, name, _)| *name == kind).map(|(.., port)| *port);
    let (kind, vni, option, inner) = match (proto, number(at + 2, 2)?) {
        // RFC 8926: options' length in words of 4 bytes, VNI; the option: class, type and length, value.
        (17, 6081) => {
            let options = 4 * (number(at + 8, 1)? as usize & 0x3f);
            let option = if options == 12 { number(at + 20, 8)? } else { 0 };
            ("geneve", number(at + 12, 3)?, option, at + 16 + options)
        }
        (17, 4789) => ("vxlan", number(at + 12, 3)?, 0, at + 16),
        (47, _) => ("gre", number(at + 4, 4)?, 0, at + 8),
        _ => return None,
    };
    Some((port(kind)?, Some((vni as u32, option)), frame.get(inner..)?.to_vec()))
}

/// What the simulator lets out, by port.
fn outs(real: &Real, effects: &[Effect]) -> Vec<Out> {
    let number = |packet: &Packet, field| packet.get(field).and_then(|value| value.to_u128()).unwrap_or(0);
    let out = |effect: &Effect| {
        let Effect::Output { port, packet, .. } = effect else { return None };
        if (1..=LOCAL_PORTS).contains(port) {
            return Some((*port, None, packet.to_bytes()));
        }
        let (_, kind, _) = TUNNELS.iter().find(|(.., tunnel)| tunnel == port)?;
        real.leads(packet)?;
        let id = number(packet, field::TUN_ID) as u32 & if *kind == "gre" { u32::MAX } else { 0xff_ffff };
        let option = if *kind == "geneve" { number(packet, field::TUN_METADATA0) as u64 } else { 0 };
        Some((*port, Some((id, option)), packet.to_bytes()))
    };
    effects.iter().filter_map(out).collect()
}

/// The same, in the order of each port: what left by different ports at once has no order.
fn by_port(outs: &[Out]) -> BTreeMap<u32, Vec<&Out>> {
    let mut ports: BTreeMap<u32, Vec<&Out>> = BTreeMap::new();
    outs.iter().for_each(|out| ports.entry(out.0).or_default().push(out));
    ports
}

/// Whether a packet went from an address to itself, where it met the connection tracker: what that makes of the two directions of such a
/// connection depends on hashes.
fn to_itself(run: &Run) -> bool {
    let same = |packet: &Packet| {
        let equal = |a, b| packet.get(a).is_some_and(|a| packet.get(b) == Some(a));
        equal(field::IPV4_SRC, field::IPV4_DST) || equal(field::IPV6_SRC, field::IPV6_DST)
    };
    run.steps.iter().any(|step| same(&step.packet))
}

/// Two tags: Open vSwitch 3.1 then writes into the wrong place of what follows, if it made a packet-in before.
fn twice_tagged(out: &Out) -> bool {
    let tag = |at| matches!(out.2.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    tag(12) && tag(16)
}

/// A switch whose ports are watched.
pub struct Wired {
    real: Real,
    wires: Wires,
    tracked: bool,
    /// Packets sent, and frames that came out, all told.
    packets: usize,
    frames: usize,
}

impl Wired {
    /// Fills the switch, and its simulator.
    pub fn fill(&mut self, flows: &[Flow], groups: &[Group]) -> Result<Switch, String> {
        if self.real.revive() {
            self.wires = Wires::new(&self.real);
        }
        self.real.install(flows, groups)?;
        self.real.forget();
        // What still came of what was sent before.
        self.wires.more()?;
        Ok(Switch::new(flows.iter().cloned(), groups.iter().cloned()))
    }

    /// Sends one packet, and compares what comes out. False: that cannot be compared, and neither can what follows.
    pub fn send(&mut self, switch: &mut Switch, question: &Question) -> Result<bool, String> {
        let mut packet = Packet::parse(&question.bytes).map_err(|error| error.to_string())?;
        packet.set(field::IN_PORT, question.in_port);
        let run = match switch.run(packet, 0) {
            Ok(run) => run,
            // No more is claimed.
            Err(unsupported) if unsupported.what.contains("third VLAN tag") => return Ok(false),
            Err(unsupported) => return Err(unsupported.to_string()),
        };
        let ours = outs(&self.real, &run.effects);
        if ours.iter().any(twice_tagged) || self.tracked && to_itself(&run) {
            return Ok(false);
        }
        self.real.send(question.in_port, &question.bytes);
        let start = Instant::now();
        let mut theirs = self.wires.more()?;
        while theirs.len() < ours.len() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(200));
            theirs.extend(self.wires.more()?);
        }
        if by_port(&ours) == by_port(&theirs) {
            self.packets += 1;
            self.frames += ours.len();
            return Ok(true);
        }
        let trace = self.real.trace(std::slice::from_ref(question)).pop();
        let trace = trace.map(|answer| answer.map_or_else(|error| error, |answer| answer.text)).unwrap_or_default();
        let steps: Vec<_> = run.steps.iter().map(|step| (step.table, step.flow)).collect();
        let (port, sent) = (question.in_port, hex(&question.bytes));
        let (ours, theirs) = (list(&ours), list(&theirs));
        Err(format!("sent by port {port}: {sent}\n  simulator:{ours}\n  switch:{theirs}\nsteps {steps:?}\n{trace}"))
    }
}

fn list(outs: &[Out]) -> String {
    let line = |(port, tunnel, bytes): &Out| format!("\n    port {port} {tunnel:x?} {}", hex(bytes));
    outs.iter().map(line).collect()
}

/// Like [`try_all`], with real packets. What fails is tried again: on a busy machine a packet may be lost, and what is really different is so each
/// time.
pub fn try_wired<S: Strategy>(
    strategy: &S,
    cases: u32,
    tracked: bool,
    check: impl Fn(&mut Wired, &S::Value) -> Result<(), String>,
) where
    S::Value: Debug,
{
    let real = Real::start(endpoints(), &[METER.id]);
    let wires = Wires::new(&real);
    let wired = RefCell::new(Wired { real, wires, tracked, packets: 0, frames: 0 });
    try_all(strategy, cases, |case| {
        let mut wired = wired.borrow_mut();
        (1..ATTEMPTS).find_map(|_| check(&mut wired, case).ok()).map_or_else(|| check(&mut wired, case), Ok)
    });
    let Wired { packets, frames, .. } = wired.into_inner();
    println!("{packets} packets sent, {frames} came out");
    assert!(frames * 5 > packets || packets < 1_000, "too few came out to compare: {frames} of {packets}");
}

/// The test with programs.
pub fn check_all(purpose: Purpose) {
    try_wired(&programs(PACKETS, purpose), CASES, purpose == Purpose::Track, |wired, program| {
        let mut switch = wired.fill(&program.flows, &program.groups)?;
        for question in program.packets.iter().map(Stimulus::on_the_wire) {
            if !wired.send(&mut switch, &question)? {
                break;
            }
        }
        Ok(())
    });
}
