//! The switch: the core's commands as OpenFlow, and its answers as the core's events.

use crate::core::{
    self,
    switch::{
        Command, Event, Metering, Mod, Outcome, Refusal, TLV, TlvMapping,
        groups::{Reported, Step},
    },
    trace::{self as traces, Id},
};
use anyhow::{Result, anyhow};
use bytes::Bytes;
use std::{
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Semaphore, mpsc};
use tuplenet_openflow::{
    Action, Flow,
    connection::{self, Config, RequestError, Switch, Target},
    message::{
        Bucket, FlowMod, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupProperties, Message, MeterBand,
        MeterCommand, MeterMod, MultipartReply, MultipartRequest, PacketOut, ReplyBody, TlvMap, TlvTableCommand,
        group::bucket_id, meter::meter_flags,
    },
    port,
};
use tuplenet_rules::{GroupForm, Selection, icmp, outside, probe, trace};

/// Packets that may be on their way into the switch at once. Open vSwitch drops reports when more wait to be sent to us than its queue holds (see
/// `ovs::bridge`), and one packet makes some 15, or two for each port that it is copied to.
const INJECT_AT_ONCE: usize = 4;

/// What limits packet-ins, each its own kind.
pub const METERS: [trace::Meter; 6] =
    [trace::METER, outside::ASK_METER, icmp::METER, outside::LEARN_METER, icmp::TOO_BIG_METER, probe::METER];

/// The switch, to be asked.
pub struct Driver {
    switch: Switch,
    injecting: Rc<Semaphore>,
}

/// What the switch says unasked.
pub struct Unasked {
    events: mpsc::Receiver<connection::Event>,
    /// How many packet-ins were dropped so far because we were slow.
    dropped: Box<dyn Fn() -> u64>,
    /// How many of them were told of.
    told: u64,
    /// Counts connections.
    session: u64,
}

/// Connects, for ever.
pub fn connect(target: &str) -> Result<(Driver, Unasked)> {
    let target: Target = target.parse().map_err(|e| anyhow!("--of: {e}"))?;
    let (switch, events) = connection::connect(Config::new(target));
    let counted = switch.clone();
    let unasked = Unasked::new(events, move || counted.stats().packet_ins_dropped);
    Ok((Driver { switch, injecting: Rc::new(Semaphore::new(INJECT_AT_ONCE)) }, unasked))
}

impl Unasked {
    /// What a connection tells, and how many packet-ins it has dropped.
    pub fn new(events: mpsc::Receiver<connection::Event>, dropped: impl Fn() -> u64 + 'static) -> Self {
        Self { events, dropped: Box::new(dropped), told: 0, session: 0 }
    }

    /// The next of it, for the core; `None` once there will be no more. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Option<core::Event> {
        loop {
            let dropped = (self.dropped)();
            if dropped > self.told {
                let lost = dropped - std::mem::replace(&mut self.told, dropped);
                return Some(core::Event::Lost(None, lost));
            }
            let event = match self.events.recv().await? {
                connection::Event::Up(_) => {
                    self.session += 1;
                    Event::Up
                }
                connection::Event::Down(why) => Event::Down(why),
                connection::Event::Message(Message::PacketIn2(packet)) => {
                    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
                    return Some(core::Event::Packet(at, Box::new(packet)));
                }
                connection::Event::Message(message) => {
                    tracing::debug!(?message, "the switch says something that nobody asked for");
                    continue;
                }
            };
            return Some(core::Event::Switch(self.session, event));
        }
    }
}

impl Driver {
    /// Carries a command out; its answer comes back as an event.
    pub fn run(&self, session: u64, command: Command, done: &mpsc::UnboundedSender<core::Event>) {
        let (switch, done) = (self.switch.clone(), done.clone());
        tokio::task::spawn_local(async move {
            let event = answer(&switch, command).await;
            // The loop may have ended meanwhile.
            let _ = done.send(core::Event::Switch(session, event));
        });
    }

    /// Sends a packet in that colour as if it came in by that port, unless there is a reason not to; how that went comes back as an event.
    pub fn inject(
        &self,
        id: Id,
        port: u32,
        frame: Vec<u8>,
        wanted: impl Future<Output = Result<(), String>> + 'static,
        done: &mpsc::UnboundedSender<core::Event>,
    ) {
        let (switch, room, done) = (self.switch.clone(), Rc::clone(&self.injecting), done.clone());
        tokio::task::spawn_local(async move {
            let mut result = wanted.await;
            if result.is_ok() {
                let _permit = room.acquire().await;
                let packet = PacketOut::new(port, frame, trace::inject(id));
                let sent = switch.request(Message::PacketOut(packet)).await;
                result = sent.map(drop).map_err(|e| format!("the switch did not take it: {}", not_taken(&e)));
            }
            // The loop may have ended meanwhile.
            let _ = done.send(core::Event::Trace(traces::Event::Injected(id, result)));
        });
    }

