//! Packets of a network's ports: what VMs send, well meant or not.

use super::{
    frame::{Arp, Body, Frame, Ip, Ports, SYN_ACK, Says},
    network::{LOOPBACKS, Network, Port, v4, v6},
};
use proptest::{option, prelude::*};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tuplenet_model::mac::Mac;

/// A frame that a port sends.
#[derive(Clone, Debug)]
pub struct Sent {
    pub ls: String,
    pub lsp: String,
    pub frame: Frame,
    pub then: Then,
}

/// What happens when it has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Then {
    /// Who got it answers.
    pub answer: bool,
    /// Who got it says that it was for nobody.
    pub error: bool,
    /// It is sent again.
    pub again: bool,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} sends {}", self.ls, self.lsp, self.frame)?;
        let Then { answer, error, again } = self.then;
        for (_, what) in [(answer, "answered"), (error, "refused"), (again, "again")].iter().filter(|(yes, _)| *yes) {
            write!(f, ", {what}")?;
        }
        Ok(())
    }
}

/// What to send, as numbers; indices wrap around.
#[derive(Clone, Debug)]
pub struct Wish {
    from: usize,
    to: usize,
    v6: bool,
    what: What,
    address: Address,
    mac: Via,
    source: Source,
    ttl: u8,
    vlan: Option<u16>,
    spoofed_mac: bool,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Ping,
    Tcp,
    Udp,
    Pong,
    Sctp,
    /// The second segment of a connection.
    TcpAnswer,
    /// An error about a packet that the other may have sent.
    Error,
    OtherProtocol(u8),
    Fragment(u8),
    /// ARP request or neighbour solicitation; with or without the option.
    Ask(bool),
    /// ARP reply or neighbour advertisement.
    Tell,
    OtherEthertype(u16),
}

/// The address that a packet is for, or that is asked for.
#[derive(Clone, Copy, Debug)]
enum Address {
    /// The other port's, which is a VM's.
    Vm,
    /// One of the other port's, by its place; that may be a router's.
    Other(usize),
    Gateway,
    /// One that a NAT rule gives.
    External,
    /// A station's, for who is in another switch.
    Station,
    /// That of a router port which leads nowhere, if there is one.
    RouterPort,
    Own,
    Nobody,
    Outside,
    Multicast,
    Loopback,
    LinkLocal,
    Unspecified,
    Broadcast,
}

#[derive(Clone, Copy, Debug)]
enum Via {
    /// The other port if it is in the same switch, else a gateway; for questions: as hosts ask.
    Right,
    Gateway,
    Other,
    Unknown,
    Broadcast,
    Multicast,
    Own,
    Reserved,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Own,
    Other,
    Gateway,
    Nobody,
    Multicast,
    Loopback,
    Unspecified,
    LinkLocal,
}

/// Any packet; more than half of them well-behaved.
pub fn plan() -> impl Strategy<Value = Wish> {
    prop_oneof![6 => behaved(), 3 => any_wish(), 1 => to_nobody()]
}

/// What a VM sends that means well.
fn behaved() -> impl Strategy<Value = Wish> {
    let what = prop_oneof![
        4 => Just(What::Ping),
        1 => Just(What::Tcp),
        1 => Just(What::Udp),
        1 => Just(What::Ask(true))
    ];
    let ttl = prop_oneof![3 => Just(64_u8), 1 => Just(255), 1 => Just(2), 1 => Just(3)];
    let address = prop_oneof![18 => Just(Address::Vm), 2 => Just(Address::Gateway), 1 => Just(Address::RouterPort)];
    // Who has no address yet asks whether another has the one that it wants.
    let source = prop_oneof![14 => Just(Source::Own), 1 => Just(Source::Unspecified)];
    wish(what, (address, Just(Via::Right), source), (ttl, Just(None), Just(false)))
}

