//! What the journal says of records that panicked, and why it cannot be read again.

use crate::domain::id::Sequence;
use crate::engine::state::aside::Aside;
use crate::engine::store::events::RebuildError;
use crate::journal::JournalReader;
use crate::records::{ActRecord, kind};
use crate::snapshot::SnapshotError;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal, a record or a row cannot be read.
    #[error("at sequence {at}: {cause}")]
    Reading {
        /// Where.
        at: Sequence,
        /// Why.
        cause: RebuildError,
    },
    /// A configuration record does not hold together.
    #[error("the configuration record at sequence {at} does not hold together: {problems}")]
    Configuration {
        /// Where.
        at: Sequence,
        /// Every problem.
        problems: String,
    },
    /// Everything is to be read again at this record, and the journal has lost its beginning.
    #[error(
        "at sequence {at} everything is to be resolved anew, and the journal begins at sequence {first}; restore the segments before it"
    )]
    BeginningLost {
        /// The switch record.
        at: Sequence,
        /// The first sequence that is left.
        first: Sequence,
    },
    /// The snapshot store failed.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// A record was passed over and panicked all the same.
    #[error(
        "at sequence {at} a record panics though it is passed over; this is a fault of the program: report it, and start with a backup meanwhile"
    )]
    Fault {
        /// The record.
        at: Sequence,
    },
    /// The state before a record that panicked cannot be had once more.
    #[error(
        "at sequence {at} a record panicked, and the state before it cannot be loaded: {cause}"
    )]
    Start {
        /// The record.
        at: Sequence,
        /// Why.
        cause: Box<crate::engine::history::starting::StartError>,
    },
}

impl ReplayError {
    /// Whether the program is at fault, and not the storage or the configuration.
    pub(in crate::engine) fn is_fault(&self) -> bool {
        matches!(self, Self::Fault { .. })
    }
}

pub(in crate::engine) fn reading(at: Sequence, cause: RebuildError) -> ReplayError {
    ReplayError::Reading { at, cause }
}

/// What the journal says of records that panicked.
#[derive(Debug, Default)]
pub(in crate::engine) struct Asides {
    /// Events that hold a place and no values.
    pub(in crate::engine) aside: Aside,
    /// Records that count for nothing.
    pub(in crate::engine) passed: Aside,
}

pub(in crate::engine) fn set_aside(
    reader: &JournalReader,
    from: Sequence,
) -> Result<Asides, ReplayError> {
    let mut all = Asides::default();
    for record in reader.scan(from) {
        let (at, record) = record.map_err(|cause| reading(from, cause.into()))?;
        if record.kind == kind::ACT {
            let act = ActRecord::decode(record.version, &record.bytes)
                .map_err(|cause| reading(at, cause.into()))?;
            match act {
                ActRecord::SetAside { sequence, .. } => all.aside.insert(sequence, at),
                ActRecord::PassOver { record, .. } => all.passed.insert(record, at),
                _ => {}
            }
        }
    }
    Ok(all)
}
