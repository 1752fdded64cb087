//! What identification points cost, and what a preview of a new one costs those who are served
//! meanwhile. The whole engine in process, without HTTP.
//!
//! ```text
//! cargo bench --bench engine -- points --profiles 1000000 --events 200000 --rounds 5
//! ```
//!
//! First events whose mail a point reads beside the same events without the point, in interleaved
//! rounds. Then a preview of that point over all profiles, while events come at a steady rate. The
//! goals: with points ÷ without at least 0.8; a preview over 1,000,000 profiles in at most 20 s, with
//! the p99 of events at most doubled. At last the point itself: everything is resolved again, while
//! events come at the same rate; there the longest wait is of interest, which the switch makes.

use crate::in_process::{ingest, median, start, submission};
use crate::workload;
use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use selfsame::engine::{Engine, Preview, Resolution};
use selfsame::records::ObjectKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Events that may wait for the journal.
const QUEUE: usize = 8_192;

/// The flags of `points`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Profiles that a preview goes over.
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Events of a round.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Events under way at a time.
    #[arg(long, default_value_t = 1_000)]
    in_flight: usize,
    /// How often both are measured.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Events per second while the preview runs.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Seconds of such events before the preview.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Where data folders are made; by default the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Measures what identification points cost.
pub fn main(flags: &Flags) -> anyhow::Result<()> {
    let parent = flags.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    actix_rt::System::new().block_on(async {
        compare(flags, folder.path()).await?;
        preview(flags, &folder.path().join("preview")).await
    })
}

/// Events with a point that reads them beside the same without.
async fn compare(flags: &Flags, folder: &Path) -> anyhow::Result<()> {
    let with = start(&folder.join("with"), &workload::configuration("fsynced"), QUEUE, 1).await?;
    let without = start(&folder.join("without"), &workload::source("fsynced"), QUEUE, 1).await?;
    let users = flags.events / 2;
    let (mut rates, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=flags.rounds {
        let numbers = round * flags.events..(round + 1) * flags.events;
        let one = rate(&with, flags, numbers.clone(), users).await?;
        let other = rate(&without, flags, numbers, users).await?;
        // The first round makes the profiles.
        if round > 0 {
            rates.push(one);
            plain.push(other);
            ratios.push(one / other);
        }
    }
    for engine in [with, without] {
        engine.stop(Duration::from_secs(60)).await;
    }
    println!("without points: {:>9.0} events per second", median(&mut plain));
    println!("with points:    {:>9.0} events per second", median(&mut rates));
    println!("with points ÷ without: {:.2} (goal: at least 0.8)", median(&mut ratios));
    Ok(())
}

async fn rate(
    engine: &Engine,
    flags: &Flags,
    numbers: std::ops::Range<u64>,
    users: u64,
) -> anyhow::Result<f64> {
    let count = numbers.end - numbers.start;
    // Every tenth number carries a mail, and it is those that are compared.
    let all: Result<Vec<_>, _> =
        numbers.map(|number| submission(engine, number * 10, users)).collect();
    let all = all?;
    let started = Instant::now();
    ingest(engine, flags.in_flight, all).await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// A preview of the point over profiles that were made without it.
async fn preview(flags: &Flags, folder: &Path) -> anyhow::Result<()> {
    let engine = start(folder, &workload::source("written"), QUEUE, 1).await?;
    let users = flags.profiles;
    let mut made = 0;
    while made < 2 * users {
        let next = (made + 500_000).min(2 * users);
        rate(&engine, flags, made..next, users).await?;
        made = next;
    }
    // What fell behind is caught up with first: profiles on their way to rest, a snapshot.
    engine.snapshot().await.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    tokio::time::sleep(Duration::from_secs(flags.seconds)).await;
    let calm =
        serve(&engine, flags, 4 * users, tokio::time::sleep(Duration::from_secs(flags.seconds)));
    let (calm, ()) = calm.await?;
    let asked: Preview = serde_json::from_str(
        r#"{"identification_points": [{"id": "mail", "identifiers": [{"type": "email", "path": "user.email"}]}]}"#,
    )?;
    let started = Instant::now();
    let (busy, (answer, took)) = serve(&engine, flags, 8 * users, async {
        let answer = engine.preview(asked).await;
        (answer, started.elapsed())
    })
    .await?;
    let answer = answer.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    println!(
        "preview over {} profiles ({} after): {:.1} s (goal: at most 20)",
        answer.profiles_before,
        answer.profiles_after,
        took.as_secs_f64()
    );
    let p99 = |all: &Histogram<u64>| all.value_at_quantile(0.99) as f64 / 1_000.0;
    println!("p99 of events before: {:>7.2} ms", p99(&calm));
    println!(
        "p99 meanwhile:        {:>7.2} ms, {:.1} times (goal: at most 2)",
        p99(&busy),
        p99(&busy) / p99(&calm)
    );
    resolve(&engine, flags, 16 * users).await?;
    engine.stop(Duration::from_secs(60)).await;
    Ok(())
}

/// The point put in force, until everything is resolved under it.
async fn resolve(engine: &Engine, flags: &Flags, first: u64) -> anyhow::Result<()> {
    let point = serde_json::json!(
        {"id": "mail", "identifiers": [{"type": "email", "path": "user.email"}]}
    );
    let started = Instant::now();
    let (busy, done) = serve(engine, flags, first, async {
        let put = engine.put_object(ObjectKind::IdentificationPoint, "mail".into(), point).await;
        put.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        while engine.resolution().await? != Resolution::Current {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Events that the switch held up are answered by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        anyhow::Ok(())
    })
    .await?;
    done?;
    println!(
        "resolved anew in {:.1} s: p99 of events {:.2} ms, the longest {:.0} ms",
        started.elapsed().as_secs_f64() - 1.0,
        busy.value_at_quantile(0.99) as f64 / 1_000.0,
        busy.max() as f64 / 1_000.0
    );
    Ok(())
}

/// Sends events, from number `first` on, at a steady rate until `work` is over; their latencies in microseconds, from the
/// moment when each was due.
async fn serve<T>(
    engine: &Engine,
    flags: &Flags,
    first: u64,
    work: impl Future<Output = T>,
) -> anyhow::Result<(Histogram<u64>, T)> {
    let mut latencies = Histogram::new(3)?;
    let mut under_way = FuturesUnordered::new();
    let pause = Duration::from_nanos(1_000_000_000 / flags.rate.max(1));
    let begun = tokio::time::Instant::now();
    let mut work = std::pin::pin!(work);
    for number in 0.. {
        let due = begun + pause * number;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok((latencies, done)),
                Some(latency) = under_way.next(), if !under_way.is_empty() => {
                    let latency: Duration = latency?;
                    latencies.record(u64::try_from(latency.as_micros())?)?;
                }
                () = tokio::time::sleep_until(due) => break,
            }
        }
        let event = submission(engine, (first + u64::from(number)) * 10, flags.profiles)?;
        under_way.push(async move {
            engine.ingest(event).await.context("serving")?;
            anyhow::Ok(due.elapsed())
        });
    }
    unreachable!("numbers do not end")
}
