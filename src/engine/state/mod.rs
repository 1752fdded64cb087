//! What the identity actor owns, as plain state: it takes journal records in their order and
//! answers what follows. Live operation and replay go through the same functions.

pub(in crate::engine) mod acted;
pub(in crate::engine) mod acts;
pub(in crate::engine) mod aside;
pub(in crate::engine) mod campaigns;
pub(in crate::engine) mod change_log;
pub(in crate::engine) mod configuration;
pub(in crate::engine) mod erasure;
pub(in crate::engine) mod numbers;
pub(in crate::engine) mod origin;
pub(in crate::engine) mod query;
pub(in crate::engine) mod revisions;
pub(in crate::engine) mod row;
pub(in crate::engine) mod stored;
pub(in crate::engine) mod views;

use crate::domain::event::{Event, Reason, Standing};
use crate::domain::fragment::content_hash;
use crate::domain::graph::{Birth, Change, FragmentIndex, Graph, Move};
use crate::domain::id::{IdKind, IdParts, Sequence};
use crate::domain::settings::Settings;
use crate::domain::time::Timestamp;
use crate::engine::fault::{Faults, Stage};
use crate::engine::state::aside::Aside;
use crate::engine::state::campaigns::runs::CampaignState;
use crate::engine::state::change_log::ChangeLog;
use crate::engine::state::configuration::{Effective, Objects};
use crate::engine::state::revisions::Rereadings;
use crate::records::{
    ChangeRow, Counters, CutRow, DedupeRow, ErasureRow, Genesis, LinkRow, ObjectKind,
    PendingErasure,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// The state that follows from the journal up to a sequence, fragments aside.
pub struct Core {
    /// The folder's keys.
    pub genesis: Genesis,
    /// Identifiers, evidence, clusters.
    pub graph: Graph,
    /// What the configuration files said last.
    pub files: Settings,
    /// Objects kept by API.
    pub objects: Objects,
    /// Both, compiled.
    pub effective: Arc<Effective>,
    /// Events that identify nobody.
    pub profile_less: BTreeSet<Sequence>,
    /// Events that were set aside.
    pub quarantined: BTreeMap<Sequence, Reason>,
    /// Counters.
    pub counters: Counters,
    /// Operators' links by number.
    pub links: BTreeMap<u64, LinkRow>,
    /// Operators' cuts by number, which no link has.
    pub cuts: BTreeMap<u64, CutRow>,
    /// Events that were read again, and the act that holds how they read now.
    pub revised: Rereadings,
    /// The configuration under which the graph was resolved; behind the one in force while a
    /// re-resolution is under way.
    pub resolved: Settings,
    /// Keyed hashes of identifiers whose events are dropped.
    pub suppressed: BTreeSet<[u8; 16]>,
    /// Erasures by their records.
    pub erasures: BTreeMap<Sequence, ErasureRow>,
    /// How many events each erasure left because they cannot be read; only where there are any.
    pub(in crate::engine) unread: BTreeMap<Sequence, u64>,
    /// Erasures whose records are still being looked for.
    pub pending: BTreeMap<Sequence, PendingErasure>,
    /// Records of erased persons that the files still hold; nobody sees them any more.
    pub hidden: BTreeSet<Sequence>,
    /// Emptied records that were met on the way here.
    pub(in crate::engine) emptied: BTreeSet<Sequence>,
    /// Rows of event ids in the snapshot, by their last sequence, and when the newest was received.
    pub(in crate::engine) dedupe_rows: VecDeque<(Sequence, Timestamp)>,
    /// Changes of identity, in order.
    pub changes: ChangeLog,
    /// What campaigns left behind.
    pub campaigns: CampaignState,
    /// The last record that was applied.
    pub applied: Sequence,
    /// Records that panicked when they were taken in, and up to which record they count for nothing.
    pub(in crate::engine) passed: Aside,
    /// The event that an act is placing: whose fault it is, if that panics.
    pub(in crate::engine) placing: Option<Sequence>,
    /// Faults to inject, for tests of supervision.
    pub(in crate::engine) faults: Faults,
    /// What changed since the last snapshot.
    pub(in crate::engine) fresh: Fresh,
    /// The keys of the snapshot's rows about erasures.
    pub(in crate::engine) erasure_keys: BTreeSet<Vec<u8>>,
}

/// What changed since the last snapshot.
#[derive(Debug, Default)]
pub(in crate::engine) struct Fresh {
    /// Fragments whose rows are out of date.
    pub(in crate::engine) fragments: BTreeSet<FragmentIndex>,
    /// Event ids seen, in runs of [`DEDUPE_RUN`]: each becomes a row, and a list that grows by runs
    /// never stops the actor to be copied.
    pub(in crate::engine) dedupe: Vec<Vec<DedupeRow>>,
    /// Buckets of loose events that changed.
    pub(in crate::engine) loose: BTreeSet<u64>,
    /// Whether configuration changed.
    pub(in crate::engine) configuration: bool,
    /// Links and cuts that changed.
    pub(in crate::engine) links: BTreeSet<u64>,
    /// Buckets of revised events that changed.
    pub(in crate::engine) revised: BTreeSet<u64>,
    /// Whether suppressions or erasures changed.
    pub(in crate::engine) erasures: bool,
    /// Fragments whose rows are to go.
    pub(in crate::engine) gone: BTreeSet<FragmentIndex>,
    /// All rows of tables that are not among the fresh ones are to go.
    pub(in crate::engine) purge: bool,
    /// Events since the last snapshot.
    pub(in crate::engine) events: u64,
}

/// Where an event goes.
#[derive(Debug)]
pub struct Placement {
    /// Its fragment, unless it identifies nobody or is set aside.
    pub fragment: Option<FragmentIndex>,
    /// Whether it made the fragment.
    pub is_new: bool,
    /// The profile that holds it.
    pub profile: Option<FragmentIndex>,
    /// Fragments that change hands because of it.
    pub moves: Vec<Move>,
    /// Why it is set aside, where that is not in the event itself.
    pub aside: Option<Reason>,
}

/// Event ids of one row.
const DEDUPE_RUN: usize = 4_096;

impl Fresh {
    pub(in crate::engine) fn remember(&mut self, row: DedupeRow) {
        match self.dedupe.last_mut().filter(|run| run.len() < DEDUPE_RUN) {
            Some(run) => run.push(row),
            None => self.dedupe.push(vec![row]),
        }
    }
}

/// What is kept by sequence and not an event's own (events on no profile, events read again, records
/// of erased persons) lies in rows of this many sequences each.
pub(in crate::engine) const BUCKET: u64 = 1 << 16;

impl Core {
    /// The state before the first event.
    pub fn new(genesis: Genesis, effective: Effective, files: Settings) -> Self {
        Self { files, ..Self::resolving(genesis, Arc::new(effective)) }
    }

    /// An empty state to be filled under a configuration that is in force already.
    pub(in crate::engine) fn resolving(genesis: Genesis, effective: Arc<Effective>) -> Self {
        Self {
            genesis,
            graph: Graph::new(Arc::clone(&effective.compiled.rules)),
            files: Settings::default(),
            objects: Objects::new(),
            resolved: effective.compiled.settings.clone(),
            effective,
            profile_less: BTreeSet::new(),
            quarantined: BTreeMap::new(),
            counters: Counters::default(),
            changes: ChangeLog::default(),
            links: BTreeMap::new(),
            cuts: BTreeMap::new(),
            revised: Rereadings::default(),
            erasure_keys: BTreeSet::new(),
            suppressed: BTreeSet::new(),
            dedupe_rows: VecDeque::new(),
            erasures: BTreeMap::new(),
            unread: BTreeMap::new(),
            pending: BTreeMap::new(),
            hidden: BTreeSet::new(),
            emptied: BTreeSet::new(),
            campaigns: CampaignState::default(),
            applied: 0,
            passed: Aside::default(),
            placing: None,
            faults: Faults::default(),
            fresh: Fresh { configuration: true, ..Fresh::default() },
        }
    }

    /// Rows of event ids that no source remembers any more, by the time of the newest event.
    pub(in crate::engine) fn forgotten_dedupe_rows(&mut self) -> Vec<Sequence> {
        let sources = self.effective.compiled.sources.values();
        let window = sources.map(|source| source.dedupe_window_ms).max().unwrap_or(0);
        let now = self.dedupe_rows.back().map_or(Timestamp(0), |(_, newest)| *newest);
        let mut forgotten = Vec::new();
        while let Some((last, newest)) = self.dedupe_rows.front() {
            if now.0 - newest.0 <= window {
                break;
            }
            forgotten.push(*last);
            self.dedupe_rows.pop_front();
        }
        forgotten
    }

    /// The buckets that hold loose events.
    pub(in crate::engine) fn loose_buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.profile_less.iter().chain(self.quarantined.keys()).map(|at| at / BUCKET)
    }

    /// Takes an event in.
    pub fn event(&mut self, sequence: Sequence, event: &Event) -> Placement {
        self.applied = sequence;
        if self.is_erased(sequence, event) {
            return Placement::nowhere();
        }
        self.counters.events += 1;
        self.fresh.events += 1;
        if let Some(key) = event.dedupe {
            let received_at = event.received_at;
            self.fresh.remember(DedupeRow { key, sequence, received_at });
        }
        if self.passed.holds(sequence, sequence) {
            self.quarantined.insert(sequence, Reason::Panicked);
            self.touch_loose(sequence);
            return Placement::nowhere();
        }
        self.place(sequence, event)
    }

    /// Finds an event its place.
    pub(in crate::engine) fn place(&mut self, sequence: Sequence, event: &Event) -> Placement {
        if let Standing::Quarantined(reason) = event.standing {
            self.set_loose(sequence, Some(reason), event);
            return Placement::nowhere();
        }
        if !self.graph.has_room_for(event) {
            self.set_loose(sequence, Some(Reason::ProfilesFull), event);
            return Placement { aside: Some(Reason::ProfilesFull), ..Placement::nowhere() };
        }
        self.faults.strike(Stage::Graph, &event.kind);
        let observed = self.graph.observe(sequence, event);
        let Some(fragment) = observed.fragment else {
            self.set_loose(sequence, None, event);
            return Placement::nowhere();
        };
        self.fresh.fragments.insert(fragment);
        self.graph.note_fragment(fragment);
        let event_id = self.event_id(sequence, event.received_at);
        for change in observed.effects.changes {
            self.tell(change, Some(event_id), event.received_at);
        }
        Placement {
            fragment: Some(fragment),
            is_new: observed.is_new,
            profile: observed.profile,
            moves: observed.effects.moves,
            aside: None,
        }
    }

    /// Notes that an event is read again, or no more.
    pub(in crate::engine) fn touch_revised(&mut self, sequence: Sequence) {
        self.fresh.revised.insert(sequence / BUCKET);
    }

    /// Notes that what is known of a loose event changed.
    pub(in crate::engine) fn touch_loose(&mut self, sequence: Sequence) {
        self.fresh.loose.insert(sequence / BUCKET);
    }

    pub(in crate::engine) fn tell(&mut self, change: Change, event: Option<Uuid>, at: Timestamp) {
        self.counters.changes += 1;
        let id = |fragment: FragmentIndex| self.fragment_id(fragment).as_u128();
        let row = ChangeRow {
            number: self.counters.changes,
            kind: change.kind,
            profile: change.profile.map(id),
            others: change.others.iter().map(|one| id(*one)).collect(),
            event: event.map(|id| id.as_u128()),
            identifier: change.identifier,
            reason: change.reason.map(str::to_owned),
            at,
        };
        self.changes.push(row);
    }

    pub(in crate::engine) fn set_loose(
        &mut self,
        sequence: Sequence,
        reason: Option<Reason>,
        event: &Event,
    ) {
        match reason {
            Some(reason) => {
                self.quarantined.insert(sequence, reason);
            }
            None => {
                self.profile_less.insert(sequence);
            }
        }
        self.counters.loose_content = self.counters.loose_content.wrapping_add(content_hash(event));
        self.fresh.loose.insert(sequence / BUCKET);
    }

    /// The id of an event.
    pub fn event_id(&self, sequence: Sequence, received_at: Timestamp) -> Uuid {
        let parts = IdParts { received_at, sequence, generation: 0 };
        self.genesis.id_key.mint(IdKind::Event, parts)
    }

    /// The id of a fragment, and of the profile that it leads.
    pub fn fragment_id(&self, fragment: FragmentIndex) -> Uuid {
        let Birth { sequence, generation, received_at, .. } = self.graph.birth(fragment);
        let parts = IdParts { received_at, sequence, generation };
        self.genesis.id_key.mint(IdKind::Fragment, parts)
    }

    /// The profile that holds the fragment of that id now.
    pub fn profile_of_id(&self, id: &str) -> Option<FragmentIndex> {
        self.fragment_and_profile(id).map(|(_, lead)| lead)
    }

    /// The fragment of that id, and the profile that holds it now.
    pub(in crate::engine) fn fragment_and_profile(
        &self,
        id: &str,
    ) -> Option<(FragmentIndex, FragmentIndex)> {
        let parts = self.genesis.id_key.read(IdKind::Fragment, id)?;
        let fragment = self.graph.born_of(parts.sequence, parts.generation)?;
        let minted = self.fragment_id(fragment);
        match Uuid::try_parse(id) == Ok(minted) {
            true => self.graph.living_lead(fragment).map(|lead| (fragment, lead)),
            false => None,
        }
    }

    /// The loose events of a bucket: profile-less ones, and quarantined ones with their reasons.
    pub(in crate::engine) fn loose_bucket(
        &self,
        bucket: u64,
    ) -> (Vec<Sequence>, Vec<(Sequence, u8)>) {
        let range = bucket * BUCKET..(bucket + 1) * BUCKET;
        let less = self.profile_less.range(range.clone()).copied().collect();
        let aside = self.quarantined.range(range).map(|(at, reason)| (*at, reason.number()));
        (less, aside.collect())
    }

    /// Whether an object of that kind and id is kept by API.
    pub fn has_object(&self, kind: ObjectKind, id: &str) -> bool {
        self.objects.contains_key(&(kind, id.to_owned()))
    }
}

impl Placement {
    /// The fragment, where the event made it.
    pub(in crate::engine) fn unborn(&self) -> Option<FragmentIndex> {
        self.fragment.filter(|_| self.is_new)
    }

    pub(in crate::engine) fn nowhere() -> Self {
        Self { fragment: None, is_new: false, profile: None, moves: Vec::new(), aside: None }
    }
}
