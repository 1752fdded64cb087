//! What the reading API shows, independent of HTTP.

use crate::domain::campaign::RuleReport;
use crate::domain::graph::IdentifierStatus;
use crate::domain::json;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a sender sent as JSON, in valid Unicode and without a tree: no depth is too deep. None where
/// it is no JSON.
pub fn raw_json(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    RawValue::from_string(json::shown(text).into_owned()).ok()
}

/// A profile, folded from its fragments.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileView {
    /// The id of the oldest fragment.
    pub id: String,
    /// The ids of the other fragments, by age.
    pub merged_ids: Vec<String>,
    /// Whether it has an identifier of a type declared `known`.
    pub known: bool,
    /// By type, then value.
    pub identifiers: Vec<IdentifierView>,
    /// Folded values.
    pub traits: BTreeMap<String, Box<RawValue>>,
    /// Counters.
    pub stats: Stats,
    /// Earliest event time.
    pub first_seen: String,
    /// Latest event time.
    pub last_seen: String,
    /// By age.
    pub fragments: Vec<FragmentView>,
}

/// Counters of a profile.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// All events.
    pub events: u64,
    /// Events by type.
    pub by_type: BTreeMap<String, u64>,
}

/// An identifier on a profile.
#[derive(Clone, Debug, Serialize)]
pub struct IdentifierView {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The canonical value.
    pub value: String,
    /// As the sender spelt it.
    pub raw: String,
    /// Earliest event time.
    pub first_seen: String,
    /// Latest event time.
    pub last_seen: String,
    /// `effective`, `suppressed` or `quarantined`.
    pub status: IdentifierStatus,
}

/// A fragment of a profile.
#[derive(Clone, Debug, Serialize)]
pub struct FragmentView {
    /// Its id, which the profile answers to for ever.
    pub id: String,
    /// What it was made for, such as `slack:U024BE7LH`.
    pub origin: String,
    /// How many events it holds.
    pub events: u64,
}

/// An event as read back.
#[derive(Clone, Debug, Serialize)]
pub struct EventView {
    /// Its id.
    pub id: String,
    /// Its place in the journal.
    pub sequence: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its source.
    pub source: String,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The profile that holds it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// `stored`, `profile-less` or `quarantined`.
    pub status: &'static str,
    /// Why it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// When it occurred.
    pub occurred_at: String,
    /// Whose word that is: `said`, `received`, or `unread` where the sender's cannot be read.
    pub occurred_at_from: &'static str,
    /// When it was received.
    pub received_at: String,
    /// What was found in it, as `type:value`.
    pub identifiers: Vec<String>,
    /// The payload; `null` where it cannot be decoded.
    pub properties: Option<Box<RawValue>>,
    /// Whether a byte had no character in the encoding that the sender declared: U+FFFD stands for
    /// it in the properties.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
    /// The bytes that cannot be decoded, at all or without loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// The query of a lossy event as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_query: Option<String>,
}

/// A session.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// The sender's session id.
    pub id: String,
    /// The profile that holds its fragment now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// Earliest event time.
    pub first_seen: String,
    /// Latest event time.
    pub last_seen: String,
}

/// A change in who is who.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView {
    /// The journal sequence of the record that caused it.
    pub sequence: u64,
    /// `merge`, `unmerge`, `refusal`, `quarantine`, `release` or `erasure`.
    pub kind: &'static str,
    /// The profile that it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// The profiles that joined it, or parted from it.
    pub merged_ids: Vec<String>,
    /// The event that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The identifier by which it happened, as `type:value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: String,
}

/// Changes in order.
#[derive(Clone, Debug, Serialize)]
pub struct ChangesPage {
    /// Oldest first.
    pub items: Vec<ChangeView>,
    /// Where to go on; always there, so that a reader can follow.
    pub next: u64,
}

/// An erasure's receipt.
#[derive(Clone, Debug, Serialize)]
pub struct ErasureView {
    /// Its id.
    pub id: String,
    /// `compacting` until the files are clean too, then `done`.
    pub state: &'static str,
    /// When it was ordered.
    pub at: String,
    /// How many profiles went.
    pub profiles: u64,
    /// How many fragments.
    pub fragments: u64,
    /// How many events.
    pub events: u64,
    /// How many identifiers.
    pub identifiers: u64,
    /// How many deliveries.
    pub deliveries: u64,
    /// How many events on nobody cannot be read, so that they may name the person still.
    #[serde(skip_serializing_if = "is_zero")]
    pub unread: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// An operator's link.
#[derive(Clone, Debug, Serialize)]
pub struct LinkView {
    /// Its id.
    pub id: String,
    /// `must` or `cannot`.
    pub kind: &'static str,
    /// One end, canonical.
    pub a: String,
    /// The other end, canonical.
    pub b: String,
    /// Of a cut through many: all its parts, each of which is kept apart from every other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Vec<String>>>,
    /// Why.
    pub reason: String,
    /// When it was laid.
    pub at: String,
}

/// A step of the chain of evidence that joins two identifiers.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    /// One end.
    pub from: String,
    /// The other end.
    pub to: String,
    /// The first event that showed them together; none for an alias or a link by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The source of that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The identification point that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// How often it was shown.
    pub count: u32,
}

