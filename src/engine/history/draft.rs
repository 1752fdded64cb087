//! Re-resolution: everything that the journal holds, read again under the configuration in force.
//!
//! A draft of the state grows beside the one that serves, on a thread of its own, until it is close
//! behind it. It never reads an event before it knows the fragments that the event made, so that ids
//! do not depend on how fast it read. Then a switch record is written, and at its place in the order the draft catches up
//! and becomes the state. A replay switches at the same record. Ids stay: a fragment of the same
//! origin keeps its own, and one whose origin comes up no more follows its first event.

use crate::domain::event::{Event, Standing};
use crate::domain::fragment::{Fragment, content_hash};
use crate::domain::graph::{Ancestry, FragmentIndex, Link, Move};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::history::asides::{Asides, ReplayError, reading, set_aside};
use crate::engine::history::basis::{Basis, Changed, Gathered, lock};
use crate::engine::history::draft_fragments::DraftFragments;
use crate::engine::state::acts::cut_of;
use crate::engine::state::aside::Aside;
use crate::engine::state::erasure::is_suppressed;
use crate::engine::state::numbers::{generation_before, next_generation};
use crate::engine::state::revisions::Rereadings;
use crate::engine::state::{Core, Fresh, Placement};
use crate::engine::store::fragments::RowError;
use crate::journal::JournalReader;
use crate::records::{ActRecord, LinkRow, RecordError, decode_event, kind};
use hashbrown::HashMap;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A draft this many records behind the present, or fewer, is ready for its switch.
const CLOSE: Sequence = 256;
/// One that is no further behind than that, and was not before, is ready too.
const NEAR: Sequence = 2_000;

/// Shown each event that a draft has taken in, with its place.
pub(in crate::engine) type Seeing<'a> =
    dyn FnMut(&mut Draft, Sequence, &Event, &Placement) -> Result<(), ReplayError> + 'a;

/// A state under construction.
pub(in crate::engine) struct Draft {
    core: Core,
    fragments: DraftFragments,
    aside: Aside,
    taken: usize,
    generation: u16,
    /// Whether values are wanted too, not only who is who.
    folds: bool,
    /// Up to where its fragments are known.
    known_to: Sequence,
    erasures: usize,
    suppressed: BTreeSet<[u8; 16]>,
    revised: Rereadings,
    /// Events that identified nobody when they came, and come with a suppressed identifier as they read
    /// now; and all that were emptied, which only a state from before that knows.
    dropped: BTreeSet<Sequence>,
    /// Whether it took in what turned out later to count for nothing.
    is_spoilt: bool,
    /// How far behind it was when somebody looked last.
    was_behind: Option<Sequence>,
    /// What was found out before the switch about who changes hands by it; none in a replay, which
    /// looks at all.
    comparison: Option<Comparison>,
}

/// Which fragments may have another holder in the draft than in the state that serves.
struct Comparison {
    /// Who held each when the draft began; taken once they were looked at.
    holders: Vec<FragmentIndex>,
    /// How many there were then.
    known: usize,
    /// What changed in the state since.
    changed: Arc<Changed>,
    /// Those that differed, and those that moved in the draft since they were looked at.
    suspects: BTreeSet<FragmentIndex>,
}

/// What a draft leaves when it has become the state.
pub(in crate::engine) struct TakenOver {
    /// The state's fragments.
    pub(in crate::engine) fragments: DraftFragments,
    /// What is needed no more, and takes long to drop.
    pub(in crate::engine) left: Box<dyn Any + Send>,
}

impl Draft {
    /// A draft that is compared with the state while both go on.
    pub(in crate::engine) fn beside(gathered: Gathered) -> Self {
        let Gathered { basis, holders, changed } = gathered;
        let (known, suspects) = (holders.len(), BTreeSet::new());
        let comparison = Some(Comparison { holders, known, changed, suspects });
        Self { comparison, ..Self::new(basis) }
    }

    /// An empty draft, with the operators' links laid.
    pub(in crate::engine) fn new(basis: Basis) -> Self {
        let Basis { genesis, effective, links, cuts, generation, .. } = basis;
        let mut core = Core::resolving(genesis, effective);
        let taken = basis.ancestry.len();
        core.graph.inherit(basis.ancestry, generation);
        for link in links.values() {
            core.graph.lay(&link_of(link), 0, link.at);
        }
        for cut in cuts.values() {
            core.graph.cut(&cut_of(cut));
        }
        (core.links, core.cuts) = (links, cuts);
        core.hidden = basis.hidden;
        core.passed = basis.passed;
        core.faults = basis.faults;
        Self {
            core,
            fragments: DraftFragments::default(),
            aside: Aside::default(),
            taken,
            generation,
            folds: true,
            known_to: basis.applied,
            erasures: basis.erasures,
            suppressed: basis.suppressed,
            revised: basis.revised,
            dropped: BTreeSet::new(),
            is_spoilt: false,
            was_behind: None,
            comparison: None,
        }
    }

