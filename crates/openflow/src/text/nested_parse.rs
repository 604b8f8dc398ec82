//! Parsing the actions that have arguments of their own, and no actions among these.

use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names;
use super::number::integer;
use super::subfield::subfield;
use super::tokens::{self, Token};
use crate::action::{Bundle, Controller, Encap, EncapProperty, HashFields, Multipath, Nat, Sample};
use crate::{Action, ParseError, port};

/// Headers that can be pushed: packet type, name.
pub(super) const ENCAPS: &[(u32, &str)] =
    &[(0, "ethernet"), (0x1_894f, "nsh"), (0x1_8847, "mpls"), (0x1_8848, "mpls_mc")];

pub(super) fn controller(t: &Token<'_>) -> Result<Action, ParseError> {
    if !t.rest.starts_with('(') {
        let max_len = if t.rest.is_empty() { u16::MAX } else { integer(t.rest, "a length")? };
        return Ok(Action::Output { port: port::CONTROLLER, max_len });
    }
    let mut c = Controller::default();
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "reason" => c.reason = names::number(names::REASONS, a.rest)? as u8,
            "max_len" => c.max_len = integer(a.rest, "a length")?,
            "id" => c.controller_id = integer(a.rest, "a controller's id")?,
            "userdata" => c.userdata = dotted(&a)?,
            "pause" => c.pause = true,
            "meter_id" => c.meter_id = integer(a.rest, "a meter")?,
            _ => return Err(a.error("controller takes reason, max_len, id, userdata, pause, meter_id")),
        }
    }
    let plain = c.reason == Controller::REASON_ACTION && c.controller_id == 0 && c.userdata.is_empty();
    if plain && !c.pause && c.meter_id == 0 {
        return Ok(Action::Output { port: port::CONTROLLER, max_len: c.max_len });
    }
    Ok(Action::Controller(Box::new(c)))
}

/// Bytes in hexadecimal, with dots or nothing between them.
fn dotted(t: &Token<'_>) -> Result<Vec<u8>, ParseError> {
    let bad = || t.error("bytes are pairs of hexadecimal digits, with dots between them if you like");
    let digits: Vec<u8> = t.rest.bytes().filter(|b| *b != b'.').collect();
    let pairs = digits.chunks(2).map(|p| std::str::from_utf8(p).ok().filter(|p| p.len() == 2));
    pairs.map(|p| p.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(bad)).collect()
}

pub(super) fn note(t: &Token<'_>) -> Result<Action, ParseError> {
    let mut bytes = dotted(t)?;
    // The header has 10 bytes, and an action a multiple of 8.
    bytes.resize((bytes.len() + 10).next_multiple_of(8) - 10, 0);
    Ok(Action::Note(bytes))
}

pub(super) fn resubmit(t: &Token<'_>) -> Result<Action, ParseError> {
    if !t.rest.starts_with('(') {
        let in_port = Some(names::port16_of(t.rest)?).filter(|p| *p != 0xfff8);
        return Ok(Action::Resubmit { in_port, table: Some(u8::MAX), ct: false });
    }
    let mut parts = t.arguments()?.split(',');
    let mut part = || parts.next().unwrap_or_default().trim();
    let (to, table, ct) = (part(), part(), part());
    let in_port = if to.is_empty() { None } else { Some(names::port16_of(to)?).filter(|p| *p != 0xfff8) };
    if !ct.is_empty() && ct != "ct" {
        return Err(t.error("resubmit(PORT,TABLE,ct)"));
    }
    if in_port.is_none() && table.is_empty() {
        return Err(t.error("resubmit needs a port or a table"));
    }
    // 255 stands for "this table". There is an older form of the action without a table; nobody sends it any more.
    let table = if table.is_empty() { u8::MAX } else { integer(table, "a table")? };
    Ok(Action::Resubmit { in_port, table: Some(table), ct: !ct.is_empty() })
}

pub(super) fn conjunction(t: &Token<'_>) -> Result<Action, ParseError> {
    let form = || t.error("conjunction(ID,CLAUSE/CLAUSES), of 2 to 64 clauses");
    let (id, rest) = t.arguments()?.split_once(',').ok_or_else(form)?;
    let (clause, n) = rest.split_once('/').ok_or_else(form)?;
    let (clause, n_clauses): (u8, u8) = (integer(clause.trim(), "a clause")?, integer(n.trim(), "clauses")?);
    if !(2..=64).contains(&n_clauses) || clause == 0 || clause > n_clauses {
        return Err(form());
    }
    Ok(Action::Conjunction { id: integer(id.trim(), "an id")?, clause: clause - 1, n_clauses })
}

