//! What all parts of a running engine hold in common, and how answers find their way back.

use crate::clock::Clock;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::engine::fault::{Failure, Faults};
use crate::engine::intake::batching;
use crate::engine::intake::batching::Home;
use crate::engine::receipt::{Receipt, Refusal};
use crate::engine::state::revisions::{Events, Rereadings};
use crate::engine::store::fragments::Rest;
use crate::journal::JournalReader;
use crate::records::Genesis;
use crate::telemetry::metrics::Metrics;
use dashmap::DashMap;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{oneshot, watch};

/// What all parts hold in common.
pub struct Shared {
    /// Fragments at rest.
    pub rest: Rest,
    /// What is kept of deliveries.
    pub(in crate::engine) kept: crate::engine::state::campaigns::unsaved::Kept,
    /// What webhooks refer to.
    pub(in crate::engine) secrets: crate::secrets::Secrets,
    /// The threads that read payloads.
    pub(in crate::engine) readers: crate::engine::readers::Readers,
    /// Reads the journal.
    pub reader: JournalReader,
    /// Which of its events read otherwise now.
    pub(in crate::engine) rereadings: Rereadings,
    /// The folder's keys.
    pub genesis: Genesis,
    /// The data folder.
    pub(in crate::engine) data: std::path::PathBuf,
    /// The program's clock.
    pub clock: Clock,
    /// Bytes of the events of one page, unless there is only one.
    pub(in crate::engine) page_bytes: usize,
    /// Actors of active profiles, by the leading fragment that an external ID resolves to.
    pub(in crate::engine) directory:
        DashMap<FragmentIndex, actix::Addr<crate::engine::profile::actor::ProfileActor>>,
    /// What is between the router and its answers.
    pub(in crate::engine) in_flight: Arc<InFlight>,
    /// The first sequence that is not known to survive a power cut.
    pub(in crate::engine) durable: AtomicU64,
    /// Free space is below the watermark.
    pub(in crate::engine) storage_full: AtomicBool,
    /// Why the engine failed, once it did: tells the program that it has to end.
    pub(in crate::engine) failure: watch::Sender<Option<Failure>>,
    /// Events that were set aside because applying them panicked.
    pub(in crate::engine) aside: Mutex<BTreeSet<Sequence>>,
    /// Keyed hashes of identifiers whose events are dropped; behind an `Arc`, so that the way in
    /// holds no lock while it looks.
    pub(in crate::engine) suppressed: RwLock<Arc<BTreeSet<[u8; 16]>>>,
    /// Held while a snapshot is written, and while the state is rebuilt from it.
    pub(in crate::engine) writing: Mutex<()>,
    /// Counts the times that the state was rebuilt: what was asked before is answered by nobody.
    pub(in crate::engine) era: AtomicU64,
    /// The engine stops: its parts may end.
    pub(in crate::engine) stopping: AtomicBool,
    /// Faults to inject, for tests of supervision.
    pub(in crate::engine) faults: Faults,
    /// What the engine counts.
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// The journal's events as they read now.
    pub(in crate::engine) fn events(&self) -> Events {
        Events::new(&self.reader, &self.rereadings)
    }

    /// Stops acknowledging, for good, because of the storage; the first cause is kept.
    pub(in crate::engine) fn fail(&self, why: String) {
        self.fail_as(Failure { why, is_fault: false });
    }

    /// Puts suppressions in force on the way in.
    pub(in crate::engine) fn suppress(&self, suppressed: &BTreeSet<[u8; 16]>) {
        let mut place = self.suppressed.write().unwrap_or_else(PoisonError::into_inner);
        if **place != *suppressed {
            *place = Arc::new(suppressed.clone());
        }
    }

