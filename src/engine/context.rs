//! What all parts of a running engine hold in common, and how answers find their way back.

use crate::clock::Clock;
use crate::domain::id::Sequence;
use crate::engine::fault::{Failure, Faults};
use crate::engine::state::configuration::Effective;
use crate::engine::state::revisions::Rereadings;
use crate::engine::store::events::Events;
use crate::engine::store::fragments::Rest;
use crate::journal::JournalReader;
use crate::records::Genesis;
use crate::telemetry::metrics::Metrics;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

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
    pub(in crate::engine) events: AtomicUsize,
    pub(in crate::engine) bytes: AtomicUsize,
}

impl InFlight {
    /// How many there are, and the bytes of their records.
    pub(in crate::engine) fn now(&self) -> (usize, usize) {
        (self.events.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }
}

/// Held by a part that must not end while the engine runs: dropped too early, it fails the engine.
pub(in crate::engine) struct Alive {
    shared: Arc<Shared>,
    what: &'static str,
}

impl Alive {
    pub(in crate::engine) fn new(shared: &Arc<Shared>, what: &'static str) -> Self {
        Self { shared: Arc::clone(shared), what }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.shared.is_stopping() && !self.shared.is_failed() {
            self.shared.fail_by_fault(format!("{} ended by a fault of the program", self.what));
        }
    }
}

/// The configuration in force, as the HTTP layer reads it.
#[derive(Debug)]
pub(in crate::engine) struct Published(pub(in crate::engine) RwLock<Arc<Effective>>);

impl Published {
    pub(in crate::engine) fn get(&self) -> Arc<Effective> {
        // A poisoned lock still holds a whole value: it is only ever replaced.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::engine) fn set(&self, effective: &Arc<Effective>) {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::clone(effective);
    }
}
