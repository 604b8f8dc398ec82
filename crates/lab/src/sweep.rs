//! Datagrams of many sizes, there and back: what is lost at one size only is found by sending all of them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::Vm;

/// How long the whole of it may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A datagram without an answer for so long is sent again, on a machine whose buffers overflow at times.
const AGAIN: Duration = Duration::from_millis(500);
/// Datagrams under way at once.
const WINDOW: usize = 16;
/// What is sent: bytes that depend on the size and on their place.
const LARGEST: usize = 9000;

impl Vm {
    /// Sends UDP datagrams with payloads of each of these sizes, bytes, to the guest `to` that calls itself `own` and is called `address` from here, and has them sent
    /// back. Those that fit into the path's MTU leave whole, with the bit that forbids fragments; the kernel cuts the others.
    ///
    /// A datagram is sent three times at most.
    ///
    /// # Errors
    /// Of a size none came back, or other bytes did: which.
    pub fn sweep_udp(&self, to: &Vm, own: &str, address: &str, sizes: RangeInclusive<usize>) -> Result<()> {
        ensure!(*sizes.start() >= 4 && *sizes.end() <= LARGEST, "sizes are 4 to {LARGEST}, not {sizes:?}");
        let parse = |text: &str| text.parse().with_context(|| format!("`{text}` is no address"));
        let (own, address): (IpAddr, IpAddr) = (parse(own)?, parse(address)?);
        let server = to.netns().inside(|| Ok(UdpSocket::bind(SocketAddr::new(own, 0))?))?;
        let target = SocketAddr::new(address, server.local_addr()?.port());
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let client = self.netns().inside(|| {
            let client = UdpSocket::bind(SocketAddr::new(any, 0))?;
            client.connect(target)?;
            Ok(client)
        })?;
        for socket in [&server, &client] {
            socket.set_nonblocking(true)?;
        }
        let mut waiting: Vec<(usize, u32)> = sizes.rev().map(|size| (size, 0)).collect();
        let mut under_way: Vec<(usize, u32, Instant)> = Vec::new();
        let mut wrong = BTreeSet::new();
        let mut buffer = vec![0; LARGEST];
        let begin = Instant::now();
        while !(waiting.is_empty() && under_way.is_empty()) && begin.elapsed() < PATIENCE {
            while under_way.len() < WINDOW
                && let Some((size, tries)) = waiting.pop()
            {
                // Of a path's MTU that is less the kernel hears by an error on the socket; the datagram then goes again, in fragments.
                let _ = client.send(&payload(size));
                under_way.push((size, tries + 1, Instant::now()));
            }
            let mut idle = true;
            while let Ok((length, from)) = server.recv_from(&mut buffer) {
                idle = false;
                let _ = server.send_to(buffer.get(..length).unwrap_or_default(), from);
            }
            while let Ok(length) = client.recv(&mut buffer) {
                idle = false;
                if buffer.get(..length) != Some(&payload(length)) {
                    wrong.insert(length);
                }
                under_way.retain(|(size, _, _)| *size != length);
            }
            let late = |(_, _, sent): &(usize, u32, Instant)| sent.elapsed() > AGAIN;
            for (size, tries, _) in under_way.extract_if(.., |entry| late(entry)) {
                ensure!(tries < 3, "a datagram of {size} bytes from {} to {address} does not come back", self.name());
                waiting.push((size, tries));
            }
            if idle {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        ensure!(wrong.is_empty(), "{} -> {address}: other bytes came back than were sent: {wrong:?}", self.name());
        ensure!(
            waiting.is_empty(),
            "{} -> {address}: {} sizes are left after {PATIENCE:?}",
            self.name(),
            waiting.len()
        );
        Ok(())
    }
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ size) as u8).collect()
}
