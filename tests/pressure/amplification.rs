//! A few kilobytes that become many megabytes: what requests hold in memory is bounded, whatever they
//! say, and others are served meanwhile.

use super::support::client::{Answer, Client};
use super::support::program::{Home, Program};
use super::{BOUND, bomb};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SOURCES: &str = "[[source]]\nid = \"shop\"\nprofile_id = \"u\"\nsplit = \"items\"\n\
                       [[source]]\nid = \"other\"\nprofile_id = \"u\"\n";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A request that is sent many times at once.
struct Shot<'a> {
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

/// Sends it so many times at once, while another sender delivers its events; the answers, and by how
/// many MB memory grew at its peak.
fn fire(program: &Program, times: usize, shot: &Shot<'_>) -> (Vec<Answer>, u64) {
    let address = program.address;
    for number in 0..200 {
        let body = format!("{{\"n\":{number},\"u\":{number}}}");
        assert_eq!(program.client().post("/collect/order/other", &body).unwrap().status, 200);
    }
    let before = program.memory_kb("VmRSS");
    let all = Barrier::new(times);
    let is_over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let other = scope.spawn(|| served(address, &is_over));
        let shots: Vec<_> = (0..times)
            .map(|_| {
                scope.spawn(|| {
                    all.wait();
                    let Shot { path, headers, body } = *shot;
                    Client::new(address).send("POST", path, headers, body).unwrap()
                })
            })
            .collect();
        let answers = shots.into_iter().map(|shot| shot.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        let (events, longest) = other.join().unwrap();
        eprintln!("{events} events of another sender meanwhile, the slowest in {longest:?}");
        answers
    });
    (answers, program.memory_kb("VmHWM").saturating_sub(before) >> 10)
}

/// Another sender's small events, one after another; how many, and the slowest.
fn served(address: std::net::SocketAddr, is_over: &AtomicBool) -> (usize, Duration) {
    let mut client = Client::new(address);
    let (mut events, mut longest) = (0, Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) || events < 3 {
        let started = Instant::now();
        let answer = client.post("/collect/order/other", "{\"u\":1}").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        longest = longest.max(started.elapsed());
        events += 1;
        thread::sleep(Duration::from_millis(5));
    }
    assert!(longest < BOUND);
    (events, longest)
}

#[test]
fn a_long_query_beside_two_thousand_elements_is_held_once() {
    let home = Home::new(SOURCES);
    let program = home.start();
    let path = format!("/collect/order/other?q={}", "x".repeat(16_000));
    let body = format!("[{}]", vec!["{}"; 2_000].join(","));
    let shot = Shot { path: &path, headers: JSON, body: body.as_bytes() };
    let (answers, grown) = fire(&program, 60, &shot);
    eprintln!("60 requests of 22 KB that would be 32 MB each: memory grew by {grown} MB");
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.json()["reason"], "batch_too_large", "{}", answer.json());
    }
    assert!(grown <= 64, "memory grew by {grown} MB");
    program.stop();
}

#[test]
fn what_lies_beside_a_split_is_held_once() {
    let home = Home::new(SOURCES);
    let program = home.start();
    let items = vec!["1"; 4_900].join(",");
    // With 800 bytes beside them the events are 4 MB together, and are taken.
    for (rest, is_taken) in [(6_500, false), (750, true)] {
        let body = format!("{{\"items\":[{items}],\"rest\":\"{}\"}}", "x".repeat(rest));
        let shot = Shot { path: "/collect/order/shop", headers: JSON, body: body.as_bytes() };
        let (answers, grown) = fire(&program, 60, &shot);
        eprintln!("60 splits of 4,900 beside {rest} bytes: memory grew by {grown} MB");
        let (taken, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 200);
        for answer in &taken {
            let events = answer.json()["events"].as_array().map(Vec::len);
            assert_eq!(events, is_taken.then_some(4_900), "{}", answer.json()["reason"]);
        }
        for answer in &busy {
            assert_eq!((answer.status, answer.code()), (503, "overloaded".to_owned()));
        }
        assert!(!taken.is_empty(), "none was taken");
        assert!(grown <= 96, "memory grew by {grown} MB");
    }
    program.stop();
}

#[test]
fn a_kilobyte_that_becomes_a_megabyte_of_control_characters_is_bounded() {
    let home = Home::new(SOURCES);
    let program = home.start();
    let body = bomb_of(b'\x01', 1_000_000);
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    let shot = Shot { path: "/collect/note/other", headers: &headers, body: &body };
    let (answers, grown) = fire(&program, 300, &shot);
    eprintln!("300 times {} bytes that become a megabyte: memory grew by {grown} MB", body.len());
    for answer in answers {
        assert!(matches!(answer.status, 413 | 503), "{}", answer.json());
    }
    assert!(grown <= 64, "memory grew by {grown} MB");
    // A megabyte of ordinary text is taken.
    let text = bomb(1 << 20);
    let answer = program.client().send("POST", "/collect/note/other", &headers, &text).unwrap();
    assert_eq!(answer.json()["status"], "profile-less");
    program.stop();
}

fn bomb_of(byte: u8, bytes: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![byte; bytes]).unwrap();
    encoder.finish().unwrap()
}
