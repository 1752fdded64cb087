//! Trying campaigns out: what one would do, what it would have done, and why it did or did not fire.

use crate::domain::campaign::{Counted, FragmentRuns, Preview, RuleReport, Standing};
use crate::domain::event::{Event, Found, Payload};
use crate::domain::facts::RequestFacts;
use crate::domain::fragment::Fragment;
use crate::domain::graph::{FragmentIndex, IdentifierStatus, Shown};
use crate::domain::id::{IdKind, Sequence};
use crate::domain::profile::Folded;
use crate::domain::rules::Rules;
use crate::domain::time::{MIN, Timestamp};
use crate::domain::view::{BacktestView, DecisionView, ExplainedView, OutcomeView};
use crate::domain::{json, names};
use crate::engine::api::objects::ObjectRefusal;
use crate::engine::background;
use crate::engine::handle::Engine;
use crate::engine::history::asides::{ReplayError, reading};
use crate::engine::history::campaign_play::{Judged, Playing};
use crate::engine::history::draft::Draft;
use crate::engine::profile::message::Op;
use crate::engine::receipt::Refusal;
use crate::engine::state::campaigns::question::{Question, Told, facts};
use crate::engine::store::events::EventError;
use crate::journal::FIRST_SEQUENCE;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Decisions that an explanation shows: the latest.
const DECISIONS: usize = 10;

/// An event to try a campaign with.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialEvent {
    /// One that there was.
    pub id: Option<String>,
    /// Or one that is only imagined: its type,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// its source,
    pub source: Option<String>,
    /// and its properties.
    pub properties: Option<serde_json::Map<String, Value>>,
}

/// Whom and what to try a campaign with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Any id that the person ever had.
    pub profile: String,
    /// The event.
    pub event: TrialEvent,
}

/// A profile as a campaign would see it.
struct Subject {
    question: Box<Question>,
    told: Told,
    runs: Vec<(FragmentIndex, FragmentRuns)>,
    /// The record that made its oldest fragment: of several that become one, the oldest's id stays.
    born: Sequence,
    rules: Arc<Rules>,
}

impl Subject {
    /// As if the two were one person.
    fn join(&mut self, other: Self) {
        if other.born < self.born {
            self.question.id.clone_from(&other.question.id);
            self.born = other.born;
        }
        let set_values = self.rules.limits.set_values;
        self.told.folded.join(&other.told.folded, set_values);
        self.question.known |= other.question.known;
        self.question.identifiers.extend(other.question.identifiers);
        self.runs.extend(other.runs);
    }

    /// As if the event had come: its traits, counts and identifiers are the profile's.
    fn imagine(&mut self, event: &Event, counted: &Counted) {
        let set_values = self.rules.limits.set_values;
        let mut fragment = Fragment::default();
        fragment.apply(0, event, 0, &self.rules);
        let folded = Folded::new(std::iter::once(&fragment), set_values);
        self.told.folded.join(&folded, set_values);
        for found in event.external.iter().chain(&event.identifiers) {
            self.identify(found, event.occurred_at);
        }
        if let Some((_, runs)) = self.runs.first_mut() {
            runs.counts.feed(counted, &event.kind, event.occurred_at);
        }
    }

    fn identify(&mut self, found: &Found, at: Timestamp) {
        self.question.known |= self.rules.of(&found.kind).known;
        let all = &mut self.question.identifiers;
        let same = |one: &&mut Shown| one.kind == *found.kind && one.value == *found.value;
        match all.iter_mut().find(same) {
            Some(known) => known.last_seen = known.last_seen.max(at),
            None => all.push(Shown {
                kind: found.kind.to_string(),
                value: found.value.to_string(),
                raw: found.value.to_string(),
                first_seen: at,
                last_seen: at,
                status: IdentifierStatus::Effective,
            }),
        }
    }
}

