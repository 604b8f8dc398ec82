//! The extensions that have parts.

use super::*;
use crate::value::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Properties of `NXAST_CONTROLLER2`; each is padded to 8 bytes, which its length does not count, except of those of 16 bits.
mod property {
    pub const MAX_LEN: u16 = 0;
    pub const CONTROLLER_ID: u16 = 1;
    pub const REASON: u16 = 2;
    pub const USERDATA: u16 = 3;
    pub const PAUSE: u16 = 4;
    pub const METER_ID: u16 = 5;
}

pub(super) fn put_controller(c: &Controller, out: &mut BytesMut) -> Result<(), EncodeError> {
    if c.userdata.is_empty() && !c.pause && c.meter_id == 0 {
        out.put_u16(c.max_len);
        out.put_u16(c.controller_id);
        out.put_u8(c.reason);
        return Ok(());
    }
    out.put_bytes(0, 6);
    let mut put = |kind: u16, body: &[u8]| {
        let start = out.len();
        out.put_u16(kind);
        out.put_u16(0);
        out.put_slice(body);
        let done = set_len(out, start, 2, "userdata");
        pad8(out, start);
        done
    };
    if c.max_len != u16::MAX {
        put(property::MAX_LEN, &u32_of(c.max_len))?;
    }
    if c.controller_id != 0 {
        put(property::CONTROLLER_ID, &u32_of(c.controller_id))?;
    }
    if c.reason != Controller::REASON_ACTION {
        put(property::REASON, &[c.reason])?;
    }
    if !c.userdata.is_empty() {
        put(property::USERDATA, &c.userdata)?;
    }
    if c.pause {
        put(property::PAUSE, &[])?;
    }
    if c.meter_id != 0 {
        put(property::METER_ID, &c.meter_id.to_be_bytes())?;
    }
    Ok(())
}

/// 16 bits, and 16 of padding.
fn u32_of(n: u16) -> [u8; 4] {
    (u32::from(n) << 16).to_be_bytes()
}

pub(super) fn read_controller(r: &mut Reader<'_>) -> Option<Controller> {
    let mut c = Controller::default();
    r.skip(6).ok()?;
    while !r.is_empty() {
        let (kind, len) = (r.u16().ok()?, usize::from(r.u16().ok()?));
        let mut body = Reader::new("controller", r.take(len.checked_sub(4)?).ok()?);
        r.skip(len.next_multiple_of(8) - len).ok()?;
        match kind {
            property::MAX_LEN => c.max_len = body.u16().ok()?,
            property::CONTROLLER_ID => c.controller_id = body.u16().ok()?,
            property::REASON => c.reason = body.u8().ok()?,
            property::USERDATA => c.userdata = body.rest().to_vec(),
            property::PAUSE => c.pause = true,
            property::METER_ID => c.meter_id = body.u32().ok()?,
            _ => return None,
        }
    }
    Some(c)
}

pub(super) fn put_ct(ct: &Ct, out: &mut BytesMut, depth: usize) -> Result<(), EncodeError> {
    out.put_u16(u16::from(ct.commit) | u16::from(ct.force) << 1);
    match &ct.zone {
        Zone::Fixed(zone) => {
            out.put_u32(0);
            out.put_u16(*zone);
        }
        Zone::From(part) => {
            if part.field().nxm_code().header_len() != 4 {
                return Err(EncodeError::BadValue { what: "ct's zone, a field with experimenter", value: 0 });
            }
            put_header(part.field(), out);
            out.put_u16(ofs_n_bits(part)?);
        }
    }
    out.put_u8(ct.table.unwrap_or(u8::MAX));
    out.put_bytes(0, 3);
    out.put_u16(ct.alg);
    encode_nested(&ct.actions, out, depth + 1)
}

