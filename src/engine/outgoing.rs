//! What operators see of campaigns and do about them, as the HTTP layer calls it.

use super::acts::Answer;
use super::background;
use super::campaigns::{Question, Told, event_of, facts};
use super::objects::ObjectRefusal;
use super::profile::Op;
use super::reading::{PageRequest, Paged, paged};
use super::{Engine, Refusal};
use crate::domain::campaign::{
    Campaign, Campaigns, EventFacts, FragmentRuns, Preview, Rendered, Restart, webhook_id,
};
use crate::domain::event::Event;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::{IdKind, Sequence};
use crate::domain::time::Timestamp;
use crate::domain::view::{BacktestView, DisabledView, ResponseView, RunView};
use crate::outbound::attempt::Attempt as Prepared;
use crate::records::{ActRecord, decode_event, kind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Events that a backtest judges at most; of a longer time, the latest.
const BACKTEST_EVENTS: usize = 100_000;

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
    campaigns: Arc<Campaigns>,
    question: Box<Question>,
    told: Told,
    runs: Vec<(FragmentIndex, FragmentRuns)>,
}

impl Subject {
    fn preview(&self, campaign: &str, event: &EventFacts<'_>, now: Timestamp) -> Option<Preview> {
        let fragments: Vec<(FragmentIndex, &FragmentRuns)> =
            self.runs.iter().map(|(one, runs)| (*one, runs)).collect();
        let person = self.question.person(&self.told.folded);
        self.campaigns.preview(campaign, &person, event, &fragments, now)
    }
}

