//! The state that a replay starts from.

use crate::domain::settings::Settings;
use crate::engine::options::EngineError;
use crate::engine::state::Core;
use crate::engine::state::configuration::Effective;
use crate::engine::store::fragments::Rest;
use crate::engine::store::rows;
use crate::journal::JournalReader;
use crate::records::{DedupeRow, Genesis};

/// The state of the snapshot, or an empty one at the journal's beginning.
pub(in crate::engine) fn starting_point(
    rest: &Rest,
    genesis: Option<Genesis>,
    reader: &JournalReader,
) -> Result<Start, EngineError> {
    if let Some(sequence) = rest.store().sequence() {
        let loaded = rows::load(&rest.store(), sequence)?;
        return Ok((loaded.core, loaded.dedupe));
    }
    let Some(genesis) = genesis else {
        return Err(EngineError::BeginningLost { first: reader.first_sequence() });
    };
    Ok((empty(genesis)?, Vec::new()))
}

pub(in crate::engine) fn empty(genesis: Genesis) -> Result<Core, EngineError> {
    let files = Settings::default();
    let effective = Effective::new(&files, &Default::default(), genesis.hash_key)
        .map_err(EngineError::Settings)?;
    Ok(Core::new(genesis, effective, files))
}

/// A state, and the event ids that are remembered with it.
pub(in crate::engine) type Start = (Core, Vec<DedupeRow>);