/// Packets where a network meets a physical one: many that cross it, and what becomes of them then.
pub fn edge_plan() -> impl Strategy<Value = Wish> {
    let then = (any::<bool>(), proptest::bool::weighted(0.3), proptest::bool::weighted(0.2));
    let then = then.prop_map(|(answer, error, again)| Then { answer, error, again });
    (prop_oneof![1 => plan(), 3 => crossing()], then).prop_map(|(wish, then)| Wish { then, ..wish })
}

/// To what is outside of all networks.
pub fn outward() -> impl Strategy<Value = Wish> {
    let what = prop_oneof![2 => Just(What::Udp), 1 => Just(What::Tcp), 1 => Just(What::Sctp)];
    wish(what, (Just(Address::Outside), Just(Via::Gateway), Just(Source::Own)), (Just(64), Just(None), Just(false)))
}

/// Between inside and outside.
fn crossing() -> impl Strategy<Value = Wish> {
    let what = prop_oneof![
        4 => Just(What::Ping),
        3 => Just(What::Tcp),
        3 => Just(What::Udp),
        2 => Just(What::Sctp),
        1 => Just(What::Pong),
        1 => Just(What::TcpAnswer),
        1 => Just(What::Error),
        1 => Just(What::OtherProtocol(89)),
        1 => proptest::sample::select(vec![17, 6, 1, 58]).prop_map(What::Fragment),
    ];
    let address = prop_oneof![2 => Just(Address::Vm), 4 => Just(Address::Station), 3 => Just(Address::External), 1 => Just(Address::Outside)];
    let via = prop_oneof![8 => Just(Via::Right), 1 => Just(Via::Gateway)];
    let source = prop_oneof![12 => Just(Source::Own), 1 => Just(Source::Other), 1 => Just(Source::Gateway), 1 => Just(Source::Nobody)];
    let ttl = prop_oneof![12 => Just(64_u8), 1 => Just(2), 1 => Just(1), 1 => Just(3)];
    wish(what, (address, via, source), (ttl, Just(None), Just(false)))
}

/// What a router must not forward, sent to one; some it may.
fn to_nobody() -> impl Strategy<Value = Wish> {
    let address = prop_oneof![
        Just(Address::Multicast),
        Just(Address::Loopback),
        Just(Address::LinkLocal),
        Just(Address::Unspecified),
        Just(Address::Broadcast),
        Just(Address::Vm),
    ];
    let what = prop_oneof![Just(What::Udp), Just(What::OtherProtocol(0))];
    wish(what, (address, Just(Via::Gateway), Just(Source::Own)), (Just(64), Just(None), Just(false)))
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let what = prop_oneof![
        8 => Just(What::Ping),
        3 => Just(What::Tcp),
        3 => Just(What::Udp),
        1 => Just(What::Pong),
        1 => Just(What::OtherProtocol(89)),
        1 => Just(What::OtherProtocol(0)),
        3 => Just(What::Ask(true)),
        1 => Just(What::Ask(false)),
        1 => Just(What::Tell),
        2 => proptest::sample::select(vec![0x88b5, 0x0806, 0x0800, 0x86dd]).prop_map(What::OtherEthertype),
        1 => proptest::sample::select(vec![17, 1, 58]).prop_map(What::Fragment),
    ];
    let address = prop_oneof![
        16 => Just(Address::Other(0)),
        2 => (1..3_usize).prop_map(Address::Other),
        3 => Just(Address::Gateway),
        2 => Just(Address::RouterPort),
        1 => Just(Address::Own),
        1 => Just(Address::Nobody),
        1 => Just(Address::Outside),
        1 => Just(Address::Multicast),
        1 => Just(Address::Loopback),
        1 => Just(Address::LinkLocal),
        1 => Just(Address::Unspecified),
        1 => Just(Address::Broadcast),
    ];
    let mac = prop_oneof![
        20 => Just(Via::Right),
        3 => Just(Via::Gateway),
        1 => Just(Via::Other),
        1 => Just(Via::Unknown),
        2 => Just(Via::Broadcast),
        1 => Just(Via::Multicast),
        1 => Just(Via::Own),
        1 => Just(Via::Reserved),
    ];
    let source = prop_oneof![
        16 => Just(Source::Own),
        1 => Just(Source::Other),
        1 => Just(Source::Gateway),
        1 => Just(Source::Nobody),
        1 => Just(Source::Multicast),
        1 => Just(Source::Loopback),
        1 => Just(Source::Unspecified),
        1 => Just(Source::LinkLocal),
    ];
    let ttl = prop_oneof![8 => Just(64_u8), 4 => Just(255), 1 => Just(2), 1 => Just(1), 1 => Just(0), 1 => Just(3)];
    let vlan = option::weighted(0.06, 1..4_u16);
    let spoofed = proptest::bool::weighted(0.05);
    wish(what, (address, mac, source), (ttl, vlan, spoofed))
}

