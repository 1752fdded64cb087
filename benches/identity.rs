//! The identity graph in memory: resolving events, the worst merges, and what an identifier weighs.
//!
//! ```text
//! cargo bench --bench identity -- --profiles 1000000 --resolves 1000000
//! ```
//!
//! The goals: at least 1,000,000 events with three known identifiers per second, with a p99 of at
//! most 5 µs; a raw component of 1,000 identifiers rebuilt in at most 2 ms; at most 120 bytes per
//! identifier, edges and texts included.

use clap::Parser;
use hdrhistogram::Histogram;
use selfsame::domain::event::{Event, Found, Payload, Standing, Timing};
use selfsame::domain::graph::Graph;
use selfsame::domain::rules::Rules;
use selfsame::domain::settings::Settings;
use selfsame::domain::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the identity graph.
#[derive(Debug, Parser)]
struct Flags {
    /// Profiles in the graph, of three identifiers each.
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Events resolved against them.
    #[arg(long, default_value_t = 1_000_000)]
    resolves: u64,
    /// Identifiers of the worst components.
    #[arg(long, default_value_t = 1_000)]
    component: u64,
    /// How often each of the worst merges is made; medians are shown.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    resolve(&flags)?;
    worst(&flags);
    Ok(())
}

fn found(kind: &str, value: String) -> Found {
    Found { kind: kind.into(), value: value.into(), raw: None, point: "p".into() }
}

fn event(external: Option<Found>, identifiers: SmallVec<[Found; 2]>, at: u64) -> Event {
    Event {
        received_at: Timestamp(1_800_000_000_000),
        occurred_at: Timestamp(1_700_000_000_000 + at as i64),
        timing: Timing::Said,
        source: "shop".into(),
        kind: "order".into(),
        session: None,
        dedupe: None,
        external,
        identifiers,
        traits: SmallVec::new(),
        standing: Standing::Open,
        payload: Payload::Json("{}".into()),
    }
}

/// An event that shows all three identifiers of a profile.
fn of_profile(number: u64, at: u64) -> Event {
    let mail = found("email", format!("user{number}@example.com"));
    let phone = found("phone", format!("+4930{number:08}"));
    event(Some(found("shop", number.to_string())), SmallVec::from_buf([mail, phone]), at)
}

fn graph(json: &str) -> Graph {
    let settings: Settings = serde_json::from_str(json).expect("the settings are right");
    Graph::new(Arc::new(Rules::new(&settings)))
}

const THREE: &str = r#"{"sources":{"shop":{"profile_id":"u"}}}"#;

fn resolve(flags: &Flags) -> anyhow::Result<()> {
    let mut graph = graph(THREE);
    let mut sequence = 1;
    for number in 0..flags.profiles {
        graph.observe(sequence, &of_profile(number, 0));
        sequence += 1;
    }
    graph.take_changed_pages();
    let identifiers = graph.node_count();
    println!(
        "{} profiles, {identifiers} identifiers, {} edges: {} bytes per identifier (goal: at most 120)",
        graph.profiles(),
        graph.edge_count(),
        graph.memory() / identifiers,
    );
    let mut latency = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3)?;
    let mut took = Duration::ZERO;
    // Made in portions, so that making them is neither measured nor fills the memory.
    let mut left = flags.resolves;
    let mut at = 1;
    while left > 0 {
        let portion = left.min(10_000);
        let events: Vec<Event> = (0..portion)
            .map(|_| {
                at += 1;
                of_profile(at * 7_919_003 % flags.profiles, at)
            })
            .collect();
        for event in &events {
            let started = Instant::now();
            graph.observe(sequence, event);
            let one = started.elapsed();
            sequence += 1;
            took += one;
            latency.saturating_record(one.as_nanos() as u64);
        }
        left -= portion;
    }
    println!(
        "resolve, three known identifiers: {:.2} million per second, p50 {} ns, p99 {} ns \
         (goals: at least 1, at most 5,000)",
        flags.resolves as f64 / took.as_secs_f64() / 1e6,
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
    );
    Ok(())
}

/// Pairs of identifiers that hang together in a shape.
type Shape = (&'static str, fn(u64) -> Vec<(u64, u64)>);

const SHAPES: [Shape; 3] = [
    ("chain", |count| (1..count).map(|to| (to - 1, to)).collect()),
    ("star", |count| (1..count).map(|to| (0, to)).collect()),
    ("clique", |count| {
        // As many edges as a raw component may hold, by default.
        let all = (0..count).flat_map(|to| (0..to).map(move |from| (from, to)));
        all.filter(|(from, to)| to - from <= 9).collect()
    }),
];

/// Two users of one shop cannot be one person, so the one that comes second makes a raw component
/// whose rule is violated: from then on every event that touches it rebuilds it.
const UNIQUE: &str = r#"{
    "sources": {"shop": {"profile_id": "u"}},
    "identity": {"types": {"shop": {"unique": true}}},
    "limits": {"identifiers": 1000000}
}"#;

fn worst(flags: &Flags) {
    for (name, shape) in SHAPES {
        let (mut builds, mut merges, mut rebuilds) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..flags.rounds {
            let mut graph = graph(UNIQUE);
            let mut sequence = 0;
            let mut show = |graph: &mut Graph, event: Event| {
                sequence += 1;
                let started = Instant::now();
                graph.observe(sequence, &event);
                started.elapsed()
            };
            let id = |number: u64| found("x", format!("{number:06}"));
            let started = Instant::now();
            for (from, to) in shape(flags.component) {
                show(&mut graph, event(None, [id(from), id(to)].into_iter().collect(), 1));
            }
            builds.push(started.elapsed());
            let user = |number: u64| Some(found("shop", number.to_string()));
            let end =
                || -> SmallVec<[Found; 2]> { [id(flags.component - 1)].into_iter().collect() };
            merges.push(show(&mut graph, event(user(1), end(), 2)));
            rebuilds.push(show(&mut graph, event(user(2), end(), 3)));
        }
        println!(
            "{name} of {} identifiers: built in {:?}, joined to a user in {:?}, rebuilt for a second \
             user in {:?} (goal: at most 2 ms)",
            flags.component,
            median(builds),
            median(merges),
            median(rebuilds)
        );
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}
