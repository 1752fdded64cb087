//! Kill -9 within merges, unmerges, withdrawals, links, re-resolutions, reprocessing and erasures.
//!
//! Clients post events that merge people all the time, one operator does whatever operators do, and
//! another has persons erased; the real program is killed at random moments, now and then while it
//! recovers or compacts. After each kill: what was acknowledged is there, what was not is there once
//! or not at all, every id that was ever told still resolves. At the end no file holds an erased
//! person, `inspect verify` finds nothing wrong, and the journal alone makes the same state.
//!
//! 8 kills by default, 120 with `SELFSAME_LONG=1`; `SELFSAME_SEED` chooses the moments.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;
mod traces;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use support::client::Client;
use support::compare::digest;
use support::program::{Home, Program, poll};
use support::random::Random;

/// Clients that post at the same time.
const CLIENTS: u64 = 3;
/// Kills on one data folder.
const KILLS_OF_A_FOLDER: u64 = 8;
/// Events that are there before the first kill, and the number of the first of them.
const FILLED: u64 = 2_000;
const FILLED_FROM: u64 = 1_000_000_000;
/// A re-resolution or an erasure takes seconds at most.
const OVER_WITHIN: Duration = Duration::from_secs(60);
const CONFIG: &str = r#"
[[source]]
id = "web"
profile_id = "u"
session_id = "s"
event_id = "id"
respond_with_profile = true
traits = { city = "city" }
[[source]]
id = "shop"
profile_id = "c"
event_id = "id"
respond_with_profile = true
[[identification_point]]
id = "mail"
identifiers = [ { type = "email", path = "m", trait = "email" } ]
[[identification_point]]
id = "device"
identifiers = [ { type = "device", path = "d" } ]
[identity.types.device]
shared_by = 4
[journal]
segment = "16KiB"
[snapshots]
every = "1s"
every_events = 60
[memory]
active_profiles = 8
"#;

/// A person who is there to be erased: a mark that all their values carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Victim {
    mark: String,
    events: Vec<String>,
}

/// What the clients were told.
#[derive(Default)]
struct Told {
    sent: BTreeSet<u64>,
    /// Acknowledged events by their numbers, with their ids.
    kept: BTreeMap<u64, String>,
    profiles: BTreeSet<String>,
    /// Links that were laid, by act or unmerge, and not lifted for sure.
    links: BTreeSet<String>,
    lifted: BTreeSet<String>,
    /// The last rule of `shop` that was acknowledged, and one that may have been taken since.
    rule: (Option<bool>, Option<bool>),
    /// Reasons of links that were asked for and not answered.
    unanswered: BTreeSet<String>,
    /// Persons whose erasure was acknowledged, with its id; and those whose was asked for only.
    erased: Vec<(Victim, String)>,
    asked: Vec<Victim>,
    acts: u64,
}

#[test]
fn what_operators_were_told_survives_being_killed_at_any_moment() {
    let folders: u64 = if support::is_long() { 15 } else { 1 };
    for seed in support::first_seed()..support::first_seed() + folders {
        let told = kill_again_and_again(seed);
        eprintln!(
            "seed {seed}: {} events, {} acts, {} erasures acknowledged, {} asked for only",
            told.kept.len(),
            told.acts,
            told.erased.len(),
            told.asked.len()
        );
        assert!(told.acts > 0 && !told.kept.is_empty());
    }
}

fn kill_again_and_again(seed: u64) -> Told {
    let home = Home::new(CONFIG);
    let told = Mutex::new(Told::default());
    let mut random = Random::new(seed);
    let program = home.start();
    fill(&mut program.client(), &mut random, &mut told.lock().unwrap());
    program.kill();
    for kill in 0..KILLS_OF_A_FOLDER {
        let place = format!("SELFSAME_SEED={seed}, kill {kill}");
        let program = home.start();
        let stderr = std::thread::scope(|scope| {
            let (address, told) = (program.address, &told);
            for client in 0..CLIENTS {
                let random = Random::new(random.bits());
                let first = (kill * CLIENTS + client) * 1_000_000;
                scope.spawn(move || post_until_it_dies(address, first, random, told));
            }
            let acts = Random::new(random.bits());
            scope.spawn(move || act_until_it_dies(address, kill, acts, told));
            scope.spawn(move || erase_until_it_dies(address, kill, told));
            std::thread::sleep(Duration::from_millis(50 + random.bits() % 600));
            program.kill()
        });
        assert!(!stderr.contains("panicked"), "{place}: {stderr}");
        if random.chance(40) {
            let recovering = home.spawn();
            std::thread::sleep(Duration::from_millis(random.bits() % 150));
            recovering.kill();
        }
        let program = home.start();
        check(&mut program.client(), &mut told.lock().unwrap(), &place);
        program.kill();
    }
    let told = told.into_inner().unwrap();
    ends_well(&home, &told, &format!("SELFSAME_SEED={seed}"));
    told
}