pub(super) fn read_ct(r: &mut Reader<'_>, bytes: &Bytes, depth: usize) -> Option<Ct> {
    let flags = r.u16().ok()?;
    let mut header = *r;
    let zone = if header.u32().ok()? == 0 {
        r.skip(4).ok()?;
        Zone::Fixed(r.u16().ok()?)
    } else {
        let field = read_header(r)?;
        let (ofs, n_bits) = read_ofs_n_bits(r)?;
        Zone::From(Subfield::new(field, ofs, n_bits))
    };
    let table = r.u8().ok()?;
    r.skip(3).ok()?;
    let alg = r.u16().ok()?;
    let nested = bytes.len().checked_sub(r.rest().len())?;
    let actions = decode_nested(bytes.slice(nested..), depth + 1).ok()?;
    let table = (table != u8::MAX).then_some(table);
    Some(Ct { commit: flags & 1 != 0, force: flags & 2 != 0, zone, table, alg, actions })
}

pub(super) fn put_nat(nat: &Nat, out: &mut BytesMut) {
    out.put_u16(0);
    out.put_u16(nat.flags);
    let addr = |a: &Option<IpAddr>, bit: u16| match a {
        Some(IpAddr::V4(_)) => bit,
        Some(IpAddr::V6(_)) => bit << 2,
        None => 0,
    };
    let port = |p: &Option<u16>, bit: u16| if p.is_some() { bit } else { 0 };
    out.put_u16(addr(&nat.addr_min, 1) | addr(&nat.addr_max, 2) | port(&nat.port_min, 16) | port(&nat.port_max, 32));
    for a in [nat.addr_min, nat.addr_max].into_iter().flatten() {
        match a {
            IpAddr::V4(a) => out.put_slice(&a.octets()),
            IpAddr::V6(a) => out.put_slice(&a.octets()),
        }
    }
    for p in [nat.port_min, nat.port_max].into_iter().flatten() {
        out.put_u16(p);
    }
}

pub(super) fn read_nat(r: &mut Reader<'_>) -> Option<Nat> {
    r.skip(2).ok()?;
    let (flags, present) = (r.u16().ok()?, r.u16().ok()?);
    let mut addr = |four: u16, six: u16| -> Option<Option<IpAddr>> {
        Some(if present & four != 0 {
            Some(Ipv4Addr::from(r.octets::<4>().ok()?).into())
        } else if present & six != 0 {
            Some(Ipv6Addr::from(r.octets::<16>().ok()?).into())
        } else {
            None
        })
    };
    let (addr_min, addr_max) = (addr(1, 4)?, addr(2, 8)?);
    let mut port =
        |bit: u16| -> Option<Option<u16>> { Some(if present & bit != 0 { Some(r.u16().ok()?) } else { None }) };
    Some(Nat { flags, addr_min, addr_max, port_min: port(16)?, port_max: port(32)? })
}

/// Bits of the header of a piece of a learned flow.
mod spec {
    pub const IMMEDIATE: u16 = 1 << 13;
    pub const LOAD: u16 = 1 << 11;
    pub const OUTPUT: u16 = 2 << 11;
    pub const N_BITS: u16 = 0x3ff;
}

pub(super) fn put_learn(l: &Learn, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(l.idle_timeout);
    out.put_u16(l.hard_timeout);
    out.put_u16(l.priority);
    out.put_u64(l.cookie);
    let flag = |on: bool, bit: u16| if on { bit } else { 0 };
    out.put_u16(flag(l.send_flow_rem, 1) | flag(l.delete_learned, 2) | flag(l.result_dst.is_some(), 4));
    out.put_u8(l.table);
    out.put_u8(0);
    out.put_u16(l.fin_idle_timeout);
    out.put_u16(l.fin_hard_timeout);
    if l.limit != 0 || l.result_dst.is_some() {
        out.put_u32(l.limit);
        out.put_u16(l.result_dst.map_or(0, |d| d.ofs));
        out.put_u16(0);
        if let Some(dst) = &l.result_dst {
            put_header(dst.field(), out);
        }
    }
    l.specs.iter().try_for_each(|s| put_spec(s, out))
}

