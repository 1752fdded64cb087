//! How the identity actor has everything resolved anew while it goes on serving.

use super::acts::Answer;
use super::again::{Basis, Draft};
use super::background;
use super::committer::Then;
use super::erasure_log::{self, Line};
use super::identity::IdentityActor;
use super::profile::Op;
use super::rest::FragmentRows;
use super::router::Append;
use crate::domain::event::Event;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::records::{ActRecord, kind};
use actix::{AsyncContext, Context, Handler, Message};
use std::sync::Arc;

/// A draft closer behind the present than this many records is ready for its switch.
const CLOSE: Sequence = 2_000;

/// How far a re-resolution is.
#[derive(Default)]
pub(super) enum Drafting {
    /// None is wanted.
    #[default]
    Idle,
    /// A thread reads the journal.
    Reading,
    /// The switch record is on its way.
    Ready(Box<Draft>),
    /// The record of an adoption is on its way.
    Adopting,
}

/// How what is known stands to the configuration in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Everything was resolved under it.
    Current,
    /// Everything is being read again.
    UnderWay,
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
            Self::Adopted => "adopted",
        }
    }
}

/// The thread's draft, or why there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drafted(Result<Box<Draft>, String>);

impl IdentityActor {
    /// After the configuration in force has changed.
    pub(super) fn configured(&mut self, context: &mut Context<Self>) {
        self.publish.set(&self.core.effective);
        self.dispatch(context); // a campaign may have been paused, or live again
        if !self.core.awaits_resolution() {
            return;
        }
        if !matches!(self.draft, Drafting::Idle) {
            return;
        }
        match self.is_cut() {
            true => self.begin_adoption(),
            false => self.begin_draft(context),
        }
    }

