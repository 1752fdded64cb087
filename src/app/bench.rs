//! `selfsame bench`: what this machine's disk and cores can take, measured without HTTP.
//!
//! Two numbers that belong together: what one bare `fdatasync` costs here, and how many events a
//! second become durable when many are in flight. The rest (HTTP, open-loop load) is in `benches/`.

use super::serve::engine_options;
use super::{Failure, exit};
use crate::cli;
use crate::clock::Clock;
use crate::config::{Config, Inputs};
use crate::domain::event::Payload;
use crate::domain::facts::RequestFacts;
use crate::domain::settings::Durability;
use crate::engine::{Engine, Refusal, Submission};
use crate::inspect::Table;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use anyhow::anyhow;
use std::cell::RefCell;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long the bare disk is measured.
const RAW: Duration = Duration::from_secs(1);
/// Bytes of one bare write: about a small event's record.
const RAW_BYTES: [u8; 512] = [7; 512];
/// How long one that was refused waits.
const AGAIN: Duration = Duration::from_millis(1);
/// People that the events are about.
const PEOPLE: u64 = 10_000;
/// The source of the default configuration that the events come from.
const SOURCE: &str = "demo-shop";

/// Measures, and prints a table.
///
/// # Errors
/// When the folder cannot be written, or the engine fails.
pub fn bench(flags: &cli::Bench) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::new(exit::IO, error);
    let folder = tempfile::tempdir_in(&flags.folder).map_err(io)?;
    let raw = raw_syncs(folder.path()).map_err(io)?;
    let mut config = Config::load(&Inputs::default())?;
    config.server.data = folder.path().join("data");
    let (seconds, in_flight) = (flags.seconds.max(1), flags.in_flight.max(1));
    let load = actix_rt::System::new().block_on(load(&config, seconds, in_flight));
    let load = load.map_err(|why| Failure::new(exit::IO, anyhow!(why)))?;
    let mut table = Table::new(&["measured", "a second", "p50 us", "p99 us", "max us"]);
    table.row(raw.cells("bare fdatasync of 512 bytes"));
    table.row(load.cells(&format!("events, fsynced, {in_flight} in flight")));
    super::print_line(&table.to_string());
    Ok(())
}

/// How long things took.
#[derive(Default)]
struct Timings {
    micros: Vec<u64>,
    took: Duration,
}

impl Timings {
    fn add(&mut self, took: Duration) {
        self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn cells(mut self, name: &str) -> [String; 5] {
        self.micros.sort_unstable();
        let last = self.micros.len().saturating_sub(1);
        let at = |part: usize| self.micros.get(last * part / 100).copied().unwrap_or(0).to_string();
        let a_second = self.micros.len() as f64 / self.took.as_secs_f64().max(f64::EPSILON);
        [name.to_owned(), format!("{a_second:.0}"), at(50), at(99), at(100)]
    }
}

fn raw_syncs(folder: &Path) -> std::io::Result<Timings> {
    let mut file = std::fs::File::create(folder.join("raw"))?;
    let (mut timings, started) = (Timings::default(), Instant::now());
    while started.elapsed() < RAW {
        let begun = Instant::now();
        file.write_all(&RAW_BYTES)?;
        file.sync_data()?;
        timings.add(begun.elapsed());
    }
    timings.took = started.elapsed();
    Ok(timings)
}

/// Keeps so many events in flight for so long.
async fn load(config: &Config, seconds: u64, in_flight: usize) -> Result<Timings, String> {
    let clock = Clock::system();
    let engine = Engine::start(engine_options(config, &clock, &Arc::new(Metrics::new())));
    tokio::select! {
        () = engine.ready() => {}
        why = engine.failed() => return Err(why.to_string()),
    }
    let (started, limit) = (Instant::now(), Duration::from_secs(seconds));
    let timings = Rc::new(RefCell::new(Timings::default()));
    let senders: Vec<_> = (0..in_flight as u64)
        .map(|number| {
            let sender = Sender { engine: engine.clone(), clock: clock.clone(), number };
            let timings = Rc::clone(&timings);
            actix_rt::spawn(async move { sender.run(started, limit, &timings).await })
        })
        .collect();
    let mut progress = Progress::new("loading", "seconds");
    while started.elapsed() < limit {
        progress.set(started.elapsed().as_secs(), seconds);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    progress.finish();
    for sender in senders {
        sender.await.map_err(|error| error.to_string())??;
    }
    engine.stop(Duration::from_secs(30)).await;
    let mut timings = timings.take();
    timings.took = started.elapsed().min(limit);
    Ok(timings)
}

/// One of those that each keep one event in flight.
struct Sender {
    engine: Engine,
    clock: Clock,
    number: u64,
}

impl Sender {
    async fn run(
        self,
        started: Instant,
        limit: Duration,
        timings: &RefCell<Timings>,
    ) -> Result<(), String> {
        let mut event = self.number;
        while started.elapsed() < limit {
            let submission = self.submission(event)?;
            let begun = Instant::now();
            match self.engine.ingest(submission).await {
                Ok(_) => timings.borrow_mut().add(begun.elapsed()),
                // As a sender would: it comes again.
                Err(Refusal::Overloaded) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(refusal) => return Err(refusal.to_string()),
            }
            event = event.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(self.number | 1);
        }
        Ok(())
    }

    /// An order of some person, about as long as such bodies are.
    fn submission(&self, event: u64) -> Result<Submission, String> {
        let effective = self.engine.effective().map_err(|refusal| refusal.to_string())?;
        let source = effective.compiled.sources.get(SOURCE);
        let source = source.ok_or("the configuration has no demo-shop")?;
        let person = (event >> 16) % PEOPLE;
        let body = format!(
            r#"{{"id":{event},"customer":{{"id":{person},"email":"c{person}@shop.example","first_name":"Ann","last_name":"Ash"}},"currency":"EUR","total":"12.50","line_items":[{{"sku":"TEE-S","title":"A shirt","quantity":1,"price":"9.90"}},{{"sku":"SOX-M","title":"Socks","quantity":2,"price":"1.30"}}],"shipping_address":{{"city":"Ulm","zip":"89073","country_code":"DE"}}}}"#
        );
        let facts = RequestFacts {
            event_type: "order",
            session: None,
            header: &|_| None,
            query: &[],
            received_at: self.clock.now(),
            batch_index: None,
            is_lossy: false,
            passed_over: &|_| {},
        };
        let payload = Payload::Json(body.into());
        let event = effective.compiled.extract(source, &facts, payload, &effective.hash_key);
        Ok(Submission { event, durability: Durability::Fsynced, dedupe_window_ms: 0 })
    }
}
