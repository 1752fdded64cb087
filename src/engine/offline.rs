//! The state of a data folder without an engine running on it: for `selfsame inspect`.
//!
//! Owns nothing on disk: the caller hands in a reader of the journal and a snapshot store of its
//! own (a copy, or an empty one in a throw-away folder). Gives the same answers as a running
//! engine, by the same code.

use crate::domain::event::Standing;
use crate::domain::fragment::Fragment;
use crate::domain::graph::{FragmentIndex, NONE};
use crate::domain::id::{IdKind, Sequence};
use crate::domain::view::{DigestView, EventView, ProfileView};
use crate::engine::api::digest::digest_view;
use crate::engine::fault::Faults;
use crate::engine::history::replay::{Plan, Replayed, replay};
use crate::engine::history::starting::starting_point;
use crate::engine::options::EngineError;
use crate::engine::state::Core;
use crate::engine::state::aside::Aside;
use crate::engine::state::query::ProfileRef;
use crate::engine::state::views::Viewed;
use crate::engine::store::events::{EventError, Events};
use crate::engine::store::fragments::{Rest, RowError};
use crate::journal;
use crate::journal::JournalReader;
use crate::records::{Genesis, kind};
use crate::snapshot::SnapshotStore;
use uuid::Uuid;

/// The state at the end of a journal.
pub struct OfflineState {
    core: Core,
    rest: Rest,
    started_at: Sequence,
    passed: Vec<Sequence>,
}

