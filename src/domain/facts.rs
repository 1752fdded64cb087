//! What is known of a request beside its body, and what is said of what it holds.

use crate::domain::time::Timestamp;

/// Why something that looks like an identifier identifies nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// Its normaliser cannot read it.
    Unreadable,
    /// It is blocked, by the built-in list or a configured one.
    Blocked,
    /// Its event has more of them than `limits.event_identifiers`, and is set aside.
    TooMany,
    /// A byte of it had no character in the encoding that was declared: two that differ there would
    /// be one.
    Damaged,
}

impl PassedOver {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unreadable, Self::Blocked, Self::TooMany, Self::Damaged];

    /// The stable name, as metrics show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Blocked => "blocked",
            Self::TooMany => "too_many",
            Self::Damaged => "damaged",
        }
    }
}

/// What a request says beside its payload.
pub struct RequestFacts<'a> {
    /// The event type in the URL, as [`event_type`](crate::domain::names::event_type) gives it.
    pub event_type: &'a str,
    /// The session in the URL, as [`name`](crate::domain::names::name) gives it.
    pub session: Option<&'a str>,
    /// The value of the header of that name (lower case).
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The decoded query.
    pub query: &'a [(String, String)],
    /// When it was received.
    pub received_at: Timestamp,
    /// In a batch, the place of the element, from 0.
    pub batch_index: Option<usize>,
    /// Whether something of it was replaced by U+FFFD: what holds that identifies nobody.
    pub is_lossy: bool,
    /// Hears of each identifier that identifies nobody.
    pub passed_over: &'a dyn Fn(PassedOver),
}
