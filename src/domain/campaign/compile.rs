//! Campaigns, checked all at once and compiled, with the index that lets events which concern no
//! campaign cost nothing.

use crate::domain::campaign::builder::Builder;
use crate::domain::campaign::config::{
    AudienceConfig, CampaignConfig, EventConfig, StepConfig, StopConfig,
};
use crate::domain::campaign::counts::Counted;
use crate::domain::campaign::model::Standing;
use crate::domain::campaign::model::{
    Audience, Campaign, Condition, EventFilter, Restart, Step, Webhook,
};
use crate::domain::names::{event_type, is_id};
use crate::domain::path::read::PathSet;
use crate::domain::problem::SettingsProblem;
use crate::domain::spelling;
use crate::domain::time::parse_span;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The most steps of one campaign.
const STEPS: usize = 100;

/// The most webhooks of all campaigns together: one event may enqueue each of them once, and the
/// number of a delivery has so many places for those of one record.
const WEBHOOKS: usize = 1 << 16;

/// All campaigns, compiled.
#[derive(Clone, Debug, Default)]
pub struct Campaigns {
    /// In the order of their ids.
    pub(super) list: Vec<Campaign>,
    /// What conditions read of an event, of all campaigns together: one pass for all of them.
    pub(super) paths: PathSet,
    counted: Counted,
    /// Elements of arrays that a condition looks at, where that is limited.
    pub(super) elements: Option<usize>,
    /// Whether they decide as programs did that went by arrival, and not by event time.
    pub(super) by_arrival: bool,
    /// Live campaigns by the event types that trigger them.
    triggers: Index,
    /// Live and paused campaigns by the event types that end their runs.
    exits: Index,
}

/// Places in the list of campaigns by event type.
#[derive(Clone, Debug, Default)]
struct Index {
    by_type: HashMap<Box<str>, Vec<u32>>,
    every: Vec<u32>,
}

impl Index {
    fn add(&mut self, filter: &EventFilter, place: usize) {
        let place = place as u32; // there are never that many campaigns
        match &filter.kinds {
            Some(kinds) => {
                for kind in kinds {
                    self.by_type.entry(kind.as_str().into()).or_default().push(place);
                }
            }
            None => self.every.push(place),
        }
    }

    /// In the order of the list, each once.
    fn of(&self, kind: &str) -> impl Iterator<Item = usize> {
        let typed = self.by_type.get(kind).map_or(&[][..], Vec::as_slice);
        let mut all: smallvec::SmallVec<[u32; 8]> =
            typed.iter().chain(&self.every).copied().collect();
        all.sort_unstable();
        all.into_iter().map(|place| place as usize)
    }

    fn concerns(&self, kind: &str) -> bool {
        !self.every.is_empty() || self.by_type.contains_key(kind)
    }
}

impl Campaign {
    /// The webhook that a step is.
    pub fn webhook(&self, step: u16) -> Option<&Webhook> {
        match self.steps.get(usize::from(step))? {
            Step::Webhook(webhook) => Some(webhook),
            Step::Wait { .. } => None,
        }
    }

    /// Whether an event of this type and source may trigger it.
    pub fn is_triggered_by(&self, kind: &str, source: &str) -> bool {
        self.trigger.is_of(kind, source)
    }

    /// Whether judging its audience needs the properties of the event that triggered a run.
    pub fn audience_reads_event(&self) -> bool {
        self.audience.conditions.iter().any(Condition::reads_event)
    }
}

