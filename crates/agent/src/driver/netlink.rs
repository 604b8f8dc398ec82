//! The little of rtnetlink(7) that is needed: a network device goes up, and gets an address. In the network namespace of the thread.
//!
//! By hand: two requests of some forty bytes are no reason for a library of its own.

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};
use std::{net::Ipv4Addr, os::fd::AsRawFd};

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_EXCL: u16 = 0x200;
const HEADER: usize = 16;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RT_SCOPE_LINK: u8 = 253;

/// The kernel answers at once; should it not, nobody waits for ever.
const PATIENCE_SECONDS: i64 = 5;

/// Switches a device on, if it is not.
pub fn up(device: &str) -> Result<()> {
    // struct ifinfomsg: family, padding, type, index, flags, which flags.
    let mut body = vec![0; 4];
    body.extend(index(device)?.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    request(RTM_NEWLINK, 0, &body).with_context(|| format!("cannot switch on the device {device}"))
}

/// Gives a device an address that no other host is told of (/32, of link scope), if it has not got it.
pub fn add_address(device: &str, ip: Ipv4Addr) -> Result<()> {
    // struct ifaddrmsg: family, prefix length, flags, scope, index; and the two attributes.
    let mut body = vec![AF_INET, 32, 0, RT_SCOPE_LINK];
    body.extend(index(device)?.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(ip.octets());
    }
    request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
        .with_context(|| format!("cannot give the device {device} the address {ip}"))
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("there is no network device {device}"))
}

/// Sends a request and waits until the kernel has done it. That it was so before is as good.
fn request(kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let length = u32::try_from(HEADER + body.len())?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    // Sequence number and port: there is but one request on this socket.
    message.extend([0; 8]);
    message.extend(body);

    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    setsockopt(&kernel, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
    bind(kernel.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    send(kernel.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; 4_096];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let (Some([a, b]), Some([c, d, e, f])) = (part::<2>(answer, 4), part::<4>(answer, HEADER)) else {
        bail!("the kernel's answer is cut off");
    };
    ensure!(u16::from_ne_bytes([a, b]) == NLMSG_ERROR, "the kernel's answer is none to a request");
    match i32::from_ne_bytes([c, d, e, f]).checked_neg().map(Errno::from_raw) {
        _ if [c, d, e, f] == [0; 4] => Ok(()),
        Some(Errno::EEXIST) => Ok(()),
        Some(error) => Err(error.into()),
        None => bail!("the kernel's answer has no number of an error"),
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
