//! Events that were read again, and the journal's events as they read now.

use crate::domain::id::Sequence;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Events that were read again, and the act that holds how each reads now. The identity actor writes
/// it; a reader of the journal looks into it.
#[derive(Clone, Debug, Default)]
pub struct Rereadings(Arc<RwLock<BTreeMap<Sequence, Sequence>>>);

impl Rereadings {
    /// The act that holds how an event reads now.
    pub fn act_of(&self, event: Sequence) -> Option<Sequence> {
        self.all().get(&event).copied()
    }

    /// The events of a span, each with its act.
    pub fn within(&self, span: Range<Sequence>) -> Vec<(Sequence, Sequence)> {
        self.all().range(span).map(|(event, act)| (*event, *act)).collect()
    }

    pub(in crate::engine) fn extend(&self, all: impl IntoIterator<Item = (Sequence, Sequence)>) {
        self.to_change().extend(all);
    }

    /// Whether the event was read again.
    pub(in crate::engine) fn remove(&self, event: Sequence) -> bool {
        self.to_change().remove(&event).is_some()
    }

    /// What `other` knows, in the place of what this one knows.
    pub(in crate::engine) fn take_over(&self, other: &Self) {
        let all = other.all().clone();
        *self.to_change() = all;
    }

    fn all(&self) -> RwLockReadGuard<'_, BTreeMap<Sequence, Sequence>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_change(&self) -> RwLockWriteGuard<'_, BTreeMap<Sequence, Sequence>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
