//! What the loop waits for, and who goes first when several wait, so that none of them, however busy, keeps the others waiting for long.
//!
//! | source | why there |
//! |---|---|
//! | the database | its news explain the ends of our transactions |
//! | the switch | a lost connection explains why requests fail. Reports of packets are only put aside here, [`REPORTS_IN_A_ROW`] at most |
//! | what we began has ended | no more than we began |
//! | the time | due once in a while |
//! | the store | may be busy for as long as it likes |
//! | reports put aside | when nothing else waits, [`REPORTS_AT_ONCE`] at most; of neighbours first, for whose answer somebody's packet waits |

use crate::{core::Event, driver::openflow::Unasked};
use anyhow::{Context, Result};
use std::{collections::VecDeque, future::pending, time::Instant};
use tokio::{sync::mpsc, task::yield_now, time::sleep_until};
use tuplenet_openflow::message::PacketIn2;
use tuplenet_rules::userdata::Userdata;
use tuplenet_store::mirror::MirrorEvent;

/// Reports of traced packets that may wait until nothing else does: 100 traces begun at once, each over a long path, fit.
const MAX_TRACES: usize = 8_192;
/// The same of neighbours: what the switch's meters let through in a quarter of a second.
const MAX_NEIGHBOURS: usize = 1_024;
/// The same of packets that routers ended.
const MAX_ERRORS: usize = 256;
/// How many of them are put aside before something else is looked for.
const REPORTS_IN_A_ROW: usize = 64;
/// How many of them are dealt with before something else is looked for.
const REPORTS_AT_ONCE: usize = 32;

/// Packet-ins that wait until nothing else does.
#[derive(Default)]
struct Reports {
    neighbours: VecDeque<Event>,
    errors: VecDeque<Event>,
    traces: VecDeque<Event>,
}

impl Reports {
    /// Puts one aside, or says which kind there is too much of.
    fn put(&mut self, at: u64, packet: Box<PacketIn2>) -> Result<(), Option<Userdata>> {
        let of = Userdata::decode(&packet.userdata);
        let (queue, room) = match of {
            Some(Userdata::Neighbour(_)) => (&mut self.neighbours, MAX_NEIGHBOURS),
            Some(Userdata::IcmpError(_)) => (&mut self.errors, MAX_ERRORS),
            Some(Userdata::Trace(_) | Userdata::Probe(_)) | None => (&mut self.traces, MAX_TRACES),
        };
        if queue.len() >= room {
            return Err(of);
        }
        queue.push_back(Event::Packet(at, packet));
        Ok(())
    }

    fn len(&self) -> usize {
        self.neighbours.len() + self.errors.len() + self.traces.len()
    }

    /// The next few.
    fn take(&mut self) -> Vec<Event> {
        let Self { neighbours, errors, traces } = self;
        let queue = [neighbours, errors].into_iter().find(|queue| !queue.is_empty()).unwrap_or(traces);
        queue.drain(..queue.len().min(REPORTS_AT_ONCE)).collect()
    }
}

fn is_probe(packet: &PacketIn2) -> bool {
    matches!(Userdata::decode(&packet.userdata), Some(Userdata::Probe(_)))
}

/// All that the loop waits for. See the module.
pub struct Sources {
    database: mpsc::Receiver<tuplenet_ovsdb::Event>,
    switch: Option<Unasked>,
    completions: mpsc::UnboundedReceiver<Event>,
    store: mpsc::Receiver<MirrorEvent>,
    reports: Reports,
    /// Reports that were put aside since anything else was taken.
    in_a_row: usize,
    /// Whether the last was a tick: of two, one lets the others go first.
    ticked: bool,
}

impl Sources {
    /// Without a switch yet.
    pub fn new(
        database: mpsc::Receiver<tuplenet_ovsdb::Event>,
        completions: mpsc::UnboundedReceiver<Event>,
        store: mpsc::Receiver<MirrorEvent>,
    ) -> Self {
        Self { database, switch: None, completions, store, reports: Reports::default(), in_a_row: 0, ticked: false }
    }

