//! What applying an event to a fragment and folding a profile cost, without actors.
//!
//! `cargo bench --bench parts -- fold`.

use crate::workload;
use criterion::{BatchSize, Criterion};
use selfsame::domain::compiled::Compiled;
use selfsame::domain::event::{Event, Payload};
use selfsame::domain::facts::RequestFacts;
use selfsame::domain::fragment::{Fragment, content_hash};
use selfsame::domain::profile::Folded;
use selfsame::domain::settings::Settings;
use selfsame::domain::time::Timestamp;
use selfsame::records::{decode_event, decode_fragment, encode_event, encode_fragment};
use std::hint::black_box;

/// The rules of the other benches, with one trait of every fold.
const SETTINGS: &str = r#"{
    "sources": {"bench": {
        "profile_id": "user.id", "event_id": "id", "occurred_at": "at",
        "traits": {"name": "user.name", "plan": "user.plan", "first": "id", "at": "at", "urls": "page.url"}
    }},
    "points": {"mail": {"id": "mail", "identifiers": [{"type": "email", "path": "user.email", "trait": "email"}]}},
    "traits": {"first": {"fold": "first"}, "at": {"fold": "max"}, "urls": {"fold": "set"}}
}"#;

fn compiled() -> Compiled {
    let settings: Settings = serde_json::from_str(SETTINGS).expect("the settings are right");
    Compiled::new(&settings).expect("the settings are right")
}

fn events(compiled: &Compiled, count: u64) -> Vec<Event> {
    let source = &compiled.sources["bench"];
    let mut body = Vec::new();
    let one = |number| {
        workload::write_body(number, 1, &mut body);
        let facts = RequestFacts {
            event_type: "order",
            session: None,
            header: &|_| None,
            query: &[],
            received_at: Timestamp(1_800_000_000_000),
            batch_index: None,
            is_lossy: false,
            passed_over: &|_| {},
        };
        let payload = Payload::Json(bytes::Bytes::copy_from_slice(&body));
        compiled.extract(source, &facts, payload, &[7; 32])
    };
    (0..count).map(one).collect()
}

fn fragment(compiled: &Compiled, events: &[Event]) -> Fragment {
    let mut fragment = Fragment::default();
    for (sequence, event) in (1..).zip(events) {
        fragment.apply(sequence, event, content_hash(event), &compiled.rules);
    }
    fragment
}

/// Measures all of it.
pub fn all(c: &mut Criterion) {
    fragments(c);
    profiles(c);
}

fn fragments(c: &mut Criterion) {
    let compiled = compiled();
    let events = events(&compiled, 100);
    let event = &events[99];
    let mut group = c.benchmark_group("fold/fragment");
    let settled = fragment(&compiled, &events);
    group.bench_function("apply", |b| {
        b.iter_batched_ref(
            || settled.clone(),
            |fragment| fragment.apply(101, black_box(event), 7, &compiled.rules),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("content hash", |b| b.iter(|| content_hash(black_box(event))));
    let row = encode_fragment(&settled).expect("it fits");
    group.bench_function("encode", |b| b.iter(|| encode_fragment(black_box(&settled))));
    group.bench_function("decode", |b| b.iter(|| decode_fragment(black_box(&row))));
    group.finish();
    let mut group = c.benchmark_group("fold/event record");
    let record = encode_event(event).expect("it fits");
    group.bench_function("encode", |b| b.iter(|| encode_event(black_box(event))));
    group.bench_function("decode", |b| b.iter(|| decode_event(1, black_box(&record))));
    group.finish();
}

fn profiles(c: &mut Criterion) {
    let compiled = compiled();
    let mut group = c.benchmark_group("fold/profile");
    for count in [1, 3, 100] {
        let all = events(&compiled, count * 10);
        let fragments: Vec<Fragment> =
            all.chunks(10).map(|events| fragment(&compiled, events)).collect();
        group.bench_function(format!("{count} fragments"), |b| {
            b.iter(|| Folded::new(black_box(&fragments).iter(), 1_000));
        });
    }
    group.finish();
}
