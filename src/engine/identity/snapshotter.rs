//! Snapshots: gathered at one sequence, written by one thread, off the acknowledgement path.

use crate::domain::id::Sequence;
use crate::engine::context::Shared;
use crate::engine::fault::Stage;
use crate::engine::state::row::Row;
use crate::engine::store::collector::Job;
use crate::engine::store::retention::{Retain, RetentionError, checkpoint_path, write_checkpoint};
use crate::journal::folder::free_bytes;
use actix::{Message, Recipient};
use crossbeam_channel::Receiver;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the writer does about old segments.
#[derive(Debug)]
pub(in crate::engine) struct Retention {
    pub(in crate::engine) data: PathBuf,
    pub(in crate::engine) retain: Retain,
    /// What is to stay free on the disk.
    pub(in crate::engine) free_bytes_min: u64,
}

/// Bytes beside the rows of a store that is written again: sled's own tables.
const ROOM_BESIDE: u64 = 1 << 20;

/// How often a snapshot that does not fit asks for room again.
const ROOM_AGAIN: Duration = Duration::from_millis(500);

impl Retention {
    /// Writes the store again, and the checkpoint where there is one.
    fn renew(&self, shared: &Shared, sequence: Sequence) -> Result<(), RetentionError> {
        shared.rest.renew_store()?;
        if checkpoint_path(&self.data).exists() {
            write_checkpoint(&self.data, &shared.rest.store(), sequence)?;
        }
        Ok(())
    }

    /// The same, where there is room for it: returns whether it was done. A disk that filled up
    /// meanwhile leaves what was there.
    fn renewed(&self, shared: &Shared, sequence: Sequence) -> Result<bool, RetentionError> {
        let needed = self.renewed_bytes() + ROOM_BESIDE;
        if !self.fits(needed) {
            tracing::warn!(needed, "a snapshot without the erased waits for room on the disk");
            return Ok(false);
        }
        match self.renew(shared, sequence) {
            Ok(()) => Ok(true),
            Err(error) if !self.fits(needed) => {
                tracing::warn!(%error, "a snapshot without the erased found no room on the disk");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a checkpoint, so that segments may go; returns whether it is there. Without one they
    /// stay, and the next snapshot tries again.
    fn checkpoint(&self, shared: &Shared, sequence: Sequence) -> bool {
        let written = write_checkpoint(&self.data, &shared.rest.store(), sequence);
        if let Err(error) = &written {
            tracing::warn!(%error, sequence, "no checkpoint was written, so old segments stay");
        }
        written.is_ok()
    }

    /// Whether so many bytes fit. A disk that cannot be asked is tried.
    fn fits(&self, bytes: u64) -> bool {
        free_bytes(&self.data).map_or(true, |free| free >= bytes)
    }

    /// Waits until the rows of a snapshot fit above what is kept free; returns whether they do. It
    /// ends where nobody wants the snapshot any more.
    fn waits(&self, rows: &[Row], shared: &Shared) -> bool {
        let bytes: usize = rows.iter().map(|(key, row)| row_bytes(key, row.as_ref())).sum();
        let needed = (bytes as u64).saturating_add(self.free_bytes_min);
        let mut is_told = false;
        while !self.fits(needed) {
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(bytes, "a snapshot waits for room on the disk");
            }
            if shared.is_failed() || shared.is_stopping() {
                return false;
            }
            std::thread::sleep(ROOM_AGAIN);
        }
        true
    }

    /// The bytes of the files that a new store takes the place of, checkpoint included.
    fn renewed_bytes(&self) -> u64 {
        folder_bytes(&self.data.join("snapshot"))
            + std::fs::metadata(checkpoint_path(&self.data)).map_or(0, |file| file.len())
    }
}

/// sled writes a row and a note of where it is.
fn row_bytes(key: &[u8], row: Option<&Vec<u8>>) -> usize {
    2 * (key.len() + row.map_or(0, Vec::len)) + 64
}

/// The bytes on the disk of all files below a folder; what cannot be read counts nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.metadata() {
        Ok(it) if it.is_dir() => folder_bytes(&entry.path()),
        // sled's files have holes.
        Ok(it) => it.blocks() * 512,
        Err(_) => 0,
    });
    each.sum()
}

/// Waits until the journal would survive a power cut up to what a snapshot holds: a snapshot must
/// never be ahead of it, or the next start could not tell that from a journal that lost its end.
fn waits_for_journal(shared: &Shared, sequence: Sequence) -> bool {
    while shared.durable.load(Ordering::Acquire) <= sequence {
        if shared.is_failed() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Runs the writer until the engine is gone.
pub(in crate::engine) fn run(
    queue: &Receiver<Job>,
    shared: &Shared,
    identity: &Recipient<SnapshotDone>,
    retention: &Retention,
) {
    for job in queue {
        let Job { era, sequence, mut rows, started, purge, gone, renew } = job;
        shared.faults.strike(Stage::Snapshot, "");
        if !retention.waits(&rows, shared) || !waits_for_journal(shared, sequence) {
            return;
        }
        let _writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if era != shared.era() {
            continue; // the state was rebuilt after a panic, and is written again
        }
        let count = rows.len();
        let store = shared.rest.store();
        let purged =
            if purge { crate::engine::store::rows::purge(&store, &mut rows) } else { Ok(()) };
        let purged = purged
            .and_then(|()| crate::engine::store::rows::remove_fragments(&store, &gone, &mut rows));
        if let Err(error) = purged.and_then(|()| store.commit(rows, sequence)) {
            shared.fail(format!("writing the snapshot at sequence {sequence}: {error}"));
            return;
        }
        drop(store);
        let renewed = match renew.then(|| retention.renewed(shared, sequence)).transpose() {
            Ok(renewed) => renewed,
            Err(error) => {
                shared.fail(format!("writing the snapshot anew: {error}"));
                return;
            }
        };
        let took = started.elapsed();
        tracing::debug!(sequence, rows = count, ?took, "snapshot taken");
        let retire = retention.retain.cut(&shared.reader, sequence, shared.clock.now());
        let retire = retire.filter(|_| retention.checkpoint(shared, sequence));
        // BOUND: one snapshot at a time.
        identity.do_send(SnapshotDone { era, sequence, rows: count, took, retire, renewed });
    }
}

/// A snapshot is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct SnapshotDone {
    /// The era of the state that was written.
    pub(in crate::engine) era: u64,
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) rows: usize,
    pub(in crate::engine) took: Duration,
    /// Segments before that sequence are no longer needed.
    pub(in crate::engine) retire: Option<Sequence>,
    /// Where it was to be a store of its own, whether it is.
    pub(in crate::engine) renewed: Option<bool>,
}
