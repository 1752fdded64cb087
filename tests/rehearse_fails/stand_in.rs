//! A stand-in for the program: keeps the child protocol, answers every request with what it saw.

use selfsame::clock::Clock;
use selfsame::rehearse::client::{Client, Request as Outgoing};
use selfsame::rehearse::wire::{Request, read_request, write_answer};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

struct StandIn {
    /// One line per collected event: what survives a kill.
    log: PathBuf,
    asked: AtomicUsize,
    stubborn: AtomicBool,
    started_with_ms: i64,
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

pub fn serve() {
    let config = PathBuf::from(argument("--config").unwrap()).join("scenario.toml");
    let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
    if config.contains_key("limits") {
        eprintln!("nonsense in the config");
        std::process::exit(78);
    }
    assert_eq!(config["admin"]["address"].as_str(), Some("127.0.0.1:0"));
    assert!(config["server"].get("address").is_none());
    let data = PathBuf::from(argument("--data").unwrap());
    std::fs::create_dir_all(&data).unwrap();
    let offset_ms = argument("--clock-offset-ms").map_or(0, |ms| ms.parse().unwrap());
    let clock = Clock::shifted(offset_ms);
    let stand_in = Arc::new(StandIn {
        log: data.join("log"),
        asked: AtomicUsize::new(0),
        stubborn: AtomicBool::new(false),
        started_with_ms: offset_ms,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = Arc::clone(&stand_in);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stand_in = Arc::clone(&accepting);
            std::thread::spawn(move || stand_in.connection(&stream.unwrap()));
        }
    });
    println!("{}", json!({"ready": {"address": address, "admin": address}}));
    for line in std::io::stdin().lines() {
        match line.unwrap().split_once(' ') {
            Some(("advance", ms)) => {
                clock.advance(ms.parse().unwrap());
                println!("ok {}", clock.now().0);
            }
            // The only other command is `stop`.
            _ => std::process::exit(if stand_in.stubborn.load(Ordering::SeqCst) { 3 } else { 0 }),
        }
    }
}

impl StandIn {
    fn connection(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Ok(Some(request)) = read_request(&mut reader) {
            let (status, answer) = self.answer(&request);
            let (kind, body) = match answer {
                Value::String(text) => ("text/plain", text),
                other => ("application/json", other.to_string()),
            };
            let headers = [("content-type", kind), ("X-Stand-In", "yes")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            write_answer(&mut writer, status, &headers, body.as_bytes()).unwrap();
        }
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let path = request.path.split('?').next().unwrap();
        let mut words = path.split('/').skip(1);
        match (words.next(), words.next()) {
            (Some("collect"), Some(kind)) => self.collect(kind, request),
            (Some("api"), _) if path.ends_with("/digest") => {
                let events = std::fs::read_to_string(&self.log).unwrap_or_default();
                // The paths as they came: a digest that depends on the order.
                let digest: String = events.lines().collect();
                (200, json!({"digest": digest, "events": events.lines().count()}))
            }
            (Some("api"), _) if path.ends_with("/counted") => {
                (200, json!({"n": self.asked.fetch_add(1, Ordering::SeqCst)}))
            }
            (Some("api"), _) => (200, self.seen(request)),
            _ => (404, Value::from("no such path")),
        }
    }

    fn collect(&self, kind: &str, request: &Request) -> (u16, Value) {
        match kind {
            "refuse" => return (400, json!({"code": "malformed_body"})),
            "stubborn" => self.stubborn.store(true, Ordering::SeqCst),
            "die" => {
                eprintln!("dying, as asked");
                std::process::exit(9);
            }
            _ => {}
        }
        let mut log = std::fs::File::options().append(true).create(true).open(&self.log).unwrap();
        writeln!(log, "{}", request.path).unwrap();
        let mut answer = self.seen(request);
        if kind == "hook" {
            let url = answer["json"]["url"].as_str().unwrap().to_owned();
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            let body = Some(answer["json"]["body"].to_string().into_bytes());
            let outgoing = Outgoing { method: "POST".to_owned(), url, headers, body };
            answer["hook"] = json!(Client::new().call(outgoing).unwrap().status);
        }
        (200, answer)
    }

    fn seen(&self, request: &Request) -> Value {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let mut seen = json!({
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "text": String::from_utf8_lossy(&request.body),
            "null": null,
            "n": log.lines().count(),
            "offset_ms": self.started_with_ms,
        });
        if let Ok(body) = serde_json::from_slice::<Value>(&request.body) {
            seen["json"] = body;
        }
        seen
    }
}
