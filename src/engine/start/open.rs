//! Opening: data folder → journal → snapshot → replay of the tail → running actors; and the end.

use crate::clock::Clock;
use crate::domain::event::Reason;
use crate::domain::id::IdKey;
use crate::domain::settings::Settings;
use crate::engine::context::{Alive, Published, Shared};
use crate::engine::delivery::sending::Sending;
use crate::engine::fault::{Failure, Faults};
use crate::engine::handle::{Digests, Engine, Inner, Running, Threads};
use crate::engine::history::replay::{Plan, replay};
use crate::engine::identity::actor::{Cadence, IdentityActor};
use crate::engine::identity::snapshotter;
use crate::engine::identity::snapshotter::SnapshotDone;
use crate::engine::intake::committer::Committer;
use crate::engine::intake::entry::{Entry, Then};
use crate::engine::intake::router::{Close, RouterActor};
use crate::engine::options::{EngineError, Options, Recovered};
use crate::engine::profile::directory::Profiles;
use crate::engine::start::opening::{open_store, usable};
use crate::engine::state::Core;
use crate::engine::state::aside::Aside;
use crate::engine::state::configuration::Effective;
use crate::engine::store::collector::Job;
use crate::engine::store::fragments::Rest;
use crate::engine::store::{erasure_log, retention};
use crate::journal::folder::{DataFolder, Spare, Watch};
use crate::journal::{Journal, JournalOptions, JournalReader, RawRecord};
use crate::outbound::client::{Client, Limits};
use crate::outbound::resolve::SystemResolver;
use crate::records::{DedupeRow, Genesis, RecordError, kind};
use crate::{journal, records};
use actix::{Actor, Arbiter, ArbiterHandle, AsyncContext, Recipient};
use crossbeam_channel::Receiver;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot, watch};

/// Events that the live stream keeps for a slow reader.
const STREAM_EVENTS: usize = 1_024;

/// An engine whose state is recovered, and which nobody drives yet.
pub(in crate::engine) struct Prepared {
    options: Options,
    folder: DataFolder,
    journal: Journal,
    reader: JournalReader,
    rest: Rest,
    core: Core,
    dedupe: Vec<DedupeRow>,
    recovered: Recovered,
    client: Client,
    faults: Faults,
}

/// Which actors live on which thread.
///
/// A hop to another thread costs a wakeup, which on few cores is more than what the actor behind it
/// does. So one thread is for all; with two the profiles have their own; from three on router and
/// identity have one each, and the profiles all others.
struct Homes {
    router: ArbiterHandle,
    identity: ArbiterHandle,
    profiles: Vec<ArbiterHandle>,
    outgoing: ArbiterHandle,
}

impl Homes {
    /// `arbiters` is not empty.
    fn of(arbiters: &[Arbiter], outgoing: ArbiterHandle) -> Self {
        let identity = usize::from(arbiters.len() > 2);
        let profiles = (identity + 1).min(arbiters.len() - 1);
        Self {
            router: arbiters[0].handle(),
            identity: arbiters[identity].handle(),
            profiles: arbiters[profiles..].iter().map(Arbiter::handle).collect(),
            outgoing,
        }
    }
}

