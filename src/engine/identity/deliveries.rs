//! The live side of campaigns: asks profiles, fires timers, decides what is sent when.
//!
//! Part of the identity actor. What it decides by is the [`Core`](crate::engine::state::Core); what it keeps
//! beside it (breakers, calls under way) may be lost in a crash. The calls themselves are made by
//! [`sender`](crate::engine::delivery::sender), on a thread of its own. A snapshot, and an act that may change what
//! profiles are, wait until no profile owes an answer: so a snapshot at a sequence holds every
//! consequence of the records up to it.

mod answering;

use crate::domain::campaign::{Recheck, Webhook};
use crate::domain::graph::Move;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::delivery::schedule::Candidate;
use crate::engine::delivery::sender::{Desk, Ended, Finished, Job};
use crate::engine::delivery::sending::{TIMERS, is_in_order};
use crate::engine::fault::{Panicked, Stage, walled};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::intake::entry::Then;
use crate::engine::profile::message::Op;
use crate::engine::state::campaigns::outbox::{Delivery, EndpointNumber, Tally};
use crate::engine::state::campaigns::question::{Question, Told};
use crate::engine::state::numbers::enqueued_by;
use crate::outbound::admission::Pace;
use crate::records::ActRecord;
use actix::{AsyncContext, Context, Handler, Message};
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep; the clock may be set meanwhile.
const SLEEP_MS: i64 = 60_000;

/// The clock was moved.
#[derive(Message)]
#[rtype(result = "()")]
struct ClockMoved;

impl crate::engine::state::Core {
    fn webhook_of(&self, endpoint: EndpointNumber) -> Option<&Webhook> {
        let (campaign, step) = self.campaigns.outbox.endpoint(endpoint);
        self.compiled_campaigns().get(campaign)?.webhook(step)
    }

    /// Whether an endpoint is not to be called at all for now.
    fn is_held(&self, endpoint: EndpointNumber) -> bool {
        let (campaign, step) = self.campaigns.outbox.endpoint(endpoint);
        self.is_paused(campaign)
            || self.campaigns.disabled.contains_key(&(Box::from(campaign), step))
    }

    /// What becomes of a delivery that was to be tried at that time.
    fn candidate(&self, number: u64, at: Timestamp, is_in_order: bool) -> Candidate {
        let one = self.campaigns.outbox.get(number);
        let Some(one) = one.filter(|one| one.is_pending() && one.next_attempt_at == at) else {
            return Candidate::Stale;
        };
        match is_in_order.then(|| self.earlier(number, one)).flatten() {
            Some(other) => Candidate::Behind(other),
            None => Candidate::Ready(one.attempts),
        }
    }
}

impl IdentityActor {
    /// Takes a durable record in its turn, or holds it back until no profile owes an answer.
    pub(in crate::engine) fn take_or_hold(
        &mut self,
        sequence: Sequence,
        then: Then,
        context: &mut Context<Self>,
    ) {
        if !self.sending.held.is_empty() || self.sending.must_wait(&then) {
            self.sending.held.push_back((sequence, then));
        } else {
            self.take(sequence, then, context);
        }
    }

    /// Asks a profile; its answer comes behind all that it was told before.
    pub(in crate::engine) fn put_question(&mut self, mut question: Question) {
        question.era = self.shared.era();
        if let Some((endpoint, number)) = question.delivery() {
            self.sending.asked_deliveries.insert(number, endpoint);
        }
        self.sending.asked_timers.extend(question.timer());
        self.sending.asked += 1;
        self.sending.deciding += usize::from(question.decides());
        let set_values = self.core.graph.rules().limits.set_values;
        self.tell_awake(question.lead, Op::Tell(Box::new(question), set_values, None));
    }

    /// Asks what a timer asks, with the event that its run began with.
    pub(in crate::engine) fn put_timer(&mut self, mut question: Question) {
        question.read_event(&mut self.shared.events());
        self.put_question(question);
    }

    /// Fires timers, has sent what is due, and sees to it that it is called again in time.
    pub(in crate::engine) fn dispatch(&mut self, context: &mut Context<Self>) {
        self.dispatch_with(None, context);
    }

    /// As [`Self::dispatch`]; what a question has just enqueued is judged by the answer to it.
    fn dispatch_with(&mut self, just: Option<(&Question, &Told)>, context: &mut Context<Self>) {
        self.sending.is_stirred = false;
        self.pick_due(just, context);
        self.hand_over();
    }

