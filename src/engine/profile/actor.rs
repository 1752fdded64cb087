//! The profile actor: the only writer of one profile's fragments.
//!
//! Owns the fragments of its profile. Applies events in journal order, gives fragments up and takes
//! them in when clusters change, shows the fold, and writes its fragments down when asked to. Its
//! mailbox is bounded by the events in flight. A panic while an event is applied costs only that
//! event: the fragment is rebuilt from snapshot and journal, the event is tried once more, and set
//! aside if it panics again.

use crate::domain::event::{Reason, Status};
use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::profile::Folded;
use crate::engine::context::Shared;
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::profile::message::{Apply, Broken, Op, Passivated, Report, SetAside};
use crate::engine::profile::rebuild;
use crate::engine::receipt::Receipt;
use crate::engine::state::views::Viewed;
use crate::engine::store::collector::Collector;
use crate::engine::store::fragments::{FragmentRows, RowError};
use actix::{Actor, ActorContext, Context, Handler, Recipient};
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// The profile actor.
pub struct ProfileActor {
    lead: FragmentIndex,
    id: Uuid,
    pub(in crate::engine) fragments: Vec<(FragmentIndex, Fragment)>,
    /// Fragments to fetch from rest before the first message.
    to_load: Vec<FragmentIndex>,
    pub(in crate::engine) shared: Arc<Shared>,
    pub(in crate::engine) identity: Recipient<Report>,
    /// The step whose givers are awaited, and how many are left.
    awaited: Option<(u64, usize)>,
    held: VecDeque<Op>,
    /// Fragments of later steps that came before they were awaited.
    early: Vec<(u64, Vec<(FragmentIndex, Fragment)>)>,
    /// In which epoch of the rest it woke.
    epoch: u64,
    /// In which era of the state.
    era: u64,
}

impl ProfileActor {
    pub(in crate::engine) fn new(
        lead: FragmentIndex,
        id: Uuid,
        to_load: Vec<FragmentIndex>,
        shared: Arc<Shared>,
        identity: Recipient<Report>,
        epoch: u64,
    ) -> Self {
        Self {
            epoch,
            era: shared.era(),
            lead,
            id,
            fragments: Vec::new(),
            to_load,
            shared,
            identity,
            awaited: None,
            held: VecDeque::new(),
            early: Vec::new(),
        }
    }

