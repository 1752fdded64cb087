//! How an engine runs, why it does not start, and what its recovery found.

use crate::clock::Clock;
use crate::domain::id::Sequence;
use crate::domain::problem::SettingsProblem;
use crate::domain::settings::Settings;
use crate::engine::fault::Fault;
use crate::engine::history::asides::ReplayError;
use crate::engine::history::starting::StartError;
use crate::engine::store::retention::{Retain, RetentionError};
use crate::journal::JournalError;
use crate::journal::folder::FolderError;
use crate::outbound::guard::Guard;
use crate::records::RecordError;
use crate::secrets::{Secrets, StoreError};
use crate::snapshot::SnapshotError;
use crate::telemetry::metrics::Metrics;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How an engine runs.
#[derive(Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// What the configuration files say.
    pub settings: Settings,
    /// The clock.
    pub clock: Clock,
    /// Whether to start although the journal ends before its snapshot.
    pub accept_journal_loss: bool,
    /// Events between the router and their answers at most.
    pub queue: usize,
    /// Bytes of the events in flight; more is refused as overloaded.
    pub queue_bytes: usize,
    /// Profiles in memory at most.
    pub active_profiles: usize,
    /// What deliveries keep in memory until a snapshot holds it, in bytes; beyond it, collect
    /// answers 503.
    pub unsaved_bytes: usize,
    /// Bytes of the events of one page of a list, unless there is only one.
    pub page_bytes: usize,
    /// How often a snapshot is taken.
    pub snapshot_every: Duration,
    /// After how many events a snapshot is taken.
    pub snapshot_every_events: u64,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Free space below which collect answers 503.
    pub free_bytes_min: u64,
    /// What references to secrets stand for; their store is opened with the folder.
    pub secrets: Secrets,
    /// Judges the addresses that outgoing webhooks may reach.
    pub guard: Guard,
    /// How much of the journal is kept.
    pub retain: Retain,
    /// Threads that the actors share, at least one; see [`arbiters_for`].
    pub arbiters: usize,
    /// Where the engine counts.
    pub metrics: Arc<Metrics>,
    /// Faults to inject, for tests.
    pub panic_on: Vec<Fault>,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data folder cannot be taken.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The journal is damaged or cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot cannot be used, and the journal no longer reaches back to its beginning.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// There is no state to start from.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The journal cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// A record of ours does not encode or decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The configuration does not hold together.
    #[error("the configuration does not hold together: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingsProblem>),
    /// The journal ends before what the snapshot holds: events that were acknowledged are gone.
    #[error(
        "the snapshot holds what happened up to sequence {snapshot}, and the journal ends at {journal}: its last records are lost; restore the journal's files, or start once with --accept-journal-loss to go on without them"
    )]
    JournalEndsEarly {
        /// The last sequence that the snapshot reflects.
        snapshot: Sequence,
        /// The last sequence of the journal.
        journal: Sequence,
    },
    /// A damaged snapshot folder cannot be moved.
    #[error("the damaged snapshot folder cannot be moved aside: {0}; move it by hand")]
    SetAside(std::io::Error),
    /// Outgoing calls cannot be made safely.
    #[error("outgoing calls cannot be set up: {0}")]
    Client(String),
    /// The erasure log cannot be read.
    #[error(
        "the erasure log cannot be read: {0}; without it, restored data may hold people who were erased"
    )]
    ErasureLog(std::io::Error),
    /// The sealed secrets cannot be opened.
    #[error(transparent)]
    Secrets(#[from] StoreError),
    /// The operating system has no randomness to give.
    #[error("no randomness for the folder's keys: {0}")]
    Randomness(String),
}

/// What recovery found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The number of the snapshot that recovery started from; 0 without one.
    pub generation: u64,
    /// The sequence of that snapshot.
    pub snapshot_sequence: Sequence,
    /// The last sequence of the journal.
    pub sequence: Sequence,
    /// Records replayed.
    pub records: u64,
    /// Bytes of a torn tail that were dropped.
    pub torn_bytes: u64,
    /// Why the snapshot was not used, if it was not.
    pub snapshot_refused: Option<String>,
    /// How long it all took.
    pub took: Duration,
}

impl Recovered {
    pub(in crate::engine) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "generation": self.generation,
            "snapshot_sequence": self.snapshot_sequence,
            "sequence": self.sequence,
            "records": self.records,
            "torn_bytes": self.torn_bytes,
            "snapshot_refused": self.snapshot_refused,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// As many threads for actors as fit beside the HTTP workers.
pub fn arbiters_for(cores: usize) -> usize {
    (cores / 3).clamp(1, 8)
}

impl EngineError {
    /// Whether the program is at fault, and not the storage or the configuration.
    pub(in crate::engine) fn is_fault(&self) -> bool {
        matches!(self, Self::Replay(error) if error.is_fault())
    }

    /// Whether the journal's beginning is gone, and nothing holds the state that it made.
    pub fn is_beginning_lost(&self) -> bool {
        matches!(
            self,
            Self::Start(StartError::BeginningLost(_))
                | Self::Retention(RetentionError::BeginningLost(_))
        )
    }
}
