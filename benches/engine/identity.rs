//! The identity graph in memory: resolving events, and what an identifier weighs.
//!
//! ```text
//! cargo bench --bench engine -- identity --profiles 1000000 --resolves 1000000
//! ```
//!
//! The goals: at least 1,000,000 events with three known identifiers per second, with a p99 of at
//! most 5 µs; at most 120 bytes per identifier, edges and texts included. The graph says itself what
//! its tables have reserved; what the process has grown by stands beside it.

use crate::graph_event::{event, found};
use crate::resident;
use anyhow::Context;
use clap::Args;
use hdrhistogram::Histogram;
use selfsame::domain::event::Event;
use selfsame::domain::graph::Graph;
use selfsame::domain::rules::Rules;
use selfsame::domain::settings::Settings;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The flags of `identity`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Profiles in the graph, of three identifiers each.
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Events resolved against them.
    #[arg(long, default_value_t = 1_000_000)]
    resolves: u64,
    /// How often the events are resolved; each round is shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Measures the identity graph.
pub fn main(flags: &Flags) -> anyhow::Result<()> {
    let before = resident::bytes()?;
    let mut graph = graph(THREE);
    for number in 0..flags.profiles {
        graph.observe(number + 1, &of_profile(number, 0));
    }
    let resident = resident::bytes()?.saturating_sub(before);
    graph.take_changed_pages();
    let identifiers = graph.node_count();
    println!(
        "{} profiles, {identifiers} identifiers, {} edges",
        graph.profiles(),
        graph.edge_count()
    );
    println!(
        "memory per identifier        {:>9} B  {:>9} B resident   (goal: at most 120 B)",
        graph.memory() / identifiers,
        resident / identifiers as u64,
    );
    for _ in 0..flags.rounds {
        resolve(flags, &mut graph)?;
    }
    Ok(())
}

/// An event that shows all three identifiers of a profile.
fn of_profile(number: u64, at: u64) -> Event {
    let mail = found("email", format!("user{number}@example.com"));
    let phone = found("phone", format!("+4930{number:08}"));
    event(Some(found("shop", number.to_string())), SmallVec::from_buf([mail, phone]), at as i64)
}

fn graph(json: &str) -> Graph {
    let settings: Settings = serde_json::from_str(json).expect("the settings are right");
    Graph::new(Arc::new(Rules::new(&settings)))
}

const THREE: &str = r#"{"sources":{"shop":{"profile_id":"u"}}}"#;

/// Events per portion: as many as a busy engine's group holds.
const PORTION: u64 = 256;

fn resolve(flags: &Flags, graph: &mut Graph) -> anyhow::Result<()> {
    let mut sequence = flags.profiles + 1;
    let mut latency = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)?;
    let (mut took, mut busy) = (Duration::ZERO, Duration::ZERO);
    // Made in portions, so that making them is neither measured nor fills the memory.
    let mut left = flags.resolves;
    let mut at = 1;
    while left > 0 {
        let portion = left.min(PORTION);
        let events: Vec<Event> = (0..portion)
            .map(|_| {
                at += 1;
                of_profile(at * 7_919_003 % flags.profiles, at)
            })
            .collect();
        let since = processor_time()?;
        for event in &events {
            let started = Instant::now();
            graph.observe(sequence, event);
            let one = started.elapsed();
            sequence += 1;
            took += one;
            latency.saturating_record(one.as_nanos() as u64);
        }
        busy += processor_time()?.saturating_sub(since);
        left -= portion;
    }
    let rate = |time: Duration| flags.resolves as f64 / time.as_secs_f64() / 1e6;
    println!(
        "resolve, three known         {:>9.2} M/s  {:>6.2} M/s of processor time   p50 {:>5} ns   \
         p99 {:>5} ns   (goals: at least 1 M/s, at most 5,000 ns)",
        rate(took),
        rate(busy),
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
    );
    Ok(())
}

/// What this thread has had of a processor, so that what else runs on the machine does not count.
fn processor_time() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("no time")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
