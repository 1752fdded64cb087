//! Re-resolutions beside what else happens, in orders that a test can force.

use crate::engine::history::basis::Basis;
use crate::engine::history::draft::Draft;
use crate::engine::identity::basis_collector::gather;
use crate::engine::identity::resolution::Drafted;
use crate::engine::identity::sagas::Drafting;
use crate::engine::tests::*;

/// Changes a rule, and has the test itself be the thread that makes the draft: answers a draft that
/// has read all there is.
async fn draft_in_hand(engine: &Engine) -> Box<Draft> {
    engine.ask(|identity, _| identity.draft = Drafting::Reading).await.unwrap();
    let rule = json!({"priority": 15});
    engine.put_object(ObjectKind::IdentityType, "email".into(), rule).await.unwrap();
    let made = engine.ask(|identity, _| {
        assert!(identity.core.awaits_resolution());
        let mut draft = Box::new(Draft::new(Basis::of(&identity.core)));
        draft.read(&identity.shared.reader).map(|()| draft).map_err(|error| error.to_string())
    });
    made.await.unwrap().unwrap()
}

/// Hands the draft over, as the thread does, and waits for a switch.
async fn hand_over(engine: &Engine, draft: Box<Draft>) {
    engine.0.running.get().unwrap().identity.do_send(Drafted(Ok(Some(draft))));
    resolved(engine).await;
}

async fn done(engine: &Engine, erasure: &str) {
    let mut tries = 0;
    while engine.erasure(erasure).await.unwrap().unwrap().state != "done" {
        tries += 1;
        assert!(tries < PATIENCE, "the erasure never ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_draft_that_read_a_person_before_a_whole_erasure_does_not_bring_them_back() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1, "m": "ann@site.org", "at": T + 1})).await;
        send(&engine, "shop", None, json!({"c": 2, "m": "bob@site.org", "at": T + 2})).await;
        let draft = draft_in_hand(&engine).await;
        let ann = || ProfileRef::Identifier(Identifier::parse("email:ann@site.org").unwrap());
        let erasure = engine.erase(ann(), false, "r".into()).await.unwrap();
        // From the first record to the last: nothing is hidden any more.
        done(&engine, &erasure.id).await;
        assert!(engine.ask(|identity, _| identity.core.hidden.is_empty()).await.unwrap());
        hand_over(&engine, draft).await;
        assert!(engine.profile(ann(), true).await.unwrap().is_none());
        let digest = engine.digest().await.unwrap();
        assert_eq!((digest.profiles, digest.events), (1, 1));
        engine.stop(Duration::from_secs(5)).await;
        drop(engine);
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(options(folder.path())).await;
        resolved(&engine).await;
        assert_eq!(engine.digest().await.unwrap().digest, digest.digest);
        engine.stop(Duration::from_secs(5)).await;
    });
}

/// Has a draft made as the thread makes it, and answers it before it is handed over.
async fn draft_beside(engine: &Engine, kind: &str, rule: serde_json::Value) -> Box<Draft> {
    engine.ask(|identity, _| identity.draft = Drafting::Reading).await.unwrap();
    engine.put_object(ObjectKind::IdentityType, kind.into(), rule).await.unwrap();
    let running = engine.0.running.get().unwrap();
    let (identity, reader) = (running.identity.clone(), running.shared.reader.clone());
    let make = move || {
        let mut draft = Box::new(Draft::beside(gather(&identity).unwrap()));
        draft.read(&reader).unwrap();
        draft.prepare().unwrap();
        draft
    };
    actix_rt::task::spawn_blocking(make).await.unwrap()
}

/// The whole change log.
async fn changes(engine: &Engine) -> String {
    serde_json::to_string_pretty(&engine.changes(0, 100_000).await.unwrap().items).unwrap()
}

