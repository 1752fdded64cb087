//! An endpoint that hangs, or fails, delays no other one: the real program against a receiver on
//! loopback. No verdict depends on how long anything took.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use support::client::Client;
use support::program::{Home, Program, poll};
use support::receiver::Receiver;

/// Longer than any backlog of this test takes, and shorter than a call may hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events for the endpoint that hangs.
const HANGING: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

fn home(receiver: &Receiver) -> Home {
    let campaign = |id: &str, path: &str, order: &str| {
        format!(
            "[[campaign]]\nid = \"{id}\"\nstate = \"live\"\ntrigger = {{ event_type = \"{id}\" }}\n\
             [[campaign.step]]\nwebhook = {{ url = \"http://{}{path}\", allow_http = true, \
             order = \"{order}\", fields = {{ n = \"event.properties.n\", u = \"event.properties.u\" }}, static = {{ c = \"{id}\" }} }}\n",
            receiver.address
        )
    };
    let mut config = "[server]\nallow_networks = [\"127.0.0.0/8\"]\n\
                      [[source]]\nid = \"web\"\nprofile_id = \"u\"\n"
        .to_owned();
    config += &campaign("hang", "/hang", "none");
    config += &campaign("hang-in-order", "/hang", "per_profile");
    config += &campaign("fail", "/fail", "none");
    for number in 0..5 {
        config += &campaign(&format!("quick-{number}"), "/slow", "per_profile");
    }
    Home::new(&config)
}

/// Posts events of a type, over so many users.
fn post(client: &mut Client, kind: &str, users: usize, count: usize) {
    for number in 0..count {
        let body = json!({"u": 1 + number % users, "n": number}).to_string();
        let answer = client.post(&format!("/collect/{kind}/web"), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

fn metric(client: &mut Client, name: &str) -> Option<f64> {
    let text = client.get("/metrics").unwrap().body;
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn a_backlog_behind_an_endpoint_that_hangs_delays_nobody_else() {
    let receiver = Receiver::start();
    let home = home(&receiver);
    let program = home.start();
    std::thread::scope(|scope| {
        for (kind, users) in [("hang", 100), ("hang", 3), ("hang-in-order", 1)] {
            let mut client = program.client();
            scope.spawn(move || post(&mut client, kind, users, HANGING / 4));
        }
        let mut client = program.client();
        scope.spawn(move || {
            for round in 0..5 {
                post(&mut client, &format!("quick-{round}"), 20, 100);
            }
        });
    });
    let all = poll(PATIENCE, || (receiver.count("/slow") >= 500).then_some(()));
    assert!(all.is_some(), "{} of 500 arrived", receiver.count("/slow"));
    assert_in_order(&receiver);
    let mut client = program.client();
    let pending = client.json("/api/v1/deliveries?state=pending&campaign=hang-in-order&limit=250");
    assert_eq!(pending["items"].as_array().unwrap().len(), 250, "the backlog is still there");
    kill(program);
}

/// Each campaign sends each profile its events in the order in which they were posted.
fn assert_in_order(receiver: &Receiver) {
    let mut last: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for one in receiver.arrivals().iter().filter(|one| one.path == "/slow") {
        let campaign = one.body["c"].as_str().unwrap().to_owned();
        let (user, number) = (one.body["u"].as_u64().unwrap(), one.body["n"].as_u64().unwrap());
        let before = last.insert((campaign, user), number);
        assert!(before.is_none_or(|before| before < number), "{one:?} after number {before:?}");
    }
    assert_eq!(last.len(), 5 * 20);
}

#[test]
fn an_open_breaker_spends_no_attempts_and_sends_one_probe() {
    let receiver = Receiver::start();
    let home = home(&receiver);
    let mut program = home.start();
    let mut client = program.client();
    post(&mut client, "fail", 100, 300);
    let name = "selfsame_endpoint_breaker_open{endpoint=\"fail/0\"}";
    let opened = poll(PATIENCE, || (metric(&mut client, name) == Some(1.0)).then_some(()));
    assert!(opened.is_some(), "the breaker never opened");
    // What was under way when it opened may still have come.
    quick_round(&mut client, &receiver, 1);
    let before = receiver.count("/fail");
    assert!((20..=20 + 32).contains(&before), "{before} calls until it opened");
    quick_round(&mut client, &receiver, 2);
    assert_eq!(receiver.count("/fail"), before, "called while the breaker is open");
    program.advance(5_000);
    let probed = poll(PATIENCE, || (receiver.count("/fail") > before).then_some(()));
    assert!(probed.is_some(), "no probe");
    quick_round(&mut client, &receiver, 3);
    assert_eq!(receiver.count("/fail"), before + 1, "one probe");
    let attempts = "selfsame_delivery_attempts_total{outcome=\"5xx\"}";
    assert_eq!(metric(&mut client, attempts), Some((before + 1) as f64));
    program.stop();
}

/// Something that is sent after everything that was due before it.
fn quick_round(client: &mut Client, receiver: &Receiver, round: usize) {
    let kind = format!("quick-{round}");
    let before = receiver.count("/slow");
    post(client, &kind, 20, 40);
    let all = poll(PATIENCE, || (receiver.count("/slow") >= before + 40).then_some(()));
    assert!(all.is_some(), "{} of 40 arrived", receiver.count("/slow") - before);
}

/// Calls that hang are cut off.
fn kill(program: Program) {
    let stderr = program.kill();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