fn put_spec(s: &LearnSpec, out: &mut BytesMut) -> Result<(), EncodeError> {
    if s.n_bits == 0 || s.n_bits > spec::N_BITS {
        return Err(EncodeError::BadValue { what: "bits of a learned field", value: s.n_bits.into() });
    }
    let src = if matches!(s.src, LearnSrc::Immediate(_)) { spec::IMMEDIATE } else { 0 };
    let dst = match s.dst {
        LearnDst::Match(..) => 0,
        LearnDst::Load(..) => spec::LOAD,
        LearnDst::Output => spec::OUTPUT,
    };
    out.put_u16(src | dst | s.n_bits);
    let part = |field: &'static Field, ofs: u16, out: &mut BytesMut| {
        put_header(field, out);
        out.put_u16(ofs);
    };
    match &s.src {
        LearnSrc::Field(field, ofs) => part(field, *ofs, out),
        LearnSrc::Immediate(value) => {
            let len = usize::from(s.n_bits).div_ceil(16) * 2;
            if value.resize(len).as_bytes().len() != len {
                return Err(EncodeError::TooLong { what: "a learned value", length: value.as_bytes().len(), max: len });
            }
            out.put_slice(value.resize(len).as_bytes());
        }
    }
    match s.dst {
        LearnDst::Match(field, ofs) | LearnDst::Load(field, ofs) => part(field, ofs, out),
        LearnDst::Output => {}
    }
    Ok(())
}

pub(super) fn read_learn(r: &mut Reader<'_>, second: bool) -> Option<Learn> {
    let (idle_timeout, hard_timeout, priority) = (r.u16().ok()?, r.u16().ok()?, r.u16().ok()?);
    let (cookie, flags, table) = (r.u64().ok()?, r.u16().ok()?, r.u8().ok()?);
    r.skip(1).ok()?;
    let (fin_idle_timeout, fin_hard_timeout) = (r.u16().ok()?, r.u16().ok()?);
    let (mut limit, mut result_dst) = (0, None);
    if second {
        limit = r.u32().ok()?;
        let ofs = r.u16().ok()?;
        r.skip(2).ok()?;
        if flags & 4 != 0 {
            result_dst = Some(Subfield::new(read_header(r)?, ofs, 1));
        }
    }
    let mut specs = Vec::new();
    while r.rest().len() >= 2 {
        let head = r.u16().ok()?;
        if head == 0 {
            break;
        }
        let n_bits = head & spec::N_BITS;
        let src = if head & spec::IMMEDIATE != 0 {
            let len = usize::from(n_bits).div_ceil(16) * 2;
            LearnSrc::Immediate(Value::from_bytes(r.take(len).ok()?))
        } else {
            LearnSrc::Field(read_header(r)?, r.u16().ok()?)
        };
        let dst = match head & (spec::LOAD | spec::OUTPUT) {
            0 => LearnDst::Match(read_header(r)?, r.u16().ok()?),
            spec::LOAD => LearnDst::Load(read_header(r)?, r.u16().ok()?),
            spec::OUTPUT => LearnDst::Output,
            _ => return None,
        };
        specs.push(LearnSpec { n_bits, src, dst });
    }
    Some(Learn {
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        table,
        fin_idle_timeout,
        fin_hard_timeout,
        send_flow_rem: flags & 1 != 0,
        delete_learned: flags & 2 != 0,
        limit,
        result_dst,
        specs,
    })
}

pub(super) fn put_multipath(m: &Multipath, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(m.fields.0);
    out.put_u16(m.basis);
    out.put_u16(0);
    out.put_u16(m.algorithm);
    out.put_u16(m.max_link);
    out.put_u32(m.arg);
    out.put_u16(0);
    out.put_u16(ofs_n_bits(&m.dst)?);
    short_header(m.dst.field(), out)
}

pub(super) fn read_multipath(r: &mut Reader<'_>) -> Option<Multipath> {
    let (fields, basis) = (HashFields(r.u16().ok()?), r.u16().ok()?);
    r.skip(2).ok()?;
    let (algorithm, max_link, arg) = (r.u16().ok()?, r.u16().ok()?, r.u32().ok()?);
    r.skip(2).ok()?;
    let (ofs, n_bits) = read_ofs_n_bits(r)?;
    let dst = Subfield::new(read_header(r)?, ofs, n_bits);
    Some(Multipath { fields, basis, algorithm, max_link, arg, dst })
}

