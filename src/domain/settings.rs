//! What users configure, as they write it: the TOML and JSON forms of sources, identification
//! points and rules. Compiled forms live beside the code that uses them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One text or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts in order.
    pub fn iter(&self) -> std::slice::Iter<'_, String> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

/// Where a time is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TimePath {
    /// In a form that is known.
    Path(String),
    /// In a format of its own.
    Format(TimeFormat),
}

/// A time in a format of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeFormat {
    /// Where it is.
    pub path: String,
    /// As `strftime` spells formats; without one any known form is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// One place of a time or several, of which the first that says something counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TimePaths {
    /// `"a"`
    One(TimePath),
    /// `["a", { path = "b", format = "%F" }]`
    Many(Vec<TimePath>),
}

impl TimePaths {
    /// The places in order.
    pub fn iter(&self) -> std::slice::Iter<'_, TimePath> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl TimePath {
    /// Where it is.
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) => path,
            Self::Format(said) => &said.path,
        }
    }

    /// Its format, where it has one of its own.
    pub fn format(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Format(said) => said.format.as_deref(),
        }
    }
}

/// What becomes of an event in which nothing identifies anyone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unidentified {
    /// Kept as profile-less.
    #[default]
    Keep,
    /// Not stored at all.
    Drop,
    /// A new profile of its own.
    Anonymous,
}

/// When an event is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is applied in memory; a crash may lose it.
    Memory,
    /// Once it is written to the operating system: survives a killed process.
    Written,
    /// Once the disk says that it is there: survives a power cut.
    #[default]
    Fsynced,
}

impl Durability {
    /// The name that replies carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Fsynced => "fsynced",
        }
    }
}

/// A nested encoding to undo before paths are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldDecoding {
    /// The field's text is JSON.
    Json,
    /// The field's text is base64 of text or JSON.
    Base64,
}

/// The answer that a sender wants to a stored event, instead of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// HTTP status, 200 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `Content-Type`, `text/plain` by default.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A source as configured. The default is a disabled one of which nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// In the URL; `[a-z0-9][a-z0-9_-]{0,63}`. Left out in an API body, where the path names it.
    #[serde(default)]
    pub id: String,
    /// A known sender (not yet: an error that says so).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A disabled source answers 404 `source_disabled`.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Type of its external IDs; default: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the account inside the sender: external IDs become `namespace:tenant/user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<OneOrMany>,
    /// "Replace profile ID": path of the sender's user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<OneOrMany>,
    /// "Replace session ID", where it is not in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<OneOrMany>,
    /// The sender's event id, for duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<OneOrMany>,
    /// How long an event id is remembered; default `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe_window: Option<String>,
    /// When it occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<TimePaths>,
    /// The IANA time zone of local times; default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Overrides the URL's event type, when present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<OneOrMany>,
    /// Fields that hold JSON or base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decode: BTreeMap<String, FieldDecoding>,
    /// Path of an array: one event per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<OneOrMany>,
    /// Events in which nothing identifies anyone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unidentified: Unidentified,
    /// When an event is acknowledged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub durability: Durability,
    /// Whether the reply names profile and session.
    #[serde(default, skip_serializing_if = "is_false")]
    pub respond_with_profile: bool,
    /// The answer where a sender wants something of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// Default region of phone numbers (ISO 3166-1 alpha-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Default: POST and GET; PUT and PATCH can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Profile trait ← path in the event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, OneOrMany>,
    /// Signatures (not yet: an error that says so, except `scheme = "none"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<serde_json::Value>,
    /// Handshakes (not yet: an error that says so).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<serde_json::Value>,
    /// Where the sender signs the URL (used by `verify`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Use what the signature does not cover (used by `verify`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub trust_unsigned: bool,
    /// The same signed body under another event id is a duplicate (used by `verify`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub replay_guard: bool,
    /// Such as `500/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// CORS, for the browser tracker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

/// One identifier that an identification point yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointIdentifier {
    /// The identifier's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is; the first path that is present.
    pub path: OneOrMany,
    /// Also the profile's trait of that name.
    #[serde(default, rename = "trait", skip_serializing_if = "Option::is_none")]
    pub trait_name: Option<String>,
}

