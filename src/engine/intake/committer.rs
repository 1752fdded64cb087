//! The committer: one plain thread that owns the journal.
//!
//! Takes all that waits, up to a bound, writes it as one group, calls `fdatasync` once, and passes
//! the group on to the identity actor. There is no timer: while one group is being synced the next
//! one gathers. The first storage error is final: nothing after it is acknowledged.

use crate::domain::id::Sequence;
use crate::domain::settings::Durability;
use crate::engine::context::{Alive, Shared};
use crate::engine::fault::Stage;
use crate::engine::intake::emptying::Emptying;
use crate::engine::intake::entry::{Committed, Emptied, Entry, Then};
use crate::engine::receipt::Refusal;
use crate::journal::folder::{Spare, Watch, free_bytes};
use crate::journal::{Journal, JournalError, RawRecord};
use crate::records::version_of;
use actix::Recipient;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Records of one group at most.
const GROUP_RECORDS: usize = 4_096;
/// Bytes of one group at most, before compression.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// How often free space is looked at, and how long a `written` event may wait for its sync.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Near the watermark free space is looked at after so many bytes at least.
const LOOK_AT_LEAST: u64 = 64 * 1024;

/// The committer thread's state.
pub(in crate::engine) struct Committer {
    pub(in crate::engine) journal: Journal,
    /// What must stay in place for an answer to be true.
    pub(in crate::engine) watch: Watch,
    /// Room that a start on a full disk finds.
    pub(in crate::engine) spare: Spare,
    /// Bytes written since free space was looked at, and how many it may be until the next look.
    pub(in crate::engine) written_since: u64,
    pub(in crate::engine) until_look: u64,
    pub(in crate::engine) folder: PathBuf,
    pub(in crate::engine) free_bytes_min: u64,
    pub(in crate::engine) queue: Receiver<Entry>,
    pub(in crate::engine) identity: Recipient<Committed>,
    pub(in crate::engine) shared: Arc<Shared>,
}