/// What a state amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Live profiles.
    pub profiles: u64,
    /// Fragments.
    pub fragments: u64,
    /// Identifiers, sessions included.
    pub identifiers: u64,
    /// Distinct pairs of them that were seen together.
    pub edges: u64,
    /// Events of every status.
    pub events: u64,
    /// Those that identify nobody.
    pub profile_less: u64,
    /// Those that were set aside.
    pub quarantined: u64,
    /// Merges, unmerges, refusals and the like.
    pub changes: u64,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A row is missing or damaged.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The event cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl OfflineState {
    /// The state that `store` holds, brought up to the journal's end; from the journal alone where
    /// the store is empty. Writes to `store`, and to nothing else. Faults are for tests.
    ///
    /// # Errors
    /// When rows or records are damaged, or the journal no longer reaches back far enough.
    pub fn recover(
        store: SnapshotStore,
        reader: &JournalReader,
        faults: Faults,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, EngineError> {
        let rest = Rest::new(store);
        let genesis = genesis(reader)?;
        let start = starting_point(&rest, genesis, reader)?;
        let started_at = start.0.applied;
        let plan = Plan {
            rest: &rest,
            reader,
            genesis,
            upto: None,
            aside: Aside::default(),
            passed: Aside::default(),
            faults,
            unsaved_bytes: usize::MAX,
            log: &[],
        };
        let Replayed { core, passed, .. } = replay(start, &plan, progress)?;
        Ok(Self { core, rest, started_at, passed })
    }

    /// The sequence of the snapshot that it started from; 0 without one.
    pub fn started_at(&self) -> Sequence {
        self.started_at
    }

    /// Records that panicked on the way, and which no record says are passed over: the next start
    /// passes them over too, and says so in the journal.
    pub fn passed(&self) -> &[Sequence] {
        &self.passed
    }

    /// What there is.
    pub fn counts(&self) -> Counts {
        let Core { graph, counters, profile_less, quarantined, .. } = &self.core;
        Counts {
            profiles: graph.profiles(),
            fragments: graph.fragment_count() as u64,
            identifiers: graph.node_count() as u64,
            edges: graph.edge_count() as u64,
            events: counters.events,
            profile_less: profile_less.len() as u64,
            quarantined: quarantined.len() as u64,
            changes: counters.changes,
        }
    }

    /// A profile, as the reading API shows it.
    ///
    /// # Errors
    /// When a row of it is missing or damaged.
    pub fn profile(&self, by: &ProfileRef, all: bool) -> Result<Option<ProfileView>, RowError> {
        let Some(lead) = self.core.lead_of(by) else { return Ok(None) };
        Ok(Some(self.core.profile_view(self.viewed(lead, all)?)))
    }

    /// An event, as the reading API shows it.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn event(
        &self,
        reader: &JournalReader,
        id: &str,
    ) -> Result<Option<EventView>, OfflineError> {
        let Some(parts) = self.core.genesis.id_key.read(IdKind::Event, id) else { return Ok(None) };
        let event = Events::new(reader, &self.core.revised).read(parts.sequence)?;
        let Some(event) = event else { return Ok(None) };
        let is_open = !matches!(event.standing, Standing::Quarantined(_));
        let lead = self.core.locate(parts.sequence, &event).filter(|_| is_open);
        let profile = lead.map(|lead| self.core.fragment_id(lead));
        let view = self.core.event_view(parts.sequence, &event, profile);
        let view = crate::engine::state::views::show(view, &(event.payload, event.raw));
        Ok(Some(view).filter(|view| view.id.eq_ignore_ascii_case(id)))
    }

    /// A hash over everything that the state means; the running engine answers the same.
    ///
    /// # Errors
    /// When a row is missing or damaged.
    pub fn digest(&self) -> Result<DigestView, RowError> {
        let mut sum = 0u128;
        for lead in self.core.graph.leads() {
            sum = sum.wrapping_add(self.profile_digest(lead)?);
        }
        let Core { applied, graph, counters, .. } = &self.core;
        Ok(digest_view(*applied, graph.profiles(), counters.events, sum, counters.loose_content))
    }

    /// Fragments that are not the same here and there, by id; the first `limit`. Finer than the
    /// digest, in which two fragments of one profile may make up for each other.
    ///
    /// # Errors
    /// When a row is missing or damaged.
    pub fn differing(&self, other: &Self, limit: usize) -> Result<Vec<Uuid>, RowError> {
        let mut found = Vec::new();
        for lead in self.core.graph.leads() {
            for index in self.core.graph.fragments_of(lead) {
                let id = self.core.fragment_id(index);
                if !self.has_twin(lead, index, other)? {
                    found.push(id);
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Whether a fragment is on the same profile and holds the same in another state.
    fn has_twin(
        &self,
        lead: FragmentIndex,
        index: FragmentIndex,
        other: &Self,
    ) -> Result<bool, RowError> {
        let birth = self.core.graph.birth(index);
        let twin = other.core.graph.born_of(birth.sequence, birth.generation);
        let Some(twin) = twin else { return Ok(false) };
        let there = other.core.fragment_id(other.core.graph.lead(twin));
        let (mut one, mut two) = (self.rest.load(index)?, other.rest.load(twin)?);
        let is_listed_alike = self.events_of(index, &one)? == other.events_of(twin, &two)?;
        // How a timeline is cut into chunks is no difference.
        (one.timeline, two.timeline) = Default::default();
        Ok(is_listed_alike && one == two && there == self.core.fragment_id(lead))
    }

    /// The sequences of a fragment's events, ascending.
    fn events_of(
        &self,
        index: FragmentIndex,
        fragment: &Fragment,
    ) -> Result<Vec<Sequence>, RowError> {
        let mut all = Vec::new();
        for number in 0..fragment.timeline.saved {
            all.extend(self.rest.chunk(index, number)?.iter());
        }
        let mut newer: Vec<Sequence> = fragment.timeline.newest_first().collect();
        all.append(&mut newer);
        all.extend(&fragment.timeline.late);
        all.sort_unstable();
        Ok(all)
    }

    /// What does not hold though it should: every fragment has a row and is in one profile, its
    /// counters agree with its timeline, and all events are accounted for. At most `limit`.
    ///
    /// # Errors
    /// When a row is missing or damaged.
    pub fn problems(&self, limit: usize) -> Result<Vec<String>, RowError> {
        let mut problems = Vec::new();
        let (mut events, mut fragments) = (0u64, 0usize);
        for lead in self.core.graph.leads() {
            for index in self.core.graph.fragments_of(lead) {
                fragments += 1;
                events += self.fragment_problems(index, &mut problems)?;
                if problems.len() >= limit {
                    return Ok(problems);
                }
            }
        }
        let Counts { profile_less, quarantined, events: all, .. } = self.counts();
        // Those that were erased, or that follow their first event to another one, hold nothing.
        let known = self.core.graph.holders().into_iter().filter(|lead| *lead != NONE).count();
        if fragments != known {
            problems.push(format!("{known} fragments are known, {fragments} are on profiles"));
        }
        let accounted = events + profile_less + quarantined;
        if accounted != all {
            problems.push(format!(
                "{all} events are counted; {events} on profiles, {profile_less} profile-less and \
                 {quarantined} quarantined ones are {accounted}"
            ));
        }
        Ok(problems)
    }

    /// Returns how many events a fragment holds.
    fn fragment_problems(
        &self,
        index: FragmentIndex,
        problems: &mut Vec<String>,
    ) -> Result<u64, RowError> {
        let fragment = self.rest.load(index)?;
        let listed = self.events_of(index, &fragment)?.len() as u64;
        let by_type: u64 = fragment.by_type.iter().map(|(_, count)| count).sum();
        let types_max = self.core.graph.rules().limits.event_types as usize;
        let is_counted = by_type == fragment.events
            || (by_type < fragment.events && fragment.by_type.len() == types_max);
        if listed != fragment.events || !is_counted {
            problems.push(format!(
                "fragment {} counts {} events, {by_type} by type, and lists {listed}",
                self.core.fragment_id(index),
                fragment.events
            ));
        }
        Ok(fragment.events)
    }

    fn profile_digest(&self, lead: FragmentIndex) -> Result<u128, RowError> {
        let Viewed { cluster, folded, .. } = self.viewed(lead, false)?;
        Ok(folded.digest(&cluster))
    }

    fn viewed(&self, lead: FragmentIndex, all: bool) -> Result<Viewed, RowError> {
        self.core.viewed_at_rest(&self.rest, lead, all)
    }
}

/// The folder's keys, where the journal still holds them.
fn genesis(reader: &JournalReader) -> Result<Option<Genesis>, EngineError> {
    let first = reader.read(journal::FIRST_SEQUENCE)?;
    let first = first.filter(|record| record.kind == kind::GENESIS);
    Ok(first.map(|record| Genesis::decode(record.version, &record.bytes)).transpose()?)
}
