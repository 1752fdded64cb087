//! Merges that race with events on the losers, and unmerges: no event is lost, none counts twice,
//! and each source's order is kept.
//!
//! Twenty people with three users each, in three sources. One connection per user posts that user's
//! events in their order, while others merge each person's users by a mail and an operator takes
//! them apart again, over HTTP against the real program with hardly any profile in memory.
//!
//! `SELFSAME_LONG=1` posts ten times as much.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::client::Client;
use support::compare::{digest, listed};
use support::program::Home;
use support::random::Random;

const PEOPLE: usize = 20;
const SOURCES: [&str; 3] = ["web", "shop", "crm"];
/// Connections; each posts for its users in turn.
const CLIENTS: usize = 6;
/// All events say this time, so that only their order is left to tell them apart.
const AT: &str = "2026-01-02T03:04:05.000Z";

fn config() -> String {
    let source = |id: &&str| {
        format!(
            "[[source]]\nid = \"{id}\"\nprofile_id = \"u\"\nevent_id = \"id\"\noccurred_at = \"at\"\n\
             durability = \"written\"\ntraits = {{ step = \"step\", total = \"one\" }}\n"
        )
    };
    SOURCES.iter().map(source).collect::<String>()
        + "[[identification_point]]\nid = \"mail\"\nidentifiers = [ { type = \"email\", path = \"m\" } ]\n\
           [traits.total]\nfold = \"sum\"\n\
           [memory]\nactive_profiles = 6\n[snapshots]\nevery = \"1s\"\nevery_events = 300\n"
}

/// The users of which a connection posts the events: every `CLIENTS`th.
fn users(client: usize) -> impl Iterator<Item = (usize, &'static str)> {
    let all = (0..PEOPLE).flat_map(|person| SOURCES.map(|source| (person, source)));
    all.enumerate().filter(move |(at, _)| at % CLIENTS == client).map(|(_, user)| user)
}

fn post(client: &mut Client, source: &str, body: &Value) {
    let answer = client.post(&format!("/collect/step/{source}"), &body.to_string()).unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("stored")));
}

#[test]
fn merges_that_race_with_events_lose_none_double_none_and_keep_the_order() {
    let steps: u64 = if support::is_long() { 500 } else { 50 };
    let home = Home::new(&config());
    let program = home.start();
    let (numbers, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = program.address;
    std::thread::scope(|scope| {
        let posting: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || post_steps(address, client, steps)))
            .collect();
        let (numbers, is_over) = (&numbers, &is_over);
        scope.spawn(move || merge(address, numbers, is_over));
        scope.spawn(move || take_apart(address, is_over));
        posting.into_iter().for_each(|one| one.join().unwrap());
        is_over.store(true, Ordering::Release);
    });
    let merges = numbers.load(Ordering::Acquire);
    // At rest: lift what keeps people apart, and let every mail join its three users for good.
    let mut client = program.client();
    loop {
        let links = client.json("/api/v1/identity/links?limit=250");
        let links = links["items"].as_array().unwrap().clone();
        if links.is_empty() {
            break;
        }
        for link in links {
            let path = format!("/api/v1/identity/links/{}", link["id"].as_str().unwrap());
            assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 204);
        }
    }
    for person in 0..PEOPLE {
        for source in SOURCES {
            post(&mut client, source, &mail_of(person, source, 9_000_000));
        }
    }
    let all = steps * (PEOPLE * SOURCES.len()) as u64;
    check(&mut client, steps, merges);
    let before = digest(&mut client);
    program.kill();
    std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
    let program = home.start();
    assert_eq!(digest(&mut program.client()), before, "a replay");
    check(&mut program.client(), steps, merges);
    eprintln!("{all} events on {PEOPLE} people, and {merges} that merged them");
}

/// Posts each user's steps in their order.
fn post_steps(address: SocketAddr, client: usize, steps: u64) {
    let mut connection = Client::new(address);
    for step in 1..=steps {
        for (person, source) in users(client) {
            let user = format!("{source}-{person}");
            let number = number_of(person, source, step);
            let body = json!({
                "n": number, "id": format!("s{number}"), "u": user, "at": AT, "one": 1,
                "step": format!("{step:05} of {source}"),
            });
            post(&mut connection, source, &body);
        }
    }
}

