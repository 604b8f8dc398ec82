//! Lists of actions to bytes and back (OpenFlow 1.5.1, 7.2.6).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Action, SetField, Subfield, nicira};
use crate::error::{DecodeError, EncodeError};
use crate::field::{Class, Code, Field};
use crate::oxm;
use crate::wire::{Reader, pad8, set_len};

/// Nested lists (`clone`, `ct`) are followed this deep. Open vSwitch itself allows clones in clones; nobody uses many.
const MAX_DEPTH: usize = 16;

/// Appends the actions.
pub fn encode_list(actions: &[Action], out: &mut BytesMut) -> Result<(), EncodeError> {
    encode_nested(actions, out, 0)
}

pub(super) fn encode_nested(actions: &[Action], out: &mut BytesMut, depth: usize) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep { limit: MAX_DEPTH });
    }
    actions.iter().try_for_each(|a| encode(a, out, depth))
}

/// Reads actions to the end of `input`. What we do not know, or would have written otherwise, becomes [`Action::Raw`].
pub fn decode_list(input: Bytes) -> Result<Vec<Action>, DecodeError> {
    decode_nested(input, 0)
}

pub(super) fn decode_nested(mut input: Bytes, depth: usize) -> Result<Vec<Action>, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep { limit: MAX_DEPTH });
    }
    let mut actions = Vec::new();
    let mut scratch = BytesMut::new();
    while input.has_remaining() {
        let mut head = Reader::new("action", &input);
        head.u16()?;
        let length = usize::from(head.u16()?);
        if length < 8 || length % 8 != 0 {
            return Err(DecodeError::BadLength { what: "action", length });
        }
        if length > input.len() {
            return Err(DecodeError::Truncated { what: "action", need: length, have: input.len() });
        }
        let bytes = input.split_to(length);
        scratch.clear();
        let typed = decode(&bytes, depth)
            .filter(|action| encode(action, &mut scratch, depth).is_ok() && same(&scratch, &bytes));
        // A copy, so that one odd action does not keep a whole message in memory.
        actions.push(typed.unwrap_or_else(|| Action::Raw(bytes.as_ref().into())));
    }
    Ok(actions)
}

/// Whether two encodings are equal but for the length that stands in the name of a `tun_metadata*`: a switch puts there what
/// its TLV map says, we the longest there can be, and neither reads the other's.
pub(crate) fn same(ours: &[u8], theirs: &[u8]) -> bool {
    let name_of_option = |i: usize| {
        let header = i.checked_sub(3).and_then(|start| ours.get(start..=i));
        matches!(header, Some([0, 1, n, 124]) if n % 2 == 0 && (40..104).contains(&(n / 2)))
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).enumerate().all(|(i, (a, b))| a == b || name_of_option(i))
}

/// One action that is whole; `None` if it is none of those that we type.
fn decode(bytes: &Bytes, depth: usize) -> Option<Action> {
    let mut r = Reader::new("action", bytes);
    let kind = r.u16().ok()?;
    r.skip(2).ok()?;
    Some(match kind {
        0 => Action::Output { port: r.u32().ok()?, max_len: r.u16().ok()? },
        15 => Action::SetMplsTtl(r.u8().ok()?),
        16 => Action::DecMplsTtl,
        17 => Action::PushVlan(r.u16().ok()?),
        18 => Action::PopVlan,
        19 => Action::PushMpls(r.u16().ok()?),
        20 => Action::PopMpls(r.u16().ok()?),
        21 => Action::SetQueue(r.u32().ok()?),
        22 => Action::Group(r.u32().ok()?),
        23 => Action::SetTtl(r.u8().ok()?),
        24 => Action::DecTtl,
        25 => Action::SetField(SetField::from_oxm(r.rest())?),
        28 => {
            let (n_bits, src_ofs, dst_ofs) = (r.u16().ok()?, r.u16().ok()?, r.u16().ok()?);
            r.skip(2).ok()?;
            let (src, dst) = (read_header(&mut r)?, read_header(&mut r)?);
            Action::Move { src: Subfield::new(src, src_ofs, n_bits), dst: Subfield::new(dst, dst_ofs, n_bits) }
        }
        29 => Action::Meter(r.u32().ok()?),
        0xffff if r.u32().ok()? == nicira::VENDOR => nicira::decode(bytes, r, depth)?,
        _ => return None,
    })
}

