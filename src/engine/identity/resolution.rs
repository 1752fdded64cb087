//! How the identity actor has everything resolved again while it goes on serving.

use crate::domain::event::Event;
use crate::domain::fragment::content_hash;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::background;
use crate::engine::fault::{Stage, walled};
use crate::engine::history::basis::Basis;
use crate::engine::history::draft::{Draft, TakenOver};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::identity::basis_collector::{PART, ask, gather};
use crate::engine::identity::sagas::Drafting;
use crate::engine::profile::message::{Apply, Op};
use crate::engine::state::acted::Answer;
use crate::engine::store::erasure_log;
use crate::engine::store::erasure_log::Line;
use crate::engine::store::fragments::FragmentRows;
use crate::records::ActRecord;
use actix::{Addr, AsyncContext, Context, Handler, Message};
use std::sync::Arc;

/// How what is known stands to the configuration in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Everything was resolved under it.
    Current,
    /// Everything is being read again.
    UnderWay,
    /// Reading everything again panicked: what is known stays as it was resolved before, until the
    /// configuration changes or the program starts again.
    Failed,
    /// The journal no longer holds all events: types' rules count for the evidence that is there;
    /// points, normalisers and blocked values for what comes; folds of traits as before.
    Adopted,
}

impl Resolution {
    /// The stable name that the API shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::UnderWay => "under_way",
            Self::Failed => "failed",
            Self::Adopted => "adopted",
        }
    }

    /// Why it failed, where it did.
    pub fn reason(self) -> Option<&'static str> {
        let why = "a fault of the program while everything was read again; the log says where";
        (self == Self::Failed).then_some(why)
    }
}

/// The thread's draft, or why there is none; no draft when what it began from is no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Drafted(pub(in crate::engine) Result<Option<Box<Draft>>, Undrafted>);

/// Why there is no draft.
#[derive(Debug)]
pub(in crate::engine) enum Undrafted {
    /// The journal cannot be read.
    Storage(String),
    /// The thread panicked.
    Panicked,
}

impl IdentityActor {
    /// After the configuration in force has changed.
    pub(in crate::engine) fn configured(&mut self, context: &mut Context<Self>) {
        self.publish.set(&self.core.effective);
        self.dispatch(context); // a campaign may have been paused, or live again
        if !self.core.awaits_resolution() {
            return;
        }
        let has_failed = self.unresolved == Some(self.core.counters.configured);
        if !matches!(self.draft, Drafting::Idle) || has_failed {
            return;
        }
        match self.is_cut() {
            true => self.begin_adoption(),
            false => self.begin_draft(context),
        }
    }

    /// Whether events are gone from the journal, or about to go: they cannot be read again.
    pub(in crate::engine) fn is_cut(&self) -> bool {
        self.is_cutting || self.shared.reader.first_sequence() > crate::journal::FIRST_SEQUENCE
    }

    /// Whether segments may go that a snapshot at `sequence` makes superfluous. Not those that a
    /// re-resolution under way has to read, nor those that a replay from that snapshot on would have
    /// to read at its switch.
    pub(in crate::engine) fn may_cut(&self, sequence: Sequence) -> bool {
        self.is_cut()
            || (matches!(self.draft, Drafting::Idle)
                && !self.core.awaits_resolution()
                && self.core.counters.resolved_to <= sequence)
    }

    /// How what is known stands to the configuration in force.
    pub(in crate::engine) fn resolution(&self) -> Resolution {
        let is_adopted = self.core.counters.adopted != 0;
        let has_failed = self.unresolved == Some(self.core.counters.configured);
        if has_failed && self.core.awaits_resolution() {
            return Resolution::Failed;
        }
        match (self.is_cut(), self.core.awaits_resolution()) {
            (false, true) => Resolution::UnderWay,
            (true, true) if self.core.awaits_adoption() => Resolution::UnderWay,
            _ if is_adopted => Resolution::Adopted,
            _ => Resolution::Current,
        }
    }

    fn begin_adoption(&mut self) {
        if !self.core.awaits_adoption() {
            return;
        }
        tracing::warn!(
            "the journal no longer reaches back to its beginning: the rules in force count for the evidence that is there and for what comes; older events are not read again, and folds of traits stay as they were"
        );
        let configured = self.core.counters.configured;
        let act = ActRecord::Adopt { at: self.shared.clock.now(), configured };
        self.draft = Drafting::Adopting;
        self.journal(act);
    }

