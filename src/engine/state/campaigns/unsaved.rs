//! What is kept of deliveries beside their place in the outbox: what is sent, how attempts went, why
//! one is over. It lies in the snapshot store; what a snapshot does not hold yet lies here, bounded.

use crate::domain::campaign::Rendered;
use crate::engine::state::row::Row;
use crate::records;
use crate::records::{Attempt, RecordError, keys};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A snapshot is asked for at this part of what may wait for one.
const SNAPSHOT_AT: usize = 4;
/// What a row weighs in memory beside key and value.
const OVERHEAD: usize = 64;

type Rows = BTreeMap<Vec<u8>, Option<Bytes>>;

/// A handle to the rows that are newer than the snapshot.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layers: Mutex<Layers>,
    bytes: AtomicUsize,
    /// Nothing more is taken in while so many bytes wait for a snapshot.
    bytes_max: AtomicUsize,
}

impl Default for Inner {
    fn default() -> Self {
        let (layers, bytes) = (Mutex::default(), AtomicUsize::default());
        Self { layers, bytes, bytes_max: AtomicUsize::new(usize::MAX) }
    }
}

#[derive(Debug, Default)]
struct Layers {
    /// Since the last snapshot was gathered.
    fresh: Rows,
    /// In the snapshot that is being written.
    writing: Rows,
}

pub(in crate::engine) fn attempt_key(number: u64, place: u32) -> Vec<u8> {
    let mut key = keys::numbered(keys::ATTEMPT, number);
    key.extend_from_slice(&place.to_be_bytes());
    key
}

fn weight((key, row): (&Vec<u8>, &Option<Bytes>)) -> usize {
    key.len() + row.as_ref().map_or(0, Bytes::len) + OVERHEAD
}

impl Kept {
    fn layers(&self) -> MutexGuard<'_, Layers> {
        // What it guards is changed in single steps, so a panic elsewhere leaves it whole.
        self.0.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: Vec<u8>, row: Option<Vec<u8>>) {
        let row = row.map(Bytes::from);
        let added = weight((&key, &row));
        let mut layers = self.layers();
        let before = layers.fresh.get_key_value(&key).map_or(0, weight);
        layers.fresh.insert(key, row);
        self.0.bytes.fetch_add(added, Ordering::AcqRel);
        self.0.bytes.fetch_sub(before, Ordering::AcqRel);
    }

    /// Keeps what is sent.
    ///
    /// # Errors
    /// When it is larger than a row may be.
    pub(in crate::engine) fn put_rendered(
        &self,
        number: u64,
        rendered: &Rendered,
    ) -> Result<(), RecordError> {
        self.put(
            keys::numbered(keys::RENDERED, number),
            Some(records::encode("what is sent", rendered)?),
        );
        Ok(())
    }

    /// Keeps how an attempt went, the `place`-th from 0.
    ///
    /// # Errors
    /// When it is larger than a row may be.
    pub(in crate::engine) fn put_attempt(
        &self,
        number: u64,
        place: u32,
        attempt: &Attempt,
    ) -> Result<(), RecordError> {
        self.put(attempt_key(number, place), Some(records::encode("an attempt", attempt)?));
        Ok(())
    }

    /// Keeps why a delivery is over, or forgets it.
    pub(in crate::engine) fn put_reason(&self, number: u64, reason: Option<&str>) {
        self.put(keys::numbered(keys::REASON, number), reason.map(|text| text.as_bytes().to_vec()));
    }

    /// Forgets everything of a delivery with so many attempts.
    pub(in crate::engine) fn remove(&self, number: u64, attempts: u32) {
        self.put(keys::numbered(keys::RENDERED, number), None);
        self.put(keys::numbered(keys::REASON, number), None);
        for place in 0..attempts {
            self.put(attempt_key(number, place), None);
        }
    }

    /// What waits for a snapshot under a key: a row, or that there is none any more.
    pub(in crate::engine) fn newer(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let layers = self.layers();
        layers.fresh.get(key).or_else(|| layers.writing.get(key)).cloned()
    }

    /// What is sent, where no snapshot holds it yet.
    ///
    /// # Errors
    /// When the row does not decode.
    pub(in crate::engine) fn newer_rendered(
        &self,
        number: u64,
    ) -> Result<Option<Rendered>, RecordError> {
        let key = keys::numbered(keys::RENDERED, number);
        let row = self.newer(&key).flatten();
        row.map(|row| records::decode("what is sent", &row)).transpose()
    }

    /// Bytes that wait for a snapshot, those that are being written included.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Acquire)
    }

    /// Sets how many bytes may wait for a snapshot; none are bounded before.
    pub(in crate::engine) fn keep(&self, bytes_max: usize) {
        self.0.bytes_max.store(bytes_max, Ordering::Release);
    }

    /// The same rows under this handle, in the place of those that it has.
    pub(in crate::engine) fn take_over(&self, other: &Self) {
        let (layers, bytes) = (std::mem::take(&mut *other.layers()), other.bytes());
        let mut mine = self.layers();
        *mine = layers;
        self.0.bytes.store(bytes, Ordering::Release);
    }

    pub(in crate::engine) fn bytes_max(&self) -> usize {
        self.0.bytes_max.load(Ordering::Acquire)
    }

    /// Whether so much waits that a snapshot is wanted.
    pub(in crate::engine) fn wants_snapshot(&self) -> bool {
        self.bytes() > self.bytes_max() / SNAPSHOT_AT
    }

    /// Whether nothing more is to be taken in until a snapshot is written.
    pub(in crate::engine) fn is_full(&self) -> bool {
        self.bytes() > self.bytes_max()
    }

    /// The rows for a snapshot; they stay readable here until it is [written](Self::written).
    pub(in crate::engine) fn take_rows(&self) -> Vec<Row> {
        let mut layers = self.layers();
        let fresh = std::mem::take(&mut layers.fresh);
        let rows =
            fresh.iter().map(|(key, row)| (key.clone(), row.as_ref().map(|row| row.to_vec())));
        let rows = rows.collect();
        layers.writing.extend(fresh);
        rows
    }

    /// The snapshot holds what was taken for it.
    pub(in crate::engine) fn written(&self) {
        let mut layers = self.layers();
        let written = std::mem::take(&mut layers.writing);
        let bytes = written.iter().map(weight).sum();
        self.0.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_wanted_at_a_quarter_of_what_may_wait() {
        let kept = Kept::default();
        let is = || (kept.wants_snapshot(), kept.is_full());
        kept.put_reason(1, Some("why"));
        assert_eq!(is(), (false, false));
        let one = kept.bytes();
        kept.keep(4 * one);
        assert_eq!(is(), (false, false));
        kept.put_reason(2, Some("why"));
        assert_eq!(is(), (true, false));
        (3..6).for_each(|number| kept.put_reason(number, Some("why")));
        assert_eq!(is(), (true, true));
        kept.take_rows();
        assert_eq!(is(), (true, true));
        kept.written();
        assert_eq!(is(), (false, false));
    }
}
