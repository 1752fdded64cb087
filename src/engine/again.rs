//! Re-resolution: everything that the journal holds, read again under the configuration in force.
//!
//! A draft of the state grows beside the one that serves, on a thread of its own, until it is close
//! behind it. It never reads an event before it knows the fragments that the event made, so that ids
//! do not hang on how fast it read. Then a switch record is written, and at its place in the order the draft catches up
//! and becomes the state. A replay switches at the same record. Ids stay: a fragment of the same
//! origin keeps its own, and one whose origin comes up no more follows its first event.

use super::acts::next_generation;
use super::core::{Core, Fresh, Placement};
use super::effective::Effective;
use super::erasing::is_suppressed;
use super::replay::{Aside, ReplayError, reading, set_aside};
use crate::domain::event::{Event, Standing};
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::{Ancestry, FragmentIndex, Link};
use crate::domain::id::Sequence;
use crate::journal::JournalReader;
use crate::records::{ActRecord, Genesis, LinkRow, decode_event, kind};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a draft starts from.
pub(super) struct Basis {
    pub(super) genesis: Genesis,
    pub(super) effective: Arc<Effective>,
    pub(super) ancestry: Ancestry,
    pub(super) links: BTreeMap<u64, LinkRow>,
    pub(super) generation: u16,
    /// The last record that the ancestry knows of.
    pub(super) applied: Sequence,
    /// Records of erased persons.
    pub(super) hidden: BTreeSet<Sequence>,
    /// How many erasures there were.
    pub(super) erasures: usize,
    /// Keyed hashes of identifiers whose events are dropped.
    pub(super) suppressed: BTreeSet<[u8; 16]>,
}

impl Basis {
    /// What a re-resolution of `core` starts from.
    pub(super) fn of(core: &Core) -> Self {
        Self {
            genesis: core.genesis,
            effective: Arc::clone(&core.effective),
            ancestry: core.graph.ancestry(0),
            links: core.links.clone(),
            generation: next_generation(core.counters.generation),
            applied: core.applied,
            hidden: core.hidden.clone(),
            erasures: core.erasures.len(),
            suppressed: core.suppressed.clone(),
        }
    }
}

/// Shown each event that a draft has taken in, with its place.
pub(super) type Seeing<'a> =
    dyn FnMut(&mut Draft, Sequence, &Event, &Placement) -> Result<(), ReplayError> + 'a;

/// A state under construction.
pub(super) struct Draft {
    core: Core,
    fragments: HashMap<FragmentIndex, Fragment>,
    aside: Aside,
    taken: usize,
    generation: u16,
    /// Whether values are wanted too, not only who is who.
    folds: bool,
    /// Up to where its fragments are known.
    known_to: Sequence,
    erasures: usize,
    suppressed: BTreeSet<[u8; 16]>,
    /// Events that identified nobody when they came, and come with a suppressed identifier as they read
    /// now.
    dropped: BTreeSet<Sequence>,
}

impl Draft {
    /// An empty draft, with the operators' links laid.
    pub(super) fn new(basis: Basis) -> Self {
        let Basis { genesis, effective, links, generation, .. } = basis;
        let mut core = Core::resolving(genesis, effective);
        let taken = basis.ancestry.len();
        core.graph.inherit(basis.ancestry, generation);
        for link in links.values() {
            core.graph.lay(&link_of(link), 0, link.at);
        }
        core.links = links;
        core.hidden = basis.hidden;
        Self {
            core,
            fragments: HashMap::new(),
            aside: Aside::default(),
            taken,
            generation,
            folds: true,
            known_to: basis.applied,
            erasures: basis.erasures,
            suppressed: basis.suppressed,
            dropped: BTreeSet::new(),
        }
    }

    /// The same for whoever only asks who is who: it holds no values.
    pub(super) fn of_people(basis: Basis) -> Self {
        Self { folds: false, ..Self::new(basis) }
    }