/// What changed rules would do.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewView {
    /// Profiles now.
    pub profiles_before: u64,
    /// Profiles then.
    pub profiles_after: u64,
    /// Profiles that others would join.
    pub merges: u64,
    /// Profiles that would part.
    pub splits: u64,
    /// The largest clusters then.
    pub largest: Vec<serde_json::Value>,
    /// Some of the merges and splits.
    pub samples: Vec<serde_json::Value>,
}

/// A hash over everything that the state means.
#[derive(Clone, Debug, Serialize)]
pub struct DigestView {
    /// The journal position that it reflects.
    pub sequence: u64,
    /// Live profiles.
    pub profiles: u64,
    /// Events stored, profile-less and quarantined.
    pub events: u64,
    /// In hexadecimal.
    pub digest: String,
}

/// A snapshot that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    /// The journal position that it holds.
    pub sequence: u64,
    /// Rows written.
    pub rows: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What became of a campaign's trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunView {
    /// The sequence of the event that triggered it.
    pub sequence: u64,
    /// The profile that holds it now.
    pub profile_id: Option<String>,
    /// The event that triggered it.
    pub event_id: String,
    /// When.
    pub at: String,
    /// `running`, `waiting`, `done`, `ended` or `declined`.
    pub state: String,
    /// Why it is so.
    pub reason: Option<String>,
}

/// An attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// When it ended.
    pub at: String,
    /// The status that came back.
    pub status: Option<u16>,
    /// How long it took.
    pub took_ms: u64,
    /// Why nothing came back.
    pub error: Option<String>,
    /// The beginning of what came back.
    pub response: String,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Its id.
    pub id: String,
    /// The id that receivers tell repetitions by.
    pub webhook_id: String,
    /// The campaign.
    pub campaign: String,
    /// The step, from 0.
    pub step: u16,
    /// The profile that it is about; none once that is erased.
    pub profile_id: Option<String>,
    /// The event that triggered the run.
    pub event_id: String,
    /// `pending`, `delivered`, `dead` or `cancelled`.
    pub state: &'static str,
    /// Why it is cancelled or dead.
    pub reason: Option<String>,
    /// When it was enqueued.
    pub enqueued_at: String,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<String>,
    /// The attempts so far.
    pub attempts: Vec<AttemptView>,
}

/// An endpoint that is not called any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DisabledView {
    /// The step, from 0.
    pub step: u16,
    /// Since when.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// What came back of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResponseView {
    /// The status.
    pub status: Option<u16>,
    /// How long it took.
    pub took_ms: u64,
    /// The beginning of the body.
    pub body: Option<String>,
    /// Why nothing came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ResponseView {
    /// Nothing came back.
    pub fn failed(error: String) -> Self {
        Self { status: None, took_ms: 0, body: None, error: Some(error) }
    }
}

/// What a campaign would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BacktestView {
    /// Over how many days.
    pub days: u32,
    /// Whether the journal was read from its beginning, so that profiles were as they were.
    pub is_whole: bool,
    /// Events of the triggering types and sources.
    pub events: usize,
    /// Runs that would have begun.
    pub runs: usize,
    /// Profiles that would have been called about.
    pub profiles: usize,
    /// Calls in all.
    pub calls: usize,
    /// Calls in the busiest minute.
    pub peak_a_minute: usize,
    /// How many triggers each rule would have turned away.
    pub turned_away: BTreeMap<String, usize>,
    /// How many runs would have ended before their last call, by reason.
    pub ended: BTreeMap<String, usize>,
}

/// Why a campaign did or did not fire for a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedView {
    /// The campaign.
    pub campaign: String,
    /// The profile's present id.
    pub profile_id: String,
    /// `draft`, `live` or `paused`.
    pub state: String,
    /// The last decision in a sentence.
    pub why: String,
    /// Whether a run may begin now, beside what trigger and audience say.
    pub may_begin: Option<RuleReport>,
    /// The last events that could have triggered it, the latest first.
    pub decisions: Vec<DecisionView>,
    /// Whether all of the profile's events were looked at.
    pub is_whole: bool,
}

/// How a campaign judges an event, with the profile as it was behind it, as if the campaign had
/// always been live as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionView {
    /// The event.
    pub event_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its source.
    pub source: String,
    /// When it was received.
    pub at: String,
    /// What came of it then; none where no rule let it pass, or it is kept no more.
    pub outcome: Option<OutcomeView>,
    /// Whether every rule holds.
    pub fires: bool,
    /// The rules.
    pub rules: Vec<RuleReport>,
}

/// What came of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeView {
    /// `running`, `waiting`, `done`, `ended` or `declined`.
    pub state: String,
    /// Why it is so.
    pub reason: Option<String>,
}
