//! Nasty texts: readers of outside text never panic, whatever they are given, and what they read
//! is what it was once it is read again.
//!
//! Each target starts from the texts that `tests/nasty` keeps, one JSON text a line, and changes
//! them by a seed (`SELFSAME_SEED`). By default that takes a few seconds; `SELFSAME_LONG=1` gives
//! each target ten minutes, or as many seconds as `SELFSAME_SECONDS` says. A text that is found is
//! printed, and belongs into the file of its target.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[allow(dead_code, reason = "the generator is shared with others")]
#[path = "support/random.rs"]
mod random;

use bytes::Bytes;
use random::Random;
use selfsame::decode::{DecodeLimits, Decoded, Piece, RawRequest, Shape, decode};
use selfsame::domain::campaign::{Campaigns, EventFacts, Person};
use selfsame::domain::compiled::Compiled;
use selfsame::domain::event::{Event, Payload};
use selfsame::domain::facts::RequestFacts;
use selfsame::domain::id::{IdKey, IdKind, Identifier};
use selfsame::domain::normalise::LENGTH;
use selfsame::domain::occurred::{self, Format, SAYS_SOMETHING_FROM, Said, Zone};
use selfsame::domain::path::Path;
use selfsame::domain::profile::Folded;
use selfsame::domain::settings::{FieldDecoding, Settings};
use selfsame::domain::time::{MAX, MIN, Timestamp, parse_span};
use selfsame::domain::{blocked, json, unseen};
use selfsame::http::page::PageQuery;
use selfsame::records::{EVENT_VERSION, decode_event, encode_event};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Texts that each target is given by default.
const TEXTS: usize = 3_000;
/// The longest text that changes make, in bytes.
const LONGEST: usize = 400;
/// When all events of these tests are received.
const NOW: Timestamp = Timestamp(1_790_000_000_000);
/// What is put into texts.
const PIECES: [&str; 44] = [
    "",
    " ",
    "  ",
    "\t",
    "\n",
    "\0",
    "\u{7f}",
    "\u{FEFF}",
    "\u{200B}",
    "\u{2060}",
    "\u{AD}",
    "\u{202E}",
    "\u{A0}",
    "\u{FF0B}",
    "\u{FF11}",
    "\u{661}",
    "\u{1F4DE}",
    "e\u{301}",
    "İ",
    "ß",
    "+",
    "-",
    ".",
    ":",
    ";",
    "/",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "<",
    ">",
    "@",
    "%",
    "\"",
    "\\",
    "0",
    "9",
    "Z",
    "e",
    "99999999999999999999",
    "%FF",
];

/// Gives `check` the texts of a file and changes of them.
fn play(target: &str, file: &str, check: impl Fn(&str)) {
    let known: Vec<String> = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(!known.is_empty(), "{target} has no texts");
    let told = |text: &str| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(text))) {
            eprintln!("{target}: {}", Value::from(text));
            resume_unwind(panic);
        }
    };
    known.iter().for_each(|text| told(text));
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let mut random = Random::new(variable("SELFSAME_SEED").unwrap_or(1));
    let is_long = variable("SELFSAME_LONG").is_some_and(|value| value > 0);
    let seconds = || variable("SELFSAME_SECONDS").unwrap_or(600);
    let long = is_long.then(|| Duration::from_secs(seconds()));
    let start = Instant::now();
    let mut played = 0;
    while long.map_or(played < TEXTS, |long| start.elapsed() < long) {
        told(&changed(&known, &mut random));
        played += 1;
    }
    println!("{target}: {} known texts, {played} changed ones", known.len());
}

/// A known text with a few changes.
fn changed(known: &[String], random: &mut Random) -> String {
    let mut text: Vec<char> = random.one(known).chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(7) {
            0 | 1 => {
                text.splice(at..at, random.one(&PIECES).chars());
            }
            2 if at < text.len() => {
                text.remove(at);
            }
            3 if at < text.len() => text[at] = char::from(random.below(128) as u8),
            4 => {
                let other: Vec<char> = random.one(known).chars().collect();
                let from = random.below(other.len() + 1);
                text.splice(at.., other[from..].iter().copied());
            }
            5 => {
                let end = at + random.below(text.len() - at + 1);
                let twice: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, twice);
            }
            _ => text.truncate(at.max(1)),
        }
    }
    let mut text: String = text.into_iter().collect();
    while text.len() > LONGEST {
        text.pop();
    }
    text
}

