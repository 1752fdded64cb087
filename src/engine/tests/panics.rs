//! Whatever panics costs one event or one call: neighbours are served, the event is quarantined by a
//! record, and a restart and a replay of the journal alone come to the same.

use crate::domain::id::Sequence;
use crate::engine::history::basis::Basis;
use crate::engine::history::draft::Draft;
use crate::engine::tests::*;
use crate::records::{ActRecord, ObjectKind};

/// All of an event type that a fault strikes.
const BOOM: &str = "boom";

/// As often as it is met.
const EVER: usize = usize::MAX;

fn webhook() -> serde_json::Value {
    json!({"webhook": {"url": "https://127.0.0.1/", "max_age": "36500d", "fields": {"city": "traits.city"}}})
}

/// Sources that say their type, and campaigns that are asked about it.
fn with_types(data: &Path, faults: Vec<Fault>) -> Options {
    let mut options = Options { panic_on: faults, ..options(data) };
    let mut all = serde_json::to_value(&options.settings).unwrap();
    for source in ["web", "shop"] {
        all["sources"][source]["event_type"] = json!("kind");
    }
    all["event_time"] = json!(true);
    all["campaigns"] = json!({
        "greets": {"state": "live", "trigger": {"event_type": BOOM}, "stop": {"restart_after": "0s"}, "step": [webhook()]},
        "waits": {"state": "live", "trigger": {"event_type": "x", "source": "web"}, "step": [{"wait": "20ms"}, webhook()]},
    });
    options.settings = serde_json::from_value(all).unwrap();
    options
}

async fn reopened(engine: Engine, options: Options) -> Engine {
    engine.stop(Duration::from_secs(20)).await;
    drop(engine);
    open(options).await
}

/// An engine without faults.
fn sound(folder: &Path) -> Options {
    with_types(folder, Vec::new())
}

async fn status(engine: &Engine, receipt: &Receipt) -> (&'static str, Option<&'static str>) {
    let id = receipt.event_id.unwrap().to_string();
    let event = engine.event(id).await.unwrap().unwrap();
    (event.status, event.reason)
}

/// An engine that does what it is told until the end.
fn play(work: impl AsyncFnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(work(folder.path()));
}

