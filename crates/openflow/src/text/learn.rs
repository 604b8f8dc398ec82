//! The learn action, which has a little language of its own.

use std::fmt::{self, Display};

use super::number::{integer, number};
use super::subfield::subfield;
use super::tokens::{self, Token};
use super::value::{self, Shown};
use crate::action::{Learn, LearnDst, LearnSpec, LearnSrc, Subfield};
use crate::field::Field;
use crate::{Action, Flow, ParseError, Value};

/// A number as `0x..` in all its bytes, leading zeros left out; zero is `0`.
struct Hex<'a>(&'a Value);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut significant = self.0.as_bytes().iter().skip_while(|b| **b == 0);
        match significant.next() {
            None => f.write_str("0"),
            Some(first) => {
                write!(f, "{first:#x}")?;
                significant.try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

impl Display for LearnSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |field: &'static Field, ofs: u16| Subfield::new(field, ofs, self.n_bits);
        match (&self.src, &self.dst) {
            (LearnSrc::Immediate(value), LearnDst::Match(field, ofs)) => {
                if part(field, *ofs).is_all() {
                    let value = value.resize(field.bytes.into());
                    write!(f, "{}={}", field.name, Shown { field, value: &value, mask: None })
                } else {
                    write!(f, "{}={}", part(field, *ofs), Hex(value))
                }
            }
            (LearnSrc::Field(src, from), LearnDst::Match(dst, to)) => {
                write!(f, "{}", part(dst, *to))?;
                if (src, from) == (dst, to) { Ok(()) } else { write!(f, "={}", part(src, *from)) }
            }
            (LearnSrc::Immediate(value), LearnDst::Load(dst, to)) => {
                write!(f, "load:{}->{}", Hex(value), part(dst, *to))
            }
            (LearnSrc::Field(src, from), LearnDst::Load(dst, to)) => {
                write!(f, "load:{}->{}", part(src, *from), part(dst, *to))
            }
            (LearnSrc::Field(src, from), LearnDst::Output) => write!(f, "output:{}", part(src, *from)),
            (LearnSrc::Immediate(value), LearnDst::Output) => write!(f, "output:{}", Hex(value)),
        }
    }
}

impl Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "learn(table={}", self.table)?;
        let numbers = [
            ("idle_timeout", self.idle_timeout, 0),
            ("hard_timeout", self.hard_timeout, 0),
            ("fin_idle_timeout", self.fin_idle_timeout, 0),
            ("fin_hard_timeout", self.fin_hard_timeout, 0),
            ("priority", self.priority, Flow::DEFAULT_PRIORITY),
        ];
        for (name, number, default) in numbers {
            if number != default {
                write!(f, ",{name}={number}")?;
            }
        }
        f.write_str(if self.send_flow_rem { ",send_flow_rem" } else { "" })?;
        f.write_str(if self.delete_learned { ",delete_learned" } else { "" })?;
        if self.cookie != 0 {
            write!(f, ",cookie={:#x}", self.cookie)?;
        }
        if self.limit != 0 {
            write!(f, ",limit={}", self.limit)?;
        }
        if let Some(dst) = &self.result_dst {
            write!(f, ",result_dst={dst}")?;
        }
        self.specs.iter().try_for_each(|s| write!(f, ",{s}"))?;
        f.write_str(")")
    }
}

/// `learn(ARGUMENT,...)`.
pub(super) fn parse(t: &Token<'_>) -> Result<Action, ParseError> {
    let mut l = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: Flow::DEFAULT_PRIORITY,
        cookie: 0,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: 0,
        result_dst: None,
        specs: Vec::new(),
    };
    for a in tokens::split(t.arguments()?)? {
        match a.key {
            "table" => l.table = integer(a.rest, "a table")?,
            "idle_timeout" => l.idle_timeout = integer(a.rest, "a timeout")?,
            "hard_timeout" => l.hard_timeout = integer(a.rest, "a timeout")?,
            "fin_idle_timeout" => l.fin_idle_timeout = integer(a.rest, "a timeout")?,
            "fin_hard_timeout" => l.fin_hard_timeout = integer(a.rest, "a timeout")?,
            "priority" => l.priority = integer(a.rest, "a priority")?,
            "cookie" => l.cookie = integer(a.rest, "a cookie")?,
            "send_flow_rem" => l.send_flow_rem = true,
            "delete_learned" => l.delete_learned = true,
            "limit" => l.limit = integer(a.rest, "a limit")?,
            "result_dst" => l.result_dst = Some(subfield(a.rest)?),
            _ => l.specs.push(spec(&a)?),
        }
    }
    Ok(Action::Learn(Box::new(l)))
}

fn spec(t: &Token<'_>) -> Result<LearnSpec, ParseError> {
    if t.key == "output" {
        let src = subfield(t.rest)?;
        return Ok(LearnSpec { n_bits: src.n_bits, src: LearnSrc::Field(src.field(), src.ofs), dst: LearnDst::Output });
    }
    if t.key == "load" {
        let (value, dst) = t.rest.split_once("->").ok_or_else(|| t.error("load:VALUE->FIELD[]"))?;
        let dst = subfield(dst)?;
        let to = LearnDst::Load(dst.field(), dst.ofs);
        return Ok(LearnSpec { n_bits: dst.n_bits, src: source(t, value, dst)?, dst: to });
    }
    let dst = subfield(t.key)?;
    let to = LearnDst::Match(dst.field(), dst.ofs);
    let src = if t.text == t.key { LearnSrc::Field(dst.field(), dst.ofs) } else { source(t, t.rest, dst)? };
    Ok(LearnSpec { n_bits: dst.n_bits, src, dst: to })
}

/// A constant, in the field's own format or as a number, or another field of the same width.
fn source(t: &Token<'_>, text: &str, dst: Subfield) -> Result<LearnSrc, ParseError> {
    let len = usize::from(dst.n_bits).div_ceil(16) * 2;
    let constant = if dst.is_all() {
        value::parse(dst.field(), text).ok().map(|(value, _)| value)
    } else {
        number(text).map(Value::from)
    };
    if let Some(value) = constant {
        let value = value.resize(len);
        if value.as_bytes().len() != len {
            return Err(t.error(format!("a value of at most {} bits", dst.n_bits)));
        }
        return Ok(LearnSrc::Immediate(value));
    }
    let src = subfield(text)?;
    if src.n_bits != dst.n_bits {
        return Err(t.error(format!("{} bits do not go into {}", src.n_bits, dst.n_bits)));
    }
    Ok(LearnSrc::Field(src.field(), src.ofs))
}
