//! Values of fields.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::names;
use super::number::{integer, number};
use crate::field::{self, Field, Format};
use crate::{ParseError, Value};

/// `0x` and the digits, without leading zeros; zero is `0`, as C has it.
fn put_hex(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    let mut significant = value.as_bytes().iter().skip_while(|b| **b == 0);
    match significant.next() {
        None => f.write_str("0"),
        Some(first) => {
            write!(f, "{first:#x}")?;
            significant.try_for_each(|b| write!(f, "{b:02x}"))
        }
    }
}

fn put_mac(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    let mut separator = "";
    for b in value.as_bytes() {
        write!(f, "{separator}{b:02x}")?;
        separator = ":";
    }
    Ok(())
}

fn ipv4(value: &Value) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(value.to_u64().unwrap_or_default()).unwrap_or_default())
}

fn ipv6(value: &Value) -> Ipv6Addr {
    Ipv6Addr::from(value.to_u128().unwrap_or_default())
}

/// Length of the prefix that a mask stands for, if it is one.
fn prefix_len(mask: &Value) -> Option<u32> {
    let mut len = 0;
    let mut ended = false;
    for b in mask.as_bytes() {
        let ones = b.leading_ones();
        if (ended && *b != 0) || b.count_ones() != ones {
            return None;
        }
        len += ones;
        ended |= ones < 8;
    }
    Some(len)
}

/// C's way of writing an IPv6 address, which differs from ours in the `::a.b.c.d` form only.
pub(super) struct Ipv6Text(pub Ipv6Addr);

impl fmt::Display for Ipv6Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.segments();
        // glibc prints ::a.b.c.d for what looks like a compatible address: 96 zero bits, and more than 16 bits after them.
        if s[..6].iter().all(|x| *x == 0) && s[6] != 0 {
            let [.., a, b, c, d] = self.0.octets();
            return write!(f, "::{a}.{b}.{c}.{d}");
        }
        write!(f, "{}", self.0)
    }
}

/// A value of a field with its mask, in the field's own format.
pub(super) struct Shown<'a> {
    pub(super) field: &'static Field,
    pub(super) value: &'a Value,
    pub(super) mask: Option<&'a Value>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, mask) = (self.value, self.mask);
        let small = value.to_u64().unwrap_or_default();
        let small_mask = mask.map(|m| m.to_u64().unwrap_or_default());
        match self.field.format {
            Format::Decimal | Format::Hexadecimal => {
                match self.field.format {
                    Format::Decimal => write!(f, "{small}")?,
                    _ => put_hex(f, value)?,
                }
                match mask {
                    Some(mask) => {
                        f.write_str("/")?;
                        put_hex(f, mask)
                    }
                    None => Ok(()),
                }
            }
            Format::Ethernet => {
                put_mac(f, value)?;
                match mask {
                    Some(mask) => {
                        f.write_str("/")?;
                        put_mac(f, mask)
                    }
                    None => Ok(()),
                }
            }
            Format::Ipv4 => {
                write!(f, "{}", ipv4(value))?;
                match mask.map(|m| (m, prefix_len(m))) {
                    Some((_, Some(len))) => write!(f, "/{len}"),
                    Some((mask, None)) => write!(f, "/{}", ipv4(mask)),
                    None => Ok(()),
                }
            }
            Format::Ipv6 => {
                write!(f, "{}", Ipv6Text(ipv6(value)))?;
                match mask.map(|m| (m, prefix_len(m))) {
                    Some((_, Some(len))) => write!(f, "/{len}"),
                    Some((mask, None)) => write!(f, "/{}", Ipv6Text(ipv6(mask))),
                    None => Ok(()),
                }
            }
            Format::Port10 => names::put_port(f, crate::port::from_16(small as u16)),
            Format::Port => names::put_port(f, small as u32),
            Format::Frag => f.write_str(frag(small, small_mask)),
            Format::TunFlags | Format::TcpFlags | Format::CtState => {
                names::put_flags(f, names::flags_of(self.field.format), small, small_mask)
            }
            Format::PacketType => write!(f, "({},{:#x})", small >> 16, small & 0xffff),
        }
    }
}

/// Bits of `ip_frag`: 1 = some fragment, 2 = not the first.
const FRAGS: &[(&str, u64, u64)] = &[
    ("no", 0, 3),
    ("first", 1, 3),
    ("later", 3, 3),
    ("no", 0, 1),
    ("yes", 1, 1),
    ("not_later", 0, 2),
    ("later", 2, 2),
];

fn frag(value: u64, mask: Option<u64>) -> &'static str {
    let mask = mask.unwrap_or(3);
    FRAGS.iter().find(|(_, v, m)| *v == value && *m == mask).map_or("<error>", |(name, ..)| name)
}

