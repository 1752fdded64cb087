//! The fragments that a graph which is resolved again takes over.

use crate::domain::graph::ids::{FragmentIndex, NONE};
use crate::domain::graph::tables::row::Birth;
use crate::domain::id::Sequence;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::ops::Range;

/// Fragments of the graph before, to be taken over. In few large pieces, because there are millions.
#[derive(Clone, Debug, Default)]
pub struct Ancestry {
    pub(in crate::domain::graph) births: Vec<Birth>,
    /// What each was made for, by where that lies in `names`; empty where it lives on in another or
    /// was erased.
    pub(in crate::domain::graph) origins: Vec<Range<usize>>,
    pub(in crate::domain::graph) names: String,
}

impl Ancestry {
    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.births.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.births.is_empty()
    }

    /// Takes those that come behind these.
    pub fn append(&mut self, mut more: Self) {
        let by = self.names.len();
        self.births.append(&mut more.births);
        self.origins.extend(more.origins.into_iter().map(|at| at.start + by..at.end + by));
        self.names.push_str(&more.names);
    }

    /// Forgets what the fragment at that place was made for: it was erased.
    pub fn orphan(&mut self, at: usize) {
        if let (Some(birth), Some(origin)) = (self.births.get_mut(at), self.origins.get_mut(at)) {
            (birth.node, *origin) = (NONE, 0..0);
        }
    }

    pub(in crate::domain::graph) fn origins(&self) -> impl Iterator<Item = &str> {
        self.origins.iter().map(|at| &self.names[at.clone()])
    }
}

#[cfg(test)]
impl PartialEq for Ancestry {
    /// Where the names lie makes no difference.
    fn eq(&self, other: &Self) -> bool {
        self.births == other.births && self.origins().eq(other.origins())
    }
}

/// What a graph under re-resolution knows of the one before.
#[derive(Debug, Default)]
pub struct Heirs {
    pub(in crate::domain::graph) by_origin: HashMap<Box<str>, FragmentIndex>,
    /// Fragments by the event that made them: they follow it where their own origin comes up no
    /// more.
    pub(in crate::domain::graph) by_event: HashMap<Sequence, SmallVec<[FragmentIndex; 1]>>,
    pub(in crate::domain::graph) taken: usize,
}
