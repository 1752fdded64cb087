//! What campaigns leave behind, as part of the [`Core`]: runs, timers, deliveries. It follows from
//! the journal alone: live operation and replay ask the same questions and decide the same.
//!
//! A record that concerns a campaign becomes a [`Question`]; the profile answers with its fold as
//! it is right behind that record, and [`Core::decide`] draws the consequences.

use super::acts::{Acted, Answer};
use super::campaign_state::{Disabled, RunRow};
use super::core::{Core, Placement};
use super::deliveries::{Delivery, EndpointKey, EndpointNumber, NewDelivery};
use super::endpoint::TimerKey;
use super::rest::{Rest, RowError};
use crate::domain::campaign::{
    self, Campaigns, Decision, Due, Enqueued, EventFacts, FragmentRuns, Held, Order, Pending,
    Person, Preview, Recheck, webhook_id,
};
use crate::domain::event::{Event, Payload, Standing};
use crate::domain::fragment::Fragment;
use crate::domain::graph::{FragmentIndex, Shown};
use crate::domain::id::{IdKind, IdParts, Sequence};
use crate::domain::profile::Folded;
use crate::domain::time::Timestamp;
use crate::journal::JournalReader;
use crate::outbound::retry::Verdict;
use crate::records::{ActRecord, Attempt, FragmentKey, RecordError, decode_event, kind};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// What is asked of a profile on behalf of its campaigns.
#[derive(Debug)]
pub struct Question {
    /// The record that asks; 0 before an attempt.
    pub(super) sequence: Sequence,
    pub(super) now: Timestamp,
    pub(super) lead: FragmentIndex,
    pub(super) id: String,
    pub(super) known: bool,
    pub(super) identifiers: Vec<Shown>,
    pub(super) fragments: Vec<FragmentIndex>,
    /// Fragments whose recent events have to be told: what is counted has changed.
    pub(super) stale: Vec<FragmentIndex>,
    /// The event that triggers, or triggered; none when it is no longer kept.
    pub(super) event: Option<Box<Event>>,
    /// That event's sequence, id and fragment.
    run: Sequence,
    event_id: Uuid,
    /// When that event was received.
    began_at: Timestamp,
    fragment: FragmentIndex,
    because: Because,
}

#[derive(Debug)]
enum Because {
    Event,
    Timer { campaign: String, key: FragmentKey },
    Attempt { endpoint: EndpointNumber, delivery: u64 },
    Trial,
}

/// The events of a fragment by type and time.
pub(super) type Recent = (FragmentIndex, Vec<(Box<str>, Timestamp)>);

/// What a profile answers: its fold, and the events of the stale fragments by type and time.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) folded: Folded,
    pub(super) recent: Vec<Recent>,
}

impl Question {
    /// The delivery that is about to be sent, and where.
    pub(super) fn delivery(&self) -> Option<(EndpointNumber, u64)> {
        match self.because {
            Because::Attempt { endpoint, delivery } => Some((endpoint, delivery)),
            _ => None,
        }
    }

    /// The timer that asks.
    pub(super) fn timer(&self) -> Option<TimerKey> {
        match &self.because {
            Because::Timer { campaign, key } => Some((*key, campaign.as_str().into(), self.run)),
            _ => None,
        }
    }

    /// The profile's id.
    pub(super) fn profile(&self) -> &str {
        &self.id
    }

    /// Fetches the event that triggered the run, as far as it is still kept.
    pub(super) fn read_event(&mut self, reader: &JournalReader) {
        self.event = event_of(reader, self.run);
    }

    pub(super) fn person<'a>(&'a self, folded: &'a Folded) -> Person<'a> {
        let Self { id, known, identifiers, .. } = self;
        Person { id, known: *known, folded, identifiers }
    }

    fn facts<'a>(&'a self, event_id: &'a str) -> Option<EventFacts<'a>> {
        let event = self.event.as_deref()?;
        Some(facts(event, (self.run, event_id, self.fragment)))
    }
}

