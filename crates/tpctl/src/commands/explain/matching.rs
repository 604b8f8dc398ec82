//! A match in words: which packets a flow is for.

use super::world::{World, child};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tuplenet_model::{key::Key, mac::Mac};
use tuplenet_openflow::{Field, FieldMatch, Match, Value, field};
use tuplenet_rules::register;
use tuplenet_store::network::words;

/// The datapath that a match names.
pub fn datapath(matching: &Match) -> Option<u32> {
    let found = matching.get(register::DATAPATH).filter(|m| m.mask.is_none())?;
    u32::try_from(found.value.to_u64()?).ok()
}

/// What each part of a match asks of a packet. Empty: every packet.
pub fn describe(world: &World, matching: &Match) -> Vec<String> {
    let datapath = datapath(matching);
    let mut fields: Vec<FieldMatch> = matching.fields().collect();
    let mut said = Vec::new();
    if let Some(datapath) = datapath {
        said.push(format!("packets in {}", world.datapath_words(datapath)));
        fields.retain(|m| m.field != register::DATAPATH);
    }
    said.extend(kind(&mut fields));
    if said.iter().any(|kind| kind.starts_with("IPv6")) {
        said.extend(next_hops(&mut fields).map(|net| format!("whose next hop is in {net}")));
    }
    let next_hop = wide(&mut fields, [field::REG0, field::REG1, field::REG2, field::REG3]);
    said.extend(next_hop.map(|ip| format!("whose next hop is {ip}{}", owner(world, datapath, ip.into()))));
    said.extend(remote(world, &mut fields));
    said.extend(fields.iter().map(|m| one(world, datapath, m)));
    said.extend(matching.unknown().map(|_| "with a field that tpctl does not know".to_owned()));
    said
}

