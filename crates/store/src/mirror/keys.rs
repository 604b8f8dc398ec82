//! Which keys there are, each with the revision that changed it last, in little memory.
//!
//! Every agent keeps this for the whole network, also for what never matters to it. Neighbours in the order of keys are nearly equal
//! (`ls/web/lsp/vm-17`, `ls/web/lsp/vm-18`), so each is written as the difference from the one before: how many bytes are the same, the others, the
//! revision. That takes some 8 bytes a key where a hash table with the keys in it took 70. The keys are in blocks, each of which begins with a key in
//! full; a block is found by bisection and written anew when one of its keys changes, which costs a microsecond or two. What a listing brings is in
//! order, and goes in as one.

use std::cmp::Ordering;

/// Most keys of a block. More make changes slower, fewer take more memory.
const BLOCK: usize = 64;

/// An ordered map of keys to revisions.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// In order; none is empty.
    blocks: Vec<Box<[u8]>>,
    len: usize,
}

/// What is to become of a key: its revision now, or `None`: it is gone.
pub(super) type Change<'a> = (&'a str, Option<i64>);

impl Keys {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, path: &str) -> Option<i64> {
        let block = self.blocks.get(self.block_of(path.as_bytes())?)?;
        let mut cursor = Cursor::over(std::slice::from_ref(block));
        while cursor.advance() {
            match cursor.path.as_slice().cmp(path.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Some(cursor.revision),
                Ordering::Greater => break,
            }
        }
        None
    }

    pub fn set(&mut self, path: &str, revision: i64) -> Option<i64> {
        self.apply(&[(path, Some(revision))]).pop().flatten()
    }

    pub fn remove(&mut self, path: &str) -> Option<i64> {
        self.apply(&[(path, None)]).pop().flatten()
    }

    /// Makes all these changes, one after the other, and tells for each what was known before. Cheap for changes in the order of their keys.
    pub fn apply(&mut self, changes: &[Change<'_>]) -> Vec<Option<i64>> {
        let mut before = Vec::with_capacity(changes.len());
        for mut run in changes.chunk_by(|a, b| a.0 < b.0) {
            while let Some((first, _)) = run.first() {
                let block = self.block_of(first.as_bytes()).unwrap_or(0);
                let next = self.blocks.get(block + 1).map(|block| first_path(block));
                let end = next.map_or(run.len(), |next| run.partition_point(|(path, _)| path.as_bytes() < next));
                let (here, later) = run.split_at_checked(end).unwrap_or((run, &[]));
                self.rewrite(block, here, &mut before);
                run = later;
            }
        }
        before
    }

    /// Forgets all revisions, but not the keys.
    pub fn forget_revisions(&mut self) {
        for block in &mut self.blocks {
            let mut writer = Writer::default();
            let mut cursor = Cursor::over(std::slice::from_ref(block));
            while cursor.advance() {
                writer.push(&cursor.path, 0);
            }
            *block = writer.bytes.into();
        }
    }

    /// All keys in order.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::over(&self.blocks)
    }

    /// The block that has the path, if any has.
    fn block_of(&self, path: &[u8]) -> Option<usize> {
        let after = self.blocks.partition_point(|block| first_path(block) <= path);
        if self.blocks.is_empty() { None } else { Some(after.saturating_sub(1)) }
    }

    /// Writes one block anew with changes of its keys, which are in order.
    fn rewrite(&mut self, index: usize, changes: &[Change<'_>], before: &mut Vec<Option<i64>>) {
        let old = self.blocks.get(index..=index).unwrap_or_default();
        let mut cursor = Cursor::over(old);
        let mut writer = Writer::default();
        let (mut more, mut removed) = (cursor.advance(), 0);
        for (path, revision) in changes {
            let path = path.as_bytes();
            while more && cursor.path.as_slice() < path {
                writer.push(&cursor.path, cursor.revision);
                more = cursor.advance();
            }
            let known = (more && cursor.path == path).then_some(cursor.revision);
            if known.is_some() {
                more = cursor.advance();
                removed += 1;
            }
            if let Some(revision) = revision {
                writer.push(path, *revision);
                self.len += 1;
            }
            before.push(known);
        }
        while more {
            writer.push(&cursor.path, cursor.revision);
            more = cursor.advance();
        }
        self.len -= removed;
        let blocks = writer.blocks();
        let end = (index + 1).min(self.blocks.len());
        self.blocks.splice(index.min(end)..end, blocks);
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.len()).sum();
        blocks + self.blocks.capacity() * size_of::<Box<[u8]>>()
    }
}

/// Goes through keys in order.
pub(super) struct Cursor<'a> {
    later: std::slice::Iter<'a, Box<[u8]>>,
    rest: &'a [u8],
    path: Vec<u8>,
    /// Of the key where it stands.
    pub revision: i64,
}