pub(super) fn nat(t: &Token<'_>) -> Result<Action, ParseError> {
    let mut nat = Nat::default();
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "src" | "dst" => {
                nat.flags |= if a.key == "src" { Nat::SRC } else { Nat::DST };
                if !a.rest.is_empty() {
                    range(&a, &mut nat)?;
                }
            }
            "persistent" => nat.flags |= Nat::PERSISTENT,
            "hash" => nat.flags |= Nat::HASH,
            "random" => nat.flags |= Nat::RANDOM,
            _ => return Err(a.error("nat takes src or dst, persistent, hash or random")),
        }
    }
    Ok(Action::Nat(Box::new(nat)))
}

/// `MIN[-MAX][:PORT[-PORT]]`, IPv6 addresses in brackets where ports follow.
fn range(t: &Token<'_>, nat: &mut Nat) -> Result<(), ParseError> {
    let (addresses, ports) = if let Some(end) = t.rest.rfind(']') {
        let (addresses, after) = t.rest.split_at(end + 1);
        (addresses, after.strip_prefix(':'))
    } else if t.rest.matches(':').count() > 1 {
        (t.rest, None)
    } else {
        t.rest.split_once(':').map_or((t.rest, None), |(a, p)| (a, Some(p)))
    };
    let address = |text: &str| -> Result<IpAddr, ParseError> {
        let text = text.trim_matches(['[', ']']);
        let four = text.parse::<Ipv4Addr>().map(IpAddr::V4);
        four.or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6)).map_err(|_| ParseError::new(text, "no address"))
    };
    if !addresses.is_empty() {
        let (min, max) = addresses.split_once('-').map_or((addresses, None), |(a, b)| (a, Some(b)));
        nat.addr_min = Some(address(min)?);
        nat.addr_max = max.map(address).transpose()?;
    }
    if let Some(ports) = ports {
        let (min, max) = ports.split_once('-').map_or((ports, None), |(a, b)| (a, Some(b)));
        nat.port_min = Some(integer(min, "a port")?);
        nat.port_max = max.map(|p| integer(p, "a port")).transpose()?;
    }
    Ok(())
}

pub(super) fn multipath(t: &Token<'_>) -> Result<Action, ParseError> {
    let parts: Vec<&str> = t.arguments()?.split(',').map(str::trim).collect();
    let [fields, basis, algorithm, links, arg, dst] = parts.as_slice() else {
        return Err(t.error("multipath(FIELDS,BASIS,ALGORITHM,LINKS,ARGUMENT,FIELD[])"));
    };
    let links: u32 = integer(links, "a number of links")?;
    let max_link = links.checked_sub(1).and_then(|n| u16::try_from(n).ok());
    Ok(Action::Multipath(Box::new(Multipath {
        fields: HashFields(names::number(names::HASH_FIELDS, fields)?),
        basis: integer(basis, "a basis")?,
        algorithm: names::number(names::MULTIPATH_ALGORITHMS, algorithm)?,
        max_link: max_link.ok_or_else(|| t.error("1 to 65536 links"))?,
        arg: integer(arg, "an argument")?,
        dst: subfield(dst)?,
    })))
}

pub(super) fn bundle(t: &Token<'_>) -> Result<Action, ParseError> {
    let form = || t.error("bundle(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,...)");
    let arguments = t.arguments()?;
    let (head, members) =
        arguments.split_once("members:").or_else(|| arguments.split_once("slaves:")).ok_or_else(form)?;
    let parts: Vec<&str> = head.trim_end_matches(',').split(',').map(str::trim).collect();
    let (fields, basis, algorithm, dst) = match (t.key, parts.as_slice()) {
        ("bundle", [fields, basis, algorithm, "ofport"]) => (fields, basis, algorithm, None),
        ("bundle_load", [fields, basis, algorithm, "ofport", dst]) => (fields, basis, algorithm, Some(subfield(dst)?)),
        _ => return Err(form()),
    };
    let members = members.split(',').map(str::trim).filter(|m| !m.is_empty()).map(names::port16_of);
    Ok(Action::Bundle(Box::new(Bundle {
        algorithm: names::number(names::BUNDLE_ALGORITHMS, algorithm)?,
        fields: HashFields(names::number(names::HASH_FIELDS, fields)?),
        basis: integer(basis, "a basis")?,
        members: members.collect::<Result<SmallVec<_>, _>>()?,
        dst,
    })))
}

