//! Promise 9 on the real program: whatever panics costs one event or one call. For each stage and
//! thread a fault is injected (`--panic-on`); neighbours are served, the event is quarantined as
//! `panicked` and shown so, SIGTERM ends with 0, a restart serves with the fault and without, and
//! what `inspect verify` replays is what the program had.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::client::{Answer, Client};
use support::compare::digest;
use support::program::{Home, Program, Start, poll};
use support::receiver::Receiver;

/// The event type and the campaign that faults are for.
const BOOM: &str = "boom";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(receiver: Option<&Receiver>) -> String {
    let mut text = "[server]\nallow_networks = [\"127.0.0.0/8\"]\n\
        [[source]]\nid = \"web\"\nprofile_id = \"u\"\nevent_id = \"k\"\noccurred_at = \"at\"\n\
        traits = { city = \"city\" }\n\
        [[source]]\nid = \"shop\"\nprofile_id = \"c\"\noccurred_at = \"at\"\n\
        [[identification_point]]\nid = \"mail\"\nidentifiers = [ { type = \"email\", path = \"m\" } ]\n"
        .to_owned();
    let address = receiver.map_or_else(|| "127.0.0.1:9".to_owned(), |one| one.address.to_string());
    let step = format!(
        "{{ webhook = {{ url = \"http://{address}/ok\", allow_http = true, max_age = \"36500d\", \
         fields = {{ n = \"event.properties.k\" }} }} }}"
    );
    // The first asks the profile before each call, so that there is something to judge.
    for (id, kind, audience, steps) in [
        (
            BOOM,
            BOOM,
            "audience = { where = [ { property = \"at\", at_least = 0 } ] }\n",
            step.clone(),
        ),
        ("waits", "wait", "", format!("{{ wait = \"20ms\" }}, {step}")),
    ] {
        text += &format!(
            "[[campaign]]\nid = \"{id}\"\nstate = \"live\"\ntrigger = {{ event_type = \"{kind}\" }}\n\
             stop = {{ restart_after = \"0s\" }}\n{audience}step = [ {steps} ]\n"
        );
    }
    text
}

fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let answer = client.post(&format!("/collect/{path}"), &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

fn id(receipt: &Value) -> String {
    receipt["event_id"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned()
}

fn event(client: &mut Client, id: &str) -> Value {
    client.json(&format!("/api/v1/events/{id}"))
}

fn is_panicked(event: &Value) -> bool {
    event["status"] == "quarantined" && event["reason"] == "panicked"
}

/// Some events of two people, before and behind what is tested.
fn neighbours(client: &mut Client, at: u64) {
    for (path, body) in [
        ("visit/web", json!({"u": 1, "at": at + 1, "m": "a@site.org", "city": "Ulm"})),
        ("order/shop", json!({"c": 2, "at": at + 2})),
        ("order/shop", json!({"c": 3, "at": at + 3, "m": "a@site.org"})),
    ] {
        assert_eq!(post(client, path, &body)["status"], "stored");
    }
    assert_eq!(client.get("/readyz").unwrap().status, 200);
    let ann = client.json("/api/v1/profiles?identifier=web:1");
    assert_eq!(ann["traits"]["city"], "Ulm");
}

/// Two times that are times; see [`neighbours`].
const EARLY: u64 = 1_700_000_000;
const LATE: u64 = 1_700_000_100;

/// The folder at rest is whole, and comes to the same as the program did.
fn verified(home: &Home, digest: &str) -> String {
    let (code, verdict) = home.inspect(&["verify"]);
    assert_eq!(code, 0, "{verdict}");
    assert!(verdict.contains(digest), "expected the digest {digest} in\n{verdict}");
    verdict
}

/// Stops; then starts with the fault still there, without it, and from the journal alone: it serves,
/// and its state is the same each time.
fn comes_to_the_same(home: &Home, program: Program) {
    let before = digest(&mut program.client());
    program.terminate();
    verified(home, &before);
    let program = home.start();
    assert_eq!(digest(&mut program.client()), before, "with the fault");
    neighbours(&mut program.client(), LATE);
    let later = digest(&mut program.client());
    program.kill();
    home.inject(&[]);
    let program = home.start();
    assert_eq!(digest(&mut program.client()), later, "killed, and without the fault");
    program.terminate();
    verified(home, &later);
    std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
    let program = home.start();
    assert_eq!(digest(&mut program.client()), later, "from the journal alone");
    program.terminate();
}

#[test]
fn an_event_that_panics_is_quarantined_wherever_it_is() {
    for stage in ["decode", "extract", "graph", "profile", "campaign"] {
        let home = Home::new(&config(None));
        home.inject(&[&format!("{stage}:{BOOM}:1000")]);
        let program = home.start();
        let mut client = program.client();
        neighbours(&mut client, EARLY);
        let body = json!({"u": 1, "k": "e", "m": "b@site.org", "at": EARLY + 9, "city": "Rom"});
        let receipt = post(&mut client, "boom/web", &body);
        if stage != "campaign" {
            // A campaign is asked behind the answer.
            assert_eq!(receipt["status"], "quarantined", "{stage}: {receipt}");
        }
        let id = id(&receipt);
        let shown = poll(PATIENCE, || Some(event(&mut client, &id)).filter(is_panicked));
        let shown = shown.unwrap_or_else(|| panic!("{stage}: {}", event(&mut client, &id)));
        match stage {
            "decode" => {
                assert_eq!(shown["properties"], Value::Null);
                assert_eq!(raw(&shown), body.to_string().into_bytes());
            }
            _ => assert_eq!(shown["properties"], body, "{stage}"),
        }
        let listed = client.json("/api/v1/events?status=quarantined");
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{stage}: {listed}");
        neighbours(&mut client, EARLY + 10);
        comes_to_the_same(&home, program);
        // The cause is mended: it can be read again, and counts in every replay.
        let program = home.start();
        let mut client = program.client();
        assert!(is_panicked(&event(&mut client, &id)), "{stage}");
        let again = client.post("/api/v1/events/reprocess", "{}").unwrap();
        assert_eq!(again.status, 200, "{stage}: {}", again.json());
        assert_eq!(event(&mut client, &id)["status"], "stored", "{stage}: {}", again.json());
        comes_to_the_same(&home, program);
    }
}

/// The bytes of an event that could not be decoded.
fn raw(shown: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let text = shown["body_base64"].as_str().unwrap_or_else(|| panic!("{shown}"));
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn what_cannot_be_decoded_is_kept_as_it_came() {
    let home = Home::new(&config(None));
    home.inject(&["decode:boom:1000", "piece:part:2"]);
    let program = home.start();
    let mut client = program.client();
    let mut send = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = client.send(method, path, headers, body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let of_form = id(&send("POST", "/collect/boom/web", &form, b"u=1&m=a%40site.org"));
    let of_query = id(&send("GET", "/collect/boom/web?u=1&city=Ulm", &[], b""));
    // One element of a batch costs itself.
    let json = [("content-type", "application/json")];
    let batch = b"[{\"u\": 1}, {\"u\": 2}, {\"u\": 3}]";
    let receipts = send("POST", "/collect/part/web", &json, batch);
    let of_batch = receipts["events"].as_array().unwrap().clone();
    let statuses: Vec<&Value> = of_batch.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["quarantined", "quarantined", "stored"]);
    for (id, kept) in [
        (of_form, &b"u=1&m=a%40site.org"[..]),
        (of_query, b"u=1&city=Ulm"),
        (id(&of_batch[1]), b"{\"u\": 2}"),
    ] {
        let shown = event(&mut client, &id);
        assert!(is_panicked(&shown), "{shown}");
        assert_eq!(raw(&shown), kept);
    }
    neighbours(&mut client, EARLY);
    comes_to_the_same(&home, program);
}

#[test]
fn a_start_gets_past_what_was_accepted_before() {
    for stage in ["graph", "profile", "campaign"] {
        let home = Home::new(&config(None));
        let program = home.start();
        let mut client = program.client();
        neighbours(&mut client, EARLY);
        let mut booms = Vec::new();
        for number in 0..30 {
            let kind = if number % 10 == 3 { BOOM } else { "visit" };
            let body = json!({"u": number % 3 + 1, "at": EARLY + number});
            let receipt = post(&mut client, &format!("{kind}/web"), &body);
            booms.extend((kind == BOOM).then(|| id(&receipt)));
        }
        let whole = digest(&mut client);
        program.kill();
        // A new version, which panics over them.
        let fault = format!("{stage}:{BOOM}:1000");
        home.inject(&[&fault]);
        let (code, verdict) = home.inspect(&["verify", "--panic-on", &fault]);
        assert_eq!(code, 0, "{stage}: {verdict}");
        assert!(verdict.contains("3 records are passed over"), "{stage}: {verdict}");
        let (_, sound) = home.inspect(&["verify"]);
        assert!(!sound.contains("passed over"), "{stage}: {sound}");
        let program = home.start();
        let mut client = program.client();
        for boom in &booms {
            assert!(is_panicked(&event(&mut client, boom)), "{stage}");
        }
        assert_ne!(digest(&mut client), whole, "{stage}");
        assert_eq!(client.json("/api/v1/state/digest")["events"], 33);
        neighbours(&mut client, EARLY + 50);
        comes_to_the_same(&home, program);
    }
}

/// A call that panics is answered 500, and the same call is served behind it.
fn costs_one_call(client: &mut Client, method: &str, path: &str, body: &Value) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut send = || {
        let headers = [("content-type", "application/json")];
        client.send(method, path, &headers, text.as_bytes()).unwrap()
    };
    let refused = send();
    assert_eq!((refused.status, refused.code()), (500, "internal".to_owned()), "{path}");
    let served = send();
    assert!((200..300).contains(&served.status), "{path}: {}", served.json());
    served
}

#[test]
fn a_call_that_panics_costs_that_call() {
    let link = json!({"kind": "must", "a": "web:1", "b": "shop:2", "reason": "same"});
    let profile = "/api/v1/profiles?identifier=web:1";
    for (fault, method, path, body) in [
        ("view::1", "GET", profile, Value::Null),
        ("ask::1", "POST", "/api/v1/snapshots", Value::Null),
        ("act:lay:1", "POST", "/api/v1/identity/links", link),
        ("preview::1", "POST", "/api/v1/identity/preview", json!({})),
    ] {
        let home = Home::new(&config(None));
        let program = home.start();
        neighbours(&mut program.client(), EARLY);
        program.terminate();
        home.inject(&[fault]);
        let program = home.start();
        let mut client = program.client();
        costs_one_call(&mut client, method, path, &body);
        neighbours(&mut client, EARLY + 10);
        home.inject(&[]);
        comes_to_the_same(&home, program);
    }
}

#[test]
fn what_panics_in_the_background_has_an_outcome() {
    let receiver = Receiver::start();
    for stage in ["timer", "recheck", "sending"] {
        let home = Home::new(&config(Some(&receiver)));
        home.inject(&[&format!("{stage}::1")]);
        let program = home.start();
        let mut client = program.client();
        neighbours(&mut client, EARLY);
        let before = receiver.count("/ok");
        let kind = if stage == "timer" { "wait" } else { BOOM };
        let mut sent = |user: u64| {
            let body = json!({"u": user, "at": EARLY, "k": format!("e{user}")});
            id(&post(&mut client, &format!("{kind}/web"), &body))
        };
        let first = sent(11);
        let path = match stage {
            "timer" => "/api/v1/campaigns/waits/runs",
            _ => "/api/v1/deliveries",
        };
        let mut shown = program.client();
        let over = poll(PATIENCE, || {
            let all = shown.json(path);
            let one = all["items"].as_array().unwrap().first().cloned()?;
            let state = one["state"].as_str().unwrap().to_owned();
            ["ended", "cancelled", "dead"].contains(&&*state).then_some(one)
        });
        let over = over.unwrap_or_else(|| panic!("{stage}: {}", shown.json(path)));
        match stage {
            "timer" => assert_eq!(over["reason"], "panicked", "{over}"),
            _ => assert_eq!(over["event_id"], *first, "{over}"),
        }
        // It was one: the next one goes out.
        sent(12);
        let arrived = poll(PATIENCE, || (receiver.count("/ok") > before).then_some(()));
        assert!(arrived.is_some(), "{stage}: {}", shown.json("/api/v1/deliveries"));
        let delivered = poll(PATIENCE, || {
            let all = shown.json("/api/v1/deliveries?state=delivered");
            (!all["items"].as_array().unwrap().is_empty()).then_some(())
        });
        assert!(delivered.is_some(), "{stage}");
        comes_to_the_same(&home, program);
    }
}

/// Waits until everything was read again, or that has failed.
fn resolution(client: &mut Client) -> String {
    let state = poll(PATIENCE, || {
        let state = client.json("/api/v1/state/resolution")["state"].as_str().unwrap().to_owned();
        (state == "failed" || state == "current").then_some(state)
    });
    state.expect("an outcome of a re-resolution")
}

fn point_at(client: &mut Client, path: &str) {
    let point = json!({"identifiers": [{"type": "email", "path": path}]}).to_string();
    let headers = [("content-type", "application/json")];
    let path = "/api/v1/identification-points/late";
    let answer = client.send("PUT", path, &headers, point.as_bytes()).unwrap();
    assert!((200..300).contains(&answer.status), "{}", answer.json());
}

#[test]
fn a_re_resolution_ends_whatever_panics_in_it() {
    let reread = "reread:boom:1000";
    for (fault, expected) in [("resolution::1", "failed"), (reread, "current")] {
        let home = Home::new(&config(None));
        home.inject(&[fault]);
        let program = home.start();
        let mut client = program.client();
        neighbours(&mut client, EARLY);
        for kind in [BOOM, "visit"] {
            let body = json!({"at": EARLY, "late": format!("{kind}@site.org")});
            assert_eq!(post(&mut client, &format!("{kind}/web"), &body)["status"], "profile-less");
        }
        point_at(&mut client, "late");
        assert_eq!(resolution(&mut client), expected, "{fault}");
        neighbours(&mut client, EARLY + 10);
        point_at(&mut client, "later");
        point_at(&mut client, "late");
        assert_eq!(resolution(&mut client), "current", "{fault}");
        let found = client.get("/api/v1/profiles?identifier=email:visit@site.org").unwrap();
        assert_eq!(found.status, 200, "{fault}");
        if fault != reread {
            comes_to_the_same(&home, program);
            continue;
        }
        // How an event reads at a switch follows from the program, so it is the same one here.
        let before = digest(&mut client);
        program.terminate();
        let (code, verdict) = home.inspect(&["verify", "--panic-on", reread]);
        assert!(code == 0 && verdict.contains(&before), "{verdict}");
        std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
        let program = home.start();
        assert_eq!(digest(&mut program.client()), before);
        program.terminate();
    }
}

#[test]
fn an_erasure_that_meets_a_panic_is_done_for_all_else() {
    let home = Home::new(&config(None));
    home.inject(&[&format!("search:{BOOM}:1000")]);
    let program = home.start();
    let mut client = program.client();
    neighbours(&mut client, EARLY);
    // On nobody: of this one it is never known whom it names.
    let left = id(&post(&mut client, "boom/web", &json!({"at": EARLY, "note": "x"})));
    let body = json!({"identifier": "web:1", "suppress": false, "reason": "asked"}).to_string();
    let receipt = client.post("/api/v1/erasures", &body).unwrap();
    assert!((200..300).contains(&receipt.status), "{}", receipt.json());
    let path = format!("/api/v1/erasures/{}", receipt.json()["id"].as_str().unwrap());
    let done = poll(PATIENCE, || (client.json(&path)["state"] == "done").then_some(()));
    assert!(done.is_some(), "{}", client.json(&path));
    assert_eq!(client.json(&path)["unread"], 1);
    assert_eq!(event(&mut client, &left)["status"], "profile-less");
    assert_eq!(client.get("/api/v1/profiles?identifier=web:1").unwrap().status, 404);
    neighbours(&mut client, EARLY + 10);
    comes_to_the_same(&home, program);
    // The receipt is what it was, from the snapshot and from the journal alone.
    for _ in 0..2 {
        let program = home.start();
        assert_eq!(program.client().json(&path)["unread"], 1);
        program.terminate();
        std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
    }
}

/// The program says at once that it is not ready, and exits with the code of its own faults.
fn ends_by_a_fault(mut program: Program, what: &str) {
    let mut client = program.client();
    let mut has_failed = false;
    let ended = poll(PATIENCE, || {
        match client.get("/readyz").map(|answer| answer.status) {
            // Who waits for what panicked may hear of it before all else is unwound.
            Ok(200) => assert!(!has_failed, "{what}: ready again"),
            Ok(status) => {
                assert_eq!(status, 503, "{what}");
                has_failed = true;
            }
            Err(_) => client = program.client(),
        }
        program.ended(Duration::ZERO)
    });
    let code = ended.unwrap_or_else(|| panic!("{what}: it runs on")).code();
    assert_eq!(code, Some(70), "{what}: {}", program.stderr());
    assert!(program.stderr().contains("ended by a fault"), "{what}: {}", program.stderr());
}

#[test]
fn a_thread_or_actor_that_ends_all_the_same_ends_the_program() {
    let receiver = Receiver::start();
    for stage in ["router", "committer", "identity", "snapshot", "telling"] {
        let home = Home::new(&config(Some(&receiver)));
        let program = home.start();
        neighbours(&mut program.client(), EARLY);
        program.terminate();
        home.inject(&[&format!("{stage}::1")]);
        let mut program = home.spawn();
        // A start takes a turn of the identity actor's and the committer's, so it may end them.
        if let Start::Ready = program.ready(PATIENCE) {
            let mut client = program.client();
            if stage == "snapshot" {
                // No answer at all, or that it failed.
                let taken = client.post("/api/v1/snapshots", "");
                assert!(taken.is_err() || taken.is_ok_and(|one| one.status >= 500));
            } else {
                let body = json!({"u": 1, "at": EARLY, "k": "last"}).to_string();
                let answer = client.post("/collect/boom/web", &body);
                let is_stored = answer.is_ok_and(|answer| answer.status == 200);
                // The call is made behind the answer.
                assert_eq!(is_stored, stage == "telling", "{stage}");
            }
            if stage == "telling" {
                let fails = || (program.client().get("/readyz").ok()?.status == 503).then_some(());
                let gone = || program.client().get("/readyz").is_err().then_some(());
                poll(PATIENCE, || fails().or_else(gone)).expect("a call that is made");
            }
        }
        ends_by_a_fault(program, stage);
        // What did it was one turn: the next start gets past it.
        home.inject(&[]);
        let program = home.start();
        let mut client = program.client();
        neighbours(&mut client, EARLY + 10);
        let body = json!({"u": 1, "at": EARLY, "k": "last"});
        let again = post(&mut client, "boom/web", &body);
        assert!(again["status"] == "stored" || again["status"] == "duplicate", "{stage}: {again}");
        if stage == "telling" {
            let delivered = poll(PATIENCE, || {
                let all = client.json("/api/v1/deliveries?state=delivered");
                (!all["items"].as_array().unwrap().is_empty()).then_some(())
            });
            assert!(delivered.is_some(), "{}", client.json("/api/v1/deliveries"));
        }
        comes_to_the_same(&home, program);
    }
}