    fn pick_due(&mut self, just: Option<(&Question, &Told)>, context: &mut Context<Self>) {
        // What waits for silence shall get it, however much there is to send.
        let is_awaited = self.sending.wants_snapshot || !self.sending.held.is_empty();
        if self.sending.desk.is_none() || is_awaited {
            return;
        }
        if self.shared.kept.wants_snapshot() {
            self.snapshot(None);
            if self.shared.kept.is_full() || self.sending.wants_snapshot {
                return;
            }
        }
        let now = self.shared.clock.now();
        self.heed_configuration(now);
        self.fire(now);
        self.heed_changes();
        while let Some(endpoint) = self.sending.schedule.next_endpoint(now) {
            if self.core.is_held(endpoint) {
                self.sending.schedule.hold(endpoint);
                continue;
            }
            let webhook = self.core.webhook_of(endpoint);
            let (pace, in_order) = (Pace::of(webhook), is_in_order(webhook));
            loop {
                let core = &self.core;
                let ask = |number, at| core.candidate(number, at, in_order);
                let Some(number) = self.sending.schedule.pick(endpoint, pace, now, ask) else {
                    break;
                };
                // It reads what may be anything, and only reads.
                let tried = walled(|| self.try_one(endpoint, number, just, now));
                if tried == Err(Panicked) {
                    self.give_up((endpoint, number), now);
                }
            }
        }
        self.wake_in_time(now, context);
    }

    /// Has a delivery sent, asking its profile before.
    fn try_one(
        &mut self,
        endpoint: EndpointNumber,
        number: u64,
        just: Option<(&Question, &Told)>,
        now: Timestamp,
    ) {
        if let Some((question, told)) = just.filter(|(one, _)| one.sequence == enqueued_by(number))
        {
            return self.recheck((endpoint, number), question, told, now);
        }
        // An event that was stored, and whose answer is on its way, may be the exit. What is not to be
        // sent is asked about all the same: so many at a time are cancelled, not a whole backlog at once.
        if self.sending.deciding == 0
            && self.core.recheck_unasked(number, now) == Some(Recheck::Send)
        {
            return self.heed_recheck((endpoint, number), Some(Recheck::Send), now);
        }
        match self.core.question_of_attempt(number, now) {
            Some(mut question) => {
                if self.core.audience_reads_event(number) {
                    question.read_event(&mut self.shared.events());
                }
                self.put_question(question);
            }
            None => {
                self.sending.schedule.ended(endpoint, None, now);
                self.cancel(number, now, "the profile is not there any more".to_owned());
            }
        }
    }

    /// Gives a delivery up that cannot be judged.
    fn give_up(&mut self, (endpoint, number): (EndpointNumber, u64), now: Timestamp) {
        self.sending.schedule.ended(endpoint, None, now);
        self.cancel(number, now, "judging it panicked".to_owned());
    }

    fn fire(&mut self, now: Timestamp) {
        let fired_to = &mut self.sending.fired_to;
        if let Some(added) = self.core.campaigns.take_added_timer() {
            fired_to.take_if(|to| added <= *to);
        }
        let room = TIMERS.saturating_sub(self.sending.fired.len());
        let (mut due, mut last) = (Vec::new(), None);
        for timer in self.core.campaigns.due_timers(self.sending.fired_to.as_ref(), now) {
            if due.len() == room {
                break;
            }
            last = Some(timer);
            let (_, fragment, campaign, run) = timer;
            let key = (self.core.fragment_key(*fragment), campaign.clone(), *run);
            // A run of a paused campaign waits on, without a record for each look.
            if !self.core.is_paused(campaign) && !self.sending.fired.contains(&key) {
                due.push(key);
            }
        }
        if let Some(last) = last {
            self.sending.fired_to = Some(last.clone());
        }
        for (fragment, campaign, run) in due {
            let name = campaign.to_string();
            self.journal(ActRecord::TimerFired { at: now, campaign: name, fragment, run });
            self.sending.fired.insert((fragment, campaign, run));
        }
    }

    /// Looks at every endpoint again, where the campaigns changed or one was enabled.
    fn heed_configuration(&mut self, now: Timestamp) {
        let campaigns = self.core.compiled_campaigns();
        let disabled = self.core.campaigns.disabled.len();
        let before = match &self.sending.seen {
            Some((seen, count)) if Arc::ptr_eq(seen, campaigns) && *count == disabled => return,
            seen => seen.as_ref().map(|(seen, _)| Arc::clone(seen)),
        };
        let outbox = &self.core.campaigns.outbox;
        let was_in_order = |campaign: &str, step| {
            let before = before.as_ref().and_then(|all| all.get(campaign));
            is_in_order(before.and_then(|one| one.webhook(step)))
        };
        for endpoint in outbox.endpoints() {
            let (campaign, step) = outbox.endpoint(endpoint);
            if was_in_order(campaign, step) && !is_in_order(self.core.webhook_of(endpoint)) {
                for number in outbox.pending_on(endpoint) {
                    if let Some(one) = outbox.get(number) {
                        self.sending.schedule.put(endpoint, number, one.next_attempt_at);
                    }
                }
            }
        }
        for (campaign, step) in campaigns.without_secret(&|name| self.shared.secrets.text(name)) {
            tracing::warn!(%campaign, step, "a secret of this webhook is not there; set it and reload");
        }
        self.sending.seen = Some((Arc::clone(campaigns), disabled));
        self.sending.fired_to = None;
        self.sending.schedule.release(now);
    }

