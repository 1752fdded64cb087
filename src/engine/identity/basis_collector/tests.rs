//! Gathering in parts comes to the same as gathering at once.

use crate::domain::id::Identifier;
use crate::engine::handle::Engine;
use crate::engine::identity::basis_collector::*;
use crate::engine::state::query::ProfileRef;
use crate::engine::tests::{Dice, T, open, options, random_event, resolved, send};
use crate::records::ObjectKind;
use serde_json::json;
use std::time::Duration;

/// What is done between two parts, at random: events that join profiles, and acts that part and
/// erase them.
async fn meanwhile(engine: &Engine, dice: &mut Dice, number: u64) {
    let (source, session, body) = random_event(dice, number);
    send(engine, source, session.as_deref(), body).await;
    let one = Identifier::parse(&format!("web:{}", dice.roll(40))).unwrap();
    let by = ProfileRef::Identifier(one);
    let act = dice.roll(12);
    if act > 1 {
        return;
    }
    let Some(profile) = engine.profile(by.clone(), false).await.unwrap() else { return };
    if act == 1 {
        engine.erase(by, false, "r".into()).await.unwrap();
    } else if let Some(mail) = profile.identifiers.iter().find(|one| one.kind == "email") {
        let mail = Identifier::parse(&format!("email:{}", mail.value)).unwrap();
        engine.withdraw(&profile.id, mail).await.unwrap();
    }
}

#[test]
fn what_is_gathered_in_parts_is_what_there_is_at_the_last_one() {
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        actix::System::new().block_on(async {
            let engine = open(options(folder.path())).await;
            let mut dice = Dice(seed);
            for number in 0..120 {
                let (source, session, body) = random_event(&mut dice, number);
                send(&engine, source, session.as_deref(), body).await;
            }
            let mut gathering = Gathering::default();
            let (mut number, mut parts) = (1_000, 0);
            let (gathered, (then, held)) = loop {
                let question = gathering.next(5);
                // Asked in one go: an erasure that still goes on may change the state behind it.
                let both = engine.ask(move |identity, _| {
                    let present = (Basis::of(&identity.core), identity.core.graph.holders());
                    (question(identity), present)
                });
                let (part, present) = both.await.unwrap();
                parts += 1;
                if let Some(gathered) = gathering.take(part) {
                    break (gathered, present);
                }
                // Parts come faster than what changes them, or there would be no end.
                if parts % 2 == 0 && parts < 60 {
                    meanwhile(&engine, &mut dice, number).await;
                    number += 1;
                }
            };
            let Gathered { basis, holders, .. } = gathered;
            assert!(parts > 10);
            assert_eq!(holders, held, "seed {seed}");
            assert_eq!(basis.ancestry, then.ancestry, "seed {seed}");
            assert_eq!(basis.applied, then.applied);
            engine.stop(Duration::from_secs(5)).await;
        });
    }
}

#[test]
fn a_re_resolution_between_two_parts_has_all_gathered_anew() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(options(folder.path())).await;
        for user in 0..20 {
            let body = json!({"u": user, "m": format!("m{}@site.org", user % 3), "at": T + user});
            send(&engine, "shop", Some(&format!("S{user}")), body).await;
        }
        let mut gathering = Gathering::default();
        let question = gathering.next(5);
        let part = engine.ask(move |identity, _| question(identity)).await.unwrap();
        assert!(gathering.take(part).is_none());
        let mail = json!({"limit": {"values": 1, "per": "ever"}, "priority": 1});
        engine.put_object(ObjectKind::IdentityType, "email".into(), mail).await.unwrap();
        resolved(&engine).await;
        let gathered = loop {
            let question = gathering.next(5);
            let part = engine.ask(move |identity, _| question(identity)).await.unwrap();
            if let Some(gathered) = gathering.take(part) {
                break gathered;
            }
        };
        let held = engine.ask(|identity, _| identity.core.graph.holders()).await.unwrap();
        assert_eq!(gathered.holders, held);
        engine.stop(Duration::from_secs(5)).await;
    });
}
