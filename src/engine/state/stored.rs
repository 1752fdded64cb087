//! An event that is being stored, as those who follow hear of it.

use crate::domain::event::{Event, Standing};
use crate::domain::id::Sequence;
use crate::engine::state::query::EventFilter;
use std::sync::Arc;

/// Bytes of payloads that are read at a time, unless there is only one.
pub(in crate::engine) const BYTES: usize = 256 * 1024;

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
