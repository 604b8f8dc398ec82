//! Many slow TCP transfers at once, to see what a fault does to connections: whether they live, and how long they stand still.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use crate::{Vm, transfer::pattern};

/// No connection, or no progress, for so long means that it is dead.
const DEAD: Duration = Duration::from_secs(20);
/// Bytes written at once, and how often.
const PIECE: usize = 1024;
const PAUSE: Duration = Duration::from_millis(100);

/// Transfers that run. Dropped, they end.
#[derive(Debug)]
pub struct Streams {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Result<u64>>>,
    receivers: Vec<JoinHandle<Result<Received>>>,
}

/// What one receiver saw.
#[derive(Debug)]
struct Received {
    bytes: u64,
    longest: Duration,
}

/// What became of transfers.
#[derive(Clone, Debug)]
pub struct StreamsReport {
    /// How many arrived whole and unchanged.
    pub whole: usize,
    /// Why the others did not.
    pub broken: Vec<String>,
    /// Bytes of all that arrived whole.
    pub bytes: u64,
    /// The longest time in which nothing arrived, for each that arrived whole, the longest last.
    pub stalls: Vec<Duration>,
}

impl Vm {
    /// Begins `count` TCP transfers to `to` at `address`, some 10 kB a second each, until [`Streams::finish`].
    ///
    /// # Errors
    /// A connection was refused or not answered.
    pub fn streams(&self, to: &Vm, address: &str, count: usize) -> Result<Streams> {
        self.streams_by(to, address, address, count)
    }

    /// The same to a guest that the network calls `address` and that calls itself `own`.
    ///
    /// # Errors
    /// As for [`Vm::streams`].
    pub fn streams_by(&self, to: &Vm, own: &str, address: &str, count: usize) -> Result<Streams> {
        let parse = |text: &str| text.parse().with_context(|| format!("`{text}` is no address"));
        let (own, address): (IpAddr, IpAddr) = (parse(own)?, parse(address)?);
        let listener = to.netns().inside(|| Ok(TcpListener::bind(SocketAddr::new(own, 0))?));
        let listener = listener.with_context(|| format!("{} cannot listen at {own}", to.name()))?;
        let target = SocketAddr::new(address, listener.local_addr()?.port());
        let mut streams = Streams { stop: Arc::default(), senders: Vec::new(), receivers: Vec::new() };
        for _ in 0..count {
            // One after the other: so each sender has its receiver, whatever is translated between them.
            let client = self.netns().inside(|| Ok(TcpStream::connect_timeout(&target, DEAD)?));
            let client = client.with_context(|| format!("TCP from {} to {target}", self.name()))?;
            client.set_write_timeout(Some(DEAD))?;
            client.set_nodelay(true)?;
            let (server, _) = listener.accept()?;
            server.set_read_timeout(Some(DEAD))?;
            let stop = streams.stop.clone();
            streams.senders.push(std::thread::spawn(move || send(client, &stop)));
            streams.receivers.push(std::thread::spawn(move || receive(server)));
        }
        Ok(streams)
    }
}

impl Streams {
    /// Stops sending, and waits until all has arrived.
    pub fn finish(mut self) -> StreamsReport {
        self.stop.store(true, Ordering::SeqCst);
        let mut report = StreamsReport { whole: 0, broken: Vec::new(), bytes: 0, stalls: Vec::new() };
        for (sender, receiver) in self.senders.drain(..).zip(self.receivers.drain(..)) {
            let sent = sender.join().unwrap_or_else(|_| Err(anyhow!("a sender panicked")));
            if let Err(error) = &sent {
                // Its receiver waits in vain for a while, and nobody for the receiver.
                report.broken.push(format!("{error:#}"));
                continue;
            }
            let received = receiver.join().unwrap_or_else(|_| Err(anyhow!("a receiver panicked")));
            match (sent, received) {
                (Ok(sent), Ok(received)) if sent == received.bytes => {
                    report.whole += 1;
                    report.bytes += sent;
                    report.stalls.push(received.longest);
                }
                (Ok(sent), Ok(received)) => report.broken.push(format!("{} of {sent} bytes came", received.bytes)),
                (Err(error), _) | (_, Err(error)) => report.broken.push(format!("{error:#}")),
            }
        }
        report.stalls.sort();
        report
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while !stop.load(Ordering::SeqCst) {
        pattern(at, &mut piece);
        stream.write_all(&piece).with_context(|| format!("sending stopped after some {at} bytes"))?;
        at += PIECE as u64;
        std::thread::sleep(PAUSE);
    }
    Ok(at)
}

fn receive(mut stream: TcpStream) -> Result<Received> {
    let (mut expected, mut got) = (vec![0; PIECE], vec![0; PIECE]);
    let mut received = Received { bytes: 0, longest: Duration::ZERO };
    let (mut filled, mut last) = (0, Instant::now());
    loop {
        let room = got.get_mut(filled..).unwrap_or_default();
        let length = stream.read(room).with_context(|| format!("nothing more came after {} bytes", received.bytes))?;
        // The end of a transfer is no stall: the sender closes at once.
        if length == 0 {
            anyhow::ensure!(filled == 0, "it ended within a piece");
            return Ok(received);
        }
        received.longest = received.longest.max(last.elapsed());
        last = Instant::now();
        filled += length;
        if filled == PIECE {
            pattern(received.bytes, &mut expected);
            anyhow::ensure!(got == expected, "wrong bytes after {}", received.bytes);
            received.bytes += PIECE as u64;
            filled = 0;
        }
    }
}
