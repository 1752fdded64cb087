//! What campaigns leave behind, as part of the [`Core`]: runs, timers, deliveries. It follows from
//! the journal alone: live operation and replay ask the same questions and decide the same.
//!
//! A record that concerns a campaign becomes a [`Question`]; the profile answers with its fold as
//! it is right behind that record, and [`Core::decide`] draws the consequences.

use crate::domain::campaign;
use crate::domain::campaign::retry::Verdict;
use crate::domain::campaign::{
    Campaigns, Decision, Due, Enqueued, FragmentRuns, Held, Order, Pending, Preview, Recheck,
    webhook_id,
};
use crate::domain::graph::FragmentIndex;
use crate::domain::id::{IdKind, IdParts, Sequence};
use crate::domain::profile::Folded;
use crate::domain::time::Timestamp;
use crate::engine::state::Core;
use crate::engine::state::acted::{Acted, Answer};
use crate::engine::state::campaigns::outbox::{Delivery, EndpointKey, NewDelivery};
use crate::engine::state::campaigns::question::{Because, Question, Recent, Told};
use crate::engine::state::campaigns::runs::{Disabled, RunRow};
use crate::engine::state::numbers::delivery_number;
use crate::records::{ActRecord, Attempt, FragmentKey, RecordError};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Core {
    /// The campaigns in force.
    pub(in crate::engine) fn compiled_campaigns(&self) -> &Arc<Campaigns> {
        &self.effective.compiled.campaigns
    }

    /// Whether a campaign rests for now.
    pub(in crate::engine) fn is_paused(&self, id: &str) -> bool {
        let found = self.compiled_campaigns().get(id);
        found.is_some_and(|one| one.standing == campaign::Standing::Paused)
    }

    /// The key of a fragment in records.
    pub(in crate::engine) fn fragment_key(&self, fragment: FragmentIndex) -> FragmentKey {
        let birth = self.graph.birth(fragment);
        (birth.sequence, birth.generation)
    }

    /// The profile that holds the fragment of that key now.
    pub(in crate::engine) fn lead_of_key(
        &self,
        (sequence, generation): FragmentKey,
    ) -> Option<FragmentIndex> {
        self.graph.living_lead(self.graph.born_of(sequence, generation)?)
    }

    /// Draws the consequences of an event or a timer, now that the profile has told how it is.
    ///
    /// # Errors
    /// When what is to be sent is larger than a row may be.
    pub(in crate::engine) fn decide(
        &mut self,
        question: &Question,
        told: &mut Told,
    ) -> Result<(), RecordError> {
        let (stage, kind) = question.stage();
        self.faults.strike(stage, kind);
        self.count(question, std::mem::take(&mut told.recent));
        let decisions = self.decisions(question, &told.folded);
        self.carry_out(question, decisions)
    }

    /// What campaigns decide because of an event or a timer that is counted already.
    pub(in crate::engine) fn decisions(
        &self,
        question: &Question,
        folded: &Folded,
    ) -> Vec<Decision> {
        let campaigns = self.compiled_campaigns();
        let none = FragmentRuns::default();
        let runs = &self.campaigns.runs;
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            question.fragments.iter().map(|one| (*one, runs.get(one).unwrap_or(&none))).collect();
        let person = question.person(folded);
        let event_id = question.event_id.to_string();
        let event = question.facts(&event_id);
        match &question.because {
            Because::Event => match &event {
                Some(event) => campaigns.on_event(&person, event, &fragments, question.now),
                None => Vec::new(),
            },
            Because::Timer { campaign, .. } => {
                let due = Due {
                    campaign,
                    fragment: question.fragment,
                    run: question.run,
                    event_id: &event_id,
                };
                campaigns.on_timer(due, &person, event.as_ref(), &fragments, question.now)
            }
            Because::Attempt { .. } | Because::Trial => Vec::new(),
        }
    }

    /// What a campaign's rules see in an event that is counted already.
    pub(in crate::engine) fn judged(
        &self,
        question: &Question,
        folded: &Folded,
        campaign: &str,
    ) -> Option<Preview> {
        let none = FragmentRuns::default();
        let runs = &self.campaigns.runs;
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            question.fragments.iter().map(|one| (*one, runs.get(one).unwrap_or(&none))).collect();
        let event_id = question.event_id.to_string();
        let (event, person) = (question.facts(&event_id)?, question.person(folded));
        self.compiled_campaigns().preview(campaign, &person, &event, &fragments, question.now)
    }

    /// Makes decisions part of the state.
    ///
    /// # Errors
    /// When what is to be sent is larger than a row may be.
    pub(in crate::engine) fn carry_out(
        &mut self,
        question: &Question,
        decisions: Vec<Decision>,
    ) -> Result<(), RecordError> {
        let campaigns = Arc::clone(self.compiled_campaigns());
        let mut place = 0;
        for decision in decisions {
            self.take_decision(question, &campaigns, decision, &mut place)?;
        }
        Ok(())
    }

    /// Whether a delivery may be sent now, by what its profile tells.
    pub(in crate::engine) fn recheck(
        &self,
        number: u64,
        question: &Question,
        told: &Told,
    ) -> Option<Recheck> {
        let outbox = &self.campaigns.outbox;
        let delivery = outbox.get(number)?;
        let (campaign, step) = outbox.endpoint(delivery.endpoint);
        let campaigns = self.compiled_campaigns();
        let runs = self.runs_as_told(question, told);
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            runs.iter().map(|(one, runs)| (*one, runs)).collect();
        let (trigger, counts_from) = (delivery.trigger(), delivery.counts_from());
        let pending = Pending { campaign, step, trigger, counts_from };
        let event_id = question.event_id.to_string();
        let event = question.facts(&event_id);
        let person = question.person(&told.folded);
        Some(campaigns.recheck(pending, &person, event.as_ref(), &fragments, question.now))
    }

    /// As [`Self::recheck`], by what is known here; nothing, where the profile has to be asked, or
    /// is not there any more.
    pub(in crate::engine) fn recheck_unasked(
        &self,
        number: u64,
        now: Timestamp,
    ) -> Option<Recheck> {
        let outbox = &self.campaigns.outbox;
        let delivery = outbox.get(number)?;
        let lead = self.lead_of_key(delivery.fragment())?;
        let (campaign, step) = outbox.endpoint(delivery.endpoint);
        let runs = &self.campaigns.runs;
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> = self
            .graph
            .fragments_of(lead)
            .into_iter()
            .filter_map(|one| Some((one, runs.get(&one)?)))
            .collect();
        let (trigger, counts_from) = (delivery.trigger(), delivery.counts_from());
        let pending = Pending { campaign, step, trigger, counts_from };
        self.compiled_campaigns().recheck_unasked(pending, &fragments, now)
    }

    /// Whether the audience of a delivery's campaign depends on the event.
    pub(in crate::engine) fn audience_reads_event(&self, number: u64) -> bool {
        let outbox = &self.campaigns.outbox;
        let campaign = outbox.get(number).map(|one| outbox.endpoint(one.endpoint).0);
        let campaign = campaign.and_then(|id| self.compiled_campaigns().get(id));
        campaign.is_some_and(campaign::Campaign::audience_reads_event)
    }

    /// What the same profile has to be sent over the same endpoint before this, where there is such.
    pub(in crate::engine) fn earlier(&self, number: u64, delivery: &Delivery) -> Option<u64> {
        let lead = self.lead_of_key(delivery.fragment())?;
        let outbox = &self.campaigns.outbox;
        let fragments = self.graph.fragments_of(lead).into_iter();
        let heads =
            fragments.filter_map(|one| outbox.head(delivery.endpoint, self.fragment_key(one)));
        heads.min().filter(|first| *first < number)
    }

    /// The id under which a delivery is sent.
    pub(in crate::engine) fn webhook_id(&self, delivery: &Delivery) -> String {
        let (campaign, step) = self.campaigns.outbox.endpoint(delivery.endpoint);
        let event_id = self.event_id(delivery.run, delivery.began_at);
        webhook_id(&event_id.to_string(), campaign, step)
    }

    /// What campaigns left on a profile's fragments, its counts brought up to date.
    pub(in crate::engine) fn runs_as_told(
        &self,
        question: &Question,
        told: &Told,
    ) -> Vec<(FragmentIndex, FragmentRuns)> {
        let counted = self.compiled_campaigns().counted();
        let runs = |fragment: &FragmentIndex| {
            let mut runs = self.campaigns.runs.get(fragment).cloned().unwrap_or_default();
            if let Some((_, events)) = told.recent.iter().find(|(one, _)| one == fragment) {
                runs.counts.refill(counted, events.iter().map(|(kind, at)| (&**kind, *at)));
            }
            (*fragment, runs)
        };
        question.fragments.iter().map(runs).collect()
    }

    /// Brings what is counted up to date, with the event that asks.
    pub(in crate::engine) fn count(&mut self, question: &Question, recent: Vec<Recent>) {
        let campaigns = Arc::clone(self.compiled_campaigns());
        let counted = campaigns.counted();
        let mut is_told = false;
        for (fragment, events) in recent {
            is_told |= fragment == question.fragment;
            let runs = self.campaigns.runs.entry(fragment).or_default();
            runs.counts.refill(counted, events.iter().map(|(kind, at)| (&**kind, *at)));
            self.campaigns.fresh_runs.insert(fragment);
        }
        let event = question.event.as_deref().filter(|event| {
            matches!(question.because, Because::Event) && !is_told && counted.counts(&event.kind)
        });
        if let Some(event) = event {
            let runs = self.campaigns.runs.entry(question.fragment).or_default();
            runs.counts.feed(counted, &event.kind, event.occurred_at);
            self.campaigns.fresh_runs.insert(question.fragment);
        }
    }

    fn take_decision(
        &mut self,
        question: &Question,
        campaigns: &Campaigns,
        decision: Decision,
        place: &mut u64,
    ) -> Result<(), RecordError> {
        let row = |core: &Self, state: &str, reason: Option<String>| RunRow {
            fragment: core.fragment_key(question.fragment),
            event_id: question.event_id.as_u128(),
            began_at: question.now,
            state: state.to_owned(),
            reason,
        };
        match decision {
            Decision::Set { campaign, fragment, state } => {
                self.campaigns.set(fragment, &campaign, state);
            }
            Decision::Started { campaign, run, .. } => {
                let row = row(self, "running", None);
                self.campaigns.tell(&campaign, run, row);
            }
            Decision::Waiting { campaign, run, due, .. } => {
                self.campaigns.retell(&campaign, run, "waiting", Some(format!("until {due}")));
            }
            Decision::Enqueue(enqueued) => {
                let number = delivery_number(question.sequence, *place).map_err(|why| {
                    RecordError::Encoding { what: "a delivery's number", cause: why.to_string() }
                })?;
                *place += 1;
                self.enqueue(question, campaigns, number, *enqueued)?;
            }
            Decision::Ended { campaign, run, how, .. } => {
                let state = if how == campaign::Ended::Done { "done" } else { "ended" };
                self.campaigns.retell(&campaign, run, state, Some(how.to_string()));
            }
            Decision::Cancel { campaign, exit } => {
                let keys: Vec<FragmentKey> =
                    question.fragments.iter().map(|one| self.fragment_key(*one)).collect();
                let outbox = &mut self.campaigns.outbox;
                let pending: Vec<u64> =
                    keys.into_iter().flat_map(|key| outbox.pending_of(&campaign, key)).collect();
                for number in pending {
                    if outbox.get(number).is_some_and(|one| exit.ends(one.trigger())) {
                        outbox.cancel(number, "the exit was reached");
                    }
                }
            }
            Decision::Bounded => self.campaigns.conditions_bounded += 1,
            Decision::Declined { campaign, why } => {
                let reason = match why {
                    Held::Running => "a run is under way".to_owned(),
                    Held::Until(at) => format!("the run before stopped too lately; again at {at}"),
                    Held::Once => "it had its run, and never restarts".to_owned(),
                    Held::Audience => "the profile is not in the audience".to_owned(),
                    Held::Exited => "exited".to_owned(),
                    Held::TooOld => "too_old".to_owned(),
                };
                let row = row(self, "declined", Some(reason));
                self.campaigns.tell(&campaign, question.run, row);
            }
        }
        Ok(())
    }

    fn enqueue(
        &mut self,
        question: &Question,
        campaigns: &Campaigns,
        number: u64,
        enqueued: Enqueued,
    ) -> Result<(), RecordError> {
        // Its id follows from event, campaign and step, and is not kept.
        let Enqueued { campaign, step, fragment, trigger, late_ms, webhook_id: _, rendered } =
            enqueued;
        let webhook = campaigns.get(&campaign).and_then(|one| one.webhook(step));
        if webhook.is_some_and(|webhook| webhook.order == Order::LatestWins) {
            let keys: Vec<FragmentKey> =
                question.fragments.iter().map(|one| self.fragment_key(*one)).collect();
            let outbox = &mut self.campaigns.outbox;
            let older: Vec<u64> =
                keys.iter().flat_map(|key| outbox.queue(&campaign, step, *key)).collect();
            for older in older {
                outbox.cancel(older, "a newer one took its place");
            }
        }
        let new = NewDelivery {
            campaign: (&*campaign).into(),
            step,
            fragment: self.fragment_key(fragment),
            trigger,
            late_ms,
            began_at: question.began_at,
            at: question.now,
            rendered,
        };
        self.campaigns.outbox.enqueue(number, new)
    }

    /// Takes an act in that is about campaigns.
    pub(in crate::engine) fn campaign_act(&mut self, act: ActRecord) -> Acted {
        let outbox = &mut self.campaigns.outbox;
        match act {
            ActRecord::Attempted { delivery, at, outcome } => {
                let attempt = Attempt { at, ..outcome };
                self.attempted(delivery, &attempt);
                Acted::default()
            }
            ActRecord::Cancelled { delivery, reason, .. } => {
                outbox.cancel(delivery, &reason);
                Acted::default()
            }
            ActRecord::Redeliver { at, deliveries } => {
                let count = deliveries.iter().filter(|one| outbox.replay(**one, at)).count();
                Acted { answer: Answer::Reprocessed(count), ..Acted::default() }
            }
            ActRecord::EnableCampaign { campaign, .. } => {
                let before = self.campaigns.disabled.len();
                self.campaigns.disabled.retain(|(of, _), _| **of != *campaign);
                let count = before - self.campaigns.disabled.len();
                self.campaigns.is_disabled_fresh = true;
                Acted { answer: Answer::Reprocessed(count), ..Acted::default() }
            }
            ActRecord::TimerFired { at, campaign, fragment, run } => {
                let asks = self.question_of_timer(at, campaign, fragment, run);
                Acted { asks: asks.map(Box::new), ..Acted::default() }
            }
            _ => Acted::default(),
        }
    }

    /// Ends a run whose timer panicked.
    pub(in crate::engine) fn end_run(
        &mut self,
        id: &str,
        key: FragmentKey,
        run: Sequence,
        at: Timestamp,
    ) {
        let Some(lead) = self.lead_of_key(key) else { return };
        for fragment in self.graph.fragments_of(lead) {
            let Some(runs) = self.campaigns.runs.get(&fragment) else { continue };
            let state = runs.state(id);
            if state.run.is_none_or(|one| one.sequence != run) {
                continue;
            }
            let stopped_at = state.stopped_at.max(Some(at));
            let state = campaign::CampaignState { run: None, stopped_at, ..state };
            self.campaigns.set(fragment, id, state);
            self.campaigns.retell(id, run, "ended", Some("panicked".to_owned()));
        }
    }

    fn attempted(&mut self, number: u64, attempt: &Attempt) {
        let key = self.genesis.id_key;
        let id = |one: &Delivery, (campaign, step): &EndpointKey| {
            let (sequence, received_at) = (one.run, one.began_at);
            let parts = IdParts { received_at, sequence, generation: 0 };
            webhook_id(&key.mint(IdKind::Event, parts).to_string(), campaign, *step)
        };
        // The schedule in force at this place of the journal, so that a replay waits as long.
        let campaigns = Arc::clone(self.compiled_campaigns());
        let waits = |(campaign, step): &EndpointKey| {
            let webhook = campaigns.get(campaign).and_then(|one| one.webhook(*step));
            webhook.map_or_else(campaign::Calling::default, |one| one.calling.clone()).waits
        };
        let outbox = &mut self.campaigns.outbox;
        // It came out of a record of the same limit, in which it was not alone.
        let verdict = outbox.attempted(number, attempt, id, waits).unwrap_or_default();
        if let (Some(Verdict::Disable), Some(one)) = (verdict, outbox.get(number)) {
            let status = attempt.status.unwrap_or(410);
            let reason = format!("the receiver answered {status}: it wants no more");
            let (campaign, step) = outbox.endpoint(one.endpoint);
            let key = (Box::from(campaign), step);
            self.campaigns.disabled.insert(key, Disabled { at: attempt.at, reason });
            self.campaigns.is_disabled_fresh = true;
        }
    }

    /// An event found its fragment after the fact: what is counted there is told again.
    pub(in crate::engine) fn recount(&mut self, fragment: Option<FragmentIndex>) {
        let Some(fragment) = fragment else { return };
        if let Some(runs) = self.campaigns.runs.get_mut(&fragment) {
            runs.counts = campaign::RecentCounts::default();
            self.campaigns.fresh_runs.insert(fragment);
        }
    }

    /// After a re-resolution: what campaigns left on a fragment that holds nothing any more goes to
    /// the profile that it leads to, and what is counted is told again.
    pub(in crate::engine) fn relocate_runs(&mut self) {
        let all = std::mem::take(&mut self.campaigns.runs);
        self.campaigns.timers.clear();
        for (fragment, mut runs) in all {
            runs.counts = campaign::RecentCounts::default();
            self.campaigns.fresh_runs.insert(fragment);
            let target = match self.graph.holder(fragment) == fragment {
                true => Some(fragment),
                false => self.graph.living_lead(fragment),
            };
            if let Some(target) = target {
                self.campaigns.runs.entry(target).or_default().absorb(&runs);
                self.campaigns.fresh_runs.insert(target);
            }
        }
        self.campaigns.set_timers();
    }

    /// Removes what campaigns know of these fragments; returns how many deliveries were still to be
    /// sent.
    pub fn erase_campaigns(&mut self, fragments: &BTreeSet<FragmentIndex>) -> usize {
        let keys = fragments.iter().map(|one| self.fragment_key(*one)).collect();
        let state = &mut self.campaigns;
        for fragment in fragments {
            state.runs.remove(fragment);
            state.fresh_runs.insert(*fragment);
        }
        state.timers.retain(|(_, fragment, _, _)| !fragments.contains(fragment));
        let gone: Vec<(Box<str>, Sequence)> = state
            .told
            .iter()
            .filter(|(_, row)| BTreeSet::contains(&keys, &row.fragment))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            state.told.remove(&key);
            state.fresh_told.insert(key);
        }
        state.outbox.erase(&keys)
    }
}
