//! The handle to an engine, running or not yet: the way in for events, and how far it is.

use crate::domain::event::{Event, Payload};
use crate::domain::fragment::content_hash;
use crate::domain::view::DigestView;
use crate::engine::context::{Published, Shared};
use crate::engine::fault::{Failure, Stage};
use crate::engine::identity::actor::IdentityActor;
use crate::engine::intake::batching;
use crate::engine::intake::entry::{Incoming, Ingest, Request};
use crate::engine::intake::reply::Reply;
use crate::engine::intake::router::RouterActor;
use crate::engine::options::Recovered;
use crate::engine::receipt::{Readiness, Receipt, Refusal, Status, Submission};
use crate::engine::state::configuration::Effective;
use crate::engine::state::erasure;
use crate::engine::state::stored::Stored;
use crate::journal::folder::DataFolder;
use crate::records::encode_event;
use actix::{Addr, Arbiter, Recipient};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{broadcast, watch};

/// A handle to an engine, running or not yet; clones are cheap.
#[derive(Clone)]
pub struct Engine(pub(in crate::engine) Arc<Inner>);

pub(in crate::engine) struct Inner {
    pub(in crate::engine) running: OnceLock<Running>,
    /// Records replayed, and to replay in all.
    pub(in crate::engine) replayed: (AtomicU64, AtomicU64),
    pub(in crate::engine) is_ready: watch::Sender<bool>,
    /// Why the engine failed, once it did.
    pub(in crate::engine) failure: watch::Sender<Option<Failure>>,
    pub(in crate::engine) is_stopping: AtomicBool,
    /// Held by the preview under way: each holds a second graph, so there is one at a time.
    pub(in crate::engine) preview: Arc<tokio::sync::Mutex<()>>,
    /// Who waits for a digest.
    pub(in crate::engine) digests: Digests,
}

/// What there is once recovery is over.
pub(in crate::engine) struct Running {
    pub(in crate::engine) router: Addr<RouterActor>,
    /// The same, for events.
    pub(in crate::engine) entrance: Recipient<Ingest>,
    pub(in crate::engine) identity: Addr<IdentityActor>,
    pub(in crate::engine) shared: Arc<Shared>,
    pub(in crate::engine) published: Arc<Published>,
    pub(in crate::engine) stream: broadcast::Sender<Stored>,
    pub(in crate::engine) recovered: Recovered,
    pub(in crate::engine) threads: Threads,
}

impl Engine {
    pub(in crate::engine) fn running(&self) -> Result<&Running, Refusal> {
        self.0.running.get().ok_or(Refusal::Recovering)
    }

    /// Stores one event; answers once it is as durable as asked and visible to reads.
    ///
    /// # Errors
    /// When it was not taken; it then leaves no trace.
    pub async fn ingest(&self, submission: Submission) -> Result<Receipt, Refusal> {
        if self.is_suppressed(&submission)? {
            return Ok(DROPPED);
        }
        let (reply, answer) = Reply::one();
        let incoming = incoming(submission, reply)?;
        self.send(SmallVec::from_buf([incoming]))?;
        answer.await.map_err(|_| self.lost())?
    }

