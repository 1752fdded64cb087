//! What the identity actor keeps of work that takes several turns: a rebuild, a draft, a gathering.

use crate::domain::graph::{FragmentIndex, Move};
use crate::domain::id::Sequence;
use crate::engine::history::basis::{Changed, lock};
use crate::engine::history::draft::Draft;
use crate::engine::intake::reply::Reply;
use crate::engine::receipt::Receipt;
use crate::engine::state::acted::Answer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Weak;
use std::time::Instant;
use tokio::sync::oneshot;

/// Those who gather, as the actor knows them.
#[derive(Default)]
pub(in crate::engine) struct Gatherings(pub(in crate::engine) Vec<Weak<Changed>>);

impl Gatherings {
    /// Tells all who gather that fragments change hands.
    pub(in crate::engine) fn witness_moves(&mut self, moves: &[Move]) {
        if !self.0.is_empty() {
            self.witness(moves.iter().map(|one| one.fragment));
        }
    }

    /// Tells all who gather that fragments changed.
    pub(in crate::engine) fn witness(
        &mut self,
        fragments: impl Iterator<Item = FragmentIndex> + Clone,
    ) {
        self.0.retain(|one| {
            let Some(changed) = one.upgrade() else { return false };
            lock(&changed).extend(fragments.clone());
            true
        });
    }
}

/// What panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Cause {
    /// Taking in this record, or what it asks of campaigns.
    Record(Sequence),
    /// A caller's question.
    Call,
    /// Something of the actor's own.
    Turn,
}

/// Who waits to hear that a record is passed over.
pub(in crate::engine) enum Waiting {
    Event(Receipt, Reply),
    Act(oneshot::Sender<Answer>),
}

/// What the identity actor keeps about panics.
#[derive(Default)]
pub(in crate::engine) struct Mending {
    /// The last record that was taken.
    pub(in crate::engine) taken: Sequence,
    /// The event being taken, until somebody else answers it.
    pub(in crate::engine) unanswered: Option<(Receipt, Reply)>,
    /// Records that are passed over, until that is durable.
    pub(in crate::engine) waiting: BTreeMap<Sequence, Waiting>,
    /// When rebuilds were made for which no record could be named.
    pub(in crate::engine) blind: VecDeque<Instant>,
}

impl Mending {
    /// Behind this record, all is well.
    pub(in crate::engine) fn behind(taken: Sequence) -> Self {
        Self { taken, ..Self::default() }
    }
}

/// How far a re-resolution is.
#[derive(Default)]
pub(in crate::engine) enum Drafting {
    /// None is wanted.
    #[default]
    Idle,
    /// A thread reads the journal.
    Reading,
    /// The switch record is on its way.
    Ready(Box<Draft>),
    /// The record of an adoption is on its way.
    Adopting,
}
