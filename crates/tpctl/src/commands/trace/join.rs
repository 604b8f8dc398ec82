//! From what hosts reported, each in its own order and by its own clock, to one path.
//!
//! Hosts are joined by cause, not by clock: a host's reports come in segments, one for each time that the packet entered it, and the segment of a
//! host that got the packet by a tunnel follows the hop `LSP_TRACE_INGRESS_OUT` that sent it there. The path is complete when every segment has its
//! end and nothing that was sent is still missing.
//!
//! Clocks of hosts differ. Times are told since the first report, and a host whose clock contradicts the order of cause (it would have seen the
//! packet before it was sent, or after we knew) is taken to have seen it at the moment when it was sent.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};
use tuplenet_model::{
    name::Name,
    trace::{TraceEvent, TraceRecord},
};
use tuplenet_rules::{register, stage};

/// One report of a host.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who reported.
    pub chassis: Name,
    /// Its place among that host's reports.
    pub number: u32,
    /// What it says.
    pub record: TraceRecord,
    /// How long after the packet was sent we knew.
    pub known: Duration,
}

/// A report in its place on the path.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Who reported.
    pub chassis: Name,
    /// What it says.
    pub record: TraceRecord,
    /// When, since the first report.
    pub at: Duration,
}

/// What is not known about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// That chassis was to send the packet and reported nothing.
    Start(Name),
    /// That chassis reported the packet, but not that it is done with it.
    End(Name),
    /// The first chassis sent the packet to that end point; the second, which has it, reported nothing. `None`: nobody has it.
    Arrival(Name, IpAddr, Option<Name>),
}

/// The reports in the order of cause.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// Hops and deliveries; of copies one after another.
    pub passed: Vec<Passed>,
    /// Each visit to a host that ended without that the packet was delivered or sent on, with its last report, if there was one.
    pub ended: Vec<(Name, Option<Passed>)>,
    /// What is still to come. Empty: the path is complete.
    pub missing: Vec<Missing>,
}

impl Joined {
    /// From the first report to the last.
    pub fn took(&self) -> Option<Duration> {
        self.passed.iter().map(|passed| passed.at).max()
    }
}

/// Joins what `start`, which sent the packet, and others reported. `owner` tells who has a tunnel end point.
pub fn join(start: &Name, reports: &[Report], owner: impl Fn(IpAddr) -> Option<Name>) -> Joined {
    let left = segments(start, reports);
    let mut work = Work { left, owner, first_clock: None, clocks: BTreeMap::new(), joined: Joined::default() };
    match work.left.get_mut(start).and_then(VecDeque::pop_front) {
        Some(first) => work.follow(start, first, Duration::ZERO),
        None => work.joined.missing.push(Missing::Start(start.clone())),
    }
    // Reports whose cause is not known, since a report was lost: told nevertheless.
    let left: Vec<(Name, Segment)> =
        work.left.iter_mut().flat_map(|(c, all)| all.drain(..).map(|segment| (c.clone(), segment))).collect();
    let now = work.joined.passed.last().map_or(Duration::ZERO, |passed| passed.at);
    for (chassis, segment) in left {
        work.follow(&chassis, segment, now);
    }
    work.joined
}

/// What a host reported of one visit of the packet.
struct Segment {
    reports: Vec<(TraceRecord, Duration)>,
    ended: bool,
}

impl Segment {
    fn first(&self) -> Option<&TraceRecord> {
        self.reports.first().map(|(record, _)| record)
    }
}

/// A report with which a visit begins: the packet came by a tunnel.
fn is_entry(record: &TraceRecord) -> bool {
    record.event == TraceEvent::Hop
        && record.table == stage::LSP_TRACE_EGRESS_IN.table
        && record.flags & (register::FROM_TUNNEL | register::ENTERED) == register::FROM_TUNNEL
}

fn segments(start: &Name, reports: &[Report]) -> BTreeMap<Name, VecDeque<Segment>> {
    let mut sorted: Vec<&Report> = reports.iter().collect();
    sorted.sort_by(|a, b| (&a.chassis, a.number).cmp(&(&b.chassis, b.number)));
    sorted.dedup_by(|a, b| a.chassis == b.chassis && a.number == b.number);
    let mut all: BTreeMap<Name, VecDeque<Segment>> = BTreeMap::new();
    let mut next: Option<(&Name, u32)> = None;
    let mut open = 0_u32;
    for report in sorted {
        let chassis = &report.chassis;
        let of_chassis = all.entry(chassis.clone()).or_default();
        let in_order = match next {
            Some((of, number)) if of == chassis => report.number == number,
            _ => {
                open = 0;
                report.number == 0
            }
        };
        next = Some((chassis, report.number.saturating_add(1)));
        if !in_order {
            // Something before it is still under way, so no end that we saw is certain.
            of_chassis.iter_mut().for_each(|segment| segment.ended = false);
            open = open.max(1).saturating_add(1);
        }
        let more = report.record.event == TraceEvent::End && report.record.flags & register::PENDING != 0;
        if of_chassis.is_empty() || open == 0 && !more {
            // The host that sends the packet has an end of its own for it.
            let sends = of_chassis.is_empty() && chassis == start;
            open = open.max(u32::from(sends || !is_entry(&report.record)));
            of_chassis.push_back(Segment { reports: Vec::new(), ended: false });
        }
        let Some(segment) = of_chassis.back_mut() else { continue };
        open += u32::from(is_entry(&report.record));
        match report.record.event {
            // Conntrack has a copy to go on with, whose end may come before this one, or after.
            TraceEvent::End if report.record.flags & register::PENDING != 0 => {}
            TraceEvent::End => {
                open = open.saturating_sub(1);
                segment.ended = open == 0;
            }
            _ => segment.reports.push((report.record.clone(), report.known)),
        }
    }
    all
}

