//! A journal that lost its beginning to retention: nothing known is lost, and rules still change.

use crate::engine::tests::*;

/// Everything that may go does, with each snapshot.
fn tight(folder: &Path) -> Options {
    Options {
        segment_bytes: 4_096,
        retain: Retain { for_ms: None, bytes_max: Some(1) },
        ..options(folder)
    }
}

/// Fills a journal, and has its beginning dropped.
async fn cut(engine: &Engine) {
    let mut dice = Dice(3);
    for number in 0..200 {
        let (source, session, body) = random_event(&mut dice, number);
        send(engine, source, session.as_deref(), body).await;
    }
    engine.snapshot().await.unwrap();
    send(engine, "web", None, json!({"u": 99})).await; // behind the segments' retirement
    assert!(engine.running().unwrap().shared.reader.first_sequence() > 100);
}

/// The same state from the snapshot, and from checkpoint and journal alone.
async fn comes_back(engine: Engine, folder: &Path) -> Engine {
    let before = engine.digest().await.unwrap().digest;
    let mut engine = engine;
    for is_replayed in [false, true] {
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        if is_replayed {
            std::fs::remove_dir_all(folder.join("snapshot")).unwrap();
        }
        engine = open(tight(folder)).await;
        resolved(&engine).await;
        let after = engine.digest().await.unwrap().digest;
        assert_eq!(after, before, "replayed: {is_replayed}");
    }
    engine
}

#[test]
fn what_retention_drops_stays_in_the_counters_and_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let small = || tight(folder.path());
        let engine = open(small()).await;
        let mut dice = Dice(3);
        for number in 0..300 {
            let (source, session, body) = random_event(&mut dice, number);
            send(&engine, source, session.as_deref(), body).await;
        }
        let digest = engine.digest().await.unwrap().digest;
        engine.snapshot().await.unwrap();
        send(&engine, "web", None, json!({"u": 99})).await; // behind the segments' retirement
        assert!(engine.running().unwrap().shared.reader.first_sequence() > 100);
        let after = engine.digest().await.unwrap().digest;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(small()).await;
        assert_eq!(engine.digest().await.unwrap().digest, after);
        assert_ne!(digest, after);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_rule_changes_for_the_evidence_that_is_there_when_the_journal_lost_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(tight(folder.path())).await;
        for user in [1, 2] {
            send(&engine, "shop", None, json!({"c": user, "m": "both@site.org"})).await;
        }
        assert_eq!(by(&engine, "shop:1").await.id, by(&engine, "shop:2").await.id);
        cut(&engine).await;
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Current);
        let rule = json!({"unique": true});
        engine.put_object(ObjectKind::IdentityType, "shop".into(), rule).await.unwrap();
        resolved(&engine).await;
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Adopted);
        assert_ne!(by(&engine, "shop:1").await.id, by(&engine, "shop:2").await.id);
        let engine = comes_back(engine, folder.path()).await;
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Adopted);
        engine.delete_object(ObjectKind::IdentityType, "shop".into()).await.unwrap();
        resolved(&engine).await;
        assert_eq!(by(&engine, "shop:1").await.id, by(&engine, "shop:2").await.id);
        comes_back(engine, folder.path()).await.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn what_only_events_could_tell_is_refused_when_they_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(tight(folder.path())).await;
        cut(&engine).await;
        let fold = json!({"fold": "max"});
        let refused = engine.put_object(ObjectKind::Trait, "city".into(), fold).await;
        assert!(matches!(refused, Err(ObjectRefusal::JournalCut(_))), "{refused:?}");
        let refused = engine.preview(Preview::default()).await;
        assert!(matches!(refused, Err(ObjectRefusal::JournalCut(_))));
        // From a file it is taken, without effect on what is folded already; said by the state.
        let mut settings = settings();
        settings
            .traits
            .insert("city".into(), serde_json::from_value(json!({"fold": "max"})).unwrap());
        engine.reload(settings.clone()).await.unwrap();
        while engine.resolution().await.unwrap() != Resolution::Adopted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = engine.digest().await.unwrap().digest;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(Options { settings, ..tight(folder.path()) }).await;
        assert_eq!(engine.digest().await.unwrap().digest, before);
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Adopted);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_erasure_among_others_evidence_ends_when_the_journal_lost_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(tight(folder.path())).await;
        cut(&engine).await;
        // Two users who must not be one, by one mail: whoever has it, the other has evidence of it.
        for user in [51, 52] {
            send(&engine, "web", None, json!({"u": user, "m": "both@site.org"})).await;
        }
        let mail = Identifier::parse("email:both@site.org").unwrap();
        let erasure = engine.erase(ProfileRef::Identifier(mail), false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Adopted);
        comes_back(engine, folder.path()).await.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn segments_stay_while_a_re_resolution_has_to_read_them() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(Options { retain: Retain::default(), ..tight(folder.path()) }).await;
        let mut dice = Dice(5);
        for number in 0..300 {
            let (source, session, body) = random_event(&mut dice, number);
            send(&engine, source, session.as_deref(), body).await;
        }
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(tight(folder.path())).await;
        let rule = json!({"unique": true});
        engine.put_object(ObjectKind::IdentityType, "shop".into(), rule).await.unwrap();
        while engine.ask(|identity, _| identity.core.awaits_resolution()).await.unwrap() {
            engine.snapshot().await.unwrap(); // each of them would let all of it go
        }
        assert_eq!(engine.resolution().await.unwrap(), Resolution::Current);
        // No snapshot since the switch: a replay comes to it, and finds all that it needs.
        let before = engine.digest().await.unwrap().digest;
        let (state, copy) = (folder.path(), tempfile::tempdir().unwrap());
        copy_folder(&state.join("journal"), &copy.path().join("journal"));
        let replayed = open(tight(copy.path())).await;
        resolved(&replayed).await;
        assert_eq!(replayed.digest().await.unwrap().digest, before);
        replayed.stop(Duration::from_secs(5)).await;
        engine.snapshot().await.unwrap();
        send(&engine, "web", None, json!({"u": 99})).await;
        assert!(engine.running().unwrap().shared.reader.first_sequence() > 100);
        comes_back(engine, folder.path()).await.stop(Duration::from_secs(5)).await;
    });
}
