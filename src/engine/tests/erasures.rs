//! Erasures: no file holds the person any more, and no backup brings them back.

use crate::engine::tests::*;

#[test]
fn a_restored_backup_with_the_erasure_log_beside_it_stays_without_the_erased() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1, "m": "ann@site.org"})).await;
        send(&engine, "shop", None, json!({"c": 2})).await;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        copy_folder(&folder.path().join("journal"), &backup.path().join("journal"));
        let engine = open(options(folder.path())).await;
        let ann = Identifier::parse("email:ann@site.org").unwrap();
        let erasure = engine.erase(ProfileRef::Identifier(ann), true, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        let without = engine.digest().await.unwrap();
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::copy(folder.path().join("erasures.log"), backup.path().join("erasures.log"))
            .unwrap();
        for _ in 0..2 {
            let engine = open(options(backup.path())).await;
            let ann = Identifier::parse("email:ann@site.org").unwrap();
            let gone = engine.profile(ProfileRef::Identifier(ann), true).await.unwrap();
            assert!(gone.is_none());
            let is_clean = |identity: &mut identity::actor::IdentityActor| {
                let core = &identity.core;
                core.pending.is_empty() && core.erasures.values().all(|one| one.is_done)
            };
            while !engine.ask(move |identity, _| is_clean(identity)).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let digest = engine.digest().await.unwrap();
            assert_eq!((digest.profiles, digest.events), (1, 1));
            assert_eq!(digest.digest, without.digest);
            let again = send(&engine, "web", None, json!({"u": 1, "m": "ann@site.org"})).await;
            assert_eq!(again.status, Status::Dropped);
            engine.stop(Duration::from_secs(5)).await;
        }
    });
}

#[test]
fn after_an_erasure_no_file_holds_the_person() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(Options { segment_bytes: 4_096, ..options(folder.path()) }).await;
        let secret = "zx-very-secret-person";
        for number in 0..40 {
            let body =
                json!({"u": 7, "m": format!("{secret}@site.org"), "city": secret, "n": number});
            send(&engine, "web", Some(secret), body).await;
            send(&engine, "shop", None, json!({"c": number, "m": format!("o{number}@site.org")}))
                .await;
        }
        send(&engine, "web", None, json!({"d": secret, "loose": secret})).await;
        let mail = Identifier::parse(&format!("email:{secret}@site.org")).unwrap();
        engine
            .lay_link(true, mail.clone(), Identifier::parse("crm:1").unwrap(), "r".into())
            .await
            .unwrap();
        engine.snapshot().await.unwrap();
        let erasure =
            engine.erase(ProfileRef::Identifier(mail), true, "asked".into()).await.unwrap();
        assert_eq!(erasure.events, 40);
        cleaned(&engine, &erasure.id).await;
        let digest = engine.digest().await.unwrap();
        assert_eq!((digest.profiles, digest.events), (41, 41));
        // What is suppressed does not come back; the device that stood alone is somebody else's.
        let again = json!({"u": 7, "m": format!("{secret}@site.org")});
        assert_eq!(send(&engine, "web", None, again).await.status, Status::Dropped);
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let (reader, _) =
            crate::journal::inspect(&folder.path().join("journal"), true, &mut |_| {}).unwrap();
        for record in reader.scan(1) {
            let (sequence, record) = record.unwrap();
            let text = String::from_utf8_lossy(&record.bytes).into_owned();
            let is_loose = text.contains("loose");
            assert!(!text.contains(secret) || is_loose, "record {sequence}");
        }
        let store =
            crate::snapshot::open(&folder.path().join("snapshot"), Duration::from_secs(9)).unwrap();
        for row in (1..=255u8).flat_map(|first| store.scan_prefix(&[first])) {
            let (key, value) = row.unwrap();
            let text = String::from_utf8_lossy(&value).into_owned();
            assert!(!text.contains(&format!("{secret}@site.org")), "row {key:?}");
        }
    });
}

/// The lines of a folder's erasure log.
fn lines(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("erasures.log")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_line_that_a_crash_kept_out_of_the_erasure_log_is_written_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        for user in 1..4 {
            send(&engine, "web", None, json!({"u": user, "m": format!("m{user}@site.org")})).await;
            let web = Identifier::parse(&format!("web:{user}")).unwrap();
            let by = ProfileRef::Identifier(web);
            let erasure = engine.erase(by, user == 2, "r".into()).await.unwrap();
            cleaned(&engine, &erasure.id).await;
        }
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let whole = lines(folder.path());
        assert_eq!(whole.len(), 3);
        let log = folder.path().join("erasures.log");
        let torn = &whole[2][..20];
        // As a crash leaves it: no last line, half a last line; and one line lost by whatever cause.
        for left in
            [whole[..2].join("\n") + "\n", whole[..2].join("\n") + "\n" + torn, String::new()]
        {
            for is_replayed in [false, true] {
                std::fs::write(&log, &left).unwrap();
                if is_replayed {
                    std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
                }
                let engine = open(options(folder.path())).await;
                assert_eq!(lines(folder.path()), whole);
                let erasures = engine.ask(|identity, _| identity.core.erasures.len()).await;
                assert_eq!(erasures.unwrap(), 3);
                engine.stop(Duration::from_secs(5)).await;
            }
        }
    });
}