/// An identification point as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointConfig {
    /// Its name. Left out in an API body, where the path names it.
    #[serde(default)]
    pub id: String,
    /// A disabled point finds nothing.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// `*`, one source or a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<OneOrMany>,
    /// `*`, one event type or a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<OneOrMany>,
    /// What it finds.
    pub identifiers: Vec<PointIdentifier>,
}

/// How values of an identifier type are brought to their canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normaliser {
    /// NFC, without blanks and zero-width characters, lower case, IDNA domain.
    Email,
    /// E.164, read with the source's region.
    Phone,
    /// Trimmed and in lower case.
    Lowercase,
    /// Trimmed.
    Trim,
    /// As it is.
    None,
}

/// The time over which a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// All of time.
    #[default]
    Ever,
    /// An ISO week.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// How many values of a type one profile may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// At least 1.
    pub values: u32,
    /// Over which time.
    #[serde(default)]
    pub per: Per,
}

/// Values that identify nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    /// Whole values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exact: Vec<String>,
    /// Beginnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefix: Vec<String>,
    /// Regular expressions, in linear time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regex: Vec<String>,
}

/// The rules of one identifier type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeConfig {
    /// The smaller, the stronger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// How values become canonical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normaliser>,
    /// With `normalise = "email"`: drop dots and `+tags` of gmail addresses (off by default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmail: Option<bool>,
    /// At most one value per profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// At most so many values per profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Seen in the same events as this many values of one unique type: a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_by: Option<u32>,
    /// Values that identify nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// Makes a profile "known".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
}

/// How a trait's values from many events become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// The latest by event time.
    #[default]
    Last,
    /// The earliest by event time.
    First,
    /// The smallest.
    Min,
    /// The greatest.
    Max,
    /// Added up, exactly.
    Sum,
    /// All of them, sorted.
    Set,
    /// The latest explicit true or false.
    Consent,
}

/// The rule of one trait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraitConfig {
    /// How it folds.
    #[serde(default)]
    pub fold: Fold,
}

/// The `[identity]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// Whether the built-in list of garbage values is on.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub builtin_blocked: bool,
    /// Rules by identifier type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, TypeConfig>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self { builtin_blocked: true, types: BTreeMap::new() }
    }
}

/// Everything configured that decides about events; the content of a configuration record.
///
/// Limits that decide identity are part of it, so that a replay needs no file from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Sources by id.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceConfig>,
    /// Identification points by id.
    #[serde(default)]
    pub points: BTreeMap<String, PointConfig>,
    /// Identity rules.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// Trait rules by name.
    #[serde(default)]
    pub traits: BTreeMap<String, TraitConfig>,
    /// Campaigns by id, as written.
    #[serde(default)]
    pub campaigns: BTreeMap<String, serde_json::Value>,
    /// Limits that decide.
    #[serde(default)]
    pub limits: DecidingLimits,
    /// Whether campaigns decide by event time. Not to be configured: it is true of whatever is read
    /// from files now, and absent in records of programs that decided by arrival, which a replay
    /// must decide as they did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub event_time: bool,
}

/// The limits on which a replay depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecidingLimits {
    /// Identifiers shown per profile, without sessions and mail hashes.
    pub identifiers: u32,
    /// Edges of a raw component.
    pub component: u32,
    /// Values kept of a `set` trait.
    pub set_values: u32,
    /// Bytes of one trait value.
    pub trait_bytes: u32,
    /// Deliveries that are over and still kept.
    pub deliveries: u32,
    /// Different identifiers of one event.
    pub event_identifiers: u32,
    /// Event types that a fragment counts one by one.
    pub event_types: u32,
    /// Elements of an array that a campaign's condition looks at.
    pub condition_elements: u32,
    /// Profiles; eight times as many identifiers, sessions and origins.
    pub profiles: u32,
}

impl Default for DecidingLimits {
    fn default() -> Self {
        Self {
            identifiers: 1_000,
            component: 10_000,
            set_values: 1_000,
            trait_bytes: 8_192,
            deliveries: 100_000,
            event_identifiers: 100,
            event_types: 1_000,
            condition_elements: 5_000,
            profiles: 10_000_000,
        }
    }
}

impl DecidingLimits {
    /// Those on which it depends who is one person and what is known of them.
    pub fn of_identity(self) -> Self {
        Self { deliveries: 0, condition_elements: 0, profiles: 0, ..self }
    }
}
