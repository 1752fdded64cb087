//! Golden folders: data folders that an earlier release wrote must start and hold the same people.
//!
//! `tests/golden/folders/vN-*.tar.gz` were written by the program of 2026-11-21 (version 1 of every
//! record and row) and are never written again; `v2-*` have events of version 2, lossy ones among
//! them. A later format adds its own beside them:
//! `SELFSAME_WRITE_GOLDEN=vN cargo test --test golden_folder` writes the present one.
//!
//! Each holds a journal in several segments, a snapshot with a tail behind it, merges, quarantined
//! and profile-less events, links by hand, an unmerge, a withdrawn identifier, a re-resolution,
//! campaigns with deliveries in every state, and an erasure. In `cut` retention has dropped the
//! oldest segments, so a checkpoint stands in for them.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::client::Client;
use support::program::{Home, Program, poll};

/// Erasures and switches take seconds at most.
const OVER_WITHIN: Duration = Duration::from_secs(60);
const FOLDERS: [(&str, &str); 2] = [("whole", ""), ("cut", "max_bytes = \"16KiB\"\n")];

fn config(journal: &str) -> String {
    let source = |id: &str, user: &str| {
        format!(
            "[[source]]\nid = \"{id}\"\nprofile_id = \"{user}\"\nsession_id = \"s\"\nevent_id = \"id\"\n\
             occurred_at = \"at\"\ncountry = \"DE\"\ntraits = {{ city = \"city\", tags = \"tags\", spent = \"total\" }}\n"
        )
    };
    let campaign = |id: &str, trigger: &str, wait: &str, state: &str| {
        format!(
            "[[campaign]]\nid = \"{id}\"\nstate = \"{state}\"\ntrigger = {{ event_type = \"{trigger}\" }}\n\
             exit = {{ event_type = \"refund\" }}\nstop = {{ restart_after = \"1h\" }}\n{wait}\
             [[campaign.step]]\n[campaign.step.webhook]\nurl = \"http://127.0.0.1:9/x\"\n\
             allow_http = true\nmax_age = \"36500d\"\nfields = {{ mail = \"traits.email\", city = \"event.properties.city\" }}\n"
        )
    };
    let wait = "[[campaign.step]]\nwait = \"30d\"\n";
    [
        format!("[server]\nallow_networks = [\"127.0.0.0/8\"]\n[journal]\nsegment = \"4KiB\"\n{journal}"),
        "[snapshots]\nevery = \"1h\"\n[memory]\nactive_profiles = 4\n".to_owned(),
        "[traits.tags]\nfold = \"set\"\n[traits.spent]\nfold = \"sum\"\n".to_owned(),
        "[identity.types.email]\nlimit = { values = 3, per = \"ever\" }\n".to_owned(),
        source("web", "u"),
        source("shop", "c"),
        "[[identification_point]]\nid = \"mail\"\nidentifiers = [ { type = \"email\", path = \"m[*]\", trait = \"email\" } ]\n".to_owned(),
        campaign("welcome", "order", "", "live"),
        campaign("later", "visit", wait, "live"),
        campaign("paused", "order", "", "paused"),
    ]
    .concat()
}

fn post(client: &mut Client, path: &str, body: &Value) -> String {
    let answer = client.post(&format!("/collect/{path}"), &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["status"].as_str().unwrap_or("batch").to_owned()
}

fn call(client: &mut Client, method: &str, path: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.send(method, path, &headers, text.as_bytes()).unwrap();
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.json());
    answer.json()
}

