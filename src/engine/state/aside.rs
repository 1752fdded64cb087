//! Events and records that were in vain: they panicked, and count for nothing.

use crate::domain::id::Sequence;
use std::collections::BTreeMap;

/// Events that were set aside after the fact, and the last act that did so: no record before that
/// one may apply them a second time. One behind it read them again, with success.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Aside(BTreeMap<Sequence, Sequence>);

impl Aside {
    /// Whether `record` was in vain for an event.
    pub(in crate::engine) fn holds(&self, event: Sequence, record: Sequence) -> bool {
        self.0.get(&event).is_some_and(|act| *act > record)
    }

    /// An event, or a record, was in vain for all records before `act`.
    pub(in crate::engine) fn insert(&mut self, event: Sequence, act: Sequence) {
        self.0.insert(event, act);
    }

    pub(in crate::engine) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// All of them.
    pub(in crate::engine) fn events(&self) -> impl Iterator<Item = Sequence> {
        self.0.keys().copied()
    }

    /// Those of which `known` does not know that they were in vain up to the same act.
    pub(in crate::engine) fn beyond(&self, known: &Self) -> impl Iterator<Item = Sequence> {
        let is_new = |(event, act): &(&Sequence, &Sequence)| {
            known.0.get(*event).is_none_or(|known| known < *act)
        };
        self.0.iter().filter(is_new).map(|(event, _)| *event)
    }

    /// Whether there is one that no act says yet.
    pub(in crate::engine) fn has_unsaid(&self) -> bool {
        self.0.values().any(|act| *act == Sequence::MAX)
    }

    /// Those that no act says yet.
    pub(in crate::engine) fn unsaid(&self) -> Self {
        let all = self.0.iter().filter(|(_, act)| **act == Sequence::MAX);
        Self(all.map(|(event, act)| (*event, *act)).collect())
    }
}

impl FromIterator<Sequence> for Aside {
    /// Those that no act says yet.
    fn from_iter<T: IntoIterator<Item = Sequence>>(all: T) -> Self {
        Self(all.into_iter().map(|event| (event, Sequence::MAX)).collect())
    }
}
