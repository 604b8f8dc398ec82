//! TCP between two guests, every byte checked: what a throughput tool counts, it does not compare.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::Vm;

/// No progress for so long means that the connection is dead.
const STALL: Duration = Duration::from_secs(10);
/// Bytes written at once.
const CHUNK: usize = 64 * 1024;

/// A transfer that arrived whole and unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Bytes carried.
    pub bytes: u64,
    /// From the connection's request to the last byte.
    pub elapsed: Duration,
}

impl Transfer {
    /// Megabits per second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 * 8e-6 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl Vm {
    /// Sends `bytes` bytes by TCP to `to` at its address `address`, and compares what arrives.
    ///
    /// # Errors
    /// No connection, no progress for ten seconds, or other bytes than were sent.
    pub fn send_tcp(&self, to: &Vm, address: &str, bytes: u64) -> Result<Transfer> {
        self.send_tcp_by(to, address, address, bytes)
    }

    /// The same to a guest that the network calls `address` and that calls itself `own`.
    ///
    /// # Errors
    /// As for [`Vm::send_tcp`].
    pub fn send_tcp_by(&self, to: &Vm, own: &str, address: &str, bytes: u64) -> Result<Transfer> {
        let parse = |text: &str| text.parse().with_context(|| format!("`{text}` is no address"));
        let (own, address): (IpAddr, IpAddr) = (parse(own)?, parse(address)?);
        let listener = to.netns().inside(|| Ok(TcpListener::bind(SocketAddr::new(own, 0))?));
        let listener = listener.with_context(|| format!("{} cannot listen at {own}", to.name()))?;
        let target = SocketAddr::new(address, listener.local_addr()?.port());
        let start = Instant::now();
        let what = || format!("TCP from {} to {} at {target}", self.name(), to.name());
        // The handshake is completed by the kernel, so one thread can connect first and accept after.
        let client = self.netns().inside(|| Ok(TcpStream::connect_timeout(&target, STALL)?)).with_context(what)?;
        let (server, _) = listener.accept().with_context(what)?;
        client.set_write_timeout(Some(STALL))?;
        server.set_read_timeout(Some(STALL))?;
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || send(client, bytes));
            let received = receive(server, bytes);
            let sent = sender.join().unwrap_or_else(|_| Err(anyhow!("the sender panicked")));
            // The receiver's error first: a reset that the sender sees is often its consequence.
            received.and(sent)
        })
        .with_context(what)
        .inspect_err(|_| self.host().lab().fail())?;
        Ok(Transfer { bytes, elapsed: start.elapsed() })
    }
}

/// The bytes of position `at` (a multiple of [`CHUNK`]) of the stream: different everywhere, so that what is lost,
/// repeated or out of its place shows.
pub(crate) fn pattern(at: u64, chunk: &mut [u8]) {
    for (index, word) in chunk.chunks_mut(8).enumerate() {
        // splitmix64 of the position.
        let mut x = at.wrapping_add(8 * index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (x ^ (x >> 31)).to_be_bytes();
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = from;
        }
    }
}

fn send(mut stream: TcpStream, bytes: u64) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).unwrap_or(CHUNK).min(CHUNK);
        pattern(at, &mut chunk[..length]);
        stream.write_all(&chunk[..length]).with_context(|| format!("sending stopped after some {at} bytes"))?;
        at += length as u64;
    }
    Ok(())
}

fn receive(mut stream: TcpStream, bytes: u64) -> Result<()> {
    let (mut expected, mut got) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).unwrap_or(CHUNK).min(CHUNK);
        pattern(at, &mut expected[..length]);
        stream.read_exact(&mut got[..length]).with_context(|| format!("nothing more came after some {at} bytes"))?;
        ensure!(got[..length] == expected[..length], "wrong bytes between {at} and {}", at + length as u64);
        at += length as u64;
    }
    let rest = stream.read(&mut got)?;
    ensure!(rest == 0, "{rest} bytes more came than were sent");
    Ok(())
}
