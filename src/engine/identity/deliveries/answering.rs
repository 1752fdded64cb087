//! What comes of the answers of profiles, and what is asked again once the state was rebuilt.

use crate::engine::delivery::sending::is_in_order;
use crate::engine::fault::{Panicked, walled};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::identity::sagas::Cause;
use crate::engine::state::campaigns::question::{Question, Told};
use actix::Context;

impl IdentityActor {
    /// Puts all that is to be sent on the schedule, but for what is under way.
    pub(in crate::engine) fn put_pending(&mut self) {
        let outbox = &self.core.campaigns.outbox;
        for endpoint in outbox.endpoints() {
            let in_order = is_in_order(self.core.webhook_of(endpoint));
            for number in outbox.pending_on(endpoint) {
                let one = outbox.get(number).filter(|one| !in_order || outbox.leads(number, one));
                let Some(one) = one else { continue };
                if !self.sending.schedule.is_under_way(number, one.attempts) {
                    self.sending.schedule.put(endpoint, number, one.next_attempt_at);
                }
            }
        }
    }

    /// After the state was rebuilt, in which endpoints may have other numbers: what profiles were asked
    /// is asked again, calls under way stay known.
    pub(in crate::engine) fn remake_schedule(&mut self, old: &crate::engine::state::Core) {
        let now = self.shared.clock.now();
        let sending = &mut self.sending;
        (sending.asked, sending.deciding) = (0, 0);
        for (number, endpoint) in sending.asked_deliveries.drain() {
            sending.schedule.ended(endpoint, None, now);
            sending.schedule.settled(number);
        }
        for timer in sending.asked_timers.drain() {
            sending.fired.remove(&timer);
        }
        let outbox = &self.core.campaigns.outbox;
        let number = |endpoint| {
            let (campaign, step) = old.campaigns.outbox.endpoint(endpoint);
            outbox.endpoint_number(campaign, step)
        };
        sending.schedule = std::mem::take(&mut sending.schedule).renumbered(number);
        (sending.seen, sending.fired_to) = (None, None);
        self.put_pending();
    }

    /// Takes what was held back, as far as nobody owes an answer.
    pub(in crate::engine) fn release_held(&mut self, context: &mut Context<Self>) {
        while let Some((_, then)) = self.sending.held.front() {
            if self.sending.must_wait(then) {
                break;
            }
            if let Some((sequence, then)) = self.sending.held.pop_front() {
                self.take(sequence, then, context);
            }
        }
    }

    /// A profile has told what it was asked, or panicked over it.
    pub(in crate::engine) fn answered(
        &mut self,
        question: &Question,
        told: Option<Told>,
        context: &mut Context<Self>,
    ) {
        self.sending.asked = self.sending.asked.saturating_sub(1);
        if question.decides() {
            self.sending.deciding = self.sending.deciding.saturating_sub(1);
        }
        let mut told = told;
        let mut just = None;
        let now = self.shared.clock.now();
        if let Some((endpoint, number)) = question.delivery() {
            self.sending.asked_deliveries.remove(&number);
            let judged = told
                .as_ref()
                .map(|told| walled(|| self.recheck((endpoint, number), question, told, now)));
            if judged != Some(Ok(())) {
                self.give_up((endpoint, number), now);
            }
        } else if !self.shared.is_aside(question.sequence) {
            let decided = match &mut told {
                Some(told) => walled(|| self.core.decide(question, told)),
                None => Err(Panicked),
            };
            match decided {
                Ok(Ok(())) => just = told.as_ref(),
                Ok(Err(error)) => {
                    return self.shared.fail(format!("enqueueing a delivery: {error}"));
                }
                Err(Panicked) => {
                    return self.mend(Cause::Record(question.sequence), context);
                }
            }
        }
        if let Some(timer) = question.timer() {
            self.sending.asked_timers.remove(&timer);
            self.sending.fired.remove(&timer);
        }
        if self.sending.is_quiet() && std::mem::take(&mut self.sending.wants_snapshot) {
            self.snapshot(None);
        }
        self.release_held(context);
        self.dispatch_with(just.map(|told| (question, told)), context);
    }
}