impl Campaigns {
    /// Checks and compiles campaigns by id, as they stand in the settings.
    ///
    /// # Errors
    /// Every problem at once, in the order of the ids.
    pub fn compile(settings: &BTreeMap<String, Value>) -> Result<Self, Vec<SettingsProblem>> {
        let mut builder = Builder::default();
        let mut list = Vec::with_capacity(settings.len());
        for (id, value) in settings {
            list.extend(builder.campaign(id, value));
        }
        let webhooks = |one: &Campaign| {
            one.steps.iter().filter(|step| matches!(step, Step::Webhook(_))).count()
        };
        let count: usize = list.iter().map(webhooks).sum();
        if count > WEBHOOKS {
            let sentence = format!(
                "expected at most {WEBHOOKS} webhooks in all campaigns together, found {count}"
            );
            builder.problem("campaign", sentence);
        }
        if !builder.problems.is_empty() {
            return Err(builder.problems);
        }
        let mut compiled =
            Self { list, paths: builder.paths, counted: builder.counted, ..Self::default() };
        for (place, campaign) in compiled.list.iter().enumerate() {
            if campaign.standing == Standing::Live {
                compiled.triggers.add(&campaign.trigger, place);
            }
            if let Some(exit) =
                campaign.exit.as_ref().filter(|_| campaign.standing != Standing::Draft)
            {
                compiled.exits.add(exit, place);
            }
        }
        Ok(compiled)
    }

    /// The same, whose conditions look at so many elements of an array each.
    #[must_use]
    pub fn looking_at(self, elements: u32) -> Self {
        Self { elements: Some(elements as usize), ..self }
    }

    /// The same, which decide by event time, or else by arrival as in records of earlier programs.
    #[must_use]
    pub fn deciding_by_event_time(self, event_time: bool) -> Self {
        Self { by_arrival: !event_time, ..self }
    }

    /// The webhooks of which a secret is not there, by campaign and step; `secrets` finds what a
    /// reference stands for.
    pub fn without_secret(&self, secrets: &dyn Fn(&str) -> Option<String>) -> Vec<(Arc<str>, u16)> {
        let mut without = Vec::new();
        for campaign in self.list.iter().filter(|one| one.standing != Standing::Draft) {
            for (step, one) in (0..).zip(&campaign.steps) {
                let Step::Webhook(webhook) = one else { continue };
                let mut values =
                    webhook.headers.iter().map(|(_, value)| value).chain(&webhook.sign);
                if values.any(|value| value.resolve(secrets).is_none()) {
                    without.push((Arc::clone(&campaign.id), step));
                }
            }
        }
        without
    }

    /// The campaign of that id.
    pub fn get(&self, id: &str) -> Option<&Campaign> {
        let place = self.list.binary_search_by(|campaign| campaign.id.as_ref().cmp(id)).ok()?;
        self.list.get(place)
    }

    /// All campaigns, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Campaign> {
        self.list.iter()
    }

    /// Whether an event of this type can move any run; if not, [`Self::on_event`] answers nothing.
    pub fn concern(&self, kind: &str) -> bool {
        self.triggers.concerns(kind) || self.exits.concerns(kind)
    }

    /// Which event types conditions count within a time.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    pub(super) fn triggered_by(&self, kind: &str) -> impl Iterator<Item = &Campaign> {
        self.triggers.of(kind).filter_map(|place| self.list.get(place))
    }

    pub(super) fn ended_by(&self, kind: &str) -> impl Iterator<Item = &Campaign> {
        self.exits.of(kind).filter_map(|place| self.list.get(place))
    }
}

impl Builder {
    pub(super) fn problem(&mut self, at: impl Into<String>, sentence: impl Into<String>) {
        self.problems.push(SettingsProblem { at: at.into(), sentence: sentence.into() });
    }

    fn campaign(&mut self, id: &str, value: &Value) -> Option<Campaign> {
        let at = format!("campaign.{id}");
        if !is_id(id) {
            let sentence = format!(
                "expected an id of 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit, found {id:?}"
            );
            self.problem(at.clone(), sentence);
        }
        let config: CampaignConfig = match spelling::read(value.clone()) {
            Ok(config) => config,
            Err(mistakes) => {
                for (path, sentence) in mistakes {
                    self.problem(spelling::within(&at, &path), sentence);
                }
                return None;
            }
        };
        if !config.id.is_empty() && config.id != id {
            self.problem(format!("{at}.id"), format!("expected {id:?}, found {:?}", config.id));
        }
        let trigger = self.filter(&format!("{at}.trigger"), &config.trigger);
        let audience = self.audience(&format!("{at}.audience"), config.audience.as_ref());
        let exit = config.exit.as_ref().map(|exit| self.filter(&format!("{at}.exit"), exit));
        let restart = self.restart(&at, config.stop.as_ref());
        let steps = self.steps(&at, &config.steps);
        let (id, standing) = (id.into(), config.state);
        Some(Campaign { id, standing, restart, steps, trigger, audience, exit })
    }

