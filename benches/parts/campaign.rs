//! What campaigns cost an event: with 100 live ones it is to be under 20 µs, whoever matches.
//!
//! Measured are an event that concerns no campaign, one that triggers one of a hundred by its type,
//! and one whose type triggers all hundred, of which the conditions of one hold:
//! `cargo bench --bench parts -- campaign`. On two shared cores, not fully optimised: 25 ns, 1.5 µs, 12.5 µs.

use criterion::Criterion;
use selfsame::domain::campaign::{Campaigns, EventFacts, FragmentRuns, Person};
use selfsame::domain::profile::Folded;
use selfsame::domain::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;

const BODY: &str = r#"{"id":"evt_1Q0000000000000000000000","page":{"path":"/offer/7","title":"Offer seven","referrer":"https://search.example/?q=offers"},"customer":{"id":115310627314723954,"email":"ann.lee@example.com","first_name":"Ann","last_name":"Lee"},"session":"s-6f1c2a","total_price":"199.00","currency":"GBP","line_items":[{"id":1,"sku":"AB-1","quantity":2},{"id":2,"sku":"CD-2","quantity":1}]}"#;

/// A hundred live campaigns, of which number 7 looks for what the body says.
fn campaigns(kind: impl Fn(usize) -> String) -> Campaigns {
    let one = |number: usize| {
        let value = json!({
            "state": "live",
            "trigger": {
                "event_type": kind(number),
                "where": [{"property": "page.path", "glob": format!("/offer/{number}")}],
            },
            "audience": {"known": true},
            "step": [{"webhook": {
                "url": "https://esp.example/automations/start",
                "fields": {"profileid": "profile.id", "total": "event.properties.total_price"},
                "static": {"automationid": "42"},
            }}],
        });
        (format!("c-{number:03}"), value)
    };
    let all: BTreeMap<String, Value> = (0..100).map(one).collect();
    match Campaigns::compile(&all) {
        Ok(campaigns) => campaigns,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// Measures all of it.
pub fn all(criterion: &mut Criterion) {
    let folded = Folded::new(std::iter::empty(), 10);
    let person = Person { id: "p", known: true, folded: &folded, identifiers: &[] };
    let event = EventFacts {
        sequence: 1,
        id: "0193e9a0-0000-7000-8000-000000000000",
        kind: "kind-7",
        source: "web",
        session: None,
        occurred_at: Timestamp(0),
        is_said: false,
        properties: BODY,
        fragment: 0,
    };
    let runs = FragmentRuns::default();
    let fragments = [(0, &runs)];
    let mut group = criterion.benchmark_group("campaign");
    let cases = [
        ("no type of 100 matches", campaigns(|_| "other".to_owned()), 0),
        ("one type of 100 matches", campaigns(|number| format!("kind-{number}")), 4),
        ("all 100 types match, one fires", campaigns(|_| "kind-7".to_owned()), 4),
    ];
    for (name, campaigns, decisions) in cases {
        let decide = || campaigns.on_event(&person, &event, &fragments, Timestamp(0));
        assert_eq!(decide().len(), decisions, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(decide())));
    }
    group.finish();
}