fn wish(
    what: impl Strategy<Value = What>,
    addresses: impl Strategy<Value = (Address, Via, Source)>,
    rest: impl Strategy<Value = (u8, Option<u16>, bool)>,
) -> impl Strategy<Value = Wish> {
    (0..16_usize, 0..24_usize, any::<bool>(), what, addresses, rest).prop_map(
        |(from, to, v6, what, (address, mac, source), (ttl, vlan, spoofed_mac))| Wish {
            from,
            to,
            v6,
            what,
            address,
            mac,
            source,
            ttl,
            vlan,
            spoofed_mac,
            then: Then::default(),
        },
    )
}

/// One of the port's addresses of a family.
fn address(port: &Port, v6: bool, which: usize) -> Option<IpAddr> {
    let all: Vec<IpAddr> = port.ips.iter().copied().filter(|ip| ip.is_ipv6() == v6).collect();
    all.get(which % all.len().max(1)).copied()
}

fn nobody(is_v6: bool, net: u8) -> IpAddr {
    if is_v6 { v6(net, 66).into() } else { v4(net, 66).into() }
}

impl Wish {
    /// The packet, if the network has a port that can send it.
    pub fn build(&self, network: &Network) -> Option<Sent> {
        let patched = |ls: &str| network.ports.iter().any(|port| port.outside && port.ls == ls);
        let mut senders: Vec<&Port> = network.ports.iter().filter(|p| p.chassis.is_some()).collect();
        if matches!(self.address, Address::Station) && senders.iter().any(|port| !patched(&port.ls)) {
            senders.retain(|port| !patched(&port.ls));
        }
        let from = *senders.get(self.from % senders.len().max(1))?;
        let fits = |port: &&Port| match self.address {
            Address::Vm => !port.gateway,
            Address::Station => !port.gateway && port.outside != from.outside,
            _ => true,
        };
        let others: Vec<&Port> = network.ports.iter().filter(fits).collect();
        let to = *others.get(self.to % others.len().max(1))?;
        let gateways: Vec<&Port> = network.ports.iter().filter(|p| p.gateway && p.ls == from.ls).collect();
        let gateway = gateways.get(self.to % gateways.len().max(1)).copied();
        // The family that both have, if they have only one.
        let has = |port: &Port, v6| address(port, v6, 0).is_some();
        let both = |v6| has(from, v6) && has(to, v6);
        let v6 = if both(self.v6) || !both(!self.v6) { self.v6 } else { !self.v6 };

        let externals: Vec<IpAddr> = network.externals.iter().copied().filter(|ip| ip.is_ipv6() == v6).collect();
        let external = externals.get(self.to % externals.len().max(1)).copied();
        let target = self.target(from, to, gateway, external, v6);
        let source = self.source(from, to, gateway, v6);
        let src = if self.spoofed_mac { to.mac } else { from.mac };
        let body = self.body(v6, src, source, target, to);
        let dst = self.destination(from, to, gateway, &body, target);
        let frame = Frame { dst, src, vlan: self.vlan.or(from.vlan), body };
        Some(Sent { ls: from.ls.clone(), lsp: from.lsp.clone(), frame, then: self.then })
    }

