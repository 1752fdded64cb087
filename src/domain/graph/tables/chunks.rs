//! Tables that grow in chunks: a growing table copies nothing, so no event waits for millions of
//! rows to be moved, and at most one chunk is memory without rows.

use std::ops::{Index, IndexMut};

/// Rows of a full chunk. The first chunk grows by doubling, so that a small graph is small.
const CHUNK: usize = 1 << 16;
/// Bytes of a full chunk of texts.
const TEXT_CHUNK: usize = 1 << 20;

/// Rows, numbered from 0.
#[derive(Clone, Debug)]
pub(in crate::domain::graph) struct Table<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Table<T> {
    pub(in crate::domain::graph) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    pub(in crate::domain::graph) fn push(&mut self, row: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(row),
            Some(_) => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push(row);
                self.chunks.push(next);
            }
            None => self.chunks.push(vec![row]),
        }
    }

    /// Lengthens the table to `count` rows; a longer one stays.
    pub(in crate::domain::graph) fn grow(&mut self, count: usize, row: T)
    where
        T: Clone,
    {
        while self.len() < count {
            self.push(row.clone());
        }
    }

    /// Takes the rows from `from` on off the table.
    pub(in crate::domain::graph) fn split_off(&mut self, from: usize) -> Vec<T> {
        if from >= self.len() {
            return Vec::new();
        }
        let mut rest = self.chunks[from / CHUNK].split_off(from % CHUNK);
        for chunk in self.chunks.drain(from / CHUNK + 1..) {
            rest.extend(chunk);
        }
        if from.is_multiple_of(CHUNK) {
            self.chunks.pop();
        }
        rest
    }

    pub(in crate::domain::graph) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(in crate::domain::graph) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(in crate::domain::graph) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// The first row for which `is_before` does not hold, in a table ordered by it.
    pub(in crate::domain::graph) fn partition_point(
        &self,
        is_before: impl Fn(&T) -> bool,
    ) -> usize {
        let at = self.chunks.partition_point(|chunk| chunk.last().is_some_and(&is_before));
        let within = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(&is_before));
        at * CHUNK + within
    }

    /// Bytes that it holds.
    pub(in crate::domain::graph) fn memory(&self) -> usize {
        let rows: usize = self.chunks.iter().map(Vec::capacity).sum();
        rows * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> Index<usize> for Table<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }
}

impl<T> IndexMut<usize> for Table<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }
}

impl<T> Extend<T> for Table<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.push(row));
    }
}

/// Texts by the place at which they lie.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::graph) struct Texts {
    chunks: Vec<Vec<u8>>,
}

impl Texts {
    /// Keeps a text and returns its place. It must be shorter than 65,536 bytes.
    pub(in crate::domain::graph) fn add(&mut self, text: &[u8]) -> u64 {
        let room = self.chunks.last().map_or(0, |last| TEXT_CHUNK.saturating_sub(last.len()));
        if room < text.len() || self.chunks.is_empty() {
            let size = if self.chunks.is_empty() { 0 } else { TEXT_CHUNK };
            self.chunks.push(Vec::with_capacity(size));
        }
        let chunk = self.chunks.len() - 1;
        let last = &mut self.chunks[chunk];
        let place = (chunk * TEXT_CHUNK + last.len()) as u64;
        last.extend_from_slice(text);
        place
    }

    pub(in crate::domain::graph) fn get(&self, place: u64, len: usize) -> &[u8] {
        let at = place as usize % TEXT_CHUNK;
        &self.chunks[place as usize / TEXT_CHUNK][at..at + len]
    }

    /// Overwrites a text.
    pub(in crate::domain::graph) fn wipe(&mut self, place: u64, len: usize) {
        let at = place as usize % TEXT_CHUNK;
        self.chunks[place as usize / TEXT_CHUNK][at..at + len].fill(0);
    }

    /// Bytes that they hold.
    pub(in crate::domain::graph) fn memory(&self) -> usize {
        let bytes: usize = self.chunks.iter().map(Vec::capacity).sum();
        bytes + self.chunks.capacity() * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_vector() {
        let mut table = Table::default();
        table.extend(0..3 * CHUNK);
        assert_eq!(table.len(), 3 * CHUNK);
        assert_eq!(table[CHUNK], CHUNK);
        assert_eq!(table.get(3 * CHUNK), None);
        for from in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 3 * CHUNK] {
            assert_eq!(table.partition_point(|row| *row < from), from);
            let mut cut = table.clone();
            assert_eq!(cut.split_off(from), (from..3 * CHUNK).collect::<Vec<_>>());
            assert_eq!(cut.len(), from);
            cut.extend(from..3 * CHUNK);
            assert!(cut.iter().copied().eq(0..3 * CHUNK));
        }
        table.grow(3 * CHUNK + 2, 7);
        assert_eq!((table.len(), table[3 * CHUNK + 1]), (3 * CHUNK + 2, 7));
    }

    #[test]
    fn texts_lie_where_they_were_put() {
        let mut texts = Texts::default();
        let text = |at: usize| "x".repeat(at % 300 * 200);
        let places: Vec<u64> = (0..200).map(|at| texts.add(text(at).as_bytes())).collect();
        texts.wipe(places[7], text(7).len());
        for (at, place) in places.iter().enumerate().filter(|(at, _)| *at != 7) {
            assert_eq!(texts.get(*place, text(at).len()), text(at).as_bytes());
        }
        assert!(texts.get(places[7], text(7).len()).iter().all(|byte| *byte == 0));
    }
}
