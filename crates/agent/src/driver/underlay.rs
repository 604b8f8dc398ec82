//! The underlay's MTU: that of the device with the address that other hosts send their tunnels to, and of whatever device has it later.
//!
//! Asked by netlink (rtnetlink(7)), which answers for the network namespace of this process; `/sys` may show another one's. A device or an address that changes is told of, and
//! then all is asked again.

use super::netlink::{
    self, IFA_ADDRESS, IFA_LOCAL, IFLA_IFNAME, IFLA_MTU, NLM_F_DUMP, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR,
    RTM_NEWLINK, ask, attributes, number,
};
use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};
use std::{net::IpAddr, os::fd::AsRawFd, time::Duration};
use tokio::{io::unix::AsyncFd, time::sleep};

/// A device's flag: what it sends goes no further than this host.
const LOOPBACK: u32 = 8;
/// Who wants to be told: changes of links, of IPv4 and of IPv6 addresses.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// In seconds; the agent waits meanwhile.
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
    let fd = netlink::open(PATIENCE)?;
    let mut index = None;
    ask(&fd, RTM_GETADDR, NLM_F_DUMP, &[0; 8], |kind, body| {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let own = || {
            attributes(body.get(8..)?)
                .find(|(kind, _)| *kind == IFA_LOCAL)
                .or(attributes(body.get(8..)?).find(|(kind, _)| *kind == IFA_ADDRESS))
        };
        if kind == RTM_NEWADDR && own().and_then(|(_, bytes)| address(bytes)) == Some(ip) {
            index = number(body, 4);
        }
    })?;
    let Some(index) = index else { return Ok(None) };
    // struct ifinfomsg: family, type, index, flags, change.
    let mut question = [0; 16];
    question[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut found = None;
    ask(&fd, RTM_GETLINK, 0, &question, |kind, body| {
        let attribute = |wanted: u16| attributes(body.get(16..)?).find(|(kind, _)| *kind == wanted).map(|(_, b)| b);
        if kind == RTM_NEWLINK
            && let (Some(mtu), Some(flags)) = (attribute(IFLA_MTU).and_then(|b| number(b, 0)), number(body, 8))
        {
            let name = attribute(IFLA_IFNAME).unwrap_or_default();
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
    let fd = AsyncFd::new(netlink::listen(GROUPS)?).context("netlink")?;
    let mut buffer = vec![0; netlink::BUFFER];
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

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
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
}
