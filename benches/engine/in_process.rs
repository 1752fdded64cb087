//! The engine within a bench's own process, and the events that it is given.

use crate::workload;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use selfsame::clock::Clock;
use selfsame::config::{Config, Inputs};
use selfsame::domain::event::Payload;
use selfsame::domain::facts::RequestFacts;
use selfsame::domain::settings::Settings;
use selfsame::engine::{Engine, Options, Submission};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Starts an engine with a configuration, and waits until it is ready.
pub async fn start(
    folder: &Path,
    config: &str,
    queue: usize,
    arbiters: usize,
) -> anyhow::Result<Engine> {
    let config_folder = folder.join("config");
    std::fs::create_dir_all(&config_folder)?;
    std::fs::write(config_folder.join("bench.toml"), config)?;
    let config = Config::load(&Inputs { folder: Some(config_folder), ..Inputs::default() })?;
    let settings = config.settings;
    open(Options { queue, arbiters, ..options(folder.join("data"), settings) }).await
}

/// How the engine of a bench runs: nothing is saved but at its end, and nothing is refused.
pub fn options(data: PathBuf, settings: Settings) -> Options {
    Options {
        data,
        settings,
        clock: Clock::system(),
        queue: 20_000,
        queue_bytes: 1 << 30,
        active_profiles: 200_000,
        unsaved_bytes: 128 << 20,
        page_bytes: 4 << 20,
        snapshot_every: Duration::from_secs(3_600),
        snapshot_every_events: u64::MAX,
        segment_bytes: 64 << 20,
        free_bytes_min: 0,
        retain: Default::default(),
        arbiters: 1,
        metrics: Default::default(),
        panic_on: Vec::new(),
        accept_journal_loss: false,
        guard: Default::default(),
        secrets: Default::default(),
    }
}

/// Starts an engine, and waits until it is ready.
pub async fn open(options: Options) -> anyhow::Result<Engine> {
    let engine = Engine::start(options);
    tokio::select! {
        () = engine.ready() => Ok(engine),
        why = engine.failed() => anyhow::bail!(why),
    }
}

/// Event `number` as the HTTP side hands it over.
pub fn submission(engine: &Engine, number: u64, users: u64) -> anyhow::Result<Submission> {
    let effective = engine.effective()?;
    let source = &effective.compiled.sources["bench"];
    let mut body = Vec::new();
    workload::write_body(number, users, &mut body);
    let facts = RequestFacts {
        event_type: "order",
        session: None,
        header: &|_| None,
        query: &[],
        received_at: Clock::system().now(),
        batch_index: None,
        is_lossy: false,
        passed_over: &|_| {},
    };
    let payload = Payload::Json(body.into());
    let event = effective.compiled.extract(source, &facts, payload, &effective.hash_key);
    let (durability, dedupe_window_ms) = (source.durability, source.dedupe_window_ms);
    Ok(Submission { event, durability, dedupe_window_ms })
}

/// Has events stored, so many under way at a time.
pub async fn ingest(engine: &Engine, in_flight: usize, all: Vec<Submission>) -> anyhow::Result<()> {
    let mut all = all.into_iter();
    let mut under_way: FuturesUnordered<_> =
        all.by_ref().take(in_flight).map(|one| engine.ingest(one)).collect();
    while let Some(receipt) = under_way.next().await {
        receipt?;
        under_way.extend(all.next().map(|one| engine.ingest(one)));
    }
    Ok(())
}

/// The one in the middle.
pub fn median(all: &mut [f64]) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
