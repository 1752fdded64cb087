//! What a draft of the state starts from.

use crate::domain::graph::{Ancestry, FragmentIndex};
use crate::domain::id::Sequence;
use crate::engine::fault::Faults;
use crate::engine::state::Core;
use crate::engine::state::aside::Aside;
use crate::engine::state::configuration::Effective;
use crate::engine::state::numbers::next_generation;
use crate::engine::state::revisions::Rereadings;
use crate::records::{CutRow, Genesis, LinkRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The fragments that changed hands, or were erased, since somebody began to gather.
pub(in crate::engine) type Changed = Mutex<BTreeSet<FragmentIndex>>;

/// The set is whole whatever happened to its last holder.
pub(in crate::engine) fn lock(
    changed: &Changed,
) -> std::sync::MutexGuard<'_, BTreeSet<FragmentIndex>> {
    changed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state as it was at one moment, as far as drafts need it.
pub(in crate::engine) struct Gathered {
    pub(in crate::engine) basis: Basis,
    /// The profile that held each fragment, as [`Graph::holder`](crate::domain::graph::Graph::holder)
    /// has it.
    pub(in crate::engine) holders: Vec<FragmentIndex>,
    /// What changed since, for as long as this is held.
    pub(in crate::engine) changed: Arc<Changed>,
}

/// What a draft starts from.
pub(in crate::engine) struct Basis {
    pub(in crate::engine) genesis: Genesis,
    pub(in crate::engine) effective: Arc<Effective>,
    pub(in crate::engine) ancestry: Ancestry,
    pub(in crate::engine) links: BTreeMap<u64, LinkRow>,
    pub(in crate::engine) cuts: BTreeMap<u64, CutRow>,
    pub(in crate::engine) generation: u16,
    /// The last record that the ancestry knows of.
    pub(in crate::engine) applied: Sequence,
    /// Records of erased persons.
    pub(in crate::engine) hidden: BTreeSet<Sequence>,
    /// How many erasures there were.
    pub(in crate::engine) erasures: usize,
    /// Keyed hashes of identifiers whose events are dropped.
    pub(in crate::engine) suppressed: BTreeSet<[u8; 16]>,
    /// Events that were read again by an act, which says where they belong.
    pub(in crate::engine) revised: Rereadings,
    /// Records that panicked, and no act says so yet.
    pub(in crate::engine) passed: Aside,
    /// Faults to inject, for tests.
    pub(in crate::engine) faults: Faults,
}

impl Basis {
    /// What a re-resolution of `core` starts from.
    pub(in crate::engine) fn of(core: &Core) -> Self {
        Self { ancestry: core.graph.ancestry(0, usize::MAX), ..Self::without_fragments(core) }
    }

    /// The same without the fragments, of which there are many.
    pub(in crate::engine) fn without_fragments(core: &Core) -> Self {
        Self {
            genesis: core.genesis,
            effective: Arc::clone(&core.effective),
            ancestry: Ancestry::default(),
            links: core.links.clone(),
            cuts: core.cuts.clone(),
            generation: next_generation(core.counters.generation),
            applied: core.applied,
            hidden: core.hidden.clone(),
            erasures: core.erasures.len(),
            suppressed: core.suppressed.clone(),
            revised: core.revised.clone(),
            passed: core.passed.unsaid(),
            faults: core.faults.clone(),
        }
    }
}