/// A profile's past: who it is now, its events in order, and whether these are all. They are read
/// one by one when they are played: together they may be more than memory holds.
struct Past {
    profile: String,
    sequences: Vec<Sequence>,
    is_whole: bool,
    /// Events up to here are read again under the points in force.
    resolved_to: Sequence,
}

impl Engine {
    async fn subject(&self, lead: FragmentIndex) -> Result<Option<Subject>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let found = self.ask(move |identity, _| {
            let now = identity.shared.clock.now();
            let core = &identity.core;
            let lead = core.graph.living_lead(lead)?;
            let question = Box::new(core.question_of_trial(lead, now));
            let rules = Arc::clone(core.graph.rules());
            let born = core.graph.birth(lead).made_at;
            let set_values = rules.limits.set_values;
            identity.tell_awake(lead, Op::Tell(question, set_values, Some(reply)));
            Some((born, rules))
        });
        let Some((born, rules)) = found.await? else { return Ok(None) };
        let (question, told) = self.heard(answer).await?;
        let subject = self.look(move |identity| {
            let runs = identity.core.runs_as_told(&question, &told);
            Subject { question, told, runs, born, rules }
        });
        Ok(Some(subject.await?))
    }

    /// An event that nobody sent, as its source would have it read.
    fn imagined(&self, trial: TrialEvent) -> Result<Event, ObjectRefusal> {
        let invalid = |why: &str| ObjectRefusal::Invalid(vec![why.to_owned()]);
        let (Some(kind), Some(source)) = (trial.kind, trial.source) else {
            return Err(invalid("event: expected an id, or a type and a source"));
        };
        let kind = names::event_type(&kind)
            .ok_or_else(|| invalid("event.type: expected an event type"))?;
        let text = Value::Object(trial.properties.unwrap_or_default()).to_string();
        json::check(&text).map_err(|_| invalid("event.properties: expected JSON"))?;
        let received_at = self.running()?.shared.clock.now();
        let effective = self.effective()?;
        let Some(known) = effective.compiled.sources.get(source.as_str()) else {
            return Ok(Event::imagined(&kind, &source, text, received_at));
        };
        let facts = RequestFacts {
            event_type: &kind,
            session: None,
            header: &|_| None,
            query: &[],
            received_at,
            batch_index: None,
            is_lossy: false,
            passed_over: &|_| {},
        };
        let payload = Payload::Json(text.into());
        Ok(effective.compiled.extract(known, &facts, payload, &effective.hash_key))
    }

    /// What a campaign would do, with the requests that it would make.
    ///
    /// An event that is only imagined is judged with the profile as it would be behind it, joined
    /// with whoever else owns an identifier in it; limits and links that would keep them apart are
    /// not looked at. One that there was is judged with the profile as it was then.
    ///
    /// # Errors
    /// When there is no such campaign, profile or event.
    pub async fn preview_campaign(
        &self,
        id: &str,
        trial: Trial,
        most: usize,
    ) -> Result<Preview, ObjectRefusal> {
        let campaigns = Arc::clone(&self.effective()?.compiled.campaigns);
        let standing = campaigns.get(id).ok_or(ObjectRefusal::NotFound)?.standing;
        let Trial { profile, event } = trial;
        let lead = self.look(move |identity| identity.core.profile_of_id(&profile)).await?;
        let lead = lead.ok_or(ObjectRefusal::NotFound)?;
        let (event_id, event, is_own) = match event.id.clone() {
            None => (Uuid::nil().to_string(), self.imagined(event)?, false),
            Some(event_id) => {
                let (sequence, event) = self.event_that_was(&event_id).await?;
                let past = self.past(lead, sequence + 1, most).await?;
                let is_own = past.sequences.last() == Some(&sequence);
                if is_own {
                    // A draft has never had a run.
                    let since = if standing == Standing::Draft { event.received_at } else { MIN };
                    let last = self.judged(id, past, since).await?.pop();
                    if let Some(last) = last.filter(|last| last.sequence == sequence) {
                        return Ok(last.preview);
                    }
                }
                // Somebody else's, or of a type that does not trigger.
                (event_id, *event, is_own)
            }
        };
        let mut subject = self.subject(lead).await?.ok_or(ObjectRefusal::NotFound)?;
        if !is_own {
            for other in self.owners(&event, lead).await? {
                if let Some(other) = self.subject(other).await? {
                    subject.join(other);
                }
            }
            subject.imagine(&event, campaigns.counted());
        }
        let facts = facts(&event, (0, &event_id, subject.question.lead));
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            subject.runs.iter().map(|(one, runs)| (*one, runs)).collect();
        let person = subject.question.person(&subject.told.folded);
        let now = self.running()?.shared.clock.now();
        let preview = campaigns.preview(id, &person, &facts, &fragments, now);
        preview.ok_or(ObjectRefusal::NotFound)
    }

    /// An event of the journal that nobody has erased.
    async fn event_that_was(&self, id: &str) -> Result<(Sequence, Box<Event>), ObjectRefusal> {
        let shared = Arc::clone(&self.running()?.shared);
        let parts = shared.genesis.id_key.read(IdKind::Event, id).ok_or(ObjectRefusal::NotFound)?;
        let sequence = parts.sequence;
        let event = shared.events().find(sequence).ok_or(ObjectRefusal::NotFound)?;
        let found = self.look(move |identity| {
            let core = &identity.core;
            (!core.hidden.contains(&sequence)).then(|| core.as_it_reads_now(sequence, event))
        });
        Ok((sequence, found.await?.ok_or(ObjectRefusal::NotFound)?))
    }

    /// Other profiles that own an identifier of the event and would be one with this profile by it.
    async fn owners(
        &self,
        event: &Event,
        lead: FragmentIndex,
    ) -> Result<BTreeSet<FragmentIndex>, Refusal> {
        let found = event.external.iter().chain(&event.identifiers);
        let found: Vec<Found> = found.cloned().collect();
        self.look(move |identity| {
            let graph = &identity.core.graph;
            let own = graph.living_lead(lead);
            let owner = |one: &Found| {
                let node = graph.identifier(&one.kind, &one.value)?;
                graph.lead_of_node(node).filter(|_| !graph.is_hub(node))
            };
            let would_join =
                |other: &FragmentIndex| own.is_some_and(|own| graph.may_join(own, *other));
            found.iter().filter_map(owner).filter(would_join).collect()
        })
        .await
    }

    /// The last `most` events of a profile before a record.
    async fn past(
        &self,
        lead: FragmentIndex,
        before: Sequence,
        most: usize,
    ) -> Result<Past, ObjectRefusal> {
        let (reply, answer) = oneshot::channel();
        let limit = most.saturating_add(1);
        let profile = self.ask(move |identity, _| {
            let lead = identity.core.graph.living_lead(lead)?;
            identity.tell_awake(lead, Op::Timeline { before, limit, only: None, reply });
            Some(identity.core.fragment_id(lead).to_string())
        });
        let profile = profile.await?.ok_or(ObjectRefusal::NotFound)?;
        let mut sequences = self.heard(answer).await?;
        let is_cut = sequences.len() > most;
        sequences.truncate(most);
        sequences.reverse();
        // Retention may have taken some of them; what is left is all that can be played.
        let first = self.running()?.shared.reader.first_sequence();
        let wanted = sequences.len();
        sequences.retain(|sequence| *sequence >= first);
        let is_whole = !is_cut && sequences.len() == wanted;
        if !is_whole {
            self.running()?.shared.metrics.trials_cut.inc();
        }
        let resolved_to = self.look(|identity| identity.core.counters.resolved_to).await?;
        Ok(Past { profile, sequences, is_whole, resolved_to })
    }

    /// How a campaign, were it live since then, would have judged what one profile did.
    async fn judged(
        &self,
        id: &str,
        past: Past,
        since: Timestamp,
    ) -> Result<Vec<Judged>, ObjectRefusal> {
        let compiled = self.effective()?;
        let mut events = self.running()?.shared.events();
        let (basis, reader) = self.stage(id).await?;
        let id = id.to_owned();
        let play = move || -> Result<Vec<Judged>, ReplayError> {
            let mut draft = Draft::new(basis);
            let mut playing = Playing::new(&reader, &id, since).of_profile(&past.profile);
            let mut judged = VecDeque::new();
            for sequence in past.sequences {
                let event = events.read(sequence).map_err(|cause| unread(sequence, cause))?;
                let Some(mut event) = event else { continue };
                if sequence <= past.resolved_to {
                    event = compiled.compiled.reread_points(&event.source, &event);
                }
                let taken = draft.event(sequence, &event);
                let (event, placement) = taken.map_err(|cause| reading(sequence, cause.into()))?;
                let seen = playing.see(&mut draft, sequence, &event, &placement);
                let seen = seen.map_err(|cause| reading(sequence, cause.into()))?;
                if let Some(preview) = seen {
                    judged.push_back(Judged { sequence, event, preview });
                    if judged.len() > DECISIONS {
                        judged.pop_front();
                    }
                }
            }
            Ok(judged.into())
        };
        Ok(background::run("campaign", play).await?.map_err(|error| unplayed(&error))?)
    }

    /// A draft's beginning, with a campaign alone and live.
    async fn stage(
        &self,
        id: &str,
    ) -> Result<(crate::engine::history::basis::Basis, crate::journal::JournalReader), ObjectRefusal>
    {
        let effective = Arc::new(self.effective()?.with_campaign_alone(id)?);
        let basis = self.look(move |identity| identity.core.stage(effective)).await?;
        Ok((basis, self.running()?.shared.reader.clone()))
    }

    /// What a campaign would have done over the last `days`, had it been live since then: the
    /// journal is read from its beginning, or its last `most` records, so that each event meets its
    /// profile as it was.
    ///
    /// # Errors
    /// When there is no such campaign, or the journal cannot be read.
    pub async fn backtest_campaign(
        &self,
        id: &str,
        days: u32,
        most: u64,
    ) -> Result<BacktestView, ObjectRefusal> {
        if self.effective()?.compiled.campaigns.get(id).is_none() {
            return Err(ObjectRefusal::NotFound);
        }
        // Each holds a second state, so there is one at a time.
        let turn = Arc::clone(&self.0.preview).lock_owned().await;
        let (basis, reader) = self.stage(id).await?;
        let shared = Arc::clone(&self.running()?.shared);
        let now = shared.clock.now();
        let since = now.plus_ms(-i64::from(days) * 86_400_000);
        let upto = self.look(|identity| identity.core.applied).await?;
        let first = (upto + 1).saturating_sub(most).max(FIRST_SEQUENCE);
        let is_whole = first <= FIRST_SEQUENCE && reader.first_sequence() <= FIRST_SEQUENCE;
        if !is_whole {
            shared.metrics.trials_cut.inc();
        }
        let id = id.to_owned();
        let play = move || -> Result<BacktestView, ReplayError> {
            let _turn = turn;
            let mut draft = Draft::new(basis);
            draft.begin_at(first);
            let mut playing = Playing::new(&reader, &id, since);
            draft.catch_up_seeing(&reader, upto, &mut |draft, sequence, event, placement| {
                let seen = playing.see(draft, sequence, event, placement);
                seen.map(drop).map_err(|cause| reading(sequence, cause.into()))
            })?;
            playing.fire(&mut draft, now).map_err(|cause| reading(upto, cause.into()))?;
            Ok(playing.view(&mut draft, days, is_whole))
        };
        Ok(background::run("backtest", play).await?.map_err(|error| unplayed(&error))?)
    }

    /// Why a campaign did or did not fire for a profile: how it stands, and how it judged the last
    /// events that could have triggered it. `None` without such a campaign or profile.
    ///
    /// # Errors
    /// When the engine is stopping, or the journal cannot be read.
    pub async fn explain_campaign(
        &self,
        id: &str,
        profile: String,
        most: usize,
    ) -> Result<Option<ExplainedView>, ObjectRefusal> {
        let campaigns = Arc::clone(&self.effective()?.compiled.campaigns);
        let Some(campaign) = campaigns.get(id) else { return Ok(None) };
        let lead = self.look(move |identity| identity.core.profile_of_id(&profile)).await?;
        let Some(lead) = lead else { return Ok(None) };
        let Some(subject) = self.subject(lead).await? else { return Ok(None) };
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            subject.runs.iter().map(|(one, runs)| (*one, runs)).collect();
        let now = self.running()?.shared.clock.now();
        let may_begin = campaigns.may_begin(id, &fragments, now);
        let past = self.past(lead, Sequence::MAX, most).await?;
        let (profile_id, is_whole) = (past.profile.clone(), past.is_whole);
        let judged = self.judged(id, past, MIN).await?;
        let name = id.to_owned();
        let decisions = self.look(move |identity| {
            let core = &identity.core;
            let view = |one: Judged| DecisionView {
                event_id: core.event_id(one.sequence, one.event.received_at).to_string(),
                kind: one.event.kind.to_string(),
                source: one.event.source.to_string(),
                at: one.event.received_at.to_string(),
                outcome: core.campaigns.told_of(&name, one.sequence).map(|row| OutcomeView {
                    state: row.state.name().to_owned(),
                    reason: row.reason.clone(),
                }),
                fires: one.preview.fires,
                rules: one.preview.rules,
            };
            judged.into_iter().rev().map(view).collect::<Vec<DecisionView>>()
        });
        let decisions = decisions.await?;
        Ok(Some(ExplainedView {
            campaign: id.to_owned(),
            profile_id,
            state: standing_name(campaign.standing).to_owned(),
            why: why(campaign.standing, &decisions),
            may_begin,
            decisions,
            is_whole,
        }))
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Draft => "draft",
        Standing::Live => "live",
        Standing::Paused => "paused",
    }
}