    fn begin_draft(&mut self, context: &mut Context<Self>) {
        let begin = |identity: &Addr<Self>| gather(identity).map(Draft::beside).map(Box::new);
        self.read_on(begin, context);
    }

    /// Has a thread read what a draft may read.
    fn read_on(
        &mut self,
        draft: impl FnOnce(&Addr<Self>) -> Option<Box<Draft>> + Send + 'static,
        context: &mut Context<Self>,
    ) {
        self.draft = Drafting::Reading;
        let (reader, identity) = (self.shared.reader.clone(), context.address());
        let faults = self.core.faults.clone();
        let make = move || {
            let made = walled(|| match draft(&identity) {
                Some(mut draft) => {
                    faults.strike(Stage::Resolution, "");
                    let read = draft.read(&reader).map_err(|error| error.to_string());
                    let ready =
                        read.and_then(|()| draft.prepare().map_err(|error| error.to_string()));
                    ready.map(|()| Some(draft)).map_err(Undrafted::Storage)
                }
                None => Ok(None),
            });
            // BOUND: one draft at a time.
            identity.do_send(Drafted(made.unwrap_or(Err(Undrafted::Panicked))));
        };
        if let Err(error) = background::spawn("re-resolution", make) {
            self.shared.fail(format!("starting the re-resolution: {error}"));
        }
    }

    /// A re-resolution panicked: it would again. What is known stays as it is.
    pub(in crate::engine) fn give_resolution_up(&mut self) {
        tracing::error!("re-resolving panicked; what is known stays as it was resolved before");
        self.unresolved = Some(self.core.counters.configured);
        background::discard(std::mem::take(&mut self.draft));
    }

    /// Takes the draft's place in the order: everything before the switch record is read.
    pub(in crate::engine) fn switch(
        &mut self,
        at: Sequence,
        now: Timestamp,
        context: &mut Context<Self>,
    ) {
        let draft = match std::mem::take(&mut self.draft) {
            Drafting::Ready(draft) if draft.is_good_for(&self.core) => *draft,
            other => {
                background::discard(other);
                Draft::new(Basis::of(&self.core))
            }
        };
        let reader = self.shared.reader.clone();
        let TakenOver { fragments, left } = match draft.take_over(&mut self.core, &reader, at, now)
        {
            Ok(taken) => taken,
            Err(error) => return self.shared.fail(format!("re-resolving: {error}")),
        };
        self.count_changes();
        self.profiles.leave_all();
        let rows = self.shared.rest.replace(fragments.laid);
        background::discard((left, rows));
        for (index, mut fragment) in fragments.open {
            match FragmentRows::take(&mut fragment) {
                Ok(rows) => self.shared.rest.put(index, rows),
                Err(error) => return self.shared.fail(format!("re-resolving: {error}")),
            }
        }
        self.core.applied = at;
        self.rejudge_all();
        self.configured(context);
    }
}

impl Handler<Drafted> for IdentityActor {
    type Result = ();

    fn handle(&mut self, drafted: Drafted, context: &mut Self::Context) {
        self.guarded(context, |identity, context| identity.drafted(drafted, context));
    }
}

impl IdentityActor {
    fn drafted(&mut self, Drafted(draft): Drafted, context: &mut Context<Self>) {
        self.draft = Drafting::Idle;
        let mut draft = match draft {
            Ok(Some(draft)) if draft.is_of_now(&self.core) => draft,
            Ok(other) => {
                background::discard(other);
                return self.configured(context);
            }
            Err(Undrafted::Storage(error)) => {
                return self.shared.fail(format!("re-resolving: {error}"));
            }
            Err(Undrafted::Panicked) => return self.give_resolution_up(),
        };
        if !draft.is_close_to(&self.core) {
            return self.read_on(move |identity| keep_up(draft, identity), context);
        }
        if !draft.is_good_for(&self.core) {
            background::discard(draft);
            return self.configured(context);
        }
        let configured = self.core.counters.configured;
        let act = ActRecord::Switch { at: self.shared.clock.now(), configured };
        self.draft = Drafting::Ready(draft);
        self.journal(act);
    }
}