    /// Sends a packet. What the switch refuses of it, it tells the log.
    pub fn packet_out(&self, actions: Vec<Action>, frame: Bytes) {
        let switch = self.switch.clone();
        let packet = PacketOut::new(port::CONTROLLER, frame, actions);
        tokio::task::spawn_local(async move {
            if let Err(error) = switch.send(Message::PacketOut(packet)).await {
                tracing::debug!(%error, "a packet is lost");
            }
        });
    }

    /// The connection, for who needs more.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }
}

/// OpenFlow's "flow mod failed, for no reason". To a packet-out Open vSwitch answers so when it gives the packet up on its way through the
/// tables, and then nothing of it is done or reported: `ofproto_dpif_xlate` allows 64 steps back to an earlier table, 4,096 in all.
const GIVEN_UP: (u16, u16) = (5, 0);

/// Why a packet of a trace was not taken, for people.
fn not_taken(error: &RequestError) -> String {
    match error {
        RequestError::Refused(refused) if (refused.error.kind, refused.error.code) == GIVEN_UP => {
            "it gave the packet up: too many tables on its way, most likely in circles between routers, as ordinary packets that go there. \
             A trace with a smaller TTL (--ttl 10) shows the circle"
                .to_owned()
        }
        RequestError::Refused(refused) => format!("{}: {}", refused.error.name(), refused.error.meaning()),
        error => error.to_string(),
    }
}

async fn answer(switch: &Switch, command: Command) -> Event {
    match command {
        Command::Meter => Event::Meter(meter(switch).await.map_err(|e| e.to_string())),
        Command::ReadTlv => {
            let map = switch.tlv_table().await.map(|t| t.maps.into_iter().map(mapping).collect());
            Event::Tlv(map.map_err(|e| e.to_string()))
        }
        Command::WriteTlv(wrong) => Event::TlvWritten(write_tlv(switch, wrong).await),
        Command::ReadGroups => {
            let groups = switch.groups().await.map(|groups| groups.into_iter().map(reported).collect());
            Event::Groups(groups.map_err(|e| e.to_string()))
        }
        Command::ReadTables => Event::Tables(tables(switch).await),
        Command::ReadFlows(table) => {
            let flows = switch.flows(Some(table), None).await.map(|flows| flows.into_iter().map(|f| f.flow).collect());
            Event::Flows(table, flows.map_err(|e| e.to_string()))
        }
        Command::Forget(zones) => Event::Forgotten(forget(switch, zones).await.map_err(|e| e.to_string())),
        Command::Bundle(mods) => Event::Bundle(match switch.bundle(mods.into_iter().map(message).collect()).await {
            Ok(()) => Outcome::Done,
            Err(error) => outcome(error),
        }),
    }
}

async fn forget(switch: &Switch, zones: Vec<u16>) -> Result<(), RequestError> {
    for zone in zones {
        switch.forget_connections(zone).await?;
    }
    Ok(())
}

/// Makes the meters unless they are there as they should be. One is never deleted for that: Open vSwitch notes in a flow which meter its controller
/// action means when the flow comes, and a flow whose meter is not there then goes unlimited.
async fn meter(switch: &Switch) -> Result<Metering, RequestError> {
    let there = match switch.meters().await {
        Err(RequestError::Refused(refused)) => return Ok(Metering::Off(refused.to_string())),
        meters => meters?,
    };
    for meter in METERS {
        let wanted = MeterMod {
            command: MeterCommand::Add,
            flags: meter_flags::PKTPS | meter_flags::BURST,
            meter_id: meter.id,
            bands: vec![MeterBand::drop(meter.rate, meter.burst)],
        };
        let command = match there.iter().find(|m| m.meter_id == wanted.meter_id) {
            // The switch adds flags of its own, such as that it counts.
            Some(m) if m.flags & wanted.flags == wanted.flags && m.bands == wanted.bands => continue,
            Some(_) => MeterCommand::Modify,
            None => MeterCommand::Add,
        };
        match switch.request(Message::MeterMod(MeterMod { command, ..wanted })).await {
            Err(RequestError::Refused(refused)) => return Ok(Metering::Off(refused.to_string())),
            done => done.map(drop)?,
        }
    }
    Ok(Metering::On)
}

