//! From a state and the journal behind it to the present state, without clock or actors.

use super::again::{Basis, Draft};
use super::core::{Core, Placement};
use super::erasure_log::Line;
use super::question::{Question, told};
use super::rebuild::RebuildError;
use super::rereadings::Events;
use super::rest::{FragmentRows, Rest, RowError};
use super::rows::Row;
use crate::domain::event::Event;
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::settings::Settings;
use crate::journal::{JournalReader, Record};
use crate::records::{
    ActRecord, DedupeRow, ErasureRow, FragmentKey, RecordError, decode_event, kind,
};
use crate::snapshot::SnapshotError;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Fragments in memory at most while replaying; beyond it a snapshot is written on the way.
const FRAGMENTS_MAX: usize = 500_000;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal, a record or a row cannot be read.
    #[error("at sequence {at}: {cause}")]
    Reading {
        /// Where.
        at: Sequence,
        /// Why.
        cause: RebuildError,
    },
    /// A configuration record does not hold together.
    #[error("the configuration record at sequence {at} does not hold together: {problems}")]
    Configuration {
        /// Where.
        at: Sequence,
        /// Every problem.
        problems: String,
    },
    /// Everything is to be read again at this record, and the journal has lost its beginning.
    #[error(
        "at sequence {at} everything is to be resolved anew, and the journal begins at sequence {first}; restore the segments before it"
    )]
    BeginningLost {
        /// The switch record.
        at: Sequence,
        /// The first sequence that is left.
        first: Sequence,
    },
    /// The snapshot store failed.
    #[error(transparent)]
    Store(#[from] SnapshotError),
}

/// What a replay came to.
pub struct Replayed {
    /// The state at the last record.
    pub core: Core,
    /// Event ids seen on the way.
    pub dedupe: Vec<DedupeRow>,
    /// Records applied.
    pub records: u64,
    /// Acts that the erasure log calls for, applied and to be journalled.
    pub acts: Vec<ActRecord>,
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
}

/// Applies everything behind `core` in the journal, and then what the erasure log calls for. Afterwards the changed fragments lie in `rest`.
///
/// # Errors
/// At the first record or row that cannot be read, with its sequence.
pub(super) fn replay(
    core: Core,
    rest: &Rest,
    reader: &JournalReader,
    log: &[Line],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, ReplayError> {
    let from = core.applied + 1;
    let total = reader.next_sequence().saturating_sub(from);
    let aside = set_aside(reader, from)?;
    let fragments = HashMap::new();
    let reader_of_acts = reader.clone();
    let mut replay = Replay {
        core,
        rest,
        reader: reader_of_acts,
        fragments,
        aside,
        dedupe: Vec::new(),
        records: 0,
        acts: Vec::new(),
    };
    for record in reader.scan(from) {
        let (sequence, record) = record.map_err(|cause| reading(from, cause.into()))?;
        replay.record(sequence, &record)?;
        replay.records += 1;
        if replay.records.is_multiple_of(1_024) {
            progress(replay.records, total);
        }
        // The person's own values are in an erasure that is not over, so nothing is written then.
        let is_much_kept =
            replay.core.pending.is_empty() && replay.core.campaigns.outbox.kept().wants_snapshot();
        if replay.fragments.len() > FRAGMENTS_MAX || is_much_kept {
            replay.flush()?;
        }
    }
    progress(replay.records, total);
    replay.acts = replay.erase_again(log)?;
    replay.lay_down()
}

pub(super) fn reading(at: Sequence, cause: RebuildError) -> ReplayError {
    ReplayError::Reading { at, cause }
}

/// Events that were set aside after the fact, and the last act that did so: no record before that
/// one may apply them a second time. One behind it read them again, with success.
#[derive(Debug, Default)]
pub(super) struct Aside(BTreeMap<Sequence, Sequence>);

impl Aside {
    /// Whether `record` was in vain for an event.
    pub(super) fn holds(&self, event: Sequence, record: Sequence) -> bool {
        self.0.get(&event).is_some_and(|act| *act > record)
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }
}

pub(super) fn set_aside(reader: &JournalReader, from: Sequence) -> Result<Aside, ReplayError> {
    let mut all = Aside::default();
    for record in reader.scan(from) {
        let (at, record) = record.map_err(|cause| reading(from, cause.into()))?;
        if record.kind == kind::ACT {
            let act = ActRecord::decode(record.version, &record.bytes)
                .map_err(|cause| reading(at, cause.into()))?;
            if let ActRecord::SetAside { sequence, .. } = act {
                all.0.insert(sequence, at);
            }
        }
    }
    Ok(all)
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

    /// Erases again whom the log names and this folder still knows: a backup was restored. Answers the
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

    /// Takes a profile's fragments out, and answers the sequences of their events.
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
            let rules = self.core.graph.rules();
            fragment.apply(sequence, event, content_hash(event), rules);
        }
        Ok(())
    }

    /// Writes a snapshot on the way, so that memory stays bounded however long the journal is.
    fn flush(&mut self) -> Result<(), ReplayError> {
        let at = self.core.applied;
        let purge = self.core.fresh.purge;
        let mut rows: Vec<Row> =
            self.core.take_rows().map_err(|cause| reading(at, cause.into()))?;
        for (index, mut fragment) in self.fragments.drain() {
            let taken =
                FragmentRows::take(&mut fragment).map_err(|cause| reading(at, cause.into()))?;
            rows.extend(taken.keyed(index));
        }
        self.core.fresh.fragments.clear();
        let gone = std::mem::take(&mut self.core.fresh.gone);
        super::rows::remove_fragments(&self.rest.store(), &gone, &mut rows)?;
        if purge {
            super::rows::purge(&self.rest.store(), &mut rows)?;
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
        })
    }
}