impl Prepared {
    /// Recovers the state in a data folder; blocks, and tells its `progress` in records.
    ///
    /// # Errors
    /// When the folder is taken, damaged beyond what a replay mends, or cannot be written.
    pub(in crate::engine) fn recover(
        options: Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, EngineError> {
        let started = Instant::now();
        let client =
            Client::new(Box::new(SystemResolver), options.guard.clone(), Limits::default())
                .map_err(|cause| EngineError::Client(cause.to_string()))?;
        let folder = DataFolder::take(&options.data)?;
        options.secrets.open(&options.data)?;
        let mut journal_options = JournalOptions::new(options.data.join("journal"));
        journal_options.segment_bytes = options.segment_bytes;
        Spare::of(&options.data).give_up();
        let (mut journal, reader, report) = journal::open(journal_options, &mut |_| {})?;
        let genesis = genesis(&mut journal, &reader, &options.clock)?;
        let last = reader.next_sequence() - 1;
        let (store, snapshot_refused) =
            open_store(&options.data.join("snapshot"), last, options.accept_journal_loss)?;
        retention::check_beginning(&options.data, &reader)?;
        let (rest, start, snapshot_refused) =
            usable(&options.data, store, snapshot_refused, genesis, &reader)?;
        let (generation, snapshot_sequence) = (start.0.counters.snapshots, start.0.applied);
        let log = erasure_log::take_up(&options.data).map_err(EngineError::ErasureLog)?;
        let faults = Faults::new(options.panic_on.clone());
        let plan = Plan {
            rest: &rest,
            reader: &reader,
            genesis,
            upto: None,
            aside: Aside::default(),
            passed: Aside::default(),
            faults: faults.clone(),
            unsaved_bytes: options.unsaved_bytes,
            log: &log,
        };
        let replayed = replay(start, &plan, progress)?;
        for act in &replayed.acts {
            let bytes = act.encode()?;
            let version = records::VERSION;
            journal.append(&[RawRecord { kind: kind::ACT, version, bytes: &bytes }])?;
        }
        journal.sync()?;
        let (mut core, dedupe) = (replayed.core, replayed.dedupe);
        erasure_log::complete(&options.data, &log, &core.erasures, &reader)
            .map_err(EngineError::ErasureLog)?;
        configure(&mut core, &mut journal, &options.settings)?;
        let recovered = Recovered {
            generation,
            snapshot_sequence,
            sequence: core.applied,
            records: replayed.records,
            torn_bytes: report.torn_bytes,
            snapshot_refused,
            took: started.elapsed(),
        };
        tracing::info!(
            generation = recovered.generation,
            sequence = recovered.sequence,
            records = recovered.records,
            torn_bytes = recovered.torn_bytes,
            took = ?recovered.took,
            "recovered"
        );
        Ok(Self { options, folder, journal, reader, rest, core, dedupe, recovered, client, faults })
    }

    /// Starts the actors and threads; to be called within an actix system.
    pub(in crate::engine) fn start(self, failure: watch::Sender<Option<Failure>>) -> Running {
        let Self {
            options,
            folder,
            journal,
            reader,
            rest,
            core,
            dedupe,
            recovered,
            client,
            faults,
        } = self;
        let shared = context(&core, &journal, &options, (rest, reader, faults), failure);
        let published = Arc::new(Published(std::sync::RwLock::new(Arc::clone(&core.effective))));
        let stream = broadcast::Sender::new(STREAM_EVENTS);
        let next = journal.next_sequence();
        let (arbiters, homes) = threads_of_actors(&shared, options.arbiters.max(1));
        let sending = Sending::new(Arc::new(client), homes.outgoing);
        let (to_snapshots, snapshot_jobs) = crossbeam_channel::unbounded();
        let cadence =
            Cadence { every: options.snapshot_every, every_events: options.snapshot_every_events };
        let identity = {
            let (shared, published, stream) =
                (Arc::clone(&shared), Arc::clone(&published), stream.clone());
            let (arbiters, most) = (homes.profiles, options.active_profiles);
            IdentityActor::start_in_arbiter(&homes.identity, move |context| {
                let reports = context.address().recipient();
                let profiles = Profiles::new(arbiters, most, Arc::clone(&shared), reports);
                IdentityActor::new(
                    core,
                    profiles,
                    shared,
                    published,
                    stream,
                    (to_snapshots, cadence),
                    sending,
                )
            })
        };
        // As long as the events in flight, which the router bounds, and a few acts.
        let (to_committer, queue) = crossbeam_channel::unbounded::<Entry>();
        let router = {
            let shared = Arc::clone(&shared);
            RouterActor::start_in_arbiter(&homes.router, move |_| {
                let most = (options.queue, options.queue_bytes);
                RouterActor::new(shared, to_committer, next, most, dedupe)
            })
        };
        // BOUND: once.
        identity.do_send(crate::engine::identity::actor::Ask(Box::new({
            let router = router.clone();
            move |identity, context| identity.begin(router, context)
        })));
        let committer = Committer {
            journal,
            watch: Watch::of(&options.data, &["", "lock", "journal", "snapshot"]),
            spare: Spare::of(&options.data),
            written_since: 0,
            until_look: 0,
            folder: options.data.clone(),
            free_bytes_min: options.free_bytes_min,
            queue,
            identity: identity.clone().recipient(),
            shared: Arc::clone(&shared),
        };
        let snapshots = snapshots(&options, &shared, identity.clone().recipient(), snapshot_jobs);
        let handles =
            vec![spawn("committer", move || committer.run()), spawn("snapshots", snapshots)];
        let (handles, arbiters) = (Mutex::new(handles), Mutex::new(arbiters));
        let threads = Threads { handles, arbiters, folder: Mutex::new(Some(folder)) };
        let entrance = router.clone().recipient();
        Running { router, entrance, identity, shared, published, stream, recovered, threads }
    }
}

/// What all parts of the engine share.
fn context(
    core: &Core,
    journal: &Journal,
    options: &Options,
    (rest, reader, faults): (Rest, JournalReader, Faults),
    failure: watch::Sender<Option<Failure>>,
) -> Arc<Shared> {
    let panicked = core.quarantined.iter().filter(|(_, why)| **why == Reason::Panicked);
    let aside = panicked.map(|(sequence, _)| *sequence).collect();
    Arc::new(Shared {
        aside: Mutex::new(aside),
        data: options.data.clone(),
        suppressed: std::sync::RwLock::new(Arc::new(core.suppressed.clone())),
        rest,
        kept: core.campaigns.outbox.kept().clone(),
        secrets: options.secrets.clone(),
        readers: crate::engine::readers::Readers::start(),
        reader,
        rereadings: core.revised.clone(),
        genesis: core.genesis,
        clock: options.clock.clone(),
        page_bytes: options.page_bytes,
        in_flight: Arc::default(),
        durable: AtomicU64::new(journal.durable_sequence()),
        storage_full: AtomicBool::new(false),
        failure,
        writing: Mutex::default(),
        era: AtomicU64::default(),
        stopping: AtomicBool::new(false),
        faults,
        metrics: Arc::clone(&options.metrics),
    })
}

/// So many threads for actors, and one for what goes out; each fails the engine when it ends.
fn threads_of_actors(shared: &Arc<Shared>, count: usize) -> (Vec<Arbiter>, Homes) {
    let mut arbiters: Vec<Arbiter> = (0..count).map(|_| Arbiter::new()).collect();
    let outgoing = Arbiter::new();
    let homes = Homes::of(&arbiters, outgoing.handle());
    arbiters.push(outgoing);
    for arbiter in &arbiters {
        let alive = Alive::new(shared, "a thread of actors");
        arbiter.spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
    }
    (arbiters, homes)
}

/// The thread that writes snapshots.
fn snapshots(
    options: &Options,
    shared: &Arc<Shared>,
    identity: Recipient<SnapshotDone>,
    jobs: Receiver<Job>,
) -> impl FnOnce() + Send + use<> {
    let shared = Arc::clone(shared);
    let retain = snapshotter::Retention {
        data: options.data.clone(),
        retain: options.retain,
        free_bytes_min: options.free_bytes_min,
    };
    move || {
        let _alive = Alive::new(&shared, "the thread that writes snapshots");
        snapshotter::run(&jobs, &shared, &identity, &retain);
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be started while the program starts")
}

impl Engine {
    /// Starts an engine; to be called within an actix system. Recovery goes on behind the answer:
    /// until it is over every call is refused as [`Refusal::Recovering`](crate::engine::Refusal::Recovering).
    pub fn start(options: Options) -> Self {
        let engine = Self(Arc::new(Inner {
            running: OnceLock::new(),
            replayed: (AtomicU64::new(0), AtomicU64::new(0)),
            is_ready: watch::Sender::new(false),
            failure: watch::Sender::new(None),
            is_stopping: AtomicBool::new(false),
            preview: Arc::default(),
            digests: Digests::default(),
        }));
        let starting = engine.clone();
        actix_rt::spawn(async move { starting.recover(options).await });
        engine
    }

    async fn recover(self, options: Options) {
        let inner = Arc::clone(&self.0);
        let metrics = Arc::clone(&options.metrics);
        let recovery = actix_rt::task::spawn_blocking(move || {
            Prepared::recover(options, &mut |done, total| {
                inner.replayed.0.store(done, Ordering::Relaxed);
                inner.replayed.1.store(total, Ordering::Relaxed);
                metrics.set_recovery(done, total);
            })
        });
        let failure = self.0.failure.clone();
        match recovery.await {
            Ok(Ok(prepared)) => {
                let running = prepared.start(failure);
                running.answers().await;
                // Set once, here: nobody else starts it.
                let _ = self.0.running.set(running);
                self.0.is_ready.send_replace(true);
            }
            Ok(Err(error)) => {
                let is_fault = error.is_fault();
                failure.send_replace(Some(Failure { why: error.to_string(), is_fault }));
            }
            Err(_) => {
                let why = "the recovery panicked; the log says where".to_owned();
                failure.send_replace(Some(Failure { why, is_fault: true }));
            }
        }
    }

    /// Drains: takes nothing more, applies what was taken, takes a last snapshot, ends. What is not
    /// done within `limit` is left to the next start's replay.
    pub async fn stop(&self, limit: Duration) {
        self.0.is_stopping.store(true, Ordering::Release);
        let Ok(running) = self.running() else { return };
        running.shared.stopping.store(true, Ordering::Release);
        let (reply, drained) = oneshot::channel();
        let then = Then::Mark(reply);
        // BOUND: once.
        running.router.do_send(Close(then));
        let drain = async {
            drop(drained.await);
            let is_awaited = || running.shared.in_flight.now().0 > 0 && !running.shared.is_failed();
            while is_awaited() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Where no snapshot fits, the next start replays the journal.
            let has_room = !running.shared.storage_full.load(Ordering::Acquire);
            if !running.shared.is_failed() && has_room {
                drop(self.snapshot().await);
            }
        };
        if tokio::time::timeout(limit, drain).await.is_err() {
            tracing::warn!(?limit, "draining took too long; the next start replays the rest");
        }
        let arbiters = running.threads.arbiters.lock().map(|mut all| std::mem::take(&mut *all));
        for arbiter in arbiters.unwrap_or_default() {
            arbiter.stop();
            let left = arbiter.join();
            drop(left);
        }
        let handles = running.threads.handles.lock().map(|mut all| std::mem::take(&mut *all));
        for handle in handles.unwrap_or_default() {
            let _ = handle.join();
        }
        if let Ok(mut folder) = running.threads.folder.lock() {
            drop(folder.take());
        }
    }
}

/// The folder's keys: the first record, or made now.
fn genesis(
    journal: &mut Journal,
    reader: &JournalReader,
    clock: &Clock,
) -> Result<Option<Genesis>, EngineError> {
    if reader.next_sequence() > journal::FIRST_SEQUENCE {
        let first = reader.read(journal::FIRST_SEQUENCE)?;
        let first = first.filter(|record| record.kind == kind::GENESIS);
        return Ok(match first {
            Some(record) => Some(Genesis::decode(record.version, &record.bytes)?),
            None => None,
        });
    }
    let mut random = [0u8; 48];
    getrandom::fill(&mut random).map_err(|cause| EngineError::Randomness(cause.to_string()))?;
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&random[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let mut hash_key = [0; 32];
    hash_key.copy_from_slice(&random[16..]);
    let genesis = Genesis { made_at: clock.now(), id_key: IdKey(word(0), word(8)), hash_key };
    let bytes = genesis.encode()?;
    journal.append(&[RawRecord {
        kind: kind::GENESIS,
        version: records::VERSION,
        bytes: &bytes,
    }])?;
    journal.sync()?;
    Ok(Some(genesis))
}

/// Records what the files say now, where that differs from what they said last.
fn configure(
    core: &mut Core,
    journal: &mut Journal,
    settings: &Settings,
) -> Result<(), EngineError> {
    if core.files == *settings {
        return Ok(());
    }
    Effective::new(settings, &core.objects, core.genesis.hash_key)
        .map_err(EngineError::Settings)?;
    let bytes = serde_json::to_vec(settings).map_err(|cause| RecordError::Encoding {
        what: "the configuration",
        cause: cause.to_string(),
    })?;
    let record = RawRecord { kind: kind::CONFIGURATION, version: records::VERSION, bytes: &bytes };
    journal.append(&[record])?;
    journal.sync()?;
    core.applied = journal.next_sequence() - 1;
    core.configure(Some(settings.clone()), None).map_err(EngineError::Settings)
}

impl Running {
    /// Completes once router, committer and identity actor have started: from then on a burst finds
    /// mailboxes of their full size.
    pub(in crate::engine) async fn answers(&self) {
        let (reply, answer) = oneshot::channel();
        let then = Then::Mark(reply);
        // BOUND: once.
        self.router.do_send(crate::engine::intake::router::Pass(then));
        let _ = answer.await;
    }
}
