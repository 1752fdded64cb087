//! Promise 1: an acknowledged event is there exactly once after kill -9 at any moment, an
//! unacknowledged one once or not at all; and promise 3 on the way, as every restart recovers from
//! some snapshot and some tail.
//!
//! Several clients post events with a number of their own while the real program is killed with
//! SIGKILL: under load, while it takes snapshots, and while it recovers. After each kill everything
//! is read back. At the end of a round of kills half of what was not acknowledged is sent again with
//! the same event ids, as senders do, and the survivors must be the people of the model and have the
//! digest of a fresh engine that got them in peace.
//!
//! 16 kills by default, 240 with `SELFSAME_LONG=1`; `SELFSAME_SEED` chooses the moments.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::client::Client;
use support::compare::{Listed, assert_people, digest, listed};
use support::model::People;
use support::program::{Home, poll};
use support::random::Random;
use support::world::{Event, Size, World, events};

/// Clients that post at the same time.
const CLIENTS: u64 = 4;
/// How many event numbers one client may use between two kills.
const NUMBERS: u64 = 1_000;
/// Kills on one data folder, before it is compared and left.
const KILLS_OF_A_FOLDER: u64 = 8;
/// Everything that makes a crash interesting: tiny segments, snapshots all the time, hardly any
/// profiles in memory.
const ROUGH: &str = "[journal]\nsegment = \"4KiB\"\n[snapshots]\nevery = \"1s\"\nevery_events = 40\n\
                     [memory]\nactive_profiles = 5\n";

/// What the clients know.
#[derive(Default)]
struct Told {
    /// Sent, whatever came back.
    sent: BTreeMap<u64, Event>,
    /// Acknowledged as kept, with the event's id.
    kept: BTreeMap<u64, String>,
    /// Acknowledged as dropped.
    dropped: Vec<u64>,
}

#[test]
fn what_is_acknowledged_survives_being_killed_at_any_moment() {
    let folders: u64 = if support::is_long() { 30 } else { 2 };
    let mut acknowledged = 0_u64;
    for seed in support::first_seed()..support::first_seed() + folders {
        acknowledged += kill_again_and_again(seed);
    }
    let kills = folders * KILLS_OF_A_FOLDER;
    eprintln!("{kills} kills, {acknowledged} acknowledged events, none lost and none twice");
    assert!(acknowledged > kills, "hardly anything was acknowledged: {acknowledged}");
}

/// A round of kills on one folder; how many events were acknowledged.
/// The first signal lets a request end that is under way, however long it takes; a second one does
/// not wait for it, and what was acknowledged is there all the same.
#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let slow = "[server]\ndrain = \"300s\"\n[limits]\nslow_request = \"300s\"\n\
                [log]\nformat = \"json\"\n[[source]]\nid = \"shop\"\n";
    let home = Home::new(slow);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut program = home.start();
        let path = format!("/collect/order/shop/s{code}");
        assert!(program.client().post(&path, &format!("{{\"n\":{code}}}")).unwrap().status < 300);
        let mut half = TcpStream::connect(program.address).unwrap();
        let head = "POST /collect/order/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\
                    expect: 100-continue\r\n\r\n";
        half.write_all(head.as_bytes()).unwrap();
        half.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // Once it is asked for the body, the request is under way.
        let mut asked = [0; 12];
        half.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100");
        let pid = Pid::from_raw(program.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let told = || program.stderr().contains("a second one ends the program").then_some(());
        poll(Duration::from_secs(60), told).expect("the first signal is told");
        assert!(program.ended(Duration::from_millis(300)).is_none());
        kill_process(pid, signal).unwrap();
        let status = program.ended(Duration::from_secs(60)).expect("the second one ends it");
        assert_eq!(status.code(), Some(code), "{}", program.stderr());
        let stderr = program.stderr();
        assert!(
            stderr.lines().all(|line| line.starts_with('{') && line.ends_with('}')),
            "{stderr}"
        );
    }
    let program = home.start();
    let events = program.client().get("/api/v1/events").unwrap().json();
    assert_eq!(events["items"].as_array().unwrap().len(), 2, "{events}");
    program.stop();
}

