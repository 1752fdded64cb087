//! The state after a panic: made once more from snapshot and journal, as a start would make it, without
//! the record that did it.
//!
//! A panic on the identity actor may leave the state half changed, and nobody can say where. So
//! everything that follows from the journal is replayed up to the record that was taken last, while all
//! else waits. What panicked counts for nothing from then on, which a record says
//! ([`ActRecord::PassOver`]); who sent it is answered when that record is durable.

use crate::domain::event::{Reason, Status};
use crate::domain::id::Sequence;
use crate::engine::background;
use crate::engine::fault::{Panicked, walled};
use crate::engine::history::asides::ReplayError;
use crate::engine::history::replay::{Plan, Replayed, replay};
use crate::engine::history::starting::starting_point;
use crate::engine::identity::actor::IdentityActor;
use crate::engine::identity::sagas::{Cause, Waiting};
use crate::engine::receipt::Receipt;
use crate::engine::state::Core;
use crate::engine::state::acted::Answer;
use crate::engine::state::aside::Aside;
use crate::engine::store::fragments::{NewerRows, Rest};
use crate::records::ActRecord;
use actix::Context;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Rebuilds within a minute at most for which no record can be named: more of them would never end.
const BLIND_MAX: usize = 5;
/// How long records that were taken may be missing from the journal: those that answer before they
/// are written are written right behind.
const PATIENCE: Duration = Duration::from_secs(30);

impl IdentityActor {
    /// Does something of the actor's own that may panic.
    pub(in crate::engine) fn guarded(
        &mut self,
        context: &mut Context<Self>,
        work: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        if walled(|| work(self, context)) == Err(Panicked) {
            self.mend(Cause::Turn, context);
        }
    }

    /// Taking an event in panicked.
    pub(in crate::engine) fn pass_over_event(
        &mut self,
        sequence: Sequence,
        context: &mut Context<Self>,
    ) {
        if let Some((receipt, reply)) = self.mending.unanswered.take() {
            let status = Status::Quarantined(Reason::Panicked);
            let receipt = Receipt { status, profile_id: None, ..receipt };
            self.mending.waiting.insert(sequence, Waiting::Event(receipt, reply));
        }
        self.mend(Cause::Record(sequence), context);
    }

    /// Taking an act or a configuration in panicked. An act that reads events again goes on without the
    /// event that did it.
    pub(in crate::engine) fn pass_over_act(
        &mut self,
        sequence: Sequence,
        rereads: &[Sequence],
        reply: Option<oneshot::Sender<Answer>>,
        context: &mut Context<Self>,
    ) {
        let culprit = self.core.placing.take().unwrap_or(sequence);
        if culprit == sequence {
            if let Some(reply) = reply {
                self.mending.waiting.insert(sequence, Waiting::Act(reply));
            }
            return self.mend(Cause::Record(sequence), context);
        }
        self.mend(Cause::Record(culprit), context);
        let is_placed = |one: &&Sequence| {
            !self.core.profile_less.contains(*one) && !self.core.quarantined.contains_key(*one)
        };
        let placed = rereads.iter().filter(is_placed).count();
        if let Some(reply) = reply {
            let _ = reply.send(Answer::Reprocessed(placed));
        }
    }

    /// That a record is passed over is durable: who waits for it is told.
    pub(in crate::engine) fn tell_passed(&mut self, record: Sequence) {
        match self.mending.waiting.remove(&record) {
            Some(Waiting::Event(receipt, reply)) => reply.send(Ok(receipt)),
            Some(Waiting::Act(reply)) => drop(reply.send(Answer::Failed)),
            None => {}
        }
    }

