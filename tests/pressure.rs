//! More than it can take: a tiny queue, clients that dawdle, bodies that swell, clients that stay.
//!
//! What is acknowledged under pressure is there exactly once; what is refused says when to try
//! again; what a body claims to become is never held in memory; and a stop is a stop, whoever still
//! holds a connection.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "pressure/amplification.rs"]
mod amplification;
#[path = "pressure/reading_back.rs"]
mod reading_back;
#[path = "pressure/slow.rs"]
mod slow;
mod support;

use flate2::{Compression, write::GzEncoder};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::client::Client;
use support::compare::listed;
use support::program::Home;

const SOURCE: &str = "[[source]]\nid = \"shop\"\nprofile_id = \"u\"\nevent_id = \"id\"\n";
/// Longer than anything here takes; a bound against hanging, not a measure.
const BOUND: Duration = Duration::from_secs(60);

#[test]
fn under_a_tiny_queue_what_is_refused_says_so_and_what_is_taken_is_there_once() {
    const CLIENTS: usize = 32;
    const EACH: usize = 30;
    let home = Home::new(&format!("{SOURCE}[limits]\nqueue = 4\n"));
    let program = home.start();
    let address = program.address;
    let dawdlers: Vec<TcpStream> = (0..40).map(|_| dawdle(address)).collect();
    let refused = AtomicUsize::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let refused = &refused;
            scope.spawn(move || {
                let first = client * EACH * 3;
                for event in 0..EACH {
                    persist(address, first + event * 3, refused, started);
                }
            });
        }
    });
    let found = listed(&mut program.client());
    assert_eq!(found.len(), CLIENTS * EACH * 3, "events are missing or too many");
    let refused = refused.into_inner();
    assert!(refused > 0, "{CLIENTS} clients at a queue of 4 were never refused");
    eprintln!("a queue of 4: {} events taken, {refused} times refused", found.len());
    drop(dawdlers);
    program.stop();
}

/// Begins a request and never ends it.
fn dawdle(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /collect/order/shop HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 5000\r\n\r\n{\"u\":";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Sends a batch of three until it is taken, as senders do.
fn persist(address: SocketAddr, first: usize, refused: &AtomicUsize, started: Instant) {
    let mut client = Client::new(address);
    let elements: Vec<String> = (first..first + 3)
        .map(|number| format!("{{\"n\":{number},\"id\":\"e{number}\",\"u\":{}}}", number % 11))
        .collect();
    let body = format!("[{}]", elements.join(","));
    loop {
        let answer = client.post("/collect/order/shop", &body).unwrap();
        if answer.status == 200 {
            return;
        }
        refused.fetch_add(1, Ordering::Relaxed);
        let told = (answer.status, answer.code(), answer.header("retry-after").is_some());
        assert_eq!(told, (503, "overloaded".to_owned(), true));
        assert!(started.elapsed() < BOUND * 3, "it never gets through");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn fifty_gzip_bombs_at_once_are_refused_without_holding_them() {
    const BOMBS: usize = 50;
    let bomb = bomb(1_000_000_000);
    assert!(bomb.len() < 1 << 20, "the bomb passes as a body: {} bytes", bomb.len());
    let home = Home::new(SOURCE);
    let program = home.start();
    let address = program.address;
    for number in 0..200 {
        let body = format!("{{\"n\":{number},\"u\":{number}}}");
        assert_eq!(program.client().post("/collect/order/shop", &body).unwrap().status, 200);
    }
    let before = program.memory_kb("VmRSS");
    let all = Barrier::new(BOMBS);
    thread::scope(|scope| {
        for _ in 0..BOMBS {
            scope.spawn(|| {
                all.wait();
                let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
                let sent = Client::new(address).send("POST", "/collect/x/shop", &headers, &bomb);
                let answer = sent.unwrap();
                assert_eq!((answer.status, answer.code()), (413, "body_too_large".to_owned()));
            });
        }
    });
    let grown = program.memory_kb("VmHWM").saturating_sub(before);
    let received = u64::try_from(BOMBS * bomb.len()).unwrap() >> 10;
    eprintln!(
        "{BOMBS} gzip bombs of 1 GB: memory grew by {} MB at its peak, {} MB were received",
        grown >> 10,
        received >> 10
    );
    assert!(grown <= 64 << 10, "memory grew by {} MB", grown >> 10);
    assert!(program.metric("selfsame_bodies_waited_total") > 0.0, "nothing waited for room");
    assert_eq!(listed(&mut program.client()).len(), 200);
    program.stop();
}

fn bomb(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b'0'; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len());
        encoder.write_all(&zeros[..now]).unwrap();
        left -= now;
    }
    encoder.finish().unwrap()
}

#[test]
fn a_stop_does_not_wait_for_clients_that_stay() {
    let home = Home::new(&format!("{SOURCE}[server]\ndrain = \"2s\"\n"));
    let mut program = home.start();
    let address = program.address;
    let mut kept: Vec<Client> = (0..10).map(|_| Client::new(address)).collect();
    for (number, client) in kept.iter_mut().enumerate() {
        let body = format!("{{\"n\":{number},\"u\":{number}}}");
        assert_eq!(client.post("/collect/order/shop", &body).unwrap().status, 200);
    }
    let dawdlers: Vec<TcpStream> = (0..10).map(|_| dawdle(address)).collect();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /api/v1/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let asked = Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let status = program.ended(BOUND);
    let stderr = program.stderr();
    let status = status.unwrap_or_else(|| panic!("it waits for its clients: {stderr}"));
    assert!(status.success(), "{status}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    dawdlers.iter().chain([&stream]).for_each(|one| drop(one.shutdown(Shutdown::Both)));
    let program = home.start();
    assert_eq!(listed(&mut program.client()).len(), kept.len());
}
