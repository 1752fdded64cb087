//! What callers give the engine and what it returns: an event on its way in, its receipt, a refusal.

pub use crate::domain::event::Status;

use crate::domain::event::Event;
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
    #[error("too many events are in flight; try again")]
    Overloaded,
    /// Free space is below the watermark.
    #[error("free disk space is below the watermark; reads go on")]
    StorageFull,
    /// The journal failed; the process is stopping.
    #[error("storage failed; the process is stopping")]
    StorageFailed,
    /// The engine is replaying, or draining.
    #[error("the engine is starting or stopping")]
    Recovering,
    /// One event is larger than a journal record may be.
    #[error("the event is larger than a journal record may be")]
    TooLarge,
    /// It panicked: a fault of the program, which costs this call alone.
    #[error("a fault of the program: this call had no effect; the log says where it is")]
    Panicked,
}

/// How far the engine is.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// Replaying.
    Recovering {
        /// Records done.
        done: u64,
        /// Records in all.
        total: u64,
    },
    /// Serving.
    Ready {
        /// What recovery found.
        report: serde_json::Value,
    },
    /// Ended by a storage error, or a fault of the program.
    Failed(String),
    /// Draining.
    Stopping,
}
