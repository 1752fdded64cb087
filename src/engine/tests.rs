//! The engine in process: what it answers, and that restarts, snapshots and passivation change
//! nothing.

use super::*;
use crate::clock::Clock;
use crate::domain::event::{Payload, Reason};
use crate::domain::facts::RequestFacts;
use crate::domain::id::Identifier;
use crate::domain::settings::{Durability, Settings};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A time of events, in seconds: one about 1970 would be a clock that was never set, and the time of
/// receipt would count, which two may share.
pub(in crate::engine) const T: u64 = 1_700_000_000;

mod campaigns;
mod cuts;
mod erasures;
mod golden_rows;
pub(in crate::engine) mod operators;
mod panics;
mod reading;
mod rereadings;
mod resolving;
mod retention;
mod secrets;

fn settings() -> Settings {
    serde_json::from_value(json!({
        "sources": {
            "web": {"id": "web", "profile_id": "u", "occurred_at": "at", "event_id": "k", "traits": {"city": "city", "spent": "spent"}},
            "shop": {"id": "shop", "profile_id": "c", "occurred_at": "at", "event_id": "k", "traits": {"city": "city"}},
        },
        "points": {
            "mail": {"id": "mail", "identifiers": [{"type": "email", "path": "m", "trait": "email"}]},
            "dev": {"id": "dev", "identifiers": [{"type": "device", "path": "d"}]},
        },
        "identity": {"types": {"web": {"unique": true}, "device": {"shared_by": 3}}},
        "traits": {"spent": {"fold": "sum"}},
    }))
    .unwrap()
}

pub(in crate::engine) fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        settings: settings(),
        clock: Clock::system(),
        queue: 10_000,
        queue_bytes: 1 << 30,
        active_profiles: 1_000,
        unsaved_bytes: 128 << 20,
        page_bytes: 4 << 20,
        snapshot_every: Duration::from_secs(3_600),
        snapshot_every_events: u64::MAX,
        segment_bytes: 1 << 20,
        free_bytes_min: 0,
        retain: Retain::default(),
        arbiters: 2,
        metrics: Arc::default(),
        panic_on: Vec::new(),
        accept_journal_loss: false,
        guard: Default::default(),
        secrets: Default::default(),
    }
}

/// A fault to inject.
pub(in crate::engine) fn fault(stage: Stage, kind: &str, times: usize) -> Fault {
    Fault { stage, kind: kind.to_owned(), times }
}

/// Stops an engine and starts it from the journal alone.
pub(in crate::engine) async fn replayed(engine: Engine, options: Options) -> Engine {
    engine.stop(Duration::from_secs(20)).await;
    drop(engine);
    std::fs::remove_dir_all(options.data.join("snapshot")).unwrap();
    open(options).await
}

pub(in crate::engine) async fn open(options: Options) -> Engine {
    let engine = Engine::start(options);
    tokio::select! {
        () = engine.ready() => engine,
        why = engine.failed() => panic!("{why}"),
    }
}

fn submission(
    engine: &Engine,
    source: &str,
    session: Option<&str>,
    body: &serde_json::Value,
) -> Submission {
    let effective = engine.effective().unwrap();
    let source = &effective.compiled.sources[source];
    let facts = RequestFacts {
        event_type: "x",
        session,
        header: &|_| None,
        query: &[],
        received_at: Clock::system().now(),
        batch_index: None,
        is_lossy: false,
        passed_over: &|_| {},
    };
    let payload = Payload::Json(body.to_string().into());
    let event = effective.compiled.extract(source, &facts, payload, &effective.hash_key);
    Submission { event, durability: Durability::Fsynced, dedupe_window_ms: 1_000_000 }
}

pub(in crate::engine) async fn send(
    engine: &Engine,
    source: &str,
    session: Option<&str>,
    body: serde_json::Value,
) -> Receipt {
    let submission = submission(engine, source, session, &body);
    match engine.ingest(submission).await {
        Ok(receipt) => receipt,
        Err(refusal) => panic!("{refusal}: {:?}", engine.readiness()),
    }
}

