//! Parsing a match.

use std::str::FromStr;

use super::match_print::PROTOCOLS;
use super::number::integer;
use super::tokens::{self, Token};
use super::value;
use crate::field::{self, Field, Prerequisite};
use crate::{FieldMatch, Match, ParseError, Value};

impl FromStr for Match {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Match, ParseError> {
        let tokens = tokens::split(text)?;
        parse(&tokens)
    }
}

/// A match of these pieces, all of which must belong to it.
pub(super) fn parse(tokens: &[Token<'_>]) -> Result<Match, ParseError> {
    let mut m = Match::new();
    // What some names mean depends on the protocol, wherever in the line it stands.
    for t in tokens {
        if t.text == t.key
            && let Some((ethertype, proto, _)) = PROTOCOLS.iter().find(|(.., name)| *name == t.key)
        {
            let other = |m: &Match, field| m.get(field).and_then(|f| f.value.to_u64());
            if other(&m, field::ETH_TYPE).is_some_and(|n| n != *ethertype)
                || proto.is_some() && other(&m, field::IP_PROTO).is_some_and(|n| Some(n) != *proto)
            {
                return Err(t.error("the match has another protocol already"));
            }
            m = put(m, t, field::ETH_TYPE, (*ethertype).into(), None)?;
            if let Some(proto) = proto {
                m = put(m, t, field::IP_PROTO, (*proto).into(), None)?;
            }
        } else if t.key == "dl_type" || t.key == "eth_type" {
            let ethertype: u16 = integer(t.rest, t.key)?;
            if m.get(field::ETH_TYPE).is_some_and(|f| f.value != ethertype.into()) {
                return Err(t.error("the match has another protocol already"));
            }
            m = put(m, t, field::ETH_TYPE, ethertype.into(), None)?;
        }
    }
    for t in tokens.iter().filter(|t| matches!(t.key, "nw_proto" | "ip_proto")) {
        let proto = integer::<u8>(t.rest, t.key)?;
        m = if is(&m, field::ETH_TYPE, &[0x0806, 0x8035]) {
            put(m, t, field::ARP_OP, u16::from(proto).into(), None)?
        } else {
            put(m, t, field::IP_PROTO, proto.into(), None)?
        };
    }
    let (mut tci, mut tci_mask) = (0u16, 0u16);
    for t in tokens {
        match t.key {
            "dl_type" | "eth_type" | "nw_proto" | "ip_proto" => {}
            "dl_vlan" => {
                let vid: u16 = integer(t.rest, t.key)?;
                if vid == 0xffff {
                    tci_mask = 0xffff;
                } else if vid < 4096 {
                    (tci, tci_mask) = (tci | 0x1000 | vid, tci_mask | 0x1fff);
                } else {
                    return Err(t.error("a VLAN has a number below 4096, or 0xffff for none"));
                }
            }
            "dl_vlan_pcp" => {
                let pcp: u16 = integer(t.rest, t.key)?;
                if pcp > 7 {
                    return Err(t.error("a priority is 0 to 7"));
                }
                (tci, tci_mask) = (tci | 0x1000 | pcp << 13, tci_mask | 0xf000);
            }
            "unknown" => return Err(t.error("a field that is not known cannot be given in text")),
            key if t.text == key => {
                if let Some(field) = Field::by_name(key).filter(|f| f.is_variable()) {
                    m = put(m, t, field, 0u8.into(), Some(0u8.into()))?;
                } else if !PROTOCOLS.iter().any(|(.., name)| *name == key) {
                    return Err(t.error("neither a protocol nor a field with a value"));
                }
            }
            key => {
                let field = named(&m, key).ok_or_else(|| t.error("no such field: see ovs-fields(7)"))?;
                m = one(m, t, field)?;
            }
        }
    }
    if tci_mask != 0 {
        let whole = m.clone().try_with(field::VLAN_TCI, tci.into(), Some(tci_mask.into()));
        m = whole.map_err(|e| ParseError::new("dl_vlan", e.to_string()))?;
    }
    let untagged = m.get(field::VLAN_VID).is_some_and(|vid| {
        let all = Value::from(0x1fffu16);
        let bit = |v: &Value| v.to_u64().unwrap_or_default() & 0x1000 != 0;
        bit(vid.mask.as_ref().unwrap_or(&all)) && !bit(&vid.value)
    });
    if untagged && m.get(field::VLAN_PCP).is_some() {
        return Err(ParseError::new("vlan_pcp", "a packet without a VLAN tag has no priority"));
    }
    // With a packet type there are other ways to say what the packet is: the switch will judge.
    let lacking = |f: &FieldMatch| !met(&m, f.field.prerequisite) && m.get(field::PACKET_TYPE).is_none();
    let first = m.fields().find(lacking);
    match first {
        Some(f) => Err(ParseError::new(
            f.field.name,
            format!("needs a match on {} as well: see ovs-fields(7)", wanted(f.field.prerequisite)),
        )),
        None => Ok(m),
    }
}

/// Whether a match fulfils what a field asks for.
fn met(m: &Match, p: Prerequisite) -> bool {
    let ethertype = |wanted: &[u64]| is(m, field::ETH_TYPE, wanted);
    let proto = |n: u64| is(m, field::IP_PROTO, &[n]);
    let icmpv6 = |types: &[u64]| ethertype(&[0x86dd]) && proto(58) && is(m, field::ICMPV6_TYPE, types);
    match p {
        Prerequisite::None | Prerequisite::Ethernet => true,
        Prerequisite::VlanVid => m.get(field::VLAN_VID).is_some(),
        Prerequisite::Arp => ethertype(&[0x0806, 0x8035]),
        Prerequisite::Ipv4 => ethertype(&[0x0800]),
        Prerequisite::Ipv6 => ethertype(&[0x86dd]),
        Prerequisite::Ip => ethertype(&[0x0800, 0x86dd]),
        Prerequisite::Mpls => ethertype(&[0x8847, 0x8848]),
        Prerequisite::Nsh => ethertype(&[0x894f]),
        Prerequisite::Tcp => ethertype(&[0x0800, 0x86dd]) && proto(6),
        Prerequisite::Udp => ethertype(&[0x0800, 0x86dd]) && proto(17),
        Prerequisite::Sctp => ethertype(&[0x0800, 0x86dd]) && proto(132),
        Prerequisite::Icmpv4 => ethertype(&[0x0800]) && proto(1),
        Prerequisite::Icmpv6 => ethertype(&[0x86dd]) && proto(58),
        Prerequisite::Nd => icmpv6(&[135, 136]),
        Prerequisite::NdSolicit => icmpv6(&[135]),
        Prerequisite::NdAdvert => icmpv6(&[136]),
        Prerequisite::Ct => m.get(field::CT_STATE).is_some(),
    }
}

/// The same in the words of a match.
fn wanted(p: Prerequisite) -> &'static str {
    match p {
        Prerequisite::None | Prerequisite::Ethernet => "nothing",
        Prerequisite::VlanVid => "a VLAN tag",
        Prerequisite::Arp => "arp or rarp",
        Prerequisite::Ipv4 => "ip",
        Prerequisite::Ipv6 => "ipv6",
        Prerequisite::Ip => "ip or ipv6",
        Prerequisite::Mpls => "mpls or mplsm",
        Prerequisite::Nsh => "eth_type=0x894f",
        Prerequisite::Tcp => "tcp or tcp6",
        Prerequisite::Udp => "udp or udp6",
        Prerequisite::Sctp => "sctp or sctp6",
        Prerequisite::Icmpv4 => "icmp",
        Prerequisite::Icmpv6 => "icmp6",
        Prerequisite::Nd => "icmp6,icmp_type=135 or 136",
        Prerequisite::NdSolicit => "icmp6,icmp_type=135",
        Prerequisite::NdAdvert => "icmp6,icmp_type=136",
        Prerequisite::Ct => "ct_state",
    }
}

