//! Raw Ethernet frames: seen at a guest's `eth0`, and sent from there.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
            socket, sockopt,
        },
        time::TimeVal,
    },
};

use crate::{Vm, lock::locked, wait::wait_until};

/// A capture keeps the newest frames, at most so many.
const MAX_FRAMES: usize = 100_000;
/// `PACKET_OUTGOING` of packet(7): a frame that this namespace sent.
const OUTGOING: u8 = 4;

/// Frames that arrive at a guest, collected until this is dropped.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<VecDeque<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Vm {
    /// Begins to collect the frames that arrive at `eth0`, whomever they are for.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn capture(&self) -> Result<Capture> {
        let socket = self.netns().inside(open)?;
        // So that the thread sees in time that it is to end.
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000))?;
        let (frames, stop) = (Arc::new(Mutex::new(VecDeque::new())), Arc::new(AtomicBool::new(false)));
        let (kept, end) = (frames.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) else { continue };
                if from.is_some_and(|from| from.pkttype() == OUTGOING) {
                    continue;
                }
                let mut kept = locked(&kept);
                if kept.len() == MAX_FRAMES {
                    kept.pop_front();
                }
                kept.push_back(buffer.get(..length).unwrap_or_default().to_vec());
            }
        });
        Ok(Capture { frames, stop, thread: Some(thread) })
    }

    /// Sends a frame from `eth0` as it is, from the destination MAC on, without the checksum at its end.
    ///
    /// # Errors
    /// It is longer than the MTU allows.
    pub fn inject(&self, frame: &[u8]) -> Result<()> {
        let socket = self.netns().inside(open)?;
        let sent = send(socket.as_raw_fd(), frame, MsgFlags::empty());
        let sent =
            sent.with_context(|| format!("cannot send a frame of {} bytes from {}", frame.len(), self.name()))?;
        ensure!(sent == frame.len(), "only {sent} of {} bytes were sent", frame.len());
        Ok(())
    }
}

/// A packet socket on `eth0` of the current namespace.
fn open() -> Result<OwnedFd> {
    let interfaces = getifaddrs()?;
    let mut addresses = interfaces.filter(|interface| interface.interface_name == "eth0").filter_map(|i| i.address);
    let eth0 = addresses.find_map(|address| address.as_link_addr().copied()).context("there is no eth0")?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    // The address has no protocol in it: binding then keeps the one that the socket was made with.
    bind(socket.as_raw_fd(), &eth0)?;
    Ok(socket)
}

impl Capture {
    /// The frames that arrived until now and were not taken by [`Capture::take`].
    pub fn frames(&self) -> Vec<Vec<u8>> {
        locked(&self.frames).iter().cloned().collect()
    }

    /// Takes the frames that arrived until now.
    pub fn take(&self) -> Vec<Vec<u8>> {
        locked(&self.frames).drain(..).collect()
    }

    /// Waits for a frame that `wanted` says yes to.
    ///
    /// # Errors
    /// None came before `timeout`: how many others did, and the last of them.
    pub fn wait_for(&self, what: &str, timeout: Duration, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        wait_until(what, timeout, || {
            let frames = locked(&self.frames);
            let found = frames.iter().find(|frame| wanted(frame));
            found.cloned().with_context(|| {
                let last =
                    frames.back().map(|frame| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
                format!("{} other frames came, the last: {}", frames.len(), last.unwrap_or_default())
            })
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