#[test]
fn an_event_that_panics_at_any_stage_is_quarantined_and_neighbours_are_served() {
    for stage in [Stage::Graph, Stage::Profile, Stage::Campaign] {
        play(async |folder| {
            let faults = || vec![fault(stage, BOOM, EVER)];
            let engine = open(with_types(folder, faults())).await;
            send(
                &engine,
                "web",
                None,
                json!({"u": 1, "m": "a@site.org", "at": T + 1, "city": "Ulm"}),
            )
            .await;
            send(&engine, "shop", None, json!({"c": 2, "at": T + 2})).await;
            let body = json!({"u": 1, "m": "b@site.org", "at": T + 3, "city": "Rom", "kind": BOOM, "k": "e"});
            let boom = send(&engine, "web", None, body.clone()).await;
            if stage != Stage::Campaign {
                // A campaign is asked behind the answer.
                assert_eq!(boom.status, Status::Quarantined(Reason::Panicked), "{stage:?}");
            }
            let mut tries = 0;
            while status(&engine, &boom).await != ("quarantined", Some("panicked")) {
                tries += 1;
                assert!(tries < PATIENCE, "{stage:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(send(&engine, "web", None, body).await.status, Status::Duplicate);
            let joined =
                send(&engine, "shop", None, json!({"c": 2, "m": "a@site.org", "at": T + 4})).await;
            assert_eq!(joined.status, Status::Stored, "{stage:?}");
            let profile = by(&engine, "web:1").await;
            assert_eq!((profile.stats.events, profile.traits["city"].get()), (3, "\"Ulm\""));
            let digest = engine.digest().await.unwrap().digest;
            let engine = reopened(engine, with_types(folder, faults())).await;
            assert_eq!(engine.digest().await.unwrap().digest, digest, "{stage:?}");
            let engine = replayed(engine, sound(folder)).await;
            assert_eq!(engine.digest().await.unwrap().digest, digest, "{stage:?}");
            assert_eq!(status(&engine, &boom).await, ("quarantined", Some("panicked")));
            // The cause is mended: it can be read again.
            assert_eq!(engine.reprocess(Again::default()).await.unwrap(), (1, 1));
            assert_eq!(status(&engine, &boom).await.0, "stored");
            let digest = engine.digest().await.unwrap().digest;
            let engine = replayed(engine, sound(folder)).await;
            assert_eq!(engine.digest().await.unwrap().digest, digest, "{stage:?}");
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

#[test]
fn no_record_that_was_accepted_stops_a_start() {
    for stage in [Stage::Graph, Stage::Profile, Stage::Campaign] {
        play(async |folder| {
            let engine = open(with_types(folder, Vec::new())).await;
            let mut booms = Vec::new();
            for number in 0..40 {
                let kind = if number % 10 == 3 { BOOM } else { "y" };
                let body = json!({"u": number % 3 + 1, "at": T + number, "kind": kind});
                let receipt = send(&engine, "web", None, body).await;
                if kind == BOOM {
                    booms.push(receipt);
                }
            }
            engine.stop(Duration::from_secs(20)).await;
            drop(engine);
            std::fs::remove_dir_all(folder.join("snapshot")).unwrap();
            let engine = open(with_types(folder, vec![fault(stage, BOOM, EVER)])).await;
            for boom in &booms {
                assert_eq!(status(&engine, boom).await, ("quarantined", Some("panicked")));
            }
            send(&engine, "web", None, json!({"u": 1, "at": T + 99})).await;
            assert_eq!(by(&engine, "web:1").await.stats.events, 14 - 2 + 1, "{stage:?}");
            let digest = engine.digest().await.unwrap();
            assert_eq!(digest.events, 41);
            let engine = replayed(engine, sound(folder)).await;
            assert_eq!(engine.digest().await.unwrap().digest, digest.digest, "{stage:?}");
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

#[test]
fn an_act_that_panics_is_answered_and_has_no_effect_in_any_replay() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Act, "lay", 1)])).await;
        for (source, id) in
            [("web", json!({"u": 1, "at": T + 1})), ("shop", json!({"c": 2, "at": T + 1}))]
        {
            send(&engine, source, None, id).await;
        }
        let end = |text: &str| Identifier::parse(text).unwrap();
        let lay = || engine.lay_link(true, end("web:1"), end("shop:2"), "same".to_owned());
        let refused = lay().await.unwrap_err();
        assert_eq!(refused, ObjectRefusal::Refused(Refusal::Panicked));
        assert!(engine.links().await.unwrap().is_empty());
        assert_eq!(engine.digest().await.unwrap().profiles, 2);
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.lay_link(true, end("web:1"), end("shop:2"), "same".to_owned()).await.unwrap();
        assert_eq!(engine.digest().await.unwrap().profiles, 1);
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn a_timer_that_panics_ends_its_run() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Timer, "waits", EVER)])).await;
        send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
        let page = PageRequest { limit: 10, before: None };
        let mut tries = 0;
        loop {
            let runs = engine.campaign_runs("waits".to_owned(), None, page).await.unwrap();
            let runs = serde_json::to_value(runs.unwrap().items).unwrap();
            if runs[0]["state"] == "ended" {
                assert_eq!(runs[0]["reason"], "panicked");
                break;
            }
            tries += 1;
            assert!(tries < PATIENCE, "{runs}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let next = send(&engine, "shop", None, json!({"c": 1, "at": T + 1})).await;
        assert_eq!(next.status, Status::Stored);
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        let runs = engine.campaign_runs("waits".to_owned(), None, page).await.unwrap();
        assert_eq!(serde_json::to_value(runs.unwrap().items).unwrap()[0]["state"], "ended");
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn a_read_that_panics_costs_that_read() {
    for stage in [Stage::Ask, Stage::View] {
        play(async |folder| {
            let engine = open(with_types(folder, vec![fault(stage, "", 1)])).await;
            send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
            let by_id = ProfileRef::Identifier(Identifier::parse("web:1").unwrap());
            let refused = engine.profile(by_id, false).await.unwrap_err();
            assert_eq!(refused, Refusal::Panicked, "{stage:?}");
            assert_eq!(by(&engine, "web:1").await.stats.events, 1);
            let next = send(&engine, "web", None, json!({"u": 1, "at": T + 2})).await;
            assert_eq!(next.status, Status::Stored);
            assert_eq!(by(&engine, "web:1").await.stats.events, 2);
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

#[test]
fn a_batch_with_an_event_that_panics_is_answered_one_by_one() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Graph, BOOM, EVER)])).await;
        let one = |number: u64| {
            let kind = if number % 4 == 1 { BOOM } else { "y" };
            submission(&engine, "web", None, &json!({"u": number + 1, "at": T + 1, "kind": kind}))
        };
        let receipts = engine.ingest_batch((0..12).map(one).collect()).await.unwrap();
        for (number, receipt) in receipts.iter().enumerate() {
            let panicked = Status::Quarantined(Reason::Panicked);
            let expected = if number % 4 == 1 { panicked } else { Status::Stored };
            assert_eq!(receipt.status, expected, "{number}");
        }
        assert_eq!(engine.digest().await.unwrap().profiles, 9);
        engine.stop(Duration::from_secs(20)).await;
    });
}

/// A source that names nobody at first, and then a mail: what it sent before is on nobody.
async fn point_at(engine: &Engine, path: &str) {
    let point = json!({"identifiers": [{"type": "email", "path": path}]});
    engine.put_object(ObjectKind::IdentificationPoint, "late".to_owned(), point).await.unwrap();
}

#[test]
fn an_erasure_goes_on_past_what_cannot_be_read_and_says_what_it_left() {
    play(async |folder| {
        let faults = vec![fault(Stage::Search, BOOM, EVER)];
        let engine = open(with_types(folder, faults)).await;
        // On nobody: one of another person, and one that spells the person's mail.
        let other = json!({"at": T + 1, "kind": BOOM, "late": "c@site.org"});
        let other = send(&engine, "web", None, other).await;
        let own = json!({"at": T + 1, "kind": BOOM, "late": "ANN@site.org"});
        let own = send(&engine, "web", None, own).await;
        send(&engine, "web", None, json!({"u": 1, "m": "ann@site.org", "at": T + 1})).await;
        send(&engine, "web", None, json!({"u": 2, "m": "bob@site.org", "at": T + 1})).await;
        let ann = ProfileRef::Identifier(Identifier::parse("web:1").unwrap());
        let receipt = engine.erase(ann, false, String::new()).await.unwrap();
        assert_eq!((receipt.events, receipt.unread), (2, 1));
        cleaned(&engine, &receipt.id).await;
        assert_eq!(status(&engine, &other).await.0, "profile-less");
        let own = own.event_id.unwrap().to_string();
        assert!(engine.event(own).await.unwrap().is_none());
        let bob = ProfileRef::Identifier(Identifier::parse("web:2").unwrap());
        assert!(engine.profile(bob, false).await.unwrap().is_some());
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn a_re_resolution_that_panics_ends_as_failed_and_another_one_may_come() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Resolution, "", 1)])).await;
        send(&engine, "web", None, json!({"u": 1, "at": T + 1, "late": "a@site.org"})).await;
        point_at(&engine, "late").await;
        let mut tries = 0;
        while engine.resolution().await.unwrap() != Resolution::Failed {
            tries += 1;
            assert!(tries < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let next = send(&engine, "web", None, json!({"u": 1, "at": T + 2})).await;
        assert_eq!(next.status, Status::Stored);
        let digest = engine.digest().await.unwrap().digest;
        point_at(&engine, "later").await;
        resolved(&engine).await;
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Current);
        point_at(&engine, "late").await;
        resolved(&engine).await;
        assert_ne!(engine.digest().await.unwrap().digest, digest);
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn what_panics_when_it_is_read_again_stays_and_all_else_is_resolved() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Reread, BOOM, EVER)])).await;
        let boom = json!({"at": T + 1, "kind": BOOM, "late": "b@site.org"});
        let boom = send(&engine, "web", None, boom).await;
        let other = send(&engine, "web", None, json!({"at": T + 1, "late": "a@site.org"})).await;
        point_at(&engine, "late").await;
        resolved(&engine).await;
        assert_eq!(status(&engine, &boom).await.0, "profile-less");
        assert_eq!(status(&engine, &other).await.0, "stored");
        assert_eq!(engine.reprocess(Again::default()).await.unwrap(), (1, 0));
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn a_preview_that_panics_costs_that_preview() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Preview, "", 1)])).await;
        send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
        let refused = engine.preview(Preview::default()).await.unwrap_err();
        assert_eq!(refused, ObjectRefusal::Refused(Refusal::Panicked));
        assert_eq!(engine.preview(Preview::default()).await.unwrap().profiles_before, 1);
        engine.stop(Duration::from_secs(20)).await;
    });
}