/// Has a draft take over the fragments that were made since, part by part. `None` where one came too
/// late, or the engine stops.
fn keep_up(mut draft: Box<Draft>, identity: &Addr<IdentityActor>) -> Option<Box<Draft>> {
    loop {
        let from = draft.taken();
        let (more, known_to) = ask(identity, move |identity| {
            let graph = &identity.core.graph;
            let more = graph.ancestry(from, PART);
            let is_all = from + more.len() == graph.fragment_count();
            (more, is_all.then_some(identity.core.applied))
        })?;
        if draft.is_too_late_for(&more) {
            return None;
        }
        draft.extend(more);
        if let Some(applied) = known_to {
            draft.know_to(applied);
            return Some(draft);
        }
    }
}

impl IdentityActor {
    /// Takes an operator's act in, with all that follows for profiles.
    pub(in crate::engine) fn act(
        &mut self,
        sequence: Sequence,
        act: ActRecord,
        context: &mut Context<Self>,
    ) -> Answer {
        if act.is_of_campaigns() {
            return self.campaign_act(sequence, act);
        }
        let events = match &act {
            ActRecord::Erase { profile, .. } => self.events_of(*profile),
            _ => None,
        };
        if let ActRecord::Erased { erasure, hashes, suppress, .. } = &act {
            let line = Line::new(*erasure, *suppress, hashes);
            if let Err(error) = erasure_log::add(&self.shared.data, &line) {
                self.shared.fail(format!("writing the erasure log: {error}"));
            }
        }
        let passed = match &act {
            ActRecord::PassOver { record, .. } => Some(*record),
            _ => None,
        };
        let is_switch = matches!(act, ActRecord::Switch { .. } | ActRecord::Adopt { .. });
        let acted = self.core.act(sequence, act);
        self.count_changes();
        if let Some(record) = passed {
            self.tell_passed(record);
            if self.asked && !self.core.passed.has_unsaid() {
                self.snapshot(None);
            }
        }
        if !acted.moves.is_empty() {
            self.regroup(&acted.moves, &acted.born);
        }
        for (at, event, placement) in acted.placed {
            self.placed_late((sequence, at), event, placement, &acted.born);
        }
        if let Answer::Erasing(erasure) = acted.answer {
            let gone = self.core.pending.get(&erasure).map_or(&[][..], |one| &one.fragments);
            self.gatherings.witness(gone.iter().copied());
            self.search(erasure, events, context);
        }
        if let Some(erasure) = acted.erased {
            self.clean(erasure);
        }
        self.suppress();
        match acted.switches {
            Some(now) => self.switch(sequence, now, context),
            None => {
                if is_switch {
                    self.draft = Drafting::Idle; // another one will be made, where one is wanted still
                }
                self.configured(context);
            }
        }
        acted.answer
    }

    /// An act about campaigns, of which there are as many as attempts. What it lets go out is looked
    /// for once, behind the whole group.
    fn campaign_act(&mut self, sequence: Sequence, act: ActRecord) -> Answer {
        let fired = match &act {
            ActRecord::TimerFired { campaign, fragment, run, .. } => {
                Some((*fragment, campaign.as_str().into(), *run))
            }
            _ => None,
        };
        let acted = self.core.act(sequence, act);
        match (acted.asks, fired) {
            (Some(question), _) => self.put_timer(*question),
            (None, Some(timer)) => drop(self.sending.fired.remove(&timer)),
            (None, None) => {}
        }
        self.sending.is_stirred = true;
        acted.answer
    }

    /// An event that found its profile after the fact, by an act.
    fn placed_late(
        &mut self,
        (record, sequence): (Sequence, Sequence),
        event: Box<Event>,
        placement: crate::engine::state::Placement,
        unborn: &[FragmentIndex],
    ) {
        self.shared.take_up(sequence);
        if let (Some(fragment), Some(lead)) = (placement.fragment, placement.profile) {
            let at_rest = self.at_rest(lead, unborn);
            let profile = self.profiles.active(lead, &self.core, at_rest);
            let apply = Apply {
                record,
                sequence,
                content: content_hash(&event),
                event,
                fragment,
                is_new: placement.is_new,
                rules: Arc::clone(self.core.graph.rules()),
                told: None,
            };
            // BOUND: as the events of one act.
            profile.do_send(Op::Apply(Box::new(apply)));
        }
    }
}
