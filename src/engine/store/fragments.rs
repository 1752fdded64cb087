//! Rows that are newer than the snapshot: what passivated profiles left behind, until a snapshot
//! holds it.

use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::domain::profile::Folded;
use crate::domain::timeline::Chunk;
use crate::engine::state::Core;
use crate::engine::state::views::Viewed;
use crate::records::{RecordError, decode_fragment, encode_fragment, keys};
use crate::snapshot::{SnapshotError, SnapshotStore};
use bytes::Bytes;
use dashmap::DashMap;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Why a fragment could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The snapshot store failed.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// A row does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The graph knows a fragment that has no row.
    #[error(
        "expected a row for fragment {0}, found none in the snapshot; move the snapshot folder aside to rebuild it from the journal"
    )]
    Missing(FragmentIndex),
}

/// The rows of one fragment.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct FragmentRows {
    /// The fragment itself.
    pub(in crate::engine) row: Bytes,
    /// Full timeline chunks that the snapshot may not hold yet, by number.
    pub(in crate::engine) chunks: Vec<(u32, Bytes)>,
}

impl FragmentRows {
    /// Encodes a fragment, and moves its full chunks out of it.
    pub(in crate::engine) fn take(fragment: &mut Fragment) -> Result<Self, RecordError> {
        let row = encode_fragment(fragment)?.into();
        let timeline = &mut fragment.timeline;
        let first = timeline.saved;
        let full = std::mem::take(&mut timeline.full);
        timeline.saved += full.len() as u32;
        let chunks = full
            .iter()
            .zip(first..)
            .map(|(chunk, number)| (number, Bytes::copy_from_slice(chunk.bytes())));
        Ok(Self { row, chunks: chunks.collect() })
    }

    /// The snapshot rows of this fragment.
    pub(in crate::engine) fn keyed(
        self,
        fragment: FragmentIndex,
    ) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let chunk =
            |(number, bytes): (u32, Bytes)| (chunk_key(fragment, number), Some(bytes.to_vec()));
        let mut rows: Vec<_> = self.chunks.into_iter().map(chunk).collect();
        rows.push((fragment_key(fragment), Some(self.row.to_vec())));
        rows
    }
}

/// The key of a fragment's row.
pub fn fragment_key(fragment: FragmentIndex) -> Vec<u8> {
    let mut key = vec![keys::FRAGMENT];
    key.extend_from_slice(&fragment.to_be_bytes());
    key
}