fn kill_again_and_again(seed: u64) -> u64 {
    let place = format!("SELFSAME_SEED={seed}");
    let rules = World::new(seed, Size { events: 0, users: 1 }).rules;
    let home = Home::new(&rules.toml(ROUGH));
    let told = Mutex::new(Told::default());
    let mut random = Random::new(seed);
    for kill in 0..KILLS_OF_A_FOLDER {
        let program = home.start();
        let loading = Duration::from_millis(20 + random.bits() % 250);
        let program = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let mut random = Random::new(random.bits());
                let first = (kill * CLIENTS + client) * NUMBERS;
                let planned = Size { events: usize::try_from(NUMBERS).unwrap(), users: 60 };
                let planned = events(&mut random, first, planned);
                let (address, told) = (program.address, &told);
                scope.spawn(move || post_until_it_dies(address, &planned, told));
            }
            let address = program.address;
            if random.chance(50) {
                scope.spawn(move || drop(Client::new(address).post("/api/v1/snapshots", "")));
            }
            std::thread::sleep(loading);
            program.kill()
        });
        assert!(!program.contains("panicked"), "{place}: {program}");
        if random.chance(30) {
            // And once more while it recovers.
            let recovering = home.spawn();
            std::thread::sleep(Duration::from_millis(random.bits() % 120));
            recovering.kill();
        }
        let program = home.start();
        check(
            &listed(&mut program.client()),
            &told.lock().unwrap(),
            &format!("{place}, kill {kill}"),
        );
        // The next round begins with a kill as well, now and then right after the recovery.
        program.kill();
    }
    let mut told = told.into_inner().unwrap();
    send_again(&home, &mut told, &mut random);
    compare(&home, &rules, &told, &place);
    told.kept.len() as u64
}

fn post_until_it_dies(address: SocketAddr, events: &[Event], told: &Mutex<Told>) {
    let mut client = Client::new(address);
    for event in events {
        told.lock().unwrap().sent.insert(event.number, event.clone());
        let Ok(answer) = client.post(&event.path(), &event.body()) else { return };
        note(&mut told.lock().unwrap(), event, &answer);
    }
}

fn note(told: &mut Told, event: &Event, answer: &support::client::Answer) {
    assert_eq!(answer.status, 200, "{event:?}: {}", answer.json());
    let answer = answer.json();
    match answer["event_id"].as_str() {
        Some(id) => drop(told.kept.insert(event.number, id.to_owned())),
        None => told.dropped.push(event.number),
    }
    assert!(answer["event_id"].is_string() || answer["status"] == "dropped", "{answer}");
}

/// Whatever was acknowledged is there under its id; what is there was sent. That nothing is there
/// twice, [`listed`] asserts.
fn check(found: &BTreeMap<u64, Listed>, told: &Told, place: &str) {
    for (number, id) in &told.kept {
        let one = found.get(number);
        let one =
            one.unwrap_or_else(|| panic!("{place}: event {number} was acknowledged and is lost"));
        assert_eq!(one.id, *id, "{place}: event {number} has another id");
    }
    for number in found.keys() {
        assert!(told.sent.contains_key(number), "{place}: event {number} was never sent");
    }
}

/// Half of what was not acknowledged is sent again, as senders do: it is stored now, or a duplicate.
fn send_again(home: &Home, told: &mut Told, random: &mut Random) {
    let program = home.start();
    let mut client = program.client();
    let before = listed(&mut client);
    let open = told.sent.values().filter(|event| !told.kept.contains_key(&event.number));
    let again: Vec<Event> = open.filter(|_| random.chance(50)).cloned().collect();
    for event in &again {
        let answer = client.post(&event.path(), &event.body()).unwrap();
        note(told, event, &answer);
        if let Some(one) = before.get(&event.number) {
            assert_eq!(answer.json()["status"], "duplicate", "event {} is there", event.number);
            assert_eq!(answer.json()["event_id"], *one.id, "event {}", event.number);
        }
    }
    program.kill();
}

/// The survivors are the people of the model, and come to the digest of an engine without a crash.
fn compare(home: &Home, rules: &support::world::Rules, told: &Told, place: &str) {
    let program = home.start();
    let found = listed(&mut program.client());
    check(&found, told, place);
    let survivors: Vec<&Event> = found.keys().map(|number| &told.sent[number]).collect();
    let people = People::new(rules, survivors.iter().copied());
    assert_people(&mut program.client(), &people, place);
    let peaceful = Home::new(&rules.toml(""));
    let fresh = peaceful.start();
    post_all(fresh.address, &survivors);
    let expected = digest(&mut fresh.client());
    assert_eq!(digest(&mut program.client()), expected, "{place}: the digest of a fresh engine");
    program.stop();
    let program = home.start();
    assert_eq!(digest(&mut program.client()), expected, "{place}: after a graceful stop");
}

fn post_all(address: SocketAddr, events: &[&Event]) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(address);
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(event) = events.get(at) else { return };
                    let answer = client.post(&event.path(), &event.body()).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.json());
                }
            });
        }
    });
}
