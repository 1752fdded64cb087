//! Why a state cannot be read from rows.

use crate::records::RecordError;
use crate::snapshot::SnapshotError;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// A row does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Rows do not fit each other.
    #[error("the snapshot's rows do not fit each other: {0}")]
    Inconsistent(String),
}
