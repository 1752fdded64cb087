//! Durable records in their turn: events, acts, configurations.

use crate::domain::event::{Event, Placed, Standing, Status};
use crate::domain::id::Sequence;
use crate::domain::settings::Settings;
use crate::engine::fault::{Panicked, walled};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::intake::entry::Then;
use crate::engine::intake::reply::Reply;
use crate::engine::intake::router::duplicate;
use crate::engine::profile::message::{Apply, Op};
use crate::engine::receipt::Receipt;
use crate::engine::state::acted::Answer;
use crate::records::ActRecord;
use actix::Context;
use std::sync::Arc;

impl IdentityActor {
    /// Takes a durable record. One that panics counts for nothing, and the state is made once more
    /// without it.
    pub(in crate::engine) fn take(
        &mut self,
        sequence: Sequence,
        then: Then,
        context: &mut Context<Self>,
    ) {
        self.mending.taken = self.mending.taken.max(sequence);
        match then {
            Then::Event { event, content, reply } => {
                let event_id = Some(self.core.event_id(sequence, event.received_at));
                let receipt = Receipt { event_id, status: Status::Stored, profile_id: None };
                self.mending.unanswered = Some((receipt, reply));
                let taken = walled(|| self.event(sequence, event, content));
                if taken == Err(Panicked) {
                    self.pass_over_event(sequence, context);
                }
            }
            Then::Duplicate { first, event, reply } => {
                // It only looks: the sender of one that panics hears that, and nothing else is lost.
                let _looked = walled(|| self.duplicate(first, &event, reply));
            }
            Then::Act { act, reply } => {
                let rereads: Vec<Sequence> = match &act {
                    ActRecord::Reprocess { events, .. } => {
                        events.iter().map(|one| one.sequence).collect()
                    }
                    _ => Vec::new(),
                };
                let switches = matches!(act, ActRecord::Switch { .. } | ActRecord::Adopt { .. });
                match walled(|| self.act(sequence, act, context)) {
                    Ok(answer) => drop(reply.map(|reply| reply.send(answer))),
                    Err(Panicked) => {
                        if switches {
                            self.give_resolution_up();
                        }
                        self.pass_over_act(sequence, &rereads, reply, context);
                    }
                }
            }
            Then::Configuration { files, reply } => {
                match walled(|| self.configure(sequence, *files, context)) {
                    Ok(answer) => drop(reply.send(answer)),
                    Err(Panicked) => self.pass_over_act(sequence, &[], Some(reply), context),
                }
            }
            // Who waits for it may have gone away.
            Then::Mark(reply) => drop(reply.send(())),
            Then::Retire(_) | Then::Empty { .. } => {} // the committer's own
        }
    }

    fn configure(
        &mut self,
        sequence: Sequence,
        files: Settings,
        context: &mut Context<Self>,
    ) -> Answer {
        self.core.applied = sequence;
        let answer = match self.core.configure(Some(files), None) {
            Ok(()) => Answer::Done,
            Err(all) => Answer::Invalid(all.iter().map(ToString::to_string).collect()),
        };
        self.configured(context);
        answer
    }

    fn event(&mut self, sequence: Sequence, event: Box<Event>, content: u128) {
        let placement = self.core.event(sequence, &event);
        self.count_changes();
        self.tell_stream(sequence, &event, placement.profile);
        if !placement.moves.is_empty() {
            self.regroup(&placement.moves, placement.unborn().as_slice());
        }
        let (Some(fragment), Some(lead)) = (placement.fragment, placement.profile) else {
            let status = match (placement.aside, event.standing) {
                (Some(reason), _) | (None, Standing::Quarantined(reason)) => {
                    Status::Quarantined(reason)
                }
                _ => Status::ProfileLess,
            };
            if let Some((receipt, reply)) = self.mending.unanswered.take() {
                reply.send(Ok(Receipt { status, ..receipt }));
            }
            return;
        };
        let question = self.core.question_of_event(sequence, &event, &placement);
        let apply = Apply {
            record: sequence,
            sequence,
            event,
            content,
            fragment,
            is_new: placement.is_new,
            rules: Arc::clone(self.core.graph.rules()),
            told: self.mending.unanswered.take(),
        };
        let at_rest = self.at_rest(lead, placement.unborn().as_slice());
        let profile = self.profiles.active(lead, &self.core, at_rest);
        // BOUND: as the events in flight, which the router counts.
        profile.do_send(Op::Apply(Box::new(apply)));
        if let Some(question) = question {
            self.put_question(question);
        }
    }

    /// A duplicate is answered behind its first one: by the profile that holds it.
    fn duplicate(&mut self, first: Placed, event: &Event, reply: Reply) {
        let receipt = duplicate(&self.shared, first);
        match self.core.locate(first.sequence, event) {
            Some(lead) if self.profiles.is_active(lead) => {
                let id = self.core.fragment_id(lead);
                let profile = self.profiles.active(lead, &self.core, Vec::new());
                // BOUND: as the events in flight.
                profile.do_send(Op::Answer(reply, Receipt { profile_id: Some(id), ..receipt }));
            }
            _ => reply.send(Ok(receipt)),
        }
    }
}
