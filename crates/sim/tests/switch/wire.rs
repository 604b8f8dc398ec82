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
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::{Duration, Instant},
};
use tuplenet_openflow::field;
use tuplenet_sim::{Effect, Packet, Run, Switch};

/// How many programs.
const CASES: u32 = 600;
/// Packets for each, at most.
const PACKETS: usize = 12;
/// The bridge port that programs send to by themselves; they know the ports up to this one.
pub const LAST_PORT: u32 = 4;
/// Longest wait for a packet.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came out: by which port, in which tunnel (VNI and option), the frame.
pub type Out = (u32, Option<(u32, u64)>, Vec<u8>);

/// The frames that a port sent, as it writes them into a file of libpcap's format.
struct Capture {
    file: PathBuf,
    read: u64,
}

impl Capture {
    /// What came since the last time.
    fn more(&mut self) -> Vec<Vec<u8>> {
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
pub struct Wires {
    local: Vec<(u32, Capture)>,
    underlay: Capture,
}

impl Wires {
    pub fn new(real: &Real) -> Wires {
        // After the file's own header.
        let capture = |name: &str| Capture { file: real.capture(name), read: 24 };
        let local = (1..=LOCAL_PORTS).map(|n| (n, capture(&format!("p{n}")))).collect();
        Wires { local, underlay: capture("phy0") }
    }

    /// What came since the last time.
    pub fn more(&mut self) -> Result<Vec<Out>, String> {
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

/// Sends one packet, and compares what comes out: how many frames. `None`: that cannot be compared, and neither can what follows.
pub fn compare(
    real: &mut Real,
    wires: &mut Wires,
    switch: &mut Switch,
    question: &Question,
    tracked: bool,
) -> Result<Option<usize>, String> {
    let mut packet = Packet::parse(&question.bytes).map_err(|error| error.to_string())?;
    packet.set(field::IN_PORT, question.in_port);
    let run = match switch.run(packet, 0) {
        Ok(run) => run,
        // No more is claimed.
        Err(unsupported) if unsupported.what.contains("third VLAN tag") => return Ok(None),
        Err(unsupported) => return Err(unsupported.to_string()),
    };
    if tracked && to_itself(&run) {
        return Ok(None);
    }
    let ours = outs(real, &run.effects);
    if ours.iter().any(twice_tagged) {
        return Ok(None);
    }
    real.send(question.in_port, &question.bytes);
    let start = Instant::now();
    let mut theirs = wires.more()?;
    while theirs.len() < ours.len() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(200));
        theirs.extend(wires.more()?);
    }
    if by_port(&ours) == by_port(&theirs) {
        return Ok(Some(ours.len()));
    }
    let list = |outs: &[Out]| {
        let lines: Vec<String> =
            outs.iter().map(|(port, tunnel, bytes)| format!("    port {port} {tunnel:x?} {}", hex(bytes))).collect();
        lines.join("\n")
    };
    let trace = real.trace(std::slice::from_ref(question)).pop().map(|answer| answer.map_or_else(|e| e, |a| a.text));
    let lost = real.lost();
    Err(format!(
        "lost {lost}; sent by port {}: {}\n  simulator:\n{}\n  switch:\n{}\nsteps {:?}\n{}",
        question.in_port,
        hex(&question.bytes),
        list(&ours),
        list(&theirs),
        run.steps.iter().map(|step| (step.table, step.flow)).collect::<Vec<_>>(),
        trace.unwrap_or_default()
    ))
}

/// The test.
pub fn check_all(purpose: Purpose) {
    let tracked = purpose == Purpose::Track;
    let real = Real::start(endpoints(), &[]);
    let wires = RefCell::new(Wires::new(&real));
    let real = RefCell::new(real);
    let (packets, frames) = (Cell::new(0), Cell::new(0));
    try_all(&programs(PACKETS, purpose), CASES, |program| {
        let (mut real, mut wires) = (real.borrow_mut(), wires.borrow_mut());
        if real.revive() {
            *wires = Wires::new(&real);
        }
        real.install(&program.flows, &program.groups)?;
        real.forget();
        // What a program before this one still sent.
        wires.more()?;
        let mut switch = Switch::new(program.flows.iter().cloned(), program.groups.iter().cloned());
        for question in program.packets.iter().map(Stimulus::on_the_wire) {
            let Some(out) = compare(&mut real, &mut wires, &mut switch, &question, tracked)? else { break };
            frames.set(frames.get() + out);
            packets.set(packets.get() + 1);
        }
        Ok(())
    });
    let (packets, frames) = (packets.get(), frames.get());
    println!("{packets} packets sent, {frames} came out");
    assert!(frames * 4 > packets, "too few came out to compare: {frames} of {packets}");
}
