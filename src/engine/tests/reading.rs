//! Reading back: what an export holds while the person changes, and configurations that were
//! accepted by programs that were less strict.

use crate::domain::settings::OneOrMany;
use crate::engine::api::exports::{Export, ExportError};
use crate::engine::tests::*;

/// The rest of an export: the numbers of its events.
async fn rest(export: &mut Export) -> Result<Vec<u64>, ExportError> {
    let mut numbers = Vec::new();
    loop {
        let events = export.events().await?;
        if events.is_empty() {
            return Ok(numbers);
        }
        for event in events {
            let properties = event.properties.unwrap();
            let properties: serde_json::Value = serde_json::from_str(properties.get()).unwrap();
            numbers.push(properties["n"].as_u64().unwrap());
        }
    }
}

async fn fill(engine: &Engine, user: u64, numbers: std::ops::Range<u64>) {
    for n in numbers {
        send(engine, "web", None, json!({"u": user, "n": n, "at": T + n})).await;
    }
}

#[test]
fn an_export_is_of_the_profile_as_it_was_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let tight = Options { active_profiles: 1, ..options(folder.path()) };
        let engine = open(tight).await;
        fill(&engine, 1, 0..2_000).await;
        engine.snapshot().await.unwrap();
        fill(&engine, 1, 2_000..2_600).await;
        for n in 5_000..5_010 {
            send(&engine, "shop", None, json!({"c": 2, "n": n, "at": T + n})).await;
        }
        let begun = engine.export(by(&engine, "web:1").await.id).await.unwrap();
        let mut export = begun.unwrap();
        assert_eq!(export.profile.stats.events, 2_600);
        let first = export.events().await.unwrap().len() as u64;
        assert!(first < 1_000, "it comes in parts");
        // The person goes on, and becomes one with another one.
        fill(&engine, 1, 9_000..9_005).await;
        send(&engine, "web", None, json!({"u": 1, "n": 9_100, "m": "m@site.org"})).await;
        send(&engine, "shop", None, json!({"c": 2, "n": 9_101, "m": "m@site.org"})).await;
        assert_eq!(by(&engine, "shop:2").await.stats.events, 2_600 + 10 + 5 + 2);
        let left = rest(&mut export).await.unwrap();
        assert_eq!(left, (0..2_600 - first).rev().collect::<Vec<_>>());
        assert_eq!(export.changes().await.unwrap().len(), 1, "the merge meanwhile is told");
        assert!(export.changes().await.unwrap().is_empty());
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_export_of_somebody_who_is_erased_meanwhile_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        fill(&engine, 1, 0..3_000).await;
        let web = Identifier::parse("web:1").unwrap();
        let id = by(&engine, "web:1").await.id;
        let mut export = engine.export(id.clone()).await.unwrap().unwrap();
        export.events().await.unwrap();
        let erasure = engine.erase(ProfileRef::Identifier(web), false, "r".into()).await.unwrap();
        assert_eq!(rest(&mut export).await, Err(ExportError::Erased));
        assert!(engine.export(id).await.unwrap().is_none());
        cleaned(&engine, &erasure.id).await;
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_configuration_that_was_accepted_once_is_never_refused_at_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        // As a program accepted it that took `$.id` for a name.
        let mut loose = options(folder.path());
        let source = loose.settings.sources.get_mut("web").unwrap();
        source.session_id = Some(OneOrMany::One("$.id".into()));
        let engine = open(loose).await;
        let strict =
            engine.put_object(ObjectKind::Source, "other".into(), json!({"profile_id": "$.id"}));
        assert!(matches!(strict.await, Err(ObjectRefusal::Invalid(_))));
        // What others hold is no reason to refuse.
        let fine = json!({"profile_id": "id"});
        engine.put_object(ObjectKind::Source, "other".into(), fine).await.unwrap();
        fill(&engine, 1, 0..3).await;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(options(folder.path())).await;
        assert_eq!(by(&engine, "web:1").await.stats.events, 3);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_event_for_memory_is_read_back_as_soon_as_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        for n in 0..300 {
            let body = json!({"u": 1 + n % 7, "n": n, "k": format!("k{n}")});
            let mut one = submission(&engine, "web", None, &body);
            one.durability = Durability::Memory;
            let mut again = submission(&engine, "web", None, &body);
            again.durability = Durability::Memory;
            // The second is a duplicate while the first is under way.
            let (first, second) = tokio::join!(engine.ingest(one), engine.ingest(again));
            let (first, second) = (first.unwrap(), second.unwrap());
            assert_eq!((first.status, second.status), (Status::Stored, Status::Duplicate));
            assert_eq!(first.event_id, second.event_id);
            let read = engine.event(second.event_id.unwrap().to_string()).await.unwrap().unwrap();
            assert_eq!(read.status, "stored");
            assert!(read.properties.is_some());
        }
        engine.stop(Duration::from_secs(5)).await;
    });
}