    fn fetch(&mut self, fragments: Vec<FragmentIndex>) {
        for fragment in fragments {
            if self.era != self.shared.era() {
                return; // the state was rebuilt, and its fragments have other numbers
            }
            match self.shared.rest.load(fragment) {
                Ok(state) => self.fragments.push((fragment, state)),
                // Every fragment was replaced before this actor woke; it is about to be stopped.
                Err(_) if self.epoch != self.shared.rest.epoch() => {}
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&self, error: &RowError) {
        self.shared.fail(format!("profile {}: {error}", self.id));
    }

    fn fragment(&mut self, fragment: FragmentIndex) -> Option<&mut Fragment> {
        self.fragments.iter_mut().find(|(known, _)| *known == fragment).map(|(_, state)| state)
    }

    /// Does as it is told. Where that panics, who waits for an answer hears it by the answer that is
    /// dropped; what may be half changed is made once more, with the whole state.
    fn perform(&mut self, op: Op, context: &mut Context<Self>) {
        let only_looks = matches!(op, Op::View(..) | Op::Timeline { .. } | Op::Tell(..));
        if walled(|| self.do_as_told(op, context)) == Err(Panicked) && !only_looks {
            // BOUND: one for each thing that it was told.
            self.identity.do_send(Report::Broken(Broken { era: self.era }));
        }
    }

    fn do_as_told(&mut self, op: Op, context: &mut Context<Self>) {
        match op {
            Op::Apply(apply) => self.apply(*apply),
            Op::Answer(reply, receipt) => reply.send(Ok(receipt)),
            Op::Release { fragments, to, step } => self.release(&fragments, &to, step),
            Op::Expect { step, givers } => {
                self.awaited = Some((step, givers));
                let early = std::mem::take(&mut self.early);
                for (at, fragments) in early {
                    self.adopt(at, fragments);
                }
            }
            Op::Adopt { step, fragments } => self.adopt(step, fragments),
            Op::Load(fragments) => self.fetch(fragments),
            Op::View(cluster, set_values, reply) => {
                self.shared.faults.strike(Stage::View, "");
                let folded = Folded::new(self.fragments.iter().map(|(_, one)| one), set_values);
                let events =
                    self.fragments.iter().map(|(index, one)| (*index, one.events)).collect();
                let _ = reply.send(Viewed { cluster, folded, events });
            }
            Op::Timeline { before, limit, only, reply } => {
                match self.timeline(before, limit, only.as_deref()) {
                    Ok(all) => {
                        let _ = reply.send(all);
                    }
                    Err(error) => self.fail(&error),
                }
            }
            Op::Tell(question, set_values, reply) => self.answer(question, set_values, reply),
            Op::Save(fragments, collector) => self.save(&fragments, &collector),
            Op::Passivate { stamp } => self.passivate(stamp),
            Op::Stop => context.stop(),
        }
    }

    fn apply(&mut self, apply: Apply) {
        let Apply { fragment, is_new, sequence, .. } = apply;
        if is_new && self.fragment(fragment).is_none() {
            self.fragments.push((fragment, Fragment::default()));
        }
        let outcome = self.try_apply(&apply).or_else(|()| {
            self.rebuild(fragment, &apply)?;
            self.try_apply(&apply)
        });
        match outcome {
            Ok(()) => {
                if let Some((receipt, reply)) = apply.told {
                    reply.send(Ok(Receipt { profile_id: Some(self.id), ..receipt }));
                }
            }
            Err(()) => {
                self.shared.set_aside(sequence);
                let _ = self.rebuild(fragment, &apply); // it fails the engine itself
                // BOUND: one for each event.
                self.identity.do_send(Report::SetAside(SetAside { sequence, era: self.era }));
                if let Some((receipt, reply)) = apply.told {
                    let status = Status::Quarantined(Reason::Panicked);
                    reply.send(Ok(Receipt { status, ..receipt }));
                }
            }
        }
    }

    fn try_apply(&mut self, apply: &Apply) -> Result<(), ()> {
        let shared = Arc::clone(&self.shared);
        let Some(fragment) = self.fragment(apply.fragment) else {
            if self.epoch != shared.rest.epoch() {
                return Ok(());
            }
            self.fail(&RowError::Missing(apply.fragment));
            return Ok(());
        };
        let attempt = || {
            shared.faults.strike(Stage::Profile, &apply.event.kind);
            fragment.apply(apply.sequence, &apply.event, apply.content, &apply.rules)
        };
        let is_counted = walled(attempt).map_err(drop)?;
        if !is_counted {
            self.shared.metrics.untyped_events.inc();
        }
        Ok(())
    }

    /// Brings a fragment back to what it was before an event, from snapshot and journal.
    fn rebuild(&mut self, fragment: FragmentIndex, apply: &Apply) -> Result<(), ()> {
        tracing::error!(
            sequence = apply.sequence,
            "applying an event panicked; its fragment is rebuilt"
        );
        match rebuild::before(&self.shared, apply) {
            Ok(state) => {
                self.shared.metrics.actor_restarts.inc();
                if let Some(place) = self.fragment(fragment) {
                    *place = state;
                }
                Ok(())
            }
            Err(error) => {
                self.shared.fail(format!("profile {}: {error}", self.id));
                Err(())
            }
        }
    }

    fn release(&mut self, fragments: &[FragmentIndex], to: &Recipient<Op>, step: u64) {
        // One by one, and without moving the others: of a profile of thousands each may go to
        // another one.
        let mut given = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            let place = self.fragments.iter().position(|(index, _)| index == fragment);
            given.extend(place.map(|place| self.fragments.swap_remove(place)));
        }
        // BOUND: one for each hand-over.
        to.do_send(Op::Adopt { step, fragments: given });
    }

    fn adopt(&mut self, at: u64, fragments: Vec<(FragmentIndex, Fragment)>) {
        match self.awaited {
            Some((step, left)) if step == at => {
                self.fragments.extend(fragments);
                self.awaited = (left > 1).then_some((step, left - 1));
            }
            _ => self.early.push((at, fragments)),
        }
    }

    fn timeline(
        &self,
        before: Sequence,
        limit: usize,
        only: Option<&[FragmentIndex]>,
    ) -> Result<Vec<Sequence>, RowError> {
        let is_wanted = |index: &FragmentIndex| only.is_none_or(|only| only.contains(index));
        let mut all: Vec<Sequence> = Vec::new();
        for (index, fragment) in self.fragments.iter().filter(|(index, _)| is_wanted(index)) {
            let timeline = &fragment.timeline;
            let fitting = timeline.newest_first().filter(|sequence| *sequence < before);
            let mut found: Vec<Sequence> = fitting.take(limit).collect();
            let saved = if found.len() < limit {
                self.saved_before(*index, timeline.saved, before)?
            } else {
                0
            };
            for number in (0..saved).rev() {
                if found.len() >= limit {
                    break;
                }
                let chunk = self.shared.rest.chunk(*index, number)?;
                let mut older: Vec<Sequence> =
                    chunk.iter().filter(|sequence| *sequence < before).collect();
                older.reverse();
                found.extend(older);
            }
            all.extend(found.into_iter().take(limit));
            all.extend(timeline.late.iter().copied().filter(|sequence| *sequence < before));
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.truncate(limit);
        Ok(all)
    }

    /// How many of a fragment's saved chunks hold something before a sequence: they ascend, so a
    /// page far down a long timeline reads a handful of them.
    fn saved_before(
        &self,
        fragment: FragmentIndex,
        saved: u32,
        before: Sequence,
    ) -> Result<u32, RowError> {
        let (mut low, mut high) = (0, saved);
        while low < high {
            let middle = low + (high - low) / 2;
            let first = self.shared.rest.chunk(fragment, middle)?.iter().next();
            match first.is_some_and(|first| first < before) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn save(&mut self, fragments: &[FragmentIndex], collector: &Collector) {
        let mut rows = Vec::new();
        for (index, state) in self.fragments.iter_mut() {
            if !fragments.contains(index) {
                continue;
            }
            match FragmentRows::take(state) {
                Ok(taken) => {
                    self.shared.rest.put_chunks(self.epoch, *index, &taken.chunks);
                    rows.extend(taken.keyed(*index));
                }
                Err(error) => return self.shared.fail(format!("profile {}: {error}", self.id)),
            }
        }
        collector.add(rows);
    }

    fn passivate(&mut self, stamp: u64) {
        let mut rows = Vec::with_capacity(self.fragments.len());
        for (index, state) in &mut self.fragments {
            match FragmentRows::take(state) {
                Ok(taken) => rows.push((*index, taken)),
                Err(error) => return self.shared.fail(format!("profile {}: {error}", self.id)),
            }
        }
        // BOUND: one for each time that it is asked to rest.
        self.identity.do_send(Report::Passivated(Passivated {
            lead: self.lead,
            stamp,
            rows,
            epoch: self.epoch,
        }));
    }
}

impl Actor for ProfileActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let fragments = std::mem::take(&mut self.to_load);
        self.fetch(fragments);
    }
}

impl Handler<Op> for ProfileActor {
    type Result = ();

    fn handle(&mut self, op: Op, context: &mut Self::Context) {
        if self.awaited.is_some() && !matches!(op, Op::Adopt { .. }) {
            self.held.push_back(op);
            return;
        }
        self.perform(op, context);
        while self.awaited.is_none() {
            let Some(op) = self.held.pop_front() else { return };
            self.perform(op, context);
        }
    }
}
