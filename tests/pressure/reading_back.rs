//! Reading back what is large: pages, exports, streams and digests take what they are allowed to,
//! and senders are served meanwhile.

use super::BOUND;
use super::support::client::Client;
use super::support::program::{Home, Program, poll};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SOURCE: &str = "[[source]]\nid = \"shop\"\nprofile_id = \"u\"\n";
/// Large events of one profile, and the length of each.
const LARGE: usize = 120;
const LENGTH: usize = 900_000;
/// Memory, in MB, that no answer may take beside what there was: a fraction of what is read.
const GROWTH: u64 = 160;

/// A program that has taken in the large events.
fn with_large_events(home: &Home) -> Program {
    let program = home.start();
    let mut client = program.client();
    for number in 0..LARGE {
        let body = format!("{{\"u\":1,\"n\":{number},\"text\":\"{}\"}}", "x".repeat(LENGTH));
        assert_eq!(client.post("/collect/order/shop", &body).unwrap().status, 200);
    }
    program
}

/// Memory in KB, from which the peak is counted.
fn idle(program: &Program) -> u64 {
    // "5" sets the peak back to what there is now: see proc(5).
    std::fs::write(format!("/proc/{}/clear_refs", program.id()), "5").unwrap();
    program.memory_kb("VmRSS")
}

#[test]
fn a_page_of_large_events_ends_sooner_and_four_at_once_take_little() {
    let home = Home::new(SOURCE);
    let program = with_large_events(&home);
    let address = program.address;
    let before = idle(&program);
    thread::scope(|scope| {
        for path in ["/api/v1/events?limit=250", "/api/v1/events?limit=250&source=shop"].repeat(2) {
            scope.spawn(move || {
                let (ids, pages) = all_pages(address, path);
                assert_eq!(ids, LARGE, "{path}: events are missing or twice");
                assert!(pages > 20, "{path}: {pages} pages");
            });
        }
    });
    let grown = program.memory_kb("VmHWM").saturating_sub(before) >> 10;
    let read = (LARGE * LENGTH) >> 20;
    eprintln!("4 readers of {read} MB each, a page at a time: {grown} MB above idle at the peak");
    assert!(grown <= GROWTH, "memory grew by {grown} MB");
    assert!(program.metric("selfsame_pages_cut_total") > 0.0);
    program.stop();
}

/// How many different events a list has, and on how many pages.
fn all_pages(address: SocketAddr, path: &str) -> (usize, usize) {
    let mut client = Client::new(address);
    let (mut ids, mut pages, mut cursor) = (BTreeSet::new(), 0, String::new());
    loop {
        let page = client.json(&format!("{path}{cursor}"));
        pages += 1;
        for item in page["items"].as_array().unwrap() {
            assert!(
                ids.insert(item["id"].as_str().unwrap().to_owned()),
                "an event is listed twice"
            );
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids.len(), pages),
        }
    }
}

#[test]
fn as_many_pages_are_sent_at_a_time_as_the_limit_says() {
    let home = Home::new(&format!("[limits]\npages = 1\npage = \"64MiB\"\n{SOURCE}"));
    let program = with_large_events(&home);
    program.client().json("/api/v1/events?limit=1");
    assert_eq!(program.metric("selfsame_pages_waited_total"), 0.0);
    // More than sockets take in, and nobody reads it.
    let lazy = begin(program.address, "/api/v1/events?limit=50");
    let mut other = program.client();
    thread::scope(|scope| {
        let waits = scope.spawn(move || other.get("/api/v1/events?limit=1").unwrap().status);
        let has_waited = || (program.metric("selfsame_pages_waited_total") > 0.0).then_some(());
        poll(BOUND, has_waited).expect("a page that waits for its turn");
        drop(lazy);
        assert_eq!(waits.join().unwrap(), 200);
    });
    program.stop();
}

#[test]
fn an_export_comes_in_parts_and_waits_for_its_reader() {
    let home = Home::new(SOURCE);
    let program = with_large_events(&home);
    let before = idle(&program);
    let id = program.client().json("/api/v1/profiles?identifier=shop:1")["id"].clone();
    let path = format!("/api/v1/profiles/{}/export", id.as_str().unwrap());
    // Four that begin to read, and then do something else.
    let lazy: Vec<TcpStream> = (0..4).map(|_| begin(program.address, &path)).collect();
    thread::sleep(Duration::from_millis(500));
    let export = program.client().json(&path);
    let grown = program.memory_kb("VmHWM").saturating_sub(before) >> 10;
    eprintln!(
        "5 exports of {} MB, 4 of them unread: {grown} MB above idle",
        (LARGE * LENGTH) >> 20
    );
    let numbers: Vec<u64> = export["events"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(numbers, (0..LARGE as u64).rev().collect::<Vec<_>>(), "newest first, each once");
    assert_eq!(export["profile"]["stats"]["events"], LARGE);
    assert_eq!(export["merges"], Value::Array(vec![]));
    assert!(grown <= GROWTH, "memory grew by {grown} MB");
    drop(lazy);
    program.stop();
}

fn number(event: &Value) -> u64 {
    event["properties"]["n"].as_u64().unwrap()
}

/// Asks, and reads the beginning of the answer only.
fn begin(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream
}

#[test]
fn a_stream_that_nobody_reads_holds_names_and_not_payloads() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let before = idle(&program);
    let streams: Vec<TcpStream> =
        (0..8).map(|_| begin(program.address, "/api/v1/events/stream")).collect();
    let mut client = program.client();
    for number in 0..LARGE {
        let body = format!("{{\"u\":1,\"n\":{number},\"text\":\"{}\"}}", "x".repeat(LENGTH));
        assert_eq!(client.post("/collect/order/shop", &body).unwrap().status, 200);
    }
    let grown = program.memory_kb("VmHWM").saturating_sub(before) >> 10;
    eprintln!("8 streams unread while {} MB come in: {grown} MB", (LARGE * LENGTH) >> 20);
    assert!(grown <= GROWTH, "memory grew by {grown} MB");
    assert_eq!(program.metric("selfsame_event_streams"), 8.0);
    drop(streams);
    // The program notices when it next writes to them.
    let body = "{\"u\":1}";
    let left = poll(BOUND, || {
        assert_eq!(client.post("/collect/order/shop", body).unwrap().status, 200);
        (program.metric("selfsame_event_streams") == 0.0).then_some(())
    });
    assert!(left.is_some(), "readers that left are counted still");
    program.stop();
}

