//! What operators do survives restarts, snapshots and replays, whatever was done to whom.

use crate::engine::tests::*;

/// What an operator may do next, at random.
pub(in crate::engine) async fn random_act(engine: &Engine, dice: &mut Dice) {
    let web = |dice: &mut Dice| Identifier::parse(&format!("web:{}", dice.roll(12))).unwrap();
    let shop = |dice: &mut Dice| Identifier::parse(&format!("shop:{}", dice.roll(12))).unwrap();
    let mail = Identifier::parse(&format!("email:m{}@site.org", dice.roll(10))).unwrap();
    let lookup = |one: &Identifier| ProfileRef::Identifier(one.clone());
    match dice.roll(6) {
        0 => {
            let joins = dice.roll(2) == 0;
            engine.lay_link(joins, web(dice), shop(dice), "r".into()).await.unwrap();
        }
        1 => {
            let links = engine.links().await.unwrap();
            if !links.is_empty() {
                let which = dice.roll(links.len() as u64) as usize;
                engine.lift_link(&links[which].id).await.unwrap();
            }
        }
        2 => {
            if let Some(profile) = engine.profile(lookup(&mail), false).await.unwrap() {
                let part = Part::Identifier(mail);
                let outcome = engine.unmerge(&profile.id, part, "r".into(), false).await;
                assert!(matches!(outcome, Ok(_) | Err(ObjectRefusal::NotFound)));
            }
        }
        3 => {
            if let Some(profile) = engine.profile(lookup(&mail), false).await.unwrap() {
                // A re-resolution may just have taken it elsewhere.
                let outcome = engine.withdraw(&profile.id, mail).await;
                assert!(matches!(outcome, Ok(()) | Err(ObjectRefusal::NotFound)));
            }
        }
        4 => {
            let unique = json!({"unique": dice.roll(2) == 0});
            engine.put_object(ObjectKind::IdentityType, "shop".into(), unique).await.unwrap();
            resolved(engine).await;
        }
        _ => {
            let one = web(dice);
            if engine.profile(lookup(&one), false).await.unwrap().is_some() {
                let erasure = engine.erase(lookup(&one), false, "r".into()).await.unwrap();
                if dice.roll(2) == 0 {
                    cleaned(engine, &erasure.id).await;
                }
            }
        }
    }
}

/// An event of few people, at random.
pub(in crate::engine) async fn random_step(engine: &Engine, dice: &mut Dice) {
    let number = dice.roll(u64::from(u32::MAX));
    step(engine, dice, number).await;
}

async fn step(engine: &Engine, dice: &mut Dice, number: u64) {
    let (source, session, mut body) = random_event(dice, number);
    for key in ["u", "c"] {
        if let Some(user) = body.get(key).and_then(serde_json::Value::as_u64) {
            body[key] = json!(user % 12);
        }
    }
    if body.get("m").is_some() {
        body["m"] = json!(format!("m{}@site.org", dice.roll(10)));
    }
    send(engine, source, session.as_deref(), body).await;
}

/// A world in which operators do what they like, restarted now and then, and replayed at the end.
fn survives(seed: u64, retain: Retain) {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut dice = Dice(seed);
        let tight = || Options {
            active_profiles: 5,
            segment_bytes: 4_096,
            retain,
            ..options(folder.path())
        };
        let mut engine = open(tight()).await;
        for number in 0..150 {
            step(&engine, &mut dice, number).await;
            if dice.roll(6) == 0 {
                random_act(&engine, &mut dice).await;
            }
            match dice.roll(40) {
                0 => drop(engine.snapshot().await.unwrap()),
                1 => {
                    resolved(&engine).await;
                    let before = engine.digest().await.unwrap();
                    engine.stop(Duration::from_secs(5)).await;
                    engine = open(tight()).await;
                    resolved(&engine).await;
                    let after = engine.digest().await.unwrap();
                    assert_eq!(after.digest, before.digest, "seed {seed} event {number}");
                }
                _ => {}
            }
        }
        resolved(&engine).await;
        let before = engine.digest().await.unwrap();
        engine.stop(Duration::from_secs(5)).await;
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(tight()).await;
        resolved(&engine).await;
        let after = engine.digest().await.unwrap();
        assert_eq!(
            (after.profiles, after.events, after.digest),
            (before.profiles, before.events, before.digest),
            "replay, seed {seed}"
        );
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn what_operators_do_survives_restarts_and_replays() {
    seeds().for_each(|seed| survives(seed, Retain::default()));
}

#[test]
fn what_operators_do_survives_the_loss_of_old_segments() {
    seeds().for_each(|seed| survives(seed, Retain { for_ms: None, bytes_max: Some(8_192) }));
}

/// Which worlds to run: `SELFSAME_SEEDS=100..200` names others than those that CI runs.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("SELFSAME_SEEDS").ok();
    let asked = asked.and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    asked.unwrap_or(if is_long() { 0..120 } else { 90..96 })
}