/// The last decision in a sentence.
fn why(standing: Standing, decisions: &[DecisionView]) -> String {
    let failed = |rules: &[RuleReport]| {
        rules.iter().find(|rule| !rule.holds).map(|rule| (rule.rule.clone(), rule.seen.to_string()))
    };
    match decisions.first() {
        None => "no event of the profile has the type and source that trigger it".to_owned(),
        Some(DecisionView { outcome: Some(OutcomeView { state, reason }), .. }) => {
            let reason = reason.as_deref().unwrap_or("nothing more is known");
            format!("the last event that could trigger it: {state}, {reason}")
        }
        Some(last) => match (failed(&last.rules), standing) {
            (Some((rule, seen)), _) => format!("did not hold: {rule}; it saw {seen}"),
            (None, Standing::Draft) => "every rule holds, but the campaign is a draft".to_owned(),
            (None, Standing::Paused) => "every rule holds, but the campaign is paused".to_owned(),
            (None, Standing::Live) => {
                "every rule holds, but when the event came the campaign was not live as it is now"
                    .to_owned()
            }
        },
    }
}

fn unread(sequence: Sequence, cause: EventError) -> ReplayError {
    let cause = match cause {
        EventError::Journal(cause) => cause.into(),
        EventError::Record(cause) => cause.into(),
    };
    reading(sequence, cause)
}

/// Something of the past cannot be read: said in the log by place, and refused.
fn unplayed(error: &ReplayError) -> Refusal {
    tracing::error!(%error, "playing a campaign over the past");
    Refusal::StorageFailed
}
