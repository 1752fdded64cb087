//! The whole engine in process, without HTTP: router, journal, identity, profiles, answers. Parts of
//! it are measured by name, with flags of their own.
//!
//! ```text
//! cargo bench --bench engine -- --events 200000 --in-flight 1000 --rounds 5
//! cargo bench --bench engine -- identity             # or merges, points, memory, delivery
//! cargo bench --bench engine -- identity --help
//! ```
//!
//! Beside it, the least that durability costs: the same records appended to a plain file with a
//! CRC32C, and an `fdatasync` after every 100 of them. Rounds are interleaved; medians are shown.
//! The goal: engine ÷ plain file at least 0.35.

#[allow(clippy::unwrap_used, reason = "a poisoned lock ends the bench")]
mod delivery;
mod graph_event;
mod identity;
mod in_process;
mod memory;
mod merges;
mod points;
mod resident;
#[path = "../load/workload.rs"]
mod workload;

use clap::{Args, Parser, Subcommand};
use in_process::{ingest, median, start, submission};
use selfsame::domain::settings::Durability;
use selfsame::engine::{Engine, Submission};
use selfsame::records::encode_event;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the engine beside a plain file, or the part of it that is named.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "With cargo: cargo bench --bench engine -- [PART] [FLAGS]\n\
    Each part has flags of its own: cargo bench --bench engine -- PART --help")]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What is measured by its name.
#[derive(Debug, Subcommand)]
enum Part {
    /// The identity graph: resolve, bytes per identifier.
    Identity(identity::Flags),
    /// The identity graph where it is slow: worst merges, full components, random pairs.
    Merges(merges::Flags),
    /// Events with identification points beside without, preview, re-resolution.
    Points(points::Flags),
    /// Bytes per profile, time to start.
    Memory(memory::Flags),
    /// Outgoing webhooks: event to first byte, saturation, order, restart, isolation.
    Delivery(delivery::Flags),
}

/// The flags of the engine as a whole.
#[derive(Debug, Args)]
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
    let Command { flags, part } = Command::parse();
    match part {
        None => beside_plain_file(&flags),
        Some(Part::Identity(flags)) => identity::main(&flags),
        Some(Part::Merges(flags)) => {
            merges::main(&flags);
            Ok(())
        }
        Some(Part::Points(flags)) => points::main(&flags),
        Some(Part::Memory(flags)) => memory::main(&flags),
        Some(Part::Delivery(flags)) => delivery::main(&flags),
    }
}

fn beside_plain_file(flags: &Flags) -> anyhow::Result<()> {
    let folder = match &flags.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }?;
    actix_rt::System::new().block_on(run(flags, folder.path()))
}

async fn run(flags: &Flags, folder: &Path) -> anyhow::Result<()> {
    let config = workload::configuration(&flags.durability);
    let queue = flags.in_flight.max(1_000) * 2;
    let engine = start(folder, &config, queue, flags.arbiters).await?;
    let mut submissions = Submissions { engine: engine.clone(), flags, next: 0 };
    // Every user once or so, so that the rounds meet known ones.
    ingest(&engine, flags.in_flight, submissions.take(2 * flags.users)?).await?;
    let (mut rates, mut plain_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let all = submissions.take(flags.events)?;
        let plain = plain_file(folder, &all)?;
        let started = Instant::now();
        ingest(&engine, flags.in_flight, all).await?;
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

/// Events as the HTTP side hands them over, made before the clock runs.
struct Submissions<'f> {
    engine: Engine,
    flags: &'f Flags,
    next: u64,
}

impl Submissions<'_> {
    fn take(&mut self, count: u64) -> anyhow::Result<Vec<Submission>> {
        let one = |number| submission(&self.engine, number, self.flags.users);
        let all = (self.next..self.next + count).map(one).collect::<Result<_, _>>()?;
        self.next += count;
        Ok(all)
    }
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