/// One person of three users, by a mail; what `act` does takes them apart. Then the one whose id the
/// profile had is erased: what was done to the other two stays done, live and in a replay.
fn stays_apart_without_the_leader(act: impl AsyncFn(&Engine, &str)) {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        // With times of their own: who showed the mail first decides where it stays.
        let first = ("web", json!({"u": 1, "at": T + 1}));
        let others =
            [("shop", json!({"c": 2, "at": T + 2})), ("shop", json!({"c": 3, "at": T + 3}))];
        for (source, user) in [first].into_iter().chain(others) {
            let mut body = user;
            body["m"] = json!("m@site.org");
            send(&engine, source, None, body).await;
        }
        let all = by(&engine, "web:1").await;
        assert_eq!(all.fragments.len(), 3);
        act(&engine, &all.id).await;
        let web = ProfileRef::Identifier(Identifier::parse("web:1").unwrap());
        let erasure = engine.erase(web, false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        let before = engine.digest().await.unwrap();
        assert_ne!(by(&engine, "shop:2").await.id, by(&engine, "shop:3").await.id);
        let engine = replayed(engine, options(folder.path())).await;
        resolved(&engine).await;
        assert_eq!(engine.digest().await.unwrap().digest, before.digest);
        assert_ne!(by(&engine, "shop:2").await.id, by(&engine, "shop:3").await.id);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_withdrawal_counts_for_others_when_the_profile_that_it_named_is_erased() {
    stays_apart_without_the_leader(async |engine, id| {
        let mail = Identifier::parse("email:m@site.org").unwrap();
        engine.withdraw(id, mail).await.unwrap();
    });
}

#[test]
fn an_unmerge_counts_for_others_when_the_profile_that_it_named_is_erased() {
    stays_apart_without_the_leader(async |engine, id| {
        let part = Part::Identifier(Identifier::parse("email:m@site.org").unwrap());
        let unmerged = engine.unmerge(id, part, "r".into(), false).await.unwrap().unwrap();
        let (profiles, links) = (unmerged.profiles, unmerged.links);
        assert_eq!((profiles.len(), links.len()), (3, 3));
    });
}

#[test]
fn a_withdrawn_identifier_that_only_the_erased_had_goes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1, "m": "m@site.org"})).await;
        let mail = Identifier::parse("email:m@site.org").unwrap();
        let id = by(&engine, "web:1").await.id;
        engine.withdraw(&id, mail.clone()).await.unwrap();
        let web = ProfileRef::Identifier(Identifier::parse("web:1").unwrap());
        let erasure = engine.erase(web, true, "r".into()).await.unwrap();
        assert_eq!(erasure.identifiers, 2);
        let known = engine.ask(move |identity, _| identity.core.graph.named(&mail)).await.unwrap();
        assert!(known.is_none());
        let again = send(&engine, "shop", None, json!({"c": 1, "m": "m@site.org"})).await;
        assert_eq!(again.status, Status::Dropped);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn ids_stay_through_a_re_resolution_that_events_race_with() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1})).await;
        let users: Vec<String> = (10..500).map(|user| format!("u{user}")).collect();
        let submissions =
            users.iter().map(|user| submission(&engine, "web", None, &json!({ "u": user })));
        let submissions = submissions.collect();
        // One group of the journal, so that a draft could read all of it at once.
        let (changed, receipts) = futures_util::future::join(
            engine.put_object(ObjectKind::IdentityType, "web".into(), json!({"unique": false})),
            engine.ingest_batch(submissions),
        )
        .await;
        changed.unwrap();
        let receipts = receipts.unwrap();
        resolved(&engine).await;
        let told: Vec<String> =
            receipts.iter().map(|one| one.profile_id.unwrap().to_string()).collect();
        assert_eq!(ids(&engine, &users).await, told);
        let engine = replayed(engine, options(folder.path())).await;
        assert_eq!(ids(&engine, &users).await, told);
        engine.stop(Duration::from_secs(5)).await;
    });
}

/// The ids of the profiles of these users.
async fn ids(engine: &Engine, users: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for user in users {
        all.push(by(engine, &format!("web:{user}")).await.id);
    }
    all
}

#[test]
fn a_page_with_gaps_is_not_taken_for_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        for number in 0..30 {
            send(&engine, "web", None, json!({"u": number % 2 + 1})).await;
        }
        // As between an erasure and the cleaning of the files.
        engine.ask(|identity, _| identity.core.hidden.extend([10, 11, 12])).await.unwrap();
        let (mut seen, mut before) = (0, None);
        loop {
            let page = PageRequest { limit: 4, before };
            let page = engine.events(EventFilter::default(), page).await.unwrap();
            seen += page.items.len();
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, 27);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn changes_are_kept_once_however_often_their_row_is_written() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        for user in 1..4 {
            send(&engine, "web", None, json!({"u": user})).await;
            send(&engine, "shop", None, json!({"c": user})).await;
            let body = json!({"c": user, "m": format!("m{user}@site.org")});
            send(&engine, "shop", None, body).await;
            send(&engine, "web", None, json!({"u": user, "m": format!("m{user}@site.org")})).await;
            engine.snapshot().await.unwrap();
        }
        // An erasure writes all of them again.
        let mail = ProfileRef::Identifier(Identifier::parse("email:m2@site.org").unwrap());
        let erasure = engine.erase(mail, false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        let before = engine.changes(0, 100).await.unwrap().items;
        assert_eq!(before.len(), 4);
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        let engine = open(options(folder.path())).await;
        let after = engine.changes(0, 100).await.unwrap().items;
        assert_eq!(serde_json::json!(after), serde_json::json!(before));
        engine.stop(Duration::from_secs(5)).await;
    });
}
