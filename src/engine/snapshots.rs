//! Snapshots: gathered at one sequence, written by one thread, off the acknowledgement path.

use super::fault::Stage;
use super::identity::{IdentityActor, SnapshotDone};
use super::retention::{Retain, RetentionError, checkpoint_path, write_checkpoint};
use super::rows::Row;
use super::shared::Shared;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use actix::Addr;
use crossbeam_channel::{Receiver, Sender};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Gathers the rows of one snapshot from the actors that hold them; the last one sends it off.
#[derive(Debug)]
pub(super) struct Collector {
    rows: Mutex<Vec<Row>>,
    left: AtomicUsize,
    job: Mutex<Option<Job>>,
    to: Sender<Job>,
}

/// What the writer does about old segments.
#[derive(Debug)]
pub(super) struct Retention {
    pub(super) data: PathBuf,
    pub(super) retain: Retain,
}

impl Retention {
    /// Writes the store anew, and the checkpoint where there is one.
    fn renew(&self, shared: &Shared, sequence: Sequence) -> Result<(), RetentionError> {
        shared.rest.renew_store()?;
        if checkpoint_path(&self.data).exists() {
            write_checkpoint(&self.data, &shared.rest.store(), sequence)?;
        }
        Ok(())
    }
}

/// A snapshot to write.
#[derive(Debug)]
pub(super) struct Job {
    /// The era of the state that it is of.
    pub(super) era: u64,
    pub(super) sequence: Sequence,
    pub(super) rows: Vec<Row>,
    pub(super) started: Instant,
    /// Rows of tables that are not among these go.
    pub(super) purge: bool,
    /// Fragments whose rows go.
    pub(super) gone: BTreeSet<FragmentIndex>,
    /// The store is to be written anew afterwards, so that nothing removed is left in its files.
    pub(super) renew: bool,
}

impl Collector {
    /// Waits for `parts` more calls of [`Self::add`] before `job` goes to the writer.
    pub(super) fn new(job: Job, parts: usize, to: Sender<Job>) -> Arc<Self> {
        let collector = Self {
            rows: Mutex::new(Vec::new()),
            left: AtomicUsize::new(parts + 1),
            job: Mutex::new(Some(job)),
            to,
        };
        Arc::new(collector)
    }

    /// Adds one part's rows.
    pub(super) fn add(&self, rows: Vec<Row>) {
        if let Ok(mut all) = self.rows.lock() {
            all.extend(rows);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let job = self.job.lock().ok().and_then(|mut job| job.take());
        let rows = self.rows.lock().map(|mut rows| std::mem::take(&mut *rows)).unwrap_or_default();
        if let Some(mut job) = job {
            job.rows.extend(rows);
            let _ = self.to.send(job); // the writer is only gone when the engine is
        }
    }
}

/// Runs the writer until the engine is gone.
pub(super) fn run(
    queue: &Receiver<Job>,
    shared: &Shared,
    identity: &Addr<IdentityActor>,
    retention: &Retention,
) {
    for job in queue {
        let Job { era, sequence, mut rows, started, purge, gone, renew } = job;
        shared.faults.strike(Stage::Snapshot, "");
        let _writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if era != shared.era() {
            continue; // the state was rebuilt after a panic, and is written anew
        }
        let count = rows.len();
        let store = shared.rest.store();
        let purged = if purge { super::rows::purge(&store, &mut rows) } else { Ok(()) };
        let purged = purged.and_then(|()| super::rows::remove_fragments(&store, &gone, &mut rows));
        if let Err(error) = purged.and_then(|()| store.commit(rows, sequence)) {
            shared.fail(format!("writing the snapshot at sequence {sequence}: {error}"));
            return;
        }
        drop(store);
        if renew && let Err(error) = retention.renew(shared, sequence) {
            shared.fail(format!("writing the snapshot anew: {error}"));
            return;
        }
        let took = started.elapsed();
        tracing::debug!(sequence, rows = count, ?took, "snapshot taken");
        let retire = retention.retain.cut(&shared.reader, sequence, shared.clock.now());
        if retire.is_some() {
            let written = write_checkpoint(&retention.data, &shared.rest.store(), sequence);
            if let Err(error) = written {
                shared.fail(format!("writing the checkpoint at sequence {sequence}: {error}"));
                return;
            }
        }
        identity.do_send(SnapshotDone { era, sequence, rows: count, took, retire });
    }
}