fn is(m: &Match, field: &'static Field, values: &[u64]) -> bool {
    m.get(field).is_some_and(|f| f.value.to_u64().is_some_and(|v| values.contains(&v)))
}

/// The field that a name means beside what is matched already.
fn named(m: &Match, key: &str) -> Option<&'static Field> {
    let proto = |n: u64| is(m, field::IP_PROTO, &[n]);
    let arp = is(m, field::ETH_TYPE, &[0x0806, 0x8035]);
    Some(match key {
        "in_port" => field::IN_PORT,
        "nw_src" | "ip_src" if arp => field::ARP_SPA,
        "nw_dst" | "ip_dst" if arp => field::ARP_TPA,
        "tp_src" if proto(17) => field::UDP_SRC,
        "tp_dst" if proto(17) => field::UDP_DST,
        "tp_src" if proto(132) => field::SCTP_SRC,
        "tp_dst" if proto(132) => field::SCTP_DST,
        "tp_src" if proto(1) => field::ICMPV4_TYPE,
        "tp_dst" if proto(1) => field::ICMPV4_CODE,
        "icmp_type" if proto(58) => field::ICMPV6_TYPE,
        "icmp_code" if proto(58) => field::ICMPV6_CODE,
        "gtpu_flags" => field::TUN_GTPU_FLAGS,
        "gtpu_msgtype" => field::TUN_GTPU_MSGTYPE,
        _ => return Field::by_name(key),
    })
}

fn one(m: Match, t: &Token<'_>, field: &'static Field) -> Result<Match, ParseError> {
    if t.rest == "*" || t.rest == "ANY" && field != field::IN_PORT {
        return Ok(m);
    }
    let (value, mask) = value::parse(field, t.rest)?;
    put(m, t, field, value, mask)
}

fn put(m: Match, t: &Token<'_>, field: &'static Field, value: Value, mask: Option<Value>) -> Result<Match, ParseError> {
    m.try_with(field, value, mask).map_err(|e| t.error(e.to_string()))
}
