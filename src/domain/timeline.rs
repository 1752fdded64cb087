//! The sequences of a fragment's events: delta-coded, about two bytes an event, in chunks so that
//! a fragment with a million events is not written again for each one.

use crate::domain::id::Sequence;

/// Events per chunk.
pub const CHUNK: u32 = 1_024;

/// A run of sequences in ascending order: LEB128 of each difference to the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
    count: u32,
    last: Sequence,
}

impl Chunk {
    /// The chunk that `bytes` encode; damaged bytes give the sequences up to the damage.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let mut chunk = Self { bytes, count: 0, last: 0 };
        let all: Vec<Sequence> = chunk.iter().collect();
        chunk.count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        chunk.last = all.last().copied().unwrap_or(0);
        chunk
    }

    /// The encoded form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, sequence: Sequence) {
        let mut delta = sequence.wrapping_sub(self.last);
        while delta >= 0x80 {
            self.bytes.push((delta as u8) | 0x80);
            delta >>= 7;
        }
        self.bytes.push(delta as u8);
        self.last = sequence;
        self.count += 1;
    }

    /// The sequences, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Sequence> + '_ {
        let mut bytes = self.bytes.iter();
        let mut last: Sequence = 0;
        std::iter::from_fn(move || {
            let (mut delta, mut shift) = (0u64, 0u32);
            loop {
                let byte = *bytes.next()?;
                delta |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            last = last.wrapping_add(delta);
            Some(last)
        })
    }
}

/// A fragment's events. Full chunks that a snapshot holds are no longer kept here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// How many full chunks the snapshot holds; they come first.
    pub saved: u32,
    /// Full chunks that no snapshot holds yet.
    pub full: Vec<Chunk>,
    /// The chunk that grows; only empty while there is no event at all.
    pub tail: Chunk,
    /// Events that came to this fragment behind later ones, ascending: a few, from reprocessing.
    pub late: Vec<Sequence>,
}

impl Timeline {
    /// Adds an event; one that is older than the last is kept beside the chunks.
    pub fn push(&mut self, sequence: Sequence) {
        if sequence < self.tail.last {
            let at = self.late.partition_point(|known| *known < sequence);
            return self.late.insert(at, sequence);
        }
        if self.tail.count == CHUNK {
            let next = Chunk { last: 0, ..Chunk::default() };
            self.full.push(std::mem::replace(&mut self.tail, next));
        }
        self.tail.push(sequence);
    }

    /// The chunks that are kept here, newest first; the `saved` ones follow after them, and `late`
    /// stands beside all of them.
    pub fn newest_first(&self) -> impl Iterator<Item = Sequence> + '_ {
        let chunks = std::iter::once(&self.tail).chain(self.full.iter().rev());
        chunks.flat_map(|chunk| {
            let mut all: Vec<Sequence> = chunk.iter().collect();
            all.reverse();
            all
        })
    }

    /// The newest event.
    pub fn last(&self) -> Sequence {
        self.tail.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_timeline_gives_back_what_was_pushed(deltas in prop::collection::vec(1u64..100_000, 1..3_000)) {
            let mut timeline = Timeline::default();
            let mut at = 0;
            let mut all = Vec::new();
            for delta in deltas { at += delta; timeline.push(at); all.push(at); }
            all.reverse();
            prop_assert_eq!(timeline.newest_first().collect::<Vec<_>>(), all);
            let copy = Chunk::from_bytes(timeline.tail.bytes().to_vec());
            prop_assert_eq!(&copy, &timeline.tail);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Chunk::from_bytes(bytes);
        }
    }
}
