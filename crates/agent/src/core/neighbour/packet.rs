//! ARP (RFC 826) and neighbour discovery (RFC 4861) packets: what is asked, and what is said. Untagged Ethernet; whatever is not exactly as it should be says nothing.

use super::super::wire::{Eth, ICMPV6, IPV4, IPV6, icmpv6_checksum, ipv6, put, take};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BROADCAST: Eth = [0xff; 6];
const ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, six and four bytes of address.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// "Source link-layer address" and "target link-layer address" (RFC 4861 section 4.6.1); a length of 1 is eight bytes.
const SOURCE_ADDRESS: [u8; 2] = [1, 1];
const TARGET_ADDRESS: [u8; 2] = [2, 1];
/// Flags of an advertisement: from a router, override; not solicited.
const ANNOUNCED: u8 = 0xa0;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Length of an IPv6 header behind that of Ethernet.
const ICMP_AT: usize = 14 + 40;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Its link-layer address.
    pub mac: Eth,
    /// Its address; `None`: it has none of that family, and asks so that nobody takes it for another's.
    pub ip: Option<IpAddr>,
}

/// Asks for an address: all, or one that had it last.
pub fn ask(asker: &Asker, target: IpAddr, last: Option<Eth>) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => {
            // A probe (RFC 5227 section 1.1) has no sender's address.
            let from = match asker.ip {
                Some(IpAddr::V4(ip)) => ip,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            arp(1, (asker.mac, last.unwrap_or(BROADCAST)), (asker.mac, from), ([0; 6], target))
        }
        IpAddr::V6(target) => {
            let from = match asker.ip {
                Some(IpAddr::V6(ip)) => ip,
                _ => link_local(asker.mac),
            };
            // RFC 4291 section 2.7.1.
            let [.., a, b, c] = target.octets();
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
            let (eth, to) = last.map_or((multicast(group), group), |last| (last, target));
            nd((asker.mac, eth), (from, to), SOLICITATION, 0, target, SOURCE_ADDRESS)
        }
    }
}

/// Says to all who has an address: a gratuitous ARP request (RFC 5227 section 3), or an unsolicited advertisement (RFC 4861 section 7.2.6).
pub fn announce(mac: Eth, ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => arp(1, (mac, BROADCAST), (mac, ip), ([0; 6], ip)),
        IpAddr::V6(ip) => {
            nd((mac, multicast(ALL_NODES)), (ip, ALL_NODES), ADVERTISEMENT, ANNOUNCED, ip, TARGET_ADDRESS)
        }
    }
}

/// Formed of a MAC address (RFC 4291 appendix A).
fn link_local([a, b, c, d, e, f]: Eth) -> Ipv6Addr {
    let word = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

/// RFC 2464 section 7.
fn multicast(group: Ipv6Addr) -> Eth {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn ethernet((from, to): (Eth, Eth), kind: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from);
    frame.extend(kind);
    frame
}

fn arp(op: u16, eth: (Eth, Eth), sender: (Eth, Ipv4Addr), target: (Eth, Ipv4Addr)) -> Vec<u8> {
    let mut frame = ethernet(eth, ARP);
    frame.extend(ARP_HEAD);
    frame.extend(op.to_be_bytes());
    for (mac, ip) in [sender, target] {
        frame.extend(mac);
        frame.extend(ip.octets());
    }
    frame
}

fn nd(
    eth: (Eth, Eth),
    (from, to): (Ipv6Addr, Ipv6Addr),
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: [u8; 2],
) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend(option);
    icmp.extend(eth.0);
    let sum = icmpv6_checksum(from, to, &icmp);
    put(&mut icmp, 2, sum);
    let mut frame = ethernet(eth, IPV6);
    frame.extend(ipv6(255, from, to, &icmp).expect("a message of 32 bytes has a header"));
    frame.extend(icmp);
    frame
}

/// Somebody says who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The address.
    pub ip: IpAddr,
    /// Who has it: also the sender of the frame, or nothing is said.
    pub mac: Eth,
    /// To whom the frame was sent.
    pub to: Eth,
    /// It is an answer, not an announcement.
    pub answer: bool,
}

/// What a frame says, if it is an ARP packet or an advertisement as it should be.
pub fn read(frame: &[u8]) -> Option<Said> {
    let to: Eth = take(frame, 0)?;
    let from: Eth = take(frame, 6)?;
    let (ip, mac, answer) = match take::<2>(frame, 12)? {
        ARP => {
            if take::<6>(frame, 14)? != ARP_HEAD {
                return None;
            }
            let op = u16::from_be_bytes(take(frame, 20)?);
            let ip = Ipv4Addr::from(take::<4>(frame, 28)?);
            (IpAddr::V4(ip), take(frame, 22)?, op == 2)
        }
        IPV6 => advertisement(frame, from)?,
        _ => return None,
    };
    // Who speaks for another is no neighbour to rely on. And a group is nobody.
    let honest = mac == from && mac[0] & 1 == 0 && mac != [0; 6];
    (honest && !ip.is_unspecified() && !ip.is_multicast()).then_some(Said {
        ip,
        mac,
        to,
        answer: answer && to[0] & 1 == 0,
    })
}