    /// Puts on the schedule what changed in the outbox.
    fn heed_changes(&mut self) {
        let mut touched = self.core.campaigns.outbox.take_touched();
        let outbox = &self.core.campaigns.outbox;
        let schedule = &mut self.sending.schedule;
        while let Some(number) = touched.pop() {
            let Some(one) = outbox.get(number).filter(|one| one.is_pending()) else {
                touched.extend(schedule.left(number));
                continue;
            };
            if schedule.is_under_way(number, one.attempts) {
                continue;
            }
            // Where order counts, it has its turn when it leads.
            if is_in_order(self.core.webhook_of(one.endpoint)) && !outbox.leads(number, one) {
                continue;
            }
            schedule.put(one.endpoint, number, one.next_attempt_at);
        }
    }

    /// Fragments changed hands: whose turn it is may be another's now.
    pub(in crate::engine) fn rejudge_turns(&mut self, moves: &[Move]) {
        let outbox = &self.core.campaigns.outbox;
        for endpoint in outbox.endpoints() {
            for one in moves {
                let key = self.core.fragment_key(one.fragment);
                let Some(head) = outbox.head(endpoint, key) else { continue };
                let waiting = self.sending.schedule.waiting_for(head);
                self.sending.is_stirred = true; // looked at behind the group
                for number in waiting.into_iter().chain([head]) {
                    if let Some(one) = outbox.get(number) {
                        self.sending.schedule.put(endpoint, number, one.next_attempt_at);
                    }
                }
            }
        }
    }

    /// Everything was resolved again: whoever waits for another one is judged again.
    pub(in crate::engine) fn rejudge_all(&mut self) {
        for number in self.sending.schedule.waiting() {
            if let Some(one) = self.core.campaigns.outbox.get(number) {
                self.sending.schedule.put(one.endpoint, number, one.next_attempt_at);
            }
        }
    }

    fn wake_in_time(&mut self, now: Timestamp, context: &mut Context<Self>) {
        let mut timers = self.core.campaigns.timers_after(self.sending.fired_to.as_ref());
        let has_room = self.sending.fired.len() < TIMERS;
        let timer = timers.next().filter(|_| has_room).map(|timer| timer.0);
        let next = [self.sending.schedule.next_look(), timer].into_iter().flatten().min();
        let Some(next) = next else { return };
        if let Some((at, handle)) = self.sending.wakes {
            if at <= next {
                return;
            }
            context.cancel_future(handle);
        }
        let ms = (next.0.saturating_sub(now.0)).clamp(0, SLEEP_MS);
        let handle =
            context.run_later(Duration::from_millis(ms.unsigned_abs()), |identity, context| {
                identity.sending.wakes = None;
                identity.guarded(context, Self::dispatch);
            });
        self.sending.wakes = Some((now.plus_ms(ms), handle));
    }

    fn recheck(
        &mut self,
        (endpoint, number): (EndpointNumber, u64),
        question: &Question,
        told: &Told,
        now: Timestamp,
    ) {
        self.shared.faults.strike(Stage::Recheck, "");
        let judged = self.core.recheck(number, question, told);
        self.heed_recheck((endpoint, number), judged, now);
    }

    fn heed_recheck(
        &mut self,
        (endpoint, number): (EndpointNumber, u64),
        judged: Option<Recheck>,
        now: Timestamp,
    ) {
        let pending = self.core.campaigns.outbox.get(number).copied().filter(Delivery::is_pending);
        let answer = judged.filter(|_| pending.is_some());
        if let (Some(Recheck::Send), Some(one)) = (&answer, &pending) {
            return self.send(number, one, now);
        }
        let schedule = &mut self.sending.schedule;
        schedule.ended(endpoint, None, now);
        match (answer, pending) {
            (Some(Recheck::Hold), Some(one)) => {
                schedule.settled(number);
                schedule.put(endpoint, number, one.next_attempt_at);
                schedule.hold(endpoint);
            }
            (Some(Recheck::Cancel(why)), _) => self.cancel(number, now, why.to_string()),
            // It was cancelled or erased meanwhile.
            _ => schedule.settled(number),
        }
    }