/// `NXM_OF_IN_PORT`, which stands for "members are ports": the only kind there is.
const MEMBERS_ARE_PORTS: u32 = 2;

pub(super) fn put_bundle(b: &Bundle, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(b.algorithm);
    out.put_u16(b.fields.0);
    out.put_u16(b.basis);
    out.put_u32(MEMBERS_ARE_PORTS);
    out.put_u16(length16("a bundle's list of members", b.members.len())?);
    match &b.dst {
        Some(dst) => {
            out.put_u16(ofs_n_bits(dst)?);
            short_header(dst.field(), out)?;
        }
        None => out.put_bytes(0, 6),
    }
    out.put_bytes(0, 4);
    b.members.iter().for_each(|m| out.put_u16(*m));
    Ok(())
}

pub(super) fn read_bundle(r: &mut Reader<'_>, load: bool) -> Option<Bundle> {
    let (algorithm, fields, basis) = (r.u16().ok()?, HashFields(r.u16().ok()?), r.u16().ok()?);
    r.skip(4).ok()?;
    let n = r.u16().ok()?;
    let dst = if load {
        let (ofs, n_bits) = read_ofs_n_bits(r)?;
        Some(Subfield::new(read_header(r)?, ofs, n_bits))
    } else {
        r.skip(6).ok()?;
        None
    };
    r.skip(4).ok()?;
    let members = (0..n).map(|_| r.u16().ok()).collect::<Option<SmallVec<[u16; 4]>>>()?;
    Some(Bundle { algorithm, fields, basis, members, dst })
}

/// A header where the layout has room for four bytes only.
fn short_header(field: &'static Field, out: &mut BytesMut) -> Result<(), EncodeError> {
    let code = field.nxm_code();
    if code.header_len() != 4 {
        return Err(EncodeError::BadValue { what: "a field with experimenter", value: code.experimenter.into() });
    }
    put_header(field, out);
    Ok(())
}

pub(super) fn put_sample(s: &Sample, out: &mut BytesMut) {
    out.put_u16(s.probability);
    out.put_u32(s.collector_set_id);
    out.put_u32(s.obs_domain_id);
    out.put_u32(s.obs_point_id);
    if s.direction != 0 || s.sampling_port != u16::MAX {
        out.put_u16(s.sampling_port);
        out.put_u8(s.direction);
    }
}

pub(super) fn read_sample(r: &mut Reader<'_>, subtype: u16) -> Option<Sample> {
    let (probability, collector_set_id) = (r.u16().ok()?, r.u32().ok()?);
    let (obs_domain_id, obs_point_id) = (r.u32().ok()?, r.u32().ok()?);
    let sampling_port = if subtype == 29 { u16::MAX } else { r.u16().ok()? };
    let direction = if subtype == 41 { r.u8().ok()? } else { 0 };
    Some(Sample { probability, collector_set_id, obs_domain_id, obs_point_id, sampling_port, direction })
}

pub(super) fn put_encap(e: &Encap, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(e.hdr_size);
    out.put_u32(e.packet_type);
    for p in &e.properties {
        let start = out.len();
        out.put_u16(p.class);
        out.put_u8(p.kind);
        let length = 4 + p.data.len();
        let short = u8::try_from(length);
        out.put_u8(short.map_err(|_| EncodeError::TooLong { what: "encap", length, max: u8::MAX.into() })?);
        out.put_slice(&p.data);
        out.put_bytes(0, (out.len() - start).next_multiple_of(8) - (out.len() - start));
    }
    Ok(())
}

pub(super) fn read_encap(r: &mut Reader<'_>) -> Option<Encap> {
    let (hdr_size, packet_type) = (r.u16().ok()?, r.u32().ok()?);
    let mut properties = Vec::new();
    while !r.is_empty() {
        let (class, kind, len) = (r.u16().ok()?, r.u8().ok()?, usize::from(r.u8().ok()?));
        let data = r.take(len.checked_sub(4)?).ok()?.to_vec();
        r.skip(len.next_multiple_of(8) - len).ok()?;
        properties.push(EncapProperty { class, kind, data });
    }
    Some(Encap { hdr_size, packet_type, properties })
}
