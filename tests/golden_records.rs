//! Golden files of journal records and snapshot rows: what version 1 wrote must be read for ever.
//!
//! They are never made again; a later version adds its own beside them. A file that is not there yet
//! is written by `SELFSAME_WRITE_GOLDEN=1 cargo test --test golden_records`.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "golden_records/complete.rs"]
mod complete;

use bytes::Bytes;
use selfsame::domain::campaign::{CampaignState, FragmentRuns, Moment, Rendered, Run};
use selfsame::domain::compiled::Compiled;
use selfsame::domain::event::{Event, Found, Payload, Raw, Reason, Standing, Timing, TraitValue};
use selfsame::domain::fold::{Cell, Sorted};
use selfsame::domain::fragment::Fragment;
use selfsame::domain::graph::{ChangeKind, Graph, Link, Page};
use selfsame::domain::id::{IdKey, Identifier};
use selfsame::domain::settings::Settings;
use selfsame::domain::time::Timestamp;
use selfsame::domain::timeline::Timeline;
use selfsame::records::{
    ActRecord, Attempt, ChangeRow, Counters, CutRow, DedupeRow, DeliveryPage, DeliveryRow,
    DeliveryState, EVENT_VERSION, ErasureRow, Genesis, LaidRow, LinkRow, ObjectKind,
    PendingErasure, Revised, decode, decode_deliveries, decode_event, decode_fragment, decode_laid,
    decode_page, decode_runs, encode, encode_cut, encode_deliveries, encode_event, encode_fragment,
    encode_link, encode_page, encode_runs,
};
use selfsame::secrets::Secret;
use selfsame::secrets::store::Store;
use std::path::Path;

/// The bytes of a golden file; `made` becomes it where there is none yet and that is asked for.
fn golden(name: &str, made: &[u8]) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v1");
    let path = Path::new(folder).join(name);
    if !made.is_empty() && !path.exists() && std::env::var_os("SELFSAME_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(path).unwrap()
}

fn found(kind: &str, value: &str, raw: Option<&str>, point: &str) -> Found {
    let raw = raw.map(Into::into);
    Found { kind: kind.into(), value: value.into(), raw, point: point.into() }
}