    /// Stores the events of one batch together: all are taken, or none.
    ///
    /// # Errors
    /// When they were not taken.
    pub async fn ingest_batch(&self, all: Vec<Submission>) -> Result<Vec<Receipt>, Refusal> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let mut receipts: Vec<Option<Receipt>> = Vec::with_capacity(all.len());
        let mut kept = Vec::with_capacity(all.len());
        for one in all {
            let is_dropped = self.is_suppressed(&one)?;
            receipts.push(is_dropped.then_some(DROPPED));
            if !is_dropped {
                kept.push(one);
            }
        }
        let (replies, answers) = Reply::batch(kept.len());
        let is_empty = kept.is_empty();
        let pairs = kept.into_iter().zip(replies);
        let events: Result<Request, Refusal> =
            pairs.map(|(one, reply)| incoming(one, reply)).collect();
        let mut stored = Vec::new().into_iter();
        if !is_empty {
            self.send(events?)?;
            stored = answers.await.map_err(|_| self.lost())?.into_iter();
        }
        let receipt = |one: Option<Receipt>| one.map_or_else(|| stored.next(), |one| Some(Ok(one)));
        receipts.into_iter().filter_map(receipt).collect()
    }

    /// Whether an event comes with an identifier of someone who is not to come back.
    fn is_suppressed(&self, submission: &Submission) -> Result<bool, Refusal> {
        let shared = &self.running()?.shared;
        let suppressed = shared.suppressed();
        Ok(erasure::is_suppressed(&suppressed, &shared.genesis.hash_key, &submission.event))
    }

    fn send(&self, events: Request) -> Result<(), Refusal> {
        batching::submit(&self.running()?.entrance, events);
        Ok(())
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// While the engine recovers: nothing is known yet.
    pub fn effective(&self) -> Result<Arc<Effective>, Refusal> {
        Ok(self.running()?.published.get())
    }

    /// What is being stored from now on.
    ///
    /// # Errors
    /// While the engine recovers.
    pub fn subscribe(&self) -> Result<broadcast::Receiver<Stored>, Refusal> {
        Ok(self.running()?.stream.subscribe())
    }

    /// How far the engine is.
    pub fn readiness(&self) -> Readiness {
        let failure = self.0.failure.borrow().clone();
        if let Some(why) = failure {
            return Readiness::Failed(why.to_string());
        }
        if self.0.is_stopping.load(Ordering::Acquire) {
            return Readiness::Stopping;
        }
        match self.running() {
            Ok(running) => Readiness::Ready { report: running.recovered.json() },
            Err(_) => Readiness::Recovering {
                done: self.0.replayed.0.load(Ordering::Relaxed),
                total: self.0.replayed.1.load(Ordering::Relaxed),
            },
        }
    }

    /// Completes when recovery is over; never, if it fails.
    pub async fn ready(&self) {
        // The sender lives in this handle.
        let _ = self.0.is_ready.subscribe().wait_for(|is_ready| *is_ready).await;
    }

    /// Completes when the engine has failed, and says why.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.0.failure.subscribe();
        let why = failure.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| Failure { why: "the engine failed".to_owned(), is_fault: true })
    }

    /// Why the engine failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.0.failure.borrow().clone()
    }

    /// Panics where a test asked for it.
    pub fn strike(&self, stage: Stage, kind: &str) {
        if let Ok(running) = self.running() {
            running.shared.faults.strike(stage, kind);
        }
    }

    /// Waits for an answer, no longer than the engine lives.
    pub(in crate::engine) async fn heard<T>(
        &self,
        answer: tokio::sync::oneshot::Receiver<T>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| self.lost()),
            _ = self.failed() => Err(Refusal::StorageFailed),
        }
    }

    /// Why an answer never came: the part that had to give it is gone.
    pub(in crate::engine) fn lost(&self) -> Refusal {
        if self.0.failure.borrow().is_some() {
            return Refusal::StorageFailed;
        }
        match self.0.is_stopping.load(Ordering::Acquire) {
            true => Refusal::Recovering,
            false => Refusal::Panicked,
        }
    }
}

/// The answer to an event that is not kept.
const DROPPED: Receipt = Receipt { event_id: None, status: Status::Dropped, profile_id: None };

/// Encodes and hashes on the caller's thread, so that the pipeline behind only moves bytes.
fn incoming(submission: Submission, reply: Reply) -> Result<Incoming, Refusal> {
    let Submission { mut event, durability, dedupe_window_ms } = submission;
    let bytes = Bytes::from(encode_event(&event).map_err(|_| Refusal::TooLarge)?);
    let content = content_hash(&event);
    share_payload(&mut event, &bytes);
    Ok(Incoming { event: Box::new(event), bytes, content, durability, dedupe_window_ms, reply })
}

/// Lets the event's payload be the part of the record that it is, so that both hold it once.
fn share_payload(event: &mut Event, record: &Bytes) {
    let (Payload::Json(payload) | Payload::Opaque(payload)) = &mut event.payload;
    let start = match record.ends_with(payload) {
        true => Some(record.len() - payload.len()),
        false => memchr::memmem::rfind(record, payload),
    };
    if let Some(start) = start {
        *payload = record.slice(start..start + payload.len());
    }
}

/// The threads of a running engine, and the lock of its folder.
pub(in crate::engine) struct Threads {
    pub(in crate::engine) handles: Mutex<Vec<JoinHandle<()>>>,
    pub(in crate::engine) arbiters: Mutex<Vec<Arbiter>>,
    pub(in crate::engine) folder: Mutex<Option<DataFolder>>,
}

/// Who waits for a digest.
#[derive(Debug, Default)]
pub(in crate::engine) struct Digests {
    /// How many were asked for.
    pub(in crate::engine) asked: AtomicU64,
    /// The last one, and how many had been asked for when its walk began.
    pub(in crate::engine) last: tokio::sync::Mutex<Option<(u64, DigestView)>>,
}