    /// Whether it comes to the same as a draft that begins now. It does not where the configuration
    /// or the hidden records are others, or were meanwhile (an erasure that is over hides nothing any
    /// more, but the draft may have read the person before); where a link that it laid was lifted (a must-link leaves its
    /// time on the edge); and where events that were read again made fragments since.
    pub(super) fn is_good_for(&self, core: &Core) -> bool {
        let late = core.graph.ancestry(self.taken);
        Arc::ptr_eq(&self.core.effective, &core.effective)
            && self.core.hidden == core.hidden
            && self.erasures == core.erasures.len()
            && self.suppressed == core.suppressed
            && self.core.links.keys().all(|number| core.links.contains_key(number))
            && self.generation == next_generation(core.counters.generation)
            && !self.core.graph.is_too_late_for(&late, self.core.applied)
    }

    /// How many records it is behind.
    pub(super) fn behind(&self, core: &Core) -> Sequence {
        core.applied.saturating_sub(self.core.applied)
    }

    /// Takes over the fragments that were made since, and may then read up to the present.
    pub(super) fn extend(&mut self, core: &Core) {
        let more = core.graph.ancestry(self.taken);
        let (from, count) = (self.taken as FragmentIndex, more.len() as FragmentIndex);
        self.renumber(from, count);
        self.taken += more.len();
        self.core.graph.inherit(more, self.generation);
        self.known_to = core.applied;
    }

    /// Reads all that it may.
    pub(super) fn read(&mut self, reader: &JournalReader) -> Result<(), ReplayError> {
        self.catch_up(reader, self.known_to)
    }

    /// The graph as far as it is.
    pub(super) fn graph(&self) -> &crate::domain::graph::Graph {
        &self.core.graph
    }

    /// Reads on up to and with the record `upto`.
    pub(super) fn catch_up(
        &mut self,
        reader: &JournalReader,
        upto: Sequence,
    ) -> Result<(), ReplayError> {
        self.catch_up_seeing(reader, upto, &mut |_, _, _, _| Ok(()))
    }

    /// The same, and shows each event once it is taken in.
    pub(super) fn catch_up_seeing(
        &mut self,
        reader: &JournalReader,
        upto: Sequence,
        see: &mut Seeing<'_>,
    ) -> Result<(), ReplayError> {
        let from = (self.core.applied + 1).max(reader.first_sequence());
        self.aside.append(set_aside(reader, from)?);
        for record in reader.scan(from) {
            let (sequence, record) = record.map_err(|cause| reading(from, cause.into()))?;
            if sequence > upto {
                break;
            }
            let at = |cause| reading(sequence, crate::engine::rebuild::RebuildError::Record(cause));
            match record.kind {
                kind::EVENT => {
                    let event = decode_event(record.version, &record.bytes).map_err(at)?;
                    let (event, placement) = self.event(sequence, &event);
                    see(self, sequence, &event, &placement)?;
                }
                kind::ACT => {
                    let act = ActRecord::decode(record.version, &record.bytes).map_err(at)?;
                    self.act(sequence, act);
                }
                _ => {}
            }
            self.core.applied = sequence;
        }
        Ok(())
    }

    /// Takes one event in, as it reads under the draft's configuration.
    pub(super) fn event(&mut self, sequence: Sequence, event: &Event) -> (Event, Placement) {
        let was_nobodys = event.external.is_none()
            && event.session.is_none()
            && event.identifiers.is_empty()
            && event.standing != Standing::Anonymous;
        let event = self.core.effective.compiled.reread_points(&event.source, event);
        if was_nobodys && is_suppressed(&self.suppressed, &self.core.genesis.hash_key, &event) {
            self.dropped.insert(sequence);
            return (event, Placement::nowhere());
        }
        let placement = self.core.event(sequence, &event);
        if let Some(fragment) = placement.fragment {
            self.apply((sequence, sequence), &event, fragment);
        }
        self.forget_changes();
        (event, placement)
    }

    /// The state so far, and its fragments.
    pub(super) fn parts(&mut self) -> (&mut Core, &HashMap<FragmentIndex, Fragment>) {
        (&mut self.core, &self.fragments)
    }

    /// Passes over all records before this one.
    pub(super) fn begin_at(&mut self, sequence: Sequence) {
        self.core.applied = self.core.applied.max(sequence.saturating_sub(1));
    }