/// A few dozen people, each known to both systems or to one.
fn people(client: &mut Client, from: usize) {
    for number in from..from + 40 {
        let at = format!("2026-03-{:02}T10:{:02}:00Z", 1 + number % 28, number % 60);
        let person = number % 23;
        let mail = format!("person-{person}@site.org");
        let web = json!({"u": format!("w{person}"), "s": format!("s{}", number % 11), "at": at,
            "city": format!("City {}", number % 5), "tags": [format!("t{}", number % 4)], "m": [mail]});
        let shop = json!({"c": 9_007_199_254_740_993_u64 + person as u64, "at": at, "m": [mail],
            "total": "12.34", "id": format!("o{number}")});
        post(client, "visit/web", &web);
        if number % 3 == 0 {
            post(client, "order/shop", &shop);
        }
    }
    assert_eq!(post(client, "visit/web", &json!({"note": "nobody"})), "profile-less");
    assert_eq!(post(client, "visit/web", &json!({"s": format!("alone-{from}")})), "stored");
    assert_eq!(
        post(client, "order/shop", &json!({"c": 5, "id": "same", "at": "2026-03-01T00:00:00Z"}))
            .len(),
        if from == 0 { 6 } else { 9 }
    );
    let many: Vec<String> = (0..120).map(|n| format!("many-{n}@site.org")).collect();
    assert_eq!(post(client, "visit/web", &json!({"u": "w1", "m": many})), "quarantined");
}

