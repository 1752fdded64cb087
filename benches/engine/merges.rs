//! The identity graph where it is slow: the worst merges, events at a component that is near
//! `limits.component` and violates a rule, and a million random pairs.
//!
//! ```text
//! cargo bench --bench engine -- merges --component 1000 --pairs 1000000
//! ```
//!
//! The goal: a raw component of 1,000 identifiers rebuilt in at most 2 ms. Times are medians.

mod worst;

use crate::graph_event::{event, found};
use clap::Args;
use selfsame::domain::event::{Event, Found};
use selfsame::domain::graph::{Graph, Page};
use selfsame::domain::rules::Rules;
use selfsame::domain::settings::Settings;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The flags of `merges`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Identifiers of the worst components.
    #[arg(long, default_value_t = 1_000)]
    component: u64,
    /// How often each of them is made; medians are shown.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Random pairs.
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// How many had what is shared, where one event is measured.
    #[arg(long, default_value_t = 200_000)]
    shared: u64,
    /// Only what one event costs at most.
    #[arg(long)]
    worst: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Measures the identity graph where it is slow.
pub fn main(flags: &Flags) {
    worst::events(flags.shared);
    if flags.worst {
        return;
    }
    for shape in SHAPES {
        worst(flags, shape);
    }
    near_the_limit(flags);
    // Half as many pairs as identifiers make the largest component there is without a giant one.
    random_pairs(flags.pairs, flags.pairs * 4);
    random_pairs(flags.pairs, flags.pairs * 2);
}

/// Two users of one shop cannot be one person, so the one that comes second makes a raw component
/// in which a rule is violated.
const UNIQUE: &str = r#"{
    "sources": {"shop": {"profile_id": "u"}},
    "identity": {"types": {"shop": {"unique": true}}},
    "limits": {"identifiers": 1000000}
}"#;

/// A graph with its next sequence.
struct World {
    graph: Graph,
    sequence: u64,
}

impl World {
    fn new(json: &str) -> Self {
        let settings: Settings = serde_json::from_str(json).expect("the settings are right");
        Self { graph: Graph::new(Arc::new(Rules::new(&settings))), sequence: 0 }
    }

    fn show(&mut self, event: &Event) -> Duration {
        self.sequence += 1;
        let started = Instant::now();
        self.graph.observe(self.sequence, event);
        started.elapsed()
    }

    /// Shows the pairs of a shape, one event each.
    fn build(&mut self, pairs: &[(u64, u64)]) -> Duration {
        let events: Vec<Event> =
            pairs.iter().zip(1..).map(|((from, to), at)| pair(*from, *to, at)).collect();
        events.iter().map(|event| self.show(event)).sum()
    }
}

fn phone(number: u64) -> Found {
    found("phone", format!("{number:08}"))
}

fn pair(from: u64, to: u64, at: i64) -> Event {
    event(None, SmallVec::from_buf([phone(from), phone(to)]), at)
}

/// A user of the shop who is seen with an identifier.
fn user(number: u64, with: Found, at: i64) -> Event {
    event(Some(found("shop", number.to_string())), [with].into_iter().collect(), at)
}

