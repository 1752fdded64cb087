//! Objects with secrets as earlier programs took them, and the store beside the engine.

use crate::engine::tests::*;
use crate::records::ActRecord;
use crate::secrets::{Secret, Secrets};
use std::collections::BTreeMap;

/// A campaign that no program of today takes by API.
fn old() -> serde_json::Value {
    json!({"id": "old", "state": "live", "trigger": {"event_type": "never"}, "step": [{"webhook": {
        "url": "https://esp.example/", "sign": "zx-clear", "headers": {
            "Authorization": "Bearer zx-clear", "X-Env": "env:ZX", "X-File": "file:/etc/hostname",
            "X-Mode": "fast"}}}]})
}

fn with_secrets(data: &Path) -> Options {
    let env = BTreeMap::from([("ZX".to_owned(), "zx-env".to_owned())]);
    Options { secrets: Secrets::new(env, data.to_owned(), BTreeMap::new()), ..options(data) }
}

#[actix_web::test]
async fn what_was_once_taken_is_replayed_and_masked_and_reads_no_file_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(with_secrets(folder.path())).await;
    let refused = engine.put_object(ObjectKind::Campaign, "old".into(), old()).await;
    assert!(matches!(refused, Err(ObjectRefusal::Invalid(found)) if found.len() == 4));
    let at = Clock::system().now();
    let (kind, id, json) = (ObjectKind::Campaign, "old".to_owned(), old().to_string());
    engine.act(ActRecord::PutObject { at, kind, id, json }).await.unwrap();
    engine.stop(Duration::from_secs(10)).await;
    for keeps_snapshot in [true, false] {
        if !keeps_snapshot {
            std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        }
        let options = with_secrets(folder.path());
        let secrets = options.secrets.clone();
        let engine = open(options).await;
        let shown = engine.effective().unwrap().object(ObjectKind::Campaign, "old").unwrap();
        let webhook = &shown["step"][0]["webhook"];
        assert!(!shown.to_string().contains("zx-"), "{shown}");
        assert_eq!(
            (&webhook["sign"], &webhook["headers"]["X-Mode"]),
            (&json!("***"), &json!("fast"))
        );
        assert_eq!(webhook["headers"]["X-Env"], "env:ZX");
        assert_eq!(secrets.text("env:ZX").as_deref(), Some("zx-env"));
        assert_eq!(secrets.text("file:/etc/hostname"), None);
        engine.stop(Duration::from_secs(10)).await;
    }
}

#[actix_web::test]
async fn a_secret_that_is_used_stays() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(options(folder.path())).await;
    let set = |name: &str, value: &str| engine.set_secret(name.into(), Secret::new(value), 2);
    assert!(set("a", "one").await.unwrap() && set("b", "two").await.unwrap());
    assert!(matches!(set("c", "three").await, Err(SecretRefusal::Store(_))));
    assert!(matches!(set("no name", "x").await, Err(SecretRefusal::Name)));
    let campaign = json!({"trigger": {"event_type": "never"}, "step": [{"webhook": {
        "url": "https://esp.example/", "sign": "secret:a"}}]});
    engine.put_object(ObjectKind::Campaign, "c".into(), campaign).await.unwrap();
    let used = engine.remove_secret("a".into(), None).await.unwrap_err().to_string();
    assert!(used.contains("campaign.c.step[0].webhook.sign"), "{used}");
    let token = engine.remove_secret("b".into(), Some("b")).await.unwrap_err().to_string();
    assert!(token.contains("admin.token"), "{token}");
    engine.remove_secret("b".into(), None).await.unwrap();
    assert!(matches!(engine.remove_secret("b".into(), None).await, Err(SecretRefusal::NotFound)));
    engine.delete_object(ObjectKind::Campaign, "c".into()).await.unwrap();
    engine.remove_secret("a".into(), None).await.unwrap();
    assert_eq!(engine.secrets(None).unwrap(), Vec::new());
    engine.stop(Duration::from_secs(10)).await;
}

#[actix_web::test]
async fn a_store_that_is_damaged_keeps_the_engine_from_starting_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secrets.sealed"), "odd").unwrap();
    let engine = Engine::start(options(folder.path()));
    let why = engine.failed().await;
    assert!(why.why.contains("secrets.sealed is damaged"), "{why}");
}