/// A part of a match that needs no other part to be understood.
fn one(world: &World, datapath: Option<u32>, m: &FieldMatch) -> String {
    let number = m.value.to_u64();
    let exact = number.filter(|_| m.mask.is_none());
    let small = exact.and_then(|n| u32::try_from(n).ok());
    let plain = || text(m);
    match (m.field, small) {
        (f, Some(port)) if f == register::SRC_PORT => format!("that came from {}", world.port_words(datapath, port)),
        (f, Some(port)) if f == register::DST_PORT && port == register::FLOOD => {
            "whose destination is all ports of the switch".to_owned()
        }
        (f, Some(port)) if f == register::DST_PORT => {
            format!("whose destination is {}", world.port_words(datapath, port))
        }
        (f, _) if f == register::FLAGS => flags(m).unwrap_or_else(plain),
        (f, _) if f == register::MTU && number == Some(register::TOO_BIG.into()) => {
            "that are longer than the switch takes that they are for".to_owned()
        }
        (f, Some(id)) if f == register::COMMAND => format!("of the trace with id {id}"),
        (f, Some(_)) if f == register::NEXT_HOP4 => match address(&m.value, true) {
            Some(ip) => format!("whose next hop is {ip}{}", owner(world, datapath, ip)),
            None => plain(),
        },
        (f, None) if f == register::NEXT_HOP4 || f == register::NEXT_HOP6 => match prefix(m) {
            Some(net) => format!("whose next hop is in {net}"),
            None => plain(),
        },
        (f, Some(port)) if f == field::IN_PORT => format!("that come in by port {port} of the bridge"),
        (f, Some(1)) if f == field::ARP_OP => "that ask".to_owned(),
        (f, Some(2)) if f == field::ARP_OP => "that answer".to_owned(),
        (f, Some(ttl)) if f == field::NW_TTL => format!("with a TTL or hop limit of {ttl}"),
        (f, Some(0)) if f == field::IP_FRAG => "that are no fragments".to_owned(),
        (f, Some(8)) if f == field::ICMPV4_TYPE => "that are echo requests".to_owned(),
        (f, Some(0)) if f == field::ICMPV4_TYPE => "that are echo replies".to_owned(),
        (f, Some(128)) if f == field::ICMPV6_TYPE => "that are echo requests".to_owned(),
        (f, Some(129)) if f == field::ICMPV6_TYPE => "that are echo replies".to_owned(),
        (f, Some(135)) if f == field::ICMPV6_TYPE => "that are neighbour solicitations".to_owned(),
        (f, Some(136)) if f == field::ICMPV6_TYPE => "that are neighbour advertisements".to_owned(),
        (f, Some(3)) if f == field::ICMPV4_TYPE => "that tell of an unreachable destination".to_owned(),
        (f, Some(4)) if f == field::ICMPV4_TYPE => "that ask to send slower".to_owned(),
        (f, Some(5)) if f == field::ICMPV4_TYPE => "that redirect".to_owned(),
        (f, Some(11)) if f == field::ICMPV4_TYPE => "that tell of a TTL that ran out".to_owned(),
        (f, Some(12)) if f == field::ICMPV4_TYPE => "that tell of a bad header".to_owned(),
        (f, Some(1)) if f == field::ICMPV6_TYPE => "that tell of an unreachable destination".to_owned(),
        (f, Some(2)) if f == field::ICMPV6_TYPE => "that tell of a packet too big".to_owned(),
        (f, Some(3)) if f == field::ICMPV6_TYPE => "that tell of a hop limit that ran out".to_owned(),
        (f, Some(4)) if f == field::ICMPV6_TYPE => "that tell of a bad header".to_owned(),
        (f, Some(code)) if f == field::ICMPV4_CODE || f == field::ICMPV6_CODE => format!("with ICMP code {code}"),
        (f, Some(flags)) if f == field::ND_RESERVED => format!("that say of who answers: {}", advertised(flags)),
        (f, _) if f == field::VLAN_VID && number.is_some_and(|tci| tci & 0x1000 != 0) => match exact {
            Some(tci) => format!("with VLAN tag {}", tci & 0xfff),
            None => "with a VLAN tag".to_owned(),
        },
        (f, _) if f == field::VLAN_VID && number == Some(0) => "without a VLAN tag".to_owned(),
        (f, _) if f == field::ETH_DST || f == field::ETH_SRC => {
            let way = if f == field::ETH_DST { "to" } else { "from" };
            mac_words(world, datapath, m).map_or_else(plain, |mac| format!("{way} {mac}"))
        }
        (f, _) if [field::IPV4_DST, field::IPV6_DST].contains(&f) => format!("to {}", net(world, datapath, m)),
        (f, _) if [field::IPV4_SRC, field::IPV6_SRC].contains(&f) => format!("from {}", net(world, datapath, m)),
        (f, _) if [field::ARP_TPA, field::ND_TARGET].contains(&f) => {
            format!("about the address {}", net(world, datapath, m))
        }
        (f, _) if f == field::CT_STATE => match (number, m.mask.as_ref().and_then(Value::to_u64)) {
            (Some(0x40), Some(0x40)) => "whose source conntrack translated".to_owned(),
            (Some(0x80), Some(0x80 | 0xc0)) => "whose destination conntrack translated".to_owned(),
            (Some(0x20), Some(0x20)) => "that conntrack has seen".to_owned(),
            _ => plain(),
        },
        _ => plain(),
    }
}

/// Takes out what says the kind of packet, and says it.
fn kind(fields: &mut Vec<FieldMatch>) -> Option<String> {
    let number = |fields: &[FieldMatch], f| fields.iter().find(|m| m.field == f && m.mask.is_none())?.value.to_u64();
    let ethertype = number(fields, field::ETH_TYPE)?;
    let protocol = number(fields, field::IP_PROTO);
    fields.retain(|m| m.field != field::ETH_TYPE);
    let ip = match ethertype {
        0x0800 => "IPv4",
        0x86dd => "IPv6",
        0x0806 => return Some("ARP".to_owned()),
        other => return Some(format!("of Ethertype {other:#06x}")),
    };
    let Some(protocol) = protocol else { return Some(ip.to_owned()) };
    fields.retain(|m| m.field != field::IP_PROTO);
    Some(match protocol {
        1 if ethertype == 0x0800 => "ICMP".to_owned(),
        58 if ethertype == 0x86dd => "ICMPv6".to_owned(),
        6 => format!("{ip}, TCP"),
        17 => format!("{ip}, UDP"),
        132 => format!("{ip}, SCTP"),
        other => format!("{ip}, protocol {other}"),
    })
}