    /// The suppressions in force.
    pub(in crate::engine) fn suppressed(&self) -> Arc<BTreeSet<[u8; 16]>> {
        Arc::clone(&self.suppressed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that an event is applied no more.
    pub(in crate::engine) fn set_aside(&self, sequence: Sequence) {
        if let Ok(mut aside) = self.aside.lock() {
            aside.insert(sequence);
        }
    }

    /// An event that was set aside is read again.
    pub(in crate::engine) fn take_up(&self, sequence: Sequence) {
        if let Ok(mut aside) = self.aside.lock() {
            aside.remove(&sequence);
        }
    }

    /// Whether an event is applied no more.
    pub(in crate::engine) fn is_aside(&self, sequence: Sequence) -> bool {
        self.aside.lock().is_ok_and(|aside| aside.contains(&sequence))
    }

    /// Whether the engine failed.
    pub fn is_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Stops for good, because of a fault of the program.
    pub(in crate::engine) fn fail_by_fault(&self, why: String) {
        self.fail_as(Failure { why, is_fault: true });
    }

    fn fail_as(&self, failure: Failure) {
        tracing::error!(why = %failure, "the engine stops: no further event is acknowledged");
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    /// How many times the state was rebuilt.
    pub(in crate::engine) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Whether the engine is being stopped.
    pub(in crate::engine) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The events between the router and their answers.
#[derive(Debug, Default)]
pub(in crate::engine) struct InFlight {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl InFlight {
    /// How many there are, and the bytes of their records.
    pub(in crate::engine) fn now(&self) -> (usize, usize) {
        (self.events.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }
}

/// A place among the events in flight; given back when it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Ticket(Arc<InFlight>, usize);

impl Ticket {
    /// For an event whose record has so many bytes.
    pub(in crate::engine) fn take(counter: &Arc<InFlight>, bytes: usize) -> Self {
        counter.events.fetch_add(1, Ordering::AcqRel);
        counter.bytes.fetch_add(bytes, Ordering::AcqRel);
        Self(Arc::clone(counter), bytes)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.bytes.fetch_sub(self.1, Ordering::AcqRel);
        self.0.events.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The outcome of one event.
pub(in crate::engine) type Outcome = Result<Receipt, Refusal>;

/// Where an event's outcome goes.
#[derive(Debug)]
pub(in crate::engine) struct Reply {
    to: ReplyTo,
    /// Held until the outcome is known.
    pub(in crate::engine) ticket: Option<Ticket>,
}

#[derive(Debug)]
enum ReplyTo {
    One(oneshot::Sender<Outcome>, Home),
    Part(Arc<Parts>, usize),
}

/// The outcomes of a batch, answered together.
#[derive(Debug)]
pub(in crate::engine) struct Parts {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<Vec<Outcome>>>>,
}

impl Reply {
    /// An answer to a single event, for the calling thread.
    pub(in crate::engine) fn one() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self { to: ReplyTo::One(sender, batching::home()), ticket: None }, receiver)
    }

    /// Answers to the events of a batch.
    pub(in crate::engine) fn batch(count: usize) -> (Vec<Self>, oneshot::Receiver<Vec<Outcome>>) {
        let (sender, receiver) = oneshot::channel();
        let parts = Arc::new(Parts {
            outcomes: Mutex::new(vec![None; count]),
            left: AtomicUsize::new(count),
            done: Mutex::new(Some(sender)),
        });
        let part = |at| Self { to: ReplyTo::Part(Arc::clone(&parts), at), ticket: None };
        ((0..count).map(part).collect(), receiver)
    }

    /// Gives the outcome, at the end of the calling actor's turn.
    pub(in crate::engine) fn send(self, outcome: Outcome) {
        match self.to {
            ReplyTo::One(sender, home) => batching::answer(home, sender, outcome),
            ReplyTo::Part(parts, at) => parts.set(at, outcome),
        }
    }

    /// Gives the outcome at once, from a thread without actors.
    pub(in crate::engine) fn send_now(self, outcome: Outcome) {
        match self.to {
            // The sender may have hung up; the event is durable all the same.
            ReplyTo::One(sender, _) => drop(sender.send(outcome)),
            ReplyTo::Part(parts, at) => parts.set(at, outcome),
        }
    }
}

impl Parts {
    fn set(&self, at: usize, outcome: Outcome) {
        if let Ok(mut outcomes) = self.outcomes.lock() {
            outcomes[at] = Some(outcome);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let all = self.outcomes.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
        let sender = self.done.lock().ok().and_then(|mut done| done.take());
        if let Some(sender) = sender {
            let outcome = |one: Option<Outcome>| one.unwrap_or(Err(Refusal::Overloaded));
            let _ = sender.send(all.into_iter().map(outcome).collect());
        }
    }
}
