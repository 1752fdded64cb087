//! Deliveries through kill -9: each that the stored events call for is in the outbox exactly once,
//! each is delivered in the end, and only what was under way at a kill arrives again, with the same
//! id.
//!
//! The real program is killed under load while a receiver notes what arrives in which run. What is
//! expected is computed from the events that survived, by a model that knows nothing of the program:
//! an event of type `once` calls one webhook, one of type `twice` two, one of type `later` one after
//! a wait.
//!
//! 6 kills by default, 120 with `SELFSAME_LONG=1`; `SELFSAME_SEED` chooses the moments.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use support::client::Client;
use support::program::{Home, Program, poll};
use support::random::Random;
use support::receiver::{Arrival, Receiver};

/// Clients that post at the same time.
const CLIENTS: u64 = 3;
/// Event numbers of one client between two kills.
const NUMBERS: u64 = 1_000;
/// Kills on one data folder, before it is compared and left.
const KILLS_OF_A_FOLDER: u64 = 6;
/// Longer than any backlog of this test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A delivery by what calls for it: campaign, step, event id.
type Called = (String, u64, String);

fn config(receiver: SocketAddr) -> String {
    let webhook = |path: &str, order: &str| {
        format!(
            "{{ webhook = {{ url = \"http://{receiver}{path}\", allow_http = true, order = \"{order}\", \
             fields = {{ n = \"event.properties.n\" }} }} }}"
        )
    };
    let campaign = |id: &str, steps: &[String]| {
        format!(
            "[[campaign]]\nid = \"{id}\"\nstate = \"live\"\ntrigger = {{ event_type = \"{id}\" }}\n\
             step = [ {} ]\n",
            steps.join(", ")
        )
    };
    let wait = "{ wait = \"30ms\" }".to_owned();
    [
        "[server]\nallow_networks = [\"127.0.0.0/8\"]\n[journal]\nsegment = \"64KiB\"\n".to_owned(),
        "[snapshots]\nevery = \"1s\"\nevery_events = 60\n[memory]\nactive_profiles = 20\n"
            .to_owned(),
        "[[source]]\nid = \"web\"\nprofile_id = \"u\"\nevent_id = \"n\"\n".to_owned(),
        campaign("once", &[webhook("/ok", "per_profile")]),
        campaign("twice", &[webhook("/ok", "none"), webhook("/slow", "none")]),
        campaign("later", &[wait, webhook("/slow", "per_profile")]),
    ]
    .concat()
}

#[test]
fn what_stored_events_call_for_is_enqueued_once_and_delivered_through_kills() {
    let folders: u64 = if support::is_long() { 20 } else { 1 };
    for seed in support::first_seed()..support::first_seed() + folders {
        kill_again_and_again(seed);
    }
}

fn kill_again_and_again(seed: u64) {
    let place = format!("SELFSAME_SEED={seed}");
    let receiver = Receiver::start();
    let home = Home::new(&config(receiver.address));
    let mut random = Random::new(seed);
    let acknowledged = Mutex::new(BTreeSet::new());
    // Shown as delivered, and in which run: it is not to arrive in a later one.
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for kill in 0..KILLS_OF_A_FOLDER {
        receiver.set_run(kill);
        let program = home.start();
        let loading = Duration::from_millis(50 + random.bits() % 500);
        let stderr = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let mut random = Random::new(random.bits());
                let first = (kill * CLIENTS + client) * NUMBERS;
                let (address, acknowledged) = (program.address, &acknowledged);
                scope.spawn(move || {
                    post_until_it_dies(address, first, &mut random, acknowledged);
                });
            }
            std::thread::sleep(loading);
            for (id, state) in states(&mut program.client()) {
                if state == "delivered" {
                    delivered.entry(id).or_insert(kill);
                }
            }
            program.kill()
        });
        assert!(!stderr.contains("panicked"), "{place}: {stderr}");
    }
    receiver.set_run(KILLS_OF_A_FOLDER);
    let program = home.start();
    compare(&program, &acknowledged.into_inner().unwrap(), &place);
    assert_repeats(&receiver.arrivals(), &delivered, &place);
    program.stop();
    let before = receiver.arrivals().len();
    let program = home.start();
    compare_settled(&mut program.client(), &place);
    program.stop();
    assert_eq!(receiver.arrivals().len(), before, "{place}: sent again after a graceful stop");
}

