//! The state that a replay starts from.

use crate::domain::problem::SettingsProblem;
use crate::domain::settings::Settings;
use crate::engine::state::Core;
use crate::engine::state::configuration::Effective;
use crate::engine::store::fragments::Rest;
use crate::engine::store::retention::BeginningLost;
use crate::engine::store::rows;
use crate::engine::store::rows::error::LoadError;
use crate::journal::JournalReader;
use crate::records::{DedupeRow, Genesis};

/// Why there is no state to start from.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The snapshot's rows cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The configuration does not hold together.
    #[error("the configuration does not hold together: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingsProblem>),
    /// Nothing holds what went before the journal.
    #[error(transparent)]
    BeginningLost(#[from] BeginningLost),
}

/// The state of the snapshot, or an empty one at the journal's beginning.
pub(in crate::engine) fn starting_point(
    rest: &Rest,
    genesis: Option<Genesis>,
    reader: &JournalReader,
) -> Result<Start, StartError> {
    if let Some(sequence) = rest.store().sequence() {
        let loaded = rows::load(&rest.store(), sequence)?;
        return Ok((loaded.core, loaded.dedupe));
    }
    let Some(genesis) = genesis else {
        return Err(BeginningLost { first: reader.first_sequence() }.into());
    };
    Ok((empty(genesis)?, Vec::new()))
}

pub(in crate::engine) fn empty(genesis: Genesis) -> Result<Core, StartError> {
    let files = Settings::default();
    let effective = Effective::new(&files, &Default::default(), genesis.hash_key)
        .map_err(StartError::Settings)?;
    Ok(Core::new(genesis, effective, files))
}

/// A state, and the event ids that are remembered with it.
pub(in crate::engine) type Start = (Core, Vec<DedupeRow>);
