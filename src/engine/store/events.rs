//! Stored events read again.

use crate::engine::store::fragments::RowError;
use crate::journal::JournalError;
use crate::records::RecordError;

/// Why a fragment could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
}
