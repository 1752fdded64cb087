//! Campaigns, compiled: what they consist of.

use crate::domain::campaign::config::MissingConfig;
use crate::domain::campaign::matching::{Glob, Listed, Pattern};
use crate::domain::confidential::{MASK, Reference, looks_like_key};
use crate::domain::path::read::{PathSet, Slot};
use crate::domain::rate::RateLimit;
use crate::domain::time::Timestamp;
use bigdecimal::BigDecimal;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a campaign does anything.
pub use crate::domain::campaign::config::StateConfig as Standing;

/// In which order deliveries of one profile go out.
pub use crate::domain::campaign::config::OrderConfig as Order;

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

/// Where a field's value comes from.
#[derive(Clone, Debug)]
pub(super) enum Field {
    ProfileId,
    Known,
    FirstSeen,
    LastSeen,
    Trait(Box<str>),
    Identifier(Box<str>),
    EventId,
    EventType,
    EventSource,
    SessionId,
    OccurredAt,
    Property(Slot),
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) rule: Box<str>,
    pub(super) subject: Subject,
    pub(super) tests: Vec<Test>,
}

#[derive(Clone, Debug)]
pub(super) enum Subject {
    Property(Slot),
    Trait(Box<str>),
    Count { kind: Box<str>, within_ms: Option<i64> },
    Any(Vec<Condition>),
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    /// Also `equals`, as a list of one.
    OneOf(Listed),
    NoneOf(Listed),
    Like(Pattern),
    /// Boxed, as few conditions have one.
    Glob(Box<Glob>),
    Exists(bool),
    AtLeast(BigDecimal),
    AtMost(BigDecimal),
    Before(Timestamp),
    After(Timestamp),
}

/// How long a call may take, answer included, unless the webhook says so itself.
pub(super) const TIMEOUT_MS: i64 = 15_000;

/// Calls at a time, unless the webhook says so itself.
pub(super) const CONCURRENCY: usize = 32;

/// The waits after the first, second, … attempt, in milliseconds, unless the webhook says so itself.
pub(super) const SCHEDULE: [i64; 9] = [
    5_000,
    5 * 60_000,
    30 * 60_000,
    2 * 3_600_000,
    5 * 3_600_000,
    10 * 3_600_000,
    14 * 3_600_000,
    20 * 3_600_000,
    24 * 3_600_000,
];

/// How a webhook is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calling {
    /// How long a call may take, answer included, in milliseconds; at least 1.
    pub timeout_ms: i64,
    /// Calls at a time; at least 1.
    pub at_a_time: usize,
    /// The waits after the first, second, … attempt, in milliseconds. After as many attempts and one
    /// more there is no further one.
    pub waits: Box<[i64]>,
}

impl Default for Calling {
    fn default() -> Self {
        Self { timeout_ms: TIMEOUT_MS, at_a_time: CONCURRENCY, waits: SCHEDULE.into() }
    }
}
