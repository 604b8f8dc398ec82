//! The little of netlink(7) and rtnetlink(7) that is needed: questions to the kernel about devices and addresses, and its answers. In the network namespace of the thread.
//!
//! By hand: a few requests of some forty bytes are no reason for a library of its own.

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};
use std::os::fd::{AsRawFd, OwnedFd};

// linux/netlink.h
const NLM_F_REQUEST: u16 = 0x1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Flag of a request: done or not done, the kernel says so.
pub const NLM_F_ACK: u16 = 0x4;
/// Flag of a question: for all that there is.
pub const NLM_F_DUMP: u16 = 0x300;
/// Flags of a request that makes something: what is not there, and never what is.
pub const NLM_F_NEW: u16 = 0x400 | 0x200;
// linux/rtnetlink.h
pub const RTM_NEWLINK: u16 = 16;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_NEWADDR: u16 = 20;
pub const RTM_GETADDR: u16 = 22;
// linux/if_addr.h, linux/if_link.h: attributes of addresses and of links.
pub const IFA_ADDRESS: u16 = 1;
pub const IFA_LOCAL: u16 = 2;
pub const IFLA_IFNAME: u16 = 3;
pub const IFLA_MTU: u16 = 4;

/// struct nlmsghdr: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// As much as the kernel says at once.
pub const BUFFER: usize = 32 * 1024;

/// A socket for one question after the other, to a kernel that answers at once, if it does: `patience`, in seconds, is how long that may take.
pub fn open(patience: i64) -> Result<OwnedFd> {
    let fd = connect(0, SockFlag::empty())?;
    setsockopt(&fd, ReceiveTimeout, &TimeVal::seconds(patience)).context("netlink: no time limit")?;
    Ok(fd)
}

/// A socket that does not block, on which the kernel tells of changes in these groups.
pub fn listen(groups: u32) -> Result<OwnedFd> {
    connect(groups, SockFlag::SOCK_NONBLOCK)
}

fn connect(groups: u32, flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).context("netlink")?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).context("netlink")?;
    Ok(fd)
}

/// Asks, waits for the whole answer, and gives each of its messages: its type and its body.
///
/// # Errors
/// What the kernel refuses with is an [`Errno`] in the error.
pub fn ask(fd: &OwnedFd, kind: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<()> {
    let length = u32::try_from(HEADER + body.len())?;
    let mut question = length.to_ne_bytes().to_vec();
    question.extend(kind.to_ne_bytes());
    question.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // Sequence number and port: there is but one question at a time on a socket.
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
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    return match number(body, 0).map(u32::cast_signed) {
                        Some(0) => Ok(()),
                        Some(error) => Err(Errno::from_raw(error.wrapping_neg())).context("netlink"),
                        None => bail!("netlink: an error has no number"),
                    };
                }
                kind => each(kind, body),
            }
            if flags & (NLM_F_DUMP | NLM_F_ACK) == 0 {
                return Ok(());
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Attributes (struct rtattr) one after the other: type and value. Ends at what cannot be read.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(short(bytes, 0)?), short(bytes, 2)?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number of 32 bits at a place, in the host's order.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
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
    fn attributes_end_where_they_cannot_be_read() {
        let (length, kind) = (5_u16.to_ne_bytes(), 3_u16.to_ne_bytes());
        let one = [length[0], length[1], kind[0], kind[1], 7, 0, 0, 0];
        assert_eq!(attributes(&one).collect::<Vec<_>>(), [(3, &[7][..])]);
        for bytes in [&one[..4], &[0; 8], &[0xff; 8], &one[..1]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }

    #[test]
    fn a_refusal_has_its_number() {
        let fd = open(5).unwrap();
        // struct ifinfomsg, of a device that cannot be.
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let refused = ask(&fd, RTM_GETLINK, NLM_F_ACK, &body, |_, _| panic!("there is such a device")).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&Errno::ENODEV), "{refused:#}");
    }
}
