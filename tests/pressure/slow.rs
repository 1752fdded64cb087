//! Peers that are slow or silent, whatever they are slow at: each connection ends, in bounded time,
//! and others are served meanwhile. And what goes out before our own code sees a request.

use super::support::client::{Client, read_answer};
use super::support::program::{Home, Program, poll};
use super::{BOUND, SOURCE};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: &str = "[limits]\nslow_request = \"2s\"\nkeep_alive = \"3s\"\n";

fn connect(program: &Program) -> TcpStream {
    let stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    stream
}

/// Writes these bytes again and again, with a pause between them, and reads what comes, until the
/// connection ends; what came, or nothing when it never did.
fn drip(mut stream: TcpStream, bytes: &[u8], pause: Duration) -> Option<Vec<u8>> {
    let mut came = Vec::new();
    let mut chunk = [0; 4096];
    let started = Instant::now();
    while started.elapsed() < BOUND {
        let is_over = match stream.write(bytes) {
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        match stream.read(&mut chunk) {
            Ok(0) => return Some(came),
            Ok(len) => came.extend_from_slice(&chunk[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if is_over {
                    return Some(came);
                }
            }
            Err(_) => return Some(came),
        }
        thread::sleep(pause);
    }
    None
}

#[test]
fn whatever_a_sender_is_slow_at_its_connection_ends() {
    let home = Home::new(&format!("{SOURCE}{SHORT}"));
    let program = home.start();
    let get = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = "POST /collect/order/shop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let admin =
        "PUT /api/v1/traits/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let nowhere = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    // What is sent first, what is sent again and again behind it, and what is answered at the end.
    let cases: Vec<(&str, String, &str, Option<&str>)> = vec![
        ("a first head", "GET /livez HTTP/1.1\r\n".into(), "x: y\r\n", Some("too_slow")),
        ("silence", String::new(), "", Some("too_slow")),
        ("a second head", format!("{get}GET /livez HTTP/1.1\r\n"), "x: y\r\n", None),
        ("line breaks between requests", get.into(), "\r\n", None),
        ("silence between requests", get.into(), "", None),
        ("a body", format!("{post}content-length: 9000\r\n\r\n{{"), " ", Some("too_slow")),
        ("a chunked body", format!("{post}{chunked}"), "1\r\n \r\n", Some("too_slow")),
        ("a chunk's extension", format!("{post}{chunked}1"), ";a=b", Some("too_slow")),
        (
            "an operator's body",
            format!("{admin}content-length: 900\r\n\r\n{{"),
            " ",
            Some("too_slow"),
        ),
        ("an operator's chunked body", format!("{admin}{chunked}"), "1\r\n \r\n", Some("too_slow")),
        ("a body that nobody reads", nowhere.into(), "1\r\n \r\n", Some("not_found")),
    ];
    thread::scope(|scope| {
        for (what, first, again, code) in &cases {
            let mut stream = connect(&program);
            scope.spawn(move || {
                stream.write_all(first.as_bytes()).unwrap();
                let came = drip(stream, again.as_bytes(), Duration::from_millis(40));
                let came = came.unwrap_or_else(|| panic!("{what} lasts for ever"));
                let came = String::from_utf8_lossy(&came).into_owned();
                if let Some(code) = code {
                    assert!(came.contains(&format!("\"code\":\"{code}\"")), "{what}: {came}");
                }
            });
        }
        for _ in 0..40 {
            let answer = program.client().post("/collect/order/shop", "{\"u\":1}").unwrap();
            assert_eq!(answer.status, 200);
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(program.metric("selfsame_connections_ended_total") >= 2.0);
    program.stop();
}

#[test]
fn who_does_not_read_answers_holds_little_and_not_for_long() {
    let home = Home::new(&format!("{SOURCE}{SHORT}"));
    let program = home.start();
    let body = "{\"u\":1}";
    let post = format!(
        "POST /collect/order/shop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut asked: Vec<String> = ["/metrics", "/tracker.js", "/openapi.json"].map(get).into();
    asked.push(post);
    program.client().get("/openapi.json").unwrap(); // made once, and kept
    let before = program.memory_kb("VmRSS");
    thread::scope(|scope| {
        for one in &asked {
            for _ in 0..5 {
                let mut stream = connect(&program);
                let bytes = 4 << 10;
                rustix::net::sockopt::set_socket_recv_buffer_size(&stream, bytes).unwrap();
                scope.spawn(move || {
                    // Ten at a time, until nothing more is taken; and then still nothing is read.
                    let many = one.repeat(10);
                    let started = Instant::now();
                    let mut rest = many.as_bytes();
                    loop {
                        match stream.write(rest) {
                            Ok(len) => rest = &rest[len..],
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(_) => return, // it was ended
                        }
                        if rest.is_empty() {
                            rest = many.as_bytes();
                        }
                        assert!(started.elapsed() < BOUND, "{one} lasts for ever");
                    }
                });
            }
        }
        for _ in 0..20 {
            let answer = program.client().post("/collect/order/shop", body).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.json());
            thread::sleep(Duration::from_millis(20));
        }
    });
    let grown = program.memory_kb("VmHWM").saturating_sub(before) >> 10;
    let ended = program.metric("selfsame_connections_ended_total");
    eprintln!("20 who read nothing: memory grew by {grown} MB, {ended} were ended");
    assert!(ended >= 20.0, "{ended} were ended");
    assert!(grown <= 48, "memory grew by {grown} MB");
    program.stop();
}

#[test]
fn bodies_that_are_announced_and_do_not_come_keep_nobody_out() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let head = "POST /collect/order/shop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 1048576\r\n\r\n{\"u\":1,\"x\":\"";
    let _silent: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = connect(&program);
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let large = format!("{{\"u\":2,\"x\":\"{}\"}}", "x".repeat(900_000));
    let started = Instant::now();
    for _ in 0..5 {
        let answer = program.client().post("/collect/order/shop", &large).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    eprintln!("five large bodies beside 64 silent ones: {:?}", started.elapsed());
    assert_eq!(program.metric("selfsame_bodies_waited_total"), 0.0);
    program.stop();
}

#[test]
fn connections_leave_files_for_everything_else() {
    let home = Home::new(&format!("{SOURCE}[journal]\nsegment = \"1MiB\"\n{SHORT}"));
    home.limit_files(1_024);
    let mut program = home.start();
    let idle: Vec<TcpStream> = (0..920).map(|_| connect(&program)).collect();
    // Waits at most until the first of them have been silent for too long.
    let text = "x".repeat(40_000);
    for number in 0..60 {
        let body = format!("{{\"u\":{number},\"x\":\"{text}\",\"y\":\"{number}\"}}");
        let answer = program.client().post("/collect/order/shop", &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    let erased = program.client().post("/api/v1/erasures", "{\"identifier\":\"shop:1\"}").unwrap();
    assert!(erased.status < 300, "{}", erased.json());
    assert_eq!(program.client().post("/api/v1/snapshots", "").unwrap().status, 200);
    assert!(program.ended(Duration::from_millis(10)).is_none(), "it has ended");
    assert!(program.stderr().contains("ulimit -n"), "{}", program.stderr());
    drop(idle);
    program.stop();
}

#[test]
fn what_is_no_http_is_refused_in_our_form_and_counted() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let cases = [
        "GET /livez\x01 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /collect/\u{e9}/shop HTTP/1.1\r\nhost x\r\n\r\n".to_owned(),
        format!("GET /livez HTTP/1.1\r\n{many}\r\n"),
        "POST /collect/a/shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
            .to_owned(),
    ];
    for case in &cases {
        // Behind one that is right, so that two answers go out together.
        for before in ["", "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
            let mut stream = TcpStream::connect(program.address).unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
            stream.write_all(format!("{before}{case}").as_bytes()).unwrap();
            let mut reader = BufReader::new(stream);
            if !before.is_empty() {
                assert_eq!(read_answer(&mut reader).unwrap().status, 200);
            }
            let answer = read_answer(&mut reader).unwrap();
            assert!(matches!(answer.status, 400 | 431), "{case:?}: {}", answer.status);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["status"], answer.status);
            let mut rest = Vec::new();
            drop(reader.read_to_end(&mut rest));
            assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        }
    }
    assert_eq!(program.metric("selfsame_refusals_total"), 2.0 * cases.len() as f64);
    let told = program.stderr().matches("refused what cannot be read as HTTP").count();
    assert!((1..=3).contains(&told), "told {told} times: {}", program.stderr());
    assert!(!program.stderr().contains("stream error"));
    program.stop();
}

#[test]
fn characters_that_stand_raw_in_a_url_are_read() {
    let home = Home::new(&format!("{SOURCE}[[source]]\nid = \"raw\"\nprofile_id = \"name\"\n"));
    let program = home.start();
    let targets: [(&[u8], &str, &str); 5] = [
        ("/collect/x/raw?name=José".as_bytes(), "raw:José", "x"),
        (b"/collect/x/raw?name=Jos\xe9", "raw:José", "x"),
        ("/collect/café/raw/s\u{e9}?name=<a>\"b\"".as_bytes(), "raw:<a>\"b\"", "café"),
        (b"/collect/x/raw?name={a}|^`\\", "raw:{a}|^`\\", "x"),
        (b"http://h/collect/x/raw?name=\xc3\xbc%C3%BC", "raw:üü", "x"),
    ];
    // One behind the other on one connection, in pieces that end anywhere.
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for (target, found, kind) in targets {
        let head =
            [b"POST ", target, b" HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"].concat();
        for piece in head.chunks(7) {
            stream.write_all(piece).unwrap();
        }
        let answer = read_answer(&mut reader).unwrap();
        assert_eq!(answer.status, 200, "{found}: {}", answer.json());
        let id = answer.json()["event_id"].as_str().unwrap().to_owned();
        let event = program.client().get(&format!("/api/v1/events/{id}")).unwrap().json();
        assert_eq!((&event["identifiers"][0], &event["type"]), (&found.into(), &kind.into()));
    }
    program.stop();
}

#[test]
fn who_asks_before_it_sends_hears_of_a_refusal_first() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let cases = [
        ("/collect/a/shop", 10, 100),
        ("//collect/a/shop/", 10, 100),
        ("/api/v1/traits/x", 10, 100),
        ("/collect/a/nobody", 10, 404),
        ("/collect/a/shop", 2 << 20, 413),
        ("/api/v1/traits/x", 2 << 20, 413),
        ("/nowhere", 10, 404),
        ("/api/v1/nowhere", 10, 404),
        ("/collect/%zz/shop", 10, 400),
    ];
    for (path, length, status) in cases {
        let mut stream = TcpStream::connect(program.address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&first),
            format!("HTTP/1.1 {status}"),
            "{path} {length}"
        );
    }
    program.stop();
}

#[test]
fn head_works_on_all_that_get_does_and_limits_hold_for_all_paths() {
    let home = Home::new(SOURCE);
    let program = home.start();
    let paths = [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/tracker.js",
        "/api/v1/sources",
        "/api/v1/campaigns",
    ];
    for path in paths {
        let asked = program.client().get(path).unwrap();
        let mut stream = TcpStream::connect(program.address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let head = format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {}", asked.status)), "{path}: {text}");
        assert!(text.ends_with("\r\n\r\n"), "{path}: a body");
        let length = format!("content-length: {}\r\n", asked.body.len());
        assert!(text.to_ascii_lowercase().contains(&length), "{path}: {text}");
    }
    let mut client: Client = program.client();
    let long = "x".repeat(17 << 10);
    let status = |client: &mut Client, path: &str, headers: &[(&str, &str)]| {
        let answer = client.send("GET", path, headers, b"").unwrap();
        (answer.status, answer.code())
    };
    for path in ["/api/v1/sources", "/livez", "/nowhere", "/collect/a/shop"] {
        let found = status(&mut client, &format!("{path}?q={long}"), &[]);
        assert_eq!(found, (414, "url_too_long".to_owned()), "{path}");
        let found = status(&mut client, path, &[("x-a", &long), ("x-b", &long)]);
        assert_eq!(found, (431, "headers_too_large".to_owned()), "{path}");
    }
    for path in ["/api/v1/profiles/%zz", "/collect/%4/shop", "/%"] {
        let found = status(&mut client, path, &[]);
        assert_eq!(found, (400, "malformed_path".to_owned()), "{path}");
    }
    // A stream's head is over at once.
    let streamed = poll(BOUND, || {
        let mut stream = TcpStream::connect(program.address).ok()?;
        let head =
            "HEAD /api/v1/events/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.set_read_timeout(Some(BOUND)).ok()?;
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok().map(|_| text)
    });
    assert!(streamed.unwrap().starts_with("HTTP/1.1 200"));
    program.stop();
}