#[test]
fn reprocessing_passes_over_an_event_that_panics_when_it_is_placed() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Graph, BOOM, EVER)])).await;
        let late = |kind: &str, number: u64| json!({"at": T + 1, "kind": kind, "w": number});
        put_web(&engine, "nothing").await;
        let boom = json!({"at": T + 1, "type": BOOM, "w": 1});
        let boom = send(&engine, "hook", None, boom).await;
        for number in 2..5 {
            send(&engine, "hook", None, late("y", number)).await;
        }
        put_web(&engine, "w").await;
        engine.snapshot().await.unwrap();
        let (considered, stored) = engine.reprocess(Again::default()).await.unwrap();
        assert_eq!((considered, stored), (4, 3));
        assert_eq!(status(&engine, &boom).await, ("quarantined", Some("panicked")));
        let digest = engine.digest().await.unwrap();
        assert_eq!(digest.profiles, 3);
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest.digest);
        engine.stop(Duration::from_secs(20)).await;
    });
}

/// A source whose events name nobody unless `path` does; their type is read when they are read again.
async fn put_web(engine: &Engine, path: &str) {
    let kind = if path == "w" { "type" } else { "none" };
    let hook = json!({"profile_id": path, "occurred_at": "at", "event_type": kind});
    engine.put_object(ObjectKind::Source, "hook".into(), hook).await.unwrap();
}

