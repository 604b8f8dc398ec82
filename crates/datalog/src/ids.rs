//! A hash table of row ids that never grows in one piece.
//!
//! An entry is a row's id and 32 bits of its hash; what is compared is looked up in the row store, so neither rows nor
//! keys are stored twice. A single table that doubles would move all of its entries in the middle of a step, which shows
//! as a pause of a millisecond at 20,000 rows. Therefore it is split in segments by extendible hashing (Fagin et al.,
//! ACM TODS 1979): a directory of 2^depth entries names segments of at most [`SEGMENT`] entries, and a full segment
//! splits in two, alone, without a look at the rows.
//!
//! A segment is an array in the order of the hashes. Hashes are evenly spread, so a hash's place follows from its value
//! up to a few entries; there are no gaps and no control bytes to pay for.

/// Entries in a segment before it splits. Insertion moves half of a segment on average: 512 bytes.
const SEGMENT: usize = 128;

/// Entries by which a segment's memory grows: of an array that doubled, a third would lie idle.
const STEP: usize = 16;

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    id: u32,
}

struct Segment {
    /// How many leading bits of their hashes all entries here have in common.
    depth: u32,
    entries: Vec<Entry>,
}

impl Segment {
    /// The place of the first entry whose hash is not less.
    #[inline]
    fn place(&self, hash: u32) -> usize {
        let entries = &self.entries[..];
        let len = entries.len();
        if len > 2 * SEGMENT {
            // Equal hashes cannot be split apart; there is nothing even about them.
            return entries.partition_point(|entry| entry.hash < hash);
        }
        let share = hash.checked_shl(self.depth).unwrap_or(0);
        let mut place = ((u64::from(share) * len as u64) >> 32) as usize;
        while place > 0 && entries[place - 1].hash >= hash {
            place -= 1;
        }
        while place < len && entries[place].hash < hash {
            place += 1;
        }
        place
    }

    #[inline]
    fn find(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<usize> {
        let start = self.place(hash);
        let equal = self.entries[start..].iter().take_while(|entry| entry.hash == hash);
        equal.enumerate().find(|(_, entry)| same(entry.id)).map(|(offset, _)| start + offset)
    }
}

/// A set of row ids, found by a 64-bit hash and a comparison that the caller supplies.
pub(crate) struct IdTable {
    /// Segment by the leading bits of the hash; its length is 2^`depth`.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
}

impl IdTable {
    pub(crate) fn new() -> Self {
        IdTable { directory: vec![0], depth: 0, segments: vec![Segment { depth: 0, entries: Vec::new() }], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The part of the hash that is kept: its upper half, which all input bits have reached.
    #[inline]
    fn kept(hash: u64) -> u32 {
        (hash >> 32) as u32
    }

    #[inline]
    fn segment_of(&self, hash: u32) -> usize {
        self.directory[hash.checked_shr(32 - self.depth).unwrap_or(0) as usize] as usize
    }

    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = Self::kept(hash);
        let segment = &self.segments[self.segment_of(hash)];
        segment.find(hash, same).map(|place| segment.entries[place].id)
    }

    /// Puts another id of the same hash in an id's place. Returns false if the id is not here.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let hash = Self::kept(hash);
        let segment = self.segment_of(hash);
        let segment = &mut self.segments[segment];
        let place = segment.find(hash, |id| id == old);
        if let Some(place) = place {
            segment.entries[place].id = new;
        }
        place.is_some()
    }

    /// Adds an id that is known to be absent.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        let hash = Self::kept(hash);
        let mut segment = self.segment_of(hash);
        if self.segments[segment].entries.len() >= SEGMENT && self.may_split(segment) {
            self.split(segment);
            segment = self.segment_of(hash);
        }
        let segment = &mut self.segments[segment];
        let place = segment.place(hash);
        if segment.entries.len() == segment.entries.capacity()
            && (STEP / 4..2 * SEGMENT).contains(&segment.entries.len())
        {
            segment.entries.reserve_exact(STEP);
        }
        segment.entries.insert(place, Entry { hash, id });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = Self::kept(hash);
        let segment = self.segment_of(hash);
        let segment = &mut self.segments[segment];
        let place = segment.find(hash, same)?;
        self.len -= 1;
        Some(segment.entries.remove(place).id)
    }

