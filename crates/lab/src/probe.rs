//! A constant stream of numbered requests, to count what a fault or a restart loses, and when.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::Vm;

/// How long an answer may take after the last request.
const GRACE: Duration = Duration::from_secs(1);
/// How long a receiver sleeps at most before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(50);
/// A probe ends by itself after so many requests: close to three hours at 100 a second.
const MAX_REQUESTS: u64 = 1_000_000;

/// A probe that runs. Dropped, it stops.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    begin: Instant,
    interval: Duration,
    sender: Option<JoinHandle<Vec<Duration>>>,
    receivers: Vec<JoinHandle<BTreeMap<u64, u64>>>,
    echo: Option<JoinHandle<()>>,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number, from 0.
    pub number: u64,
    /// When it was sent, since the probe's start.
    pub at: Duration,
}

/// What a probe saw.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// Requests sent.
    pub sent: u64,
    /// Those without an answer, in order.
    pub lost: Vec<Lost>,
    /// Answers beyond one a request.
    pub duplicates: u64,
    /// How long it ran.
    pub duration: Duration,
    /// By how much a request left late, at most: a machine with too much to do.
    pub late: Duration,
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent in {:.1?}, {} lost", self.sent, self.duration, self.lost.len())?;
        if self.duplicates > 0 {
            write!(f, ", {} duplicates", self.duplicates)?;
        }
        for lost in self.lost.iter().take(20) {
            write!(f, "\n  lost number {} at {:.3?}", lost.number, lost.at)?;
        }
        if self.lost.len() > 20 { write!(f, "\n  and {} more", self.lost.len() - 20) } else { Ok(()) }
    }
}

/// What carries the requests.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Icmp(u16),
    Icmp6(u16),
    Udp,
}

impl Vm {
    /// Sends an ICMP echo request to `address` every `interval` until stopped: 10 ms is 100 a second.
    ///
    /// # Errors
    /// `address` is none, or this guest has no route to it.
    pub fn probe(&self, address: &str, interval: Duration) -> Result<Probe> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let ip: IpAddr = address.parse().with_context(|| format!("`{address}` is no address"))?;
        let identifier = (NEXT.fetch_add(1, Ordering::Relaxed) ^ std::process::id()) as u16;
        let (family, protocol, kind) = match ip {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, Kind::Icmp(identifier)),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, Kind::Icmp6(identifier)),
        };
        let open = || -> Result<UdpSocket> {
            let fd: OwnedFd = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            // Of UdpSocket only connect, send and recv are used, which are the same for any datagram socket.
            let socket = UdpSocket::from(fd);
            socket.connect(SocketAddr::new(ip, 0))?;
            Ok(socket)
        };
        let socket =
            self.netns().inside(open).with_context(|| format!("cannot probe {address} from {}", self.name()))?;
        start(vec![socket], kind, interval, None)
    }

    /// Sends a UDP packet to the guest `to` at `address` every `interval` until stopped, and has them sent back.
    ///
    /// # Errors
    /// `to` does not have this address, or this guest has no route to it.
    pub fn probe_udp(&self, to: &Vm, address: &str, interval: Duration) -> Result<Probe> {
        self.probe_flows(to, address, interval, 1)
    }

    /// The same from so many ports in turn, where the way depends on the port (ECMP): request n leaves by port n modulo `flows`.
    ///
    /// # Errors
    /// As for [`Vm::probe_udp`].
    pub fn probe_flows(&self, to: &Vm, address: &str, interval: Duration, flows: usize) -> Result<Probe> {
        let ip: IpAddr = address.parse().with_context(|| format!("`{address}` is no address"))?;
        let server = to.netns().inside(|| Ok(UdpSocket::bind(SocketAddr::new(ip, 0))?));
        let server = server.with_context(|| format!("{} cannot listen at {address}", to.name()))?;
        let target = server.local_addr()?;
        let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let clients = self.netns().inside(|| {
            let client = || {
                let client = UdpSocket::bind(SocketAddr::new(any, 0))?;
                client.connect(target)?;
                Ok(client)
            };
            (0..flows).map(|_| client()).collect::<Result<Vec<_>>>()
        });
        let clients = clients.with_context(|| format!("cannot probe {target} from {}", self.name()))?;
        start(clients, Kind::Udp, interval, Some(server))
    }
}

