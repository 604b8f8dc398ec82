//! A hash table of row ids that never grows in one piece.
//!
//! The table holds nothing but ids (4 bytes and one control byte an entry); what is hashed and compared is looked up in
//! the row store, so neither rows nor keys are stored twice. A single table that doubles would rehash all of its rows in
//! the middle of a step, which shows as a pause of a millisecond at 20,000 rows. Therefore it is split in segments by
//! extendible hashing (Fagin et al., ACM TODS 1979): a directory of 2^depth entries names segments of at most
//! [`SEGMENT`] ids, and a full segment splits in two, alone.

use hashbrown::HashTable;

/// Ids in a segment before it splits: seven eighths of 256 buckets, so that hashbrown itself does not grow first.
const SEGMENT: usize = 224;

struct Segment {
    /// How many of the directory's bits are common to all ids here.
    depth: u8,
    ids: HashTable<u32>,
}

/// A set of row ids, found by a 64-bit hash and a comparison that the caller supplies.
pub(crate) struct IdTable {
    /// Segment by the low bits of the hash's middle part; its length is a power of two.
    directory: Vec<u32>,
    segments: Vec<Segment>,
    len: usize,
}

impl IdTable {
    pub(crate) fn new() -> Self {
        IdTable { directory: vec![0], segments: vec![Segment { depth: 0, ids: HashTable::new() }], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bits that choose the segment: between hashbrown's tag (top 7 bits) and its bucket (low bits).
    #[inline]
    fn bits(hash: u64) -> usize {
        (hash >> 32) as usize & 0xff_ffff
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> usize {
        self.directory[Self::bits(hash) & (self.directory.len() - 1)] as usize
    }

    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.segments[self.segment_of(hash)].ids.find(hash, |&id| same(id)).copied()
    }

    /// The entry itself, to replace an id by another one of the same hash.
    pub(crate) fn find_mut(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<&mut u32> {
        let segment = self.segment_of(hash);
        self.segments[segment].ids.find_mut(hash, |&id| same(id))
    }

    /// Adds an id that is known to be absent. `rehash` gives the hash of an id that is already in the table.
    pub(crate) fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        let mut segment = self.segment_of(hash);
        if self.segments[segment].ids.len() >= SEGMENT && self.may_split(segment) {
            self.split(segment, &rehash);
            segment = self.segment_of(hash);
        }
        self.segments[segment].ids.insert_unique(hash, id, |&id| rehash(id));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = self.segment_of(hash);
        let entry = self.segments[segment].ids.find_entry(hash, |&id| same(id)).ok()?;
        self.len -= 1;
        Some(entry.remove().0)
    }

    /// Rows of equal or very unlucky hash cannot be split apart; they must not blow up the directory instead.
    fn may_split(&self, segment: usize) -> bool {
        usize::from(self.segments[segment].depth) < 24
            && (1usize << self.segments[segment].depth) <= 16 * (self.len / SEGMENT + 1)
    }

    fn split(&mut self, segment: usize, rehash: &impl Fn(u32) -> u64) {
        let depth = self.segments[segment].depth;
        if 1usize << depth == self.directory.len() {
            self.directory.extend_from_within(..);
        }
        let bit = 1usize << depth;
        let old = std::mem::replace(&mut self.segments[segment].ids, HashTable::with_capacity(SEGMENT));
        let mut new = HashTable::with_capacity(SEGMENT);
        let stay = &mut self.segments[segment];
        stay.depth = depth + 1;
        let mut sample = 0;
        for id in old {
            let hash = rehash(id);
            sample = Self::bits(hash);
            let half = if sample & bit == 0 { &mut stay.ids } else { &mut new };
            half.insert_unique(hash, id, |&id| rehash(id));
        }
        let number = self.segments.len() as u32;
        self.segments.push(Segment { depth: depth + 1, ids: new });
        // The directory entries of the new half: those that agree with the segment's common bits and have `bit` set.
        let first = (sample & (bit - 1)) | bit;
        for entry in (first..self.directory.len()).step_by(bit << 1) {
            self.directory[entry] = number;
        }
    }

    /// Bytes that the table holds.
    pub(crate) fn bytes(&self) -> usize {
        let tables: usize = self.segments.iter().map(|segment| segment.ids.allocation_size()).sum();
        tables + self.segments.capacity() * size_of::<Segment>() + self.directory.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_of;

    #[test]
    fn ids_are_found_after_many_splits_and_removals() {
        let mut table = IdTable::new();
        for id in 0..20_000u32 {
            table.insert(hash_of(&id), id, |id| hash_of(&id));
        }
        for id in (0..20_000u32).step_by(2) {
            assert_eq!(table.remove(hash_of(&id), |other| other == id), Some(id));
        }
        for id in 0..20_000u32 {
            assert_eq!(table.find(hash_of(&id), |other| other == id), (id % 2 == 1).then_some(id));
        }
        assert_eq!(table.len(), 10_000);
    }

    #[test]
    fn one_insertion_rehashes_at_most_one_segment() {
        let mut table = IdTable::new();
        for id in 0..50_000u32 {
            let rehashed = std::cell::Cell::new(0usize);
            table.insert(hash_of(&id), id, |id| {
                rehashed.set(rehashed.get() + 1);
                hash_of(&id)
            });
            assert!(rehashed.get() <= 2 * SEGMENT, "{} ids rehashed at {id}", rehashed.get());
        }
    }

    #[test]
    fn equal_hashes_do_not_blow_up_the_directory() {
        let mut table = IdTable::new();
        for id in 0..2_000u32 {
            table.insert(7, id, |_| 7);
        }
        assert!(table.directory.len() <= 1_024, "{}", table.directory.len());
        assert_eq!(table.find(7, |id| id == 1_234), Some(1_234));
    }
}