    /// From now on the switch is listened to as well.
    pub fn listen(&mut self, switch: Unasked) {
        self.switch = Some(switch);
    }

    /// What comes next; [`Event::Tick`] when that time is there. May be dropped while it waits: nothing is lost. Fails if one of the connections
    /// has ended for good.
    pub async fn next(&mut self, wakeup: Option<Instant>) -> Result<Vec<Event>> {
        loop {
            let in_a_row = std::mem::take(&mut self.in_a_row);
            let ticked = std::mem::take(&mut self.ticked);
            let tick = async {
                match wakeup {
                    // A timer takes a millisecond at least, and a new one each time would never be due where others are busy.
                    Some(at) if at <= Instant::now() && !ticked => {}
                    Some(at) => sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            let event = tokio::select! {
                biased;
                event = self.database.recv() => {
                    Event::Ovs(event.context("the connection to the database of Open vSwitch has ended")?)
                }
                event = heard(&mut self.switch), if in_a_row < REPORTS_IN_A_ROW => {
                    match event.context("the connection to the switch has ended")? {
                        // Few, and late they would look like silence.
                        Event::Packet(at, packet) if is_probe(&packet) => Event::Packet(at, packet),
                        Event::Packet(at, packet) => {
                            self.in_a_row = in_a_row + 1;
                            match self.reports.put(at, packet) {
                                Ok(()) => continue,
                                Err(of) => Event::Lost(of, 1),
                            }
                        }
                        lost @ Event::Lost(..) => {
                            self.in_a_row = in_a_row + 1;
                            self.reports.traces.push_back(lost);
                            continue;
                        }
                        event => event,
                    }
                }
                Some(event) = self.completions.recv() => event,
                () = tick => {
                    self.ticked = true;
                    Event::Tick
                }
                event = self.store.recv() => Event::Store(event.context("the mirror of the store has ended")?),
                // After all other tasks had their turn, so that what they bring goes first.
                () = yield_now(), if self.reports.len() > 0 => return Ok(self.reports.take()),
            };
            return Ok(vec![event]);
        }
    }
}

async fn heard(switch: &mut Option<Unasked>) -> Option<Event> {
    match switch {
        Some(switch) => switch.next().await,
        None => pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tuplenet_openflow::{connection, message::Message};

    struct Bench {
        sources: Sources,
        database: mpsc::Sender<tuplenet_ovsdb::Event>,
        switch: mpsc::Sender<connection::Event>,
        done: mpsc::UnboundedSender<Event>,
        store: mpsc::Sender<MirrorEvent>,
    }

    impl Bench {
        fn new() -> Self {
            let (database, database_events) = mpsc::channel(10);
            let (switch, switch_events) = mpsc::channel(20_000);
            let (done, completions) = mpsc::unbounded_channel();
            let (store, store_events) = mpsc::channel(1_000);
            let mut sources = Sources::new(database_events, completions, store_events);
            sources.listen(Unasked::new(switch_events, || 0));
            Self { sources, database, switch, done, store }
        }
        fn reports(&self, n: usize) {
            for _ in 0..n {
                let report = Message::PacketIn2(Default::default());
                self.switch.try_send(connection::Event::Message(report)).unwrap();
            }
        }
        async fn next(&mut self, wakeup: Option<Instant>) -> Vec<&'static str> {
            let name = |event: &Event| match event {
                Event::Ovs(_) => "database",
                Event::Switch(..) => "switch",
                Event::Packet(..) => "report",
                Event::Lost(..) => "lost",
                Event::Written(..) => "done",
                Event::Tick => "tick",
                Event::Store(_) => "store",
                other => panic!("{other:?}"),
            };
            self.sources.next(wakeup).await.unwrap().iter().map(name).collect()
        }
    }

    fn past() -> Option<Instant> {
        Some(Instant::now())
    }

    #[tokio::test]
    async fn a_storm_of_reports_keeps_nobody_waiting() {
        let mut bench = Bench::new();
        bench.reports(5_000);
        bench.database.try_send(tuplenet_ovsdb::Event::Up).unwrap();
        bench.done.send(Event::Written("p".into(), crate::core::records::Outcome::Conflict)).unwrap();
        for _ in 0..3 {
            bench.store.try_send(MirrorEvent::Up).unwrap();
        }
        let mut first = vec![bench.next(None).await, bench.next(None).await, bench.next(past()).await];
        for _ in 0..3 {
            first.push(bench.next(None).await);
        }
        assert_eq!(first, [["database"], ["done"], ["tick"], ["store"], ["store"], ["store"]]);
        assert!(bench.sources.reports.len() <= 5 * REPORTS_IN_A_ROW);
        // Then they are dealt with, and what comes meanwhile from another task does not wait for all of them.
        let store = bench.store.clone();
        let other = tokio::spawn(async move { store.send(MirrorEvent::Up).await });
        let mut reports = 0;
        loop {
            match bench.next(None).await[..] {
                ["store"] => break,
                ref all => reports += all.len(),
            }
        }
        other.await.unwrap().unwrap();
        assert!(reports <= 4 * REPORTS_AT_ONCE, "{reports} reports went before the store");
    }

    #[tokio::test]
    async fn what_the_connection_dropped_is_told_of_once() {
        let mut bench = Bench::new();
        let (switch, events) = mpsc::channel(10);
        let dropped = std::rc::Rc::new(std::cell::Cell::new(7));
        let count = std::rc::Rc::clone(&dropped);
        bench.sources.listen(Unasked::new(events, move || count.get()));
        for n in [7, 9] {
            dropped.set(n);
            switch.try_send(connection::Event::Down("gone".into())).unwrap();
            assert_eq!(bench.next(None).await, ["switch"]);
        }
        let lost = |event: &Event| if let Event::Lost(_, n) = event { *n } else { 0 };
        assert_eq!(bench.sources.next(None).await.unwrap().iter().map(lost).collect::<Vec<_>>(), [7, 2]);
    }

    #[tokio::test]
    async fn time_passes_while_the_store_is_busy_and_nothing_is_dealt_with_before_what_explains_it() {
        let mut bench = Bench::new();
        for _ in 0..1_000 {
            bench.store.try_send(MirrorEvent::Up).unwrap();
        }
        for _ in 0..3 {
            assert_eq!([bench.next(past()).await, bench.next(past()).await], [["tick"], ["store"]]);
        }
        bench.done.send(Event::Written("p".into(), crate::core::records::Outcome::Conflict)).unwrap();
        bench.switch.try_send(connection::Event::Down("gone".into())).unwrap();
        bench.database.try_send(tuplenet_ovsdb::Event::Up).unwrap();
        let mut order = Vec::new();
        for _ in 0..4 {
            order.extend(bench.next(None).await);
        }
        assert_eq!(order, ["database", "switch", "done", "store"]);
    }

    #[tokio::test]
    async fn reports_that_are_too_many_are_lost_and_told_of() {
        let mut bench = Bench::new();
        bench.reports(MAX_TRACES + 500);
        // Others keep them from being dealt with.
        let (mut lost, mut others) = (0, 0);
        while others < (MAX_TRACES + 500) / REPORTS_IN_A_ROW + 1 {
            let _ = bench.store.try_send(MirrorEvent::Up);
            match bench.next(None).await[..] {
                ["lost"] => lost += 1,
                ["store"] => others += 1,
                ref other => panic!("{other:?}"),
            }
        }
        assert_eq!((lost, bench.sources.reports.len()), (500, MAX_TRACES));
    }
}