struct Work<F> {
    left: BTreeMap<Name, VecDeque<Segment>>,
    owner: F,
    /// What to add to a host's clock, in nanoseconds.
    clocks: BTreeMap<Name, i128>,
    /// That of the host that sent the packet: with it the first report is at zero.
    first_clock: Option<i128>,
    joined: Joined,
}

impl<F: Fn(IpAddr) -> Option<Name>> Work<F> {
    /// Takes a visit that was caused at `cause`, and all that it causes.
    fn follow(&mut self, chassis: &Name, segment: Segment, cause: Duration) {
        let Segment { reports, ended } = segment;
        let clock = self.clock(chassis, reports.first(), cause);
        let mut sent: Vec<(TraceRecord, IpAddr, Duration)> = Vec::new();
        let mut delivered = false;
        let mut last = None;
        for (i, (record, _)) in reports.iter().enumerate() {
            let at = nanos(i128::from(record.at) + clock).max(cause);
            let passed = Passed { chassis: chassis.clone(), record: record.clone(), at };
            delivered |= record.event == TraceEvent::Delivered;
            if let Some(remote) = leaves_for(record, reports.get(i + 1).map(|(next, _)| next)) {
                sent.push((record.clone(), remote, at));
            }
            last = Some(passed.clone());
            self.joined.passed.push(passed);
        }
        if !ended {
            self.joined.missing.push(Missing::End(chassis.clone()));
        } else if !delivered && sent.is_empty() {
            self.joined.ended.push((chassis.clone(), last));
        }
        for (record, remote, at) in sent {
            self.arrive(chassis, &record, remote, at);
        }
    }

    /// Finds the visit that a departure causes: to the chassis that it is for, or on a detour to another one, which then sends it on to that.
    fn arrive(&mut self, from: &Name, record: &TraceRecord, remote: IpAddr, at: Duration) {
        let owner = (self.owner)(remote);
        let way = |record: &TraceRecord| record.flags & (register::REDIRECTED | register::RELAYED);
        let same =
            |first: &TraceRecord| (first.datapath, first.from, first.to) == (record.datapath, record.from, record.to);
        let find = |all: &mut VecDeque<Segment>, of: u32| {
            let index = all.iter().position(|s| s.first().is_some_and(|first| same(first) && way(first) == of))?;
            all.remove(index)
        };
        let direct = owner.as_ref().and_then(|owner| {
            let segment = find(self.left.get_mut(owner)?, way(record))?;
            Some((owner.clone(), segment))
        });
        let detour = || {
            let mut others = self.left.iter_mut().filter(|_| way(record) == 0);
            others.find_map(|(chassis, all)| Some((chassis.clone(), find(all, register::REDIRECTED)?)))
        };
        let found = direct.or_else(detour);
        match found {
            Some((chassis, segment)) => self.follow(&chassis, segment, at),
            None => self.joined.missing.push(Missing::Arrival(from.clone(), remote, owner)),
        }
    }

    /// What to add to a host's clock, for a visit that was caused at `cause`.
    fn clock(&mut self, chassis: &Name, first: Option<&(TraceRecord, Duration)>, cause: Duration) -> i128 {
        let Some((record, known)) = first else { return 0 };
        let (raw, cause) = (i128::from(record.at), signed(cause));
        // Its own if it was there before; else that of the first host, as if all clocks agreed.
        let clock = self.clocks.get(chassis).copied().or(self.first_clock).unwrap_or(-raw);
        let possible = cause..=signed(*known).max(cause);
        let clock = if possible.contains(&(raw + clock)) { clock } else { cause - raw };
        self.clocks.insert(chassis.clone(), clock);
        self.first_clock.get_or_insert(clock);
        clock
    }
}

/// The tunnel end point that a packet is sent to with this report. `next` is the host's next one: if that is the egress of the same switch here, the
/// packet did not leave, since this host has no tunnel of the kind.
fn leaves_for(record: &TraceRecord, next: Option<&TraceRecord>) -> Option<IpAddr> {
    let out = record.event == TraceEvent::Hop && record.table == stage::LSP_TRACE_INGRESS_OUT.table;
    let remote = record.remote.filter(|_| out && record.flags & register::FROM_TUNNEL == 0)?;
    let stayed = next.is_some_and(|next| {
        next.table == stage::LSP_TRACE_EGRESS_IN.table
            && (next.datapath, next.from, next.to) == (record.datapath, record.from, record.to)
            && next.remote == record.remote
    });
    (!stayed).then_some(remote)
}

fn signed(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn nanos(time: i128) -> Duration {
    Duration::from_nanos(u64::try_from(time.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