/// What conditions and fields may know of an event.
pub(super) fn facts<'a>(
    event: &'a Event,
    (sequence, id, fragment): (Sequence, &'a str, FragmentIndex),
) -> EventFacts<'a> {
    let properties = match &event.payload {
        Payload::Json(bytes) => std::str::from_utf8(bytes).unwrap_or(""),
        Payload::Opaque(_) => "",
    };
    EventFacts {
        sequence,
        id,
        kind: &event.kind,
        source: &event.source,
        session: event.session.as_deref(),
        occurred_at: event.occurred_at,
        properties,
        fragment,
    }
}

/// An event of the journal, where it is still kept and can be read.
pub(super) fn event_of(reader: &JournalReader, sequence: Sequence) -> Option<Box<Event>> {
    let record = reader.read(sequence).ok()?.filter(|record| record.kind == kind::EVENT)?;
    decode_event(record.version, &record.bytes).ok().map(Box::new)
}

/// A profile's answer to a question, from its fragments. A draft has nothing at rest.
pub(super) fn told(
    question: &Question,
    fragments: &[(FragmentIndex, &Fragment)],
    set_values: u32,
    (rest, reader): (Option<&Rest>, &JournalReader),
) -> Result<Told, RowError> {
    let folded = Folded::new(fragments.iter().map(|(_, one)| *one), set_values);
    let mut recent = Vec::new();
    for (index, fragment) in fragments.iter().filter(|(one, _)| question.stale.contains(one)) {
        let timeline = &fragment.timeline;
        let mut sequences: Vec<Sequence> = timeline.newest_first().collect();
        if let Some(rest) = rest {
            for number in 0..timeline.saved {
                sequences.extend(rest.chunk(*index, number)?.iter());
            }
        }
        sequences.extend(timeline.late.iter().copied());
        let events = sequences.into_iter().filter_map(|sequence| event_of(reader, sequence));
        recent.push((*index, events.map(|event| (event.kind, event.occurred_at)).collect()));
    }
    Ok(Told { folded, recent })
}

impl Core {
    /// The campaigns in force.
    pub(super) fn compiled_campaigns(&self) -> &Arc<Campaigns> {
        &self.effective.compiled.campaigns
    }

    /// Whether a campaign rests for now.
    pub(super) fn is_paused(&self, id: &str) -> bool {
        let found = self.compiled_campaigns().get(id);
        found.is_some_and(|one| one.standing == campaign::Standing::Paused)
    }

    /// The key of a fragment in records.
    pub(super) fn fragment_key(&self, fragment: FragmentIndex) -> FragmentKey {
        let birth = self.graph.birth(fragment);
        (birth.sequence, birth.generation)
    }

    /// The profile that holds the fragment of that key now.
    pub(super) fn lead_of_key(&self, (sequence, generation): FragmentKey) -> Option<FragmentIndex> {
        self.graph.living_lead(self.graph.born_of(sequence, generation)?)
    }

    fn question(&self, lead: FragmentIndex, now: Timestamp, because: Because) -> Question {
        let view = self.graph.view(lead, false);
        let fragments: Vec<FragmentIndex> = view.fragments.iter().map(|(one, _)| *one).collect();
        let counted = self.compiled_campaigns().counted();
        let is_stale = |fragment: &FragmentIndex| match self.campaigns.runs.get(fragment) {
            Some(runs) => !runs.counts.is_current(counted),
            None => !FragmentRuns::default().counts.is_current(counted),
        };
        let stale = fragments.iter().copied().filter(is_stale).collect();
        Question {
            sequence: self.applied,
            now,
            lead,
            id: self.fragment_id(lead).to_string(),
            known: view.known,
            identifiers: view.identifiers,
            fragments,
            stale,
            event: None,
            run: 0,
            event_id: Uuid::nil(),
            began_at: now,
            fragment: lead,
            because,
        }
    }

    /// What an event that was just placed asks of its profile; nothing, where no campaign cares.
    pub(super) fn question_of_event(
        &self,
        sequence: Sequence,
        event: &Event,
        placement: &Placement,
    ) -> Option<Question> {
        let campaigns = self.compiled_campaigns();
        let concerns = campaigns.concern(&event.kind) || campaigns.counted().counts(&event.kind);
        let (Some(fragment), Some(lead)) = (placement.fragment, placement.profile) else {
            return None;
        };
        if !concerns || matches!(event.standing, Standing::Quarantined(_)) {
            return None;
        }
        Some(Question {
            sequence,
            event: Some(Box::new(event.clone())),
            run: sequence,
            event_id: self.event_id(sequence, event.received_at),
            began_at: event.received_at,
            fragment,
            ..self.question(lead, event.received_at, Because::Event)
        })
    }