    /// Whether events are gone from the journal, or about to go: they cannot be read again.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cutting || self.shared.reader.first_sequence() > crate::journal::FIRST_SEQUENCE
    }

    /// Whether segments may go that a snapshot at `sequence` makes superfluous. Not those that a
    /// re-resolution under way has to read, nor those that a replay from that snapshot on would have
    /// to read at its switch.
    pub(super) fn may_cut(&self, sequence: Sequence) -> bool {
        self.is_cut()
            || (matches!(self.draft, Drafting::Idle)
                && !self.core.awaits_resolution()
                && self.core.counters.resolved_to <= sequence)
    }

    /// How what is known stands to the configuration in force.
    pub(super) fn resolution(&self) -> Resolution {
        let is_adopted = self.core.counters.adopted != 0;
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
        let (Some(router), Ok(bytes)) = (&self.router, act.encode()) else { return };
        self.draft = Drafting::Adopting;
        router.do_send(Append { kind: kind::ACT, bytes, then: Then::Act { act, reply: None } });
    }

    fn begin_draft(&mut self, context: &mut Context<Self>) {
        let basis = Basis::of(&self.core);
        self.read_on(move || Box::new(Draft::new(basis)), context);
    }

    /// Has a thread read what a draft may read.
    fn read_on(
        &mut self,
        draft: impl FnOnce() -> Box<Draft> + Send + 'static,
        context: &mut Context<Self>,
    ) {
        self.draft = Drafting::Reading;
        let (reader, identity) = (self.shared.reader.clone(), context.address());
        let make = move || {
            let mut draft = draft();
            draft.read(&reader).map_err(|error| error.to_string())?;
            Ok(draft)
        };
        let started = background::spawn("re-resolution", move || identity.do_send(Drafted(make())));
        if let Err(error) = started {
            self.shared.fail(format!("starting the re-resolution: {error}"));
        }
    }

    /// Takes the draft's place in the order: everything before the switch record is read.
    pub(super) fn switch(&mut self, at: Sequence, now: Timestamp, context: &mut Context<Self>) {
        let draft = match std::mem::take(&mut self.draft) {
            Drafting::Ready(draft) if draft.is_good_for(&self.core) => *draft,
            _ => Draft::new(Basis::of(&self.core)),
        };
        let reader = self.shared.reader.clone();
        let fragments = match draft.take_over(&mut self.core, &reader, at, now) {
            Ok(fragments) => fragments,
            Err(error) => return self.shared.fail(format!("re-resolving: {error}")),
        };
        self.count_changes();
        self.profiles.stop_all();
        self.shared.rest.clear();
        for (index, mut fragment) in fragments {
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

    fn handle(&mut self, Drafted(draft): Drafted, context: &mut Self::Context) {
        self.draft = Drafting::Idle;
        let mut draft = match draft {
            Ok(draft) => draft,
            Err(error) => return self.shared.fail(format!("re-resolving: {error}")),
        };
        if !draft.is_good_for(&self.core) {
            return self.configured(context);
        }
        if draft.behind(&self.core) > CLOSE {
            draft.extend(&self.core);
            return self.read_on(move || draft, context);
        }
        let configured = self.core.counters.configured;
        let act = ActRecord::Switch { at: self.shared.clock.now(), configured };
        let (Some(router), Ok(bytes)) = (&self.router, act.encode()) else { return };
        self.draft = Drafting::Ready(draft);
        router.do_send(Append { kind: kind::ACT, bytes, then: Then::Act { act, reply: None } });
    }
}

impl IdentityActor {
    /// Takes an operator's act in, with all that follows for profiles.
    pub(super) fn act(
        &mut self,
        sequence: Sequence,
        act: ActRecord,
        context: &mut Context<Self>,
    ) -> Answer {
        if act.is_of_campaigns() {
            return self.campaign_act(sequence, act, context);
        }
        let events = match &act {
            ActRecord::Erase { profile, .. } => self.events_of(*profile, context),
            _ => None,
        };
        if let ActRecord::Erased { erasure, hashes, suppress, .. } = &act {
            let line = Line::new(*erasure, *suppress, hashes);
            if let Err(error) = erasure_log::add(&self.shared.data, &line) {
                self.shared.fail(format!("writing the erasure log: {error}"));
            }
        }
        let is_switch = matches!(act, ActRecord::Switch { .. } | ActRecord::Adopt { .. });
        let acted = self.core.act(sequence, act);
        self.count_changes();
        if !acted.moves.is_empty() {
            self.regroup(&acted.moves, None, context);
        }
        for (at, event, placement) in acted.placed {
            self.placed_late(at, event, placement, context);
        }
        if let Answer::Erasing(erasure) = acted.answer {
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
    fn campaign_act(
        &mut self,
        sequence: Sequence,
        act: ActRecord,
        context: &mut Context<Self>,
    ) -> Answer {
        let fired = match &act {
            ActRecord::TimerFired { campaign, fragment, run, .. } => {
                Some((*fragment, campaign.as_str().into(), *run))
            }
            _ => None,
        };
        let acted = self.core.act(sequence, act);
        match (acted.asks, fired) {
            (Some(question), _) => self.put_timer(*question, context),
            (None, Some(timer)) => drop(self.sending.fired.remove(&timer)),
            (None, None) => {}
        }
        self.sending.is_stirred = true;
        acted.answer
    }

    /// An event that found its profile after the fact.
    fn placed_late(
        &mut self,
        sequence: Sequence,
        event: Box<Event>,
        placement: super::core::Placement,
        context: &mut Context<Self>,
    ) {
        let unborn = placement.fragment.filter(|_| placement.is_new);
        if !placement.moves.is_empty() {
            self.regroup(&placement.moves, unborn, context);
        }
        if let (Some(fragment), Some(lead)) = (placement.fragment, placement.profile) {
            let at_rest = self.at_rest(lead, unborn);
            let profile = self.profiles.active(lead, &self.core, at_rest, context.address());
            profile.do_send(Op::Late {
                sequence,
                event,
                fragment,
                is_new: placement.is_new,
                rules: Arc::clone(self.core.graph.rules()),
            });
        }
    }
}
