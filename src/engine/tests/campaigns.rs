//! A replay comes to the same runs and deliveries as the engine that served.

use crate::engine::tests::*;

/// Calls go to an address that may not be dialled, so each delivery is dead after one attempt.
fn with_campaigns(data: &Path) -> Options {
    let webhook = json!({"webhook": {"url": "https://127.0.0.1/", "max_age": "36500d", "fields": {"city": "traits.city", "mail": "identifiers.email"}}});
    let mut options = Options { arbiters: 4, ..options(data) };
    options.settings.event_time = true;
    options.settings.campaigns = serde_json::from_value(json!({
        "once": {"state": "live", "trigger": {"event_type": "x"}, "stop": {"restart_after": "never"}, "step": [webhook]},
        "waits": {"state": "live", "trigger": {"event_type": "x", "source": "web"},
            "exit": {"event_type": "x", "source": "shop", "where": [{"property": "spent", "at_least": 8}]},
            "step": [{"wait": "40ms"}, webhook]},
        "counts": {"state": "live", "trigger": {"event_type": "x", "where": [{"property": "spent", "equals": 3}]},
            "audience": {"where": [{"count": "x", "within": "36500d", "at_least": 3}]}, "step": [webhook]},
    }))
    .unwrap();
    options
}

/// Everything that campaigns left, attempts aside.
async fn left(engine: &Engine) -> serde_json::Value {
    let page = PageRequest { limit: 100_000, before: None };
    // Runs first: one that waits no more has enqueued all that it ever will.
    let mut runs = Vec::new();
    for campaign in ["once", "waits", "counts"] {
        runs.push(
            engine.campaign_runs(campaign.to_owned(), None, page).await.unwrap().unwrap().items,
        );
    }
    let deliveries = engine.deliveries(DeliveryFilter::default(), page).await.unwrap().items;
    json!({"deliveries": deliveries, "runs": runs})
}

/// Until nothing is to be sent and no run waits.
async fn settled(engine: &Engine) -> serde_json::Value {
    for _ in 0..200 {
        let now = left(engine).await;
        let text = now.to_string();
        if !text.contains("\"pending\"") && !text.contains("\"waiting\"") {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not settle");
}

/// Calls by campaign. (What waits is left out: a timer fires when its time has come, and a backtest
/// has it fire just then.)
const WITHOUT_WAITS: [&str; 2] = ["once", "counts"];

fn called(left: &serde_json::Value) -> Vec<usize> {
    let all = left["deliveries"].as_array().unwrap();
    let of = |id: &str| all.iter().filter(|one| one["campaign"] == id).count();
    WITHOUT_WAITS.map(of).to_vec()
}

/// The same as a backtest over everything tells it: it must be what really happened.
async fn backtested(engine: &Engine) -> Vec<usize> {
    let mut calls = Vec::new();
    for id in WITHOUT_WAITS {
        let view = engine.backtest_campaign(id, 3_650, u64::MAX).await.unwrap();
        assert!(view.is_whole);
        assert_eq!((view.runs, view.ended.len()), (view.calls, 0));
        assert_eq!(view.turned_away.values().sum::<usize>() + view.runs, view.events);
        calls.push(view.calls);
    }
    calls
}

#[test]
fn intake_waits_for_a_snapshot_where_deliveries_keep_too_much_and_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let tight = Options { unsaved_bytes: 2_000, ..with_campaigns(folder.path()) };
        let engine = open(tight).await;
        let mut stored = 0;
        while stored < 100 {
            let body = json!({"u": format!("u{stored}"), "spent": 3});
            match engine.ingest(submission(&engine, "web", None, &body)).await {
                Ok(_) => stored += 1,
                Err(Refusal::Overloaded) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(called(&settled(&engine).await)[0], 100);
        engine.stop(Duration::from_secs(10)).await;
        drop(engine);
        let engine = open(with_campaigns(folder.path())).await;
        let Readiness::Ready { report } = engine.readiness() else { panic!("it is ready") };
        // One is taken when the engine stops.
        assert!(report["generation"].as_u64().unwrap() > 5, "{report}");
        engine.stop(Duration::from_secs(10)).await;
    });
}

#[test]
fn a_replay_comes_to_the_same_runs_and_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let engine = open(with_campaigns(folder.path())).await;
        let mut dice = Dice(41);
        for batch in 0..12 {
            // Together, so that profiles merge while others still owe their answers.
            let events = (0..50).map(|number| {
                let (source, session, body) = random_event(&mut dice, batch * 50 + number);
                submission(&engine, source, session.as_deref(), &body)
            });
            let events = events.collect();
            let (stored, snapshot) = tokio::join!(engine.ingest_batch(events), engine.snapshot());
            assert!(stored.is_ok() && snapshot.is_ok());
        }
        let live = settled(&engine).await;
        assert!(live["deliveries"].as_array().unwrap().len() > 40, "{live}");
        assert_eq!(backtested(&engine).await, called(&live));
        engine.stop(Duration::from_secs(10)).await;
        drop(engine);
        let engine = open(with_campaigns(folder.path())).await;
        assert_eq!(left(&engine).await, live, "from the snapshot");
        engine.stop(Duration::from_secs(10)).await;
        drop(engine);
        std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
        let engine = open(with_campaigns(folder.path())).await;
        assert_eq!(left(&engine).await, live, "from the journal alone");
        engine.stop(Duration::from_secs(10)).await;
    });
}
