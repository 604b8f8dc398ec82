//! Which bucket of a select group a packet takes: as Open vSwitch 3.1 computes it, so that a simulated packet takes the way of the real one.
//!
//! `pick_hash_fields_select_group` and `group_best_live_bucket` of its `ofproto/ofproto-dpif-xlate.c`, with the hash of its `lib/hash.h` (MurmurHash3 over words of the machine). Builds for
//! processors with a CRC instruction (`-msse4.2`) use that for a hash: those of distributions do not. A choice that other software makes is told as such.

use crate::packet::Packet;
use tuplenet_openflow::{
    Field, field,
    message::{SelectionMethod, group::Bucket},
};
use tuplenet_rules::{HashField, Selection, register};

/// One of these living buckets. `None`: there is none, or nobody can tell.
pub(super) fn choose<'b>(
    method: &SelectionMethod,
    packet: &Packet,
    living: impl Iterator<Item = &'b Bucket>,
) -> Option<&'b Bucket> {
    let basis = basis(&Selection::read(method)?, packet);
    let score = |bucket: &Bucket| {
        let hash = finish(add(add(bucket.bucket_id, 0), basis), 8);
        (hash & 0xffff).wrapping_mul(bucket.weight.unwrap_or(0).into())
    };
    // Of equal ones the last, as there.
    living.max_by_key(|bucket| score(bucket))
}

/// The hash of what counts of a packet.
fn basis(selection: &Selection, packet: &Packet) -> u32 {
    let family = |four: &'static Field, six: &'static Field| if packet.has(four) { four } else { six };
    // The hash of no parameter.
    let basis = finish(add(add(0, 0), 0), 8);
    selection.0.iter().fold(basis, |basis, part| {
        let (field, bytes, mask) = match part {
            HashField::L4Ports(mask) => (register::L4_PORTS, 4, u128::from(*mask)),
            HashField::Source => (family(field::IPV4_SRC, field::IPV6_SRC), 16, u128::MAX),
            HashField::Destination => (family(field::IPV4_DST, field::IPV6_DST), 16, u128::MAX),
            HashField::Protocol => (field::IP_PROTO, 1, u128::MAX),
        };
        if !packet.has(field) {
            return basis;
        }
        let bytes = if [field::IPV4_SRC, field::IPV4_DST].contains(&field) { 4 } else { bytes };
        let value = (packet.number(field).unwrap_or(0) & mask).to_be_bytes();
        hash(value.get(16 - bytes..).unwrap_or_default(), basis)
    })
}

/// `hash_bytes`.
fn hash(bytes: &[u8], basis: u32) -> u32 {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    finish(bytes.chunks(4).map(word).fold(basis, add), bytes.len() as u32)
}

/// `mhash_add`.
fn add(hash: u32, data: u32) -> u32 {
    let data = data.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ data).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// `mhash_finish`.
fn finish(hash: u32, length: u32) -> u32 {
    let hash = hash ^ length;
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