/// Takes out four registers that are one IPv6 address.
fn wide(fields: &mut Vec<FieldMatch>, registers: [&'static Field; 4]) -> Option<Ipv6Addr> {
    let mut bits = 0_u128;
    for register in registers {
        let part = fields.iter().find(|m| m.field == register && m.mask.is_none())?.value.to_u64()?;
        bits = bits << 32 | u128::from(part);
    }
    fields.retain(|m| !registers.contains(&m.field));
    Some(Ipv6Addr::from(bits))
}

/// Takes out the registers that are the network of an IPv6 next hop, if they are not a whole address.
fn next_hops(fields: &mut Vec<FieldMatch>) -> Option<IpNet> {
    let registers = [field::REG0, field::REG1, field::REG2, field::REG3];
    let (mut bits, mut mask) = (0_u128, 0_u128);
    for register in registers {
        let part = fields.iter().find(|m| m.field == register);
        let value = part.and_then(|m| m.value.to_u64()).unwrap_or(0);
        let whole = if part.is_some() { u64::from(u32::MAX) } else { 0 };
        let kept = part.and_then(|m| m.mask.as_ref()).map_or(Some(whole), Value::to_u64)?;
        bits = bits << 32 | u128::from(value);
        mask = mask << 32 | u128::from(kept);
    }
    let net = IpNet::with_netmask(Ipv6Addr::from(bits).into(), Ipv6Addr::from(mask).into()).ok()?;
    if net.prefix_len() == 0 || net.prefix_len() == 128 {
        return None;
    }
    fields.retain(|m| !registers.contains(&m.field));
    Some(net)
}

/// Takes out the tunnel end point, and names the chassis.
fn remote(world: &World, fields: &mut Vec<FieldMatch>) -> Option<String> {
    let bits = wide(fields, [field::REG8, field::REG9, field::REG10, field::REG11])?;
    Some(format!("whose destination is on {}", host(world, end_point(bits))))
}

/// An IPv4 end point stands in the first word.
fn end_point(bits: Ipv6Addr) -> IpAddr {
    match bits.segments() {
        [a, b, 0, 0, 0, 0, 0, 0] => Ipv4Addr::from(u32::from(a) << 16 | u32::from(b)).into(),
        _ => bits.into(),
    }
}

/// A tunnel end point in words: "chassis hv2 (192.0.2.2)".
pub fn host(world: &World, ip: IpAddr) -> String {
    match world.chassis_at(ip) {
        _ if ip.is_unspecified() => "this host".to_owned(),
        Some(chassis) => format!("chassis {chassis} ({ip})"),
        None => format!("the host at {ip}, which no chassis of the store has for its tunnels"),
    }
}

fn flags(m: &FieldMatch) -> Option<String> {
    let value = m.value.to_u64()?;
    let mask = m.mask.as_ref().map_or(Some(u64::from(u32::MAX)), Value::to_u64)?;
    let said: Vec<String> = FLAGS
        .iter()
        .filter(|(flag, ..)| mask & u64::from(*flag) != 0)
        .map(|(flag, is, is_not)| if value & u64::from(*flag) != 0 { *is } else { *is_not }.to_owned())
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a set flag says of a packet, and a flag that is not set.
const FLAGS: [(u32, &str, &str); 14] = [
    (register::LOOPBACK, "that are answers made here", "that are no answers made here"),
    (register::FROM_TUNNEL, "that came by a tunnel", "that did not come by a tunnel"),
    (register::FLOOD_COPY, "that are copies for another host", "that are no copies for another host"),
    (register::TRACED, "that are traced", "that are not traced"),
    (
        register::ENTERED,
        "whose trace ends where they entered this host",
        "whose trace does not end where they entered this host",
    ),
    (register::FROM_PATCH, "that came by a patch port", "that did not come by a patch port"),
    (
        register::DESIGNATED,
        "that go between a host without a patch port and the designated one",
        "that do not go between a host without a patch port and the designated one",
    ),
    (register::NATTED, "that turned back at an uplink", "that did not turn back at an uplink"),
    (register::PENDING, "whose trace goes on behind conntrack", "whose trace does not go on behind conntrack"),
    (register::ANSWER, "that are answers of a router to pings", "that are no answers of a router to pings"),
    (register::ERROR, "that are errors of a router's own", "that are no errors of a router's own"),
    (register::REDIRECTED, "that take a detour by another host", "that take no detour by another host"),
    (register::RELAYED, "that another host sends on", "that no other host sends on"),
    (register::UNTUNNELLED, "that leave by the host's own IP stack", "that do not leave by the host's own IP stack"),
];

/// What setting flags notes of a packet.
pub fn noted(flags: u32) -> String {
    let said: Vec<&str> = FLAGS
        .iter()
        .filter(|(flag, ..)| flags & flag != 0)
        .map(|(_, is, _)| is.trim_start_matches("that are ").trim_start_matches("that "))
        .collect();
    said.join(", ")
}

/// The flags of a neighbour advertisement (RFC 4861, section 4.4).
pub fn advertised(flags: u32) -> String {
    let bits = [(1 << 31, "a router"), (1 << 30, "it was asked"), (1 << 29, "what was known before is void")];
    let said: Vec<&str> = bits.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, text)| *text).collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

/// A MAC with whose it is.
fn mac_words(world: &World, datapath: Option<u32>, m: &FieldMatch) -> Option<String> {
    let mac = <[u8; 6]>::try_from(m.value.as_bytes()).ok()?;
    if let Some(mask) = &m.mask {
        return match mask.as_bytes() {
            [1, 0, 0, 0, 0, 0] if mac[0] & 1 == 1 => Some("broadcast and multicast MACs".to_owned()),
            _ if mac == [1, 0x80, 0xc2, 0, 0, 0] => {
                Some("the MACs that bridges keep for one wire (01:80:c2:00:00:00 to 0f)".to_owned())
            }
            _ => None,
        };
    }
    Some(mac_of(world, datapath, mac))
}

/// A MAC with whose it is.
pub fn mac_of(world: &World, datapath: Option<u32>, mac: [u8; 6]) -> String {
    let port = datapath.and_then(|datapath| world.with_mac(datapath, mac));
    let name = port.and_then(child);
    match name {
        Some(name) => format!("MAC {} (port {name})", Mac(mac)),
        None => format!("MAC {}", Mac(mac)),
    }
}

/// An address or network, with whose it is.
fn net(world: &World, datapath: Option<u32>, m: &FieldMatch) -> String {
    let v4 = m.value.as_bytes().len() == 4;
    match (address(&m.value, v4), &m.mask) {
        (Some(ip), None) => format!("{ip}{}", owner(world, datapath, ip)),
        _ => text(m).split_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default(),
    }
}

/// A value under a mask as a network.
fn prefix(m: &FieldMatch) -> Option<IpNet> {
    let v4 = m.value.as_bytes().len() == 4;
    IpNet::with_netmask(address(&m.value, v4)?, address(m.mask.as_ref()?, v4)?).ok()
}

/// The value as an address.
pub fn address(value: &Value, v4: bool) -> Option<IpAddr> {
    if v4 {
        let bits = u32::try_from(value.to_u64()?).ok()?;
        return Some(Ipv4Addr::from(bits).into());
    }
    Some(Ipv6Addr::from(value.to_u128()?).into())
}

/// Whose an address is: " (port vm1)", or nothing.
pub fn owner(world: &World, datapath: Option<u32>, ip: IpAddr) -> String {
    match datapath.and_then(|datapath| world.with_address(datapath, ip)) {
        Some(key @ Key::Lsp(..)) => format!(" ({})", words(key)),
        _ => String::new(),
    }
}

/// As ovs-ofctl has it.
fn text(m: &FieldMatch) -> String {
    let alone = Match::new().try_with(m.field, m.value.clone(), m.mask.clone());
    alone.map(|alone| alone.to_string()).unwrap_or_else(|_| m.field.name.to_owned())
}