async fn tables(switch: &Switch) -> Result<Vec<u8>, String> {
    let parts = switch.request(Message::MultipartRequest(MultipartRequest::Tables)).await.map_err(|e| e.to_string())?;
    let mut tables = Vec::new();
    for part in parts {
        match part {
            Message::MultipartReply(MultipartReply { body: ReplyBody::Tables(all), .. }) => {
                tables.extend(all.into_iter().filter(|t| t.active > 0).map(|t| t.table));
            }
            other => return Err(format!("it answered a question for its tables by {other}")),
        }
    }
    Ok(tables)
}

async fn write_tlv(switch: &Switch, wrong: Vec<TlvMapping>) -> Result<(), String> {
    if !wrong.is_empty() {
        let maps =
            wrong.into_iter().map(|m| TlvMap { class: m.class, kind: m.kind, len: m.length, index: m.index }).collect();
        switch.tlv_table_mod(TlvTableCommand::Delete, maps).await.map_err(|e| e.to_string())?;
    }
    let maps = vec![TlvMap { class: TLV.class, kind: TLV.kind, len: TLV.length, index: TLV.index }];
    switch.tlv_table_mod(TlvTableCommand::Add, maps).await.map_err(|e| e.to_string())
}

fn mapping(map: TlvMap) -> TlvMapping {
    TlvMapping { class: map.class, kind: map.kind, length: map.len, index: map.index }
}

fn reported(group: GroupDesc) -> Reported {
    let selection = group.properties.selection.as_ref().map(Selection::read);
    let form = match (group.kind, selection) {
        (GroupKind::All, None) => Some(GroupForm::All),
        (GroupKind::Select, Some(selection)) => selection.map(GroupForm::Select),
        (GroupKind::FastFailover, None) => Some(GroupForm::FastFailover),
        _ => None,
    };
    let content = |b: Bucket| {
        let watch_port = b.watch_port.filter(|port| *port != port::ANY);
        let watch_group = b.watch_group.filter(|group| *group != u32::MAX);
        (
            b.bucket_id,
            tuplenet_rules::Bucket { id: None, weight: b.weight, watch_port, watch_group, actions: b.actions },
        )
    };
    Reported { id: group.group_id, form, buckets: group.buckets.into_iter().map(content).collect() }
}

fn message(change: Mod) -> Message {
    match change {
        Mod::Set(flow) => Message::FlowMod(FlowMod::add(flow)),
        Mod::Delete(key) => {
            let flow = Flow { table: key.table, priority: key.priority, matching: key.matching, ..Flow::default() };
            Message::FlowMod(FlowMod::delete_strict(flow))
        }
        Mod::Group(step) => Message::GroupMod(group_mod(step)),
    }
}

fn group_mod(step: Step) -> GroupMod {
    let (group_id, command, form, buckets) = match step {
        Step::Add(id, form, buckets) => (id, GroupCommand::Add, form, buckets),
        Step::Replace(id, form, buckets) => (id, GroupCommand::Modify, form, buckets),
        Step::Insert(id, form, buckets) => (id, GroupCommand::InsertBucket { after: bucket_id::LAST }, form, buckets),
        Step::Remove(id, bucket) => (id, GroupCommand::RemoveBucket { bucket_id: bucket }, GroupForm::All, Vec::new()),
        Step::Delete(id) => (id, GroupCommand::Delete, GroupForm::All, Vec::new()),
    };
    let bucket = |(bucket_id, content): (u32, tuplenet_rules::Bucket)| Bucket {
        bucket_id,
        weight: content.weight,
        watch_port: content.watch_port,
        watch_group: content.watch_group,
        actions: content.actions,
        ..Bucket::default()
    };
    let buckets = buckets.into_iter().map(bucket).collect();
    // A bucket is inserted into a group that has its method already.
    let properties = match command {
        GroupCommand::Add | GroupCommand::Modify => form.properties(),
        _ => GroupProperties::default(),
    };
    GroupMod { command, kind: form.kind(), group_id, buckets, properties }
}

fn outcome(error: RequestError) -> Outcome {
    match error {
        RequestError::Refused(refused) => {
            Outcome::Refused(vec![Refusal { index: refused.index, why: refused.to_string() }])
        }
        // Nothing was sent, and it would be the same another time: one of the messages is to blame.
        RequestError::Encode { .. } => Outcome::Refused(vec![Refusal { index: None, why: error.to_string() }]),
        error => Outcome::Lost(error.to_string()),
    }
}
