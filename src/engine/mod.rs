//! The engine: who owns which state, and in which order things happen.
//!
//! `http` sees only [`Engine`] and the types below. An event goes router → committer → identity →
//! profile, and its answer comes back from the profile; `ARCHITECTURE.md` tells the whole way.

mod committer;
mod core;
mod effective;
mod identity;
pub mod meters;
mod objects;
mod open;
mod profile;
mod profiles;
mod reading;
mod rebuild;
mod replay;
mod rest;
mod router;
mod rows;
mod shared;
mod snapshots;
mod views;

pub use self::core::Core;
pub use effective::{Effective, section};
pub use objects::ObjectRefusal;
pub use open::{EngineError, Options, Prepared, Recovered};
pub use reading::{EventFilter, PageRequest, Paged, ProfileRef};
pub use replay::{Replayed, replay};
pub use rest::RowError;
pub use rows::LoadError;

use crate::domain::event::{Event, Reason};
use crate::domain::fragment::content_hash;
use crate::domain::settings::Durability;
use crate::domain::view::EventView;
use crate::records::encode_event;
use actix::Addr;
use router::{Incoming, Ingest, RouterActor};
use shared::{Reply, Shared};
use smallvec::SmallVec;
use std::sync::{Arc, RwLock};
use tokio::sync::broadcast;

pub use crate::records::ObjectKind;

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
    /// Ended by a storage error.
    Failed(String),
    /// Draining.
    Stopping,
}

/// The configuration in force, as the HTTP layer reads it.
#[derive(Debug)]
pub(crate) struct Published(RwLock<Arc<Effective>>);

impl Published {
    fn get(&self) -> Arc<Effective> {
        // A poisoned lock still holds a whole value: it is only ever replaced.
        Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn set(&self, effective: &Arc<Effective>) {
        let mut place = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *place = Arc::clone(effective);
    }
}

/// A handle to a running engine; clones are cheap.
#[derive(Clone)]
pub struct Engine {
    router: Addr<RouterActor>,
    identity: Addr<identity::IdentityActor>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    stream: broadcast::Sender<Arc<EventView>>,
    recovered: Arc<Recovered>,
    stopping: Arc<std::sync::atomic::AtomicBool>,
    threads: Arc<open::Threads>,
}

impl Engine {
    /// Stores one event; answers once it is as durable as asked and visible to reads.
    ///
    /// # Errors
    /// When it was not taken; it then leaves no trace.
    pub async fn ingest(&self, submission: Submission) -> Result<Receipt, Refusal> {
        let (reply, answer) = Reply::one();
        let incoming = incoming(submission, reply)?;
        self.send(SmallVec::from_buf([incoming]))?;
        answer.await?
    }

    /// Stores the events of one batch together: all are taken, or none.
    ///
    /// # Errors
    /// When they were not taken.
    pub async fn ingest_batch(&self, all: Vec<Submission>) -> Result<Vec<Receipt>, Refusal> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let (replies, answers) = Reply::batch(all.len());
        let pairs = all.into_iter().zip(replies);
        let events: Result<SmallVec<[Incoming; 1]>, Refusal> =
            pairs.map(|(one, reply)| incoming(one, reply)).collect();
        self.send(events?)?;
        answers.await?.into_iter().collect()
    }

    fn send(&self, events: SmallVec<[Incoming; 1]>) -> Result<(), Refusal> {
        self.router.try_send(Ingest(events)).map_err(|_| Refusal::Overloaded)
    }

    /// The configuration in force.
    pub fn effective(&self) -> Arc<Effective> {
        self.published.get()
    }

    /// What is being stored from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<EventView>> {
        self.stream.subscribe()
    }

    /// What the engine counts.
    pub fn meters(&self) -> &meters::Meters {
        &self.shared.meters
    }

    /// Events between the router and their answers.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How far the engine is.
    pub fn readiness(&self) -> Readiness {
        let failure = self.shared.failure.lock().ok().and_then(|failure| failure.clone());
        match failure {
            Some(why) => Readiness::Failed(why),
            None if self.stopping.load(std::sync::atomic::Ordering::Acquire) => Readiness::Stopping,
            None => Readiness::Ready { report: self.recovered.json() },
        }
    }

    /// Completes when the engine has failed, and says why.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        // The sender lives in `shared`, which this handle holds.
        drop(failed.wait_for(|failed| *failed).await);
        let failure = self.shared.failure.lock().ok().and_then(|failure| failure.clone());
        failure.unwrap_or_else(|| "the engine failed".to_owned())
    }
}

/// Encodes and hashes on the caller's thread, so that the pipeline behind only moves bytes.
fn incoming(submission: Submission, reply: Reply) -> Result<Incoming, Refusal> {
    let Submission { event, durability, dedupe_window_ms } = submission;
    let bytes = encode_event(&event).map_err(|_| Refusal::TooLarge)?;
    let content = content_hash(&event);
    Ok(Incoming { event: Box::new(event), bytes, content, durability, dedupe_window_ms, reply })
}

#[cfg(test)]
mod tests;
