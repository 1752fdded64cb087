//! An unmerge of what many share: one record, one row, and a state that a restart brings back.

use crate::engine::api::identity::Part;
use crate::engine::tests::*;

const MANY: usize = 900;

async fn share_a_mail(engine: &Engine) {
    for from in (0..MANY).step_by(100) {
        let bodies: Vec<_> = (from..from + 100)
            .map(|user| json!({"c": format!("c{user}"), "at": T + user as u64, "m": "m@site.org"}))
            .collect();
        let all = bodies.iter().map(|body| submission(engine, "shop", None, body)).collect();
        let receipts = engine.ingest_batch(all).await.unwrap();
        assert_eq!(receipts.len(), 100);
    }
}

fn mail() -> Part {
    Part::Identifier(Identifier::parse("email:m@site.org").unwrap())
}

/// Each user is alone; the mail stays with the first.
async fn are_apart(engine: &Engine, but: usize) {
    for user in [1, 2, MANY / 2, MANY - 1].into_iter().filter(|user| *user != but) {
        let found = by(engine, &format!("shop:c{user}")).await;
        assert_eq!(found.fragments.len(), 1, "{user}");
    }
    let owner = by(engine, "email:m@site.org").await;
    assert_eq!(owner.id, by(engine, "shop:c0").await.id);
}

#[test]
fn what_many_share_is_taken_apart_by_one_cut_that_lasts() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        share_a_mail(&engine).await;
        let merged = engine.digest().await.unwrap();
        let id = by(&engine, "shop:c7").await.id;
        assert_eq!(by(&engine, "shop:c7").await.fragments.len(), MANY);
        let tried = engine.unmerge(&id, mail(), "r".into(), true).await.unwrap().unwrap();
        assert_eq!((tried.parts.len(), tried.links.len()), (MANY, 0));
        assert_eq!(engine.digest().await.unwrap().digest, merged.digest);
        let cut = engine.unmerge(&id, mail(), "r".into(), false).await.unwrap().unwrap();
        by(&engine, "shop:c7").await;
        assert_eq!((cut.profiles.len(), cut.links.len()), (MANY, 1));
        let mut planned = tried.profiles;
        let mut profiles = cut.profiles.clone();
        planned.sort();
        profiles.sort();
        assert_eq!(planned, profiles);
        are_apart(&engine, MANY).await;
        let links = engine.links().await.unwrap();
        assert_eq!((links.len(), links[0].parts.as_ref().unwrap().len()), (1, MANY));
        // The senders say the same again, and it is not theirs any more.
        share_a_mail(&engine).await;
        are_apart(&engine, MANY).await;
        assert!(
            engine.unmerge(&cut.profiles[0], mail(), "r".into(), false).await.unwrap().is_none()
        );
        let before = engine.digest().await.unwrap();
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        // From the snapshot, then from the whole journal.
        let engine = open(options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, before.digest);
        share_a_mail(&engine).await;
        are_apart(&engine, MANY).await;
        let before = engine.digest().await.unwrap();
        let engine = replayed(engine, options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, before.digest);
        are_apart(&engine, MANY).await;
        // Lifted as one.
        engine.lift_link(&cut.links[0]).await.unwrap();
        assert_eq!(by(&engine, "shop:c7").await.fragments.len(), MANY);
        assert!(engine.links().await.unwrap().is_empty());
        assert!(engine.lift_link(&cut.links[0]).await.is_err());
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_cut_counts_for_others_when_one_of_them_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        share_a_mail(&engine).await;
        let id = by(&engine, "shop:c7").await.id;
        engine.unmerge(&id, mail(), "r".into(), false).await.unwrap().unwrap();
        let gone = ProfileRef::Identifier(Identifier::parse("shop:c2").unwrap());
        let erasure = engine.erase(gone, false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        resolved(&engine).await;
        are_apart(&engine, 2).await;
        let links = engine.links().await.unwrap();
        assert_eq!(links[0].parts.as_ref().unwrap().len(), MANY - 1);
        let before = engine.digest().await.unwrap();
        let engine = replayed(engine, options(folder.path())).await;
        resolved(&engine).await;
        assert_eq!(engine.digest().await.unwrap().digest, before.digest);
        are_apart(&engine, 2).await;
        engine.stop(Duration::from_secs(5)).await;
    });
}
