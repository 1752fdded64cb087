//! The snapshot store at a start: opened, or set aside and made again from checkpoint and journal.

use crate::domain::id::Sequence;
use crate::engine::history::starting::{Start, StartError, starting_point};
use crate::engine::options::EngineError;
use crate::engine::store::fragments::Rest;
use crate::engine::store::retention;
use crate::journal::JournalReader;
use crate::journal::folder::free_bytes;
use crate::records::Genesis;
use crate::snapshot::SnapshotStore;
use crate::{journal, snapshot};
use std::path::Path;
use std::time::Duration;

/// How long sled may take to open before it is given up and the snapshot rebuilt.
const OPEN_WATCHDOG: Duration = Duration::from_secs(20);
/// With less free than this, in bytes, a snapshot store cannot be opened, be it sound or not.
const ROOM: u64 = 1 << 20;

/// Opens the snapshot store; one that cannot be used is set aside and an empty one taken.
pub(in crate::engine) fn open_store(
    path: &Path,
    last: Sequence,
    accept_loss: bool,
) -> Result<(SnapshotStore, Option<String>), EngineError> {
    let refused = match snapshot::open(path, OPEN_WATCHDOG) {
        Ok(store) => match store.sequence() {
            Some(at) if at > last && !accept_loss => {
                return Err(EngineError::JournalEndsEarly { snapshot: at, journal: last });
            }
            Some(at) if at > last => {
                drop(store);
                format!("it is at sequence {at}, and the journal ends at {last}")
            }
            _ => return Ok((store, None)),
        },
        // On a full disk nothing says that it is damaged, and another one could not be made either.
        Err(error) if free_bytes(path.parent().unwrap_or(path)).is_ok_and(|free| free < ROOM) => {
            return Err(error.into());
        }
        Err(error) => error.to_string(),
    };
    tracing::warn!(%refused, "the snapshot is set aside and rebuilt from the journal");
    snapshot::set_aside(path).map_err(EngineError::SetAside)?;
    Ok((snapshot::open(path, OPEN_WATCHDOG)?, Some(refused)))
}

/// A snapshot, the state that it holds, and why another was refused.
pub(in crate::engine) type Usable = (Rest, Start, Option<String>);

/// The store with the state that it holds. One whose rows are damaged is set aside: the checkpoint,
/// or the journal from its beginning, makes another.
pub(in crate::engine) fn usable(
    data: &Path,
    store: SnapshotStore,
    refused: Option<String>,
    genesis: Option<Genesis>,
    reader: &JournalReader,
) -> Result<Usable, EngineError> {
    let filled = |store: SnapshotStore| -> Result<Rest, EngineError> {
        let is_cut = reader.first_sequence() > journal::FIRST_SEQUENCE;
        if is_cut && store.sequence().unwrap_or(0) == 0 {
            retention::read_checkpoint(data, &store)?;
        }
        Ok(Rest::new(store))
    };
    let rest = filled(store)?;
    let why = match starting_point(&rest, genesis, reader) {
        Ok(start) => return Ok((rest, start, refused)),
        Err(StartError::Load(error)) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    tracing::warn!(%why, "the snapshot is set aside and rebuilt");
    drop(rest);
    let path = data.join("snapshot");
    snapshot::set_aside(&path).map_err(EngineError::SetAside)?;
    let rest = filled(snapshot::open(&path, OPEN_WATCHDOG)?)?;
    let start = starting_point(&rest, genesis, reader)?;
    Ok((rest, start, Some(why)))
}