#[test]
fn what_is_as_deep_as_it_may_be_is_read_back_everywhere() {
    let home = Home::new(&format!("{SOURCE}[limits]\ndepth = 500\n"));
    let program = home.start();
    let mut client = program.client();
    let mut stream = begin(program.address, "/api/v1/events/stream");
    let deep = format!("{}1{}", "[".repeat(490), "]".repeat(490));
    let answer = client.post("/collect/x/shop", &format!("{{\"u\":1,\"deep\":{deep}}}")).unwrap();
    assert_eq!(answer.json()["status"], "stored");
    let event = answer.json()["event_id"].as_str().unwrap().to_owned();
    let profile = client.json("/api/v1/profiles?identifier=shop:1")["id"].clone();
    let profile = profile.as_str().unwrap();
    let paths = [
        format!("/api/v1/events/{event}"),
        "/api/v1/events".to_owned(),
        format!("/api/v1/profiles/{profile}/events"),
        format!("/api/v1/profiles/{profile}/export"),
    ];
    for path in paths {
        let answer = client.get(&path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(String::from_utf8(answer.body).unwrap().contains(&deep), "{path}");
    }
    let started = Instant::now();
    let mut seen = String::new();
    while !seen.contains(&deep) {
        assert!(started.elapsed() < BOUND, "the stream shows nothing: {seen}");
        let mut some = [0; 4096];
        let read = stream.read(&mut some).unwrap();
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    program.stop();
    let too_deep = Home::new("[limits]\ndepth = 513\n");
    let mut refused = too_deep.spawn();
    assert!(matches!(refused.ready(BOUND), super::support::program::Start::Ended(_)));
    assert!(refused.stderr().contains("limits.depth = 513: expected at most 512"));
}

#[test]
fn sixteen_digests_at_once_are_few_walks_between_which_senders_are_served() {
    const PROFILES: usize = 6_000;
    const DIGESTS: usize = 16;
    let home = Home::new(&format!("{SOURCE}[memory]\nactive_profiles = 2000\n"));
    let program = home.start();
    let address = program.address;
    for batch in 0..PROFILES / 1_000 {
        let element = |at: usize| format!("{{\"u\":\"u{}\"}}", batch * 1_000 + at);
        let elements: Vec<String> = (0..1_000).map(element).collect();
        let body = format!("[{}]", elements.join(","));
        assert_eq!(program.client().post("/collect/seen/shop", &body).unwrap().status, 200);
    }
    let quiet = latency(address, &|sent| sent < 150);
    let (begin, is_over) = (Barrier::new(DIGESTS + 1), AtomicBool::new(false));
    let busy = thread::scope(|scope| {
        let readers: Vec<_> = (0..DIGESTS)
            .map(|_| {
                scope.spawn(|| {
                    begin.wait();
                    Client::new(address).json("/api/v1/state/digest")
                })
            })
            .collect();
        let sender = scope.spawn(|| {
            begin.wait();
            latency(address, &|_| !is_over.load(Ordering::Acquire))
        });
        let digests: Vec<Value> = readers.into_iter().map(|one| one.join().unwrap()).collect();
        is_over.store(true, Ordering::Release);
        let different: BTreeSet<u64> =
            digests.iter().map(|one| one["sequence"].as_u64().unwrap()).collect();
        assert!(different.len() <= 3, "{} walks for {DIGESTS} digests", different.len());
        sender.join().unwrap()
    });
    eprintln!(
        "{DIGESTS} digests of {PROFILES} profiles: a sender's p99 is {:.1?} beside them, {:.1?} \
         without; the longest {:.1?}",
        busy.0, quiet.0, busy.1
    );
    let (one, two) = (program.client(), program.client());
    let [one, two] = [one, two].map(|mut client| client.json("/api/v1/state/digest"));
    assert_eq!(one, two, "nothing has come between");
    assert_eq!(one["profiles"], PROFILES + 1);
    program.kill();
    let program = home.start();
    assert_eq!(program.client().json("/api/v1/state/digest")["digest"], one["digest"]);
    program.stop();
}

/// The p99 and the longest time of a sender that sends one event after the other.
fn latency(address: SocketAddr, goes_on: &dyn Fn(usize) -> bool) -> (Duration, Duration) {
    let mut client = Client::new(address);
    let mut taken = Vec::new();
    while goes_on(taken.len()) || taken.is_empty() {
        let started = Instant::now();
        let answer = client.post("/collect/seen/shop", "{\"u\":\"sender\"}").unwrap();
        assert_eq!(answer.status, 200);
        taken.push(started.elapsed());
    }
    taken.sort_unstable();
    (taken[(taken.len() - 1) * 99 / 100], taken[taken.len() - 1])
}