    fn target(&self, from: &Port, to: &Port, gateway: Option<&Port>, external: Option<IpAddr>, is_v6: bool) -> IpAddr {
        let pick = |four: [u8; 4], six: u128| {
            if is_v6 { IpAddr::V6(Ipv6Addr::from(six)) } else { IpAddr::V4(Ipv4Addr::from(four)) }
        };
        let high = self.to % 2 == 1;
        let found = match self.address {
            Address::Vm | Address::Station => address(to, is_v6, 0),
            Address::Other(which) => address(to, is_v6, which),
            Address::Gateway => gateway.and_then(|g| address(g, is_v6, 0)),
            Address::Own => address(from, is_v6, 0),
            Address::External => external,
            Address::Nobody => None,
            Address::RouterPort if is_v6 => Some(v6(LOOPBACKS + self.to as u8 % 3, 250).into()),
            Address::RouterPort => Some(v4(LOOPBACKS + self.to as u8 % 3, 250).into()),
            Address::Outside => Some(pick([203, 0, 113, 5], 0x2001_0db8_0009_u128 << 80 | 5)),
            // From both ends of what is called so.
            Address::Multicast if high => Some(pick([239, 255, 0, 1], 0xff7e_u128 << 112 | 1)),
            Address::Multicast => Some(pick([224, 0, 0, 5], 0xff02_u128 << 112 | 1)),
            Address::Loopback if high => Some(pick([127, 255, 255, 254], 1)),
            Address::Loopback => Some(pick([127, 0, 0, 1], 1)),
            Address::LinkLocal if high => Some(pick([169, 254, 255, 1], 0xfebf_u128 << 112 | 1)),
            Address::LinkLocal => Some(pick([169, 254, 0, 1], 0xfe80_u128 << 112 | 1)),
            Address::Unspecified if high => Some(pick([0, 255, 0, 1], 0xffff_c000_0201)),
            Address::Unspecified => Some(pick([0, 0, 0, 0], 0)),
            Address::Broadcast if high => Some(pick([240, 0, 0, 1], 0xffff_u128 << 112 | 2)),
            Address::Broadcast => Some(pick([255, 255, 255, 255], 0xff05_u128 << 112 | 2)),
        };
        found.unwrap_or_else(|| nobody(is_v6, self.to as u8 % 4))
    }

    fn source(&self, from: &Port, to: &Port, gateway: Option<&Port>, is_v6: bool) -> IpAddr {
        let pick = |four: [u8; 4], six: u128| {
            if is_v6 { IpAddr::V6(Ipv6Addr::from(six)) } else { IpAddr::V4(Ipv4Addr::from(four)) }
        };
        let high = self.to % 2 == 1;
        let found = match self.source {
            Source::Own => address(from, is_v6, self.to),
            Source::Other => address(to, is_v6, 0),
            Source::Gateway => gateway.and_then(|g| address(g, is_v6, 0)),
            Source::Nobody => None,
            Source::Multicast if high => Some(pick([255, 255, 255, 255], 0xffff_u128 << 112 | 9)),
            Source::Loopback if high => Some(pick([127, 255, 0, 1], 0xffff_7f00_0001)),
            Source::LinkLocal if high => Some(pick([169, 254, 255, 7], 0xfebf_u128 << 112 | 7)),
            Source::Multicast => Some(pick([224, 0, 0, 9], 0xff02_u128 << 112 | 9)),
            Source::Loopback => Some(pick([127, 0, 0, 1], 1)),
            Source::Unspecified => Some(pick([0, 0, 0, 0], 0)),
            Source::LinkLocal => Some(pick([169, 254, 0, 7], 0xfe80_u128 << 112 | 7)),
        };
        found.unwrap_or_else(|| nobody(is_v6, 5))
    }