    /// Applies an event, because of a record: its own, or the act that read it again.
    fn apply(
        &mut self,
        (record, sequence): (Sequence, Sequence),
        event: &Event,
        fragment: FragmentIndex,
    ) {
        if !self.folds {
            return;
        }
        let fragment = self.fragments.entry(fragment).or_default();
        if !self.aside.holds(sequence, record) {
            fragment.apply(sequence, event, content_hash(event), self.core.graph.rules());
        }
    }

    /// Links stand in the table already, and configuration is fixed; what else operators did is
    /// done again.
    fn act(&mut self, sequence: Sequence, act: ActRecord) {
        let act = match act {
            ActRecord::SetAside { .. }
            | ActRecord::Withdraw { .. }
            | ActRecord::WithdrawHashed { .. } => act,
            ActRecord::Reprocess { at, mut events } => {
                for one in &mut events {
                    self.reread(one);
                }
                ActRecord::Reprocess { at, events }
            }
            _ => return,
        };
        let acted = self.core.act(sequence, act);
        self.core.graph.make_later(Some((self.generation, Sequence::MAX)));
        for (at, event, placement) in acted.placed {
            if let Some(fragment) = placement.fragment {
                self.apply((sequence, at), &event, fragment);
            }
        }
        self.forget_changes();
    }

    fn reread(&self, one: &mut crate::records::Revised) {
        if let Ok(event) = decode_event(one.version, &one.bytes) {
            let event = self.core.effective.compiled.reread_points(&event.source, &event);
            if let Ok(bytes) = crate::records::encode_event(&event) {
                one.bytes = bytes;
            }
        }
    }

    /// What changed on the way is no news to anyone.
    fn forget_changes(&mut self) {
        self.core.changes.clear();
        self.core.fresh.dedupe.clear();
    }

    /// Becomes the state in the place of `old`, at the switch record `at`. Answers the new state's
    /// fragments.
    pub(super) fn take_over(
        mut self,
        old: &mut Core,
        reader: &JournalReader,
        at: Sequence,
        now: crate::domain::time::Timestamp,
    ) -> Result<HashMap<FragmentIndex, Fragment>, ReplayError> {
        self.extend(old);
        self.core.hidden.clone_from(&old.hidden);
        self.catch_up(reader, at - 1)?;
        self.relink(old);
        self.core.graph.close_inheritance(at);
        let told = self.core.graph.compare_with(&old.graph);
        for sequence in self.dropped {
            if old.take_up(sequence).is_some() {
                old.drop_suppressed(sequence);
            }
        }
        old.counters.generation = self.generation;
        old.counters.loose_content = self.core.counters.loose_content;
        let every_bucket = old.loose_buckets().chain(self.core.loose_buckets()).collect();
        old.graph = self.core.graph;
        old.profile_less = self.core.profile_less;
        old.quarantined = self.core.quarantined;
        old.resolved = old.effective.compiled.settings.clone();
        old.counters.resolved_to = at;
        old.counters.must_resolve = false;
        old.counters.adopted = 0;
        old.relocate_runs();
        for change in told.changes {
            old.tell_act(change, now, Some("re-resolved"));
        }
        let fragments: BTreeSet<FragmentIndex> = self.fragments.keys().copied().collect();
        let fresh = std::mem::take(&mut old.fresh);
        old.fresh =
            Fresh { fragments, loose: every_bucket, configuration: true, purge: true, ..fresh };
        Ok(self.fragments)
    }

    fn renumber(&mut self, from: FragmentIndex, count: FragmentIndex) {
        if count > 0 {
            let all = std::mem::take(&mut self.fragments);
            let moved = |(at, one)| (if at >= from { at + count } else { at }, one);
            self.fragments = all.into_iter().map(moved).collect();
        }
    }

    /// Lays what operators laid since the draft began.
    fn relink(&mut self, old: &Core) {
        for (number, link) in &old.links {
            if !self.core.links.contains_key(number) {
                self.core.graph.lay(&link_of(link), 0, link.at);
            }
        }
    }
}

fn link_of(row: &LinkRow) -> Link {
    Link { number: row.number, joins: row.joins, a: row.a.clone(), b: row.b.clone() }
}
