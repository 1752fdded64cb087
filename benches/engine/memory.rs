//! What a profile weighs in memory, active and passivated, and how long a start takes.
//!
//! ```text
//! cargo bench --bench engine -- memory --profiles 1000000 --tail 100000
//! ```
//!
//! Every part runs in a process of its own, so that resident memory belongs to it alone. A profile
//! has three identifiers and five traits, of one event. The goals: at most 2,500 bytes per active
//! profile; at most 200 bytes per passivated one beside the identifier index; at most 5 s from the
//! start to ready with a snapshot of 1,000,000 profiles and a tail of 100,000 events.

use crate::{in_process, resident};
use anyhow::Context;
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use selfsame::clock::Clock;
use selfsame::domain::event::{Event, Found, Payload, Standing, Timing, TraitValue};
use selfsame::domain::graph::Graph;
use selfsame::domain::rules::Rules;
use selfsame::domain::settings::{Durability, Settings};
use selfsame::domain::time::Timestamp;
use selfsame::engine::{Engine, Options, Submission};
use smallvec::SmallVec;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Profiles in memory while all others are passivated.
const FEW: usize = 1_000;
/// Events under way at a time.
const IN_FLIGHT: usize = 2_000;

/// The flags of `memory`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Profiles.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    profiles: u64,
    /// Events that a start replays.
    #[arg(long, global = true, default_value_t = 100_000)]
    tail: u64,
    /// Where data folders are made; by default the folder for temporary files.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// A part, in a process of its own; each prints one number.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Part {
    /// Resident bytes with all profiles active.
    Active,
    /// Resident bytes with nearly all of them passivated; leaves a snapshot behind.
    Passivated,
    /// Resident bytes of the identifier index alone.
    Index,
    /// Adds the tail and ends without a snapshot; prints nothing of interest.
    Tail,
    /// Milliseconds from the start to ready.
    Start,
}

/// Measures memory and the start.
pub fn main(flags: &Flags) -> anyhow::Result<()> {
    let folder = flags.folder.clone().unwrap_or_else(std::env::temp_dir);
    let system = actix_rt::System::new();
    match flags.part {
        None => {}
        Some(Part::Index) => return index(flags),
        Some(part) => return system.block_on(run(flags, part, &folder)),
    }
    let (own, rest) = (tempfile::tempdir_in(&folder)?, tempfile::tempdir_in(&folder)?);
    let profiles = flags.profiles;
    let active = child(flags, "active", own.path())? / profiles;
    drop(own);
    println!("active profile: {active} bytes resident (goal: at most 2,500)");
    let index = child(flags, "index", rest.path())? / profiles;
    let passivated = child(flags, "passivated", rest.path())? / profiles;
    println!(
        "passivated profile: {passivated} bytes resident, of which the index takes {index}: {} \
         beside it (goal: at most 200)",
        passivated.saturating_sub(index)
    );
    child(flags, "tail", rest.path())?;
    let start = child(flags, "start", rest.path())?;
    println!(
        "start with {profiles} profiles and {} events of tail: {start} ms (goal: at most 5,000)",
        flags.tail
    );
    Ok(())
}

fn child(flags: &Flags, part: &str, folder: &Path) -> anyhow::Result<u64> {
    let out = Command::new(std::env::current_exe()?)
        .args([
            "memory",
            part,
            "--profiles",
            &flags.profiles.to_string(),
            "--tail",
            &flags.tail.to_string(),
        ])
        .arg("--folder")
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    text.trim().parse().with_context(|| format!("the part {part} failed: {text}"))
}

async fn run(flags: &Flags, part: Part, folder: &Path) -> anyhow::Result<()> {
    let active_profiles = if matches!(part, Part::Active) { usize::MAX } else { FEW };
    let before = resident::bytes()?;
    let started = Instant::now();
    let engine = in_process::open(options(folder, active_profiles)?).await?;
    let took = started.elapsed();
    match part {
        Part::Active | Part::Passivated => {
            ingest(&engine, 0..flags.profiles).await?;
            if matches!(part, Part::Passivated) {
                engine.snapshot().await?;
                // A breath for those that are on their way to rest, and for memory to be given back.
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            println!("{}", resident::bytes()?.saturating_sub(before));
            if matches!(part, Part::Passivated) {
                engine.stop(Duration::from_secs(60)).await;
            }
        }
        Part::Tail => {
            let from = flags.profiles - flags.tail.min(flags.profiles);
            ingest(&engine, from..flags.profiles).await?;
            println!("0");
        }
        Part::Start | Part::Index => println!("{}", took.as_millis()),
    }
    // Without a stop: what is there must do.
    std::process::exit(0);
}

fn index(flags: &Flags) -> anyhow::Result<()> {
    let before = resident::bytes()?;
    let mut graph = Graph::new(Arc::new(Rules::new(&settings()?)));
    for number in 0..flags.profiles {
        graph.observe(number + 1, &event(number));
    }
    graph.take_changed_pages();
    println!("{}", resident::bytes()?.saturating_sub(before));
    Ok(())
}

fn settings() -> anyhow::Result<Settings> {
    Ok(serde_json::from_str(r#"{"sources":{"shop":{"profile_id":"u"}}}"#)?)
}

fn options(folder: &Path, active_profiles: usize) -> anyhow::Result<Options> {
    let (data, settings) = (folder.join("data"), settings()?);
    Ok(Options { queue: 2 * IN_FLIGHT, active_profiles, ..in_process::options(data, settings) })
}

fn event(number: u64) -> Event {
    let found = |kind: &str, value: String| Found {
        kind: kind.into(),
        value: value.into(),
        raw: None,
        point: "p".into(),
    };
    let value = |name: &str, text: String| TraitValue {
        name: name.into(),
        json: format!("\"{text}\"").into(),
        point: false,
    };
    let mail = found("email", format!("user{number}@example.com"));
    let phone = found("phone", format!("+4930{number:08}"));
    Event {
        received_at: Clock::system().now(),
        occurred_at: Timestamp(1_767_225_600_000),
        timing: Timing::Said,
        source: "shop".into(),
        kind: "order".into(),
        session: None,
        dedupe: None,
        external: Some(found("shop", number.to_string())),
        identifiers: SmallVec::from_buf([mail, phone]),
        traits: [
            value("city", format!("City {}", number % 997)),
            value("email", format!("user{number}@example.com")),
            value("first_name", format!("Ann {}", number % 89)),
            value("last_name", format!("Lee {number}")),
            value("plan", format!("p{}", number % 7)),
        ]
        .into_iter()
        .collect(),
        standing: Standing::Open,
        payload: Payload::Json(bytes::Bytes::from(format!("{{\"user\":{number}}}"))),
        raw: None,
    }
}

async fn ingest(engine: &Engine, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let one = |number| {
        let event = event(number);
        engine.ingest(Submission { event, durability: Durability::Memory, dedupe_window_ms: 0 })
    };
    let mut left = numbers;
    let mut under_way: FuturesUnordered<_> = left.by_ref().take(IN_FLIGHT).map(one).collect();
    while let Some(receipt) = under_way.next().await {
        receipt?;
        under_way.extend(left.next().map(one));
    }
    Ok(())
}