#[test]
fn an_erasure_leaves_the_records_of_another_that_no_snapshot_knows_yet() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        let row = |records: Vec<u64>| crate::records::ErasureRow {
            at: Clock::system().now(),
            reason: String::new(),
            counts: [0; 4],
            records,
            has_acts: false,
            is_done: false,
            mark: 0,
        };
        let (one, other) = (row(vec![3, 4]), row(vec![5, 6]));
        let found = engine.ask(move |identity, _| {
            let core = &mut identity.core;
            core.erasures.extend([(7, one), (8, other)]);
            core.hidden.extend([3, 4, 5, 6, 9]); // 9 slipped in
            [core.records_to_empty(7), core.records_to_empty(8)]
        });
        let [one, other] = found.await.unwrap();
        assert_eq!((one, other), ([3, 4, 9].into(), [5, 6, 9].into()));
    });
}

/// An event on nobody that a switch drops, because a new point finds it to be of a suppressed person,
/// goes from the journal with the next erasure. A start from a snapshot of before the switch must come
/// to the same.
#[test]
fn what_a_switch_dropped_stays_away_from_an_older_snapshot_too() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (snapshot, older) = (folder.path().join("snapshot"), backup.path().join("snapshot"));
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1, "m": "ann@site.org"})).await;
        send(&engine, "web", None, json!({"u": 2, "m": "bob@site.org"})).await;
        send(&engine, "shop", None, json!({"c": 3})).await;
        let loose = send(&engine, "web", None, json!({"who": "ann@site.org"})).await;
        assert_eq!(loose.status, Status::ProfileLess);
        let person = |name| ProfileRef::Identifier(Identifier::parse(name).unwrap());
        let erasure = engine.erase(person("web:1"), true, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        copy_folder(&snapshot, &older);

        let engine = open(options(folder.path())).await;
        let point = json!({"identifiers": [{"type": "email", "path": "who"}]});
        engine.put_object(ObjectKind::IdentificationPoint, "late".into(), point).await.unwrap();
        resolved(&engine).await;
        let erasure = engine.erase(person("web:2"), false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        let digest = engine.digest().await.unwrap();
        assert_eq!((digest.profiles, digest.events), (1, 1));
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::remove_dir_all(&snapshot).unwrap();
        copy_folder(&older, &snapshot);
        let engine = open(options(folder.path())).await;
        resolved(&engine).await;
        let after = engine.digest().await.unwrap();
        assert_eq!((after.profiles, after.events, after.digest), (1, 1, digest.digest));
        engine.stop(Duration::from_secs(5)).await;
    });
}

/// An event that named nobody, and was read again only to be of a suppressed person: the next erasure
/// empties the event and the act that read it.
#[test]
fn an_act_that_read_a_suppressed_persons_event_again_goes_with_the_next_erasure() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        let put = async |source| {
            engine.put_object(ObjectKind::Source, "hook".into(), source).await.unwrap();
        };
        put(json!({"namespace": "web"})).await;
        send(&engine, "web", None, json!({"u": 1})).await;
        send(&engine, "web", None, json!({"u": 2})).await;
        send(&engine, "hook", None, json!({"w": 1, "note": "zx-secret"})).await;
        send(&engine, "hook", None, json!({"w": 3, "note": "another"})).await;
        let person = |name| ProfileRef::Identifier(Identifier::parse(name).unwrap());
        let erasure = engine.erase(person("web:1"), true, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        put(json!({"namespace": "web", "profile_id": "w"})).await;
        assert_eq!(engine.reprocess(Again::default()).await.unwrap(), (2, 1));
        let erasure = engine.erase(person("web:2"), false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        let digest = engine.digest().await.unwrap();
        assert_eq!((digest.profiles, digest.events), (1, 1));
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let journal = folder.path().join("journal");
        let (reader, _) = crate::journal::inspect(&journal, true, &mut |_| {}).unwrap();
        for record in reader.scan(1) {
            let (sequence, record) = record.unwrap();
            let text = String::from_utf8_lossy(&record.bytes).into_owned();
            assert!(!text.contains("zx-secret"), "record {sequence}");
        }
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(options(folder.path())).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest.digest);
        assert_eq!(by(&engine, "web:3").await.stats.events, 1);
        engine.stop(Duration::from_secs(5)).await;
    });
}
