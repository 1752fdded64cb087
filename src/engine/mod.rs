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

// ---- below: a stand-in with the announced signatures, thrown away at the merge ----

use crate::domain::id::Identifier;
use crate::domain::settings::Settings;
use crate::domain::time::Timestamp;
use crate::domain::view::{
    ChangeView, ChangesPage, DigestView, EventView, ProfileView, SessionView, SnapshotView,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many.
    pub limit: usize,
    /// Only what is older than this sequence.
    pub before: Option<u64>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `before` of the next page.
    pub next: Option<u64>,
}

/// How a profile is asked for.
#[derive(Clone, Debug)]
pub enum ProfileRef {
    /// By an identifier, not yet canonical.
    Identifier(Identifier),
    /// By any id that it ever had.
    Id(String),
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Only those on no profile.
    pub profile_less: bool,
    /// Only those set aside.
    pub quarantined: bool,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

/// What is configured one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A source.
    Source,
    /// An identification point.
    IdentificationPoint,
}

/// Why a configuration object is not changed.
#[derive(Clone, Debug)]
pub enum ObjectRefusal {
    /// It comes from a file.
    Provisioned,
    /// There is none.
    NotFound,
    /// It makes no sense.
    Invalid(Vec<String>),
    /// The engine takes nothing.
    Refused(Refusal),
}

/// How far the engine is.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// Replaying.
    Recovering {
        /// Records applied.
        done: u64,
        /// Records to apply.
        total: u64,
    },
    /// Serving.
    Ready {
        /// What recovery found.
        report: serde_json::Value,
    },
    /// Broken.
    Failed(String),
    /// Draining.
    Stopping,
}

/// The configuration in force.
#[derive(Debug)]
pub struct Effective {
    /// Compiled.
    pub compiled: crate::domain::compiled::Compiled,
    /// Sources from files.
    pub provisioned_sources: BTreeSet<String>,
    /// Points from files.
    pub provisioned_points: BTreeSet<String>,
    /// The key of duplicate hashes.
    pub hash_key: [u8; 32],
}

/// The engine.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Effective>, tokio::sync::broadcast::Sender<Arc<EventView>>);

#[allow(missing_docs, clippy::unused_async)]
impl Engine {
    pub fn fake(effective: Effective) -> Self {
        Self(Arc::new(effective), tokio::sync::broadcast::Sender::new(16))
    }
    /// `failed` and `ready` are waited for by `app`; `stop` flushes and takes a snapshot.
    pub fn start(
        config: &crate::config::Config,
        _clock: &crate::clock::Clock,
        _metrics: &Arc<crate::telemetry::metrics::Metrics>,
    ) -> Result<Self, std::io::Error> {
        let compiled = crate::domain::compiled::Compiled::new(&config.settings)
            .map_err(|_| std::io::Error::other("settings"))?;
        Ok(Self::fake(Effective {
            compiled,
            provisioned_sources: BTreeSet::new(),
            provisioned_points: BTreeSet::new(),
            hash_key: [0; 32],
        }))
    }
    pub async fn ready(&self) {}
    pub async fn failed(&self) -> String {
        std::future::pending().await
    }
    pub async fn stop(&self) -> Result<(), String> {
        Ok(())
    }
    pub async fn ingest(&self, _s: Submission) -> Result<Receipt, Refusal> {
        let event_id = Some(uuid::Uuid::from_u128(7));
        Ok(Receipt { event_id, status: Status::ProfileLess, profile_id: None })
    }
    pub async fn ingest_batch(&self, s: Vec<Submission>) -> Result<Vec<Receipt>, Refusal> {
        let mut all = Vec::new();
        for one in s {
            all.push(self.ingest(one).await?);
        }
        Ok(all)
    }
    pub fn effective(&self) -> Arc<Effective> {
        Arc::clone(&self.0)
    }
    pub async fn profile(&self, _: ProfileRef, _: bool) -> Result<Option<ProfileView>, Refusal> {
        Ok(None)
    }
    pub async fn profile_events(
        &self,
        _id: String,
        _page: PageRequest,
    ) -> Result<Option<Paged<EventView>>, Refusal> {
        Ok(None)
    }
    pub async fn profile_merges(
        &self,
        _id: String,
        _page: PageRequest,
    ) -> Result<Option<Paged<ChangeView>>, Refusal> {
        Ok(None)
    }
    pub async fn export(&self, _id: String) -> Result<Option<serde_json::Value>, Refusal> {
        Ok(None)
    }
    pub async fn event(&self, _id: String) -> Result<Option<EventView>, Refusal> {
        Ok(None)
    }
    pub async fn events(
        &self,
        _f: EventFilter,
        _page: PageRequest,
    ) -> Result<Paged<EventView>, Refusal> {
        Ok(Paged { items: Vec::new(), next: Some(41) })
    }
    pub async fn session(&self, _id: String) -> Result<Option<SessionView>, Refusal> {
        Ok(None)
    }
    pub async fn changes(&self, from: u64, _limit: usize) -> Result<ChangesPage, Refusal> {
        Ok(ChangesPage { items: Vec::new(), next: from })
    }
    pub async fn digest(&self) -> Result<DigestView, Refusal> {
        Ok(DigestView { sequence: 0, profiles: 0, events: 0, digest: String::new() })
    }
    pub async fn snapshot(&self) -> Result<SnapshotView, Refusal> {
        Ok(SnapshotView { sequence: 0, rows: 0, took_ms: 0 })
    }
    pub async fn put_object(
        &self,
        _k: ObjectKind,
        _id: String,
        body: serde_json::Value,
    ) -> Result<(bool, serde_json::Value), ObjectRefusal> {
        Ok((true, body))
    }
    pub async fn delete_object(&self, _k: ObjectKind, _id: String) -> Result<(), ObjectRefusal> {
        Err(ObjectRefusal::NotFound)
    }
    pub async fn reload(&self, _settings: Settings) -> Result<(), ObjectRefusal> {
        Ok(())
    }
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Arc<EventView>> {
        self.1.subscribe()
    }
    pub fn readiness(&self) -> Readiness {
        Readiness::Ready { report: serde_json::Value::Null }
    }
}
