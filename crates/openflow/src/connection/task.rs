//! The task that owns the socket: connects, reads, writes, keeps alive, connects again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::events::{Counts, EventQueue};
use super::frames::FrameReader;
use super::negotiate::{Ready, establish};
use super::registry::Registry;
use super::target::{ReadHalf, WriteHalf};
use super::{Config, Event};
use crate::message::header::kind;
use crate::message::{Header, Message};

/// Bytes to write, and the connection they were made for.
pub(super) struct Chunk {
    pub(super) epoch: u64,
    pub(super) bytes: Bytes,
}

/// Of our echo requests. Not among those that requests get.
const ECHO_XID: u32 = 0xffff_ffff;

/// Echo requests without an answer after which the switch is taken for dead.
const MAX_UNANSWERED: u32 = 2;

/// Echo requests of the switch that may wait for the writer. Open vSwitch sends one and waits.
const MAX_ECHOES: usize = 8;

/// Runs until all senders of chunks are gone.
pub(super) async fn run(
    config: Arc<Config>,
    registry: Arc<Registry>,
    events: Arc<EventQueue>,
    counts: Arc<Counts>,
    mut chunks: mpsc::Receiver<Chunk>,
) {
    let mut backoff = config.backoff_min;
    let mut told = String::new();
    loop {
        let ready = tokio::select! {
            ready = establish(&config) => ready,
            () = drain(&mut chunks) => break,
        };
        let why = match ready {
            Ok(ready) => {
                backoff = config.backoff_min;
                told.clear();
                counts.connections.fetch_add(1, Ordering::Relaxed);
                tracing::info!(target = %config.target, features = %ready.features, "connected to the switch");
                let epoch = registry.up();
                events.state(Event::Up(ready.features));
                match serve(&config, &registry, &events, ready, epoch, &mut chunks).await {
                    Some(why) => why,
                    None => break,
                }
            }
            Err(why) => why,
        };
        registry.down(&why);
        if why != told {
            tracing::warn!(target = %config.target, %why, "no connection to the switch; trying again");
            events.state(Event::Down(why.clone()));
            told = why;
        }
        tokio::select! {
            () = sleep(backoff) => {}
            () = drain(&mut chunks) => break,
        }
        backoff = (backoff * 2).min(config.backoff_max);
    }
    registry.down("the connection was closed by this program");
    events.close();
}

/// Throws away what was made for a connection that is gone, so that nobody waits for room in the queue. Returns when
/// all senders are gone.
async fn drain(chunks: &mut mpsc::Receiver<Chunk>) {
    while chunks.recv().await.is_some() {}
}

/// Serves one connection. Returns why it ended, or `None` when nobody wants it any more.
async fn serve(
    config: &Config,
    registry: &Registry,
    events: &EventQueue,
    ready: Ready,
    epoch: u64,
    chunks: &mut mpsc::Receiver<Chunk>,
) -> Option<String> {
    let (echo_tx, echo_rx) = mpsc::channel(MAX_ECHOES);
    let (heard_tx, heard) = watch::channel(Instant::now());
    let Ready { reader, writer, .. } = ready;
    // All three are polled by this one task, whichever of them can go on; that one waits does not stop the others.
    tokio::select! {
        why = read(reader, registry, events, &echo_tx, &heard_tx) => Some(why),
        why = write(writer, chunks, echo_rx, epoch) => why,
        why = keep_alive(config.echo_interval, &heard, &echo_tx) => Some(why),
    }
}

async fn read(
    mut reader: FrameReader<ReadHalf>,
    registry: &Registry,
    events: &EventQueue,
    echoes: &mpsc::Sender<Bytes>,
    heard: &watch::Sender<Instant>,
) -> String {
    loop {
        match reader.next().await {
            Ok(Some((header, frame))) => {
                heard.send_replace(Instant::now());
                if let Err(why) = dispatch(header, frame, registry, events, echoes) {
                    return why;
                }
            }
            Ok(None) => return "the switch closed the connection".to_owned(),
            Err(e) => return format!("reading from the switch failed: {e}"),
        }
    }
}

