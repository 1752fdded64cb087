//! Retention: old journal segments go, once a checkpoint file holds the state that they made.
//!
//! The checkpoint is written from the snapshot's rows by the snapshot thread, right after the
//! snapshot, so both reflect the same sequence. Replay is then checkpoint plus segments; counters
//! and the digest survive, timelines end where the segments do.

use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::journal::checkpoint::CheckpointError;
use crate::journal::disk::Disk;
use crate::journal::{FIRST_SEQUENCE, JournalReader, SegmentInfo, checkpoint};
use crate::records::{decode_event, keys, kind};
use crate::snapshot::{SnapshotError, SnapshotStore};
use std::path::{Path, PathBuf};

/// Rows per commit while a checkpoint is read back.
const ROWS_AT_ONCE: usize = 100_000;

/// Why old segments stay.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The snapshot cannot be read or written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// No checkpoint holds what went before the journal.
    #[error(transparent)]
    BeginningLost(#[from] BeginningLost),
}

/// The journal begins after its beginning, and nothing holds what went before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal begins at sequence {first}, and no snapshot or checkpoint holds what went before; restore one of them"
)]
pub struct BeginningLost {
    /// The first sequence that is left.
    pub first: Sequence,
}

/// How much of the journal is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// Milliseconds for which events are kept at least.
    pub for_ms: Option<i64>,
    /// Bytes of segments beyond which the oldest go.
    pub bytes_max: Option<u64>,
}

/// Where the checkpoint lies in a data folder.
pub fn checkpoint_path(data: &Path) -> PathBuf {
    data.join("checkpoint")
}

impl Retain {
    /// The sequence before which whole segments may go; none when all are to stay.
    ///
    /// Only sealed segments that lie wholly before `snapshot` are looked at.
    pub(in crate::engine) fn cut(
        self,
        reader: &JournalReader,
        snapshot: Sequence,
        now: Timestamp,
    ) -> Option<Sequence> {
        let segments = reader.segments();
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let sealed = segments.len().saturating_sub(1);
        let mut cut = None;
        for segment in &segments[..sealed] {
            let is_too_much = self.bytes_max.is_some_and(|max| bytes > max);
            let is_old = || {
                let oldest_kept = self.for_ms.map(|ms| now.0 - ms);
                oldest_kept
                    .is_some_and(|kept| newest(reader, segment).is_some_and(|at| at.0 < kept))
            };
            if segment.next_sequence > snapshot + 1 || !(is_too_much || is_old()) {
                break;
            }
            bytes -= segment.bytes;
            cut = Some(segment.next_sequence);
        }
        cut
    }
}

/// When the newest event of a segment was received.
fn newest(reader: &JournalReader, segment: &SegmentInfo) -> Option<Timestamp> {
    for record in reader.scan_back(segment.next_sequence) {
        let (sequence, record) = record.ok()?;
        if sequence < segment.first_sequence {
            return None;
        }
        if record.kind == kind::EVENT {
            return decode_event(record.version, &record.bytes).ok().map(|event| event.received_at);
        }
    }
    None
}

/// Writes everything that the snapshot holds into the checkpoint file.
pub(in crate::engine) fn write_checkpoint(
    data: &Path,
    store: &SnapshotStore,
    sequence: Sequence,
) -> Result<(), RetentionError> {
    let mut failed = None;
    let rows = keys::ALL
        .iter()
        .flat_map(|prefix| store.scan_prefix(&[*prefix]))
        .map_while(|row| row.map_err(|error| failed = Some(error)).ok());
    let written = checkpoint::write(&Disk::default(), &checkpoint_path(data), sequence, rows);
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(written.map(drop)?),
    }
}

/// Makes sure that segments which are not there went by retention: a checkpoint then holds the state
/// that they made. One that was lost otherwise is named.
pub(in crate::engine) fn check_beginning(
    data: &Path,
    reader: &JournalReader,
) -> Result<(), RetentionError> {
    let first = reader.first_sequence();
    if first <= FIRST_SEQUENCE {
        return Ok(());
    }
    let held = checkpoint::read(&checkpoint_path(data))?;
    match held {
        Some(rows) if rows.sequence() + 1 >= first => Ok(()),
        _ => Err(BeginningLost { first }.into()),
    }
}

/// Fills an empty snapshot store from the checkpoint file; returns whether there was one.
pub(in crate::engine) fn read_checkpoint(
    data: &Path,
    store: &SnapshotStore,
) -> Result<bool, RetentionError> {
    let Some(rows) = checkpoint::read(&checkpoint_path(data))? else { return Ok(false) };
    let sequence = rows.sequence();
    let mut run = Vec::new();
    for row in rows {
        let (key, value) = row?;
        run.push((key, Some(value)));
        if run.len() == ROWS_AT_ONCE {
            // Not the real sequence yet: a start that finds this begins again.
            store.commit(std::mem::take(&mut run), 0)?;
        }
    }
    store.commit(run, sequence)?;
    Ok(true)
}
