//! A campaign as users write it, in TOML or JSON.

use crate::domain::settings::OneOrMany;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A `[[campaign]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignConfig {
    /// Its name in URLs and lists. Left out in an API body, where the path names it.
    #[serde(default)]
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it does anything; a draft unless said otherwise.
    #[serde(default)]
    pub state: StateConfig,
    /// The event that begins a run.
    pub trigger: EventConfig,
    /// Whom it is for; everybody unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<AudienceConfig>,
    /// The event that ends a run and cancels what is not sent yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<EventConfig>,
    /// When the same profile may begin a run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopConfig>,
    /// What a run does, in order.
    #[serde(default, rename = "step")]
    pub steps: Vec<StepConfig>,
}

/// Whether a campaign does anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateConfig {
    /// Only preview, test and backtest.
    #[default]
    Draft,
    /// Triggers begin runs.
    Live,
    /// No new runs, nothing is sent.
    Paused,
}

/// Which events are meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// One event type, a list, or `*`.
    pub event_type: OneOrMany,
    /// One source, a list, or `*`; all unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<OneOrMany>,
    /// What must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionConfig>,
}

/// Which profiles are meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudienceConfig {
    /// Only the known ones (`true`), or only the others (`false`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// What must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionConfig>,
}

/// When the same profile may begin a run again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConfig {
    /// A span from the stop, or `never`; at once unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_after: Option<String>,
}

/// One condition: exactly one of `property`, `trait`, `count` and `any`, and its tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionConfig {
    /// A path into the event's properties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// A trait of the profile.
    #[serde(rename = "trait", skip_serializing_if = "Option::is_none")]
    pub trait_name: Option<String>,
    /// How many events of this type the profile has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// With `count`: over the last so long, by event time; over all of time without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// At least one of these must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<ConditionConfig>>,
    /// The value is this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// The value is not this one, nor one of this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Value>,
    /// The value is one of these.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// The text is like this; `*` stands for any text and `?` for one character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// The expression is found in the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Whether there is a value at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// The number is this or greater.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Value>,
    /// The number is this or smaller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Value>,
    /// The time is earlier than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The time is later than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One step: exactly one of `wait` and `webhook`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// Waits so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// Calls another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
}

/// A call of another system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// `POST` (default) or `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Where; takes no profile data.
    pub url: String,
    /// Request headers; a value may be `env:NAME` or `file:path`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Name in the request ← what is told of profile and event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldConfig>,
    /// Values that are always the same; they win over fields.
    #[serde(default, rename = "static", skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<String, Value>,
    /// Standard Webhooks secrets, separated by blanks; may be `env:NAME` or `file:path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
    /// In which order deliveries of one profile go out.
    #[serde(default)]
    pub order: OrderConfig,
    /// Whether plain `http:` will do.
    #[serde(default)]
    pub allow_http: bool,
    /// How long after enqueueing it is still worth sending; `4d` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// At most so many calls, such as `50/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// How long one call may take, answer included; `15s` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// At most so many calls at a time; 32 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// When a call that failed is made again; after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and
    /// 24 h unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryConfig>,
    /// What becomes of a field that is absent, has no default and does not say so itself.
    #[serde(default)]
    pub on_missing: MissingConfig,
}

/// Where a field comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FieldConfig {
    /// `"traits.email"`
    From(String),
    /// `{ from = "traits.gender", default = "unknown" }`
    Full(FullField),
}

/// A field with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullField {
    /// Where it comes from.
    pub from: String,
    /// What is sent when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What becomes of it when it is absent and has no default; what the webhook says unless said
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missing: Option<MissingConfig>,
}

/// When a call that failed is made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RetryConfig {
    /// So many times, after the waits of the schedule.
    Times(u64),
    /// After each of these spans.
    After(Vec<String>),
}

/// In which order deliveries of one profile go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderConfig {
    /// One after the other, as they were enqueued.
    #[default]
    PerProfile,
    /// A newer one replaces those that are not sent yet.
    LatestWins,
    /// In any order.
    None,
}

/// What becomes of a field that is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingConfig {
    /// It is left out.
    #[default]
    Omit,
    /// It is sent as null; in a GET as an empty text.
    Null,
    /// Nothing is sent.
    Abort,
}
