//! Campaigns, checked all at once and compiled, with the index that lets events which concern no
//! campaign cost nothing.

use super::calling::Calling;
use super::condition::Condition;
use super::config::{
    AudienceConfig, CampaignConfig, EventConfig, MissingConfig, StepConfig, StopConfig,
};
use super::counts::Counted;
use super::fields::Field;
use crate::domain::compiled::{SettingsProblem, is_id};
use crate::domain::confidential::{MASK, Reference, looks_like_key};
use crate::domain::extract::event_type;
use crate::domain::path::read::PathSet;
use crate::domain::source::RateLimit;
use crate::domain::spelling;
use crate::domain::time::parse_span;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The most steps of one campaign.
const STEPS: usize = 100;

/// Whether a campaign does anything.
pub use super::config::StateConfig as Standing;

/// In which order deliveries of one profile go out.
pub use super::config::OrderConfig as Order;

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

/// A campaign, compiled.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its name in URLs and lists.
    pub id: Arc<str>,
    /// Whether it does anything.
    pub standing: Standing,
    /// When the same profile may begin a run again.
    pub restart: Restart,
    /// What a run does, in order; the last one is a webhook.
    pub steps: Vec<Step>,
    pub(super) trigger: EventFilter,
    pub(super) audience: Audience,
    pub(super) exit: Option<EventFilter>,
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

/// When the same profile may begin a run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// As soon as the run before has stopped.
    AtOnce,
    /// So many milliseconds after the run before has stopped.
    After(i64),
    /// Never again.
    Never,
}

/// A step of a run.
#[derive(Clone, Debug)]
pub enum Step {
    /// So many milliseconds.
    Wait {
        /// At least 1.
        ms: i64,
    },
    /// A call.
    Webhook(Box<Webhook>),
}

/// How a webhook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Fields become query parameters.
    Get,
    /// Fields become a JSON object.
    Post,
}

impl Method {
    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A text as it stands, or a reference (`env:NAME`, `file:path`, `secret:NAME`) to a secret that is
/// only looked up when a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderValue(pub(super) Box<str>);

impl HeaderValue {
    /// The text to send; `None` when the secret is not there. `secrets` finds what a reference
    /// stands for.
    pub fn resolve(&self, secrets: &dyn Fn(&str) -> Option<String>) -> Option<Cow<'_, str>> {
        if self.is_reference() {
            secrets(&self.0).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(&self.0))
        }
    }

    /// The text to show under the name of its header: a secret is masked, and so is what looks like
    /// one.
    pub fn masked(&self, name: &str) -> &str {
        if self.is_reference() || looks_like_key(name, &self.0) { MASK } else { &self.0 }
    }

    fn is_reference(&self) -> bool {
        Reference::parse(&self.0).is_some()
    }
}

/// A call of another system, compiled.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// How.
    pub method: Method,
    /// Where, without the fields of a GET.
    pub url: url::Url,
    /// Request headers by lower-case name.
    pub headers: Vec<(Box<str>, HeaderValue)>,
    /// Standard Webhooks secrets, separated by blanks.
    pub sign: Option<HeaderValue>,
    /// In which order deliveries of one profile go out.
    pub order: Order,
    /// Whether plain `http:` will do.
    pub allow_http: bool,
    /// How long after enqueueing it is still worth sending, in milliseconds.
    pub max_age_ms: i64,
    /// At most so many calls.
    pub rate: Option<RateLimit>,
    /// For how long it is called, how many times at a time, and when again.
    pub calling: Calling,
    pub(super) fields: Vec<NamedField>,
    /// Name and JSON.
    pub(super) fixed: Vec<(Box<str>, Box<str>)>,
    /// What the fields read of an event.
    pub(super) paths: PathSet,
}

#[derive(Clone, Debug)]
pub(super) struct NamedField {
    pub(super) name: Box<str>,
    pub(super) from: Field,
    /// What `from` was read from.
    pub(super) path: Box<str>,
    pub(super) on_missing: MissingConfig,
    /// JSON.
    pub(super) default: Option<Box<str>>,
}

/// Which events are meant.
#[derive(Clone, Debug)]
pub(super) struct EventFilter {
    /// `None` for all.
    pub(super) kinds: Option<BTreeSet<String>>,
    pub(super) sources: Option<BTreeSet<String>>,
    pub(super) conditions: Vec<Condition>,
}

/// Which profiles are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Audience {
    pub(super) known: Option<bool>,
    pub(super) conditions: Vec<Condition>,
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

/// Compiles campaigns and collects what is wrong with them.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) problems: Vec<SettingsProblem>,
    pub(super) paths: PathSet,
    pub(super) counted: Counted,
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

/// Whether a text would do harm in a request's head.
pub(super) fn breaks_lines(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}
