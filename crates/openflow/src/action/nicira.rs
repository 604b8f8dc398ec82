//! The extensions of Open vSwitch, `NXAST_*`. Their layouts are in `ofp-actions.c` of Open vSwitch and nowhere else.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::codec::{decode_nested, encode_nested, read_header};
use super::*;
use crate::error::EncodeError;
use crate::wire::{Reader, pad8, set_len};

mod bigger;

/// Nicira's id among the experimenters.
pub(super) const VENDOR: u32 = 0x2320;

/// Subtype of a resubmit to a table (`NXAST_RESUBMIT_TABLE`).
pub(super) const RESUBMIT_TABLE: u8 = 14;

/// Writes what follows type and length: vendor, subtype, body.
pub(super) fn encode(action: &Action, out: &mut BytesMut, depth: usize) -> Result<(), EncodeError> {
    let start = out.len() - 4;
    out.put_u32(VENDOR);
    let subtype = subtype(action);
    out.put_u16(subtype);
    match action {
        Action::Resubmit { in_port, table, .. } => {
            out.put_u16(in_port.unwrap_or(IN_PORT));
            if subtype != 1 {
                out.put_u8(table.unwrap_or(u8::MAX));
            }
        }
        Action::DecTtlIds(ids) => {
            out.put_u16(length16("dec_ttl's list of controllers", ids.len())?);
            out.put_bytes(0, 4);
            ids.iter().for_each(|id| out.put_u16(*id));
        }
        Action::Conjunction { id, clause, n_clauses } => {
            out.put_u8(*clause);
            out.put_u8(*n_clauses);
            out.put_u32(*id);
        }
        Action::Clone(actions) => {
            out.put_bytes(0, 6);
            encode_nested(actions, out, depth + 1)?;
        }
        Action::Note(bytes) => out.put_slice(bytes),
        Action::CheckPktLarger { pkt_len, dst } => {
            out.put_u16(*pkt_len);
            out.put_u16(dst.ofs);
            put_header(dst.field(), out);
            fill(out, start, 24);
        }
        Action::StackPush(part) | Action::StackPop(part) => {
            out.put_u16(part.ofs);
            put_header(part.field(), out);
            out.put_u16(part.n_bits);
            fill(out, start, 24);
        }
        Action::OutputReg { src, max_len } => {
            out.put_u16(ofs_n_bits(src)?);
            if subtype == 32 {
                out.put_u16(*max_len);
                put_header(src.field(), out);
            } else {
                put_header(src.field(), out);
                out.put_u16(*max_len);
            }
            fill(out, start, 24);
        }
        Action::OutputTrunc { port, max_len } => {
            out.put_u16(*port);
            out.put_u32(*max_len);
        }
        Action::FinTimeout { idle, hard } => {
            out.put_u16(*idle);
            out.put_u16(*hard);
        }
        Action::Decap(packet_type) => {
            out.put_u16(0);
            out.put_u32(*packet_type);
        }
        Action::DeleteField(field) => {
            put_header(field, out);
            fill(out, start, 24);
        }
        Action::Controller(c) => bigger::put_controller(c, out)?,
        Action::Ct(ct) => bigger::put_ct(ct, out, depth)?,
        Action::Nat(nat) => bigger::put_nat(nat, out),
        Action::Learn(learn) => bigger::put_learn(learn, out)?,
        Action::Multipath(m) => bigger::put_multipath(m, out)?,
        Action::Bundle(b) => bigger::put_bundle(b, out)?,
        Action::Sample(s) => bigger::put_sample(s, out),
        Action::Encap(e) => bigger::put_encap(e, out)?,
        _ => {}
    }
    pad8(out, start);
    // The header alone is 10 bytes: no action of ours is shorter than 16.
    fill(out, start, 16);
    Ok(())
}

fn subtype(action: &Action) -> u16 {
    match action {
        Action::Resubmit { table: None, ct: false, .. } => 1,
        Action::PopQueue => 5,
        Action::Note(_) => 8,
        Action::Multipath(_) => 10,
        Action::Bundle(b) => 12 + u16::from(b.dst.is_some()),
        Action::Resubmit { ct: false, .. } => RESUBMIT_TABLE.into(),
        Action::OutputReg { src, .. } if src.field().nxm_code().header_len() == 8 => 32,
        Action::OutputReg { .. } => 15,
        Action::Learn(l) if l.limit != 0 || l.result_dst.is_some() => 45,
        Action::Learn(_) => 16,
        Action::Exit => 17,
        Action::FinTimeout { .. } => 19,
        Action::Controller(c) if c.userdata.is_empty() && !c.pause && c.meter_id == 0 => 20,
        Action::DecTtlIds(_) => 21,
        Action::StackPush(_) => 27,
        Action::StackPop(_) => 28,
        Action::Sample(s) if s.direction != 0 => 41,
        Action::Sample(s) if s.sampling_port != u16::MAX => 38,
        Action::Sample(_) => 29,
        Action::Conjunction { .. } => 34,
        Action::Ct(_) => 35,
        Action::Nat(_) => 36,
        Action::Controller(_) => 37,
        Action::OutputTrunc { .. } => 39,
        Action::Clone(_) => 42,
        Action::CtClear => 43,
        Action::Resubmit { .. } => 44,
        Action::Encap(_) => 46,
        Action::Decap(_) => 47,
        Action::DecNshTtl => 48,
        Action::CheckPktLarger { .. } => 49,
        Action::DeleteField(_) => 50,
        // The others have numbers of OpenFlow's own: `codec::encode` never sends them here.
        _ => u16::MAX,
    }
}

