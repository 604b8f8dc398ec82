//! A vector in pages, for columns that are addressed by row id.
//!
//! A plain `Vec` doubles: the copy of a large column shows as a pause, and up to half of its memory is unused. Here
//! growth past the first page adds one page and moves nothing, so the slack is less than a page.

use std::ops::{Index, IndexMut};

/// Elements of a page. Large enough that the page headers (24 bytes) do not count, small enough that the unused end of
/// the last page does not count either.
const PAGE: usize = 256;

/// A growable column whose elements never move, apart from those of a first page that is not full yet.
pub(crate) struct Paged<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Paged<T> {
    pub(crate) fn new() -> Self {
        Paged { pages: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        let page = self.len / PAGE;
        if page == self.pages.len() {
            // Most relations are small: the first page grows as it is needed, the later ones are taken whole.
            self.pages.push(if page == 0 { Vec::new() } else { Vec::with_capacity(PAGE) });
        }
        self.pages[page].push(value);
        self.len += 1;
    }

    /// Bytes that the column itself holds, without what its elements point to.
    pub(crate) fn bytes(&self) -> usize {
        let elements: usize = self.pages.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> Index<u32> for Paged<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        let id = id as usize;
        &self.pages[id / PAGE][id % PAGE]
    }
}

impl<T> IndexMut<u32> for Paged<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        let id = id as usize;
        &mut self.pages[id / PAGE][id % PAGE]
    }
}

/// A column in which most elements have one value: a page exists when one of its elements has another.
pub(crate) struct Sparse<T> {
    pages: Vec<Vec<T>>,
    default: T,
}

impl<T: Copy + PartialEq> Sparse<T> {
    pub(crate) fn new(default: T) -> Self {
        Sparse { pages: Vec::new(), default }
    }

    pub(crate) fn get(&self, id: u32) -> T {
        let id = id as usize;
        self.pages.get(id / PAGE).and_then(|page| page.get(id % PAGE)).copied().unwrap_or(self.default)
    }

    pub(crate) fn set(&mut self, id: u32, value: T) {
        let (page, place) = (id as usize / PAGE, id as usize % PAGE);
        if let Some(element) = self.pages.get_mut(page).and_then(|page| page.get_mut(place)) {
            *element = value;
        } else if value != self.default {
            while self.pages.len() <= page {
                self.pages.push(Vec::new());
            }
            // As in `Paged`: only the first page grows by and by.
            let len = if page == 0 { (place + 1).next_power_of_two() } else { PAGE };
            self.pages[page].resize(len, self.default);
            self.pages[page][place] = value;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let elements: usize = self.pages.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_ids_over_many_pages() {
        let mut column = Paged::new();
        for value in 0..1_000u32 {
            column.push(value * 3);
        }
        column[700] = 1;
        assert_eq!(column.len(), 1_000);
        assert_eq!((column[0], column[255], column[256], column[700], column[999]), (0, 765, 768, 1, 2_997));
        // Less than one page of slack.
        assert!(column.bytes() < (1_000 + PAGE) * 4 + 8 * size_of::<Vec<u32>>());
    }

    #[test]
    fn a_sparse_column_holds_what_differs() {
        let mut column = Sparse::new(0u64);
        column.set(100_000, 0);
        assert_eq!((column.get(100_000), column.bytes()), (0, 0));
        column.set(5, 7);
        column.set(1_000, 8);
        column.set(5, 0);
        column.set(6, 9);
        assert_eq!([0, 5, 6, 999, 1_000, 1_001, 9_000].map(|id| column.get(id)), [0, 0, 9, 0, 8, 0, 0]);
    }
}