    fn cancel(&self, delivery: u64, at: Timestamp, reason: String) {
        self.journal(ActRecord::Cancelled { at, delivery, reason });
    }

    fn send(&mut self, number: u64, one: &Delivery, now: Timestamp) {
        let (campaign, step) = self.core.campaigns.outbox.endpoint(one.endpoint);
        let job = Job {
            number,
            campaigns: Arc::clone(self.core.compiled_campaigns()),
            campaign: campaign.into(),
            step,
            webhook_id: self.core.webhook_id(one),
            attempt: one.attempts.saturating_add(1),
            at: now,
        };
        self.sending.jobs.push(job);
    }

    /// Hands the calls over that were decided on, to the thread that makes them.
    fn hand_over(&mut self) {
        let jobs = std::mem::take(&mut self.sending.jobs);
        let Some(desk) = self.sending.desk.clone().filter(|_| !jobs.is_empty()) else { return };
        let make_all = async move {
            for job in jobs {
                let desk = Arc::clone(&desk);
                actix_rt::spawn(async move { desk.make(job).await });
            }
        };
        if !self.sending.arbiter.spawn(make_all) {
            tracing::warn!("deliveries were not sent: the engine is stopping");
        }
    }

    /// Shows in the metrics how deliveries stand.
    pub(in crate::engine) fn count_deliveries(&mut self) {
        let outbox = &mut self.core.campaigns.outbox;
        let Tally { enqueued, delivered, dead, cancelled } = outbox.take_tally();
        let bounded = std::mem::take(&mut self.core.campaigns.conditions_bounded);
        self.shared.metrics.conditions_bounded.inc_by(bounded);
        let metrics = &self.shared.metrics;
        metrics.deliveries_enqueued.inc_by(enqueued);
        metrics.count_ended(delivered, dead, cancelled);
        let (all, pending) = outbox.counts();
        metrics.deliveries_kept.set(all as i64);
        metrics.deliveries_pending.set(pending as i64);
        metrics.deliveries_in_flight.set(self.sending.schedule.in_flight() as i64);
        metrics.deliveries_unsaved.set(self.shared.kept.bytes() as i64);
        for (endpoint, is_open) in self.sending.schedule.breakers() {
            let (campaign, step) = outbox.endpoint(endpoint);
            metrics.set_breaker(campaign, step, is_open);
        }
    }

    /// Begins to send, now that there is a router to append what comes of it.
    pub(in crate::engine) fn begin_sending(&mut self, context: &mut Context<Self>) {
        let Some(router) = self.router.clone() else { return };
        self.sending.desk = Some(Arc::new(Desk::new(
            Arc::clone(&self.sending.client),
            Arc::clone(&self.shared),
            router.recipient(),
            context.address().recipient(),
        )));
        self.core.campaigns.outbox.listen();
        self.put_pending();
        let (mut moved, identity) = (self.shared.clock.subscribe(), context.address());
        actix_rt::spawn(async move {
            while moved.changed().await.is_ok() {
                if identity.try_send(ClockMoved).is_err() && !identity.connected() {
                    return;
                }
            }
        });
        self.dispatch(context);
    }
}

impl Handler<Finished> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Finished(calls): Finished, context: &mut Self::Context) {
        self.guarded(context, |identity, context| identity.finished(calls, context));
    }
}

impl IdentityActor {
    fn finished(&mut self, calls: Vec<Ended>, context: &mut Context<Self>) {
        let now = self.shared.clock.now();
        for Ended { number, campaign, step, failed } in calls {
            if let Some(endpoint) = self.core.campaigns.outbox.endpoint_number(&campaign, step) {
                self.sending.schedule.ended(endpoint, failed, now);
            }
            if failed.is_none() {
                self.sending.schedule.settled(number);
                let one = self.core.campaigns.outbox.get(number);
                if one.is_some_and(Delivery::is_pending) {
                    let what = "there is no row of what it sends; move the snapshot folder aside to rebuild it from the journal";
                    return self.shared.fail(format!("delivery {number}: {what}"));
                }
            }
        }
        self.dispatch(context);
    }
}

impl Handler<ClockMoved> for IdentityActor {
    type Result = ();

    fn handle(&mut self, _: ClockMoved, context: &mut Self::Context) {
        if let Some((_, handle)) = self.sending.wakes.take() {
            context.cancel_future(handle);
        }
        self.guarded(context, Self::dispatch);
    }
}
