//! What reading one event costs, without the network: check, find, make canonical.
//!
//! Measured is a body of about 420 bytes with eight paths, the shape that most senders send:
//! `cargo bench --bench parts -- extract`. On two shared cores: check 0.45 µs, eight paths 0.56 µs, decode
//! 0.56 µs, extract 1.9 µs.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use selfsame::decode::{DecodeLimits, RawRequest, Shape, decode};
use selfsame::domain::compiled::Compiled;
use selfsame::domain::event::Payload;
use selfsame::domain::facts::RequestFacts;
use selfsame::domain::json;
use selfsame::domain::path::read::PathSet;
use selfsame::domain::path::{Path, Step};
use selfsame::domain::settings::Settings;
use selfsame::domain::time::Timestamp;
use std::hint::black_box;

const BODY: &str = r#"{"id":"evt_1Q0000000000000000000000","type":"order.created","created":1767225600,"shop":{"id":866550311766439020,"domain":"shop.example.com"},"customer":{"id":115310627314723954,"email":"ann.lee@example.com","phone":"+442079460958","first_name":"Ann","last_name":"Lee"},"session":"s-6f1c2a","total_price":"199.00","currency":"GBP","line_items":[{"id":1,"sku":"AB-1","quantity":2},{"id":2,"sku":"CD-2","quantity":1}]}"#;

const CONFIG: &str = r#"
[sources.shop]
profile_id = "customer.id"
session_id = "session"
event_id = "id"
occurred_at = "created"
event_type = "type"
traits = { name = "customer.first_name", spent = "total_price" }
[points.mail]
identifiers = [ { type = "email", path = "customer.email", trait = "email" } ]
"#;

fn body_steps(path: &str) -> Vec<Step> {
    match Path::parse(path) {
        Ok(Path::Body(steps)) => steps,
        other => panic!("{other:?}"),
    }
}

/// Measures all of it.
pub fn all(c: &mut Criterion) {
    let mut group = c.benchmark_group("extract");
    group.throughput(Throughput::Bytes(BODY.len() as u64));

    group.bench_function("check", |b| b.iter(|| json::check(black_box(BODY))));

    let mut set = PathSet::default();
    for path in [
        "customer.id",
        "session",
        "id",
        "created",
        "type",
        "customer.first_name",
        "total_price",
        "customer.email",
    ] {
        set.add(&body_steps(path));
    }
    group.bench_function("eight paths", |b| b.iter(|| set.read(black_box(BODY))));

    let settings: Settings = toml::from_str(CONFIG).expect("the settings above are right");
    let compiled = Compiled::new(&settings).expect("the settings above are right");
    let source = &compiled.sources["shop"];
    let facts = RequestFacts {
        event_type: "order",
        session: None,
        header: &|_| None,
        query: &[],
        received_at: Timestamp(1_790_000_000_000),
        batch_index: None,
        is_lossy: false,
        passed_over: &|_| {},
    };
    let payload = Payload::Json(Bytes::from_static(BODY.as_bytes()));
    group.bench_function("extract", |b| {
        b.iter(|| compiled.extract(source, &facts, black_box(payload.clone()), &[7; 32]));
    });

    let request = RawRequest {
        content_type: Some("application/json"),
        content_encoding: None,
        query: "",
        body: Bytes::from_static(BODY.as_bytes()),
    };
    let limits = DecodeLimits::default();
    group.bench_function("decode", |b| {
        b.iter(|| decode(black_box(&request), Shape::default(), &limits));
    });
    group.finish();
}