fn post_until_it_dies(
    address: SocketAddr,
    first: u64,
    random: &mut Random,
    acknowledged: &Mutex<BTreeSet<u64>>,
) {
    let mut client = Client::new(address);
    for number in first..first + NUMBERS {
        let kind = ["once", "twice", "later"][usize::try_from(random.bits() % 3).unwrap()];
        // A run waits: another trigger meanwhile would be ignored, so each has a user of its own.
        let user = if kind == "later" { number + 1_000_000 } else { 1 + random.bits() % 40 };
        let body = json!({"u": user, "n": number}).to_string();
        let Ok(answer) = client.post(&format!("/collect/{kind}/web"), &body) else { return };
        assert_eq!(answer.status, 200, "{}", answer.json());
        acknowledged.lock().unwrap().insert(number);
    }
}

/// All items of a list.
fn all(client: &mut Client, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.json(&format!("{path}?limit=250{cursor}"));
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The state of each delivery by its `webhook-id`.
fn states(client: &mut Client) -> Vec<(String, String)> {
    let all = all(client, "/api/v1/deliveries");
    all.iter().map(|one| (text(&one["webhook_id"]), text(&one["state"]))).collect()
}

/// What the stored events call for.
fn called_for(client: &mut Client, acknowledged: &BTreeSet<u64>, place: &str) -> BTreeSet<Called> {
    let events = all(client, "/api/v1/events");
    let stored: BTreeSet<u64> =
        events.iter().map(|event| event["properties"]["n"].as_u64().unwrap()).collect();
    assert!(acknowledged.is_subset(&stored), "{place}: acknowledged events are lost");
    let mut called = BTreeSet::new();
    for event in &events {
        let steps: &[u64] = match event["type"].as_str().unwrap() {
            "once" => &[0],
            "twice" => &[0, 1],
            "later" => &[1],
            other => panic!("{place}: an event of type {other}"),
        };
        for step in steps {
            called.insert((text(&event["type"]), *step, text(&event["id"])));
        }
    }
    called
}

/// The outbox holds what is called for, once each, and all of it is delivered in the end.
fn compare(program: &Program, acknowledged: &BTreeSet<u64>, place: &str) {
    let mut client = program.client();
    let expected = called_for(&mut client, acknowledged, place);
    let settled = poll(PATIENCE, || {
        let deliveries = all(&mut client, "/api/v1/deliveries");
        let is_settled = deliveries.iter().all(|one| one["state"] == "delivered");
        (is_settled && deliveries.len() >= expected.len()).then_some(deliveries)
    });
    let deliveries =
        settled.unwrap_or_else(|| panic!("{place}: {:?}", all(&mut client, "/api/v1/deliveries")));
    let mut found = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for one in &deliveries {
        let step = one["step"].as_u64().unwrap();
        let key = (text(&one["campaign"]), step, text(&one["event_id"]));
        assert!(found.insert(key.clone()), "{place}: {key:?} is in the outbox twice");
        assert!(ids.insert(text(&one["webhook_id"])), "{place}: two deliveries of one id: {one}");
    }
    assert_eq!(found, expected, "{place}");
    assert!(expected.len() > 20, "{place}: hardly anything was called for");
}

fn compare_settled(client: &mut Client, place: &str) {
    let states = states(client);
    assert!(states.iter().all(|(_, state)| state == "delivered"), "{place}: {states:?}");
}

/// In one run nothing arrives twice, and nothing arrives again that was shown as delivered before.
fn assert_repeats(arrivals: &[Arrival], delivered: &BTreeMap<String, u64>, place: &str) {
    let mut seen = BTreeSet::new();
    for one in arrivals {
        assert!(!one.id.is_empty(), "{place}: {one:?}");
        assert!(seen.insert((&one.id, one.run)), "{place}: twice in one run: {one:?}");
        if let Some(run) = delivered.get(&one.id) {
            assert!(one.run <= *run, "{place}: delivered in run {run}, and again: {one:?}");
        }
    }
    let ids: BTreeSet<&String> = arrivals.iter().map(|one| &one.id).collect();
    eprintln!("{place}: {} deliveries, {} arrivals", ids.len(), arrivals.len());
}