fn start(sockets: Vec<UdpSocket>, kind: Kind, interval: Duration, server: Option<UdpSocket>) -> Result<Probe> {
    let stop = Arc::new(AtomicBool::new(false));
    let finished = Arc::new(AtomicBool::new(false));
    let mut outputs = Vec::new();
    for socket in &sockets {
        socket.set_read_timeout(Some(POLL))?;
        outputs.push(socket.try_clone()?);
    }
    let begin = Instant::now();
    let sender = {
        let (stop, finished) = (stop.clone(), finished.clone());
        std::thread::spawn(move || {
            let mut sent = Vec::new();
            for (number, output) in (0..MAX_REQUESTS).zip(outputs.iter().cycle()) {
                let due = begin + interval * u32::try_from(number).unwrap_or(u32::MAX);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                sent.push(begin.elapsed());
                // What cannot be sent (no route, no neighbour yet) is lost, and counted so.
                let _ = output.send(&request(kind, number));
            }
            let end = Instant::now() + GRACE;
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            finished.store(true, Ordering::SeqCst);
            sent
        })
    };
    let receiver = |socket: UdpSocket| {
        let finished = finished.clone();
        std::thread::spawn(move || {
            let mut answers = BTreeMap::new();
            let mut buffer = [0; 2048];
            while !finished.load(Ordering::SeqCst) {
                let Ok(length) = socket.recv(&mut buffer) else { continue };
                if let Some(number) = buffer.get(..length).and_then(|packet| answer(kind, packet)) {
                    *answers.entry(number).or_insert(0) += 1;
                }
            }
            answers
        })
    };
    let receivers = sockets.into_iter().map(receiver).collect();
    let echo = server.map(|server| {
        let _ = server.set_read_timeout(Some(POLL));
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !finished.load(Ordering::SeqCst) {
                if let Ok((length, from)) = server.recv_from(&mut buffer) {
                    let _ = server.send_to(buffer.get(..length).unwrap_or_default(), from);
                }
            }
        })
    });
    Ok(Probe { stop, begin, interval, sender: Some(sender), receivers, echo })
}

impl Probe {
    /// How long it runs: the clock of [`Lost::at`].
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Stops sending, waits a second for late answers, and reports.
    ///
    /// # Errors
    /// A thread of the probe panicked.
    pub fn stop(mut self) -> Result<ProbeReport> {
        self.stop.store(true, Ordering::SeqCst);
        let panicked = || anyhow!("a thread of the probe panicked");
        let sent = self.sender.take().and_then(|thread| thread.join().ok()).ok_or_else(panicked)?;
        let mut answers = BTreeMap::new();
        for receiver in self.receivers.drain(..) {
            for (number, count) in receiver.join().map_err(|_| panicked())? {
                *answers.entry(number).or_insert(0) += count;
            }
        }
        if let Some(echo) = self.echo.take() {
            echo.join().map_err(|_| panicked())?;
        }
        let numbered = sent.iter().enumerate().map(|(number, at)| Lost { number: number as u64, at: *at });
        Ok(ProbeReport {
            sent: sent.len() as u64,
            lost: numbered.filter(|request| !answers.contains_key(&request.number)).collect(),
            duplicates: answers.values().map(|count: &u64| count - 1).sum(),
            late: (0..).zip(&sent).map(|(n, at)| at.saturating_sub(self.interval * n)).max().unwrap_or_default(),
            duration: sent.last().copied().unwrap_or_default(),
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// A request: an ICMP echo (RFC 792, RFC 4443 section 4.1) whose payload is its number, or just the number.
fn request(kind: Kind, number: u64) -> Vec<u8> {
    let (kind, identifier) = match kind {
        Kind::Icmp(identifier) => (8, identifier),
        Kind::Icmp6(identifier) => (128, identifier),
        Kind::Udp => return number.to_be_bytes().to_vec(),
    };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(identifier.to_be_bytes());
    packet.extend((number as u16).to_be_bytes());
    packet.extend(number.to_be_bytes());
    if kind == 8 {
        // ICMPv6's covers a pseudo-header, and the kernel fills it in.
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// The number of the request that this packet answers, if it is one of ours.
fn answer(kind: Kind, packet: &[u8]) -> Option<u64> {
    let (icmp, reply, identifier) = match kind {
        Kind::Icmp(identifier) => {
            // A raw IPv4 socket gives the IP header too; its length is in the low half of the first byte, in words.
            let header = usize::from(packet.first()? & 0xf) * 4;
            (packet.get(header..)?, 0, identifier)
        }
        Kind::Icmp6(identifier) => (packet, 129, identifier),
        Kind::Udp => return Some(u64::from_be_bytes(packet.try_into().ok()?)),
    };
    let ours = *icmp.first()? == reply && icmp.get(4..6)? == identifier.to_be_bytes();
    ours.then_some(u64::from_be_bytes(icmp.get(8..16)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_right_checksum_and_its_reply_is_recognized() {
        let packet = request(Kind::Icmp(0x1234), 70_000);
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the sum over all, checksum included, is all ones (RFC 1071)");
        let mut reply = vec![0; 20];
        reply[0] = 0x45;
        reply.extend(&packet);
        assert_eq!(answer(Kind::Icmp(0x1234), &reply), None, "our own request is no answer");
        reply[20] = 0;
        assert_eq!(answer(Kind::Icmp(0x1234), &reply), Some(70_000));
        assert_eq!(answer(Kind::Icmp(0x1235), &reply), None);
        assert_eq!(answer(Kind::Icmp(0x1234), &reply[..30]), None);
    }
}
