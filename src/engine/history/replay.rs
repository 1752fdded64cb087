//! From a state and the journal behind it to the present state, without clock or actors.
//!
//! A record that panics costs itself: see [`replay`].

use crate::domain::event::Event;
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::settings::Settings;
use crate::engine::fault::{Faults, Panicked, Stage, walled};
use crate::engine::history::asides::{ReplayError, reading, set_aside};
use crate::engine::history::basis::Basis;
use crate::engine::history::draft::Draft;
use crate::engine::history::starting::{Start, starting_point};
use crate::engine::state::aside::Aside;
use crate::engine::state::campaigns::question::Question;
use crate::engine::state::row::Row;
use crate::engine::state::{Core, Placement};
use crate::engine::store::erasure_log::Line;
use crate::engine::store::events::Events;
use crate::engine::store::fragments::{FragmentRows, Rest, RowError};
use crate::engine::store::told::told;
use crate::journal::{JournalReader, Record};
use crate::records::{
    ActRecord, DedupeRow, ErasureRow, FragmentKey, Genesis, RecordError, decode_event, kind,
};
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// Fragments in memory at most while replaying; beyond it a snapshot is written on the way.
const FRAGMENTS_MAX: usize = 500_000;

/// What a replay came to.
pub struct Replayed {
    /// The state at the last record.
    pub core: Core,
    /// Event ids that are remembered: the snapshot's, and those seen on the way.
    pub dedupe: Vec<DedupeRow>,
    /// Records applied.
    pub records: u64,
    /// Acts that the erasure log calls for and records that are passed over, applied and to be
    /// journalled.
    pub acts: Vec<ActRecord>,
    /// Records that panicked in this replay.
    pub passed: Vec<Sequence>,
}

/// What a replay works with.
pub(in crate::engine) struct Plan<'a> {
    /// Holds the snapshot that it starts from; snapshots on the way are written into it.
    pub(in crate::engine) rest: &'a Rest,
    pub(in crate::engine) reader: &'a JournalReader,
    /// The folder's keys, where the journal still holds them.
    pub(in crate::engine) genesis: Option<Genesis>,
    /// The last record to take in; the journal's last one where there is none.
    pub(in crate::engine) upto: Option<Sequence>,
    /// Events whose setting aside is not journalled yet.
    pub(in crate::engine) aside: Aside,
    /// Records that are passed over, which is not journalled yet.
    pub(in crate::engine) passed: Aside,
    pub(in crate::engine) faults: Faults,
    /// What deliveries keep in memory at most until a snapshot holds it, in bytes.
    pub(in crate::engine) unsaved_bytes: usize,
    /// Who was erased.
    pub(in crate::engine) log: &'a [Line],
}

struct Replay<'a> {
    core: Core,
    rest: &'a Rest,
    reader: JournalReader,
    fragments: HashMap<FragmentIndex, Fragment>,
    aside: Aside,
    dedupe: Vec<DedupeRow>,
    records: u64,
    acts: Vec<ActRecord>,
    /// The record being applied.
    at: Sequence,
}

/// A record panicked, so the state is not to be trusted any more.
struct Stumbled {
    /// What is to be passed over: the record, or an event that it places.
    culprit: Sequence,
    /// The record.
    at: Sequence,
    /// Emptied records met so far, which no snapshot holds.
    emptied: BTreeSet<Sequence>,
    records: u64,
}

