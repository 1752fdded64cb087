//! Events that are read again: shown as they read now, and part of their profile whatever happens.

use crate::engine::tests::*;
use crate::records::ObjectKind;

/// A source that is told only later where its users are.
fn mute() -> serde_json::Value {
    json!({"name": "no id yet", "occurred_at": "at", "traits": {"city": "city"}})
}

fn told() -> serde_json::Value {
    json!({"profile_id": "w", "occurred_at": "at", "event_type": "kind", "traits": {"city": "city"}})
}

async fn put(engine: &Engine, id: &str, json: serde_json::Value) {
    engine.put_object(ObjectKind::Source, id.into(), json).await.unwrap();
}

#[test]
fn a_fragment_that_is_rebuilt_after_a_panic_has_what_was_read_again() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut faulty = options(folder.path());
        faulty.panic_on = vec![fault(Stage::Profile, "boom", 1)];
        let engine = open(faulty).await;
        put(&engine, "hook", mute()).await;
        let early = send(&engine, "hook", None, json!({"w": 1, "at": T + 1, "city": "Ulm"})).await;
        assert_eq!(early.status, Status::ProfileLess);
        put(&engine, "hook", told()).await;
        send(&engine, "hook", None, json!({"w": 1, "at": T})).await;
        assert_eq!(engine.reprocess(Again::default()).await.unwrap(), (1, 1));
        let shown = engine.event(early.event_id.unwrap().to_string()).await.unwrap().unwrap();
        assert_eq!((shown.status, shown.identifiers), ("stored", vec!["hook:1".to_owned()]));
        // Nothing of the fragment is in the snapshot when it is lost.
        send(&engine, "hook", None, json!({"w": 1, "at": T, "kind": "boom"})).await;
        let profile = by(&engine, "hook:1").await;
        assert_eq!((profile.stats.events, profile.traits["city"].get()), (3, "\"Ulm\""));
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_event_that_panicked_can_be_read_again_once_the_cause_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut faulty = options(folder.path());
        faulty.panic_on = vec![fault(Stage::Profile, "x", 2)];
        let engine = open(faulty).await;
        let event = send(&engine, "web", None, json!({"u": 1, "at": T + 1, "city": "Ulm"})).await;
        assert_eq!(event.status, Status::Quarantined(Reason::Panicked));
        send(&engine, "web", None, json!({"u": 1, "at": T + 2})).await;
        let id = event.event_id.unwrap().to_string();
        let again = Again { event_id: Some(id.clone()), ..Again::default() };
        while engine.event(id.clone()).await.unwrap().unwrap().status != "quarantined" {
            tokio::time::sleep(Duration::from_millis(5)).await; // the act of setting aside
        }
        assert_eq!(engine.reprocess(again).await.unwrap(), (1, 1));
        assert_eq!(engine.event(id.clone()).await.unwrap().unwrap().status, "stored");
        let profile = by(&engine, "web:1").await;
        assert_eq!((profile.stats.events, profile.traits["city"].get()), (2, "\"Ulm\""));
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        assert_eq!(engine.event(id).await.unwrap().unwrap().status, "stored");
        assert_eq!(by(&engine, "web:1").await.stats.events, 2);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_event_that_panics_again_when_it_is_read_again_is_set_aside_again() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut faulty = options(folder.path());
        faulty.panic_on = vec![fault(Stage::Profile, "x", 4)];
        let engine = open(faulty).await;
        let event = send(&engine, "web", None, json!({"u": 1, "at": T + 1, "city": "Ulm"})).await;
        let id = event.event_id.unwrap().to_string();
        let again = Again { event_id: Some(id.clone()), ..Again::default() };
        while engine.event(id.clone()).await.unwrap().unwrap().status != "quarantined" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        engine.reprocess(again).await.unwrap();
        while engine.event(id.clone()).await.unwrap().unwrap().status != "quarantined" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let next = send(&engine, "web", None, json!({"u": 1, "at": T + 2, "city": "Bonn"})).await;
        assert_eq!(next.status, Status::Stored);
        assert_eq!(by(&engine, "web:1").await.stats.events, 1);
        let digest = engine.digest().await.unwrap().digest;
        let engine = replayed(engine, options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest);
        engine.stop(Duration::from_secs(5)).await;
    });
}

/// A state of one configuration, in which an event came under another one that never got its turn.
#[test]
fn what_came_under_a_configuration_that_was_taken_back_is_read_again() {
    let with = |points: serde_json::Value| -> Settings {
        let mut all = serde_json::to_value(settings()).unwrap();
        all["points"] = points;
        serde_json::from_value(all).unwrap()
    };
    let plain = settings();
    let other = with(json!({}));
    let hash_key = [7; 32];
    let genesis = crate::records::Genesis {
        made_at: crate::domain::time::Timestamp(0),
        id_key: crate::domain::id::IdKey(1, 2),
        hash_key,
    };
    let effective =
        Effective::new(&plain, &state::configuration::Objects::new(), hash_key).unwrap();
    let mut core = Core::new(genesis, effective, plain.clone());
    let read = |core: &Core, body: serde_json::Value| {
        let facts = RequestFacts {
            event_type: "x",
            session: None,
            header: &|_| None,
            query: &[],
            received_at: crate::domain::time::Timestamp(1),
            batch_index: None,
            is_lossy: false,
            passed_over: &|_| {},
        };
        let compiled = &core.effective.compiled;
        let payload = Payload::Json(body.to_string().into());
        compiled.extract(&compiled.sources["web"], &facts, payload, &hash_key)
    };
    let first = read(&core, json!({"u": 1, "m": "a@site.org"}));
    core.event(3, &first);
    core.configure(Some(other), None).unwrap();
    assert!(core.awaits_resolution());
    let second = read(&core, json!({"m": "b@site.org"}));
    assert_eq!(core.event(4, &second).fragment, None);
    core.configure(Some(plain), None).unwrap();
    assert!(core.awaits_resolution(), "the second event would stay without its person");
}