async fn by(engine: &Engine, name: &str) -> crate::domain::view::ProfileView {
    let identifier = Identifier::parse(name).unwrap();
    engine.profile(ProfileRef::Identifier(identifier), false).await.unwrap().unwrap()
}

/// A small random generator, so that a failing world can be named by its seed.
pub(in crate::engine) struct Dice(pub(in crate::engine) u64);

impl Dice {
    pub(in crate::engine) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

pub(in crate::engine) fn random_event(
    dice: &mut Dice,
    number: u64,
) -> (&'static str, Option<String>, serde_json::Value) {
    let mut body = json!({"at": T + dice.roll(5_000), "k": format!("k{number}"), "city": format!("c{}", dice.roll(9)), "spent": dice.roll(10)});
    let source = if dice.roll(2) == 0 { "web" } else { "shop" };
    if dice.roll(4) > 0 {
        body[if source == "web" { "u" } else { "c" }] = json!(dice.roll(40));
    }
    if dice.roll(3) == 0 {
        body["m"] = json!(format!("m{}@site.org", dice.roll(30)));
    }
    if dice.roll(5) == 0 {
        body["d"] = json!(format!("d{}", dice.roll(10)));
    }
    let session = (dice.roll(3) == 0).then(|| format!("S{}", dice.roll(20)));
    (source, session, body)
}

#[test]
fn two_systems_meet_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        let first =
            send(&engine, "web", None, json!({"u": 1, "m": "a@site.org", "at": T + 1})).await;
        assert_eq!(first.status, Status::Stored);
        let other = send(&engine, "shop", None, json!({"c": 2, "at": T + 2})).await;
        assert_ne!(first.profile_id, other.profile_id);
        let joined =
            send(&engine, "shop", None, json!({"c": 2, "m": "A@site.org", "at": T + 3})).await;
        assert_eq!(joined.profile_id, first.profile_id);
        let profile = by(&engine, "shop:2").await;
        assert_eq!(profile.id, first.profile_id.unwrap().to_string());
        assert_eq!(profile.merged_ids, [other.profile_id.unwrap().to_string()]);
        assert_eq!(profile.stats.events, 3);
        let nobody = send(&engine, "web", None, json!({"at": T + 3})).await;
        assert_eq!(nobody.status, Status::ProfileLess);
        let digest = engine.digest().await.unwrap().digest;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        assert_eq!(by(&engine, "web:1").await.stats.events, 3);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn restarts_snapshots_passivation_and_replay_change_nothing() {
    for seed in 0..if is_long() { 40 } else { 6 } {
        let (folder, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        actix::System::new().block_on(async {
            let mut dice = Dice(seed);
            let tight = || Options { active_profiles: 3, ..options(folder.path()) };
            let mut engine = open(tight()).await;
            let reference = open(options(plain.path())).await;
            for number in 0..400 {
                let (source, session, body) = random_event(&mut dice, number);
                let one = send(&engine, source, session.as_deref(), body.clone()).await;
                let other = send(&reference, source, session.as_deref(), body).await;
                assert_eq!(one.status, other.status);
                match dice.roll(60) {
                    0 => drop(engine.snapshot().await.unwrap()),
                    1 => {
                        engine.stop(Duration::from_secs(5)).await;
                        engine = open(tight()).await;
                    }
                    2 => assert_eq!(
                        engine.digest().await.unwrap().digest,
                        reference.digest().await.unwrap().digest,
                        "seed {seed} event {number}"
                    ),
                    _ => {}
                }
            }
            let (one, other) = (engine.digest().await.unwrap(), reference.digest().await.unwrap());
            assert_eq!(
                (one.digest, one.profiles, one.events),
                (other.digest.clone(), other.profiles, other.events),
                "seed {seed}"
            );
            engine.stop(Duration::from_secs(5)).await;
            drop(engine);
            std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
            let engine = open(tight()).await;
            assert_eq!(engine.digest().await.unwrap().digest, other.digest, "replay, seed {seed}");
            engine.stop(Duration::from_secs(5)).await;
            reference.stop(Duration::from_secs(5)).await;
        });
    }
}

#[test]
fn many_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(Options { active_profiles: 10, ..options(folder.path()) }).await;
        let mut dice = Dice(7);
        let mut batches = Vec::new();
        for round in 0..20 {
            let batch: Vec<Submission> = (0..100)
                .map(|number| {
                    let (source, session, body) = random_event(&mut dice, round * 100 + number);
                    submission(&engine, source, session.as_deref(), &body)
                })
                .collect();
            batches.push(engine.ingest_batch(batch));
        }
        let mut ids = std::collections::BTreeSet::new();
        for receipts in futures_util::future::join_all(batches).await {
            ids.extend(receipts.unwrap().into_iter().map(|one| one.event_id));
        }
        assert_eq!(ids.len(), 2_000);
        let digest = engine.digest().await.unwrap();
        assert_eq!(digest.events, 2_000);
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest.digest);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_event_that_panics_twice_is_set_aside_and_neighbours_never_notice() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut faulty = options(folder.path());
        faulty.panic_on = vec![fault(Stage::Profile, "x", 3)];
        let engine = open(faulty).await;
        // The first event panics twice, the second once, and then all is well.
        let first = send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
        assert_eq!(first.status, Status::Quarantined(Reason::Panicked));
        let second = send(&engine, "web", None, json!({"u": 1, "at": T + 2, "city": "Ulm"})).await;
        assert_eq!(second.status, Status::Stored);
        let profile = by(&engine, "web:1").await;
        assert_eq!(profile.stats.events, 1);
        assert_eq!(profile.traits["city"].get(), "\"Ulm\"");
        tokio::time::sleep(Duration::from_millis(50)).await; // the act of setting aside
        let digest = engine.digest().await.unwrap().digest;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        let event = engine.event(first.event_id.unwrap().to_string()).await.unwrap().unwrap();
        assert_eq!((event.status, event.reason), ("quarantined", Some("panicked")));
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn duplicates_are_answered_with_the_first_ones_id_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        let first = send(&engine, "web", None, json!({"u": 1, "k": "e"})).await;
        let again = send(&engine, "web", None, json!({"u": 1, "k": "e"})).await;
        assert_eq!((again.status, again.event_id), (Status::Duplicate, first.event_id));
        let other = send(&engine, "shop", None, json!({"c": 1, "k": "e"})).await;
        assert_eq!(other.status, Status::Stored);
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(options(folder.path())).await;
        let again = send(&engine, "web", None, json!({"u": 1, "k": "e"})).await;
        assert_eq!((again.status, again.event_id), (Status::Duplicate, first.event_id));
        engine.stop(Duration::from_secs(5)).await;
    });
}

/// Whether the long form was asked for: `SELFSAME_LONG=1`, as CI does.
fn is_long() -> bool {
    std::env::var_os("SELFSAME_LONG").is_some()
}

/// Looks, 5 ms apart, after which something is taken not to come at all.
const PATIENCE: u32 = 6_000;

/// Waits until what is known was resolved under the rules in force.
pub(in crate::engine) async fn resolved(engine: &Engine) {
    let mut tries = 0;
    while engine.look(|identity| identity.core.awaits_resolution()).await.unwrap() {
        tries += 1;
        assert!(tries < PATIENCE, "the re-resolution never came: {:?}", engine.readiness());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(in crate::engine) async fn cleaned(engine: &Engine, erasure: &str) {
    let mut tries = 0;
    while engine.erasure(erasure).await.unwrap().unwrap().state != "done" {
        tries += 1;
        assert!(tries < PATIENCE, "the erasure never ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    resolved(engine).await;
}

/// Copies a folder's files, folders in it aside.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy_folder(&file.path(), &target),
            false => drop(std::fs::copy(file.path(), target).unwrap()),
        }
    }
}