/// Applies everything behind `start` in the journal, and then what the erasure log calls for. A record
/// that panics is passed over: all is begun again without it, from the snapshot, and another snapshot is
/// written on the way at the record before it. So each costs the way since the one before, twice.
/// Afterwards the changed fragments lie in the plan's rest.
///
/// # Errors
/// At the first record or row that cannot be read, with its sequence.
pub(in crate::engine) fn replay(
    start: Start,
    plan: &Plan<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, ReplayError> {
    let asides = set_aside(plan.reader, start.0.applied + 1)?;
    let mut passed = asides.passed;
    passed.append(plan.passed.clone());
    let mut aside = asides.aside;
    aside.append(plan.aside.clone());
    let mut found = Vec::new();
    let (mut start, mut before, mut emptied) = (start, None, BTreeSet::new());
    let mut records = 0;
    loop {
        let (mut core, dedupe) = start;
        core.passed = passed.clone();
        core.faults = plan.faults.clone();
        core.emptied.append(&mut emptied);
        core.campaigns.outbox.kept().keep(plan.unsaved_bytes);
        let replay = Replay {
            at: core.applied,
            core,
            rest: plan.rest,
            reader: plan.reader.clone(),
            fragments: HashMap::new(),
            aside: aside.clone(),
            dedupe,
            records,
            acts: Vec::new(),
        };
        let stumbled = match replay.run(plan, before, &found, progress)? {
            Ok(mut replayed) => {
                replayed.passed = found;
                return Ok(replayed);
            }
            Err(stumbled) => stumbled,
        };
        let Stumbled { culprit, at, .. } = stumbled;
        if found.contains(&culprit) {
            return Err(ReplayError::Fault { at });
        }
        tracing::error!(sequence = culprit, "a record panicked in the replay and is passed over");
        found.push(culprit);
        passed.insert(culprit, Sequence::MAX);
        (before, emptied, records) = (Some(at - 1), stumbled.emptied, stumbled.records);
        drop(plan.rest.replace(Default::default()));
        start = starting_point(plan.rest, plan.genesis, plan.reader)
            .map_err(|cause| ReplayError::Start { at, cause: Box::new(cause) })?;
        records = records.saturating_sub(at.saturating_sub(start.0.applied));
    }
}

impl Replay<'_> {
    /// Applies all there is. A snapshot is written at the record `before`.
    fn run(
        mut self,
        plan: &Plan<'_>,
        before: Option<Sequence>,
        found: &[Sequence],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Result<Replayed, Stumbled>, ReplayError> {
        let from = self.core.applied + 1;
        let end = plan.upto.unwrap_or(Sequence::MAX);
        let total = self.records + self.reader.next_sequence().saturating_sub(from);
        progress(self.records, total);
        for record in plan.reader.scan(from) {
            let (sequence, record) = record.map_err(|cause| reading(from, cause.into()))?;
            if sequence > end {
                break;
            }
            self.at = sequence;
            match walled(|| self.record(sequence, &record)) {
                Ok(taken) => taken?,
                Err(Panicked) => return Ok(Err(self.stumbled())),
            }
            self.records += 1;
            if self.records.is_multiple_of(1_024) {
                progress(self.records, total);
            }
            // The person's own values are in an erasure that is not over, so nothing is written then.
            let is_clean = self.core.pending.is_empty();
            let is_much_kept = is_clean && self.core.campaigns.outbox.kept().wants_snapshot();
            let is_before = is_clean && before == Some(sequence);
            if self.fragments.len() > FRAGMENTS_MAX || is_much_kept || is_before {
                self.flush()?;
            }
        }
        progress(self.records, total);
        let at = self.core.genesis.made_at;
        // While the engine runs, the record that says so is still to come.
        for record in found.iter().filter(|_| plan.upto.is_none()) {
            let act = ActRecord::PassOver { at, record: *record };
            self.acts.push(act.clone());
            self.act(self.core.applied + 1, act)?;
        }
        match walled(|| self.erase_again(plan.log)) {
            Ok(acts) => self.acts.extend(acts?),
            Err(Panicked) => return Err(ReplayError::Fault { at: self.core.applied }),
        }
        self.lay_down().map(Ok)
    }

    fn stumbled(self) -> Stumbled {
        let Self { core, at, records, .. } = self;
        Stumbled { culprit: core.placing.unwrap_or(at), at, emptied: core.emptied, records }
    }
}

impl Replay<'_> {
    fn record(&mut self, sequence: Sequence, record: &Record) -> Result<(), ReplayError> {
        let at = |cause: RecordError| reading(sequence, cause.into());
        match record.kind {
            kind::EVENT => {
                let event = decode_event(record.version, &record.bytes).map_err(at)?;
                self.event(sequence, &event).map_err(|cause| reading(sequence, cause.into()))
            }
            kind::ERASED => {
                self.core.applied = sequence;
                self.core.emptied.insert(sequence);
                Ok(())
            }
            kind::ACT => {
                let act = ActRecord::decode(record.version, &record.bytes).map_err(at)?;
                self.act(sequence, act)
            }
            kind::CONFIGURATION => {
                let files: Settings = serde_json::from_slice(&record.bytes).map_err(|cause| {
                    let problems = cause.to_string();
                    ReplayError::Configuration { at: sequence, problems }
                })?;
                self.core.applied = sequence;
                if self.core.passed.holds(sequence, sequence) {
                    return Ok(());
                }
                self.core.configure(Some(files), None).map_err(|all| {
                    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                    ReplayError::Configuration { at: sequence, problems: all.join("; ") }
                })
            }
            _ => {
                self.core.applied = sequence;
                Ok(())
            }
        }
    }

    fn event(&mut self, sequence: Sequence, event: &Event) -> Result<(), RowError> {
        if let Some(key) = event.dedupe {
            self.dedupe.push(DedupeRow { key, sequence, received_at: event.received_at });
        }
        let placement = self.core.event(sequence, event);
        self.apply((sequence, sequence), event, &placement)?;
        match self.core.question_of_event(sequence, event, &placement) {
            Some(question) if !self.aside.holds(sequence, sequence) => self.decide(&question),
            _ => Ok(()),
        }
    }

    fn events(&self) -> Events {
        Events::new(&self.reader, &self.core.revised)
    }

    /// Draws the consequences that campaigns drew then.
    fn decide(&mut self, question: &Question) -> Result<(), RowError> {
        for index in &question.fragments {
            if let hashbrown::hash_map::Entry::Vacant(entry) = self.fragments.entry(*index) {
                entry.insert(self.rest.load(*index)?);
            }
        }
        let mine = question.fragments.iter();
        let mine: Vec<(FragmentIndex, &Fragment)> =
            mine.filter_map(|one| Some((*one, self.fragments.get(one)?))).collect();
        let set_values = self.core.graph.rules().limits.set_values;
        let mut told = told(question, &mine, set_values, (Some(self.rest), &mut self.events()))?;
        Ok(self.core.decide(question, &mut told)?)
    }

    /// An act that did not hold together had no effect then, and has none now.
    fn act(&mut self, sequence: Sequence, act: ActRecord) -> Result<(), ReplayError> {
        let events = match &act {
            ActRecord::Erase { profile, .. } => {
                self.take_out(*profile).map_err(|cause| reading(sequence, cause.into()))?
            }
            _ => Vec::new(),
        };
        let acted = self.core.act(sequence, act);
        if let Some(pending) = self.core.pending.get_mut(&sequence) {
            pending.events = Some(events);
        }
        for (at, event, placement) in &acted.placed {
            self.apply((sequence, *at), event, placement)
                .map_err(|cause| reading(sequence, cause.into()))?;
        }
        if let Some(mut question) = acted.asks {
            question.read_event(&mut self.events());
            self.decide(&question).map_err(|cause| reading(sequence, cause.into()))?;
        }
        if let Some(now) = acted.switches {
            let first = self.reader.first_sequence();
            if first > crate::journal::FIRST_SEQUENCE {
                return Err(ReplayError::BeginningLost { at: sequence, first });
            }
            let mut draft = Draft::new(Basis::of(&self.core));
            draft.catch_up(&self.reader, sequence - 1)?;
            let reader = self.reader.clone();
            let taken = draft.take_over(&mut self.core, &reader, sequence, now)?;
            self.fragments = taken.fragments.open;
            self.rest.replace(taken.fragments.laid);
        }
        Ok(())
    }

    /// Erases again whom the log names and this folder still knows: a backup was restored. Returns the
    /// acts to be journalled.
    fn erase_again(&mut self, lines: &[Line]) -> Result<Vec<ActRecord>, ReplayError> {
        let mut acts = Vec::new();
        let at = self.core.genesis.made_at;
        for line in lines {
            let (mark, number) = (line.mark(), line.logged_number());
            let is_known =
                |(known, row): (&Sequence, &ErasureRow)| row.mark == mark || *known == number;
            if self.core.erasures.iter().any(is_known) {
                continue;
            }
            let hashes = line.hashes();
            for profile in self.core.profiles_with(&hashes) {
                let reason = "erasure log".to_owned();
                let act = ActRecord::Erase { at, profile, suppress: line.suppress, reason };
                acts.push(act.clone());
                self.act(self.core.applied + 1, act)?;
            }
            let act = ActRecord::Erased {
                at,
                erasure: number,
                events: Vec::new(),
                loose: Vec::new(),
                acts: Vec::new(),
                hashes,
                suppress: line.suppress,
                touched_others: false,
                counts: [0; 3],
                reason: "erasure log".to_owned(),
            };
            acts.push(act.clone());
            self.act(self.core.applied + 1, act)?;
        }
        Ok(acts)
    }

    /// Takes a profile's fragments out, and returns the sequences of their events.
    fn take_out(&mut self, profile: FragmentKey) -> Result<Vec<Sequence>, RowError> {
        let Some(fragment) = self.core.fragment(profile) else { return Ok(Vec::new()) };
        let lead = self.core.graph.lead(fragment);
        let mut events = Vec::new();
        for index in self.core.graph.fragments_of(lead) {
            let state = match self.fragments.remove(&index) {
                Some(state) => state,
                None => self.rest.load(index)?,
            };
            for number in 0..state.timeline.saved {
                events.extend(self.rest.chunk(index, number)?.iter());
            }
            events.extend(state.timeline.newest_first());
            events.extend(&state.timeline.late);
            self.rest.forget(index);
        }
        Ok(events)
    }

    /// Applies an event, because of a record: its own, or the act that read it again.
    fn apply(
        &mut self,
        (record, sequence): (Sequence, Sequence),
        event: &Event,
        placement: &Placement,
    ) -> Result<(), RowError> {
        let Some(index) = placement.fragment else { return Ok(()) };
        let fragment = match self.fragments.entry(index) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => match placement.is_new {
                true => entry.insert(Fragment::default()),
                false => entry.insert(self.rest.load(index)?),
            },
        };
        if !self.aside.holds(sequence, record) {
            self.core.placing = Some(sequence);
            self.core.faults.strike(Stage::Profile, &event.kind);
            let rules = self.core.graph.rules();
            fragment.apply(sequence, event, content_hash(event), rules);
            self.core.placing = None;
        }
        Ok(())
    }

    /// Writes a snapshot on the way, so that memory stays bounded however long the journal is.
    fn flush(&mut self) -> Result<(), ReplayError> {
        let at = self.core.applied;
        let purge = self.core.fresh.purge;
        let mut rows: Vec<Row> = crate::engine::store::rows::take_rows(&mut self.core)
            .map_err(|cause| reading(at, cause.into()))?;
        for (index, mut fragment) in self.fragments.drain() {
            let taken =
                FragmentRows::take(&mut fragment).map_err(|cause| reading(at, cause.into()))?;
            rows.extend(taken.keyed(index));
        }
        self.core.fresh.fragments.clear();
        let gone = std::mem::take(&mut self.core.fresh.gone);
        crate::engine::store::rows::remove_fragments(&self.rest.store(), &gone, &mut rows)?;
        if purge {
            crate::engine::store::rows::purge(&self.rest.store(), &mut rows)?;
        }
        self.rest.store().commit(rows, at)?;
        self.core.campaigns.outbox.kept().written();
        Ok(())
    }

    fn lay_down(mut self) -> Result<Replayed, ReplayError> {
        let at = self.core.applied;
        for (index, mut fragment) in self.fragments.drain() {
            let taken =
                FragmentRows::take(&mut fragment).map_err(|cause| reading(at, cause.into()))?;
            self.rest.put(index, taken);
        }
        Ok(Replayed {
            core: self.core,
            dedupe: self.dedupe,
            records: self.records,
            acts: self.acts,
            passed: Vec::new(),
        })
    }
}