pub(super) fn sample(t: &Token<'_>) -> Result<Action, ParseError> {
    let mut s = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain_id: 0,
        obs_point_id: 0,
        sampling_port: u16::MAX,
        direction: 0,
    };
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "probability" => s.probability = integer(a.rest, "a probability")?,
            "collector_set_id" => s.collector_set_id = integer(a.rest, "a set of collectors")?,
            "obs_domain_id" => s.obs_domain_id = integer(a.rest, "an observation domain")?,
            "obs_point_id" => s.obs_point_id = integer(a.rest, "an observation point")?,
            "sampling_port" => s.sampling_port = names::port16_of(a.rest)?,
            "ingress" => s.direction = 1,
            "egress" => s.direction = 2,
            _ => return Err(a.error("not an argument of sample")),
        }
    }
    if s.probability == 0 {
        return Err(t.error("a sample needs a probability of 1 to 65535"));
    }
    Ok(Action::Sample(Box::new(s)))
}

pub(super) fn fin_timeout(t: &Token<'_>) -> Result<Action, ParseError> {
    let (mut idle, mut hard) = (0, 0);
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "idle_timeout" => idle = integer(a.rest, "a timeout")?,
            "hard_timeout" => hard = integer(a.rest, "a timeout")?,
            _ => return Err(a.error("fin_timeout takes idle_timeout and hard_timeout")),
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

pub(super) fn encap(t: &Token<'_>) -> Result<Action, ParseError> {
    let inner = tokens::split(t.arguments()?)?;
    let [header] = inner.as_slice() else { return Err(t.error("encap(HEADER)")) };
    let packet_type = ENCAPS.iter().find(|(_, name)| *name == header.key).map(|(number, _)| *number);
    let packet_type = packet_type.ok_or_else(|| t.error("encap takes ethernet, nsh, mpls, mpls_mc"))?;
    let mut properties = Vec::new();
    for p in tokens::split(header.arguments()?)? {
        match p.key {
            "md_type" => {
                let kind: u8 = integer(p.rest, "a metadata type")?;
                properties.push(EncapProperty { class: 4, kind: 1, data: vec![kind] });
            }
            "tlv" => {
                let parts: Vec<&str> = p.arguments()?.split(',').map(str::trim).collect();
                let [class, kind, value] = parts.as_slice() else { return Err(p.error("tlv(CLASS,TYPE,VALUE)")) };
                let (class, kind): (u16, u8) = (integer(class, "a class")?, integer(kind, "a type")?);
                let digits = value.strip_prefix("0x").ok_or_else(|| p.error("a value in hexadecimal"))?;
                let value = dotted(&Token { text: p.text, key: p.key, rest: digits })?;
                let length = u8::try_from(value.len()).map_err(|_| p.error("a value of at most 243 bytes"))?;
                let mut data = class.to_be_bytes().to_vec();
                data.extend([kind, length]);
                data.extend(value);
                // The padding of a TLV counts as part of it.
                data.resize((data.len() + 4).next_multiple_of(8) - 4, 0);
                properties.push(EncapProperty { class: 4, kind: 2, data });
            }
            _ => return Err(p.error("nsh takes md_type and tlv")),
        }
    }
    Ok(Action::Encap(Box::new(Encap { hdr_size: 0, packet_type, properties })))
}

pub(super) fn decap(t: &Token<'_>) -> Result<Action, ParseError> {
    let inner = tokens::split(t.arguments()?)?;
    let Some(packet_type) = inner.first() else { return Ok(Action::Decap(0xfffe)) };
    let (mut ns, mut id) = (0u16, 0u16);
    for a in tokens::split(packet_type.arguments()?)? {
        match a.key {
            "ns" => ns = integer(a.rest, "a namespace")?,
            "id" | "type" => id = integer(a.rest, "a type")?,
            _ => return Err(a.error("decap(packet_type(ns=NAMESPACE,id=TYPE))")),
        }
    }
    Ok(Action::Decap(u32::from(ns) << 16 | u32::from(id)))
}