/// An event with everything in it.
fn event() -> Event {
    Event {
        received_at: Timestamp(1_764_000_000_000),
        occurred_at: Timestamp(1_763_999_940_000),
        timing: Timing::Said,
        source: "shop".into(),
        kind: "order-paid".into(),
        session: Some("S1".into()),
        dedupe: Some(*b"sixteen bytes ok"),
        external: Some(found("shop", "9007199254740993", None, "")),
        identifiers: [
            found("email", "ann@example.com", Some("Ann@Example.com"), "contact"),
            found("phone", "+4915112345678", Some("0151 12345678"), "contact"),
        ]
        .into_iter()
        .collect(),
        traits: [TraitValue { name: "city".into(), json: "\"Ulm\"".into(), point: false }]
            .into_iter()
            .collect(),
        standing: Standing::Open,
        payload: Payload::Json(Bytes::from_static(br#"{"customer":{"id":9007199254740993}}"#)),
        raw: None,
    }
}

#[test]
fn events_of_all_versions_are_read() {
    let quarantined = Event {
        timing: Timing::Unsaid,
        session: None,
        dedupe: None,
        external: None,
        identifiers: Default::default(),
        traits: Default::default(),
        standing: Standing::Quarantined(Reason::TooManyKeys),
        payload: Payload::Opaque(Bytes::from_static(b"\xff\x00 no text")),
        ..event()
    };
    let anonymous = Event { standing: Standing::Anonymous, timing: Timing::Received, ..event() };
    let unread = Event { timing: Timing::Unread, ..event() };
    for (name, event) in [
        ("event", event()),
        ("event-quarantined", quarantined),
        ("event-anonymous", anonymous),
        ("event-unread-time", unread),
    ] {
        assert_eq!(decode_event(1, &golden(name, &[])).unwrap(), event, "{name}");
    }
    let raw = Raw { body: Bytes::from_static(b"n=x%E9"), query: Bytes::from_static(b"a=%FF") };
    let payload = Payload::Json(Bytes::from("{\"n\":\"x\u{FFFD}\"}"));
    let lossy = Event { raw: Some(Box::new(raw)), payload, ..event() };
    for (name, event) in [("event-2", event()), ("event-2-lossy", lossy)] {
        let bytes = golden(name, &encode_event(&event).unwrap());
        assert_eq!(decode_event(EVENT_VERSION, &bytes).unwrap(), event, "{name}");
        assert_eq!(encode_event(&event).unwrap(), bytes, "{name}");
    }
}

#[test]
fn acts_and_genesis_of_version_one_are_read() {
    let at = Timestamp(1_764_000_000_000);
    let put = ActRecord::PutObject {
        at,
        kind: ObjectKind::Source,
        id: "shop".into(),
        json: r#"{"id":"shop"}"#.into(),
    };
    let delete =
        ActRecord::DeleteObject { at, kind: ObjectKind::IdentificationPoint, id: "mail".into() };
    let aside = ActRecord::SetAside { at, sequence: 4711 };
    let one = |value: &str| Identifier { kind: "shop".into(), value: value.into() };
    let unmerge =
        ActRecord::Unmerge { at, apart: vec![(one("1"), one("2"))], reason: "asked".into() };
    let withdraw = ActRecord::Withdraw { at, identifier: one("1"), shown_with: vec![one("2")] };
    let hashed = ActRecord::WithdrawHashed { at, hash: [3; 16], shown_with: vec![[4; 16]] };
    for (name, act) in [
        ("act-put", put),
        ("act-delete", delete),
        ("act-set-aside", aside),
        ("act-unmerge", unmerge),
        ("act-withdraw", withdraw),
        ("act-pass-over", ActRecord::PassOver { at, record: 4711 }),
        ("act-withdraw-hashed", hashed),
    ] {
        let bytes = golden(name, &act.encode().unwrap());
        assert_eq!(ActRecord::decode(1, &bytes).unwrap(), act, "{name}");
        assert_eq!(act.encode().unwrap(), bytes, "{name}");
    }
    let genesis = Genesis { made_at: at, id_key: IdKey(3, u64::MAX), hash_key: [7; 32] };
    let bytes = golden("genesis", &genesis.encode().unwrap());
    assert_eq!(Genesis::decode(1, &bytes).unwrap(), genesis);
    assert_eq!(genesis.encode().unwrap(), bytes);
}

#[test]
fn acts_about_people_of_version_one_are_read() {
    let at = Timestamp(1_764_000_000_000);
    let one = |value: &str| Identifier { kind: "shop".into(), value: value.into() };
    let (a, b, reason) = (one("1"), one("2"), "asked".to_owned());
    let link = LinkRow { number: 7 << 20, joins: false, a: a.clone(), b: b.clone(), reason, at };
    let reason = || "asked".to_owned();
    let erased = ActRecord::Erased {
        at,
        erasure: 4711,
        events: vec![3, 70_000],
        loose: vec![(9, u128::MAX)],
        acts: vec![12],
        hashes: vec![[5; 16]],
        suppress: true,
        touched_others: true,
        counts: [1, 2, 300],
        reason: reason(),
    };
    let bytes = golden("event", &[]);
    let revised = Revised { sequence: 3, content: 7, version: 1, bytes };
    let acts = [
        ("act-lay", ActRecord::Lay { at, joins: true, a, b, reason: reason() }),
        ("act-lift", ActRecord::Lift { at, number: 7 << 20 }),
        ("act-reprocess", ActRecord::Reprocess { at, events: vec![revised] }),
        ("act-erase", ActRecord::Erase { at, profile: (17, 2), suppress: true, reason: reason() }),
        ("act-erased", erased),
        ("act-compacted", ActRecord::Compacted { at, erasure: 4711 }),
        ("act-left-unread", ActRecord::LeftUnread { at, erasure: 4711, events: 300 }),
        ("act-laid", ActRecord::Laid { at, links: vec![link] }),
        ("act-allow", ActRecord::Allow { at, hash: [6; 16] }),
        ("act-switch", ActRecord::Switch { at, configured: 2 }),
        ("act-adopt", ActRecord::Adopt { at, configured: 2 }),
        (
            "act-cut",
            ActRecord::Cut {
                at,
                parts: vec![vec![one("1")], vec![one("2"), one("3")]],
                reason: reason(),
            },
        ),
    ];
    for (name, act) in acts {
        let bytes = golden(name, &act.encode().unwrap());
        assert_eq!(ActRecord::decode(1, &bytes).unwrap(), act, "{name}");
        assert_eq!(act.encode().unwrap(), bytes, "{name}");
    }
}

#[test]
fn rows_of_links_and_erasures_of_version_one_are_read() {
    let at = Timestamp(1_764_000_000_000);
    let one = |value: &str| Identifier { kind: "shop".into(), value: value.into() };
    let reason = "asked".to_owned();
    let link = LinkRow { number: 7 << 20, joins: true, a: one("1"), b: one("2"), reason, at };
    let bytes = golden("link", &encode("a link", &link).unwrap());
    assert_eq!(encode_link(&link).unwrap(), bytes);
    assert_eq!(decode_laid(&bytes).unwrap(), LaidRow::Link(link.clone()));
    let parts = vec![vec![one("1"), one("2")], vec![one("3")]];
    let cut = CutRow { number: 8 << 20, parts, reason: "asked".to_owned(), at };
    let cut_bytes = golden("cut-2", &encode_cut(&cut).unwrap());
    assert_eq!(encode_cut(&cut).unwrap(), cut_bytes);
    assert_eq!(decode_laid(&cut_bytes).unwrap(), LaidRow::Cut(cut));
    assert_eq!(decode::<LinkRow>("a link", &bytes).unwrap(), link);
    assert_eq!(encode("a link", &link).unwrap(), bytes);
    let erasure = ErasureRow {
        at,
        reason: "asked".to_owned(),
        counts: [1, 2, 3, 70_000],
        records: vec![3, 4],
        has_acts: true,
        is_done: false,
        mark: u64::MAX,
    };
    let bytes = golden("erasure", &encode("an erasure", &erasure).unwrap());
    assert_eq!(decode::<ErasureRow>("an erasure", &bytes).unwrap(), erasure);
    assert_eq!(encode("an erasure", &erasure).unwrap(), bytes);
    let bytes = golden("erasure-unread", &encode("unread events", &300u64).unwrap());
    assert_eq!(decode::<u64>("unread events", &bytes).unwrap(), 300);
    assert_eq!(encode("unread events", &300u64).unwrap(), bytes);
    let pending = PendingErasure {
        at,
        reason: "asked".to_owned(),
        suppress: true,
        identifiers: vec![one("1")],
        sessions: vec!["S1".to_owned()],
        fragments: vec![0, 300],
        touched_others: false,
        deliveries: vec![4711 << 16],
        unsent: 1,
        events: Some(vec![3]),
    };
    let bytes = golden("erasure-pending", &encode("a pending erasure", &pending).unwrap());
    assert_eq!(decode::<PendingErasure>("a pending erasure", &bytes).unwrap(), pending);
    assert_eq!(encode("a pending erasure", &pending).unwrap(), bytes);
}

fn attempt() -> Attempt {
    Attempt {
        at: Timestamp(1_764_000_000_500),
        status: Some(503),
        took_ms: 17,
        error: None,
        is_final: false,
        retry_after_ms: Some(120_000),
        response: b"busy \xff".to_vec(),
    }
}

#[test]
fn acts_of_campaigns_of_version_one_are_read() {
    let at = Timestamp(1_764_000_000_000);
    let (delivery, campaign, fragment) = (4711 << 16, "cart".to_owned(), (17, 2));
    let refused = Attempt {
        status: None,
        error: Some("no connection".to_owned()),
        is_final: true,
        retry_after_ms: None,
        response: Vec::new(),
        ..attempt()
    };
    let acts = [
        ("act-attempted", ActRecord::Attempted { at, delivery, outcome: attempt() }),
        ("act-attempt-refused", ActRecord::Attempted { at, delivery, outcome: refused }),
        (
            "act-timer-fired",
            ActRecord::TimerFired { at, campaign: campaign.clone(), fragment, run: 4711 },
        ),
        (
            "act-cancelled",
            ActRecord::Cancelled { at, delivery, reason: "the exit was reached".to_owned() },
        ),
        ("act-redeliver", ActRecord::Redeliver { at, deliveries: vec![delivery, u64::MAX] }),
        ("act-enable-campaign", ActRecord::EnableCampaign { at, campaign }),
    ];
    for (name, act) in acts {
        let bytes = golden(name, &act.encode().unwrap());
        assert_eq!(ActRecord::decode(1, &bytes).unwrap(), act, "{name}");
        assert_eq!(act.encode().unwrap(), bytes, "{name}");
    }
}

#[test]
fn rows_of_deliveries_of_all_versions_are_read() {
    let first = DeliveryRow {
        number: 4711 << 16,
        endpoint: 0,
        fragment: (17, 2),
        run: 4711,
        began_at: Timestamp(1_764_000_000_000),
        occurred_at: Timestamp(1_764_000_000_000),
        is_said: false,
        late_s: 0,
        enqueued_at: Timestamp(1_764_000_001_000),
        next_attempt_at: Timestamp(1_764_000_301_000),
        state: DeliveryState::Dead,
        attempts: 12,
        before: 10,
    };
    let second = DeliveryRow {
        number: (4720 << 16) + 1,
        endpoint: 1,
        fragment: (4000, 0),
        run: 4000,
        began_at: Timestamp(1_763_999_000_000),
        occurred_at: Timestamp(1_763_999_000_000),
        is_said: false,
        late_s: 0,
        enqueued_at: Timestamp(1_764_000_002_000),
        next_attempt_at: Timestamp(1_764_000_002_000),
        state: DeliveryState::Pending,
        attempts: 0,
        before: 0,
    };
    let endpoints = vec![("cart".into(), 3), ("welcome".into(), 0)];
    let page = DeliveryPage { endpoints, rows: vec![first, second] };
    let bytes = golden("deliveries", &[]);
    assert_eq!(decode_deliveries(&bytes).unwrap(), page);
    let late = DeliveryRow {
        occurred_at: Timestamp(1_763_990_000_000),
        is_said: true,
        late_s: 7_200,
        ..first
    };
    let page = DeliveryPage { rows: vec![late, second], ..page };
    let bytes = golden("deliveries-2", &encode_deliveries(&page).unwrap());
    assert_eq!(decode_deliveries(&bytes).unwrap(), page);
    assert_eq!(encode_deliveries(&page).unwrap(), bytes);
    let sent = Rendered { url: "https://x.example/".to_owned(), body: Some("{}".to_owned()) };
    let bytes = golden("delivery-sent", &encode("what is sent", &sent).unwrap());
    assert_eq!(decode::<Rendered>("what is sent", &bytes).unwrap(), sent);
    assert_eq!(encode("what is sent", &sent).unwrap(), bytes);
    let bytes = golden("delivery-attempt", &encode("an attempt", &attempt()).unwrap());
    assert_eq!(decode::<Attempt>("an attempt", &bytes).unwrap(), attempt());
    assert_eq!(encode("an attempt", &attempt()).unwrap(), bytes);
}

#[test]
fn runs_of_all_versions_are_read() {
    let run = Run {
        sequence: 4711,
        began_at: Timestamp(1_764_000_000_000),
        step: 2,
        due: Timestamp(1_764_000_600_000),
        has_called: true,
        occurred_at: Timestamp(1_764_000_000_000),
        is_said: false,
    };
    let exited = Moment { sequence: 4700, ..Moment::default() };
    let stopped_at = Some(Timestamp(1_763_000_000_000));
    let mut runs = FragmentRuns::default();
    runs.set("cart", CampaignState { run: Some(run), stopped_at, exited });
    runs.set("welcome", CampaignState { exited, ..CampaignState::default() });
    // As version 1 laid it out, field by field.
    let run_v1 = (run.sequence, run.began_at, run.step, run.due, run.has_called);
    let states_v1 =
        vec![("cart", (Some(run_v1), stopped_at, 4700u64)), ("welcome", (None, None, 4700u64))];
    let bytes = golden("runs", &encode("runs", &(states_v1, &runs.counts)).unwrap());
    assert_eq!(decode_runs(&bytes).unwrap(), runs);
    let exited = Moment { at: Timestamp(1_763_999_999_999), is_said: true, sequence: 4700 };
    let run = Run { occurred_at: Timestamp(1_763_000_000_000), is_said: true, ..run };
    runs.set("cart", CampaignState { run: Some(run), stopped_at, exited });
    let bytes = golden("runs-2", &encode_runs(&runs).unwrap());
    assert_eq!(decode_runs(&bytes).unwrap(), runs);
    assert_eq!(encode_runs(&runs).unwrap(), bytes);
}

#[test]
fn fragments_of_version_one_are_read() {
    let at = Timestamp(1_764_000_000_000);
    let mut timeline = Timeline::default();
    [3, 4, 500, 70_000].into_iter().for_each(|sequence| timeline.push(sequence));
    timeline.saved = 2;
    let cells = [
        ("city", Cell::Last(at, "\"Ulm\"".into())),
        ("first-city", Cell::First(at, "\"Bonn\"".into())),
        ("largest", Cell::Max("99.5".into())),
        ("mails", Cell::Consent(at, false)),
        ("smallest", Cell::Min("-1".into())),
        ("spent", Cell::Sum(Box::new("12.50".parse().unwrap()))),
        ("tags", Cell::Set([Sorted("\"a\"".into()), Sorted("2".into())].into_iter().collect())),
    ];
    let fragment = Fragment {
        events: 2_052,
        by_type: vec![("order-paid".into(), 2_050), ("visit".into(), 2)],
        first_seen: at,
        last_seen: at.plus_ms(60_000),
        content: u128::MAX / 3,
        traits: cells.into_iter().map(|(name, cell)| (name.into(), cell)).collect(),
        timeline,
    };
    let bytes = golden("fragment", &encode_fragment(&fragment).unwrap());
    assert_eq!(decode_fragment(&bytes).unwrap(), fragment);
    assert_eq!(encode_fragment(&fragment).unwrap(), bytes);
}

#[test]
fn pages_of_version_one_are_read_and_make_the_same_graph() {
    let settings: Settings = serde_json::from_value(serde_json::json!({
        "sources": {"shop": {"id": "shop", "profile_id": "c"}},
        "identity": {"types": {"shop": {"unique": true}}},
    }))
    .unwrap();
    let rules = Compiled::new(&settings).unwrap().rules;
    let mut graph = Graph::new(rules.clone());
    graph.observe(3, &event());
    graph.observe(4, &Event { external: Some(found("shop", "8", None, "")), ..event() });
    let made: Vec<Page> = graph.take_changed_pages();
    let mut read = Vec::new();
    for (number, page) in made.iter().enumerate() {
        let bytes = golden(&format!("page-{number}"), &encode_page(page).unwrap());
        let page = decode_page(&bytes).unwrap();
        assert_eq!(encode_page(&page).unwrap(), bytes, "page {number}");
        read.push(page);
    }
    let order = |page: &Page| match page {
        Page::Names(..) => 0,
        Page::Apart(_) => 1,
        Page::Fragments(..) => 2,
        Page::Nodes(..) => 3,
        Page::Edges(..) => 4,
    };
    read.sort_by_key(order);
    let again = Graph::from_pages(rules, read.into_iter()).unwrap();
    assert_eq!(again.profiles(), 2);
    let node = again.identifier("email", "ann@example.com").unwrap();
    let lead = again.lead_of_node(node).unwrap();
    let names: Vec<String> = again
        .view(lead, false)
        .identifiers
        .into_iter()
        .map(|one| format!("{}:{}={}", one.kind, one.value, one.raw))
        .collect();
    let expected = [
        "email:ann@example.com=Ann@Example.com",
        "phone:+4915112345678=0151 12345678",
        "shop:9007199254740993=9007199254740993",
    ];
    assert_eq!(names, expected);
}

#[test]
fn counters_changes_and_event_ids_of_version_one_are_read() {
    let counters = Counters {
        events: 7,
        changes: 300,
        snapshots: 70_000,
        generation: 2,
        loose_content: u128::MAX,
        configured: 9,
        resolved_to: 300,
        adopted: 200,
        must_resolve: true,
    };
    let change = ChangeRow {
        number: 1,
        kind: ChangeKind::Merge,
        profile: Some(5),
        others: vec![6, u128::MAX],
        event: Some(8),
        identifier: Some("email:ann@example.com".into()),
        reason: None,
        at: Timestamp(1_764_000_000_000),
    };
    let dedupe = DedupeRow {
        key: *b"sixteen bytes ok",
        sequence: 3,
        received_at: Timestamp(1_764_000_000_000),
    };
    let bytes = golden("counters", &encode("counters", &counters).unwrap());
    assert_eq!(decode::<Counters>("counters", &bytes).unwrap(), counters);
    assert_eq!(encode("counters", &counters).unwrap(), bytes);
    let changes = vec![change];
    let bytes = golden("changes", &encode("changes", &changes).unwrap());
    assert_eq!(decode::<Vec<ChangeRow>>("changes", &bytes).unwrap(), changes);
    assert_eq!(encode("changes", &changes).unwrap(), bytes);
    let rows = vec![dedupe];
    let bytes = golden("event-ids", &encode("event ids", &rows).unwrap());
    assert_eq!(decode::<Vec<DedupeRow>>("event ids", &bytes).unwrap(), rows);
    assert_eq!(encode("event ids", &rows).unwrap(), bytes);
}

#[test]
fn sealed_secrets_are_opened() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/secrets-v1"));
    if !golden.exists() && std::env::var_os("SELFSAME_WRITE_GOLDEN").is_some() {
        std::fs::create_dir(golden).unwrap();
        let store = Store::open(golden).unwrap();
        for (name, value, at) in [("esp-key", "a value", 1), ("SIGN", "whsec_ü", 2)] {
            store.set(name, Secret::new(value), Timestamp(at), 2).unwrap();
        }
    }
    let store = Store::open(golden).unwrap();
    let value = |name: &str| store.get(name).map(|secret| secret.expose().to_owned());
    assert_eq!(value("esp-key").as_deref(), Some("a value"));
    assert_eq!(value("SIGN").as_deref(), Some("whsec_ü"));
    let times = store.list().into_iter().map(|held| (held.created_at.0, held.set_at.0));
    assert_eq!(times.collect::<Vec<_>>(), [(2, 2), (1, 1)]);
}

#[test]
fn pages_of_what_is_kept_apart_of_version_one_are_read() {
    let mut graph = Graph::new(Compiled::new(&Settings::default()).unwrap().rules);
    let one = |value: &str| Identifier { kind: "shop".into(), value: value.into() };
    let link = Link { number: 7 << 20, joins: false, a: one("1"), b: one("2") };
    graph.lay(&link, 7, Timestamp(1_764_000_000_000));
    let made = graph.take_changed_pages();
    let made = made.into_iter().find(|page| matches!(page, Page::Apart(_))).unwrap();
    let bytes = golden("page-apart", &encode_page(&made).unwrap());
    assert_eq!(decode_page(&bytes).unwrap(), made);
    assert_eq!(encode_page(&made).unwrap(), bytes);
}

/// The row of a change holds the number of its kind in one byte; one that no kind has is refused.
#[test]
fn changes_of_every_kind_are_told_apart_and_unknown_ones_refused() {
    let row = |kind: ChangeKind| ChangeRow {
        number: 1,
        kind,
        profile: None,
        others: Vec::new(),
        event: None,
        identifier: None,
        reason: None,
        at: Timestamp(0),
    };
    for (number, kind) in (0..).zip(ChangeKind::ALL) {
        let mut bytes = encode("a change", &row(kind)).unwrap();
        assert_eq!((kind.number(), bytes[1]), (number, number), "{}", kind.name());
        assert_eq!(decode::<ChangeRow>("a change", &bytes).unwrap(), row(kind));
        bytes[1] = ChangeKind::ALL.len() as u8;
        let error = decode::<ChangeRow>("a change", &bytes).unwrap_err().to_string();
        assert!(error.contains("expected the number of a kind of change, below 6"), "{error}");
    }
}

#[test]
fn an_event_with_a_number_that_nothing_has_is_refused() {
    let quarantined = |reason| Event { standing: Standing::Quarantined(reason), ..event() };
    for reason in Reason::ALL {
        let bytes = encode_event(&quarantined(reason)).unwrap();
        assert_eq!(decode_event(EVENT_VERSION, &bytes).unwrap(), quarantined(reason));
    }
    let one = encode_event(&quarantined(Reason::ALL[0])).unwrap();
    let other = encode_event(&quarantined(Reason::ALL[1])).unwrap();
    let at = (0..one.len()).find(|at| one[*at] != other[*at]).unwrap();
    let mut bytes = one;
    bytes[at] = Reason::ALL.len() as u8 + 2;
    let error = decode_event(EVENT_VERSION, &bytes).unwrap_err().to_string();
    assert!(error.contains("expected a standing of 0 to 9, found 10"), "{error}");
}

#[test]
fn a_record_of_a_later_version_is_refused_by_name() {
    let error = decode_event(3, b"").unwrap_err().to_string();
    assert!(error.contains("found version 3"), "{error}");
}