    fn body(&self, v6: bool, mac: Mac, src: IpAddr, dst: IpAddr, to: &Port) -> Body {
        let says = match (self.what, src, dst) {
            (What::OtherEthertype(ethertype), ..) => return Body::Other(ethertype),
            (What::Ask(_), IpAddr::V4(spa), IpAddr::V4(tpa)) => {
                return Body::Arp(Arp { op: 1, sha: mac, spa, tha: Mac([0; 6]), tpa });
            }
            (What::Tell, IpAddr::V4(spa), IpAddr::V4(tpa)) => {
                return Body::Arp(Arp { op: 2, sha: mac, spa, tha: to.mac, tpa });
            }
            (What::Ask(option), _, IpAddr::V6(target)) => Says::Solicit { target, source: option.then_some(mac) },
            (What::Tell, IpAddr::V6(target), _) => Says::Advertise { target, flags: 0x6000_0000, mac: Some(mac) },
            (What::Tcp, ..) => Says::tcp(80),
            (What::Udp, ..) => Says::udp(53),
            (What::Fragment(protocol), ..) => Says::Fragment(protocol),
            (What::Pong, ..) => Says::Pong(7),
            (What::Sctp, ..) => Says::Sctp(Ports { src: 0xc001, dst: 9 }),
            (What::TcpAnswer, ..) => Says::Tcp(Ports { src: 80, dst: 0xc001 }, SYN_ACK),
            (What::Error, ..) => {
                let said = if self.to.is_multiple_of(2) { Says::udp(53) } else { Says::Ping(7) };
                Says::Error(Box::new(Ip { src: dst, dst: src, ttl: 3, says: said }))
            }
            (What::OtherProtocol(protocol), ..) => Says::Other(protocol),
            (What::Ping | What::Ask(_) | What::Tell, ..) => Says::Ping(7),
        };
        // A solicitation goes to the target's group, or straight to it (RFC 4861 section 4.3).
        let dst = match (&says, self.mac) {
            (Says::Solicit { target, .. }, Via::Right) => solicited_node(*target).into(),
            _ => dst,
        };
        // Neighbour discovery is sent with 255 and believed with nothing else.
        let ttl = match (&says, self.ttl) {
            (Says::Solicit { .. } | Says::Advertise { .. }, 64) => 255,
            (_, ttl) => ttl,
        };
        debug_assert_eq!(v6, dst.is_ipv6());
        Body::Ip(Ip { src, dst, ttl, says })
    }

    fn destination(&self, from: &Port, to: &Port, gateway: Option<&Port>, body: &Body, target: IpAddr) -> Mac {
        let gateway = gateway.map_or(Mac([0xf2, 1, 9, 9, 9, 1]), |g| g.mac);
        match (self.mac, body) {
            (Via::Right, Body::Arp(Arp { op: 1, .. })) => Mac([0xff; 6]),
            (Via::Right, Body::Ip(Ip { dst, .. })) if dst.is_multicast() => multicast(*dst),
            (Via::Right, _) if target == IpAddr::V4(Ipv4Addr::BROADCAST) => Mac([0xff; 6]),
            (Via::Right, _) if matches!(self.address, Address::Own) => from.mac,
            (Via::Right, _)
                if matches!(self.address, Address::Vm | Address::Station | Address::Other(_)) && from.ls == to.ls =>
            {
                to.mac
            }
            (Via::Right | Via::Gateway, _) => gateway,
            (Via::Other, _) => to.mac,
            (Via::Unknown, _) => Mac([0xf2, 1, 9, 9, 9, 9]),
            (Via::Broadcast, _) => Mac([0xff; 6]),
            (Via::Multicast, _) => multicast(target),
            (Via::Own, _) => from.mac,
            (Via::Reserved, _) => Mac([1, 0x80, 0xc2, 0, 0, 0xe]),
        }
    }
}

/// RFC 4291 section 2.7.1.
fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from(b) << 8 | u16::from(c))
}

/// RFC 1112 section 6.4, RFC 2464 section 7.
fn multicast(group: IpAddr) -> Mac {
    match group {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            Mac([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            Mac([0x33, 0x33, a, b, c, d])
        }
    }
}
