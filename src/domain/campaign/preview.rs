//! What would happen if: every rule with what it sees, and the exact requests.

use crate::domain::campaign::compile::Campaigns;
use crate::domain::campaign::condition::{Facts, RuleReport};
use crate::domain::campaign::model::{Campaign, EventFilter, Method, Step};
use crate::domain::campaign::run::{Fragments, Held};
use crate::domain::campaign::state::{CampaignState, Moment};
use crate::domain::campaign::{EventFacts, Person};
use crate::domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What would happen to a profile because of an event, real or imagined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Whether a run would begin and call.
    pub fires: bool,
    /// The time as of which the profile is judged.
    pub judged_at: String,
    /// Every rule, in the order in which they are judged.
    pub rules: Vec<RuleReport>,
    /// The calls of all steps, waits left out; none when it does not fire.
    pub requests: Vec<PreviewRequest>,
}

/// A request as it would be sent, with secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewRequest {
    /// The step, from 0.
    #[serde(skip)]
    pub step: u16,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// With the fields of a GET.
    pub url: String,
    /// Those that the campaign sets, and the content type.
    pub headers: BTreeMap<String, String>,
    /// The JSON of a POST.
    pub body: Option<String>,
}

impl Campaigns {
    /// What `campaign`, whatever its state, would do with a profile because of an event.
    ///
    /// The profile is shown as it would be after the event; `fragments` are the profile's, `now` is
    /// when the event would be received. `None` when there is no such campaign.
    pub fn preview(
        &self,
        campaign: &str,
        person: &Person<'_>,
        event: &EventFacts<'_>,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Option<Preview> {
        let campaign = self.get(campaign)?;
        let values = self.values(Some(event));
        let reach = self.reach();
        let moment = self.moment(event, now);
        let facts = self.facts((person, &values, fragments), moment.at, &reach);
        let mut rules = campaign.trigger.report(event, &facts);
        if let Some(known) = campaign.audience.known {
            rules.push(RuleReport {
                rule: format!("profile known {known}"),
                seen: Value::Bool(person.known),
                holds: known == person.known,
                bounded: None,
            });
        }
        rules.extend(campaign.audience.conditions.iter().map(|one| one.report(&facts)));
        rules.push(campaign.report_start(moment, fragments, now));
        let requests = campaign.requests(person, event, &mut rules);
        let fires = rules.iter().all(|rule| rule.holds);
        let requests = if fires { requests } else { Vec::new() };
        Some(Preview { fires, judged_at: now.to_string(), rules, requests })
    }
}

impl Campaigns {
    /// Whether a run of the campaign may begin for the profile of these fragments, beside what its
    /// trigger and audience say. `None` when there is no such campaign.
    pub fn may_begin(
        &self,
        campaign: &str,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> Option<RuleReport> {
        let campaign = self.get(campaign)?;
        let state = campaign.state_of(fragments);
        Some(report_held(campaign.held(state, now).as_ref(), state))
    }
}

impl EventFilter {
    fn report(&self, event: &EventFacts<'_>, facts: &Facts<'_>) -> Vec<RuleReport> {
        let named = |what: &str, wanted, seen: &str, holds| RuleReport {
            rule: format!("{what} {}", Self::spelt(wanted)),
            seen: Value::String(seen.to_owned()),
            holds,
            bounded: None,
        };
        let mut rules = Vec::with_capacity(2 + self.conditions.len());
        let (kinds, sources) = (self.kinds.as_ref(), self.sources.as_ref());
        let holds = kinds.is_none_or(|kinds| kinds.contains(event.kind));
        rules.push(named("event type", kinds, event.kind, holds));
        if let Some(all) = sources {
            rules.push(named("source", sources, event.source, all.contains(event.source)));
        }
        rules.extend(self.conditions.iter().map(|one| one.report(facts)));
        rules
    }
}

impl Campaign {
    fn state_of(&self, fragments: &Fragments<'_>) -> CampaignState {
        let states = fragments.iter().map(|(_, runs)| runs.state(&self.id));
        states.fold(CampaignState::default(), CampaignState::join)
    }

    fn report_start(
        &self,
        trigger: Moment,
        fragments: &Fragments<'_>,
        now: Timestamp,
    ) -> RuleReport {
        let state = self.state_of(fragments);
        match self.missed(trigger, fragments, now) {
            Some(missed) => {
                let seen = match missed {
                    Held::Exited => Some(state.exited.at).filter(|at| *at != Moment::UNKNOWN),
                    _ => Some(trigger.at),
                };
                let seen = seen.map_or(Value::Null, |at| Value::String(at.to_string()));
                RuleReport { seen, ..report_held(Some(&missed), state) }
            }
            None => report_held(self.held(state, trigger.at).as_ref(), state),
        }
    }

    fn requests(
        &self,
        person: &Person<'_>,
        event: &EventFacts<'_>,
        rules: &mut Vec<RuleReport>,
    ) -> Vec<PreviewRequest> {
        let mut requests = Vec::new();
        for (place, step) in (0u16..).zip(&self.steps) {
            let Step::Webhook(webhook) = step else { continue };
            let rendered = match webhook.render(person, Some(event)) {
                Ok(rendered) => rendered,
                Err(unsendable) => {
                    rules.push(RuleReport {
                        rule: format!("step {place} can be sent"),
                        seen: Value::String(unsendable.to_string()),
                        holds: false,
                        bounded: None,
                    });
                    continue;
                }
            };
            let mut headers = BTreeMap::new();
            if webhook.method == Method::Post {
                headers.insert("content-type".to_owned(), "application/json".to_owned());
            }
            let own = webhook.headers.iter();
            headers
                .extend(own.map(|(name, value)| (name.to_string(), value.masked(name).to_owned())));
            requests.push(PreviewRequest {
                step: place,
                method: webhook.method.name(),
                url: rendered.url,
                headers,
                body: rendered.body,
            });
        }
        requests
    }
}

/// Whether a run may begin, beside what trigger and audience say.
fn report_held(held: Option<&Held>, state: CampaignState) -> RuleReport {
    let rule = match held {
        None | Some(Held::Audience) => "a run may begin",
        Some(Held::Running) => "no run is under way",
        Some(Held::Once) => "no run before, as it never restarts",
        Some(Held::Until(_)) => "no run before its restart time",
        Some(Held::Exited) => "no exit event occurred at or after it",
        Some(Held::TooOld) => "it occurred no longer ago than max_age",
    };
    let seen = match held {
        Some(Held::Until(again)) => Some(*again),
        _ => state.stopped_at,
    };
    let seen = seen.map_or(Value::Null, |at| Value::String(at.to_string()));
    RuleReport { rule: rule.to_owned(), seen, holds: held.is_none(), bounded: None }
}