    fn filter(&mut self, at: &str, config: &EventConfig) -> EventFilter {
        let mut kinds = BTreeSet::new();
        let mut every = false;
        for name in config.event_type.iter() {
            match event_type(name) {
                _ if name.trim() == "*" => every = true,
                Some(kind) => drop(kinds.insert(kind)),
                None => {
                    let sentence = format!("expected an event type or \"*\", found {name:?}");
                    self.problem(format!("{at}.event_type"), sentence);
                }
            }
        }
        if config.event_type.iter().len() == 0 {
            self.problem(format!("{at}.event_type"), "expected an event type, found an empty list");
        }
        let sources = config.source.as_ref().map(|sources| {
            sources.iter().map(|source| source.trim().to_owned()).collect::<BTreeSet<_>>()
        });
        for source in sources.iter().flatten().filter(|source| *source != "*" && !is_id(source)) {
            let sentence = format!("expected a source's id or \"*\", found {source:?}");
            self.problem(format!("{at}.source"), sentence);
        }
        EventFilter {
            kinds: (!every).then_some(kinds),
            sources: sources.filter(|sources| !sources.contains("*")),
            conditions: self.conditions(&format!("{at}.where"), &config.conditions),
        }
    }

    fn audience(&mut self, at: &str, config: Option<&AudienceConfig>) -> Audience {
        let Some(config) = config else { return Audience::default() };
        let conditions = self.conditions(&format!("{at}.where"), &config.conditions);
        Audience { known: config.known, conditions }
    }

    fn restart(&mut self, at: &str, config: Option<&StopConfig>) -> Restart {
        match config.and_then(|stop| stop.restart_after.as_deref()).map(str::trim) {
            None => Restart::AtOnce,
            Some("never") => Restart::Never,
            Some(text) => match parse_span(text) {
                Ok(ms) => Restart::After(ms),
                Err(sentence) => {
                    let sentence = format!("{sentence}; or \"never\"");
                    self.problem(format!("{at}.stop.restart_after"), sentence);
                    Restart::Never
                }
            },
        }
    }

    fn steps(&mut self, at: &str, config: &[StepConfig]) -> Vec<Step> {
        let mut steps = Vec::with_capacity(config.len());
        for (place, step) in config.iter().enumerate() {
            let at = format!("{at}.step[{place}]");
            match (&step.wait, &step.webhook) {
                (Some(wait), None) => match parse_span(wait) {
                    Ok(ms) if ms > 0 => steps.push(Step::Wait { ms }),
                    Ok(_) => self.problem(
                        format!("{at}.wait"),
                        format!("expected a span longer than nothing, found {wait:?}"),
                    ),
                    Err(sentence) => self.problem(format!("{at}.wait"), sentence),
                },
                (None, Some(webhook)) => {
                    let webhook = self.webhook(&format!("{at}.webhook"), webhook);
                    steps.extend(webhook.map(|webhook| Step::Webhook(Box::new(webhook))));
                }
                _ => self.problem(at, "expected either wait or webhook"),
            }
        }
        let calls_last = config.last().is_some_and(|step| step.webhook.is_some());
        if !calls_last || config.len() > STEPS {
            let sentence = format!("expected 1 to {STEPS} steps of which the last is a webhook");
            self.problem(format!("{at}.step"), sentence);
        }
        steps
    }
}

impl EventFilter {
    /// Whether an event has the right type and source.
    pub(super) fn is_of(&self, kind: &str, source: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
            && self.sources.as_ref().is_none_or(|sources| sources.contains(source))
    }

    /// Its types as people write them.
    pub(super) fn spelt(names: Option<&BTreeSet<String>>) -> String {
        match names {
            None => "*".to_owned(),
            Some(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(" or "),
        }
    }
}
