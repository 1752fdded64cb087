//! The rows of one snapshot, gathered from the actors that hold them.

use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::engine::state::row::Row;
use crossbeam_channel::Sender;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Gathers the rows of one snapshot from the actors that hold them; the last one sends it off.
#[derive(Debug)]
pub(in crate::engine) struct Collector {
    pub(in crate::engine) rows: Mutex<Vec<Row>>,
    pub(in crate::engine) left: AtomicUsize,
    pub(in crate::engine) job: Mutex<Option<Job>>,
    pub(in crate::engine) to: Sender<Job>,
}

/// A snapshot to write.
#[derive(Debug)]
pub(in crate::engine) struct Job {
    /// The era of the state that it is of.
    pub(in crate::engine) era: u64,
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) rows: Vec<Row>,
    pub(in crate::engine) started: Instant,
    /// Rows of tables that are not among these go.
    pub(in crate::engine) purge: bool,
    /// Fragments whose rows go.
    pub(in crate::engine) gone: BTreeSet<FragmentIndex>,
    /// The store is to be written again afterwards, so that nothing removed is left in its files.
    pub(in crate::engine) renew: bool,
}

impl Collector {
    /// Waits for `parts` more calls of [`Self::add`] before `job` goes to the writer.
    pub(in crate::engine) fn new(job: Job, parts: usize, to: Sender<Job>) -> Arc<Self> {
        let collector = Self {
            rows: Mutex::new(Vec::new()),
            left: AtomicUsize::new(parts + 1),
            job: Mutex::new(Some(job)),
            to,
        };
        Arc::new(collector)
    }

    /// Adds one part's rows.
    pub(in crate::engine) fn add(&self, rows: Vec<Row>) {
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
