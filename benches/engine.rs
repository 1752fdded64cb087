//! The whole engine in process, without HTTP: router, journal, identity, profiles, answers.
//!
//! ```text
//! cargo bench --bench engine -- --events 200000 --in-flight 1000 --rounds 5
//! ```
//!
//! Beside it, the least that durability costs: the same records appended to a plain file with a
//! CRC32C, and an `fdatasync` after every 100 of them. Rounds are interleaved; medians are shown.
//! The goal: engine ÷ plain file at least 0.35.

#[path = "load/workload.rs"]
mod workload;

use clap::Parser;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use selfsame::clock::Clock;
use selfsame::config::{Config, Inputs};
use selfsame::domain::event::Payload;
use selfsame::domain::extract::RequestFacts;
use selfsame::domain::settings::Durability;
use selfsame::engine::{Engine, Options, Submission};
use selfsame::records::encode_event;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the engine beside a plain file.
#[derive(Debug, Parser)]
struct Flags {
    /// Events of a round.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Events under way at a time.
    #[arg(long, default_value_t = 1_000)]
    in_flight: usize,
    /// How many different users the events tell of.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// How often both are measured.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// When events are answered: memory, written or fsynced.
    #[arg(long, default_value = "fsynced")]
    durability: String,
    /// Threads for profile actors.
    #[arg(long, default_value_t = 1)]
    arbiters: usize,
    /// Where data folders are made; by default the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let folder = match &flags.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }?;
    actix_rt::System::new().block_on(run(&flags, folder.path()))
}

async fn run(flags: &Flags, folder: &Path) -> anyhow::Result<()> {
    let engine = start(flags, folder)?;
    tokio::select! {
        () = engine.ready() => {}
        why = engine.failed() => anyhow::bail!(why),
    }
    let mut submissions = Submissions { engine: engine.clone(), flags, next: 0 };
    // Every user once or so, so that the rounds meet known ones.
    ingest(&engine, flags, submissions.take(2 * flags.users)?).await?;
    let (mut rates, mut plain_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let all = submissions.take(flags.events)?;
        let plain = plain_file(folder, &all)?;
        let started = Instant::now();
        ingest(&engine, flags, all).await?;
        let rate = flags.events as f64 / started.elapsed().as_secs_f64();
        rates.push(rate);
        plain_rates.push(plain);
        ratios.push(rate / plain);
    }
    engine.stop(Duration::from_secs(30)).await;
    println!("plain file: {:>9.0} events per second", median(&mut plain_rates));
    println!("engine:     {:>9.0} events per second", median(&mut rates));
    println!("engine ÷ plain file: {:.2} (goal: at least 0.35)", median(&mut ratios));
    Ok(())
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

fn start(flags: &Flags, folder: &Path) -> anyhow::Result<Engine> {
    let config = folder.join("config");
    std::fs::create_dir_all(&config)?;
    let text = workload::configuration(&flags.durability);
    std::fs::write(config.join("bench.toml"), text)?;
    let config = Config::load(&Inputs { folder: Some(config), ..Inputs::default() })?;
    Ok(Engine::start(Options {
        data: folder.join("data"),
        settings: config.settings,
        clock: Clock::system(),
        queue: flags.in_flight.max(1_000) * 2,
        active_profiles: 200_000,
        snapshot_every: Duration::from_secs(3_600),
        snapshot_every_events: u64::MAX,
        segment_bytes: 64 << 20,
        free_bytes_min: 0,
        retain: Default::default(),
        arbiters: flags.arbiters,
        metrics: Default::default(),
        panic_on: None,
        guard: Default::default(),
        secrets: Default::default(),
    }))
}

/// Events as the HTTP side hands them over, made before the clock runs.
struct Submissions<'f> {
    engine: Engine,
    flags: &'f Flags,
    next: u64,
}

impl Submissions<'_> {
    fn take(&mut self, count: u64) -> anyhow::Result<Vec<Submission>> {
        let effective = self.engine.effective()?;
        let source = &effective.compiled.sources["bench"];
        let mut body = Vec::new();
        let one = |number| {
            workload::write_body(number, self.flags.users, &mut body);
            let facts = RequestFacts {
                event_type: "order",
                session: None,
                header: &|_| None,
                query: &[],
                received_at: Clock::system().now(),
                batch_index: None,
                passed_over: &|_| {},
            };
            let payload = Payload::Json(bytes::Bytes::copy_from_slice(&body));
            let event = effective.compiled.extract(source, &facts, payload, &effective.hash_key);
            let (durability, dedupe_window_ms) = (source.durability, source.dedupe_window_ms);
            Submission { event, durability, dedupe_window_ms }
        };
        let all = (self.next..self.next + count).map(one).collect();
        self.next += count;
        Ok(all)
    }
}

async fn ingest(engine: &Engine, flags: &Flags, all: Vec<Submission>) -> anyhow::Result<()> {
    let mut all = all.into_iter();
    let mut under_way: FuturesUnordered<_> =
        all.by_ref().take(flags.in_flight).map(|one| engine.ingest(one)).collect();
    while let Some(receipt) = under_way.next().await {
        receipt?;
        under_way.extend(all.next().map(|one| engine.ingest(one)));
    }
    Ok(())
}

/// Events per second of a plain file: one write, one checksum and one `fdatasync` per 100 records.
fn plain_file(folder: &Path, all: &[Submission]) -> anyhow::Result<f64> {
    let records: Result<Vec<_>, _> = all.iter().map(|one| encode_event(&one.event)).collect();
    let records = records?;
    let path = folder.join("plain");
    let file = File::create(&path)?;
    let mut at = 0;
    let started = Instant::now();
    for group in records.chunks(100) {
        let mut bytes = group.concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
        if all[0].durability == Durability::Fsynced {
            file.sync_data()?;
        }
    }
    let rate = records.len() as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