impl<'a> Cursor<'a> {
    /// Stands before the first key.
    fn over(blocks: &'a [Box<[u8]>]) -> Cursor<'a> {
        Cursor { later: blocks.iter(), rest: &[], path: Vec::new(), revision: 0 }
    }

    /// Goes to the next key; `false` if there is none.
    pub fn advance(&mut self) -> bool {
        if self.rest.is_empty() {
            match self.later.next() {
                Some(block) => self.rest = block,
                None => return false,
            }
        }
        let same = number(&mut self.rest);
        let (other, rest) = bytes(self.rest);
        self.rest = rest;
        self.path.truncate(usize::try_from(same).unwrap_or(usize::MAX));
        self.path.extend_from_slice(other);
        self.revision = number(&mut self.rest) as i64;
        true
    }

    /// The key where it stands.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The same as text, which it was.
    pub fn text(&self) -> Box<str> {
        String::from_utf8_lossy(&self.path).into()
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    last: Vec<u8>,
    keys: usize,
}

impl Writer {
    /// The next key.
    fn push(&mut self, path: &[u8], revision: i64) {
        let same = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        let other = path.get(same..).unwrap_or_default();
        self.last.truncate(same);
        self.last.extend_from_slice(other);
        put(&mut self.bytes, same as u64);
        put(&mut self.bytes, other.len() as u64);
        self.bytes.extend_from_slice(other);
        put(&mut self.bytes, revision as u64);
        self.keys += 1;
    }

    /// What was written, in blocks of equal size: then a key that is added or removed here and there does not make one of each that change.
    fn blocks(self) -> Vec<Box<[u8]>> {
        let number = self.keys.div_ceil(BLOCK);
        if number <= 1 {
            return if number == 0 { Vec::new() } else { vec![self.bytes.into()] };
        }
        let whole = [Box::from(self.bytes)];
        let mut cursor = Cursor::over(&whole);
        let mut blocks = Vec::with_capacity(number);
        let mut writer = Writer::default();
        while cursor.advance() {
            writer.push(&cursor.path, cursor.revision);
            if writer.keys == self.keys.div_ceil(number) {
                blocks.push(writer.bytes.as_slice().into());
                writer.bytes.clear();
                writer.last.clear();
                writer.keys = 0;
            }
        }
        if writer.keys > 0 {
            blocks.push(writer.bytes.into());
        }
        blocks
    }
}

/// The first key of a block, which is there in full.
fn first_path(mut block: &[u8]) -> &[u8] {
    number(&mut block);
    bytes(block).0
}

/// Bytes after their number, and what follows.
fn bytes(mut from: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::try_from(number(&mut from)).unwrap_or(usize::MAX);
    from.split_at_checked(len).unwrap_or((from, &[]))
}

/// A number in groups of seven bits, the lowest first, each but the last with its highest bit set: small ones take one byte.
fn number(from: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((byte, rest)) = from.split_first() {
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn content(keys: &Keys) -> Vec<(Box<str>, i64)> {
        let (mut cursor, mut content) = (keys.cursor(), Vec::new());
        while cursor.advance() {
            content.push((cursor.text(), cursor.revision));
        }
        content
    }

    /// Names with much and with little in common, some that begin with others, some of more than one byte a character.
    fn path() -> impl Strategy<Value = String> {
        prop_oneof![
            (0..4u32, 0..60u32).prop_map(|(ls, lsp)| format!("ls/ls-{ls}/lsp/vm-{ls}-{lsp}")),
            "[ab]{0,4}",
            "[aü€]{0,3}",
            (1..300usize).prop_map(|n| "x".repeat(n)),
        ]
    }

    fn revision() -> impl Strategy<Value = i64> {
        prop_oneof![0..300i64, Just(i64::MAX), any::<i64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// The same as a map that is too simple to be wrong, whatever is done, in whatever order and portions.
        #[test]
        fn keys_are_a_map(batches in prop::collection::vec(
            (prop::collection::vec((path(), prop::option::weighted(0.7, revision())), 0..200), any::<bool>()), 1..8))
        {
            let (mut keys, mut map) = (Keys::default(), BTreeMap::new());
            for (mut batch, sorted) in batches {
                if sorted {
                    batch.sort();
                }
                let changes: Vec<Change<'_>> = batch.iter().map(|(path, revision)| (path.as_str(), *revision)).collect();
                let before: Vec<Option<i64>> = batch.iter().map(|(path, revision)| match revision {
                    Some(revision) => map.insert(path.clone(), *revision),
                    None => map.remove(path),
                }).collect();
                prop_assert_eq!(keys.apply(&changes), before);
                prop_assert_eq!(keys.len(), map.len());
                let all: Vec<_> = map.iter().map(|(path, revision)| (Box::from(path.as_str()), *revision)).collect();
                prop_assert_eq!(content(&keys), all);
                for (path, _) in &batch {
                    prop_assert_eq!(keys.get(path), map.get(path).copied());
                }
            }
            keys.forget_revisions();
            prop_assert!(content(&keys).into_iter().eq(map.into_keys().map(|path| (path.into(), 0))));
        }
    }

    #[test]
    fn a_key_takes_few_bytes_however_it_came() {
        let mut paths: Vec<String> =
            (0..20_000).map(|n| format!("ls/ls-{}/lsp/vm-{}-{}", n / 40, n / 40, n % 40)).collect();
        paths.sort();
        let mut listed = Keys::default();
        for page in paths.chunks(1000) {
            let page: Vec<Change<'_>> = page.iter().map(|path| (path.as_str(), Some(1_000_000))).collect();
            assert!(listed.apply(&page).iter().all(Option::is_none));
        }
        assert!(listed.bytes() < 20_000 * 10, "{} bytes", listed.bytes());
        assert!(listed.blocks.iter().all(|block| block.len() < BLOCK * 20));
        // One by one, far from each other.
        let mut added = Keys::default();
        for n in 0..20_000 {
            let path = paths.get(n * 7919 % 20_000).map_or("", String::as_str);
            assert_eq!(added.set(path, 1_000_000), None);
        }
        assert_eq!(content(&added), content(&listed));
        assert!(added.bytes() < 20_000 * 12, "{} bytes", added.bytes());
    }
}