impl Committer {
    /// Runs until the queue is closed and empty, or storage fails.
    pub(in crate::engine) fn run(mut self) {
        let _alive = Alive::new(&self.shared, "the committer");
        let mut is_synced = true;
        let mut looked = Instant::now();
        self.look_at_space();
        self.spare.keep(self.free_bytes_min);
        loop {
            match self.queue.recv_timeout(HEARTBEAT) {
                Ok(first) => {
                    let group = self.gather(first);
                    self.shared.faults.strike(Stage::Committer, "");
                    if self.commit(group, &mut is_synced).is_err() {
                        return; // the engine knows already
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.written_since >= self.until_look {
                self.look_at_space();
            }
            if looked.elapsed() >= HEARTBEAT {
                looked = Instant::now();
                self.look_at_space();
                self.spare.keep(self.free_bytes_min);
                if let Some(gone) = self.watch.changed().or_else(|| self.journal.lost_segment()) {
                    return self.shared.fail(format!(
                        "{} was removed or replaced while the program runs, so nothing that it answers would be kept; put the folder back, or start anew",
                        gone.display()
                    ));
                }
                if !is_synced {
                    if let Err(error) = self.sync() {
                        return self.shared.fail(error.to_string());
                    }
                    is_synced = true;
                }
            }
        }
        if let Err(error) = self.sync() {
            self.shared.fail(error.to_string());
        }
    }

    /// Makes all that was written survive a power cut, and tells who must not be ahead of it.
    fn sync(&mut self) -> Result<(), JournalError> {
        self.journal.sync()?;
        self.shared.durable.store(self.journal.durable_sequence(), Ordering::Release);
        Ok(())
    }

    fn gather(&self, first: Entry) -> Vec<Entry> {
        let mut bytes = first.record.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let mut group = vec![first];
        while group.len() < GROUP_RECORDS && bytes < GROUP_BYTES {
            let Ok(entry) = self.queue.try_recv() else { break };
            bytes += entry.record.as_ref().map_or(0, |(_, bytes)| bytes.len());
            group.push(entry);
        }
        group
    }

    fn commit(&mut self, mut group: Vec<Entry>, is_synced: &mut bool) -> Result<(), JournalError> {
        let taken: Vec<(u8, Bytes)> =
            group.iter_mut().filter_map(|entry| entry.record.take()).collect();
        let level = group.iter().map(|entry| entry.durability).max().unwrap_or_default();
        // Also for `memory`: what is acknowledged is visible, and reads find payloads in the journal.
        match self.write(&taken, level, is_synced) {
            Ok(()) => {
                self.pass_on(group);
                Ok(())
            }
            Err(error) => {
                // First, as who waits and hears nothing asks why.
                self.shared.fail(error.to_string());
                refuse(group);
                Err(error)
            }
        }
    }

    fn write(
        &mut self,
        records: &[(u8, Bytes)],
        level: Durability,
        is_synced: &mut bool,
    ) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let raw: Vec<RawRecord<'_>> = records
            .iter()
            .map(|(kind, bytes)| RawRecord { kind: *kind, version: version_of(*kind), bytes })
            .collect();
        let written = self.journal.append(&raw)?;
        self.shared.metrics.group_events.observe(records.len() as f64);
        self.shared.metrics.journal_bytes.inc_by(written.bytes);
        self.written_since += written.bytes;
        *is_synced = false;
        if level == Durability::Fsynced {
            let started = Instant::now();
            self.sync()?;
            self.shared.metrics.observe_fsync(started.elapsed());
            *is_synced = true;
        }
        Ok(())
    }

    fn pass_on(&mut self, group: Vec<Entry>) {
        let mut entries = Vec::with_capacity(group.len());
        for entry in group {
            match entry.then {
                Then::Retire(before) => {
                    if let Err(error) = self.journal.remove_segments_before(before) {
                        self.shared.fail(error.to_string());
                    }
                }
                Then::Empty { job, erasure, done } => match self.empty(&job) {
                    // BOUND: one for each erasure.
                    Ok(is_done) => done.do_send(Emptied { erasure, is_done }),
                    Err(error) => self.shared.fail(error.to_string()),
                },
                then => entries.push((entry.sequence, then)),
            }
        }
        // BOUND: as the events in flight, which the router counts.
        self.identity.do_send(Committed(entries));
    }

    /// Empties records in the segments that hold them; acknowledgements wait meanwhile. Answers
    /// whether all are empty: without room for the copies nothing is lost, and it is tried later.
    fn empty(&mut self, job: &Emptying) -> Result<bool, JournalError> {
        let first = self.shared.reader.first_sequence();
        let all: Vec<Sequence> = job.records.range(first..).copied().collect();
        if all.is_empty() {
            return Ok(true);
        }
        let (free, needed) =
            (free_bytes(&self.folder).unwrap_or(0), self.journal.room_to_rewrite(&all));
        if free < needed {
            tracing::warn!(free, needed, "an erasure waits for room on the disk");
            return Ok(false);
        }
        match self.journal.rewrite(&all, |sequence, record| job.replacement(sequence, record)) {
            Ok(_) => Ok(true),
            // What failed before a segment was replaced has changed nothing.
            Err(error @ JournalError::Io { .. }) if !self.journal.is_poisoned() => {
                tracing::warn!(%error, "an erasure could not rewrite a segment, and is tried again");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at free space, and when to do so again: before half of what lies above the watermark can
    /// have been written.
    fn look_at_space(&mut self) {
        let Ok(free) = free_bytes(&self.folder) else { return };
        self.written_since = 0;
        self.until_look = (free.saturating_sub(self.free_bytes_min) / 2).max(LOOK_AT_LEAST);
        let is_full = free < self.free_bytes_min;
        if self.shared.storage_full.swap(is_full, Ordering::Relaxed) != is_full {
            if is_full {
                tracing::warn!(
                    free,
                    watermark = self.free_bytes_min,
                    "disk nearly full: collect answers 503, reads go on"
                );
            } else {
                tracing::info!(free, "disk has room again");
            }
        }
    }
}

fn refuse(group: Vec<Entry>) {
    for entry in group {
        match entry.then {
            Then::Event { reply, .. } | Then::Duplicate { reply, .. } => {
                reply.send_now(Err(Refusal::StorageFailed));
            }
            _ => {} // dropping the rest tells the one that waits
        }
    }
}