impl Engine {
    /// What became of a campaign's triggers, newest first; `None` without such a campaign.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn campaign_runs(
        &self,
        id: String,
        page: PageRequest,
    ) -> Result<Option<Paged<RunView>>, Refusal> {
        self.ask(move |identity, _| {
            let core = &identity.core;
            core.compiled_campaigns().get(&id)?;
            let before = page.before.unwrap_or(Sequence::MAX);
            let rows = core.campaigns.told(&id, before).take(page.limit + 1);
            let view = |(sequence, row): (Sequence, &super::campaign_state::RunRow)| RunView {
                sequence,
                profile_id: core
                    .lead_of_key(row.fragment)
                    .map(|lead| core.fragment_id(lead).to_string()),
                event_id: Uuid::from_u128(row.event_id).to_string(),
                at: row.began_at.to_string(),
                state: row.state.clone(),
                reason: row.reason.clone(),
            };
            Some(paged(rows.map(view).collect(), page.limit, |view| view.sequence))
        })
        .await
    }

    /// Which endpoints of a campaign are not called any more, and why.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn disabled_endpoints(&self, id: String) -> Result<Vec<DisabledView>, Refusal> {
        self.ask(move |identity, _| {
            let all = identity.core.campaigns.disabled.iter();
            let own = all.filter(|((campaign, _), _)| **campaign == *id);
            own.map(|((_, step), why)| DisabledView {
                step: *step,
                at: why.at.to_string(),
                reason: why.reason.clone(),
            })
            .collect()
        })
        .await
    }

    /// Has a campaign's endpoints called again that were disabled; answers how many.
    ///
    /// # Errors
    /// When there is no such campaign, or the engine takes nothing.
    pub async fn enable_campaign(&self, id: String) -> Result<usize, ObjectRefusal> {
        if self.effective()?.compiled.campaigns.get(&id).is_none() {
            return Err(ObjectRefusal::NotFound);
        }
        let at = self.running()?.shared.clock.now();
        match self.act(ActRecord::EnableCampaign { at, campaign: id }).await? {
            Answer::Reprocessed(count) => Ok(count),
            _ => Ok(0),
        }
    }

    async fn subject(&self, lead: FragmentIndex) -> Result<Option<Subject>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let campaigns = self.ask(move |identity, context| {
            let now = identity.shared.clock.now();
            let lead = identity.core.graph.living_lead(lead)?;
            let question = Box::new(identity.core.question_of_trial(lead, now));
            let set_values = identity.core.graph.rules().limits.set_values;
            identity.tell_awake(lead, Op::Tell(question, set_values, Some(reply)), context);
            Some(Arc::clone(identity.core.compiled_campaigns()))
        });
        let Some(campaigns) = campaigns.await? else { return Ok(None) };
        let (question, told) = answer.await?;
        let subject = self.ask(move |identity, _| {
            let runs = identity.core.runs_as_told(&question, &told);
            Subject { campaigns, question, told, runs }
        });
        Ok(Some(subject.await?))
    }

    /// The event of a trial: one that there was, or one that is only imagined.
    async fn trial_event(&self, trial: TrialEvent) -> Result<(String, Event), ObjectRefusal> {
        let invalid = |why: &str| ObjectRefusal::Invalid(vec![why.to_owned()]);
        if let Some(id) = trial.id {
            let shared = &self.running()?.shared;
            let parts = shared.genesis.id_key.read(IdKind::Event, &id);
            let event = parts.and_then(|parts| event_of(&shared.reader, parts.sequence));
            return Ok((id, *event.ok_or(ObjectRefusal::NotFound)?));
        }
        let (Some(kind), Some(source)) = (trial.kind, trial.source) else {
            return Err(invalid("event: expected an id, or a type and a source"));
        };
        let kind = crate::domain::extract::event_type(&kind)
            .ok_or_else(|| invalid("event.type: expected an event type"))?;
        let json = Value::Object(trial.properties.unwrap_or_default()).to_string();
        let now = self.running()?.shared.clock.now();
        let event = Event::imagined(&kind, &source, json, now);
        Ok(("00000000-0000-0000-0000-000000000000".to_owned(), event))
    }

    /// What a campaign would do, with the requests that it would make; and the profile's id.
    ///
    /// # Errors
    /// When there is no such campaign, profile or event.
    pub async fn preview_campaign(&self, id: &str, trial: Trial) -> Result<Preview, ObjectRefusal> {
        let (event_id, event) = self.trial_event(trial.event).await?;
        let profile = trial.profile;
        let lead = self.ask(move |identity, _| identity.core.profile_of_id(&profile)).await?;
        let subject = self.subject(lead.ok_or(ObjectRefusal::NotFound)?).await?;
        let subject = subject.ok_or(ObjectRefusal::NotFound)?;
        let facts = facts(&event, (0, &event_id, subject.question.lead));
        let now = self.running()?.shared.clock.now();
        subject.preview(id, &facts, now).ok_or(ObjectRefusal::NotFound)
    }

    /// Makes the requests that a campaign would make, marked as a test; nothing is kept of it.
    ///
    /// # Errors
    /// When there is no such campaign, profile or event.
    pub async fn test_campaign(
        &self,
        id: &str,
        trial: Trial,
    ) -> Result<Vec<ResponseView>, ObjectRefusal> {
        let name = trial.event.id.clone().unwrap_or_default();
        let preview = self.preview_campaign(id, trial).await?;
        let campaigns = Arc::clone(&self.effective()?.compiled.campaigns);
        let sending = self.ask(|identity, _| {
            let sending = &identity.sending;
            (Arc::clone(&sending.client), identity.shared.secrets.clone())
        });
        let (client, secrets) = sending.await?;
        let at = self.running()?.shared.clock.now();
        let mut responses = Vec::new();
        for request in preview.requests {
            let campaign = campaigns.get(id);
            let Some(webhook) = campaign.and_then(|one| one.webhook(request.step)) else {
                continue;
            };
            let rendered = Rendered { url: request.url, body: request.body };
            let webhook_id =
                format!("test_{}", webhook_id(&format!("{name}{at}"), id, request.step));
            let attempt = Prepared {
                rendered: &rendered,
                webhook_id: &webhook_id,
                number: 1,
                at,
                is_test: true,
            };
            let call = match attempt.prepare(webhook, &|name| secrets.find(name)) {
                Ok(call) => call,
                Err(error) => {
                    responses.push(ResponseView::failed(error.to_string()));
                    continue;
                }
            };
            responses.push(match client.call(&format!("test {id}"), &call).await {
                Ok(answer) => ResponseView {
                    status: Some(answer.status),
                    took_ms: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
                    body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
                    error: None,
                },
                Err(error) => ResponseView::failed(error.to_string()),
            });
        }
        Ok(responses)
    }

    /// What a campaign would have done over the last `days`, had it been live: its triggers are
    /// judged by the profiles as they are today.
    ///
    /// # Errors
    /// When there is no such campaign, or the journal cannot be read.
    pub async fn backtest_campaign(
        &self,
        id: &str,
        days: u32,
    ) -> Result<BacktestView, ObjectRefusal> {
        let campaigns = Arc::clone(&self.effective()?.compiled.campaigns);
        let campaign = campaigns.get(id).ok_or(ObjectRefusal::NotFound)?;
        let since = self.running()?.shared.clock.now().plus_ms(-i64::from(days) * 86_400_000);
        let (events, is_whole) = self.triggers_since(campaign, since).await?;
        let mut view =
            BacktestView { days, is_whole, events: events.len(), ..BacktestView::default() };
        let mut subjects: HashMap<FragmentIndex, Subject> = HashMap::new();
        let mut stopped: HashMap<FragmentIndex, Timestamp> = HashMap::new();
        let mut minutes: BTreeMap<i64, usize> = BTreeMap::new();
        for (sequence, event) in events {
            let place = self.ask(move |identity, _| {
                let event = identity.core.as_it_reads_now(sequence, event);
                (identity.core.locate(sequence, &event), event)
            });
            let (Some(lead), event) = place.await? else { continue };
            let subject = match subjects.entry(lead) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let Some(mut subject) = self.subject(lead).await? else { continue };
                    for (_, runs) in &mut subject.runs {
                        // As if it had never been live.
                        runs.set(id, crate::domain::campaign::CampaignState::default());
                    }
                    entry.insert(subject)
                }
            };
            let now = event.received_at;
            let held = stopped.get(&lead).is_some_and(|before| match campaign.restart {
                Restart::AtOnce => false,
                Restart::Never => true,
                Restart::After(ms) => now < before.plus_ms(ms),
            });
            let facts = facts(&event, (sequence, "", lead));
            let Some(preview) = subject.preview(id, &facts, now) else { continue };
            let failed =
                preview.rules.iter().find(|rule| !rule.holds).map(|rule| rule.rule.clone());
            match failed.or(held.then(|| "the restart time is over".to_owned())) {
                Some(rule) => *view.turned_away.entry(rule).or_default() += 1,
                None => {
                    stopped.insert(lead, now);
                    view.calls += preview.requests.len();
                    *minutes.entry(now.0.div_euclid(60_000)).or_default() += preview.requests.len();
                }
            }
        }
        view.profiles = stopped.len();
        view.peak_a_minute = minutes.into_values().max().unwrap_or(0);
        Ok(view)
    }

    /// The events since then of the types and sources that trigger a campaign, the oldest first, and
    /// whether these are all.
    async fn triggers_since(
        &self,
        campaign: &Campaign,
        since: Timestamp,
    ) -> Result<(Vec<(Sequence, Box<Event>)>, bool), Refusal> {
        let (reader, campaign) = (self.running()?.shared.reader.clone(), campaign.clone());
        let scan = move || {
            let mut found: Vec<(Sequence, Box<Event>)> = Vec::new();
            for record in reader.scan_back(Sequence::MAX) {
                let (sequence, record) = record.map_err(|_| Refusal::StorageFailed)?;
                if record.kind != kind::EVENT {
                    continue;
                }
                let event = decode_event(record.version, &record.bytes);
                let event = event.map_err(|_| Refusal::StorageFailed)?;
                if event.received_at < since || found.len() >= BACKTEST_EVENTS {
                    found.reverse();
                    return Ok((found, event.received_at < since));
                }
                if campaign.is_triggered_by(&event.kind, &event.source) {
                    found.push((sequence, Box::new(event)));
                }
            }
            found.reverse();
            Ok((found, true))
        };
        background::run("backtest", scan).await?
    }
}