/// Posts what a re-resolution has to read again, in a few batches.
fn fill(client: &mut Client, random: &mut Random, told: &mut Told) {
    for batch in 0..FILLED / 500 {
        let numbers = FILLED_FROM + batch * 500..FILLED_FROM + (batch + 1) * 500;
        let bodies: Vec<Value> = numbers.clone().map(|number| body(number, random).1).collect();
        let answer = client.post("/collect/visit/web", &json!(bodies).to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        told.sent.extend(numbers.clone());
        for (number, event) in numbers.zip(answer.json()["events"].as_array().unwrap()) {
            told.kept.insert(number, event["event_id"].as_str().unwrap().to_owned());
        }
    }
}

/// A random event: its source and its body.
fn body(number: u64, random: &mut Random) -> (&'static str, Value) {
    let city = format!("c{}", random.below(5));
    let mut body = json!({"n": number, "id": format!("e{number}"), "city": city});
    let (source, user) = if random.chance(50) { ("web", "u") } else { ("shop", "c") };
    if random.chance(85) {
        body[user] = json!(format!("user-{}", random.below(40)));
    }
    if random.chance(30) {
        body["m"] = json!(format!("m{}@site.org", random.below(25)));
    }
    if random.chance(15) {
        body["d"] = json!(format!("dev-{}", random.below(15)));
    }
    if random.chance(10) {
        body["s"] = json!(format!("S{}", random.below(20)));
    }
    (source, body)
}

fn post_until_it_dies(address: SocketAddr, first: u64, mut random: Random, told: &Mutex<Told>) {
    let mut client = Client::new(address);
    for number in first.. {
        let (source, body) = body(number, &mut random);
        told.lock().unwrap().sent.insert(number);
        let path = format!("/collect/visit/{source}");
        let Ok(answer) = client.post(&path, &body.to_string()) else { return };
        assert_eq!(answer.status, 200, "{}", answer.json());
        let answer = answer.json();
        let mut told = told.lock().unwrap();
        told.kept.insert(number, answer["event_id"].as_str().unwrap().to_owned());
        told.profiles.extend(answer["profile_id"].as_str().map(str::to_owned));
    }
}

/// Does what operators do; returns at the first act that gets no answer.
fn act_until_it_dies(address: SocketAddr, kill: u64, mut random: Random, told: &Mutex<Told>) {
    let mut client = Client::new(address);
    for number in 0.. {
        let Some(()) = act(&mut client, &format!("r{kill}-{number}"), &mut random, told) else {
            return;
        };
        told.lock().unwrap().acts += 1;
    }
}

fn act(client: &mut Client, name: &str, random: &mut Random, told: &Mutex<Told>) -> Option<()> {
    let mail = format!("email:m{}@site.org", random.below(25));
    match random.below(6) {
        0 => {
            let kind = if random.chance(50) { "must" } else { "cannot" };
            let body = json!({
                "kind": kind,
                "a": format!("web:user-{}", random.below(40)),
                "b": format!("shop:user-{}", random.below(40)),
                "reason": name,
            });
            told.lock().unwrap().unanswered.insert(name.to_owned());
            let answer = client.post("/api/v1/identity/links", &body.to_string()).ok()?;
            assert_eq!(answer.status, 201, "{}", answer.json());
            let mut told = told.lock().unwrap();
            told.unanswered.remove(name);
            told.links.insert(answer.json()["id"].as_str().unwrap().to_owned());
        }
        1 => {
            let known: Vec<String> = told.lock().unwrap().links.iter().cloned().collect();
            let Some(id) = known.get(random.below(known.len().max(1))) else { return Some(()) };
            told.lock().unwrap().links.remove(id);
            let path = format!("/api/v1/identity/links/{id}");
            let answer = client.send("DELETE", &path, &[], b"").ok()?;
            assert_eq!(answer.status, 204, "{}", answer.json());
            told.lock().unwrap().lifted.insert(id.clone());
        }
        2 | 3 => {
            let found = client.get(&format!("/api/v1/profiles?identifier={mail}")).ok()?;
            let Some(id) = found.json()["id"].as_str().map(str::to_owned) else { return Some(()) };
            if random.chance(50) {
                let path = format!("/api/v1/profiles/{id}/identifiers/{mail}");
                let answer = client.send("DELETE", &path, &[], b"").ok()?;
                assert!(matches!(answer.status, 204 | 404), "{}", answer.json());
                return Some(());
            }
            let body = json!({"identifier": mail, "reason": name}).to_string();
            let answer = client.post(&format!("/api/v1/profiles/{id}/unmerge"), &body).ok()?;
            assert!(matches!(answer.status, 200 | 404 | 409), "{}", answer.json());
            let links = answer.json()["links"].as_array().cloned().unwrap_or_default();
            let mut told = told.lock().unwrap();
            told.links.extend(links.iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        4 => {
            let unique = random.chance(50);
            told.lock().unwrap().rule.1 = Some(unique);
            let body = json!({ "unique": unique }).to_string();
            let json = [("content-type", "application/json")];
            let path = "/api/v1/identity/types/shop";
            let answer = client.send("PUT", path, &json, body.as_bytes()).ok()?;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.json());
            told.lock().unwrap().rule = (Some(unique), None);
            std::thread::sleep(Duration::from_millis(random.bits() % 60));
        }
        _ => {
            let answer = client.post("/api/v1/events/reprocess", r#"{"status":"profile-less"}"#);
            assert_eq!(answer.ok()?.status, 200);
        }
    }
    Some(())
}

/// Makes persons of two sources, joined by a mail, and has them erased; every second one while a
/// merge may be under way.
fn erase_until_it_dies(address: SocketAddr, kill: u64, told: &Mutex<Told>) {
    let mut client = Client::new(address);
    for number in 0.. {
        let mark = format!("zx-victim-{kill}-{number}-xz");
        let mut victim = Victim { mark: mark.clone(), events: Vec::new() };
        let mail = format!("{mark}@site.org");
        let events = [
            ("web", json!({"u": mark, "city": mark, "s": format!("session {mark}")})),
            ("shop", json!({"c": format!("c-{mark}"), "m": mail})),
            ("web", json!({"u": mark, "m": mail, "note": format!("about {mark}")})),
        ];
        for (source, body) in events {
            let Ok(answer) = client.post(&format!("/collect/visit/{source}"), &body.to_string())
            else {
                return;
            };
            victim.events.push(answer.json()["event_id"].as_str().unwrap().to_owned());
        }
        told.lock().unwrap().asked.push(victim.clone());
        let body = json!({"identifier": format!("email:{mail}"), "suppress": number % 2 == 0, "reason": "asked"});
        let Ok(answer) = client.post("/api/v1/erasures", &body.to_string()) else { return };
        assert!(matches!(answer.status, 200..=202), "{}", answer.json());
        assert_eq!(answer.json()["events"], 3, "{}", answer.json());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let mut told = told.lock().unwrap();
        told.asked.pop();
        told.erased.push((victim, id));
    }
}

/// What was acknowledged is there; what was not is there once or not at all.
fn check(client: &mut Client, told: &mut Told, place: &str) {
    let found = numbered(client, place);
    let lost = told.kept.iter().filter(|(number, id)| found.get(*number) != Some(*id));
    let lost: Vec<&u64> = lost.map(|(number, _)| number).collect();
    assert!(lost.is_empty(), "{place}: of {} events these are lost: {lost:?}", told.kept.len());
    assert!(found.keys().all(|number| told.sent.contains(number)), "{place}");
    for id in &told.profiles {
        let answer = client.get(&format!("/api/v1/profiles/{id}")).unwrap();
        assert_eq!(answer.status, 200, "{place}: profile {id} was told once");
    }
    let links = client.json("/api/v1/identity/links?limit=250");
    let mut ids = BTreeSet::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for link in links["items"].as_array().unwrap() {
        ids.insert(link["id"].as_str().unwrap().to_owned());
        *reasons.entry(link["reason"].as_str().unwrap()).or_default() += 1;
    }
    let is_whole = links["next"].is_null();
    assert!(!is_whole || told.links.is_subset(&ids), "{place}: a link is lost");
    assert!(told.lifted.is_disjoint(&ids), "{place}: a link that was lifted is back");
    let twice = told.unanswered.iter().find(|reason| reasons.get(reason.as_str()) > Some(&1));
    assert!(twice.is_none(), "{place}: {twice:?} is there twice");
    let rule = client.get("/api/v1/identity/types/shop").unwrap().json();
    let (known, perhaps) = told.rule;
    let unique = rule["unique"].as_bool().unwrap_or(false);
    let is_told = unique == known.unwrap_or(false) || Some(unique) == perhaps;
    assert!(is_told, "{place}: {rule}, told {:?}", told.rule);
    told.rule = (Some(unique), None);
    for (victim, id) in &told.erased {
        assert!(is_gone(client, victim), "{place}: {victim:?} was erased by {id}");
        let erasure = client.json(&format!("/api/v1/erasures/{id}"));
        assert_eq!(erasure["events"], 3, "{place}: {erasure}");
    }
    for victim in &told.asked {
        let there = victim.events.iter().filter(|id| has_event(client, id)).count();
        let is_whole = there == victim.events.len();
        assert!(is_whole || is_gone(client, victim), "{place}: {there} events of {victim:?}");
    }
}

/// The ids of all events that have a number, by it; each is there once.
fn numbered(client: &mut Client, place: &str) -> BTreeMap<u64, String> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.json(&format!("/api/v1/events?limit=250{cursor}"));
        for item in page["items"].as_array().unwrap() {
            let Some(number) = item["properties"]["n"].as_u64() else { continue };
            let id = item["id"].as_str().unwrap().to_owned();
            let other = all.insert(number, id);
            assert!(other.is_none(), "{place}: event {number} is there twice");
        }
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

fn has_event(client: &mut Client, id: &str) -> bool {
    client.get(&format!("/api/v1/events/{id}")).unwrap().status == 200
}

fn is_gone(client: &mut Client, victim: &Victim) -> bool {
    let names = [
        format!("email:{}@site.org", victim.mark),
        format!("web:{}", victim.mark),
        format!("shop:c-{}", victim.mark),
    ];
    let is_known = |client: &mut Client, name: &String| {
        client.get(&format!("/api/v1/profiles?identifier={name}")).unwrap().status != 404
    };
    !names.iter().any(|name| is_known(client, name))
        && !victim.events.iter().any(|id| has_event(client, id))
}

/// Waits until nothing is under way any more.
fn comes_to_rest(program: &Program, told: &Told) {
    let mut client = program.client();
    for (_, id) in &told.erased {
        let is_done = || {
            let erasure = client.json(&format!("/api/v1/erasures/{id}"));
            (erasure["state"] == "done").then_some(())
        };
        poll(OVER_WITHIN, is_done).unwrap_or_else(|| panic!("erasure {id} is never done"));
    }
    let is_current = || {
        let state: Value = client.json("/api/v1/state/resolution");
        (state["state"] == "current").then_some(())
    };
    poll(OVER_WITHIN, is_current).expect("the re-resolution is never over");
}

/// No file holds the erased, the folder is whole, and the journal alone makes the same state.
fn ends_well(home: &Home, told: &Told, place: &str) {
    let program = home.start();
    comes_to_rest(&program, told);
    let before = digest(&mut program.client());
    // What was only asked for may still be compacting; the marks of the others are looked for.
    program.stop();
    let marks: Vec<String> = told.erased.iter().map(|(victim, _)| victim.mark.clone()).collect();
    let traces = traces::find(home.data(), &marks);
    assert!(traces.is_empty(), "{place}: {traces:?}");
    let verify = Command::new(env!("CARGO_BIN_EXE_selfsame"))
        .args(["inspect", "verify", "--data"])
        .arg(home.data())
        .output()
        .unwrap();
    if !verify.status.success() {
        let _ = Command::new("cp").arg("-a").arg(home.data()).arg("/dev/shm/proof-keep").status();
    }
    assert!(verify.status.success(), "{place}: {verify:?}");
    for is_replayed in [false, true] {
        if is_replayed {
            std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
        }
        let program = home.start();
        comes_to_rest(&program, told);
        assert_eq!(digest(&mut program.client()), before, "{place}, replayed: {is_replayed}");
        for (victim, _) in &told.erased {
            assert!(is_gone(&mut program.client(), victim), "{place}: {victim:?} is back");
        }
        for id in &told.profiles {
            let answer = program.client().get(&format!("/api/v1/profiles/{id}")).unwrap();
            assert_eq!(answer.status, 200, "{place}: profile {id}, replayed: {is_replayed}");
        }
        program.kill();
    }
}