#[test]
fn a_delivery_that_cannot_be_judged_or_called_is_over() {
    for stage in [Stage::Recheck, Stage::Sending] {
        play(async |folder| {
            let mut options = with_types(folder, vec![fault(stage, "", EVER)]);
            let campaign = options.settings.campaigns.get_mut("greets").unwrap();
            campaign["audience"] = json!({"where": [{"property": "at", "at_least": 0}]});
            let engine = open(options).await;
            send(&engine, "web", None, json!({"u": 1, "at": T + 1, "kind": BOOM})).await;
            let page = PageRequest { limit: 10, before: None };
            let mut tries = 0;
            loop {
                let all = engine.deliveries(DeliveryFilter::default(), page).await.unwrap().items;
                let all = serde_json::to_value(all).unwrap();
                if all[0]["state"] == "cancelled" || all[0]["state"] == "dead" {
                    break;
                }
                tries += 1;
                assert!(tries < PATIENCE, "{stage:?} {all}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let next = send(&engine, "web", None, json!({"u": 1, "at": T + 2})).await;
            assert_eq!(next.status, Status::Stored);
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

#[test]
fn a_part_that_ends_all_the_same_fails_the_engine() {
    for stage in [Stage::Router, Stage::Committer, Stage::Identity, Stage::Snapshot] {
        play(async |folder| {
            let engine = open(with_types(folder, Vec::new())).await;
            send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
            engine.stop(Duration::from_secs(20)).await;
            drop(engine);
            let options = with_types(folder, vec![fault(stage, "", 1)]);
            let engine = Engine::start(options);
            tokio::select! {
                () = engine.ready() => {
                    let one = submission(&engine, "shop", None, &json!({"c": 9, "at": T + 1}));
                    let _answer = tokio::join!(engine.ingest(one), engine.snapshot());
                }
                _ = engine.failed() => {}
            }
            let failure = engine.failed().await;
            assert!(failure.is_fault, "{stage:?}: {failure}");
            assert!(matches!(engine.readiness(), Readiness::Failed(_)));
            engine.stop(Duration::from_secs(20)).await;
            drop(engine);
            let engine = open(with_types(folder, Vec::new())).await;
            assert!(engine.digest().await.unwrap().profiles >= 1);
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

/// Says that an event was in vain, as its profile would.
async fn set_aside(engine: &Engine, sequence: Sequence) {
    engine.act(ActRecord::SetAside { at: Clock::system().now(), sequence }).await.unwrap();
}

/// Sends an event of one user, and returns its sequence.
async fn sent_alone(engine: &Engine) -> Sequence {
    send(engine, "web", None, json!({"u": 1, "at": T, "m": "a@site.org", "city": "Ulm"})).await;
    engine.ask(|identity, _| identity.core.applied).await.unwrap()
}

/// A re-resolution reads an event before the journal says that it panicked on its profile.
#[test]
fn a_draft_that_took_in_what_is_set_aside_later_is_thrown_away() {
    play(async |folder| {
        let engine = open(sound(folder)).await;
        let boom = sent_alone(&engine).await;
        let (basis, reader) = engine
            .ask(|identity, _| (Basis::of(&identity.core), identity.shared.reader.clone()))
            .await
            .unwrap();
        let mut draft = Draft::new(basis);
        draft.read(&reader).unwrap();
        set_aside(&engine, boom).await;
        let is_good = engine.ask(move |identity, _| {
            let was_good = draft.is_of_now(&identity.core);
            draft.catch_up(&reader, identity.core.applied).unwrap();
            let mut other = Draft::new(Basis::of(&identity.core));
            other.catch_up(&reader, identity.core.applied).unwrap();
            [was_good, draft.is_of_now(&identity.core), other.is_of_now(&identity.core)]
        });
        assert_eq!(is_good.await.unwrap(), [true, false, true]);
        engine.stop(Duration::from_secs(20)).await;
    });
}

/// The same, and the draft has become the state before the journal says it.
#[test]
fn what_is_set_aside_behind_a_switch_is_resolved_anew() {
    play(async |folder| {
        let engine = open(sound(folder)).await;
        let boom = sent_alone(&engine).await;
        let mail = json!({"limit": {"values": 1, "per": "ever"}, "priority": 1});
        engine.put_object(ObjectKind::IdentityType, "email".into(), mail).await.unwrap();
        resolved(&engine).await;
        set_aside(&engine, boom).await;
        resolved(&engine).await;
        assert!(by(&engine, "web:1").await.traits.is_empty());
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, sound(folder)).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.stop(Duration::from_secs(20)).await;
    });
}

/// A campaign panics over an event that is answered already, while the engine stops: the last snapshot
/// is not the only one that knows.
#[test]
fn what_panics_while_the_engine_stops_is_said_in_the_journal_too() {
    for _ in 0..4 {
        play(async |folder| {
            let engine = open(with_types(folder, vec![fault(Stage::Campaign, BOOM, EVER)])).await;
            send(&engine, "web", None, json!({"u": 1, "at": T})).await;
            let boom = send(&engine, "web", None, json!({"u": 1, "at": T + 1, "kind": BOOM})).await;
            let engine = reopened(engine, sound(folder)).await;
            let before = (engine.digest().await.unwrap().digest, status(&engine, &boom).await);
            let engine = replayed(engine, sound(folder)).await;
            let after = (engine.digest().await.unwrap().digest, status(&engine, &boom).await);
            assert_eq!(after, before);
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

/// An event that was set aside goes with its person, and no re-resolution finds it again.
#[test]
fn what_was_set_aside_stays_away_after_an_erasure_however_often_all_is_resolved_again() {
    play(async |folder| {
        let engine = open(with_types(folder, vec![fault(Stage::Profile, BOOM, EVER)])).await;
        send(&engine, "shop", None, json!({"c": 2, "m": "b@site.org", "at": T})).await;
        send(&engine, "web", None, json!({"u": 1, "at": T})).await;
        let boom = send(&engine, "web", None, json!({"u": 1, "at": T + 1, "kind": BOOM})).await;
        // The record that says so follows the answer.
        while status(&engine, &boom).await != ("quarantined", Some("panicked")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let web = ProfileRef::Identifier(Identifier::parse("web:1").unwrap());
        let erasure = engine.erase(web, false, String::new()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        for priority in [1, 2] {
            let mail = json!({"limit": {"values": 1, "per": "ever"}, "priority": priority});
            engine.put_object(ObjectKind::IdentityType, "email".into(), mail).await.unwrap();
            resolved(&engine).await;
        }
        let left = engine.ask(|identity, _| identity.core.quarantined.len()).await.unwrap();
        let before = engine.digest().await.unwrap();
        assert_eq!((left, before.events), (0, 1));
        let engine = replayed(engine, sound(folder)).await;
        let after = engine.digest().await.unwrap();
        assert_eq!((after.digest, after.events), (before.digest, before.events));
        engine.stop(Duration::from_secs(20)).await;
    });
}

/// Random worlds, in which a part of the events strikes somewhere, with snapshots, passivation and
/// restarts between.
#[test]
fn whatever_panics_a_replay_comes_to_the_same() {
    let stages = [Stage::Graph, Stage::Profile, Stage::Campaign];
    for seed in 0..if is_long() { 60 } else { 6 } {
        play(async |folder| {
            let mut dice = Dice(seed);
            let stage = stages[seed as usize % stages.len()];
            let options = || {
                let faults = vec![fault(stage, BOOM, EVER), fault(Stage::Timer, "waits", 3)];
                Options {
                    active_profiles: 3,
                    arbiters: 1 + seed as usize % 3,
                    ..with_types(folder, faults)
                }
            };
            let mut engine = open(options()).await;
            let mut booms = Vec::new();
            for number in 0..150 {
                let (source, session, mut body) = random_event(&mut dice, number);
                let is_boom = dice.roll(20) == 0;
                if is_boom {
                    body["kind"] = json!(BOOM);
                }
                let receipt = send(&engine, source, session.as_deref(), body).await;
                if is_boom && receipt.status != Status::ProfileLess {
                    booms.push(receipt);
                }
                match dice.roll(40) {
                    0 => drop(engine.snapshot().await.unwrap()),
                    1 => engine = reopened(engine, options()).await,
                    2 => drop(engine.erase(one_of(&mut dice), false, String::new()).await),
                    _ => {}
                }
            }
            let mut tries = 0;
            for boom in booms {
                let id = boom.event_id.unwrap().to_string();
                // None, where the person was erased.
                while engine
                    .event(id.clone())
                    .await
                    .unwrap()
                    .is_some_and(|one| one.status != "quarantined")
                {
                    tries += 1;
                    assert!(tries < PATIENCE, "seed {seed}: it is never quarantined");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            resolved(&engine).await;
            let digest = engine.digest().await.unwrap();
            let engine = replayed(engine, sound(folder)).await;
            resolved(&engine).await;
            let again = engine.digest().await.unwrap();
            assert_eq!((again.digest, again.events), (digest.digest, digest.events), "seed {seed}");
            engine.stop(Duration::from_secs(20)).await;
        });
    }
}

fn one_of(dice: &mut Dice) -> ProfileRef {
    ProfileRef::Identifier(Identifier::parse(&format!("web:{}", dice.roll(40))).unwrap())
}