fn encode(action: &Action, out: &mut BytesMut, depth: usize) -> Result<(), EncodeError> {
    if encode_short(action, out).is_some() {
        return Ok(());
    }
    let start = out.len();
    let kind = match action {
        Action::Raw(bytes) => {
            out.put_slice(bytes);
            return Ok(());
        }
        Action::Output { .. } => 0,
        Action::SetMplsTtl(_) => 15,
        Action::DecMplsTtl => 16,
        Action::PushVlan(_) => 17,
        Action::PopVlan => 18,
        Action::PushMpls(_) => 19,
        Action::PopMpls(_) => 20,
        Action::SetQueue(_) => 21,
        Action::Group(_) => 22,
        Action::SetTtl(_) => 23,
        Action::DecTtl => 24,
        Action::SetField(_) => 25,
        Action::Move { .. } => 28,
        Action::Meter(_) => 29,
        _ => 0xffff,
    };
    out.put_u16(kind);
    out.put_u16(0);
    match action {
        Action::Output { port, max_len } => {
            out.put_u32(*port);
            out.put_u16(*max_len);
        }
        Action::SetMplsTtl(ttl) | Action::SetTtl(ttl) => out.put_u8(*ttl),
        Action::DecMplsTtl | Action::PopVlan | Action::DecTtl => {}
        Action::PushVlan(ethertype) | Action::PushMpls(ethertype) | Action::PopMpls(ethertype) => {
            out.put_u16(*ethertype);
        }
        Action::SetQueue(id) | Action::Group(id) | Action::Meter(id) => out.put_u32(*id),
        Action::SetField(set) => out.put_slice(set.oxm_bytes()),
        Action::Move { src, dst } => {
            out.put_u16(src.n_bits);
            out.put_u16(src.ofs);
            out.put_u16(dst.ofs);
            out.put_u16(0);
            put_header(src.field(), out);
            put_header(dst.field(), out);
        }
        other => nicira::encode(other, out, depth)?,
    }
    pad8(out, start);
    set_len(out, start, 2, "an action")
}

/// The actions that nearly every flow has, each written in one piece: a host encodes hundreds of thousands. `None`, and nothing written, for
/// all others and for what is too long.
fn encode_short(action: &Action, out: &mut BytesMut) -> Option<()> {
    let mut bytes = [0; 32];
    let (head, body) = bytes.split_at_mut_checked(4)?;
    let (kind, len): (u16, usize) = match action {
        Action::SetField(set) => {
            let oxm = set.oxm_bytes();
            body.get_mut(..oxm.len())?.copy_from_slice(oxm);
            (25, oxm.len())
        }
        Action::Resubmit { in_port, table: Some(table), ct: false } => {
            let [port_high, port_low] = in_port.unwrap_or(nicira::IN_PORT).to_be_bytes();
            body.get_mut(..4)?.copy_from_slice(&nicira::VENDOR.to_be_bytes());
            body.get_mut(4..9)?.copy_from_slice(&[0, nicira::RESUBMIT_TABLE, port_high, port_low, *table]);
            (0xffff, 12)
        }
        Action::Move { src, dst } => {
            let header = |part: &Subfield| {
                let (field, code) = (part.field(), part.field().code());
                (code.class != Class::EXPERIMENTER).then(|| oxm::header(code, false, field.bytes.into()))
            };
            let (from, to) = (header(src)?, header(dst)?);
            body.get_mut(..2)?.copy_from_slice(&src.n_bits.to_be_bytes());
            body.get_mut(2..4)?.copy_from_slice(&src.ofs.to_be_bytes());
            body.get_mut(4..6)?.copy_from_slice(&dst.ofs.to_be_bytes());
            body.get_mut(8..12)?.copy_from_slice(&from);
            body.get_mut(12..16)?.copy_from_slice(&to);
            (28, 16)
        }
        _ => return None,
    };
    let len = (4 + len).next_multiple_of(8);
    let [[kind_high, kind_low], [len_high, len_low]] = [kind.to_be_bytes(), u16::try_from(len).ok()?.to_be_bytes()];
    head.copy_from_slice(&[kind_high, kind_low, len_high, len_low]);
    out.put_slice(bytes.get(..len)?);
    Some(())
}

/// The TLV header that names a field without a value.
fn put_header(field: &'static Field, out: &mut BytesMut) {
    put_code(field, field.code(), out);
}

pub(super) fn put_code(field: &'static Field, code: &Code, out: &mut BytesMut) {
    out.put_slice(&oxm::header(code, false, field.bytes.into()));
    if code.class == Class::EXPERIMENTER {
        out.put_u32(code.experimenter);
    }
}

/// Reads such a header. Names that we would not use ourselves are not understood: the action stays raw.
pub(super) fn read_header(r: &mut Reader<'_>) -> Option<&'static Field> {
    let class = Class(r.u16().ok()?);
    let number = r.u8().ok()? >> 1;
    r.skip(1).ok()?;
    let experimenter = if class == Class::EXPERIMENTER { r.u32().ok()? } else { 0 };
    Field::by_code(class, experimenter, number)
}