/// Reads a value and a mask, in any form that the field's format allows.
pub(super) fn parse(field: &'static Field, text: &str) -> Result<(Value, Option<Value>), ParseError> {
    let bad = |why: &str| ParseError::new(text, format!("{}: {why}", field.name));
    match field.format {
        Format::TunFlags | Format::TcpFlags | Format::CtState => parse_flags(field, text),
        Format::Frag => {
            // "no" and "later" have two forms each, of which the first of the table is meant.
            let form = FRAGS.iter().find(|(name, ..)| *name == text);
            let (_, v, m) = *form.ok_or_else(|| bad("no, yes, first, later or not_later"))?;
            Ok((v.into(), Some(m.into())))
        }
        Format::PacketType => {
            let inner = text.trim_start_matches('(').trim_end_matches(')');
            let (ns, kind) = inner.split_once(',').ok_or_else(|| bad("(namespace,type)"))?;
            let (ns, kind): (u16, u16) = (integer(ns, "namespace")?, integer(kind, "type")?);
            Ok((Value::from(u32::from(ns) << 16 | u32::from(kind)), None))
        }
        Format::Port => Ok((names::port_of(text)?.into(), None)),
        Format::Port10 => Ok((names::port16_of(text)?.into(), None)),
        _ => {
            let (value, mask) = match text.split_once('/') {
                Some((value, mask)) => (value, Some(mask)),
                None => (text, None),
            };
            let parsed = single(field, value).ok_or_else(|| bad("not a value of this field"))?;
            let mask = match mask {
                None => None,
                Some(m) => Some(parse_mask(field, m).ok_or_else(|| bad("not a mask of this field"))?),
            };
            Ok((parsed, mask))
        }
    }
}

fn single(field: &'static Field, text: &str) -> Option<Value> {
    match field.format {
        Format::Ethernet => mac(text),
        Format::Ipv4 => text.parse::<Ipv4Addr>().ok().map(Value::from),
        Format::Ipv6 => text.parse::<Ipv6Addr>().ok().map(Value::from),
        _ if field.is_variable() => wide_number(text),
        _ => number(text).map(Value::from),
    }
}

fn parse_mask(field: &'static Field, text: &str) -> Option<Value> {
    let bits: u32 = match field.format {
        Format::Ipv4 => 32,
        Format::Ipv6 => 128,
        _ => return single(field, text),
    };
    match text.parse::<u32>() {
        Ok(len) if len <= bits => {
            let ones = u128::MAX.checked_shl(128 - len).unwrap_or(0);
            Some(Value::from(ones).resize_prefix(usize::try_from(bits / 8).ok()?))
        }
        _ => single(field, text),
    }
}

fn mac(text: &str) -> Option<Value> {
    let mut bytes = [0u8; 6];
    let mut parts = text.split(':');
    for b in &mut bytes {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()))?;
        *b = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then(|| Value::from(bytes))
}

/// A number of up to 124 bytes.
fn wide_number(text: &str) -> Option<Value> {
    let Some(hex) = text.strip_prefix("0x") else { return number(text).map(Value::from) };
    if hex.is_empty() || hex.len() > 248 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = Vec::with_capacity(hex.len().div_ceil(2));
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or_default() as u8;
    let mut digits = hex.bytes().peekable();
    if hex.len() % 2 == 1 {
        bytes.extend(digits.next().map(digit));
    }
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        bytes.push(digit(high) << 4 | digit(low));
    }
    Some(Value::from_bytes(&bytes))
}

fn parse_flags(field: &'static Field, text: &str) -> Result<(Value, Option<Value>), ParseError> {
    let names = names::flags_of(field.format);
    let unknown =
        |name: &str| ParseError::new(name, format!("no flag of {}: there are {}", field.name, names.join(", ")));
    let bit = |name: &str| names.iter().position(|n| *n == name).map(|i| 1u64 << i).ok_or_else(|| unknown(name));
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let name = rest.get(1..).unwrap_or_default();
            let end = name.find(['+', '-']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            let b = bit(name)?;
            mask |= b;
            value |= if sign == '+' { b } else { 0 };
            rest = after;
        }
        return Ok((value.into(), Some(mask.into())));
    }
    if let Some((value, mask)) = text.split_once('/') {
        let (value, mask): (u64, u64) = (integer(value, field.name)?, integer(mask, field.name)?);
        return Ok((value.into(), Some(mask.into())));
    }
    let mut value = 0;
    for name in text.split('|') {
        value |= match number(name) {
            Some(n) => u64::try_from(n).map_err(|_| unknown(name))?,
            None => bit(name)?,
        };
    }
    let all = if field == field::TUN_FLAGS { 1 } else { (1u64 << names.len()) - 1 };
    Ok((value.into(), Some(all.into())))
}
