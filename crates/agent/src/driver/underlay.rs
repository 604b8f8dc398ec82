//! The underlay's MTU: that of the device with the address that other hosts send their tunnels to, and of whatever device has it later.
//!
//! Asked by netlink (rtnetlink(7)), which answers for the network namespace of this process; `/sys` may show another one's. A device or an address that changes is told of, and
//! then all is asked again.

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::TimeVal,
    },
};
use std::{
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};
use tokio::{io::unix::AsyncFd, time::sleep};

/// What to answer, and flags of questions (netlink(7)).
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// Ends of answers.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Questions and answers (rtnetlink(7)).
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// Attributes of addresses and links.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const NAME: u16 = 3;
const MTU: u16 = 4;
/// A device's flag: what it sends goes no further than this host.
const LOOPBACK: u32 = 8;
/// Who wants to be told: changes of links, of IPv4 and of IPv6 addresses.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// As much as the kernel says at once.
const BUFFER: usize = 32 * 1024;
/// The kernel answers at once, if it does.
const PATIENCE: i64 = 1;
/// How long changes are waited for that come together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Pause before a broken connection is made anew.
const RETRY: Duration = Duration::from_secs(5);

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether what it sends stays on this host.
    pub loopback: bool,
}

/// The device that has an address now; `None`: none has.
pub fn device(ip: IpAddr) -> Result<Option<Device>> {
    let fd = connect(0, SockFlag::empty())?;
    setsockopt(&fd, ReceiveTimeout, &TimeVal::new(PATIENCE, 0)).context("netlink: no time limit")?;
    let mut index = None;
    ask(&fd, GET_ADDRESS, DUMP, &[0; 8], |kind, body| {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let own = || {
            attributes(body.get(8..)?)
                .find(|(kind, _)| *kind == LOCAL)
                .or(attributes(body.get(8..)?).find(|(kind, _)| *kind == ADDRESS))
        };
        if kind == NEW_ADDRESS && own().and_then(|(_, bytes)| address(bytes)) == Some(ip) {
            index = number(body, 4);
        }
    })?;
    let Some(index) = index else { return Ok(None) };
    // struct ifinfomsg: family, type, index, flags, change.
    let mut question = [0; 16];
    question[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut found = None;
    ask(&fd, GET_LINK, 0, &question, |kind, body| {
        let attribute = |wanted: u16| attributes(body.get(16..)?).find(|(kind, _)| *kind == wanted).map(|(_, b)| b);
        if kind == NEW_LINK
            && let (Some(mtu), Some(flags)) = (attribute(MTU).and_then(|b| number(b, 0)), number(body, 8))
        {
            let name = attribute(NAME).unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            found = Some(Device { name, mtu, loopback: flags & LOOPBACK != 0 });
        }
    })?;
    Ok(found)
}

/// Tells whenever another device, or one with another MTU, has the address, until it hears `false`. `before`: what is known.
pub async fn follow(ip: IpAddr, mut before: Option<Device>, tell: impl Fn(Option<Device>) -> bool) {
    loop {
        let error = match changes(ip, &mut before, &tell).await {
            Ok(()) => return,
            Err(error) => error,
        };
        tracing::debug!("changes of devices are not heard of: {error:#}");
        sleep(RETRY).await;
    }
}

/// Until nobody wants to know any more.
async fn changes(ip: IpAddr, before: &mut Option<Device>, tell: &impl Fn(Option<Device>) -> bool) -> Result<()> {
    // Its successor is unsafe to call, as who implements `AsRawFd` may do that wrongly: an `OwnedFd` does not.
    #[allow(deprecated)]
    let fd = AsyncFd::new(connect(GROUPS, SockFlag::SOCK_NONBLOCK)?).context("netlink")?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = device(ip)?;
        if now != *before {
            before.clone_from(&now);
            if !tell(now) {
                return Ok(());
            }
        }
        let mut ready = fd.readable().await.context("netlink")?;
        sleep(TOGETHER).await;
        loop {
            match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => break,
                // More changes than the kernel keeps: all is asked again anyway.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(error) => return Err(error).context("netlink"),
            }
        }
        ready.clear_ready();
    }
}

fn connect(groups: u32, flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).context("netlink")?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).context("netlink")?;
    Ok(fd)
}

/// Asks, and gives each message of the answer: its type and its body.
fn ask(fd: &OwnedFd, kind: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<()> {
    const HEADER: usize = 16;
    let length = u32::try_from(HEADER + body.len())?;
    // struct nlmsghdr: length, type, flags, sequence, port.
    let mut question = Vec::new();
    question.extend(length.to_ne_bytes());
    question.extend(kind.to_ne_bytes());
    question.extend((REQUEST | flags).to_ne_bytes());
    question.extend([0; 8]);
    question.extend(body);
    send(fd.as_raw_fd(), &question, MsgFlags::empty()).context("netlink")?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).context("netlink: no answer")?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let (Some(length), Some(kind)) = (number(rest, 0), short(rest, 4)) {
            let length = usize::try_from(length)?;
            let Some(body) = rest.get(HEADER..length) else { bail!("netlink: a message is cut off") };
            match kind {
                DONE => return Ok(()),
                ERROR if number(body, 0) == Some(0) => return Ok(()),
                ERROR => {
                    bail!("netlink: {}", Errno::from_raw(number(body, 0).unwrap_or(0).cast_signed().wrapping_neg()))
                }
                kind => each(kind, body),
            }
            if flags & DUMP == 0 {
                return Ok(());
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Attributes one after the other: type and value. Ends at what cannot be read.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(short(bytes, 0)?), short(bytes, 2)?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_found_by_its_address() {
        let device = device(IpAddr::from([127, 0, 0, 1])).unwrap().unwrap();
        assert_eq!((device.name.as_str(), device.loopback), ("lo", true));
        assert!(device.mtu >= 1280, "{device:?}");
        assert_eq!(super::device("192.0.2.254".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn attributes_end_where_they_cannot_be_read() {
        let (length, kind) = (5_u16.to_ne_bytes(), 3_u16.to_ne_bytes());
        let one = [length[0], length[1], kind[0], kind[1], 7, 0, 0, 0];
        assert_eq!(attributes(&one).collect::<Vec<_>>(), [(3, &[7][..])]);
        for bytes in [&one[..4], &[0; 8], &[0xff; 8], &one[..1]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
