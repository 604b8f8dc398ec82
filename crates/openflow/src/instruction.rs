//! Instructions: what a flow does with its actions (OpenFlow 1.5.1, 7.2.5).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::action::{self, Action};
use crate::error::{DecodeError, EncodeError};
use crate::wire::{Reader, pad8, set_len};

/// One instruction of a flow. At most one of each kind; the order does not matter to the switch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Continues in a later table.
    GotoTable(u8),
    /// Sets the bits of `mask` in the metadata field.
    WriteMetadata {
        /// The bits.
        metadata: u64,
        /// Those that are set.
        mask: u64,
    },
    /// Adds to the action set, which is done at the end of the pipeline.
    WriteActions(Vec<Action>),
    /// Does these actions now.
    ApplyActions(Vec<Action>),
    /// Empties the action set.
    ClearActions,
    /// Meters (OpenFlow 1.3 and 1.4; in 1.5 it is an action).
    Meter(u32),
    /// Anything else, header included, a multiple of 8 bytes.
    Raw(Box<[u8]>),
}

/// Appends the instructions.
pub fn encode_list(instructions: &[Instruction], out: &mut BytesMut) -> Result<(), EncodeError> {
    instructions.iter().try_for_each(|i| encode(i, out))
}

fn encode(instruction: &Instruction, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    let kind = match instruction {
        Instruction::Raw(bytes) => {
            out.put_slice(bytes);
            return Ok(());
        }
        Instruction::GotoTable(_) => 1,
        Instruction::WriteMetadata { .. } => 2,
        Instruction::WriteActions(_) => 3,
        Instruction::ApplyActions(_) => 4,
        Instruction::ClearActions => 5,
        Instruction::Meter(_) => 6,
    };
    out.put_u16(kind);
    out.put_u16(0);
    match instruction {
        Instruction::GotoTable(table) => out.put_u8(*table),
        Instruction::WriteMetadata { metadata, mask } => {
            out.put_u32(0);
            out.put_u64(*metadata);
            out.put_u64(*mask);
        }
        Instruction::WriteActions(actions) | Instruction::ApplyActions(actions) => {
            out.put_u32(0);
            action::encode_list(actions, out)?;
        }
        Instruction::Meter(id) => out.put_u32(*id),
        Instruction::ClearActions | Instruction::Raw(_) => {}
    }
    pad8(out, start);
    set_len(out, start, 2, "a flow's list of actions")
}

/// Reads instructions to the end of `input`. What we do not know, or would have written otherwise, is kept raw.
pub fn decode_list(mut input: Bytes) -> Result<Vec<Instruction>, DecodeError> {
    let mut list = Vec::new();
    let mut scratch = BytesMut::new();
    while input.has_remaining() {
        let mut head = Reader::new("instruction", &input);
        let kind = head.u16()?;
        let length = usize::from(head.u16()?);
        if length < 8 || length % 8 != 0 {
            return Err(DecodeError::BadLength { what: "instruction", length });
        }
        if length > input.len() {
            return Err(DecodeError::Truncated { what: "instruction", need: length, have: input.len() });
        }
        let bytes = input.split_to(length);
        scratch.clear();
        let same = |i: &Instruction| encode(i, &mut scratch).is_ok() && action::same(&scratch, &bytes);
        let typed = decode(kind, &bytes)?.filter(same);
        list.push(typed.unwrap_or_else(|| Instruction::Raw(bytes.as_ref().into())));
    }
    Ok(list)
}

/// One instruction that is whole; `None` if it is none of those that we type.
fn decode(kind: u16, bytes: &Bytes) -> Result<Option<Instruction>, DecodeError> {
    let mut r = Reader::new("instruction", bytes);
    r.skip(4)?;
    Ok(Some(match kind {
        1 => Instruction::GotoTable(r.u8()?),
        2 => {
            r.skip(4)?;
            Instruction::WriteMetadata { metadata: r.u64()?, mask: r.u64()? }
        }
        3 => Instruction::WriteActions(action::decode_list(bytes.slice(8..))?),
        4 => Instruction::ApplyActions(action::decode_list(bytes.slice(8..))?),
        5 => Instruction::ClearActions,
        6 => Instruction::Meter(r.u32()?),
        _ => return Ok(None),
    }))
}