    /// Makes the state once more. Where that fails too, the engine fails; the next start passes the
    /// record over, or says why it cannot.
    pub(in crate::engine) fn mend(&mut self, cause: Cause, context: &mut Context<Self>) {
        if self.shared.is_failed() {
            self.mending.waiting.clear();
            return;
        }
        let started = Instant::now();
        if cause == Cause::Turn && self.is_blind_too_often(started) {
            let why = "the identity actor panics again and again; the log says where";
            return self.shared.fail_by_fault(why.to_owned());
        }
        if !self.await_journal() {
            self.mending.waiting.clear();
            return;
        }
        let shared = Arc::clone(&self.shared);
        let writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut replayed, rows) = match walled(|| self.made_again(cause)) {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                self.mending.waiting.clear();
                let why = format!("rebuilding the state after a panic: {error}");
                return match error.is_fault() {
                    true => self.shared.fail_by_fault(why),
                    false => self.shared.fail(why),
                };
            }
            Err(Panicked) => {
                self.mending.waiting.clear();
                let why = "rebuilding the state after a panic panicked; the log says where";
                return self.shared.fail_by_fault(why.to_owned());
            }
        };
        if let Cause::Record(record) = cause {
            replayed.passed.push(record);
        }
        let passed = std::mem::take(&mut replayed.passed);
        self.put_in_place(replayed.core, rows);
        drop(writing);
        self.shared.metrics.state_rebuilds.inc();
        tracing::error!(?cause, took = ?started.elapsed(), "the state was rebuilt after a panic");
        for record in passed {
            self.shared.set_aside(record);
            self.journal_passed(record);
        }
        self.go_on(context);
    }

    fn is_blind_too_often(&mut self, now: Instant) -> bool {
        let blind = &mut self.mending.blind;
        blind.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        blind.push_back(now);
        blind.len() > BLIND_MAX
    }

    /// Waits until the journal holds all records that were taken.
    fn await_journal(&self) -> bool {
        let started = Instant::now();
        while self.shared.reader.next_sequence() <= self.mending.taken {
            if self.shared.is_failed() {
                return false;
            }
            if started.elapsed() > PATIENCE {
                let why = "the journal lacks records that were taken; the state cannot be rebuilt";
                self.shared.fail_by_fault(why.to_owned());
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// The state up to the last record that was taken, without the one that panicked.
    fn made_again(&self, cause: Cause) -> Result<(Replayed, NewerRows), ReplayError> {
        let shared = &self.shared;
        let rest = Rest::new(shared.rest.store());
        let mut passed = self.core.passed.unsaid();
        if let Cause::Record(record) = cause {
            passed.insert(record, Sequence::MAX);
        }
        let aside = shared.aside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let genesis = Some(shared.genesis);
        let plan = Plan {
            rest: &rest,
            reader: &shared.reader,
            genesis,
            upto: Some(self.mending.taken),
            aside: aside.into_iter().collect::<Aside>(),
            passed,
            faults: shared.faults.clone(),
            unsaved_bytes: shared.kept.bytes_max(),
            log: &[],
        };
        let at = self.mending.taken;
        let start = starting_point(&rest, genesis, &shared.reader)
            .map_err(|cause| ReplayError::Start { at, cause: Box::new(cause) })?;
        let replayed = replay(start, &plan, &mut |_, _| {})?;
        Ok((replayed, rest.replace(NewerRows::default())))
    }

    /// Puts a rebuilt state in the place of the one that is not to be trusted.
    fn put_in_place(&mut self, mut core: Core, rows: NewerRows) {
        let shared = Arc::clone(&self.shared);
        shared.era.fetch_add(1, Ordering::AcqRel);
        shared.rereadings.take_over(&core.revised);
        core.revised = shared.rereadings.clone();
        core.campaigns.outbox.keep_in(&shared.kept);
        core.campaigns.outbox.listen();
        let old = std::mem::replace(&mut self.core, core);
        self.recount_from_now();
        self.profiles.leave_all();
        let left = shared.rest.replace(rows);
        self.remake_schedule(&old);
        background::discard((old, left));
        self.suppress();
    }

    /// Takes up again what waits.
    fn go_on(&mut self, context: &mut Context<Self>) {
        let wants_snapshot = std::mem::take(&mut self.sending.wants_snapshot);
        self.take_snapshot_back(wants_snapshot);
        self.rejudge_all();
        self.configured(context);
        self.release_held(context);
    }

    fn journal_passed(&self, record: Sequence) {
        let act = ActRecord::PassOver { at: self.shared.clock.now(), record };
        self.journal(act);
    }
}