/// RFC 4861 section 7.1.2.
fn advertisement(frame: &[u8], sender: Eth) -> Option<(IpAddr, Eth, bool)> {
    let length = usize::from(u16::from_be_bytes(take(frame, 18)?));
    let icmp = frame.get(ICMP_AT..ICMP_AT.checked_add(length)?)?;
    let ([next, hops], [kind, code]) = (take::<2>(frame, 20)?, take::<2>(icmp, 0)?);
    let (from, to) = (Ipv6Addr::from(take::<16>(frame, 22)?), Ipv6Addr::from(take::<16>(frame, 38)?));
    if (next, hops, kind, code) != (ICMPV6, 255, ADVERTISEMENT, 0) || icmpv6_checksum(from, to, icmp) != 0 {
        return None;
    }
    let flags = *icmp.get(4)?;
    let target = Ipv6Addr::from(take::<16>(icmp, 8)?);
    let mut options = icmp.get(24..)?;
    let mut mac = None;
    while let [kind, units, ..] = *options {
        let (option, rest) = options.split_at_checked(usize::from(units) * 8)?;
        if units == 0 {
            return None;
        }
        if [kind, units] == TARGET_ADDRESS {
            mac = Some(take(option, 2)?);
        }
        options = rest;
    }
    // An answer to one may leave it out (section 4.4).
    Some((IpAddr::V6(target), mac.unwrap_or(sender), flags & 0x40 != 0))
}

/// Where an IP packet comes from.
pub fn source(frame: &[u8]) -> Option<IpAddr> {
    match take::<2>(frame, 12)? {
        IPV4 => Some(Ipv4Addr::from(take::<4>(frame, 26)?).into()),
        IPV6 => Some(Ipv6Addr::from(take::<16>(frame, 22)?).into()),
        _ => None,
    }
}

/// Whether a frame is of the family of an address.
pub fn fits(frame: &[u8], ip: IpAddr) -> bool {
    take(frame, 12) == Some(if ip.is_ipv4() { IPV4 } else { IPV6 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    const US: Eth = [0xf2, 1, 10, 0, 0, 1];
    const THEM: Eth = [2, 0, 0, 0, 0, 9];

    fn answer_v4() -> Vec<u8> {
        arp(2, (THEM, US), (THEM, Ipv4Addr::new(10, 0, 0, 9)), (US, Ipv4Addr::new(10, 0, 0, 1)))
    }

    fn answer_v6() -> Vec<u8> {
        let (them, us) = ("fd00::9".parse().unwrap(), "fd00::1".parse().unwrap());
        nd((THEM, US), (them, us), ADVERTISEMENT, 0x60, them, TARGET_ADDRESS)
    }

    #[test]
    fn answers_and_announcements_are_told_apart() {
        for (frame, ip) in [(answer_v4(), "10.0.0.9"), (answer_v6(), "fd00::9")] {
            let ip = ip.parse().unwrap();
            assert_eq!(read(&frame), Some(Said { ip, mac: THEM, to: US, answer: true }));
            let to_all = read(&announce(THEM, ip)).unwrap();
            assert_eq!((to_all.ip, to_all.mac, to_all.answer), (ip, THEM, false));
        }
    }

    #[test]
    fn who_speaks_for_another_says_nothing() {
        for mut frame in [answer_v4(), answer_v6()] {
            frame[11] ^= 1;
            assert_eq!(read(&frame), None);
        }
    }

    #[test]
    fn a_damaged_or_forwarded_advertisement_says_nothing() {
        let mut damaged = answer_v6();
        damaged[60] ^= 1;
        assert_eq!(read(&damaged), None);
        let mut forwarded = answer_v6();
        forwarded[21] = 254;
        assert_eq!(read(&forwarded), None);
    }

    #[test]
    fn a_question_is_as_the_standards_write_it() {
        let asker = Asker { mac: US, ip: Some("10.0.0.1".parse().unwrap()) };
        let arp = ask(&asker, "10.0.0.9".parse().unwrap(), None);
        assert_eq!(arp[..6], BROADCAST);
        assert_eq!(arp.len(), 42);
        assert_eq!(arp[38..], [10, 0, 0, 9]);
        let asker = Asker { mac: US, ip: Some("fd00::1".parse().unwrap()) };
        let ns = ask(&asker, "fd00::12:3456".parse().unwrap(), None);
        assert_eq!(ns[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let (from, to) = ("fd00::1".parse().unwrap(), "ff02::1:ff12:3456".parse().unwrap());
        assert_eq!(icmpv6_checksum(from, to, &ns[ICMP_AT..]), 0);
        // Without an address of its own a host asks from its link-local one.
        let asker = Asker { mac: US, ip: None };
        let ns = ask(&asker, "fd00::9".parse().unwrap(), Some(THEM));
        assert_eq!((&ns[..6], &ns[22..24]), (&THEM[..], &[0xfe, 0x80][..]));
        assert_eq!(link_local(US), "fe80::f001:aff:fe00:1".parse::<Ipv6Addr>().unwrap());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..128),
            base in 0..2_usize,
            at in 0..90_usize,
            cut in 0..100_usize,
        ) {
            let _ = (read(&bytes), source(&bytes));
            let mut frame = [answer_v4(), answer_v6()][base].clone();
            if let Some(place) = frame.get_mut(at) {
                *place = bytes.first().copied().unwrap_or(7);
            }
            frame.truncate(cut);
            if let Some(said) = read(&frame) {
                prop_assert!(said.mac[0] & 1 == 0);
            }
        }
    }
}