    /// Rows of equal or very unlucky hash cannot be split apart; they must not blow up the directory instead.
    fn may_split(&self, segment: usize) -> bool {
        let depth = self.segments[segment].depth;
        depth < 28 && (1usize << depth) <= 16 * (self.len / SEGMENT + 1)
    }

    /// Moves the upper half of a segment's range of hashes to a segment of its own.
    fn split(&mut self, segment: usize) {
        let depth = self.segments[segment].depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
        }
        let lower = &mut self.segments[segment];
        lower.depth = depth + 1;
        let Some(first) = lower.entries.first().map(|entry| entry.hash) else { return };
        let bit = 1u32 << (31 - depth);
        let middle = lower.entries.partition_point(|entry| entry.hash & bit == 0);
        let mut upper = Vec::with_capacity((lower.entries.len() - middle).next_multiple_of(STEP));
        upper.extend(lower.entries.drain(middle..));
        lower.entries.shrink_to(middle.next_multiple_of(STEP));
        let number = self.segments.len() as u32;
        self.segments.push(Segment { depth: depth + 1, entries: upper });
        // The directory entries of the upper half are in one row: those whose hashes begin with its leading bits.
        let start = ((first & !(bit - 1)) | bit) >> (32 - self.depth);
        let count = 1usize << (self.depth - depth - 1);
        self.directory[start as usize..start as usize + count].fill(number);
    }

    /// Bytes that the table holds.
    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.segments.iter().map(|segment| segment.entries.capacity()).sum();
        entries * size_of::<Entry>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.directory.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_of;

    fn table(ids: std::ops::Range<u32>) -> IdTable {
        let mut table = IdTable::new();
        for id in ids {
            table.insert(hash_of(&id), id);
        }
        table
    }

    #[test]
    fn ids_are_found_after_many_splits_and_removals() {
        let mut table = table(0..20_000);
        for id in (0..20_000u32).step_by(2) {
            assert_eq!(table.remove(hash_of(&id), |other| other == id), Some(id));
        }
        for id in 0..20_000u32 {
            assert_eq!(table.find(hash_of(&id), |other| other == id), (id % 2 == 1).then_some(id));
        }
        assert_eq!(table.len(), 10_000);
        assert!(!table.replace(hash_of(&4u32), 4, 30_000));
        assert!(table.replace(hash_of(&5u32), 5, 30_000));
        assert_eq!(table.find(hash_of(&5u32), |_| true), Some(30_000));
    }

    #[test]
    fn growth_moves_one_segment_at_a_time_and_wastes_little() {
        let table = table(0..50_000);
        let largest = table.segments.iter().map(|segment| segment.entries.len()).max();
        assert!(largest <= Some(SEGMENT), "{largest:?}");
        assert!(table.bytes() < 50_000 * 11, "{} bytes", table.bytes());
    }

    #[test]
    fn uneven_hashes_are_found_too() {
        // The lower half is deep by now when the upper one, which begins at its second quarter, splits for the first time.
        let hashes = (0..4_000u64).map(|n| n << 46).chain((0..1_000).map(|n| (0x9000_0000 + (n << 19)) << 32));
        let mut table = IdTable::new();
        for (id, hash) in hashes.clone().enumerate() {
            table.insert(hash, id as u32);
        }
        for (id, hash) in hashes.enumerate() {
            assert_eq!(table.find(hash, |_| true), Some(id as u32), "{hash:x}");
        }
    }

    #[test]
    fn equal_hashes_do_not_blow_up_the_directory() {
        let mut table = IdTable::new();
        for id in 0..2_000u32 {
            table.insert(u64::MAX, id);
        }
        assert!(table.directory.len() <= 1_024, "{}", table.directory.len());
        assert_eq!(table.find(u64::MAX, |id| id == 1_234), Some(1_234));
        assert_eq!(table.remove(u64::MAX, |id| id == 7), Some(7));
        assert_eq!(table.find(u64::MAX, |id| id == 7), None);
        assert_eq!(table.find(0, |_| true), None);
    }
}
