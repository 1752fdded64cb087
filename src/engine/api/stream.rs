//! What is being stored now, for those who follow.
//!
//! What waits for a slow reader is names and places, not payloads: these are read from the journal
//! when they are sent.

use crate::domain::event::{Event, Standing};
use crate::domain::id::Sequence;
use crate::domain::view::EventView;
use crate::engine::api::reading::EventFilter;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use std::sync::Arc;

/// Bytes of payloads that are read at a time, unless there is only one.
const BYTES: usize = 256 * 1024;

/// An event that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// Its source.
    pub source: Arc<str>,
    /// Its type.
    pub kind: Arc<str>,
    /// Whether it was set aside.
    pub is_quarantined: bool,
    /// Whether it is on no profile, and not set aside either.
    pub is_profile_less: bool,
}

impl Stored {
    pub(in crate::engine) fn of(sequence: Sequence, event: &Event, is_on_profile: bool) -> Self {
        let is_quarantined = matches!(event.standing, Standing::Quarantined(_));
        Self {
            sequence,
            source: (*event.source).into(),
            kind: (*event.kind).into(),
            is_quarantined,
            is_profile_less: !is_quarantined && !is_on_profile,
        }
    }

    /// Whether a reader with this filter wants it; times are not looked at.
    pub fn fits(&self, filter: &EventFilter) -> bool {
        filter.source.as_deref().is_none_or(|source| source == &*self.source)
            && filter.kind.as_deref().is_none_or(|kind| kind == &*self.kind)
            && (!filter.profile_less || self.is_profile_less)
            && (!filter.quarantined || self.is_quarantined)
    }
}

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