    /// The same for a caller that only asks who is who: it holds no values.
    pub(in crate::engine) fn of_people(basis: Basis) -> Self {
        Self { folds: false, ..Self::new(basis) }
    }

    /// Whether it comes to the same as a draft that begins now.
    pub(in crate::engine) fn is_good_for(&self, core: &Core) -> bool {
        self.is_of_now(core) && !self.is_too_late_for(&core.graph.ancestry(self.taken, usize::MAX))
    }

    /// Whether it began under what holds now. It did not where the configuration is another; where a
    /// link that it laid was lifted (a must-link leaves its time on the edge); where events that were
    /// read again made fragments since; where an erasure passed meanwhile (one that is over hides
    /// nothing any more, but the draft may have read the person before); where other records are
    /// hidden (one that slips in behind a suppression is no erasure's); and where it took in what
    /// panicked elsewhere and counts for nothing.
    pub(in crate::engine) fn is_of_now(&self, core: &Core) -> bool {
        !self.is_spoilt
            && core.passed.unsaid().events().all(|record| self.core.passed.holds(record, record))
            && Arc::ptr_eq(&self.core.effective, &core.effective)
            && self.core.hidden == core.hidden
            && self.erasures == core.erasures.len()
            && self.suppressed == core.suppressed
            && self.core.links.keys().all(|number| core.links.contains_key(number))
            && self.core.cuts.keys().all(|number| core.cuts.contains_key(number))
            && self.generation == next_generation(core.counters.generation)
    }

    /// Whether these fragments came too late to be taken over.
    pub(in crate::engine) fn is_too_late_for(&self, late: &Ancestry) -> bool {
        self.core.graph.is_too_late_for(late, self.core.applied)
    }

    /// Whether it is near enough for its switch: very near, or near twice in a row, as it may never
    /// come nearer where many events come.
    pub(in crate::engine) fn is_close_to(&mut self, core: &Core) -> bool {
        let behind = core.applied.saturating_sub(self.core.applied);
        let was = self.was_behind.replace(behind);
        behind <= CLOSE || (behind <= NEAR && was.is_some_and(|was| was <= NEAR))
    }

    /// How many fragments it has taken over.
    pub(in crate::engine) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes over fragments that were made since.
    pub(in crate::engine) fn extend(&mut self, more: Ancestry) {
        let (from, count) = (self.taken as FragmentIndex, more.len() as FragmentIndex);
        if count == 0 {
            return;
        }
        self.fragments.renumber(from..self.core.graph.fragment_count() as FragmentIndex, count);
        let fresh = &mut self.core.fresh.fragments;
        let made = fresh.split_off(&from);
        fresh.extend(made.into_iter().map(|fragment| fragment + count));
        self.taken += more.len();
        self.core.graph.inherit(more, self.generation);
    }

    /// All fragments that were made up to this record are taken over: it may read so far.
    pub(in crate::engine) fn know_to(&mut self, applied: Sequence) {
        self.known_to = applied;
    }

    /// Does all that need not wait for the switch: writes its fragments as rows, and looks who changes
    /// hands.
    pub(in crate::engine) fn prepare(&mut self) -> Result<(), RecordError> {
        self.fragments.lay_down()?;
        if let Some(Comparison { holders, suspects, .. }) = &mut self.comparison {
            suspects.extend(self.core.graph.differing(&std::mem::take(holders)));
        }
        Ok(())
    }

    /// Reads all that it may.
    pub(in crate::engine) fn read(&mut self, reader: &JournalReader) -> Result<(), ReplayError> {
        self.catch_up(reader, self.known_to)
    }

    /// The graph as far as it is.
    pub(in crate::engine) fn graph(&self) -> &crate::domain::graph::Graph {
        &self.core.graph
    }

    /// Reads on up to and with the record `upto`.
    pub(in crate::engine) fn catch_up(
        &mut self,
        reader: &JournalReader,
        upto: Sequence,
    ) -> Result<(), ReplayError> {
        self.catch_up_seeing(reader, upto, &mut |_, _, _, _| Ok(()))
    }

