//! Everything held on a person, in parts: however much that is, a part at a time is in memory, and
//! the next one is read when the one before has been taken.
//!
//! The export is of the profile as it was when it began: its values, and the events that its
//! fragments then held, up to the sequence that was then the last. Whoever joins or leaves the
//! person meanwhile changes nothing of that. Only an erasure does: the rest of the export then ends
//! with an error, and whoever reads it sees that it is not whole.

use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::view::{ChangeView, EventView, ProfileView};
use crate::engine::handle::Engine;
use crate::engine::profile::message::Op;
use crate::engine::receipt::Refusal;
use crate::engine::state::query::{EventFilter, PageRequest, ProfileRef};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::oneshot;

/// Sequences of events that are asked for at a time.
const SEQUENCES: usize = 1_024;
/// Events of one part at most, and bytes of their payloads unless there is only one.
const EVENTS: usize = 250;
const BYTES: usize = 256 * 1024;

/// An export under way.
pub struct Export {
    engine: Engine,
    /// As it was at the beginning.
    pub profile: ProfileView,
    /// The events that are still to come, as far as they are known.
    known: VecDeque<Sequence>,
    /// Where the next ones are; none when all are known.
    before: Option<Sequence>,
    /// Where the next changes are; none when there are no more.
    changes: Option<Option<u64>>,
    /// The epoch of fragments in which it began: a re-resolution makes others.
    epoch: u64,
}

/// Why an export ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// There is no one to export any more.
    #[error("the person was erased while the export was under way")]
    Erased,
    /// The engine is stopping, or the journal cannot be read.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Engine {
    /// Begins an export.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn export(&self, id: String) -> Result<Option<Export>, Refusal> {
        let Some(profile) = self.profile(ProfileRef::Id(id), true).await? else {
            return Ok(None);
        };
        // Events that come from here on are not on the profile as it is shown.
        let began = self.ask(|identity, _| (identity.core.applied, identity.shared.rest.epoch()));
        let (last, epoch) = began.await?;
        Ok(Some(Export {
            epoch,
            engine: self.clone(),
            profile,
            known: VecDeque::new(),
            before: Some(last + 1),
            changes: Some(None),
        }))
    }
}

impl Export {
    /// The next events, the newest first; none when there are no more.
    ///
    /// # Errors
    /// When the person has been erased meanwhile, the engine is stopping, or the journal cannot be
    /// read.
    pub async fn events(&mut self) -> Result<Vec<EventView>, ExportError> {
        loop {
            if self.known.is_empty() {
                let Some(before) = self.before else { return Ok(Vec::new()) };
                self.known = self.sequences(before).await?.into();
                self.before = self.known.back().copied().filter(|_| self.known.len() >= SEQUENCES);
                if self.known.is_empty() {
                    return Ok(Vec::new());
                }
            }
            let wanted: Vec<Sequence> = self.known.iter().copied().take(EVENTS).collect();
            let last = wanted.last().copied().unwrap_or(0);
            let read = self.engine.read_page(wanted, EventFilter::default(), (EVENTS, BYTES));
            let (found, next) = read.await?;
            let upto = next.unwrap_or(last);
            while self.known.front().is_some_and(|sequence| *sequence >= upto) {
                self.known.pop_front();
            }
            let views = self.engine.views(found, None).await?;
            if !views.is_empty() {
                return Ok(views);
            }
        }
    }

    /// The events of the fragments that the profile had, before a position.
    async fn sequences(&self, before: Sequence) -> Result<Vec<Sequence>, ExportError> {
        let ids: Vec<String> =
            self.profile.fragments.iter().map(|fragment| fragment.id.clone()).collect();
        let epoch = self.epoch;
        let asked = self.engine.ask(move |identity, _| {
            let is_same = identity.shared.rest.epoch() == epoch;
            let mut holders: BTreeMap<FragmentIndex, Vec<FragmentIndex>> = BTreeMap::new();
            for (fragment, lead) in
                ids.iter().filter_map(|id| identity.core.fragment_and_profile(id))
            {
                holders.entry(lead).or_default().push(fragment);
            }
            let mut answers = Vec::with_capacity(holders.len());
            for (lead, only) in holders {
                let (reply, answer) = oneshot::channel();
                // After a re-resolution other fragments may hold what these held.
                let only = is_same.then_some(only);
                let timeline = Op::Timeline { before, limit: SEQUENCES, only, reply };
                identity.tell_awake(lead, timeline);
                answers.push(answer);
            }
            answers
        });
        let answers = asked.await?;
        if answers.is_empty() {
            return Err(ExportError::Erased);
        }
        let mut all = Vec::new();
        for answer in answers {
            all.append(&mut self.engine.heard(answer).await?);
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.truncate(SEQUENCES);
        Ok(all)
    }

    /// The next changes of who the person is, the newest first; none when there are no more.
    ///
    /// # Errors
    /// When the person has been erased meanwhile, or the engine is stopping.
    pub async fn changes(&mut self) -> Result<Vec<ChangeView>, ExportError> {
        let Some(before) = self.changes else { return Ok(Vec::new()) };
        let id = self.profile.id.clone();
        let page = self.engine.profile_merges(id, PageRequest { limit: EVENTS, before }).await?;
        let page = page.ok_or(ExportError::Erased)?;
        self.changes = page.next.map(Some);
        Ok(page.items)
    }
}