/// Events that were read with loss, of somebody and of nobody.
fn lossy(client: &mut Client) {
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    for form in ["u=w1&note=%E9", "u=%E9&note=x"] {
        let path = "/collect/visit/web?charset=utf-8&more=%FF";
        let answer = client.send("POST", path, &headers, form.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

/// What operators do, of every kind.
fn operators(client: &mut Client) {
    let link =
        |kind: &str, a: &str, b: &str| json!({"kind": kind, "a": a, "b": b, "reason": "asked"});
    call(client, "POST", "/api/v1/identity/links", &link("must", "web:w2", "web:w3"));
    call(client, "POST", "/api/v1/identity/links", &link("cannot", "web:w4", "web:w5"));
    let lifted =
        call(client, "POST", "/api/v1/identity/links", &link("cannot", "web:w6", "web:w7"));
    let path = format!("/api/v1/identity/links/{}", lifted["id"].as_str().unwrap());
    call(client, "DELETE", &path, &Value::Null);
    let profile = client.json("/api/v1/profiles?identifier=web:w9");
    let path = format!("/api/v1/profiles/{}/unmerge", profile["id"].as_str().unwrap());
    call(
        client,
        "POST",
        &path,
        &json!({"identifier": "email:person-9@site.org", "reason": "wrong"}),
    );
    let profile = client.json("/api/v1/profiles?identifier=web:w8");
    let path = format!(
        "/api/v1/profiles/{}/identifiers/email:person-8@site.org",
        profile["id"].as_str().unwrap()
    );
    call(client, "DELETE", &path, &Value::Null);
    let point = json!({"id": "phone", "identifiers": [{"type": "phone", "path": "tel"}]});
    call(client, "PUT", "/api/v1/identification-points/phone", &point);
    call(client, "PUT", "/api/v1/identity/types/phone", &json!({"shared_by": 3}));
    rests(client);
}

/// Waits for re-resolutions.
fn rests(client: &mut Client) {
    let is_over =
        || (client.json("/api/v1/state/resolution")["state"] != "under_way").then_some(());
    poll(OVER_WITHIN, is_over).expect("a re-resolution that ends");
}

fn erase(client: &mut Client, name: &str, suppress: bool) {
    let body = json!({"identifier": name, "suppress": suppress, "reason": "asked"});
    let erasure = call(client, "POST", "/api/v1/erasures", &body);
    let path = format!("/api/v1/erasures/{}", erasure["id"].as_str().unwrap());
    poll(OVER_WITHIN, || (client.json(&path)["state"] == "done").then_some(())).expect("done");
    rests(client);
}

fn live(program: &Program) {
    let mut client = program.client();
    people(&mut client, 0);
    lossy(&mut client);
    operators(&mut client);
    call(&mut client, "POST", "/api/v1/snapshots", &Value::Null);
    people(&mut client, 40);
    post(
        &mut client,
        "refund/shop",
        &json!({"c": 9_007_199_254_740_993_u64, "at": "2026-03-30T00:00:00Z"}),
    );
    erase(&mut client, "web:w10", true);
    erase(&mut client, "web:w11", false);
    let pending = client.json("/api/v1/deliveries?state=pending");
    let one = pending["items"][0]["id"].as_str().unwrap().to_owned();
    call(&mut client, "POST", "/api/v1/snapshots", &Value::Null);
    people(&mut client, 80);
    lossy(&mut client);
    call(&mut client, "POST", "/api/v1/campaigns/welcome/enable", &Value::Null);
    drop(client.post(&format!("/api/v1/deliveries/{one}/replay"), "{}"));
}

/// What must not change: the digest, and what lists say.
fn seen(client: &mut Client) -> Value {
    let count = |client: &mut Client, path: &str| {
        let mut path_of_page = format!("{path}limit=250");
        let mut all = 0;
        loop {
            let page = client.json(&path_of_page);
            all += page["items"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => path_of_page = format!("{path}limit=250&cursor={next}"),
                None => return all,
            }
        }
    };
    let digest = client.json("/api/v1/state/digest");
    let person = client.json("/api/v1/profiles?identifier=email:person-2@site.org");
    let suppressed = post(client, "visit/web", &json!({"u": "w10"}));
    json!({
        "digest": digest["digest"], "profiles": digest["profiles"], "events": digest["events"],
        "links": count(client, "/api/v1/identity/links?"),
        "changes": client.json("/api/v1/changes?from=0&limit=250")["items"].as_array().unwrap().len(),
        "runs": count(client, "/api/v1/campaigns/later/runs?"),
        "deliveries": count(client, "/api/v1/deliveries?"),
        "quarantined": count(client, "/api/v1/events?status=quarantined&"),
        "profile_less": count(client, "/api/v1/events?profile=none&"),
        "person": [person["id"], person["identifiers"], person["traits"], person["stats"]],
        "suppressed": suppressed,
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/folders")
}

fn tar(arguments: &[&str]) {
    let done = Command::new("tar").args(arguments).status().unwrap();
    assert!(done.success(), "tar {arguments:?}: {done}");
}

/// Writes the folders of the present program, where that is asked for.
#[test]
fn a_new_format_leaves_its_folders() {
    let Ok(version) = std::env::var("SELFSAME_WRITE_GOLDEN") else { return };
    for (name, journal) in FOLDERS {
        let home = Home::new(&config(journal));
        let program = home.start();
        live(&program);
        program.kill();
        // Seen in a folder of its own: looking must not change what is kept.
        let at = folder().join(format!("{version}-{name}.tar.gz"));
        tar(&["-czf", at.to_str().unwrap(), "-C", home.data().to_str().unwrap(), "."]);
        let program = home.start();
        let seen = serde_json::to_string_pretty(&seen(&mut program.client())).unwrap();
        std::fs::write(folder().join(format!("{version}-{name}.json")), seen + "\n").unwrap();
    }
}

#[test]
fn folders_of_earlier_releases_start_and_hold_the_same_people() {
    let mut packed: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    packed.retain(|path| path.to_str().unwrap().ends_with(".tar.gz"));
    assert!(packed.len() >= FOLDERS.len());
    for packed in packed {
        let name = packed.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
        let (_, journal) = FOLDERS.into_iter().find(|(kind, _)| name.ends_with(kind)).unwrap();
        let expected = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        // From the snapshot and its tail, and from what stands behind the snapshot.
        for without_snapshot in [false, true] {
            let home = Home::new(&config(journal));
            std::fs::create_dir_all(home.data()).unwrap();
            let data = home.data().to_str().unwrap();
            tar(&["-xzf", packed.to_str().unwrap(), "-C", data]);
            if without_snapshot {
                std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
            }
            let program = home.start();
            let seen = seen(&mut program.client());
            assert_eq!(seen, expected, "{name}, without_snapshot: {without_snapshot}");
            program.stop();
        }
    }
}