fn compiled(config: &Value) -> Compiled {
    let settings: Settings = serde_json::from_value(config.clone()).unwrap();
    Compiled::new(&settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A source that looks everywhere, and points of every normaliser.
fn everything(country: &str) -> Compiled {
    let types = |kind: &str| json!({ "type": kind, "path": ["v", "list[*]", "header:x-v", "query:v"], "trait": kind });
    let kinds = ["email", "phone", "device", "email_sha256", "lower", "none"].map(types);
    compiled(&json!({
        "sources": { "s": {
            "profile_id": ["v", "{v}/{list[0]}"], "tenant": ["t", "v"], "session_id": ["v", "header:x-v"],
            "event_id": "{v}-{query:v}", "event_type": "v", "country": country, "timezone": "America/Sao_Paulo",
            "occurred_at": ["v", { "path": "list[0]", "format": "%m/%d/%Y %H:%M" }],
            "traits": { "consent": "v", "all": "list", "sum": "v" },
        } },
        "points": { "p": { "identifiers": kinds } },
        "identity": { "types": {
            "lower": { "normalise": "lowercase" }, "none": { "normalise": "none" }, "email": { "gmail": true },
        } },
        "traits": { "consent": { "fold": "consent" }, "all": { "fold": "set" }, "sum": { "fold": "sum" } },
    }))
}

#[test]
fn times() {
    let formats = ["%m/%d/%Y %H:%M", "%d %b %Y %I:%M %p %z", "%s", "%FT%T%.f"];
    let formats: Vec<Option<Format>> =
        std::iter::once(None).chain(formats.map(|text| Some(Format::new(text).unwrap()))).collect();
    let zones = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"];
    let zones = zones.map(|name| Zone::named(name).unwrap());
    play("times", include_str!("nasty/times.txt"), |text| {
        for format in &formats {
            for zone in &zones {
                let said = occurred::say(text, format.as_ref(), zone);
                if let Said::At(at) = said {
                    assert!((SAYS_SOMETHING_FROM..=MAX).contains(&at));
                    let again = occurred::say(&at.to_string(), None, zone);
                    assert_eq!(again, said, "it reads otherwise as {at}");
                }
            }
        }
        for at in occurred::compared(text).into_iter().chain(Timestamp::parse_rfc3339(text)) {
            assert!((MIN..=MAX).contains(&at));
            assert_eq!(Timestamp::parse_rfc3339(&at.to_string()), Some(at));
            let _moved = (at.plus_ms(i64::MAX), at.plus_ms(i64::MIN));
        }
        let (_, _, _) = (parse_span(text), Format::new(text), Zone::named(text));
    });
}

#[test]
fn phones() {
    let compiled = everything("GB");
    play("phones", include_str!("nasty/phones.txt"), |text| {
        for region in [None, Some("GB"), Some("US"), Some("MX"), Some("BR"), Some("IT")] {
            let Some(number) = compiled.canonical("phone", region, text) else { continue };
            let digits = number.strip_prefix('+').unwrap();
            // The library lets a national number have 17 digits, as some of Indonesia's do.
            assert!(digits.len() <= 3 + 17 && digits.bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(compiled.canonical("phone", region, &number), Some(number.clone()));
            for wrapped in [format!(" tel:{number}"), format!("\u{FEFF}{number}\u{200B};")] {
                assert_eq!(compiled.canonical("phone", None, &wrapped), Some(number.clone()));
            }
        }
    });
}

#[test]
fn mails() {
    let compiled = everything("GB");
    play("mails", include_str!("nasty/mails.txt"), |text| {
        let Some(mail) = compiled.canonical("email", None, text) else { return };
        let encoded: String = mail.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for wrapped in [
            mail.to_string(),
            format!("Ann <{mail}>"),
            format!("\"Ash, Ann\" <{mail}> (work)"),
            format!("\u{FEFF}{mail}\u{200B},"),
            format!("mailto:{encoded}?subject=x"),
        ] {
            let again = compiled.canonical("email", None, &wrapped);
            assert_eq!(again.as_ref(), Some(&mail), "{wrapped}");
        }
    });
}

#[test]
fn identifiers() {
    let compiled = everything("GB");
    play("identifiers", include_str!("nasty/identifiers.txt"), |text| {
        for kind in ["email", "phone", "device", "email_sha256", "lower", "none", "s"] {
            if let Some(value) = compiled.canonical(kind, Some("GB"), text) {
                assert!(value.len() <= LENGTH && !value.trim().is_empty());
                let again = compiled.canonical(kind, Some("GB"), &value);
                assert_eq!(again, Some(value), "as {kind}");
            }
            let _named = compiled.identifier(&format!("{kind}:{text}"));
        }
        assert_eq!(blocked::says_nothing(text), blocked::says_nothing(unseen::visible(text)));
        assert!(!blocked::is_no_word(text) || blocked::says_nothing(text));
    });
}

#[test]
fn admin_parameters() {
    let compiled = everything("GB");
    play("admin parameters", include_str!("nasty/admin.txt"), |text| {
        if let Some(identifier) = compiled.identifier(text) {
            let spelt = identifier.to_string();
            assert_eq!(Identifier::parse(&spelt), Some(identifier));
        }
        for kind in [IdKind::Event, IdKind::Fragment] {
            if let Some(parts) = IdKey(7, 9).read(kind, text) {
                let _minted = IdKey(7, 9).mint(kind, parts);
            }
        }
        for query in [json!({ "cursor": text }), json!({ "limit": text })] {
            let query: PageQuery = serde_json::from_value(query).unwrap();
            let ids = ["a", "b"].into_iter().map(|id| (id.to_owned(), ()));
            let (_, _) = (query.by_sequence().is_ok(), query.by_id(ids).is_ok());
        }
    });
}

#[test]
fn paths() {
    const BODY: &str = r#"{"a":{"b":[1,{"c":"x"}],"a.b":null},"v":[[1],[2]],"":{"":1}}"#;
    play("paths", include_str!("nasty/paths.txt"), |text| {
        let _parsed = Path::parse(text);
        let settings: Settings = serde_json::from_value(json!({
            "sources": { "s": { "profile_id": text, "occurred_at": [{ "path": text }], "traits": { "t": text } } },
            "points": { "p": { "identifiers": [{ "type": "device", "path": text }] } },
        }))
        .unwrap();
        if let Ok(compiled) = Compiled::new(&settings) {
            extracted(&compiled, text, BODY.to_owned());
        }
    });
}

#[test]
fn bodies() {
    let limits = DecodeLimits { body: 64 << 10, keys: 100, batch: 50, ..DecodeLimits::default() };
    let types = [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-16le"),
        Some("application/x-www-form-urlencoded"),
        Some("application/x-www-form-urlencoded; charset=shift_jis"),
        Some("multipart/form-data; boundary=x"),
        Some("application/x-ndjson"),
        Some("application/xml"),
        Some("text/plain; charset=utf-8"),
    ];
    let steps = |path| match Path::parse(path) {
        Ok(Path::Body(steps)) => steps,
        other => panic!("{other:?}"),
    };
    let splits = ["a", "a[*].b"].map(steps);
    let fields = [("payload", FieldDecoding::Json), ("b.c", FieldDecoding::Base64)];
    let fields = fields.map(|(path, how)| (steps(path), how));
    play("bodies", include_str!("nasty/bodies.txt"), |text| {
        // Low characters stand for bytes of no encoding, too.
        let bytes: Vec<u8> =
            text.chars().map(|ch| u8::try_from(ch as u32).unwrap_or(b'?')).collect();
        for body in [Bytes::copy_from_slice(text.as_bytes()), Bytes::from(bytes)] {
            for content_type in types {
                let request = RawRequest {
                    content_type,
                    content_encoding: None,
                    query: text.split('?').next_back().unwrap_or_default(),
                    body: body.clone(),
                };
                let shape = Shape { splits: &splits, fields: &fields };
                match decode(&request, shape, &limits) {
                    Err(_) => {}
                    Ok(Decoded::Single(piece)) => checked(&piece),
                    Ok(Decoded::Batch(batch)) => batch.pieces().for_each(|piece| checked(&piece)),
                }
            }
        }
    });
}

/// What is no fault is a JSON object, as others rely on.
fn checked(piece: &Piece) {
    if let Payload::Json(bytes) = &piece.payload {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.starts_with('{') && json::check(text).is_ok(), "{text}");
        assert!(bytes.len() < 1 << 20);
    }
}

#[test]
fn events() {
    let compiled = everything("BR");
    play("events", include_str!("nasty/identifiers.txt"), |text| {
        let value = Value::from(text);
        for body in [
            json!({ "v": value, "t": value, "list": [value, [value], { "x": value }] }).to_string(),
            json!({ "v": [value], "list": value }).to_string(),
            format!("{{\"v\":{value},\"v\":{{\"v\":{value}}}}}"),
            "{}".to_owned(),
        ] {
            extracted(&compiled, text, body);
        }
    });
}

/// Reads an event that has `text` in every place, writes it, and reads it again.
fn extracted(compiled: &Compiled, text: &str, body: String) {
    let query = [("v".to_owned(), text.to_owned())];
    let facts = RequestFacts {
        event_type: "t",
        session: Some(text),
        header: &|_| Some(text.to_owned()),
        query: &query,
        received_at: NOW,
        batch_index: Some(3),
        is_lossy: false,
        passed_over: &|_| {},
    };
    assert!(json::check(&body).is_ok());
    let payload = Payload::Json(Bytes::from(body));
    let event = compiled.extract(&compiled.sources["s"], &facts, payload, &[7; 32]);
    let bytes = encode_event(&event).unwrap();
    let read: Event = decode_event(EVENT_VERSION, &bytes).unwrap();
    assert_eq!(read, event);
    let again = compiled.reread_points("s", &read);
    assert_eq!(compiled.reread_points("s", &again), again);
    let (_, _) = (compiled.reprocess("s", &read), compiled.named_in(&read));
    let _unread = compiled.unread_consents(&event);
}

#[test]
fn conditions() {
    let folded = Folded::new(std::iter::empty(), 1);
    play("conditions", include_str!("nasty/conditions.txt"), |text| {
        let step = json!([{ "webhook": { "url": "https://example.com/", "fields": { "v": "event.properties.v" } } }]);
        let campaign = |test: &str, expected: &str| {
            let mut one = json!({ "property": "v" });
            one[test] = expected.into();
            json!({ "trigger": { "event_type": "t", "where": [one] }, "step": step })
        };
        // A reasonable test of a nasty value, and a nasty test of that value.
        let mut campaigns = std::collections::BTreeMap::new();
        for test in ["equals", "not", "glob", "regex", "before", "after"] {
            campaigns.insert(format!("{test}-nasty"), campaign(test, text));
        }
        campaigns.insert("after".to_owned(), campaign("after", "2026-03-01"));
        campaigns.insert("glob".to_owned(), campaign("glob", "*a?*"));
        campaigns.insert("regex".to_owned(), campaign("regex", "^(a+)+$"));
        let usable = |id: &String, one: &Value| {
            Campaigns::compile(&[(id.clone(), one.clone())].into()).is_ok()
        };
        campaigns.retain(|id, one| usable(id, one));
        let compiled = Campaigns::compile(&campaigns).unwrap();
        let properties = json!({ "v": [text, { "v": text }] }).to_string();
        let event = EventFacts {
            sequence: 0,
            id: "e",
            kind: "t",
            source: "s",
            session: Some(text),
            occurred_at: NOW,
            is_said: true,
            properties: &properties,
            fragment: 0,
        };
        let person = Person { id: "p", known: true, folded: &folded, identifiers: &[] };
        for id in campaigns.keys() {
            assert!(compiled.preview(id, &person, &event, &[], NOW).is_some());
        }
    });
}