    /// What a profile is asked before a delivery is tried; nothing, where nobody has it any more.
    pub(super) fn question_of_attempt(&self, number: u64, now: Timestamp) -> Option<Question> {
        let delivery = self.campaigns.outbox.get(number)?;
        let lead = self.lead_of_key(delivery.fragment())?;
        let because = Because::Attempt { endpoint: delivery.endpoint, delivery: number };
        Some(Question {
            run: delivery.run,
            event_id: self.event_id(delivery.run, delivery.began_at),
            began_at: delivery.began_at,
            ..self.question(lead, now, because)
        })
    }

    /// Draws the consequences of an event or a timer, now that the profile has told how it is.
    ///
    /// # Errors
    /// When what is to be sent is larger than a row may be.
    pub(super) fn decide(
        &mut self,
        question: &Question,
        told: &mut Told,
    ) -> Result<(), RecordError> {
        self.count(question, std::mem::take(&mut told.recent));
        let decisions = self.decisions(question, &told.folded);
        self.carry_out(question, decisions)
    }

    /// What campaigns decide because of an event or a timer that is counted already.
    pub(super) fn decisions(&self, question: &Question, folded: &Folded) -> Vec<Decision> {
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
    pub(super) fn judged(
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
    pub(super) fn carry_out(
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
    pub(super) fn recheck(&self, number: u64, question: &Question, told: &Told) -> Option<Recheck> {
        let outbox = &self.campaigns.outbox;
        let delivery = outbox.get(number)?;
        let (campaign, step) = outbox.endpoint(delivery.endpoint);
        let campaigns = self.compiled_campaigns();
        let runs = self.runs_as_told(question, told);
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            runs.iter().map(|(one, runs)| (*one, runs)).collect();
        let pending =
            Pending { campaign, step, run: delivery.run, enqueued_at: delivery.enqueued_at };
        let event_id = question.event_id.to_string();
        let event = question.facts(&event_id);
        let person = question.person(&told.folded);
        Some(campaigns.recheck(pending, &person, event.as_ref(), &fragments, question.now))
    }

    /// Whether the audience of a delivery's campaign depends on the event.
    pub(super) fn audience_reads_event(&self, number: u64) -> bool {
        let outbox = &self.campaigns.outbox;
        let campaign = outbox.get(number).map(|one| outbox.endpoint(one.endpoint).0);
        let campaign = campaign.and_then(|id| self.compiled_campaigns().get(id));
        campaign.is_some_and(campaign::Campaign::audience_reads_event)
    }

    /// What the same profile has to be sent over the same endpoint before this, where there is such.
    pub(super) fn earlier(&self, number: u64, delivery: &Delivery) -> Option<u64> {
        let lead = self.lead_of_key(delivery.fragment())?;
        let outbox = &self.campaigns.outbox;
        let fragments = self.graph.fragments_of(lead).into_iter();
        let heads =
            fragments.filter_map(|one| outbox.head(delivery.endpoint, self.fragment_key(one)));
        heads.min().filter(|first| *first < number)
    }

    /// The id under which a delivery is sent.
    pub(super) fn webhook_id(&self, delivery: &Delivery) -> String {
        let (campaign, step) = self.campaigns.outbox.endpoint(delivery.endpoint);
        let event_id = self.event_id(delivery.run, delivery.began_at);
        webhook_id(&event_id.to_string(), campaign, step)
    }

    /// What is asked of a profile to try a campaign with it.
    pub(super) fn question_of_trial(&self, lead: FragmentIndex, now: Timestamp) -> Question {
        self.question(lead, now, Because::Trial)
    }

    /// What campaigns left on a profile's fragments, its counts brought up to date.
    pub(super) fn runs_as_told(
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
    pub(super) fn count(&mut self, question: &Question, recent: Vec<Recent>) {
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
                let number = (question.sequence << 16) | *place;
                *place += 1;
                self.enqueue(question, campaigns, number, *enqueued)?;
            }
            Decision::Ended { campaign, run, how, .. } => {
                let state = if how == campaign::Ended::Done { "done" } else { "ended" };
                self.campaigns.retell(&campaign, run, state, Some(how.to_string()));
            }
            Decision::Cancel { campaign } => {
                let keys: Vec<FragmentKey> =
                    question.fragments.iter().map(|one| self.fragment_key(*one)).collect();
                let outbox = &mut self.campaigns.outbox;
                let pending: Vec<u64> =
                    keys.into_iter().flat_map(|key| outbox.pending_of(&campaign, key)).collect();
                for number in pending {
                    outbox.cancel(number, "the exit was reached");
                }
            }
            Decision::Declined { campaign, why } => {
                let reason = match why {
                    Held::Running => "a run is under way".to_owned(),
                    Held::Until(at) => format!("the run before stopped too lately; again at {at}"),
                    Held::Once => "it had its run, and never restarts".to_owned(),
                    Held::Audience => "the profile is not in the audience".to_owned(),
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
        let Enqueued { campaign, step, fragment, run, webhook_id: _, rendered } = enqueued;
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
            run,
            began_at: question.began_at,
            at: question.now,
            rendered,
        };
        self.campaigns.outbox.enqueue(number, new)
    }

    /// Takes an act in that is about campaigns.
    pub(super) fn campaign_act(&mut self, act: ActRecord) -> Acted {
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

    fn attempted(&mut self, number: u64, attempt: &Attempt) {
        let key = self.genesis.id_key;
        let id = |one: &Delivery, (campaign, step): &EndpointKey| {
            let (sequence, received_at) = (one.run, one.began_at);
            let parts = IdParts { received_at, sequence, generation: 0 };
            webhook_id(&key.mint(IdKind::Event, parts).to_string(), campaign, *step)
        };
        let outbox = &mut self.campaigns.outbox;
        // It came out of a record of the same limit, in which it was not alone.
        let verdict = outbox.attempted(number, attempt, id).unwrap_or_default();
        if let (Some(Verdict::Disable), Some(one)) = (verdict, outbox.get(number)) {
            let status = attempt.status.unwrap_or(410);
            let reason = format!("the receiver answered {status}: it wants no more");
            let (campaign, step) = outbox.endpoint(one.endpoint);
            let key = (Box::from(campaign), step);
            self.campaigns.disabled.insert(key, Disabled { at: attempt.at, reason });
            self.campaigns.is_disabled_fresh = true;
        }
    }

    fn question_of_timer(
        &self,
        at: Timestamp,
        campaign: String,
        key: FragmentKey,
        run: Sequence,
    ) -> Option<Question> {
        let lead = self.lead_of_key(key)?;
        let waits = |fragment: &FragmentIndex| {
            let runs = self.campaigns.runs.get(fragment)?;
            let waiting = runs.state(&campaign).run.filter(|one| one.sequence == run)?;
            Some((*fragment, waiting))
        };
        let (fragment, waiting) = self.graph.fragments_of(lead).iter().find_map(waits)?;
        Some(Question {
            run,
            event_id: self.event_id(run, waiting.began_at),
            began_at: waiting.began_at,
            fragment,
            ..self.question(lead, at, Because::Timer { campaign, key })
        })
    }

    /// An event found its fragment after the fact: what is counted there is told anew.
    pub(super) fn recount(&mut self, fragment: Option<FragmentIndex>) {
        let Some(fragment) = fragment else { return };
        if let Some(runs) = self.campaigns.runs.get_mut(&fragment) {
            runs.counts = campaign::RecentCounts::default();
            self.campaigns.fresh_runs.insert(fragment);
        }
    }

    /// After a re-resolution: what campaigns left on a fragment that holds nothing any more goes to
    /// the profile that it leads to, and what is counted is told anew.
    pub(super) fn relocate_runs(&mut self) {
        let holders: BTreeSet<FragmentIndex> = self.graph.holders().into_iter().collect();
        let all = std::mem::take(&mut self.campaigns.runs);
        self.campaigns.timers.clear();
        for (fragment, mut runs) in all {
            runs.counts = campaign::RecentCounts::default();
            self.campaigns.fresh_runs.insert(fragment);
            let target = match holders.contains(&fragment) {
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

    /// Removes what campaigns know of these fragments; answers how many deliveries were still to be
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