/// Brings one message to whom it is for. Never waits.
fn dispatch(
    header: Header,
    frame: Bytes,
    registry: &Registry,
    events: &EventQueue,
    echoes: &mpsc::Sender<Bytes>,
) -> Result<(), String> {
    let unasked = |frame: &Bytes| {
        events.other(frame).map_err(|_| "the events of the switch were not read in time; starting over".to_owned())
    };
    match header.kind {
        kind::ERROR => match Message::decode(frame.clone()) {
            Ok((xid, Message::Error(error))) => match registry.error(xid, error) {
                Some(_) => unasked(&frame),
                None => Ok(()),
            },
            _ => unasked(&frame),
        },
        kind::ECHO_REQUEST => {
            let mut reply = BytesMut::from(&frame[..]);
            if let Some(kind) = reply.get_mut(1) {
                *kind = kind::ECHO_REPLY;
            }
            // A switch that asks faster than we can write gets fewer answers.
            let _ = echoes.try_send(reply.freeze());
            Ok(())
        }
        kind::PACKET_IN => {
            events.packet_in(&frame);
            Ok(())
        }
        kind::EXPERIMENTER if is_packet_in2(&frame) => {
            events.packet_in(&frame);
            Ok(())
        }
        kind::FLOW_REMOVED | kind::PORT_STATUS | kind::ROLE_STATUS | kind::TABLE_STATUS | kind::REQUESTFORWARD => {
            unasked(&frame)
        }
        kind::HELLO => Ok(()),
        kind::EXPERIMENTER if header.xid == 0 => unasked(&frame),
        kind::MULTIPART_REPLY => {
            // Flags are behind the type.
            let more = frame.get(10..12).is_some_and(|flags| flags != [0, 0]);
            // Flow monitor updates come with xid 0, which nobody waits for.
            if header.xid == 0 {
                return unasked(&frame);
            }
            registry.answer(header.xid, frame, more);
            Ok(())
        }
        _ => {
            registry.answer(header.xid, frame, false);
            Ok(())
        }
    }
}

/// Vendor 0x2320, subtype 30, without decoding the rest.
fn is_packet_in2(frame: &[u8]) -> bool {
    frame.get(8..16) == Some(&[0, 0, 0x23, 0x20, 0, 0, 0, 30])
}

async fn write(
    mut writer: WriteHalf,
    chunks: &mut mpsc::Receiver<Chunk>,
    mut echoes: mpsc::Receiver<Bytes>,
    epoch: u64,
) -> Option<String> {
    loop {
        let bytes = tokio::select! {
            // Echoes first: behind a large bundle they would be late enough to be taken for silence.
            biased;
            Some(echo) = echoes.recv() => echo,
            chunk = chunks.recv() => match chunk {
                Some(chunk) if chunk.epoch == epoch => chunk.bytes,
                Some(_) => continue,
                None => return None,
            },
        };
        if let Err(e) = writer.write_all(&bytes).await {
            return Some(format!("writing to the switch failed: {e}"));
        }
    }
}

async fn keep_alive(interval: Duration, heard: &watch::Receiver<Instant>, echoes: &mpsc::Sender<Bytes>) -> String {
    let mut echo = BytesMut::new();
    // An echo request without data always fits its length.
    let _ = Message::EchoRequest(Bytes::new()).encode(ECHO_XID, &mut echo);
    let echo = echo.freeze();
    let mut unanswered = 0;
    let mut before = *heard.borrow();
    loop {
        let last = *heard.borrow();
        if last != before {
            unanswered = 0;
            before = last;
        }
        let silent = last.elapsed();
        if silent < interval {
            sleep(interval - silent).await;
            continue;
        }
        // Counted, not timed: if this program itself was stopped for a while, the switch still gets its chance to
        // answer.
        if unanswered == MAX_UNANSWERED {
            return format!("the switch has said nothing for {:.1} s", silent.as_secs_f64());
        }
        let _ = echoes.try_send(echo.clone());
        unanswered += 1;
        sleep(interval).await;
    }
}
