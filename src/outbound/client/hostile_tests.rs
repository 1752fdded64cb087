//! The client against addresses where nobody answers, and against receivers that mean no good.

use super::tests::{SHORT, call, client, local, post, run, server};
use super::*;
use crate::domain::campaign::retry::Verdict;
use crate::rehearse::wire::{read_request, write_answer};
use std::io::{BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as Listener, TcpStream as Stream};
use std::thread;

/// An address of this machine where nobody answers: its queue of connections is full.
fn dead() -> (SocketAddr, Listener, Vec<Stream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    listen(&socket, 0).unwrap();
    let listener = Listener::from(socket);
    let address = listener.local_addr().unwrap();
    let short = Duration::from_millis(200);
    let waiting = (0..8).map_while(|_| Stream::connect_timeout(&address, short).ok()).collect();
    (address, listener, waiting)
}

#[test]
fn addresses_are_raced_so_dead_ones_cost_a_moment_each() {
    let (dead, _listener, _waiting) = dead();
    let Ok(alive) = Listener::bind((Ipv4Addr::LOCALHOST, dead.port())) else {
        return eprintln!("SKIPPED: somebody else has the port {} here", dead.port());
    };
    thread::spawn(move || {
        for stream in alive.incoming() {
            let stream = stream.unwrap();
            let _ = read_request(&mut BufReader::new(&stream));
            write_answer(&mut &stream, 200, &[], b"").unwrap();
        }
    });
    let mut named = post(dead);
    named.url = Url::parse(&format!("http://dual.example:{}/", dead.port())).unwrap();
    let patient =
        Limits { connect: Duration::from_secs(60), exchange: Duration::from_secs(60), ..SHORT };
    let names = vec![dead.ip(), dead.ip(), Ipv4Addr::LOCALHOST.into()];
    let client = client(vec![names], &["127.0.0.0/8"], patient);
    let answer = run(async { client.call("c/0", &named).await }).unwrap();
    assert_eq!(answer.status, 200);
    // Two of them are dead; the second one's time ends before the system gives up on the first one.
    assert!(answer.took >= 2 * dial::STAGGER, "{:?}", answer.took);
    assert!(answer.took < Duration::from_secs(30), "{:?}", answer.took);
}

#[test]
fn all_addresses_that_fail_are_tried_and_the_connection_fails_in_its_time() {
    let (dead, _listener, _waiting) = dead();
    let mut named = post(dead);
    named.url = Url::parse(&format!("http://dead.example:{}/", dead.port())).unwrap();
    let closed: IpAddr = [127, 0, 0, 3].into();
    run(async {
        let failing = client(vec![vec![closed, closed]], &["127.0.0.0/8"], SHORT);
        let error = failing.call("c/0", &named).await.unwrap_err();
        assert!(matches!(error, CallError::Connect(_)), "{error}");
        let silent = client(vec![vec![dead.ip()]], &["127.0.0.0/8"], SHORT);
        let error = silent.call("c/0", &named).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout("connecting", _)), "{error}");
    });
}

#[test]
fn no_request_is_written_twice_within_one_attempt() {
    // Returns the first request of a connection, reads the second one whole, and is gone.
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = server(move |_, stream| {
        let mut reader = BufReader::new(&stream);
        for is_first in [true, false] {
            if !matches!(read_request(&mut reader), Ok(Some(_))) {
                return;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            if is_first {
                write_answer(&mut &stream, 200, &[], b"").unwrap();
            }
        }
    });
    run(async {
        let client = local();
        for round in 1..=5 {
            assert_eq!(client.call("c/0", &post(address)).await.unwrap().status, 200);
            let error = client.call("c/0", &post(address)).await.unwrap_err();
            assert!(matches!(error, CallError::Exchange(_)), "{error}");
            assert!(error.to_string().contains("after the request was written"), "{error}");
            assert_eq!(error.verdict(), Verdict::Again);
            assert_eq!(seen.load(Ordering::SeqCst), 2 * round);
        }
    });
}

#[test]
fn informational_answers_have_an_end() {
    let endless = server(|_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let patient = Limits { exchange: Duration::from_secs(600), ..SHORT };
    let client = client(vec![vec![]], &["127.0.0.0/8"], patient);
    let error = run(async { client.call("c/0", &post(endless)).await }).unwrap_err();
    assert!(matches!(error, CallError::Informational), "{error}");
    assert_eq!(error.verdict(), Verdict::Again);
    let a_few = server(|_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        for _ in 0..EARLY {
            let _ = stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n");
        }
        let _ = write_answer(&mut &stream, 200, &[], b"");
    });
    assert_eq!(call(a_few).unwrap().status, 200);
}

/// A server that writes the beginning of an answer, and then this without end.
fn feeds(beginning: &'static [u8], more: &'static [u8]) -> SocketAddr {
    server(move |_, mut stream| {
        let _ = read_request(&mut BufReader::new(&stream));
        let _ = stream.write_all(beginning);
        while stream.write_all(more).is_ok() {}
    })
}

#[test]
fn bytes_without_end_end_the_exchange() {
    let chunked = b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, beginning, more) in [
        ("line breaks", &b""[..], &b"\r\n\r\n"[..]),
        ("a status line", b"HTTP/1.1 200 ", b"xxxxxxxxxxxxxxxx"),
        ("headers", b"HTTP/1.1 200 -\r\n", b"x-many: y\r\n"),
        ("a header", b"HTTP/1.1 200 -\r\nx-long: ", b"yyyyyyyyyyyyyyyy"),
        ("informational heads", b"HTTP/1.1 103 -\r\n", b"x-many: y\r\n"),
        ("a chunk's extension", chunked, b"1;xxxxxxxxxxxxxxxxxxxx"),
        ("trailers", b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    ] {
        let error = call(feeds(beginning, more)).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Again, "{name}: {error}");
    }
    // What follows an answer is never taken for the answer to another request.
    let address = feeds(b"HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\nok", b"rubbish");
    run(async {
        let client = local();
        for _ in 0..5 {
            match client.call("c/0", &post(address)).await {
                Ok(answer) => assert_eq!(answer.body, b"ok"),
                Err(error) => assert_eq!(error.verdict(), Verdict::Again, "{error}"),
            }
        }
    });
}