/// A number for each step of each user.
fn number_of(person: usize, source: &str, step: u64) -> u64 {
    let place = SOURCES.iter().position(|one| *one == source).unwrap();
    10_000_000 + step * 1_000 + (person * SOURCES.len() + place) as u64
}

fn mail_of(person: usize, source: &str, number: u64) -> Value {
    let place = SOURCES.iter().position(|one| *one == source).unwrap();
    let number = number + (person * SOURCES.len() + place) as u64;
    json!({
        "n": number, "id": format!("m{number}"), "u": format!("{source}-{person}"), "at": AT,
        "m": format!("p{person}@site.org"),
    })
}

/// Shows mails that join a person's users, until it is over; counts its rounds.
fn merge(address: SocketAddr, rounds: &AtomicU64, is_over: &AtomicBool) {
    let mut client = Client::new(address);
    let mut random = Random::new(1);
    while !is_over.load(Ordering::Acquire) {
        let round = rounds.fetch_add(1, Ordering::AcqRel);
        let (person, source) = (random.below(PEOPLE), *random.one(&SOURCES));
        post(&mut client, source, &mail_of(person, source, round * 1_000));
    }
}

/// Takes people apart by their mails, and lifts what keeps them apart.
fn take_apart(address: SocketAddr, is_over: &AtomicBool) {
    let mut client = Client::new(address);
    let mut random = Random::new(2);
    while !is_over.load(Ordering::Acquire) {
        let mail = format!("email:p{}@site.org", random.below(PEOPLE));
        let found = client.get(&format!("/api/v1/profiles?identifier={mail}")).unwrap().json();
        let Some(id) = found["id"].as_str() else { continue };
        let body = json!({ "identifier": mail, "reason": "race" }).to_string();
        let answer = client.post(&format!("/api/v1/profiles/{id}/unmerge"), &body).unwrap();
        assert!(matches!(answer.status, 200 | 404 | 409), "{}", answer.json());
        let links = answer.json()["links"].as_array().cloned().unwrap_or_default();
        for link in links.iter().filter(|_| random.chance(60)) {
            let path = format!("/api/v1/identity/links/{}", link.as_str().unwrap());
            assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 204);
        }
    }
}

fn check(client: &mut Client, steps: u64, merges: u64) {
    // Each event is there once, by the whole list.
    let users = (PEOPLE * SOURCES.len()) as u64;
    let listed = listed(client);
    assert_eq!(listed.len() as u64, steps * users + merges + users);
    for person in 0..PEOPLE {
        let mail = format!("email:p{person}@site.org");
        let profile = client.json(&format!("/api/v1/profiles?identifier={mail}"));
        let id = profile["id"].as_str().unwrap();
        assert_eq!(profile["fragments"].as_array().unwrap().len(), SOURCES.len(), "{profile}");
        let own = listed.values().filter(|one| one.profile.as_deref() == Some(id)).count();
        assert_eq!(profile["stats"]["events"], own, "{profile}");
        // As sums are by fragment, a merge that doubled or lost something would show here.
        assert_eq!(profile["traits"]["total"], steps * 3, "{profile}");
        // On equal times the greater value counts, whoever was merged last.
        let last = format!("{steps:05} of web");
        assert_eq!(profile["traits"]["step"], last, "{profile}");
        let timeline = timeline(client, id);
        assert_eq!(timeline.len(), own);
        assert!(timeline.is_sorted_by(|a, b| a.0 > b.0), "newest first, and none twice");
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, source, step) in &timeline {
            let Some(step) = step else { continue };
            let before = newest.insert(source, *step);
            assert!(
                before.is_none_or(|before| before > *step),
                "{source}: {step} after {before:?}"
            );
        }
        assert_eq!(newest.len(), SOURCES.len());
    }
}

/// A profile's events: sequence, source and step.
fn timeline(client: &mut Client, id: &str) -> Vec<(u64, String, Option<u64>)> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.json(&format!("/api/v1/profiles/{id}/events?limit=250{cursor}"));
        for item in page["items"].as_array().unwrap() {
            let step = item["properties"]["step"].as_str().map(|step| step[..5].parse().unwrap());
            let source = item["source"].as_str().unwrap().to_owned();
            all.push((item["sequence"].as_u64().unwrap(), source, step));
        }
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}
