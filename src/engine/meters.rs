//! What the engine counts about itself, as plain atomics; the telemetry shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
pub const BUCKETS_US: [u64; 14] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600,
    1_638_400,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    /// Observations up to each bound of [`BUCKETS_US`], and above.
    pub buckets: [AtomicU64; BUCKETS_US.len() + 1],
    /// The sum in microseconds.
    pub sum_us: AtomicU64,
}

impl Durations {
    /// Counts one observation.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

/// The engine's counters and gauges.
#[derive(Debug, Default)]
pub struct Meters {
    /// Groups appended to the journal.
    pub groups: AtomicU64,
    /// Records appended to the journal.
    pub records: AtomicU64,
    /// Bytes appended to the journal, after compression.
    pub journal_bytes: AtomicU64,
    /// How long each `fdatasync` took.
    pub fsync: Durations,
    /// Profiles.
    pub profiles: AtomicU64,
    /// Profiles in memory.
    pub active_profiles: AtomicU64,
    /// Merges told.
    pub merges: AtomicU64,
    /// Refusals told: evidence that a rule left out.
    pub refusals: AtomicU64,
    /// Snapshots taken.
    pub snapshots: AtomicU64,
    /// The sequence of the last snapshot.
    pub snapshot_sequence: AtomicU64,
    /// Profiles rebuilt after a panic.
    pub rebuilt: AtomicU64,
    /// Bytes of the identity graph.
    pub graph_bytes: AtomicU64,
    /// Events of every status.
    pub events: AtomicU64,
}

impl Meters {
    pub(super) fn group(&self, records: usize, bytes: u64) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn synced(&self, took: Duration) {
        self.fsync.observe(took);
    }
}
