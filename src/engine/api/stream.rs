//! What is being stored now, for those who follow.
//!
//! What waits for a slow reader is names and places, not payloads: these are read from the journal
//! when they are sent.

use crate::domain::id::Sequence;
use crate::domain::view::EventView;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use crate::engine::state::stored::BYTES;

impl Engine {
    /// The first of these events, as they are now; whoever was erased meanwhile is left
    /// out. Those that were read are taken off the list.
    ///
    /// # Errors
    /// When the engine is stopping, or the journal cannot be read.
    pub async fn stored(&self, wanted: &mut Vec<Sequence>) -> Result<Vec<EventView>, Refusal> {
        let found = self.read_next(wanted, (usize::MAX, BYTES)).await?;
        self.views(found, None).await
    }
}