    /// The same, and shows each event once it is taken in.
    pub(in crate::engine) fn catch_up_seeing(
        &mut self,
        reader: &JournalReader,
        upto: Sequence,
        see: &mut Seeing<'_>,
    ) -> Result<(), ReplayError> {
        let from = (self.core.applied + 1).max(reader.first_sequence());
        let Asides { aside, passed } = set_aside(reader, from)?;
        let mut late = aside.beyond(&self.aside).chain(passed.beyond(&self.core.passed));
        self.is_spoilt |= late.any(|one| one < from);
        drop(late);
        self.aside.append(aside);
        self.core.passed.append(passed);
        for record in reader.scan(from) {
            let (sequence, record) = record.map_err(|cause| reading(from, cause.into()))?;
            if sequence > upto {
                break;
            }
            let at = |cause| {
                reading(sequence, crate::engine::store::events::RebuildError::Record(cause))
            };
            match record.kind {
                kind::EVENT => {
                    let event = decode_event(record.version, &record.bytes).map_err(at)?;
                    let taken = self.event(sequence, &event);
                    let (event, placement) =
                        taken.map_err(|cause| reading(sequence, cause.into()))?;
                    see(self, sequence, &event, &placement)?;
                }
                kind::ACT => {
                    let act = ActRecord::decode(record.version, &record.bytes).map_err(at)?;
                    self.act(sequence, act).map_err(|cause| reading(sequence, cause.into()))?;
                }
                // One on nobody that an earlier switch dropped may be emptied by now, though the
                // snapshot from which this is replayed still counts it.
                kind::ERASED => {
                    self.dropped.insert(sequence);
                    self.core.emptied.insert(sequence);
                }
                _ => {}
            }
            self.core.applied = sequence;
        }
        Ok(())
    }

    /// Takes one event in, as it reads under the draft's configuration.
    ///
    /// # Errors
    /// When a fragment that was laid down does not decode.
    pub(in crate::engine) fn event(
        &mut self,
        sequence: Sequence,
        event: &Event,
    ) -> Result<(Event, Placement), RowError> {
        let was_nobodys = event.external.is_none()
            && event.session.is_none()
            && event.identifiers.is_empty()
            && event.standing != Standing::Anonymous;
        // One that an act read again waits for that act, which knows better what it says.
        let event = match was_nobodys && self.revised.act_of(sequence).is_some() {
            true => event.clone(),
            false => self.as_read_now(event),
        };
        if was_nobodys && is_suppressed(&self.suppressed, &self.core.genesis.hash_key, &event) {
            self.dropped.insert(sequence);
            return Ok((event, Placement::nowhere()));
        }
        let placement = self.core.event(sequence, &event);
        self.apply((sequence, sequence), &event, &placement)?;
        self.forget_changes();
        Ok((event, placement))
    }

    /// The state so far, and its fragments.
    pub(in crate::engine) fn parts(&mut self) -> (&mut Core, &HashMap<FragmentIndex, Fragment>) {
        (&mut self.core, &self.fragments.open)
    }

    /// Passes over all records before this one.
    pub(in crate::engine) fn begin_at(&mut self, sequence: Sequence) {
        self.core.applied = self.core.applied.max(sequence.saturating_sub(1));
    }

    /// Applies an event, because of a record: its own, or the act that read it again.
    fn apply(
        &mut self,
        (record, sequence): (Sequence, Sequence),
        event: &Event,
        placement: &Placement,
    ) -> Result<(), RowError> {
        let Some(fragment) = placement.fragment.filter(|_| self.folds) else { return Ok(()) };
        self.suspect(&placement.moves, Some(fragment).filter(|_| placement.is_new));
        let is_aside = self.aside.holds(sequence, record);
        let state = self.fragments.open(fragment)?;
        if !is_aside {
            state.apply(sequence, event, content_hash(event), self.core.graph.rules());
        }
        Ok(())
    }

    /// Notes fragments that have another holder now, once all were looked at.
    fn suspect(&mut self, moves: &[Move], found: Option<FragmentIndex>) {
        let comparison = self.comparison.as_mut().filter(|one| one.holders.is_empty());
        if let Some(Comparison { suspects, .. }) = comparison {
            suspects.extend(moves.iter().map(|one| one.fragment).chain(found));
        }
    }

    /// Links stand in the table already, and configuration is fixed; what else operators did is
    /// done again.
    fn act(&mut self, sequence: Sequence, act: ActRecord) -> Result<(), RowError> {
        let act = match act {
            ActRecord::SetAside { .. }
            | ActRecord::Withdraw { .. }
            | ActRecord::WithdrawHashed { .. } => act,
            ActRecord::Reprocess { at, mut events } => {
                for one in &mut events {
                    self.reread(one);
                }
                // What it makes is of the draft's generation too: ids depend on it.
                self.core.counters.generation = generation_before(self.generation);
                ActRecord::Reprocess { at, events }
            }
            _ => return Ok(()),
        };
        let acted = self.core.act(sequence, act);
        self.core.graph.make_later(Some((self.generation, Sequence::MAX)));
        self.suspect(&acted.moves, None);
        for (at, event, placement) in acted.placed {
            self.apply((sequence, at), &event, &placement)?;
        }
        self.forget_changes();
        Ok(())
    }