/// The key of a full timeline chunk.
pub fn chunk_key(fragment: FragmentIndex, number: u32) -> Vec<u8> {
    let mut key = vec![keys::CHUNK];
    key.extend_from_slice(&fragment.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Rows that are newer than the snapshot, by their fragments.
pub(in crate::engine) type NewerRows = DashMap<FragmentIndex, FragmentRows>;

/// Fragments at rest: the newer rows here, the others in the snapshot store.
pub struct Rest {
    store: RwLock<SnapshotStore>,
    newer: RwLock<NewerRows>,
    /// Counts the times that every fragment was replaced: rows of an earlier epoch come too late.
    epoch: AtomicU64,
}

impl Rest {
    /// Fragments at rest in `store`.
    pub fn new(store: SnapshotStore) -> Self {
        Self { store: RwLock::new(store), newer: RwLock::default(), epoch: AtomicU64::new(0) }
    }

    /// The snapshot store beneath.
    pub fn store(&self) -> SnapshotStore {
        // A poisoned lock still holds a whole handle: it is only ever replaced.
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the store again and takes the new one: nothing that was removed is left in its files.
    ///
    /// # Errors
    /// When the store cannot be read or written; the present one then stays.
    pub(in crate::engine) fn renew_store(&self) -> Result<(), SnapshotError> {
        let fresh = self.store().renew()?;
        let mut place = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, fresh);
        drop(place);
        if let Err(error) = old.discard() {
            tracing::warn!(%error, "the old snapshot's files go at the next start");
        }
        Ok(())
    }

    /// The newer rows. A poisoned lock still holds whole ones: they are only ever replaced.
    fn newer_rows(&self) -> RwLockReadGuard<'_, NewerRows> {
        self.newer.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fragment at rest.
    ///
    /// # Errors
    /// When the store fails, or the row is missing or damaged.
    pub fn load(&self, fragment: FragmentIndex) -> Result<Fragment, RowError> {
        if let Some(rows) = self.newer_rows().get(&fragment)
            && !rows.row.is_empty()
        {
            return Ok(decode_fragment(&rows.row)?);
        }
        match self.store().get(&fragment_key(fragment))? {
            Some(row) => Ok(decode_fragment(&row)?),
            None => Err(RowError::Missing(fragment)),
        }
    }

    /// A full timeline chunk.
    ///
    /// # Errors
    /// When the store fails, or the chunk is missing.
    pub fn chunk(&self, fragment: FragmentIndex, number: u32) -> Result<Chunk, RowError> {
        if let Some(rows) = self.newer_rows().get(&fragment)
            && let Some((_, bytes)) = rows.chunks.iter().find(|(known, _)| *known == number)
        {
            return Ok(Chunk::from_bytes(bytes.to_vec()));
        }
        match self.store().get(&chunk_key(fragment, number))? {
            Some(bytes) => Ok(Chunk::from_bytes(bytes)),
            None => Err(RowError::Missing(fragment)),
        }
    }

    /// Lays a passivated fragment down.
    pub(in crate::engine) fn put(&self, fragment: FragmentIndex, rows: FragmentRows) {
        lay_down(&self.newer_rows(), fragment, rows);
    }

    /// Keeps chunks readable that are on their way into the snapshot.
    pub(in crate::engine) fn put_chunks(
        &self,
        epoch: u64,
        fragment: FragmentIndex,
        chunks: &[(u32, Bytes)],
    ) {
        if chunks.is_empty() {
            return;
        }
        // Under the lock: `replace` comes behind it and takes away what was just put.
        let newer = self.newer_rows();
        if epoch == self.epoch() {
            newer.entry(fragment).or_default().chunks.extend_from_slice(chunks);
        }
    }

    /// The present epoch.
    pub(in crate::engine) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The newer rows of a fragment, for a snapshot.
    pub(in crate::engine) fn newer(&self, fragment: FragmentIndex) -> Option<FragmentRows> {
        self.newer_rows().get(&fragment).map(|rows| rows.clone())
    }

    /// Forgets the newer rows of a fragment, once the snapshot holds them.
    pub(in crate::engine) fn forget(&self, fragment: FragmentIndex) {
        self.newer_rows().remove(&fragment);
    }

    /// Forgets all newer rows but those of `fresh` fragments: the snapshot holds the others.
    pub(in crate::engine) fn keep_only(&self, fresh: &BTreeSet<FragmentIndex>) {
        self.newer_rows().retain(|fragment, _| fresh.contains(fragment));
    }

    /// Puts these in the place of all newer rows: a re-resolution has replaced every fragment.
    /// Returns the ones before.
    pub(in crate::engine) fn replace(&self, rows: NewerRows) -> NewerRows {
        let mut newer = self.newer.write().unwrap_or_else(PoisonError::into_inner);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        std::mem::replace(&mut *newer, rows)
    }
}

/// Lays a fragment's rows down among others.
pub(in crate::engine) fn lay_down(all: &NewerRows, fragment: FragmentIndex, rows: FragmentRows) {
    let mut entry = all.entry(fragment).or_default();
    entry.row = rows.row;
    entry.chunks.extend(rows.chunks);
}

impl Core {
    /// A profile from fragments at rest; with `all`, also the identifiers that are not effective.
    ///
    /// # Errors
    /// When a row of it is missing or damaged.
    pub(in crate::engine) fn viewed_at_rest(
        &self,
        rest: &Rest,
        lead: FragmentIndex,
        all: bool,
    ) -> Result<Viewed, RowError> {
        let cluster = self.graph.view(lead, all);
        let fragments = cluster.fragments.iter().map(|(one, _)| Ok((*one, rest.load(*one)?)));
        let fragments: Vec<(FragmentIndex, Fragment)> =
            fragments.collect::<Result<_, RowError>>()?;
        let set_values = self.graph.rules().limits.set_values;
        let folded = Folded::new(fragments.iter().map(|(_, one)| one), set_values);
        let events = fragments.iter().map(|(index, one)| (*index, one.events)).collect();
        Ok(Viewed { cluster, folded, events })
    }
}