/// Random events and acts of operators.
async fn go_on(engine: &Engine, dice: &mut Dice, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (source, session, body) = random_event(dice, number);
        send(engine, source, session.as_deref(), body).await;
        let web = Identifier::parse(&format!("web:{}", dice.roll(40))).unwrap();
        if dice.roll(15) == 0 {
            let shop = Identifier::parse(&format!("shop:{}", dice.roll(40))).unwrap();
            engine.lay_link(dice.roll(2) == 0, web, shop, "r".into()).await.unwrap();
        } else if dice.roll(15) == 0 {
            let mail = Identifier::parse(&format!("email:m{}@site.org", dice.roll(30))).unwrap();
            let by = ProfileRef::Identifier(mail.clone());
            if let Some(profile) = engine.profile(by, false).await.unwrap() {
                engine.withdraw(&profile.id, mail).await.unwrap();
            }
        }
    }
}

#[test]
fn what_happens_beside_a_draft_is_in_the_state_that_it_becomes() {
    for seed in 0..if is_long() { 60 } else { 9 } {
        let folder = tempfile::tempdir().unwrap();
        actix::System::new().block_on(async {
            let mut dice = Dice(seed);
            let tight = || Options { active_profiles: 5, ..options(folder.path()) };
            let engine = open(tight()).await;
            go_on(&engine, &mut dice, 0..200).await;
            let (kind, rule) = match seed % 3 {
                0 => ("web", json!({"unique": false})),
                // Fragments by a mail become fragments by a device.
                1 => ("device", json!({"priority": 5})),
                _ => ("email", json!({"limit": {"values": 1, "per": "ever"}})),
            };
            let draft = draft_beside(&engine, kind, rule).await;
            go_on(&engine, &mut dice, 200..280).await;
            hand_over(&engine, draft).await;
            let before = engine.digest().await.unwrap();
            let told = changes(&engine).await;
            assert!(told.contains("re-resolved"));
            engine.stop(Duration::from_secs(5)).await;
            drop(engine);
            // A replay makes the draft at once, at the switch, and looks at everything.
            std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
            let engine = open(tight()).await;
            assert_eq!(engine.digest().await.unwrap().digest, before.digest, "seed {seed}");
            assert_eq!(changes(&engine).await, told, "seed {seed}");
            engine.stop(Duration::from_secs(5)).await;
        });
    }
}

#[test]
fn a_draft_that_read_what_slipped_in_behind_a_suppression_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"u": 1, "at": T + 1})).await;
        let slipped =
            send(&engine, "web", None, json!({"u": 2, "m": "b@site.org", "at": T + 2})).await;
        let draft = draft_in_hand(&engine).await;
        assert_eq!(slipped.status, Status::Stored);
        let good = engine.ask(move |identity, _| {
            let core = &mut identity.core;
            let before = draft.is_good_for(core);
            core.hidden.insert(core.applied - 1);
            (before, draft.is_good_for(core))
        });
        assert_eq!(good.await.unwrap(), (true, false));
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn an_id_that_only_follows_its_event_is_gone_with_the_person() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        send(&engine, "web", None, json!({"m": "ann@site.org", "d": "d1", "at": T + 1})).await;
        let old = by(&engine, "email:ann@site.org").await.id;
        // The event's fragment is by its device now, and the one by its mail holds nothing.
        let rule = json!({"priority": 5});
        engine.put_object(ObjectKind::IdentityType, "device".into(), rule).await.unwrap();
        resolved(&engine).await;
        let profile = engine.profile(ProfileRef::Id(old.clone()), true).await.unwrap().unwrap();
        assert_ne!(profile.id, old);
        let device = ProfileRef::Identifier(Identifier::parse("device:d1").unwrap());
        let erasure = engine.erase(device, false, "r".into()).await.unwrap();
        cleaned(&engine, &erasure.id).await;
        // Whoever comes next may well get the rows that the erased left.
        send(&engine, "web", None, json!({"u": 7, "m": "bob@site.org", "at": T + 2})).await;
        for id in [old, profile.id] {
            assert!(engine.profile(ProfileRef::Id(id), true).await.unwrap().is_none());
        }
        engine.stop(Duration::from_secs(5)).await;
    });
}
