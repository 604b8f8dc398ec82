//! What is done to network devices: one goes up, and gets an address. In the network namespace of the thread.

use super::netlink::{IFA_ADDRESS, IFA_LOCAL, NLM_F_ACK, NLM_F_NEW, RTM_NEWADDR, RTM_NEWLINK, ask, open};
use anyhow::{Context, Result};
use nix::{errno::Errno, net::if_::if_nametoindex};
use std::net::Ipv4Addr;

const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const RT_SCOPE_LINK: u8 = 253;
/// In seconds. Should the kernel not answer, nobody waits for ever.
const PATIENCE: i64 = 5;

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
    request(RTM_NEWADDR, NLM_F_NEW, &body).with_context(|| format!("cannot give the device {device} the address {ip}"))
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("there is no network device {device}"))
}

/// Waits until the kernel has done it. That it was so before is as good.
fn request(kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    match ask(&open(PATIENCE)?, kind, NLM_F_ACK | flags, body, |_, _| ()) {
        Err(error) if error.downcast_ref() == Some(&Errno::EEXIST) => Ok(()),
        done => done,
    }
}