/// Reads what follows the vendor. `bytes` is the whole action.
pub(super) fn decode(bytes: &Bytes, mut r: Reader<'_>, depth: usize) -> Option<Action> {
    let subtype = r.u16().ok()?;
    let body = || bytes.slice(16.min(bytes.len())..);
    Some(match subtype {
        1 => Action::Resubmit { in_port: some_port(r.u16().ok()?), table: None, ct: false },
        5 => Action::PopQueue,
        8 => Action::Note(r.rest().to_vec()),
        10 => Action::Multipath(Box::new(bigger::read_multipath(&mut r)?)),
        12 | 13 => Action::Bundle(Box::new(bigger::read_bundle(&mut r, subtype == 13)?)),
        14 => Action::Resubmit { in_port: some_port(r.u16().ok()?), table: Some(r.u8().ok()?), ct: false },
        15 => {
            let (ofs, n_bits) = read_ofs_n_bits(&mut r)?;
            let src = Subfield::new(read_header(&mut r)?, ofs, n_bits);
            Action::OutputReg { src, max_len: r.u16().ok()? }
        }
        16 | 45 => Action::Learn(Box::new(bigger::read_learn(&mut r, subtype == 45)?)),
        17 => Action::Exit,
        19 => Action::FinTimeout { idle: r.u16().ok()?, hard: r.u16().ok()? },
        20 => {
            let (max_len, controller_id, reason) = (r.u16().ok()?, r.u16().ok()?, r.u8().ok()?);
            Action::Controller(Box::new(Controller { max_len, controller_id, reason, ..Controller::default() }))
        }
        21 => {
            let n = r.u16().ok()?;
            r.skip(4).ok()?;
            Action::DecTtlIds((0..n).map(|_| r.u16().ok()).collect::<Option<SmallVec<[u16; 4]>>>()?)
        }
        27 | 28 => {
            let ofs = r.u16().ok()?;
            let field = read_header(&mut r)?;
            let part = Subfield::new(field, ofs, r.u16().ok()?);
            if subtype == 27 { Action::StackPush(part) } else { Action::StackPop(part) }
        }
        29 | 38 | 41 => Action::Sample(Box::new(bigger::read_sample(&mut r, subtype)?)),
        32 => {
            let (ofs, n_bits) = read_ofs_n_bits(&mut r)?;
            let max_len = r.u16().ok()?;
            Action::OutputReg { src: Subfield::new(read_header(&mut r)?, ofs, n_bits), max_len }
        }
        34 => Action::Conjunction { clause: r.u8().ok()?, n_clauses: r.u8().ok()?, id: r.u32().ok()? },
        35 => Action::Ct(Box::new(bigger::read_ct(&mut r, bytes, depth)?)),
        36 => Action::Nat(Box::new(bigger::read_nat(&mut r)?)),
        37 => Action::Controller(Box::new(bigger::read_controller(&mut r)?)),
        39 => Action::OutputTrunc { port: r.u16().ok()?, max_len: r.u32().ok()? },
        42 => Action::Clone(decode_nested(body(), depth + 1).ok()?),
        43 => Action::CtClear,
        44 => Action::Resubmit { in_port: some_port(r.u16().ok()?), table: Some(r.u8().ok()?), ct: true },
        46 => Action::Encap(Box::new(bigger::read_encap(&mut r)?)),
        47 => {
            r.skip(2).ok()?;
            Action::Decap(r.u32().ok()?)
        }
        48 => Action::DecNshTtl,
        49 => {
            let (pkt_len, ofs) = (r.u16().ok()?, r.u16().ok()?);
            Action::CheckPktLarger { pkt_len, dst: Subfield::new(read_header(&mut r)?, ofs, 1) }
        }
        50 => Action::DeleteField(read_header(&mut r)?),
        _ => return None,
    })
}

/// The header that names a field. These actions are older than OXM, and keep to the names of NXM where there are both.
fn put_header(field: &'static Field, out: &mut BytesMut) {
    super::codec::put_code(field, field.nxm_code(), out);
}

/// `OFPP_IN_PORT` in 16 bits.
pub(super) const IN_PORT: u16 = 0xfff8;

fn some_port(port: u16) -> Option<u16> {
    (port != IN_PORT).then_some(port)
}

/// Zeros up to `len` bytes from `start`: a layout with a fixed size.
fn fill(out: &mut BytesMut, start: usize, len: usize) {
    out.put_bytes(0, (start + len).saturating_sub(out.len()));
}

fn length16(what: &'static str, length: usize) -> Result<u16, EncodeError> {
    u16::try_from(length).map_err(|_| EncodeError::TooLong { what, length, max: usize::from(u16::MAX) })
}

/// Offset in the upper 10 bits, number of bits - 1 in the lower 6.
fn ofs_n_bits(part: &Subfield) -> Result<u16, EncodeError> {
    let fits = part.ofs < 1024 && (1..=64).contains(&part.n_bits);
    let bad = EncodeError::BadValue { what: "a part of a field (1 to 64 bits)", value: part.n_bits.into() };
    if fits { Ok(part.ofs << 6 | (part.n_bits - 1)) } else { Err(bad) }
}

fn read_ofs_n_bits(r: &mut Reader<'_>) -> Option<(u16, u16)> {
    let both = r.u16().ok()?;
    Some((both >> 6, (both & 0x3f) + 1))
}