/// Pairs of identifiers that hang together in a shape.
type Shape = (&'static str, fn(u64) -> Vec<(u64, u64)>);

const SHAPES: [Shape; 3] = [
    ("chain", |count| (1..count).map(|to| (to - 1, to)).collect()),
    ("star", |count| (1..count).map(|to| (0, to)).collect()),
    // As many edges as a raw component may hold by default, less those that the users bring.
    ("clique", |count| dense(count, 9_900)),
];

/// The edges of a clique, up to so many.
fn dense(count: u64, edges: usize) -> Vec<(u64, u64)> {
    let by_distance = (1..count).flat_map(|gap| (gap..count).map(move |to| (to - gap, to)));
    by_distance.take(edges).collect()
}

/// Later than anything in a shape.
const LATE: i64 = 1_000_000;

fn worst(flags: &Flags, (name, shape): Shape) {
    let pairs = shape(flags.component);
    let (mut built, mut joined, mut refused, mut rebuilt) = (vec![], vec![], vec![], vec![]);
    let last = || phone(flags.component - 1);
    for _ in 0..flags.rounds {
        let mut world = World::new(UNIQUE);
        built.push(world.build(&pairs));
        joined.push(world.show(&user(1, phone(0), LATE)));
        refused.push(world.show(&user(2, last(), LATE + 1)));
        // This one comes first of all: every edge is decided again, and the first user has to go.
        rebuilt.push(world.show(&user(3, last(), 0)));
    }
    println!(
        "{name:<7}{:>6} edges  built {:>10.1?}  joined {:>9.1?}  refused {:>9.1?}  rebuilt {:>9.1?} \
         (goal: at most 2 ms)",
        pairs.len(),
        median(built),
        median(joined),
        median(refused),
        median(rebuilt)
    );
}

/// Events that arrive where a rule is violated and nearly as many edges are as may be.
fn near_the_limit(flags: &Flags) {
    let mut world = World::new(UNIQUE);
    world.build(&dense(flags.component, 9_800));
    world.show(&user(1, phone(0), LATE));
    world.show(&user(2, phone(flags.component / 2), LATE + 1));
    let mut line = |what: &str, events: Vec<Event>| {
        let took = events.iter().map(|event| world.show(event)).collect();
        println!("near the limit, {what:<48} {:>9.1?}", median(took));
    };
    let count = flags.rounds as u64;
    let numbers = || 0..count;
    let last = flags.component - 1;
    line("shows what is known", numbers().map(|_| pair(3, 4, LATE)).collect());
    line("links two that are one already", {
        let far = |at| pair(at, last - at, LATE + 2);
        numbers().map(far).collect()
    });
    line("brings a new identifier", {
        let new = |at| pair(at, 1_000_000 + at, LATE + 3);
        numbers().map(new).collect()
    });
    line("brings a user who is refused, the last in the order", {
        let late = |at| user(100 + at, phone(at), LATE + 4 + at as i64);
        numbers().map(late).collect()
    });
    line("the same, whose turn comes before others'", {
        let between = |at| user(200 + at, phone(at), LATE + 2);
        numbers().map(between).collect()
    });
    line("brings a user who takes the place of another", {
        let early = |at: u64| user(300 + at, phone(last / 3), -1 - at as i64);
        numbers().map(early).collect()
    });
}

/// Pairs of identifiers, chosen at random, streamed and then read back as a start does.
fn random_pairs(pairs: u64, identifiers: u64) {
    let mut world = World::new(r#"{"sources":{"shop":{"profile_id":"u"}}}"#);
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        // Marsaglia's xorshift.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % identifiers
    };
    let mut streamed = Duration::ZERO;
    let mut left = pairs;
    while left > 0 {
        let portion = left.min(256);
        let events: Vec<Event> = (0..portion).map(|at| pair(next(), next(), at as i64)).collect();
        streamed += events.iter().map(|event| world.show(event)).sum::<Duration>();
        left -= portion;
    }
    let largest = world.graph.leads().map(|lead| world.graph.cluster_size(lead)).max().unwrap_or(0);
    let pages: Vec<Page> = world.graph.take_changed_pages();
    let rules = Arc::clone(world.graph.rules());
    let profiles = world.graph.profiles();
    drop(world);
    let started = Instant::now();
    let read = Graph::from_pages(rules, pages.into_iter()).expect("the pages fit");
    let bulk = started.elapsed();
    assert_eq!(read.profiles(), profiles);
    println!(
        "{pairs} random pairs of {identifiers} identifiers, largest profile {largest:>5}: streamed \
         {streamed:>7.2?}, in bulk {bulk:>7.2?}"
    );
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}