    /// An event under the draft's configuration; one whose text panics there stays as it was read
    /// when it came, for nobody can say how it reads now.
    fn as_read_now(&self, event: &Event) -> Event {
        let read = || {
            self.core.faults.strike(Stage::Reread, &event.kind);
            self.core.effective.compiled.reread_points(&event.source, event)
        };
        walled(read).unwrap_or_else(|Panicked| event.clone())
    }

    fn reread(&self, one: &mut crate::records::Revised) {
        if let Ok(event) = decode_event(one.version, &one.bytes) {
            let event = self.as_read_now(&event);
            if let Ok(bytes) = crate::records::encode_event(&event) {
                (one.bytes, one.version) = (bytes, crate::records::EVENT_VERSION);
            }
        }
    }

    /// What changed on the way is no news to anyone.
    fn forget_changes(&mut self) {
        self.core.changes.clear();
        self.core.fresh.dedupe.clear();
    }

    /// Becomes the state in the place of `old`, at the switch record `at`.
    pub(in crate::engine) fn take_over(
        mut self,
        old: &mut Core,
        reader: &JournalReader,
        at: Sequence,
        now: Timestamp,
    ) -> Result<TakenOver, ReplayError> {
        self.extend(old.graph.ancestry(self.taken, usize::MAX));
        self.core.hidden.clone_from(&old.hidden);
        self.catch_up(reader, at - 1)?;
        if self.is_spoilt {
            // One that begins now knows of all that counts for nothing before it reads.
            return Self::new(Basis::of(old)).take_over(old, reader, at, now);
        }
        self.relink(old);
        let heirs = self.core.graph.close_inheritance(at);
        let suspects = self.suspects(old);
        let told = self.core.graph.compare_with(&old.graph, suspects.into_iter());
        for sequence in self.dropped {
            if old.take_up(sequence).is_some() {
                old.drop_suppressed(sequence);
            }
        }
        old.counters.generation = self.generation;
        old.counters.loose_content = self.core.counters.loose_content;
        let every_bucket = old.loose_buckets().chain(self.core.loose_buckets()).collect();
        let graph = std::mem::replace(&mut old.graph, self.core.graph);
        let profile_less = std::mem::replace(&mut old.profile_less, self.core.profile_less);
        let quarantined = std::mem::replace(&mut old.quarantined, self.core.quarantined);
        old.resolved = old.effective.compiled.settings.clone();
        old.counters.resolved_to = at;
        old.counters.must_resolve = false;
        old.counters.adopted = 0;
        old.relocate_runs();
        for change in told.changes {
            old.tell_act(change, now, Some("re-resolved"));
        }
        let fragments = self.core.fresh.fragments;
        let fresh = std::mem::take(&mut old.fresh);
        old.fresh =
            Fresh { fragments, loose: every_bucket, configuration: true, purge: true, ..fresh };
        let left = Box::new((heirs, graph, profile_less, quarantined, told.moves));
        Ok(TakenOver { fragments: self.fragments, left })
    }

    /// The fragments that may have another holder than in `old`.
    fn suspects(&mut self, old: &Core) -> BTreeSet<FragmentIndex> {
        let count = old.graph.fragment_count() as FragmentIndex;
        // Where they were not looked at yet, each is one.
        let looked = self.comparison.take().filter(|one| one.holders.is_empty());
        let Some(Comparison { known, changed, mut suspects, .. }) = looked else {
            return (0..count).collect();
        };
        suspects.append(&mut lock(&changed));
        suspects.extend(known as FragmentIndex..count);
        suspects.split_off(&count);
        suspects
    }

    /// Lays what operators laid since the draft began.
    fn relink(&mut self, old: &Core) {
        for (number, link) in &old.links {
            if !self.core.links.contains_key(number) {
                let effects = self.core.graph.lay(&link_of(link), 0, link.at);
                self.suspect(&effects.moves, None);
            }
        }
        for (number, cut) in &old.cuts {
            if !self.core.cuts.contains_key(number) {
                let effects = self.core.graph.cut(&cut_of(cut)).effects;
                self.suspect(&effects.moves, None);
            }
        }
    }
}

fn link_of(row: &LinkRow) -> Link {
    Link { number: row.number, joins: row.joins, a: row.a.clone(), b: row.b.clone() }
}
