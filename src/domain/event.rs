//! What one webhook tells, once it is read: the content of an event's journal record.

use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use bytes::Bytes;
use smallvec::SmallVec;

/// An identifier that was found in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its type.
    pub kind: Box<str>,
    /// The canonical value.
    pub value: Box<str>,
    /// The value as the sender spelt it, where that differs.
    pub raw: Option<Box<str>>,
    /// The identification point that found it; empty for an external ID.
    pub point: Box<str>,
}

/// Whose word the time of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The sender said when it occurred.
    Said,
    /// The source is not told where to look: the time of receipt counts.
    Received,
    /// The source is told where to look, and nothing is said there: the time of receipt counts.
    Unsaid,
    /// What is said there cannot be read: the time of receipt counts.
    Unread,
}

impl Timing {
    /// As `occurred_at_from` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Said => "said",
            Self::Received | Self::Unsaid => "received",
            Self::Unread => "unread",
        }
    }
}

/// Why an event is kept on no profile until somebody mends the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The body cannot be read as what it says it is.
    MalformedBody,
    /// JSON nested deeper than `limits.depth`.
    TooDeep,
    /// More than `limits.keys` keys.
    TooManyKeys,
    /// More than `limits.batch` elements.
    BatchTooLarge,
    /// Two values of a unique identifier type in one event.
    TwoValuesOfUniqueType,
    /// More identifiers in one event than `limits.event_identifiers`.
    TooManyIdentifiers,
    /// Applying it to its profile panicked twice.
    Panicked,
    /// It is of somebody new, and there are `limits.profiles` already.
    ProfilesFull,
}

impl Reason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::MalformedBody,
        Self::TooDeep,
        Self::TooManyKeys,
        Self::BatchTooLarge,
        Self::TwoValuesOfUniqueType,
        Self::TooManyIdentifiers,
        Self::Panicked,
        Self::ProfilesFull,
    ];

    /// The stable name that the API shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedBody => "malformed_body",
            Self::TooDeep => "too_deep",
            Self::TooManyKeys => "too_many_keys",
            Self::BatchTooLarge => "batch_too_large",
            Self::TwoValuesOfUniqueType => "two_values_of_unique_type",
            Self::TooManyIdentifiers => "too_many_identifiers",
            Self::Panicked => "panicked",
            Self::ProfilesFull => "profiles_full",
        }
    }

    /// Its number in rows and records, which is its place in [`Self::ALL`].
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The reason of that number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On a profile.
    Stored,
    /// Kept; nothing identifies anyone.
    ProfileLess,
    /// The sender's event id was seen before.
    Duplicate,
    /// Not kept, as the source or a suppression says.
    Dropped,
    /// Kept whole, on no profile.
    Quarantined(Reason),
}

impl Status {
    /// The name that replies carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::ProfileLess => "profile-less",
            Self::Duplicate => "duplicate",
            Self::Dropped => "dropped",
            Self::Quarantined(_) => "quarantined",
        }
    }
}

/// What a source wants done with an event in which nothing identifies anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Standing {
    /// Resolved as the identifiers say; profile-less without any.
    #[default]
    Open,
    /// Without identifiers it starts a profile of its own.
    Anonymous,
    /// Set aside.
    Quarantined(Reason),
}

/// The payload as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A JSON object's text, with every digit as it came.
    Json(Bytes),
    /// Bytes that could not be decoded.
    Opaque(Bytes),
}

impl Payload {
    /// How many bytes it is.
    pub fn size(&self) -> usize {
        match self {
            Self::Json(bytes) | Self::Opaque(bytes) => bytes.len(),
        }
    }
}

/// What an event came as, kept where its text could not be read without loss: U+FFFD stands in its
/// payload for what had no character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The body's bytes, their content encoding undone; of a batch those of this event, where they
    /// can be told from the rest.
    pub body: Bytes,
    /// The query as it came, without its `?`.
    pub query: Bytes,
}

impl Raw {
    /// How many bytes it is.
    pub fn size(&self) -> usize {
        self.body.len() + self.query.len()
    }
}

/// Whether something in a value of a lossy event was replaced. One that the sender spelt with
/// U+FFFD counts too: it was damaged before it came.
pub fn is_damaged(value: &str) -> bool {
    value.contains(char::REPLACEMENT_CHARACTER)
}

/// A trait's value that an event brings: name and compact canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraitValue {
    /// The profile's trait.
    pub name: Box<str>,
    /// Compact JSON with sorted keys and numbers as they were spelt.
    pub json: Box<str>,
    /// Whether an identification point brings it, and not the source; a point's traits are read
    /// again when points change.
    pub point: bool,
}

/// An event, as decided before it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When we received it.
    pub received_at: Timestamp,
    /// When it occurred, clamped to `received_at` + 5 min.
    pub occurred_at: Timestamp,
    /// Whose word `occurred_at` is.
    pub timing: Timing,
    /// The source's id.
    pub source: Box<str>,
    /// The event type, lower case.
    pub kind: Box<str>,
    /// The session, if any.
    pub session: Option<Box<str>>,
    /// A keyed hash of source and the sender's event id, for duplicates.
    pub dedupe: Option<[u8; 16]>,
    /// The external ID, tenant included.
    pub external: Option<Found>,
    /// What identification points found, without the external ID, in the order of type and value,
    /// each pair once.
    pub identifiers: SmallVec<[Found; 2]>,
    /// Values for traits.
    pub traits: SmallVec<[TraitValue; 2]>,
    /// What is to become of it.
    pub standing: Standing,
    /// The properties.
    pub payload: Payload,
    /// What it came as; only of one that is lossy.
    pub raw: Option<Box<Raw>>,
}

impl Event {
    /// Bytes of what it holds of the request.
    pub fn size(&self) -> usize {
        self.payload.size() + self.raw.as_ref().map_or(0, |raw| raw.size())
    }

    /// One that nobody sent, with these properties, a JSON object.
    pub fn imagined(kind: &str, source: &str, properties: String, at: Timestamp) -> Self {
        Self {
            received_at: at,
            occurred_at: at,
            timing: Timing::Received,
            source: source.into(),
            kind: kind.into(),
            session: None,
            dedupe: None,
            external: None,
            identifiers: SmallVec::new(),
            traits: SmallVec::new(),
            standing: Standing::Open,
            payload: Payload::Json(properties.into()),
            raw: None,
        }
    }
}

/// Where an event stands once it is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its position.
    pub sequence: Sequence,
    /// When it was received, as its id says.
    pub received_at: Timestamp,
}
