//! The engine: who owns which state, and in which order things happen.
//!
//! `http` sees only [`Engine`] and the types below.

use crate::domain::event::{Event, Reason};
use crate::domain::settings::Durability;

/// An event on its way in.
#[derive(Debug)]
pub struct Submission {
    /// What was read out of the request.
    pub event: Event,
    /// When it is to be acknowledged.
    pub durability: Durability,
    /// How long its event id is remembered, in milliseconds.
    pub dedupe_window_ms: i64,
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

/// The answer to an event, given once it is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id; for a duplicate, the first one's; none for a dropped one.
    pub event_id: Option<uuid::Uuid>,
    /// What became of it.
    pub status: Status,
    /// The profile that holds it.
    pub profile_id: Option<uuid::Uuid>,
}

/// Why the engine takes nothing at the moment; none of it leaves a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A queue is full.
    #[error("a queue is full; try again")]
    Overloaded,
    /// Free space is below the watermark.
    #[error("free disk space is below the watermark; reads go on")]
    StorageFull,
    /// The journal failed; the process is stopping.
    #[error("the journal failed; the process is stopping")]
    StorageFailed,
    /// The engine is replaying, or draining.
    #[error("the engine is starting or stopping")]
    Recovering,
}
